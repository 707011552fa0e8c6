/* The table from index to position; see log.h. */
#include "log.h"

#include "state.h"

static struct log_slot *log_slot(struct replica *replica, uint64_t index)
{
    struct log_slot *slots = region_at(replica, replica->areas.log_slots);
    return &slots[index & (replica->limits.log_entries_max - 1)];
}

static const struct log_slot *log_slot_const(const struct replica *replica, uint64_t index)
{
    const struct log_slot *slots = region_at_const(replica, replica->areas.log_slots);
    return &slots[index & (replica->limits.log_entries_max - 1)];
}

uint64_t log_term(const struct replica *replica, uint64_t index)
{
    ASSERT(index <= replica->log.last.index);
    return index == 0 ? 0 : log_slot_const(replica, index)->term;
}

struct slice log_entry_bytes(const struct replica *replica, uint64_t index)
{
    ASSERT(index >= 1 && index <= replica->log.last.index);
    const uint8_t *mirror = region_at_const(replica, replica->areas.wal_body);
    const uint8_t *bytes = mirror + log_slot_const(replica, index)->position;
    struct entry_header header;
    memcpy(&header, bytes, sizeof header);
    ASSERT(header.index == index);
    return (struct slice){ .bytes = bytes, .count = entry_bytes(header.body_bytes) };
}

void log_entry(const struct replica *replica, uint64_t index, struct entry *entry)
{
    const uint32_t bytes = entry_decode(log_entry_bytes(replica, index), entry);
    ASSERT(bytes > 0);
    ASSERT(entry->id.term == log_term(replica, index));
}

void log_push(struct replica *replica, struct log_id id, uint64_t position)
{
    ASSERT(id.index == replica->log.last.index + 1);
    ASSERT(id.term >= replica->log.last.term);
    ASSERT(id.index < replica->limits.log_entries_max);
    *log_slot(replica, id.index) = (struct log_slot){ .term = id.term, .position = position };
    replica->log.last = id;
}

void log_truncate(struct replica *replica, uint64_t index)
{
    ASSERT(index < replica->log.last.index);
    for (uint64_t dead = index + 1; dead <= replica->log.last.index; dead++)
        *log_slot(replica, dead) = (struct log_slot){ .term = 0 };
    replica->log.last = (struct log_id){
        .term = index == 0 ? 0 : log_slot(replica, index)->term,
        .index = index,
    };
}

/* Terms never fall along a log, so this walks at most over the entries of the newer terms. */
struct log_id log_conflict_hint(const struct replica *replica, uint64_t index, uint64_t term, uint64_t agreed)
{
    uint64_t at = u64_min(index, replica->log.last.index);
    while (at > agreed && log_term(replica, at) > term)
        at--;
    return (struct log_id){ .term = log_term(replica, at), .index = at };
}

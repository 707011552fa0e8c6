/* The table from index to place; see log.h. */
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
    ASSERT(index > replica->log.base.index && index <= replica->log.last.index);
    return &slots[index & (replica->limits.log_entries_max - 1)];
}

static bool slot_intact(const struct log_slot *slot) { return (slot->lsn & LOG_REPAIRING) == 0; }

bool log_holds(const struct replica *replica, struct log_id id)
{
    if (id.index < replica->log.base.index)
        return true;
    return id.index <= replica->log.last.index && log_term(replica, id.index) == id.term;
}

uint64_t log_term(const struct replica *replica, uint64_t index)
{
    if (index == replica->log.base.index)
        return replica->log.base.term;
    return log_slot_const(replica, index)->term;
}

uint64_t log_intact(const struct replica *replica)
{
    return replica->log.first_faulty != 0 ? replica->log.first_faulty - 1 : replica->log.last.index;
}

bool log_readable(const struct replica *replica, uint64_t index)
{
    return log_slot_const(replica, index)->lsn != LOG_FAULTY;
}

uint64_t log_lost(const struct replica *replica)
{
    const struct log *log = &replica->log;
    uint64_t seen = 0;
    if (log->first_faulty == 0)
        return 0;
    /* Behind the last one that is not intact there is nothing to look for: one repair under way costs one look. */
    for (uint64_t index = log->first_faulty; index <= log->last.index && seen < log->faulty_count; index++) {
        if (!log_readable(replica, index))
            return index;
        seen += (log_slot_const(replica, index)->lsn & LOG_REPAIRING) != 0;
    }
    return 0;
}

uint64_t log_entry_lsn(const struct replica *replica, uint64_t index)
{
    ASSERT(log_readable(replica, index));
    return log_slot_const(replica, index)->lsn & ~LOG_REPAIRING;
}

struct slice log_entry_bytes(const struct replica *replica, uint64_t index)
{
    const uint8_t *bytes = wal_mirror_const(replica, log_entry_lsn(replica, index));
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

bool log_has_room(const struct replica *replica, uint64_t reserve)
{
    return replica->log.last.index - replica->log.base.index + 1 + reserve < replica->limits.log_entries_max;
}

void log_push(struct replica *replica, struct log_id id, uint64_t lsn)
{
    struct log *log = &replica->log;
    ASSERT(id.index == log->last.index + 1);
    ASSERT(id.term >= log->last.term);
    ASSERT(log_has_room(replica, 0));
    *log_slot(replica, id.index) = (struct log_slot){ .term = id.term, .lsn = lsn };
    log->last = id;
    if (lsn != LOG_FAULTY)
        return;
    log->faulty_count++;
    if (log->first_faulty == 0)
        log->first_faulty = id.index;
}

/* After the first faulty slot may have changed. */
static void log_find_faulty(struct replica *replica)
{
    struct log *log = &replica->log;
    if (log->faulty_count == 0) {
        log->first_faulty = 0;
        return;
    }
    while (slot_intact(log_slot(replica, log->first_faulty)))
        log->first_faulty++;
    ASSERT(log->first_faulty <= log->last.index);
}

void log_repair(struct replica *replica, uint64_t index, uint64_t lsn)
{
    struct log *log = &replica->log;
    struct log_slot *slot = log_slot(replica, index);
    ASSERT(index > log->base.index && index <= log->last.index);
    ASSERT(lsn != LOG_FAULTY);
    const bool before = slot_intact(slot);
    slot->lsn = lsn;
    if (before || !slot_intact(slot))
        return;
    log->faulty_count--;
    log_find_faulty(replica);
}

void log_truncate(struct replica *replica, uint64_t index)
{
    struct log *log = &replica->log;
    ASSERT(index >= log->base.index && index < log->last.index);
    const uint64_t term = log_term(replica, index);
    for (uint64_t dead = index + 1; dead <= log->last.index; dead++) {
        log->faulty_count -= slot_intact(log_slot(replica, dead)) ? 0 : 1;
        *log_slot(replica, dead) = (struct log_slot){ .term = 0 };
    }
    log->last = (struct log_id){ .term = term, .index = index };
    if (log->first_faulty > index)
        log->first_faulty = 0;
}

void log_forget(struct replica *replica, struct log_id base)
{
    struct log *log = &replica->log;
    ASSERT(base.index >= log->base.index && base.index <= log->last.index);
    ASSERT(base.term == log_term(replica, base.index));
    for (uint64_t index = log->first_faulty; log->faulty_count > 0 && index != 0 && index <= base.index; index++)
        log->faulty_count -= slot_intact(log_slot(replica, index)) ? 0 : 1;
    log->base = base;
    if (log->first_faulty != 0 && log->first_faulty <= base.index)
        log->first_faulty = base.index + 1;
    log_find_faulty(replica);
}

void log_forget_damaged(struct replica *replica, uint64_t index)
{
    const struct log *log = &replica->log;
    while (log->first_faulty != 0 && log->first_faulty <= index) {
        const uint64_t faulty = log->first_faulty;
        log_forget(replica, (struct log_id){ .term = log_term(replica, faulty), .index = faulty });
    }
}

void log_reset(struct replica *replica, struct log_id base)
{
    replica->log = (struct log){ .base = base, .last = base };
}

/* Terms never fall along a log, so this walks at most over the entries of the newer terms. */
struct log_id log_conflict_hint(const struct replica *replica, uint64_t index, uint64_t term, uint64_t agreed)
{
    const uint64_t base = replica->log.base.index;
    uint64_t at = u64_min(index, replica->log.last.index);
    while (at > u64_max(agreed, base) && log_term(replica, at) > term)
        at--;
    return (struct log_id){ .term = at < base ? 0 : log_term(replica, at), .index = at };
}

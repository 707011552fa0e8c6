/* Log entries to bytes and back; see entry.h. */
#include "entry.h"

#include "configuration.h"

void entry_encode(const struct entry *entry, uint8_t *to)
{
    ASSERT(entry->id.index > 0 && entry->id.term > 0);
    const struct entry_header header = {
        .term = entry->id.term,
        .index = entry->id.index,
        .body_bytes = entry->body.count,
        .kind = (uint8_t)entry->kind,
    };
    const uint32_t used = (uint32_t)sizeof header + entry->body.count;
    memcpy(to, &header, sizeof header);
    if (entry->body.count > 0)
        memcpy(to + sizeof header, entry->body.bytes, entry->body.count);
    memset(to + used, 0, entry_bytes(entry->body.count) - used);
}

uint32_t entry_decode(struct slice bytes, struct entry *entry)
{
    struct entry_header header;
    if (bytes.count < sizeof header)
        return 0;
    memcpy(&header, bytes.bytes, sizeof header);
    if (header.body_bytes > bytes.count - sizeof header)
        return 0;
    const uint64_t whole = u64_round_up(sizeof header + (uint64_t)header.body_bytes, 8);
    if (whole > bytes.count)
        return 0;
    if (header.index == 0 || header.term == 0)
        return 0;
    if (header.kind < ENTRY_NOOP || header.kind > ENTRY_CONFIG)
        return 0;
    if ((header.kind == ENTRY_NOOP || header.kind == ENTRY_CHECKPOINT) && header.body_bytes != 0)
        return 0;
    struct configuration configuration;
    const struct slice body = { .bytes = bytes.bytes + sizeof header, .count = header.body_bytes };
    if (header.kind == ENTRY_CONFIG && !configuration_decode(body, &configuration))
        return 0;
    *entry = (struct entry){
        .id = { .term = header.term, .index = header.index },
        .kind = (enum entry_kind)header.kind,
        .body = body,
    };
    return (uint32_t)whole;
}

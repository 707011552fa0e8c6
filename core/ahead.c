/* What is written first before long; see ahead.h. */
#include "ahead.h"

#include "page.h"
#include "state.h"
#include "wal.h"

struct span_list {
    const struct replica *replica;
    struct slice *spans;
    uint32_t count;
};

/* From an offset in an area on, as far as the area goes. */
static void span_add(struct span_list *list, uint64_t area, uint64_t area_bytes, uint64_t from, uint64_t bytes)
{
    const uint64_t count = from < area_bytes ? u64_min(bytes, area_bytes - from) : 0;
    if (count == 0)
        return;
    ASSERT(list->count < AHEAD_SPANS_MAX);
    list->spans[list->count++] = (struct slice){
        .bytes = region_at_const(list->replica, area + from),
        .count = (uint32_t)count,
    };
}

/* The same of a ring, which goes on at its start. */
static void span_add_ring(struct span_list *list, uint64_t area, uint64_t ring, uint64_t from, uint64_t bytes)
{
    from %= ring;
    bytes = u64_min(bytes, ring);
    span_add(list, area, ring, from, bytes);
    if (from + bytes > ring)
        span_add(list, area, ring, 0, from + bytes - ring);
}

static void spans_of_log(struct span_list *list, uint32_t bytes)
{
    const struct replica *replica = list->replica;
    const struct limits *limits = &replica->limits;
    const uint64_t slot = sizeof(struct log_slot);
    const uint64_t entries = bytes / limits->block_bytes * limits->log_entries_max / limits->wal_body_blocks;
    span_add_ring(list, replica->areas.wal_body, (uint64_t)limits->wal_body_blocks * limits->block_bytes,
                  replica->wal.tail, bytes);
    span_add_ring(list, replica->areas.log_slots, limits->log_entries_max * slot, (replica->log.last.index + 1) * slot,
                  (entries + 1) * slot);
}

/* The pages that an empty state has already. */
static void spans_of_fixed_pages(struct span_list *list, uint64_t used, uint64_t more)
{
    const struct replica *replica = list->replica;
    const uint64_t area = replica->areas.pages, page_bytes = replica->limits.page_bytes;
    const uint64_t session_bytes = sizeof(struct session);
    span_add(list, area + page_bytes, page_bitmap_count(&replica->limits) * page_bytes, used / 8, more / 8 + 1);
    span_add(list, area + page_sessions(replica) * page_bytes, replica->limits.sessions_max * session_bytes,
             page_root_const(replica)->session_count * session_bytes, more * session_bytes);
}

static void spans_of_pages(struct span_list *list, uint32_t bytes)
{
    const struct replica *replica = list->replica;
    const struct limits *limits = &replica->limits;
    const struct areas *areas = &replica->areas;
    const uint64_t used = limits->pages_max - page_root_const(replica)->pages_free;
    const uint64_t more = bytes / limits->page_bytes + 1, page_bytes = limits->page_bytes;
    const struct checkpoint_writer *writer = &replica->checkpoint;
    spans_of_fixed_pages(list, used, more);
    span_add(list, areas->pages, limits->pages_max * page_bytes, used * page_bytes, more * page_bytes);
    span_add(list, areas->map_level[0], limits->pages_max * sizeof(struct map_entry), used * sizeof(struct map_entry),
             more * sizeof(struct map_entry));
    for (uint32_t set = 0; set < ARRAY_COUNT(areas->dirty); set++)
        span_add(list, areas->dirty[set], limits->pages_max / 8, used / 8, more / 8 + 1);
    span_add(list, areas->blocks, limits->data_blocks * sizeof(uint32_t), writer->blocks_end * sizeof(uint32_t),
             more * sizeof(uint32_t));
    span_add(list, areas->shadow, limits->shadow_pages_max * page_bytes, writer->shadow_count * page_bytes,
             more * page_bytes);
    span_add(list, areas->shadow_page, limits->shadow_pages_max * sizeof(uint32_t),
             writer->shadow_count * sizeof(uint32_t), more * sizeof(uint32_t));
}

uint32_t replica_ahead(const struct replica *replica, uint32_t bytes, struct slice spans[AHEAD_SPANS_MAX])
{
    struct span_list list = { .replica = replica, .spans = spans };
    spans_of_log(&list, bytes);
    spans_of_pages(&list, bytes);
    return list.count;
}

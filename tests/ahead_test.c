/* Memory ahead: what a step writes first was named before that step (core/ahead.h). */
#include "../core/ahead.h"

#include "checkpoint_rig.h"
#include "test.h"

enum { GRAIN_BYTES = 256, AHEAD_TEST_BYTES = 3 * 1024 };

struct area {
    const char *name;
    uint64_t from;
    uint64_t end;
    uint32_t firsts; /* grains seen written that were empty at first */
};

/* A grain is a page, as pages are used as a whole. Which ones of the region were written or named so far. */
struct watch {
    const struct node *node;
    uint8_t *known;
};

/* Zero, or filled by the node of this test because it was released. */
static bool grain_is_empty(const uint8_t *grain)
{
    return (grain[0] == 0 || grain[0] == 0xdb) && memcmp(grain, grain + 1, GRAIN_BYTES - 1) == 0;
}

static void watch_name(struct watch *watch)
{
    struct slice spans[AHEAD_SPANS_MAX];
    const uint8_t *region = watch->node->region;
    const uint64_t bytes = replica_bytes(&watch->node->limits);
    const uint32_t count = replica_ahead(watch->node->replica, AHEAD_TEST_BYTES, spans);
    EXPECT(count > 0 && count <= AHEAD_SPANS_MAX);
    for (uint32_t at = 0; at < count; at++) {
        const uint64_t from = (uint64_t)(spans[at].bytes - region);
        EXPECT(spans[at].bytes >= region && spans[at].count > 0 && from + spans[at].count <= bytes);
        for (uint64_t grain = from / GRAIN_BYTES; grain * GRAIN_BYTES < from + spans[at].count; grain++)
            watch->known[grain] = 1;
    }
}

static void watch_area(struct watch *watch, struct area *area, bool judge)
{
    const uint8_t *region = watch->node->region;
    for (uint64_t grain = area->from / GRAIN_BYTES; (grain + 1) * GRAIN_BYTES <= area->end; grain++) {
        if (watch->known[grain] == 2 || grain_is_empty(region + grain * GRAIN_BYTES))
            continue;
        if (judge && watch->known[grain] == 0)
            test_fail(__FILE__, __LINE__, area->name);
        watch->known[grain] = 2;
        area->firsts += judge;
    }
}

/* One write of the checkpoint, so that applying goes on beside it. */
static void complete_data(struct rig *rig)
{
    for (uint32_t slot = 0; slot < rig->node->op_count; slot++) {
        if (rig->node->ops[slot].device != DEVICE_DATA)
            continue;
        node_complete(rig->node, slot, DISK_OK);
        look(rig);
        return;
    }
}

TEST(what_a_step_writes_first_was_named_before_it)
{
    struct limits limits = rig_limits();
    limits.wal_body_blocks = 256;
    limits.log_entries_max = 256;
    limits.checkpoint_wal_blocks = 64;
    struct rig *rig = rig_new(&limits);
    const struct areas *areas = &rig->node->replica->areas;
    const uint64_t slots = (uint64_t)limits.log_entries_max * sizeof(struct log_slot);
    struct area watched[] = {
        { .name = "log", .from = areas->wal_body, .end = areas->log_slots },
        { .name = "log slots", .from = areas->log_slots, .end = areas->log_slots + slots },
        { .name = "pages", .from = areas->pages, .end = areas->map },
        { .name = "page map", .from = areas->map_level[0], .end = areas->map_level[1] },
        { .name = "blocks", .from = areas->blocks, .end = areas->shadow },
        { .name = "shadow pages", .from = areas->shadow, .end = areas->shadow_page },
    };
    struct watch watch = { .node = rig->node, .known = calloc(1, replica_bytes(&limits) / GRAIN_BYTES + 1) };
    EXPECT(watch.known != NULL);
    for (uint32_t write = 0; write < 2000; write++) {
        watch_name(&watch);
        random_write(rig, 10 + write / 10);
        settle(rig, false);
        if (prng_chance(&rig->prng, 1, 16))
            complete_data(rig);
        /* What was in use before anything was named gets into the map with the first checkpoint. */
        for (uint32_t at = 0; at < ARRAY_COUNT(watched); at++)
            watch_area(&watch, &watched[at], rig->checkpoints > 0);
    }
    EXPECT(rig->checkpoints > 3 && rig->node->replica->wal.tail > wal_ring_bytes(&limits));
    for (uint32_t at = 0; at < ARRAY_COUNT(watched); at++)
        EXPECT(watched[at].firsts > 0);
    free(watch.known);
    rig_free(rig);
}

TEST_MAIN()

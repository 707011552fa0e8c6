/* A node that makes checkpoints, for the tests of the map, of the writer and of loading: a lone voter on a disk of
 * memory, random writes, and what the pages were when a marker was applied.
 *
 * One entry is applied in a step, so that the pages behind the step that applied a marker are what must become durable.
 */
#ifndef WW_TEST_CHECKPOINT_RIG_H
#define WW_TEST_CHECKPOINT_RIG_H

#include "../core/page.h"
#include "../core/prng.h"
#include "../core/state.h"
#include "node.h"
#include "test.h"

enum { TIMEOUT_NS = 1000 * 1000 * 1000, BLOCKS_MAX = 1024 };

/* A node, what it was asked, and the pages at its last two markers. */
struct rig {
    struct node *node;
    struct prng prng;
    uint64_t session;
    uint64_t sequence;
    uint8_t *frozen; /* pages at the last marker */
    uint64_t frozen_index;
    uint8_t *durable; /* ... at the last marker whose checkpoint is durable */
    uint64_t durable_index;
    uint32_t checkpoints;
    uint32_t loads;
    uint32_t damages; /* EVENT_PAGE_DAMAGED */
    uint32_t retries;
};

static inline struct limits rig_limits(void)
{
    struct limits limits = limits_tiny;
    limits.wal_body_blocks = 8192;
    limits.log_entries_max = 8192;
    limits.apply_per_step_max = 1;
    limits.pages_max = 100;
    limits.data_blocks = 260;
    limits.shadow_pages_max = 64;
    limits.checkpoint_entries = 40;
    limits.checkpoint_wal_blocks = 2048;
    return limits;
}

static inline size_t pages_bytes(const struct node *node)
{
    return (size_t)node->limits.pages_max * node->limits.page_bytes;
}

/* Reads what the last step says that happened. */
static inline void look(struct rig *rig)
{
    const struct output *output = &rig->node->output;
    EXPECT(output->event_count <= output->event_max);
    for (uint32_t i = 0; i < output->event_count; i++) {
        const struct event *event = &output->events[i];
        rig->loads += event->kind == EVENT_STORE_LOADED;
        rig->damages += event->kind == EVENT_PAGE_DAMAGED;
        rig->retries += event->kind == EVENT_READ_RETRIED;
        if (event->kind == EVENT_CHECKPOINT_FROZEN) {
            memcpy(rig->frozen, page_raw_const(rig->node->replica, 0), pages_bytes(rig->node));
            rig->frozen_index = event->a;
        } else if (event->kind == EVENT_CHECKPOINT) {
            EXPECT_EQUAL(event->a, rig->frozen_index);
            memcpy(rig->durable, rig->frozen, pages_bytes(rig->node));
            rig->durable_index = event->a;
            rig->checkpoints++;
        }
    }
    output_init(&rig->node->output, rig->node->output_region, &rig->node->limits);
    rig->node->sent_count = 0;
}

/* Completes operations of device 0, and of device 1 if `data`, until none is left and nothing is due. */
static inline void settle(struct rig *rig, bool data)
{
    struct node *node = rig->node;
    for (uint32_t idle = 0; idle < 2;) {
        uint32_t slot = 0;
        while (slot < node->op_count && node->ops[slot].device == DEVICE_DATA && !data)
            slot++;
        idle = slot < node->op_count || node->deadline_ns <= node->now_ns ? 0 : idle + 1;
        if (slot < node->op_count)
            node_complete(node, slot, DISK_OK);
        else
            node_tick(node, 0);
        look(rig);
    }
}

static inline struct slice text(const char *bytes)
{
    return (struct slice){ .bytes = (const uint8_t *)bytes, .count = (uint32_t)strlen(bytes) };
}

static inline void ask(struct rig *rig, struct request request)
{
    request.session = rig->session;
    request.sequence = ++rig->sequence;
    node_request(rig->node, 1, &request);
    look(rig);
}

static inline void rig_lead(struct rig *rig)
{
    node_tick(rig->node, TIMEOUT_NS);
    look(rig);
    settle(rig, true);
    EXPECT_EQUAL(node_view(rig->node).role, RAFT_LEADER);
}

static inline struct rig *rig_new(const struct limits *limits)
{
    struct replica_config config = node_config(1);
    struct rig *rig = calloc(1, sizeof *rig);
    EXPECT(rig != NULL);
    rig->node = node_new(limits, &config, node_voters(1));
    rig->frozen = calloc(1, pages_bytes(rig->node));
    rig->durable = calloc(1, pages_bytes(rig->node));
    EXPECT(rig->frozen != NULL && rig->durable != NULL);
    prng_seed(&rig->prng, 5);
    node_start(rig->node);
    look(rig);
    settle(rig, true);
    rig_lead(rig);
    node_request(rig->node, 1, &(struct request){ .kind = REQUEST_REGISTER });
    look(rig);
    settle(rig, true);
    rig->session = node_view(rig->node).applied;
    EXPECT_EQUAL(node_view(rig->node).sessions, 1);
    return rig;
}

static inline void rig_free(struct rig *rig)
{
    node_free(rig->node);
    free(rig->frozen);
    free(rig->durable);
    free(rig);
}

static inline void put(struct rig *rig, const char *key, uint32_t bytes, uint8_t fill)
{
    uint8_t value[400];
    memset(value, fill, sizeof value);
    EXPECT(bytes <= rig->node->limits.value_bytes_max);
    ask(rig, (struct request){ .kind = REQUEST_PUT, .key = text(key), .value = { .bytes = value, .count = bytes } });
}

/* A transaction, or a single write, to one of `keys` keys; or a session that evicts another one. */
static inline void random_write(struct rig *rig, uint32_t keys)
{
    if (prng_chance(&rig->prng, 1, 12)) {
        node_request(rig->node, 1, &(struct request){ .kind = REQUEST_REGISTER });
        look(rig);
        return;
    }
    uint8_t txn[1024];
    uint8_t value[160];
    uint32_t used = 0;
    char key[16];
    const uint64_t clauses = prng_chance(&rig->prng, 1, 4) ? 1 + prng_below(&rig->prng, 4) : 0;
    struct slice bytes = { .bytes = value, .count = (uint32_t)prng_below(&rig->prng, sizeof value + 1) };
    memset(value, (int)prng_below(&rig->prng, 256), sizeof value);
    for (uint64_t i = 0; i < clauses; i++) {
        snprintf(key, sizeof key, "k%u", (unsigned)prng_below(&rig->prng, keys));
        struct txn_clause clause = { .kind = TXN_THEN_PUT, .key = text(key) };
        if (prng_chance(&rig->prng, 1, 3))
            clause.kind = TXN_THEN_DELETE;
        else
            clause.value = (struct slice){ .bytes = value, .count = bytes.count / 4 };
        txn_clause_encode(&clause, txn + used);
        used += txn_clause_bytes(&clause);
    }
    snprintf(key, sizeof key, "k%u", (unsigned)prng_below(&rig->prng, keys));
    if (clauses > 0)
        ask(rig, (struct request){ .kind = REQUEST_TXN, .value = { .bytes = txn, .count = used } });
    else if (prng_chance(&rig->prng, 1, 3))
        ask(rig, (struct request){ .kind = REQUEST_DELETE, .key = text(key) });
    else
        ask(rig, (struct request){ .kind = REQUEST_PUT, .key = text(key), .value = bytes });
}

/* Random writes until the next marker is applied; no operation of device 1 completes behind it. */
static inline void write_until_frozen(struct rig *rig)
{
    const uint64_t before = rig->frozen_index;
    while (rig->frozen_index == before) {
        random_write(rig, 12);
        settle(rig, false);
    }
}

/* ---- a second life on what a disk holds ---- */

static inline struct rig *probe_new(const struct rig *rig)
{
    struct rig *probe = calloc(1, sizeof *probe);
    EXPECT(probe != NULL);
    probe->node = node_new(&rig->node->limits, &rig->node->config, node_voters(1));
    probe->frozen = calloc(1, pages_bytes(rig->node));
    probe->durable = calloc(1, pages_bytes(rig->node));
    EXPECT(probe->frozen != NULL && probe->durable != NULL);
    return probe;
}

static inline void probe_copy(struct rig *probe, const struct rig *rig)
{
    memcpy(probe->node->image, rig->node->image, rig->node->image_bytes);
    memcpy(probe->node->data, rig->node->data, rig->node->data_bytes);
    probe->loads = 0;
    probe->damages = 0;
    probe->retries = 0;
}

/* Starts it and lets it load; it is a follower that knows nothing of what is committed behind its checkpoint. */
static inline void probe_start(struct rig *probe)
{
    node_crash(probe->node);
    node_start(probe->node);
    look(probe);
    settle(probe, true);
    /* A lone voter whose pages are damaged has nobody to get them from, and says so. */
    EXPECT(node_view(probe->node).role == RAFT_FOLLOWER || probe->node->stop == STOP_DATA_DAMAGED);
}

static inline bool pages_equal(const struct rig *probe, const uint8_t *pages)
{
    return memcmp(page_raw_const(probe->node->replica, 0), pages, pages_bytes(probe->node)) == 0;
}

/* ---- the durable checkpoint, read from the device ---- */

struct used {
    uint8_t level_plus_1[BLOCKS_MAX]; /* 0: not used */
    uint32_t at[BLOCKS_MAX];
    uint32_t count;
};

static inline void used_add(const struct node *node, struct used *used, uint32_t level, uint32_t at, uint32_t block)
{
    const uint32_t fanout = map_fanout(&node->limits);
    EXPECT(block > 0 && block < node->limits.data_blocks);
    EXPECT_EQUAL(used->level_plus_1[block], 0);
    used->level_plus_1[block] = (uint8_t)(level + 1);
    used->at[block] = at;
    used->count++;
    for (uint32_t child = 0; level > 0 && child < fanout; child++) {
        struct map_entry entry;
        memcpy(&entry, node->data + (size_t)block * node->limits.page_bytes + child * sizeof entry, sizeof entry);
        if (entry.block != 0)
            used_add(node, used, level - 1, at * fanout + child, entry.block);
    }
}

static inline struct used used_blocks(const struct node *node)
{
    struct used used = { .count = 0 };
    const struct checkpoint *checkpoint = &node->replica->superblock.durable.checkpoint;
    EXPECT(node->limits.data_blocks <= BLOCKS_MAX);
    if (checkpoint->id.index > 0)
        used_add(node, &used, map_root(&node->limits), 0, checkpoint->root.block);
    return used;
}

#endif

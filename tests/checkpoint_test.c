/* Checkpoints of a lone voter on a disk of memory: what is frozen is what becomes durable while applying goes on, a
 * crash leaves the old one or the new one, and loading finds whatever is not as it was written.
 *
 * One entry is applied in a step, so that the pages behind the step that applied a marker are what must become durable.
 */
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

static struct limits rig_limits(void)
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

static size_t pages_bytes(const struct node *node) { return (size_t)node->limits.pages_max * node->limits.page_bytes; }

/* Reads what the last step says that happened. */
static void look(struct rig *rig)
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
static void settle(struct rig *rig, bool data)
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

static struct slice text(const char *bytes)
{
    return (struct slice){ .bytes = (const uint8_t *)bytes, .count = (uint32_t)strlen(bytes) };
}

static void ask(struct rig *rig, struct request request)
{
    request.session = rig->session;
    request.sequence = ++rig->sequence;
    node_request(rig->node, 1, &request);
    look(rig);
}

static void rig_lead(struct rig *rig)
{
    node_tick(rig->node, TIMEOUT_NS);
    look(rig);
    settle(rig, true);
    EXPECT_EQUAL(node_view(rig->node).role, RAFT_LEADER);
}

static struct rig *rig_new(const struct limits *limits)
{
    struct replica_config config = node_config(1, 1);
    struct rig *rig = calloc(1, sizeof *rig);
    EXPECT(rig != NULL);
    rig->node = node_new(limits, &config);
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

static void rig_free(struct rig *rig)
{
    node_free(rig->node);
    free(rig->frozen);
    free(rig->durable);
    free(rig);
}

static void put(struct rig *rig, const char *key, uint32_t bytes, uint8_t fill)
{
    uint8_t value[400];
    memset(value, fill, sizeof value);
    EXPECT(bytes <= rig->node->limits.value_bytes_max);
    ask(rig, (struct request){ .kind = REQUEST_PUT, .key = text(key), .value = { .bytes = value, .count = bytes } });
}

/* A transaction, or a single write; `keys` different ones. */
static void random_write(struct rig *rig, uint32_t keys)
{
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
static void write_until_frozen(struct rig *rig)
{
    const uint64_t before = rig->frozen_index;
    while (rig->frozen_index == before) {
        random_write(rig, 12);
        settle(rig, false);
    }
}

/* ---- a second life on what a disk holds ---- */

static struct rig *probe_new(const struct rig *rig)
{
    struct rig *probe = calloc(1, sizeof *probe);
    EXPECT(probe != NULL);
    probe->node = node_new(&rig->node->limits, &rig->node->config);
    probe->frozen = calloc(1, pages_bytes(rig->node));
    probe->durable = calloc(1, pages_bytes(rig->node));
    EXPECT(probe->frozen != NULL && probe->durable != NULL);
    return probe;
}

static void probe_copy(struct rig *probe, const struct rig *rig)
{
    memcpy(probe->node->image, rig->node->image, rig->node->image_bytes);
    memcpy(probe->node->data, rig->node->data, rig->node->data_bytes);
    probe->loads = 0;
    probe->damages = 0;
    probe->retries = 0;
}

/* Starts it and lets it load; it is a follower that knows nothing of what is committed behind its checkpoint. */
static void probe_start(struct rig *probe)
{
    node_crash(probe->node);
    node_start(probe->node);
    look(probe);
    settle(probe, true);
    EXPECT_EQUAL(node_view(probe->node).role, RAFT_FOLLOWER);
}

static bool pages_equal(const struct rig *probe, const uint8_t *pages)
{
    return memcmp(page_raw_const(probe->node->replica, 0), pages, pages_bytes(probe->node)) == 0;
}

/* ---- the durable checkpoint, read from the device ---- */

struct used {
    uint8_t level_plus_1[BLOCKS_MAX]; /* 0: not used */
    uint32_t at[BLOCKS_MAX];
    uint32_t count;
};

static void used_add(const struct node *node, struct used *used, uint32_t level, uint32_t at, uint32_t block)
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

static struct used used_blocks(const struct node *node)
{
    struct used used = { .count = 0 };
    const struct checkpoint *checkpoint = &node->replica->superblock.durable.checkpoint;
    EXPECT(node->limits.data_blocks <= BLOCKS_MAX);
    if (checkpoint->id.index > 0)
        used_add(node, &used, map_root(&node->limits), 0, checkpoint->root.block);
    return used;
}

/* ---- the map ---- */

TEST(a_map_has_a_level_for_every_power_of_its_fanout)
{
    EXPECT_EQUAL(map_fanout(&limits_production), 128);
    EXPECT_EQUAL(map_root(&limits_production), 3);
    EXPECT_EQUAL(map_count(&limits_production, 0), 512 * 1024);
    EXPECT_EQUAL(map_count(&limits_production, 1), 4096);
    EXPECT_EQUAL(map_count(&limits_production, 2), 32);
    EXPECT_EQUAL(map_count(&limits_production, 3), 1);
    EXPECT_EQUAL(map_blocks(&limits_production), 4096 + 32 + 1);
    EXPECT_EQUAL(map_root(&limits_micro), 1);
    EXPECT_EQUAL(map_blocks(&limits_micro), 1);
}

TEST(hashes_depend_on_the_pages_alone_and_checksums_on_the_place_as_well)
{
    const struct limits limits = rig_limits();
    struct rig *rig = rig_new(&limits);
    const struct replica *replica = rig->node->replica;
    uint8_t page[256] = { 0 };
    struct map_entry entries[8] = { { .block = 0 } };
    EXPECT_EQUAL(map_page_hash(replica, page).low, 0);
    EXPECT_EQUAL(map_block_hash(&limits, (const uint8_t *)entries).low, 0);
    page[255] = 1;
    entries[3] = (struct map_entry){ .hash = map_page_hash(replica, page), .block = 9, .checksum = 4 };
    EXPECT(entries[3].hash.low != 0);
    const struct hash128 hash = map_block_hash(&limits, (const uint8_t *)entries);
    const uint64_t checksum = map_block_checksum(replica, (const uint8_t *)entries, 1, 2);
    EXPECT(map_block_checksum(replica, (const uint8_t *)entries, 1, 3) != checksum);
    EXPECT(map_block_checksum(replica, (const uint8_t *)entries, 2, 2) != checksum);
    entries[3].block = 10;
    entries[3].checksum = 5;
    EXPECT(hash128_equal(map_block_hash(&limits, (const uint8_t *)entries), hash));
    EXPECT(map_block_checksum(replica, (const uint8_t *)entries, 1, 2) != checksum);
    entries[2] = entries[3];
    entries[3] = (struct map_entry){ .block = 0 };
    EXPECT(!hash128_equal(map_block_hash(&limits, (const uint8_t *)entries), hash));
    rig_free(rig);
}

TEST(sets_of_the_map_do_not_mix_levels)
{
    const struct limits limits = rig_limits();
    struct rig *rig = rig_new(&limits);
    struct replica *replica = rig->node->replica;
    for (uint32_t level = 0; level <= map_root(&limits); level++)
        for (uint32_t at = 0; at < map_count(&limits, level); at += 7)
            map_set_wanted(replica, level, at, true);
    for (uint32_t level = 0; level <= map_root(&limits); level++)
        for (uint32_t at = 0; at < map_count(&limits, level); at++)
            EXPECT_EQUAL(map_wanted(replica, level, at), at % 7 == 0);
    const uint32_t count = map_count(&limits, 1);
    EXPECT_EQUAL(count, 13);
    map_set_dirty(replica, 1, 5, true);
    map_set_dirty(replica, 2, 0, true);
    EXPECT_EQUAL(map_next_dirty(replica, 1, 0, 1), 5);
    EXPECT_EQUAL(map_next_dirty(replica, 1, 5, 1), 5);
    EXPECT_EQUAL(map_next_dirty(replica, 1, 6, 1), count);
    EXPECT_EQUAL(map_next_dirty(replica, 2, 0, 1), 0);
    EXPECT(!map_is_dirty(replica, 2, 1));
    rig_free(rig);
}

TEST(a_block_that_the_durable_checkpoint_uses_is_kept_until_the_next_one_is)
{
    const struct limits limits = rig_limits();
    struct rig *rig = rig_new(&limits);
    struct replica *replica = rig->node->replica;
    const uint32_t first = block_allocate(replica, 1);
    const uint32_t second = block_take(replica, first + 1, 2);
    EXPECT(first != 0 && second == first + 1);
    EXPECT_EQUAL(block_take(replica, first, 3), 0);
    EXPECT(block_is_fresh(replica, first));
    EXPECT_EQUAL(block_use(replica, second), 2);
    block_release(replica, second); /* nobody else knows of it */
    EXPECT_EQUAL(block_use(replica, second), BLOCK_FREE);
    uint32_t cursor = 0;
    EXPECT(block_settle(replica, &cursor));
    EXPECT(!block_is_fresh(replica, first));
    block_release(replica, first);
    EXPECT_EQUAL(block_use(replica, first), BLOCK_RETIRED);
    EXPECT_EQUAL(block_take(replica, first, 3), 0);
    cursor = 0;
    EXPECT(block_settle(replica, &cursor));
    EXPECT_EQUAL(replica->checkpoint.blocks_used, 0);
    EXPECT(!block_claim(replica, 0, 1) && !block_claim(replica, limits.data_blocks, 1));
    EXPECT(block_claim(replica, 7, 1) && !block_claim(replica, 7, 1));
    /* The cursor goes round, past what is used. */
    uint32_t blocks = 1;
    while (replica->checkpoint.blocks_used + 1 < limits.data_blocks)
        blocks += block_allocate(replica, BLOCK_MAP) != 0;
    EXPECT_EQUAL(blocks, limits.data_blocks - 1);
    rig_free(rig);
}

/* ---- writing ---- */

TEST(what_is_frozen_becomes_durable_while_applying_goes_on)
{
    const struct limits limits = rig_limits();
    struct rig *rig = rig_new(&limits);
    struct rig *probe = probe_new(rig);
    uint32_t changed = 0;
    for (uint32_t round = 0; round < 12; round++) {
        write_until_frozen(rig);
        /* Between any two completions of a write, more is applied. */
        while (!checkpoint_is_idle(rig->node->replica)) {
            random_write(rig, 12);
            settle(rig, false);
            changed += memcmp(page_raw_const(rig->node->replica, 0), rig->frozen, pages_bytes(rig->node)) != 0;
            for (uint32_t slot = 0; slot < rig->node->op_count; slot++)
                if (rig->node->ops[slot].device == DEVICE_DATA) {
                    node_complete(rig->node, slot, DISK_OK);
                    look(rig);
                    break;
                }
        }
        EXPECT_EQUAL(rig->durable_index, rig->frozen_index);
        probe_copy(probe, rig);
        probe_start(probe);
        EXPECT_EQUAL(probe->loads, 1);
        EXPECT_EQUAL(node_view(probe->node).applied, rig->durable_index);
        EXPECT(pages_equal(probe, rig->durable));
        rig_lead(probe);
        settle(rig, true);
        EXPECT(node_view(probe->node).state_digest == node_view(rig->node).state_digest);
    }
    EXPECT(changed > 50);
    rig_free(probe);
    rig_free(rig);
}

TEST(a_client_gets_a_checkpoint_for_the_asking_unless_nothing_has_changed)
{
    const struct limits limits = rig_limits();
    struct rig *rig = rig_new(&limits);
    put(rig, "key", 10, 1);
    for (uint32_t round = 0; round < 3; round++) {
        node_request(rig->node, 1, &(struct request){ .kind = REQUEST_CHECKPOINT });
        look(rig);
        settle(rig, true);
        EXPECT_EQUAL(rig->checkpoints, 1);
    }
    rig_free(rig);
}

TEST(applying_waits_when_the_shadow_pool_is_full)
{
    struct limits limits = rig_limits();
    limits.shadow_pages_max = 3;
    struct rig *rig = rig_new(&limits);
    write_until_frozen(rig);
    uint32_t waited = 0;
    for (uint32_t i = 0; i < 8; i++) {
        random_write(rig, 12);
        settle(rig, false);
        const struct replica_view view = node_view(rig->node);
        waited += view.applied < view.commit;
    }
    EXPECT(waited > 0);
    EXPECT(rig->node->replica->checkpoint.frozen_count > 3);
    settle(rig, true);
    EXPECT_EQUAL(node_view(rig->node).applied, node_view(rig->node).commit);
    EXPECT_EQUAL(rig->durable_index, rig->frozen_index);
    rig_free(rig);
}

/* checkpoint_touch() asserts that the pool has a slot: so the bound behind checkpoint_has_room() is one. */
TEST(no_entry_changes_more_pages_than_the_shadow_pool_has_room_for)
{
    struct limits limits = rig_limits();
    limits.pages_max = 400;
    limits.data_blocks = 1000;
    limits.shadow_pages_max = 160;
    limits.txn_writes_max = 4;
    struct rig *rig = rig_new(&limits);
    uint32_t most = 0;
    for (uint32_t i = 0; i < 3000; i++) {
        random_write(rig, 250);
        settle(rig, prng_chance(&rig->prng, 1, 20));
        most = u32_max(most, rig->node->replica->checkpoint.shadow_count);
    }
    EXPECT(most > 40);
    EXPECT(rig->checkpoints > 20);
    rig_free(rig);
}

TEST(no_block_of_the_durable_checkpoint_is_ever_written)
{
    struct limits limits = rig_limits();
    limits.data_blocks = 2 * (limits.pages_max + map_blocks(&limits)) + 2;
    struct rig *rig = rig_new(&limits);
    struct used used = used_blocks(rig->node);
    uint64_t used_index = 0;
    uint32_t writes = 0;
    while (rig->checkpoints < 30) {
        random_write(rig, 30);
        while (rig->node->op_count > 0 || rig->node->deadline_ns <= rig->node->now_ns) {
            if (rig->node->op_count > 0)
                node_complete(rig->node, (uint32_t)prng_below(&rig->prng, rig->node->op_count), DISK_OK);
            else
                node_tick(rig->node, 0);
            look(rig);
            if (rig->node->replica->superblock.durable.checkpoint.id.index != used_index)
                used = used_blocks(rig->node);
            used_index = rig->node->replica->superblock.durable.checkpoint.id.index;
            for (uint32_t slot = 0; slot < rig->node->op_count; slot++) {
                const struct node_op *op = &rig->node->ops[slot];
                for (uint32_t at = 0; op->device == DEVICE_DATA && at < op->bytes / limits.page_bytes; at++, writes++)
                    EXPECT_EQUAL(used.level_plus_1[op->offset / limits.page_bytes + at], 0);
            }
        }
    }
    EXPECT(writes > 1000);
    rig_free(rig);
}

TEST(pages_that_become_free_give_up_their_blocks)
{
    const struct limits limits = rig_limits();
    struct rig *rig = rig_new(&limits);
    char key[16];
    for (uint32_t i = 0; i < 40; i++) {
        snprintf(key, sizeof key, "k%u", i);
        put(rig, key, 150, 1);
        settle(rig, true);
    }
    while (rig->checkpoints < 1)
        put(rig, "k0", 150, 1), settle(rig, true);
    const uint32_t full = rig->node->replica->checkpoint.blocks_used;
    EXPECT_EQUAL(used_blocks(rig->node).count, full);
    for (uint32_t i = 0; i < 40; i++) {
        snprintf(key, sizeof key, "k%u", i);
        ask(rig, (struct request){ .kind = REQUEST_DELETE, .key = text(key) });
        settle(rig, true);
    }
    const uint32_t before = rig->checkpoints;
    while (rig->checkpoints == before)
        ask(rig, (struct request){ .kind = REQUEST_DELETE, .key = text("k0") }), settle(rig, true);
    EXPECT_EQUAL(used_blocks(rig->node).count, rig->node->replica->checkpoint.blocks_used);
    EXPECT(rig->node->replica->checkpoint.blocks_used + 40 < full);
    rig_free(rig);
}

TEST(equal_logs_give_equal_checkpoints_wherever_their_blocks_lie)
{
    const struct limits limits = rig_limits();
    struct limits other_limits = limits;
    other_limits.data_run_bytes_max = limits.page_bytes;
    other_limits.data_depth = 1;
    struct rig *rig = rig_new(&limits);
    struct rig *other = rig_new(&other_limits);
    other->node->replica->checkpoint.block_next = 101;
    uint32_t differ = 0;
    while (rig->checkpoints < 10) {
        random_write(rig, 20);
        settle(rig, true);
        random_write(other, 20);
        settle(other, true);
        const struct checkpoint *a = &rig->node->replica->stored.checkpoint;
        const struct checkpoint *b = &other->node->replica->stored.checkpoint;
        EXPECT_EQUAL(a->id.index, b->id.index);
        EXPECT(hash128_equal(a->hash, b->hash));
        EXPECT(a->id.index == 0 || hash128_equal(a->hash, checkpoint_hash(a->id, a->root.hash)));
        differ += a->root.block != b->root.block && a->root.checksum != b->root.checksum;
    }
    EXPECT(differ > 100);
    rig_free(rig);
    rig_free(other);
}

TEST(a_failed_write_stops_the_node)
{
    const struct limits limits = rig_limits();
    struct rig *rig = rig_new(&limits);
    write_until_frozen(rig);
    EXPECT_EQUAL(rig->node->ops[0].device, DEVICE_DATA);
    node_complete(rig->node, 0, DISK_ERROR);
    EXPECT_EQUAL(rig->node->stop, STOP_WRITE_FAILED);
    rig_free(rig);
}

/* ---- crashes ---- */

/* Power is lost now, and of the operations in flight those in the mask have landed. */
static void expect_old_or_new(struct rig *rig, struct rig *probe, const uint8_t *old, uint64_t old_index, uint32_t mask)
{
    struct node *node = rig->node;
    probe_copy(probe, rig);
    for (uint32_t slot = 0; slot < node->op_count; slot++)
        if ((mask >> slot & 1) != 0 && node->ops[slot].write)
            memcpy(node_device(probe->node, node->ops[slot].device, node->ops[slot].offset), node->ops[slot].source,
                   node->ops[slot].bytes);
    probe_start(probe);
    const struct replica_view view = node_view(probe->node);
    EXPECT_EQUAL(probe->damages, 0);
    EXPECT_EQUAL(probe->loads, old_index > 0 || view.applied > 0);
    EXPECT(view.applied == old_index || view.applied == rig->frozen_index);
    EXPECT(view.applied == rig->frozen_index || rig->durable_index == old_index);
    EXPECT(pages_equal(probe, view.applied == old_index ? old : rig->frozen));
    rig_lead(probe);
    EXPECT(node_view(probe->node).applied >= node_view(rig->node).applied);
}

TEST(a_crash_at_any_write_leaves_the_old_checkpoint_or_the_new_one)
{
    struct limits limits = rig_limits();
    limits.pages_max = 40;
    limits.data_blocks = 100;
    limits.checkpoint_entries = 12;
    struct rig *rig = rig_new(&limits);
    struct rig *probe = probe_new(rig);
    uint8_t *old = calloc(1, pages_bytes(rig->node));
    EXPECT(old != NULL);
    uint32_t crashes = 0;
    uint32_t with_new = 0;
    for (uint32_t round = 0; round < 4; round++) {
        memcpy(old, rig->durable, pages_bytes(rig->node));
        const uint64_t old_index = rig->durable_index;
        if (round == 0) { /* before the first checkpoint: the empty state */
            struct rig *empty = probe_new(rig);
            probe_start(empty);
            memcpy(old, page_raw_const(empty->node->replica, 0), pages_bytes(rig->node));
            rig_free(empty);
        }
        write_until_frozen(rig);
        while (!checkpoint_is_idle(rig->node->replica)) {
            random_write(rig, 12);
            EXPECT(rig->node->op_count < 8);
            for (uint32_t mask = 0; mask < 1u << rig->node->op_count; mask++, crashes++) {
                expect_old_or_new(rig, probe, old, old_index, mask);
                with_new += probe->node->replica->stored.checkpoint.id.index == rig->frozen_index;
            }
            if (rig->node->op_count > 0)
                node_complete(rig->node, (uint32_t)prng_below(&rig->prng, rig->node->op_count), DISK_OK);
            else
                node_tick(rig->node, 0);
            look(rig);
        }
        EXPECT_EQUAL(rig->durable_index, rig->frozen_index);
        settle(rig, true);
    }
    EXPECT(crashes > 200 && with_new > 20 && with_new < crashes);
    free(old);
    rig_free(probe);
    rig_free(rig);
}

/* ---- loading ---- */

/* A rig with a durable checkpoint of many pages. */
static struct rig *rig_with_checkpoint(const struct limits *limits)
{
    struct rig *rig = rig_new(limits);
    while (rig->checkpoints < 3) {
        random_write(rig, 25);
        settle(rig, true);
    }
    return rig;
}

TEST(loading_finds_every_damaged_block)
{
    const struct limits limits = rig_limits();
    struct rig *rig = rig_with_checkpoint(&limits);
    struct rig *probe = probe_new(rig);
    const struct used used = used_blocks(rig->node);
    EXPECT(used.count > 20);
    for (uint32_t block = 1; block < limits.data_blocks; block++) {
        if (used.level_plus_1[block] == 0)
            continue;
        const uint32_t level = used.level_plus_1[block] - 1u;
        probe_copy(probe, rig);
        const uint64_t bit = prng_below(&rig->prng, limits.page_bytes * 8);
        probe->node->data[(size_t)block * limits.page_bytes + bit / 8] ^= (uint8_t)(1 << (bit % 8));
        probe_start(probe);
        const struct replica *replica = probe->node->replica;
        EXPECT_EQUAL(probe->loads, 0);
        EXPECT_EQUAL(probe->damages, 1);
        EXPECT_EQUAL(replica->store.state, STORE_DAMAGED);
        EXPECT_EQUAL(replica->store.map_damaged, level > 0);
        EXPECT_EQUAL(node_view(probe->node).applied, 0);
        for (uint32_t other = 0; other <= map_root(&limits); other++)
            for (uint32_t at = 0; at < map_count(&limits, other); at++)
                EXPECT_EQUAL(map_wanted(replica, other, at), other == level && at == used.at[block]);
        /* It takes part in everything but the state machine. */
        rig_lead(probe);
        EXPECT_EQUAL(node_view(probe->node).applied, 0);
    }
    rig_free(probe);
    rig_free(rig);
}

/* Starts the probe; reads that touch the block fail that many times. */
static void probe_start_failing(struct rig *probe, uint32_t block, uint32_t failures)
{
    struct node *node = probe->node;
    node_crash(node);
    node_start(node);
    look(probe);
    while (node->op_count > 0 || node->deadline_ns <= node->now_ns) {
        if (node->op_count == 0) {
            node_tick(node, 0);
            look(probe);
            continue;
        }
        const struct node_op *op = &node->ops[0];
        const uint32_t first = (uint32_t)(op->offset / node->limits.page_bytes);
        const bool hit = op->device == DEVICE_DATA && !op->write && block >= first
                         && block < first + op->bytes / node->limits.page_bytes && failures > 0;
        failures -= hit ? 1 : 0;
        node_complete(node, 0, hit ? DISK_ERROR : DISK_OK);
        look(probe);
    }
}

TEST(what_cannot_be_read_is_asked_for_again_by_blocks_before_it_counts_as_lost)
{
    const struct limits limits = rig_limits();
    struct rig *rig = rig_with_checkpoint(&limits);
    struct rig *probe = probe_new(rig);
    const struct used used = used_blocks(rig->node);
    for (uint32_t block = 1; block < limits.data_blocks; block++) {
        if (used.level_plus_1[block] == 0)
            continue;
        const uint32_t level = used.level_plus_1[block] - 1u;
        probe_copy(probe, rig);
        probe_start_failing(probe, block, 2);
        EXPECT(store_is_ready(probe->node->replica));
        EXPECT_EQUAL(probe->retries, 2);
        EXPECT(pages_equal(probe, rig->durable));
        probe_copy(probe, rig);
        probe_start_failing(probe, block, UINT32_MAX);
        EXPECT_EQUAL(probe->node->replica->store.state, STORE_DAMAGED);
        EXPECT_EQUAL(probe->damages, 1);
        EXPECT(probe->retries >= STORE_READ_TRIES && probe->retries <= STORE_READ_TRIES + 1);
        EXPECT(map_wanted(probe->node->replica, level, used.at[block]));
    }
    rig_free(probe);
    rig_free(rig);
}

/* The answer to one request, without a step that could load anything. */
static enum reply_status answer(struct rig *rig, const struct request *request)
{
    struct reply reply;
    node_request(rig->node, 1, request);
    EXPECT_EQUAL(rig->node->sent_count, 1);
    EXPECT_EQUAL(reply_decode((struct slice){ .bytes = rig->node->sent[0].bytes, .count = rig->node->sent[0].count },
                              NODE_FRAME_BYTES_MAX, &reply),
                 FRAME_OK);
    look(rig);
    return reply.status;
}

TEST(a_store_that_is_loading_turns_clients_away)
{
    const struct limits limits = rig_limits();
    struct rig *rig = rig_with_checkpoint(&limits);
    struct node *node = rig->node;
    const struct request get = { .kind = REQUEST_GET, .key = text("k1") };
    const struct request stale = { .kind = REQUEST_GET_STALE, .key = text("k1") };
    const struct request write = {
        .kind = REQUEST_PUT, .key = text("k1"), .session = rig->session, .sequence = 1 + rig->sequence
    };
    node_crash(node);
    node_start(node);
    settle(rig, false);
    EXPECT_EQUAL(node_view(node).role, RAFT_FOLLOWER);
    EXPECT(node->op_count > 0 && node->ops[0].device == DEVICE_DATA);
    EXPECT_EQUAL(answer(rig, &stale), REPLY_BUSY);
    EXPECT_EQUAL(answer(rig, &write), REPLY_NOT_LEADER);
    node_tick(node, TIMEOUT_NS);
    look(rig);
    settle(rig, false);
    EXPECT_EQUAL(node_view(node).role, RAFT_LEADER);
    EXPECT(node_view(node).commit > rig->durable_index);
    EXPECT_EQUAL(answer(rig, &stale), REPLY_BUSY);
    EXPECT_EQUAL(answer(rig, &get), REPLY_BUSY);
    EXPECT_EQUAL(answer(rig, &write), REPLY_BUSY);
    EXPECT_EQUAL(node_view(node).applied, 0);
    settle(rig, true);
    EXPECT_EQUAL(node_view(node).applied, node_view(node).commit);
    EXPECT_EQUAL(answer(rig, &stale), REPLY_OK);
    rig_free(rig);
}

TEST(pages_that_an_install_has_not_got_yet_are_wanted_after_a_restart)
{
    const struct limits limits = rig_limits();
    struct rig *rig = rig_with_checkpoint(&limits);
    struct replica *replica = rig->node->replica;
    const struct log_id id = replica->stored.checkpoint.id;
    const uint32_t page = page_sessions(replica);
    struct map_entry *entry = map_entry(replica, 0, page);
    EXPECT(entry->block != 0);
    block_release(replica, entry->block);
    *entry = (struct map_entry){ .hash = { .low = 1, .high = 2 } };
    map_set_dirty(replica, 1, page / map_fanout(&limits), true);
    checkpoint_adopt(replica, id, true);
    settle(rig, true);
    EXPECT(checkpoint_is_idle(replica));
    EXPECT_EQUAL(replica->superblock.durable.flags, STORED_PARTIAL);
    struct rig *probe = probe_new(rig);
    probe_copy(probe, rig);
    probe_start(probe);
    EXPECT_EQUAL(probe->node->replica->store.state, STORE_DAMAGED);
    EXPECT_EQUAL(probe->node->replica->store.pages_damaged, 1);
    EXPECT(store_page_damaged(probe->node->replica, page));
    EXPECT_EQUAL(probe->damages, 1);
    rig_free(probe);
    rig_free(rig);
}

TEST(a_load_with_a_known_map_replaces_what_is_dirty_and_nothing_else)
{
    const struct limits limits = rig_limits();
    struct rig *rig = rig_with_checkpoint(&limits);
    struct rig *probe = probe_new(rig);
    probe_copy(probe, rig);
    probe_start(probe);
    struct replica *replica = probe->node->replica;
    const uint32_t loaded = replica->store.loaded;
    uint32_t zero = limits.pages_max - 1;
    EXPECT(map_entry_is_zero(map_entry_const(replica, 0, zero)));
    memset(page_raw(replica, zero), 7, limits.page_bytes);
    checkpoint_touch(replica, zero);
    memset(page_raw(replica, page_sessions(replica)), 7, limits.page_bytes);
    checkpoint_touch(replica, page_sessions(replica));
    page_root(replica)->keys += 5;
    store_load(replica, &probe->node->output, true);
    EXPECT(!store_is_ready(replica));
    node_tick(probe->node, 0);
    look(probe);
    settle(probe, true);
    EXPECT(store_is_ready(replica));
    EXPECT(pages_equal(probe, rig->durable));
    EXPECT_EQUAL(replica->store.loaded, loaded + 2);
    rig_free(probe);
    rig_free(rig);
}

TEST_MAIN()

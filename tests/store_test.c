/* Loading a checkpoint: all of it, or whatever is not as it was written is found and nothing else; and what a node does
 * meanwhile. */
#include "checkpoint_rig.h"
#include "test.h"

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
        EXPECT(probe->retries >= STORE_READ_TRIES - 1);
        EXPECT_EQUAL(replica->store.state, STORE_DAMAGED);
        EXPECT_EQUAL(replica->store.map_damaged, level > 0);
        EXPECT_EQUAL(node_view(probe->node).applied, 0);
        for (uint32_t other = 0; other <= map_root(&limits); other++)
            for (uint32_t at = 0; at < map_count(&limits, other); at++)
                EXPECT_EQUAL(map_wanted(replica, other, at), other == level && at == used.at[block]);
        EXPECT_EQUAL(probe->node->stop, STOP_DATA_DAMAGED);
    }
    rig_free(probe);
    rig_free(rig);
}

/* Starts the probe; reads that touch the block fail that many times, with an error or with wrong bytes. */
static void probe_start_failing(struct rig *probe, uint32_t block, uint32_t failures, bool lies)
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
        uint8_t *byte = node->data + (size_t)block * node->limits.page_bytes;
        failures -= hit ? 1 : 0;
        *byte ^= hit ? 1 : 0;
        node_complete(node, 0, hit && !lies ? DISK_ERROR : DISK_OK);
        *byte ^= hit ? 1 : 0;
        look(probe);
    }
}

TEST(what_cannot_be_read_or_is_wrong_is_asked_for_again_before_it_counts_as_lost)
{
    const struct limits limits = rig_limits();
    struct rig *rig = rig_with_checkpoint(&limits);
    struct rig *probe = probe_new(rig);
    const struct used used = used_blocks(rig->node);
    for (uint32_t block = 1; block < limits.data_blocks; block++) {
        if (used.level_plus_1[block] == 0)
            continue;
        const uint32_t level = used.level_plus_1[block] - 1u;
        for (uint32_t lies = 0; lies < 2; lies++) {
            probe_copy(probe, rig);
            probe_start_failing(probe, block, 2, lies != 0);
            EXPECT(store_is_ready(probe->node->replica));
            EXPECT_EQUAL(probe->retries, 2);
            EXPECT_EQUAL(probe->damages, 0);
            EXPECT(pages_equal(probe, rig->durable));
        }
        probe_copy(probe, rig);
        probe_start_failing(probe, block, UINT32_MAX, false);
        EXPECT_EQUAL(probe->node->replica->store.state, STORE_DAMAGED);
        EXPECT_EQUAL(probe->damages, 1);
        EXPECT(probe->retries >= STORE_READ_TRIES - 1 && probe->retries <= STORE_READ_TRIES);
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

/* ---- without anybody who has it, too ---- */

static struct limits lone_limits(void)
{
    struct limits limits = limits_tiny;
    limits.checkpoint_entries = 64;
    limits.checkpoint_wal_blocks = 120;
    return limits;
}

/* A lone voter that has written until it has a checkpoint. */
static struct node *lone_node_with_checkpoint(const struct limits *limits)
{
    const struct replica_config config = node_config(1);
    struct node *node = node_new(limits, &config, node_voters(1));
    node_start(node);
    node_settle(node);
    node_tick(node, TIMEOUT_NS);
    node_settle(node);
    const struct request request = { .request_id = 1, .kind = REQUEST_REGISTER };
    for (uint32_t i = 0; i < 200 && node->replica->superblock.durable.checkpoint.id.index == 0; i++) {
        node_request(node, 1, &request);
        node_settle(node);
    }
    EXPECT(node->replica->superblock.durable.checkpoint.id.index > 0);
    return node;
}

TEST(a_lone_voter_with_a_damaged_page_stops_and_says_so)
{
    const struct limits limits = lone_limits();
    struct node *node = lone_node_with_checkpoint(&limits);
    const uint32_t block = map_entry_const(node->replica, 0, 0)->block;
    node_crash(node);
    node_start(node);
    node_settle(node);
    EXPECT_EQUAL(node->stop, 0);
    node_crash(node);
    node->data[(uint64_t)block * limits.page_bytes] ^= 1;
    node_start(node);
    node_settle(node);
    EXPECT_EQUAL(node->stop, STOP_DATA_DAMAGED);
    node_free(node);
}

TEST(a_lone_voter_stops_for_a_damaged_entry_only_if_its_checkpoint_lacks_it)
{
    const struct limits limits = lone_limits();
    struct node *node = lone_node_with_checkpoint(&limits);
    const struct request request = { .request_id = 1, .kind = REQUEST_REGISTER };
    for (uint32_t i = 0; i < 4; i++) {
        node_request(node, 1, &request);
        node_settle(node);
    }
    const uint64_t covered = node->replica->stored.checkpoint.id.index;
    const uint64_t base = node->replica->log.base.index;
    EXPECT(base + 2 < covered && covered + 2 < node->replica->log.last.index);
    /* Both are named, and each has an intact batch behind it. */
    const uint64_t block = limits.block_bytes;
    const uint64_t ring = wal_body_offset(&limits);
    const uint64_t inside = log_entry_lsn(node->replica, base + 1) % wal_ring_bytes(&limits) / block * block;
    const uint64_t behind = log_entry_lsn(node->replica, covered + 1) % wal_ring_bytes(&limits) / block * block;
    node_crash(node);
    memset(node->image + ring + inside, 0xff, block);
    node_start(node);
    node_settle(node);
    EXPECT_EQUAL(node->stop, 0);
    EXPECT_EQUAL(node->replica->stored.checkpoint.id.index, covered);
    EXPECT(node->replica->log.base.index > base && node->replica->log.first_faulty == 0);
    node_crash(node);
    memset(node->image + ring + behind, 0xff, block);
    node_start(node);
    node_settle(node);
    EXPECT_EQUAL(node->stop, STOP_WAL_DAMAGED);
    node_free(node);
}

TEST_MAIN()

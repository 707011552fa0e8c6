/* Checkpoints: what is frozen is what becomes durable while applying goes on, and a crash leaves the old one or the new
 * one. */
#include "checkpoint_rig.h"
#include "test.h"

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

/* The ring holds what is kept and what calls for the next checkpoint, and hardly more. A full log grows no further, so
 * its growth says nothing of what is due; and at the pace of an idle disk, clients would be refused for seconds. */
TEST(a_full_log_does_not_wait_for_the_pace_of_an_idle_disk)
{
    struct limits limits = rig_limits();
    limits.checkpoint_kib_per_second = 1;
    limits.checkpoint_wal_blocks = 100;
    limits.checkpoint_entries = 1000;
    limits.wal_retain_blocks = 60;
    limits.wal_body_blocks = limits.checkpoint_wal_blocks + limits.wal_retain_blocks + limits.wal_reserve_blocks + 1;
    EXPECT(limits_problem(&limits) == NULL);
    struct rig *rig = rig_new(&limits);
    const struct replica *replica = rig->node->replica;
    const uint32_t bytes = limits_command_bytes_max(&limits);
    for (uint32_t i = 0; i < 1000 && wal_has_room(replica, bytes, limits.wal_reserve_blocks); i++) {
        node_tick(rig->node, rig->checkpoints == 0 ? TIMEOUT_NS : 0); /* the first one is not hurried by the log */
        look(rig);
        random_write(rig, 40);
        settle(rig, rig->checkpoints == 0);
    }
    EXPECT(!wal_has_room(replica, bytes, limits.wal_reserve_blocks));
    EXPECT_EQUAL(replica->checkpoint.phase, CHECKPOINT_PAGES);
    EXPECT(replica->checkpoint.frozen_count > 2 * limits.data_run_bytes_max / limits.page_bytes);
    EXPECT(replica->checkpoint.shadow_count < limits.shadow_pages_max / 2);
    EXPECT(rig->frozen_index + 10 > replica->log.last.index);
    const uint64_t now_ns = rig->node->now_ns;
    settle(rig, true);
    EXPECT_EQUAL(rig->node->now_ns, now_ns);
    EXPECT_EQUAL(rig->durable_index, rig->frozen_index);
    EXPECT(wal_has_room(replica, bytes, limits.wal_reserve_blocks));
    rig_free(rig);
}

/* checkpoint_touch() asserts that the pool has a slot: so the bound behind checkpoint_has_room() is one. */
TEST(no_entry_changes_more_pages_than_the_shadow_pool_has_room_for)
{
    struct limits limits = rig_limits();
    limits.pages_max = 1600;
    limits.data_blocks = 4000;
    limits.shadow_pages_max = 124;
    limits.log_entries_max = 32768;
    limits.wal_body_blocks = 32768;
    limits.checkpoint_entries = 400;
    limits.txn_writes_max = 4;
    struct rig *rig = rig_new(&limits);
    uint32_t most = 0;
    for (uint32_t i = 0; i < 15000; i++) {
        random_write(rig, 1200);
        settle(rig, prng_chance(&rig->prng, 1, 150));
        most = u32_max(most, rig->node->replica->checkpoint.shadow_count);
    }
    EXPECT(most > 12);
    EXPECT(rig->checkpoints > 10);
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

/* The log keeps some of what lies before a checkpoint: that does not count towards the next one. */
TEST(a_restart_does_not_bring_the_next_checkpoint_forward)
{
    struct limits limits = rig_limits();
    limits.checkpoint_entries = limits.log_entries_max / 4;
    limits.checkpoint_wal_blocks = 200;
    limits.wal_retain_blocks = 100;
    struct rig *rig = rig_new(&limits);
    while (rig->checkpoints < 3)
        put(rig, "k", 10, 1), settle(rig, true);
    for (uint32_t i = 0; i < 150; i++)
        put(rig, "k", 10, 1), settle(rig, true);
    struct rig *probe = probe_new(rig);
    probe_copy(probe, rig);
    probe_start(probe);
    const struct replica *replica = probe->node->replica;
    const uint64_t frozen_lsn = rig->node->replica->checkpoint.frozen_lsn;
    EXPECT(replica->stored.head.lsn + 90 * limits.block_bytes < frozen_lsn);
    EXPECT(replica->checkpoint.frozen_lsn < frozen_lsn);
    EXPECT(replica->checkpoint.frozen_lsn + 2 * limits.block_bytes > frozen_lsn);
    EXPECT(!checkpoint_is_due(replica));
    rig_free(probe);
    rig_free(rig);
}

/* While the scrub writes there, the checkpoint gets as far as `waits`; then it goes on. */
static void scrub_holds_up(enum scrub_phase writes, enum checkpoint_phase waits)
{
    const struct limits limits = rig_limits();
    struct rig *rig = rig_new(&limits);
    struct replica *replica = rig->node->replica;
    write_until_frozen(rig);
    const struct scrub before = replica->scrub;
    const uint64_t head_lsn = replica->stored.head.lsn;
    EXPECT_EQUAL(before.in_flight, 0);
    replica->scrub.phase = writes;
    replica->scrub.in_flight = limits.page_bytes;
    replica->scrub.writing = true;
    settle(rig, true);
    EXPECT_EQUAL(replica->checkpoint.phase, waits);
    EXPECT_EQUAL(replica->superblock.durable.checkpoint.id.index == rig->frozen_index, waits == CHECKPOINT_RETIRE);
    EXPECT(waits == CHECKPOINT_RETIRE || replica->stored.head.lsn == head_lsn);
    replica->scrub = before;
    node_tick(rig->node, 0);
    look(rig);
    settle(rig, true);
    EXPECT(checkpoint_is_idle(replica));
    EXPECT_EQUAL(rig->durable_index, rig->frozen_index);
    rig_free(rig);
}

TEST(no_block_is_given_up_while_the_scrub_writes_it_again) { scrub_holds_up(SCRUB_PAGES, CHECKPOINT_RETIRE); }
TEST(the_head_stays_while_the_scrub_writes_the_log_again) { scrub_holds_up(SCRUB_BODY, CHECKPOINT_HEAD); }

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

/* A follower of leader 1, whose log gets `count` entries; those in the mask are markers. All are committed. */
static struct rig *follower_with(const struct limits *limits, uint32_t count, uint32_t markers)
{
    struct replica_config config = node_config(2);
    uint8_t bytes[1024];
    struct message message = {
        .type = FRAME_APPEND_REQUEST,
        .from = 1,
        .to = 2,
        .instance = 1001,
        .term = 1,
        .append_request = { .commit = count, .entry_count = count, .entries = { .bytes = bytes } },
    };
    for (uint32_t i = 0; i < count; i++) {
        const struct entry entry = { .id = { .term = 1, .index = i + 1 },
                                     .kind = (markers >> i & 1) != 0 ? ENTRY_CHECKPOINT : ENTRY_NOOP };
        entry_encode(&entry, bytes + message.append_request.entries.count);
        message.append_request.entries.count += entry_bytes(0);
    }
    struct rig *rig = calloc(1, sizeof *rig);
    EXPECT(rig != NULL);
    rig->node = node_new(limits, &config, node_voters(3));
    rig->frozen = calloc(1, pages_bytes(rig->node));
    rig->durable = calloc(1, pages_bytes(rig->node));
    EXPECT(rig->frozen != NULL && rig->durable != NULL);
    node_start(rig->node);
    look(rig);
    settle(rig, true);
    node_message(rig->node, &message);
    look(rig);
    return rig;
}

TEST(the_next_marker_waits_for_the_checkpoint_before_it)
{
    const struct limits limits = rig_limits();
    struct rig *rig = follower_with(&limits, 5, 1u << 1 | 1u << 3);
    settle(rig, false);
    EXPECT_EQUAL(rig->frozen_index, 2);
    EXPECT_EQUAL(node_view(rig->node).applied, 3);
    settle(rig, true);
    EXPECT_EQUAL(rig->checkpoints, 2);
    EXPECT_EQUAL(rig->durable_index, 4);
    EXPECT_EQUAL(node_view(rig->node).applied, 5);
    rig_free(rig);
}

TEST(a_checkpoint_counts_only_when_the_log_before_it_is_durable)
{
    const struct limits limits = rig_limits();
    struct rig *rig = follower_with(&limits, 2, 1u << 1);
    struct node *node = rig->node;
    /* Everything but the batch: the term, and what lies on device 1. */
    for (uint32_t slot = 0; slot < node->op_count || node->deadline_ns <= node->now_ns;) {
        const bool batch = slot < node->op_count && node->ops[slot].device == DEVICE_WAL
                           && node->ops[slot].offset >= wal_body_offset(&limits);
        if (batch)
            slot++;
        else if (slot < node->op_count)
            node_complete(node, slot, DISK_OK);
        else
            node_tick(node, 0);
        slot = batch ? slot : 0;
        look(rig);
    }
    EXPECT_EQUAL(node->op_count, 1);
    EXPECT_EQUAL(rig->frozen_index, 2);
    EXPECT_EQUAL(node->replica->checkpoint.phase, CHECKPOINT_HEAD);
    EXPECT_EQUAL(node->replica->stored.checkpoint.id.index, 0);
    settle(rig, true);
    EXPECT_EQUAL(rig->durable_index, 2);
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

TEST_MAIN()

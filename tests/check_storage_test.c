/* The simulator's checkers against replicas and disks that lie about logs, damage, checkpoints and repair; how, is in
 * check_test.c. What damage explains must pass; the same without the damage must not. */
#include "test.h"

#include "../core/page.h"
#include "../sim/check.h"
#include "check_cluster.h"

static const struct limits *const limits = &limits_tiny;

static uint64_t body(void) { return wal_body_offset(limits); }

static void expect_text(const struct cluster *c, const char *part)
{
    EXPECT(strstr(check_result(c->check)->text, part) != NULL);
}

#define EXPECT_CAUGHT_SAYING(cluster, kind, part) \
    do { \
        EXPECT_TEXT(verdict(cluster), check_kind_text(kind)); \
        expect_text(cluster, part); \
        cluster_free(cluster); \
    } while (0)

/* Where the entry lies on its node's device 0: of the block with the entry's header. */
static uint64_t entry_block(const struct cluster *c, uint32_t n, uint64_t index)
{
    const uint64_t lsn = log_entry_lsn(c->nodes[n]->replica, index) % wal_ring_bytes(limits);
    return body() + lsn / limits->block_bytes * limits->block_bytes;
}

/* A bit of a block turns over; `told`: as an injected fault, which the world reports. */
static void rot(struct cluster *c, uint32_t n, uint32_t device, uint64_t offset, bool told)
{
    const uint32_t bytes = device == DEVICE_WAL ? limits->block_bytes : limits->page_bytes;
    *node_device(c->nodes[n], device, offset + bytes / 2 - 1) ^= 1;
    if (told)
        landed(c, n, device, offset, bytes, true);
}

/* Reads its disk; nobody talks to it. */
static void recover(struct cluster *c, uint32_t n)
{
    restart(c, n);
    while (c->nodes[n]->op_count > 0 && !check_result(c->check)->failed)
        complete(c, n);
}

/* Node 0 leads; `count` more entries, on all nodes. */
static struct cluster *cluster_with(uint32_t count)
{
    struct cluster *c = cluster_new();
    for (uint32_t i = 0; i < count; i++)
        call(c, 0, put(c, "two"));
    tick(c, 0, 25 * 1000 * 1000);
    settle(c);
    EXPECT_TEXT(verdict(c), "none");
    return c;
}

/* All have the same checkpoint, and nothing is applied behind it. */
static struct cluster *cluster_with_checkpoint(void)
{
    struct cluster *c = cluster_new();
    for (uint32_t i = 0; i < 50 && c->nodes[1]->replica->superblock.durable.checkpoint.id.index == 0; i++) {
        call(c, 0, put(c, "two"));
        tick(c, 0, 25 * 1000 * 1000);
        settle(c);
    }
    EXPECT_TEXT(verdict(c), "none");
    for (uint32_t n = 0; n < NODES; n++)
        EXPECT(c->nodes[n]->replica->superblock.durable.checkpoint.id.index == node_view(c->nodes[n]).applied);
    return c;
}

/* The next content of the superblock of the node, as if it had written it. */
static void write_superblock(struct cluster *c, uint32_t n, const struct stored *stored)
{
    struct node *node = c->nodes[n];
    struct superblock_writer writer = node->replica->superblock;
    writer.sequence++;
    writer.writing = *stored;
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++) {
        const uint64_t at = superblock_offset(limits, copy);
        writer.hash = node->replica->superblock.hash;
        superblock_fill(limits, &node->config, &writer, node->image + at);
        landed(c, n, DEVICE_WAL, at, limits_superblock_bytes(limits), false);
    }
}

static struct stored stored_of(const struct cluster *c, uint32_t n) { return c->nodes[n]->replica->superblock.durable; }

/* ---- what must pass ---- */

TEST(laps_checkpoints_restarts_and_an_install_pass)
{
    struct cluster *c = cluster_new();
    c->cut[2] = true;
    while (c->nodes[0]->replica->wal.tail < 2 * wal_ring_bytes(limits)) {
        call(c, 0, put(c, "a value of some length, so that batches have several blocks"));
        tick(c, 0, 25 * 1000 * 1000);
        settle(c);
    }
    EXPECT(node_view(c->nodes[0]).base.index > node_view(c->nodes[2]).last.index);
    c->cut[2] = false;
    for (uint32_t i = 0; i < 200 && node_view(c->nodes[2]).applied < node_view(c->nodes[0]).applied; i++) {
        for (uint32_t n = 0; n < NODES; n++)
            tick(c, n, 25 * 1000 * 1000);
        settle(c);
    }
    EXPECT_EQUAL(node_view(c->nodes[2]).applied, node_view(c->nodes[0]).applied);
    for (uint32_t n = 0; n < NODES; n++) {
        restart(c, n);
        settle(c);
    }
    elect(c, 2);
    call(c, 2, put(c, "three"));
    EXPECT_TEXT(check_result(c->check)->text, "");
    cluster_free(c);
}

TEST(damage_that_is_known_by_name_and_repaired_passes)
{
    struct cluster *c = cluster_with(4);
    const uint64_t index = node_view(c->nodes[1]).last.index - 2;
    rot(c, 1, DEVICE_WAL, entry_block(c, 1, index), true);
    recover(c, 1);
    EXPECT_TEXT(check_result(c->check)->text, "");
    EXPECT_EQUAL(node_view(c->nodes[1]).first_faulty, index);
    for (uint32_t i = 0; i < 20 && node_view(c->nodes[1]).first_faulty != 0; i++) {
        tick(c, 0, 25 * 1000 * 1000);
        settle(c);
    }
    EXPECT_EQUAL(node_view(c->nodes[1]).first_faulty, 0);
    recover(c, 1);
    settle(c);
    EXPECT_EQUAL(node_view(c->nodes[1]).first_faulty, 0);
    EXPECT_TEXT(check_result(c->check)->text, "");
    cluster_free(c);
}

TEST(damage_that_is_mended_before_it_is_read_leaves_no_excuse)
{
    struct cluster *c = cluster_with(4);
    const uint64_t at = entry_block(c, 1, node_view(c->nodes[1]).last.index - 2);
    rot(c, 1, DEVICE_WAL, at, true);
    rot(c, 1, DEVICE_WAL, at, false);
    landed(c, 1, DEVICE_WAL, at, limits->block_bytes, false);
    rot(c, 1, DEVICE_WAL, at, false);
    recover(c, 1);
    EXPECT_CAUGHT_SAYING(c, CHECK_RECOVERY, "which no fault has damaged");
}

TEST(lost_pages_that_a_peer_restores_pass)
{
    struct cluster *c = cluster_with_checkpoint();
    const struct map_entry *page = map_entry_const(c->nodes[1]->replica, 0, 0);
    rot(c, 1, DEVICE_DATA, (uint64_t)page->block * limits->page_bytes, true);
    recover(c, 1);
    for (uint32_t i = 0; i < 200 && !node_view(c->nodes[1]).store_ready; i++) {
        for (uint32_t n = 0; n < NODES; n++)
            tick(c, n, 25 * 1000 * 1000);
        settle(c);
    }
    EXPECT(node_view(c->nodes[1]).store_ready);
    EXPECT_TEXT(check_result(c->check)->text, "");
    cluster_free(c);
}

/* ---- logs ---- */

TEST(an_entry_lost_without_damage_is_caught)
{
    struct cluster *c = cluster_with(4);
    rot(c, 1, DEVICE_WAL, entry_block(c, 1, node_view(c->nodes[1]).last.index - 2), false);
    recover(c, 1);
    EXPECT_CAUGHT_SAYING(c, CHECK_RECOVERY, "which no fault has damaged");
}

static struct cluster *cluster_with_a_lost_entry(uint64_t *index)
{
    struct cluster *c = cluster_with(4);
    *index = node_view(c->nodes[1]).last.index - 2;
    rot(c, 1, DEVICE_WAL, entry_block(c, 1, *index), true);
    recover(c, 1);
    EXPECT_EQUAL(node_view(c->nodes[1]).first_faulty, *index);
    EXPECT_TEXT(verdict(c), "none");
    return c;
}

TEST(a_match_over_a_lost_entry_is_caught)
{
    for (int above = 0; above < 2; above++) {
        uint64_t index;
        struct cluster *c = cluster_with_a_lost_entry(&index);
        const struct message lie = {
            .type = FRAME_APPEND_RESPONSE,
            .to = 1,
            .term = node_view(c->nodes[1]).term,
            .append_response = { .match = index + (uint64_t)above },
        };
        send_lie(c, 1, lie);
        EXPECT_CAUGHT(c, CHECK_PROMISE_APPEND);
    }
}

TEST(an_entry_that_counts_as_durable_before_its_repair_is_caught)
{
    uint64_t index;
    struct cluster *c = cluster_with_a_lost_entry(&index);
    struct replica *replica = c->nodes[1]->replica;
    replica->log.first_faulty = 0;
    look(c, 1);
    EXPECT_CAUGHT(c, CHECK_PROMISE_APPEND);
}

TEST(a_repair_with_other_bytes_is_caught)
{
    struct cluster *c = cluster_with(4);
    struct replica *replica = c->nodes[1]->replica;
    const struct log_id last = node_view(c->nodes[1]).last;
    const struct slice entry = log_entry_bytes(replica, last.index - 2);
    uint8_t *mirror = region_at(replica, replica->areas.wal_body);
    mirror[(size_t)(entry.bytes - mirror) + entry.count - 8] ^= 1;
    struct event event = { .kind = EVENT_ENTRY_REPAIRED, .a = last.index - 2, .b = last.term };
    const struct output lie = { .event_count = 1, .event_max = 1, .events = &event };
    check_step(c->check, 1, replica, &lie);
    EXPECT_CAUGHT(c, CHECK_LOG_MATCHING);
}

TEST(an_applied_entry_that_is_lost_is_caught)
{
    struct cluster *c = cluster_with(4);
    struct replica *replica = c->nodes[1]->replica;
    replica->log.first_faulty = replica->applied;
    look(c, 1);
    EXPECT_CAUGHT(c, CHECK_STATE_MACHINE);
}

TEST(a_log_that_begins_behind_what_nobody_committed_is_caught)
{
    struct cluster *c = cluster_with_checkpoint();
    c->nodes[1]->replica->log.base.term += 2;
    c->nodes[1]->replica->log.base.index++;
    look(c, 1);
    EXPECT_CAUGHT(c, CHECK_LOG_MATCHING);
}

/* What is in the log is written over, while the node runs and without damage. */
TEST(a_batch_that_is_written_over_is_caught)
{
    struct cluster *c = cluster_with(4);
    const uint64_t at = entry_block(c, 1, node_view(c->nodes[1]).last.index - 2);
    rot(c, 1, DEVICE_WAL, at, false);
    landed(c, 1, DEVICE_WAL, at, limits->block_bytes, false);
    EXPECT_CAUGHT(c, CHECK_RECOVERY);
}

TEST(a_head_in_the_middle_of_nowhere_is_caught)
{
    struct cluster *c = cluster_with(4);
    struct stored stored = stored_of(c, 1);
    stored.head.lsn += limits->block_bytes;
    write_superblock(c, 1, &stored);
    EXPECT_CAUGHT(c, CHECK_RECOVERY);
}

/* ---- abstention ---- */

/* The last batch is damaged, and the name that says that it was there goes back to what it was, behind the checker's
 * back: the node cuts off what had been named. */
TEST(a_named_batch_that_is_cut_off_without_abstaining_is_caught)
{
    struct cluster *c = cluster_with(4);
    struct node *node = c->nodes[1];
    uint8_t names[4096];
    const uint64_t bytes = body() - wal_header_offset(limits);
    tick(c, 1, 25 * 1000 * 1000);
    settle(c);
    EXPECT(bytes <= sizeof names);
    memcpy(names, node->image + wal_header_offset(limits), bytes);
    call(c, 0, put(c, "two"));
    tick(c, 1, 25 * 1000 * 1000);
    settle(c);
    rot(c, 1, DEVICE_WAL, entry_block(c, 1, node_view(node).last.index), true);
    memcpy(node->image + wal_header_offset(limits), names, bytes);
    recover(c, 1);
    EXPECT_CAUGHT_SAYING(c, CHECK_RECOVERY, "would vote");
}

TEST(an_abstention_that_nothing_explains_is_caught)
{
    struct cluster *c = cluster_with(4);
    restart(c, 1);
    while (c->nodes[1]->replica->recovery.phase < RECOVERY_BODY)
        complete(c, 1);
    c->nodes[1]->replica->stored.flags = c->nodes[1]->replica->superblock.durable.flags = STORED_ABSTAIN;
    while (c->nodes[1]->op_count > 0 && !check_result(c->check)->failed)
        complete(c, 1);
    EXPECT_CAUGHT_SAYING(c, CHECK_RECOVERY, "abstains");
}

TEST(a_vote_of_one_that_abstains_is_caught)
{
    struct cluster *c = cluster_with(1);
    struct stored stored = stored_of(c, 1);
    stored.flags = STORED_ABSTAIN;
    write_superblock(c, 1, &stored);
    const uint64_t term = stored.hard.term;
    send_lie(
        c, 1,
        (struct message){
            .type = FRAME_VOTE_RESPONSE, .to = 1, .term = term, .vote_response = { .term = term, .granted = true } });
    EXPECT_CAUGHT_SAYING(c, CHECK_PROMISE_VOTE, "abstains");
}

TEST(an_abstention_that_ends_without_the_committed_entries_is_caught)
{
    for (uint32_t stuck = 0; stuck < 2; stuck++) {
        struct cluster *c = cluster_with(1);
        c->disk_stuck[1] = stuck == 1;
        call(c, 0, put(c, "two"));
        struct stored stored = stored_of(c, 1);
        stored.flags = STORED_ABSTAIN;
        write_superblock(c, 1, &stored);
        stored.flags = 0;
        stored.hard = (struct hard_state){ .term = stored.hard.term + 1 };
        c->nodes[1]->replica->superblock.sequence++;
        write_superblock(c, 1, &stored);
        if (stuck == 1)
            EXPECT_CAUGHT_SAYING(c, CHECK_PROMISE_VOTE, "will vote again");
        else
            EXPECT_TEXT(verdict(c), "none"), cluster_free(c);
    }
}

TEST(a_new_disk_that_rejoins_as_if_it_had_not_voted_is_caught)
{
    for (uint32_t counts = 0; counts < 2; counts++) {
        struct cluster *c = cluster_with(1);
        struct stored stored = stored_of(c, 1);
        const uint64_t term = stored.hard.term;
        check_node_crashed(c->check, 1);
        check_node_wiped(c->check, 1);
        stored = (struct stored){ .flags = STORED_ABSTAIN | STORED_REJOIN, .members = stored.members };
        write_superblock(c, 1, &stored);
        stored.hard = (struct hard_state){ .term = term, .vote = counts == 1 ? VOTE_UNKNOWN : 0 };
        c->nodes[1]->replica->superblock.sequence++;
        write_superblock(c, 1, &stored);
        if (counts == 0)
            EXPECT_CAUGHT_SAYING(c, CHECK_PROMISE_VOTE, "as if it had not voted");
        else
            EXPECT_TEXT(verdict(c), "none"), cluster_free(c);
    }
}

/* ---- checkpoints ---- */

TEST(a_checkpoint_that_differs_from_the_others_is_caught)
{
    struct cluster *c = cluster_with_checkpoint();
    struct stored stored = stored_of(c, 1);
    stored.checkpoint.root.hash.low++;
    stored.checkpoint.hash = checkpoint_hash(stored.checkpoint.id, stored.checkpoint.root.hash);
    write_superblock(c, 1, &stored);
    EXPECT_CAUGHT_SAYING(c, CHECK_CHECKPOINT, "differs");
}

TEST(a_checkpoint_with_the_hash_of_another_root_is_caught)
{
    struct cluster *c = cluster_with_checkpoint();
    struct stored stored = stored_of(c, 1);
    stored.checkpoint.root.hash.low++;
    write_superblock(c, 1, &stored);
    EXPECT_CAUGHT_SAYING(c, CHECK_CHECKPOINT, "not that of its pages");
}

TEST(a_checkpoint_of_an_uncommitted_entry_is_caught)
{
    struct cluster *c = cluster_with_checkpoint();
    struct stored stored = stored_of(c, 1);
    stored.checkpoint.id.index = check_committed(c->check) + 1;
    write_superblock(c, 1, &stored);
    EXPECT_CAUGHT(c, CHECK_CHECKPOINT);
}

TEST(a_checkpoint_that_goes_back_is_caught)
{
    struct cluster *c = cluster_with_checkpoint();
    struct stored stored = stored_of(c, 1);
    stored.checkpoint = (struct checkpoint){ .id = { .term = 0 } };
    stored.head = (struct wal_head){ .lsn = 0 };
    write_superblock(c, 1, &stored);
    EXPECT_CAUGHT(c, CHECK_MONOTONE);
}

/* Its first page or its root changes on the way to the disk, before the superblock names it. */
TEST(a_checkpoint_that_is_not_there_is_caught)
{
    for (uint32_t nth = 1; nth <= 3; nth++) {
        struct cluster *c = cluster_new();
        struct node *node = c->nodes[1];
        uint32_t writes = 0;
        for (uint32_t i = 0; i < 50 && !check_result(c->check)->failed; i++) {
            c->disk_stuck[1] = true;
            call(c, 0, put(c, "two"));
            tick(c, 0, 25 * 1000 * 1000);
            settle(c);
            while (node->op_count > 0 && !check_result(c->check)->failed) {
                const struct node_op op = node->ops[0];
                complete(c, 1);
                if (!op.write || op.device != DEVICE_DATA || ++writes != nth)
                    continue;
                rot(c, 1, DEVICE_DATA, op.offset, false);
                landed(c, 1, DEVICE_DATA, op.offset, limits->page_bytes, false);
            }
            settle(c);
        }
        EXPECT_CAUGHT(c, CHECK_CHECKPOINT);
    }
}

TEST(a_write_over_a_checkpoint_is_caught_but_not_over_a_lost_one)
{
    for (uint32_t lost = 0; lost < 2; lost++) {
        struct cluster *c = cluster_with_checkpoint();
        const uint64_t root = (uint64_t)stored_of(c, 1).checkpoint.root.block * limits->page_bytes;
        const uint64_t page = (uint64_t)map_entry_const(c->nodes[1]->replica, 0, 0)->block * limits->page_bytes;
        landed(c, 1, DEVICE_DATA, page, limits->page_bytes, false);
        EXPECT_TEXT(verdict(c), "none");
        if (lost == 1)
            landed(c, 1, DEVICE_DATA, root, limits->page_bytes, true);
        rot(c, 1, DEVICE_DATA, page, false);
        landed(c, 1, DEVICE_DATA, page, limits->page_bytes, false);
        if (lost == 0)
            EXPECT_CAUGHT_SAYING(c, CHECK_CHECKPOINT, "writes over");
        else
            EXPECT_TEXT(verdict(c), "none"), cluster_free(c);
    }
}

/* An install, as the disk shows it: the log begins anew behind an entry that the node never had. partial: the
 * checkpoint there is not all here. It holds no page, so nothing is missing else. */
static void install_lie(struct cluster *c, uint32_t n, struct log_id id, bool partial)
{
    struct stored stored = stored_of(c, n);
    stored.flags = partial ? STORED_PARTIAL : 0;
    stored.checkpoint.id = id;
    stored.checkpoint.hash = checkpoint_hash(id, stored.checkpoint.root.hash);
    stored.head.base = id;
    stored.head.lsn = c->nodes[n]->replica->wal.tail;
    write_superblock(c, n, &stored);
}

/* Puts the entry of the node `from` to the disk of `to`, as the first one of its log. */
static void write_entry(struct cluster *c, uint32_t to, uint32_t from, struct log_id id)
{
    struct node *node = c->nodes[to];
    const struct slice entry = log_entry_bytes(c->nodes[from]->replica, id.index);
    const struct wal_batch_header header = {
        .magic = WAL_BATCH_MAGIC,
        .version = STORED_VERSION,
        .kind = WAL_BATCH_APPEND,
        .sequence = node->replica->wal.sequence + 1,
        .lsn = node->replica->wal.tail,
        .term = id.term,
        .first_index = id.index,
        .entry_term = id.term,
        .entry_count = 1,
        .run_bytes = limits->block_bytes,
        .body_bytes = entry.count,
    };
    uint8_t *run = node->image + body() + header.lsn;
    EXPECT(sizeof header + entry.count <= limits->block_bytes);
    memset(run, 0, limits->block_bytes);
    memcpy(run, &header, sizeof header);
    memcpy(run + sizeof header, entry.bytes, entry.count);
    wal_batch_seal(run, node->config.cluster_id);
    landed(c, to, DEVICE_WAL, body() + header.lsn, limits->block_bytes, false);
}

/* Whoever has an entry, but still pulls the state before it, does not count. */
TEST(a_commit_that_counts_a_node_without_the_state_before_it_is_caught)
{
    for (uint32_t partial = 0; partial < 2; partial++) {
        struct cluster *c = cluster_with(1);
        struct replica *leader = c->nodes[0]->replica;
        c->cut[2] = true;
        call(c, 0, put(c, "two"));
        c->cut[1] = true;
        struct request request = put(c, "three");
        propose(c, 0, &request);
        settle(c);
        const struct log_id next = leader->log.last;
        EXPECT_EQUAL(leader->commit, next.index - 1);
        install_lie(c, 2, (struct log_id){ .term = log_term(leader, next.index - 1), .index = next.index - 1 },
                    partial == 1);
        write_entry(c, 2, 0, next);
        EXPECT_TEXT(verdict(c), "none");
        leader->commit++;
        look(c, 0);
        EXPECT_TEXT(verdict(c), partial == 1 ? check_kind_text(CHECK_DURABLE_QUORUM) : "none");
        cluster_free(c);
    }
}

/* ---- the state ---- */

/* The node forgets that its state is whole, and finds it again, with a page changed in between; with `entry`, the map
 * in memory agrees. */
static struct cluster *cluster_that_loads_a_lie(bool entry)
{
    struct cluster *c = cluster_with_checkpoint();
    struct replica *replica = c->nodes[1]->replica;
    replica->store.state = STORE_LOADING;
    look(c, 1);
    EXPECT_TEXT(verdict(c), "none");
    struct page_root *root = (struct page_root *)(void *)page_raw(replica, 0);
    root->digest++;
    if (entry)
        map_entry(replica, 0, 0)->hash = map_page_hash(replica, page_raw(replica, 0));
    replica->store.state = STORE_READY;
    look(c, 1);
    return c;
}

TEST(a_page_that_is_loaded_with_other_bytes_is_caught)
{
    struct cluster *c = cluster_that_loads_a_lie(false);
    EXPECT_CAUGHT(c, CHECK_STATE_MACHINE);
    c = cluster_with_checkpoint();
    struct replica *replica = c->nodes[1]->replica;
    replica->store.state = STORE_LOADING;
    look(c, 1);
    page_raw(replica, page_sessions(replica))[limits->page_bytes - 1] ^= 1;
    replica->store.state = STORE_READY;
    look(c, 1);
    EXPECT_CAUGHT(c, CHECK_CHECKPOINT);
}

TEST(a_state_that_is_loaded_with_another_digest_is_caught)
{
    struct cluster *c = cluster_that_loads_a_lie(true);
    EXPECT_CAUGHT_SAYING(c, CHECK_STATE_MACHINE, "differs");
}

TEST(an_entry_that_is_applied_without_a_state_is_caught)
{
    struct cluster *c = cluster_with(1);
    struct replica *replica = c->nodes[1]->replica;
    replica->store.state = STORE_DAMAGED;
    call(c, 0, put(c, "two"));
    tick(c, 0, 25 * 1000 * 1000);
    settle(c);
    EXPECT(replica->applied < replica->commit);
    replica->applied++;
    look(c, 1);
    EXPECT_CAUGHT_SAYING(c, CHECK_STATE_MACHINE, "without a state");
}

TEST(a_read_without_a_state_is_caught)
{
    struct cluster *c = cluster_with(1);
    struct replica *replica = c->nodes[0]->replica;
    struct event event = { .kind = EVENT_READ_SERVED, .a = replica->applied, .b = replica->applied };
    const struct output lie = { .event_count = 1, .event_max = 1, .events = &event };
    check_step(c->check, 0, replica, &lie);
    EXPECT_TEXT(verdict(c), "none");
    replica->store.state = STORE_DAMAGED;
    check_step(c->check, 0, replica, &lie);
    EXPECT_CAUGHT_SAYING(c, CHECK_READ, "without a whole state");
}

TEST_MAIN()

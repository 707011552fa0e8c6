/* Configurations that a start has lost: one that is damaged and that no superblock held, and one of which not even the
 * kind is known (core/members.h). A real follower wrote them (recovery_scene.h). */
#include "recovery_scene.h"
#include "test.h"

/* The leader of the term sends a configuration behind prev: a fourth member, who learns. */
static void send_configuration(struct node *node, struct log_id prev, uint64_t term)
{
    struct configuration next = node_voters(3);
    next.members[3] = (struct member){ .id = 4, .address = "node4", .roles = MEMBER_LEARNER };
    uint8_t body[sizeof next.members];
    uint8_t bytes[2 * BLOCK];
    configuration_encode(&next, body);
    const struct entry entry = { .id = { .term = term, .index = prev.index + 1 },
                                 .kind = ENTRY_CONFIG,
                                 .body = { .bytes = body, .count = configuration_bytes(&next) } };
    entry_encode(&entry, bytes);
    const struct message message = {
        .type = FRAME_APPEND_REQUEST,
        .from = 1 + term % 2 * 2,
        .to = node->config.node_id,
        .instance = 1001 + term % 2 * 2,
        .term = term,
        .append_request = { .prev = prev,
                            .entry_count = 1,
                            .entries = { .bytes = bytes, .count = entry_bytes(entry.body.count) } },
    };
    node_message(node, &message);
    node->sent_count = 0;
}

/* The leader of term 1 has nothing beyond what the node has, and all of it is committed. */
static void send_heartbeat(struct node *node)
{
    const struct log_id last = node_view(node).last;
    const struct message message = {
        .type = FRAME_APPEND_REQUEST,
        .from = 3,
        .to = node->config.node_id,
        .instance = 1003,
        .term = 1,
        .append_request = { .prev = last,
                            .commit = last.index,
                            .echo = node->replica->abstain_nonce,
                            .last = last.index },
    };
    node_message(node, &message);
    node->sent_count = 0;
}

static void complete_all(struct node *node, bool (*due)(const struct node *, const struct node_op *))
{
    for (uint32_t slot = 0; slot < node->op_count;) {
        const bool completes = due(node, &node->ops[slot]);
        if (completes)
            node_complete(node, slot, DISK_OK);
        slot = completes ? 0 : slot + 1;
    }
}

/* Batches and then their names become durable; no superblock does. */
static void settle_but_superblocks(struct node *node)
{
    complete_all(node, op_is_body);
    node_tick(node, NAME_DELAY_NS);
    complete_all(node, op_is_name);
}

/* Raft 4.1: what may be promised is known here, and the latest configuration of it is in use. */
static void expect_configuration(struct node *node, uint64_t index)
{
    const struct replica_view view = node_view(node);
    EXPECT_EQUAL(node->stop, 0);
    EXPECT_EQUAL(view.configuration.index, index);
    EXPECT(members_slot(node->replica, 4) < MEMBERS_MAX || index == 0);
}

/* A configuration is on the disk, named, and the superblock that would hold it is not; its blocks rot, and the batch
 * behind those that follow is torn. So a start truncates before it, and its cut goes behind what it truncated. */
TEST(a_lost_configuration_that_no_superblock_held_stays_cut_off_behind_a_cut)
{
    struct limits limits = test_limits();
    struct image_faults faults = { .unreadable = { false } };
    const struct replica_config config = node_config(2);
    struct name_block newest = { .offset = 0 };
    limits.wal_body_blocks = 60;
    limits.checkpoint_wal_blocks = 40;
    struct node *node = node_new(&limits, &config, node_voters(3));
    node_start(node);
    node_settle(node);
    for (uint32_t i = 0; i < 2; i++)
        past_add(node, ENTRY_COMMAND, (uint8_t)i, false, &newest);
    const struct log_id before = node_view(node).last;
    const uint64_t lsn = node->replica->wal.tail;
    send_configuration(node, before, 1);
    settle_but_superblocks(node);
    expect_configuration(node, before.index + 1);
    for (uint32_t i = 0; i < 2; i++)
        send_suffix(node, &(struct suffix){ node_view(node).last, 1, ENTRY_BODY_BYTES, (uint8_t)(0x40 + i) }, 1);
    uint32_t newest_op = 0;
    for (uint32_t slot = 0; slot < node->op_count; slot++)
        if (op_is_body(node, &node->ops[slot])
            && (!op_is_body(node, &node->ops[newest_op]) || node->ops[slot].offset > node->ops[newest_op].offset))
            newest_op = slot;
    node_land(node, newest_op, UINT64_MAX);
    node_crash(node);
    memset(node->image + wal_body_offset(&limits) + lsn, 0, BLOCK);

    for (uint32_t start = 0; start < 3; start++) {
        const struct rebirth rebirth = image_boot(node, &faults);
        EXPECT_EQUAL(rebirth.damaged, 1);
        EXPECT_EQUAL(rebirth.cut, start == 0);
        EXPECT(log_id_equal(node_view(node).last, before));
        EXPECT_EQUAL(node_view(node).first_faulty, 0);
        expect_configuration(node, 0);
        node_crash(node);
    }
    image_boot(node, &faults);
    send_configuration(node, before, 1);
    node_settle(node);
    EXPECT_EQUAL(node_view(node).durable_index, before.index + 1);
    expect_configuration(node, before.index + 1);
    node_crash(node);
    image_boot(node, &faults);
    expect_configuration(node, before.index + 1);
    node_free(node);
}

/* Three batches, and as entry 7 a configuration that no superblock holds, and a batch behind it; no names. */
static struct node *gap_new(void)
{
    struct limits limits = test_limits();
    const struct replica_config config = node_config(2);
    struct name_block newest = { .offset = 0 };
    limits.wal_body_blocks = 60;
    limits.checkpoint_wal_blocks = 40;
    struct node *node = node_new(&limits, &config, node_voters(3));
    node_start(node);
    node_settle(node);
    for (uint32_t i = 0; i < 3; i++)
        past_add(node, ENTRY_COMMAND, (uint8_t)i, false, &newest);
    send_configuration(node, node_view(node).last, 1);
    settle_but_superblocks(node);
    send_suffix(node, &(struct suffix){ node_view(node).last, 1, SHORT_BODY_BYTES, 0x40 }, 1);
    settle_but_superblocks(node);
    EXPECT_EQUAL(node_view(node).last.index, 3 * ENTRIES + 1 + ENTRIES);
    node_crash(node);
    memset(node->image + wal_header_offset(&limits), 0, (size_t)limits.wal_header_blocks * BLOCK);
    return node;
}

TEST(a_configuration_lost_in_a_gap_is_used_when_it_has_come_back_in_its_turn)
{
    enum { LOST = 2 * ENTRIES + 1, CONFIGURATION = 3 * ENTRIES + 1, LAST = CONFIGURATION + ENTRIES };
    struct image_faults faults = { .unreadable = { false } };
    struct node *node = gap_new();
    memset(node->image + wal_body_offset(&node->limits) + 2 * BLOCK, 0x5a, 2 * BLOCK);
    const struct rebirth rebirth = image_boot(node, &faults);
    EXPECT(rebirth.abstained && !rebirth.cut);
    EXPECT_EQUAL(node_view(node).last.index, LAST);
    EXPECT_EQUAL(node_view(node).first_faulty, LOST);
    expect_configuration(node, 0);
    /* What is before it is not here yet, and might be another one. */
    send_configuration(node, log_id_at(node, CONFIGURATION - 1), 1);
    node_settle(node);
    EXPECT_EQUAL(replica_entry_readable(node->replica, CONFIGURATION), false);
    expect_configuration(node, 0);
    send_suffix(node, &(struct suffix){ log_id_at(node, LOST - 1), 1, SHORT_BODY_BYTES, 2 }, 1);
    send_configuration(node, log_id_at(node, CONFIGURATION - 1), 1);
    node_settle(node);
    EXPECT_EQUAL(node_view(node).durable_index, LAST);
    expect_configuration(node, CONFIGURATION);
    node_free(node);
}

/* Node 1 has the same entries, all of them committed, and a checkpoint of them. */
static struct node *holder_new(const struct limits *limits)
{
    const struct replica_config config = node_config(1);
    struct name_block newest = { .offset = 0 };
    struct node *node = node_new(limits, &config, node_voters(3));
    node_start(node);
    node_settle(node);
    for (uint32_t i = 0; i < 3; i++)
        past_add(node, ENTRY_COMMAND, (uint8_t)i, false, &newest);
    send_configuration(node, node_view(node).last, 1);
    node_settle(node);
    send_suffix(node, &(struct suffix){ node_view(node).last, 1, SHORT_BODY_BYTES, 0x40 }, 1);
    node_settle(node);
    send_heartbeat(node);
    node_settle(node);
    checkpoint_renew(node->replica);
    node_tick(node, 0);
    node_settle(node);
    EXPECT_EQUAL(node->replica->superblock.durable.checkpoint.id.index, node_view(node).last.index);
    return node;
}

/* The leader of term 1 offers the holder's checkpoint, and is not heard any more: others must be asked for it. */
static void send_offer(struct node *node, const struct node *holder)
{
    const struct checkpoint *checkpoint = &holder->replica->superblock.durable.checkpoint;
    const struct message message = {
        .type = FRAME_CHECKPOINT_RESPONSE,
        .from = 3,
        .to = node->config.node_id,
        .instance = 1003,
        .term = 1,
        .checkpoint_response = { .ask = CHECKPOINT_ASK_OFFER,
                                 .checkpoint = checkpoint->hash,
                                 .id = checkpoint->id,
                                 .root_hash = checkpoint->root.hash,
                                 .leader = true },
    };
    node_message(node, &message);
}

static void deliver(struct node *from, struct node *to)
{
    static struct node_frame frames[NODE_SENT_MAX];
    const uint32_t count = from->sent_count;
    memcpy(frames, from->sent, count * sizeof frames[0]);
    from->sent_count = 0;
    for (uint32_t i = 0; i < count; i++)
        if (!frames[i].reply && frames[i].to == to->config.node_id)
            node_peer_frame(to, (struct slice){ .bytes = frames[i].bytes, .count = frames[i].count });
}

/* Both do what they have to, until a checkpoint at the index is whole on the first one's disk; or in memory, too. */
static void install(struct node *node, struct node *holder, uint64_t index, bool load)
{
    const struct stored *durable = &node->replica->superblock.durable;
    for (uint32_t steps = 0; durable->checkpoint.id.index < index || (durable->flags & STORED_PARTIAL) != 0
                             || (load && !store_is_ready(node->replica));
         steps++) {
        EXPECT(steps < 100000);
        deliver(node, holder);
        deliver(holder, node);
        if (node->op_count > 0) {
            node_complete(node, 0, DISK_OK);
            continue;
        }
        node_settle(holder);
        const uint64_t passed_ns = node->deadline_ns > node->now_ns ? 1000 * 1000 : 0;
        node_tick(node, passed_ns);
        node_tick(holder, passed_ns);
    }
}

/* The leader's log begins behind it, so it comes with a checkpoint, whose last entry the log holds. */
TEST(a_configuration_lost_in_a_gap_comes_with_a_checkpoint_that_the_log_goes_on_behind)
{
    enum { LOST = 2 * ENTRIES + 1, CONFIGURATION = 3 * ENTRIES + 1, LAST = CONFIGURATION + ENTRIES };
    for (uint32_t crash = 0; crash < 2; crash++) {
        struct image_faults faults = { .unreadable = { false } };
        struct node *node = gap_new();
        struct node *holder = holder_new(&node->limits);
        memset(node->image + wal_body_offset(&node->limits) + 2 * BLOCK, 0x5a, 2 * BLOCK);
        EXPECT(image_boot(node, &faults).abstained);
        node_settle(node);
        EXPECT_EQUAL(node_view(node).first_faulty, LOST);
        expect_configuration(node, 0);
        send_heartbeat(node);
        send_offer(node, holder);
        install(node, holder, LAST, false);
        EXPECT(!store_is_ready(node->replica));
        if (crash == 1) {
            node_crash(node);
            image_boot(node, &faults);
        }
        install(node, holder, LAST, true);
        EXPECT_EQUAL(node_view(node).first_faulty, 0);
        EXPECT_EQUAL(node_view(node).last.index, LAST);
        send_heartbeat(node);
        node_settle(node);
        EXPECT_EQUAL(node_view(node).flags, 0);
        expect_configuration(node, CONFIGURATION);
        node_crash(node);
        image_boot(node, &faults);
        expect_configuration(node, CONFIGURATION);
        node_free(holder);
        node_free(node);
    }
}

/* Node `from` asks for a pre-vote. Is it told that it is no member any more? */
static bool tells_removed(struct node *node, uint64_t from)
{
    const struct frame_context context = node_context(node);
    const struct message question = {
        .type = FRAME_VOTE_REQUEST,
        .from = from,
        .to = node->config.node_id,
        .instance = 1000 + from,
        .term = 1,
        .vote_request = { .last = node_view(node).last, .term = 2, .pre = true },
    };
    bool told = false;
    node->sent_count = 0;
    node_message(node, &question);
    for (uint32_t i = 0; i < node->sent_count; i++) {
        struct message message;
        const struct slice bytes = { .bytes = node->sent[i].bytes, .count = node->sent[i].count };
        EXPECT_EQUAL(message_decode(bytes, &context, &message), FRAME_OK);
        told = told || message.type == FRAME_REFUSAL;
    }
    node->sent_count = 0;
    return told;
}

TEST(who_may_have_lost_a_configuration_in_a_gap_tells_nobody_that_it_was_removed)
{
    enum { LOST = 2 * ENTRIES + 1, CONFIGURATION = 3 * ENTRIES + 1, LAST = CONFIGURATION + ENTRIES };
    struct image_faults faults = { .unreadable = { false } };
    struct node *node = gap_new();
    memset(node->image + wal_body_offset(&node->limits) + 2 * BLOCK, 0x5a, 2 * BLOCK);
    EXPECT(image_boot(node, &faults).abstained);
    send_heartbeat(node);
    node_settle(node);
    EXPECT_EQUAL(node_view(node).commit, LAST);
    EXPECT_EQUAL(node_view(node).first_faulty, LOST);
    expect_configuration(node, 0);
    EXPECT(!tells_removed(node, 4));
    send_suffix(node, &(struct suffix){ log_id_at(node, LOST - 1), 1, SHORT_BODY_BYTES, 2 }, 1);
    send_configuration(node, log_id_at(node, CONFIGURATION - 1), 1);
    node_settle(node);
    expect_configuration(node, CONFIGURATION);
    EXPECT(!tells_removed(node, 4));
    EXPECT(tells_removed(node, 5));
    node_free(node);
}

TEST(a_configuration_behind_a_gap_that_no_superblock_held_is_cut_off)
{
    enum { LOST = ENTRIES + 1, CONFIGURATION = 3 * ENTRIES + 1 };
    struct image_faults faults = { .unreadable = { false } };
    struct node *node = gap_new();
    memset(node->image + wal_body_offset(&node->limits) + BLOCK, 0x5a, 2 * BLOCK);
    for (uint32_t start = 0; start < 2; start++) {
        image_boot(node, &faults);
        EXPECT((node_view(node).flags & STORED_ABSTAIN) != 0);
        EXPECT_EQUAL(node_view(node).last.index, CONFIGURATION - 1);
        EXPECT_EQUAL(node_view(node).first_faulty, LOST);
        expect_configuration(node, 0);
        node_crash(node);
    }
    node_free(node);
}

TEST_MAIN()

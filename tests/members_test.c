/* Changes of the members on real replicas (Raft 4): what is refused, what survives the loss of a leader or of power at
 * any step, and who is rolled back. */
#include "members_rig.h"

TEST(a_node_joins_as_a_learner_and_is_promoted)
{
    struct cluster *cluster = cluster_ready(FIRST | 8);
    EXPECT_EQUAL(change_one(cluster, MEMBER_ADD_LEARNER, 4), REPLY_OK);
    expect_members(cluster, IDS(1, 2, 3, 4), IDS(1, 2, 3), IDS(4));
    EXPECT_EQUAL(change_one(cluster, MEMBER_PROMOTE, 4), REPLY_OK);
    expect_members(cluster, IDS(1, 2, 3, 4), IDS(1, 2, 3, 4), 0);
    EXPECT_EQUAL(change_one(cluster, MEMBER_DEMOTE, 4), REPLY_OK);
    expect_members(cluster, IDS(1, 2, 3, 4), IDS(1, 2, 3), IDS(4));
    EXPECT_EQUAL(change_one(cluster, MEMBER_REMOVE, 4), REPLY_OK);
    expect_members(cluster, IDS(1, 2, 3), IDS(1, 2, 3), 0);
    put(cluster, 2, 2);
    cluster_free(cluster);
}

TEST(a_node_joins_through_a_checkpoint_and_knows_the_members_after_a_restart)
{
    struct cluster *cluster = cluster_ready(FIRST | 8 | 16);
    EXPECT_EQUAL(change_one(cluster, MEMBER_ADD_LEARNER, 5), REPLY_OK);
    for (int i = 0; i < 4; i++)
        write_until_checkpoint(cluster, 6);
    EXPECT(replica_at(cluster, elected(cluster))->log.base.index > 0);
    EXPECT_EQUAL(change_one(cluster, MEMBER_ADD_LEARNER, 4), REPLY_OK);
    cluster_run(cluster, 500 * MS);
    EXPECT(cluster->events[3][EVENT_INSTALL_DONE] > 0);
    expect_members(cluster, IDS(1, 2, 3, 4, 5), IDS(1, 2, 3), IDS(4, 5));
    for (uint32_t slot = 0; slot < 5; slot++) {
        node_crash(cluster->nodes[slot]);
        start(cluster, slot);
    }
    elected(cluster);
    put(cluster, 3, 3);
    expect_members(cluster, IDS(1, 2, 3, 4, 5), IDS(1, 2, 3), IDS(4, 5));
    cluster_free(cluster);
}

static bool no_answer_about_checkpoints(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes,
                                        uint32_t count)
{
    struct frame_header header;
    (void)cluster;
    (void)from;
    (void)to;
    (void)count;
    memcpy(&header, bytes, sizeof header);
    return header.type != FRAME_CHECKPOINT_RESPONSE;
}

/* Of node 4: its first checkpoint counts, and it has not been loaded, so the members are not known. */
static bool first_checkpoint_is_whole(const struct cluster *cluster)
{
    const struct stored *durable = &replica_at(cluster, 3)->superblock.durable;
    return durable->checkpoint.id.index > 0 && (durable->flags & STORED_PARTIAL) == 0;
}

TEST(a_joiner_with_a_damaged_page_does_not_read_it_for_ever_but_asks_its_leader)
{
    struct cluster *cluster = cluster_ready(FIRST | 8);
    for (int i = 0; i < 2; i++)
        write_until_checkpoint(cluster, 6);
    const struct member_operation add = operation(MEMBER_ADD_LEARNER, 4);
    send_change(cluster, elected(cluster), &add, 1, 0);
    for (uint64_t steps = 0; steps < 100000 && !first_checkpoint_is_whole(cluster); steps++)
        cluster_one_step(cluster, steps);
    EXPECT(first_checkpoint_is_whole(cluster));
    EXPECT_EQUAL(configuration_members(configuration_at(cluster, 3)), 0);
    struct node *joiner = node_at(cluster, 3);
    uint32_t page = 0;
    while (map_entry_is_zero(map_entry_const(joiner->replica, 0, page)))
        page++;
    uint8_t *block =
        joiner->data + (uint64_t)map_entry_const(joiner->replica, 0, page)->block * joiner->limits.page_bytes;
    block[17] ^= 4;
    cluster->hook = no_answer_about_checkpoints;
    node_crash(joiner);
    start(cluster, 3);
    cluster_run(cluster, 500 * MS);
    EXPECT_EQUAL(joiner->replica->store.state, STORE_DAMAGED);
    cluster->hook = NULL;
    cluster_run(cluster, 500 * MS);
    EXPECT(store_is_ready(joiner->replica));
    expect_members(cluster, IDS(1, 2, 3, 4), IDS(1, 2, 3), IDS(4));
    cluster_free(cluster);
}

TEST(all_voters_are_replaced_at_once)
{
    struct cluster *cluster = cluster_ready(63);
    const struct member_operation learners[] = { operation(MEMBER_ADD_LEARNER, 4), operation(MEMBER_ADD_LEARNER, 5),
                                                 operation(MEMBER_ADD_LEARNER, 6) };
    EXPECT_EQUAL(change(cluster, learners, 3, 0), REPLY_OK);
    cluster_run(cluster, 100 * MS);
    const struct member_operation replace[] = { operation(MEMBER_PROMOTE, 4), operation(MEMBER_PROMOTE, 5),
                                                operation(MEMBER_PROMOTE, 6), operation(MEMBER_REMOVE, 1),
                                                operation(MEMBER_REMOVE, 2),  operation(MEMBER_REMOVE, 3) };
    EXPECT_EQUAL(change(cluster, replace, 6, 0), REPLY_OK);
    /* Who led goes (Raft 4.2.2), and the others go on. */
    cluster_run(cluster, 500 * MS);
    EXPECT(leader_of(cluster) >= 3);
    put(cluster, 2, 2);
    expect_members(cluster, IDS(4, 5, 6), IDS(4, 5, 6), 0);
    cluster_free(cluster);
}

TEST(every_refusal)
{
    struct cluster *cluster = cluster_ready(FIRST);
    const uint64_t last = node_view(cluster->nodes[elected(cluster)]).last.index;
    EXPECT_EQUAL(change_one(cluster, MEMBER_REMOVE, 4), REPLY_UNKNOWN_MEMBER);
    EXPECT_EQUAL(change_one(cluster, MEMBER_ADD_LEARNER, 2), REPLY_DUPLICATE_MEMBER);
    EXPECT_EQUAL(change_one(cluster, MEMBER_PROMOTE, 2), REPLY_WRONG_ROLE);
    const struct member_operation all[] = { operation(MEMBER_REMOVE, 1), operation(MEMBER_REMOVE, 2),
                                            operation(MEMBER_REMOVE, 3) };
    EXPECT_EQUAL(change(cluster, all, 3, 0), REPLY_NO_VOTER_LEFT);
    struct member_operation many[8];
    for (uint32_t i = 0; i < 8; i++)
        many[i] = operation(i < 5 ? MEMBER_ADD_VOTER : MEMBER_ADD_LEARNER, 10 + i);
    EXPECT_EQUAL(change(cluster, many, 5, 0), REPLY_TOO_MANY_MEMBERS); /* voters */
    EXPECT_EQUAL(change(cluster, many, 8, 0), REPLY_TOO_MANY_MEMBERS);
    struct member_operation same = operation(MEMBER_ADD_LEARNER, 4);
    memset(same.address, 0, sizeof same.address);
    memcpy(same.address, "node2", 5);
    EXPECT_EQUAL(change(cluster, &same, 1, 0), REPLY_DUPLICATE_MEMBER);
    /* Nobody has ever heard of these two: with them a majority would hang on one node. */
    const struct member_operation strangers[] = { operation(MEMBER_ADD_VOTER, 5), operation(MEMBER_ADD_VOTER, 6),
                                                  operation(MEMBER_REMOVE, 2) };
    EXPECT_EQUAL(change(cluster, strangers, 3, 0), REPLY_WOULD_LOSE_QUORUM);
    EXPECT_EQUAL(node_view(cluster->nodes[elected(cluster)]).last.index, last);
    /* A learner that is not there does not catch up. */
    EXPECT_EQUAL(change_one(cluster, MEMBER_ADD_LEARNER, 4), REPLY_OK);
    EXPECT_EQUAL(change_one(cluster, MEMBER_PROMOTE, 4), REPLY_LEARNER_BEHIND);
    /* One at a time. */
    const uint32_t leader = elected(cluster);
    const struct member_operation forced = operation(MEMBER_ADD_VOTER, 5);
    const struct member_operation next = operation(MEMBER_REMOVE, 4);
    send_change(cluster, leader, &forced, 1, REQUEST_FLAG_FORCE);
    send_change(cluster, leader, &next, 1, 0);
    deliver(cluster, leader);
    EXPECT_EQUAL(cluster->status, REPLY_CHANGE_UNDER_WAY);
    cluster_run(cluster, 200 * MS);
    expect_members(cluster, IDS(1, 2, 3), IDS(1, 2, 3, 5), IDS(4));
    cluster_free(cluster);
}

static bool lose_acknowledgements(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes, uint32_t count)
{
    struct frame_header header;
    (void)cluster, (void)from, (void)to, (void)count;
    memcpy(&header, bytes, sizeof header);
    return header.type != FRAME_APPEND_RESPONSE;
}

TEST(a_new_leader_changes_nothing_before_it_has_committed_in_its_term)
{
    struct cluster *cluster = cluster_ready(FIRST);
    cluster->cut[elected(cluster)] = true;
    cluster->hook = lose_acknowledgements;
    const uint32_t leader = elected(cluster);
    const struct member_operation one = operation(MEMBER_ADD_LEARNER, 4);
    const uint64_t last = node_view(cluster->nodes[leader]).last.index;
    send_change(cluster, leader, &one, 1, 0);
    cluster_run(cluster, 1 * MS);
    EXPECT_EQUAL(cluster->status, REPLY_TERM_NOT_OPEN);
    EXPECT_EQUAL(node_view(cluster->nodes[leader]).last.index, last);
    cluster_free(cluster);
}

TEST(a_change_that_nobody_else_has_is_rolled_back)
{
    struct cluster *cluster = cluster_ready(FIRST);
    const uint32_t old = elected(cluster);
    cluster->cut[old] = true;
    const struct member_operation replace[] = { operation(MEMBER_ADD_VOTER, 4),
                                                operation(MEMBER_REMOVE, (old + 1) % 3 + 1) };
    send_change(cluster, old, replace, 2, 0);
    cluster_settle(cluster);
    EXPECT(configuration_is_joint(configuration_at(cluster, old)));
    put(cluster, 2, 2);
    cluster->cut[old] = false;
    cluster_run(cluster, 300 * MS);
    expect_members(cluster, IDS(1, 2, 3), IDS(1, 2, 3), 0);
    EXPECT(cluster->events[old][EVENT_CONFIGURATION] >= 2);
    put(cluster, 3, 3);
    /* Nor did it leave a trace in the pages: all checkpoints are equal, and nobody had to mend that. */
    write_until_checkpoint(cluster, 6);
    const struct checkpoint *leads = &replica_at(cluster, elected(cluster))->superblock.durable.checkpoint;
    for (uint32_t slot = 0; slot < 3; slot++) {
        const struct checkpoint *checkpoint = &replica_at(cluster, slot)->superblock.durable.checkpoint;
        EXPECT_EQUAL(checkpoint->id.index, leads->id.index);
        EXPECT(hash128_equal(checkpoint->hash, leads->hash));
        EXPECT_EQUAL(cluster->events[slot][EVENT_DIVERGED], 0);
        EXPECT_EQUAL(cluster->events[slot][EVENT_INSTALL_DONE], 0);
    }
    cluster_free(cluster);
}

/* The fourth node installs a checkpoint, and gets nothing of what comes behind. */
static bool lose_entries_to_the_fourth(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes,
                                       uint32_t count)
{
    struct message message;
    const struct frame_context context = node_context(cluster->nodes[to]);
    (void)from;
    if (to != 3 || replica_at(cluster, to)->log.base.index == 0
        || message_decode((struct slice){ .bytes = bytes, .count = count }, &context, &message) != FRAME_OK)
        return true;
    return message.type != FRAME_APPEND_REQUEST || message.append_request.entry_count == 0;
}

TEST(a_checkpoint_of_the_joint_state_brings_both_halves)
{
    struct cluster *cluster = cluster_ready(FIRST);
    for (int i = 0; i < 4; i++)
        write_until_checkpoint(cluster, 6);
    const uint32_t leader = elected(cluster);
    const uint32_t gone = (leader + 1) % 3;
    const struct member_operation replace[] = { operation(MEMBER_ADD_VOTER, 4), operation(MEMBER_REMOVE, gone + 1) };
    /* The marker is appended while the joint configuration is not yet committed, and so before its successor. */
    cluster->hook = lose_acknowledgements;
    send_change(cluster, leader, replace, 2, 0);
    cluster_settle(cluster);
    node_request(cluster->nodes[leader], 9, &(struct request){ .request_id = 6, .kind = REQUEST_CHECKPOINT });
    cluster_settle(cluster);
    EXPECT_EQUAL(replica_at(cluster, leader)->marker_index, node_view(cluster->nodes[leader]).last.index);
    cluster->hook = lose_entries_to_the_fourth;
    cluster_run(cluster, 200 * MS);
    start(cluster, 3);
    cluster_run(cluster, 500 * MS);
    EXPECT(cluster->events[3][EVENT_INSTALL_DONE] > 0);
    const struct configuration *now = configuration_at(cluster, 3);
    EXPECT_EQUAL(bits_count(configuration_voters_old(now)), 3);
    EXPECT_EQUAL(bits_count(configuration_voters(now)), 3);
    EXPECT_EQUAL(bits_count(configuration_members(now)), 4);
    cluster->hook = NULL;
    expect_members(cluster, IDS(4), IDS(1, 2, 3, 4) & ~(1u << (gone + 1)), 0);
    put(cluster, 2, 2);
    cluster_free(cluster);
}

TEST(whoever_leads_next_leaves_the_joint_state)
{
    struct cluster *cluster = cluster_ready(FIRST | 8);
    EXPECT_EQUAL(change_one(cluster, MEMBER_ADD_LEARNER, 4), REPLY_OK);
    cluster_run(cluster, 100 * MS);
    const uint32_t old = elected(cluster);
    const struct member_operation replace[] = { operation(MEMBER_PROMOTE, 4), operation(MEMBER_REMOVE, old + 1) };
    send_change(cluster, old, replace, 2, 0);
    /* Until all have the joint configuration, and nobody has the next one. */
    for (uint32_t steps = 0; steps < 10000; steps++) {
        uint32_t joint = 0;
        for (uint32_t slot = 0; slot < 4; slot++)
            joint += configuration_is_joint(configuration_at(cluster, slot));
        if (joint == 4)
            break;
        cluster_one_step(cluster, steps);
    }
    EXPECT(configuration_is_joint(configuration_at(cluster, 3)));
    node_crash(cluster->nodes[old]);
    put(cluster, 2, 2);
    expect_members(cluster, IDS(4), IDS(1, 2, 3, 4) & ~(1u << (old + 1)), 0);
    cluster_free(cluster);
}

/* ---- handing over ---- */

static bool lose_timeout_now(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes, uint32_t count)
{
    struct message message;
    const struct frame_context context = node_context(cluster->nodes[from]);
    (void)to;
    return message_decode((struct slice){ .bytes = bytes, .count = count }, &context, &message) != FRAME_OK
           || message.type != FRAME_TIMEOUT_NOW;
}

/* Raft 4.2.2, 3.10: the others need not wait until they miss it. */
TEST(a_leader_that_is_removed_or_demoted_hands_over_at_once)
{
    static const enum member_operation_kind kinds[] = { MEMBER_DEMOTE, MEMBER_REMOVE };
    for (uint32_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        struct cluster *cluster = cluster_ready(FIRST);
        const uint32_t old = elected(cluster);
        const uint64_t term = node_view(cluster->nodes[old]).term;
        EXPECT_EQUAL(change_one(cluster, kinds[i], old + 1), REPLY_OK);
        cluster_run(cluster, 25 * MS); /* an election timeout is 100 */
        const uint32_t leader = leader_of(cluster);
        EXPECT(leader != NODES && leader != old);
        EXPECT_EQUAL(node_view(cluster->nodes[leader]).term, term + 1);
        EXPECT(node_view(cluster->nodes[old]).role != RAFT_LEADER);
        put(cluster, 2, 2);
        cluster_free(cluster);
    }
}

/* Mutant C10. */
TEST(a_leader_that_leaves_steps_down_when_nobody_takes_over)
{
    struct cluster *cluster = cluster_ready(FIRST);
    const uint32_t old = elected(cluster);
    cluster->hook = lose_timeout_now;
    EXPECT_EQUAL(change_one(cluster, MEMBER_REMOVE, old + 1), REPLY_OK);
    cluster_run(cluster, 50 * MS);
    EXPECT_EQUAL(leader_of(cluster), old);
    cluster_run(cluster, 75 * MS);
    EXPECT(leader_of(cluster) != old);
    cluster_run(cluster, 300 * MS);
    EXPECT(leader_of(cluster) != NODES && leader_of(cluster) != old);
    EXPECT_EQUAL(cluster->events[old][EVENT_TRANSFER], 3); /* begun, asked, given up */
    cluster_free(cluster);
}

static struct cluster *cluster_with_leases(void)
{
    struct cluster *cluster = cluster_new(&limits_tiny, 0);
    for (uint32_t slot = 0; slot < NODES_AT_FORMAT; slot++) {
        node_at(cluster, slot)->config.lease_drift_ppm = 1000;
        start(cluster, slot);
    }
    put(cluster, 1, 1);
    return cluster;
}

/* It leads when an election timeout is over, and not before: that may be what a lease rests on. */
static void expect_promise_over_a_restart(struct cluster *cluster, uint32_t voter)
{
    struct node *node = node_at(cluster, voter);
    node_crash(node);
    start(cluster, voter);
    cluster_run(cluster, 95 * MS); /* an election timeout is 100 */
    EXPECT(node_view(node).role != RAFT_LEADER);
    cluster_run(cluster, 200 * MS);
    EXPECT_EQUAL(node_view(node).role, RAFT_LEADER);
}

/* Mutant R23, Raft 6.4.1: to have become the only voter frees nobody from what was promised to the leader before. */
TEST(who_was_left_alone_keeps_a_promise_to_the_old_leader_over_a_restart)
{
    struct cluster *cluster = cluster_with_leases();
    const uint32_t old = elected(cluster), voter = (old + 1) % NODES_AT_FORMAT, third = (old + 2) % NODES_AT_FORMAT;
    const struct member_operation both[] = { operation(MEMBER_DEMOTE, old + 1), operation(MEMBER_DEMOTE, third + 1) };
    cluster->hook = lose_timeout_now;
    send_change(cluster, old, both, ARRAY_COUNT(both), 0);
    for (uint32_t turn = 0;
         turn < 1000 && ids_with(configuration_at(cluster, voter), MEMBER_VOTER) != 1u << (voter + 1); turn++)
        cluster_one_step(cluster, turn);
    EXPECT_EQUAL(ids_with(configuration_at(cluster, voter), MEMBER_VOTER), 1u << (voter + 1));
    cluster_run(cluster, 5 * MS); /* its disk has it */
    cluster->cut[voter] = true;
    expect_promise_over_a_restart(cluster, voter);
    cluster_free(cluster);
}

static bool lose_acknowledgements_of(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes,
                                     uint32_t count)
{
    return lose_timeout_now(cluster, from, to, bytes, count) && lose_acknowledgements(cluster, from, to, bytes, count);
}

/* Mutant R24: what is committed is applied at the end of a step, so who leaves goes in the next one, and with that may
 * come another change. Were it appended, the two configurations that the voter knows would both have it alone, and what
 * it promised in its life before would be forgotten. */
TEST(a_leader_that_leaves_appends_no_other_change)
{
    struct cluster *cluster = cluster_with_leases();
    const uint32_t old = elected(cluster), voter = (old + 1) % NODES_AT_FORMAT, third = (old + 2) % NODES_AT_FORMAT;
    const struct member_operation both[] = { operation(MEMBER_DEMOTE, old + 1), operation(MEMBER_DEMOTE, third + 1) };
    const struct member_operation add = operation(MEMBER_ADD_LEARNER, 4);
    struct node *node = node_at(cluster, voter);
    const uint64_t before = cluster->replies;
    send_change(cluster, old, both, ARRAY_COUNT(both), 0);
    for (uint32_t turn = 0; turn < 1000 && cluster->replies == before; turn++)
        cluster_one_step(cluster, turn);
    EXPECT_EQUAL(cluster->status, REPLY_OK);
    EXPECT_EQUAL(node_view(node_at(cluster, old)).role, RAFT_LEADER);
    cluster->hook = lose_acknowledgements_of;
    send_change(cluster, old, &add, 1, 0);
    cluster_run(cluster, 5 * MS); /* the voter's disk has whatever was sent to it */
    cluster->cut[voter] = true;
    node_crash(node);
    start(cluster, voter);
    for (uint32_t waited = 0; waited < 200; waited++) {
        cluster_run(cluster, 1 * MS);
        const struct replica_view leader = node_view(node_at(cluster, old));
        EXPECT(node_view(node).role != RAFT_LEADER || leader.lease_end_ns <= leader.now_ns);
    }
    EXPECT_EQUAL(node_view(node).role, RAFT_LEADER);
    EXPECT_EQUAL(cluster->status, REPLY_CHANGE_UNDER_WAY);
    cluster_free(cluster);
}

/* Mutant R25: a learner may have led, too. */
TEST(the_only_voter_keeps_a_promise_that_a_learner_may_rest_a_lease_on)
{
    struct cluster *cluster = cluster_with_leases();
    const uint32_t voter = elected(cluster), one = (voter + 1) % NODES_AT_FORMAT, other = (voter + 2) % NODES_AT_FORMAT;
    const struct member_operation both[] = { operation(MEMBER_DEMOTE, one + 1), operation(MEMBER_DEMOTE, other + 1) };
    EXPECT_EQUAL(change(cluster, both, ARRAY_COUNT(both), REQUEST_FLAG_FORCE), REPLY_OK);
    EXPECT_EQUAL(change_one(cluster, MEMBER_REMOVE, one + 1), REPLY_OK);
    cluster_run(cluster, 50 * MS);
    expect_promise_over_a_restart(cluster, voter);
    cluster_free(cluster);
}

static bool lose_entries_between_voters(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes,
                                        uint32_t count)
{
    struct frame_header header;
    (void)cluster, (void)from, (void)count;
    memcpy(&header, bytes, sizeof header);
    return header.type != FRAME_APPEND_REQUEST || to >= NODES_AT_FORMAT;
}

/* Mutant C26. The first leader has promoted a learner, and told nobody; the second one sent its first entry to that
 * learner alone, and is gone. So the first one has not the longest log, and needs the vote of who has. */
TEST(a_learner_with_the_longest_log_leads_when_nobody_else_can_win)
{
    struct cluster *cluster = cluster_ready(FIRST | 8);
    EXPECT_EQUAL(change_one(cluster, MEMBER_ADD_LEARNER, 4), REPLY_OK);
    expect_members(cluster, IDS(1, 2, 3, 4), IDS(1, 2, 3), IDS(4));
    const uint32_t first = elected(cluster);
    const struct member_operation promote = operation(MEMBER_PROMOTE, 4);
    cluster->cut[first] = true;
    send_change(cluster, first, &promote, 1, 0);
    cluster->hook = lose_entries_between_voters;
    const uint32_t second = elected(cluster);
    cluster_run(cluster, 20 * MS);
    EXPECT(configuration_is_joint(configuration_at(cluster, first)));
    EXPECT_EQUAL(node_view(node_at(cluster, 3)).last.index, node_view(node_at(cluster, second)).last.index);
    node_crash(node_at(cluster, second));
    cluster->cut[first] = false;
    cluster->hook = NULL;
    cluster_run(cluster, 400 * MS);
    EXPECT_EQUAL(leader_of(cluster), NODES); /* who has a vote goes first */
    cluster_run(cluster, 800 * MS);
    EXPECT(cluster->events[3][EVENT_TRANSFER] > 0);
    EXPECT(leader_of(cluster) < NODES_AT_FORMAT);
    put(cluster, 2, 2);
    EXPECT_EQUAL(change_one(cluster, MEMBER_PROMOTE, 4), REPLY_OK);
    cluster_free(cluster);
}

/* Only the one candidate is heard, its entries reach the fourth node alone, and no checkpoint is given to anybody. */
static uint32_t candidate;

static bool lead_the_fourth_astray(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes, uint32_t count)
{
    struct frame_header header;
    memcpy(&header, bytes, sizeof header);
    if (header.type == FRAME_VOTE_REQUEST)
        return from == candidate;
    return header.type != FRAME_CHECKPOINT_RESPONSE
           && (to == 3 || lose_entries_between_voters(cluster, from, to, bytes, count));
}

/* Mutant S44. A voter that was added while it was down has a part of its first checkpoint, so it knows of no members;
 * and the longest log, so nobody else can win. Its leader, the only one that it has ever heard of, is gone. */
static void expect_rest_of_a_checkpoint(bool restarted)
{
    struct cluster *cluster = cluster_ready(FIRST);
    const uint32_t leader = elected(cluster), gone = (leader + 1) % NODES_AT_FORMAT;
    const struct member_operation replace[] = { operation(MEMBER_ADD_VOTER, 4), operation(MEMBER_REMOVE, gone + 1) };
    EXPECT_EQUAL(change(cluster, replace, ARRAY_COUNT(replace), 0), REPLY_OK);
    node_crash(node_at(cluster, gone));
    for (int i = 0; i < 4; i++)
        write_until_checkpoint(cluster, 24);
    EXPECT(replica_at(cluster, leader)->log.base.index > configuration_at(cluster, leader)->id.index);
    start(cluster, 3);
    const struct replica *fourth = replica_at(cluster, 3);
    for (uint64_t turn = 0; turn < 100000 && (fourth->superblock.durable.flags & STORED_PARTIAL) == 0; turn++)
        cluster_one_step(cluster, turn);
    candidate = leader;
    cluster->hook = lead_the_fourth_astray;
    cluster->cut[leader] = true;
    cluster_run(cluster, 200 * MS);
    EXPECT(node_view(node_at(cluster, leader)).role != RAFT_LEADER);
    cluster->cut[leader] = false;
    EXPECT_EQUAL(elected(cluster), leader);
    cluster_run(cluster, 50 * MS);
    node_crash(node_at(cluster, leader));
    const uint32_t other = NODES_AT_FORMAT - leader - gone;
    EXPECT(log_id_compare(fourth->log.last, replica_at(cluster, other)->log.last) > 0);
    EXPECT_EQUAL(fourth->superblock.durable.flags, STORED_PARTIAL | STORED_STRANGER);
    EXPECT_EQUAL(configuration_members(configuration_at(cluster, 3)), 0);
    if (restarted) {
        node_crash(node_at(cluster, 3));
        start(cluster, 3);
    }
    cluster->hook = NULL;
    put(cluster, 2, 2);
    expect_members(cluster, 1u << (other + 1) | 1u << 4, 1u << (leader + 1) | 1u << (other + 1) | 1u << 4, 0);
    cluster_free(cluster);
}

TEST(who_knows_no_members_gets_the_rest_of_its_checkpoint_from_who_asks_for_its_vote)
{
    expect_rest_of_a_checkpoint(false);
    expect_rest_of_a_checkpoint(true);
}

static bool lose_all_answers(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes, uint32_t count)
{
    return lose_acknowledgements(cluster, from, to, bytes, count)
           && no_answer_about_checkpoints(cluster, from, to, bytes, count);
}

/* It leads until it hears that its leaving is committed, and so is no member of its own configuration. */
TEST(a_leader_that_leaves_and_has_lost_a_page_asks_the_others_only)
{
    struct cluster *cluster = cluster_ready(FIRST);
    write_until_checkpoint(cluster, 6);
    cluster_run(cluster, 200 * MS);
    const uint32_t leader = elected(cluster);
    struct replica *replica = replica_at(cluster, leader);
    const struct member_operation leave = operation(MEMBER_REMOVE, leader + 1);
    send_change(cluster, leader, &leave, 1, 0);
    for (uint32_t turn = 0; turn < 1000 && members_slot(replica, leader + 1) < MEMBERS_MAX; turn++)
        cluster_one_step(cluster, turn);
    cluster->hook = lose_all_answers;
    node_at(cluster, leader)->data[(uint64_t)map_entry(replica, 0, 0)->block * cluster->limits.page_bytes + 17] ^= 4;
    store_lose(replica, &node_at(cluster, leader)->output, 0);
    cluster_run(cluster, 90 * MS); /* an election timeout is 100, and 40 go by between two questions */
    EXPECT_EQUAL(replica->role, RAFT_LEADER);
    EXPECT_EQUAL(replica->self, MEMBERS_MAX);
    EXPECT_EQUAL(replica->install.asked_vainly, 3);
    cluster->hook = NULL;
    cluster_run(cluster, 300 * MS);
    EXPECT(store_is_ready(replica));
    cluster_free(cluster);
}

static void set_priority(struct cluster *cluster, uint64_t id, uint8_t priority)
{
    struct member_operation set = operation(MEMBER_SET_PRIORITY, id);
    set.priority = priority;
    EXPECT_EQUAL(change(cluster, &set, 1, 0), REPLY_OK);
}

TEST(the_voter_with_the_highest_priority_leads_when_it_has_been_well_for_a_while)
{
    struct cluster *cluster = cluster_ready(FIRST);
    const uint32_t first = elected(cluster), low = (first + 1) % 3, high = (first + 2) % 3;
    cluster->cut[high] = true;
    cluster_run(cluster, 150 * MS); /* it is not heard any more */
    set_priority(cluster, low + 1, 1);
    set_priority(cluster, high + 1, 2);
    cluster_run(cluster, (PREFERRED_TIMEOUTS - 1) * 100 * MS);
    EXPECT_EQUAL(leader_of(cluster), first);
    cluster_run(cluster, 200 * MS);
    EXPECT_EQUAL(leader_of(cluster), low);
    cluster->cut[high] = false;
    cluster_run(cluster, (PREFERRED_TIMEOUTS - 1) * 100 * MS);
    EXPECT_EQUAL(leader_of(cluster), low);
    cluster_run(cluster, 200 * MS);
    EXPECT_EQUAL(leader_of(cluster), high);
    cluster_run(cluster, (uint64_t)5000 * MS);
    EXPECT_EQUAL(leader_of(cluster), high);
    cluster_free(cluster);
}

/* The preferred one takes nothing over, and is asked at the stated pace: the second time after HAND_OVER_TIMEOUTS, the
 * third one after twice as many. */
TEST(a_leader_does_not_hand_over_more_often_than_stated)
{
    enum { TIMEOUTS = 4 * HAND_OVER_TIMEOUTS };
    struct cluster *cluster = cluster_ready(FIRST);
    const uint32_t leader = elected(cluster);
    cluster->hook = lose_timeout_now;
    set_priority(cluster, (leader + 1) % 3 + 1, 1);
    cluster_run(cluster, (uint64_t)TIMEOUTS * 100 * MS);
    EXPECT_EQUAL(leader_of(cluster), leader);
    EXPECT_EQUAL(cluster->events[leader][EVENT_TRANSFER], 3 * 3); /* each begun, asked, given up */
    put(cluster, 2, 2);
    cluster_free(cluster);
}

/* ---- who answers, and is not well ---- */

/* Who abstains never hears that a request is younger than its question. */
static bool lose_echoes(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes, uint32_t count)
{
    uint8_t frame[NODE_FRAME_BYTES_MAX];
    struct message message;
    const struct frame_context context = node_context(cluster->nodes[from]);
    (void)to;
    if (message_decode((struct slice){ .bytes = bytes, .count = count }, &context, &message) != FRAME_OK
        || message.type != FRAME_APPEND_REQUEST)
        return true;
    message.append_request.echo = 0;
    message_encode(&message, &context, frame);
    memcpy(bytes, frame, count);
    return true;
}

/* Leaves this one as the only voter. */
static enum reply_status change_to_only(struct cluster *cluster, uint32_t voter)
{
    const struct member_operation both[] = { operation(MEMBER_REMOVE, (voter + 1) % NODES_AT_FORMAT + 1),
                                             operation(MEMBER_REMOVE, (voter + 2) % NODES_AT_FORMAT + 1) };
    return change(cluster, both, ARRAY_COUNT(both), 0);
}

/* By now it may be. */
static void expect_goes_on_alone(struct cluster *cluster, uint32_t voter)
{
    const uint32_t old = elected(cluster);
    EXPECT_EQUAL(change_to_only(cluster, voter), REPLY_OK);
    node_crash(node_at(cluster, old));
    cluster_run(cluster, 300 * MS);
    EXPECT_EQUAL(leader_of(cluster), voter);
    put(cluster, 2, 2);
    cluster_free(cluster);
}

static void expect_confirms_all(struct cluster *cluster, uint32_t slot)
{
    const uint32_t leader = elected(cluster);
    EXPECT(members_heard(replica_at(cluster, leader), slot));
    EXPECT_EQUAL(node_view(node_at(cluster, leader)).match[slot], node_view(node_at(cluster, leader)).last.index);
}

/* Mutant C28. It confirms all entries, but it cannot lead, nor elect anybody. */
TEST(a_voter_that_abstains_is_not_left_alone)
{
    struct cluster *cluster = cluster_ready(FIRST);
    const uint32_t voter = (elected(cluster) + 1) % NODES_AT_FORMAT;
    const struct configuration voters = node_voters(NODES_AT_FORMAT);
    cluster->hook = lose_echoes;
    node_crash(node_at(cluster, voter));
    node_format(node_at(cluster, voter), &voters, INSTANCE_REJOIN | 1);
    start(cluster, voter);
    cluster_run(cluster, 100 * MS);
    EXPECT((replica_at(cluster, voter)->stored.flags & STORED_ABSTAIN) != 0);
    expect_confirms_all(cluster, voter);
    EXPECT_EQUAL(change_to_only(cluster, voter), REPLY_WOULD_LOSE_QUORUM);
    cluster->hook = NULL;
    cluster_run(cluster, 50 * MS);
    expect_goes_on_alone(cluster, voter);
}

/* It confirms all entries, but nobody would be left to give it its page. */
TEST(a_voter_that_lacks_pages_is_not_left_alone)
{
    struct cluster *cluster = cluster_ready(FIRST);
    write_until_checkpoint(cluster, 6);
    const uint32_t voter = (elected(cluster) + 1) % NODES_AT_FORMAT;
    struct node *node = node_at(cluster, voter);
    uint32_t page = 0;
    while (map_entry_is_zero(map_entry_const(node->replica, 0, page)))
        page++;
    node->data[(uint64_t)map_entry_const(node->replica, 0, page)->block * node->limits.page_bytes + 17] ^= 4;
    cluster->hook = no_answer_about_checkpoints;
    node_crash(node);
    start(cluster, voter);
    cluster_run(cluster, 100 * MS);
    EXPECT_EQUAL(replica_at(cluster, voter)->store.state, STORE_DAMAGED);
    expect_confirms_all(cluster, voter);
    EXPECT_EQUAL(change_to_only(cluster, voter), REPLY_WOULD_LOSE_QUORUM);
    cluster->hook = NULL;
    cluster_run(cluster, 100 * MS);
    expect_goes_on_alone(cluster, voter);
}

/* The leader has made a checkpoint for itself alone, so the others have none: they look as if they lacked pages. */
TEST(who_has_no_checkpoint_only_because_there_was_no_marker_is_well_after_the_next_one)
{
    struct cluster *cluster = cluster_ready(FIRST);
    const uint32_t leader = elected(cluster), voter = (leader + 1) % NODES_AT_FORMAT;
    checkpoint_renew(replica_at(cluster, leader));
    cluster_run(cluster, 100 * MS);
    EXPECT(replica_at(cluster, leader)->superblock.durable.checkpoint.id.index > 0);
    EXPECT_EQUAL(replica_at(cluster, voter)->superblock.durable.checkpoint.id.index, 0);
    EXPECT_EQUAL(change_to_only(cluster, voter), REPLY_WOULD_LOSE_QUORUM);
    cluster_run(cluster, 100 * MS);
    EXPECT_EQUAL(change_to_only(cluster, voter), REPLY_OK);
    expect_members(cluster, IDS(voter + 1), IDS(voter + 1), 0);
    cluster_free(cluster);
}

/* Loses power on one node, or on all, after so many steps of a change. Whatever became of it, all agree, and go on. */
static bool crash_in_change(uint32_t steps, uint32_t victims, bool all_land)
{
    struct cluster *cluster = cluster_ready(FIRST | 8);
    EXPECT_EQUAL(change_one(cluster, MEMBER_ADD_LEARNER, 4), REPLY_OK);
    cluster_run(cluster, 100 * MS);
    const struct member_operation replace[] = { operation(MEMBER_PROMOTE, 4), operation(MEMBER_REMOVE, 1) };
    const uint64_t before = cluster->replies;
    send_change(cluster, elected(cluster), replace, 2, 0);
    for (uint32_t i = 0; i < steps; i++)
        cluster_one_step(cluster, i);
    const bool over = cluster->replies > before;
    for (uint32_t slot = 0; slot < 4; slot++) {
        struct node *node = cluster->nodes[slot];
        if ((victims >> slot & 1) == 0)
            continue;
        for (uint32_t op = 0; op < node->op_count; op++)
            if (node->ops[op].write && (all_land || op % 2 == 0))
                node_land(node, op, all_land ? UINT64_MAX : 5);
        node_crash(node);
        start(cluster, slot);
    }
    put(cluster, 2, 2);
    cluster_run(cluster, 300 * MS);
    const struct configuration *now = configuration_at(cluster, elected(cluster));
    EXPECT(!configuration_is_joint(now));
    const bool changed = ids_with(now, MEMBER_VOTER) == IDS(2, 3, 4);
    EXPECT(changed || ids_with(now, MEMBER_VOTER) == IDS(1, 2, 3));
    EXPECT(changed || !over);
    expect_members(cluster, IDS(2, 3, 4), changed ? IDS(2, 3, 4) : IDS(1, 2, 3), changed ? 0 : IDS(4));
    cluster_free(cluster);
    return over;
}

TEST(a_loss_of_power_at_any_step_of_a_change)
{
    for (uint32_t victims = 0; victims < 4; victims++) {
        const uint32_t masks[] = { 1, 2, 8, 15 };
        uint32_t steps = 0;
        for (bool over = false; !over; steps += 1 + steps / 16)
            over = crash_in_change(steps, masks[victims], steps % 2 == 0);
        EXPECT(steps > 20);
    }
}

TEST_MAIN()

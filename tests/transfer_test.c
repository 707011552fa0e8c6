/* Handing over the leadership (Raft 3.10), and a leader whose disk stands still: three nodes, seen from the inside. */
#include "nodes.h"

static struct cluster *three(void)
{
    struct cluster *cluster = cluster_new(&limits_tiny, 7);
    put(cluster, 0, 1);
    cluster_run(cluster, 50 * MS);
    return cluster;
}

static enum reply_status answer; /* to the latest request that was answered */
static uint64_t answer_leader;

/* Takes the replies out of what the node has sent; its frames stay. */
static bool take_reply(struct node *node)
{
    for (uint32_t i = 0; i < node->sent_count; i++) {
        struct reply reply;
        const struct slice bytes = { .bytes = node->sent[i].bytes, .count = node->sent[i].count };
        if (!node->sent[i].reply || reply_decode(bytes, node->limits.frame_bytes_max, &reply) != FRAME_OK)
            continue;
        answer = reply.status;
        answer_leader = reply.leader;
        memmove(&node->sent[i], &node->sent[i + 1], (--node->sent_count - i) * sizeof node->sent[0]);
        return true;
    }
    return false;
}

/* Lets time pass until this node has answered. False: it has not. */
static bool answered_within(struct cluster *cluster, uint32_t slot, uint64_t ns)
{
    const uint64_t end_ns = cluster->now_ns + ns;
    do {
        for (uint32_t steps = 0; steps < 200; steps++) {
            if (take_reply(node_at(cluster, slot)))
                return true;
            uint32_t quiet = 0;
            while (quiet < NODES && !cluster_step(cluster, (steps + quiet) % NODES))
                quiet++;
            if (quiet == NODES)
                break;
        }
        cluster_advance(cluster, cluster->now_ns + MS);
    } while (cluster->now_ns < end_ns);
    return false;
}

static void ask(struct cluster *cluster, uint32_t slot, uint64_t target)
{
    node_request(node_at(cluster, slot), 9,
                 &(struct request){ .request_id = 5, .kind = REQUEST_TRANSFER, .version = target });
    observe(cluster, slot);
}

static enum reply_status status_at(struct cluster *cluster, uint32_t slot, const struct request *request)
{
    node_request(node_at(cluster, slot), 8, request);
    observe(cluster, slot);
    EXPECT(answered_within(cluster, slot, 5 * MS));
    return answer;
}

/* T01: a healthy cluster hands over at once, each time, whoever is asked for; nobody waits for an election timeout. */
TEST(a_healthy_cluster_hands_over_at_once)
{
    struct cluster *cluster = three();
    for (uint32_t round = 0; round < 20; round++) {
        const uint32_t leader = elected(cluster);
        const uint32_t target = (leader + 1 + round % 2) % NODES;
        const uint64_t term = node_view(node_at(cluster, leader)).term;
        put(cluster, round, 2);
        ask(cluster, leader, target + 1);
        EXPECT(answered_within(cluster, leader, 10 * MS));
        EXPECT_EQUAL(answer, REPLY_OK);
        EXPECT_EQUAL(answer_leader, target + 1);
        EXPECT_EQUAL(leader_of(cluster), target);
        EXPECT_EQUAL(node_view(node_at(cluster, target)).term, term + 1);
    }
    cluster_free(cluster);
}

static uint32_t withheld_from;
static enum frame_type withheld; /* does not get frames of this type */

static bool withhold(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes, uint32_t count)
{
    struct frame_header header;
    (void)cluster;
    (void)from;
    EXPECT(count >= sizeof header);
    memcpy(&header, bytes, sizeof header);
    return to != withheld_from || header.type != withheld;
}

/* T01. Told to campaign before it has everything, it would lose. */
TEST(the_target_has_everything_before_it_is_told_to_campaign)
{
    struct cluster *cluster = three();
    const uint32_t leader = elected(cluster), target = (leader + 1) % NODES;
    const uint64_t term = node_view(node_at(cluster, leader)).term;
    withheld_from = target;
    withheld = FRAME_APPEND_REQUEST;
    cluster->hook = withhold;
    put(cluster, 1, 1);
    ask(cluster, leader, target + 1);
    EXPECT(!answered_within(cluster, leader, 30 * MS));
    EXPECT_EQUAL(node_view(node_at(cluster, target)).term, term);
    cluster->hook = NULL;
    EXPECT(answered_within(cluster, leader, 30 * MS));
    EXPECT(answer == REPLY_OK && answer_leader == target + 1);
    EXPECT_EQUAL(node_view(node_at(cluster, target)).term, term + 1);
    cluster_free(cluster);
}

/* ---- leases (Raft 6.4.1) ---- */

static struct cluster *three_with_leases(void)
{
    struct cluster *cluster = cluster_new(&limits_tiny, 0);
    for (uint32_t slot = 0; slot < NODES; slot++) {
        node_at(cluster, slot)->config.lease_drift_ppm = 1000;
        start(cluster, slot);
    }
    put(cluster, 0, 1);
    cluster_run(cluster, 50 * MS);
    return cluster;
}

/* R06. */
TEST(a_lease_counts_from_the_question_however_late_the_answer)
{
    struct cluster *cluster = three_with_leases();
    const uint32_t leader = elected(cluster), other = (leader + 1) % NODES;
    struct node *node = node_at(cluster, leader);
    const uint64_t cut_ns = cluster->now_ns;
    cluster->cut[leader] = true;
    cluster_run(cluster, 60 * MS);
    EXPECT(node_view(node).lease_end_ns <= cut_ns + 100 * MS);
    const struct message late = {
        .type = FRAME_APPEND_RESPONSE,
        .from = other + 1,
        .to = leader + 1,
        .instance = 1001 + other,
        .term = node_view(node).term,
        .append_response = { .match = 1, .promised_ns = cut_ns + 10 * MS + read_promise_ns(node->replica) },
    };
    node_message(node, &late);
    EXPECT(node_view(node).lease_end_ns > cut_ns + 108 * MS);
    EXPECT(node_view(node).lease_end_ns < cut_ns + 110 * MS);
    cluster_free(cluster);
}

/* Each voter says for how long it keeps its promise; the leader does not judge that by itself. */
TEST(a_lease_is_no_longer_than_the_election_timeouts_of_a_majority)
{
    struct cluster *cluster = cluster_new(&limits_tiny, 0);
    for (uint32_t slot = 0; slot < NODES; slot++) {
        node_at(cluster, slot)->config.lease_drift_ppm = 1000;
        node_at(cluster, slot)->config.election_timeout_ns = slot == 0 ? 100 * MS : 60 * MS;
        start(cluster, slot);
    }
    put(cluster, 0, 1);
    const uint32_t first = elected(cluster);
    if (first != 0) {
        ask(cluster, first, 1);
        EXPECT(answered_within(cluster, first, 10 * MS));
        EXPECT_EQUAL(answer, REPLY_OK);
    }
    cluster_run(cluster, 50 * MS);
    EXPECT_EQUAL(leader_of(cluster), 0);
    const struct node *node = node_at(cluster, 0);
    EXPECT(node_view(node).lease_end_ns > node->now_ns);
    EXPECT(node_view(node).lease_end_ns <= node->now_ns + 60 * MS);
    cluster_free(cluster);
}

/* Who has no leases does not look at the time alone, nor wait for it after a start. */
TEST(there_is_no_lease_where_a_majority_promises_none)
{
    struct cluster *cluster = cluster_new(&limits_tiny, 0);
    for (uint32_t slot = 0; slot < NODES; slot++) {
        node_at(cluster, slot)->config.lease_drift_ppm = slot == 0 ? 1000 : 0;
        start(cluster, slot);
    }
    put(cluster, 0, 1);
    const uint32_t first = elected(cluster);
    if (first != 0) {
        ask(cluster, first, 1);
        EXPECT(answered_within(cluster, first, 10 * MS));
    }
    cluster_run(cluster, 50 * MS);
    EXPECT_EQUAL(leader_of(cluster), 0);
    EXPECT(node_view(node_at(cluster, 0)).lease_end_ns <= node_at(cluster, 0)->now_ns);
    cluster_free(cluster);
}

/* R09. */
TEST(a_voter_that_starts_again_votes_for_nobody_for_an_election_timeout)
{
    struct cluster *cluster = three_with_leases();
    const uint32_t leader = elected(cluster), voter = (leader + 1) % NODES, third = (leader + 2) % NODES;
    struct node *node = node_at(cluster, voter);
    cluster->cut[leader] = true;
    cluster->cut[voter] = true;
    node_crash(node);
    start(cluster, voter);
    cluster_run(cluster, 1 * MS);
    const struct message request = {
        .type = FRAME_VOTE_REQUEST,
        .from = third + 1,
        .to = voter + 1,
        .instance = 1001 + third,
        .term = node_view(node).term + 5,
        .vote_request = { .last = { .term = 9, .index = 99 }, .term = node_view(node).term + 5 },
    };
    node_message(node, &request);
    EXPECT(node_view(node).vote != third + 1);
    node_tick(node, 100 * MS);
    node_message(node, &request);
    EXPECT_EQUAL(node_view(node).vote, third + 1);
    cluster_free(cluster);
}

/* ---- transfers ---- */

TEST(the_best_one_is_found_and_who_leads_already_is_told_so)
{
    struct cluster *cluster = three();
    const uint32_t leader = elected(cluster);
    cluster->cut[(leader + 1) % NODES] = true;
    cluster_run(cluster, 150 * MS); /* it is not heard any more */
    EXPECT_EQUAL(leader_of(cluster), leader);
    ask(cluster, leader, leader + 1);
    EXPECT(answered_within(cluster, leader, 5 * MS));
    EXPECT(answer == REPLY_OK && answer_leader == leader + 1);
    ask(cluster, leader, 0);
    EXPECT(answered_within(cluster, leader, 30 * MS));
    EXPECT(answer == REPLY_OK && answer_leader == (leader + 2) % NODES + 1);
    cluster_free(cluster);
}

/* T08. */
TEST(who_is_no_voter_is_refused_and_nothing_stops)
{
    struct cluster *cluster = three();
    const uint32_t leader = elected(cluster);
    ask(cluster, leader, 77);
    EXPECT(answered_within(cluster, leader, 5 * MS));
    EXPECT_EQUAL(answer, REPLY_NOT_A_VOTER);
    EXPECT_EQUAL(cluster->events[leader][EVENT_TRANSFER], 0);
    put(cluster, 1, 1);
    ask(cluster, (leader + 1) % NODES, 1);
    EXPECT(answered_within(cluster, (leader + 1) % NODES, 5 * MS));
    EXPECT(answer == REPLY_NOT_LEADER && answer_leader == leader + 1);
    cluster_free(cluster);
}

/* Nobody waits for one that has not answered for an election timeout. */
TEST(who_does_not_answer_is_refused_at_once)
{
    struct cluster *cluster = three();
    const uint32_t leader = elected(cluster), target = (leader + 1) % NODES;
    cluster->cut[target] = true;
    cluster_run(cluster, 120 * MS);
    ask(cluster, leader, target + 1);
    EXPECT(answered_within(cluster, leader, 1 * MS));
    EXPECT_EQUAL(answer, REPLY_TARGET_SILENT);
    put(cluster, 1, 1);
    cluster_free(cluster);
}

/* T02, T03: proposals wait while it lasts, and it lasts an election timeout at most. */
TEST(a_transfer_that_cannot_succeed_is_given_up_after_an_election_timeout)
{
    struct cluster *cluster = three();
    const uint32_t leader = elected(cluster), target = (leader + 1) % NODES;
    const struct request again = { .request_id = 6, .kind = REQUEST_TRANSFER, .version = (leader + 2) % NODES + 1 };
    const struct request write = { .request_id = 7, .kind = REQUEST_REGISTER };
    cluster->cut[target] = true;
    put(cluster, 1, 1); /* so it lacks something */
    const uint64_t begun_ns = cluster->now_ns;
    const uint64_t last = node_view(node_at(cluster, leader)).last.index;
    ask(cluster, leader, target + 1);
    EXPECT_EQUAL(status_at(cluster, leader, &write), REPLY_BUSY);
    EXPECT_EQUAL(status_at(cluster, leader, &again), REPLY_BUSY);
    EXPECT(answered_within(cluster, leader, 200 * MS));
    EXPECT_EQUAL(answer, REPLY_TRANSFER_FAILED);
    EXPECT(cluster->now_ns - begun_ns >= 100 * MS && cluster->now_ns - begun_ns <= 121 * MS);
    EXPECT_EQUAL(node_view(node_at(cluster, leader)).role, RAFT_LEADER);
    EXPECT_EQUAL(node_view(node_at(cluster, leader)).last.index, last);
    put(cluster, 1, 2);
    cluster_free(cluster);
}

static struct message timeout_now(uint32_t from, uint32_t to, uint64_t term)
{
    return (struct message){
        .type = FRAME_TIMEOUT_NOW, .from = from + 1, .to = to + 1, .instance = 1001 + from, .term = term
    };
}

/* T05, and the other reasons why the frame means nothing. T04: what it leads to is an election. */
TEST(only_the_leader_of_this_term_can_make_a_voter_campaign)
{
    struct cluster *cluster = three();
    const uint32_t leader = elected(cluster), other = (leader + 1) % NODES, third = (leader + 2) % NODES;
    const uint64_t term = node_view(node_at(cluster, leader)).term;
    struct message message = timeout_now(leader, other, term - 1);
    node_message(node_at(cluster, other), &message);
    EXPECT_EQUAL(node_view(node_at(cluster, other)).role, RAFT_FOLLOWER);
    message = timeout_now(leader, other, term + 1);
    node_message(node_at(cluster, other), &message);
    EXPECT_EQUAL(node_view(node_at(cluster, other)).term, term);
    message = timeout_now(third, other, term);
    node_message(node_at(cluster, other), &message);
    EXPECT_EQUAL(node_view(node_at(cluster, other)).role, RAFT_FOLLOWER);
    message = timeout_now(leader, other, term);
    node_message(node_at(cluster, other), &message);
    EXPECT_EQUAL(node_view(node_at(cluster, other)).role, RAFT_CANDIDATE);
    EXPECT_EQUAL(node_view(node_at(cluster, other)).votes, 0); /* not even its own, which is not durable yet */
    EXPECT_EQUAL(node_view(node_at(cluster, other)).term, term + 1);
    cluster_free(cluster);
}

/* Stickiness gives way to the wish of the leader, and to nothing else. T07: for one campaign. */
static uint32_t only_campaigner;
static uint32_t requests_seen, flags_seen;

static bool watch_campaigns(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes, uint32_t count)
{
    struct message message;
    const struct frame_context context = node_context(node_at(cluster, from));
    (void)to;
    if (message_decode((struct slice){ .bytes = bytes, .count = count }, &context, &message) != FRAME_OK
        || message.type != FRAME_VOTE_REQUEST)
        return true;
    requests_seen += from == only_campaigner && !message.vote_request.pre;
    flags_seen += message.vote_request.transfer;
    return from == only_campaigner;
}

/* T07 is the end of it: the campaign that the target wins later is one like any other. */
TEST(the_flag_overrides_stickiness_in_one_campaign_only)
{
    struct cluster *cluster = three();
    const uint32_t leader = elected(cluster), other = (leader + 1) % NODES, third = (leader + 2) % NODES;
    const uint64_t term = node_view(node_at(cluster, leader)).term;
    struct message request = {
        .type = FRAME_VOTE_REQUEST,
        .from = other + 1,
        .to = third + 1,
        .instance = 1001 + other,
        .term = term + 1,
        .vote_request = { .last = node_view(node_at(cluster, other)).last, .term = term + 1 },
    };
    node_message(node_at(cluster, third), &request);
    EXPECT_EQUAL(node_view(node_at(cluster, third)).term, term);
    request.vote_request.transfer = true;
    node_message(node_at(cluster, third), &request);
    EXPECT_EQUAL(node_view(node_at(cluster, third)).term, term + 1);
    EXPECT_EQUAL(node_view(node_at(cluster, third)).vote, other + 1);
    cluster_free(cluster);

    cluster = three();
    const uint32_t first = elected(cluster), target = (first + 1) % NODES;
    struct node *node = node_at(cluster, target);
    const struct message now = timeout_now(first, target, node_view(node).term);
    cluster->cut[target] = true;
    node_message(node, &now);
    EXPECT(replica_at(cluster, target)->campaign_transfer);
    cluster_run(cluster, 250 * MS); /* lost: nobody hears it */
    EXPECT_EQUAL(node_view(node).role, RAFT_PRE_CANDIDATE);
    EXPECT_EQUAL(node_view(node).term, replica_at(cluster, first)->stored.hard.term + 1);
    cluster->cut[target] = false;
    cluster->hook = watch_campaigns;
    only_campaigner = target;
    requests_seen = flags_seen = 0;
    cluster_run(cluster, 500 * MS);
    EXPECT_EQUAL(leader_of(cluster), target);
    EXPECT(requests_seen > 0 && flags_seen == 0);
    cluster_free(cluster);
}

/* The client hears the truth also when the leader is deposed by somebody else meanwhile. */
TEST(another_one_taking_over_is_no_success)
{
    struct cluster *cluster = three();
    const uint32_t leader = elected(cluster), target = (leader + 1) % NODES, third = (leader + 2) % NODES;
    cluster->cut[target] = true;
    put(cluster, 1, 1);
    ask(cluster, leader, target + 1);
    const struct message append = {
        .type = FRAME_APPEND_REQUEST,
        .from = third + 1,
        .to = leader + 1,
        .instance = 1001 + third,
        .term = node_view(node_at(cluster, leader)).term + 1,
    };
    node_message(node_at(cluster, leader), &append);
    EXPECT(take_reply(node_at(cluster, leader)) || answered_within(cluster, leader, 1 * MS));
    EXPECT(answer == REPLY_TRANSFER_FAILED && answer_leader == third + 1);
    cluster_free(cluster);
}

/* A leader whose disk stands still gives way within an election timeout and a heartbeat interval. */
TEST(a_leader_steps_down_when_its_disk_stands_still)
{
    struct cluster *cluster = three();
    const uint32_t leader = elected(cluster);
    struct node *node = node_at(cluster, leader);
    const struct request request = { .request_id = 3, .kind = REQUEST_REGISTER };
    node_request(node, 4, &request);
    EXPECT_EQUAL(node->op_count, 1);
    const uint64_t begun_ns = cluster->now_ns;
    /* The others answer, all of the time; the write does not end. */
    while (node_view(node).role == RAFT_LEADER && cluster->now_ns < begun_ns + 200 * MS) {
        for (uint32_t steps = 0; steps < 50; steps++)
            for (uint32_t slot = 0; slot < NODES; slot++)
                if (slot != leader || node->sent_count > 0 || node->deadline_ns <= node->now_ns) {
                    const uint32_t ops = node->op_count;
                    if (slot == leader)
                        node->op_count = 0;
                    cluster_step(cluster, slot);
                    if (slot == leader)
                        node->op_count = ops;
                }
        cluster_advance(cluster, cluster->now_ns + MS);
    }
    EXPECT_EQUAL(cluster->events[leader][EVENT_DISK_STALLED], 1);
    EXPECT_EQUAL(cluster->events[leader][EVENT_QUORUM_LOST], 0);
    EXPECT(cluster->now_ns - begun_ns >= 100 * MS && cluster->now_ns - begun_ns <= 122 * MS);
    cluster_free(cluster);
}

/* As cluster_step(), but operations of this kind never complete. True: one of them is under way. */
static bool step_without(struct cluster *cluster, uint32_t slot, uint32_t operation, bool *did)
{
    struct node *node = node_at(cluster, slot);
    struct node_op held[NODE_OPS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < node->op_count;) {
        if (wal_operation_of(node->ops[i].op_id) != operation) {
            i++;
            continue;
        }
        held[count++] = node->ops[i];
        node->ops[i] = node->ops[--node->op_count];
    }
    *did = cluster_step(cluster, slot);
    for (uint32_t i = 0; i < count; i++)
        node->ops[node->op_count++] = held[i];
    return count > 0;
}

/* Everything that can happen now, except for these operations of these nodes. True: one of them is under way. */
static bool settle_without(struct cluster *cluster, uint32_t slots, uint32_t operation)
{
    bool held = false, did = true;
    for (uint32_t steps = 0; did; steps++) {
        EXPECT(steps < NODES_STEPS_MAX);
        did = false;
        for (uint32_t slot = 0; slot < NODES; slot++) {
            bool stepped = false;
            held |= step_without(cluster, slot, (slots >> slot & 1) != 0 ? operation : 0, &stepped);
            did |= stepped;
        }
    }
    return held;
}

/* So it does whichever kind of write it is that does not end while all others do: a batch, a name, a copy of the
 * superblock, a run of a checkpoint. */
TEST(a_leader_steps_down_whichever_of_its_writes_stands_still)
{
    static const uint32_t operations[] = { WAL_WRITE_BATCH, WAL_WRITE_NAME, WAL_WRITE_SUPERBLOCK, DATA_WRITE };
    const struct request request = { .request_id = 3, .kind = REQUEST_REGISTER };
    for (uint32_t i = 0; i < ARRAY_COUNT(operations); i++) {
        struct cluster *cluster = three();
        const uint32_t leader = elected(cluster);
        struct node *node = node_at(cluster, leader);
        uint64_t since_ns = 0;
        /* Enough entries for a checkpoint. */
        for (uint32_t ms = 0; ms < 400 && node_view(node).role == RAFT_LEADER; ms++) {
            if (ms < 2 * limits_tiny.checkpoint_entries) {
                node_request(node, 4, &request);
                observe(cluster, leader);
            }
            if (settle_without(cluster, 1u << leader, operations[i]) && since_ns == 0)
                since_ns = cluster->now_ns;
            cluster_advance(cluster, cluster->now_ns + MS);
        }
        EXPECT(since_ns != 0);
        EXPECT_EQUAL(cluster->events[leader][EVENT_DISK_STALLED], 1);
        EXPECT_EQUAL(cluster->events[leader][EVENT_QUORUM_LOST], 0);
        EXPECT(cluster->now_ns - since_ns >= 99 * MS && cluster->now_ns - since_ns <= 123 * MS);
        /* When it ends all is well. */
        cluster_run(cluster, 500 * MS);
        put(cluster, 1, 1);
        cluster_free(cluster);
    }
}

/* Nobody's pages can be read, and nobody says why: so nobody stays in office. */
TEST(a_leader_steps_down_when_its_store_is_loaded_and_no_read_ends)
{
    struct cluster *cluster = three();
    write_until_checkpoint(cluster, 4);
    for (uint32_t slot = 0; slot < NODES; slot++)
        start(cluster, slot);
    uint64_t led = 0, stalled = 0;
    for (uint32_t ms = 0; ms < 2000; ms++) {
        EXPECT(settle_without(cluster, 7, DATA_READ));
        cluster_advance(cluster, cluster->now_ns + MS);
    }
    for (uint32_t slot = 0; slot < NODES; slot++) {
        stalled += cluster->events[slot][EVENT_DISK_STALLED];
        led = u64_max(led, node_view(node_at(cluster, slot)).term);
    }
    EXPECT(led > 1);
    EXPECT(stalled > 1);
    cluster_run(cluster, 500 * MS);
    put(cluster, 1, 1);
    cluster_free(cluster);
}

/* ---- hand-overs for a priority ---- */

/* Each in vain is twice as far from the next as from the one before, up to the limit; one that succeeds begins anew. */
TEST(hand_overs_in_vain_become_rarer)
{
    struct cluster *cluster = three();
    const uint32_t leader = elected(cluster), target = (leader + 1) % NODES;
    const struct transfer *transfer = &replica_at(cluster, leader)->transfer;
    replica_at(cluster, leader)->stored.members.latest.members[target].priority = 1;
    withheld_from = target;
    withheld = FRAME_TIMEOUT_NOW;
    cluster->hook = withhold;
    uint64_t begun_ns = 0, waited_ns = 0;
    for (uint32_t tries = 0; tries < HAND_OVER_DOUBLINGS_MAX + 3; tries++) {
        for (uint32_t ms = 0; transfer->target == 0; ms++) {
            EXPECT(ms < 20000);
            cluster_run(cluster, 10 * MS);
        }
        const uint64_t before_ns = begun_ns, wait_ns = (uint64_t)HAND_OVER_TIMEOUTS * 100 * MS;
        begun_ns = cluster->now_ns;
        if (before_ns != 0) {
            waited_ns = begun_ns - before_ns;
            const uint64_t least_ns = wait_ns << u32_min(tries - 1, HAND_OVER_DOUBLINGS_MAX);
            EXPECT(waited_ns + 20 * MS >= least_ns && waited_ns <= least_ns + 40 * MS);
        }
        cluster_run(cluster, 150 * MS);
        EXPECT_EQUAL(transfer->target, 0);
    }
    EXPECT(transfer->preferred_tries > 0);
    cluster->hook = NULL;
    cluster_run(cluster, 2 * waited_ns);
    EXPECT_EQUAL(leader_of(cluster), target);
    EXPECT_EQUAL(transfer->preferred_tries, 0);
    cluster_free(cluster);
}

/* As a follower whose pages are lost says that it has none. */
TEST(who_has_no_state_is_not_preferred)
{
    struct cluster *cluster = three();
    write_until_checkpoint(cluster, 4);
    const uint32_t leader = elected(cluster), target = (leader + 1) % NODES;
    struct replica *replica = replica_at(cluster, target);
    replica_at(cluster, leader)->stored.members.latest.members[target].priority = 1;
    replica->store.state = STORE_DAMAGED;
    cluster_run(cluster, 2000 * MS);
    EXPECT_EQUAL(leader_of(cluster), leader);
    EXPECT_EQUAL(replica_at(cluster, leader)->transfer.preferred_tried, 0);
    replica->store.state = STORE_READY;
    cluster_run(cluster, 2000 * MS);
    EXPECT_EQUAL(leader_of(cluster), target);
    cluster_free(cluster);
}

TEST_MAIN()

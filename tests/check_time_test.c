/* The simulator's checkers of transfers, leases and election timers against real replicas that are made to lie: as
 * check_test.c, for what breaks no entry. Each is shown the honest thing first. */
#include "test.h"

#include "../sim/check.h"
#include "check_cluster.h"

enum { MS = 1000 * 1000 };

/* ---- transfers ---- */

static struct message timeout_now(const struct cluster *c, uint64_t to)
{
    return (struct message){ .type = FRAME_TIMEOUT_NOW, .to = to, .term = node_view(c->nodes[0]).term };
}

TEST(a_target_that_lacks_an_entry_is_caught)
{
    struct cluster *c = cluster_new();
    send_lie(c, 0, timeout_now(c, 3));
    EXPECT_TEXT(verdict(c), "none");
    c->cut[2] = true;
    call(c, 0, put(c, "two"));
    send_lie(c, 0, timeout_now(c, 2));
    EXPECT_TEXT(verdict(c), "none");
    send_lie(c, 0, timeout_now(c, 3));
    EXPECT_CAUGHT(c, CHECK_LEDGER_TRANSFER);
}

TEST(a_target_that_is_no_voter_is_caught)
{
    struct cluster *c = cluster_new();
    send_lie(c, 0, timeout_now(c, 4));
    EXPECT_CAUGHT(c, CHECK_LEDGER_TRANSFER);
    c = cluster_new();
    struct transfer *transfer = &c->nodes[0]->replica->transfer;
    transfer->target = 3;
    transfer->term = node_view(c->nodes[0]).term;
    look(c, 0);
    EXPECT_TEXT(verdict(c), "none");
    transfer->target = 4;
    look(c, 0);
    EXPECT_CAUGHT(c, CHECK_TRANSFER);
}

TEST(a_campaign_for_a_leader_that_wanted_none_is_caught)
{
    struct cluster *c = cluster_new();
    c->nodes[2]->replica->config.pre_vote = false;
    tick(c, 2, 500 * MS);
    while (c->nodes[2]->op_count > 0)
        complete(c, 2);
    EXPECT_EQUAL(node_view(c->nodes[2]).role, RAFT_CANDIDATE);
    EXPECT_TEXT(verdict(c), "none");
    const uint64_t term = node_view(c->nodes[2]).term;
    const struct vote_request request = { .term = term, .transfer = true };
    send_lie(c, 2, (struct message){ .type = FRAME_VOTE_REQUEST, .to = 2, .term = term, .vote_request = request });
    EXPECT_CAUGHT(c, CHECK_LEDGER_TRANSFER);
}

/* Node 0 wants node 2 to lead, which it does not reach. */
static void hand_over_in_vain(struct cluster *c)
{
    c->cut[2] = true;
    call(c, 0, put(c, "two"));
    struct request request = { .kind = REQUEST_TRANSFER, .version = 3 };
    invoke(c, &request);
    propose(c, 0, &request);
    settle(c);
    EXPECT_EQUAL(node_view(c->nodes[0]).transfer_target, 3);
}

TEST(a_command_that_is_appended_during_a_transfer_is_caught)
{
    struct cluster *c = cluster_new();
    hand_over_in_vain(c);
    struct request refused = put(c, "three");
    propose(c, 0, &refused);
    EXPECT_TEXT(verdict(c), "none");
    /* For this step it forgets that it hands over. */
    struct transfer *transfer = &c->nodes[0]->replica->transfer;
    const uint64_t term = transfer->term, last = node_view(c->nodes[0]).last.index;
    const uint32_t sent = c->nodes[0]->sent_count;
    struct request taken = put(c, "four");
    transfer->term = 0;
    node_request(c->nodes[0], 1, &taken);
    transfer->term = term;
    EXPECT_EQUAL(node_view(c->nodes[0]).last.index, last + 1);
    observe(c, 0, sent);
    EXPECT_CAUGHT(c, CHECK_TRANSFER);
}

TEST(a_transfer_that_does_not_end_is_caught)
{
    struct cluster *c = cluster_new();
    hand_over_in_vain(c);
    tick(c, 0, 40 * MS);
    EXPECT_EQUAL(node_view(c->nodes[0]).transfer_target, 3);
    EXPECT_TEXT(verdict(c), "none");
    c->nodes[0]->replica->transfer.deadline_ns = UINT64_MAX;
    tick(c, 0, c->configs[0].election_timeout_ns);
    settle(c);
    EXPECT_CAUGHT(c, CHECK_TRANSFER);
}

/* ---- leases ---- */

static struct cluster *cluster_with_leases(void)
{
    struct cluster *c = cluster_new();
    for (uint32_t n = 0; n < NODES; n++) {
        struct replica_config *const both[] = { &c->configs[n], &c->nodes[n]->replica->config };
        for (uint32_t i = 0; i < 2; i++) {
            both[i]->check_quorum = true;
            both[i]->lease_drift_ppm = 10000;
        }
    }
    tick(c, 0, 25 * MS);
    settle(c);
    EXPECT(node_view(c->nodes[0]).lease_end_ns > c->nodes[0]->now_ns);
    EXPECT(check_counts(c->check)[CHECK_LEDGER_LEASE] > 0);
    EXPECT_TEXT(verdict(c), "none");
    return c;
}

TEST(a_lease_that_is_longer_than_what_was_promised_is_caught)
{
    struct cluster *c = cluster_with_leases();
    tick(c, 0, 1);
    EXPECT_TEXT(verdict(c), "none");
    c->nodes[0]->replica->peers[1].promised_ns++;
    look(c, 0);
    EXPECT_CAUGHT(c, CHECK_LEDGER_LEASE);
}

TEST(a_lease_that_is_too_long_is_caught)
{
    struct cluster *c = cluster_with_leases();
    tick(c, 0, 1);
    /* Both say so, and nobody's election timeout is that long. */
    const uint64_t end_ns = c->nodes[0]->now_ns + 1000 * MS;
    const struct append_response response = { .rejected = 1, .promised_ns = end_ns };
    const uint64_t term = node_view(c->nodes[0]).term;
    for (uint32_t n = 1; n < NODES; n++) {
        send_lie(c, n,
                 (struct message){ .type = FRAME_APPEND_RESPONSE, .to = 1, .term = term, .append_response = response });
        c->nodes[0]->replica->peers[n].promised_ns = end_ns;
    }
    EXPECT_TEXT(verdict(c), "none");
    look(c, 0);
    EXPECT_CAUGHT(c, CHECK_LEDGER_LEASE);
}

/* What the world compares with the leader's clock when a node votes. */
TEST(a_voter_keeps_to_its_leader_until_that_one_crashes)
{
    struct cluster *c = cluster_with_leases();
    const uint64_t term = node_view(c->nodes[0]).term;
    uint32_t leader = NODES;
    EXPECT(check_keeps(c->check, 1, 3, term + 1, &leader) > c->nodes[0]->now_ns);
    EXPECT_EQUAL(leader, 0);
    EXPECT(check_keeps(c->check, 1, 2, term + 1, &leader) > c->nodes[0]->now_ns); /* for itself */
    EXPECT_EQUAL(check_keeps(c->check, 1, 3, term, &leader), 0);                  /* a vote of long ago */
    check_node_started(c->check, 1);
    EXPECT(check_keeps(c->check, 1, 3, term + 1, &leader) > c->nodes[0]->now_ns); /* whatever life promised it */
    check_node_started(c->check, 0);
    EXPECT_EQUAL(check_keeps(c->check, 1, 3, term + 1, &leader), 0);
    EXPECT_TEXT(verdict(c), "none");
    cluster_free(c);
}

TEST(an_answer_by_a_lease_that_has_no_end_is_caught)
{
    struct cluster *c = cluster_with_leases();
    get(c, 0);
    EXPECT(check_counts(c->check)[CHECK_LEASE] == 1);
    EXPECT_TEXT(verdict(c), "none");
    struct node *node = c->nodes[0];
    struct request request = { .kind = REQUEST_GET, .key = text("key") };
    const uint32_t sent = node->sent_count;
    invoke(c, &request);
    node_request(node, 1, &request);
    for (uint32_t i = 0; i < node->output.effect_count; i++)
        if (node->output.effects[i].kind == EFFECT_REPLY)
            node->output.effects[i].deadline_ns = 0;
    observe(c, 0, sent);
    EXPECT_CAUGHT(c, CHECK_LEASE);
}

/* ---- election timers ---- */

/* Node 2 asks node 1 for a vote in the term in which that has voted for another. */
static void ask_in_vain(struct cluster *c)
{
    struct node *node = c->nodes[1];
    const uint64_t term = node_view(node).term;
    const struct message message = {
        .type = FRAME_VOTE_REQUEST,
        .from = 3,
        .to = 2,
        .instance = 1003,
        .term = term,
        .vote_request = { .last = node_view(node).last, .term = term },
    };
    const struct frame_context context = node_context(node);
    uint8_t bytes[NODE_FRAME_BYTES_MAX];
    message_encode(&message, &context, bytes);
    const struct input input = { .kind = INPUT_PEER_FRAME,
                                 .now_ns = node->now_ns,
                                 .bytes = { .bytes = bytes, .count = message_bytes(&message) } };
    check_input(c->check, 1, &input);
    node_step(node, &input);
}

TEST(a_timer_that_a_refused_candidate_puts_off_is_caught)
{
    struct cluster *c = cluster_new();
    const uint64_t compared = check_counts(c->check)[CHECK_TIMER];
    ask_in_vain(c);
    observe(c, 1, c->nodes[1]->sent_count);
    EXPECT_EQUAL(check_counts(c->check)[CHECK_TIMER], compared + 1);
    EXPECT_TEXT(verdict(c), "none");
    ask_in_vain(c);
    c->nodes[1]->replica->election_deadline_ns++;
    observe(c, 1, c->nodes[1]->sent_count);
    EXPECT_CAUGHT(c, CHECK_TIMER);
}

TEST_MAIN()

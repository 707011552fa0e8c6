/* A refusal of a change for want of healthy voters: one that is deserved passes, and one that is not is caught. */
#include "../sim/check.h"
#include "check_cluster.h"

/* Node 1 (by its id) leads; node 3 is to go. */
static void ask(struct cluster *c, uint8_t flags)
{
    const struct member_operation remove = { .id = 3, .kind = MEMBER_REMOVE };
    struct request request = {
        .kind = REQUEST_MEMBERS,
        .flags = flags,
        .value = { .bytes = (const uint8_t *)&remove, .count = sizeof remove },
    };
    invoke(c, &request);
    propose(c, 0, &request);
    settle(c);
    EXPECT_EQUAL(c->reply.request_id, request.request_id);
}

static uint64_t judged(const struct cluster *c) { return check_counts(c->check)[CHECK_REFUSAL]; }

/* What the leader knows of the others is gone; no checker sees that. */
static void make_deaf(struct cluster *c)
{
    for (uint32_t slot = 0; slot < NODES; slot++)
        c->nodes[0]->replica->peers[slot].heard = false;
}

TEST(a_refusal_while_a_voter_is_silent_passes)
{
    struct cluster *c = cluster_new();
    c->cut[1] = true;
    for (uint32_t i = 0; i < 40; i++) {
        tick(c, 0, 25 * 1000 * 1000);
        settle(c);
    }
    ask(c, 0);
    EXPECT_EQUAL(c->reply.status, REPLY_WOULD_LOSE_QUORUM);
    EXPECT_EQUAL(judged(c), 1);
    EXPECT_TEXT(verdict(c), "none");
    cluster_free(c);
}

TEST(a_change_that_is_done_is_not_judged)
{
    struct cluster *c = cluster_new();
    ask(c, 0);
    EXPECT_EQUAL(c->reply.status, REPLY_OK);
    EXPECT_EQUAL(judged(c), 0);
    EXPECT_TEXT(verdict(c), "none");
    cluster_free(c);
}

TEST(a_refusal_while_all_voters_are_well_is_caught)
{
    struct cluster *c = cluster_new();
    call(c, 0, put(c, "two"));
    make_deaf(c);
    ask(c, 0);
    EXPECT_EQUAL(c->reply.status, REPLY_WOULD_LOSE_QUORUM);
    EXPECT_EQUAL(judged(c), 1);
    EXPECT_CAUGHT(c, CHECK_REFUSAL);
}

/* It confirms everything; late or not, this is what it said last. */
TEST(a_refusal_while_a_voter_abstains_passes)
{
    struct cluster *c = cluster_new();
    call(c, 0, put(c, "two"));
    const struct message message = {
        .type = FRAME_APPEND_RESPONSE,
        .from = 2,
        .to = 1,
        .instance = 1002,
        .term = node_view(c->nodes[0]).term,
        .append_response = { .match = node_view(c->nodes[0]).match[1], .nonce = 5 },
    };
    uint8_t frame[NODE_FRAME_BYTES_MAX];
    const struct frame_context context = node_context(c->nodes[1]);
    message_encode(&message, &context, frame);
    const struct slice bytes = { .bytes = frame, .count = message_bytes(&message) };
    check_input(c->check, 0, &(struct input){ .kind = INPUT_PEER_FRAME, .bytes = bytes });
    node_peer_frame(c->nodes[0], bytes);
    observe(c, 0, c->nodes[0]->sent_count);
    ask(c, 0);
    EXPECT_EQUAL(c->reply.status, REPLY_WOULD_LOSE_QUORUM);
    EXPECT_EQUAL(judged(c), 1);
    EXPECT_TEXT(verdict(c), "none");
    cluster_free(c);
}

/* Who answered long ago may have been silent since. */
TEST(a_voter_counts_as_heard_for_an_election_timeout_only)
{
    struct cluster *c = cluster_new();
    call(c, 0, put(c, "two"));
    c->cut[1] = c->cut[2] = true;
    tick(c, 0, c->configs[0].election_timeout_ns);
    settle(c);
    ask(c, 0);
    EXPECT_EQUAL(c->reply.status, REPLY_WOULD_LOSE_QUORUM);
    EXPECT_EQUAL(judged(c), 1);
    EXPECT_TEXT(verdict(c), "none");
    cluster_free(c);
}

TEST_MAIN()

/* Reads at followers, bounded reads, and what becomes of reads when a leadership ends (core/read.h): one replica, whose
 * peers are this test. Node 2 is under test unless it leads; then it is node 1. */
#include "../core/entry.h"
#include "../core/state.h"
#include "node.h"
#include "test.h"

enum { MS = 1000 * 1000, HEARTBEAT_NS = 20 * MS };

static const struct request local_read = { .request_id = 7,
                                           .kind = REQUEST_GET,
                                           .flags = REQUEST_FLAG_LOCAL,
                                           .key = { .bytes = (const uint8_t *)"x", .count = 1 } };

static struct request bounded_read(uint64_t bound_ns)
{
    struct request request = local_read;
    request.version = bound_ns;
    return request;
}

static struct node *node_of_three(uint64_t node_id, uint32_t lease_drift_ppm)
{
    struct replica_config config = node_config(node_id);
    config.pre_vote = false;
    config.check_quorum = lease_drift_ppm != 0;
    config.lease_drift_ppm = lease_drift_ppm;
    struct node *node = node_new(&limits_tiny, &config, node_voters(3));
    node_start(node);
    node_settle(node);
    return node;
}

static struct message from_peer(const struct node *node, uint64_t from, enum frame_type type, uint64_t term)
{
    return (struct message){
        .type = type, .from = from, .to = node->config.node_id, .instance = 1000 + from, .term = term
    };
}

/* No-ops of a term behind prev. */
static void append(struct node *node, uint64_t from, uint64_t term, struct log_id prev, uint64_t commit, uint32_t count,
                   uint64_t entry_term)
{
    uint8_t bytes[512];
    uint32_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct entry entry = { .id = { .term = entry_term, .index = prev.index + 1 + i }, .kind = ENTRY_NOOP };
        entry_encode(&entry, bytes + used);
        used += entry_bytes(0);
    }
    struct message message = from_peer(node, from, FRAME_APPEND_REQUEST, term);
    message.append_request = (struct append_request){
        .prev = prev, .commit = commit, .entry_count = count, .entries = { .bytes = bytes, .count = used }
    };
    node_message(node, &message);
    node_settle(node);
}

static void acknowledge(struct node *node, uint64_t from, uint64_t term, uint64_t match, uint64_t round)
{
    struct message message = from_peer(node, from, FRAME_APPEND_RESPONSE, term);
    message.append_response = (struct append_response){ .match = match,
                                                        .round = round,
                                                        .promised_ns = node->now_ns + read_promise_ns(node->replica) };
    node_message(node, &message);
    node_settle(node);
}

static void answer(struct node *node, uint64_t from, uint64_t term, uint64_t number, uint64_t index)
{
    struct message message = from_peer(node, from, FRAME_READ_INDEX_RESPONSE, term);
    message.read_index_response = (struct read_index_response){ .number = number, .index = index };
    node_message(node, &message);
    node_settle(node);
}

static void ask(struct node *node, uint64_t client, const struct request *request)
{
    node_request(node, client, request);
    node_settle(node);
}

/* Questions and replies that were sent since the last look. */
struct seen {
    uint32_t questions;
    uint64_t number;  /* of the last one */
    uint32_t answers; /* to questions */
    struct read_index_response answer;
    uint32_t replies;
    struct reply reply; /* the last one; its value is gone */
};

static struct seen look(struct node *node)
{
    const struct frame_context context = node_context(node);
    struct seen seen = { .questions = 0 };
    for (uint32_t i = 0; i < node->sent_count; i++) {
        const struct slice bytes = { .bytes = node->sent[i].bytes, .count = node->sent[i].count };
        struct message message = { .from = 0 };
        if (node->sent[i].reply) {
            seen.replies += reply_decode(bytes, NODE_FRAME_BYTES_MAX, &seen.reply) == FRAME_OK;
            continue;
        }
        EXPECT(message_decode(bytes, &context, &message) == FRAME_OK);
        if (message.type == FRAME_READ_INDEX_REQUEST) {
            seen.questions++;
            seen.number = message.read_index_request.number;
        } else if (message.type == FRAME_READ_INDEX_RESPONSE) {
            seen.answers++;
            seen.answer = message.read_index_response;
        }
    }
    node->sent_count = 0;
    return seen;
}

static struct log_id at(uint64_t term, uint64_t index) { return (struct log_id){ .term = term, .index = index }; }

/* Follows node 1 in term 1, with entries 1 and 2, of which the first is committed. */
static struct node *follower(void)
{
    struct node *node = node_of_three(2, 0);
    append(node, 1, 1, at(0, 0), 1, 2, 1);
    EXPECT_EQUAL(node_view(node).applied, 1);
    look(node);
    return node;
}

static struct node *leader_with(uint32_t lease_drift_ppm)
{
    struct node *node = node_of_three(1, lease_drift_ppm);
    node_tick(node, 300 * MS);
    node_settle(node);
    struct message vote = from_peer(node, 2, FRAME_VOTE_RESPONSE, 1);
    vote.vote_response = (struct vote_response){ .term = 1, .granted = true };
    node_message(node, &vote);
    node_settle(node);
    EXPECT_EQUAL(node_view(node).role, RAFT_LEADER);
    look(node);
    return node;
}

/* ---- questions ---- */

TEST(a_follower_answers_when_it_has_applied_what_its_leader_names)
{
    struct node *node = follower();
    ask(node, 1, &local_read);
    struct seen seen = look(node);
    EXPECT_EQUAL(seen.questions, 1);
    EXPECT_EQUAL(seen.replies, 0);
    answer(node, 1, 1, seen.number, 3);
    EXPECT_EQUAL(look(node).replies, 0);
    append(node, 1, 1, at(1, 2), 3, 1, 1);
    seen = look(node);
    EXPECT_EQUAL(seen.replies, 1);
    EXPECT_EQUAL(seen.reply.status, REPLY_NOT_FOUND);
    EXPECT_EQUAL(seen.reply.applied, 3);
    EXPECT_EQUAL(seen.reply.flags, 0);
    node_free(node);
}

TEST(a_read_that_comes_later_waits_for_another_question)
{
    struct node *node = follower();
    ask(node, 1, &local_read);
    const uint64_t first = look(node).number;
    ask(node, 2, &local_read);
    ask(node, 3, &local_read);
    EXPECT_EQUAL(look(node).questions, 0);
    answer(node, 1, 1, first, 1);
    struct seen seen = look(node);
    EXPECT_EQUAL(seen.replies, 1);
    EXPECT_EQUAL(seen.questions, 1);
    EXPECT(seen.number != first);
    answer(node, 1, 1, first, 1); /* once more: it was sent twice */
    EXPECT_EQUAL(look(node).replies, 0);
    answer(node, 1, 1, seen.number, 1);
    EXPECT_EQUAL(look(node).replies, 2);
    node_free(node);
}

/* No key is missing in a store that nobody has filled yet. */
TEST(who_waits_to_be_a_member_has_no_state_to_read)
{
    const struct replica_config config = node_config(2);
    const struct request stale = { .request_id = 7, .kind = REQUEST_GET_STALE, .key = local_read.key };
    struct node *waits = node_new(&limits_tiny, &config, (struct configuration){ .id = { .term = 0 } });
    node_start(waits);
    node_settle(waits);
    ask(waits, 1, &stale);
    EXPECT_EQUAL(look(waits).reply.status, REPLY_NO_LEADER);
    ask(waits, 1, &local_read);
    EXPECT_EQUAL(look(waits).reply.status, REPLY_NO_LEADER);
    node_free(waits);
    struct node *member = node_of_three(2, 0);
    ask(member, 1, &stale);
    EXPECT_EQUAL(look(member).reply.status, REPLY_NOT_FOUND);
    node_free(member);
}

TEST(a_question_without_an_answer_is_asked_again_the_same)
{
    struct node *node = follower();
    ask(node, 1, &local_read);
    const uint64_t number = look(node).number;
    node_tick(node, HEARTBEAT_NS / 2);
    EXPECT_EQUAL(look(node).questions, 0);
    node_tick(node, HEARTBEAT_NS / 2);
    const struct seen seen = look(node);
    EXPECT_EQUAL(seen.questions, 1);
    EXPECT_EQUAL(seen.number, number);
    node_free(node);
}

TEST(who_asked_a_leader_that_leads_no_more_is_turned_away)
{
    struct node *node = follower();
    ask(node, 1, &local_read);
    const uint64_t number = look(node).number;
    append(node, 3, 2, at(1, 2), 1, 0, 2);
    struct seen seen = look(node);
    EXPECT_EQUAL(seen.replies, 1);
    EXPECT_EQUAL(seen.reply.status, REPLY_NO_LEADER);
    answer(node, 1, 1, number, 1);
    EXPECT_EQUAL(look(node).replies, 0);
    node_tick(node, 300 * MS); /* and without any leader nobody is asked */
    node_settle(node);
    look(node);
    ask(node, 1, &local_read);
    seen = look(node);
    EXPECT_EQUAL(seen.reply.status, REPLY_NO_LEADER);
    EXPECT_EQUAL(seen.questions, 0);
    node_free(node);
}

TEST(a_full_queue_and_a_leader_that_cannot_tell_are_busy)
{
    struct node *node = follower();
    for (uint32_t i = 0; i < node->limits.pending_reads_max; i++)
        ask(node, i, &local_read);
    struct seen seen = look(node);
    EXPECT_EQUAL(seen.replies, 0);
    ask(node, 99, &local_read);
    EXPECT_EQUAL(look(node).reply.status, REPLY_BUSY);
    answer(node, 1, 1, seen.number, 0);
    seen = look(node);
    EXPECT_EQUAL(seen.replies, 1);
    EXPECT_EQUAL(seen.reply.status, REPLY_BUSY);
    EXPECT_EQUAL(seen.questions, 1); /* for the others */
    node_free(node);
}

TEST(without_the_flag_a_follower_sends_its_client_to_the_leader)
{
    struct node *node = follower();
    struct request request = local_read;
    request.flags = 0;
    ask(node, 1, &request);
    const struct seen seen = look(node);
    EXPECT_EQUAL(seen.reply.status, REPLY_NOT_LEADER);
    EXPECT_EQUAL(seen.reply.leader, 1);
    EXPECT_EQUAL(seen.questions, 0);
    node_free(node);
}

/* R22. The leader has committed more than this log was compared with, and what lies there is of an old term. */
TEST(an_answer_commits_no_entry_that_was_not_compared)
{
    struct node *node = follower();
    append(node, 1, 1, at(1, 2), 1, 2, 1);
    append(node, 3, 2, at(2, 9), 1, 0, 2); /* does not fit: nothing is known to be equal */
    look(node);
    ask(node, 1, &local_read);
    answer(node, 3, 2, look(node).number, 4);
    EXPECT_EQUAL(node_view(node).commit, 1);
    EXPECT_EQUAL(look(node).replies, 0);
    append(node, 3, 2, at(1, 2), 1, 2, 2);
    EXPECT_EQUAL(node_view(node).commit, 1); /* by this request; the next one brings the commit index */
    append(node, 3, 2, at(2, 4), 4, 0, 2);
    EXPECT_EQUAL(look(node).reply.applied, 4);
    node_free(node);
}

/* ---- the leader's side ---- */

TEST(a_question_is_answered_by_a_round_that_began_after_it)
{
    struct node *node = leader_with(0);
    struct message question = from_peer(node, 3, FRAME_READ_INDEX_REQUEST, 1);
    question.read_index_request.number = 5;
    node_message(node, &question);
    node_settle(node);
    EXPECT_EQUAL(node_view(node).read_round, 0); /* no entry of its term is committed */
    acknowledge(node, 2, 1, 1, 0);
    EXPECT_EQUAL(node_view(node).read_round, 1);
    question.read_index_request.number = 6; /* it gave up the other one */
    node_message(node, &question);
    node_settle(node);
    acknowledge(node, 2, 1, 1, 1);
    EXPECT_EQUAL(look(node).answers, 0);
    EXPECT_EQUAL(node_view(node).read_round, 2);
    acknowledge(node, 2, 1, 1, 2);
    const struct seen seen = look(node);
    EXPECT_EQUAL(seen.answers, 1);
    EXPECT_EQUAL(seen.answer.number, 6);
    EXPECT_EQUAL(seen.answer.index, 1);
    node_free(node);
}

/* X03. */
TEST(an_answer_from_a_lease_is_void_when_the_lease_is_over)
{
    struct node *node = leader_with(1000);
    acknowledge(node, 2, 1, 1, 0);
    const uint64_t end_ns = node_view(node).lease_end_ns;
    EXPECT(end_ns > node->now_ns);
    node_request(node, 1, &local_read);
    EXPECT(node->output.effect_count > 0);
    EXPECT_EQUAL(node->output.effects[node->output.effect_count - 1].kind, EFFECT_REPLY);
    EXPECT_EQUAL(node->output.effects[node->output.effect_count - 1].deadline_ns, end_ns);
    struct message question = from_peer(node, 3, FRAME_READ_INDEX_REQUEST, 1);
    question.read_index_request.number = 5;
    node_message(node, &question);
    EXPECT_EQUAL(node->output.effects[0].kind, EFFECT_SEND);
    EXPECT_EQUAL(node->output.effects[0].deadline_ns, end_ns);
    EXPECT_EQUAL(look(node).answer.number, 5);
    node_free(node);
}

/* R12. Round 1 of the earlier leadership was never answered; that of the later one says nothing about it. */
TEST(reads_do_not_outlive_the_leadership_that_took_them)
{
    struct node *node = leader_with(0);
    struct request request = local_read;
    request.flags = 0;
    acknowledge(node, 2, 1, 1, 0);
    ask(node, 1, &request);
    EXPECT_EQUAL(node_view(node).read_round, 1);
    EXPECT_EQUAL(look(node).replies, 0);
    append(node, 3, 2, at(1, 1), 1, 0, 2);
    const struct seen seen = look(node);
    EXPECT_EQUAL(seen.replies, 1);
    EXPECT_EQUAL(seen.reply.status, REPLY_NOT_LEADER);
    EXPECT_EQUAL(seen.reply.leader, 3);
    EXPECT_EQUAL(node_view(node).pending_reads, 0);
    node_free(node);
}

/* ---- bounded reads ---- */

TEST(a_bounded_read_is_answered_from_what_was_asked_for_lately)
{
    struct node *node = follower();
    const struct request bounded = bounded_read(50 * MS);
    ask(node, 1, &bounded);
    struct seen seen = look(node);
    EXPECT_EQUAL(seen.questions, 1); /* nothing is known yet */
    const uint64_t asked_ns = node->now_ns;
    node->now_ns += 10 * MS;
    answer(node, 1, 1, seen.number, 1);
    seen = look(node);
    EXPECT_EQUAL(seen.replies, 1);
    EXPECT_EQUAL(seen.reply.flags, 0); /* asked for after it came: not old at all */
    node->now_ns = asked_ns + 50 * MS - 1;
    node_request(node, 1, &bounded);
    EXPECT_EQUAL(node->output.effects[0].deadline_ns, asked_ns + 50 * MS);
    seen = look(node);
    EXPECT_EQUAL(seen.replies, 1);
    EXPECT_EQUAL(seen.questions, 0);
    EXPECT_EQUAL(seen.reply.flags, REPLY_FLAG_BOUNDED);
    /* R20: since the question, not since the answer. */
    node->now_ns = asked_ns + 50 * MS;
    ask(node, 1, &bounded);
    seen = look(node);
    EXPECT_EQUAL(seen.replies, 0);
    EXPECT_EQUAL(seen.questions, 1);
    node_free(node);
}

TEST(a_bounded_read_needs_no_leader_and_a_linearizable_one_does)
{
    struct node *node = follower();
    ask(node, 1, &local_read);
    answer(node, 1, 1, look(node).number, 1);
    look(node);
    node_tick(node, 300 * MS);
    node_settle(node);
    EXPECT_EQUAL(node_view(node).role, RAFT_CANDIDATE);
    look(node);
    const struct request bounded = bounded_read(1000 * MS);
    ask(node, 1, &bounded);
    EXPECT_EQUAL(look(node).reply.flags, REPLY_FLAG_BOUNDED);
    ask(node, 1, &local_read);
    EXPECT_EQUAL(look(node).reply.status, REPLY_NO_LEADER);
    node_free(node);
}

TEST(a_leader_answers_bounded_reads_from_its_last_round)
{
    struct node *node = leader_with(0);
    acknowledge(node, 2, 1, 1, 0);
    ask(node, 1, &local_read);
    const uint64_t asked_ns = node->now_ns;
    node->now_ns += 5 * MS;
    acknowledge(node, 2, 1, 1, 1);
    struct seen seen = look(node);
    EXPECT_EQUAL(seen.replies, 1);
    EXPECT_EQUAL(seen.reply.flags, 0);
    EXPECT_EQUAL(node_view(node).fresh_ns, asked_ns);
    const struct request bounded = bounded_read(10 * MS);
    ask(node, 1, &bounded);
    EXPECT_EQUAL(look(node).reply.flags, REPLY_FLAG_BOUNDED);
    node->now_ns += 5 * MS;
    ask(node, 1, &bounded);
    EXPECT_EQUAL(look(node).replies, 0);
    EXPECT_EQUAL(node_view(node).read_round, 2);
    node_free(node);
}

/* A bound beyond all time is no overflow. */
TEST(any_bound_will_do)
{
    struct node *node = follower();
    ask(node, 1, &local_read);
    answer(node, 1, 1, look(node).number, 1);
    look(node);
    const struct request bounded = bounded_read(UINT64_MAX);
    ask(node, 1, &bounded);
    EXPECT_EQUAL(look(node).reply.flags, REPLY_FLAG_BOUNDED);
    node_free(node);
}

TEST_MAIN()

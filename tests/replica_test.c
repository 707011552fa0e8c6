/* Raft as the dissertation tells it, one claim a test, on a single replica whose peers are played by the test.
 *
 * Voters 1, 2, 3; the replica under test is 2 as a follower and 1 as a leader. PreVote and CheckQuorum are off except
 * where they are the point. */
#include "node.h"
#include "test.h"

enum { LONG_NS = 1000 * 1000 * 1000 };

static struct node *node_under_test(uint32_t voters, uint64_t node_id)
{
    struct replica_config config = node_config(node_id);
    config.pre_vote = false;
    config.check_quorum = false;
    struct node *node = node_new(&limits_tiny, &config, node_voters(voters));
    node_start(node);
    node_settle(node);
    return node;
}

/* Decodes the newest frame of that type to that peer that was sent since the last call, and forgets all others. */
static bool sent(struct node *node, uint64_t to, enum frame_type type, struct message *message)
{
    static uint8_t bytes[NODE_FRAME_BYTES_MAX]; /* the message borrows from it */
    const struct frame_context context = node_context(node);
    bool found = false;
    for (uint32_t i = node->sent_count; i-- > 0 && !found;) {
        const struct node_frame *frame = &node->sent[i];
        memcpy(bytes, frame->bytes, frame->count);
        found =
            !frame->reply && frame->to == to
            && message_decode((struct slice){ .bytes = bytes, .count = frame->count }, &context, message) == FRAME_OK
            && message->type == type;
    }
    node->sent_count = 0;
    return found;
}

static bool replied(struct node *node, uint64_t client, struct reply *reply)
{
    static uint8_t bytes[NODE_FRAME_BYTES_MAX];
    bool found = false;
    for (uint32_t i = node->sent_count; i-- > 0 && !found;) {
        const struct node_frame *frame = &node->sent[i];
        memcpy(bytes, frame->bytes, frame->count);
        found = frame->reply && frame->to == client
                && reply_decode((struct slice){ .bytes = bytes, .count = frame->count }, NODE_FRAME_BYTES_MAX, reply)
                       == FRAME_OK;
    }
    node->sent_count = 0;
    return found;
}

static struct message from_peer(const struct node *node, uint64_t from, enum frame_type type, uint64_t term)
{
    return (struct message){
        .type = type, .from = from, .to = node->config.node_id, .instance = 1000 + from, .term = term
    };
}

static void ask_vote(struct node *node, uint64_t from, uint64_t term, struct log_id last, bool pre)
{
    struct message message = from_peer(node, from, FRAME_VOTE_REQUEST, pre ? term - 1 : term);
    message.vote_request = (struct vote_request){ .last = last, .term = term, .pre = pre };
    node_message(node, &message);
}

static void give_vote(struct node *node, uint64_t from, uint64_t term)
{
    struct message message = from_peer(node, from, FRAME_VOTE_RESPONSE, term);
    message.vote_response = (struct vote_response){ .term = term, .granted = true };
    node_message(node, &message);
}

/* Entries behind prev, one for each of the terms: no-ops. */
static void append(struct node *node, uint64_t from, uint64_t term, struct log_id prev, uint64_t commit,
                   const uint64_t *terms, uint32_t count)
{
    uint8_t bytes[512];
    uint32_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct entry entry = { .id = { .term = terms[i], .index = prev.index + 1 + i }, .kind = ENTRY_NOOP };
        entry_encode(&entry, bytes + used);
        used += entry_bytes(0);
    }
    struct message message = from_peer(node, from, FRAME_APPEND_REQUEST, term);
    message.append_request = (struct append_request){
        .prev = prev, .commit = commit, .entry_count = count, .entries = { .bytes = bytes, .count = used }
    };
    node_message(node, &message);
}

static void acknowledge(struct node *node, uint64_t from, uint64_t term, uint64_t match, uint64_t round)
{
    struct message message = from_peer(node, from, FRAME_APPEND_RESPONSE, term);
    message.append_response = (struct append_response){ .match = match, .round = round };
    node_message(node, &message);
}

static const uint64_t ones[] = { 1, 1, 1, 1, 1, 1 };
static const uint64_t twos[] = { 2, 2, 2, 2, 2, 2 };
static const struct log_id origin = { 0 };

static struct log_id at(uint64_t term, uint64_t index) { return (struct log_id){ .term = term, .index = index }; }

/* ---- Raft 3.4: votes ---- */

TEST(a_vote_is_not_told_before_it_is_durable)
{
    struct node *node = node_under_test(3, 2);
    struct message message;
    ask_vote(node, 1, 1, origin, false);
    EXPECT(!sent(node, 1, FRAME_VOTE_RESPONSE, &message));
    EXPECT(node->op_count > 0);
    node_settle(node);
    EXPECT(sent(node, 1, FRAME_VOTE_RESPONSE, &message));
    EXPECT(message.vote_response.granted);
    EXPECT_EQUAL(message.vote_response.term, 1);
    node_free(node);
}

TEST(a_vote_is_given_once_in_a_term)
{
    struct node *node = node_under_test(3, 2);
    struct message message;
    ask_vote(node, 1, 1, origin, false);
    node_settle(node);
    EXPECT(sent(node, 1, FRAME_VOTE_RESPONSE, &message) && message.vote_response.granted);
    ask_vote(node, 3, 1, origin, false);
    node_settle(node);
    EXPECT(sent(node, 3, FRAME_VOTE_RESPONSE, &message) && !message.vote_response.granted);
    ask_vote(node, 1, 1, origin, false);
    node_settle(node);
    EXPECT(sent(node, 1, FRAME_VOTE_RESPONSE, &message) && message.vote_response.granted);
    node_free(node);
}

TEST(a_restarted_voter_remembers_its_vote)
{
    struct node *node = node_under_test(3, 2);
    struct message message;
    ask_vote(node, 1, 1, origin, false);
    node_settle(node);
    node_crash(node);
    node_start(node);
    node_settle(node);
    EXPECT_EQUAL(node_view(node).term, 1);
    EXPECT_EQUAL(node_view(node).vote, 1);
    ask_vote(node, 3, 1, origin, false);
    node_settle(node);
    EXPECT(sent(node, 3, FRAME_VOTE_RESPONSE, &message) && !message.vote_response.granted);
    node_free(node);
}

TEST(a_log_that_is_behind_gets_no_vote)
{
    struct node *node = node_under_test(3, 2);
    struct message message;
    append(node, 1, 2, origin, 0, (const uint64_t[]){ 1, 2 }, 2);
    node_settle(node);
    ask_vote(node, 3, 3, at(1, 9), false); /* longer, but of an older term (Raft 3.6.1) */
    node_settle(node);
    EXPECT(sent(node, 3, FRAME_VOTE_RESPONSE, &message) && !message.vote_response.granted);
    ask_vote(node, 3, 4, at(2, 1), false); /* same term, shorter */
    node_settle(node);
    EXPECT(sent(node, 3, FRAME_VOTE_RESPONSE, &message) && !message.vote_response.granted);
    ask_vote(node, 3, 5, at(2, 2), false);
    node_settle(node);
    EXPECT(sent(node, 3, FRAME_VOTE_RESPONSE, &message) && message.vote_response.granted);
    node_free(node);
}

/* Raft 3.4: only a leader, or a vote that was given, makes it wait longer. */
TEST(a_candidate_that_gets_no_vote_holds_up_nobody)
{
    struct node *node = node_under_test(3, 2);
    const uint64_t timeout_ns = node->config.election_timeout_ns;
    append(node, 1, 2, origin, 0, (const uint64_t[]){ 1, 2 }, 2);
    node_settle(node);
    uint32_t asked = 0;
    for (; asked < 20 && node_view(node).role == RAFT_FOLLOWER; asked++) {
        node_tick(node, timeout_ns / 4);
        ask_vote(node, 3, 2, at(1, 9), asked % 2 == 0);
        node_settle(node);
    }
    EXPECT(asked >= 4 && asked <= 8); /* one to two timeouts */
    EXPECT(node_view(node).role != RAFT_FOLLOWER);
    node_free(node);
}

TEST(a_pre_vote_promises_nothing)
{
    struct node *node = node_under_test(3, 2);
    struct message message;
    ask_vote(node, 1, 8, origin, true);
    node_settle(node);
    EXPECT(sent(node, 1, FRAME_VOTE_RESPONSE, &message));
    EXPECT(message.vote_response.pre && message.vote_response.granted);
    EXPECT_EQUAL(message.vote_response.term, 8); /* what was asked for, not what the voter has */
    EXPECT(node_view(node).term < 8);
    EXPECT_EQUAL(node_view(node).vote, 0);
    node_free(node);
}

/* ---- Raft 3.5: log replication ---- */

TEST(follower_acknowledges_entries_only_when_they_are_durable)
{
    struct node *node = node_under_test(3, 2);
    struct message message;
    append(node, 1, 1, origin, 0, ones, 2);
    EXPECT(!sent(node, 1, FRAME_APPEND_RESPONSE, &message) || message.append_response.match == 0);
    node_settle(node);
    EXPECT(sent(node, 1, FRAME_APPEND_RESPONSE, &message));
    EXPECT_EQUAL(message.append_response.rejected, 0);
    EXPECT_EQUAL(message.append_response.match, 2);
    node_free(node);
}

TEST(follower_rejects_append_with_gap)
{
    struct node *node = node_under_test(3, 2);
    struct message message;
    append(node, 1, 1, origin, 0, ones, 2);
    node_settle(node);
    node->sent_count = 0;
    append(node, 1, 1, at(1, 5), 0, ones, 1);
    node_settle(node);
    EXPECT(sent(node, 1, FRAME_APPEND_RESPONSE, &message));
    EXPECT_EQUAL(message.append_response.rejected, 5);
    EXPECT(log_id_equal(message.append_response.hint, at(1, 2)));
    EXPECT_EQUAL(node_view(node).last.index, 2);
    node_free(node);
}

TEST(follower_rejects_append_whose_previous_term_differs)
{
    struct node *node = node_under_test(3, 2);
    struct message message;
    append(node, 1, 1, origin, 0, ones, 3);
    node_settle(node);
    node->sent_count = 0;
    append(node, 3, 3, at(2, 3), 0, (const uint64_t[]){ 3 }, 1);
    node_settle(node);
    EXPECT(sent(node, 3, FRAME_APPEND_RESPONSE, &message));
    EXPECT_EQUAL(message.append_response.rejected, 3);
    node_free(node);
}

TEST(follower_replaces_a_conflicting_tail)
{
    struct node *node = node_under_test(3, 2);
    append(node, 1, 1, origin, 0, ones, 4);
    node_settle(node);
    append(node, 3, 2, at(1, 2), 0, twos, 1);
    node_settle(node);
    EXPECT(log_id_equal(node_view(node).last, at(2, 3)));
    EXPECT_EQUAL(replica_entry_term(node->replica, 2), 1);
    node_crash(node);
    node_start(node);
    node_settle(node);
    EXPECT(log_id_equal(node_view(node).last, at(2, 3))); /* truncation is durable too */
    node_free(node);
}

TEST(an_old_append_does_not_cut_what_came_after_it)
{
    struct node *node = node_under_test(3, 2);
    append(node, 1, 1, origin, 0, ones, 2);
    append(node, 1, 1, at(1, 2), 0, ones, 2);
    node_settle(node);
    append(node, 1, 1, origin, 0, ones, 2); /* once more, late */
    node_settle(node);
    EXPECT_EQUAL(node_view(node).last.index, 4);
    node_free(node);
}

TEST(follower_commits_no_further_than_what_the_leader_verified)
{
    struct node *node = node_under_test(3, 2);
    append(node, 1, 1, origin, 0, ones, 4);
    node_settle(node);
    append(node, 3, 2, at(1, 1), 4, NULL, 0); /* a heartbeat: entries 2..4 may be another leader's leavings */
    node_settle(node);
    EXPECT_EQUAL(node_view(node).commit, 1);
    node_free(node);
}

TEST(follower_acknowledges_no_further_than_what_the_leader_verified)
{
    struct node *node = node_under_test(3, 2);
    struct message message;
    append(node, 1, 1, origin, 0, ones, 4);
    node_settle(node);
    node->sent_count = 0;
    append(node, 3, 2, at(1, 1), 0, NULL, 0);
    node_settle(node);
    EXPECT(sent(node, 3, FRAME_APPEND_RESPONSE, &message));
    EXPECT_EQUAL(message.append_response.match, 1);
    node_free(node);
}

TEST(a_stale_leader_learns_the_newer_term)
{
    struct node *node = node_under_test(3, 2);
    struct message message;
    append(node, 3, 5, origin, 0, NULL, 0);
    node_settle(node);
    node->sent_count = 0;
    append(node, 1, 4, origin, 0, ones, 1);
    node_settle(node);
    EXPECT(sent(node, 1, FRAME_APPEND_RESPONSE, &message));
    EXPECT_EQUAL(message.term, 5);
    EXPECT_EQUAL(node_view(node).last.index, 0);
    node_free(node);
}

/* ---- leaders ---- */

/* Replica 1 of three, elected by 2 in `term`; its no-op is in its log and on its disk. */
static struct node *leader_of_three(uint64_t term)
{
    struct node *node = node_under_test(3, 1);
    if (term > 1) {
        append(node, 3, term - 1, origin, 0, NULL, 0);
        node_settle(node);
    }
    node_tick(node, LONG_NS);
    node_settle(node);
    EXPECT_EQUAL(node_view(node).role, RAFT_CANDIDATE);
    give_vote(node, 2, term);
    node_settle(node);
    EXPECT_EQUAL(node_view(node).role, RAFT_LEADER);
    EXPECT_EQUAL(node_view(node).term, term);
    return node;
}

TEST(a_majority_elects_and_the_leader_opens_its_term_with_a_noop)
{
    struct node *node = leader_of_three(1);
    struct entry entry;
    EXPECT(log_id_equal(node_view(node).last, at(1, 1)));
    replica_entry(node->replica, 1, &entry);
    EXPECT_EQUAL(entry.kind, ENTRY_NOOP);
    EXPECT_EQUAL(node_view(node).commit, 0);
    acknowledge(node, 2, 1, 1, 0);
    EXPECT_EQUAL(node_view(node).commit, 1);
    node_free(node);
}

TEST(a_vote_counted_twice_elects_nobody)
{
    struct node *node = node_under_test(5, 1);
    node_tick(node, LONG_NS);
    node_settle(node);
    give_vote(node, 2, 1);
    give_vote(node, 2, 1);
    node_settle(node);
    EXPECT_EQUAL(node_view(node).role, RAFT_CANDIDATE);
    give_vote(node, 3, 1);
    node_settle(node);
    EXPECT_EQUAL(node_view(node).role, RAFT_LEADER);
    node_free(node);
}

TEST(a_vote_of_an_earlier_term_elects_nobody)
{
    struct node *node = node_under_test(3, 1);
    node_tick(node, LONG_NS);
    node_settle(node);
    node_tick(node, LONG_NS);
    node_settle(node);
    EXPECT_EQUAL(node_view(node).term, 2);
    give_vote(node, 2, 1);
    node_settle(node);
    EXPECT_EQUAL(node_view(node).role, RAFT_CANDIDATE);
    node_free(node);
}

/* Raft 3.6.2, figure 3.7: an entry of an earlier term on a majority is not committed by that. */
TEST(leader_commits_by_counting_only_entries_of_its_own_term)
{
    struct node *node = node_under_test(3, 1);
    append(node, 3, 1, origin, 0, ones, 2);
    node_settle(node);
    node_tick(node, LONG_NS);
    node_settle(node);
    give_vote(node, 2, 2);
    node_settle(node);
    EXPECT(log_id_equal(node_view(node).last, at(2, 3)));
    acknowledge(node, 2, 2, 2, 0);
    EXPECT_EQUAL(node_view(node).commit, 0);
    acknowledge(node, 2, 2, 3, 0);
    EXPECT_EQUAL(node_view(node).commit, 3);
    node_free(node);
}

TEST(leader_counts_its_own_copy_only_when_it_is_durable)
{
    struct node *node = node_under_test(3, 1);
    node_tick(node, LONG_NS);
    node_settle(node);
    give_vote(node, 2, 1); /* the no-op is appended; its write waits */
    EXPECT(node->op_count > 0);
    acknowledge(node, 2, 1, 1, 0);
    EXPECT_EQUAL(node_view(node).commit, 0);
    node_settle(node);
    EXPECT_EQUAL(node_view(node).commit, 1);
    node_free(node);
}

TEST(leader_backs_off_to_the_followers_hint)
{
    struct node *node = leader_of_three(1);
    struct message message = from_peer(node, 3, FRAME_APPEND_RESPONSE, 1);
    struct message probe;
    EXPECT(sent(node, 3, FRAME_APPEND_REQUEST, &probe));
    message.append_response = (struct append_response){ .rejected = probe.append_request.prev.index };
    if (probe.append_request.prev.index > 0)
        node_message(node, &message);
    node_tick(node, LONG_NS);
    node_settle(node);
    EXPECT(sent(node, 3, FRAME_APPEND_REQUEST, &probe));
    EXPECT_EQUAL(probe.append_request.prev.index, 0);
    node_free(node);
}

TEST(a_higher_term_deposes_the_leader)
{
    struct node *node = leader_of_three(1);
    struct message message = from_peer(node, 3, FRAME_APPEND_RESPONSE, 9);
    node_message(node, &message);
    node_settle(node);
    EXPECT_EQUAL(node_view(node).role, RAFT_FOLLOWER);
    EXPECT_EQUAL(node_view(node).term, 9);
    node_free(node);
}

TEST(a_leader_without_a_majority_steps_down)
{
    struct replica_config config = node_config(1);
    config.pre_vote = false;
    struct node *node = node_new(&limits_tiny, &config, node_voters(3));
    node_start(node);
    node_settle(node);
    node_tick(node, LONG_NS);
    node_settle(node);
    give_vote(node, 2, 1);
    node_settle(node);
    EXPECT_EQUAL(node_view(node).role, RAFT_LEADER);
    for (int i = 0; i < 20; i++)
        node_tick(node, config.heartbeat_interval_ns);
    EXPECT(node_view(node).role != RAFT_LEADER);
    node_free(node);
}

/* ---- clients ---- */

static const struct request register_request = { .request_id = 1, .kind = REQUEST_REGISTER };

static struct request put_request(uint64_t session, uint64_t sequence, const char *value)
{
    return (struct request){
        .request_id = 100 + sequence,
        .kind = REQUEST_PUT,
        .session = session,
        .sequence = sequence,
        .key = { .bytes = (const uint8_t *)"k", .count = 1 },
        .value = { .bytes = (const uint8_t *)value, .count = (uint32_t)strlen(value) },
    };
}

static const struct request get_request = { .request_id = 50,
                                            .kind = REQUEST_GET,
                                            .key = { .bytes = (const uint8_t *)"k", .count = 1 } };

static struct node *lone_leader(void)
{
    struct node *node = node_under_test(1, 1);
    node_tick(node, LONG_NS);
    node_settle(node);
    EXPECT_EQUAL(node_view(node).role, RAFT_LEADER);
    node->sent_count = 0;
    return node;
}

static uint64_t registered(struct node *node)
{
    struct reply reply;
    node_request(node, 1, &register_request);
    node_settle(node);
    EXPECT(replied(node, 1, &reply));
    EXPECT_EQUAL(reply.status, REPLY_OK);
    EXPECT(reply.session != 0);
    return reply.session;
}

TEST(a_lone_voter_serves_clients)
{
    struct node *node = lone_leader();
    struct reply reply;
    const uint64_t session = registered(node);
    const struct request put = put_request(session, 1, "v");
    node_request(node, 1, &put);
    EXPECT(!replied(node, 1, &reply)); /* not before it is durable */
    node_settle(node);
    EXPECT(replied(node, 1, &reply));
    EXPECT_EQUAL(reply.status, REPLY_OK);
    EXPECT_EQUAL(reply.request_id, 101);
    node_request(node, 1, &get_request);
    node_settle(node);
    EXPECT(replied(node, 1, &reply));
    EXPECT_EQUAL(reply.status, REPLY_OK);
    EXPECT(reply.value.count == 1 && reply.value.bytes[0] == 'v');
    node_free(node);
}

TEST(a_repeated_write_is_answered_from_the_session_and_not_executed_again)
{
    struct node *node = lone_leader();
    struct reply first;
    struct reply second;
    struct reply read;
    const uint64_t session = registered(node);
    struct request append_once = put_request(session, 1, "x");
    append_once.kind = REQUEST_APPEND;
    node_request(node, 1, &append_once);
    node_settle(node);
    EXPECT(replied(node, 1, &first));
    node_request(node, 1, &append_once);
    node_settle(node);
    EXPECT(replied(node, 1, &second));
    EXPECT_EQUAL(second.status, REPLY_OK);
    EXPECT_EQUAL(second.version, first.version);
    node_request(node, 1, &get_request);
    node_settle(node);
    EXPECT(replied(node, 1, &read));
    EXPECT_EQUAL(read.value.count, 1);
    node_free(node);
}

TEST(what_was_acknowledged_survives_a_power_loss)
{
    struct node *node = lone_leader();
    struct reply reply;
    const uint64_t session = registered(node);
    for (uint64_t sequence = 1; sequence <= 5; sequence++) {
        const struct request put = put_request(session, sequence, sequence == 5 ? "last" : "early");
        node_request(node, 1, &put);
        node_settle(node);
        EXPECT(replied(node, 1, &reply));
    }
    const uint64_t digest = node_view(node).state_digest;
    node_crash(node);
    node_start(node);
    node_settle(node);
    node_tick(node, LONG_NS);
    node_settle(node);
    EXPECT_EQUAL(node_view(node).role, RAFT_LEADER);
    EXPECT(node_view(node).state_digest == digest);
    node_request(node, 1, &get_request);
    node_settle(node);
    EXPECT(replied(node, 1, &reply));
    EXPECT(reply.value.count == 4 && memcmp(reply.value.bytes, "last", 4) == 0);
    node_free(node);
}

TEST(an_unknown_session_is_expired)
{
    struct node *node = lone_leader();
    struct reply reply;
    const struct request put = put_request(999, 1, "v");
    node_request(node, 1, &put);
    node_settle(node);
    EXPECT(replied(node, 1, &reply));
    EXPECT_EQUAL(reply.status, REPLY_SESSION_EXPIRED);
    node_free(node);
}

TEST(a_log_goes_round_and_round)
{
    struct node *node = lone_leader();
    struct reply reply = { 0 };
    const uint64_t session = registered(node);
    for (uint64_t sequence = 1; sequence <= 2000; sequence++) {
        const struct request put = put_request(session, sequence, "v");
        node_request(node, 1, &put);
        node_settle(node);
        EXPECT(replied(node, 1, &reply));
        EXPECT_EQUAL(reply.status, REPLY_OK);
    }
    EXPECT(node_view(node).base.index > 1900);
    node_request(node, 1, &get_request);
    node_settle(node);
    EXPECT(replied(node, 1, &reply));
    EXPECT_EQUAL(reply.status, REPLY_OK);
    node_free(node);
}

TEST(a_follower_names_the_leader)
{
    struct node *node = node_under_test(3, 2);
    struct reply reply;
    append(node, 3, 1, origin, 0, NULL, 0);
    node_settle(node);
    node->sent_count = 0;
    node_request(node, 1, &get_request);
    node_settle(node);
    EXPECT(replied(node, 1, &reply));
    EXPECT_EQUAL(reply.status, REPLY_NOT_LEADER);
    EXPECT_EQUAL(reply.leader, 3);
    EXPECT(reply.value.count >= 5 && memcmp(reply.value.bytes, "node3", 5) == 0);
    node_free(node);
}

/* Raft 6.4: the round must begin after the read arrived, and a majority must answer it. */
TEST(a_read_waits_for_a_round_that_began_after_it)
{
    struct node *node = leader_of_three(1);
    struct reply reply;
    acknowledge(node, 2, 1, 1, node_view(node).read_round);
    node_settle(node);
    node->sent_count = 0;
    const uint64_t old_round = node_view(node).read_round;
    node_request(node, 1, &get_request);
    node_settle(node);
    acknowledge(node, 2, 1, 1, old_round); /* an old answer, late */
    node_settle(node);
    EXPECT(!replied(node, 1, &reply));
    acknowledge(node, 2, 1, 1, node_view(node).read_round);
    node_settle(node);
    EXPECT(node_view(node).read_round > old_round);
    EXPECT(replied(node, 1, &reply));
    EXPECT_EQUAL(reply.status, REPLY_NOT_FOUND);
    node_free(node);
}

TEST(a_new_leader_serves_no_read_before_an_entry_of_its_term_is_committed)
{
    struct node *node = leader_of_three(1);
    struct reply reply;
    node->sent_count = 0;
    node_request(node, 1, &get_request);
    node_settle(node);
    acknowledge(node, 2, 1, 0, node_view(node).read_round);
    node_settle(node);
    EXPECT(!replied(node, 1, &reply) || reply.status == REPLY_BUSY);
    node_free(node);
}

TEST(a_write_lost_with_the_leadership_is_unknown)
{
    struct node *node = leader_of_three(1);
    struct reply reply;
    acknowledge(node, 2, 1, 1, 0);
    node_settle(node);
    node->sent_count = 0;
    node_request(node, 1, &register_request);
    node_settle(node);
    append(node, 3, 2, at(1, 1), 1, twos, 1); /* another leader, another entry at that index */
    node_settle(node);
    EXPECT(replied(node, 1, &reply));
    EXPECT_EQUAL(reply.status, REPLY_UNKNOWN);
    node_free(node);
}

/* ---- the world ---- */

TEST(a_failed_write_stops_the_node)
{
    struct node *node = node_under_test(3, 2);
    append(node, 1, 1, origin, 0, ones, 1);
    node_complete(node, 0, DISK_ERROR);
    EXPECT_EQUAL(node->stop, STOP_WRITE_FAILED);
    node_free(node);
}

TEST(the_disk_of_another_node_is_refused_and_left_alone)
{
    struct node *node = node_under_test(3, 2);
    node_crash(node);
    node->config = node_config(3);
    const uint64_t before = checksum64(node->image, node->image_bytes, 0);
    node_start(node);
    node_settle(node);
    EXPECT_EQUAL(node->stop, STOP_WRONG_NODE);
    EXPECT(checksum64(node->image, node->image_bytes, 0) == before);
    node_free(node);
}

TEST(the_disk_of_another_cluster_is_refused)
{
    struct node *node = node_under_test(3, 2);
    node_crash(node);
    node->config.cluster_id++;
    node_start(node);
    node_settle(node);
    EXPECT_EQUAL(node->stop, STOP_WRONG_CLUSTER);
    node_free(node);
}

TEST(an_empty_disk_is_no_node)
{
    struct node *node = node_under_test(3, 2);
    node_crash(node);
    memset(node->image, 0, node->image_bytes);
    node_start(node);
    node_settle(node);
    EXPECT_EQUAL(node->stop, STOP_NO_SUPERBLOCK);
    node_free(node);
}

TEST(damage_of_a_durable_batch_is_not_taken_for_a_torn_tail)
{
    struct node *node = lone_leader();
    const uint64_t session = registered(node);
    for (uint64_t sequence = 1; sequence <= 6; sequence++) {
        const struct request put = put_request(session, sequence, "v");
        node_request(node, 1, &put);
        node_settle(node);
    }
    node_crash(node);
    node->image[wal_body_offset(&node->limits) + 700] ^= 1; /* inside the second batch */
    node_start(node);
    node_settle(node);
    EXPECT_EQUAL(node->stop, STOP_WAL_DAMAGED);
    node_free(node);
}

TEST(a_torn_tail_is_cut)
{
    struct node *node = lone_leader();
    const uint64_t session = registered(node);
    const uint64_t before = node_view(node).last.index;
    const struct request put = put_request(session, 1, "v");
    node_request(node, 1, &put);
    node_crash(node); /* the write never landed */
    node_start(node);
    node_settle(node);
    EXPECT_EQUAL(node->stop, 0);
    EXPECT(node_view(node).last.index >= before);
    node_free(node);
}

TEST_MAIN()

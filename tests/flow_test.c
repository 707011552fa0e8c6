/* The flow of entries and of requests: windows, heartbeats beside them, commits that are told, clients that are turned
 * away before anything is full, requests whose time is over, and several of them in one batch. */
#include "nodes.h"

enum { CLIENT = 9 };

static const uint64_t heartbeat_ns = 20 * MS; /* node_config() */
static const uint64_t election_ns = 100 * MS;

/* ---- what travels to the node in slot 2, or does not ---- */

struct seen {
    uint64_t entries;    /* requests with entries */
    uint64_t heartbeats; /* without */
    bool lose_entries;
    bool lose_answers; /* of anybody to append requests */
    bool lose_all;     /* from and to slot 2 */
    uint32_t slot;     /* which slot `entries` counts; NODES: all */
};
static struct seen seen;

static bool watch(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes, uint32_t count)
{
    struct frame_header header;
    (void)cluster;
    memcpy(&header, bytes, sizeof header);
    const bool request = header.type == FRAME_APPEND_REQUEST;
    const bool entries = request && count > message_append_bytes(0);
    if (request && (to == seen.slot || seen.slot == NODES)) {
        seen.entries += entries;
        seen.heartbeats += !entries;
    }
    if (seen.lose_all && (from == seen.slot || to == seen.slot))
        return false;
    if (seen.lose_answers && header.type == FRAME_APPEND_RESPONSE)
        return false;
    return !(seen.lose_entries && entries && (to == seen.slot || seen.slot == NODES));
}

static struct cluster *watched(const struct limits *limits)
{
    struct cluster *cluster = cluster_new(limits, 7);
    elected(cluster);
    put(cluster, 0, 1);
    cluster_run(cluster, 2 * heartbeat_ns);
    seen = (struct seen){ .slot = NODES };
    cluster->hook = watch;
    return cluster;
}

/* A put of its own session's next number, which is only sent. */
static void send_put(struct cluster *cluster, uint32_t leader, uint64_t budget_ns, uint64_t arrived_ns)
{
    static uint8_t value[120];
    uint8_t bytes[NODE_FRAME_BYTES_MAX];
    memset(value, (int)(cluster->sequence + 1), sizeof value);
    const struct request request = {
        .request_id = 1000 + ++cluster->sequence,
        .budget_ns = budget_ns,
        .kind = REQUEST_PUT,
        .session = cluster->session,
        .sequence = cluster->sequence,
        .key = { .bytes = (const uint8_t *)"key", .count = 3 },
        .value = { .bytes = value, .count = sizeof value },
    };
    struct node *node = node_at(cluster, leader);
    request_encode(&request, node->config.cluster_id, bytes);
    node_step(node, &(struct input){ .kind = INPUT_CLIENT_FRAME,
                                     .now_ns = node->now_ns,
                                     .arrived_ns = arrived_ns,
                                     .client = CLIENT,
                                     .bytes = { .bytes = bytes, .count = request_bytes(&request) } });
    observe(cluster, leader);
}

/* The reply to the client in what the node has just emitted; false: none. */
static bool taken_reply(const struct cluster *cluster, uint32_t slot, struct reply *reply)
{
    const struct output *output = &cluster->nodes[slot]->output;
    for (uint32_t i = 0; i < output->effect_count; i++)
        if (output->effects[i].kind == EFFECT_REPLY && output->effects[i].target == CLIENT)
            return reply_decode(output->effects[i].bytes, cluster->limits.frame_bytes_max, reply) == FRAME_OK;
    return false;
}

static uint32_t another(uint32_t leader) { return (leader + 1) % NODES; }

/* ---- windows and heartbeats ---- */

TEST(nothing_more_is_sent_once_a_peer_has_as_many_bytes_as_it_may)
{
    struct limits limits = limits_tiny;
    limits.inflight_max = 64;
    limits.append_bytes_max = 256;
    limits.inflight_bytes_max = 512;
    limits.pending_writes_max = 64;
    struct cluster *cluster = watched(&limits);
    const uint32_t leader = elected(cluster), slow = another(leader);
    seen = (struct seen){ .slot = slow, .lose_entries = true };
    for (uint32_t i = 0; i < 20; i++) {
        send_put(cluster, leader, 0, 0);
        cluster_settle(cluster);
        const struct replica_view view = node_view(node_at(cluster, leader));
        EXPECT(view.inflight_bytes[slow] < limits.inflight_bytes_max + limits.append_bytes_max);
    }
    /* Others go on; this one has what fits, and no more. */
    const struct replica_view view = node_view(node_at(cluster, leader));
    EXPECT_EQUAL(view.commit, view.last.index);
    EXPECT(view.inflight_bytes[slow] >= limits.inflight_bytes_max);
    EXPECT(seen.entries < 6);
    EXPECT(view.next[slow] <= view.last.index);
    cluster_free(cluster);
}

TEST(a_peer_with_a_full_window_gets_its_heartbeats_in_time)
{
    struct limits limits = limits_tiny;
    limits.inflight_max = 2;
    limits.inflight_bytes_max = 512;
    struct cluster *cluster = watched(&limits);
    const uint32_t leader = elected(cluster), slow = another(leader);
    /* It has the entries, and what it says of them does not come back: so the window stays full. */
    seen = (struct seen){ .slot = slow, .lose_answers = true };
    for (uint32_t i = 0; i < 4; i++) {
        send_put(cluster, leader, 0, 0);
        cluster_settle(cluster);
    }
    EXPECT(node_view(node_at(cluster, leader)).inflight_bytes[slow] > 0);
    /* For three intervals, so that CheckQuorum does not end it. */
    for (uint32_t i = 0; i < 3; i++) {
        const uint64_t before = seen.heartbeats, entries = seen.entries;
        cluster_run(cluster, heartbeat_ns);
        EXPECT(seen.heartbeats > before);
        EXPECT_EQUAL(seen.entries, entries);
        EXPECT_EQUAL(node_view(node_at(cluster, slow)).leader, leader + 1);
    }
    seen.lose_answers = false;
    cluster_run(cluster, 2 * heartbeat_ns);
    EXPECT_EQUAL(node_view(node_at(cluster, leader)).inflight_bytes[slow], 0);
    EXPECT_EQUAL(node_view(node_at(cluster, slow)).commit, node_view(node_at(cluster, leader)).last.index);
    cluster_free(cluster);
}

/* In no step more than one request for a peer, whoever lags how far behind. */
TEST(who_lags_behind_holds_up_a_step_by_one_request)
{
    struct limits limits = limits_tiny;
    limits.append_entries_max = 1;
    limits.inflight_max = 16;
    limits.inflight_bytes_max = 4096;
    struct cluster *cluster = watched(&limits);
    const uint32_t leader = elected(cluster), slow = another(leader), other = another(slow);
    cluster->cut[slow] = true;
    for (uint32_t i = 0; i < 8; i++)
        put(cluster, 1, (uint8_t)i);
    cluster->cut[slow] = false;
    node_at(cluster, leader)->sent_count = 0;
    uint32_t to_slow = 0, to_other = 0;
    for (uint32_t steps = 0; steps < 400; steps++) {
        uint32_t now_slow = 0, now_other = 0;
        if (steps % 10 == 0)
            send_put(cluster, leader, 0, 0);
        else if (!cluster_step(cluster, leader) && !cluster_step(cluster, slow) && !cluster_step(cluster, other))
            cluster_run(cluster, 1 * MS);
        const struct output *output = &node_at(cluster, leader)->output;
        for (uint32_t i = 0; i < output->effect_count; i++) {
            const struct effect *effect = &output->effects[i];
            const bool entries = effect->kind == EFFECT_SEND && effect->bytes.count > message_append_bytes(0);
            now_slow += entries && effect->target == slow + 1;
            now_other += entries && effect->target == other + 1;
        }
        EXPECT(now_slow <= 1 && now_other <= 1);
        to_slow += now_slow;
        to_other += now_other;
    }
    EXPECT(to_slow > 8 && to_other > 8);
    cluster_run(cluster, 3 * heartbeat_ns);
    EXPECT_EQUAL(node_view(node_at(cluster, slow)).applied, node_view(node_at(cluster, leader)).applied);
    cluster_free(cluster);
}

/* An hour of writes without it: what its leader keeps of it stays the same, and is a few frames an interval. */
TEST(a_peer_that_is_down_for_hours_costs_a_frame_a_heartbeat)
{
    struct cluster *cluster = watched(&limits_tiny);
    const uint32_t leader = elected(cluster), down = another(leader);
    cluster->cut[down] = true;
    const size_t region_bytes = replica_bytes(&limits_tiny);
    bool snapshot = false;
    for (uint32_t minute = 0; minute < 60; minute++) {
        node_at(cluster, leader)->sent_dropped = 0;
        for (uint32_t i = 0; i < 8; i++) {
            put(cluster, i % 4, (uint8_t)(minute + i));
            const struct replica_view view = node_view(node_at(cluster, leader));
            EXPECT(view.inflight_bytes[down] < limits_tiny.inflight_bytes_max + limits_tiny.frame_bytes_max);
            snapshot |= view.progress[down] == PEER_SNAPSHOT;
        }
        /* The cut is behind the hook: count what its leader sends to it while nothing else happens. */
        cluster->cut[down] = false;
        seen = (struct seen){ .slot = down, .lose_all = true };
        cluster_run(cluster, 60 * heartbeat_ns);
        cluster->cut[down] = true;
        EXPECT(seen.entries + seen.heartbeats <= 2 * 61);
        EXPECT_EQUAL(node_view(node_at(cluster, leader)).role, RAFT_LEADER);
    }
    EXPECT(snapshot);
    EXPECT_EQUAL(replica_bytes(&limits_tiny), region_bytes);
    cluster->hook = NULL;
    cluster->cut[down] = false;
    cluster_run(cluster, 20 * election_ns);
    EXPECT_EQUAL(node_view(node_at(cluster, down)).applied, node_view(node_at(cluster, elected(cluster))).applied);
    cluster_free(cluster);
}

/* A new leader does not know how far they are: what it sends to find out it sends once, however many heartbeats and
 * read rounds follow. */
TEST(a_peer_that_is_probed_and_silent_gets_no_entries_twice)
{
    struct cluster *cluster = watched(&limits_tiny);
    const uint32_t before = elected(cluster), leader = another(before), down = another(leader);
    cluster->cut[before] = true;
    cluster_run(cluster, 5 * election_ns);
    const uint32_t now = elected(cluster), other = now == leader ? down : leader;
    put(cluster, 1, 1);
    /* `before` is behind the cut, and is probed; the cut is behind the hook. */
    cluster->cut[before] = false;
    seen = (struct seen){ .slot = before, .lose_all = true };
    const struct request get = { .request_id = 7, .kind = REQUEST_GET, .key = { (const uint8_t *)"key", 3 } };
    for (uint32_t round = 0; round < 20; round++) {
        node_request(node_at(cluster, now), CLIENT, &get);
        observe(cluster, now);
        cluster_run(cluster, heartbeat_ns / 4);
    }
    EXPECT_EQUAL(node_view(node_at(cluster, now)).progress[before], PEER_PROBE);
    EXPECT_EQUAL(node_view(node_at(cluster, now)).progress[other], PEER_REPLICATE);
    EXPECT(seen.heartbeats >= 20);
    EXPECT_EQUAL(seen.entries, 0);
    /* It answers the next heartbeat, and has all. */
    seen.lose_all = false;
    cluster_run(cluster, heartbeat_ns + heartbeat_ns / 4);
    EXPECT_EQUAL(node_view(node_at(cluster, before)).applied, node_view(node_at(cluster, now)).applied);
    cluster_free(cluster);
}

/* Entries get lost, each time that they are sent; heartbeats do not. So a probe follows the answer to each of them. */
TEST(a_probe_that_is_lost_is_sent_again)
{
    struct cluster *cluster = watched(&limits_tiny);
    const uint32_t leader = elected(cluster), slow = another(leader);
    seen = (struct seen){ .slot = slow, .lose_entries = true };
    put(cluster, 1, 1);
    cluster_run(cluster, 3 * heartbeat_ns);
    EXPECT_EQUAL(node_view(node_at(cluster, leader)).progress[slow], PEER_PROBE);
    seen = (struct seen){ .slot = slow, .lose_entries = true };
    cluster_run(cluster, 20 * heartbeat_ns);
    EXPECT(seen.entries >= 19 && seen.entries <= 21);
    EXPECT(seen.heartbeats >= 19 && seen.heartbeats <= 21);
    seen.lose_entries = false;
    cluster_run(cluster, heartbeat_ns + MS);
    EXPECT_EQUAL(node_view(node_at(cluster, slow)).applied, node_view(node_at(cluster, leader)).applied);
    cluster_free(cluster);
}

/* ---- commits ---- */

TEST(followers_of_an_idle_leader_learn_of_a_commit_within_an_eighth_of_the_heartbeat_interval)
{
    struct cluster *cluster = watched(&limits_tiny);
    const uint32_t leader = elected(cluster);
    for (uint32_t i = 0; i < 20; i++) {
        cluster_run(cluster, (i % 3) * MS);
        send_put(cluster, leader, 0, 0);
        cluster_settle(cluster);
        EXPECT_EQUAL(node_view(node_at(cluster, leader)).commit, node_view(node_at(cluster, leader)).last.index);
        cluster_run(cluster, heartbeat_ns / 8);
        for (uint32_t slot = 0; slot < NODES; slot++)
            EXPECT_EQUAL(node_view(node_at(cluster, slot)).applied, node_view(node_at(cluster, leader)).commit);
    }
    cluster_free(cluster);
}

TEST(under_load_the_next_request_tells_of_the_commit_and_nothing_else_is_sent_for_it)
{
    struct cluster *cluster = watched(&limits_tiny);
    const uint32_t leader = elected(cluster);
    cluster_run(cluster, heartbeat_ns);
    seen = (struct seen){ .slot = another(leader) };
    for (uint32_t i = 0; i < 10; i++) {
        const uint64_t commit = node_view(node_at(cluster, leader)).commit;
        send_put(cluster, leader, 0, 0);
        cluster_settle(cluster);
        EXPECT(node_view(node_at(cluster, another(leader))).commit >= commit);
    }
    EXPECT(seen.entries >= 10);
    EXPECT_EQUAL(seen.heartbeats, 0);
    cluster_free(cluster);
}

/* ---- overload ---- */

TEST(a_leader_that_cannot_commit_turns_clients_away_before_its_queue_is_full)
{
    struct limits limits = limits_tiny;
    limits.pending_writes_max = 64;
    struct cluster *cluster = watched(&limits);
    const uint32_t leader = elected(cluster);
    struct reply reply;
    seen = (struct seen){ .slot = NODES, .lose_entries = true };
    send_put(cluster, leader, 0, 0);
    cluster_run(cluster, election_ns / 2 - 2 * MS);
    send_put(cluster, leader, 0, 0);
    EXPECT(!taken_reply(cluster, leader, &reply));
    cluster_run(cluster, 2 * MS);
    const struct log_id last = node_view(node_at(cluster, leader)).last;
    send_put(cluster, leader, 0, 0);
    EXPECT(taken_reply(cluster, leader, &reply));
    EXPECT_EQUAL(reply.status, REPLY_BUSY);
    EXPECT_EQUAL(reply.retry_after_ms, 50); /* as long as the oldest has waited */
    EXPECT_EQUAL(node_view(node_at(cluster, leader)).last.index, last.index);
    EXPECT_EQUAL(node_view(node_at(cluster, leader)).pending_writes, 2);
    /* What was accepted is not given up, and room is made by it alone. */
    seen.lose_entries = false;
    cluster_run(cluster, 3 * heartbeat_ns);
    EXPECT_EQUAL(node_view(node_at(cluster, leader)).pending_writes, 0);
    send_put(cluster, leader, 0, 0);
    EXPECT_EQUAL(node_view(node_at(cluster, leader)).pending_writes, 1);
    cluster_free(cluster);
}

TEST(the_last_eighth_of_the_queue_is_not_filled)
{
    struct limits limits = limits_tiny;
    limits.pending_writes_max = 16;
    struct cluster *cluster = watched(&limits);
    const uint32_t leader = elected(cluster);
    struct reply reply;
    seen = (struct seen){ .slot = NODES, .lose_entries = true };
    for (uint32_t i = 0; i < 14; i++) {
        send_put(cluster, leader, 0, 0);
        EXPECT(!taken_reply(cluster, leader, &reply));
    }
    send_put(cluster, leader, 0, 0);
    EXPECT(taken_reply(cluster, leader, &reply));
    EXPECT_EQUAL(reply.status, REPLY_BUSY);
    EXPECT_EQUAL(reply.retry_after_ms, 1);
    EXPECT_EQUAL(node_view(node_at(cluster, leader)).pending_writes, 14);
    cluster_free(cluster);
}

/* ---- deadlines ---- */

TEST(a_request_that_has_waited_for_its_time_is_not_executed)
{
    struct cluster *cluster = watched(&limits_tiny);
    const uint32_t leader = elected(cluster);
    const uint64_t now_ns = cluster->now_ns;
    struct reply reply;
    const uint64_t last = node_view(node_at(cluster, leader)).last.index;
    send_put(cluster, leader, 5 * MS, now_ns - 5 * MS);
    EXPECT(taken_reply(cluster, leader, &reply));
    EXPECT_EQUAL(reply.status, REPLY_LATE);
    EXPECT_EQUAL(reply.request_id, 1000 + cluster->sequence);
    EXPECT_EQUAL(reply.retry_after_ms, 0);
    EXPECT_EQUAL(node_view(node_at(cluster, leader)).last.index, last);
    EXPECT_EQUAL(cluster->events[leader][EVENT_LATE], 1);
    /* A nanosecond left is enough. */
    send_put(cluster, leader, 5 * MS + 1, now_ns - 5 * MS);
    EXPECT(!taken_reply(cluster, leader, &reply));
    EXPECT_EQUAL(node_view(node_at(cluster, leader)).last.index, last + 1);
    cluster_free(cluster);
}

TEST(without_a_deadline_or_without_waiting_nothing_is_late)
{
    struct cluster *cluster = watched(&limits_tiny);
    const uint32_t leader = elected(cluster);
    const uint64_t last = node_view(node_at(cluster, leader)).last.index;
    send_put(cluster, leader, 0, 1);
    EXPECT_EQUAL(node_view(node_at(cluster, leader)).last.index, last + 1);
    send_put(cluster, leader, 1, 0);
    EXPECT_EQUAL(node_view(node_at(cluster, leader)).last.index, last + 2);
    /* A driver's clock that seems to run ahead of the core's. */
    send_put(cluster, leader, 1, cluster->now_ns + 1);
    EXPECT_EQUAL(node_view(node_at(cluster, leader)).last.index, last + 3);
    EXPECT_EQUAL(cluster->events[leader][EVENT_LATE], 0);
    cluster_free(cluster);
}

/* What waits for a commit may take longer than its client has: by then only the log decides. */
TEST(what_was_proposed_in_time_is_executed)
{
    struct cluster *cluster = watched(&limits_tiny);
    const uint32_t leader = elected(cluster);
    seen = (struct seen){ .slot = NODES, .lose_entries = true };
    const uint64_t last = node_view(node_at(cluster, leader)).last.index;
    send_put(cluster, leader, 1 * MS, cluster->now_ns);
    cluster_run(cluster, 2 * heartbeat_ns);
    seen.lose_entries = false;
    cluster_run(cluster, 3 * heartbeat_ns);
    EXPECT_EQUAL(node_view(node_at(cluster, leader)).applied, last + 1);
    EXPECT_EQUAL(cluster->status, REPLY_OK);
    cluster_free(cluster);
}

/* ---- several inputs at once ---- */

/* A driver that has several frames at hand says so with all but the last one. */
static void feed(struct node *node, const struct message *message, bool more)
{
    uint8_t bytes[NODE_FRAME_BYTES_MAX];
    const struct frame_context context = node_context(node);
    message_encode(message, &context, bytes);
    node_step(node, &(struct input){ .kind = INPUT_PEER_FRAME,
                                     .now_ns = node->now_ns,
                                     .more = more,
                                     .bytes = { .bytes = bytes, .count = message_bytes(message) } });
}

/* Raft 9.6: two that ask at once are both told, or the one that was not would lose an election timeout. */
TEST(each_pre_vote_request_of_a_batch_is_answered)
{
    struct replica_config config = node_config(2);
    config.check_quorum = false;
    struct node *node = node_new(&limits_tiny, &config, node_voters(3));
    node_start(node);
    node_settle(node);
    for (uint64_t from = 1; from <= 3; from += 2) {
        const struct message request = { .type = FRAME_VOTE_REQUEST,
                                         .from = from,
                                         .to = 2,
                                         .instance = 1000 + from,
                                         .vote_request = { .term = 1, .pre = true } };
        feed(node, &request, from == 1);
    }
    uint32_t answers = 0;
    for (uint32_t i = 0; i < node->sent_count; i++) {
        const struct frame_context context = node_context(node);
        struct message message;
        const struct slice bytes = { .bytes = node->sent[i].bytes, .count = node->sent[i].count };
        if (message_decode(bytes, &context, &message) == FRAME_OK && message.type == FRAME_VOTE_RESPONSE
            && message.vote_response.pre && message.vote_response.granted)
            answers |= 1u << node->sent[i].to;
    }
    EXPECT_EQUAL(answers, 1u << 1 | 1u << 3);
    node_free(node);
}

TEST_MAIN()

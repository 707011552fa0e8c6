/* The client library against a scripted node: retries, redirects, exactly-once and the three outcomes.
 *
 * The node is a thread that records each request and does what its script says next; when the script ends it answers
 * "ok". Registrations are answered apart from the script, with session ids from 100 on. */
#include "../io/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "../io/clock.h"
#include "test.h"

enum fake_action {
    FAKE_REPLY,   /* with `status` and `value` */
    FAKE_DROP,    /* closes the connection unanswered */
    FAKE_SILENT,  /* never answers */
    FAKE_GARBAGE, /* answers with bytes that are no frame */
    FAKE_DRIBBLE, /* answers "ok" byte by byte, after a reply to some other request */
};

struct fake_step {
    enum fake_action action;
    enum reply_status status;
    const char *value;
};

enum { FAKE_CONNECTIONS = 16, FAKE_SEEN = 64, FAKE_STEPS = 16, FAKE_FRAME_BYTES = 256 * 1024 };

struct fake_seen {
    enum request_kind kind;
    uint64_t session;
    uint64_t sequence;
    uint64_t version;
    char key[32];
    char value[160];
    uint32_t value_bytes;
};

struct fake {
    pthread_t thread;
    int listener;
    int stop[2];
    char address[32];
    struct fake_step steps[FAKE_STEPS];
    uint32_t step_count;
    uint32_t step;
    struct fake_seen seen[FAKE_SEEN];
    uint32_t seen_count;
    uint64_t sessions;
    uint64_t cluster_id;
    uint8_t frame[FAKE_FRAME_BYTES];
};

static bool fake_read(int fd, uint8_t *to, size_t bytes)
{
    while (bytes > 0) {
        const ssize_t count = read(fd, to, bytes);
        if (count <= 0)
            return false;
        to += count;
        bytes -= (size_t)count;
    }
    return true;
}

static void fake_reply(const struct fake *fake, int fd, const struct reply *reply, bool dribble)
{
    uint8_t frame[4096];
    ASSERT(reply_bytes(reply) <= sizeof frame);
    reply_encode(reply, fake->cluster_id, frame);
    const size_t piece = dribble ? 1 : reply_bytes(reply);
    for (size_t done = 0; done < reply_bytes(reply); done += piece)
        if (send(fd, frame + done, piece, MSG_NOSIGNAL) < 0)
            return;
}

static void fake_record(struct fake *fake, const struct request *request)
{
    ASSERT(fake->seen_count < FAKE_SEEN);
    struct fake_seen *seen = &fake->seen[fake->seen_count];
    *seen = (struct fake_seen){ .kind = request->kind,
                                .session = request->session,
                                .sequence = request->sequence,
                                .version = request->version,
                                .value_bytes = request->value.count };
    memcpy(seen->key, request->key.bytes, u32_min(request->key.count, sizeof seen->key - 1));
    memcpy(seen->value, request->value.bytes, u32_min(request->value.count, sizeof seen->value - 1));
    fake->seen_count++;
}

/* Whether the connection stays open. */
static bool fake_serve(struct fake *fake, int fd)
{
    uint32_t bytes = 0;
    if (!fake_read(fd, fake->frame, sizeof(struct frame_header)))
        return false;
    const struct slice head = { .bytes = fake->frame, .count = sizeof(struct frame_header) };
    ASSERT(frame_size(head, FAKE_FRAME_BYTES, &bytes) == FRAME_OK);
    if (!fake_read(fd, fake->frame + head.count, bytes - head.count))
        return false;
    const struct frame_context context = { .cluster_id = fake->cluster_id, .frame_bytes_max = FAKE_FRAME_BYTES };
    struct request request;
    struct reply reply = { .status = REPLY_OK, .version = 7, .applied = 7 };
    const struct slice frame = { .bytes = fake->frame, .count = bytes };
    ASSERT(request_decode(frame, &context, &limits_production, &request, &reply.status) == FRAME_OK);
    reply.request_id = request.request_id;
    struct fake_step step = { .action = FAKE_REPLY };
    if (reply.status == REPLY_OK) {
        fake_record(fake, &request);
        if (request.kind == REQUEST_REGISTER) {
            reply.session = 100 + fake->sessions++;
        } else if (fake->step < fake->step_count) {
            step = fake->steps[fake->step++];
            reply.status = step.status;
            reply.value = step.value ? client_text(step.value) : (struct slice){ 0 };
        }
    }
    if (step.action == FAKE_DRIBBLE)
        fake_reply(fake, fd, &(struct reply){ .request_id = request.request_id + 1000, .status = REPLY_BUSY }, false);
    if (step.action == FAKE_REPLY || step.action == FAKE_DRIBBLE)
        fake_reply(fake, fd, &reply, step.action == FAKE_DRIBBLE);
    if (step.action == FAKE_GARBAGE)
        return write(fd, "HTTP/1.1 400 Bad Request, and what else such a server says to those who send it frames",
                     sizeof(struct frame_header))
               > 0;
    return step.action != FAKE_DROP;
}

static void *fake_main(void *argument)
{
    struct fake *fake = argument;
    struct pollfd polls[FAKE_CONNECTIONS + 2] = { { .fd = fake->stop[0], .events = POLLIN },
                                                  { .fd = fake->listener, .events = POLLIN } };
    nfds_t count = 2;
    while (poll(polls, count, -1) >= 0 && !polls[0].revents) {
        for (nfds_t slot = 2; slot < count; slot++) {
            if (!polls[slot].revents || fake_serve(fake, polls[slot].fd))
                continue;
            close(polls[slot].fd);
            polls[slot--] = polls[--count];
        }
        if (polls[1].revents && count < FAKE_CONNECTIONS + 2)
            polls[count++] = (struct pollfd){ .fd = accept(fake->listener, NULL, NULL), .events = POLLIN };
    }
    while (count-- > 2)
        close(polls[count].fd);
    return NULL;
}

static struct fake *fake_start(void)
{
    struct fake *fake = calloc(1, sizeof *fake);
    ASSERT(fake != NULL);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t bytes = sizeof address;
    fake->cluster_id = 42;
    fake->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT(bind(fake->listener, (struct sockaddr *)&address, bytes) == 0 && listen(fake->listener, 16) == 0);
    ASSERT(getsockname(fake->listener, (struct sockaddr *)&address, &bytes) == 0 && pipe(fake->stop) == 0);
    snprintf(fake->address, sizeof fake->address, "127.0.0.1:%u", (unsigned)ntohs(address.sin_port));
    return fake;
}

static void fake_script(struct fake *fake, enum fake_action action, enum reply_status status, const char *value)
{
    ASSERT(fake->step_count < FAKE_STEPS);
    fake->steps[fake->step_count++] = (struct fake_step){ .action = action, .status = status, .value = value };
}

static void fake_run(struct fake *fake) { ASSERT(pthread_create(&fake->thread, NULL, fake_main, fake) == 0); }

/* Afterwards what was seen may be read. */
static void fake_stop(struct fake *fake)
{
    ASSERT(write(fake->stop[1], "x", 1) == 1);
    pthread_join(fake->thread, NULL);
    close(fake->listener);
    close(fake->stop[0]);
    close(fake->stop[1]);
}

static struct client *client_to(const char *endpoints, uint64_t timeout_ms)
{
    const struct client_options options = { .endpoints = endpoints,
                                            .timeout_ns = timeout_ms * NS_PER_MS,
                                            .attempt_timeout_ns = 100 * NS_PER_MS,
                                            .backoff_ns_min = NS_PER_MS,
                                            .backoff_ns_max = 10 * NS_PER_MS,
                                            .seed = 1 };
    struct client *client = NULL;
    ASSERT(client_open(&options, &client) == 0);
    return client;
}

TEST(put_registers_once_and_numbers_its_writes)
{
    struct fake *fake = fake_start();
    fake_run(fake);
    struct client *client = client_to(fake->address, 5000);
    const struct client_result first = client_put(client, client_text("a"), client_text("1"));
    const struct client_result second = client_append(client, client_text("a"), client_text("2"));
    client_close(client);
    fake_stop(fake);
    EXPECT_EQUAL(first.outcome, CLIENT_OK);
    EXPECT_EQUAL(first.version, 7);
    EXPECT_EQUAL(second.outcome, CLIENT_OK);
    EXPECT_EQUAL(fake->seen_count, 3);
    EXPECT_EQUAL(fake->seen[0].kind, REQUEST_REGISTER);
    EXPECT_EQUAL(fake->seen[1].kind, REQUEST_PUT);
    EXPECT_EQUAL(fake->seen[1].session, 100);
    EXPECT_EQUAL(fake->seen[1].sequence, 1);
    EXPECT_EQUAL(fake->seen[2].kind, REQUEST_APPEND);
    EXPECT_EQUAL(fake->seen[2].sequence, 2);
    free(fake);
}

TEST(retry_after_a_lost_reply_keeps_session_and_sequence)
{
    struct fake *fake = fake_start();
    fake_script(fake, FAKE_DROP, REPLY_OK, NULL);
    fake_script(fake, FAKE_SILENT, REPLY_OK, NULL);
    fake_script(fake, FAKE_REPLY, REPLY_UNKNOWN, NULL);
    fake_script(fake, FAKE_GARBAGE, REPLY_OK, NULL);
    fake_run(fake);
    struct client *client = client_to(fake->address, 5000);
    const struct client_result result = client_put(client, client_text("a"), client_text("1"));
    client_close(client);
    fake_stop(fake);
    EXPECT_EQUAL(result.outcome, CLIENT_OK);
    EXPECT_EQUAL(fake->seen_count, 6);
    for (uint32_t slot = 1; slot < 6; slot++) {
        EXPECT_EQUAL(fake->seen[slot].session, 100);
        EXPECT_EQUAL(fake->seen[slot].sequence, 1);
    }
    free(fake);
}

TEST(write_whose_replies_are_all_lost_is_unknown)
{
    struct fake *fake = fake_start();
    fake_script(fake, FAKE_DROP, REPLY_OK, NULL);
    for (int i = 1; i < FAKE_STEPS; i++)
        fake_script(fake, FAKE_REPLY, REPLY_BUSY, NULL);
    fake_run(fake);
    struct client *client = client_to(fake->address, 50);
    const struct client_result result = client_put(client, client_text("a"), client_text("1"));
    EXPECT_EQUAL(result.outcome, CLIENT_UNKNOWN);
    EXPECT_EQUAL(result.reason, CLIENT_TIMED_OUT);
    EXPECT(client_error_text(client)[0] != '\0');
    client_close(client);
    fake_stop(fake);
    free(fake);
}

TEST(read_whose_replies_are_all_lost_has_failed)
{
    struct fake *fake = fake_start();
    for (int i = 0; i < FAKE_STEPS; i++)
        fake_script(fake, FAKE_SILENT, REPLY_OK, NULL);
    fake_run(fake);
    struct client *client = client_to(fake->address, 150);
    const struct client_result result = client_get(client, client_text("a"));
    EXPECT_EQUAL(result.outcome, CLIENT_FAILED);
    EXPECT_EQUAL(result.reason, CLIENT_TIMED_OUT);
    client_close(client);
    fake_stop(fake);
    free(fake);
}

/* The last attempt is cut short by the end of the call, and so says nothing. */
TEST(what_a_node_answered_outlasts_an_attempt_that_was_cut_short)
{
    struct fake *fake = fake_start();
    fake_script(fake, FAKE_REPLY, REPLY_NOT_LEADER, NULL);
    for (int i = 1; i < FAKE_STEPS; i++)
        fake_script(fake, FAKE_SILENT, REPLY_OK, NULL);
    fake_run(fake);
    const struct client_options options = { .endpoints = fake->address,
                                            .timeout_ns = NS_PER_S,
                                            .attempt_timeout_ns = 60 * NS_PER_S };
    struct client *client = NULL;
    EXPECT_EQUAL(client_open(&options, &client), 0);
    const struct client_result result = client_get(client, client_text("a"));
    EXPECT_EQUAL(result.outcome, CLIENT_FAILED);
    EXPECT_EQUAL(result.reason, CLIENT_NO_LEADER);
    EXPECT(strstr(client_error_text(client), "knows no leader") != NULL);
    client_close(client);
    fake_stop(fake);
    EXPECT_EQUAL(fake->seen_count, 2);
    free(fake);
}

TEST(write_that_nodes_only_turned_away_has_failed)
{
    struct fake *fake = fake_start();
    for (int i = 0; i < FAKE_STEPS; i++)
        fake_script(fake, FAKE_REPLY, REPLY_BUSY, NULL);
    fake_run(fake);
    struct client *client = client_to(fake->address, 50);
    const struct client_result result = client_put(client, client_text("a"), client_text("1"));
    EXPECT_EQUAL(result.outcome, CLIENT_FAILED);
    EXPECT_EQUAL(result.reason, CLIENT_BUSY);
    client_close(client);
    fake_stop(fake);
    free(fake);
}

TEST(nobody_there_is_unreachable_and_not_unknown)
{
    struct fake *fake = fake_start(); /* a port of ours; closed again: nobody listens */
    close(fake->listener);
    struct client *client = client_to(fake->address, 50);
    const struct client_result result = client_put(client, client_text("a"), client_text("1"));
    EXPECT_EQUAL(result.outcome, CLIENT_FAILED);
    EXPECT_EQUAL(result.reason, CLIENT_UNREACHABLE);
    EXPECT(strstr(client_error_text(client), fake->address) != NULL);
    client_close(client);
    close(fake->stop[0]);
    close(fake->stop[1]);
    free(fake);
}

TEST(redirect_is_followed_without_a_pause)
{
    struct fake *follower = fake_start();
    struct fake *leader = fake_start();
    fake_script(follower, FAKE_REPLY, REPLY_NOT_LEADER, leader->address);
    fake_script(leader, FAKE_REPLY, REPLY_OK, "blue");
    fake_run(follower);
    fake_run(leader);
    struct client *client = client_to(follower->address, 5000);
    const struct client_result result = client_get(client, client_text("colour"));
    EXPECT_EQUAL(result.outcome, CLIENT_OK);
    EXPECT_EQUAL(result.attempts, 2);
    EXPECT_EQUAL(result.value.count, 4);
    EXPECT(memcmp(result.value.bytes, "blue", 4) == 0);
    client_close(client);
    fake_stop(follower);
    fake_stop(leader);
    EXPECT_EQUAL(leader->seen_count, 1);
    free(follower);
    free(leader);
}

TEST(endpoints_are_tried_in_turn_when_nobody_knows_a_leader)
{
    struct fake *a = fake_start();
    struct fake *b = fake_start();
    struct fake *c = fake_start();
    fake_script(a, FAKE_REPLY, REPLY_NOT_LEADER, NULL);
    fake_script(b, FAKE_REPLY, REPLY_NOT_LEADER, "not an address");
    fake_run(a);
    fake_run(b);
    fake_run(c);
    char endpoints[128];
    snprintf(endpoints, sizeof endpoints, "%s,%s,%s", a->address, b->address, c->address);
    struct client *client = client_to(endpoints, 5000);
    const struct client_result result = client_get(client, client_text("a"));
    client_close(client);
    fake_stop(a);
    fake_stop(b);
    fake_stop(c);
    EXPECT_EQUAL(result.outcome, CLIENT_OK);
    EXPECT_EQUAL(result.attempts, 3);
    free(a);
    free(b);
    free(c);
}

TEST(session_that_expired_before_any_doubt_is_replaced_at_once)
{
    struct fake *fake = fake_start();
    fake_script(fake, FAKE_REPLY, REPLY_SESSION_EXPIRED, NULL);
    fake_run(fake);
    struct client *client = client_to(fake->address, 5000);
    const struct client_result result = client_put(client, client_text("a"), client_text("1"));
    client_close(client);
    fake_stop(fake);
    EXPECT_EQUAL(result.outcome, CLIENT_OK);
    EXPECT_EQUAL(fake->seen_count, 4);
    EXPECT_EQUAL(fake->seen[1].session, 100);
    EXPECT_EQUAL(fake->seen[3].session, 101);
    EXPECT_EQUAL(fake->seen[3].sequence, 1);
    free(fake);
}

TEST(session_that_expired_after_a_doubtful_attempt_leaves_the_outcome_unknown)
{
    struct fake *fake = fake_start();
    fake_script(fake, FAKE_DROP, REPLY_OK, NULL);
    fake_script(fake, FAKE_REPLY, REPLY_SESSION_EXPIRED, NULL);
    fake_run(fake);
    struct client *client = client_to(fake->address, 5000);
    const struct client_result lost = client_append(client, client_text("a"), client_text("1"));
    const struct client_result next = client_append(client, client_text("a"), client_text("2"));
    client_close(client);
    fake_stop(fake);
    EXPECT_EQUAL(lost.outcome, CLIENT_UNKNOWN);
    EXPECT_EQUAL(lost.reason, CLIENT_SESSION_LOST);
    EXPECT_EQUAL(next.outcome, CLIENT_OK);
    EXPECT_EQUAL(fake->seen_count, 5); /* register, append, append, register, append: never "1" in a second session */
    EXPECT_EQUAL(fake->seen[4].session, 101);
    EXPECT_TEXT(fake->seen[4].value, "2");
    free(fake);
}

/* It is what became of the command, whichever attempt brought it. */
TEST(full_store_settles_a_doubtful_attempt)
{
    struct fake *fake = fake_start();
    fake_script(fake, FAKE_DROP, REPLY_OK, NULL);
    fake_script(fake, FAKE_REPLY, REPLY_NO_SPACE, NULL);
    fake_run(fake);
    struct client *client = client_to(fake->address, 5000);
    const struct client_result result = client_put(client, client_text("a"), client_text("1"));
    EXPECT_EQUAL(result.outcome, CLIENT_FAILED);
    EXPECT_EQUAL(result.reason, CLIENT_NO_SPACE);
    client_close(client);
    fake_stop(fake);
    free(fake);
}

TEST(conditions_and_absence_are_failures_with_a_reason)
{
    struct fake *fake = fake_start();
    fake_script(fake, FAKE_REPLY, REPLY_CONDITION_FAILED, NULL);
    fake_script(fake, FAKE_REPLY, REPLY_NOT_FOUND, NULL);
    fake_script(fake, FAKE_REPLY, REPLY_TOO_LARGE, NULL);
    fake_run(fake);
    struct client *client = client_to(fake->address, 5000);
    const struct client_result cas = client_cas(client, client_text("a"), 3, client_text("1"));
    const struct client_result get = client_get(client, client_text("a"));
    const struct client_result append = client_append(client, client_text("a"), client_text("1"));
    client_close(client);
    fake_stop(fake);
    EXPECT_EQUAL(cas.outcome, CLIENT_FAILED);
    EXPECT_EQUAL(cas.reason, CLIENT_CONDITION_FAILED);
    EXPECT_EQUAL(cas.version, 7);
    EXPECT_EQUAL(fake->seen[1].version, 3);
    EXPECT_EQUAL(get.reason, CLIENT_NOT_FOUND);
    EXPECT_EQUAL(append.reason, CLIENT_TOO_LARGE);
    free(fake);
}

TEST(reply_may_come_in_pieces_and_after_one_that_nobody_asked_for)
{
    struct fake *fake = fake_start();
    fake_script(fake, FAKE_DRIBBLE, REPLY_OK, "patience");
    fake_run(fake);
    struct client *client = client_to(fake->address, 5000);
    const struct client_result result = client_get(client, client_text("a"));
    EXPECT_EQUAL(result.outcome, CLIENT_OK);
    EXPECT_EQUAL(result.attempts, 1);
    EXPECT_EQUAL(result.value.count, 8);
    client_close(client);
    fake_stop(fake);
    free(fake);
}

TEST(transaction_goes_out_in_wire_order_whatever_order_it_was_built_in)
{
    struct fake *fake = fake_start();
    fake_run(fake);
    struct client *client = client_to(fake->address, 5000);
    struct client_txn *txn = client_txn_new();
    const struct txn_clause clauses[] = {
        { .kind = TXN_ELSE_DELETE, .key = client_text("c") },
        { .kind = TXN_THEN_PUT, .key = client_text("b"), .value = client_text("1") },
        { .kind = TXN_IF_EQUAL, .key = client_text("a"), .version = 5 },
    };
    for (uint32_t slot = 0; slot < 3; slot++)
        EXPECT_EQUAL(client_txn_add(txn, &clauses[slot]), 0);
    EXPECT_EQUAL(client_txn_commit(client, txn).outcome, CLIENT_OK);
    client_txn_free(txn);
    client_close(client);
    fake_stop(fake);
    const struct fake_seen *seen = &fake->seen[1];
    const struct slice list = { .bytes = (const uint8_t *)seen->value, .count = seen->value_bytes };
    const enum txn_clause_kind expected[] = { TXN_IF_EQUAL, TXN_THEN_PUT, TXN_ELSE_DELETE };
    uint32_t offset = 0;
    for (uint32_t slot = 0; slot < 3; slot++) {
        struct txn_clause clause;
        EXPECT(txn_clause_decode(list, &offset, &clause));
        EXPECT_EQUAL(clause.kind, expected[slot]);
    }
    EXPECT_EQUAL(offset, list.count);
    free(fake);
}

TEST(what_no_frame_can_hold_is_refused_without_sending)
{
    struct fake *fake = fake_start();
    fake_run(fake);
    struct client *client = client_to(fake->address, 5000);
    const uint32_t bytes = limits_production.frame_bytes_max + 1;
    uint8_t *value = calloc(1, bytes);
    const struct client_result large =
        client_put(client, client_text("a"), (struct slice){ .bytes = value, .count = bytes });
    const struct client_result key = client_get(client, (struct slice){ .bytes = value, .count = 70000 });
    client_close(client);
    fake_stop(fake);
    free(value);
    EXPECT_EQUAL(large.outcome, CLIENT_FAILED);
    EXPECT_EQUAL(large.reason, CLIENT_TOO_LARGE);
    EXPECT_EQUAL(key.reason, CLIENT_TOO_LARGE);
    EXPECT_EQUAL(fake->seen_count, 0);
    free(fake);
}

TEST(node_of_another_cluster_is_named)
{
    struct fake *fake = fake_start();
    fake_run(fake);
    const struct client_options options = { .endpoints = fake->address, .cluster_id = 41 };
    struct client *client = NULL;
    EXPECT_EQUAL(client_open(&options, &client), 0);
    const struct client_result result = client_put(client, client_text("a"), client_text("1"));
    EXPECT_EQUAL(result.outcome, CLIENT_FAILED);
    EXPECT_EQUAL(result.reason, CLIENT_WRONG_CLUSTER);
    EXPECT(strstr(client_error_text(client), fake->address) != NULL);
    client_close(client);
    fake_stop(fake);
    free(fake);
}

TEST(a_host_that_is_not_found_is_a_node_that_is_down)
{
    struct fake *fake = fake_start();
    fake_run(fake);
    char endpoints[128];
    snprintf(endpoints, sizeof endpoints, "no-such-host.invalid:7001,%s", fake->address);
    struct client *client = client_to(endpoints, 5000);
    EXPECT_EQUAL(client_get(client, client_text("a")).outcome, CLIENT_OK);
    struct node_status status;
    EXPECT_EQUAL(client_status(client, 0, &status).reason, CLIENT_UNREACHABLE);
    EXPECT(strstr(client_error_text(client), "no-such-host.invalid:7001: no such host") != NULL);
    client_close(client);
    fake_stop(fake);
    free(fake);
    const struct client_options none = { .endpoints = "no-such-host.invalid:7001,nor-this.invalid:7002" };
    EXPECT_EQUAL(client_open(&none, &client), -EHOSTUNREACH);
}

TEST(endpoint_lists_are_checked_when_opened)
{
    static const char *const bad[] = { "",
                                       "localhost",
                                       "127.0.0.1:",
                                       ":7001",
                                       "127.0.0.1:0",
                                       "127.0.0.1:65536",
                                       "127.0.0.1:7001,",
                                       "127.0.0.1:70x1",
                                       "[::1:7001" };
    for (uint32_t slot = 0; slot < ARRAY_COUNT(bad); slot++) {
        struct client *client = NULL;
        EXPECT_EQUAL(client_open(&(struct client_options){ .endpoints = bad[slot] }, &client), -EINVAL);
    }
    struct client *client = NULL;
    EXPECT_EQUAL(client_open(&(struct client_options){ .endpoints = "127.0.0.1:7001,[::1]:7002" }, &client), 0);
    EXPECT_EQUAL(client_endpoint_count(client), 2);
    EXPECT_TEXT(client_endpoint_text(client, 1), "[::1]:7002");
    client_close(client);
}

TEST_MAIN()

/* The client library; see client.h.
 *
 * Three layers, from the wire up:
 *   client_attempt   one request to the node believed to lead, one reply
 *   client_run       attempts until an answer or the deadline: follows redirects, goes round the endpoints, backs off
 *   client_write     sessions and sequences around that; client_read without
 *
 * Invariant: `doubtful` holds from the moment that an attempt of a write left this process without an answer that says
 * "not executed". Only an answer of the state machine to the same (session, sequence) lifts it. */
#include "client.h"

#include "../core/prng.h"
#include "clock.h"
#include "link.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum { CLIENT_ERROR_BYTES = 256, CLIENT_REDIRECTS_FREE = 2 };

static const uint64_t client_timeout_ns_default = 5 * NS_PER_S;
static const uint64_t client_attempt_timeout_ns_default = NS_PER_S;
static const uint64_t client_backoff_ns_min_default = 2 * NS_PER_MS;
static const uint64_t client_backoff_ns_max_default = 250 * NS_PER_MS;
/* The longest pause while nodes answer that none of them leads: elections are short, and who sleeps through the end of
 * one adds to it. */
static const uint64_t client_backoff_ns_election = 32 * NS_PER_MS;

struct client {
    struct client_options options;
    struct endpoint endpoints[ENDPOINTS_MAX];
    uint32_t endpoint_count;
    uint32_t endpoint_next; /* slot to try when the leader is unknown */
    struct endpoint target; /* where the link goes: one of the endpoints, or where a node redirected us */
    struct link link;
    struct prng prng;
    uint64_t session;    /* 0: none */
    uint64_t sequence;   /* of the latest write */
    uint64_t request_id; /* of the latest attempt */
    uint8_t *frame;
    uint32_t frame_capacity;
    char error[CLIENT_ERROR_BYTES];
};

/* One call's way through its attempts. */
struct client_run {
    uint64_t deadline_ns;
    bool write;
    bool doubtful;
    bool answered;             /* reply is final */
    enum client_reason reason; /* why the latest attempt was not final */
    uint32_t attempts;
    uint32_t pauses;
    uint32_t since_pause; /* attempts and redirects since then */
    bool leaderless;      /* some node answered since then, without a leader to point to that leads */
    uint32_t answered_by; /* a bit for each endpoint that sent a reply */
    struct reply reply;
};

static void client_error(struct client *client, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void client_error(struct client *client, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(client->error, sizeof(client->error), format, arguments);
    va_end(arguments);
}

const char *client_error_text(const struct client *client) { return client->error; }

/* ---- life ---- */

static uint64_t client_or(uint64_t value, uint64_t otherwise) { return value != 0 ? value : otherwise; }

static void client_next_endpoint(struct client *client)
{
    link_close(&client->link);
    client->target = client->endpoints[client->endpoint_next];
    client->endpoint_next = (client->endpoint_next + 1) % client->endpoint_count;
}

int client_open(const struct client_options *options, struct client **client)
{
    struct endpoint endpoints[ENDPOINTS_MAX];
    const int count = endpoint_list_parse(options->endpoints, endpoints);
    if (count < 0)
        return count;
    struct client *new = calloc(1, sizeof(*new));
    if (new == NULL)
        return -ENOMEM;
    new->options = *options;
    new->options.endpoints = NULL; /* copied below; the caller's string is borrowed */
    client_set_timeout(new, options->timeout_ns);
    new->options.attempt_timeout_ns = client_or(options->attempt_timeout_ns, client_attempt_timeout_ns_default);
    new->options.backoff_ns_min = client_or(options->backoff_ns_min, client_backoff_ns_min_default);
    new->options.backoff_ns_max = client_or(options->backoff_ns_max, client_backoff_ns_max_default);
    uint64_t seed = options->seed;
    if (seed == 0 && getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
        seed = clock_now_ns(); /* only jitter hangs on it */
    prng_seed(&new->prng, seed);
    memcpy(new->endpoints, endpoints, sizeof(endpoints[0]) * (size_t)count);
    new->endpoint_count = (uint32_t)count;
    link_init(&new->link);
    do
        client_next_endpoint(new);
    while (new->target.address_bytes == 0);
    *client = new;
    return 0;
}

void client_close(struct client *client)
{
    if (client == NULL)
        return;
    link_deinit(&client->link);
    free(client->frame);
    free(client);
}

void client_set_timeout(struct client *client, uint64_t timeout_ns)
{
    client->options.timeout_ns = client_or(timeout_ns, client_timeout_ns_default);
}

uint32_t client_endpoint_count(const struct client *client) { return client->endpoint_count; }

const char *client_endpoint_text(const struct client *client, uint32_t endpoint_slot)
{
    ASSERT(endpoint_slot < client->endpoint_count);
    return client->endpoints[endpoint_slot].text;
}

/* ---- one attempt ---- */

/* The request as a frame in client->frame. An empty slice: no memory. */
static struct slice client_encode(struct client *client, const struct request *request)
{
    const uint32_t bytes = request_bytes(request);
    ASSERT(bytes <= limits_production.frame_bytes_max);
    if (bytes > client->frame_capacity) {
        uint8_t *frame = realloc(client->frame, bytes);
        if (frame == NULL)
            return (struct slice){ 0 };
        client->frame = frame;
        client->frame_capacity = bytes;
    }
    request_encode(request, client->options.cluster_id, client->frame);
    return (struct slice){ .bytes = client->frame, .count = bytes };
}

/* Sends the request over `link` and waits for its reply. 0 or a negative errno; *sent: whether the node may have it. */
static int client_exchange(struct client *client, struct link *link, struct request *request, uint64_t deadline_ns,
                           struct reply *reply, bool *sent)
{
    ASSERT(link->fd >= 0);
    *sent = false;
    request->request_id = ++client->request_id;
    const struct slice frame = client_encode(client, request);
    if (frame.count == 0)
        return -ENOMEM;
    const int error = link_send(link, frame, deadline_ns, sent);
    return error < 0 ? error : link_receive(link, request->request_id, deadline_ns, reply);
}

/* An attempt without a reply. What a node has answered says more than an attempt that the end of the call cut short,
 * and one that may have been executed more than a node that is down. */
static void client_missed(struct client *client, struct client_run *run, enum client_reason reason, int error,
                          const char *what)
{
    const bool answered = run->reason != CLIENT_UNREACHABLE && run->reason != CLIENT_TIMED_OUT;
    if (answered && !run->doubtful && error == -ETIMEDOUT && clock_now_ns() >= run->deadline_ns)
        return;
    if (reason != CLIENT_UNREACHABLE || (!run->doubtful && run->reason != CLIENT_TIMED_OUT))
        run->reason = reason;
    client_error(client, "%s: %s%s", client->target.text, what,
                 error == -EPROTO      ? "sent bytes that are not a reply"
                 : error == -ETIMEDOUT ? "no answer in time"
                                       : endpoint_error_text(&client->target, error));
}

/* True when there is a reply; otherwise run->reason and the error text say what happened. */
static bool client_attempt(struct client *client, struct client_run *run, struct request *request)
{
    const uint64_t deadline_ns = u64_min(run->deadline_ns, clock_now_ns() + client->options.attempt_timeout_ns);
    if (client->link.fd < 0) {
        const int error = link_connect(&client->link, &client->target, deadline_ns);
        if (error < 0) {
            client_missed(client, run, CLIENT_UNREACHABLE, error, "cannot connect: ");
            client_next_endpoint(client);
            return false;
        }
    }
    bool sent = false;
    const uint64_t now_ns = clock_now_ns();
    request->budget_ns = run->deadline_ns > now_ns ? run->deadline_ns - now_ns : 1;
    const int error = client_exchange(client, &client->link, request, deadline_ns, &run->reply, &sent);
    run->attempts += sent;
    if (error == 0) {
        for (uint32_t slot = 0; slot < client->endpoint_count; slot++)
            if (strcmp(client->endpoints[slot].text, client->target.text) == 0)
                run->answered_by |= 1U << slot;
        return true;
    }
    run->doubtful |= sent && run->write;
    client_missed(client, run, error == -ENOMEM ? CLIENT_NO_MEMORY : CLIENT_TIMED_OUT, error, "");
    client_next_endpoint(client);
    return false;
}

/* ---- attempts until an answer ---- */

/* Exponential back-off with jitter, for as long as the node asked for at least, and up to half as much again; never
 * past the deadline. */
static void client_pause_for(struct client *client, struct client_run *run, uint64_t asked_ns)
{
    const uint32_t doublings = u32_min(run->pauses++, 20);
    const uint64_t most_ns = run->leaderless ? u64_min(client_backoff_ns_election, client->options.backoff_ns_max)
                                             : client->options.backoff_ns_max;
    const uint64_t backoff_ns = u64_min(client->options.backoff_ns_min << doublings, most_ns);
    const uint64_t pause_ns = u64_max(backoff_ns / 2, asked_ns);
    const uint64_t until_ns = u64_min(
        clock_now_ns() + pause_ns + prng_below(&client->prng, u64_max(backoff_ns, asked_ns) / 2 + 1), run->deadline_ns);
    const struct timespec until = { .tv_sec = (time_t)(until_ns / NS_PER_S), .tv_nsec = (long)(until_ns % NS_PER_S) };
    while (clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &until, NULL) == EINTR)
        continue;
    run->since_pause = 0;
    run->leaderless = false;
}

static void client_pause(struct client *client, struct client_run *run) { client_pause_for(client, run, 0); }

/* Goes where a follower points. A few hops at most without a pause: during an election nodes may point in circles. */
static void client_follow(struct client *client, struct client_run *run)
{
    const struct slice address = run->reply.value;
    struct endpoint leader;
    run->leaderless = true;
    run->reason = run->doubtful ? run->reason : CLIENT_NO_LEADER;
    client_error(client, "%s does not lead and knows no leader", client->target.text);
    if (address.count == 0 || endpoint_parse((const char *)address.bytes, address.count, &leader) < 0) {
        client_next_endpoint(client);
        if (++run->since_pause >= client->endpoint_count)
            client_pause(client, run);
        return;
    }
    client_error(client, "%s points to %s, which does not lead yet", client->target.text, leader.text);
    link_close(&client->link);
    client->target = leader;
    if (++run->since_pause > CLIENT_REDIRECTS_FREE)
        client_pause(client, run);
}

/* One reply. True when it ends the call. */
static bool client_judge(struct client *client, struct client_run *run)
{
    switch (run->reply.status) {
    case REPLY_OK:
    case REPLY_NOT_FOUND:
    case REPLY_CONDITION_FAILED:
    case REPLY_NO_SPACE:
    case REPLY_TOO_LARGE:
    case REPLY_SESSION_EXPIRED:
    case REPLY_STALE_SEQUENCE:
    case REPLY_BAD_REQUEST:
    case REPLY_CHANGE_UNDER_WAY:
    case REPLY_TERM_NOT_OPEN:
    case REPLY_UNKNOWN_MEMBER:
    case REPLY_DUPLICATE_MEMBER:
    case REPLY_TOO_MANY_MEMBERS:
    case REPLY_NO_VOTER_LEFT:
    case REPLY_WRONG_ROLE:
    case REPLY_LEARNER_BEHIND:
    case REPLY_WOULD_LOSE_QUORUM:
    case REPLY_NOT_A_VOTER:
    case REPLY_TARGET_SILENT:
    case REPLY_TRANSFER_FAILED:
    case REPLY_WRONG_CLUSTER: return true;
    case REPLY_NOT_LEADER: client_follow(client, run); return false;
    case REPLY_BUSY:
        run->reason = run->doubtful ? run->reason : CLIENT_BUSY;
        client_error(client, "%s is busy", client->target.text);
        client_pause_for(client, run, run->reply.retry_after_ms * NS_PER_MS);
        return false;
    case REPLY_LATE:
        run->reason = run->doubtful ? run->reason : CLIENT_LATE;
        client_error(client, "%s was asked in time, and came to it too late", client->target.text);
        client_pause(client, run);
        return false;
    case REPLY_NO_LEADER:
        run->reason = CLIENT_NO_LEADER;
        client_error(client, "%s has no leader to ask", client->target.text);
        client_next_endpoint(client);
        if (++run->since_pause >= client->endpoint_count)
            client_pause(client, run);
        return false;
    case REPLY_UNKNOWN:
        run->doubtful |= run->write;
        run->reason = CLIENT_TIMED_OUT;
        client_error(client, "%s lost its leadership while the write was under way", client->target.text);
        client_pause(client, run);
        return false;
    }
    client_error(client, "%s sent a reply of unknown status %u", client->target.text, (unsigned)run->reply.status);
    run->doubtful |= run->write;
    run->reason = CLIENT_TIMED_OUT;
    client_next_endpoint(client);
    return false;
}

static void client_run(struct client *client, struct client_run *run, struct request *request)
{
    run->answered = false;
    run->doubtful = false;
    run->reason = CLIENT_UNREACHABLE;
    run->answered_by = 0;
    client->error[0] = '\0';
    while (!run->answered && run->reason != CLIENT_NO_MEMORY && clock_now_ns() < run->deadline_ns) {
        if (client_attempt(client, run, request))
            run->answered = client_judge(client, run);
        else if (++run->since_pause >= client->endpoint_count)
            client_pause(client, run);
    }
    /* A reply that comes after its call has ended must not meet the next one. */
    if (!run->answered)
        link_close(&client->link);
}

/* ---- outcomes ---- */

static enum client_reason client_reason_of(enum reply_status status)
{
    switch (status) {
    case REPLY_OK: return CLIENT_DONE;
    case REPLY_NOT_FOUND: return CLIENT_NOT_FOUND;
    case REPLY_CONDITION_FAILED: return CLIENT_CONDITION_FAILED;
    case REPLY_NO_SPACE: return CLIENT_NO_SPACE;
    case REPLY_TOO_LARGE: return CLIENT_TOO_LARGE;
    case REPLY_BAD_REQUEST: return CLIENT_BAD_REQUEST;
    case REPLY_WRONG_CLUSTER: return CLIENT_WRONG_CLUSTER;
    case REPLY_CHANGE_UNDER_WAY:
    case REPLY_TERM_NOT_OPEN:
    case REPLY_UNKNOWN_MEMBER:
    case REPLY_DUPLICATE_MEMBER:
    case REPLY_TOO_MANY_MEMBERS:
    case REPLY_NO_VOTER_LEFT:
    case REPLY_WRONG_ROLE:
    case REPLY_LEARNER_BEHIND:
    case REPLY_WOULD_LOSE_QUORUM:
    case REPLY_TARGET_SILENT: return CLIENT_REFUSED;
    case REPLY_NOT_A_VOTER: return CLIENT_NOT_A_VOTER;
    case REPLY_TRANSFER_FAILED: return CLIENT_TRANSFER_FAILED;
    case REPLY_NO_LEADER:
    case REPLY_NOT_LEADER: return CLIENT_NO_LEADER;
    case REPLY_BUSY: return CLIENT_BUSY;
    case REPLY_LATE: return CLIENT_LATE;
    case REPLY_UNKNOWN: return CLIENT_TIMED_OUT;
    case REPLY_SESSION_EXPIRED:
    case REPLY_STALE_SEQUENCE: return CLIENT_SESSION_LOST;
    }
    UNREACHABLE();
}

/* Whether the status speaks of this attempt only, and so leaves an earlier one in doubt. */
static bool client_status_local(enum reply_status status)
{
    return status == REPLY_SESSION_EXPIRED || status == REPLY_STALE_SEQUENCE || status == REPLY_WRONG_CLUSTER;
}

/* The deadline passed. Whom it could have reached tells an election from a cluster that is down. */
static struct client_result client_give_up(struct client *client, const struct client_run *run)
{
    struct client_result result = { .attempts = run->attempts, .outcome = CLIENT_FAILED, .reason = run->reason };
    if (run->doubtful)
        result.outcome = CLIENT_UNKNOWN, result.reason = CLIENT_TIMED_OUT;
    if (client->error[0] == '\0')
        client_error(client, "the deadline passed before anything was sent");
    if (result.reason == CLIENT_UNREACHABLE && run->answered_by != 0)
        result.reason = CLIENT_NO_LEADER;
    if (result.reason != CLIENT_UNREACHABLE && result.reason != CLIENT_NO_LEADER)
        return result;
    char last[CLIENT_ERROR_BYTES];
    memcpy(last, client->error, sizeof last);
    const uint64_t timeout_ns = client->options.timeout_ns;
    const bool whole = timeout_ns % NS_PER_S == 0;
    client_error(client, "%s within %llu %s: %d of %u endpoint%s answered (last: %.160s)",
                 result.reason == CLIENT_NO_LEADER ? "no leader" : "no answer",
                 (unsigned long long)(timeout_ns / (whole ? NS_PER_S : NS_PER_MS)), whole ? "s" : "ms",
                 __builtin_popcount(run->answered_by), client->endpoint_count, client->endpoint_count == 1 ? "" : "s",
                 last);
    return result;
}

static struct client_result client_finish(struct client *client, const struct client_run *run)
{
    if (!run->answered)
        return client_give_up(client, run);
    struct client_result result = { .attempts = run->attempts };
    const struct reply *reply = &run->reply;
    result.reason = client_reason_of(reply->status);
    result.status = reply->status;
    result.doubtful = run->doubtful;
    result.version = reply->version;
    result.applied = reply->applied;
    result.leader = reply->leader;
    result.stale = (reply->flags & REPLY_FLAG_STALE) != 0;
    result.bounded = (reply->flags & REPLY_FLAG_BOUNDED) != 0;
    if (reply->status == REPLY_OK) {
        result.value = reply->value;
        client->error[0] = '\0';
        return result;
    }
    const bool unknown = run->doubtful && client_status_local(reply->status);
    result.outcome = unknown ? CLIENT_UNKNOWN : CLIENT_FAILED;
    if (reply->status == REPLY_NO_SPACE)
        client_error(client, "no space: the store of the cluster is full (see README, Limits of today)");
    else
        client_error(client, "%s (%s)", reply_status_text(reply->status), client->target.text);
    return result;
}

/* ---- what is refused before it is sent ---- */

static struct client_result client_refuse(struct client *client, enum client_reason reason, const char *text)
{
    client_error(client, "%s", text);
    return (struct client_result){ .outcome = CLIENT_FAILED, .reason = reason };
}

/* CLIENT_DONE, or the reason and the error text. */
static enum client_reason client_check(struct client *client, struct slice key, struct slice value)
{
    const struct limits *limits = &limits_production;
    if (key.count == 0) {
        client_error(client, "the key is empty");
        return CLIENT_BAD_REQUEST;
    }
    if (key.count <= limits->key_bytes_max && value.count <= limits->value_bytes_max)
        return CLIENT_DONE;
    const bool long_key = key.count > limits->key_bytes_max;
    client_error(client, "too large: the %s has more than %u bytes", long_key ? "key" : "value",
                 long_key ? limits->key_bytes_max : limits->value_bytes_max);
    return CLIENT_TOO_LARGE;
}

/* The branch that writes, 0: a comparison. */
static uint32_t txn_branch(enum txn_clause_kind kind)
{
    return kind <= TXN_IF_NOT_EQUAL ? 0 : kind <= TXN_THEN_APPEND ? 1 : 2;
}

static enum client_reason client_check_twice(struct client *client, struct slice list, uint32_t offset,
                                             const struct txn_clause *clause)
{
    const uint32_t branch = txn_branch(clause->kind);
    struct txn_clause other;
    while (branch > 0 && txn_clause_decode(list, &offset, &other) && txn_branch(other.kind) == branch) {
        if (other.key.count != clause->key.count || memcmp(other.key.bytes, clause->key.bytes, other.key.count) != 0)
            continue;
        client_error(client, "the key %.*s is written twice in \"%s\"", (int)u32_min(other.key.count, 64),
                     (const char *)other.key.bytes, branch == 1 ? "then" : "else");
        return CLIENT_BAD_REQUEST;
    }
    return CLIENT_DONE;
}

static enum client_reason client_check_txn(struct client *client, struct slice list)
{
    uint32_t counts[3] = { 0 };
    struct txn_clause clause;
    for (uint32_t offset = 0; offset < list.count && txn_clause_decode(list, &offset, &clause);) {
        const uint32_t branch = txn_branch(clause.kind);
        const uint32_t max = branch == 0 ? limits_production.txn_compares_max : limits_production.txn_writes_max;
        if (++counts[branch] > max) {
            client_error(client, "too large: more than %u %s", max, branch == 0 ? "comparisons" : "writes in a branch");
            return CLIENT_TOO_LARGE;
        }
        enum client_reason reason = client_check(client, clause.key, clause.value);
        if (reason == CLIENT_DONE)
            reason = client_check_twice(client, list, offset, &clause);
        if (reason != CLIENT_DONE)
            return reason;
    }
    return CLIENT_DONE;
}

static enum client_reason client_check_request(struct client *client, const struct request *request)
{
    const enum client_reason reason = request->kind == REQUEST_TXN ? client_check_txn(client, request->value)
                                                                   : client_check(client, request->key, request->value);
    if (reason != CLIENT_DONE || request_bytes(request) <= limits_production.frame_bytes_max)
        return reason;
    client_error(client, "too large: the request has %u bytes, the limit is %u", request_bytes(request),
                 limits_production.frame_bytes_max);
    return CLIENT_TOO_LARGE;
}

/* ---- calls ---- */

static struct client_result client_ask(struct client *client, struct request *request)
{
    struct client_run run = { .deadline_ns = clock_now_ns() + client->options.timeout_ns };
    client_run(client, &run, request);
    return client_finish(client, &run);
}

static struct client_result client_read(struct client *client, struct request *request)
{
    const enum client_reason problem = client_check_request(client, request);
    if (problem != CLIENT_DONE)
        return (struct client_result){ .outcome = CLIENT_FAILED, .reason = problem };
    return client_ask(client, request);
}

/* Gives the client a session. The run's outcome is that of the write that needs it: it has not been sent. */
static bool client_register(struct client *client, struct client_run *run)
{
    /* Registering twice only costs a slot in the session table, so a lost reply leaves nothing in doubt. */
    struct request request = { .kind = REQUEST_REGISTER };
    run->write = false;
    client_run(client, run, &request);
    run->write = true;
    if (!run->answered || run->reply.status != REPLY_OK)
        return false;
    client->session = run->reply.session;
    client->sequence = 0;
    ASSERT(client->session != 0);
    return true;
}

static struct client_result client_write(struct client *client, struct request *request)
{
    const enum client_reason problem = client_check_request(client, request);
    if (problem != CLIENT_DONE)
        return (struct client_result){ .outcome = CLIENT_FAILED, .reason = problem };
    struct client_run run = { .write = true, .deadline_ns = clock_now_ns() + client->options.timeout_ns };
    for (;;) {
        if (client->session == 0 && !client_register(client, &run))
            return client_finish(client, &run);
        request->session = client->session;
        request->sequence = ++client->sequence;
        client_run(client, &run, request);
        const bool lost =
            run.answered && (run.reply.status == REPLY_SESSION_EXPIRED || run.reply.status == REPLY_STALE_SEQUENCE);
        if (!lost)
            return client_finish(client, &run);
        client->session = 0;
        if (run.doubtful || clock_now_ns() >= run.deadline_ns)
            return client_finish(client, &run);
    }
}

struct client_result client_get(struct client *client, struct slice key)
{
    return client_read(client, &(struct request){ .kind = REQUEST_GET, .key = key });
}

struct client_result client_get_local(struct client *client, struct slice key, uint64_t staleness_ns)
{
    return client_read(
        client,
        &(struct request){ .kind = REQUEST_GET, .key = key, .version = staleness_ns, .flags = REQUEST_FLAG_LOCAL });
}

struct client_result client_get_stale(struct client *client, struct slice key)
{
    return client_read(client, &(struct request){ .kind = REQUEST_GET_STALE, .key = key });
}

struct client_result client_checkpoint(struct client *client)
{
    return client_ask(client, &(struct request){ .kind = REQUEST_CHECKPOINT });
}

struct client_result client_transfer(struct client *client, uint64_t node_id)
{
    return client_ask(client, &(struct request){ .kind = REQUEST_TRANSFER, .version = node_id });
}

struct client_result client_change_members(struct client *client, const struct member_operation *operations,
                                           uint32_t count, uint64_t version, bool force)
{
    ASSERT(count > 0 && count <= 2 * MEMBERS_MAX);
    struct request request = {
        .kind = REQUEST_MEMBERS,
        .version = version,
        .flags = force ? REQUEST_FLAG_FORCE : 0,
        .value = { .bytes = (const uint8_t *)operations, .count = count * (uint32_t)sizeof(operations[0]) },
    };
    struct client_run run = { .write = true, .deadline_ns = clock_now_ns() + client->options.timeout_ns };
    client_run(client, &run, &request);
    return client_finish(client, &run);
}

struct client_result client_put(struct client *client, struct slice key, struct slice value)
{
    return client_write(client, &(struct request){ .kind = REQUEST_PUT, .key = key, .value = value });
}

struct client_result client_append(struct client *client, struct slice key, struct slice value)
{
    return client_write(client, &(struct request){ .kind = REQUEST_APPEND, .key = key, .value = value });
}

struct client_result client_delete(struct client *client, struct slice key)
{
    return client_write(client, &(struct request){ .kind = REQUEST_DELETE, .key = key });
}

struct client_result client_cas(struct client *client, struct slice key, uint64_t version, struct slice value)
{
    return client_write(client,
                        &(struct request){ .kind = REQUEST_CAS, .key = key, .value = value, .version = version });
}

struct client_result client_put_if_absent(struct client *client, struct slice key, struct slice value)
{
    return client_cas(client, key, 0, value);
}

/* The members behind a status. False: not as many bytes as it says. */
static bool client_take_node(struct client_node *node, struct slice value)
{
    if (value.count < sizeof(node->status))
        return false;
    memcpy(&node->status, value.bytes, sizeof(node->status));
    node->member_count = node->status.members;
    const uint64_t bytes = (uint64_t)node->member_count * sizeof(node->members[0]);
    if (node->member_count > MEMBERS_MAX || value.count < sizeof(node->status) + bytes)
        return false;
    memcpy(node->members, value.bytes + sizeof(node->status), (size_t)bytes);
    for (uint32_t slot = 0; slot < node->member_count; slot++)
        node->members[slot].member.address[MEMBER_ADDRESS_BYTES - 1] = '\0'; /* bytes from the wire */
    return true;
}

struct client_result client_node(struct client *client, uint32_t endpoint_slot, struct client_node *node)
{
    ASSERT(endpoint_slot < client->endpoint_count);
    memset(node, 0, sizeof(*node));
    struct endpoint *endpoint = &client->endpoints[endpoint_slot];
    const uint64_t deadline_ns =
        clock_now_ns() + u64_min(client->options.timeout_ns, client->options.attempt_timeout_ns);
    struct client_result result = { .outcome = CLIENT_FAILED, .reason = CLIENT_UNREACHABLE };
    struct request request = { .kind = REQUEST_STATUS };
    struct reply reply = { 0 };
    struct link link; /* its own: the client's stays with the leader */
    link_init(&link);
    bool sent = false;
    int error = link_connect(&link, endpoint, deadline_ns);
    if (error == 0)
        error = client_exchange(client, &link, &request, deadline_ns, &reply, &sent);
    if (error < 0) {
        result.reason = sent ? CLIENT_TIMED_OUT : CLIENT_UNREACHABLE;
        client_error(client, "%s: %s", endpoint->text, endpoint_error_text(endpoint, error));
    } else if (reply.status != REPLY_OK || !client_take_node(node, reply.value)) {
        result.reason = client_reason_of(reply.status);
        client_error(client, "%s: %s", endpoint->text, reply_status_text(reply.status));
    } else {
        result = (struct client_result){ .outcome = CLIENT_OK, .reason = CLIENT_DONE, .applied = reply.applied };
        client->error[0] = '\0';
    }
    result.attempts = sent;
    link_deinit(&link);
    return result;
}

struct client_result client_status(struct client *client, uint32_t endpoint_slot, struct node_status *status)
{
    struct client_node node;
    const struct client_result result = client_node(client, endpoint_slot, &node);
    *status = node.status;
    return result;
}

/* ---- transactions ---- */

/* Clauses of one section, encoded. The wire wants compares, then, else in this order; the caller need not. */
struct client_txn_part {
    uint8_t *bytes;
    uint32_t filled;
    uint32_t capacity;
};

enum { TXN_PARTS = 3 };

struct client_txn {
    struct client_txn_part parts[TXN_PARTS];
};

struct client_txn *client_txn_new(void) { return calloc(1, sizeof(struct client_txn)); }

void client_txn_free(struct client_txn *txn)
{
    if (txn == NULL)
        return;
    for (uint32_t slot = 0; slot < TXN_PARTS; slot++)
        free(txn->parts[slot].bytes);
    free(txn);
}

static struct client_txn_part *client_txn_part(struct client_txn *txn, enum txn_clause_kind kind)
{
    switch (kind) {
    case TXN_IF_EQUAL:
    case TXN_IF_NOT_EQUAL: return &txn->parts[0];
    case TXN_THEN_PUT:
    case TXN_THEN_DELETE:
    case TXN_THEN_APPEND: return &txn->parts[1];
    case TXN_ELSE_PUT:
    case TXN_ELSE_DELETE:
    case TXN_ELSE_APPEND: return &txn->parts[2];
    }
    UNREACHABLE();
}

bool client_txn_has_else(const struct client_txn *txn) { return txn->parts[2].filled > 0; }

int client_txn_add(struct client_txn *txn, const struct txn_clause *clause)
{
    if (clause->key.count > UINT16_MAX || clause->value.count > limits_production.frame_bytes_max)
        return -EMSGSIZE;
    struct client_txn_part *part = client_txn_part(txn, clause->kind);
    const uint32_t bytes = txn_clause_bytes(clause);
    if (bytes > limits_production.frame_bytes_max - part->filled)
        return -EMSGSIZE;
    if (part->filled + bytes > part->capacity) {
        const uint32_t capacity = u32_max(part->capacity * 2, part->filled + bytes);
        uint8_t *grown = realloc(part->bytes, capacity);
        if (grown == NULL)
            return -ENOMEM;
        part->bytes = grown;
        part->capacity = capacity;
    }
    txn_clause_encode(clause, part->bytes + part->filled);
    part->filled += bytes;
    return 0;
}

struct client_result client_txn_commit(struct client *client, const struct client_txn *txn)
{
    uint32_t bytes = 0;
    for (uint32_t slot = 0; slot < TXN_PARTS; slot++)
        bytes += txn->parts[slot].filled;
    uint8_t *list = malloc(bytes > 0 ? bytes : 1);
    if (list == NULL)
        return client_refuse(client, CLIENT_NO_MEMORY, "no memory for the transaction");
    uint32_t filled = 0;
    for (uint32_t slot = 0; slot < TXN_PARTS; slot++) {
        if (txn->parts[slot].filled > 0)
            memcpy(list + filled, txn->parts[slot].bytes, txn->parts[slot].filled);
        filled += txn->parts[slot].filled;
    }
    struct request request = { .kind = REQUEST_TXN, .value = { .bytes = list, .count = filled } };
    const struct client_result result = client_write(client, &request);
    free(list);
    return result;
}

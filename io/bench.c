/* The load generator; see bench.h. Slots and their requests are here, connections in bench_wire.c.
 *
 * A slot's life: IDLE -> (REGISTERING ->) WAITING -> IDLE. A reply that asks for another try moves it to PAUSED, and
 * the next turn after the pause back to WAITING. Request ids are (generation, slot): the reply to an attempt that was
 * given up carries an old generation and is dropped. */
#include "bench.h"

#include "../core/prng.h"
#include "../core/replica.h"
#include "bench_wire.h"
#include "client.h"
#include "clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum slot_state { SLOT_IDLE, SLOT_REGISTERING, SLOT_WAITING, SLOT_PAUSED };

struct slot {
    enum slot_state state;
    bool read;
    bool has_request; /* an operation is to be answered, perhaps after a registration */
    bool counted;     /* it was issued after bench_measure() */
    uint32_t generation;
    uint64_t session;
    uint64_t sequence;
    uint64_t key;
    uint64_t since_ns; /* due time: where its latency begins */
};

struct bench {
    struct bench_options options;
    struct wire wire;
    struct client *client; /* finds the leader */
    struct prng prng;
    struct slot slots[BENCH_INFLIGHT_MAX];
    uint32_t idle[BENCH_INFLIGHT_MAX]; /* stack of slots */
    uint32_t idle_count;
    uint32_t paused_count;
    uint64_t paused_until_ns;
    uint64_t now_ns;
    uint64_t progress_ns; /* of the latest reply, or of the first request since there was none outstanding */
    uint64_t keys_issued;
    uint64_t epoch_ns;      /* of the clock: add it for the time since 1970 */
    uint64_t rate_start_ns; /* open loop: due times count from here */
    uint64_t rate_issued;
    bool counting;             /* count_max applies */
    enum reply_status refusal; /* the latest that was not REPLY_OK, for messages */
    bool relocate;             /* the leader is not where we thought */
    uint64_t leaderless_ns;    /* since then; 0: there is one */
    uint8_t *key;
    uint8_t *value;
    uint8_t *frame;
    struct bench_report report;
};

static const uint64_t pause_ns = 2 * NS_PER_MS;
static const uint64_t stall_ns = 2 * NS_PER_S; /* outstanding requests and no reply for so long: the node hangs */

/* ---- life ---- */

static bool bench_allocate(struct bench *bench)
{
    const struct bench_options *options = &bench->options;
    bench->key = malloc(options->key_bytes);
    bench->value = malloc(options->value_bytes + 1U);
    bench->frame = malloc((size_t)options->key_bytes + options->value_bytes + 256);
    if (bench->key == NULL || bench->value == NULL || bench->frame == NULL)
        return false;
    memset(bench->key, '0', options->key_bytes);
    bench->key[0] = 'k';
    for (uint32_t slot = 0; slot < options->value_bytes; slot++)
        bench->value[slot] = (uint8_t)('a' + slot * 7 % 26);
    return true;
}

struct bench *bench_open(const struct bench_options *options, char error[BENCH_ERROR_BYTES])
{
    ASSERT(options->inflight > 0 && options->inflight <= BENCH_INFLIGHT_MAX);
    ASSERT(options->connections > 0 && options->connections <= BENCH_CONNECTIONS_MAX);
    ASSERT(options->key_bytes >= BENCH_KEY_BYTES_MIN);
    struct bench *bench = calloc(1, sizeof *bench);
    if (bench == NULL) {
        snprintf(error, BENCH_ERROR_BYTES, "no memory");
        return NULL;
    }
    bench->options = *options;
    prng_seed(&bench->prng, options->seed);
    const struct client_options client = { .endpoints = options->endpoints,
                                           .cluster_id = options->cluster_id,
                                           .attempt_timeout_ns = NS_PER_S / 2 };
    const int opened = client_open(&client, &bench->client);
    const int wired = opened == 0 ? wire_open(&bench->wire, options->endpoints, options->connections) : opened;
    if (wired < 0 || !bench_allocate(bench)) {
        snprintf(error, BENCH_ERROR_BYTES, "%s: %s", options->endpoints,
                 wired == -EHOSTUNREACH ? "no such host, none of them"
                 : wired < 0            ? strerror(-wired)
                                        : "no memory");
        bench_close(bench);
        return NULL;
    }
    for (uint32_t slot = options->inflight; slot > 0; slot--)
        bench->idle[bench->idle_count++] = slot - 1;
    return bench;
}

void bench_close(struct bench *bench)
{
    wire_close(&bench->wire);
    client_close(bench->client);
    free(bench->key);
    free(bench->value);
    free(bench->frame);
    free(bench);
}

const struct bench_report *bench_results(const struct bench *bench) { return &bench->report; }

const char *bench_leader(const struct bench *bench) { return wire_endpoint_text(&bench->wire, bench->wire.leader); }

uint64_t bench_leaderless_ns(const struct bench *bench) { return bench->leaderless_ns; }

static bool bench_interrupted(const struct bench *bench)
{
    return bench->options.interrupted != NULL && *bench->options.interrupted != 0;
}

uint32_t bench_outstanding(const struct bench *bench) { return bench->options.inflight - bench->idle_count; }

void bench_measure(struct bench *bench)
{
    memset(&bench->report, 0, sizeof bench->report);
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    bench->epoch_ns = (uint64_t)wall.tv_sec * NS_PER_S + (uint64_t)wall.tv_nsec - clock_now_ns();
    bench->counting = true;
    bench->rate_start_ns = clock_now_ns();
    bench->rate_issued = 0;
}

/* ---- requests ---- */

static uint64_t bench_draw_key(struct bench *bench)
{
    switch (bench->options.keys) {
    case BENCH_KEYS_FIXED: return 0;
    case BENCH_KEYS_SEQUENTIAL: return bench->keys_issued++;
    case BENCH_KEYS_RANDOM: return prng_below(&bench->prng, bench->options.key_count);
    }
    UNREACHABLE();
}

/* "k000...123": all keys have the same length. */
static struct slice bench_key(struct bench *bench, uint64_t number)
{
    for (uint32_t at = bench->options.key_bytes - 1; at > 0; at--) {
        bench->key[at] = (uint8_t)('0' + number % 10);
        number /= 10;
    }
    return (struct slice){ .bytes = bench->key, .count = bench->options.key_bytes };
}

static struct wire_target bench_target(const struct bench *bench, uint32_t slot_number)
{
    const struct slot *slot = &bench->slots[slot_number];
    const bool spread = bench->options.spread_reads && slot->read && slot->state == SLOT_WAITING;
    return (struct wire_target){
        .endpoint = spread ? slot_number % bench->wire.endpoint_count : bench->wire.leader,
        .lane = slot_number % bench->options.connections,
    };
}

/* Sends the slot's request: a registration if it needs a session first. */
static void bench_send(struct bench *bench, uint32_t slot_number)
{
    struct slot *slot = &bench->slots[slot_number];
    ASSERT(slot->has_request || !slot->read);
    const bool registers = !slot->read && slot->session == 0;
    slot->state = registers ? SLOT_REGISTERING : SLOT_WAITING;
    slot->generation++;
    struct request request = { .request_id = (uint64_t)slot->generation << 32 | slot_number, .kind = REQUEST_REGISTER };
    if (!registers) {
        request.key = bench_key(bench, slot->key);
        request.kind = bench->options.stale_reads ? REQUEST_GET_STALE : REQUEST_GET;
    }
    if (slot->read && bench->options.local_reads) {
        request.flags = REQUEST_FLAG_LOCAL;
        request.version = bench->options.staleness_ns;
    }
    if (!registers && !slot->read) {
        request.kind = REQUEST_PUT;
        request.session = slot->session;
        request.sequence = slot->sequence;
        request.value = (struct slice){ .bytes = bench->value, .count = bench->options.value_bytes };
    }
    request_encode(&request, bench->options.cluster_id, bench->frame);
    const struct slice frame = { .bytes = bench->frame, .count = request_bytes(&request) };
    if (!wire_queue(&bench->wire, bench_target(bench, slot_number), frame))
        bench->relocate = true; /* sent again then */
}

static bool bench_may_issue(const struct bench *bench)
{
    return !bench->counting || bench->options.count_max == 0 || bench->report.issued < bench->options.count_max;
}

static void bench_issue(struct bench *bench, uint64_t since_ns)
{
    ASSERT(bench->idle_count > 0);
    if (bench_outstanding(bench) == 0)
        bench->progress_ns = bench->now_ns;
    const uint32_t number = bench->idle[--bench->idle_count];
    struct slot *slot = &bench->slots[number];
    ASSERT(slot->state == SLOT_IDLE && !slot->has_request);
    slot->read = prng_chance(&bench->prng, bench->options.reads_percent, 100);
    slot->has_request = true;
    slot->counted = bench->counting;
    slot->key = bench_draw_key(bench);
    slot->since_ns = since_ns;
    slot->sequence += !slot->read;
    bench->report.issued++;
    bench_send(bench, number);
}

static uint64_t bench_due_ns(const struct bench *bench)
{
    const uint64_t rate = bench->options.rate;
    return bench->rate_start_ns + bench->rate_issued / rate * NS_PER_S + bench->rate_issued % rate * NS_PER_S / rate;
}

/* Issues what is due. Returns when to come back for the next; UINT64_MAX: when a slot gets idle. */
static uint64_t bench_fill(struct bench *bench)
{
    while (bench->idle_count > 0 && bench_may_issue(bench)) {
        if (bench->options.rate == 0) {
            bench_issue(bench, bench->now_ns);
            continue;
        }
        const uint64_t due_ns = bench_due_ns(bench);
        if (due_ns > bench->now_ns)
            return due_ns;
        bench->rate_issued++;
        bench_issue(bench, due_ns);
    }
    return UINT64_MAX;
}

/* ---- replies ---- */

static void bench_pause_for(struct bench *bench, uint32_t slot_number, uint64_t asked_ns)
{
    bench->slots[slot_number].state = SLOT_PAUSED;
    if (bench->paused_count++ == 0)
        bench->paused_until_ns = bench->now_ns + u64_max(pause_ns, asked_ns);
}

static void bench_pause(struct bench *bench, uint32_t slot_number) { bench_pause_for(bench, slot_number, 0); }

static void bench_idle(struct bench *bench, uint32_t slot_number)
{
    bench->slots[slot_number].state = SLOT_IDLE;
    bench->idle[bench->idle_count++] = slot_number;
}

/* Paused after an operation that was refused: there is nothing to send again. */
static bool bench_rests(const struct bench *bench, uint32_t slot_number)
{
    const struct slot *slot = &bench->slots[slot_number];
    return slot->state == SLOT_PAUSED && !slot->has_request && (slot->read || slot->session != 0);
}

static void bench_resume(struct bench *bench)
{
    bench->paused_count = 0;
    for (uint32_t number = 0; number < bench->options.inflight; number++) {
        if (bench->slots[number].state != SLOT_PAUSED)
            continue;
        if (bench_rests(bench, number)) {
            bench_idle(bench, number);
            continue;
        }
        bench->report.retries++;
        bench_send(bench, number);
    }
}

static void bench_sample(struct bench *bench, uint64_t latency_ns)
{
    if (bench->options.samples == NULL)
        return;
    const uint64_t end_ms = (bench->epoch_ns + bench->now_ns) / NS_PER_MS;
    fprintf(bench->options.samples, "%llu %llu\n", (unsigned long long)end_ms, (unsigned long long)latency_ns / 1000);
}

static void bench_end(struct bench *bench, uint32_t slot_number, bool executed)
{
    struct slot *slot = &bench->slots[slot_number];
    ASSERT(slot->has_request);
    slot->has_request = false;
    if (executed) {
        bench->report.executed_ns = bench->now_ns;
        if (!slot->read)
            bench->report.full_ns = 0;
        if (slot->counted) {
            bench_sample(bench, bench->now_ns - slot->since_ns);
            histogram_add(slot->read ? &bench->report.reads : &bench->report.writes, bench->now_ns - slot->since_ns);
        }
        bench_idle(bench, slot_number);
        return;
    }
    bench->report.failures += slot->counted;
    bench_pause(bench, slot_number); /* a store that is full stays full for a while */
}

/* A session is open: goes on with the write that waits for it, if any. */
static void bench_registered(struct bench *bench, uint32_t slot_number, uint64_t session)
{
    struct slot *slot = &bench->slots[slot_number];
    slot->session = session;
    slot->sequence = slot->has_request;
    if (slot->has_request) {
        bench_send(bench, slot_number);
        return;
    }
    bench_idle(bench, slot_number);
}

static void bench_take(struct bench *bench, const struct reply *reply)
{
    const uint32_t number = (uint32_t)reply->request_id;
    if (number >= bench->options.inflight)
        return;
    struct slot *slot = &bench->slots[number];
    const bool waits = slot->state == SLOT_WAITING || slot->state == SLOT_REGISTERING;
    if (!waits || reply->request_id >> 32 != slot->generation)
        return;
    bench->report.statuses[reply->status]++;
    if (reply->status != REPLY_OK)
        bench->refusal = reply->status;
    switch (reply->status) {
    case REPLY_OK:
    case REPLY_NOT_FOUND:
        if (slot->state == SLOT_REGISTERING)
            bench_registered(bench, number, reply->session);
        else
            bench_end(bench, number, true);
        return;
    case REPLY_NOT_LEADER:
    case REPLY_UNKNOWN:
        bench->relocate = true;
        bench_pause(bench, number);
        return;
    case REPLY_BUSY: bench_pause_for(bench, number, reply->retry_after_ms * NS_PER_MS); return;
    case REPLY_NO_LEADER:
    case REPLY_LATE: bench_pause(bench, number); return;
    case REPLY_SESSION_EXPIRED:
        slot->session = 0;
        bench_pause(bench, number);
        return;
    case REPLY_NO_SPACE:
        if (bench->report.full_ns == 0)
            bench->report.full_ns = bench->now_ns;
        /* fall through */
    case REPLY_CONDITION_FAILED:
    case REPLY_TOO_LARGE:
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
    case REPLY_WRONG_CLUSTER:
        if (slot->state == SLOT_REGISTERING)
            bench_pause(bench, number);
        else
            bench_end(bench, number, false);
        return;
    }
}

static void bench_on_reply(void *context, uint64_t now_ns, const struct reply *reply)
{
    struct bench *bench = context;
    bench->now_ns = now_ns;
    bench->progress_ns = now_ns;
    bench_take(bench, reply);
}

/* ---- the leader ---- */

/* What a search for it has met. */
struct search {
    uint32_t answered; /* bit per endpoint */
    char last[128];    /* why one did not, while there was time */
};

static bool bench_find_leader(struct bench *bench, uint64_t deadline_ns, struct search *search)
{
    for (uint32_t slot = 0; slot < client_endpoint_count(bench->client); slot++) {
        struct node_status status;
        const uint64_t now_ns = clock_now_ns();
        client_set_timeout(bench->client, u64_max(deadline_ns, now_ns + NS_PER_MS) - now_ns);
        const bool answered = client_status(bench->client, slot, &status).outcome == CLIENT_OK;
        if (answered && status.role == RAFT_LEADER) {
            bench->wire.leader = slot;
            return true;
        }
        search->answered |= answered ? 1u << slot : 0;
        if (!answered && (search->last[0] == '\0' || clock_now_ns() < deadline_ns))
            snprintf(search->last, sizeof search->last, "%s", client_error_text(bench->client));
    }
    return false;
}

static void bench_tell_leaderless(const struct bench *bench, const struct search *search, char error[BENCH_ERROR_BYTES])
{
    const uint32_t count = client_endpoint_count(bench->client);
    const uint32_t answered = (uint32_t)__builtin_popcount(search->answered);
    const int written = snprintf(error, BENCH_ERROR_BYTES, "no leader at %.100s: %u of %u endpoint%s answered",
                                 bench->options.endpoints, answered, count, count == 1 ? "" : "s");
    char *rest = error + written;
    const size_t room = BENCH_ERROR_BYTES - (size_t)written;
    if (answered < count && search->last[0] != '\0')
        snprintf(rest, room, " (last: %s)", search->last);
    else if (answered > 0)
        snprintf(rest, room, ", and none of them leads");
}

/* Finds the leader and connects anew. Blocks: whatever waits meanwhile, waits for the leader. */
static bool bench_connect(struct bench *bench, uint64_t deadline_ns, char error[BENCH_ERROR_BYTES])
{
    struct search search = { .answered = 0 };
    wire_disconnect(&bench->wire);
    while (!bench_find_leader(bench, deadline_ns, &search)
           || !wire_connect(&bench->wire, bench->options.spread_reads, deadline_ns)) {
        bench->now_ns = clock_now_ns();
        if (bench->now_ns >= deadline_ns || bench_interrupted(bench)) {
            bench_tell_leaderless(bench, &search, error);
            return false;
        }
        nanosleep(&(struct timespec){ .tv_nsec = (long)(10 * NS_PER_MS) }, NULL);
    }
    bench->relocate = false;
    bench->leaderless_ns = 0;
    bench->now_ns = clock_now_ns();
    bench->progress_ns = bench->now_ns;
    return true;
}

/* False: `error`. True also when there is no leader yet, until then. */
static bool bench_relocate(struct bench *bench, uint64_t until_ns, char error[BENCH_ERROR_BYTES])
{
    if (bench->leaderless_ns == 0) {
        bench->leaderless_ns = clock_now_ns();
        bench->report.relocations++;
    }
    if (!bench_connect(bench, until_ns, error))
        return bench->now_ns < bench->leaderless_ns + BENCH_PATIENCE_S * NS_PER_S;
    bench->paused_count = 0;
    for (uint32_t number = 0; number < bench->options.inflight; number++) {
        if (bench_rests(bench, number))
            bench_idle(bench, number);
        if (bench->slots[number].state == SLOT_IDLE)
            continue;
        bench->report.retries++;
        bench_send(bench, number);
    }
    return true;
}

/* ---- the loop ---- */

/* One turn: waits for replies until next_ns at the latest, takes them, resumes and sends; or looks for the leader,
 * until until_ns at the latest. False: `error`. */
static bool bench_turn(struct bench *bench, uint64_t next_ns, uint64_t until_ns, char error[BENCH_ERROR_BYTES])
{
    if (!wire_flush(&bench->wire))
        bench->relocate = true;
    if (!bench->relocate) {
        const bool busy = bench_outstanding(bench) > 0;
        const uint64_t patience_ns = busy ? bench->progress_ns + stall_ns : UINT64_MAX;
        const uint64_t pause_end_ns = bench->paused_count > 0 ? bench->paused_until_ns : UINT64_MAX;
        const uint64_t wake_ns = u64_min(u64_min(next_ns, until_ns), u64_min(patience_ns, pause_end_ns));
        if (!wire_wait(&bench->wire, wake_ns, bench_on_reply, bench))
            bench->relocate = true;
        bench->now_ns = clock_now_ns();
        if (busy && bench->now_ns >= bench->progress_ns + stall_ns)
            bench->relocate = true;
    }
    if (bench->relocate)
        return bench_relocate(bench, until_ns, error);
    if (bench->paused_count > 0 && bench->now_ns >= bench->paused_until_ns)
        bench_resume(bench);
    return true;
}

bool bench_prepare(struct bench *bench, uint64_t deadline_ns, char error[BENCH_ERROR_BYTES])
{
    if (!bench_connect(bench, deadline_ns, error))
        return false;
    if (bench->options.reads_percent < 100) {
        while (bench->idle_count > 0)
            bench_send(bench, bench->idle[--bench->idle_count]);
    }
    while (bench_outstanding(bench) > 0) {
        if (bench->report.full_ns != 0) {
            snprintf(error, BENCH_ERROR_BYTES, "%s: no space: the store of the cluster is full", bench_leader(bench));
            return false;
        }
        if (clock_now_ns() >= deadline_ns) {
            snprintf(error, BENCH_ERROR_BYTES, "%s: %u of %u sessions were not opened in time; last: %s",
                     bench_leader(bench), bench_outstanding(bench), bench->options.inflight,
                     reply_status_text(bench->refusal));
            return false;
        }
        if (bench_interrupted(bench)
            || !bench_turn(bench, UINT64_MAX, u64_min(deadline_ns, clock_now_ns() + NS_PER_S), error))
            return false;
    }
    bench->now_ns = clock_now_ns();
    bench->rate_start_ns = bench->now_ns;
    return true;
}

int bench_run(struct bench *bench, uint64_t until_ns, char error[BENCH_ERROR_BYTES])
{
    bench->now_ns = clock_now_ns();
    while (bench->now_ns < until_ns && !bench_interrupted(bench)) {
        const uint64_t next_ns = bench_fill(bench);
        if (!bench_may_issue(bench) && bench_outstanding(bench) == 0)
            return 0;
        if (!bench_turn(bench, next_ns, until_ns, error))
            return -1;
    }
    return 1;
}

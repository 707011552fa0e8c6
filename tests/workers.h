/* Clients that work on a real cluster while something is done to it, and the verdict on what they saw: they put, get,
 * append, delete, compare-and-set and run transactions on few keys. Every call goes into a history with its interval on
 * one monotonic clock, and the checker that judges the simulator judges that, too. */
#ifndef WW_WORKERS_H
#define WW_WORKERS_H

#include "../core/prng.h"
#include "../core/replica.h"
#include "../io/client.h"
#include "../sim/linear.h"

#include <pthread.h>
#include <stdatomic.h>

#include "process.h"

enum {
    CLIENTS = 6,
    KEYS = 6,               /* transactions tie them together in pairs */
    OPERATIONS_MAX = 40000, /* of one client */
    CALL_TIMEOUT_MS = 8000,
};

static const uint64_t search_steps_max = 200000000;

struct worker {
    pthread_t thread;
    uint32_t number;
    const struct cluster *cluster;
    struct client *client;
    struct client *reader; /* its reads are local ones; NULL: they go to the leader */
    struct prng prng;
    uint64_t known[KEYS]; /* a version that each key had once */
    struct linear_op *ops;
    uint32_t op_count;
    uint32_t unknown;
    uint32_t refused;
};

static atomic_bool stopping;

static inline struct slice key_text(uint32_t key)
{
    static const char *const names[KEYS] = { "apple", "birch", "cedar", "dogwood", "elm", "fig" };
    return client_text(names[key]);
}

/* ---- one call and its place in the history ---- */

static inline struct client_result call_txn(struct worker *worker, struct linear_op *op, struct slice value)
{
    const uint32_t other = op->key ^ 1;
    const struct txn_clause clauses[] = {
        { .kind = TXN_IF_EQUAL, .key = key_text(op->key), .version = worker->known[op->key] },
        { .kind = TXN_THEN_PUT, .key = key_text(op->key), .value = value },
        { .kind = TXN_THEN_APPEND, .key = key_text(other), .value = value },
        { .kind = TXN_ELSE_APPEND, .key = key_text(op->key), .value = value },
        { .kind = TXN_ELSE_DELETE, .key = key_text(other) },
    };
    struct client_txn *txn = client_txn_new();
    ASSERT(txn != NULL);
    op->part_count = ARRAY_COUNT(clauses);
    for (uint32_t slot = 0; slot < ARRAY_COUNT(clauses); slot++) {
        const bool mine = clauses[slot].key.bytes == key_text(op->key).bytes;
        op->parts[slot] = (struct linear_part){ .kind = (uint8_t)clauses[slot].kind,
                                                .key = mine ? op->key : other,
                                                .version = clauses[slot].version,
                                                .value = linear_value_of(clauses[slot].value) };
        ASSERT(client_txn_add(txn, &clauses[slot]) == 0);
    }
    const struct client_result result = client_txn_commit(worker->client, txn);
    client_txn_free(txn);
    return result;
}

static inline struct client_result call(struct worker *worker, struct linear_op *op, struct slice value)
{
    const struct slice key = key_text(op->key);
    switch (op->kind) {
    case LINEAR_GET:
        return worker->reader != NULL ? client_get_local(worker->reader, key, 0) : client_get(worker->client, key);
    case LINEAR_PUT: return client_put(worker->client, key, value);
    case LINEAR_DELETE: return client_delete(worker->client, key);
    case LINEAR_APPEND: return client_append(worker->client, key, value);
    case LINEAR_CAS: return client_cas(worker->client, key, op->expected, value);
    case LINEAR_TXN: return call_txn(worker, op, value);
    }
    UNREACHABLE();
}

static inline enum linear_outcome outcome_of(const struct client_result *result)
{
    if (result->outcome == CLIENT_UNKNOWN)
        return LINEAR_UNKNOWN;
    if (result->outcome == CLIENT_OK)
        return LINEAR_OK;
    if (result->reason == CLIENT_NOT_FOUND)
        return LINEAR_NOT_FOUND;
    return result->reason == CLIENT_CONDITION_FAILED ? LINEAR_FAILED : LINEAR_REFUSED;
}

static inline void perform(struct worker *worker, enum linear_kind kind, uint32_t key, uint64_t expected)
{
    ASSERT(worker->op_count < OPERATIONS_MAX);
    char text[32];
    struct linear_op *op = &worker->ops[worker->op_count++];
    *op = (struct linear_op){ .kind = kind, .key = key, .client = worker->number, .expected = expected };
    snprintf(text, sizeof text, "%u.%u;", (unsigned)worker->number, (unsigned)worker->op_count);
    const bool writes = kind != LINEAR_GET && kind != LINEAR_DELETE;
    if (writes)
        op->value = linear_value_of(client_text(text));
    op->invoked = clock_now_ns();
    const struct client_result result = call(worker, op, client_text(text));
    op->returned = clock_now_ns();
    op->outcome = outcome_of(&result);
    op->version = result.version;
    if (kind == LINEAR_GET && op->outcome == LINEAR_OK)
        op->value = linear_value_of(result.value);
    if (op->outcome == LINEAR_UNKNOWN) {
        op->returned = UINT64_MAX;
        op->version = 0;
        worker->unknown++;
    }
    if (op->outcome == LINEAR_REFUSED) {
        if (worker->refused++ < 3)
            printf("client %u: %s\n", (unsigned)worker->number, client_error_text(worker->client));
    } else if (op->outcome != LINEAR_UNKNOWN && kind != LINEAR_TXN) {
        worker->known[key] = result.version;
    }
}

static inline void *worker_main(void *argument)
{
    struct worker *worker = argument;
    while (!atomic_load(&stopping) && worker->op_count < OPERATIONS_MAX - KEYS) {
        const uint32_t key = (uint32_t)prng_below(&worker->prng, KEYS);
        const uint64_t draw = prng_below(&worker->prng, 100);
        const enum linear_kind kind = draw < 35   ? LINEAR_GET
                                      : draw < 55 ? LINEAR_PUT
                                      : draw < 70 ? LINEAR_APPEND
                                      : draw < 75 ? LINEAR_DELETE
                                      : draw < 88 ? LINEAR_CAS
                                                  : LINEAR_TXN;
        const uint64_t expected =
            kind != LINEAR_CAS || prng_chance(&worker->prng, 1, 4) ? 0 : worker->known[key]; /* 0: put if absent */
        perform(worker, kind, key, expected);
        const struct timespec pause = { .tv_nsec = (long)prng_below(&worker->prng, 4 * NS_PER_MS) };
        nanosleep(&pause, NULL);
    }
    return NULL;
}

/* One that asks this node before the others. */
static inline struct client *client_of_node(const struct cluster *cluster, uint32_t node, uint64_t timeout_ms)
{
    char endpoints[2 * PATH_BYTES];
    snprintf(endpoints, sizeof endpoints, "%s", cluster->address[node]);
    for (uint32_t at = 1; at < cluster->node_count; at++) {
        const size_t used = strlen(endpoints);
        snprintf(endpoints + used, sizeof endpoints - used, ",%s", cluster->address[(node + at) % cluster->node_count]);
    }
    const struct client_options options = { .endpoints = endpoints, .timeout_ns = timeout_ms * NS_PER_MS };
    struct client *client = NULL;
    ASSERT(client_open(&options, &client) == 0);
    return client;
}

/* Local reads by turns at all nodes, from the next workers_start() on. */
static bool workers_read_locally;

static inline void workers_start(struct worker workers[CLIENTS], const struct cluster *cluster, uint64_t seed)
{
    atomic_store(&stopping, false);
    for (uint32_t slot = 0; slot < CLIENTS; slot++) {
        struct worker *worker = &workers[slot];
        *worker = (struct worker){ .number = slot, .cluster = cluster };
        worker->client = cluster_client(cluster, CALL_TIMEOUT_MS);
        if (workers_read_locally)
            worker->reader = client_of_node(cluster, slot % cluster->node_count, CALL_TIMEOUT_MS);
        worker->ops = calloc(OPERATIONS_MAX, sizeof *worker->ops);
        ASSERT(worker->ops != NULL);
        prng_seed(&worker->prng, seed + slot + 1);
        ASSERT(pthread_create(&worker->thread, NULL, worker_main, worker) == 0);
    }
}

static inline void workers_stop(struct worker workers[CLIENTS])
{
    atomic_store(&stopping, true);
    for (uint32_t slot = 0; slot < CLIENTS; slot++)
        pthread_join(workers[slot].thread, NULL);
}

/* ---- the verdict ---- */

/* The same history without one acknowledged write that somebody read: the checker must notice. */
static inline void judge_history_with_a_lost_write(struct linear_op *history, uint32_t count)
{
    for (uint32_t read = 0; read < count; read++) {
        if (history[read].kind != LINEAR_GET || history[read].outcome != LINEAR_OK)
            continue;
        for (uint32_t write = 0; write < count; write++) {
            if (history[write].kind != LINEAR_PUT || history[write].outcome != LINEAR_OK
                || history[write].version != history[read].version)
                continue;
            history[write].outcome = LINEAR_REFUSED;
            EXPECT_EQUAL(linear_check(history, count, search_steps_max).verdict, LINEAR_VIOLATION);
            return;
        }
    }
    EXPECT(false); /* nobody read what somebody had put */
}

static inline void judge(const struct worker workers[CLIENTS])
{
    uint32_t count = 0;
    uint32_t unknown = 0;
    uint32_t refused = 0;
    for (uint32_t slot = 0; slot < CLIENTS; slot++)
        count += workers[slot].op_count;
    struct linear_op *history = calloc(count, sizeof *history);
    ASSERT(history != NULL);
    uint32_t filled = 0;
    for (uint32_t slot = 0; slot < CLIENTS; slot++) {
        memcpy(history + filled, workers[slot].ops, workers[slot].op_count * sizeof *history);
        filled += workers[slot].op_count;
        unknown += workers[slot].unknown;
        refused += workers[slot].refused;
    }
    const struct linear_report report = linear_check(history, count, search_steps_max);
    printf("%u calls, %u unknown, %u refused; search of %u components took %llu steps\n", (unsigned)count,
           (unsigned)unknown, (unsigned)refused, (unsigned)report.components, (unsigned long long)report.steps);
    if (report.verdict == LINEAR_VIOLATION) {
        const struct linear_op *op = &history[report.stuck_op];
        printf("cannot be placed: client %u, kind %d, key %u, outcome %d, version %llu, after %llu.%06llu s\n",
               (unsigned)op->client, (int)op->kind, (unsigned)op->key, (int)op->outcome,
               (unsigned long long)op->version, (unsigned long long)(op->invoked / NS_PER_S),
               (unsigned long long)(op->invoked % NS_PER_S / 1000));
    }
    EXPECT_EQUAL(report.verdict, LINEAR_ACCEPTED);
    judge_history_with_a_lost_write(history, count);
    free(history);
    EXPECT(count > 1000);
    EXPECT(unknown < count / 20);
    EXPECT(refused < count / 20);
}

#endif

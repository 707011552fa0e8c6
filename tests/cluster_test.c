/* Real nodes under kill -9, and some whose disks are lost: concurrent clients, and the checker that judges the
 * simulator too.
 *
 * Clients put, get, append, delete, compare-and-set and run transactions on few keys while nodes are killed at random,
 * the leader among them, and restarted on their data; at least three of five stay up, rarely all five. Every call goes
 * into a history with its interval on one monotonic clock. */
#include "../core/prng.h"
#include "../core/replica.h"
#include "../io/client.h"
#include "../sim/linear.h"

#include <pthread.h>
#include <stdatomic.h>

#include "process.h"

enum {
    NODES = 5,
    CLIENTS = 6,
    KEYS = 6, /* transactions tie them together in pairs */
    KILLS = 32,
    OPERATIONS_MAX = 40000, /* of one client */
    CALL_TIMEOUT_MS = 8000,
};

static const uint64_t search_steps_max = 200000000;

struct worker {
    pthread_t thread;
    uint32_t number;
    const struct cluster *cluster;
    struct client *client;
    struct prng prng;
    uint64_t known[KEYS]; /* a version that each key had once */
    struct linear_op *ops;
    uint32_t op_count;
    uint32_t unknown;
    uint32_t refused;
};

static atomic_bool stopping;

static struct slice key_text(uint32_t key)
{
    static const char *const names[KEYS] = { "apple", "birch", "cedar", "dogwood", "elm", "fig" };
    return client_text(names[key]);
}

/* ---- one call and its place in the history ---- */

static struct client_result call_txn(struct worker *worker, struct linear_op *op, struct slice value)
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

static struct client_result call(struct worker *worker, struct linear_op *op, struct slice value)
{
    const struct slice key = key_text(op->key);
    switch (op->kind) {
    case LINEAR_GET: return client_get(worker->client, key);
    case LINEAR_PUT: return client_put(worker->client, key, value);
    case LINEAR_DELETE: return client_delete(worker->client, key);
    case LINEAR_APPEND: return client_append(worker->client, key, value);
    case LINEAR_CAS: return client_cas(worker->client, key, op->expected, value);
    case LINEAR_TXN: return call_txn(worker, op, value);
    }
    UNREACHABLE();
}

static enum linear_outcome outcome_of(const struct client_result *result)
{
    if (result->outcome == CLIENT_UNKNOWN)
        return LINEAR_UNKNOWN;
    if (result->outcome == CLIENT_OK)
        return LINEAR_OK;
    if (result->reason == CLIENT_NOT_FOUND)
        return LINEAR_NOT_FOUND;
    return result->reason == CLIENT_CONDITION_FAILED ? LINEAR_FAILED : LINEAR_REFUSED;
}

static void perform(struct worker *worker, enum linear_kind kind, uint32_t key, uint64_t expected)
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

static void *worker_main(void *argument)
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

static void workers_start(struct worker workers[CLIENTS], const struct cluster *cluster, uint64_t seed)
{
    atomic_store(&stopping, false);
    for (uint32_t slot = 0; slot < CLIENTS; slot++) {
        struct worker *worker = &workers[slot];
        *worker = (struct worker){ .number = slot, .cluster = cluster };
        worker->client = cluster_client(cluster, CALL_TIMEOUT_MS);
        worker->ops = calloc(OPERATIONS_MAX, sizeof *worker->ops);
        ASSERT(worker->ops != NULL);
        prng_seed(&worker->prng, seed + slot + 1);
        ASSERT(pthread_create(&worker->thread, NULL, worker_main, worker) == 0);
    }
}

static void workers_stop(struct worker workers[CLIENTS])
{
    atomic_store(&stopping, true);
    for (uint32_t slot = 0; slot < CLIENTS; slot++)
        pthread_join(workers[slot].thread, NULL);
}

/* ---- killing ---- */

/* Kills one node, now and then a second one, and brings back whatever was down. False: a node ended by itself. */
static bool havoc(struct cluster *cluster, struct prng *prng, uint32_t *kills, uint32_t *leader_kills)
{
    sleep_ms(150 + prng_below(prng, 400));
    const uint32_t rounds = prng_chance(prng, 1, 3) ? 2 : 1;
    for (uint32_t round = 0; round < rounds; round++) {
        const uint32_t leader = cluster_leader(cluster, 300);
        const bool aim = leader < NODES && prng_chance(prng, 1, 2);
        const uint32_t victim = aim ? leader : (uint32_t)prng_below(prng, NODES);
        if (cluster->pid[victim] == 0)
            continue;
        if (cluster_kill(cluster, victim, SIGKILL) != PROCESS_SIGNALED + SIGKILL)
            return false;
        ++*kills;
        *leader_kills += victim == leader;
        sleep_ms(prng_below(prng, 300));
    }
    sleep_ms(100 + prng_below(prng, 500));
    if (cluster_find_dead(cluster) < NODES)
        return false;
    cluster_start_all(cluster);
    return true;
}

/* ---- the verdict ---- */

/* The same history without one acknowledged write that somebody read: the checker must notice. */
static void judge_history_with_a_lost_write(struct linear_op *history, uint32_t count)
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

static void judge(const struct worker workers[CLIENTS])
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

/* ---- a lost disk ---- */

static void lose_disk(struct cluster *cluster, uint32_t slot)
{
    EXPECT_EQUAL(cluster_kill(cluster, slot, SIGKILL), PROCESS_SIGNALED + SIGKILL);
    nftw(cluster->data[slot], process_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    EXPECT(access(cluster->data[slot], F_OK) != 0);
}

/* The last flag is of the next start only. */
static void start_with(struct cluster *cluster, uint32_t slot, const char *flag)
{
    uint32_t last = 0;
    while (cluster->flags[last] != NULL)
        last++;
    cluster->flags[last] = flag;
    cluster_start(cluster, slot);
    cluster->flags[last] = NULL;
}

/* True: it is a voter like any other. */
static bool await_rejoined(const struct cluster *cluster, uint32_t slot, uint64_t timeout_ms)
{
    struct client *client = cluster_client(cluster, 500);
    const uint64_t deadline_ns = clock_now_ns() + timeout_ms * NS_PER_MS;
    bool whole = false;
    for (uint32_t seen = 0; !whole && clock_now_ns() < deadline_ns; sleep_ms(5)) {
        struct node_status status;
        if (client_status(client, slot, &status).outcome != CLIENT_OK || status.role == RAFT_STARTING)
            continue;
        whole = status.rejoin == REJOIN_WHOLE && !status.abstains;
        if (!whole && seen++ == 0)
            printf("node %u rejoins: %s\n", (unsigned)slot + 1, rejoin_state_text((enum rejoin_state)status.rejoin));
    }
    client_close(client);
    return whole;
}

static bool log_has(const struct cluster *cluster, uint32_t slot, const char *text)
{
    static char log[256 * 1024];
    char path[PATH_BYTES + 8];
    snprintf(path, sizeof path, "%s.log", cluster->data[slot]);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t count = fd < 0 ? 0 : read(fd, log, sizeof log - 1);
    log[count > 0 ? count : 0] = '\0';
    if (fd >= 0)
        close(fd);
    return strstr(log, text) != NULL;
}

/* Its disk goes while clients write. An empty directory is refused; one that rejoins is whole soon, and then counts:
 * with another node down, nothing is written without it. */
static void replace_disk(struct cluster *cluster, uint32_t victim)
{
    const uint32_t others[2] = { (victim + 1) % 3, (victim + 2) % 3 };
    lose_disk(cluster, victim);
    sleep_ms(500);
    cluster_start(cluster, victim);
    EXPECT_EQUAL(process_wait(cluster->pid[victim], 20000), 3);
    cluster->pid[victim] = 0;
    EXPECT(log_has(cluster, victim, stop_reason_text(STOP_DUPLICATE_NODE)));
    nftw(cluster->data[victim], process_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    start_with(cluster, victim, "--rejoin");
    EXPECT(await_rejoined(cluster, victim, 20000));
    EXPECT(log_has(cluster, victim, event_kind_text(EVENT_REJOINED)));
    for (uint32_t at = 0; at < 2; at++) {
        EXPECT_EQUAL(cluster_kill(cluster, others[at], SIGKILL), PROCESS_SIGNALED + SIGKILL);
        EXPECT(cluster_leader(cluster, 10000) < 3);
        sleep_ms(300);
        cluster_start(cluster, others[at]);
        EXPECT(cluster_leader(cluster, 10000) < 3);
        sleep_ms(300);
    }
}

TEST(a_node_whose_disk_was_lost_rejoins_while_clients_write)
{
    process_begin();
    static struct worker workers[CLIENTS];
    struct cluster cluster;
    cluster_init(&cluster, 3);
    cluster.flags[0] = "--wal-size=16M";
    cluster.flags[1] = "--election-timeout-ms=150";
    cluster.flags[2] = "--heartbeat-ms=25";
    cluster_start_all(&cluster);
    const uint32_t leader = cluster_leader(&cluster, 20000);
    EXPECT(leader < 3);
    workers_start(workers, &cluster, 1);
    sleep_ms(1000);
    replace_disk(&cluster, (leader + 1) % 3);
    replace_disk(&cluster, cluster_leader(&cluster, 10000));
    sleep_ms(300);
    workers_stop(workers);
    EXPECT_EQUAL(cluster_find_dead(&cluster), 3);
    EXPECT(cluster_agrees(&cluster, 20000));
    judge(workers);
    for (uint32_t slot = 0; slot < CLIENTS; slot++) {
        client_close(workers[slot].client);
        free(workers[slot].ops);
    }
    for (uint32_t slot = 0; slot < 3; slot++)
        EXPECT_EQUAL(cluster_kill(&cluster, slot, SIGTERM), 0);
    process_end();
}

static void survive(const char *io_flag)
{
    process_begin();
    static struct worker workers[CLIENTS];
    struct cluster cluster;
    struct prng prng;
    uint64_t seed = 0;
    ASSERT(getrandom(&seed, sizeof seed, 0) == (ssize_t)sizeof seed);
    prng_seed(&prng, seed);
    cluster_init(&cluster, NODES);
    cluster.flags[1] = io_flag;
    cluster.flags[2] = "--election-timeout-ms=150";
    cluster.flags[3] = "--heartbeat-ms=25";
    cluster_start_all(&cluster);
    EXPECT(cluster_leader(&cluster, 20000) < NODES);

    uint32_t kills = 0;
    uint32_t leader_kills = 0;
    bool healthy = true;
    workers_start(workers, &cluster, seed);
    while (healthy && kills < KILLS)
        healthy = havoc(&cluster, &prng, &kills, &leader_kills);
    sleep_ms(300);
    workers_stop(workers);
    printf("%s: %u kills, %u of them of the leader, %u starts\n", io_flag, (unsigned)kills, (unsigned)leader_kills,
           (unsigned)cluster.starts);
    EXPECT(healthy);
    EXPECT(leader_kills > 0);

    /* All five down at once: what was acknowledged is on their disks. */
    for (uint32_t slot = 0; slot < NODES; slot++)
        EXPECT_EQUAL(cluster_kill(&cluster, slot, SIGKILL), PROCESS_SIGNALED + SIGKILL);
    cluster_start_all(&cluster);
    client_set_timeout(workers[0].client, 20 * NS_PER_S);
    for (uint32_t key = 0; key < KEYS; key++) {
        perform(&workers[0], LINEAR_GET, key, 0);
        const enum linear_outcome outcome = workers[0].ops[workers[0].op_count - 1].outcome;
        EXPECT(outcome == LINEAR_OK || outcome == LINEAR_NOT_FOUND);
    }
    EXPECT(cluster_agrees(&cluster, 20000));
    judge(workers);
    for (uint32_t slot = 0; slot < CLIENTS; slot++) {
        client_close(workers[slot].client);
        free(workers[slot].ops);
    }
    for (uint32_t slot = 0; slot < NODES; slot++)
        EXPECT_EQUAL(cluster_kill(&cluster, slot, SIGTERM), 0);
    process_end();
}

TEST(no_acknowledged_write_is_lost_when_nodes_are_killed) { survive("--io=auto"); }

TEST(no_acknowledged_write_is_lost_when_nodes_are_killed_on_epoll) { survive("--io=epoll"); }

TEST_MAIN()

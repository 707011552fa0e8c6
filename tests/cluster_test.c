/* Real nodes under kill -9, and some whose disks are lost: concurrent clients, and the checker that judges the
 * simulator too.
 *
 * Clients put, get, append, delete, compare-and-set and run transactions on few keys while nodes are killed at random,
 * the leader among them, and restarted on their data; at least three of five stay up, rarely all five. Every call goes
 * into a history with its interval on one monotonic clock. */
#include "../io/client.h"
#include "../sim/linear.h"

#include "workers.h"

enum {
    NODES = 5,
    KILLS = 32,
};

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

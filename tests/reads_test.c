/* Reads at any node of a real cluster (core/read.h): local ones are linearizable, and bounded ones not older than they
 * may be, while nodes are killed, and stopped and continued. All processes of a machine share its monotonic clock, so
 * the bound is checked to the nanosecond. */
#include "../io/client.h"
#include "../sim/linear.h"

#include "workers.h"

enum {
    NODES = 3,
    READERS = NODES,
    PUTS_MAX = 200000,
    ROUNDS = 6,
    BOUND_MS = 40,
    READ_TIMEOUT_MS = 400,
};

static void found(struct cluster *cluster)
{
    cluster_init(cluster, NODES);
    cluster->flags[0] = "--wal-size=160M";
    cluster->flags[1] = "--election-timeout-ms=150";
    cluster->flags[2] = "--heartbeat-ms=25";
    cluster_start_all(cluster);
    EXPECT(cluster_leader(cluster, 20000) < NODES);
}

static void end(struct cluster *cluster)
{
    EXPECT_EQUAL(cluster_find_dead(cluster), NODES);
    for (uint32_t slot = 0; slot < NODES; slot++)
        EXPECT_EQUAL(cluster_kill(cluster, slot, SIGTERM), 0);
    process_end();
}

/* Every second time the leader: by force, or by silence that is longer than its followers wait. */
static void disturb(struct cluster *cluster, uint32_t round)
{
    const uint32_t leader = cluster_leader(cluster, 10000);
    EXPECT(leader < NODES);
    const uint32_t victim = (leader + (round % 2) * (1 + round / 2 % 2)) % NODES;
    if (round % 4 < 2) {
        EXPECT_EQUAL(cluster_kill(cluster, victim, SIGKILL), PROCESS_SIGNALED + SIGKILL);
        sleep_ms(400);
        cluster_start(cluster, victim);
    } else {
        EXPECT(kill(cluster->pid[victim], SIGSTOP) == 0);
        sleep_ms(600);
        EXPECT(kill(cluster->pid[victim], SIGCONT) == 0);
    }
    sleep_ms(500);
}

TEST(local_reads_are_linearizable_at_every_node)
{
    process_begin();
    static struct worker workers[CLIENTS];
    struct cluster cluster;
    found(&cluster);
    workers_read_locally = true;
    workers_start(workers, &cluster, 1);
    for (uint32_t round = 0; round < ROUNDS; round++)
        disturb(&cluster, round);
    workers_stop(workers);
    judge(workers);
    for (uint32_t slot = 0; slot < CLIENTS; slot++) {
        client_close(workers[slot].client);
        client_close(workers[slot].reader);
        free(workers[slot].ops);
    }
    end(&cluster);
}

/* ---- bounded reads ---- */

/* Puts the numbers 1, 2, 3... and remembers when each was acknowledged. */
struct counter {
    pthread_t thread;
    struct client *client;
    atomic_uint acked; /* acked_ns[1..acked] are known */
    uint64_t acked_ns[PUTS_MAX + 1];
};

struct reader {
    pthread_t thread;
    struct client *client;
    struct counter *counter;
    uint32_t reads;
    uint32_t bounded;
    uint32_t too_old;
};

static void *counter_main(void *argument)
{
    struct counter *counter = argument;
    for (uint32_t number = 1; !atomic_load(&stopping) && number <= PUTS_MAX; number++) {
        char text[16];
        snprintf(text, sizeof text, "%u", (unsigned)number);
        /* Whatever becomes of one: the next is larger, and what it acknowledges covers it. */
        if (client_put(counter->client, client_text("counter"), client_text(text)).outcome == CLIENT_OK) {
            const uint64_t now_ns = clock_now_ns();
            for (uint32_t at = atomic_load(&counter->acked) + 1; at <= number; at++)
                counter->acked_ns[at] = now_ns;
            atomic_store(&counter->acked, number);
        }
    }
    return NULL;
}

/* The largest number that was acknowledged by then. */
static uint32_t acked_before(struct counter *counter, uint64_t then_ns)
{
    uint32_t number = atomic_load(&counter->acked);
    while (number > 0 && counter->acked_ns[number] > then_ns)
        number--;
    return number;
}

static void *reader_main(void *argument)
{
    struct reader *reader = argument;
    while (!atomic_load(&stopping)) {
        const uint64_t begun_ns = clock_now_ns();
        const struct client_result result =
            client_get_local(reader->client, client_text("counter"), BOUND_MS * NS_PER_MS);
        if (result.outcome != CLIENT_OK)
            continue;
        char text[16] = "";
        memcpy(text, result.value.bytes, u32_min(result.value.count, sizeof text - 1));
        reader->reads++;
        reader->bounded += result.bounded;
        reader->too_old += strtoul(text, NULL, 10) < acked_before(reader->counter, begun_ns - BOUND_MS * NS_PER_MS);
    }
    return NULL;
}

TEST(bounded_reads_are_not_older_than_they_may_be)
{
    process_begin();
    static struct counter counter;
    static struct reader readers[READERS];
    struct cluster cluster;
    found(&cluster);
    atomic_store(&stopping, false);
    counter.client = cluster_client(&cluster, CALL_TIMEOUT_MS);
    ASSERT(pthread_create(&counter.thread, NULL, counter_main, &counter) == 0);
    for (uint32_t slot = 0; slot < READERS; slot++) {
        readers[slot] =
            (struct reader){ .client = client_of_node(&cluster, slot, READ_TIMEOUT_MS), .counter = &counter };
        ASSERT(pthread_create(&readers[slot].thread, NULL, reader_main, &readers[slot]) == 0);
    }
    for (uint32_t round = 0; round < ROUNDS; round++)
        disturb(&cluster, round);
    atomic_store(&stopping, true);
    pthread_join(counter.thread, NULL);
    for (uint32_t slot = 0; slot < READERS; slot++) {
        pthread_join(readers[slot].thread, NULL);
        printf("reader %u: %u reads, %u from what was known, %u too old\n", (unsigned)slot,
               (unsigned)readers[slot].reads, (unsigned)readers[slot].bounded, (unsigned)readers[slot].too_old);
        EXPECT_EQUAL(readers[slot].too_old, 0);
        EXPECT(readers[slot].reads > 100 && readers[slot].bounded > readers[slot].reads / 10);
        client_close(readers[slot].client);
    }
    printf("%u puts\n", (unsigned)atomic_load(&counter.acked));
    EXPECT(atomic_load(&counter.acked) > 100);
    client_close(counter.client);
    end(&cluster);
}

/* A node that hears nobody answers from what it knows as long as it may, and then says that it cannot. */
TEST(a_node_alone_answers_bounded_reads_for_a_while_and_stale_ones_for_ever)
{
    process_begin();
    struct cluster cluster;
    found(&cluster);
    const uint32_t leader = cluster_leader(&cluster, 10000), alone = (leader + 1) % NODES;
    struct client *writer = cluster_client(&cluster, CALL_TIMEOUT_MS);
    const struct client_options options = { .endpoints = cluster.address[alone],
                                            .timeout_ns = READ_TIMEOUT_MS * NS_PER_MS };
    struct client *reader = NULL;
    ASSERT(client_open(&options, &reader) == 0);
    EXPECT(client_put(writer, client_text("a"), client_text("1")).outcome == CLIENT_OK);
    const struct client_result first = client_get_local(reader, client_text("a"), 0);
    EXPECT(first.outcome == CLIENT_OK && !first.bounded && !first.stale);
    for (uint32_t slot = 0; slot < NODES; slot++)
        if (slot != alone)
            EXPECT(kill(cluster.pid[slot], SIGSTOP) == 0);
    EXPECT(client_get_local(reader, client_text("a"), 3600 * NS_PER_S).bounded);
    EXPECT(client_get_stale(reader, client_text("a")).stale);
    sleep_ms(500);
    EXPECT(client_get_local(reader, client_text("a"), 3600 * NS_PER_S).bounded);
    const struct client_result late = client_get_local(reader, client_text("a"), 500 * NS_PER_MS);
    EXPECT(late.outcome == CLIENT_FAILED && late.reason == CLIENT_NO_LEADER);
    for (uint32_t slot = 0; slot < NODES; slot++)
        if (slot != alone)
            EXPECT(kill(cluster.pid[slot], SIGCONT) == 0);
    EXPECT(cluster_leader(&cluster, 10000) < NODES);
    client_set_timeout(reader, 10 * NS_PER_S);
    EXPECT(client_get_local(reader, client_text("a"), 0).outcome == CLIENT_OK);
    client_close(reader);
    client_close(writer);
    end(&cluster);
}

TEST_MAIN()

/* Deadlines at a real node: what it finds when it wakes up, its client has given up. */
#include "../io/client.h"

#include "process.h"
#include "test.h"

static struct cluster cluster;

static struct slice text(const char *bytes) { return client_text(bytes); }

TEST(a_node_that_was_stopped_does_not_execute_what_nobody_waits_for_any_more)
{
    process_begin();
    cluster_init(&cluster, 1);
    cluster_start_all(&cluster);
    struct client *hurried = cluster_client(&cluster, 10000);
    struct client *patient = cluster_client(&cluster, 10000);
    EXPECT_EQUAL(client_put(hurried, text("first"), text("1")).outcome, CLIENT_OK);
    client_set_timeout(hurried, 300 * NS_PER_MS);
    for (uint32_t round = 0; round < 3; round++) {
        EXPECT_EQUAL(kill(cluster.pid[0], SIGSTOP), 0);
        const struct client_result result = client_put(hurried, text("late"), text("1"));
        EXPECT_EQUAL(result.outcome, CLIENT_UNKNOWN);
        sleep_ms(700);
        EXPECT_EQUAL(kill(cluster.pid[0], SIGCONT), 0);
        /* Whatever the node found is decided before this is answered, and a while later. */
        EXPECT_EQUAL(client_get(patient, text("late")).reason, CLIENT_NOT_FOUND);
        sleep_ms(100);
        EXPECT_EQUAL(client_get(patient, text("late")).reason, CLIENT_NOT_FOUND);
    }
    client_set_timeout(hurried, 5000 * NS_PER_MS);
    EXPECT_EQUAL(client_put(hurried, text("late"), text("2")).outcome, CLIENT_OK);
    client_close(hurried);
    client_close(patient);
    EXPECT_EQUAL(cluster_kill(&cluster, 0, SIGTERM), 0);
    process_end();
}

TEST_MAIN()

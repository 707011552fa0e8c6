/* Real nodes that come, go and move while clients write: raftd --join, raftctl member, and what becomes of a node that
 * was removed. */
#include <fcntl.h>

#include "../io/client.h"
#include "../sim/linear.h"

#include "workers.h"

enum { OLD_NODES = 5, ALL_NODES = 2 * OLD_NODES, EXIT_REMOVED = 4, REMOVAL_MS = 10000 };

#define MEMBER(cluster, ...) \
    RUN("raftctl", "--endpoints", (cluster)->endpoints, "--timeout", "10s", "member", __VA_ARGS__)

static void expect_member(const struct process_result *result, int status, const char *says)
{
    const char *text = status == 0 ? result->out : result->error;
    if (result->status != status || strstr(text, says) == NULL)
        printf("expected status %d and '%s', not %d and: %s%s", status, says, result->status, result->out,
               result->error);
    EXPECT_EQUAL(result->status, status);
    EXPECT(strstr(text, says) != NULL);
}

/* The first of its nodes are the cluster, the others join it. */
static void cluster_found(struct cluster *cluster, uint32_t node_count, uint32_t founders)
{
    cluster_init(cluster, node_count);
    cluster->founders = founders;
    cluster->flags[0] = "--wal-size=16M";
    cluster->flags[1] = "--election-timeout-ms=150";
    cluster->flags[2] = "--heartbeat-ms=25";
    for (char *at = cluster->members, *next = NULL; founders < node_count; at = next + 1) {
        next = strchr(at, ',');
        ASSERT(next != NULL);
        if (strtoul(next + 1, NULL, 10) <= founders)
            continue;
        *next = '\0';
        break;
    }
    for (uint32_t slot = 0; slot < founders; slot++)
        cluster_start(cluster, slot);
    EXPECT(cluster_leader(cluster, 20000) < founders);
}

static const char *place_of(const struct cluster *cluster, uint32_t slot, char text[64])
{
    snprintf(text, 64, "%u=%s", (unsigned)slot + 1, cluster->address[slot]);
    return text;
}

static const char *id_of(uint32_t slot, char text[16])
{
    snprintf(text, 16, "%u", (unsigned)slot + 1);
    return text;
}

/* It says why, and its status is of that reason only. */
static void expect_removed(struct cluster *cluster, uint32_t slot)
{
    EXPECT_EQUAL(process_wait(cluster->pid[slot], REMOVAL_MS), EXIT_REMOVED);
    cluster->pid[slot] = 0;
    EXPECT(cluster_log_says(cluster, slot, stop_reason_text(STOP_REMOVED), 0));
}

/* By one joint change, or by two changes of one node each. */
static void move_node(struct cluster *cluster, uint32_t old)
{
    const uint32_t new = old + OLD_NODES;
    char place[64], id[16], new_id[16];
    struct process_result result;
    id_of(old, id);
    id_of(new, new_id);
    place_of(cluster, new, place);
    cluster_start(cluster, new);
    EXPECT(cluster_log_says(cluster, new, "ready", 20000));
    switch (old % 3) {
    case 0:
        result = MEMBER(cluster, "replace", id, place);
        expect_member(&result, 0, "committed");
        break;
    case 1:
        result = MEMBER(cluster, "add", place);
        expect_member(&result, 0, "learners");
        result = MEMBER(cluster, "promote", new_id);
        expect_member(&result, 0, "voters");
        result = MEMBER(cluster, "remove", id);
        expect_member(&result, 0, "voters");
        break;
    default:
        result = MEMBER(cluster, "add", "--voter", place);
        expect_member(&result, 0, "voters");
        result = MEMBER(cluster, "remove", id);
        expect_member(&result, 0, "voters");
        break;
    }
    expect_removed(cluster, old);
}

TEST(a_cluster_under_load_moves_node_by_node_to_five_other_nodes)
{
    process_begin();
    static struct worker workers[CLIENTS];
    struct cluster cluster;
    cluster_found(&cluster, ALL_NODES, OLD_NODES);
    workers_start(workers, &cluster, 7);
    for (uint32_t old = 0; old < OLD_NODES; old++)
        move_node(&cluster, old);
    sleep_ms(300);
    workers_stop(workers);
    EXPECT_EQUAL(cluster_find_dead(&cluster), ALL_NODES);
    EXPECT(cluster_agrees(&cluster, 20000));
    for (uint32_t slot = 0; slot < CLIENTS; slot++)
        EXPECT_EQUAL(workers[slot].refused, 0);
    judge(workers);
    const struct process_result result = MEMBER(&cluster, "list");
    for (uint32_t slot = 0; slot < ALL_NODES; slot++)
        EXPECT((strstr(result.out, cluster.address[slot]) != NULL) == (slot >= OLD_NODES));
    for (uint32_t slot = 0; slot < CLIENTS; slot++) {
        client_close(workers[slot].client);
        free(workers[slot].ops);
    }
    for (uint32_t slot = OLD_NODES; slot < ALL_NODES; slot++)
        EXPECT_EQUAL(cluster_kill(&cluster, slot, SIGTERM), 0);
    process_end();
}

/* Its directory says where it is from then on, and what its flags still say of the cluster is of no interest. */
TEST(a_member_moves_to_another_address)
{
    process_begin();
    struct cluster cluster;
    char place[64];
    cluster_found(&cluster, 3, 3);
    snprintf(cluster.address[2], sizeof cluster.address[2], "127.0.0.1:%u", (unsigned)process_free_port());
    const struct process_result result = MEMBER(&cluster, "move", place_of(&cluster, 2, place));
    expect_member(&result, 0, "voters 1 2 3");
    /* The change is committed as soon as two have it, and the third may not. */
    EXPECT(cluster_log_says(&cluster, 2, "configuration node=3", 10000));
    sleep_ms(300);
    EXPECT_EQUAL(cluster_kill(&cluster, 2, SIGTERM), 0);
    cluster_start(&cluster, 2);
    EXPECT(cluster_log_says(&cluster, 2, "names other members than --cluster; it rules", 10000));
    snprintf(cluster.endpoints, sizeof cluster.endpoints, "%s,%s,%s", cluster.address[0], cluster.address[1],
             cluster.address[2]);
    /* With another node down nothing is written without it. */
    EXPECT_EQUAL(cluster_kill(&cluster, 0, SIGKILL), PROCESS_SIGNALED + SIGKILL);
    struct client *client = cluster_client(&cluster, 15000);
    EXPECT_EQUAL(client_put(client, client_text("k"), client_text("v")).outcome, CLIENT_OK);
    client_close(client);
    EXPECT(cluster_agrees(&cluster, 10000));
    for (uint32_t slot = 1; slot < 3; slot++)
        EXPECT_EQUAL(cluster_kill(&cluster, slot, SIGTERM), 0);
    process_end();
}

TEST(what_must_not_be_changed_is_refused_with_the_reason)
{
    process_begin();
    struct cluster cluster;
    char place[64];
    cluster_found(&cluster, 4, 3);
    struct process_result result = MEMBER(&cluster, "remove", "9");
    expect_member(&result, 1, reply_status_text(REPLY_UNKNOWN_MEMBER));
    result = MEMBER(&cluster, "promote", "2");
    expect_member(&result, 1, reply_status_text(REPLY_WRONG_ROLE));
    snprintf(place, sizeof place, "4=%s", cluster.address[1]);
    result = MEMBER(&cluster, "add", place);
    expect_member(&result, 1, reply_status_text(REPLY_DUPLICATE_MEMBER));
    result = MEMBER(&cluster, "add", "4:here");
    expect_member(&result, 2, "ID=HOST:PORT");

    /* Where the third of three is down, the second is not to go. */
    const uint32_t leader = cluster_leader(&cluster, 10000);
    const uint32_t down = (leader + 1) % 3;
    char id[16];
    EXPECT_EQUAL(cluster_kill(&cluster, down, SIGKILL), PROCESS_SIGNALED + SIGKILL);
    sleep_ms(400);
    result = MEMBER(&cluster, "remove", id_of((leader + 2) % 3, id));
    expect_member(&result, 1, reply_status_text(REPLY_WOULD_LOSE_QUORUM));
    result = MEMBER(&cluster, "remove", id_of(down, id));
    expect_member(&result, 0, "committed");

    char data[PATH_BYTES];
    snprintf(data, sizeof data, "%s/stranger", process_root);
    result = RUN("raftd", "--id", id_of(leader, id), "--data", data, "--join", cluster.endpoints, "--listen",
                 cluster.address[3]);
    expect_member(&result, 1, "is a member of the cluster already");
    result = RUN("raftd", "--id", "9", "--data", data, "--join", cluster.endpoints, "--listen", cluster.address[3],
                 "--cluster-id", "1");
    expect_member(&result, 1, "not to --cluster-id 1");
    result = RUN("raftd", "--id", "9", "--data", data, "--join", cluster.endpoints);
    expect_member(&result, 2, "--listen");
    EXPECT(access(data, F_OK) != 0);
    for (uint32_t slot = 0; slot < 3; slot++)
        if (cluster.pid[slot] != 0)
            EXPECT_EQUAL(cluster_kill(&cluster, slot, SIGTERM), 0);
    process_end();
}

/* Neither heard of it: a voter, and a learner that never campaigns. */
TEST(who_was_removed_while_it_was_down_is_told_when_it_comes_back)
{
    process_begin();
    struct cluster cluster;
    char place[64], id[16];
    cluster_found(&cluster, 4, 3);
    cluster_start(&cluster, 3);
    EXPECT(cluster_log_says(&cluster, 3, "ready", 20000));
    struct process_result result = MEMBER(&cluster, "add", place_of(&cluster, 3, place));
    expect_member(&result, 0, "learners");
    EXPECT(cluster_log_says(&cluster, 3, "configuration node=4", 10000));
    const uint32_t voter = (cluster_leader(&cluster, 10000) + 1) % 3;
    const uint32_t gone[] = { 3, voter };
    for (uint32_t i = 0; i < ARRAY_COUNT(gone); i++) {
        EXPECT_EQUAL(cluster_kill(&cluster, gone[i], SIGKILL), PROCESS_SIGNALED + SIGKILL);
        result = MEMBER(&cluster, "remove", id_of(gone[i], id));
        expect_member(&result, 0, "committed");
    }
    for (uint32_t i = 0; i < ARRAY_COUNT(gone); i++) {
        cluster_start(&cluster, gone[i]);
        expect_removed(&cluster, gone[i]);
    }
    for (uint32_t slot = 0; slot < 3; slot++)
        if (slot != voter)
            EXPECT_EQUAL(cluster_kill(&cluster, slot, SIGTERM), 0);
    process_end();
}

enum { BLOCK = 4096 };

/* Puts what is in `block`, and that there, into the block of a log that holds the text. */
static void exchange_block(const char *data, const char *text, uint8_t block[BLOCK], off_t *at)
{
    char path[PATH_BYTES + 8];
    uint8_t found[BLOCK];
    snprintf(path, sizeof path, "%s/wal", data);
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    EXPECT(fd >= 0);
    if (*at == 0)
        while (pread(fd, found, BLOCK, *at) == BLOCK && memmem(found, BLOCK, text, strlen(text)) == NULL)
            *at += BLOCK;
    EXPECT(pread(fd, found, BLOCK, *at) == BLOCK);
    EXPECT(pwrite(fd, block, BLOCK, *at) == BLOCK);
    memcpy(block, found, BLOCK);
    close(fd);
}

/* Two of three disks are gone: the third is a cluster again, with all that was acknowledged and had reached it. */
TEST(one_survivor_of_three_becomes_a_new_cluster)
{
    enum { KEYS_PUT = 200 };
    process_begin();
    struct cluster cluster;
    char key[16], before[PATH_BYTES + 8];
    cluster_found(&cluster, 4, 3);
    struct client *client = cluster_client(&cluster, 10000);
    for (uint32_t at = 0; at < KEYS_PUT; at++) {
        snprintf(key, sizeof key, "key%u", (unsigned)at);
        EXPECT_EQUAL(client_put(client, client_text(key), client_text(key)).outcome, CLIENT_OK);
    }
    EXPECT(cluster_agrees(&cluster, 10000));
    struct process_result result = RUN("raftd", "recover", "--force-new-cluster", cluster.data[2]);
    expect_member(&result, 1, "is this node running already?");
    for (uint32_t slot = 0; slot < 3; slot++)
        EXPECT_EQUAL(cluster_kill(&cluster, slot, SIGKILL), PROCESS_SIGNALED + SIGKILL);
    result = RUN("raftd", "recover", cluster.data[2]);
    expect_member(&result, 2, "say --force-new-cluster");
    /* What is damaged is refused as it is, and is good for a second try once it is whole. */
    uint8_t block[BLOCK] = { 1 };
    off_t where = 0;
    exchange_block(cluster.data[2], "key100", block, &where);
    result = RUN("raftd", "recover", "--force-new-cluster", cluster.data[2]);
    expect_member(&result, 1, "nothing was changed");
    exchange_block(cluster.data[2], "key100", block, &where);
    result = RUN("raftd", "recover", "--force-new-cluster", cluster.data[2]);
    expect_member(&result, 0, "node 3 is the only voter of the new cluster");
    expect_member(&result, 0, "LOST");
    snprintf(before, sizeof before, "%s.before", cluster.data[2]);
    EXPECT(access(before, F_OK) == 0);

    cluster_start(&cluster, 2);
    EXPECT_EQUAL(cluster_leader(&cluster, 20000), 2);
    for (uint32_t at = 0; at < KEYS_PUT; at++) {
        snprintf(key, sizeof key, "key%u", (unsigned)at);
        const struct client_result got = client_get(client, client_text(key));
        EXPECT_EQUAL(got.outcome, CLIENT_OK);
        EXPECT(got.value.count == strlen(key) && memcmp(got.value.bytes, key, strlen(key)) == 0);
    }
    /* One of the lost nodes comes back all the same, and is refused; a new one is welcome. */
    cluster_start(&cluster, 1);
    EXPECT(cluster_log_says(&cluster, 1, frame_verdict_text(FRAME_WRONG_CLUSTER), 10000));
    EXPECT_EQUAL(cluster_kill(&cluster, 1, SIGTERM), 0);
    cluster_start(&cluster, 3);
    char place[64];
    result = MEMBER(&cluster, "add", "--voter", place_of(&cluster, 3, place));
    expect_member(&result, 0, "voters 3 4");
    EXPECT(cluster_agrees(&cluster, 10000));
    client_close(client);
    for (uint32_t slot = 2; slot < 4; slot++)
        EXPECT_EQUAL(cluster_kill(&cluster, slot, SIGTERM), 0);
    process_end();
}

TEST_MAIN()

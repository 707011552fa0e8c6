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
    expect_member(&result, 1, "no such member: node 9 (the members are 1 2 3)");
    result = MEMBER(&cluster, "promote", "2");
    expect_member(&result, 1, "node 2 is a voter already");
    snprintf(place, sizeof place, "4=%s", cluster.address[1]);
    result = MEMBER(&cluster, "add", place);
    expect_member(&result, 1, "is the address of node 2 already");
    result = MEMBER(&cluster, "add", "2=127.0.0.1:1");
    expect_member(&result, 1, "node 2 is a member already, a voter at ");
    result = MEMBER(&cluster, "change", "remove", "1", "demote", "2", "remove", "3", "--force");
    expect_member(&result, 1, "no voter would be left");
    result = MEMBER(&cluster, "add", "4:here");
    expect_member(&result, 2, "ID=HOST:PORT");
    result = MEMBER(&cluster, "remove", "2", "--voter");
    expect_member(&result, 2, "--voter is of member add");
    result = MEMBER(&cluster, "list", "--force");
    expect_member(&result, 2, "member list takes none of");

    /* Nor is the first step done, when the second one could not be. */
    place_of(&cluster, 3, place);
    result = MEMBER(&cluster, "change", "add", place, "promote", "4", "remove", "9");
    expect_member(&result, 1, "no such member: node 9");
    result = MEMBER(&cluster, "list");
    expect_member(&result, 0, cluster.address[2]);
    EXPECT(strstr(result.out, cluster.address[3]) == NULL);

    /* Where the third of three is down, the second is not to go. */
    const uint32_t leader = cluster_leader(&cluster, 10000);
    const uint32_t down = (leader + 1) % 3;
    char id[16];
    EXPECT_EQUAL(cluster_kill(&cluster, down, SIGKILL), PROCESS_SIGNALED + SIGKILL);
    sleep_ms(400);
    result = MEMBER(&cluster, "remove", id_of((leader + 2) % 3, id));
    expect_member(&result, 1, reply_status_text(REPLY_WOULD_LOSE_QUORUM));
    expect_member(&result, 1, "--force does it all the same");
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

/* The ids in growing order, as raftctl prints a set. */
static const char *set_of(uint32_t slots, const char *separator, char text[64])
{
    text[0] = '\0';
    for (uint32_t slot = 0; slot < NODES_MAX; slot++)
        if ((slots >> slot & 1) != 0)
            snprintf(text + strlen(text), 64 - strlen(text), "%s%u", text[0] != '\0' ? separator : "",
                     (unsigned)slot + 1);
    return text;
}

/* One node votes at once in the place of a voter that learns from then on; then all but two old ones go, the leader
 * among them, and two learners become voters. */
TEST(any_change_is_one_step)
{
    process_begin();
    struct cluster cluster;
    char place[3][64], id[3][16], voters[2][64], learners[2][64], says[384];
    cluster_found(&cluster, 6, 3);
    for (uint32_t slot = 3; slot < 6; slot++) {
        cluster_start(&cluster, slot);
        EXPECT(cluster_log_says(&cluster, slot, "ready", 20000));
        place_of(&cluster, slot, place[slot - 3]);
    }
    uint32_t leader = cluster_leader(&cluster, 10000), learner = (leader + 1) % 3;
    struct process_result result =
        MEMBER(&cluster, "change", "add", place[0], "demote", id_of(learner, id[0]), "add", place[1], "promote", "4");
    set_of(7, " ", voters[0]);
    set_of((7U & ~(1U << learner)) | 8, " ", voters[1]);
    set_of(1U << learner | 16, " ", learners[1]);
    expect_member(&result, 0, "ok, committed as entry ");
    /* Who is to vote was a learner before, by a change of its own, and what is said is of both. */
    snprintf(says, sizeof says, ": voters %s -> %s, learners none -> %s\n", voters[0], voters[1], learners[1]);
    expect_member(&result, 0, says);

    leader = cluster_leader(&cluster, 10000);
    const uint32_t before = (7U & ~(1U << learner)) | 8;
    uint32_t gone = 0;
    while (gone == leader || (before >> gone & 1) == 0)
        gone++;
    result = MEMBER(&cluster, "--json", "change", "remove", id_of(leader, id[0]), "promote", id_of(learner, id[1]),
                    "promote", "5", "remove", id_of(gone, id[2]), "add", place[2], "--wait", "60s");
    set_of(before, ", ", voters[0]);
    set_of(1U << learner | 16, ", ", learners[0]);
    set_of((before & ~(1U << leader | 1U << gone)) | 1U << learner | 16, ", ", voters[1]);
    snprintf(says, sizeof says,
             "\"from\": {\"voters\": [%s], \"learners\": [%s]}, \"to\": {\"voters\": [%s], \"learners\": [6]}, "
             "\"not_heard\": []",
             voters[0], learners[0], voters[1]);
    expect_member(&result, 0, says);
    expect_removed(&cluster, leader);
    expect_removed(&cluster, gone);
    EXPECT(cluster_agrees(&cluster, 20000));
    for (uint32_t slot = 0; slot < 6; slot++)
        if (cluster.pid[slot] != 0)
            EXPECT_EQUAL(cluster_kill(&cluster, slot, SIGTERM), 0);
    process_end();
}

TEST(a_leader_that_is_demoted_hands_over_and_can_be_promoted_again)
{
    process_begin();
    struct cluster cluster;
    char id[16];
    cluster_found(&cluster, 3, 3);
    const uint32_t leader = cluster_leader(&cluster, 10000);
    struct process_result result = MEMBER(&cluster, "demote", id_of(leader, id));
    expect_member(&result, 0, ", learners none -> ");
    /* It leads on until the one that it handed over to is elected. */
    for (uint32_t waited_ms = 0; cluster_leader(&cluster, 10000) == leader && waited_ms < 10000; waited_ms += 20)
        sleep_ms(20);
    EXPECT(cluster_leader(&cluster, 10000) != leader);
    result = MEMBER(&cluster, "demote", id);
    expect_member(&result, 1, "is a learner already");
    result = MEMBER(&cluster, "promote", id);
    expect_member(&result, 0, " -> 1 2 3, learners ");
    EXPECT(cluster_agrees(&cluster, 10000));
    for (uint32_t slot = 0; slot < 3; slot++)
        EXPECT_EQUAL(cluster_kill(&cluster, slot, SIGTERM), 0);
    process_end();
}

/* Waits until the file that a process writes has this text. */
static bool file_says(const char *path, const char *text)
{
    static char all[OUTPUT_BYTES];
    for (uint32_t waited_ms = 0; waited_ms < 30000; waited_ms += 20) {
        process_read_file(path, all);
        if (strstr(all, text) != NULL)
            return true;
        sleep_ms(20);
    }
    return false;
}

/* A promotion that waits says for whom, and goes on when the node is there. */
static void promote_while_it_starts(struct cluster *cluster, uint32_t slot)
{
    char path[PATH_BYTES], id[16];
    id_of(slot, id);
    const int fd = process_open("promotion", O_WRONLY | O_CREAT | O_TRUNC, path);
    const pid_t pid =
        process_start(ARGUMENTS("raftctl", "--endpoints", cluster->endpoints, "member", "promote", id, "--wait", "5m"),
                      fd, fd, fd, 0);
    close(fd);
    EXPECT(file_says(path, "raftctl: waiting for node 4 at "));
    EXPECT(file_says(path, ", which has not been heard from\n"));
    cluster_start(cluster, slot);
    EXPECT(file_says(path, "ok, committed as entry "));
    EXPECT(file_says(path, ": voters 1 2 3 -> 1 2 3 4, learners 4 -> none\n"));
    EXPECT_EQUAL(process_wait(pid, 10000), 0);
}

TEST(who_is_not_there_is_added_with_the_line_that_starts_it_and_not_promoted)
{
    process_begin();
    struct cluster cluster;
    char place[64], start[512], strange[64];
    cluster_found(&cluster, 4, 3);
    snprintf(start, sizeof start, "raftd --id 4 --join %s,%s,%s --listen %s --data DIR", cluster.address[0],
             cluster.address[1], cluster.address[2], cluster.address[3]);
    struct process_result result = MEMBER(&cluster, "add", place_of(&cluster, 3, place), "--wait", "200ms");
    expect_member(&result, 0, ": voters 1 2 3, learners none -> 4\n");
    expect_member(&result, 0, "node 4 has not been heard from yet");
    expect_member(&result, 0, start);
    result = MEMBER(&cluster, "promote", "4", "--wait", "700ms");
    expect_member(&result, 1, "has not been heard from in 700 ms");
    expect_member(&result, 1, start);
    /* Nor is anybody replaced by it; what was done of that is said. */
    snprintf(strange, sizeof strange, "9=127.0.0.1:%u", (unsigned)process_free_port());
    result = MEMBER(&cluster, "replace", "1", strange, "--wait", "0s");
    expect_member(&result, 1, "node 9 at 127.0.0.1:");
    expect_member(&result, 1, ": voters 1 2 3, learners 4 -> 4 9\n");
    result = MEMBER(&cluster, "remove", "9");
    expect_member(&result, 0, ", learners 4 9 -> 4\n");
    result = MEMBER(&cluster, "--json", "add", strange, "--voter", "--force", "--wait", "0s");
    expect_member(&result, 0, "\"to\": {\"voters\": [1, 2, 3, 9], \"learners\": [4]}");
    expect_member(&result, 0, "\"not_heard\": [{\"id\": 9, \"address\": \"127.0.0.1:");
    result = MEMBER(&cluster, "remove", "9");
    expect_member(&result, 0, ": voters 1 2 3 9 -> 1 2 3, learners 4\n");
    promote_while_it_starts(&cluster, 3);
    result = MEMBER(&cluster, "demote", "4");
    expect_member(&result, 0, ": voters 1 2 3 4 -> 1 2 3, learners none -> 4\n");
    /* It was there, and is no more. */
    EXPECT_EQUAL(cluster_kill(&cluster, 3, SIGKILL), PROCESS_SIGNALED + SIGKILL);
    sleep_ms(400);
    result = MEMBER(&cluster, "promote", "4", "--wait", "100ms");
    expect_member(&result, 1, "was last heard from ");
    for (uint32_t slot = 0; slot < 3; slot++)
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

/* Two directories must not speak for one node, and who remembers the first refuses the second. */
TEST(an_id_that_a_removed_node_had_is_not_for_another_one)
{
    process_begin();
    struct cluster cluster;
    char place[64];
    cluster_found(&cluster, 4, 3);
    cluster_start(&cluster, 3);
    EXPECT(cluster_log_says(&cluster, 3, "ready", 20000));
    struct process_result result = MEMBER(&cluster, "add", "--voter", place_of(&cluster, 3, place));
    expect_member(&result, 0, "voters 1 2 3 -> 1 2 3 4");
    EXPECT(cluster_agrees(&cluster, 10000));
    result = MEMBER(&cluster, "remove", "4");
    expect_member(&result, 0, "voters 1 2 3 4 -> 1 2 3");
    expect_removed(&cluster, 3);
    nftw(cluster.data[3], process_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    cluster_start(&cluster, 3);
    EXPECT(cluster_log_says(&cluster, 3, "waits-to-be-added", 20000));
    result = MEMBER(&cluster, "add", place);
    expect_member(&result, 0, "learners none -> 4");
    EXPECT_EQUAL(process_wait(cluster.pid[3], 20000), 3);
    cluster.pid[3] = 0;
    EXPECT(cluster_log_says(&cluster, 3, stop_reason_text(STOP_DUPLICATE_NODE), 0));
    result = MEMBER(&cluster, "remove", "4");
    expect_member(&result, 0, "learners 4 -> none");
    for (uint32_t slot = 0; slot < 3; slot++)
        EXPECT_EQUAL(cluster_kill(&cluster, slot, SIGTERM), 0);
    process_end();
}

/* Its state is nobody's: it is not served, and not called a follower's. */
TEST(a_node_that_waits_to_be_added_does_not_look_like_a_member)
{
    process_begin();
    struct cluster cluster;
    char place[64];
    cluster_found(&cluster, 4, 3);
    cluster_start(&cluster, 3);
    EXPECT(cluster_log_says(&cluster, 3, "waits-to-be-added", 20000));
#define AT_THE_NEW_ONE(...) RUN("raftctl", "--endpoints", cluster.address[3], "--timeout", "500ms", __VA_ARGS__)
    struct process_result result = AT_THE_NEW_ONE("status");
    EXPECT(strstr(result.out, "not a member") != NULL && strstr(result.out, "follower") == NULL
           && strstr(result.out, "ready") == NULL);
    result = AT_THE_NEW_ONE("status", "--json");
    EXPECT(strstr(result.out, "\"member\": false") != NULL);
    result = AT_THE_NEW_ONE("get", "k", "--stale");
    EXPECT(result.status > 1 && strstr(result.error, "not found") == NULL);
    result = AT_THE_NEW_ONE("get", "k", "--local");
    EXPECT(result.status > 1 && strstr(result.error, "not found") == NULL);

    result = MEMBER(&cluster, "add", place_of(&cluster, 3, place));
    expect_member(&result, 0, "learners");
    EXPECT(cluster_log_says(&cluster, 3, "configuration node=4", 10000));
    EXPECT(cluster_agrees(&cluster, 10000));
    result = AT_THE_NEW_ONE("status");
    EXPECT(strstr(result.out, "follower") != NULL && strstr(result.out, "ready") != NULL);
    result = AT_THE_NEW_ONE("get", "k", "--stale");
    expect_member(&result, 1, "not found");
#undef AT_THE_NEW_ONE
    for (uint32_t slot = 0; slot < 4; slot++)
        EXPECT_EQUAL(cluster_kill(&cluster, slot, SIGTERM), 0);
    process_end();
}

static uint32_t log_lines(const struct cluster *cluster, uint32_t slot, const char *part)
{
    char path[PATH_BYTES + 8];
    static char line[4096];
    uint32_t count = 0;
    snprintf(path, sizeof path, "%s.log", cluster->data[slot]);
    FILE *log = fopen(path, "re");
    EXPECT(log != NULL);
    while (fgets(line, sizeof line, log) != NULL)
        count += strstr(line, part) != NULL;
    fclose(log);
    return count;
}

/* A cluster that was restored has an id that no list of members gives. */
TEST(a_node_that_rejoins_under_the_wrong_cluster_id_says_the_right_one_and_ends)
{
    process_begin();
    struct cluster cluster;
    cluster_found(&cluster, 3, 3);
    for (uint32_t slot = 0; slot < 3; slot++) {
        EXPECT_EQUAL(cluster_kill(&cluster, slot, SIGTERM), 0);
        nftw(cluster.data[slot], process_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    }
    cluster.flags[3] = "--cluster-id=4711";
    cluster_start_all(&cluster);
    struct client *client = cluster_client(&cluster, 10000);
    EXPECT_EQUAL(client_put(client, client_text("k"), client_text("v")).outcome, CLIENT_OK);
    EXPECT(cluster_agrees(&cluster, 10000));
    EXPECT_EQUAL(cluster_kill(&cluster, 2, SIGKILL), PROCESS_SIGNALED + SIGKILL);
    nftw(cluster.data[2], process_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    const struct process_result result = RUN("raftd", "--id", "3", "--cluster", cluster.members, "--data",
                                             cluster.data[2], "--rejoin", cluster.flags[0], cluster.flags[1]);
    expect_member(&result, 3, "with --rejoin --cluster-id 4711");
    EXPECT(strstr(result.error, "are of another cluster") != NULL);
    for (uint32_t slot = 0; slot < 2; slot++) {
        const uint32_t lines = log_lines(&cluster, slot, "wrong cluster id: node 3 is of cluster");
        EXPECT(lines >= 1 && lines <= 2); /* there is a second one when it took a minute */
    }
    nftw(cluster.data[2], process_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    cluster.flags[4] = "--rejoin";
    cluster_start(&cluster, 2);
    EXPECT(cluster_log_says(&cluster, 2, "rejoined", 20000));
    EXPECT(cluster_agrees(&cluster, 10000));
    client_close(client);
    for (uint32_t slot = 0; slot < 3; slot++)
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
    exchange_block(cluster.data[2], "key190", block, &where);
    result = RUN("raftd", "recover", "--force-new-cluster", cluster.data[2]);
    expect_member(&result, 1, "nothing was changed");
    exchange_block(cluster.data[2], "key190", block, &where);
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
    expect_member(&result, 0, "voters 3 -> 3 4");
    EXPECT(cluster_agrees(&cluster, 10000));
    client_close(client);
    for (uint32_t slot = 2; slot < 4; slot++)
        EXPECT_EQUAL(cluster_kill(&cluster, slot, SIGTERM), 0);
    process_end();
}

TEST_MAIN()

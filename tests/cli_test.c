/* The programs as their users meet them: what raftctl and raftbench print and how they exit, and bad requests and bad
 * peers against real nodes: one clear line that names the thing, and a status that is not 0 or a refused request. What
 * is raftd's alone is in raftd_test.c. */
#include "../io/client.h"

#include "cli.h"

/* ---- raftctl and raftbench ---- */

TEST(raftctl_says_what_happened_and_exits_accordingly)
{
    struct cluster cluster;
    small_cluster(&cluster, 3);
    struct process_result result = CTL(&cluster, "put", "colour", "blue");
    EXPECT_EQUAL(result.status, 0);
    expect_contains(result.out, "ok, version ");
    result = CTL(&cluster, "get", "colour");
    EXPECT_EQUAL(result.status, 0);
    EXPECT_TEXT(result.out, "blue\n");
    result = CTL(&cluster, "put", "colour", "red", "--if-absent");
    expect_error(&result, 1, "failed: condition failed");
    result = CTL(&cluster, "append", "colour", "-green");
    EXPECT_EQUAL(result.status, 0);
    unsigned long long version = 0;
    EXPECT_EQUAL(sscanf(result.out, "ok, version %llu", &version), 1);
    char number[24];
    snprintf(number, sizeof number, "%llu", version);
    result = CTL(&cluster, "cas", "colour", "--version", number, "grey");
    EXPECT_EQUAL(result.status, 0);
    result = CTL(&cluster, "cas", "colour", "--version", number, "black");
    expect_error(&result, 1, "condition failed");
    result = CTL(&cluster, "get", "colour", "--stale");
    EXPECT_EQUAL(result.status, 0);
    result = CTL(&cluster, "get", "colour", "--local");
    EXPECT_TEXT(result.out, "grey\n");
    result = CTL(&cluster, "--json", "get", "colour", "--local", "--consistency", "l");
    expect_contains(result.out, "\"consistency\": \"linearizable\", \"stale\": false, \"value\": \"grey\"");
    result = CTL(&cluster, "--json", "get", "colour", "--max-staleness", "60s");
    expect_contains(result.out, "\"consistency\": \"bounded\", \"stale\": true, \"value\": \"grey\"");
    result = CTL(&cluster, "--json", "get", "colour", "--consistency=s");
    expect_contains(result.out, "\"consistency\": \"serializable\", \"stale\": true");
    result = CTL(&cluster, "get", "colour", "--stale", "--local");
    expect_error(&result, 2, "--max-staleness");
    result = CTL(&cluster, "get", "colour", "--max-staleness", "0s");
    expect_error(&result, 2, "--max-staleness wants");
    result = CTL(&cluster, "get", "colour", "--consistency", "x");
    expect_error(&result, 2, "--consistency wants");
    result = CTL(&cluster, "--json", "get", "colour");
    EXPECT_EQUAL(result.status, 0);
    expect_contains(result.out, "\"outcome\": \"ok\"");
    expect_contains(result.out, "\"value\": \"grey\"");
    result = CTL(&cluster, "del", "colour");
    EXPECT_EQUAL(result.status, 0);
    EXPECT_TEXT(result.out, "ok, deleted\n");
    result = CTL(&cluster, "get", "colour");
    expect_error(&result, 1, "key not found");
    expect_one_line(&result);
    small_cluster_end(&cluster);
}

TEST(a_value_comes_back_byte_for_byte)
{
    struct cluster cluster;
    small_cluster(&cluster, 1);
    const char *const argv[] = { "raftctl", "--endpoints", cluster.endpoints, "put", "a", "-", NULL };
    const struct slice value = { .bytes = (const uint8_t *)"a\xff\nb", .count = 4 };
    struct process_result result = process_run_limited(argv, value, 0);
    EXPECT_EQUAL(result.status, 0);
    result = CTL(&cluster, "get", "a", "--raw");
    EXPECT_TEXT(result.out, "a\xff\nb");
    result = CTL(&cluster, "get", "a");
    EXPECT_TEXT(result.out, "a\xff\nb\n");
    result = CTL(&cluster, "get", "a", "--json");
    expect_contains(result.out, "\"value_base64\": \"Yf8KYg==\"");
    char path[PATH_BYTES];
    close(process_open("value", O_WRONLY | O_CREAT, path));
    result = CTL(&cluster, "get", "a", "-o", path);
    EXPECT_EQUAL(result.status, 0);
    expect_contains(result.out, "ok, version ");
    process_read_file(path, result.out);
    EXPECT_TEXT(result.out, "a\xff\nb");
    result = CTL(&cluster, "get", "a", "-o", "/nonexistent/x");
    expect_error(&result, 3, "-o /nonexistent/x: ");
    result = CTL(&cluster, "get", "a", "--raw", "--json");
    expect_error(&result, 2, "--raw");
    result = CTL(&cluster, "put", "a", "--", "-o");
    EXPECT_EQUAL(result.status, 0);
    small_cluster_end(&cluster);
}

/* A write that was executed must not look like one that surely changed nothing. */
TEST(output_that_is_lost_is_an_error)
{
    struct cluster cluster;
    small_cluster(&cluster, 1);
    struct process_result result = RUN_FULL("raftctl", "--endpoints", cluster.endpoints, "put", "a", "1");
    expect_error(&result, 3, "standard output: No space left on device");
    expect_one_line(&result);
    result = RUN_FULL("raftctl", "--endpoints", cluster.endpoints, "txn", "if", "a", "absent", "else", "put", "a", "2");
    EXPECT_EQUAL(result.status, 3);
    result = RUN_FULL("raftctl", "--endpoints", cluster.endpoints, "--json", "status");
    EXPECT_EQUAL(result.status, 3);
    result = CTL(&cluster, "get", "a");
    EXPECT_TEXT(result.out, "2\n");
    result = RUN_FULL("raftbench", "--endpoints", cluster.endpoints, "--count", "10", "--warmup", "0s", "--quiet");
    expect_error(&result, 1, "standard output: No space left on device");
    small_cluster_end(&cluster);
}

TEST(raftctl_takes_transactions_from_arguments_and_from_standard_input)
{
    struct cluster cluster;
    small_cluster(&cluster, 1);
    struct process_result result =
        CTL(&cluster, "txn", "if", "lock", "absent", "then", "put", "lock", "me", "else", "append", "queue", "me,");
    EXPECT_EQUAL(result.status, 0);
    const char *const argv[] = { "raftctl", "--endpoints", cluster.endpoints, "txn", NULL };
    const struct slice text = client_text("if lock absent # taken\nthen put lock you\n"
                                          "else append queue \"you,\\x21\\n\" else put seen yes\n");
    result = process_run_limited(argv, text, 0);
    EXPECT_EQUAL(result.status, 1);
    expect_contains(result.out, "ok, else branch, version ");
    result = CTL(&cluster, "--json", "txn", "if", "lock", "absent", "put", "lock", "you", "else", "put", "seen", "2");
    EXPECT_EQUAL(result.status, 1);
    expect_contains(result.out, "{\"outcome\": \"ok\", ");
    expect_contains(result.out, "\"branch\": \"else\"");
    result = CTL(&cluster, "txn", "if", "lock", "absent", "put", "lock", "you");
    expect_error(&result, 1, "nothing was written");
    result = CTL(&cluster, "--json", "get", "queue");
    expect_contains(result.out, "\"value\": \"you,!\\u000a\"");
    result = CTL(&cluster, "get", "lock");
    EXPECT_TEXT(result.out, "me\n");
    result = CTL(&cluster, "txn", "put", "a", "1", "put", "a", "2");
    expect_error(&result, 1, "the key a is written twice in \"then\"");
    result = CTL(&cluster, "put", "", "1");
    expect_error(&result, 1, "the key is empty");
    result = CTL(&cluster, "txn", "if", "a", "~", "3");
    expect_error(&result, 2, "word 3, '~': expected =, !=, absent or exists");
    small_cluster_end(&cluster);
}

TEST(raftctl_status_shows_every_endpoint_and_whether_it_answers)
{
    struct cluster cluster;
    small_cluster(&cluster, 3);
    EXPECT(cluster_agrees(&cluster, FOREVER_MS));
    struct process_result result = CTL(&cluster, "status");
    EXPECT_EQUAL(result.status, 0);
    expect_contains(result.out, "leader");
    expect_contains(result.out, "follower");
    EXPECT_EQUAL(cluster_kill(&cluster, 2, SIGTERM), 0);
    result = CTL(&cluster, "status");
    EXPECT_EQUAL(result.status, 1);
    char row[64];
    snprintf(row, sizeof row, "-  %s: ", cluster.address[2]);
    expect_contains(result.out, row);
    result = CTL(&cluster, "--json", "status");
    expect_contains(result.out, "\"answered\": 2}");
    expect_contains(result.out, "\"cluster_id\": \"");
    small_cluster_end(&cluster);
}

TEST(raftctl_tells_unreachable_from_failed_and_both_from_wrong_usage)
{
    process_begin();
    struct cluster cluster; /* never started */
    cluster_init(&cluster, 1);
    struct process_result result = RUN("raftctl", "--endpoints", cluster.endpoints, "--timeout", "300ms", "get", "a");
    expect_error(&result, 4, "no answer within 300 ms: 0 of 1 endpoint answered (last: ");
    expect_contains(result.error, cluster.address[0]);
    expect_one_line(&result);
    result = RUN("raftctl", "--endpoints", cluster.endpoints, "status");
    EXPECT_EQUAL(result.status, 4);
    result = RUN("raftctl", "--colour", "get", "a");
    expect_error(&result, 2, "--colour");
    result = RUN("raftctl", "frobnicate");
    expect_error(&result, 2, "frobnicate");
    result = RUN("raftctl", "get");
    expect_error(&result, 2, "get KEY");
    result = RUN("raftctl", "get", "a", "--if-absent");
    expect_error(&result, 2, "get KEY");
    result = RUN("raftctl", "--timeout", "soon", "get", "a");
    expect_error(&result, 2, "soon");
    result = RUN("raftctl", "--endpoints", "localhost", "get", "a");
    expect_error(&result, 2, "--endpoints");
    result = RUN("raftctl", "cas", "a", "1");
    expect_error(&result, 2, "--version");
    result = RUN("raftctl", "--endpoints", "no-such-host.invalid:1,nor-this.invalid:2", "get", "a");
    expect_error(&result, 2, "no such host, none of: no-such-host.invalid:1,nor-this.invalid:2");
    for (uint32_t slot = 0; slot < 2; slot++) {
        const char *const argv[] = { slot == 0 ? "raftctl" : "raftbench", "--help", NULL };
        result = process_run_limited(argv, (struct slice){ .count = 0 }, 0);
        EXPECT_EQUAL(result.status, 0);
        expect_contains(result.out, "--endpoints");
        EXPECT_TEXT(result.error, "");
    }
    process_end();
}

TEST(every_program_knows_its_version_and_its_help)
{
    process_begin();
    static const char *const names[] = { "raftd", "raftctl", "raftbench", "raftsim" };
    for (uint32_t slot = 0; slot < ARRAY_COUNT(names); slot++) {
        struct process_result result = RUN(names[slot], "--version");
        EXPECT_EQUAL(result.status, 0);
        expect_contains(result.out, names[slot]);
        result = RUN(names[slot], "-h");
        EXPECT_EQUAL(result.status, 0);
        expect_contains(result.out, "--help");
    }
    static const char *const commands[] = { "inspect", "restore", "recover" };
    const struct process_result all = RUN("raftd", "--help");
    for (uint32_t slot = 0; slot < ARRAY_COUNT(commands); slot++) {
        char usage[64];
        const struct process_result result = RUN("raftd", commands[slot], "--help");
        EXPECT_EQUAL(result.status, 0);
        snprintf(usage, sizeof usage, "usage: raftd %s ", commands[slot]);
        EXPECT(strncmp(result.out, usage, strlen(usage)) == 0);
        expect_contains(all.out, usage + strlen("usage: "));
    }
    process_end();
}

TEST(log_smaller_than_the_load_goes_round)
{
    process_begin();
    struct cluster cluster;
    cluster_init(&cluster, 1);
    cluster.flags[0] = "--wal-size=16M";
    cluster_start_all(&cluster);
    EXPECT(cluster_leader(&cluster, FOREVER_MS) == 0);
    struct process_result result = RUN("raftbench", "--endpoints", cluster.endpoints, "--value-bytes", "3000", "--keys",
                                       "random:100", "--count", "7500", "--warmup", "0s", "--quiet", "--json");
    EXPECT_EQUAL(result.status, 0);
    expect_contains(result.out, "\"operations\": 7500,");
    struct node_status status;
    struct client *client = cluster_client(&cluster, FOREVER_MS);
    EXPECT_EQUAL(client_status(client, cluster_leader(&cluster, FOREVER_MS), &status).outcome, CLIENT_OK);
    client_close(client);
    EXPECT(status.first_index > 1 && status.wal_bytes_used < status.wal_bytes_max);
    small_cluster_end(&cluster);
}

TEST(raftbench_counts_what_it_was_asked_for)
{
    struct cluster cluster;
    small_cluster(&cluster, 3);
    struct process_result result = RUN("raftbench", "--endpoints", cluster.endpoints, "--inflight", "8", "--count",
                                       "500", "--warmup", "0s", "--keys", "seq", "--json", "--quiet");
    EXPECT_EQUAL(result.status, 0);
    expect_contains(result.out, "\"operations\": 500,");
    expect_contains(result.out, "\"refused\": 0,");
    struct node_status status;
    struct client *client = cluster_client(&cluster, FOREVER_MS);
    EXPECT_EQUAL(client_status(client, cluster_leader(&cluster, FOREVER_MS), &status).outcome, CLIENT_OK);
    client_close(client);
    EXPECT_EQUAL(status.keys, 500); /* each write executed once, on a key of its own */
    result = RUN("raftbench", "--endpoints", cluster.endpoints, "--inflight", "4", "--rate", "200", "--duration", "1s",
                 "--warmup", "0s", "--reads", "50", "--quiet", "--json");
    EXPECT_EQUAL(result.status, 0);
    expect_contains(result.out, "\"loop\": \"open\"");
    result = RUN("raftbench", "--endpoints", cluster.endpoints, "--reads", "100", "--stale", "--all", "--inflight", "6",
                 "--count", "300", "--warmup", "0s", "--quiet");
    EXPECT_EQUAL(result.status, 0);
    expect_contains(result.out, "300");
    result = RUN("raftbench", "--endpoints", cluster.endpoints, "--count", "100", "--warmup", "200ms", "--rate",
                 "100000", "--quiet", "--json");
    EXPECT_EQUAL(result.status, 0);
    expect_contains(result.out, "\"operations\": 100,"); /* and nothing of the warm-up */
    result = RUN("raftbench", "--inflight", "0");
    expect_error(&result, 2, "--inflight");
    result = RUN("raftbench", "--value-bytes", "1M");
    expect_error(&result, 2, "--value-bytes wants a number from 0 to 131072, not '1M'");
    result = RUN("raftbench", "--pids", "4194999"); /* above the largest that there may be */
    expect_error(&result, 2, "--pids: no such process: 4194999");
    result = RUN("raftbench", "--speed", "11");
    expect_error(&result, 2, "--speed");
    small_cluster_end(&cluster);
}

/* A raftbench whose first second is over. */
static pid_t bench_under_way(const struct cluster *cluster, const char *duration, char out[PATH_BYTES],
                             char error[PATH_BYTES])
{
    struct process_result seen = { .error = "" };
    const int out_fd = process_open("bench.out", O_WRONLY | O_CREAT | O_TRUNC, out);
    const int error_fd = process_open("bench.err", O_WRONLY | O_CREAT | O_TRUNC, error);
    const pid_t pid = process_start(
        ARGUMENTS("raftbench", "--endpoints", cluster->endpoints, "--warmup", "0s", "--duration", duration, "--json"),
        STDIN_FILENO, out_fd, error_fd, 0);
    close(out_fd);
    close(error_fd);
    for (uint32_t wait = 0; strstr(seen.error, " done ") == NULL && wait < FOREVER_MS / 10; wait++) {
        sleep_ms(10);
        process_read_file(error, seen.error);
    }
    expect_contains(seen.error, " done ");
    return pid;
}

TEST(raftbench_prints_what_it_measured_when_it_is_interrupted)
{
    struct cluster cluster;
    struct process_result result;
    char out[PATH_BYTES], error[PATH_BYTES];
    small_cluster(&cluster, 1);
    const pid_t pid = bench_under_way(&cluster, "10m", out, error);
    EXPECT_EQUAL(process_kill(pid, SIGINT), 130);
    process_read_file(out, result.out);
    expect_contains(result.out, "\"interrupted\": true, \"leaderless_seconds\": 0.000");
    EXPECT(strstr(result.out, "\"operations\": 0,") == NULL);
    small_cluster_end(&cluster);
}

TEST(raftbench_says_who_answered_when_nobody_leads)
{
    struct cluster cluster;
    process_begin();
    cluster_init(&cluster, 3); /* never started */
    struct process_result result = RUN("raftbench", "--endpoints", cluster.endpoints, "--wait", "300ms");
    expect_error(&result, 4, "raftbench: no leader at ");
    expect_contains(result.error, ": 0 of 3 endpoints answered (last: ");
    expect_contains(result.error, "Connection refused)");
    expect_one_line(&result);
    process_end();
    small_cluster(&cluster, 3);
    EXPECT_EQUAL(cluster_kill(&cluster, 0, SIGKILL), PROCESS_SIGNALED + SIGKILL);
    EXPECT_EQUAL(cluster_kill(&cluster, 1, SIGKILL), PROCESS_SIGNALED + SIGKILL);
    /* If it led, it steps down within an election timeout. */
    (void)RUN("raftbench", "--endpoints", cluster.address[2], "--wait", "2s", "--warmup", "0s", "--duration", "2s");
    result = RUN("raftbench", "--endpoints", cluster.address[2], "--wait", "1s");
    expect_error(&result, 4, ": 1 of 1 endpoint answered, and none of them leads");
    expect_one_line(&result);
    process_end();
}

TEST(raftbench_keeps_its_time_without_a_leader_and_prints_what_it_measured)
{
    struct cluster cluster;
    struct process_result result;
    char out[PATH_BYTES], error[PATH_BYTES];
    small_cluster(&cluster, 1);
    const pid_t pid = bench_under_way(&cluster, "8s", out, error);
    EXPECT_EQUAL(cluster_kill(&cluster, 0, SIGKILL), PROCESS_SIGNALED + SIGKILL);
    EXPECT_EQUAL(process_wait(pid, FOREVER_MS), 4);
    process_read_file(out, result.out);
    process_read_file(error, result.error);
    expect_contains(result.out, "\"seconds\": 8.");
    EXPECT(strstr(result.out, "\"operations\": 0,") == NULL);
    EXPECT(strstr(result.out, "\"leaderless_seconds\": 0.000") == NULL);
    expect_contains(result.error, "  0/s"); /* the line goes on */
    expect_contains(result.error, "raftbench: no leader at ");
    process_end();
}

/* ---- bad input: requests ---- */

TEST(client_of_another_cluster_is_refused)
{
    struct cluster cluster;
    small_cluster(&cluster, 1);
    struct process_result result = CTL(&cluster, "--cluster-id", "77", "put", "a", "1");
    expect_error(&result, 1, "wrong cluster id");
    expect_one_line(&result);
    result = CTL(&cluster, "get", "a");
    expect_error(&result, 1, "key not found");
    small_cluster_end(&cluster);
}

TEST(value_over_the_limit_is_refused_and_changes_nothing)
{
    struct cluster cluster;
    small_cluster(&cluster, 1);
    const char *const argv[] = { "raftctl", "--endpoints", cluster.endpoints, "put", "a", "-", NULL };
    const uint32_t limit = limits_production.value_bytes_max;
    char *bytes = malloc(limits_production.frame_bytes_max + 1U);
    ASSERT(bytes != NULL);
    memset(bytes, 'x', limits_production.frame_bytes_max + 1U);
    const uint32_t too_large[] = { limit + 1, limits_production.frame_bytes_max + 1U };
    for (uint32_t slot = 0; slot < ARRAY_COUNT(too_large); slot++) {
        const struct slice input = { .bytes = (const uint8_t *)bytes, .count = too_large[slot] };
        const struct process_result result = process_run_limited(argv, input, 0);
        expect_error(&result, 1, "the value has more than 131072 bytes");
    }
    struct process_result result = CTL(&cluster, "get", "a");
    expect_error(&result, 1, "key not found");
    const struct slice input = { .bytes = (const uint8_t *)bytes, .count = limit };
    result = process_run_limited(argv, input, 0);
    free(bytes);
    EXPECT_EQUAL(result.status, 0);
    small_cluster_end(&cluster);
}

TEST(bytes_that_are_no_frame_close_the_connection_and_nothing_else)
{
    struct cluster cluster;
    small_cluster(&cluster, 1);
    struct endpoint endpoint;
    EXPECT_EQUAL(endpoint_parse(cluster.address[0], strlen(cluster.address[0]), &endpoint), 0);
    struct link link;
    link_init(&link);
    const uint64_t deadline_ns = clock_now_ns() + FOREVER_MS * NS_PER_MS;
    EXPECT_EQUAL(link_connect(&link, &endpoint, deadline_ns), 0);
    bool sent = false;
    static const char text[] =
        "GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: lost\r\nAccept: anything at all\r\n\r\n";
    EXPECT_EQUAL(link_send(&link, client_text(text), deadline_ns, &sent), 0);
    struct reply reply;
    EXPECT(link_receive(&link, 1, deadline_ns, &reply) == -ECONNRESET);
    link_deinit(&link);
    const struct process_result result = CTL(&cluster, "put", "a", "1");
    EXPECT_EQUAL(result.status, 0);
    small_cluster_end(&cluster);
}

/* ---- bad input: peers ---- */

/* Sends a vote request as node 2 with a context of ours, for a term that would depose any leader. */
static void send_as_peer(const struct cluster *cluster, const struct frame_context *context)
{
    struct endpoint endpoint;
    EXPECT_EQUAL(endpoint_parse(cluster->address[0], strlen(cluster->address[0]), &endpoint), 0);
    const struct message message = { .type = FRAME_VOTE_REQUEST,
                                     .from = 2,
                                     .to = 1,
                                     .instance = 99,
                                     .term = 1000000,
                                     .vote_request = { .last = { .term = 1000000, .index = 1000000 },
                                                       .term = 1000000 } };
    uint8_t frame[512];
    ASSERT(message_bytes(&message) <= sizeof frame);
    message_encode(&message, context, frame);
    struct link link;
    bool sent = false;
    link_init(&link);
    const uint64_t deadline_ns = clock_now_ns() + FOREVER_MS * NS_PER_MS;
    EXPECT_EQUAL(link_connect(&link, &endpoint, deadline_ns), 0);
    const struct slice bytes = { .bytes = frame, .count = message_bytes(&message) };
    EXPECT_EQUAL(link_send(&link, bytes, deadline_ns, &sent), 0);
    struct reply reply;
    EXPECT(link_receive(&link, 1, deadline_ns, &reply) < 0); /* a refusal, which is no reply, or the end */
    link_deinit(&link);
}

TEST(peer_with_another_fingerprint_or_cluster_is_refused_and_named)
{
    struct cluster cluster;
    small_cluster(&cluster, 3);
    struct node_status before;
    struct node_status after;
    struct client *client = cluster_client(&cluster, FOREVER_MS);
    EXPECT_EQUAL(client_status(client, 0, &before).outcome, CLIENT_OK);
    const uint64_t fingerprint = limits_fingerprint(&limits_production);
    const uint32_t bytes_max = limits_production.frame_bytes_max;
    send_as_peer(&cluster, &(struct frame_context){ .cluster_id = before.cluster_id,
                                                    .fingerprint = fingerprint + 1,
                                                    .frame_bytes_max = bytes_max });
    EXPECT(cluster_log_says(&cluster, 0, frame_verdict_text(FRAME_WRONG_FINGERPRINT), FOREVER_MS));
    send_as_peer(&cluster, &(struct frame_context){ .cluster_id = before.cluster_id + 1,
                                                    .fingerprint = fingerprint,
                                                    .frame_bytes_max = bytes_max });
    EXPECT(cluster_log_says(&cluster, 0, frame_verdict_text(FRAME_WRONG_CLUSTER), FOREVER_MS));
    EXPECT_EQUAL(client_status(client, 0, &after).outcome, CLIENT_OK);
    EXPECT(after.term == before.term);
    client_close(client);
    small_cluster_end(&cluster);
}

TEST(second_node_with_the_id_of_another_stops_itself)
{
    struct cluster cluster;
    small_cluster(&cluster, 3);
    struct process_result result = CTL(&cluster, "put", "a", "1");
    EXPECT_EQUAL(result.status, 0);
    EXPECT(cluster_agrees(&cluster, FOREVER_MS));
    char listen[32];
    char data[PATH_BYTES];
    snprintf(listen, sizeof listen, "127.0.0.1:%u", (unsigned)process_free_port());
    snprintf(data, sizeof data, "%s/impostor", process_root);
    result = RUN("raftd", "--id", "3", "--cluster", cluster.members, "--data", data, "--listen", listen, "--wal-size",
                 "40M");
    expect_error(&result, 3, stop_reason_text(STOP_DUPLICATE_NODE));
    EXPECT_EQUAL(cluster_find_dead(&cluster), 3);
    EXPECT(cluster_agrees(&cluster, FOREVER_MS));
    result = CTL(&cluster, "get", "a");
    EXPECT_TEXT(result.out, "1\n");
    small_cluster_end(&cluster);
}

/* Only its members say that a directory may be of another cluster: the id is anything that somebody once chose. */
TEST(directory_whose_members_are_others_is_said)
{
    struct cluster cluster;
    process_begin();
    cluster_init(&cluster, 1);
    cluster.flags[0] = "--wal-size=40M";
    cluster.flags[1] = "--cluster-id=77";
    for (uint32_t start = 0; start < 2; start++) {
        cluster_start_all(&cluster);
        EXPECT_EQUAL(cluster_leader(&cluster, FOREVER_MS), 0);
        EXPECT(cluster_log_says(&cluster, 0, "formatting", 0)); /* that takes its time, once */
        EXPECT(!cluster_log_says(&cluster, 0, "cluster-differs", 0));
        EXPECT_EQUAL(cluster_kill(&cluster, 0, SIGTERM), 0);
        cluster.flags[1] = NULL;
    }
    const size_t bytes = strlen(cluster.members);
    snprintf(cluster.members + bytes, sizeof cluster.members - bytes, ",2=127.0.0.1:%u", (unsigned)process_free_port());
    cluster_start_all(&cluster);
    EXPECT(cluster_log_says(&cluster, 0, "cluster-differs", FOREVER_MS));
    cluster_kill(&cluster, 0, SIGKILL);
    process_end();
}

TEST_MAIN()

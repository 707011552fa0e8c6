/* raftd as its users meet it: directories and resources that are not what they should be, what inspect and recover say,
 * and what an interrupted save leaves. One clear line that names the thing, and stored data that stays as it was. */
#include "../io/datadir.h"

#include "cli.h"

/* Who redirects into a full disk must not believe that all is there. */
TEST(what_cannot_be_printed_is_an_error)
{
    static const char *const commands[][4] = { { "raftd", "--help" },
                                               { "raftd", "--version" },
                                               { "raftd", "inspect" } };
    struct cluster cluster;
    node_with_data(&cluster);
    for (uint32_t slot = 0; slot < ARRAY_COUNT(commands); slot++) {
        const char *argv[4] = { commands[slot][0], commands[slot][1], slot == 2 ? cluster.data[0] : NULL };
        char path[PATH_BYTES], error[OUTPUT_BYTES];
        const int full_fd = open("/dev/full", O_RDWR | O_CLOEXEC);
        const int error_fd = process_open("err", O_WRONLY | O_CREAT | O_TRUNC, path);
        EXPECT(full_fd >= 0);
        EXPECT_EQUAL(process_wait(process_start(argv, full_fd, full_fd, error_fd, 0), FOREVER_MS), 1);
        close(full_fd);
        close(error_fd);
        process_read_file(path, error);
        expect_contains(error, "raftd: standard output: No space left on device");
    }
    process_end();
}

TEST(data_directory_of_another_node_or_cluster_is_not_touched)
{
    struct cluster cluster;
    node_with_data(&cluster);
    const char *data = cluster.data[0];
    char members[128];
    snprintf(members, sizeof members, "1=%s,2=127.0.0.1:%u", cluster.address[0], (unsigned)process_free_port());
    struct process_result result =
        raftd_fails(ARGUMENTS("raftd", "--id", "2", "--cluster", members, "--data", data), data);
    expect_error(&result, 1, "belongs to node 1");
    expect_contains(result.error, data);
    result = raftd_fails(
        ARGUMENTS("raftd", "--id", "1", "--cluster", cluster.members, "--data", data, "--cluster-id", "77"), data);
    expect_error(&result, 1, "belongs to cluster");
    expect_contains(result.error, "not to cluster 77");
    expect_data(&cluster);
}

TEST(data_directory_in_use_is_not_touched)
{
    struct cluster cluster;
    small_cluster(&cluster, 1);
    char listen[32];
    snprintf(listen, sizeof listen, "127.0.0.1:%u", (unsigned)process_free_port());
    const struct process_result result =
        RUN("raftd", "--id", "1", "--cluster", cluster.members, "--data", cluster.data[0], "--listen", listen);
    expect_error(&result, 1, "locked by another process");
    expect_one_line(&result);
    expect_contains(result.error, cluster.data[0]);
    small_cluster_end(&cluster);
}

TEST(truncated_foreign_and_damaged_wal_files_are_named_and_left_alone)
{
    struct cluster cluster;
    node_with_data(&cluster);
    const char *data = cluster.data[0];
    const char *const *argv = ARGUMENTS("raftd", "--id", "1", "--cluster", cluster.members, "--data", data);
    struct limits limits;
    EXPECT(datadir_limits(WAL_BYTES, &limits));

    damage(data, wal_body_offset(&limits) + 20, "bit rot", 0); /* the first batch, which many others follow */
    struct process_result result = raftd_fails(argv, data);
    expect_error(&result, 3, stop_reason_text(STOP_WAL_DAMAGED));

    damage(data, 0, NULL, WAL_BYTES / 2);
    result = raftd_fails(argv, data);
    expect_error(&result, 1, "truncated");
    expect_contains(result.error, "start with --rejoin");
    expect_contains(result.error, data);
    expect_one_line(&result);
    damage(data, 0, NULL, WAL_BYTES);

    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++) {
        damage(data, superblock_offset(&limits, copy), "#!/bin/sh\necho I am no superblock\n", 0);
        if (copy != SUPERBLOCK_COPIES - 2)
            continue;
        /* One is left. What is said last is why it stopped. */
        result = raftd_fails(argv, data);
        expect_error(&result, 3, stop_reason_text(STOP_NO_SUPERBLOCK));
        EXPECT(strstr(result.error, " ready ") == NULL);
        EXPECT(strstr(strstr(result.error, " stopped "), "waits-to-be-added") == NULL);
    }
    result = raftd_fails(argv, data);
    expect_error(&result, 1, "foreign or damaged");
    expect_contains(result.error, data);
    expect_one_line(&result);
    result = RUN("raftd", "recover", "--force-new-cluster", data);
    expect_error(&result, 1, "no superblock of it is intact");
    char nothing[PATH_BYTES + 16];
    snprintf(nothing, sizeof nothing, "%s.nothing", data);
    result = RUN("raftd", "recover", "--force-new-cluster", nothing);
    expect_error(&result, 1, "No such file or directory");
    process_end();
}

/* What is not lost by it is no damage, and has another word. */
TEST(inspect_tells_damage_from_what_is_made_good)
{
    struct cluster cluster;
    node_with_data(&cluster);
    const char *data = cluster.data[0];
    struct limits limits;
    EXPECT(datadir_limits(WAL_BYTES, &limits));
    struct process_result result = RUN("raftd", "inspect", data);
    EXPECT_EQUAL(result.status, 0);
    expect_contains(result.out, "\nverdict: whole\n");
    EXPECT(strstr(result.out, "\nbatch ") == NULL);
    result = RUN("raftd", "inspect", data, "--json");
    EXPECT(strstr(result.out, "\"batches\": [") == NULL);
    result = RUN("raftd", "inspect", data, "--batches");
    expect_contains(result.out, "\nbatch ");
    EXPECT(strstr(result.out, "\n    entry ") == NULL);
    result = RUN("raftd", "inspect", data, "--dump");
    expect_contains(result.out, "\n    entry ");
    result = RUN("raftd", "inspect", data, "--batches", "--json");
    expect_contains(result.out, "\"batches\": [");

    damage(data, wal_header_offset(&limits) + (uint64_t)(limits.wal_header_blocks - 1) * limits.block_bytes, "rot", 0);
    result = RUN("raftd", "inspect", data);
    EXPECT_EQUAL(result.status, 0);
    expect_contains(result.out, "\nmendable wal at ");
    EXPECT(strstr(result.out, "DAMAGED") == NULL);

    damage(data, wal_body_offset(&limits) + 20, "rot", 0);
    result = RUN("raftd", "inspect", data);
    EXPECT_EQUAL(result.status, 3);
    expect_contains(result.out, "\nDAMAGED wal at ");
    expect_contains(result.out, "\nverdict: damaged\n");
    process_end();
}

TEST(recover_says_as_json_what_it_made)
{
    struct cluster cluster;
    node_with_data(&cluster);
    const struct process_result result =
        RUN("raftd", "recover", "--json", "--cluster-id", "4711", "--force-new-cluster", cluster.data[0]);
    EXPECT_EQUAL(result.status, 0);
    EXPECT_TEXT(result.error, "");
    EXPECT(strncmp(result.out, "{\n", 2) == 0);
    expect_contains(result.out, "\"cluster_id\": \"4711\"");
    expect_contains(result.out, "\"old_members\": [");
    expect_contains(result.out, cluster.address[0]);
    expect_data(&cluster);
}

TEST(a_directory_that_cannot_be_looked_into_is_not_a_new_one)
{
    process_begin();
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/loop", process_root);
    EXPECT_EQUAL(symlink("loop", path), 0);
    const struct process_result result = RUN("raftd", "--id", "1", "--data", path);
    expect_error(&result, 1, "Too many levels of symbolic links");
    expect_one_line(&result);
    process_end();
}

/* SIGINT would do, too, where it is not ignored from the start. */
TEST(a_snapshot_that_is_interrupted_leaves_nothing)
{
    struct cluster cluster;
    node_with_data(&cluster);
    char file[PATH_BYTES], unfinished[PATH_BYTES + 4];
    snprintf(file, sizeof file, "%s/snapshot", process_root);
    snprintf(unfinished, sizeof unfinished, "%s.new", file);
    const int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    const pid_t pid = process_start(
        ARGUMENTS("raftctl", "--endpoints", cluster.endpoints, "--timeout", "30s", "snapshot", "save", file), null_fd,
        null_fd, null_fd, 0);
    close(null_fd);
    for (uint32_t wait = 0; access(unfinished, F_OK) != 0 && wait < FOREVER_MS; wait++)
        sleep_ms(1); /* the node is down: it cannot be finished */
    EXPECT(access(unfinished, F_OK) == 0);
    EXPECT_EQUAL(process_kill(pid, SIGTERM), PROCESS_SIGNALED + SIGTERM);
    EXPECT(access(unfinished, F_OK) != 0);
    const struct process_result result =
        RUN("raftctl", "--endpoints", cluster.endpoints, "--timeout", "300ms", "snapshot", "save", "-");
    EXPECT(result.status != 0);
    expect_contains(result.error, "it needs a file");
    process_end();
}

TEST(port_in_use_is_named)
{
    struct cluster cluster;
    node_with_data(&cluster);
    struct endpoint endpoint;
    EXPECT_EQUAL(endpoint_parse(cluster.address[0], strlen(cluster.address[0]), &endpoint), 0);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1; /* connections of the node that was here may still linger */
    EXPECT_EQUAL(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    /* The kernel may hold an io_uring listener for some milliseconds after its process has gone. */
    for (int try = 0; bind(fd, (const struct sockaddr *)&endpoint.address, endpoint.address_bytes) != 0; try++) {
        EXPECT(errno == EADDRINUSE && try < 200);
        sleep_ms(10);
    }
    EXPECT_EQUAL(listen(fd, 1), 0);
    const struct process_result result = raftd_fails(
        ARGUMENTS("raftd", "--id", "1", "--cluster", cluster.members, "--data", cluster.data[0]), cluster.data[0]);
    close(fd);
    expect_error(&result, 1, cluster.address[0]);
    expect_contains(result.error, "Address already in use");
    expect_one_line(&result);
    expect_data(&cluster);
}

TEST(full_disk_is_named_and_leaves_no_half_made_directory)
{
    process_begin();
    struct cluster cluster;
    cluster_init(&cluster, 1);
    cluster.flags[0] = "--wal-size=40M";
    const char *data = cluster.data[0];
    const char *const *argv =
        ARGUMENTS("raftd", "--id", "1", "--cluster", cluster.members, "--data", data, "--wal-size", "40M");
    const struct process_result result = process_run_limited(argv, (struct slice){ .count = 0 }, WAL_BYTES / 4);
    expect_error(&result, 1, data);
    expect_contains(result.error, "cannot create");
    char path[PATH_BYTES + 8];
    snprintf(path, sizeof path, "%s/wal", data);
    EXPECT(access(path, F_OK) != 0);
    snprintf(path, sizeof path, "%s/wal.new", data);
    EXPECT(access(path, F_OK) != 0);
    cluster_start(&cluster, 0); /* there is room again */
    EXPECT(cluster_leader(&cluster, FOREVER_MS) == 0);
    small_cluster_end(&cluster);
}

TEST(raftd_names_the_flag_that_is_wrong)
{
    process_begin();
    static const struct {
        const char *flag;
        const char *value;
        const char *part;
    } cases[] = {
        { "--frob", "1", "--frob" },
        { "--io", "floppy", "--io floppy" },
        { "--id", "0", "--id 0" },
        { "--id", "9", "--id 9" },
        { "--wal-size", "1M", "--wal-size" },
        { "--wal-size", "lots", "--wal-size lots" },
        { "--cluster", "1=nowhere", "--cluster" },
        { "--cluster", "1=127.0.0.1:7001,1=127.0.0.1:7002", "twice" },
        { "--heartbeat-ms", "400", "heartbeat" },
        { "--listen", "here", "--listen" },
    };
    for (uint32_t slot = 0; slot < ARRAY_COUNT(cases); slot++) {
        const struct process_result result = RUN("raftd", "--id", "1", "--cluster", "1=127.0.0.1:1", "--data",
                                                 "/nonexistent/x", cases[slot].flag, cases[slot].value);
        expect_error(&result, 2, cases[slot].part);
        expect_one_line(&result);
    }
    struct process_result result = RUN("raftd", "--id", "1", "--cluster", "1=127.0.0.1:1");
    expect_error(&result, 2, "--data");
    result = RUN("raftd", "--id", "1", "--cluster", "1=127.0.0.1:1", "--data", "/nonexistent/x", "--rejoin");
    expect_error(&result, 2, "--rejoin: a cluster of one");
    process_end();
}

TEST_MAIN()

/* Real nodes record what they are fed, under load and through a crash, and the simulator steps the same core through it
 * to the same outputs: raftd --record, raftsim replay. */
#include "../io/client.h"
#include "../sim/playback.h"

#include "process.h"

enum { NODES = 3, WAIT_MS = 60000, ROUNDS_MAX = 30, SEGMENTS_WANTED = 4 };

static char record_paths[NODES][PATH_BYTES];
static char record_flags[NODES][PATH_BYTES];

/* Small logs and large values: a file of the smallest size goes around within seconds. */
static void node_start_recording(struct cluster *cluster, uint32_t slot, const char *size)
{
    snprintf(record_paths[slot], PATH_BYTES, "%s/record%u", process_root, (unsigned)slot + 1);
    snprintf(record_flags[slot], PATH_BYTES, "--record=%.400s,%.20s", record_paths[slot], size);
    cluster->flags[0] = "--wal-size=16M";
    cluster->flags[1] = record_flags[slot];
    cluster_start(cluster, slot);
}

static void cluster_up(struct cluster *cluster)
{
    process_begin();
    cluster_init(cluster, NODES);
    for (uint32_t slot = 0; slot < NODES; slot++)
        node_start_recording(cluster, slot, "64M");
    EXPECT(cluster_leader(cluster, WAIT_MS) < NODES);
}

static void load(const struct cluster *cluster)
{
    const struct process_result result =
        RUN("raftbench", "--endpoints", cluster->endpoints, "--inflight", "64", "--value-bytes", "8K", "--keys",
            "random:500", "--warmup", "0s", "--count", "1000", "--reads", "20", "--quiet");
    EXPECT(result.status == 0 || result.status == 1);
}

/* The number of the latest segment in the file, which may be written to meanwhile. */
static uint64_t segment_of(uint32_t slot)
{
    struct playback_source source;
    struct playback_segments segments = { .count = 0 };
    char error[PLAYBACK_ERROR_BYTES];
    if (!playback_file_open(&source, record_paths[slot], error))
        return 0;
    playback_segments(&source, &segments);
    playback_file_close(&source);
    return segments.count > 0 ? segments.headers[segments.count - 1].segment : 0;
}

static struct process_result replay(const char *path)
{
    const struct process_result result = RUN("raftsim", "replay", path, "--json", "--quiet");
    if (result.status != 0)
        printf("replay of %s: status %d: %s%s\n", path, result.status, result.out, result.error);
    return result;
}

static void expect_same(const char *path, const char *how)
{
    const struct process_result result = replay(path);
    EXPECT_EQUAL(result.status, 0);
    EXPECT(strstr(result.out, "\"verdict\":\"same\"") != NULL);
    if (strstr(result.out, how) == NULL)
        printf("no %s in %s\n", how, result.out);
    EXPECT(strstr(result.out, how) != NULL);
}

static void stop_all(struct cluster *cluster)
{
    for (uint32_t slot = 0; slot < NODES; slot++)
        if (cluster->pid[slot] != 0)
            EXPECT_EQUAL(cluster_kill(cluster, slot, SIGTERM), 0);
}

TEST(a_killed_leader_and_its_followers_replay_to_the_same_outputs)
{
    struct cluster cluster;
    cluster_up(&cluster);
    load(&cluster);
    const uint32_t leader = cluster_leader(&cluster, WAIT_MS);
    EXPECT(leader < NODES);
    EXPECT_EQUAL(cluster_kill(&cluster, leader, SIGKILL), PROCESS_SIGNALED + SIGKILL);
    load(&cluster);
    stop_all(&cluster);
    for (uint32_t slot = 0; slot < NODES; slot++)
        expect_same(record_paths[slot], slot == leader ? "\"ended\":false" : "\"ended\":true");
    process_end();
}

/* The child that writes an anchor of this node's state; 0: there is none. */
static pid_t child_of(pid_t pid)
{
    char path[64];
    char text[OUTPUT_BYTES];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    process_read_file(path, text);
    return (pid_t)strtol(text, NULL, 10);
}

/* No anchor is being written any more, and no gap is waiting for one to end. */
static void settle(const struct cluster *cluster)
{
    for (uint32_t slot = 0; slot < NODES; slot++)
        for (uint32_t quiet = 0; quiet < 20; quiet++) {
            if (child_of(cluster->pid[slot]) != 0)
                quiet = 0;
            sleep_ms(20);
        }
}

TEST(a_ring_that_went_around_begins_with_an_anchor_and_meets_the_next_one)
{
    struct cluster cluster;
    signal(SIGCHLD, SIG_IGN); /* is inherited, and must not matter */
    cluster_up(&cluster);
    signal(SIGCHLD, SIG_DFL);
    uint32_t rounds = 0;
    for (uint32_t slot = 0; slot < NODES; slot++)
        for (; segment_of(slot) < SEGMENTS_WANTED && rounds < ROUNDS_MAX; rounds++)
            load(&cluster);
    EXPECT(rounds < ROUNDS_MAX);
    settle(&cluster);
    stop_all(&cluster);
    for (uint32_t slot = 0; slot < NODES; slot++) {
        const struct process_result result = replay(record_paths[slot]);
        EXPECT_EQUAL(result.status, 0);
        EXPECT(strstr(result.out, "\"first_step\":1,") == NULL);
        EXPECT(strstr(result.out, "\"ended\":true") != NULL);
    }
    process_end();
}

/* Waits for a child that is not the one before, and stops it. */
static pid_t child_stopped(pid_t pid, pid_t before)
{
    const uint64_t deadline_ns = clock_now_ns() + WAIT_MS * NS_PER_MS;
    pid_t child = 0;
    while ((child == 0 || child == before) && clock_now_ns() < deadline_ns)
        child = child_of(pid);
    EXPECT(child > 0 && child != before);
    EXPECT_EQUAL(kill(child, SIGSTOP), 0);
    return child;
}

/* As load(), until it is killed. */
static pid_t load_begins(const struct cluster *cluster)
{
    const int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    const char *const argv[] = { "raftbench", "--endpoints", cluster->endpoints, "--inflight", "64", "--value-bytes",
                                 "8K",        "--keys",      "random:500",       "--warmup",   "0s", "--duration",
                                 "10m",       NULL };
    const pid_t bench = process_start(argv, null_fd, null_fd, null_fd, 0);
    close(null_fd);
    return bench;
}

/* The child may be as late as a busy machine makes it: what the loop records meanwhile takes nothing of its room. */
TEST(an_anchor_that_is_late_leaves_a_gap_and_the_recording_goes_on)
{
    struct cluster cluster;
    cluster_up(&cluster);
    const pid_t bench = load_begins(&cluster);
    const uint64_t deadline_ns = clock_now_ns() + WAIT_MS * NS_PER_MS;
    const pid_t child = child_stopped(cluster.pid[0], 0);
    EXPECT(cluster_log_says(&cluster, 0, "recording-gap", WAIT_MS));
    const uint64_t segment = segment_of(0);
    EXPECT_EQUAL(kill(child, SIGCONT), 0);
    while (segment_of(0) < segment + 2 && clock_now_ns() < deadline_ns)
        sleep_ms(20);
    EXPECT(!cluster_log_says(&cluster, 0, "recording-stopped", 0));
    EXPECT(segment_of(0) >= segment + 2);
    process_kill(bench, SIGTERM);
    stop_all(&cluster);
    EXPECT_EQUAL(replay(record_paths[0]).status, 0);
    process_end();
}

/* Behind a gap a node that ends waits for the anchor, however long that takes; but not against a second signal. */
TEST(an_anchor_without_end_does_not_keep_a_node_that_is_told_twice_to_end)
{
    struct cluster cluster;
    cluster_up(&cluster);
    const pid_t bench = load_begins(&cluster);
    const pid_t first = child_stopped(cluster.pid[0], 0);
    EXPECT(cluster_log_says(&cluster, 0, "recording-gap", WAIT_MS));
    EXPECT_EQUAL(kill(first, SIGCONT), 0);
    child_stopped(cluster.pid[0], first);
    process_kill(bench, SIGTERM);
    EXPECT_EQUAL(kill(cluster.pid[0], SIGTERM), 0);
    sleep_ms(500);
    EXPECT_EQUAL(waitpid(cluster.pid[0], NULL, WNOHANG), 0);
    EXPECT_EQUAL(cluster_kill(&cluster, 0, SIGTERM), 0);
    stop_all(&cluster);
    process_end();
}

/* The node is up until the disk has what it was fed last: what a crash leaves is complete to the last input. */
TEST(a_crash_leaves_a_recording_and_the_next_life_keeps_it)
{
    struct cluster cluster;
    char before[PATH_BYTES + 8];
    cluster_up(&cluster);
    load(&cluster);
    EXPECT_EQUAL(cluster_kill(&cluster, 0, SIGSEGV), PROCESS_SIGNALED + SIGSEGV);
    EXPECT_EQUAL(cluster_kill(&cluster, 1, SIGABRT), PROCESS_SIGNALED + SIGABRT);
    expect_same(record_paths[0], "\"ended\":false");
    expect_same(record_paths[1], "\"ended\":false");
    node_start_recording(&cluster, 0, "64M");
    node_start_recording(&cluster, 1, "64M");
    EXPECT(cluster_leader(&cluster, WAIT_MS) < NODES);
    load(&cluster);
    stop_all(&cluster);
    snprintf(before, sizeof before, "%s.before", record_paths[0]);
    expect_same(before, "\"ended\":false");
    expect_same(record_paths[0], "\"first_step\":1,");
    expect_same(record_paths[1], "\"first_step\":1,");
    process_end();
}

TEST(a_record_that_was_altered_is_damage)
{
    struct cluster cluster;
    cluster_up(&cluster); /* without load all of it lies in one segment */
    stop_all(&cluster);
    const struct process_result whole = replay(record_paths[0]);
    EXPECT_EQUAL(whole.status, 0);
    EXPECT(strstr(whole.out, "\"ended\":true") != NULL);
    const int fd = open(record_paths[0], O_RDWR | O_CLOEXEC);
    EXPECT(fd >= 0);
    uint8_t byte = 0;
    EXPECT_EQUAL(pread(fd, &byte, 1, 10000), 1);
    byte ^= 4;
    EXPECT_EQUAL(pwrite(fd, &byte, 1, 10000), 1);
    const struct process_result cut = replay(record_paths[0]);
    EXPECT_EQUAL(cut.status, 1);
    EXPECT(strstr(cut.out, "\"verdict\":\"damaged\"") != NULL);
    EXPECT(strstr(cut.out, "\"damaged_places\":1,") != NULL);
    for (off_t bytes = 64 << 20; bytes > 100; bytes /= 9) {
        EXPECT_EQUAL(ftruncate(fd, bytes - 1), 0);
        const struct process_result part = replay(record_paths[0]);
        EXPECT_EQUAL(part.status, 1);
        EXPECT(strstr(part.error, bytes > 4096 ? "it is not all there" : "only the beginning") != NULL);
    }
    close(fd);
    process_end();
}

TEST(a_part_of_a_recording_is_looked_at_and_has_no_verdict)
{
    struct cluster cluster;
    char page[PATH_BYTES];
    struct rusage usage;
    cluster_up(&cluster);
    load(&cluster);
    stop_all(&cluster);
    snprintf(page, sizeof page, "%s/page.html", process_root);
    struct process_result result = RUN("raftsim", "replay", record_paths[0], "--until", "200", "--state", "n0");
    EXPECT_EQUAL(result.status, 0);
    EXPECT(strstr(result.out, "n0 at step 200,") != NULL);
    EXPECT(strstr(result.out, "no verdict") != NULL);
    result = RUN("raftsim", "replay", record_paths[0], "--break", "commit>=3", "--json");
    EXPECT_EQUAL(result.status, 0);
    EXPECT(strstr(result.out, "\"verdict\":\"none\"") != NULL);
    /* The page is of all of it; no step of it looks at all of the store. */
    result = RUN("raftsim", "replay", record_paths[0], "--html", page, "--json");
    EXPECT_EQUAL(result.status, 0);
    EXPECT(strstr(result.out, "\"verdict\":\"same\"") != NULL);
    EXPECT(strstr(result.error, "page: ") != NULL);
    EXPECT_EQUAL(getrusage(RUSAGE_CHILDREN, &usage), 0);
    EXPECT(usage.ru_maxrss < 1 << 20);
    process_end();
}

TEST(a_recording_that_is_still_written_is_read_up_to_where_it_is_and_says_so)
{
    struct cluster cluster;
    cluster_up(&cluster);
    sleep_ms(100);
    expect_same(record_paths[0], "\"ended\":false,\"written\":true");
    const int fd = open(record_paths[0], O_RDWR | O_CLOEXEC);
    uint8_t byte = 0;
    EXPECT_EQUAL(pread(fd, &byte, 1, 10000), 1);
    byte ^= 4;
    EXPECT_EQUAL(pwrite(fd, &byte, 1, 10000), 1);
    close(fd);
    const struct process_result result = replay(record_paths[0]);
    EXPECT_EQUAL(result.status, 1);
    EXPECT(strstr(result.error, "its node still writes it") != NULL);
    stop_all(&cluster);
    process_end();
}

/* What is there stays. */
TEST(files_of_other_kinds_are_not_recorded_over)
{
    char paths[3][PATH_BYTES];
    char flag[PATH_BYTES + 16];
    char data[PATH_BYTES];
    process_begin();
    for (uint32_t slot = 0; slot < 3; slot++)
        snprintf(paths[slot], PATH_BYTES, "%s/other%u", process_root, (unsigned)slot);
    snprintf(data, sizeof data, "%s/lone", process_root);
    /* As the data file of a node that is down: nothing but zeros. */
    const int fd = open(paths[0], O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    EXPECT_EQUAL(ftruncate(fd, 64 << 20), 0);
    close(fd);
    EXPECT_EQUAL(mkfifo(paths[1], 0600), 0);
    EXPECT_EQUAL(mkdir(paths[2], 0700), 0);
    for (uint32_t slot = 0; slot < 3; slot++) {
        snprintf(flag, sizeof flag, "--record=%.400s", paths[slot]);
        const struct process_result result =
            RUN("raftd", "--id", "1", "--cluster", "1=127.0.0.1:19999", "--data", data, "--wal-size", "16M", flag);
        EXPECT_EQUAL(result.status, 1);
        EXPECT(strstr(result.error, "it is there and is no recording: not touched") != NULL);
        EXPECT_EQUAL(access(paths[slot], F_OK), 0);
        EXPECT(!playback_is_file(paths[slot]));
    }
    process_end();
}

TEST(what_cannot_be_recorded_is_said_before_the_node_starts)
{
    char path[PATH_BYTES];
    char flag[PATH_BYTES + 16];
    process_begin();
    snprintf(path, sizeof path, "%s/notes", process_root);
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    EXPECT_EQUAL(write(fd, "remember the milk", 17), 17);
    close(fd);
    char data[PATH_BYTES];
    snprintf(data, sizeof data, "%s/lone", process_root);
    snprintf(flag, sizeof flag, "--record=%s", path);
    struct process_result result =
        RUN("raftd", "--id", "1", "--cluster", "1=127.0.0.1:19999", "--data", data, "--wal-size", "16M", flag);
    EXPECT_EQUAL(result.status, 1);
    EXPECT(strstr(result.error, "no recording") != NULL);
    snprintf(flag, sizeof flag, "--record=%s.new,1M", path);
    result = RUN("raftd", "--id", "1", "--cluster", "1=127.0.0.1:19999", "--data", data, flag);
    EXPECT_EQUAL(result.status, 1);
    EXPECT(strstr(result.error, "at least") != NULL);
    snprintf(flag, sizeof flag, "--record=%s,much", path);
    result = RUN("raftd", "--id", "1", "--cluster", "1=127.0.0.1:19999", "--data", data, flag);
    EXPECT_EQUAL(result.status, 2);
    process_end();
}

TEST_MAIN()

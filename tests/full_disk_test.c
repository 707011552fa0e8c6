/* Disks that are full: formatting, running, saving and restoring on a small filesystem of memory. Each time the cause
 * is named, nothing half made is left, and with more room the same command succeeds and nothing is lost.
 *
 * The filesystem is mounted in a mount namespace of this process. Where the kernel or a sandbox forbids that, the tests
 * say so and prove nothing. */
#include <dirent.h>
#include <sched.h>
#include <sys/mount.h>

#include "../io/client.h"
#include "process.h"

enum { PUTS_MAX = 20000, VALUE_BYTES = 3000, PATIENCE_MS = 30000 };

static char disk_path[PATH_BYTES]; /* mounted here; empty: nothing is */

/* ---- the small filesystem ---- */

static bool write_text(const char *path, const char *text)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    const bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return written;
}

/* A mount namespace of our own; for an ordinary user with a user namespace around it. */
static bool namespace_enter(void)
{
    char map[32];
    const unsigned user = geteuid();
    if (unshare(CLONE_NEWNS) != 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
            return false;
        snprintf(map, sizeof map, "0 %u 1", user);
        if (!write_text("/proc/self/uid_map", map))
            return false;
    }
    return mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static void disk_unmount(void)
{
    if (disk_path[0] != '\0')
        umount2(disk_path, MNT_DETACH);
    disk_path[0] = '\0';
}

/* Begins a test; false: it cannot be run here. Namespaces want a process without threads, so the first call comes
 * before all else. */
static bool disk_begin(void)
{
    static enum { UNKNOWN, ALLOWED, FORBIDDEN } state;
    const bool first = state == UNKNOWN;
    if (first)
        state = namespace_enter() ? ALLOWED : FORBIDDEN;
    disk_unmount();
    process_begin();
    if (first)
        atexit(disk_unmount); /* before process_cleanup() */
    if (state == FORBIDDEN) {
        printf("not run: no filesystem can be mounted here\n");
        process_end();
    }
    return state == ALLOWED;
}

static void disk_end(void)
{
    disk_unmount();
    process_end();
}

static void disk_mount(const char *path, const char *options)
{
    snprintf(disk_path, sizeof disk_path, "%s", path);
    EXPECT(mkdir(path, 0700) == 0);
    EXPECT_EQUAL(mount("none", path, "tmpfs", 0, options), 0);
}

static void disk_resize(const char *options)
{
    EXPECT_EQUAL(mount("none", disk_path, "tmpfs", MS_REMOUNT, options), 0);
}

static bool disk_is_empty(void)
{
    DIR *directory = opendir(disk_path);
    EXPECT(directory != NULL);
    uint32_t names = 0;
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        names += entry->d_name[0] != '.';
        if (entry->d_name[0] != '.')
            printf("left behind: %s\n", entry->d_name);
    }
    closedir(directory);
    return names == 0;
}

/* ---- clusters on it ---- */

static void begin(struct cluster *cluster, uint32_t nodes)
{
    cluster_init(cluster, nodes);
    cluster->flags[0] = "--wal-size=16M";
    cluster->flags[1] = "--unsafe-buffered"; /* older kernels have no O_DIRECT on such a filesystem */
}

/* Nothing but the cause, behind the word that formatting has begun. */
static void expect_full(const struct process_result *result, int status, const char *part)
{
    if (result->status != status || strstr(result->error, part) == NULL)
        printf("status %d: %s", result->status, result->error);
    EXPECT_EQUAL(result->status, status);
    EXPECT(strstr(result->error, part) != NULL);
    EXPECT(strstr(result->error, "No space left on device") != NULL || strstr(result->error, "File too large") != NULL);
    const char *said = strstr(result->error, " formatting ") != NULL ? strchr(result->error, '\n') + 1 : result->error;
    EXPECT(strchr(said, '\n') == said + strlen(said) - 1);
}

static bool put(struct client *client, uint32_t number)
{
    static uint8_t value[VALUE_BYTES];
    char key[16];
    snprintf(key, sizeof key, "key%05u", number);
    memset(value, (int)number, sizeof value);
    return client_put(client, client_text(key), (struct slice){ value, sizeof value }).outcome == CLIENT_OK;
}

static void expect_values(struct client *client, uint32_t end)
{
    for (uint32_t number = 0; number < end; number += 7) {
        char key[16];
        snprintf(key, sizeof key, "key%05u", number);
        const struct client_result result = client_get(client, client_text(key));
        EXPECT_EQUAL(result.outcome, CLIENT_OK);
        EXPECT_EQUAL(result.value.count, VALUE_BYTES);
        EXPECT_EQUAL(result.value.bytes[0], number & 0xff);
    }
}

TEST(a_log_that_finds_no_room_is_named_and_a_second_try_is_not_refused)
{
    struct cluster cluster;
    if (!disk_begin())
        return;
    begin(&cluster, 1);
    disk_mount(cluster.data[0], "size=8m");
    const char *const *argv = ARGUMENTS("raftd", "--id", "1", "--cluster", cluster.members, "--data", cluster.data[0],
                                        "--wal-size=16M", "--unsafe-buffered");
    struct process_result result = process_run_limited(argv, (struct slice){ .count = 0 }, 0);
    expect_full(&result, 1, "/wal: cannot create 16777216 bytes");
    EXPECT(disk_is_empty());
    disk_resize("size=64m,nr_inodes=2"); /* the directory, and data */
    result = process_run_limited(argv, (struct slice){ .count = 0 }, 0);
    expect_full(&result, 1, "/wal.new: cannot open");
    EXPECT(disk_is_empty());
    disk_resize("size=64m,nr_inodes=100");
    cluster_start(&cluster, 0);
    EXPECT(cluster_leader(&cluster, PATIENCE_MS) == 0);
    disk_end();
}

TEST(a_node_whose_disk_is_full_stops_and_catches_up_when_there_is_room)
{
    struct cluster cluster;
    char log[PATH_BYTES + 8];
    static char text[OUTPUT_BYTES];
    uint32_t number = 0;
    int status = PROCESS_RUNNING;
    if (!disk_begin())
        return;
    begin(&cluster, 3);
    disk_mount(cluster.data[0], "size=20m");
    cluster_start_all(&cluster);
    struct client *client = cluster_client(&cluster, PATIENCE_MS);
    while (number < PUTS_MAX && status == PROCESS_RUNNING) {
        EXPECT(put(client, number++));
        status = process_wait(cluster.pid[0], 0);
    }
    cluster.pid[0] = 0;
    EXPECT_EQUAL(status, 3);
    snprintf(log, sizeof log, "%s.log", cluster.data[0]);
    process_read_file(log, text);
    EXPECT(strstr(text, "write-failed") != NULL && strstr(text, "No space left on device") != NULL);
    EXPECT(strstr(text, "a durable write failed") != NULL);
    for (uint32_t more = 0; more < 50; more++)
        EXPECT(put(client, number++)); /* the others go on */

    disk_resize("size=500m");
    cluster_start(&cluster, 0);
    EXPECT(cluster_agrees(&cluster, PATIENCE_MS));
    EXPECT_EQUAL(cluster_kill(&cluster, 1, SIGTERM), 0); /* now it is needed */
    EXPECT(put(client, number++));
    expect_values(client, number);
    client_close(client);
    disk_end();
}

TEST(a_node_alone_on_a_full_disk_loses_nothing)
{
    struct cluster cluster;
    uint32_t number = 0;
    if (!disk_begin())
        return;
    begin(&cluster, 1);
    disk_mount(cluster.data[0], "size=20m");
    cluster_start(&cluster, 0);
    EXPECT(cluster_leader(&cluster, PATIENCE_MS) == 0);
    struct client *client = cluster_client(&cluster, 5000);
    while (number < PUTS_MAX && put(client, number))
        number++;
    EXPECT(number > 500 && number < PUTS_MAX);
    EXPECT_EQUAL(process_wait(cluster.pid[0], PATIENCE_MS), 3);
    /* As often as somebody starts it. */
    for (uint32_t start = 0; start < 3; start++) {
        cluster.pid[0] = 0;
        cluster_start(&cluster, 0);
        put(client, number); /* its outcome is unknown */
        if (process_wait(cluster.pid[0], 2000) == PROCESS_RUNNING)
            EXPECT_EQUAL(process_kill(cluster.pid[0], SIGTERM), 0);
    }
    disk_resize("size=500m");
    cluster.pid[0] = 0;
    cluster_start(&cluster, 0);
    EXPECT(cluster_leader(&cluster, PATIENCE_MS) == 0);
    client_close(client);
    client = cluster_client(&cluster, PATIENCE_MS);
    expect_values(client, number);
    EXPECT(put(client, number + 1));
    client_close(client);
    disk_end();
}

TEST(a_snapshot_that_finds_no_room_leaves_no_file_and_a_restore_no_directory)
{
    struct cluster cluster;
    char file[PATH_BYTES + 16];
    char disk[PATH_BYTES];
    if (!disk_begin())
        return;
    begin(&cluster, 1);
    cluster_start(&cluster, 0);
    struct client *client = cluster_client(&cluster, PATIENCE_MS);
    for (uint32_t number = 0; number < 1000; number++)
        EXPECT(put(client, number));
    client_close(client);
    snprintf(disk, sizeof disk, "%s/disk", process_root);
    disk_mount(disk, "size=1m");
    snprintf(file, sizeof file, "%s/snapshot", disk);
    const char *const *save = ARGUMENTS("raftctl", "--endpoints", cluster.endpoints, "snapshot", "save", file);
    struct process_result result = process_run_limited(save, (struct slice){ .count = 0 }, 0);
    expect_full(&result, 1, file);
    EXPECT(disk_is_empty());
    disk_resize("size=64m");
    result = process_run_limited(save, (struct slice){ .count = 0 }, 1 << 20);
    expect_full(&result, 1, file);
    EXPECT(disk_is_empty());

    snprintf(file, sizeof file, "%s/snapshot", process_root);
    result = RUN("raftctl", "--endpoints", cluster.endpoints, "snapshot", "save", file);
    EXPECT_EQUAL(result.status, 0);
    const char *const *restore = ARGUMENTS("raftd", "restore", file, disk, "--id", "1", "--cluster", cluster.members,
                                           "--wal-size=16M", "--unsafe-buffered");
    static const char *const sizes[] = { "size=1m", "size=8m", "size=64m,nr_inodes=2" };
    static const char *const parts[] = { "/data: cannot create", "/wal: cannot create", "/wal.new: cannot open" };
    for (uint32_t at = 0; at < ARRAY_COUNT(sizes); at++) {
        disk_resize(sizes[at]);
        result = process_run_limited(restore, (struct slice){ .count = 0 }, 0);
        expect_full(&result, 1, parts[at]);
        EXPECT(disk_is_empty());
    }
    disk_resize("size=64m,nr_inodes=100");
    result = process_run_limited(restore, (struct slice){ .count = 0 }, 0);
    EXPECT_EQUAL(result.status, 0);
    result = RUN("raftd", "inspect", disk);
    EXPECT_EQUAL(result.status, 0);
    EXPECT(strstr(result.out, "log: 0 batches intact, 0 mended, 0 damaged; no entry; 0 of ") != NULL);
    disk_end();
}

TEST_MAIN()

/* The data directory on real files: what is formatted, what is refused and by which words, what is left alone. */
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "../io/clock.h"
#include "../io/datadir.h"

#include "directory.h"
#include "test.h"

enum { BLOCK = 4096, WAL_BYTES = 32 << 20 };

static struct replica_config voter(uint64_t node_id, uint64_t cluster_id)
{
    return (struct replica_config){
        .cluster_id = cluster_id,
        .node_id = node_id,
        .election_timeout_ns = 100 * NS_PER_MS,
        .heartbeat_interval_ns = 20 * NS_PER_MS,
    };
}

static bool open_with(struct datadir *datadir, uint64_t node_id, uint64_t cluster_id, bool rejoin)
{
    struct configuration configuration = { .id = { .term = 0 } };
    for (uint32_t slot = 0; slot < 3; slot++)
        configuration.members[slot] =
            (struct member){ .id = slot + 1, .roles = MEMBER_VOTER, .address = "127.0.0.1:1" };
    const struct datadir_options options = {
        .path = directory,
        .wal_bytes = WAL_BYTES,
        .buffered = true,
        .configuration = &configuration,
        .rejoin = rejoin,
    };
    const struct replica_config config = voter(node_id, cluster_id);
    return datadir_open(datadir, &options, &config, 77);
}

static bool open_as(struct datadir *datadir, uint64_t node_id, uint64_t cluster_id)
{
    return open_with(datadir, node_id, cluster_id, false);
}

TEST(a_new_directory_is_formatted_once)
{
    struct datadir datadir;
    directory_new();
    EXPECT(open_as(&datadir, 1, 0));
    EXPECT(datadir.formatted);
    EXPECT_EQUAL(datadir.cluster_id, 77);
    struct stat status;
    EXPECT_EQUAL(fstat(datadir.wal_fd, &status), 0);
    EXPECT_EQUAL(status.st_size, (long long)limits_wal_bytes(&datadir.limits));
    EXPECT(status.st_size <= WAL_BYTES);
    EXPECT(limits_problem(&datadir.limits) == NULL);
    struct stat data;
    EXPECT_EQUAL(fstat(datadir.data_fd, &data), 0);
    EXPECT_EQUAL(data.st_size, (long long)limits_data_bytes(&datadir.limits));
    EXPECT_EQUAL(data.st_blocks, 0);
    datadir_close(&datadir);
    EXPECT(access(in_directory("data.new"), F_OK) != 0);

    EXPECT(open_as(&datadir, 1, 0));
    EXPECT(!datadir.formatted);
    EXPECT_EQUAL(datadir.cluster_id, 77);
    EXPECT_EQUAL(limits_wal_bytes(&datadir.limits), (uint64_t)status.st_size);
    datadir_close(&datadir);
    directory_remove(directory);
}

/* The superblock of the directory as it lies on the disk. */
static struct superblock formatted(bool rejoin)
{
    static uint8_t block[BLOCK];
    struct datadir datadir;
    struct superblock superblock;
    EXPECT(open_with(&datadir, 1, 0, rejoin));
    EXPECT_EQUAL(pread(datadir.wal_fd, block, sizeof block, 0), BLOCK);
    EXPECT(superblock_decode((struct slice){ .bytes = block, .count = sizeof block }, &superblock));
    datadir_close(&datadir);
    return superblock;
}

TEST(a_directory_that_rejoins_says_so_and_is_younger_than_any_before)
{
    directory_new();
    const struct superblock first = formatted(false);
    EXPECT_EQUAL(first.stored.flags, 0);
    EXPECT_EQUAL(first.instance & INSTANCE_REJOIN, 0);
    EXPECT_EQUAL(formatted(true).instance, first.instance); /* it is there: nothing happens to it */
    uint64_t before = first.instance;
    for (uint32_t times = 0; times < 2; times++) {
        directory_remove(directory);
        directory_new();
        const struct superblock next = formatted(true);
        EXPECT_EQUAL(next.stored.flags, STORED_REJOIN | STORED_ABSTAIN);
        EXPECT_EQUAL(next.stored.hard.term, 0);
        EXPECT(next.instance > before && (next.instance & INSTANCE_REJOIN) != 0);
        before = next.instance;
    }
    directory_remove(directory);
}

TEST(a_locked_directory_is_refused)
{
    struct datadir first, second;
    directory_new();
    EXPECT(open_as(&first, 1, 0));
    EXPECT(!open_as(&second, 1, 0));
    EXPECT(strstr(second.error, "locked by another process") != NULL);
    datadir_close(&first);
    EXPECT(open_as(&second, 1, 0));
    datadir_close(&second);
    directory_remove(directory);
}

/* What a killed process has in flight keeps its files open, and with them their locks. */
TEST(a_locked_file_is_refused_although_the_directory_is_free)
{
    static const char *const names[] = { "wal", "data" };
    struct datadir datadir;
    directory_new();
    EXPECT(open_as(&datadir, 1, 0));
    datadir_close(&datadir);
    for (size_t slot = 0; slot < ARRAY_COUNT(names); slot++) {
        char expected[64];
        snprintf(expected, sizeof expected, "/%s: locked by another process", names[slot]);
        const int fd = open(in_directory(names[slot]), O_RDWR | O_CLOEXEC);
        EXPECT_EQUAL(flock(fd, LOCK_EX | LOCK_NB), 0);
        EXPECT(!open_as(&datadir, 1, 0));
        EXPECT(strstr(datadir.error, expected) != NULL);
        close(fd);
    }
    EXPECT(open_as(&datadir, 1, 0));
    datadir_close(&datadir);
    directory_remove(directory);
}

TEST(another_identity_is_refused_by_name)
{
    struct datadir datadir;
    directory_new();
    EXPECT(open_as(&datadir, 1, 0));
    datadir_close(&datadir);
    EXPECT(!open_as(&datadir, 2, 0));
    EXPECT(strstr(datadir.error, "belongs to node 1, not to node 2") != NULL);
    EXPECT(!open_as(&datadir, 1, 78));
    EXPECT(strstr(datadir.error, "belongs to cluster 77, not to cluster 78") != NULL);
    EXPECT(open_as(&datadir, 1, 77));
    datadir_close(&datadir);
    directory_remove(directory);
}

TEST(a_truncated_wal_is_refused_and_left_alone)
{
    struct datadir datadir;
    directory_new();
    EXPECT(open_as(&datadir, 1, 0));
    datadir_close(&datadir);
    EXPECT_EQUAL(truncate(in_directory("wal"), WAL_BYTES / 2), 0);
    EXPECT(!open_as(&datadir, 1, 0));
    EXPECT(strstr(datadir.error, "truncated") != NULL);
    struct stat status;
    EXPECT_EQUAL(stat(in_directory("wal"), &status), 0);
    EXPECT_EQUAL(status.st_size, WAL_BYTES / 2);
    directory_remove(directory);
}

TEST(a_missing_or_truncated_data_file_is_refused_by_name)
{
    struct datadir datadir;
    directory_new();
    EXPECT(open_as(&datadir, 1, 0));
    datadir_close(&datadir);
    EXPECT_EQUAL(truncate(in_directory("data"), BLOCK), 0);
    EXPECT(!open_as(&datadir, 1, 0));
    EXPECT(strstr(datadir.error, "/data: truncated: 4096 bytes of") != NULL);
    EXPECT(strstr(datadir.error, "start with --rejoin") != NULL);
    EXPECT_EQUAL(unlink(in_directory("data")), 0);
    EXPECT(!open_as(&datadir, 1, 0));
    EXPECT(strstr(datadir.error, "/data: missing") != NULL);
    EXPECT(strstr(datadir.error, "start with --rejoin") != NULL);
    EXPECT(access(in_directory("data"), F_OK) != 0);
    directory_remove(directory);
}

TEST(data_without_its_wal_is_formatted_over_only_when_it_is_empty)
{
    struct datadir datadir;
    directory_new();
    EXPECT(open_as(&datadir, 1, 0));
    datadir_close(&datadir);
    EXPECT_EQUAL(unlink(in_directory("wal")), 0); /* as a format that was interrupted between the two */
    EXPECT(open_as(&datadir, 1, 0));
    EXPECT(datadir.formatted);
    EXPECT_EQUAL(pwrite(datadir.data_fd, "page", 4, BLOCK), 4);
    EXPECT_EQUAL(fsync(datadir.data_fd), 0);
    datadir_close(&datadir);
    EXPECT_EQUAL(unlink(in_directory("wal")), 0);
    EXPECT(!open_as(&datadir, 1, 0));
    EXPECT(strstr(datadir.error, "/wal: missing, but") != NULL);
    char content[4] = { 0 };
    const int fd = open(in_directory("data"), O_RDONLY | O_CLOEXEC);
    EXPECT_EQUAL(pread(fd, content, 4, BLOCK), 4);
    EXPECT(memcmp(content, "page", 4) == 0);
    close(fd);
    directory_remove(directory);
}

TEST(a_foreign_wal_is_refused_and_left_alone)
{
    struct datadir datadir;
    char content[7] = { 0 };
    directory_new();
    int fd = open(in_directory("wal"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    EXPECT_EQUAL(write(fd, "foreign", 7), 7);
    EXPECT(!open_as(&datadir, 1, 0));
    EXPECT(strstr(datadir.error, "/wal: no intact superblock") != NULL);
    EXPECT_EQUAL(pread(fd, content, 7, 0), 7);
    EXPECT(memcmp(content, "foreign", 7) == 0);
    close(fd);
    directory_remove(directory);
}

TEST(an_interrupted_format_is_begun_anew)
{
    struct datadir datadir;
    directory_new();
    const int fd = open(in_directory("wal.new"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    EXPECT_EQUAL(write(fd, "half", 4), 4);
    close(fd);
    EXPECT(open_as(&datadir, 1, 0));
    EXPECT(datadir.formatted);
    datadir_close(&datadir);
    EXPECT(access(in_directory("wal.new"), F_OK) != 0);
    directory_remove(directory);
}

TEST(a_damaged_first_superblock_copy_does_not_hide_the_others)
{
    struct datadir datadir;
    directory_new();
    EXPECT(open_as(&datadir, 1, 0));
    EXPECT_EQUAL(pwrite(datadir.wal_fd, "rot", 3, 0), 3);
    datadir_close(&datadir);
    EXPECT(open_as(&datadir, 1, 0));
    EXPECT_EQUAL(datadir.cluster_id, 77);
    datadir_close(&datadir);
    directory_remove(directory);
}

TEST(a_wal_size_out_of_range_is_refused)
{
    struct limits limits;
    EXPECT(!datadir_limits(0, &limits));
    EXPECT(!datadir_limits(WAL_BYTES_MIN - 1, &limits));
    EXPECT(!datadir_limits(WAL_BYTES_MAX + 1, &limits));
    EXPECT(datadir_limits(WAL_BYTES_MIN, &limits));
    EXPECT(limits_problem(&limits) == NULL);
    EXPECT(datadir_limits(WAL_BYTES_MAX, &limits));
    EXPECT_EQUAL(limits_wal_bytes(&limits), WAL_BYTES_MAX);
    EXPECT(!datadir_limits(UINT64_MAX, &limits));
    EXPECT(datadir_limits(UINT64_C(1) << 30, &limits));
    EXPECT(limits_wal_bytes(&limits) <= UINT64_C(1) << 30);
}

TEST_MAIN()

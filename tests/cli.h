/* What the tests of the programs have in common: a small cluster, what a program must have said, and a directory with
 * some data in it that can be damaged. */
#ifndef WW_TESTS_CLI_H
#define WW_TESTS_CLI_H

#include "../core/checksum.h"
#include "../core/inspect.h"
#include "../io/client.h"
#include "../io/datadir.h"
#include "../io/link.h"

#include "process.h"

#include <sys/mman.h>

enum { WAL_BYTES = 40 * 1024 * 1024, FOREVER_MS = 20000 };

static inline void small_cluster(struct cluster *cluster, uint32_t node_count)
{
    process_begin();
    cluster_init(cluster, node_count);
    cluster->flags[0] = "--wal-size=40M";
    cluster_start_all(cluster);
    EXPECT(cluster_leader(cluster, FOREVER_MS) < node_count);
}

static inline void small_cluster_end(struct cluster *cluster)
{
    for (uint32_t slot = 0; slot < cluster->node_count; slot++)
        if (cluster->pid[slot] != 0)
            EXPECT_EQUAL(cluster_kill(cluster, slot, SIGTERM), 0);
    process_end();
}

#define CTL(cluster, ...) RUN("raftctl", "--endpoints", (cluster)->endpoints, "--timeout", "10s", __VA_ARGS__)

static inline void expect_contains(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        printf("'%s' does not contain '%s'\n", text, part);
        EXPECT(false);
    }
}

/* One line that names the program and the thing. */
static inline void expect_error(const struct process_result *result, int status, const char *part)
{
    if (result->status != status)
        printf("it said: %s%s\n", result->out, result->error);
    EXPECT_EQUAL(result->status, status);
    expect_contains(result->error, part);
}

static inline void expect_one_line(const struct process_result *result)
{
    const char *end = strchr(result->error, '\n');
    EXPECT(end != NULL && end[1] == '\0');
}

static inline uint64_t digest_of_file(const char *directory, const char *name)
{
    char path[PATH_BYTES + 8];
    struct stat status;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    ASSERT(fd >= 0 && fstat(fd, &status) == 0 && status.st_size > 0);
    void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    ASSERT(bytes != MAP_FAILED);
    const uint64_t digest = checksum64(bytes, (size_t)status.st_size, (uint64_t)status.st_size);
    munmap(bytes, (size_t)status.st_size);
    close(fd);
    return digest;
}

/* Starts a raftd that must end by itself and leave the WAL in `data` as it is. */
static inline struct process_result raftd_fails(const char *const *argv, const char *data)
{
    const uint64_t before = digest_of_file(data, "wal");
    const struct process_result result = process_run_limited(argv, (struct slice){ .count = 0 }, 0);
    EXPECT(digest_of_file(data, "wal") == before);
    return result;
}

/* Overwrites bytes of the WAL of a node that is down, or cuts it. */
static inline void damage(const char *data, uint64_t offset, const char *bytes, uint64_t truncate_to)
{
    char path[PATH_BYTES + 8];
    snprintf(path, sizeof path, "%s/wal", data);
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    ASSERT(fd >= 0);
    if (bytes != NULL)
        ASSERT(pwrite(fd, bytes, strlen(bytes), (off_t)offset) == (ssize_t)strlen(bytes));
    else
        ASSERT(ftruncate(fd, (off_t)truncate_to) == 0);
    close(fd);
}

/* A one-node cluster with some data, stopped. */
static inline void node_with_data(struct cluster *cluster)
{
    small_cluster(cluster, 1);
    struct client *client = cluster_client(cluster, FOREVER_MS);
    for (uint32_t i = 0; i < 20; i++)
        EXPECT_EQUAL(client_append(client, client_text("a"), client_text("1")).outcome, CLIENT_OK);
    client_close(client);
    EXPECT_EQUAL(cluster_kill(cluster, 0, SIGTERM), 0);
}

/* The data is as good as before. */
static inline void expect_data(struct cluster *cluster)
{
    cluster_start(cluster, 0);
    const struct process_result result = CTL(cluster, "get", "a");
    EXPECT_TEXT(result.out, "11111111111111111111\n");
    small_cluster_end(cluster);
}

#endif

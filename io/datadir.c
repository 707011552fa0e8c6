/* The data directory; see datadir.h. */
#include "datadir.h"

#include "clock.h"
#include "logger.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    ZERO_BYTES = 4 * 1024 * 1024,
    LOG_BYTES_PER_ENTRY = 256, /* log_entries_max follows from the size of the body ring by this */
};

/* What is left to do when the right file cannot be brought back; of the directory. */
#define ADVICE "; if it cannot be brought back, remove %s and start with --rejoin"

__attribute__((format(printf, 2, 3))) static bool datadir_fail(struct datadir *datadir, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(datadir->error, sizeof(datadir->error), format, arguments);
    va_end(arguments);
    return false;
}

static uint32_t power_of_two_above(uint64_t value)
{
    uint32_t power = 1;
    while (power < value && power < 1u << 30)
        power *= 2;
    return power;
}

/* Everything that depends on the size of the ring keeps the proportion that it has in the production limits. */
static bool limits_with_body(uint32_t body_blocks, struct limits *limits)
{
    *limits = limits_production;
    limits->wal_body_blocks = body_blocks;
    uint64_t body_bytes = (uint64_t)body_blocks * limits->block_bytes;
    limits->log_entries_max = power_of_two_above(body_bytes / LOG_BYTES_PER_ENTRY);
    limits->wal_reserve_blocks = u32_min(limits->wal_reserve_blocks, body_blocks / 8);
    limits->wal_retain_blocks = body_blocks / (limits_production.wal_body_blocks / limits->wal_retain_blocks);
    limits->checkpoint_wal_blocks = body_blocks / (limits_production.wal_body_blocks / limits->checkpoint_wal_blocks);
    limits->checkpoint_entries = limits->log_entries_max / 4;
    return limits_problem(limits) == NULL;
}

uint64_t datadir_usable_bytes(uint64_t body_bytes)
{
    struct limits limits;
    const uint64_t blocks = body_bytes / limits_production.block_bytes;
    if (blocks > UINT32_MAX || !limits_with_body((uint32_t)blocks, &limits))
        return body_bytes;
    return body_bytes - (uint64_t)limits.wal_reserve_blocks * limits.block_bytes;
}

bool datadir_limits(uint64_t wal_bytes, struct limits *limits)
{
    struct limits empty = limits_production;
    empty.wal_body_blocks = 0;
    uint64_t blocks = wal_bytes / limits_production.block_bytes;
    uint64_t fixed_blocks = limits_wal_bytes(&empty) / limits_production.block_bytes;
    if (wal_bytes < WAL_BYTES_MIN || wal_bytes > WAL_BYTES_MAX)
        return false;
    ASSERT(blocks > fixed_blocks);
    return limits_with_body((uint32_t)(blocks - fixed_blocks), limits);
}

/* An open WAL, or a negative errno. */
static int wal_open(const char *path, int flags)
{
    char name[PATH_MAX];
    const int bytes = snprintf(name, sizeof(name), "%s/wal", path);
    if (bytes < 0 || (size_t)bytes >= sizeof(name))
        return -ENAMETOOLONG;
    const int fd = open(name, flags | O_CLOEXEC);
    return fd >= 0 ? fd : -errno;
}

int datadir_exists(const char *path)
{
    const int fd = wal_open(path, O_PATH);
    if (fd >= 0)
        close(fd);
    return fd >= 0 ? 1 : fd == -ENOENT ? 0 : fd;
}

/* name: of a file in the directory with a slash before it, or empty. */
static bool datadir_lock(struct datadir *datadir, int fd, const char *path, const char *name)
{
    for (int retry = 0; retry <= KILLED_RETRIES; retry++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return true;
        if (errno != EWOULDBLOCK && errno != EINTR)
            return datadir_fail(datadir, "%s%s: cannot lock: %s", path, name, strerror(errno));
        nanosleep(&(struct timespec){ .tv_nsec = (long)KILLED_WAIT_NS }, NULL);
    }
    return datadir_fail(datadir, "%s%s: locked by another process: is this node running already?", path, name);
}

int datadir_sync_parent(const char *path)
{
    char *copy = strdup(path);
    if (copy == NULL)
        return -ENOMEM;
    const int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    const int result = fd < 0 || fsync(fd) != 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    return result;
}

static bool datadir_open_directory(struct datadir *datadir, const char *path)
{
    const bool made = mkdir(path, 0700) == 0;
    if (!made && errno != EEXIST)
        return datadir_fail(datadir, "%s: cannot create: %s", path, strerror(errno));
    datadir->directory_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (datadir->directory_fd < 0)
        return datadir_fail(datadir, "%s: cannot open as a directory: %s", path, strerror(errno));
    const int synced = made ? datadir_sync_parent(path) : 0;
    if (synced != 0)
        return datadir_fail(datadir, "%s: cannot sync the directory that it is in: %s", path, strerror(-synced));
    return datadir_lock(datadir, datadir->directory_fd, path, "");
}

/* Opens and locks one of the two files. name: with a slash before it. */
static bool datadir_open_file(struct datadir *datadir, const struct datadir_options *options, const char *name,
                              int flags, int *fd)
{
    int direct = options->buffered ? 0 : O_DIRECT;
    ASSERT(name[0] == '/');
    *fd = openat(datadir->directory_fd, name + 1, O_RDWR | O_CLOEXEC | direct | flags, 0600);
    if (*fd >= 0)
        return datadir_lock(datadir, *fd, options->path, name);
    if (errno == EINVAL && direct != 0)
        return datadir_fail(datadir,
                            "%s%s: this filesystem has no O_DIRECT: use another one, or --unsafe-buffered for "
                            "development",
                            options->path, name);
    return datadir_fail(datadir, "%s%s: cannot open: %s", options->path, name, strerror(errno));
}

static int write_all(int fd, const uint8_t *bytes, size_t count, uint64_t offset)
{
    while (count > 0) {
        ssize_t written = pwrite(fd, bytes, count, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? -errno : -ENOSPC;
        bytes += written;
        count -= (size_t)written;
        offset += (uint64_t)written;
    }
    return 0;
}

/* Real zeros, not only reserved extents: a later overwrite must change no metadata of the filesystem, which would cost
 * a journal commit each time. */
static int wal_fill(int fd, const struct limits *limits, const uint8_t *superblock, uint8_t *zeros)
{
    uint64_t wal_bytes = limits_wal_bytes(limits);
    int result = -posix_fallocate(fd, 0, (off_t)wal_bytes);
    if (result == -EOPNOTSUPP || result == -EINVAL)
        result = 0; /* the zeros will show whether there is room */
    for (uint64_t offset = 0; result == 0 && offset < wal_bytes; offset += ZERO_BYTES)
        result = write_all(fd, zeros, u64_min(ZERO_BYTES, wal_bytes - offset), offset);
    for (uint32_t copy = 0; result == 0 && copy < SUPERBLOCK_COPIES; copy++)
        result = write_all(fd, superblock, limits_superblock_bytes(limits), superblock_offset(limits, copy));
    if (result == 0 && fsync(fd) != 0)
        result = -errno;
    return result;
}

/* Of directories that rejoin the younger one must have the larger number: only for that a node looks at the calendar.
 */
static int instance_draw(bool rejoin, uint64_t *instance)
{
    struct timespec now;
    *instance = 0;
    while (*instance == 0 && !rejoin) {
        if (getrandom(instance, sizeof(*instance), 0) != (ssize_t)sizeof(*instance))
            return -EIO;
        *instance &= ~INSTANCE_REJOIN;
    }
    if (!rejoin)
        return 0;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return -errno;
    *instance = INSTANCE_REJOIN | ((uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec);
    return 0;
}

static int wal_build(int fd, const struct limits *limits, const struct replica_config *config,
                     const struct stored *stored, bool rejoin)
{
    uint64_t instance;
    const int drawn = instance_draw(rejoin, &instance);
    if (drawn < 0)
        return drawn;
    uint8_t *memory = mmap(NULL, ZERO_BYTES + limits_superblock_bytes(limits), PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return -errno;
    superblock_format(limits, config, instance, stored, memory + ZERO_BYTES);
    int result = wal_fill(fd, limits, memory + ZERO_BYTES, memory);
    munmap(memory, ZERO_BYTES + limits_superblock_bytes(limits));
    return result;
}

/* A new file becomes the one of that name, durably. */
static int datadir_rename(const struct datadir *datadir, const char *from, const char *to)
{
    if (renameat(datadir->directory_fd, from, datadir->directory_fd, to) != 0)
        return -errno;
    return fsync(datadir->directory_fd) == 0 ? 0 : -errno;
}

/* What lies in DIR/data without a WAL beside it is a file of holes that an interrupted format left, or all that
 * somebody still has of a store. */
static bool data_is_unused(struct datadir *datadir, const char *path)
{
    struct stat status;
    if (fstatat(datadir->directory_fd, "data", &status, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT || datadir_fail(datadir, "%s/data: cannot stat: %s", path, strerror(errno));
    if (S_ISREG(status.st_mode) && status.st_blocks == 0)
        return true;
    return datadir_fail(datadir,
                        "%s/wal: missing, but %s/data holds something: bring back the WAL that belongs to it, "
                        "or remove it and start with --rejoin",
                        path, path);
}

/* Sparse: which blocks are ever written is the core's choice, and what was never written is never read. */
static bool data_format(struct datadir *datadir, const struct datadir_options *options)
{
    const uint64_t data_bytes = limits_data_bytes(&datadir->limits);
    if (!data_is_unused(datadir, options->path)
        || !datadir_open_file(datadir, options, "/data.new", O_CREAT | O_TRUNC, &datadir->data_fd))
        return false;
    int result = ftruncate(datadir->data_fd, (off_t)data_bytes) == 0 ? 0 : -errno;
    if (result == 0 && options->origin != NULL)
        result = options->origin->write_data(options->origin, &datadir->limits, datadir->data_fd);
    if (result == 0 && fsync(datadir->data_fd) != 0)
        result = -errno;
    if (result == 0)
        result = datadir_rename(datadir, "data.new", "data");
    if (result == 0)
        return true;
    unlinkat(datadir->directory_fd, "data.new", 0);
    unlinkat(datadir->directory_fd, "data", 0); /* unused, as was seen, or renamed just now */
    return datadir_fail(datadir, "%s/data: cannot create a sparse file of %llu bytes: %s", options->path,
                        (unsigned long long)data_bytes, strerror(-result));
}

static bool wal_format(struct datadir *datadir, const struct datadir_options *options,
                       const struct replica_config *config)
{
    struct stored stored = { .flags = 0 };
    if (!datadir_open_file(datadir, options, "/wal.new", O_CREAT | O_TRUNC, &datadir->wal_fd))
        return false;
    if (options->origin != NULL)
        stored = options->origin->stored;
    stored.members.latest = *options->configuration;
    stored.members.previous = *options->configuration;
    if (options->origin == NULL)
        LOG(LOG_LEVEL_INFO, "formatting", FIELD_TEXT("data", options->path),
            FIELD_NUMBER("wal_bytes", limits_wal_bytes(&datadir->limits)));
    int result = wal_build(datadir->wal_fd, &datadir->limits, config, &stored, options->rejoin);
    if (result == 0)
        result = datadir_rename(datadir, "wal.new", "wal");
    return result == 0
           || datadir_fail(datadir, "%s/wal: cannot create %llu bytes: %s", options->path,
                           (unsigned long long)limits_wal_bytes(&datadir->limits), strerror(-result));
}

static bool datadir_format(struct datadir *datadir, const struct datadir_options *options,
                           const struct replica_config *config)
{
    if (!datadir_limits(options->wal_bytes, &datadir->limits))
        return datadir_fail(datadir, "%s/wal: no WAL of %llu bytes is possible: its size is out of range",
                            options->path, (unsigned long long)options->wal_bytes);
    if (!data_format(datadir, options))
        return false;
    if (wal_format(datadir, options, config)) {
        datadir->formatted = true;
        datadir->cluster_id = config->cluster_id;
        datadir->configuration = *options->configuration;
        return true;
    }
    /* None of them was there before: the next try finds the directory as this one did. */
    unlinkat(datadir->directory_fd, "wal.new", 0);
    unlinkat(datadir->directory_fd, "wal", 0);
    unlinkat(datadir->directory_fd, "data", 0);
    return false;
}

/* Any intact copy tells the geometry; whether enough of them agree is for the core to judge. */
static bool wal_summarize(int fd, struct superblock_summary *summary)
{
    uint32_t block_bytes = limits_superblock_bytes(&limits_production);
    uint8_t *block = mmap(NULL, block_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool found = false;
    if (block == MAP_FAILED)
        return false;
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES && !found; copy++) {
        ssize_t got = pread(fd, block, block_bytes, (off_t)superblock_offset(&limits_production, copy));
        found = got == (ssize_t)block_bytes && superblock_summarize((struct slice){ block, block_bytes }, summary);
    }
    munmap(block, block_bytes);
    return found;
}

int datadir_summarize(const char *path, struct superblock_summary *summary)
{
    const int fd = wal_open(path, O_RDONLY);
    if (fd < 0)
        return fd;
    const bool found = wal_summarize(fd, summary);
    close(fd);
    return found ? 0 : -EBADMSG;
}

static bool summary_check(struct datadir *datadir, const struct datadir_options *options,
                          const struct replica_config *config, const struct superblock_summary *summary)
{
    unsigned long long stored_node = summary->node_id, stored_cluster = summary->cluster_id;
    struct limits *limits = &datadir->limits;
    if (summary->version != STORED_VERSION)
        return datadir_fail(datadir, "%s/wal: has format %u; this program reads format %u only", options->path,
                            summary->version, (unsigned)STORED_VERSION);
    bool geometry = limits_with_body(summary->wal_body_blocks, limits) && summary->block_bytes == limits->block_bytes
                    && summary->superblock_stride_blocks == limits->superblock_stride_blocks
                    && summary->wal_header_blocks == limits->wal_header_blocks
                    && summary->page_bytes == limits->page_bytes && summary->pages_max == limits->pages_max
                    && summary->data_blocks == limits->data_blocks;
    if (!geometry)
        return datadir_fail(datadir, "%s/wal: its block, ring or page sizes are not supported by this program",
                            options->path);
    if (config->cluster_id != 0 && config->cluster_id != summary->cluster_id)
        return datadir_fail(datadir, "%s/wal: belongs to cluster %llu, not to cluster %llu", options->path,
                            stored_cluster, (unsigned long long)config->cluster_id);
    if (config->node_id != summary->node_id)
        return datadir_fail(datadir, "%s/wal: belongs to node %llu, not to node %llu", options->path, stored_node,
                            (unsigned long long)config->node_id);
    datadir->cluster_id = summary->cluster_id;
    datadir->configuration = summary->configuration;
    return true;
}

/* A regular file of at least `bytes`. name: with a slash before it. */
static bool file_check(struct datadir *datadir, const char *path, const char *name, int fd, uint64_t bytes)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return datadir_fail(datadir, "%s%s: cannot stat: %s", path, name, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return datadir_fail(datadir, "%s%s: not a regular file", path, name);
    if ((uint64_t)status.st_size < bytes)
        return datadir_fail(datadir, "%s%s: truncated: %llu bytes of %llu" ADVICE, path, name,
                            (unsigned long long)status.st_size, (unsigned long long)bytes, path);
    return true;
}

static bool datadir_load(struct datadir *datadir, const struct datadir_options *options,
                         const struct replica_config *config)
{
    const char *path = options->path;
    struct superblock_summary summary;
    if (!datadir_open_file(datadir, options, "/wal", 0, &datadir->wal_fd)
        || !file_check(datadir, path, "/wal", datadir->wal_fd, 0))
        return false;
    /* Decide nothing on data that a crashed predecessor left only in caches. */
    if (fsync(datadir->wal_fd) != 0 || fsync(datadir->directory_fd) != 0)
        return datadir_fail(datadir, "%s/wal: cannot sync: %s", path, strerror(errno));
    if (!wal_summarize(datadir->wal_fd, &summary))
        return datadir_fail(
            datadir,
            "%s/wal: no intact superblock: a foreign or damaged file; if this node wrote it, what it promised "
            "is lost: remove %s and start with --rejoin",
            path, path);
    if (!summary_check(datadir, options, config, &summary)
        || !file_check(datadir, path, "/wal", datadir->wal_fd, limits_wal_bytes(&datadir->limits)))
        return false;
    if (faccessat(datadir->directory_fd, "data", F_OK, 0) != 0 && errno == ENOENT)
        return datadir_fail(datadir, "%s/data: missing: it belongs to the WAL beside it" ADVICE, path, path);
    if (!datadir_open_file(datadir, options, "/data", 0, &datadir->data_fd)
        || !file_check(datadir, path, "/data", datadir->data_fd, limits_data_bytes(&datadir->limits)))
        return false;
    return fsync(datadir->data_fd) == 0 || datadir_fail(datadir, "%s/data: cannot sync: %s", path, strerror(errno));
}

bool datadir_open(struct datadir *datadir, const struct datadir_options *options, const struct replica_config *config,
                  uint64_t default_cluster_id)
{
    *datadir = (struct datadir){ .directory_fd = -1, .wal_fd = -1, .data_fd = -1 };
    bool open = datadir_open_directory(datadir, options->path);
    if (open && faccessat(datadir->directory_fd, "wal", F_OK, 0) == 0) {
        open = options->origin == NULL
                   ? datadir_load(datadir, options, config)
                   : datadir_fail(datadir, "%s/wal: exists already: this directory holds a node", options->path);
    } else if (open && errno == ENOENT) {
        struct replica_config identity = *config;
        if (identity.cluster_id == 0)
            identity.cluster_id = default_cluster_id;
        ASSERT(identity.cluster_id != 0);
        open = datadir_format(datadir, options, &identity);
    } else if (open) {
        open = datadir_fail(datadir, "%s/wal: cannot access: %s", options->path, strerror(errno));
    }
    if (!open)
        datadir_close(datadir);
    return open;
}

void datadir_close(struct datadir *datadir)
{
    int *const fds[] = { &datadir->data_fd, &datadir->wal_fd, &datadir->directory_fd };
    for (uint32_t slot = 0; slot < ARRAY_COUNT(fds); slot++) {
        if (*fds[slot] >= 0)
            close(*fds[slot]);
        *fds[slot] = -1;
    }
}

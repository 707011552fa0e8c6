/* A cluster of one from one survivor; see recover.h. */
#include "recover.h"

#include "clock.h"
#include "logger.h"
#include "node.h"
#include "restore.h"
#include "snapshot_save.h"
#include "survey.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

/* It is alone: nobody is to be waited for. */
#define ELECTION_NS (100 * NS_PER_MS)
#define HEARTBEAT_NS (20 * NS_PER_MS)
#define SAVE_TIMEOUT_NS (60 * NS_PER_S)

struct recover {
    const struct recover_options *options;
    struct recover_result *result;
    struct replica_config config; /* of the old cluster */
    struct configuration alone;
    struct datadir datadir;
    char snapshot[PATH_MAX];
    char made[PATH_MAX];
};

__attribute__((format(printf, 2, 3))) static bool recover_fail(struct recover *recover, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(recover->result->error, sizeof(recover->result->error), format, arguments);
    va_end(arguments);
    return false;
}

/* ---- 0: is it all there? ---- */

/* Before anything is changed: behind step 1 DIR is of no use to its old cluster any more. */
static bool recover_examine(struct recover *recover)
{
    const char *path = recover->options->path;
    return survey_contents(path) == SURVEY_WHOLE
           || recover_fail(
               recover,
               "%s: is damaged, which one node alone cannot mend (raftd inspect %s shows where); nothing was "
               "changed: take another survivor, or raftd restore a snapshot",
               path, path);
}

/* ---- 1: the only voter ---- */

static bool recover_patch(struct recover *recover, struct superblock *superblock)
{
    struct members *members = &superblock->stored.members;
    const uint64_t id = recover->config.node_id;
    const uint32_t slot = configuration_slot(&members->latest, id);
    const uint32_t before = configuration_slot(&members->previous, id);
    if (slot == MEMBERS_MAX && before == MEMBERS_MAX)
        return recover_fail(recover, "%s: node %llu was no member of cluster %llu when it stopped",
                            recover->options->path, (unsigned long long)id, (unsigned long long)superblock->cluster_id);
    if ((superblock->stored.flags & STORED_REJOIN) != 0 && superblock->stored.hard.term == 0)
        return recover_fail(recover, "%s: was made with --rejoin, and holds nothing yet", recover->options->path);
    if ((superblock->stored.flags & STORED_PARTIAL) != 0)
        return recover_fail(recover, "%s: was getting its pages from another node, and has not all of them",
                            recover->options->path);
    recover->result->old = members->latest;
    const struct member *self =
        slot < MEMBERS_MAX ? &members->latest.members[slot] : &members->previous.members[before];
    recover->alone.members[0] = (struct member){ .id = id, .roles = MEMBER_VOTER };
    memcpy(recover->alone.members[0].address, self->address, sizeof(self->address));
    memcpy(members->latest.members, recover->alone.members, sizeof(recover->alone.members));
    memcpy(members->previous.members, recover->alone.members, sizeof(recover->alone.members));
    superblock->stored.flags &= ~(uint64_t)(STORED_ABSTAIN | STORED_STRANGER | STORED_REJOIN);
    superblock->parent = superblock->hash;
    superblock->sequence++;
    return true;
}

/* One copy after the other, as the core does it (wal_format.h): a crash in between leaves one that counts. */
static bool recover_superblock(struct recover *recover, uint8_t *memory, uint32_t bytes)
{
    const struct limits *limits = &recover->datadir.limits;
    struct superblock copies[SUPERBLOCK_COPIES] = { { .sequence = 0 } };
    uint8_t valid[SUPERBLOCK_COPIES];
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++) {
        const off_t offset = (off_t)superblock_offset(limits, copy);
        const bool got = pread(recover->datadir.wal_fd, memory, bytes, offset) == (ssize_t)bytes;
        valid[copy] = got && superblock_decode((struct slice){ memory, bytes }, &copies[copy]);
    }
    const uint32_t chosen = superblock_choose(copies, valid);
    if (chosen == SUPERBLOCK_COPIES)
        return recover_fail(recover, "%s/wal: no two superblock copies agree", recover->options->path);
    struct superblock superblock = copies[chosen];
    if (!recover_patch(recover, &superblock))
        return false;
    memset(memory, 0, bytes);
    memcpy(memory, &superblock, sizeof(superblock));
    superblock_seal(memory, bytes);
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++) {
        const off_t offset = (off_t)superblock_offset(limits, copy);
        if (pwrite(recover->datadir.wal_fd, memory, bytes, offset) != (ssize_t)bytes
            || fdatasync(recover->datadir.wal_fd) != 0)
            return recover_fail(recover, "%s/wal: cannot write: %s", recover->options->path, strerror(errno));
    }
    return true;
}

static bool recover_alone(struct recover *recover)
{
    const uint32_t bytes = limits_superblock_bytes(&recover->datadir.limits);
    uint8_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return recover_fail(recover, "no memory");
    const bool done = recover_superblock(recover, memory, bytes);
    munmap(memory, bytes);
    return done;
}

/* ---- 2: what it holds ---- */

static _Noreturn void recover_child(struct recover *recover, int listen_fd, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    logger_configure(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, recover->config.node_id);
    const enum node_outcome outcome = node_run(&(struct node_options){
        .limits = &recover->datadir.limits,
        .config = &recover->config,
        .configuration = &recover->alone,
        .data_path = recover->options->path,
        .device_fds = { [DEVICE_WAL] = recover->datadir.wal_fd, [DEVICE_DATA] = recover->datadir.data_fd },
        .listen_fd = listen_fd,
    });
    _exit(outcome == NODE_LEFT ? 0 : 1);
}

/* The address that the kernel chose. */
static int recover_listen(char address[MEMBER_ADDRESS_BYTES])
{
    struct endpoint endpoint = { .address_bytes = sizeof(struct sockaddr_in) };
    struct sockaddr_in loopback = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t bytes = sizeof(loopback);
    memcpy(&endpoint.address, &loopback, sizeof(loopback));
    const int fd = node_bind(&endpoint);
    if (fd < 0)
        return fd;
    if (getsockname(fd, (struct sockaddr *)&loopback, &bytes) != 0) {
        close(fd);
        return -EIO;
    }
    snprintf(address, MEMBER_ADDRESS_BYTES, "127.0.0.1:%u", (unsigned)ntohs(loopback.sin_port));
    return fd;
}

static bool recover_save(struct recover *recover)
{
    char address[MEMBER_ADDRESS_BYTES];
    struct snapshot_save_result saved;
    const int listen_fd = recover_listen(address);
    if (listen_fd < 0)
        return recover_fail(recover, "cannot listen on a loopback port: %s", strerror(-listen_fd));
    fflush(NULL);
    const pid_t parent = getpid();
    const pid_t child = fork();
    if (child == 0)
        recover_child(recover, listen_fd, parent);
    close(listen_fd);
    if (child < 0)
        return recover_fail(recover, "cannot start a process: %s", strerror(errno));
    const struct snapshot_save_options options = {
        .file = recover->snapshot,
        .endpoints = address,
        .cluster_id = recover->config.cluster_id,
        .timeout_ns = SAVE_TIMEOUT_NS,
    };
    const bool done = snapshot_save(&options, &saved);
    kill(child, SIGTERM);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    recover->result->id = saved.header.id;
    return done
           || recover_fail(recover, "%s: the node alone cannot serve what it holds: %s", recover->options->path,
                           saved.error);
}

/* ---- 3 and 4: a new cluster ---- */

static bool recover_make(struct recover *recover)
{
    struct restore_result restored;
    struct restore_options options = {
        .file = recover->snapshot,
        .directory = { .path = recover->made,
                       .wal_bytes = limits_wal_bytes(&recover->datadir.limits),
                       .buffered = recover->options->buffered },
        .config = recover->config,
        .configuration = recover->alone,
    };
    options.config.cluster_id = recover->result->cluster_id;
    return restore_run(&options, &restored) || recover_fail(recover, "%s", restored.error);
}

/* Each name is on the disk before the next step: a directory that a power cut took away would be made anew, empty. */
static bool recover_exchange(struct recover *recover)
{
    const char *path = recover->options->path;
    const char *before = recover->result->before;
    int result = rename(path, before) != 0 ? -errno : datadir_sync_parent(path);
    if (result != 0)
        return recover_fail(recover, "cannot rename %s to %s (%s); %s is ready: do it by hand", path, before,
                            strerror(-result), recover->made);
    result = rename(recover->made, path) != 0 ? -errno : datadir_sync_parent(path);
    if (result != 0)
        return recover_fail(recover, "cannot rename %s to %s (%s): do it by hand", recover->made, path,
                            strerror(-result));
    return true;
}

static bool recover_names(struct recover *recover)
{
    const char *path = recover->options->path;
    size_t bytes = strlen(path);
    while (bytes > 1 && path[bytes - 1] == '/')
        bytes--;
    if (bytes + 16 > DATADIR_ERROR_BYTES)
        return recover_fail(recover, "%s: the name is too long", path);
    snprintf(recover->snapshot, sizeof(recover->snapshot), "%.*s.snap", (int)bytes, path);
    snprintf(recover->made, sizeof(recover->made), "%.*s.new", (int)bytes, path);
    snprintf(recover->result->before, sizeof(recover->result->before), "%.*s.before", (int)bytes, path);
    const char *const names[] = { recover->made, recover->result->before };
    for (uint32_t at = 0; at < ARRAY_COUNT(names); at++)
        if (access(names[at], F_OK) == 0)
            return recover_fail(recover, "%s: exists; an earlier recover left it: move it away", names[at]);
    return true;
}

static bool recover_open(struct recover *recover)
{
    const struct recover_options *options = recover->options;
    struct superblock_summary summary;
    const int found = datadir_summarize(options->path, &summary);
    if (found == -EBADMSG)
        return recover_fail(recover,
                            "%s/wal: no superblock of it is intact: nothing says whose it is; take another survivor, "
                            "or raftd restore a snapshot",
                            options->path);
    if (found < 0)
        return recover_fail(recover, "%s/wal: %s", options->path, strerror(-found));
    recover->config = (struct replica_config){
        .cluster_id = summary.cluster_id,
        .node_id = summary.node_id,
        .election_timeout_ns = ELECTION_NS,
        .heartbeat_interval_ns = HEARTBEAT_NS,
        .pre_vote = true,
        .check_quorum = true,
    };
    struct recover_result *result = recover->result;
    result->node_id = summary.node_id;
    result->old_cluster_id = summary.cluster_id;
    result->cluster_id = options->cluster_id;
    if (getrandom(&recover->config.seed, sizeof(recover->config.seed), 0) < 0)
        return recover_fail(recover, "no random numbers: %s", strerror(errno));
    while (result->cluster_id == 0 || result->cluster_id == summary.cluster_id) {
        if (options->cluster_id != 0)
            return recover_fail(recover, "--cluster-id %llu: is that of the old cluster",
                                (unsigned long long)options->cluster_id);
        if (getrandom(&result->cluster_id, sizeof(result->cluster_id), 0) < 0)
            return recover_fail(recover, "no random numbers: %s", strerror(errno));
    }
    const struct datadir_options directory = { .path = options->path, .buffered = options->buffered };
    return datadir_open(&recover->datadir, &directory, &recover->config, summary.cluster_id)
           || recover_fail(recover, "%s", recover->datadir.error);
}

bool recover_run(const struct recover_options *options, struct recover_result *result)
{
    *result = (struct recover_result){ .node_id = 0 };
    struct recover *recover = calloc(1, sizeof(*recover));
    if (recover == NULL) {
        snprintf(result->error, sizeof(result->error), "no memory");
        return false;
    }
    recover->options = options;
    recover->result = result;
    bool done = recover_names(recover) && recover_open(recover);
    if (done) {
        done = recover_examine(recover) && recover_alone(recover) && recover_save(recover) && recover_make(recover)
               && recover_exchange(recover);
        datadir_close(&recover->datadir);
        if (done)
            unlink(recover->snapshot);
    }
    memcpy(result->address, recover->alone.members[0].address, sizeof(result->address));
    free(recover);
    return done;
}

/* The recorder in the loop, its thread and its segments; see recorder.h. */
#include "recorder.h"

#include "clock.h"
#include "logger.h"
#include "recorder_chunks.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../core/checksum.h"
#include "../core/inspect.h"

enum recorder_state { RECORDER_OFF, RECORDER_ON, RECORDER_GAP };

struct recorder {
    enum recorder_state state;
    const char *path;
    const struct replica *replica;
    struct recording_header header; /* of the segment */
    uint64_t position;              /* of the open chunk, in the half */
    uint64_t step;
    uint64_t digest;
    uint64_t missed; /* inputs of the gap */
    uint64_t pause_ns_max;
    pid_t child;   /* that writes the anchor of this segment; 0: none */
    bool anchored; /* this segment can be begun with */
    struct recorder_shared *shared;
    struct recorder_chunks *chunks;
    int fd;
};

/* ---- opening ---- */

static uint64_t program_hash(void)
{
    uint8_t bytes[65536];
    uint64_t hash = 0;
    ssize_t count;
    const int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && (count = read(fd, bytes, sizeof bytes)) > 0)
        hash = checksum64(bytes, (size_t)count, hash);
    if (fd >= 0)
        close(fd);
    return hash;
}

/* Begins as a recording does, or is empty: of a life that was killed at once. */
static bool file_is_recording(int fd)
{
    struct stat status;
    uint64_t magic = RECORDING_MAGIC;
    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && pread(fd, &magic, sizeof magic, 0) >= 0
           && magic == RECORDING_MAGIC;
}

/* Or was it renamed meanwhile? */
static bool file_has_name(int fd, const char *path)
{
    struct stat status, named;
    return fstat(fd, &status) == 0 && stat(path, &named) == 0 && status.st_dev == named.st_dev
           && status.st_ino == named.st_ino;
}

/* A recording that is there goes out of the way, unless its node still runs. 0, or a negative errno; -EEXIST: it is
 * something else. */
static int file_make_way(const char *path)
{
    char before[4096];
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a pipe is not waited for */
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    int result = file_is_recording(fd) ? 0 : -EEXIST;
    for (int retry = 0; result == 0 && flock(fd, LOCK_EX | LOCK_NB) != 0; retry++) {
        result = retry == KILLED_RETRIES || errno != EWOULDBLOCK ? -EBUSY : 0;
        nanosleep(&(struct timespec){ .tv_nsec = (long)KILLED_WAIT_NS }, NULL);
    }
    if (result == 0 && !file_has_name(fd, path))
        result = -EBUSY; /* another process that starts to record there was faster */
    const int bytes = snprintf(before, sizeof before, "%s.before", path);
    if (result == 0 && (bytes < 0 || (size_t)bytes >= sizeof before))
        result = -ENAMETOOLONG;
    if (result == 0 && rename(path, before) != 0)
        result = -errno;
    close(fd);
    return result;
}

/* From the start on it is told from files of other kinds, whatever ends this life. */
static int file_mark(int fd)
{
    static alignas(RECORDING_BLOCK_BYTES) uint8_t block[RECORDING_BLOCK_BYTES];
    const uint64_t magic = RECORDING_MAGIC;
    memcpy(block, &magic, sizeof magic);
    const ssize_t put = pwrite(fd, block, sizeof block, 0);
    if (put != (ssize_t)sizeof block)
        return put < 0 ? -errno : -ENOSPC;
    return fdatasync(fd) == 0 ? 0 : -errno;
}

/* Reserved, so that a disk without room is found now. */
static int file_create(const char *path, uint64_t bytes)
{
    const int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC;
    int fd = open(path, flags | O_DIRECT, 0600);
    if (fd < 0 && errno == EINVAL) { /* a filesystem that has none; it may have made the file before it said so */
        unlink(path);
        fd = open(path, flags, 0600);
    }
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) { /* another process has moved it out of the way */
        close(fd);
        return -EBUSY;
    }
    int result = file_mark(fd);
    if (result == 0 && fallocate(fd, 0, 0, (off_t)bytes) != 0)
        result = errno != EOPNOTSUPP ? -errno : ftruncate(fd, (off_t)bytes) == 0 ? 0 : -errno;
    if (result == 0)
        return fd;
    close(fd);
    unlink(path);
    return result;
}

static bool open_failed(struct recorder *recorder, char *error, const char *what, int result)
{
    const char *cause = result == -EEXIST  ? "it is there and is no recording: not touched"
                        : result == -EBUSY ? "another process records there"
                                           : strerror(-result);
    snprintf(error, RECORDER_ERROR_BYTES, "--record %s: %s: %s", recorder->path, what, cause);
    return false;
}

static bool open_file(struct recorder *recorder, const struct recorder_options *options, char *error)
{
    const uint64_t least = recording_file_bytes_min(options->limits);
    const uint64_t asked = options->bytes != 0 ? options->bytes : u64_max(least, RECORDER_BYTES_DEFAULT);
    if (asked < least || asked > UINT64_C(1) << 50) {
        snprintf(error, RECORDER_ERROR_BYTES,
                 "--record %s: %llu bytes is out of range: with a log of this size at least %lluM is needed",
                 recorder->path, (unsigned long long)asked, (unsigned long long)(least >> 20));
        return false;
    }
    recorder->header.half_bytes = asked / 2 / RECORDING_CHUNK_BYTES * RECORDING_CHUNK_BYTES;
    int result = file_make_way(recorder->path);
    if (result < 0)
        return open_failed(recorder, error, "cannot be used", result);
    result = file_create(recorder->path, 2 * recorder->header.half_bytes);
    recorder->fd = result;
    return result >= 0 || open_failed(recorder, error, "cannot be created", result);
}

static bool open_memory(struct recorder *recorder, char *error)
{
    void *shared = mmap(NULL, sizeof *recorder->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return open_failed(recorder, error, "memory", -ENOMEM);
    recorder->shared = shared;
    const int result = chunks_open(recorder->fd, &recorder->chunks);
    return result == 0 || open_failed(recorder, error, "its thread and memory", result);
}

static void recorder_free(struct recorder *recorder)
{
    if (recorder->chunks != NULL)
        chunks_close(recorder->chunks);
    if (recorder->shared != NULL)
        munmap(recorder->shared, sizeof *recorder->shared);
    if (recorder->fd >= 0)
        close(recorder->fd);
    free(recorder);
}

static void header_members(struct recorder *recorder, const struct configuration *configuration)
{
    if (configuration_members(configuration) == 0)
        return;
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++)
        recorder->header.members[slot] = configuration->members[slot].id;
}

struct recorder *recorder_open(const struct recorder_options *options, char error[RECORDER_ERROR_BYTES])
{
    struct recorder *recorder = calloc(1, sizeof *recorder);
    if (recorder == NULL) {
        snprintf(error, RECORDER_ERROR_BYTES, "--record: %s", strerror(ENOMEM));
        return NULL;
    }
    recorder->fd = -1;
    recorder->path = options->path;
    recorder->header.config = *options->config;
    recorder->header.limits = *options->limits;
    recorder->header.build = program_hash();
    header_members(recorder, options->configuration);
    snprintf((char *)recorder->header.release, sizeof recorder->header.release, "%s", options->release);
    if (getrandom(&recorder->header.life, sizeof recorder->header.life, 0) != sizeof recorder->header.life)
        recorder->header.life = clock_now_ns();
    if (open_file(recorder, options, error) && open_memory(recorder, error))
        return recorder;
    recorder_free(recorder);
    return NULL;
}

/* ---- segments ---- */

static void recorder_stop(struct recorder *recorder, const char *cause, uint64_t bytes_needed)
{
    recorder->state = RECORDER_OFF;
    LOG(LOG_LEVEL_ERROR, "recording-stopped", FIELD_TEXT("cause", cause), FIELD_TEXT("file", recorder->path),
        FIELD_NUMBER("bytes_needed", bytes_needed), FIELD_NUMBER("step", recorder->step));
}

static bool recorder_pause(struct recorder *recorder, const char *cause)
{
    if (recorder->state == RECORDER_ON)
        LOG(LOG_LEVEL_WARN, "recording-gap", FIELD_TEXT("cause", cause), FIELD_TEXT("file", recorder->path),
            FIELD_NUMBER("step", recorder->step));
    recorder->state = RECORDER_GAP;
    return false;
}

/* Has the child ended, if there is one? */
static bool recorder_reap(struct recorder *recorder)
{
    int status = 0;
    if (recorder->child == 0)
        return true;
    const pid_t reaped = waitpid(recorder->child, &status, WNOHANG);
    if (reaped == 0)
        return false;
    recorder->child = 0;
    recorder->anchored = reaped > 0 && WIFEXITED(status) && WEXITSTATUS(status) == ANCHOR_WRITTEN;
    const bool failed = reaped < 0 || !WIFEXITED(status) || WEXITSTATUS(status) == ANCHOR_FAILED;
    const uint64_t bytes = atomic_load(&recorder->shared->anchor_bytes);
    if (!recorder->anchored)
        atomic_store(&recorder->shared->anchor_begin, recorder->header.half_bytes);
    if (recorder->anchored)
        LOG(LOG_LEVEL_DEBUG, "recording-anchor", FIELD_NUMBER("bytes", bytes),
            FIELD_NUMBER("segment", recorder->header.segment));
    else if (failed)
        LOG(LOG_LEVEL_WARN, "recording-anchor", FIELD_TEXT("cause", "it could not be written"),
            FIELD_NUMBER("segment", recorder->header.segment), FIELD_NUMBER("status", (uint64_t)status));
    else
        LOG(LOG_LEVEL_WARN, "recording-anchor", FIELD_TEXT("cause", "the state is too large for this file"),
            FIELD_NUMBER("bytes", bytes), FIELD_NUMBER("bytes_needed", 4 * bytes));
    return true;
}

static uint64_t segment_offset(const struct recorder *recorder)
{
    return recorder->header.segment % 2 * recorder->header.half_bytes;
}

static struct recording_place record_place(const struct recorder *recorder)
{
    return (struct recording_place){
        .life = recorder->header.life,
        .segment = recorder->header.segment,
        .offset = recorder->position + chunks_filled(recorder->chunks),
    };
}

/* The first chunk of the segment, with its header. False: no memory is free. */
static bool segment_open(struct recorder *recorder)
{
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    recorder->header.wall_ns = (uint64_t)wall.tv_sec * NS_PER_S + (uint64_t)wall.tv_nsec;
    recorder->header.first_step = recorder->step;
    recorder->header.digest = recorder->digest;
    recorder->position = 0;
    recorder->anchored = recorder->header.segment == 0;
    atomic_store(&recorder->shared->records_end, RECORDING_CHUNK_BYTES);
    atomic_store(&recorder->shared->anchor_begin, recorder->header.half_bytes - RECORDING_BLOCK_BYTES);
    if (!chunks_next(recorder->chunks, segment_offset(recorder)))
        return false;
    recording_header_encode(&recorder->header, chunks_room(recorder->chunks));
    chunks_add(recorder->chunks, RECORDING_HEADER_BYTES);
    return true;
}

static void segment_anchor(struct recorder *recorder)
{
    const struct recorder_anchor anchor = {
        .replica = recorder->replica,
        .shared = recorder->shared,
        .fd = recorder->fd,
        .half_offset = segment_offset(recorder),
        .half_bytes = recorder->header.half_bytes,
        .life = recorder->header.life,
        .segment = recorder->header.segment,
    };
    const uint64_t start_ns = clock_now_ns();
    atomic_store(&recorder->shared->anchor_bytes, 0);
    recorder->child = fork();
    if (recorder->child == 0)
        _exit((int)recorder_anchor_write(&anchor));
    const uint64_t pause_ns = clock_now_ns() - start_ns;
    recorder->pause_ns_max = u64_max(recorder->pause_ns_max, pause_ns);
    if (recorder->child < 0) {
        LOG(LOG_LEVEL_WARN, "recording-anchor", FIELD_TEXT("cause", strerror(errno)));
        recorder->child = 0;
    }
    LOG(LOG_LEVEL_DEBUG, "recording-segment", FIELD_NUMBER("segment", recorder->header.segment),
        FIELD_NUMBER("step", recorder->step), FIELD_NUMBER("pause_us", pause_ns / 1000),
        FIELD_NUMBER("missed", recorder->missed));
}

/* The half is full, or a gap is over. */
static bool segment_next(struct recorder *recorder)
{
    if (!recorder_reap(recorder))
        return recorder_pause(recorder, "the half is full and its anchor is not written yet");
    if (!recorder->anchored) {
        recorder_stop(recorder,
                      "the latest anchor could not be written, and nothing may be written over the one before",
                      4 * atomic_load(&recorder->shared->anchor_bytes));
        return false;
    }
    if (!chunks_available(recorder->chunks))
        return recorder_pause(recorder, "the disk is too slow");
    recorder->header.follows = recorder->state == RECORDER_ON;
    header_members(recorder, replica_configuration(recorder->replica));
    recorder->header.segment++;
    if (!segment_open(recorder))
        UNREACHABLE();
    segment_anchor(recorder);
    recorder->state = RECORDER_ON;
    recorder->missed = 0;
    return true;
}

/* Whether the chunk at this offset of the half is for records. While a child writes the anchor, that may take the upper
 * half of the half, however long it takes: only a state that is larger than that is too large. */
static bool record_chunk_fits(struct recorder *recorder, uint64_t offset)
{
    const uint64_t end = offset + RECORDING_CHUNK_BYTES;
    if (!recorder_reap(recorder) && end > recorder->header.half_bytes / 2)
        return false;
    atomic_store(&recorder->shared->records_end, end);
    if (end <= atomic_load(&recorder->shared->anchor_begin))
        return true;
    atomic_store(&recorder->shared->records_end, offset);
    return false;
}

/* Room for a record in the open chunk, or in another one. */
static bool recorder_room(struct recorder *recorder, uint32_t bytes)
{
    if (chunks_left(recorder->chunks) >= bytes)
        return true;
    if (bytes > RECORDING_CHUNK_BYTES - RECORDING_HEADER_BYTES) {
        recorder_stop(recorder, "an input is larger than a chunk", bytes);
        return false;
    }
    if (chunks_left(recorder->chunks) >= sizeof(struct recording_record)) {
        const struct recording_place place = record_place(recorder);
        chunks_add(recorder->chunks,
                   recording_encode_mark(RECORDING_PAD, recorder->digest, &place, chunks_room(recorder->chunks)));
    }
    const uint64_t next = recorder->position + RECORDING_CHUNK_BYTES;
    if (!record_chunk_fits(recorder, next))
        return segment_next(recorder);
    if (!chunks_next(recorder->chunks, segment_offset(recorder) + next))
        return recorder_pause(recorder, "the disk is too slow");
    recorder->position = next;
    return true;
}

/* ---- the loop ---- */

void recorder_begin(struct recorder *recorder, const struct replica *replica)
{
    signal(SIGCHLD, SIG_DFL); /* who starts us may ignore it, and then nothing would be known of a child's end */
    recorder->replica = replica;
    recorder->header.region_bytes = replica_bytes(&recorder->header.limits);
    recorder->digest = RECORDING_DIGEST_START;
    if (!segment_open(recorder))
        UNREACHABLE();
    recorder->state = RECORDER_ON;
    LOG(LOG_LEVEL_INFO, "recording", FIELD_TEXT("file", recorder->path),
        FIELD_NUMBER("bytes", 2 * recorder->header.half_bytes));
}

/* What is missed is noticed at once, and made good when everything before it is on the disk. */
static bool recorder_is_on(struct recorder *recorder)
{
    if (recorder->state == RECORDER_ON)
        return true;
    if (recorder->state == RECORDER_GAP && chunks_idle(recorder->chunks) && recorder_reap(recorder))
        return segment_next(recorder);
    return false;
}

bool recorder_input(struct recorder *recorder, const struct input *input)
{
    const uint64_t segment = recorder->header.segment;
    const bool on = recorder_is_on(recorder);
    const uint8_t form = recording_form(recorder->replica, input);
    if (on && recorder_room(recorder, recording_bytes(input, form))) {
        const struct recording_place place = record_place(recorder);
        chunks_add(recorder->chunks,
                   recording_encode(input, form, recorder->digest, &place, chunks_room(recorder->chunks)));
    } else {
        recorder->missed++;
    }
    recorder->step++;
    return recorder->header.segment != segment;
}

void recorder_output(struct recorder *recorder, const struct output *output)
{
    if (recorder->state == RECORDER_ON)
        recorder->digest = recording_mix(recorder->digest, output);
}

void recorder_turn(struct recorder *recorder)
{
    if (recorder->state == RECORDER_OFF)
        return;
    const int result = chunks_turn(recorder->chunks);
    if (result < 0)
        recorder_stop(recorder, strerror(-result), 0);
    recorder_reap(recorder);
}

/* A large state takes its time, and a disk may hang: who asks a second time to end the node does not wait for it. */
static void child_await(pid_t child, bool needless)
{
    const struct timespec pause = { .tv_nsec = (long)(20 * NS_PER_MS) };
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    if (needless)
        kill(child, SIGKILL);
    while (waitpid(child, NULL, WNOHANG) == 0)
        if (sigtimedwait(&ends, NULL, &pause) > 0)
            kill(child, SIGKILL);
}

void recorder_close(struct recorder *recorder, bool ended)
{
    if (recorder->state == RECORDER_ON && ended && chunks_left(recorder->chunks) >= sizeof(struct recording_record)) {
        const struct recording_place place = record_place(recorder);
        chunks_add(recorder->chunks,
                   recording_encode_mark(RECORDING_END, recorder->digest, &place, chunks_room(recorder->chunks)));
    }
    /* Behind a gap there is no other way to the latest records; else the anchor before this one is whole. */
    if (recorder->child != 0)
        child_await(recorder->child, !ended || recorder->header.follows);
    if (recorder->pause_ns_max > 0)
        LOG(LOG_LEVEL_INFO, "recorded", FIELD_NUMBER("inputs", recorder->step),
            FIELD_NUMBER("segments", recorder->header.segment + 1),
            FIELD_NUMBER("pause_us_max", recorder->pause_ns_max / 1000));
    recorder_free(recorder);
}

/* The io_uring back end: one ring, one thread, single-shot operations, one system call a turn. No links, no polling
 * thread, no registered buffers: measured gains are within noise, and ordering is the core's.
 *
 * A request's life: submit() fills a queue entry; collect() enters the kernel once and turns completions into events.
 * Socket operations carry kind and token in user_data; disk operations carry the slot of their `struct uring_disk`.
 *
 *   disk: FREE -> WRITING -> (SYNC_FDATASYNC, not bulk: WRITTEN ->) FREE
 *         FREE -> READING -> (short read: READING ->) FREE */
#include "backend.h"
#include "clock.h"
#include "disk.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    RING_ENTRIES_MAX = 1024,
    RING_ENTRIES_MIN = 64,
    CQ_FACTOR = 4,
    BATCH_MAX = 64,
};

/* In user_data beside enum io_kind: the disk pool's eventfd. */
enum { KIND_POOL = 100 };

/* SYNC_ADAPTIVE: with all cores busy, the kernel worker that finishes a synchronous write of the ring may wait for a
 * whole scheduler tick; a thread blocked in the same write is woken at once. When more than one in SLOW_WEIGHT + 1
 * writes is that slow, the score climbs over its limit and the threads do the writes of the next second. */
#define RING_SLOW_NS (2 * NS_PER_MS)
#define RING_AVOID_NS NS_PER_S
enum { SLOW_WEIGHT = 32, SLOW_SCORE_MAX = 2 * SLOW_WEIGHT };

enum disk_state {
    DISK_FREE,
    DISK_READING,
    DISK_WRITING,
    DISK_WRITTEN, /* not yet durable: waits for the fdatasync at the end of collect() */
};

struct uring_disk {
    enum disk_state state;
    uint32_t done_bytes;
    uint64_t start_ns; /* SYNC_ADAPTIVE and not bulk only */
    struct io_request request;
};

struct uring {
    struct backend base; /* first: a struct backend is cast back to its struct uring */
    struct io_uring ring;
    enum sync_method sync;
    struct disk_pool *pool; /* SYNC_THREAD and SYNC_ADAPTIVE only */
    uint32_t slow_score;
    uint64_t slow_until_ns; /* the last slow write ended; what was in flight then was slow for the same reason */
    uint64_t avoid_ring_until_ns;
    struct uring_disk disk[IO_DISK_MAX];
    uint32_t written_count; /* slots in DISK_WRITTEN */
    uint32_t ready_count;
    struct io_event ready[2 * IO_DISK_MAX]; /* completed without the ring */
};

static struct uring *uring_of(struct backend *backend)
{
    ASSERT(backend->table == &backend_uring);
    return (struct uring *)backend;
}

static uint64_t user_data_pack(uint32_t kind, uint64_t token)
{
    ASSERT(token >> IO_TOKEN_BITS == 0);
    return (uint64_t)kind << IO_TOKEN_BITS | token;
}

static struct io_uring_sqe *uring_sqe(struct uring *uring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);
    while (sqe == NULL) {
        /* The queue is full in the middle of a turn: hand over what is there. */
        io_uring_submit(&uring->ring);
        sqe = io_uring_get_sqe(&uring->ring);
    }
    return sqe;
}

static void uring_disk_start(struct uring *uring, uint32_t slot)
{
    struct uring_disk *disk = &uring->disk[slot];
    const struct io_request *request = &disk->request;
    struct io_uring_sqe *sqe = uring_sqe(uring);
    uint8_t *bytes = request->bytes + disk->done_bytes;
    uint32_t count = request->count - disk->done_bytes;
    uint64_t offset = request->offset + disk->done_bytes;
    switch (disk->state) {
    case DISK_READING: io_uring_prep_read(sqe, request->fd, bytes, count, offset); break;
    case DISK_WRITING:
        io_uring_prep_write(sqe, request->fd, bytes, count, offset);
        if (uring->sync != SYNC_FDATASYNC || request->bulk)
            sqe->rw_flags = RWF_DSYNC;
        break;
    case DISK_WRITTEN:
    case DISK_FREE: UNREACHABLE();
    }
    io_uring_sqe_set_data64(sqe, user_data_pack((uint32_t)request->kind, slot));
}

static void uring_disk_submit(struct uring *uring, const struct io_request *request)
{
    bool write = request->kind == IO_WRITE;
    bool chosen = write && !request->bulk; /* bulk writes always go to the ring: the threads are the log's */
    uint64_t now_ns = chosen && uring->sync == SYNC_ADAPTIVE ? clock_now_ns() : 0;
    if (chosen && (uring->sync == SYNC_THREAD || now_ns < uring->avoid_ring_until_ns)) {
        disk_pool_submit(uring->pool, request);
        return;
    }
    uint32_t slot = 0;
    while (slot < IO_DISK_MAX && uring->disk[slot].state != DISK_FREE)
        slot++;
    ASSERT(slot < IO_DISK_MAX);
    uring->disk[slot] = (struct uring_disk){
        .state = write ? DISK_WRITING : DISK_READING,
        .start_ns = now_ns,
        .request = *request,
    };
    uring_disk_start(uring, slot);
}

static void uring_adapt(struct uring *uring, uint64_t start_ns)
{
    uint64_t now_ns = clock_now_ns();
    if (now_ns - start_ns > RING_SLOW_NS) {
        uring->slow_score += start_ns > uring->slow_until_ns ? SLOW_WEIGHT : 0;
        uring->slow_until_ns = now_ns;
    } else if (uring->slow_score > 0) {
        uring->slow_score--;
    }
    if (uring->slow_score > SLOW_SCORE_MAX) {
        uring->slow_score = SLOW_WEIGHT; /* two slow ones soon after the second end the next trial */
        uring->avoid_ring_until_ns = now_ns + RING_AVOID_NS;
    }
}

/* True when the operation is complete and *event is its outcome. */
static bool uring_disk_complete(struct uring *uring, uint32_t slot, int32_t result, struct io_event *event)
{
    struct uring_disk *disk = &uring->disk[slot];
    ASSERT(slot < IO_DISK_MAX);
    ASSERT(disk->state == DISK_READING || disk->state == DISK_WRITING);
    int32_t outcome = 0;
    if (disk->state == DISK_READING) {
        bool retry = result == -EINTR || result == -EAGAIN;
        if (result > 0)
            disk->done_bytes += (uint32_t)result;
        if (retry || (result > 0 && disk->done_bytes < disk->request.count)) {
            uring_disk_start(uring, slot);
            return false;
        }
        outcome = result < 0 ? result : result == 0 ? -EIO : 0;
    } else {
        /* A write that is cut short found no room for the rest. */
        outcome = result < 0 ? result : (uint32_t)result < disk->request.count ? -ENOSPC : 0;
        if (uring->sync == SYNC_ADAPTIVE && !disk->request.bulk)
            uring_adapt(uring, disk->start_ns);
        if (outcome == 0 && uring->sync == SYNC_FDATASYNC && !disk->request.bulk) {
            disk->state = DISK_WRITTEN;
            uring->written_count++;
            return false;
        }
    }
    *event = (struct io_event){ .kind = disk->request.kind, .result = outcome, .token = disk->request.token };
    disk->state = DISK_FREE;
    return true;
}

static void uring_submit(struct backend *backend, const struct io_request *request)
{
    struct uring *uring = uring_of(backend);
    if (request->kind == IO_READ || request->kind == IO_WRITE) {
        uring_disk_submit(uring, request);
        return;
    }
    struct io_uring_sqe *sqe = uring_sqe(uring);
    switch (request->kind) {
    case IO_ACCEPT: io_uring_prep_accept(sqe, request->fd, NULL, NULL, SOCK_CLOEXEC); break;
    case IO_CONNECT: io_uring_prep_connect(sqe, request->fd, request->address, request->address_bytes); break;
    case IO_RECEIVE: io_uring_prep_recv(sqe, request->fd, request->bytes, request->count, 0); break;
    case IO_SEND:
        io_uring_prep_send(sqe, request->fd, request->bytes, request->count, MSG_NOSIGNAL | MSG_WAITALL);
        break;
    case IO_POLL: io_uring_prep_poll_add(sqe, request->fd, POLLIN); break;
    case IO_READ:
    case IO_WRITE: UNREACHABLE();
    }
    io_uring_sqe_set_data64(sqe, user_data_pack((uint32_t)request->kind, request->token));
}

static void uring_pool_watch(struct uring *uring)
{
    struct io_uring_sqe *sqe = uring_sqe(uring);
    io_uring_prep_poll_add(sqe, disk_pool_fd(uring->pool), POLLIN);
    io_uring_sqe_set_data64(sqe, user_data_pack(KIND_POOL, 0));
}

static bool uring_complete(struct uring *uring, const struct io_uring_cqe *cqe, struct io_event *event)
{
    uint32_t kind = (uint32_t)(cqe->user_data >> IO_TOKEN_BITS);
    uint64_t token = cqe->user_data & ((UINT64_C(1) << IO_TOKEN_BITS) - 1);
    if (kind == KIND_POOL) {
        uring->ready_count += disk_pool_collect(uring->pool, uring->ready + uring->ready_count);
        uring_pool_watch(uring);
        return false;
    }
    if (kind == IO_READ || kind == IO_WRITE)
        return uring_disk_complete(uring, (uint32_t)token, cqe->res, event);
    int32_t result = kind == IO_POLL && cqe->res > 0 ? 0 : cqe->res;
    *event = (struct io_event){ .kind = (enum io_kind)kind, .result = result, .token = token };
    return true;
}

static uint32_t uring_take_ready(struct uring *uring, struct io_event *events)
{
    uint32_t count = uring->ready_count;
    memcpy(events, uring->ready, count * sizeof(events[0]));
    uring->ready_count = 0;
    return count;
}

/* One fdatasync makes all writes to its file durable that have completed before it. */
static uint32_t uring_sync_written(struct uring *uring, struct io_event *events)
{
    uint32_t count = 0;
    int fd = -1;
    int32_t result = 0;
    for (uint32_t slot = 0; slot < IO_DISK_MAX && count < uring->written_count; slot++) {
        struct uring_disk *disk = &uring->disk[slot];
        if (disk->state != DISK_WRITTEN)
            continue;
        if (disk->request.fd != fd) {
            fd = disk->request.fd;
            result = fdatasync(fd) == 0 ? 0 : -errno;
        }
        events[count++] = (struct io_event){ .kind = IO_WRITE, .result = result, .token = disk->request.token };
        disk->state = DISK_FREE;
    }
    ASSERT(count == uring->written_count);
    uring->written_count = 0;
    return count;
}

static int uring_enter(struct uring *uring, uint64_t timeout_ns)
{
    struct io_uring_cqe *cqe = NULL;
    struct __kernel_timespec timeout = {
        .tv_sec = (long long)(timeout_ns / NS_PER_S),
        .tv_nsec = (long long)(timeout_ns % NS_PER_S),
    };
    /* A wait for nothing is still a timer and a trip through the scheduler: whole milliseconds on a busy machine. */
    int result = timeout_ns == 0 ? io_uring_submit_and_get_events(&uring->ring)
                                 : io_uring_submit_and_wait_timeout(&uring->ring, &cqe, 1, &timeout, NULL);
    bool nothing_yet = result == -ETIME || result == -EINTR || result == -EAGAIN || result == -EBUSY;
    return result < 0 && !nothing_yet ? result : 0;
}

static int uring_collect(struct backend *backend, uint64_t timeout_ns, struct io_event *events, uint32_t event_max)
{
    struct uring *uring = uring_of(backend);
    ASSERT(event_max >= 2 * IO_DISK_MAX + BATCH_MAX);
    int result = uring_enter(uring, uring->ready_count > 0 ? 0 : timeout_ns);
    if (result < 0)
        return result;
    uint32_t count = uring_take_ready(uring, events);
    while (count + IO_DISK_MAX + BATCH_MAX <= event_max) {
        struct io_uring_cqe *cqes[BATCH_MAX];
        uint32_t batch = io_uring_peek_batch_cqe(&uring->ring, cqes, BATCH_MAX);
        for (uint32_t slot = 0; slot < batch; slot++) {
            if (uring_complete(uring, cqes[slot], &events[count]))
                count++;
        }
        io_uring_cq_advance(&uring->ring, batch);
        count += uring_take_ready(uring, events + count);
        if (batch < BATCH_MAX)
            break;
    }
    if (uring->written_count > 0)
        count += uring_sync_written(uring, events + count);
    return (int)count;
}

static void uring_forget(struct backend *backend, int fd)
{
    (void)backend;
    ASSERT(fd >= 0);
}

/* Older kernels know fewer flags (EINVAL); a small memlock limit allows only small rings (ENOMEM). */
static int uring_setup(struct io_uring *ring)
{
    static const unsigned flag_sets[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL,
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL,
        0,
    };
    int result = -EINVAL;
    for (uint32_t set = 0; set < ARRAY_COUNT(flag_sets); set++) {
        for (unsigned entries = RING_ENTRIES_MAX; entries >= RING_ENTRIES_MIN; entries /= 2) {
            struct io_uring_params params = {
                .flags = flag_sets[set] | IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE,
                .cq_entries = entries * CQ_FACTOR,
            };
            result = io_uring_queue_init_params(entries, ring, &params);
            if (result == 0 && !(params.features & IORING_FEAT_EXT_ARG)) {
                io_uring_queue_exit(ring);
                return -ENOSYS; /* before 5.11: no wait with a timeout */
            }
            if (result != -ENOMEM)
                break;
        }
        if (result != -EINVAL)
            break;
    }
    return result;
}

static int uring_open(enum sync_method sync, struct backend **backend)
{
    ASSERT(sync != SYNC_AUTO);
    struct uring *uring = calloc(1, sizeof(*uring));
    if (uring == NULL)
        return -ENOMEM;
    uring->base.table = &backend_uring;
    uring->sync = sync;
    int result = uring_setup(&uring->ring);
    if (result != 0) {
        free(uring);
        return result;
    }
    if (sync == SYNC_THREAD || sync == SYNC_ADAPTIVE) {
        result = disk_pool_open(&uring->pool);
        if (result != 0) {
            io_uring_queue_exit(&uring->ring);
            free(uring);
            return result;
        }
        uring_pool_watch(uring);
    }
    *backend = &uring->base;
    return 0;
}

static void uring_close(struct backend *backend)
{
    struct uring *uring = uring_of(backend);
    if (uring->pool != NULL)
        disk_pool_close(uring->pool);
    io_uring_queue_exit(&uring->ring);
    free(uring);
}

const struct backend_table backend_uring = {
    .name = "uring",
    .socket_flags = 0, /* a non-blocking socket would make the ring return EAGAIN instead of waiting */
    .open = uring_open,
    .close = uring_close,
    .submit = uring_submit,
    .forget = uring_forget,
    .collect = uring_collect,
};

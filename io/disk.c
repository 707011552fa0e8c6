/* Blocking disk operations and the threads that run them. A thread blocked in pwritev2(RWF_DSYNC) is woken directly by
 * the device's completion, which keeps its latency when all cores are busy; see README.md.
 *
 * The threads touch nothing but the pool, under its mutex, and the memory of the request that they carry out. */
#include "disk.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    POOL_LANES = 2, /* bulk operations wait for each other only */
    POOL_THREADS = 3,
};
static const uint32_t thread_lanes[POOL_THREADS] = { 0, 0, 1 };

/* FIFO of requests not yet taken; positions grow without bound. */
struct disk_lane {
    pthread_cond_t wake;
    uint64_t head;
    uint64_t tail;
    struct io_request queue[IO_DISK_MAX];
};

struct disk_thread {
    pthread_t thread;
    struct disk_pool *pool;
    struct disk_lane *lane;
};

struct disk_pool {
    pthread_mutex_t mutex;
    struct disk_lane lanes[POOL_LANES];
    struct disk_thread threads[POOL_THREADS];
    uint32_t thread_count;
    int event_fd;
    bool stopping;
    uint32_t done_count;
    struct io_event done[IO_DISK_MAX];
};

static int32_t disk_read(const struct io_request *request)
{
    uint32_t got = 0;
    while (got < request->count) {
        ssize_t result = pread(request->fd, request->bytes + got, request->count - got, (off_t)(request->offset + got));
        if (result < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (result < 0)
            return -errno;
        if (result == 0)
            return -EIO; /* the file ends inside the range */
        got += (uint32_t)result;
    }
    return 0;
}

static int32_t disk_write(const struct io_request *request)
{
    struct iovec vector = { .iov_base = request->bytes, .iov_len = request->count };
    ssize_t result = pwritev2(request->fd, &vector, 1, (off_t)request->offset, RWF_DSYNC);
    if (result < 0)
        return -errno;
    return (uint64_t)result == request->count ? 0 : -ENOSPC; /* cut short: the rest finds no room */
}

int32_t disk_execute(const struct io_request *request)
{
    ASSERT(request->kind == IO_READ || request->kind == IO_WRITE);
    return request->kind == IO_READ ? disk_read(request) : disk_write(request);
}

static void *pool_run(void *argument)
{
    const struct disk_thread *self = argument;
    struct disk_pool *pool = self->pool;
    struct disk_lane *lane = self->lane;
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        while (lane->head == lane->tail && !pool->stopping)
            pthread_cond_wait(&lane->wake, &pool->mutex);
        if (lane->head == lane->tail)
            break;
        struct io_request request = lane->queue[lane->head++ % IO_DISK_MAX];
        pthread_mutex_unlock(&pool->mutex);
        int32_t result = disk_execute(&request);
        pthread_mutex_lock(&pool->mutex);
        ASSERT(pool->done_count < IO_DISK_MAX);
        pool->done[pool->done_count++] =
            (struct io_event){ .kind = request.kind, .result = result, .token = request.token };
        if (pool->done_count == 1 && eventfd_write(pool->event_fd, 1) != 0)
            UNREACHABLE();
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

/* Signals belong to the loop's signalfd, never to a thread in the middle of a write. */
static int pool_start_threads(struct disk_pool *pool)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = 0;
    while (pool->thread_count < POOL_THREADS && result == 0) {
        struct disk_thread *thread = &pool->threads[pool->thread_count];
        *thread = (struct disk_thread){ .pool = pool, .lane = &pool->lanes[thread_lanes[pool->thread_count]] };
        result = -pthread_create(&thread->thread, NULL, pool_run, thread);
        if (result == 0)
            pthread_setname_np(pool->threads[pool->thread_count++].thread, "disk");
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

int disk_pool_open(struct disk_pool **opened)
{
    struct disk_pool *pool = calloc(1, sizeof(*pool));
    if (pool == NULL)
        return -ENOMEM;
    pool->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (pool->event_fd < 0) {
        int result = -errno;
        free(pool);
        return result;
    }
    pthread_mutex_init(&pool->mutex, NULL);
    for (uint32_t lane = 0; lane < POOL_LANES; lane++)
        pthread_cond_init(&pool->lanes[lane].wake, NULL);
    int result = pool_start_threads(pool);
    if (result != 0) {
        disk_pool_close(pool);
        return result;
    }
    *opened = pool;
    return 0;
}

void disk_pool_close(struct disk_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    pool->stopping = true;
    for (uint32_t lane = 0; lane < POOL_LANES; lane++)
        pthread_cond_broadcast(&pool->lanes[lane].wake);
    pthread_mutex_unlock(&pool->mutex);
    for (uint32_t slot = 0; slot < pool->thread_count; slot++)
        pthread_join(pool->threads[slot].thread, NULL);
    for (uint32_t lane = 0; lane < POOL_LANES; lane++)
        pthread_cond_destroy(&pool->lanes[lane].wake);
    pthread_mutex_destroy(&pool->mutex);
    close(pool->event_fd);
    free(pool);
}

void disk_pool_submit(struct disk_pool *pool, const struct io_request *request)
{
    struct disk_lane *lane = &pool->lanes[request->bulk ? 1 : 0];
    pthread_mutex_lock(&pool->mutex);
    ASSERT(lane->tail - lane->head < IO_DISK_MAX);
    lane->queue[lane->tail++ % IO_DISK_MAX] = *request;
    pthread_cond_signal(&lane->wake);
    pthread_mutex_unlock(&pool->mutex);
}

int disk_pool_fd(const struct disk_pool *pool) { return pool->event_fd; }

uint32_t disk_pool_collect(struct disk_pool *pool, struct io_event *events)
{
    eventfd_t ignored;
    pthread_mutex_lock(&pool->mutex);
    uint32_t count = pool->done_count;
    memcpy(events, pool->done, count * sizeof(events[0]));
    pool->done_count = 0;
    if (count > 0)
        eventfd_read(pool->event_fd, &ignored);
    pthread_mutex_unlock(&pool->mutex);
    return count;
}

/* The epoll back end, for machines where io_uring is forbidden: level-triggered sockets, and two threads for the disk.
 * It imitates completions: an operation is tried when its socket is ready, a send at once.
 *
 * Per file descriptor at most one input (accept, receive, poll) and one output (connect, send) is armed. */
#include "backend.h"
#include "clock.h"
#include "disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    FDS_MAX = 4096,
    BATCH_MAX = 256,
    READY_MAX = 2 * FDS_MAX + 2 * IO_DISK_MAX,
};

struct epoll_socket {
    uint32_t interest; /* as the kernel knows it; 0: not registered */
    bool input_armed;
    bool output_armed;
    struct io_request input;
    struct io_request output;
};

struct epoll {
    struct backend base; /* first: a struct backend is cast back to its struct epoll */
    int fd;
    struct disk_pool *pool;
    struct epoll_socket sockets[FDS_MAX]; /* by file descriptor */
    uint32_t ready_start;
    uint32_t ready_count;
    struct io_event ready[READY_MAX];
};

static struct epoll *epoll_of(struct backend *backend)
{
    ASSERT(backend->table == &backend_epoll);
    return (struct epoll *)backend;
}

static struct epoll_socket *epoll_socket_of(struct epoll *epoll, int fd)
{
    ASSERT(fd >= 0);
    ASSERT(fd < FDS_MAX);
    return &epoll->sockets[fd];
}

static void epoll_ready_push(struct epoll *epoll, const struct io_request *request, int32_t result)
{
    ASSERT(epoll->ready_count < READY_MAX);
    epoll->ready[(epoll->ready_start + epoll->ready_count++) % READY_MAX] =
        (struct io_event){ .kind = request->kind, .result = result, .token = request->token };
}

static void epoll_watch(struct epoll *epoll, int fd, uint32_t interest)
{
    struct epoll_socket *slot = epoll_socket_of(epoll, fd);
    if (slot->interest == interest)
        return;
    int operation = slot->interest == 0 ? EPOLL_CTL_ADD : interest == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    struct epoll_event event = { .events = interest, .data = { .fd = fd } };
    int result = epoll_ctl(epoll->fd, operation, fd, &event);
    ASSERT(result == 0);
    slot->interest = interest;
}

static int32_t epoll_try(const struct io_request *request)
{
    ssize_t result = 0;
    int error = 0;
    socklen_t error_bytes = sizeof(error);
    switch (request->kind) {
    case IO_ACCEPT: result = accept4(request->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK); break;
    case IO_CONNECT:
        result = getsockopt(request->fd, SOL_SOCKET, SO_ERROR, &error, &error_bytes);
        if (result == 0 && error != 0)
            return -error;
        break;
    case IO_RECEIVE: result = recv(request->fd, request->bytes, request->count, 0); break;
    case IO_SEND: result = send(request->fd, request->bytes, request->count, MSG_NOSIGNAL); break;
    case IO_POLL: break;
    case IO_READ:
    case IO_WRITE: UNREACHABLE();
    }
    return result < 0 ? -errno : (int32_t)result;
}

static bool is_not_yet(int32_t result) { return result == -EAGAIN || result == -EINTR; }

static void epoll_submit_output(struct epoll *epoll, const struct io_request *request)
{
    struct epoll_socket *slot = epoll_socket_of(epoll, request->fd);
    ASSERT(!slot->output_armed);
    int32_t result;
    if (request->kind == IO_CONNECT) {
        result = connect(request->fd, request->address, request->address_bytes) == 0 ? 0 : -errno;
        if (result == -EINPROGRESS)
            result = -EAGAIN;
    } else {
        result = epoll_try(request);
    }
    if (!is_not_yet(result)) {
        epoll_ready_push(epoll, request, result);
        return;
    }
    slot->output = *request;
    slot->output_armed = true;
    epoll_watch(epoll, request->fd, slot->interest | EPOLLOUT);
}

static void epoll_submit(struct backend *backend, const struct io_request *request)
{
    struct epoll *epoll = epoll_of(backend);
    struct epoll_socket *slot;
    switch (request->kind) {
    case IO_READ:
    case IO_WRITE: disk_pool_submit(epoll->pool, request); return;
    case IO_CONNECT:
    case IO_SEND: epoll_submit_output(epoll, request); return;
    case IO_ACCEPT:
    case IO_RECEIVE:
    case IO_POLL:
        slot = epoll_socket_of(epoll, request->fd);
        ASSERT(!slot->input_armed);
        slot->input = *request;
        slot->input_armed = true;
        epoll_watch(epoll, request->fd, slot->interest | EPOLLIN);
        return;
    }
}

static void epoll_socket_ready(struct epoll *epoll, int fd, uint32_t events)
{
    struct epoll_socket *slot = epoll_socket_of(epoll, fd);
    bool broken = (events & (EPOLLERR | EPOLLHUP)) != 0;
    if ((broken || (events & EPOLLIN) != 0) && slot->input_armed) {
        int32_t result = epoll_try(&slot->input);
        if (!is_not_yet(result)) {
            slot->input_armed = false;
            epoll_ready_push(epoll, &slot->input, result);
        }
    } else if ((events & EPOLLIN) != 0) {
        /* Level-triggered and nobody reads: be quiet until somebody does. */
        epoll_watch(epoll, fd, slot->interest & ~(uint32_t)EPOLLIN);
    }
    if ((broken || (events & EPOLLOUT) != 0) && slot->output_armed) {
        int32_t result = epoll_try(&slot->output);
        if (!is_not_yet(result)) {
            slot->output_armed = false;
            epoll_ready_push(epoll, &slot->output, result);
            epoll_watch(epoll, fd, slot->interest & ~(uint32_t)EPOLLOUT);
        }
    }
    /* Errors and hang-ups cannot be masked: without a taker the socket must leave the set. */
    if (broken && !slot->input_armed && !slot->output_armed)
        epoll_watch(epoll, fd, 0);
}

static void epoll_pool_ready(struct epoll *epoll)
{
    struct io_event events[IO_DISK_MAX];
    uint32_t count = disk_pool_collect(epoll->pool, events);
    for (uint32_t slot = 0; slot < count; slot++) {
        struct io_request request = { .kind = events[slot].kind, .token = events[slot].token };
        epoll_ready_push(epoll, &request, events[slot].result);
    }
}

static int epoll_collect(struct backend *backend, uint64_t timeout_ns, struct io_event *events, uint32_t event_max)
{
    struct epoll *epoll = epoll_of(backend);
    struct epoll_event found[BATCH_MAX];
    if (epoll->ready_count > 0)
        timeout_ns = 0;
    struct timespec timeout = { .tv_sec = (time_t)(timeout_ns / NS_PER_S), .tv_nsec = (long)(timeout_ns % NS_PER_S) };
    int count = epoll_pwait2(epoll->fd, found, BATCH_MAX, &timeout, NULL);
    if (count < 0 && errno == ENOSYS) /* before 5.11: whole milliseconds */
        count = epoll_wait(epoll->fd, found, BATCH_MAX, (int)u64_min((timeout_ns + NS_PER_MS - 1) / NS_PER_MS, 1000));
    if (count < 0 && errno != EINTR)
        return -errno;
    for (int slot = 0; slot < count; slot++) {
        if (found[slot].data.fd == disk_pool_fd(epoll->pool))
            epoll_pool_ready(epoll);
        else
            epoll_socket_ready(epoll, found[slot].data.fd, found[slot].events);
    }
    uint32_t taken = 0;
    while (taken < event_max && epoll->ready_count > 0) {
        events[taken++] = epoll->ready[epoll->ready_start];
        epoll->ready_start = (epoll->ready_start + 1) % READY_MAX;
        epoll->ready_count--;
    }
    return (int)taken;
}

static void epoll_forget(struct backend *backend, int fd)
{
    struct epoll *epoll = epoll_of(backend);
    struct epoll_socket *slot = epoll_socket_of(epoll, fd);
    ASSERT(!slot->output_armed);
    ASSERT(!slot->input_armed);
    epoll_watch(epoll, fd, 0);
}

static int epoll_open(enum sync_method sync, struct backend **backend)
{
    ASSERT(sync == SYNC_THREAD);
    struct epoll *epoll = calloc(1, sizeof(*epoll));
    if (epoll == NULL)
        return -ENOMEM;
    epoll->base.table = &backend_epoll;
    epoll->fd = epoll_create1(EPOLL_CLOEXEC);
    int result = epoll->fd < 0 ? -errno : disk_pool_open(&epoll->pool);
    if (result != 0) {
        if (epoll->fd >= 0)
            close(epoll->fd);
        free(epoll);
        return result;
    }
    epoll_watch(epoll, disk_pool_fd(epoll->pool), EPOLLIN);
    *backend = &epoll->base;
    return 0;
}

static void epoll_close(struct backend *backend)
{
    struct epoll *epoll = epoll_of(backend);
    disk_pool_close(epoll->pool);
    close(epoll->fd);
    free(epoll);
}

const struct backend_table backend_epoll = {
    .name = "epoll",
    .socket_flags = SOCK_NONBLOCK,
    .open = epoll_open,
    .close = epoll_close,
    .submit = epoll_submit,
    .forget = epoll_forget,
    .collect = epoll_collect,
};

/* Frames over one client connection; see link.h. */
#include "link.h"

#include "clock.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINK_BYTES_MIN = 16 * 1024 };

void link_init(struct link *link) { *link = (struct link){ .fd = -1 }; }

void link_deinit(struct link *link)
{
    link_close(link);
    free(link->bytes);
    link_init(link);
}

void link_close(struct link *link)
{
    if (link->fd >= 0)
        close(link->fd);
    link->fd = -1;
    link->filled = 0;
    link->consumed = 0;
}

static int link_fail(struct link *link, int error)
{
    ASSERT(error < 0);
    link_close(link);
    return error;
}

static int link_wait(const struct link *link, short events, uint64_t deadline_ns)
{
    for (;;) {
        const uint64_t now_ns = clock_now_ns();
        if (now_ns >= deadline_ns)
            return -ETIMEDOUT;
        const uint64_t left_ns = deadline_ns - now_ns;
        const struct timespec left = { .tv_sec = (time_t)(left_ns / NS_PER_S), .tv_nsec = (long)(left_ns % NS_PER_S) };
        struct pollfd poller = { .fd = link->fd, .events = events };
        const int ready = ppoll(&poller, 1, &left, NULL);
        if (ready > 0)
            return 0;
        if (ready < 0 && errno != EINTR)
            return -errno;
    }
}

int link_connect(struct link *link, struct endpoint *endpoint, uint64_t deadline_ns)
{
    link_close(link);
    link->fd = endpoint_connect(endpoint);
    if (link->fd < 0)
        return link_fail(link, link->fd);
    const int waited = link_wait(link, POLLOUT, deadline_ns);
    if (waited < 0)
        return link_fail(link, waited);
    int error = 0;
    socklen_t error_bytes = sizeof(error);
    if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &error_bytes) != 0)
        error = errno;
    return error == 0 ? 0 : link_fail(link, -error);
}

int link_send(struct link *link, struct slice frame, uint64_t deadline_ns, bool *sent)
{
    ASSERT(link->fd >= 0);
    *sent = false;
    for (uint32_t done = 0; done < frame.count;) {
        const ssize_t count = send(link->fd, frame.bytes + done, frame.count - done, MSG_NOSIGNAL);
        if (count > 0) {
            *sent = true;
            done += (uint32_t)count;
            continue;
        }
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && errno != EAGAIN)
            return link_fail(link, -errno);
        const int waited = link_wait(link, POLLOUT, deadline_ns);
        if (waited < 0)
            return link_fail(link, waited);
    }
    return 0;
}

/* Makes room for a frame of frame_bytes at the start of the buffer. */
static int link_reserve(struct link *link, uint32_t frame_bytes)
{
    if (link->consumed > 0) {
        link->filled -= link->consumed;
        memmove(link->bytes, link->bytes + link->consumed, link->filled);
        link->consumed = 0;
    }
    if (frame_bytes <= link->capacity)
        return 0;
    uint8_t *bytes = realloc(link->bytes, frame_bytes);
    if (bytes == NULL)
        return -ENOMEM;
    link->bytes = bytes;
    link->capacity = frame_bytes;
    return 0;
}

static int link_fill(struct link *link, uint64_t deadline_ns)
{
    ASSERT(link->filled < link->capacity);
    for (;;) {
        const ssize_t count = recv(link->fd, link->bytes + link->filled, link->capacity - link->filled, 0);
        if (count > 0) {
            link->filled += (uint32_t)count;
            return 0;
        }
        if (count == 0)
            return -ECONNRESET;
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return -errno;
        const int waited = link_wait(link, POLLIN, deadline_ns);
        if (waited < 0)
            return waited;
    }
}

/* One whole frame at the start of the buffer. */
static int link_next_frame(struct link *link, uint64_t deadline_ns, struct slice *frame)
{
    int error = link_reserve(link, LINK_BYTES_MIN);
    while (error == 0) {
        uint32_t frame_bytes = 0;
        const struct slice bytes = { .bytes = link->bytes, .count = link->filled };
        const enum frame_verdict verdict = frame_size(bytes, limits_production.frame_bytes_max, &frame_bytes);
        if (verdict != FRAME_OK && verdict != FRAME_SHORT)
            return -EPROTO;
        if (verdict == FRAME_OK && link->filled >= frame_bytes) {
            *frame = (struct slice){ .bytes = link->bytes, .count = frame_bytes };
            link->consumed = frame_bytes;
            return 0;
        }
        if (verdict == FRAME_OK)
            error = link_reserve(link, frame_bytes);
        if (error == 0)
            error = link_fill(link, deadline_ns);
    }
    return error;
}

int link_receive_frame(struct link *link, uint64_t deadline_ns, struct slice *frame)
{
    ASSERT(link->fd >= 0);
    const int error = link_next_frame(link, deadline_ns, frame);
    return error < 0 ? link_fail(link, error) : 0;
}

int link_receive(struct link *link, uint64_t request_id, uint64_t deadline_ns, struct reply *reply)
{
    ASSERT(link->fd >= 0);
    for (;;) {
        struct slice frame = { .count = 0 };
        const int error = link_next_frame(link, deadline_ns, &frame);
        if (error < 0)
            return link_fail(link, error);
        if (reply_decode(frame, limits_production.frame_bytes_max, reply) != FRAME_OK)
            return link_fail(link, -EPROTO);
        if (reply->request_id == request_id)
            return 0;
    }
}

/* Connections of the load generator; see bench_wire.h. */
#include "bench_wire.h"

#include "clock.h"
#include "link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

struct wire_connection {
    int fd; /* -1: closed */
    bool dirty;
    bool wants_out; /* the socket's buffer is full: EPOLLOUT is armed */
    uint8_t *out;
    uint32_t out_start;
    uint32_t out_end;
    uint32_t out_capacity;
    uint8_t *in;
    uint32_t in_filled;
};

enum { WIRE_EVENTS = 64, WIRE_OUT_BYTES_MIN = 64 * 1024 };

static uint32_t wire_in_capacity(void) { return u32_max(limits_production.frame_bytes_max, 256 * 1024); }

static uint32_t wire_connection_count(const struct wire *wire) { return wire->endpoint_count * wire->lanes; }

int wire_open(struct wire *wire, const char *endpoints, uint32_t lanes)
{
    const int count = endpoint_list_parse(endpoints, wire->endpoints);
    if (count < 0)
        return count;
    wire->endpoint_count = (uint32_t)count;
    wire->lanes = lanes;
    wire->connections = calloc(wire_connection_count(wire), sizeof *wire->connections);
    wire->dirty = calloc(wire_connection_count(wire), sizeof *wire->dirty);
    if (wire->connections == NULL)
        return -ENOMEM;
    for (uint32_t slot = 0; slot < wire_connection_count(wire); slot++)
        wire->connections[slot].fd = -1;
    if (wire->dirty == NULL)
        return -ENOMEM;
    wire->epoll = epoll_create1(EPOLL_CLOEXEC);
    return wire->epoll < 0 ? -errno : 0;
}

void wire_close(struct wire *wire)
{
    if (wire->connections != NULL) {
        wire_disconnect(wire);
        for (uint32_t slot = 0; slot < wire_connection_count(wire); slot++) {
            free(wire->connections[slot].out);
            free(wire->connections[slot].in);
        }
        if (wire->epoll > 0)
            close(wire->epoll);
    }
    free(wire->connections);
    free(wire->dirty);
    *wire = (struct wire){ .epoll = -1 };
}

const char *wire_endpoint_text(const struct wire *wire, uint32_t endpoint)
{
    ASSERT(endpoint < wire->endpoint_count);
    return wire->endpoints[endpoint].text;
}

void wire_disconnect(struct wire *wire)
{
    for (uint32_t slot = 0; slot < wire_connection_count(wire); slot++) {
        struct wire_connection *connection = &wire->connections[slot];
        if (connection->fd >= 0)
            close(connection->fd);
        connection->fd = -1;
        connection->dirty = false;
        connection->wants_out = false;
        connection->out_start = 0;
        connection->out_end = 0;
        connection->in_filled = 0;
    }
    wire->dirty_count = 0;
    wire->broken = false;
}

static bool wire_connect_one(struct wire *wire, uint32_t slot, uint64_t deadline_ns)
{
    struct wire_connection *connection = &wire->connections[slot];
    if (connection->in == NULL)
        connection->in = malloc(wire_in_capacity());
    struct link link;
    link_init(&link);
    if (connection->in == NULL
        || link_connect(&link, &wire->endpoints[slot / wire->lanes], u64_min(deadline_ns, clock_now_ns() + NS_PER_S))
               < 0)
        return false;
    connection->fd = link.fd; /* the link never had a buffer: only its socket is taken over */
    struct epoll_event event = { .events = EPOLLIN, .data.u32 = slot };
    return epoll_ctl(wire->epoll, EPOLL_CTL_ADD, connection->fd, &event) == 0;
}

bool wire_connect(struct wire *wire, bool all, uint64_t deadline_ns)
{
    ASSERT(wire->leader < wire->endpoint_count);
    for (uint32_t slot = 0; slot < wire_connection_count(wire); slot++) {
        const bool leads = slot / wire->lanes == wire->leader;
        if ((leads || all) && !wire_connect_one(wire, slot, deadline_ns) && leads)
            return false;
    }
    return true;
}

static bool wire_reserve(struct wire_connection *connection, uint32_t bytes)
{
    if (connection->out_end + bytes <= connection->out_capacity)
        return true;
    const uint32_t queued = connection->out_end - connection->out_start;
    if (connection->out_start > 0)
        memmove(connection->out, connection->out + connection->out_start, queued);
    connection->out_start = 0;
    connection->out_end = queued;
    if (queued + bytes <= connection->out_capacity)
        return true;
    const uint32_t capacity = u32_max(u32_max(connection->out_capacity * 2, WIRE_OUT_BYTES_MIN), queued + bytes);
    uint8_t *out = realloc(connection->out, capacity);
    if (out == NULL)
        return false;
    connection->out = out;
    connection->out_capacity = capacity;
    return true;
}

bool wire_queue(struct wire *wire, struct wire_target target, struct slice frame)
{
    ASSERT(target.endpoint < wire->endpoint_count && target.lane < wire->lanes);
    uint32_t slot = target.endpoint * wire->lanes + target.lane;
    if (wire->connections[slot].fd < 0)
        slot = wire->leader * wire->lanes + target.lane; /* a node that was down when we connected */
    struct wire_connection *connection = &wire->connections[slot];
    if (connection->fd < 0 || !wire_reserve(connection, frame.count))
        return false;
    memcpy(connection->out + connection->out_end, frame.bytes, frame.count);
    connection->out_end += frame.count;
    if (!connection->dirty)
        wire->dirty[wire->dirty_count++] = slot;
    connection->dirty = true;
    return true;
}

static bool wire_want_out(struct wire *wire, uint32_t slot, bool wants_out)
{
    struct wire_connection *connection = &wire->connections[slot];
    if (connection->wants_out == wants_out)
        return true;
    connection->wants_out = wants_out;
    struct epoll_event event = { .events = wants_out ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.u32 = slot };
    return epoll_ctl(wire->epoll, EPOLL_CTL_MOD, connection->fd, &event) == 0;
}

static bool wire_flush_one(struct wire *wire, uint32_t slot)
{
    struct wire_connection *connection = &wire->connections[slot];
    while (connection->out_start < connection->out_end) {
        const ssize_t count = send(connection->fd, connection->out + connection->out_start,
                                   connection->out_end - connection->out_start, MSG_NOSIGNAL);
        if (count > 0)
            connection->out_start += (uint32_t)count;
        else if (count < 0 && errno == EAGAIN)
            return wire_want_out(wire, slot, true);
        else if (errno != EINTR)
            return false;
    }
    connection->out_start = 0;
    connection->out_end = 0;
    return wire_want_out(wire, slot, false);
}

bool wire_flush(struct wire *wire)
{
    for (uint32_t at = 0; at < wire->dirty_count; at++) {
        const uint32_t slot = wire->dirty[at];
        wire->connections[slot].dirty = false;
        if (!wire->connections[slot].wants_out && !wire_flush_one(wire, slot))
            wire->broken = true;
    }
    wire->dirty_count = 0;
    return !wire->broken;
}

/* Hands out every whole frame received. False: not our protocol. */
static bool wire_cut(struct wire_connection *connection, uint64_t now_ns, wire_on_reply *on_reply, void *context)
{
    uint32_t at = 0;
    for (;;) {
        const struct slice rest = { .bytes = connection->in + at, .count = connection->in_filled - at };
        uint32_t frame_bytes = 0;
        const enum frame_verdict verdict = frame_size(rest, limits_production.frame_bytes_max, &frame_bytes);
        if (verdict == FRAME_SHORT || (verdict == FRAME_OK && frame_bytes > rest.count))
            break;
        struct reply reply;
        const struct slice frame = { .bytes = rest.bytes, .count = frame_bytes };
        if (verdict != FRAME_OK || reply_decode(frame, limits_production.frame_bytes_max, &reply) != FRAME_OK)
            return false;
        on_reply(context, now_ns, &reply);
        at += frame_bytes;
    }
    connection->in_filled -= at;
    memmove(connection->in, connection->in + at, connection->in_filled);
    return true;
}

static bool wire_receive(struct wire_connection *connection, wire_on_reply *on_reply, void *context)
{
    const uint32_t room = wire_in_capacity() - connection->in_filled;
    ASSERT(room > 0);
    const ssize_t count = recv(connection->fd, connection->in + connection->in_filled, room, 0);
    if (count < 0)
        return errno == EAGAIN || errno == EINTR;
    if (count == 0)
        return false;
    connection->in_filled += (uint32_t)count;
    return wire_cut(connection, clock_now_ns(), on_reply, context);
}

bool wire_wait(struct wire *wire, uint64_t until_ns, wire_on_reply *on_reply, void *context)
{
    const uint64_t now_ns = clock_now_ns();
    const uint64_t left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    const struct timespec left = { .tv_sec = (time_t)(left_ns / NS_PER_S), .tv_nsec = (long)(left_ns % NS_PER_S) };
    struct epoll_event events[WIRE_EVENTS];
    const int count = epoll_pwait2(wire->epoll, events, WIRE_EVENTS, &left, NULL);
    if (count < 0)
        return errno == EINTR;
    for (int at = 0; at < count; at++) {
        const uint32_t slot = events[at].data.u32;
        struct wire_connection *connection = &wire->connections[slot];
        if ((events[at].events & EPOLLOUT) != 0 && !wire_flush_one(wire, slot))
            wire->broken = true;
        if ((events[at].events & ~(uint32_t)EPOLLOUT) != 0 && !wire_receive(connection, on_reply, context))
            wire->broken = true;
    }
    return !wire->broken;
}

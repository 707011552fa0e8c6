/* The connections of the load generator: coalesced sends, batched receives, one epoll.
 *
 * A connection is addressed by endpoint and lane. Frames are queued and leave with one send per connection and turn.
 * Any connection that breaks makes the next call say false; the caller then disconnects all and starts over. */
#ifndef WW_BENCH_WIRE_H
#define WW_BENCH_WIRE_H

#include "../core/request.h"
#include "endpoint.h"

struct wire_target {
    uint32_t endpoint;
    uint32_t lane;
};

struct wire_connection;

struct wire {
    int epoll; /* -1: closed; 0 with connections NULL: never opened */
    struct endpoint endpoints[ENDPOINTS_MAX];
    uint32_t endpoint_count;
    uint32_t leader; /* endpoint; the caller's to set */
    uint32_t lanes;
    bool broken;
    struct wire_connection *connections; /* endpoint_count * lanes */
    uint32_t *dirty;                     /* connections with bytes queued in this turn */
    uint32_t dirty_count;
};

/* Called for each reply, which borrows from the connection's buffer. now_ns: sampled once per receive. */
typedef void wire_on_reply(void *context, uint64_t now_ns, const struct reply *reply);

/* 0 or a negative errno. wire_close() also undoes what a failed wire_open() left, and may be called on zeroes. */
int wire_open(struct wire *wire, const char *endpoints, uint32_t lanes) __attribute__((warn_unused_result));
void wire_close(struct wire *wire);
const char *wire_endpoint_text(const struct wire *wire, uint32_t endpoint);

/* Connects all lanes to the leader, or to every endpoint, of which all but the leader may be down. */
bool wire_connect(struct wire *wire, bool all, uint64_t deadline_ns);
void wire_disconnect(struct wire *wire);

bool wire_queue(struct wire *wire, struct wire_target target, struct slice frame);
bool wire_flush(struct wire *wire);
bool wire_wait(struct wire *wire, uint64_t until_ns, wire_on_reply *on_reply, void *context);

#endif

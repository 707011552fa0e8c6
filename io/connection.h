/* All TCP connections of a node: slots, buffers, and cutting a stream into frames. What a frame means is the
 * core's.
 *
 * Slots below DIALED_MAX belong to the connections that this node dials, one per slot of the configuration; the others
 * to whoever dials this node. All memory is reserved once; what is not used costs nothing (MAP_NORESERVE).
 *
 *   FREE -> DIALING -> OPEN            dialed
 *   FREE -> OPEN                       accepted
 *   OPEN -> DRAINING -> LINGERING      refused: send what is queued, say goodbye, discard what still comes
 *   any  -> CLOSED -> FREE             shut down; the slot is free again when the back end holds none of its operations
 *
 * A turn of the loop: connection_event() for each event, connection_frame() until there is none or the turn is
 * full, connection_send() while effects are carried out, connections_flush() once. Frames borrow from the receive
 * buffer until connections_flush(). At most one receive and one send per connection are in flight. */
#ifndef WW_CONNECTION_H
#define WW_CONNECTION_H

#include "../core/limits.h"
#include "../core/message.h"
#include "backend.h"
#include "endpoint.h"

enum {
    DIALED_MAX = MEMBERS_MAX,
    CONNECTIONS_MAX = 1024 + DIALED_MAX,
    CLIENTS_MAX = CONNECTIONS_MAX - 4 * DIALED_MAX, /* the rest stays for members: dialed, dialing in, and redialing */
};

enum connection_state {
    CONNECTION_FREE,
    CONNECTION_DIALING,
    CONNECTION_OPEN,
    CONNECTION_DRAINING,
    CONNECTION_LINGERING,
    CONNECTION_CLOSED,
};

enum connection_kind {
    CONNECTION_UNKNOWN,  /* has not sent a frame yet */
    CONNECTION_CLIENT,   /* its first frame is from nobody */
    CONNECTION_PEER_IN,  /* its first frame names a node */
    CONNECTION_PEER_OUT, /* dialed */
};

struct connection {
    enum connection_state state;
    enum connection_kind kind;
    int fd;
    uint64_t peer_id; /* PEER_IN: the node that dialed, as its first frame says */
    uint32_t slot;
    uint32_t generation;  /* of the slot: with it the client handle */
    uint32_t outstanding; /* operations that the back end holds */
    bool receiving;
    bool sending;
    bool touched;         /* in the list of connections_flush() */
    bool ready;           /* in the list of connections_frame() */
    uint64_t since_ns;    /* of the state */
    uint64_t received_ns; /* when its latest bytes can have arrived at the earliest: what was received with an earlier
                             turn and still waits is older than that */
    /* Receive buffer: bytes start..end are received and not yet cut. */
    uint8_t *in;
    uint32_t in_start;
    uint32_t in_end;
    /* Send ring: positions grow without bound, position modulo capacity is the place. */
    uint8_t *out;
    uint32_t out_capacity;
    uint64_t out_head;
    uint64_t out_tail;
};

struct connection_list {
    uint32_t start;
    uint32_t count;
    uint32_t slots[CONNECTIONS_MAX];
};

struct connections {
    struct backend *backend;
    uint32_t frame_bytes_max;
    uint32_t in_capacity;
    uint8_t *memory;
    size_t memory_bytes;
    uint64_t now_ns;
    uint64_t arrived_ns; /* of what this turn receives, set by the loop: connection.received_ns */
    uint64_t sweep_ns;
    uint32_t client_count;
    uint32_t open_count; /* not FREE */
    struct connection_list free;
    struct connection_list ready;
    struct connection_list touched;
    struct connection all[CONNECTIONS_MAX];
};

/* 0, or a negative errno. */
int connections_open(struct connections *connections, struct backend *backend, const struct limits *limits);
/* Nothing may use the back end afterwards. */
void connections_close(struct connections *connections);

/* Takes over the socket; closes it when all slots are taken. */
void connections_accept(struct connections *connections, int fd);
/* The slot must be free. 0, or a negative errno; success shows as CONNECTION_OPEN, failure as CONNECTION_FREE. */
int connections_dial(struct connections *connections, uint32_t slot, const struct endpoint *endpoint);
/* Drops connections that have outstayed their time: refused ones, and when slots are scarce silent ones. */
void connections_sweep(struct connections *connections, uint64_t now_ns);

/* Where it comes from, without the port: for log lines. */
const char *connection_remote(const struct connection *connection, char to[MEMBER_ADDRESS_BYTES]);

/* What a client is called in the core's effects. */
uint64_t connection_handle(const struct connection *connection);
/* NULL when that connection is gone. */
struct connection *connections_find(struct connections *connections, uint64_t handle);
/* The youngest open connection that this node dialed; NULL: there is none. */
struct connection *connections_find_peer(struct connections *connections, uint64_t peer_id);

/* For events with kind IO_CONNECT, IO_RECEIVE or IO_SEND. */
void connection_event(struct connections *connections, const struct io_event *event);

/* The next whole frame of any connection; false when there is none. */
bool connections_frame(struct connections *connections, struct connection **connection, struct slice *frame);

/* Queues bytes. False when they do not fit, or nobody is there to receive them. */
bool connection_send(struct connections *connections, struct connection *connection, struct slice bytes);

/* Closes after what is queued has been sent. */
void connection_drain(struct connections *connections, struct connection *connection);
/* Closes at once. */
void connection_drop(struct connections *connections, struct connection *connection);

/* Starts sends and receives of all connections that the turn touched. */
void connections_flush(struct connections *connections);

#endif

/* TCP connections; see connection.h for the states. */
#include "connection.h"

#include "clock.h"
#include "logger.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    OUT_FRAMES_PEER = 16, /* the largest frames that fit the send ring of a peer */
    OUT_FRAMES_CLIENT = 4,
    TOKEN_SLOT_BITS = 24,
    SLOTS_SCARCE = CONNECTIONS_MAX / 4,
    PAGE_BYTES = 4096,
    USER_TIMEOUT_MS =
        3000, /* a peer that acknowledges nothing for so long is dialed anew, without TCP's long back-off */
};
#define LINGER_NS NS_PER_S
#define UNKNOWN_NS (10 * NS_PER_S)
#define SWEEP_NS NS_PER_S

static void list_push(struct connection_list *list, uint32_t slot)
{
    ASSERT(list->count < CONNECTIONS_MAX);
    list->slots[(list->start + list->count++) % CONNECTIONS_MAX] = slot;
}

static uint32_t list_pop(struct connection_list *list)
{
    ASSERT(list->count > 0);
    uint32_t slot = list->slots[list->start];
    list->start = (list->start + 1) % CONNECTIONS_MAX;
    list->count--;
    return slot;
}

static void connection_touch(struct connections *connections, struct connection *connection)
{
    if (connection->touched)
        return;
    connection->touched = true;
    list_push(&connections->touched, connection->slot);
}

static void connection_enter(struct connections *connections, struct connection *connection,
                             enum connection_state state)
{
    connection->state = state;
    connection->since_ns = connections->now_ns;
}

int connections_open(struct connections *connections, struct backend *backend, const struct limits *limits)
{
    memset(connections, 0, sizeof(*connections));
    connections->backend = backend;
    connections->frame_bytes_max = limits->frame_bytes_max;
    /* Twice the largest frame: one that starts in the first half always fits behind its start. */
    connections->in_capacity = (uint32_t)u64_round_up(2 * (uint64_t)limits->frame_bytes_max, PAGE_BYTES);
    uint32_t out_peer = (uint32_t)u64_round_up((uint64_t)OUT_FRAMES_PEER * limits->frame_bytes_max, PAGE_BYTES);
    /* Its window of entries, and heartbeats and answers beside it: or heartbeats would be dropped for entries. */
    ASSERT(out_peer >= (uint64_t)limits->inflight_bytes_max + 4 * (uint64_t)limits->frame_bytes_max);
    uint32_t out_client = (uint32_t)u64_round_up((uint64_t)OUT_FRAMES_CLIENT * limits->frame_bytes_max, PAGE_BYTES);
    connections->memory_bytes = (size_t)CONNECTIONS_MAX * connections->in_capacity + (size_t)DIALED_MAX * out_peer
                                + (size_t)(CONNECTIONS_MAX - DIALED_MAX) * out_client;
    connections->memory = mmap(NULL, connections->memory_bytes, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (connections->memory == MAP_FAILED) {
        connections->memory = NULL;
        return -errno;
    }
    uint8_t *next = connections->memory;
    for (uint32_t slot = 0; slot < CONNECTIONS_MAX; slot++) {
        struct connection *connection = &connections->all[slot];
        connection->slot = slot;
        connection->fd = -1;
        connection->in = next;
        connection->out = next + connections->in_capacity;
        connection->out_capacity = slot < DIALED_MAX ? out_peer : out_client;
        next = connection->out + connection->out_capacity;
        if (slot >= DIALED_MAX)
            list_push(&connections->free, slot);
    }
    ASSERT(next == connections->memory + connections->memory_bytes);
    return 0;
}

void connections_close(struct connections *connections)
{
    for (uint32_t slot = 0; slot < CONNECTIONS_MAX; slot++) {
        if (connections->all[slot].fd >= 0)
            close(connections->all[slot].fd);
    }
    munmap(connections->memory, connections->memory_bytes);
}

const char *connection_remote(const struct connection *connection, char to[MEMBER_ADDRESS_BYTES])
{
    struct sockaddr_storage address;
    socklen_t address_bytes = sizeof(address);
    to[0] = '\0';
    if (getpeername(connection->fd, (struct sockaddr *)&address, &address_bytes) == 0)
        getnameinfo((struct sockaddr *)&address, address_bytes, to, MEMBER_ADDRESS_BYTES, NULL, 0, NI_NUMERICHOST);
    return to;
}

uint64_t connection_handle(const struct connection *connection)
{
    return (uint64_t)connection->generation << TOKEN_SLOT_BITS | connection->slot;
}

struct connection *connections_find(struct connections *connections, uint64_t handle)
{
    uint64_t slot = handle & ((1u << TOKEN_SLOT_BITS) - 1);
    if (slot >= CONNECTIONS_MAX)
        return NULL;
    struct connection *connection = &connections->all[slot];
    bool alive = connection->state == CONNECTION_OPEN && connection_handle(connection) == handle;
    return alive ? connection : NULL;
}

struct connection *connections_find_peer(struct connections *connections, uint64_t peer_id)
{
    struct connection *found = NULL;
    ASSERT(peer_id != 0);
    for (uint32_t slot = DIALED_MAX; slot < CONNECTIONS_MAX; slot++) {
        struct connection *connection = &connections->all[slot];
        const bool its = connection->state == CONNECTION_OPEN && connection->kind == CONNECTION_PEER_IN
                         && connection->peer_id == peer_id;
        if (its && (found == NULL || connection->since_ns > found->since_ns))
            found = connection;
    }
    return found;
}

static void connection_submit(struct connections *connections, struct connection *connection,
                              struct io_request *request)
{
    request->fd = connection->fd;
    request->token = connection_handle(connection);
    connection->outstanding++;
    connections->backend->table->submit(connections->backend, request);
}

static void connection_start(struct connections *connections, struct connection *connection, int fd)
{
    ASSERT(connection->state == CONNECTION_FREE);
    ASSERT(connection->outstanding == 0);
    connection->fd = fd;
    connection->generation++;
    connection->kind = CONNECTION_UNKNOWN;
    connection->in_start = connection->in_end = 0;
    connection->out_head = connection->out_tail = 0;
    connections->open_count++;
}

/* Frames wait for nobody, and a peer that vanished without a word is noticed. Best effort: a socket works without. */
static void connection_tune(int fd, bool peer)
{
    const int on = 1, idle_s = 10, interval_s = 5, probes = 3, syn_retries = 1;
    const unsigned user_timeout_ms = USER_TIMEOUT_MS;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
    if (peer) {
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof(user_timeout_ms));
        setsockopt(fd, IPPROTO_TCP, TCP_SYNCNT, &syn_retries, sizeof(syn_retries));
    }
}

void connections_accept(struct connections *connections, int fd)
{
    if (connections->free.count == 0) {
        LOG(LOG_LEVEL_WARN, "connection-refused", FIELD_TEXT("cause", "all connection slots are taken"));
        close(fd);
        return;
    }
    struct connection *connection = &connections->all[list_pop(&connections->free)];
    connection_tune(fd, false);
    connection_start(connections, connection, fd);
    connection_enter(connections, connection, CONNECTION_OPEN);
    connection_touch(connections, connection);
}

int connections_dial(struct connections *connections, uint32_t slot, const struct endpoint *endpoint)
{
    ASSERT(slot < DIALED_MAX);
    struct connection *connection = &connections->all[slot];
    int flags = SOCK_STREAM | SOCK_CLOEXEC | connections->backend->table->socket_flags;
    int fd = socket(endpoint->address.ss_family, flags, 0);
    if (fd < 0)
        return -errno;
    connection_tune(fd, true);
    connection_start(connections, connection, fd);
    connection->kind = CONNECTION_PEER_OUT;
    connection_enter(connections, connection, CONNECTION_DIALING);
    struct io_request request = {
        .kind = IO_CONNECT,
        .address = (const struct sockaddr *)&endpoint->address,
        .address_bytes = endpoint->address_bytes,
    };
    connection_submit(connections, connection, &request);
    return 0;
}

/* CLOSED -> FREE once nothing refers to the slot any more. */
static void connection_release(struct connections *connections, struct connection *connection)
{
    if (connection->state != CONNECTION_CLOSED || connection->outstanding > 0 || connection->ready)
        return;
    connections->backend->table->forget(connections->backend, connection->fd);
    close(connection->fd);
    connection->fd = -1;
    if (connection->kind == CONNECTION_CLIENT)
        connections->client_count--;
    ASSERT(connections->open_count > 0);
    connections->open_count--;
    /* Back to the kernel: a burst on one connection is no reason to hold memory for the next one. */
    madvise(connection->in, (size_t)connections->in_capacity + connection->out_capacity, MADV_DONTNEED);
    connection_enter(connections, connection, CONNECTION_FREE);
    if (connection->slot >= DIALED_MAX)
        list_push(&connections->free, connection->slot);
}

void connection_drop(struct connections *connections, struct connection *connection)
{
    if (connection->state == CONNECTION_FREE || connection->state == CONNECTION_CLOSED)
        return;
    /* Makes the operations in flight complete. */
    shutdown(connection->fd, SHUT_RDWR);
    connection_enter(connections, connection, CONNECTION_CLOSED);
    connection_touch(connections, connection);
}

void connection_drain(struct connections *connections, struct connection *connection)
{
    if (connection->state != CONNECTION_OPEN)
        return;
    connection_enter(connections, connection, CONNECTION_DRAINING);
    connection_touch(connections, connection);
}

void connections_sweep(struct connections *connections, uint64_t now_ns)
{
    connections->now_ns = now_ns;
    if (now_ns < connections->sweep_ns)
        return;
    connections->sweep_ns = now_ns + SWEEP_NS;
    for (uint32_t slot = DIALED_MAX; slot < CONNECTIONS_MAX; slot++) {
        struct connection *connection = &connections->all[slot];
        uint64_t age_ns = now_ns - connection->since_ns;
        bool leaving = connection->state == CONNECTION_LINGERING || connection->state == CONNECTION_DRAINING;
        /* Two followers have nothing to say to each other: silence is suspicious only when slots run out. */
        bool silent = connection->state == CONNECTION_OPEN && connection->kind == CONNECTION_UNKNOWN
                      && connections->free.count < SLOTS_SCARCE;
        if ((leaving && age_ns > LINGER_NS) || (silent && age_ns > UNKNOWN_NS))
            connection_drop(connections, connection);
    }
}

static void connection_received(struct connections *connections, struct connection *connection, int32_t result)
{
    connection->receiving = false;
    if (result == -EINTR || result == -EAGAIN)
        return;
    if (result <= 0) {
        connection_drop(connections, connection);
        return;
    }
    if (connection->state != CONNECTION_OPEN)
        return; /* lingering: nobody reads this any more */
    connection->in_end += (uint32_t)result;
    connection->received_ns = connections->arrived_ns;
    ASSERT(connection->in_end <= connections->in_capacity);
    if (!connection->ready) {
        connection->ready = true;
        list_push(&connections->ready, connection->slot);
    }
}

static void connection_sent(struct connections *connections, struct connection *connection, int32_t result)
{
    connection->sending = false;
    if (result == -EINTR || result == -EAGAIN)
        return;
    if (result < 0) {
        connection_drop(connections, connection);
        return;
    }
    connection->out_head += (uint32_t)result;
    ASSERT(connection->out_head <= connection->out_tail);
}

void connection_event(struct connections *connections, const struct io_event *event)
{
    uint64_t slot = event->token & ((1u << TOKEN_SLOT_BITS) - 1);
    ASSERT(slot < CONNECTIONS_MAX);
    struct connection *connection = &connections->all[slot];
    ASSERT(connection_handle(connection) == event->token);
    ASSERT(connection->outstanding > 0);
    connection->outstanding--;
    connection_touch(connections, connection);
    if (event->kind == IO_RECEIVE)
        connection_received(connections, connection, event->result);
    else if (event->kind == IO_SEND)
        connection_sent(connections, connection, event->result);
    else if (event->result < 0)
        connection_drop(connections, connection);
    else if (connection->state == CONNECTION_DIALING)
        connection_enter(connections, connection, CONNECTION_OPEN);
}

/* The first frame tells who speaks. False when there is no room for another client. */
static bool connection_classify(struct connections *connections, struct connection *connection, const uint8_t *bytes)
{
    struct frame_header header;
    memcpy(&header, bytes, sizeof(header));
    if (header.from != 0) {
        connection->kind = CONNECTION_PEER_IN;
        connection->peer_id = header.from;
        return true;
    }
    if (connections->client_count == CLIENTS_MAX) {
        LOG(LOG_LEVEL_WARN, "connection-refused", FIELD_TEXT("cause", "all client slots are taken"));
        return false;
    }
    connection->kind = CONNECTION_CLIENT;
    connections->client_count++;
    return true;
}

/* Cuts the next frame of one connection; closes it when the stream cannot be cut. */
static bool connection_cut(struct connections *connections, struct connection *connection, struct slice *frame)
{
    if (connection->state != CONNECTION_OPEN)
        return false;
    struct slice rest = { connection->in + connection->in_start, connection->in_end - connection->in_start };
    uint32_t frame_bytes = 0;
    enum frame_verdict verdict = frame_size(rest, connections->frame_bytes_max, &frame_bytes);
    if (verdict == FRAME_OK && frame_bytes > rest.count)
        verdict = FRAME_SHORT;
    if (verdict == FRAME_SHORT)
        return false;
    if (verdict != FRAME_OK) {
        char remote[MEMBER_ADDRESS_BYTES];
        LOG(LOG_LEVEL_WARN, "stream-refused", FIELD_TEXT("cause", frame_verdict_text(verdict)),
            FIELD_TEXT("remote", connection_remote(connection, remote)));
        connection_drop(connections, connection);
        return false;
    }
    if (connection->kind == CONNECTION_UNKNOWN && !connection_classify(connections, connection, rest.bytes)) {
        connection_drop(connections, connection);
        return false;
    }
    *frame = (struct slice){ rest.bytes, frame_bytes };
    connection->in_start += frame_bytes;
    return true;
}

bool connections_frame(struct connections *connections, struct connection **found, struct slice *frame)
{
    while (connections->ready.count > 0) {
        struct connection *connection = &connections->all[connections->ready.slots[connections->ready.start]];
        ASSERT(connection->ready);
        connection_touch(connections, connection);
        if (connection_cut(connections, connection, frame)) {
            *found = connection;
            return true;
        }
        list_pop(&connections->ready);
        connection->ready = false;
    }
    return false;
}

bool connection_send(struct connections *connections, struct connection *connection, struct slice bytes)
{
    uint64_t used = connection->out_tail - connection->out_head;
    if (connection->state != CONNECTION_OPEN || bytes.count > connection->out_capacity - used)
        return false;
    uint32_t place = (uint32_t)(connection->out_tail % connection->out_capacity);
    uint32_t first = u32_min(bytes.count, connection->out_capacity - place);
    memcpy(connection->out + place, bytes.bytes, first);
    memcpy(connection->out, bytes.bytes + first, bytes.count - first);
    connection->out_tail += bytes.count;
    connection_touch(connections, connection);
    return true;
}

static void connection_flush_out(struct connections *connections, struct connection *connection)
{
    bool may_send = connection->state == CONNECTION_OPEN || connection->state == CONNECTION_DRAINING;
    if (!may_send || connection->sending)
        return;
    if (connection->out_head == connection->out_tail) {
        connection->out_head = connection->out_tail = 0; /* stay in pages that are warm already */
        if (connection->state == CONNECTION_DRAINING) {
            shutdown(connection->fd, SHUT_WR);
            connection_enter(connections, connection, CONNECTION_LINGERING);
        }
        return;
    }
    uint32_t place = (uint32_t)(connection->out_head % connection->out_capacity);
    uint64_t queued = connection->out_tail - connection->out_head;
    struct io_request request = {
        .kind = IO_SEND,
        .bytes = connection->out + place,
        .count = (uint32_t)u64_min(queued, connection->out_capacity - place),
    };
    connection->sending = true;
    connection_submit(connections, connection, &request);
}

static void connection_flush_in(struct connections *connections, struct connection *connection)
{
    bool may_receive = connection->state == CONNECTION_OPEN || connection->state == CONNECTION_DRAINING
                       || connection->state == CONNECTION_LINGERING;
    if (!may_receive || connection->receiving)
        return;
    if (connection->in_start == connection->in_end || connection->state != CONNECTION_OPEN) {
        connection->in_start = connection->in_end = 0;
    } else if (connection->in_start >= connections->in_capacity / 2) {
        memmove(connection->in, connection->in + connection->in_start, connection->in_end - connection->in_start);
        connection->in_end -= connection->in_start;
        connection->in_start = 0;
    }
    if (connection->in_end == connections->in_capacity)
        return; /* whole frames wait for the next turn: back-pressure */
    struct io_request request = {
        .kind = IO_RECEIVE,
        .bytes = connection->in + connection->in_end,
        .count = connections->in_capacity - connection->in_end,
    };
    connection->receiving = true;
    connection_submit(connections, connection, &request);
}

void connections_flush(struct connections *connections)
{
    while (connections->touched.count > 0) {
        struct connection *connection = &connections->all[list_pop(&connections->touched)];
        connection->touched = false;
        connection_flush_out(connections, connection);
        connection_flush_in(connections, connection);
        connection_release(connections, connection);
    }
}

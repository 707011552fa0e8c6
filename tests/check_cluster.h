/* Three replicas on disks of memory, under all hooks of the simulator's checkers: for the tests that show them lies.
 *
 * Not nodes.h: that one looks for what replicas do, this one for what checkers say of it. */
#ifndef WW_TEST_CHECK_CLUSTER_H
#define WW_TEST_CHECK_CLUSTER_H

#include "test.h"

#include "../core/state.h"
#include "../sim/check.h"
#include "node.h"

enum { NODES = 3, FRAMES_MAX = 512 };

struct cluster {
    struct node *nodes[NODES];
    struct replica_config configs[NODES];
    struct configuration configuration;
    struct check *check;
    uint64_t step;
    uint64_t session;
    uint64_t sequence;
    uint32_t calls;
    uint64_t now;
    bool cut[NODES]; /* its frames are lost, both ways */
    bool disk_stuck[NODES];
    struct reply reply; /* the last one that a client got */
    uint8_t reply_bytes[NODE_FRAME_BYTES_MAX];
};

static inline void observe(struct cluster *c, uint32_t n, uint32_t sent_before)
{
    struct node *node = c->nodes[n];
    check_set_step(c->check, ++c->step);
    check_step(c->check, n, node->replica, &node->output);
    check_input(c->check, n, &(struct input){ .kind = INPUT_TICK }); /* the next one, unless it is a frame */
    for (uint32_t i = sent_before; i < node->sent_count; i++) {
        const struct slice frame = { .bytes = node->sent[i].bytes, .count = node->sent[i].count };
        if (node->sent[i].reply) {
            check_reply(c->check, n, frame);
            check_read_age(c->check, n, frame, node->now_ns);
        } else {
            check_send(c->check, n, frame);
        }
    }
}

/* The world without a change: what a checker sees when nothing but our lie has happened. */
static inline void look(struct cluster *c, uint32_t n)
{
    c->nodes[n]->output.event_count = 0;
    check_step(c->check, n, c->nodes[n]->replica, &c->nodes[n]->output);
}

static inline void start(struct cluster *c, uint32_t n)
{
    check_node_started(c->check, n);
    node_start(c->nodes[n]);
    observe(c, n, 0);
}

static inline void landed(struct cluster *c, uint32_t n, uint32_t device, uint64_t offset, uint32_t bytes, bool damaged)
{
    struct node *node = c->nodes[n];
    if (device == DEVICE_WAL)
        check_landed(c->check, n, offset, node->image, node->image_bytes, bytes, damaged);
    if (device == DEVICE_WAL && !damaged)
        check_written(c->check, n, offset, bytes);
    if (device == DEVICE_DATA)
        check_data_landed(c->check, n, offset, node->data, node->data_bytes, bytes, damaged);
}

static inline void complete(struct cluster *c, uint32_t n)
{
    struct node *node = c->nodes[n];
    const struct node_op op = node->ops[0];
    const uint32_t sent = node->sent_count;
    if (op.write) {
        node_land(node, 0, UINT64_MAX);
        landed(c, n, op.device, op.offset, op.bytes, false);
    }
    node_complete(node, 0, DISK_OK);
    observe(c, n, sent);
}

static inline void tick(struct cluster *c, uint32_t n, uint64_t passed_ns)
{
    const uint32_t sent = c->nodes[n]->sent_count;
    node_tick(c->nodes[n], passed_ns);
    observe(c, n, sent);
}

static inline void deliver(struct cluster *c, uint32_t n)
{
    struct node *node = c->nodes[n];
    const struct node_frame frame = node->sent[0];
    memmove(&node->sent[0], &node->sent[1], (size_t)(node->sent_count - 1) * sizeof node->sent[0]);
    node->sent_count--;
    if (frame.reply) {
        memcpy(c->reply_bytes, frame.bytes, frame.count);
        const struct slice bytes = { .bytes = c->reply_bytes, .count = frame.count };
        EXPECT_EQUAL(reply_decode(bytes, sizeof c->reply_bytes, &c->reply), FRAME_OK);
        return;
    }
    const uint32_t to = (uint32_t)frame.to - 1;
    if (c->cut[n] || c->cut[to] || c->nodes[to]->replica == NULL)
        return;
    const uint32_t sent = c->nodes[to]->sent_count;
    const struct slice bytes = { .bytes = frame.bytes, .count = frame.count };
    check_input(c->check, to, &(struct input){ .kind = INPUT_PEER_FRAME, .bytes = bytes });
    node_peer_frame(c->nodes[to], bytes);
    observe(c, to, sent);
}

/* Until nothing is left to do at this instant. */
static inline void settle(struct cluster *c)
{
    for (bool busy = true; busy;) {
        busy = false;
        for (uint32_t n = 0; n < NODES; n++) {
            struct node *node = c->nodes[n];
            if (node->replica == NULL)
                continue;
            if (node->op_count > 0 && !c->disk_stuck[n]) {
                complete(c, n);
                busy = true;
            } else if (node->sent_count > 0) {
                deliver(c, n);
                busy = true;
            } else if (node->deadline_ns <= node->now_ns && node->stop == 0) {
                tick(c, n, 0);
                busy = true;
            }
        }
    }
}

static inline void elect(struct cluster *c, uint32_t n)
{
    for (uint32_t i = 0; i < 100 && node_view(c->nodes[n]).role != RAFT_LEADER; i++) {
        tick(c, n, 50 * 1000 * 1000);
        settle(c);
    }
    EXPECT_EQUAL(node_view(c->nodes[n]).role, RAFT_LEADER);
}

static inline uint32_t invoke(struct cluster *c, struct request *request)
{
    request->request_id = ((uint64_t)c->calls + 1) << 20; /* as the clients of the simulator do */
    check_invoked(c->check, c->calls, 0, request, ++c->now);
    return c->calls++;
}

static inline struct slice text(const char *bytes)
{
    return (struct slice){ .bytes = (const uint8_t *)bytes, .count = (uint32_t)strlen(bytes) };
}

static inline struct request put(struct cluster *c, const char *value)
{
    return (struct request){
        .kind = REQUEST_PUT, .session = c->session, .sequence = ++c->sequence, .key = text("key"), .value = text(value)
    };
}

static inline void propose(struct cluster *c, uint32_t n, const struct request *request)
{
    const uint32_t sent = c->nodes[n]->sent_count;
    uint8_t frame[NODE_FRAME_BYTES_MAX];
    const struct slice bytes = { .bytes = frame, .count = request_bytes(request) };
    EXPECT(bytes.count <= sizeof frame);
    request_encode(request, c->nodes[n]->config.cluster_id, frame);
    check_input(c->check, n, &(struct input){ .kind = INPUT_CLIENT_FRAME, .bytes = bytes });
    node_client_frame(c->nodes[n], 1, bytes);
    observe(c, n, sent);
}

/* A whole call at node n. */
static inline void call(struct cluster *c, uint32_t n, struct request request)
{
    const uint32_t number = invoke(c, &request);
    propose(c, n, &request);
    settle(c);
    EXPECT_EQUAL(c->reply.request_id, request.request_id);
    check_returned(c->check, number, &c->reply, ++c->now);
}

static inline void get(struct cluster *c, uint32_t n)
{
    call(c, n, (struct request){ .kind = REQUEST_GET, .key = text("key") });
}

/* Node 0 leads, a session is open and a key is written. */
static inline struct cluster *cluster_new(void)
{
    struct cluster *c = calloc(1, sizeof *c);
    EXPECT(c != NULL);
    c->check = check_new();
    c->configuration = node_voters(NODES);
    for (uint32_t n = 0; n < NODES; n++) {
        c->configs[n] = node_config(n + 1);
        c->configs[n].check_quorum = false;
        c->nodes[n] = node_new(&limits_tiny, &c->configs[n], node_voters(NODES));
    }
    check_reset(c->check, &(struct check_setup){ .limits = &limits_tiny,
                                                 .node_count = NODES,
                                                 .configs = c->configs,
                                                 .configuration = &c->configuration });
    for (uint32_t n = 0; n < NODES; n++) {
        landed(c, n, DEVICE_WAL, 0, (uint32_t)wal_header_offset(&limits_tiny), false);
        start(c, n);
    }
    settle(c);
    elect(c, 0);
    call(c, 0, (struct request){ .kind = REQUEST_REGISTER });
    c->session = c->reply.session;
    call(c, 0, put(c, "one"));
    tick(c, 0, 25 * 1000 * 1000); /* a heartbeat tells the commit */
    settle(c);
    EXPECT(!check_result(c->check)->failed);
    return c;
}

static inline void cluster_free(struct cluster *c)
{
    for (uint32_t n = 0; n < NODES; n++)
        node_free(c->nodes[n]);
    check_free(c->check);
    free(c);
}

/* The kind of the failure by name; "none". */
static inline const char *verdict(const struct cluster *c)
{
    const struct check_failure *failure = check_result(c->check);
    return failure->failed ? check_kind_text(failure->kind) : "none";
}

#define EXPECT_CAUGHT(cluster, kind) \
    do { \
        EXPECT_TEXT(verdict(cluster), check_kind_text(kind)); \
        EXPECT(check_result((cluster)->check)->text[0] != '\0'); \
        cluster_free(cluster); \
    } while (0)

static inline void send_lie(struct cluster *c, uint32_t n, struct message message)
{
    uint8_t bytes[NODE_FRAME_BYTES_MAX];
    const struct frame_context context = node_context(c->nodes[n]);
    message.from = n + 1;
    message.instance = 1000 + n + 1;
    message_encode(&message, &context, bytes);
    check_send(c->check, n, (struct slice){ .bytes = bytes, .count = message_bytes(&message) });
}

/* A life ends, without anything of what was in flight; and the next begins. */
static inline void restart(struct cluster *c, uint32_t n)
{
    node_crash(c->nodes[n]);
    check_node_crashed(c->check, n);
    start(c, n);
}

#endif

/* Three replicas on disks of memory that can be damaged block by block, and their clients: what the experiment of
 * ctrl.c runs on. One seed decides the election timeouts and whose turn it is; time is simulated and passes by a little
 * with every step. The same seed gives the same run.
 *
 * A block that is unreadable fails every read that touches it until it is written. While a history is being made, the
 * disks remember what each block held before it last changed: what a write that the disk lost would leave behind.
 *
 * It watches over safety in passing: whatever is applied at an index must leave the state with which the history, or
 * the first node that got there, left it. */
#ifndef WW_CTRL_WORLD_H
#define WW_CTRL_WORLD_H

#include "../core/prng.h"
#include "../core/state.h"
#include "node.h"

enum { NODES = 3, STEP_NS = 5000, CALLS_MAX = 3, VALUE_BYTES_MAX = 512, INDICES_MAX = 2048 };

static const uint64_t MS = 1000 * 1000; /* ns */

struct disk {
    uint64_t bytes;
    uint32_t block_bytes;
    uint8_t *saved;   /* what it held at the end of the history */
    uint8_t *stale;   /* per block, what it held before it last changed */
    bool *unreadable; /* per block */
};

/* What a client wants of the cluster, and what it was told. */
struct call {
    struct request request;
    bool sent;
    bool done; /* answered for good: reply, whose value lies in `value` */
    struct reply reply;
    uint8_t value[VALUE_BYTES_MAX];
};

struct world {
    struct limits limits;
    struct prng prng;
    struct node *nodes[NODES];
    struct disk disks[NODES][DEVICES];
    bool cut[NODES]; /* from its peers; clients reach it */
    bool recording;
    uint64_t now_ns;
    uint64_t request_id;
    uint32_t target; /* the node that clients try next */
    struct call *calls;
    uint32_t call_count;
    uint64_t events[NODES][EVENT_KINDS];
    uint64_t all_events[EVENT_KINDS]; /* of all nodes and cases */
    uint64_t unrecoverable;           /* the index that a node called so; 0: none */
    uint64_t digests[INDICES_MAX];    /* of the state behind each entry; 0: nobody applied it yet */
    const char *wrong;                /* a safety property that did not hold; NULL: none */
    uint64_t wrong_at;
};

static inline struct world *world_new(const struct limits *limits)
{
    struct world *world = calloc(1, sizeof *world);
    NODE_CHECK(world != NULL, "memory");
    world->limits = *limits;
    for (uint32_t slot = 0; slot < NODES; slot++) {
        const struct replica_config config = node_config(slot + 1);
        struct node *node = node_new(&world->limits, &config, node_voters(NODES));
        world->nodes[slot] = node;
        for (uint32_t device = 0; device < DEVICES; device++) {
            struct disk *disk = &world->disks[slot][device];
            disk->bytes = device == DEVICE_WAL ? node->image_bytes : node->data_bytes;
            disk->block_bytes = device == DEVICE_WAL ? limits->block_bytes : limits->page_bytes;
            disk->saved = calloc(1, disk->bytes);
            disk->stale = calloc(1, disk->bytes);
            disk->unreadable = calloc(disk->bytes / disk->block_bytes, sizeof *disk->unreadable);
            NODE_CHECK(disk->saved != NULL && disk->stale != NULL && disk->unreadable != NULL, "memory");
            memcpy(disk->stale, node_device(node, device, 0), disk->bytes);
        }
    }
    return world;
}

static inline void world_free(struct world *world)
{
    for (uint32_t slot = 0; slot < NODES; slot++) {
        node_free(world->nodes[slot]);
        for (uint32_t device = 0; device < DEVICES; device++) {
            free(world->disks[slot][device].saved);
            free(world->disks[slot][device].stale);
            free(world->disks[slot][device].unreadable);
        }
    }
    free(world);
}

static inline bool world_is_up(const struct world *world, uint32_t slot)
{
    return world->nodes[slot]->replica != NULL && world->nodes[slot]->stop == 0;
}

/* ---- what happens in a step ---- */

static inline void world_wrong(struct world *world, const char *wrong, uint64_t at)
{
    if (world->wrong == NULL) {
        world->wrong = wrong;
        world->wrong_at = at;
    }
}

static inline void world_observe(struct world *world, uint32_t slot)
{
    const struct output *output = &world->nodes[slot]->output;
    NODE_CHECK(output->event_count <= output->event_max, "events were dropped");
    for (uint32_t i = 0; i < output->event_count; i++) {
        const struct event event = output->events[i];
        world->events[slot][event.kind]++;
        world->all_events[event.kind]++;
        if (event.kind == EVENT_UNRECOVERABLE)
            world->unrecoverable = event.a;
        if (event.kind != EVENT_APPLY)
            continue;
        NODE_CHECK(event.a < INDICES_MAX, "more entries than the harness counts");
        if (world->digests[event.a] == 0)
            world->digests[event.a] = event.b;
        else if (world->digests[event.a] != event.b)
            world_wrong(world, "another state than there was behind entry", event.a);
    }
}

static inline void world_start(struct world *world, uint32_t slot)
{
    node_start(world->nodes[slot]);
    world_observe(world, slot);
}

static inline void world_complete(struct world *world, uint32_t slot, uint32_t at)
{
    struct node *node = world->nodes[slot];
    const struct node_op op = node->ops[at];
    struct disk *disk = &world->disks[slot][op.device];
    bool fails = false;
    for (uint32_t done = 0; done < op.bytes; done += disk->block_bytes) {
        const uint64_t offset = op.offset + done;
        const uint8_t *before = node_device(node, op.device, offset);
        bool *unreadable = &disk->unreadable[offset / disk->block_bytes];
        fails = fails || (!op.write && *unreadable);
        if (!op.write)
            continue;
        *unreadable = false;
        if (world->recording && memcmp(before, op.source + done, disk->block_bytes) != 0)
            memcpy(disk->stale + offset, before, disk->block_bytes);
    }
    node_complete(node, at, fails ? DISK_ERROR : DISK_OK);
    world_observe(world, slot);
}

static inline void world_answered(struct world *world, const struct node_frame *frame)
{
    struct reply reply;
    const struct slice bytes = { .bytes = frame->bytes, .count = frame->count };
    NODE_CHECK(reply_decode(bytes, world->limits.frame_bytes_max, &reply) == FRAME_OK, "a reply that cannot be read");
    for (uint32_t i = 0; i < world->call_count; i++) {
        struct call *call = &world->calls[i];
        if (call->done || call->request.request_id != reply.request_id)
            continue;
        call->sent = false;
        if (reply.status == REPLY_NOT_LEADER && reply.leader != 0)
            world->target = (uint32_t)reply.leader - 1;
        if (reply.status == REPLY_NOT_LEADER || reply.status == REPLY_BUSY || reply.status == REPLY_UNKNOWN)
            continue;
        call->done = true;
        call->reply = reply;
        NODE_CHECK(reply.value.count <= sizeof call->value, "a value over the harness's limit");
        if (reply.value.count > 0)
            memcpy(call->value, reply.value.bytes, reply.value.count);
        call->reply.value.bytes = call->value;
    }
}

static inline void world_deliver(struct world *world, uint32_t from)
{
    struct node *sender = world->nodes[from];
    for (uint32_t i = 0; i < sender->sent_count; i++) {
        const struct node_frame *frame = &sender->sent[i];
        if (frame->reply) {
            world_answered(world, frame);
            continue;
        }
        const uint32_t to = (uint32_t)frame->to - 1;
        if (world->cut[from] || world->cut[to] || !world_is_up(world, to))
            continue;
        node_peer_frame(world->nodes[to], (struct slice){ .bytes = frame->bytes, .count = frame->count });
        world_observe(world, to);
    }
    sender->sent_count = 0;
}

static inline bool world_has_work(const struct world *world, uint32_t slot)
{
    const struct node *node = world->nodes[slot];
    return node->sent_count > 0
           || (world_is_up(world, slot) && (node->op_count > 0 || node->deadline_ns <= world->now_ns));
}

/* One thing that one node has to do. */
static inline void world_step(struct world *world, uint32_t slot)
{
    struct node *node = world->nodes[slot];
    if (node->sent_count > 0) {
        world_deliver(world, slot);
    } else if (node->op_count > 0) {
        world_complete(world, slot, (uint32_t)prng_below(&world->prng, node->op_count));
    } else {
        node_tick(node, 0);
        world_observe(world, slot);
    }
}

/* ---- time ---- */

static inline void world_advance(struct world *world, uint64_t to_ns)
{
    world->now_ns = to_ns;
    for (uint32_t slot = 0; slot < NODES; slot++)
        world->nodes[slot]->now_ns = to_ns;
}

/* Some node that has something to do now; NODES: none has. */
static inline uint32_t world_turn(struct world *world)
{
    const uint32_t first = (uint32_t)prng_below(&world->prng, NODES);
    for (uint32_t at = 0; at < NODES; at++)
        if (world_has_work(world, (first + at) % NODES))
            return (first + at) % NODES;
    return NODES;
}

static inline bool world_calls_wait(const struct world *world)
{
    for (uint32_t i = 0; i < world->call_count; i++)
        if (world->calls[i].sent)
            return true;
    return false;
}

/* Until then, or until no call waits for an answer any more if there are any. */
static inline void world_run(struct world *world, uint64_t duration_ns)
{
    const uint64_t end_ns = world->now_ns + duration_ns;
    while (world->now_ns < end_ns && (world->call_count == 0 || world_calls_wait(world))) {
        const uint32_t slot = world_turn(world);
        if (slot < NODES) {
            world_step(world, slot);
            world_advance(world, world->now_ns + STEP_NS);
            continue;
        }
        uint64_t next_ns = end_ns;
        for (uint32_t at = 0; at < NODES; at++)
            if (world_is_up(world, at))
                next_ns = u64_min(next_ns, world->nodes[at]->deadline_ns);
        world_advance(world, next_ns);
    }
}

/* ---- clients ---- */

static inline void world_send(struct world *world, uint32_t slot)
{
    for (uint32_t i = 0; i < world->call_count; i++) {
        struct call *call = &world->calls[i];
        if (call->done || call->sent)
            continue;
        call->sent = true;
        node_request(world->nodes[slot], 1, &call->request);
        world_observe(world, slot);
    }
}

/* Asks one node after the other until all calls are answered for good. */
static inline bool world_call(struct world *world, struct call *calls, uint32_t count, uint64_t within_ns)
{
    const uint64_t end_ns = world->now_ns + within_ns;
    bool done = false;
    for (uint32_t i = 0; i < count; i++) {
        calls[i].sent = false;
        calls[i].done = false;
        calls[i].request.request_id = ++world->request_id;
    }
    world->calls = calls;
    while (!done && world->now_ns < end_ns) {
        const uint32_t target = world->target;
        world->call_count = count;
        if (world_is_up(world, target))
            world_send(world, target);
        world_run(world, u64_min(40 * MS, end_ns - world->now_ns));
        done = true;
        for (uint32_t i = 0; i < count; i++) {
            done = done && calls[i].done;
            calls[i].sent = false;
        }
        world->call_count = 0;
        if (done)
            break;
        if (world->target == target)
            world->target = (target + 1) % NODES;
        world_run(world, u64_min(3 * MS, end_ns - world->now_ns));
    }
    world->calls = NULL;
    world->call_count = 0;
    return done;
}

static inline uint32_t world_leader(const struct world *world)
{
    for (uint32_t slot = 0; slot < NODES; slot++)
        if (world_is_up(world, slot) && !world->cut[slot] && node_view(world->nodes[slot]).role == RAFT_LEADER)
            return slot;
    return NODES;
}

#endif

/* One replica on a disk of memory, for unit tests and fuzzers: the smallest driver there can be.
 *
 * It carries nothing out by itself. Disk operations wait in `ops` until the test completes them, in any order; frames
 * and replies wait in `sent` until the test takes them. It checks what every driver relies on: writes are block-aligned
 * and inside the device, the bytes of a write stay as they were until its completion, and replica_invariant() holds
 * after each step of a replica that has a role.
 *
 * Not a simulator: no network, no faults by chance, no checkers across nodes. That is sim/. */
#ifndef WW_TEST_NODE_H
#define WW_TEST_NODE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../core/checksum.h"
#include "../core/inspect.h"
#include "../core/replica.h"
#include "../core/request.h"

enum { NODE_OPS_MAX = 64, NODE_SENT_MAX = 256, NODE_FRAME_BYTES_MAX = 4096 };

struct node_op {
    uint64_t op_id;
    uint64_t offset;
    uint32_t device;
    uint32_t bytes;
    bool write;
    const uint8_t *source; /* writes: pinned in the region */
    uint64_t digest;       /* writes: of the source when it was emitted */
};

struct node_frame {
    uint64_t to; /* node id, or the client of a reply */
    bool reply;
    uint32_t count;
    uint8_t bytes[NODE_FRAME_BYTES_MAX];
};

struct node {
    struct limits limits;
    struct replica_config config;
    void *region;
    void *output_region;
    struct replica *replica; /* NULL while down */
    struct output output;
    uint8_t *image; /* what is durable on device 0 ... */
    uint64_t image_bytes;
    uint8_t *data; /* ... and on device 1 */
    uint64_t data_bytes;
    uint64_t now_ns;
    uint64_t deadline_ns;
    struct node_op ops[NODE_OPS_MAX];
    uint32_t op_count;
    uint64_t data_writes; /* to device 1, so far */
    struct node_frame sent[NODE_SENT_MAX];
    uint32_t sent_count;
    uint32_t sent_dropped;      /* frames that found `sent` full */
    enum frame_verdict refused; /* of the last EFFECT_REFUSE */
    enum stop_reason stop;      /* 0: did not stop */
    /* For who records it, unless NULL: before and after each step. */
    void (*fed)(struct node *node, const struct input *input);
    void (*shown)(struct node *node);
    void *context;
};

#define NODE_CHECK(condition, text) ((condition) ? (void)0 : node_broken(text, __LINE__))

static inline _Noreturn void node_broken(const char *text, int line)
{
    fprintf(stderr, "node.h:%d: broken: %s\n", line, text);
    abort();
}

static inline struct replica_config node_config(uint64_t node_id)
{
    return (struct replica_config){
        .cluster_id = 7,
        .node_id = node_id,
        .seed = node_id,
        .election_timeout_ns = 100 * 1000 * 1000,
        .heartbeat_interval_ns = 20 * 1000 * 1000,
        .pre_vote = true,
        .check_quorum = true,
    };
}

/* Voters 1..voter_count. */
static inline struct configuration node_voters(uint32_t voter_count)
{
    struct configuration configuration = { .id = { .term = 0 } };
    for (uint32_t slot = 0; slot < voter_count; slot++) {
        struct member *member = &configuration.members[slot];
        *member = (struct member){ .id = slot + 1, .roles = MEMBER_VOTER };
        snprintf(member->address, sizeof member->address, "node%u", slot + 1);
    }
    return configuration;
}

/* An empty disk, formatted. */
static inline void node_format(struct node *node, const struct configuration *configuration, uint64_t instance)
{
    const uint32_t bytes = limits_superblock_bytes(&node->limits);
    uint8_t *superblock = calloc(1, bytes);
    NODE_CHECK(superblock != NULL, "memory");
    memset(node->image, 0, node->image_bytes);
    memset(node->data, 0, node->data_bytes);
    replica_format(&node->limits, &node->config, configuration, instance, superblock);
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++)
        memcpy(node->image + superblock_offset(&node->limits, copy), superblock, bytes);
    free(superblock);
}

/* A formatted disk and no running replica. */
static inline struct node *node_new(const struct limits *limits, const struct replica_config *config,
                                    struct configuration configuration)
{
    struct node *node = calloc(1, sizeof *node);
    NODE_CHECK(node != NULL, "memory");
    node->limits = *limits;
    node->config = *config;
    node->region = aligned_alloc(REGION_ALIGNMENT, u64_round_up(replica_bytes(limits), REGION_ALIGNMENT));
    node->output_region = aligned_alloc(REGION_ALIGNMENT, u64_round_up(output_bytes(limits), REGION_ALIGNMENT));
    node->image_bytes = limits_wal_bytes(limits);
    node->image = calloc(1, node->image_bytes);
    node->data_bytes = limits_data_bytes(limits);
    node->data = calloc(1, node->data_bytes);
    NODE_CHECK(node->region != NULL && node->output_region != NULL && node->image != NULL && node->data != NULL,
               "memory");
    node_format(node, &configuration, 1000 + config->node_id);
    return node;
}

static inline void node_free(struct node *node)
{
    free(node->region);
    free(node->output_region);
    free(node->image);
    free(node->data);
    free(node);
}

static inline void node_keep_frame(struct node *node, const struct effect *effect, bool reply)
{
    NODE_CHECK(effect->bytes.count <= node->limits.frame_bytes_max, "frame over its limit");
    NODE_CHECK(effect->bytes.count <= NODE_FRAME_BYTES_MAX, "frame over the harness's limit");
    if (node->sent_count == NODE_SENT_MAX) {
        node->sent_dropped++;
        return;
    }
    struct node_frame *frame = &node->sent[node->sent_count++];
    frame->to = effect->target;
    frame->reply = reply;
    frame->count = effect->bytes.count;
    memcpy(frame->bytes, effect->bytes.bytes, effect->bytes.count);
}

/* The bytes of a device at an offset. */
static inline uint8_t *node_device(struct node *node, uint32_t device, uint64_t offset)
{
    return (device == DEVICE_WAL ? node->image : node->data) + offset;
}

static inline void node_keep_op(struct node *node, const struct effect *effect, bool write)
{
    NODE_CHECK(node->op_count < NODE_OPS_MAX, "too many disk operations in flight");
    NODE_CHECK(effect->device < DEVICES, "unknown device");
    const bool wal = effect->device == DEVICE_WAL;
    const uint32_t block_bytes = wal ? node->limits.block_bytes : node->limits.page_bytes;
    NODE_CHECK(effect->offset % block_bytes == 0, "unaligned offset");
    NODE_CHECK(effect->bytes.count > 0 && effect->bytes.count % block_bytes == 0, "unaligned size");
    NODE_CHECK(effect->offset + effect->bytes.count <= (wal ? node->image_bytes : node->data_bytes),
               "outside the device");
    NODE_CHECK(wal || effect->offset > 0, "block 0 of device 1 holds nothing");
    for (uint32_t i = 0; i < node->op_count; i++)
        NODE_CHECK(node->ops[i].op_id != effect->op_id, "operation id in use");
    struct node_op *op = &node->ops[node->op_count++];
    *op = (struct node_op){ .op_id = effect->op_id,
                            .offset = effect->offset,
                            .device = effect->device,
                            .bytes = effect->bytes.count,
                            .write = write };
    node->data_writes += write && !wal;
    if (write) {
        op->source = effect->bytes.bytes;
        op->digest = checksum64(op->source, op->bytes, 0);
    }
}

static inline struct replica_view node_view(const struct node *node)
{
    struct replica_view view;
    memset(&view, 0, sizeof view);
    replica_inspect(node->replica, &view);
    return view;
}

static inline void node_step(struct node *node, const struct input *input)
{
    NODE_CHECK(node->replica != NULL, "step of a node that is down");
    if (node->fed != NULL)
        node->fed(node, input);
    replica_step(node->replica, input, &node->output);
    if (node->shown != NULL)
        node->shown(node);
    const struct output *output = &node->output;
    for (uint32_t i = 0; i < output->effect_count; i++) {
        const struct effect *effect = &output->effects[i];
        NODE_CHECK(node->stop == 0, "an effect behind the last one");
        switch (effect->kind) {
        case EFFECT_SEND:
            NODE_CHECK(effect->target != node->config.node_id, "a frame to itself");
            node_keep_frame(node, effect, false);
            break;
        case EFFECT_REPLY: node_keep_frame(node, effect, true); break;
        case EFFECT_WRITE: node_keep_op(node, effect, true); break;
        case EFFECT_READ: node_keep_op(node, effect, false); break;
        case EFFECT_RELEASE: /* must never be read again */
            memset((uint8_t *)node->replica + (effect->bytes.bytes - (const uint8_t *)node->replica), 0xdb,
                   effect->bytes.count);
            if (effect->place != NULL)
                memset((uint8_t *)node->replica + (effect->place - (const uint8_t *)node->replica), 0xdb,
                       effect->bytes.count);
            break;
        case EFFECT_REFUSE: node->refused = effect->verdict; break;
        case EFFECT_STOP: node->stop = effect->stop; break;
        }
    }
    node->deadline_ns = output->deadline_ns;
    /* While it reads its disk, or if it stopped over it, what it knows of the WAL is not whole. */
    if (node_view(node).role == RAFT_STARTING || node->stop != 0)
        return;
    const char *broken = replica_invariant(node->replica);
    NODE_CHECK(broken == NULL, broken);
}

/* A new life on what the disk holds. */
static inline void node_start(struct node *node)
{
    const size_t bytes = replica_bytes(&node->limits);
    memset(node->region, 0, bytes);
    output_init(&node->output, node->output_region, &node->limits);
    node->replica = replica_init(node->region, &node->limits, &node->config);
    node->op_count = 0;
    node->sent_count = 0;
    node->stop = (enum stop_reason)0;
    node_step(node, &(struct input){ .kind = INPUT_START, .now_ns = node->now_ns });
}

/* Power loss: nothing in flight lands. Tests that want some of it to land call node_land() before. */
static inline void node_crash(struct node *node)
{
    node->replica = NULL;
    node->op_count = 0;
    node->sent_count = 0;
}

/* Some blocks of the write in `slot` reach the disk, without its completion: bit i of the mask is block i. */
static inline void node_land(struct node *node, uint32_t slot, uint64_t blocks)
{
    const struct node_op *op = &node->ops[slot];
    NODE_CHECK(op->write, "only writes land");
    const uint32_t block_bytes = op->device == DEVICE_WAL ? node->limits.block_bytes : node->limits.page_bytes;
    for (uint32_t at = 0; at < op->bytes; at += block_bytes)
        if (blocks >> (at / block_bytes % 64) & 1)
            memcpy(node_device(node, op->device, op->offset + at), op->source + at, block_bytes);
}

/* Completes the operation in `slot`; a write that is not DISK_OK changes nothing. */
static inline void node_complete(struct node *node, uint32_t slot, enum disk_result result)
{
    const struct node_op op = node->ops[slot];
    struct input input = { .kind = INPUT_DISK, .now_ns = node->now_ns, .op_id = op.op_id, .result = result };
    if (op.write) {
        NODE_CHECK(checksum64(op.source, op.bytes, 0) == op.digest, "a pinned buffer changed");
        if (result == DISK_OK)
            memcpy(node_device(node, op.device, op.offset), op.source, op.bytes);
    } else if (result == DISK_OK) {
        input.bytes = (struct slice){ .bytes = node_device(node, op.device, op.offset), .count = op.bytes };
    }
    node->ops[slot] = node->ops[--node->op_count];
    node_step(node, &input);
}

static inline void node_tick(struct node *node, uint64_t passed_ns)
{
    node->now_ns += passed_ns;
    node_step(node, &(struct input){ .kind = INPUT_TICK, .now_ns = node->now_ns });
}

/* Completes everything, oldest first, and steps again while the replica has work of its own at once. */
static inline void node_settle(struct node *node)
{
    for (uint32_t steps = 0; node->op_count > 0 || (node->stop == 0 && node->deadline_ns <= node->now_ns); steps++) {
        NODE_CHECK(steps < 100000, "never settles");
        if (node->op_count > 0)
            node_complete(node, 0, DISK_OK);
        else
            node_tick(node, 0);
    }
}

static inline void node_peer_frame(struct node *node, struct slice bytes)
{
    node_step(node, &(struct input){ .kind = INPUT_PEER_FRAME, .now_ns = node->now_ns, .bytes = bytes });
}

static inline void node_client_frame(struct node *node, uint64_t client, struct slice bytes)
{
    node_step(node,
              &(struct input){ .kind = INPUT_CLIENT_FRAME, .now_ns = node->now_ns, .client = client, .bytes = bytes });
}

static inline void node_request(struct node *node, uint64_t client, const struct request *request)
{
    uint8_t bytes[NODE_FRAME_BYTES_MAX];
    NODE_CHECK(request_bytes(request) <= sizeof bytes, "request over the harness's limit");
    request_encode(request, node->config.cluster_id, bytes);
    node_client_frame(node, client, (struct slice){ .bytes = bytes, .count = request_bytes(request) });
}

static inline struct frame_context node_context(const struct node *node)
{
    return (struct frame_context){ .cluster_id = node->config.cluster_id,
                                   .fingerprint = limits_fingerprint(&node->limits),
                                   .frame_bytes_max = node->limits.frame_bytes_max };
}

/* A message as the peer `from` would send it. */
static inline void node_message(struct node *node, const struct message *message)
{
    uint8_t bytes[NODE_FRAME_BYTES_MAX];
    const struct frame_context context = node_context(node);
    NODE_CHECK(message_bytes(message) <= sizeof bytes, "message over the harness's limit");
    message_encode(message, &context, bytes);
    node_peer_frame(node, (struct slice){ .bytes = bytes, .count = message_bytes(message) });
}

#endif

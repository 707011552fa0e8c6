/* Lives on damaged disks, for tests of recovery: blocks that cannot be read, writes that land in part, and what a start
 * made of them. An addition to node.h; like it, it carries nothing out by itself.
 *
 * An unreadable block fails every read that touches it, until a write to it has completed or landed. */
#ifndef WW_TEST_IMAGE_H
#define WW_TEST_IMAGE_H

#include "node.h"

enum {
    IMAGE_BLOCKS_MAX = 256,
    /* Where a write tears inside a block: in the middle of every stored header, and behind it. */
    IMAGE_TEAR_BYTES = 60,
    IMAGE_TEAR_BEHIND_BYTES = 512,
    IMAGE_CRASHES_MAX = 3,
};

/* One flag a block of device 0; device 1 has none. */
struct image_faults {
    bool unreadable[IMAGE_BLOCKS_MAX];
};

/* What a start came to. */
struct rebirth {
    enum stop_reason stop; /* 0: the node has a role */
    uint64_t detail;       /* of the stop */
    uint32_t writes;       /* completed before it had a role */
    uint32_t batches;      /* of them, in the body of the WAL */
    uint32_t damaged;      /* batches that it found damaged */
    bool cut;              /* it cut a tail */
    bool abstained;        /* something was lost, and it cannot say what */
};

/* What a write of the device lands in, as a whole or not at all. */
static inline uint32_t image_block_bytes(const struct node *node, uint32_t device)
{
    return device == DEVICE_WAL ? node->limits.block_bytes : node->limits.page_bytes;
}

static inline bool image_op_fails(const struct node *node, const struct node_op *op, const struct image_faults *faults)
{
    const uint64_t block_bytes = node->limits.block_bytes;
    if (op->device != DEVICE_WAL)
        return false;
    for (uint64_t block = op->offset / block_bytes; block < (op->offset + op->bytes) / block_bytes; block++)
        if (faults->unreadable[block])
            return true;
    return false;
}

/* Completes one operation as a disk with these faults would. */
static inline void image_complete(struct node *node, uint32_t slot, struct image_faults *faults,
                                  struct rebirth *rebirth)
{
    const struct node_op op = node->ops[slot];
    const bool fails = !op.write && image_op_fails(node, &op, faults);
    if (op.write && op.device == DEVICE_WAL) {
        memset(faults->unreadable + op.offset / node->limits.block_bytes, 0, op.bytes / node->limits.block_bytes);
        rebirth->writes++;
        rebirth->batches += op.offset >= wal_body_offset(&node->limits);
    }
    node_complete(node, slot, fails ? DISK_ERROR : DISK_OK);
    const struct output *output = &node->output;
    NODE_CHECK(output->event_count <= output->event_max, "no event of a start is dropped");
    for (uint32_t i = 0; i < output->event_count; i++) {
        rebirth->cut = rebirth->cut || output->events[i].kind == EVENT_TAIL_CUT;
        rebirth->abstained = rebirth->abstained || output->events[i].kind == EVENT_ABSTAIN;
        rebirth->damaged += output->events[i].kind == EVENT_BATCH_DAMAGED;
    }
    for (uint32_t i = 0; i < output->effect_count; i++)
        if (output->effects[i].kind == EFFECT_STOP)
            rebirth->detail = output->effects[i].detail;
    rebirth->stop = node->stop;
}

static inline bool image_starting(const struct node *node)
{
    return node->stop == 0 && node_view(node).role == RAFT_STARTING;
}

/* A new life, until it has a role or has stopped. Of two operations in flight, bit i of the order, modulo 64, says
 * which one completes i-th. */
static inline struct rebirth image_boot_in_order(struct node *node, struct image_faults *faults, uint64_t order)
{
    struct rebirth rebirth = { .cut = false };
    NODE_CHECK(node->image_bytes / node->limits.block_bytes <= IMAGE_BLOCKS_MAX, "device over the harness's limit");
    node_start(node);
    for (uint32_t step = 0; image_starting(node); step++) {
        NODE_CHECK(node->op_count > 0, "the start waits for nothing");
        image_complete(node, (uint32_t)(order >> step % 64 & 1) % node->op_count, faults, &rebirth);
    }
    return rebirth;
}

static inline struct rebirth image_boot(struct node *node, struct image_faults *faults)
{
    return image_boot_in_order(node, faults, 0);
}

/* The ways in which a write in flight may have landed when power is lost: not at all, whole, or torn at a block
 * boundary, either side of it; a write of one block may also tear inside, in its header or behind it. */
static inline uint32_t image_landings(const struct node *node, const struct node_op *op)
{
    const uint32_t blocks = op->bytes / image_block_bytes(node, op->device);
    return blocks == 1 ? 4 : 2 * blocks;
}

static inline void image_land(struct node *node, uint32_t slot, uint32_t landing, struct node *to,
                              struct image_faults *faults)
{
    const struct node_op *op = &node->ops[slot];
    const uint32_t block_bytes = image_block_bytes(node, op->device);
    const uint32_t blocks = op->bytes / block_bytes;
    NODE_CHECK(op->write && landing < image_landings(node, op), "no such landing");
    uint32_t first = 0;
    uint32_t bytes = op->bytes;
    if (landing == 0)
        return;
    if (landing >= 2 && blocks == 1) {
        bytes = landing == 2 ? IMAGE_TEAR_BYTES : IMAGE_TEAR_BEHIND_BYTES;
    } else if (landing >= 2) {
        const uint32_t boundary = landing / 2 * block_bytes;
        first = landing % 2 == 0 ? 0 : boundary;
        bytes = landing % 2 == 0 ? boundary : op->bytes - boundary;
    }
    memcpy(node_device(to, op->device, op->offset + first), op->source + first, bytes);
    if (faults != NULL && op->device == DEVICE_WAL)
        memset(faults->unreadable + (op->offset + first) / block_bytes, 0, (bytes + block_bytes - 1) / block_bytes);
}

/* The next way for the writes in flight to have landed; false after the last. */
static inline bool image_landing_next(const struct node *node, uint32_t *landing)
{
    for (uint32_t slot = 0; slot < node->op_count; slot++) {
        if (!node->ops[slot].write)
            continue;
        if (++landing[slot] < image_landings(node, &node->ops[slot]))
            return true;
        landing[slot] = 0;
    }
    return false;
}

/* Starts within starts: lives[0] starts from its image, each other from where a crash left the one before. */
struct image_crashes {
    struct node *lives[IMAGE_CRASHES_MAX];
    struct image_faults faults[IMAGE_CRASHES_MAX];
    uint32_t deepest;                                  /* so many crashes on one path */
    void (*expect)(const struct node *, const void *); /* holds of every life that has a role */
    const void *expected;
    uint64_t count;
};

/* Power is lost at every write of a start, the writes in flight having landed in every way, and again at every write of
 * the start after that. */
static inline void image_crash_everywhere(struct image_crashes *crashes, uint32_t depth)
{
    struct node *node = crashes->lives[depth];
    struct rebirth rebirth = { .cut = false };
    node_start(node);
    while (image_starting(node)) {
        NODE_CHECK(node->op_count > 0, "the start waits for nothing");
        uint32_t landing[NODE_OPS_MAX] = { 0 };
        bool more = depth < crashes->deepest && node->ops[0].write;
        while (more) {
            struct node *next = crashes->lives[depth + 1];
            memcpy(next->image, node->image, node->image_bytes);
            memcpy(next->data, node->data, node->data_bytes);
            crashes->faults[depth + 1] = crashes->faults[depth];
            for (uint32_t slot = 0; slot < node->op_count; slot++)
                image_land(node, slot, landing[slot], next, &crashes->faults[depth + 1]);
            crashes->count++;
            image_crash_everywhere(crashes, depth + 1);
            more = image_landing_next(node, landing);
        }
        image_complete(node, 0, &crashes->faults[depth], &rebirth);
    }
    crashes->expect(node, crashes->expected);
}

#endif

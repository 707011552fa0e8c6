/* Scenes for the test of recovery: what a real follower wrote, batch for batch and name for name, with its completions
 * ordered so that each batch says of its predecessors what the scene needs. */
#ifndef WW_TEST_RECOVERY_SCENE_H
#define WW_TEST_RECOVERY_SCENE_H

#include "../core/wal_format.h"

#include "image.h"

enum { NAME_DELAY_NS = 2 * 1000 * 1000 }; /* more than a batch waits for its name */
enum { BLOCK = 1024, TAIL_MAX = 4, ENTRIES = 2, ENTRY_BODY_BYTES = 500, SHORT_BODY_BYTES = 40 };

static inline struct limits test_limits(void)
{
    struct limits limits = limits_tiny;
    limits.block_bytes = BLOCK;
    limits.wal_header_blocks = 5; /* the longest scenes write more names: the ring wraps */
    limits.wal_body_blocks = 24;
    limits.wal_batch_bytes_max = 2 * BLOCK;
    limits.wal_depth = TAIL_MAX;
    limits.wal_unnamed_max = TAIL_MAX + 2;
    limits.wal_reserve_blocks = 4;
    limits.wal_retain_blocks = 1;
    limits.checkpoint_wal_blocks = 18; /* more than any scene writes: no checkpoints here */
    limits.checkpoint_entries = 32;
    limits.log_entries_max = 64;
    return limits;
}

enum past {
    PAST_NONE,  /* the tail is all there is */
    PAST_NAMED, /* behind batches that were durable and named, on zeros */
    PAST_CUT,   /* behind a cut, over the leavings of the life before it */
    PASTS,
};

/* One append request: so many entries of the same term behind prev. */
struct suffix {
    struct log_id prev;
    uint64_t term;
    uint32_t body_bytes;
    uint8_t fill;
};

struct tail_batch {
    uint64_t offset; /* on the device */
    uint32_t echo;   /* so many batches of the tail does its header call durable */
    struct suffix suffix;
    uint8_t run[2 * BLOCK];
    uint8_t unchained[2 * BLOCK]; /* the same behind another batch */
};

struct name_block {
    uint64_t offset; /* 0: none */
    uint8_t bytes[BLOCK];
};

struct scene {
    struct node *node;
    uint8_t *past; /* image without the tail, but with the final superblock */
    uint64_t tail_offset;
    uint32_t count;
    bool stale; /* batches of an earlier life lie where the tail goes */
    struct tail_batch tail[TAIL_MAX];
    struct name_block names[TAIL_MAX + 1]; /* [j] names the tail's first j batches; [0]: the newest block of the past */
    uint64_t last[TAIL_MAX + 1];           /* index, with so many batches of the tail */
    uint64_t digest[TAIL_MAX + 1];
    uint64_t term;
};

static inline void send_suffix(struct node *node, const struct suffix *suffix, uint64_t term)
{
    static uint8_t body[ENTRY_BODY_BYTES];
    uint8_t bytes[2 * BLOCK];
    uint32_t used = 0;
    memset(body, suffix->fill, sizeof body);
    for (uint32_t i = 1; i <= ENTRIES; i++) {
        const struct entry entry = { .id = { .term = suffix->term, .index = suffix->prev.index + i },
                                     .kind = ENTRY_COMMAND,
                                     .body = { .bytes = body, .count = suffix->body_bytes } };
        entry_encode(&entry, bytes + used);
        used += entry_bytes(suffix->body_bytes);
    }
    const struct message message = {
        .type = FRAME_APPEND_REQUEST,
        .from = 1 + term % 2 * 2, /* terms have leaders 1 and 3 in turn */
        .to = node->config.node_id,
        .instance = 1001 + term % 2 * 2,
        .term = term,
        .append_request = { .prev = suffix->prev,
                            .entry_count = ENTRIES,
                            .entries = { .bytes = bytes, .count = used } },
    };
    node_message(node, &message);
    node->sent_count = 0;
}

static inline bool op_is_body(const struct node *node, const struct node_op *op)
{
    return op->write && op->offset >= wal_body_offset(&node->limits);
}

static inline bool op_is_name(const struct node *node, const struct node_op *op)
{
    return op->write && !op_is_body(node, op) && op->offset >= wal_header_offset(&node->limits);
}

/* Lets a name be due, and completes all that is not a batch; remembers the last block of names. */
static inline void settle_but_batches(struct node *node, struct name_block *names)
{
    if (!image_starting(node))
        node_tick(node, NAME_DELAY_NS);
    for (uint32_t slot = 0; slot < node->op_count;) {
        const struct node_op *op = &node->ops[slot];
        if (op_is_body(node, op)) {
            slot++;
            continue;
        }
        if (op_is_name(node, op)) {
            names->offset = op->offset;
            memcpy(names->bytes, op->source, BLOCK);
        }
        node_complete(node, slot, DISK_OK);
        slot = 0;
    }
}

static inline uint32_t batch_op(const struct node *node, uint64_t offset)
{
    uint32_t slot = 0;
    while (slot < node->op_count && node->ops[slot].offset != offset)
        slot++;
    NODE_CHECK(slot < node->op_count, "the batch is not in flight");
    return slot;
}

static inline struct log_id log_id_at(const struct node *node, uint64_t index)
{
    return (struct log_id){ .term = replica_entry_term(node->replica, index), .index = index };
}

static inline void write_past(struct node *node, enum past past, struct name_block *newest)
{
    if (past == PAST_NONE)
        return;
    for (uint32_t i = 0; i < 2; i++) {
        const struct suffix suffix = { node_view(node).last, 1, SHORT_BODY_BYTES, (uint8_t)(0x10 + i) };
        send_suffix(node, &suffix, 1);
        settle_but_batches(node, newest);
        node_complete(node, 0, DISK_OK);
        settle_but_batches(node, newest);
    }
    if (past == PAST_NAMED)
        return;
    /* Four in flight, of which the short first one never lands: the cut takes its place, the others stay behind it. */
    for (uint32_t i = 0; i < TAIL_MAX; i++) {
        const uint32_t body_bytes = i == 0 ? SHORT_BODY_BYTES : ENTRY_BODY_BYTES;
        const struct suffix suffix = { node_view(node).last, 1, body_bytes, (uint8_t)(0x20 + i) };
        send_suffix(node, &suffix, 1);
        if (i > 0)
            node_land(node, node->op_count - 1, 3);
    }
    NODE_CHECK(node->op_count == TAIL_MAX, "the lost life has four batches in flight");
    node_crash(node);
    node_start(node);
    while (image_starting(node)) {
        settle_but_batches(node, newest);
        if (node->op_count > 0)
            node_complete(node, 0, DISK_OK);
    }
}

static inline void scene_note(struct scene *scene, uint32_t batches)
{
    scene->last[batches] = node_view(scene->node).last.index;
    scene->digest[batches] = image_log_digest(scene->node, scene->last[batches]);
}

static inline void write_batch(struct scene *scene, uint32_t at, bool truncating)
{
    struct node *node = scene->node;
    struct tail_batch *batch = &scene->tail[at];
    const uint64_t last = node_view(node).last.index;
    const uint64_t drop = truncating ? u64_min(at + 1, last) : 0;
    if (truncating)
        scene->term++;
    batch->suffix =
        (struct suffix){ log_id_at(node, last - drop), scene->term, ENTRY_BODY_BYTES, (uint8_t)(0x30 + at) };
    send_suffix(node, &batch->suffix, scene->term);
    for (uint32_t slot = 0; slot < node->op_count; slot++)
        if (op_is_body(node, &node->ops[slot]) && node->ops[slot].offset > batch->offset)
            batch->offset = node->ops[slot].offset;
    const struct node_op *op = &node->ops[batch_op(node, batch->offset)];
    NODE_CHECK(op->bytes == sizeof batch->run, "every batch of the tail has two blocks");
    memcpy(batch->run, op->source, sizeof batch->run);
    struct wal_batch_header header;
    memcpy(&header, batch->run, sizeof header);
    memset(&header.hash, 0, sizeof header.hash);
    header.prev_hash.low ^= 1;
    memset(&header.body_hash, 0, sizeof header.body_hash);
    memcpy(batch->unchained, batch->run, sizeof batch->unchained);
    memcpy(batch->unchained, &header, sizeof header);
    wal_batch_seal(batch->unchained, node->config.cluster_id);
}

/* truncating: bit per batch. echo: so many batches are durable when each is sealed. */
static inline struct scene *scene_new(enum past past, uint32_t count, uint32_t truncating, const uint32_t *echo)
{
    const struct limits limits = test_limits();
    const struct replica_config config = node_config(3, 2);
    struct scene *scene = calloc(1, sizeof *scene);
    NODE_CHECK(scene != NULL, "memory");
    struct node *node = node_new(&limits, &config);
    scene->node = node;
    scene->count = count;
    scene->term = 1;
    scene->stale = past == PAST_CUT;
    node_start(node);
    node_settle(node);
    write_past(node, past, &scene->names[0]);
    scene->past = malloc(node->image_bytes);
    NODE_CHECK(scene->past != NULL, "memory");
    memcpy(scene->past, node->image, node->image_bytes);
    scene->tail_offset = wal_body_offset(&limits) + node_view(node).wal_blocks_used * BLOCK;
    scene_note(scene, 0);
    uint32_t durable = 0;
    for (uint32_t i = 0; i <= count; i++) {
        for (const uint32_t goal = i < count ? echo[i] : count; durable < goal; durable++) {
            node_complete(node, batch_op(node, scene->tail[durable].offset), DISK_OK);
            settle_but_batches(node, &scene->names[durable + 1]);
        }
        if (i == count)
            break;
        write_batch(scene, i, (truncating >> i & 1) != 0);
        settle_but_batches(node, &scene->names[0]);
        scene->tail[i].echo = durable;
        scene_note(scene, i + 1);
    }
    NODE_CHECK(node->op_count == 0, "the tail is written");
    scene->term = node_view(node).term;
    memcpy(scene->past, node->image, wal_header_offset(&limits));
    return scene;
}

static inline void scene_free(struct scene *scene)
{
    free(scene->past);
    node_free(scene->node);
    free(scene);
}

#endif

/* Scenes for the test of recovery: what a real follower wrote, batch for batch and name for name, with its completions
 * ordered so that each batch says of its predecessors what the scene needs. */
#ifndef WW_TEST_RECOVERY_SCENE_H
#define WW_TEST_RECOVERY_SCENE_H

#include "../core/state.h"

#include "image.h"

enum { NAME_DELAY_NS = 2 * WAL_NAME_DELAY_NS }; /* more than a batch waits for its name */
enum { BLOCK = 1024, TAIL_MAX = 4, ENTRIES = 2, ENTRY_BODY_BYTES = 500, SHORT_BODY_BYTES = 40, LOG_MAX = 128 };

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
    limits.checkpoint_entries = 16;
    limits.log_entries_max = 64;
    return limits;
}

enum past {
    PAST_NONE,  /* the tail is all there is */
    PAST_NAMED, /* behind batches that were durable and named, on zeros */
    PAST_CUT,   /* behind a cut, over the leavings of the life before it */
    PAST_LAPS,  /* behind checkpoints, over the batches of earlier laps; the end of the ring lies within the tail, and
                   takes a block from it */
    PASTS,
};

/* One append request: so many entries of the same term behind prev. */
struct suffix {
    struct log_id prev;
    uint64_t term;
    uint32_t body_bytes;
    uint8_t fill;
};

/* An entry as a log must hold it. */
struct kept_entry {
    uint64_t term;
    uint64_t digest;
    bool faulty; /* known by name only */
};

struct kept_log {
    uint64_t base;
    uint64_t last;
    struct kept_entry entries[LOG_MAX]; /* [index] */
};

struct tail_batch {
    uint64_t offset; /* on the device */
    uint32_t echo;   /* so many batches of the tail does its header call durable */
    struct suffix suffix;
    struct kept_entry entries[ENTRIES];
    uint8_t run[2 * BLOCK];
    uint8_t unchained[2 * BLOCK]; /* the same behind another batch */
};

struct name_block {
    uint64_t offset; /* 0: none */
    uint8_t bytes[BLOCK];
};

struct scene {
    struct node *node;
    enum past past_kind;
    uint8_t *past;     /* image without the tail, but with the final superblock */
    uint64_t past_end; /* lsn: the tail begins here */
    uint32_t count;
    struct tail_batch tail[TAIL_MAX];
    struct name_block names[TAIL_MAX + 1]; /* [j] names the tail's first j batches; [0]: the newest block of the past */
    struct kept_log before;                /* the log without the tail */
    uint64_t before_term;                  /* of its base */
    uint64_t term;
};

static inline void send_entries(struct node *node, const struct suffix *suffix, enum entry_kind kind, uint32_t count,
                                uint64_t commit, uint64_t term)
{
    static uint8_t body[ENTRY_BODY_BYTES];
    uint8_t bytes[2 * BLOCK];
    uint32_t used = 0;
    memset(body, suffix->fill, sizeof body);
    for (uint32_t i = 1; i <= count; i++) {
        const struct entry entry = { .id = { .term = suffix->term, .index = suffix->prev.index + i },
                                     .kind = kind,
                                     .body = { .bytes = body,
                                               .count = kind == ENTRY_COMMAND ? suffix->body_bytes : 0 } };
        entry_encode(&entry, bytes + used);
        used += entry_bytes(entry.body.count);
    }
    const struct message message = {
        .type = FRAME_APPEND_REQUEST,
        .from = 1 + term % 2 * 2, /* terms have leaders 1 and 3 in turn */
        .to = node->config.node_id,
        .instance = 1001 + term % 2 * 2,
        .term = term,
        .append_request = { .prev = suffix->prev,
                            .commit = commit,
                            .entry_count = count,
                            .entries = { .bytes = bytes, .count = used } },
    };
    node_message(node, &message);
    node->sent_count = 0;
}

static inline void send_suffix(struct node *node, const struct suffix *suffix, uint64_t term)
{
    send_entries(node, suffix, ENTRY_COMMAND, ENTRIES, 0, term);
}

static inline bool op_is_body(const struct node *node, const struct node_op *op)
{
    return op->write && op->device == DEVICE_WAL && op->offset >= wal_body_offset(&node->limits);
}

static inline bool op_is_name(const struct node *node, const struct node_op *op)
{
    return op->write && op->device == DEVICE_WAL && !op_is_body(node, op)
           && op->offset >= wal_header_offset(&node->limits);
}

/* Completes all that is not a batch; remembers the last block of names. */
static inline void settle_ops(struct node *node, struct name_block *names)
{
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

/* The same, and lets a name be due. */
static inline void settle_but_batches(struct node *node, struct name_block *names)
{
    if (!image_starting(node))
        node_tick(node, NAME_DELAY_NS);
    settle_ops(node, names);
    while (!image_starting(node) && node->deadline_ns <= node->now_ns) {
        node_tick(node, 0);
        settle_ops(node, names);
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

/* A batch of the past: durable, named, and checkpointed if it is a marker. */
static inline void past_add(struct node *node, enum entry_kind kind, uint8_t fill, bool commit,
                            struct name_block *newest)
{
    const struct suffix suffix = { node_view(node).last, 1, SHORT_BODY_BYTES, fill };
    const uint32_t count = kind == ENTRY_CHECKPOINT ? 1 : ENTRIES;
    send_entries(node, &suffix, kind, count, commit ? suffix.prev.index + count : 0, 1);
    settle_but_batches(node, newest);
    NODE_CHECK(node->op_count == 1, "one batch in flight");
    node_complete(node, 0, DISK_OK);
    settle_but_batches(node, newest);
}

/* Of 24 blocks, one and seven eighths laps: the tail begins three blocks before the end of the ring, on the batches of
 * the lap before, and the log a little earlier. */
static inline void past_laps(struct node *node, struct name_block *newest)
{
    enum { BATCHES = 45, BATCHES_PER_MARKER = 8, UNCOMMITTED = 2 };
    for (uint32_t i = 1; i <= BATCHES; i++)
        past_add(node, i % BATCHES_PER_MARKER == 0 ? ENTRY_CHECKPOINT : ENTRY_COMMAND, (uint8_t)i,
                 i <= BATCHES - UNCOMMITTED, newest);
    NODE_CHECK(node_view(node).base.index > 0, "the head has moved");
}

/* Four in flight, of which the short first one never lands: the cut takes its place, the others stay behind it. */
static inline void past_cut(struct node *node, struct name_block *newest)
{
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

static inline void write_past(struct node *node, enum past past, struct name_block *newest)
{
    if (past == PAST_LAPS)
        past_laps(node, newest);
    if (past == PAST_NAMED || past == PAST_CUT)
        for (uint32_t i = 0; i < 2; i++)
            past_add(node, ENTRY_COMMAND, (uint8_t)(0x10 + i), false, newest);
    if (past == PAST_CUT)
        past_cut(node, newest);
}

static inline struct kept_entry kept_entry_read(const struct node *node, uint64_t index)
{
    struct kept_entry kept = { .term = replica_entry_term(node->replica, index),
                               .faulty = !replica_entry_readable(node->replica, index) };
    struct entry entry;
    if (kept.faulty)
        return kept;
    replica_entry(node->replica, index, &entry);
    NODE_CHECK(entry.id.index == index && entry.id.term == kept.term, "an entry is what its slot says");
    kept.digest = checksum64(entry.body.bytes, entry.body.count, (uint64_t)entry.kind);
    return kept;
}

static inline void kept_log_read(const struct node *node, struct kept_log *log)
{
    const struct replica_view view = node_view(node);
    memset(log, 0, sizeof *log);
    log->base = view.base.index;
    log->last = view.last.index;
    NODE_CHECK(log->last < LOG_MAX, "log over the harness's limit");
    for (uint64_t index = log->base + 1; index <= log->last; index++)
        log->entries[index] = kept_entry_read(node, index);
}

static inline bool kept_log_equal(const struct kept_log *a, const struct kept_log *b)
{
    if (a->base != b->base || a->last != b->last)
        return false;
    for (uint64_t index = a->base + 1; index <= a->last; index++)
        if (a->entries[index].term != b->entries[index].term || a->entries[index].faulty != b->entries[index].faulty
            || a->entries[index].digest != b->entries[index].digest)
            return false;
    return true;
}

/* What a batch does to a log; faulty: its entries are known by name only. */
static inline void kept_log_take(struct kept_log *log, const struct tail_batch *batch, bool faulty)
{
    for (uint64_t index = batch->suffix.prev.index + ENTRIES + 1; index <= log->last; index++)
        log->entries[index] = (struct kept_entry){ .term = 0 };
    for (uint32_t i = 0; i < ENTRIES; i++) {
        struct kept_entry *entry = &log->entries[batch->suffix.prev.index + 1 + i];
        *entry = batch->entries[i];
        entry->faulty = faulty;
        if (faulty)
            entry->digest = 0;
    }
    log->last = batch->suffix.prev.index + ENTRIES;
}

static inline void write_batch(struct scene *scene, uint32_t at, bool truncating)
{
    struct node *node = scene->node;
    struct tail_batch *batch = &scene->tail[at];
    const uint64_t last = node_view(node).last.index;
    const uint64_t drop = truncating ? u64_min(at + 1, last - node_view(node).commit) : 0;
    if (truncating)
        scene->term++;
    batch->suffix =
        (struct suffix){ log_id_at(node, last - drop), scene->term, ENTRY_BODY_BYTES, (uint8_t)(0x30 + at) };
    send_suffix(node, &batch->suffix, scene->term);
    /* The newest operation that writes a batch. */
    for (uint32_t slot = 0; slot < node->op_count; slot++) {
        bool known = false;
        for (uint32_t before = 0; before < at; before++)
            known = known || scene->tail[before].offset == node->ops[slot].offset;
        if (op_is_body(node, &node->ops[slot]) && !known)
            batch->offset = node->ops[slot].offset;
    }
    const struct node_op *op = &node->ops[batch_op(node, batch->offset)];
    NODE_CHECK(op->bytes == sizeof batch->run, "every batch of the tail has two blocks");
    memcpy(batch->run, op->source, sizeof batch->run);
    for (uint32_t i = 0; i < ENTRIES; i++)
        batch->entries[i] = kept_entry_read(node, batch->suffix.prev.index + 1 + i);
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
    const struct replica_config config = node_config(2);
    struct scene *scene = calloc(1, sizeof *scene);
    NODE_CHECK(scene != NULL, "memory");
    struct node *node = node_new(&limits, &config, node_voters(3));
    scene->node = node;
    scene->count = count;
    scene->term = 1;
    scene->past_kind = past;
    node_start(node);
    node_settle(node);
    write_past(node, past, &scene->names[0]);
    scene->past = malloc(node->image_bytes);
    NODE_CHECK(scene->past != NULL, "memory");
    memcpy(scene->past, node->image, node->image_bytes);
    kept_log_read(node, &scene->before);
    scene->before_term = node_view(node).base.term;
    scene->past_end = node->replica->wal.tail;
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

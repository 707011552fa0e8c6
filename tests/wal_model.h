/* What the log on a node's disk must be, for tests of power loss: known from the batches that left for the disk, from
 * their completions, and from the bytes that landed; not from the replica's memory. Logs are kept as digests of
 * entries, from the first one on, although the disk forgets what a checkpoint holds.
 *
 * Where the log begins is what the superblock says that counts on the disk. When that lies behind all batches, an
 * install has replaced the log. */
#ifndef WW_TEST_WAL_MODEL_H
#define WW_TEST_WAL_MODEL_H

#include "../core/wal_format.h"

#include "node.h"
#include "test.h"

#ifndef MODEL_LOG_MAX
#define MODEL_LOG_MAX 512
#endif
enum { MODEL_BATCHES_MAX = 8 };

/* A log, by the digests of its entries. */
struct model_log {
    uint64_t base; /* nothing is known of the entries up to it */
    uint64_t last;
    uint64_t entries[MODEL_LOG_MAX]; /* [index] */
    uint64_t sequence;               /* of the batch that made it so */
    uint64_t end;                    /* lsn behind it */
};

struct model_batch {
    uint64_t op_id;
    uint64_t offset;
    uint32_t bytes;
    bool complete;
    uint64_t digest; /* of its bytes */
    struct model_log after;
};

struct wal_model {
    struct model_log durable;                      /* after the batches that are complete, and all before them */
    struct model_batch batches[MODEL_BATCHES_MAX]; /* submitted behind that */
    uint32_t batch_count;
};

static inline uint64_t entry_digest(const struct entry *entry)
{
    const uint64_t header[] = { entry->id.term, entry->id.index, (uint64_t)entry->kind };
    return checksum64(entry->body.bytes, entry->body.count, checksum64(header, sizeof header, 0));
}

static inline void model_log_read(struct model_log *log, const struct node *node)
{
    const struct replica_view view = node_view(node);
    log->base = view.base.index;
    log->last = view.last.index;
    EXPECT(log->last < MODEL_LOG_MAX);
    for (uint64_t index = log->base + 1; index <= log->last; index++) {
        struct entry entry;
        replica_entry(node->replica, index, &entry);
        log->entries[index] = entry_digest(&entry);
    }
}

/* As far as both know. */
static inline bool model_log_equal(const struct model_log *a, const struct model_log *b)
{
    if (a->last != b->last)
        return false;
    for (uint64_t index = u64_max(a->base, b->base) + 1; index <= a->last; index++)
        if (a->entries[index] != b->entries[index])
            return false;
    return true;
}

static inline const struct model_log *model_newest(const struct wal_model *model)
{
    return model->batch_count > 0 ? &model->batches[model->batch_count - 1].after : &model->durable;
}

/* The superblock that counts on the node's disk. */
static inline struct superblock model_superblock(const struct node *node)
{
    struct superblock copies[SUPERBLOCK_COPIES];
    uint8_t valid[SUPERBLOCK_COPIES];
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++) {
        const struct slice block = { .bytes = node->image + superblock_offset(&node->limits, copy),
                                     .count = limits_superblock_bytes(&node->limits) };
        valid[copy] = superblock_decode(block, &copies[copy]) ? 1 : 0;
    }
    const uint32_t chosen = superblock_choose(copies, valid);
    EXPECT(chosen < SUPERBLOCK_COPIES);
    return copies[chosen];
}

/* No superblock that may count after a loss of power begins the log with what the batch overwrites. */
static inline void model_expect_free(const struct node *node, const struct wal_batch_header *header)
{
    const uint64_t ring = (uint64_t)node->limits.wal_body_blocks * node->limits.block_bytes;
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++) {
        struct superblock superblock;
        const struct slice block = { .bytes = node->image + superblock_offset(&node->limits, copy),
                                     .count = limits_superblock_bytes(&node->limits) };
        EXPECT(superblock_decode(block, &superblock));
        EXPECT(header->lsn + header->run_bytes <= superblock.stored.head.lsn + ring);
    }
    EXPECT(header->lsn % ring + header->run_bytes <= ring);
}

/* A batch is on its way to the disk, perhaps known already. True when it is new and takes entries back. */
static inline bool model_batch_submitted(struct wal_model *model, const struct node *node, const struct node_op *op)
{
    for (uint32_t i = 0; i < model->batch_count; i++)
        if (model->batches[i].op_id == op->op_id)
            return false;
    EXPECT(model->batch_count < MODEL_BATCHES_MAX);
    const uint64_t ring = (uint64_t)node->limits.wal_body_blocks * node->limits.block_bytes;
    const struct slice bytes = { .bytes = op->source, .count = op->bytes };
    struct wal_batch_header header;
    struct wal_batch_view view;
    EXPECT(bytes.count >= sizeof header);
    memcpy(&header, op->source, sizeof header);
    EXPECT_EQUAL(header.lsn % ring, op->offset - wal_body_offset(&node->limits));
    EXPECT(header.lsn >= model_newest(model)->end);
    EXPECT(wal_batch_inspect(bytes, node->config.cluster_id, header.lsn, &view));
    model_expect_free(node, &header);
    struct model_batch batch = { .op_id = op->op_id,
                                 .offset = op->offset,
                                 .bytes = op->bytes,
                                 .digest = op->digest,
                                 .after = *model_newest(model) };
    struct model_log *log = &batch.after;
    EXPECT(view.sequence > log->sequence);
    log->sequence = view.sequence;
    const bool truncates = log->last > view.truncate_after;
    log->last = u64_min(log->last, view.truncate_after);
    uint32_t offset = 0;
    for (uint32_t i = 0; i < view.entry_count && !view.repair; i++) {
        struct entry entry;
        offset += entry_decode(
            (struct slice){ .bytes = view.entries.bytes + offset, .count = view.entries.count - offset }, &entry);
        EXPECT_EQUAL(entry.id.index, log->last + 1);
        EXPECT(entry.id.index < MODEL_LOG_MAX);
        log->entries[++log->last] = entry_digest(&entry);
    }
    log->end = header.lsn + header.run_bytes;
    model->batches[model->batch_count++] = batch;
    return truncates;
}

static inline void model_batch_completed(struct wal_model *model, uint64_t op_id)
{
    uint32_t done = 0;
    for (uint32_t i = 0; i < model->batch_count; i++)
        model->batches[i].complete = model->batches[i].complete || model->batches[i].op_id == op_id;
    while (done < model->batch_count && model->batches[done].complete)
        model->durable = model->batches[done++].after;
    model->batch_count -= done;
    memmove(model->batches, model->batches + done, model->batch_count * sizeof model->batches[0]);
}

/* Has an install replaced the log that the model knows? */
static inline bool model_is_replaced(const struct wal_model *model, const struct superblock *superblock)
{
    const struct wal_head *head = &superblock->stored.head;
    const struct model_log *newest = model_newest(model);
    return head->lsn >= newest->end && head->base.index != newest->last;
}

static inline struct model_log model_log_behind(const struct superblock *superblock)
{
    const struct wal_head *head = &superblock->stored.head;
    return (struct model_log){
        .base = head->base.index, .last = head->base.index, .sequence = head->sequence, .end = head->lsn
    };
}

/* A superblock is durable: true when an install has replaced the log. */
static inline bool model_superblock_completed(struct wal_model *model, const struct node *node)
{
    const struct superblock superblock = model_superblock(node);
    if (!model_is_replaced(model, &superblock))
        return false;
    EXPECT_EQUAL(model->batch_count, 0);
    model->durable = model_log_behind(&superblock);
    return true;
}

/* The log that the disk holds now. */
static inline struct model_log model_landed(const struct wal_model *model, const struct node *node)
{
    const struct superblock superblock = model_superblock(node);
    if (model_is_replaced(model, &superblock))
        return model_log_behind(&superblock);
    const struct model_log *log = &model->durable;
    for (uint32_t i = 0; i < model->batch_count; i++) {
        const struct model_batch *batch = &model->batches[i];
        if (checksum64(node->image + batch->offset, batch->bytes, 0) != batch->digest)
            break;
        log = &batch->after;
    }
    return *log;
}

#endif

/* What the log on a node's disk must be, for tests of power loss: known from the batches that left for the disk, from
 * their completions, and from the bytes that landed; not from the replica's memory. Logs are kept as digests of
 * entries. */
#ifndef WW_TEST_WAL_MODEL_H
#define WW_TEST_WAL_MODEL_H

#include "node.h"
#include "test.h"

enum { MODEL_LOG_MAX = 64, MODEL_BATCHES_MAX = 8 };

/* A log, by the digests of its entries. */
struct model_log {
    uint64_t last;
    uint64_t entries[MODEL_LOG_MAX]; /* [index] */
    uint64_t sequence;               /* of the batch that made it so */
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
    log->last = node_view(node).last.index;
    for (uint64_t index = 1; index <= log->last; index++) {
        struct entry entry;
        replica_entry(node->replica, index, &entry);
        log->entries[index] = entry_digest(&entry);
    }
}

static inline bool model_log_equal(const struct model_log *a, const struct model_log *b)
{
    return a->last == b->last && memcmp(a->entries + 1, b->entries + 1, a->last * sizeof a->entries[0]) == 0;
}

static inline const struct model_log *model_newest(const struct wal_model *model)
{
    return model->batch_count > 0 ? &model->batches[model->batch_count - 1].after : &model->durable;
}

/* A batch is on its way to the disk, perhaps known already. True when it is new and takes entries back. */
static inline bool model_batch_submitted(struct wal_model *model, const struct node *node, const struct node_op *op)
{
    for (uint32_t i = 0; i < model->batch_count; i++)
        if (model->batches[i].op_id == op->op_id)
            return false;
    EXPECT(model->batch_count < MODEL_BATCHES_MAX);
    const struct slice bytes = { .bytes = op->source, .count = op->bytes };
    struct wal_batch_view view;
    EXPECT(wal_batch_inspect(bytes, node->config.cluster_id, op->offset - wal_body_offset(&node->limits), &view));
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
    for (uint32_t i = 0; i < view.entry_count; i++) {
        struct entry entry;
        offset += entry_decode(
            (struct slice){ .bytes = view.entries.bytes + offset, .count = view.entries.count - offset }, &entry);
        EXPECT_EQUAL(entry.id.index, log->last + 1);
        log->entries[++log->last] = entry_digest(&entry);
    }
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

/* The log that the disk holds now. */
static inline const struct model_log *model_landed(const struct wal_model *model, const struct node *node)
{
    const struct model_log *log = &model->durable;
    for (uint32_t i = 0; i < model->batch_count; i++) {
        const struct model_batch *batch = &model->batches[i];
        if (checksum64(node->image + batch->offset, batch->bytes, 0) != batch->digest)
            break;
        log = &batch->after;
    }
    return log;
}

#endif

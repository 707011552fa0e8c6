/* What the disk images hold: the hard state that a recovery would choose, and the log that it would find.
 *
 * Both are kept up to date block by block, as writes land. The log is the chain of whole batches from the start of the
 * body: a batch behind a hole does not count, since recovery would not reach it. Damage by a fault takes nothing away
 * here: whether the node finds the damage itself is its business, but what it says then is not held against it. */
#include "check_state.h"

#include <string.h>

static void hard_choose(struct check *check, uint32_t node)
{
    struct ghost_node *ghost = &check->nodes[node];
    const struct superblock_view *newest = NULL;
    const struct superblock_view *chosen = NULL;
    for (uint32_t i = 0; i < SUPERBLOCK_COPIES; i++)
        if (ghost->copy_valid[i] && (newest == NULL || ghost->copies[i].sequence > newest->sequence))
            newest = &ghost->copies[i];
    /* The newest counts if another copy holds the same, or what came before it. */
    for (uint32_t i = 0; i < SUPERBLOCK_COPIES; i++)
        if (ghost->copy_valid[i] && newest != &ghost->copies[i]
            && (hash128_equal(ghost->copies[i].hash, newest->hash)
                || hash128_equal(ghost->copies[i].hash, newest->parent)))
            chosen = newest;
    if (chosen == NULL) /* not yet formatted, or destroyed by faults: the last choice stays */
        return;
    const struct superblock_view before = ghost->hard;
    ghost->hard = *chosen;
    if (ghost->hard.vote != 0)
        check_promise_term(check, ghost->hard.term)->voted[node] = ghost->hard.vote;
    if (ghost->hard_damaged)
        return;
    check_count(check, CHECK_MONOTONE);
    if (chosen->term < before.term)
        check_fail(check, CHECK_MONOTONE, node, "term on disk fell from %llu to %llu", (unsigned long long)before.term,
                   (unsigned long long)chosen->term);
    if (chosen->term == before.term && before.vote != 0 && chosen->vote != before.vote)
        check_fail(check, CHECK_MONOTONE, node, "vote on disk in term %llu changed from %llu to %llu",
                   (unsigned long long)before.term, (unsigned long long)before.vote, (unsigned long long)chosen->vote);
}

static void hard_landed(struct check *check, uint32_t node, struct slice image, uint64_t offset, uint64_t end)
{
    struct ghost_node *ghost = &check->nodes[node];
    bool changed = false;
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++) {
        const uint64_t at = superblock_offset(&check->limits, copy);
        if (at + check->limits.block_bytes <= offset || at >= end)
            continue;
        const struct slice block = { .bytes = image.bytes + at, .count = check->limits.block_bytes };
        memset(&ghost->copies[copy], 0, sizeof ghost->copies[copy]);
        ghost->copy_valid[copy] = superblock_inspect(block, &check->setup.configs[node], &ghost->copies[copy]);
        changed = true;
    }
    if (changed)
        hard_choose(check, node);
}

/* Would recovery take the batch as the next one? */
static bool batch_follows(const struct check *check, const struct ghost_node *ghost, const struct wal_batch_view *batch)
{
    if (batch->sequence <= ghost->disk_sequence || !hash128_equal(batch->prev_hash, ghost->disk_hash))
        return false;
    const bool truncates = batch->truncate_after != UINT64_MAX;
    if (truncates && batch->truncate_after > ghost->disk.last)
        return false;
    const uint64_t kept = truncates ? batch->truncate_after : ghost->disk.last;
    return batch->entry_count == 0 || (batch->first_index == kept + 1 && kept + batch->entry_count <= check->index_max);
}

/* `again`: seen before; what was promised since is no reproach to it. */
static void batch_take(struct check *check, uint32_t node, const struct wal_batch_view *batch, bool again)
{
    struct ghost_node *ghost = &check->nodes[node];
    struct ghost_log *disk = &ghost->disk;
    if (batch->truncate_after < disk->last) {
        const uint64_t kept = batch->truncate_after;
        /* Memory gave these entries up when the batch was sealed, and was judged then: others may have committed them
         * since. What memory still holds must stay. */
        const struct ghost_log *memory = &ghost->memory;
        const bool held = kept < memory->last && memory->links[kept + 1].chain == disk->links[kept + 1].chain;
        if (!again && held)
            check_log_removed(check, node, disk, kept, "disk");
        if (!again && ghost->acked_term == batch->term && kept < ghost->acked_index)
            check_fail(check, CHECK_PROMISE_APPEND, node,
                       "its disk loses entry %llu, reported to the leader of the same term %llu",
                       (unsigned long long)(kept + 1), (unsigned long long)batch->term);
        if (!again)
            ghost->promised_index = u64_min(ghost->promised_index, kept);
        disk->last = kept;
    }
    struct slice left = batch->entries;
    for (uint32_t i = 0; i < batch->entry_count; i++) {
        struct entry entry;
        const uint32_t bytes = entry_decode(left, &entry);
        if (bytes == 0 || entry.id.index != disk->last + 1) {
            check_fail(check, CHECK_RECOVERY, node, "batch %llu on disk holds a malformed entry",
                       (unsigned long long)batch->sequence);
            return;
        }
        left.bytes += bytes;
        left.count -= bytes;
        const struct link link = { .term = entry.id.term,
                                   .chain = link_chain(disk->links[disk->last].chain, entry.id.term, entry.kind,
                                                       entry.body) };
        disk->links[++disk->last] = link;
        check_log_match(check, node, disk->last, link);
    }
    ghost->disk_batches[ghost->disk_batch_count++ % GHOST_BATCHES] =
        (struct ghost_batch){ .lsn = batch->lsn, .run_bytes = batch->run_bytes, .hash = batch->hash };
    ghost->disk_lsn = batch->lsn + batch->run_bytes;
    ghost->disk_sequence = batch->sequence;
    ghost->disk_term = u64_max(ghost->disk_term, batch->term);
    ghost->disk_hash = batch->hash;
}

/* Sectors of a batch may land after those that made it whole, when they say nothing new (padding). */
static bool batch_unchanged(const struct check *check, uint32_t node, struct slice body, uint64_t lsn)
{
    const struct ghost_node *ghost = &check->nodes[node];
    for (uint32_t i = 0; i < u32_min(ghost->disk_batch_count, GHOST_BATCHES); i++) {
        const struct ghost_batch *known = &ghost->disk_batches[i];
        if (lsn < known->lsn || lsn >= known->lsn + known->run_bytes)
            continue;
        const struct slice run = { .bytes = body.bytes + known->lsn, .count = known->run_bytes };
        struct wal_batch_view batch;
        return wal_batch_inspect(run, check->setup.configs[node].cluster_id, known->lsn, &batch)
               && hash128_equal(batch.hash, known->hash);
    }
    return false;
}

static void body_landed(struct check *check, uint32_t node, struct slice image, uint64_t offset)
{
    struct ghost_node *ghost = &check->nodes[node];
    const uint64_t body = wal_body_offset(&check->limits);
    const struct ghost_log before = ghost->disk;
    const struct slice ring = { .bytes = image.bytes + body, .count = (uint32_t)(image.count - body) };
    uint64_t again_sequence = 0;
    if (offset < body + ghost->disk_lsn && !batch_unchanged(check, node, ring, offset - body)) {
        /* Recovery cut the log at a batch that we took for good (only damage explains it), and something was written
         * there: read all again. */
        again_sequence = ghost->disk_sequence;
        ghost->disk.last = 0;
        ghost->disk_lsn = ghost->disk_sequence = 0;
        ghost->disk_hash = (struct hash128){ .low = 0 };
        ghost->disk_batch_count = 0;
    }
    while (ghost->disk_lsn < ring.count) {
        const struct slice rest = { .bytes = ring.bytes + ghost->disk_lsn,
                                    .count = (uint32_t)(ring.count - ghost->disk_lsn) };
        struct wal_batch_view batch;
        const uint64_t cluster_id = check->setup.configs[node].cluster_id;
        if (!wal_batch_inspect(rest, cluster_id, ghost->disk_lsn, &batch) || !batch_follows(check, ghost, &batch))
            break;
        batch_take(check, node, &batch, batch.sequence <= again_sequence);
        if (check->failure.failed)
            return;
    }
    if (ghost->disk.last >= before.last || ghost->disk_damaged)
        return;
    check_count(check, CHECK_RECOVERY);
    if (ghost->disk.last < ghost->promised_index)
        check_fail(check, CHECK_RECOVERY, node, "its disk held %llu entries, reported %llu, and now holds %llu",
                   (unsigned long long)before.last, (unsigned long long)ghost->promised_index,
                   (unsigned long long)ghost->disk.last);
}

void check_landed(struct check *check, uint32_t node, uint64_t offset, const uint8_t *image, uint64_t image_bytes,
                  uint32_t bytes, bool damaged)
{
    ASSERT(node < check->setup.node_count);
    ASSERT(offset + bytes <= image_bytes);
    if (check->failure.failed)
        return;
    struct ghost_node *ghost = &check->nodes[node];
    const struct slice whole = { .bytes = image, .count = (uint32_t)image_bytes };
    if (damaged) {
        ghost->hard_damaged = ghost->hard_damaged || offset < wal_header_offset(&check->limits);
        ghost->disk_damaged = ghost->disk_damaged || offset >= wal_header_offset(&check->limits);
        return;
    }
    hard_landed(check, node, whole, offset, offset + bytes);
    if (offset + bytes > wal_body_offset(&check->limits))
        body_landed(check, node, whole, offset);
}

bool check_disk_holds(const struct ghost_node *ghost, uint64_t index, uint64_t chain)
{
    return index <= ghost->disk.last && ghost->disk.links[index].chain == chain;
}

uint32_t check_disk_holders(const struct check *check, uint64_t index, uint64_t chain)
{
    uint32_t holders = 0;
    for (uint32_t node = 0; node < check->setup.node_count; node++)
        holders += check_disk_holds(&check->nodes[node], index, chain);
    return holders;
}

void check_disk_recovered(struct check *check, uint32_t node, const struct replica_view *view)
{
    const struct ghost_node *ghost = &check->nodes[node];
    check_count(check, CHECK_RECOVERY);
    if (view->term < ghost->promised_term)
        check_fail(check, CHECK_RECOVERY, node, "comes back in term %llu, and spoke in %llu",
                   (unsigned long long)view->term, (unsigned long long)ghost->promised_term);
    if (!ghost->hard_damaged) {
        if (view->term < ghost->hard.term)
            check_fail(check, CHECK_RECOVERY, node, "comes back in term %llu; its disk has %llu",
                       (unsigned long long)view->term, (unsigned long long)ghost->hard.term);
        if (view->term == ghost->hard.term && view->vote != ghost->hard.vote)
            check_fail(check, CHECK_RECOVERY, node, "comes back with vote %llu in term %llu; its disk has %llu",
                       (unsigned long long)view->vote, (unsigned long long)view->term,
                       (unsigned long long)ghost->hard.vote);
    }
    if (ghost->disk_damaged)
        return;
    if (view->last.index < ghost->promised_index || view->last.index > ghost->disk.last)
        check_fail(check, CHECK_RECOVERY, node, "comes back with %llu entries; its disk has %llu, it reported %llu",
                   (unsigned long long)view->last.index, (unsigned long long)ghost->disk.last,
                   (unsigned long long)ghost->promised_index);
    else if (ghost->memory.links[view->last.index].chain != ghost->disk.links[view->last.index].chain)
        check_fail(check, CHECK_RECOVERY, node, "comes back with another entry %llu than its disk has",
                   (unsigned long long)view->last.index);
}

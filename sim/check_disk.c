/* The logs that the disk images hold.
 *
 * A log is the chain of whole batches from the head that the superblock names; a batch behind a hole does not count,
 * since recovery would not reach it. It is followed as blocks land, in a copy of what landed: so what a fault destroys
 * is still known here, and what a node says of it can be judged. A fault takes nothing away by itself: the node learns
 * of it when it reads its disk again. Then an entry is faulty until it has landed once more, or the log is cut off at a
 * batch; and either is right only where there was damage. */
#include "check_state.h"

#include <stdlib.h>
#include <string.h>

/* ---- the image ---- */

static uint64_t ring_bytes(const struct check *check)
{
    return (uint64_t)check->limits.wal_body_blocks * check->limits.block_bytes;
}

static const uint8_t *body_at(const struct check *check, const struct ghost_wal *wal, uint64_t lsn)
{
    return wal->image + wal_body_offset(&check->limits) + lsn % ring_bytes(check);
}

void check_disk_reset(struct check *check, uint32_t node)
{
    struct ghost_wal *wal = &check->nodes[node].wal;
    const uint64_t bytes = limits_wal_bytes(&check->limits);
    if (bytes > wal->image_max) {
        free(wal->image);
        free(wal->bad);
        wal->image = calloc(bytes, 1);
        wal->bad = calloc(bytes / BLOCK_BYTES_MIN, 1);
        ASSERT(wal->image != NULL && wal->bad != NULL);
        wal->image_max = bytes;
    } else {
        memset(wal->image, 0, wal->written);
        memset(wal->bad, 0, wal->image_max / BLOCK_BYTES_MIN); /* also where nothing was ever written */
    }
    wal->batches = check_grow(wal->batches, &wal->batch_max, check->limits.wal_body_blocks, sizeof *wal->batches);
    *wal = (struct ghost_wal){ .image = wal->image,
                               .image_max = wal->image_max,
                               .bad = wal->bad,
                               .batches = wal->batches,
                               .batch_max = wal->batch_max,
                               .faulty = wal->faulty };
}

void check_disk_wiped(struct check *check, uint32_t node)
{
    struct ghost_node *ghost = &check->nodes[node];
    const uint64_t lost = u64_max(ghost->wal.lost, ghost->promised_index);
    const uint64_t committed = u64_max(ghost->disk.base, ghost->stored.checkpoint.id.index);
    for (uint64_t index = 1; index <= committed; index++)
        ghost->disk.links[index] = check->commits[index].link;
    ghost->disk.base = ghost->disk.last = 0;
    check_disk_reset(check, node);
    ghost->wal.lost = lost;
    ghost->wal.must_abstain = true; /* it may have voted, too */
}

static void block_mark(struct ghost_wal *wal, uint64_t block, bool bad)
{
    wal->bad_count += bad;
    wal->bad_count -= wal->bad[block];
    wal->bad[block] = bad;
}

/* Did a fault hit the batch since it landed? */
static bool batch_damaged(const struct check *check, const struct ghost_wal *wal, const struct ghost_batch *batch)
{
    const uint32_t block_bytes = check->limits.block_bytes;
    const uint64_t first = (uint64_t)(body_at(check, wal, batch->lsn) - wal->image) / block_bytes;
    for (uint64_t block = first; wal->bad_count > 0 && block < first + batch->run_bytes / block_bytes; block++)
        if (wal->bad[block])
            return true;
    return false;
}

/* ---- following the chain ---- */

/* Would recovery take the batch as the next one? */
static bool batch_follows(const struct check *check, const struct ghost_node *ghost, const struct ghost_batch *batch)
{
    const struct ghost_wal *wal = &ghost->wal;
    const struct ghost_log *log = &ghost->disk;
    if (batch->lsn != wal->tail || batch->sequence <= wal->sequence || !hash128_equal(batch->prev_hash, wal->hash))
        return false;
    if (batch->entry_count == 0)
        return true;
    const uint64_t last = batch->first_index + batch->entry_count - 1;
    if (!batch->repair)
        return batch->first_index > log->base && batch->first_index <= log->last + 1
               && batch->entry_term >= check_log_link(check, log, batch->first_index - 1).term;
    for (uint64_t index = u64_max(batch->first_index, log->base + 1); index <= last; index++)
        if (index > log->last || log->links[index].term != batch->entry_term)
            return false;
    return true;
}

static void batch_pass(const struct check *check, struct ghost_node *ghost, const struct ghost_batch *batch)
{
    struct ghost_wal *wal = &ghost->wal;
    wal->tail = wal_place(&check->limits, batch->lsn + batch->run_bytes);
    wal->sequence = batch->sequence;
    wal->hash = batch->hash;
    wal->term = u64_max(wal->term, batch->term);
}

static void find_faulty(struct ghost_node *ghost, uint64_t from)
{
    const uint64_t above = u64_max(ghost->disk.base, ghost->stored.checkpoint.id.index);
    struct ghost_wal *wal = &ghost->wal;
    wal->first_faulty = 0;
    for (uint64_t index = u64_max(from, above + 1); index <= ghost->disk.last && wal->first_faulty == 0; index++)
        if (wal->faulty[index])
            wal->first_faulty = index;
}

/* A new batch replaces what lies behind `kept`. */
static void batch_truncate(struct check *check, uint32_t node, const struct ghost_batch *batch, uint64_t kept)
{
    struct ghost_node *ghost = &check->nodes[node];
    const struct ghost_log *memory = &ghost->memory, *disk = &ghost->disk;
    /* Memory gave these entries up when the batch was sealed, and was judged then: others may have committed them
     * since, and sent them again. What memory still holds, and the batch does not bring, must stay. */
    if (kept < memory->last && kept >= memory->base && memory->links[kept + 1].chain == disk->links[kept + 1].chain
        && disk->links[kept + 1].term != batch->entry_term)
        check_log_removed(check, node, disk, kept, batch->term, "disk");
    if (ghost->acked_term == batch->term && kept < ghost->acked_index)
        check_fail(check, CHECK_PROMISE_APPEND, node,
                   "its disk loses entry %llu, reported to the leader of the same term %llu",
                   (unsigned long long)(kept + 1), (unsigned long long)batch->term);
    ghost->promised_index = u64_min(ghost->promised_index, kept);
    ghost->wal.lost = u64_min(ghost->wal.lost, kept);
    ghost->disk.last = kept;
}

/* The bytes of an entry of a new batch: the log goes on with them, or has them once more. */
static void entry_take(struct check *check, uint32_t node, const struct ghost_batch *batch, const struct entry *entry)
{
    struct ghost_node *ghost = &check->nodes[node];
    struct ghost_log *disk = &ghost->disk;
    const uint64_t index = entry->id.index;
    if (index <= disk->base) /* a repair */
        return;
    const struct link link = { .term = entry->id.term,
                               .chain = link_chain(check_log_link(check, disk, index - 1).chain, entry->id.term,
                                                   entry->kind, entry->body) };
    ghost->wal.faulty[index] = false;
    check_log_match(check, node, index, link);
    if (batch->repair)
        return;
    ASSERT(index == disk->last + 1);
    if (index <= ghost->wal.lost && disk->links[index].chain != link.chain)
        ghost->wal.lost = index - 1;
    disk->links[index] = link;
    disk->last = index;
}

/* A batch that has landed, and continues the log. */
static void batch_take(struct check *check, uint32_t node, const struct ghost_batch *batch, struct slice entries)
{
    struct ghost_node *ghost = &check->nodes[node];
    if (batch->entry_count > 0)
        check_reserve(check, batch->first_index + batch->entry_count);
    if (batch->entry_count > 0 && !batch->repair && batch->first_index <= ghost->disk.last)
        batch_truncate(check, node, batch, batch->first_index - 1);
    for (uint32_t i = 0; i < batch->entry_count; i++) {
        struct entry entry;
        const uint32_t bytes = entry_decode(entries, &entry);
        if (bytes == 0 || entry.id.index != batch->first_index + i || entry.id.term != batch->entry_term) {
            check_fail(check, CHECK_RECOVERY, node, "batch %llu on disk holds a malformed entry",
                       (unsigned long long)batch->sequence);
            return;
        }
        entries.bytes += bytes;
        entries.count -= bytes;
        entry_take(check, node, batch, &entry);
    }
    if (ghost->wal.first_faulty != 0)
        find_faulty(ghost, 0);
    batch_pass(check, ghost, batch);
}

/* The same for a batch that was taken before: its entries are known by name. */
static void batch_retake(struct check *check, struct ghost_node *ghost, const struct ghost_batch *batch)
{
    struct ghost_log *disk = &ghost->disk;
    for (uint32_t i = 0; i < batch->entry_count && !batch->repair; i++) {
        const uint64_t index = batch->first_index + i;
        disk->links[index] =
            (struct link){ .term = batch->entry_term, .chain = check_log_chain(check, index, batch->entry_term) };
        disk->last = index;
    }
    batch_pass(check, ghost, batch);
}

/* As far as batches chain. */
static void log_extend(struct check *check, uint32_t node)
{
    struct ghost_node *ghost = &check->nodes[node];
    struct ghost_wal *wal = &ghost->wal;
    const uint64_t ring = ring_bytes(check);
    while (!check->failure.failed && wal->batch_count < wal->batch_max && wal->tail < wal->head.lsn + ring) {
        const struct slice rest = { .bytes = body_at(check, wal, wal->tail),
                                    .count = (uint32_t)(ring - wal->tail % ring) };
        struct wal_batch_view view;
        if (!wal_batch_inspect(rest, check->setup.configs[node].cluster_id, wal->tail, &view))
            return;
        const struct ghost_batch batch = { .lsn = view.lsn,
                                           .sequence = view.sequence,
                                           .durable_sequence = view.durable_sequence,
                                           .term = view.term,
                                           .first_index = view.first_index,
                                           .entry_term = view.entry_term,
                                           .hash = view.hash,
                                           .prev_hash = view.prev_hash,
                                           .entry_count = view.entry_count,
                                           .run_bytes = view.run_bytes,
                                           .repair = view.repair };
        if (!batch_follows(check, ghost, &batch))
            return;
        wal->batches[wal->batch_count++] = batch;
        batch_take(check, node, &batch, view.entries);
    }
}

/* Does damage to a batch from the head on, or to the one behind the list, explain that a recovery got no further? What
 * it could not read may be a repair of entries that the log no longer has, and so be no gap in the list. */
static bool end_explained(const struct check *check, const struct ghost_wal *wal, uint32_t before)
{
    bool damaged = false;
    for (uint32_t at = 0; at <= wal->batch_count && at < before; at++)
        damaged |= wal->batches[at].lsn >= wal->head.lsn && batch_damaged(check, wal, &wal->batches[at]);
    return wal->batch_count < before && damaged;
}

/* Follows the list from the head on, and forgets batches that do not go on from there. */
static void log_follow_again(struct check *check, uint32_t node)
{
    struct ghost_node *ghost = &check->nodes[node];
    struct ghost_wal *wal = &ghost->wal;
    wal->head = ghost->stored.head;
    wal->tail = wal->head.lsn;
    wal->sequence = wal->head.sequence;
    wal->hash = wal->head.prev_hash;
    ghost->disk.base = ghost->disk.last = wal->head.base.index;
    uint32_t at = 0;
    while (at < wal->batch_count && wal->batches[at].lsn < wal->head.lsn)
        at++;
    while (at < wal->batch_count && batch_follows(check, ghost, &wal->batches[at]))
        batch_retake(check, ghost, &wal->batches[at++]);
    wal->batch_count = at;
    find_faulty(ghost, 0);
}

/* ---- what is lost ---- */

/* Does anything intact on the disk say that the batch was durable: a block of the header ring, or a batch behind it? */
static bool batch_proved(const struct check *check, const struct ghost_wal *wal, uint32_t at)
{
    const struct limits *limits = &check->limits;
    const uint64_t sequence = wal->batches[at].sequence;
    const uint64_t cluster_id = check->setup.configs[0].cluster_id;
    const uint64_t first = wal_header_offset(limits) / limits->block_bytes;
    for (uint64_t block = first; block < first + limits->wal_header_blocks; block++) {
        struct wal_name_header name;
        const struct slice bytes = { .bytes = wal->image + block * limits->block_bytes, .count = limits->block_bytes };
        if (!wal->bad[block] && wal_name_decode(bytes, cluster_id, &name) && name.durable_sequence >= sequence)
            return true;
    }
    for (uint32_t i = at + 1; i < wal->batch_count; i++)
        if (wal->batches[i].durable_sequence >= sequence && !batch_damaged(check, wal, &wal->batches[i])
            && wal->batches[i].lsn - wal->batches[at].lsn <= limits->wal_unnamed_max * limits->wal_batch_bytes_max)
            return true;
    return false;
}

static uint64_t promised_lost(const struct ghost_node *ghost)
{
    const uint64_t held = u64_max(ghost->disk.last, ghost->stored.checkpoint.id.index);
    return ghost->promised_index > held ? ghost->promised_index : 0;
}

/* The log ends before the batch from now on. */
static void log_cut(struct check *check, uint32_t node, uint32_t at)
{
    struct ghost_node *ghost = &check->nodes[node];
    struct ghost_wal *wal = &ghost->wal;
    const bool explained = batch_damaged(check, wal, &wal->batches[at]);
    const bool proved = explained && batch_proved(check, wal, at);
    const uint64_t before = ghost->disk.last;
    check_count(check, CHECK_RECOVERY);
    wal->batch_count = at;
    log_follow_again(check, node);
    const uint64_t lost = promised_lost(ghost);
    if (ghost->serving)
        check_fail(check, CHECK_RECOVERY, node, "writes over its log, from entry %llu on, with something else",
                   (unsigned long long)(ghost->disk.last + 1));
    if (!explained && lost != 0)
        check_fail(check, CHECK_RECOVERY, node, "its disk held %llu entries, reported %llu, and now holds %llu",
                   (unsigned long long)before, (unsigned long long)ghost->promised_index,
                   (unsigned long long)ghost->disk.last);
    if (lost == 0)
        return;
    wal->must_abstain = wal->must_abstain || proved;
    wal->lost = u64_max(wal->lost, lost);
    ghost->promised_index = ghost->disk.last;
}

/* The oldest ones. */
static void batches_drop(struct ghost_wal *wal, uint32_t count)
{
    wal->batch_count -= count;
    memmove(wal->batches, wal->batches + count, wal->batch_count * sizeof *wal->batches);
}

/* Is there a whole batch at lsn of this image of the device? */
static bool batch_lies_at(const struct check *check, uint32_t node, const uint8_t *image, uint64_t lsn)
{
    const uint64_t ring = ring_bytes(check);
    const struct slice rest = { .bytes = image + wal_body_offset(&check->limits) + lsn % ring,
                                .count = (uint32_t)(ring - lsn % ring) };
    struct wal_batch_view view;
    return wal_batch_inspect(rest, check->setup.configs[node].cluster_id, lsn, &view);
}

/* Bytes are about to land: on top of a batch of the log? Sectors of one may land after those that made it whole, when
 * they say nothing new (padding). Else recovery has ended the log there. */
static void body_written_over(struct check *check, uint32_t node, const uint8_t *image, uint64_t offset, uint64_t end)
{
    struct ghost_wal *wal = &check->nodes[node].wal;
    const uint64_t ring = ring_bytes(check);
    if (wal->batch_count == 0)
        return;
    const uint64_t body = wal_body_offset(&check->limits);
    const uint64_t oldest = wal->batches[0].lsn;
    const uint64_t lsn = oldest + (offset - body + ring - oldest % ring) % ring;
    if (lsn >= wal->tail && lsn + (end - offset) <= oldest + ring)
        return;
    uint32_t given_up = 0;
    for (uint32_t at = 0; at < wal->batch_count; at++) {
        const struct ghost_batch *batch = &wal->batches[at];
        const uint64_t first = (uint64_t)(body_at(check, wal, batch->lsn) - wal->image);
        const uint64_t from = u64_max(first, offset);
        const uint64_t to = u64_min(first + batch->run_bytes, end);
        if (from >= to || memcmp(wal->image + from, image + from, to - from) == 0)
            continue;
        /* Recovery ended the log at a damaged one, and crashed while it wrote that down: the next may know its name. */
        if (batch_damaged(check, wal, batch) && !batch_lies_at(check, node, image, batch->lsn))
            continue;
        if (batch->lsn >= wal->head.lsn) {
            log_cut(check, node, at);
            break;
        }
        given_up = at + 1;
    }
    batches_drop(wal, given_up);
}

void check_landed(struct check *check, uint32_t node, uint64_t offset, const uint8_t *image, uint64_t image_bytes,
                  uint32_t bytes, bool damaged)
{
    ASSERT(node < check->setup.node_count);
    ASSERT(offset + bytes <= image_bytes && image_bytes == limits_wal_bytes(&check->limits));
    if (check->failure.failed || bytes == 0)
        return;
    struct ghost_wal *wal = &check->nodes[node].wal;
    const uint32_t block_bytes = check->limits.block_bytes;
    const uint64_t end = offset + bytes;
    const uint64_t body = wal_body_offset(&check->limits);
    wal->written = u64_max(wal->written, end);
    if (damaged) {
        for (uint64_t block = offset / block_bytes; block <= (end - 1) / block_bytes; block++)
            block_mark(wal, block, true);
        wal->struck = true;
        check_superblock_damaged(check, node, image, offset, end);
        return;
    }
    if (end > body)
        body_written_over(check, node, image, u64_max(offset, body), end);
    memcpy(wal->image + offset, image + offset, bytes);
    const uint64_t whole = u64_round_up(offset, block_bytes) / block_bytes;
    for (uint64_t block = whole; wal->bad_count > 0 && block < end / block_bytes; block++)
        block_mark(wal, block, false);
    if (end > body)
        log_extend(check, node);
}

void check_written(struct check *check, uint32_t node, uint64_t offset, uint32_t bytes)
{
    ASSERT(node < check->setup.node_count);
    if (!check->failure.failed && bytes > 0)
        check_superblock_landed(check, node, offset, offset + bytes);
}

/* Batches before the heads of all copies are needed no more. */
static void batches_forget(struct ghost_node *ghost)
{
    struct ghost_wal *wal = &ghost->wal;
    uint64_t oldest = UINT64_MAX;
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++)
        oldest = u64_min(oldest, ghost->copies[copy].stored.head.lsn);
    uint32_t gone = 0;
    while (gone < wal->batch_count && wal->batches[gone].lsn < oldest)
        gone++;
    batches_drop(wal, gone);
}

/* A log that does not hold what the new one begins behind was never that of a leader since: like a truncation, this may
 * take back what was promised in earlier terms. One that did, before damage cut it off there, gives up nothing more. */
static void log_begins_anew(struct check *check, uint32_t node)
{
    struct ghost_node *ghost = &check->nodes[node];
    const uint64_t base = ghost->stored.head.base.index;
    const uint64_t held = u64_max(ghost->disk.last, ghost->wal.lost);
    if (base <= held && check_log_link(check, &ghost->disk, base).chain == check->commits[base].link.chain)
        return;
    ghost->wal.hollow = (ghost->stored.flags & STORED_PARTIAL) != 0;
    /* What an empty disk lacks was nobody's truncation. */
    if ((ghost->stored.flags & STORED_REJOIN) != 0)
        return;
    if (ghost->acked_term == ghost->stored.hard.term && ghost->acked_index > base)
        check_fail(check, CHECK_PROMISE_APPEND, node,
                   "gives up entry %llu for a checkpoint, reported to the leader of the same term %llu",
                   (unsigned long long)(base + 1), (unsigned long long)ghost->acked_term);
    ghost->promised_index = u64_min(ghost->promised_index, base);
    ghost->wal.lost = u64_min(ghost->wal.lost, base);
}

/* Is the next entry that the disk held not in the log in memory any more? The batch that replaces it may still be on
 * its way; memory was judged when it gave it up. */
static bool memory_gave_up(const struct check *check, const struct ghost_node *ghost)
{
    const uint64_t next = ghost->disk.last + 1;
    return ghost->serving && ghost->promised_index >= next
           && (next > ghost->memory.last
               || check_log_link(check, &ghost->memory, next).chain != ghost->disk.links[next].chain);
}

void check_disk_head(struct check *check, uint32_t node)
{
    struct ghost_node *ghost = &check->nodes[node];
    struct ghost_wal *wal = &ghost->wal;
    const struct stored *stored = &ghost->stored;
    if (stored->head.base.index > stored->checkpoint.id.index || stored->head.base.index > check->committed)
        check_fail(check, CHECK_RECOVERY, node,
                   "its log on disk begins behind entry %llu; its checkpoint ends at %llu, %llu are committed",
                   (unsigned long long)stored->head.base.index, (unsigned long long)stored->checkpoint.id.index,
                   (unsigned long long)check->committed);
    if (check->failure.failed)
        return;
    if ((stored->flags & STORED_PARTIAL) == 0)
        wal->hollow = false;
    if (memcmp(&wal->head, &stored->head, sizeof wal->head) == 0) {
        find_faulty(ghost, 0);
        return;
    }
    log_begins_anew(check, node);
    const uint32_t before = wal->batch_count;
    log_follow_again(check, node);
    const bool explained = end_explained(check, wal, before);
    log_extend(check, node);
    if (memory_gave_up(check, ghost))
        ghost->promised_index = u64_min(ghost->promised_index, ghost->disk.last);
    const uint64_t lost = promised_lost(ghost);
    if (lost != 0 && !explained)
        check_fail(check, CHECK_RECOVERY, node,
                   "its log on disk, from byte %llu on, ends at entry %llu; it reported %llu",
                   (unsigned long long)wal->head.lsn, (unsigned long long)ghost->disk.last, (unsigned long long)lost);
    if (lost != 0) {
        wal->lost = u64_max(wal->lost, lost);
        ghost->promised_index = ghost->disk.last;
    }
    batches_forget(ghost);
}

/* ---- questions ---- */

struct link check_disk_link(const struct check *check, uint32_t node, uint64_t index)
{
    const struct ghost_node *ghost = &check->nodes[node];
    if (index <= ghost->stored.checkpoint.id.index)
        return check->commits[index].link;
    return index <= ghost->disk.last ? check_log_link(check, &ghost->disk, index) : (struct link){ .term = 0 };
}

bool check_disk_holds(const struct check *check, uint32_t node, uint64_t index, uint64_t chain)
{
    const struct ghost_node *ghost = &check->nodes[node];
    if (index > ghost->disk.last && index > ghost->stored.checkpoint.id.index)
        return false;
    if (index <= ghost->stored.checkpoint.id.index)
        return check->commits[index].link.chain == chain;
    return check_log_link(check, &ghost->disk, index).chain == chain
           && (ghost->wal.first_faulty == 0 || index < ghost->wal.first_faulty);
}

bool check_disk_promised(const struct check *check, uint32_t node, uint64_t index, uint64_t chain)
{
    const struct ghost_node *ghost = &check->nodes[node];
    if (check_disk_holds(check, node, index, chain))
        return true;
    return index <= u64_max(u64_min(ghost->disk.last, ghost->promised_index), ghost->wal.lost)
           && check_log_link(check, &ghost->disk, index).chain == chain;
}

uint32_t check_disk_holders(const struct check *check, uint64_t index, uint64_t chain)
{
    uint32_t holders = 0;
    for (uint32_t node = 0; node < check->setup.node_count; node++)
        if ((!check->nodes[node].wal.hollow || index <= check->nodes[node].wal.lost)
            && check_disk_promised(check, node, index, chain))
            holders |= 1u << node;
    return holders;
}

/* ---- a node that comes back ---- */

static bool same_end(const struct check *check, const struct ghost_node *ghost, const struct replica_view *view)
{
    const uint64_t last = view->last.index;
    return ghost->disk.last == last
           && check_log_link(check, &ghost->disk, last).chain == check_log_link(check, &ghost->memory, last).chain;
}

/* Are the bytes of the entry nowhere on the disk but in damaged batches? */
static bool entry_damaged(const struct check *check, const struct ghost_node *ghost, uint64_t index)
{
    const struct ghost_wal *wal = &ghost->wal;
    bool damaged = false;
    for (uint32_t at = 0; at < wal->batch_count; at++) {
        const struct ghost_batch *batch = &wal->batches[at];
        if (batch->lsn < wal->head.lsn || index < batch->first_index
            || index >= batch->first_index + batch->entry_count)
            continue;
        const bool bad = batch_damaged(check, wal, batch);
        damaged = batch->repair ? damaged && bad : bad;
    }
    return damaged;
}

static void recovered_entries(struct check *check, uint32_t node, const struct replica *replica,
                              const struct replica_view *view)
{
    struct ghost_node *ghost = &check->nodes[node];
    struct ghost_wal *wal = &ghost->wal;
    if (view->first_faulty == 0 && wal->first_faulty == 0)
        return;
    for (uint64_t index = ghost->disk.base + 1; index <= ghost->disk.last; index++) {
        wal->faulty[index] = index > view->base.index && !replica_entry_readable(replica, index);
        if (wal->faulty[index] && !entry_damaged(check, ghost, index))
            check_fail(check, CHECK_RECOVERY, node, "comes back without entry %llu, which no fault has damaged",
                       (unsigned long long)index);
    }
    find_faulty(ghost, 0);
}

void check_disk_recovered(struct check *check, uint32_t node, const struct replica *replica,
                          const struct replica_view *view)
{
    struct ghost_node *ghost = &check->nodes[node];
    struct ghost_wal *wal = &ghost->wal;
    check_count(check, CHECK_RECOVERY);
    /* It may have cut off a damaged batch without a trace on the disk: the next one goes there. */
    for (uint32_t at = wal->batch_count; at > 0 && !same_end(check, ghost, view); at--)
        if (wal->batches[at - 1].lsn >= wal->head.lsn && batch_damaged(check, wal, &wal->batches[at - 1]))
            log_cut(check, node, at - 1);
    if (!same_end(check, ghost, view))
        check_fail(check, CHECK_RECOVERY, node,
                   "comes back with entry %llu of term %llu as its last; its disk ends at %llu, it reported %llu",
                   (unsigned long long)view->last.index, (unsigned long long)view->last.term,
                   (unsigned long long)ghost->disk.last, (unsigned long long)ghost->promised_index);
    else if (promised_lost(ghost) != 0)
        check_fail(check, CHECK_RECOVERY, node, "comes back with %llu entries; it reported %llu",
                   (unsigned long long)view->last.index, (unsigned long long)ghost->promised_index);
    if (check->failure.failed)
        return;
    recovered_entries(check, node, replica, view);
    const bool abstains = (view->durable_flags & STORED_ABSTAIN) != 0;
    if (wal->must_abstain && !abstains)
        check_fail(check, CHECK_RECOVERY, node, "has lost what was durable up to entry %llu, and would vote",
                   (unsigned long long)wal->lost);
    if (abstains && !ghost->abstained && !wal->struck && wal->bad_count == 0)
        check_fail(check, CHECK_RECOVERY, node, "abstains, though no fault has damaged its log");
    wal->must_abstain = wal->struck = false;
}

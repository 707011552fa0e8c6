/* What the superblock copies of each disk hold: the content that a recovery would choose.
 *
 * It is followed copy by copy, as they land. Damage takes a copy away until it is written again; when too many are
 * gone, or the newest content is gone with them, the node may forget what it held, until it has recovered. */
#include "check_state.h"

#include <string.h>

/* The newest counts if another copy holds the same, or what came before it. */
static const struct superblock_view *copy_choose(const struct ghost_node *ghost)
{
    const struct superblock_view *newest = NULL;
    for (uint32_t i = 0; i < SUPERBLOCK_COPIES; i++)
        if (ghost->copy_valid[i] && (newest == NULL || ghost->copies[i].sequence > newest->sequence))
            newest = &ghost->copies[i];
    for (uint32_t i = 0; i < SUPERBLOCK_COPIES; i++)
        if (ghost->copy_valid[i] && newest != &ghost->copies[i]
            && (hash128_equal(ghost->copies[i].hash, newest->hash)
                || hash128_equal(ghost->copies[i].hash, newest->parent)))
            return newest;
    return NULL;
}

/* I7 on disk. */
static void stored_monotone(struct check *check, uint32_t node, const struct stored *before, const struct stored *now)
{
    check_count(check, CHECK_MONOTONE);
    if (now->hard.term < before->hard.term)
        check_fail(check, CHECK_MONOTONE, node, "term on disk fell from %llu to %llu",
                   (unsigned long long)before->hard.term, (unsigned long long)now->hard.term);
    if (now->hard.term == before->hard.term && before->hard.vote != 0 && now->hard.vote != before->hard.vote)
        check_fail(check, CHECK_MONOTONE, node, "vote on disk in term %llu changed from %llu to %llu",
                   (unsigned long long)now->hard.term, (unsigned long long)before->hard.vote,
                   (unsigned long long)now->hard.vote);
    if (now->checkpoint.id.index < before->checkpoint.id.index || now->head.lsn < before->head.lsn)
        check_fail(check, CHECK_MONOTONE, node, "checkpoint %llu, head at byte %llu on disk went back to %llu, %llu",
                   (unsigned long long)before->checkpoint.id.index, (unsigned long long)before->head.lsn,
                   (unsigned long long)now->checkpoint.id.index, (unsigned long long)now->head.lsn);
}

/* CTRL 3.3: who did not know what it had acknowledged may vote again when it holds whatever that helped to commit:
 * what was committed in terms before that of the leader that it has matched, since that one had it, and what it had
 * promised before the damage. By the time that this lands a later term may have begun. */
static void stored_votes_again(struct check *check, uint32_t node)
{
    const struct ghost_node *ghost = &check->nodes[node];
    const uint64_t term = ghost->matched_term != 0 ? ghost->matched_term : ghost->stored.hard.term;
    uint64_t index = check->committed;
    while (index > 0 && check->commits[index].term >= term
           && !check_disk_promised(check, node, index, check->commits[index].link.chain))
        index--;
    check_count(check, CHECK_PROMISE_VOTE);
    if (!check_disk_holds(check, node, index, check->commits[index].link.chain))
        check_fail(check, CHECK_PROMISE_VOTE, node, "will vote again without the committed entry %llu on its disk",
                   (unsigned long long)index);
}

static bool data_struck(const struct check *check, uint32_t node)
{
    for (uint32_t block = 0; block < check->limits.data_blocks; block++)
        if (check->nodes[node].data.blocks[block].bad)
            return true;
    return false;
}

/* What a node has acknowledged, up to the checkpoint that it names now, it may be one of just enough to hold (Raft 7
 * discards a log when the snapshot is here). Where no fault took any of it, it gives that up only for a whole one. */
static void stored_gives_up(struct check *check, uint32_t node, const struct stored *before)
{
    const struct ghost_node *ghost = &check->nodes[node];
    const uint64_t index = ghost->stored.checkpoint.id.index;
    const uint64_t base = ghost->disk.base;
    check_count(check, CHECK_PROMISE_APPEND);
    if ((before->flags & STORED_PARTIAL) != 0 || base > before->checkpoint.id.index
        || index > u64_min(ghost->promised_index, ghost->disk.last))
        return;
    if (ghost->wal.first_faulty != 0 || ghost->wal.bad_count > 0 || data_struck(check, node))
        return;
    if (check_log_link(check, &ghost->disk, index).chain == check->commits[index].link.chain)
        check_fail(check, CHECK_PROMISE_APPEND, node,
                   "gives up entry %llu, which it has acknowledged, for a checkpoint that is not all here",
                   (unsigned long long)index);
}

/* damage: a copy was taken away; else one has landed. */
static void stored_choose(struct check *check, uint32_t node, bool damage)
{
    struct ghost_node *ghost = &check->nodes[node];
    const struct superblock_view *chosen = copy_choose(ghost);
    if (chosen == NULL) { /* not yet formatted, or destroyed by faults: the last choice stays */
        ghost->hard_lost = ghost->hard_lost || damage;
        return;
    }
    const bool lost = damage || ghost->hard_lost;
    if (hash128_equal(ghost->stored_hash, chosen->hash)) {
        /* What check_superblock_recovered() took for it counts no more. */
        ghost->stored.hard = chosen->stored.hard;
        if (!damage && ghost->stored.hard.term >= ghost->promised_term)
            ghost->hard_lost = false;
        return;
    }
    const struct stored before = ghost->stored;
    ghost->stored = chosen->stored;
    ghost->stored_hash = chosen->hash;
    if (!damage && ghost->stored.hard.term >= ghost->promised_term)
        ghost->hard_lost = false;
    ghost->hard_lost = ghost->hard_lost || damage;
    if ((ghost->stored.flags & STORED_REJOIN) != 0 && before.hard.term == 0 && ghost->stored.hard.term > 0 && !lost)
        check_promise_resumed(check, node, ghost->stored.hard.term);
    if (ghost->stored.hard.vote != 0)
        check_promise_term(check, ghost->stored.hard.term)->voted[node] = ghost->stored.hard.vote;
    if (!lost)
        stored_monotone(check, node, &before, &ghost->stored);
    if (memcmp(&before.checkpoint, &ghost->stored.checkpoint, sizeof before.checkpoint) != 0
        || ((before.flags ^ ghost->stored.flags) & STORED_PARTIAL) != 0)
        check_data_checkpoint(check, node, damage);
    if (!lost && (ghost->stored.flags & STORED_PARTIAL) != 0 && !check->failure.failed)
        stored_gives_up(check, node, &before);
    check_disk_head(check, node);
    if (!lost && (before.flags & STORED_ABSTAIN) != 0 && (ghost->stored.flags & STORED_ABSTAIN) == 0)
        stored_votes_again(check, node);
}

static bool copy_touched(const struct check *check, uint32_t copy, uint64_t offset, uint64_t end)
{
    const uint64_t at = superblock_offset(&check->limits, copy);
    return at + limits_superblock_bytes(&check->limits) > offset && at < end;
}

/* Is a block of the copy gone? */
static bool copy_bad(const struct check *check, uint32_t node, uint32_t copy)
{
    const uint32_t block_bytes = check->limits.block_bytes;
    const uint64_t first = superblock_offset(&check->limits, copy) / block_bytes;
    for (uint64_t block = first; block < first + limits_superblock_bytes(&check->limits) / block_bytes; block++)
        if (check->nodes[node].wal.bad[block] != 0)
            return true;
    return false;
}

static struct slice copy_bytes(const struct check *check, const uint8_t *image, uint32_t copy)
{
    return (struct slice){ .bytes = image + superblock_offset(&check->limits, copy),
                           .count = limits_superblock_bytes(&check->limits) };
}

/* The copy in the image, decoded, or NULL. Most are what another copy holds already, byte by byte. */
static const struct superblock_view *copy_inspect(const struct check *check, uint32_t node, uint32_t copy,
                                                  struct superblock_view *scratch)
{
    const struct ghost_node *ghost = &check->nodes[node];
    const struct slice bytes = copy_bytes(check, ghost->wal.image, copy);
    for (uint32_t other = 0; other < SUPERBLOCK_COPIES; other++)
        if (other != copy && ghost->copy_valid[other]
            && memcmp(bytes.bytes, copy_bytes(check, ghost->wal.image, other).bytes, bytes.count) == 0)
            return &ghost->copies[other];
    return superblock_inspect(bytes, &check->setup.configs[node], scratch) ? scratch : NULL;
}

void check_superblock_landed(struct check *check, uint32_t node, uint64_t offset, uint64_t end)
{
    struct ghost_node *ghost = &check->nodes[node];
    bool changed = false;
    for (uint32_t copy = 0; offset < wal_header_offset(&check->limits) && copy < SUPERBLOCK_COPIES; copy++) {
        if (!copy_touched(check, copy, offset, end))
            continue;
        struct superblock_view scratch;
        const struct superblock_view *view = copy_inspect(check, node, copy, &scratch);
        ghost->copy_valid[copy] = view != NULL && !copy_bad(check, node, copy);
        /* A torn one may stand for what it held before. */
        if (ghost->copy_valid[copy])
            ghost->copies[copy] = *view;
        changed = true;
    }
    if (!changed)
        return;
    stored_choose(check, node, false);
    /* A copy that is lost, or in whose place the node was shown another one, keeps nothing: alone it never counts. */
    uint32_t same = 0;
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++)
        same += !ghost->copy_valid[copy]
                || memcmp(&ghost->copies[copy].stored.checkpoint, &ghost->stored.checkpoint, sizeof(struct checkpoint))
                       == 0;
    if (same == SUPERBLOCK_COPIES)
        check_data_forget(check, node);
}

void check_superblock_damaged(struct check *check, uint32_t node, const uint8_t *image, uint64_t offset, uint64_t end)
{
    bool changed = false;
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++)
        if (copy_touched(check, copy, offset, end)) {
            struct ghost_node *ghost = &check->nodes[node];
            struct superblock_view view;
            ghost->copy_valid[copy] = false;
            /* A write that never landed: what it should have replaced is still there. */
            if (superblock_inspect(copy_bytes(check, image, copy), &check->setup.configs[node], &view))
                ghost->copies[copy] = view;
            changed = true;
        }
    if (changed)
        stored_choose(check, node, true);
}

void check_superblock_recovered(struct check *check, uint32_t node, const struct replica_view *view)
{
    struct ghost_node *ghost = &check->nodes[node];
    const struct hard_state *hard = &ghost->stored.hard;
    check_count(check, CHECK_RECOVERY);
    if (ghost->hard_lost) {
        /* From now on what it came back with counts, though copies that it misread may still hold more. */
        ghost->hard_lost = false;
        ghost->stored.hard = (struct hard_state){ .term = view->term, .vote = view->vote };
        ghost->promised_term = u64_min(ghost->promised_term, view->term);
        return;
    }
    if (view->term < ghost->promised_term || view->term < hard->term)
        check_fail(check, CHECK_RECOVERY, node, "comes back in term %llu; its disk has %llu, it spoke in %llu",
                   (unsigned long long)view->term, (unsigned long long)hard->term,
                   (unsigned long long)ghost->promised_term);
    if (view->term == hard->term && view->vote != hard->vote)
        check_fail(check, CHECK_RECOVERY, node, "comes back with vote %llu in term %llu; its disk has %llu",
                   (unsigned long long)view->vote, (unsigned long long)view->term, (unsigned long long)hard->vote);
}

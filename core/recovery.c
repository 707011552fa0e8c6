/* The start of a life: from two devices to a log (storage design 2.8).
 *
 *   superblock -> names -> body <-> scan -> write -> done
 *
 * It reads the superblock copies, the header ring, then the body ring from the head of the log on, with two reads in
 * flight. recovery_walk.c takes batch after batch as they arrive and says what each one is worth; when it meets one
 * that was durable and that nothing nearby identifies, the header ring is read again for it. At the end damaged
 * superblock copies are rewritten, what was torn is cut off for good, and names catch up: all before anything is said
 * to anybody.
 *
 * A read that fails is split into blocks; a block that fails RECOVERY_READ_TRIES times counts as lost.
 *
 * The one documented hole: a batch acknowledged and not yet named, whose node crashes and whose blocks rot. */
#include "inspect.h"
#include "output.h"
#include "state.h"

/* Where the stream of the phase lies on the device. */
static uint64_t stream_offset(const struct replica *replica, uint64_t position)
{
    const struct limits *limits = &replica->limits;
    if (replica->recovery.phase == RECOVERY_SUPERBLOCK)
        return superblock_offset(limits, (uint32_t)(position / limits_superblock_bytes(limits)))
               + position % limits_superblock_bytes(limits);
    if (replica->recovery.phase == RECOVERY_NAMES)
        return wal_header_offset(limits) + position;
    return wal_body_offset(limits) + position % wal_ring_bytes(limits);
}

static void recovery_emit_read(struct replica *replica, struct output *output, uint32_t slot)
{
    const struct recovery_read *read = &replica->recovery.reads[slot];
    const uint32_t bytes = read->by_blocks ? replica->limits.block_bytes : read->bytes;
    output_effect(output, &(struct effect){
                              .kind = EFFECT_READ,
                              .device = DEVICE_WAL,
                              .op_id = wal_op_id(WAL_READ, slot),
                              .offset = stream_offset(replica, read->position),
                              .bytes = { .bytes = NULL, .count = bytes },
                          });
}

/* Bytes of the next read of this phase's stream. */
static uint32_t stream_chunk(const struct replica *replica)
{
    const struct recovery *recovery = &replica->recovery;
    uint64_t bytes = u64_min(recovery->read_end - recovery->read_next, replica->limits.wal_batch_bytes_max);
    if (recovery->phase == RECOVERY_SUPERBLOCK)
        bytes = limits_superblock_bytes(&replica->limits);
    if (recovery->phase >= RECOVERY_BODY) {
        const uint64_t ring = wal_ring_bytes(&replica->limits);
        bytes = u64_min(bytes, ring - recovery->read_next % ring);
        if (recovery->skip_to != 0)
            bytes = u64_min(bytes, recovery->skip_at - recovery->read_next);
    }
    return (uint32_t)bytes;
}

/* Asks for more of the stream. Copies and names are judged in their order, so one at a time. */
static void stream_read_on(struct replica *replica, struct output *output)
{
    struct recovery *recovery = &replica->recovery;
    const uint32_t depth = recovery->phase >= RECOVERY_BODY ? RECOVERY_READS_MAX : 1;
    /* No further ahead than what a bad batch is judged by, or it would be read again and again, too. */
    const uint64_t end = recovery->phase == RECOVERY_SCAN ? recovery_window_end(replica) : recovery->read_end;
    for (uint32_t slot = 0; slot < depth && recovery->read_next < end; slot++) {
        struct recovery_read *read = &recovery->reads[slot];
        if (read->bytes != 0)
            continue;
        *read = (struct recovery_read){ .position = recovery->read_next, .bytes = stream_chunk(replica) };
        recovery->read_next += read->bytes;
        if (recovery->skip_to != 0 && recovery->read_next == recovery->skip_at) {
            recovery->read_next = recovery->skip_to;
            recovery->skip_to = 0;
        }
        recovery_emit_read(replica, output, slot);
    }
}

static bool stream_is_quiet(const struct recovery *recovery)
{
    for (uint32_t slot = 0; slot < RECOVERY_READS_MAX; slot++)
        if (recovery->reads[slot].bytes != 0)
            return false;
    return true;
}

/* Up to here everything has arrived, or was given up. */
static uint64_t stream_loaded(const struct recovery *recovery)
{
    uint64_t loaded = recovery->read_next;
    for (uint32_t slot = 0; slot < RECOVERY_READS_MAX; slot++)
        if (recovery->reads[slot].bytes != 0)
            loaded = u64_min(loaded, recovery->reads[slot].position);
    return loaded;
}

static void stream_begin(struct recovery *recovery, enum recovery_phase phase, uint64_t first, uint64_t end)
{
    ASSERT(stream_is_quiet(recovery));
    recovery->phase = phase;
    recovery->read_next = first;
    recovery->loaded = first;
    recovery->read_end = end;
}

void recovery_start(struct replica *replica, struct output *output)
{
    stream_begin(&replica->recovery, RECOVERY_SUPERBLOCK, 0,
                 (uint64_t)SUPERBLOCK_COPIES * limits_superblock_bytes(&replica->limits));
    stream_read_on(replica, output);
}

/* ---- superblock ---- */

/* Is this the directory that the configuration means? */
static bool superblock_belongs(struct replica *replica, struct output *output, const struct superblock *superblock)
{
    const struct limits *limits = &replica->limits;
    const struct replica_config *config = &replica->config;
    if (superblock->version != STORED_VERSION)
        replica_stop(replica, output, STOP_WRONG_VERSION, superblock->version);
    else if (superblock->cluster_id != config->cluster_id)
        replica_stop(replica, output, STOP_WRONG_CLUSTER, superblock->cluster_id);
    else if (superblock->node_id != config->node_id)
        replica_stop(replica, output, STOP_WRONG_NODE, superblock->node_id);
    else if (superblock->block_bytes != limits->block_bytes
             || superblock->superblock_stride_blocks != limits->superblock_stride_blocks
             || superblock->wal_header_blocks != limits->wal_header_blocks
             || superblock->wal_body_blocks != limits->wal_body_blocks
             || superblock->wal_batch_bytes_max != limits->wal_batch_bytes_max
             || superblock->page_bytes != limits->page_bytes || superblock->pages_max != limits->pages_max
             || superblock->data_blocks != limits->data_blocks)
        replica_stop(replica, output, STOP_WRONG_GEOMETRY, 0);
    else
        return true;
    return false;
}

/* All copies get the content of the one that counts: those that differ first. A copy that seemed to be good may have
 * been read at the wrong place; behind it an older one would name a checkpoint whose blocks are taken for free now. */
static void superblock_repair(struct replica *replica, struct output *output, const struct superblock *superblock)
{
    const struct recovery *recovery = &replica->recovery;
    uint32_t bad = 0;
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++) {
        replica->superblock.due |= 1u << copy;
        if (recovery->superblock_valid[copy] != 0
            && hash128_equal(recovery->superblocks[copy].hash, superblock->hash)) {
            replica->superblock.due_last |= 1u << copy;
            continue;
        }
        /* Its parent vouches for the newest until those that vouch for nothing are good again. */
        if (recovery->superblock_valid[copy] == 0
            || !hash128_equal(recovery->superblocks[copy].hash, superblock->parent))
            replica->superblock.due_first |= 1u << copy;
        bad++;
    }
    uint8_t *block = region_at(replica, replica->areas.wal_superblock);
    memset(block, 0, limits_superblock_bytes(&replica->limits));
    memcpy(block, superblock, sizeof *superblock);
    replica->scrub.mended += bad;
    if (bad > 0)
        output_event(output, EVENT_SUPERBLOCK_REPAIR, bad, 0);
}

static void superblock_adopt(struct replica *replica, struct output *output)
{
    const struct recovery *recovery = &replica->recovery;
    const uint32_t chosen = superblock_choose(recovery->superblocks, recovery->superblock_valid);
    if (chosen == SUPERBLOCK_COPIES) {
        replica_stop(replica, output, STOP_NO_SUPERBLOCK, 0);
        return;
    }
    const struct superblock *superblock = &recovery->superblocks[chosen];
    if (!superblock_belongs(replica, output, superblock))
        return;
    replica->stored = superblock->stored;
    replica->superblock.durable = superblock->stored;
    replica->superblock.writing = superblock->stored;
    replica->superblock.hash = superblock->hash;
    replica->superblock.sequence = superblock->sequence;
    replica->superblock.instance = superblock->instance;
    members_adopted(replica);
    superblock_repair(replica, output, superblock);
}

/* Most copies hold the same, byte by byte: what is known of one is known of the other. */
static bool superblock_known(const struct recovery *recovery, struct slice whole, struct superblock *superblock)
{
    const uint32_t padding = whole.count - (uint32_t)sizeof *superblock;
    for (uint32_t other = 0; other < SUPERBLOCK_COPIES; other++)
        if (recovery->superblock_valid[other] != 0
            && memcmp(whole.bytes, &recovery->superblocks[other], sizeof *superblock) == 0
            && (padding == 0 || bytes_are_zero(whole.bytes + sizeof *superblock, padding))) {
            memcpy(superblock, whole.bytes, sizeof *superblock);
            return true;
        }
    return false;
}

/* A piece of a copy, or a block of it that cannot be read (no bytes); the last piece decides. */
static void superblock_read(struct replica *replica, uint64_t position, struct slice piece)
{
    struct recovery *recovery = &replica->recovery;
    const uint32_t copy_bytes = limits_superblock_bytes(&replica->limits);
    const uint32_t copy = (uint32_t)(position / copy_bytes);
    const uint32_t at = (uint32_t)(position % copy_bytes);
    uint8_t *bytes = region_at(replica, replica->areas.wal_superblock);
    const uint32_t count = piece.count > 0 ? piece.count : replica->limits.block_bytes;
    ASSERT(at + count <= copy_bytes);
    if (piece.count > 0)
        memcpy(bytes + at, piece.bytes, count);
    else
        memset(bytes + at, 0, count);
    if (at + count < copy_bytes)
        return;
    const struct slice whole = { .bytes = bytes, .count = copy_bytes };
    struct superblock *superblock = &recovery->superblocks[copy];
    const bool valid = superblock_known(recovery, whole, superblock) || superblock_decode(whole, superblock);
    recovery->superblock_valid[copy] = valid ? 1 : 0;
    if (!valid)
        memset(superblock, 0, sizeof *superblock);
}

/* ---- header ring ---- */

/* again: it has been read before, and the better of the two counts. */
static void name_judge(uint8_t *state, uint8_t now, bool again)
{
    if (!again || now < *state)
        *state = now;
}

/* What a block of the header ring names. */
static void name_batches(struct replica *replica, const struct wal_name_header *name, struct slice block)
{
    struct wal_batch_header header;
    for (uint32_t at = 0; at < name->count; at++)
        if (wal_name_batch(block, at, replica->config.cluster_id, &header))
            recovery_name_batch(replica, &header);
}

/* One block of the header ring; no bytes: it cannot be read. */
static void name_read(struct replica *replica, uint32_t slot, struct slice block)
{
    struct recovery *recovery = &replica->recovery;
    struct wal_name_header name;
    /* One that belongs elsewhere was written or read at the wrong place. */
    const bool good = wal_name_decode(block, replica->config.cluster_id, &name)
                      && name.sequence % replica->limits.wal_header_blocks == slot;
    if (good) {
        name_batches(replica, &name, block);
        recovery->named_sequence = u64_max(recovery->named_sequence, name.durable_sequence);
        recovery->durable_sequence = u64_max(recovery->durable_sequence, name.durable_sequence);
        recovery->sequence_max = u64_max(recovery->sequence_max, name.durable_sequence);
        recovery->term_max = u64_max(recovery->term_max, name.term);
    }
    /* Where the names end is known by now. */
    if (recovery->named_tail != 0)
        return;
    if (good) {
        if (name.sequence > recovery->name_sequence_max) {
            recovery->name_sequence_max = name.sequence;
            recovery->name_newest = slot;
            recovery->names_newer = recovery->names_again;
            memset(recovery->names_after, 0, sizeof recovery->names_after);
        }
        return;
    }
    const bool zero = block.count > 0 && bytes_are_zero(block.bytes, block.count);
    const uint8_t state = zero ? NAME_ZERO : NAME_BAD;
    recovery->names_bad += zero ? 0 : 1;
    recovery->names_gaps = true;
    if (slot < 2)
        name_judge(&recovery->names_first[slot], state, recovery->names_again);
    if (recovery->name_sequence_max > 0 && slot > recovery->name_newest && slot - recovery->name_newest <= 2)
        name_judge(&recovery->names_after[slot - recovery->name_newest - 1], state,
                   recovery->names_again && !recovery->names_newer);
}

/* What looks damaged is read twice before that is believed: a read may be misdirected once, and what it brings instead
 * of names may well be zeros. What either reading found is there. */
static bool names_read_again(struct recovery *recovery)
{
    if (!recovery->names_gaps || recovery->names_again)
        return false;
    recovery->names_again = true;
    recovery->names_bad = 0;
    return true;
}

/* ---- body ---- */

/* From the head on; or from where it was left, when the header ring was read for what lies at the tail. */
static void body_begin(struct replica *replica)
{
    struct recovery *recovery = &replica->recovery;
    const struct wal_head *head = &replica->stored.head;
    const uint64_t end = head->lsn + wal_ring_bytes(&replica->limits);
    if (recovery->named_tail != 0) {
        stream_begin(recovery, RECOVERY_BODY, recovery->body_next, end);
        return;
    }
    log_reset(replica, head->base);
    replica->wal.tail = head->lsn;
    replica->wal.released = head->lsn;
    replica->wal.release_end = head->lsn;
    replica->wal.sequence = head->sequence;
    replica->wal.prev_hash = head->prev_hash;
    replica->wal.durable_index = head->base.index;
    recovery->sequence_max = u64_max(recovery->sequence_max, head->sequence);
    stream_begin(recovery, RECOVERY_BODY, head->lsn, end);
}

/* What is read later and lies behind the tail is of no lap that counts. */
static void mirror_clear_behind(struct replica *replica)
{
    const uint64_t ring = wal_ring_bytes(&replica->limits);
    const uint64_t end = u64_max(replica->recovery.read_next, replica->recovery.again_end);
    for (uint64_t lsn = replica->wal.tail; lsn < end;) {
        const uint64_t bytes = u64_min(end - lsn, ring - lsn % ring);
        memset(wal_mirror(replica, lsn), 0, bytes);
        lsn += bytes;
    }
}

/* Nothing is in flight: the batch at the tail is read again, and of what lies behind it all that was read once only. So
 * a start is not longer than a few readings of the log, however much is damaged. */
static void body_read_again(struct replica *replica)
{
    struct recovery *recovery = &replica->recovery;
    const uint64_t end = recovery->read_next;
    ASSERT(recovery->again_bytes > 0 && recovery->again_bytes % replica->limits.block_bytes == 0);
    recovery->skip_at = u64_min(replica->wal.tail + recovery->again_bytes, end);
    recovery->skip_to = u64_min(recovery->again_end, end);
    if (recovery->skip_to <= recovery->skip_at)
        recovery->skip_to = 0;
    recovery->again_end = u64_max(recovery->again_end, end);
    recovery->read_next = replica->wal.tail;
}

static void read_again(struct replica *replica)
{
    struct recovery *recovery = &replica->recovery;
    ASSERT(recovery->phase == RECOVERY_SCAN);
    recovery->read_again = false;
    if (!recovery->names_due) {
        body_read_again(replica);
        return;
    }
    ASSERT(recovery->skip_to == 0); /* the window, all of which is here, reaches further */
    recovery->names_due = false;
    recovery->body_next = recovery->read_next;
    memset(recovery->named, 0, sizeof recovery->named);
    stream_begin(recovery, RECOVERY_NAMES, 0,
                 (uint64_t)replica->limits.wal_header_blocks * replica->limits.block_bytes);
}

/* ---- the end ---- */

/* What the checkpoint holds needs no log; a log that ends before it begins anew behind it. */
static void log_meet_checkpoint(struct replica *replica)
{
    const struct log_id id = replica->stored.checkpoint.id;
    struct log *log = &replica->log;
    replica->commit = log->base.index;
    if ((replica->stored.flags & STORED_PARTIAL) != 0 || id.index <= log->base.index)
        return;
    replica->commit = id.index;
    if (log->last.index < id.index) {
        log_reset(replica, id);
        replica->wal.durable_index = id.index;
    }
    log_forget_damaged(replica, id.index);
    /* The next start must not meet again what is given up here: who identifies it now is overwritten as the header ring
     * goes round. */
    if (log->base.index > replica->stored.head.base.index)
        wal_head_follow_base(replica);
}

/* Nobody else has what this node lost, nor does its checkpoint: it must not go on as if that had never been. */
static bool is_alone_and_damaged(struct replica *replica, struct output *output)
{
    const bool unknown = (replica->stored.flags & STORED_ABSTAIN) != 0;
    /* Only voters tell what it must match again, and who does not know that votes for nobody, so that no leader comes
     * back by its vote; a learner, or a leader that leaves, may still have the bytes of an entry that it knows by name.
     */
    const bool alone = replica->self < MEMBERS_MAX && members_other_voters(replica) == 0;
    if (!(unknown ? alone : members_alone_for_good(replica) && replica->log.first_faulty != 0))
        return false;
    replica_stop(replica, output, STOP_WAL_DAMAGED, log_intact(replica) + 1);
    return true;
}

static void recovery_finish(struct replica *replica, struct output *output, enum walk_outcome outcome)
{
    struct recovery *recovery = &replica->recovery;
    struct wal *wal = &replica->wal;
    if (outcome == WALK_UNKNOWN) {
        replica->stored.flags |= STORED_ABSTAIN;
        output_event(output, EVENT_ABSTAIN, replica->log.last.index, wal->tail);
    }
    rejoin_start(replica, output);
    replica->abstain_nonce = prng_next(&replica->prng) | 1;
    log_meet_checkpoint(replica);
    if (members_may_be_lost(replica) && outcome != WALK_UNKNOWN) {
        replica->stored.flags |= STORED_ABSTAIN;
        output_event(output, EVENT_ABSTAIN, log_intact(replica), wal->tail);
    }
    replica->began_empty = replica->log.last.index == 0;
    members_recovered(replica, output);
    if (is_alone_and_damaged(replica, output))
        return;
    mirror_clear_behind(replica);
    wal->name_sequence = recovery->name_sequence_max;
    /* The superblock was lost or rolled back: whoever we voted for in that term, we did vote (storage design 2.7). */
    if (recovery->term_max > replica->stored.hard.term)
        replica->stored.hard = (struct hard_state){ .term = recovery->term_max, .vote = VOTE_UNKNOWN };
    output_event(output, EVENT_RECOVERED, replica->log.last.index, recovery->batches);
    /* More unnamed batches than can have been in flight: the names were lost. The next block names what it can hold. */
    wal->named = u64_max(wal->named, wal->durable - u64_min(wal->durable, replica->limits.wal_unnamed_max));
    recovery->phase = RECOVERY_WRITE;
    /* Only an intact header behind the tail could ever be taken for a part of the log; what cannot be read today may be
     * one tomorrow. */
    recovery->cut_due = recovery->chain_ahead || outcome == WALK_UNKNOWN;
    if (recovery->cut_due)
        output_event(output, EVENT_TAIL_CUT, replica->log.last.index, wal->tail);
    recovery_advance(replica, output);
}

void recovery_advance(struct replica *replica, struct output *output)
{
    ASSERT(replica->recovery.phase == RECOVERY_WRITE);
    wal_flush(replica, output);
    if (!superblock_is_durable(replica))
        return;
    /* After the superblock: what is cut off may be what this node must remember not to know. */
    if (replica->recovery.cut_due) {
        replica->recovery.cut_due = false;
        if (!wal_seal_cut(replica)) {
            replica_stop(replica, output, STOP_WAL_FULL, replica->wal.tail);
            return;
        }
        wal_flush(replica, output);
    }
    if (replica->wal.named < replica->wal.sealed)
        return;
    replica->recovery.phase = RECOVERY_DONE;
}

/* ---- reading ---- */

/* Blocks of the stream arrived, or were given up (no bytes). */
static void stream_arrived(struct replica *replica, uint64_t position, struct slice bytes)
{
    const uint32_t block_bytes = replica->limits.block_bytes;
    const uint32_t slot = (uint32_t)(position / block_bytes);
    switch ((enum recovery_phase)replica->recovery.phase) {
    case RECOVERY_SUPERBLOCK: superblock_read(replica, position, bytes); return;
    case RECOVERY_NAMES:
        if (bytes.count == 0)
            name_read(replica, slot, bytes);
        for (uint32_t at = 0; at < bytes.count; at += block_bytes)
            name_read(replica, slot + at / block_bytes,
                      (struct slice){ .bytes = bytes.bytes + at, .count = block_bytes });
        return;
    case RECOVERY_BODY:
    case RECOVERY_SCAN:
        if (bytes.count > 0)
            memcpy(wal_mirror(replica, position), bytes.bytes, bytes.count);
        else
            memset(wal_mirror(replica, position), 0, block_bytes);
        return;
    case RECOVERY_WRITE:
    case RECOVERY_DONE: break;
    }
    UNREACHABLE();
}

/* Judges what has arrived, and moves to the next phase. */
static void recovery_continue(struct replica *replica, struct output *output)
{
    struct recovery *recovery = &replica->recovery;
    const struct limits *limits = &replica->limits;
    recovery->loaded = stream_loaded(recovery);
    if (recovery->phase == RECOVERY_SUPERBLOCK && recovery->loaded == recovery->read_end) {
        superblock_adopt(replica, output);
        if (replica->role == RAFT_STOPPED)
            return;
        stream_begin(recovery, RECOVERY_NAMES, 0, (uint64_t)limits->wal_header_blocks * limits->block_bytes);
    }
    if (recovery->phase == RECOVERY_NAMES && recovery->loaded == recovery->read_end && names_read_again(recovery)) {
        stream_begin(recovery, RECOVERY_NAMES, 0, recovery->read_end);
    } else if (recovery->phase == RECOVERY_NAMES && recovery->loaded == recovery->read_end) {
        body_begin(replica);
    }
    enum walk_outcome outcome = WALK_MORE;
    if (recovery->phase >= RECOVERY_BODY && !recovery->read_again)
        outcome = recovery_walk(replica, output);
    if (outcome == WALK_AGAIN || outcome == WALK_NAMES) {
        recovery->read_again = true;
        recovery->names_due = outcome == WALK_NAMES;
        outcome = WALK_MORE;
    }
    if (recovery->read_again && stream_is_quiet(recovery))
        read_again(replica);
    if (recovery->read_again)
        return;
    if (outcome != WALK_MORE)
        recovery->read_end = recovery->read_next;
    if (outcome != WALK_MORE && stream_is_quiet(recovery))
        recovery_finish(replica, output, outcome);
    else
        stream_read_on(replica, output);
}

void recovery_read(struct replica *replica, struct output *output, const struct input *input)
{
    const uint32_t slot = (uint32_t)wal_detail_of(input->op_id);
    struct recovery_read *read = &replica->recovery.reads[slot];
    const uint32_t block_bytes = replica->limits.block_bytes;
    ASSERT(replica->recovery.phase <= RECOVERY_SCAN && read->bytes > 0);
    const uint32_t count = read->by_blocks ? block_bytes : read->bytes;
    if (input->result != DISK_OK) {
        output_event(output, EVENT_READ_RETRIED, stream_offset(replica, read->position), count);
        const bool split = !read->by_blocks && read->bytes > block_bytes;
        read->by_blocks = true;
        read->tries = split ? 0 : read->tries + 1;
        if (read->tries < RECOVERY_READ_TRIES) {
            recovery_emit_read(replica, output, slot);
            return;
        }
        stream_arrived(replica, read->position, (struct slice){ .bytes = NULL, .count = 0 });
        if (replica->recovery.phase >= RECOVERY_BODY)
            replica->recovery.lost_end = u64_max(replica->recovery.lost_end, read->position + block_bytes);
    } else {
        ASSERT(input->bytes.count == count);
        stream_arrived(replica, read->position, input->bytes);
    }
    read->tries = 0;
    read->position += count;
    read->bytes -= count;
    if (read->bytes > 0)
        recovery_emit_read(replica, output, slot);
    else
        *read = (struct recovery_read){ .bytes = 0 };
    recovery_continue(replica, output);
}

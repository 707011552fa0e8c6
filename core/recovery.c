/* The start of a life: from a device to a log (storage design 2.8).
 *
 *   superblock -> names -> body -> scan -> write -> done
 *
 * It reads the superblock copies, the header ring, then the body from its head for as long as batches are valid and
 * chain. What follows the last good batch is either a tail that nobody was promised, or damage:
 *
 *   next batch                                                            | verdict
 *   valid and chained                                                     | keep: it may be acknowledged
 *   bad, and a name or a later header says that a later batch was durable | damaged: stop (part 2 repairs from peers)
 *   bad, and what would say so may be lost: names_uncertain()             | damaged: stop, never guess
 *   bad, and nothing says so                                              | cut: torn or unacknowledged
 *
 * "Says so" is: named_sequence, or the durable_sequence of an intact header within the window of batches that can have
 * been in flight, is above the last good sequence. Sequences of a cut tail can never be mistaken for later ones, since
 * the cut batch skips far beyond them.
 *
 * Before it serves, the cut is made durable and named, and damaged superblock copies are rewritten.
 * The one documented hole: a batch acknowledged and not yet named, whose node crashes and whose blocks rot. */
#include "inspect.h"
#include "output.h"
#include "state.h"

static void recovery_emit_read(struct replica *replica, struct output *output)
{
    struct recovery *recovery = &replica->recovery;
    uint64_t offset = recovery->read_offset;
    if (recovery->phase == RECOVERY_SUPERBLOCK)
        offset = superblock_offset(&replica->limits, recovery->slot);
    else if (recovery->phase == RECOVERY_NAMES)
        offset += wal_header_offset(&replica->limits);
    else
        offset += wal_body_offset(&replica->limits);
    output_effect(output, &(struct effect){
                              .kind = EFFECT_READ,
                              .device = DEVICE_WAL,
                              .op_id = wal_op_id(WAL_READ, 0),
                              .offset = offset,
                              .bytes = { .bytes = NULL, .count = (uint32_t)recovery->read_bytes },
                          });
}

void recovery_start(struct replica *replica, struct output *output)
{
    replica->recovery.phase = RECOVERY_SUPERBLOCK;
    replica->recovery.read_bytes = replica->limits.block_bytes;
    recovery_emit_read(replica, output);
}

static bool superblock_voters_equal(const struct superblock *superblock, const struct replica_config *config)
{
    if (superblock->voter_count != config->voter_count)
        return false;
    for (uint32_t i = 0; i < config->voter_count; i++) {
        bool found = false;
        for (uint32_t j = 0; j < config->voter_count; j++)
            found = found || superblock->voters[i] == config->voters[j].id;
        if (!found)
            return false;
    }
    return true;
}

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
    else if (!superblock_voters_equal(superblock, config))
        replica_stop(replica, output, STOP_WRONG_VOTERS, superblock->voter_count);
    else
        return true;
    return false;
}

/* Copies that differ get the content of the one that counts. */
static void superblock_repair(struct replica *replica, struct output *output, const struct superblock *superblock)
{
    const struct recovery *recovery = &replica->recovery;
    uint32_t bad = 0;
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++) {
        if (recovery->superblock_valid[copy] != 0 && hash128_equal(recovery->superblocks[copy].hash, superblock->hash))
            continue;
        replica->superblock.due |= 1u << copy;
        bad++;
    }
    uint8_t *block = region_at(replica, replica->areas.wal_superblock);
    memset(block, 0, replica->limits.block_bytes);
    memcpy(block, superblock, sizeof *superblock);
    if (bad > 0)
        output_event(output, EVENT_SUPERBLOCK_REPAIR, bad, 0);
}

static void superblock_adopt(struct replica *replica, struct output *output)
{
    struct recovery *recovery = &replica->recovery;
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
    superblock_repair(replica, output, superblock);
    recovery->phase = RECOVERY_NAMES;
}

static void superblock_read(struct replica *replica, struct output *output, struct slice block)
{
    struct recovery *recovery = &replica->recovery;
    const uint32_t copy = recovery->slot;
    recovery->superblock_valid[copy] =
        block.count > 0 && superblock_decode(block, &recovery->superblocks[copy]) ? 1 : 0;
    if (recovery->superblock_valid[copy] == 0)
        memset(&recovery->superblocks[copy], 0, sizeof recovery->superblocks[copy]);
    recovery->slot++;
    if (recovery->slot == SUPERBLOCK_COPIES)
        superblock_adopt(replica, output);
}

/* The first byte is zero, and each equals the next. */
static bool block_is_zero(struct slice block)
{
    return block.bytes[0] == 0 && memcmp(block.bytes, block.bytes + 1, block.count - 1) == 0;
}

/* One block of the header ring; no bytes: it cannot be read. */
static void name_read(struct replica *replica, uint32_t slot, struct slice block)
{
    struct recovery *recovery = &replica->recovery;
    struct wal_name_header name;
    if (wal_name_decode(block, replica->config.cluster_id, &name)) {
        if (name.sequence > recovery->name_sequence_max) {
            recovery->name_sequence_max = name.sequence;
            recovery->name_newest = slot;
            memset(recovery->names_bad_after, 0, sizeof recovery->names_bad_after);
        }
        recovery->named_sequence = u64_max(recovery->named_sequence, name.durable_sequence);
        recovery->sequence_max = u64_max(recovery->sequence_max, name.durable_sequence);
        recovery->term_max = u64_max(recovery->term_max, name.term);
        return;
    }
    if (block.count > 0 && block_is_zero(block))
        return; /* never written */
    recovery->names_bad++;
    if (slot < 2)
        recovery->names_bad_first[slot] = 1;
    if (recovery->name_sequence_max > 0 && slot > recovery->name_newest && slot - recovery->name_newest <= 2)
        recovery->names_bad_after[slot - recovery->name_newest - 1] = 1;
}

/* May a name newer than all that can be read be lost? One bad block where the next name goes is a write that the crash
 * tore; two are not explained by one crash. */
static bool names_uncertain(const struct replica *replica)
{
    const struct recovery *recovery = &replica->recovery;
    const uint32_t blocks = replica->limits.wal_header_blocks;
    if (recovery->name_sequence_max == 0)
        return recovery->names_bad >= 2;
    for (uint32_t ahead = 1; ahead <= 2; ahead++) {
        const uint32_t slot = recovery->name_newest + ahead;
        if ((slot < blocks ? recovery->names_bad_after[ahead - 1] : recovery->names_bad_first[slot - blocks]) == 0)
            return false;
    }
    return true;
}

static struct slice recovery_loaded(const struct replica *replica, uint64_t lsn)
{
    const uint8_t *mirror = region_at_const(replica, replica->areas.wal_body);
    const uint64_t bytes = replica->recovery.read_offset - lsn;
    return (struct slice){ .bytes = mirror + lsn, .count = (uint32_t)u64_min(bytes, UINT32_MAX) };
}

/* Do the entries of an intact batch continue this log? */
static bool batch_follows(const struct replica *replica, const struct wal_batch_header *header, const uint8_t *run)
{
    const struct log_id last = replica->log.last;
    uint64_t kept = last.index;
    if (header->truncate_after != WAL_NO_TRUNCATION) {
        if (header->truncate_after > last.index)
            return false;
        kept = header->truncate_after;
    }
    if (header->entry_count == 0)
        return header->kind == WAL_BATCH_CUT && kept == last.index;
    if (header->first_index != kept + 1 || kept + header->entry_count >= replica->limits.log_entries_max)
        return false;
    uint64_t term = log_term(replica, kept);
    uint32_t offset = (uint32_t)sizeof *header;
    for (uint32_t i = 0; i < header->entry_count; i++) {
        struct entry entry;
        offset += entry_decode((struct slice){ .bytes = run + offset, .count = header->run_bytes - offset }, &entry);
        if (entry.id.term < term || entry.id.term > header->term)
            return false;
        term = entry.id.term;
    }
    return true;
}

static void batch_accept(struct replica *replica, const struct wal_batch_header *header, const uint8_t *run)
{
    struct wal *wal = &replica->wal;
    if (header->truncate_after != WAL_NO_TRUNCATION && header->truncate_after < replica->log.last.index)
        log_truncate(replica, header->truncate_after);
    uint32_t offset = (uint32_t)sizeof *header;
    for (uint32_t i = 0; i < header->entry_count; i++) {
        struct entry entry;
        const uint64_t position = header->lsn + offset;
        offset += entry_decode((struct slice){ .bytes = run + offset, .count = header->run_bytes - offset }, &entry);
        log_push(replica, entry.id, position);
    }
    struct wal_batch *batch = &wal->batches[wal->sealed % WAL_BATCHES_MAX];
    *batch = (struct wal_batch){ .header = *header, .last_index = replica->log.last.index, .complete = true };
    wal->sealed++;
    wal->sequence = header->sequence;
    wal->prev_hash = header->hash;
    wal->tail = header->lsn + header->run_bytes;
    replica->recovery.batches++;
    replica->recovery.sequence_max = u64_max(replica->recovery.sequence_max, header->sequence);
    replica->recovery.term_max = u64_max(replica->recovery.term_max, header->term);
    /* Named or not, it is on the disk now; names catch up before anything else is written. */
    wal->submitted = wal->sealed;
    wal->durable = wal->sealed;
    wal->durable_index = replica->log.last.index;
    if (header->sequence <= replica->recovery.named_sequence)
        wal->named = wal->sealed;
}

enum walk_verdict { WALK_ON, WALK_MORE, WALK_END };

/* Takes the batch at the tail if it is good. */
static enum walk_verdict body_walk_batch(struct replica *replica)
{
    const uint64_t capacity = (uint64_t)replica->limits.wal_body_blocks * replica->limits.block_bytes;
    const uint64_t lsn = replica->wal.tail;
    if (lsn == capacity)
        return WALK_END;
    const struct slice loaded = recovery_loaded(replica, lsn);
    if (loaded.count < sizeof(struct wal_batch_header))
        return WALK_MORE;
    struct wal_batch_header header;
    if (!wal_batch_header_decode(loaded, replica->config.cluster_id, lsn, &header))
        return WALK_END;
    if (!hash128_equal(header.prev_hash, replica->wal.prev_hash) || header.sequence <= replica->wal.sequence)
        return WALK_END;
    if (header.run_bytes > replica->limits.wal_batch_bytes_max || header.run_bytes > capacity - lsn
        || header.run_bytes % replica->limits.block_bytes != 0)
        return WALK_END;
    if (loaded.count < header.run_bytes)
        return WALK_MORE;
    if (!wal_batch_body_valid(&header, loaded.bytes) || !batch_follows(replica, &header, loaded.bytes))
        return WALK_END;
    batch_accept(replica, &header, loaded.bytes);
    return WALK_ON;
}

/* Looks behind the tail for headers that prove a later batch durable. Returns false when there is one. */
static bool tail_scan(struct replica *replica)
{
    struct recovery *recovery = &replica->recovery;
    const uint32_t block_bytes = replica->limits.block_bytes;
    uint64_t durable_sequence = recovery->named_sequence;
    for (uint64_t lsn = replica->wal.tail; lsn < recovery->scan_end; lsn += block_bytes) {
        const struct slice block = { .bytes = recovery_loaded(replica, lsn).bytes, .count = block_bytes };
        struct wal_batch_header header;
        recovery->leftovers = recovery->leftovers || !block_is_zero(block);
        if (!wal_batch_header_decode(block, replica->config.cluster_id, lsn, &header))
            continue;
        recovery->sequence_max = u64_max(recovery->sequence_max, header.sequence);
        if (header.sequence > replica->wal.sequence)
            durable_sequence = u64_max(durable_sequence, header.durable_sequence);
    }
    return durable_sequence <= replica->wal.sequence;
}

static void recovery_finish(struct replica *replica, struct output *output)
{
    struct recovery *recovery = &replica->recovery;
    const bool proved = !tail_scan(replica);
    if (proved || (recovery->leftovers && names_uncertain(replica))) {
        replica_stop(replica, output, STOP_WAL_DAMAGED, replica->log.last.index + 1);
        return;
    }
    uint8_t *tail = (uint8_t *)region_at(replica, replica->areas.wal_body) + replica->wal.tail;
    memset(tail, 0, recovery->read_offset - replica->wal.tail);
    replica->wal.name_sequence = recovery->name_sequence_max;
    /* The superblock was lost or rolled back: whoever we voted for in that term, we did vote (storage design 2.7). */
    if (recovery->term_max > replica->stored.hard.term)
        replica->stored.hard = (struct hard_state){ .term = recovery->term_max, .vote = VOTE_UNKNOWN };
    output_event(output, EVENT_RECOVERED, replica->log.last.index, recovery->batches);
    /* More unnamed batches than can have been in flight: the names were lost. The next block names what it can hold. */
    replica->wal.named = u64_max(replica->wal.named,
                                 replica->wal.durable - u64_min(replica->wal.durable, replica->limits.wal_unnamed_max));
    recovery->phase = RECOVERY_WRITE;
    if (recovery->leftovers) {
        output_event(output, EVENT_TAIL_CUT, replica->log.last.index, replica->wal.tail);
        if (!wal_seal_cut(replica)) {
            replica_stop(replica, output, STOP_WAL_FULL, replica->wal.tail);
            return;
        }
    }
    recovery_advance(replica, output);
}

void recovery_advance(struct replica *replica, struct output *output)
{
    ASSERT(replica->recovery.phase == RECOVERY_WRITE);
    wal_flush(replica, output);
    const struct superblock_writer *writer = &replica->superblock;
    if (writer->due != 0)
        return;
    if (memcmp(&replica->stored, &writer->durable, sizeof replica->stored) != 0)
        return;
    if (replica->wal.named < replica->wal.sealed)
        return;
    replica->recovery.phase = RECOVERY_DONE;
}

/* Chooses what to read next in the body; false when everything needed is loaded. */
static bool body_next(struct replica *replica)
{
    struct recovery *recovery = &replica->recovery;
    const uint64_t capacity = (uint64_t)replica->limits.wal_body_blocks * replica->limits.block_bytes;
    if (recovery->phase == RECOVERY_BODY) {
        enum walk_verdict verdict = WALK_ON;
        while (verdict == WALK_ON)
            verdict = body_walk_batch(replica);
        if (verdict == WALK_END) {
            const uint64_t window =
                (uint64_t)(replica->limits.wal_unnamed_max + 1) * replica->limits.wal_batch_bytes_max;
            recovery->scan_end = u64_min(capacity, replica->wal.tail + window);
            recovery->phase = RECOVERY_SCAN;
        }
    }
    const uint64_t end = recovery->phase == RECOVERY_SCAN ? recovery->scan_end : capacity;
    if (recovery->read_offset >= end)
        return false;
    recovery->read_bytes = u64_min(replica->limits.wal_batch_bytes_max, end - recovery->read_offset);
    return true;
}

/* One block or chunk was read, or given up (no bytes). Moves on to the next read or phase. */
static void recovery_loaded_range(struct replica *replica, struct output *output, struct slice bytes)
{
    struct recovery *recovery = &replica->recovery;
    const uint32_t block_bytes = replica->limits.block_bytes;
    if (recovery->phase == RECOVERY_SUPERBLOCK) {
        superblock_read(replica, output, bytes);
        if (replica->role == RAFT_STOPPED)
            return;
        if (recovery->phase == RECOVERY_NAMES)
            recovery->read_offset = 0;
    } else if (recovery->phase == RECOVERY_NAMES) {
        const uint32_t slot = (uint32_t)(recovery->read_offset / block_bytes);
        if (bytes.count == 0)
            name_read(replica, slot, bytes);
        for (uint32_t at = 0; at < bytes.count; at += block_bytes)
            name_read(replica, slot + at / block_bytes,
                      (struct slice){ .bytes = bytes.bytes + at, .count = block_bytes });
        recovery->read_offset += recovery->read_bytes;
    } else {
        uint8_t *mirror = region_at(replica, replica->areas.wal_body);
        if (bytes.count > 0)
            memcpy(mirror + recovery->read_offset, bytes.bytes, bytes.count);
        else
            recovery->leftovers = true; /* whatever it was */
        recovery->read_offset += recovery->read_bytes;
    }
    const uint64_t names_bytes = (uint64_t)replica->limits.wal_header_blocks * block_bytes;
    if (recovery->phase == RECOVERY_NAMES) {
        recovery->read_bytes = u64_min(replica->limits.wal_batch_bytes_max, names_bytes - recovery->read_offset);
        if (recovery->read_offset == names_bytes) {
            recovery->phase = RECOVERY_BODY;
            recovery->read_offset = 0;
            recovery->by_blocks_end = 0;
        }
    }
    if (recovery->phase >= RECOVERY_BODY && !body_next(replica)) {
        recovery_finish(replica, output);
        return;
    }
    if (recovery->read_offset < recovery->by_blocks_end)
        recovery->read_bytes = block_bytes;
    recovery_emit_read(replica, output);
}

void recovery_read(struct replica *replica, struct output *output, const struct input *input)
{
    struct recovery *recovery = &replica->recovery;
    ASSERT(recovery->phase <= RECOVERY_SCAN);
    if (input->result == DISK_OK) {
        ASSERT(input->bytes.count == recovery->read_bytes);
        recovery->tries = 0;
        recovery_loaded_range(replica, output, input->bytes);
        return;
    }
    /* An error somewhere in a range: read on by single blocks, and try each a few times before it counts as lost. */
    recovery->tries++;
    output_event(output, EVENT_READ_RETRIED, recovery->read_offset, recovery->read_bytes);
    if (recovery->read_bytes > replica->limits.block_bytes) {
        recovery->by_blocks_end = recovery->read_offset + recovery->read_bytes;
        recovery->read_bytes = replica->limits.block_bytes;
        recovery->tries = 0;
        recovery_emit_read(replica, output);
    } else if (recovery->tries < RECOVERY_READ_TRIES) {
        recovery_emit_read(replica, output);
    } else {
        recovery->tries = 0;
        recovery_loaded_range(replica, output, (struct slice){ .bytes = NULL, .count = 0 });
    }
}

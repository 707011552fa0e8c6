/* The write path of the log; its states and invariants are in wal.h. */
#include "wal.h"

#include "inspect.h"
#include "output.h"
#include "state.h"

static struct wal_batch *wal_batch(struct replica *replica, uint64_t ordinal)
{
    return &replica->wal.batches[ordinal % WAL_BATCHES_MAX];
}

static uint8_t *wal_mirror(struct replica *replica, uint64_t lsn)
{
    return (uint8_t *)region_at(replica, replica->areas.wal_body) + lsn;
}

static uint64_t wal_capacity(const struct replica *replica)
{
    return (uint64_t)replica->limits.wal_body_blocks * replica->limits.block_bytes;
}

uint64_t wal_header_offset(const struct limits *limits)
{
    return (uint64_t)SUPERBLOCK_COPIES * limits->superblock_stride_blocks * limits->block_bytes;
}

uint64_t wal_body_offset(const struct limits *limits)
{
    return wal_header_offset(limits) + (uint64_t)limits->wal_header_blocks * limits->block_bytes;
}

uint64_t wal_used_bytes(const struct replica *replica) { return replica->wal.tail; }

/* The log does not wrap yet: it begins where it always began. */
bool wal_head_search(struct replica *replica, struct log_id id) { return id.index <= replica->log.last.index; }

void wal_head_advance(struct replica *replica, struct output *output)
{
    (void)replica;
    (void)output;
}

static uint32_t run_bytes_of(const struct replica *replica, uint32_t entries_bytes)
{
    return (uint32_t)u64_round_up(sizeof(struct wal_batch_header) + (uint64_t)entries_bytes,
                                  replica->limits.block_bytes);
}

static bool open_batch_fits(const struct replica *replica, uint32_t bytes)
{
    return sizeof(struct wal_batch_header) + (uint64_t)replica->wal.open_bytes + bytes
           <= replica->limits.wal_batch_bytes_max;
}

bool wal_has_room(const struct replica *replica, uint32_t body_bytes, uint32_t reserve_blocks)
{
    const struct wal *wal = &replica->wal;
    const uint32_t bytes = entry_bytes(body_bytes);
    /* The log's table of slots keeps the same reserve, counted in entries, but never more than half of itself. */
    const uint32_t reserve_entries = u32_min(reserve_blocks, replica->limits.log_entries_max / 2);
    if (replica->log.last.index + 1 + reserve_entries >= replica->limits.log_entries_max)
        return false;
    uint64_t end = wal->tail;
    if (open_batch_fits(replica, bytes))
        end += run_bytes_of(replica, wal->open_bytes + bytes);
    else
        end += run_bytes_of(replica, wal->open_bytes) + run_bytes_of(replica, bytes);
    return end + (uint64_t)reserve_blocks * replica->limits.block_bytes <= wal_capacity(replica);
}

/* Closes the open batch: from here on its bytes in the mirror stay as they are. */
static void wal_seal(struct replica *replica, enum wal_batch_kind kind, uint64_t sequence)
{
    struct wal *wal = &replica->wal;
    ASSERT(kind == WAL_BATCH_CUT || wal->open_count > 0);
    ASSERT(wal->sealed - wal->named < WAL_UNNAMED_SEALED_MAX);
    ASSERT(sequence > wal->sequence);
    const uint32_t run = run_bytes_of(replica, wal->open_bytes);
    uint8_t *bytes = wal_mirror(replica, wal->tail);
    ASSERT(wal->tail + run <= wal_capacity(replica));
    const struct wal_batch_header header = {
        .prev_hash = wal->prev_hash,
        .magic = WAL_BATCH_MAGIC,
        .version = STORED_VERSION,
        .kind = (uint16_t)kind,
        .cluster_id = replica->config.cluster_id,
        .sequence = sequence,
        .lsn = wal->tail,
        .term = replica->stored.hard.term,
        .durable_sequence = wal->durable > 0 ? wal_batch(replica, wal->durable - 1)->header.sequence : 0,
        .truncate_after = wal->open_truncate_after,
        .first_index = wal->open_count > 0 ? wal->open_first_index : 0,
        .entry_count = wal->open_count,
        .run_bytes = run,
        .body_bytes = wal->open_bytes,
    };
    memcpy(bytes, &header, sizeof header);
    const uint32_t used = (uint32_t)sizeof header + wal->open_bytes;
    memset(bytes + used, 0, run - used);
    wal_batch_seal(bytes);

    struct wal_batch *batch = wal_batch(replica, wal->sealed);
    memset(batch, 0, sizeof *batch);
    memcpy(&batch->header, bytes, sizeof batch->header);
    batch->last_index = replica->log.last.index;
    wal->sealed++;
    wal->sequence = sequence;
    wal->prev_hash = batch->header.hash;
    wal->tail += run;
    wal->open_first_index = 0;
    wal->open_count = 0;
    wal->open_bytes = 0;
    wal->open_truncate_after = WAL_NO_TRUNCATION;
}

bool wal_seal_cut(struct replica *replica)
{
    struct wal *wal = &replica->wal;
    ASSERT(wal->open_count == 0 && wal->sealed == wal->durable);
    if (wal->tail + replica->limits.block_bytes > wal_capacity(replica))
        return false;
    /* Unlike anything that a torn tail may have left behind: its sequence is beyond theirs, and they do not chain to
     * it. */
    const uint64_t skip = WAL_BATCHES_MAX;
    wal_seal(replica, WAL_BATCH_CUT, u64_max(wal->sequence, replica->recovery.sequence_max) + skip);
    return true;
}

bool wal_append(struct replica *replica, struct output *output, const struct entry *entry, uint32_t reserve_blocks)
{
    struct wal *wal = &replica->wal;
    const uint32_t bytes = entry_bytes(entry->body.count);
    ASSERT(sizeof(struct wal_batch_header) + bytes <= replica->limits.wal_batch_bytes_max);
    if (!wal_has_room(replica, entry->body.count, reserve_blocks))
        return false;
    if (!open_batch_fits(replica, bytes)) {
        if (wal->sealed - wal->named >= WAL_UNNAMED_SEALED_MAX)
            return false;
        wal_seal(replica, WAL_BATCH_APPEND, wal->sequence + 1);
    }
    const uint64_t position = wal->tail + sizeof(struct wal_batch_header) + wal->open_bytes;
    entry_encode(entry, wal_mirror(replica, position));
    if (wal->open_count == 0)
        wal->open_first_index = entry->id.index;
    wal->open_count++;
    wal->open_bytes += bytes;
    log_push(replica, entry->id, position);
    output_event(output, EVENT_APPEND, entry->id.index, entry->id.term);
    return true;
}

/* The part of a truncation that nobody wrote yet is simply taken back, and its bytes zeroed; for the rest the next
 * batch carries it. */
static void open_batch_truncate(struct replica *replica, uint64_t index)
{
    struct wal *wal = &replica->wal;
    uint8_t *entries = wal_mirror(replica, wal->tail + sizeof(struct wal_batch_header));
    const uint32_t before = wal->open_bytes;
    if (wal->open_count > 0 && index >= wal->open_first_index) {
        wal->open_count = (uint32_t)(index + 1 - wal->open_first_index);
        wal->open_bytes = (uint32_t)(log_entry_bytes(replica, index + 1).bytes - entries);
    } else {
        if (wal->open_count == 0 || index + 1 < wal->open_first_index)
            wal->open_truncate_after = u64_min(wal->open_truncate_after, index);
        wal->open_first_index = 0;
        wal->open_count = 0;
        wal->open_bytes = 0;
    }
    memset(entries + wal->open_bytes, 0, before - wal->open_bytes);
}

void wal_truncate(struct replica *replica, struct output *output, uint64_t index)
{
    struct wal *wal = &replica->wal;
    ASSERT(index >= replica->commit);
    ASSERT(index < replica->log.last.index);
    open_batch_truncate(replica, index);
    log_truncate(replica, index);
    for (uint64_t ordinal = wal->named; ordinal < wal->sealed; ordinal++) {
        struct wal_batch *batch = wal_batch(replica, ordinal);
        batch->last_index = u64_min(batch->last_index, index);
    }
    wal->durable_index = u64_min(wal->durable_index, index);
    output_event(output, EVENT_TRUNCATE, index, 0);
}

static void wal_emit_write(struct output *output, uint64_t op_id, uint64_t offset, const uint8_t *bytes, uint32_t count)
{
    output_effect(output, &(struct effect){
                              .kind = EFFECT_WRITE,
                              .device = DEVICE_WAL,
                              .op_id = op_id,
                              .offset = offset,
                              .bytes = { .bytes = bytes, .count = count },
                          });
}

static void wal_submit_batches(struct replica *replica, struct output *output)
{
    struct wal *wal = &replica->wal;
    while (wal->submitted < wal->sealed || wal->open_count > 0) {
        if (wal->submitted - wal->durable >= replica->limits.wal_depth)
            return;
        if (wal->submitted - wal->named >= replica->limits.wal_unnamed_max)
            return;
        if (!output_room(output, 1, 0)) {
            replica->wants_tick = true;
            return;
        }
        if (wal->submitted == wal->sealed)
            wal_seal(replica, WAL_BATCH_APPEND, wal->sequence + 1);
        const struct wal_batch_header *header = &wal_batch(replica, wal->submitted)->header;
        wal_emit_write(output, wal_op_id(WAL_WRITE_BATCH, wal->submitted),
                       wal_body_offset(&replica->limits) + header->lsn, wal_mirror(replica, header->lsn),
                       header->run_bytes);
        wal->submitted++;
    }
}

/* Deferred naming: a header is written only for batches that are durable, beside the next batch's own write, and nobody
 * waits for it but wal_unnamed_max. When no batch follows, it is written by itself WAL_NAME_DELAY_NS later. */
static bool wal_name_is_due(const struct replica *replica)
{
    const struct wal *wal = &replica->wal;
    if (wal->name_busy || wal->named == wal->durable)
        return false;
    return replica->config.strict_naming || replica->recovery.phase != RECOVERY_DONE || wal->submitted > wal->durable
           || wal->durable - wal->named > 1 || replica->now_ns >= wal->name_due_ns;
}

uint64_t wal_deadline(const struct replica *replica)
{
    const struct wal *wal = &replica->wal;
    return wal->name_busy || wal->named == wal->durable ? UINT64_MAX : wal->name_due_ns;
}

static void wal_submit_name(struct replica *replica, struct output *output)
{
    struct wal *wal = &replica->wal;
    if (!wal_name_is_due(replica))
        return;
    if (!output_room(output, 1, 0)) {
        replica->wants_tick = true;
        return;
    }
    const uint32_t block_bytes = replica->limits.block_bytes;
    uint8_t *block = region_at(replica, replica->areas.wal_name);
    const uint64_t names_max = u32_min(wal_names_max(block_bytes), WAL_NAMES_KEPT);
    const uint64_t count = u64_min(names_max, wal->durable);
    ASSERT(wal->durable - wal->named <= count);
    wal->name_sequence++;
    const struct wal_name_header name = {
        .magic = WAL_NAME_MAGIC,
        .version = STORED_VERSION,
        .count = (uint16_t)count,
        .cluster_id = replica->config.cluster_id,
        .sequence = wal->name_sequence,
        .durable_sequence = wal_batch(replica, wal->durable - 1)->header.sequence,
        .term = replica->stored.hard.term,
    };
    memset(block, 0, block_bytes);
    memcpy(block, &name, sizeof name);
    for (uint64_t i = 0; i < count; i++) {
        const struct wal_batch *batch = wal_batch(replica, wal->durable - count + i);
        memcpy(block + sizeof name + i * sizeof batch->header, &batch->header, sizeof batch->header);
    }
    wal_name_seal(block, block_bytes);
    const uint64_t slot = wal->name_sequence % replica->limits.wal_header_blocks;
    wal->name_busy = true;
    wal->naming = wal->durable;
    wal_emit_write(output, wal_op_id(WAL_WRITE_NAME, 0), wal_header_offset(&replica->limits) + slot * block_bytes,
                   block, block_bytes);
}

static void superblock_submit(struct replica *replica, struct output *output)
{
    struct superblock_writer *writer = &replica->superblock;
    uint8_t *block = region_at(replica, replica->areas.wal_superblock);
    if (writer->in_flight != 0)
        return;
    if (writer->due == 0) {
        if (memcmp(&replica->stored, &writer->durable, sizeof replica->stored) == 0)
            return;
        writer->writing = replica->stored;
        writer->sequence++;
        writer->due = (1u << SUPERBLOCK_COPIES) - 1;
        superblock_fill(&replica->limits, &replica->config, writer, block);
    }
    if (!output_room(output, 1, 0)) {
        replica->wants_tick = true;
        return;
    }
    uint32_t copy = 0;
    while ((writer->due & (1u << copy)) == 0)
        copy++;
    writer->in_flight = 1;
    wal_emit_write(output, wal_op_id(WAL_WRITE_SUPERBLOCK, copy), superblock_offset(&replica->limits, copy), block,
                   replica->limits.block_bytes);
}

void wal_flush(struct replica *replica, struct output *output)
{
    if (replica->role == RAFT_STOPPED || replica->recovery.phase < RECOVERY_WRITE)
        return;
    superblock_submit(replica, output);
    wal_submit_batches(replica, output);
    wal_submit_name(replica, output);
}

/* What the batches before the ordinal hold may be promised from now on. */
static void wal_promise(struct replica *replica, struct output *output, uint64_t ordinal)
{
    ASSERT(ordinal > 0);
    replica->wal.durable_index = wal_batch(replica, ordinal - 1)->last_index;
    output_event(output, EVENT_DURABLE, replica->wal.durable_index, 0);
}

static void batch_written(struct replica *replica, struct output *output, uint64_t ordinal)
{
    struct wal *wal = &replica->wal;
    ASSERT(ordinal >= wal->durable && ordinal < wal->submitted);
    ASSERT(!wal_batch(replica, ordinal)->complete);
    wal_batch(replica, ordinal)->complete = true;
    const uint64_t before = wal->durable;
    while (wal->durable < wal->submitted && wal_batch(replica, wal->durable)->complete)
        wal->durable++;
    if (wal->durable == before)
        return;
    wal->name_due_ns = replica->now_ns + WAL_NAME_DELAY_NS;
    if (!replica->config.strict_naming)
        wal_promise(replica, output, wal->durable);
}

static void name_written(struct replica *replica, struct output *output)
{
    struct wal *wal = &replica->wal;
    ASSERT(wal->name_busy);
    wal->name_busy = false;
    wal->named = wal->naming;
    if (replica->config.strict_naming)
        wal_promise(replica, output, wal->named);
}

static void superblock_written(struct replica *replica, struct output *output, uint64_t copy)
{
    struct superblock_writer *writer = &replica->superblock;
    ASSERT(writer->in_flight == 1 && (writer->due & (1u << copy)) != 0);
    writer->in_flight = 0;
    writer->due &= ~(1u << copy);
    if (writer->due != 0)
        return;
    writer->durable = writer->writing;
    output_event(output, EVENT_HARD_STATE, writer->durable.hard.term, writer->durable.hard.vote);
}

void wal_written(struct replica *replica, struct output *output, uint64_t op_id, enum disk_result result)
{
    /* ATC'20: after a failed sync nothing is known about the blocks, and trying again proves nothing. */
    if (result != DISK_OK) {
        replica_stop(replica, output, STOP_WRITE_FAILED, (uint64_t)result);
        return;
    }
    const uint32_t operation = wal_operation_of(op_id);
    const uint64_t detail = wal_detail_of(op_id);
    if (operation == WAL_WRITE_BATCH) {
        batch_written(replica, output, detail);
    } else if (operation == WAL_WRITE_NAME) {
        name_written(replica, output);
    } else {
        ASSERT(operation == WAL_WRITE_SUPERBLOCK);
        superblock_written(replica, output, detail);
    }
}

/* The write path of the log; its states and invariants are in wal.h. */
#include "wal.h"

#include "inspect.h"
#include "output.h"
#include "state.h"

enum { RELEASE_BYTES_MAX = 2 * 1024 * 1024 };

static struct wal_batch *wal_batch(struct replica *replica, uint64_t ordinal)
{
    return &replica->wal.batches[ordinal % WAL_BATCHES_MAX];
}

static const struct wal_batch *wal_batch_const(const struct replica *replica, uint64_t ordinal)
{
    ASSERT(ordinal < replica->wal.sealed);
    return &replica->wal.batches[ordinal % WAL_BATCHES_MAX];
}

uint64_t wal_ring_bytes(const struct limits *limits) { return (uint64_t)limits->wal_body_blocks * limits->block_bytes; }

uint8_t *wal_mirror(struct replica *replica, uint64_t lsn)
{
    return (uint8_t *)region_at(replica, replica->areas.wal_body) + lsn % wal_ring_bytes(&replica->limits);
}

const uint8_t *wal_mirror_const(const struct replica *replica, uint64_t lsn)
{
    const uint64_t offset = lsn % wal_ring_bytes(&replica->limits);
    return (const uint8_t *)region_at_const(replica, replica->areas.wal_body) + offset;
}

uint64_t wal_header_offset(const struct limits *limits)
{
    return (uint64_t)SUPERBLOCK_COPIES * limits->superblock_stride_blocks * limits->block_bytes;
}

uint64_t wal_body_offset(const struct limits *limits)
{
    return wal_header_offset(limits) + (uint64_t)limits->wal_header_blocks * limits->block_bytes;
}

uint64_t wal_used_bytes(const struct replica *replica)
{
    const uint64_t from = replica->superblock.durable.head.lsn;
    return u64_max(replica->wal.tail, from) - from; /* before the log is read nothing is known of its end */
}

/* The next start reads the log from its head on, which may be before its base (wal_head_follow_base()). */
static uint64_t forgotten_entries(const struct replica *replica)
{
    const uint64_t base = replica->log.base.index;
    return base - u64_min(base, replica->superblock.durable.head.base.index);
}

uint64_t wal_used_entries(const struct replica *replica)
{
    return replica->log.last.index - replica->log.base.index + forgotten_entries(replica);
}

uint64_t wal_promised_index(const struct replica *replica)
{
    /* Raft 7: a log behind a checkpoint that is not all here is a promise without its past. */
    if (((replica->stored.flags | replica->superblock.durable.flags) & STORED_PARTIAL) != 0
        || checkpoint_gives_up(replica))
        return 0;
    return u64_min(u64_min(replica->wal.durable_index, log_intact(replica)), members_promised_index(replica));
}

static uint32_t run_bytes_of(const struct replica *replica, uint32_t entries_bytes)
{
    return (uint32_t)u64_round_up(sizeof(struct wal_batch_header) + (uint64_t)entries_bytes,
                                  replica->limits.block_bytes);
}

/* Nor do many entries lie in one batch while the log has slots for few: it can only begin where a batch does. */
static bool open_batch_fits(const struct replica *replica, uint32_t bytes)
{
    if (replica->wal.open_count >= replica->limits.log_entries_max / 8)
        return false;
    return sizeof(struct wal_batch_header) + (uint64_t)replica->wal.open_bytes + bytes
           <= replica->limits.wal_batch_bytes_max;
}

/* Does everything up to `end`, and the reserve behind it, lie within one lap behind what is given up, also by the
 * mirror? */
static bool ring_has_room(const struct replica *replica, uint64_t end, uint32_t reserve_blocks)
{
    const uint64_t reserve = (uint64_t)reserve_blocks * replica->limits.block_bytes;
    return wal_place(&replica->limits, end) + reserve <= replica->wal.released + wal_ring_bytes(&replica->limits);
}

bool wal_has_room(const struct replica *replica, uint32_t body_bytes, uint32_t reserve_blocks)
{
    const struct wal *wal = &replica->wal;
    const uint32_t bytes = entry_bytes(body_bytes);
    /* The log's table of slots keeps the same reserve, counted in entries, but never more than half of itself. */
    const uint64_t reserve = u32_min(reserve_blocks, replica->limits.log_entries_max / 2);
    if (!log_has_room(replica, forgotten_entries(replica) + reserve))
        return false;
    /* Whether it joins the open batch or not: as if it began another one. */
    uint64_t end = wal->tail;
    if (wal->open_count > 0)
        end = wal_place(&replica->limits, end + run_bytes_of(replica, wal->open_bytes));
    return ring_has_room(replica, end + run_bytes_of(replica, bytes), reserve_blocks);
}

static void open_batch_clear(struct wal *wal)
{
    wal->open_first_index = 0;
    wal->open_term = 0;
    wal->open_count = 0;
    wal->open_bytes = 0;
    wal->open_kind = 0;
}

static struct wal_batch_header open_batch_header(const struct replica *replica, enum wal_batch_kind kind,
                                                 uint64_t sequence)
{
    const struct wal *wal = &replica->wal;
    const struct wal_batch *durable = &wal->batches[(wal->durable - 1) % WAL_BATCHES_MAX];
    return (struct wal_batch_header){
        .prev_hash = wal->prev_hash,
        .magic = WAL_BATCH_MAGIC,
        .version = STORED_VERSION,
        .kind = (uint16_t)kind,
        .sequence = sequence,
        .lsn = wal->tail,
        .term = replica->stored.hard.term,
        /* Recovery found everything before a cut durable, damaged or not. */
        .durable_sequence = kind == WAL_BATCH_CUT ? wal->sequence
                            : wal->durable > 0    ? durable->header.sequence
                                                  : 0,
        .first_index = wal->open_first_index,
        .entry_term = wal->open_term,
        .prev_first_index = wal->prev_first_index,
        .prev_entry_term = wal->prev_entry_term,
        .prev_entry_count = wal->prev_entry_count,
        .prev_bytes = wal->prev_kind != 0 ? (uint32_t)(wal->tail - wal->prev_lsn) : 0,
        .entry_count = wal->open_count,
        .run_bytes = run_bytes_of(replica, wal->open_bytes),
        .body_bytes = wal->open_bytes,
        .prev_kind = wal->prev_kind,
    };
}

void wal_follow(struct replica *replica, const struct wal_batch_header *header)
{
    struct wal *wal = &replica->wal;
    wal->sequence = header->sequence;
    wal->prev_hash = header->hash;
    wal->prev_lsn = header->lsn;
    wal->prev_first_index = header->first_index;
    wal->prev_entry_term = header->entry_term;
    wal->prev_entry_count = header->entry_count;
    wal->prev_kind = header->kind;
    wal->tail = wal_place(&replica->limits, header->lsn + header->run_bytes);
}

/* Closes the open batch: from here on its bytes in the mirror stay as they are. */
static void wal_seal(struct replica *replica, enum wal_batch_kind kind, uint64_t sequence)
{
    struct wal *wal = &replica->wal;
    ASSERT(kind == WAL_BATCH_CUT || wal->open_count > 0);
    ASSERT(wal->sealed - wal->named < WAL_UNNAMED_SEALED_MAX);
    ASSERT(sequence > wal->sequence);
    const struct wal_batch_header header = open_batch_header(replica, kind, sequence);
    uint8_t *bytes = wal_mirror(replica, wal->tail);
    ASSERT(ring_has_room(replica, wal->tail + header.run_bytes, 0));
    memcpy(bytes, &header, sizeof header);
    const uint32_t used = (uint32_t)sizeof header + wal->open_bytes;
    memset(bytes + used, 0, header.run_bytes - used);
    wal_batch_seal(bytes, replica->config.cluster_id);

    struct wal_batch *batch = wal_batch(replica, wal->sealed);
    memset(batch, 0, sizeof *batch);
    memcpy(&batch->header, bytes, sizeof batch->header);
    batch->last_index = replica->log.last.index;
    wal->sealed++;
    wal_follow(replica, &batch->header);
    open_batch_clear(wal);
}

bool wal_seal_cut(struct replica *replica)
{
    struct wal *wal = &replica->wal;
    ASSERT(wal->open_count == 0 && wal->sealed == wal->durable);
    if (!ring_has_room(replica, wal->tail + replica->limits.block_bytes, 0))
        return false;
    /* Unlike anything that a torn tail may have left behind: its sequence is beyond theirs, and they do not chain to
     * it. */
    const uint64_t skip = WAL_BATCHES_MAX;
    wal_seal(replica, WAL_BATCH_CUT, u64_max(wal->sequence, replica->recovery.sequence_max) + skip);
    return true;
}

/* Puts an entry into the open batch, behind one that it does not go with if need be. Returns its lsn; UINT64_MAX when
 * too many batches wait. */
static uint64_t open_batch_add(struct replica *replica, const struct entry *entry, enum wal_batch_kind kind)
{
    struct wal *wal = &replica->wal;
    const uint32_t bytes = entry_bytes(entry->body.count);
    ASSERT(sizeof(struct wal_batch_header) + bytes <= replica->limits.wal_batch_bytes_max);
    const bool joins =
        wal->open_count == 0
        || (wal->open_kind == kind && wal->open_term == entry->id.term
            && wal->open_first_index + wal->open_count == entry->id.index && open_batch_fits(replica, bytes));
    if (!joins) {
        if (wal->sealed - wal->named >= WAL_UNNAMED_SEALED_MAX)
            return UINT64_MAX;
        wal_seal(replica, (enum wal_batch_kind)wal->open_kind, wal->sequence + 1);
    }
    const uint64_t lsn = wal->tail + sizeof(struct wal_batch_header) + wal->open_bytes;
    entry_encode(entry, wal_mirror(replica, lsn));
    if (wal->open_count == 0) {
        wal->open_first_index = entry->id.index;
        wal->open_term = entry->id.term;
        wal->open_kind = (uint16_t)kind;
    }
    wal->open_count++;
    wal->open_bytes += bytes;
    /* The next one goes into a batch of its own: the header of this one says what its last entry is. */
    if (entry->kind == ENTRY_CONFIG && kind == WAL_BATCH_APPEND)
        wal->open_kind = WAL_BATCH_CONFIG;
    return lsn;
}

bool wal_append(struct replica *replica, struct output *output, const struct entry *entry, uint32_t reserve_blocks)
{
    ASSERT(entry->id.index == replica->log.last.index + 1);
    if (replica->wal.resetting || !wal_has_room(replica, entry->body.count, reserve_blocks))
        return false;
    const uint64_t lsn = open_batch_add(replica, entry, WAL_BATCH_APPEND);
    if (lsn == UINT64_MAX)
        return false;
    log_push(replica, entry->id, lsn);
    output_event(output, EVENT_APPEND, entry->id.index, entry->id.term);
    if (entry->kind == ENTRY_CONFIG)
        members_appended(replica, output, entry);
    return true;
}

bool wal_repair(struct replica *replica, struct output *output, const struct entry *entry)
{
    ASSERT(log_term(replica, entry->id.index) == entry->id.term);
    ASSERT(!log_readable(replica, entry->id.index));
    if (replica->wal.resetting || !wal_has_room(replica, entry->body.count, 1) || !members_may_repair(replica, entry))
        return false;
    const uint64_t lsn = open_batch_add(replica, entry, WAL_BATCH_REPAIR);
    if (lsn == UINT64_MAX)
        return false;
    log_repair(replica, entry->id.index, lsn | LOG_REPAIRING);
    replica->entries_repaired++;
    output_event(output, EVENT_ENTRY_REPAIRED, entry->id.index, entry->id.term);
    if (entry->kind == ENTRY_CONFIG)
        members_appended(replica, output, entry);
    return true;
}

/* The part of a truncation that nobody wrote yet is simply taken back, and its bytes zeroed. The rest is replaced on
 * the disk by the first entry of the next batch. */
static void open_batch_truncate(struct replica *replica, uint64_t index)
{
    struct wal *wal = &replica->wal;
    if (wal->open_count == 0 || wal->open_first_index + wal->open_count <= index + 1)
        return;
    uint8_t *entries = wal_mirror(replica, wal->tail + sizeof(struct wal_batch_header));
    const uint32_t before = wal->open_bytes;
    if (index >= wal->open_first_index) {
        wal->open_count = (uint32_t)(index + 1 - wal->open_first_index);
        wal->open_bytes = (uint32_t)(log_entry_bytes(replica, index + 1).bytes - entries);
        wal->open_kind = wal->open_kind == WAL_BATCH_CONFIG ? WAL_BATCH_APPEND : wal->open_kind;
    } else {
        open_batch_clear(wal);
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
    members_truncated(replica, output, index);
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
            wal_seal(replica, (enum wal_batch_kind)wal->open_kind, wal->sequence + 1);
        const struct wal_batch_header *header = &wal_batch(replica, wal->submitted)->header;
        wal_emit_write(output, wal_op_id(WAL_WRITE_BATCH, wal->submitted),
                       wal_body_offset(&replica->limits) + header->lsn % wal_ring_bytes(&replica->limits),
                       wal_mirror(replica, header->lsn), header->run_bytes);
        wal_batch(replica, wal->submitted)->submitted_ns = replica->now_ns;
        wal->submitted++;
    }
}

uint64_t wal_oldest_ns(const struct replica *replica)
{
    const struct wal *wal = &replica->wal;
    uint64_t oldest_ns = UINT64_MAX;
    if (wal->submitted > wal->durable)
        oldest_ns = wal->batches[wal->durable % WAL_BATCHES_MAX].submitted_ns;
    if (wal->name_busy)
        oldest_ns = u64_min(oldest_ns, wal->naming_ns);
    if (replica->superblock.in_flight != 0)
        oldest_ns = u64_min(oldest_ns, replica->superblock.submitted_ns);
    return oldest_ns;
}

static bool scrub_writes_a_name(const struct replica *replica)
{
    return replica->scrub.writing && replica->scrub.phase == SCRUB_NAMES;
}

/* Deferred naming: a header is written only for batches that are durable, some of them at once, and nobody waits for it
 * but wal_unnamed_max. No batch waits longer for its name to be written than WAL_NAME_DELAY_NS. */
static bool wal_name_is_due(const struct replica *replica)
{
    const struct wal *wal = &replica->wal;
    if (wal->name_busy || wal->named == wal->durable)
        return false;
    /* The scrub may be writing to the very block that comes next. */
    if (scrub_writes_a_name(replica))
        return false;
    /* At least: one beside the next batch, two when none follows. */
    const uint64_t least = wal->submitted > wal->durable ? 1 : 2;
    /* As many as may be, less those in flight and those that follow while the name is being written. */
    const uint64_t room = 3 * (uint64_t)replica->limits.wal_depth;
    const uint64_t together =
        u64_max(least, replica->limits.wal_unnamed_max - u64_min(replica->limits.wal_unnamed_max, room));
    return replica->config.strict_naming || replica->recovery.phase != RECOVERY_DONE
           || wal->durable - wal->named >= together || replica->now_ns >= wal->name_due_ns;
}

uint64_t wal_deadline(const struct replica *replica)
{
    const struct wal *wal = &replica->wal;
    const bool idle = wal->name_busy || wal->named == wal->durable || scrub_writes_a_name(replica);
    return idle ? UINT64_MAX : wal->name_due_ns;
}

void wal_name_fill(const struct replica *replica, uint64_t sequence, uint8_t *block)
{
    const struct wal *wal = &replica->wal;
    const uint32_t block_bytes = replica->limits.block_bytes;
    const uint64_t names_max = u32_min(wal_names_max(block_bytes), WAL_NAMES_KEPT);
    const uint64_t count = u64_min(names_max, wal->durable);
    ASSERT(count > 0 && wal->durable - wal->named <= count);
    const struct wal_name_header name = {
        .magic = WAL_NAME_MAGIC,
        .version = STORED_VERSION,
        .count = (uint16_t)count,
        .cluster_id = replica->config.cluster_id,
        .sequence = sequence,
        .durable_sequence = wal_batch_const(replica, wal->durable - 1)->header.sequence,
        .term = replica->stored.hard.term,
    };
    memset(block, 0, block_bytes);
    memcpy(block, &name, sizeof name);
    for (uint64_t i = 0; i < count; i++) {
        const struct wal_batch *batch = wal_batch_const(replica, wal->durable - count + i);
        memcpy(block + sizeof name + i * sizeof batch->header, &batch->header, sizeof batch->header);
    }
    wal_name_seal(block, block_bytes);
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
    wal->name_sequence++;
    wal_name_fill(replica, wal->name_sequence, block);
    const uint64_t slot = wal->name_sequence % replica->limits.wal_header_blocks;
    wal->name_busy = true;
    wal->naming = wal->durable;
    wal->naming_ns = replica->now_ns;
    wal_emit_write(output, wal_op_id(WAL_WRITE_NAME, 0), wal_header_offset(&replica->limits) + slot * block_bytes,
                   block, block_bytes);
}

/* Asked at every step. A configuration is named by its entry: equal ids, equal members. */
static bool stored_equal(const struct stored *a, const struct stored *b)
{
    return memcmp(a, b, offsetof(struct stored, members)) == 0
           && log_id_equal(a->members.latest.id, b->members.latest.id)
           && log_id_equal(a->members.previous.id, b->members.previous.id)
           && memcmp(a->directories, b->directories, sizeof a->directories) == 0;
}

static void superblock_submit(struct replica *replica, struct output *output)
{
    struct superblock_writer *writer = &replica->superblock;
    uint8_t *block = region_at(replica, replica->areas.wal_superblock);
    if (writer->in_flight != 0)
        return;
    if (writer->due == 0) {
        if (stored_equal(&replica->stored, &writer->durable))
            return;
        superblock_renew(replica);
    }
    if (!output_room(output, 1, 0)) {
        replica->wants_tick = true;
        return;
    }
    const uint32_t before_last = writer->due & ~writer->due_last;
    const uint32_t candidates = writer->due_first != 0 ? writer->due_first
                                : before_last != 0     ? before_last
                                                       : writer->due;
    uint32_t copy = 0;
    while ((candidates & (1u << copy)) == 0)
        copy++;
    writer->in_flight = 1;
    writer->submitted_ns = replica->now_ns;
    wal_emit_write(output, wal_op_id(WAL_WRITE_SUPERBLOCK, copy), superblock_offset(&replica->limits, copy), block,
                   limits_superblock_bytes(&replica->limits));
}

bool superblock_is_durable(const struct replica *replica)
{
    const struct superblock_writer *writer = &replica->superblock;
    return writer->due == 0 && stored_equal(&replica->stored, &writer->durable);
}

/* In pieces, since that takes the driver time. */
static uint64_t release_piece_bytes(const struct limits *limits)
{
    const uint32_t blocks = u32_min(RELEASE_BYTES_MAX / limits->block_bytes, limits->wal_body_blocks / 32);
    return (uint64_t)u32_max(blocks, 1) * limits->block_bytes;
}

/* Where in the mirror memory is wanted next: behind all that the open batch may come to, in whole pieces, and no
 * further than a log of usual length reaches. New memory costs the kernel more, to find and to zero it, than all else
 * that is done to a batch. NULL: nowhere. */
static const uint8_t *release_place(struct replica *replica, uint64_t piece)
{
    struct wal *wal = &replica->wal;
    const uint64_t ring = wal_ring_bytes(&replica->limits);
    const uint64_t held = (uint64_t)replica->limits.checkpoint_wal_blocks + replica->limits.wal_retain_blocks;
    const uint64_t lsn = u64_max(wal->placed, wal->tail + replica->limits.wal_batch_bytes_max);
    uint64_t offset = (lsn % ring + piece - 1) / piece * piece;
    if (offset + piece > ring)
        offset = ring;
    const uint64_t place = lsn - lsn % ring + offset;
    if (place + piece > u64_min(wal->tail + held * replica->limits.block_bytes, wal->released + ring))
        return NULL;
    wal->placed = place + piece;
    return wal_mirror(replica, place);
}

/* The mirror of what was given up means nothing any more. */
static void wal_release(struct replica *replica, struct output *output)
{
    struct wal *wal = &replica->wal;
    const uint64_t ring = wal_ring_bytes(&replica->limits);
    const uint64_t piece = release_piece_bytes(&replica->limits);
    ASSERT(wal->released <= wal->release_end && wal->release_end <= wal->tail);
    if (wal->released == wal->release_end)
        return;
    replica->wants_tick = true;
    if (!output_room(output, 1, 0))
        return;
    const uint64_t offset = wal->released % ring;
    const uint64_t left = u64_min(wal->release_end - wal->released, ring - offset);
    const uint64_t bytes = u64_min(left, piece - offset % piece);
    const uint8_t *place = bytes == piece ? release_place(replica, piece) : NULL;
    output_effect(output, &(struct effect){
                              .kind = EFFECT_RELEASE,
                              .bytes = { .bytes = wal_mirror(replica, wal->released), .count = (uint32_t)bytes },
                              .place = place,
                          });
    wal->released += bytes;
}

void wal_flush(struct replica *replica, struct output *output)
{
    if (replica->role == RAFT_STOPPED || replica->recovery.phase < RECOVERY_WRITE)
        return;
    superblock_submit(replica, output);
    /* A cut or a name may replace what tells of a loss: the superblock must remember it first. */
    if (replica->recovery.phase == RECOVERY_WRITE && !superblock_is_durable(replica))
        return;
    wal_submit_batches(replica, output);
    wal_submit_name(replica, output);
    wal_release(replica, output);
}

/* Entries that a peer replaced are intact from now on, unless they were truncated or replaced since. */
static void batch_repaired(struct replica *replica, const struct wal_batch_header *header)
{
    for (uint32_t i = 0; i < header->entry_count; i++) {
        const uint64_t index = header->first_index + i;
        if (index <= replica->log.base.index || index > replica->log.last.index || !log_readable(replica, index))
            continue;
        const uint64_t lsn = log_entry_lsn(replica, index);
        if (lsn > header->lsn && lsn < header->lsn + header->run_bytes)
            log_repair(replica, index, lsn);
    }
}

/* What the batches before the ordinal hold may be promised from now on. */
static void wal_promise(struct replica *replica, struct output *output, uint64_t ordinal)
{
    struct wal *wal = &replica->wal;
    ASSERT(ordinal > 0);
    /* What is named once more, by scrub.c, may have been truncated or replaced by a checkpoint since. */
    if (ordinal <= wal->promised)
        return;
    for (; wal->promised < ordinal; wal->promised++)
        if (wal_batch(replica, wal->promised)->header.kind == WAL_BATCH_REPAIR)
            batch_repaired(replica, &wal_batch(replica, wal->promised)->header);
    /* A batch that is named once more may be of before the log began anew. */
    wal->durable_index = u64_max(wal->durable_index, wal_batch(replica, ordinal - 1)->last_index);
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
    if (before == wal->named || (wal->name_busy && before == wal->naming))
        wal->name_due_ns = replica->now_ns + WAL_NAME_DELAY_NS;
    if (!replica->config.strict_naming)
        wal_promise(replica, output, wal->durable);
}

static void name_written(struct replica *replica, struct output *output)
{
    struct wal *wal = &replica->wal;
    ASSERT(wal->name_busy);
    wal->name_busy = false;
    wal->naming_ns = 0;
    wal->named = wal->naming;
    if (replica->config.strict_naming)
        wal_promise(replica, output, wal->named);
}

static void superblock_written(struct replica *replica, struct output *output, uint64_t copy)
{
    struct superblock_writer *writer = &replica->superblock;
    ASSERT(writer->in_flight == 1 && (writer->due & (1u << copy)) != 0);
    writer->in_flight = 0;
    writer->submitted_ns = 0;
    writer->due &= ~(1u << copy);
    writer->due_first &= ~(1u << copy);
    writer->due_last &= ~(1u << copy);
    if (writer->due != 0)
        return;
    writer->durable = writer->writing;
    ASSERT(stored_equal(&replica->stored, &writer->durable)
           == (memcmp(&replica->stored, &writer->durable, sizeof replica->stored) == 0));
    output_event(output, EVENT_HARD_STATE, writer->durable.hard.term, writer->durable.hard.vote);
}

/* ---- the head ---- */

/* The batch that holds the entry at lsn: the nearest block before it that is a header and covers it. */
static bool batch_of(const struct replica *replica, uint64_t lsn, struct wal_batch_header *header)
{
    const uint32_t block_bytes = replica->limits.block_bytes;
    uint64_t at = lsn - lsn % block_bytes;
    for (uint32_t back = 0; back < replica->limits.wal_batch_bytes_max; back += block_bytes) {
        const struct slice block = { .bytes = wal_mirror_const(replica, at), .count = block_bytes };
        if (wal_batch_header_decode(block, replica->config.cluster_id, at, header)
            && lsn < at + sizeof *header + header->body_bytes)
            return true;
        if (at < replica->stored.head.lsn + block_bytes)
            return false;
        at -= block_bytes;
    }
    return false;
}

/* The lowest index above base whose bytes lie at or behind lsn, among those that were never repaired. */
static uint64_t index_at(const struct replica *replica, uint64_t lsn, uint64_t last)
{
    uint64_t low = replica->log.base.index + 1;
    uint64_t high = last;
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        if (log_readable(replica, middle) && log_entry_lsn(replica, middle) < lsn)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Can the log begin with the batch that holds `index`? */
static bool head_at(const struct replica *replica, uint64_t index, struct wal_head *head)
{
    struct wal_batch_header header;
    if (!log_readable(replica, index) || !batch_of(replica, log_entry_lsn(replica, index), &header))
        return false;
    /* What is before the head is given up; a batch that was truncated away may still be in flight. */
    const struct wal *wal = &replica->wal;
    if (wal->durable < wal->sealed && header.lsn >= wal->batches[wal->durable % WAL_BATCHES_MAX].header.lsn)
        return false;
    /* A repaired entry lies behind others that come after it. */
    if (!wal_batch_appends(header.kind) || header.first_index <= replica->log.base.index
        || header.lsn < replica->stored.head.lsn)
        return false;
    *head = (struct wal_head){
        .lsn = header.lsn,
        .sequence = header.sequence - 1,
        .prev_hash = header.prev_hash,
        .base = { .index = header.first_index - 1, .term = log_term(replica, header.first_index - 1) },
    };
    return true;
}

/* The log does not go on where the checkpoint ends: it begins anew behind it, when nothing is under way any more. */
static bool head_reset(struct replica *replica, struct log_id id)
{
    struct wal *wal = &replica->wal;
    wal->resetting = true;
    if (wal->open_count > 0 || wal->submitted < wal->sealed || wal->named < wal->sealed || wal->name_busy)
        return false;
    replica->stored.head = (struct wal_head){
        .lsn = wal->tail,
        .sequence = wal->sequence,
        .prev_hash = wal->prev_hash,
        .base = id,
    };
    replica->stored.flags |= STORED_STRANGER;
    return true;
}

void wal_head_follow_base(struct replica *replica)
{
    const struct log *log = &replica->log;
    const struct wal *wal = &replica->wal;
    ASSERT(wal->durable == wal->sealed && log->base.index > replica->stored.head.base.index);
    struct wal_head head = {
        .lsn = wal->tail,
        .sequence = wal->sequence,
        .prev_hash = wal->prev_hash,
        .base = log->base,
    };
    if (log->last.index == log->base.index || head_at(replica, log->base.index + 1, &head))
        replica->stored.head = head;
}

/* The first entry behind the last damaged place begins a batch that can be the head; asked only while there is one. */
bool wal_head_is_due(const struct replica *replica)
{
    const struct wal *wal = &replica->wal;
    const struct log *log = &replica->log;
    const uint64_t next = u64_max(wal->damaged_last, log->base.index) + 1;
    struct wal_head head;
    return wal->damaged_end > replica->stored.head.lsn && log->first_faulty == 0 && replica->applied + 1 >= next
           && log->last.index >= next && head_at(replica, next, &head) && head.lsn >= wal->damaged_end;
}

bool wal_head_search(struct replica *replica, struct log_id id)
{
    const struct log *log = &replica->log;
    if (id.index < log->base.index)
        return true;
    if (!log_holds(replica, id))
        return head_reset(replica, id);
    if (replica->wal.durable_index < id.index)
        return false;
    const uint64_t retain = (uint64_t)replica->limits.wal_retain_blocks * replica->limits.block_bytes;
    if (log->last.index == log->base.index)
        return true;
    struct wal_head head;
    /* Of the slots, too, a quarter at most is kept for what the checkpoint holds. */
    const uint64_t kept = replica->limits.log_entries_max / 4;
    const uint64_t end = u64_min(id.index + 1, log->last.index);
    uint64_t first = u64_max(index_at(replica, replica->wal.tail - u64_min(replica->wal.tail, retain), end),
                             end - u64_min(end, kept));
    /* Nor anything that the next start would meet behind a damaged place. */
    if (replica->wal.damaged_end > replica->stored.head.lsn)
        first = u64_max(first, u64_min(replica->wal.damaged_last + 1, end));
    for (uint64_t index = first, tries = 0; index > log->base.index && tries < 64; index--, tries++) {
        if (!head_at(replica, index, &head))
            continue;
        replica->stored.head = head;
        return true;
    }
    return true;
}

void wal_head_advance(struct replica *replica)
{
    struct wal *wal = &replica->wal;
    const struct wal_head *head = &replica->stored.head;
    ASSERT(memcmp(head, &replica->superblock.durable.head, sizeof *head) == 0);
    wal->release_end = head->lsn;
    /* A checkpoint holds it. The log may have come to hold it, too, while that one was named. */
    replica->commit = u64_max(replica->commit, head->base.index);
    if (wal->resetting) {
        wal->resetting = false;
        log_reset(replica, head->base);
        wal->durable_index = head->base.index;
        return;
    }
    /* It may be ahead, where something damaged was before it. */
    if (head->base.index > replica->log.base.index)
        log_forget(replica, head->base);
    if ((replica->stored.flags & STORED_PARTIAL) == 0)
        log_forget_damaged(replica, replica->stored.checkpoint.id.index);
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

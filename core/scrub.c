/* Reading everything, slowly; see scrub.h. */
#include "scrub.h"

#include "inspect.h"
#include "output.h"
#include "page.h"
#include "raft.h"

/* Entries of the map, or blocks of a log that is not readable, that one step looks at in vain. */
enum { SCRUB_LOOKS_MAX = 1024 };
enum { SCRUB_PAUSE_NS = 4000000 };

static bool data_is_quiet(const struct replica *replica)
{
    return store_is_ready(replica) && checkpoint_is_idle(replica) && install_is_idle(replica);
}

static uint32_t unit_block_bytes(const struct replica *replica)
{
    if (replica->scrub.phase == SCRUB_SUPERBLOCK)
        return limits_superblock_bytes(&replica->limits); /* a copy is good or bad as a whole */
    return replica->scrub.phase >= SCRUB_MAP ? replica->limits.page_bytes : replica->limits.block_bytes;
}

/* ---- units ---- */

/* What is durable of the log ends here. */
static uint64_t body_end(const struct replica *replica)
{
    const struct wal *wal = &replica->wal;
    return wal->durable < wal->sealed ? wal->batches[wal->durable % WAL_BATCHES_MAX].header.lsn : wal->tail;
}

/* Bytes of the batch at lsn, when the mirror has all of it: of one that is known by name only it has what was left. */
static uint32_t batch_bytes(const struct replica *replica, uint64_t lsn)
{
    struct wal_batch_header header;
    const struct slice block = { .bytes = wal_mirror_const(replica, lsn), .count = replica->limits.block_bytes };
    if (!wal_batch_header_decode(block, replica->config.cluster_id, lsn, &header)
        || !wal_batch_body_valid(&header, replica->config.cluster_id, block.bytes))
        return 0;
    return header.run_bytes;
}

/* Batches behind each other make one unit. One that is known by name only has no bytes to compare with. */
static bool body_unit(struct replica *replica)
{
    struct scrub *scrub = &replica->scrub;
    const uint32_t block_bytes = replica->limits.block_bytes;
    scrub->position = u64_max(scrub->position, replica->stored.head.lsn);
    for (uint32_t looks = 0; looks < SCRUB_LOOKS_MAX && scrub->position < body_end(replica); looks++) {
        const uint32_t run = batch_bytes(replica, scrub->position);
        if (run == 0) {
            scrub->position = wal_place(&replica->limits, scrub->position + block_bytes);
            continue;
        }
        scrub->bytes = run;
        for (uint64_t lsn = scrub->position + run;
             wal_place(&replica->limits, lsn) == lsn && lsn < body_end(replica);) {
            const uint32_t more = batch_bytes(replica, lsn);
            if (more == 0 || scrub->bytes + more > replica->limits.wal_batch_bytes_max)
                break;
            scrub->bytes += more;
            lsn += more;
        }
        return true;
    }
    return scrub->position < body_end(replica);
}

/* Entries whose blocks follow each other make one unit. */
static bool map_unit(struct replica *replica)
{
    struct scrub *scrub = &replica->scrub;
    const struct limits *limits = &replica->limits;
    if (!data_is_quiet(replica))
        return true;
    const uint64_t count = map_count(limits, scrub->level);
    uint32_t looks = 0;
    while (scrub->position < count && map_entry(replica, scrub->level, (uint32_t)scrub->position)->block == 0) {
        scrub->position++;
        if (++looks == SCRUB_LOOKS_MAX)
            return true;
    }
    if (scrub->position == count)
        return false;
    const uint32_t first = map_entry(replica, scrub->level, (uint32_t)scrub->position)->block;
    uint32_t blocks = 1;
    while (scrub->position + blocks < count && (blocks + 1) * limits->page_bytes <= limits->data_run_bytes_max
           && map_entry(replica, scrub->level, (uint32_t)scrub->position + blocks)->block == first + blocks)
        blocks++;
    scrub->bytes = blocks * limits->page_bytes;
    return true;
}

/* One block, unless it is being written right now. */
static bool block_unit(struct replica *replica, uint32_t count, bool busy)
{
    if (replica->scrub.position == count)
        return false;
    replica->scrub.bytes = busy ? 0 : unit_block_bytes(replica);
    return true;
}

/* Blocks of the header ring make one unit, up to the one that is being written or comes next: names go around in order,
 * so whoever changes one of these has changed the first of them before, and unit_version() shows it. */
static bool names_unit(struct replica *replica)
{
    struct scrub *scrub = &replica->scrub;
    const struct limits *limits = &replica->limits;
    const uint32_t count = limits->wal_header_blocks;
    const uint64_t written = replica->wal.name_sequence % count, next = (written + 1) % count;
    if (!block_unit(replica, count, replica->wal.name_busy && written == scrub->position))
        return false;
    const uint64_t most = u32_min(count - (uint32_t)scrub->position, limits->wal_batch_bytes_max / limits->block_bytes);
    uint64_t blocks = scrub->bytes / limits->block_bytes;
    while (blocks != 0 && scrub->position != next && blocks < most && scrub->position + blocks != next
           && scrub->position + blocks != written)
        blocks++;
    scrub->bytes = (uint32_t)blocks * limits->block_bytes;
    return true;
}

/* Finds the next unit of the phase: scrub.bytes, when there is one now. False: the phase is over. */
static bool unit_find(struct replica *replica)
{
    struct scrub *scrub = &replica->scrub;
    switch ((enum scrub_phase)scrub->phase) {
    case SCRUB_SUPERBLOCK:
        return block_unit(replica, SUPERBLOCK_COPIES,
                          replica->superblock.due != 0 || replica->superblock.in_flight != 0);
    case SCRUB_NAMES: return names_unit(replica);
    case SCRUB_BODY: return body_unit(replica);
    case SCRUB_MAP:
    case SCRUB_PAGES: return map_unit(replica);
    }
    UNREACHABLE();
}

/* Another number whenever what is stored where the unit lies may have been written anew. */
static uint64_t unit_version(const struct replica *replica)
{
    const struct scrub *scrub = &replica->scrub;
    const uint64_t names = replica->limits.wal_header_blocks;
    switch ((enum scrub_phase)scrub->phase) {
    case SCRUB_SUPERBLOCK: return replica->superblock.sequence;
    case SCRUB_NAMES: return (replica->wal.name_sequence + names - scrub->position) / names; /* of its first slot */
    case SCRUB_BODY: return 0; /* what is durable of the log stays as it is */
    case SCRUB_MAP:
    /* Of every block number in the map: an install may leave the checkpoint as it is, index, hash and all, and put its
     * pages elsewhere. */
    case SCRUB_PAGES: return replica->superblock.durable.checkpoint.root.checksum;
    }
    UNREACHABLE();
}

static void phase_next(struct replica *replica, struct output *output)
{
    struct scrub *scrub = &replica->scrub;
    scrub->position = 0;
    scrub->bytes = 0;
    if (scrub->phase == SCRUB_MAP && scrub->level > 1) {
        scrub->level--;
        return;
    }
    if (scrub->phase == SCRUB_PAGES) {
        scrub->phase = SCRUB_SUPERBLOCK;
        scrub->passes++;
        if (scrub->left != 0 && scrub->left == replica->stored.checkpoint.id.index)
            checkpoint_renew(replica);
        scrub->left = 0;
        output_event(output, EVENT_SCRUBBED, scrub->passes, scrub->mended);
        return;
    }
    scrub->phase++;
    scrub->level = scrub->phase == SCRUB_MAP ? map_root(&replica->limits) : 0;
}

static void unit_forget(struct scrub *scrub)
{
    scrub->bytes = 0;
    scrub->at = 0;
    scrub->by_blocks = false;
}

static void unit_next(struct replica *replica)
{
    struct scrub *scrub = &replica->scrub;
    const uint32_t block_bytes = unit_block_bytes(replica);
    ASSERT(block_bytes > 0);
    if (scrub->phase == SCRUB_BODY)
        scrub->position = wal_place(&replica->limits, scrub->position + scrub->bytes);
    else
        scrub->position += scrub->bytes / block_bytes;
    unit_forget(scrub);
}

/* ---- reading and writing ---- */

/* The entry of the map that says what the block should hold, in MAP and PAGES. */
static uint32_t entry_now(const struct replica *replica)
{
    return (uint32_t)replica->scrub.position + replica->scrub.at / replica->limits.page_bytes;
}

/* Of what is judged next. */
static uint64_t offset_now(const struct replica *replica)
{
    const struct scrub *scrub = &replica->scrub;
    const struct limits *limits = &replica->limits;
    switch ((enum scrub_phase)scrub->phase) {
    case SCRUB_SUPERBLOCK: return superblock_offset(limits, (uint32_t)scrub->position);
    case SCRUB_NAMES: return wal_header_offset(limits) + scrub->position * limits->block_bytes + scrub->at;
    case SCRUB_BODY: return wal_body_offset(limits) + scrub->position % wal_ring_bytes(limits) + scrub->at;
    case SCRUB_MAP:
    case SCRUB_PAGES:
        return (uint64_t)map_entry_const(replica, scrub->level, entry_now(replica))->block * limits->page_bytes;
    }
    UNREACHABLE();
}

static uint32_t device_now(const struct replica *replica)
{
    return replica->scrub.phase >= SCRUB_MAP ? DEVICE_DATA : DEVICE_WAL;
}

static void unit_emit(struct replica *replica, struct output *output, enum effect_kind kind, const uint8_t *bytes,
                      uint32_t count)
{
    struct scrub *scrub = &replica->scrub;
    scrub->in_flight = count;
    scrub->writing = kind == EFFECT_WRITE;
    scrub->submitted_ns = replica->now_ns;
    output_effect(output, &(struct effect){
                              .kind = kind,
                              .device = device_now(replica),
                              .op_id = wal_op_id((enum wal_operation)DATA_SCRUB, 0),
                              .offset = offset_now(replica),
                              .bytes = { .bytes = bytes, .count = count },
                          });
}

/* A small read wakes the driver, the disk and a core as a large one does. */
static uint64_t pace_ns(const struct replica *replica, uint32_t bytes)
{
    return u64_max((uint64_t)bytes * 1000000000 / 1024 / replica->limits.scrub_kib_per_second, SCRUB_PAUSE_NS);
}

/* May what the unit was when it was begun have changed since? */
static bool unit_is_stale(const struct replica *replica)
{
    const struct scrub *scrub = &replica->scrub;
    if (unit_version(replica) != scrub->seen)
        return true;
    if (scrub->phase == SCRUB_BODY)
        return scrub->position < replica->stored.head.lsn || replica->wal.resetting;
    return scrub->phase >= SCRUB_MAP && !data_is_quiet(replica);
}

/* A block that was written meanwhile is read again; what else is stale is not there any more. */
static void unit_give_up(struct replica *replica)
{
    if (replica->scrub.phase < SCRUB_BODY)
        unit_forget(&replica->scrub);
    else
        unit_next(replica);
}

void scrub_flush(struct replica *replica, struct output *output)
{
    struct scrub *scrub = &replica->scrub;
    if (scrub->in_flight != 0 || replica->now_ns < scrub->due_ns || replica->recovery.phase != RECOVERY_DONE)
        return;
    if (!output_room(output, 1, 0))
        return;
    if (scrub->bytes != 0 && unit_is_stale(replica))
        unit_give_up(replica);
    if (scrub->bytes == 0) {
        if (!unit_find(replica))
            phase_next(replica, output);
        scrub->seen = unit_version(replica);
    }
    if (scrub->bytes == 0) {
        scrub->due_ns = replica->now_ns + replica->config.heartbeat_interval_ns;
        return;
    }
    const uint32_t count = scrub->by_blocks ? unit_block_bytes(replica) : scrub->bytes - scrub->at;
    scrub->due_ns = replica->now_ns + pace_ns(replica, count);
    unit_emit(replica, output, EFFECT_READ, NULL, count);
}

uint64_t scrub_deadline(const struct replica *replica)
{
    const struct scrub *scrub = &replica->scrub;
    return scrub->in_flight != 0 || replica->recovery.phase != RECOVERY_DONE ? UINT64_MAX : scrub->due_ns;
}

uint64_t scrub_oldest_ns(const struct replica *replica)
{
    const struct scrub *scrub = &replica->scrub;
    return scrub->in_flight != 0 && scrub->writing ? scrub->submitted_ns : UINT64_MAX;
}

/* ---- judging ---- */

/* What is written from memory, or served from it, was not what it should be, and is so again. */
static void memory_mended(struct replica *replica, struct output *output)
{
    replica->scrub.memory_mended++;
    output_event(output, EVENT_MEMORY_MENDED, device_now(replica), offset_now(replica));
}

static bool superblock_is_right(const struct replica *replica, const uint8_t *copy)
{
    const struct slice bytes = { .bytes = copy, .count = unit_block_bytes(replica) };
    return copy != NULL && superblock_is(bytes, replica->superblock.hash);
}

/* A copy of the superblock is written again by its writer, when that has nothing newer to write. What it would write is
 * verified first: a bit of memory must not become all that the node is known by. */
static void superblock_judge(struct replica *replica, struct output *output, const uint8_t *block)
{
    struct superblock_writer *writer = &replica->superblock;
    ASSERT(writer->due == 0 && writer->in_flight == 0);
    uint8_t *memory = region_at(replica, replica->areas.wal_superblock);
    if (!superblock_is_right(replica, memory)) {
        if (superblock_is_right(replica, block))
            memcpy(memory, block, unit_block_bytes(replica));
        else
            superblock_renew(replica);
        memory_mended(replica, output);
        return;
    }
    if (block != NULL && memcmp(block, memory, unit_block_bytes(replica)) == 0)
        return;
    writer->due = 1u << replica->scrub.position;
    replica->scrub.mended++;
    output_event(output, EVENT_SUPERBLOCK_REPAIR, 1, 0);
}

/* The next name goes where the damaged block is: sequences may skip, and a slot is the sequence modulo the ring. But in
 * its first lap the ring has blocks that were never written, which are zero, and which recovery tells from lost ones by
 * the sequence: there the damaged block becomes zero, and one that was a name becomes one again, with the sequence that
 * it had; zeros would say that there never was one. True: it is being written. */
static bool name_judge(struct replica *replica, struct output *output, const uint8_t *block)
{
    struct wal *wal = &replica->wal;
    struct scrub *scrub = &replica->scrub;
    const uint32_t blocks = replica->limits.wal_header_blocks;
    const struct slice bytes = { .bytes = block, .count = replica->limits.block_bytes };
    struct wal_name_header name;
    if (block != NULL
        && (wal_name_decode(bytes, replica->config.cluster_id, &name) || bytes_are_zero(block, bytes.count)))
        return false;
    /* Names are being written: the ring comes around by itself. */
    if (wal->name_busy)
        return false;
    const uint64_t slot = scrub->position + scrub->at / bytes.count;
    const bool never_written = wal->name_sequence < blocks && (slot == 0 || slot > wal->name_sequence);
    if (wal->durable == 0 && !never_written)
        return false;
    if (wal->name_sequence < blocks) {
        uint8_t *right = region_at(replica, replica->areas.scrub_block);
        if (never_written)
            memset(right, 0, bytes.count);
        else
            wal_name_fill(replica, slot, right);
        scrub->mended++;
        output_event(output, EVENT_SCRUB_MENDED, DEVICE_WAL, offset_now(replica));
        unit_emit(replica, output, EFFECT_WRITE, right, bytes.count);
        return true;
    }
    const uint64_t ahead = (slot + blocks - wal->name_sequence % blocks) % blocks;
    wal->name_sequence += (ahead + blocks - 1) % blocks;
    wal->named = u64_min(wal->named, wal->durable - 1);
    wal->name_due_ns = replica->now_ns;
    scrub->mended++;
    output_event(output, EVENT_SCRUB_MENDED, DEVICE_WAL, offset_now(replica));
    scrub->bytes = scrub->at + bytes.count; /* of the others another name is the next */
    return false;
}

/* The batches of a unit are verified when it is found; until the last of them is read, memory has time to change. */
static const uint8_t *body_right(const struct replica *replica)
{
    const uint64_t lsn = replica->scrub.position + replica->scrub.at;
    for (uint64_t at = replica->scrub.position; at <= lsn;) {
        const uint32_t run = batch_bytes(replica, at);
        if (run == 0)
            return NULL;
        at += run;
    }
    return wal_mirror_const(replica, lsn);
}

static bool map_block_is(const struct replica *replica, uint32_t level, uint32_t at, const struct map_entry *entry,
                         const uint8_t *bytes)
{
    return map_block_checksum(replica, bytes, level, at) == entry->checksum
           && hash128_equal(map_block_hash(&replica->limits, bytes), entry->hash);
}

/* Is the map in memory what the superblock says, from its root down to this block? An entry that lies sends what it
 * describes where it does not belong. */
static bool map_is_right(const struct replica *replica, uint32_t level, uint32_t at)
{
    const struct map_entry *root = &replica->superblock.durable.checkpoint.root;
    for (; level < map_root(&replica->limits); level++) {
        if (!map_block_is(replica, level, at, map_entry_const(replica, level, at), map_block_const(replica, level, at)))
            return false;
        at /= map_fanout(&replica->limits);
    }
    return map_block_is(replica, level, 0, root, map_block_const(replica, level, 0))
           && memcmp(map_entry_const(replica, level, 0), root, sizeof *root) == 0;
}

/* What a read brought may be wrong only this time: before something counts as lost its block is read once more. */
static bool read_again(struct scrub *scrub)
{
    const bool again = !scrub->by_blocks;
    scrub->by_blocks = true;
    return again;
}

/* The root of the map lies beside it, and in the superblock as well. True: it lied, and so did what was read there. */
static bool root_judge(struct replica *replica, struct output *output)
{
    const struct map_entry *right = &replica->superblock.durable.checkpoint.root;
    const uint32_t level = map_root(&replica->limits);
    struct map_entry *root = map_entry(replica, level, 0);
    const uint8_t *below = map_block_const(replica, level, 0);
    const bool outvoted =
        map_block_is(replica, level, 0, root, below) && !map_block_is(replica, level, 0, right, below);
    if (memcmp(root, right, sizeof *root) == 0 || outvoted)
        return false;
    memory_mended(replica, output);
    *root = *right;
    return true;
}

/* What should be written over the block that was read; NULL: nothing, or not this node's to say. */
static const uint8_t *map_judge(struct replica *replica, struct output *output, const uint8_t *block)
{
    struct scrub *scrub = &replica->scrub;
    const uint32_t level = scrub->level, at = entry_now(replica), root = map_root(&replica->limits);
    if (map_is_dirty(replica, level, at) || (level == root && root_judge(replica, output)))
        return NULL;
    uint8_t *memory = map_block(replica, level, at);
    if (map_is_right(replica, level, at))
        return memory;
    /* What lies above was judged before this, and will be again. */
    const struct map_entry *entry = map_entry_const(replica, level, at);
    if (level < root ? !map_is_right(replica, level + 1, at / map_fanout(&replica->limits))
                     : memcmp(entry, &replica->superblock.durable.checkpoint.root, sizeof *entry) != 0)
        return NULL;
    if (block != NULL && map_block_is(replica, level, at, entry, block)) {
        memcpy(memory, block, replica->limits.page_bytes);
        memory_mended(replica, output);
    } else if (!read_again(scrub)) {
        /* The pages below are whole, and who has them is not known any more. */
        replica_stop(replica, output, STOP_MEMORY_DAMAGED, offset_now(replica));
    }
    return NULL;
}

static const uint8_t *page_judge(struct replica *replica, struct output *output, const uint8_t *block)
{
    struct scrub *scrub = &replica->scrub;
    const uint32_t at = entry_now(replica);
    if (map_wanted(replica, 0, at))
        return NULL;
    const struct hash128 hash = map_entry_const(replica, 0, at)->hash;
    uint8_t *memory = page_raw(replica, at);
    const uint32_t above = at / map_fanout(&replica->limits);
    if (hash128_equal(map_page_hash(replica, memory), hash)) {
        const bool same = block != NULL && memcmp(block, memory, replica->limits.page_bytes) == 0;
        return !same && map_is_right(replica, 1, above) ? memory : NULL;
    }
    const bool disk_right = block != NULL && hash128_equal(map_page_hash(replica, block), hash);
    if (checkpoint_page_dirty(replica, at)) {
        scrub->left = disk_right ? scrub->left : replica->stored.checkpoint.id.index;
    } else if (disk_right) {
        memcpy(memory, block, replica->limits.page_bytes);
        memory_mended(replica, output);
    } else if (map_is_right(replica, 1, above) && !read_again(scrub)) {
        store_lose(replica, output, at);
    }
    return NULL;
}

/* One block was read, or cannot be (NULL). */
enum judgement {
    JUDGED,
    JUDGED_WRITING, /* it is being written again */
    JUDGED_LATER,   /* it is read again, or nothing is judged any more */
};

static enum judgement block_judge(struct replica *replica, struct output *output, const uint8_t *block)
{
    struct scrub *scrub = &replica->scrub;
    const uint32_t bytes = unit_block_bytes(replica);
    const bool by_blocks = scrub->by_blocks;
    const uint8_t *right = NULL;
    switch ((enum scrub_phase)scrub->phase) {
    case SCRUB_SUPERBLOCK: superblock_judge(replica, output, block); return JUDGED;
    case SCRUB_NAMES: return name_judge(replica, output, block) ? JUDGED_WRITING : JUDGED;
    case SCRUB_BODY: right = wal_mirror_const(replica, scrub->position + scrub->at); break;
    case SCRUB_MAP: right = map_judge(replica, output, block); break;
    case SCRUB_PAGES: right = page_judge(replica, output, block); break;
    }
    if (replica->role == RAFT_STOPPED || scrub->by_blocks != by_blocks
        || (scrub->phase >= SCRUB_MAP && !data_is_quiet(replica)))
        return JUDGED_LATER;
    if (right == NULL || (block != NULL && memcmp(block, right, bytes) == 0))
        return JUDGED;
    if (scrub->phase == SCRUB_BODY && body_right(replica) == NULL)
        return JUDGED;
    uint8_t *copy = region_at(replica, replica->areas.scrub_block);
    memcpy(copy, right, bytes);
    scrub->mended++;
    output_event(output, EVENT_SCRUB_MENDED, device_now(replica), offset_now(replica));
    unit_emit(replica, output, EFFECT_WRITE, copy, bytes);
    return JUDGED_WRITING;
}

static void scrub_read(struct replica *replica, struct output *output, const struct input *input)
{
    struct scrub *scrub = &replica->scrub;
    const uint32_t block_bytes = unit_block_bytes(replica);
    const uint32_t count = scrub->in_flight;
    scrub->in_flight = 0;
    scrub->submitted_ns = 0;
    if (unit_is_stale(replica)) {
        unit_give_up(replica);
        return;
    }
    if (input->result != DISK_OK && count > block_bytes) {
        scrub->by_blocks = true;
        return;
    }
    const uint8_t *bytes = input->result == DISK_OK ? input->bytes.bytes : NULL;
    for (uint32_t done = 0; done < count; done += block_bytes) {
        if (block_judge(replica, output, bytes != NULL ? bytes + done : NULL) != JUDGED)
            return;
        scrub->at += block_bytes;
        if (scrub->at == scrub->bytes)
            break;
    }
    if (scrub->at == scrub->bytes)
        unit_next(replica);
}

void scrub_completed(struct replica *replica, struct output *output, const struct input *input)
{
    struct scrub *scrub = &replica->scrub;
    ASSERT(scrub->in_flight > 0);
    if (!scrub->writing) {
        scrub_read(replica, output, input);
        return;
    }
    if (input->result != DISK_OK) {
        replica_stop(replica, output, STOP_WRITE_FAILED, (uint64_t)input->result);
        return;
    }
    scrub->writing = false;
    scrub->in_flight = 0;
    scrub->submitted_ns = 0;
    scrub->at += unit_block_bytes(replica);
    if (scrub->at == scrub->bytes)
        unit_next(replica);
}

/* Dirty pages, the shadow pool, and the writer that makes a checkpoint durable; see checkpoint.h. */
#include "checkpoint.h"

#include "kv.h"
#include "output.h"
#include "page.h"
#include "state.h"
#include "tree.h"

/* Words of a set that one step looks at for the next member. */
enum { SCAN_WORDS = 256 };
#define NS_PER_SECOND 1000000000ULL
/* So far ahead of its pace is the writer allowed to be. */
#define AHEAD_NS 1000000

struct hash128 checkpoint_hash(struct log_id id, struct hash128 root_hash)
{
    const struct {
        struct log_id id;
        struct hash128 root_hash;
    } named = { .id = id, .root_hash = root_hash };
    STATIC_ASSERT(sizeof named == 32, "no padding");
    return checksum128(&named, sizeof named, 0);
}

/* ---- the sets, and the shadow pool ---- */

static uint64_t *dirty_set(struct replica *replica)
{
    return region_at(replica, replica->areas.dirty[1 - replica->checkpoint.frozen_set]);
}

static uint64_t *frozen_set(struct replica *replica)
{
    return region_at(replica, replica->areas.dirty[replica->checkpoint.frozen_set]);
}

static uint8_t *shadow_bytes(struct replica *replica, uint32_t slot)
{
    ASSERT(slot < replica->limits.shadow_pages_max);
    return (uint8_t *)region_at(replica, replica->areas.shadow) + (size_t)slot * replica->limits.page_bytes;
}

/* The page in each slot, plus 1; 0: none. */
static uint32_t *shadow_pages(struct replica *replica) { return region_at(replica, replica->areas.shadow_page); }

static void shadow_keep(struct replica *replica, uint32_t page)
{
    struct checkpoint_writer *writer = &replica->checkpoint;
    ASSERT(writer->shadow_count < replica->limits.shadow_pages_max);
    ASSERT(writer->frozen_count > 0);
    const uint32_t slot = writer->shadow_count++;
    memcpy(shadow_bytes(replica, slot), page_raw_const(replica, page), replica->limits.page_bytes);
    shadow_pages(replica)[slot] = page + 1;
    writer->frozen_count--;
}

void checkpoint_touch(struct replica *replica, uint32_t page)
{
    ASSERT(page < replica->limits.pages_max);
    ASSERT(!checkpoint_page_dirty(replica, page));
    set_put(dirty_set(replica), page, true);
    replica->checkpoint.dirty_count++;
    if (set_has(frozen_set(replica), page))
        shadow_keep(replica, page);
}

void checkpoint_clean(struct replica *replica, uint32_t page)
{
    ASSERT(page < replica->limits.pages_max);
    ASSERT(replica->checkpoint.frozen_count == 0 && replica->checkpoint.shadow_count == 0);
    if (!checkpoint_page_dirty(replica, page))
        return;
    set_put(dirty_set(replica), page, false);
    replica->checkpoint.dirty_count--;
}

uint32_t checkpoint_next_dirty(const struct replica *replica, uint32_t page, uint32_t words)
{
    const uint64_t *set = region_at_const(replica, replica->areas.dirty[1 - replica->checkpoint.frozen_set]);
    return set_next(set, page, replica->limits.pages_max, words);
}

/* Pages that one entry may change: of every write the way down the tree, a new or a merged node beside each, a new
 * root, the old chain and the new one; and once the root, the bitmap and the sessions. */
static uint32_t pages_per_entry(const struct limits *limits)
{
    const uint32_t chain_bytes = limits->page_bytes - (uint32_t)sizeof(struct kv_chain_header);
    const uint32_t chain = (limits->value_bytes_max + chain_bytes - 1) / chain_bytes;
    const uint32_t write = 2 * TREE_HEIGHT_MAX + 1 + 2 * chain;
    return page_fixed_count(limits) + u32_max(1, limits->txn_writes_max) * write;
}

bool checkpoint_has_room(const struct replica *replica)
{
    const struct checkpoint_writer *writer = &replica->checkpoint;
    const uint32_t room = replica->limits.shadow_pages_max - writer->shadow_count;
    return writer->frozen_count <= room || pages_per_entry(&replica->limits) <= room;
}

/* ---- beginning ---- */

bool checkpoint_is_idle(const struct replica *replica) { return replica->checkpoint.phase == CHECKPOINT_IDLE; }

bool checkpoint_gives_up(const struct replica *replica)
{
    return !checkpoint_is_idle(replica) && replica->checkpoint.partial;
}

bool checkpoint_is_due(const struct replica *replica)
{
    const struct checkpoint_writer *writer = &replica->checkpoint;
    const struct limits *limits = &replica->limits;
    ASSERT(replica->log.last.index >= writer->next.id.index);
    return replica->log.last.index - writer->next.id.index >= limits->checkpoint_entries
           || replica->wal.tail - writer->frozen_lsn >= (uint64_t)limits->checkpoint_wal_blocks * limits->block_bytes;
}

static void checkpoint_begin(struct replica *replica, struct log_id id, enum checkpoint_phase phase)
{
    struct checkpoint_writer *writer = &replica->checkpoint;
    ASSERT(checkpoint_is_idle(replica));
    ASSERT(writer->frozen_count == 0 && writer->shadow_count == 0);
    writer->phase = phase;
    writer->page_next = 0;
    writer->level = 1;
    writer->at = 0;
    writer->settle_next = 0;
    writer->pages = 0;
    writer->adopted = phase == CHECKPOINT_MAP;
    writer->partial = false;
    writer->renewal_due = false;
    writer->pages_frozen = 0;
    writer->frozen_lsn = replica->wal.tail;
    writer->frozen_ns = replica->now_ns;
    writer->due_ns = UINT64_MAX;
    writer->next = (struct checkpoint){ .id = id };
    replica->wants_tick = true;
}

void checkpoint_freeze(struct replica *replica, struct output *output, struct log_id id)
{
    struct checkpoint_writer *writer = &replica->checkpoint;
    ASSERT(id.index > replica->stored.checkpoint.id.index);
    checkpoint_begin(replica, id, CHECKPOINT_PAGES);
    writer->frozen_set = 1 - writer->frozen_set;
    writer->frozen_count = writer->dirty_count;
    writer->pages_frozen = writer->dirty_count;
    writer->dirty_count = 0;
    output_event(output, EVENT_CHECKPOINT_FROZEN, id.index, writer->frozen_count);
}

/* Has the log no room for another command of a client? Of its reserve there may be some left. */
static bool log_is_full(const struct replica *replica)
{
    const struct limits *limits = &replica->limits;
    return !wal_has_room(replica, limits_command_bytes_max(limits), limits->wal_reserve_blocks);
}

void checkpoint_relieve(struct replica *replica, struct output *output)
{
    if (!checkpoint_is_idle(replica) || !store_is_ready(replica)
        || replica->applied <= replica->stored.checkpoint.id.index)
        return;
    const bool full = log_is_full(replica);
    if (!full && !replica->checkpoint.renewal_due && !wal_head_is_due(replica))
        return;
    const struct log_id id = { .term = log_term(replica, replica->applied), .index = replica->applied };
    output_event(output, full ? EVENT_CHECKPOINT_RELIEF : EVENT_CHECKPOINT_RENEW, id.index, 0);
    checkpoint_freeze(replica, output, id);
}

void checkpoint_renew(struct replica *replica)
{
    replica->checkpoint.renewal_due = true;
    replica->wants_tick = true;
}

void checkpoint_adopt(struct replica *replica, struct log_id id, bool partial)
{
    ASSERT(id.index >= replica->stored.checkpoint.id.index);
    checkpoint_begin(replica, id, CHECKPOINT_MAP);
    replica->checkpoint.partial = partial;
}

/* ---- runs ---- */

static uint32_t run_blocks_max(const struct replica *replica)
{
    return replica->limits.data_run_bytes_max / replica->limits.page_bytes;
}

/* The block behind those of the run. 0: it has no place there, or none was found in this step. */
static uint32_t run_extend(struct replica *replica, struct checkpoint_run *run, uint32_t use)
{
    const uint32_t block =
        run->count == 0 ? block_allocate(replica, use) : block_take(replica, run->first_block + run->count, use);
    if (block == 0)
        return 0;
    if (run->count == 0)
        run->first_block = block;
    run->count++;
    return block;
}

static void run_emit(struct replica *replica, struct output *output, uint32_t slot, const uint8_t *bytes)
{
    struct checkpoint_run *run = &replica->checkpoint.runs[slot];
    const uint32_t page_bytes = replica->limits.page_bytes;
    ASSERT(run->count <= run_blocks_max(replica));
    run->submitted_ns = replica->now_ns;
    for (uint32_t at = 0; at < run->count; at++)
        ASSERT(block_is_fresh(replica, run->first_block + at));
    output_effect(output, &(struct effect){
                              .kind = EFFECT_WRITE,
                              .device = DEVICE_DATA,
                              .op_id = wal_op_id((enum wal_operation)DATA_WRITE, slot),
                              .offset = (uint64_t)run->first_block * page_bytes,
                              .bytes = { .bytes = bytes, .count = run->count * page_bytes },
                          });
}

/* A slot for the next run; CHECKPOINT_DEPTH_MAX: all are in flight, or the output is full. */
static uint32_t run_free(struct replica *replica, const struct output *output)
{
    const struct checkpoint_writer *writer = &replica->checkpoint;
    for (uint32_t slot = 0; slot < replica->limits.data_depth; slot++) {
        if (writer->runs[slot].count > 0)
            continue;
        if (output_room(output, 1, 0))
            return slot;
        replica->wants_tick = true;
        break;
    }
    return CHECKPOINT_DEPTH_MAX;
}

static bool runs_idle(const struct replica *replica)
{
    for (uint32_t slot = 0; slot < CHECKPOINT_DEPTH_MAX; slot++)
        if (replica->checkpoint.runs[slot].count > 0)
            return false;
    return true;
}

uint64_t checkpoint_oldest_ns(const struct replica *replica)
{
    uint64_t oldest_ns = UINT64_MAX;
    for (uint32_t slot = 0; slot < CHECKPOINT_DEPTH_MAX; slot++)
        if (replica->checkpoint.runs[slot].count > 0)
            oldest_ns = u64_min(oldest_ns, replica->checkpoint.runs[slot].submitted_ns);
    return oldest_ns;
}

void checkpoint_written(struct replica *replica, struct output *output, uint64_t op_id, enum disk_result result)
{
    const uint64_t slot = wal_detail_of(op_id);
    ASSERT(slot < CHECKPOINT_DEPTH_MAX && replica->checkpoint.runs[slot].count > 0);
    if (result != DISK_OK) {
        replica_stop(replica, output, STOP_WRITE_FAILED, (uint64_t)result);
        return;
    }
    replica->checkpoint.runs[slot] = (struct checkpoint_run){ .count = 0 };
}

/* ---- pages ---- */

uint8_t *checkpoint_run_buffer(struct replica *replica, uint32_t slot)
{
    return (uint8_t *)region_at(replica, replica->areas.data_runs) + (size_t)slot * replica->limits.data_run_bytes_max;
}

/* Takes a frozen page into the run, if there is anything to write. False: it must be the first of another run. */
static bool page_gather(struct replica *replica, uint32_t slot, uint32_t page, const uint8_t *bytes)
{
    struct checkpoint_run *run = &replica->checkpoint.runs[slot];
    struct map_entry *entry = map_entry(replica, 0, page);
    const struct map_entry now = { .hash = map_page_hash(replica, bytes) };
    ASSERT(set_has(frozen_set(replica), page));
    /* What changed and changed back lies where it lay. */
    if (!hash128_equal(now.hash, entry->hash)) {
        uint32_t block = 0;
        if (!map_entry_is_zero(&now)) {
            uint8_t *to = checkpoint_run_buffer(replica, slot) + (size_t)run->count * replica->limits.page_bytes;
            block = run_extend(replica, run, page + 1);
            if (block == 0)
                return false;
            memcpy(to, bytes, replica->limits.page_bytes);
            replica->checkpoint.pages++;
            replica->checkpoint.pages_written++;
        }
        block_release(replica, entry->block);
        *entry = (struct map_entry){ .hash = now.hash, .block = block };
        map_set_dirty(replica, 1, page / map_fanout(&replica->limits), true);
    }
    set_put(frozen_set(replica), page, false);
    return true;
}

/* The page of the last slot in use. */
static bool shadow_gather(struct replica *replica, uint32_t slot)
{
    struct checkpoint_writer *writer = &replica->checkpoint;
    const uint32_t last = writer->shadow_count - 1;
    uint32_t *page = &shadow_pages(replica)[last];
    ASSERT(*page != 0);
    if (!page_gather(replica, slot, *page - 1, shadow_bytes(replica, last)))
        return false;
    *page = 0;
    writer->shadow_count--;
    return true;
}

/* The next frozen page as it is. False also when none was found, or there is none. */
static bool frozen_gather(struct replica *replica, uint32_t slot)
{
    struct checkpoint_writer *writer = &replica->checkpoint;
    const uint32_t pages_max = replica->limits.pages_max;
    const uint32_t page = set_next(frozen_set(replica), writer->page_next, pages_max, SCAN_WORDS);
    writer->page_next = page;
    if (page == pages_max || !set_has(frozen_set(replica), page)
        || !page_gather(replica, slot, page, page_raw_const(replica, page)))
        return false;
    writer->page_next = page + 1;
    writer->frozen_count--;
    return true;
}

/* Fills a run; hashes no more pages than it could hold. What lies in the shadow pool goes first, whatever its number:
 * any block is as good as another, and so the pool fills only while pages change faster than they are written. */
static void pages_gather(struct replica *replica, uint32_t slot)
{
    bool more = true;
    for (uint32_t hashed = 0; more && hashed < run_blocks_max(replica); hashed++)
        more = replica->checkpoint.shadow_count > 0 ? shadow_gather(replica, slot) : frozen_gather(replica, slot);
}

/* Pages that should be written by now, as the log has grown since the freeze. */
static uint64_t pages_due_by_log(const struct replica *replica)
{
    const struct checkpoint_writer *writer = &replica->checkpoint;
    const struct limits *limits = &replica->limits;
    const uint64_t bytes = replica->wal.tail - writer->frozen_lsn;
    const uint64_t entries = replica->log.last.index - writer->next.id.index;
    const uint64_t half_bytes = (uint64_t)limits->checkpoint_wal_blocks * limits->block_bytes / 2;
    return u64_max(writer->pages_frozen * bytes / half_bytes,
                   writer->pages_frozen * entries / u64_max(1, limits->checkpoint_entries / 2));
}

/* May the next run be written, or is it too early? Half a pool of copies is a reason to hurry, too, and so is a full
 * log: it cannot grow, so it says nothing of what is due, and clients are refused until this is over. */
static bool pages_are_due(struct replica *replica)
{
    struct checkpoint_writer *writer = &replica->checkpoint;
    const uint64_t done = writer->pages_frozen - writer->frozen_count - writer->shadow_count;
    const uint64_t bytes_per_second = (uint64_t)replica->limits.checkpoint_kib_per_second * 1024;
    const uint64_t due_ns = writer->frozen_ns + done * replica->limits.page_bytes * NS_PER_SECOND / bytes_per_second;
    writer->due_ns = UINT64_MAX;
    if (due_ns <= replica->now_ns + AHEAD_NS || done <= pages_due_by_log(replica)
        || writer->shadow_count > replica->limits.shadow_pages_max / 2 || log_is_full(replica))
        return true;
    writer->due_ns = due_ns - AHEAD_NS;
    return false;
}

uint64_t checkpoint_deadline(const struct replica *replica)
{
    return replica->checkpoint.phase == CHECKPOINT_PAGES ? replica->checkpoint.due_ns : UINT64_MAX;
}

/* True when every frozen page is written or in flight. */
static bool checkpoint_write_pages(struct replica *replica, struct output *output)
{
    struct checkpoint_writer *writer = &replica->checkpoint;
    for (uint32_t runs = 0; runs < replica->limits.data_depth; runs++) {
        const uint32_t slot = run_free(replica, output);
        if (slot == CHECKPOINT_DEPTH_MAX || !pages_are_due(replica))
            return false;
        pages_gather(replica, slot);
        if (writer->runs[slot].count > 0)
            run_emit(replica, output, slot, checkpoint_run_buffer(replica, slot));
        if (writer->page_next == replica->limits.pages_max)
            return true;
    }
    replica->wants_tick =
        replica->wants_tick || (run_free(replica, output) < CHECKPOINT_DEPTH_MAX && pages_are_due(replica));
    return false;
}

/* ---- the map ---- */

static bool map_block_gather(struct replica *replica, uint32_t slot, uint32_t level, uint32_t at)
{
    struct map_entry *entry = map_entry(replica, level, at);
    const uint8_t *bytes = map_block_const(replica, level, at);
    struct map_entry now = { .hash = map_block_hash(&replica->limits, bytes) };
    if (!map_entry_is_zero(&now)) {
        now.block = run_extend(replica, &replica->checkpoint.runs[slot], BLOCK_MAP);
        if (now.block == 0)
            return false;
        now.checksum = map_block_checksum(replica, bytes, level, at);
    }
    block_release(replica, entry->block);
    *entry = now;
    map_set_dirty(replica, level, at, false);
    if (level < map_root(&replica->limits))
        map_set_dirty(replica, level + 1, at / map_fanout(&replica->limits), true);
    return true;
}

/* Fills a run with map blocks that lie one behind the other; where it begins in the level, *first. */
static void map_gather(struct replica *replica, uint32_t slot, uint32_t *first)
{
    struct checkpoint_writer *writer = &replica->checkpoint;
    const struct checkpoint_run *run = &writer->runs[slot];
    const uint32_t count = map_count(&replica->limits, writer->level);
    for (uint32_t hashed = 0; hashed < run_blocks_max(replica); hashed++) {
        const uint32_t at = map_next_dirty(replica, writer->level, writer->at, SCAN_WORDS);
        writer->at = at;
        if (at == count || !map_is_dirty(replica, writer->level, at))
            return;
        if (run->count > 0 && at != *first + run->count)
            return;
        *first = run->count == 0 ? at : *first;
        if (!map_block_gather(replica, slot, writer->level, at))
            return;
        writer->at = at + 1;
    }
}

/* True when every map block that had to be is written or in flight. A level is done before the next begins, since its
 * entries are what the next one writes. */
static bool checkpoint_write_map(struct replica *replica, struct output *output)
{
    struct checkpoint_writer *writer = &replica->checkpoint;
    const uint32_t root = map_root(&replica->limits);
    for (uint32_t runs = 0; runs < replica->limits.data_depth + root; runs++) {
        const uint32_t slot = run_free(replica, output);
        uint32_t first = 0;
        if (slot == CHECKPOINT_DEPTH_MAX)
            return false;
        map_gather(replica, slot, &first);
        if (writer->runs[slot].count > 0)
            run_emit(replica, output, slot, map_block_const(replica, writer->level, first));
        if (writer->at == map_count(&replica->limits, writer->level)) {
            writer->at = 0;
            writer->level++;
        }
        if (writer->level > root)
            return true;
    }
    replica->wants_tick = true;
    return false;
}

/* ---- making it count ---- */

/* True when the superblock in memory names the checkpoint. Everything it needs is durable before: what it names on
 * device 1, and the log up to the marker, so that a log never ends before the checkpoint that it continues. */
static bool checkpoint_name(struct replica *replica)
{
    struct checkpoint_writer *writer = &replica->checkpoint;
    if (!runs_idle(replica))
        return false;
    if (!writer->adopted && replica->wal.durable_index < writer->next.id.index)
        return false;
    /* What the scrub is still writing again must not be where the ring goes on, once the head has passed it. */
    if (replica->scrub.writing && replica->scrub.phase == SCRUB_BODY)
        return false;
    /* When the log has to begin anew, the last writes of the old one are waited for: their completions bring the next
     * step. */
    if (!wal_head_search(replica, writer->next.id))
        return false;
    writer->next.root = *map_entry_const(replica, map_root(&replica->limits), 0);
    writer->next.hash = checkpoint_hash(writer->next.id, writer->next.root.hash);
    replica->stored.checkpoint = writer->next;
    replica->stored.flags &= ~(uint64_t)STORED_PARTIAL;
    if (writer->partial)
        replica->stored.flags |= STORED_PARTIAL;
    /* The log gives up a gap that may have held configurations: the pages say which one is the latest. */
    if (members_may_be_lost(replica) && log_lost(replica) <= writer->next.id.index) {
        ASSERT(writer->adopted);
        replica->stored.flags |= STORED_STRANGER;
    }
    return true;
}

static bool checkpoint_is_durable(const struct replica *replica)
{
    const struct stored *durable = &replica->superblock.durable;
    return memcmp(&durable->checkpoint, &replica->checkpoint.next, sizeof durable->checkpoint) == 0
           && memcmp(&durable->head, &replica->stored.head, sizeof durable->head) == 0
           && ((durable->flags & STORED_PARTIAL) != 0) == replica->checkpoint.partial;
}

/* True when the phase is over. */
static bool checkpoint_advance(struct replica *replica, struct output *output)
{
    struct checkpoint_writer *writer = &replica->checkpoint;
    switch ((enum checkpoint_phase)writer->phase) {
    case CHECKPOINT_IDLE: return false;
    case CHECKPOINT_PAGES: return checkpoint_write_pages(replica, output);
    case CHECKPOINT_MAP: return checkpoint_write_map(replica, output);
    case CHECKPOINT_HEAD: return checkpoint_name(replica);
    case CHECKPOINT_SUPERBLOCK:
        if (!checkpoint_is_durable(replica))
            return false;
        wal_head_advance(replica);
        return true;
    case CHECKPOINT_RETIRE:
        /* What the scrub is still writing again must not become somebody else's. */
        if (replica->scrub.in_flight > 0 && replica->scrub.writing)
            return false;
        if (block_settle(replica, &writer->settle_next))
            return true;
        replica->wants_tick = true;
        return false;
    }
    UNREACHABLE();
}

void checkpoint_flush(struct replica *replica, struct output *output)
{
    struct checkpoint_writer *writer = &replica->checkpoint;
    while (checkpoint_advance(replica, output)) {
        if (writer->phase == CHECKPOINT_PAGES)
            ASSERT(writer->frozen_count == 0 && writer->shadow_count == 0);
        if (writer->phase == CHECKPOINT_RETIRE) {
            writer->phase = CHECKPOINT_IDLE;
            output_event(output, EVENT_CHECKPOINT, writer->next.id.index, writer->pages);
            replica->wants_tick = true; /* the next marker may wait */
            return;
        }
        writer->phase++;
    }
}

const char *checkpoint_invariant(const struct replica *replica)
{
    const struct checkpoint_writer *writer = &replica->checkpoint;
    const struct limits *limits = &replica->limits;
    if (writer->dirty_count > limits->pages_max || writer->frozen_count > limits->pages_max)
        return "dirty and frozen pages within the pages";
    if (writer->shadow_count > limits->shadow_pages_max)
        return "shadow pool within shadow_pages_max";
    if (writer->blocks_used >= limits->data_blocks)
        return "blocks in use within data_blocks";
    if (writer->phase != CHECKPOINT_PAGES && writer->frozen_count + writer->shadow_count > 0)
        return "pages are frozen only while they are written";
    if (checkpoint_is_idle(replica) && !runs_idle(replica))
        return "an idle checkpoint has no write in flight";
    if (replica->store.state == STORE_READY && writer->next.id.index > replica->applied)
        return "a checkpoint of what is applied";
    return NULL;
}

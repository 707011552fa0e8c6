/* Loading a checkpoint into memory; see store.h. */
#include "store.h"

#include "output.h"
#include "page.h"
#include "state.h"

/* Entries or pages that one step looks at for the next thing to do. */
enum { SCAN_MAX = 256, CLEAR_MAX = 64, CLEAR_WORDS = 256 };

bool store_is_ready(const struct replica *replica) { return replica->store.state == STORE_READY; }

bool store_prefetch(const struct replica *replica, const struct entry *entry)
{
    ASSERT(entry->kind == ENTRY_COMMAND || entry->kind == ENTRY_CONFIG);
    return store_is_ready(replica);
}

bool store_page_damaged(const struct replica *replica, uint32_t page) { return map_wanted(replica, 0, page); }

void store_set_damaged(struct replica *replica, uint32_t page, bool damaged)
{
    if (store_page_damaged(replica, page) == damaged)
        return;
    map_set_wanted(replica, 0, page, damaged);
    replica->store.pages_damaged += damaged ? 1 : 0;
}

static bool reads_idle(const struct replica *replica)
{
    for (uint32_t slot = 0; slot < STORE_READS_MAX; slot++)
        if (replica->store.reads[slot].count > 0)
            return false;
    return true;
}

static void damaged(struct replica *replica, struct output *output, uint32_t level, uint32_t at)
{
    if (level == 0)
        store_set_damaged(replica, at, true);
    else
        map_set_wanted(replica, level, at, true);
    replica->store.map_damaged = replica->store.map_damaged || level > 0;
    if (!replica->store.again)
        output_event(output, EVENT_PAGE_DAMAGED, at, level);
}

/* What an entry of the map says is there: its block belongs to it, and its page is not what memory holds. An entry
 * without a block is one that an install has not got yet; a block that cannot be its own is damage. */
static void store_claim(struct replica *replica, struct output *output, uint32_t level, uint32_t at)
{
    struct map_entry *entry = map_entry(replica, level, at);
    if (map_entry_is_zero(entry))
        return;
    if (!block_claim(replica, entry->block, level == 0 ? at + 1 : BLOCK_MAP)) {
        entry->block = 0;
        damaged(replica, output, level, at);
    }
    if (level == 0 && !checkpoint_page_dirty(replica, at))
        checkpoint_touch(replica, at);
}

/* From where on the log counts towards the next checkpoint: behind the entry of this one, as if nothing had been
 * restarted, or where the log begins if it has not got that. */
static uint64_t checkpoint_lsn(const struct replica *replica)
{
    const uint64_t index = replica->stored.checkpoint.id.index;
    if (index <= replica->log.base.index || index > replica->log.last.index || !log_readable(replica, index))
        return replica->stored.head.lsn;
    return u64_min(log_entry_lsn(replica, index), replica->wal.tail);
}

void store_load(struct replica *replica, struct output *output, bool map_known)
{
    struct store *store = &replica->store;
    const uint32_t root = map_root(&replica->limits);
    ASSERT(checkpoint_is_idle(replica));
    ASSERT(reads_idle(replica));
    *store = (struct store){ .loaded = store->loaded };
    if (replica->stored.checkpoint.id.index == 0) {
        store->state = STORE_READY;
        return;
    }
    replica->wants_tick = true;
    replica->checkpoint.next = replica->stored.checkpoint;
    replica->checkpoint.frozen_lsn = checkpoint_lsn(replica);
    store->phase = STORE_CLEAR;
    if (map_known)
        return;
    store->phase = STORE_MAP;
    store->level = root;
    *map_entry(replica, root, 0) = replica->stored.checkpoint.root;
    store_claim(replica, output, root, 0);
}

void store_load_again(struct replica *replica, struct output *output)
{
    ASSERT(replica->store.state == STORE_DAMAGED && !replica->store.map_damaged);
    ASSERT(replica->install.wanted_blocks == 0 && replica->install.wanted_pages <= STORE_AGAIN_MAX);
    const uint32_t pages_max = replica->limits.pages_max;
    const uint32_t words = pages_max / 64 + 1;
    uint32_t nowhere = 0; /* their blocks were not their own */
    for (uint32_t page = 0; (page = map_next_wanted(replica, 0, page, words)) < pages_max; page++) {
        if (map_entry_const(replica, 0, page)->block != 0)
            store_set_damaged(replica, page, false);
        else
            nowhere++;
    }
    store_load(replica, output, true);
    replica->store.pages_damaged = nowhere;
    replica->store.again = true;
}

/* ---- what to read next ---- */

/* The next map block of the level, and of the levels below when nothing is in flight any more. */
static bool map_next(struct replica *replica, struct store_read *read)
{
    struct store *store = &replica->store;
    for (uint32_t done = 0; done < SCAN_MAX; done++) {
        if (store->next == map_count(&replica->limits, store->level)) {
            if (!reads_idle(replica))
                return false;
            store->next = 0;
            store->level--;
            if (store->level > 0)
                continue;
            store->phase = STORE_CLEAR;
            break;
        }
        const uint32_t at = store->next++;
        const struct map_entry *entry = map_entry_const(replica, store->level, at);
        if (map_entry_is_zero(entry) || map_wanted(replica, store->level, at))
            continue;
        *read = (struct store_read){ .first_block = entry->block, .count = 1, .at = at };
        return true;
    }
    replica->wants_tick = true;
    return false;
}

static void pages_clear(struct replica *replica)
{
    struct store *store = &replica->store;
    const uint32_t pages_max = replica->limits.pages_max;
    for (uint32_t done = 0; done < CLEAR_MAX && store->next < pages_max; done++) {
        const uint32_t page = checkpoint_next_dirty(replica, store->next, CLEAR_WORDS);
        store->next = page;
        if (page == pages_max || !checkpoint_page_dirty(replica, page))
            break;
        store->next = page + 1;
        if (!map_entry_is_zero(map_entry_const(replica, 0, page)))
            continue;
        memset(page_raw(replica, page), 0, replica->limits.page_bytes);
        checkpoint_clean(replica, page);
    }
    replica->wants_tick = true;
    if (store->next < pages_max)
        return;
    store->phase = STORE_PAGES;
    store->next = 1;
}

/* Does the block hold a page that memory does not have, and that is not known to be lost? */
static bool block_is_missing(const struct replica *replica, uint32_t block)
{
    const uint32_t use = block_use(replica, block);
    if (use == BLOCK_FREE || use > replica->limits.pages_max)
        return false;
    return checkpoint_page_dirty(replica, use - 1) && !store_page_damaged(replica, use - 1);
}

static bool pages_next(struct replica *replica, struct store_read *read)
{
    struct store *store = &replica->store;
    const uint32_t end = u32_min(replica->limits.data_blocks, store->next + BLOCK_SCAN_MAX);
    while (store->next < end && !block_is_missing(replica, store->next))
        store->next++;
    const uint32_t first = store->next;
    const uint32_t count_max =
        first < store->by_blocks_end ? 1 : replica->limits.data_run_bytes_max / replica->limits.page_bytes;
    while (store->next < end && store->next - first < count_max && block_is_missing(replica, store->next))
        store->next++;
    *read = (struct store_read){ .first_block = first, .count = store->next - first };
    if (read->count == 0 && store->next < replica->limits.data_blocks)
        replica->wants_tick = true;
    return read->count > 0;
}

static void read_emit(struct replica *replica, struct output *output, uint32_t slot)
{
    struct store_read *read = &replica->store.reads[slot];
    const uint32_t page_bytes = replica->limits.page_bytes;
    read->submitted_ns = replica->now_ns;
    output_effect(output, &(struct effect){
                              .kind = EFFECT_READ,
                              .device = DEVICE_DATA,
                              .op_id = wal_op_id((enum wal_operation)DATA_READ, slot),
                              .offset = (uint64_t)read->first_block * page_bytes,
                              .bytes = { .bytes = NULL, .count = read->count * page_bytes },
                          });
}

uint64_t store_oldest_ns(const struct replica *replica)
{
    uint64_t oldest_ns = UINT64_MAX;
    for (uint32_t slot = 0; slot < STORE_READS_MAX; slot++)
        if (replica->store.reads[slot].count > 0)
            oldest_ns = u64_min(oldest_ns, replica->store.reads[slot].submitted_ns);
    return oldest_ns;
}

static void read_retry(const struct replica *replica, struct output *output, uint32_t block)
{
    if (replica->store.again)
        return;
    output_event(output, EVENT_READ_RETRIED, (uint64_t)block * replica->limits.page_bytes, DEVICE_DATA);
}

/* ---- the end ---- */

static void store_give_up(struct replica *replica, struct output *output)
{
    replica->store.state = STORE_DAMAGED;
    if (install_nobody_left(replica))
        replica_stop(replica, output, STOP_DATA_DAMAGED, replica->store.pages_damaged);
    else
        install_want(replica, output, replica->stored.checkpoint.id.index, replica->stored.checkpoint.id);
}

void store_lose(struct replica *replica, struct output *output, uint32_t page)
{
    ASSERT(store_is_ready(replica) && checkpoint_is_idle(replica));
    checkpoint_touch(replica, page);
    install_apply_again(replica, replica->stored.checkpoint.id.index); /* to whole pages */
    replica->store.again = false;
    damaged(replica, output, 0, page);
    store_give_up(replica, output);
}

static void store_finish(struct replica *replica, struct output *output)
{
    struct store *store = &replica->store;
    const uint64_t index = replica->stored.checkpoint.id.index;
    if (store->map_damaged || store->pages_damaged > 0) {
        store_give_up(replica, output);
        return;
    }
    ASSERT(replica->checkpoint.dirty_count == 0);
    ASSERT(index >= replica->applied);
    store->state = STORE_READY;
    replica->applied = index;
    replica->commit = u64_max(replica->commit, index);
    members_loaded(replica, output);
    output_event(output, EVENT_STORE_LOADED, index, store->loaded);
}

void store_flush(struct replica *replica, struct output *output)
{
    struct store *store = &replica->store;
    if (store->state != STORE_LOADING)
        return;
    for (uint32_t slot = 0; slot < STORE_READS_MAX; slot++) {
        struct store_read *read = &store->reads[slot];
        if (read->count > 0)
            continue;
        if (!output_room(output, 1, 0)) {
            replica->wants_tick = true;
            return;
        }
        if (store->phase == STORE_CLEAR)
            pages_clear(replica);
        else if (store->phase == STORE_MAP ? map_next(replica, read) : pages_next(replica, read))
            read_emit(replica, output, slot);
    }
    if (store->phase == STORE_PAGES && store->next == replica->limits.data_blocks && reads_idle(replica))
        store_finish(replica, output);
}

/* ---- what was read; no bytes: it cannot be ---- */

/* The map block, if it is the one that its entry names. */
static bool map_block_take(struct replica *replica, struct output *output, uint32_t at, const uint8_t *bytes)
{
    const uint32_t level = replica->store.level;
    const uint32_t fanout = map_fanout(&replica->limits);
    const struct map_entry *entry = map_entry_const(replica, level, at);
    if (bytes == NULL || map_block_checksum(replica, bytes, level, at) != entry->checksum
        || !hash128_equal(map_block_hash(&replica->limits, bytes), entry->hash))
        return false;
    memcpy(map_block(replica, level, at), bytes, replica->limits.page_bytes);
    const uint32_t end = u32_min((at + 1) * fanout, map_count(&replica->limits, level - 1));
    for (uint32_t child = at * fanout; child < end; child++)
        store_claim(replica, output, level - 1, child);
    return true;
}

/* The page in the block, if it is the one that the map names. */
static bool page_take(struct replica *replica, uint32_t block, const uint8_t *bytes)
{
    /* A run that failed is read again from there on, and with it what other runs brought meanwhile. */
    if (!block_is_missing(replica, block))
        return true;
    const uint32_t page = block_use(replica, block) - 1;
    if (bytes == NULL || !hash128_equal(map_page_hash(replica, bytes), map_entry_const(replica, 0, page)->hash))
        return false;
    memcpy(page_raw(replica, page), bytes, replica->limits.page_bytes);
    checkpoint_clean(replica, page);
    replica->store.loaded++;
    return true;
}

/* One block was read, rightly or not. What a disk answers wrongly once it may answer rightly the next time. */
static void block_read(struct replica *replica, struct output *output, uint32_t slot, const uint8_t *bytes)
{
    struct store *store = &replica->store;
    struct store_read *read = &store->reads[slot];
    const bool map = store->phase == STORE_MAP;
    const bool right =
        map ? map_block_take(replica, output, read->at, bytes) : page_take(replica, read->first_block, bytes);
    read->tries++;
    if (!right && read->tries < STORE_READ_TRIES) {
        read_retry(replica, output, read->first_block);
        read_emit(replica, output, slot);
        return;
    }
    if (!right && map)
        damaged(replica, output, store->level, read->at);
    else if (!right)
        damaged(replica, output, 0, block_use(replica, read->first_block) - 1);
    *read = (struct store_read){ .count = 0 };
}

/* What is missing of a run that was read is read again by single blocks: from the first that was wrong to the end of
 * the run, past those that are here by now. */
static void run_read(struct replica *replica, struct output *output, uint32_t slot, const uint8_t *bytes)
{
    struct store *store = &replica->store;
    const struct store_read run = store->reads[slot];
    const uint32_t page_bytes = replica->limits.page_bytes;
    uint32_t wrong = run.count;
    store->reads[slot] = (struct store_read){ .count = 0 };
    for (uint32_t at = 0; at < run.count; at++)
        if (!page_take(replica, run.first_block + at, bytes == NULL ? NULL : bytes + (size_t)at * page_bytes))
            wrong = u32_min(wrong, at);
    if (wrong == run.count)
        return;
    store->next = u32_min(store->next, run.first_block + wrong);
    store->by_blocks_end = u32_max(store->by_blocks_end, run.first_block + run.count);
    read_retry(replica, output, run.first_block + wrong);
}

void store_read(struct replica *replica, struct output *output, const struct input *input)
{
    struct store *store = &replica->store;
    const uint32_t slot = (uint32_t)wal_detail_of(input->op_id);
    ASSERT(store->state == STORE_LOADING);
    ASSERT(slot < STORE_READS_MAX && store->reads[slot].count > 0);
    const uint32_t count = store->reads[slot].count;
    const uint8_t *bytes = input->result == DISK_OK ? input->bytes.bytes : NULL;
    ASSERT(bytes == NULL || input->bytes.count == count * replica->limits.page_bytes);
    if (count == 1)
        block_read(replica, output, slot, bytes);
    else
        run_read(replica, output, slot, bytes);
}

/* What the puller's map wants, and what has come of it: into memory, and to the disk; see install.h. */
#include "install.h"

#include "output.h"
#include "page.h"
#include "state.h"

/* ---- what is wanted ---- */

/* The entry is to have this hash. What is below it is wanted then, or is not there any more. */
static void entry_aim(struct replica *replica, uint32_t level, uint32_t at, struct hash128 hash)
{
    struct map_entry *entry = map_entry(replica, level, at);
    if (hash128_equal(entry->hash, hash))
        return;
    entry->hash = hash;
    if (level < map_root(&replica->limits))
        map_set_dirty(replica, level + 1, at / map_fanout(&replica->limits), true);
    if (level > 0) {
        map_set_wanted(replica, level, at, true);
        return;
    }
    block_release(replica, entry->block);
    entry->block = 0;
    map_set_wanted(replica, 0, at, !map_entry_is_zero(entry));
    if (map_entry_is_zero(entry)) {
        memset(page_raw(replica, at), 0, replica->limits.page_bytes);
        checkpoint_clean(replica, at);
    }
}

/* The hashes in a wanted map block are known. NULL: all are zero. */
static void block_aim(struct replica *replica, uint32_t level, uint32_t at, const struct hash128 *hashes)
{
    const uint32_t fanout = map_fanout(&replica->limits);
    const uint32_t first = at * fanout;
    const uint32_t end = u32_min(first + fanout, map_count(&replica->limits, level - 1));
    ASSERT(level >= 1 && map_wanted(replica, level, at));
    for (uint32_t child = first; child < end; child++)
        entry_aim(replica, level - 1, child, hashes != NULL ? hashes[child - first] : (struct hash128){ .low = 0 });
    map_set_wanted(replica, level, at, false);
    map_set_dirty(replica, level, at, true);
    replica->install.scan_useful = true;
}

/* ---- pages on their way to the disk ---- */

uint32_t install_run_pages_max(const struct replica *replica)
{
    return replica->limits.data_run_bytes_max / replica->limits.page_bytes;
}

uint32_t install_runs_used(const struct replica *replica)
{
    uint32_t count = 0;
    for (uint32_t slot = 0; slot < CHECKPOINT_DEPTH_MAX; slot++)
        count += replica->install.runs[slot].count > 0;
    return count;
}

uint32_t install_runs_room(const struct replica *replica)
{
    uint32_t pages = 0;
    for (uint32_t slot = 0; slot < replica->limits.data_depth; slot++) {
        const struct install_run *run = &replica->install.runs[slot];
        pages += run->in_flight ? 0 : install_run_pages_max(replica) - run->count;
    }
    return pages;
}

static bool run_emit(struct replica *replica, struct output *output, uint32_t slot)
{
    struct install_run *run = &replica->install.runs[slot];
    const uint32_t page_bytes = replica->limits.page_bytes;
    ASSERT(run->count > 0 && !run->in_flight && checkpoint_is_idle(replica));
    if (!output_room(output, 1, 0)) {
        replica->wants_tick = true;
        return false;
    }
    run->in_flight = true;
    output_effect(output,
                  &(struct effect){
                      .kind = EFFECT_WRITE,
                      .device = DEVICE_DATA,
                      .op_id = wal_op_id((enum wal_operation)DATA_WRITE_INSTALL, slot),
                      .offset = (uint64_t)run->first_block * page_bytes,
                      .bytes = { .bytes = checkpoint_run_buffer(replica, slot), .count = run->count * page_bytes },
                  });
    return true;
}

void install_runs_emit(struct replica *replica, struct output *output)
{
    const bool may_wait = install_is_awaited(replica);
    for (uint32_t slot = 0; slot < CHECKPOINT_DEPTH_MAX; slot++) {
        const struct install_run *run = &replica->install.runs[slot];
        if (run->count == 0 || run->in_flight || (may_wait && run->count < install_run_pages_max(replica)))
            continue;
        if (!run_emit(replica, output, slot))
            return;
    }
}

void install_written(struct replica *replica, struct output *output, const struct input *input)
{
    const uint64_t slot = wal_detail_of(input->op_id);
    ASSERT(slot < CHECKPOINT_DEPTH_MAX && replica->install.runs[slot].in_flight);
    if (input->result != DISK_OK) {
        replica_stop(replica, output, STOP_WRITE_FAILED, (uint64_t)input->result);
        return;
    }
    replica->install.runs[slot] = (struct install_run){ .count = 0 };
}

/* A block for the page, behind the last one if that may be, and its bytes in the run that will write it. 0: not now. */
static uint32_t run_add(struct replica *replica, struct output *output, uint32_t page, const uint8_t *bytes)
{
    for (uint32_t slot = 0; slot < replica->limits.data_depth; slot++) {
        struct install_run *run = &replica->install.runs[slot];
        if (run->in_flight)
            continue;
        uint32_t block = 0;
        if (run->count == 0)
            block = block_allocate(replica, page + 1);
        else if (run->count < install_run_pages_max(replica))
            block = block_take(replica, run->first_block + run->count, page + 1);
        if (block != 0) {
            memcpy(checkpoint_run_buffer(replica, slot) + (size_t)run->count * replica->limits.page_bytes, bytes,
                   replica->limits.page_bytes);
            run->first_block = run->count == 0 ? block : run->first_block;
            run->count++;
            return block;
        }
        if (run->count > 0 && !run_emit(replica, output, slot))
            return 0;
    }
    return 0;
}

/* ---- answers ---- */

void install_take_root(struct replica *replica, struct hash128 hash)
{
    entry_aim(replica, map_root(&replica->limits), 0, hash);
}

void install_take_zeros(struct replica *replica, uint32_t level, uint32_t at)
{
    ASSERT(map_entry_is_zero(map_entry(replica, level, at)));
    block_aim(replica, level, at, NULL);
}

static void install_useful(struct replica *replica)
{
    replica->install.heard_ns = replica->now_ns;
    replica->install.asked_vainly = 0;
    replica->install.scan_useful = true;
}

void install_take_hashes(struct replica *replica, const struct checkpoint_response *response)
{
    struct hash128 hashes[PAGE_BYTES_MAX / sizeof(struct map_entry)];
    const struct limits *limits = &replica->limits;
    if (response->level > map_root(limits) || response->at >= map_count(limits, response->level))
        return;
    if (response->count != map_fanout(limits) || !map_wanted(replica, response->level, response->at))
        return;
    memcpy(hashes, response->payload.bytes, response->count * sizeof hashes[0]);
    const struct map_entry *entry = map_entry(replica, response->level, response->at);
    if (!hash128_equal(map_hashes_hash(limits, hashes), entry->hash))
        return;
    install_useful(replica);
    block_aim(replica, response->level, response->at, hashes);
}

/* Gives the wanted page a block, and has its bytes written there. False: not now. */
static bool page_place(struct replica *replica, struct output *output, uint32_t page, const uint8_t *bytes)
{
    struct map_entry *entry = map_entry(replica, 0, page);
    const uint32_t block = run_add(replica, output, page, bytes);
    if (block == 0)
        return false;
    block_release(replica, entry->block);
    entry->block = block;
    checkpoint_clean(replica, page);
    replica->install.pages_since_switch++;
    map_set_wanted(replica, 0, page, false);
    map_set_dirty(replica, 1, page / map_fanout(&replica->limits), true);
    return true;
}

enum install_own install_take_own(struct replica *replica, struct output *output, uint32_t page)
{
    const uint8_t *bytes = page_raw_const(replica, page);
    ASSERT(map_wanted(replica, 0, page));
    if (!hash128_equal(map_page_hash(replica, bytes), map_entry_const(replica, 0, page)->hash))
        return INSTALL_OWN_OTHER;
    if (!page_place(replica, output, page, bytes)) {
        /* A write in flight ends; or the free blocks are further on. */
        replica->wants_tick = replica->wants_tick || install_runs_used(replica) == 0;
        return INSTALL_OWN_LATER;
    }
    replica->install.scan_useful = true;
    return INSTALL_OWN_TAKEN;
}

/* What memory holds of a wanted page is of no other use, so it becomes the page where it lies. */
enum take { TAKE_WHOLE, TAKE_PATCHED, TAKE_UNFIT, TAKE_NOT, TAKES };

static enum take take_page(struct replica *replica, struct output *output, const struct pieces_answer *answer)
{
    const uint32_t page = answer->page;
    const uint32_t page_bytes = replica->limits.page_bytes;
    if (page >= replica->limits.pages_max || !map_wanted(replica, 0, page))
        return TAKE_NOT;
    uint8_t *bytes = page_raw(replica, page);
    pieces_patch(answer, page_bytes, bytes);
    if (!hash128_equal(map_page_hash(replica, bytes), map_entry_const(replica, 0, page)->hash)) {
        memset(bytes, 0, page_bytes);
        return TAKE_UNFIT;
    }
    /* If no write is free it stays wanted, and the next pass finds it in memory. */
    (void)page_place(replica, output, page, bytes);
    return answer->bytes.count < page_bytes ? TAKE_PATCHED : TAKE_WHOLE;
}

void install_take_pages(struct replica *replica, struct output *output, const struct checkpoint_response *response)
{
    struct install *install = &replica->install;
    if (response->page_bytes != replica->limits.page_bytes || install->wanted_blocks > 0)
        return;
    uint32_t takes[TAKES] = { 0 };
    struct slice rest = response->payload;
    for (uint32_t at = 0; at < response->page_count; at++) {
        struct pieces_answer answer;
        const uint32_t bytes = pieces_decode(rest, response->page_bytes, &answer);
        ASSERT(bytes > 0); /* message_decode() has looked */
        takes[take_page(replica, output, &answer)]++;
        rest = (struct slice){ .bytes = rest.bytes + bytes, .count = rest.count - bytes };
    }
    const uint32_t taken = takes[TAKE_WHOLE] + takes[TAKE_PATCHED];
    if (takes[TAKE_UNFIT] > 0)
        output_event(output, EVENT_INSTALL_UNFIT, takes[TAKE_UNFIT], 0);
    if (takes[TAKE_PATCHED] > 0)
        output_event(output, EVENT_INSTALL_PATCHED, takes[TAKE_PATCHED], response->payload.count);
    if (taken == 0)
        return;
    install_useful(replica);
    install->pages_pulled += taken;
    output_event(output, EVENT_INSTALL_PAGES, taken, install->wanted_pages);
}

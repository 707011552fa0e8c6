/* The page map in memory, its hashes, and who uses which block; see map.h. */
#include "map.h"

#include "state.h"

uint32_t map_fanout(const struct limits *limits) { return limits->page_bytes / (uint32_t)sizeof(struct map_entry); }

uint32_t map_count(const struct limits *limits, uint32_t level)
{
    const uint32_t fanout = map_fanout(limits);
    uint32_t count = limits->pages_max;
    for (uint32_t at = 0; at < level; at++)
        count = (count + fanout - 1) / fanout;
    return count;
}

uint32_t map_root(const struct limits *limits)
{
    uint32_t level = 1;
    while (map_count(limits, level) > 1)
        level++;
    ASSERT(level < MAP_LEVELS_MAX);
    return level;
}

uint32_t map_blocks(const struct limits *limits)
{
    uint32_t blocks = 0;
    for (uint32_t level = 1; level <= map_root(limits); level++)
        blocks += map_count(limits, level);
    return blocks;
}

uint64_t map_bytes(const struct limits *limits)
{
    uint64_t bytes = 0;
    for (uint32_t level = 0; level <= map_root(limits); level++)
        bytes += u64_round_up((uint64_t)map_count(limits, level) * sizeof(struct map_entry), limits->page_bytes);
    return bytes;
}

/* ---- entries and map blocks ---- */

const struct map_entry *map_entry_const(const struct replica *replica, uint32_t level, uint32_t at)
{
    ASSERT(level < MAP_LEVELS_MAX && at < map_count(&replica->limits, level));
    const struct map_entry *entries = region_at_const(replica, replica->areas.map_level[level]);
    return &entries[at];
}

struct map_entry *map_entry(struct replica *replica, uint32_t level, uint32_t at)
{
    ASSERT(level < MAP_LEVELS_MAX && at < map_count(&replica->limits, level));
    struct map_entry *entries = region_at(replica, replica->areas.map_level[level]);
    return &entries[at];
}

static uint64_t map_block_position(const struct replica *replica, uint32_t level, uint32_t at)
{
    ASSERT(level >= 1 && level < MAP_LEVELS_MAX);
    ASSERT(at < map_count(&replica->limits, level));
    return replica->areas.map_level[level - 1] + (uint64_t)at * replica->limits.page_bytes;
}

uint8_t *map_block(struct replica *replica, uint32_t level, uint32_t at)
{
    return region_at(replica, map_block_position(replica, level, at));
}

const uint8_t *map_block_const(const struct replica *replica, uint32_t level, uint32_t at)
{
    return region_at_const(replica, map_block_position(replica, level, at));
}

/* ---- sets ---- */

/* Map blocks are numbered like the entries that describe them, from level 1 on. */
static uint32_t map_block_number(const struct replica *replica, uint32_t level, uint32_t at)
{
    ASSERT(level >= 1 && level < MAP_LEVELS_MAX);
    return replica->areas.map_first[level] - replica->areas.map_first[1] + at;
}

bool map_is_dirty(const struct replica *replica, uint32_t level, uint32_t at)
{
    return set_has(region_at_const(replica, replica->areas.map_dirty), map_block_number(replica, level, at));
}

void map_set_dirty(struct replica *replica, uint32_t level, uint32_t at, bool dirty)
{
    ASSERT(at < map_count(&replica->limits, level));
    set_put(region_at(replica, replica->areas.map_dirty), map_block_number(replica, level, at), dirty);
}

uint32_t map_next_dirty(const struct replica *replica, uint32_t level, uint32_t at, uint32_t words)
{
    const uint64_t *set = region_at_const(replica, replica->areas.map_dirty);
    const uint32_t first = map_block_number(replica, level, 0);
    return set_next(set, first + at, first + map_count(&replica->limits, level), words) - first;
}

bool map_wanted(const struct replica *replica, uint32_t level, uint32_t at)
{
    return set_has(region_at_const(replica, replica->areas.wanted), replica->areas.map_first[level] + at);
}

void map_set_wanted(struct replica *replica, uint32_t level, uint32_t at, bool wanted)
{
    uint32_t *count = level == 0 ? &replica->install.wanted_pages : &replica->install.wanted_blocks;
    if (map_wanted(replica, level, at) == wanted)
        return;
    ASSERT(wanted || *count > 0);
    *count += wanted ? 1 : UINT32_MAX;
    set_put(region_at(replica, replica->areas.wanted), replica->areas.map_first[level] + at, wanted);
}

uint32_t map_next_wanted(const struct replica *replica, uint32_t level, uint32_t at, uint32_t words)
{
    const uint64_t *set = region_at_const(replica, replica->areas.wanted);
    const uint32_t first = replica->areas.map_first[level];
    return set_next(set, first + at, first + map_count(&replica->limits, level), words) - first;
}

/* ---- hashes ---- */

struct hash128 map_page_hash_in(const struct limits *limits, uint64_t cluster_id, const uint8_t *bytes)
{
    if (bytes_are_zero(bytes, limits->page_bytes))
        return (struct hash128){ .low = 0 };
    return checksum128(bytes, limits->page_bytes, cluster_id);
}

struct hash128 map_page_hash(const struct replica *replica, const uint8_t *bytes)
{
    return map_page_hash_in(&replica->limits, replica->config.cluster_id, bytes);
}

struct hash128 map_hashes_hash(const struct limits *limits, const struct hash128 *hashes)
{
    const size_t bytes = map_fanout(limits) * sizeof *hashes;
    if (bytes_are_zero(hashes, bytes))
        return (struct hash128){ .low = 0 };
    return checksum128(hashes, bytes, 0);
}

struct hash128 map_block_hash(const struct limits *limits, const uint8_t *block)
{
    struct hash128 hashes[PAGE_BYTES_MAX / sizeof(struct map_entry)];
    const uint32_t fanout = map_fanout(limits);
    ASSERT(fanout > 0 && fanout <= ARRAY_COUNT(hashes));
    for (uint32_t at = 0; at < fanout; at++)
        memcpy(&hashes[at], block + at * sizeof(struct map_entry) + offsetof(struct map_entry, hash),
               sizeof hashes[at]);
    return map_hashes_hash(limits, hashes);
}

uint64_t map_block_checksum_in(const struct limits *limits, uint64_t cluster_id, const uint8_t *block, uint32_t level,
                               uint32_t at)
{
    const uint64_t place[3] = { cluster_id, level, at };
    return checksum64(block, limits->page_bytes, checksum64(place, sizeof place, 0));
}

uint64_t map_block_checksum(const struct replica *replica, const uint8_t *block, uint32_t level, uint32_t at)
{
    return map_block_checksum_in(&replica->limits, replica->config.cluster_id, block, level, at);
}

/* ---- blocks of device 1 ---- */

static uint32_t *block_word(struct replica *replica, uint32_t block)
{
    ASSERT(block > 0 && block < replica->limits.data_blocks);
    return (uint32_t *)region_at(replica, replica->areas.blocks) + block;
}

static uint32_t block_word_const(const struct replica *replica, uint32_t block)
{
    ASSERT(block > 0 && block < replica->limits.data_blocks);
    return ((const uint32_t *)region_at_const(replica, replica->areas.blocks))[block];
}

uint32_t block_use(const struct replica *replica, uint32_t block)
{
    return block_word_const(replica, block) & ~BLOCK_FRESH;
}

bool block_is_fresh(const struct replica *replica, uint32_t block)
{
    return (block_word_const(replica, block) & BLOCK_FRESH) != 0;
}

bool block_claim(struct replica *replica, uint32_t block, uint32_t use)
{
    const uint32_t next = replica->checkpoint.block_next;
    if (block_take(replica, block, use) == 0)
        return false;
    *block_word(replica, block) = use;
    replica->checkpoint.block_next = next;
    return true;
}

uint32_t block_take(struct replica *replica, uint32_t block, uint32_t use)
{
    struct checkpoint_writer *writer = &replica->checkpoint;
    ASSERT(use != BLOCK_FREE && use != BLOCK_RETIRED);
    if (block == 0 || block >= replica->limits.data_blocks || *block_word(replica, block) != BLOCK_FREE)
        return 0;
    *block_word(replica, block) = use | BLOCK_FRESH;
    writer->blocks_used++;
    writer->block_next = block + 1;
    writer->blocks_end = u32_max(writer->blocks_end, block + 1);
    return block;
}

/* Where the cursor goes back to the start: a small store does not spread over all of a large device, which is a sparse
 * file. Half of what lies before it is free. */
static uint32_t block_end(const struct replica *replica)
{
    const struct limits *limits = &replica->limits;
    const uint64_t slack = 4 * (uint64_t)limits->data_run_bytes_max / limits->page_bytes;
    return (uint32_t)u64_min(limits->data_blocks, 2 * ((uint64_t)replica->checkpoint.blocks_used + 1) + slack);
}

uint32_t block_allocate(struct replica *replica, uint32_t use)
{
    struct checkpoint_writer *writer = &replica->checkpoint;
    ASSERT(writer->blocks_used + 1 < replica->limits.data_blocks);
    ASSERT(replica->install.wanted_blocks == 0);
    const uint32_t end = block_end(replica);
    for (uint32_t done = 0; done < BLOCK_SCAN_MAX; done++) {
        if (writer->block_next == 0 || writer->block_next >= end)
            writer->block_next = 1;
        const uint32_t block = block_take(replica, writer->block_next, use);
        if (block != 0)
            return block;
        writer->block_next++;
    }
    return 0;
}

void block_release(struct replica *replica, uint32_t block)
{
    if (block == 0)
        return;
    uint32_t *word = block_word(replica, block);
    ASSERT(*word != BLOCK_FREE && *word != BLOCK_RETIRED);
    if ((*word & BLOCK_FRESH) == 0) {
        *word = BLOCK_RETIRED;
        return;
    }
    *word = BLOCK_FREE;
    replica->checkpoint.blocks_used--;
}

bool block_settle(struct replica *replica, uint32_t *cursor)
{
    const uint32_t end = u32_min(replica->checkpoint.blocks_end, u32_max(*cursor, 1) + BLOCK_SCAN_MAX);
    for (uint32_t block = u32_max(*cursor, 1); block < end; block++) {
        uint32_t *word = block_word(replica, block);
        if (*word == BLOCK_RETIRED) {
            *word = BLOCK_FREE;
            replica->checkpoint.blocks_used--;
        }
        *word &= ~BLOCK_FRESH;
    }
    *cursor = end;
    return end == replica->checkpoint.blocks_end;
}

bool block_forget(struct replica *replica, uint32_t *cursor)
{
    const uint32_t end = u32_min(replica->checkpoint.blocks_end, u32_max(*cursor, 1) + BLOCK_SCAN_MAX);
    for (uint32_t block = u32_max(*cursor, 1); block < end; block++) {
        uint32_t *word = block_word(replica, block);
        replica->checkpoint.blocks_used -= *word != BLOCK_FREE ? 1 : 0;
        *word = BLOCK_FREE;
    }
    *cursor = end;
    return end == replica->checkpoint.blocks_end;
}

/* Which damage may strike where. */
#include "atlas.h"

#include "../core/inspect.h"
#include "../core/map.h"
#include "../core/wal_format.h"

enum { ATLAS_GROUP_ENTRIES = 8 };

enum zone atlas_zone(const struct limits *limits, uint32_t device, uint64_t block)
{
    const uint64_t offset = block * limits->block_bytes;
    if (device == DEVICE_DATA)
        return ZONE_DATA;
    if (offset < wal_header_offset(limits))
        return ZONE_SUPERBLOCK;
    return offset < wal_body_offset(limits) ? ZONE_HEADER : ZONE_BODY;
}

void atlas_zone_blocks(const struct limits *limits, enum zone zone, uint32_t *first, uint32_t *end)
{
    const uint32_t header = (uint32_t)(wal_header_offset(limits) / limits->block_bytes);
    const uint32_t body = (uint32_t)(wal_body_offset(limits) / limits->block_bytes);
    *first = zone == ZONE_HEADER ? header : zone == ZONE_BODY ? body : 0;
    switch (zone) {
    case ZONE_SUPERBLOCK: *end = header; return;
    case ZONE_HEADER: *end = body; return;
    case ZONE_BODY: *end = (uint32_t)(limits_wal_bytes(limits) / limits->block_bytes); return;
    case ZONE_DATA: *end = limits->data_blocks; return;
    case ZONE_KINDS: break;
    }
    UNREACHABLE();
}

/* As the node sees it in this life. */
static enum harm atlas_harm(const struct disk *disk, uint64_t block)
{
    const bool misread = disk->misread_in == disk->life && block - disk->misread_first < disk->misread_count;
    return misread ? HARM_REPLACED : (enum harm)disk->devices[DEVICE_WAL].blocks[block].harm;
}

/* Batches up to this one are named by names that are not harmed, this block aside. */
static uint64_t atlas_named(const struct scene *scene, const struct disk *disk, uint64_t besides)
{
    uint32_t first, end;
    uint64_t named = 0;
    atlas_zone_blocks(&scene->swarm.limits, ZONE_HEADER, &first, &end);
    for (uint32_t block = first; block < end; block++)
        if (block != besides && atlas_harm(disk, block) == HARM_NONE)
            named = u64_max(named, disk->devices[DEVICE_WAL].blocks[block].sequence);
    return named;
}

bool atlas_unproved(const struct scene *scene, const struct disk *disk, uint32_t device, uint64_t block)
{
    const struct disk_block *state = &disk->devices[device].blocks[block];
    return atlas_zone(&scene->swarm.limits, device, block) == ZONE_BODY && state->written
           && state->sequence > atlas_named(scene, disk, UINT64_MAX);
}

/* Is some batch harmed that no name but this one proves? */
static bool atlas_name_is_needed(const struct scene *scene, const struct disk *disk, uint64_t name)
{
    const struct disk_device *device = &disk->devices[DEVICE_WAL];
    const uint64_t named = atlas_named(scene, disk, name);
    uint32_t first, end;
    atlas_zone_blocks(&scene->swarm.limits, ZONE_BODY, &first, &end);
    for (uint32_t block = first; device->harmed_count > 0 && block < end; block++)
        if (device->blocks[block].sequence > named && atlas_harm(disk, block) != HARM_NONE)
            return true;
    return false;
}

/* Things of the zone with that harm, any for HARM_KINDS, besides the one of this block: names, or copies of the
 * superblock, which are lost as a whole. */
static uint32_t atlas_others(const struct scene *scene, const struct disk *disk, enum zone zone, uint64_t block,
                             enum harm harm)
{
    const uint32_t blocks = zone == ZONE_HEADER ? 1 : scene->swarm.limits.superblock_stride_blocks;
    uint32_t first, end, others = 0;
    ASSERT(zone == ZONE_SUPERBLOCK || zone == ZONE_HEADER);
    atlas_zone_blocks(&scene->swarm.limits, zone, &first, &end);
    for (uint32_t thing = first; thing < end; thing += blocks) {
        bool harmed = false;
        for (uint32_t other = thing; other < thing + blocks; other++) {
            const enum harm had = atlas_harm(disk, other);
            harmed |= harm == HARM_KINDS ? had != HARM_NONE : had == harm;
        }
        others += harmed && block - thing >= blocks;
    }
    return others;
}

bool atlas_copy_harmed(const struct scene *scene, const struct disk *disk, uint64_t block)
{
    const uint32_t blocks = scene->swarm.limits.superblock_stride_blocks;
    bool harmed = false;
    for (uint64_t other = block - block % blocks; other < block - block % blocks + blocks; other++)
        harmed |= atlas_harm(disk, other) != HARM_NONE;
    return harmed;
}

/* No name but this one is harmed; or no neighbour of it is, and another one is intact. */
static bool atlas_name_is_spare(const struct scene *scene, const struct disk *disk, uint64_t block)
{
    uint32_t first, end;
    bool intact = false;
    atlas_zone_blocks(&scene->swarm.limits, ZONE_HEADER, &first, &end);
    for (uint32_t other = first; other < end; other++)
        intact |= other != block && disk->devices[DEVICE_WAL].blocks[other].sequence > 0
                  && atlas_harm(disk, other) == HARM_NONE;
    const uint64_t before = block > first ? block - 1 : end - 1;
    const uint64_t behind = block + 1 < end ? block + 1 : first;
    return atlas_others(scene, disk, ZONE_HEADER, block, HARM_KINDS) == 0
           || (intact && atlas_harm(disk, before) == HARM_NONE && atlas_harm(disk, behind) == HARM_NONE);
}

/* Nobody can tell it from the past: such harm is no fault that a node could answer for. */
static bool atlas_untellable(const struct scene *scene, const struct disk *disk, enum zone zone, uint64_t block,
                             enum harm harm)
{
    switch (zone) {
    case ZONE_HEADER:
        if (disk->off && atlas_name_is_needed(scene, disk, block))
            return true;
        return harm == HARM_STALE && atlas_others(scene, disk, zone, block, HARM_STALE) > 0;
    case ZONE_SUPERBLOCK: return harm == HARM_STALE && atlas_others(scene, disk, zone, block, HARM_STALE) > 0;
    case ZONE_BODY: return disk->off && atlas_unproved(scene, disk, DEVICE_WAL, block);
    case ZONE_DATA: return false;
    case ZONE_KINDS: break;
    }
    UNREACHABLE();
}

/* A node repairs that alone: two intact copies of the superblock are left, though a crash tear one more, and no two
 * neighbours of the header ring are lost. */
static bool atlas_mild(const struct scene *scene, const struct disk *disk, enum zone zone, uint64_t block,
                       enum harm harm)
{
    switch (zone) {
    case ZONE_SUPERBLOCK: return atlas_others(scene, disk, zone, block, HARM_KINDS) + 1 <= SUPERBLOCK_COPIES - 2;
    case ZONE_HEADER: return atlas_name_is_spare(scene, disk, block);
    case ZONE_BODY:
    case ZONE_DATA: return harm == HARM_TORN;
    case ZONE_KINDS: break;
    }
    UNREACHABLE();
}

/* May a thing of this number be lost on this node? Each may on a minority, and neighbours on another one. */
static bool atlas_number_allows(const struct scene *scene, const struct disk *disk, uint64_t number)
{
    const uint32_t count = scene->swarm.node_count;
    return (disk->node + number) % count < scene->swarm.struck_max;
}

/* All entries of the batch that the block is part of; its header says which these are. */
static bool atlas_entries_allow(const struct scene *scene, const struct disk *disk, uint64_t block, enum harm harm)
{
    const struct disk_block *state = &disk->devices[DEVICE_WAL].blocks[block];
    if (!ATLAS_LOG_IS_REPAIRED || state->entry_count == 0 || (state->heads_batch && harm != HARM_ALTERED))
        return false;
    const uint64_t first = state->first_index / ATLAS_GROUP_ENTRIES;
    const uint64_t last = (state->first_index + state->entry_count - 1) / ATLAS_GROUP_ENTRIES;
    for (uint64_t group = first; group <= last; group++)
        if (!atlas_number_allows(scene, disk, group))
            return false;
    return true;
}

static const uint8_t *device_truth(const struct disk *disk, uint32_t device)
{
    return disk->devices[device].parted ? disk->devices[device].truth : disk->devices[device].image;
}

/* Copies of the superblock that must hold a checkpoint, whatever harm they have suffered: when two of them are lost,
 * one is left, and another one or the content before it. */
enum { ATLAS_COPIES_MIN = 3 };

/* The map of the durable checkpoint, if so many copies of the superblock hold that. False when there is none. */
static bool atlas_map_root(const struct scene *scene, const struct disk *disk, uint32_t copies_min,
                           struct map_entry *root)
{
    const struct limits *limits = &scene->swarm.limits;
    struct superblock copies[SUPERBLOCK_COPIES];
    uint8_t valid[SUPERBLOCK_COPIES];
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++) {
        const struct slice bytes = { .bytes = device_truth(disk, DEVICE_WAL) + superblock_offset(limits, copy),
                                     .count = limits_superblock_bytes(limits) };
        valid[copy] = superblock_decode(bytes, &copies[copy]);
    }
    const uint32_t chosen = superblock_choose(copies, valid);
    if (chosen == SUPERBLOCK_COPIES)
        return false;
    uint32_t same = 0;
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++)
        same += valid[copy] != 0
                && hash128_equal(copies[copy].stored.checkpoint.hash, copies[chosen].stored.checkpoint.hash);
    *root = copies[chosen].stored.checkpoint.root;
    return root->block != 0 && same >= copies_min;
}

/* Its entry for the page. False when it has none, or no block for it. */
static bool atlas_map_page(const struct scene *scene, const struct disk *disk, struct map_entry entry, uint32_t page,
                           struct map_entry *found)
{
    const struct limits *limits = &scene->swarm.limits;
    const uint32_t fanout = map_fanout(limits);
    for (uint32_t level = map_root(limits); level > 0 && entry.block != 0; level--) {
        uint32_t at = page;
        for (uint32_t i = 1; i < level; i++)
            at /= fanout;
        if (entry.block >= limits->data_blocks)
            return false; /* named before it was written */
        const uint8_t *block = device_truth(disk, DEVICE_DATA) + (uint64_t)entry.block * limits->page_bytes;
        memcpy(&entry, block + at % fanout * sizeof entry, sizeof entry);
    }
    *found = entry;
    return entry.block != 0 && entry.block < limits->data_blocks;
}

/* Does a node that must not lose the page hold it as it is here, and will it still when its superblock suffers harm? */
static bool atlas_page_is_elsewhere(const struct scene *scene, uint32_t page, struct hash128 hash)
{
    for (uint32_t slot = 0; slot < scene->swarm.node_count; slot++) {
        const struct disk *other = scene->disks[slot];
        struct map_entry root, entry;
        if (!atlas_number_allows(scene, other, page) && atlas_map_root(scene, other, ATLAS_COPIES_MIN, &root)
            && atlas_map_page(scene, other, root, page, &entry) && hash128_equal(entry.hash, hash)
            && other->devices[DEVICE_DATA].blocks[entry.block].harm == HARM_NONE)
            return true;
    }
    return false;
}

/* Which page the durable checkpoint has in that block. False: none. */
static bool atlas_find_page(const struct scene *scene, const struct disk *disk, uint32_t block, uint32_t *page,
                            struct map_entry *entry)
{
    struct map_entry root;
    if (!atlas_map_root(scene, disk, 1, &root))
        return false;
    for (*page = 0; *page < scene->swarm.limits.pages_max; ++*page)
        if (atlas_map_page(scene, disk, root, *page, entry) && entry->block == block)
            return true;
    return false;
}

uint32_t atlas_page_in(const struct scene *scene, const struct disk *disk, uint32_t block)
{
    struct map_entry entry;
    uint32_t page;
    return atlas_find_page(scene, disk, block, &page, &entry) ? page : UINT32_MAX;
}

uint32_t atlas_block_of(const struct scene *scene, const struct disk *disk, uint32_t page)
{
    struct map_entry root, entry;
    const bool known = page < scene->swarm.limits.pages_max && atlas_map_root(scene, disk, 1, &root)
                       && atlas_map_page(scene, disk, root, page, &entry);
    return known ? (uint32_t)entry.block : UINT32_MAX;
}

/* Only pages of the durable checkpoint are struck, and only where others have the same. Not the map: without it a node
 * knows nothing of the pages below, and may write over them. */
static bool atlas_page_allows(const struct scene *scene, const struct disk *disk, uint32_t block)
{
    struct map_entry entry;
    uint32_t page;
    return ATLAS_PAGES_ARE_REPAIRED && atlas_find_page(scene, disk, block, &page, &entry)
           && atlas_number_allows(scene, disk, page) && atlas_page_is_elsewhere(scene, page, entry.hash);
}

static bool atlas_place_allows(const struct scene *scene, const struct disk *disk, enum zone zone, uint64_t block,
                               enum harm harm)
{
    if (zone == ZONE_BODY)
        return atlas_entries_allow(scene, disk, block, harm);
    return zone == ZONE_DATA && atlas_page_allows(scene, disk, (uint32_t)block);
}

static uint32_t atlas_struck(const struct scene *scene)
{
    uint32_t struck = 0;
    for (uint32_t slot = 0; slot < scene->swarm.node_count; slot++)
        struck += scene->disks[slot]->struck;
    return struck;
}

/* Another node is struck only while a majority is not. */
static bool atlas_minority_allows(const struct scene *scene, const struct disk *disk)
{
    return disk->struck || atlas_struck(scene) < scene->swarm.struck_max;
}

bool atlas_allows_wipe(const struct scene *scene, const struct disk *disk)
{
    const enum regime regime = scene->swarm.regime;
    /* One that is alone has nobody to ask. */
    if (scene->swarm.node_count < 2)
        return false;
    return regime == REGIME_UNRESTRICTED || (regime == REGIME_MINORITY && atlas_minority_allows(scene, disk));
}

bool atlas_allows(const struct scene *scene, const struct disk *disk, uint32_t device, uint64_t block, enum harm harm)
{
    const enum zone zone = atlas_zone(&scene->swarm.limits, device, block);
    ASSERT(harm != HARM_NONE && harm < HARM_KINDS);
    if (atlas_untellable(scene, disk, zone, block, harm))
        return false;
    if (atlas_mild(scene, disk, zone, block, harm))
        return true;
    if (zone == ZONE_DATA && !ATLAS_PAGES_ARE_REPAIRED)
        return scene->swarm.regime == REGIME_UNRESTRICTED;
    switch (scene->swarm.regime) {
    case REGIME_MINORITY: return atlas_minority_allows(scene, disk);
    case REGIME_PLACES: return atlas_place_allows(scene, disk, zone, block, harm);
    case REGIME_UNRESTRICTED: return true;
    case REGIME_KINDS: break;
    }
    UNREACHABLE();
}

uint32_t atlas_spared_bytes(const struct scene *scene, const struct disk *disk, uint32_t device, uint64_t block)
{
    const bool spared = scene->swarm.regime == REGIME_PLACES && disk->devices[device].blocks[block].heads_batch;
    return spared ? (uint32_t)sizeof(struct wal_batch_header) : 0;
}

void atlas_note(struct scene *scene, struct disk *disk, uint32_t device, uint64_t block, enum harm harm)
{
    const enum zone zone = atlas_zone(&scene->swarm.limits, device, block);
    static const enum fault_kind faults[ZONE_KINDS] = {
        [ZONE_SUPERBLOCK] = FAULT_BAD_SUPERBLOCK,
        [ZONE_HEADER] = FAULT_BAD_HEADER,
        [ZONE_BODY] = FAULT_BAD_BODY,
        [ZONE_DATA] = FAULT_BAD_DATA,
    };
    if (!disk->struck && !atlas_mild(scene, disk, zone, block, harm)) {
        disk->struck = true;
        if (atlas_struck(scene) > scene->swarm.struck_max && scene->swarm.regime == REGIME_UNRESTRICTED)
            coverage_fire(&scene->coverage, FAULT_BAD_MAJORITY);
    }
    if (harm == HARM_TORN)
        return;
    coverage_fire(&scene->coverage, faults[zone]);
    if (disk->off)
        coverage_fire(&scene->coverage, FAULT_BAD_DOWN);
}

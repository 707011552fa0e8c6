/* What disks do to the bytes that they were trusted with. */
#include "atlas.h"

#include "../core/inspect.h"
#include "observe.h"

static uint64_t draw(struct disk *disk, struct scene *scene, enum choose_site site, uint64_t n)
{
    return choose(&scene->choose, site, disk->node, n);
}

static uint32_t operation_blocks(const struct disk *disk, const struct disk_operation *operation, uint64_t *first)
{
    const uint32_t block_bytes = disk->devices[operation->device].block_bytes;
    *first = operation->offset / block_bytes;
    return operation->bytes / block_bytes;
}

static bool damage_allowed(const struct disk *disk, const struct scene *scene, uint32_t device, uint64_t first,
                           uint32_t count, enum harm harm)
{
    for (uint64_t block = first; block < first + count; block++)
        if (!atlas_allows(scene, disk, device, block, harm))
            return false;
    return true;
}

/* ---- damage that lies still ---- */

static void damage_unreadable(struct disk *disk, struct scene *scene, uint32_t number, uint64_t block)
{
    atlas_note(scene, disk, number, block, HARM_UNREADABLE);
    disk_set_harm(&disk->devices[number], block, HARM_UNREADABLE);
    coverage_fire(&scene->coverage, FAULT_READ_STICKY);
    if (observed_by(scene))
        observe_fault(scene, disk->node, FAULT_READ_STICKY);
}

/* One bit, or a sector that is all zeros or all ones. */
static void damage_flip(struct disk *disk, struct scene *scene, uint32_t number, uint64_t block)
{
    struct disk_device *device = &disk->devices[number];
    uint8_t *bytes = device->image + block * device->block_bytes;
    const uint32_t spared = atlas_spared_bytes(scene, disk, number, block);
    const uint64_t mode = draw(disk, scene, SITE_HARM_MODE, 4);
    const uint64_t bit = 8ULL * spared + draw(disk, scene, SITE_HARM_BIT, 8ULL * (device->block_bytes - spared));
    disk_part(device);
    if (mode >= 2) {
        const uint64_t first = u64_max(spared, bit / 8 / device->sector_bytes * device->sector_bytes);
        const uint64_t end = (bit / 8 / device->sector_bytes + 1) * device->sector_bytes;
        memset(bytes + first, mode == 2 ? 0 : 0xff, end - first);
    }
    if (memcmp(bytes, device->truth + block * device->block_bytes, device->block_bytes) == 0)
        bytes[bit / 8] ^= (uint8_t)(1U << (bit % 8));
    atlas_note(scene, disk, number, block, HARM_ALTERED);
    disk_set_harm(device, block, HARM_ALTERED);
    coverage_fire(&scene->coverage, FAULT_BIT_ROT);
    if (observed_by(scene))
        observe_fault(scene, disk->node, FAULT_BIT_ROT);
}

static bool damage_may_strike(const struct disk *disk, const struct scene *scene, uint32_t number, uint64_t block,
                              enum harm harm)
{
    const struct disk_block *state = &disk->devices[number].blocks[block];
    if (state->harm != HARM_NONE && state->harm != HARM_TORN)
        return false;
    return (number == DEVICE_WAL || state->written) && atlas_allows(scene, disk, number, block, harm);
}

static uint32_t damage_draw(struct disk *disk, struct scene *scene, uint32_t candidates, enum zone zone, enum harm harm)
{
    const uint32_t number = zone == ZONE_DATA ? DEVICE_DATA : DEVICE_WAL;
    uint32_t block, end;
    atlas_zone_blocks(&scene->swarm.limits, zone, &block, &end);
    uint64_t pick = choose_draws(&scene->choose) ? draw(disk, scene, SITE_HARM_PICK, candidates) : 0;
    while (!damage_may_strike(disk, scene, number, block, harm) || pick-- > 0)
        block++;
    return block;
}

/* A replay names the block: pages by their number, since where they lie depends on all that was ever written. */
static uint32_t damage_note(struct disk *disk, struct scene *scene, enum zone zone, uint32_t block, uint32_t first)
{
    struct choose *choices = &scene->choose;
    const bool pages = zone == ZONE_DATA && choices->tracer != NULL;
    uint32_t page = pages && choose_draws(choices) ? atlas_page_in(scene, disk, block) : UINT32_MAX;
    if (pages)
        page = (uint32_t)choose_note(choices, SITE_HARM_PAGE, page + 1, 0) - 1;
    const uint32_t held_in = page != UINT32_MAX ? atlas_block_of(scene, disk, page) : UINT32_MAX;
    return held_in != UINT32_MAX ? held_in : (uint32_t)choose_note(choices, SITE_HARM_BLOCK, block, first);
}

/* A block that may be struck, any with the same chance; UINT32_MAX: none. */
static uint32_t damage_pick(struct disk *disk, struct scene *scene, enum zone zone, enum harm harm)
{
    const uint32_t number = zone == ZONE_DATA ? DEVICE_DATA : DEVICE_WAL;
    uint32_t first, end, candidates = 0;
    atlas_zone_blocks(&scene->swarm.limits, zone, &first, &end);
    for (uint32_t block = first; block < end; block++)
        candidates += damage_may_strike(disk, scene, number, block, harm);
    if (candidates == 0)
        return UINT32_MAX;
    const uint32_t block = damage_draw(disk, scene, candidates, zone, harm);
    /* If that cannot be, the next one that can. */
    uint32_t wanted = u32_min(damage_note(disk, scene, zone, block, first), end - 1);
    for (uint32_t i = first; i < end && !damage_may_strike(disk, scene, number, wanted, harm); i++)
        wanted = wanted + 1 < end && wanted >= first ? wanted + 1 : first;
    return wanted;
}

static void damage_block(struct disk *disk, struct scene *scene, uint32_t number, uint64_t block, enum harm harm)
{
    if (harm == HARM_UNREADABLE)
        damage_unreadable(disk, scene, number, block);
    else
        damage_flip(disk, scene, number, block);
}

enum { DAMAGE_RUN_MAX = 8 };

static bool damage_strike(struct disk *disk, struct scene *scene, enum harm harm)
{
    const enum zone zone = (enum zone)draw(disk, scene, SITE_HARM_ZONE, ZONE_KINDS);
    const uint32_t number = zone == ZONE_DATA ? DEVICE_DATA : DEVICE_WAL;
    uint64_t run = 1;
    if (choose_draws(&scene->choose) && draw(disk, scene, SITE_HARM_RUN_DRAW, 4) == 3)
        run = 1 + draw(disk, scene, SITE_HARM_RUN_DRAW, DAMAGE_RUN_MAX);
    run = u64_min(choose_note(&scene->choose, SITE_HARM_RUN, run, 1), DAMAGE_RUN_MAX);
    const uint32_t first = damage_pick(disk, scene, zone, harm);
    if (first == UINT32_MAX)
        return false;
    for (uint64_t block = first; block < first + run; block++) {
        if ((block + 1) * disk->devices[number].block_bytes > disk->devices[number].bytes
            || !damage_may_strike(disk, scene, number, block, harm))
            break;
        damage_block(disk, scene, number, block, harm);
    }
    return true;
}

bool disk_rot(struct disk *disk, struct scene *scene) { return damage_strike(disk, scene, HARM_ALTERED); }

bool disk_go_bad(struct disk *disk, struct scene *scene) { return damage_strike(disk, scene, HARM_UNREADABLE); }

uint32_t disk_harm_superblock(struct disk *disk, struct scene *scene, uint32_t copies)
{
    const enum harm harm = draw(disk, scene, SITE_HARM_KIND, 2) == 0 ? HARM_UNREADABLE : HARM_ALTERED;
    uint32_t harmed = 0;
    while (harmed < copies) {
        const uint32_t block = damage_pick(disk, scene, ZONE_SUPERBLOCK, harm);
        if (block == UINT32_MAX)
            break;
        harmed += !atlas_copy_harmed(scene, disk, block);
        damage_block(disk, scene, DEVICE_WAL, block, harm);
    }
    return harmed;
}

bool disk_harm(struct disk *disk, struct scene *scene, uint32_t number, uint64_t block, enum harm harm, uint32_t byte)
{
    struct disk_device *device = &disk->devices[number];
    ASSERT(harm == HARM_UNREADABLE || harm == HARM_ALTERED);
    ASSERT((block + 1) * device->block_bytes <= device->bytes && byte < device->block_bytes);
    if (!damage_may_strike(disk, scene, number, block, harm))
        return false;
    if (harm == HARM_UNREADABLE) {
        damage_unreadable(disk, scene, number, block);
        return true;
    }
    disk_part(device);
    device->image[block * device->block_bytes + byte] ^= 1;
    atlas_note(scene, disk, number, block, HARM_ALTERED);
    disk_set_harm(device, block, HARM_ALTERED);
    coverage_fire(&scene->coverage, FAULT_BIT_ROT);
    if (observed_by(scene))
        observe_fault(scene, disk->node, FAULT_BIT_ROT);
    return true;
}

void disk_wipe(struct disk *disk, struct scene *scene)
{
    ASSERT(disk->active == 0);
    for (uint32_t number = 0; number < DEVICES; number++) {
        struct disk_device *device = &disk->devices[number];
        for (uint32_t i = 0; i < device->touched_count; i++) {
            const uint64_t block = device->touched[i];
            memset(device->image + block * device->block_bytes, 0, device->block_bytes);
            memset(device->truth + block * device->block_bytes, 0, device->block_bytes);
            disk_set_harm(device, block, HARM_NONE);
            device->blocks[block] = (struct disk_block){ .touched = true };
        }
    }
    disk->struck = true;
    disk->wal_full = false;
    coverage_fire(&scene->coverage, FAULT_DISK_WIPED);
    if (observed_by(scene))
        observe_fault(scene, disk->node, FAULT_DISK_WIPED);
    check_node_wiped(scene->check, disk->node);
}

/* ---- lies ---- */

/* Would so many blocks strike two names, or two copies of the superblock? The atlas judges one at a time. */
static bool damage_spreads(const struct scene *scene, uint32_t device, uint64_t first, uint32_t count)
{
    const struct limits *limits = &scene->swarm.limits;
    const uint64_t last = first + count - 1;
    const uint32_t stride = limits->superblock_stride_blocks;
    uint32_t header, end;
    atlas_zone_blocks(limits, ZONE_HEADER, &header, &end);
    if (device != DEVICE_WAL || first >= end)
        return false;
    if (first < header)
        return last >= header || first / stride != last / stride;
    return count > 1;
}

/* Another place of the same device for as many blocks, where the atlas lets them do harm. UINT64_MAX: none found. */
static uint64_t damage_elsewhere(struct disk *disk, struct scene *scene, const struct disk_operation *operation)
{
    enum { TRIES = 4 };
    const uint32_t number = operation->device;
    const uint64_t blocks = disk->devices[number].bytes / disk->devices[number].block_bytes;
    uint64_t first;
    const uint32_t count = operation_blocks(disk, operation, &first);
    uint64_t found = UINT64_MAX;
    const uint32_t tries = choose_draws(&scene->choose) ? TRIES : 1;
    for (uint32_t i = 0; i < tries && found == UINT64_MAX; i++) {
        uint64_t other = 0;
        if (choose_draws(&scene->choose))
            other = draw(disk, scene, SITE_MISDIRECT_DRAW, blocks - count + 1);
        else
            other = u64_min(choose_note(&scene->choose, SITE_MISDIRECT_TO, 0, 0), blocks - count);
        const bool apart = other + count <= first || first + count <= other;
        if (apart && !damage_spreads(scene, number, other, count)
            && damage_allowed(disk, scene, number, other, count, HARM_REPLACED))
            found = other;
    }
    if (choose_draws(&scene->choose))
        choose_note(&scene->choose, SITE_MISDIRECT_TO, found == UINT64_MAX ? first : found, 0);
    return found;
}

static void damage_note_landed(struct disk *disk, struct scene *scene, uint32_t number, uint64_t first, uint32_t count)
{
    for (uint64_t block = first; block < first + count; block++) {
        const enum harm harm = disk->devices[number].blocks[block].harm;
        if (harm != HARM_NONE)
            atlas_note(scene, disk, number, block, harm);
    }
}

static void damage_misdirect(struct disk *disk, struct scene *scene, const struct disk_operation *operation,
                             uint64_t other)
{
    struct disk_device *device = &disk->devices[operation->device];
    const uint32_t count = operation->bytes / device->block_bytes;
    uint8_t *place = device->image + other * device->block_bytes;
    ASSERT(device->parted);
    memcpy(place, operation->pinned, operation->bytes);
    for (uint64_t block = other; block < other + count; block++) {
        const uint64_t offset = block * device->block_bytes;
        const bool same = memcmp(device->image + offset, device->truth + offset, device->block_bytes) == 0;
        disk_set_harm(device, block, same ? HARM_NONE : HARM_REPLACED);
    }
    damage_note_landed(disk, scene, operation->device, other, count);
}

void disk_write_lands(struct disk *disk, struct scene *scene, const struct disk_operation *operation)
{
    const struct swarm *swarm = &scene->swarm;
    const struct slice bytes = { .bytes = operation->pinned, .count = operation->bytes };
    uint64_t first;
    const uint32_t count = operation_blocks(disk, operation, &first);
    const bool swallowed =
        !scene->healed && choose_chance(&scene->choose, SITE_SWALLOW, disk->node, swarm->write_swallowed);
    const bool misdirected =
        !scene->healed && choose_chance(&scene->choose, SITE_MISDIRECT, disk->node, swarm->write_misdirected);
    const bool lies =
        (swallowed || misdirected) && damage_allowed(disk, scene, operation->device, first, count, HARM_STALE);
    disk_land(disk, scene, operation->device, operation->offset, bytes, lies);
    const enum meter_kind before = meter_switch(&scene->meter, METER_CHECK);
    if (operation->device == DEVICE_WAL)
        check_written(scene->check, disk->node, operation->offset, operation->bytes);
    meter_switch(&scene->meter, before);
    if (!lies)
        return;
    damage_note_landed(disk, scene, operation->device, first, count);
    /* With that harm done, there may be no other place for more. */
    const uint64_t other = misdirected ? damage_elsewhere(disk, scene, operation) : UINT64_MAX;
    coverage_fire(&scene->coverage, other != UINT64_MAX ? FAULT_WRITE_MISDIRECTED : FAULT_WRITE_SWALLOWED);
    if (observed_by(scene))
        observe_fault(scene, disk->node, other != UINT64_MAX ? FAULT_WRITE_MISDIRECTED : FAULT_WRITE_SWALLOWED);
    if (other != UINT64_MAX)
        damage_misdirect(disk, scene, operation, other);
}

/* The excuse begins when the node is shown the harm, and is as large as that: what lies in this block. Whatever else
 * the node has promised is demanded all the same: it may refuse, or know by name only, but not forget. */
static void damage_show(struct disk *disk, struct scene *scene, uint32_t number, uint64_t block)
{
    const struct disk_device *device = &disk->devices[number];
    const uint64_t offset = block * device->block_bytes;
    disk->harm_seen[number] = true;
    coverage_fire(&scene->coverage, FAULT_HARM_SEEN);
    if (observed_by(scene))
        observe_fault(scene, disk->node, FAULT_HARM_SEEN);
    if (number == DEVICE_WAL)
        check_landed(scene->check, disk->node, offset, device->image, device->bytes, device->block_bytes, true);
    else
        check_data_landed(scene->check, disk->node, offset, device->image, device->bytes, device->block_bytes, true);
}

void disk_note_seen(struct disk *disk, struct scene *scene, const struct disk_operation *operation)
{
    const struct disk_device *device = &disk->devices[operation->device];
    uint64_t first;
    const uint32_t count = operation_blocks(disk, operation, &first);
    if (device->harmed_count == 0)
        return;
    for (uint64_t block = first; block < first + count; block++)
        if (device->blocks[block].harm != HARM_NONE && device->blocks[block].harm != HARM_TORN)
            damage_show(disk, scene, operation->device, block);
}

uint64_t disk_read_from(struct disk *disk, struct scene *scene, const struct disk_operation *operation)
{
    struct disk_device *device = &disk->devices[operation->device];
    uint64_t first;
    const uint32_t count = operation_blocks(disk, operation, &first);
    const bool wal = operation->device == DEVICE_WAL;
    if (scene->healed || (wal && disk->misread_in == disk->life)
        || !choose_chance(&scene->choose, SITE_MISREAD, disk->node, scene->swarm.read_misdirected)
        || !damage_allowed(disk, scene, operation->device, first, count, HARM_REPLACED))
        return operation->offset;
    for (uint64_t block = first; block < first + count; block++)
        if (device->blocks[block].erred_in == disk->life)
            return operation->offset;
    const uint64_t other = draw(disk, scene, SITE_MISREAD_FROM, device->bytes / device->block_bytes - count + 1);
    if (other == first)
        return operation->offset;
    for (uint64_t block = first; block < first + count; block++) {
        atlas_note(scene, disk, operation->device, block, HARM_REPLACED);
        disk_set_harm(device, block, device->blocks[block].harm); /* touched */
        device->blocks[block].erred_in = disk->life;
        damage_show(disk, scene, operation->device, block);
    }
    if (wal) {
        disk->misread_in = disk->life;
        disk->misread_first = first;
        disk->misread_count = count;
    }
    coverage_fire(&scene->coverage, FAULT_READ_MISDIRECTED);
    if (observed_by(scene))
        observe_fault(scene, disk->node, FAULT_READ_MISDIRECTED);
    return other * device->block_bytes;
}

void disk_spare_unproved(struct disk *disk, const struct scene *scene)
{
    struct disk_device *device = &disk->devices[DEVICE_WAL];
    for (uint32_t i = 0; i < device->touched_count && device->harmed_count > 0; i++) {
        const uint64_t block = device->touched[i];
        const enum harm harm = device->blocks[block].harm;
        if (harm == HARM_NONE || harm == HARM_TORN || !atlas_unproved(scene, disk, DEVICE_WAL, block))
            continue;
        const uint64_t offset = block * device->block_bytes;
        if (device->parted)
            memcpy(device->image + offset, device->truth + offset, device->block_bytes);
        disk_set_harm(device, block, HARM_NONE);
    }
}

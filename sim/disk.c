/* Sectors, operations in flight, crashes, damage. */
#include "disk.h"

#include <stdlib.h>

#include "../core/checksum.h"
#include "../core/inspect.h"

/* Slots of the lowest and the highest bit. */
static uint32_t disk_first(uint64_t bits) { return (uint32_t)__builtin_ctzll(bits); }
static uint32_t disk_last(uint64_t bits) { return 63 - (uint32_t)__builtin_clzll(bits); }

static void device_touch(struct disk_device *device, uint64_t block)
{
    if (device->blocks[block].touched)
        return;
    device->blocks[block].touched = true;
    device->touched[device->touched_count++] = (uint16_t)block;
}

static bool device_reset(struct disk_device *device, uint64_t bytes, uint32_t block_bytes, uint32_t sector_bytes)
{
    ASSERT(bytes % block_bytes == 0 && block_bytes % sector_bytes == 0);
    ASSERT(bytes / block_bytes <= DISK_BLOCKS_MAX);
    for (uint32_t i = 0; i < device->touched_count; i++) {
        const uint32_t block = device->touched[i];
        memset(device->image + (uint64_t)block * device->block_bytes, 0, device->block_bytes);
        memset(&device->blocks[block], 0, sizeof device->blocks[block]);
    }
    device->touched_count = 0;
    if (bytes > device->capacity_bytes) {
        free(device->image);
        device->capacity_bytes = bytes;
        device->image = calloc(1, bytes);
        if (device->image == NULL)
            return false;
    }
    device->bytes = bytes;
    device->block_bytes = block_bytes;
    device->sector_bytes = sector_bytes;
    return true;
}

bool disk_reset(struct disk *disk, const struct scene *scene, uint32_t node)
{
    const struct limits *limits = &scene->swarm.limits;
    const uint32_t sector_bytes = scene->swarm.sector_bytes;
    disk->active = 0;
    disk->node = node;
    disk->life = 1;
    disk->order = 0;
    disk->body_writes = 0;
    disk->header_newest = 0;
    disk->stalled_ns = 0;
    disk->damaged = false;
    disk->write_failed = false;
    disk->wal_full = false;
    return device_reset(&disk->devices[DEVICE_WAL], limits_wal_bytes(limits), limits->block_bytes, sector_bytes)
           && device_reset(&disk->devices[DEVICE_DATA], limits_data_bytes(limits), limits->page_bytes,
                           u32_min(sector_bytes, limits->page_bytes));
}

void disk_free(struct disk *disk)
{
    for (uint32_t device = 0; device < DEVICES; device++)
        free(disk->devices[device].image);
}

/* Bytes become durable, and heal what was damaged there. */
static void disk_land(struct disk *disk, struct scene *scene, uint32_t number, uint64_t offset, struct slice bytes)
{
    struct disk_device *device = &disk->devices[number];
    ASSERT(offset + bytes.count <= device->bytes);
    memcpy(device->image + offset, bytes.bytes, bytes.count);
    const uint64_t last = (offset + bytes.count - 1) / device->block_bytes;
    for (uint64_t block = offset / device->block_bytes; block <= last; block++) {
        device_touch(device, block);
        device->blocks[block].written = true;
        device->blocks[block].unreadable = false;
        device->blocks[block].landed = disk->body_writes;
    }
    if (number == DEVICE_WAL)
        check_landed(scene->check, disk->node, offset, device->image, device->bytes, bytes.count, false);
    else
        check_data_landed(scene->check, disk->node, offset, device->image, device->bytes, bytes.count, false);
}

void disk_put(struct disk *disk, struct scene *scene, uint64_t offset, struct slice bytes)
{
    disk_land(disk, scene, DEVICE_WAL, offset, bytes);
}

static uint64_t disk_delay(struct disk *disk, struct scene *scene)
{
    const struct swarm *swarm = &scene->swarm;
    if (scene->healed)
        return 1 + scene_delay(scene, CHOOSE_DISK_DELAY, disk->node, DELAY_UNIFORM, scene_election_ns(scene) / 1000);
    const uint64_t typical_ns = swarm->disk_ns * swarm->disk_slowness[disk->node];
    uint64_t delay_ns = 1 + scene_delay(scene, CHOOSE_DISK_DELAY, disk->node, swarm->disk_kind, typical_ns);
    if (scene->now_ns + delay_ns < disk->stalled_ns) {
        delay_ns += disk->stalled_ns - scene->now_ns;
        coverage_fire(&scene->coverage, FAULT_DISK_STALL);
    }
    return delay_ns;
}

static enum disk_result disk_draw_result(struct disk *disk, struct scene *scene)
{
    if (scene->healed || !choose_chance(&scene->choose, CHOOSE_DISK_FAULT, disk->node, scene->swarm.write_error))
        return DISK_OK;
    const bool full = choose_chance(&scene->choose, CHOOSE_DISK_FAULT, disk->node, scene->swarm.write_full);
    return full ? DISK_FULL : DISK_ERROR;
}

void disk_submit(struct disk *disk, struct scene *scene, const struct effect *effect, uint32_t life)
{
    ASSERT(effect->device < DEVICES);
    const struct disk_device *device = &disk->devices[effect->device];
    ASSERT(effect->offset % device->block_bytes == 0);
    ASSERT(effect->bytes.count > 0);
    ASSERT(effect->bytes.count % device->block_bytes == 0);
    ASSERT(effect->offset + effect->bytes.count <= device->bytes);
    ASSERT(disk->active != UINT64_MAX);
    const uint32_t slot = disk_first(~disk->active);
    struct disk_operation *operation = &disk->operations[slot];
    disk->active |= 1ULL << slot;
    *operation = (struct disk_operation){
        .write = effect->kind == EFFECT_WRITE,
        .device = effect->device,
        .bytes = effect->bytes.count,
        .order = disk->order++,
        .op_id = effect->op_id,
        .offset = effect->offset,
        .pinned = effect->bytes.bytes,
    };
    if (operation->write) {
        operation->result = disk_draw_result(disk, scene);
        operation->digest = checksum64(operation->pinned, operation->bytes, 0);
    }
    const uint64_t at_ns = scene->now_ns + disk_delay(disk, scene);
    const bool queued = queue_push(&scene->queue, at_ns, QUEUE_DISK, disk->node, slot, life);
    ASSERT(queued);
}

/* Invariant I12: nobody touches the bytes of a write before its completion. */
static void disk_check_pinned(const struct disk *disk, struct scene *scene, const struct disk_operation *operation)
{
    check_count(scene->check, CHECK_PINNED);
    if (checksum64(operation->pinned, operation->bytes, 0) == operation->digest)
        return;
    check_fail(scene->check, CHECK_PINNED, disk->node,
               "bytes of the write at %llu of device %u changed while in flight", (unsigned long long)operation->offset,
               operation->device);
}

/* Lands the sectors of a write for which `keep` says so; neighbours in one piece. Returns how many. */
static uint32_t disk_land_some(struct disk *disk, struct scene *scene, const struct disk_operation *operation,
                               uint32_t first, uint32_t end)
{
    const uint32_t sector = disk->devices[operation->device].sector_bytes;
    const struct slice bytes = { .bytes = operation->pinned + (size_t)first * sector, .count = (end - first) * sector };
    if (first < end)
        disk_land(disk, scene, operation->device, operation->offset + (uint64_t)first * sector, bytes);
    return end - first;
}

enum survival { SURVIVE_NONE, SURVIVE_PREFIX, SURVIVE_SUBSET, SURVIVE_LAST, SURVIVE_ALL, SURVIVAL_KINDS };

/* `in_order` sectors of earlier writes are all there, later ones all missing: SURVIVE_PREFIX. */
static uint32_t disk_survive(struct disk *disk, struct scene *scene, const struct disk_operation *operation,
                             enum survival survival)
{
    const uint32_t sectors = operation->bytes / disk->devices[operation->device].sector_bytes;
    uint32_t landed = 0;
    switch (survival) {
    case SURVIVE_NONE: break;
    case SURVIVE_PREFIX:
        landed = disk_land_some(disk, scene, operation, 0,
                                (uint32_t)choose(&scene->choose, CHOOSE_DISK_CRASH, disk->node, sectors + 1));
        break;
    case SURVIVE_SUBSET:
        for (uint32_t i = 0; i < sectors; i++)
            if (choose(&scene->choose, CHOOSE_DISK_CRASH, disk->node, 2) == 1)
                landed += disk_land_some(disk, scene, operation, i, i + 1);
        break;
    case SURVIVE_LAST: landed = disk_land_some(disk, scene, operation, sectors - 1, sectors); break;
    case SURVIVE_ALL: landed = disk_land_some(disk, scene, operation, 0, sectors); break;
    case SURVIVAL_KINDS: UNREACHABLE();
    }
    const enum fault_kind fault = landed == 0         ? FAULT_WRITE_LOST
                                  : landed == sectors ? FAULT_WRITE_KEPT
                                                      : FAULT_WRITE_TORN;
    coverage_fire(&scene->coverage, fault);
    return landed;
}

static bool disk_is_header(const struct scene *scene, uint64_t offset)
{
    const struct limits *limits = &scene->swarm.limits;
    const uint64_t first = wal_header_offset(limits);
    return offset >= first && offset < first + (uint64_t)limits->wal_header_blocks * limits->block_bytes;
}

static void disk_note_write(struct disk *disk, const struct scene *scene, const struct disk_operation *operation)
{
    const struct limits *limits = &scene->swarm.limits;
    const uint64_t reserve = (uint64_t)limits->wal_reserve_blocks * limits->block_bytes;
    if (operation->device != DEVICE_WAL)
        return;
    if (operation->offset >= wal_body_offset(limits))
        disk->body_writes++;
    if (disk_is_header(scene, operation->offset))
        disk->header_newest = operation->offset;
    if (operation->offset + operation->bytes + limits->wal_batch_bytes_max + reserve >= disk->devices[DEVICE_WAL].bytes)
        disk->wal_full = true;
}

static struct input disk_complete_write(struct disk *disk, struct scene *scene, const struct disk_operation *operation)
{
    disk_check_pinned(disk, scene, operation);
    disk_note_write(disk, scene, operation);
    if (operation->result == DISK_OK) {
        disk_land(disk, scene, operation->device, operation->offset,
                  (struct slice){ .bytes = operation->pinned, .count = operation->bytes });
    } else {
        /* Nothing is known about the blocks of a failed write. */
        disk_survive(disk, scene, operation, SURVIVE_SUBSET);
        disk->write_failed = true;
        coverage_fire(&scene->coverage, operation->result == DISK_FULL ? FAULT_WRITE_FULL : FAULT_WRITE_ERROR);
    }
    return (struct input){ .kind = INPUT_DISK, .op_id = operation->op_id, .result = operation->result };
}

/* A transient error strikes a block once a life at most: whoever tries again, in smaller pieces or not, gets there. */
static bool disk_read_fails(struct disk *disk, struct scene *scene, const struct disk_operation *operation)
{
    struct disk_device *device = &disk->devices[operation->device];
    const uint64_t first = operation->offset / device->block_bytes;
    const uint64_t end = first + operation->bytes / device->block_bytes;
    bool unreadable = false;
    bool erred = scene->healed;
    for (uint64_t block = first; block < end; block++) {
        unreadable |= device->blocks[block].unreadable;
        erred |= device->blocks[block].erred_in == disk->life;
    }
    if (unreadable || erred || !choose_chance(&scene->choose, CHOOSE_DISK_FAULT, disk->node, scene->swarm.read_error))
        return unreadable;
    for (uint64_t block = first; block < end; block++) {
        device_touch(device, block);
        device->blocks[block].erred_in = disk->life;
    }
    coverage_fire(&scene->coverage, FAULT_READ_ERROR);
    return true;
}

struct input disk_complete(struct disk *disk, struct scene *scene, uint32_t slot)
{
    ASSERT(slot < DISK_OPERATIONS_MAX);
    struct disk_operation operation = disk->operations[slot];
    ASSERT((disk->active & 1ULL << slot) != 0);
    disk->active &= ~(1ULL << slot);
    for (uint64_t left = disk->active; left != 0; left &= left - 1)
        if (disk->operations[disk_first(left)].order < operation.order) {
            coverage_fire(&scene->coverage, FAULT_DISK_REORDER);
            break;
        }
    if (operation.write)
        return disk_complete_write(disk, scene, &operation);
    struct input input = { .kind = INPUT_DISK, .op_id = operation.op_id, .result = DISK_ERROR };
    if (disk_read_fails(disk, scene, &operation))
        return input;
    input.result = DISK_OK;
    input.bytes =
        (struct slice){ .bytes = disk->devices[operation.device].image + operation.offset, .count = operation.bytes };
    return input;
}

void disk_crash(struct disk *disk, struct scene *scene)
{
    const enum survival survival = (enum survival)choose(&scene->choose, CHOOSE_DISK_CRASH, disk->node, SURVIVAL_KINDS);
    const bool backwards = choose(&scene->choose, CHOOSE_DISK_CRASH, disk->node, 2) == 1;
    bool cut = false;
    uint32_t newest = 0;
    for (uint64_t left = disk->active; left != 0; left &= left - 1)
        if (disk->operations[disk_first(left)].write)
            newest = u32_max(newest, disk->operations[disk_first(left)].order);
    while (disk->active != 0) {
        const uint32_t slot = backwards ? disk_last(disk->active) : disk_first(disk->active);
        const struct disk_operation *operation = &disk->operations[slot];
        disk->active &= ~(1ULL << slot);
        if (!operation->write)
            continue;
        disk_check_pinned(disk, scene, operation);
        disk_note_write(disk, scene, operation);
        enum survival fate = survival;
        if (survival == SURVIVE_LAST && operation->order != newest)
            fate = SURVIVE_NONE;
        if (survival == SURVIVE_PREFIX && cut)
            fate = SURVIVE_NONE;
        const uint32_t landed = disk_survive(disk, scene, operation, fate);
        cut |= landed < operation->bytes / disk->devices[operation->device].sector_bytes;
    }
    disk->life++;
    disk->write_failed = false;
}

/* Where damage may be placed (storage design 2.8): any superblock copy; any header block but the newest; body blocks of
 * batches that are named for certain, because more batches than may be unnamed have landed since. Damage in the unnamed
 * tail cannot be told from a torn write: the documented hole, outside of the fault model. */
static bool disk_may_rot(const struct disk *disk, const struct scene *scene, uint32_t block)
{
    const struct limits *limits = &scene->swarm.limits;
    const struct disk_block *state = &disk->devices[DEVICE_WAL].blocks[block];
    const uint64_t offset = (uint64_t)block * limits->block_bytes;
    if (!state->written || state->unreadable)
        return false;
    if (offset < wal_header_offset(limits))
        return true;
    if (disk_is_header(scene, offset))
        return offset != disk->header_newest;
    return state->landed + limits->wal_unnamed_max + limits->wal_depth + 2 <= disk->body_writes;
}

bool disk_rot(struct disk *disk, struct scene *scene)
{
    const struct limits *limits = &scene->swarm.limits;
    struct disk_device *device = &disk->devices[DEVICE_WAL];
    const uint32_t header = (uint32_t)(wal_header_offset(limits) / limits->block_bytes);
    const uint32_t body = (uint32_t)(wal_body_offset(limits) / limits->block_bytes);
    const uint64_t zone = choose(&scene->choose, CHOOSE_DISK_ROT, disk->node, 3);
    const uint32_t first = zone == 0 ? body : zone == 1 ? header : 0;
    const uint32_t end = zone == 0 ? (uint32_t)(device->bytes / limits->block_bytes) : zone == 1 ? body : header;
    uint32_t candidates = 0;
    for (uint32_t block = first; block < end; block++)
        candidates += disk_may_rot(disk, scene, block);
    if (candidates == 0)
        return false;
    uint64_t pick = choose(&scene->choose, CHOOSE_DISK_ROT, disk->node, candidates);
    uint32_t block = first;
    while (!disk_may_rot(disk, scene, block) || pick-- > 0)
        block++;
    const uint64_t offset = (uint64_t)block * device->block_bytes;
    if (choose(&scene->choose, CHOOSE_DISK_ROT, disk->node, 2) == 0) {
        device->blocks[block].unreadable = true;
    } else {
        const uint64_t bit = choose(&scene->choose, CHOOSE_DISK_ROT, disk->node, 8ULL * device->block_bytes);
        device->image[offset + bit / 8] ^= (uint8_t)(1U << (bit % 8));
    }
    disk->damaged = true;
    coverage_fire(&scene->coverage, zone == 0 ? FAULT_BAD_BODY : zone == 1 ? FAULT_BAD_HEADER : FAULT_BAD_SUPERBLOCK);
    check_landed(scene->check, disk->node, offset, device->image, device->bytes, device->block_bytes, true);
    return true;
}

void disk_stall(struct disk *disk, uint64_t until_ns) { disk->stalled_ns = u64_max(disk->stalled_ns, until_ns); }

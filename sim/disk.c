/* Sectors, operations in flight, crashes. */
#include "disk.h"

#include <stdlib.h>

#include "../core/checksum.h"
#include "../core/inspect.h"
#include "../core/wal.h"
#include "../core/wal_format.h"
#include "atlas.h"
#include "observe.h"

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

static bool device_grow(struct disk_device *device, uint64_t bytes)
{
    if (bytes <= device->capacity_bytes)
        return true;
    free(device->image);
    free(device->truth);
    device->capacity_bytes = bytes;
    device->image = calloc(1, bytes);
    device->truth = calloc(1, bytes);
    return device->image != NULL && device->truth != NULL;
}

static bool device_reset(struct disk_device *device, uint64_t bytes, uint32_t block_bytes, uint32_t sector_bytes)
{
    ASSERT(bytes % block_bytes == 0 && block_bytes % sector_bytes == 0);
    ASSERT(bytes / block_bytes <= DISK_BLOCKS_MAX);
    for (uint32_t i = 0; i < device->touched_count; i++) {
        const uint32_t block = device->touched[i];
        memset(device->image + (uint64_t)block * device->block_bytes, 0, device->block_bytes);
        if (device->parted)
            memset(device->truth + (uint64_t)block * device->block_bytes, 0, device->block_bytes);
        memset(&device->blocks[block], 0, sizeof device->blocks[block]);
    }
    device->touched_count = 0;
    device->harmed_count = 0;
    device->parted = false;
    device->bytes = bytes;
    device->block_bytes = block_bytes;
    device->sector_bytes = sector_bytes;
    return device_grow(device, bytes);
}

bool disk_reset(struct disk *disk, const struct scene *scene, uint32_t node)
{
    const struct limits *limits = &scene->swarm.limits;
    const uint32_t sector_bytes = scene->swarm.sector_bytes;
    disk->node = node;
    disk->life = 1;
    disk->order = 0;
    disk->misread_in = 0;
    disk->active = 0;
    disk->overtaken = 0;
    disk->stalled_ns = disk->stuck_ns = disk->slow_ns = disk->least_ns = 0;
    disk->off = true;
    disk->struck = false;
    memset(disk->harm_seen, 0, sizeof disk->harm_seen);
    disk->write_failed = false;
    disk->wal_full = false;
    disk->fail_write = 0;
    disk->survival = SURVIVE_NONE;
    return device_reset(&disk->devices[DEVICE_WAL], limits_wal_bytes(limits), limits->block_bytes, sector_bytes)
           && device_reset(&disk->devices[DEVICE_DATA], limits_data_bytes(limits), limits->page_bytes,
                           u32_min(sector_bytes, limits->page_bytes));
}

void disk_free(struct disk *disk)
{
    for (uint32_t device = 0; device < DEVICES; device++) {
        free(disk->devices[device].image);
        free(disk->devices[device].truth);
    }
}

void disk_part(struct disk_device *device)
{
    if (device->parted)
        return;
    device->parted = true;
    for (uint32_t i = 0; i < device->touched_count; i++) {
        const uint64_t offset = (uint64_t)device->touched[i] * device->block_bytes;
        memcpy(device->truth + offset, device->image + offset, device->block_bytes);
    }
}

void disk_set_harm(struct disk_device *device, uint64_t block, enum harm harm)
{
    const enum harm before = device->blocks[block].harm;
    device->harmed_count -= before != HARM_NONE && before != HARM_TORN;
    device->harmed_count += harm != HARM_NONE && harm != HARM_TORN;
    device_touch(device, block);
    device->blocks[block].harm = (uint8_t)harm;
}

static bool device_differs(const struct disk_device *device, uint64_t block)
{
    const uint64_t offset = block * device->block_bytes;
    return device->parted && memcmp(device->image + offset, device->truth + offset, device->block_bytes) != 0;
}

/* What harm is left on a block of which something was written. */
static enum harm device_harm_left(const struct disk_device *device, uint64_t block, bool whole, bool swallowed)
{
    const enum harm before = device->blocks[block].harm;
    if (whole && !swallowed)
        return HARM_NONE;
    if (before == HARM_UNREADABLE)
        return before;
    if (!device_differs(device, block))
        return swallowed ? HARM_NONE : HARM_TORN;
    return swallowed ? HARM_STALE : before;
}

void disk_land(struct disk *disk, struct scene *scene, uint32_t number, uint64_t offset, struct slice bytes,
               bool swallowed)
{
    struct disk_device *device = &disk->devices[number];
    const uint64_t end = offset + bytes.count;
    ASSERT(end <= device->bytes);
    if (swallowed)
        disk_part(device);
    else
        memcpy(device->image + offset, bytes.bytes, bytes.count);
    if (device->parted)
        memcpy(device->truth + offset, bytes.bytes, bytes.count);
    for (uint64_t block = offset / device->block_bytes; block * device->block_bytes < end; block++) {
        struct disk_block *state = &device->blocks[block];
        const bool whole = block * device->block_bytes >= offset && (block + 1) * device->block_bytes <= end;
        device_touch(device, block);
        state->written = true;
        if (!whole || swallowed || state->harm != HARM_NONE)
            disk_set_harm(device, block, device_harm_left(device, block, whole, swallowed));
    }
    const uint8_t *truth = device->parted ? device->truth : device->image;
    const enum meter_kind before = meter_switch(&scene->meter, METER_CHECK);
    if (number == DEVICE_WAL)
        check_landed(scene->check, disk->node, offset, truth, device->bytes, bytes.count, false);
    else
        check_data_landed(scene->check, disk->node, offset, truth, device->bytes, bytes.count, false);
    meter_switch(&scene->meter, before);
}

void disk_put(struct disk *disk, struct scene *scene, uint64_t offset, struct slice bytes)
{
    disk_land(disk, scene, DEVICE_WAL, offset, bytes, false);
    check_written(scene->check, disk->node, offset, bytes.count);
}

static uint64_t disk_delay(struct disk *disk, struct scene *scene)
{
    const struct swarm *swarm = &scene->swarm;
    uint64_t typical_ns = swarm->disk_ns * swarm->disk_slowness[disk->node];
    uint64_t delay_ns = 0;
    if (scene->healed) {
        typical_ns = scene_election_ns(scene) / 1000;
        if (choose_draws(&scene->choose))
            delay_ns = 1 + scene_delay(scene, SITE_DISK_DRAW, disk->node, DELAY_UNIFORM, typical_ns);
        return u64_min(choose_note(&scene->choose, SITE_DISK, delay_ns, 1 + typical_ns), 1 + 2 * typical_ns);
    }
    if (scene->now_ns < disk->slow_ns) {
        typical_ns = u64_min(typical_ns * disk->slowness, UINT64_MAX >> 25);
        coverage_fire(&scene->coverage, FAULT_DISK_SLOW);
    }
    typical_ns = u64_max(typical_ns, disk->least_ns);
    if (choose_draws(&scene->choose))
        delay_ns = 1 + scene_delay(scene, SITE_DISK_DRAW, disk->node, swarm->disk_kind, typical_ns);
    delay_ns = choose_note(&scene->choose, SITE_DISK, delay_ns, 1 + typical_ns);
    if (scene->now_ns + delay_ns < disk->stalled_ns) {
        delay_ns += disk->stalled_ns - scene->now_ns;
        coverage_fire(&scene->coverage, FAULT_DISK_STALL);
    }
    return delay_ns;
}

static enum disk_result disk_draw_result(struct disk *disk, struct scene *scene, uint32_t device)
{
    const bool fail = (disk->fail_write >> device & 1) != 0;
    if (fail)
        disk->fail_write = 0;
    if (scene->healed || fail)
        return fail ? DISK_ERROR : DISK_OK;
    enum disk_result result = DISK_OK;
    if (!choose_draws(&scene->choose))
        result = DISK_OK;
    else if (choose_chance(&scene->choose, SITE_FAULT_DRAW, disk->node, scene->swarm.write_full))
        result = DISK_FULL;
    else if (choose_chance(&scene->choose, SITE_FAULT_DRAW, disk->node, scene->swarm.write_error))
        result = DISK_ERROR;
    return (enum disk_result)u64_min(choose_note(&scene->choose, SITE_WRITE_FAIL, result, DISK_OK), DISK_FULL);
}

/* Operations complete in any order: what two writes of the same block leave there, nobody could say. */
static void disk_check_apart(const struct disk *disk, struct scene *scene, const struct effect *effect)
{
    const uint64_t end = effect->offset + effect->bytes.count;
    for (uint64_t left = disk->active; left != 0; left &= left - 1) {
        const struct disk_operation *other = &disk->operations[disk_first(left)];
        if (other->write && other->device == effect->device && other->offset < end
            && effect->offset < other->offset + other->bytes)
            check_fail(scene->check, CHECK_PINNED, disk->node,
                       "writes to %llu of device %u, where another write is in flight",
                       (unsigned long long)effect->offset, effect->device);
    }
}

/* What is told of an operation. */
static struct observed disk_shown(const struct disk *disk, enum observed_kind kind, uint32_t slot)
{
    const struct disk_operation *operation = &disk->operations[slot];
    return (struct observed){ .kind = kind,
                              .who = disk->node,
                              .disk = { .slot = slot,
                                        .write = operation->write,
                                        .device = operation->device,
                                        .bytes = operation->bytes,
                                        .offset = operation->offset,
                                        .op_id = operation->op_id } };
}

/* What the operation is, for the choices about it. */
uint32_t disk_class(const struct disk_operation *operation)
{
    if (operation->device == DEVICE_DATA)
        return operation->write ? CLASS_PAGES : CLASS_LOAD;
    return CLASS_DISK + u32_min(wal_operation_of(operation->op_id), WAL_READ);
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
    ASSERT(effect->bytes.count <= DISK_BYTES_MAX);
    if (effect->kind == EFFECT_WRITE)
        disk_check_apart(disk, scene, effect);
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
    operation->ordinal = choose_subject(&scene->choose, SUBJECT_OPERATION, disk->node, disk_class(operation));
    if (operation->write) {
        disk->off = false;
        operation->result = disk_draw_result(disk, scene, operation->device);
        memcpy(disk->written[slot], operation->pinned, operation->bytes);
    }
    const uint64_t at_ns = scene->now_ns + disk_delay(disk, scene);
    const bool queued = queue_push(&scene->queue, at_ns, QUEUE_DISK, disk->node, slot, life);
    ASSERT(queued);
    if (observed_by(scene))
        observe(scene, disk_shown(disk, OBSERVED_DISK_BEGIN, slot));
}

/* Invariant I12: nobody touches the bytes of a write before its completion. */
static void disk_check_pinned(const struct disk *disk, struct scene *scene, uint32_t slot)
{
    const struct disk_operation *operation = &disk->operations[slot];
    check_count(scene->check, CHECK_PINNED);
    if (memcmp(operation->pinned, disk->written[slot], operation->bytes) == 0)
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
        disk_land(disk, scene, operation->device, operation->offset + (uint64_t)first * sector, bytes, false);
    return end - first;
}

/* May the crash leave some of its sectors? Of a superblock or a name it is the atlas's business. */
static bool disk_may_tear(const struct disk *disk, const struct scene *scene, const struct disk_operation *operation)
{
    const struct disk_device *device = &disk->devices[operation->device];
    const uint64_t block = operation->offset / device->block_bytes;
    const bool whole = device->sector_bytes == device->block_bytes
                       && atlas_zone(&scene->swarm.limits, operation->device, block) != ZONE_SUPERBLOCK;
    return whole || atlas_allows(scene, disk, operation->device, block, HARM_TORN);
}

/* A name has landed, or so the disk says. */
static void disk_note_name(struct disk *disk, const struct scene *scene, const struct disk_operation *operation)
{
    struct disk_device *device = &disk->devices[DEVICE_WAL];
    const uint64_t block = operation->offset / device->block_bytes;
    struct wal_name_header name;
    if (atlas_zone(&scene->swarm.limits, operation->device, block) != ZONE_HEADER)
        return;
    memcpy(&name, operation->pinned, sizeof name);
    device_touch(device, block); /* the write may have landed elsewhere */
    device->blocks[block].sequence = name.durable_sequence;
}

/* A copy of the superblock is torn as a whole, though each of its blocks be old or new: the atlas must not take it for
 * intact. */
static void disk_note_torn(struct disk *disk, struct scene *scene, const struct disk_operation *operation)
{
    struct disk_device *device = &disk->devices[operation->device];
    const uint64_t block = operation->offset / device->block_bytes;
    const bool copy = atlas_zone(&scene->swarm.limits, operation->device, block) == ZONE_SUPERBLOCK;
    if (copy && device->blocks[block].harm == HARM_NONE)
        disk_set_harm(device, block, HARM_TORN);
    atlas_note(scene, disk, operation->device, block, HARM_TORN);
}

/* `failed`: a write that failed, not one that a crash met. */
static uint32_t disk_survive(struct disk *disk, struct scene *scene, const struct disk_operation *operation,
                             enum survival survival, bool failed)
{
    const uint32_t sectors = operation->bytes / disk->devices[operation->device].sector_bytes;
    uint32_t landed = 0;
    if (survival != SURVIVE_ALL && !disk_may_tear(disk, scene, operation))
        survival = SURVIVE_NONE;
    switch (survival) {
    case SURVIVE_NONE: break;
    case SURVIVE_PREFIX:
        landed = (uint32_t)choose(&scene->choose, SITE_SURVIVE_PREFIX, disk->node, sectors + 1);
        if (scene->script != NULL)
            landed = (sectors + 1) / 2;
        disk_land_some(disk, scene, operation, 0, landed);
        break;
    case SURVIVE_SUBSET:
        for (uint32_t i = 0; i < sectors; i++)
            if (choose(&scene->choose, failed ? SITE_WRITE_FAIL_KEEP : SITE_SURVIVE_KEEP, disk->node, 2) == 1)
                landed += disk_land_some(disk, scene, operation, i, i + 1);
        break;
    case SURVIVE_LAST: landed = disk_land_some(disk, scene, operation, sectors - 1, sectors); break;
    case SURVIVE_ALL: landed = disk_land_some(disk, scene, operation, 0, sectors); break;
    case SURVIVAL_KINDS: UNREACHABLE();
    }
    if (operation->device == DEVICE_WAL && landed > 0)
        check_written(scene->check, disk->node, operation->offset, operation->bytes);
    const enum fault_kind fault = landed == 0         ? FAULT_WRITE_LOST
                                  : landed == sectors ? FAULT_WRITE_KEPT
                                                      : FAULT_WRITE_TORN;
    coverage_fire(&scene->coverage, fault);
    if (fault == FAULT_WRITE_KEPT)
        disk_note_name(disk, scene, operation);
    if (fault == FAULT_WRITE_TORN)
        disk_note_torn(disk, scene, operation);
    return landed;
}

/* Which batch the blocks are now part of. */
static void disk_note_batch(struct disk *disk, const struct disk_operation *operation)
{
    struct disk_device *device = &disk->devices[DEVICE_WAL];
    struct wal_batch_header header;
    ASSERT(operation->bytes >= sizeof header);
    memcpy(&header, operation->pinned, sizeof header);
    const uint64_t first = operation->offset / device->block_bytes;
    for (uint64_t block = first; block < first + operation->bytes / device->block_bytes; block++) {
        struct disk_block *state = &device->blocks[block];
        device_touch(device, block);
        state->sequence = header.sequence;
        state->first_index = header.first_index;
        state->entry_count = header.entry_count;
        state->heads_batch = block == first;
    }
}

static void disk_note_write(struct disk *disk, const struct scene *scene, const struct disk_operation *operation)
{
    const struct limits *limits = &scene->swarm.limits;
    const uint64_t reserve = (uint64_t)limits->wal_reserve_blocks * limits->block_bytes;
    if (operation->device != DEVICE_WAL || operation->offset < wal_body_offset(limits))
        return;
    disk_note_batch(disk, operation);
    if (operation->offset + operation->bytes + limits->wal_batch_bytes_max + reserve >= disk->devices[DEVICE_WAL].bytes)
        disk->wal_full = true;
}

bool disk_block_is_suspect(const struct disk *disk, uint32_t number, uint64_t offset)
{
    const struct disk_device *device = &disk->devices[number];
    const struct disk_block *block = &device->blocks[offset / device->block_bytes];
    return block->harm != HARM_NONE || block->erred_in == disk->life;
}

/* A write lands: keeps for a read of the same blocks what it may have found before. One such read is enough. */
static void disk_overtake(struct disk *disk, const struct disk_operation *write)
{
    const struct disk_device *device = &disk->devices[write->device];
    for (uint64_t left = disk->overtaken != 0 ? 0 : disk->active; left != 0; left &= left - 1) {
        const struct disk_operation *read = &disk->operations[disk_first(left)];
        if (read->write || read->device != write->device || read->offset >= write->offset + write->bytes
            || write->offset >= read->offset + read->bytes)
            continue;
        disk->overtaken = left & -left;
        memcpy(disk->before, device->image + read->offset, read->bytes);
        return;
    }
}

/* What such a read finds. */
static struct slice disk_read_overtaken(struct disk *disk, struct scene *scene, const struct disk_operation *read)
{
    const struct disk_device *device = &disk->devices[read->device];
    for (uint32_t at = 0; at < read->bytes; at += device->sector_bytes)
        if (choose(&scene->choose, SITE_READ_TORN, disk->node, 2) == 0)
            memcpy(disk->before + at, device->image + read->offset + at, device->sector_bytes);
    coverage_fire(&scene->coverage, FAULT_READ_TORN);
    return (struct slice){ .bytes = disk->before, .count = read->bytes };
}

static struct input disk_complete_write(struct disk *disk, struct scene *scene, uint32_t slot)
{
    const struct disk_operation *operation = &disk->operations[slot];
    disk_check_pinned(disk, scene, slot);
    disk_note_write(disk, scene, operation);
    if (operation->result == DISK_OK) {
        disk_overtake(disk, operation);
        disk_write_lands(disk, scene, operation);
        disk_note_name(disk, scene, operation);
    } else {
        /* Nothing is known about the blocks of a failed write. */
        disk_survive(disk, scene, operation, SURVIVE_SUBSET, true);
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
        unreadable |= device->blocks[block].harm == HARM_UNREADABLE;
        erred |= device->blocks[block].erred_in == disk->life;
    }
    if (unreadable || erred || !choose_chance(&scene->choose, SITE_READ_FAIL, disk->node, scene->swarm.read_error))
        return unreadable;
    for (uint64_t block = first; block < end; block++) {
        device_touch(device, block);
        device->blocks[block].erred_in = disk->life;
    }
    coverage_fire(&scene->coverage, FAULT_READ_ERROR);
    return true;
}

static struct input disk_complete_any(struct disk *disk, struct scene *scene, uint32_t slot)
{
    ASSERT(slot < DISK_OPERATIONS_MAX);
    const struct disk_operation *operation = &disk->operations[slot];
    ASSERT((disk->active & 1ULL << slot) != 0);
    disk->active &= ~(1ULL << slot);
    const bool overtaken = (disk->overtaken & 1ULL << slot) != 0;
    disk->overtaken &= ~(1ULL << slot);
    for (uint64_t left = disk->active; left != 0; left &= left - 1)
        if (disk->operations[disk_first(left)].order < operation->order) {
            coverage_fire(&scene->coverage, FAULT_DISK_REORDER);
            break;
        }
    choose_resume(&scene->choose, SUBJECT_OPERATION, disk->node, disk_class(operation), operation->ordinal);
    if (operation->write)
        return disk_complete_write(disk, scene, slot);
    struct input input = { .kind = INPUT_DISK, .op_id = operation->op_id, .result = DISK_ERROR };
    disk_note_seen(disk, scene, operation);
    if (disk_read_fails(disk, scene, operation))
        return input;
    const uint64_t from = disk_read_from(disk, scene, operation);
    input.result = DISK_OK;
    input.bytes = (struct slice){ .bytes = disk->devices[operation->device].image + from, .count = operation->bytes };
    if (overtaken && from == operation->offset && !scene->healed)
        input.bytes = disk_read_overtaken(disk, scene, operation);
    return input;
}

struct input disk_complete(struct disk *disk, struct scene *scene, uint32_t slot)
{
    const struct input input = disk_complete_any(disk, scene, slot);
    if (observed_by(scene)) {
        struct observed shown = disk_shown(disk, OBSERVED_DISK_END, slot);
        shown.disk.result = input.result;
        observe(scene, shown);
    }
    return input;
}

/* The node's end ends an operation. */
static void disk_show_gone(const struct disk *disk, const struct scene *scene, uint32_t slot, uint32_t landed)
{
    struct observed shown = disk_shown(disk, OBSERVED_DISK_END, slot);
    shown.disk.gone = true;
    shown.disk.landed = landed;
    shown.disk.sectors = shown.disk.bytes / disk->devices[shown.disk.device].sector_bytes;
    observe(scene, shown);
}

/* A checkpoint was being written, or loaded. */
static void disk_count_crash(const struct disk *disk, struct scene *scene)
{
    bool writes = false, reads = false;
    for (uint64_t left = disk->active; left != 0; left &= left - 1) {
        const struct disk_operation *operation = &disk->operations[disk_first(left)];
        writes = writes || (operation->device == DEVICE_DATA && operation->write);
        reads = reads || (operation->device == DEVICE_DATA && !operation->write);
    }
    if (writes)
        coverage_fire(&scene->coverage, FAULT_CRASH_IN_CHECKPOINT);
    if (reads)
        coverage_fire(&scene->coverage, FAULT_CRASH_IN_LOAD);
}

void disk_crash(struct disk *disk, struct scene *scene)
{
    disk_count_crash(disk, scene);
    enum survival survival = (enum survival)choose(&scene->choose, SITE_SURVIVE, disk->node, SURVIVAL_KINDS);
    bool backwards = choose(&scene->choose, SITE_SURVIVE_BACK, disk->node, 2) == 1;
    if (scene->script != NULL) {
        survival = disk->survival;
        backwards = false;
    }
    bool cut = false;
    uint32_t newest = 0;
    for (uint64_t left = disk->active; left != 0; left &= left - 1)
        if (disk->operations[disk_first(left)].write)
            newest = u32_max(newest, disk->operations[disk_first(left)].order);
    while (disk->active != 0) {
        const uint32_t slot = backwards ? disk_last(disk->active) : disk_first(disk->active);
        const struct disk_operation *operation = &disk->operations[slot];
        disk->active &= ~(1ULL << slot);
        if (!operation->write && observed_by(scene))
            disk_show_gone(disk, scene, slot, 0);
        if (!operation->write)
            continue;
        disk_check_pinned(disk, scene, slot);
        disk_note_write(disk, scene, operation);
        enum survival fate = survival;
        if (survival == SURVIVE_LAST && operation->order != newest)
            fate = SURVIVE_NONE;
        if (survival == SURVIVE_PREFIX && cut)
            fate = SURVIVE_NONE;
        const uint32_t landed = disk_survive(disk, scene, operation, fate, false);
        cut |= landed < operation->bytes / disk->devices[operation->device].sector_bytes;
        if (observed_by(scene))
            disk_show_gone(disk, scene, slot, landed);
    }
    disk_spare_unproved(disk, scene);
    disk->overtaken = 0;
    disk->life++;
    disk->off = true;
    memset(disk->harm_seen, 0, sizeof disk->harm_seen);
    disk->write_failed = false;
}

void disk_stall(struct disk *disk, uint64_t until_ns) { disk->stalled_ns = u64_max(disk->stalled_ns, until_ns); }

void disk_stick(struct disk *disk, uint64_t until_ns) { disk->stuck_ns = u64_max(disk->stuck_ns, until_ns); }

void disk_slow_down(struct disk *disk, uint64_t until_ns, uint32_t factor)
{
    disk->slow_ns = u64_max(disk->slow_ns, until_ns);
    disk->slowness = factor;
}

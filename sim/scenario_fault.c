/* What a scenario does to nodes: crashes, pauses, disks that stall, fail and forget, clocks. */
#include "scenario_state.h"

#include "../core/wal_format.h"
#include "atlas.h"

#include <string.h>

/* ---- processes ---- */

static void fault_crash_node(struct scenario *scenario, struct node *node, enum survival survival)
{
    node->disk.survival = survival;
    node->disk.stuck_ns = 0;
    node_crash(scenario->world, node);
    show_text(scenario, node->slot, "crashes");
}

/* crash NODES [losing|keeping|tearing]: what becomes of the writes in flight. */
static bool fault_crash(struct scenario *scenario, uint32_t nodes)
{
    enum survival survival = SURVIVE_NONE;
    if (words_take(scenario, "keeping"))
        survival = SURVIVE_ALL;
    else if (words_take(scenario, "tearing"))
        survival = SURVIVE_PREFIX;
    else
        (void)words_take(scenario, "losing");
    for (uint32_t slot = 0; slot < scenario->swarm.node_count; slot++) {
        struct node *node = scenario_node(scenario, slot);
        if ((nodes >> slot & 1) == 0)
            continue;
        if (node->state != NODE_UP)
            return scenario_wrong(scenario, "node %u is down already", slot + 1);
        fault_crash_node(scenario, node, survival);
    }
    return true;
}

static bool fault_restart(struct scenario *scenario, uint32_t nodes)
{
    for (uint32_t slot = 0; slot < scenario->swarm.node_count; slot++) {
        struct node *node = scenario_node(scenario, slot);
        if ((nodes >> slot & 1) == 0)
            continue;
        if (node->state == NODE_UP)
            return scenario_wrong(scenario, "node %u is up", slot + 1);
        if (node->state == NODE_STOPPED)
            return scenario_wrong(scenario, "node %u has stopped for good", slot + 1);
        show_text(scenario, slot, "starts");
        node_start(scenario->world, node);
    }
    return true;
}

/* Every node that is up, at once. */
static bool fault_power(struct scenario *scenario)
{
    uint32_t nodes = 0;
    for (uint32_t slot = 0; slot < scenario->swarm.node_count; slot++)
        nodes |= (scenario_node(scenario, slot)->state == NODE_UP ? 1U : 0U) << slot;
    return fault_crash(scenario, nodes);
}

static bool fault_pause(struct scenario *scenario, uint32_t nodes, bool pause)
{
    struct scene *scene = &scenario->world->scene;
    for (uint32_t slot = 0; slot < scenario->swarm.node_count; slot++)
        if ((nodes >> slot & 1) != 0)
            scenario_node(scenario, slot)->resume_ns = pause ? SCENARIO_NEVER_NS : 0;
    /* What waits for others is put off again. */
    if (!pause) {
        queue_hasten(&scene->queue, QUEUE_PACKET, scene->now_ns);
        queue_hasten(&scene->queue, QUEUE_DISK, scene->now_ns);
        queue_hasten(&scene->queue, QUEUE_TIMER, scene->now_ns);
    }
    /* A deadline that passed meanwhile is noticed at once. */
    for (uint32_t slot = 0; slot < scenario->swarm.node_count && !pause; slot++) {
        struct node *node = scenario_node(scenario, slot);
        if ((nodes >> slot & 1) != 0 && node->state == NODE_UP && node->deadline_ns <= node->clock.local_ns)
            world_feed(scenario->world, node, &(struct input){ .kind = INPUT_TICK }, ENDPOINTS);
    }
    return true;
}

/* ---- disks ---- */

static bool fault_stall(struct scenario *scenario, uint32_t nodes, bool stall)
{
    struct scene *scene = &scenario->world->scene;
    for (uint32_t slot = 0; slot < scenario->swarm.node_count; slot++)
        if ((nodes >> slot & 1) != 0)
            scenario_node(scenario, slot)->disk.stuck_ns = stall ? SCENARIO_NEVER_NS : 0;
    if (!stall)
        queue_hasten(&scene->queue, QUEUE_DISK, scene->now_ns);
    return true;
}

/* Operations of a disk that are over. */
static uint64_t fault_completed(const struct disk *disk)
{
    return disk->order - (uint64_t)__builtin_popcountll(disk->active);
}

/* unstall NODE for K: so many operations complete, in the order of their submission; then it stands still again. */
static bool fault_unstall_for(struct scenario *scenario, uint32_t nodes)
{
    struct disk *disk = &scenario_node(scenario, (uint32_t)__builtin_ctz(nodes))->disk;
    struct scene *scene = &scenario->world->scene;
    uint64_t count;
    if (!words_number(scenario, "how many operations", &count))
        return false;
    if ((nodes & (nodes - 1)) != 0)
        return scenario_wrong(scenario, "one node at a time");
    const uint64_t end = fault_completed(disk) + count;
    disk->stuck_ns = 0;
    queue_hasten(&scene->queue, QUEUE_DISK, scene->now_ns);
    while (fault_completed(disk) < end && queue_first(&scene->queue) != NULL
           && queue_first(&scene->queue)->time_ns < SCENARIO_NEVER_NS) {
        world_advance(scenario->world);
        if (!scenario_sound(scenario))
            return false;
    }
    disk->stuck_ns = SCENARIO_NEVER_NS;
    return fault_completed(disk) == end || scenario_wrong(scenario, "its disk has less to do");
}

/* fail-write NODES [data]: the next write, of both devices or of the data device. */
static bool fault_fail_write(struct scenario *scenario, uint32_t nodes)
{
    const uint32_t devices = words_take(scenario, "data") ? 1U << DEVICE_DATA : 1U << DEVICE_DATA | 1U << DEVICE_WAL;
    for (uint32_t slot = 0; slot < scenario->swarm.node_count; slot++)
        if ((nodes >> slot & 1) != 0)
            scenario_node(scenario, slot)->disk.fail_write = devices;
    return true;
}

/* ---- damage ---- */

/* Which byte of a block: none when it cannot be read at all. */
struct fault_harm {
    enum harm harm;
    uint32_t byte;
};

static bool fault_block(struct scenario *scenario, struct node *node, uint32_t device, uint64_t block,
                        const struct fault_harm *harm)
{
    struct swarm *swarm = &scenario->world->scene.swarm;
    const enum regime regime = swarm->regime;
    /* A script may damage what it likes, except where nobody could notice. */
    swarm->regime = REGIME_UNRESTRICTED;
    const bool harmed = disk_harm(&node->disk, &scenario->world->scene, device, block, harm->harm, harm->byte);
    swarm->regime = regime;
    return harmed || scenario_wrong(scenario, "no node could tell that damage from the past: the simulator forbids it");
}

/* The first block of the batch that holds the entry, as the disk was last written. */
static bool fault_find_entry(const struct scenario *scenario, const struct node *node, uint64_t index, uint64_t *block)
{
    const struct disk_device *device = &node->disk.devices[DEVICE_WAL];
    uint64_t newest = 0;
    uint32_t first, end;
    atlas_zone_blocks(&scenario->swarm.limits, ZONE_BODY, &first, &end);
    for (uint32_t at = first; at < end; at++) {
        const struct disk_block *state = &device->blocks[at];
        const bool holds = state->heads_batch && state->entry_count > 0 && index >= state->first_index
                           && index - state->first_index < state->entry_count;
        if (!holds || state->sequence <= newest)
            continue;
        newest = state->sequence;
        *block = at;
    }
    return newest > 0;
}

/* damage NODE entry INDEX [header]: in its body, or in the header of its batch. */
static bool fault_entry(struct scenario *scenario, struct node *node)
{
    uint64_t index, block;
    if (!words_number(scenario, "an index", &index))
        return false;
    const bool header = words_take(scenario, "header");
    const bool unreadable = words_take(scenario, "unreadable");
    const struct fault_harm harm = {
        .harm = unreadable ? HARM_UNREADABLE : HARM_ALTERED,
        .byte = header ? 40 : (uint32_t)sizeof(struct wal_batch_header) + 8,
    };
    if (!fault_find_entry(scenario, node, index, &block))
        return scenario_wrong(scenario, "node %u has no entry %u on its disk", node->slot + 1, (unsigned)index);
    return fault_block(scenario, node, DEVICE_WAL, block, &harm);
}

/* damage NODE superblock COPIES: so many of its four copies. */
static bool fault_superblock(struct scenario *scenario, struct node *node)
{
    const struct limits *limits = &scenario->swarm.limits;
    uint64_t copies;
    if (!words_number(scenario, "how many copies", &copies))
        return false;
    if (copies < 1 || copies > SUPERBLOCK_COPIES)
        return scenario_wrong(scenario, "a superblock has %d copies", SUPERBLOCK_COPIES);
    for (uint32_t copy = 0; copy < copies; copy++)
        if (!fault_block(scenario, node, DEVICE_WAL, superblock_offset(limits, copy) / limits->block_bytes,
                         &(struct fault_harm){ .harm = HARM_ALTERED, .byte = 100 }))
            return false;
    return true;
}

/* damage NODE data BLOCK: one block of the data device. */
static bool fault_data_block(struct scenario *scenario, struct node *node)
{
    uint64_t block;
    if (!words_number(scenario, "a block", &block))
        return false;
    if (block >= scenario->swarm.limits.data_blocks)
        return scenario_wrong(scenario, "the data device has %u blocks", scenario->swarm.limits.data_blocks);
    if (!node->disk.devices[DEVICE_DATA].blocks[block].written)
        return scenario_wrong(scenario, "nothing was written there yet");
    return fault_block(scenario, node, DEVICE_DATA, block, &(struct fault_harm){ .harm = HARM_ALTERED, .byte = 40 });
}

/* damage NODE names: every block of the header ring that was ever written. damage NODE data: every page and map block.
 */
static bool fault_zone(struct scenario *scenario, struct node *node, enum zone zone)
{
    const uint32_t device = zone == ZONE_DATA ? DEVICE_DATA : DEVICE_WAL;
    const struct fault_harm harm = { .harm = HARM_ALTERED, .byte = 40 };
    uint32_t first, end, harmed = 0;
    atlas_zone_blocks(&scenario->swarm.limits, zone, &first, &end);
    for (uint32_t block = first; block < end; block++) {
        const struct disk_block *state = &node->disk.devices[device].blocks[block];
        if (!state->written || state->harm != HARM_NONE)
            continue;
        if (!fault_block(scenario, node, device, block, &harm))
            return false;
        harmed++;
    }
    return harmed > 0 || scenario_wrong(scenario, "nothing was written there yet");
}

static bool fault_damage(struct scenario *scenario)
{
    struct node *node;
    if (!words_node(scenario, &node))
        return false;
    if (words_take(scenario, "entry"))
        return fault_entry(scenario, node);
    if (words_take(scenario, "superblock"))
        return fault_superblock(scenario, node);
    if (words_take(scenario, "names"))
        return fault_zone(scenario, node, ZONE_HEADER);
    if (words_take(scenario, "data"))
        return words_left(scenario) ? fault_data_block(scenario, node) : fault_zone(scenario, node, ZONE_DATA);
    return scenario_wrong(scenario, "damage what: entry INDEX, superblock COPIES, names or data?");
}

/* ---- clocks ---- */

/* jump NODE forward|back DURATION */
static bool fault_jump(struct scenario *scenario)
{
    const uint64_t now_ns = scenario->world->scene.now_ns;
    struct node *node;
    uint64_t ns;
    if (!words_node(scenario, &node))
        return false;
    const bool back = words_take(scenario, "back");
    if ((!back && !words_need(scenario, "forward")) || !words_duration(scenario, &ns))
        return false;
    if (back)
        clock_jump_backward(&node->clock, now_ns, ns);
    else
        clock_jump_forward(&node->clock, now_ns, ns);
    return true;
}

/* drift NODE fast|slow PERCENT: against true time. */
static bool fault_drift(struct scenario *scenario)
{
    struct node *node;
    uint64_t percent;
    if (!words_node(scenario, &node))
        return false;
    const bool slow = words_take(scenario, "slow");
    if ((!slow && !words_need(scenario, "fast")) || !words_number(scenario, "percent", &percent))
        return false;
    if (percent > 90)
        return scenario_wrong(scenario, "a clock drifts by 90 percent at most");
    node->clock.rate_ppm = (slow ? -1 : 1) * (int32_t)percent * (PER_MILLION / 100);
    return true;
}

bool fault_line(struct scenario *scenario, const char *verb, bool *known)
{
    static const char *const verbs[] = { "crash", "restart", "pause", "resume", "stall", "unstall", "fail-write" };
    uint32_t verb_slot = 0, nodes;
    *known = true;
    if (strcmp(verb, "power-loss") == 0)
        return fault_power(scenario);
    if (strcmp(verb, "damage") == 0)
        return fault_damage(scenario);
    if (strcmp(verb, "jump") == 0)
        return fault_jump(scenario);
    if (strcmp(verb, "drift") == 0)
        return fault_drift(scenario);
    while (verb_slot < ARRAY_COUNT(verbs) && strcmp(verb, verbs[verb_slot]) != 0)
        verb_slot++;
    *known = verb_slot < ARRAY_COUNT(verbs);
    if (!*known)
        return true;
    if (!words_nodes(scenario, &nodes))
        return false;
    switch (verb_slot) {
    case 0: return fault_crash(scenario, nodes);
    case 1: return fault_restart(scenario, nodes);
    case 2: return fault_pause(scenario, nodes, true);
    case 3: return fault_pause(scenario, nodes, false);
    case 4: return fault_stall(scenario, nodes, true);
    case 5:
        return words_take(scenario, "for") ? fault_unstall_for(scenario, nodes) : fault_stall(scenario, nodes, false);
    default: break;
    }
    return fault_fail_write(scenario, nodes);
}

/* The loop of a schedule: takes what comes next, feeds it, carries out what follows. */
#include "world.h"

#include <stdlib.h>

#include "../core/checksum.h"
#include "../core/inspect.h"
#include "fork.h"
#include "lineage.h"
#include "liveness.h"
#include "nemesis.h"
#include "node.h"
#include "observe.h"
#include "pct.h"
#include "plot.h"
#include "tracer.h"
#include "world_check.h"

struct world *world_new(void)
{
    struct world *world = calloc(1, sizeof *world);
    if (world == NULL)
        return NULL;
    world->scene.check = check_new();
    if (world->scene.check == NULL || !network_init(&world->network)) {
        world_free(world);
        return NULL;
    }
    return world;
}

void world_free(struct world *world)
{
    if (world == NULL)
        return;
    for (uint32_t slot = 0; slot < VOTERS_MAX; slot++) {
        disk_free(&world->nodes[slot].disk);
        free(world->nodes[slot].region);
    }
    if (world->scene.check != NULL)
        check_free(world->scene.check);
    network_free(&world->network);
    free(world->shadow.region);
    free(world->shadow.output_region);
    free(world->output_region);
    lineage_free(world->lineage);
    forks_free(world->forks);
    free(world);
}

/* Memory grows to what the largest schedule so far has needed. */
static bool world_reserve(void **region, size_t *capacity_bytes, size_t bytes)
{
    if (bytes <= *capacity_bytes)
        return true;
    free(*region);
    *capacity_bytes = u64_round_up(bytes, REGION_ALIGNMENT);
    *region = aligned_alloc(REGION_ALIGNMENT, *capacity_bytes);
    return *region != NULL;
}

static bool world_reset_nodes(struct world *world)
{
    const struct swarm *swarm = &world->scene.swarm;
    for (uint32_t slot = 0; slot < swarm->node_count; slot++) {
        struct node *node = &world->nodes[slot];
        if (!world_reserve(&node->region, &node->region_capacity_bytes, replica_bytes(&swarm->limits)))
            return false;
        if (!disk_reset(&node->disk, &world->scene, slot))
            return false;
        world->scene.disks[slot] = &node->disk;
        node->state = NODE_DOWN;
        node->stop = 0;
        node->slot = slot;
        node->life = 0;
        node->owed = false;
        node->outsider = false;
        /* A spare node may never be started: what another schedule left here would be taken for its own. */
        node->timer_armed = false;
        node->role = RAFT_FOLLOWER;
        node->resume_ns = 0;
        node->timer_ns = 0;
        node->timer_least_ns = 0;
        node->timer_deadline_ns = 0;
        node->shown_ns = 0;
        node->replica = NULL;
        node->deadline_ns = UINT64_MAX;
        node->clock = (struct clock){ 0 };
    }
    return true;
}

static bool world_reset_outputs(struct world *world)
{
    const struct limits *limits = &world->scene.swarm.limits;
    struct shadow *shadow = &world->shadow;
    if (!world_reserve(&world->output_region, &world->output_capacity_bytes, output_bytes(limits))
        || !world_reserve(&shadow->output_region, &shadow->output_capacity_bytes, output_bytes(limits))
        || !world_reserve(&shadow->region, &shadow->region_capacity_bytes, replica_bytes(limits)))
        return false;
    output_init(&world->output, world->output_region, limits);
    output_init(&shadow->output, shadow->output_region, limits);
    shadow->frames = 0;
    return true;
}

/* All but the parameters, which are drawn or given. */
static bool world_reset(struct world *world, uint64_t seed)
{
    struct scene *scene = &world->scene;
    const struct swarm *swarm = &scene->swarm;
    queue_reset(&scene->queue);
    scene->now_ns = 0;
    scene->step = 0;
    scene->healed = false;
    world->digest = seed;
    world->owing = 0;
    world->demoted = 0;
    memset(world->plots, 0, sizeof world->plots);
    const struct check_setup setup = {
        .limits = &swarm->limits,
        .node_count = swarm->node_count,
        .configs = swarm->configs,
        .configuration = &swarm->configuration,
        .check_quorum = swarm->configs[0].check_quorum,
    };
    const enum meter_kind before = meter_switch(&scene->meter, METER_CHECK);
    check_reset(scene->check, &setup);
    meter_switch(&scene->meter, before);
    network_reset(&world->network, scene);
    if (!world_reset_outputs(world) || !world_reset_nodes(world))
        return false;
    workload_reset(&world->workload, scene);
    if (observed_by(scene))
        observe(scene, (struct observed){ .kind = OBSERVED_BEGIN,
                                          .who = ENDPOINTS,
                                          .begin = { .swarm = swarm, .drawn = scene->script == NULL } });
    for (uint32_t slot = 0; slot < swarm->node_count; slot++)
        node_format(world, &world->nodes[slot], node_instance(world, &world->nodes[slot]));
    return true;
}

static void world_draw(struct world *world, const struct world_options *options)
{
    struct scene *scene = &world->scene;
    choose_reset(&scene->choose, options->seed);
    coverage_reset(&scene->coverage);
    if (options->swarm != NULL)
        scene->swarm = *options->swarm;
    else
        swarm_draw(&scene->swarm, &scene->choose, &scene->coverage, options->seed, options->profile);
}

/* How long the safety phase is, if not as drawn. Time, too: when all nodes have stopped there are no inputs any more.
 */
static void world_bound(struct scene *scene, uint64_t inputs_max, uint64_t drawn, uint64_t drawn_ns)
{
    if (inputs_max == 0)
        return;
    const uint64_t factor = 1 + (inputs_max - 1) / drawn;
    scene->swarm.inputs_max = inputs_max;
    scene->swarm.safety_ns = drawn_ns * u64_min(factor, UINT64_MAX / drawn_ns);
}

static bool world_begin(struct world *world, const struct world_options *options)
{
    struct scene *scene = &world->scene;
    scene->script = NULL;
    scene->observer = options->observer;
    signature_reset(&world->signature, options->signature);
    world_bound(scene, options->inputs_max, scene->swarm.inputs_max, scene->swarm.safety_ns);
    if (options->tracer != NULL)
        tracer_begin(options->tracer, &scene->choose, &scene->swarm, &scene->now_ns);
    if (!world_reset(world, scene->swarm.seed))
        return false;
    nemesis_start(world);
    reconfigure_start(world);
    for (uint32_t slot = 0; slot < scene->swarm.node_count; slot++) {
        /* A node that may join waits until it is wanted, or does so for nothing. */
        choose_resume(&scene->choose, SUBJECT_NODE, slot, CLASS_NONE, 0);
        if (slot >= scene->swarm.member_count
            && !choose_chance(&scene->choose, SITE_EARLY, slot, scene->swarm.spare_early))
            continue;
        const bool queued = queue_push(&scene->queue, 0, QUEUE_RESTART, slot, 0, 0);
        ASSERT(queued);
    }
    return true;
}

static void world_mix(struct world *world, uint64_t value)
{
    const uint64_t digest = (world->digest ^ value) * 0x9e3779b97f4a7c15ULL;
    world->digest = digest ^ (digest >> 29);
}

/* All that a step showed. Frames count by their own checksum, writes by place, events by what they say. */
static void world_mix_step(struct world *world, const struct node *node, const struct input *input)
{
    const struct output *output = &world->output;
    world_mix(world, world->scene.now_ns);
    world_mix(world, ((uint64_t)node->slot << 32) | ((uint64_t)input->kind << 16) | output->effect_count);
    world_mix(world, output->deadline_ns);
    for (uint32_t i = 0; i < output->effect_count; i++) {
        const struct effect *effect = &output->effects[i];
        uint64_t checksum = 0;
        if (effect->kind == EFFECT_SEND || effect->kind == EFFECT_REPLY)
            memcpy(&checksum, effect->bytes.bytes, sizeof checksum);
        world_mix(world, checksum ^ effect->offset ^ ((uint64_t)effect->device << 56));
        world_mix(world, effect->target + effect->op_id + effect->bytes.count);
    }
    for (uint32_t i = 0; i < u32_min(output->event_count, output->event_max); i++) {
        world_mix(world, ((uint64_t)output->events[i].kind << 56) ^ output->events[i].a);
        world_mix(world, output->events[i].b);
    }
}

static bool world_learns(const struct world *world, const struct node *node)
{
    const struct configuration *members = replica_configuration(node->replica);
    const uint32_t slot = configuration_slot(members, world->scene.swarm.configs[node->slot].node_id);
    return slot < MEMBERS_MAX && (configuration_voters(members) >> slot & 1) == 0;
}

/* Which kind of read was answered: each has its own way to know that it may be. */
static void world_note_read(struct world *world, const struct node *node, enum event_kind kind)
{
    uint64_t *reads = world->scene.coverage.reads;
    if (kind == EVENT_READ_SERVED)
        reads[READ_LEADER]++;
    else if (kind == EVENT_LEASE_READ)
        reads[READ_LEASE]++;
    else if (kind == EVENT_FOLLOWER_READ)
        reads[world_learns(world, node) ? READ_LEARNER : READ_FOLLOWER]++;
    else if (kind == EVENT_BOUNDED_READ)
        reads[READ_BOUNDED]++;
    else if (kind == EVENT_STALE_READ)
        reads[READ_STALE]++;
}

static void world_note_events(struct world *world, struct node *node)
{
    const struct output *output = &world->output;
    for (uint32_t i = 0; i < u32_min(output->event_count, output->event_max); i++) {
        const struct event *event = &output->events[i];
        ASSERT((uint32_t)event->kind < EVENT_KINDS);
        world->scene.coverage.events[event->kind]++;
        if (event->kind == EVENT_PEER)
            world->scene.coverage.progress[event->b]++;
        world_note_read(world, node, event->kind);
        if (event->kind == EVENT_ROLE)
            node->role = (enum raft_role)event->a;
        if (world->scene.swarm.reconfigures)
            reconfigure_note(world, node, event);
        if (event->kind == EVENT_ROLE && event->a == RAFT_LEADER)
            world_check_lease(world, node);
    }
    /* What did not fit was dropped, a change of role perhaps. */
    if (output->event_count > output->event_max) {
        struct replica_view view;
        replica_inspect(node->replica, &view);
        node->role = view.role;
    }
}

uint32_t world_slot_of(const struct world *world, uint64_t node_id)
{
    const struct swarm *swarm = &world->scene.swarm;
    uint32_t slot = 0;
    while (slot < swarm->node_count && swarm->configs[slot].node_id != node_id)
        slot++;
    ASSERT(slot < swarm->node_count);
    return slot;
}

/* Nobody may read what a node gave back: it means nothing any more, and here it says so. */
static void world_release(struct world *world, struct node *node, const uint8_t *bytes, uint32_t count)
{
    const uint64_t first = (uint64_t)(bytes - (const uint8_t *)node->region);
    ASSERT(first + count <= replica_bytes(&world->scene.swarm.limits));
    memset((uint8_t *)node->region + first, 0xdb, count);
}

static void world_carry_out(struct world *world, struct node *node, const struct effect *effect, uint32_t from)
{
    struct scene *scene = &world->scene;
    const enum meter_kind before = scene->meter.running;
    if (effect->deadline_ns != 0 && clock_read(&node->clock, scene->now_ns) >= effect->deadline_ns) {
        coverage_fire(&scene->coverage, FAULT_LATE_REPLY);
        if (observed_by(scene))
            observe_fault(scene, node->slot, FAULT_LATE_REPLY);
        return;
    }
    switch (effect->kind) {
    case EFFECT_SEND:
        meter_switch(&scene->meter, METER_CHECK);
        check_send(scene->check, node->slot, effect->bytes);
        world_check_send(world, node, effect->bytes);
        meter_switch(&scene->meter, before);
        network_send(&world->network, scene, node->slot, world_slot_of(world, effect->target), effect->bytes);
        return;
    case EFFECT_REPLY:
        meter_switch(&scene->meter, METER_CHECK);
        check_reply(scene->check, node->slot, effect->bytes);
        check_read_age(scene->check, node->slot, effect->bytes,
                       u64_max(clock_read(&node->clock, scene->now_ns), node->shown_ns));
        meter_switch(&scene->meter, before);
        ASSERT(effect->target >= ENDPOINT_CLIENT && effect->target < ENDPOINTS);
        network_send(&world->network, scene, node->slot, (uint32_t)effect->target, effect->bytes);
        return;
    case EFFECT_WRITE:
    case EFFECT_READ:
        meter_switch(&scene->meter, METER_DISK);
        disk_submit(&node->disk, scene, effect, node->life);
        meter_switch(&scene->meter, before);
        return;
    case EFFECT_RELEASE:
        world_release(world, node, effect->bytes.bytes, effect->bytes.count);
        if (effect->place != NULL)
            world_release(world, node, effect->place, effect->bytes.count);
        return;
    case EFFECT_REFUSE:
        ASSERT((uint32_t)effect->verdict < FRAME_VERDICTS);
        scene->coverage.refusals[effect->verdict]++;
        if (effect->bytes.count > 0 && from < ENDPOINTS)
            network_send(&world->network, scene, node->slot, from, effect->bytes);
        return;
    case EFFECT_STOP: node_stop(world, node, effect); return;
    }
    UNREACHABLE();
}

void world_owe(struct world *world, struct node *node, bool owed)
{
    world->owing += owed;
    world->owing -= node->owed;
    node->owed = owed;
}

void world_feed(struct world *world, struct node *node, struct input *input, uint32_t from)
{
    struct scene *scene = &world->scene;
    struct output *output = &world->output;
    ASSERT(node->state == NODE_UP);
    scene->step++;
    check_set_step(scene->check, scene->step);
    if (input->now_ns == 0)
        input->now_ns = clock_read(&node->clock, scene->now_ns);
    node->shown_ns = u64_max(node->shown_ns, input->now_ns);
    world_owe(world, node, input->more);
    check_input(scene->check, node->slot, input);
    const enum meter_kind before = meter_switch(&scene->meter, METER_CORE);
    replica_step(node->replica, input, output);
    meter_switch(&scene->meter, before);
    world_note_events(world, node);
    world_mix_step(world, node, input);
    if (scene->choose.tracer != NULL)
        tracer_step(scene->choose.tracer, scene->step, node->slot, world->digest);
    if (observed_by(scene))
        observe(scene, (struct observed){ .kind = OBSERVED_STEP,
                                          .who = node->slot,
                                          .step_of = { input, output, node->replica, from } });
    meter_switch(&scene->meter, METER_CHECK);
    check_step(scene->check, node->slot, node->replica, output);
    meter_switch(&scene->meter, before);
    if (world->signature.on)
        signature_step(world, node->slot, input);
    if (scene->script != NULL)
        scene->script->step(scene->script, node->slot, output);
    world_check_write_failure(world, node, input);
    world_check_scrub(world, node);
    node->deadline_ns = output->deadline_ns;
    if (output->effect_count == output->effect_max)
        coverage_fire(&scene->coverage, FAULT_OUTPUT_FULL);
    uint32_t crash_at = UINT32_MAX;
    if (!scene->healed && choose_chance(&scene->choose, SITE_DIE, node->slot, scene->swarm.effect_crash))
        crash_at = (uint32_t)choose(&scene->choose, SITE_DIE_AT, node->slot, output->effect_count + 1);
    for (uint32_t i = 0; i < output->effect_count && i != crash_at && node->state == NODE_UP; i++)
        world_carry_out(world, node, &output->effects[i], from);
    if (node->state != NODE_UP)
        return;
    if (crash_at != UINT32_MAX) {
        coverage_fire(&scene->coverage, FAULT_CRASH_IN_EFFECTS);
        if (choose_chance(&scene->choose, SITE_DIE_POWER, node->slot, scene->swarm.effect_power)) {
            coverage_fire(&scene->coverage, FAULT_POWER_LOSS_IN_EFFECTS);
            nemesis_power(world);
        } else {
            node_crash(world, node);
        }
        return;
    }
    node_arm_timer(world, node);
}

/* Whether what comes next goes to the same node so soon that the two may be fed as one batch. */
static bool world_draw_more(struct world *world, const struct node *node)
{
    struct scene *scene = &world->scene;
    const struct queue_event *next = queue_first(&scene->queue);
    if (next == NULL || (next->kind != QUEUE_PACKET && next->kind != QUEUE_DISK) || next->who != node->slot)
        return false;
    if (next->time_ns > scene->now_ns + scene_election_ns(scene) / 64)
        return false;
    if (!choose_chance(&scene->choose, SITE_MORE, node->slot, scene->swarm.batch))
        return false;
    coverage_fire(&scene->coverage, FAULT_BATCH);
    return true;
}

/* As if the process had slept between reading its clock and taking the frame (Raft 6.4.1: what a lease must survive).
 * 0: it did not. */
static uint64_t world_stale_clock(struct world *world, const struct node *node)
{
    struct scene *scene = &world->scene;
    if (scene->healed || !choose_chance(&scene->choose, SITE_STALE_CLOCK, node->slot, scene->swarm.stale_clock))
        return 0;
    coverage_fire(&scene->coverage, FAULT_STALE_CLOCK);
    return node->shown_ns;
}

static bool world_asks_to_read(struct slice bytes)
{
    struct frame_header header;
    if (bytes.count < sizeof header)
        return false;
    memcpy(&header, bytes.bytes, sizeof header);
    return header.type == FRAME_READ_INDEX_REQUEST;
}

static void world_show_arrival(const struct world *world, uint32_t slot, const struct packet *packet)
{
    const bool taken = packet->to >= ENDPOINT_CLIENT || world->nodes[packet->to].state == NODE_UP;
    observe(&world->scene, (struct observed){ .kind = OBSERVED_ARRIVE, .who = packet->to, .arrive = { slot, taken } });
}

/* What the frame is, for the choices about the step that takes it. */
static uint32_t world_frame_class(struct slice bytes)
{
    struct frame_header header;
    if (bytes.count < sizeof header)
        return CLASS_NONE;
    memcpy(&header, bytes.bytes, sizeof header);
    return header.type <= FRAME_CLIENT_REPLY ? header.type : CLASS_NONE;
}

static void world_receive(struct world *world, const struct queue_event *event)
{
    const struct packet packet = world->network.packets[event->slot];
    const struct slice bytes = network_bytes(&world->network, event->slot);
    ASSERT(packet.to == event->who);
    if (observed_by(&world->scene))
        world_show_arrival(world, event->slot, &packet);
    if (packet.to >= ENDPOINT_CLIENT && packet.damaged) {
        workload_receive_damaged(&world->scene, bytes);
    } else if (packet.to >= ENDPOINT_CLIENT) {
        workload_receive(&world->workload, &world->scene, &world->network, packet.to - ENDPOINT_CLIENT, bytes);
    } else if (world->scene.healed && packet.from >= ENDPOINT_CLIENT && reconfigure_is_request(bytes)) {
        /* Nobody changes the members any more: who is needed stays so. */
    } else if (world->nodes[packet.to].state == NODE_UP) {
        struct node *node = &world->nodes[packet.to];
        choose_subject(&world->scene.choose, SUBJECT_STEP, node->slot, world_frame_class(bytes));
        struct input input = { .kind = INPUT_PEER_FRAME, .bytes = bytes, .more = world_draw_more(world, node) };
        if (packet.from >= ENDPOINT_CLIENT) {
            input.kind = INPUT_CLIENT_FRAME;
            input.client = packet.from;
            input.arrived_ns = packet.life == node->life ? packet.arrived_ns : 0;
        }
        if (!packet.damaged && (packet.from >= ENDPOINT_CLIENT || world_asks_to_read(bytes)))
            input.now_ns = world_stale_clock(world, node);
        if (packet.damaged)
            shadow_before(world, node, &input);
        world_feed(world, node, &input, packet.from);
        if (packet.damaged)
            shadow_after(world, node, &input);
        else if (input.kind == INPUT_CLIENT_FRAME)
            world_check_deadline(world, node, &input);
    }
    network_release(&world->network, event->slot);
}

/* Nothing comes from a disk that is stuck. */
static bool world_stuck(struct world *world, const struct queue_event *event)
{
    const struct node *node = &world->nodes[event->who % VOTERS_MAX];
    if (event->kind != QUEUE_DISK || node->life != event->tag || world->scene.now_ns >= node->disk.stuck_ns)
        return false;
    coverage_fire(&world->scene.coverage, FAULT_DISK_STUCK);
    const bool queued =
        queue_push(&world->scene.queue, node->disk.stuck_ns, QUEUE_DISK, event->who, event->slot, event->tag);
    ASSERT(queued);
    return true;
}

/* A frame of a client reaches its node, and may wait there: for a process that is paused, or busy with others. 0: it
 * does not. */
static uint64_t world_backlog(struct world *world, const struct node *node, struct packet *packet)
{
    struct scene *scene = &world->scene;
    if (packet->from < ENDPOINT_CLIENT || packet->life != 0 || packet->damaged || node->state != NODE_UP)
        return 0;
    packet->life = node->life;
    packet->arrived_ns = u64_max(clock_read(&node->clock, scene->now_ns), node->shown_ns);
    if (scene->healed)
        return 0;
    uint64_t wait_ns = 0;
    if (choose_draws(&scene->choose)
        && choose_chance(&scene->choose, SITE_BACKLOG_DRAW, node->slot, scene->swarm.backlog))
        wait_ns = 1 + choose_exponential(&scene->choose, SITE_BACKLOG_DRAW, node->slot, scene_election_ns(scene) / 8);
    choose_subject(&scene->choose, SUBJECT_ARRIVAL, node->slot, CLASS_NONE);
    wait_ns = choose_note(&scene->choose, SITE_BACKLOG, wait_ns, 0);
    if (wait_ns > 0)
        coverage_fire(&scene->coverage, FAULT_BACKLOG);
    return wait_ns;
}

/* Events of a node that is paused wait for it, in order. */
static bool world_deferred(struct world *world, const struct queue_event *event)
{
    const enum queue_kind kind = (enum queue_kind)event->kind;
    if (kind != QUEUE_PACKET && kind != QUEUE_DISK && kind != QUEUE_TIMER)
        return false;
    if (event->who >= VOTERS_MAX || event->who >= world->scene.swarm.node_count)
        return false;
    const struct node *node = &world->nodes[event->who];
    const uint64_t backlog_ns =
        kind == QUEUE_PACKET ? world_backlog(world, node, &world->network.packets[event->slot]) : 0;
    if (!node_paused(world, node) && backlog_ns == 0)
        return false;
    const uint64_t until_ns = u64_max(node_paused(world, node) ? node->resume_ns : 0, world->scene.now_ns + backlog_ns);
    const bool queued = queue_push(&world->scene.queue, until_ns, kind, event->who, event->slot, event->tag);
    ASSERT(queued);
    return true;
}

static void world_disk(struct world *world, const struct queue_event *event)
{
    struct node *node = &world->nodes[event->who];
    if (node->state != NODE_UP || node->life != event->tag)
        return;
    choose_subject(&world->scene.choose, SUBJECT_STEP, node->slot,
                   disk_class(&node->disk.operations[event->slot % DISK_OPERATIONS_MAX]));
    const enum meter_kind before = meter_switch(&world->scene.meter, METER_DISK);
    struct input input = disk_complete(&node->disk, &world->scene, event->slot);
    meter_switch(&world->scene.meter, before);
    input.more = world_draw_more(world, node);
    world_feed(world, node, &input, ENDPOINTS);
}

static void world_happen(struct world *world, const struct queue_event *event)
{
    struct node *node = &world->nodes[event->who % VOTERS_MAX];
    switch ((enum queue_kind)event->kind) {
    case QUEUE_PACKET: world_receive(world, event); return;
    case QUEUE_DISK: world_disk(world, event); return;
    case QUEUE_TIMER:
        if (node->state == NODE_UP && node->life == event->tag)
            node_timer(world, node);
        return;
    case QUEUE_RESTART:
        if (node->state == NODE_DOWN && node->life == event->tag && !node->outsider)
            node_start(world, node);
        return;
    case QUEUE_CLIENT: workload_timer(&world->workload, &world->scene, &world->network, event->who, event->tag); return;
    case QUEUE_NEMESIS:
        if (event->tag != 0)
            plot_act(world, (enum nemesis_kind)event->who, event->tag);
        else
            nemesis_strike(world, (enum nemesis_kind)event->who);
        return;
    case QUEUE_MEMBERS: reconfigure_tick(world); return;
    case QUEUE_MEND: nemesis_mend(world, event->who); return;
    }
    UNREACHABLE();
}

/* Keeps the promise of `more`: the other input follows before anything else is fed to that node later on. */
static void world_settle_debt(struct world *world)
{
    for (uint32_t slot = 0; slot < world->scene.swarm.node_count; slot++) {
        struct node *node = &world->nodes[slot];
        if (!node->owed || node->state != NODE_UP || node_paused(world, node))
            continue;
        choose_subject(&world->scene.choose, SUBJECT_STEP, node->slot, CLASS_TICK);
        world_feed(world, node, &(struct input){ .kind = INPUT_TICK }, ENDPOINTS);
    }
}

bool world_advance(struct world *world)
{
    struct scene *scene = &world->scene;
    if (scene->queue.count == 0)
        return false;
    const bool owed = world->owing > 0;
    if (world->demoted < scene->swarm.demotions)
        pct_advance(world);
    const struct queue_event event = queue_pop(&scene->queue);
    ASSERT(event.time_ns >= scene->now_ns);
    scene->now_ns = event.time_ns;
    if (world_deferred(world, &event) || world_stuck(world, &event))
        return true;
    const uint64_t step = scene->step;
    world_happen(world, &event);
    if (owed && scene->step == step)
        world_settle_debt(world);
    return true;
}

static void world_show_violation(const struct world *world)
{
    const struct check_failure *failure = check_result(world->scene.check);
    if (failure->failed && observed_by(&world->scene))
        observe(&world->scene, (struct observed){ .kind = OBSERVED_VIOLATION,
                                                  .who = failure->node < VOTERS_MAX ? failure->node : ENDPOINTS,
                                                  .violation = failure });
}

/* Whoever looks on has seen what it wanted. */
static bool world_enough(const struct world *world)
{
    return observed_by(&world->scene) && world->scene.observer->enough;
}

void world_close(struct world *world, const struct world_options *options, struct world_result *result)
{
    struct scene *scene = &world->scene;
    struct coverage *coverage = &scene->coverage;
    workload_close(&world->workload, scene);
    const enum meter_kind before = meter_switch(&scene->meter, METER_CHECK);
    if (!check_result(scene->check)->failed && !world_enough(world))
        check_finish(scene->check, options->search);
    meter_switch(&scene->meter, before);
    for (uint32_t slot = 0; options->deep && slot < scene->swarm.node_count; slot++)
        if (world->nodes[slot].state == NODE_UP)
            world_mix(world, replica_digest(world->nodes[slot].replica));
    coverage->schedules = 1;
    coverage->inputs = scene->step;
    coverage->simulated_ns = scene->now_ns;
    coverage->nodes = scene->swarm.node_count;
    coverage->schedules_untimed = scene->swarm.untimed;
    coverage->schedules_searched = options->search;
    memcpy(coverage->checks, check_counts(scene->check), sizeof coverage->checks);
    const struct check_failure *failure = check_result(scene->check);
    world_show_violation(world);
    result->failure = failure->failed ? failure : NULL;
    result->digest = world->digest;
    result->steps = scene->step;
}

/* What happens from now on is drawn. */
static void world_fork(struct world *world, uint64_t seed)
{
    struct choose *choices = &world->scene.choose;
    struct tracer *tracer = choices->tracer;
    choose_reset(choices, seed);
    tracer_leave(tracer);
    /* One that writes nothing, either, need not look on. */
    if (tracer_target(tracer) != NULL)
        choices->tracer = tracer;
    nemesis_start(world); /* changes of the members are planned ahead, and so known to the trace */
}

static void world_live(struct world *world, const struct world_options *options, struct world_result *result)
{
    struct scene *scene = &world->scene;
    const struct check_failure *failure = check_result(scene->check);
    while (!failure->failed && scene->step < scene->swarm.inputs_max && scene->now_ns < scene->swarm.safety_ns) {
        if (options->fork_step != 0 && scene->step >= options->fork_step && !choose_draws(&scene->choose))
            world_fork(world, options->fork_seed);
        if (!world_advance(world) || world_enough(world))
            break;
    }
    if (options->open && !failure->failed) {
        *result = (struct world_result){ .digest = world->digest, .steps = scene->step };
        return;
    }
    if (!failure->failed && !world_enough(world) && !options->safety_only)
        liveness_begin(world);
    while (!failure->failed && !world_enough(world) && scene->healed && !liveness_over(world))
        if (!world_advance(world))
            break;
    world_close(world, options, result);
}

bool world_run(struct world *world, const struct world_options *options, struct world_result *result)
{
    world_draw(world, options);
    const enum profile family = world->scene.swarm.family;
    if (options->swarm == NULL && family == PROFILE_CORPUS)
        return lineage_run(world, options, result);
    if (options->swarm == NULL && family == PROFILE_FORK)
        return forks_run(world, options, result);
    if (!world_begin(world, options))
        return false;
    world_live(world, options, result);
    return true;
}

/* Is it a strike that has been drawn, and is still to come? Acts of a plot and a power that returns belong to one that
 * has come. */
static bool is_strike(const struct queue_event *event)
{
    return event->kind == QUEUE_NEMESIS && event->tag == 0 && event->who != NEMESIS_POWER_AGAIN;
}

void world_go_on(struct world *world, const struct world_options *options, struct world_result *result)
{
    struct scene *scene = &world->scene;
    world_bound(scene, options->inputs_max, options->swarm->inputs_max, options->swarm->safety_ns);
    world->signature.on = options->signature;
    queue_drop(&scene->queue, is_strike);
    network_fork(&world->network, scene);
    world_fork(world, options->fork_seed);
    if (tracer_target(options->tracer) != NULL)
        tracer_target(options->tracer)->swarm = scene->swarm;
    world_live(world, options, result);
}

bool world_script(struct world *world, const struct swarm *swarm, struct script *script, struct observer *observer)
{
    struct scene *scene = &world->scene;
    ASSERT(script != NULL);
    signature_reset(&world->signature, false);
    scene->script = script;
    scene->observer = observer;
    scene->swarm = *swarm;
    choose_reset(&scene->choose, swarm->seed);
    coverage_reset(&scene->coverage);
    return world_reset(world, swarm->seed);
}

void world_finish(struct world *world, bool heal)
{
    struct scene *scene = &world->scene;
    const struct check_failure *failure = check_result(scene->check);
    scene->script = NULL;
    if (!failure->failed && heal) {
        liveness_begin(world);
        while (!failure->failed && !liveness_over(world))
            if (!world_advance(world))
                break;
        workload_close(&world->workload, scene);
    }
    if (!failure->failed)
        check_finish(scene->check, true);
    world_show_violation(world);
}

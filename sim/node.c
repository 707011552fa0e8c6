/* The life of one node: starts, crashes, pauses, stops; its timer. */
#include "node.h"

#include "../core/prng.h"
#include "observe.h"

bool node_paused(const struct world *world, const struct node *node)
{
    return node->state == NODE_UP && world->scene.now_ns < node->resume_ns;
}

uint64_t node_instance(struct world *world, const struct node *node)
{
    struct choose *choices = &world->scene.choose;
    const uint64_t drawn =
        choose_draws(choices) ? 1 + choose(choices, SITE_LIFE_DRAW, node->slot, INSTANCE_REJOIN - 1) : 0;
    choose_resume(choices, SUBJECT_LIFE, node->slot, CLASS_NONE, 0);
    return choose_note(choices, SITE_INSTANCE, drawn, 1 + node->slot);
}

void node_format(struct world *world, struct node *node, uint64_t instance)
{
    const struct swarm *swarm = &world->scene.swarm;
    uint8_t copy_bytes[8192];
    const struct slice bytes = { .bytes = copy_bytes, .count = limits_superblock_bytes(&swarm->limits) };
    ASSERT(bytes.count <= sizeof copy_bytes);
    const struct replica_config *config = &swarm->configs[node->slot];
    const struct configuration none = { .id = { .term = 0 } };
    const bool member = configuration_slot(&swarm->configuration, config->node_id) < MEMBERS_MAX;
    replica_format(&swarm->limits, config, member ? &swarm->configuration : &none, instance, copy_bytes);
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++)
        disk_put(&node->disk, &world->scene, superblock_offset(&swarm->limits, copy), bytes);
}

/* Who runs off the trace has a seed all the same, a different one in each life. */
static uint64_t node_seed(struct scene *scene, const struct node *node)
{
    uint64_t name = ((uint64_t)node->slot << 32) | node->life;
    const uint64_t drawn =
        choose_draws(&scene->choose) ? choose(&scene->choose, SITE_LIFE_DRAW, node->slot, UINT64_MAX) : 0;
    choose_resume(&scene->choose, SUBJECT_LIFE, node->slot, CLASS_NONE, node->life);
    return choose_note(&scene->choose, SITE_LIFE_SEED, drawn, prng_mix(&name));
}

void node_start(struct world *world, struct node *node)
{
    struct scene *scene = &world->scene;
    const struct swarm *swarm = &scene->swarm;
    struct replica_config config = swarm->configs[node->slot];
    ASSERT(node->state == NODE_DOWN);
    replica_clear(node->region, &swarm->limits);
    node->life++;
    config.seed = node_seed(scene, node);
    node->replica = replica_init(node->region, &swarm->limits, &config);
    node->state = NODE_UP;
    node->role = RAFT_STARTING;
    node->resume_ns = 0;
    node->timer_armed = false;
    clock_start(&node->clock, scene, node->slot);
    node->shown_ns = 0;
    check_node_started(scene->check, node->slot);
    if (observed_by(scene))
        observe(scene, (struct observed){ .kind = OBSERVED_START, .who = node->slot, .life = node->life });
    choose_subject(&scene->choose, SUBJECT_STEP, node->slot, CLASS_START);
    world_feed(world, node, &(struct input){ .kind = INPUT_START }, ENDPOINTS);
}

static void node_schedule_restart(struct world *world, struct node *node)
{
    struct scene *scene = &world->scene;
    const uint64_t election_ns = scene_election_ns(scene);
    if (scene->script != NULL)
        return;
    uint64_t down_ns = 0;
    if (choose_draws(&scene->choose)) {
        const bool fast = choose_chance(&scene->choose, SITE_DOWN_DRAW, node->slot, scene->swarm.fast_restart);
        down_ns = choose_exponential(&scene->choose, SITE_DOWN_DRAW, node->slot, scene->swarm.downtime_ns);
        if (fast)
            down_ns = choose(&scene->choose, SITE_DOWN_DRAW, node->slot, election_ns / 16 + 1);
        if (fast && !scene->healed)
            coverage_fire(&scene->coverage, FAULT_FAST_RESTART);
    }
    if (scene->healed)
        down_ns = election_ns / 16;
    else
        down_ns = choose_note(&scene->choose, SITE_DOWN, down_ns, scene->swarm.downtime_ns);
    const bool queued =
        queue_push(&scene->queue, scene->now_ns + 1 + down_ns, QUEUE_RESTART, node->slot, 0, node->life);
    ASSERT(queued);
}

/* The process is gone; what its disk had in flight is decided now. */
static void node_end(struct world *world, struct node *node)
{
    choose_resume(&world->scene.choose, SUBJECT_LIFE, node->slot, CLASS_NONE, node->life);
    disk_crash(&node->disk, &world->scene);
    check_node_crashed(world->scene.check, node->slot);
    world_owe(world, node, false);
    node->role = RAFT_STOPPED;
}

void node_crash(struct world *world, struct node *node)
{
    ASSERT(node->state == NODE_UP);
    if (node->role == RAFT_STARTING)
        coverage_fire(&world->scene.coverage, FAULT_CRASH_IN_RECOVERY);
    node_end(world, node);
    node->state = NODE_DOWN;
    if (observed_by(&world->scene))
        observe(&world->scene, (struct observed){ .kind = OBSERVED_CRASH, .who = node->slot });
    node_schedule_restart(world, node);
}

/* Whether an injected fault explains that the node gave up, and whether a restart helps. */
enum explanation { UNEXPLAINED, EXPLAINED_FOR_NOW, EXPLAINED_FOR_GOOD };

static enum explanation node_explain(const struct world *world, const struct node *node, const struct effect *effect)
{
    switch (effect->stop) {
    case STOP_WRITE_FAILED: return node->disk.write_failed ? EXPLAINED_FOR_NOW : UNEXPLAINED;
    case STOP_NO_SUPERBLOCK:
    case STOP_WAL_DAMAGED: return node->disk.harm_seen[DEVICE_WAL] ? EXPLAINED_FOR_GOOD : UNEXPLAINED;
    case STOP_WAL_FULL: return node->disk.wal_full ? EXPLAINED_FOR_GOOD : UNEXPLAINED;
    case STOP_WRONG_CLUSTER:
    case STOP_WRONG_NODE:
    case STOP_WRONG_VERSION:
    case STOP_WRONG_GEOMETRY:
    case STOP_DATA_DAMAGED: return node->disk.harm_seen[DEVICE_DATA] ? EXPLAINED_FOR_GOOD : UNEXPLAINED;
    case STOP_REMOVED:
        return check_members_removed(world->scene.check, node->slot, effect->detail) ? EXPLAINED_FOR_GOOD : UNEXPLAINED;
    case STOP_DIVERGED:
    case STOP_MEMORY_DAMAGED:
    case STOP_DUPLICATE_NODE:
    case STOP_REPLACED_NODE: return UNEXPLAINED;
    }
    return UNEXPLAINED;
}

static void note_removed(struct world *world, const struct node *node)
{
    struct replica_view view;
    replica_inspect(node->replica, &view);
    const struct configuration *used = replica_configuration(node->replica);
    const uint8_t roles = view.slot < MEMBERS_MAX ? used->members[view.slot].roles : 0;
    coverage_fire(&world->scene.coverage, FAULT_STOPPED_REMOVED);
    if ((roles & (MEMBER_VOTER | MEMBER_VOTER_OLD)) == 0 || (view.flags & STORED_ABSTAIN) != 0)
        coverage_fire(&world->scene.coverage, FAULT_STOPPED_UNVOTED);
}

void node_stop(struct world *world, struct node *node, const struct effect *effect)
{
    struct check *check = world->scene.check;
    const enum explanation explanation = node_explain(world, node, effect);
    check_count(check, CHECK_STOP);
    if (explanation == UNEXPLAINED)
        check_fail(check, CHECK_STOP, node->slot, "stopped without a fault that explains it: %s (detail %llu)",
                   stop_reason_text(effect->stop), (unsigned long long)effect->detail);
    if (effect->stop == STOP_REMOVED)
        note_removed(world, node);
    node->stop = effect->stop;
    if (observed_by(&world->scene))
        observe(
            &world->scene,
            (struct observed){ .kind = OBSERVED_STOP, .who = node->slot, .stop = { effect->stop, effect->detail } });
    node_end(world, node);
    node->state = explanation == EXPLAINED_FOR_NOW ? NODE_DOWN : NODE_STOPPED;
    if (node->state == NODE_DOWN)
        node_schedule_restart(world, node);
}

void node_wipe(struct world *world, struct node *node)
{
    if (node->state == NODE_UP)
        node_crash(world, node);
    disk_wipe(&node->disk, &world->scene);
    node_format(world, node, INSTANCE_REJOIN | world->scene.now_ns);
    /* What it had stopped for is gone, too. */
    if (node->state == NODE_STOPPED) {
        node->state = NODE_DOWN;
        node_schedule_restart(world, node);
    }
}

static uint64_t node_timer_wait_ns(struct scene *scene, const struct node *node)
{
    const struct swarm *swarm = &scene->swarm;
    const uint64_t wait_ns = u64_max(swarm->timer_ns * swarm->timer_slowness[node->slot], node->timer_least_ns);
    if (swarm->demotions > 0)
        return choose_note(&scene->choose, SITE_TIMER, wait_ns, wait_ns);
    return choose_exponential(&scene->choose, SITE_TIMER, node->slot, wait_ns);
}

void node_arm_timer(struct world *world, struct node *node)
{
    struct scene *scene = &world->scene;
    uint64_t at_ns;
    /* Most deadlines only move on: the timer goes off early then, and arms the next. */
    if (node->deadline_ns == UINT64_MAX || (node->timer_armed && node->deadline_ns >= node->timer_deadline_ns))
        return;
    if (node->clock.untimed) {
        if (node->timer_armed || (scene->script != NULL && node->deadline_ns > node->shown_ns))
            return;
        choose_subject(&scene->choose, SUBJECT_TIMER, node->slot, CLASS_NONE);
        at_ns = scene->now_ns + 1 + node_timer_wait_ns(scene, node);
        if (node->deadline_ns <= node->shown_ns)
            at_ns = scene->now_ns;
    } else {
        at_ns = clock_due(&node->clock, scene->now_ns, node->deadline_ns);
        if (node->timer_armed && node->timer_ns <= at_ns)
            return;
    }
    node->timer_armed = true;
    node->timer_ns = at_ns;
    node->timer_deadline_ns = node->deadline_ns;
    const bool queued = queue_push(&scene->queue, at_ns, QUEUE_TIMER, node->slot, 0, node->life);
    ASSERT(queued);
}

/* Timers are not cancelled: one that went off early arms the next. */
void node_timer(struct world *world, struct node *node)
{
    if (node->timer_armed && world->scene.now_ns < node->timer_ns)
        return;
    node->timer_armed = false;
    if (node->deadline_ns == UINT64_MAX)
        return;
    /* It was armed for a step at once, which another input has brought already: time does not pass by itself. */
    if (node->clock.untimed && world->scene.script != NULL && node->deadline_ns > node->shown_ns)
        return;
    if (node->clock.untimed)
        clock_fire(&node->clock, node->deadline_ns);
    else if (clock_read(&node->clock, world->scene.now_ns) < node->deadline_ns) {
        node_arm_timer(world, node);
        return;
    }
    choose_subject(&world->scene.choose, SUBJECT_STEP, node->slot, CLASS_TICK);
    world_feed(world, node, &(struct input){ .kind = INPUT_TICK }, ENDPOINTS);
}

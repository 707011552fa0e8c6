/* Each kind of trouble comes at exponential intervals, drawn from its own stream. */
#include "nemesis.h"

#include "atlas.h"
#include "node.h"
#include "observe.h"
#include "pct.h"
#include "plot.h"

static uint64_t draw(struct world *world, enum choose_site site, enum nemesis_kind kind, uint64_t n)
{
    return choose(&world->scene.choose, site, kind, n);
}

static void nemesis_schedule(struct world *world, enum nemesis_kind kind)
{
    struct scene *scene = &world->scene;
    const uint64_t mean_ns = scene->swarm.nemesis_ns[kind];
    uint64_t at_ns;
    if (scene->healed)
        return;
    if (!choose_draws(&scene->choose))
        at_ns = choose_when(&scene->choose, SITE_STRIKE, kind);
    else if (mean_ns != 0)
        at_ns = scene->now_ns + 1 + choose_exponential(&scene->choose, SITE_STRIKE_DRAW, kind, mean_ns);
    else
        return;
    if (at_ns == UINT64_MAX)
        return;
    const bool queued = queue_push(&scene->queue, at_ns, QUEUE_NEMESIS, kind, 0, 0);
    ASSERT(queued);
}

void nemesis_start(struct world *world)
{
    for (enum nemesis_kind kind = 0; kind < NEMESIS_KINDS; kind++)
        nemesis_schedule(world, kind);
}

uint64_t nemesis_outage_ns(struct world *world, enum nemesis_kind kind)
{
    struct scene *scene = &world->scene;
    return 1 + choose_exponential(&scene->choose, SITE_STRIKE_FOR, kind, scene->swarm.outage_ns);
}

static void nemesis_schedule_mend(struct world *world, enum nemesis_kind kind)
{
    struct scene *scene = &world->scene;
    const uint64_t at_ns = scene->now_ns + nemesis_outage_ns(world, kind);
    const bool queued = queue_push(&scene->queue, at_ns, QUEUE_MEND, kind, 0, 0);
    ASSERT(queued);
}

/* The first node from `first` on that is up, or the last that leads; NULL if none is. */
static struct node *nemesis_find(struct world *world, uint32_t first, bool leader)
{
    const uint32_t count = world->scene.swarm.node_count;
    struct node *found = NULL;
    for (uint32_t i = 0; i < count; i++) {
        struct node *node = &world->nodes[(first + i) % count];
        if (node->state != NODE_UP)
            continue;
        if (found == NULL || (leader && node->role == RAFT_LEADER))
            found = node;
    }
    return found;
}

/* A node that is up, the leader in a quarter of the cases; NULL if none is. A trace says which, or means the leader. */
static struct node *nemesis_victim(struct world *world, enum nemesis_kind kind)
{
    struct choose *choices = &world->scene.choose;
    const uint32_t count = world->scene.swarm.node_count;
    struct node *victim = nemesis_find(world, 0, true);
    if (choose_draws(choices)) {
        const bool leader = draw(world, SITE_VICTIM_DRAW, kind, 4) == 3;
        const uint32_t first = (uint32_t)draw(world, SITE_VICTIM_DRAW, kind, count);
        struct node *drawn = nemesis_find(world, first, leader);
        choose_note(choices, SITE_VICTIM, drawn == victim ? 0 : 1 + drawn->slot, 0);
        return drawn;
    }
    const uint64_t named = choose_note(choices, SITE_VICTIM, 0, 0);
    if (named == 0)
        return victim;
    struct node *node = &world->nodes[(named - 1) % count];
    return node->state == NODE_UP ? node : NULL;
}

uint32_t nemesis_side(struct world *world, enum nemesis_kind kind)
{
    const uint32_t all = (1U << world->scene.swarm.node_count) - 1;
    return 1 + (uint32_t)draw(world, SITE_SIDE, kind, u32_max(all - 1, 1));
}

/* Cuts what goes from the nodes in `from` to those in `to`, and the clients of one side from the other. */
static void nemesis_cut_sides(struct world *world, enum nemesis_kind kind, uint32_t from, uint32_t to)
{
    const uint32_t count = world->scene.swarm.node_count;
    for (uint32_t a = 0; a < count; a++)
        for (uint32_t b = 0; b < count; b++)
            if ((from >> a & 1) != 0 && (to >> b & 1) != 0)
                network_cut(&world->network, &world->scene, a, b, kind);
}

static void nemesis_split(struct world *world, enum nemesis_kind kind)
{
    const uint32_t all = (1U << world->scene.swarm.node_count) - 1;
    const uint32_t side = nemesis_side(world, kind);
    nemesis_cut_sides(world, kind, side, all & ~side);
    if (kind == NEMESIS_SPLIT)
        nemesis_cut_sides(world, kind, all & ~side, side);
    nemesis_schedule_mend(world, kind);
}

static void nemesis_pair(struct world *world)
{
    const uint32_t count = world->scene.swarm.node_count;
    const uint32_t a = (uint32_t)draw(world, SITE_PAIR_A, NEMESIS_PAIR, count);
    const uint32_t b = (a + 1 + (uint32_t)draw(world, SITE_PAIR_B, NEMESIS_PAIR, count - 1)) % count;
    network_cut(&world->network, &world->scene, a, b, NEMESIS_PAIR);
    network_cut(&world->network, &world->scene, b, a, NEMESIS_PAIR);
    nemesis_schedule_mend(world, NEMESIS_PAIR);
}

/* Deaf, mute, or both; its clients can still talk to it. */
static void nemesis_isolate_leader(struct world *world)
{
    const uint32_t count = world->scene.swarm.node_count;
    const uint64_t mode = draw(world, SITE_LEADER_MODE, NEMESIS_LEADER, 3);
    for (uint32_t slot = 0; slot < count; slot++) {
        if (world->nodes[slot].state != NODE_UP || world->nodes[slot].role != RAFT_LEADER)
            continue;
        for (uint32_t other = 0; other < count; other++) {
            if (mode != 1 && other != slot)
                network_cut(&world->network, &world->scene, slot, other, NEMESIS_LEADER);
            if (mode != 2 && other != slot)
                network_cut(&world->network, &world->scene, other, slot, NEMESIS_LEADER);
        }
        nemesis_schedule_mend(world, NEMESIS_LEADER);
        return;
    }
}

static void nemesis_cut_clients(struct world *world)
{
    const struct swarm *swarm = &world->scene.swarm;
    for (uint32_t client = 0; client < swarm->client_count; client++)
        for (uint32_t node = 0; node < swarm->node_count; node++) {
            const uint64_t mode = draw(world, SITE_CLIENT_MODES, NEMESIS_CLIENTS, 4);
            if (mode == 1 || mode == 3)
                network_cut(&world->network, &world->scene, ENDPOINT_CLIENT + client, node, NEMESIS_CLIENTS);
            if (mode == 2 || mode == 3)
                network_cut(&world->network, &world->scene, node, ENDPOINT_CLIENT + client, NEMESIS_CLIENTS);
        }
    nemesis_schedule_mend(world, NEMESIS_CLIENTS);
}

/* One link, or all that leaves a node, holds everything and lets it go at once. */
static void nemesis_clog(struct world *world)
{
    const uint32_t count = world->scene.swarm.node_count;
    const uint64_t until_ns = world->scene.now_ns + nemesis_outage_ns(world, NEMESIS_CLOG);
    const uint32_t from = (uint32_t)draw(world, SITE_CLOG_FROM, NEMESIS_CLOG, count);
    const uint32_t to = (uint32_t)draw(world, SITE_CLOG_TO, NEMESIS_CLOG, count);
    const bool all = draw(world, SITE_CLOG_ALL, NEMESIS_CLOG, 2) == 1;
    for (uint32_t other = 0; other < ENDPOINTS; other++)
        if (other != from && (all || other == to))
            network_clog(&world->network, &world->scene, from, other, until_ns);
}

static void nemesis_jump(struct world *world, enum nemesis_kind kind)
{
    struct scene *scene = &world->scene;
    const uint64_t election_ns = scene_election_ns(scene);
    struct node *node = nemesis_victim(world, kind);
    const uint64_t by_ns = choose_octave(&scene->choose, SITE_JUMP_BY, kind, election_ns / 16, 4 * election_ns);
    if (node == NULL)
        return;
    if (observed_by(scene))
        observe_fault(scene, node->slot, kind == NEMESIS_FORWARD ? FAULT_CLOCK_FORWARD : FAULT_CLOCK_BACKWARD);
    if (kind == NEMESIS_FORWARD) {
        clock_jump_forward(&node->clock, scene->now_ns, by_ns);
        coverage_fire(&scene->coverage, FAULT_CLOCK_FORWARD);
        node->timer_deadline_ns = UINT64_MAX; /* the armed timer would be late */
        node_arm_timer(world, node);
    } else {
        clock_jump_backward(&node->clock, scene->now_ns, by_ns);
        coverage_fire(&scene->coverage, FAULT_CLOCK_BACKWARD);
    }
}

/* Damage, to any node in any state. */
static void nemesis_damage(struct world *world, enum nemesis_kind kind)
{
    struct scene *scene = &world->scene;
    struct disk *disk = &world->nodes[draw(world, SITE_DAMAGE_OF, kind, scene->swarm.node_count)].disk;
    if (kind == NEMESIS_ROT) {
        disk_rot(disk, scene);
    } else if (kind == NEMESIS_STICKY) {
        disk_go_bad(disk, scene);
    } else if (kind == NEMESIS_WIPE) {
        if (atlas_allows_wipe(scene, disk))
            node_wipe(world, &world->nodes[disk->node]);
    } else {
        const uint32_t harmed =
            disk_harm_superblock(disk, scene, 1 + (uint32_t)draw(world, SITE_COPIES, kind, SUPERBLOCK_COPIES));
        if (harmed > 0)
            coverage_fire(&scene->coverage, harmed == SUPERBLOCK_COPIES ? FAULT_SUPERBLOCK_ALL : FAULT_SUPERBLOCK_SOME);
    }
}

/* The power comes back for all at once, and goes again while they read their disks. */
static void nemesis_power_returns(struct world *world)
{
    struct scene *scene = &world->scene;
    const uint64_t typical_ns = 1 + 8 * scene->swarm.disk_ns;
    const uint64_t back_ns =
        scene->now_ns + 1 + draw(world, SITE_AGAIN_BACK, NEMESIS_POWER_AGAIN, scene_election_ns(scene));
    bool queued = true;
    for (uint32_t slot = 0; slot < scene->swarm.node_count; slot++)
        queued = queued && queue_push(&scene->queue, back_ns, QUEUE_RESTART, slot, 0, world->nodes[slot].life);
    const uint64_t gone_ns =
        back_ns + choose_exponential(&scene->choose, SITE_AGAIN_GONE, NEMESIS_POWER_AGAIN, typical_ns);
    queued = queued && queue_push(&scene->queue, gone_ns, QUEUE_NEMESIS, NEMESIS_POWER_AGAIN, 0, 0);
    ASSERT(queued);
}

void nemesis_power(struct world *world)
{
    struct scene *scene = &world->scene;
    for (uint32_t slot = 0; slot < scene->swarm.node_count; slot++)
        if (world->nodes[slot].state == NODE_UP)
            node_crash(world, &world->nodes[slot]);
    choose_subject(&scene->choose, SUBJECT_POWER, 0, CLASS_NONE);
    if (choose_chance(&scene->choose, SITE_AGAIN, NEMESIS_POWER_AGAIN, scene->swarm.power_again))
        nemesis_power_returns(world);
}

static void nemesis_power_again(struct world *world)
{
    uint32_t recovering = 0;
    for (uint32_t slot = 0; slot < world->scene.swarm.node_count; slot++)
        recovering += world->nodes[slot].state == NODE_UP && world->nodes[slot].role == RAFT_STARTING;
    if (recovering > 0)
        coverage_fire(&world->scene.coverage, FAULT_POWER_LOSS_AGAIN);
    nemesis_power(world);
}

static void nemesis_strike_node(struct world *world, enum nemesis_kind kind)
{
    struct scene *scene = &world->scene;
    static const enum fault_kind faults[NEMESIS_KINDS] = {
        [NEMESIS_STALL] = FAULT_DISK_STALL,
        [NEMESIS_SLOW] = FAULT_DISK_SLOW,
        [NEMESIS_STUCK] = FAULT_DISK_STUCK,
    };
    struct node *node = nemesis_victim(world, kind);
    if (node == NULL)
        return;
    if (observed_by(scene) && faults[kind] != 0)
        observe_fault(scene, node->slot, faults[kind]);
    if (kind == NEMESIS_CRASH) {
        coverage_fire(&scene->coverage, FAULT_CRASH);
        node_crash(world, node);
    } else if (kind == NEMESIS_PAUSE) {
        coverage_fire(&scene->coverage, FAULT_PAUSE);
        node->resume_ns = scene->now_ns + nemesis_outage_ns(world, kind);
        if (observed_by(scene))
            observe(scene, (struct observed){ .kind = OBSERVED_PAUSE, .who = node->slot, .until_ns = node->resume_ns });
    } else if (kind == NEMESIS_STALL) {
        disk_stall(&node->disk, scene->now_ns + nemesis_outage_ns(world, kind));
    } else if (kind == NEMESIS_SLOW) {
        const uint64_t factor = choose_octave(&scene->choose, SITE_SLOW_FACTOR, kind, 4, 128);
        disk_slow_down(&node->disk, scene->now_ns + nemesis_outage_ns(world, kind), (uint32_t)factor);
    } else {
        const uint64_t election_ns = scene_election_ns(scene);
        disk_stick(&node->disk, scene->now_ns + election_ns + nemesis_outage_ns(world, kind));
    }
}

void nemesis_strike(struct world *world, enum nemesis_kind kind)
{
    if (world->scene.healed)
        return;
    choose_subject(&world->scene.choose, SUBJECT_STRIKE, kind, CLASS_NONE);
    if (kind != NEMESIS_POWER_AGAIN)
        choose_note(&world->scene.choose, SITE_STRIKE, 1, 0);
    nemesis_schedule(world, kind);
    switch (kind) {
    case NEMESIS_SPLIT:
    case NEMESIS_ONE_WAY: nemesis_split(world, kind); return;
    case NEMESIS_PAIR: nemesis_pair(world); return;
    case NEMESIS_LEADER: nemesis_isolate_leader(world); return;
    case NEMESIS_CLIENTS: nemesis_cut_clients(world); return;
    case NEMESIS_CLOG: nemesis_clog(world); return;
    case NEMESIS_CRASH:
    case NEMESIS_PAUSE:
    case NEMESIS_STALL:
    case NEMESIS_SLOW:
    case NEMESIS_STUCK: nemesis_strike_node(world, kind); return;
    case NEMESIS_POWER:
        coverage_fire(&world->scene.coverage, FAULT_POWER_LOSS);
        nemesis_power(world);
        return;
    case NEMESIS_POWER_AGAIN: nemesis_power_again(world); return;
    case NEMESIS_FORWARD:
    case NEMESIS_BACKWARD: nemesis_jump(world, kind); return;
    case NEMESIS_ROT:
    case NEMESIS_STICKY:
    case NEMESIS_WIPE:
    case NEMESIS_SUPERBLOCK: nemesis_damage(world, kind); return;
    case NEMESIS_DEMOTE: pct_strike(world); return;
    case NEMESIS_SWIZZLE:
    case NEMESIS_ROLLING:
    case NEMESIS_HUNT:
    case NEMESIS_HOLDER: plot_strike(world, kind); return;
    case NEMESIS_KINDS: break;
    }
    UNREACHABLE();
}

void nemesis_mend(struct world *world, uint32_t reason) { network_mend(&world->network, &world->scene, reason); }

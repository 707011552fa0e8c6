/* Plots, act by act. */
#include "plot.h"

#include "../core/inspect.h"
#include "nemesis.h"
#include "node.h"
#include "observe.h"

enum { HUNTED_MAX = 6, TRIES_MAX = 12 };
enum hunt_way { HUNT_CRASH, HUNT_CUT, HUNT_PAUSE, HUNT_WAYS };

static struct plot *plot_of(struct world *world, enum nemesis_kind kind)
{
    ASSERT(kind >= NEMESIS_SWIZZLE && kind <= NEMESIS_HOLDER);
    return &world->plots[kind - NEMESIS_SWIZZLE];
}

static void plot_continue(struct world *world, enum nemesis_kind kind, uint64_t at_ns)
{
    const bool queued = queue_push(&world->scene.queue, at_ns, QUEUE_NEMESIS, kind, 0, plot_of(world, kind)->number);
    ASSERT(queued);
}

/* One of all orders of the nodes in `side`; 0: as they are numbered. Returns how many there are. */
static uint32_t plot_order(struct world *world, enum nemesis_kind kind, enum choose_site site, uint32_t side,
                           uint32_t order[VOTERS_MAX])
{
    uint32_t count = 0;
    uint64_t ways = 1;
    for (uint32_t slot = 0; slot < world->scene.swarm.node_count; slot++)
        if ((side >> slot & 1) != 0) {
            order[count++] = slot;
            ways *= count;
        }
    uint64_t way = choose(&world->scene.choose, site, kind, ways);
    for (uint32_t i = 0; i + 1 < count; i++) {
        const uint32_t from = i + (uint32_t)(way % (count - i));
        const uint32_t slot = order[from];
        way /= count - i;
        for (uint32_t k = from; k > i; k--)
            order[k] = order[k - 1];
        order[i] = slot;
    }
    return count;
}

static uint64_t plot_gap_ns(struct world *world, enum nemesis_kind kind)
{
    struct scene *scene = &world->scene;
    return 1 + choose_exponential(&scene->choose, SITE_PLOT_GAP, kind, scene_election_ns(scene) / 2);
}

static void plot_isolate(struct world *world, uint32_t slot, uint32_t reason)
{
    for (uint32_t other = 0; other < world->scene.swarm.node_count; other++) {
        if (other == slot)
            continue;
        network_cut(&world->network, &world->scene, slot, other, reason);
        network_cut(&world->network, &world->scene, other, slot, reason);
    }
}

static void plot_mend_later(struct world *world, uint32_t reason, uint64_t after_ns)
{
    const bool queued = queue_push(&world->scene.queue, world->scene.now_ns + after_ns, QUEUE_MEND, reason, 0, 0);
    ASSERT(queued);
}

/* The one that leads in the highest term; NULL: none does. */
static struct node *plot_leader(struct world *world)
{
    struct node *leader = NULL;
    uint64_t term = 0;
    for (uint32_t slot = 0; slot < world->scene.swarm.node_count; slot++) {
        struct node *node = &world->nodes[slot];
        struct replica_view view;
        if (node->state != NODE_UP || node->role != RAFT_LEADER)
            continue;
        replica_inspect(node->replica, &view);
        if (leader == NULL || view.term > term)
            leader = node;
        term = u64_max(term, view.term);
    }
    return leader;
}

static void swizzle_begin(struct world *world, struct plot *plot)
{
    const enum nemesis_kind kind = NEMESIS_SWIZZLE;
    const uint32_t side = nemesis_side(world, kind);
    uint32_t back[VOTERS_MAX] = { 0 };
    plot->count = plot_order(world, kind, SITE_PLOT_ORDER, side, plot->order);
    plot_order(world, kind, SITE_PLOT_BACK, side, back);
    plot->gap_ns = plot_gap_ns(world, kind) / plot->count + 1;
    const uint64_t all_ns = world->scene.now_ns + plot->gap_ns * plot->count + nemesis_outage_ns(world, kind);
    for (uint32_t i = 0; i < plot->count; i++)
        plot->until_ns[back[i]] = all_ns + plot->gap_ns * i;
}

static void swizzle_act(struct world *world, struct plot *plot)
{
    struct scene *scene = &world->scene;
    const uint32_t slot = plot->order[plot->next++];
    for (uint32_t other = 0; other < ENDPOINTS; other++)
        if (other != slot) {
            network_clog(&world->network, scene, slot, other, plot->until_ns[slot]);
            network_clog(&world->network, scene, other, slot, plot->until_ns[slot]);
        }
    if (plot->next < plot->count)
        plot_continue(world, NEMESIS_SWIZZLE, scene->now_ns + plot->gap_ns);
    else if (plot->count > 1)
        coverage_fire(&scene->coverage, FAULT_SWIZZLE);
}

/* Waits for the one before, but not for ever: its disk may have ended it. */
static void rolling_act(struct world *world, struct plot *plot)
{
    struct scene *scene = &world->scene;
    if (plot->next > 0 && plot->tries < TRIES_MAX) {
        const struct node *before = &world->nodes[plot->order[plot->next - 1]];
        if (before->state == NODE_DOWN || before->role == RAFT_STARTING) {
            plot->tries++;
            plot_continue(world, NEMESIS_ROLLING, scene->now_ns + plot->gap_ns);
            return;
        }
    }
    struct node *node = &world->nodes[plot->order[plot->next++]];
    plot->tries = 0;
    if (node->state == NODE_UP)
        node_crash(world, node);
    if (plot->next < plot->count)
        plot_continue(world, NEMESIS_ROLLING, scene->now_ns + plot->gap_ns);
    else
        coverage_fire(&scene->coverage, FAULT_ROLLING_RESTART);
}

static void hunt_strike(struct world *world, const struct plot *plot, struct node *leader)
{
    struct scene *scene = &world->scene;
    switch ((enum hunt_way)plot->how) {
    case HUNT_CRASH: node_crash(world, leader); return;
    case HUNT_CUT:
        network_mend(&world->network, scene, CUT_HUNT);
        plot_isolate(world, leader->slot, CUT_HUNT);
        return;
    case HUNT_PAUSE:
        leader->resume_ns = scene->now_ns + plot->for_ns;
        if (observed_by(scene))
            observe(scene,
                    (struct observed){ .kind = OBSERVED_PAUSE, .who = leader->slot, .until_ns = leader->resume_ns });
        return;
    case HUNT_WAYS: break;
    }
    UNREACHABLE();
}

static void hunt_act(struct world *world, struct plot *plot)
{
    struct scene *scene = &world->scene;
    struct node *leader = plot_leader(world);
    const bool free = leader != NULL && !node_paused(world, leader)
                      && (plot->how != HUNT_CUT || plot->next == 0 || plot->order[0] != leader->slot);
    if (free) {
        if (plot->next > 0)
            coverage_fire(&scene->coverage, FAULT_LEADER_HUNTED);
        plot->order[0] = leader->slot;
        plot->next++;
        plot->tries = 0;
        hunt_strike(world, plot, leader);
    } else {
        plot->tries++;
    }
    if (plot->next < plot->count && plot->tries < TRIES_MAX)
        plot_continue(world, NEMESIS_HUNT, scene->now_ns + plot->gap_ns);
    else if (plot->how == HUNT_CUT)
        plot_mend_later(world, CUT_HUNT, plot->for_ns);
}

/* Holds the later term, or the longer log of the same (Raft 3.6.1). */
static bool holds_more(const struct replica_view *a, const struct replica_view *b)
{
    return a->last.term != b->last.term ? a->last.term > b->last.term : a->last.index > b->last.index;
}

static void holder_act(struct world *world, struct plot *plot)
{
    struct node *leader = plot_leader(world);
    struct node *holder = NULL;
    struct replica_view most = { .last = { .term = 0 } };
    for (uint32_t slot = 0; slot < world->scene.swarm.node_count; slot++) {
        struct node *node = &world->nodes[slot];
        struct replica_view view;
        if (node->state != NODE_UP || node == leader || node->role == RAFT_STARTING)
            continue;
        replica_inspect(node->replica, &view);
        if (holder != NULL && !holds_more(&view, &most))
            continue;
        holder = node;
        most = view;
    }
    if (holder == NULL)
        return;
    network_mend(&world->network, &world->scene, CUT_HOLDER);
    plot_isolate(world, holder->slot, CUT_HOLDER);
    plot_mend_later(world, CUT_HOLDER, plot->for_ns);
    if (leader != NULL && plot->how != 0)
        node_crash(world, leader);
}

void plot_strike(struct world *world, enum nemesis_kind kind)
{
    struct choose *choices = &world->scene.choose;
    const uint32_t all = (1U << world->scene.swarm.node_count) - 1;
    struct plot *plot = plot_of(world, kind);
    *plot = (struct plot){ .number = plot->number + 1 };
    if (kind == NEMESIS_SWIZZLE) {
        swizzle_begin(world, plot);
    } else if (kind == NEMESIS_ROLLING) {
        plot->count = plot_order(world, kind, SITE_PLOT_ORDER, all, plot->order);
        plot->gap_ns = plot_gap_ns(world, kind);
    } else if (kind == NEMESIS_HUNT) {
        plot->how = choose(choices, SITE_LEADER_MODE, kind, HUNT_WAYS);
        plot->count = 2 + (uint32_t)choose(choices, SITE_PLOT_TIMES, kind, HUNTED_MAX - 1);
        plot->gap_ns = plot_gap_ns(world, kind);
        plot->for_ns = nemesis_outage_ns(world, kind);
    } else {
        plot->how = choose(choices, SITE_LEADER_MODE, kind, 2);
        plot->for_ns = nemesis_outage_ns(world, kind);
    }
    plot_act(world, kind, plot->number);
}

void plot_act(struct world *world, enum nemesis_kind kind, uint32_t number)
{
    static void (*const acts[PLOTS])(struct world *, struct plot *) = { swizzle_act, rolling_act, hunt_act,
                                                                        holder_act };
    struct plot *plot = plot_of(world, kind);
    if (world->scene.healed || number != plot->number)
        return;
    acts[kind - NEMESIS_SWIZZLE](world, plot);
}

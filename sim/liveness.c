/* Healing, and the demands after it. */
#include "liveness.h"

#include "../core/inspect.h"
#include "node.h"

enum outsider_state { OUTSIDER_NONE, OUTSIDER_DOWN, OUTSIDER_ISOLATED, OUTSIDER_MUTE, OUTSIDER_DEAF, OUTSIDER_STATES };

/* A deaf node campaigns for ever, which only PreVote and CheckQuorum together keep harmless (Raft 9.6, 4.2.3). */
static enum outsider_state liveness_draw_outsider(struct world *world)
{
    struct scene *scene = &world->scene;
    const struct replica_config *config = &scene->swarm.configs[0];
    const bool protected = config->pre_vote && config->check_quorum;
    return (enum outsider_state)choose(&scene->choose, CHOOSE_HEAL, 0, protected ? OUTSIDER_STATES : OUTSIDER_DEAF);
}

static void liveness_cast_out(struct world *world, struct node *node, enum outsider_state state)
{
    node->outsider = true;
    coverage_fire(&world->scene.coverage, FAULT_OUTSIDER);
    if (state == OUTSIDER_DOWN) {
        if (node->state == NODE_UP)
            node_crash(world, node);
        return;
    }
    for (uint32_t other = 0; other < ENDPOINTS; other++) {
        if (state != OUTSIDER_DEAF)
            network_cut(&world->network, node->slot, other, CUT_OUTSIDER);
        if (state != OUTSIDER_MUTE)
            network_cut(&world->network, other, node->slot, CUT_OUTSIDER);
    }
}

/* As many as a majority can do without, beside those that are down for good. */
static void liveness_draw_outsiders(struct world *world)
{
    struct scene *scene = &world->scene;
    const uint32_t count = scene->swarm.node_count;
    uint32_t spare = (count - 1) / 2;
    for (uint32_t slot = 0; slot < count; slot++)
        if (world->nodes[slot].state == NODE_STOPPED || world->nodes[slot].disk.damaged)
            spare -= spare > 0;
    if (!scene->swarm.faults || choose(&scene->choose, CHOOSE_HEAL, 0, 3) != 2)
        return;
    const uint32_t first = (uint32_t)choose(&scene->choose, CHOOSE_HEAL, 0, count);
    for (uint32_t i = 0; i < count && spare > 0; i++) {
        struct node *node = &world->nodes[(first + i) % count];
        const enum outsider_state state = liveness_draw_outsider(world);
        if (state == OUTSIDER_NONE || node->state == NODE_STOPPED || node->disk.damaged)
            continue;
        liveness_cast_out(world, node, state);
        spare--;
    }
}

void liveness_begin(struct world *world)
{
    struct scene *scene = &world->scene;
    scene->healed = true;
    world->heal_ns = scene->now_ns;
    world->heal_step = scene->step;
    network_heal(&world->network);
    queue_hasten(&scene->queue, QUEUE_DISK, scene->now_ns + scene_election_ns(scene) / 64);
    liveness_draw_outsiders(world);
    for (uint32_t slot = 0; slot < scene->swarm.node_count; slot++) {
        struct node *node = &world->nodes[slot];
        node->resume_ns = 0;
        node->disk.stalled_ns = 0;
        if (node->state == NODE_STOPPED)
            continue;
        clock_heal(&node->clock, scene->now_ns, node->shown_ns);
        node->timer_armed = false;
        if (node->state == NODE_UP)
            node_arm_timer(world, node);
        else if (!node->outsider)
            node_start(world, node);
    }
    workload_heal(&world->workload, scene);
}

struct liveness_survey {
    uint32_t alive;    /* nodes that must make progress */
    uint32_t leaders;
    bool log_full;     /* one of them, or one that stopped, has no room for clients */
    bool equal;        /* all have applied and hold the same */
    bool caught_up;    /* and that is everything */
};

static bool liveness_log_full(const struct limits *limits, const struct replica_view *view)
{
    const uint64_t batch_blocks = limits->wal_batch_bytes_max / limits->block_bytes;
    return view->wal_blocks_used + batch_blocks + limits->wal_reserve_blocks > limits->wal_body_blocks
           || view->last.index + 8 > limits->log_entries_max;
}

static void liveness_survey(const struct world *world, struct liveness_survey *survey)
{
    const struct swarm *swarm = &world->scene.swarm;
    struct replica_view first = { 0 };
    *survey = (struct liveness_survey){ .equal = true, .caught_up = true };
    for (uint32_t slot = 0; slot < swarm->node_count; slot++) {
        const struct node *node = &world->nodes[slot];
        if (node->state == NODE_STOPPED && node->stop == STOP_WAL_FULL)
            survey->log_full = true;
        if (node->state != NODE_UP || node->outsider)
            continue;
        struct replica_view view;
        replica_inspect(node->replica, &view);
        if (survey->alive++ == 0)
            first = view;
        survey->leaders += view.role == RAFT_LEADER;
        survey->log_full |= liveness_log_full(&swarm->limits, &view);
        survey->equal &= view.applied == first.applied && view.state_digest == first.state_digest;
        survey->caught_up &= view.applied == view.last.index && view.commit == view.last.index;
    }
}

static void liveness_fail(struct world *world, const struct liveness_survey *survey)
{
    const struct workload *workload = &world->workload;
    const char *missing = survey->leaders != 1              ? "there is not one leader"
                          : !workload_settled(workload)     ? "calls are still without an outcome"
                          : !survey->equal || !survey->caught_up ? "not all live voters have caught up"
                                                            : "nothing";
    check_fail(world->scene.check, CHECK_LIVENESS, UINT32_MAX,
               "%u maximum election timeouts (or %llu steps) after healing %s: %u alive, %u leaders, %u open calls, "
               "prober at step %u",
               (unsigned)LIVENESS_BOUND_TIMEOUTS, (unsigned long long)(world->scene.step - world->heal_step), missing,
               survey->alive, survey->leaders, workload->open, workload->clients[CLIENT_PROBER].script);
}

/* A log without room can do less, and must do that much: see README.md, "Full logs". */
static bool liveness_relaxed(const struct world *world, const struct liveness_survey *survey)
{
    const uint32_t majority = world->scene.swarm.node_count / 2 + 1;
    return survey->log_full || survey->alive < majority;
}

enum { SURVEY_INTERVAL_STEPS = 8, LIVENESS_STEPS_MAX = 20000 };

bool liveness_over(struct world *world)
{
    struct scene *scene = &world->scene;
    const uint64_t bound_ns = LIVENESS_BOUND_TIMEOUTS * 2ULL * scene_election_ns(scene);
    const bool late = scene->now_ns > world->heal_ns + bound_ns || scene->step - world->heal_step > LIVENESS_STEPS_MAX;
    if (!late && (!workload_settled(&world->workload) || scene->step % SURVEY_INTERVAL_STEPS != 0))
        return false;
    struct liveness_survey survey;
    liveness_survey(world, &survey);
    if (workload_settled(&world->workload) && survey.leaders == 1 && survey.equal && survey.caught_up) {
        check_count(scene->check, CHECK_LIVENESS);
        scene->coverage.schedules_log_full += world->workload.no_space;
        return true;
    }
    if (!late)
        return false;
    if (liveness_relaxed(world, &survey))
        scene->coverage.schedules_log_full++;
    else
        liveness_fail(world, &survey);
    return true;
}

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
    return (enum outsider_state)choose(&scene->choose, SITE_HEAL_DRAW, 0, protected ? OUTSIDER_STATES : OUTSIDER_DEAF);
}

static void liveness_cast_out(struct world *world, struct node *node, enum outsider_state state)
{
    const struct scene *scene = &world->scene;
    node->outsider = true;
    coverage_fire(&world->scene.coverage, FAULT_OUTSIDER);
    if (state == OUTSIDER_DOWN) {
        if (node->state == NODE_UP)
            node_crash(world, node);
        return;
    }
    for (uint32_t other = 0; other < ENDPOINTS; other++) {
        if (state != OUTSIDER_DEAF)
            network_cut(&world->network, scene, node->slot, other, CUT_OUTSIDER);
        if (state != OUTSIDER_MUTE)
            network_cut(&world->network, scene, other, node->slot, CUT_OUTSIDER);
    }
}

/* Down for good, or struck: a set of nodes. Who has stopped because it was removed is started again when it is wanted.
 */
static uint32_t liveness_gone(const struct world *world)
{
    uint32_t gone = 0;
    for (uint32_t slot = 0; slot < world->scene.swarm.node_count; slot++) {
        const struct node *node = &world->nodes[slot];
        if ((node->state == NODE_STOPPED && node->stop != STOP_REMOVED) || node->disk.struck)
            gone |= 1u << slot;
    }
    return gone;
}

static bool liveness_may_cast_out(const struct world *world, const struct node *node, uint32_t gone)
{
    return node->state != NODE_STOPPED && !node->disk.struck
           && !check_members_need(world->scene.check, gone | 1u << node->slot);
}

static void liveness_draw_outsiders(struct world *world)
{
    struct scene *scene = &world->scene;
    const uint32_t count = scene->swarm.node_count;
    const bool draws = choose_draws(&scene->choose);
    uint32_t gone = liveness_gone(world);
    if (draws && (!scene->swarm.faults || choose(&scene->choose, SITE_HEAL_DRAW, 0, 3) != 2))
        return;
    /* If each has lost something, all are needed. */
    if (scene->swarm.regime == REGIME_PLACES && gone != 0)
        return;
    const uint32_t first = draws ? (uint32_t)choose(&scene->choose, SITE_HEAL_DRAW, 0, count) : 0;
    for (uint32_t i = 0; i < count; i++) {
        struct node *node = &world->nodes[(first + i) % count];
        enum outsider_state state = draws ? liveness_draw_outsider(world) : OUTSIDER_NONE;
        choose_resume(&scene->choose, SUBJECT_NODE, node->slot, CLASS_NONE, 0);
        if (draws && !liveness_may_cast_out(world, node, gone))
            state = OUTSIDER_NONE;
        state = (enum outsider_state)u64_min(choose_note(&scene->choose, SITE_OUTSIDER, state, OUTSIDER_NONE),
                                             OUTSIDER_STATES - 1);
        if (state == OUTSIDER_NONE || !liveness_may_cast_out(world, node, gone))
            continue;
        liveness_cast_out(world, node, state);
        gone |= 1u << node->slot;
    }
}

void liveness_begin(struct world *world)
{
    struct scene *scene = &world->scene;
    scene->healed = true;
    network_heal(&world->network, scene);
    queue_hasten(&scene->queue, QUEUE_DISK, scene->now_ns + scene_election_ns(scene) / 64);
    queue_hasten(&scene->queue, QUEUE_MEMBERS, scene->now_ns + scene_election_ns(scene));
    liveness_draw_outsiders(world);
    for (uint32_t slot = 0; slot < scene->swarm.node_count; slot++) {
        struct node *node = &world->nodes[slot];
        node->resume_ns = 0;
        node->disk.stalled_ns = node->disk.stuck_ns = 0;
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
    world->liveness = (struct liveness){
        .heal_ns = scene->now_ns,
        .heal_step = scene->step,
        .heal_calls = world->workload.open + 1, /* and what the prober begins */
    };
}

struct liveness_survey {
    uint32_t alive; /* members that must make progress: neither outsiders nor stopped for good */
    uint32_t able;  /* of them, those that do not abstain, which only a leader can end: a set of nodes */
    uint32_t leaders;
    bool log_full;  /* one of them, or one that stopped, has no room for clients */
    bool joint;     /* a leader has not left the joint configuration yet */
    bool misled;    /* one that was removed still takes itself for a member, though one that it asks could tell it */
    bool equal;     /* all have applied and hold the same */
    bool caught_up; /* and that is everything */
};

static bool liveness_log_full(const struct limits *limits, const struct replica_view *view)
{
    const uint64_t batch_blocks = limits->wal_batch_bytes_max / limits->block_bytes;
    return view->wal_blocks_used + batch_blocks + limits->wal_reserve_blocks > limits->wal_body_blocks
           || view->last.index + 8 > limits->log_entries_max;
}

/* Is one whom it asks for votes a live member, and can so tell it that it was removed? */
static bool liveness_knows_member(const struct world *world, const struct node *node, uint32_t members)
{
    const struct configuration *used = replica_configuration(node->replica);
    for (uint32_t slot = 0; slot < world->scene.swarm.node_count; slot++) {
        const struct node *other = &world->nodes[slot];
        if ((members >> slot & 1) != 0 && other->state == NODE_UP && !other->outsider
            && configuration_is_voter(used, world->scene.swarm.configs[slot].node_id))
            return true;
    }
    return false;
}

static void liveness_survey(const struct world *world, struct liveness_survey *survey)
{
    const struct swarm *swarm = &world->scene.swarm;
    const uint32_t members = check_members(world->scene.check);
    struct replica_view first = { 0 };
    *survey = (struct liveness_survey){ .equal = true, .caught_up = true };
    for (uint32_t slot = 0; slot < swarm->node_count; slot++) {
        const struct node *node = &world->nodes[slot];
        if (node->state == NODE_STOPPED && node->stop == STOP_WAL_FULL)
            survey->log_full = true;
        if ((node->state == NODE_STOPPED && node->stop != STOP_REMOVED) || node->outsider)
            continue;
        struct replica_view view = { 0 };
        if (node->state == NODE_UP)
            replica_inspect(node->replica, &view);
        if (view.role == RAFT_LEADER) {
            survey->leaders += configuration_is_voter(replica_configuration(node->replica), view.node_id);
            survey->joint |= configuration_is_joint(replica_configuration(node->replica));
        }
        if ((members >> slot & 1) == 0) {
            survey->misled |=
                node->state == NODE_UP && view.slot < MEMBERS_MAX && liveness_knows_member(world, node, members);
            continue;
        }
        survey->alive++;
        if (survey->alive == 1)
            first = view;
        survey->able |= (uint32_t)((view.flags & STORED_ABSTAIN) == 0) << slot;
        survey->log_full |= liveness_log_full(&swarm->limits, &view);
        survey->equal &= view.applied == first.applied && view.state_digest == first.state_digest;
        survey->caught_up &= node->state == NODE_UP && view.applied == view.last.index && view.commit == view.last.index
                             && view.rejoin == REJOIN_WHOLE;
    }
}

static void liveness_fail(struct world *world, const struct liveness_survey *survey)
{
    const struct workload *workload = &world->workload;
    const char *missing = survey->leaders != 1                   ? "there is not one leader"
                          : !workload_settled(workload)          ? "calls are still without an outcome"
                          : survey->joint                        ? "the joint configuration is not left"
                          : survey->misled                       ? "one that was removed has not been told"
                          : !survey->equal || !survey->caught_up ? "not all live members have caught up"
                                                                 : "nothing";
    check_fail(world->scene.check, CHECK_LIVENESS, UINT32_MAX,
               "%u maximum election timeouts after healing %s: %u alive, %u leaders, %u open calls, prober at step %u",
               (unsigned)LIVENESS_BOUND_TIMEOUTS, missing, survey->alive, survey->leaders, workload->open,
               workload->clients[CLIENT_PROBER].script);
}

enum { QUEUE_FILLED_MAX = 16, SURVEY_INTERVAL_STEPS = 8, LIVENESS_STEPS_MAX = 20000, QUESTION_STEPS_MAX = 2000 };

static uint64_t liveness_timeouts_ns(const struct scene *scene, uint64_t timeouts)
{
    return timeouts * 2 * scene_election_ns(scene);
}

static void liveness_met(struct world *world, enum liveness_demand demand, uint64_t times)
{
    world->scene.coverage.demands[world->liveness.world][demand] += times;
    if (times > 0)
        check_count(world->scene.check, CHECK_LIVENESS);
}

/* Followers whose logs are full of what is not committed keep a leader from committing anything. What it has taken
 * until its queues are full waits with it; of long queues that is all that clients send in the time there is. */
static bool liveness_may_wait(const struct world *world)
{
    const struct limits *limits = &world->scene.swarm.limits;
    return world->liveness.world == LIVENESS_FULL
           && u32_max(limits->pending_writes_max, limits->pending_reads_max) > QUEUE_FILLED_MAX;
}

/* The world could not do everything, and need not: but nobody may be left without any answer. */
static void liveness_check_calls(struct world *world, uint32_t alive)
{
    const struct scene *scene = &world->scene;
    const uint64_t since_ns = world->liveness.heal_ns + liveness_timeouts_ns(scene, LIVENESS_BOUND_TIMEOUTS / 2);
    uint32_t unanswered;
    const uint32_t answered = workload_answered(&world->workload, since_ns, &unanswered);
    if (alive > 0 && unanswered != UINT32_MAX && !liveness_may_wait(world))
        check_fail(scene->check, CHECK_LIVENESS, UINT32_MAX,
                   "%u maximum election timeouts after healing no node has answered call %u, not even to refuse it",
                   (unsigned)LIVENESS_BOUND_TIMEOUTS, unanswered);
    liveness_met(world, DEMAND_CALL, answered);
}

/* Where anything may have been lost, safety is all that is demanded. */
static bool liveness_demanded(const struct world *world) { return world->scene.swarm.regime != REGIME_UNRESTRICTED; }

/* Nodes that talk without end about nothing: an input is handled, and the next is on its way at once. */
static bool liveness_storm(struct world *world, uint64_t since_step, uint64_t steps_max)
{
    if (world->scene.step - since_step <= steps_max)
        return false;
    if (!liveness_demanded(world))
        return true;
    check_fail(
        world->scene.check, CHECK_LIVENESS, UINT32_MAX,
        "the nodes do not come to rest: %llu inputs in %llu maximum election timeouts after healing",
        (unsigned long long)(world->scene.step - world->liveness.heal_step),
        (unsigned long long)((world->scene.now_ns - world->liveness.heal_ns) / liveness_timeouts_ns(&world->scene, 1)));
    return true;
}

/* True when the time for progress is over: all is as it should be, or the bound has passed. */
static bool liveness_progressed(struct world *world)
{
    struct scene *scene = &world->scene;
    struct liveness *liveness = &world->liveness;
    const bool late = scene->now_ns > liveness->heal_ns + liveness_timeouts_ns(scene, LIVENESS_BOUND_TIMEOUTS);
    if (liveness_storm(world, liveness->heal_step, LIVENESS_STEPS_MAX))
        return true;
    if (!late && (!workload_settled(&world->workload) || scene->step % SURVEY_INTERVAL_STEPS != 0))
        return false;
    struct liveness_survey survey;
    liveness_survey(world, &survey);
    const bool majority = !check_members_need(scene->check, ~survey.able);
    const bool whole = workload_settled(&world->workload) && survey.leaders == 1 && !survey.joint && !survey.misled
                       && survey.equal && survey.caught_up;
    if (!whole && !late)
        return false;
    const bool full = !whole && survey.log_full;
    liveness->world = !majority ? LIVENESS_MINORITY : full ? LIVENESS_FULL : LIVENESS_WHOLE;
    if (!liveness_demanded(world))
        liveness->world = LIVENESS_DAMAGED;
    scene->coverage.demands[liveness->world][DEMAND_WORLD]++;
    if (whole) {
        liveness_met(world, DEMAND_CALL, liveness->heal_calls);
        liveness_met(world, DEMAND_PROGRESS, 1);
    } else if (liveness->world == LIVENESS_WHOLE) {
        liveness_fail(world, &survey);
    } else if (liveness->world != LIVENESS_DAMAGED) {
        liveness_check_calls(world, survey.alive);
    }
    return true;
}

/* ---- the closing questions ---- */

/* A leader that can serve: an entry of its own term is committed (Raft 6.4). */
static bool liveness_leads(const struct node *node, uint64_t *term)
{
    struct replica_view view;
    if (node->state != NODE_UP || node->outsider)
        return false;
    replica_inspect(node->replica, &view);
    *term = view.term;
    return view.role == RAFT_LEADER && replica_entry_term(node->replica, view.commit) == view.term;
}

static struct node *liveness_leader(struct world *world, uint64_t *term)
{
    struct node *leader = NULL;
    uint64_t candidate_term;
    for (uint32_t slot = 0; slot < world->scene.swarm.node_count; slot++) {
        struct node *node = &world->nodes[slot];
        if (!liveness_leads(node, &candidate_term) || (leader != NULL && candidate_term < *term))
            continue;
        leader = node;
        *term = candidate_term;
    }
    return leader;
}

/* Does it know anything to tell? A new member to which the leader has not come yet has no state, not even an old one.
 */
static bool liveness_knows(const struct node *node)
{
    struct replica_view view;
    if (node->state != NODE_UP || node->outsider)
        return false;
    replica_inspect(node->replica, &view);
    return view.slot < MEMBERS_MAX || view.applied > 0;
}

/* Asks the next question that makes sense: first each key of the leader, then one of each live node. */
static bool liveness_ask(struct world *world)
{
    struct scene *scene = &world->scene;
    struct liveness *liveness = &world->liveness;
    const uint32_t keys = scene->swarm.key_count;
    while (liveness->question < keys + scene->swarm.node_count) {
        const uint32_t question = liveness->question++;
        const bool stale = question >= keys;
        liveness->term = 0;
        if (stale) {
            struct node *node = &world->nodes[question - keys];
            const bool member = (check_members(scene->check) >> node->slot & 1) != 0;
            liveness->node = member && liveness_knows(node) ? node : NULL;
        } else {
            liveness->node = liveness->world == LIVENESS_MINORITY ? NULL : liveness_leader(world, &liveness->term);
        }
        if (liveness->node == NULL)
            continue;
        liveness->asked = true;
        liveness->asked_ns = scene->now_ns;
        liveness->asked_step = scene->step;
        workload_close(&world->workload, scene);
        workload_ask(&world->workload, scene, &world->network, liveness->node->slot,
                     stale ? REQUEST_GET_STALE : REQUEST_GET, question % keys);
        return true;
    }
    return false;
}

/* The one that was asked is no longer who should answer. */
static bool liveness_lapsed(const struct liveness *liveness)
{
    uint64_t term;
    if (liveness->term == 0)
        return liveness->node->state != NODE_UP;
    return !liveness_leads(liveness->node, &term) || term != liveness->term;
}

/* True when all have been answered, or one has not been in time. */
static bool liveness_questioned(struct world *world)
{
    struct scene *scene = &world->scene;
    struct liveness *liveness = &world->liveness;
    const uint64_t bound_ns = liveness_timeouts_ns(scene, LIVENESS_QUESTION_TIMEOUTS);
    if (liveness->asked && workload_told(&world->workload)) {
        liveness_met(world, liveness->term == 0 ? DEMAND_STALE_READ : DEMAND_READ, 1);
        liveness->asked = false;
    }
    if (!liveness->asked || liveness_lapsed(liveness))
        return !liveness_ask(world);
    if (liveness_storm(world, liveness->asked_step, QUESTION_STEPS_MAX))
        return true;
    if (scene->now_ns <= liveness->asked_ns + bound_ns)
        return false;
    if (!liveness_demanded(world))
        return !liveness_ask(world);
    check_fail(scene->check, CHECK_LIVENESS, liveness->node->slot,
               "%s, yet a %s read of it is not answered within %u maximum election timeouts",
               liveness->term == 0 ? "it is alive" : "it leads and has committed in its term",
               liveness->term == 0 ? "stale" : "linearizable", (unsigned)LIVENESS_QUESTION_TIMEOUTS);
    return true;
}

bool liveness_over(struct world *world)
{
    struct liveness *liveness = &world->liveness;
    if (!liveness->asking) {
        if (!liveness_progressed(world))
            return false;
        liveness->asking = true;
        workload_close(&world->workload, &world->scene);
    }
    return check_result(world->scene.check)->failed || liveness_questioned(world);
}

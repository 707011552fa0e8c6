/* What a scenario says before its first step: how many nodes, which options, which limits. */
#include "scenario_state.h"

#include <string.h>

enum { ELECTION_MS = 100, HEARTBEAT_MS = 20 };

void setup_defaults(struct scenario *scenario)
{
    struct swarm *swarm = &scenario->swarm;
    memset(swarm, 0, sizeof *swarm);
    swarm->seed = 1;
    swarm->profile = swarm->family = PROFILE_QUIET;
    swarm->untimed = true; /* clocks stand still */
    swarm->node_count = swarm->member_count = 3;
    swarm->key_count = 1;
    swarm->inputs_max = swarm->safety_ns = UINT64_MAX;
    swarm->limits = limits_tiny;
    swarm->delay_ns = NS_PER_MS;
    swarm->disk_ns = NS_PER_MS / 10;
    swarm->delay_kind = swarm->disk_kind = DELAY_CONSTANT;
    for (uint32_t slot = 0; slot < VOTERS_MAX; slot++)
        swarm->disk_slowness[slot] = swarm->timer_slowness[slot] = 1;
    swarm->sector_bytes = swarm->limits.block_bytes / 4;
    swarm->regime = REGIME_MINORITY;
    swarm->timer_ns = swarm->think_ns = swarm->patience_ns = ELECTION_MS * NS_PER_MS;
    swarm->attempts_max = 1;
    swarm->configs[0] = (struct replica_config){
        .cluster_id = 1,
        .election_timeout_ns = ELECTION_MS * NS_PER_MS,
        .heartbeat_interval_ns = HEARTBEAT_MS * NS_PER_MS,
        .pre_vote = true,
        .check_quorum = true,
    };
    scenario->begun = false;
    scenario->learners = 0;
    scenario->finale = true;
}

#define LIMIT(name) \
    { \
#name, offsetof(struct limits, name) \
    }

static uint32_t *setup_limit(struct limits *limits, const char *name)
{
    static const struct {
        const char *name;
        size_t offset;
    } known[] = {
        LIMIT(wal_header_blocks),  LIMIT(wal_body_blocks),       LIMIT(wal_batch_bytes_max), LIMIT(wal_depth),
        LIMIT(wal_unnamed_max),    LIMIT(wal_reserve_blocks),    LIMIT(wal_retain_blocks),   LIMIT(log_entries_max),
        LIMIT(checkpoint_entries), LIMIT(checkpoint_wal_blocks), LIMIT(data_blocks),         LIMIT(shadow_pages_max),
        LIMIT(pages_max),          LIMIT(sessions_max),          LIMIT(key_bytes_max),       LIMIT(value_bytes_max),
        LIMIT(pending_writes_max), LIMIT(pending_reads_max),     LIMIT(inflight_max),        LIMIT(append_entries_max),
        LIMIT(inflight_bytes_max), LIMIT(append_bytes_max),      LIMIT(apply_per_step_max),  LIMIT(data_run_bytes_max),
        LIMIT(data_depth),         LIMIT(frame_bytes_max),
    };
    for (uint32_t i = 0; i < ARRAY_COUNT(known); i++)
        if (strcmp(known[i].name, name) == 0)
            return (uint32_t *)(void *)((uint8_t *)limits + known[i].offset);
    return NULL;
}

/* limit NAME VALUE [NAME VALUE]... */
static bool setup_limits(struct scenario *scenario)
{
    while (words_left(scenario)) {
        const char *name = words_next(scenario);
        uint32_t *limit = setup_limit(&scenario->swarm.limits, name);
        uint64_t value;
        if (limit == NULL)
            return scenario_wrong(scenario, "'%s' is not the name of a limit", name);
        if (!words_number(scenario, name, &value))
            return false;
        *limit = (uint32_t)u64_min(value, UINT32_MAX);
    }
    const char *problem = limits_problem(&scenario->swarm.limits);
    if (problem != NULL)
        return scenario_wrong(scenario, "%s", problem);
    if (scenario->swarm.limits.frame_bytes_max > LINK_FRAME_BYTES_MAX)
        return scenario_wrong(scenario, "frame_bytes_max is at most %d in scenarios", LINK_FRAME_BYTES_MAX);
    return true;
}

static bool setup_nodes(struct scenario *scenario)
{
    uint64_t count;
    if (!words_number(scenario, "how many nodes", &count))
        return false;
    if (count < 1 || count > VOTERS_MAX)
        return scenario_wrong(scenario, "a cluster has 1 to %d nodes", VOTERS_MAX);
    scenario->swarm.node_count = scenario->swarm.member_count = (uint32_t)count;
    return true;
}

/* joiners COUNT: the last ones of the nodes are no members yet; their disks are empty. */
static bool setup_joiners(struct scenario *scenario)
{
    uint64_t count;
    if (!words_number(scenario, "how many nodes may join", &count))
        return false;
    if (count >= scenario->swarm.node_count)
        return scenario_wrong(scenario, "of %u nodes at most %u may join", scenario->swarm.node_count,
                              scenario->swarm.node_count - 1);
    scenario->swarm.member_count = scenario->swarm.node_count - (uint32_t)count;
    return true;
}

/* leases PERCENT: and so much may the clocks be wrong. */
static bool setup_leases(struct scenario *scenario)
{
    uint64_t percent;
    if (!words_number(scenario, "how much clocks drift, in percent", &percent))
        return false;
    if (percent < 1 || percent * 10000 > LEASE_DRIFT_PPM_MAX)
        return scenario_wrong(scenario, "clocks drift by 1 to %d percent", LEASE_DRIFT_PPM_MAX / 10000);
    scenario->swarm.configs[0].lease_drift_ppm = (uint32_t)percent * 10000;
    return true;
}

bool setup_line(struct scenario *scenario, const char *verb, bool *known)
{
    struct replica_config *config = &scenario->swarm.configs[0];
    static const char *const verbs[] = { "nodes",         "joiners", "learners", "pre-vote", "check-quorum",
                                         "strict-naming", "leases",  "limit",    "finale" };
    *known = false;
    for (uint32_t i = 0; i < ARRAY_COUNT(verbs); i++)
        *known |= strcmp(verb, verbs[i]) == 0;
    if (!*known)
        return true;
    if (scenario->begun)
        return scenario_wrong(scenario, "'%s' must stand before the first step", verb);
    if (strcmp(verb, "nodes") == 0)
        return setup_nodes(scenario);
    if (strcmp(verb, "joiners") == 0)
        return setup_joiners(scenario);
    if (strcmp(verb, "learners") == 0)
        return words_nodes(scenario, &scenario->learners) && words_end(scenario);
    if (strcmp(verb, "pre-vote") == 0)
        return words_switch(scenario, &config->pre_vote);
    if (strcmp(verb, "check-quorum") == 0)
        return words_switch(scenario, &config->check_quorum);
    if (strcmp(verb, "strict-naming") == 0)
        return words_switch(scenario, &config->strict_naming);
    if (strcmp(verb, "leases") == 0)
        return setup_leases(scenario);
    if (strcmp(verb, "finale") == 0)
        return words_switch(scenario, &scenario->finale);
    return setup_limits(scenario);
}

static void setup_configs(struct scenario *scenario)
{
    struct swarm *swarm = &scenario->swarm;
    swarm->struck_max = (swarm->node_count - 1) / 2;
    for (uint32_t slot = 0; slot < swarm->node_count; slot++) {
        swarm->configs[slot] = swarm->configs[0];
        swarm->configs[slot].node_id = slot + 1;
        if (slot >= swarm->member_count)
            continue;
        swarm->configuration.members[slot] = (struct member){
            .id = slot + 1,
            .roles = (scenario->learners >> slot & 1) != 0 ? MEMBER_LEARNER : MEMBER_VOTER,
            .address = { 'n', (char)('1' + slot) },
        };
    }
}

bool setup_begin(struct scenario *scenario)
{
    struct world *world = scenario->world;
    setup_configs(scenario);
    if (!world_script(world, &scenario->swarm, &scenario->script, scenario->observer))
        return scenario_wrong(scenario, "no memory");
    scenario->frame = (struct frame_context){
        .cluster_id = scenario->swarm.configs[0].cluster_id,
        .fingerprint = limits_fingerprint(&scenario->swarm.limits),
        .frame_bytes_max = scenario->swarm.limits.frame_bytes_max,
    };
    scenario->begun = true;
    for (uint32_t slot = 0; slot < scenario->swarm.node_count; slot++)
        node_start(world, scenario_node(scenario, slot));
    return scenario_settle(scenario);
}

/* The lines of a scenario, one after the other. */
#include "scenario_state.h"

#include <stdlib.h>
#include <string.h>

struct scenario *scenario_new(void)
{
    struct scenario *scenario = calloc(1, sizeof *scenario);
    if (scenario == NULL)
        return NULL;
    scenario->world = world_new();
    if (scenario->world == NULL) {
        free(scenario);
        return NULL;
    }
    return scenario;
}

void scenario_free(struct scenario *scenario)
{
    if (scenario == NULL)
        return;
    world_free(scenario->world);
    free(scenario);
}

/* ---- what the world asks ---- */

static bool scenario_hook_frame(struct script *script, uint32_t from, uint32_t to, struct slice frame)
{
    return link_frame((struct scenario *)(void *)script, from, to, frame);
}

static void scenario_hook_step(struct script *script, uint32_t node, const struct output *output)
{
    struct scenario *scenario = (struct scenario *)(void *)script;
    show_events(scenario, node, output);
}

/* ---- time ---- */

bool scenario_sound(struct scenario *scenario)
{
    const struct check_failure *failure = check_result(scenario->world->scene.check);
    if (!failure->failed)
        return scenario->result->error[0] == '\0';
    if (failure->node == UINT32_MAX)
        return scenario_wrong(scenario, "%s: %s", check_kind_text(failure->kind), failure->text);
    return scenario_wrong(scenario, "%s: node %u: %s", check_kind_text(failure->kind), failure->node + 1,
                          failure->text);
}

/* What is in the queue up to a time. */
static bool scenario_advance(struct scenario *scenario, uint64_t until_ns)
{
    const struct queue_event *next;
    while ((next = queue_first(&scenario->world->scene.queue)) != NULL && next->time_ns <= until_ns) {
        world_advance(scenario->world);
        if (!scenario_sound(scenario))
            return false;
        if (++scenario->rest_steps > SCENARIO_STEPS_MAX)
            return scenario_wrong(scenario, "the cluster does not come to rest");
    }
    return true;
}

bool scenario_settle(struct scenario *scenario) { return scenario_advance(scenario, SCENARIO_NEVER_NS - 1); }

/* The local time that goes by on a node, and the true time until its clock has moved that far. */
static uint64_t scenario_local_ns(const struct node *node, uint64_t true_ns)
{
    return (uint64_t)((int64_t)true_ns + (int64_t)true_ns * node->clock.rate_ppm / PER_MILLION);
}

static uint64_t scenario_true_ns(const struct node *node, uint64_t local_ns)
{
    const uint64_t rate = (uint64_t)(PER_MILLION + node->clock.rate_ppm);
    return (u64_min(local_ns, 3600000 * NS_PER_MS) * PER_MILLION + rate - 1) / rate;
}

/* True time until something is due, at most `most`. */
static uint64_t scenario_gap_ns(struct scenario *scenario, uint32_t nodes, uint64_t most_ns)
{
    const struct scene *scene = &scenario->world->scene;
    const struct queue_event *next = queue_first(&scene->queue);
    uint64_t gap_ns = most_ns;
    if (next != NULL)
        gap_ns = u64_min(gap_ns, next->time_ns - scene->now_ns);
    for (uint32_t slot = 0; slot < scene->swarm.node_count; slot++) {
        const struct node *node = scenario_node(scenario, slot);
        if ((nodes >> slot & 1) == 0 || node->state != NODE_UP || node_paused(scenario->world, node))
            continue;
        const uint64_t now_ns = node->clock.local_ns;
        if (node->deadline_ns > now_ns)
            gap_ns = u64_min(gap_ns, scenario_true_ns(node, node->deadline_ns - now_ns));
    }
    return gap_ns;
}

static void scenario_tick(struct scenario *scenario, uint32_t nodes, uint64_t gap_ns)
{
    struct world *world = scenario->world;
    world->scene.now_ns += gap_ns;
    for (uint32_t slot = 0; slot < scenario->swarm.node_count; slot++) {
        struct node *node = scenario_node(scenario, slot);
        if ((nodes >> slot & 1) == 0 || node->state != NODE_UP)
            continue;
        node->clock.local_ns += scenario_local_ns(node, gap_ns);
        if (node->deadline_ns <= node->clock.local_ns && !node_paused(world, node))
            world_feed(world, node, &(struct input){ .kind = INPUT_TICK }, ENDPOINTS);
    }
}

/* Its election timer has gone off: it is in another state or term, or asks for votes. */
static bool scenario_campaigns(struct scenario *scenario, const struct node *node, enum raft_role role, uint64_t terms)
{
    return node->role != role || scenario->happened[node->slot][EVENT_TERM] > terms
           || (scenario->asked >> node->slot & 1) != 0;
}

bool scenario_pass(struct scenario *scenario, uint32_t nodes, uint64_t ns, bool until_campaign)
{
    struct scene *scene = &scenario->world->scene;
    const struct node *only = scenario_node(scenario, (uint32_t)__builtin_ctz(nodes));
    const enum raft_role role = only->role;
    const uint64_t terms = scenario->happened[only->slot][EVENT_TERM];
    const uint64_t end_ns = scene->now_ns + ns;
    scenario->asked = 0;
    while (scenario_advance(scenario, scene->now_ns)) {
        if (scene->now_ns >= end_ns || (until_campaign && scenario_campaigns(scenario, only, role, terms)))
            return scenario_settle(scenario);
        scenario_tick(scenario, nodes, scenario_gap_ns(scenario, nodes, end_ns - scene->now_ns));
        if (!scenario_sound(scenario))
            return false;
    }
    return false;
}

/* ---- lines about time ---- */

/* wait DURATION [on NODES] */
static bool scenario_wait(struct scenario *scenario)
{
    uint32_t nodes = (1U << scenario->swarm.node_count) - 1;
    uint64_t ns;
    if (!words_duration(scenario, &ns))
        return false;
    if (words_take(scenario, "on") && !words_nodes(scenario, &nodes))
        return false;
    return words_end(scenario) && scenario_pass(scenario, nodes, ns, false);
}

static bool scenario_up(struct scenario *scenario, const struct node *node)
{
    return node->state == NODE_UP || scenario_wrong(scenario, "node %u is down", node->slot + 1);
}

/* campaign NODE: its clock alone runs until its election timer goes off. */
static bool scenario_campaign(struct scenario *scenario)
{
    struct node *node;
    if (!words_node(scenario, &node) || !words_end(scenario) || !scenario_up(scenario, node))
        return false;
    if (node->role == RAFT_LEADER)
        return scenario_wrong(scenario, "node %u leads: it has no election timer", node->slot + 1);
    return scenario_pass(scenario, 1U << node->slot, 2 * scenario->swarm.configs[0].election_timeout_ns, true);
}

/* heartbeat NODE: the leader's clock alone runs to its next heartbeat. */
static bool scenario_heartbeat(struct scenario *scenario)
{
    struct node *node;
    if (!words_node(scenario, &node) || !words_end(scenario) || !scenario_up(scenario, node))
        return false;
    if (node->role != RAFT_LEADER)
        return scenario_wrong(scenario, "node %u does not lead: it has no heartbeats", node->slot + 1);
    return scenario_pass(scenario, 1U << node->slot, scenario->swarm.configs[0].heartbeat_interval_ns, false);
}

static bool time_line(struct scenario *scenario, const char *verb, bool *known)
{
    *known = true;
    if (strcmp(verb, "wait") == 0)
        return scenario_wait(scenario);
    if (strcmp(verb, "campaign") == 0)
        return scenario_campaign(scenario);
    if (strcmp(verb, "heartbeat") == 0)
        return scenario_heartbeat(scenario);
    *known = false;
    return true;
}

/* ---- the script ---- */

/* One command, and all that follows from it. */
static bool scenario_step(struct scenario *scenario)
{
    static bool (*const parts[])(struct scenario *, const char *, bool *) = {
        time_line, link_line, client_line, fault_line, expect_line,
    };
    const char *verb = words_next(scenario);
    bool known = false;
    if (verb == NULL)
        return scenario_wrong(scenario, "repeat what?");
    for (uint32_t i = 0; i < ARRAY_COUNT(parts) && !known; i++)
        if (!parts[i](scenario, verb, &known))
            return false;
    if (!known)
        return scenario_wrong(scenario, "'%s' is no command", verb);
    return words_end(scenario) && scenario_settle(scenario) && scenario_sound(scenario);
}

/* repeat N COMMAND */
static bool scenario_repeat(struct scenario *scenario)
{
    uint64_t times;
    if (!words_number(scenario, "how often", &times))
        return false;
    const uint32_t first = scenario->word;
    for (uint64_t i = 0; i < times; i++) {
        scenario->word = first;
        if (!scenario_step(scenario))
            return false;
    }
    return true;
}

static bool scenario_line(struct scenario *scenario)
{
    const char *verb = words_next(scenario);
    bool known;
    if (strcmp(verb, "show") == 0)
        return show_line(scenario);
    if (!setup_line(scenario, verb, &known))
        return false;
    if (known)
        return words_end(scenario);
    if (!scenario->begun && !setup_begin(scenario))
        return false;
    scenario->shown_count = 0;
    scenario->rest_steps = 0;
    const bool repeat = strcmp(verb, "repeat") == 0;
    scenario->word = repeat ? 1 : 0;
    if (!(repeat ? scenario_repeat(scenario) : scenario_step(scenario)))
        return false;
    show_step(scenario);
    return true;
}

static bool scenario_finish(struct scenario *scenario)
{
    struct world *world = scenario->world;
    scenario->line_number = 0;
    client_close(scenario);
    for (uint32_t slot = 0; slot < scenario->swarm.node_count; slot++)
        scenario_node(scenario, slot)->resume_ns = 0;
    queue_hasten(&world->scene.queue, QUEUE_PACKET, world->scene.now_ns);
    queue_hasten(&world->scene.queue, QUEUE_DISK, world->scene.now_ns);
    queue_hasten(&world->scene.queue, QUEUE_TIMER, world->scene.now_ns);
    world_finish(world, scenario->finale);
    return scenario_sound(scenario);
}

static void scenario_reset(struct scenario *scenario, struct scenario_result *result, struct observer *observer)
{
    *result = (struct scenario_result){ .transcript = scenario->transcript };
    scenario->script = (struct script){ .frame = scenario_hook_frame, .step = scenario_hook_step };
    scenario->result = result;
    scenario->observer = observer;
    scenario->line_number = 0;
    scenario->rule_count = scenario->held_count = 0;
    scenario->rest_steps = 0;
    scenario->shown_count = scenario->transcript_bytes = 0;
    scenario->transcript[0] = '\0';
    memset(scenario->cut, 0, sizeof scenario->cut);
    memset(scenario->clients, 0, sizeof scenario->clients);
    memset(scenario->happened, 0, sizeof scenario->happened);
    show_defaults(scenario);
    setup_defaults(scenario);
}

void scenario_run(struct scenario *scenario, const char *script, struct observer *observer,
                  struct scenario_result *result)
{
    bool good = true;
    scenario_reset(scenario, result, observer);
    while (good && *script != '\0') {
        const size_t bytes = strcspn(script, "\n");
        scenario->line_number++;
        if (words_split(scenario, script, bytes))
            good = scenario_line(scenario);
        good = good && result->error[0] == '\0';
        script += bytes + (script[bytes] == '\n');
    }
    if (good && !scenario->begun)
        good = scenario_wrong(scenario, "the scenario has no steps");
    result->passed = good && scenario_finish(scenario);
}

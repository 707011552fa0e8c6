/* Actions as lines of text, the trace that leads to a violation, and its replay; ../traces/README.md describes them.
 *
 * The n-th of several frames with equal words is told from the others by the order of its bytes; on links that keep
 * their order, by that. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "campaign.h"
#include "describe.h"
#include "explore_search.h"

enum { LINE_BYTES = 256, WORDS_BYTES = 120 };

/* ---- words ---- */

__attribute__((format(printf, 2, 3))) static void words_add(char words[WORDS_BYTES], const char *format, ...)
{
    const size_t used = strlen(words);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words + used, WORDS_BYTES - used, format, arguments);
    va_end(arguments);
}

/* As the log has it, but for its length. */
static void frame_text(const struct table *table, uint32_t frame, char words[WORDS_BYTES])
{
    static struct swarm swarm;
    static struct fields fields;
    const struct slice bytes = table_frame_bytes(table, frame);
    swarm.limits = *node_limits(table->machine);
    fields_reset(&fields, &swarm);
    describe_frame(&fields, bytes);
    words[0] = '\0';
    words_add(words, "n%u>n%u %s", table->frames[frame].from, table->frames[frame].to, describe_frame_name(bytes));
    for (uint32_t i = 0; i < fields.count; i++) {
        const struct field *field = &fields.items[i];
        if (!field->brief || strcmp(field->name, "bytes") == 0)
            continue;
        if (field->kind == FIELD_NUMBER)
            words_add(words, " %s=%u", field->name, (unsigned)field->a);
        else if (field->kind == FIELD_ID)
            words_add(words, " %s=%u.%u", field->name, (unsigned)field->a, (unsigned)field->b);
        else if (field->kind == FIELD_TEXT)
            words_add(words, field->text[0] != '\0' ? " %s=%s" : " %s%s", field->name, field->text);
    }
}

static int slice_compare(struct slice a, struct slice b)
{
    const int order = memcmp(a.bytes, b.bytes, u32_min(a.count, b.count));
    return order != 0 ? order : (a.count > b.count) - (a.count < b.count);
}

static void frame_action_text(const struct cluster_world *world, const struct cluster *cluster, const char *verb,
                              uint32_t place, char *text, size_t text_bytes)
{
    char words[WORDS_BYTES];
    const bool ordered = world->bounds.ordered;
    uint32_t before = 0;
    frame_text(&world->table, cluster->frames[place], words);
    for (uint32_t i = 0; i < cluster->frame_count; i++) {
        char others[WORDS_BYTES];
        if (i > 0 && cluster->frames[i] == cluster->frames[i - 1] && !ordered)
            continue;
        frame_text(&world->table, cluster->frames[i], others);
        const int order = slice_compare(table_frame_bytes(&world->table, cluster->frames[i]),
                                        table_frame_bytes(&world->table, cluster->frames[place]));
        before += strcmp(words, others) == 0 && (ordered ? i < place : order < 0);
    }
    snprintf(text, text_bytes, before > 0 ? "%s %.120s #%u" : "%s %.120s", verb, words, before + 1);
}

void cluster_action_text(struct cluster_world *world, const struct cluster *cluster, struct action action, char *text,
                         size_t text_bytes)
{
    const struct node_value *state = table_state(&world->table, cluster->nodes[action.node]);
    const uint32_t node = action.node;
    char kept[LINE_BYTES / 2];
    switch ((enum action_kind)action.kind) {
    case ACTION_TIMEOUT: snprintf(text, text_bytes, "timeout n%u", node); return;
    case ACTION_HEARTBEAT: snprintf(text, text_bytes, "heartbeat n%u", node); return;
    case ACTION_NAME: snprintf(text, text_bytes, "name n%u", node); return;
    case ACTION_DELIVER: frame_action_text(world, cluster, "deliver", action.which, text, text_bytes); return;
    case ACTION_DUPLICATE: frame_action_text(world, cluster, "duplicate", action.which, text, text_bytes); return;
    case ACTION_DROP: frame_action_text(world, cluster, "drop", action.which, text, text_bytes); return;
    case ACTION_COMPLETE:
        snprintf(text, text_bytes, "complete n%u %s", node, node_write_text(&state->writes[action.which]));
        return;
    case ACTION_CRASH:
        node_crash_text(world->table.machine, state, action.which, kept, sizeof kept);
        snprintf(text, text_bytes, "crash n%u%s", node, kept);
        return;
    case ACTION_CALL:
        snprintf(text, text_bytes, "%s n%u call%u", action.which < world->bounds.puts ? "put" : "get", node,
                 action.which + 1U);
        return;
    case ACTION_CHECKPOINT: snprintf(text, text_bytes, "checkpoint n%u", node); return;
    case ACTION_REMOVE: snprintf(text, text_bytes, "remove n%u n%u", node, (unsigned)action.which); return;
    }
    UNREACHABLE();
}

void cluster_node_text(const struct cluster_world *world, const struct cluster *cluster, uint32_t node, char *text,
                       size_t text_bytes)
{
    const struct node_view *view = table_view(&world->table, cluster->nodes[node]);
    const struct node_value *state = table_state(&world->table, cluster->nodes[node]);
    int used = snprintf(text, text_bytes, "n%u %s term=%u", node, raft_role_text((enum raft_role)view->role),
                        (unsigned)view->term);
    if (view->vote != 0 && used > 0 && (size_t)used < text_bytes)
        used += snprintf(text + used, text_bytes - (size_t)used, " vote=n%u", (unsigned)view->vote - 1);
    if (used > 0 && (size_t)used < text_bytes)
        used += snprintf(text + used, text_bytes - (size_t)used, " commit=%u log", view->commit);
    for (uint32_t index = view->base + 1; index <= view->last && used > 0 && (size_t)used < text_bytes; index++)
        used += snprintf(text + used, text_bytes - (size_t)used, " %u.%u", (unsigned)view->entry_term[index], index);
    if (used > 0 && (size_t)used < text_bytes)
        snprintf(text + used, text_bytes - (size_t)used, ", %u writing", state->write_count);
}

/* ---- the way to a violation ---- */

/* What the action of a state is in that state with its nodes renamed. */
static struct action action_rename(const struct cluster_world *world, const struct cluster *from,
                                   const struct cluster *renamed, uint32_t renaming, struct action action)
{
    struct action there = action;
    there.node = world->table.renaming[renaming][action.node];
    if (action.kind == ACTION_REMOVE)
        there.which = world->table.renaming[renaming][action.which];
    if (action.kind != ACTION_DELIVER && action.kind != ACTION_DUPLICATE && action.kind != ACTION_DROP)
        return there;
    const uint32_t frame = world->table.frames[from->frames[action.which]].images[renaming];
    uint32_t before = 0; /* of the same frames */
    for (uint32_t i = 0; i < action.which; i++)
        before += from->frames[i] == from->frames[action.which];
    there.which = 0;
    while (renamed->frames[there.which] != frame || before-- > 0)
        there.which++;
    return there;
}

/* The search renames nodes as it goes; a reader wants names that stay. So each state of the way is renamed back, and
 * the action with it. False: no memory. */
static bool walk(struct explore *explore)
{
    struct cluster_world *world = &explore->world;
    struct cluster canonical;
    struct cluster real;
    cluster_begin(world, &canonical);
    uint32_t back = world->table.inverse[cluster_canonical(world, &canonical)];
    for (uint32_t step = explore->way_count; step > 0; step--) {
        char text[LINE_BYTES];
        const uint32_t count = cluster_actions(world, &canonical, explore->actions);
        ASSERT(explore->way[step - 1] < count);
        const struct action action = explore->actions[explore->way[step - 1]];
        cluster_rename(world, &canonical, back, &real);
        cluster_action_text(world, &real, action_rename(world, &canonical, &real, back, action), text, sizeof text);
        if (!trace_add_action(&explore->trace, text, strlen(text), 0))
            return false;
        cluster_act(world, &canonical, action);
        back = world->table.compose[back][world->table.inverse[cluster_canonical(world, &canonical)]];
    }
    return true;
}

static void ending_fill(const struct explore *explore, const struct explore_result *result, struct trace_ending *ending)
{
    *ending = (struct trace_ending){ .steps = result->actions, .digest = result->digest, .digested = true };
    snprintf(ending->outcome, sizeof ending->outcome, "%s", outcome_text(explore_outcome(result)));
    if (result->checker == NULL)
        return;
    snprintf(ending->checker, sizeof ending->checker, "%s", result->checker);
    trace_invariant(explore_outcome(result) == OUTCOME_CRASHED ? result->text : explore->world.format,
                    ending->invariant);
    snprintf(ending->text, sizeof ending->text, "%s", result->text);
}

bool explore_retrace(struct explore *explore, struct origin violation, struct explore_result *result)
{
    const struct explore_replay replay = { .trace = &explore->trace };
    explore->way = calloc(explore->depth + 1, sizeof *explore->way);
    if (explore->way == NULL)
        return false;
    for (struct origin origin = violation; origin.parent != ORIGIN_NONE; origin = explore->origins[origin.parent]) {
        ASSERT(explore->way_count <= explore->depth);
        explore->way[explore->way_count++] = origin.action;
    }
    trace_clear(&explore->trace);
    explore->trace.explored = true;
    explore->trace.bounds = explore->world.bounds;
    explore->world.checker = NULL;
    if (!walk(explore))
        return false;
    const char *checker = explore->world.checker;
    explore_replay(explore, &replay, result);
    ASSERT(result->skipped == 0);
    ASSERT(result->checker != NULL && strcmp(result->checker, checker) == 0);
    ending_fill(explore, result, &explore->trace.ending);
    return true;
}

struct trace *explore_trace(struct explore *explore) { return &explore->trace; }

enum outcome explore_outcome(const struct explore_result *result)
{
    if (result->checker == NULL)
        return OUTCOME_PASSED;
    if (strcmp(result->checker, "assertion") == 0)
        return OUTCOME_CRASHED;
    const bool visible = strcmp(result->checker, "read") == 0 || strcmp(result->checker, "write") == 0;
    return visible ? OUTCOME_NOT_LINEARIZABLE : OUTCOME_UNSAFE;
}

/* ---- replay ---- */

/* Are all words of the line in the text, in their order? */
static bool words_within(const char *line, const char *text)
{
    for (;;) {
        line += strspn(line, " ");
        text += strspn(text, " ");
        const size_t wanted = strcspn(line, " ");
        const size_t there = strcspn(text, " ");
        if (wanted == 0 || there == 0)
            return wanted == 0;
        if (wanted == there && memcmp(line, text, wanted) == 0)
            line += wanted;
        text += there;
    }
}

/* NULL: none is that. */
static const struct action *find_action(struct explore *explore, const struct cluster *cluster, const char *line)
{
    const uint32_t count = cluster_actions(&explore->world, cluster, explore->actions);
    const struct action *found = NULL;
    for (uint32_t i = 0; i < count; i++) {
        char text[LINE_BYTES];
        cluster_action_text(&explore->world, cluster, explore->actions[i], text, sizeof text);
        if (strcmp(text, line) == 0)
            return &explore->actions[i];
        if (found == NULL && words_within(line, text))
            found = &explore->actions[i];
    }
    return found;
}

static bool replay_action(struct explore *explore, const struct explore_replay *replay, struct cluster *cluster,
                          const char *line, struct explore_result *result)
{
    struct cluster_world *world = &explore->world;
    char text[LINE_BYTES];
    const struct action *action = find_action(explore, cluster, line);
    if (action == NULL) {
        result->skipped++;
        if (replay->skipped != NULL)
            fprintf(replay->skipped, "skipped, not possible here: %s\n", line);
        return true;
    }
    const uint32_t node = action->node;
    const enum cluster_outcome outcome = cluster_act(world, cluster, *action);
    result->actions++;
    if (outcome == CLUSTER_FULL)
        result->verdict = EXPLORE_CUT;
    if (outcome == CLUSTER_NO_MEMORY)
        result->verdict = EXPLORE_MEMORY;
    if (outcome == CLUSTER_BROKEN)
        result->verdict = EXPLORE_VIOLATION;
    const struct node_view *view = table_view(&world->table, cluster->nodes[node]);
    result->digest = checksum64(view, sizeof *view, result->digest + node);
    cluster_node_text(world, cluster, node, text, sizeof text);
    if (replay->log != NULL)
        fprintf(replay->log, "%-72s # %s\n", line, text);
    return outcome == CLUSTER_OK;
}

void explore_replay(struct explore *explore, const struct explore_replay *replay, struct explore_result *result)
{
    static struct explore_show show;
    struct cluster_world *world = &explore->world;
    struct cluster cluster;
    const struct explore_bounds bounds = world->bounds;
    memset(result, 0, sizeof *result);
    world->checker = NULL;
    if (replay->observer != NULL) {
        world->show = &show;
        if (!node_show_begin(world->table.machine, &show, replay->observer))
            result->verdict = EXPLORE_MEMORY;
    }
    enum cluster_outcome outcome = cluster_begin(world, &cluster);
    if (outcome == CLUSTER_NO_MEMORY)
        result->verdict = EXPLORE_MEMORY;
    if (outcome == CLUSTER_BROKEN)
        result->verdict = EXPLORE_VIOLATION;
    world->bounds.eager = false; /* the trace says what completes when */
    for (uint32_t i = 0; i < replay->trace->action_count && result->verdict == EXPLORE_CLEAN; i++) {
        if (replay->observer != NULL && replay->observer->enough)
            break;
        if (!replay_action(explore, replay, &cluster, replay->trace->actions[i].text, result))
            break;
    }
    world->bounds = bounds;
    result->checker = world->checker;
    memcpy(result->text, world->text, sizeof result->text);
    if (world->checker != NULL && world->show != NULL)
        explore_show_violation(world->show, world->checker, world->text);
    if (world->show != NULL)
        explore_show_end(world->show);
    world->show = NULL;
}

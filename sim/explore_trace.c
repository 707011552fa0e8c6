/* Actions as lines of text, the trace that leads to a violation, and its replay.
 *
 *   raftsim-explore 1
 *   bound timeouts 2          what differs from the usual bounds
 *   checker election_safety   what it leads to
 *   timeout n1                an action, as in explore.h; behind " # " for the reader
 *
 * The n-th of several frames with equal words is told from the others by the order of its bytes. */
#include <stdlib.h>
#include <string.h>

#include "explore_search.h"

enum { TRACE_VERSION = 1, LINE_BYTES = 256 };

/* ---- words ---- */

static const char *frame_word(const struct message *message)
{
    switch (message->type) {
    case FRAME_VOTE_REQUEST: return message->vote_request.pre ? "pre-vote?" : "vote?";
    case FRAME_VOTE_RESPONSE:
        if (message->vote_response.pre)
            return message->vote_response.granted ? "pre-vote-yes" : "pre-vote-no";
        return message->vote_response.granted ? "vote-yes" : "vote-no";
    case FRAME_APPEND_REQUEST: return "append";
    case FRAME_APPEND_RESPONSE: return message->append_response.rejected == 0 ? "append-ok" : "append-no";
    case FRAME_REFUSAL: return "refusal";
    case FRAME_CHECKPOINT_REQUEST: return "checkpoint?";
    case FRAME_CHECKPOINT_RESPONSE: return "checkpoint!";
    case FRAME_REPAIR_REQUEST: return "repair?";
    case FRAME_REPAIR_RESPONSE: return "repair!";
    case FRAME_TIMEOUT_NOW: return "timeout-now";
    case FRAME_REJOIN_REQUEST: return "rejoin?";
    case FRAME_REJOIN_RESPONSE: return "rejoin!";
    case FRAME_READ_INDEX_REQUEST: return "read-index?";
    case FRAME_READ_INDEX_RESPONSE: return "read-index!";
    case FRAME_CLIENT_REQUEST:
    case FRAME_CLIENT_REPLY: break;
    }
    return "?";
}

static struct slice frame_slice(const struct table *table, uint32_t frame)
{
    return (struct slice){ .bytes = table->frame_bytes + table->frames[frame].offset,
                           .count = table->frames[frame].bytes };
}

static void frame_text(const struct table *table, uint32_t frame, char *text, size_t text_bytes)
{
    struct message message;
    const struct frame_context context = { .cluster_id = node_cluster_id(),
                                           .fingerprint = limits_fingerprint(node_limits(table->machine)),
                                           .frame_bytes_max = NODE_FRAME_BYTES_MAX };
    const int used = snprintf(text, text_bytes, "n%u>n%u", table->frames[frame].from + 1, table->frames[frame].to + 1);
    if (message_decode(frame_slice(table, frame), &context, &message) != FRAME_OK || used < 0)
        return;
    char *at = text + used;
    const size_t left = text_bytes - (size_t)used;
    const unsigned term = (unsigned)message.term;
    if (message.type == FRAME_APPEND_REQUEST)
        snprintf(at, left, " append t%u %u.%u +%u commit %u", term, (unsigned)message.append_request.prev.term,
                 (unsigned)message.append_request.prev.index, message.append_request.entry_count,
                 (unsigned)message.append_request.commit);
    else if (message.type == FRAME_APPEND_RESPONSE)
        snprintf(at, left, " %s t%u %u", frame_word(&message), term,
                 (unsigned)u64_max(message.append_response.match, message.append_response.rejected));
    else if (message.type == FRAME_VOTE_REQUEST)
        snprintf(at, left, " %s t%u last %u.%u", frame_word(&message), (unsigned)message.vote_request.term,
                 (unsigned)message.vote_request.last.term, (unsigned)message.vote_request.last.index);
    else if (message.type == FRAME_VOTE_RESPONSE)
        snprintf(at, left, " %s t%u", frame_word(&message), (unsigned)message.vote_response.term);
    else
        snprintf(at, left, " %s t%u", frame_word(&message), term);
}

static int slice_compare(struct slice a, struct slice b)
{
    const int order = memcmp(a.bytes, b.bytes, u32_min(a.count, b.count));
    return order != 0 ? order : (a.count > b.count) - (a.count < b.count);
}

static void frame_action_text(const struct cluster_world *world, const struct cluster *cluster, const char *verb,
                              uint32_t place, char *text, size_t text_bytes)
{
    char words[LINE_BYTES];
    uint32_t before = 0;
    frame_text(&world->table, cluster->frames[place], words, sizeof words);
    for (uint32_t i = 0; i < cluster->frame_count; i++) {
        char others[LINE_BYTES];
        if (i > 0 && cluster->frames[i] == cluster->frames[i - 1])
            continue;
        frame_text(&world->table, cluster->frames[i], others, sizeof others);
        before += strcmp(words, others) == 0
                  && slice_compare(frame_slice(&world->table, cluster->frames[i]),
                                   frame_slice(&world->table, cluster->frames[place]))
                         < 0;
    }
    snprintf(text, text_bytes, before > 0 ? "%s %.120s #%u" : "%s %.120s", verb, words, before + 1);
}

void cluster_action_text(struct cluster_world *world, const struct cluster *cluster, struct action action, char *text,
                         size_t text_bytes)
{
    const struct node_state *state = table_state(&world->table, cluster->nodes[action.node]);
    const uint32_t node = action.node + 1U;
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
    }
    UNREACHABLE();
}

void cluster_node_text(const struct cluster_world *world, const struct cluster *cluster, uint32_t node, char *text,
                       size_t text_bytes)
{
    const struct node_view *view = table_view(&world->table, cluster->nodes[node]);
    const struct node_state *state = table_state(&world->table, cluster->nodes[node]);
    int used = snprintf(text, text_bytes, "n%u %s t%u vote %u log", node + 1,
                        raft_role_text((enum raft_role)view->role), (unsigned)view->term, (unsigned)view->vote);
    for (uint32_t index = view->base + 1; index <= view->last && used > 0 && (size_t)used < text_bytes; index++)
        used += snprintf(text + used, text_bytes - (size_t)used, " %u.%u", (unsigned)view->entry_term[index], index);
    if (used > 0 && (size_t)used < text_bytes)
        snprintf(text + used, text_bytes - (size_t)used, " commit %u, %u writing", view->commit, state->write_count);
}

/* ---- the way to a violation ---- */

/* What the action of a state is in that state with its nodes renamed. */
static struct action action_rename(const struct cluster_world *world, const struct cluster *from,
                                   const struct cluster *renamed, uint32_t renaming, struct action action)
{
    struct action there = action;
    there.node = world->table.renaming[renaming][action.node];
    if (action.kind != ACTION_DELIVER && action.kind != ACTION_DUPLICATE && action.kind != ACTION_DROP)
        return there;
    const uint32_t frame = world->table.frames[from->frames[action.which]].images[renaming];
    there.which = 0;
    while (renamed->frames[there.which] != frame)
        there.which++;
    return there;
}

/* The search renames nodes as it goes; a reader wants names that stay. So each state of the way is renamed back, and
 * what the last action breaks is told of those. file: NULL, or where the actions go. */
static void walk(struct explore *explore, FILE *file)
{
    struct cluster_world *world = &explore->world;
    struct cluster canonical;
    struct cluster real;
    world->checker = NULL;
    cluster_begin(world, &canonical);
    uint32_t back = world->table.inverse[cluster_canonical(world, &canonical)];
    for (uint32_t step = explore->way_count; step > 0; step--) {
        char text[LINE_BYTES];
        const uint32_t count = cluster_actions(world, &canonical, explore->actions);
        ASSERT(explore->way[step - 1] < count);
        const struct action action = explore->actions[explore->way[step - 1]];
        cluster_rename(world, &canonical, back, &real);
        const struct action there = action_rename(world, &canonical, &real, back, action);
        cluster_action_text(world, &real, there, text, sizeof text);
        if (file != NULL)
            fprintf(file, "%s\n", text);
        if (step == 1)
            cluster_act(world, &real, there);
        else
            cluster_act(world, &canonical, action);
        back = world->table.compose[back][world->table.inverse[cluster_canonical(world, &canonical)]];
    }
}

bool explore_retrace(struct explore *explore, struct origin violation)
{
    explore->way = calloc(explore->depth + 1, sizeof *explore->way);
    if (explore->way == NULL)
        return false;
    for (struct origin origin = violation;; origin = explore->origins[origin.parent]) {
        ASSERT(explore->way_count <= explore->depth);
        explore->way[explore->way_count++] = origin.action;
        if (origin.parent == 0)
            break;
    }
    walk(explore, NULL);
    return true;
}

void explore_write_trace(struct explore *explore, FILE *file)
{
    struct cluster_world *world = &explore->world;
    fprintf(file, "raftsim-explore %d\n", TRACE_VERSION);
    explore_bounds_write(&world->bounds, file);
    fprintf(file, "checker %s\n# %s\n", world->checker, world->text);
    walk(explore, file);
}

/* ---- replay ---- */

bool explore_read_bounds(FILE *trace, struct explore_bounds *bounds)
{
    char line[LINE_BYTES];
    char name[LINE_BYTES];
    char value[LINE_BYTES];
    int version = 0;
    explore_bounds_init(bounds);
    rewind(trace);
    if (fgets(line, sizeof line, trace) == NULL || sscanf(line, "raftsim-explore %d", &version) != 1
        || version != TRACE_VERSION)
        return false;
    while (fgets(line, sizeof line, trace) != NULL) {
        const int words = sscanf(line, "bound %255s %255s", name, value);
        if (words >= 1 && !explore_bounds_set(bounds, name, words == 2 ? value : NULL))
            return false;
    }
    return explore_bounds_problem(bounds) == NULL;
}

/* Cuts the end of the line, and what is for the reader. */
static bool line_is_action(char *line)
{
    char *comment = strstr(line, " # ");
    if (comment != NULL)
        *comment = '\0';
    line[strcspn(line, "\n")] = '\0';
    return line[0] != '\0' && line[0] != '#' && strncmp(line, "raftsim-explore ", 16) != 0
           && strncmp(line, "bound ", 6) != 0 && strncmp(line, "checker ", 8) != 0;
}

static const struct action *find_action(struct explore *explore, const struct cluster *cluster, const char *line)
{
    const uint32_t count = cluster_actions(&explore->world, cluster, explore->actions);
    for (uint32_t i = 0; i < count; i++) {
        char text[LINE_BYTES];
        cluster_action_text(&explore->world, cluster, explore->actions[i], text, sizeof text);
        if (strcmp(text, line) == 0)
            return &explore->actions[i];
    }
    return NULL;
}

uint32_t explore_replay(struct explore *explore, FILE *trace, FILE *log, struct explore_result *result)
{
    struct cluster_world *world = &explore->world;
    struct cluster cluster;
    char line[LINE_BYTES];
    uint32_t number = 0;
    memset(result, 0, sizeof *result);
    enum cluster_outcome outcome = cluster_begin(world, &cluster);
    world->bounds.eager = false; /* the trace says what completes when */
    rewind(trace);
    while (outcome == CLUSTER_OK && fgets(line, sizeof line, trace) != NULL) {
        char text[LINE_BYTES];
        number++;
        if (!line_is_action(line))
            continue;
        const struct action *action = find_action(explore, &cluster, line);
        if (action == NULL)
            return number;
        const uint32_t node = action->node;
        outcome = cluster_act(world, &cluster, *action);
        result->progress.transitions++;
        cluster_node_text(world, &cluster, node, text, sizeof text);
        if (log != NULL)
            fprintf(log, "%-56s # %s\n", line, text);
    }
    result->verdict = outcome == CLUSTER_OK ? EXPLORE_CLEAN : EXPLORE_MEMORY;
    if (outcome == CLUSTER_BROKEN)
        result->verdict = EXPLORE_VIOLATION;
    result->checker = world->checker;
    memcpy(result->text, world->text, sizeof result->text);
    return 0;
}

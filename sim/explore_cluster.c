/* States of the cluster, actions and rules; see explore_cluster.h. */
#include "explore_cluster.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "../core/checksum.h"

enum { HISTORIES_FIRST = 1 << 10 };

/* ---- histories ---- */

static uint32_t history_slot(const struct cluster_world *world, const struct history *history)
{
    const uint32_t mask = world->history_index_size - 1;
    uint32_t slot = (uint32_t)checksum64(history, sizeof *history, 0) & mask;
    while (world->history_index[slot] != 0
           && memcmp(&world->histories[world->history_index[slot]], history, sizeof *history) != 0)
        slot = (slot + 1) & mask;
    return slot;
}

static bool histories_grow(struct cluster_world *world)
{
    struct history *histories =
        realloc(world->histories, (uint64_t)world->history_capacity * 2 * sizeof *world->histories);
    if (histories == NULL)
        return false;
    world->histories = histories;
    world->history_capacity *= 2;
    uint32_t *index = calloc((uint64_t)world->history_index_size * 2, sizeof *index);
    if (index == NULL)
        return false;
    free(world->history_index);
    world->history_index = index;
    world->history_index_size *= 2;
    for (uint32_t i = 1; i < world->history_count; i++)
        index[history_slot(world, &world->histories[i])] = i;
    return true;
}

/* 0: no memory. */
static uint32_t history_intern(struct cluster_world *world, const struct history *history)
{
    const uint32_t known = world->history_index[history_slot(world, history)];
    if (known != 0)
        return known;
    if (world->history_count == world->history_capacity && !histories_grow(world))
        return 0;
    world->histories[world->history_count] = *history;
    world->history_index[history_slot(world, history)] = world->history_count;
    return world->history_count++;
}

bool cluster_world_init(struct cluster_world *world, const struct explore_bounds *bounds)
{
    const struct node_options options = {
        .nodes = bounds->nodes,
        .pre_vote = bounds->pre_vote,
        .check_quorum = bounds->check_quorum,
        .strict_naming = bounds->strict_naming,
        .torn = bounds->torn,
        .copies = bounds->copies,
        .raw = bounds->raw,
        .single = bounds->single,
        .checkpoints = bounds->budget[BUDGET_CHECKPOINTS] > 0,
        .recovery = bounds->recovery,
    };
    memset(world, 0, sizeof *world);
    world->bounds = *bounds;
    world->history_count = 1;
    world->history_capacity = HISTORIES_FIRST;
    world->history_index_size = 2 * HISTORIES_FIRST;
    world->histories = calloc(world->history_capacity, sizeof *world->histories);
    world->history_index = calloc(world->history_index_size, sizeof *world->history_index);
    if (!table_init(&world->table, &options, bounds->symmetry) || world->histories == NULL
        || world->history_index == NULL)
        return false;
    world->table.puts = bounds->puts;
    return true;
}

void cluster_world_free(struct cluster_world *world)
{
    table_free(&world->table);
    free(world->histories);
    free(world->history_index);
}

uint64_t cluster_world_bytes(const struct cluster_world *world)
{
    return table_bytes(&world->table) + (uint64_t)world->history_capacity * sizeof *world->histories
           + (uint64_t)world->history_index_size * 4;
}

/* ---- rules ---- */

__attribute__((format(printf, 3, 4))) static void broken(struct cluster_world *world, const char *checker,
                                                         const char *format, ...)
{
    va_list arguments;
    if (world->checker != NULL)
        return;
    world->checker = checker;
    world->format = format;
    va_start(arguments, format);
    vsnprintf(world->text, sizeof world->text, format, arguments);
    va_end(arguments);
}

/* Raft 3.6.3: leader completeness; an entry that a later term committed need not be in it. */
static void rule_leader(struct cluster_world *world, struct cluster *cluster, uint32_t node,
                        const struct node_view *view)
{
    const struct history *history = &world->histories[cluster->history];
    ASSERT(view->term < TERMS_MAX);
    if (cluster->leader[view->term] != 0 && cluster->leader[view->term] != node + 1)
        broken(world, "election_safety", "n%u and n%u both lead term %u", cluster->leader[view->term] - 1U, node,
               (unsigned)view->term);
    cluster->leader[view->term] = (uint8_t)(node + 1);
    for (uint32_t index = view->base + 1; index <= history->committed; index++) {
        if (history->term[index] < view->term && history->entry[index] != view->entry[index])
            broken(world, "leader_completeness", "n%u leads term %u without entry %u, which term %u committed", node,
                   (unsigned)view->term, index, history->term[index]);
    }
}

/* Raft 3.5: one entry at an index in a term, and one past of it. */
static void rule_matching(struct cluster_world *world, const struct cluster *cluster, uint32_t node,
                          const struct node_view *view)
{
    for (uint32_t other = 0; other < world->bounds.nodes; other++) {
        const struct node_view *there = table_view(&world->table, cluster->nodes[other]);
        const uint32_t first = u32_max(view->base, there->base) + 1;
        bool same = false;
        for (uint32_t index = u32_min(view->last, there->last); index >= first && other != node; index--) {
            same |= view->entry_term[index] == there->entry_term[index] && view->entry[index] != 0
                    && there->entry[index] != 0;
            if (same && view->entry[index] != there->entry[index])
                broken(world, "log_matching", "n%u and n%u differ at entry %u, and agree on the term of a later one",
                       node, other, index);
        }
    }
}

/* What is committed, or applied, is so for ever and on every node. */
static void rule_committed(struct cluster_world *world, struct history *history, uint32_t node,
                           const struct node_view *view)
{
    for (uint32_t index = view->base + 1; index <= view->commit; index++) {
        if (index > history->committed) {
            history->entry[index] = view->entry[index];
            history->term[index] = (uint8_t)view->term;
            history->call[index] = view->entry_call[index];
            history->committed = index;
        } else if (history->entry[index] != view->entry[index]) {
            broken(world, "state_machine", "n%u has committed another entry %u than was committed before", node, index);
        }
    }
    if (view->state_digest == 0)
        return;
    uint64_t *digest = &history->state_digest[view->applied];
    if (*digest != 0 && *digest != view->state_digest)
        broken(world, "state_machine", "the state of n%u at entry %u is not that of the others", node, view->applied);
    *digest = view->state_digest;
}

static bool majority(uint32_t voters, uint32_t holders)
{
    return 2 * __builtin_popcount(voters & holders) > __builtin_popcount(voters);
}

/* Of all nodes, as at format, or of a configuration that some node uses; of both halves of a joint one. That of who
 * committed the entry is one of these, or was followed by one whose majority has what was committed before it. */
static bool is_quorum(const struct cluster_world *world, const struct cluster *cluster, uint32_t holders)
{
    const uint32_t all = (1U << world->bounds.nodes) - 1;
    bool found = majority(all, holders);
    for (uint32_t node = 0; node < world->bounds.nodes && !found; node++) {
        const struct node_view *view = table_view(&world->table, cluster->nodes[node]);
        found = majority(view->voters, holders) && (view->voters_old == 0 || majority(view->voters_old, holders));
    }
    return found;
}

static void rule_durable(struct cluster_world *world, const struct cluster *cluster, const struct history *history)
{
    for (uint32_t index = 1; index <= history->committed; index++) {
        uint32_t holders = 0;
        for (uint32_t node = 0; node < world->bounds.nodes; node++) {
            const struct node_view *durable =
                node_durable(world->table.machine, node, table_state(&world->table, cluster->nodes[node])->disk);
            if (index <= durable->base || durable->entry[index] == history->entry[index])
                holders |= 1U << node;
        }
        if (!is_quorum(world, cluster, holders))
            broken(world, "durable_quorum", "entry %u is committed, and on %u of %u disks", index,
                   (unsigned)__builtin_popcount(holders), world->bounds.nodes);
    }
}

static void rule_executed(struct cluster_world *world, struct history *history, const struct table_step *step)
{
    const uint32_t *executed = world->table.numbers + step->first + step->sent + 2U * step->replies;
    for (uint32_t i = 0; i < step->executed; i++) {
        const uint32_t index = executed[i] >> 8;
        const uint32_t call = executed[i] & 0xff;
        if (call >= EXPLORE_CALLS_MAX)
            continue;
        if (history->executed[call] != 0 && history->executed[call] != index)
            broken(world, "exactly_once", "call%u was executed as entry %u, and again as entry %u", call + 1,
                   history->executed[call], index);
        history->executed[call] = (uint8_t)index;
    }
}

static void rule_reply(struct cluster_world *world, struct cluster *cluster, const struct history *history,
                       uint32_t call, enum reply_status status, uint32_t index)
{
    const bool get = call >= world->bounds.puts;
    const bool over = status == REPLY_OK || (get && status == REPLY_NOT_FOUND);
    const bool again =
        status == REPLY_NOT_LEADER || status == REPLY_BUSY || status == REPLY_UNKNOWN || status == REPLY_NO_LEADER;
    /* Somebody may have been sent it twice: the first answer is the one that counts. */
    if (!over && !again)
        broken(world, "write", "call%u is answered with \"%s\"", call + 1, reply_status_text(status));
    if (!over || cluster->call[call] == CALL_DONE)
        return;
    cluster->call[call] = CALL_DONE;
    if (index > history->committed)
        broken(world, get ? "read" : "write", "call%u is answered with entry %u, which is not committed", call + 1,
               index);
    else if (get && index < cluster->floor[call])
        broken(world, "read", "call%u reads version %u, version %u was acknowledged before it began", call + 1, index,
               cluster->floor[call]);
    else if (!get && history->call[index] != call + 1)
        broken(world, "write", "call%u is acknowledged as entry %u, which is another one", call + 1, index);
    if (!get)
        cluster->acknowledged = (uint8_t)u32_max(cluster->acknowledged, index);
}

static enum cluster_outcome rule_step(struct cluster_world *world, struct cluster *cluster, uint32_t node,
                                      uint32_t before, const struct table_step *step)
{
    const struct node_view *old = table_view(&world->table, before);
    const struct node_view *view = table_view(&world->table, step->next);
    const bool disk = table_state(&world->table, before)->disk != table_state(&world->table, step->next)->disk;
    struct history history = world->histories[cluster->history];
    const uint32_t committed = history.committed;
    if (step->fault != 0) {
        const struct table_fault *fault = &world->table.faults[step->fault - 1];
        broken(world, fault->checker, "n%u %s", node, fault->text);
        world->format = fault->format;
    }
    if (view->role == RAFT_LEADER && (old->role != RAFT_LEADER || old->term != view->term))
        rule_leader(world, cluster, node, view);
    if (view->last != old->last || memcmp(view->entry, old->entry, sizeof view->entry) != 0)
        rule_matching(world, cluster, node, view);
    rule_committed(world, &history, node, view);
    rule_executed(world, &history, step);
    if (history.committed != committed || disk)
        rule_durable(world, cluster, &history);
    for (uint32_t i = 0; i < step->replies; i++) {
        const uint32_t *reply = world->table.numbers + step->first + step->sent + 2U * i;
        if ((reply[0] & 0xff) < EXPLORE_CALLS_MAX)
            rule_reply(world, cluster, &history, reply[0] & 0xff, (enum reply_status)(reply[0] >> 8), reply[1]);
    }
    if (memcmp(&history, &world->histories[cluster->history], sizeof history) != 0)
        cluster->history = history_intern(world, &history);
    if (cluster->history == 0)
        return CLUSTER_NO_MEMORY;
    return world->checker != NULL ? CLUSTER_BROKEN : CLUSTER_OK;
}

/* ---- actions ---- */

/* What comes first in the bag. */
static uint32_t frame_key(const struct cluster_world *world, uint32_t frame)
{
    const struct table_frame *kept = &world->table.frames[frame];
    return world->bounds.ordered ? (uint32_t)kept->from * EXPLORE_NODES_MAX + kept->to : frame;
}

static bool frame_put(const struct cluster_world *world, struct cluster *cluster, uint32_t frame, uint32_t frames_max)
{
    const uint32_t key = frame_key(world, frame);
    if (cluster->frame_count >= frames_max)
        return false;
    uint32_t at = cluster->frame_count++;
    for (; at > 0 && frame_key(world, cluster->frames[at - 1]) > key; at--)
        cluster->frames[at] = cluster->frames[at - 1];
    cluster->frames[at] = frame;
    return true;
}

static void frame_take(struct cluster *cluster, uint32_t at)
{
    cluster->frame_count--;
    for (uint32_t i = at; i < cluster->frame_count; i++)
        cluster->frames[i] = cluster->frames[i + 1];
    cluster->frames[cluster->frame_count] = 0;
}

/* The frame arrives: what its link had before it, will not. Returns its place then. */
static uint32_t frame_overtake(const struct cluster_world *world, struct cluster *cluster, uint32_t at)
{
    const uint32_t key = frame_key(world, cluster->frames[at]);
    while (world->bounds.ordered && at > 0 && frame_key(world, cluster->frames[at - 1]) == key)
        frame_take(cluster, --at);
    return at;
}

static enum cluster_outcome node_act(struct cluster_world *world, struct cluster *cluster, uint32_t node,
                                     uint32_t input)
{
    const uint32_t before = cluster->nodes[node];
    if (world->show != NULL)
        table_show(&world->table, before, input, world->show);
    const struct table_step *step = table_apply(&world->table, before, input);
    if (world->table.failed)
        return CLUSTER_NO_MEMORY;
    if (world->table.asymmetric)
        return CLUSTER_ASYMMETRIC;
    cluster->nodes[node] = step->next;
    const enum cluster_outcome outcome = rule_step(world, cluster, node, before, step);
    if (outcome != CLUSTER_OK)
        return outcome;
    for (uint32_t i = 0; i < step->sent; i++) {
        if (!frame_put(world, cluster, world->table.numbers[step->first + i], world->bounds.frames))
            return CLUSTER_FULL;
    }
    return CLUSTER_OK;
}

static enum cluster_outcome call_act(struct cluster_world *world, struct cluster *cluster, struct action action)
{
    if (cluster->call[action.which] == CALL_SENT)
        cluster->budget[BUDGET_RETRIES]--;
    else
        cluster->floor[action.which] = action.which >= world->bounds.puts ? cluster->acknowledged : 0;
    cluster->call[action.which] = CALL_SENT;
    return node_act(world, cluster, action.node, table_input(TABLE_REQUEST, action.which));
}

enum cluster_outcome cluster_act(struct cluster_world *world, struct cluster *cluster, struct action action)
{
    const uint32_t frame = cluster->frames[action.which < FRAMES_MAX ? action.which : 0];
    if (world->show != NULL)
        world->show->released = action.kind == ACTION_DUPLICATE ? FATE_DUPLICATE : FATE_RELEASED;
    switch ((enum action_kind)action.kind) {
    case ACTION_TIMEOUT:
        cluster->budget[BUDGET_TIMEOUTS]--;
        return node_act(world, cluster, action.node, table_input(TABLE_TIMER, TIMER_ELECTION));
    case ACTION_HEARTBEAT:
        cluster->budget[BUDGET_HEARTBEATS]--;
        return node_act(world, cluster, action.node, table_input(TABLE_TIMER, TIMER_HEARTBEAT));
    case ACTION_NAME:
        cluster->budget[BUDGET_NAMES]--;
        return node_act(world, cluster, action.node, table_input(TABLE_TIMER, TIMER_NAME));
    case ACTION_DELIVER:
        frame_take(cluster, frame_overtake(world, cluster, action.which));
        return node_act(world, cluster, action.node, frame);
    case ACTION_DUPLICATE:
        cluster->budget[BUDGET_DUPLICATES]--;
        frame_overtake(world, cluster, action.which);
        return node_act(world, cluster, action.node, frame);
    case ACTION_DROP:
        cluster->budget[BUDGET_DROPS]--;
        if (world->show != NULL)
            explore_show_lost(world->show, world->table.frames[frame].from, action.node,
                              table_frame_bytes(&world->table, frame));
        frame_take(cluster, action.which);
        return CLUSTER_OK;
    case ACTION_COMPLETE: return node_act(world, cluster, action.node, table_input(TABLE_COMPLETE, action.which));
    case ACTION_CRASH:
        cluster->budget[BUDGET_CRASHES]--;
        return node_act(world, cluster, action.node, table_input(TABLE_CRASH, action.which));
    case ACTION_CALL: return call_act(world, cluster, action);
    case ACTION_CHECKPOINT:
        cluster->budget[BUDGET_CHECKPOINTS]--;
        return node_act(world, cluster, action.node, table_input(TABLE_REQUEST, EXPLORE_CALL_CHECKPOINT));
    case ACTION_REMOVE:
        cluster->budget[BUDGET_REMOVALS]--;
        return node_act(world, cluster, action.node, table_input(TABLE_REQUEST, EXPLORE_CALL_REMOVE + action.which));
    }
    UNREACHABLE();
}

struct action_list {
    struct action *actions;
    uint32_t count;
};

static void offer(struct action_list *list, enum action_kind kind, uint32_t node, uint32_t which)
{
    ASSERT(list->count < ACTIONS_MAX);
    list->actions[list->count++] =
        (struct action){ .kind = (uint8_t)kind, .node = (uint8_t)node, .which = (uint16_t)which };
}

static void node_actions(const struct cluster_world *world, const struct cluster *cluster, uint32_t node,
                         struct action_list *list)
{
    const struct node_view *view = table_view(&world->table, cluster->nodes[node]);
    const bool starting = view->role == RAFT_STARTING || view->role == RAFT_STOPPED;
    const bool leader = view->role == RAFT_LEADER;
    if (!starting && !leader && cluster->budget[BUDGET_TIMEOUTS] > 0)
        offer(list, ACTION_TIMEOUT, node, 0);
    if (leader && cluster->budget[BUDGET_HEARTBEATS] > 0)
        offer(list, ACTION_HEARTBEAT, node, 0);
    if (!starting && cluster->budget[BUDGET_NAMES] > 0)
        offer(list, ACTION_NAME, node, 0);
    for (uint32_t i = 0; i < table_state(&world->table, cluster->nodes[node])->write_count; i++)
        offer(list, ACTION_COMPLETE, node, i);
    for (uint32_t i = 0; i < view->outcomes && cluster->budget[BUDGET_CRASHES] > 0; i++)
        offer(list, ACTION_CRASH, node, i);
    if (leader && cluster->budget[BUDGET_CHECKPOINTS] > 0)
        offer(list, ACTION_CHECKPOINT, node, 0);
    for (uint32_t other = 0; other < world->bounds.nodes && leader && cluster->budget[BUDGET_REMOVALS] > 0; other++)
        if ((view->voters >> other & 1) != 0)
            offer(list, ACTION_REMOVE, node, other);
    for (uint32_t call = 0; call < world->bounds.puts + world->bounds.gets && leader; call++) {
        const bool put = call < world->bounds.puts;
        const bool turn = !put || call < EXPLORE_CLIENTS_MAX || cluster->call[call - EXPLORE_CLIENTS_MAX] == CALL_DONE;
        if (cluster->call[call] == CALL_DONE || !turn
            || (cluster->call[call] == CALL_SENT && cluster->budget[BUDGET_RETRIES] == 0))
            continue;
        offer(list, ACTION_CALL, node, call);
    }
}

uint32_t cluster_actions(const struct cluster_world *world, const struct cluster *cluster, struct action *actions)
{
    struct action_list list = { .actions = actions };
    const bool eager = world->bounds.eager && cluster->budget[BUDGET_CRASHES] == 0;
    for (uint32_t node = 0; node < world->bounds.nodes && eager; node++) {
        if (table_state(&world->table, cluster->nodes[node])->write_count == 0)
            continue;
        offer(&list, ACTION_COMPLETE, node, 0);
        return list.count;
    }
    for (uint32_t node = 0; node < world->bounds.nodes; node++)
        node_actions(world, cluster, node, &list);
    for (uint32_t i = 0; i < cluster->frame_count; i++) {
        const uint32_t to = world->table.frames[cluster->frames[i]].to;
        if (i > 0 && cluster->frames[i] == cluster->frames[i - 1] && !world->bounds.ordered)
            continue;
        offer(&list, ACTION_DELIVER, to, i);
        if (cluster->budget[BUDGET_DUPLICATES] > 0)
            offer(&list, ACTION_DUPLICATE, to, i);
        if (cluster->budget[BUDGET_DROPS] > 0)
            offer(&list, ACTION_DROP, to, i);
    }
    return list.count;
}

/* ---- what can be left out ---- */

/* Are the frames of `few` among those of `many`, in their order? */
static bool frames_within(const struct cluster *many, const struct cluster *few)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < many->frame_count && found < few->frame_count; i++)
        found += many->frames[i] == few->frames[found];
    return found == few->frame_count;
}

bool cluster_covers(const struct cluster *from, const struct cluster *to)
{
    if (memcmp(from->nodes, to->nodes, sizeof from->nodes) != 0 || !frames_within(from, to))
        return false;
    struct cluster alike = *to;
    for (uint32_t i = 0; i < BUDGETS; i++) {
        if (to->budget[i] > from->budget[i])
            return false;
        alike.budget[i] = from->budget[i];
    }
    alike.frame_count = from->frame_count;
    return memcmp(from, &alike, CLUSTER_FIXED_BYTES) == 0;
}

/* ---- renaming ---- */

void cluster_rename(const struct cluster_world *world, const struct cluster *cluster, uint32_t renaming,
                    struct cluster *renamed)
{
    const uint8_t *name = world->table.renaming[renaming];
    *renamed = *cluster;
    for (uint32_t node = 0; node < world->bounds.nodes; node++)
        renamed->nodes[name[node]] = world->table.states[cluster->nodes[node]].images[renaming];
    for (uint32_t term = 0; term < TERMS_MAX; term++) {
        if (cluster->leader[term] != 0)
            renamed->leader[term] = (uint8_t)(name[cluster->leader[term] - 1] + 1);
    }
    memset(renamed->frames, 0, sizeof renamed->frames);
    renamed->frame_count = 0;
    for (uint32_t i = 0; i < cluster->frame_count; i++)
        frame_put(world, renamed, world->table.frames[cluster->frames[i]].images[renaming], FRAMES_MAX);
}

static int nodes_compare(const struct cluster_world *world, const struct cluster *cluster, uint32_t renaming,
                         const uint32_t *least, uint32_t *nodes)
{
    for (uint32_t node = 0; node < world->bounds.nodes; node++)
        nodes[world->table.renaming[renaming][node]] = world->table.states[cluster->nodes[node]].images[renaming];
    for (uint32_t node = 0; node < world->bounds.nodes; node++) {
        if (nodes[node] != least[node])
            return nodes[node] < least[node] ? -1 : 1;
    }
    return 0;
}

uint32_t cluster_canonical(const struct cluster_world *world, struct cluster *cluster)
{
    const struct cluster original = *cluster;
    uint32_t chosen = 0;
    for (uint32_t renaming = 1; renaming < world->table.renamings; renaming++) {
        uint32_t nodes[EXPLORE_NODES_MAX];
        struct cluster renamed;
        const int order = nodes_compare(world, &original, renaming, cluster->nodes, nodes);
        if (order > 0)
            continue;
        cluster_rename(world, &original, renaming, &renamed);
        if (order == 0 && memcmp(&renamed, cluster, sizeof renamed) >= 0)
            continue;
        *cluster = renamed;
        chosen = renaming;
    }
    return chosen;
}

/* ---- the beginning ---- */

/* Everything that can happen without a timer and without a fault, in rounds, so that nodes in equal places end in equal
 * states: all frames that are under way arrive, then all writes complete. */
static enum cluster_outcome settle(struct cluster_world *world, struct cluster *cluster)
{
    enum cluster_outcome outcome = CLUSTER_OK;
    for (bool busy = true; busy;) {
        const struct cluster before = *cluster;
        busy = before.frame_count > 0;
        for (uint32_t i = 0; i < before.frame_count && outcome == CLUSTER_OK; i++) {
            struct action action = { .kind = ACTION_DELIVER, .node = world->table.frames[before.frames[i]].to };
            while (cluster->frames[action.which] != before.frames[i])
                action.which++;
            outcome = cluster_act(world, cluster, action);
        }
        for (uint32_t node = 0; node < world->bounds.nodes; node++) {
            const struct action complete = { .kind = ACTION_COMPLETE, .node = (uint8_t)node };
            while (table_state(&world->table, cluster->nodes[node])->write_count > 0 && outcome == CLUSTER_OK) {
                outcome = cluster_act(world, cluster, complete);
                busy = true;
            }
        }
        if (outcome != CLUSTER_OK)
            return outcome;
    }
    return CLUSTER_OK;
}

/* n0 is elected, every client has a session, and everybody has applied all that. */
static enum cluster_outcome begin_led(struct cluster_world *world, struct cluster *cluster)
{
    enum cluster_outcome outcome = cluster_act(world, cluster, (struct action){ .kind = ACTION_TIMEOUT, .node = 0 });
    if (outcome == CLUSTER_OK)
        outcome = settle(world, cluster);
    for (uint32_t client = 0; client < EXPLORE_CLIENTS_MAX && outcome == CLUSTER_OK; client++) {
        if (client >= world->bounds.puts)
            continue;
        outcome = node_act(world, cluster, 0, table_input(TABLE_REQUEST, EXPLORE_CALLS_MAX + client));
        if (outcome == CLUSTER_OK)
            outcome = settle(world, cluster);
        /* A session is the index of its entry. */
        node_session(world->table.machine, client, table_view(&world->table, cluster->nodes[0])->commit);
    }
    if (outcome == CLUSTER_OK)
        outcome = cluster_act(world, cluster, (struct action){ .kind = ACTION_HEARTBEAT, .node = 0 });
    if (outcome == CLUSTER_OK)
        outcome = settle(world, cluster);
    ASSERT(outcome != CLUSTER_OK || table_view(&world->table, cluster->nodes[0])->role == RAFT_LEADER);
    return outcome;
}

enum cluster_outcome cluster_begin(struct cluster_world *world, struct cluster *cluster)
{
    const struct history nothing = { .committed = 0 };
    enum cluster_outcome outcome = CLUSTER_OK;
    memset(cluster, 0, sizeof *cluster);
    cluster->history = history_intern(world, &nothing);
    for (uint32_t node = 0; node < world->bounds.nodes; node++)
        cluster->nodes[node] = table_begin(&world->table, node);
    for (uint32_t node = 0; node < world->bounds.nodes && world->show != NULL; node++)
        node_show(world->table.machine, table_state(&world->table, cluster->nodes[node]), NULL, NULL, world->show);
    if (world->table.failed)
        return CLUSTER_NO_MEMORY;
    if (world->bounds.led || world->bounds.puts > 0) {
        const struct explore_bounds bounds = world->bounds;
        world->bounds.eager = false;
        world->bounds.frames = FRAMES_MAX;
        cluster->budget[BUDGET_TIMEOUTS] = 1;
        cluster->budget[BUDGET_HEARTBEATS] = 1;
        outcome = begin_led(world, cluster);
        world->bounds = bounds;
    }
    for (uint32_t i = 0; i < BUDGETS; i++)
        cluster->budget[i] = (uint8_t)world->bounds.budget[i];
    return outcome;
}

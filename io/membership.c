/* Changes of members, step by step; see membership.h. */
#include "membership.h"

#include "../core/replica.h"
#include "clock.h"
#include "membership_refusal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define PAUSE_NS (100 * NS_PER_MS)

__attribute__((format(printf, 4, 5))) static bool membership_fail(struct membership *membership,
                                                                  enum client_outcome outcome,
                                                                  enum client_reason reason, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(membership->error, sizeof(membership->error), format, arguments);
    va_end(arguments);
    membership->outcome = outcome;
    membership->reason = reason;
    return false;
}

void membership_init(struct membership *membership, const struct client_options *options, struct client *client,
                     membership_progress *progress)
{
    *membership = (struct membership){ .options = *options, .client = client, .progress = progress };
    ASSERT(options->timeout_ns > 0);
}

static void membership_grant(struct membership *membership)
{
    membership->deadline_ns = clock_now_ns() + membership->options.timeout_ns;
}

/* False: the time is over. */
static bool membership_pause(const struct membership *membership)
{
    nanosleep(&(struct timespec){ .tv_nsec = (long)PAUSE_NS }, NULL);
    return clock_now_ns() < membership->deadline_ns;
}

static void membership_say(const struct membership *membership, const char *waits_for)
{
    if (membership->progress != NULL)
        membership->progress(waits_for);
}

/* ---- looking ---- */

const struct member_status *membership_find(const struct client_node *view, uint64_t id)
{
    for (uint32_t slot = 0; slot < view->member_count; slot++)
        if (view->members[slot].member.id == id)
            return &view->members[slot];
    return NULL;
}

/* Its members, as a value; false: no leader has such ones. */
static bool view_configuration(const struct client_node *view, struct configuration *configuration)
{
    *configuration = (struct configuration){ .id = { .index = view->status.configuration_index } };
    for (uint32_t slot = 0; slot < view->member_count; slot++)
        configuration->members[slot] = view->members[slot].member;
    return view->member_count > 0 && configuration_problem(configuration) == NULL;
}

static bool view_is_of_leader(const struct client_node *view)
{
    struct configuration configuration;
    return view->status.role == RAFT_LEADER && view_configuration(view, &configuration);
}

/* It leads, and nobody named by --endpoints is it. */
static bool look_elsewhere(const struct membership *membership, const char *address, struct client_node *leader)
{
    struct client_options options = membership->options;
    struct client *client = NULL;
    struct client_node node;
    options.endpoints = address;
    if (address[0] == '\0' || client_open(&options, &client) < 0)
        return false;
    const bool leads = client_node(client, 0, &node).outcome == CLIENT_OK && view_is_of_leader(&node);
    client_close(client);
    if (leads)
        *leader = node;
    return leads;
}

/* Asks everybody once: the leader of the highest term. */
static bool look_once(struct membership *membership, struct client_node *leader)
{
    struct client_node latest = { .member_count = 0 };
    bool answered = false, found = false;
    for (uint32_t slot = 0; slot < client_endpoint_count(membership->client); slot++) {
        struct client_node node;
        if (client_node(membership->client, slot, &node).outcome != CLIENT_OK)
            continue;
        answered = true;
        if (view_is_of_leader(&node) && (!found || node.status.term > leader->status.term)) {
            *leader = node;
            found = true;
        }
        if (node.status.term >= latest.status.term && node.status.leader != 0)
            latest = node;
    }
    const struct member_status *elsewhere = membership_find(&latest, latest.status.leader);
    if (elsewhere != NULL && (!found || latest.status.term > leader->status.term))
        found |= look_elsewhere(membership, elsewhere->member.address, leader);
    if (found)
        return true;
    return membership_fail(membership, CLIENT_FAILED, answered ? CLIENT_NO_LEADER : CLIENT_UNREACHABLE, "%s",
                           answered ? "no node leads" : client_error_text(membership->client));
}

static bool look_until(struct membership *membership, struct client_node *leader)
{
    while (!look_once(membership, leader)) {
        membership_say(membership, "a leader");
        if (!membership_pause(membership))
            return false;
    }
    return true;
}

bool membership_look(struct membership *membership, struct client_node *leader)
{
    membership_grant(membership);
    return look_until(membership, leader);
}

static bool view_is_settled(const struct client_node *view)
{
    for (uint32_t slot = 0; slot < view->member_count; slot++)
        if ((view->members[slot].member.roles & (MEMBER_VOTER_OLD | MEMBER_LEARNER_NEXT)) != 0)
            return false;
    return view->status.configuration_index <= view->status.commit_index;
}

/* A leader's view that no change is under way in. */
static bool look_until_settled(struct membership *membership, struct client_node *view)
{
    while (look_until(membership, view)) {
        if (view_is_settled(view))
            return true;
        membership_say(membership, "an earlier change of members");
        membership_fail(membership, CLIENT_FAILED, CLIENT_REFUSED, "another change of members is under way");
        if (!membership_pause(membership))
            break;
    }
    return false;
}

/* Is the operation in force? */
static bool view_shows(const struct client_node *view, const struct member_operation *operation)
{
    const struct member_status *status = membership_find(view, operation->id);
    if (operation->kind == MEMBER_REMOVE || status == NULL)
        return operation->kind == MEMBER_REMOVE && status == NULL;
    const struct member *member = &status->member;
    const bool here = strcmp(member->address, operation->address) == 0;
    switch ((enum member_operation_kind)operation->kind) {
    case MEMBER_ADD_LEARNER: return here;
    case MEMBER_ADD_VOTER: return here && member->roles == MEMBER_VOTER;
    case MEMBER_PROMOTE: return member->roles == MEMBER_VOTER;
    case MEMBER_DEMOTE: return member->roles == MEMBER_LEARNER;
    case MEMBER_SET_ADDRESS: return here;
    case MEMBER_SET_PRIORITY: return member->priority == operation->priority;
    case MEMBER_REMOVE: break;
    }
    UNREACHABLE();
}

static bool view_shows_all(const struct client_node *view, const struct member_operation *operations, uint32_t count)
{
    for (uint32_t at = 0; at < count; at++)
        if (!view_shows(view, &operations[at]))
            return false;
    return true;
}

/* ---- learners ---- */

/* A node that lives answers far more often, whatever its election timeout. */
static bool learner_is_silent(const struct membership *membership, const struct member_status *status)
{
    const uint64_t waited_ns = clock_now_ns() - membership->waits_since_ns;
    return status->heard_age_ns >= NS_PER_S && u64_min(status->heard_age_ns, waited_ns) >= membership->wait_ns;
}

static bool fail_silent(struct membership *membership, const struct client_node *view,
                        const struct member_status *status)
{
    struct configuration configuration;
    char start[START_LINE_BYTES], heard[64];
    const bool valid = view_configuration(view, &configuration);
    ASSERT(valid);
    start_line_of(&configuration, status->member.id, start);
    if (status->heard_age_ns == UINT64_MAX)
        snprintf(heard, sizeof(heard), "has not been heard from in %llu ms",
                 (unsigned long long)(membership->wait_ns / NS_PER_MS));
    else
        snprintf(heard, sizeof(heard), "was last heard from %llu ms ago",
                 (unsigned long long)(status->heard_age_ns / NS_PER_MS));
    return membership_fail(membership, CLIENT_FAILED, CLIENT_REFUSED,
                           "node %llu at %s %s, and only who has caught up becomes a voter; start it with: %s",
                           (unsigned long long)status->member.id, status->member.address, heard, start);
}

enum { LEARNER_BYTES = 224 };

static void learner_text(const struct client_node *view, const struct member_status *status, char text[LEARNER_BYTES])
{
    const int used = snprintf(text, LEARNER_BYTES, "node %llu at %s, which ", (unsigned long long)status->member.id,
                              status->member.address);
    if (status->heard_age_ns == UINT64_MAX)
        snprintf(text + used, LEARNER_BYTES - (size_t)used, "has not been heard from");
    else if (status->heard_age_ns >= NS_PER_S)
        snprintf(text + used, LEARNER_BYTES - (size_t)used, "was last heard from %llu s ago",
                 (unsigned long long)(status->heard_age_ns / NS_PER_S));
    else
        snprintf(text + used, LEARNER_BYTES - (size_t)used, "catches up: entry %llu of %llu",
                 (unsigned long long)status->match, (unsigned long long)view->status.last_index);
}

/* Waits once more for those who are to be promoted, as long as they get on. False: one of them is silent. */
static bool wait_for_learners(struct membership *membership, const struct client_node *view,
                              const struct member_operation *operations, uint32_t count)
{
    const struct member_status *last = NULL;
    uint64_t match = 0;
    char text[LEARNER_BYTES];
    if (membership->waits_since_ns == 0 || membership->waits_term != view->status.term) {
        membership->waits_since_ns = clock_now_ns(); /* another leader has heard from nobody yet */
        membership->waits_term = view->status.term;
        membership->match_seen = 0;
    }
    for (uint32_t at = 0; at < count; at++) {
        const struct member_status *status = membership_find(view, operations[at].id);
        if (operations[at].kind != MEMBER_PROMOTE || status == NULL)
            continue;
        if (learner_is_silent(membership, status))
            return fail_silent(membership, view, status);
        match += status->match;
        if (last == NULL || status->match < last->match)
            last = status;
    }
    if (match > membership->match_seen) {
        membership->match_seen = match;
        membership_grant(membership);
    }
    if (last == NULL)
        return true;
    learner_text(view, last, text);
    membership_say(membership, text);
    membership_fail(membership, CLIENT_FAILED, CLIENT_REFUSED, "gave up waiting for %s", text);
    return true;
}

/* ---- one change of the core ---- */

enum step { STEP_DONE, STEP_AGAIN, STEP_LEARNER, STEP_REFUSED };

/* They have been done, by the entry `index`. */
static void step_note(struct membership *membership, const struct configuration *now,
                      const struct member_operation *operations, uint32_t count, uint64_t index)
{
    struct configuration next;
    membership->index = index;
    membership->after = *now;
    if (configuration_change(now, operations, count, limits_production.members_max, &next) == CONFIGURATION_OK) {
        membership->after = next;
        if (configuration_is_joint(&next))
            configuration_leave(&next, &membership->after);
    }
}

/* The leader has said no. */
static enum step step_explain(struct membership *membership, const struct client_node *view,
                              const struct member_operation *operations, uint32_t count, enum reply_status status)
{
    struct configuration now, next;
    char text[REFUSAL_BYTES];
    const bool valid = view_configuration(view, &now);
    ASSERT(valid);
    if (refusal_judge(&now, operations, count, text) != CONFIGURATION_OK) {
        membership_fail(membership, CLIENT_FAILED, CLIENT_REFUSED, "%s", text);
    } else if (status == REPLY_WOULD_LOSE_QUORUM) {
        configuration_change(&now, operations, count, limits_production.members_max, &next);
        if (configuration_is_joint(&next))
            configuration_leave(&next, &now);
        refusal_of_quorum(view, &now, text);
        membership_fail(membership, CLIENT_FAILED, CLIENT_REFUSED, "%s", text);
    }
    return STEP_REFUSED;
}

static enum step step_ask(struct membership *membership, const struct client_node *view,
                          const struct member_operation *operations, uint32_t count, bool force)
{
    struct configuration now;
    const bool valid = view_configuration(view, &now);
    ASSERT(valid);
    const struct client_result result =
        client_change_members(membership->client, operations, count, view->status.configuration_index, force);
    const char *error = client_error_text(membership->client);
    if (result.outcome == CLIENT_OK) {
        step_note(membership, &now, operations, count, result.version);
        return STEP_DONE;
    }
    membership->doubtful |= result.doubtful || result.outcome == CLIENT_UNKNOWN;
    membership_fail(membership, result.outcome, result.reason, "%s", error);
    if (result.outcome == CLIENT_UNKNOWN || result.reason != CLIENT_REFUSED)
        return result.reason == CLIENT_WRONG_CLUSTER || result.reason == CLIENT_NO_MEMORY ? STEP_REFUSED : STEP_AGAIN;
    if (result.status == REPLY_LEARNER_BEHIND)
        return STEP_LEARNER;
    /* Over soon: a change of somebody else, or of the leader before. What the members are behind it decides. */
    if (result.status == REPLY_CHANGE_UNDER_WAY || result.status == REPLY_TERM_NOT_OPEN || membership->doubtful)
        return STEP_AGAIN;
    return step_explain(membership, view, operations, count, result.status);
}

static bool fail_doubtful(struct membership *membership)
{
    char last[MEMBERSHIP_ERROR_BYTES];
    memcpy(last, membership->error, sizeof(last));
    return membership_fail(membership, CLIENT_UNKNOWN, CLIENT_TIMED_OUT,
                           "asked for, and not answered: it may be done, or be done yet (last: %.600s)", last);
}

/* Until the operations are in force, committed. */
static bool membership_change(struct membership *membership, const struct member_operation *operations, uint32_t count,
                              bool force)
{
    struct client_node view = { .member_count = 0 };
    membership->doubtful = false;
    membership->waits_since_ns = 0;
    do {
        if (!look_until_settled(membership, &view))
            break;
        if (membership->doubtful && view_shows_all(&view, operations, count)) {
            membership->index = view.status.configuration_index;
            return view_configuration(&view, &membership->after);
        }
        switch (step_ask(membership, &view, operations, count, force)) {
        case STEP_DONE: return true;
        case STEP_REFUSED: return false;
        case STEP_LEARNER:
            if (!wait_for_learners(membership, &view, operations, count))
                return false;
            break;
        case STEP_AGAIN: membership_say(membership, "the outcome"); break;
        }
    } while (membership_pause(membership));
    return membership->doubtful ? fail_doubtful(membership) : false;
}

/* ---- what is asked for ---- */

/* Two changes at most; `first`: the learners that are to be promoted by the second. */
struct plan {
    uint32_t first_count, count;
    struct member_operation first[MEMBER_OPERATIONS_MAX];
    struct member_operation rest[2 * MEMBER_OPERATIONS_MAX];
};

/* Is this member added by the same change? */
static bool change_adds(const struct member_change *change, uint64_t id)
{
    for (uint32_t at = 0; at < change->count; at++)
        if (change->operations[at].kind == MEMBER_ADD_LEARNER && change->operations[at].id == id)
            return true;
    return false;
}

static bool change_promotes(const struct member_change *change, uint64_t id)
{
    for (uint32_t at = 0; at < change->count; at++)
        if (change->operations[at].kind == MEMBER_PROMOTE && change->operations[at].id == id)
            return true;
    return false;
}

static void plan_addition(struct plan *plan, const struct membership_task *task, uint32_t at,
                          const struct client_node *view)
{
    const struct member_operation *add = &task->change.operations[at];
    const struct member_status *old = membership_find(view, task->change.succeeds[at]);
    const struct member_status *known = membership_find(view, add->id);
    const bool votes =
        task->voters || change_promotes(&task->change, add->id) || (old != NULL && old->member.roles != MEMBER_LEARNER);
    /* An earlier call may have been interrupted behind its first step. */
    const bool done = (votes || task->change.succeeds[at] != 0) && known != NULL
                      && known->member.roles == MEMBER_LEARNER && strcmp(known->member.address, add->address) == 0;
    struct member_operation operation = *add;
    if (!done && votes && task->force)
        operation.kind = MEMBER_ADD_VOTER;
    if (!done && votes && !task->force)
        plan->first[plan->first_count++] = operation;
    else if (!done)
        plan->rest[plan->count++] = operation;
    if (votes && operation.kind != MEMBER_ADD_VOTER)
        plan->rest[plan->count++] = (struct member_operation){ .id = add->id, .kind = MEMBER_PROMOTE };
}

static void plan_make(struct plan *plan, const struct membership_task *task, const struct client_node *view)
{
    const struct member_change *change = &task->change;
    *plan = (struct plan){ .count = 0 };
    for (uint32_t at = 0; at < change->count; at++) {
        const struct member_operation *operation = &change->operations[at];
        if (operation->kind == MEMBER_ADD_LEARNER)
            plan_addition(plan, task, at, view);
        else if (operation->kind != MEMBER_PROMOTE || !change_adds(change, operation->id))
            plan->rest[plan->count++] = *operation;
    }
}

/* Is the first step in vain, since the second one could not be done? */
static bool plan_is_possible(struct membership *membership, const struct plan *plan, const struct client_node *view)
{
    struct member_operation all[3 * MEMBER_OPERATIONS_MAX];
    struct configuration now;
    char text[REFUSAL_BYTES];
    const bool valid = view_configuration(view, &now);
    ASSERT(valid);
    memcpy(all, plan->first, plan->first_count * sizeof(all[0]));
    memcpy(all + plan->first_count, plan->rest, plan->count * sizeof(all[0]));
    if (refusal_judge(&now, all, plan->first_count + plan->count, text) == CONFIGURATION_OK)
        return true;
    return membership_fail(membership, CLIENT_FAILED, CLIENT_REFUSED, "%s", text);
}

/* The view behind a change that is committed; a leader that was removed has left, and its successor tells. */
static void look_behind(struct membership *membership, const struct membership_task *task, struct client_node *leader)
{
    const struct member_status *silent;
    struct client_node view;
    char text[LEARNER_BYTES];
    *leader = (struct client_node){ .member_count = 0 };
    membership->deadline_ns = clock_now_ns() + membership->wait_ns;
    do {
        silent = NULL;
        if (!look_once(membership, &view))
            continue;
        *leader = view;
        for (uint32_t at = 0; at < task->change.count; at++) {
            const struct member_operation *operation = &task->change.operations[at];
            const struct member_status *status = membership_find(leader, operation->id);
            if (operation->kind == MEMBER_ADD_LEARNER && status != NULL && status->heard_age_ns == UINT64_MAX)
                silent = status;
        }
        if (silent == NULL)
            continue;
        learner_text(leader, silent, text);
        membership_say(membership, text);
    } while ((silent != NULL || leader->member_count == 0) && membership_pause(membership));
}

bool membership_run(struct membership *membership, const struct membership_task *task, struct client_node *leader)
{
    struct plan plan;
    ASSERT(task->change.count > 0);
    membership->wait_ns = task->wait_ns;
    membership_grant(membership);
    if (!look_until_settled(membership, leader))
        return false;
    const bool valid = view_configuration(leader, &membership->before);
    ASSERT(valid);
    membership->after = membership->before;
    plan_make(&plan, task, leader);
    if (plan.first_count + plan.count > MEMBER_OPERATIONS_MAX)
        return membership_fail(membership, CLIENT_FAILED, CLIENT_TOO_LARGE, "more than %d operations at once",
                               (int)MEMBER_OPERATIONS_MAX);
    if (plan.first_count > 0
        && (!plan_is_possible(membership, &plan, leader)
            || !membership_change(membership, plan.first, plan.first_count, task->force)))
        return false;
    membership_grant(membership);
    if (!membership_change(membership, plan.rest, plan.count, task->force))
        return false;
    look_behind(membership, task, leader);
    return true;
}

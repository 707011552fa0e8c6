/* Changes of members, step by step; see membership.h. */
#include "membership.h"

#include "../core/replica.h"
#include "clock.h"

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

static const struct member_status *view_member(const struct client_node *view, uint64_t id)
{
    for (uint32_t slot = 0; slot < view->member_count; slot++)
        if (view->members[slot].member.id == id)
            return &view->members[slot];
    return NULL;
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
    const bool leads = client_node(client, 0, &node).outcome == CLIENT_OK && node.status.role == RAFT_LEADER;
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
        if (node.status.role == RAFT_LEADER && (!found || node.status.term > leader->status.term)) {
            *leader = node;
            found = true;
        }
        if (node.status.term >= latest.status.term && node.status.leader != 0)
            latest = node;
    }
    const struct member_status *elsewhere = view_member(&latest, latest.status.leader);
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

/* ---- one change of the core ---- */

static bool view_is_settled(const struct client_node *view)
{
    for (uint32_t slot = 0; slot < view->member_count; slot++)
        if ((view->members[slot].member.roles & (MEMBER_VOTER_OLD | MEMBER_LEARNER_NEXT)) != 0)
            return false;
    return view->status.configuration_index <= view->status.commit_index;
}

/* Is the operation in force? */
static bool view_shows(const struct client_node *view, const struct member_operation *operation)
{
    const struct member_status *status = view_member(view, operation->id);
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

/* Waits once more for a learner, as long as it gets on. */
static void wait_for_learner(struct membership *membership, const struct client_node *view,
                             const struct member_operation *operations, uint32_t count)
{
    for (uint32_t at = 0; at < count; at++) {
        const struct member_status *status = view_member(view, operations[at].id);
        char text[160];
        if (operations[at].kind != MEMBER_PROMOTE || status == NULL)
            continue;
        if (status->match > membership->match_seen) {
            membership->match_seen = status->match;
            membership_grant(membership);
        }
        snprintf(text, sizeof(text), "node %llu at %s, %s", (unsigned long long)status->member.id,
                 status->member.address,
                 status->heard_age_ns == UINT64_MAX ? "which has not answered yet" : "which catches up");
        if (status->heard_age_ns != UINT64_MAX)
            snprintf(text + strlen(text), sizeof(text) - strlen(text), ": entry %llu of %llu",
                     (unsigned long long)status->match, (unsigned long long)view->status.last_index);
        membership_say(membership, text);
    }
}

enum step { STEP_DONE, STEP_AGAIN, STEP_LEARNER, STEP_REFUSED };

static enum step step_ask(struct membership *membership, const struct client_node *view,
                          const struct member_operation *operations, uint32_t count, bool force)
{
    const struct client_result result =
        client_change_members(membership->client, operations, count, view->status.configuration_index, force);
    const char *error = client_error_text(membership->client);
    if (result.outcome == CLIENT_OK)
        return STEP_DONE;
    membership->doubtful |= result.doubtful || result.outcome == CLIENT_UNKNOWN;
    membership_fail(membership, result.outcome, result.reason, "%s", error);
    if (result.outcome == CLIENT_UNKNOWN || result.reason != CLIENT_REFUSED)
        return result.reason == CLIENT_WRONG_CLUSTER || result.reason == CLIENT_NO_MEMORY ? STEP_REFUSED : STEP_AGAIN;
    if (result.status == REPLY_LEARNER_BEHIND)
        return STEP_LEARNER;
    /* Over soon: a change of somebody else, or of the leader before. What the members are behind it decides. */
    return result.status == REPLY_CHANGE_UNDER_WAY || result.status == REPLY_TERM_NOT_OPEN || membership->doubtful
               ? STEP_AGAIN
               : STEP_REFUSED;
}

/* Until the operations are in force, committed. */
static bool membership_change(struct membership *membership, const struct member_operation *operations, uint32_t count,
                              bool force)
{
    struct client_node view = { .member_count = 0 };
    membership->doubtful = false;
    membership->match_seen = 0;
    do {
        if (!look_until(membership, &view))
            break;
        if (!view_is_settled(&view)) {
            membership_say(membership, "an earlier change of members");
            membership_fail(membership, CLIENT_FAILED, CLIENT_REFUSED, "another change of members is under way");
            continue;
        }
        if (membership->doubtful && view_shows_all(&view, operations, count))
            return true;
        switch (step_ask(membership, &view, operations, count, force)) {
        case STEP_DONE: return true;
        case STEP_REFUSED: return false;
        case STEP_LEARNER: wait_for_learner(membership, &view, operations, count); break;
        case STEP_AGAIN: membership_say(membership, "the outcome"); break;
        }
    } while (membership_pause(membership));
    if (membership->doubtful)
        membership->outcome = CLIENT_UNKNOWN;
    return false;
}

/* ---- what is asked for ---- */

static struct member_operation operation_of(enum member_operation_kind kind, uint64_t id, const char *address)
{
    struct member_operation operation = { .id = id, .kind = (uint8_t)kind };
    if (address != NULL)
        memcpy(operation.address, address, sizeof(operation.address));
    return operation;
}

static bool change_one(struct membership *membership, const struct membership_task *task,
                       enum member_operation_kind kind)
{
    const bool placed = kind == MEMBER_ADD_LEARNER || kind == MEMBER_ADD_VOTER || kind == MEMBER_SET_ADDRESS;
    struct member_operation operation = operation_of(kind, task->id, placed ? task->address : NULL);
    operation.priority = task->priority;
    return membership_change(membership, &operation, 1, task->force);
}

/* A learner that is one already at that address: an earlier call was interrupted behind its first step. */
static bool add_learner(struct membership *membership, const struct membership_task *task,
                        const struct client_node *view)
{
    const struct member_status *known = view_member(view, task->id);
    if (known != NULL && known->member.roles == MEMBER_LEARNER && strcmp(known->member.address, task->address) == 0)
        return true;
    return change_one(membership, task, MEMBER_ADD_LEARNER);
}

static bool run_add(struct membership *membership, const struct membership_task *task, const struct client_node *view)
{
    if (!task->voter)
        return change_one(membership, task, MEMBER_ADD_LEARNER);
    if (task->force)
        return change_one(membership, task, MEMBER_ADD_VOTER);
    return add_learner(membership, task, view) && change_one(membership, task, MEMBER_PROMOTE);
}

static bool run_replace(struct membership *membership, const struct membership_task *task,
                        const struct client_node *view)
{
    const struct member_status *old = view_member(view, task->replaced);
    if (old == NULL || old->member.id == task->id)
        return membership_fail(membership, CLIENT_FAILED, CLIENT_REFUSED, "node %llu is no member",
                               (unsigned long long)(old == NULL ? task->replaced : task->id));
    /* The new one is written down first: an address that is taken is refused before anything changes. */
    if (!add_learner(membership, task, view))
        return false;
    const struct member_operation operations[] = {
        operation_of(MEMBER_REMOVE, task->replaced, NULL),
        operation_of(MEMBER_PROMOTE, task->id, NULL),
    };
    const bool voter = old->member.roles != MEMBER_LEARNER;
    return membership_change(membership, operations, voter ? 2 : 1, task->force);
}

bool membership_run(struct membership *membership, const struct membership_task *task, struct client_node *leader)
{
    bool done = false;
    ASSERT(task->id != 0);
    if (!membership_look(membership, leader))
        return false;
    switch (task->verb) {
    case MEMBERSHIP_ADD: done = run_add(membership, task, leader); break;
    case MEMBERSHIP_PROMOTE: done = change_one(membership, task, MEMBER_PROMOTE); break;
    case MEMBERSHIP_DEMOTE: done = change_one(membership, task, MEMBER_DEMOTE); break;
    case MEMBERSHIP_REMOVE: done = change_one(membership, task, MEMBER_REMOVE); break;
    case MEMBERSHIP_REPLACE: done = run_replace(membership, task, leader); break;
    case MEMBERSHIP_MOVE: done = change_one(membership, task, MEMBER_SET_ADDRESS); break;
    case MEMBERSHIP_PRIORITY: done = change_one(membership, task, MEMBER_SET_PRIORITY); break;
    }
    /* A leader that was removed has left: its successor tells. */
    if (done && !membership_look(membership, leader))
        *leader = (struct client_node){ .member_count = 0 };
    return done;
}

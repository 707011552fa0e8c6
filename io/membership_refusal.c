/* Refused changes in words; see membership_refusal.h. */
#include "membership_refusal.h"

#include "../core/limits.h"
#include "clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Behind what `to` holds, as far as there is room. */
__attribute__((format(printf, 3, 4))) static void add_text(char *to, size_t bytes, const char *format, ...)
{
    const size_t used = strlen(to);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(to + used, bytes - used, format, arguments);
    va_end(arguments);
}

static unsigned long long id_of(const struct member *member) { return (unsigned long long)member->id; }

/* ---- what no leader would do ---- */

static void explain_unknown(const struct configuration *now, uint64_t id, char text[REFUSAL_BYTES])
{
    add_text(text, REFUSAL_BYTES, "no such member: node %llu (the members are", (unsigned long long)id);
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++)
        if (now->members[slot].id != 0)
            add_text(text, REFUSAL_BYTES, " %llu", id_of(&now->members[slot]));
    add_text(text, REFUSAL_BYTES, ")");
}

static void explain_duplicate(const struct configuration *now, const struct member_operation *operation,
                              char text[REFUSAL_BYTES])
{
    const bool adds = operation->kind != MEMBER_SET_ADDRESS;
    const uint32_t slot = configuration_slot(now, operation->id);
    if (adds && slot < MEMBERS_MAX) {
        add_text(text, REFUSAL_BYTES, "node %llu is a member already, a %s at %s: a new node needs an id of its own",
                 (unsigned long long)operation->id, now->members[slot].roles == MEMBER_LEARNER ? "learner" : "voter",
                 now->members[slot].address);
        return;
    }
    for (uint32_t other = 0; other < MEMBERS_MAX; other++) {
        if (now->members[other].id == 0 || strcmp(now->members[other].address, operation->address) != 0)
            continue;
        add_text(text, REFUSAL_BYTES, "%s is the address of node %llu already, a member", operation->address,
                 id_of(&now->members[other]));
        return;
    }
    add_text(text, REFUSAL_BYTES, "node %llu, or its address %s, is there twice in one change",
             (unsigned long long)operation->id, operation->address);
}

static void explain_too_many(const struct configuration *now, const struct member_operation *operations, uint32_t count,
                             char text[REFUSAL_BYTES])
{
    uint32_t members = bits_count(configuration_members(now));
    for (uint32_t at = 0; at < count; at++)
        members += operations[at].kind == MEMBER_ADD_LEARNER || operations[at].kind == MEMBER_ADD_VOTER;
    if (members > limits_production.members_max)
        add_text(text, REFUSAL_BYTES, "too many members: %u at once, %u are the most, those that leave counted",
                 (unsigned)members, (unsigned)limits_production.members_max);
    else
        add_text(text, REFUSAL_BYTES, "too many voters: %u are the most", (unsigned)VOTERS_MAX);
}

/* The verdict falls at the first operation that cannot be done, or over the sum of them. */
static uint32_t first_refused(const struct configuration *now, const struct member_operation *operations,
                              uint32_t count, enum configuration_verdict verdict)
{
    struct configuration next;
    uint32_t at = 0;
    while (at + 1 < count
           && configuration_change(now, operations, at + 1, limits_production.members_max, &next) != verdict)
        at++;
    return at;
}

enum configuration_verdict refusal_judge(const struct configuration *now, const struct member_operation *operations,
                                         uint32_t count, char text[REFUSAL_BYTES])
{
    struct configuration next;
    ASSERT(count > 0);
    const enum configuration_verdict verdict =
        configuration_change(now, operations, count, limits_production.members_max, &next);
    text[0] = '\0';
    const struct member_operation *refused = &operations[first_refused(now, operations, count, verdict)];
    switch (verdict) {
    case CONFIGURATION_OK: break;
    case CONFIGURATION_UNKNOWN_MEMBER: explain_unknown(now, refused->id, text); break;
    case CONFIGURATION_DUPLICATE: explain_duplicate(now, refused, text); break;
    case CONFIGURATION_TOO_MANY: explain_too_many(now, operations, count, text); break;
    case CONFIGURATION_NO_VOTER: add_text(text, REFUSAL_BYTES, "no voter would be left"); break;
    case CONFIGURATION_WRONG_ROLE:
        add_text(text, REFUSAL_BYTES, "node %llu is a %s already", (unsigned long long)refused->id,
                 refused->kind == MEMBER_PROMOTE ? "voter" : "learner");
        break;
    }
    return verdict;
}

/* ---- what a leader does when it is forced ---- */

static uint64_t heard_age(const struct client_node *view, uint64_t id)
{
    for (uint32_t slot = 0; slot < view->member_count; slot++)
        if (view->members[slot].member.id == id)
            return view->members[slot].heard_age_ns;
    return UINT64_MAX;
}

void refusal_of_quorum(const struct client_node *view, const struct configuration *after, char text[REFUSAL_BYTES])
{
    const char *comma = "";
    snprintf(text, REFUSAL_BYTES, "the healthy voters would be no majority (");
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++) {
        const struct member *member = &after->members[slot];
        const uint64_t age_ns = heard_age(view, member->id);
        if (member->id == 0 || member->roles != MEMBER_VOTER)
            continue;
        if (member->id == view->status.node_id)
            add_text(text, REFUSAL_BYTES, "%s%llu leads", comma, id_of(member));
        else if (age_ns == UINT64_MAX)
            add_text(text, REFUSAL_BYTES, "%s%llu not heard from", comma, id_of(member));
        else
            add_text(text, REFUSAL_BYTES, "%s%llu heard from %llu ms ago", comma, id_of(member),
                     (unsigned long long)(age_ns / NS_PER_MS));
        comma = ", ";
    }
    add_text(text, REFUSAL_BYTES, "); --force does it all the same");
}

void start_line_of(const struct configuration *configuration, uint64_t node_id, char text[START_LINE_BYTES])
{
    const uint32_t slot = configuration_slot(configuration, node_id);
    const char *comma = "";
    ASSERT(slot < MEMBERS_MAX);
    snprintf(text, START_LINE_BYTES, "raftd --id %llu --join ", (unsigned long long)node_id);
    for (uint32_t other = 0; other < MEMBERS_MAX; other++) {
        if (other == slot || configuration->members[other].roles != MEMBER_VOTER)
            continue;
        add_text(text, START_LINE_BYTES, "%s%s", comma, configuration->members[other].address);
        comma = ",";
    }
    add_text(text, START_LINE_BYTES, " --listen %s --data DIR", configuration->members[slot].address);
}

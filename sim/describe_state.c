/* A replica as named values. */
#include <stdio.h>

#include "../core/inspect.h"
#include "describe.h"

static void describe_peers(struct fields *fields, const struct replica_view *view, const struct configuration *members)
{
    static const char *const match[] = { "match n0", "match n1", "match n2", "match n3",
                                         "match n4", "match n5", "match n6", "match n7" };
    static const char *const next[] = { "next n0", "next n1", "next n2", "next n3",
                                        "next n4", "next n5", "next n6", "next n7" };
    static const char *const state[] = { "sends n0", "sends n1", "sends n2", "sends n3",
                                         "sends n4", "sends n5", "sends n6", "sends n7" };
    static const char *const states[] = { "probes", "entries", "a checkpoint" };
    for (uint32_t member = 0; member < MEMBERS_MAX; member++) {
        const uint32_t slot =
            members->members[member].id != 0 ? describe_slot(fields->swarm, members->members[member].id) : ENDPOINTS;
        if (slot >= ARRAY_COUNT(match) || member == view->slot)
            continue;
        fields_number(fields, match[slot], view->match[member]);
        fields_number(fields, next[slot], view->next[member]);
        if (view->progress[member] < ARRAY_COUNT(states))
            fields_text(fields, state[slot], states[view->progress[member]]);
    }
}

/* The members with one of these roles: "n0 n1 n4". */
static void describe_members(struct fields *fields, const char *name, const struct configuration *members,
                             uint8_t roles)
{
    char text[8 * MEMBERS_MAX] = "";
    size_t used = 0;
    for (uint32_t member = 0; member < MEMBERS_MAX; member++) {
        char end[ENDPOINT_TEXT_BYTES];
        const struct member *it = &members->members[member];
        const uint32_t slot = describe_slot(fields->swarm, it->id);
        if (it->id == 0 || (it->roles & roles) == 0)
            continue;
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", used > 0 ? " " : "",
                                 slot < ENDPOINTS ? endpoint_text(slot, end) : "other");
    }
    if (used > 0)
        fields_text(fields, name, fields_print(fields, "%s", text));
}

static void describe_disk(struct fields *fields, const struct replica_view *view)
{
    fields_number(fields, "durable term", view->durable_term);
    fields_node(fields, "durable vote", view->durable_vote);
    fields_number(fields, "durable index", view->durable_index);
    fields_number(fields, "wal blocks used", view->wal_blocks_used);
    if (view->first_faulty != 0)
        fields_number(fields, "first entry lost", view->first_faulty);
    if ((view->flags & STORED_ABSTAIN) != 0)
        fields_text(fields, "abstains", "");
    if ((view->flags & STORED_PARTIAL) != 0)
        fields_text(fields, "checkpoint in part", "");
    if ((view->flags & STORED_STRANGER) != 0)
        fields_text(fields, "members unknown", "");
    if (view->rejoin != REJOIN_WHOLE)
        fields_text(fields, "rejoin", rejoin_state_text(view->rejoin));
    if (view->install_index != 0)
        fields_number(fields, "installs checkpoint", view->install_index);
}

void describe_replica(struct fields *fields, const struct replica *replica)
{
    struct replica_view view;
    replica_inspect(replica, &view);
    fields_word(fields, "role", raft_role_text(view.role));
    fields_brief(fields, "term", view.term);
    fields_node(fields, "vote", view.vote);
    fields_node(fields, "leader", view.leader);
    fields_id(fields, "last", view.last);
    fields_brief(fields, "commit", view.commit);
    fields_brief(fields, "applied", view.applied);
    fields_id(fields, "base", view.base);
    if (view.role == RAFT_CANDIDATE || view.role == RAFT_PRE_CANDIDATE)
        fields_number(fields, "votes",
                      (uint64_t)__builtin_popcount(view.role == RAFT_CANDIDATE ? view.votes : view.pre_votes));
    describe_disk(fields, &view);
    fields_text(fields, "store", view.store_ready ? "whole" : "not whole");
    fields_hash(fields, "state digest", view.state_digest);
    fields_number(fields, "keys", view.keys);
    fields_number(fields, "sessions", view.sessions);
    fields_number(fields, "pending writes", view.pending_writes);
    fields_number(fields, "pending reads", view.pending_reads);
    fields_number(fields, "read round", view.read_round);
    fields_number(fields, "read round confirmed", view.read_confirmed);
    if (view.lease_end_ns != 0)
        fields_number(fields, "lease ends", view.lease_end_ns);
    fields_id(fields, "configuration", view.configuration);
    describe_members(fields, "voters", replica_configuration(replica), MEMBER_VOTER);
    describe_members(fields, "old voters", replica_configuration(replica), MEMBER_VOTER_OLD);
    describe_members(fields, "learners", replica_configuration(replica), MEMBER_LEARNER | MEMBER_LEARNER_NEXT);
    if (view.role == RAFT_LEADER)
        describe_peers(fields, &view, replica_configuration(replica));
    fields_number(fields, "clock", view.now_ns);
}

uint64_t describe_digest(const struct swarm *swarm, const struct replica *replica)
{
    enum { PAGES_MAX = 4096 };
    struct replica_view view;
    if (swarm->limits.pages_max <= PAGES_MAX)
        return replica_digest(replica);
    replica_inspect(replica, &view);
    return view.state_digest;
}

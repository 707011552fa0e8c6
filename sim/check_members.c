/* Configurations (I13, Raft 4): which one each node must use, which ones follow each other, and who is a majority.
 *
 * Every configuration that was ever appended is remembered, with the chain hash of its log up to there. Which one a
 * node must use follows from the ghost of its log. Majorities are counted here, over nodes and not over slots of a
 * configuration, and by nothing that the core has. */
#include "check_state.h"

#include <string.h>

/* Positions of those that no entry made. */
enum { CONFIGURATION_FORMAT, CONFIGURATION_NONE, CONFIGURATIONS_FIRST };

static void members_add(struct check *check, uint64_t index, struct link link, const struct configuration *value)
{
    check->configurations = check_grow(check->configurations, &check->configuration_max, check->configuration_count + 1,
                                       sizeof *check->configurations);
    struct ghost_configuration *added = &check->configurations[check->configuration_count++];
    *added = (struct ghost_configuration){ .index = index, .link = link, .value = *value };
    added->value.id = (struct log_id){ .term = link.term, .index = index };
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++) {
        const struct member *member = &value->members[slot];
        const uint32_t node = member->id == 0 ? VOTERS_MAX : check_slot(check, member->id);
        added->nodes[slot] = (uint8_t)node;
        if (node == VOTERS_MAX)
            continue;
        added->slots = slot + 1;
        added->members |= 1u << node;
        added->voters |= (member->roles & MEMBER_VOTER) != 0 ? 1u << node : 0;
        added->voters_old |= (member->roles & MEMBER_VOTER_OLD) != 0 ? 1u << node : 0;
    }
}

void check_members_reset(struct check *check)
{
    const struct configuration none = { .id = { .term = 0 } };
    check->configuration_count = 0;
    members_add(check, 0, (struct link){ .term = 0 }, check->setup.configuration);
    members_add(check, 0, (struct link){ .term = 0 }, &none);
    check->configurations_verified = check->configuration_count;
    const uint32_t members = check->configurations[CONFIGURATION_FORMAT].members;
    for (uint32_t node = 0; node < check->setup.node_count; node++)
        check->nodes[node].used = check->nodes[node].formatted =
            (members >> node & 1) != 0 ? CONFIGURATION_FORMAT : CONFIGURATION_NONE;
}

/* ---- majorities ---- */

static bool half_has(uint32_t voters, uint32_t nodes) { return 2 * bits_count(voters & nodes) > bits_count(voters); }

/* Raft 4.3: of each half. */
static bool quorum_of(const struct ghost_configuration *configuration, uint32_t nodes)
{
    return half_has(configuration->voters, nodes)
           && (configuration->voters_old == 0 || half_has(configuration->voters_old, nodes));
}

bool check_members_quorum(const struct check *check, uint32_t configuration, uint32_t nodes)
{
    ASSERT(configuration < check->configuration_count);
    return quorum_of(&check->configurations[configuration], nodes);
}

uint32_t check_members_node(const struct check *check, uint32_t configuration, uint32_t slot)
{
    ASSERT(slot < MEMBERS_MAX);
    ASSERT(configuration < check->configuration_count);
    return check->configurations[configuration].nodes[slot];
}

uint32_t check_members_slots(const struct check *check, uint32_t configuration)
{
    ASSERT(configuration < check->configuration_count);
    return check->configurations[configuration].slots;
}

bool check_members_votes(const struct check *check, uint32_t configuration, uint32_t node)
{
    return (check->configurations[configuration].voters >> node & 1) != 0;
}

/* ---- which one is in use ---- */

static bool is_committed(const struct check *check, const struct ghost_configuration *configuration)
{
    return configuration->index <= check->committed
           && check->commits[configuration->index].link.chain == configuration->link.chain;
}

/* The latest one in this log up to an index (Raft 4.1). */
static uint32_t latest_in(const struct check *check, uint32_t node, const struct ghost_log *log, uint64_t index)
{
    uint32_t latest = check->nodes[node].formatted;
    for (uint32_t at = CONFIGURATIONS_FIRST; at < check->configuration_count; at++) {
        const struct ghost_configuration *ghost = &check->configurations[at];
        if (ghost->index <= u64_min(index, log->last) && ghost->index > check->configurations[latest].index
            && check_log_link(check, log, ghost->index).chain == ghost->link.chain)
            latest = at;
    }
    return latest;
}

static uint32_t members_find(const struct check *check, uint32_t node, struct log_id id)
{
    if (id.index == 0)
        return check->nodes[node].formatted;
    for (uint32_t at = CONFIGURATIONS_FIRST; at < check->configuration_count; at++)
        if (check->configurations[at].index == id.index && check->configurations[at].link.term == id.term)
            return at;
    return check->configuration_count;
}

/* May the node use it, though it is not the latest one of its log? One that is committed, while its log does not reach
 * there; and any, before it has read those of the checkpoint that its log begins with. */
static bool is_excused(const struct check *check, const struct ghost_configuration *used,
                       const struct replica_view *view)
{
    return (view->flags & STORED_STRANGER) != 0 || (used->index > view->last.index && is_committed(check, used));
}

/* All of it when it comes into use, then one member a step. */
static bool members_equal(struct ghost_node *ghost, const struct configuration *used,
                          const struct ghost_configuration *known, bool anew)
{
    const uint32_t slot = ghost->member_audited++ % MEMBERS_MAX;
    if (anew)
        return configuration_equal(used, &known->value);
    return memcmp(&used->members[slot], &known->value.members[slot], sizeof used->members[slot]) == 0;
}

void check_members_follow(struct check *check, uint32_t node, const struct replica *replica,
                          const struct replica_view *view)
{
    struct ghost_node *ghost = &check->nodes[node];
    const struct configuration *used = replica_configuration(replica);
    const uint32_t expected = latest_in(check, node, &ghost->memory, UINT64_MAX);
    const uint32_t found = members_find(check, node, used->id);
    const bool anew = !ghost->serving || ghost->used != found;
    ghost->used_before = ghost->serving && found < check->configuration_count ? ghost->used : found;
    ghost->used = found;
    check_count(check, CHECK_CONFIGURATION);
    if (found == check->configuration_count || !members_equal(ghost, used, &check->configurations[found], anew)) {
        check_fail(check, CHECK_CONFIGURATION, node, "uses a configuration of entry %llu that nobody has appended",
                   (unsigned long long)used->id.index);
        ghost->used = ghost->used_before = ghost->formatted;
        return;
    }
    if (found != expected && !is_excused(check, &check->configurations[found], view))
        check_fail(check, CHECK_CONFIGURATION, node,
                   "uses the configuration of entry %llu; the latest one in its log is that of entry %llu",
                   (unsigned long long)used->id.index, (unsigned long long)check->configurations[expected].index);
    const struct log_id committed = replica_configuration_committed(replica)->id;
    const uint32_t known = members_find(check, node, committed);
    if (committed.index > 0
        && (known == check->configuration_count || !is_committed(check, &check->configurations[known]))
        && committed.index > view->commit)
        check_fail(check, CHECK_CONFIGURATION, node, "takes the configuration of entry %llu for committed",
                   (unsigned long long)committed.index);
}

/* Raft 4.2.2: a member of the configuration in use, if need be one without a vote; or a voter of the one before, until
 * the former is known to be committed. */
bool check_members_may_lead(const struct check *check, uint32_t node, uint64_t commit)
{
    const struct ghost_node *ghost = &check->nodes[node];
    const struct ghost_configuration *used = &check->configurations[ghost->used];
    uint32_t may = used->members;
    if (used->index > commit) {
        const uint32_t before = latest_in(check, node, &ghost->memory, used->index - 1);
        may |= check->configurations[before].voters | check->configurations[before].voters_old;
    }
    return (may >> node & 1) != 0;
}

/* ---- those that come ---- */

void check_members_entry(struct check *check, uint32_t node, struct link link, const struct entry *entry)
{
    struct configuration value;
    const uint32_t known = members_find(check, node, entry->id);
    if (known < check->configuration_count)
        return;
    if (!configuration_decode(entry->body, &value)) {
        check_fail(check, CHECK_CONFIGURATION, node, "appends what is no configuration, as entry %llu",
                   (unsigned long long)entry->id.index);
        return;
    }
    members_add(check, entry->id.index, link, &value);
}

/* I13: is there a quorum of the one that leaves no quorum of the other? */
static bool intersect(const struct ghost_configuration *a, const struct ghost_configuration *b)
{
    for (uint32_t nodes = 0; nodes < 1u << VOTERS_MAX; nodes++)
        if (quorum_of(a, nodes) && quorum_of(b, ~nodes))
            return false;
    return true;
}

/* Raft 4.2.1: until a new voter has caught up, commits wait for it. A leader that steps down in the same step shows
 * nothing of it any more. */
static void members_verify_promoted(struct check *check, uint32_t node, const struct replica_view *view,
                                    const struct ghost_configuration *last, const struct ghost_configuration *next)
{
    for (uint32_t slot = 0; slot < MEMBERS_MAX && view->role == RAFT_LEADER; slot++) {
        const struct member *before = &last->value.members[slot], *member = &next->value.members[slot];
        if (before->id != member->id || before->roles != MEMBER_LEARNER || (member->roles & MEMBER_VOTER) == 0)
            continue;
        check_count(check, CHECK_CONFIGURATION);
        if (view->match[slot] + check->limits.promote_lag_entries_max < next->index - 1)
            check_fail(check, CHECK_CONFIGURATION, node,
                       "makes a voter of %llu with entry %llu, which has %llu entries as far as it knows",
                       (unsigned long long)member->id, (unsigned long long)next->index,
                       (unsigned long long)view->match[slot]);
    }
}

/* Two members at one address would be one node to whoever sends there. */
static bool addresses_differ(const struct configuration *configuration)
{
    const struct member *members = configuration->members;
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++)
        for (uint32_t other = 0; other < slot; other++)
            if (members[slot].id != 0 && members[other].id != 0
                && memcmp(members[slot].address, members[other].address, sizeof members[slot].address) == 0)
                return false;
    return true;
}

/* The node has just appended it, as a leader. */
static void members_verify(struct check *check, uint32_t node, const struct replica_view *view, uint32_t at)
{
    const struct ghost_configuration *next = &check->configurations[at];
    const struct ghost_log *log = &check->nodes[node].memory;
    const struct ghost_configuration *last = &check->configurations[latest_in(check, node, log, next->index - 1)];
    const unsigned long long index = next->index;
    check_count(check, CHECK_CONFIGURATION);
    if (next->link.term != view->term || check_promise_term(check, view->term)->leader != view->node_id)
        check_fail(check, CHECK_CONFIGURATION, node, "appends the configuration of entry %llu, and does not lead",
                   index);
    if (last->index > 0 && (last->index > view->commit || !is_committed(check, last)))
        check_fail(check, CHECK_CONFIGURATION, node,
                   "appends the configuration of entry %llu before that of entry %llu is committed", index,
                   (unsigned long long)last->index);
    /* raft-dev, 2015: "bug in single-server membership changes". */
    if (check_log_link(check, log, view->commit).term != view->term)
        check_fail(check, CHECK_CONFIGURATION, node,
                   "appends the configuration of entry %llu before it has committed an entry of its term", index);
    members_verify_promoted(check, node, view, last, next);
    if (!addresses_differ(&next->value))
        check_fail(check, CHECK_CONFIGURATION, node, "appends the configuration of entry %llu, with one address twice",
                   index);
    if (!intersect(last, next) || !intersect(next, next))
        check_fail(check, CHECK_CONFIGURATION, node,
                   "appends the configuration of entry %llu, which can act without that of entry %llu", index,
                   (unsigned long long)last->index);
}

void check_members_appended(struct check *check, uint32_t node, const struct replica_view *view)
{
    for (; check->configurations_verified < check->configuration_count; check->configurations_verified++)
        members_verify(check, node, view, check->configurations_verified);
}

void check_members_promised(struct check *check, uint32_t node, uint64_t match)
{
    const struct ghost_node *ghost = &check->nodes[node];
    const uint32_t at = latest_in(check, node, &ghost->disk, match);
    const struct ghost_configuration *latest = &check->configurations[at];
    const struct members *members = &ghost->stored.members;
    if (latest->index <= ghost->disk.base || ghost->hard_lost)
        return;
    check_count(check, CHECK_CONFIGURATION);
    if (!log_id_equal(members->latest.id, latest->value.id) && !log_id_equal(members->previous.id, latest->value.id)
        && members->previous.id.index < latest->index)
        check_fail(check, CHECK_CONFIGURATION, node,
                   "reports match %llu before the configuration of entry %llu is in its superblock",
                   (unsigned long long)match, (unsigned long long)latest->index);
}

/* ---- for the world ---- */

static const struct ghost_configuration *members_committed_last(const struct check *check)
{
    const struct ghost_configuration *last = &check->configurations[CONFIGURATION_FORMAT];
    for (uint32_t at = CONFIGURATIONS_FIRST; at < check->configuration_count; at++)
        if (check->configurations[at].index > last->index && is_committed(check, &check->configurations[at]))
            last = &check->configurations[at];
    return last;
}

/* The latest committed one, and those that may be committed yet. */
static bool may_act(const struct check *check, const struct ghost_configuration *configuration)
{
    return configuration->index > check->committed || configuration == members_committed_last(check);
}

bool check_members_quorum_now(const struct check *check, uint32_t nodes)
{
    return quorum_of(members_committed_last(check), nodes);
}

uint32_t check_members(const struct check *check) { return members_committed_last(check)->members; }

uint32_t check_members_possible(const struct check *check)
{
    uint32_t members = 0;
    for (uint32_t at = 0; at < check->configuration_count; at++)
        if (may_act(check, &check->configurations[at]))
            members |= check->configurations[at].members;
    return members;
}

bool check_members_need(const struct check *check, uint32_t nodes)
{
    for (uint32_t at = 0; at < check->configuration_count; at++) {
        const struct ghost_configuration *ghost = &check->configurations[at];
        if (at != CONFIGURATION_NONE && may_act(check, ghost) && !quorum_of(ghost, ~nodes))
            return true;
    }
    return false;
}

/* By what is committed up to an index; and not by a configuration later than what the node has heard of. */
bool check_members_removed(const struct check *check, uint32_t node, uint64_t index)
{
    const struct ghost_configuration *used = &check->configurations[check->nodes[node].used];
    const struct ghost_configuration *last = &check->configurations[CONFIGURATION_FORMAT];
    if (index > check->committed)
        return false;
    for (uint32_t at = CONFIGURATIONS_FIRST; at < check->configuration_count; at++) {
        const struct ghost_configuration *ghost = &check->configurations[at];
        if (ghost->index <= index && ghost->index > last->index && is_committed(check, ghost))
            last = ghost;
    }
    const bool void_now = !is_committed(check, used) && used->link.term < check->commits[index].link.term;
    return (last->members >> node & 1) == 0 && (used->index <= index || void_now);
}

/* Is that what the operation was to achieve? */
static bool operation_done(const struct configuration *configuration, const struct member_operation *operation)
{
    const struct member *member = NULL;
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++)
        if (configuration->members[slot].id == operation->id)
            member = &configuration->members[slot];
    switch ((enum member_operation_kind)operation->kind) {
    case MEMBER_REMOVE: return member == NULL;
    case MEMBER_ADD_LEARNER:
    case MEMBER_DEMOTE: return member != NULL && member->roles == MEMBER_LEARNER;
    case MEMBER_ADD_VOTER:
    case MEMBER_PROMOTE: return member != NULL && member->roles == MEMBER_VOTER;
    case MEMBER_SET_ADDRESS:
        return member != NULL && memcmp(member->address, operation->address, sizeof member->address) == 0;
    case MEMBER_SET_PRIORITY: return member != NULL && member->priority == operation->priority;
    }
    return false;
}

void check_changed(struct check *check, const struct member_operation *operations, uint32_t count, uint64_t index)
{
    const struct ghost_configuration *found = NULL;
    for (uint32_t at = CONFIGURATIONS_FIRST; at < check->configuration_count; at++)
        if (check->configurations[at].index == index && is_committed(check, &check->configurations[at]))
            found = &check->configurations[at];
    check_count(check, CHECK_CONFIGURATION);
    if (found == NULL || found->voters_old != 0) {
        check_fail(check, CHECK_CONFIGURATION, UINT32_MAX,
                   "a change is said to be over with entry %llu, which is no committed final configuration",
                   (unsigned long long)index);
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        if (!operation_done(&found->value, &operations[i]))
            check_fail(check, CHECK_CONFIGURATION, UINT32_MAX,
                       "a change is said to be over with entry %llu, and operation %u of it was not done",
                       (unsigned long long)index, i);
}

void check_change_unfit(struct check *check, uint64_t meant, uint64_t used)
{
    check_count(check, CHECK_CONFIGURATION);
    if (meant == 0 || meant == used)
        check_fail(
            check, CHECK_CONFIGURATION, UINT32_MAX,
            "a change for the configuration of entry %llu (0: any) is refused because that of entry %llu is used",
            (unsigned long long)meant, (unsigned long long)used);
}

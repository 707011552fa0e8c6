/* The configuration in use: appended, rolled back, recovered, installed; see members.h. */
#include "members.h"

#include "output.h"
#include "page.h"
#include "raft.h"
#include "state.h"

const struct configuration *members_now(const struct replica *replica) { return &replica->stored.members.latest; }

const struct configuration *members_committed(const struct replica *replica)
{
    const struct members *members = &replica->stored.members;
    return members->latest.id.index <= replica->commit ? &members->latest : &members->previous;
}

uint32_t members_slot(const struct replica *replica, uint64_t node_id)
{
    return configuration_slot(members_now(replica), node_id);
}

uint64_t members_id(const struct replica *replica, uint32_t slot)
{
    ASSERT(slot < MEMBERS_MAX);
    return members_now(replica)->members[slot].id;
}

static uint32_t self_slots(const struct replica *replica)
{
    return replica->self < MEMBERS_MAX ? 1u << replica->self : 0;
}

uint32_t members_others(const struct replica *replica)
{
    return configuration_members(members_now(replica)) & ~self_slots(replica);
}

uint32_t members_other_voters(const struct replica *replica)
{
    const struct configuration *now = members_now(replica);
    return (configuration_voters(now) | configuration_voters_old(now)) & ~self_slots(replica);
}

bool members_alone(const struct replica *replica)
{
    return replica->self < MEMBERS_MAX && members_others(replica) == 0;
}

bool members_were_alone(const struct replica *replica)
{
    const struct configuration *before = &replica->stored.members.previous;
    /* It came with a checkpoint, and what was before it did not. */
    if (before->id.index != 0 && log_id_equal(before->id, members_now(replica)->id))
        return false;
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++)
        if (before->members[slot].id != 0 && before->members[slot].id != replica->config.node_id)
            return false;
    return members_alone(replica);
}

bool members_alone_for_good(const struct replica *replica)
{
    return members_were_alone(replica) || (members_alone(replica) && members_now(replica)->id.index <= replica->commit);
}

bool members_is_voter(const struct replica *replica)
{
    const uint64_t self = replica->config.node_id;
    return configuration_is_voter(members_now(replica), self)
           || configuration_is_voter(members_committed(replica), self);
}

bool members_may_campaign(const struct replica *replica)
{
    return (replica->stored.flags & STORED_STRANGER) == 0 && (replica->self < MEMBERS_MAX || members_is_voter(replica));
}

bool members_may_ask(const struct replica *replica)
{
    return (replica->stored.flags & STORED_STRANGER) == 0 && replica->self < MEMBERS_MAX;
}

bool members_heard(const struct replica *replica, uint32_t slot)
{
    const struct peer *peer = &replica->peers[slot];
    if (slot == replica->self)
        return true;
    return peer->heard && replica->now_ns - peer->heard_ns < replica->config.election_timeout_ns;
}

/* ---- what is kept per slot ---- */

/* Another configuration is in use: what is kept per slot begins anew where a slot changed hands. */
static void members_changed(struct replica *replica, const struct configuration *before)
{
    replica->self = members_slot(replica, replica->config.node_id);
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++) {
        if (before->members[slot].id == members_id(replica, slot))
            continue;
        const uint32_t kept = ~(1u << slot);
        replica->votes &= kept;
        replica->pre_votes &= kept;
        replica->campaign_due &= kept;
        replica->repair.dont_have &= kept;
        replica->repair.faulty &= kept;
        replica->rejoin.owed &= kept;
        replica->peers[slot] = (struct peer){ .match = 0 };
        replica->diverge.reported[slot] = 0;
        if (replica->role == RAFT_LEADER)
            replicate_begin_peer(replica, slot);
    }
}

static void members_use(struct replica *replica, const struct configuration *next)
{
    const struct configuration before = *members_now(replica);
    replica->stored.members.latest = *next;
    members_changed(replica, &before);
    /* Those who have answered a read round may be a quorum of this one, and nobody else may answer any more. */
    if (replica->role == RAFT_LEADER)
        read_acked(replica);
}

void members_adopted(struct replica *replica)
{
    const struct configuration nobody = { .id = { .term = 0 } };
    members_changed(replica, &nobody);
}

/* ---- Raft 4.1: the latest one in the log ---- */

static bool members_hold(const struct members *members, struct log_id id)
{
    return id.index == 0 || log_id_equal(id, members->latest.id) || log_id_equal(id, members->previous.id);
}

/* Does the durable superblock hold it, or the checkpoint that the log begins behind? */
static bool members_durable(const struct replica *replica, struct log_id id)
{
    return id.index <= replica->log.base.index || members_hold(&replica->superblock.durable.members, id);
}

/* Another one is appended: from which one on is the disk behind? One request may bring several. */
static void members_unheld_follow(struct replica *replica, uint64_t index)
{
    const struct members *members = &replica->stored.members;
    if (members_durable(replica, members->latest.id))
        replica->members_unheld = index;
    else if (members_durable(replica, members->previous.id))
        replica->members_unheld = members->latest.id.index;
    ASSERT(replica->members_unheld != 0 && replica->members_unheld <= index);
}

void members_appended(struct replica *replica, struct output *output, const struct entry *entry)
{
    struct configuration next;
    const bool valid = configuration_decode(entry->body, &next);
    ASSERT(entry->kind == ENTRY_CONFIG && valid);
    /* It comes once more: a later one is known to be committed, by a superblock that was durable before the log. */
    if (entry->id.index <= members_now(replica)->id.index)
        return;
    next.id = entry->id;
    members_unheld_follow(replica, entry->id.index);
    replica->stored.members.previous = *members_now(replica);
    members_use(replica, &next);
    output_event(output, EVENT_CONFIGURATION, entry->id.index,
                 configuration_is_joint(&next) ? CONFIGURATION_JOINT : CONFIGURATION_FINAL);
}

void members_truncated(struct replica *replica, struct output *output, uint64_t index)
{
    const struct configuration previous = replica->stored.members.previous;
    if (members_now(replica)->id.index <= index || log_id_equal(members_now(replica)->id, previous.id))
        return;
    members_use(replica, &previous);
    output_event(output, EVENT_CONFIGURATION, previous.id.index, CONFIGURATION_ROLLED_BACK);
}

/* ---- what may be promised, and what recovery finds ---- */

bool members_know(const struct replica *replica, struct log_id id)
{
    const struct members *durable = &replica->superblock.durable.members;
    return id.index <= durable->previous.id.index || members_hold(durable, id);
}

uint64_t members_promised_index(const struct replica *replica)
{
    const struct members *members = &replica->stored.members;
    if (members_durable(replica, members->latest.id))
        return UINT64_MAX;
    if (members_durable(replica, members->previous.id))
        return members->latest.id.index - 1;
    ASSERT(replica->members_unheld != 0 && replica->members_unheld <= members->previous.id.index);
    return replica->members_unheld - 1;
}

bool members_may_be_lost(const struct replica *replica)
{
    const uint64_t lost = log_lost(replica);
    return lost != 0 && lost <= replica->recovery.gap_last;
}

bool members_may_repair(const struct replica *replica, const struct entry *entry)
{
    return entry->kind != ENTRY_CONFIG || entry->id.index <= members_now(replica)->id.index
           || log_lost(replica) >= entry->id.index;
}

/* The log ends before a configuration that was promised to nobody, nor was what lies behind it. */
static void members_cut(struct replica *replica, struct output *output, uint64_t index)
{
    log_truncate(replica, index - 1);
    replica->wal.durable_index = u64_min(replica->wal.durable_index, index - 1);
    output_event(output, EVENT_TRUNCATE, index - 1, 0);
}

/* The entries behind the latest configuration that the superblock held: never promised, but in the log. Not to be used
 * when the one before it may be lost. */
static void members_read_log(struct replica *replica, struct output *output)
{
    const uint64_t first = u64_max(members_now(replica)->id.index, replica->log.base.index) + 1;
    bool lost = false;
    for (uint64_t index = first; index <= replica->log.last.index; index++) {
        struct entry entry;
        if (!log_readable(replica, index)) {
            lost = lost || index <= replica->recovery.gap_last;
            continue;
        }
        log_entry(replica, index, &entry);
        if (entry.kind == ENTRY_CONFIG && lost && index > replica->commit)
            members_cut(replica, output, index);
        else if (entry.kind == ENTRY_CONFIG)
            members_appended(replica, output, &entry);
    }
}

void members_recovered(struct replica *replica, struct output *output)
{
    const uint64_t lost = replica->recovery.config_lost;
    if (!log_holds(replica, members_now(replica)->id))
        members_truncated(replica, output, members_now(replica)->id.index - 1);
    /* Its bytes are gone, and nobody was ever told that they were here, nor what lies behind them. */
    if (lost > replica->commit && lost <= replica->log.last.index && !log_readable(replica, lost))
        members_cut(replica, output, lost);
    members_read_log(replica, output);
}

/* ---- the configuration as a part of the replicated state ---- */

static void members_write_pages(struct replica *replica, const struct configuration *configuration)
{
    const struct limits *limits = &replica->limits;
    const uint32_t first = page_configuration(limits);
    ASSERT(configuration_bytes(configuration) <= limits->members_max * sizeof(struct member));
    for (uint32_t page = 1; page < page_configuration_count(limits); page++)
        page_write(replica, first + page);
    /* The pages are consecutive. */
    memcpy(page_write(replica, first), configuration,
           sizeof configuration->id + limits->members_max * sizeof(struct member));
}

static void members_read_pages(const struct replica *replica, struct configuration *configuration)
{
    const struct limits *limits = &replica->limits;
    *configuration = (struct configuration){ .id = { .term = 0 } };
    memcpy(configuration, page_read(replica, page_configuration(limits)),
           sizeof configuration->id + limits->members_max * sizeof(struct member));
}

void members_loaded(struct replica *replica, struct output *output)
{
    struct members *members = &replica->stored.members;
    struct configuration found;
    if ((replica->stored.flags & STORED_STRANGER) == 0)
        return;
    replica->stored.flags &= ~(uint64_t)STORED_STRANGER;
    members_read_pages(replica, &found);
    ASSERT(configuration_problem(&found) == NULL);
    if (found.id.index > members->previous.id.index && !members_hold(members, found.id))
        members->previous = found;
    /* One that came with the log behind the checkpoint is later than what the checkpoint says. One of the log that was
     * given up for it is none any more (Raft 4.1). */
    const bool kept = members->latest.id.index > replica->log.base.index && log_holds(replica, members->latest.id);
    if (kept || log_id_equal(members->latest.id, found.id) || log_id_equal(members->latest.id, members->previous.id))
        return;
    const struct configuration next = members->previous;
    members_use(replica, &next);
    output_event(output, EVENT_CONFIGURATION, next.id.index, CONFIGURATION_LOADED);
}

void members_applied(struct replica *replica, struct output *output, const struct entry *entry)
{
    struct configuration applied;
    struct change *change = &replica->change;
    const bool valid = configuration_decode(entry->body, &applied);
    ASSERT(valid);
    applied.id = entry->id;
    members_write_pages(replica, &applied);
    /* The client waits for the one that leaves the joint state, whoever appended it. */
    if (change->id.index == 0 || entry->id.index < change->id.index || configuration_is_joint(&applied))
        return;
    const struct reply reply = {
        .request_id = change->request_id,
        .version = entry->id.index,
        .applied = entry->id.index,
    };
    client_reply(replica, output, change->client, &reply);
    *change = (struct change){ .client = 0 };
}

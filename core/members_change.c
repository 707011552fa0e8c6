/* A leader's side of changes: what it refuses, what it appends, and when it goes (Raft 4.2, 4.3); see members.h. */
#include "members.h"

#include "output.h"
#include "raft.h"
#include "state.h"

/* ---- what is refused ---- */

static enum reply_status status_of(enum configuration_verdict verdict)
{
    switch (verdict) {
    case CONFIGURATION_OK: return REPLY_OK;
    case CONFIGURATION_UNKNOWN_MEMBER: return REPLY_UNKNOWN_MEMBER;
    case CONFIGURATION_DUPLICATE: return REPLY_DUPLICATE_MEMBER;
    case CONFIGURATION_TOO_MANY: return REPLY_TOO_MANY_MEMBERS;
    case CONFIGURATION_NO_VOTER: return REPLY_NO_VOTER_LEFT;
    case CONFIGURATION_WRONG_ROLE: return REPLY_WRONG_ROLE;
    }
    UNREACHABLE();
}

/* May an ENTRY_CONFIG be appended at all? One change at a time (4.3); and only behind an entry of the own term that is
 * committed: else a configuration of an earlier leader, which this one does not know of, might still be (raft-dev,
 * 2015). */
static enum reply_status change_may_begin(const struct replica *replica)
{
    const struct configuration *now = members_now(replica);
    if (configuration_is_joint(now) || now->id.index > replica->commit || replica->change.id.index != 0)
        return REPLY_CHANGE_UNDER_WAY;
    /* Who leaves is about to go. Were it to append another one, both that a voter knows might have it alone, though it
     * was led by somebody (members_were_alone()). */
    if (!configuration_is_voter(now, replica->config.node_id))
        return REPLY_CHANGE_UNDER_WAY;
    if (log_term(replica, replica->commit) != replica->stored.hard.term)
        return REPLY_TERM_NOT_OPEN;
    /* CTRL 3.4.3: what is damaged may have to go, so nothing is put behind it. Raft 3.10: nor while a target of a
     * transfer catches up. */
    if (transfer_is_under_way(replica))
        return REPLY_BUSY;
    return replica->log.first_faulty != 0 || !store_is_ready(replica) ? REPLY_BUSY : REPLY_OK;
}

/* Few entries may be many bytes, so what it lacks is measured in both: no more of the log than is kept for those who
 * were away for a moment, beside what may be under way to it. */
bool members_is_behind(const struct replica *replica, uint32_t slot)
{
    const struct limits *limits = &replica->limits;
    const uint64_t match = replica->peers[slot].match;
    const uint64_t lag_bytes_max =
        (uint64_t)limits->wal_retain_blocks * limits->block_bytes + limits->inflight_bytes_max;
    /* What lies at the base and before it is only in the checkpoint. */
    if (match + limits->promote_lag_entries_max < replica->log.last.index || match < replica->log.base.index)
        return true;
    if (match >= replica->log.last.index || !log_readable(replica, match + 1))
        return false;
    return log_entry_lsn(replica, match + 1) + lag_bytes_max < replica->wal.tail;
}

bool members_is_well(const struct replica *replica, uint32_t slot)
{
    const struct peer *peer = &replica->peers[slot];
    const bool stateless = peer->checkpoint.index == 0 && diverge_mark(replica).index != 0;
    return members_heard(replica, slot) && !members_is_behind(replica, slot) && peer->nonce == 0 && !stateless;
}

static bool change_promotes_behind(const struct replica *replica, const struct configuration *next)
{
    const struct configuration *now = members_now(replica);
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++) {
        const bool promoted = now->members[slot].roles == MEMBER_LEARNER
                              && now->members[slot].id == next->members[slot].id
                              && (next->members[slot].roles & MEMBER_VOTER) != 0;
        /* Raft 4.2.1: until a new voter has caught up, commits wait for it. */
        if (promoted && (!members_heard(replica, slot) || members_is_behind(replica, slot)))
            return true;
    }
    return false;
}

/* Would those voters that are known to be well be no majority of what the change leads to? Who answers and is behind is
 * not well: until it has caught up nothing would commit, nor another change that takes this one back (Raft 4.2.1). Nor
 * is who abstains, or lacks pages, though it confirms everything: without those who go it might never vote or serve. */
static bool change_loses_quorum(const struct replica *replica, const struct configuration *next)
{
    const struct configuration *now = members_now(replica);
    struct configuration behind = *next;
    uint32_t healthy = 0;
    if (!configuration_is_joint(next))
        return false;
    configuration_leave(next, &behind);
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++)
        if (now->members[slot].id != 0 && now->members[slot].id == next->members[slot].id
            && (slot == replica->self || members_is_well(replica, slot)))
            healthy |= 1u << slot;
    return !quorum_has(&behind, healthy);
}

static enum reply_status change_plan(const struct replica *replica, const struct request *request,
                                     struct configuration *next)
{
    struct member_operation operations[2 * MEMBERS_MAX];
    const enum reply_status refusal = change_may_begin(replica);
    if (refusal != REPLY_OK)
        return refusal;
    if (request->version != 0 && request->version != members_now(replica)->id.index)
        return REPLY_CONDITION_FAILED;
    ASSERT(request->value.count <= sizeof operations);
    memcpy(operations, request->value.bytes, request->value.count);
    const uint32_t count = request->value.count / (uint32_t)sizeof operations[0];
    const enum configuration_verdict verdict =
        configuration_change(members_now(replica), operations, count, replica->limits.members_max, next);
    if (verdict != CONFIGURATION_OK)
        return status_of(verdict);
    if (change_promotes_behind(replica, next))
        return REPLY_LEARNER_BEHIND;
    if ((request->flags & REQUEST_FLAG_FORCE) == 0 && change_loses_quorum(replica, next))
        return REPLY_WOULD_LOSE_QUORUM;
    return REPLY_OK;
}

/* ---- what is appended ---- */

static bool change_append(struct replica *replica, struct output *output, const struct configuration *next,
                          uint32_t reserve_blocks)
{
    uint8_t body[sizeof next->members];
    const struct entry entry = {
        .id = { .term = replica->stored.hard.term, .index = replica->log.last.index + 1 },
        .kind = ENTRY_CONFIG,
        .body = { .bytes = body, .count = configuration_bytes(next) },
    };
    ASSERT(replica->role == RAFT_LEADER && members_now(replica)->id.index <= replica->commit);
    configuration_encode(next, body);
    return wal_append(replica, output, &entry, reserve_blocks);
}

void members_request(struct replica *replica, struct output *output, uint64_t client, const struct request *request)
{
    struct configuration next;
    ASSERT(replica->role == RAFT_LEADER);
    struct reply refusal = { .request_id = request->request_id, .status = change_plan(replica, request, &next) };
    if (refusal.status == REPLY_OK && !change_append(replica, output, &next, replica->limits.wal_reserve_blocks))
        refusal.status = REPLY_BUSY;
    /* Who has no checkpoint only because there was no marker so far has one after the next: then the same may pass. */
    if (refusal.status == REPLY_WOULD_LOSE_QUORUM && diverge_mark(replica).index != 0 && replica->marker_index == 0)
        replica->marker_asked = true;
    if (refusal.status != REPLY_OK) {
        refusal.version = members_now(replica)->id.index;
        client_reply(replica, output, client, &refusal);
        return;
    }
    replica->change = (struct change){ .id = replica->log.last, .client = client, .request_id = request->request_id };
}

void members_flush(struct replica *replica, struct output *output)
{
    const struct configuration *now = members_now(replica);
    const uint64_t done = store_is_ready(replica) ? replica->applied : replica->commit;
    if (replica->role != RAFT_LEADER || now->id.index > done)
        return;
    /* Raft 4.3: the joint configuration is committed, so its successor may be; a leader of an earlier term may have
     * been about to append the same. */
    if (configuration_is_joint(now)) {
        struct configuration next;
        configuration_leave(now, &next);
        /* Whoever is to go on alone may need the others still: for the pages that it lacks. */
        const bool last = configuration_members(&next) == 1u << replica->self;
        if (last && !store_is_ready(replica))
            return;
        if (replica->log.first_faulty == 0 && !transfer_is_under_way(replica)
            && log_term(replica, done) == replica->stored.hard.term)
            change_append(replica, output, &next, 1);
        return;
    }
    /* Raft 4.2.2: it has led, without counting itself, until the others can go on alone; and 3.10, until one of them
     * does. */
    const bool led = log_term(replica, replica->commit) == replica->stored.hard.term;
    if (led && !configuration_is_voter(now, replica->config.node_id) && !transfer_leave(replica, output))
        election_become_follower(replica, output, replica->stored.hard.term, 0);
}

/* It was not applied here, or nobody would wait any more: it came with a checkpoint. This leader began no other one
 * since. */
static bool change_is_done(const struct replica *replica)
{
    const struct configuration *now = members_now(replica);
    return store_is_ready(replica) && !configuration_is_joint(now) && now->id.index >= replica->change.id.index
           && now->id.index <= replica->applied;
}

void members_end_change(struct replica *replica, struct output *output)
{
    struct change *change = &replica->change;
    const bool own = replica->role == RAFT_LEADER && change->id.term == replica->stored.hard.term;
    if (change->id.index == 0 || (own && !change_is_done(replica)))
        return;
    if (!output_room(output, 1, CLIENT_REPLY_SMALL_BYTES)) {
        replica->wants_tick = true;
        return;
    }
    const uint64_t index = members_now(replica)->id.index;
    const struct reply done = { .request_id = change->request_id, .version = index, .applied = index };
    const struct reply unknown = {
        .request_id = change->request_id,
        .status = REPLY_UNKNOWN,
        .leader = replica->leader,
    };
    client_reply(replica, output, change->client, own ? &done : &unknown);
    *change = (struct change){ .client = 0 };
}

/* ---- those who were removed ---- */

void members_tell_removed(struct replica *replica, struct output *output, const struct message *message)
{
    const struct configuration *committed = members_committed(replica);
    const bool member = members_slot(replica, message->from) < MEMBERS_MAX
                        || configuration_slot(committed, message->from) < MEMBERS_MAX;
    /* After a start this may be further on than the commit index. */
    struct log_id commit = committed->id;
    if (replica->commit > commit.index)
        commit = (struct log_id){ .term = log_term(replica, replica->commit), .index = replica->commit };
    /* Who has no state to serve with may need whom it would dismiss: that may be the last one that has it. Who has not
     * read yet what its checkpoint says of the members knows of none between its own and that, nor does who may have
     * lost one that is committed; and who joins, and has not been told of any, knows of none at all: the first one is
     * in no log. */
    const bool stranger = (replica->stored.flags & STORED_STRANGER) != 0 || members_may_be_lost(replica)
                          || configuration_members(committed) == 0;
    if (member || stranger || !store_is_ready(replica) || commit.index == 0
        || !output_room(output, 1, CLIENT_REPLY_SMALL_BYTES))
        return;
    const struct message refusal = {
        .type = FRAME_REFUSAL,
        .from = replica->config.node_id,
        .to = message->from,
        .instance = replica->superblock.instance,
        .refusal = {
            .reason = FRAME_REMOVED,
            .commit = commit,
            .instance = message->instance,
        },
    };
    output_message(output, &replica->frame, &refusal);
}

/* The peer has committed entries up to there, and by them this node is no member. If its own configuration says that it
 * is one, that is either among them, and no longer the latest; or it never was committed, and cannot be any more, since
 * terms only grow along a log (Raft 3.6.1). Else the peer has heard less than this node, and its refusal means nothing
 * (Raft 4.2.3); nor does it while a leader sends to this node: it may have been added again. It may also have been by
 * what is committed behind those entries, and is here only as a checkpoint whose pages were not read yet, or did not
 * come yet. Nobody waits for ever for that: what is known here to be committed the others come to know, too. */
bool members_removed(const struct replica *replica, struct log_id commit)
{
    const struct log_id own = members_now(replica)->id;
    const uint64_t known = u64_max(replica->commit, replica->install.known.index);
    const bool superseded = commit.index >= own.index || commit.term > own.term;
    return replica->leader == 0 && superseded && commit.index >= known;
}

/* ---- for operators ---- */

uint32_t members_status(const struct replica *replica, uint8_t *to)
{
    const struct configuration *now = members_now(replica);
    const bool leads = replica->role == RAFT_LEADER;
    uint32_t count = 0;
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++) {
        const struct peer *peer = &replica->peers[slot];
        struct member_status status = { .member = now->members[slot], .heard_age_ns = UINT64_MAX };
        if (status.member.id == 0)
            continue;
        if (slot == replica->self)
            status.heard_age_ns = 0;
        else if (leads && peer->heard)
            status.heard_age_ns = replica->now_ns - peer->heard_ns;
        if (leads) {
            status.match = peer->match;
            status.next = peer->next;
            status.state = peer->state;
        }
        memcpy(to + count * sizeof status, &status, sizeof status);
        count++;
    }
    return count;
}

/* Identities of the voters, and the questions of one that lost its disk; see rejoin.h. */
#include "rejoin.h"

#include "raft.h"

enum rejoin_state rejoin_state_of(const struct replica *replica)
{
    if ((replica->stored.flags & STORED_REJOIN) == 0)
        return REJOIN_WHOLE;
    return replica->stored.hard.term == 0 ? REJOIN_ASKING : REJOIN_CATCHING_UP;
}

static bool is_asking(const struct replica *replica) { return rejoin_state_of(replica) == REJOIN_ASKING; }

uint32_t rejoin_answers_needed(const struct replica *replica)
{
    return replica->config.voter_count - quorum_size(replica) + 1;
}

uint32_t rejoin_answers(const struct replica *replica)
{
    uint32_t count = 0;
    for (uint32_t left = replica->rejoin.answered; left != 0; left &= left - 1)
        count++;
    return count;
}

void rejoin_start(struct replica *replica, struct output *output)
{
    if (is_asking(replica))
        output_event(output, EVENT_REJOIN, rejoin_answers_needed(replica), replica->superblock.instance);
}

/* ---- who speaks for a node id ---- */

/* Where it stands among struct stored.instances: not every node need list the voters in the same order. */
static uint32_t voter_rank(const struct replica *replica, uint32_t slot)
{
    uint32_t rank = 0;
    for (uint32_t other = 0; other < replica->config.voter_count; other++)
        rank += replica->config.voters[other].id < replica->config.voters[slot].id;
    return rank;
}

static uint64_t instance_of(const struct replica *replica, uint32_t slot)
{
    return replica->stored.instances[voter_rank(replica, slot)];
}

static uint64_t instance_durable(const struct replica *replica, uint32_t slot)
{
    return replica->superblock.durable.instances[voter_rank(replica, slot)];
}

/* What the directory before it promised to this node means nothing any more. */
static void peer_replace(struct replica *replica, struct output *output, uint32_t slot, uint64_t instance)
{
    const uint64_t before = instance_of(replica, slot);
    ASSERT(slot < replica->config.voter_count && slot != replica->self);
    ASSERT(instance > before);
    replica->stored.instances[voter_rank(replica, slot)] = instance;
    if (before == 0)
        return;
    const uint32_t others = ~(1u << slot);
    replica->votes &= others;
    replica->pre_votes &= others;
    replica->repair.dont_have &= others;
    replica->repair.faulty &= others;
    replicate_forget(replica, slot);
    output_event(output, EVENT_REPLACED, replica->config.voters[slot].id, instance);
}

enum frame_verdict rejoin_verdict(struct replica *replica, struct output *output, uint32_t slot, uint64_t instance)
{
    const uint64_t known = instance_of(replica, slot);
    ASSERT(instance != 0);
    if (instance == known)
        return FRAME_OK;
    if (known != 0 && ((instance & INSTANCE_REJOIN) == 0 || instance < known))
        return (known & INSTANCE_REJOIN) != 0 ? FRAME_REPLACED_NODE : FRAME_DUPLICATE_NODE;
    peer_replace(replica, output, slot, instance);
    return FRAME_OK;
}

void rejoin_learn(struct replica *replica, struct output *output, const uint64_t *instances)
{
    for (uint32_t slot = 0; slot < replica->config.voter_count; slot++) {
        const uint64_t instance = instances[voter_rank(replica, slot)];
        if (slot != replica->self && (instance & INSTANCE_REJOIN) != 0 && instance > instance_of(replica, slot))
            peer_replace(replica, output, slot, instance);
    }
}

bool rejoin_hears(const struct replica *replica, uint32_t slot, enum frame_type type)
{
    const uint64_t durable = instance_durable(replica, slot);
    if (type == FRAME_REJOIN_REQUEST)
        return true;
    if (is_asking(replica))
        return type == FRAME_REJOIN_RESPONSE;
    return durable == 0 || durable == instance_of(replica, slot);
}

/* ---- questions and answers ---- */

void rejoin_request(struct replica *replica, const struct message *message)
{
    const uint32_t slot = voter_slot(replica, message->from);
    ASSERT(slot < replica->config.voter_count && slot != replica->self);
    replica->rejoin.owed |= 1u << slot;
}

void rejoin_response(struct replica *replica, struct output *output, const struct message *message)
{
    struct rejoin *rejoin = &replica->rejoin;
    const uint32_t slot = voter_slot(replica, message->from);
    ASSERT(slot < replica->config.voter_count && slot != replica->self);
    /* What a directory before this one was answered may be older than its last promise. */
    if (!is_asking(replica) || message->rejoin_response.instance != replica->superblock.instance)
        return;
    rejoin->answered |= 1u << slot;
    rejoin->term = u64_max(rejoin->term, message->term);
    if (rejoin_answers(replica) < rejoin_answers_needed(replica))
        return;
    output_event(output, EVENT_REJOIN_KNOWN, rejoin->term, rejoin_answers(replica));
    election_become_follower(replica, output, u64_max(rejoin->term, 1), 0);
    replica->stored.hard.vote = VOTE_UNKNOWN;
    ASSERT(election_abstains(replica));
}

static void rejoin_send(struct replica *replica, struct output *output, uint32_t slot, enum frame_type type)
{
    struct message message = {
        .type = type,
        .from = replica->config.node_id,
        .to = replica->config.voters[slot].id,
        .instance = replica->superblock.instance,
        .term = replica->stored.hard.term,
    };
    if (type == FRAME_REJOIN_RESPONSE)
        message.rejoin_response.instance = instance_of(replica, slot);
    output_message(output, &replica->frame, &message);
}

static bool answer_may_leave(const struct replica *replica, uint32_t slot)
{
    return (replica->rejoin.owed >> slot & 1) != 0 && !is_asking(replica) && election_term_durable(replica)
           && instance_durable(replica, slot) == instance_of(replica, slot);
}

static bool questions_are_due(const struct replica *replica)
{
    return is_asking(replica)
           && (!replica->rejoin.asked
               || replica->now_ns - replica->rejoin.asked_ns >= replica->config.heartbeat_interval_ns);
}

void rejoin_flush(struct replica *replica, struct output *output)
{
    struct rejoin *rejoin = &replica->rejoin;
    const bool ask = questions_are_due(replica);
    if (!ask && rejoin->owed == 0)
        return;
    if (!output_room(output, replica->config.voter_count, CLIENT_REPLY_SMALL_BYTES * replica->config.voter_count)) {
        replica->wants_tick = true;
        return;
    }
    for (uint32_t slot = 0; slot < replica->config.voter_count; slot++) {
        if (answer_may_leave(replica, slot)) {
            rejoin_send(replica, output, slot, FRAME_REJOIN_RESPONSE);
            rejoin->owed &= ~(1u << slot);
        }
        if (ask && slot != replica->self && (rejoin->answered >> slot & 1) == 0)
            rejoin_send(replica, output, slot, FRAME_REJOIN_REQUEST);
    }
    if (!ask)
        return;
    rejoin->asked = true;
    rejoin->asked_ns = replica->now_ns;
}

uint64_t rejoin_deadline(const struct replica *replica)
{
    return is_asking(replica) ? replica->rejoin.asked_ns + replica->config.heartbeat_interval_ns : UINT64_MAX;
}

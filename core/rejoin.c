/* Identities of the voters, and the questions of one that lost its disk; see rejoin.h. */
#include "rejoin.h"

#include "raft.h"

enum rejoin_state rejoin_state_of(const struct replica *replica)
{
    if ((replica->stored.flags & STORED_REJOIN) == 0)
        return REJOIN_WHOLE;
    return replica->superblock.durable.hard.term == 0 ? REJOIN_ASKING : REJOIN_CATCHING_UP;
}

static bool is_asking(const struct replica *replica) { return rejoin_state_of(replica) == REJOIN_ASKING; }
/* All have answered, and the term that they told is on its way to the disk. */
static bool has_asked_all(const struct replica *replica) { return replica->stored.hard.term != 0; }

/* Of n voters with majorities of q: n - q + 1. */
static uint32_t half_needs(uint32_t voters) { return bits_count(voters) - bits_count(voters) / 2; }

uint32_t rejoin_answers_needed(const struct replica *replica)
{
    const struct configuration *latest = &replica->rejoin.latest;
    return u32_max(half_needs(configuration_voters(latest)), half_needs(configuration_voters_old(latest)));
}

uint32_t rejoin_answers(const struct replica *replica) { return bits_count(replica->rejoin.answered); }

/* Is somebody who has answered in every majority? Of either half: the one that is left, or the one that comes, may be
 * acting alone by now. */
static bool answers_suffice(const struct replica *replica)
{
    const struct configuration *latest = &replica->rejoin.latest;
    const uint32_t answered = replica->rejoin.answered;
    const uint32_t voters = configuration_voters(latest), old = configuration_voters_old(latest);
    return voters != 0 && bits_count(voters & answered) >= half_needs(voters)
           && bits_count(old & answered) >= half_needs(old);
}

void rejoin_start(struct replica *replica, struct output *output)
{
    replica->rejoin.latest = *members_now(replica);
    if (is_asking(replica))
        output_event(output, EVENT_REJOIN, rejoin_answers_needed(replica), replica->superblock.instance);
}

/* ---- who speaks for a node id ---- */

/* 0: none is known. */
static uint64_t instance_in(const struct directory *directories, uint64_t node_id)
{
    for (uint32_t at = 0; at < DIRECTORIES_MAX; at++)
        if (directories[at].node_id == node_id)
            return directories[at].instance;
    return 0;
}

static uint64_t instance_of(const struct replica *replica, uint64_t node_id)
{
    return instance_in(replica->stored.directories, node_id);
}

static uint64_t instance_durable(const struct replica *replica, uint64_t node_id)
{
    return instance_in(replica->superblock.durable.directories, node_id);
}

/* Where to remember a member's directory: its own place, a free one, or that of a node that is no member any more.
 * Among fifteen others a member finds one. NULL: this node is none itself, and nobody counts what it says. */
static struct directory *directory_place(struct replica *replica, uint64_t node_id)
{
    struct directory *place = NULL;
    for (uint32_t at = 0; at < DIRECTORIES_MAX; at++) {
        struct directory *directory = &replica->stored.directories[at];
        if (directory->node_id == node_id)
            return directory;
        if (directory->node_id == 0 || members_slot(replica, directory->node_id) == MEMBERS_MAX)
            place = directory;
    }
    return place;
}

/* What the directory before it promised to this node means nothing any more. */
static void peer_replace(struct replica *replica, struct output *output, uint32_t slot, uint64_t instance)
{
    const uint64_t node_id = members_id(replica, slot);
    const uint64_t before = instance_of(replica, node_id);
    ASSERT(node_id != 0 && slot != replica->self);
    ASSERT(instance > before);
    struct directory *place = directory_place(replica, node_id);
    ASSERT(place != NULL || replica->self == MEMBERS_MAX);
    if (place != NULL)
        *place = (struct directory){ .node_id = node_id, .instance = instance };
    if (before == 0)
        return;
    const uint32_t others = ~(1u << slot);
    replica->votes &= others;
    replica->pre_votes &= others;
    replica->repair.dont_have &= others;
    replica->repair.faulty &= others;
    replicate_forget(replica, slot);
    output_event(output, EVENT_REPLACED, node_id, instance);
}

enum frame_verdict rejoin_verdict(struct replica *replica, struct output *output, uint64_t node_id, uint64_t instance)
{
    const uint64_t known = instance_of(replica, node_id);
    ASSERT(instance != 0);
    if (instance == known)
        return FRAME_OK;
    const uint32_t slot = members_slot(replica, node_id);
    if (slot == MEMBERS_MAX)
        return FRAME_OK;
    if (known != 0 && ((instance & INSTANCE_REJOIN) == 0 || instance < known))
        return (known & INSTANCE_REJOIN) != 0 ? FRAME_REPLACED_NODE : FRAME_DUPLICATE_NODE;
    peer_replace(replica, output, slot, instance);
    return FRAME_OK;
}

void rejoin_learn(struct replica *replica, struct output *output, const struct directory *directories)
{
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++) {
        const uint64_t node_id = members_id(replica, slot);
        const uint64_t instance = node_id == 0 ? 0 : instance_in(directories, node_id);
        if (slot != replica->self && (instance & INSTANCE_REJOIN) != 0 && instance > instance_of(replica, node_id))
            peer_replace(replica, output, slot, instance);
    }
}

bool rejoin_hears(const struct replica *replica, uint64_t node_id, enum frame_type type)
{
    const uint64_t durable = instance_durable(replica, node_id);
    if (type == FRAME_REJOIN_REQUEST)
        return true;
    if (is_asking(replica))
        return type == FRAME_REJOIN_RESPONSE;
    return durable == 0 || durable == instance_of(replica, node_id);
}

/* ---- questions and answers ---- */

void rejoin_request(struct replica *replica, const struct message *message)
{
    const uint32_t slot = members_slot(replica, message->from);
    if (slot < MEMBERS_MAX)
        replica->rejoin.owed |= 1u << slot;
}

/* A later configuration is told: answers count for those who are still in their places. */
static void latest_told(struct rejoin *rejoin, const struct rejoin_response *response)
{
    struct configuration told;
    if (log_id_compare(response->id, rejoin->latest.id) <= 0 || !configuration_decode(response->members, &told))
        return;
    told.id = response->id;
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++)
        if (told.members[slot].id != rejoin->latest.members[slot].id)
            rejoin->answered &= ~(1u << slot);
    rejoin->latest = told;
}

void rejoin_response(struct replica *replica, struct output *output, const struct message *message)
{
    struct rejoin *rejoin = &replica->rejoin;
    /* What a directory before this one was answered may be older than its last promise. */
    if (!is_asking(replica) || has_asked_all(replica)
        || message->rejoin_response.instance != replica->superblock.instance)
        return;
    latest_told(rejoin, &message->rejoin_response);
    const uint32_t slot = configuration_slot(&rejoin->latest, message->from);
    if (slot == MEMBERS_MAX)
        return;
    rejoin->answered |= 1u << slot;
    rejoin->term = u64_max(rejoin->term, message->term);
    if (!answers_suffice(replica))
        return;
    output_event(output, EVENT_REJOIN_KNOWN, rejoin->term, rejoin_answers(replica));
    election_become_follower(replica, output, u64_max(rejoin->term, 1), 0);
    replica->stored.hard.vote = VOTE_UNKNOWN;
    ASSERT(election_abstains(replica));
}

static struct message rejoin_frame(const struct replica *replica, enum frame_type type, uint64_t to)
{
    return (struct message){
        .type = type,
        .from = replica->config.node_id,
        .to = to,
        .instance = replica->superblock.instance,
        .term = replica->stored.hard.term,
    };
}

static struct message rejoin_answer(const struct replica *replica, uint64_t to)
{
    const struct configuration *now = members_now(replica);
    struct message message = rejoin_frame(replica, FRAME_REJOIN_RESPONSE, to);
    message.rejoin_response = (struct rejoin_response){
        .instance = instance_of(replica, to),
        .id = now->id,
        .members = { .bytes = (const uint8_t *)now->members, .count = configuration_bytes(now) },
    };
    return message;
}

/* False: the output is full. */
static bool rejoin_send(struct replica *replica, struct output *output, const struct message *message)
{
    if (!output_room(output, 1, message_bytes(message))) {
        replica->wants_tick = true;
        return false;
    }
    output_message(output, &replica->frame, message);
    return true;
}

/* Who does not know the members (members.h) cannot say who else must be asked. */
static bool answer_may_leave(const struct replica *replica, uint32_t slot)
{
    const uint64_t node_id = members_id(replica, slot);
    return (replica->rejoin.owed >> slot & 1) != 0 && !is_asking(replica) && election_term_durable(replica)
           && (replica->stored.flags & STORED_STRANGER) == 0
           && instance_durable(replica, node_id) == instance_of(replica, node_id);
}

static bool questions_are_due(const struct replica *replica)
{
    return is_asking(replica) && !has_asked_all(replica)
           && (!replica->rejoin.asked
               || replica->now_ns - replica->rejoin.asked_ns >= replica->config.heartbeat_interval_ns);
}

static void answers_send(struct replica *replica, struct output *output)
{
    for (uint32_t slot = 0; slot < MEMBERS_MAX && replica->rejoin.owed != 0; slot++) {
        if (!answer_may_leave(replica, slot))
            continue;
        const struct message answer = rejoin_answer(replica, members_id(replica, slot));
        if (!rejoin_send(replica, output, &answer))
            return;
        replica->rejoin.owed &= ~(1u << slot);
    }
}

/* Those that did not find room are asked next time. */
static void questions_send(struct replica *replica, struct output *output)
{
    struct rejoin *rejoin = &replica->rejoin;
    const uint32_t voters = configuration_voters(&rejoin->latest) | configuration_voters_old(&rejoin->latest);
    rejoin->asked = true;
    rejoin->asked_ns = replica->now_ns;
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++) {
        const uint64_t node_id = rejoin->latest.members[slot].id;
        if (((voters & ~rejoin->answered) >> slot & 1) == 0 || node_id == replica->config.node_id)
            continue;
        const struct message question = rejoin_frame(replica, FRAME_REJOIN_REQUEST, node_id);
        if (!rejoin_send(replica, output, &question))
            return;
    }
}

void rejoin_flush(struct replica *replica, struct output *output)
{
    answers_send(replica, output);
    if (questions_are_due(replica))
        questions_send(replica, output);
}

uint64_t rejoin_deadline(const struct replica *replica)
{
    if (!is_asking(replica) || has_asked_all(replica))
        return UINT64_MAX;
    return replica->rejoin.asked_ns + replica->config.heartbeat_interval_ns;
}

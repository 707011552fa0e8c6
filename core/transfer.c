/* Handing over the leadership; see transfer.h. */
#include "transfer.h"

#include "raft.h"

bool transfer_is_under_way(const struct replica *replica)
{
    const struct transfer *transfer = &replica->transfer;
    return transfer->target != 0 && replica->role == RAFT_LEADER && transfer->term == replica->stored.hard.term;
}

/* ---- the leader ---- */

static bool target_is_better(const struct replica *replica, uint32_t slot, uint32_t than)
{
    const struct member *members = members_now(replica)->members;
    const bool ready = members_is_well(replica, slot), than_ready = members_is_well(replica, than);
    if (ready != than_ready)
        return ready;
    if (members[slot].priority != members[than].priority)
        return members[slot].priority > members[than].priority;
    return replica->peers[slot].match > replica->peers[than].match;
}

/* Of the other voters that answer: one that is ready, of those the highest priority, then the one that lacks least. 0:
 * there is none. */
static uint64_t transfer_best(const struct replica *replica)
{
    const uint32_t voters = configuration_voters(members_now(replica));
    uint32_t best = MEMBERS_MAX;
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++) {
        if ((voters >> slot & 1) == 0 || slot == replica->self || !members_heard(replica, slot))
            continue;
        if (best == MEMBERS_MAX || target_is_better(replica, slot, best))
            best = slot;
    }
    return best < MEMBERS_MAX ? members_id(replica, best) : 0;
}

static bool is_new_voter(const struct replica *replica, uint32_t slot)
{
    return slot < MEMBERS_MAX && (configuration_voters(members_now(replica)) >> slot & 1) != 0;
}

static void transfer_begin(struct replica *replica, struct output *output, uint64_t target, enum transfer_event why)
{
    struct transfer *transfer = &replica->transfer;
    ASSERT(transfer->target == 0 && is_new_voter(replica, members_slot(replica, target)));
    transfer->target = target;
    transfer->term = replica->stored.hard.term;
    transfer->deadline_ns = replica->now_ns + replica->config.election_timeout_ns;
    transfer->by_itself = why != TRANSFER_BEGUN;
    output_event(output, EVENT_TRANSFER, target, why);
}

static enum reply_status transfer_refusal(const struct replica *replica, uint64_t target)
{
    if (target == 0)
        return REPLY_TARGET_SILENT;
    const uint32_t slot = members_slot(replica, target);
    if (!is_new_voter(replica, slot))
        return REPLY_NOT_A_VOTER;
    /* Proposals would wait for it for an election timeout, in vain. One that lags has that long to catch up. */
    if (!members_heard(replica, slot))
        return REPLY_TARGET_SILENT;
    return replica->transfer.target != 0 ? REPLY_BUSY : REPLY_OK;
}

void transfer_request(struct replica *replica, struct output *output, uint64_t client, const struct request *request)
{
    const uint64_t target = request->version != 0 ? request->version : transfer_best(replica);
    struct reply reply = { .request_id = request->request_id, .leader = replica->leader };
    ASSERT(replica->role == RAFT_LEADER);
    if (target != replica->config.node_id) {
        reply.status = transfer_refusal(replica, target);
        if (reply.status == REPLY_OK) {
            transfer_begin(replica, output, target, TRANSFER_BEGUN);
            replica->transfer.client = client;
            replica->transfer.request_id = request->request_id;
            return;
        }
    }
    client_reply(replica, output, client, &reply);
}

/* ---- without being asked ---- */

bool transfer_leave(struct replica *replica, struct output *output)
{
    struct transfer *transfer = &replica->transfer;
    ASSERT(replica->role == RAFT_LEADER);
    if (transfer->target != 0)
        return true;
    const uint64_t target = transfer_best(replica);
    if (target == 0 || transfer->left_term == replica->stored.hard.term)
        return false;
    transfer->left_term = replica->stored.hard.term;
    transfer_begin(replica, output, target, TRANSFER_LEAVES);
    return true;
}

/* Of the voters with a higher priority that are well the one with the highest. Of several the first one, so that it is
 * the same each time. 0: there is none. */
static uint64_t transfer_preferred(const struct replica *replica)
{
    const struct configuration *now = members_now(replica);
    uint32_t best = replica->self;
    if (best == MEMBERS_MAX)
        return 0;
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++)
        if (now->members[slot].priority > now->members[best].priority && is_new_voter(replica, slot)
            && members_is_well(replica, slot))
            best = slot;
    return best != replica->self ? members_id(replica, best) : 0;
}

void transfer_tick(struct replica *replica, struct output *output)
{
    struct transfer *transfer = &replica->transfer;
    const struct configuration *now = members_now(replica);
    const uint64_t timeout_ns = replica->config.election_timeout_ns;
    const uint64_t preferred = transfer_preferred(replica);
    ASSERT(replica->role == RAFT_LEADER);
    if (preferred != transfer->preferred) {
        transfer->preferred = preferred;
        transfer->preferred_since_ns = replica->now_ns;
    }
    if (preferred == 0 || replica->now_ns - transfer->preferred_since_ns < PREFERRED_TIMEOUTS * timeout_ns
        || replica->now_ns < transfer->preferred_next_ns)
        return;
    /* A change of the members goes on where it was begun. */
    if (transfer->target != 0 || configuration_is_joint(now) || now->id.index > replica->commit)
        return;
    if (preferred != transfer->preferred_tried)
        transfer->preferred_tries = 0;
    transfer->preferred_tried = preferred;
    transfer->preferred_next_ns =
        replica->now_ns + ((uint64_t)HAND_OVER_TIMEOUTS << transfer->preferred_tries) * timeout_ns;
    /* Until it succeeds it has failed: this leader may be deposed before it knows. */
    transfer->preferred_tries = u32_min(transfer->preferred_tries + 1, HAND_OVER_DOUBLINGS_MAX);
    transfer_begin(replica, output, preferred, TRANSFER_PREFERS);
}

/* ---- until it is over ---- */

static void transfer_ask(struct replica *replica, struct output *output)
{
    const struct message message = {
        .type = FRAME_TIMEOUT_NOW,
        .from = replica->config.node_id,
        .to = replica->transfer.target,
        .instance = replica->superblock.instance,
        .term = replica->stored.hard.term,
    };
    ASSERT(election_term_durable(replica));
    if (replica->transfer.asked_ns == 0)
        output_event(output, EVENT_TRANSFER, replica->transfer.target, TRANSFER_ASKED);
    output_message(output, &replica->frame, &message);
    replica->transfer.asked_ns = replica->now_ns;
    replica->transfer.asked_term = message.term;
}

/* Is there a reason to ask the target now? With all entries it is as up to date as anybody, and the votes are its own
 * (Raft 3.10 step 2). */
static bool transfer_may_ask(const struct replica *replica)
{
    const struct transfer *transfer = &replica->transfer;
    const uint32_t slot = members_slot(replica, transfer->target);
    if (slot == MEMBERS_MAX || replica->peers[slot].match != replica->log.last.index)
        return false;
    return transfer->asked_ns == 0 || replica->now_ns - transfer->asked_ns >= replica->config.heartbeat_interval_ns;
}

static void transfer_end(struct replica *replica, struct output *output)
{
    struct transfer *transfer = &replica->transfer;
    const bool done = replica->leader == transfer->target;
    const bool unknown = transfer->by_itself && replica->leader == 0;
    const struct reply reply = {
        .request_id = transfer->request_id,
        .status = done ? REPLY_OK : REPLY_TRANSFER_FAILED,
        .leader = replica->leader,
    };
    output_event(output, EVENT_TRANSFER, transfer->target,
                 done      ? TRANSFER_DONE
                 : unknown ? TRANSFER_OVER
                           : TRANSFER_FAILED);
    if (done && transfer->target == transfer->preferred_tried)
        transfer->preferred_tries = 0;
    if (!transfer->by_itself)
        client_reply(replica, output, transfer->client, &reply);
    transfer->target = transfer->term = transfer->client = transfer->request_id = 0;
    transfer->deadline_ns = transfer->asked_ns = 0;
    transfer->by_itself = false;
}

void transfer_flush(struct replica *replica, struct output *output)
{
    const struct transfer *transfer = &replica->transfer;
    if (transfer->target == 0)
        return;
    if (!output_room(output, 2, 2 * CLIENT_REPLY_SMALL_BYTES)) {
        replica->wants_tick = true;
        return;
    }
    const bool leads = transfer_is_under_way(replica);
    if (replica->now_ns >= transfer->deadline_ns || (!leads && replica->leader != 0))
        transfer_end(replica, output);
    else if (leads && transfer_may_ask(replica))
        transfer_ask(replica, output);
}

uint64_t transfer_deadline(const struct replica *replica)
{
    return replica->transfer.target != 0 ? replica->transfer.deadline_ns : UINT64_MAX;
}

/* ---- the target ---- */

void transfer_timeout_now(struct replica *replica, struct output *output, const struct message *message)
{
    /* Of an earlier term, it would depose a leader who never wanted that. */
    if (message->term != replica->stored.hard.term || replica->leader != message->from)
        return;
    if (replica->role != RAFT_FOLLOWER || election_abstains(replica) || !members_may_campaign(replica))
        return;
    /* Whoever led could serve, and it could not. */
    if (!store_is_ready(replica) || replicate_stalled_ns(replica) >= replica->config.election_timeout_ns)
        return;
    output_event(output, EVENT_TRANSFER, replica->config.node_id, TRANSFER_TAKEN);
    election_campaign(replica, output, true);
}

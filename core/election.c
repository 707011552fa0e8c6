/* Leader election (Raft 3.4, 3.6.1), PreVote (9.6), and what may leave before the disk has it (3.8). */
#include "raft.h"

enum { LEARNER_PATIENCE = 4, LONER_PATIENCE = 4 };

bool election_term_durable(const struct replica *replica)
{
    return replica->superblock.durable.hard.term == replica->stored.hard.term;
}

bool election_abstains(const struct replica *replica) { return (replica->stored.flags & STORED_ABSTAIN) != 0; }

/* Raft 3.4: drawn anew each time, so that split votes do not repeat. */
void election_reset_timer(struct replica *replica)
{
    const uint64_t minimum = replica->config.election_timeout_ns;
    replica->election_deadline_ns = replica->now_ns + minimum + prng_below(&replica->prng, minimum);
}

/* With PreVote nobody is disturbed who hears a leader (Raft 9.6); so there is no more to wait for than that leader's
 * heartbeat, and nobody to draw lots with for a lone voter. But what a voter acknowledged in an earlier life may be
 * what a lease rests on (Raft 6.4.1): until that is over it votes for nobody, and not for itself, unless nobody else
 * can have led. Who was left alone by the last change of the members was led by somebody. */
void election_first_timer(struct replica *replica)
{
    const struct replica_config *config = &replica->config;
    const uint64_t heard_ns = 2 * config->heartbeat_interval_ns;
    const bool leased = config->lease_drift_ppm != 0;
    election_reset_timer(replica);
    if (leased)
        replica->grace_end_ns = replica->now_ns + config->election_timeout_ns;
    if (leased ? members_were_alone(replica) : members_other_voters(replica) == 0)
        replica->election_deadline_ns = replica->now_ns + heard_ns;
    else if (config->pre_vote && !leased)
        replica->election_deadline_ns -= config->election_timeout_ns - heard_ns;
}

static void election_set_role(struct replica *replica, struct output *output, enum raft_role role, uint64_t leader)
{
    if (replica->role == (uint32_t)role && replica->leader == leader)
        return;
    replica->role = role;
    replica->leader = leader;
    output_event(output, EVENT_ROLE, role, leader);
}

/* A new term: whatever was promised, verified or owed belonged to the old one. */
static void election_enter_term(struct replica *replica, struct output *output, uint64_t term, uint64_t vote)
{
    ASSERT(term > replica->stored.hard.term);
    replica->stored.hard = (struct hard_state){ .term = term, .vote = vote };
    replica->verified = 0;
    replica->acked = 0;
    replica->round_seen = 0;
    replica->sent_seen_ns = 0;
    replica->owed = (struct owed){ .append_to = 0 };
    output_event(output, EVENT_TERM, term, 0);
}

void election_become_follower(struct replica *replica, struct output *output, uint64_t term, uint64_t leader)
{
    ASSERT(term >= replica->stored.hard.term);
    const bool was_leader = replica->role == RAFT_LEADER;
    if (term > replica->stored.hard.term)
        election_enter_term(replica, output, term, 0);
    /* A vote stays: forgetting it within the term would allow a second one (Raft 3.4). */
    replica->votes = 0;
    replica->pre_votes = 0;
    replica->campaign_due = 0;
    if (was_leader) {
        replica->leader_heard = false;
        election_reset_timer(replica);
    }
    election_set_role(replica, output, RAFT_FOLLOWER, leader);
}

/* ---- campaigning ---- */

void election_campaign(struct replica *replica, struct output *output, bool transfer)
{
    election_enter_term(replica, output, replica->stored.hard.term + 1, replica->config.node_id);
    output_event(output, EVENT_VOTE, replica->config.node_id, replica->stored.hard.term);
    replica->votes = 0; /* its own counts when durable: election_flush() */
    replica->pre_votes = 0;
    replica->campaign_due = 0;
    replica->campaign_transfer = transfer;
    election_reset_timer(replica);
    election_set_role(replica, output, RAFT_CANDIDATE, 0);
}

/* Raft 9.6: asks first whether an election could be won, so that a partitioned node does not raise its term. */
static void election_pre_campaign(struct replica *replica, struct output *output)
{
    replica->pre_votes = 1u << replica->self;
    replica->votes = 0;
    replica->campaign_due = members_other_voters(replica);
    election_reset_timer(replica);
    election_set_role(replica, output, RAFT_PRE_CANDIDATE, 0);
    if (quorum_has(members_now(replica), replica->pre_votes))
        election_campaign(replica, output, false);
}

/* Elections after the last leader that are left to the others. Who has no whole state could serve nobody, so those who
 * have one go first: their timers end before its second one does. But it does campaign then, because its log may be the
 * only one that can win, and because all others may lack pages, too, and get theirs from each other (decision 14). So
 * may that of a learner be, which stands back for longer: a leader that is gone may have sent it what a voter lacks,
 * and that voter, in whose configuration it has a vote already, does not win without it (members.h). And who is alone
 * may be so by the will of a leader that has all that it lacks, and leads it still, or would by its vote
 * (members_alone_for_good()). */
static uint32_t election_patience(const struct replica *replica)
{
    if (!members_is_voter(replica))
        return LEARNER_PATIENCE;
    if (!members_alone(replica))
        return store_is_ready(replica) ? 0 : 1;
    const bool whole = store_is_ready(replica) && replica->log.first_faulty == 0;
    return whole || members_alone_for_good(replica) ? 0 : LONER_PATIENCE;
}

/* While its pages come, a lone one waits for them, however long that takes: to lead does not help, and would leave
 * behind whom they come from. When they come no more, install.c asks again, and the elections count. */
static bool election_stands_back(struct replica *replica)
{
    if (members_alone(replica) && install_is_coming(replica))
        return true;
    const bool back = replica->stood_back < election_patience(replica);
    replica->stood_back = back ? (uint8_t)(replica->stood_back + 1) : 0;
    return back;
}

/* Raft 9.6: the question whether it would be elected is one that anybody may ask. Nobody sends to a member that was
 * removed, and this one cannot tell that from a cluster without a leader; whoever knows tells it (members.h). */
static void election_ask_membership(struct replica *replica)
{
    if (members_may_ask(replica) && rejoin_state_of(replica) != REJOIN_ASKING)
        replica->campaign_due = members_others(replica);
}

void election_tick(struct replica *replica, struct output *output)
{
    ASSERT(replica->role != RAFT_LEADER);
    if (replica->now_ns < replica->election_deadline_ns)
        return;
    /* It may have promised entries that it does not know of: to lead without them would lose them (CTRL 3.3). */
    const bool may = members_may_campaign(replica) && !election_abstains(replica);
    const bool voter = members_is_voter(replica);
    if (may && !election_stands_back(replica)) {
        if (replica->config.pre_vote || !voter)
            election_pre_campaign(replica, output);
        else
            election_campaign(replica, output, false);
        return;
    }
    election_reset_timer(replica);
    if (may && voter)
        return;
    /* It has not heard from its leader for so long that it sends nobody there any more. */
    election_become_follower(replica, output, replica->stored.hard.term, 0);
    election_ask_membership(replica);
}

static void election_send_request(struct replica *replica, struct output *output, uint32_t slot)
{
    const bool pre = replica->role != RAFT_CANDIDATE;
    const struct message message = {
        .type = FRAME_VOTE_REQUEST,
        .from = replica->config.node_id,
        .to = members_id(replica, slot),
        .instance = replica->superblock.instance,
        .term = replica->stored.hard.term,
        .vote_request = {
            .last = replica->log.last,
            .term = pre ? replica->stored.hard.term + 1 : replica->stored.hard.term,
            .pre = pre,
            .transfer = !pre && replica->campaign_transfer,
        },
    };
    output_message(output, &replica->frame, &message);
}

static void election_count(struct replica *replica, struct output *output, uint32_t slot)
{
    replica->votes |= 1u << slot;
    if (quorum_has(members_now(replica), replica->votes))
        replicate_become_leader(replica, output);
}

static bool owed_vote_may_leave(const struct replica *replica)
{
    const struct owed *owed = &replica->owed;
    if (owed->vote_to == 0 || !election_term_durable(replica))
        return false;
    if (owed->vote_pre || !owed->vote_granted)
        return true;
    /* Raft 3.8: a vote is a promise, and promises survive crashes. */
    return replica->superblock.durable.hard.vote == owed->vote_to;
}

static void election_send_vote(struct replica *replica, struct output *output)
{
    struct message message = {
        .type = FRAME_VOTE_RESPONSE,
        .from = replica->config.node_id,
        .to = replica->owed.vote_to,
        .instance = replica->superblock.instance,
        .term = replica->stored.hard.term,
        .vote_response = {
            .term = replica->owed.vote_term,
            .pre = replica->owed.vote_pre,
            .granted = replica->owed.vote_granted,
        },
    };
    memcpy(message.vote_response.directories, replica->stored.directories, sizeof replica->stored.directories);
    output_message(output, &replica->frame, &message);
    replica->owed.vote_to = 0;
}

void election_flush(struct replica *replica, struct output *output)
{
    const struct hard_state *durable = &replica->superblock.durable.hard;
    if (replica->role == RAFT_CANDIDATE && durable->term == replica->stored.hard.term
        && durable->vote == replica->config.node_id && (replica->votes & (1u << replica->self)) == 0) {
        replica->campaign_due = members_other_voters(replica);
        election_count(replica, output, replica->self);
    }
    if (owed_vote_may_leave(replica) && output_room(output, 1, MESSAGE_VOTE_BYTES))
        election_send_vote(replica, output);
    if (replica->campaign_due == 0 || !election_term_durable(replica))
        return;
    ASSERT(replica->role != RAFT_LEADER);
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++) {
        if ((replica->campaign_due & (1u << slot)) == 0)
            continue;
        if (!output_room(output, 1, CLIENT_REPLY_SMALL_BYTES)) {
            replica->wants_tick = true;
            return;
        }
        replica->campaign_due &= ~(1u << slot);
        election_send_request(replica, output, slot);
    }
}

/* ---- voting ---- */

/* Raft 6.2, 4.2.3: whoever hears from a leader does not help to depose it. */
static bool election_leader_is_alive(const struct replica *replica)
{
    if (!replica->config.check_quorum)
        return false;
    if (replica->role == RAFT_LEADER)
        return true;
    /* A lease rests on who was heard, whether it is still known or a higher term has wiped that out. */
    const bool leased = replica->config.lease_drift_ppm != 0;
    if (leased && replica->now_ns < replica->grace_end_ns)
        return true;
    return (leased || replica->leader != 0) && replica->leader_heard
           && replica->now_ns - replica->leader_heard_ns < replica->config.election_timeout_ns;
}

static void election_owe_vote(struct replica *replica, struct output *output, const struct message *request,
                              bool granted)
{
    const struct owed *owed = &replica->owed;
    const bool promise_waits = owed->vote_to != 0 && owed->vote_granted && !owed->vote_pre;
    /* Nothing else may push out a vote that waits for the disk. */
    if (promise_waits && (request->vote_request.pre || !granted))
        return;
    /* Of several requests in one batch of inputs each is answered: the answer before, if it may leave, leaves now. */
    if (owed->vote_to != request->from && owed_vote_may_leave(replica) && output_room(output, 1, MESSAGE_VOTE_BYTES))
        election_send_vote(replica, output);
    replica->owed.vote_to = request->from;
    replica->owed.vote_term = request->vote_request.term;
    replica->owed.vote_pre = request->vote_request.pre;
    replica->owed.vote_granted = granted;
}

void election_vote_request(struct replica *replica, struct output *output, const struct message *message)
{
    const struct vote_request *request = &message->vote_request;
    /* Raft 3.10: it is that leader who wants it. */
    if (election_leader_is_alive(replica) && !request->transfer) {
        if (request->pre)
            election_owe_vote(replica, output, message, false);
        return;
    }
    if (message->term > replica->stored.hard.term)
        election_become_follower(replica, output, message->term, 0);
    /* Raft 3.6.1: only a log at least as up to date as the voter's may lead. */
    const bool up_to_date = log_id_compare(request->last, replica->log.last) >= 0 && !election_abstains(replica);
    if (request->pre) {
        election_owe_vote(replica, output, message, request->term > replica->stored.hard.term && up_to_date);
        return;
    }
    const bool current = request->term == replica->stored.hard.term;
    const bool free = replica->stored.hard.vote == 0 || replica->stored.hard.vote == message->from;
    const bool granted = current && free && up_to_date;
    if (granted && replica->stored.hard.vote == 0) {
        replica->stored.hard.vote = message->from;
        election_reset_timer(replica);
        output_event(output, EVENT_VOTE, message->from, replica->stored.hard.term);
    }
    election_owe_vote(replica, output, message, granted);
}

void election_vote_response(struct replica *replica, struct output *output, const struct message *message)
{
    const struct vote_response *response = &message->vote_response;
    if (message->term > replica->stored.hard.term) {
        election_become_follower(replica, output, message->term, 0);
        return;
    }
    /* Before the vote counts: it may show that one counted before is of a directory that is no more (rejoin.h). */
    rejoin_learn(replica, output, response->directories);
    if (!response->granted)
        return;
    /* Whoever answers: only voters count. */
    const uint32_t slot = members_slot(replica, message->from);
    if (slot == MEMBERS_MAX)
        return;
    if (response->pre && replica->role == RAFT_PRE_CANDIDATE && response->term == replica->stored.hard.term + 1) {
        replica->pre_votes |= 1u << slot;
        if (quorum_has(members_now(replica), replica->pre_votes))
            election_campaign(replica, output, false);
        return;
    }
    if (!response->pre && replica->role == RAFT_CANDIDATE && response->term == replica->stored.hard.term)
        election_count(replica, output, slot);
}

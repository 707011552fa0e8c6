/* Questions for the read index: a follower or learner asks its leader what it must have applied; see read.h. */
#include "raft.h"
#include "read.h"

/* ---- who asks ---- */

static void question_send(struct replica *replica, struct output *output)
{
    const struct message message = {
        .type = FRAME_READ_INDEX_REQUEST,
        .from = replica->config.node_id,
        .to = replica->leader,
        .instance = replica->superblock.instance,
        .term = replica->stored.hard.term,
        .read_index_request = { .number = replica->question.number },
    };
    output_message(output, &replica->frame, &message);
    replica->question.sent_ns = replica->now_ns;
}

/* All reads that are part of no question yet. */
static void question_begin(struct replica *replica, struct output *output)
{
    struct read_question *question = &replica->question;
    ASSERT(!question->open);
    question->number = prng_next(&replica->prng) | 1;
    question->asked_ns = replica->now_ns;
    question->open = true;
    output_event(output, EVENT_READ_ASKED, replica->leader, replica->reads_count - replica->reads_assigned);
    for (; replica->reads_assigned < replica->reads_count; replica->reads_assigned++)
        read_at(replica, replica->reads_assigned)->round = question->number;
}

uint64_t read_deadline(const struct replica *replica)
{
    if (replica->role != RAFT_FOLLOWER || !replica->question.open)
        return UINT64_MAX;
    return replica->question.sent_ns + replica->config.heartbeat_interval_ns;
}

void read_ask(struct replica *replica, struct output *output)
{
    if (replica->reads_count == 0 || read_era_is_over(replica) || !election_term_durable(replica))
        return;
    const bool begins = !replica->question.open && replica->reads_assigned < replica->reads_count;
    if (!begins && replica->now_ns < read_deadline(replica))
        return;
    if (!output_room(output, 1, CLIENT_REPLY_SMALL_BYTES)) {
        replica->wants_tick = true;
        return;
    }
    if (begins)
        question_begin(replica, output);
    question_send(replica, output);
}

/* The leader cannot commit in its term. */
static void question_refused(struct replica *replica, struct output *output)
{
    while (replica->reads_assigned > 0 && read_at(replica, 0)->index == 0) {
        if (!output_room(output, 1, CLIENT_REPLY_SMALL_BYTES))
            return; /* the question stays open, and is asked again */
        read_refuse_first(replica, output, REPLY_BUSY);
    }
    replica->question.open = replica->reads_assigned > 0 && replica->question.open;
}

void read_index_response(struct replica *replica, struct output *output, const struct message *message)
{
    const struct read_index_response *response = &message->read_index_response;
    struct read_question *question = &replica->question;
    if (replica->role != RAFT_FOLLOWER || message->term != replica->stored.hard.term || message->from != replica->leader
        || replica->reads_count == 0 || read_era_is_over(replica))
        return;
    /* A later read may be newer than what an earlier answer knows. */
    if (!question->open || response->number != question->number)
        return;
    if (response->index == 0) {
        question_refused(replica, output);
        return;
    }
    question->open = false;
    for (uint32_t i = 0; i < replica->reads_assigned; i++) {
        struct read *read = read_at(replica, i);
        if (read->round == question->number)
            read->index = response->index;
    }
    /* Since it was asked, not since it was answered: what was committed in between may be missing. */
    replica->fresh = (struct read_fresh){ .asked_ns = question->asked_ns, .index = response->index };
    /* Only as far as the log here is known to be the leader's. */
    append_commit(replica, output, response->index, replica->verified);
}

/* ---- who answers ---- */

void read_index_request(struct replica *replica, const struct message *message)
{
    const uint32_t slot = members_slot(replica, message->from);
    if (replica->role != RAFT_LEADER || message->term != replica->stored.hard.term || slot == MEMBERS_MAX)
        return;
    const uint64_t number = message->read_index_request.number;
    const uint32_t bit = 1u << slot;
    /* It asks again; it is part of a round already. */
    if (replica->peers[slot].question == number && (replica->questions_joined & bit) != 0)
        return;
    replica->peers[slot].question = number;
    replica->questions_joined &= ~bit;
    replica->questions_waiting |= bit;
}

static bool question_answer(struct replica *replica, struct output *output, uint32_t slot, uint64_t index)
{
    if (!output_room(output, 1, CLIENT_REPLY_SMALL_BYTES)) {
        replica->wants_tick = true;
        return false;
    }
    const struct message message = {
        .type = FRAME_READ_INDEX_RESPONSE,
        .from = replica->config.node_id,
        .to = members_id(replica, slot),
        .instance = replica->superblock.instance,
        .term = replica->stored.hard.term,
        .read_index_response = { .number = replica->peers[slot].question, .index = index },
    };
    output_event(output, EVENT_READ_INDEX, message.to, index);
    output_message(output, &replica->frame, &message);
    replica->peers[slot].question = 0;
    replica->questions_waiting &= ~(1u << slot);
    replica->questions_joined &= ~(1u << slot);
    return true;
}

void read_index_answer(struct replica *replica, struct output *output)
{
    uint32_t asked = replica->questions_waiting | replica->questions_joined;
    if (asked == 0 || diverge_in_doubt(replica))
        return;
    const bool hopeless = replica->log.last.term != replica->stored.hard.term;
    const bool leased = !hopeless && read_is_leased(replica);
    /* Of a round that is under way nothing is known yet. */
    if (!hopeless && !leased)
        asked = replica->round_confirmed == replica->round ? replica->questions_joined : 0;
    for (asked &= members_others(replica); asked != 0; asked &= asked - 1) {
        const uint64_t index = hopeless ? 0 : leased ? replica->commit : replica->round_index;
        if (!question_answer(replica, output, (uint32_t)__builtin_ctz(asked), index))
            return;
        if (leased)
            output->effects[output->effect_count - 1].deadline_ns = read_lease_end_ns(replica);
    }
}

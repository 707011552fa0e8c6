/* Refusals of changes of the members: who is told that the healthy voters would be no majority behind a change (Raft
 * 4.2) must have asked for too much. No entry depends on that, so a leader that refuses too often breaks no other rule.
 *
 * Healthy is who was heard within an election timeout, is not behind, does not abstain, and has a checkpoint if the
 * leader has one. What the leader heard is seen from outside only in part, and what it lets pass as not behind is more
 * than to have everything. So a refusal is judged by those alone of whom all is certain: the leader itself, and who has
 * all of its log, has moved what the leader believes of it within that time, and has said nothing else since. If these
 * are a majority of what the change leads to, it had no reason to refuse. */
#include "check_state.h"

#include <string.h>

/* ---- who was heard ---- */

/* Only an answer in this term moves any of these, and none but the one that was fed in this step. */
static bool slot_moved(const struct replica_view *before, const struct replica_view *view, uint32_t slot)
{
    return view->match[slot] > before->match[slot] || view->round_acked[slot] > before->round_acked[slot]
           || view->promised_ns[slot] > before->promised_ns[slot];
}

/* What somebody says of itself counts against it even if it moves nothing: it may be late, and the leader believes the
 * last answer. */
static void follow_heard(const struct check *check, struct ghost_node *ghost, const struct replica_view *view)
{
    const struct replica_view *before = &ghost->view;
    struct message answer;
    if (view->role != RAFT_LEADER || before->role != RAFT_LEADER || before->term != view->term
        || !log_id_equal(before->configuration, view->configuration)) {
        ghost->heard = 0;
        return;
    }
    if (ghost->answer.count == 0 || message_decode(ghost->answer, &check->frame, &answer) != FRAME_OK)
        return;
    const uint32_t slot = configuration_slot(&check->configurations[ghost->used].value, answer.from);
    if (slot == MEMBERS_MAX)
        return;
    const uint32_t bit = 1u << slot;
    if (answer.append_response.checkpoint.index == 0)
        ghost->stateless |= bit;
    if (answer.append_response.nonce != 0)
        ghost->heard &= ~bit;
    if (answer.append_response.nonce != 0 || !slot_moved(before, view, slot))
        return;
    ghost->heard |= bit;
    ghost->heard_ns[slot] = view->now_ns;
    if (answer.append_response.checkpoint.index != 0)
        ghost->stateless &= ~bit;
}

/* ---- what was refused ---- */

static bool is_change(struct slice frame)
{
    struct request_header header;
    if (frame.count < sizeof(struct frame_header) + sizeof header)
        return false;
    memcpy(&header, frame.bytes + sizeof(struct frame_header), sizeof header);
    return header.kind == REQUEST_MEMBERS;
}

/* Was the request of this step answered so? */
static bool is_refused(const struct check *check, const struct output *output, uint64_t request_id)
{
    struct reply reply;
    for (uint32_t i = 0; i < output->effect_count; i++) {
        const struct effect *effect = &output->effects[i];
        if (effect->kind == EFFECT_REPLY
            && reply_decode(effect->bytes, check->limits.frame_bytes_max, &reply) == FRAME_OK
            && reply.request_id == request_id && reply.status == REPLY_WOULD_LOSE_QUORUM)
            return true;
    }
    return false;
}

/* Bits per slot that keeps its member. Who lost what it had is answered for from nothing on, so who has all of the log
 * was heard since. Of the log as it was: behind the refusal a marker may have followed in the same step. */
static uint32_t certainly_healthy(const struct check *check, uint32_t node, const struct replica_view *view,
                                  const struct configuration *now, const struct configuration *next)
{
    const struct ghost_node *ghost = &check->nodes[node];
    const uint64_t timeout_ns = check->setup.configs[node].election_timeout_ns;
    const bool all_stateless = ghost->stored.checkpoint.id.index == 0 && !ghost->hard_lost;
    const uint32_t well = ghost->heard & ~(all_stateless ? 0 : ghost->stateless);
    uint32_t healthy = 0;
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++) {
        const bool heard = (well >> slot & 1) != 0 && view->now_ns - ghost->heard_ns[slot] < timeout_ns
                           && view->match[slot] >= ghost->view.last.index;
        if (now->members[slot].id != 0 && now->members[slot].id == next->members[slot].id
            && (slot == view->slot || heard))
            healthy |= 1u << slot;
    }
    return healthy;
}

/* The voters that the change leads to, joint or not. */
static uint32_t voters_behind(const struct configuration *next)
{
    uint32_t voters = 0;
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++)
        voters |= (next->members[slot].roles & MEMBER_VOTER) != 0 ? 1u << slot : 0;
    return voters;
}

static void judge(struct check *check, uint32_t node, const struct replica_view *view, const struct request *request)
{
    const struct configuration *now = &check->configurations[check->nodes[node].used].value;
    struct member_operation operations[2 * MEMBERS_MAX];
    struct configuration next;
    const uint32_t count = request->value.count / (uint32_t)sizeof operations[0];
    if (count > ARRAY_COUNT(operations))
        return;
    memcpy(operations, request->value.bytes, count * sizeof operations[0]);
    if (configuration_change(now, operations, count, check->limits.members_max, &next) != CONFIGURATION_OK)
        return;
    check_count(check, CHECK_REFUSAL);
    const uint32_t voters = voters_behind(&next);
    const uint32_t healthy = voters & certainly_healthy(check, node, view, now, &next);
    if ((request->flags & REQUEST_FLAG_FORCE) != 0)
        check_fail(check, CHECK_REFUSAL, node, "refuses a change by force for want of healthy voters");
    else if (2 * bits_count(healthy) > bits_count(voters))
        check_fail(check, CHECK_REFUSAL, node,
                   "refuses a change for want of healthy voters; of %u voters behind it %u are healthy",
                   bits_count(voters), bits_count(healthy));
}

void check_change_follow(struct check *check, uint32_t node, const struct replica_view *view,
                         const struct output *output)
{
    struct ghost_node *ghost = &check->nodes[node];
    struct request request;
    enum reply_status status;
    follow_heard(check, ghost, view);
    /* A leader that has just come to its term, or to its configuration, refuses for other reasons; one that gives up in
     * this step shows nothing any more. */
    if (view->role != RAFT_LEADER || ghost->view.role != RAFT_LEADER || ghost->view.term != view->term
        || ghost->used != ghost->used_before || !is_change(ghost->asked))
        return;
    if (request_decode(ghost->asked, &check->frame, &check->limits, &request, &status) != FRAME_OK || status != REPLY_OK
        || request.kind != REQUEST_MEMBERS || !is_refused(check, output, request.request_id))
        return;
    judge(check, node, view, &request);
}

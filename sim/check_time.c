/* What a node concludes from its clock: when it campaigns, and how long nobody else does.
 *
 * A lease is compared with what voters echoed, by the clock of the leader itself; whether that is long enough for the
 * clocks of a schedule is seen where somebody is elected (CHECK_LEASE of the world). */
#include "check_state.h"

#include <string.h>

/* ---- the election timer ---- */

void check_input(struct check *check, uint32_t node, const struct input *input)
{
    struct ghost_node *ghost = &check->nodes[node];
    struct frame_header header;
    ASSERT(node < check->setup.node_count);
    const struct slice nothing = { .count = 0 };
    ghost->asked_for_vote = false;
    ghost->answer = nothing;
    ghost->asked = input->kind == INPUT_CLIENT_FRAME ? input->bytes : nothing;
    if (input->kind != INPUT_PEER_FRAME || input->bytes.count < sizeof header)
        return;
    memcpy(&header, input->bytes.bytes, sizeof header);
    ghost->asked_for_vote = header.type == FRAME_VOTE_REQUEST;
    ghost->answer = header.type == FRAME_APPEND_RESPONSE ? input->bytes : nothing;
}

/* Raft 3.4: who cannot be elected must not keep those from campaigning who can. A new term or a vote sets the timer
 * anew, and so does that it has gone off. */
static void follow_timer(struct check *check, uint32_t node, const struct replica_view *view)
{
    const struct replica_view *before = &check->nodes[node].view;
    if (!check->nodes[node].asked_for_vote || before->role == RAFT_LEADER || view->role != before->role
        || view->term != before->term || view->vote != before->vote || view->now_ns >= before->election_deadline_ns)
        return;
    check_count(check, CHECK_TIMER);
    if (view->election_deadline_ns > before->election_deadline_ns)
        check_fail(check, CHECK_TIMER, node, "waits another %llu ns before it campaigns, for a vote it did not give",
                   (unsigned long long)(view->election_deadline_ns - before->election_deadline_ns));
}

/* ---- leases (Raft 6.4.1) ---- */

/* Of an election timeout of the voters, with their clocks fast and the leader's slow. */
static uint64_t lease_length_ns(const struct replica_config *config)
{
    const uint64_t million = 1000000, drift = config->lease_drift_ppm;
    return config->election_timeout_ns / (million + drift) * (million - drift);
}

static void ledger_lease(struct check *check, uint32_t node, const struct replica_view *view)
{
    const struct ghost_node *ghost = &check->nodes[node];
    const struct ghost_term *promises = check_promise_term(check, view->term);
    const uint64_t length_ns = lease_length_ns(&check->setup.configs[node]);
    uint32_t since = 1u << node;
    const uint32_t slots = check_members_slots(check, ghost->used);
    for (uint32_t slot = 0; slot < slots; slot++) {
        const uint32_t peer = check_members_node(check, ghost->used, slot);
        if (peer == VOTERS_MAX || peer == node)
            continue;
        if (promises->promised_ns[peer] != 0 && promises->promised_ns[peer] >= view->lease_end_ns)
            since |= 1u << peer;
        if (view->promised_ns[slot] <= promises->promised_ns[peer])
            continue;
        check_fail(check, CHECK_LEDGER_LEASE, node,
                   "believes that node %llu keeps to it until %llu; the latest that it promised is %llu",
                   (unsigned long long)check->setup.configs[peer].node_id, (unsigned long long)view->promised_ns[slot],
                   (unsigned long long)promises->promised_ns[peer]);
    }
    if (view->lease_end_ns == 0)
        return;
    check_count(check, CHECK_LEDGER_LEASE);
    if (view->lease_end_ns > view->now_ns + length_ns || !check_members_quorum(check, ghost->used, since))
        check_fail(check, CHECK_LEDGER_LEASE, node,
                   "has a lease until %llu, which no majority has promised: the node slots 0x%x",
                   (unsigned long long)view->lease_end_ns, since);
}

/* The process may sleep before it sends what a lease allowed it to say: each such answer says until when it is true. */
static void follow_leased(struct check *check, uint32_t node, const struct replica_view *view,
                          const struct output *output)
{
    uint32_t leased = 0, dated = 0;
    for (uint32_t i = 0; i < u32_min(output->event_count, output->event_max); i++)
        leased += output->events[i].kind == EVENT_LEASE_READ;
    if (leased == 0)
        return;
    for (uint32_t i = 0; i < output->effect_count; i++) {
        const struct effect *effect = &output->effects[i];
        struct reply reply;
        if (effect->kind == EFFECT_REPLY && effect->deadline_ns != 0 && effect->deadline_ns <= view->lease_end_ns
            && reply_decode(effect->bytes, check->limits.frame_bytes_max, &reply) == FRAME_OK)
            dated += (reply.flags & REPLY_FLAG_BOUNDED) == 0;
    }
    check_count(check, CHECK_LEASE);
    if (dated < leased)
        check_fail(check, CHECK_LEASE, node, "answers %u reads by its lease, and %u of the answers end with it", leased,
                   dated);
}

void check_time_follow(struct check *check, uint32_t node, const struct replica_view *view, const struct output *output)
{
    follow_timer(check, node, view);
    follow_leased(check, node, view, output);
    if (view->role == RAFT_LEADER && check->setup.configs[node].lease_drift_ppm != 0)
        ledger_lease(check, node, view);
}

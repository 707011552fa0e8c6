/* Handing over the leadership (Raft 3.10, core/transfer.h): who may be told to campaign, who may say that he was, and
 * what a leader that waits for its target must not do.
 *
 * Each of these rules keeps time and disturbances down, and no entry depends on any of them: a transfer that breaks one
 * mostly works. So they are looked at where they are broken. */
#include "check_state.h"

static bool is_under_way(const struct replica_view *view)
{
    return view->transfer_target != 0 && view->role == RAFT_LEADER && view->transfer_term == view->term;
}

/* ---- what leaves ---- */

/* With the whole log the target is as up to date as anybody (3.10 step 2); and who is no voter never campaigns. */
void check_transfer_asks(struct check *check, uint32_t node, const struct message *message)
{
    const struct ghost_node *ghost = &check->nodes[node];
    const uint32_t target = check_slot(check, message->to);
    struct ghost_term *promises = check_promise_term(check, message->term);
    if (target == VOTERS_MAX || ghost->view.role != RAFT_LEADER || ghost->view.term != message->term) {
        check_fail(check, CHECK_LEDGER_TRANSFER, node, "tells %llu to campaign after term %llu, which it does not lead",
                   (unsigned long long)message->to, (unsigned long long)message->term);
        return;
    }
    check_count(check, CHECK_LEDGER_TRANSFER);
    promises->asked |= 1u << target;
    if (!check_members_votes(check, ghost->used, target))
        check_fail(check, CHECK_LEDGER_TRANSFER, node, "tells %llu to campaign, which is no voter",
                   (unsigned long long)message->to);
    const uint64_t last = ghost->memory.last;
    if (promises->acked[target].index < last
        || promises->acked_chain[target] != check_log_link(check, &ghost->memory, last).chain)
        check_fail(check, CHECK_LEDGER_TRANSFER, node,
                   "tells %llu to campaign, which reported %llu of %llu entries in term %llu",
                   (unsigned long long)message->to, (unsigned long long)promises->acked[target].index,
                   (unsigned long long)last, (unsigned long long)message->term);
}

/* A request for votes that overrides a leader who is heard: that leader wanted it, and no other one, and once. */
void check_transfer_campaign(struct check *check, uint32_t node, const struct message *message)
{
    const struct vote_request *request = &message->vote_request;
    if (!request->transfer)
        return;
    check_count(check, CHECK_LEDGER_TRANSFER);
    if (request->pre || request->term == 0 || (check_promise_term(check, request->term - 1)->asked >> node & 1) == 0)
        check_fail(check, CHECK_LEDGER_TRANSFER, node,
                   "campaigns in term %llu for a leader before it, which has not told it to",
                   (unsigned long long)request->term);
}

/* ---- while it lasts ---- */

/* 3.10 step 1: else its target never has everything. A leader that had no room to open its term may still do that. */
static void follow_appended(struct check *check, uint32_t node, const struct replica *replica,
                            const struct replica_view *view)
{
    const struct replica_view *before = &check->nodes[node].view;
    if (!is_under_way(before) || view->role != RAFT_LEADER || view->term != before->term)
        return;
    check_count(check, CHECK_TRANSFER);
    for (uint64_t index = before->last.index + 1; index <= view->last.index; index++) {
        struct entry entry;
        replica_entry(replica, index, &entry);
        if (entry.kind != ENTRY_NOOP)
            check_fail(check, CHECK_TRANSFER, node, "appends entry %llu while it hands over to %llu",
                       (unsigned long long)index, (unsigned long long)before->transfer_target);
    }
}

/* By its own clock, an election timeout, and not a step longer, but those that must be followed by another at once. */
static void follow_bound(struct check *check, uint32_t node, const struct replica_view *view,
                         const struct output *output)
{
    struct ghost_node *ghost = &check->nodes[node];
    if (view->transfer_target != ghost->view.transfer_target || view->transfer_term != ghost->view.transfer_term)
        ghost->transfer_since_ns = view->now_ns;
    const uint64_t waited_ns = view->now_ns - ghost->transfer_since_ns;
    if (waited_ns >= check->setup.configs[node].election_timeout_ns && output->deadline_ns > view->now_ns)
        check_fail(check, CHECK_TRANSFER, node, "has been handing over to %llu for %llu ns",
                   (unsigned long long)view->transfer_target, (unsigned long long)waited_ns);
}

void check_transfer_follow(struct check *check, uint32_t node, const struct replica *replica,
                           const struct replica_view *view, const struct output *output)
{
    follow_appended(check, node, replica, view);
    if (view->transfer_target == 0)
        return;
    follow_bound(check, node, view, output);
    const uint32_t target = check_slot(check, view->transfer_target);
    if (is_under_way(view) && (target == VOTERS_MAX || !check_members_votes(check, check->nodes[node].used, target)))
        check_fail(check, CHECK_TRANSFER, node, "hands over to %llu, which is no voter",
                   (unsigned long long)view->transfer_target);
}

/* How old an answer may be, as core/read.h says it.
 *
 * The ghost remembers of each node what was committed anywhere when its clock showed what: the clock that the node
 * itself goes by, with all its drift and jumps. So a bound is judged by the clock that it is measured with, and to the
 * nanosecond, and a question for a read index by what was committed when it left. */
#include "check_state.h"

void check_reads_reset(struct check *check, uint32_t node)
{
    struct ghost_node *ghost = &check->nodes[node];
    ghost->moment_count = 0;
    ghost->question = 0;
    ghost->stale_applied = 0;
}

/* What was committed at the node's first step at which its clock showed that, or later: all that it does afterwards may
 * know of it. */
static uint64_t moment_committed(const struct ghost_node *ghost, uint64_t clock_ns)
{
    uint32_t from = 0, to = ghost->moment_count;
    while (from < to) {
        const uint32_t middle = from + (to - from) / 2;
        if (ghost->moments[middle].clock_ns < clock_ns)
            from = middle + 1;
        else
            to = middle;
    }
    return from < ghost->moment_count ? ghost->moments[from].committed : UINT64_MAX;
}

/* What the node believes it knows: bounded reads are answered from that. */
static void fresh_follow(struct check *check, uint32_t node, const struct replica_view *view)
{
    const struct ghost_node *ghost = &check->nodes[node];
    if (view->fresh_index == 0
        || (view->fresh_index == ghost->view.fresh_index && view->fresh_ns == ghost->view.fresh_ns))
        return;
    const uint64_t due = moment_committed(ghost, view->fresh_ns);
    check_count(check, CHECK_READ_INDEX);
    if (view->fresh_index < due)
        check_fail(check, CHECK_READ_INDEX, node,
                   "believes that up to %llu all was committed when its clock showed %llu; %llu entries were",
                   (unsigned long long)view->fresh_index, (unsigned long long)view->fresh_ns, (unsigned long long)due);
}

void check_reads_follow(struct check *check, uint32_t node, const struct replica_view *view)
{
    struct ghost_node *ghost = &check->nodes[node];
    if (ghost->moment_count == 0 || ghost->moments[ghost->moment_count - 1].clock_ns != view->now_ns) {
        ghost->moments =
            check_grow(ghost->moments, &ghost->moment_max, ghost->moment_count + 1, sizeof *ghost->moments);
        ghost->moments[ghost->moment_count++] =
            (struct ghost_moment){ .clock_ns = view->now_ns, .committed = check->committed };
    }
    fresh_follow(check, node, view);
}

/* Sent again, it is as old as before. */
void check_reads_question(struct check *check, uint32_t node, const struct message *message)
{
    struct ghost_node *ghost = &check->nodes[node];
    const uint64_t number = message->read_index_request.number;
    if (ghost->question == number)
        return;
    ghost->question = number;
    ghost->question_committed = check->committed;
}

void check_reads_answer(struct check *check, uint32_t node, const struct message *message)
{
    const struct read_index_response *response = &message->read_index_response;
    const uint32_t asker = check_slot(check, message->to);
    if (response->index == 0 || asker == VOTERS_MAX || check->nodes[asker].question != response->number)
        return;
    check_count(check, CHECK_READ_INDEX);
    if (response->index < check->nodes[asker].question_committed || response->index > check->committed)
        check_fail(check, CHECK_READ_INDEX, node,
                   "answers node %llu with the read index %llu; %llu were committed when it asked, and %llu are",
                   (unsigned long long)message->to, (unsigned long long)response->index,
                   (unsigned long long)check->nodes[asker].question_committed, (unsigned long long)check->committed);
}

uint8_t check_reads_flags(const struct request *request)
{
    if (request->kind == REQUEST_GET_STALE)
        return REPLY_FLAG_STALE;
    return (request->flags & REQUEST_FLAG_LOCAL) != 0 && request->version != 0 ? REPLY_FLAG_BOUNDED : 0;
}

void check_read_age(struct check *check, uint32_t node, struct slice frame, uint64_t clock_ns)
{
    struct ghost_node *ghost = &check->nodes[node];
    struct reply reply;
    if (check->failure.failed || reply_decode(frame, check->limits.frame_bytes_max, &reply) != FRAME_OK)
        return;
    const uint64_t call = (reply.request_id >> 20) - 1;
    if ((reply.flags & REPLY_FLAG_STALE) != 0) {
        check_count(check, CHECK_READ_AGE);
        if (reply.applied < ghost->stale_applied || reply.applied > ghost->view.applied)
            check_fail(check, CHECK_READ_AGE, node, "shows entry %llu; it has applied %llu, and shown %llu before",
                       (unsigned long long)reply.applied, (unsigned long long)ghost->view.applied,
                       (unsigned long long)ghost->stale_applied);
        ghost->stale_applied = reply.applied;
    }
    if ((reply.flags & REPLY_FLAG_BOUNDED) == 0 || call >= check->call_count)
        return;
    check_count(check, CHECK_READ_AGE);
    const struct ghost_call *record = &check->calls[call];
    const uint64_t bound_ns = record->request.version;
    const uint64_t since_ns = clock_ns > bound_ns ? clock_ns - bound_ns : 0;
    const uint64_t due = moment_committed(ghost, since_ns);
    if (ghost->view.fresh_index == 0 || ghost->view.fresh_ns < since_ns)
        check_fail(check, CHECK_READ_AGE, node,
                   "answers call %llu, at most %llu ns old, from what it knew %llu ns before", (unsigned long long)call,
                   (unsigned long long)bound_ns, (unsigned long long)(clock_ns - ghost->view.fresh_ns));
    /* A call that is younger than the bound may be told what was committed when it began. */
    else if (reply.applied < due && reply.applied < record->committed)
        check_fail(check, CHECK_READ_AGE, node,
                   "shows entry %llu to call %llu, at most %llu ns old; %llu were committed then",
                   (unsigned long long)reply.applied, (unsigned long long)call, (unsigned long long)bound_ns,
                   (unsigned long long)u64_min(due, record->committed));
}

/* The state machine: committed entries in order, each once (Raft 3.5, 6.3). */
#include "page.h"
#include "raft.h"

/* Of values, changed in one step; one command may go beyond it by itself. */
enum { APPLY_BYTES_MAX = 1024 * 1024 };

uint64_t apply_digest(const struct replica *replica)
{
    if (!store_is_ready(replica))
        return 0;
    return page_root_const(replica)->digest + page_root_const(replica)->session_digest;
}

/* Executes a write in its session, or finds that it was executed before. */
static struct reply apply_write(struct replica *replica, struct output *output, const struct request *request,
                                uint64_t index)
{
    struct reply reply = { .applied = index };
    const struct session *session = session_find(replica, request->session);
    if (session == NULL) {
        reply.status = REPLY_SESSION_EXPIRED;
        return reply;
    }
    if (request->sequence < session->sequence) {
        reply.status = REPLY_STALE_SEQUENCE;
        return reply;
    }
    /* Raft 6.3: a repetition is answered with what the first execution answered. */
    if (request->sequence == session->sequence) {
        reply.status = (enum reply_status)session->status;
        reply.version = session->version;
        reply.applied = session->used_index;
        return reply;
    }
    const struct kv_result result = kv_execute(replica, request, index);
    session_executed(replica, request->session, request->sequence, index, result);
    output_event(output, EVENT_EXECUTED, index, result.status);
    reply.status = result.status;
    reply.version = result.version;
    return reply;
}

static struct reply apply_command(struct replica *replica, struct output *output, const struct entry *entry)
{
    struct request request;
    if (!command_decode(entry->body, &replica->limits, &request))
        return (struct reply){ .status = REPLY_BAD_REQUEST, .applied = entry->id.index };
    if (request.kind != REQUEST_REGISTER)
        return apply_write(replica, output, &request, entry->id.index);
    const uint64_t evicted = session_register(replica, entry->id.index);
    if (evicted != 0)
        output_event(output, EVENT_SESSION_EVICTED, evicted, 0);
    return (struct reply){ .status = REPLY_OK, .session = entry->id.index, .applied = entry->id.index };
}

/* May the entry be applied now? What holds it up ends with the completion of a write or a read, so there is no need to
 * ask for another step. */
static bool apply_may(const struct replica *replica, const struct entry *entry)
{
    switch (entry->kind) {
    case ENTRY_NOOP: return true;
    case ENTRY_COMMAND:
    case ENTRY_CONFIG: return checkpoint_has_room(replica) && store_prefetch(replica, entry);
    case ENTRY_CHECKPOINT: return checkpoint_is_idle(replica);
    }
    UNREACHABLE();
}

void apply_committed(struct replica *replica, struct output *output)
{
    /* First, so that the oldest proposal that waits is one of this leadership. */
    if (!client_fail_pending(replica, output) || !store_is_ready(replica))
        return;
    replica->apply_bytes = 0;
    for (uint32_t done = 0; replica->applied < u64_min(replica->commit, log_intact(replica)); done++) {
        if (done == replica->limits.apply_per_step_max || replica->apply_bytes > APPLY_BYTES_MAX
            || !output_room(output, 1, CLIENT_REPLY_SMALL_BYTES)) {
            replica->wants_tick = true;
            return;
        }
        struct entry entry;
        struct reply outcome = { .status = REPLY_OK };
        log_entry(replica, replica->applied + 1, &entry);
        if (!apply_may(replica, &entry))
            return;
        if (entry.kind == ENTRY_CHECKPOINT)
            checkpoint_freeze(replica, output, entry.id);
        if (entry.kind == ENTRY_COMMAND)
            outcome = apply_command(replica, output, &entry);
        if (entry.kind == ENTRY_CONFIG)
            members_applied(replica, output, &entry);
        replica->applied = entry.id.index;
        output_event(output, EVENT_APPLY, entry.id.index, apply_digest(replica));
        client_applied(replica, output, entry.id, &outcome);
    }
}

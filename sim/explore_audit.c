/* Rules that one node can break alone: what it says is on its disk, and its states follow each other as they may. */
#include <stdarg.h>
#include <stdio.h>

#include "explore_life.h"

void node_fail(struct node_machine *machine, const char *fault, const char *format, ...)
{
    va_list arguments;
    if (machine->outcome->fault != NULL)
        return;
    machine->outcome->fault = fault;
    machine->outcome->fault_format = format;
    va_start(arguments, format);
    vsnprintf(machine->outcome->fault_text, sizeof machine->outcome->fault_text, format, arguments);
    va_end(arguments);
}

/* ---- what it says ---- */

static void audit_match(struct node_machine *machine, const struct replica *replica, const struct node_view *durable,
                        uint64_t match)
{
    struct entry entry;
    if (match > durable->last) {
        node_fail(machine, "promise_append", "acknowledges entry %u, its disk holds %u", (unsigned)match,
                  durable->last);
        return;
    }
    if (match <= durable->base || match <= replica->log.base.index || match > replica->log.last.index)
        return;
    replica_entry(replica, match, &entry);
    if (entry_hash(&entry) != durable->entry[match])
        node_fail(machine, "promise_append", "acknowledges entry %u, its disk holds another one there",
                  (unsigned)match);
}

/* Audit of what is said: the disk must back it now, with nothing of what is in flight. */
void audit_frame(struct node_machine *machine, const struct life *life, const struct effect *effect)
{
    struct message message;
    struct node_promise *promise = &machine->outcome->state.promise;
    const struct replica *replica = (const struct replica *)(const void *)life->region;
    if (message_decode(effect->bytes, &replica->frame, &message) != FRAME_OK) {
        node_fail(machine, "frame", "it sends a frame that nobody can read");
        return;
    }
    if (message.type == FRAME_REFUSAL)
        return;
    const struct node_view *durable = node_durable(machine, machine->node, machine->disk_root);
    promise->term = u64_max(promise->term, message.term);
    if (message.term > durable->term)
        node_fail(machine, "promise_term", "speaks in term %u, its disk knows term %u", (unsigned)message.term,
                  (unsigned)durable->term);
    if (message.type == FRAME_VOTE_RESPONSE && message.vote_response.granted && !message.vote_response.pre) {
        promise->vote_term = message.vote_response.term;
        promise->vote = message.to;
        if (durable->term == promise->vote_term && durable->vote != message.to)
            node_fail(machine, "promise_vote", "votes for n%u in term %u, which its disk does not know",
                      (unsigned)message.to - 1, (unsigned)promise->vote_term);
    }
    if (message.type == FRAME_APPEND_RESPONSE && message.append_response.rejected == 0)
        audit_match(machine, replica, durable, message.append_response.match);
}

/* ---- what it becomes ---- */

void audit_life(struct node_machine *machine, const struct node_view *before, const struct node_view *after)
{
    if (after->term < before->term || after->commit < before->commit || after->applied < before->applied)
        node_fail(machine, "monotone", "term, commit or applied index went back: %u/%u/%u, was %u/%u/%u",
                  (unsigned)after->term, after->commit, after->applied, (unsigned)before->term, before->commit,
                  before->applied);
    if (after->term == before->term && before->vote != 0 && after->vote != before->vote)
        node_fail(machine, "monotone", "the vote of term %u changed", (unsigned)after->term);
    if (before->role != RAFT_LEADER || after->role != RAFT_LEADER || after->term != before->term)
        return;
    for (uint32_t index = u32_max(before->base, after->base) + 1; index <= before->last; index++) {
        if (after->entry[index] != before->entry[index])
            node_fail(machine, "leader_append_only", "a leader changed its entry %u", index);
    }
}

void audit_start(struct node_machine *machine, const struct node_view *after)
{
    const struct node_promise *promise = &machine->outcome->state.promise;
    if (after->role == RAFT_STARTING)
        return;
    if (after->term < promise->term)
        node_fail(machine, "recovery", "starts in term %u, it has spoken in term %u", (unsigned)after->term,
                  (unsigned)promise->term);
    if (after->term == promise->vote_term && promise->vote != 0 && after->vote != promise->vote)
        node_fail(machine, "recovery", "has forgotten its vote for n%u in term %u", (unsigned)promise->vote - 1,
                  (unsigned)promise->vote_term);
}

void audit_rest(struct node_machine *machine)
{
    const char *broken = replica_invariant((const struct replica *)(const void *)machine->life.region);
    if (machine->life.stop != 0 && machine->life.stop != STOP_REMOVED)
        node_fail(machine, "stop", "stopped without any fault: %s", stop_reason_text(machine->life.stop));
    else if (broken != NULL)
        node_fail(machine, "limits", "%s", broken);
}

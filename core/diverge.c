/* Divergence: replicas whose states differ although their logs do not, by a bug or by memory that lies (storage design
 * 4.2). Every replica makes checkpoints at the same indices; their hashes travel with append requests and responses.
 *
 * Whenever a leader learns of two checkpoints at one index that differ, it says so.
 *
 * A leader believes the hash that a majority of the voters has at the index of its own checkpoint, and says so. Whoever
 * has another one there, the leader included, trusts its state no longer: nothing is applied or served until install.c
 * has replaced what differs.
 *
 * Where voters have different checkpoints at one index and no majority has either, the leader is in doubt, and so is
 * whoever it tells that has a checkpoint there. Who is in doubt goes on with the log, since that is how the voters who
 * have not answered come to that index, and serves nobody: no request, no read, no read index; whoever waits for a
 * write learns that its outcome is unknown. Nor does it give its checkpoint to others: a copy of it would be no witness
 * for it, and be counted as one. A leader in doubt steps down after two election timeouts, so that another one may try,
 * who may hear from more of them. The doubt stays until a majority has what this node has, or has something else; a new
 * term alone does not end it. A restart does: where no voter is left that could decide, an operator takes away the
 * directory that is to go, and restarts the others. When all voters have answered and no majority agrees, nobody can
 * say who is right, and the leader stops; the others are left in doubt. */
#include "raft.h"

#include "output.h"

struct checkpoint_mark diverge_mark(const struct replica *replica)
{
    const struct stored *durable = &replica->superblock.durable;
    struct checkpoint_mark mark = { .index = 0 };
    if ((durable->flags & STORED_PARTIAL) == 0 && store_is_ready(replica)) {
        mark.index = durable->checkpoint.id.index;
        mark.hash = durable->checkpoint.hash;
    }
    return mark;
}

static bool mark_equal(const struct checkpoint_mark *a, const struct checkpoint_mark *b)
{
    return a->index == b->index && hash128_equal(a->hash, b->hash);
}

bool diverge_in_doubt(const struct replica *replica) { return replica->diverge.doubt_index != 0; }

static void doubt_begin(struct replica *replica, struct output *output, uint64_t index)
{
    if (replica->diverge.doubt_index >= index)
        return;
    replica->diverge.doubt_index = index;
    output_event(output, EVENT_DOUBT, index, 1);
}

static void doubt_end(struct replica *replica, struct output *output)
{
    if (replica->diverge.doubt_index == 0)
        return;
    output_event(output, EVENT_DOUBT, replica->diverge.doubt_index, 0);
    replica->diverge.doubt_index = 0;
    replica->diverge.led_ns = 0;
}

static void diverge_distrust(struct replica *replica, struct output *output, uint64_t index)
{
    output_event(output, EVENT_DIVERGED, index, replica->applied);
    doubt_end(replica, output);
    replica->store.state = STORE_DAMAGED;
    replica->install.distrusted = true;
    install_want(replica, output, index, replica->stored.checkpoint.id);
}

/* Has a quorum this mark, by what they said last? */
static bool mark_agreed(const struct replica *replica, const struct checkpoint_mark *mark)
{
    const struct checkpoint_mark own = diverge_mark(replica);
    uint32_t holders = 0;
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++)
        if (mark_equal(slot == replica->self ? &own : &replica->peers[slot].checkpoint, mark))
            holders |= 1u << slot;
    return quorum_has(members_now(replica), holders);
}

/* A mark without a hash: there voters differ, and no majority has anything. */
struct checkpoint_mark diverge_agreed(const struct replica *replica)
{
    const struct checkpoint_mark own = diverge_mark(replica);
    if (own.index != 0 && mark_agreed(replica, &own))
        return own;
    return (struct checkpoint_mark){ .index = replica->diverge.doubt_index };
}

/* Is this the checkpoint of another state? */
static bool mark_differs(const struct checkpoint_mark *a, const struct checkpoint_mark *b)
{
    return a->index != 0 && a->index == b->index && !hash128_equal(a->hash, b->hash);
}

/* Says of each peer once an index that it differs from somebody. Do two voters differ where this one has not come to
 * yet? */
static bool differences_report(struct replica *replica, struct output *output, uint32_t slot,
                               const struct checkpoint_mark *own)
{
    struct diverge *diverge = &replica->diverge;
    const uint32_t voters = members_other_voters(replica);
    const struct checkpoint_mark *mark = &replica->peers[slot].checkpoint;
    uint32_t from = mark_differs(mark, own) ? 1u << replica->self : 0;
    for (uint32_t other = 0; other < MEMBERS_MAX; other++)
        if (other != replica->self && mark_differs(mark, &replica->peers[other].checkpoint))
            from |= 1u << other;
    if (from != 0 && diverge->reported[slot] != mark->index) {
        diverge->reported[slot] = mark->index;
        diverge->differences++;
        output_event(output, EVENT_DIFFERS, members_id(replica, slot), mark->index);
    }
    return mark->index > own->index && (voters & from) != 0 && (voters & (1u << slot)) != 0;
}

/* Has a quorum another checkpoint at the index of the own one? */
static bool own_is_outvoted(const struct replica *replica, const struct checkpoint_mark *own)
{
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++)
        if (slot != replica->self && mark_differs(&replica->peers[slot].checkpoint, own)
            && mark_agreed(replica, &replica->peers[slot].checkpoint))
            return true;
    return false;
}

static bool all_have_answered(const struct replica *replica, uint64_t index)
{
    const uint32_t voters = members_other_voters(replica);
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++)
        if ((voters & (1u << slot)) != 0 && replica->peers[slot].checkpoint.index != index)
            return false;
    return true;
}

void diverge_response(struct replica *replica, struct output *output, uint32_t slot, struct checkpoint_mark mark)
{
    const struct checkpoint_mark own = diverge_mark(replica);
    ASSERT(replica->role == RAFT_LEADER && slot != replica->self);
    const bool news = !mark_equal(&mark, &replica->peers[slot].checkpoint);
    replica->peers[slot].checkpoint = mark;
    if ((news || mark_differs(&mark, &own)) && differences_report(replica, output, slot, &own))
        doubt_begin(replica, output, mark.index);
    if (!mark_differs(&mark, &own) || mark_agreed(replica, &own))
        return;
    if (own_is_outvoted(replica, &own)) {
        diverge_distrust(replica, output, own.index);
        election_become_follower(replica, output, replica->stored.hard.term, 0);
        return;
    }
    if ((members_other_voters(replica) & (1u << slot)) == 0)
        return;
    doubt_begin(replica, output, own.index);
    if (all_have_answered(replica, own.index))
        replica_stop(replica, output, STOP_DIVERGED, own.index);
}

void diverge_request(struct replica *replica, struct output *output, struct checkpoint_mark agreed)
{
    const struct checkpoint_mark own = diverge_mark(replica);
    if (own.index == 0 || agreed.index != own.index)
        return;
    if (hash128_is_zero(agreed.hash))
        doubt_begin(replica, output, own.index);
    else if (mark_differs(&agreed, &own))
        diverge_distrust(replica, output, own.index);
    else if (own.index >= replica->diverge.doubt_index)
        doubt_end(replica, output);
}

/* Where somebody is past the index of the other ones, by a checkpoint of its own (checkpoint_relieve()), only the next
 * marker brings them to one index again. */
static void doubt_ask_marker(struct replica *replica, const struct checkpoint_mark *own)
{
    const uint64_t last = replica->checkpoint.next.id.index;
    const uint32_t voters = members_other_voters(replica);
    bool past = own->index > replica->diverge.doubt_index;
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++)
        past = past || ((voters & (1u << slot)) != 0 && replica->peers[slot].checkpoint.index > own->index);
    if (past && checkpoint_is_idle(replica) && replica->marker_index <= last && replica->log.last.index > last)
        replica->marker_asked = true;
}

void diverge_flush(struct replica *replica, struct output *output)
{
    struct diverge *diverge = &replica->diverge;
    if (!diverge_in_doubt(replica) || replica->role != RAFT_LEADER) {
        diverge->led_ns = 0;
        return;
    }
    const struct checkpoint_mark own = diverge_mark(replica);
    if (own.index >= diverge->doubt_index && mark_agreed(replica, &own)) {
        doubt_end(replica, output);
        return;
    }
    doubt_ask_marker(replica, &own);
    if (diverge->led_ns == 0)
        diverge->led_ns = u64_max(replica->now_ns, 1);
    if (replica->now_ns - diverge->led_ns <= 2 * replica->config.election_timeout_ns)
        return;
    output_event(output, EVENT_LED_IN_VAIN, diverge->doubt_index, 0);
    election_become_follower(replica, output, replica->stored.hard.term, 0);
}

/* Divergence: replicas whose states differ although their logs do not, by a bug or by memory that lies (storage design
 * 4.2). Every replica makes checkpoints at the same indices; their hashes travel with append requests and responses.
 *
 * A leader believes the hash that a majority of the voters has at the index of its own checkpoint, and says so. Whoever
 * has another one there, the leader included, trusts its state no longer: nothing is applied or served until install.c
 * has replaced what differs. When all voters have answered and no majority agrees, nobody can say who is right, and the
 * leader stops. */
#include "raft.h"

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

static void diverge_distrust(struct replica *replica, struct output *output, uint64_t index)
{
    output_event(output, EVENT_DIVERGED, index, replica->applied);
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

struct checkpoint_mark diverge_agreed(const struct replica *replica)
{
    const struct checkpoint_mark own = diverge_mark(replica);
    if (own.index != 0 && mark_agreed(replica, &own))
        return own;
    return (struct checkpoint_mark){ .index = 0 };
}

void diverge_response(struct replica *replica, struct output *output, uint32_t slot, struct checkpoint_mark mark)
{
    const struct checkpoint_mark own = diverge_mark(replica);
    ASSERT(replica->role == RAFT_LEADER && slot != replica->self);
    replica->peers[slot].checkpoint = mark;
    if (own.index == 0 || mark.index != own.index || hash128_equal(mark.hash, own.hash))
        return;
    if (mark_agreed(replica, &mark)) {
        diverge_distrust(replica, output, own.index);
        election_become_follower(replica, output, replica->stored.hard.term, 0);
        return;
    }
    if (mark_agreed(replica, &own))
        return;
    const uint32_t voters = members_other_voters(replica);
    for (uint32_t other = 0; other < MEMBERS_MAX; other++)
        if ((voters & (1u << other)) != 0 && replica->peers[other].checkpoint.index != own.index)
            return;
    replica_stop(replica, output, STOP_DIVERGED, own.index);
}

void diverge_request(struct replica *replica, struct output *output, struct checkpoint_mark agreed)
{
    const struct checkpoint_mark own = diverge_mark(replica);
    if (own.index != 0 && agreed.index == own.index && !hash128_equal(agreed.hash, own.hash))
        diverge_distrust(replica, output, own.index);
}

/* The queue of reads, rounds and leases; see read.h. */
#include "read.h"

#include "raft.h"

struct read *read_at(struct replica *replica, uint32_t position)
{
    const uint32_t slot = (replica->reads_first + position) & (replica->limits.pending_reads_max - 1);
    uint8_t *area = region_at(replica, replica->areas.reads);
    return (struct read *)(void *)(area + slot * replica->areas.read_bytes);
}

static void read_pop(struct replica *replica)
{
    ASSERT(replica->reads_count > 0);
    memset(read_at(replica, 0), 0, replica->areas.read_bytes);
    replica->reads_first = (replica->reads_first + 1) & (replica->limits.pending_reads_max - 1);
    replica->reads_count--;
    if (replica->reads_assigned > 0)
        replica->reads_assigned--;
}

/* ---- arrival ---- */

/* Is there a leader to ask, be it this node? Who is no member would wait in vain for what it is told to apply. */
static bool read_can_ask(const struct replica *replica)
{
    if (replica->role == RAFT_LEADER)
        return true;
    return replica->role == RAFT_FOLLOWER && replica->leader != 0 && replica->self < MEMBERS_MAX;
}

bool read_era_is_over(const struct replica *replica)
{
    const bool leading = replica->role == RAFT_LEADER;
    return replica->reads_term != replica->stored.hard.term || replica->reads_leading != leading
           || !read_can_ask(replica);
}

static uint64_t fresh_end_ns(const struct replica *replica, uint64_t bound_ns)
{
    const uint64_t asked_ns = replica->fresh.asked_ns;
    return bound_ns < UINT64_MAX - asked_ns ? asked_ns + bound_ns : UINT64_MAX;
}

/* May a read with this bound be answered from what is known already? */
static bool fresh_is_enough(const struct replica *replica, uint64_t bound_ns)
{
    const struct read_fresh *fresh = &replica->fresh;
    return bound_ns != 0 && fresh->index != 0 && fresh->index <= replica->applied
           && replica->now_ns < fresh_end_ns(replica, bound_ns);
}

static void read_answer_bounded(struct replica *replica, struct output *output, const struct read *read,
                                struct slice key)
{
    output_event(output, EVENT_BOUNDED_READ, replica->applied, replica->now_ns - replica->fresh.asked_ns);
    client_read(replica, output, read->client, read->request_id, key, REPLY_FLAG_BOUNDED);
    output->effects[output->effect_count - 1].deadline_ns = fresh_end_ns(replica, read->bound_ns);
}

static enum reply_status read_refusal(const struct replica *replica)
{
    if (!read_can_ask(replica))
        return REPLY_NO_LEADER;
    /* Without room for its no-op this leader does not commit in its term, and so does not know what is committed. */
    const bool hopeless = replica->role == RAFT_LEADER && replica->log.last.term != replica->stored.hard.term;
    const bool mixed = replica->reads_count > 0 && read_era_is_over(replica);
    return hopeless || mixed || replica->reads_count == replica->limits.pending_reads_max ? REPLY_BUSY : REPLY_OK;
}

void read_request(struct replica *replica, struct output *output, uint64_t client, const struct request *request)
{
    const bool local = (request->flags & REQUEST_FLAG_LOCAL) != 0;
    ASSERT(store_is_ready(replica));
    ASSERT(local || replica->role == RAFT_LEADER);
    const struct read wanted = {
        .client = client,
        .request_id = request->request_id,
        .bound_ns = request->version,
        .key_bytes = request->key.count,
        .local = local,
    };
    if (fresh_is_enough(replica, wanted.bound_ns)) {
        read_answer_bounded(replica, output, &wanted, request->key);
        return;
    }
    const struct reply refusal = {
        .request_id = request->request_id,
        .status = read_refusal(replica),
        .leader = replica->leader,
    };
    if (refusal.status != REPLY_OK) {
        client_reply(replica, output, client, &refusal);
        return;
    }
    replica->reads_term = replica->stored.hard.term;
    replica->reads_leading = replica->role == RAFT_LEADER;
    struct read *read = read_at(replica, replica->reads_count);
    *read = wanted;
    memcpy(read + 1, request->key.bytes, request->key.count);
    replica->reads_count++;
}

/* ---- leases ---- */

bool read_commit_is_current(const struct replica *replica)
{
    return log_term(replica, replica->commit) == replica->stored.hard.term;
}

uint64_t read_promise_ns(const struct replica *replica)
{
    const uint64_t million = 1000000, drift = replica->config.lease_drift_ppm;
    /* The voter's clock may be fast by that much, and the leader's slow. */
    return drift != 0 ? replica->config.election_timeout_ns / (million + drift) * (million - drift) : 0;
}

uint64_t read_lease_end_ns(const struct replica *replica)
{
    uint64_t promised[MEMBERS_MAX];
    const bool overridden = replica->transfer.asked_term == replica->stored.hard.term;
    if (replica->config.lease_drift_ppm == 0 || replica->role != RAFT_LEADER || overridden)
        return 0;
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++)
        promised[slot] =
            slot == replica->self ? replica->now_ns + read_promise_ns(replica) : replica->peers[slot].promised_ns;
    return quorum_reached(members_now(replica), promised);
}

bool read_is_leased(const struct replica *replica)
{
    return read_lease_end_ns(replica) > replica->now_ns && read_commit_is_current(replica);
}

/* ---- rounds ---- */

void read_begin_round(struct replica *replica, struct output *output)
{
    if (replica->role != RAFT_LEADER) {
        read_ask(replica, output);
        return;
    }
    /* First, or questions would join round after round while reads keep coming. */
    read_index_answer(replica, output);
    const bool reads = replica->reads_assigned < replica->reads_count && !read_era_is_over(replica);
    if ((!reads && replica->questions_waiting == 0) || read_is_leased(replica))
        return;
    if (replica->round_confirmed < replica->round || !read_commit_is_current(replica))
        return;
    replica->round++;
    replica->round_index = replica->commit;
    replica->round_ns = replica->now_ns;
    output_event(output, EVENT_READ_ROUND, replica->round, replica->commit);
    for (uint32_t i = replica->reads_assigned; reads && i < replica->reads_count; i++) {
        struct read *read = read_at(replica, i);
        read->round = replica->round;
        read->index = replica->commit;
    }
    if (reads)
        replica->reads_assigned = replica->reads_count;
    replica->questions_joined |= replica->questions_waiting;
    replica->questions_waiting = 0;
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++)
        replica->peers[slot].heartbeat_due = true;
    read_acked(replica); /* a single voter is its own majority */
}

void read_acked(struct replica *replica)
{
    uint64_t acked[MEMBERS_MAX];
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++)
        acked[slot] = slot == replica->self ? replica->round : replica->peers[slot].round_acked;
    const uint64_t reached = quorum_reached(members_now(replica), acked);
    if (reached <= replica->round_confirmed)
        return;
    replica->round_confirmed = reached;
    if (reached == replica->round)
        replica->fresh = (struct read_fresh){ .asked_ns = replica->round_ns, .index = replica->round_index };
}

/* ---- answers ---- */

/* All that wait: what is applied is all that is committed, and nobody else commits anything yet. */
static void read_serve_leased(struct replica *replica, struct output *output)
{
    const uint64_t end_ns = read_lease_end_ns(replica);
    ASSERT(end_ns > replica->now_ns && replica->applied == replica->commit);
    while (replica->reads_count > 0) {
        const struct read *read = read_at(replica, 0);
        if (!output_room(output, 1, replica->limits.frame_bytes_max)) {
            replica->wants_tick = true;
            return;
        }
        output_event(output, EVENT_LEASE_READ, replica->applied, end_ns - replica->now_ns);
        client_read(replica, output, read->client, read->request_id,
                    (struct slice){ .bytes = (const uint8_t *)(read + 1), .count = read->key_bytes }, 0);
        output->effects[output->effect_count - 1].deadline_ns = end_ns;
        read_pop(replica);
    }
}

/* Has a majority confirmed, after it arrived, that its index holds all that was committed then, and is that applied? */
static bool read_is_confirmed(const struct replica *replica, const struct read *read)
{
    if (replica->reads_assigned == 0 || read->index > replica->applied)
        return false;
    return replica->role == RAFT_LEADER ? read->round <= replica->round_confirmed : read->index != 0;
}

void read_serve(struct replica *replica, struct output *output)
{
    if (replica->role == RAFT_LEADER)
        read_index_answer(replica, output);
    if (replica->reads_count == 0 || read_era_is_over(replica) || !store_is_ready(replica) || diverge_in_doubt(replica))
        return;
    const bool leading = replica->role == RAFT_LEADER;
    if (leading && replica->applied == replica->commit && read_is_leased(replica)) {
        read_serve_leased(replica, output);
        return;
    }
    while (replica->reads_count > 0) {
        const struct read *read = read_at(replica, 0);
        const struct slice key = { .bytes = (const uint8_t *)(read + 1), .count = read->key_bytes };
        const bool confirmed = read_is_confirmed(replica, read);
        if (!confirmed && !fresh_is_enough(replica, read->bound_ns))
            return;
        if (!output_room(output, 1, replica->limits.frame_bytes_max)) {
            replica->wants_tick = true;
            return;
        }
        if (confirmed) {
            output_event(output, leading ? EVENT_READ_SERVED : EVENT_FOLLOWER_READ, read->index, replica->applied);
            client_read(replica, output, read->client, read->request_id, key, 0);
        } else {
            read_answer_bounded(replica, output, read, key);
        }
        read_pop(replica);
    }
}

void read_refuse_first(struct replica *replica, struct output *output, enum reply_status status)
{
    const struct read *read = read_at(replica, 0);
    const struct reply refusal = { .request_id = read->request_id, .status = status, .leader = replica->leader };
    const struct reply redirect = client_redirect(replica, read->request_id);
    client_reply(replica, output, read->client, status == REPLY_NOT_LEADER ? &redirect : &refusal);
    read_pop(replica);
}

void read_fail_all(struct replica *replica, struct output *output)
{
    while (replica->reads_count > 0 && read_era_is_over(replica)) {
        if (!output_room(output, 1, CLIENT_REPLY_SMALL_BYTES)) {
            replica->wants_tick = true;
            return;
        }
        read_refuse_first(replica, output, read_at(replica, 0)->local != 0 ? REPLY_NO_LEADER : REPLY_NOT_LEADER);
    }
    if (replica->reads_count == 0)
        replica->question.open = false;
}

/* Linearizable reads without the log (Raft 6.4): ReadIndex.
 *
 * A read waits in a queue. When no round is under way, all reads that wait get the next round: its read index is the
 * commit index at that moment, and its number travels in the next append requests. A majority that echoes the number
 * (in this term) has, after the reads arrived, still known this node as its leader. The reads are answered when the
 * state machine has applied the read index.
 *
 * Invariants:
 *   no round begins before an entry of the own term is committed: until then the commit index may lag (Raft 6.4 step 1)
 *   a read's round begins after the read arrived, so an old acknowledgement never counts for it
 *   rounds are numbered within one leadership, and an echo counts only in its term: (term, round) is unique
 *
 * Leases (Raft 6.4.1), with config.lease_drift_ppm: append requests carry the leader's clock, and responses echo it.
 * Who echoed s has heard this leader at s or later, and for an election timeout of its own clock from then on neither
 * campaigns nor votes, so if a majority has, nobody else is elected before s + an election timeout, less what the two
 * clocks may differ: until then what is committed here is all there is, and a read is answered at once. The answer
 * carries that end as its deadline. There is no lease
 *   in a term in which a voter was told to campaign: its requests override what the voters promised (transfer.h)
 *   before an entry of the own term is committed, as for a round
 * and voters keep the promise over a restart by waiting an election timeout (grace_end_ns), over a higher term that
 * they hear of by looking at the time alone (election_leader_is_alive()). */
#include "raft.h"

static struct read *read_at(struct replica *replica, uint32_t position)
{
    const uint32_t slot = (replica->reads_first + position) & (replica->limits.pending_reads_max - 1);
    uint8_t *area = region_at(replica, replica->areas.reads);
    return (struct read *)(void *)(area + slot * replica->areas.read_bytes);
}

void read_request(struct replica *replica, struct output *output, uint64_t client, const struct request *request)
{
    ASSERT(replica->role == RAFT_LEADER);
    /* Without room for its no-op this leader does not commit in its term, and so does not know what is committed. */
    const bool hopeless = replica->log.last.term != replica->stored.hard.term;
    if (hopeless || replica->reads_count == replica->limits.pending_reads_max) {
        const struct reply refusal = {
            .request_id = request->request_id,
            .status = REPLY_BUSY,
        };
        client_reply(replica, output, client, &refusal);
        return;
    }
    struct read *read = read_at(replica, replica->reads_count);
    *read = (struct read){ .client = client, .request_id = request->request_id, .key_bytes = request->key.count };
    memcpy(read + 1, request->key.bytes, request->key.count);
    replica->reads_count++;
}

static bool read_commit_is_current(const struct replica *replica)
{
    return log_term(replica, replica->commit) == replica->stored.hard.term;
}

uint64_t read_lease_end_ns(const struct replica *replica)
{
    const uint64_t million = 1000000, drift = replica->config.lease_drift_ppm;
    uint64_t heard[MEMBERS_MAX];
    if (drift == 0 || replica->role != RAFT_LEADER || replica->transfer.asked_term == replica->stored.hard.term)
        return 0;
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++)
        heard[slot] = slot == replica->self ? replica->now_ns : replica->peers[slot].lease_ns;
    const uint64_t since_ns = quorum_reached(members_now(replica), heard);
    /* The voter's clock may be fast by that much, and this one slow. */
    const uint64_t length_ns = replica->config.election_timeout_ns / (million + drift) * (million - drift);
    return since_ns != 0 ? since_ns + length_ns : 0;
}

static bool read_is_leased(const struct replica *replica)
{
    return read_lease_end_ns(replica) > replica->now_ns && read_commit_is_current(replica);
}

void read_begin_round(struct replica *replica, struct output *output)
{
    if (replica->role != RAFT_LEADER || replica->reads_assigned == replica->reads_count || read_is_leased(replica))
        return;
    if (replica->round_confirmed < replica->round || !read_commit_is_current(replica))
        return;
    replica->round++;
    output_event(output, EVENT_READ_ROUND, replica->round, replica->commit);
    for (uint32_t i = replica->reads_assigned; i < replica->reads_count; i++) {
        struct read *read = read_at(replica, i);
        read->round = replica->round;
        read->index = replica->commit;
    }
    replica->reads_assigned = replica->reads_count;
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++)
        replica->peers[slot].heartbeat_due = true;
    read_acked(replica); /* a single voter is its own majority */
}

void read_acked(struct replica *replica)
{
    uint64_t acked[MEMBERS_MAX];
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++)
        acked[slot] = slot == replica->self ? replica->round : replica->peers[slot].round_acked;
    replica->round_confirmed = u64_max(replica->round_confirmed, quorum_reached(members_now(replica), acked));
}

static void read_pop(struct replica *replica)
{
    memset(read_at(replica, 0), 0, replica->areas.read_bytes);
    replica->reads_first = (replica->reads_first + 1) & (replica->limits.pending_reads_max - 1);
    replica->reads_count--;
    if (replica->reads_assigned > 0)
        replica->reads_assigned--;
}

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

void read_serve(struct replica *replica, struct output *output)
{
    if (replica->role != RAFT_LEADER || !store_is_ready(replica))
        return;
    if (replica->applied == replica->commit && read_is_leased(replica)) {
        read_serve_leased(replica, output);
        return;
    }
    while (replica->reads_assigned > 0) {
        const struct read *read = read_at(replica, 0);
        if (read->round > replica->round_confirmed || read->index > replica->applied)
            return;
        if (!output_room(output, 1, replica->limits.frame_bytes_max)) {
            replica->wants_tick = true;
            return;
        }
        output_event(output, EVENT_READ_SERVED, read->index, replica->applied);
        client_read(replica, output, read->client, read->request_id,
                    (struct slice){ .bytes = (const uint8_t *)(read + 1), .count = read->key_bytes }, 0);
        read_pop(replica);
    }
}

void read_fail_all(struct replica *replica, struct output *output)
{
    while (replica->role != RAFT_LEADER && replica->reads_count > 0) {
        if (!output_room(output, 1, CLIENT_REPLY_SMALL_BYTES)) {
            replica->wants_tick = true;
            return;
        }
        const struct read *read = read_at(replica, 0);
        const struct reply redirect = client_redirect(replica, read->request_id);
        client_reply(replica, output, read->client, &redirect);
        read_pop(replica);
    }
}

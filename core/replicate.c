/* The leader's side of log replication (Raft 3.5, 10.2.1), and the commit rule (3.6.2).
 *
 * Each peer is in one of three states (struct peer):
 *
 *   PROBE      next is a guess. One request with entries at a time, until the peer says that prev matched, or hints
 *              where to look. While it is not answered, heartbeats and read rounds bring none, and who is silent gets
 *              none. An answer that leaves the peer here (it took no entry, or did not get the probe and answers a
 *              heartbeat behind it) has the next one sent at once, but one in a heartbeat interval at most.
 *   REPLICATE  next - 1 matched. Requests are sent without waiting, up to inflight_max of them or inflight_bytes_max,
 *              and next moves as they are sent.
 *   SNAPSHOT   next is not above the log's base: only the checkpoint has it. The peer gets no entries. With each
 *              heartbeat, whose prev is the base, it is told what checkpoint to get (install_offer(), Raft 7).
 *
 *   PROBE --success--> REPLICATE, but not when the peer took none of the entries that the probe carried
 *   REPLICATE --rejection--> PROBE, with next behind what the hint allows
 *   PROBE, REPLICATE --next <= base: it backed off too far, or the log moved on--> SNAPSHOT
 *   SNAPSHOT --it reports the base, or more, durable--> REPLICATE
 *
 * Heartbeats are sent whatever the window: behind at most inflight_bytes_max and one request. A follower hears of a
 * commit with the next request; if there is none within an eighth of the heartbeat interval, it gets one without
 * entries then. (At once would cost a frame and its answer for every batch, also where the next one carries the same.)
 *
 * A step sends at most one request to a peer, from the mirror of the log in memory, and begins with the one that found
 * no room in the step before: who lags far behind holds up the others by no more than the copying of append_bytes_max.
 * Of a peer that is down nothing is kept but its struct and its ring: what it lacks is in the log, or in the
 * checkpoint.
 *
 * An offer promises nothing and moves neither match nor next: only what the peer reports as durable does.
 * A lost request shows as a rejection of the next one, at the latest of the heartbeat, whose prev is next - 1.
 * Invariant: match < next; match is what the peer reported durable in this term. It grows, and falls only when the peer
 * says that it lost an entry, or has another data directory (rejoin.h). */
#include "raft.h"

enum { TELL_FRACTION = 8 }; /* of the heartbeat interval: a commit is told by then */

static struct inflight *inflight_ring(struct replica *replica, uint32_t slot)
{
    struct inflight *rings = region_at(replica, replica->areas.inflight);
    return rings + (size_t)slot * replica->limits.inflight_max;
}

static void inflight_clear(struct replica *replica, uint32_t slot)
{
    struct peer *peer = &replica->peers[slot];
    memset(inflight_ring(replica, slot), 0, replica->limits.inflight_max * sizeof(struct inflight));
    peer->inflight_first = 0;
    peer->inflight_count = 0;
    peer->inflight_bytes = 0;
}

static bool inflight_room(const struct replica *replica, const struct peer *peer)
{
    return peer->inflight_count < replica->limits.inflight_max
           && peer->inflight_bytes < replica->limits.inflight_bytes_max;
}

static void inflight_add(struct replica *replica, uint32_t slot, struct inflight sent)
{
    struct peer *peer = &replica->peers[slot];
    ASSERT(inflight_room(replica, peer));
    inflight_ring(replica, slot)[(peer->inflight_first + peer->inflight_count) % replica->limits.inflight_max] = sent;
    peer->inflight_count++;
    peer->inflight_bytes += sent.bytes;
}

static void inflight_free(struct replica *replica, uint32_t slot, uint64_t match)
{
    struct peer *peer = &replica->peers[slot];
    struct inflight *ring = inflight_ring(replica, slot);
    while (peer->inflight_count > 0 && ring[peer->inflight_first].last <= match) {
        ASSERT(peer->inflight_bytes >= ring[peer->inflight_first].bytes);
        peer->inflight_bytes -= ring[peer->inflight_first].bytes;
        ring[peer->inflight_first] = (struct inflight){ .last = 0 };
        peer->inflight_first = (peer->inflight_first + 1) % replica->limits.inflight_max;
        peer->inflight_count--;
    }
}

/* What was under way in another state is not waited for. */
static void peer_enter(struct replica *replica, struct output *output, uint32_t slot, enum peer_state state)
{
    struct peer *peer = &replica->peers[slot];
    if (peer->state != state)
        output_event(output, EVENT_PEER, members_id(replica, slot), state);
    peer->state = (uint8_t)state;
    peer->probe_sent = false;
    peer->probe_old = false;
    if (state != PEER_REPLICATE)
        inflight_clear(replica, slot);
}

/* Raft 6.4, 3.6.2: an entry of its own term lets a leader commit, and know what is committed. While its log has no room
 * for one it serves no linearizable read and accepts no write, but keeps the others from electing in vain; it tries
 * again with every step. */
static void replicate_open_term(struct replica *replica, struct output *output)
{
    const struct entry noop = {
        .id = { .term = replica->stored.hard.term, .index = replica->log.last.index + 1 },
        .kind = ENTRY_NOOP,
    };
    /* CTRL 3.4.3: what is damaged may have to go, so nothing is put behind it. */
    if (replica->log.last.term != replica->stored.hard.term && replica->log.first_faulty == 0)
        wal_append(replica, output, &noop, 1);
}

/* Asks all replicas for the next checkpoint, when the log has grown since the last one. Its own must be done, so that
 * it does not pile up work; what it applied of its own term contains every marker of the leaders before. */
void replicate_checkpoint(struct replica *replica, struct output *output)
{
    if (replica->role != RAFT_LEADER || !store_is_ready(replica) || !checkpoint_is_idle(replica))
        return;
    if (transfer_is_under_way(replica))
        return;
    const uint64_t term = replica->stored.hard.term;
    if (replica->applied < replica->marker_index || log_term(replica, replica->applied) != term)
        return;
    const struct entry marker = {
        .id = { .term = term, .index = replica->log.last.index + 1 },
        .kind = ENTRY_CHECKPOINT,
    };
    const bool due = (checkpoint_is_due(replica) || replica->marker_asked) && !install_lease_held(replica);
    if (due && wal_append(replica, output, &marker, 1)) {
        replica->marker_index = marker.id.index;
        replica->marker_asked = false;
    }
}

void replicate_begin_peer(struct replica *replica, uint32_t slot)
{
    struct peer *peer = &replica->peers[slot];
    peer->match = 0;
    peer->next = replica->log.last.index + 1;
    peer->round_acked = 0;
    peer->commit_told = 0;
    peer->promised_ns = 0;
    peer->damaged = 0;
    peer->nonce = 0;
    peer->question = 0;
    replica->questions_waiting &= ~(1u << slot);
    replica->questions_joined &= ~(1u << slot);
    peer->heard_ns = replica->now_ns;
    peer->heard = false;
    peer->state = PEER_PROBE;
    peer->probe_sent = false;
    peer->probe_old = false;
    peer->heartbeat_due = true;
    inflight_clear(replica, slot);
}

void replicate_forget(struct replica *replica, uint32_t slot)
{
    ASSERT(slot != replica->self);
    replica->peers[slot].checkpoint = (struct checkpoint_mark){ .index = 0 };
    if (replica->role != RAFT_LEADER)
        return;
    const uint64_t heard_ns = replica->peers[slot].heard_ns;
    replicate_begin_peer(replica, slot);
    replica->peers[slot].heard_ns = heard_ns;
}

void replicate_become_leader(struct replica *replica, struct output *output)
{
    ASSERT(replica->role == RAFT_CANDIDATE);
    ASSERT(election_term_durable(replica));
    replica->role = RAFT_LEADER;
    replica->leader = replica->config.node_id;
    replica->campaign_due = 0;
    replica->owed = (struct owed){ .append_to = 0 };
    replica->round = 0;
    replica->round_confirmed = 0;
    replica->marker_index = 0;
    replica->marker_asked = false;
    replica->tell_ns = 0;
    replica->transfer.preferred = 0;
    replica->heartbeat_deadline_ns = replica->now_ns + replica->config.heartbeat_interval_ns;
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++)
        replicate_begin_peer(replica, slot);
    output_event(output, EVENT_ROLE, RAFT_LEADER, replica->leader);
    replicate_open_term(replica, output);
    if (replica->log.last.term != replica->stored.hard.term)
        output_event(output, EVENT_BUSY, REPLY_BUSY, 0);
}

void replicate_advance_commit(struct replica *replica, struct output *output)
{
    if (replica->role != RAFT_LEADER)
        return;
    uint64_t match[MEMBERS_MAX];
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++) {
        struct peer *peer = &replica->peers[slot];
        /* It counts itself like any other: only what its own disk holds (Raft 10.2.1). */
        if (slot == replica->self)
            peer->match = u64_max(peer->match, wal_promised_index(replica));
        match[slot] = peer->match;
    }
    const uint64_t reached = quorum_reached(members_now(replica), match);
    if (reached <= replica->commit)
        return;
    /* Raft 3.6.2 (5.4.2 of the paper, Figure 8): only an entry of the own term commits by counting. */
    if (log_term(replica, reached) != replica->stored.hard.term)
        return;
    replica->commit = reached;
    output_event(output, EVENT_COMMIT, reached, 0);
}

/* CTRL 3.4.2: the peer knows this entry by name only. It is sent again, with what follows; not more often than once per
 * heartbeat, since the peer may have no room for it. */
static void replicate_damaged(struct replica *replica, struct output *output, uint32_t slot, uint64_t index)
{
    struct peer *peer = &replica->peers[slot];
    if (index <= peer->damaged || index >= peer->next)
        return;
    peer->damaged = index;
    peer->match = u64_min(peer->match, index - 1); /* what it reported was there, and is no more */
    peer->next = index;
    peer_enter(replica, output, slot, PEER_PROBE);
}

static void replicate_rejected(struct replica *replica, struct output *output, uint32_t slot,
                               const struct append_response *response)
{
    struct peer *peer = &replica->peers[slot];
    /* Late, or it has lost in a crash what it confirmed before: it is asked where it stands. */
    if (response->rejected <= peer->match) {
        replicate_damaged(replica, output, slot, response->hint.index + 1);
        return;
    }
    /* This probe is not the one in flight. */
    if (peer->state == PEER_PROBE && response->rejected != peer->next - 1)
        return;
    const struct log_id agree = log_conflict_hint(replica, response->hint.index, response->hint.term, peer->match);
    peer->next = u64_max(peer->match, u64_min(agree.index, response->rejected - 1)) + 1;
    /* It has not got the checkpoint yet. */
    if (peer->state == PEER_SNAPSHOT && peer->next <= replica->log.base.index)
        return;
    peer_enter(replica, output, slot, PEER_PROBE);
    output_event(output, EVENT_APPEND_REJECTED, members_id(replica, slot), response->hint.index);
}

void replicate_response(struct replica *replica, struct output *output, const struct message *message)
{
    const struct append_response *response = &message->append_response;
    if (message->term > replica->stored.hard.term) {
        election_become_follower(replica, output, message->term, 0);
        return;
    }
    /* What was said in another term, or to another leader, promises nothing to this one. */
    if (replica->role != RAFT_LEADER || message->term != replica->stored.hard.term)
        return;
    const uint32_t slot = members_slot(replica, message->from);
    if (slot == MEMBERS_MAX)
        return;
    struct peer *peer = &replica->peers[slot];
    peer->heard_ns = replica->now_ns;
    peer->heard = true;
    peer->nonce = response->nonce;
    diverge_response(replica, output, slot, response->checkpoint);
    if (replica->role != RAFT_LEADER)
        return;
    peer->promised_ns = u64_max(peer->promised_ns, response->promised_ns);
    if (response->round > peer->round_acked && response->round <= replica->round) {
        peer->round_acked = response->round;
        read_acked(replica);
    }
    if (response->rejected != 0) {
        replicate_rejected(replica, output, slot, response);
        return;
    }
    if (response->match > replica->log.last.index)
        return;
    /* A follower whose log is full confirms prev and takes no entry; one that did not get the probe says the same of
     * the heartbeat behind it. It is probed again once in a heartbeat interval, not at once, or the two would exchange
     * the same entry as fast as the wire allows. */
    const bool took_nothing =
        peer->state == PEER_PROBE && peer->probe_sent && peer->probe_entries && response->match < peer->next;
    if (response->match > peer->match) {
        peer->match = response->match;
        peer->next = u64_max(peer->next, peer->match + 1);
        inflight_free(replica, slot, peer->match);
        replicate_advance_commit(replica, output);
    }
    const bool without_checkpoint = peer->state == PEER_SNAPSHOT && peer->next <= replica->log.base.index;
    if (took_nothing)
        peer->probe_sent = !peer->probe_old;
    else if (!without_checkpoint)
        peer_enter(replica, output, slot, PEER_REPLICATE);
    if (response->damaged != 0)
        replicate_damaged(replica, output, slot, response->damaged);
}

static void check_quorum(struct replica *replica, struct output *output)
{
    if (!replica->config.check_quorum)
        return;
    uint64_t heard[MEMBERS_MAX];
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++)
        heard[slot] = slot == replica->self ? replica->now_ns : replica->peers[slot].heard_ns;
    const uint64_t majority_heard_ns = quorum_reached(members_now(replica), heard);
    if (replica->now_ns - majority_heard_ns < replica->config.election_timeout_ns)
        return;
    output_event(output, EVENT_QUORUM_LOST, replica->now_ns - majority_heard_ns, 0);
    election_become_follower(replica, output, replica->stored.hard.term, 0);
}

/* Whatever it waits for: without a name no more batches go, without a superblock no promise, without the pages of a
 * checkpoint nothing is applied once the shadow pool is full, and what is being loaded serves nobody. (Reads for peers
 * and of the scrub hold up nobody here, nor do the pages of an install, which repair.c gives its time.) */
static uint64_t disk_oldest_ns(const struct replica *replica)
{
    const uint64_t written_ns = u64_min(wal_oldest_ns(replica), checkpoint_oldest_ns(replica));
    return u64_min(written_ns, u64_min(scrub_oldest_ns(replica), store_oldest_ns(replica)));
}

uint64_t replicate_stalled_ns(const struct replica *replica)
{
    return replica->now_ns - u64_min(disk_oldest_ns(replica), replica->now_ns);
}

/* Its heartbeats would keep the others from electing anybody, while it commits more slowly than they do or accepts what
 * it cannot even write down. Its own disk counts like a majority's silence: an election timeout, and the heartbeat
 * interval until the next tick. */
static void check_disk(struct replica *replica, struct output *output)
{
    const uint64_t stalled_ns = replicate_stalled_ns(replica);
    if (stalled_ns < replica->config.election_timeout_ns || members_other_voters(replica) == 0)
        return;
    output_event(output, EVENT_DISK_STALLED, stalled_ns, 0);
    election_become_follower(replica, output, replica->stored.hard.term, 0);
}

void replicate_tick(struct replica *replica, struct output *output)
{
    ASSERT(replica->role == RAFT_LEADER);
    check_quorum(replica, output);
    if (replica->role == RAFT_LEADER)
        check_disk(replica, output);
    if (replica->role != RAFT_LEADER || replica->now_ns < replica->heartbeat_deadline_ns)
        return;
    replica->heartbeat_deadline_ns = replica->now_ns + replica->config.heartbeat_interval_ns;
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++) {
        struct peer *peer = &replica->peers[slot];
        peer->heartbeat_due = true;
        peer->damaged = 0;
        peer->probe_old = true;
    }
    transfer_tick(replica, output);
}

/* Gathers entries from `next` into the frame that is being built. */
static void replicate_gather(const struct replica *replica, uint64_t next, uint32_t room, uint8_t *to,
                             struct append_request *request)
{
    const struct limits *limits = &replica->limits;
    uint32_t used = 0;
    for (uint64_t index = next; index <= log_intact(replica); index++) {
        const struct slice bytes = log_entry_bytes(replica, index);
        if (request->entry_count == limits->append_entries_max || used + bytes.count > room)
            break;
        if (used > 0 && used + bytes.count > limits->append_bytes_max)
            break;
        memcpy(to + used, bytes.bytes, bytes.count);
        used += bytes.count;
        request->entry_count++;
    }
    request->entries = (struct slice){ .bytes = to, .count = used };
}

static void replicate_send(struct replica *replica, struct output *output, uint32_t slot, bool with_entries)
{
    struct peer *peer = &replica->peers[slot];
    /* What lies at or below the base is in the checkpoint. */
    const uint64_t prev_index = u64_max(peer->next - 1, replica->log.base.index);
    struct message message = {
        .type = FRAME_APPEND_REQUEST,
        .from = replica->config.node_id,
        .to = members_id(replica, slot),
        .instance = replica->superblock.instance,
        .term = replica->stored.hard.term,
        .append_request = {
            .prev = { .term = log_term(replica, prev_index), .index = prev_index },
            .commit = replica->commit,
            .round = replica->round,
            .last = replica->log.last.index,
            .echo = peer->nonce,
            .sent_ns = replica->now_ns,
            .agreed = diverge_agreed(replica),
        },
    };
    uint8_t *frame = output->arena + output->arena_used;
    if (with_entries)
        replicate_gather(replica, peer->next, replica->limits.frame_bytes_max - message_append_bytes(0),
                         frame + message_append_bytes(0), &message.append_request);
    const uint64_t sent = prev_index + message.append_request.entry_count;
    output_message(output, &replica->frame, &message);
    peer->heartbeat_due = false;
    peer->commit_told = replica->commit;
    if (peer->state == PEER_PROBE) {
        /* A heartbeat is no probe while there is one to be answered. */
        if (!peer->probe_sent) {
            peer->probe_entries = message.append_request.entry_count > 0;
            peer->probe_old = false;
        }
        peer->probe_sent = true;
    } else if (message.append_request.entry_count > 0) {
        inflight_add(replica, slot, (struct inflight){ .last = sent, .bytes = message.append_request.entries.count });
        peer->next = sent + 1;
    }
}

/* What the peer lacks is not in the log any more. */
static void replicate_need_checkpoint(struct replica *replica, struct output *output, uint32_t slot)
{
    peer_enter(replica, output, slot, PEER_SNAPSHOT);
    replica->peers[slot].heartbeat_due = true;
}

/* Is there a commit that it was not told of, and nothing under way whose answer is followed by more? */
static bool peer_is_untold(const struct replica *replica, const struct peer *peer)
{
    return peer->state == PEER_REPLICATE && peer->inflight_count == 0 && peer->commit_told < replica->commit;
}

/* What the peer is to be sent now, if anything. False: the output has no room for it. */
static bool replicate_peer(struct replica *replica, struct output *output, uint32_t slot)
{
    struct peer *peer = &replica->peers[slot];
    if (peer->next <= replica->log.base.index && peer->state != PEER_SNAPSHOT)
        replicate_need_checkpoint(replica, output, slot);
    const bool behind = peer->next > replica->log.base.index && peer->next <= log_intact(replica);
    const bool window = peer->state == PEER_PROBE ? !peer->probe_sent : inflight_room(replica, peer);
    const bool entries = behind && window;
    const bool probe = peer->state == PEER_PROBE && !peer->probe_sent;
    const bool news = replica->tell_ns != 0 && replica->now_ns >= replica->tell_ns && peer_is_untold(replica, peer);
    if (!entries && !probe && !news && !peer->heartbeat_due)
        return true;
    if (!output_room(output, 1, replica->limits.frame_bytes_max))
        return false;
    replicate_send(replica, output, slot, entries);
    if (peer->state == PEER_SNAPSHOT)
        install_offer(replica, output, slot);
    /* One request per peer and step keeps the step short; the rest of the window follows at once. */
    if (peer->state == PEER_REPLICATE && peer->next <= log_intact(replica) && inflight_room(replica, peer))
        replica->wants_tick = true;
    return true;
}

void replicate_flush(struct replica *replica, struct output *output)
{
    if (replica->role != RAFT_LEADER)
        return;
    ASSERT(election_term_durable(replica));
    replicate_open_term(replica, output);
    const uint32_t others = members_others(replica);
    bool untold = false;
    for (uint32_t turn = 0; turn < MEMBERS_MAX; turn++) {
        const uint32_t slot = (replica->flush_first + turn) % MEMBERS_MAX;
        if ((others >> slot & 1) == 0)
            continue;
        if (!replicate_peer(replica, output, slot)) {
            replica->flush_first = slot;
            replica->wants_tick = true;
            return;
        }
        untold |= peer_is_untold(replica, &replica->peers[slot]);
    }
    if (!untold)
        replica->tell_ns = 0;
    else if (replica->tell_ns == 0)
        replica->tell_ns = replica->now_ns + replica->config.heartbeat_interval_ns / TELL_FRACTION;
}

uint64_t replicate_deadline(const struct replica *replica)
{
    ASSERT(replica->role == RAFT_LEADER);
    const uint64_t tell_ns = replica->tell_ns != 0 ? replica->tell_ns : UINT64_MAX;
    return u64_min(replica->heartbeat_deadline_ns, tell_ns);
}

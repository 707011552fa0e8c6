/* The follower's side of log replication (Raft 3.5). */
#include "raft.h"

static void append_owe(struct replica *replica, uint64_t leader, uint64_t rejected, struct log_id hint)
{
    replica->owed.append_to = leader;
    replica->owed.rejected = rejected;
    replica->owed.hint = hint;
}

/* Half of what a leader keeps from its clients, also where its table of slots is what it keeps (wal_has_room()): its
 * log may begin later than this one. */
static uint32_t append_reserve(const struct limits *limits)
{
    return u32_min(limits->wal_reserve_blocks, limits->log_entries_max / 2) / 2;
}

/* Adds what is missing, replaces what conflicts. Returns the last index that now equals the leader's: less than sent
 * when the log is full. */
static uint64_t append_entries(struct replica *replica, struct output *output, const struct append_request *request)
{
    uint64_t equal = request->prev.index;
    uint32_t offset = 0;
    for (uint32_t i = 0; i < request->entry_count; i++) {
        struct entry entry;
        offset += entry_decode(
            (struct slice){ .bytes = request->entries.bytes + offset, .count = request->entries.count - offset },
            &entry);
        if (log_holds(replica, entry.id)) {
            /* CTRL 3.4.2: the leader has what is damaged here. */
            if (entry.id.index > replica->log.base.index && !log_readable(replica, entry.id.index)
                && !wal_repair(replica, output, &entry))
                break;
            equal = entry.id.index;
            continue;
        }
        if (entry.id.index <= replica->log.last.index) {
            /* Only a conflict truncates: an old request that arrives late must not take back what came after it. */
            ASSERT(entry.id.index > replica->commit);
            wal_truncate(replica, output, entry.id.index - 1);
        }
        /* No-ops may use the reserve, so that a new leader can still open its term; checkpoints, since they make room.
         */
        const uint32_t reserve = entry.kind == ENTRY_COMMAND ? append_reserve(&replica->limits) : 1;
        if (!wal_append(replica, output, &entry, reserve))
            break;
        equal = entry.id.index;
    }
    return equal;
}

/* What no leader of this cluster sends: an entry beyond the limits, or another one in the place of a committed one. */
static bool append_acceptable(const struct replica *replica, const struct append_request *request)
{
    const uint32_t command_bytes_max = limits_command_bytes_max(&replica->limits);
    const uint32_t config_bytes_max = replica->limits.members_max * (uint32_t)sizeof(struct member);
    struct slice left = request->entries;
    for (uint32_t i = 0; i < request->entry_count; i++) {
        struct entry entry;
        const uint32_t bytes = entry_decode(left, &entry);
        if (entry.body.count > (entry.kind == ENTRY_CONFIG ? config_bytes_max : command_bytes_max))
            return false;
        if (entry.id.index <= replica->commit && !log_holds(replica, entry.id))
            return false;
        left.bytes += bytes;
        left.count -= bytes;
    }
    return true;
}

void append_commit(struct replica *replica, struct output *output, uint64_t commit, uint64_t equal)
{
    /* Not the own last index: what lies behind the entries that were compared may be an old tail (Raft 3.5,
     * AppendEntries 5). */
    const uint64_t known = u64_min(commit, equal);
    if (known <= replica->commit)
        return;
    replica->commit = known;
    output_event(output, EVENT_COMMIT, known, 0);
}

void append_abstain_no_more(struct replica *replica, struct output *output)
{
    const uint64_t term = replica->stored.hard.term;
    /* No leader of this term has said how far its log went. */
    if (!election_abstains(replica) || replica->abstain_until == 0 || replica->abstain_term != term)
        return;
    if (u64_min(replica->verified, wal_promised_index(replica)) < replica->abstain_until)
        return;
    if (rejoin_state_of(replica) != REJOIN_WHOLE)
        output_event(output, EVENT_REJOINED, replica->abstain_until, term);
    replica->stored.flags &= ~(uint64_t)(STORED_ABSTAIN | STORED_REJOIN);
    output_event(output, EVENT_ABSTAIN_OVER, replica->abstain_until, term);
}

/* CTRL 3.3: this node may have promised entries that it does not know of. All of them were in the log of whoever leads
 * now when it was first heard: with all that durable here again, there is nothing left to forget. (The leader's commit
 * index would not do: a promise of ours that is still under way may yet be counted.) */
static void append_abstain(struct replica *replica, struct output *output, const struct message *message)
{
    if (!election_abstains(replica))
        return;
    /* One that was under way before this life began may be older than the last promise. */
    if (message->append_request.echo != replica->abstain_nonce)
        return;
    if (replica->abstain_term != message->term) {
        replica->abstain_term = message->term;
        replica->abstain_until = u64_max(message->append_request.last, 1);
    }
    append_abstain_no_more(replica, output);
}

void append_request(struct replica *replica, struct output *output, const struct message *message)
{
    const struct append_request *request = &message->append_request;
    if (message->term < replica->stored.hard.term) {
        /* A deposed leader learns the term from the frame's header. */
        append_owe(replica, message->from, u64_max(request->prev.index, 1), (struct log_id){ .term = 0 });
        return;
    }
    /* Two leaders in one term would mean that election safety is broken: following would hide it. */
    const bool two_leaders = replica->role == RAFT_LEADER && message->term == replica->stored.hard.term;
    if (two_leaders || !append_acceptable(replica, request)) {
        output_event(output, EVENT_IMPOSSIBLE, message->from, 0);
        return;
    }
    if (message->term > replica->stored.hard.term || replica->role != RAFT_FOLLOWER || replica->leader != message->from)
        election_become_follower(replica, output, message->term, message->from);
    replica->leader_heard = true;
    replica->stood_back = 0;
    replica->leader_heard_ns = replica->now_ns;
    replica->sent_seen_ns = u64_max(replica->sent_seen_ns, request->sent_ns);
    election_reset_timer(replica);

    const struct log_id prev = request->prev;
    if (!log_holds(replica, prev)) {
        append_owe(replica, message->from, prev.index,
                   log_conflict_hint(replica, prev.index, prev.term, replica->commit));
        return;
    }
    const uint64_t equal = append_entries(replica, output, request);
    replica->verified = u64_max(replica->verified, equal);
    append_commit(replica, output, request->commit, equal);
    append_abstain(replica, output, message);
    diverge_request(replica, output, request->agreed);
    /* Entries are acknowledged when they are durable; a heartbeat or a new round at once. */
    const uint64_t durable = u64_min(replica->verified, wal_promised_index(replica));
    const bool damaged = replica->log.first_faulty != 0
                         || election_abstains(replica); /* the answer asks for it, and must not get lost for good */
    if (request->entry_count == 0 || request->round > replica->round_seen || durable >= equal || damaged)
        append_owe(replica, message->from, 0, (struct log_id){ .term = 0 });
    replica->round_seen = u64_max(replica->round_seen, request->round);
}

void append_flush(struct replica *replica, struct output *output)
{
    struct owed *owed = &replica->owed;
    const uint64_t match = u64_min(replica->verified, wal_promised_index(replica));
    if (replica->role == RAFT_FOLLOWER && replica->leader != 0 && match > replica->acked && owed->append_to == 0)
        append_owe(replica, replica->leader, 0, (struct log_id){ .term = 0 });
    if (owed->append_to == 0 || !election_term_durable(replica))
        return;
    if (!output_room(output, 1, CLIENT_REPLY_SMALL_BYTES)) {
        replica->wants_tick = true;
        return;
    }
    const bool rejected = owed->rejected != 0;
    const bool promises = owed->append_to == replica->leader && read_promise_ns(replica) != 0;
    const struct message message = {
        .type = FRAME_APPEND_RESPONSE,
        .from = replica->config.node_id,
        .to = owed->append_to,
        .instance = replica->superblock.instance,
        .term = replica->stored.hard.term,
        .append_response = {
            .match = rejected ? 0 : match,
            .round = owed->append_to == replica->leader ? replica->round_seen : 0,
            .promised_ns = promises ? replica->sent_seen_ns + read_promise_ns(replica) : 0,
            .hint = owed->hint,
            .rejected = owed->rejected,
            .damaged = log_lost(replica),
            .nonce = election_abstains(replica) ? replica->abstain_nonce : 0,
            .checkpoint = diverge_mark(replica),
        },
    };
    output_message(output, &replica->frame, &message);
    if (!rejected)
        replica->acked = u64_max(replica->acked, match);
    *owed = (struct owed){
        .vote_to = owed->vote_to,
        .vote_term = owed->vote_term,
        .vote_pre = owed->vote_pre,
        .vote_granted = owed->vote_granted,
    };
}

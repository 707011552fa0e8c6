/* Views of a replica and of its stored formats, and its internal invariants. */
#include "inspect.h"

#include "page.h"
#include "raft.h"

void replica_inspect(const struct replica *replica, struct replica_view *view)
{
    view->role = (enum raft_role)replica->role;
    view->node_id = replica->config.node_id;
    view->leader = replica->leader;
    view->term = replica->stored.hard.term;
    view->vote = replica->stored.hard.vote;
    view->durable_term = replica->superblock.durable.hard.term;
    view->durable_vote = replica->superblock.durable.hard.vote;
    view->base = replica->log.base;
    view->last = replica->log.last;
    view->first_faulty = replica->log.first_faulty;
    view->durable_index = wal_promised_index(replica);
    view->commit = replica->commit;
    view->applied = replica->applied;
    view->state_digest = apply_digest(replica);
    view->read_round = replica->round;
    view->read_confirmed = replica->round_confirmed;
    view->fresh_ns = replica->fresh.asked_ns;
    view->fresh_index = replica->fresh.index;
    view->now_ns = replica->now_ns;
    view->votes = replica->votes;
    view->pre_votes = replica->pre_votes;
    view->pending_writes = replica->pending_count;
    view->pending_reads = replica->reads_count;
    view->keys = (uint32_t)page_root_const(replica)->keys;
    view->sessions = page_root_const(replica)->session_count;
    view->wal_blocks_used = wal_used_bytes(replica) / replica->limits.block_bytes;
    view->flags = replica->stored.flags;
    view->durable_flags = replica->superblock.durable.flags;
    view->rejoin = rejoin_state_of(replica);
    view->install_index = replica->install.target.id.index;
    view->store_ready = store_is_ready(replica);
    view->lease_end_ns = read_lease_end_ns(replica);
    view->election_deadline_ns = replica->election_deadline_ns;
    view->transfer_target = replica->transfer.target;
    view->transfer_term = replica->transfer.term;
    view->slot = replica->self;
    view->configuration = members_now(replica)->id;
    view->rejoin_answers = view->rejoin == REJOIN_ASKING ? rejoin_answers(replica) : 0;
    view->rejoin_answers_needed = view->rejoin == REJOIN_ASKING ? rejoin_answers_needed(replica) : 0;
    for (uint32_t slot = 0; slot < MEMBERS_MAX && replica->role == RAFT_LEADER; slot++) {
        view->match[slot] = replica->peers[slot].match;
        view->next[slot] = replica->peers[slot].next;
        view->progress[slot] = replica->peers[slot].state;
        view->inflight_bytes[slot] = replica->peers[slot].inflight_bytes;
        view->round_acked[slot] = replica->peers[slot].round_acked;
        view->promised_ns[slot] = replica->peers[slot].promised_ns;
    }
}

const struct configuration *replica_configuration(const struct replica *replica) { return members_now(replica); }

const struct configuration *replica_configuration_committed(const struct replica *replica)
{
    return members_committed(replica);
}

void replica_entry(const struct replica *replica, uint64_t index, struct entry *entry)
{
    log_entry(replica, index, entry);
}

bool replica_entry_readable(const struct replica *replica, uint64_t index) { return log_readable(replica, index); }

uint64_t replica_entry_term(const struct replica *replica, uint64_t index) { return log_term(replica, index); }

static const char *wal_invariant(const struct replica *replica)
{
    const struct wal *wal = &replica->wal;
    if (replica->recovery.phase < RECOVERY_WRITE)
        return NULL; /* the log is being walked; what is named is not known yet */
    if (wal->named > wal->durable || wal->durable > wal->submitted || wal->submitted > wal->sealed)
        return "named <= durable <= submitted <= sealed";
    if (wal->submitted - wal->durable > replica->limits.wal_depth)
        return "writes in flight within wal_depth";
    if (wal->submitted - wal->named > replica->limits.wal_unnamed_max)
        return "unnamed batches within wal_unnamed_max";
    if (wal->durable_index > replica->log.last.index)
        return "durable index within the log";
    if (wal_used_bytes(replica) > wal_ring_bytes(&replica->limits))
        return "log within the body ring";
    if (sizeof(struct wal_batch_header) + wal->open_bytes > replica->limits.wal_batch_bytes_max)
        return "open batch within wal_batch_bytes_max";
    return NULL;
}

static const char *leader_invariant(const struct replica *replica)
{
    if (replica->round_confirmed > replica->round)
        return "confirmed round within the rounds begun";
    if (!election_term_durable(replica))
        return "a leader's term is durable";
    const uint32_t others = members_others(replica);
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++) {
        const struct peer *peer = &replica->peers[slot];
        if ((others & (1u << slot)) == 0)
            continue;
        if (peer->match >= peer->next)
            return "match < next";
        if (peer->next > replica->log.last.index + 1)
            return "next within the log";
        if (peer->inflight_count > replica->limits.inflight_max)
            return "requests in flight within inflight_max";
        if (peer->inflight_bytes >= (uint64_t)replica->limits.inflight_bytes_max + replica->limits.frame_bytes_max)
            return "bytes in flight within inflight_bytes_max and a request";
    }
    return NULL;
}

/* Dead slots are zero. Sessions lie without gaps, so that the slot behind the last one can stand for all dead ones. */
static bool session_behind_is_zero(const struct replica *replica)
{
    const struct session *table = (const void *)page_raw_const(replica, page_sessions(replica));
    const uint32_t count = page_root_const(replica)->session_count;
    return count == replica->limits.sessions_max || (table[count].id | table[count].used_index) == 0;
}

const char *replica_invariant(const struct replica *replica)
{
    if (replica->applied > replica->commit)
        return "applied <= commit";
    if (replica->commit > replica->log.last.index)
        return "commit <= last";
    if (replica->log.last.index - replica->log.base.index >= replica->limits.log_entries_max)
        return "log within log_entries_max";
    if (replica->commit < replica->log.base.index)
        return "base <= commit";
    if (replica->pending_count > replica->limits.pending_writes_max)
        return "pending writes within their limit";
    if (replica->reads_count > replica->limits.pending_reads_max || replica->reads_assigned > replica->reads_count)
        return "pending reads within their limit";
    if (page_root_const(replica)->session_count > replica->limits.sessions_max)
        return "sessions within sessions_max";
    if (store_is_ready(replica) && !session_behind_is_zero(replica))
        return "the session behind the last one is zero";
    if (page_root_const(replica)->pages_free >= replica->limits.pages_max)
        return "store within its pages";
    if (replica->stored.hard.term < replica->superblock.durable.hard.term)
        return "the term in memory is not behind the durable one";
    if ((replica->stored.flags & STORED_REJOIN) != 0 && (replica->stored.flags & STORED_ABSTAIN) == 0)
        return "who rejoins abstains";
    const char *problem = wal_invariant(replica);
    if (problem == NULL)
        problem = checkpoint_invariant(replica);
    if (problem == NULL && replica->role == RAFT_LEADER)
        problem = leader_invariant(replica);
    return problem;
}

/* Everything that can influence a later step: the head, and the used part of each area. */
uint64_t replica_digest(const struct replica *replica)
{
    const struct limits *limits = &replica->limits;
    const struct areas *areas = &replica->areas;
    const uint64_t ring = wal_ring_bytes(limits);
    const uint64_t head = replica->stored.head.lsn % ring;
    /* From the head to behind the open batch, in one or two pieces. */
    const uint64_t open_bytes =
        replica->wal.open_count > 0 ? sizeof(struct wal_batch_header) + replica->wal.open_bytes : 0;
    const uint64_t end = u64_max(replica->wal.tail + open_bytes, replica->stored.head.lsn);
    const struct {
        uint64_t offset;
        uint64_t bytes;
    } live[] = {
        { 0, sizeof *replica },
        { areas->wal_body + head, u64_min(end - replica->stored.head.lsn, ring - head) },
        { areas->wal_body, end - replica->stored.head.lsn - u64_min(end - replica->stored.head.lsn, ring - head) },
        { areas->pages, (uint64_t)limits->pages_max * limits->page_bytes },
        { areas->map, areas->shadow - areas->map },
        { areas->shadow, (uint64_t)replica->checkpoint.shadow_count * limits->page_bytes },
        { areas->shadow_page, areas->data_runs - areas->shadow_page },
        { areas->data_runs, (uint64_t)CHECKPOINT_DEPTH_MAX * limits->data_run_bytes_max },
        { areas->pending, (uint64_t)limits->pending_writes_max * sizeof(struct pending) },
        { areas->reads, (uint64_t)limits->pending_reads_max * areas->read_bytes },
        { areas->inflight, (uint64_t)MEMBERS_MAX * limits->inflight_max * sizeof(struct inflight) },
    };
    uint64_t digest = 0;
    for (size_t i = 0; i < ARRAY_COUNT(live); i++) {
        digest = checksum64(region_at_const(replica, live[i].offset), live[i].bytes, digest);
    }
    return digest;
}

bool wal_batch_inspect(struct slice bytes, uint64_t cluster_id, uint64_t lsn, struct wal_batch_view *view)
{
    struct wal_batch_header header;
    if (!wal_batch_header_decode(bytes, cluster_id, lsn, &header) || header.run_bytes > bytes.count)
        return false;
    if (!wal_batch_body_valid(&header, cluster_id, bytes.bytes))
        return false;
    *view = (struct wal_batch_view){
        .sequence = header.sequence,
        .lsn = lsn,
        .durable_sequence = header.durable_sequence,
        .term = header.term,
        .hash = header.hash,
        .prev_hash = header.prev_hash,
        .repair = header.kind == WAL_BATCH_REPAIR,
        .truncate_after = wal_batch_appends(header.kind) ? header.first_index - 1 : UINT64_MAX,
        .first_index = header.first_index,
        .entry_term = header.entry_term,
        .entry_count = header.entry_count,
        .run_bytes = header.run_bytes,
        .entries = { .bytes = bytes.bytes + sizeof header, .count = header.body_bytes },
    };
    return true;
}

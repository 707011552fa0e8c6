/* A leader with damaged entries, or without its pages (CTRL 3.4.3, storage design 3).
 *
 * Elections compare identities, so a node may win whose log names every committed entry and lacks the bytes of some.
 * Until it has them it appends nothing, accepts no write and answers no read. It asks all others for the first one:
 *
 *   HAVE           -> written again as a REPAIR batch; it counts when that is durable
 *   IN_CHECKPOINT  -> it is committed, and a checkpoint has it: install.c gets that
 *   DONT_HAVE      -> from a quorum: the entry was never committed, nor can it be (they all are in this
 *                     term, and took no entry that they do not know of). It goes, with all behind it. The leader steps
 *                     down to do so, since leaders append only.
 *   HAVE_FAULTY    -> known by name there, too: wait for somebody else
 *
 * Whoever leads in vain for a while steps down, so that another one may try. When all others have answered and nobody
 * has the bytes, there is nothing left to wait for, and that is said.
 *
 * Pages are got by install.c, from leaders and followers alike. Leading does not help with that, and serves nobody
 * before it is over: so a leader whose pages are damaged steps down after the same while, however well it goes. It
 * stands back at the next election (election_tick()), and leads again only if nobody else can.
 *
 * Who leads alone, and asks nobody that answers, stops after that while: no other one can try. It has waited for who
 * led before (election_patience()).
 *
 * A DONT_HAVE counts only from a node that is in the leader's term, durably, and that knows its log to the end: one
 * that abstains answers HAVE_FAULTY. The leader itself never counts. */
#include "raft.h"

static void repair_send(struct replica *replica, struct output *output, uint32_t slot)
{
    const struct message message = {
        .type = FRAME_REPAIR_REQUEST,
        .from = replica->config.node_id,
        .to = members_id(replica, slot),
        .instance = replica->superblock.instance,
        .term = replica->stored.hard.term,
        .repair_request = { .id = replica->repair.id },
    };
    output_message(output, &replica->frame, &message);
}

/* Nobody answered with the bytes for two election timeouts. */
static void repair_give_up(struct replica *replica, struct output *output)
{
    const struct repair *repair = &replica->repair;
    const uint32_t others = members_other_voters(replica);
    const bool alone = members_alone(replica);
    if (alone && (install_is_idle(replica) || replica->install.phase == INSTALL_ASK)) {
        replica_stop(replica, output, STOP_WAL_DAMAGED, repair->id.index);
        return;
    }
    if (!alone && ((repair->dont_have | repair->faulty) & others) == others)
        output_event(output, EVENT_UNRECOVERABLE, repair->id.index, repair->id.term);
    election_become_follower(replica, output, replica->stored.hard.term, 0);
}

/* While they are only being loaded, that is over soon, and another one would have to load as well; unless the disk
 * stands still, which check_disk() notices. But what it had lost already counts as missing while it is asked for that
 * once more. */
static void repair_without_pages(struct replica *replica, struct output *output)
{
    const struct store *store = &replica->store;
    const bool loading = store->state == STORE_LOADING;
    if (replica->role != RAFT_LEADER || store_is_ready(replica) || (loading && !store->again)) {
        replica->pages_missed_ns = 0;
        return;
    }
    if (loading)
        return;
    if (replica->pages_missed_ns == 0)
        replica->pages_missed_ns = u64_max(replica->now_ns, 1);
    if (replica->now_ns - replica->pages_missed_ns <= 2 * replica->config.election_timeout_ns)
        return;
    if (members_alone(replica) && replica->install.phase == INSTALL_ASK) {
        replica_stop(replica, output, STOP_DATA_DAMAGED, replica->store.pages_damaged);
        return;
    }
    output_event(output, EVENT_LED_IN_VAIN, replica->stored.checkpoint.id.index, replica->install.wanted_pages);
    election_become_follower(replica, output, replica->stored.hard.term, 0);
}

void repair_flush(struct replica *replica, struct output *output)
{
    struct repair *repair = &replica->repair;
    const uint64_t lost = log_lost(replica);
    repair_without_pages(replica, output);
    if (replica->role != RAFT_LEADER || lost == 0) {
        *repair = (struct repair){ .asked_ns = 0 };
        return;
    }
    if (repair->id.index != lost)
        *repair = (struct repair){
            .id = { .term = log_term(replica, lost), .index = lost },
            .since_ns = replica->now_ns,
        };
    if (replica->now_ns - repair->since_ns > 2 * replica->config.election_timeout_ns) {
        repair_give_up(replica, output);
        return;
    }
    if (repair->asked && replica->now_ns - repair->asked_ns < replica->config.heartbeat_interval_ns)
        return;
    const uint32_t others = members_others(replica);
    if (!output_room(output, bits_count(others), CLIENT_REPLY_SMALL_BYTES * bits_count(others))) {
        replica->wants_tick = true;
        return;
    }
    repair->asked = true;
    repair->asked_ns = replica->now_ns;
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++)
        if ((others & (1u << slot)) != 0)
            repair_send(replica, output, slot);
}

/* What this node can say about an entry. What it forgot may have replaced what it knows at that index. */
static enum repair_verdict repair_judge(const struct replica *replica, struct log_id id)
{
    if (id.index <= replica->log.base.index)
        return REPAIR_IN_CHECKPOINT;
    if (!log_holds(replica, id))
        return election_abstains(replica) ? REPAIR_HAVE_FAULTY : REPAIR_DONT_HAVE;
    return log_readable(replica, id.index) ? REPAIR_HAVE : REPAIR_HAVE_FAULTY;
}

void repair_request(struct replica *replica, struct output *output, const struct message *message)
{
    const struct log_id id = message->repair_request.id;
    if (message->term > replica->stored.hard.term)
        election_become_follower(replica, output, message->term, message->from);
    /* It is asked again when the term is durable here. */
    if (message->term != replica->stored.hard.term || !election_term_durable(replica) || replica->role == RAFT_LEADER)
        return;
    if (!output_room(output, 1, replica->limits.frame_bytes_max))
        return;
    struct message answer = {
        .type = FRAME_REPAIR_RESPONSE,
        .from = replica->config.node_id,
        .to = message->from,
        .instance = replica->superblock.instance,
        .term = replica->stored.hard.term,
        .repair_response = { .id = id, .verdict = repair_judge(replica, id) },
    };
    if (answer.repair_response.verdict == REPAIR_HAVE)
        answer.repair_response.entry = log_entry_bytes(replica, id.index);
    output_message(output, &replica->frame, &answer);
}

static void repair_drop(struct replica *replica, struct output *output)
{
    const uint64_t kept = replica->repair.id.index - 1;
    if (kept < replica->commit) {
        /* Committed, as this node knows, and a majority denies it: not for software to decide. */
        output_event(output, EVENT_UNRECOVERABLE, kept + 1, replica->repair.id.term);
        return;
    }
    election_become_follower(replica, output, replica->stored.hard.term, 0);
    wal_truncate(replica, output, kept);
}

void repair_response(struct replica *replica, struct output *output, const struct message *message)
{
    const struct repair_response *response = &message->repair_response;
    struct repair *repair = &replica->repair;
    if (message->term > replica->stored.hard.term) {
        election_become_follower(replica, output, message->term, 0);
        return;
    }
    if (replica->role != RAFT_LEADER || message->term != replica->stored.hard.term
        || !log_id_equal(response->id, repair->id) || log_lost(replica) != repair->id.index)
        return;
    const uint32_t slot = members_slot(replica, message->from);
    if (slot == MEMBERS_MAX)
        return;
    replica->peers[slot].heard_ns = replica->now_ns;
    struct entry entry;
    switch (response->verdict) {
    case REPAIR_HAVE:
        if (entry_decode(response->entry, &entry) > 0 && log_id_equal(entry.id, repair->id)
            && entry.body.count <= limits_entry_bytes_max(&replica->limits))
            wal_repair(replica, output, &entry);
        return;
    case REPAIR_DONT_HAVE:
        repair->dont_have |= 1u << slot;
        if (quorum_has(members_now(replica), repair->dont_have))
            repair_drop(replica, output);
        return;
    case REPAIR_HAVE_FAULTY: repair->faulty |= 1u << slot; return;
    case REPAIR_IN_CHECKPOINT: install_want(replica, output, repair->id.index, repair->id); return;
    }
    UNREACHABLE();
}

/* Promises: the audit of who makes them and the ledger of who believes in them.
 *
 * The audit looks at every frame before it leaves: what it promises is in the sender's disk image already. The ledger
 * remembers, per term, what was promised to whom, and no crash erases it; every belief of a replica (a vote, a match,
 * an acknowledged round) is compared with it as it appears. Neither waits for a schedule in which the broken promise
 * hurts. */
#include "check_state.h"

#include <stdlib.h>
#include <string.h>

enum { TERM_TABLE_MIN = 256 };

void check_promise_reset(struct check *check)
{
    if (check->term_slots == NULL) {
        check->term_slots = calloc(TERM_TABLE_MIN, sizeof *check->term_slots);
        ASSERT(check->term_slots != NULL);
        check->term_mask = TERM_TABLE_MIN - 1;
    }
    if (check->term_count > 0)
        memset(check->term_slots, 0, (check->term_mask + 1) * sizeof *check->term_slots);
    check->term_count = 0;
}

static uint32_t *term_slot(const struct check *check, uint64_t term)
{
    uint32_t slot = (uint32_t)(term * 2654435761u) & check->term_mask;
    while (check->term_slots[slot] != 0 && check->terms[check->term_slots[slot] - 1].term != term)
        slot = (slot + 1) & check->term_mask;
    return &check->term_slots[slot];
}

static void term_table_grow(struct check *check)
{
    free(check->term_slots);
    check->term_mask = check->term_mask * 2 + 1;
    check->term_slots = calloc(check->term_mask + 1, sizeof *check->term_slots);
    ASSERT(check->term_slots != NULL);
    for (uint32_t i = 0; i < check->term_count; i++)
        *term_slot(check, check->terms[i].term) = i + 1;
}

/* The pointer is good until the next call. */
struct ghost_term *check_promise_term(struct check *check, uint64_t term)
{
    uint32_t *slot = term_slot(check, term);
    if (*slot == 0) {
        check->terms = check_grow(check->terms, &check->term_max, check->term_count + 1, sizeof *check->terms);
        check->terms[check->term_count++] = (struct ghost_term){ .term = term };
        *slot = check->term_count;
        if (check->term_count * 2 > check->term_mask)
            term_table_grow(check);
    }
    return &check->terms[*term_slot(check, term) - 1];
}

/* A vote that left counts where it arrives; but the new disk need not know of it. */
void check_promise_forgotten(struct check *check, uint32_t node)
{
    for (uint32_t i = 0; i < check->term_count; i++) {
        struct ghost_term *promises = &check->terms[i];
        if (promises->granted[node] != 0)
            promises->forgotten[node] = promises->granted[node];
        promises->granted[node] = promises->voted[node] = 0;
    }
}

/* An acknowledgement or a confirmed round in a later term would be broken by the first one in this term. A vote in this
 * one may have been given as well, by the disk that was lost: this one must count it as given. */
void check_promise_resumed(struct check *check, uint32_t node, uint64_t term)
{
    check_count(check, CHECK_PROMISE_TERM);
    if (check->nodes[node].stored.hard.vote == 0)
        check_fail(check, CHECK_PROMISE_VOTE, node, "rejoins in term %llu as if it had not voted there",
                   (unsigned long long)term);
    for (uint32_t i = 0; i < check->term_count; i++) {
        const struct ghost_term *promises = &check->terms[i];
        if (promises->term > term && (promises->acked[node].index > 0 || promises->echoed[node] > 0))
            check_fail(check, CHECK_PROMISE_TERM, node,
                       "rejoins in term %llu; it has acknowledged entries or rounds in term %llu",
                       (unsigned long long)term, (unsigned long long)promises->term);
    }
}

/* ---- audit: what leaves a node ---- */

/* Who does not know what it promised says nothing. */
static void audit_rejoin(struct check *check, uint32_t node, const struct message *message)
{
    const struct stored *stored = &check->nodes[node].stored;
    if ((stored->flags & STORED_REJOIN) != 0 && stored->hard.term == 0 && message->type != FRAME_REJOIN_REQUEST)
        check_fail(check, CHECK_PROMISE_TERM, node,
                   "takes part before it knows in which terms it has promised something");
}

/* From now on the directory that was lost is refused by this node, whatever comes. */
static void audit_rejoin_response(struct check *check, uint32_t node, const struct message *message)
{
    const struct stored *stored = &check->nodes[node].stored;
    bool known = false;
    for (uint32_t at = 0; at < DIRECTORIES_MAX; at++)
        known = known
                || (stored->directories[at].node_id == message->to
                    && stored->directories[at].instance == message->rejoin_response.instance);
    check_count(check, CHECK_PROMISE_TERM);
    if (!known)
        check_fail(check, CHECK_PROMISE_TERM, node, "answers a directory that rejoins, which its disk does not know");
}

/* CTRL 3.3: who may have forgotten what it acknowledged does not vote, for itself or others. */
static void audit_abstains(struct check *check, uint32_t node)
{
    if ((check->nodes[node].stored.flags & STORED_ABSTAIN) != 0)
        check_fail(check, CHECK_PROMISE_VOTE, node, "votes, though its disk says that it abstains");
}

static void audit_vote_request(struct check *check, uint32_t node, const struct message *message)
{
    check_transfer_campaign(check, node, message);
    if (message->vote_request.pre)
        return;
    const uint64_t term = message->vote_request.term;
    check_count(check, CHECK_PROMISE_VOTE);
    audit_abstains(check, node);
    if (check_promise_term(check, term)->voted[node] != message->from)
        check_fail(check, CHECK_PROMISE_VOTE, node, "campaigns in term %llu before its own vote is on its disk",
                   (unsigned long long)term);
}

static void audit_vote_response(struct check *check, uint32_t node, const struct message *message)
{
    const struct vote_response *response = &message->vote_response;
    const uint32_t candidate = check_slot(check, message->to);
    if (!response->granted || candidate == VOTERS_MAX)
        return;
    struct ghost_term *promises = check_promise_term(check, response->term);
    if (response->pre) {
        promises->pre_granted[candidate] |= 1u << node;
        return;
    }
    check_count(check, CHECK_PROMISE_VOTE);
    audit_abstains(check, node);
    if (promises->voted[node] != message->to)
        check_fail(check, CHECK_PROMISE_VOTE, node, "votes for %llu in term %llu; its disk has the vote %llu there",
                   (unsigned long long)message->to, (unsigned long long)response->term,
                   (unsigned long long)promises->voted[node]);
    if (promises->granted[node] != 0 && promises->granted[node] != message->to)
        check_fail(check, CHECK_PROMISE_VOTE, node, "votes for %llu in term %llu, after it voted for %llu",
                   (unsigned long long)message->to, (unsigned long long)response->term,
                   (unsigned long long)promises->granted[node]);
    promises->granted[node] = message->to;
}

/* WB-match at the sender: the leader's entries up to `match` are on this disk. */
static void audit_match(struct check *check, uint32_t node, const struct message *message)
{
    struct ghost_node *ghost = &check->nodes[node];
    const uint64_t match = message->append_response.match;
    check_count(check, CHECK_PROMISE_APPEND);
    const struct link link = check_disk_link(check, node, match);
    if (!check_disk_holds(check, node, match, link.chain)) {
        check_fail(check, CHECK_PROMISE_APPEND, node, "reports match %llu; its disk ends at %llu, entry %llu is lost",
                   (unsigned long long)match, (unsigned long long)ghost->disk.last,
                   (unsigned long long)ghost->wal.first_faulty);
        return;
    }
    const uint32_t slot = check_slot(check, message->to);
    const struct ghost_node *leader = slot < VOTERS_MAX ? &check->nodes[slot] : NULL;
    if (leader != NULL && leader->serving && leader->view.role == RAFT_LEADER && leader->view.term == message->term
        && (match > leader->memory.last || check_log_link(check, &leader->memory, match).chain != link.chain))
        check_fail(check, CHECK_PROMISE_APPEND, node,
                   "reports match %llu, where its disk differs from the leader's log", (unsigned long long)match);
    struct ghost_term *promises = check_promise_term(check, message->term);
    if (match > promises->acked[node].index) {
        promises->acked[node] = (struct log_id){ .term = link.term, .index = match };
        promises->acked_chain[node] = link.chain;
    }
    if (ghost->acked_term != message->term) {
        ghost->acked_term = message->term;
        ghost->acked_index = 0;
    }
    check_members_promised(check, node, match);
    ghost->acked_index = u64_max(ghost->acked_index, match);
    ghost->promised_index = u64_max(ghost->promised_index, match);
}

uint64_t check_keeps(struct check *check, uint32_t node, uint64_t candidate, uint64_t term, uint32_t *leader)
{
    const struct ghost_node *ghost = &check->nodes[node];
    const uint32_t slot = check_slot(check, candidate);
    if (ghost->kept_term == 0 || ghost->kept_term >= term || slot == VOTERS_MAX)
        return 0;
    /* First, for it may make room, and move what is there. */
    if ((check_promise_term(check, term - 1)->asked >> slot & 1) != 0)
        return 0;
    const struct ghost_term *promises = check_promise_term(check, ghost->kept_term);
    if (promises->asked != 0)
        return 0;
    *leader = check_slot(check, promises->leader);
    return *leader != VOTERS_MAX ? ghost->kept_ns : 0;
}

void check_promise_crashed(struct check *check, uint32_t node)
{
    for (uint32_t voter = 0; voter < check->setup.node_count; voter++) {
        struct ghost_node *ghost = &check->nodes[voter];
        if (ghost->kept_term != 0
            && check_promise_term(check, ghost->kept_term)->leader == check->setup.configs[node].node_id)
            ghost->kept_term = 0;
    }
}

static void audit_append_response(struct check *check, uint32_t node, const struct message *message)
{
    struct ghost_term *promises = check_promise_term(check, message->term);
    promises->echoed[node] = u64_max(promises->echoed[node], message->append_response.round);
    promises->promised_ns[node] = u64_max(promises->promised_ns[node], message->append_response.promised_ns);
    const uint32_t slot = check_slot(check, message->to);
    const struct ghost_node *leader = slot < VOTERS_MAX ? &check->nodes[slot] : NULL;
    if (message->append_response.promised_ns != 0 && leader != NULL && leader->view.role == RAFT_LEADER
        && leader->view.term == message->term) {
        check->nodes[node].kept_term = message->term;
        check->nodes[node].kept_ns = promises->promised_ns[node];
    }
    if (message->append_response.rejected == 0)
        audit_match(check, node, message);
}

/* The entries lie behind prev in the sender's log, one after the other. */
static bool entries_follow(const struct check *check, const struct ghost_log *log, const struct append_request *request)
{
    struct slice left = request->entries;
    for (uint32_t i = 0; i < request->entry_count; i++) {
        struct entry entry;
        const uint32_t bytes = entry_decode(left, &entry);
        const uint64_t index = request->prev.index + 1 + i;
        if (bytes == 0 || entry.id.index != index || index > log->last
            || entry.id.term != check_log_link(check, log, index).term)
            return false;
        left.bytes += bytes;
        left.count -= bytes;
    }
    return true;
}

/* What a leader sends is its log. */
static void audit_append_request(struct check *check, uint32_t node, const struct message *message)
{
    const struct ghost_node *ghost = &check->nodes[node];
    const struct append_request *request = &message->append_request;
    const struct log_id prev = request->prev;
    check_count(check, CHECK_LOG_MATCHING);
    if (prev.index > ghost->memory.last || check_log_link(check, &ghost->memory, prev.index).term != prev.term)
        check_fail(check, CHECK_LOG_MATCHING, node, "sends entries behind (%llu, %llu), which is not in its log",
                   (unsigned long long)prev.term, (unsigned long long)prev.index);
    else if (!entries_follow(check, &ghost->memory, request))
        check_fail(check, CHECK_LOG_MATCHING, node, "sends entries behind (%llu, %llu) that are not those of its log",
                   (unsigned long long)prev.term, (unsigned long long)prev.index);
    if (check_promise_term(check, message->term)->leader != message->from)
        check_fail(check, CHECK_ELECTION_SAFETY, node, "sends entries in term %llu, which it does not lead",
                   (unsigned long long)message->term);
    if (request->commit > check->committed)
        check_fail(check, CHECK_STATE_MACHINE, node, "tells of commit %llu, beyond %llu",
                   (unsigned long long)request->commit, (unsigned long long)check->committed);
}

void check_send(struct check *check, uint32_t node, struct slice frame)
{
    ASSERT(node < check->setup.node_count);
    if (check->failure.failed)
        return;
    struct ghost_node *ghost = &check->nodes[node];
    struct message message;
    const enum frame_verdict verdict = message_decode(frame, &check->frame, &message);
    if (verdict != FRAME_OK) {
        check_fail(check, CHECK_LIMITS, node, "sends a frame that nobody will take: %s", frame_verdict_text(verdict));
        return;
    }
    if (message.type == FRAME_REFUSAL)
        return;
    check_count(check, CHECK_PROMISE_TERM);
    if (message.term > ghost->stored.hard.term) {
        check_fail(check, CHECK_PROMISE_TERM, node, "speaks in term %llu; its disk has term %llu",
                   (unsigned long long)message.term, (unsigned long long)ghost->stored.hard.term);
        return;
    }
    ghost->promised_term = u64_max(ghost->promised_term, message.term);
    audit_rejoin(check, node, &message);
    switch (message.type) {
    case FRAME_VOTE_REQUEST: audit_vote_request(check, node, &message); break;
    case FRAME_VOTE_RESPONSE: audit_vote_response(check, node, &message); break;
    case FRAME_APPEND_REQUEST: audit_append_request(check, node, &message); break;
    case FRAME_APPEND_RESPONSE: audit_append_response(check, node, &message); break;
    case FRAME_TIMEOUT_NOW: check_transfer_asks(check, node, &message); break;
    case FRAME_REJOIN_RESPONSE: audit_rejoin_response(check, node, &message); break;
    case FRAME_READ_INDEX_REQUEST: check_reads_question(check, node, &message); break;
    case FRAME_READ_INDEX_RESPONSE: check_reads_answer(check, node, &message); break;
    case FRAME_CHECKPOINT_REQUEST:
    case FRAME_CHECKPOINT_RESPONSE:
    case FRAME_REPAIR_REQUEST:
    case FRAME_REPAIR_RESPONSE: /* promise nothing */
    case FRAME_REJOIN_REQUEST:
    case FRAME_REFUSAL:
    case FRAME_CLIENT_REQUEST:
    case FRAME_CLIENT_REPLY: break;
    }
}

/* ---- ledger: what a node believes ---- */

/* The superblock has landed that gives up the log for a checkpoint, and the node does not know it yet. */
static bool log_is_given_up(const struct check *check, const struct ghost_node *ghost)
{
    const uint64_t base = ghost->disk.base;
    return base > ghost->memory.last
           || check_log_link(check, &ghost->memory, base).chain != check->commits[base].link.chain;
}

/* The replica's own view of its disk. */
static void ledger_disk(struct check *check, uint32_t node, const struct replica_view *view)
{
    const struct ghost_node *ghost = &check->nodes[node];
    const uint64_t durable = view->durable_index;
    if (durable <= ghost->memory.last && !log_is_given_up(check, ghost)
        && !check_disk_holds(check, node, durable, check_log_link(check, &ghost->memory, durable).chain))
        check_fail(check, CHECK_PROMISE_APPEND, node,
                   "believes that entry %llu is on its disk, which ends at %llu, with entry %llu lost",
                   (unsigned long long)durable, (unsigned long long)ghost->disk.last,
                   (unsigned long long)ghost->wal.first_faulty);
    if (ghost->hard_lost)
        return;
    if (view->durable_term > ghost->stored.hard.term)
        check_fail(check, CHECK_PROMISE_TERM, node, "believes that term %llu is on its disk, which has %llu",
                   (unsigned long long)view->durable_term, (unsigned long long)ghost->stored.hard.term);
    if (view->durable_term == ghost->stored.hard.term && view->durable_vote != 0
        && view->durable_vote != ghost->stored.hard.vote)
        check_fail(check, CHECK_PROMISE_VOTE, node, "believes that the vote %llu is on its disk, which has %llu",
                   (unsigned long long)view->durable_vote, (unsigned long long)ghost->stored.hard.vote);
}

static void ledger_votes(struct check *check, uint32_t node, const struct replica_view *view)
{
    const struct replica_view *before = &check->nodes[node].view;
    if (view->term == before->term && view->role == before->role && view->votes == before->votes)
        return;
    const struct ghost_term *promises = check_promise_term(check, view->term);
    const uint32_t slots = check_members_slots(check, check->nodes[node].used);
    for (uint32_t slot = 0; slot < slots; slot++) {
        const uint32_t voter = check_members_node(check, check->nodes[node].used, slot);
        if ((view->votes >> slot & 1) == 0 || voter == VOTERS_MAX)
            continue;
        check_count(check, CHECK_LEDGER_VOTE);
        const uint64_t promised = voter == node ? promises->voted[voter] : promises->granted[voter];
        if (promised != view->node_id && promises->forgotten[voter] != view->node_id)
            check_fail(check, CHECK_LEDGER_VOTE, node, "counts a vote in term %llu that node %llu never gave it",
                       (unsigned long long)view->term, (unsigned long long)check->setup.configs[voter].node_id);
    }
}

static void ledger_pre_votes(struct check *check, uint32_t node, const struct replica_view *view)
{
    uint32_t others = 0;
    if (view->pre_votes == check->nodes[node].view.pre_votes)
        return;
    const uint32_t slots = check_members_slots(check, check->nodes[node].used);
    for (uint32_t slot = 0; slot < slots; slot++) {
        const uint32_t voter = check_members_node(check, check->nodes[node].used, slot);
        if ((view->pre_votes >> slot & 1) != 0 && voter != node && voter < VOTERS_MAX)
            others |= 1u << voter;
    }
    if (others == 0)
        return;
    check_count(check, CHECK_LEDGER_VOTE);
    if ((others & ~check_promise_term(check, view->term + 1)->pre_granted[node]) != 0)
        check_fail(check, CHECK_LEDGER_VOTE, node, "counts a pre-vote for term %llu that nobody gave it",
                   (unsigned long long)(view->term + 1));
}

/* The latest term that the node can know of: in it, it may have replaced what it had reported before. */
static uint64_t heard_of_term(const struct ghost_node *ghost)
{
    const uint64_t disk = u64_max(ghost->stored.hard.term, ghost->wal.term);
    return u64_max(disk, u64_max(ghost->promised_term, ghost->view.term));
}

/* WB-match at the leader. */
static void ledger_match(struct check *check, uint32_t node, uint32_t slot, const struct replica_view *view)
{
    const uint32_t peer = check_members_node(check, check->nodes[node].used, slot);
    const uint64_t match = view->match[slot];
    if (match == 0 || peer == VOTERS_MAX)
        return;
    const struct ghost_node *ghost = &check->nodes[node], *other = &check->nodes[peer];
    check_count(check, CHECK_LEDGER_MATCH);
    if (match > ghost->memory.last) {
        check_fail(check, CHECK_LEDGER_MATCH, node,
                   "believes that node %llu has entry %llu, which it does not have itself",
                   (unsigned long long)check->setup.configs[peer].node_id, (unsigned long long)match);
        return;
    }
    const uint64_t chain = check_log_link(check, &ghost->memory, match).chain;
    if (peer == node) {
        if (!check_disk_holds(check, node, match, chain))
            check_fail(check, CHECK_LEDGER_MATCH, node, "counts itself for entry %llu; its disk ends at %llu",
                       (unsigned long long)match, (unsigned long long)ghost->disk.last);
        check->nodes[node].promised_index = u64_max(ghost->promised_index, match);
        return;
    }
    const struct ghost_term *promises = check_promise_term(check, view->term);
    const uint64_t acked = promises->acked[peer].index;
    if (match > acked || (match == acked && promises->acked_chain[peer] != chain))
        check_fail(check, CHECK_LEDGER_MATCH, node,
                   "believes match %llu of node %llu, which reported %llu in term %llu", (unsigned long long)match,
                   (unsigned long long)check->setup.configs[peer].node_id, (unsigned long long)acked,
                   (unsigned long long)view->term);
    else if (heard_of_term(other) <= view->term && !check_disk_promised(check, peer, match, chain))
        check_fail(check, CHECK_LEDGER_MATCH, node,
                   "believes match %llu of node %llu, whose disk does not hold that entry", (unsigned long long)match,
                   (unsigned long long)check->setup.configs[peer].node_id);
}

/* Raft 6.4: a majority has answered this very round. */
static void ledger_rounds(struct check *check, uint32_t node, const struct replica_view *view, bool same)
{
    const struct replica_view *before = &check->nodes[node].view;
    const struct ghost_term *promises = check_promise_term(check, view->term);
    const struct ghost_node *ghost = &check->nodes[node];
    const uint32_t slots = check_members_slots(check, ghost->used);
    for (uint32_t slot = 0; slot < slots; slot++) {
        if (same && view->round_acked[slot] == before->round_acked[slot])
            continue;
        const uint32_t peer = check_members_node(check, ghost->used, slot);
        if (peer == VOTERS_MAX || peer == node)
            continue;
        check_count(check, CHECK_LEDGER_ROUND);
        if (view->round_acked[slot] > promises->echoed[peer])
            check_fail(check, CHECK_LEDGER_ROUND, node, "believes that node %llu answered round %llu; it answered %llu",
                       (unsigned long long)check->setup.configs[peer].node_id,
                       (unsigned long long)view->round_acked[slot], (unsigned long long)promises->echoed[peer]);
    }
    if (before->role == RAFT_LEADER && before->term == view->term && view->read_confirmed == before->read_confirmed)
        return;
    uint32_t echoes = 0;
    for (uint32_t peer = 0; peer < check->setup.node_count; peer++)
        if (peer == node || promises->echoed[peer] >= view->read_confirmed)
            echoes |= 1u << peer;
    if (view->read_confirmed > view->read_round
        || (view->read_confirmed > 0 && !check_members_quorum(check, ghost->used_before, echoes)
            && !check_members_quorum(check, ghost->used, echoes)))
        check_fail(check, CHECK_LEDGER_ROUND, node,
                   "takes round %llu for confirmed, which no majority has answered: the node slots 0x%x",
                   (unsigned long long)view->read_confirmed, echoes);
}

/* Raft 6.4, steps 1 and 4: a round begins only behind a commit of the own term, and nothing is served before it is
 * applied. Either would need another leader's help to show. */
static void ledger_reads(struct check *check, uint32_t node, const struct replica_view *view,
                         const struct output *output)
{
    const struct ghost_log *log = &check->nodes[node].memory;
    const uint32_t events = u32_min(output->event_count, output->event_max);
    for (uint32_t i = 0; i < events; i++) {
        const struct event *event = &output->events[i];
        const bool served = event->kind == EVENT_READ_SERVED || event->kind == EVENT_FOLLOWER_READ;
        if (event->kind == EVENT_READ_ROUND && view->role == RAFT_LEADER
            && (event->b > log->last || check_log_link(check, log, event->b).term != view->term))
            check_fail(check, CHECK_READ, node, "reads at entry %llu before it has committed one of its term %llu",
                       (unsigned long long)event->b, (unsigned long long)view->term);
        if (served && !view->store_ready)
            check_fail(check, CHECK_READ, node, "answers a read of entry %llu without a whole state",
                       (unsigned long long)event->a);
        if (served && event->a > event->b)
            check_fail(check, CHECK_READ, node, "answers a read of entry %llu, having applied %llu",
                       (unsigned long long)event->a, (unsigned long long)event->b);
    }
}

void check_promise_follow(struct check *check, uint32_t node, const struct replica_view *view,
                          const struct output *output)
{
    const struct replica_view *before = &check->nodes[node].view;
    const uint32_t events = u32_min(output->event_count, output->event_max);
    for (uint32_t i = 0; i < events; i++)
        if (output->events[i].kind == EVENT_ABSTAIN_OVER)
            check->nodes[node].matched_term = output->events[i].b;
    ledger_disk(check, node, view);
    ledger_reads(check, node, view, output);
    if (view->role == RAFT_CANDIDATE || view->role == RAFT_LEADER)
        ledger_votes(check, node, view);
    if (view->role == RAFT_PRE_CANDIDATE)
        ledger_pre_votes(check, node, view);
    if (view->role != RAFT_LEADER)
        return;
    const bool same = before->role == RAFT_LEADER && before->term == view->term
                      && log_id_equal(before->configuration, view->configuration);
    /* A lower match is no new belief: what that disk has lost since it was promised, its node says next. */
    const uint32_t slots = check_members_slots(check, check->nodes[node].used);
    for (uint32_t slot = 0; slot < slots; slot++)
        if (!same || view->match[slot] > before->match[slot])
            ledger_match(check, node, slot, view);
    ledger_rounds(check, node, view, same);
}

/* Durable on a majority of those who committed it; or of the members now, as the node or the cluster has them, when
 * others have left, and need it no more. */
static bool reply_is_durable(const struct check *check, uint32_t node, uint64_t index)
{
    const struct ghost_commit *commit = &check->commits[index];
    const uint32_t holders = check_disk_holders(check, index, commit->link.chain);
    return check_members_quorum(check, commit->configuration, holders)
           || check_members_quorum(check, check->nodes[node].used, holders) || check_members_quorum_now(check, holders);
}

/* An outcome that a client hears is committed and durable on a majority. */
void check_reply(struct check *check, uint32_t node, struct slice frame)
{
    struct reply reply;
    if (check->failure.failed || reply_decode(frame, check->limits.frame_bytes_max, &reply) != FRAME_OK)
        return;
    if (reply.applied == 0)
        return;
    check_count(check, CHECK_PROMISE_REPLY);
    if (reply.applied > check->committed)
        check_fail(check, CHECK_PROMISE_REPLY, node, "answers from entry %llu; %llu are committed",
                   (unsigned long long)reply.applied, (unsigned long long)check->committed);
    else if (!reply_is_durable(check, node, reply.applied))
        check_fail(check, CHECK_PROMISE_REPLY, node, "answers from entry %llu, which is not durable on a majority",
                   (unsigned long long)reply.applied);
}

/* Logs in memory and what is committed: I1 to I4, and the commit rule.
 *
 * The ghost of a log is one chain hash per entry. What changed in a step is found from the events, and independently of
 * them from the terms at the end of the log; a creeping comparison of one entry per step catches what both miss. */
#include "check_state.h"

#include <stdlib.h>
#include <string.h>

enum { ENTRY_TABLE_MIN = 1024 };

static void entry_table_size(struct check *check, uint32_t slots)
{
    free(check->entries);
    free(check->entry_used);
    check->entries = calloc(slots, sizeof *check->entries);
    check->entry_used = calloc(slots, sizeof *check->entry_used);
    ASSERT(check->entries != NULL && check->entry_used != NULL);
    check->entry_mask = slots - 1;
    check->entry_count = 0;
}

void check_log_reset(struct check *check)
{
    if (check->entries == NULL)
        entry_table_size(check, ENTRY_TABLE_MIN);
    for (uint32_t i = 0; i < check->entry_count; i++)
        check->entries[check->entry_used[i]].index = 0;
    check->entry_count = 0;
}

static struct ghost_entry *entry_find(struct check *check, uint64_t index, uint64_t term)
{
    uint64_t hash = index * UINT64_C(0x9e3779b97f4a7c15) + term * UINT64_C(0xc2b2ae3d27d4eb4f);
    uint32_t slot = (uint32_t)(hash >> 32) & check->entry_mask;
    while (check->entries[slot].index != 0
           && (check->entries[slot].index != index || check->entries[slot].term != term))
        slot = (slot + 1) & check->entry_mask;
    return &check->entries[slot];
}

uint64_t check_log_chain(struct check *check, uint64_t index, uint64_t term)
{
    const struct ghost_entry *entry = entry_find(check, index, term);
    return entry->index == 0 ? 0 : entry->chain;
}

static void entry_insert(struct check *check, const struct ghost_entry *entry)
{
    struct ghost_entry *slot = entry_find(check, entry->index, entry->term);
    ASSERT(slot->index == 0);
    *slot = *entry;
    check->entry_used[check->entry_count++] = (uint32_t)(slot - check->entries);
}

static void entry_table_grow(struct check *check)
{
    struct ghost_entry *old = check->entries;
    uint32_t *used = check->entry_used;
    const uint32_t count = check->entry_count;
    check->entries = NULL;
    check->entry_used = NULL;
    entry_table_size(check, (check->entry_mask + 1) * 2);
    for (uint32_t i = 0; i < count; i++)
        entry_insert(check, &old[used[i]]);
    free(old);
    free(used);
}

void check_log_match(struct check *check, uint32_t node, uint64_t index, struct link link)
{
    const struct ghost_entry *known = entry_find(check, index, link.term);
    check_count(check, CHECK_LOG_MATCHING);
    if (known->index != 0) {
        if (known->chain != link.chain)
            check_fail(check, CHECK_LOG_MATCHING, node,
                       "entry %llu of term %llu, or one before it, differs from another node's",
                       (unsigned long long)index, (unsigned long long)link.term);
        return;
    }
    entry_insert(check, &(struct ghost_entry){ .index = index, .term = link.term, .chain = link.chain });
    if (check->entry_count * 2 > check->entry_mask)
        entry_table_grow(check);
}

/* Who is still in an earlier term than the leader that committed the entry never confirmed it to that one, and may hear
 * of a leader that lacks it (Raft 3.6.2): it is not of those that keep it. */
void check_log_removed(struct check *check, uint32_t node, const struct ghost_log *log, uint64_t kept, uint64_t term,
                       const char *where)
{
    if (kept >= log->last || kept >= check->committed)
        return;
    check_count(check, CHECK_DURABLE_QUORUM);
    if (term < check->commits[kept + 1].term)
        return;
    if (check_log_link(check, log, kept + 1).chain == check->commits[kept + 1].link.chain)
        check_fail(check, CHECK_DURABLE_QUORUM, node, "removes the committed entry %llu from its %s",
                   (unsigned long long)(kept + 1), where);
}

/* The lowest index whose entry may have changed. */
static uint64_t follow_from(const struct check *check, const struct ghost_log *log, const struct replica *replica,
                            const struct replica_view *view, const struct output *output)
{
    uint64_t from = u64_min(log->last, view->last.index) + 1;
    if (output->event_count > output->event_max)
        return log->base + 1;
    for (uint32_t i = 0; i < output->event_count; i++) {
        const struct event *event = &output->events[i];
        if (event->kind == EVENT_APPEND || event->kind == EVENT_ENTRY_REPAIRED)
            from = u64_min(from, event->a);
        if (event->kind == EVENT_TRUNCATE)
            from = u64_min(from, event->a + 1);
    }
    from = u64_max(from, log->base + 1);
    while (from > log->base + 1 && replica_entry_term(replica, from - 1) != check_log_link(check, log, from - 1).term)
        from--;
    return from;
}

static struct link follow_link(struct check *check, const struct ghost_log *log, const struct replica *replica,
                               uint64_t index)
{
    struct entry entry;
    /* Damaged: its identity is all that the node knows, and that names one entry and one past. */
    if (!replica_entry_readable(replica, index)) {
        const uint64_t term = replica_entry_term(replica, index);
        return (struct link){ .term = term, .chain = check_log_chain(check, index, term) };
    }
    replica_entry(replica, index, &entry);
    return (struct link){ .term = entry.id.term,
                          .chain = link_chain(check_log_link(check, log, index - 1).chain, entry.id.term, entry.kind,
                                              entry.body) };
}

/* The log begins behind what only the checkpoint holds. A log that did not reach there, or was another one, begins
 * anew. */
static void follow_base(struct check *check, uint32_t node, const struct replica_view *view)
{
    struct ghost_log *log = &check->nodes[node].memory;
    const uint64_t base = view->base.index;
    if (base == log->base)
        return;
    check_count(check, CHECK_LOG_MATCHING);
    if (base > check->committed || view->base.term != check->commits[base].link.term) {
        check_fail(check, CHECK_LOG_MATCHING, node,
                   "its log begins behind entry %llu of term %llu, which nobody committed", (unsigned long long)base,
                   (unsigned long long)view->base.term);
        return;
    }
    if (base < log->base)
        check_fail(check, CHECK_LOG_MATCHING, node, "its log began behind entry %llu, and begins behind %llu now",
                   (unsigned long long)log->base, (unsigned long long)base);
    if (log->last < base || check_log_link(check, log, base).chain != check->commits[base].link.chain)
        log->last = base;
    log->base = base;
}

/* I2, and what this node reported to the leader of its present term. */
static void follow_removed(struct check *check, uint32_t node, const struct replica_view *view, uint64_t kept)
{
    const struct ghost_node *ghost = &check->nodes[node];
    check_log_removed(check, node, &ghost->memory, kept, view->term, "log");
    if (ghost->view.role == RAFT_LEADER && view->role == RAFT_LEADER && ghost->view.term == view->term)
        check_fail(check, CHECK_LEADER_APPEND_ONLY, node, "leader of term %llu removes its entry %llu",
                   (unsigned long long)view->term, (unsigned long long)(kept + 1));
    if (ghost->acked_term == view->term && kept < ghost->acked_index)
        check_fail(check, CHECK_PROMISE_APPEND, node,
                   "removes entry %llu, reported to the leader of the same term %llu", (unsigned long long)(kept + 1),
                   (unsigned long long)view->term);
}

/* Compares one entry that is not expected to have changed. */
static void follow_audit(struct check *check, uint32_t node, const struct replica *replica)
{
    struct ghost_node *ghost = &check->nodes[node];
    const struct ghost_log *log = &ghost->memory;
    if (log->last == log->base)
        return;
    ghost->audited = ghost->audited >= log->last ? log->base + 1 : u64_max(ghost->audited, log->base) + 1;
    if (follow_link(check, &ghost->memory, replica, ghost->audited).chain != ghost->memory.links[ghost->audited].chain)
        check_fail(check, CHECK_LOG_MATCHING, node, "entry %llu changed in place", (unsigned long long)ghost->audited);
}

void check_log_follow(struct check *check, uint32_t node, const struct replica *replica,
                      const struct replica_view *view, const struct output *output)
{
    struct ghost_node *ghost = &check->nodes[node];
    struct ghost_log *log = &ghost->memory;
    follow_base(check, node, view);
    if (check->failure.failed)
        return;
    uint64_t from = follow_from(check, log, replica, view, output);
    const uint64_t last = view->last.index;
    check_count(check, CHECK_LEADER_APPEND_ONLY);
    /* An event may speak of an entry that is the same as before. */
    while (from <= log->last && from <= last && follow_link(check, log, replica, from).chain == log->links[from].chain)
        from++;
    if (from <= log->last && from <= last && replica_entry_term(replica, from) == log->links[from].term)
        check_fail(check, CHECK_LOG_MATCHING, node, "entry %llu of term %llu is not what it was",
                   (unsigned long long)from, (unsigned long long)log->links[from].term);
    if (from <= log->last) {
        follow_removed(check, node, view, from - 1);
        log->last = from - 1;
    }
    for (uint64_t index = from; index <= last; index++) {
        const struct link link = follow_link(check, log, replica, index);
        struct entry entry;
        const uint64_t before = check_log_link(check, log, index - 1).term;
        if (link.term < before || link.term > view->term)
            check_fail(check, CHECK_LOG_MATCHING, node, "entry %llu has term %llu behind term %llu, in term %llu",
                       (unsigned long long)index, (unsigned long long)link.term, (unsigned long long)before,
                       (unsigned long long)view->term);
        log->links[index] = link;
        log->last = index;
        check_log_match(check, node, index, link);
        if (!replica_entry_readable(replica, index))
            continue;
        replica_entry(replica, index, &entry);
        if (entry.kind == ENTRY_CONFIG)
            check_members_entry(check, node, link, &entry);
    }
    const uint64_t last_term = check_log_link(check, log, last).term;
    if (view->last.term != last_term)
        check_fail(check, CHECK_LOG_MATCHING, node, "last entry %llu is said to be of term %llu, and is of term %llu",
                   (unsigned long long)last, (unsigned long long)view->last.term, (unsigned long long)last_term);
    if (!check->failure.failed)
        follow_audit(check, node, replica);
}

/* I4: what was committed in an earlier term is in the log of the leader of a later one. A stale candidate may still
 * win a lower term after a commit in a higher one: nothing is demanded of it. */
static void leader_complete(struct check *check, uint32_t node, uint64_t term)
{
    const struct ghost_log *log = &check->nodes[node].memory;
    uint64_t index = check->committed;
    while (index > 0 && check->commits[index].term >= term)
        index--;
    check_count(check, CHECK_LEADER_COMPLETENESS);
    if (index > 0 && (log->last < index || check_log_link(check, log, index).chain != check->commits[index].link.chain))
        check_fail(check, CHECK_LEADER_COMPLETENESS, node,
                   "leader of term %llu lacks the entry %llu, committed in term %llu", (unsigned long long)term,
                   (unsigned long long)index, (unsigned long long)check->commits[index].term);
}

void check_log_new_leader(struct check *check, uint32_t node, const struct replica_view *view)
{
    struct ghost_term *promises = check_promise_term(check, view->term);
    check_count(check, CHECK_ELECTION_SAFETY);
    if (promises->leader != 0)
        check_fail(check, CHECK_ELECTION_SAFETY, node, "leads term %llu, which node %llu has led",
                   (unsigned long long)view->term, (unsigned long long)promises->leader);
    promises->leader = view->node_id;
    const uint32_t used = check->nodes[node].used;
    uint32_t votes = 0;
    for (uint32_t voter = 0; voter < check->setup.node_count; voter++)
        if ((voter == node ? promises->voted[voter] : promises->granted[voter]) == view->node_id
            || promises->forgotten[voter] == view->node_id)
            votes |= 1u << voter;
    check_count(check, CHECK_LEDGER_VOTE);
    if (!check_members_quorum(check, used, votes))
        check_fail(check, CHECK_LEDGER_VOTE, node,
                   "leads term %llu without a majority: it was promised the votes of the node slots 0x%x",
                   (unsigned long long)view->term, votes);
    if (!check_members_may_lead(check, node, view->commit))
        check_fail(check, CHECK_CONFIGURATION, node, "leads term %llu, and is no member",
                   (unsigned long long)view->term);
    leader_complete(check, node, view->term);
}

/* Leaders of later terms than the one that commits now must have had the entries all along. */
static void commit_later_leaders(struct check *check, uint64_t index, uint64_t term)
{
    for (uint32_t other = 0; other < check->setup.node_count; other++) {
        const struct ghost_node *ghost = &check->nodes[other];
        if (ghost->serving && ghost->view.role == RAFT_LEADER && ghost->view.term > term
            && check->commits[index].term < ghost->view.term)
            leader_complete(check, other, ghost->view.term);
    }
}

/* I6, WB-commit: a leader commits only entries of its own term by counting (Raft 5.4.2), durable on a majority. */
static void commit_lead(struct check *check, uint32_t node, uint64_t term, uint64_t index)
{
    const struct ghost_log *log = &check->nodes[node].memory;
    const struct link link = check_log_link(check, log, index);
    check_count(check, CHECK_DURABLE_QUORUM);
    if (link.term != term)
        check_fail(check, CHECK_DURABLE_QUORUM, node, "leader of term %llu commits entry %llu of term %llu by counting",
                   (unsigned long long)term, (unsigned long long)index, (unsigned long long)link.term);
    /* What a leader appends behind a commit is not in use for it yet (Raft 4.3). */
    const uint32_t used = check->nodes[node].used_before;
    const uint32_t holders = check_disk_holders(check, index, link.chain);
    if (!check_members_quorum(check, used, holders))
        check_fail(check, CHECK_DURABLE_QUORUM, node,
                   "commits entry %llu of term %llu, durable on no majority: on the node slots 0x%x",
                   (unsigned long long)index, (unsigned long long)link.term, holders);
    const uint64_t known = u64_min(index, check->committed);
    if (check_log_link(check, log, known).chain != check->commits[known].link.chain)
        check_fail(check, CHECK_LEADER_COMPLETENESS, node, "commits entry %llu, but another one was committed there",
                   (unsigned long long)known);
    if (check->failure.failed || index <= check->committed)
        return;
    for (uint64_t i = check->committed + 1; i <= index; i++)
        check->commits[i] = (struct ghost_commit){ .link = log->links[i], .term = term, .configuration = used };
    check->committed = index;
    commit_later_leaders(check, index, term);
}

void check_log_commit(struct check *check, uint32_t node, const struct replica_view *view)
{
    const struct ghost_node *ghost = &check->nodes[node];
    if (view->commit <= ghost->view.commit)
        return;
    /* It may lose its majority in the very step in which it committed. */
    const bool led = ghost->view.role == RAFT_LEADER && ghost->view.term == view->term;
    /* Nobody counts for what its own checkpoint holds, or the one that it gets from a peer. */
    const bool loaded = view->commit <= ghost->stored.checkpoint.id.index || view->commit == view->install_index;
    /* Nor for what a peer's checkpoint holds, which asks for it. */
    const bool told = view->commit <= check->committed
                      && !hash128_equal(check->commits[view->commit].checkpoint, (struct hash128){ .low = 0 });
    if ((view->role == RAFT_LEADER || led) && !loaded && !told) {
        commit_lead(check, node, view->term, view->commit);
        return;
    }
    check_count(check, CHECK_STATE_MACHINE);
    if (view->commit > check->committed)
        check_fail(check, CHECK_STATE_MACHINE, node, "commits entry %llu, which no leader has committed",
                   (unsigned long long)view->commit);
    else if (check_log_link(check, &ghost->memory, view->commit).chain != check->commits[view->commit].link.chain)
        check_fail(check, CHECK_STATE_MACHINE, node, "commits entry %llu, but another one was committed there",
                   (unsigned long long)view->commit);
}

struct check_standing check_standing(const struct check *check, uint32_t node)
{
    const struct ghost_log *log = &check->nodes[node].memory;
    const uint64_t common = u64_min(log->last, check->committed);
    ASSERT(node < check->setup.node_count);
    if (!check->nodes[node].serving)
        return (struct check_standing){ 0 };
    return (struct check_standing){
        .missing = check->committed - common,
        .extra = log->last - common,
        .diverged = common > 0 && check_log_link(check, log, common).chain != check->commits[common].link.chain,
    };
}

/* The checker's life, its failure, and the hook after each step. What is checked lies beside: check_state.h.
 *
 * A hook does work in proportion to what changed: new log entries, advanced indices, landed blocks. Memory is kept from
 * schedule to schedule and grows only. */
#include "check_state.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* No schedule gets near: a larger index is nonsense. */
enum { INDEX_CREDIBLE = 1 << 24 };

static const char *const kind_texts[] = {
    [CHECK_ELECTION_SAFETY] = "election_safety",
    [CHECK_LEADER_APPEND_ONLY] = "leader_append_only",
    [CHECK_LOG_MATCHING] = "log_matching",
    [CHECK_LEADER_COMPLETENESS] = "leader_completeness",
    [CHECK_STATE_MACHINE] = "state_machine",
    [CHECK_DURABLE_QUORUM] = "durable_quorum",
    [CHECK_MONOTONE] = "monotone",
    [CHECK_EXACTLY_ONCE] = "exactly_once",
    [CHECK_READ_INDEX] = "read_index",
    [CHECK_READ_AGE] = "read_age",
    [CHECK_READ] = "read",
    [CHECK_WRITE] = "write",
    [CHECK_LIMITS] = "limits",
    [CHECK_PINNED] = "pinned",
    [CHECK_PROMISE_VOTE] = "promise_vote",
    [CHECK_PROMISE_TERM] = "promise_term",
    [CHECK_PROMISE_APPEND] = "promise_append",
    [CHECK_PROMISE_REPLY] = "promise_reply",
    [CHECK_PROMISE_LEASE] = "promise_lease",
    [CHECK_LEDGER_VOTE] = "ledger_vote",
    [CHECK_LEDGER_MATCH] = "ledger_match",
    [CHECK_LEDGER_ROUND] = "ledger_round",
    [CHECK_LEDGER_LEASE] = "ledger_lease",
    [CHECK_LEDGER_TRANSFER] = "ledger_transfer",
    [CHECK_RECOVERY] = "recovery",
    [CHECK_CHECKPOINT] = "checkpoint",
    [CHECK_LEASE] = "lease",
    [CHECK_CONFIGURATION] = "configuration",
    [CHECK_TRANSFER] = "transfer",
    [CHECK_STATUS] = "status",
    [CHECK_TIMER] = "timer",
    [CHECK_DEADLINE] = "deadline",
    [CHECK_SCRUB] = "scrub",
    [CHECK_REFUSAL] = "refusal",
    [CHECK_LINEAR] = "linear",
    [CHECK_LIVENESS] = "liveness",
    [CHECK_STOP] = "stop",
    [CHECK_FRAME] = "frame",
};
STATIC_ASSERT(ARRAY_COUNT(kind_texts) == CHECK_KINDS, "a text for each kind");

const char *check_kind_text(enum check_kind kind)
{
    ASSERT(kind < CHECK_KINDS);
    return kind_texts[kind];
}

void *check_grow(void *memory, uint32_t *max, uint32_t count, size_t bytes)
{
    if (count <= *max)
        return memory;
    const uint32_t grown = u32_max(count, *max * 2);
    memory = realloc(memory, grown * bytes);
    ASSERT(memory != NULL);
    *max = grown;
    return memory;
}

struct check *check_new(void)
{
    struct check *check = calloc(1, sizeof *check);
    ASSERT(check != NULL);
    return check;
}

void check_free(struct check *check)
{
    for (uint32_t node = 0; node < VOTERS_MAX; node++) {
        free(check->nodes[node].memory.links);
        free(check->nodes[node].disk.links);
        free(check->nodes[node].wal.image);
        free(check->nodes[node].wal.bad);
        free(check->nodes[node].wal.batches);
        free(check->nodes[node].wal.faulty);
        free(check->nodes[node].data.image);
        free(check->nodes[node].data.blocks);
        free(check->nodes[node].moments);
    }
    free(check->configurations);
    free(check->commits);
    free(check->results);
    free(check->entries);
    free(check->entry_used);
    free(check->terms);
    free(check->term_slots);
    free(check->keys);
    free(check->key_text);
    free(check->map[0]);
    free(check->map[1]);
    free(check->key_slots);
    free(check->versions);
    free(check->sessions);
    free(check->calls);
    free(check->refusals);
    free(check->history);
    free(check);
}

static void *resize(void *memory, uint64_t count, size_t bytes)
{
    memory = realloc(memory, count * bytes);
    ASSERT(memory != NULL);
    return memory;
}

void check_reserve(struct check *check, uint64_t index)
{
    if (index <= check->index_max)
        return;
    const uint64_t index_max = u64_max(index, check->index_max * 2);
    check->index_max = index_max;
    check->commits = resize(check->commits, index_max + 1, sizeof *check->commits);
    check->results = resize(check->results, index_max + 1, sizeof *check->results);
    for (uint32_t node = 0; node < VOTERS_MAX; node++) {
        struct ghost_node *ghost = &check->nodes[node];
        ghost->memory.links = resize(ghost->memory.links, index_max + 1, sizeof(struct link));
        ghost->disk.links = resize(ghost->disk.links, index_max + 1, sizeof(struct link));
        ghost->wal.faulty = resize(ghost->wal.faulty, index_max + 1, sizeof(bool));
    }
}

void check_reset(struct check *check, const struct check_setup *setup)
{
    ASSERT(setup->node_count >= 1);
    ASSERT(setup->node_count <= VOTERS_MAX);
    check->setup = *setup;
    check->limits = *setup->limits;
    check->failure.failed = false;
    check->step = 0;
    check->frame = (struct frame_context){ .cluster_id = setup->configs[0].cluster_id,
                                           .fingerprint = limits_fingerprint(setup->limits),
                                           .frame_bytes_max = setup->limits->frame_bytes_max };
    check->unsearchable = false;
    memset(check->counts, 0, sizeof check->counts);
    check_reserve(check, setup->limits->log_entries_max);
    for (uint32_t node = 0; node < setup->node_count; node++) {
        struct ghost_node *ghost = &check->nodes[node];
        struct link *const memory = ghost->memory.links, *const disk = ghost->disk.links;
        *ghost = (struct ghost_node){ .memory = { .links = memory },
                                      .disk = { .links = disk },
                                      .wal = ghost->wal,
                                      .data = ghost->data,
                                      .moments = ghost->moments,
                                      .moment_max = ghost->moment_max };
        check_disk_reset(check, node);
        check_data_reset(check, node);
    }
    check->committed = check->acknowledged = 0;
    check->commits[0] = (struct ghost_commit){ .term = 0 };
    check->call_count = check->refusal_count = 0;
    check_members_reset(check);
    check_log_reset(check);
    check_promise_reset(check);
    check_model_reset(check);
}

const struct check_failure *check_result(const struct check *check) { return &check->failure; }

const uint64_t *check_counts(const struct check *check) { return check->counts; }

void check_count(struct check *check, enum check_kind kind) { check->counts[kind]++; }

uint64_t check_committed(const struct check *check) { return check->committed; }

void check_set_step(struct check *check, uint64_t step) { check->step = step; }

void check_fail(struct check *check, enum check_kind kind, uint32_t node, const char *format, ...)
{
    if (check->failure.failed)
        return;
    check->failure =
        (struct check_failure){ .failed = true, .kind = kind, .node = node, .step = check->step, .format = format };
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(check->failure.text, sizeof check->failure.text, format, arguments);
    va_end(arguments);
}

uint32_t check_slot(const struct check *check, uint64_t node_id)
{
    for (uint32_t slot = 0; slot < check->setup.node_count; slot++)
        if (check->setup.configs[slot].node_id == node_id)
            return slot;
    return VOTERS_MAX;
}

static void life_end(struct ghost_node *ghost)
{
    ghost->serving = false;
    ghost->abstained = (ghost->stored.flags & STORED_ABSTAIN) != 0;
    ghost->matched_term = 0;
    ghost->memory.base = ghost->memory.last = 0;
    ghost->audited = 0;
    ghost->view = (struct replica_view){ .role = RAFT_STARTING };
}

void check_node_started(struct check *check, uint32_t node)
{
    ASSERT(node < check->setup.node_count);
    life_end(&check->nodes[node]);
    check_promise_crashed(check, node);
    check_reads_reset(check, node);
}

void check_node_crashed(struct check *check, uint32_t node)
{
    ASSERT(node < check->setup.node_count);
    life_end(&check->nodes[node]);
}

void check_node_wiped(struct check *check, uint32_t node)
{
    struct ghost_node *ghost = &check->nodes[node];
    ASSERT(node < check->setup.node_count && !ghost->serving);
    check_disk_wiped(check, node);
    check_data_reset(check, node);
    check_promise_forgotten(check, node);
    memset(ghost->copies, 0, sizeof ghost->copies);
    memset(ghost->copy_valid, 0, sizeof ghost->copy_valid);
    ghost->stored = (struct stored){ .flags = 0 };
    ghost->stored_hash = (struct hash128){ .low = 0 };
    ghost->hard_lost = false;
    ghost->promised_term = ghost->promised_index = 0;
    ghost->acked_term = ghost->acked_index = 0;
}

/* One operation of a device is no longer than the limits say, or others wait for it longer than they need to. */
static void step_operations(struct check *check, uint32_t node, const struct output *output)
{
    const struct limits *limits = &check->limits;
    const uint32_t wal_bytes_max = u32_max(limits->wal_batch_bytes_max, limits_superblock_bytes(limits));
    for (uint32_t i = 0; i < output->effect_count; i++) {
        const struct effect *effect = &output->effects[i];
        if (effect->kind != EFFECT_READ && effect->kind != EFFECT_WRITE)
            continue;
        if (effect->bytes.count > (effect->device == DEVICE_DATA ? limits->data_run_bytes_max : wal_bytes_max))
            check_fail(check, CHECK_LIMITS, node, "an operation of %u bytes on device %u", effect->bytes.count,
                       (uint32_t)effect->device);
    }
}

/* I7 within a life. */
static void step_monotone(struct check *check, uint32_t node, const struct replica_view *view)
{
    const struct replica_view *before = &check->nodes[node].view;
    check_count(check, CHECK_MONOTONE);
    if (view->term < before->term)
        check_fail(check, CHECK_MONOTONE, node, "term fell from %llu to %llu", (unsigned long long)before->term,
                   (unsigned long long)view->term);
    if (view->term == before->term && before->vote != 0 && view->vote != before->vote)
        check_fail(check, CHECK_MONOTONE, node, "vote in term %llu changed from %llu to %llu",
                   (unsigned long long)view->term, (unsigned long long)before->vote, (unsigned long long)view->vote);
    /* To the durable checkpoint, which has yet to be loaded again. */
    const bool back = !view->store_ready && view->applied == check->nodes[node].stored.checkpoint.id.index;
    if (view->commit < before->commit || (view->applied < before->applied && !back))
        check_fail(check, CHECK_MONOTONE, node, "commit %llu, applied %llu went back to %llu, %llu",
                   (unsigned long long)before->commit, (unsigned long long)before->applied,
                   (unsigned long long)view->commit, (unsigned long long)view->applied);
    if (view->first_faulty != 0 && view->applied >= view->first_faulty)
        check_fail(check, CHECK_STATE_MACHINE, node, "has applied %llu, and lost entry %llu",
                   (unsigned long long)view->applied, (unsigned long long)view->first_faulty);
    if (view->applied > view->commit || view->commit > view->last.index)
        check_fail(check, CHECK_MONOTONE, node, "applied %llu, commit %llu, last %llu are out of order",
                   (unsigned long long)view->applied, (unsigned long long)view->commit,
                   (unsigned long long)view->last.index);
}

/* Frames are real here, or damaged and refused: so what no correct leader sends was sent by a leader that is not. */
static void step_impossible(struct check *check, uint32_t node, const struct output *output)
{
    const uint32_t events = u32_min(output->event_count, output->event_max);
    for (uint32_t i = 0; i < events; i++)
        if (output->events[i].kind == EVENT_IMPOSSIBLE)
            check_fail(check, CHECK_LOG_MATCHING, node,
                       "is sent a conflict with what is committed, or is led by two, by node id %llu",
                       (unsigned long long)output->events[i].a);
}

static void step_lost(struct check *check, uint32_t node, const struct output *output)
{
    const uint32_t events = u32_min(output->event_count, output->event_max);
    for (uint32_t i = 0; i < events; i++)
        if (output->events[i].kind == EVENT_PAGE_DAMAGED && output->events[i].b > 0)
            check_data_lost(check, node, (uint32_t)output->events[i].b, (uint32_t)output->events[i].a);
}

void check_step(struct check *check, uint32_t node, const struct replica *replica, const struct output *output)
{
    struct ghost_node *ghost = &check->nodes[node];
    ASSERT(node < check->setup.node_count);
    if (check->failure.failed)
        return;
    struct replica_view view;
    replica_inspect(replica, &view);
    step_operations(check, node, output);
    /* What it knows of its log is not whole before it has recovered. */
    if (view.role == RAFT_STARTING || view.role == RAFT_STOPPED)
        return;
    step_impossible(check, node, output);
    step_lost(check, node, output);
    check_count(check, CHECK_LIMITS);
    const char *problem = replica_invariant(replica);
    if (problem != NULL) {
        check_fail(check, CHECK_LIMITS, node, "%s", problem);
        return;
    }
    if (view.last.index > INDEX_CREDIBLE) {
        check_fail(check, CHECK_LIMITS, node, "log of %llu entries", (unsigned long long)view.last.index);
        return;
    }
    check_reserve(check, view.last.index);
    check_reads_follow(check, node, &view);
    check_log_follow(check, node, replica, &view, output);
    if (!check->failure.failed)
        check_members_follow(check, node, replica, &view);
    if (!ghost->serving && !check->failure.failed) {
        check_superblock_recovered(check, node, &view);
        check_disk_recovered(check, node, replica, &view);
    }
    ghost->serving = true;
    step_monotone(check, node, &view);
    if (check->failure.failed)
        return;
    if (view.role == RAFT_LEADER && (ghost->view.role != RAFT_LEADER || ghost->view.term != view.term))
        check_log_new_leader(check, node, &view);
    check_promise_follow(check, node, &view, output);
    check_transfer_follow(check, node, replica, &view, output);
    check_change_follow(check, node, &view, output);
    check_time_follow(check, node, &view, output);
    check_log_commit(check, node, &view);
    check_members_appended(check, node, &view);
    if (!check->failure.failed)
        check_model_follow(check, node, replica, &view, output);
    /* What is kept per slot means something of leaders only. */
    memcpy(&ghost->view, &view, view.role == RAFT_LEADER ? sizeof view : offsetof(struct replica_view, match));
}

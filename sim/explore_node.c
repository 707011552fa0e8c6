/* One node, its disk and its writes in flight; see explore_node.h. */
#include "explore_node.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include "explore_life.h"

/* An assertion ends the step: where to. */
static jmp_buf *assertion_target;
static char assertion_text[200];

void node_assertion_failed(const char *text)
{
    if (assertion_target == NULL)
        return;
    snprintf(assertion_text, sizeof assertion_text, "%s", text);
    longjmp(*assertion_target, 1);
}

/* ---- making one ---- */

static bool life_new(const struct node_machine *machine, struct life *life)
{
    life->region = aligned_alloc(REGION_ALIGNMENT, machine->region_bytes);
    life->disk = calloc(1, machine->disk_bytes);
    life->output_region = aligned_alloc(REGION_ALIGNMENT, u64_round_up(output_bytes(&machine->limits), 4096));
    if (life->region == NULL || life->disk == NULL || life->output_region == NULL)
        return false;
    memset(life->region, 0, machine->region_bytes);
    output_init(&life->output, life->output_region, &machine->limits);
    return true;
}

static void life_free(struct life *life)
{
    free(life->region);
    free(life->disk);
    free(life->output_region);
}

static void machine_configure(struct node_machine *machine)
{
    const struct node_options *options = &machine->options;
    /* limits_micro, with a log that is not at its end after a few entries, unless a checkpoint is wanted. */
    machine->limits = limits_micro;
    machine->limits.members_max = u32_max(machine->limits.members_max, options->nodes);
    machine->limits.frame_bytes_max = NODE_FRAME_BYTES_MAX;
    machine->limits.wal_body_blocks = 32;
    machine->limits.log_entries_max = 4 * NODE_ENTRIES_MAX;
    machine->limits.checkpoint_wal_blocks = NODE_ENTRIES_MAX;
    machine->limits.checkpoint_entries = NODE_ENTRIES_MAX;
    if (options->single)
        machine->limits.append_entries_max = 1;
    if (options->checkpoints)
        machine->limits.wal_retain_blocks = 0;
    if (options->nodes > 3) { /* what a configuration of so many takes */
        machine->limits.pages_max += 1;
        machine->limits.data_blocks += 8;
        machine->limits.wal_batch_bytes_max *= 2;
    }
    for (uint32_t node = 0; node < options->nodes; node++) {
        machine->configs[node] = (struct replica_config){
            .cluster_id = CLUSTER_ID,
            .node_id = node + 1,
            .seed = 1,
            .election_timeout_ns = ELECTION_NS,
            .heartbeat_interval_ns = HEARTBEAT_NS,
            .pre_vote = options->pre_vote,
            .check_quorum = options->check_quorum,
            .strict_naming = options->strict_naming,
        };
        struct member *member = &machine->configuration.members[node];
        *member = (struct member){ .id = node + 1, .roles = MEMBER_VOTER };
        snprintf(member->address, sizeof member->address, "n%u", node + 1);
    }
}

struct node_machine *node_machine_new(const struct node_options *options)
{
    struct node_machine *machine = calloc(1, sizeof *machine);
    if (machine == NULL)
        return NULL;
    machine->options = *options;
    machine_configure(machine);
    ASSERT(limits_problem(&machine->limits) == NULL);
    machine->region_bytes = (uint32_t)replica_bytes(&machine->limits);
    machine->disk_bytes = (uint32_t)u64_round_up(
        limits_wal_bytes(&machine->limits) + limits_data_bytes(&machine->limits), BLOB_LINE_BYTES);
    machine->region_before = calloc(1, machine->region_bytes);
    machine->disk_before = calloc(1, machine->disk_bytes);
    machine->durable_size = DURABLE_FIRST;
    machine->durables = calloc(machine->durable_size, sizeof *machine->durables);
    machine->probe.probe = true;
    if (!life_new(machine, &machine->life) || !life_new(machine, &machine->probe) || !blobs_init(&machine->blobs)
        || machine->region_before == NULL || machine->disk_before == NULL || machine->durables == NULL) {
        node_machine_free(machine);
        return NULL;
    }
    return machine;
}

void node_machine_free(struct node_machine *machine)
{
    if (machine == NULL)
        return;
    life_free(&machine->life);
    life_free(&machine->probe);
    blobs_free(&machine->blobs);
    free(machine->region_before);
    free(machine->disk_before);
    free(machine->durables);
    free(machine);
}

uint64_t node_machine_bytes(const struct node_machine *machine)
{
    return blobs_bytes(&machine->blobs) + (uint64_t)machine->durable_size * sizeof *machine->durables;
}

bool node_machine_failed(const struct node_machine *machine) { return machine->blobs.failed; }

const struct limits *node_limits(const struct node_machine *machine) { return &machine->limits; }

uint64_t node_cluster_id(void) { return CLUSTER_ID; }

/* ---- calls ---- */

void node_session(struct node_machine *machine, uint32_t client, uint64_t session)
{
    machine->sessions[client] = session;
}

uint32_t node_request(const struct node_machine *machine, uint32_t call, bool read, uint8_t *frame)
{
    static const uint8_t key[] = { 'k' };
    const uint8_t value[] = { (uint8_t)('a' + call) };
    struct request request = { .request_id = call + 1, .kind = REQUEST_REGISTER };
    struct member_operation operation = { .kind = MEMBER_REMOVE };
    if (call >= EXPLORE_CALL_REMOVE) {
        request.kind = REQUEST_MEMBERS;
        operation.id = machine->configs[call - EXPLORE_CALL_REMOVE].node_id;
        request.value = (struct slice){ .bytes = (const uint8_t *)&operation, .count = sizeof operation };
    } else if (call == EXPLORE_CALL_CHECKPOINT) {
        request.kind = REQUEST_CHECKPOINT;
    } else if (call < EXPLORE_CALLS_MAX) {
        request.kind = read ? REQUEST_GET : REQUEST_PUT;
        request.key = (struct slice){ .bytes = key, .count = sizeof key };
    }
    if (request.kind == REQUEST_PUT) {
        request.session = machine->sessions[call % EXPLORE_CLIENTS_MAX];
        request.sequence = call / EXPLORE_CLIENTS_MAX + 1;
        request.value = (struct slice){ .bytes = value, .count = sizeof value };
    }
    ASSERT(request_bytes(&request) <= NODE_FRAME_BYTES_MAX);
    request_encode(&request, CLUSTER_ID, frame);
    return request_bytes(&request);
}

/* The call whose command this is, plus 1. */
static uint8_t call_of(const struct node_machine *machine, const struct entry *entry)
{
    struct request request;
    if (entry->kind != ENTRY_COMMAND || !command_decode(entry->body, &machine->limits, &request)
        || request.kind != REQUEST_PUT)
        return 0;
    for (uint32_t client = 0; client < EXPLORE_CLIENTS_MAX; client++) {
        if (machine->sessions[client] != 0 && machine->sessions[client] == request.session)
            return (uint8_t)((request.sequence - 1) * EXPLORE_CLIENTS_MAX + client + 1);
    }
    return 0;
}

/* ---- views ---- */

/* Slots of the configuration in use as nodes. */
static uint32_t nodes_of(const struct replica *replica, uint32_t slots)
{
    uint32_t nodes = 0;
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++) {
        if ((slots >> slot & 1) != 0)
            nodes |= 1U << (members_id(replica, slot) - 1);
    }
    return nodes;
}

static void view_fill(const struct node_machine *machine, const struct life *life, struct node_view *view)
{
    const struct replica *replica = (const struct replica *)(const void *)life->region;
    struct replica_view seen;
    memset(view, 0, sizeof *view);
    replica_inspect(replica, &seen);
    view->term = seen.term;
    view->vote = seen.vote;
    view->state_digest = seen.state_digest;
    view->role = seen.role;
    view->last = (uint32_t)seen.last.index;
    view->base = (uint32_t)seen.base.index;
    view->commit = (uint32_t)seen.commit;
    view->applied = (uint32_t)seen.applied;
    view->voters = nodes_of(replica, configuration_voters(members_now(replica)));
    view->voters_old = nodes_of(replica, configuration_voters_old(members_now(replica)));
    ASSERT(seen.last.index < NODE_ENTRIES_MAX);
    for (uint32_t index = view->base + 1; index <= view->last; index++) {
        struct entry entry;
        if (!replica_entry_readable(replica, index))
            continue;
        replica_entry(replica, index, &entry);
        view->entry[index] = entry_hash(&entry);
        view->entry_term[index] = entry.id.term;
        view->entry_call[index] = call_of(machine, &entry);
    }
}

/* ---- running ---- */

uint8_t *disk_at(const struct node_machine *machine, struct life *life, uint32_t device, uint64_t offset)
{
    return life->disk + (device == DEVICE_DATA ? limits_wal_bytes(&machine->limits) : 0) + offset;
}

static void take_frame(struct node_machine *machine, const struct life *life, const struct effect *effect)
{
    struct node_outcome *outcome = machine->outcome;
    ASSERT(outcome->sent_count < NODE_SENT_MAX && effect->bytes.count <= NODE_FRAME_BYTES_MAX);
    ASSERT(effect->target >= 1 && effect->target <= machine->options.nodes);
    struct node_sent *sent = &outcome->sent[outcome->sent_count++];
    sent->to = (uint32_t)effect->target - 1;
    sent->bytes = effect->bytes.count;
    memset(sent->frame, 0, sizeof sent->frame);
    memcpy(sent->frame, effect->bytes.bytes, effect->bytes.count);
    frame_normalise(machine, sent->frame, sent->bytes);
    if (!machine->disk_root_known) {
        machine->disk_root = blobs_put(&machine->blobs, life->disk, machine->disk_bytes,
                                       machine->loaded ? machine->disk_before : NULL, outcome->state.disk);
        machine->disk_root_known = true;
    }
    audit_frame(machine, life, effect);
}

static void take_reply(struct node_machine *machine, const struct effect *effect)
{
    struct reply reply;
    struct node_outcome *outcome = machine->outcome;
    if (reply_decode(effect->bytes, machine->limits.frame_bytes_max, &reply) != FRAME_OK) {
        node_fail(machine, "frame", "it sends a reply that nobody can read");
        return;
    }
    ASSERT(outcome->reply_count < NODE_REPLIES_MAX);
    outcome->replies[outcome->reply_count++] = (struct node_reply){
        .call = (uint32_t)reply.request_id - 1,
        .status = reply.status,
        .index = reply.request_id > EXPLORE_CALLS_MAX ? reply.session : reply.version,
    };
}

static void take_write(const struct node_machine *machine, struct life *life, const struct effect *effect)
{
    ASSERT(life->write_count < NODE_WRITES_MAX && effect->bytes.count <= WRITE_BYTES_MAX);
    /* Sorted, so that the order in which they were emitted makes no difference. */
    uint32_t at = life->write_count++;
    for (; at > 0 && life->writes[at - 1].write.op_id > effect->op_id; at--)
        life->writes[at] = life->writes[at - 1];
    struct life_write *write = &life->writes[at];
    write->write = (struct node_write){
        .op_id = effect->op_id, .offset = effect->offset, .bytes = effect->bytes.count, .root = 0
    };
    write->device = effect->device;
    ASSERT(effect->offset + effect->bytes.count <= machine->disk_bytes);
    memcpy(write->bytes, effect->bytes.bytes, effect->bytes.count);
}

static void life_step(struct node_machine *machine, struct life *life, const struct input *input)
{
    struct replica *replica = (struct replica *)(void *)life->region;
    replica->install.tokens = UINT32_MAX; /* so that it waits for no clock */
    replica_step(replica, input, &life->output);
    if (machine->show != NULL && !life->probe)
        explore_show_step(machine->show, input, &life->output, replica);
    for (uint32_t i = 0; i < life->output.effect_count; i++) {
        const struct effect *effect = &life->output.effects[i];
        if (effect->kind == EFFECT_WRITE)
            take_write(machine, life, effect);
        if (effect->kind == EFFECT_READ) {
            ASSERT(life->read_count < READS_MAX);
            life->reads[life->read_count++] = (struct life_read){
                .op_id = effect->op_id, .offset = effect->offset, .device = effect->device, .bytes = effect->bytes.count
            };
        }
        if (effect->kind == EFFECT_STOP)
            life->stop = effect->stop;
        if (effect->kind == EFFECT_SEND && !life->probe)
            take_frame(machine, life, effect);
        if (effect->kind == EFFECT_REPLY && !life->probe)
            take_reply(machine, effect);
    }
    if (life->probe)
        return;
    for (uint32_t i = 0; i < u32_min(life->output.event_count, life->output.event_max); i++) {
        const struct event *event = &life->output.events[i];
        struct node_outcome *outcome = machine->outcome;
        if (event->kind != EVENT_EXECUTED || event->b != REPLY_OK)
            continue;
        ASSERT(outcome->executed_count < NODE_REPLIES_MAX);
        outcome->executed[outcome->executed_count++] = (struct node_executed){ .index = (uint32_t)event->a };
    }
}

static void life_complete(struct node_machine *machine, struct life *life, uint32_t which)
{
    const struct life_write write = life->writes[which];
    memcpy(disk_at(machine, life, write.device, write.write.offset), write.bytes, write.write.bytes);
    life->write_count--;
    for (uint32_t i = which; i < life->write_count; i++)
        life->writes[i] = life->writes[i + 1];
    if (!life->probe)
        machine->disk_root_known = false;
    const struct input input = {
        .kind = INPUT_DISK, .result = DISK_OK, .now_ns = CLOCK_NS, .op_id = write.write.op_id
    };
    life_step(machine, life, &input);
}

static void life_answer_read(struct node_machine *machine, struct life *life)
{
    const struct life_read read = life->reads[0];
    life->read_count--;
    memmove(life->reads, life->reads + 1, life->read_count * sizeof life->reads[0]);
    const struct input input = {
        .kind = INPUT_DISK,
        .result = DISK_OK,
        .now_ns = CLOCK_NS,
        .op_id = read.op_id,
        .bytes = { .bytes = disk_at(machine, life, read.device, read.offset), .count = read.bytes },
    };
    life_step(machine, life, &input);
}

/* A write that is no choice of anybody's. */
static uint32_t life_write_at_once(const struct node_machine *machine, const struct life *life)
{
    const struct replica *replica = (const struct replica *)(const void *)life->region;
    const bool recovers = replica->role == RAFT_STARTING && (life->probe || !machine->options.recovery);
    for (uint32_t i = 0; i < life->write_count; i++) {
        if (recovers || life->writes[i].device == DEVICE_DATA)
            return i;
    }
    return life->write_count;
}

/* Everything that follows at once. */
static void life_settle(struct node_machine *machine, struct life *life)
{
    struct replica *replica = (struct replica *)(void *)life->region;
    for (uint32_t inputs = 0; life->stop == 0; inputs++) {
        ASSERT(inputs < INPUTS_MAX);
        if (replica->role == RAFT_STOPPED)
            return;
        /* The scrub waits for a clock that never comes. */
        replica->scrub.due_ns = UINT64_MAX;
        const uint32_t at_once = life_write_at_once(machine, life);
        if (life->read_count > 0)
            life_answer_read(machine, life);
        else if (at_once < life->write_count)
            life_complete(machine, life, at_once);
        else if (life->output.deadline_ns <= CLOCK_NS)
            life_step(machine, life, &(struct input){ .kind = INPUT_TICK, .now_ns = CLOCK_NS });
        else
            return;
    }
}

static void life_start(struct node_machine *machine, struct life *life, uint32_t node)
{
    memset(life->region, 0, machine->region_bytes);
    life->read_count = 0;
    life->write_count = 0;
    life->stop = (enum stop_reason)0;
    if (machine->show != NULL && !life->probe)
        explore_show_start(machine->show);
    struct replica *replica = replica_init(life->region, &machine->limits, &machine->configs[node]);
    replica->scrub.due_ns = UINT64_MAX;
    life_step(machine, life, &(struct input){ .kind = INPUT_START, .now_ns = CLOCK_NS });
    life_settle(machine, life);
}

static struct durable *durable_slot(const struct node_machine *machine, uint32_t disk)
{
    uint32_t slot = disk * 2654435761U & (machine->durable_size - 1);
    while (machine->durables[slot].disk != 0 && machine->durables[slot].disk != disk)
        slot = (slot + 1) & (machine->durable_size - 1);
    return &machine->durables[slot];
}

static void durables_grow(struct node_machine *machine)
{
    struct durable *before = machine->durables;
    const uint32_t size = machine->durable_size;
    struct durable *durables = calloc((uint64_t)size * 2, sizeof *durables);
    if (durables == NULL) {
        machine->blobs.failed = true;
        return;
    }
    machine->durables = durables;
    machine->durable_size = size * 2;
    for (uint32_t i = 0; i < size; i++) {
        if (before[i].disk != 0)
            *durable_slot(machine, before[i].disk) = before[i];
    }
    free(before);
}

static struct durable *durable_of(struct node_machine *machine, uint32_t disk)
{
    struct durable *durable = durable_slot(machine, disk);
    if (durable->disk == disk)
        return durable;
    if (machine->durable_count >= machine->durable_size / 4 * 3)
        durables_grow(machine);
    durable = durable_slot(machine, disk);
    durable->disk = disk;
    machine->durable_count++;
    return durable;
}

const struct node_view *node_durable(struct node_machine *machine, uint32_t node, uint32_t disk)
{
    struct durable *durable = durable_of(machine, disk);
    if (durable->viewed)
        return &durable->view;
    blobs_get(&machine->blobs, disk, machine->probe.disk, machine->disk_bytes);
    life_start(machine, &machine->probe, node);
    view_fill(machine, &machine->probe, &durable->view);
    durable->viewed = true;
    return &durable->view;
}

/* ---- crashes ---- */

/* The blocks of a write in flight that differ from what is on the disk. */
static uint32_t changed_blocks(struct node_machine *machine, const struct node_write *write, const uint8_t *bytes,
                               uint32_t *changed)
{
    const uint32_t block_bytes = machine->limits.block_bytes;
    uint32_t count = 0;
    for (uint32_t at = 0; at < write->bytes; at += block_bytes) {
        if (memcmp(bytes + at, disk_at(machine, &machine->life, DEVICE_WAL, write->offset + at), block_bytes) == 0)
            continue;
        ASSERT(count < CHANGED_MAX);
        changed[count++] = at;
    }
    return count;
}

enum block_fate { BLOCK_LOST, BLOCK_KEPT, BLOCK_TORN };

/* How many outcomes the changed blocks of one write have. Two blocks: each on its own. More: they arrive in order. */
static uint32_t fates(const struct node_options *options, uint32_t changed)
{
    if (changed == 0)
        return 1;
    if (changed > 2)
        return options->torn ? 2 * changed + 1 : changed + 1;
    const uint32_t each = options->torn ? 3 : 2;
    return changed == 2 ? each * each : each;
}

static enum block_fate fate_of(const struct node_options *options, uint32_t changed, uint32_t which, uint32_t block)
{
    const uint32_t each = options->torn ? 3 : 2;
    if (changed <= 2)
        return (enum block_fate)(block == 0 ? which % each : which / each);
    const uint32_t whole = which < changed + 1 ? which : which - changed - 1;
    if (block < whole)
        return BLOCK_KEPT;
    return which > changed && block == whole ? BLOCK_TORN : BLOCK_LOST;
}

static uint32_t crash_outcomes(struct node_machine *machine)
{
    uint32_t changed[CHANGED_MAX];
    uint32_t outcomes = 1;
    for (uint32_t i = 0; i < machine->life.write_count; i++) {
        const struct life_write *write = &machine->life.writes[i];
        outcomes *= fates(&machine->options, changed_blocks(machine, &write->write, write->bytes, changed));
    }
    return outcomes;
}

/* Decides about every block in flight, and tells about it, if `text` is not NULL. */
static void crash_decide(struct node_machine *machine, uint32_t which, char *text, size_t text_bytes)
{
    static const char letters[] = { '-', '+', '~' };
    const uint32_t block_bytes = machine->limits.block_bytes;
    struct life *life = &machine->life;
    size_t used = 0;
    for (uint32_t i = 0; i < life->write_count; i++) {
        const struct life_write *write = &life->writes[i];
        uint32_t changed[CHANGED_MAX];
        const uint32_t count = changed_blocks(machine, &write->write, write->bytes, changed);
        const uint32_t options = fates(&machine->options, count);
        uint32_t landed = 0;
        if (text != NULL && used < text_bytes)
            used += (size_t)snprintf(text + used, text_bytes - used, " %s", node_write_text(&write->write));
        for (uint32_t block = 0; block < count; block++) {
            const enum block_fate fate = fate_of(&machine->options, count, which % options, block);
            uint8_t *to = disk_at(machine, life, DEVICE_WAL, write->write.offset + changed[block]);
            landed += fate == BLOCK_KEPT;
            if (text != NULL && used < text_bytes)
                used += (size_t)snprintf(text + used, text_bytes - used, "%c", letters[fate]);
            else if (text == NULL && fate != BLOCK_LOST)
                memcpy(to, write->bytes + changed[block], fate == BLOCK_KEPT ? block_bytes : block_bytes / 2);
        }
        if (machine->show != NULL && text == NULL)
            explore_show_gone(machine->show, write->write.op_id, landed, count);
        which /= options;
    }
}

const char *node_write_text(const struct node_write *write)
{
    static const char *const superblocks[] = { "superblock0", "superblock1", "superblock2", "superblock3" };
    switch (wal_operation_of(write->op_id)) {
    case WAL_WRITE_BATCH: return "batch";
    case WAL_WRITE_NAME: return "name";
    case WAL_WRITE_SUPERBLOCK: return superblocks[wal_detail_of(write->op_id) % SUPERBLOCK_COPIES];
    default: return "other";
    }
}

/* ---- from value to life and back ---- */

static void machine_load(struct node_machine *machine, const struct node_value *state)
{
    struct life *life = &machine->life;
    const struct blobs *blobs = &machine->blobs;
    blobs_turn(blobs, machine->region_before_root, state->region, machine->region_before, machine->region_bytes);
    blobs_turn(blobs, machine->disk_before_root, state->disk, machine->disk_before, machine->disk_bytes);
    machine->region_before_root = state->region;
    machine->disk_before_root = state->disk;
    if (machine->life_known) {
        blobs_turn(blobs, machine->life_region_root, state->region, life->region, machine->region_bytes);
        blobs_turn(blobs, machine->life_disk_root, state->disk, life->disk, machine->disk_bytes);
    } else {
        memcpy(life->region, machine->region_before, machine->region_bytes);
        memcpy(life->disk, machine->disk_before, machine->disk_bytes);
    }
    machine->life_known = false;
    life->read_count = 0;
    life->stop = (enum stop_reason)0;
    life->write_count = state->write_count;
    for (uint32_t i = 0; i < state->write_count; i++) {
        life->writes[i].write = state->writes[i];
        life->writes[i].device = DEVICE_WAL;
        blobs_get(&machine->blobs, state->writes[i].root, life->writes[i].bytes, state->writes[i].bytes);
    }
    machine->node = state->node;
    machine->disk_root = state->disk;
    machine->disk_root_known = true;
    machine->loaded = true;
}

void node_crash_text(struct node_machine *machine, const struct node_value *state, uint32_t which, char *text,
                     size_t text_bytes)
{
    machine_load(machine, state);
    text[0] = '\0';
    crash_decide(machine, which, text, text_bytes);
}

static void machine_store(struct node_machine *machine)
{
    struct node_outcome *outcome = machine->outcome;
    struct node_value *state = &outcome->state;
    const struct life *life = &machine->life;
    const struct node_value before = *state;
    machine_normalise(machine);
    const bool loaded = machine->loaded;
    state->region = blobs_put(&machine->blobs, life->region, machine->region_bytes,
                              loaded ? machine->region_before : NULL, before.region);
    state->disk =
        blobs_put(&machine->blobs, life->disk, machine->disk_bytes, loaded ? machine->disk_before : NULL, before.disk);
    machine->life_known = true;
    machine->life_region_root = state->region;
    machine->life_disk_root = state->disk;
    memset(state->writes, 0, sizeof state->writes);
    state->write_count = life->write_count;
    for (uint32_t i = 0; i < life->write_count; i++) {
        state->writes[i] = life->writes[i].write;
        state->writes[i].root = blobs_put(&machine->blobs, life->writes[i].bytes, life->writes[i].write.bytes, NULL, 0);
    }
    view_fill(machine, life, &outcome->view);
    outcome->view.outcomes = crash_outcomes(machine);
    for (uint32_t i = 0; i < outcome->executed_count; i++) {
        const uint32_t index = outcome->executed[i].index;
        const uint32_t call = outcome->view.entry_call[index];
        outcome->executed[i].call = call > 0 ? call - 1 : EXPLORE_CALLS_MAX;
    }
}

/* ---- inputs ---- */

static void apply_timer(struct node_machine *machine, uint32_t timer)
{
    struct replica *replica = (struct replica *)(void *)machine->life.region;
    if (timer == TIMER_ELECTION) {
        replica->election_deadline_ns = CLOCK_NS;
        replica->leader_heard = false;
    } else if (timer == TIMER_HEARTBEAT) {
        replica->heartbeat_deadline_ns = CLOCK_NS;
    } else {
        replica->wal.name_due_ns = CLOCK_NS;
    }
    life_step(machine, &machine->life, &(struct input){ .kind = INPUT_TICK, .now_ns = CLOCK_NS });
}

/* Without `copies` all copies of a superblock are one write: once the first is done, the rest follow. */
static void apply_complete(struct node_machine *machine, uint32_t which)
{
    struct life *life = &machine->life;
    const struct replica *replica = (const struct replica *)(const void *)life->region;
    const uint64_t op_id = life->writes[which].write.op_id;
    const uint64_t sequence = replica->superblock.sequence;
    life_complete(machine, life, which);
    if (machine->options.copies || wal_operation_of(op_id) != WAL_WRITE_SUPERBLOCK)
        return;
    for (uint32_t i = 0; i < life->write_count && replica->superblock.sequence == sequence;) {
        const bool copy = wal_operation_of(life->writes[i].write.op_id) == WAL_WRITE_SUPERBLOCK;
        if (copy)
            life_complete(machine, life, i);
        i = copy ? 0 : i + 1;
    }
}

static void apply_input(struct node_machine *machine, const struct node_input *input)
{
    struct life *life = &machine->life;
    struct input frame = { .kind = INPUT_PEER_FRAME, .now_ns = CLOCK_NS, .bytes = input->bytes };
    switch (input->kind) {
    case NODE_FRAME: life_step(machine, life, &frame); break;
    case NODE_TIMER: apply_timer(machine, input->which); break;
    case NODE_COMPLETE: apply_complete(machine, input->which); break;
    case NODE_CRASH: UNREACHABLE();
    case NODE_REQUEST:
        frame.kind = INPUT_CLIENT_FRAME;
        frame.client = 1;
        life_step(machine, life, &frame);
        break;
    }
    life_settle(machine, life);
}

/* The first time; then it is known what the disk leads to, unless more happened than a start. */
static void crash_start(struct node_machine *machine, uint32_t disk)
{
    const struct node_outcome *outcome = machine->outcome;
    if (machine->show != NULL)
        explore_show_crash(machine->show);
    machine->disk_root = disk;
    life_start(machine, &machine->life, machine->node);
    machine_store(machine);
    audit_rest(machine);
    if (machine->options.recovery || outcome->fault != NULL || outcome->state.write_count > 0 || outcome->sent_count > 0
        || outcome->reply_count > 0 || outcome->executed_count > 0)
        return;
    struct durable *durable = durable_of(machine, disk);
    durable->viewed = durable->started = true;
    durable->region = outcome->state.region;
    durable->disk_then = outcome->state.disk;
    durable->view = outcome->view;
}

/* What a start leads to depends on the disk alone, and many crashes leave the same one: it is lived once. */
static void apply_crash(struct node_machine *machine, uint32_t which)
{
    struct node_value *state = &machine->outcome->state;
    crash_decide(machine, which, NULL, 0);
    const uint32_t disk =
        blobs_put(&machine->blobs, machine->life.disk, machine->disk_bytes, machine->disk_before, state->disk);
    const struct durable *durable = durable_of(machine, disk);
    if (!durable->started || machine->show != NULL) {
        crash_start(machine, disk);
        return;
    }
    machine->life_known = true;
    machine->life_region_root = state->region;
    machine->life_disk_root = disk;
    state->region = durable->region;
    state->disk = durable->disk_then;
    state->write_count = 0;
    memset(state->writes, 0, sizeof state->writes);
    machine->outcome->view = durable->view;
}

static void outcome_clear(struct node_machine *machine, struct node_outcome *outcome, const struct node_value *state)
{
    outcome->state = *state;
    outcome->sent_count = 0;
    outcome->reply_count = 0;
    outcome->executed_count = 0;
    outcome->fault = NULL;
    machine->outcome = outcome;
}

void node_begin(struct node_machine *machine, uint32_t node, struct node_outcome *outcome)
{
    const struct node_value state = { .node = node };
    uint8_t copy[WRITE_BYTES_MAX];
    outcome_clear(machine, outcome, &state);
    machine->node = node;
    machine->disk_root_known = false;
    machine->loaded = false;
    memset(machine->life.disk, 0, machine->disk_bytes);
    ASSERT(limits_superblock_bytes(&machine->limits) <= sizeof copy);
    replica_format(&machine->limits, &machine->configs[node], &machine->configuration, node + 1, copy);
    for (uint32_t i = 0; i < SUPERBLOCK_COPIES; i++)
        memcpy(machine->life.disk + superblock_offset(&machine->limits, i), copy,
               limits_superblock_bytes(&machine->limits));
    life_start(machine, &machine->life, node);
    while (machine->life.write_count > 0) {
        life_complete(machine, &machine->life, 0);
        life_settle(machine, &machine->life);
    }
    machine_store(machine);
    audit_rest(machine);
}

void node_apply(struct node_machine *machine, const struct node_value *from, const struct node_view *view,
                const struct node_input *input, struct node_outcome *outcome)
{
    jmp_buf target;
    outcome_clear(machine, outcome, from);
    machine_load(machine, from);
    if (setjmp(target) != 0) {
        assertion_target = NULL;
        node_fail(machine, "assertion", "%s", assertion_text);
        outcome->view = *view;
        return;
    }
    assertion_target = &target;
    if (input->kind == NODE_CRASH) {
        apply_crash(machine, input->which);
        audit_start(machine, &outcome->view);
    } else {
        apply_input(machine, input);
        machine_store(machine);
        audit_life(machine, view, &outcome->view);
        audit_rest(machine);
    }
    assertion_target = NULL;
}

bool node_show_begin(const struct node_machine *machine, struct explore_show *show, struct observer *observer)
{
    return explore_show_begin(show, observer, &machine->limits, machine->configs, machine->options.nodes);
}

void node_show(struct node_machine *machine, const struct node_value *from, const struct node_view *view,
               const struct node_input *input, struct explore_show *show)
{
    static struct node_outcome outcome;
    machine->show = show;
    show->node = from->node;
    if (input != NULL)
        node_apply(machine, from, view, input, &outcome);
    else
        node_begin(machine, from->node, &outcome);
    machine->show = NULL;
}

/* One replica: the layout of its region, its configuration, and the step that everything goes through. */
#include "raft.h"

#include "inspect.h"
#include "page.h"

const char *replica_config_problem(const struct replica_config *config)
{
    if (config->cluster_id == 0)
        return "the cluster id must not be 0";
    if (config->node_id == 0 || config->node_id == UINT64_MAX)
        return "node ids 0 and 2^64-1 are reserved";
    if (config->heartbeat_interval_ns == 0 || config->heartbeat_interval_ns > config->election_timeout_ns / 2)
        return "the heartbeat interval must be positive and at most half the election timeout";
    if (config->lease_drift_ppm != 0 && !config->check_quorum)
        return "leases need voters that do not depose a leader they hear";
    if (config->lease_drift_ppm > LEASE_DRIFT_PPM_MAX)
        return "the drift of the clocks must be at most 500000 ppm";
    return NULL;
}

static uint64_t area_take(uint64_t *end, uint64_t bytes, uint64_t alignment)
{
    const uint64_t start = u64_round_up(*end, alignment);
    *end = start + bytes;
    return start;
}

/* What is as large as the pages that a driver may use for it begins where such a page does. */
static uint64_t area_take_pages(uint64_t *end, uint64_t bytes)
{
    return area_take(end, bytes, bytes < REGION_HUGE_BYTES ? REGION_ALIGNMENT : REGION_HUGE_BYTES);
}

/* A set of that many bits, in words. */
static uint64_t bits_bytes(uint64_t bits) { return u64_round_up(bits, 64) / 8; }

static struct areas areas_of(const struct limits *limits)
{
    uint64_t end = sizeof(struct replica);
    struct areas areas;
    /* Blocks first and on their own pages: O_DIRECT wants aligned memory. */
    areas.wal_superblock = area_take(&end, limits_superblock_bytes(limits), REGION_ALIGNMENT);
    areas.wal_name = area_take(&end, limits->block_bytes, limits->block_bytes);
    areas.wal_body = area_take_pages(&end, (uint64_t)limits->wal_body_blocks * limits->block_bytes);
    areas.log_slots = area_take(&end, (uint64_t)limits->log_entries_max * sizeof(struct log_slot), 64);
    areas.pages = area_take_pages(&end, (uint64_t)limits->pages_max * limits->page_bytes);
    areas.map = area_take(&end, map_bytes(limits), limits->page_bytes);
    uint64_t level_start = areas.map;
    uint32_t entries = 0;
    for (uint32_t level = 0; level < MAP_LEVELS_MAX; level++) {
        areas.map_level[level] = level_start;
        areas.map_first[level] = entries;
        if (level > map_root(limits))
            continue;
        level_start += u64_round_up((uint64_t)map_count(limits, level) * sizeof(struct map_entry), limits->page_bytes);
        entries += map_count(limits, level);
    }
    areas.map_dirty = area_take(&end, bits_bytes(map_blocks(limits)), 64);
    areas.wanted = area_take(&end, bits_bytes(entries), 64);
    areas.dirty[0] = area_take(&end, bits_bytes(limits->pages_max), 64);
    areas.dirty[1] = area_take(&end, bits_bytes(limits->pages_max), 64);
    areas.blocks = area_take(&end, (uint64_t)limits->data_blocks * sizeof(uint32_t), 64);
    areas.shadow = area_take(&end, (uint64_t)limits->shadow_pages_max * limits->page_bytes, limits->page_bytes);
    areas.shadow_page = area_take(&end, (uint64_t)limits->shadow_pages_max * sizeof(uint32_t), 64);
    areas.data_runs = area_take_pages(&end, (uint64_t)CHECKPOINT_DEPTH_MAX * limits->data_run_bytes_max);
    areas.scrub_block = area_take(&end, u32_max(limits->page_bytes, limits->block_bytes), REGION_ALIGNMENT);
    areas.pending = area_take(&end, (uint64_t)limits->pending_writes_max * sizeof(struct pending), 64);
    areas.read_bytes = u64_round_up(sizeof(struct read) + limits->key_bytes_max, 8);
    areas.reads = area_take(&end, (uint64_t)limits->pending_reads_max * areas.read_bytes, 64);
    areas.inflight = area_take(&end, (uint64_t)MEMBERS_MAX * limits->inflight_max * sizeof(struct inflight), 64);
    areas.end = u64_round_up(end, REGION_ALIGNMENT);
    return areas;
}

size_t replica_bytes(const struct limits *limits)
{
    ASSERT(limits_problem(limits) == NULL);
    return (size_t)areas_of(limits).end;
}

void replica_clear(void *region, const struct limits *limits)
{
    const struct areas areas = areas_of(limits);
    memset(region, 0, areas.wal_body);
    memset((uint8_t *)region + areas.log_slots, 0, areas.end - areas.log_slots);
}

struct replica *replica_init(void *region, const struct limits *limits, const struct replica_config *config)
{
    struct replica *replica = region;
    ASSERT((uintptr_t)region % REGION_ALIGNMENT == 0);
    ASSERT(limits_problem(limits) == NULL);
    ASSERT(replica_config_problem(config) == NULL);
    replica->limits = *limits;
    replica->config = *config;
    replica->areas = areas_of(limits);
    replica->frame = (struct frame_context){
        .cluster_id = config->cluster_id,
        .fingerprint = limits_fingerprint(limits),
        .frame_bytes_max = limits->frame_bytes_max,
    };
    prng_seed(&replica->prng, config->seed);
    replica->self = MEMBERS_MAX;
    replica->role = RAFT_STARTING;
    page_store_init(replica);
    return replica;
}

void replica_stop(struct replica *replica, struct output *output, enum stop_reason reason, uint64_t detail)
{
    if (replica->role == RAFT_STOPPED)
        return;
    replica->role = RAFT_STOPPED;
    replica->leader = 0;
    output_event(output, EVENT_ROLE, RAFT_STOPPED, 0);
    output_effect(output, &(struct effect){ .kind = EFFECT_STOP, .stop = reason, .detail = detail });
}

/* ---- frames of peers ---- */

static void peer_refuse(struct replica *replica, struct output *output, const struct message *message,
                        enum frame_verdict verdict)
{
    struct effect refuse = { .kind = EFFECT_REFUSE, .target = message->from, .verdict = verdict };
    const bool explain = verdict >= FRAME_WRONG_CLUSTER && message->type != FRAME_REFUSAL;
    if (explain) {
        const struct message refusal = {
            .type = FRAME_REFUSAL,
            .from = replica->config.node_id,
            .to = message->from,
            .instance = replica->superblock.instance,
            .refusal = { .reason = verdict, .instance = message->instance },
        };
        const uint32_t bytes = message_bytes(&refusal);
        uint8_t *frame = output_take(output, bytes);
        message_encode(&refusal, &replica->frame, frame);
        refuse.bytes = (struct slice){ .bytes = frame, .count = bytes };
    }
    output_effect(output, &refuse);
}

/* A node is its data directory (rejoin.h). But whoever is of this cluster may speak, member or not: this node's
 * configuration may be older than the sender's, and it may be this node that joins (Raft 4.1, 4.2.2). */
static enum frame_verdict peer_verdict(struct replica *replica, struct output *output, const struct message *message)
{
    if (message->to != replica->config.node_id || message->from == 0)
        return FRAME_WRONG_NODE;
    if (message->from == replica->config.node_id)
        return FRAME_DUPLICATE_NODE;
    if (message->instance == 0)
        return FRAME_BAD_BODY;
    return rejoin_verdict(replica, output, message->from, message->instance);
}

static void peer_refused(struct replica *replica, struct output *output, const struct message *message)
{
    if (message->to != replica->config.node_id || message->from == 0 || message->from == replica->config.node_id)
        return;
    /* Of a frame that an earlier directory of this node sent. */
    if (message->refusal.instance != replica->superblock.instance)
        return;
    if (message->refusal.reason == FRAME_REPLACED_NODE) {
        replica_stop(replica, output, STOP_REPLACED_NODE, message->from);
        return;
    }
    /* One whom anybody listens to may be right, and the one before it wrong; but not one that has just been made: then
     * those who listen have not heard of the other one. */
    if (message->refusal.reason == FRAME_DUPLICATE_NODE && (!replica->accepted || replica->began_empty)) {
        replica_stop(replica, output, STOP_DUPLICATE_NODE, message->from);
        return;
    }
    if (message->refusal.reason == FRAME_REMOVED) {
        if (members_removed(replica, message->refusal.commit))
            replica_stop(replica, output, STOP_REMOVED, message->refusal.commit.index);
        return;
    }
    output_effect(
        output, &(struct effect){ .kind = EFFECT_REFUSE, .target = message->from, .verdict = message->refusal.reason });
}

static void peer_frame(struct replica *replica, struct output *output, struct slice bytes)
{
    struct message message;
    enum frame_verdict verdict = message_decode(bytes, &replica->frame, &message);
    if (replica->role == RAFT_STARTING)
        return;
    if (verdict == FRAME_OK && message.type == FRAME_REFUSAL) {
        peer_refused(replica, output, &message);
        return;
    }
    if (verdict == FRAME_OK)
        verdict = peer_verdict(replica, output, &message);
    if (verdict != FRAME_OK) {
        peer_refuse(replica, output, &message, verdict);
        return;
    }
    replica->accepted |= message.type == FRAME_VOTE_RESPONSE || message.type == FRAME_APPEND_RESPONSE;
    if (!rejoin_hears(replica, message.from, message.type))
        return;
    switch (message.type) {
    case FRAME_VOTE_REQUEST:
        install_meet(replica, message.from);
        election_vote_request(replica, output, &message);
        members_tell_removed(replica, output, &message);
        return;
    case FRAME_VOTE_RESPONSE: election_vote_response(replica, output, &message); return;
    case FRAME_APPEND_REQUEST: append_request(replica, output, &message); return;
    case FRAME_APPEND_RESPONSE: replicate_response(replica, output, &message); return;
    case FRAME_CHECKPOINT_REQUEST: install_request(replica, output, &message, 0); return;
    case FRAME_CHECKPOINT_RESPONSE: install_response(replica, output, &message); return;
    case FRAME_REPAIR_REQUEST: repair_request(replica, output, &message); return;
    case FRAME_REPAIR_RESPONSE: repair_response(replica, output, &message); return;
    case FRAME_TIMEOUT_NOW: transfer_timeout_now(replica, output, &message); return;
    case FRAME_READ_INDEX_REQUEST: read_index_request(replica, &message); return;
    case FRAME_READ_INDEX_RESPONSE: read_index_response(replica, output, &message); return;
    case FRAME_REJOIN_REQUEST: rejoin_request(replica, &message); return;
    case FRAME_REJOIN_RESPONSE: rejoin_response(replica, output, &message); return;
    case FRAME_REFUSAL:
    case FRAME_CLIENT_REQUEST:
    case FRAME_CLIENT_REPLY: break;
    }
    UNREACHABLE();
}

/* ---- the step ---- */

static void disk_completed(struct replica *replica, struct output *output, const struct input *input)
{
    const uint32_t operation = wal_operation_of(input->op_id);
    if (operation == WAL_READ)
        recovery_read(replica, output, input);
    else if (operation == DATA_READ)
        store_read(replica, output, input);
    else if (operation == DATA_SCRUB)
        scrub_completed(replica, output, input);
    else if (operation == DATA_WRITE)
        checkpoint_written(replica, output, input->op_id, input->result);
    else if (operation == DATA_WRITE_INSTALL)
        install_written(replica, output, input);
    else if (operation == DATA_READ_SERVE)
        install_serve_read(replica, output, input);
    else
        wal_written(replica, output, input->op_id, input->result);
    if (replica->role == RAFT_STOPPED)
        return;
    if (replica->recovery.phase == RECOVERY_WRITE)
        recovery_advance(replica, output);
    if (replica->recovery.phase == RECOVERY_DONE && replica->role == RAFT_STARTING) {
        election_first_timer(replica);
        election_become_follower(replica, output, replica->stored.hard.term, 0);
        store_load(replica, output, false);
    }
    replicate_advance_commit(replica, output);
}

static void step_input(struct replica *replica, struct output *output, const struct input *input)
{
    switch (input->kind) {
    case INPUT_START: recovery_start(replica, output); return;
    case INPUT_TICK: return;
    case INPUT_PEER_FRAME: peer_frame(replica, output, input->bytes); return;
    case INPUT_CLIENT_FRAME: client_frame(replica, output, input); return;
    case INPUT_DISK: disk_completed(replica, output, input); return;
    }
    UNREACHABLE();
}

/* Timers come after all inputs at hand: the message that resets one may have waited while the process was paused. */
static void step_timers(struct replica *replica, struct output *output)
{
    if (replica->role == RAFT_LEADER)
        replicate_tick(replica, output);
    else
        election_tick(replica, output);
}

/* Everything that may wait for the last of several inputs, so that one write and one frame serve them all. */
static void step_flush(struct replica *replica, struct output *output)
{
    election_flush(replica, output);
    replicate_advance_commit(replica, output);
    read_begin_round(replica, output);
    store_flush(replica, output);
    if (replica->role == RAFT_STOPPED)
        return;
    install_flush(replica, output);
    install_serve_flush(replica, output);
    checkpoint_relieve(replica, output);
    checkpoint_flush(replica, output);
    replicate_checkpoint(replica, output);
    members_flush(replica, output);
    append_abstain_no_more(replica, output);
    wal_flush(replica, output);
    rejoin_flush(replica, output);
    append_flush(replica, output);
    replicate_flush(replica, output);
    transfer_flush(replica, output);
    repair_flush(replica, output);
    if (replica->role == RAFT_STOPPED)
        return;
    diverge_flush(replica, output);
    apply_committed(replica, output);
    read_serve(replica, output);
    read_fail_all(replica, output);
    scrub_flush(replica, output);
}

void replica_step(struct replica *replica, const struct input *input, struct output *output)
{
    output_reset(output);
    if (replica->role == RAFT_STOPPED)
        return;
    replica->now_ns = u64_max(replica->now_ns, input->now_ns);
    replica->wants_tick = false;
    step_input(replica, output, input);
    if (replica->role == RAFT_STOPPED || replica->role == RAFT_STARTING)
        return;
    if (!input->more) {
        election_flush(replica, output); /* a vote that became durable counts before its timer does */
        step_timers(replica, output);
        step_flush(replica, output);
    }
    const uint64_t timer_ns =
        replica->role == RAFT_LEADER ? replicate_deadline(replica) : replica->election_deadline_ns;
    output->deadline_ns =
        u64_min(u64_min(timer_ns, wal_deadline(replica)), u64_min(install_deadline(replica), scrub_deadline(replica)));
    output->deadline_ns =
        u64_min(output->deadline_ns, u64_min(checkpoint_deadline(replica), transfer_deadline(replica)));
    output->deadline_ns = u64_min(output->deadline_ns, u64_min(rejoin_deadline(replica), read_deadline(replica)));
    if (replica->wants_tick || input->more)
        output->deadline_ns = replica->now_ns;
}

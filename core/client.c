/* Clients: admission, routing, and the replies they wait for. Every refusal is definite: the attempt was not executed.
 * Only REPLY_UNKNOWN leaves it open. */
#include "page.h"
#include "raft.h"

static struct pending *pending_at(struct replica *replica, uint32_t position)
{
    struct pending *ring = region_at(replica, replica->areas.pending);
    return &ring[(replica->pending_first + position) & (replica->limits.pending_writes_max - 1)];
}

static void pending_pop(struct replica *replica)
{
    *pending_at(replica, 0) = (struct pending){ .client = 0 };
    replica->pending_first = (replica->pending_first + 1) & (replica->limits.pending_writes_max - 1);
    replica->pending_count--;
}

/* How long the oldest proposal has waited: what is asked for now would wait about as long. */
static uint64_t client_wait_ns(struct replica *replica)
{
    return replica->pending_count > 0 ? replica->now_ns - pending_at(replica, 0)->since_ns : 0;
}

/* A queue that is almost full, or that a proposal spends half an election timeout in, takes no more: whoever is turned
 * away now knows that nothing was executed, and when to come again. */
static bool client_admits(struct replica *replica)
{
    const uint32_t most = replica->limits.pending_writes_max - replica->limits.pending_writes_max / 8;
    return replica->pending_count < most && client_wait_ns(replica) < replica->config.election_timeout_ns / 2;
}

/* When the queue may have drained as far as it is filled now. A transfer is over in a round trip, mostly. Whatever else
 * is in the way (a log that waits for its checkpoint, a start) is looked at again after a heartbeat. */
static uint16_t client_retry_after_ms(struct replica *replica)
{
    const uint64_t ms = 1000000;
    if (transfer_is_under_way(replica))
        return 1;
    const uint64_t wait_ns =
        replica->pending_count > 0 ? client_wait_ns(replica) : replica->config.heartbeat_interval_ns;
    const uint64_t bounded_ns = u64_min(wait_ns, replica->config.election_timeout_ns);
    return (uint16_t)u64_min(u64_max((bounded_ns + ms - 1) / ms, 1), UINT16_MAX);
}

void client_reply(struct replica *replica, struct output *output, uint64_t client, const struct reply *reply)
{
    if (reply->status != REPLY_BUSY) {
        output_reply(output, replica->config.cluster_id, client, reply);
        return;
    }
    struct reply busy = *reply;
    busy.retry_after_ms = client_retry_after_ms(replica);
    output_event(output, EVENT_BUSY, reply->status, busy.retry_after_ms);
    output_reply(output, replica->config.cluster_id, client, &busy);
}

static uint32_t address_bytes(const struct member *member)
{
    uint32_t bytes = 0;
    while (bytes < MEMBER_ADDRESS_BYTES && member->address[bytes] != '\0')
        bytes++;
    return bytes;
}

struct reply client_redirect(const struct replica *replica, uint64_t request_id)
{
    struct reply reply = { .request_id = request_id, .status = REPLY_NOT_LEADER, .leader = replica->leader };
    const uint32_t slot = members_slot(replica, replica->leader);
    if (slot < MEMBERS_MAX) {
        const struct member *leader = &members_now(replica)->members[slot];
        reply.value = (struct slice){ .bytes = (const uint8_t *)leader->address, .count = address_bytes(leader) };
    }
    return reply;
}

void client_read(struct replica *replica, struct output *output, uint64_t client, uint64_t request_id, struct slice key,
                 uint8_t flags)
{
    struct reply reply = { .request_id = request_id, .flags = flags, .applied = replica->applied };
    uint32_t value_bytes = 0;
    reply.version = kv_find(replica, key, &value_bytes);
    if (reply.version == 0) {
        reply.status = REPLY_NOT_FOUND;
    } else {
        /* Straight into the frame: reply_encode() finds it in place. */
        uint8_t *value = output->arena + output->arena_used + reply_bytes(&reply);
        kv_read(replica, key, value);
        reply.value = (struct slice){ .bytes = value, .count = value_bytes };
    }
    client_reply(replica, output, client, &reply);
}

static void client_status(struct replica *replica, struct output *output, uint64_t client, uint64_t request_id)
{
    struct node_status status = {
        .cluster_id = replica->config.cluster_id,
        .node_id = replica->config.node_id,
        .leader = replica->leader,
        .term = replica->stored.hard.term,
        .last_index = replica->log.last.index,
        .durable_index = wal_promised_index(replica),
        .commit_index = replica->commit,
        .applied_index = replica->applied,
        .wal_bytes_used = wal_used_bytes(replica),
        .wal_bytes_max = (uint64_t)replica->limits.wal_body_blocks * replica->limits.block_bytes,
        .log_entries_max = replica->limits.log_entries_max,
        .keys = page_root_const(replica)->keys,
        .store_bytes_used =
            (uint64_t)(replica->limits.pages_max - page_root_const(replica)->pages_free) * replica->limits.page_bytes,
        .store_bytes_max = (uint64_t)replica->limits.pages_max * replica->limits.page_bytes,
        .sessions = page_root_const(replica)->session_count,
        .state_digest = apply_digest(replica),
        .checkpoint = replica->superblock.durable.checkpoint.id,
        .checkpoint_hash = replica->superblock.durable.checkpoint.hash,
        .first_index = replica->superblock.durable.head.base.index + 1,
        .pages_wanted = u64_max(replica->store.pages_damaged, replica->install.wanted_pages),
        .entries_repaired = replica->entries_repaired,
        .pages_pulled = replica->install.pages_pulled,
        .bytes_pulled = replica->install.bytes_pulled,
        .blocks_mended = replica->scrub.mended,
        .memory_mended = replica->scrub.memory_mended,
        .differences = replica->diverge.differences,
        .scrub_passes = replica->scrub.passes,
        .scrub_position = replica->scrub.position,
        .scrub_phase = (uint8_t)replica->scrub.phase,
        .store_state = (uint8_t)replica->store.state,
        .checkpoint_busy = !checkpoint_is_idle(replica),
        .configuration_index = members_now(replica)->id.index,
        .role = (uint8_t)replica->role,
        .rejoin = (uint8_t)rejoin_state_of(replica),
        .rejoin_answers = (uint8_t)rejoin_answers(replica),
        .rejoin_answers_needed = (uint8_t)rejoin_answers_needed(replica),
        .abstains = election_abstains(replica),
        .doubts = diverge_in_doubt(replica),
        .log_damaged = replica->log.first_faulty != 0,
    };
    uint8_t value[sizeof status + MEMBERS_MAX * sizeof(struct member_status)];
    status.members = members_status(replica, value + sizeof status);
    memcpy(value, &status, sizeof status);
    const struct reply reply = {
        .request_id = request_id,
        .leader = replica->leader,
        .applied = replica->applied,
        .value = {
            .bytes = value,
            .count = (uint32_t)(sizeof status + status.members * sizeof(struct member_status)),
        },
    };
    client_reply(replica, output, client, &reply);
}

/* replicate_checkpoint() appends the marker when it may; whoever needs the checkpoint looks whether it came. */
static void client_checkpoint(struct replica *replica, struct output *output, uint64_t client, uint64_t request_id)
{
    ASSERT(replica->role == RAFT_LEADER);
    replica->marker_asked = replica->log.last.index > replica->checkpoint.next.id.index;
    client_reply(replica, output, client, &(struct reply){ .request_id = request_id, .applied = replica->applied });
}

/* Puts the command into the log, stamped with the term in which this node leads now. REPLY_OK: it waits there. */
static enum reply_status client_propose(struct replica *replica, struct output *output, uint64_t client,
                                        const struct request *request)
{
    if (!client_admits(replica) || replica->log.first_faulty != 0)
        return REPLY_BUSY;
    /* Raft 3.10 step 1: or its target would never have everything. */
    if (transfer_is_under_way(replica))
        return REPLY_BUSY;
    const uint32_t bytes = command_bytes(request);
    if (!wal_has_room(replica, bytes, replica->limits.wal_reserve_blocks))
        return REPLY_BUSY; /* the next checkpoint makes room */
    /* The command lies in the input frame just as it goes into the log. */
    const struct entry entry = {
        .id = { .term = replica->stored.hard.term, .index = replica->log.last.index + 1 },
        .kind = ENTRY_COMMAND,
        .body = { .bytes = request->key.bytes - sizeof(struct request_header), .count = bytes },
    };
    if (!wal_append(replica, output, &entry, replica->limits.wal_reserve_blocks))
        return REPLY_BUSY;
    ASSERT(replica->pending_count < replica->limits.pending_writes_max);
    *pending_at(replica, replica->pending_count) = (struct pending){
        .id = entry.id,
        .client = client,
        .request_id = request->request_id,
        .since_ns = replica->now_ns,
    };
    replica->pending_count++;
    return REPLY_OK;
}

static void client_request(struct replica *replica, struct output *output, uint64_t client,
                           const struct request *request)
{
    struct reply refusal = { .request_id = request->request_id };
    if (request->kind == REQUEST_STATUS) {
        client_status(replica, output, client, request->request_id);
        return;
    }
    const bool stale = request->kind == REQUEST_GET_STALE;
    const bool here = stale || (request->flags & REQUEST_FLAG_LOCAL) != 0;
    const bool serves = store_is_ready(replica) && !diverge_in_doubt(replica) && install_has_regained(replica);
    if (replica->role == RAFT_STARTING || (!serves && (here || replica->role == RAFT_LEADER))) {
        refusal.status = REPLY_BUSY;
    } else if (stale && replica->self == MEMBERS_MAX && replica->applied == 0) {
        refusal.status = REPLY_NO_LEADER; /* no member, and nobody has told it anything: no key is missing here */
    } else if (stale) {
        output_event(output, EVENT_STALE_READ, replica->applied, 0);
        client_read(replica, output, client, request->request_id, request->key, REPLY_FLAG_STALE);
        return;
    } else if (!here && replica->role != RAFT_LEADER) {
        refusal = client_redirect(replica, request->request_id);
    } else if (here || request->kind == REQUEST_GET) {
        read_request(replica, output, client, request);
        return;
    } else if (request->kind == REQUEST_CHECKPOINT) {
        client_checkpoint(replica, output, client, request->request_id);
        return;
    } else if (request->kind == REQUEST_MEMBERS) {
        members_request(replica, output, client, request);
        return;
    } else if (request->kind == REQUEST_TRANSFER) {
        transfer_request(replica, output, client, request);
        return;
    } else {
        refusal.status = client_propose(replica, output, client, request);
        if (refusal.status == REPLY_OK)
            return;
    }
    client_reply(replica, output, client, &refusal);
}

/* Has the client given up by now? Then what it wanted must not happen any more: it may have gone on with something
 * else. A node's status is no use to anybody later than now, and costs nothing. */
static bool client_is_late(struct replica *replica, struct output *output, const struct input *input,
                           const struct request *request)
{
    const bool waited = input->arrived_ns != 0 && input->arrived_ns < replica->now_ns;
    const uint64_t waited_ns = waited ? replica->now_ns - input->arrived_ns : 0;
    if (request->budget_ns == 0 || waited_ns < request->budget_ns || request->kind == REQUEST_STATUS)
        return false;
    output_event(output, EVENT_LATE, request->budget_ns, waited_ns);
    client_reply(replica, output, input->client,
                 &(struct reply){ .request_id = request->request_id, .status = REPLY_LATE });
    return true;
}

/* A client that saves the store asks for a checkpoint as a peer would. */
static bool client_pulls(struct replica *replica, struct output *output, const struct input *input)
{
    struct message message;
    if (message_decode(input->bytes, &replica->frame, &message) != FRAME_OK)
        return false;
    if (message.type != FRAME_CHECKPOINT_REQUEST || message.from != 0)
        return false;
    if (replica->role != RAFT_STARTING)
        install_request(replica, output, &message, input->client);
    return true;
}

void client_frame(struct replica *replica, struct output *output, const struct input *input)
{
    struct request request;
    enum reply_status status = REPLY_OK;
    const enum frame_verdict verdict =
        request_decode(input->bytes, &replica->frame, &replica->limits, &request, &status);
    if (verdict == FRAME_BAD_TYPE && client_pulls(replica, output, input))
        return;
    if (verdict != FRAME_OK) {
        output_effect(output, &(struct effect){ .kind = EFFECT_REFUSE, .target = input->client, .verdict = verdict });
        return;
    }
    if (status != REPLY_OK) {
        const struct reply refusal = { .request_id = request.request_id, .status = status };
        client_reply(replica, output, input->client, &refusal);
        return;
    }
    if (!client_is_late(replica, output, input, &request))
        client_request(replica, output, input->client, &request);
}

void client_applied(struct replica *replica, struct output *output, struct log_id id, const struct reply *outcome)
{
    if (replica->pending_count == 0)
        return;
    const struct pending *pending = pending_at(replica, 0);
    /* The same entry, not just the same index: another leader may have put another entry there. */
    if (!log_id_equal(pending->id, id))
        return;
    struct reply reply = *outcome;
    if (diverge_in_doubt(replica))
        reply = (struct reply){ .status = REPLY_UNKNOWN, .leader = replica->leader };
    reply.request_id = pending->request_id;
    client_reply(replica, output, pending->client, &reply);
    pending_pop(replica);
}

/* Is its leadership over? Or was a checkpoint installed that holds the entry, so that it is never applied here? */
static bool pending_is_vain(const struct replica *replica, const struct pending *pending)
{
    if (replica->role != RAFT_LEADER || pending->id.term != replica->stored.hard.term)
        return true;
    return store_is_ready(replica) && pending->id.index <= replica->applied;
}

bool client_fail_pending(struct replica *replica, struct output *output)
{
    while (replica->pending_count > 0) {
        const struct pending *pending = pending_at(replica, 0);
        if (!pending_is_vain(replica, pending))
            break;
        if (!output_room(output, 1, CLIENT_REPLY_SMALL_BYTES)) {
            replica->wants_tick = true;
            return false;
        }
        const struct reply unknown = {
            .request_id = pending->request_id,
            .status = REPLY_UNKNOWN,
            .leader = replica->leader,
        };
        client_reply(replica, output, pending->client, &unknown);
        pending_pop(replica);
    }
    members_end_change(replica, output);
    return true;
}

/* Fuzzer of input sequences: a cluster of three replicas in which the input chooses everything that a driver and the
 * world may choose: which frame arrives, twice, damaged or never; which disk operation completes next and how; who
 * crashes, what of its writes in flight lands; when time passes; what clients ask; which block of one node's device 1
 * rots. Checkpoints are frequent and logs short, so that nodes that were away need a checkpoint.
 *
 * The frames are those of honest replicas: Raft does not bear liars, a checksum catches the rest. node.h checks the
 * invariants of each replica after each step; here: one leader per term, and equal committed entries at the end. The
 * simulator does far more of this; the fuzzer goes where coverage leads it.
 *
 * Input: one byte for the configuration, then operations of one byte with operands. */
#include "../core/pieces.h"
#include "../core/state.h"
#include "node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

_Noreturn void core_assert_failed(const char *expression, const char *file, int line)
{
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, expression);
    abort();
}

enum { NODES = 3, NETWORK_MAX = 48, SESSIONS = 4, TERMS_MAX = 1024, ROTTEN = 0 };

struct flight {
    uint32_t to; /* node slot */
    uint32_t count;
    uint8_t bytes[NODE_FRAME_BYTES_MAX];
};

struct world {
    struct node *nodes[NODES];
    struct flight network[NETWORK_MAX];
    uint32_t flights;
    uint64_t now_ns;
    uint64_t sessions[SESSIONS];
    uint64_t sequences[SESSIONS];
    uint64_t leaders[TERMS_MAX]; /* node id by term */
    const uint8_t *data;
    size_t left;
};

static uint8_t take(struct world *world)
{
    if (world->left == 0)
        return 0;
    world->left--;
    return *world->data++;
}

/* ---- after a step ---- */

static void take_reply(struct world *world, uint32_t slot, const struct node_frame *frame)
{
    struct reply reply;
    struct message message;
    const struct slice bytes = { .bytes = frame->bytes, .count = frame->count };
    const struct frame_context context = node_context(world->nodes[slot]);
    if (message_decode(bytes, &context, &message) == FRAME_OK) {
        NODE_CHECK(message.type == FRAME_CHECKPOINT_RESPONSE, "a client gets the frame of a peer");
        return;
    }
    NODE_CHECK(reply_decode(bytes, NODE_FRAME_BYTES_MAX, &reply) == FRAME_OK, "a reply that does not decode");
    if (reply.status == REPLY_OK && reply.session != 0 && frame->to < SESSIONS && reply.request_id == 0) {
        world->sessions[frame->to] = reply.session;
        world->sequences[frame->to] = 0;
    }
}

static void gather(struct world *world, uint32_t slot)
{
    struct node *node = world->nodes[slot];
    for (uint32_t i = 0; i < node->sent_count; i++) {
        const struct node_frame *frame = &node->sent[i];
        if (frame->reply) {
            take_reply(world, slot, frame);
            continue;
        }
        if (world->flights == NETWORK_MAX)
            continue;
        struct flight *flight = &world->network[world->flights++];
        flight->to = (uint32_t)(frame->to - 1);
        flight->count = frame->count;
        memcpy(flight->bytes, frame->bytes, frame->count);
    }
    node->sent_count = 0;
    if (node->stop != 0) {
        node_crash(node);
        return;
    }
    const struct replica_view view = node_view(node);
    if (view.role == RAFT_LEADER && view.term < TERMS_MAX) {
        NODE_CHECK(world->leaders[view.term] == 0 || world->leaders[view.term] == view.node_id,
                   "two leaders in a term");
        world->leaders[view.term] = view.node_id;
    }
}

static bool up(const struct world *world, uint32_t slot) { return world->nodes[slot]->replica != NULL; }

static void start(struct world *world, uint32_t slot)
{
    world->nodes[slot]->now_ns = world->now_ns;
    world->nodes[slot]->config.seed++;
    node_start(world->nodes[slot]);
    gather(world, slot);
}

static void op_start(struct world *world, uint32_t slot)
{
    const uint8_t rot = take(world);
    if (slot == ROTTEN && rot >= 128) {
        const uint32_t block = (rot - 128u) % world->nodes[slot]->limits.data_blocks;
        world->nodes[slot]->data[(uint64_t)block * world->nodes[slot]->limits.page_bytes] ^= 1;
    }
    start(world, slot);
}

/* ---- operations ---- */

static void op_tick(struct world *world, uint32_t slot)
{
    static const uint64_t passes_ns[] = { 0, 1000 * 1000, 15 * 1000 * 1000, 60 * 1000 * 1000, 250 * 1000 * 1000 };
    world->now_ns += passes_ns[take(world) % ARRAY_COUNT(passes_ns)];
    if (!up(world, slot))
        return;
    world->nodes[slot]->now_ns = world->now_ns;
    node_tick(world->nodes[slot], 0);
    gather(world, slot);
}

static void deliver(struct world *world, const struct flight *flight)
{
    if (!up(world, flight->to))
        return;
    struct node *node = world->nodes[flight->to];
    node->now_ns = world->now_ns;
    node_peer_frame(node, (struct slice){ .bytes = flight->bytes, .count = flight->count });
    gather(world, flight->to);
}

static void op_frame(struct world *world, bool damage, bool keep, bool lose)
{
    if (world->flights == 0)
        return;
    const uint32_t at = take(world) % world->flights;
    struct flight flight = world->network[at];
    if (!keep)
        world->network[at] = world->network[--world->flights];
    if (damage)
        flight.bytes[(take(world) * 7u) % flight.count] ^= (uint8_t)(1u << (take(world) % 8));
    if (!lose)
        deliver(world, &flight);
}

/* In order, and what is sent in answer too, until the network is full. */
static void op_deliver_all(struct world *world)
{
    for (uint32_t i = 0; i < world->flights; i++)
        deliver(world, &world->network[i]);
    world->flights = 0;
}

static void op_disk(struct world *world, uint32_t slot, bool fails)
{
    struct node *node = world->nodes[slot];
    if (!up(world, slot) || node->op_count == 0)
        return;
    node->now_ns = world->now_ns;
    node_complete(node, take(world) % node->op_count, fails ? DISK_ERROR : DISK_OK);
    gather(world, slot);
}

static void op_settle(struct world *world, uint32_t slot)
{
    for (uint32_t i = 0; i < 256 && up(world, slot) && world->nodes[slot]->op_count > 0; i++) {
        node_complete(world->nodes[slot], 0, DISK_OK);
        gather(world, slot);
    }
}

static void op_crash(struct world *world, uint32_t slot)
{
    struct node *node = world->nodes[slot];
    if (!up(world, slot))
        return;
    for (uint32_t i = 0; i < node->op_count; i++)
        if (node->ops[i].write)
            node_land(node, i, take(world));
    node_crash(node);
}

/* Who saves the store asks with the frames of a peer: for what the node has, or for something else. */
static void op_save(struct world *world, uint32_t slot, uint32_t client)
{
    struct node *node = world->nodes[slot];
    uint8_t bytes[NODE_FRAME_BYTES_MAX];
    struct pieces_question question;
    const uint8_t choice = take(world);
    pieces_ask(&question, choice / 4, NULL, node->limits.page_bytes);
    struct checkpoint_request request = { .ask = (enum checkpoint_ask)(CHECKPOINT_ASK_OFFER + choice % 3) };
    if (request.ask != CHECKPOINT_ASK_OFFER)
        request.checkpoint = node->replica->superblock.durable.checkpoint.hash;
    if (request.ask == CHECKPOINT_ASK_HASHES) {
        request.level = 1 + choice / 3 % 4;
        request.at = choice / 12;
    } else if (request.ask == CHECKPOINT_ASK_PAGES) {
        request.count = 1;
        request.pages = (struct slice){ .bytes = (const uint8_t *)&question, .count = sizeof question };
    }
    const struct message message = { .type = FRAME_CHECKPOINT_REQUEST, .checkpoint_request = request };
    const struct frame_context context = node_context(node);
    message_encode(&message, &context, bytes);
    node_client_frame(node, client, (struct slice){ .bytes = bytes, .count = message_bytes(&message) });
    gather(world, slot);
}

static void op_client(struct world *world, uint32_t slot)
{
    static const uint8_t text[200] = "a value that is long enough for every length that is asked for here";
    const uint32_t client = take(world) % SESSIONS;
    const uint8_t choice = take(world);
    struct request request = {
        .kind = (enum request_kind)(1 + choice % REQUEST_KIND_LAST),
        .request_id = choice % REQUEST_KIND_LAST,
        .key = { .bytes = text + choice % 4, .count = 1 },
        .value = { .bytes = text, .count = take(world) % 170u },
        .version = choice / REQUEST_KIND_LAST,
    };
    if (!up(world, slot))
        return;
    if (request.kind == REQUEST_TXN) {
        op_save(world, slot, client);
        return;
    }
    const bool transfer = request.kind == REQUEST_TRANSFER;
    if (request.kind == REQUEST_REGISTER || request.kind == REQUEST_STATUS || request.kind == REQUEST_CHECKPOINT
        || transfer)
        request.key.count = 0;
    if (request.kind != REQUEST_PUT && request.kind != REQUEST_APPEND && request.kind != REQUEST_CAS)
        request.value.count = 0;
    if (request.kind == REQUEST_GET && request.version % 2 == 1)
        request.flags = REQUEST_FLAG_LOCAL;
    if (request.flags != 0)
        request.version = request.version / 2 * 10 * 1000 * 1000; /* a bound, or none */
    else if (request.kind != REQUEST_CAS && !transfer)
        request.version = 0;
    if (request.kind >= REQUEST_PUT && request.kind <= REQUEST_CAS) {
        request.session = world->sessions[client];
        request.sequence = world->sequences[client] + (choice < 200); /* sometimes a repetition */
        if (request.session == 0 || request.sequence == 0)
            return;
        world->sequences[client] = request.sequence;
    }
    node_request(world->nodes[slot], client, &request);
    gather(world, slot);
}

static void operate(struct world *world)
{
    const uint8_t byte = take(world);
    const uint32_t slot = byte / 16 % NODES;
    switch (byte % 16) {
    case 0:
    case 1: op_tick(world, slot); break;
    case 2:
    case 3: op_frame(world, false, false, false); break;
    case 4: op_frame(world, false, true, false); break;
    case 5: op_frame(world, true, true, false); break;
    case 6: op_frame(world, false, false, true); break;
    case 7:
    case 8: op_deliver_all(world); break;
    case 9: op_disk(world, slot, false); break;
    case 10: op_disk(world, slot, take(world) < 64); break;
    case 11: op_settle(world, slot); break;
    case 12:
        for (uint32_t each = 0; each < NODES; each++)
            op_settle(world, each);
        break;
    case 13: op_crash(world, slot); break;
    case 14:
        if (!up(world, slot))
            op_start(world, slot);
        break;
    default: op_client(world, slot); break;
    }
}

/* ---- checks ---- */

/* Both have the entry, and committed it: it is the same. */
static void check_entry(const struct world *world, uint32_t a, uint32_t b, uint64_t index)
{
    struct entry one;
    struct entry other;
    replica_entry(world->nodes[a]->replica, index, &one);
    replica_entry(world->nodes[b]->replica, index, &other);
    NODE_CHECK(log_id_equal(one.id, other.id), "two entries committed at one index");
    NODE_CHECK(one.body.count == other.body.count, "two bodies committed at one index");
    NODE_CHECK(one.body.count == 0 || memcmp(one.body.bytes, other.body.bytes, one.body.count) == 0,
               "two bodies committed at one index");
}

/* Entries from first_faulty on may be known by name only. */
static uint64_t readable_end(const struct replica_view *view)
{
    return view->first_faulty != 0 ? u64_min(view->commit, view->first_faulty - 1) : view->commit;
}

static void check_committed(const struct world *world)
{
    for (uint32_t a = 0; a < NODES; a++) {
        for (uint32_t b = a + 1; b < NODES; b++) {
            if (!up(world, a) || !up(world, b))
                continue;
            const struct replica_view left = node_view(world->nodes[a]);
            const struct replica_view right = node_view(world->nodes[b]);
            if (left.role == RAFT_STARTING || right.role == RAFT_STARTING)
                continue;
            const uint64_t end = u64_min(readable_end(&left), readable_end(&right));
            for (uint64_t index = u64_max(left.base.index, right.base.index) + 1; index <= end; index++)
                check_entry(world, a, b, index);
            if (left.applied == right.applied && left.store_ready && right.store_ready)
                NODE_CHECK(left.state_digest == right.state_digest, "two states at one applied index");
        }
    }
}

static struct limits fuzz_limits(void)
{
    struct limits limits = limits_tiny;
    limits.checkpoint_entries = 4;
    limits.wal_retain_blocks = 1;
    limits.wal_body_blocks = 64;
    limits.checkpoint_wal_blocks = 16;
    NODE_CHECK(limits_problem(&limits) == NULL, "the fuzzer's limits");
    return limits;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world world;
    static uint8_t *formatted[NODES];
    if (size < 2)
        return 0;

    world.flights = 0;
    world.now_ns = 0;
    world.data = data;
    world.left = size;
    memset(world.sessions, 0, sizeof world.sessions);
    memset(world.sequences, 0, sizeof world.sequences);
    memset(world.leaders, 0, sizeof world.leaders);
    const uint8_t choice = take(&world);
    for (uint32_t slot = 0; slot < NODES; slot++) {
        struct replica_config config = node_config(slot + 1);
        struct node *node = world.nodes[slot];
        config.pre_vote = choice & 1;
        config.check_quorum = choice & 2;
        if (node == NULL) {
            const struct limits limits = fuzz_limits();
            node = node_new(&limits, &config, node_voters(NODES));
            formatted[slot] = malloc(node->image_bytes);
            NODE_CHECK(formatted[slot] != NULL, "memory");
            memcpy(formatted[slot], node->image, node->image_bytes);
            world.nodes[slot] = node;
        }
        node->config = config;
        memcpy(node->image, formatted[slot], node->image_bytes);
        memset(node->data, 0, node->data_bytes);
        node_crash(node);
        start(&world, slot);
        op_settle(&world, slot);
    }
    for (uint32_t operations = 0; world.left > 0 && operations < 2000; operations++)
        operate(&world);
    check_committed(&world);
    return 0;
}

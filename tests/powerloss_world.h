/* A small cluster whose disks and frames a model watches, for the test of power loss: scripted by verbs, everything in
 * an order drawn from a seed. The model reads what leaves the replicas: batches on their way to the disk, frames,
 * replies. It knows nothing of their memory but the commit index and where the log begins. */
#ifndef WW_TEST_POWERLOSS_WORLD_H
#define WW_TEST_POWERLOSS_WORLD_H

#include "../core/prng.h"
#include "../core/wal.h"

#include "image.h"
#include "wal_model.h"

enum { NODES_MAX = 3, CLIENTS = 3, FRAMES_MAX = 128, BIG_VALUE_BYTES = 600 };
enum { SECOND_NS = 1000 * 1000 * 1000, HEARTBEAT_NS = 20 * 1000 * 1000 };
enum { NAME_DELAY_NS = 2 * WAL_NAME_DELAY_NS }; /* more than a batch waits for its name */

/* ---- the model ---- */

struct model_node {
    struct wal_model wal;
    uint64_t commit;
    uint64_t term;      /* highest that left in a frame */
    uint64_t vote_term; /* latest vote that left, as a grant or as a candidacy */
    uint64_t vote;
};

/* A session with one write outstanding. Client 0 puts a large value, the others append a letter for each write. */
struct model_client {
    uint64_t session;
    uint64_t sent;
    uint64_t acknowledged;
    struct reply reply; /* the latest */
    uint64_t reply_count;
    uint8_t value[BIG_VALUE_BYTES];
};

struct cluster {
    uint32_t count;
    struct node *nodes[NODES_MAX];
    struct image_faults no_faults;
    struct model_node models[NODES_MAX];
    struct model_log committed; /* by anybody */
    struct model_client clients[CLIENTS];
    struct node_frame frames[FRAMES_MAX];
    uint32_t frame_count;
    uint32_t truncations; /* batches that carried one */
    uint32_t checkpoints; /* durable ones */
    uint32_t laps;        /* batches that began the ring anew */
    uint32_t installs;    /* logs that were replaced */
    bool isolated[NODES_MAX];
    bool stalled[NODES_MAX];    /* its batches stay in flight */
    void (*before_write)(void); /* completes; NULL: nothing is to be done */
    struct prng prng;
};

/* ---- what leaves the replicas ---- */

static inline void note_frame(struct cluster *cluster, uint32_t from, const struct node_frame *frame)
{
    struct model_node *model = &cluster->models[from];
    const struct frame_context context = node_context(cluster->nodes[from]);
    const struct slice bytes = { .bytes = frame->bytes, .count = frame->count };
    struct message message;
    EXPECT_EQUAL(message_decode(bytes, &context, &message), FRAME_OK);
    model->term = u64_max(model->term, message.term);
    const bool granted =
        message.type == FRAME_VOTE_RESPONSE && message.vote_response.granted && !message.vote_response.pre;
    const bool candidate = message.type == FRAME_VOTE_REQUEST && !message.vote_request.pre;
    if (!granted && !candidate)
        return;
    const uint64_t vote = granted ? message.to : message.from;
    EXPECT(model->vote_term < message.term || (model->vote_term == message.term && model->vote == vote));
    model->vote_term = message.term;
    model->vote = vote;
}

static inline void note_reply(struct cluster *cluster, const struct node_frame *frame)
{
    struct model_client *client = &cluster->clients[frame->to - 1];
    const struct slice bytes = { .bytes = frame->bytes, .count = frame->count };
    struct reply reply;
    EXPECT_EQUAL(reply_decode(bytes, NODE_FRAME_BYTES_MAX, &reply), FRAME_OK);
    EXPECT(reply.value.count <= sizeof client->value);
    memcpy(client->value, reply.value.bytes, reply.value.count);
    client->reply = reply;
    client->reply.value.bytes = client->value;
    client->reply_count++;
    if (reply.status != REPLY_OK)
        return;
    if (client->session == 0)
        client->session = reply.session;
    else if (reply.request_id == client->sent)
        client->acknowledged = client->sent;
}

static inline void note_commit(struct cluster *cluster, uint32_t slot)
{
    const struct node *node = cluster->nodes[slot];
    struct model_node *model = &cluster->models[slot];
    const struct replica_view view = node_view(node);
    EXPECT(view.base.index <= cluster->committed.last);
    model->commit = u64_max(model->commit, view.base.index);
    while (model->commit < view.commit) {
        struct entry entry;
        replica_entry(node->replica, ++model->commit, &entry);
        if (model->commit <= cluster->committed.last) {
            EXPECT(cluster->committed.entries[model->commit] == entry_digest(&entry));
            continue;
        }
        EXPECT_EQUAL(model->commit, cluster->committed.last + 1);
        cluster->committed.entries[++cluster->committed.last] = entry_digest(&entry);
    }
}

/* Storage design 2.6: a name says "was durable". */
static inline void note_name(const struct cluster *cluster, uint32_t slot, const struct node_op *op)
{
    const struct node *node = cluster->nodes[slot];
    struct wal_name_header name;
    EXPECT(wal_name_decode((struct slice){ .bytes = op->source, .count = op->bytes }, node->config.cluster_id, &name));
    EXPECT(name.durable_sequence <= cluster->models[slot].wal.durable.sequence);
}

static inline bool op_is_batch(const struct node *node, const struct node_op *op)
{
    return op->write && op->device == DEVICE_WAL && op->offset >= wal_body_offset(&node->limits);
}

static inline bool op_is_superblock(const struct node *node, const struct node_op *op)
{
    return op->write && op->device == DEVICE_WAL && op->offset < wal_header_offset(&node->limits);
}

/* After every step of a node. */
static inline void observe(struct cluster *cluster, uint32_t slot)
{
    struct node *node = cluster->nodes[slot];
    uint32_t truncations = 0;
    EXPECT_EQUAL(node->stop, 0);
    EXPECT_EQUAL(node->sent_dropped, 0);
    for (uint32_t i = 0; i < node->op_count; i++) {
        if (!node->ops[i].write || node->ops[i].device != DEVICE_WAL
            || node->ops[i].offset < wal_header_offset(&node->limits))
            continue;
        if (op_is_batch(node, &node->ops[i]))
            truncations += model_batch_submitted(&cluster->models[slot].wal, node, &node->ops[i]);
        else
            note_name(cluster, slot, &node->ops[i]);
    }
    cluster->truncations += truncations;
    for (uint32_t i = 0; i < node->sent_count; i++) {
        const struct node_frame *frame = &node->sent[i];
        if (frame->reply) {
            note_reply(cluster, frame);
            continue;
        }
        note_frame(cluster, slot, frame);
        EXPECT(cluster->frame_count < FRAMES_MAX);
        if (!cluster->isolated[slot] && !cluster->isolated[frame->to - 1])
            cluster->frames[cluster->frame_count++] = *frame;
    }
    node->sent_count = 0;
    if (!image_starting(node))
        note_commit(cluster, slot);
}

/* ---- moving on ---- */

static inline void complete(struct cluster *cluster, uint32_t slot, uint32_t op_slot)
{
    struct node *node = cluster->nodes[slot];
    const struct node_op op = node->ops[op_slot];
    if (op.write && cluster->before_write != NULL)
        cluster->before_write();
    const uint64_t checkpoint = model_superblock(node).stored.checkpoint.id.index;
    if (op_is_batch(node, &op))
        model_batch_completed(&cluster->models[slot].wal, op.op_id);
    cluster->laps += op_is_batch(node, &op) && op.offset == wal_body_offset(&node->limits)
                     && model_newest(&cluster->models[slot].wal)->sequence > 1;
    node_complete(node, op_slot, DISK_OK);
    if (op_is_superblock(node, &op)) {
        cluster->checkpoints += model_superblock(node).stored.checkpoint.id.index > checkpoint;
        cluster->installs += model_superblock_completed(&cluster->models[slot].wal, node);
    }
    observe(cluster, slot);
}

static inline void deliver(struct cluster *cluster)
{
    static struct node_frame frame;
    frame = cluster->frames[0];
    cluster->frame_count--;
    memmove(cluster->frames, cluster->frames + 1, cluster->frame_count * sizeof frame);
    const uint32_t slot = (uint32_t)frame.to - 1;
    if (cluster->nodes[slot]->replica == NULL || cluster->isolated[slot])
        return;
    node_peer_frame(cluster->nodes[slot], (struct slice){ .bytes = frame.bytes, .count = frame.count });
    observe(cluster, slot);
}

static inline void tick(struct cluster *cluster, uint32_t slot, uint64_t passed_ns)
{
    node_tick(cluster->nodes[slot], passed_ns);
    observe(cluster, slot);
}

static inline bool op_waits(const struct cluster *cluster, uint32_t slot, const struct node_op *op)
{
    return cluster->stalled[slot] && op_is_batch(cluster->nodes[slot], op);
}

/* Of the operations that may complete, the n-th one does. */
static inline void complete_nth(struct cluster *cluster, uint64_t nth)
{
    for (uint32_t slot = 0; slot < cluster->count; slot++) {
        const struct node *node = cluster->nodes[slot];
        for (uint32_t i = 0; i < node->op_count; i++) {
            if (op_waits(cluster, slot, &node->ops[i]) || nth-- > 0)
                continue;
            complete(cluster, slot, i);
            return;
        }
    }
    UNREACHABLE();
}

/* One event: a frame, or a completion in any order. False when nothing is to be done. */
static inline bool event_next(struct cluster *cluster)
{
    uint32_t ops = 0;
    for (uint32_t slot = 0; slot < cluster->count; slot++) {
        const struct node *node = cluster->nodes[slot];
        for (uint32_t i = 0; i < node->op_count; i++)
            ops += !op_waits(cluster, slot, &node->ops[i]);
    }
    const bool frame = cluster->frame_count > 0;
    if (frame && (ops == 0 || prng_below(&cluster->prng, 3) > 0))
        deliver(cluster);
    else if (ops > 0)
        complete_nth(cluster, prng_below(&cluster->prng, ops));
    return frame || ops > 0;
}

/* Steps that nodes asked for come first. One that waits for its disk may ask again and again. */
static inline void run_events(struct cluster *cluster)
{
    uint32_t steps = 0;
    for (uint32_t events = 0;; events++) {
        EXPECT(events < 20000);
        bool wanted = false;
        for (uint32_t slot = 0; slot < cluster->count && !wanted; slot++) {
            const struct node *node = cluster->nodes[slot];
            wanted = node->replica != NULL && !image_starting(node) && node->deadline_ns <= node->now_ns;
            if (wanted)
                tick(cluster, slot, 0);
        }
        if (wanted && steps++ < 100)
            continue;
        steps = 0;
        if (!event_next(cluster))
            return;
    }
}

/* Until nothing is to be done, not even a little later: a name waits for a while. */
static inline void settle(struct cluster *cluster)
{
    run_events(cluster);
    for (uint32_t slot = 0; slot < cluster->count; slot++)
        tick(cluster, slot, NAME_DELAY_NS);
    run_events(cluster);
}

/* ---- the script's verbs, also used by the nodes that start again ---- */

static inline bool leads(const struct cluster *cluster, uint32_t slot)
{
    return cluster->nodes[slot]->replica != NULL && node_view(cluster->nodes[slot]).role == RAFT_LEADER;
}

static inline void heartbeat(struct cluster *cluster, uint32_t leader)
{
    tick(cluster, leader, HEARTBEAT_NS);
    settle(cluster);
}

/* Time passes for everybody; followers hear of their leader before they lose patience. */
static inline void pass_time(struct cluster *cluster, uint32_t leader)
{
    for (uint32_t slot = 0; slot < cluster->count; slot++)
        if (slot != leader && !cluster->isolated[slot])
            tick(cluster, slot, HEARTBEAT_NS);
    heartbeat(cluster, leader);
}

/* Has everybody applied all that anybody has? */
static inline bool is_even(const struct cluster *cluster)
{
    uint64_t last = 0;
    for (uint32_t slot = 0; slot < cluster->count; slot++)
        last = u64_max(last, node_view(cluster->nodes[slot]).last.index);
    for (uint32_t slot = 0; slot < cluster->count; slot++)
        if (node_view(cluster->nodes[slot]).applied < last)
            return false;
    return true;
}

/* Its election timeout passes. True when it leads and its no-op is committed. */
static inline bool campaign(struct cluster *cluster, uint32_t slot)
{
    tick(cluster, slot, SECOND_NS);
    settle(cluster);
    if (!leads(cluster, slot))
        return false;
    heartbeat(cluster, slot);
    const struct replica_view view = node_view(cluster->nodes[slot]);
    return view.commit == view.last.index;
}

static inline void ask(struct cluster *cluster, uint32_t leader, uint32_t client, struct request request)
{
    node_request(cluster->nodes[leader], client + 1, &request);
    observe(cluster, leader);
}

static inline void ask_register(struct cluster *cluster, uint32_t leader, uint32_t client)
{
    ask(cluster, leader, client, (struct request){ .kind = REQUEST_REGISTER });
}

/* The write `sent` of the client: for the first time, or again. */
static inline void ask_write(struct cluster *cluster, uint32_t leader, uint32_t client)
{
    const struct model_client *model = &cluster->clients[client];
    static uint8_t value[BIG_VALUE_BYTES];
    memset(value, (int)('a' + model->sent), sizeof value);
    const uint8_t key = (uint8_t)('k' + client);
    ask(cluster, leader, client,
        (struct request){ .request_id = model->sent,
                          .kind = client == 0 ? REQUEST_PUT : REQUEST_APPEND,
                          .session = model->session,
                          .sequence = model->sent,
                          .key = { .bytes = &key, .count = 1 },
                          .value = { .bytes = value, .count = client == 0 ? BIG_VALUE_BYTES : 1 } });
}

static inline void ask_next_write(struct cluster *cluster, uint32_t leader, uint32_t client)
{
    struct model_client *model = &cluster->clients[client];
    EXPECT_EQUAL(model->acknowledged, model->sent);
    model->sent++;
    ask_write(cluster, leader, client);
}

/* Reads the client's key: how many of its writes took effect. They must have done so in order, each once. */
static inline uint64_t read_writes(struct cluster *cluster, uint32_t leader, uint32_t client)
{
    struct model_client *model = &cluster->clients[client];
    const uint8_t key = (uint8_t)('k' + client);
    const uint64_t replies = model->reply_count;
    ask(cluster, leader, client,
        (struct request){ .request_id = 999, .kind = REQUEST_GET, .key = { .bytes = &key, .count = 1 } });
    settle(cluster);
    EXPECT_EQUAL(model->reply_count, replies + 1);
    if (model->reply.status == REPLY_NOT_FOUND)
        return 0;
    EXPECT_EQUAL(model->reply.status, REPLY_OK);
    const struct slice value = model->reply.value;
    if (client == 0) {
        EXPECT_EQUAL(value.count, BIG_VALUE_BYTES);
        return (uint64_t)(value.bytes[0] - 'a');
    }
    for (uint32_t i = 0; i < value.count; i++)
        EXPECT_EQUAL(value.bytes[i], 'a' + i + 1);
    return value.count;
}

#endif

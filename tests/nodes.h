/* Three replicas on disks of memory, joined by a network of memory: for tests of what needs several nodes and a look
 * inside. Everything that can happen at once happens in a fixed order; time passes only when nothing is left to do.
 *
 * Frames arrive at once unless a node is cut off; a hook may lose or change them. Events and the answers about
 * checkpoints are counted. No faults by chance: that is sim/. */
#ifndef WW_TEST_NODES_H
#define WW_TEST_NODES_H

#include "../core/install.h"
#include "../core/state.h"
#include "node.h"
#include "test.h"

/* Another number of nodes; those behind NODES_AT_FORMAT belong to no cluster yet. */
#ifndef NODES_IN_CLUSTER
#define NODES_IN_CLUSTER 3
#endif
#ifndef NODES_AT_FORMAT
#define NODES_AT_FORMAT NODES_IN_CLUSTER
#endif

enum { NODES = NODES_IN_CLUSTER, MS = 1000 * 1000, NODES_STEPS_MAX = 2000000 };

/* What happens to a frame on its way; may change it (its checksum is made good again). False: it is lost. */
struct cluster;
typedef bool on_frame(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes, uint32_t count);

struct cluster {
    struct limits limits;
    struct node *nodes[NODES];
    bool cut[NODES];          /* neither sends nor receives */
    on_frame *hook;           /* NULL: none */
    enum reply_status status; /* of the last reply to any client */
    uint64_t replies;
    uint64_t events[NODES][EVENT_KINDS];
    uint64_t pages_to[NODES];       /* that arrived in answers */
    uint64_t piece_bytes_to[NODES]; /* of these */
    uint64_t hashes_to[NODES];      /* answers */
    uint64_t lost;                  /* rolls the dice of lose_many() */
    uint64_t session;
    uint64_t sequence;
    uint64_t now_ns;
};

/* ---- driving ---- */

static inline void observe(struct cluster *cluster, uint32_t slot)
{
    const struct output *output = &cluster->nodes[slot]->output;
    for (uint32_t i = 0; i < output->event_count && i < output->event_max; i++)
        cluster->events[slot][output->events[i].kind]++;
}

static inline void count_answer(struct cluster *cluster, uint32_t to, struct slice bytes)
{
    struct message message;
    const struct frame_context context = node_context(cluster->nodes[to]);
    if (message_decode(bytes, &context, &message) != FRAME_OK || message.type != FRAME_CHECKPOINT_RESPONSE)
        return;
    cluster->pages_to[to] += message.checkpoint_response.page_count;
    if (message.checkpoint_response.ask == CHECKPOINT_ASK_PAGES)
        cluster->piece_bytes_to[to] += message.checkpoint_response.payload.count;
    cluster->hashes_to[to] += message.checkpoint_response.ask == CHECKPOINT_ASK_HASHES;
}

/* They go back the way that the frame came. */
static inline void deliver_refusals(struct cluster *cluster, uint32_t from, uint32_t to)
{
    const struct output *output = &cluster->nodes[from]->output;
    for (uint32_t i = 0; i < output->effect_count && cluster->nodes[to]->stop == 0; i++) {
        if (output->effects[i].kind != EFFECT_REFUSE || output->effects[i].bytes.count == 0)
            continue;
        node_peer_frame(cluster->nodes[to], output->effects[i].bytes);
        observe(cluster, to);
    }
}

static inline void deliver(struct cluster *cluster, uint32_t from)
{
    static struct node_frame frames[NODE_SENT_MAX];
    struct node *sender = cluster->nodes[from];
    const uint32_t count = sender->sent_count;
    memcpy(frames, sender->sent, count * sizeof frames[0]);
    sender->sent_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (frames[i].reply) {
            struct reply reply;
            const struct slice reply_bytes = { .bytes = frames[i].bytes, .count = frames[i].count };
            if (reply_decode(reply_bytes, cluster->limits.frame_bytes_max, &reply) == FRAME_OK) {
                cluster->status = reply.status;
                cluster->replies++;
            }
            continue;
        }
        const uint32_t to = (uint32_t)frames[i].to - 1;
        EXPECT(to < NODES);
        struct node *receiver = cluster->nodes[to];
        if (cluster->cut[from] || cluster->cut[to] || receiver->replica == NULL || receiver->stop != 0)
            continue;
        if (cluster->hook != NULL && !cluster->hook(cluster, from, to, frames[i].bytes, frames[i].count))
            continue;
        const struct slice bytes = { .bytes = frames[i].bytes, .count = frames[i].count };
        count_answer(cluster, to, bytes);
        node_peer_frame(receiver, bytes);
        observe(cluster, to);
        deliver_refusals(cluster, to, from);
    }
}

/* One thing that one node has to do now. */
static inline bool cluster_step(struct cluster *cluster, uint32_t slot)
{
    struct node *node = cluster->nodes[slot];
    if (node->replica == NULL || node->stop != 0)
        return false;
    if (node->sent_count > 0) {
        deliver(cluster, slot);
    } else if (node->op_count > 0) {
        node_complete(node, 0, DISK_OK);
        observe(cluster, slot);
    } else if (node->deadline_ns <= node->now_ns) {
        node_tick(node, 0);
        observe(cluster, slot);
    } else {
        return false;
    }
    return true;
}

static inline void cluster_settle(struct cluster *cluster)
{
    for (uint32_t steps = 0, quiet = 0, slot = 0; quiet < NODES; steps++) {
        EXPECT(steps < NODES_STEPS_MAX);
        quiet = cluster_step(cluster, slot) ? 0 : quiet + 1;
        slot = quiet == 0 ? slot : (slot + 1) % NODES;
    }
}

static inline void cluster_advance(struct cluster *cluster, uint64_t to_ns)
{
    cluster->now_ns = to_ns;
    for (uint32_t slot = 0; slot < NODES; slot++)
        cluster->nodes[slot]->now_ns = to_ns;
}

static inline void cluster_run(struct cluster *cluster, uint64_t duration_ns)
{
    const uint64_t end_ns = cluster->now_ns + duration_ns;
    for (cluster_settle(cluster); cluster->now_ns < end_ns; cluster_settle(cluster)) {
        uint64_t next_ns = end_ns;
        for (uint32_t slot = 0; slot < NODES; slot++)
            if (cluster->nodes[slot]->replica != NULL && cluster->nodes[slot]->stop == 0)
                next_ns = u64_min(next_ns, cluster->nodes[slot]->deadline_ns);
        cluster_advance(cluster, next_ns);
    }
}

/* One step of one node, in turns; when none has anything to do, time passes. */
static inline void cluster_one_step(struct cluster *cluster, uint64_t turn)
{
    for (uint32_t at = 0; at < NODES; at++)
        if (cluster_step(cluster, (uint32_t)((turn + at) % NODES)))
            return;
    cluster_run(cluster, 1 * MS);
}

static inline struct node *node_at(const struct cluster *cluster, uint32_t slot) { return cluster->nodes[slot]; }

static inline struct replica *replica_at(const struct cluster *cluster, uint32_t slot)
{
    return cluster->nodes[slot]->replica;
}

static inline void start(struct cluster *cluster, uint32_t slot)
{
    node_start(node_at(cluster, slot));
    memset(cluster->events[slot], 0, sizeof cluster->events[slot]);
    observe(cluster, slot);
}

static inline void cluster_free(struct cluster *cluster)
{
    for (uint32_t slot = 0; slot < NODES; slot++)
        node_free(cluster->nodes[slot]);
    free(cluster);
}

/* Three new nodes, those of the mask started. */
static inline struct cluster *cluster_new(const struct limits *limits, uint32_t started)
{
    struct cluster *cluster = calloc(1, sizeof *cluster);
    EXPECT(cluster != NULL);
    cluster->limits = *limits;
    for (uint32_t slot = 0; slot < NODES; slot++) {
        const struct replica_config config = node_config(slot + 1);
        cluster->nodes[slot] =
            node_new(&cluster->limits, &config, node_voters(slot < NODES_AT_FORMAT ? NODES_AT_FORMAT : 0));
    }
    for (uint32_t slot = 0; slot < NODES; slot++)
        if (started >> slot & 1)
            start(cluster, slot);
    return cluster;
}

/* ---- clients ---- */

static inline uint32_t leader_of(const struct cluster *cluster)
{
    uint32_t leader = NODES;
    for (uint32_t slot = 0; slot < NODES; slot++)
        if (cluster->nodes[slot]->replica != NULL && !cluster->cut[slot]
            && node_view(cluster->nodes[slot]).role == RAFT_LEADER)
            leader = slot;
    return leader;
}

static inline uint32_t elected(struct cluster *cluster)
{
    for (uint32_t tries = 0; tries < 100 && leader_of(cluster) == NODES; tries++)
        cluster_run(cluster, 20 * MS);
    EXPECT(leader_of(cluster) < NODES);
    return leader_of(cluster);
}

/* Sends it and waits until its entry is applied by the leader. */
static inline void execute(struct cluster *cluster, const struct request *request)
{
    for (uint32_t tries = 0; tries < 50; tries++) {
        struct node *node = cluster->nodes[elected(cluster)];
        const uint64_t before = node_view(node).applied;
        node_request(node, 1, request);
        observe(cluster, (uint32_t)(node->config.node_id - 1));
        cluster_run(cluster, 1 * MS);
        if (node_view(node).role == RAFT_LEADER && node_view(node).applied > before)
            return;
        cluster_run(cluster, 20 * MS);
    }
    test_fail(__FILE__, __LINE__, "a request was never executed");
}

static inline void put(struct cluster *cluster, uint32_t key, uint8_t fill)
{
    static uint8_t value[120];
    char name[8];
    if (cluster->session == 0) {
        const struct request request = { .request_id = 1, .kind = REQUEST_REGISTER };
        execute(cluster, &request);
        cluster->session = node_view(cluster->nodes[leader_of(cluster)]).applied;
    }
    snprintf(name, sizeof name, "k%03u", key);
    memset(value, fill, sizeof value);
    cluster->sequence++;
    const struct request request = {
        .request_id = 100 + cluster->sequence,
        .kind = REQUEST_PUT,
        .session = cluster->session,
        .sequence = cluster->sequence,
        .key = { .bytes = (const uint8_t *)name, .count = (uint32_t)strlen(name) },
        .value = { .bytes = value, .count = sizeof value },
    };
    execute(cluster, &request);
}

/* Writes until every node that is up has a newer checkpoint. */
static inline void write_until_checkpoint(struct cluster *cluster, uint32_t keys)
{
    const uint32_t leader = elected(cluster);
    const uint64_t before = replica_at(cluster, leader)->superblock.durable.checkpoint.id.index;
    for (uint32_t i = 0; i < 400; i++) {
        put(cluster, i % keys, (uint8_t)(cluster->sequence + 1));
        if (replica_at(cluster, elected(cluster))->superblock.durable.checkpoint.id.index > before)
            break;
    }
    cluster_run(cluster, 50 * MS);
    EXPECT(replica_at(cluster, elected(cluster))->superblock.durable.checkpoint.id.index > before);
}

#endif

/* Getting a checkpoint from peers: three nodes on disks of memory, over a network that can be cut and that may lie. */
#include "../core/checkpoint.h"
#include "../core/install.h"
#include "../core/page.h"
#include "../core/state.h"
#include "node.h"
#include "test.h"

enum { NODES = 3, MS = 1000 * 1000, KEYS = 40, STEPS_MAX = 2000000 };

/* What happens to a frame on its way; may change it (its checksum is made good again). False: it is lost. */
struct cluster;
typedef bool on_frame(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes, uint32_t count);

struct cluster {
    struct limits limits;
    struct node *nodes[NODES];
    bool cut[NODES]; /* neither sends nor receives */
    on_frame *hook;  /* NULL: none */
    uint64_t events[NODES][EVENT_KINDS];
    uint64_t pages_to[NODES];  /* that arrived in answers */
    uint64_t hashes_to[NODES]; /* answers */
    uint64_t lost;             /* rolls the dice of lose_many() */
    uint64_t session;
    uint64_t sequence;
    uint64_t now_ns;
};

static struct limits test_limits(void)
{
    struct limits limits = limits_tiny;
    limits.pages_max = 64;
    limits.data_blocks = 192;
    limits.shadow_pages_max = 64;
    limits.checkpoint_entries = 64;
    limits.checkpoint_wal_blocks = 120;
    limits.pending_writes_max = 16;
    limits.install_kib_per_second = 1024;
    EXPECT(limits_problem(&limits) == NULL);
    return limits;
}

/* ---- driving ---- */

static void observe(struct cluster *cluster, uint32_t slot)
{
    const struct output *output = &cluster->nodes[slot]->output;
    for (uint32_t i = 0; i < output->event_count && i < output->event_max; i++)
        cluster->events[slot][output->events[i].kind]++;
}

static void count_answer(struct cluster *cluster, uint32_t to, struct slice bytes)
{
    struct message message;
    const struct frame_context context = node_context(cluster->nodes[to]);
    if (message_decode(bytes, &context, &message) != FRAME_OK || message.type != FRAME_CHECKPOINT_RESPONSE)
        return;
    cluster->pages_to[to] += message.checkpoint_response.page_count;
    cluster->hashes_to[to] += message.checkpoint_response.ask == CHECKPOINT_ASK_HASHES;
}

static void deliver(struct cluster *cluster, uint32_t from)
{
    static struct node_frame frames[NODE_SENT_MAX];
    struct node *sender = cluster->nodes[from];
    const uint32_t count = sender->sent_count;
    memcpy(frames, sender->sent, count * sizeof frames[0]);
    sender->sent_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (frames[i].reply)
            continue;
        const uint32_t to = (uint32_t)frames[i].to - 1;
        struct node *receiver = cluster->nodes[to];
        if (cluster->cut[from] || cluster->cut[to] || receiver->replica == NULL || receiver->stop != 0)
            continue;
        if (cluster->hook != NULL && !cluster->hook(cluster, from, to, frames[i].bytes, frames[i].count))
            continue;
        const struct slice bytes = { .bytes = frames[i].bytes, .count = frames[i].count };
        count_answer(cluster, to, bytes);
        node_peer_frame(receiver, bytes);
        observe(cluster, to);
    }
}

/* One thing that one node has to do now. */
static bool cluster_step(struct cluster *cluster, uint32_t slot)
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

static void cluster_settle(struct cluster *cluster)
{
    for (uint32_t steps = 0, quiet = 0, slot = 0; quiet < NODES; steps++) {
        EXPECT(steps < STEPS_MAX);
        quiet = cluster_step(cluster, slot) ? 0 : quiet + 1;
        slot = quiet == 0 ? slot : (slot + 1) % NODES;
    }
}

static void cluster_advance(struct cluster *cluster, uint64_t to_ns)
{
    cluster->now_ns = to_ns;
    for (uint32_t slot = 0; slot < NODES; slot++)
        cluster->nodes[slot]->now_ns = to_ns;
}

static void cluster_run(struct cluster *cluster, uint64_t duration_ns)
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
static void cluster_one_step(struct cluster *cluster, uint64_t turn)
{
    for (uint32_t at = 0; at < NODES; at++)
        if (cluster_step(cluster, (uint32_t)((turn + at) % NODES)))
            return;
    cluster_run(cluster, 1 * MS);
}

static struct node *node_at(const struct cluster *cluster, uint32_t slot) { return cluster->nodes[slot]; }

static struct replica *replica_at(const struct cluster *cluster, uint32_t slot)
{
    return cluster->nodes[slot]->replica;
}

static void start(struct cluster *cluster, uint32_t slot)
{
    node_start(node_at(cluster, slot));
    memset(cluster->events[slot], 0, sizeof cluster->events[slot]);
    observe(cluster, slot);
}

static void cluster_free(struct cluster *cluster)
{
    for (uint32_t slot = 0; slot < NODES; slot++)
        node_free(cluster->nodes[slot]);
    free(cluster);
}

/* Three new nodes, those of the mask started. */
static struct cluster *cluster_new(uint32_t started)
{
    struct cluster *cluster = calloc(1, sizeof *cluster);
    EXPECT(cluster != NULL);
    cluster->limits = test_limits();
    for (uint32_t slot = 0; slot < NODES; slot++) {
        const struct replica_config config = node_config(NODES, slot + 1);
        cluster->nodes[slot] = node_new(&cluster->limits, &config);
    }
    for (uint32_t slot = 0; slot < NODES; slot++)
        if (started >> slot & 1)
            start(cluster, slot);
    return cluster;
}

/* ---- clients ---- */

static uint32_t leader_of(const struct cluster *cluster)
{
    uint32_t leader = NODES;
    for (uint32_t slot = 0; slot < NODES; slot++)
        if (cluster->nodes[slot]->replica != NULL && !cluster->cut[slot]
            && node_view(cluster->nodes[slot]).role == RAFT_LEADER)
            leader = slot;
    return leader;
}

static uint32_t elected(struct cluster *cluster)
{
    for (uint32_t tries = 0; tries < 100 && leader_of(cluster) == NODES; tries++)
        cluster_run(cluster, 20 * MS);
    EXPECT(leader_of(cluster) < NODES);
    return leader_of(cluster);
}

/* Sends it and waits until its entry is applied by the leader. */
static void execute(struct cluster *cluster, const struct request *request)
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
    EXPECT(!"a request was never executed");
}

static void put(struct cluster *cluster, uint32_t key, uint8_t fill)
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
static void write_until_checkpoint(struct cluster *cluster, uint32_t keys)
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

/* ---- what must hold in the end ---- */

static bool caught_up(const struct cluster *cluster, uint32_t slot)
{
    const uint32_t leader = leader_of(cluster);
    if (leader == NODES || replica_at(cluster, slot) == NULL || !store_is_ready(replica_at(cluster, slot)))
        return false;
    const struct replica_view own = node_view(cluster->nodes[slot]);
    const struct replica_view its = node_view(cluster->nodes[leader]);
    return own.applied == its.applied && its.applied == its.commit && own.state_digest == its.state_digest;
}

static bool run_until_caught_up(struct cluster *cluster, uint32_t slot)
{
    for (uint32_t tries = 0; tries < 200 && !caught_up(cluster, slot); tries++)
        cluster_run(cluster, 20 * MS);
    return caught_up(cluster, slot);
}

/* Byte for byte, and with nothing left to do. */
static void expect_equal_states(struct cluster *cluster, uint32_t slot)
{
    const uint32_t leader = elected(cluster);
    const struct replica *own = replica_at(cluster, slot);
    EXPECT(run_until_caught_up(cluster, slot));
    EXPECT(install_is_idle(own));
    EXPECT_EQUAL(own->install.wanted_pages, 0);
    EXPECT_EQUAL(own->install.wanted_blocks, 0);
    EXPECT_EQUAL(own->stored.flags, 0);
    for (uint32_t page = 0; page < cluster->limits.pages_max; page++)
        EXPECT(memcmp(page_raw_const(own, page), page_raw_const(replica_at(cluster, leader), page),
                      cluster->limits.page_bytes)
               == 0);
}

/* A new life on the same disk comes to the same state without asking anybody for a page. */
static void expect_durable(struct cluster *cluster, uint32_t slot)
{
    const uint64_t pages = cluster->pages_to[slot];
    node_crash(cluster->nodes[slot]);
    start(cluster, slot);
    expect_equal_states(cluster, slot);
    EXPECT_EQUAL(cluster->pages_to[slot], pages);
}

static uint64_t checkpoint_index(const struct cluster *cluster, uint32_t slot)
{
    return replica_at(cluster, slot)->superblock.durable.checkpoint.id.index;
}

/* Pages of the durable checkpoint that are in use. */
static uint32_t checkpoint_pages(const struct cluster *cluster, uint32_t slot)
{
    uint32_t count = 0;
    for (uint32_t page = 0; page < cluster->limits.pages_max; page++)
        count += !map_entry_is_zero(map_entry_const(replica_at(cluster, slot), 0, page));
    return count;
}

/* ---- damage ---- */

/* Three nodes with a checkpoint, and the follower that is worked on. */
static struct cluster *cluster_with_checkpoint(uint32_t *follower)
{
    struct cluster *cluster = cluster_new(7);
    write_until_checkpoint(cluster, KEYS);
    *follower = (elected(cluster) + 1) % NODES;
    EXPECT(checkpoint_pages(cluster, *follower) > 20);
    return cluster;
}

/* Flips a bit of the block on the disk of a node that is down; what it was is in `map`. */
static void rot(struct cluster *cluster, uint32_t slot, uint32_t block)
{
    EXPECT(block > 0);
    cluster->nodes[slot]->data[(uint64_t)block * cluster->limits.page_bytes + 17] ^= 4;
}

/* The number of a page in use, the n-th one. */
static uint32_t used_page(const struct cluster *cluster, uint32_t slot, uint32_t n)
{
    for (uint32_t page = 0; page < cluster->limits.pages_max; page++)
        if (!map_entry_is_zero(map_entry_const(replica_at(cluster, slot), 0, page)) && n-- == 0)
            return page;
    EXPECT(!"too few pages");
    return 0;
}

static void rot_pages(struct cluster *cluster, uint32_t slot, uint32_t first, uint32_t count)
{
    for (uint32_t n = first; n < first + count; n++)
        rot(cluster, slot, map_entry_const(replica_at(cluster, slot), 0, used_page(cluster, slot, n))->block);
}

TEST(one_damaged_page_is_got_from_a_peer_and_nothing_else)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_checkpoint(&slot);
    rot_pages(cluster, slot, 7, 1);
    node_crash(cluster->nodes[slot]);
    cluster->pages_to[slot] = 0;
    start(cluster, slot);
    expect_equal_states(cluster, slot);
    EXPECT_EQUAL(cluster->events[slot][EVENT_PAGE_DAMAGED], 1);
    EXPECT_EQUAL(cluster->pages_to[slot], 1);
    expect_durable(cluster, slot);
    cluster_free(cluster);
}

TEST(a_lost_map_block_is_got_by_its_hashes_and_what_is_below_it_too)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_checkpoint(&slot);
    rot(cluster, slot, map_entry_const(replica_at(cluster, slot), 1, 1)->block);
    node_crash(cluster->nodes[slot]);
    cluster->pages_to[slot] = 0;
    cluster->hashes_to[slot] = 0;
    start(cluster, slot);
    expect_equal_states(cluster, slot);
    EXPECT_EQUAL(cluster->hashes_to[slot], 1);
    EXPECT_EQUAL(cluster->pages_to[slot], map_fanout(&cluster->limits));
    expect_durable(cluster, slot);
    cluster_free(cluster);
}

TEST(a_lost_root_of_the_map_costs_all_of_it)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_checkpoint(&slot);
    rot(cluster, slot, map_entry_const(replica_at(cluster, slot), map_root(&cluster->limits), 0)->block);
    node_crash(cluster->nodes[slot]);
    start(cluster, slot);
    expect_equal_states(cluster, slot);
    expect_durable(cluster, slot);
    cluster_free(cluster);
}

TEST(an_empty_follower_gets_everything)
{
    struct cluster *cluster = cluster_new(3);
    write_until_checkpoint(cluster, KEYS);
    write_until_checkpoint(cluster, KEYS);
    EXPECT(replica_at(cluster, elected(cluster))->log.base.index > 0);
    start(cluster, 2);
    expect_equal_states(cluster, 2);
    EXPECT(cluster->events[2][EVENT_INSTALL_DONE] > 0);
    EXPECT(checkpoint_index(cluster, 2) > 0);
    expect_durable(cluster, 2);
    write_until_checkpoint(cluster, KEYS);
    expect_equal_states(cluster, 2);
    cluster_free(cluster);
}

/* The follower was away while the others went on until their logs forgot what it lacks. */
static struct cluster *cluster_with_straggler(uint32_t *straggler, uint32_t keys)
{
    struct cluster *cluster = cluster_with_checkpoint(straggler);
    cluster->cut[*straggler] = true;
    const uint64_t last = node_view(cluster->nodes[*straggler]).last.index;
    for (uint32_t i = 0; i < 4 && replica_at(cluster, elected(cluster))->log.base.index <= last; i++)
        write_until_checkpoint(cluster, keys);
    EXPECT(replica_at(cluster, elected(cluster))->log.base.index > last);
    cluster->pages_to[*straggler] = 0;
    return cluster;
}

TEST(a_straggler_gets_only_the_pages_that_differ)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_straggler(&slot, 2);
    cluster->cut[slot] = false;
    expect_equal_states(cluster, slot);
    EXPECT(cluster->pages_to[slot] > 0);
    EXPECT(cluster->pages_to[slot] < checkpoint_pages(cluster, slot) / 2);
    expect_durable(cluster, slot);
    cluster_free(cluster);
}

/* Steps until the puller has got so many pages, and no further. */
static void run_until_pulled(struct cluster *cluster, uint32_t slot, uint64_t pages)
{
    for (uint64_t steps = 0; steps < 100000 && cluster->pages_to[slot] < pages; steps++)
        cluster_one_step(cluster, steps);
    EXPECT(cluster->pages_to[slot] >= pages);
    EXPECT_EQUAL(replica_at(cluster, slot)->install.phase, INSTALL_PULL);
}

TEST(nothing_is_applied_or_served_while_pages_are_missing)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_straggler(&slot, KEYS);
    const uint64_t applied = node_view(cluster->nodes[slot]).applied;
    cluster->cut[slot] = false;
    run_until_pulled(cluster, slot, 5);
    EXPECT(!store_is_ready(replica_at(cluster, slot)));
    EXPECT_EQUAL(node_view(cluster->nodes[slot]).applied, applied);
    const struct request get = { .request_id = 9,
                                 .kind = REQUEST_GET_STALE,
                                 .key = { .bytes = (const uint8_t *)"k001", .count = 4 } };
    struct reply reply = { .status = REPLY_OK };
    node_request(cluster->nodes[slot], 5, &get);
    for (uint32_t i = 0; i < cluster->nodes[slot]->sent_count; i++) {
        const struct node_frame *frame = &cluster->nodes[slot]->sent[i];
        if (frame->reply)
            EXPECT_EQUAL(reply_decode((struct slice){ .bytes = frame->bytes, .count = frame->count }, 1536, &reply),
                         FRAME_OK);
    }
    EXPECT(reply.status != REPLY_OK && reply.status != REPLY_NOT_FOUND);
    expect_equal_states(cluster, slot);
    cluster_free(cluster);
}

TEST(another_leader_in_the_middle_changes_nothing)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_straggler(&slot, KEYS);
    const uint32_t leader = elected(cluster);
    cluster->cut[slot] = false;
    run_until_pulled(cluster, slot, 5);
    cluster->cut[leader] = true;
    cluster_run(cluster, 400 * MS);
    EXPECT(elected(cluster) != leader);
    cluster->cut[leader] = false;
    expect_equal_states(cluster, slot);
    EXPECT(cluster->pages_to[slot] <= checkpoint_pages(cluster, slot) + 10);
    expect_durable(cluster, slot);
    cluster_free(cluster);
}

TEST(a_disconnect_in_the_middle_costs_only_what_was_under_way)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_straggler(&slot, KEYS);
    cluster->cut[slot] = false;
    run_until_pulled(cluster, slot, 9);
    cluster->cut[slot] = true;
    cluster_run(cluster, 500 * MS);
    cluster->cut[slot] = false;
    expect_equal_states(cluster, slot);
    EXPECT(cluster->pages_to[slot] <= checkpoint_pages(cluster, slot) + 8);
    expect_durable(cluster, slot);
    cluster_free(cluster);
}

TEST(of_a_newer_checkpoint_in_the_middle_only_the_rest_is_pulled)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_straggler(&slot, KEYS);
    cluster->cut[slot] = false;
    run_until_pulled(cluster, slot, 15);
    cluster->cut[slot] = true;
    write_until_checkpoint(cluster, 1); /* few pages change */
    const uint64_t newer = checkpoint_index(cluster, elected(cluster));
    cluster->cut[slot] = false;
    expect_equal_states(cluster, slot);
    EXPECT(cluster->events[slot][EVENT_INSTALL_RETARGET] > 0);
    EXPECT_EQUAL(checkpoint_index(cluster, slot), newer);
    EXPECT(cluster->pages_to[slot] <= checkpoint_pages(cluster, slot) + 10);
    expect_durable(cluster, slot);
    cluster_free(cluster);
}

TEST(a_restart_of_the_puller_keeps_what_it_had)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_straggler(&slot, KEYS);
    cluster->cut[slot] = false;
    const struct superblock_writer *superblock = &replica_at(cluster, slot)->superblock;
    for (uint64_t steps = 0; steps < 100000 && (superblock->durable.flags & STORED_PARTIAL) == 0; steps++)
        cluster_one_step(cluster, steps);
    EXPECT((replica_at(cluster, slot)->superblock.durable.flags & STORED_PARTIAL) != 0);
    const uint32_t left = replica_at(cluster, slot)->install.wanted_pages;
    EXPECT(left > 0 && left < checkpoint_pages(cluster, slot));
    node_crash(cluster->nodes[slot]);
    cluster->pages_to[slot] = 0;
    start(cluster, slot);
    expect_equal_states(cluster, slot);
    EXPECT_EQUAL(replica_at(cluster, slot)->install.pages_pulled, left);
    expect_durable(cluster, slot);
    cluster_free(cluster);
}

TEST(a_crash_anywhere_in_an_install_loses_nothing)
{
    for (uint64_t crash_after = 1; crash_after < 400; crash_after += 7) {
        uint32_t slot;
        struct cluster *cluster = cluster_with_straggler(&slot, KEYS);
        cluster->cut[slot] = false;
        const struct install *install = &replica_at(cluster, slot)->install;
        for (uint64_t steps = 0; steps < 10000 && install->phase == INSTALL_IDLE; steps++)
            cluster_one_step(cluster, steps);
        EXPECT(install->phase != INSTALL_IDLE);
        for (uint64_t steps = 0; steps < crash_after; steps++)
            cluster_one_step(cluster, steps);
        node_crash(cluster->nodes[slot]);
        start(cluster, slot);
        expect_equal_states(cluster, slot);
        expect_durable(cluster, slot);
        cluster_free(cluster);
    }
}

/* ---- sources that have not got everything, or that lie ---- */

TEST(what_one_peer_lost_another_gives)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_checkpoint(&slot);
    const uint32_t leader = elected(cluster);
    const uint32_t other = NODES - slot - leader;
    /* The same page and one more here, the same page there. All three are down, so that none has it in memory. */
    rot_pages(cluster, slot, 7, 2);
    rot_pages(cluster, other, 7, 1);
    for (uint32_t at = 0; at < NODES; at++)
        node_crash(cluster->nodes[at]);
    for (uint32_t at = 0; at < NODES; at++)
        start(cluster, at);
    elected(cluster);
    for (uint32_t at = 0; at < NODES; at++)
        expect_equal_states(cluster, at);
    expect_durable(cluster, slot);
    expect_durable(cluster, other);
    cluster_free(cluster);
}

TEST(two_nodes_with_different_damage_repair_each_other)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_checkpoint(&slot);
    const uint32_t leader = elected(cluster);
    const uint32_t other = NODES - slot - leader;
    rot_pages(cluster, slot, 3, 2);
    rot_pages(cluster, other, 9, 2);
    for (uint32_t at = 0; at < NODES; at++)
        node_crash(cluster->nodes[at]);
    start(cluster, slot);
    start(cluster, other);
    elected(cluster);
    expect_equal_states(cluster, slot);
    expect_equal_states(cluster, other);
    cluster_free(cluster);
}

TEST(a_page_that_nobody_has_is_asked_for_at_a_gentle_pace)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_checkpoint(&slot);
    for (uint32_t at = 0; at < NODES; at++)
        rot_pages(cluster, at, 7, 1);
    for (uint32_t at = 0; at < NODES; at++)
        node_crash(cluster->nodes[at]);
    for (uint32_t at = 0; at < NODES; at++)
        start(cluster, at);
    cluster_run(cluster, 1000 * MS);
    EXPECT(!store_is_ready(replica_at(cluster, slot)));
    EXPECT_EQUAL(replica_at(cluster, slot)->install.wanted_pages, 1);
    const uint64_t asked = cluster->events[slot][EVENT_INSTALL];
    cluster_run(cluster, 1000 * MS);
    EXPECT(cluster->events[slot][EVENT_INSTALL] - asked < 100);
    cluster_free(cluster);
}

static void reseal(uint8_t *bytes, uint32_t count)
{
    const uint64_t checksum = checksum64(bytes + 8, count - 8, 0);
    memcpy(bytes, &checksum, sizeof checksum);
}

/* Every answer from one peer is wrong in its own way; the other is honest. */
static bool lie(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes, uint32_t count)
{
    struct frame_header header;
    (void)to;
    memcpy(&header, bytes, sizeof header);
    if (header.type != FRAME_CHECKPOINT_RESPONSE || from != leader_of(cluster))
        return true;
    const uint32_t body = sizeof header;
    switch (cluster->sequence++ % 5) {
    case 0: bytes[count - 1] ^= 1; break;              /* a page, a hash */
    case 1: bytes[body + 80] ^= 1; break;              /* the number of a page, a hash */
    case 2: bytes[body + 60] ^= 1; break;              /* at */
    case 3: memset(bytes + body + 64, 0xff, 4); break; /* count */
    default: bytes[body + 40] ^= 1; break;             /* index */
    }
    reseal(bytes, count);
    return true;
}

TEST(lies_of_one_peer_change_nothing)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_straggler(&slot, KEYS);
    cluster->cut[slot] = false;
    cluster->hook = lie;
    const uint64_t sequence = cluster->sequence;
    expect_equal_states(cluster, slot);
    EXPECT(cluster->sequence > sequence);
    cluster->hook = NULL;
    expect_durable(cluster, slot);
    cluster_free(cluster);
}

static bool lose_many(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes, uint32_t count)
{
    struct frame_header header;
    (void)from;
    (void)to;
    (void)count;
    memcpy(&header, bytes, sizeof header);
    if (header.type != FRAME_CHECKPOINT_RESPONSE && header.type != FRAME_CHECKPOINT_REQUEST)
        return true;
    return checksum64(&cluster->sequence, sizeof cluster->sequence, ++cluster->lost) % 2 == 0;
}

TEST(lost_frames_only_take_longer)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_straggler(&slot, KEYS);
    cluster->cut[slot] = false;
    cluster->hook = lose_many;
    expect_equal_states(cluster, slot);
    cluster->hook = NULL;
    expect_durable(cluster, slot);
    cluster_free(cluster);
}

/* ---- the peer's side ---- */

static struct message question(const struct cluster *cluster, uint32_t from, uint32_t to, enum checkpoint_ask ask)
{
    struct message message = {
        .type = FRAME_CHECKPOINT_REQUEST,
        .from = from + 1,
        .to = to + 1,
        .instance = 1000 + from + 1,
        .term = 1,
        .checkpoint_request = { .ask = ask },
    };
    if (ask != CHECKPOINT_ASK_OFFER)
        message.checkpoint_request.checkpoint = replica_at(cluster, to)->superblock.durable.checkpoint.hash;
    return message;
}

TEST(questions_that_make_no_sense_are_not_answered)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_checkpoint(&slot);
    struct node *node = cluster->nodes[slot];
    const uint32_t from = (slot + 1) % NODES;
    struct message message = question(cluster, from, slot, CHECKPOINT_ASK_HASHES);
    node->sent_count = 0;
    message.checkpoint_request.level = map_root(&cluster->limits) + 1;
    node_message(node, &message);
    message.checkpoint_request.level = 1;
    message.checkpoint_request.at = map_count(&cluster->limits, 1);
    node_message(node, &message);
    message = question(cluster, from, slot, CHECKPOINT_ASK_PAGES);
    uint32_t pages[64];
    for (uint32_t i = 0; i < 64; i++)
        pages[i] = i;
    message.checkpoint_request.count = 64; /* more than an answer holds */
    message.checkpoint_request.pages = (struct slice){ .bytes = (const uint8_t *)pages, .count = sizeof pages };
    node_message(node, &message);
    pages[0] = cluster->limits.pages_max;
    message.checkpoint_request.count = 1;
    message.checkpoint_request.pages.count = sizeof pages[0];
    node_message(node, &message);
    EXPECT_EQUAL(node->sent_count, 0);
    /* Another checkpoint: it says which one it has. */
    message.checkpoint_request.checkpoint.low ^= 1;
    node_message(node, &message);
    EXPECT_EQUAL(node->sent_count, 1);
    cluster_free(cluster);
}

TEST(a_peer_that_is_asked_holds_back_its_marker_for_a_while)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_checkpoint(&slot);
    const uint32_t leader = elected(cluster);
    EXPECT(!install_lease_held(replica_at(cluster, leader)));
    const struct message message = question(cluster, slot, leader, CHECKPOINT_ASK_OFFER);
    node_message(cluster->nodes[leader], &message);
    EXPECT(install_lease_held(replica_at(cluster, leader)));
    cluster_run(cluster, 250 * MS);
    EXPECT(!install_lease_held(replica_at(cluster, leader)));
    cluster_free(cluster);
}

TEST(pages_that_changed_since_are_read_from_the_disk)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_checkpoint(&slot);
    rot_pages(cluster, slot, 0, 12);
    node_crash(cluster->nodes[slot]);
    for (uint32_t key = 0; key < KEYS; key++)
        put(cluster, key, 0xee);
    const uint32_t leader = elected(cluster);
    EXPECT(replica_at(cluster, leader)->checkpoint.dirty_count > 12);
    cluster->pages_to[slot] = 0;
    start(cluster, slot);
    expect_equal_states(cluster, slot);
    EXPECT(cluster->pages_to[slot] >= 12);
    expect_durable(cluster, slot);
    cluster_free(cluster);
}

TEST_MAIN()

/* A node starts with damaged entries among its peers (CTRL 3.4): its log keeps its identities, it gets the bytes from
 * its leader, writes them once more, and never needs to ask again; or it cannot say what it lost, and abstains until it
 * has matched its leader again. Three nodes on disks of memory (nodes.h); what the disk holds is read back from the
 * disk. */
#include "../core/wal_format.h"

#include "image.h"
#include "nodes.h"

enum { WRITES = 12, BATCHES_MAX = 256 };

static struct limits test_limits(void)
{
    struct limits limits = limits_tiny; /* no checkpoint within a test: entries are repaired, not pages */
    limits.wal_reserve_blocks = 8;
    limits.checkpoint_wal_blocks = 150;
    limits.checkpoint_entries = 64;
    return limits;
}

/* ---- the batches on a disk ---- */

struct disk_log {
    uint32_t count;
    struct wal_batch_header batches[BATCHES_MAX];
    bool good[BATCHES_MAX];
};

static uint8_t *batch_bytes(struct node *node, const struct wal_batch_header *header)
{
    return node->image + wal_body_offset(&node->limits) + header->lsn;
}

/* All batches whose headers are intact. The ring does not wrap in these tests. */
static void disk_log_read(struct node *node, struct disk_log *log)
{
    const uint64_t ring = (uint64_t)node->limits.wal_body_blocks * node->limits.block_bytes;
    memset(log, 0, sizeof *log);
    for (uint64_t lsn = 0; lsn < ring; lsn += node->limits.block_bytes) {
        struct wal_batch_header *header = &log->batches[log->count];
        const uint8_t *bytes = node->image + wal_body_offset(&node->limits) + lsn;
        const struct slice block = { .bytes = bytes, .count = node->limits.block_bytes };
        if (!wal_batch_header_decode(block, node->config.cluster_id, lsn, header))
            continue;
        log->good[log->count] = wal_batch_body_valid(header, node->config.cluster_id, bytes);
        EXPECT(++log->count < BATCHES_MAX);
    }
}

static uint32_t repairs_on_disk(struct node *node)
{
    static struct disk_log log;
    uint32_t repairs = 0;
    disk_log_read(node, &log);
    for (uint32_t i = 0; i < log.count; i++)
        repairs += log.batches[i].kind == WAL_BATCH_REPAIR && log.good[i];
    return repairs;
}

enum damage {
    DAMAGE_BODY,   /* a bit of an entry */
    DAMAGE_HEADER, /* the header only */
    DAMAGE_ALL,    /* never written, it seems */
    DAMAGES,
};

static void damage_batch(struct node *node, const struct wal_batch_header *header, enum damage damage)
{
    uint8_t *bytes = batch_bytes(node, header);
    if (damage == DAMAGE_BODY)
        bytes[sizeof *header + 8] ^= 0x10;
    if (damage == DAMAGE_HEADER)
        memset(bytes, 0, sizeof *header);
    if (damage == DAMAGE_ALL)
        memset(bytes, 0, header->run_bytes);
}

static void forget_names(struct node *node)
{
    const uint32_t block_bytes = node->limits.block_bytes;
    memset(node->image + wal_header_offset(&node->limits), 0, (size_t)node->limits.wal_header_blocks * block_bytes);
}

/* The bytes of the entry rot where they were appended; the node is down. */
static void damage_entry(struct node *node, uint64_t index)
{
    static struct disk_log log;
    uint32_t damaged = 0;
    disk_log_read(node, &log);
    for (uint32_t i = 0; i < log.count; i++) {
        const struct wal_batch_header *header = &log.batches[i];
        if (header->first_index <= index && index < header->first_index + header->entry_count) {
            damage_batch(node, header, DAMAGE_BODY);
            damaged++;
        }
    }
    EXPECT(damaged > 0);
}

static uint64_t events_of(const struct cluster *cluster, enum event_kind kind)
{
    uint64_t count = 0;
    for (uint32_t slot = 0; slot < NODES; slot++)
        count += cluster->events[slot][kind];
    return count;
}

/* ---- scenes ---- */

struct scene {
    struct cluster *cluster;
    uint32_t leader;
    uint32_t victim;
    struct disk_log log; /* of the victim, when it was well */
    struct log_id last;  /* of its log then */
};

static struct scene scene_after(uint32_t writes)
{
    const struct limits limits = test_limits();
    struct scene scene = { .cluster = cluster_new(&limits, 7) };
    scene.leader = elected(scene.cluster);
    scene.victim = (scene.leader + 1) % NODES;
    for (uint32_t i = 0; i < writes; i++) {
        put(scene.cluster, i % 5, (uint8_t)(i + 1));
        cluster_run(scene.cluster, 5 * MS); /* a batch each, and a name */
    }
    cluster_run(scene.cluster, 50 * MS);
    struct node *node = node_at(scene.cluster, scene.victim);
    scene.last = node_view(node).last;
    node_crash(node);
    disk_log_read(node, &scene.log);
    EXPECT(scene.log.count >= writes);
    return scene;
}

static struct scene scene_begin(void) { return scene_after(WRITES); }

static uint64_t lost_between(const struct scene *scene, uint32_t first, uint32_t count)
{
    uint64_t entries = 0;
    for (uint32_t i = first; i < first + count; i++)
        entries += scene->log.batches[i].entry_count;
    return entries;
}

/* Its peers say nothing until the test lets them. Returns the bytes that it read of its log. */
static uint64_t start_alone(struct scene *scene)
{
    struct node *node = node_at(scene->cluster, scene->victim);
    uint64_t bytes_read = 0;
    scene->cluster->cut[scene->victim] = true;
    start(scene->cluster, scene->victim);
    while (image_starting(node)) {
        EXPECT(node->op_count > 0);
        if (!node->ops[0].write && node->ops[0].device == DEVICE_WAL)
            bytes_read += node->ops[0].bytes;
        node_complete(node, 0, DISK_OK);
        observe(scene->cluster, scene->victim);
    }
    EXPECT_EQUAL(node->stop, 0);
    return bytes_read;
}

static void join(struct scene *scene)
{
    scene->cluster->cut[scene->victim] = false;
    cluster_run(scene->cluster, 300 * MS);
}

/* All logs are equal and intact, and all states. */
static void expect_equal(const struct cluster *cluster)
{
    const struct replica_view first = node_view(node_at(cluster, 0));
    for (uint32_t slot = 0; slot < NODES; slot++) {
        const struct replica_view view = node_view(node_at(cluster, slot));
        EXPECT(log_id_equal(view.last, first.last));
        EXPECT_EQUAL(view.first_faulty, 0);
        EXPECT_EQUAL(view.durable_index, view.last.index);
        EXPECT_EQUAL(view.applied, view.last.index);
        EXPECT(view.state_digest == first.state_digest);
        for (uint64_t index = u64_max(view.base.index, first.base.index) + 1; index <= view.last.index; index++) {
            struct entry a;
            struct entry b;
            replica_entry(replica_at(cluster, 0), index, &a);
            replica_entry(replica_at(cluster, slot), index, &b);
            EXPECT(log_id_equal(a.id, b.id) && a.kind == b.kind && a.body.count == b.body.count);
            EXPECT(memcmp(a.body.bytes, b.body.bytes, a.body.count) == 0);
        }
    }
}

static void expect_faulty(const struct scene *scene, uint64_t first_index, uint64_t entries)
{
    const struct replica *replica = replica_at(scene->cluster, scene->victim);
    EXPECT(log_id_equal(replica->log.last, scene->last));
    EXPECT_EQUAL(replica->log.first_faulty, first_index);
    EXPECT_EQUAL(replica->log.faulty_count, entries);
    EXPECT((replica->stored.flags & STORED_ABSTAIN) == 0);
}

/* It starts without a fault, and needs nobody for that. */
static void expect_well_alone(struct scene *scene)
{
    node_crash(node_at(scene->cluster, scene->victim));
    start_alone(scene);
    const struct replica_view view = node_view(node_at(scene->cluster, scene->victim));
    EXPECT_EQUAL(view.first_faulty, 0);
    EXPECT_EQUAL(view.durable_index, view.last.index);
    EXPECT(view.last.index >= scene->last.index);
}

/* Has the log that the next start reads left the place of that batch behind? */
static bool head_is_behind(const struct scene *scene, const struct wal_batch_header *batch)
{
    return replica_at(scene->cluster, scene->victim)->superblock.durable.head.lsn > batch->lsn;
}

/* Batches [first, first + count) are damaged; how their entries come back. */
static void repair_case(uint32_t first, uint32_t count, enum damage damage)
{
    struct scene scene = scene_begin();
    struct node *node = node_at(scene.cluster, scene.victim);
    const uint64_t index = scene.log.batches[first].first_index;
    const uint64_t entries = lost_between(&scene, first, count);
    for (uint32_t i = first; i < first + count; i++)
        damage_batch(node, &scene.log.batches[i], damage);
    start_alone(&scene);
    EXPECT_EQUAL(scene.cluster->events[scene.victim][EVENT_BATCH_DAMAGED], count);
    expect_faulty(&scene, index, entries);
    join(&scene);
    EXPECT_EQUAL(scene.cluster->events[scene.victim][EVENT_ENTRY_REPAIRED], entries);
    EXPECT(repairs_on_disk(node) > 0);
    expect_equal(scene.cluster);
    expect_well_alone(&scene);

    /* The batch that repaired it is damaged as well. That costs nothing when a checkpoint has left the place behind. */
    const bool passed = head_is_behind(&scene, &scene.log.batches[first + count - 1]);
    struct disk_log log;
    disk_log_read(node, &log);
    node_crash(node);
    uint32_t spoiled = 0;
    for (uint32_t i = 0; i < log.count; i++)
        if (log.batches[i].kind == WAL_BATCH_REPAIR && spoiled++ == 0)
            damage_batch(node, &log.batches[i], damage);
    EXPECT(spoiled > 0);
    start_alone(&scene);
    EXPECT_EQUAL(node_view(node).first_faulty, passed ? 0 : index);
    EXPECT((replica_at(scene.cluster, scene.victim)->stored.flags & STORED_ABSTAIN) == 0);
    join(&scene);
    expect_equal(scene.cluster);
    expect_well_alone(&scene);
    cluster_free(scene.cluster);
}

static void repair_cases(uint32_t first, uint32_t count)
{
    for (uint32_t damage = 0; damage < DAMAGES; damage++)
        repair_case(first, count, (enum damage)damage);
}

static uint32_t batches_written(void)
{
    const struct scene scene = scene_begin();
    cluster_free(scene.cluster);
    return scene.log.count;
}

TEST(a_damaged_batch_in_the_middle_is_repaired) { repair_cases(WRITES / 2, 1); }
TEST(a_damaged_batch_at_the_head_is_repaired) { repair_cases(0, 1); }
TEST(a_damaged_batch_at_the_end_is_repaired) { repair_cases(batches_written() - 1, 1); }
/* The header ring of these limits names the last two or three batches. */
TEST(two_damaged_neighbours_that_are_named_are_repaired) { repair_cases(batches_written() - 2, 2); }
TEST(two_neighbours_with_damaged_bodies_are_repaired) { repair_case(3, 2, DAMAGE_BODY); }
TEST(a_damaged_batch_is_repaired_wherever_it_lies)
{
    const uint32_t batches = batches_written();
    for (uint32_t first = 0; first < batches; first++)
        repair_case(first, 1, (enum damage)(first % DAMAGES));
}

/* Each of them is read once more before that is believed, and not all that lies behind it with it. */
TEST(a_start_with_many_damaged_batches_does_not_read_the_log_for_each_of_them)
{
    struct scene scene = scene_after(5 * WRITES);
    struct node *node = node_at(scene.cluster, scene.victim);
    const uint64_t well = start_alone(&scene);
    uint64_t log_bytes = 0;
    node_crash(node);
    for (uint32_t i = 0; i < scene.log.count; i++) {
        log_bytes += scene.log.batches[i].run_bytes;
        damage_batch(node, &scene.log.batches[i], DAMAGE_BODY);
    }
    const uint64_t read = start_alone(&scene);
    EXPECT_EQUAL(scene.cluster->events[scene.victim][EVENT_BATCH_DAMAGED], scene.log.count);
    expect_faulty(&scene, scene.log.batches[0].first_index, lost_between(&scene, 0, scene.log.count));
    EXPECT(read <= well + 3 * log_bytes);
    printf("%10u  batches, all damaged: %llu bytes read, %llu when they are well\n", scene.log.count,
           (unsigned long long)read, (unsigned long long)well);
    join(&scene);
    expect_equal(scene.cluster);
    cluster_free(scene.cluster);
}

/* ---- abstaining ---- */

/* The victim's last answer of that type to a message of the next term. It is sent twice: at first that term is not
 * durable yet. */
static bool answers(const struct scene *scene, struct message message, enum frame_type type, struct message *answer)
{
    struct node *node = node_at(scene->cluster, scene->victim);
    message.from = scene->leader + 1;
    message.to = scene->victim + 1;
    message.instance = 1000 + scene->leader + 1;
    message.term = node_view(node).term + 1;
    bool answered = false;
    node->sent_count = 0;
    for (uint32_t sent = 0; sent < 2; sent++) {
        node_message(node, &message);
        for (uint32_t steps = 0; node->op_count > 0; steps++) {
            EXPECT(steps < 1000);
            node_complete(node, 0, DISK_OK);
        }
    }
    for (uint32_t i = 0; i < node->sent_count; i++) {
        struct message other;
        const struct frame_context context = node_context(node);
        const struct slice bytes = { .bytes = node->sent[i].bytes, .count = node->sent[i].count };
        EXPECT_EQUAL(message_decode(bytes, &context, &other), FRAME_OK);
        if (other.type != type)
            continue;
        *answer = other;
        answered = true;
    }
    node->sent_count = 0;
    return answered;
}

/* Does the victim grant a vote to a candidate with a better log? */
static bool grants_vote(const struct scene *scene)
{
    const uint64_t term = node_view(node_at(scene->cluster, scene->victim)).term + 1;
    const struct message message = {
        .type = FRAME_VOTE_REQUEST,
        .vote_request = { .last = { .term = term - 1, .index = 1000 }, .term = term },
    };
    struct message answer;
    return answers(scene, message, FRAME_VOTE_RESPONSE, &answer) && answer.vote_response.granted;
}

/* All is gone from there on. The header ring of these limits names the newest two or three, and so proves the loss of
 * the others, and says nothing of them. */
static void damage_from(struct node *node, const struct disk_log *log, uint32_t first)
{
    for (uint32_t i = first; i < log->count; i++)
        damage_batch(node, &log->batches[i], DAMAGE_ALL);
}

static struct scene scene_unknown(uint32_t first)
{
    struct scene scene = scene_begin();
    struct node *node = node_at(scene.cluster, scene.victim);
    damage_from(node, &scene.log, first);
    start_alone(&scene);
    EXPECT_EQUAL(scene.cluster->events[scene.victim][EVENT_ABSTAIN], 1);
    EXPECT_EQUAL(node_view(node).last.index + 1, scene.log.batches[first].first_index);
    EXPECT((replica_at(scene.cluster, scene.victim)->superblock.durable.flags & STORED_ABSTAIN) != 0);
    return scene;
}

TEST(who_cannot_say_what_it_lost_grants_no_vote_and_does_not_campaign)
{
    struct scene scene = scene_unknown(4);
    EXPECT(!grants_vote(&scene));
    const uint64_t term = node_view(node_at(scene.cluster, scene.victim)).term;
    cluster_run(scene.cluster, 2000 * MS);
    EXPECT(node_view(node_at(scene.cluster, scene.victim)).role == RAFT_FOLLOWER);
    EXPECT_EQUAL(node_view(node_at(scene.cluster, scene.victim)).term, term);
    cluster_free(scene.cluster);

    /* The test's question itself: one that lost nothing grants. */
    scene = scene_begin();
    start_alone(&scene);
    EXPECT(grants_vote(&scene));
    cluster_free(scene.cluster);
}

/* What the victim says to a leader of the next term that asks for an entry of that term at the end of its log. */
static uint32_t judges(const struct scene *scene)
{
    const struct replica_view view = node_view(node_at(scene->cluster, scene->victim));
    const struct message message = {
        .type = FRAME_REPAIR_REQUEST,
        .repair_request = { .id = { .term = view.term + 1, .index = view.last.index } },
    };
    struct message answer;
    return answers(scene, message, FRAME_REPAIR_RESPONSE, &answer) ? answer.repair_response.verdict : UINT32_MAX;
}

/* It may have truncated, and taken the entry, in what it lost. */
TEST(who_cannot_say_what_it_lost_denies_no_entry_that_differs_from_what_it_has)
{
    struct scene scene = scene_unknown(4);
    EXPECT_EQUAL(judges(&scene), REPAIR_HAVE_FAULTY);
    cluster_free(scene.cluster);

    scene = scene_begin();
    start_alone(&scene);
    EXPECT_EQUAL(judges(&scene), REPAIR_DONT_HAVE);
    cluster_free(scene.cluster);
}

TEST(it_abstains_through_restarts_until_it_has_matched_its_leader)
{
    struct scene scene = scene_unknown(4);
    struct node *node = node_at(scene.cluster, scene.victim);
    for (uint32_t restarts = 0; restarts < 3; restarts++) {
        node_crash(node);
        start_alone(&scene);
        EXPECT((replica_at(scene.cluster, scene.victim)->superblock.durable.flags & STORED_ABSTAIN) != 0);
    }
    join(&scene);
    EXPECT_EQUAL(scene.cluster->events[scene.victim][EVENT_ABSTAIN_OVER], 1);
    expect_equal(scene.cluster);
    expect_well_alone(&scene);
    EXPECT((replica_at(scene.cluster, scene.victim)->superblock.durable.flags & STORED_ABSTAIN) == 0);
    EXPECT(grants_vote(&scene));
    cluster_free(scene.cluster);
}

/* The documented hole: the last batch was acknowledged, was not named, and is gone. It is cut like a torn one, and the
 * leader that counted it is still in office. */
TEST(who_lost_what_it_confirmed_gets_it_again_from_the_same_leader)
{
    struct scene scene = scene_begin();
    struct node *node = node_at(scene.cluster, scene.victim);
    damage_batch(node, &scene.log.batches[scene.log.count - 1], DAMAGE_ALL);
    forget_names(node);
    start_alone(&scene);
    EXPECT_EQUAL(node_view(node).first_faulty, 0);
    EXPECT(node_view(node).last.index < scene.last.index);
    const uint64_t term = node_view(node_at(scene.cluster, scene.leader)).term;
    join(&scene);
    expect_equal(scene.cluster);
    EXPECT_EQUAL(node_view(node).term, term);
    cluster_free(scene.cluster);
}

/* ---- what stays damaged on the disk ---- */

static void puts_more(struct scene *scene, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        put(scene->cluster, i % 5, (uint8_t)(i + 50));
        cluster_run(scene->cluster, 5 * MS);
    }
    cluster_run(scene->cluster, 50 * MS);
}

/* What was damaged stays so where it lay, and what names it is overwritten: the log must not be read from before it for
 * longer than that. */
static void expect_place_left_behind(uint32_t first, uint32_t count, enum damage damage)
{
    struct scene scene = scene_begin();
    struct node *node = node_at(scene.cluster, scene.victim);
    for (uint32_t i = first; i < first + count; i++)
        damage_batch(node, &scene.log.batches[i], damage);
    start_alone(&scene);
    EXPECT_EQUAL(scene.cluster->events[scene.victim][EVENT_BATCH_DAMAGED], count);
    join(&scene);
    puts_more(&scene, 20);
    expect_equal(scene.cluster);
    EXPECT(head_is_behind(&scene, &scene.log.batches[first + count - 1]));
    EXPECT_EQUAL(scene.cluster->events[scene.victim][EVENT_CHECKPOINT_RENEW], 1);
    const struct log_id last = node_view(node).last;
    expect_well_alone(&scene);
    EXPECT_EQUAL(scene.cluster->events[scene.victim][EVENT_BATCH_DAMAGED], 0);
    EXPECT_EQUAL(scene.cluster->events[scene.victim][EVENT_ABSTAIN], 0);
    EXPECT(log_id_equal(node_view(node).last, last));
    cluster_free(scene.cluster);
}

TEST(a_damaged_place_is_left_behind_by_a_checkpoint_once_all_is_repaired)
{
    const uint32_t batches = batches_written();
    expect_place_left_behind(batches - 2, 2, DAMAGE_ALL);
    expect_place_left_behind(batches - 1, 1, DAMAGE_ALL);
    expect_place_left_behind(3, 2, DAMAGE_BODY);
    expect_place_left_behind(0, 1, DAMAGE_HEADER);
}

/* Two old neighbours are lost on one node, and one later entry on both others: it has the only copy of that, behind a
 * gap that nobody names. */
TEST(the_only_copy_behind_a_gap_is_kept_and_given_to_the_others)
{
    enum { FIRST = 4 };
    struct scene scene = scene_begin();
    struct cluster *cluster = scene.cluster;
    struct node *node = node_at(cluster, scene.victim);
    const uint64_t gap = scene.log.batches[FIRST].first_index;
    const uint64_t only = scene.last.index - 1;
    damage_batch(node, &scene.log.batches[FIRST], DAMAGE_ALL);
    damage_batch(node, &scene.log.batches[FIRST + 1], DAMAGE_ALL);
    for (uint32_t slot = 0; slot < NODES; slot++) {
        if (slot == scene.victim)
            continue;
        node_crash(node_at(cluster, slot));
        damage_entry(node_at(cluster, slot), only);
    }
    start_alone(&scene);
    EXPECT(log_id_equal(node_view(node).last, scene.last));
    EXPECT_EQUAL(node_view(node).first_faulty, gap);
    EXPECT_EQUAL(replica_at(cluster, scene.victim)->log.faulty_count, lost_between(&scene, FIRST, 2));
    EXPECT_EQUAL(cluster->events[scene.victim][EVENT_ABSTAIN], 1);
    EXPECT(!grants_vote(&scene));
    for (uint32_t slot = 0; slot < NODES; slot++)
        if (slot != scene.victim)
            start(cluster, slot);
    join(&scene);
    cluster_run(cluster, 2000 * MS);
    EXPECT_EQUAL(events_of(cluster, EVENT_UNRECOVERABLE), 0);
    EXPECT_EQUAL(cluster->events[scene.victim][EVENT_ABSTAIN_OVER], 1);
    EXPECT_EQUAL(cluster->events[scene.victim][EVENT_TRUNCATE], 0);
    expect_equal(cluster);
    expect_well_alone(&scene);
    cluster_free(cluster);
}

/* ---- losing power meanwhile ---- */

/* One thing that one node has to do; when none has, a millisecond passes. */
static void one_step(struct cluster *cluster)
{
    for (uint32_t slot = 0; slot < NODES; slot++)
        if (cluster_step(cluster, slot))
            return;
    cluster_advance(cluster, cluster->now_ns + 1 * MS);
}

static uint64_t match_said; /* the highest that the victim reported to a leader */
static uint64_t victim_id;

static bool hear_match(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes, uint32_t count)
{
    const struct frame_context context = node_context(node_at(cluster, from));
    struct message message;
    (void)to;
    EXPECT_EQUAL(message_decode((struct slice){ .bytes = bytes, .count = count }, &context, &message), FRAME_OK);
    if (message.type == FRAME_APPEND_RESPONSE && message.from == victim_id)
        match_said = u64_max(match_said, message.append_response.match);
    return true;
}

/* CTRL 3.4: a repaired entry counts when it is on the disk, and not when it has come. */
TEST(a_repaired_entry_counts_only_when_it_is_durable)
{
    struct scene scene = scene_begin();
    struct cluster *cluster = scene.cluster;
    struct node *node = node_at(cluster, scene.victim);
    const struct wal_batch_header *batch = &scene.log.batches[scene.log.count / 2];
    damage_batch(node, batch, DAMAGE_BODY);
    start_alone(&scene);
    cluster->cut[scene.victim] = false;
    victim_id = node->config.node_id;
    cluster->hook = hear_match;
    match_said = 0;
    for (uint32_t round = 0; round < 200; round++) {
        for (uint32_t slot = 0; slot < NODES; slot++) {
            while (slot != scene.victim && cluster_step(cluster, slot))
                continue;
            if (slot == scene.victim && node->sent_count > 0)
                deliver(cluster, slot);
        }
        cluster_advance(cluster, cluster->now_ns + 1 * MS);
        node_tick(node, 0);
        observe(cluster, scene.victim);
    }
    EXPECT(cluster->events[scene.victim][EVENT_ENTRY_REPAIRED] > 0);
    EXPECT(node->op_count > 0);
    EXPECT_EQUAL(node_view(node).durable_index, batch->first_index - 1);
    EXPECT(match_said == batch->first_index - 1);
    EXPECT(node_view(node).applied < batch->first_index);
    cluster_run(cluster, 300 * MS);
    EXPECT(match_said >= scene.last.index);
    expect_equal(cluster);
    cluster_free(cluster);
}

/* The repair goes on where a loss of power at its n-th step left it. False: it was over before. */
static bool repair_with_crash(uint32_t steps, uint32_t landing)
{
    struct scene scene = scene_begin();
    struct node *node = node_at(scene.cluster, scene.victim);
    const uint32_t first = scene.log.count / 2;
    damage_batch(node, &scene.log.batches[first], DAMAGE_ALL);
    damage_batch(node, &scene.log.batches[scene.log.count - 1], DAMAGE_BODY);
    start_alone(&scene);
    scene.cluster->cut[scene.victim] = false;
    for (uint32_t step = 0; step < steps; step++)
        one_step(scene.cluster);
    const bool under_way = node_view(node).first_faulty != 0;
    struct image_faults none = { { false } };
    for (uint32_t slot = 0; slot < node->op_count; slot++)
        if (node->ops[slot].write)
            image_land(node, slot, landing % image_landings(node, &node->ops[slot]), node, &none);
    node_crash(node);
    start_alone(&scene);
    EXPECT((replica_at(scene.cluster, scene.victim)->stored.flags & STORED_ABSTAIN) == 0);
    EXPECT(node_view(node).last.index >= scene.last.index);
    join(&scene);
    expect_equal(scene.cluster);
    expect_well_alone(&scene);
    cluster_free(scene.cluster);
    return under_way;
}

TEST(a_repair_survives_a_loss_of_power_at_any_step)
{
    uint32_t steps = 0;
    while (repair_with_crash(steps, steps % 4))
        steps++;
    EXPECT(steps > 10);
    for (uint32_t landing = 0; landing < 4; landing++)
        for (uint32_t step = steps - 10; step < steps + 10; step++)
            repair_with_crash(step, landing);
    printf("%10u  steps\n", steps);
}

/* ---- what a leader may conclude from denials ---- */

/* CTRL 3.4.3: who knows an entry and has lost its bytes does not deny it. A majority of these leaves the entry where it
 * is: named, unreadable, and never replaced. */
TEST(an_entry_that_everybody_lost_is_reported_and_never_dropped)
{
    struct scene scene = scene_begin();
    const uint64_t lost = scene.last.index - WRITES / 2;
    for (uint32_t slot = 0; slot < NODES; slot++) {
        if (slot != scene.victim)
            node_crash(node_at(scene.cluster, slot));
        damage_entry(node_at(scene.cluster, slot), lost);
    }
    for (uint32_t slot = 0; slot < NODES; slot++)
        start(scene.cluster, slot);
    cluster_run(scene.cluster, 2000 * MS);
    EXPECT(events_of(scene.cluster, EVENT_UNRECOVERABLE) > 0);
    EXPECT_EQUAL(events_of(scene.cluster, EVENT_TRUNCATE), 0);
    for (uint32_t slot = 0; slot < NODES; slot++) {
        const struct replica_view view = node_view(node_at(scene.cluster, slot));
        EXPECT_EQUAL(view.first_faulty, lost);
        EXPECT(view.last.index >= scene.last.index);
        EXPECT(view.applied < lost);
    }
    cluster_free(scene.cluster);
}

/* The entry was committed by a leader and a follower. The one has lost its bytes, the other what its log held from
 * there on, and a third node never had it: that is one denial, not two. */
TEST(who_cannot_know_what_it_had_denies_no_entry)
{
    const struct limits limits = test_limits();
    struct scene scene = { .cluster = cluster_new(&limits, 7) };
    scene.leader = elected(scene.cluster);
    scene.victim = (scene.leader + 1) % NODES;
    put(scene.cluster, 0, 1);
    cluster_run(scene.cluster, 50 * MS);
    const uint32_t third = (scene.leader + 2) % NODES;
    scene.cluster->cut[third] = true;
    for (uint32_t i = 0; i < WRITES; i++) {
        put(scene.cluster, i % 5, (uint8_t)(i + 1));
        cluster_run(scene.cluster, 5 * MS);
    }
    cluster_run(scene.cluster, 50 * MS);
    scene.last = node_view(node_at(scene.cluster, scene.leader)).last;
    const uint64_t lost = scene.last.index - WRITES / 2;
    EXPECT(node_view(node_at(scene.cluster, third)).last.index < lost);
    for (uint32_t slot = 0; slot < NODES; slot++)
        node_crash(node_at(scene.cluster, slot));

    damage_entry(node_at(scene.cluster, scene.leader), lost);
    struct node *victim = node_at(scene.cluster, scene.victim);
    disk_log_read(victim, &scene.log);
    uint32_t first = 0;
    while (scene.log.batches[first].first_index + scene.log.batches[first].entry_count <= lost)
        first++;
    damage_from(victim, &scene.log, first);
    for (uint32_t slot = 0; slot < NODES; slot++)
        start(scene.cluster, slot);
    scene.cluster->cut[third] = false;
    cluster_run(scene.cluster, 2000 * MS);
    EXPECT_EQUAL(scene.cluster->events[scene.victim][EVENT_ABSTAIN], 1);
    const struct replica_view view = node_view(node_at(scene.cluster, scene.leader));
    EXPECT_EQUAL(scene.cluster->events[scene.leader][EVENT_TRUNCATE], 0);
    EXPECT_EQUAL(view.first_faulty, lost);
    EXPECT(view.last.index >= scene.last.index);
    EXPECT(view.term > scene.last.term);
    EXPECT(events_of(scene.cluster, EVENT_UNRECOVERABLE) > 0);
    cluster_free(scene.cluster);
}

TEST_MAIN()

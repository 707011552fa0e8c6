/* States that differ although the logs do not, where nobody can say yet, or ever, which one is right (core/diverge.c):
 * it is said, and nobody is served from a state that may be the wrong one. What happens when a majority agrees is in
 * install_test.c. */
#include "install_rig.h"

/* Flips bits of a value in memory, as a broken memory would, but so that it is not noticed before the next checkpoint.
 */
static void change_memory(struct cluster *cluster, uint32_t slot, uint8_t bits)
{
    for (uint32_t page = cluster->limits.pages_max - 1; page >= page_fixed_count(&cluster->limits); page--) {
        const uint8_t *bytes = page_raw_const(replica_at(cluster, slot), page);
        for (uint32_t at = 0; at + 40 < cluster->limits.page_bytes; at++) {
            if (bytes[at] == 0 || memcmp(bytes + at, bytes + at + 1, 39) != 0)
                continue;
            page_write(replica_at(cluster, slot), page)[at + 20] ^= bits;
            return;
        }
    }
    test_fail(__FILE__, __LINE__, "no value anywhere");
}

/* Three nodes with a checkpoint, which keep so much of the log for who was away. */
static struct cluster *cluster_that_keeps(uint32_t retain_blocks, uint32_t *follower)
{
    struct limits limits = test_limits();
    limits.wal_body_blocks = 512;
    limits.wal_retain_blocks = retain_blocks;
    EXPECT(limits_problem(&limits) == NULL);
    struct cluster *cluster = cluster_new(&limits, 7);
    write_until_checkpoint(cluster, KEYS);
    *follower = (elected(cluster) + 1) % NODES;
    return cluster;
}

static uint64_t differences(const struct cluster *cluster)
{
    uint64_t count = 0;
    for (uint32_t slot = 0; slot < NODES; slot++)
        count += cluster->events[slot][EVENT_DIFFERS];
    return count;
}

/* To whoever leads. Is it answered? */
static bool ask(struct cluster *cluster, enum request_kind kind)
{
    const uint32_t leader = leader_of(cluster);
    const bool writes = kind == REQUEST_PUT;
    if (leader == NODES || cluster->nodes[leader]->stop != 0)
        return false;
    cluster->status = REPLY_BUSY;
    cluster->sequence += writes;
    const struct request request = {
        .request_id = 5000 + cluster->replies,
        .kind = kind,
        .session = writes ? cluster->session : 0,
        .sequence = writes ? cluster->sequence : 0,
        .key = { .bytes = (const uint8_t *)"k000", .count = 4 },
        .value = { .bytes = (const uint8_t *)"v", .count = writes },
    };
    node_request(cluster->nodes[leader], 1, &request);
    observe(cluster, leader);
    cluster_run(cluster, 5 * MS);
    return cluster->status == REPLY_OK;
}

static bool is_served(struct cluster *cluster, enum request_kind kind)
{
    bool served = false;
    for (uint32_t tries = 0; tries < 200; tries++) {
        served = ask(cluster, kind) || served;
        cluster_run(cluster, 5 * MS);
    }
    return served;
}

/* Writes until somebody says that states differ. */
static void write_until_different(struct cluster *cluster)
{
    for (uint32_t i = 0; i < 400 && differences(cluster) == 0; i++)
        (void)ask(cluster, REQUEST_PUT);
    EXPECT(differences(cluster) > 0);
}

/* Of a follower, by what its leader says. */
static bool follower_is_served(struct cluster *cluster, uint32_t slot)
{
    cluster->status = REPLY_BUSY;
    const struct request request = {
        .request_id = 9000,
        .kind = REQUEST_GET,
        .flags = REQUEST_FLAG_LOCAL,
        .key = { .bytes = (const uint8_t *)"k000", .count = 4 },
    };
    node_request(cluster->nodes[slot], 1, &request);
    observe(cluster, slot);
    cluster_run(cluster, 20 * MS);
    return cluster->status == REPLY_OK;
}

static uint64_t event_count(const struct cluster *cluster, enum event_kind kind)
{
    uint64_t count = 0;
    for (uint32_t slot = 0; slot < NODES; slot++)
        count += cluster->events[slot][kind];
    return count;
}

/* One of three is down, the other two differ: until it is back nobody knows which of them is right. */
static void expect_nobody_serves(struct cluster *cluster, uint32_t leader, uint32_t follower)
{
    EXPECT_EQUAL(replica_at(cluster, leader)->diverge.differences, 1);
    EXPECT_EQUAL(cluster->events[leader][EVENT_DOUBT], 1);
    EXPECT(node_view(cluster->nodes[leader]).role == RAFT_LEADER);
    EXPECT(!follower_is_served(cluster, follower));
    EXPECT(!is_served(cluster, REQUEST_GET));
    EXPECT(!is_served(cluster, REQUEST_PUT));
    EXPECT(!is_served(cluster, REQUEST_GET_STALE));
    EXPECT(event_count(cluster, EVENT_LED_IN_VAIN) > 0);
    EXPECT_EQUAL(event_count(cluster, EVENT_DIVERGED), 0);
    EXPECT_EQUAL(cluster->nodes[follower]->stop, 0);
    EXPECT_EQUAL(cluster->nodes[leader]->stop, 0);
}

static void one_down(bool leader_is_wrong)
{
    uint32_t slot;
    struct cluster *cluster = cluster_that_keeps(256, &slot);
    const uint32_t leader = elected(cluster), third = NODES - slot - leader;
    const uint32_t wrong = leader_is_wrong ? leader : slot;
    EXPECT(is_served(cluster, REQUEST_GET) && is_served(cluster, REQUEST_PUT) && follower_is_served(cluster, slot));
    write_until_checkpoint(cluster, KEYS);
    node_crash(cluster->nodes[third]);
    change_memory(cluster, wrong, 1);
    write_until_different(cluster);
    expect_nobody_serves(cluster, leader, slot);

    start(cluster, third);
    cluster_run(cluster, 2000 * MS);
    EXPECT_EQUAL(cluster->events[wrong][EVENT_DIVERGED], 1);
    EXPECT_EQUAL(event_count(cluster, EVENT_DIVERGED), 1);
    EXPECT_EQUAL(cluster->pages_to[third], 0);
    EXPECT(is_served(cluster, REQUEST_PUT));
    EXPECT(is_served(cluster, REQUEST_GET));
    for (uint32_t at = 0; at < NODES; at++) {
        expect_equal_states(cluster, at);
        EXPECT_EQUAL(replica_at(cluster, at)->diverge.doubt_index, 0);
    }
    cluster_free(cluster);
}

TEST(two_that_differ_while_the_third_is_down_serve_nobody_until_it_is_back) { one_down(false); }
TEST(a_leader_that_is_the_wrong_one_serves_nobody_either) { one_down(true); }

/* The third needs a checkpoint of theirs. It gets none: what it copied would seem to be a second witness for one of
 * them.
 */
TEST(who_is_in_doubt_gives_its_checkpoint_to_nobody)
{
    uint32_t slot;
    struct cluster *cluster = cluster_that_keeps(16, &slot);
    const uint32_t leader = elected(cluster), third = NODES - slot - leader;
    write_until_checkpoint(cluster, KEYS);
    node_crash(cluster->nodes[third]);
    change_memory(cluster, slot, 1);
    write_until_different(cluster);
    expect_nobody_serves(cluster, leader, slot);
    start(cluster, third);
    cluster_run(cluster, 2000 * MS);
    EXPECT_EQUAL(cluster->pages_to[third], 0);
    EXPECT_EQUAL(event_count(cluster, EVENT_DIVERGED), 0);
    EXPECT(!is_served(cluster, REQUEST_GET));

    /* Until somebody decides: the one that is to go is taken away, the other one is restarted. */
    node_crash(cluster->nodes[slot]);
    node_crash(cluster->nodes[leader]);
    start(cluster, leader);
    cluster_run(cluster, 2000 * MS);
    EXPECT(cluster->pages_to[third] > 0);
    EXPECT(is_served(cluster, REQUEST_PUT));
    expect_equal_states(cluster, third);
    cluster_free(cluster);
}

TEST(three_that_all_differ_serve_nobody_any_more)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_checkpoint(&slot);
    const uint32_t leader = elected(cluster);
    change_memory(cluster, slot, 1);
    change_memory(cluster, leader, 2);
    write_until_different(cluster);
    cluster_run(cluster, 100 * MS);
    EXPECT_EQUAL(cluster->nodes[leader]->stop, STOP_DIVERGED);
    EXPECT_EQUAL(cluster->events[leader][EVENT_DIFFERS], 2);
    cluster_run(cluster, 2000 * MS);
    EXPECT(!is_served(cluster, REQUEST_GET));
    EXPECT(!is_served(cluster, REQUEST_PUT));
    EXPECT(differences(cluster) > 2);
    EXPECT(event_count(cluster, EVENT_DOUBT) > 1);
    EXPECT_EQUAL(event_count(cluster, EVENT_DIVERGED), 0);
    cluster_free(cluster);
}

/* Whoever waits for a write when the doubt begins is not told what the doubtful state made of it. */
TEST(a_write_that_waits_when_the_doubt_begins_ends_unknown)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_checkpoint(&slot);
    put(cluster, 1, 1);
    const uint32_t leader = elected(cluster);
    struct replica *replica = replica_at(cluster, leader);
    cluster->sequence++;
    const struct request request = {
        .request_id = 77,
        .kind = REQUEST_PUT,
        .session = cluster->session,
        .sequence = cluster->sequence,
        .key = { .bytes = (const uint8_t *)"k001", .count = 4 },
        .value = { .bytes = (const uint8_t *)"v", .count = 1 },
    };
    node_request(cluster->nodes[leader], 1, &request);
    replica->diverge.doubt_index = replica->superblock.durable.checkpoint.id.index + 1;
    cluster->status = REPLY_OK;
    const uint64_t replies = cluster->replies;
    cluster_run(cluster, 20 * MS);
    EXPECT_EQUAL(cluster->replies, replies + 1);
    EXPECT_EQUAL(cluster->status, REPLY_UNKNOWN);
    cluster_free(cluster);
}

TEST_MAIN()

/* Who is to be the only member that is left, and what its disk lost: it gets that from the leader that leaves, or says
 * that it is lost. */
#include "members_rig.h"

enum loss { LOSES_PAGE, LOSES_MAP_BLOCK, LOSES_ENTRY, LOSSES };

/* Its disk loses some of what it has, behind its back. */
static void lose(struct cluster *cluster, uint32_t slot, enum loss loss, uint64_t index)
{
    struct node *node = node_at(cluster, slot);
    const struct map_entry *page = map_entry_const(node->replica, 0, 0);
    const struct map_entry *map = map_entry_const(node->replica, 1, 0);
    const uint64_t ring = wal_ring_bytes(&cluster->limits);
    EXPECT(page->block != 0 && map->block != 0 && index > node->replica->log.base.index);
    if (loss == LOSES_ENTRY)
        node->image[wal_body_offset(&cluster->limits) + log_entry_lsn(node->replica, index) % ring + 40] ^= 4;
    else
        node->data[(uint64_t)(loss == LOSES_PAGE ? page : map)->block * cluster->limits.page_bytes + 17] ^= 4;
}

/* Two of three are to leave. The third one's disk has the entry that says so, which it has confirmed to nobody yet. One
 * of those two leads, and the other one has crashed. */
static struct cluster *cluster_that_leaves_one(const struct limits *limits, uint32_t keys, uint32_t *old,
                                               uint32_t *voter)
{
    struct cluster *cluster = cluster_new(limits, FIRST);
    write_until_checkpoint(cluster, keys);
    put(cluster, 2, 2);
    put(cluster, 3, 3);
    cluster_run(cluster, 200 * MS);
    *old = elected(cluster);
    *voter = (*old + 1) % NODES_AT_FORMAT;
    const uint32_t third = (*old + 2) % NODES_AT_FORMAT;
    const struct member_operation both[] = { operation(MEMBER_REMOVE, *old + 1), operation(MEMBER_REMOVE, third + 1) };
    const struct replica *replica = replica_at(cluster, *voter);
    const struct configuration *durable = &replica->superblock.durable.members.latest;
    send_change(cluster, *old, both, ARRAY_COUNT(both), 0);
    for (uint32_t turn = 0; turn < 1000 && bits_count(configuration_members(durable)) > 1; turn++)
        cluster_one_step(cluster, turn);
    EXPECT_EQUAL(ids_with(durable, MEMBER_VOTER), 1u << (*voter + 1));
    EXPECT(node_view(node_at(cluster, *old)).commit < durable->id.index);
    node_crash(node_at(cluster, third));
    return cluster;
}

/* It crashes before it has confirmed that, and its disk loses some of what it had. */
static struct cluster *cluster_with_a_last_voter(uint32_t *old, uint32_t *voter, enum loss loss)
{
    struct cluster *cluster = cluster_that_leaves_one(&limits_tiny, 6, old, voter);
    const struct replica *replica = replica_at(cluster, *voter);
    lose(cluster, *voter, loss, replica->stored.members.previous.id.index - 1);
    node_crash(node_at(cluster, *voter));
    return cluster;
}

/* Mutant S45. Who leads until then has all of it. Be it that it leads still, or that it has to be elected again. */
TEST(who_is_to_be_left_alone_gets_what_its_disk_lost_from_the_leader_that_leaves)
{
    for (uint32_t at = 0; at < 2 * LOSSES; at++) {
        uint32_t old, voter;
        struct cluster *cluster = cluster_with_a_last_voter(&old, &voter, (enum loss)(at / 2));
        cluster_run(cluster, at % 2 == 0 ? 10 * MS : 500 * MS);
        EXPECT_EQUAL(leader_of(cluster) == old, at % 2 == 0);
        start(cluster, voter);
        cluster_run(cluster, 2000 * MS);
        EXPECT_EQUAL(node_at(cluster, voter)->stop, 0);
        EXPECT(store_is_ready(replica_at(cluster, voter)));
        EXPECT_EQUAL(leader_of(cluster), voter);
        put(cluster, 4, 4);
        cluster_free(cluster);
    }
}

/* The leader is gone as well. It waits for it, but not for ever. */
TEST(who_is_left_alone_and_hears_nobody_says_what_its_disk_lost)
{
    for (uint32_t loss = 0; loss < LOSSES; loss++) {
        uint32_t old, voter;
        struct cluster *cluster = cluster_with_a_last_voter(&old, &voter, (enum loss)loss);
        node_crash(node_at(cluster, old));
        start(cluster, voter);
        cluster_run(cluster, 300 * MS);
        EXPECT_EQUAL(node_at(cluster, voter)->stop, 0);
        cluster_run(cluster, 2000 * MS);
        EXPECT_EQUAL(node_at(cluster, voter)->stop, loss == LOSES_ENTRY ? STOP_WAL_DAMAGED : STOP_DATA_DAMAGED);
        start(cluster, voter);
        cluster_run(cluster, (uint64_t)2300 * MS);
        EXPECT_EQUAL(node_at(cluster, voter)->stop, loss == LOSES_ENTRY ? STOP_WAL_DAMAGED : STOP_DATA_DAMAGED);
        cluster_free(cluster);
    }
}

static void rot_all(struct cluster *cluster, uint32_t slot)
{
    const struct replica *replica = replica_at(cluster, slot);
    uint32_t count = 0;
    for (uint32_t page = 0; page < cluster->limits.pages_max; page++) {
        const struct map_entry *entry = map_entry_const(replica, 0, page);
        if (entry->block == 0)
            continue;
        node_at(cluster, slot)->data[(uint64_t)entry->block * cluster->limits.page_bytes + 17] ^= 4;
        count++;
    }
    EXPECT(count > 12);
}

static struct limits slow_limits(void)
{
    struct limits limits = limits_tiny;
    limits.install_kib_per_second = 1;
    return limits;
}

/* The one that stays has led alone already, so that no other one can any more; then its disk loses all pages, or these
 * and an entry. Only who led before still has them, and does not know that it has left. Both are down. */
static struct cluster *cluster_with_the_pages_left_behind(uint32_t *old, uint32_t *voter, bool entry_too)
{
    const struct limits limits = slow_limits();
    struct cluster *cluster = cluster_that_leaves_one(&limits, 24, old, voter);
    node_crash(node_at(cluster, *voter));
    node_crash(node_at(cluster, *old));
    start(cluster, *voter);
    EXPECT_EQUAL(elected(cluster), *voter);
    cluster_run(cluster, 10 * MS);
    EXPECT_EQUAL(node_view(node_at(cluster, *voter)).commit, node_view(node_at(cluster, *voter)).last.index);
    if (entry_too)
        lose(cluster, *voter, LOSES_ENTRY, replica_at(cluster, *voter)->stored.members.previous.id.index - 1);
    rot_all(cluster, *voter);
    node_crash(node_at(cluster, *voter));
    return cluster;
}

static void expect_it_goes_on_alone(struct cluster *cluster, uint32_t voter)
{
    EXPECT_EQUAL(node_at(cluster, voter)->stop, 0);
    EXPECT(store_is_ready(replica_at(cluster, voter)));
    EXPECT_EQUAL(leader_of(cluster), voter);
    EXPECT_EQUAL(bits_count(configuration_members(configuration_at(cluster, voter))), 1);
    put(cluster, 4, 4);
}

TEST(who_is_left_alone_does_not_lead_while_its_pages_come)
{
    uint32_t old, voter;
    struct cluster *cluster = cluster_with_the_pages_left_behind(&old, &voter, false);
    start(cluster, voter);
    start(cluster, old);
    cluster_run(cluster, 300 * MS);
    for (uint32_t turns = 0; turns < 10; turns++) {
        EXPECT_EQUAL(replica_at(cluster, voter)->install.phase, INSTALL_PULL);
        EXPECT_EQUAL(leader_of(cluster), NODES);
        cluster_run(cluster, 100 * MS);
    }
    cluster_run(cluster, (uint64_t)20000 * MS);
    EXPECT_EQUAL(cluster->events[voter][EVENT_LED_IN_VAIN], 0);
    expect_it_goes_on_alone(cluster, voter);
    EXPECT_EQUAL(node_at(cluster, old)->stop, STOP_REMOVED);
    cluster_free(cluster);
}

/* Whom it got pages from was not heard any more, so that it leads, without them. Now it is heard again. */
static struct cluster *cluster_that_is_led_without_pages(uint32_t *old, uint32_t *voter, bool entry_too)
{
    struct cluster *cluster = cluster_with_the_pages_left_behind(old, voter, entry_too);
    start(cluster, *voter);
    start(cluster, *old);
    cluster_run(cluster, 300 * MS);
    EXPECT_EQUAL(replica_at(cluster, *voter)->install.phase, INSTALL_PULL);
    cluster->cut[*old] = true;
    EXPECT_EQUAL(elected(cluster), *voter);
    EXPECT(!store_is_ready(replica_at(cluster, *voter)));
    cluster->cut[*old] = false;
    return cluster;
}

/* Mutant S48. */
TEST(who_leads_alone_without_its_pages_gets_them_from_whom_it_left_behind)
{
    uint32_t old, voter;
    struct cluster *cluster = cluster_that_is_led_without_pages(&old, &voter, false);
    cluster_run(cluster, (uint64_t)20000 * MS);
    expect_it_goes_on_alone(cluster, voter);
    EXPECT_EQUAL(node_at(cluster, old)->stop, STOP_REMOVED);
    cluster_free(cluster);
}

TEST(who_leads_alone_without_its_pages_does_not_wait_for_ever_for_whom_it_left_behind)
{
    uint32_t old, voter;
    struct cluster *cluster = cluster_that_is_led_without_pages(&old, &voter, false);
    cluster_run(cluster, 100 * MS);
    node_crash(node_at(cluster, old));
    cluster_run(cluster, 2000 * MS);
    EXPECT_EQUAL(node_at(cluster, voter)->stop, STOP_DATA_DAMAGED);
    cluster_free(cluster);
}

/* An entry is lost as well. That is not what it stops for while something comes. */
TEST(who_leads_alone_without_an_entry_does_not_stop_while_pages_come)
{
    uint32_t old, voter;
    struct cluster *cluster = cluster_that_is_led_without_pages(&old, &voter, true);
    struct replica *replica = replica_at(cluster, voter);
    cluster_run(cluster, 60 * MS);
    EXPECT_EQUAL(node_view(node_at(cluster, voter)).role, RAFT_LEADER);
    EXPECT_EQUAL(replica->install.phase, INSTALL_PULL);
    EXPECT(replica->log.first_faulty != 0);
    replica->pages_missed_ns = cluster->now_ns; /* as if they had been lost later */
    cluster_run(cluster, 150 * MS);
    EXPECT_EQUAL(node_at(cluster, voter)->stop, 0);
    EXPECT_EQUAL(node_view(node_at(cluster, voter)).role, RAFT_FOLLOWER);
    EXPECT_EQUAL(cluster->events[voter][EVENT_UNRECOVERABLE], 0);
    cluster_free(cluster);
}

static uint32_t starved; /* the slot that gets no pages, and is the only one that campaigns */

static bool starve(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes, uint32_t count)
{
    struct frame_header header;
    (void)cluster;
    (void)count;
    memcpy(&header, bytes, sizeof header);
    return header.type == FRAME_VOTE_REQUEST ? from == starved
                                             : header.type != FRAME_CHECKPOINT_RESPONSE || to != starved;
}

/* Mutant S51. It leads before that is decided, and would be what decides it. */
TEST(who_is_to_be_left_alone_does_not_dismiss_the_others_before_it_has_its_pages)
{
    struct cluster *cluster = cluster_new(&limits_tiny, FIRST);
    write_until_checkpoint(cluster, 24);
    const uint32_t old = elected(cluster), voter = (old + 1) % NODES_AT_FORMAT, third = (old + 2) % NODES_AT_FORMAT;
    const struct member_operation both[] = { operation(MEMBER_REMOVE, old + 1), operation(MEMBER_REMOVE, third + 1) };
    const struct configuration *durable = &replica_at(cluster, voter)->superblock.durable.members.latest;
    node_crash(node_at(cluster, third));
    send_change(cluster, old, both, ARRAY_COUNT(both), 0);
    for (uint32_t turn = 0; turn < 1000 && !configuration_is_joint(durable); turn++)
        cluster_one_step(cluster, turn);
    EXPECT(configuration_is_joint(durable));
    EXPECT(node_view(node_at(cluster, old)).commit < durable->id.index);
    rot_all(cluster, voter);
    node_crash(node_at(cluster, voter));
    node_crash(node_at(cluster, old));
    starved = voter;
    cluster->hook = starve;
    start(cluster, voter);
    start(cluster, old);
    EXPECT_EQUAL(elected(cluster), voter);
    cluster_run(cluster, 300 * MS);
    EXPECT_EQUAL(node_at(cluster, voter)->stop, 0);
    EXPECT_EQUAL(cluster->events[voter][EVENT_LED_IN_VAIN], 1);
    cluster->hook = NULL;
    cluster_run(cluster, 2000 * MS);
    expect_it_goes_on_alone(cluster, voter);
    cluster_free(cluster);
}

TEST_MAIN()

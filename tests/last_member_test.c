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

/* Two of three are to leave. The third one's disk has the entry that says so, which it has confirmed to nobody when it
 * crashes, and then loses some of what it had. */
static struct cluster *cluster_with_a_last_voter(uint32_t *old, uint32_t *voter, enum loss loss)
{
    struct cluster *cluster = cluster_ready(FIRST);
    write_until_checkpoint(cluster, 6);
    put(cluster, 2, 2);
    put(cluster, 3, 3);
    cluster_run(cluster, 200 * MS);
    *old = elected(cluster);
    *voter = (*old + 1) % NODES_AT_FORMAT;
    const uint32_t third = (*old + 2) % NODES_AT_FORMAT;
    const struct member_operation both[] = { operation(MEMBER_REMOVE, *old + 1), operation(MEMBER_REMOVE, third + 1) };
    const struct replica *replica = replica_at(cluster, *voter);
    const struct configuration *durable = &replica->superblock.durable.members.latest;
    const uint64_t index = node_view(node_at(cluster, *voter)).last.index;
    send_change(cluster, *old, both, ARRAY_COUNT(both), 0);
    for (uint32_t turn = 0; turn < 1000 && bits_count(configuration_members(durable)) > 1; turn++)
        cluster_one_step(cluster, turn);
    EXPECT_EQUAL(ids_with(durable, MEMBER_VOTER), 1u << (*voter + 1));
    EXPECT(node_view(node_at(cluster, *old)).commit < durable->id.index);
    lose(cluster, *voter, loss, index - 1);
    node_crash(node_at(cluster, *voter));
    node_crash(node_at(cluster, third));
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

TEST_MAIN()

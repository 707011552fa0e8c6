/* Three replicas with a checkpoint of some thirty pages, and what is done to a disk: for the tests of installs. */
#ifndef WW_TEST_INSTALL_RIG_H
#define WW_TEST_INSTALL_RIG_H

#include "../core/page.h"
#include "nodes.h"

enum { KEYS = 40, CHAOS_SEEDS = 20 };

/* A map of two levels above the pages, and checkpoints often enough. */
static inline struct limits test_limits(void)
{
    struct limits limits = limits_tiny;
    limits.pages_max = 64;
    limits.data_blocks = 192;
    limits.shadow_pages_max = 64;
    limits.checkpoint_entries = 64;
    limits.checkpoint_wal_blocks = 120;
    limits.pending_writes_max = 16;
    limits.install_kib_per_second = 1024;
    limits.data_run_bytes_max = 8 * limits.page_bytes;
    EXPECT(limits_problem(&limits) == NULL);
    return limits;
}

/* ---- what must hold in the end ---- */

static inline bool caught_up(const struct cluster *cluster, uint32_t slot)
{
    const uint32_t leader = leader_of(cluster);
    if (leader == NODES || replica_at(cluster, slot) == NULL || !store_is_ready(replica_at(cluster, slot)))
        return false;
    const struct replica_view own = node_view(cluster->nodes[slot]);
    const struct replica_view its = node_view(cluster->nodes[leader]);
    return own.applied == its.applied && its.applied == its.commit && own.state_digest == its.state_digest;
}

static inline bool run_until_caught_up(struct cluster *cluster, uint32_t slot)
{
    for (uint32_t tries = 0; tries < 2000 && !caught_up(cluster, slot); tries++)
        cluster_run(cluster, 20 * MS);
    return caught_up(cluster, slot);
}

/* Byte for byte, and with nothing left to do. */
static inline void expect_equal_states(struct cluster *cluster, uint32_t slot)
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
static inline void expect_durable(struct cluster *cluster, uint32_t slot)
{
    const uint64_t pages = cluster->pages_to[slot];
    node_crash(cluster->nodes[slot]);
    start(cluster, slot);
    expect_equal_states(cluster, slot);
    EXPECT_EQUAL(cluster->pages_to[slot], pages);
}

static inline uint64_t checkpoint_index(const struct cluster *cluster, uint32_t slot)
{
    return replica_at(cluster, slot)->superblock.durable.checkpoint.id.index;
}

/* Pages of the durable checkpoint that are in use. */
static inline uint32_t checkpoint_pages(const struct cluster *cluster, uint32_t slot)
{
    uint32_t count = 0;
    for (uint32_t page = 0; page < cluster->limits.pages_max; page++)
        count += !map_entry_is_zero(map_entry_const(replica_at(cluster, slot), 0, page));
    return count;
}

/* ---- damage ---- */

/* Three nodes with a checkpoint, and the follower that is worked on. */
static inline struct cluster *cluster_with_checkpoint(uint32_t *follower)
{
    const struct limits limits = test_limits();
    struct cluster *cluster = cluster_new(&limits, 7);
    write_until_checkpoint(cluster, KEYS);
    *follower = (elected(cluster) + 1) % NODES;
    EXPECT(checkpoint_pages(cluster, *follower) > 20);
    return cluster;
}

/* Flips a bit of the block on the disk of a node; what it was is in `map`. */
static inline void rot(struct cluster *cluster, uint32_t slot, uint32_t block)
{
    EXPECT(block > 0);
    cluster->nodes[slot]->data[(uint64_t)block * cluster->limits.page_bytes + 17] ^= 4;
}

/* The number of a page in use, the n-th one. */
static inline uint32_t used_page(const struct cluster *cluster, uint32_t slot, uint32_t n)
{
    for (uint32_t page = 0; page < cluster->limits.pages_max; page++)
        if (!map_entry_is_zero(map_entry_const(replica_at(cluster, slot), 0, page)) && n-- == 0)
            return page;
    test_fail(__FILE__, __LINE__, "too few pages");
}

static inline void rot_pages(struct cluster *cluster, uint32_t slot, uint32_t first, uint32_t count)
{
    for (uint32_t n = first; n < first + count; n++)
        rot(cluster, slot, map_entry_const(replica_at(cluster, slot), 0, used_page(cluster, slot, n))->block);
}

#endif

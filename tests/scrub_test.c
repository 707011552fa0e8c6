/* What the scrub does when memory lies, and when what it reads is not where it was any more (scrub.h). Three nodes on
 * disks of memory; their memory is changed as a broken one would. */
#include "../core/scrub.h"

#include "install_rig.h"

/* A pass that begins now, or the end. */
static void scrub_once(struct cluster *cluster, uint32_t slot)
{
    const struct node *node = cluster->nodes[slot];
    const uint64_t passes = node->replica->scrub.passes + 2;
    for (uint32_t tries = 0; tries < 1000 && node->replica->scrub.passes < passes && node->stop == 0; tries++)
        cluster_run(cluster, 20 * MS);
    EXPECT(node->replica->scrub.passes == passes || node->stop != 0);
}

/* ---- what memory would write ---- */

static uint32_t copies_intact(struct cluster *cluster, uint32_t slot)
{
    uint32_t count = 0;
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++) {
        struct superblock superblock;
        const struct slice bytes = { .bytes = cluster->nodes[slot]->image + superblock_offset(&cluster->limits, copy),
                                     .count = limits_superblock_bytes(&cluster->limits) };
        count += superblock_decode(bytes, &superblock);
    }
    return count;
}

static uint8_t *superblock_in_memory(struct cluster *cluster, uint32_t slot)
{
    return region_at(replica_at(cluster, slot), replica_at(cluster, slot)->areas.wal_superblock);
}

TEST(a_superblock_that_memory_lost_is_not_written_over_good_copies)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_checkpoint(&slot);
    cluster_run(cluster, 500 * MS);
    superblock_in_memory(cluster, slot)[300] ^= 1;
    scrub_once(cluster, slot);
    EXPECT_EQUAL(copies_intact(cluster, slot), SUPERBLOCK_COPIES);
    EXPECT_EQUAL(replica_at(cluster, slot)->scrub.mended, 0);
    EXPECT_EQUAL(replica_at(cluster, slot)->scrub.memory_mended, 1);
    EXPECT_EQUAL(cluster->events[slot][EVENT_MEMORY_MENDED], 1);
    /* And memory is right again. */
    cluster->nodes[slot]->image[superblock_offset(&cluster->limits, 2) + 300] ^= 1;
    scrub_once(cluster, slot);
    EXPECT_EQUAL(replica_at(cluster, slot)->scrub.mended, 1);
    EXPECT_EQUAL(copies_intact(cluster, slot), SUPERBLOCK_COPIES);
    expect_durable(cluster, slot);
    cluster_free(cluster);
}

TEST(a_superblock_that_memory_and_all_copies_lost_is_made_anew)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_checkpoint(&slot);
    cluster_run(cluster, 500 * MS);
    superblock_in_memory(cluster, slot)[300] ^= 1;
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++)
        cluster->nodes[slot]->image[superblock_offset(&cluster->limits, copy) + 200 + copy] ^= 1;
    EXPECT_EQUAL(copies_intact(cluster, slot), 0);
    scrub_once(cluster, slot);
    EXPECT_EQUAL(copies_intact(cluster, slot), SUPERBLOCK_COPIES);
    EXPECT_EQUAL(replica_at(cluster, slot)->scrub.memory_mended, 1);
    expect_durable(cluster, slot);
    cluster_free(cluster);
}

/* Every field of the entries that lead to a page, on every level. */
TEST(a_map_that_memory_lost_is_not_written_over_good_blocks)
{
    const struct limits limits = test_limits();
    const size_t fields[] = { offsetof(struct map_entry, hash) + 3, offsetof(struct map_entry, checksum) + 1,
                              offsetof(struct map_entry, block) };
    for (uint32_t level = 0; level <= map_root(&limits); level++) {
        for (uint32_t field = 0; field < ARRAY_COUNT(fields); field++) {
            uint32_t slot;
            struct cluster *cluster = cluster_with_checkpoint(&slot);
            cluster_run(cluster, 500 * MS);
            uint32_t at = used_page(cluster, slot, 12);
            for (uint32_t above = 0; above < level; above++)
                at /= map_fanout(&limits);
            ((uint8_t *)map_entry(replica_at(cluster, slot), level, at))[fields[field]] ^= 1;
            scrub_once(cluster, slot);
            EXPECT_EQUAL(replica_at(cluster, slot)->scrub.mended, 0);
            EXPECT_EQUAL(replica_at(cluster, slot)->scrub.memory_mended, 1);
            EXPECT_EQUAL(cluster->events[slot][EVENT_MEMORY_MENDED], 1);
            expect_durable(cluster, slot);
            cluster_free(cluster);
        }
    }
}

/* The same blocks, and memory is right: nothing of the above keeps them from being mended. */
TEST(what_the_disk_lost_of_the_map_and_the_pages_is_written_from_memory)
{
    const struct limits limits = test_limits();
    for (uint32_t level = 0; level <= map_root(&limits); level++) {
        uint32_t slot;
        struct cluster *cluster = cluster_with_checkpoint(&slot);
        cluster_run(cluster, 500 * MS);
        uint32_t at = used_page(cluster, slot, 12);
        EXPECT(!checkpoint_page_dirty(replica_at(cluster, slot), at));
        for (uint32_t above = 0; above < level; above++)
            at /= map_fanout(&limits);
        rot(cluster, slot, map_entry(replica_at(cluster, slot), level, at)->block);
        scrub_once(cluster, slot);
        EXPECT_EQUAL(replica_at(cluster, slot)->scrub.mended, 1);
        EXPECT_EQUAL(replica_at(cluster, slot)->scrub.memory_mended, 0);
        expect_durable(cluster, slot);
        cluster_free(cluster);
    }
}

TEST(a_map_block_that_memory_and_the_disk_lost_stops_the_node_and_comes_from_a_peer)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_checkpoint(&slot);
    cluster_run(cluster, 500 * MS);
    struct replica *replica = replica_at(cluster, slot);
    const uint32_t page = used_page(cluster, slot, 12);
    map_entry(replica, 0, page)->hash.low ^= 1;
    rot(cluster, slot, map_entry(replica, 1, page / map_fanout(&cluster->limits))->block);
    scrub_once(cluster, slot);
    EXPECT_EQUAL(cluster->nodes[slot]->stop, STOP_MEMORY_DAMAGED);
    node_crash(cluster->nodes[slot]);
    start(cluster, slot);
    expect_equal_states(cluster, slot);
    expect_durable(cluster, slot);
    cluster_free(cluster);
}

/* ---- what memory would serve ---- */

/* A page that is as the checkpoint has it. */
static uint32_t clean_page(const struct cluster *cluster, uint32_t slot)
{
    const struct replica *replica = replica_at(cluster, slot);
    for (uint32_t n = 0;; n++) {
        const uint32_t page = used_page(cluster, slot, n);
        if (page >= page_fixed_count(&cluster->limits) && !checkpoint_page_dirty(replica, page))
            return page;
    }
}

TEST(a_page_that_memory_lost_is_taken_from_the_disk)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_checkpoint(&slot);
    cluster_run(cluster, 500 * MS);
    page_raw(replica_at(cluster, slot), clean_page(cluster, slot))[30] ^= 1;
    scrub_once(cluster, slot);
    EXPECT_EQUAL(replica_at(cluster, slot)->scrub.mended, 0);
    EXPECT_EQUAL(replica_at(cluster, slot)->scrub.memory_mended, 1);
    EXPECT_EQUAL(cluster->events[slot][EVENT_MEMORY_MENDED], 1);
    expect_equal_states(cluster, slot);
    cluster_free(cluster);
}

static void lose_in_memory_and_on_disk(struct cluster *cluster, uint32_t slot)
{
    struct replica *replica = replica_at(cluster, slot);
    const uint32_t page = clean_page(cluster, slot);
    page_raw(replica, page)[30] ^= 1;
    rot(cluster, slot, map_entry(replica, 0, page)->block);
}

TEST(a_page_that_memory_and_the_disk_lost_comes_from_a_peer)
{
    for (uint32_t leads = 0; leads < 2; leads++) {
        uint32_t slot;
        struct cluster *cluster = cluster_with_checkpoint(&slot);
        slot = leads != 0 ? elected(cluster) : slot;
        put(cluster, 0, 77); /* and something that is not in the checkpoint */
        cluster_run(cluster, 500 * MS);
        cluster->pages_to[slot] = 0;
        lose_in_memory_and_on_disk(cluster, slot);
        for (uint32_t tries = 0; tries < 1000 && cluster->pages_to[slot] == 0; tries++)
            cluster_run(cluster, 20 * MS);
        cluster_run(cluster, 500 * MS);
        EXPECT_EQUAL(cluster->events[slot][EVENT_PAGE_DAMAGED], 1);
        EXPECT_EQUAL(cluster->pages_to[slot], 1);
        expect_equal_states(cluster, slot);
        expect_durable(cluster, slot);
        cluster_free(cluster);
    }
}

/* Nobody answers: what the disk could not bring is asked for there again, and the log is applied from there on. */
TEST(a_page_that_memory_lost_and_the_disk_only_for_a_while_comes_back)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_checkpoint(&slot);
    put(cluster, 0, 77);
    cluster_run(cluster, 500 * MS);
    struct replica *replica = replica_at(cluster, slot);
    lose_in_memory_and_on_disk(cluster, slot);
    cluster->cut[slot] = true;
    for (uint32_t tries = 0; tries < 1000 && store_is_ready(replica); tries++)
        cluster_run(cluster, 20 * MS);
    EXPECT(!store_is_ready(replica));
    cluster->pages_to[slot] = 0;
    for (uint32_t page = 0; page < cluster->limits.pages_max; page++)
        if (map_wanted(replica, 0, page))
            rot(cluster, slot, map_entry(replica, 0, page)->block); /* the bit flips back */
    cluster_run(cluster, 2000 * MS);
    EXPECT(store_is_ready(replica));
    cluster->cut[slot] = false;
    expect_equal_states(cluster, slot);
    EXPECT_EQUAL(cluster->pages_to[slot], 0);
    cluster_free(cluster);
}

/* ---- reads that come late ---- */

static bool is_scrub(const struct node_op *op) { return wal_operation_of(op->op_id) == (enum wal_operation)DATA_SCRUB; }

/* Like cluster_run(), but what the scrub of the node has in flight stays so. */
static void run_holding_the_scrub(struct cluster *cluster, uint32_t slot, uint64_t steps)
{
    struct node *node = cluster->nodes[slot];
    for (uint64_t step = 0; step < steps; step++) {
        const uint32_t turn = (uint32_t)(step % (NODES + 1));
        if (turn == NODES)
            cluster_advance(cluster, cluster->now_ns + MS / 10);
        else if (turn != slot || node->sent_count > 0 || node->op_count == 0 || !is_scrub(&node->ops[0]))
            cluster_step(cluster, turn);
        else if (node->op_count > 1 || node->deadline_ns <= node->now_ns) {
            if (node->op_count > 1)
                node_complete(node, 1, DISK_OK);
            else
                node_tick(node, 0);
            observe(cluster, slot);
        }
    }
}

/* The first of two pages with values whose neighbours they are, both changed. */
static uint32_t change_two_pages(struct cluster *cluster, uint32_t slot)
{
    struct replica *replica = replica_at(cluster, slot);
    for (uint32_t page = cluster->limits.pages_max - 2; page >= page_fixed_count(&cluster->limits); page--) {
        uint32_t found = 0;
        for (uint32_t next = page; next < page + 2; next++) {
            const uint8_t *bytes = page_raw_const(replica, next);
            for (uint32_t at = 0; at + 40 < cluster->limits.page_bytes; at++)
                if (bytes[at] != 0 && memcmp(bytes + at, bytes + at + 1, 39) == 0) {
                    found++;
                    break;
                }
        }
        if (found < 2)
            continue;
        for (uint32_t next = page; next < page + 2; next++) {
            uint8_t *bytes = page_write(replica, next);
            for (uint32_t at = 0; at + 40 < cluster->limits.page_bytes; at++)
                if (bytes[at] != 0 && memcmp(bytes + at, bytes + at + 1, 39) == 0) {
                    bytes[at + 20] ^= 1;
                    break;
                }
        }
        return page;
    }
    test_fail(__FILE__, __LINE__, "no two pages of values");
}

/* The checkpoint of a follower differs; while its scrub reads several pages at once, the follower gets others, in other
 * blocks, and its checkpoint has the same index as before. */
TEST(what_a_late_read_brings_is_not_judged_when_the_pages_lie_elsewhere_by_now)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_checkpoint(&slot);
    const uint32_t leader = elected(cluster);
    struct replica *replica = replica_at(cluster, slot);
    const uint32_t page = change_two_pages(cluster, slot);
    const uint64_t before = checkpoint_index(cluster, slot);
    for (uint32_t i = 0; i < 400 && replica_at(cluster, leader)->marker_index <= before; i++)
        put(cluster, 0, (uint8_t)(i + 1));
    for (uint32_t i = 0; i < 100000 && checkpoint_index(cluster, slot) == before; i++)
        cluster_one_step(cluster, slot);
    cluster->cut[slot] = true;
    for (uint32_t i = 0; i < 1000 && (replica->scrub.in_flight != 0 || !checkpoint_is_idle(replica)); i++)
        cluster_step(cluster, slot);
    const uint64_t index = checkpoint_index(cluster, slot);
    EXPECT(index > before && store_is_ready(replica));
    EXPECT_EQUAL(map_entry_const(replica, 0, page)->block + 1, map_entry_const(replica, 0, page + 1)->block);
    replica->scrub =
        (struct scrub){ .phase = SCRUB_PAGES, .position = page, .passes = replica->scrub.passes, .due_ns = 0 };
    node_tick(cluster->nodes[slot], 0);
    EXPECT(replica->scrub.in_flight >= 2 * cluster->limits.page_bytes && !replica->scrub.writing);
    const uint32_t block = map_entry_const(replica, 0, page)->block;

    cluster->cut[slot] = false;
    run_holding_the_scrub(cluster, slot, 40000);
    EXPECT_EQUAL(cluster->events[slot][EVENT_DIVERGED], 1);
    EXPECT(store_is_ready(replica) && install_is_idle(replica) && checkpoint_is_idle(replica));
    EXPECT_EQUAL(checkpoint_index(cluster, slot), index);
    EXPECT(map_entry_const(replica, 0, page)->block != block);
    EXPECT(replica->scrub.in_flight >= 2 * cluster->limits.page_bytes && !replica->scrub.writing);
    cluster_run(cluster, 500 * MS);
    EXPECT_EQUAL(replica->scrub.mended, 0);
    expect_equal_states(cluster, slot);
    expect_durable(cluster, slot);
    cluster_free(cluster);
}

TEST_MAIN()

/* The page map: its levels, hashes and sets, and who uses which block of device 1. */
#include "checkpoint_rig.h"
#include "test.h"

TEST(a_map_has_a_level_for_every_power_of_its_fanout)
{
    EXPECT_EQUAL(map_fanout(&limits_production), 128);
    EXPECT_EQUAL(map_root(&limits_production), 3);
    EXPECT_EQUAL(map_count(&limits_production, 0), 512 * 1024);
    EXPECT_EQUAL(map_count(&limits_production, 1), 4096);
    EXPECT_EQUAL(map_count(&limits_production, 2), 32);
    EXPECT_EQUAL(map_count(&limits_production, 3), 1);
    EXPECT_EQUAL(map_blocks(&limits_production), 4096 + 32 + 1);
    EXPECT_EQUAL(map_root(&limits_micro), 2);
    EXPECT_EQUAL(map_blocks(&limits_micro), 2 + 1);
}

TEST(hashes_depend_on_the_pages_alone_and_checksums_on_the_place_as_well)
{
    const struct limits limits = rig_limits();
    struct rig *rig = rig_new(&limits);
    const struct replica *replica = rig->node->replica;
    uint8_t page[256] = { 0 };
    struct map_entry entries[8] = { { .block = 0 } };
    EXPECT_EQUAL(map_page_hash(replica, page).low, 0);
    EXPECT_EQUAL(map_block_hash(&limits, (const uint8_t *)entries).low, 0);
    page[255] = 1;
    entries[3] = (struct map_entry){ .hash = map_page_hash(replica, page), .block = 9, .checksum = 4 };
    EXPECT(entries[3].hash.low != 0);
    const struct hash128 hash = map_block_hash(&limits, (const uint8_t *)entries);
    const uint64_t checksum = map_block_checksum(replica, (const uint8_t *)entries, 1, 2);
    EXPECT(map_block_checksum(replica, (const uint8_t *)entries, 1, 3) != checksum);
    EXPECT(map_block_checksum(replica, (const uint8_t *)entries, 2, 2) != checksum);
    entries[3].block = 10;
    entries[3].checksum = 5;
    EXPECT(hash128_equal(map_block_hash(&limits, (const uint8_t *)entries), hash));
    EXPECT(map_block_checksum(replica, (const uint8_t *)entries, 1, 2) != checksum);
    entries[2] = entries[3];
    entries[3] = (struct map_entry){ .block = 0 };
    EXPECT(!hash128_equal(map_block_hash(&limits, (const uint8_t *)entries), hash));
    rig_free(rig);
}

TEST(sets_of_the_map_do_not_mix_levels)
{
    const struct limits limits = rig_limits();
    struct rig *rig = rig_new(&limits);
    struct replica *replica = rig->node->replica;
    for (uint32_t level = 0; level <= map_root(&limits); level++)
        for (uint32_t at = 0; at < map_count(&limits, level); at += 7)
            map_set_wanted(replica, level, at, true);
    for (uint32_t level = 0; level <= map_root(&limits); level++)
        for (uint32_t at = 0; at < map_count(&limits, level); at++)
            EXPECT_EQUAL(map_wanted(replica, level, at), at % 7 == 0);
    const uint32_t count = map_count(&limits, 1);
    EXPECT_EQUAL(count, 13);
    map_set_dirty(replica, 1, 5, true);
    map_set_dirty(replica, 2, 0, true);
    EXPECT_EQUAL(map_next_dirty(replica, 1, 0, 1), 5);
    EXPECT_EQUAL(map_next_dirty(replica, 1, 5, 1), 5);
    EXPECT_EQUAL(map_next_dirty(replica, 1, 6, 1), count);
    EXPECT_EQUAL(map_next_dirty(replica, 2, 0, 1), 0);
    EXPECT(!map_is_dirty(replica, 2, 1));
    rig_free(rig);
}

TEST(a_block_that_the_durable_checkpoint_uses_is_kept_until_the_next_one_is)
{
    const struct limits limits = rig_limits();
    struct rig *rig = rig_new(&limits);
    struct replica *replica = rig->node->replica;
    const uint32_t first = block_allocate(replica, 1);
    const uint32_t second = block_take(replica, first + 1, 2);
    EXPECT(first != 0 && second == first + 1);
    EXPECT_EQUAL(block_take(replica, first, 3), 0);
    EXPECT(block_is_fresh(replica, first));
    EXPECT_EQUAL(block_use(replica, second), 2);
    block_release(replica, second); /* nobody else knows of it */
    EXPECT_EQUAL(block_use(replica, second), BLOCK_FREE);
    uint32_t cursor = 0;
    EXPECT(block_settle(replica, &cursor));
    EXPECT(!block_is_fresh(replica, first));
    block_release(replica, first);
    EXPECT_EQUAL(block_use(replica, first), BLOCK_RETIRED);
    EXPECT_EQUAL(block_take(replica, first, 3), 0);
    cursor = 0;
    EXPECT(block_settle(replica, &cursor));
    EXPECT_EQUAL(replica->checkpoint.blocks_used, 0);
    EXPECT(!block_claim(replica, 0, 1) && !block_claim(replica, limits.data_blocks, 1));
    EXPECT(block_claim(replica, 7, 1) && !block_claim(replica, 7, 1));
    /* The cursor goes round, past what is used. */
    uint32_t blocks = 1;
    while (replica->checkpoint.blocks_used + 1 < limits.data_blocks)
        blocks += block_allocate(replica, BLOCK_MAP) != 0;
    EXPECT_EQUAL(blocks, limits.data_blocks - 1);
    rig_free(rig);
}

TEST_MAIN()

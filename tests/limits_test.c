/* The table of limits: the named sets are consistent, broken relations are named, the fingerprint covers its part. */
#include "../core/limits.h"

#include "../core/map.h"
#include "../core/replica.h"
#include "test.h"

TEST(the_named_sets_are_consistent)
{
    EXPECT_TEXT(limits_problem(&limits_production) ? limits_problem(&limits_production) : "", "");
    EXPECT_TEXT(limits_problem(&limits_tiny) ? limits_problem(&limits_tiny) : "", "");
    EXPECT_TEXT(limits_problem(&limits_micro) ? limits_problem(&limits_micro) : "", "");
}

static bool problem_names(const struct limits *limits, const char *field)
{
    const char *problem = limits_problem(limits);
    return problem != NULL && strstr(problem, field) != NULL;
}

TEST(a_broken_relation_is_named)
{
    struct limits limits = limits_tiny;
    limits.block_bytes = 500;
    EXPECT(problem_names(&limits, "block_bytes"));
    limits = limits_tiny;
    limits.wal_depth = 5;
    EXPECT(problem_names(&limits, "wal_depth"));
    limits = limits_tiny;
    limits.wal_unnamed_max = limits.wal_depth;
    EXPECT(problem_names(&limits, "wal_unnamed_max"));
    limits = limits_tiny;
    limits.value_bytes_max = 4096;
    EXPECT(problem_names(&limits, "wal_batch_bytes_max"));
    limits = limits_tiny;
    limits.log_entries_max = 100;
    EXPECT(problem_names(&limits, "log_entries_max"));
    limits = limits_tiny;
    limits.frame_bytes_max = 128;
    EXPECT(problem_names(&limits, "frame_bytes_max"));
    limits = limits_tiny;
    limits.inflight_max = INFLIGHT_MAX + 1;
    EXPECT(problem_names(&limits, "inflight_max"));
}

TEST(a_broken_relation_of_checkpoints_is_named)
{
    struct limits limits = limits_tiny;
    limits.data_blocks = 2 * (limits.pages_max + map_blocks(&limits)) + 1;
    EXPECT(problem_names(&limits, "data_blocks"));
    limits.data_blocks++;
    EXPECT(limits_problem(&limits) == NULL);
    limits = limits_tiny;
    limits.data_run_bytes_max = limits.page_bytes + 1;
    EXPECT(problem_names(&limits, "data_run_bytes_max"));
    limits = limits_tiny;
    limits.data_depth = 3;
    EXPECT(problem_names(&limits, "data_depth"));
    limits = limits_tiny;
    limits.shadow_pages_max = 0;
    EXPECT(problem_names(&limits, "shadow_pages_max"));
    limits = limits_tiny;
    limits.checkpoint_entries = limits.log_entries_max / 4 + 1;
    EXPECT(problem_names(&limits, "checkpoint_entries"));
    limits = limits_tiny;
    limits.checkpoint_wal_blocks = limits.wal_body_blocks - limits.wal_reserve_blocks - limits.wal_retain_blocks;
    EXPECT(problem_names(&limits, "checkpoint_wal_blocks"));
    limits.checkpoint_wal_blocks--;
    EXPECT(limits_problem(&limits) == NULL);
}

/* Replicas that disagree about any of these would answer the same command differently. */
TEST(the_fingerprint_covers_what_decides_the_outcome_of_a_command)
{
    const uint64_t base = limits_fingerprint(&limits_tiny);
    struct limits limits = limits_tiny;
    EXPECT(base != 0);
    limits.key_bytes_max++;
    EXPECT(limits_fingerprint(&limits) != base);
    limits = limits_tiny;
    limits.value_bytes_max++;
    EXPECT(limits_fingerprint(&limits) != base);
    limits = limits_tiny;
    limits.page_bytes *= 2;
    EXPECT(limits_fingerprint(&limits) != base);
    limits = limits_tiny;
    limits.pages_max++;
    EXPECT(limits_fingerprint(&limits) != base);
    limits = limits_tiny;
    limits.sessions_max *= 2;
    EXPECT(limits_fingerprint(&limits) != base);
}

TEST(the_fingerprint_leaves_out_what_each_node_may_choose)
{
    struct limits limits = limits_tiny;
    limits.wal_body_blocks *= 2;
    limits.pending_writes_max *= 2;
    limits.inflight_max--;
    EXPECT(limits_fingerprint(&limits) == limits_fingerprint(&limits_tiny));
}

TEST(the_superblock_copies_lie_inside_the_wal_file_and_apart)
{
    const struct limits *limits = &limits_production;
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++) {
        const uint64_t offset = superblock_offset(limits, copy);
        EXPECT_EQUAL(offset % limits->block_bytes, 0);
        EXPECT(offset + limits->block_bytes <= limits_wal_bytes(limits));
        if (copy > 0)
            EXPECT(offset - superblock_offset(limits, copy - 1) >= 1024 * 1024);
    }
}

TEST_MAIN()

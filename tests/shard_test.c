/* Shards of a campaign are disjoint, and their union is the whole, whoever runs how much of it. */
#include <time.h>

#include "../sim/campaign.h"
#include "test.h"

struct sums {
    struct coverage coverage;
    struct census census;
    uint64_t done;
    uint64_t dealt;
};

enum { SCHEDULES = 203 };

static void run(struct sums *sums, uint64_t shard, uint64_t shards, uint32_t jobs)
{
    const struct campaign_options options = {
        .seed = 77,
        .count = SCHEDULES,
        .shard = shard,
        .shards = shards,
        .jobs = jobs,
        .hang_ms = 600000,
    };
    struct campaign_progress progress;
    struct campaign *campaign = campaign_start(&options);
    EXPECT(campaign != NULL);
    do {
        campaign_poll(campaign, 0, &progress);
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    } while (!progress.over);
    EXPECT_EQUAL(progress.failures, 0);
    struct coverage coverage;
    static struct census census;
    campaign_coverage(campaign, &coverage);
    campaign_census(campaign, &census);
    campaign_free(campaign);
    EXPECT_EQUAL(progress.done, progress.dealt);
    EXPECT_EQUAL(coverage.schedules, progress.done);
    sums->done += progress.done;
    coverage_add(&sums->coverage, &coverage);
    census_add(&sums->census, &census);
}

TEST(shards_add_up_to_the_whole)
{
    static struct sums whole;
    static struct sums parts;
    run(&whole, 0, 1, 2);
    EXPECT_EQUAL(whole.done, SCHEDULES);
    for (uint64_t shard = 0; shard < 4; shard++) {
        const uint64_t before = parts.done;
        run(&parts, shard, 4, shard == 2 ? 3 : 1);
        EXPECT_EQUAL(parts.done - before, shard < SCHEDULES % 4 ? SCHEDULES / 4 + 1 : SCHEDULES / 4);
    }
    EXPECT(whole.census.schedules > 0);
    EXPECT(whole.census.states.sightings > 100);
    EXPECT(memcmp(&whole, &parts, sizeof whole) == 0);
}

TEST(a_shard_may_be_empty)
{
    static struct sums sums;
    run(&sums, 300, 1000, 2);
    EXPECT_EQUAL(sums.done, 0);
}

TEST_MAIN()

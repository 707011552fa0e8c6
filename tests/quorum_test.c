/* Majorities, against the definition: the highest value that more than half of the voters have reached. */
#include "../core/prng.h"
#include "../core/raft.h"

#include "test.h"

static uint64_t reached_by_definition(const uint64_t *values, uint32_t count)
{
    uint64_t best = 0;
    for (uint32_t candidate = 0; candidate < count; candidate++) {
        uint32_t reached = 0;
        for (uint32_t i = 0; i < count; i++)
            reached += values[i] >= values[candidate];
        if (2 * reached > count && values[candidate] > best)
            best = values[candidate];
    }
    return best;
}

TEST(a_majority_is_more_than_half_for_every_number_of_voters)
{
    EXPECT_EQUAL(quorum_reached((const uint64_t[]){ 5 }, 1), 5);
    EXPECT_EQUAL(quorum_reached((const uint64_t[]){ 5, 3 }, 2), 3);
    EXPECT_EQUAL(quorum_reached((const uint64_t[]){ 5, 3, 4 }, 3), 4);
    EXPECT_EQUAL(quorum_reached((const uint64_t[]){ 5, 3, 4, 9 }, 4), 4);
    EXPECT_EQUAL(quorum_reached((const uint64_t[]){ 0, 0, 7, 8, 9 }, 5), 7);
    EXPECT_EQUAL(quorum_reached((const uint64_t[]){ 6, 5, 4, 3, 2, 1 }, 6), 3);
    EXPECT_EQUAL(quorum_reached((const uint64_t[]){ 1, 1, 1, 2, 2, 2, 2 }, 7), 2);
}

TEST(it_agrees_with_the_definition_on_any_values)
{
    struct prng prng;
    prng_seed(&prng, 1);
    for (int round = 0; round < 20000; round++) {
        uint64_t values[VOTERS_MAX];
        const uint32_t count = 1 + (uint32_t)prng_below(&prng, VOTERS_MAX);
        for (uint32_t i = 0; i < count; i++)
            values[i] = prng_chance(&prng, 1, 10) ? UINT64_MAX : prng_below(&prng, 6);
        EXPECT(quorum_reached(values, count) == reached_by_definition(values, count));
    }
}

TEST_MAIN()

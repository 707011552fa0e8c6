/* The random generator: known answers, so that no compiler and no edit changes what a seed means. */
#include "../core/prng.h"

#include "test.h"

/* Reference: the authors' C code of splitmix64 and xoshiro256** run on seed 0. */
TEST(seed_zero_gives_the_reference_sequence)
{
    uint64_t state = 0;
    EXPECT(prng_mix(&state) == 0xe220a8397b1dcdafULL);
    EXPECT(prng_mix(&state) == 0x6e789e6aa1b965f4ULL);

    struct prng prng;
    prng_seed(&prng, 0);
    EXPECT(prng_next(&prng) == 0x99ec5f36cb75f2b4ULL);
    EXPECT(prng_next(&prng) == 0xbf6e1f784956452aULL);
}

TEST(below_reaches_every_value_and_never_the_bound)
{
    struct prng prng;
    prng_seed(&prng, 7);
    uint32_t seen[10] = { 0 };
    for (int i = 0; i < 10000; i++)
        seen[prng_below(&prng, 10)]++;
    for (int i = 0; i < 10; i++)
        EXPECT(seen[i] > 800 && seen[i] < 1200);
    EXPECT_EQUAL(prng_below(&prng, 1), 0);
    EXPECT(prng_below(&prng, UINT64_MAX) < UINT64_MAX);
}

TEST(chance_is_a_ratio)
{
    struct prng prng;
    prng_seed(&prng, 1);
    int hits = 0;
    for (int i = 0; i < 10000; i++)
        hits += prng_chance(&prng, 1, 4);
    EXPECT(hits > 2300 && hits < 2700);
    EXPECT(prng_chance(&prng, 1, 1));
    EXPECT(!prng_chance(&prng, 0, 1));
}

TEST(streams_of_different_seeds_differ)
{
    struct prng a;
    struct prng b;
    prng_seed(&a, 1);
    prng_seed(&b, 2);
    int equal = 0;
    for (int i = 0; i < 100; i++)
        equal += prng_next(&a) == prng_next(&b);
    EXPECT_EQUAL(equal, 0);
}

TEST_MAIN()

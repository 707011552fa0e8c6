/* The sketch of kinds: exact while all fit, mergeable bit for bit, and Good-Turing on distributions that are known. */
#include "../sim/sketch.h"

#include "../core/prng.h"
#include "test.h"

static uint64_t hash_of(uint64_t kind) { return prng_mix(&kind); }

TEST(few_kinds_are_counted_exactly)
{
    static struct sketch sketch;
    for (uint64_t kind = 0; kind < 1000; kind++)
        for (uint64_t time = 0; time <= kind % 3; time++)
            sketch_see(&sketch, hash_of(kind));
    const struct sketch_estimate estimate = sketch_estimate(&sketch);
    EXPECT_EQUAL(sketch.sightings, 1999);
    EXPECT_EQUAL(estimate.kinds, 1000);
    EXPECT_EQUAL(estimate.once, 334);
    EXPECT_EQUAL(estimate.unseen, 334 * 1000000000LL / 1999);
}

TEST(where_nothing_was_seen_all_that_comes_is_new)
{
    static const struct sketch sketch;
    const struct sketch_estimate estimate = sketch_estimate(&sketch);
    EXPECT_EQUAL(estimate.kinds, 0);
    EXPECT_EQUAL(estimate.unseen, 1000000000);
}

TEST(many_kinds_are_estimated)
{
    static struct sketch sketch;
    for (uint64_t kind = 0; kind < 300000; kind++)
        sketch_see(&sketch, hash_of(kind));
    const struct sketch_estimate estimate = sketch_estimate(&sketch);
    EXPECT_EQUAL(sketch.count, SKETCH_ITEMS);
    EXPECT(estimate.kinds > 280000); /* three standard errors are 7 % */
    EXPECT(estimate.kinds < 320000);
}

/* Kind k with a probability in proportion to 1 / (k + 1): many that are rare. */
enum { KINDS = 60000 };
static uint64_t weights[KINDS]; /* cumulated */

static uint64_t draw(struct prng *prng)
{
    const uint64_t at = prng_below(prng, weights[KINDS - 1]);
    uint64_t low = 0;
    for (uint64_t high = KINDS - 1; low < high;) {
        const uint64_t middle = (low + high) / 2;
        if (weights[middle] <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void weigh(void)
{
    uint64_t sum = 0;
    for (uint64_t kind = 0; kind < KINDS; kind++) {
        sum += 1000000000 / (kind + 1);
        weights[kind] = sum;
    }
}

TEST(parts_in_any_order_add_up_to_the_whole)
{
    static struct sketch whole;
    static struct sketch parts[7];
    static struct sketch forwards;
    static struct sketch backwards;
    struct prng prng;
    prng_seed(&prng, 1);
    weigh();
    for (uint64_t n = 0; n < 200000; n++) {
        const uint64_t hash = hash_of(draw(&prng));
        sketch_see(&whole, hash);
        sketch_see(&parts[prng_below(&prng, 1000) % 7], hash);
    }
    for (uint32_t i = 0; i < 7; i++) {
        sketch_add(&forwards, &parts[i]);
        sketch_add(&backwards, &parts[6 - i]);
    }
    EXPECT_EQUAL(whole.count, SKETCH_ITEMS);
    EXPECT(memcmp(&whole, &forwards, sizeof whole) == 0);
    EXPECT(memcmp(&whole, &backwards, sizeof whole) == 0);
}

/* The true share is known here: the weight of all kinds that were never drawn. */
static uint64_t unseen_truth(const bool *seen)
{
    uint64_t unseen = 0;
    for (uint64_t kind = 0; kind < KINDS; kind++)
        if (!seen[kind])
            unseen += weights[kind] - (kind > 0 ? weights[kind - 1] : 0);
    return unseen * 1000 / (weights[KINDS - 1] / 1000000);
}

TEST(good_turing_knows_what_is_still_unseen)
{
    static bool seen[KINDS];
    static struct sketch sketch;
    struct prng prng;
    prng_seed(&prng, 7);
    weigh();
    memset(seen, 0, sizeof seen);
    for (uint64_t n = 1; n <= 600000; n++) {
        const uint64_t kind = draw(&prng);
        seen[kind] = true;
        sketch_see(&sketch, hash_of(kind));
        if (n != 20000 && n != 150000 && n != 600000)
            continue;
        const uint64_t truth = unseen_truth(seen);
        const struct sketch_estimate estimate = sketch_estimate(&sketch);
        printf("after %llu: unseen %llu, estimated %llu parts in 10^9, from %llu\n", (unsigned long long)n,
               (unsigned long long)truth, (unsigned long long)estimate.unseen,
               (unsigned long long)estimate.once_sampled);
        EXPECT(truth > 0);
        EXPECT(estimate.unseen > truth - truth / 5);
        EXPECT(estimate.unseen < truth + truth / 5);
    }
}

/* All kinds have been seen many times: nothing is left. */
TEST(good_turing_comes_to_rest)
{
    static struct sketch sketch;
    for (uint64_t n = 0; n < 50000; n++)
        sketch_see(&sketch, hash_of(n % 5000));
    EXPECT_EQUAL(sketch_estimate(&sketch).unseen, 0);
}

TEST_MAIN()

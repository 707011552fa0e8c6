/* Majorities against a naive oracle, for every configuration of up to five old and five new voters: a quorum is a
 * majority of each half, and any two that can act at the same time have a voter in common (Raft 4.3). */
#include "../core/prng.h"
#include "../core/quorum.h"

#include "test.h"

enum { HALF_MAX = 5, SLOTS = 2 * HALF_MAX };

/* The members of the masks, `old` in the outgoing half. */
static struct configuration configuration_of(uint32_t voters, uint32_t old)
{
    struct configuration configuration = { .id = { .term = 0 } };
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++) {
        uint8_t roles = (voters >> slot & 1) != 0 ? MEMBER_VOTER : 0;
        roles |= (old >> slot & 1) != 0 ? MEMBER_VOTER_OLD : 0;
        if (roles != 0)
            configuration.members[slot] = (struct member){ .id = 100 + slot, .roles = roles };
    }
    EXPECT(configuration_problem(&configuration) == NULL);
    return configuration;
}

/* More than half of those, one by one. */
static bool naive_majority(uint32_t half, uint32_t slots)
{
    int in = 0, of = 0;
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++) {
        of += (half >> slot & 1) != 0;
        in += (half >> slot & 1) != 0 && (slots >> slot & 1) != 0;
    }
    return in > of - in;
}

static bool naive_quorum(uint32_t voters, uint32_t old, uint32_t slots)
{
    return naive_majority(voters, slots) && (old == 0 || naive_majority(old, slots));
}

TEST(a_quorum_is_a_majority_of_each_half)
{
    for (uint32_t voters = 1; voters < 1u << SLOTS; voters++) {
        if (bits_count(voters) > HALF_MAX)
            continue;
        /* The old half: none, or the first ones of the slots from `first` on, so that the halves overlap in all ways.
         */
        for (uint32_t first = 0; first <= SLOTS; first++)
            for (uint32_t count = 1; count <= (first < SLOTS ? HALF_MAX : 1); count++) {
                const uint32_t old = first < SLOTS ? (((1u << count) - 1) << first) & ((1u << SLOTS) - 1) : 0;
                const struct configuration configuration = configuration_of(voters, old);
                for (uint32_t slots = 0; slots < 1u << SLOTS; slots += 1 + (slots * 7 + voters) % 5)
                    EXPECT(quorum_has(&configuration, slots) == naive_quorum(voters, old, slots));
            }
    }
}

/* Is there a pair of quorums, one of each, without a common voter? The smallest quorums are enough: sets that are
 * disjoint have disjoint complements of each other, so one is tried against all that the other leaves. */
static bool can_both_act(const struct configuration *a, const struct configuration *b)
{
    for (uint32_t slots = 0; slots < 1u << SLOTS; slots++)
        if (quorum_has(a, slots) && quorum_has(b, ~slots & ((1u << SLOTS) - 1)))
            return true;
    return false;
}

TEST(any_two_quorums_that_could_both_act_intersect)
{
    uint32_t separate = 0;
    /* Up to symmetry, two halves are told by how many voters are only in one, only in the other, and in both. */
    for (uint32_t only_old = 0; only_old <= HALF_MAX; only_old++)
        for (uint32_t both = 0; both + only_old <= HALF_MAX; both++)
            for (uint32_t only_new = 0; both + only_new <= HALF_MAX; only_new++) {
                if (only_old + both == 0 || only_new + both == 0)
                    continue;
                const uint32_t old = (1u << (only_old + both)) - 1;
                const uint32_t voters = ((1u << (both + only_new)) - 1) << only_old;
                const struct configuration before = configuration_of(old, 0);
                const struct configuration joint = configuration_of(voters, old);
                const struct configuration behind = configuration_of(voters, 0);
                EXPECT(!can_both_act(&before, &before));
                EXPECT(!can_both_act(&joint, &joint));
                EXPECT(!can_both_act(&behind, &behind));
                EXPECT(!can_both_act(&before, &joint));
                EXPECT(!can_both_act(&joint, &behind));
                separate += can_both_act(&before, &behind);
            }
    /* And that is what the joint state is for. */
    EXPECT(separate > 0);
}

TEST(learners_and_empty_configurations_decide_nothing)
{
    struct configuration configuration = configuration_of(7, 0);
    configuration.members[5] = (struct member){ .id = 9, .roles = MEMBER_LEARNER };
    EXPECT(!quorum_has(&configuration, 1u | 1u << 5));
    EXPECT(quorum_has(&configuration, 3));
    const uint64_t values[MEMBERS_MAX] = { 1, 2, 3, 0, 0, 9 };
    EXPECT_EQUAL(quorum_reached(&configuration, values), 2);
    const struct configuration empty = { .id = { .term = 0 } };
    EXPECT(!quorum_has(&empty, UINT32_MAX));
    EXPECT_EQUAL(quorum_reached(&empty, values), 0);
}

TEST(what_a_quorum_has_reached_is_the_highest_value_that_one_holds)
{
    struct prng prng;
    prng_seed(&prng, 1);
    for (int round = 0; round < 20000; round++) {
        uint64_t values[MEMBERS_MAX];
        uint32_t voters = 0, old = 0;
        for (uint32_t i = 0; i < 1 + prng_below(&prng, VOTERS_MAX); i++)
            voters |= 1u << prng_below(&prng, MEMBERS_MAX);
        for (uint32_t i = 0; prng_chance(&prng, 1, 2) && i < VOTERS_MAX; i++)
            old |= 1u << prng_below(&prng, MEMBERS_MAX);
        for (uint32_t i = 0; i < MEMBERS_MAX; i++)
            values[i] = prng_chance(&prng, 1, 10) ? UINT64_MAX : prng_below(&prng, 6);
        const struct configuration configuration = configuration_of(voters, old);
        uint64_t best = 0;
        for (uint32_t candidate = 0; candidate < MEMBERS_MAX; candidate++) {
            uint32_t holders = 0;
            for (uint32_t i = 0; i < MEMBERS_MAX; i++)
                holders |= values[i] >= values[candidate] ? 1u << i : 0;
            if (naive_quorum(voters, old, holders) && values[candidate] > best)
                best = values[candidate];
        }
        EXPECT(quorum_reached(&configuration, values) == best);
    }
}

TEST_MAIN()

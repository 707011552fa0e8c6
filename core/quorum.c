/* Majorities of one half, and of both; see quorum.h. */
#include "quorum.h"

static bool half_has(uint32_t voters, uint32_t slots) { return 2 * bits_count(voters & slots) > bits_count(voters); }

bool quorum_has(const struct configuration *configuration, uint32_t slots)
{
    const uint32_t old = configuration_voters_old(configuration);
    return half_has(configuration_voters(configuration), slots) && (old == 0 || half_has(old, slots));
}

static uint64_t half_reached(uint32_t voters, const uint64_t *values)
{
    uint64_t sorted[VOTERS_MAX];
    uint32_t count = 0;
    for (; voters != 0; voters &= voters - 1) {
        const uint64_t value = values[__builtin_ctz(voters)];
        ASSERT(count < VOTERS_MAX);
        uint32_t at = count++;
        for (; at > 0 && sorted[at - 1] < value; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = value;
    }
    return count > 0 ? sorted[count / 2] : 0; /* descending: count / 2 + 1 values are at least this */
}

uint64_t quorum_reached(const struct configuration *configuration, const uint64_t *values)
{
    const uint32_t old = configuration_voters_old(configuration);
    const uint64_t reached = half_reached(configuration_voters(configuration), values);
    return old == 0 ? reached : u64_min(reached, half_reached(old, values));
}

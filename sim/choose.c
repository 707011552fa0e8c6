/* Streams of choices, derived from (seed, kind, who); integers only. */
#include "choose.h"

#include "../core/prng.h"

void choose_reset(struct choose *choose, uint64_t seed)
{
    choose->seed = seed;
    choose->epoch++;
}

static uint64_t choose_next(struct choose *choose, enum choose_kind kind, uint32_t who)
{
    ASSERT(kind < CHOOSE_KINDS);
    ASSERT(who < CHOOSE_WHO_MAX);
    struct choose_stream *stream = &choose->streams[who][kind];
    if (stream->epoch != choose->epoch) {
        uint64_t name = ((uint64_t)kind << 32) | who;
        uint64_t state = choose->seed;
        stream->epoch = choose->epoch;
        stream->state = prng_mix(&state) ^ prng_mix(&name);
    }
    return prng_mix(&stream->state);
}

uint64_t choose(struct choose *choose, enum choose_kind kind, uint32_t who, uint64_t n)
{
    ASSERT(n > 0);
    const uint64_t word = choose_next(choose, kind, who);
    return n <= UINT32_MAX ? ((word >> 32) * n) >> 32 : word % n;
}

bool choose_chance(struct choose *chooser, enum choose_kind kind, uint32_t who, uint32_t per_million)
{
    if (per_million == 0)
        return false;
    ASSERT(per_million <= PER_MILLION);
    return choose(chooser, kind, who, PER_MILLION) >= PER_MILLION - per_million;
}

uint64_t choose_between(struct choose *chooser, enum choose_kind kind, uint32_t who, uint64_t low, uint64_t high)
{
    ASSERT(low <= high);
    return low + choose(chooser, kind, who, high - low + 1);
}

uint64_t choose_octave(struct choose *chooser, enum choose_kind kind, uint32_t who, uint64_t low, uint64_t high)
{
    ASSERT(low > 0);
    ASSERT(low <= high);
    uint32_t octaves = 1;
    while (octaves < 64 && (high >> octaves) >= low)
        octaves++;
    const uint64_t from = low << choose(chooser, kind, who, octaves);
    return choose_between(chooser, kind, who, from, u64_min(high, 2 * from - 1));
}

/* -ln(u) for u = 2^-zeros * (1 + fraction) / 2 is about (zeros + 1 - fraction) * ln 2; all in 1/65536. */
uint64_t choose_exponential(struct choose *chooser, enum choose_kind kind, uint32_t who, uint64_t mean)
{
    const uint64_t ln2 = 45426;
    const uint64_t word = choose_next(chooser, kind, who) | 1;
    const uint64_t zeros = (uint64_t)__builtin_clzll(word);
    const uint64_t fraction = zeros < 47 ? (word >> (47 - zeros)) & 0xffff : 0;
    const uint64_t quantile = ((((zeros + 1) << 16) - fraction) * ln2) >> 16;
    ASSERT(mean < UINT64_MAX >> 24);
    return (mean * quantile) >> 16;
}

uint64_t choose_heavy(struct choose *chooser, enum choose_kind kind, uint32_t who, uint64_t mean)
{
    const uint64_t word = choose_next(chooser, kind, who) | 1;
    const uint64_t zeros = u64_min((uint64_t)__builtin_clzll(word), 8);
    ASSERT(mean < UINT64_MAX >> 24);
    const uint64_t base = mean << zeros;
    return base / 4 + ((base * (word & 0xffff)) >> 17);
}

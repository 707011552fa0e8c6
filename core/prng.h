/* xoshiro256** (Blackman, Vigna 2018), integers only: the same numbers on every compiler and machine.
 * Its state lives in the region of whoever draws. */
#ifndef WW_PRNG_H
#define WW_PRNG_H

#include "base.h"

struct prng {
    uint64_t s[4];
};

static inline uint64_t prng_rotate(uint64_t value, int bits) { return (value << bits) | (value >> (64 - bits)); }

/* splitmix64: turns any seed, 0 included, into a well-mixed state. */
static inline uint64_t prng_mix(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

static inline void prng_seed(struct prng *prng, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        prng->s[i] = prng_mix(&seed);
}

static inline uint64_t prng_next(struct prng *prng)
{
    uint64_t *s = prng->s;
    const uint64_t result = prng_rotate(s[1] * 5, 7) * 9;
    const uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = prng_rotate(s[3], 45);
    return result;
}

/* Uniform in [0, bound), by multiplication (bias below 2^-32 for bounds below 2^32). bound > 0. */
static inline uint64_t prng_below(struct prng *prng, uint64_t bound)
{
    ASSERT(bound > 0);
    if (bound <= UINT32_MAX)
        return ((prng_next(prng) >> 32) * bound) >> 32;
    return prng_next(prng) % bound;
}

/* True numerator times in denominator. */
static inline bool prng_chance(struct prng *prng, uint32_t numerator, uint32_t denominator)
{
    return prng_below(prng, denominator) < numerator;
}

#endif

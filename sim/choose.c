/* Streams of choices, derived from (seed, kind, who); integers only. With a tracer, what it says. */
#include "choose.h"

#include "../core/prng.h"
#include "tracer.h"

static const uint8_t site_kinds[SITES] = {
#define SITE(name, kind, subject, head, unit, text) CHOOSE_##kind,
#include "choose_sites.def"
#undef SITE
};

void choose_reset(struct choose *choose, uint64_t seed)
{
    choose->seed = seed;
    choose->epoch++;
    choose->tracer = NULL;
    choose->replays = false;
}

static uint64_t choose_next(struct choose *choose, enum choose_site site, uint32_t who)
{
    ASSERT(site < SITES);
    ASSERT(who < CHOOSE_WHO_MAX);
    const enum choose_kind kind = (enum choose_kind)site_kinds[site];
    struct choose_stream *stream = &choose->streams[who][kind];
    if (stream->epoch != choose->epoch) {
        uint64_t name = ((uint64_t)kind << 32) | who;
        uint64_t state = choose->seed;
        stream->epoch = choose->epoch;
        stream->state = prng_mix(&state) ^ prng_mix(&name);
    }
    return prng_mix(&stream->state);
}

static uint64_t draw_below(struct choose *choose, enum choose_site site, uint32_t who, uint64_t n)
{
    const uint64_t word = choose_next(choose, site, who);
    return n <= UINT32_MAX ? ((word >> 32) * n) >> 32 : word % n;
}

uint64_t choose(struct choose *choose, enum choose_site site, uint32_t who, uint64_t n)
{
    ASSERT(n > 0);
    if (choose->tracer == NULL)
        return draw_below(choose, site, who, n);
    const uint64_t value = choose_draws(choose) ? draw_below(choose, site, who, n) : 0;
    return u64_min(choose_note_traced(choose, site, value, 0), n - 1);
}

bool choose_chance(struct choose *choose, enum choose_site site, uint32_t who, uint32_t per_million)
{
    ASSERT(per_million <= PER_MILLION);
    if (choose->replays)
        return choose_note_traced(choose, site, 0, 0) != 0;
    if (per_million == 0)
        return choose_note(choose, site, 0, 0) != 0;
    const bool value = draw_below(choose, site, who, PER_MILLION) >= PER_MILLION - per_million;
    return choose_note(choose, site, value, 0) != 0;
}

uint64_t choose_between(struct choose *choose, enum choose_site site, uint32_t who, uint64_t low, uint64_t high)
{
    ASSERT(low <= high);
    if (choose->tracer == NULL)
        return low + draw_below(choose, site, who, high - low + 1);
    const uint64_t value = choose_draws(choose) ? low + draw_below(choose, site, who, high - low + 1) : low;
    return u64_max(low, u64_min(choose_note_traced(choose, site, value, low), high));
}

static uint64_t draw_octave(struct choose *choose, enum choose_site site, uint32_t who, uint64_t low, uint64_t high)
{
    uint32_t octaves = 1;
    while (octaves < 64 && (high >> octaves) >= low)
        octaves++;
    const uint64_t from = low << draw_below(choose, site, who, octaves);
    return from + draw_below(choose, site, who, u64_min(high, 2 * from - 1) - from + 1);
}

uint64_t choose_octave(struct choose *choose, enum choose_site site, uint32_t who, uint64_t low, uint64_t high)
{
    ASSERT(low > 0);
    ASSERT(low <= high);
    if (choose->tracer == NULL)
        return draw_octave(choose, site, who, low, high);
    const uint64_t value = choose_draws(choose) ? draw_octave(choose, site, who, low, high) : low;
    return u64_max(low, u64_min(choose_note_traced(choose, site, value, low), high));
}

/* -ln(u) for u = 2^-zeros * (1 + fraction) / 2 is about (zeros + 1 - fraction) * ln 2; all in 1/65536. */
static uint64_t draw_exponential(struct choose *choose, enum choose_site site, uint32_t who, uint64_t mean)
{
    const uint64_t ln2 = 45426;
    const uint64_t word = choose_next(choose, site, who) | 1;
    const uint64_t zeros = (uint64_t)__builtin_clzll(word);
    const uint64_t fraction = zeros < 47 ? (word >> (47 - zeros)) & 0xffff : 0;
    const uint64_t quantile = ((((zeros + 1) << 16) - fraction) * ln2) >> 16;
    ASSERT(mean < UINT64_MAX >> 24);
    return (mean * quantile) >> 16;
}

uint64_t choose_exponential(struct choose *choose, enum choose_site site, uint32_t who, uint64_t mean)
{
    if (choose->tracer == NULL)
        return draw_exponential(choose, site, who, mean);
    const uint64_t value = choose_draws(choose) ? draw_exponential(choose, site, who, mean) : mean;
    return u64_min(choose_note_traced(choose, site, value, mean), UINT64_MAX >> 16);
}

static uint64_t draw_heavy(struct choose *choose, enum choose_site site, uint32_t who, uint64_t mean)
{
    const uint64_t word = choose_next(choose, site, who) | 1;
    const uint64_t zeros = u64_min((uint64_t)__builtin_clzll(word), 8);
    ASSERT(mean < UINT64_MAX >> 24);
    const uint64_t base = mean << zeros;
    return base / 4 + ((base * (word & 0xffff)) >> 17);
}

uint64_t choose_heavy(struct choose *choose, enum choose_site site, uint32_t who, uint64_t mean)
{
    if (choose->tracer == NULL)
        return draw_heavy(choose, site, who, mean);
    const uint64_t value = choose_draws(choose) ? draw_heavy(choose, site, who, mean) : mean;
    return u64_min(choose_note_traced(choose, site, value, mean), UINT64_MAX >> 16);
}

uint64_t choose_note_traced(struct choose *choose, enum choose_site site, uint64_t value, uint64_t tame)
{
    return tracer_note(choose->tracer, site, value, tame);
}

uint32_t choose_subject_traced(struct choose *choose, enum choose_subject subject, uint32_t who, uint32_t class)
{
    return tracer_subject(choose->tracer, subject, who, class);
}

void choose_resume_traced(struct choose *choose, enum choose_subject subject, uint32_t who, uint32_t class,
                          uint32_t ordinal)
{
    tracer_resume(choose->tracer, subject, who, class, ordinal);
}

uint64_t choose_when(struct choose *choose, enum choose_site site, uint32_t who)
{
    ASSERT(choose->replays);
    return tracer_when(choose->tracer, site, who);
}

void choose_plan_traced(struct choose *choose, enum choose_site site, uint32_t who, uint64_t at_ns)
{
    tracer_plan(choose->tracer, site, who, at_ns);
}

void choose_part_traced(struct choose *choose, uint32_t part) { tracer_part(choose->tracer, part); }

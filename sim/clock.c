/* Clocks of nodes. */
#include "clock.h"

enum { HEALED_PPM_MAX = 20000 };

void clock_start(struct clock *clock, struct scene *scene, uint32_t node)
{
    const struct swarm *swarm = &scene->swarm;
    const uint64_t arbitrary_ns =
        choose_draws(&scene->choose) ? choose_octave(&scene->choose, SITE_CLOCK_DRAW, node, 1, 1ULL << 60) : 0;
    const uint64_t shown_ns = clock->local_ns != 0 ? clock_read(clock, scene->now_ns) : scene->now_ns + 1;
    const bool first = clock->local_ns == 0;
    clock->untimed = swarm->untimed && !scene->healed;
    clock->rate_ppm = swarm->drift_ppm[node];
    clock->true_ns = scene->now_ns;
    clock->local_ns = choose_note(&scene->choose, SITE_CLOCK, swarm->clock_restart ? arbitrary_ns : shown_ns, shown_ns);
    clock->grain_ns = swarm->tick_ns;
    clock->phase_ns = swarm->tick_ns > 0 ? choose(&scene->choose, SITE_PHASE, node, swarm->tick_ns) : 0;
    if (swarm->clock_restart && !first)
        coverage_fire(&scene->coverage, FAULT_CLOCK_RESTART);
    if (first && clock->rate_ppm != 0)
        coverage_fire(&scene->coverage, FAULT_DRIFT);
    if (scene->healed)
        clock_heal(clock, scene->now_ns, 0);
}

/* elapsed * ppm / 10^6 without overflow for any elapsed below 2^43 seconds of nanoseconds. */
static int64_t clock_drift(uint64_t elapsed_ns, int32_t ppm)
{
    const int64_t millions = (int64_t)(elapsed_ns / PER_MILLION);
    const int64_t rest = (int64_t)(elapsed_ns % PER_MILLION);
    return millions * ppm + rest * ppm / PER_MILLION;
}

uint64_t clock_read(const struct clock *clock, uint64_t now_ns)
{
    ASSERT(now_ns >= clock->true_ns);
    if (clock->untimed)
        return clock->local_ns;
    const uint64_t elapsed_ns = now_ns - clock->true_ns;
    return clock->local_ns + (uint64_t)((int64_t)elapsed_ns + clock_drift(elapsed_ns, clock->rate_ppm));
}

static void clock_set(struct clock *clock, uint64_t now_ns, uint64_t local_ns)
{
    clock->local_ns = local_ns;
    clock->true_ns = now_ns;
}

void clock_jump_forward(struct clock *clock, uint64_t now_ns, uint64_t by_ns)
{
    clock_set(clock, now_ns, clock_read(clock, now_ns) + by_ns);
}

void clock_jump_backward(struct clock *clock, uint64_t now_ns, uint64_t by_ns)
{
    const uint64_t local_ns = clock_read(clock, now_ns);
    clock_set(clock, now_ns, local_ns > by_ns ? local_ns - by_ns : 1);
}

uint64_t clock_due(const struct clock *clock, uint64_t now_ns, uint64_t deadline_ns)
{
    ASSERT(!clock->untimed);
    const uint64_t local_ns = clock_read(clock, now_ns);
    if (deadline_ns <= local_ns)
        return now_ns;
    const uint64_t wait_ns = u64_min(deadline_ns - local_ns, 1ULL << 50);
    /* A clock at rate r needs wait / r; one step of Newton from the other side is exact enough for a timer. */
    const int64_t scale = PER_MILLION + clock->rate_ppm;
    ASSERT(scale > 0);
    uint64_t due_ns = now_ns + wait_ns / (uint64_t)scale * PER_MILLION
                      + wait_ns % (uint64_t)scale * PER_MILLION / (uint64_t)scale + 1;
    if (clock->grain_ns > 0) {
        const uint64_t late_ns = (due_ns + clock->phase_ns) % clock->grain_ns;
        due_ns += late_ns > 0 ? clock->grain_ns - late_ns : 0;
    }
    return due_ns;
}

void clock_fire(struct clock *clock, uint64_t deadline_ns)
{
    ASSERT(clock->untimed);
    clock->local_ns = u64_max(clock->local_ns, deadline_ns);
}

void clock_heal(struct clock *clock, uint64_t now_ns, uint64_t shown_ns)
{
    clock_set(clock, now_ns, u64_max(clock_read(clock, now_ns), shown_ns));
    clock->untimed = false;
    if (clock->rate_ppm > HEALED_PPM_MAX)
        clock->rate_ppm = HEALED_PPM_MAX;
    if (clock->rate_ppm < -HEALED_PPM_MAX)
        clock->rate_ppm = -HEALED_PPM_MAX;
}

/* raftsim bench: how fast schedules are on one core, and where the time goes.
 *
 * The same schedules twice: as they are, for the rates, and with a clock in them, for the shares. What reading the
 * clock costs is taken off. Processor time, so that a busy machine disturbs little. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "../sim/world.h"
#include "raftsim.h"

struct bench {
    struct coverage sum;
    uint64_t spent_ns;
    uint64_t parts_ns[METER_KINDS]; /* of spent_ns */
};

static const char *const part_texts[METER_KINDS] = {
    [METER_REST] = "rest", [METER_CORE] = "core",       [METER_CHECK] = "checkers",
    [METER_DISK] = "disk", [METER_NETWORK] = "network",
};

static uint64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t ticks(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
#endif
}

/* What one turn of the watch costs, in its own unit, times 1024. */
static uint64_t turn_cost(void)
{
    enum { TURNS = 1 << 20 };
    struct meter meter = { .now = ticks };
    const uint64_t begin = ticks();
    for (uint32_t i = 0; i < TURNS; i++)
        meter_switch(&meter, i % 2 == 0 ? METER_CORE : METER_REST);
    return (ticks() - begin) / (TURNS / 1024);
}

/* False: one failed, or memory ran out; code says how. */
static bool bench_run(struct world *world, const struct options *options, struct coverage *sum, int *code)
{
    coverage_reset(sum);
    for (uint64_t n = 0; n < options->count; n++) {
        struct world_result result;
        const uint64_t seed = options->seed + n;
        const struct world_options world_options = {
            .seed = seed,
            .profile = options->profile,
            .search = campaign_searches(seed),
        };
        if (!world_run(world, &world_options, &result)) {
            fprintf(stderr, "raftsim: out of memory\n");
            *code = EXIT_INTERNAL;
            return false;
        }
        if (result.failure != NULL) {
            fprintf(stderr, "raftsim: seed %" PRIu64 ": %s: %s\n", seed, check_kind_text(result.failure->kind),
                    result.failure->text);
            *code = (int)exit_code_of(outcome_of(result.failure));
            return false;
        }
        coverage_add(sum, &world->scene.coverage);
    }
    return true;
}

static void bench_divide(struct bench *bench, const struct meter *meter)
{
    const uint64_t cost = turn_cost();
    uint64_t parts[METER_KINDS], all = 0;
    for (uint32_t kind = 0; kind < METER_KINDS; kind++) {
        const uint64_t clock = meter->turns[kind] * cost / 1024;
        parts[kind] = meter->spent[kind] - u64_min(meter->spent[kind], clock);
        all += parts[kind];
    }
    for (uint32_t kind = 0; kind < METER_KINDS; kind++)
        bench->parts_ns[kind] = (uint64_t)((double)parts[kind] / (double)u64_max(all, 1) * (double)bench->spent_ns);
}

static void bench_print(const struct options *options, const struct bench *bench)
{
    const double seconds = (double)u64_max(bench->spent_ns, 1) / 1e9;
    const struct coverage *sum = &bench->sum;
    printf("%" PRIu64 " schedules of %s from seed %" PRIu64 " on, one core, %.2f s of processor time\n", sum->schedules,
           profile_text(options->profile), options->seed, seconds);
    printf("  schedules/s            %10.0f\n", (double)sum->schedules / seconds);
    printf("  core inputs/s          %10.0f\n", (double)sum->inputs / seconds);
    printf("  simulated s per s      %10.0f\n", (double)sum->simulated_ns / 1e9 / seconds);
    printf("  ns per replica_step    %10.0f\n", (double)bench->parts_ns[METER_CORE] / (double)sum->inputs);
    printf("  ns per input, in all   %10.0f\n\n", (double)bench->spent_ns / (double)sum->inputs);
    printf("  where it goes     share   ns per input\n");
    for (uint32_t kind = 1; kind <= METER_KINDS; kind++) {
        const uint64_t part_ns = bench->parts_ns[kind % METER_KINDS];
        printf("  %-16s %5.1f %%   %12.0f\n", part_texts[kind % METER_KINDS],
               100 * (double)part_ns / (double)u64_max(bench->spent_ns, 1), (double)part_ns / (double)sum->inputs);
    }
}

static void bench_print_json(const struct options *options, const struct bench *bench)
{
    printf("{\"profile\":\"%s\",\"seed\":%" PRIu64 ",\"schedules\":%" PRIu64 ",\"inputs\":%" PRIu64
           ",\"simulated_ns\":%" PRIu64 ",\"cpu_ns\":%" PRIu64,
           profile_text(options->profile), options->seed, bench->sum.schedules, bench->sum.inputs,
           bench->sum.simulated_ns, bench->spent_ns);
    for (uint32_t kind = 0; kind < METER_KINDS; kind++)
        printf(",\"%s_ns\":%" PRIu64, part_texts[kind], bench->parts_ns[kind]);
    printf("}\n");
}

int raftsim_bench(const struct options *options)
{
    static struct bench bench;
    static struct coverage again;
    int code = EXIT_OK;
    struct world *world = world_new();
    if (world == NULL) {
        fprintf(stderr, "raftsim: out of memory\n");
        return EXIT_INTERNAL;
    }
    const uint64_t begin_ns = cpu_ns();
    bool whole = bench_run(world, options, &bench.sum, &code);
    bench.spent_ns = cpu_ns() - begin_ns;
    struct meter *meter = &world->scene.meter;
    meter->now = ticks;
    meter->since = ticks();
    whole = whole && bench_run(world, options, &again, &code);
    meter_switch(meter, METER_REST);
    bench_divide(&bench, meter);
    if (whole && options->json)
        bench_print_json(options, &bench);
    else if (whole)
        bench_print(options, &bench);
    world_free(world);
    return code;
}

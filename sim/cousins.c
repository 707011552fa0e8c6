/* Which life is shrunk. */
#include "cousins.h"

enum {
    SEEDS_MAX = 20000,    /* behind the first */
    SHORTEST_OF = 8,      /* that fail alike, ... */
    SHORTEST_SEEDS = 300, /* ... among so many: what takes few steps to fail takes little time to shrink */
    ATTEMPTS_EACH = 1000, /* until it is known which one gets small */
};

static bool is_over(const struct shrink_options *options)
{
    return options->over != NULL && options->over(options->context);
}

static void swap(struct trace *a, struct trace *b)
{
    const struct trace other = *a;
    *a = *b;
    *b = other;
}

/* Lives seed n behind the first. True: it fails alike. early: before it heals, so no life need go on behind that. */
static bool fails_alike(struct trace_runner *runner, const struct trace_ending *goal, bool early, uint64_t seed,
                        enum profile profile, struct trace *to)
{
    runner->safety_only = early;
    const bool lived = trace_record(runner, seed, profile, to);
    runner->safety_only = false;
    return lived && trace_fails_alike(&to->ending, goal);
}

static bool fails_early(struct trace_runner *runner, const struct trace *trace)
{
    struct trace_outcome outcome;
    return trace_replay(runner, trace, NULL, MATCH_EXACT, NULL, &outcome) && outcome.ending.steps > 0 && !outcome.healed
           && trace_fails_alike(&outcome.ending, &trace->ending);
}

/* True: a life among the next ones fails alike in fewer steps; it is in `shorter`, and *seed the last one lived. */
static bool find_shorter(struct trace_runner *runner, const struct trace *trace, bool early,
                         const struct shrink_options *options, uint64_t *seed, struct trace *shorter)
{
    struct trace next = { .lost = false };
    uint64_t steps = trace->ending.steps;
    for (uint32_t n = 0, alike = 0; n < SHORTEST_SEEDS && alike < SHORTEST_OF && !is_over(options); n++) {
        if (!fails_alike(runner, &trace->ending, early, ++*seed, trace->swarm.profile, &next))
            continue;
        alike++;
        if (next.ending.steps >= steps)
            continue;
        steps = next.ending.steps;
        swap(shorter, &next);
    }
    trace_free(&next);
    return steps < trace->ending.steps;
}

/* True: it got smaller than the best, and took its place. */
static bool shrink_cousin(struct trace_runner *runner, struct trace *cousin, struct trace *best,
                          const struct shrink_options *options, struct shrink_report *report)
{
    struct shrink_report its;
    if (!shrink_trace(runner, cousin, options, &its))
        return false;
    its.attempts += report->attempts;
    report->attempts = its.attempts;
    if (cousin->count >= best->count)
        return false;
    swap(cousin, best);
    *report = its;
    return true;
}

/* Cut short so far; from here on it goes on as far as it gets. */
static bool shrink_on(struct trace_runner *runner, struct trace *trace, const struct shrink_options *options,
                      struct shrink_report *report)
{
    struct shrink_report rest;
    const bool lives = shrink_trace(runner, trace, options, &rest);
    report->after = rest.after;
    report->attempts += rest.attempts;
    report->finished = rest.finished;
    return lives;
}

bool cousins_shrink(struct trace_runner *runner, struct trace *trace, const struct shrink_options *options,
                    struct shrink_report *report)
{
    const struct trace_ending goal = trace->ending;
    const enum profile profile = trace->swarm.profile;
    const uint64_t last = trace->swarm.seed + SEEDS_MAX;
    uint64_t seed = trace->swarm.seed;
    struct trace cousin = { .lost = false };
    struct shrink_options brief = *options;
    brief.attempts_max = options->attempts_max == 0 ? ATTEMPTS_EACH : u32_min(options->attempts_max, ATTEMPTS_EACH);
    *report = (struct shrink_report){ .before = trace->count };
    const bool early = fails_early(runner, trace);
    bool good = find_shorter(runner, trace, early, options, &seed, &cousin)
                && shrink_cousin(runner, &cousin, trace, &brief, report);
    if (!good)
        good = shrink_trace(runner, trace, &brief, report);
    while (good && seed < last && trace->count > COUSINS_SMALL && !is_over(options))
        if (fails_alike(runner, &goal, early, ++seed, profile, &cousin))
            shrink_cousin(runner, &cousin, trace, &brief, report);
    trace_free(&cousin);
    if (good && !report->finished && !is_over(options))
        good = shrink_on(runner, trace, options, report);
    return good;
}

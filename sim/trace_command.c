/* Replaying and recording, for a user. */
#include "trace_command.h"

#include <inttypes.h>
#include <string.h>

#include "cousins.h"
#include "explore.h"
#include "trace_file.h"
#include "transcript.h"
#include "trap.h"

static enum trace_verdict not_loaded(enum trace_loaded loaded)
{
    ASSERT(loaded != TRACE_LOADED);
    return loaded == TRACE_UNREADABLE ? VERDICT_INTERNAL : VERDICT_USAGE;
}

static enum trace_verdict no_memory(void)
{
    fprintf(stderr, "raftsim: out of memory\n");
    return VERDICT_INTERNAL;
}

static void print_skipped(uint32_t skipped, uint32_t count, const char *what)
{
    printf("%" PRIu32 " of %" PRIu32 " %s did not apply\n", skipped, count, what);
    if (skipped * 5 > count)
        fprintf(stderr, "raftsim: warning: more than 20 %% of the trace did not apply; record it anew\n");
}

/* Strictly, a decision that nothing asks for is none that this life has made. False: there is none. */
static bool print_unmet(const struct trace *trace, const struct tracer *tracer)
{
    for (uint32_t i = 0; i < trace->count; i++) {
        if (tracer_met(tracer, i))
            continue;
        printf("differs: nothing here asks for this decision: ");
        trace_print_decision(trace, i, stdout);
        return true;
    }
    return false;
}

/* The first thing that is not as the trace says; false: nothing. */
static bool print_difference(const struct trace *trace, const struct tracer *tracer,
                             const struct trace_outcome *outcome)
{
    const struct trace_ending *then = &trace->ending;
    const struct trace_ending *now = &outcome->ending;
    const struct tracer_difference *first = &outcome->difference;
    const char *class = trace_class_text(first->class);
    if (first->step != 0)
        printf("differs first at step %" PRIu64 ": node n%" PRIu32 ", %s: another digest\n", first->step, first->node,
               class != NULL ? class : "an unknown frame");
    else if (now->steps != then->steps)
        printf("differs: ends after %" PRIu64 " steps, not %" PRIu64 "\n", now->steps, then->steps);
    else if (now->digest != then->digest)
        printf("differs: the digest at the end is %016" PRIx64 ", not %016" PRIx64 "\n", now->digest, then->digest);
    else if (strcmp(now->outcome, then->outcome) != 0 || strcmp(now->checker, then->checker) != 0)
        printf("differs: ends with %s %s, not %s %s\n", now->outcome, now->checker, then->outcome, then->checker);
    else
        return print_unmet(trace, tracer);
    return true;
}

static void print_life(const struct trace_command *command, const struct world *world,
                       const struct trace_ending *ending)
{
    if (!command->look->options.log && !command->quiet)
        swarm_print(&world->scene.swarm, stdout);
    if (!command->quiet)
        transcript_nodes(world, stdout);
    printf("%s: %s after %" PRIu64 " steps, %" PRIu64 " calls, %" PRIu64 " ns; digest %016" PRIx64 "\n", command->path,
           ending->outcome, ending->steps, world->scene.coverage.calls, world->scene.now_ns, ending->digest);
    if (ending->checker[0] != '\0')
        printf("%s: %s\n", ending->checker, ending->text);
}

static bool print_explored_difference(const struct trace *trace, const struct explore_result *result)
{
    const struct trace_ending *then = &trace->ending;
    const char *checker = result->checker != NULL ? result->checker : "";
    if (result->actions != then->steps || result->skipped > 0)
        printf("differs: takes %" PRIu32 " actions, not %" PRIu64 "\n", result->actions, then->steps);
    else if (result->digest != then->digest)
        printf("differs: the digest at the end is %016" PRIx64 ", not %016" PRIx64 "\n", result->digest, then->digest);
    else if (strcmp(checker, then->checker) != 0)
        printf("differs: ends with %s, not %s\n", checker, then->checker);
    else
        return false;
    return true;
}

static enum trace_verdict print_explored(const struct trace_command *command, const struct trace *trace, bool strict,
                                         const struct explore_result *result, enum outcome *end)
{
    *end = explore_outcome(result);
    printf("%s: %s after %" PRIu32 " actions; digest %016" PRIx64 "\n", command->path, outcome_text(*end),
           result->actions, result->digest);
    if (result->checker != NULL)
        printf("%s: %s\n", result->checker, result->text);
    if (!strict)
        print_skipped(result->skipped, trace->action_count, "actions");
    return strict && print_explored_difference(trace, result) ? VERDICT_DIFFERENT : VERDICT_LIVED;
}

/* The explorer's actions are taken by its own engine: there is no world, and no seed. */
static enum trace_verdict replay_explored(const struct trace_command *command, const struct trace *trace, bool strict,
                                          enum outcome *end)
{
    const bool lines = !command->look->options.log && !command->quiet;
    const struct explore_replay replay = {
        .trace = trace,
        .observer = look_observer(command->look),
        .log = lines ? stdout : NULL,
        .skipped = stdout,
    };
    struct explore_result result;
    struct explore *explore = explore_new(&trace->bounds);
    if (explore == NULL)
        return no_memory();
    explore_replay(explore, &replay, &result);
    explore_free(explore);
    if (result.verdict == EXPLORE_MEMORY)
        return no_memory();
    const bool shown = look_end(command->look, command->path);
    if (look_stopped(command->look))
        return shown ? VERDICT_SEEN : VERDICT_INTERNAL;
    return print_explored(command, trace, strict, &result, end);
}

static enum trace_verdict replay_trace(const struct trace_command *command, struct trace_runner *runner,
                                       const struct trace *trace, enum outcome *end)
{
    struct trace_outcome outcome;
    const bool same = trace->build == command->build && trace->ending.digested;
    const bool strict = command->mode == MODE_BY_BUILD ? same : command->mode == MODE_STRICT;
    if (strict && !trace->ending.digested) {
        fprintf(stderr, "raftsim: %s: no digests, so a strict replay means nothing\n", command->path);
        return VERDICT_USAGE;
    }
    if (trace->explored)
        return replay_explored(command, trace, strict, end);
    runner->observer = look_observer(command->look);
    if (!trace_replay(runner, trace, NULL, strict ? MATCH_EXACT : MATCH_LENIENT, NULL, &outcome))
        return no_memory();
    const bool shown = look_end(command->look, command->path);
    if (look_stopped(command->look))
        return shown ? VERDICT_SEEN : VERDICT_INTERNAL;
    *end = outcome_of(check_result(runner->world->scene.check));
    if (strcmp(outcome.ending.outcome, outcome_text(OUTCOME_CRASHED)) == 0)
        *end = OUTCOME_CRASHED;
    print_life(command, runner->world, &outcome.ending);
    if (!strict)
        print_skipped(outcome.skipped, trace->count, "decisions");
    return strict && print_difference(trace, runner->tracer, &outcome) ? VERDICT_DIFFERENT : VERDICT_LIVED;
}

enum trace_verdict trace_command_replay(const struct trace_command *command, enum outcome *outcome)
{
    struct trace_runner runner;
    struct trace trace = { .lost = false };
    if (!trace_runner_init(&runner))
        return no_memory();
    command->watch(runner.world);
    trap_signals(TRACE_STILL_MS);
    const enum trace_loaded loaded = trace_load(&trace, command->path);
    const enum trace_verdict verdict =
        loaded == TRACE_LOADED ? replay_trace(command, &runner, &trace, outcome) : not_loaded(loaded);
    trace_free(&trace);
    command->watch(NULL);
    trace_runner_free(&runner);
    return verdict;
}

enum trace_verdict trace_command_record(const struct trace_command *command, uint64_t seed, enum profile profile)
{
    struct trace_runner runner;
    struct trace trace = { .lost = false };
    enum trace_verdict verdict = VERDICT_INTERNAL;
    if (!trace_runner_init(&runner))
        return no_memory();
    command->watch(runner.world);
    runner.apart = true;
    if (!trace_record(&runner, seed, profile, &trace)) {
        verdict = no_memory();
    } else if (!trace.ending.digested) {
        fprintf(stderr, "raftsim: nothing was written down: %s\n", trace.ending.text);
    } else {
        trace.build = command->build;
        if (trace_save(&trace, command->path, TRACE_WHOLE))
            verdict = VERDICT_LIVED;
    }
    trace_free(&trace);
    command->watch(NULL);
    trace_runner_free(&runner);
    return verdict;
}

static enum trace_verdict shrink_into(const struct trace_command *command, struct trace_runner *runner,
                                      struct trace *trace, const struct shrink_options *options,
                                      struct shrink_report *report)
{
    if (trace->explored) {
        fprintf(stderr, "raftsim: actions of raftsim explore: no way to what they lead to has fewer\n");
        return VERDICT_USAGE;
    }
    if (trace->ending.checker[0] == '\0') {
        fprintf(stderr, "raftsim: it passes, so there is nothing to shrink\n");
        return VERDICT_PASSED;
    }
    runner->apart = trace_broke_off(&trace->ending);
    const uint64_t seed = trace->swarm.seed;
    if (!cousins_shrink(runner, trace, options, report)) {
        fprintf(stderr, "raftsim: the trace does not fail as it says: %s: %s\n", trace->ending.checker,
                trace->ending.invariant);
        return VERDICT_DIFFERENT;
    }
    if (trace->swarm.seed != seed)
        fprintf(stderr, "  seed %" PRIu64 " fails alike, and gets smaller\n", trace->swarm.seed);
    trace->build = command->build;
    return trace_save(trace, command->path, TRACE_WHOLE) ? VERDICT_LIVED : VERDICT_INTERNAL;
}

enum trace_verdict trace_command_shrink(const struct trace_command *command, const char *from, uint64_t seed,
                                        enum profile profile, const struct shrink_options *options,
                                        struct shrink_report *report)
{
    struct trace_runner runner;
    struct trace trace = { .lost = false };
    if (!trace_runner_init(&runner))
        return no_memory();
    command->watch(runner.world);
    trap_signals(TRACE_STILL_MS);
    runner.apart = true;
    enum trace_verdict verdict;
    const enum trace_loaded loaded = from != NULL ? trace_load(&trace, from) : TRACE_LOADED;
    if (loaded != TRACE_LOADED)
        verdict = not_loaded(loaded);
    else if (from == NULL && !trace_record(&runner, seed, profile, &trace))
        verdict = no_memory();
    else
        verdict = shrink_into(command, &runner, &trace, options, report);
    trace_free(&trace);
    command->watch(NULL);
    trace_runner_free(&runner);
    return verdict;
}

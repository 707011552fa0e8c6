/* One life with a tracer looking on. */
#include "trace_run.h"

#include <string.h>

#include "campaign.h"
#include "trace_apart.h"
#include "trap.h"

bool trace_runner_init(struct trace_runner *runner)
{
    *runner = (struct trace_runner){
        .world = world_new(), .tracer = tracer_new(), .search = true, .still_ms = TRACE_STILL_MS
    };
    if (runner->world != NULL && runner->tracer != NULL)
        return true;
    trace_runner_free(runner);
    return false;
}

void trace_runner_free(struct trace_runner *runner)
{
    world_free(runner->world);
    tracer_free(runner->tracer);
    runner->world = NULL;
    runner->tracer = NULL;
}

static void ending_of(const struct world_result *result, struct trace_ending *ending)
{
    *ending = (struct trace_ending){ .steps = result->steps, .digest = result->digest, .digested = true };
    snprintf(ending->outcome, sizeof ending->outcome, "%s", outcome_text(outcome_of(result->failure)));
    if (result->failure == NULL)
        return;
    snprintf(ending->checker, sizeof ending->checker, "%s", check_kind_text(result->failure->kind));
    trace_invariant(result->failure->format, ending->invariant);
    snprintf(ending->text, sizeof ending->text, "%s", result->failure->text);
}

static void caught_of(const struct trap_caught *caught, const struct world *world, struct trace_ending *ending)
{
    *ending = (struct trace_ending){
        .outcome = "crash",
        .steps = world->scene.step,
        .digest = world->digest,
        .digested = true,
    };
    snprintf(ending->checker, sizeof ending->checker, "%s", caught->checker);
    memcpy(ending->invariant, caught->text, sizeof ending->invariant);
    memcpy(ending->text, caught->text, sizeof ending->text);
}

bool trace_live(const struct trace_life *life)
{
    struct trace_runner *runner = life->runner;
    struct trace_outcome *outcome = life->outcome;
    struct world_result result;
    struct trap_caught caught;
    if (!trap_live(runner->world, &life->options, &result, &caught) || (life->to != NULL && life->to->lost))
        return false;
    if (caught.checker != NULL)
        caught_of(&caught, runner->world, &outcome->ending);
    else
        ending_of(&result, &outcome->ending);
    outcome->difference = tracer_difference(runner->tracer);
    outcome->skipped = tracer_skipped(runner->tracer);
    outcome->end_ns = runner->world->scene.now_ns;
    outcome->healed = runner->world->scene.healed;
    return true;
}

static bool live(const struct trace_life *life)
{
    return life->runner->apart ? trace_live_apart(life) : trace_live(life);
}

bool trace_record(struct trace_runner *runner, uint64_t seed, enum profile profile, struct trace *trace)
{
    struct trace_outcome outcome;
    const struct trace_life life = {
        .runner = runner,
        .options = {
            .seed = seed,
            .profile = profile,
            .safety_only = runner->safety_only,
            .search = runner->search,
            .observer = runner->observer,
            .tracer = runner->tracer,
        },
        .to = trace,
        .outcome = &outcome,
    };
    tracer_set(runner->tracer, NULL, NULL, MATCH_EXACT, trace);
    if (!live(&life))
        return false;
    trace->ending = outcome.ending;
    return true;
}

bool trace_replay(struct trace_runner *runner, const struct trace *trace, const uint8_t *dropped,
                  enum tracer_match match, struct trace *to, struct trace_outcome *outcome)
{
    const struct trace_life life = {
        .runner = runner,
        .options = {
            .seed = trace->swarm.seed,
            .swarm = &trace->swarm,
            .profile = trace->swarm.profile,
            .safety_only = runner->safety_only,
            .search = runner->search,
            .observer = runner->observer,
            .tracer = runner->tracer,
        },
        .to = to,
        .outcome = outcome,
    };
    tracer_set(runner->tracer, trace, dropped, match, to);
    if (!live(&life))
        return false;
    if (to != NULL) {
        to->ending = outcome->ending;
        memcpy(to->note, trace->note, sizeof to->note);
    }
    return true;
}

bool trace_broke_off(const struct trace_ending *ending)
{
    return strcmp(ending->checker, "signal") == 0 || strcmp(ending->checker, "hang") == 0;
}

bool trace_fails_alike(const struct trace_ending *a, const struct trace_ending *b)
{
    return strcmp(a->checker, b->checker) == 0 && strcmp(a->invariant, b->invariant) == 0;
}

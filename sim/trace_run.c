/* One life with a tracer looking on. */
#include "trace_run.h"

#include <string.h>

#include "campaign.h"

bool trace_runner_init(struct trace_runner *runner)
{
    *runner = (struct trace_runner){ .world = world_new(), .tracer = tracer_new(), .search = true };
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

static struct {
    bool armed;
    jmp_buf back;
    char text[TRACE_TEXT_MAX];
} trap;

void trace_trap(const char *expression, const char *file)
{
    if (!trap.armed)
        return;
    trap.armed = false;
    snprintf(trap.text, sizeof trap.text, "%s: %s", file, expression);
    longjmp(trap.back, 1);
}

/* False: no memory. */
static bool live(struct trace_runner *runner, const struct world_options *options, struct trace_ending *ending)
{
    struct world_result result;
    const struct world *world = runner->world;
    if (setjmp(trap.back) != 0) {
        *ending = (struct trace_ending){
            .outcome = "crash",
            .checker = "assertion",
            .steps = world->scene.step,
            .digest = world->digest,
            .digested = true,
        };
        memcpy(ending->invariant, trap.text, sizeof ending->invariant);
        memcpy(ending->text, trap.text, sizeof ending->text);
        return true;
    }
    trap.armed = true;
    const bool lived = world_run(runner->world, options, &result);
    trap.armed = false;
    if (lived)
        ending_of(&result, ending);
    return lived;
}

bool trace_record(struct trace_runner *runner, uint64_t seed, enum profile profile, struct trace *trace)
{
    const struct world_options options = {
        .seed = seed,
        .profile = profile,
        .safety_only = runner->safety_only,
        .search = runner->search,
        .observer = runner->observer,
        .tracer = runner->tracer,
    };
    tracer_set(runner->tracer, NULL, NULL, MATCH_EXACT, trace);
    return live(runner, &options, &trace->ending) && !trace->lost;
}

bool trace_replay(struct trace_runner *runner, const struct trace *trace, const uint8_t *dropped,
                  enum tracer_match match, struct trace *to, struct trace_outcome *outcome)
{
    const struct world_options options = {
        .seed = trace->swarm.seed,
        .swarm = &trace->swarm,
        .profile = trace->swarm.profile,
        .safety_only = runner->safety_only,
        .search = runner->search,
        .observer = runner->observer,
        .tracer = runner->tracer,
    };
    tracer_set(runner->tracer, trace, dropped, match, to);
    if (!live(runner, &options, &outcome->ending) || (to != NULL && to->lost))
        return false;
    outcome->difference = tracer_difference(runner->tracer);
    outcome->skipped = tracer_skipped(runner->tracer);
    if (to != NULL) {
        to->ending = outcome->ending;
        memcpy(to->note, trace->note, sizeof to->note);
    }
    return true;
}

bool trace_fails_alike(const struct trace_ending *a, const struct trace_ending *b)
{
    return strcmp(a->checker, b->checker) == 0 && strcmp(a->invariant, b->invariant) == 0;
}

/* Saved worlds, and which is forked next. */
#include "fork.h"

#include <stdlib.h>

#include "observe.h"
#include "tracer.h"

enum { SAVED_MAX = 4, FORKS = 3, FORK_STEPS = 40, FIRST_STEPS_MAX = 80 };

struct saved {
    struct trace trace;
    uint64_t steps;
    uint32_t picked;
};

struct forks {
    struct tracer *tracer;
    struct saved saved[SAVED_MAX];
    uint32_t count;
    uint32_t kept;       /* forks that were saved */
    struct saved *live;  /* the world that has just been lived; NULL: it was not saved */
    struct trace spare;  /* of the life under way, when nobody else wants it */
    struct kinds states; /* of all lives so far */
};

void forks_free(struct forks *forks)
{
    if (forks == NULL)
        return;
    tracer_free(forks->tracer);
    for (uint32_t i = 0; i < SAVED_MAX; i++)
        trace_free(&forks->saved[i].trace);
    trace_free(&forks->spare);
    free(forks);
}

static struct forks *forks_of(struct world *world)
{
    if (world->forks != NULL)
        return world->forks;
    struct forks *forks = calloc(1, sizeof *forks);
    if (forks != NULL && (forks->tracer = tracer_new()) == NULL) {
        free(forks);
        return NULL;
    }
    return world->forks = forks;
}

/* The least picked, of these the latest. */
static struct saved *forks_pick(struct forks *forks)
{
    struct saved *least = NULL;
    for (uint32_t i = 0; i < forks->count; i++)
        if (least == NULL || forks->saved[i].picked <= least->picked)
            least = &forks->saved[i];
    if (least != NULL)
        least->picked++;
    return least;
}

/* The life that has come to its end, if it showed a new state. With all places taken, in that of the most picked.
 * False: no memory. */
static bool forks_save(struct forks *forks, const struct world *world, const struct trace *lived)
{
    const struct scene *scene = &world->scene;
    const uint32_t before = forks->states.count;
    forks->live = NULL;
    kinds_add_all(&forks->states, &world->signature.states);
    if (forks->states.count == before || scene->now_ns >= scene->swarm.safety_ns)
        return true;
    forks->kept += forks->count > 0;
    struct saved *place = &forks->saved[0];
    if (forks->count < SAVED_MAX)
        place = &forks->saved[forks->count++];
    else
        for (uint32_t i = 1; i < SAVED_MAX; i++)
            if (forks->saved[i].picked > place->picked)
                place = &forks->saved[i];
    place->steps = scene->step;
    place->picked = 0;
    if (scene->step >= scene->swarm.inputs_max)
        forks->live = place;
    return trace_copy(&place->trace, lived);
}

/* The world that was saved, NULL: from the beginning, lives on. If that is the one that has just been lived it only has
 * to go on, unless somebody looks, who wants to see all of it. Its trace is that of the schedule until another lives.
 */
static bool forks_live(struct world *world, const struct world_options *how, const struct saved *from,
                       struct trace *target, struct world_result *result)
{
    struct forks *forks = world->forks;
    struct world_options options = *how;
    const bool goes_on = from != NULL && from == forks->live && how->observer == NULL;
    options.tracer = forks->tracer;
    if (from != NULL) {
        options.fork_step = from->steps;
        options.inputs_max = u64_max(options.inputs_max, from->steps + FORK_STEPS);
    }
    tracer_set(forks->tracer, from != NULL && !goes_on ? &from->trace : NULL, NULL, MATCH_EXACT, target);
    if (goes_on)
        world_go_on(world, &options, result);
    else if (!world_run(world, &options, result))
        return false;
    return target == NULL || !target->lost;
}

/* Which world is next. The life that was left open ends, unless it is the one that goes on. */
static const struct saved *forks_turn(struct world *world, const struct world_options *how, struct world_result *result)
{
    const struct saved *from = forks_pick(world->forks);
    if (from == NULL || from != world->forks->live)
        world_close(world, how, result);
    return from;
}

/* Short lives, each of them a fork of one before; then *from is the world to go on from. False: no memory. */
static bool forks_explore(struct world *world, const struct world_options *options, struct trace *target,
                          const struct saved **from, struct world_result *result)
{
    struct world_options how = *options;
    how.safety_only = how.open = true;
    how.signature = true;
    how.search = false;
    how.observer = observer_of_forebears(options->observer);
    *from = NULL;
    for (uint32_t n = 0; n <= FORKS; n++) {
        how.fork_seed = options->fork_seed + n;
        how.inputs_max = n == 0 ? u64_min(options->swarm->inputs_max, FIRST_STEPS_MAX) : 1;
        if (!forks_live(world, &how, *from, target, result))
            return false;
        if (result->failure != NULL)
            return true;
        if (!forks_save(world->forks, world, target))
            return false;
        *from = forks_turn(world, &how, result);
        if (result->failure != NULL)
            return true;
    }
    return true;
}

bool forks_run(struct world *world, const struct world_options *options, struct world_result *result)
{
    struct forks *forks = forks_of(world);
    struct coverage *coverage = &world->scene.coverage;
    const struct swarm swarm = world->scene.swarm;
    struct world_options how = *options;
    uint64_t enabled[FAULT_KINDS];
    if (forks == NULL)
        return false;
    memcpy(enabled, coverage->enabled, sizeof enabled);
    memset(&forks->states, 0, sizeof forks->states);
    forks->count = forks->kept = 0;
    forks->live = NULL;
    const struct saved *from;
    struct trace *target = options->tracer != NULL ? tracer_target(options->tracer) : NULL;
    how.swarm = &swarm;
    how.fork_seed = (options->seed + 1) * 0x9e3779b97f4a7c15ULL;
    if (!forks_explore(world, &how, target != NULL ? target : &forks->spare, &from, result))
        return false;
    if (result->failure != NULL)
        return true;
    how.fork_seed += FORKS + 1;
    how.inputs_max = u64_max(options->inputs_max, swarm.inputs_max);
    if (!forks_live(world, &how, from, target, result))
        return false;
    memcpy(coverage->enabled, enabled, sizeof enabled);
    coverage->fired[FAULT_FORKED] += from != NULL;
    coverage->fired[FAULT_FORK_KEPT] += forks->kept;
    return true;
}

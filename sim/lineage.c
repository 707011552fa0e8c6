/* Two ancestors and what becomes of them. */
#include "lineage.h"

#include <stdlib.h>

#include "observe.h"
#include "tracer.h"

enum { ANCESTOR_INPUTS_MAX = 150, INSERTED_MAX = 8 };

struct lineage {
    struct tracer *tracer;
    struct trace ancestors[2];
    struct trace child;
    /* The child's decisions: those before are the first ancestor's as they were, then come those... */
    uint32_t spliced; /* ...from here on of the second, */
    uint32_t shifted; /* ...of another time, */
    uint32_t inserted;
};

void lineage_free(struct lineage *lineage)
{
    if (lineage == NULL)
        return;
    tracer_free(lineage->tracer);
    trace_free(&lineage->ancestors[0]);
    trace_free(&lineage->ancestors[1]);
    trace_free(&lineage->child);
    free(lineage);
}

static struct lineage *lineage_of(struct world *world)
{
    if (world->lineage != NULL)
        return world->lineage;
    struct lineage *lineage = calloc(1, sizeof *lineage);
    if (lineage != NULL && (lineage->tracer = tracer_new()) == NULL) {
        free(lineage);
        return NULL;
    }
    return world->lineage = lineage;
}

static uint64_t draw(struct world *world, uint64_t n) { return choose(&world->scene.choose, SITE_MUTATE, 0, n); }

/* A decision about one subject of many, at another time: its number means nothing there. */
enum { ORDINAL_BY_TIME = 1 << 30 };

static void lineage_take(struct lineage *lineage, const struct trace *from, uint32_t index, uint64_t time_ns)
{
    struct decision address = from->decisions[index];
    const enum choose_subject subject = site_words[address.head].subject;
    address.time_ns = time_ns;
    if (subject == SUBJECT_STRIKE || subject == SUBJECT_CHANGE)
        address.ordinal = time_ns;
    else if (tracer_subject_is_loose(subject))
        address.ordinal |= ORDINAL_BY_TIME;
    if (trace_find(&lineage->child, &address) != TRACE_NONE)
        return;
    for (uint32_t at = address.arguments; at != 0; at = from->arguments[at - 1].next) {
        const struct trace_argument *argument = &from->arguments[at - 1];
        trace_add(&lineage->child, &address, (enum choose_site)argument->site, argument->repetition, argument->value);
    }
}

static uint64_t trace_end_ns(const struct trace *trace)
{
    uint64_t end_ns = 1;
    for (uint32_t i = 0; i < trace->count; i++)
        end_ns = u64_max(end_ns, trace->decisions[i].time_ns);
    return end_ns;
}

static void lineage_mutate(struct world *world, struct lineage *lineage)
{
    const struct trace *first = &lineage->ancestors[0];
    const struct trace *second = &lineage->ancestors[1];
    struct trace *child = &lineage->child;
    const uint64_t end_ns = trace_end_ns(first);
    const uint64_t ways = 1 + draw(world, 7); /* one at least of the three */
    const uint64_t splice_ns = (ways & 1) != 0 ? draw(world, end_ns) : UINT64_MAX;
    const uint64_t from_ns = (ways & 2) != 0 ? draw(world, end_ns) : UINT64_MAX;
    const uint64_t to_ns = from_ns == UINT64_MAX ? from_ns : from_ns + draw(world, end_ns / 2 + 1);
    const bool later = draw(world, 2) == 1;
    const uint64_t by_ns = choose_octave(&world->scene.choose, SITE_MUTATE, 0, scene_election_ns(&world->scene) / 16,
                                         4 * scene_election_ns(&world->scene));
    trace_clear(child);
    child->swarm = first->swarm;
    for (uint32_t i = 0; i < first->count; i++) {
        const uint64_t time_ns = first->decisions[i].time_ns;
        if (time_ns < splice_ns && (time_ns < from_ns || time_ns >= to_ns))
            trace_take(child, first, i);
    }
    lineage->spliced = child->count;
    for (uint32_t i = 0; i < second->count; i++)
        if (second->decisions[i].time_ns >= splice_ns)
            lineage_take(lineage, second, i, second->decisions[i].time_ns);
    lineage->shifted = child->count;
    for (uint32_t i = 0; i < first->count; i++) {
        const uint64_t time_ns = first->decisions[i].time_ns;
        if (time_ns >= from_ns && time_ns < to_ns && time_ns < splice_ns)
            lineage_take(lineage, first, i, later ? time_ns + by_ns : time_ns > by_ns ? time_ns - by_ns : 1);
    }
    lineage->inserted = child->count;
    if ((ways & 4) == 0 || second->count == 0)
        return;
    for (uint64_t left = 1 + draw(world, INSERTED_MAX); left > 0; left--) {
        const uint32_t index = (uint32_t)draw(world, second->count);
        lineage_take(lineage, second, index, 1 + draw(world, end_ns));
    }
}

/* What was really met. */
static void lineage_count(struct coverage *coverage, const struct lineage *lineage)
{
    for (uint32_t i = lineage->spliced; i < lineage->child.count; i++)
        if (tracer_met(lineage->tracer, i))
            coverage_fire(coverage, i >= lineage->inserted  ? FAULT_DECISION_INSERTED
                                    : i >= lineage->shifted ? FAULT_DECISION_SHIFTED
                                                            : FAULT_DECISION_SPLICED);
}

/* Of the schedule's parameters, with choices of its own; who looks on sees the descendant. Its trace is that of the
 * schedule until another one lives. */
static bool lineage_live(struct world *world, const struct world_options *options, const struct swarm *swarm,
                         uint32_t ancestor, struct world_result *result)
{
    struct lineage *lineage = world->lineage;
    struct trace *to = options->tracer != NULL ? tracer_target(options->tracer) : NULL;
    const struct world_options own = {
        .seed = options->seed ^ (0x9e3779b97f4a7c15ULL * ancestor),
        .swarm = swarm,
        .tracer = lineage->tracer,
        .observer = observer_of_forebears(options->observer),
        .profile = options->profile,
        .safety_only = true,
        .inputs_max = u64_min(swarm->inputs_max, ANCESTOR_INPUTS_MAX),
    };
    tracer_set(lineage->tracer, NULL, NULL, MATCH_EXACT, to != NULL ? to : &lineage->ancestors[ancestor]);
    if (!world_run(world, &own, result))
        return false;
    return to == NULL || trace_copy(&lineage->ancestors[ancestor], to);
}

bool lineage_run(struct world *world, const struct world_options *options, struct world_result *result)
{
    struct lineage *lineage = lineage_of(world);
    struct scene *scene = &world->scene;
    const struct swarm swarm = scene->swarm;
    struct coverage ancestors = { .schedules = 0 }; /* what struck them */
    struct world_options last = *options;
    if (lineage == NULL)
        return false;
    for (uint32_t ancestor = 0; ancestor < 2; ancestor++) {
        if (!lineage_live(world, options, &swarm, ancestor, result))
            return false;
        if (result->failure != NULL)
            return true;
        for (enum fault_kind kind = 0; kind < FAULT_KINDS; kind++)
            ancestors.fired[kind] += scene->coverage.fired[kind];
    }
    choose_reset(&scene->choose, options->seed);
    lineage_mutate(world, lineage);
    last.swarm = &swarm;
    last.tracer = lineage->tracer;
    struct trace *to = options->tracer != NULL ? tracer_target(options->tracer) : NULL;
    tracer_set(lineage->tracer, &lineage->child, NULL, MATCH_LENIENT, to);
    if (lineage->child.lost || !world_run(world, &last, result))
        return false;
    /* Of what the parameters allow only the mutations are promised: nothing else is drawn in the descendant. */
    for (enum fault_kind kind = FAULT_DECISION_SPLICED; kind <= FAULT_DECISION_INSERTED; kind++)
        ancestors.enabled[kind] = 1;
    coverage_add(&scene->coverage, &ancestors);
    lineage_count(&scene->coverage, lineage);
    return true;
}

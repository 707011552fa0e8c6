/* Dropping decisions. */
#include "shrink.h"
#include "knobs.h"

#include <stdlib.h>
#include <string.h>

bool shrink_is_over(const struct shrink *shrink)
{
    const struct shrink_options *options = shrink->options;
    return shrink->no_memory || (options->attempts_max != 0 && shrink->attempts >= options->attempts_max)
           || (options->over != NULL && options->over(options->context));
}

static bool reserve_marks(struct shrink *shrink)
{
    if (shrink->best->count > shrink->capacity) {
        free(shrink->dropped);
        shrink->capacity = shrink->best->count;
        shrink->dropped = malloc(shrink->capacity);
        shrink->no_memory = shrink->dropped == NULL;
    }
    if (shrink->best->count > 0 && !shrink->no_memory)
        memset(shrink->dropped, 0, shrink->best->count);
    return !shrink->no_memory;
}

bool shrink_attempt(struct shrink *shrink)
{
    struct trace_outcome outcome;
    shrink->attempts++;
    /* The marks stay in `shrink` until shrink_trace() frees them. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
    const bool lived =
        trace_replay(shrink->runner, shrink->best, shrink->dropped, shrink->match, &shrink->spare, &outcome);
    shrink->no_memory |= !lived;
    const bool alike = lived && trace_fails_alike(&outcome.ending, &shrink->goal);
    if (alike) {
        shrink->last = outcome;
        const struct trace best = *shrink->best;
        *shrink->best = shrink->spare;
        shrink->spare = best;
        reserve_marks(shrink);
    } else if (shrink->best->count > 0) {
        memset(shrink->dropped, 0, shrink->best->count);
    }
    if (shrink->options->progress != NULL)
        shrink->options->progress(shrink->options->context, shrink->attempts, shrink->best->count);
    return alike;
}

bool shrink_attempt_with(struct shrink *shrink, const struct swarm *swarm)
{
    struct swarm with = *swarm;
    const struct swarm before = shrink->best->swarm;
    knobs_settle(&with);
    /* Where knobs are equal and only padding differs, an attempt is made in vain. */
    if (knobs_problem(&with) != NULL || memcmp((const void *)&with, (const void *)&before, sizeof with) == 0)
        return false;
    shrink->best->swarm = with;
    if (shrink_attempt(shrink))
        return true;
    shrink->best->swarm = before;
    return false;
}

/* Drops what `wanted` says of each decision; false if that is nothing. */
static bool drop(struct shrink *shrink, bool (*wanted)(const struct decision *, const void *), const void *context)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < shrink->best->count; i++) {
        shrink->dropped[i] = wanted(&shrink->best->decisions[i], context);
        count += shrink->dropped[i];
    }
    return count > 0 && shrink_attempt(shrink);
}

static bool is_any(const struct decision *decision, const void *context)
{
    (void)decision;
    (void)context;
    return true;
}

static bool is_of_head(const struct decision *decision, const void *context)
{
    return decision->head == *(const uint16_t *)context;
}

static bool is_of_subject(const struct decision *decision, const void *context)
{
    return site_words[decision->head].subject == *(const enum choose_subject *)context;
}

static bool is_of_same(const struct decision *decision, const void *context)
{
    const struct decision *other = context;
    return decision->head == other->head && decision->who == other->who;
}

/* Everything, subjects, kinds, and kinds of one link, node or client. */
static bool drop_families(struct shrink *shrink)
{
    bool smaller = drop(shrink, is_any, NULL);
    for (enum choose_subject subject = 0; subject < SUBJECTS && !shrink_is_over(shrink); subject++)
        smaller |= drop(shrink, is_of_subject, &subject);
    for (uint16_t head = 0; head < SITES && !shrink_is_over(shrink); head++)
        smaller |= drop(shrink, is_of_head, &head);
    for (uint32_t i = 0; i < shrink->best->count && !shrink_is_over(shrink); i++) {
        const struct decision decision = shrink->best->decisions[i];
        bool first = true;
        for (uint32_t k = 0; k < i && first; k++)
            first = !is_of_same(&shrink->best->decisions[k], &decision);
        if (first && drop(shrink, is_of_same, &decision)) {
            smaller = true;
            i--;
        }
    }
    return smaller;
}

/* Neighbours, so many at a time, from the last ones on. */
static bool drop_runs(struct shrink *shrink, uint32_t length)
{
    bool smaller = false;
    for (uint32_t end = shrink->best->count; end > 0 && !shrink_is_over(shrink);) {
        const uint32_t begin = end > length ? end - length : 0;
        memset(shrink->dropped + begin, 1, end - begin);
        smaller |= shrink_attempt(shrink);
        end = u32_min(begin, shrink->best->count);
    }
    return smaller;
}

static bool drop_halves(struct shrink *shrink)
{
    bool smaller = false;
    for (uint32_t length = (shrink->best->count + 1) / 2; length > 1 && !shrink_is_over(shrink); length /= 2)
        smaller |= drop_runs(shrink, length);
    while (!shrink_is_over(shrink) && drop_runs(shrink, 1))
        smaller = true;
    return smaller;
}

enum { PAIRS_OF_MAX = 32 };

static bool drop_pairs(struct shrink *shrink)
{
    bool smaller = false;
    for (uint32_t a = 0; a < shrink->best->count; a++)
        for (uint32_t b = a + 1; b < shrink->best->count; b++) {
            if (shrink_is_over(shrink) || shrink->best->count > PAIRS_OF_MAX)
                return smaller;
            shrink->dropped[a] = shrink->dropped[b] = 1;
            smaller |= shrink_attempt(shrink);
        }
    return smaller;
}

/* The faults end soon after the failure; one that comes later does not count. */
static void cut_behind(struct shrink *shrink)
{
    struct swarm swarm = shrink->best->swarm;
    if (!shrink->runner->safety_only)
        return;
    swarm.safety_ns = shrink->last.end_ns + 2 * swarm.configs[0].election_timeout_ns;
    swarm.inputs_max = u64_max(2 * shrink->last.ending.steps, 2000);
    shrink_attempt_with(shrink, &swarm);
}

/* True: the whole trace fails so, too. */
static bool match_otherwise(struct shrink *shrink, enum tracer_match match)
{
    const enum tracer_match before = shrink->match;
    shrink->match = match;
    if (match == before || shrink_attempt(shrink))
        return true;
    shrink->match = before;
    return false;
}

static bool shrink_round(struct shrink *shrink)
{
    cut_behind(shrink);
    bool smaller = drop_halves(shrink);
    smaller |= shrink_knobs(shrink);
    smaller |= drop_families(shrink);
    smaller |= shrink_shape(shrink);
    smaller |= shrink_values(shrink);
    return smaller || drop_pairs(shrink);
}

/* Leniently more can go at once, as numbers that are off do no harm. What has become another life by that, where much
 * happens at about the same time, is tried exactly. */
static void shrink_all(struct shrink *shrink)
{
    uint32_t idle = 0; /* rounds in which nothing got smaller */
    cut_behind(shrink);
    match_otherwise(shrink, MATCH_LENIENT);
    drop_families(shrink);
    shrink_shape(shrink);
    while (idle < 2 && !shrink_is_over(shrink)) {
        idle = shrink_round(shrink) ? 0 : idle + 1;
        if (idle > 0 && !match_otherwise(shrink, shrink->match == MATCH_EXACT ? MATCH_LENIENT : MATCH_EXACT))
            return;
    }
}

/* Lives without an end are many here. */
enum { ATTEMPT_STILL_MS = 200 };

bool shrink_trace(struct trace_runner *runner, struct trace *trace, const struct shrink_options *options,
                  struct shrink_report *report)
{
    struct shrink shrink = {
        .runner = runner, .options = options, .best = trace, .goal = trace->ending, .match = MATCH_EXACT
    };
    struct trace_outcome outcome;
    *report = (struct shrink_report){ .before = trace->count };
    runner->search = strcmp(trace->ending.checker, check_kind_text(CHECK_LINEAR)) == 0;
    runner->safety_only = false;
    const uint32_t still_ms = runner->still_ms;
    runner->still_ms = u32_min(still_ms, ATTEMPT_STILL_MS);
    bool fails = reserve_marks(&shrink) && shrink_attempt(&shrink);
    if (!fails && !shrink.no_memory) {
        shrink.match = MATCH_LENIENT; /* it is of another build */
        fails = shrink_attempt(&shrink);
    }
    if (!fails) {
        runner->still_ms = still_ms;
        free(shrink.dropped);
        trace_free(&shrink.spare);
        return false;
    }
    runner->safety_only = !shrink.last.healed;
    shrink_all(&shrink);
    *report = (struct shrink_report){
        .attempts = shrink.attempts,
        .before = report->before,
        .after = trace->count,
        .finished = !shrink_is_over(&shrink),
    };
    runner->safety_only = false;
    runner->search = true;
    runner->still_ms = still_ms;
    /* As a replay will meet it: exactly, and to its end. */
    const bool lived = trace_replay(runner, trace, NULL, MATCH_EXACT, &shrink.spare, &outcome);
    const bool good = lived && trace_fails_alike(&outcome.ending, &shrink.goal);
    if (good) {
        const struct trace best = *trace;
        *trace = shrink.spare;
        shrink.spare = best;
    }
    free(shrink.dropped);
    trace_free(&shrink.spare);
    return good;
}

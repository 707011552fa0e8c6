/* Addresses of choices, and what a trace says about them. */
#include "tracer.h"

#include <stdlib.h>
#include <string.h>

enum { WHO_MAX = CHOOSE_WHO_MAX };

struct subject {
    uint64_t ordinal;
    uint32_t serial; /* changes with every new one, so that repetitions and matches are counted anew */
    uint16_t who;
    uint8_t class;
    uint8_t part;
};

struct tracer {
    const struct trace *from;
    const uint8_t *dropped;
    struct trace *to;
    enum tracer_match match;
    const uint64_t *now_ns;
    uint64_t near_ns; /* lenient: how far from its time a decision still counts as that one */
    uint32_t serial;
    struct subject subjects[SUBJECTS];
    struct {
        uint32_t serial;
        uint32_t count;
    } repetitions[SITES];
    struct {
        uint32_t serial;
        uint32_t decision;
    } matches[SITES]; /* by head */
    struct tracer_difference difference;
    uint32_t frames[WHO_MAX][CLASSES];
    uint32_t others[SUBJECTS][32][CLASSES];
    /* By index of the decision in `from`. */
    uint64_t *met;    /* one more than the ordinal of the subject that met it; 0: none yet */
    uint32_t *order;  /* the decisions, by head, who, class, part and time */
    uint32_t ordered; /* so many, of this trace or an earlier one */
    uint32_t capacity;
};

struct tracer *tracer_new(void) { return calloc(1, sizeof(struct tracer)); }

void tracer_free(struct tracer *tracer)
{
    if (tracer == NULL)
        return;
    free(tracer->met);
    free(tracer->order);
    free(tracer);
}

void tracer_set(struct tracer *tracer, const struct trace *from, const uint8_t *dropped, enum tracer_match match,
                struct trace *to)
{
    tracer->from = from;
    tracer->dropped = dropped;
    tracer->match = match;
    tracer->to = to;
}

void tracer_leave(struct tracer *tracer) { tracer->from = NULL; }

struct trace *tracer_target(const struct tracer *tracer) { return tracer->to; }

static const struct trace *sorted; /* for qsort, which passes nothing on */

static int group_compare(const struct decision *a, const struct decision *b)
{
    if (a->head != b->head)
        return a->head < b->head ? -1 : 1;
    if (a->who != b->who)
        return a->who < b->who ? -1 : 1;
    if (a->class != b->class)
        return a->class < b->class ? -1 : 1;
    return (a->part > b->part) - (a->part < b->part);
}

static int order_compare(const void *x, const void *y)
{
    const uint32_t i = *(const uint32_t *)x;
    const uint32_t k = *(const uint32_t *)y;
    const struct decision *a = &sorted->decisions[i];
    const struct decision *b = &sorted->decisions[k];
    const int groups = group_compare(a, b);
    if (groups != 0)
        return groups;
    if (a->time_ns != b->time_ns)
        return a->time_ns < b->time_ns ? -1 : 1;
    return (i > k) - (i < k);
}

/* The order of the trace before, which is most often the same one, may do for this one. */
static bool is_in_order(const struct tracer *tracer)
{
    const uint32_t count = tracer->from->count;
    sorted = tracer->from;
    for (uint32_t i = 1; i < count && tracer->ordered == count; i++)
        if (order_compare(&tracer->order[i - 1], &tracer->order[i]) > 0)
            return false;
    return tracer->ordered == count;
}

static bool tracer_prepare(struct tracer *tracer)
{
    const uint32_t count = tracer->from->count;
    if (count > tracer->capacity) {
        free(tracer->met);
        free(tracer->order);
        tracer->met = malloc(count * sizeof tracer->met[0]);
        tracer->order = malloc(count * sizeof tracer->order[0]);
        tracer->ordered = 0;
        tracer->capacity = tracer->met != NULL && tracer->order != NULL ? count : 0;
        if (tracer->capacity == 0)
            return false;
    }
    if (count == 0)
        return true;
    memset(tracer->met, 0, count * sizeof tracer->met[0]);
    if (is_in_order(tracer))
        return true;
    tracer->ordered = count;
    for (uint32_t i = 0; i < count; i++)
        tracer->order[i] = i;
    qsort(tracer->order, count, sizeof tracer->order[0], order_compare);
    return true;
}

void tracer_begin(struct tracer *tracer, struct choose *choose, const struct swarm *swarm, const uint64_t *now_ns)
{
    choose->tracer = tracer;
    choose->replays = tracer->from != NULL;
    tracer->now_ns = now_ns;
    tracer->near_ns = swarm->configs[0].election_timeout_ns / 4;
    tracer->difference = (struct tracer_difference){ .step = 0 };
    tracer->serial = 0;
    memset(tracer->subjects, 0, sizeof tracer->subjects);
    memset(tracer->repetitions, 0, sizeof tracer->repetitions);
    memset(tracer->matches, 0, sizeof tracer->matches);
    memset(tracer->frames, 0, sizeof tracer->frames);
    memset(tracer->others, 0, sizeof tracer->others);
    if (tracer->from != NULL && !tracer_prepare(tracer) && tracer->to != NULL)
        tracer->to->lost = true;
    if (tracer->to != NULL) {
        trace_clear(tracer->to);
        tracer->to->swarm = *swarm;
    }
}

void tracer_step(struct tracer *tracer, uint64_t step, uint32_t node, uint64_t digest)
{
    const struct trace *from = tracer->from;
    if (tracer->to != NULL)
        trace_add_digest(tracer->to, digest);
    if (from != NULL && tracer->difference.step == 0 && step <= from->digest_count
        && from->digests[step - 1] != (uint16_t)(digest >> 48))
        tracer->difference = (struct tracer_difference){
            .step = step,
            .node = node,
            .class = tracer->subjects[SUBJECT_STEP].class,
        };
}

static bool subject_has_time(enum choose_subject subject)
{
    return subject == SUBJECT_STRIKE || subject == SUBJECT_CHANGE;
}

void tracer_resume(struct tracer *tracer, enum choose_subject subject, uint32_t who, uint32_t class, uint32_t ordinal)
{
    tracer->subjects[subject] = (struct subject){
        .ordinal = ordinal,
        .serial = ++tracer->serial,
        .who = (uint16_t)who,
        .class = (uint8_t) class,
    };
}

uint32_t tracer_subject(struct tracer *tracer, enum choose_subject subject, uint32_t who, uint32_t class)
{
    ASSERT(class < CLASSES);
    ASSERT(who < (subject == SUBJECT_FRAME ? (uint32_t)WHO_MAX : 32));
    uint32_t *count = subject == SUBJECT_FRAME ? &tracer->frames[who][class] : &tracer->others[subject][who][class];
    tracer_resume(tracer, subject, who, class, ++*count);
    if (subject_has_time(subject))
        tracer->subjects[subject].ordinal = *tracer->now_ns;
    return *count;
}

void tracer_part(struct tracer *tracer, uint32_t part)
{
    struct subject *subject = &tracer->subjects[SUBJECT_FRAME];
    if (subject->part != part)
        subject->serial = ++tracer->serial;
    subject->part = (uint8_t)part;
}

static bool decision_is_off(const struct tracer *tracer, uint32_t index)
{
    return tracer->dropped != NULL && tracer->dropped[index] != 0;
}

/* Where the decisions of that group begin, in the order. */
static uint32_t group_begin(const struct tracer *tracer, const struct decision *address)
{
    uint32_t low = 0, high = tracer->from->count;
    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        if (group_compare(&tracer->from->decisions[tracer->order[middle]], address) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool tracer_subject_is_loose(enum choose_subject subject)
{
    return subject == SUBJECT_FRAME || subject == SUBJECT_ARRIVAL || subject == SUBJECT_STEP
           || subject == SUBJECT_OPERATION || subject == SUBJECT_TIMER || subject == SUBJECT_POWER
           || subject == SUBJECT_ATTEMPT;
}

/* The first of the group that has not been met and is due: its number has come at about its time, or its time has. Of
 * several at one time each waits for its number; and what met one meets it again when it goes on. So where nothing is
 * otherwise each is met as strictly, as long as those at one time come in the order of their numbers. */
static uint32_t match_loosely(const struct tracer *tracer, const struct decision *address)
{
    const struct trace *from = tracer->from;
    for (uint32_t i = group_begin(tracer, address); i < from->count; i++) {
        const uint32_t index = tracer->order[i];
        const struct decision *decision = &from->decisions[index];
        if (group_compare(decision, address) != 0)
            break;
        if (tracer->met[index] == address->ordinal + 1)
            return index;
        if (tracer->met[index] != 0 || decision_is_off(tracer, index))
            continue;
        const bool counted = decision->ordinal == address->ordinal;
        const bool to_come = address->time_ns == decision->time_ns && address->ordinal < decision->ordinal;
        if ((address->time_ns >= decision->time_ns && !to_come)
            || (counted && address->time_ns + tracer->near_ns >= decision->time_ns))
            return index;
        if (!counted && !to_come)
            break;
    }
    return TRACE_NONE;
}

static uint32_t match(struct tracer *tracer, enum choose_site head)
{
    const struct subject *subject = &tracer->subjects[site_words[head].subject];
    const struct decision address = {
        .time_ns = *tracer->now_ns,
        .ordinal = subject->ordinal,
        .head = (uint16_t)head,
        .who = subject->who,
        .class = subject->class,
        .part = subject->part,
    };
    if (tracer->matches[head].serial == subject->serial)
        return tracer->matches[head].decision;
    uint32_t found;
    if (tracer->match == MATCH_LENIENT && tracer_subject_is_loose(site_words[head].subject))
        found = match_loosely(tracer, &address);
    else
        found = trace_find(tracer->from, &address);
    if (found != TRACE_NONE && decision_is_off(tracer, found))
        found = TRACE_NONE;
    if (found != TRACE_NONE)
        tracer->met[found] = subject->ordinal + 1;
    tracer->matches[head].serial = subject->serial;
    tracer->matches[head].decision = found;
    return found;
}

uint64_t tracer_note(struct tracer *tracer, enum choose_site site, uint64_t value, uint64_t tame)
{
    const struct site_words *words = &site_words[site];
    if (words->subject == SUBJECT_NONE)
        return tracer->from != NULL ? tame : value;
    const struct subject *subject = &tracer->subjects[words->subject];
    if (tracer->repetitions[site].serial != subject->serial) {
        tracer->repetitions[site].serial = subject->serial;
        tracer->repetitions[site].count = 0;
    }
    const uint32_t repetition = tracer->repetitions[site].count++;
    if (tracer->from != NULL) {
        const uint32_t found = match(tracer, words->head);
        const struct trace_argument *argument =
            found == TRACE_NONE ? NULL : trace_argument(tracer->from, found, site, repetition);
        value = argument != NULL ? argument->value : tame;
    }
    if (tracer->to != NULL && value != tame) {
        const struct decision address = {
            .time_ns = *tracer->now_ns,
            .ordinal = subject->ordinal,
            .head = (uint16_t)words->head,
            .who = subject->who,
            .class = subject->class,
            .part = subject->part,
        };
        trace_add(tracer->to, &address, site, repetition, value);
    }
    return value;
}

uint64_t tracer_when(struct tracer *tracer, enum choose_site site, uint32_t who)
{
    const struct decision address = { .head = (uint16_t)site, .who = (uint16_t)who };
    for (uint32_t i = group_begin(tracer, &address); i < tracer->from->count; i++) {
        const uint32_t index = tracer->order[i];
        const struct decision *decision = &tracer->from->decisions[index];
        if (group_compare(decision, &address) != 0)
            break;
        if (decision->time_ns > *tracer->now_ns && !decision_is_off(tracer, index))
            return decision->time_ns;
    }
    return UINT64_MAX;
}

void tracer_plan(struct tracer *tracer, enum choose_site site, uint32_t who, uint64_t at_ns)
{
    const struct decision address = {
        .time_ns = at_ns, .ordinal = at_ns, .head = (uint16_t)site, .who = (uint16_t)who
    };
    if (tracer->from != NULL) {
        const uint32_t found = trace_find(tracer->from, &address);
        if (found != TRACE_NONE)
            tracer->met[found] = 1;
    }
    if (tracer->to != NULL)
        trace_add(tracer->to, &address, site, 0, 1);
}

struct tracer_difference tracer_difference(const struct tracer *tracer) { return tracer->difference; }

bool tracer_met(const struct tracer *tracer, uint32_t index) { return tracer->met[index] != 0; }

uint32_t tracer_skipped(const struct tracer *tracer)
{
    uint32_t skipped = 0;
    for (uint32_t i = 0; tracer->from != NULL && i < tracer->from->count; i++)
        skipped += tracer->met[i] == 0 && !decision_is_off(tracer, i);
    return skipped;
}

/* Smaller worlds, plainer knobs, rounder values. */
#include <string.h>

#include "knobs.h"
#include "shrink.h"

static bool set_count(struct shrink *shrink, const char *name, uint64_t value)
{
    struct swarm swarm = shrink->best->swarm;
    const struct knob *knob = knob_named(name, strlen(name));
    ASSERT(knob != NULL);
    if (value >= knob_get(&swarm, knob, 0))
        return false;
    knob_set(&swarm, knob, 0, value);
    swarm.member_count = u32_min(swarm.member_count, swarm.node_count);
    swarm.struck_max = u32_min(swarm.struck_max, (swarm.node_count - 1) / 2);
    return shrink_attempt_with(shrink, &swarm);
}

/* A shorter life before the healing. */
static bool shrink_length(struct shrink *shrink)
{
    const uint64_t safety_ns = shrink->best->swarm.safety_ns;
    bool smaller = false;
    if (shrink->runner->safety_only)
        return false;
    for (uint64_t eighths = 0; eighths < 8 && !smaller && !shrink_is_over(shrink); eighths++)
        smaller = set_count(shrink, "safety", safety_ns / 8 * eighths);
    return smaller;
}

bool shrink_shape(struct shrink *shrink)
{
    static const uint8_t nodes[] = { 1, 2, 3, 4, 5, 6 };
    static const uint8_t few[] = { 1, 2, 4, 8, 16 };
    bool smaller = false;
    for (uint32_t i = 0; i < ARRAY_COUNT(nodes) && !shrink_is_over(shrink); i++)
        if (set_count(shrink, "nodes", nodes[i])) {
            smaller = true;
            break;
        }
    for (uint32_t i = 0; i < ARRAY_COUNT(few) && !shrink_is_over(shrink); i++) {
        smaller |= set_count(shrink, "clients", few[i]);
        smaller |= set_count(shrink, "keys", few[i]);
        smaller |= set_count(shrink, "copies", few[i]);
    }
    return shrink_length(shrink) || smaller;
}

/* What is not a matter of taste: another one is another world. */
static bool knob_is_plain(const struct knob *knob)
{
    static const char *const others[] = { "nodes", "members", "clients", "keys", "inputs", "safety" };
    for (uint32_t i = 0; i < ARRAY_COUNT(others); i++)
        if (strcmp(knob->name, others[i]) == 0)
            return false;
    return true;
}

static bool knob_differs(const struct swarm *a, const struct swarm *b, const struct knob *knob)
{
    for (uint32_t i = 0; i < knob->values; i++)
        if (knob_get(a, knob, i) != knob_get(b, knob, i))
            return true;
    return false;
}

static void knob_copy(struct swarm *to, const struct swarm *from, const struct knob *knob)
{
    for (uint32_t i = 0; i < knob->values; i++)
        knob_set(to, knob, i, knob_get(from, knob, i));
}

/* Each back to its default; all limits at once before. */
bool shrink_knobs(struct shrink *shrink)
{
    struct swarm plain;
    bool smaller = false;
    knobs_default(&plain);
    struct swarm swarm = shrink->best->swarm;
    if (memcmp(&swarm.limits, &plain.limits, sizeof plain.limits) != 0) {
        swarm.limits = plain.limits;
        smaller |= shrink_attempt_with(shrink, &swarm);
    }
    for (uint32_t i = 0; i < knob_count() && !shrink_is_over(shrink); i++) {
        const struct knob *knob = knob_at(i);
        swarm = shrink->best->swarm;
        if (!knob_is_plain(knob) || !knob_differs(&swarm, &plain, knob))
            continue;
        knob_copy(&swarm, &plain, knob);
        smaller |= shrink_attempt_with(shrink, &swarm);
    }
    return smaller;
}

/* Up to so many digits that are not 0, rounded down. */
static uint64_t round_down(uint64_t value, uint32_t digits)
{
    uint64_t unit = 1, most = 1;
    while (digits-- > 0)
        most *= 10;
    while (value / unit >= most)
        unit *= 10;
    return value / unit * unit;
}

static bool try_value(struct shrink *shrink, uint32_t at, uint64_t value)
{
    struct trace_argument *argument = &shrink->best->arguments[at];
    const uint64_t before = argument->value;
    if (value == before)
        return false;
    argument->value = value;
    if (shrink_attempt(shrink))
        return true;
    shrink->best->arguments[at].value = before;
    return false;
}

/* True: the trace is another one, and places in it mean nothing any more. */
static bool round_argument(struct shrink *shrink, uint32_t at)
{
    const struct trace_argument argument = shrink->best->arguments[at];
    const enum trace_unit unit = site_words[argument.site].unit;
    if (unit != UNIT_TIME && (unit != UNIT_NUMBER || argument.value < 10))
        return false;
    return try_value(shrink, at, round_down(argument.value, 1)) || try_value(shrink, at, round_down(argument.value, 2))
           || try_value(shrink, at, round_down(argument.value, 3));
}

/* When trouble strikes. */
static bool round_strike(struct shrink *shrink, uint32_t index)
{
    const struct decision *decision = &shrink->best->decisions[index];
    const enum choose_subject subject = site_words[decision->head].subject;
    const uint64_t before = decision->time_ns;
    if (subject != SUBJECT_STRIKE && subject != SUBJECT_CHANGE)
        return false;
    for (uint32_t digits = 1; digits <= 3; digits++) {
        const uint64_t time_ns = round_down(before, digits);
        if (time_ns == before || time_ns == 0)
            return false;
        trace_move(shrink->best, index, time_ns);
        if (shrink_attempt(shrink))
            return true;
        trace_move(shrink->best, index, before);
    }
    return false;
}

bool shrink_values(struct shrink *shrink)
{
    bool smaller = false;
    for (uint32_t i = 0; i < shrink->best->count && !shrink_is_over(shrink); i++)
        smaller |= round_strike(shrink, i);
    for (uint32_t at = 0; at < shrink->best->argument_count && !shrink_is_over(shrink); at++)
        smaller |= round_argument(shrink, at);
    return smaller;
}

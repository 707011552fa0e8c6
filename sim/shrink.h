/* Makes a failing trace small: delta debugging over decisions and knobs, for the same failure (checker and invariant).
 *
 * Each attempt lives the trace without something, leniently (tracer.h) if the whole trace fails so, otherwise exactly.
 * If it still fails alike, what really happened is recorded, so that decisions which no longer apply are gone and
 * numbers are fresh, and that is the trace from then on. In order: whole kinds of decisions; fewer nodes, clients and
 * keys; a shorter life; then runs of neighbouring decisions, halved until they are single ones; knobs back to their
 * defaults; values that are tame, or rounder; at last pairs. All again until nothing helps, or time is up.
 *
 * Each attempt begins at the beginning. To begin in the middle, from a world that was kept there, megabytes would have
 * to be copied, which takes as long as half a life of the usual length; and most attempts change what is early.
 *
 * Deterministic, as long as time does not run out. */
#ifndef WW_SHRINK_H
#define WW_SHRINK_H

#include "trace_run.h"

struct shrink_options {
    bool (*over)(void *context);                                            /* time is up; NULL: never */
    void (*progress)(void *context, uint32_t attempts, uint32_t decisions); /* after each attempt; NULL: nobody looks */
    void *context;
    uint32_t attempts_max; /* 0: as many as it takes */
};

struct shrink_report {
    uint32_t attempts;
    uint32_t before; /* decisions */
    uint32_t after;
    bool finished; /* nothing helps any more; otherwise the time was up */
};

/* The engine, between its two files. */
struct shrink {
    struct trace_runner *runner;
    const struct shrink_options *options;
    struct trace *best;
    struct trace spare;
    struct trace_ending goal;
    enum tracer_match match;
    struct trace_outcome last; /* of the best trace */
    uint8_t *dropped;
    uint32_t capacity;
    uint32_t attempts;
    bool no_memory;
};

/* `trace` fails, as its ending says. False: no memory, or it does not fail so when it is lived. */
bool shrink_trace(struct trace_runner *runner, struct trace *trace, const struct shrink_options *options,
                  struct shrink_report *report);

bool shrink_is_over(const struct shrink *shrink);
/* Lives the best trace without what `dropped` marks. True: it failed alike, and is the best one now. */
bool shrink_attempt(struct shrink *shrink);
/* The same with other knobs; they are put back if it does not fail. */
bool shrink_attempt_with(struct shrink *shrink, const struct swarm *swarm);

/* shrink_values.c: true if anything got smaller. */
bool shrink_shape(struct shrink *shrink);
bool shrink_knobs(struct shrink *shrink);
bool shrink_values(struct shrink *shrink);

#endif

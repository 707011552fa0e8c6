/* Lives that write traces, and lives that follow them. */
#ifndef WW_TRACE_RUN_H
#define WW_TRACE_RUN_H

#include "tracer.h"
#include "world.h"

/* A world with a tracer, for many lives. */
struct trace_runner {
    struct world *world;
    struct tracer *tracer;
    struct observer *observer; /* NULL: nobody looks */
    bool safety_only;          /* no liveness phase */
    bool search;               /* black-box linearizability at the end */
    bool apart;                /* each life in a process of its own (trace_apart.h) */
    uint32_t still_ms;         /* such a one is stuck without a step for so long */
};
enum { TRACE_STILL_MS = 3000 };

bool trace_runner_init(struct trace_runner *runner); /* false: no memory */
void trace_runner_free(struct trace_runner *runner);

/* Lives a seed, and writes down all that it decides and how it ends. False: no memory. */
bool trace_record(struct trace_runner *runner, uint64_t seed, enum profile profile, struct trace *trace);

struct trace_outcome {
    struct trace_ending ending;
    struct tracer_difference difference;
    uint32_t skipped; /* decisions that did not apply */
    bool healed;      /* it came to the liveness phase */
    uint64_t end_ns;  /* when it ended */
};
/* Lives what a trace says, without the decisions that `dropped` marks (NULL: with all). Writes down what really
 * happened to `to`, if not NULL. False: no memory. */
bool trace_replay(struct trace_runner *runner, const struct trace *trace, const uint8_t *dropped,
                  enum tracer_match match, struct trace *to, struct trace_outcome *outcome);

/* By a signal, or without an end: its like want processes of their own. */
bool trace_broke_off(const struct trace_ending *ending);
/* The same failure: checker and invariant. */
bool trace_fails_alike(const struct trace_ending *a, const struct trace_ending *b);

#endif

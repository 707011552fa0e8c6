/* A life in a process of its own, which may destroy its memory: what comes back is the outcome, and what it wrote down.
 */
#ifndef WW_TRACE_APART_H
#define WW_TRACE_APART_H

#include "trace_run.h"

/* A life of a runner; trace_run.c has them. */
struct trace_life {
    struct trace_runner *runner;
    struct world_options options;
    struct trace *to; /* NULL: nothing is written down */
    struct trace_outcome *outcome;
};
bool trace_live(const struct trace_life *life);

/* trace_live() in a process of its own, where signals are caught. If it ends without a word, nothing was written down,
 * and no other failure is like that one. False: no memory, or no process. */
bool trace_live_apart(const struct trace_life *life);

#endif

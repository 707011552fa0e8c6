/* Shrinking with other lives to choose from. What fails in some lives hangs on more than it must, and they do not get
 * small, or not soon. Others fail alike: of the first few the one that fails soonest is shrunk; then the seeds behind
 * are lived until one of those that do gets small, or time is up.
 *
 * Deterministic, as long as time does not run out. */
#ifndef WW_COUSINS_H
#define WW_COUSINS_H

#include "shrink.h"

/* A trace with no more decisions is small, and no other is looked for. */
enum { COUSINS_SMALL = 15 };

/* shrink_trace(), for this trace or a life that fails alike; then trace->swarm.seed is another one. */
bool cousins_shrink(struct trace_runner *runner, struct trace *trace, const struct shrink_options *options,
                    struct shrink_report *report);

#endif

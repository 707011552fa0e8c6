/* A schedule that tries several ways and goes on from what is new: fork-guided search, within one seed.
 *
 * A world that is saved is a trace (trace.h) and a number of steps: living the trace again leads to the same world, and
 * from there on everything is drawn anew. If it is the one that was lived last, it just goes on, but for what no trace
 * knows, and nothing is lived again. So a schedule begins with a short life, saved; then a few times the world that was
 * picked least often is forked, lives on for some steps, and is saved too if the cluster came into an abstract state
 * (signature.h) that it had in none of the lives before. The last fork lives the rest of the schedule, and its liveness
 * phase.
 *
 * All is drawn from the seed. The trace of the last fork is written as that of any life. A fork that fails is the
 * schedule's failure. */
#ifndef WW_FORK_H
#define WW_FORK_H

#include "world.h"

struct forks;
void forks_free(struct forks *forks); /* NULL: nothing */

/* The world has drawn its parameters. False: no memory. */
bool forks_run(struct world *world, const struct world_options *options, struct world_result *result);

#endif

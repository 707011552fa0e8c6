/* A schedule that descends from others: corpus mutation, within one seed.
 *
 * Two ancestors live with the parameters of the seed, each with choices of its own, for a short safety phase, and their
 * decisions are written down as traces (trace.h). The descendant is a trace made from them, and lives leniently
 * (tracer.h): the first ancestor's decisions up to some time and the second's from then on (splice), those of a stretch
 * of time earlier or later (shift), and some of the second's at times of their own (insert): combinations that
 * independent draws hardly come to. What no decision names is tame. Then the liveness phase follows.
 *
 * The corpus is thus as old as its schedule, and a seed alone decides, whoever runs it. The descendant's own trace is
 * written as that of any life. An ancestor that fails is the schedule's failure. */
#ifndef WW_LINEAGE_H
#define WW_LINEAGE_H

#include "world.h"

struct lineage;
void lineage_free(struct lineage *lineage); /* NULL: nothing */

/* The world has drawn its parameters. False: no memory. */
bool lineage_run(struct world *world, const struct world_options *options, struct world_result *result);

#endif

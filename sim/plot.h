/* Trouble in several acts: what single strikes at random times hardly ever come to.
 *
 *   swizzle   a part of the nodes: their links clog, one node after the other, and clear, one after the other, in
 *             another order (FoundationDB's swizzle-clog)
 *   rolling   all nodes are restarted, in some order, each when the one before is back
 *   hunt      who leads now crashes, is cut off, or sleeps; then whoever leads instead, and so on, up to six times
 *   holder    the follower that holds the most is cut off, so that others must do without it; in half of the cases the
 *             leader crashes at that moment
 *
 * A plot is a strike of a nemesis (nemesis.h): all that it chooses, it chooses when it begins. Its acts follow from the
 * parameters and from what the cluster does; a new strike of the kind ends the one before. */
#ifndef WW_PLOT_H
#define WW_PLOT_H

#include "world.h"

/* It begins. */
void plot_strike(struct world *world, enum nemesis_kind kind);
/* It goes on, if it is still the one of that number. */
void plot_act(struct world *world, enum nemesis_kind kind, uint32_t number);

#endif

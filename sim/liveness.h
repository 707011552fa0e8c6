/* The liveness phase: faults stop, and what must then be achieved within a bound.
 *
 * Progress comes first: one leader, every live voter equal to it, every call settled, and a new client that has opened
 * a session, written and read. A world that cannot do that much, because a log is full or too many nodes have stopped
 * for good, must at least have answered every call by the end of the bound. Then the closing questions, asked in every
 * world: each key is read at a leader that has committed in its term, if one stands and a majority is alive, and one
 * key is read stale at each live node. What the answers say is for the checkers of reads.
 *
 * Where damage was unrestricted (atlas.h), the same is lived through and asked, and nothing is demanded. */
#ifndef WW_LIVENESS_H
#define WW_LIVENESS_H

#include "world.h"

/* In maximum election timeouts (twice the configured minimum). */
enum { LIVENESS_BOUND_TIMEOUTS = 20, LIVENESS_QUESTION_TIMEOUTS = 4 };

/* Heals everything but outsiders beyond a majority, and what is damaged for good. */
void liveness_begin(struct world *world);
/* True when the schedule is over: all demands are met, or a bound has passed (then the failure is recorded). */
bool liveness_over(struct world *world);

#endif

/* The liveness phase: faults stop, and what a majority must then achieve within a bound. */
#ifndef WW_LIVENESS_H
#define WW_LIVENESS_H

#include "world.h"

/* In maximum election timeouts (twice the configured minimum). */
enum { LIVENESS_BOUND_TIMEOUTS = 20 };

/* Heals everything but outsiders beyond a majority, and what is damaged for good. */
void liveness_begin(struct world *world);
/* True when the schedule is over: all demands are met, or the bound has passed (then the failure is recorded). */
bool liveness_over(struct world *world);

#endif

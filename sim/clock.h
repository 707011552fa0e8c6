/* The monotonic clock of one node: offset, drift, jumps in both directions, a coarse timer with its own phase.
 *
 * Timed: local time runs at its own rate behind true time. Untimed: local time stands still until a timer is made to
 * fire, then it is the deadline. A backward jump is fed raw; the core must take it as "no time has passed". */
#ifndef WW_CLOCK_H
#define WW_CLOCK_H

#include "scene.h"

struct clock {
    bool untimed;
    int32_t rate_ppm;
    uint64_t true_ns; /* when local_ns was right */
    uint64_t local_ns;
    uint64_t grain_ns; /* timers fire at multiples of it; 0: exactly */
    uint64_t phase_ns;
};

/* At the start of a life. */
void clock_start(struct clock *clock, struct scene *scene, uint32_t node);
uint64_t clock_read(const struct clock *clock, uint64_t now_ns);
void clock_jump_forward(struct clock *clock, uint64_t now_ns, uint64_t by_ns);
void clock_jump_backward(struct clock *clock, uint64_t now_ns, uint64_t by_ns);
/* The true time at which a timer armed for this local deadline goes off, not before now. */
uint64_t clock_due(const struct clock *clock, uint64_t now_ns, uint64_t deadline_ns);
/* Untimed: the timer was made to fire. */
void clock_fire(struct clock *clock, uint64_t deadline_ns);
/* The liveness phase: runs, nearly right, and not behind what it has shown. */
void clock_heal(struct clock *clock, uint64_t now_ns, uint64_t shown_ns);

#endif

/* Lives that end otherwise than by their checkers: a failed assertion, a signal, no end. Each is caught, and is a
 * failure of that life like any other; the next one can follow. What the world holds then means nothing but its time
 * and step.
 *
 * A signal is caught where it came, so memory that the core destroyed stays so: who wants many such lives gives each a
 * process of its own (trace_apart.h). */
#ifndef WW_TRAP_H
#define WW_TRAP_H

#include "world.h"

/* For the hook of failed assertions: one in a life that trap_live() lives ends that life. Comes back when there is no
 * such life. */
void trap_assertion(const char *expression, const char *file);

/* From now on signals that would end the process end the life only, if there is one; and so does a life that takes no
 * step for so long, by the processor's time (milliseconds), or has no end in twenty times that. */
void trap_signals(uint32_t still_ms);

struct trap_caught {
    const char *checker; /* NULL: nothing was caught */
    char text[256];
};

/* world_run(), caught. False: no memory. */
bool trap_live(struct world *world, const struct world_options *options, struct world_result *result,
               struct trap_caught *caught);

#endif

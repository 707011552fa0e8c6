/* The steps of a schedule as text: for `raftsim replay --verbose`. */
#ifndef WW_TRANSCRIPT_H
#define WW_TRANSCRIPT_H

#include "world.h"

/* One line: step, time, node, input, effects, events, digest of the replica. `from`: endpoint, ENDPOINTS if none. */
void transcript_step(struct world *world, const struct node *node, const struct input *input, uint32_t from);
/* One line per node: where it stands now. */
void transcript_nodes(const struct world *world, FILE *file);

#endif

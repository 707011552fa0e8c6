/* The steps of a schedule as text: for `raftsim replay --verbose`. */
#ifndef WW_TRANSCRIPT_H
#define WW_TRANSCRIPT_H

#include <stdio.h>

#include "observe.h"
#include "world.h"

/* The parameters, then a line for each step: step, time, node, input, effects, events, digest of the replica. */
struct transcript {
    struct observer observer;
    FILE *file;
    const struct swarm *swarm;
};

void transcript_init(struct transcript *transcript, FILE *file);
/* One line per node: where it stands now. */
void transcript_nodes(const struct world *world, FILE *file);

#endif

/* Scheduled trouble: partitions, crashes, pauses, jumps of clocks, damage to disks. */
#ifndef WW_NEMESIS_H
#define WW_NEMESIS_H

#include "world.h"

void nemesis_start(struct world *world);
/* It strikes, and its next strike is scheduled. */
void nemesis_strike(struct world *world, enum nemesis_kind kind);
/* What it did last ends: cuts for this reason (network.h). */
void nemesis_mend(struct world *world, uint32_t reason);

/* The power of all nodes goes. */
void nemesis_power(struct world *world);

/* Of a strike: a true subset of the nodes, as bits; how long what it does lasts. */
uint32_t nemesis_side(struct world *world, enum nemesis_kind kind);
uint64_t nemesis_outage_ns(struct world *world, enum nemesis_kind kind);

#endif

/* Scheduled trouble: partitions, crashes, pauses, jumps of clocks, damage to disks. */
#ifndef WW_NEMESIS_H
#define WW_NEMESIS_H

#include "world.h"

void nemesis_start(struct world *world);
/* It strikes, and its next strike is scheduled. */
void nemesis_strike(struct world *world, enum nemesis_kind kind);
/* What it did last ends. */
void nemesis_mend(struct world *world, enum nemesis_kind kind);

/* The power of all nodes goes. */
void nemesis_power(struct world *world);

#endif

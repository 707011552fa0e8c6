/* What the world does to its nodes; struct node is in world.h. */
#ifndef WW_NODE_H
#define WW_NODE_H

#include "world.h"

/* A node that is down begins a new life with empty memory and what its disk kept. */
void node_start(struct world *world, struct node *node);
/* Writes the superblock copies of a new data directory to a disk of zeros. instance: its own. */
void node_format(struct world *world, struct node *node, uint64_t instance);
/* Of a new node. */
uint64_t node_instance(struct world *world, const struct node *node);
/* Its disk is lost with all that is on it; it comes back with an empty one, formatted to rejoin under its old id. */
void node_wipe(struct world *world, struct node *node);
/* Power gone at this instant; a restart is scheduled. */
void node_crash(struct world *world, struct node *node);
/* EFFECT_STOP: checks that an injected fault explains it. */
void node_stop(struct world *world, struct node *node, const struct effect *effect);
bool node_paused(const struct world *world, const struct node *node);
/* After a step: makes sure that the node is woken at its deadline. */
void node_arm_timer(struct world *world, struct node *node);
void node_timer(struct world *world, struct node *node);

#endif

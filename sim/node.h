/* What the world does to its nodes; struct node is in world.h. */
#ifndef WW_NODE_H
#define WW_NODE_H

#include "world.h"

/* A node that is down begins a new life with empty memory and what its disk kept. */
void node_start(struct world *world, struct node *node);
/* Writes the superblock copies of a new node, with an instance of its own, to a disk of zeros. */
void node_format(struct world *world, struct node *node);
/* It comes back under its old id with a disk that is newly formatted. */
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

/* What the world itself checks after a step, beside check.h: all that takes its clocks, its disks, or the input. */
#ifndef WW_WORLD_CHECK_H
#define WW_WORLD_CHECK_H

#include "world.h"

/* It has just been elected. */
void world_check_lease(struct world *world, const struct node *elected);
/* A frame to another node is about to leave. */
void world_check_send(struct world *world, const struct node *node, struct slice frame);
void world_check_write_failure(struct world *world, const struct node *node, const struct input *input);
void world_check_scrub(struct world *world, const struct node *node);
/* The input is an intact frame of a client. */
void world_check_deadline(struct world *world, const struct node *node, const struct input *input);

#endif

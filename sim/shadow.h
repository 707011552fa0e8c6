/* A damaged frame may do to a node what a tick may, and nothing else: a copy of the node is given a tick instead, and
 * the two must then be equal, byte by byte. Copies are dear, so only every eighth damaged frame of a schedule, from the
 * first on, is followed so closely; that it is refused is checked each time. */
#ifndef WW_SHADOW_H
#define WW_SHADOW_H

#include "../core/replica.h"

struct node;
struct world;

struct shadow {
    void *region;
    size_t region_capacity_bytes;
    void *output_region;
    size_t output_capacity_bytes;
    struct output output;
    uint32_t frames; /* damaged ones delivered to nodes in this schedule */
    bool taken;      /* a copy was made for the frame under way */
    bool starting;   /* the node had not recovered then */
};

/* Before and after a damaged frame is fed. */
void shadow_before(struct world *world, const struct node *node, const struct input *input);
void shadow_after(struct world *world, const struct node *node, const struct input *input);

#endif

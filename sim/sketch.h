/* How many kinds of something there are, and how often each was seen, in fixed memory: a bottom-k sketch.
 *
 * It keeps the exact count of the kinds with the lowest hashes. That is a fair sample of all kinds, whatever order they
 * come in, and one that was put out never comes back in, since the bound only falls. So the sum of two sketches is the
 * sketch of both together, bit for bit: how a campaign was divided among workers and machines leaves no mark.
 *
 * Good-Turing (Good 1953): the share of what will be seen next that was never seen before is about f1 / n, with f1 the
 * number of kinds seen exactly once, and n the number of sightings. That holds for sightings that do not depend on each
 * other: whoever counts sees to that (signature.h counts a kind once a schedule). */
#ifndef WW_SKETCH_H
#define WW_SKETCH_H

#include "../core/base.h"

enum { SKETCH_ITEMS = 2048 };

struct sketch_item {
    uint64_t hash;
    uint64_t seen; /* at least 1 */
};

/* All zero: nothing seen. */
struct sketch {
    uint64_t sightings; /* of all kinds, also of those that are not kept */
    uint64_t count;
    struct sketch_item items[SKETCH_ITEMS]; /* the lowest hashes, ascending */
};

/* hash: of the kind, well mixed. */
void sketch_see(struct sketch *sketch, uint64_t hash);
/* Takes in an item of another sketch, without its sightings. */
void sketch_put(struct sketch *sketch, struct sketch_item item);
void sketch_add(struct sketch *sum, const struct sketch *part);

struct sketch_estimate {
    uint64_t kinds;        /* that were seen; exact while they all fit */
    uint64_t once;         /* of these, seen once */
    uint64_t unseen;       /* parts in 10^9 of what comes next that are new */
    uint64_t once_sampled; /* kept kinds seen once: the relative error is about 1 / sqrt of it */
};
struct sketch_estimate sketch_estimate(const struct sketch *sketch);

#endif

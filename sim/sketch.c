/* The kinds with the lowest hashes, and their counts. */
#include "sketch.h"

/* Where the hash is, or belongs. */
static uint64_t sketch_place(const struct sketch *sketch, uint64_t hash)
{
    uint64_t low = 0;
    uint64_t high = sketch->count;
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        if (sketch->items[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void sketch_put(struct sketch *sketch, struct sketch_item item)
{
    ASSERT(item.seen > 0);
    ASSERT(sketch->count <= SKETCH_ITEMS);
    const bool full = sketch->count == SKETCH_ITEMS;
    if (full && item.hash > sketch->items[SKETCH_ITEMS - 1].hash)
        return;
    const uint64_t at = sketch_place(sketch, item.hash);
    if (at < sketch->count && sketch->items[at].hash == item.hash) {
        sketch->items[at].seen += item.seen;
        return;
    }
    sketch->count += !full;
    memmove(&sketch->items[at + 1], &sketch->items[at], (sketch->count - at - 1) * sizeof sketch->items[0]);
    sketch->items[at] = item;
}

void sketch_see(struct sketch *sketch, uint64_t hash)
{
    sketch->sightings++;
    sketch_put(sketch, (struct sketch_item){ .hash = hash, .seen = 1 });
}

void sketch_add(struct sketch *sum, const struct sketch *part)
{
    sum->sightings += part->sightings;
    for (uint64_t i = 0; i < part->count; i++)
        sketch_put(sum, part->items[i]);
}

/* The k-th lowest of m hashes lies near k / m of the range, so m is about (k - 1) / (its hash / range), which is free
 * of bias (Bar-Yossef et al. 2002). The range is taken as 2^44, for 64-bit arithmetic. */
struct sketch_estimate sketch_estimate(const struct sketch *sketch)
{
    struct sketch_estimate estimate = { .kinds = sketch->count };
    for (uint64_t i = 0; i < sketch->count; i++)
        estimate.once_sampled += sketch->items[i].seen == 1;
    estimate.once = estimate.once_sampled;
    if (sketch->count == SKETCH_ITEMS) {
        const uint64_t bound = u64_max(sketch->items[SKETCH_ITEMS - 1].hash >> 20, SKETCH_ITEMS);
        estimate.kinds = u64_max(((uint64_t)(SKETCH_ITEMS - 1) << 44) / bound, SKETCH_ITEMS);
        estimate.once = estimate.kinds * estimate.once_sampled / SKETCH_ITEMS;
    }
    uint64_t once = u64_min(estimate.once, sketch->sightings);
    uint64_t sightings = sketch->sightings;
    for (; once > UINT64_MAX / 1000000000; once /= 2)
        sightings /= 2;
    estimate.unseen = sightings > 0 ? once * 1000000000 / sightings : 1000000000; /* all that comes is new */
    return estimate;
}

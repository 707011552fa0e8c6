/* Buckets: values below 128 have one each; above, every power of two is cut into 128 equal steps. See histogram.h. */
#include "histogram.h"

static uint32_t histogram_slot(uint64_t value)
{
    if (value < HISTOGRAM_STEPS)
        return (uint32_t)value;
    const uint32_t shift = 63 - 7 - (uint32_t)__builtin_clzll(value);
    const uint32_t slot = shift * HISTOGRAM_STEPS + (uint32_t)(value >> shift);
    ASSERT(slot < HISTOGRAM_BUCKETS);
    return slot;
}

/* The largest value of a bucket. */
static uint64_t histogram_slot_end(uint32_t slot)
{
    if (slot < 2 * HISTOGRAM_STEPS)
        return slot;
    const uint32_t shift = slot / HISTOGRAM_STEPS - 1;
    const uint64_t step = slot - shift * HISTOGRAM_STEPS;
    return (step << shift) + ((UINT64_C(1) << shift) - 1);
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram->count++;
    histogram->sum += value;
    histogram->max = u64_max(histogram->max, value);
    histogram->buckets[histogram_slot(value)]++;
}

void histogram_merge(struct histogram *to, const struct histogram *from)
{
    to->count += from->count;
    to->sum += from->sum;
    to->max = u64_max(to->max, from->max);
    for (uint32_t slot = 0; slot < HISTOGRAM_BUCKETS; slot++)
        to->buckets[slot] += from->buckets[slot];
}

uint64_t histogram_quantile(const struct histogram *histogram, uint32_t numerator, uint32_t denominator)
{
    ASSERT(numerator <= denominator && denominator > 0);
    if (histogram->count == 0)
        return 0;
    const uint64_t rank = u64_max((histogram->count * numerator + denominator - 1) / denominator, 1);
    uint64_t seen = 0;
    for (uint32_t slot = 0; slot < HISTOGRAM_BUCKETS; slot++) {
        seen += histogram->buckets[slot];
        if (seen >= rank)
            return u64_min(histogram_slot_end(slot), histogram->max);
    }
    UNREACHABLE();
}

/* Latencies as counts in buckets that grow with the value: at most 1/128 wrong, whatever the range, in fixed memory. */
#ifndef WW_HISTOGRAM_H
#define WW_HISTOGRAM_H

#include "../core/base.h"

enum { HISTOGRAM_STEPS = 128, HISTOGRAM_BUCKETS = (64 - 7 + 1) * HISTOGRAM_STEPS };

struct histogram {
    uint64_t count;
    uint64_t sum;
    uint64_t max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t value);
void histogram_merge(struct histogram *to, const struct histogram *from);

/* The smallest value that numerator/denominator of all values do not exceed: upper end of its bucket; 0: empty. */
uint64_t histogram_quantile(const struct histogram *histogram, uint32_t numerator, uint32_t denominator);

#endif

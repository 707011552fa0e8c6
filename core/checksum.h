/* XXH3, the one checksum of all stored and wire formats. Stored checksums are seeded with where the bytes belong
 * (cluster, position), so that bytes of another cluster, of an earlier lap or of another place simply fail. */
#ifndef WW_CHECKSUM_H
#define WW_CHECKSUM_H

#include "base.h"

struct hash128 {
    uint64_t low;
    uint64_t high;
};

uint64_t checksum64(const void *bytes, size_t count, uint64_t seed);
struct hash128 checksum128(const void *bytes, size_t count, uint64_t seed);

static inline bool hash128_equal(struct hash128 a, struct hash128 b) { return a.low == b.low && a.high == b.high; }
static inline bool hash128_is_zero(struct hash128 hash) { return hash.low == 0 && hash.high == 0; }

#endif

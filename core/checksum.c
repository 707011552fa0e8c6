/* The only file of the core that includes xxhash.h. */
#include "checksum.h"

#include <xxhash.h>

uint64_t checksum64(const void *bytes, size_t count, uint64_t seed) { return XXH3_64bits_withSeed(bytes, count, seed); }

struct hash128 checksum128(const void *bytes, size_t count, uint64_t seed)
{
    const XXH128_hash_t hash = XXH3_128bits_withSeed(bytes, count, seed);
    return (struct hash128){ .low = hash.low64, .high = hash.high64 };
}

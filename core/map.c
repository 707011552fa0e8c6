/* Sizes of the page map, its hashes, and who uses which block; see map.h. */
#include "map.h"

#include "state.h"

uint32_t map_fanout(const struct limits *limits) { return limits->page_bytes / (uint32_t)sizeof(struct map_entry); }

uint32_t map_count(const struct limits *limits, uint32_t level)
{
    const uint32_t fanout = map_fanout(limits);
    uint32_t count = limits->pages_max;
    for (uint32_t at = 0; at < level; at++)
        count = (count + fanout - 1) / fanout;
    return count;
}

uint32_t map_root(const struct limits *limits)
{
    uint32_t level = 1;
    while (map_count(limits, level) > 1)
        level++;
    ASSERT(level < MAP_LEVELS_MAX);
    return level;
}

uint32_t map_blocks(const struct limits *limits)
{
    uint32_t blocks = 0;
    for (uint32_t level = 1; level <= map_root(limits); level++)
        blocks += map_count(limits, level);
    return blocks;
}

uint64_t map_bytes(const struct limits *limits)
{
    uint64_t bytes = 0;
    for (uint32_t level = 0; level <= map_root(limits); level++)
        bytes += u64_round_up((uint64_t)map_count(limits, level) * sizeof(struct map_entry), limits->page_bytes);
    return bytes;
}

/* A page map outside a replica; see page_map.h. */
#include "page_map.h"

#include <string.h>
#include <sys/mman.h>

bool page_map_open(struct page_map *map, const struct limits *limits, uint64_t cluster_id)
{
    *map = (struct page_map){ .limits = *limits, .cluster_id = cluster_id, .root_level = map_root(limits) };
    map->memory_bytes = map_bytes(limits);
    void *memory =
        mmap(NULL, map->memory_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return false;
    map->memory = memory;
    uint64_t offset = 0;
    for (uint32_t level = 0; level <= map->root_level; level++) {
        map->levels[level] = (struct map_entry *)(void *)(map->memory + offset);
        offset += u64_round_up((uint64_t)map_count(limits, level) * sizeof(struct map_entry), limits->page_bytes);
    }
    ASSERT(offset == map->memory_bytes);
    return true;
}

void page_map_close(struct page_map *map)
{
    if (map->memory != NULL)
        munmap(map->memory, map->memory_bytes);
    *map = (struct page_map){ .memory = NULL };
}

uint8_t *page_map_block(const struct page_map *map, uint32_t level, uint32_t at)
{
    ASSERT(level >= 1 && level <= map->root_level);
    ASSERT(at < map_count(&map->limits, level));
    return (uint8_t *)map->levels[level - 1] + (size_t)at * map->limits.page_bytes;
}

struct hash128 page_map_hash(const struct page_map *map, const uint8_t *page)
{
    return map_page_hash_in(&map->limits, map->cluster_id, page);
}

struct hash128 page_map_roll_up(struct page_map *map)
{
    for (uint32_t level = 1; level <= map->root_level; level++) {
        for (uint32_t at = 0; at < map_count(&map->limits, level); at++)
            map->levels[level][at].hash = map_block_hash(&map->limits, page_map_block(map, level, at));
    }
    return map->levels[map->root_level][0].hash;
}

uint32_t page_map_place(struct page_map *map, uint32_t block)
{
    for (uint32_t level = 1; level <= map->root_level; level++) {
        for (uint32_t at = 0; at < map_count(&map->limits, level); at++) {
            struct map_entry *entry = &map->levels[level][at];
            if (map_entry_is_zero(entry))
                continue;
            ASSERT(block < map->limits.data_blocks);
            entry->block = block++;
            entry->checksum =
                map_block_checksum_in(&map->limits, map->cluster_id, page_map_block(map, level, at), level, at);
        }
    }
    return block;
}

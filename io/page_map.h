/* A page map outside a replica (core/map.h): what tools read from device 1, or build for it. All levels lie in one
 * mapping; what nobody touches costs no memory. */
#ifndef WW_PAGE_MAP_H
#define WW_PAGE_MAP_H

#include "../core/map.h"

struct page_map {
    struct limits limits; /* of them only page_bytes, pages_max and data_blocks count */
    uint64_t cluster_id;  /* seeds all hashes */
    uint32_t root_level;
    struct map_entry *levels[MAP_LEVELS_MAX];
    uint8_t *memory;
    uint64_t memory_bytes;
};

/* An empty map. False: no memory. */
bool page_map_open(struct page_map *map, const struct limits *limits, uint64_t cluster_id);
void page_map_close(struct page_map *map);

/* The map block that the entry (level, at) describes, level >= 1: page_bytes of them. */
uint8_t *page_map_block(const struct page_map *map, uint32_t level, uint32_t at);

struct hash128 page_map_hash(const struct page_map *map, const uint8_t *page);

/* With the entries of level 0 in place: hashes of all levels above. Returns that of the root, which names all pages. */
struct hash128 page_map_roll_up(struct page_map *map);

/* With all hashes in place: gives a block to every map block that is not empty, in order, from `block` on, and computes
 * the checksums. Returns the first block behind them. */
uint32_t page_map_place(struct page_map *map, uint32_t block);

#endif

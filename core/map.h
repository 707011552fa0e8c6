/* The page map: which block of device 1 holds each page, with hashes of everything below (storage design 4.2).
 *
 *   level 0           one entry per page
 *   level k           one entry per map block of level k: that block holds map_fanout() entries of level k - 1
 *   level map_root()  one entry, which the superblock holds
 *
 * An entry is stored as it lies in memory, so a map block is a slice of the array of the level below, and is written
 * from where it lies. Nothing below an entry that is zero was ever used: its pages are zero and it has no block.
 *
 * `hash` depends on the pages alone: of a page, its bytes; of a map block, the hashes of its entries. Two replicas with
 * equal pages have equal hashes on every level, wherever their blocks lie. `checksum` verifies a map block as stored,
 * block numbers included; pages need none, since their hash does it. */
#ifndef WW_MAP_H
#define WW_MAP_H

#include "base.h"
#include "checksum.h"
#include "limits.h"

struct replica;

struct map_entry {
    struct hash128 hash; /* zero: nothing there */
    uint64_t checksum;   /* levels above 0: of the map block's bytes */
    uint32_t block;      /* of device 1; 0: none */
    uint32_t zero;
};
STATIC_ASSERT(sizeof(struct map_entry) == 32, "no padding");

enum { MAP_LEVELS_MAX = 8 };

/* Nothing is below it. An entry that is not zero and has no block is one whose content is still to be got from a peer
 * (install.h). */
static inline bool map_entry_is_zero(const struct map_entry *entry) { return hash128_is_zero(entry->hash); }

/* Entries of one map block. */
uint32_t map_fanout(const struct limits *limits);
/* The level whose one entry describes the whole map; at least 1. */
uint32_t map_root(const struct limits *limits);
/* Entries of a level; those of level 0 are the pages. */
uint32_t map_count(const struct limits *limits, uint32_t level);
/* Map blocks of all levels. */
uint32_t map_blocks(const struct limits *limits);
/* Memory of all levels; each begins at a multiple of page_bytes and is padded to whole map blocks. */
uint64_t map_bytes(const struct limits *limits);

struct map_entry *map_entry(struct replica *replica, uint32_t level, uint32_t at);
const struct map_entry *map_entry_const(const struct replica *replica, uint32_t level, uint32_t at);

/* The bytes of the map block that the entry (level, at) describes, level >= 1: page_bytes of them. */
uint8_t *map_block(struct replica *replica, uint32_t level, uint32_t at);
const uint8_t *map_block_const(const struct replica *replica, uint32_t level, uint32_t at);

/* Must the map block that (level, at) describes be written again, level >= 1? */
bool map_is_dirty(const struct replica *replica, uint32_t level, uint32_t at);
void map_set_dirty(struct replica *replica, uint32_t level, uint32_t at, bool dirty);
/* The first entry of the level, from `at` on, whose map block is dirty; looks at `words` * 64 entries. Where it ended
 * when there is none: never above map_count(). */
uint32_t map_next_dirty(const struct replica *replica, uint32_t level, uint32_t at, uint32_t words);

/* Is what the entry describes not here (install.h), level >= 0? */
bool map_wanted(const struct replica *replica, uint32_t level, uint32_t at);
void map_set_wanted(struct replica *replica, uint32_t level, uint32_t at, bool wanted);
/* Like map_next_dirty(), of what is wanted; level >= 0. */
uint32_t map_next_wanted(const struct replica *replica, uint32_t level, uint32_t at, uint32_t words);

/* Hash of a page's bytes in this cluster; zero for a page of zeros. */
struct hash128 map_page_hash(const struct replica *replica, const uint8_t *bytes);
/* Hash of a map block: of the hashes in its entries; zero when all are. */
struct hash128 map_block_hash(const struct limits *limits, const uint8_t *block);
/* The same from the hashes alone, map_fanout() of them. */
struct hash128 map_hashes_hash(const struct limits *limits, const struct hash128 *hashes);
/* Checksum of a map block as stored. */
uint64_t map_block_checksum(const struct replica *replica, const uint8_t *block, uint32_t level, uint32_t at);

/* The two that depend on the cluster, for who reads or builds a device without a replica. */
struct hash128 map_page_hash_in(const struct limits *limits, uint64_t cluster_id, const uint8_t *bytes);
uint64_t map_block_checksum_in(const struct limits *limits, uint64_t cluster_id, const uint8_t *block, uint32_t level,
                               uint32_t at);

/* ---- blocks of device 1 ---- */

/* What a block is used for: 0 free; a page (its number + 1); a map block; kept until the next checkpoint is durable. */
#define BLOCK_FREE 0u
#define BLOCK_MAP 0x3fffffffu
#define BLOCK_RETIRED 0x3ffffffeu
/* Beside the use: taken since the last durable checkpoint, which does not know of it. Only such a block is written. */
#define BLOCK_FRESH 0x80000000u

/* Looked at in one call of the functions below. */
enum { BLOCK_SCAN_MAX = 4096 };

/* Without BLOCK_FRESH. */
uint32_t block_use(const struct replica *replica, uint32_t block);
bool block_is_fresh(const struct replica *replica, uint32_t block);
/* A block that the durable checkpoint uses, as it is loaded. False: there is no such block, or it is used already. */
bool block_claim(struct replica *replica, uint32_t block, uint32_t use);

/* What a map block that cannot be read says of the blocks below it is lost: they are free. Nothing is allocated before
 * the hashes that it held are known again, from a peer; from then on what lies below is wanted whatever lies on the
 * disk, and a later life that can read the old map block after all finds there pages with the right hash, or none. */

/* The next free block at or behind the cursor, wrapping, fresh from now on; blocks are taken in order, so that a
 * checkpoint's writes are long. limits_problem() holds that there always is one. 0: none among the BLOCK_SCAN_MAX that
 * were looked at; call again, in the next step. */
uint32_t block_allocate(struct replica *replica, uint32_t use);
/* The same for this one block, if it is free; else 0. */
uint32_t block_take(struct replica *replica, uint32_t block, uint32_t use);
/* The map no longer uses the block: free at once when it is fresh, else retired. 0 is none. */
void block_release(struct replica *replica, uint32_t block);
/* A checkpoint became durable: retired blocks become free and fresh ones are no longer. A bounded part of them, from
 * *cursor on; true when it has been through all that were ever used in this life. */
bool block_settle(struct replica *replica, uint32_t *cursor);
/* Nothing is known of the blocks any more: all are free until they are claimed. In the same way, in pieces. */
bool block_forget(struct replica *replica, uint32_t *cursor);

#endif

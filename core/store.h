/* The state in memory and where it came from: loading a checkpoint from device 1 (storage design 4.3).
 *
 *   EMPTY -> (no checkpoint yet) -> READY
 *   LOADING: the map from the root down, each block verified by its entry, then the pages in the order of their blocks
 *   LOADING --all intact--> READY
 *   LOADING --something cannot be read or is not what the map says--> DAMAGED: install.c gets it from a peer, and
 *   switches to LOADING again for what it got
 *
 * While the store is not READY nothing is applied and nothing is served; the log goes on: the node follows, votes, and
 * may even lead, without clients.
 *
 * What cannot be read is asked for again by single blocks, a few times, before it counts as lost.
 *
 * Apply is prefetch, then apply: store_prefetch() says whether all pages that an entry touches are in memory. They
 * always are in this version; a store larger than memory would answer false and read. */
#ifndef WW_STORE_H
#define WW_STORE_H

#include "base.h"
#include "entry.h"
#include "replica.h"

struct replica;

enum store_state { STORE_LOADING, STORE_READY, STORE_DAMAGED };
enum store_phase { STORE_MAP, STORE_PAGES };
enum { STORE_READS_MAX = 2, STORE_READ_TRIES = 3 };

struct store_read {
    uint32_t first_block;
    uint32_t count; /* blocks; 0: free slot */
    uint32_t tries;
    uint32_t zero;
};

struct store {
    uint32_t state;         /* enum store_state */
    uint32_t phase;         /* enum store_phase */
    uint32_t level;         /* of the map entries whose blocks are being read */
    uint32_t next;          /* map: entry of that level; pages: block */
    uint32_t by_blocks_end; /* a run failed: up to here blocks are read one by one */
    uint32_t pages_damaged; /* pages that are not what the map says: bit set in areas.pages_damaged */
    bool map_damaged;       /* a map block is lost: what is below it is unknown */
    bool whole;             /* loading after an install: only pages in areas.pages_damaged are read */
    uint8_t zero[2];
    uint32_t loaded; /* pages read in this life */
    struct store_read reads[STORE_READS_MAX];
};

/* Begins to load what stored.checkpoint names into memory. With `only`, just the pages whose bit is set in
 * areas.pages_damaged: the map in memory is right, and so are the others. */
void store_load(struct replica *replica, struct output *output, bool only);
void store_flush(struct replica *replica, struct output *output);
void store_read(struct replica *replica, struct output *output, const struct input *input);

bool store_is_ready(const struct replica *replica);
/* Are all pages in memory that the entry may touch? */
bool store_prefetch(struct replica *replica, const struct entry *entry);

bool store_page_damaged(const struct replica *replica, uint32_t page);
void store_set_damaged(struct replica *replica, uint32_t page, bool damaged);

#endif

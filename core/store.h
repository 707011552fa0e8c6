/* The state in memory and where it came from: loading a checkpoint from device 1 (storage design 4.3).
 *
 *   LOADING --no checkpoint yet, or all intact--> READY
 *   LOADING --something cannot be read or is not what the map says--> DAMAGED: install.c gets it from a peer, and
 *   switches to LOADING again for the rest
 *   READY --the scrub finds a page that memory and the disk have lost--> DAMAGED
 *   READY --a checkpoint is pulled--> DAMAGED until it is here, or until install.c goes back to the own one
 *
 * Loading goes through three phases:
 *
 *   MAP     map blocks from the root down, each verified by its entry. What they name is claimed: blocks by
 *           block_claim(), pages by becoming dirty, which says that memory is not what the map says
 *   CLEAR   dirty pages that the map says are zero become zero
 *   PAGES   the other dirty pages are read in the order of their blocks, verified by their hash, and become clean
 *
 * While the store is not READY nothing is applied and nothing is served; the log goes on: the node follows, votes, and
 * may even lead, without clients.
 *
 * What cannot be read, or is wrong, is asked for again by single blocks, a few times, before it counts as lost. What is
 * lost is wanted (map_wanted()): a page, or a map block with everything below it.
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
enum store_phase { STORE_MAP, STORE_CLEAR, STORE_PAGES };
enum { STORE_READS_MAX = 2, STORE_READ_TRIES = 3 };

struct store_read {
    uint32_t first_block;
    uint32_t count; /* blocks; 0: free slot */
    uint32_t tries;
    uint32_t at; /* map: entry of the level */
    uint64_t submitted_ns;
};

struct store {
    uint32_t state;         /* enum store_state */
    uint32_t phase;         /* enum store_phase */
    uint32_t level;         /* of the map entries whose blocks are being read */
    uint32_t next;          /* map: entry of that level; clear: page; pages: block */
    uint32_t by_blocks_end; /* a run failed: up to here blocks are read one by one */
    uint32_t pages_damaged; /* pages that are not what the map says, found by this load */
    uint32_t loaded;        /* pages read in this life */
    bool map_damaged;       /* a map block is lost: what is below it is unknown */
    bool again;             /* what is read was lost before, and said to be */
    uint8_t zero[2];
    struct store_read reads[STORE_READS_MAX];
};

/* Begins to load what stored.checkpoint names into memory; READY at once when there is none. With `map_known` the map
 * in memory is right, and so are the pages that are not dirty. The checkpoint writer is idle. */
void store_load(struct replica *replica, struct output *output, bool map_known);
/* DAMAGED by lost pages only: reads these once more. A disk that could not answer then may be able to now, and nobody
 * else may have them. No more than STORE_AGAIN_MAX at once, and none of an install that is not complete. */
enum { STORE_AGAIN_MAX = 256 };
void store_load_again(struct replica *replica, struct output *output);
/* Emits the reads that may go now. Called once per step. */
void store_flush(struct replica *replica, struct output *output);
/* When the oldest read that is under way was submitted; UINT64_MAX: none is. */
uint64_t store_oldest_ns(const struct replica *replica);
/* A read that the store emitted has completed. */
void store_read(struct replica *replica, struct output *output, const struct input *input);

/* The page, which is READY's and as the checkpoint has it, is wrong in memory and on the disk: DAMAGED. The writer and
 * the installer are idle. */
void store_lose(struct replica *replica, struct output *output, uint32_t page);

bool store_is_ready(const struct replica *replica);
/* Are all pages in memory that the entry may touch? */
bool store_prefetch(const struct replica *replica, const struct entry *entry);

/* Are the page's bytes lost: is it wanted at level 0 of the map? */
bool store_page_damaged(const struct replica *replica, uint32_t page);
void store_set_damaged(struct replica *replica, uint32_t page, bool damaged);

#endif

/* Checkpoints: the pages as they were behind one entry, made durable while applying goes on (storage design 4.2).
 *
 * The entry is a marker in the log (ENTRY_CHECKPOINT), which a leader appends when its log has grown enough. So every
 * replica freezes the same pages at the same index, and checkpoint.hash can be compared between replicas.
 *
 *   IDLE --marker applied: freeze--> PAGES --> MAP --> HEAD --> SUPERBLOCK --> RETIRE --> IDLE
 *
 *   freeze      O(1): the set of dirty pages becomes the frozen set, an empty one takes its place
 *   PAGES       frozen pages are hashed and written to free blocks, in runs, checkpoint_depth at a time. Whoever
 * changes a frozen page that was not written yet first copies it to the shadow pool (page_write -> checkpoint_touch)
 *   MAP         map blocks with a changed entry, level by level
 *   HEAD        where the log may begin from now on is looked for, a bounded number of batches per step
 *   SUPERBLOCK  one write (all its copies) makes checkpoint and head count together
 *   RETIRE      blocks that only the old checkpoint used become free, log and WAL behind the head are given up
 *
 * Invariants:
 *   a block that the durable checkpoint uses is never written
 *   a page is in exactly one state of: clean, dirty, frozen, frozen and dirty (then its frozen bytes are in the shadow
 *   pool)
 *   every step writes, hashes and scans a bounded amount
 *   a marker is not applied while the checkpoint before it is under way; nor is anything while the shadow pool might
 *   not hold what the next entry changes */
#ifndef WW_CHECKPOINT_H
#define WW_CHECKPOINT_H

#include "base.h"
#include "map.h"
#include "replica.h"

struct replica;

/* What a checkpoint is; part of the superblock. All zero: none yet, the state before the first entry. */
struct checkpoint {
    struct log_id id;      /* the last entry applied */
    struct hash128 hash;   /* of all pages, and of the id: equal on all replicas */
    struct map_entry root; /* of the page map */
};
STATIC_ASSERT(sizeof(struct checkpoint) == 64, "no padding");

enum checkpoint_phase {
    CHECKPOINT_IDLE,
    CHECKPOINT_PAGES,
    CHECKPOINT_MAP,
    CHECKPOINT_HEAD,
    CHECKPOINT_SUPERBLOCK,
    CHECKPOINT_RETIRE,
};

enum { CHECKPOINT_DEPTH_MAX = 2 };

/* A write of device 1 in flight, and its buffer: data_run_bytes_max each, in areas.data_runs. */
struct checkpoint_run {
    uint32_t first_block;
    uint32_t count; /* 0: free */
};

struct checkpoint_writer {
    uint32_t phase;     /* enum checkpoint_phase */
    uint32_t page_next; /* frozen pages below are written or in flight */
    uint32_t level;     /* of the map blocks being written */
    uint32_t at;
    uint32_t frozen_set;   /* which of the two dirty sets is the frozen one: 0 or 1 */
    uint32_t frozen_count; /* pages frozen and not yet written (nor in the shadow pool) */
    uint32_t dirty_count;
    uint32_t shadow_count; /* slots of the pool in use */
    uint32_t retire_next;
    uint32_t block_next;  /* cursor of block_allocate() */
    uint32_t blocks_used; /* not free */
    uint32_t zero;
    uint64_t pages_written; /* in this life */
    struct checkpoint next; /* being written */
    struct checkpoint_run runs[CHECKPOINT_DEPTH_MAX];
};

/* The hash that names a checkpoint: of everything in it. */
struct hash128 checkpoint_hash(struct log_id id, struct hash128 root_hash);

/* A page is about to change (called by page.c). */
void checkpoint_touch(struct replica *replica, uint32_t page);

/* May the next entry be applied: does the shadow pool hold what it may change? */
bool checkpoint_has_room(const struct replica *replica);
bool checkpoint_is_idle(const struct replica *replica);

/* The marker at id is applied: freezes. The writer is idle. */
void checkpoint_freeze(struct replica *replica, struct output *output, struct log_id id);

/* Emits the writes that may go now, and moves on. Called once per step. */
void checkpoint_flush(struct replica *replica, struct output *output);
/* A write of device 1 that the checkpoint emitted has completed. */
void checkpoint_written(struct replica *replica, struct output *output, uint64_t op_id, enum disk_result result);

/* Of the writer and the sets: NULL, or the invariant broken. O(1). */
const char *checkpoint_invariant(const struct replica *replica);

#endif

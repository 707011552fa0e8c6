/* Checkpoints: the pages as they were behind one entry, made durable while applying goes on (storage design 4.2).
 *
 * The entry is a marker in the log (ENTRY_CHECKPOINT), which a leader appends when its log has grown enough. So every
 * replica freezes the same pages at the same index, and checkpoint.hash can be compared between replicas. Only one
 * whose log is full or has a damaged place, or whose durable checkpoint is not what a peer or its own disk needs,
 * freezes by itself (checkpoint_relieve(), checkpoint_renew()).
 *
 *   IDLE --marker applied: freeze--> PAGES --> MAP --> HEAD --> SUPERBLOCK --> RETIRE --> IDLE
 *
 *   freeze      O(1): the set of dirty pages becomes the frozen set, an empty one takes its place
 *   PAGES       frozen pages are hashed and written to free blocks, in runs, data_depth at a time. Whoever changes a
 *               frozen page that was not written yet first copies it to the shadow pool (page.c -> checkpoint_touch).
 *               Those who write to the log meanwhile use the same disk, so this keeps pace with them: it is over when
 *               the log has grown by half of what calls for the next checkpoint. While the log is full nobody does,
 *               and nothing is waited for
 *   MAP         map blocks with a changed entry, level by level, from where they lie: nobody else changes the map
 *   HEAD        all of it is durable, and so is the log up to the marker; where the log may begin from now on is
 *               looked for, a bounded number of batches per step
 *   SUPERBLOCK  one write (all its copies) makes checkpoint and head count together
 *   RETIRE      blocks that only the old checkpoint used become free, log and WAL behind the head are given up
 *
 * Invariants:
 *   a block that the durable checkpoint uses is never written: only fresh ones are (map.h)
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

/* Operation ids of device 1, beside those of the WAL (wal_op_id()). */
enum data_operation {
    DATA_WRITE = 16,         /* a run of a checkpoint; low bits: its slot in runs */
    DATA_READ = 17,          /* store.c; low bits: its slot in reads */
    DATA_WRITE_INSTALL = 18, /* a page that came from a peer; install.c */
    DATA_READ_SERVE = 19,    /* a page for a peer; install.c */
    DATA_SCRUB = 20,         /* a read or write of the scrub, of either device */
};

/* A write of device 1 in flight. Pages lie in the slot's buffer in areas.data_runs (data_run_bytes_max), map blocks
 * where they are. */
struct checkpoint_run {
    uint32_t first_block;
    uint32_t count; /* 0: free */
    uint64_t submitted_ns;
};

struct checkpoint_writer {
    uint32_t phase;        /* enum checkpoint_phase */
    uint32_t page_next;    /* frozen pages below are written, in flight, or in the shadow pool */
    uint32_t level;        /* of the entries whose map blocks are being written */
    uint32_t at;           /* entries of the level below are done */
    uint32_t frozen_set;   /* which of the two dirty sets is the frozen one: 0 or 1 */
    uint32_t frozen_count; /* pages frozen, not yet written, and not copied to the shadow pool */
    uint32_t dirty_count;
    uint32_t shadow_count; /* slots of the pool in use: the first ones */
    uint32_t settle_next;  /* cursor of block_settle() */
    uint32_t block_next;   /* cursor of block_allocate() */
    uint32_t blocks_used;  /* not free */
    uint32_t blocks_end;   /* from here on all are free, and were since the start */
    bool adopted;          /* of an install: from MAP on */
    bool partial;          /* of an install that is not complete */
    bool renewal_due;      /* checkpoint_renew() */
    uint8_t zero;
    uint32_t pages;         /* written for this checkpoint, or for the last one */
    uint32_t pages_frozen;  /* at the freeze */
    uint64_t pages_written; /* in this life */
    uint64_t frozen_lsn;    /* where the log ended at the last freeze */
    uint64_t frozen_ns;     /* when that was */
    uint64_t due_ns; /* the next run is written then at the latest; UINT64_MAX: its time is not what it waits for */
    struct checkpoint next; /* being written, or the last one written or loaded */
    struct checkpoint_run runs[CHECKPOINT_DEPTH_MAX];
};

/* The hash that names a checkpoint: of everything in it. */
struct hash128 checkpoint_hash(struct log_id id, struct hash128 root_hash);

/* The clean page is about to change: it becomes dirty, and if it is frozen and not yet written its bytes are kept in
 * the shadow pool (page.c, where what is dirty already never comes here). */
void checkpoint_touch(struct replica *replica, uint32_t page);
/* The bytes of a page are what the map says: it is not dirty any more. The writer is idle. Is it dirty:
 * checkpoint_page_dirty(), in state.h. */
void checkpoint_clean(struct replica *replica, uint32_t page);
/* The first dirty page from `page` on; looks at `words` * 64 pages. Where it ended when there is none: never above
 * pages_max. */
uint32_t checkpoint_next_dirty(const struct replica *replica, uint32_t page, uint32_t words);

/* May the next entry be applied: does the shadow pool hold what it may change? */
bool checkpoint_has_room(const struct replica *replica);
bool checkpoint_is_idle(const struct replica *replica);
/* Is the one that the disk has whole being replaced by one that is not all here yet? */
bool checkpoint_gives_up(const struct replica *replica);

/* Has the log grown so much since the last checkpoint that a leader should append the next marker? */
bool checkpoint_is_due(const struct replica *replica);

/* Freezes where the node is, without a marker, when its log has no room for another command, when it can leave a
 * damaged place behind (wal_head_is_due()), or when the next checkpoint is wanted early. Logs of equal entries are not
 * equally long, since each node packs its own batches: nobody else can know that this one is full. Such a checkpoint is
 * like any other, but nobody else has one at its index. */
void checkpoint_relieve(struct replica *replica, struct output *output);

/* The durable checkpoint does not do, and waiting for the next marker could take for ever: the disk lost a page of it
 * that memory has changed since, so that only another checkpoint mends that; or a peer needs a newer one. The next one
 * is made as soon as that may be, if there is anything behind this one. */
void checkpoint_renew(struct replica *replica);

/* The marker at id is applied: freezes. The writer is idle. */
void checkpoint_freeze(struct replica *replica, struct output *output, struct log_id id);

/* Makes the map as it is in memory the checkpoint `id`, for install.c: map blocks that are dirty are written, all else
 * is on the device. partial: some of it is still to be got from peers. The writer is idle and nothing is applied. */
void checkpoint_adopt(struct replica *replica, struct log_id id, bool partial);

/* Emits the writes that may go now, and moves on. Called once per step. */
void checkpoint_flush(struct replica *replica, struct output *output);
/* Where a run of pages is gathered: the slot's data_run_bytes_max bytes. install.c uses them while this writer is idle.
 */
uint8_t *checkpoint_run_buffer(struct replica *replica, uint32_t slot);
/* When checkpoint_flush() has something to do although nothing happened; UINT64_MAX: never. */
uint64_t checkpoint_deadline(const struct replica *replica);
/* When the oldest of the runs that are under way was submitted; UINT64_MAX: none is. */
uint64_t checkpoint_oldest_ns(const struct replica *replica);
/* A write of device 1 that the checkpoint emitted has completed. */
void checkpoint_written(struct replica *replica, struct output *output, uint64_t op_id, enum disk_result result);

/* Of the writer and the sets: NULL, or the invariant broken. O(1). */
const char *checkpoint_invariant(const struct replica *replica);

#endif

/* The write-ahead log's write path: group commit, durability in order, naming, and the superblock.
 *
 * A batch goes through these states, always in order, so each is a count since the start of this life:
 *
 *   open -> sealed -> submitted -> durable -> named
 *
 *   open       entries are gathered in the mirror at `tail`; the one open batch may be empty
 *   sealed     closed and hashed, chained to the batch before; waits for a slot of wal_depth
 *   submitted  its write was emitted
 *   durable    its write and those of all batches before it have completed: completions come in any order, only the
 *              prefix counts
 *   named      a block of the header ring that holds its header is durable
 *
 * Entries are promised to others when their batch is durable; with config.strict_naming, when it is named. The first is
 * twice as fast; the second has no hole: a batch that was promised, and whose blocks rot, is always known to be
 * missing.
 *
 * Group commit has no timer: while wal_depth writes are in flight, entries gather.
 *
 * Invariants:
 *   named <= durable <= submitted <= sealed; submitted - durable <= wal_depth; submitted - named <= wal_unnamed_max
 *   durable_index is the last index in the prefix that may be promised, less what was truncated: nothing above it
 *   was ever promised
 *
 *   the mirror bytes of a submitted batch do not change until its completion (nor ever, in this version)
 *
 *   one name write in flight, one superblock copy in flight
 *   any failed durable write stops the node */
#ifndef WW_WAL_H
#define WW_WAL_H

#include "base.h"
#include "entry.h"
#include "replica.h"
#include "wal_format.h"

enum {
    WAL_BATCHES_MAX = 64, /* ring of batches remembered: not yet durable ones, and those for the next name block */
    WAL_UNNAMED_SEALED_MAX = 32, /* of them may wait between sealed and named */
    WAL_NAMES_KEPT = WAL_BATCHES_MAX - WAL_UNNAMED_SEALED_MAX,
    WAL_NAME_DELAY_NS = 1000000,
};

struct wal_batch {
    struct wal_batch_header header;
    uint64_t last_index; /* what becomes durable with it; lowered by later truncations */
    bool complete;       /* its own write has completed */
    uint8_t zero[7];
};

struct wal {
    uint64_t tail; /* lsn at which the open batch starts */
    uint64_t open_first_index;
    uint64_t open_truncate_after;
    uint32_t open_count;
    uint32_t open_bytes;      /* of entries */
    uint64_t sequence;        /* of the last sealed batch */
    struct hash128 prev_hash; /* of the last sealed batch */
    uint64_t sealed;          /* ordinals: batch i of this life lies in batches[i % WAL_BATCHES_MAX] */
    uint64_t submitted;
    uint64_t durable;
    uint64_t named;
    uint64_t durable_index;
    uint64_t naming; /* ordinal up to which the name write in flight names */
    uint64_t name_sequence;
    uint64_t name_due_ns; /* when the last durable batch is named even if nothing else is written */
    bool name_busy;
    uint8_t zero[7];
    struct wal_batch batches[WAL_BATCHES_MAX];
};

enum recovery_phase {
    RECOVERY_SUPERBLOCK, /* four copies are being read */
    RECOVERY_NAMES,      /* the header ring, block by block */
    RECOVERY_BODY,       /* the body, in chunks of wal_batch_bytes_max */
    RECOVERY_SCAN,       /* behind the tail: leftovers of a torn tail, or proof of damage */
    RECOVERY_WRITE,      /* superblock copies and the cut batch are being written and named */
    RECOVERY_DONE,
};

enum { RECOVERY_READ_TRIES = 3 };

struct recovery {
    uint32_t phase;             /* enum recovery_phase */
    uint32_t slot;              /* superblock copy or header block being read */
    uint32_t tries;             /* of the read in flight that failed */
    bool leftovers;             /* something lies behind the tail */
    uint8_t names_bad_first[2]; /* slots 0 and 1 of the header ring cannot be read */
    uint8_t zero;
    uint64_t read_offset; /* body: bytes of the mirror that are loaded, or read in flight */
    uint64_t read_bytes;
    uint64_t by_blocks_end; /* a chunk failed: up to here its blocks are read one by one */
    uint64_t scan_end;
    uint64_t sequence_max;   /* highest batch sequence seen anywhere */
    uint64_t named_sequence; /* highest batch sequence known to have been durable */
    uint64_t name_sequence_max;
    uint32_t name_newest;       /* slot of name_sequence_max */
    uint32_t names_bad;         /* blocks of the header ring that cannot be read, or are damaged */
    uint8_t names_bad_after[2]; /* the two slots behind name_newest */
    uint8_t zero1[6];
    uint64_t term_max; /* highest term seen in any batch or name */
    uint64_t batches;  /* accepted */
    struct superblock superblocks[SUPERBLOCK_COPIES];
    uint8_t superblock_valid[SUPERBLOCK_COPIES];
    uint8_t zero2[4];
};

struct replica;
struct superblock_writer;

/* Operation ids: what a completion belongs to. */
enum wal_operation {
    WAL_WRITE_BATCH = 1, /* low bits: ordinal */
    WAL_WRITE_NAME = 2,
    WAL_WRITE_SUPERBLOCK = 3, /* low bits: copy */
    WAL_READ = 4,
};
static inline uint64_t wal_op_id(enum wal_operation operation, uint64_t detail)
{
    return ((uint64_t)operation << 56) | detail;
}
static inline uint32_t wal_operation_of(uint64_t op_id) { return (uint32_t)(op_id >> 56); }
static inline uint64_t wal_detail_of(uint64_t op_id) { return op_id & 0x00ffffffffffffffULL; }

/* Room in the log for an entry with a body of that size, keeping reserve_blocks free? */
bool wal_has_room(const struct replica *replica, uint32_t body_bytes, uint32_t reserve_blocks);

/* Adds the entry after last to the open batch and to the log. False when the log is full or too many batches wait. */
bool wal_append(struct replica *replica, struct output *output, const struct entry *entry, uint32_t reserve_blocks);

/* Forgets everything behind index, in memory at once and on disk with the next batch (truncation is an append). */
void wal_truncate(struct replica *replica, struct output *output, uint64_t index);

/* Seals and submits what may go, names what is durable, starts the superblock write that hard state waits for. */
void wal_flush(struct replica *replica, struct output *output);

/* When wal_flush() has something to do although nothing happened; UINT64_MAX: never. */
uint64_t wal_deadline(const struct replica *replica);

/* A completion of one of the write operations. */
void wal_written(struct replica *replica, struct output *output, uint64_t op_id, enum disk_result result);

/* Seals the cut batch of a recovery. False when there is no room for it. */
bool wal_seal_cut(struct replica *replica);

/* Fills a block with the superblock of this replica. */
void superblock_fill(const struct limits *limits, const struct replica_config *config, struct superblock_writer *writer,
                     uint8_t *block);

/* Where may the log begin once the checkpoint at id is durable? Leaves the answer in stored.head; looks at a bounded
 * number of batches. False: not found yet, call again. */
bool wal_head_search(struct replica *replica, struct log_id id);
/* stored.head is durable: gives up what lies before it. */
void wal_head_advance(struct replica *replica, struct output *output);

uint64_t wal_used_bytes(const struct replica *replica);

/* recovery.c: the start of a life. */
void recovery_start(struct replica *replica, struct output *output);
void recovery_read(struct replica *replica, struct output *output, const struct input *input);
/* Called after completions of writes during RECOVERY_WRITE. */
void recovery_advance(struct replica *replica, struct output *output);

/* replica.c: emits EFFECT_STOP and ignores everything from now on. */
void replica_stop(struct replica *replica, struct output *output, enum stop_reason reason, uint64_t detail);

#endif

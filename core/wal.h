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
 *   released <= head.lsn <= tail <= released + ring, of the head that all superblock copies hold: nothing behind it is
 *   given up
 *   the mirror bytes of a submitted batch do not change while its entries are in the log
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
    WAL_NAME_DELAY_NS = 8000000,
};

struct wal_batch {
    struct wal_batch_header header;
    uint64_t last_index; /* what becomes durable with it; lowered by later truncations */
    uint64_t submitted_ns;
    bool complete; /* its own write has completed */
    uint8_t zero[7];
};

struct wal {
    uint64_t tail; /* lsn at which the open batch starts */
    uint64_t open_first_index;
    uint64_t open_term; /* of its entries */
    uint32_t open_count;
    uint32_t open_bytes; /* of entries */
    /* The last sealed batch, which the next one chains to and describes. */
    uint64_t sequence;
    struct hash128 prev_hash;
    uint64_t prev_lsn;
    uint64_t prev_first_index;
    uint64_t prev_entry_term;
    uint32_t prev_entry_count;
    uint16_t prev_kind; /* enum wal_batch_kind; 0: none, it is the first of the log */
    uint16_t open_kind;
    uint64_t sealed; /* ordinals: batch i of this life lies in batches[i % WAL_BATCHES_MAX] */
    uint64_t submitted;
    uint64_t durable;
    uint64_t named;
    uint64_t promised; /* ordinal: what is before it counts in durable_index */
    uint64_t durable_index;
    uint64_t released;    /* lsn: the mirror before it means nothing, and is not held any more */
    uint64_t release_end; /* lsn: up to here it means nothing */
    uint64_t placed;      /* lsn: the mirror up to here was offered the memory of what was given up */
    /* The last place that a start found damaged, and the last index before it: there what replaced it does not lie, and
     * what names it is overwritten in time. The head is to go behind it (wal_head_is_due()). lsn 0: none. */
    uint64_t damaged_end;
    uint64_t damaged_last;
    uint64_t naming;    /* ordinal up to which the name write in flight names */
    uint64_t naming_ns; /* when it was submitted; 0: there is none */
    uint64_t name_sequence;
    uint64_t name_due_ns; /* when the last durable batch is named even if nothing else is written */
    bool name_busy;
    bool resetting; /* an install replaces the log: nothing is added until the superblock says so */
    uint8_t zero[6];
    struct wal_batch batches[WAL_BATCHES_MAX];
};

enum recovery_phase {
    RECOVERY_SUPERBLOCK, /* four copies are being read */
    RECOVERY_NAMES,      /* the header ring */
    RECOVERY_BODY,       /* the body ring from the head on, walked as it arrives */
    RECOVERY_SCAN,       /* a bad batch: what lies behind it says whether it was durable */
    RECOVERY_WRITE,      /* superblock copies and the cut batch are being written and named */
    RECOVERY_DONE,
};

enum name_state {
    NAME_GOOD,
    NAME_ZERO, /* never written, or lost in that way */
    NAME_BAD,
};

enum { RECOVERY_READ_TRIES = 3, RECOVERY_READS_MAX = 2, RECOVERY_NAMED_MAX = 32 };

/* A read in flight: of all its bytes at once, or, after an error, of one block after the other. */
struct recovery_read {
    uint64_t position; /* in the stream of the phase */
    uint32_t bytes;    /* still to come; 0: free */
    uint32_t tries;    /* of the block, when by_blocks */
    bool by_blocks;
    uint8_t zero[7];
};

struct recovery {
    uint32_t phase;         /* enum recovery_phase */
    bool leftovers;         /* something lies behind the tail, or cannot be read */
    bool chain_ahead;       /* an intact header with a later sequence lies behind the tail, or in what cannot be read */
    bool cut_due;           /* a cut batch is to be written once the superblock is */
    bool read_again;        /* the batch at the tail, once nothing is in flight */
    bool names_again;       /* the header ring is being read a second time */
    bool names_gaps;        /* some block of the header ring is no name */
    uint8_t names_first[2]; /* enum name_state of slots 0 and 1 of the header ring */
    uint32_t name_newest;   /* slot of name_sequence_max */
    uint32_t names_bad;     /* blocks of the header ring that cannot be read, or are damaged */
    uint8_t names_after[2]; /* enum name_state of the two slots behind name_newest */
    bool names_newer; /* the newest name was found when they were read again, so what is behind it was read once */
    bool names_due;   /* the header ring is to be read for what lies at the tail, once nothing is in flight */
    /* Each phase reads one stream of bytes: superblock copies, header ring, or the body from its head on. */
    uint64_t read_next;    /* up to here everything is asked for */
    uint64_t loaded;       /* up to here everything is here, or given up */
    uint64_t read_end;     /* no further, in this phase */
    uint64_t again_tail;   /* where the tail was when what lies there was last read again, plus 1; 0: never yet */
    uint64_t again_bytes;  /* so much of what lies there is to be read again */
    uint64_t again_end;    /* lsn: up to here all of the body that the stream has passed was read twice */
    uint64_t skip_at;      /* where the stream gets to before it goes on at skip_to, since what lies between was read */
    uint64_t skip_to;      /* twice; 0: it does not skip */
    uint64_t body_next;    /* read_next of the body, while the header ring is read once more */
    uint64_t named_tail;   /* where the tail was when the header ring was last read for it, plus 1; 0: never yet */
    uint64_t lost_end;     /* lsn: up to here there is a block of the body that cannot be read; 0: all can */
    uint64_t sequence_max; /* highest batch sequence seen anywhere */
    uint64_t named_sequence;   /* highest batch sequence that the header ring calls durable */
    uint64_t durable_sequence; /* the same of the ring and of the batches behind a tail */
    uint64_t name_sequence_max;
    uint64_t term_max; /* highest term seen in any batch or name */
    uint64_t batches;  /* accepted */
    uint64_t batches_faulty;
    uint64_t gap_last;    /* up to here there may be damaged entries of whatever kind; 0: all kinds are known */
    uint64_t config_lost; /* lowest ENTRY_CONFIG of the log that is damaged and that no superblock held; 0: none */
    struct recovery_read reads[RECOVERY_READS_MAX];
    /* Of the headers that the ring names: the newest, by sequence modulo the size; or, with named_tail, those of what
     * lies nearest behind it. */
    struct wal_batch_header named[RECOVERY_NAMED_MAX];
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

/* Makes the block of the header ring with that sequence: it names the latest durable batches. There is one. */
void wal_name_fill(const struct replica *replica, uint64_t sequence, uint8_t *block);

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

/* When the oldest write that is under way, of a batch, a name or the superblock, was submitted; UINT64_MAX: none is. */
uint64_t wal_oldest_ns(const struct replica *replica);

/* A completion of one of the write operations. */
void wal_written(struct replica *replica, struct output *output, uint64_t op_id, enum disk_result result);

/* Adds once more the entry of a faulty slot, got from a peer. False when there is no room. */
bool wal_repair(struct replica *replica, struct output *output, const struct entry *entry);

/* What may be reported to others: durable, intact, in order, behind a state that is whole. */
uint64_t wal_promised_index(const struct replica *replica);

/* Seals the cut batch of a recovery. False when there is no room for it. */
bool wal_seal_cut(struct replica *replica);

/* Bytes in the mirror of the body ring. */
uint8_t *wal_mirror(struct replica *replica, uint64_t lsn);
const uint8_t *wal_mirror_const(const struct replica *replica, uint64_t lsn);
uint64_t wal_ring_bytes(const struct limits *limits);

/* A checkpoint at id is about to become durable: sets stored.head to where the log may begin then. Keeps what the log
 * holds behind id, and some of what lies before it; a log that does not hold id begins anew behind it. False: not yet,
 * ask again in the next step. */
bool wal_head_search(struct replica *replica, struct log_id id);
/* Recovery gave up damaged entries that the checkpoint holds, so that the log's base is ahead of stored.head: sets that
 * to where the log may begin now. Unchanged when the batch there is damaged, too, or holds entries before the base. */
void wal_head_follow_base(struct replica *replica);
/* A place in the log is damaged that nobody needs any more, and a checkpoint now would take the head behind it. */
bool wal_head_is_due(const struct replica *replica);
/* The superblock that holds stored.head is durable: gives up what lies before it. */
void wal_head_advance(struct replica *replica);

/* The batch before the tail is this one. */
void wal_follow(struct replica *replica, const struct wal_batch_header *header);

/* Fills a copy of the superblock of this replica. */
void superblock_fill(const struct limits *limits, const struct replica_config *config, struct superblock_writer *writer,
                     uint8_t *copy);

/* What is stored now is to be written to all copies. The writer is idle. */
void superblock_renew(struct replica *replica);

/* Do all copies hold what is stored? */
bool superblock_is_durable(const struct replica *replica);

/* From the head on, of the body ring and of the log's table of slots. */
uint64_t wal_used_bytes(const struct replica *replica);
uint64_t wal_used_entries(const struct replica *replica);

/* recovery_walk.c: takes the batches of the body as far as they are loaded. */
enum recovery_verdict {
    RECOVERY_KEEP,    /* it belongs to the log, and may have been acknowledged */
    RECOVERY_FAULTY,  /* it was durable and is damaged; its entries are known by name */
    RECOVERY_UNKNOWN, /* something was durable and is lost, and nobody here can say what */
    RECOVERY_CUT,     /* torn or never acknowledged: the log ends before it */
    RECOVERY_VERDICTS,
};

/* What is known about the batch at the tail. */
struct recovery_evidence {
    bool intact;     /* header and body are good, and it continues the log */
    bool identified; /* its header is intact somewhere, or the batch behind it says what it held */
    bool proved;     /* a name or a later batch says that it was durable */
    bool doubt;      /* what would say so may itself be lost */
};
enum recovery_verdict recovery_verdict_of(const struct recovery_evidence *evidence);
/* How many rows of the table apply: always 1. For the test that enumerates it. */
uint32_t recovery_rules_matching(const struct recovery_evidence *evidence);

/* WALK_AGAIN: what lies at the tail is to be read once more before it is judged. WALK_NAMES: the header ring is,
 * for what it says of the batches there. */
enum walk_outcome { WALK_MORE, WALK_AGAIN, WALK_NAMES, WALK_END, WALK_UNKNOWN };
enum walk_outcome recovery_walk(struct replica *replica, struct output *output);
/* The ring names this header: remembers it, if it is one of those that recovery.named is for. */
void recovery_name_batch(struct replica *replica, const struct wal_batch_header *header);
/* What lies between the tail and here says whether a bad batch at the tail was durable. */
uint64_t recovery_window_end(const struct replica *replica);
bool recovery_names_uncertain(const struct replica *replica);

/* recovery.c: the start of a life. */
void recovery_start(struct replica *replica, struct output *output);
void recovery_read(struct replica *replica, struct output *output, const struct input *input);
/* Called after completions of writes during RECOVERY_WRITE. */
void recovery_advance(struct replica *replica, struct output *output);

/* replica.c: emits EFFECT_STOP and ignores everything from now on. */
void replica_stop(struct replica *replica, struct output *output, enum stop_reason reason, uint64_t detail);

#endif

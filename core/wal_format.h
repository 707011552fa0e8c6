/* The stored format of device 0, the WAL file. All integers little-endian; every struct lies at the start of a block.
 *
 *   superblock zone   SUPERBLOCK_COPIES copies, superblock_stride_blocks apart, each of limits_superblock_bytes()
 *   header ring       wal_header_blocks blocks; each names the latest durable batches ("named" means "was durable")
 *   body ring         batches behind each other, addressed by lsn: byte position since format, taken modulo the ring
 *
 *   batch = wal_batch_header, entries (entry.h), zeros up to run_bytes; run_bytes is a multiple of the block
 *   name  = wal_name_header, count wal_batch_headers, zeros up to the block
 *
 * A batch is valid at lsn when its header hash (seeded with cluster and lsn) and its body hash hold: bytes of an
 * earlier lap fail. It belongs to the log when besides its prev_hash is the header hash of the batch before it, and its
 * sequence is larger. It never crosses the end of the ring: where less than wal_batch_bytes_max is left before the end,
 * the next batch begins at the start of the ring (wal_place).
 *
 * All entries of a batch have consecutive indices and one term, so its header names each of them; and it repeats what
 * the batch before it held. So the loss of any one batch, header and all, leaves its entries' identities known
 * (CTRL 3.3). Truncation is an append: a batch whose first entry is not behind the last one replaces all from there on.
 */
#ifndef WW_WAL_FORMAT_H
#define WW_WAL_FORMAT_H

#include "base.h"
#include "checkpoint.h"
#include "checksum.h"
#include "configuration.h"
#include "limits.h"

struct replica_config;

enum {
    SUPERBLOCK_MAGIC = 0x53425757, /* "WWBS" */
    WAL_BATCH_MAGIC = 0x42575757,  /* "WWWB" */
    WAL_NAME_MAGIC = 0x4e575757,   /* "WWWN" */
    STORED_VERSION = 3,
};

enum wal_batch_kind {
    WAL_BATCH_APPEND = 1, /* entries; they replace what the log held from first_index on */
    WAL_BATCH_CUT = 2,    /* no entries: recovery ended the log here (storage design 2.8, step 6) */
    WAL_BATCH_REPAIR = 3, /* entries that were damaged, once more; nothing behind them is replaced (CTRL 3.4) */
    WAL_BATCH_CONFIG = 4, /* as APPEND, and the last of its entries is an ENTRY_CONFIG, the only one */
};

static inline bool wal_batch_appends(uint16_t kind) { return kind == WAL_BATCH_APPEND || kind == WAL_BATCH_CONFIG; }

/* Nothing stored has a larger sequence: what claims one is damaged. */
#define SEQUENCE_MAX (UINT64_MAX / 2)
#define INDEX_MAX (UINT64_MAX / 4)
#define LSN_MAX (UINT64_MAX / 4)

struct wal_batch_header {
    struct hash128 hash;      /* of the rest of this header */
    struct hash128 prev_hash; /* hash of the batch before; zero for the first */
    struct hash128 body_hash; /* of run_bytes behind this header, padding included */
    uint32_t magic;
    uint16_t version;
    uint16_t kind;             /* enum wal_batch_kind */
    uint64_t sequence;         /* from 1, growing; not dense: recovery skips */
    uint64_t lsn;              /* of this header: bytes since format */
    uint64_t term;             /* the replica's term when it was sealed */
    uint64_t durable_sequence; /* all batches up to it were known durable */
    uint64_t first_index;      /* of its entries; 0 when it has none */
    uint64_t entry_term;       /* of all its entries */
    uint64_t prev_first_index; /* the same of the batch before */
    uint64_t prev_entry_term;
    uint32_t prev_entry_count;
    uint32_t prev_bytes; /* from its lsn to this one; 0: this is the first batch of the log */
    uint32_t entry_count;
    uint32_t run_bytes;
    uint32_t body_bytes; /* entries without padding */
    uint16_t prev_kind;
    uint16_t zero;
};
STATIC_ASSERT(sizeof(struct wal_batch_header) == 144, "no padding");

struct wal_name_header {
    struct hash128 hash; /* of the rest of the block */
    uint32_t magic;
    uint16_t version;
    uint16_t count; /* batch headers behind, oldest first; the last is the newest durable batch */
    uint64_t cluster_id;
    uint64_t sequence;         /* of name writes, growing; slot = sequence modulo the ring */
    uint64_t durable_sequence; /* batch sequence of the last one named */
    uint64_t term;
    uint64_t zero;
};
STATIC_ASSERT(sizeof(struct wal_name_header) == 64, "no padding");

/* Raft 3.8: what must be durable before anything is promised in a term. */
struct hard_state {
    uint64_t term;
    uint64_t vote; /* node id, 0: none, VOTE_UNKNOWN: given, to whom is lost */
};

/* Where the log begins on device 0: its first batch. */
struct wal_head {
    uint64_t lsn;
    uint64_t sequence;        /* of the batch before it */
    struct hash128 prev_hash; /* of the batch before it */
    struct log_id base;       /* the entry before its first one */
};

enum stored_flag {
    STORED_ABSTAIN = 1, /* what was acknowledged is not known: no vote until it is matched again (CTRL 3.3) */
    STORED_PARTIAL = 2, /* pages of the checkpoint are still to be got from peers (install.h) */
    /* The log began anew behind a checkpoint that was installed, or gave up for it what may have been a configuration:
     * who the members are is known when its pages are. */
    STORED_STRANGER = 4,
    STORED_REJOIN = 8, /* the disk was replaced: in term 0 what it promised is not known (rejoin.h) */
};

/* Raft 4.1: a server uses the latest configuration in its log, committed or not, and goes back to the one before when
 * that entry is truncated. Both are here, so that a damaged entry never hides who may vote (members.h). */
struct members {
    struct configuration latest;
    struct configuration previous; /* committed, or all that is known */
};

/* Everything that changes in a superblock: one write makes all of it count at once. */
struct stored {
    struct hard_state hard;
    struct wal_head head;
    struct checkpoint checkpoint;
    uint64_t flags; /* of enum stored_flag */
    struct members members;
    struct directory directories[DIRECTORIES_MAX]; /* that speak for other members (rejoin.h) */
};
STATIC_ASSERT(sizeof(struct stored) == 136 + 2 * sizeof(struct configuration) + DIRECTORIES_MAX * 16, "no padding");

struct superblock {
    struct hash128 hash;   /* of the rest of the copy */
    struct hash128 parent; /* hash of the content before this one; zero at format */
    uint32_t magic;
    uint16_t version;
    uint16_t blocks; /* of this copy */
    uint64_t cluster_id;
    uint64_t node_id;
    uint64_t instance; /* names this data directory; replica.h */
    uint64_t sequence; /* grows with every new content */
    uint32_t block_bytes;
    uint32_t superblock_stride_blocks;
    uint32_t wal_header_blocks;
    uint32_t wal_body_blocks;
    uint32_t wal_batch_bytes_max;
    uint32_t page_bytes;
    uint32_t pages_max;
    uint32_t data_blocks;
    struct stored stored;
};
STATIC_ASSERT(sizeof(struct superblock) == 104 + sizeof(struct stored), "no padding");

#define VOTE_UNKNOWN UINT64_MAX

/* Batch headers that one block of the header ring names. */
static inline uint32_t wal_names_max(uint32_t block_bytes)
{
    return (block_bytes - (uint32_t)sizeof(struct wal_name_header)) / (uint32_t)sizeof(struct wal_batch_header);
}

/* Where a batch may begin: at lsn, or at the start of the ring when too little is left before its end. */
static inline uint64_t wal_place(const struct limits *limits, uint64_t lsn)
{
    const uint64_t ring = (uint64_t)limits->wal_body_blocks * limits->block_bytes;
    const uint64_t left = ring - lsn % ring;
    return left < limits->wal_batch_bytes_max ? lsn + left : lsn;
}

/* Seals a batch: `run` begins with a header whose hash fields are still zero, and holds run_bytes with padding. */
void wal_batch_seal(uint8_t *run, uint64_t cluster_id);

/* The header of a batch at lsn: intact by itself? Copies it out. */
bool wal_batch_header_decode(struct slice bytes, uint64_t cluster_id, uint64_t lsn, struct wal_batch_header *header);
/* The body behind an intact header: `run` holds run_bytes. Hash and entries verified. */
bool wal_batch_body_valid(const struct wal_batch_header *header, uint64_t cluster_id, const uint8_t *run);

/* One block of the header ring. */
void wal_name_seal(uint8_t *block, uint32_t block_bytes);
bool wal_name_decode(struct slice block, uint64_t cluster_id, struct wal_name_header *name);
/* The header named at position `at` of the block, verified by itself; false when it is damaged. */
bool wal_name_batch(struct slice block, uint32_t at, uint64_t cluster_id, struct wal_batch_header *header);

void superblock_seal(uint8_t *copy, uint32_t copy_bytes);
/* Intact by itself, of any version, cluster and node. `copy` may be longer. */
bool superblock_decode(struct slice copy, struct superblock *superblock);
/* Does the copy hold the content that this hash names, and nothing else? */
bool superblock_is(struct slice copy, struct hash128 hash);
/* The copy of a node whose first life begins with `stored`; replica_format() is this with zeros and a configuration. */
void superblock_format(const struct limits *limits, const struct replica_config *config, uint64_t instance,
                       const struct stored *stored, uint8_t *copy);
/* Which of the copies counts (`valid`: which are intact): the newest content, if another copy vouches for it by holding
 * the same or its parent. Copies are written one after the other, so a crash leaves a prefix with the new content, at
 * most one torn, and the rest with its parent. SUPERBLOCK_COPIES: none, the node's promises are lost. */
uint32_t superblock_choose(const struct superblock *copies, const uint8_t *valid);

#endif

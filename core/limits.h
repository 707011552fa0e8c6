/* Every maximum in one table. Limits are values inside the replica's region, not compile-time constants, so the same
 * object code runs with every set: `production` in raftd, `tiny` in most simulated schedules (a log that fills, a queue
 * that overflows, a session table that evicts within the first simulated second), `micro` for exhaustive search.
 *
 * limits_problem() holds the relations between them; limits_fingerprint() hashes those that change what replicas agree
 * on, and peers refuse each other when it differs. */
#ifndef WW_LIMITS_H
#define WW_LIMITS_H

#include "base.h"

enum {
    MEMBERS_MAX = 16,          /* of one configuration: voters of both halves, and learners */
    VOTERS_MAX = 7,            /* of one half */
    MEMBER_ADDRESS_BYTES = 64, /* "host:port", NUL-padded */
    SUPERBLOCK_COPIES = 4,
    PAGE_BYTES_MAX = 16384,
    BLOCK_BYTES_MIN = 512,
};

struct limits {
    /* storage */
    uint32_t block_bytes;              /* unit of durable writes; a power of two, at least BLOCK_BYTES_MIN */
    uint32_t superblock_stride_blocks; /* distance between the copies of the superblock, each of which fits */
    uint32_t wal_header_blocks;        /* header ring; at least 4 */
    uint32_t wal_body_blocks;          /* body ring; the log of part 1 is full when it is */
    uint32_t wal_batch_bytes_max;      /* one batch with its header and padding; a multiple of block_bytes */
    uint32_t wal_depth;                /* body writes in flight, 1..4 */
    uint32_t wal_unnamed_max;          /* batches past the last named one, in flight included; > wal_depth */
    uint32_t wal_reserve_blocks;       /* kept from clients for no-ops of new terms and recovery cuts */
    uint32_t wal_retain_blocks;        /* of the log before the checkpoint that are kept for slow followers */
    uint32_t log_entries_max;          /* entries held; a power of two */
    uint32_t checkpoint_wal_blocks; /* a leader asks for a checkpoint when its log grew by that much since the last */
    uint32_t checkpoint_entries;    /* ... or by that many entries */
    uint32_t checkpoint_kib_per_second; /* it is written as fast as that at least, and faster when the log grows fast */
    uint32_t data_blocks;               /* device 1, in blocks of page_bytes; block 0 holds nothing */
    uint32_t data_run_bytes_max;        /* one write or read of device 1; a multiple of page_bytes */
    uint32_t data_depth;                /* writes of device 1 in flight, 1..2 */
    uint32_t scrub_kib_per_second;      /* of both devices together */
    uint32_t install_kib_per_second;    /* a node that pulls a checkpoint asks for no more, if that takes 20 s */
    uint32_t shadow_pages_max;          /* copies of pages that are frozen, not yet written, and changed again */
    /* key-value store */
    uint32_t key_bytes_max;
    uint32_t value_bytes_max;
    uint32_t txn_compares_max;
    uint32_t txn_writes_max; /* in one branch */
    uint32_t page_bytes;     /* of the state machine's memory; a power of two, 256..PAGE_BYTES_MAX */
    uint32_t pages_max;      /* of them */
    uint32_t sessions_max;
    uint32_t members_max;             /* slots of a configuration that are used, 3..MEMBERS_MAX */
    uint32_t promote_lag_entries_max; /* a learner that is further behind is not promoted, and a voter does not count as
                                         well (Raft 4.2.1); nor by more bytes, see members_is_behind() */
    /* queues */
    uint32_t pending_writes_max; /* proposals with a waiting client; a power of two */
    uint32_t pending_reads_max;  /* a power of two */
    uint32_t inflight_max;       /* AppendEntries sent to one peer and not yet acknowledged, <= INFLIGHT_MAX */
    uint32_t inflight_bytes_max; /* ... of entries: nothing more is sent to it while so many are not acknowledged. So
                                    one request more may be under way, and a heartbeat waits behind no more than that */
    uint32_t append_entries_max; /* entries in one AppendEntries */
    uint32_t append_bytes_max;   /* bytes of entries in one AppendEntries, unless a single entry is larger */
    uint32_t apply_per_step_max; /* entries applied in one step: bounds the step */
    uint32_t effects_max;        /* in one output */
    uint32_t frame_bytes_max;    /* largest frame sent or accepted */
};

enum { INFLIGHT_MAX = 256 };

extern const struct limits limits_production;
extern const struct limits limits_tiny;
extern const struct limits limits_micro;

/* The largest encoded command that these limits allow, and the largest body of any entry. */
uint32_t limits_command_bytes_max(const struct limits *limits);
uint32_t limits_entry_bytes_max(const struct limits *limits);

/* NULL when the limits are consistent, otherwise the relation that does not hold, as a sentence. */
const char *limits_problem(const struct limits *limits);

/* Hash of what replicas must agree on; never 0. */
uint64_t limits_fingerprint(const struct limits *limits);

/* One copy of the superblock: whole blocks. */
uint32_t limits_superblock_bytes(const struct limits *limits);

/* Size of the WAL file, device 0, and of the data file, device 1. */
uint64_t limits_wal_bytes(const struct limits *limits);
uint64_t limits_data_bytes(const struct limits *limits);

#endif

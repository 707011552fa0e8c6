/* White-box views of a replica, for checkers and tests. Nothing here changes state. */
#ifndef WW_INSPECT_H
#define WW_INSPECT_H

#include "base.h"
#include "checksum.h"
#include "entry.h"
#include "replica.h"
#include "wal_format.h"

struct replica_view {
    enum raft_role role;
    uint64_t node_id;
    uint64_t leader;       /* 0: unknown */
    uint64_t term;         /* in memory */
    uint64_t vote;         /* in memory; 0: none; UINT64_MAX: unknown, counts as given */
    uint64_t durable_term; /* as the core believes */
    uint64_t durable_vote;
    struct log_id base; /* the entry before the first one of the log */
    struct log_id last;
    uint64_t first_faulty;  /* lowest entry that is known by name only; 0: none */
    uint64_t durable_index; /* intact and durable up to here, as the core believes */
    uint64_t commit;
    uint64_t applied;
    uint64_t state_digest;   /* of the applied state: store and sessions */
    uint64_t read_round;     /* latest ReadIndex round begun, leaders only */
    uint64_t read_confirmed; /* latest round that a majority acknowledged */
    uint64_t fresh_ns;       /* read.h: all that was committed when its clock showed that... */
    uint64_t fresh_index;    /* ...is up to here; 0: nothing is known */
    uint64_t now_ns;         /* by its clock, which never goes back for it */
    uint32_t votes;          /* bit per slot whose grant this candidate counts */
    uint32_t pre_votes;
    uint32_t pending_writes;
    uint32_t pending_reads;
    uint32_t keys;
    uint32_t sessions;
    uint64_t wal_blocks_used;
    uint64_t flags;         /* of enum stored_flag, in memory */
    uint64_t durable_flags; /* as the core believes */
    enum rejoin_state rejoin;
    uint32_t rejoin_answers; /* while it asks: of the needed ones so many are in */
    uint32_t rejoin_answers_needed;
    uint64_t install_index;        /* of the checkpoint that is being got from a peer; 0: none */
    bool store_ready;              /* the applied state is whole */
    uint32_t slot;                 /* of this node in the configuration in use; MEMBERS_MAX: no member */
    struct log_id configuration;   /* the entry that made the one in use; index 0: the format */
    uint64_t lease_end_ns;         /* leaders with leases, by their clock; 0: none */
    uint64_t election_deadline_ns; /* all others: then it campaigns */
    uint64_t transfer_target;      /* to whom it hands over, or has; 0: none */
    uint64_t transfer_term;        /* in which that began */

    /* Leaders: per slot of the configuration in use, own slot included. Of others they are not filled in. */
    uint64_t match[MEMBERS_MAX];
    uint64_t next[MEMBERS_MAX];
    uint64_t round_acked[MEMBERS_MAX];
    uint8_t progress[MEMBERS_MAX];        /* enum peer_state: probe, replicate, snapshot */
    uint64_t inflight_bytes[MEMBERS_MAX]; /* of entries that were sent and not acknowledged */
    uint64_t promised_ns[MEMBERS_MAX];    /* until when it keeps to this one, as it said; 0: it did not */
};

void replica_inspect(const struct replica *replica, struct replica_view *view);

/* The configuration in use: the latest one in the log; and the latest one that is committed as far as this node knows.
 * Both borrow from the region. */
const struct configuration *replica_configuration(const struct replica *replica);
const struct configuration *replica_configuration_committed(const struct replica *replica);

/* The entry at index, base < index <= last, not faulty; its body borrows from the region. */
void replica_entry(const struct replica *replica, uint64_t index, struct entry *entry);
/* Are its bytes here? base < index <= last. */
bool replica_entry_readable(const struct replica *replica, uint64_t index);
/* Its term only: O(1), no decoding; base <= index <= last. */
uint64_t replica_entry_term(const struct replica *replica, uint64_t index);

/* Every internal invariant (each queue within its limit, indices ordered, pools accounted for). NULL, or the one
 * broken. */
const char *replica_invariant(const struct replica *replica);

/* XXH3 over the live parts of the region. */
uint64_t replica_digest(const struct replica *replica);

/* Stored formats, for checkers that read a disk image. Total over any bytes. */
struct superblock_view {
    uint64_t sequence;
    uint64_t instance;
    struct hash128 hash;   /* names the content */
    struct hash128 parent; /* of the content before */
    struct stored stored;
};
bool superblock_inspect(struct slice copy, const struct replica_config *config, struct superblock_view *view);

struct wal_batch_view {
    uint64_t sequence;
    uint64_t lsn; /* byte position in the body since format */
    uint64_t durable_sequence;
    uint64_t term;
    struct hash128 hash; /* of this header: what the next batch chains to */
    struct hash128 prev_hash;
    uint64_t truncate_after; /* it replaces what lies behind; UINT64_MAX: nothing */
    bool repair;             /* entries that were damaged, once more */
    uint64_t first_index;    /* of its entries; meaningless when entry_count is 0 */
    uint64_t entry_term;     /* likewise */
    uint32_t entry_count;
    uint32_t run_bytes;   /* with header and padding */
    struct slice entries; /* borrows from the bytes given */
};
/* The batch that starts at byte `lsn` of the body, wholly inside `bytes`: header and body verified. */
bool wal_batch_inspect(struct slice bytes, uint64_t cluster_id, uint64_t lsn, struct wal_batch_view *view);
/* Where the body of the WAL begins on the device, and where its header ring begins. */
uint64_t wal_body_offset(const struct limits *limits);
uint64_t wal_header_offset(const struct limits *limits);

#endif

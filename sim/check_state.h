/* Ghost state shared by the files of the checker. Not for the world: that sees check.h.
 *
 *   check.c        life of the checker, failures, the hook after a step
 *   check_log.c    logs in memory: chain hashes, log matching, commit
 *   check_disk.c   logs and hard state as the disk images hold them
 *   check_promise.c  what was promised in frames, and who believes what
 *   check_model.c  the key-value store and the sessions as they should be
 *   check_client.c calls and their witnesses */
#ifndef WW_CHECK_STATE_H
#define WW_CHECK_STATE_H

#include "check.h"
#include "linear.h"

#include "../core/message.h"

/* An entry and all before it: chain(i) = H(chain(i - 1), term, kind, body). Equal chains mean equal logs. */
struct link {
    uint64_t term;
    uint64_t chain;
};

/* links[1..last]; links[0] is "before the log". */
struct ghost_log {
    uint64_t last;
    struct link *links;
};

/* A batch on a disk. */
struct ghost_batch {
    uint64_t lsn;
    uint32_t run_bytes;
    struct hash128 hash;
};

enum { GHOST_BATCHES = 8 }; /* more than can be in flight at once */

/* One replica, as its checker remembers it. Promises outlive crashes; the rest belongs to one life. */
struct ghost_node {
    bool serving;             /* it has recovered in this life */
    struct replica_view view; /* after its last step */
    struct ghost_log memory;
    uint64_t audited; /* position of the creeping comparison of log and ghost */

    struct superblock_view copies[SUPERBLOCK_COPIES];
    bool copy_valid[SUPERBLOCK_COPIES];
    struct superblock_view hard; /* what recovery would choose */
    bool hard_damaged;           /* a fault hit a copy: its promises are not demanded back */
    struct ghost_log disk;
    uint64_t disk_lsn; /* batches up to here are whole and chained */
    uint64_t disk_sequence;
    struct hash128 disk_hash;
    struct ghost_batch disk_batches[GHOST_BATCHES]; /* the latest, as a ring */
    uint32_t disk_batch_count;
    uint64_t disk_term; /* highest of any batch */
    bool disk_damaged;

    uint64_t promised_term;  /* highest in any frame */
    uint64_t promised_index; /* highest reported durable, not truncated on its disk since */
    uint64_t acked_term;     /* of acked_index: highest reported to the leader of that term */
    uint64_t acked_index;
};

/* What was promised in one term. Node positions are slots; 0 in `voted`, `granted`, `leader`: nobody yet. */
struct ghost_term {
    uint64_t term;
    uint64_t leader;                  /* id of the node that led it */
    uint64_t voted[VOTERS_MAX];       /* by the disk image: for whom */
    uint64_t granted[VOTERS_MAX];     /* in a frame sent: to whom */
    uint32_t pre_granted[VOTERS_MAX]; /* bit per voter, by candidate */
    struct log_id acked[VOTERS_MAX];  /* highest match reported; its term is that of the entry */
    uint64_t acked_chain[VOTERS_MAX];
    uint64_t echoed[VOTERS_MAX]; /* highest ReadIndex round */
};

/* A committed index. */
struct ghost_commit {
    struct link link;
    uint64_t term; /* of the leader that committed it */
};

/* The one entry that (index, term) names: invariant I3. */
struct ghost_entry {
    uint64_t index; /* 0: free slot */
    uint64_t term;
    uint64_t chain;
};

/* A value that a key had from `index` on. */
struct ghost_version {
    uint64_t index;
    uint64_t version; /* 0: absent */
    struct linear_value value;
    uint32_t previous; /* position in versions, CHECK_NONE: none */
};

struct ghost_key {
    uint64_t hash;
    uint32_t bytes;  /* of the key */
    uint32_t latest; /* position in versions, CHECK_NONE: never written */
};

struct ghost_session {
    uint64_t id;
    uint64_t sequence;
    uint64_t used_index;
};

/* What the entry at an index answers its client. */
struct ghost_result {
    uint64_t session;  /* 0: a no-op; registrations: the new one */
    uint64_t sequence; /* 0: a registration */
    enum reply_status status;
    uint64_t version;
    uint64_t applied;       /* where it was executed: below the index for a repetition */
    uint64_t evicted_index; /* registrations: where another one took its place; 0: nowhere yet */
    bool claimed;           /* registrations: some call has taken it */
};

/* A write whose client was told for certain that it was not executed. */
struct ghost_refusal {
    uint64_t session;
    uint64_t sequence;
};

enum { CHECK_NONE = 0x7fffffff };

struct ghost_call {
    struct linear_op op;
    struct request request; /* without key and value */
    uint64_t committed;     /* when it was invoked */
    bool open;
};

struct check {
    struct check_setup setup;
    struct limits limits;
    struct check_failure failure;
    uint64_t counts[CHECK_KINDS];
    uint64_t step;
    uint32_t quorum;
    struct frame_context frame;
    struct ghost_node nodes[VOTERS_MAX];

    uint64_t index_max;           /* capacity of everything indexed by log index */
    struct ghost_commit *commits; /* 1..committed */
    uint64_t committed;
    uint64_t *digests; /* 1..digested: of the state after that index */
    uint64_t digested;
    struct ghost_result *results; /* 1..applied */
    uint64_t applied;             /* by the model */
    uint64_t acknowledged;        /* writes whose client got an outcome of the log */

    struct ghost_entry *entries; /* hash table */
    uint32_t entry_mask;
    uint32_t entry_count;
    uint32_t *entry_used; /* its occupied slots, for the reset */

    struct ghost_term *terms; /* hash table of positions + 1, and the pool */
    uint32_t *term_slots;
    uint32_t term_mask;
    uint32_t term_count;
    uint32_t term_max;

    struct ghost_key *keys;
    uint32_t key_count;
    uint32_t key_max;
    uint32_t *key_slots; /* hash table of positions + 1 */
    uint32_t key_mask;
    struct ghost_version *versions;
    uint32_t version_count;
    uint32_t version_max;
    uint64_t live_bytes; /* keys and values in the store */
    bool store_full;     /* the entry that is being executed found no space */
    struct ghost_session *sessions;
    uint32_t session_count;
    uint32_t session_max;

    struct ghost_call *calls;
    uint32_t call_count;
    uint32_t call_max;
    struct ghost_refusal *refusals;
    uint32_t refusal_count;
    uint32_t refusal_max;
    bool unsearchable;         /* a transaction has more clauses than the search can hold */
    struct linear_op *history; /* scratch of check_finish() */
    uint32_t history_max;
};

static inline uint64_t link_chain(uint64_t previous, uint64_t term, enum entry_kind kind, struct slice body)
{
    const uint64_t head[3] = { previous, term, (uint64_t)kind };
    return checksum64(head, sizeof head, body.count > 0 ? checksum64(body.bytes, body.count, 1) : 2);
}

/* Slot of a node id; VOTERS_MAX when it is none. */
uint32_t check_slot(const struct check *check, uint64_t node_id);
/* Makes room for `count` elements of `bytes`; keeps what is there. */
void *check_grow(void *memory, uint32_t *max, uint32_t count, size_t bytes);

/* check_log.c */
void check_log_reset(struct check *check);
/* Follows the log in memory after a step. */
void check_log_follow(struct check *check, uint32_t node, const struct replica *replica,
                      const struct replica_view *view, const struct output *output);
/* Records or compares the entry that (index, term) names. */
void check_log_match(struct check *check, uint32_t node, uint64_t index, struct link link);
/* Entries behind `kept` leave the log or the disk of the node: were they committed? */
void check_log_removed(struct check *check, uint32_t node, const struct ghost_log *log, uint64_t kept,
                       const char *where);
void check_log_commit(struct check *check, uint32_t node, const struct replica_view *view);
void check_log_new_leader(struct check *check, uint32_t node, const struct replica_view *view);

/* check_disk.c: does the image hold the log up to there; how many images do */
bool check_disk_holds(const struct ghost_node *ghost, uint64_t index, uint64_t chain);
uint32_t check_disk_holders(const struct check *check, uint64_t index, uint64_t chain);
/* The node has recovered: does it still know what it promised? */
void check_disk_recovered(struct check *check, uint32_t node, const struct replica_view *view);

/* check_promise.c */
void check_promise_reset(struct check *check);
struct ghost_term *check_promise_term(struct check *check, uint64_t term);
void check_promise_follow(struct check *check, uint32_t node, const struct replica_view *view,
                          const struct output *output);

/* check_model.c */
void check_model_reset(struct check *check);
/* The node has applied up to view->applied. */
void check_model_follow(struct check *check, uint32_t node, const struct replica *replica,
                        const struct replica_view *view, const struct output *output);
uint32_t check_model_key(struct check *check, struct slice key);
/* Is (session, sequence) the last write that the session executed? */
bool check_model_executed(struct check *check, uint64_t session, uint64_t sequence);
/* What the key was at an index that the model has passed. */
struct ghost_version check_model_version(const struct check *check, uint32_t key, uint64_t index);

#endif

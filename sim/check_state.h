/* Ghost state shared by the files of the checker. Not for the world: that sees check.h.
 *
 *   check.c        life of the checker, failures, the hook after a step
 *   check_log.c    logs in memory: chain hashes, log matching, commit
 *   check_superblock.c  the hard state, and where the log begins, as the disk images hold them
 *   check_disk.c   logs as the disk images hold them
 *   check_data.c   checkpoints as the disk images hold them
 *   check_promise.c  what was promised in frames, and who believes what
 *   check_members.c  configurations, and majorities of them
 *   check_model.c  the key-value store and the sessions as they should be
 *   check_transfer.c  who hands over to whom
 *   check_time.c   election timers and leases
 *   check_reads.c  how old an answer may be
 *   check_client.c calls and their witnesses */
#ifndef WW_CHECK_STATE_H
#define WW_CHECK_STATE_H

#include "check.h"
#include "linear.h"

#include "../core/message.h"
#include "../core/wal_format.h"

/* An entry and all before it: chain(i) = H(chain(i - 1), term, kind, body). Equal chains mean equal logs. */
struct link {
    uint64_t term;
    uint64_t chain;
};

/* links[base + 1..last]; what lies up to base is committed: check_log_link(). */
struct ghost_log {
    uint64_t base;
    uint64_t last;
    struct link *links;
};

/* A batch on a disk: its header. */
struct ghost_batch {
    uint64_t lsn;
    uint64_t sequence;
    uint64_t durable_sequence;
    uint64_t term;
    uint64_t first_index;
    uint64_t entry_term;
    struct hash128 hash;
    struct hash128 prev_hash;
    uint32_t entry_count;
    uint32_t run_bytes;
    bool repair;
};

/* The device 0 of one node: what was written there, and what faults did to it.
 *
 * `image` holds every block as it last landed; `bad` says of which blocks that is not what a read gives. The list of
 * batches follows from the image. The log follows from the list, from the head on that the superblock names: damage
 * takes no batch out of it, since its entries are known by name, until the node cuts it off there.
 *
 * An entry is `faulty` when the node knows that its bytes are lost. A promise that was made before the damage stays
 * one: it counts in quorums, but may not be made again. */
struct ghost_wal {
    uint8_t *image;
    uint64_t image_max; /* bytes of memory */
    uint64_t written;   /* nothing lies behind this offset */
    uint8_t *bad;       /* per block; within image_max */
    uint32_t bad_count;
    struct ghost_batch *batches; /* from the oldest head on that a superblock copy names */
    uint32_t batch_max;
    uint32_t batch_count;
    uint64_t tail; /* lsn: where the next batch begins */
    uint64_t sequence;
    struct hash128 hash;   /* of the batch before the tail */
    struct wal_head head;  /* from which the log was followed */
    uint64_t term;         /* highest of any batch */
    bool *faulty;          /* per index */
    uint64_t first_faulty; /* 0: none */
    uint64_t lost;         /* up to here links are what was promised and then damaged, even behind the log's last */
    bool hollow;           /* what lies before it is a checkpoint that is not all here yet, and never was */
    bool struck;           /* a fault hit it since it last recovered */
    bool must_abstain;     /* and what its disk says proves that it had been durable */
};

/* A block of device 1. */
struct ghost_data_block {
    uint8_t used;   /* by the checkpoint that counts, by the one before it */
    bool bad;       /* a fault hit it since it was written */
    bool gone;      /* and then it was written over */
    uint32_t above; /* the block that names it; 0: the superblock does */
};

/* An entry of a page map on a disk, and the block that holds it. */
struct ghost_map_entry {
    struct map_entry entry;
    uint32_t above;
};

/* The device 1 of one node, as it was written. */
struct ghost_data {
    uint8_t *image;
    uint64_t image_max; /* bytes of memory */
    uint64_t written;   /* nothing lies behind this offset */
    struct ghost_data_block *blocks;
    uint32_t block_max;
    bool before; /* some block may be used by the checkpoint before */
};

/* What was committed when a node's clock showed that for the first time. */
struct ghost_moment {
    uint64_t clock_ns;
    uint64_t committed;
};

/* One replica, as its checker remembers it. Promises outlive crashes; the rest belongs to one life. */
struct ghost_node {
    bool serving;             /* it has recovered in this life */
    uint32_t formatted;       /* position in configurations */
    uint32_t used;            /* the configuration in use after its last step */
    uint32_t used_before;     /* ... and before that step */
    uint32_t member_audited;  /* slot of the creeping comparison of it */
    struct replica_view view; /* after its last step */
    struct ghost_log memory;
    uint64_t audited; /* position of the creeping comparison of log and ghost */

    struct superblock_view copies[SUPERBLOCK_COPIES];
    bool copy_valid[SUPERBLOCK_COPIES];
    struct stored stored;       /* of the copy that recovery would choose */
    struct hash128 stored_hash; /* which names that content */
    bool hard_lost;             /* damage took the copies that held it */
    bool abstained;             /* it did when this life began */
    uint64_t matched_term;      /* of the leader with which that ended in this life; 0: it has not */
    struct ghost_log disk;
    struct ghost_wal wal;
    struct ghost_data data;

    uint64_t promised_term;  /* highest in any frame */
    uint64_t promised_index; /* highest reported durable, not truncated on its disk since */
    uint64_t acked_term;     /* of acked_index: highest reported to the leader of that term */
    uint64_t acked_index;

    uint64_t kept_term; /* of the leader to which it keeps; 0: to nobody */
    uint64_t kept_ns;   /* until when, by the clock of that leader */

    bool asked_for_vote; /* the input of the step under way is a request for a vote... */
    struct slice answer; /* ... an answer to an append request; borrowed until the step is over. Else empty */
    struct slice asked;  /* ... the frame of a client; likewise */
    uint32_t heard;      /* leaders, by slot of the configuration in use: certainly heard in this term... */
    uint32_t stateless;  /* ... but without a checkpoint, as it said last */
    uint64_t heard_ns[MEMBERS_MAX]; /* ... when last, by its clock */
    uint64_t transfer_since_ns;     /* by its clock: when it began to hand over to view.transfer_target */

    struct ghost_moment *moments; /* of this life, both members ascending */
    uint32_t moment_count;
    uint32_t moment_max;
    uint64_t question;           /* number of the latest one that it sent for a read index */
    uint64_t question_committed; /* what was committed when that was sent first */
    uint64_t stale_applied;      /* highest index that a stale read of this life has shown */
};

/* What was promised in one term. Node positions are slots; 0 in `voted`, `granted`, `leader`: nobody yet. */
struct ghost_term {
    uint64_t term;
    uint64_t leader;                  /* id of the node that led it */
    uint64_t voted[VOTERS_MAX];       /* by the disk image: for whom */
    uint64_t granted[VOTERS_MAX];     /* in a frame sent: to whom */
    uint64_t forgotten[VOTERS_MAX];   /* the same, by a disk that was lost since */
    uint32_t pre_granted[VOTERS_MAX]; /* bit per voter, by candidate */
    struct log_id acked[VOTERS_MAX];  /* highest match reported; its term is that of the entry */
    uint64_t acked_chain[VOTERS_MAX];
    uint64_t echoed[VOTERS_MAX];      /* highest ReadIndex round */
    uint64_t promised_ns[VOTERS_MAX]; /* until when it keeps to its leader, by that one's clock */
    uint32_t asked;                   /* by its leader to campaign: bit per node */
};

/* A configuration that was ever appended, or is of the format. Sets of nodes are bits. */
struct ghost_configuration {
    uint64_t index; /* 0: of the format */
    struct link link;
    uint32_t members;
    uint32_t voters; /* of the only half, or of the new one */
    uint32_t voters_old;
    uint32_t slots;             /* behind these there are no nodes */
    uint8_t nodes[MEMBERS_MAX]; /* by slot; VOTERS_MAX: none */
    struct configuration value;
};

/* A committed index. */
struct ghost_commit {
    struct link link;
    uint64_t term;             /* of the leader that committed it */
    uint32_t configuration;    /* which that leader used; position in configurations */
    struct hash128 checkpoint; /* of the state behind it, if any node has made one there; else zero */
    uint64_t digest;           /* of that state */
    bool digested;             /* it is known */
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
    uint32_t text;   /* position in key_text */
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
    bool stale; /* a read whose answer may be older than the call, and is marked so */
};

struct check {
    struct check_setup setup;
    struct limits limits;
    struct check_failure failure;
    uint64_t counts[CHECK_KINDS];
    uint64_t step;
    struct frame_context frame;
    struct ghost_node nodes[VOTERS_MAX];

    uint64_t index_max;           /* capacity of everything indexed by log index */
    struct ghost_commit *commits; /* 1..committed */
    uint64_t committed;
    struct ghost_result *results; /* 1..applied */
    uint64_t applied;             /* by the model */
    uint64_t acknowledged;        /* writes whose client got an outcome of the log */

    struct ghost_configuration *configurations;
    uint32_t configuration_count;
    uint32_t configuration_max;
    uint32_t configurations_verified;

    struct ghost_map_entry *map[2]; /* scratch: entries of two levels */
    uint32_t map_max[2];

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
    uint8_t *key_text;
    uint32_t key_text_bytes;
    uint32_t key_text_max;
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
    const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t chain = body.count > 0 ? checksum64(body.bytes, body.count, 1) : 2;
    chain = (chain ^ (term << 8 | (uint64_t)kind)) * odd;
    chain = (chain ^ chain >> 29 ^ (previous << 23 | previous >> 41)) * odd;
    return chain ^ chain >> 32;
}

/* Slot of a node id; VOTERS_MAX when it is none. */
uint32_t check_slot(const struct check *check, uint64_t node_id);
/* Makes room for `count` elements of `bytes`; keeps what is there. */
void *check_grow(void *memory, uint32_t *max, uint32_t count, size_t bytes);

/* Makes room for logs up to this index. */
void check_reserve(struct check *check, uint64_t index);

/* The entry at an index, base of the log included; 0 is before all. */
static inline struct link check_log_link(const struct check *check, const struct ghost_log *log, uint64_t index)
{
    return index <= log->base ? check->commits[index].link : log->links[index];
}

/* check_log.c */
void check_log_reset(struct check *check);
/* Follows the log in memory after a step. */
void check_log_follow(struct check *check, uint32_t node, const struct replica *replica,
                      const struct replica_view *view, const struct output *output);
/* Records or compares the entry that (index, term) names. */
void check_log_match(struct check *check, uint32_t node, uint64_t index, struct link link);
/* The chain of the entry that (index, term) names; 0: nobody ever had it. */
uint64_t check_log_chain(struct check *check, uint64_t index, uint64_t term);
/* Entries behind `kept` leave the log or the disk of the node, which was in that term: were they committed? */
void check_log_removed(struct check *check, uint32_t node, const struct ghost_log *log, uint64_t kept, uint64_t term,
                       const char *where);
void check_log_commit(struct check *check, uint32_t node, const struct replica_view *view);
void check_log_new_leader(struct check *check, uint32_t node, const struct replica_view *view);

/* check_superblock.c */
void check_superblock_landed(struct check *check, uint32_t node, uint64_t offset, uint64_t end);
/* image: what the node will read from now on. */
void check_superblock_damaged(struct check *check, uint32_t node, const uint8_t *image, uint64_t offset, uint64_t end);
/* The node has recovered: does it still know what it promised? */
void check_superblock_recovered(struct check *check, uint32_t node, const struct replica_view *view);

/* check_disk.c */
/* The entry at an index up to where the log on the disk ends; else zero. */
struct link check_disk_link(const struct check *check, uint32_t node, uint64_t index);
void check_disk_reset(struct check *check, uint32_t node);
/* The disk is empty now. What was promised of it counts in quorums as after any damage. */
void check_disk_wiped(struct check *check, uint32_t node);
/* Does the disk hold the log up to there, as far as the node can know? What was damaged since it last read it does. */
bool check_disk_holds(const struct check *check, uint32_t node, uint64_t index, uint64_t chain);
/* Of how many nodes may be counted on that they hold it: those, and who promised it before the damage. */
bool check_disk_promised(const struct check *check, uint32_t node, uint64_t index, uint64_t chain);
/* The set of those nodes. */
uint32_t check_disk_holders(const struct check *check, uint64_t index, uint64_t chain);
/* The head of the log, or the checkpoint before it, is another one now. */
void check_disk_head(struct check *check, uint32_t node);
/* The node has recovered: does it still have what it promised? */
void check_disk_recovered(struct check *check, uint32_t node, const struct replica *replica,
                          const struct replica_view *view);

/* check_data.c */
void check_data_reset(struct check *check, uint32_t node);
/* The superblock names another checkpoint: is it there? back: it is the one before, since the copies that named a newer
 * one were damaged. */
void check_data_checkpoint(struct check *check, uint32_t node, bool back);
/* No superblock copy names the one before it any more. */
void check_data_forget(struct check *check, uint32_t node);
/* The node gave up a map block that it cannot read. */
void check_data_lost(struct check *check, uint32_t node, uint32_t level, uint32_t at);
/* The node has just loaded the checkpoint, and applied nothing since. */
void check_data_loaded(struct check *check, uint32_t node, const struct replica *replica);

/* check_promise.c */
void check_promise_reset(struct check *check);
struct ghost_term *check_promise_term(struct check *check, uint64_t term);
/* A new life of the node begins: who kept to it is free. */
void check_promise_crashed(struct check *check, uint32_t node);
/* The node's disk is gone, and another will speak for it. */
void check_promise_forgotten(struct check *check, uint32_t node);
/* A node that forgot what it promised takes part again from this term on. */
void check_promise_resumed(struct check *check, uint32_t node, uint64_t term);
void check_promise_follow(struct check *check, uint32_t node, const struct replica_view *view,
                          const struct output *output);

/* check_transfer.c */
/* FRAME_TIMEOUT_NOW, and a request for a vote, before they leave. */
void check_transfer_asks(struct check *check, uint32_t node, const struct message *message);
void check_transfer_campaign(struct check *check, uint32_t node, const struct message *message);
void check_transfer_follow(struct check *check, uint32_t node, const struct replica *replica,
                           const struct replica_view *view, const struct output *output);

/* check_change.c */
void check_change_follow(struct check *check, uint32_t node, const struct replica_view *view,
                         const struct output *output);

/* check_time.c */
void check_time_follow(struct check *check, uint32_t node, const struct replica_view *view,
                       const struct output *output);

/* check_reads.c */
/* A life begins. */
void check_reads_reset(struct check *check, uint32_t node);
void check_reads_follow(struct check *check, uint32_t node, const struct replica_view *view);
void check_reads_question(struct check *check, uint32_t node, const struct message *message);
void check_reads_answer(struct check *check, uint32_t node, const struct message *message);
/* Marks that the answer to a read may carry. */
uint8_t check_reads_flags(const struct request *request);

/* check_members.c; configurations by their position */
void check_members_reset(struct check *check);
/* Is a majority of it, of both halves if it is joint, among these nodes? */
bool check_members_quorum(const struct check *check, uint32_t configuration, uint32_t nodes);
/* The same of the latest one that is committed. */
bool check_members_quorum_now(const struct check *check, uint32_t nodes);
/* The node in a slot of it; VOTERS_MAX: none. */
uint32_t check_members_node(const struct check *check, uint32_t configuration, uint32_t slot);
/* Behind so many slots of it there are no nodes. */
uint32_t check_members_slots(const struct check *check, uint32_t configuration);
/* Is the node a voter of its only half, or of the new one? */
bool check_members_votes(const struct check *check, uint32_t configuration, uint32_t node);
/* May the node lead, that knows of this commit? */
bool check_members_may_lead(const struct check *check, uint32_t node, uint64_t commit);
/* Follows which one the node uses. */
void check_members_follow(struct check *check, uint32_t node, const struct replica *replica,
                          const struct replica_view *view);
/* An ENTRY_CONFIG is in the log of the node. */
void check_members_entry(struct check *check, uint32_t node, struct link link, const struct entry *entry);
/* The step is over: those that came in it are judged. */
void check_members_appended(struct check *check, uint32_t node, const struct replica_view *view);
/* The node is about to say that it holds the log up to there. */
void check_members_promised(struct check *check, uint32_t node, uint64_t match);

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

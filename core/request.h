/* The client protocol: requests, replies, and the commands that go through the log.
 *
 *   frame = frame_header (message.h; from 0, request id in `instance`), request_header or reply_header, payload
 *
 * A client opens a session (REQUEST_REGISTER, itself a log entry; the session id is its index) and numbers its writes
 * 1, 2, 3... with at most one outstanding per session. The pair (session, sequence) makes a retry on any node safe:
 * the state machine executes it once and answers a repetition from its cache (Raft 6.3). A client with many writes in
 * flight holds as many sessions. Reads need no session.
 *
 * A request may say how long its client waits for the answer (`budget_ns`, in the frame header's `term`): a duration,
 * since clocks differ. The node counts from when the request reached it, and answers REPLY_LATE to what it takes up
 * only after that: surely not executed. What was proposed in time is executed, however long that takes.
 *
 * A node that takes in no more says REPLY_BUSY before any queue is full, and after what time to try again.
 *
 * A key's `version` is the Raft index of the entry that last wrote it; 0 means that there is no such key. It never
 * repeats, so compare-and-set on it has no ABA. */
#ifndef WW_REQUEST_H
#define WW_REQUEST_H

#include "base.h"
#include "checksum.h"
#include "configuration.h"
#include "limits.h"
#include "message.h"

enum request_kind {
    REQUEST_REGISTER = 1,    /* new session; reply.session */
    REQUEST_PUT = 2,         /* key, value */
    REQUEST_DELETE = 3,      /* key; REPLY_NOT_FOUND when absent */
    REQUEST_APPEND = 4,      /* key, value: appended to what is there, or put when absent */
    REQUEST_CAS = 5,         /* key, value, version: put if the key's version equals; version 0: put if absent */
    REQUEST_TXN = 6,         /* compares, writes if all hold, writes if not */
    REQUEST_GET = 7,         /* key; linearizable, at the leader. With REQUEST_FLAG_LOCAL at any node, and version is a
                                bound for its age in ns, 0: linearizable. What that means is said in read.h */
    REQUEST_GET_STALE = 8,   /* key; this node's applied state, marked REPLY_FLAG_STALE; of no member that
                                has none, REPLY_NO_LEADER */
    REQUEST_STATUS = 9,      /* this node's status */
    REQUEST_CHECKPOINT = 10, /* leaders: append a marker soon, however little the log has grown; promises nothing */
    REQUEST_TRANSFER = 11,   /* leaders: hand over to the node `version`, 0: to the best one (transfer.h); answered when
                                it leads, or when this one goes on */
    REQUEST_MEMBERS = 12,    /* leaders: another configuration; value: struct member_operation, one or more. version:
                                the index of the configuration that they are meant for; 0: of any */
};
enum { REQUEST_KIND_LAST = REQUEST_MEMBERS };

enum request_flag {
    REQUEST_FLAG_FORCE = 1, /* MEMBERS: even if the healthy voters are no majority behind the change */
    REQUEST_FLAG_LOCAL = 2, /* GET: this node is to answer, leader or not */
};

struct request_header {
    uint64_t session;     /* 0 for register and reads */
    uint64_t sequence;    /* from 1, growing */
    uint64_t version;     /* CAS; TRANSFER: a node id; MEMBERS: index of a configuration; GET: a bound in ns */
    uint32_t value_bytes; /* TXN: bytes of the encoded transaction */
    uint16_t key_bytes;
    uint8_t kind;  /* enum request_kind */
    uint8_t flags; /* of enum request_flag */
};
STATIC_ASSERT(sizeof(struct request_header) == 32, "no padding");

/* A transaction is a list of clauses behind each other, in this order: compares, writes "then", writes "else".
 * No key is written twice in one branch. */
enum txn_clause_kind {
    TXN_IF_EQUAL = 1, /* version equals (0: absent) */
    TXN_IF_NOT_EQUAL = 2,
    TXN_THEN_PUT = 3,
    TXN_THEN_DELETE = 4,
    TXN_THEN_APPEND = 5,
    TXN_ELSE_PUT = 6,
    TXN_ELSE_DELETE = 7,
    TXN_ELSE_APPEND = 8,
};

struct txn_clause_header {
    uint64_t version; /* compares */
    uint32_t value_bytes;
    uint16_t key_bytes;
    uint8_t kind; /* enum txn_clause_kind */
    uint8_t zero;
};
STATIC_ASSERT(sizeof(struct txn_clause_header) == 16, "no padding");

struct txn_clause {
    enum txn_clause_kind kind;
    struct slice key;
    struct slice value;
    uint64_t version;
};

/* A decoded request; key and value borrow from the frame. For REQUEST_TXN `value` is the encoded clause list. */
struct request {
    uint64_t request_id; /* chosen by the client, echoed in the reply */
    uint64_t budget_ns;  /* 0: without end */
    enum request_kind kind;
    uint64_t session;
    uint64_t sequence;
    uint64_t version;
    uint8_t flags;
    struct slice key;
    struct slice value;
};

enum reply_status {
    REPLY_OK = 0,
    REPLY_NOT_FOUND = 1,        /* get, delete: no such key */
    REPLY_CONDITION_FAILED = 2, /* CAS: reply.version is the current one; TXN: the "else" branch was taken */
    REPLY_NO_SPACE = 3,         /* the store is full; nothing was written */
    REPLY_TOO_LARGE = 4,        /* key, value or result over its limit; nothing was written */
    REPLY_NOT_LEADER = 5,       /* reply.leader and address if known; surely not executed by this attempt */
    REPLY_BUSY = 6,    /* a queue or the log is full, or the node is starting; surely not executed by this attempt */
    REPLY_UNKNOWN = 7, /* leadership was lost after the write was appended: it may or may not take effect */
    REPLY_SESSION_EXPIRED =
        8, /* unknown or evicted session: this attempt was not executed, an earlier one may have been */
    REPLY_STALE_SEQUENCE = 9, /* a later sequence of the session was executed; this attempt was not */
    REPLY_BAD_REQUEST = 10,   /* malformed */
    REPLY_WRONG_CLUSTER = 11,
    REPLY_NOT_A_VOTER = 12,     /* TRANSFER: it could not lead */
    REPLY_TRANSFER_FAILED = 13, /* TRANSFER: nobody took over within an election timeout, or another node did */
    /* MEMBERS; each is definite: nothing was appended. REPLY_OK: the change is over, reply.version is the index of the
     * configuration that it led to. REPLY_CONDITION_FAILED: another configuration than `version` is in use. */
    REPLY_CHANGE_UNDER_WAY = 14, /* one at a time (Raft 4.3) */
    REPLY_TERM_NOT_OPEN = 15,    /* no entry of the leader's own term is committed yet (raft-dev, 2015) */
    REPLY_UNKNOWN_MEMBER = 16,
    REPLY_DUPLICATE_MEMBER = 17, /* id or address */
    REPLY_TOO_MANY_MEMBERS = 18,
    REPLY_NO_VOTER_LEFT = 19,
    REPLY_WRONG_ROLE = 20,
    REPLY_LEARNER_BEHIND = 21,    /* its promotion would stall commits: let it catch up first (Raft 4.2.1) */
    REPLY_WOULD_LOSE_QUORUM = 22, /* behind it the voters known to be well are no majority; `force` overrides */
    REPLY_NO_LEADER = 23, /* local GET: this node has no leader to ask, or lost it while it asked; GET_STALE: it is no
                             member and has never heard one; try again, here or at another one */
    REPLY_LATE = 24,      /* its time was over when the node came to it; surely not executed by this attempt */
    REPLY_TARGET_SILENT = 25, /* TRANSFER: it, or whoever could lead, has not answered within an election timeout;
                                 nothing was tried */
};
enum { REPLY_STATUS_LAST = REPLY_TARGET_SILENT };

const char *reply_status_text(enum reply_status status);

enum {
    REPLY_FLAG_STALE = 1,   /* not linearizable: one node's applied state, of any age */
    REPLY_FLAG_BOUNDED = 2, /* not linearizable, but not older than the bound that was asked for */
};

struct reply_header {
    uint64_t session;     /* register: the new session */
    uint64_t version;     /* of the key after the operation, 0 when absent; TXN: the entry's index */
    uint64_t applied;     /* index of the entry that executed it, or the applied index that was read */
    uint64_t leader;      /* NOT_LEADER: node id, 0 when unknown */
    uint32_t value_bytes; /* behind the header: GET: the value; NOT_LEADER: the leader's address; STATUS: node_status,
                             then its members */
    uint8_t status;       /* enum reply_status */
    uint8_t flags;
    uint16_t retry_after_ms; /* BUSY: trying again earlier is in vain, probably; 1 at least. Else 0 */
};
STATIC_ASSERT(sizeof(struct reply_header) == 40, "no padding");

struct reply {
    uint64_t request_id;
    enum reply_status status;
    uint8_t flags;
    uint16_t retry_after_ms;
    uint64_t session;
    uint64_t version;
    uint64_t applied;
    uint64_t leader;
    struct slice value;
};

/* The payload of a STATUS reply. */
struct node_status {
    uint64_t cluster_id;
    uint64_t node_id;
    uint64_t leader; /* 0: unknown */
    uint64_t term;
    uint64_t last_index;
    uint64_t durable_index;
    uint64_t commit_index;
    uint64_t applied_index;
    uint64_t wal_bytes_used;
    uint64_t wal_bytes_max;
    uint64_t log_entries_max;
    uint64_t keys;
    uint64_t store_bytes_used; /* of the state machine's pages */
    uint64_t store_bytes_max;
    uint64_t sessions;
    uint64_t state_digest;          /* equal on replicas with equal applied_index */
    struct log_id checkpoint;       /* the last entry in the durable checkpoint; index 0: none yet */
    struct hash128 checkpoint_hash; /* equal on replicas with an equal checkpoint */
    uint64_t first_index;           /* of the log: all before it are only in the checkpoint */
    uint64_t pages_wanted;          /* of the checkpoint, not here: lost, or still to come from a peer */
    uint64_t entries_repaired;      /* in this life: damaged here, got from a peer */
    uint64_t pages_pulled;          /* ... pages got from peers */
    uint64_t bytes_pulled;          /* ... frames that this and looking for them took, questions included */
    uint64_t blocks_mended;         /* ... that the disk had lost and memory had not: both devices, superblock copies */
    uint64_t memory_mended;         /* ... that memory had lost and the disk had not */
    uint64_t differences;           /* ... checkpoints of peers that were not what others have at that index */
    uint64_t scrub_passes;          /* over everything stored, complete */
    uint64_t scrub_position;        /* in its phase; scrub.h */
    uint32_t members;               /* struct member_status behind this one */
    uint8_t role;                   /* enum raft_role, replica.h */
    uint8_t store_state;            /* enum store_state, store.h */
    bool checkpoint_busy;           /* one is being written */
    uint8_t scrub_phase;            /* enum scrub_phase, scrub.h */
    uint64_t configuration_index;   /* of the entry that made the configuration in use; 0: of the format */
    uint8_t rejoin;                 /* enum rejoin_state, replica.h */
    uint8_t rejoin_answers;
    uint8_t rejoin_answers_needed; /* asking: so many must be in before it goes on */
    bool abstains;                 /* gives no vote: it does not know all that it has acknowledged */
    bool doubts;      /* serves nobody, since voters' states differ and no majority is known to have its own */
    bool log_damaged; /* entries of the log cannot be read, and are to come from peers */
    uint8_t zero[2];
};
STATIC_ASSERT(sizeof(struct node_status) == 264, "no padding");

/* One member of the configuration in use; progress as the leader sees it, zeros elsewhere. */
struct member_status {
    struct member member;
    uint64_t match;        /* known durable there */
    uint64_t next;         /* first entry to be sent to it */
    uint64_t heard_age_ns; /* since it last answered in this term; UINT64_MAX: not yet */
    uint8_t state;         /* enum peer_state, state.h: 0 probe, 1 replicate, 2 snapshot */
    uint8_t zero[7];
};
STATIC_ASSERT(sizeof(struct member_status) == 112, "no padding");

uint32_t request_bytes(const struct request *request);
/* Client side. cluster_id 0 means "whichever answers". */
void request_encode(const struct request *request, uint64_t cluster_id, uint8_t *to);
/* Node side: decodes one whole frame of type FRAME_CLIENT_REQUEST. On FRAME_OK *status is REPLY_OK, or the reason why a
 * well-formed frame is refused (REPLY_TOO_LARGE, REPLY_BAD_REQUEST, REPLY_WRONG_CLUSTER), with request_id set. */
enum frame_verdict request_decode(struct slice bytes, const struct frame_context *context, const struct limits *limits,
                                  struct request *request, enum reply_status *status);

uint32_t reply_bytes(const struct reply *reply);
void reply_encode(const struct reply *reply, uint64_t cluster_id, uint8_t *to);
enum frame_verdict reply_decode(struct slice bytes, uint32_t frame_bytes_max, struct reply *reply);

/* Transactions: bytes of one clause; appends one clause to `to`; decodes the clause at *offset and moves it, false at a
 * malformed clause. request_decode() has checked the whole list before anything sees it. */
uint32_t txn_clause_bytes(const struct txn_clause *clause);
void txn_clause_encode(const struct txn_clause *clause, uint8_t *to);
bool txn_clause_decode(struct slice txn, uint32_t *offset, struct txn_clause *clause);

/* The body of an ENTRY_COMMAND is the request without its frame header: request_header, key, value. */
uint32_t command_bytes(const struct request *request);
void command_encode(const struct request *request, uint8_t *to);
/* Total over any bytes; false when malformed. Leaves request_id 0. */
bool command_decode(struct slice body, const struct limits *limits, struct request *request);

#endif

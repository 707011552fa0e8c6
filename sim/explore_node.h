/* One node as the explorer sees it: a replica, its disk and the writes under way, as a value that inputs change.
 *
 * State. A `node_value` is a value of fixed size without pointers: the roots of the region and of the disk image in the
 * tree (explore_blob.h), the writes in flight with the root of their bytes, and what the node has promised to others.
 * Equal states are equal bytes.
 *
 * Inputs. A frame, a timer, a request of a client, the completion of a write, a crash with what survives of the writes
 * in flight. node_apply() is a function: the core has no clock and no randomness of its own, so the same input in the
 * same state has the same outcome for ever, and nobody needs to try it twice (explore_table.h).
 *
 * What one input includes. Reads of the disk are answered, and writes of device 1 completed, before anything else
 * happens to the node; so are steps that the core asks for at once. A crash includes the start of the next life, as a
 * node that stays down is one whose frames are late; without `recovery` it also includes the writes of recovery. All
 * copies of a superblock are one write, unless `copies` tells them apart: then a crash may come between any two.
 *
 * Time is abstract. The clock stands still at CLOCK_NS; deadlines are never reached by it, and a timer fires when its
 * deadline is set to the present. A leader heard is forgotten when the election timer fires, since that ends later.
 * The generator of random timeouts is set back before each input: how long a timeout is means nothing here. Both are
 * sound for what is asked (does any order of events break a rule?): a timer that may fire at any moment allows all that
 * any lengths and clocks allow. What needs a clock is switched off: leases, bounded reads, CheckQuorum's step down, the
 * scrub, the pace of an install.
 *
 * Checked in the step itself, since only one node takes part: assertions, replica_invariant(), promises (what a frame
 * says is on the disk already: a node that crashed now would still know it), terms, votes, commit and applied index
 * that never go back within a life, leaders that only append, a recovery that knows all that was promised. */
#ifndef WW_EXPLORE_NODE_H
#define WW_EXPLORE_NODE_H

#include "../core/inspect.h"
#include "../core/replica.h"
#include "../core/request.h"
#include "explore_blob.h"

enum {
    EXPLORE_NODES_MAX = 5,
    EXPLORE_CLIENTS_MAX = 2, /* sessions that limits_micro holds */
    EXPLORE_CALLS_MAX = 4,   /* of all clients */
    NODE_WRITES_MAX = 4,
    NODE_ENTRIES_MAX = 16,                                             /* log_entries_max of limits_micro */
    EXPLORE_CALL_CHECKPOINT = EXPLORE_CALLS_MAX + EXPLORE_CLIENTS_MAX, /* behind the registrations */
    EXPLORE_CALL_REMOVE,                                               /* plus the slot of who goes */
    NODE_SENT_MAX = 32,
    NODE_REPLIES_MAX = 8,
    NODE_FRAME_BYTES_MAX = 1024,
};

#define CLOCK_NS (1ULL << 40)

enum node_input_kind { NODE_FRAME, NODE_TIMER, NODE_COMPLETE, NODE_CRASH, NODE_REQUEST };
enum node_timer { TIMER_ELECTION, TIMER_HEARTBEAT, TIMER_NAME, TIMERS };

struct node_input {
    enum node_input_kind kind;
    uint32_t which;     /* timer, write, outcome of the crash, client */
    struct slice bytes; /* FRAME, REQUEST */
};

struct node_write {
    uint64_t op_id;
    uint64_t offset;
    uint32_t bytes;
    uint32_t root;
};

/* What it said to others that a crash must not undo. */
struct node_promise {
    uint64_t term; /* highest one in a frame */
    uint64_t vote_term;
    uint64_t vote; /* granted in vote_term; 0: none yet */
};

struct node_value {
    uint32_t region;
    uint32_t disk;
    uint32_t node; /* slot */
    uint32_t write_count;
    struct node_write writes[NODE_WRITES_MAX];
    struct node_promise promise;
};

/* What the rules about several nodes look at, once per state. */
struct node_view {
    uint64_t term;
    uint64_t vote;
    uint64_t state_digest;
    uint32_t role; /* enum raft_role */
    uint32_t last; /* indices; the largest is below NODE_ENTRIES_MAX */
    uint32_t base;
    uint32_t commit;
    uint32_t applied;
    uint32_t outcomes;                /* of a crash now */
    uint32_t voters;                  /* bit per node: of the configuration in use, its only half or the new one */
    uint32_t voters_old;              /* its old half; 0: it is not joint */
    uint64_t entry[NODE_ENTRIES_MAX]; /* by index: hash of all that the entry is; 0: not in the log */
    uint64_t entry_term[NODE_ENTRIES_MAX];
    uint8_t entry_call[NODE_ENTRIES_MAX]; /* the call that it carries, plus 1; 0: none */
};

struct node_sent {
    uint32_t to; /* slot */
    uint32_t bytes;
    uint8_t frame[NODE_FRAME_BYTES_MAX];
};

struct node_reply {
    uint32_t call; /* EXPLORE_CALLS_MAX: of a session */
    uint32_t status;
    uint64_t index; /* version; of a registration: the session */
};

struct node_executed {
    uint32_t index;
    uint32_t call;
};

/* What one input led to. */
struct node_outcome {
    struct node_value state;
    struct node_view view;
    uint32_t sent_count;
    uint32_t reply_count;
    uint32_t executed_count;
    struct node_sent sent[NODE_SENT_MAX];
    struct node_reply replies[NODE_REPLIES_MAX];
    struct node_executed executed[NODE_REPLIES_MAX];
    const char *fault; /* the checker that failed; NULL: none */
    const char *fault_format;
    char fault_text[200];
};

struct node_options {
    uint32_t nodes;
    bool pre_vote;
    bool check_quorum;
    bool strict_naming;
    bool torn;        /* a block that a crash meets in flight may hold half of either content */
    bool copies;      /* each copy of the superblock is a write of its own, else all are one */
    bool raw;         /* bytes without a meaning tell states apart: to test that they have none */
    bool single;      /* an append request carries one entry */
    bool checkpoints; /* the log keeps nothing of what is in one */
    bool recovery;    /* what a start writes is in flight, too, so that a crash can meet it */
};

struct node_machine;
struct node_machine *node_machine_new(const struct node_options *options);
void node_machine_free(struct node_machine *machine);

/* The first life of a node on a newly formatted disk. */
void node_begin(struct node_machine *machine, uint32_t node, struct node_outcome *outcome);
void node_apply(struct node_machine *machine, const struct node_value *from, const struct node_view *view,
                const struct node_input *input, struct node_outcome *outcome);

/* The same once more, for those who look on. input NULL: its beginning. */
struct explore_show;
struct observer;
bool node_show_begin(const struct node_machine *machine, struct explore_show *show, struct observer *observer);
void node_show(struct node_machine *machine, const struct node_value *from, const struct node_view *view,
               const struct node_input *input, struct explore_show *show);

/* What the node would know if it crashed now and nothing in flight survived; borrowed until the next call. */
const struct node_view *node_durable(struct node_machine *machine, uint32_t node, uint32_t disk);

/* The session of a client is this one: calls are told by it. */
void node_session(struct node_machine *machine, uint32_t client, uint64_t session);
/* The frame of a call, of the registration of a client (EXPLORE_CALLS_MAX + client), or of an operator's request. */
uint32_t node_request(const struct node_machine *machine, uint32_t call, bool read, uint8_t *frame);

/* For traces: the write, "batch"; and what the crash keeps of each, "batch+ superblock-". Which outcome of a crash in
 * this state has that text: UINT32_MAX: none. */
const char *node_write_text(const struct node_write *write);
void node_crash_text(struct node_machine *machine, const struct node_value *state, uint32_t which, char *text,
                     size_t text_bytes);

/* An assertion failed in the core: true does not return, when it was in a step of a machine. */
void node_assertion_failed(const char *text);

/* Of all nodes. */
const struct limits *node_limits(const struct node_machine *machine);
uint64_t node_cluster_id(void);

uint64_t node_machine_bytes(const struct node_machine *machine);
bool node_machine_failed(const struct node_machine *machine); /* no memory: its states mean nothing any more */

#endif

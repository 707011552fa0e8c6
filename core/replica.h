/* One replica as a pure state machine: inputs in, effects out. This header is all that a driver needs.
 *
 *     size_t bytes = replica_bytes(&limits);        // the caller provides one zeroed region, aligned to 4096
 *     replica_init(region, &limits, &config);
 *     output_init(&output, output_region, &limits); // output_bytes(&limits)
 *     replica_step(replica, &(struct input){ .kind = INPUT_START, .now_ns = now }, &output);
 *     ... carry out output.effects in order; feed what happens; step again at output.deadline_ns at the latest
 *
 * A step is total: it cannot fail, block, or half apply. Full is an answer to the client, never a failed allocation.
 *
 * Ownership: input memory is borrowed until replica_step() returns; output memory is valid until the next step of that
 * replica; the bytes of a write lie in the region and stay unchanged until its completion is fed in; nobody frees.
 *
 * Durability order is the core's alone. It emits "send the vote" only after the completion of the write that holds the
 * vote was fed to it. A driver never orders, links or retries writes; it may complete them in any order, each once.
 *
 * The region holds no pointers: memcpy clones a replica, memcmp compares two. */
#ifndef WW_REPLICA_H
#define WW_REPLICA_H

#include "base.h"
#include "configuration.h"
#include "limits.h"
#include "message.h"

struct replica;

enum {
    REGION_ALIGNMENT = 4096,
    REGION_HUGE_BYTES = 2 << 20, /* a region that is aligned to it, too, has its large areas so: for huge pages */
};

enum raft_role {
    RAFT_STARTING, /* reading its disk: speaks to nobody */
    RAFT_FOLLOWER,
    RAFT_PRE_CANDIDATE, /* Raft 9.6 */
    RAFT_CANDIDATE,
    RAFT_LEADER,
    RAFT_STOPPED, /* emitted EFFECT_STOP; every further input is ignored */
};
const char *raft_role_text(enum raft_role role);

struct replica_config {
    uint64_t cluster_id;            /* not 0 */
    uint64_t node_id;               /* any value but 0 and UINT64_MAX */
    uint64_t seed;                  /* of this life's random election timeouts */
    uint64_t election_timeout_ns;   /* the minimum; each is drawn from [1, 2) of it (Raft 3.4) */
    uint64_t heartbeat_interval_ns; /* below half the election timeout */
    bool pre_vote;                  /* Raft 9.6 */
    bool check_quorum;              /* a leader without a majority steps down; voters that hear a leader refuse votes
                                       (Raft 6.2, 4.2.3) */
    bool strict_naming;             /* a batch counts as durable only when it is named, too (storage design 2.6) */
    uint8_t zero;
    uint32_t lease_drift_ppm; /* above 0: a leader answers reads from its lease, without asking anybody, and relies
                                 on it that no clock of the cluster is faster or slower than that, in parts per
                                 million (Raft 6.4.1; read.h). 0: this node has no lease, and promises nobody
                                 one. Needs check_quorum */
};

enum { LEASE_DRIFT_PPM_MAX = 500000 };

/* NULL when usable, otherwise the problem as a sentence. */
const char *replica_config_problem(const struct replica_config *config);

enum {
    DEVICE_WAL = 0, /* blocks of limits.block_bytes; limits_wal_bytes() of them, all written at format */
    DEVICE_DATA =
        1, /* blocks of limits.page_bytes; limits_data_bytes(), sparse: nothing is read that was not written */
    DEVICES,
};

enum input_kind {
    INPUT_START,        /* once, first */
    INPUT_TICK,         /* time has passed; also useful before the deadline */
    INPUT_PEER_FRAME,   /* bytes: one whole frame, however damaged */
    INPUT_CLIENT_FRAME, /* bytes: one whole frame, however damaged; client: where replies go */
    INPUT_DISK,         /* completion of the operation op_id */
};

enum disk_result {
    DISK_OK,    /* write: all bytes durable. read: bytes holds exactly what was asked for */
    DISK_ERROR, /* read: an I/O error somewhere in the range. write: error, or short: nothing is known about the blocks
                 */
    DISK_FULL,  /* write: no space */
};

struct input {
    enum input_kind kind;
    bool more; /* another input follows at once: sealing and sending may wait for it */
    enum disk_result result;
    uint64_t now_ns; /* monotonic clock of this node, read when the input was there; a value behind the last one counts
                        as the last one */
    uint64_t arrived_ns; /* client frames: when they can have reached this node at the earliest, by the same clock; 0:
                            now_ns. What waited in the driver counts against the client's time */
    uint64_t client;     /* opaque to the core */
    uint64_t op_id;
    struct slice bytes;
};

enum effect_kind {
    EFFECT_SEND,    /* bytes to the node `target`; may be lost. deadline_ns, unless 0: must be, when the clock, read
                       now, is there already (Raft 6.4.1) */
    EFFECT_REPLY,   /* bytes to the client `target`; likewise */
    EFFECT_WRITE,   /* bytes to device at offset, complete as op_id when durable; block-aligned */
    EFFECT_READ,    /* bytes.count bytes (bytes.bytes is NULL) of device at offset, complete as op_id */
    EFFECT_RELEASE, /* bytes of the region whose content means nothing from now on: a driver may give the memory back,
                       or to `place`, whose content means nothing either, before it is written to */
    EFFECT_REFUSE,  /* the input's frame was refused for `verdict`: log it, send bytes (if any) back, close the
                       connection */
    EFFECT_STOP,    /* the node must not go on: `stop`, `detail`. The last effect ever */
};

enum stop_reason {
    STOP_WRITE_FAILED = 1, /* a durable write failed; never retried */
    STOP_NO_SUPERBLOCK,  /* no two superblock copies agree: the node's promises are lost; rejoin with a new directory */
    STOP_WRONG_CLUSTER,  /* the data belongs to another cluster; detail: its id */
    STOP_WRONG_NODE,     /* the data belongs to another node; detail: its id */
    STOP_WRONG_VERSION,  /* stored format of another version; detail: that version */
    STOP_WRONG_GEOMETRY, /* stored limits (block or ring sizes) differ from the configured ones */
    STOP_WAL_DAMAGED,    /* an entry that was durable cannot be read; detail: its index (part 2 repairs it) */
    STOP_WAL_FULL,       /* no room for the recovery cut */
    STOP_DIVERGED,       /* the voters' states differ and no majority agrees; detail: the checkpoint's index */
    STOP_DUPLICATE_NODE, /* peers know another data directory under this node id */
    STOP_REPLACED_NODE,  /* peers know a younger one, which rejoined under this node id; detail: the peer */
    STOP_DATA_DAMAGED,   /* the checkpoint cannot be read, and there is no peer to get it from; detail: pages */
    STOP_MEMORY_DAMAGED, /* memory and the disk have lost the same block of the map, a restart can get it from a peer;
                            detail: its offset */
    STOP_REMOVED,        /* a peer knows that this node is no member any more; detail: up to which index */
};
const char *stop_reason_text(enum stop_reason reason);

struct effect {
    enum effect_kind kind;
    uint32_t device;
    uint64_t target;
    uint64_t op_id;
    uint64_t offset;
    uint64_t detail;
    uint64_t deadline_ns;
    enum stop_reason stop;
    enum frame_verdict verdict;
    struct slice bytes;
    const uint8_t *place; /* RELEASE: as many bytes of the region; NULL: none */
};

/* Typed trace: what happened inside a step, for logs, transcripts, invariants and coverage. */
enum event_kind {
    EVENT_ROLE,              /* a: enum raft_role, b: leader or 0 */
    EVENT_TERM,              /* a: new term */
    EVENT_VOTE,              /* a: candidate, b: term; granted in memory, not yet durable */
    EVENT_HARD_STATE,        /* a: term, b: vote; now durable */
    EVENT_APPEND,            /* a: index, b: term */
    EVENT_TRUNCATE,          /* a: last index kept */
    EVENT_DURABLE,           /* a: durable index */
    EVENT_COMMIT,            /* a: commit index */
    EVENT_APPLY,             /* a: index, b: state digest after it */
    EVENT_EXECUTED,          /* a: index, b: enum reply_status; a write was executed in its session */
    EVENT_SESSION_EVICTED,   /* a: session */
    EVENT_READ_ROUND,        /* a: round, b: read index; a ReadIndex round begins */
    EVENT_READ_SERVED,       /* a: read index, b: applied index */
    EVENT_APPEND_REJECTED,   /* a: peer, b: hint index; the leader backs off */
    EVENT_IMPOSSIBLE,        /* a: peer; it sent what no correct leader sends, and was ignored */
    EVENT_QUORUM_LOST,       /* a: ns without a majority; CheckQuorum steps down */
    EVENT_RECOVERED,         /* a: last index, b: batches */
    EVENT_TAIL_CUT,          /* a: last index kept, b: lsn; batches behind it, torn or lost, are cut off for good */
    EVENT_SUPERBLOCK_REPAIR, /* a: copies rewritten */
    EVENT_READ_RETRIED,      /* a: offset; a read error that is tried again by blocks */
    EVENT_INSTALL,           /* a: enum install_phase, b: peer that is asked */
    EVENT_INSTALL_PAGES,     /* a: pages got, b: pages still wanted */
    EVENT_INSTALL_PATCHED,   /* a: pages got of which memory had pieces, b: bytes of the answer */
    EVENT_INSTALL_UNFIT,     /* a: pages that came wrong, or fit not what memory had: all of each is asked for again */
    EVENT_INSTALL_RETARGET,  /* a: index of the checkpoint pulled from now on, b: peer */
    EVENT_INSTALL_DONE,      /* a: index of the checkpoint, b: pages pulled in this life */
    EVENT_OFFER,             /* a: peer, b: index of the checkpoint offered to it */
    EVENT_BATCH_DAMAGED,     /* a: first index, b: entries; they were durable and are lost here */
    EVENT_ABSTAIN,           /* a: last index known, b: lsn; what was durable behind it is not all known: no votes */
    EVENT_ABSTAIN_OVER,      /* a: index, b: term; everything that may have been promised is here again */
    EVENT_REJOIN,            /* a: answers needed, b: instance; the disk was replaced: asks what it may have promised */
    EVENT_REJOIN_KNOWN,      /* a: highest term, b: answers; it may have promised something up to that term */
    EVENT_REJOINED,          /* a: index, b: term; it is a voter like any other again */
    EVENT_REPLACED,          /* a: peer, b: instance; another directory speaks for it now, the one before is refused */
    EVENT_SCRUB_MENDED,      /* a: device, b: offset; the disk had lost what memory still has */
    EVENT_MEMORY_MENDED,     /* a: device, b: offset; memory had lost what is stored there, and has it again */
    EVENT_SCRUBBED,          /* a: passes over everything stored, b: blocks mended in this life */
    EVENT_DIVERGED,          /* a: index of the checkpoint, b: applied; this node's state is not that of the others */
    EVENT_DIFFERS,           /* a: peer, b: index; its checkpoint there is not the one that somebody else has */
    EVENT_DOUBT,             /* a: index, b: 1 no majority has anything there, and nothing is served; 0 it is over */
    EVENT_UNRECOVERABLE,     /* a: index, b: term; every voter was asked for the entry, and nobody has its bytes */
    EVENT_LED_IN_VAIN,       /* a: index of the checkpoint, b: pages still wanted, 0: it was in doubt; steps down */
    EVENT_ENTRY_REPAIRED,    /* a: index, b: term; got from a peer, not yet durable */
    EVENT_BUSY,              /* a: enum reply_status; a client was turned away */
    EVENT_CHECKPOINT_RELIEF, /* a: index; frozen without a marker, since the log is full */
    EVENT_CHECKPOINT_RENEW,  /* a: index; the same, since the durable one does not do */
    EVENT_CHECKPOINT_FROZEN, /* a: index, b: pages to be looked at; the marker was applied */
    EVENT_CHECKPOINT,        /* a: index, b: pages written; durable */
    EVENT_STORE_LOADED,      /* a: index of the checkpoint, b: pages read */
    EVENT_PAGE_DAMAGED,      /* a: page, or map block of level b > 0; what the checkpoint says of it cannot be read */
    EVENT_LEASE_READ,        /* a: applied index, b: ns that are left of the lease */
    EVENT_READ_ASKED,        /* a: leader, b: reads; a question for the read index begins */
    EVENT_READ_INDEX,        /* a: peer, b: read index, 0: none; its question is answered */
    EVENT_FOLLOWER_READ,     /* a: read index, b: applied index */
    EVENT_BOUNDED_READ,      /* a: applied index, b: ns since that was asked for */
    EVENT_STALE_READ,        /* a: applied index */
    EVENT_CONFIGURATION,     /* a: index of its entry, b: enum configuration_event; another one is in use */
    EVENT_TRANSFER,          /* a: node that is to lead, b: enum transfer_event */
    EVENT_PEER,              /* a: peer, b: enum peer_state (state.h): how its leader replicates to it from now on */
    EVENT_LATE,              /* a: ns that a request was allowed to take, b: ns that it had waited; not executed */
    EVENT_DISK_STALLED,      /* a: ns that the oldest write of the log has been under way; the leader steps down */
    EVENT_KINDS,
};
const char *event_kind_text(enum event_kind kind);

enum configuration_event {
    CONFIGURATION_JOINT,       /* appended */
    CONFIGURATION_FINAL,       /* appended: the only half, or the one that leaves the joint state */
    CONFIGURATION_ROLLED_BACK, /* the entry of the one before was truncated */
    CONFIGURATION_LOADED,      /* found in a checkpoint that was installed */
};

enum transfer_event {
    TRANSFER_BEGUN,   /* a client wants it */
    TRANSFER_PREFERS, /* ... or this leader, since the other one has a higher priority */
    TRANSFER_LEAVES,  /* ... or this leader, since it is no voter any more */
    TRANSFER_ASKED,   /* it has the whole log, and is told to campaign */
    TRANSFER_TAKEN,   /* this node is the target, and campaigns */
    TRANSFER_DONE,    /* it leads */
    TRANSFER_FAILED,
    TRANSFER_OVER, /* it leads no more, and has not heard who does: who leaves is not told */
};

struct event {
    enum event_kind kind;
    uint64_t a;
    uint64_t b;
};

struct output {
    uint32_t effect_count;
    uint32_t event_count; /* events past event_max are dropped and counted here all the same */
    uint32_t effect_max;
    uint32_t event_max;
    uint64_t deadline_ns; /* step again then at the latest; <= now: at once; UINT64_MAX: nothing to wait for */
    struct effect *effects;
    struct event *events;
    uint8_t *arena;
    uint32_t arena_used;
    uint32_t arena_bytes;
};

/* Memory of one replica, and of one output (which replicas with the same limits may share if the driver copies). */
size_t replica_bytes(const struct limits *limits);
size_t output_bytes(const struct limits *limits);

/* region: replica_bytes() zeroed bytes, aligned to REGION_ALIGNMENT. limits and config are copied. */
struct replica *replica_init(void *region, const struct limits *limits, const struct replica_config *config);
/* Zeroes a region that was used before, as far as replica_init() needs it: the mirror of the log may hold anything, as
 * after EFFECT_RELEASE. */
void replica_clear(void *region, const struct limits *limits);
void output_init(struct output *output, void *region, const struct limits *limits);

void replica_step(struct replica *replica, const struct input *input, struct output *output);

/* Names a data directory for ever. Of a new node: random, not 0, without this bit. Of a node that lost its disk: with
 * it, and larger than that of any earlier directory of the node; a clock gives such numbers. */
#define INSTANCE_REJOIN (1ULL << 63)

enum rejoin_state { REJOIN_WHOLE, REJOIN_ASKING, REJOIN_CATCHING_UP }; /* rejoin.h */
const char *rejoin_state_text(enum rejoin_state state);

/* Format of a data directory: what the driver writes to all superblock copies, over a WAL file of zeros, before the
 * first start. configuration: of a new cluster, the same for all its nodes, with id 0.0; empty for a node that is to
 * join one. From then on what the node stores rules. copy: limits_superblock_bytes(). */
void replica_format(const struct limits *limits, const struct replica_config *config,
                    const struct configuration *configuration, uint64_t instance, uint8_t *copy);
uint64_t superblock_offset(const struct limits *limits, uint32_t copy);

/* What a stored superblock says about itself, for a driver that must know limits before it can init.
 * Total over any bytes: false when it is not an intact superblock. */
struct superblock_summary {
    uint64_t cluster_id;
    uint64_t node_id;
    uint32_t version;
    uint32_t block_bytes;
    uint32_t superblock_stride_blocks;
    uint32_t wal_header_blocks;
    uint32_t wal_body_blocks;
    uint32_t page_bytes;
    uint32_t pages_max;
    uint32_t data_blocks;
    struct configuration configuration; /* the latest one; empty also when the version is another */
};
bool superblock_summarize(struct slice copy, struct superblock_summary *summary);

#endif

/* All checkers of one schedule: ghost state that sees every node, every frame, every durable byte and every call.
 *
 * The world calls these hooks; a violated property sets the failure (the first one stays). A hook works in proportion
 * to what changed. Ghost state is never erased by crashes: it remembers what was promised.
 *
 *   logs       one chain hash per entry, in memory and on disk: equal hashes, equal logs up to there
 *   images     what recovery would find on each disk right now: the hard state, the log as far as batches chain,
 *              and the checkpoint with all its pages
 *   audit      (sender) nothing leaves a node before it is durable in its image
 *   ledger     (receiver) no node holds a belief (vote, match, read round, durability) that nobody promised
 *   commit     a leader commits entries of its own term, durable on a majority of images; later leaders have them
 *   model      key-value store and sessions, executed once per committed index, compared with each replica's
 *   witnesses  a reply names the index that executed the call or was read: it lies between invocation and return in
 *              the order of commits, and the model gives the same answer there
 *   search     linear.h, on a sample: what the clients saw, without any of the above
 *
 * Damage by an injected fault is excused where it hits, and until that block is written again: a node may then lose
 * what lay there, but must say so. README.md lists what that means. */
#ifndef WW_CHECK_H
#define WW_CHECK_H

#include "../core/base.h"
#include "../core/inspect.h"
#include "../core/replica.h"
#include "../core/request.h"

enum check_kind {
    CHECK_ELECTION_SAFETY,     /* I1 one leader per term */
    CHECK_LEADER_APPEND_ONLY,  /* I2 */
    CHECK_LOG_MATCHING,        /* I3 (index, term) names one entry and one past: chain hashes */
    CHECK_LEADER_COMPLETENESS, /* I4 a new leader holds every entry committed in an earlier term */
    CHECK_STATE_MACHINE,       /* I5 one entry per applied index; equal digests at equal applied index */
    CHECK_DURABLE_QUORUM,      /* I6, WB-commit: committed means durable on a majority in the disk images */
    CHECK_MONOTONE,            /* I7 term, vote in a term, commit, applied: within a life, and on disk across lives */
    CHECK_EXACTLY_ONCE,        /* I8 */
    CHECK_READ_INDEX,          /* a read index, sent or believed, holds all that was committed when it was asked for */
    CHECK_READ_AGE,            /* audit: a bounded read is not older than its bound, a stale one not than one before */
    CHECK_READ,                /* I9 a linearizable read sees every write acknowledged before it began (witness form) */
    CHECK_WRITE,               /* witness form of writes: committed between call and return, result as in the model */
    CHECK_LIMITS,              /* I11 replica_invariant(); frames that their receivers can decode */
    CHECK_PINNED,              /* I12 buffers of writes in flight do not change */
    CHECK_PROMISE_VOTE,        /* audit: a granted vote is in the disk image */
    CHECK_PROMISE_TERM,        /* audit: no frame carries a term above the durable one */
    CHECK_PROMISE_APPEND,      /* audit: a reported match is in the disk image */
    CHECK_PROMISE_REPLY,       /* audit: an acknowledged write is durable on a majority */
    CHECK_PROMISE_LEASE,       /* audit: who keeps to a leader for a time gives no vote before, crash or not */
    CHECK_LEDGER_VOTE,         /* ledger: every vote a candidate counts was promised to it in that term */
    CHECK_LEDGER_MATCH,        /* ledger: match[f] <= what f reported in that term */
    CHECK_LEDGER_ROUND,        /* ledger: a round counted as acknowledged was echoed in that term */
    CHECK_LEDGER_LEASE,        /* ledger: a lease counts from the sending of what a majority echoed in that term */
    CHECK_LEDGER_TRANSFER,     /* who campaigns for a leader was told to, is a voter, and has all of its log */
    CHECK_RECOVERY,            /* a restarted node holds all that it ever promised */
    CHECK_CHECKPOINT,          /* equal hashes at equal indices; what a superblock names is there, and stays */
    CHECK_LEASE,         /* WB-lease: nobody is elected while that of another leader lasts; its answers end with it */
    CHECK_CONFIGURATION, /* I13 the latest one in the log is in use, at most one is not committed, quorums intersect */
    CHECK_TRANSFER,      /* who is said to have taken over was elected; nothing is appended meanwhile, nor for ever */
    CHECK_STATUS,        /* what a node says of itself is no more than is committed, nor more than it has */
    CHECK_TIMER,         /* a candidate that gets no vote holds up nobody */
    CHECK_DEADLINE,      /* who has waited longer than it may is turned away as late, and nobody else is */
    CHECK_SCRUB,         /* what is mended was damaged */
    CHECK_REFUSAL,       /* who is told that a change would lose its quorum has asked for one that might */
    CHECK_LINEAR,        /* black-box search */
    CHECK_LIVENESS,      /* progress after healing within the bound */
    CHECK_STOP,          /* a node stopped for a reason that no injected fault explains */
    CHECK_FRAME,         /* a damaged or foreign frame is refused, and changes no more than a tick would */
    CHECK_KINDS,
};
const char *check_kind_text(enum check_kind kind);

struct check_failure {
    bool failed;
    enum check_kind kind;
    uint32_t node;      /* node slot, UINT32_MAX: none */
    uint64_t step;      /* of the schedule */
    const char *format; /* of the text: what was violated, whoever did it */
    char text[256];
};

struct check_setup {
    const struct limits *limits;
    uint32_t node_count;
    const struct replica_config *configs;      /* node_count of them, by node */
    const struct configuration *configuration; /* at format, of those nodes that are in it; the others have none */
    bool check_quorum;                         /* as configured */
};

struct check; /* allocated once per worker; a reset takes time in proportion to what was used */
struct check *check_new(void);
void check_free(struct check *check);
void check_reset(struct check *check, const struct check_setup *setup);

const struct check_failure *check_result(const struct check *check);
/* For failures found by the world itself (pinned buffers, liveness, stop reasons). */
void check_fail(struct check *check, enum check_kind kind, uint32_t node, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* How often each checker really compared something; summed over a campaign, a zero fails the campaign. */
const uint64_t *check_counts(const struct check *check);     /* CHECK_KINDS */
void check_count(struct check *check, enum check_kind kind); /* for the kinds that the world checks */

/* node: slot. Called with the step number of the schedule, so that failures name it. */
void check_set_step(struct check *check, uint64_t step);
void check_node_started(struct check *check, uint32_t node); /* a new life begins */
void check_node_crashed(struct check *check, uint32_t node);
/* All that its disk held is gone, while it is down: an empty one follows. */
void check_node_wiped(struct check *check, uint32_t node);
/* Before a replica_step. */
void check_input(struct check *check, uint32_t node, const struct input *input);
/* After every replica_step and before its effects are carried out. */
void check_step(struct check *check, uint32_t node, const struct replica *replica, const struct output *output);
/* For each EFFECT_SEND and EFFECT_REPLY, before it leaves; frame bytes as emitted. */
void check_send(struct check *check, uint32_t node, struct slice frame);
void check_reply(struct check *check, uint32_t node, struct slice frame);
/* The reply to a read of a client; clock_ns: what the node's clock shows as it leaves. */
void check_read_age(struct check *check, uint32_t node, struct slice frame, uint64_t clock_ns);
/* Bytes of the WAL device became durable in the image of the node: [offset, offset + bytes). Called in the order in
 * which they land, for whole completed writes and for sectors that survive a crash, also when the disk swallows or
 * misplaces them: then, as for every other harm, it is called again when the node is shown it, with `damaged`. The
 * image holds what an honest disk would; whole blocks are damaged. */
void check_landed(struct check *check, uint32_t node, uint64_t offset, const uint8_t *image, uint64_t image_bytes,
                  uint32_t bytes, bool damaged);
/* All of a write of the WAL has landed that ever will. What a copy of the superblock holds is judged only now: nobody
 * recovers between two sectors of one crash. */
void check_written(struct check *check, uint32_t node, uint64_t offset, uint32_t bytes);

/* As check_landed, for the data device. */
void check_data_landed(struct check *check, uint32_t node, uint64_t offset, const uint8_t *image, uint64_t image_bytes,
                       uint32_t bytes, bool damaged);

/* A node that votes for a candidate in a term: until when does it keep to an earlier leader, by that one's clock, and
 * which node is that? 0: to nobody. A leader that hands over frees everybody, and does not outlive a crash. */
uint64_t check_keeps(struct check *check, uint32_t node, uint64_t candidate, uint64_t term, uint32_t *leader);

/* A node offers a client its checkpoint. */
void check_offered(struct check *check, uint32_t node, const struct checkpoint_response *offer);

/* Clients. `call` numbers the calls of a schedule from 0; the same call may be sent many times (retries keep session
 * and sequence). now: simulated true time, ns. */
void check_invoked(struct check *check, uint32_t call, uint32_t client, const struct request *request, uint64_t now);
/* The client takes this reply as the outcome of the call. A refusal (not leader, busy, session expired...) is an
 * outcome only if there was never another copy of the request: it then says that the call has no effect. */
void check_returned(struct check *check, uint32_t call, const struct reply *reply, uint64_t now);
/* What a node says of itself. */
void check_status(struct check *check, const struct reply *reply);
/* The client gave up: outcome unknown. */
void check_abandoned(struct check *check, uint32_t call, uint64_t now);

/* End of the schedule: whole-history checks. With `search`, also the black-box linearizability search. */
void check_finish(struct check *check, bool search);

/* Configurations; sets of nodes are bits. Members of the latest committed one, and of any that may act or come to. */
uint32_t check_members(const struct check *check);
uint32_t check_members_possible(const struct check *check);
/* Would some configuration that may act lack a majority without these nodes? */
bool check_members_need(const struct check *check, uint32_t nodes);
/* Is the node no member by what is committed up to an index, and is a configuration that it uses not a later one? */
bool check_members_removed(const struct check *check, uint32_t node, uint64_t index);
/* An operator was told that these operations are done, by the configuration of the entry at index. */
void check_changed(struct check *check, const struct member_operation *operations, uint32_t count, uint64_t index);
/* ...or that a change meant for one configuration (0: for any) does not fit the one in use. */
void check_change_unfit(struct check *check, uint64_t meant, uint64_t used);

/* How the log of a node stands to what is committed; nothing of a node that has not recovered. */
struct check_standing {
    uint64_t missing; /* committed entries behind its last one */
    uint64_t extra;   /* entries behind the last committed one */
    bool diverged;    /* it holds something else in the place of a committed entry */
};
struct check_standing check_standing(const struct check *check, uint32_t node);

/* Ghost: highest index committed anywhere so far, and the number of acknowledged writes. */
uint64_t check_committed(const struct check *check);

#endif

/* What really happened: every fault that fired, every event, refusal and answer; summed over a campaign.
 *
 * A fault that a schedule enables is counted under `enabled`, and under `fired` each time it strikes. A campaign in
 * which something enabled never fired proves nothing about it, and fails (coverage_gap). */
#ifndef WW_COVERAGE_H
#define WW_COVERAGE_H

#include "../core/base.h"
#include "../core/message.h"
#include "../core/replica.h"
#include "../core/request.h"
#include "check.h"

enum fault_kind {
    FAULT_LOSS,
    FAULT_SELECTIVE_LOSS, /* of one type of message */
    FAULT_DUPLICATE,
    FAULT_DUPLICATE_LATE, /* after several election timeouts */
    FAULT_DELAY,          /* one frame held back: overtaken by later ones */
    FAULT_BIT_FLIP,
    FAULT_TRUNCATION,
    FAULT_FOREIGN_FRAME, /* intact, but of another cluster, version, type, configuration or receiver */
    FAULT_PAGE_FALSE,    /* altered in its sender's memory: the frame around it is intact */
    FAULT_SPLIT,         /* two sides that cannot talk */
    FAULT_ONE_WAY,       /* one side hears, the other does not */
    FAULT_PAIR,          /* two nodes cannot talk, both reach the others */
    FAULT_ISOLATED_LEADER,
    FAULT_CLIENTS_CUT,
    FAULT_CLOG,    /* a link holds everything, then lets it go at once */
    FAULT_SWIZZLE, /* all links of several nodes are clogged, one node after the other; they clear in another order */
    FAULT_ROLLING_RESTART,  /* of all nodes */
    FAULT_LEADER_HUNTED,    /* a leader is struck because it has followed one that was */
    FAULT_HOLDER_CUT,       /* the follower that holds the most cannot be reached */
    FAULT_FORKED,           /* a schedule goes on from a saved world (fork.h) */
    FAULT_FORK_KEPT,        /* a fork came into a new abstract state, and was saved */
    FAULT_DECISION_SPLICED, /* of another life: met in a descendant (lineage.h)... */
    FAULT_DECISION_SHIFTED, /* ... of another time of the same */
    FAULT_DECISION_INSERTED,
    FAULT_LINK_DEMOTED, /* falls behind all others (pct.h) */
    FAULT_DISK_DEMOTED,
    FAULT_TIMER_DEMOTED,
    FAULT_DISK_REORDER, /* an operation completes before an earlier one */
    FAULT_DISK_STALL,
    FAULT_WRITE_LOST, /* of a write in flight at a crash nothing landed */
    FAULT_WRITE_TORN, /* some of its sectors landed */
    FAULT_WRITE_KEPT, /* all landed, though never acknowledged */
    FAULT_READ_ERROR, /* transient: gone when tried again */
    FAULT_WRITE_ERROR,
    FAULT_WRITE_FULL,
    FAULT_READ_TORN, /* overtaken by a write of the same block: of its sectors some are old, some new */
    FAULT_DISK_SLOW,
    FAULT_DISK_STUCK,        /* nothing completes for longer than an election timeout */
    FAULT_BIT_ROT,           /* damage, until the block is written again: altered... */
    FAULT_READ_STICKY,       /* ...or unreadable */
    FAULT_WRITE_SWALLOWED,   /* acknowledged, never there */
    FAULT_WRITE_MISDIRECTED, /* acknowledged, somewhere else */
    FAULT_READ_MISDIRECTED,
    FAULT_SUPERBLOCK_SOME, /* copies struck at once: not all */
    FAULT_SUPERBLOCK_ALL,
    FAULT_DISK_WIPED,     /* and formatted again under the same node id */
    FAULT_BAD_SUPERBLOCK, /* where harm was done, by damage or by a lie */
    FAULT_BAD_HEADER,
    FAULT_BAD_BODY,
    FAULT_BAD_DATA,
    FAULT_BAD_DOWN,     /* while the node was down, or not yet recovered */
    FAULT_BAD_MAJORITY, /* severe damage on more nodes than a minority: only safety remains, and honest refusals */
    FAULT_HARM_SEEN,    /* a read was answered with it */
    FAULT_DRIFT,        /* a schedule in which clocks run at different rates */
    FAULT_CLOCK_FORWARD,
    FAULT_CLOCK_BACKWARD,
    FAULT_CLOCK_RESTART, /* a new life's clock starts anywhere */
    FAULT_CRASH,
    FAULT_CRASH_IN_EFFECTS, /* after some effects of a step */
    FAULT_CRASH_IN_RECOVERY,
    FAULT_CRASH_IN_CHECKPOINT,   /* with a write of device 1 in flight */
    FAULT_CRASH_IN_LOAD,         /* with a read of device 1 in flight */
    FAULT_POWER_LOSS,            /* all nodes at once */
    FAULT_POWER_LOSS_IN_EFFECTS, /* after some effects of a step */
    FAULT_POWER_LOSS_AGAIN,      /* while nodes recover from it */
    FAULT_FAST_RESTART,
    FAULT_PAUSE,
    FAULT_STALE_CLOCK, /* a frame is fed with the time of the step before */
    FAULT_BACKLOG,     /* a frame of a client waits in its node's buffers */
    FAULT_OVERLOAD,    /* a client calls in a phase in which nobody thinks */
    FAULT_RETRY_AFTER, /* a client waits as long as a busy node asked it to */
    FAULT_LATE_REPLY,  /* and its answer, from a lease that is over by now, is not sent */
    FAULT_BATCH,       /* inputs fed with `more` */
    FAULT_HEDGE,       /* the same request sent to two nodes */
    FAULT_CROWD,       /* ... many times to one */
    FAULT_OUTPUT_FULL, /* a step has emitted as many effects as there may be in one output */
    FAULT_RETRY,
    FAULT_ABANDON,           /* a client goes on without an answer */
    FAULT_MALFORMED_REQUEST, /* over a limit, or not a request at all */
    FAULT_CHECKPOINT_ASKED,  /* a leader was asked for a checkpoint, and will append a marker */
    FAULT_SNAPSHOT_SAVED,    /* a client has pulled all of a checkpoint */
    FAULT_STUBBORN_CLIENT,   /* keeps asking a node that is not the leader */
    FAULT_SESSION_LOST,      /* evicted: more clients than slots */
    FAULT_OUTSIDER,          /* stays in its worst state through the liveness phase */
    FAULT_LEARNER_ADDED,     /* changes of the members that were done, by what they asked for... */
    FAULT_VOTER_ADDED,
    FAULT_LEARNER_PROMOTED,
    FAULT_VOTER_DEMOTED,
    FAULT_MEMBER_REMOVED,
    FAULT_ADDRESS_CHANGED,
    FAULT_PRIORITY_CHANGED,
    FAULT_CHANGE_OF_SEVERAL, /* at once */
    FAULT_CHANGE_FORCED,
    FAULT_LEADER_REMOVED,   /* or demoted */
    FAULT_MEMBER_READDED,   /* with the disk that it had */
    FAULT_CHANGE_TOGETHER,  /* asked for right behind another one */
    FAULT_CHANGE_OF_DOWN,   /* asked for: of a node that is not up */
    FAULT_CHANGE_OF_CUT,    /* ... that the leader cannot reach */
    FAULT_JOINT_ENTERED,    /* appended by a leader */
    FAULT_JOINT_LEFT,       /* ... by the one that entered it */
    FAULT_JOINT_LEFT_LATER, /* ... by another one, or by the same in a later term */
    FAULT_CHANGE_UNDONE,    /* a configuration was truncated: the one before is in use again */
    FAULT_JOINED_BY_LOG,    /* a node without members has heard of some */
    FAULT_JOINED_BY_PAGES,  /* ... in a checkpoint that it pulled */
    FAULT_STOPPED_REMOVED,
    FAULT_STOPPED_UNVOTED,   /* ... and had nothing to campaign for: a learner, or it abstains */
    FAULT_REMOVED_CAMPAIGNS, /* a node that is no member any more */
    FAULT_REMOVED_REVIVED,   /* started again */
    FAULT_LEARNER_CAMPAIGNS, /* since nobody else has won */
    FAULT_LEARNER_LEADS,
    FAULT_LEADER_LEAVES,   /* a leader that is no voter any more hands over */
    FAULT_LEADER_PREFERS,  /* a leader hands over to one with a higher priority, */
    FAULT_PREFERRED_LEADS, /* ... which then leads */
    FAULT_KINDS,
    FAULT_MEMBERS_FIRST = FAULT_LEARNER_ADDED,
    FAULT_MEMBERS_LAST = FAULT_PREFERRED_LEADS,
};
const char *fault_kind_text(enum fault_kind kind);

/* Which demands hold in the liveness phase (liveness.h)... */
enum liveness_world {
    LIVENESS_WHOLE,    /* a majority is alive and has room */
    LIVENESS_FULL,     /* a log is without room for clients */
    LIVENESS_MINORITY, /* fewer live voters than a majority, after stops that faults explain */
    LIVENESS_DAMAGED,  /* unrestricted damage: nothing is demanded, and nobody may lie */
    LIVENESS_WORLDS,
};

/* ...and how often each was made and met. */
enum liveness_demand {
    DEMAND_WORLD,      /* schedules of this kind */
    DEMAND_PROGRESS,   /* schedules with all progress that a whole world must make */
    DEMAND_CALL,       /* calls settled; where that cannot be demanded, answered by some node */
    DEMAND_READ,       /* linearizable reads of the closing questions */
    DEMAND_STALE_READ, /* stale reads of the closing questions */
    LIVENESS_DEMANDS,
};
/* "full_read" and so on. */
const char *demand_text(enum liveness_world world, enum liveness_demand demand);

/* Reads that were answered, by how it was known that they might be. */
enum read_kind { READ_LEADER, READ_LEASE, READ_FOLLOWER, READ_LEARNER, READ_BOUNDED, READ_STALE, READ_KINDS };
const char *read_kind_text(enum read_kind kind);

enum { REPLY_STATUSES = REPLY_STATUS_LAST + 1, FRAME_VERDICTS = FRAME_REPLACED_NODE + 1, PROGRESS_STATES = 3 };
const char *progress_text(uint32_t state);

struct coverage {
    uint64_t schedules;
    uint64_t inputs;
    uint64_t simulated_ns;
    uint64_t nodes;
    uint64_t calls;          /* operations that clients began */
    uint64_t calls_answered; /* with a known outcome */
    uint64_t schedules_untimed;
    uint64_t schedules_searched;   /* black-box linearizability */
    uint64_t dropped;              /* frames lost to the simulator's own limits */
    uint64_t enabled[FAULT_KINDS]; /* schedules */
    uint64_t fired[FAULT_KINDS];
    uint64_t events[EVENT_KINDS];
    uint64_t refusals[FRAME_VERDICTS];
    uint64_t replies[REPLY_STATUSES];
    uint64_t progress[PROGRESS_STATES]; /* how often leaders went over to it: enum peer_state */
    uint64_t checks[CHECK_KINDS];
    uint64_t reads[READ_KINDS];
    uint64_t demands[LIVENESS_WORLDS][LIVENESS_DEMANDS];
};

void coverage_reset(struct coverage *coverage);
void coverage_add(struct coverage *sum, const struct coverage *part);
void coverage_fire(struct coverage *coverage, enum fault_kind kind);

/* What was enabled and never happened, as text; NULL when nothing. `complete`: the default portfolio, in which every
 * fault, event, demand and checker must appear. Judged only from COVERAGE_SCHEDULES_MIN schedules on, rare points from
 * COVERAGE_SCHEDULES_RARE on, and those that strike a dozen times in 200,000 schedules from _RAREST on. */
enum { COVERAGE_SCHEDULES_MIN = 1000, COVERAGE_SCHEDULES_RARE = 20000, COVERAGE_SCHEDULES_RAREST = 500000 };
const char *coverage_gap(const struct coverage *coverage, bool complete);

#endif

/* Exhaustive search: everything that can happen to a small cluster of the real core within bounds, each state once.
 *
 * A state of the cluster is: the state of each node (explore_node.h), the frames under way (a bag: any may arrive
 * next), how much of each budget is left, and what happened so far as far as rules look back at it: who led each term,
 * what was committed and executed, which calls were answered (struct cluster). From a state, each of these is one
 * action:
 *
 *   timeout n1              its election timer fires; it is no leader
 *   heartbeat n1            a leader's timer fires
 *   name n1                 the timer that makes it name its latest batches
 *   deliver n1>n2 vote? ... a frame arrives, with the words of the log; of several such ones the first, "#2" the second
 *   duplicate n1>n2 vote?   ... and stays under way, too
 *   drop n1>n2 vote?        it is lost. Loss needs no budget to be explored: a frame may stay under way for ever
 *   complete n1 batch       a write of its disk is durable
 *   crash n1 batch+         and restart; of each write in flight "+" was written and "-" not, "~" half of the block
 *   put n1 call1            a call reaches a leader: the next one of its client, or the same again, elsewhere
 *   get n1 call2            likewise
 *   checkpoint n1           a leader is asked for a checkpoint
 *   remove n1 n2            a leader is asked to remove a member
 *
 * The search is breadth first, so the first violation has the fewest actions. Sound reductions, which change no
 * verdict:
 *
 *   symmetry     nodes that are renamed make the same state (explore_table.h)
 *   covered      what an action leads to is left out if it differs from where it came from by less of a budget or fewer
 * frames only, as after a loss, or a frame that its receiver ignores: every action that is possible there is possible
 * here, and again leads to nothing but less, so what can follow from there follows from here in as few actions. Only
 * where frames do not fit is that not so, as a loss makes room; then `cut` is not 0, and `every_action` keeps them all
 *   no repeats   a state is known by 128 bits of hash of all that it is; that two of 10^8 states share them has a
 * chance of 10^-23
 *
 * Bounds, which hide what lies behind them, are the numbers in struct explore_bounds, `eager`: once no crash is left,
 * writes complete before anything else happens; `ordered`: links keep their order; and the room for frames under way.
 * What did not fit is counted in `cut`: with it, the verdict is not one about all behaviours within the other bounds.
 *
 * Checked in each state: election_safety, leader_completeness, log_matching, state_machine (entries, and digests of the
 * state at each applied index), durable_quorum (what was committed is on the disks of a majority, as a crash now would
 * find them), exactly_once, write (an acknowledged write is the committed entry that the reply names), read (it shows
 * all that was acknowledged before it was asked for). And in each step of a node what explore_node.h lists. */
#ifndef WW_EXPLORE_H
#define WW_EXPLORE_H

#include "campaign.h"
#include "explore_bounds.h"

enum explore_verdict {
    EXPLORE_CLEAN,     /* all states within the bounds were seen */
    EXPLORE_VIOLATION, /* a rule is broken; result.text says which, and the trace how */
    EXPLORE_CUT,       /* all were seen, but for those with more frames under way than fit */
    EXPLORE_DEPTH,     /* all to that depth, or that many; there are more */
    EXPLORE_MEMORY,    /* not all were seen: memory */
    EXPLORE_INTERRUPTED,
    EXPLORE_ASYMMETRIC, /* the core treats its nodes differently: repeat without symmetry */
};
const char *explore_verdict_text(enum explore_verdict verdict);

struct explore_progress {
    uint64_t states;      /* distinct */
    uint64_t transitions; /* actions tried */
    uint64_t frontier;    /* states that wait */
    uint64_t memory_bytes;
    uint64_t node_states;
    uint64_t node_steps; /* inputs that the core ran */
    uint64_t cut;
    uint32_t depth;
};

struct explore_result {
    enum explore_verdict verdict;
    struct explore_progress progress;
    const char *checker; /* VIOLATION */
    uint32_t actions;    /* ... that lead to it; 0: the very beginning does. Of a replay: those that were taken */
    uint32_t skipped;    /* actions of a replay that are not possible where they stand */
    uint64_t digest;     /* of what the replayed actions led to */
    char text[240];
};

/* As a life that ended so. */
enum outcome explore_outcome(const struct explore_result *result);

/* Called every few thousand states; false: enough. */
typedef bool explore_report(void *context, const struct explore_progress *progress);

struct explore;
struct trace;
/* NULL: no memory. */
struct explore *explore_new(const struct explore_bounds *bounds);
void explore_free(struct explore *explore);
void explore_run(struct explore *explore, explore_report *report, void *context, struct explore_result *result);
/* Behind a violation: the bounds and the actions that lead to it, and what it is; of no build. */
struct trace *explore_trace(struct explore *explore);

struct observer;
struct explore_replay {
    const struct trace *trace; /* its bounds are those of the search */
    struct observer *observer; /* sees all steps of all nodes; NULL: nobody looks on */
    FILE *log;                 /* gets a line for each action, and what its node is then; NULL: none */
    FILE *skipped;             /* gets a line for each action that is skipped */
};
/* Takes the actions of a trace, and checks as the search does. An action may leave out words: the first one that has
 * the others is meant. What is not possible is skipped. */
void explore_replay(struct explore *explore, const struct explore_replay *replay, struct explore_result *result);

/* The driver's assertion hook calls this first. It does not return when a search was under way. */
void explore_assertion_failed(const char *text);

#endif

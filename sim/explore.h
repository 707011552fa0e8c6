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
 *   deliver n1>n2 vote?     a frame arrives; of several such ones the first, "#2" the second
 *   duplicate n1>n2 vote?   ... and stays under way, too
 *   drop n1>n2 vote?        it is lost. Loss needs no budget to be explored: a frame may stay under way for ever
 *   complete n1 batch       a write of its disk is durable
 *   crash n1 batch+         and restart; of each write in flight "+" was written and "-" not, "~" half of the block
 *   put n1 call1            a call reaches a leader: the next one of its client, or the same again, elsewhere
 *   get n1 call2            likewise
 *
 * The search is breadth first, so the first violation has the fewest actions. Sound reductions, which change no
 * verdict:
 *
 *   symmetry     nodes that are renamed make the same state (explore_table.h)
 *   no repeats   a state is known by 128 bits of hash of all that it is; that two of 10^8 states share them has a
 * chance of 10^-23
 *
 * Bounds, which hide what lies behind them, are the numbers in struct explore_bounds, `eager`: once no crash is left,
 * writes complete before anything else happens; and the room for frames under way. What did not fit is counted in
 * `cut`: with it, the verdict is not one about all behaviours within the other bounds.
 *
 * Checked in each state: election_safety, leader_completeness, log_matching, state_machine (entries, and digests of the
 * state at each applied index), durable_quorum (what was committed is on the disks of a majority, as a crash now would
 * find them), exactly_once, write (an acknowledged write is the committed entry that the reply names), read (it shows
 * all that was acknowledged before it was asked for). And in each step of a node what explore_node.h lists. */
#ifndef WW_EXPLORE_H
#define WW_EXPLORE_H

#include <stdio.h>

#include "../core/base.h"

enum explore_budget {
    BUDGET_TIMEOUTS,
    BUDGET_HEARTBEATS,
    BUDGET_NAMES,
    BUDGET_CRASHES,
    BUDGET_DROPS,
    BUDGET_DUPLICATES,
    BUDGET_RETRIES, /* of calls that were sent already */
    BUDGETS,
};

struct explore_bounds {
    uint32_t nodes;           /* 1..5 */
    uint32_t budget[BUDGETS]; /* of the whole cluster */
    uint32_t puts;            /* calls of two clients in turn, numbered first */
    uint32_t gets;
    uint32_t frames; /* under way */
    uint32_t depth;  /* actions; 0: without end */
    bool led;        /* begins with n1 leading in term 1, sessions open, everything quiet */
    bool torn, copies, raw, recovery, pre_vote, check_quorum, strict_naming; /* explore_node.h */
    bool eager;
    bool symmetry;
    uint64_t memory_bytes;
    uint64_t states; /* at most; 0: without end */
};

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
    uint32_t actions;    /* ... that lead to it; 0: the very beginning does */
    char text[240];
};

/* Called every few thousand states; false: enough. */
typedef bool explore_report(void *context, const struct explore_progress *progress);

/* Defaults: three nodes, everything else 0, symmetry, 4 GiB. */
void explore_bounds_init(struct explore_bounds *bounds);
/* Sets one by its name, as an option of the command has it; false: no such name, or no such value. */
bool explore_bounds_set(struct explore_bounds *bounds, const char *name, const char *value);
/* All names, each with a line of help. NULL behind the last one. */
const char *explore_bounds_name(uint32_t number, const char **help, bool *flag);
/* As lines of a trace, "bound NAME VALUE": those that are not as explore_bounds_init() has them. */
void explore_bounds_write(const struct explore_bounds *bounds, FILE *file);
/* NULL, or why these make no search, as a sentence. */
const char *explore_bounds_problem(const struct explore_bounds *bounds);

struct explore;
/* NULL: no memory. */
struct explore *explore_new(const struct explore_bounds *bounds);
void explore_free(struct explore *explore);
void explore_run(struct explore *explore, explore_report *report, void *context, struct explore_result *result);
/* Behind a violation: the bounds and the actions that lead to it, a line each. */
void explore_write_trace(struct explore *explore, FILE *file);
/* Takes the actions of such a file, whose bounds are those of `explore`, and checks as the search does. Returns the
 * number of the line that names no action possible there, 0 when all could be taken. log: a line for each action and
 * what became of its node; or NULL. */
uint32_t explore_replay(struct explore *explore, FILE *trace, FILE *log, struct explore_result *result);
/* The bounds in the head of a trace. False: it is none. */
bool explore_read_bounds(FILE *trace, struct explore_bounds *bounds);

/* The driver's assertion hook calls this first. It does not return when a search was under way. */
void explore_assertion_failed(const char *text);

#endif

/* The bounds of a search (explore.h), by name: as options of the command, and as lines of a trace. */
#ifndef WW_EXPLORE_BOUNDS_H
#define WW_EXPLORE_BOUNDS_H

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
    BUDGET_CHECKPOINTS,
    BUDGET_REMOVALS, /* of members */
    BUDGETS,
};

struct explore_bounds {
    uint32_t nodes;           /* 1..5 */
    uint32_t budget[BUDGETS]; /* of the whole cluster */
    uint32_t puts;            /* calls of two clients in turn, numbered first */
    uint32_t gets;
    uint32_t frames; /* under way */
    uint32_t depth;  /* actions; 0: without end */
    bool led;        /* begins with n0 leading in term 1, everything quiet; with puts always, and with sessions */
    bool torn, copies, raw, recovery, pre_vote, check_quorum, strict_naming; /* explore_node.h */
    bool eager;
    bool single;  /* an append request carries one entry */
    bool ordered; /* a frame that arrives is the end of those that its sender sent to the same node before */
    bool symmetry;
    bool every_action; /* no successor is left out because the state that it comes from covers it */
    uint64_t memory_bytes;
    uint64_t states; /* at most; 0: without end */
};

/* Defaults: three nodes, everything else 0, symmetry, 4 GiB. */
void explore_bounds_init(struct explore_bounds *bounds);
/* Sets one by its name, as an option of the command has it; false: no such name, or no such value. */
bool explore_bounds_set(struct explore_bounds *bounds, const char *name, const char *value);
/* All names, each with a line of help. NULL behind the last one. */
const char *explore_bounds_name(uint32_t number, const char **help, bool *flag);
/* As lines of a trace, "explore NAME VALUE": the number of nodes, and what is not as explore_bounds_init() has it. */
void explore_bounds_write(const struct explore_bounds *bounds, FILE *file);
/* NULL, or why these make no search, as a sentence. */
const char *explore_bounds_problem(const struct explore_bounds *bounds);

#endif

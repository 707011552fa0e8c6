/* The lives that actions of the explorer lead to, as observers see any other life (observe.h): so that the log, the
 * page and breakpoints are the same for all traces.
 *
 * Frames are held until an action releases them. There is no time, so a microsecond is told for each step. */
#ifndef WW_EXPLORE_SHOW_H
#define WW_EXPLORE_SHOW_H

#include "explore_node.h"
#include "observe.h"

enum { SHOW_OPERATIONS_MAX = 32 };

struct explore_show {
    struct observer *observer;
    struct swarm swarm; /* who is who */
    uint64_t step;
    uint32_t node;            /* whose input it is */
    enum frame_fate released; /* what becomes of the frame that is its input */
    uint32_t lives[EXPLORE_NODES_MAX];
    struct replica *replicas[EXPLORE_NODES_MAX]; /* as their latest step left them */
    uint32_t replica_bytes;
    struct observed operations[EXPLORE_NODES_MAX][SHOW_OPERATIONS_MAX]; /* kind DISK_BEGIN: under way */
};

/* Tells who there is. False: no memory. */
bool explore_show_begin(struct explore_show *show, struct observer *observer, const struct limits *limits,
                        const struct replica_config *configs, uint32_t nodes);
void explore_show_end(struct explore_show *show);

void explore_show_start(struct explore_show *show);
void explore_show_step(struct explore_show *show, const struct input *input, const struct output *output,
                       const struct replica *replica);
/* A write that the crash of its node ends: so many of its blocks have landed. */
void explore_show_gone(struct explore_show *show, uint64_t op_id, uint32_t landed, uint32_t blocks);
void explore_show_crash(struct explore_show *show);
void explore_show_lost(struct explore_show *show, uint32_t from, uint32_t to, struct slice frame);
/* checker: one of check_kind_text(); of others nothing is told. */
void explore_show_violation(struct explore_show *show, const char *checker, const char *text);

#endif

/* A state of the whole cluster, its actions, and the rules that several nodes can only break together.
 *
 * The value is small, since all that is large is in the table: 60 bytes and 4 for each frame under way. */
#ifndef WW_EXPLORE_CLUSTER_H
#define WW_EXPLORE_CLUSTER_H

#include "explore.h"
#include "explore_show.h"
#include "explore_table.h"

enum { FRAMES_MAX = 40, TERMS_MAX = 16, ACTIONS_MAX = 4096 };

/* What was committed and executed so far; the same value once, so that states need only its number. */
struct history {
    uint64_t entry[NODE_ENTRIES_MAX];        /* by index, up to `committed` */
    uint64_t state_digest[NODE_ENTRIES_MAX]; /* of who has applied up to there; 0: nobody yet */
    uint8_t term[NODE_ENTRIES_MAX];          /* in which it was committed */
    uint8_t call[NODE_ENTRIES_MAX];          /* that it carries, plus 1 */
    uint8_t executed[EXPLORE_CALLS_MAX];     /* index; 0: not yet */
    uint32_t committed;
};

enum call_state { CALL_UNSENT, CALL_SENT, CALL_DONE };

struct cluster {
    uint32_t nodes[EXPLORE_NODES_MAX]; /* of the table */
    uint32_t history;
    uint8_t budget[BUDGETS];
    uint8_t leader[TERMS_MAX]; /* slot that led it, plus 1 */
    uint8_t call[EXPLORE_CALLS_MAX];
    uint8_t floor[EXPLORE_CALLS_MAX]; /* gets: what was acknowledged before it was sent */
    uint8_t acknowledged;             /* highest index of an acknowledged put */
    uint8_t frame_count;
    uint8_t zero;
    uint32_t frames[FRAMES_MAX]; /* of the table, ascending; ordered: by link, and as they were sent */
};
enum { CLUSTER_FIXED_BYTES = offsetof(struct cluster, frames) };
static inline uint32_t cluster_bytes(const struct cluster *cluster)
{
    return CLUSTER_FIXED_BYTES + 4U * cluster->frame_count;
}

enum action_kind {
    ACTION_TIMEOUT,
    ACTION_HEARTBEAT,
    ACTION_NAME,
    ACTION_DELIVER,
    ACTION_DUPLICATE,
    ACTION_DROP,
    ACTION_COMPLETE,
    ACTION_CRASH,
    ACTION_CALL,
    ACTION_CHECKPOINT,
    ACTION_REMOVE,
};

struct action {
    uint8_t kind;   /* enum action_kind */
    uint8_t node;   /* slot; of frames: the receiver */
    uint16_t which; /* frame: place in the bag; write; outcome of the crash; call; slot of who is removed */
};

enum cluster_outcome { CLUSTER_OK, CLUSTER_BROKEN, CLUSTER_FULL, CLUSTER_ASYMMETRIC, CLUSTER_NO_MEMORY };

struct cluster_world {
    struct explore_bounds bounds;
    struct table table;
    struct history *histories;
    uint32_t history_count;
    uint32_t history_capacity;
    uint32_t *history_index;
    uint32_t history_index_size;
    const char *checker; /* BROKEN */
    const char *format;
    char text[240];
    struct explore_show *show; /* NULL: nobody looks on */
};

/* False: no memory. */
bool cluster_world_init(struct cluster_world *world, const struct explore_bounds *bounds);
void cluster_world_free(struct cluster_world *world);
uint64_t cluster_world_bytes(const struct cluster_world *world);

/* Where the search begins. */
enum cluster_outcome cluster_begin(struct cluster_world *world, struct cluster *cluster);
/* All that may happen, in an order that only depends on the state; ACTIONS_MAX at most. */
uint32_t cluster_actions(const struct cluster_world *world, const struct cluster *cluster, struct action *actions);
/* Changes the state; every rule is checked. */
enum cluster_outcome cluster_act(struct cluster_world *world, struct cluster *cluster, struct action action);
/* Do they differ in nothing but that `to` has less of some budgets, and lacks some frames? Whatever can follow from it
 * can follow from `from`, in as few actions; see explore.h. */
bool cluster_covers(const struct cluster *from, const struct cluster *to);
/* The least of all states that renaming the nodes makes of this one; returns the renaming. */
uint32_t cluster_canonical(const struct cluster_world *world, struct cluster *cluster);
/* The state with its nodes renamed. */
void cluster_rename(const struct cluster_world *world, const struct cluster *cluster, uint32_t renaming,
                    struct cluster *renamed);

/* The action as a line of a trace. */
void cluster_action_text(struct cluster_world *world, const struct cluster *cluster, struct action action, char *text,
                         size_t text_bytes);
/* For a reader: what a node is now. */
void cluster_node_text(const struct cluster_world *world, const struct cluster *cluster, uint32_t node, char *text,
                       size_t text_bytes);

#endif

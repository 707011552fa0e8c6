/* Inside the black-box checker: what linear.c lays out and linear_search.c searches. */
#ifndef WW_LINEAR_SEARCH_H
#define WW_LINEAR_SEARCH_H

#include "linear.h"

#include "../core/request.h"

#define LINEAR_NONE UINT32_MAX
#define VERSION_ANONYMOUS UINT64_MAX

struct key_state {
    uint64_t version; /* 0: absent */
    uint64_t floor;   /* every later version is larger */
    struct linear_value value;
    uint32_t written; /* writes of known version placed so far */
};

/* One change that a call makes to one key. */
struct change {
    uint32_t key;
    bool removes;
    struct linear_value value; /* after the change */
};

/* Invocation or return of a call with an outcome. Linked in order of time until the call is placed. */
struct event {
    uint64_t time;
    uint32_t op;
    bool is_return;
    uint32_t previous;
    uint32_t next;
};

/* "Somebody saw this version of this key", of a version that no call is known to have written. */
struct mention {
    uint32_t key;
    uint64_t version;
    bool has_value;
    struct linear_value value;
    uint32_t slot; /* of the version, in search.bound */
};

/* A version of a key that a call is known to have written. */
struct written {
    uint32_t key;
    uint64_t version;
};

enum trail_kind { TRAIL_KEY, TRAIL_CALL, TRAIL_UNKNOWN, TRAIL_BOUND };

struct trail {
    enum trail_kind kind;
    uint32_t slot;
    struct key_state old; /* TRAIL_KEY */
};

/* A point of decision: how far its alternatives have been tried. */
struct node {
    uint32_t trail;   /* undo to here to be back at this node */
    uint32_t event;   /* next call with an outcome to try, while not unknowns */
    uint32_t unknown; /* next call without an outcome, and which of its possible versions */
    uint32_t choice;
    bool unknowns;
};

struct memo_entry {
    uint64_t a;
    uint64_t b; /* never 0 in use */
};

struct search {
    const struct linear_op *ops;
    uint32_t op_count;
    uint64_t steps;
    uint64_t steps_max;

    uint32_t key_count;
    uint32_t *root;  /* per key: union-find */
    uint32_t *order; /* ops that constrain something, grouped by component */
    uint32_t order_count;
    struct key_state *keys;
    struct written *written; /* by key, version */
    uint32_t written_count;
    uint32_t *written_begin; /* per key, key_count + 1 */
    struct mention *mentions;
    uint32_t mention_count;
    uint32_t *mention_begin;
    bool *bound; /* per mentioned version: it has been given to a write */

    struct event *events; /* of the current component; the slot behind the last is the head of the list */
    uint32_t event_count;
    uint32_t *call_event; /* per op */
    uint32_t *return_event;
    uint32_t *unknowns; /* ops without outcome of the component, by invocation */
    uint32_t unknown_count;
    bool *placed; /* per op, unknowns only */
    uint32_t required_left;
    uint32_t required_best; /* fewest ever left, and the call that was stuck then */
    uint32_t stuck_op;

    struct trail *trail;
    uint32_t trail_count;
    uint32_t trail_max;
    struct node *nodes;
    uint32_t node_count;
    struct memo_entry *memo;
    uint32_t memo_mask;
    uint32_t memo_used;
    uint32_t memo_allocated;
    uint64_t hash_a;
    uint64_t hash_b;
};

static inline bool linear_part_is_compare(const struct linear_part *part)
{
    return part->kind == TXN_IF_EQUAL || part->kind == TXN_IF_NOT_EQUAL;
}

static inline bool linear_part_is_then(const struct linear_part *part)
{
    return part->kind == TXN_THEN_PUT || part->kind == TXN_THEN_DELETE || part->kind == TXN_THEN_APPEND;
}

static inline bool linear_part_is_delete(const struct linear_part *part)
{
    return part->kind == TXN_THEN_DELETE || part->kind == TXN_ELSE_DELETE;
}

static inline bool linear_part_is_append(const struct linear_part *part)
{
    return part->kind == TXN_THEN_APPEND || part->kind == TXN_ELSE_APPEND;
}

/* Searches the component that is laid out. */
enum linear_verdict linear_search(struct search *s);
/* Takes placements back until the trail has this length. */
void linear_undo(struct search *s, uint32_t trail_count);
void linear_memo_clear(struct search *s);
void *linear_allocate(size_t count, size_t bytes);

#endif

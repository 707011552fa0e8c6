/* What the search remembers; shared by explore.c and explore_trace.c. */
#ifndef WW_EXPLORE_SEARCH_H
#define WW_EXPLORE_SEARCH_H

#include "../core/checksum.h"
#include "explore_cluster.h"
#include "trace.h"

/* States of one depth that wait, packed behind each other. */
struct frontier {
    uint8_t *bytes;
    uint64_t used;
    uint64_t size;
    uint64_t count;
};

/* How a state was found: by that action, as cluster_actions() counts them, of that state. */
#define ORIGIN_NONE UINT32_MAX
struct origin {
    uint32_t parent; /* ORIGIN_NONE: of none, it is the beginning */
    uint32_t action;
};

struct explore {
    struct cluster_world world;
    struct hash128 *seen;   /* open addressing; zero: free */
    uint64_t seen_size;     /* a power of two */
    struct origin *origins; /* by number of the state, in the order of finding */
    uint64_t origins_size;
    uint64_t states;
    uint64_t transitions;
    uint64_t expanded; /* of the present depth */
    uint64_t cut;
    uint32_t depth;
    struct frontier frontiers[2];
    uint32_t *way; /* to a violation: actions, the last one first */
    uint32_t way_count;
    struct trace trace; /* ... in names that stay */
    struct action actions[ACTIONS_MAX];
};

/* Finds the way to a violation, and what it breaks, in names that stay. False: no memory. */
bool explore_retrace(struct explore *explore, struct origin violation, struct explore_result *result);

#endif

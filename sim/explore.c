/* The search: breadth first, a table of fingerprints, and for each state which action of which other one made it. */
#include "explore.h"

#include <stdlib.h>

#include "../core/checksum.h"
#include "explore_search.h"

enum { SEEN_FIRST = 1 << 16, REPORT_EVERY = 1 << 12, SUCCESSORS_MAX = 32 };

const char *explore_verdict_text(enum explore_verdict verdict)
{
    switch (verdict) {
    case EXPLORE_CLEAN: return "clean";
    case EXPLORE_VIOLATION: return "violation";
    case EXPLORE_CUT: return "clean but for states with too many frames under way";
    case EXPLORE_DEPTH: return "bounds not exhausted: depth or number of states";
    case EXPLORE_MEMORY: return "bounds not exhausted: memory";
    case EXPLORE_INTERRUPTED: return "bounds not exhausted: interrupted";
    case EXPLORE_ASYMMETRIC: return "the core treats its nodes differently: not explored";
    }
    return "?";
}

struct explore *explore_new(const struct explore_bounds *bounds)
{
    struct explore *explore = calloc(1, sizeof *explore);
    ASSERT(explore_bounds_problem(bounds) == NULL);
    if (explore == NULL)
        return NULL;
    explore->seen_size = SEEN_FIRST;
    explore->seen = calloc(explore->seen_size, sizeof *explore->seen);
    if (!cluster_world_init(&explore->world, bounds) || explore->seen == NULL) {
        explore_free(explore);
        return NULL;
    }
    return explore;
}

static void frontier_free(struct frontier *frontier)
{
    free(frontier->bytes);
    *frontier = (struct frontier){ .used = 0 };
}

void explore_free(struct explore *explore)
{
    if (explore == NULL)
        return;
    cluster_world_free(&explore->world);
    frontier_free(&explore->frontiers[0]);
    frontier_free(&explore->frontiers[1]);
    free(explore->seen);
    free(explore->origins);
    free(explore->way);
    trace_free(&explore->trace);
    free(explore);
}

void explore_assertion_failed(const char *text) { node_assertion_failed(text); }

/* ---- memory ---- */

static uint64_t memory_used(const struct explore *explore)
{
    return cluster_world_bytes(&explore->world) + explore->seen_size * sizeof *explore->seen
           + explore->origins_size * sizeof *explore->origins + explore->frontiers[0].size + explore->frontiers[1].size;
}

static bool memory_allows(const struct explore *explore, uint64_t more)
{
    return memory_used(explore) + more <= explore->world.bounds.memory_bytes;
}

/* ---- fingerprints ---- */

static uint64_t seen_slot(const struct explore *explore, struct hash128 hash)
{
    const uint64_t mask = explore->seen_size - 1;
    uint64_t slot = hash.low & mask;
    while (!hash128_is_zero(explore->seen[slot]) && !hash128_equal(explore->seen[slot], hash))
        slot = (slot + 1) & mask;
    return slot;
}

static bool seen_grow(struct explore *explore)
{
    struct hash128 *before = explore->seen;
    const uint64_t size = explore->seen_size;
    if (!memory_allows(explore, 2 * size * sizeof *before))
        return false;
    struct hash128 *seen = calloc(size * 2, sizeof *seen);
    if (seen == NULL)
        return false;
    explore->seen = seen;
    explore->seen_size = size * 2;
    for (uint64_t i = 0; i < size; i++) {
        if (!hash128_is_zero(before[i]))
            seen[seen_slot(explore, before[i])] = before[i];
    }
    free(before);
    return true;
}

/* ---- the frontier: packed states behind each other ---- */

static bool frontier_put(struct explore *explore, struct frontier *frontier, const struct cluster *cluster)
{
    const uint32_t bytes = cluster_bytes(cluster);
    if (frontier->used + bytes > frontier->size) {
        const uint64_t size = u64_max(frontier->size * 3 / 2, 1 << 20);
        if (!memory_allows(explore, size))
            return false;
        uint8_t *grown = realloc(frontier->bytes, size);
        if (grown == NULL)
            return false;
        frontier->bytes = grown;
        frontier->size = size;
    }
    memcpy(frontier->bytes + frontier->used, cluster, bytes);
    frontier->used += bytes;
    frontier->count++;
    return true;
}

static void frontier_get(const struct frontier *frontier, uint64_t offset, struct cluster *cluster)
{
    memset(cluster, 0, sizeof *cluster);
    memcpy(cluster, frontier->bytes + offset, CLUSTER_FIXED_BYTES);
    memcpy(cluster->frames, frontier->bytes + offset + CLUSTER_FIXED_BYTES, 4U * cluster->frame_count);
}

static bool origin_put(struct explore *explore, struct origin origin)
{
    if (explore->states == explore->origins_size) {
        const uint64_t size = u64_max(explore->origins_size * 3 / 2, SEEN_FIRST);
        if (!memory_allows(explore, size * sizeof origin))
            return false;
        struct origin *grown = realloc(explore->origins, size * sizeof *grown);
        if (grown == NULL)
            return false;
        explore->origins = grown;
        explore->origins_size = size;
    }
    explore->origins[explore->states] = origin;
    return true;
}

/* ---- the search ---- */

/* A state that was reached, and may be new. */
struct successor {
    struct cluster cluster;
    struct hash128 hash;
    struct origin origin;
};

/* False: no memory. */
static bool add(struct explore *explore, const struct successor *successor, struct frontier *next)
{
    const uint64_t slot = seen_slot(explore, successor->hash);
    if (!hash128_is_zero(explore->seen[slot]))
        return true;
    if (explore->states >= UINT32_MAX || !frontier_put(explore, next, &successor->cluster)
        || !origin_put(explore, successor->origin))
        return false;
    explore->seen[slot] = successor->hash;
    explore->states++;
    if (explore->states < explore->seen_size / 4 * 3 || seen_grow(explore))
        return true;
    return explore->states < explore->seen_size / 8 * 7; /* it may fill a little further, not much */
}

/* Looks at the table later, since that is far away in memory: the line is on its way meanwhile. */
static void successor_make(struct explore *explore, struct successor *successor)
{
    cluster_canonical(&explore->world, &successor->cluster);
    successor->hash = checksum128(&successor->cluster, cluster_bytes(&successor->cluster), 0);
    successor->hash.high |= hash128_is_zero(successor->hash);
    __builtin_prefetch(&explore->seen[successor->hash.low & (explore->seen_size - 1)]);
}

static void progress_fill(const struct explore *explore, struct explore_progress *progress)
{
    *progress = (struct explore_progress){
        .states = explore->states,
        .transitions = explore->transitions,
        .frontier = explore->frontiers[0].count + explore->frontiers[1].count - explore->expanded,
        .memory_bytes = memory_used(explore),
        .node_states = explore->world.table.state_count - 1,
        .node_steps = explore->world.table.runs,
        .cut = explore->cut,
        .depth = explore->depth,
    };
}

static bool expand_failed(struct explore *explore, enum cluster_outcome outcome, struct origin origin,
                          struct explore_result *result)
{
    switch (outcome) {
    case CLUSTER_OK: return false;
    case CLUSTER_FULL: explore->cut++; return false;
    case CLUSTER_NO_MEMORY: result->verdict = EXPLORE_MEMORY; return true;
    case CLUSTER_ASYMMETRIC: result->verdict = EXPLORE_ASYMMETRIC; return true;
    case CLUSTER_BROKEN:
        result->verdict = explore_retrace(explore, origin, result) ? EXPLORE_VIOLATION : EXPLORE_MEMORY;
        return true;
    }
    UNREACHABLE();
}

/* Every action of one state. True: the search goes on. */
static bool expand(struct explore *explore, const struct cluster *from, uint64_t number, struct frontier *next,
                   struct explore_result *result)
{
    static struct successor successors[SUCCESSORS_MAX];
    const bool leave_out = !explore->world.bounds.every_action;
    uint32_t waiting = 0;
    const uint32_t count = cluster_actions(&explore->world, from, explore->actions);
    for (uint32_t i = 0; i < count; i++) {
        struct successor *successor = &successors[waiting];
        successor->cluster = *from;
        successor->origin = (struct origin){ .parent = (uint32_t)number, .action = i };
        explore->transitions++;
        const enum cluster_outcome outcome = cluster_act(&explore->world, &successor->cluster, explore->actions[i]);
        if (expand_failed(explore, outcome, successor->origin, result))
            return false;
        if (outcome == CLUSTER_OK && !(leave_out && cluster_covers(from, &successor->cluster))) {
            successor_make(explore, successor);
            waiting++;
        }
        if (waiting < SUCCESSORS_MAX && i + 1 < count)
            continue;
        for (uint32_t j = 0; j < waiting; j++) {
            if (!add(explore, &successors[j], next)) {
                result->verdict = EXPLORE_MEMORY;
                return false;
            }
        }
        waiting = 0;
    }
    return true;
}

static bool within_limits(const struct explore *explore, explore_report *report, void *context,
                          struct explore_result *result)
{
    const struct explore_bounds *bounds = &explore->world.bounds;
    struct explore_progress progress;
    if (bounds->states != 0 && explore->states >= bounds->states) {
        result->verdict = EXPLORE_DEPTH;
        return false;
    }
    if (explore->expanded % REPORT_EVERY != 0)
        return true;
    if (!memory_allows(explore, 0)) {
        result->verdict = EXPLORE_MEMORY;
        return false;
    }
    progress_fill(explore, &progress);
    if (report == NULL || report(context, &progress))
        return true;
    result->verdict = EXPLORE_INTERRUPTED;
    return false;
}

/* One depth after the other. */
static void search(struct explore *explore, explore_report *report, void *context, struct explore_result *result)
{
    const uint32_t depth_max = explore->world.bounds.depth;
    struct cluster cluster;
    uint64_t number = 0;
    for (;; explore->depth++) {
        struct frontier *level = &explore->frontiers[explore->depth % 2];
        struct frontier *next = &explore->frontiers[(explore->depth + 1) % 2];
        if (level->count == 0) {
            result->verdict = explore->cut > 0 ? EXPLORE_CUT : EXPLORE_CLEAN;
            return;
        }
        if (depth_max != 0 && explore->depth >= depth_max) {
            result->verdict = EXPLORE_DEPTH;
            return;
        }
        explore->expanded = 0;
        for (uint64_t offset = 0; offset < level->used; offset += cluster_bytes(&cluster), number++) {
            if (!within_limits(explore, report, context, result))
                return;
            frontier_get(level, offset, &cluster);
            if (!expand(explore, &cluster, number, next, result))
                return;
            explore->expanded++;
        }
        level->used = 0;
        level->count = 0;
        explore->expanded = 0;
    }
}

void explore_run(struct explore *explore, explore_report *report, void *context, struct explore_result *result)
{
    struct successor first;
    memset(result, 0, sizeof *result);
    memset(&first, 0, sizeof first);
    first.origin.parent = ORIGIN_NONE;
    result->verdict = EXPLORE_MEMORY;
    const enum cluster_outcome outcome = cluster_begin(&explore->world, &first.cluster);
    if (outcome == CLUSTER_OK) {
        successor_make(explore, &first);
        if (add(explore, &first, &explore->frontiers[0]))
            search(explore, report, context, result);
    } else if (outcome != CLUSTER_NO_MEMORY) {
        expand_failed(explore, outcome, (struct origin){ .parent = ORIGIN_NONE }, result);
    }
    progress_fill(explore, &result->progress);
}

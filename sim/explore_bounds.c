/* The table of bounds; see explore_bounds.h. */
#include "explore_bounds.h"

#include <stdlib.h>
#include <string.h>

#include "explore_cluster.h"

struct bound {
    const char *name;
    const char *help;
    size_t offset;
    bool flag; /* takes no value */
};

#define BUDGET(number) (offsetof(struct explore_bounds, budget) + (number) * sizeof(uint32_t))

static const struct bound table[] = {
    { "nodes", "in the cluster, 1..5 (3)", offsetof(struct explore_bounds, nodes), false },
    { "timeouts", "election timers that fire (0)", BUDGET(BUDGET_TIMEOUTS), false },
    { "heartbeats", "heartbeat timers of leaders that fire (0)", BUDGET(BUDGET_HEARTBEATS), false },
    { "names", "timers that fire and make a node name its latest batches (0)", BUDGET(BUDGET_NAMES), false },
    { "crashes", "of a node, which starts again (0)", BUDGET(BUDGET_CRASHES), false },
    { "drops", "of a frame; a frame may stay under way for ever without (0)", BUDGET(BUDGET_DROPS), false },
    { "duplicates", "of a frame (0)", BUDGET(BUDGET_DUPLICATES), false },
    { "retries", "of a call at any leader (0)", BUDGET(BUDGET_RETRIES), false },
    { "checkpoints", "that a leader is asked for (0)", BUDGET(BUDGET_CHECKPOINTS), false },
    { "removals", "of a member that a leader is asked for (0)", BUDGET(BUDGET_REMOVALS), false },
    { "ops", "calls that write, of two clients in turn; the search begins led then (0)",
      offsetof(struct explore_bounds, puts), false },
    { "gets", "calls that read (0)", offsetof(struct explore_bounds, gets), false },
    { "frames", "under way at most, 1..40 (24)", offsetof(struct explore_bounds, frames), false },
    { "depth", "actions at most (no end)", offsetof(struct explore_bounds, depth), false },
    { "led", "begins with n0 as the leader of term 1", offsetof(struct explore_bounds, led), true },
    { "torn", "a crash may leave half of a block", offsetof(struct explore_bounds, torn), true },
    { "copies", "each copy of a superblock is a write of its own", offsetof(struct explore_bounds, copies), true },
    { "raw", "bytes without a meaning tell states apart", offsetof(struct explore_bounds, raw), true },
    { "recovery", "what a start writes is in flight, too", offsetof(struct explore_bounds, recovery), true },
    { "pre-vote", "nodes use PreVote", offsetof(struct explore_bounds, pre_vote), true },
    { "check-quorum", "voters that hear a leader refuse votes", offsetof(struct explore_bounds, check_quorum), true },
    { "strict-naming", "a batch counts when it is named", offsetof(struct explore_bounds, strict_naming), true },
    { "eager", "writes complete at once when no crash is left", offsetof(struct explore_bounds, eager), true },
    { "single", "an append request carries one entry", offsetof(struct explore_bounds, single), true },
    { "ordered", "links keep their order: what is older is lost when a frame arrives",
      offsetof(struct explore_bounds, ordered), true },
    { "every-action", "states that another one covers are kept, too", offsetof(struct explore_bounds, every_action),
      true },
    { "no-symmetry", "renamed nodes make another state", offsetof(struct explore_bounds, symmetry), true },
};

void explore_bounds_init(struct explore_bounds *bounds)
{
    *bounds = (struct explore_bounds){ .nodes = 3, .frames = 24, .symmetry = true, .memory_bytes = 4ULL << 30 };
}

bool explore_bounds_set(struct explore_bounds *bounds, const char *name, const char *value)
{
    for (uint32_t i = 0; i < ARRAY_COUNT(table); i++) {
        if (strcmp(table[i].name, name) != 0)
            continue;
        uint8_t *at = (uint8_t *)bounds + table[i].offset;
        if (table[i].flag) {
            const bool on = table[i].offset != offsetof(struct explore_bounds, symmetry);
            if (value == NULL)
                memcpy(at, &on, sizeof on);
            return value == NULL;
        }
        char *end = NULL;
        const unsigned long number = value != NULL && *value >= '0' && *value <= '9' ? strtoul(value, &end, 10) : 0;
        const uint32_t count = (uint32_t)number;
        if (end == NULL || *end != '\0' || number > UINT32_MAX)
            return false;
        memcpy(at, &count, sizeof count);
        return true;
    }
    return false;
}

const char *explore_bounds_name(uint32_t number, const char **help, bool *flag)
{
    if (number >= ARRAY_COUNT(table))
        return NULL;
    *help = table[number].help;
    *flag = table[number].flag;
    return table[number].name;
}

void explore_bounds_write(const struct explore_bounds *bounds, FILE *file)
{
    struct explore_bounds usual;
    explore_bounds_init(&usual);
    for (uint32_t i = 0; i < ARRAY_COUNT(table); i++) {
        const uint8_t *at = (const uint8_t *)bounds + table[i].offset;
        const uint8_t *there = (const uint8_t *)&usual + table[i].offset;
        const bool usually = memcmp(at, there, table[i].flag ? sizeof(bool) : sizeof(uint32_t)) == 0;
        if (usually && table[i].offset != offsetof(struct explore_bounds, nodes))
            continue;
        uint32_t value = 0;
        memcpy(&value, at, table[i].flag ? 0 : sizeof value);
        if (table[i].flag)
            fprintf(file, "explore %s\n", table[i].name);
        else
            fprintf(file, "explore %s %u\n", table[i].name, value);
    }
}

const char *explore_bounds_problem(const struct explore_bounds *bounds)
{
    if (bounds->nodes < 1 || bounds->nodes > EXPLORE_NODES_MAX)
        return "--nodes must be in 1..5";
    for (uint32_t i = 0; i < BUDGETS; i++) {
        if (bounds->budget[i] > UINT8_MAX)
            return "a budget must be at most 255";
    }
    if (bounds->budget[BUDGET_TIMEOUTS] > TERMS_MAX - 4)
        return "--timeouts must be at most 12";
    if (bounds->puts > EXPLORE_CALLS_MAX || bounds->gets > EXPLORE_CALLS_MAX - bounds->puts)
        return "--ops and --gets must be at most 4 together";
    if (bounds->raw && bounds->symmetry)
        return "--raw needs --no-symmetry";
    if (bounds->budget[BUDGET_REMOVALS] > 0 && bounds->symmetry)
        return "--removals needs --no-symmetry: what a member is called is in the log then";
    if (bounds->frames < 1 || bounds->frames > FRAMES_MAX)
        return "--frames must be in 1..40";
    return NULL;
}

/* What campaigns found, as text: JSON lines that a run writes and `merge` adds up. One object a line:
 *
 *   {"type":"run", ...}       how it was called: format, build, commit, profile, seed, count, shard, shards. Nothing of
 *                             the machine. What follows belongs to it, up to the next such line
 *   {"type":"failure", ...}   seed, outcome, checker, step, node, digest, text, and the path of its trace
 *   {"type":"totals", ...}    all counters since the beginning, what `--json` prints, and the sketches of the census.
 *                             Written now and then, so that a run that is killed is not lost; the last one counts, and
 *                             "state" in it says whether that is the end
 *
 * A file may hold several runs one after the other, cut off anywhere. Unknown keys are skipped. */
#ifndef WW_RESULTS_H
#define WW_RESULTS_H

#include <stdio.h>

#include "campaign.h"
#include "commit.h"

enum { RESULTS_FORMAT = 1, RESULTS_SHARDS_MAX = 1000000 };

/* How a run was called. */
struct results_run {
    uint64_t build; /* hash of the program */
    uint64_t seed;
    uint64_t count; /* schedules of all shards; UINT64_MAX: as many as fit into the time */
    uint64_t shard; /* below shards: schedule n is run by the shard n % shards */
    uint64_t shards;
    enum profile profile;
    char commit[COMMIT_BYTES]; /* "": unknown */
};

enum results_state {
    RESULTS_RUNNING,     /* more was to come */
    RESULTS_FAILED,      /* ended with the first failure */
    RESULTS_INTERRUPTED, /* by a signal */
    RESULTS_COMPLETE,    /* all that was wanted, or all the time */
};
const char *results_state_text(enum results_state state);

struct results_totals {
    uint64_t schedules; /* finished, those that crashed included */
    uint64_t failures;
    uint64_t dealt; /* schedules of this shard that were begun: its first ones */
    uint64_t jobs;
    uint64_t spent_ms;
    uint64_t worker_ms; /* times workers */
    enum results_state state;
    struct coverage coverage;
    struct census census;
};
void results_add(struct results_totals *sum, const struct results_totals *part);

/* A string with its quotes. */
void results_write_text(FILE *file, const char *text);
/* An object alone. */
void results_put_failure(FILE *file, const struct results_run *run, const struct campaign_failure *failure,
                         const char *trace);
/* Each writes one line, and flushes it. */
void results_write_run(FILE *file, const struct results_run *run);
void results_write_failure(FILE *file, const struct results_run *run, const struct campaign_failure *failure,
                           const char *trace);
void results_write_totals(FILE *file, const struct results_totals *totals);
/* The counters and figures alone, as they stand in such a line: no braces, begins with a comma. */
void results_write_counters(FILE *file, const struct results_totals *totals);

/* The groups of counters, to go over them all. */
struct results_group {
    const char *name;
    uint32_t kinds;
    size_t offset; /* in struct coverage: kinds numbers */
    const char *(*text)(uint32_t kind);
};
enum { RESULTS_GROUPS = 9 };
extern const struct results_group results_groups[RESULTS_GROUPS];
static inline uint64_t *results_counters(struct coverage *coverage, const struct results_group *group)
{
    return (uint64_t *)(void *)((uint8_t *)coverage + group->offset);
}

#endif

/* Adds up the results of many runs (results.h), and judges them as if one run had done it all.
 *
 * Runs are told apart by the commit that they are of. Within one commit all must be of one build and one profile, and
 * no seed may have been run twice: else the sums would mean nothing, and reading fails. Commits keep the order in which
 * they were read; the last one is judged, those before it are history. */
#ifndef WW_MERGE_H
#define WW_MERGE_H

#include "results.h"

struct merge_run {
    const char *path; /* borrowed */
    struct results_run run;
    enum results_state state;
    uint64_t schedules;
    uint64_t failures;
    uint64_t dealt;
    uint64_t jobs;
    uint64_t spent_ms;
};

struct merge_failure {
    uint32_t run; /* position in runs */
    uint64_t seed;
    enum outcome outcome;
    uint64_t step;
    char checker[40];
    char text[256];
    char trace[512]; /* as the run called it; relative to where it ran */
};

/* All runs of one commit. */
struct merge_commit {
    const struct merge_run *first; /* valid until the next file is read */
    uint32_t runs;
    uint64_t missing; /* shards of its campaigns that no file is of */
    struct results_totals totals;
};

struct merge {
    struct merge_run *runs; /* in the order of reading */
    uint32_t run_count;
    uint32_t run_max;
    struct merge_failure *failures; /* in order of commit and seed, when finished */
    uint32_t failure_count;
    uint32_t failure_max;
    struct merge_commit **commits;
    uint32_t commit_count;
    uint32_t commit_max;
    uint32_t *commit_of; /* by run */
    uint32_t commit_of_max;
    bool unreadable;    /* the problem is a file that cannot be read */
    char problem[1024]; /* why something failed, as a sentence that names the file */
    char note[256];     /* what is odd, and no reason to fail; "": nothing */
};

/* NULL: no memory. */
struct merge *merge_new(void);
void merge_free(struct merge *merge);
/* False, and `problem`: the file cannot be read, is none of these, or does not fit to those before. */
bool merge_read(struct merge *merge, const char *path);
/* All files are read. False, and `problem`: two runs had a seed in common, or there was no run at all. */
bool merge_finish(struct merge *merge);

/* Is there a number that both are of: start + k * step for k < count? Sets the lowest. steps > 0. */
struct merge_seeds {
    uint64_t start;
    uint64_t step;
    uint64_t count;
};
bool merge_overlap(struct merge_seeds a, struct merge_seeds b, uint64_t *common);

/* A self-contained page, readable without script and without network. path: where it will lie, for links to traces. */
void merge_page(const struct merge *merge, const char *path, FILE *file);

#endif

/* raftsim merge: many runs as one. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../sim/merge.h"
#include "raftsim.h"

static void print_failures(const struct merge *merge, uint32_t commit)
{
    for (uint32_t i = 0; i < merge->failure_count; i++) {
        const struct merge_failure *failure = &merge->failures[i];
        if (merge->commit_of[failure->run] != commit)
            continue;
        fprintf(stderr, "raftsim: seed %" PRIu64 ": %s: %s", failure->seed, outcome_text(failure->outcome),
                failure->checker);
        if (failure->step > 0)
            fprintf(stderr, " at step %" PRIu64, failure->step);
        fprintf(stderr, "\n  %s\n  trace:  %s (%s)\n", failure->text, failure->trace, merge->runs[failure->run].path);
    }
}

/* The failure with the lowest seed decides, as in a run. A run that was killed may have counted one that it could not
 * name any more: that one crashed, for all that is known. */
static const enum outcome *first_outcome(const struct merge *merge, uint32_t commit)
{
    static const enum outcome nameless = OUTCOME_CRASHED;
    for (uint32_t i = 0; i < merge->failure_count; i++)
        if (merge->commit_of[merge->failures[i].run] == commit)
            return &merge->failures[i].outcome;
    return merge->commits[commit]->totals.failures > 0 ? &nameless : NULL;
}

static void print_json(const struct merge *merge, uint32_t last)
{
    const struct merge_commit *commit = merge->commits[last];
    const struct results_totals *totals = &commit->totals;
    printf("{\"schedules\":%" PRIu64 ",\"failures\":%" PRIu64 ",\"commit\":", totals->schedules, totals->failures);
    results_write_text(stdout, commit->first->run.commit);
    printf(",\"build\":\"%016" PRIx64 "\",\"profile\":\"%s\",\"runs\":%" PRIu32 ",\"missing_shards\":%" PRIu64
           ",\"state\":\"%s\",\"jobs\":%" PRIu64,
           commit->first->run.build, profile_text(commit->first->run.profile), commit->runs, commit->missing,
           results_state_text(totals->state), totals->jobs);
    results_write_counters(stdout, totals);
    printf(",\"history\":[");
    for (uint32_t i = 0; i < merge->commit_count; i++) {
        printf("%s{\"commit\":", i > 0 ? "," : "");
        results_write_text(stdout, merge->commits[i]->first->run.commit);
        printf(",\"schedules\":%" PRIu64 ",\"failures\":%" PRIu64 ",\"worker_ms\":%" PRIu64 "}",
               merge->commits[i]->totals.schedules, merge->commits[i]->totals.failures,
               merge->commits[i]->totals.worker_ms);
    }
    puts("]}");
}

/* As far as anybody reads it. */
static const char *commit_name(const struct merge_commit *commit)
{
    return commit->first->run.commit[0] != '\0' ? commit->first->run.commit : "unknown";
}

static void print_text(const struct merge *merge, uint32_t last)
{
    const struct merge_commit *commit = merge->commits[last];
    for (uint32_t i = 0; i < last; i++)
        printf("before: commit %.12s: %" PRIu64 " schedules, %" PRIu64 " failures\n", commit_name(merge->commits[i]),
               merge->commits[i]->totals.schedules, merge->commits[i]->totals.failures);
    printf("%" PRIu32 " run%s of commit %.12s, build %016" PRIx64 ", profile %s: %s\n", commit->runs,
           commit->runs == 1 ? "" : "s", commit_name(commit), commit->first->run.build,
           profile_text(commit->first->run.profile),
           commit->missing > 0 ? "shards are missing" : results_state_text(commit->totals.state));
    raftsim_summary(&commit->totals);
}

static bool write_page(const struct merge *merge, const char *path)
{
    FILE *file = fopen(path, "w");
    if (file != NULL)
        merge_page(merge, path, file);
    const bool written = file != NULL && !ferror(file);
    if (file != NULL && fclose(file) == 0 && written)
        return true;
    fprintf(stderr, "raftsim: --html %s: %s\n", path, strerror(errno));
    return false;
}

static int judge(const struct merge *merge, const struct options *options)
{
    const uint32_t last = merge->commit_count - 1;
    const struct merge_commit *commit = merge->commits[last];
    if (merge->note[0] != '\0')
        fprintf(stderr, "raftsim: %s\n", merge->note);
    print_failures(merge, last);
    if (options->json)
        print_json(merge, last);
    else
        print_text(merge, last);
    if (options->html != NULL && !write_page(merge, options->html))
        return EXIT_INTERNAL;
    const int code = raftsim_judge(commit->first->run.profile, &commit->totals, first_outcome(merge, last));
    if (commit->missing == 0)
        return code;
    fprintf(stderr, "raftsim: %" PRIu64 " shard%s of this commit's campaigns %s missing\n", commit->missing,
            commit->missing == 1 ? "" : "s", commit->missing == 1 ? "is" : "are");
    return code == EXIT_OK || code == EXIT_VACUOUS || code == EXIT_INTERRUPTED ? EXIT_INTERNAL : code;
}

int raftsim_merge(const struct options *options)
{
    if (options->html != NULL && !raftsim_can_write("--html", options->html))
        return EXIT_USAGE;
    struct merge *merge = merge_new();
    bool good = merge != NULL;
    for (int i = 0; good && i < options->file_count; i++)
        good = merge_read(merge, options->files[i]);
    good = good && merge_finish(merge);
    if (!good)
        fprintf(stderr, "raftsim: merge: %s\n", merge != NULL ? merge->problem : "no memory");
    const bool readable = merge != NULL && !merge->unreadable;
    const int code = good ? judge(merge, options) : readable ? EXIT_USAGE : EXIT_INTERNAL;
    merge_free(merge);
    return code;
}

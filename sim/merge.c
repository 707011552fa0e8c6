/* Reads the results of runs and adds them up. */
#define _DEFAULT_SOURCE
#include "merge.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "results_read.h"

struct merge *merge_new(void) { return calloc(1, sizeof(struct merge)); }

void merge_free(struct merge *merge)
{
    if (merge == NULL)
        return;
    for (uint32_t i = 0; i < merge->commit_count; i++)
        free(merge->commits[i]);
    free(merge->commits);
    free(merge->commit_of);
    free(merge->failures);
    free(merge->runs);
    free(merge);
}

__attribute__((format(printf, 2, 3))) static bool merge_problem(struct merge *merge, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(merge->problem, sizeof merge->problem, format, arguments);
    va_end(arguments);
    return false;
}

static bool merge_unreadable(struct merge *merge, const char *path)
{
    merge->unreadable = true;
    return merge_problem(merge, "%s: %s", path, strerror(errno));
}

/* Room for one more; NULL: there is no memory. */
static void *merge_grow(struct merge *merge, void *memory, uint32_t *max, uint32_t count, size_t bytes)
{
    if (count < *max)
        return memory;
    const uint32_t wanted = *max == 0 ? 16 : *max * 2;
    void *larger = realloc(memory, wanted * bytes);
    if (larger == NULL)
        merge_problem(merge, "no memory for the results");
    else
        *max = wanted;
    return larger;
}

/* A run of its own is counted once its end is known. */
struct merge_reading {
    bool open;      /* a run has begun */
    bool totalled;  /* and some totals of it were read */
    uint32_t lines; /* of failures since it began */
    uint64_t line;  /* of the file */
    struct results_totals totals;
};

static bool merge_end_run(struct merge *merge, struct merge_reading *reading)
{
    if (!reading->open)
        return true;
    struct merge_run *run = &merge->runs[merge->run_count - 1];
    struct merge_commit *commit = merge->commits[merge->commit_of[merge->run_count - 1]];
    struct results_totals *totals = &reading->totals;
    if (!reading->totalled)
        memset(totals, 0, sizeof *totals);
    /* Failures that came after the last totals. */
    totals->failures = u64_max(totals->failures, reading->lines);
    run->state = totals->state;
    run->schedules = totals->schedules;
    run->failures = totals->failures;
    run->dealt = totals->dealt;
    run->jobs = totals->jobs;
    run->spent_ms = totals->spent_ms;
    results_add(&commit->totals, totals);
    commit->runs++;
    reading->open = false;
    return true;
}

/* The commit of a run, which must agree with the runs of it that are known; its position, or UINT32_MAX. */
static uint32_t merge_place(struct merge *merge, const struct merge_run *run)
{
    for (uint32_t i = 0; i < merge->run_count; i++) {
        const struct merge_run *known = &merge->runs[i];
        if (strcmp(known->run.commit, run->run.commit) != 0)
            continue;
        if (known->run.build != run->run.build)
            merge_problem(merge, "%s is of build %016" PRIx64 ", and %s, of the same commit, of build %016" PRIx64,
                          known->path, known->run.build, run->path, run->run.build);
        else if (known->run.profile != run->run.profile)
            merge_problem(merge, "%s is of profile %s, and %s of profile %s", known->path,
                          profile_text(known->run.profile), run->path, profile_text(run->run.profile));
        else
            return merge->commit_of[i];
        return UINT32_MAX;
    }
    struct merge_commit **commits =
        merge_grow(merge, merge->commits, &merge->commit_max, merge->commit_count, sizeof(struct merge_commit *));
    if (commits == NULL)
        return UINT32_MAX;
    merge->commits = commits;
    struct merge_commit *commit = calloc(1, sizeof *commit);
    if (commit == NULL) {
        merge_problem(merge, "no memory for the results");
        return UINT32_MAX;
    }
    commit->totals.state = RESULTS_COMPLETE;
    merge->commits[merge->commit_count] = commit;
    return merge->commit_count++;
}

static bool merge_begin_run(struct merge *merge, struct merge_reading *reading, const char *path, const char *line)
{
    struct merge_run run = { .path = path };
    uint64_t format;
    if (!results_read_run(line, &run.run, &format))
        return merge_problem(merge, "%s:%" PRIu64 ": a line of type \"run\" that makes no sense", path, reading->line);
    if (format != RESULTS_FORMAT)
        return merge_problem(merge, "%s: results of format %" PRIu64 ", this program knows %d", path, format,
                             RESULTS_FORMAT);
    const uint32_t place = merge_place(merge, &run);
    if (place == UINT32_MAX)
        return false;
    struct merge_run *runs = merge_grow(merge, merge->runs, &merge->run_max, merge->run_count, sizeof merge->runs[0]);
    if (runs == NULL)
        return false;
    merge->runs = runs;
    uint32_t *commit_of =
        merge_grow(merge, merge->commit_of, &merge->commit_of_max, merge->run_count, sizeof merge->commit_of[0]);
    if (commit_of == NULL)
        return false;
    merge->commit_of = commit_of;
    merge->commit_of[merge->run_count] = place;
    merge->runs[merge->run_count++] = run;
    const uint64_t line_number = reading->line;
    memset(reading, 0, sizeof *reading);
    reading->line = line_number;
    reading->open = true;
    return true;
}

static bool merge_failure_line(struct merge *merge, struct merge_reading *reading, const char *path, const char *line)
{
    struct results_failure failure;
    if (!reading->open || !results_read_failure(line, &failure))
        return merge_problem(merge, "%s:%" PRIu64 ": a line of type \"failure\" that makes no sense", path,
                             reading->line);
    struct merge_failure *failures =
        merge_grow(merge, merge->failures, &merge->failure_max, merge->failure_count, sizeof merge->failures[0]);
    if (failures == NULL)
        return false;
    merge->failures = failures;
    struct merge_failure *kept = &merge->failures[merge->failure_count++];
    *kept = (struct merge_failure){
        .run = merge->run_count - 1, .seed = failure.seed, .outcome = failure.outcome, .step = failure.step
    };
    memcpy(kept->checker, failure.checker, sizeof kept->checker);
    memcpy(kept->text, failure.text, sizeof kept->text);
    memcpy(kept->trace, failure.trace, sizeof kept->trace);
    reading->lines++;
    return true;
}

/* A line that was cut off is the end of what a killed process wrote. */
static bool merge_line(struct merge *merge, struct merge_reading *reading, const char *path, const char *line)
{
    switch (results_line_kind(line)) {
    case RESULTS_LINE_RUN: return merge_end_run(merge, reading) && merge_begin_run(merge, reading, path, line);
    case RESULTS_LINE_FAILURE: return merge_failure_line(merge, reading, path, line);
    case RESULTS_LINE_TOTALS:
        if (!reading->open || !results_read_totals(line, &reading->totals))
            return merge_problem(merge, "%s:%" PRIu64 ": a line of type \"totals\" that makes no sense", path,
                                 reading->line);
        reading->totalled = true;
        return true;
    case RESULTS_LINE_OTHER:
        if (line[0] == '{') /* other lines are of whoever else wrote to the same stream */
            snprintf(merge->note, sizeof merge->note,
                     "%s:%" PRIu64 ": a line that is not whole, or none of a run, was skipped", path, reading->line);
        return true;
    }
    UNREACHABLE();
}

bool merge_read(struct merge *merge, const char *path)
{
    struct merge_reading *reading = calloc(1, sizeof *reading);
    const uint32_t runs = merge->run_count;
    char *line = NULL;
    size_t bytes = 0;
    bool good = reading != NULL;
    if (!good)
        merge_problem(merge, "no memory for the results");
    FILE *file = good ? fopen(path, "r") : NULL;
    if (good && file == NULL)
        good = merge_unreadable(merge, path);
    while (good && getline(&line, &bytes, file) > 0) {
        reading->line++;
        good = merge_line(merge, reading, path, line);
    }
    if (good && ferror(file))
        good = merge_unreadable(merge, path);
    if (good && merge->run_count == runs)
        good = merge_problem(merge, "%s: no results in it", path);
    good = good && merge_end_run(merge, reading);
    if (file != NULL)
        fclose(file);
    free(line);
    free(reading);
    return good;
}

static uint64_t merge_divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        const uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Numbers of both lie apart by the least common multiple of the steps: a few numbers of one, from the later start on,
 * decide. */
bool merge_overlap(struct merge_seeds a, struct merge_seeds b, uint64_t *common)
{
    ASSERT(a.step > 0);
    ASSERT(b.step > 0);
    const uint64_t tries = b.step / merge_divisor(a.step, b.step);
    const uint64_t first = u64_max(a.start, b.start);
    uint64_t k = (first - a.start + a.step - 1) / a.step;
    for (uint64_t tried = 0; tried < tries && k < a.count; tried++, k++) {
        const uint64_t number = a.start + k * a.step;
        if ((number - b.start) % b.step != 0)
            continue;
        *common = number;
        return (number - b.start) / b.step < b.count;
    }
    return false;
}

static struct merge_seeds merge_seeds_of(const struct merge_run *run)
{
    return (
        struct merge_seeds){ .start = run->run.seed + run->run.shard, .step = run->run.shards, .count = run->dealt };
}

static bool merge_check_seeds(struct merge *merge, uint32_t one)
{
    for (uint32_t other = 0; other < one; other++) {
        uint64_t seed;
        if (merge->commit_of[other] == merge->commit_of[one]
            && merge_overlap(merge_seeds_of(&merge->runs[one]), merge_seeds_of(&merge->runs[other]), &seed))
            return merge_problem(merge, "%s and %s both ran seed %" PRIu64 ": their sums would count it twice",
                                 merge->runs[other].path, merge->runs[one].path, seed);
    }
    return true;
}

static bool merge_same_campaign(const struct merge *merge, uint32_t a, uint32_t b)
{
    const struct results_run *first = &merge->runs[a].run;
    const struct results_run *second = &merge->runs[b].run;
    return merge->commit_of[a] == merge->commit_of[b] && first->seed == second->seed && first->count == second->count
           && first->shards == second->shards;
}

/* Adds to its commit the shards that nobody sent of the campaign that begins with this run. */
static bool merge_count_missing(struct merge *merge, uint32_t one)
{
    const uint64_t shards = merge->runs[one].run.shards;
    for (uint32_t other = 0; other < one; other++)
        if (merge_same_campaign(merge, one, other))
            return true;
    bool *present = calloc(shards, sizeof *present);
    if (present == NULL)
        return merge_problem(merge, "no memory for the results");
    for (uint32_t other = one; other < merge->run_count; other++)
        if (merge_same_campaign(merge, one, other))
            present[merge->runs[other].run.shard] = true;
    for (uint64_t shard = 0; shard < shards; shard++)
        merge->commits[merge->commit_of[one]]->missing += !present[shard];
    free(present);
    return true;
}

static const struct merge *merge_sorted; /* for the comparison */

static int merge_compare(const void *a, const void *b)
{
    const struct merge_failure *first = a;
    const struct merge_failure *second = b;
    const uint32_t commits[2] = { merge_sorted->commit_of[first->run], merge_sorted->commit_of[second->run] };
    if (commits[0] != commits[1])
        return commits[0] < commits[1] ? -1 : 1;
    return (first->seed > second->seed) - (first->seed < second->seed);
}

bool merge_finish(struct merge *merge)
{
    if (merge->run_count == 0)
        return merge_problem(merge, "no results");
    for (uint32_t one = 0; one < merge->run_count; one++) {
        struct merge_commit *commit = merge->commits[merge->commit_of[one]];
        if (!merge_check_seeds(merge, one) || !merge_count_missing(merge, one))
            return false;
        if (commit->first == NULL)
            commit->first = &merge->runs[one];
    }
    merge_sorted = merge;
    if (merge->failure_count > 0)
        qsort(merge->failures, merge->failure_count, sizeof merge->failures[0], merge_compare);
    return true;
}

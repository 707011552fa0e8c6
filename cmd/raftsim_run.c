/* raftsim run: a campaign, its progress, its failures and its results. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../core/checksum.h"
#include "../sim/commit.h"
#include "../sim/coverage.h"
#include "raftsim.h"

enum { TOTALS_MS = 1000, PATH_BYTES = 4096, KINDS_MAX = 32 };
/* Of fewer schedules nobody wants to know what the next one shows. */
enum { CENSUS_WORTH = 100 };

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void trace_path(const struct options *options, uint64_t seed, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%s/raftsim-%s-%" PRIu64 ".trace", options->trace_dir, profile_text(options->profile),
             seed);
}

static void report_failure(const struct options *options, const struct campaign_failure *failure, const char *path,
                           bool small)
{
    fprintf(stderr, "raftsim: seed %" PRIu64 ": %s: %s", options->seed + failure->number,
            outcome_text(failure->outcome), failure->checker);
    if (failure->step > 0)
        fprintf(stderr, " at step %" PRIu64, failure->step);
    if (failure->node != UINT32_MAX)
        fprintf(stderr, ", node n%" PRIu32, failure->node);
    fprintf(stderr, "\n  %s\n", failure->text);
    raftsim_trace_failure(options, failure, path, small);
}

static void print_progress(const struct options *options, const struct campaign_progress *progress, uint64_t spent_ms)
{
    static uint64_t last_ms;
    const uint64_t count = options->count == UINT64_MAX
                               ? UINT64_MAX
                               : (options->count + options->shards - 1 - options->shard) / options->shards;
    const bool terminal = isatty(STDERR_FILENO) == 1;
    const bool last = progress->over;
    if (options->quiet || (!last && spent_ms - last_ms < (terminal ? 200U : 10000U)))
        return;
    last_ms = spent_ms;
    const uint64_t rate = spent_ms > 0 ? progress->done * 1000 / spent_ms : 0;
    uint64_t left_s = UINT64_MAX;
    if (options->seconds > 0)
        left_s = u64_max(options->seconds, spent_ms / 1000) - spent_ms / 1000;
    if (count != UINT64_MAX && rate > 0)
        left_s = u64_min(left_s, (count - u64_min(count, progress->done)) / rate);
    fprintf(stderr, "%sraftsim: %" PRIu64, terminal ? "\r\033[K" : "", progress->done);
    if (count != UINT64_MAX)
        fprintf(stderr, "/%" PRIu64, count);
    fprintf(stderr, " schedules, %" PRIu64 "/s, %" PRIu64 " failure%s", rate, progress->failures,
            progress->failures == 1 ? "" : "s");
    if (!last && left_s != UINT64_MAX)
        fprintf(stderr, ", %" PRIu64 " s to go", left_s);
    fputs(terminal && !last ? "" : "\n", stderr);
    fflush(stderr);
}

/* What a run tells as it goes. */
struct report {
    FILE *jsonl; /* NULL: none */
    struct results_run run;
    uint64_t start_ms;
    uint64_t totals_ms; /* since the start: when totals are due */
    uint64_t seen;      /* failures */
    uint32_t reported_count;
    uint64_t reported[CAMPAIGN_JOBS_MAX * CAMPAIGN_FAILURES_MAX]; /* by number */
    uint32_t kind_count;
    struct campaign_failure kinds[KINDS_MAX]; /* the first of those that are alike: its trace was shrunk */
    struct results_totals totals;
};

static bool report_begin(struct report *report, const struct options *options)
{
    report->run = (struct results_run){
        .build = build_id(),
        .seed = options->seed,
        .count = options->count,
        .shard = options->shard,
        .shards = options->shards,
        .profile = options->profile,
    };
    snprintf(report->run.commit, sizeof report->run.commit, "%s", options->commit);
    report->start_ms = now_ms();
    report->totals_ms = TOTALS_MS;
    if (options->jsonl == NULL)
        return true;
    report->jsonl = strcmp(options->jsonl, "-") == 0 ? stdout : fopen(options->jsonl, "w");
    if (report->jsonl == NULL)
        return false;
    results_write_run(report->jsonl, &report->run);
    return true;
}

/* What a crash was is in its text only; that of a checker names values. */
static bool failures_alike(const struct campaign_failure *a, const struct campaign_failure *b)
{
    return a->outcome == b->outcome && strcmp(a->checker, b->checker) == 0
           && (a->outcome != OUTCOME_CRASHED || strcmp(a->text, b->text) == 0);
}

/* Shrinking takes seconds, in which the run is not looked after, and a bug may fail every tenth schedule: so once for
 * each kind of failure. */
static bool report_wants_small(struct report *report, const struct options *options,
                               const struct campaign_failure *failure)
{
    for (uint32_t i = 0; i < report->kind_count; i++)
        if (failures_alike(&report->kinds[i], failure))
            return false;
    if (options->no_shrink || report->kind_count == KINDS_MAX)
        return false;
    report->kinds[report->kind_count++] = *failure;
    return true;
}

/* Also looked at between two traces: a bug may fail schedules faster than their traces are written. */
static void stop_when_due(const struct report *report, const struct options *options, struct campaign *campaign)
{
    const uint64_t spent_ms = now_ms() - report->start_ms;
    if (raftsim_interrupted() || (options->seconds > 0 && spent_ms >= options->seconds * 1000))
        campaign_stop(campaign);
}

/* Each failure once: all as they come, or the first one when the run is over. */
static void report_failures(struct report *report, const struct options *options, struct campaign *campaign,
                            const struct campaign_progress *progress)
{
    const struct campaign_failure *failures;
    if (progress->failures == report->seen || !(options->keep_going || progress->over))
        return;
    report->seen = progress->failures;
    const uint32_t count = campaign_failures(campaign, &failures);
    for (uint32_t i = 0; i < (options->keep_going ? count : u32_min(count, 1)); i++) {
        uint32_t known = 0;
        while (known < report->reported_count && report->reported[known] != failures[i].number)
            known++;
        if (known < report->reported_count)
            continue;
        report->reported[report->reported_count++] = failures[i].number;
        stop_when_due(report, options, campaign);
        char path[PATH_BYTES];
        trace_path(options, options->seed + failures[i].number, path);
        if (report->jsonl != NULL) /* first: the run may be killed while the trace is shrunk */
            results_write_failure(report->jsonl, &report->run, &failures[i], path);
        report_failure(options, &failures[i], path, report_wants_small(report, options, &failures[i]));
    }
}

/* Less and less often: at most a fifth of a run is lost with it, and the file stays small. */
static void report_totals(struct report *report, const struct options *options, const struct campaign *campaign,
                          const struct campaign_progress *progress)
{
    struct results_totals *totals = &report->totals;
    const uint64_t spent_ms = now_ms() - report->start_ms;
    if (!progress->over && (report->jsonl == NULL || spent_ms < report->totals_ms))
        return;
    report->totals_ms = u64_max(spent_ms + TOTALS_MS, spent_ms + spent_ms / 4);
    totals->schedules = progress->done;
    totals->failures = progress->failures;
    totals->dealt = progress->dealt;
    totals->jobs = options->jobs;
    totals->spent_ms = spent_ms;
    totals->worker_ms = spent_ms * options->jobs;
    totals->state = !progress->over                                  ? RESULTS_RUNNING
                    : progress->failures > 0 && !options->keep_going ? RESULTS_FAILED
                    : raftsim_interrupted()                          ? RESULTS_INTERRUPTED
                                                                     : RESULTS_COMPLETE;
    campaign_coverage(campaign, &totals->coverage);
    campaign_census(campaign, &totals->census);
    if (report->jsonl != NULL)
        results_write_totals(report->jsonl, totals);
}

static void print_sketch(const char *name, const struct sketch *sketch)
{
    const struct sketch_estimate estimate = sketch_estimate(sketch);
    printf("coverage: about %" PRIu64 " %s; of those that the next schedule shows, %" PRIu64 ".%03" PRIu64
           " %% are new\n",
           estimate.kinds, name, estimate.unseen / 10000000, estimate.unseen / 10000 % 1000);
}

void raftsim_summary(const struct results_totals *totals)
{
    printf("%" PRIu64 " schedule%s, %" PRIu64 " failure%s, %" PRIu64 " inputs, %" PRIu64 " client operations, %" PRIu64
           " simulated seconds in %" PRIu64 ".%03" PRIu64 " s\n",
           totals->schedules, totals->schedules == 1 ? "" : "s", totals->failures, totals->failures == 1 ? "" : "s",
           totals->coverage.inputs, totals->coverage.calls, totals->coverage.simulated_ns / 1000000000,
           totals->spent_ms / 1000, totals->spent_ms % 1000);
    if (totals->census.schedules < CENSUS_WORTH)
        return;
    print_sketch("states", &totals->census.states);
    print_sketch("edges", &totals->census.edges);
}

int raftsim_judge(enum profile profile, const struct results_totals *totals, const enum outcome *first)
{
    const char *gap = coverage_gap(&totals->coverage, profile == PROFILE_MIXED);
    if (first != NULL)
        return (int)exit_code_of(*first);
    if (totals->state == RESULTS_INTERRUPTED || totals->state == RESULTS_RUNNING)
        return EXIT_INTERRUPTED;
    if (gap == NULL)
        return EXIT_OK;
    fprintf(stderr, "raftsim: vacuous: in %" PRIu64 " schedules \"%s\" never happened\n", totals->coverage.schedules,
            gap);
    return EXIT_VACUOUS;
}

static void print_json(const struct report *report, const struct options *options, struct campaign *campaign)
{
    const struct results_totals *totals = &report->totals;
    const struct campaign_failure *failures;
    const uint32_t count = campaign_failures(campaign, &failures);
    printf("{\"state\":\"%s\",\"schedules\":%" PRIu64 ",\"failures\":%" PRIu64, results_state_text(totals->state),
           totals->schedules, totals->failures);
    printf(",\"seed\":%" PRIu64 ",\"profile\":\"%s\",\"jobs\":%" PRIu32, options->seed, profile_text(options->profile),
           options->jobs);
    results_write_counters(stdout, totals);
    fputs(",\"failed\":[", stdout);
    for (uint32_t i = 0; i < (options->keep_going ? count : u32_min(count, 1)); i++) {
        char path[PATH_BYTES];
        trace_path(options, options->seed + failures[i].number, path);
        fputs(i > 0 ? "," : "", stdout);
        results_put_failure(stdout, &report->run, &failures[i], path);
    }
    puts("]}");
}

static int run_campaign(const struct options *options, struct report *report)
{
    const struct campaign_options campaign_options = {
        .seed = options->seed,
        .count = options->count,
        .shard = options->shard,
        .shards = options->shards,
        .jobs = options->jobs,
        .profile = options->profile,
        .keep_going = options->keep_going,
        .hang_ms = options->hang_seconds * 1000,
    };
    struct campaign *campaign = campaign_start(&campaign_options);
    if (campaign == NULL) {
        fprintf(stderr, "raftsim: cannot start workers: %s\n", strerror(errno));
        return EXIT_INTERNAL;
    }
    struct campaign_progress progress;
    for (;;) {
        campaign_poll(campaign, now_ms(), &progress);
        const uint64_t spent_ms = now_ms() - report->start_ms;
        stop_when_due(report, options, campaign);
        print_progress(options, &progress, spent_ms);
        report_failures(report, options, campaign, &progress);
        report_totals(report, options, campaign, &progress);
        if (progress.over)
            break;
        nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
    }
    const struct campaign_failure *failures;
    const uint32_t count = campaign_failures(campaign, &failures);
    if (options->json)
        print_json(report, options, campaign);
    else
        raftsim_summary(&report->totals);
    if (report->totals.state == RESULTS_INTERRUPTED && !options->quiet)
        fputs("raftsim: interrupted\n", stderr);
    const int code = raftsim_judge(options->profile, &report->totals, count > 0 ? &failures[0].outcome : NULL);
    campaign_free(campaign);
    return code;
}

/* 0, or the exit code. */
static int find_commit(struct options *options)
{
    char problem[COMMIT_PROBLEM_BYTES];
    if (options->commit[0] == '\0' && !commit_find(".", options->commit, problem)) {
        options->commit[0] = '\0';
        if (!options->seed_git)
            return 0;
        fprintf(stderr, "raftsim: --seed git: %s; --commit HASH names one\n", problem);
        return EXIT_USAGE;
    }
    if (options->seed_git)
        options->seed = commit_seed(options->commit);
    return 0;
}

/* False: errno says why not. */
static bool is_directory(const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return false;
    errno = ENOTDIR;
    return S_ISDIR(status.st_mode);
}

int raftsim_run(struct options *options)
{
    static struct report report;
    if (!is_directory(options->trace_dir) || access(options->trace_dir, W_OK) != 0) {
        fprintf(stderr, "raftsim: --trace-dir %s: %s\n", options->trace_dir, strerror(errno));
        return EXIT_USAGE;
    }
    int code = find_commit(options);
    if (code != 0)
        return code;
    if (!report_begin(&report, options)) {
        fprintf(stderr, "raftsim: --jsonl %s: %s\n", options->jsonl, strerror(errno));
        return EXIT_USAGE;
    }
    raftsim_note_interrupts();
    code = run_campaign(options, &report);
    if (report.jsonl == NULL)
        return code;
    const bool written = !ferror(report.jsonl);
    if ((report.jsonl == stdout ? fflush(stdout) : fclose(report.jsonl)) == 0 && written)
        return code;
    fprintf(stderr, "raftsim: %s: cannot be written\n", options->jsonl);
    return EXIT_INTERNAL;
}

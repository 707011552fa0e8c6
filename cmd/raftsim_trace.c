/* raftsim's commands for traces: replay FILE, trace SEED, and what a failed run leaves. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../sim/trace_command.h"
#include "raftsim.h"

enum { SHRINK_SECONDS = 10 };

static int exit_code_of_trace(enum trace_verdict verdict, enum outcome outcome)
{
    switch (verdict) {
    case VERDICT_LIVED: return (int)exit_code_of(outcome);
    case VERDICT_SEEN: return EXIT_OK;
    case VERDICT_DIFFERENT: return EXIT_DIFFERS;
    case VERDICT_PASSED: return EXIT_PASSED;
    case VERDICT_USAGE: return EXIT_USAGE;
    case VERDICT_INTERNAL: break;
    }
    return EXIT_INTERNAL;
}

int raftsim_replay_file(const struct options *options, struct look *look)
{
    enum outcome outcome = OUTCOME_PASSED;
    const struct trace_command command = {
        .path = options->target,
        .build = build_id(),
        .mode = options->mode,
        .quiet = options->quiet,
        .look = look,
        .watch = raftsim_watch,
    };
    const enum trace_verdict verdict = trace_command_replay(&command, &outcome);
    return exit_code_of_trace(verdict, outcome);
}

int raftsim_trace(const struct options *options)
{
    const char *path = options->output != NULL ? options->output : "/dev/stdout";
    const struct trace_command command = { .path = path, .build = build_id(), .watch = raftsim_watch };
    return exit_code_of_trace(trace_command_record(&command, options->seed, options->profile), OUTCOME_PASSED);
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

struct shrink_watch {
    uint64_t begin_ms;
    uint64_t end_ms;
    uint64_t shown_ms;
    bool quiet;
};

static bool is_over(void *context)
{
    const struct shrink_watch *watch = context;
    return raftsim_interrupted() || now_ms() >= watch->end_ms;
}

static void show_progress(void *context, uint32_t attempts, uint32_t decisions)
{
    struct shrink_watch *watch = context;
    const bool terminal = isatty(STDERR_FILENO) == 1;
    const uint64_t now = now_ms();
    if (watch->quiet || now - watch->shown_ms < (terminal ? 200U : 10000U))
        return;
    watch->shown_ms = now;
    fprintf(stderr,
            "%sraftsim: shrinking: %" PRIu32 " decisions are left, %" PRIu32 " attempts, %" PRIu64 "/s, %" PRIu64
            " s to go at most%s",
            terminal ? "\r\033[K" : "", decisions, attempts,
            attempts * UINT64_C(1000) / u64_max(now - watch->begin_ms, 1), (u64_max(watch->end_ms, now) - now) / 1000,
            terminal ? "" : "\n");
}

/* from: a file, NULL: the seed. */
static int shrink(const struct options *options, const char *from, uint64_t seed, const char *to, uint64_t seconds)
{
    const uint64_t begin_ms = now_ms();
    struct shrink_watch watch = {
        .begin_ms = begin_ms,
        .end_ms = begin_ms + seconds * 1000,
        .shown_ms = begin_ms,
        .quiet = options->quiet,
    };
    const struct shrink_options shrink_options = { .over = is_over, .progress = show_progress, .context = &watch };
    const struct trace_command command = { .path = to, .build = build_id(), .watch = raftsim_watch };
    struct shrink_report report;
    const enum trace_verdict verdict =
        trace_command_shrink(&command, from, seed, options->profile, &shrink_options, &report);
    if (watch.shown_ms != begin_ms && isatty(STDERR_FILENO) == 1)
        fputs("\r\033[K", stderr);
    if (verdict == VERDICT_LIVED)
        fprintf(stderr,
                "  shrunk: %s\n          %" PRIu32 " decisions of %" PRIu32 ", %" PRIu32 " attempts, %" PRIu64
                ".%03" PRIu64 " s%s\n",
                to, report.after, report.before, report.attempts, (now_ms() - begin_ms) / 1000,
                (now_ms() - begin_ms) % 1000,
                raftsim_interrupted() ? ", interrupted"
                : report.finished     ? ""
                                      : ", the time was up");
    return verdict == VERDICT_LIVED && raftsim_interrupted() ? EXIT_INTERRUPTED
                                                             : exit_code_of_trace(verdict, OUTCOME_PASSED);
}

int raftsim_shrink(const struct options *options)
{
    uint64_t seed = 0;
    raftsim_note_interrupts();
    const bool is_seed = raftsim_parse_number(options->target, &seed);
    if (options->output != NULL && !raftsim_can_write("-o", options->output))
        return EXIT_USAGE;
    return shrink(options, is_seed ? NULL : options->target, seed,
                  options->output != NULL ? options->output : "/dev/stdout",
                  options->seconds > 0 ? options->seconds : SHRINK_SECONDS);
}

/* PATH.trace: PATH.small.trace */
static void small_path(const char *path, char *to, size_t bytes)
{
    const size_t stem = strlen(path) - strlen(".trace");
    snprintf(to, bytes, "%.*s.small.trace", (int)stem, path);
}

void raftsim_trace_failure(const struct options *options, const struct campaign_failure *failure, const char *path,
                           bool small)
{
    char to[4096];
    const uint64_t seed = options->seed + failure->number;
    const struct trace_command command = { .path = path, .build = build_id(), .watch = raftsim_watch };
    if (raftsim_interrupted() || trace_command_record(&command, seed, options->profile) != VERDICT_LIVED) {
        fprintf(stderr, "  replay: %s replay %" PRIu64 " --profile %s --log\n", raftsim_program, seed,
                profile_text(options->profile));
        return;
    }
    fprintf(stderr, "  trace:  %s\n  replay: %s replay %s --log\n", path, raftsim_program, path);
    small_path(path, to, sizeof to);
    if (small && !raftsim_interrupted())
        (void)shrink(options, path, seed, to, SHRINK_SECONDS);
}

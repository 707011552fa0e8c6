/* The command "explore" of raftsim: options, progress, report. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../sim/explore.h"
#include "../sim/trace_file.h"
#include "raftsim.h"

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static const char usage_explore[] =
    "raftsim explore [options]: everything that can happen to a small cluster within bounds, each state once\n"
    "\n"
    "  --memory SIZE    at most, such as 500M or 4G, 16M at least (4G)\n"
    "  --states N       stops after so many (no end)\n"
    "  --trace FILE     where the actions that lead to a violation go, for raftsim replay (raftsim-explore.trace)\n"
    "  --json           ends with one JSON object on standard output\n"
    "  --quiet          no progress line\n"
    "\n"
    "Exit codes as of run: 0 also when --states or --depth ended it, 7 when nothing can happen within the bounds.\n"
    "\n"
    "bounds, of the whole cluster; sim/README.md says what they mean:\n"
    "\n";

struct explore_options {
    struct explore_bounds bounds;
    bool json;
    bool quiet;
    const char *trace;
    uint64_t start_ms;
    uint64_t shown_ms;
};

static bool parse_count(const char *text, uint64_t *number)
{
    char *end;
    errno = 0;
    *number = *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : 0;
    return *number != 0 && errno == 0 && *end == '\0';
}

/* What no search can do without. */
#define MEMORY_BYTES_MIN (16ULL << 20)

static bool parse_size(const char *text, uint64_t *bytes)
{
    char *end;
    errno = 0;
    const uint64_t number = text != NULL && *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : 0;
    if (number == 0 || errno != 0)
        return false;
    const uint32_t shift = *end == 'G' ? 30 : *end == 'M' ? 20 : 0;
    *bytes = number << shift;
    return shift != 0 && end[1] == '\0' && *bytes >> shift == number && *bytes >= MEMORY_BYTES_MIN;
}

/* False: no such option. flag: it takes no value. */
static bool explore_option(const char *name, bool *flag)
{
    const char *help;
    const char *known;
    for (uint32_t i = 0; (known = explore_bounds_name(i, &help, flag)) != NULL; i++) {
        if (strcmp(known, name) == 0)
            return true;
    }
    *flag = strcmp(name, "json") == 0 || strcmp(name, "quiet") == 0;
    return *flag || strcmp(name, "memory") == 0 || strcmp(name, "states") == 0 || strcmp(name, "trace") == 0;
}

static int explore_usage(const char *name, const char *value, const char *problem)
{
    fprintf(stderr, "raftsim: --%s%s%s: %s (try raftsim explore --help)\n", name, value != NULL ? " " : "",
            value != NULL ? value : "", problem);
    return EXIT_USAGE;
}

static bool explore_option_set(struct explore_options *options, const char *name, const char *value)
{
    if (strcmp(name, "json") == 0)
        return options->json = true;
    if (strcmp(name, "quiet") == 0)
        return options->quiet = true;
    if (strcmp(name, "memory") == 0)
        return parse_size(value, &options->bounds.memory_bytes);
    if (strcmp(name, "states") == 0)
        return value != NULL && parse_count(value, &options->bounds.states);
    if (strcmp(name, "trace") == 0)
        return (options->trace = value) != NULL;
    return explore_bounds_set(&options->bounds, name, value);
}

static int explore_parse(int argc, char **argv, struct explore_options *options)
{
    const char *help;
    const char *name;
    bool flag;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            fputs(usage_explore, stdout);
            for (uint32_t n = 0; (name = explore_bounds_name(n, &help, &flag)) != NULL; n++)
                printf("  --%s%-*s %s\n", name, 14 - (int)strlen(name), flag ? "" : " N", help);
            return EXIT_OK;
        }
        if (strncmp(argv[i], "--", 2) != 0) {
            fprintf(stderr, "raftsim: %s: unexpected argument (try raftsim explore --help)\n", argv[i]);
            return EXIT_USAGE;
        }
        name = argv[i] + 2;
        char *equals = strchr(argv[i], '=');
        if (equals != NULL)
            *equals = '\0';
        if (!explore_option(name, &flag))
            return explore_usage(name, NULL, "unknown option");
        if (flag && equals != NULL)
            return explore_usage(name, NULL, "takes no value");
        if (!flag && equals == NULL && i + 1 == argc)
            return explore_usage(name, NULL, "its value is missing");
        const char *value = flag ? NULL : equals != NULL ? equals + 1 : argv[++i];
        if (!explore_option_set(options, name, value))
            return explore_usage(name, value,
                                 strcmp(name, "memory") == 0 ? "not a size of 16M at least, such as 500M or 4G"
                                                             : "not a number that it can take");
    }
    const char *problem = explore_bounds_problem(&options->bounds);
    if (problem == NULL)
        return -1;
    fprintf(stderr, "raftsim: explore: %s\n", problem);
    return EXIT_USAGE;
}

static bool explore_progress(void *context, const struct explore_progress *progress)
{
    struct explore_options *options = context;
    const bool terminal = isatty(STDERR_FILENO) == 1;
    const uint64_t spent_ms = now_ms() - options->start_ms;
    if (options->quiet || spent_ms - options->shown_ms < (terminal ? 200U : 10000U))
        return !raftsim_interrupted();
    options->shown_ms = spent_ms;
    fprintf(stderr,
            "%sraftsim: %" PRIu64 " states, %" PRIu64 "/s, depth %" PRIu32 ", frontier %" PRIu64 ", %" PRIu64 " MiB%s",
            terminal ? "\r\033[K" : "", progress->states, progress->states * 1000 / u64_max(spent_ms, 1),
            progress->depth, progress->frontier, progress->memory_bytes >> 20, terminal ? "" : "\n");
    fflush(stderr);
    return !raftsim_interrupted();
}

static int explore_code(const struct explore_result *result)
{
    switch (result->verdict) {
    case EXPLORE_CLEAN:
    case EXPLORE_CUT:
    case EXPLORE_DEPTH: return EXIT_OK;
    case EXPLORE_VIOLATION: return (int)exit_code_of(explore_outcome(result));
    case EXPLORE_MEMORY:
    case EXPLORE_ASYMMETRIC: return EXIT_INTERNAL;
    case EXPLORE_INTERRUPTED: return EXIT_INTERRUPTED;
    }
    return EXIT_INTERNAL;
}

static void explore_print(const struct explore_options *options, const struct explore_result *result)
{
    const struct explore_progress *progress = &result->progress;
    const uint64_t spent_ms = u64_max(now_ms() - options->start_ms, 1);
    const uint64_t rate = progress->states * 1000 / spent_ms;
    if (!options->json) {
        printf("%s: %" PRIu64 " states, %" PRIu64 " transitions, depth %" PRIu32 ", %" PRIu64 " node states, %" PRIu64
               " node steps, %" PRIu64 " cut, %" PRIu64 " MiB, %" PRIu64 ".%03" PRIu64 " s, %" PRIu64 " states/s\n",
               explore_verdict_text(result->verdict), progress->states, progress->transitions, progress->depth,
               progress->node_states, progress->node_steps, progress->cut, progress->memory_bytes >> 20,
               spent_ms / 1000, spent_ms % 1000, rate);
        return;
    }
    printf("{\"verdict\":\"%s\",\"checker\":\"%s\",\"states\":%" PRIu64 ",\"transitions\":%" PRIu64
           ",\"depth\":%" PRIu32 ",\"node_states\":%" PRIu64 ",\"node_steps\":%" PRIu64 ",\"cut\":%" PRIu64
           ",\"memory_bytes\":%" PRIu64,
           explore_verdict_text(result->verdict), result->checker != NULL ? result->checker : "", progress->states,
           progress->transitions, progress->depth, progress->node_states, progress->node_steps, progress->cut,
           progress->memory_bytes);
    printf(",\"seconds\":%" PRIu64 ".%03" PRIu64, spent_ms / 1000, spent_ms % 1000);
    printf(",\"states_per_second\":%" PRIu64 "}\n", rate);
}

static int explore_report_violation(const struct explore_options *options, struct explore *explore,
                                    const struct explore_result *result)
{
    fprintf(stderr, "raftsim: %s after %" PRIu32 " actions: %s\n", result->checker, result->actions, result->text);
    struct trace *trace = explore_trace(explore);
    trace->build = build_id();
    if (!trace_save(trace, options->trace, TRACE_WHOLE))
        return EXIT_INTERNAL;
    fprintf(stderr, "  trace:  %s\n  replay: %s replay %s --log\n", options->trace, raftsim_program, options->trace);
    return 0;
}

int raftsim_explore(int argc, char **argv)
{
    struct explore_options options = { .trace = "raftsim-explore.trace" };
    struct explore_result result;
    explore_bounds_init(&options.bounds);
    int code = explore_parse(argc, argv, &options);
    if (code >= 0)
        return code;
    if (!raftsim_can_write("--trace", options.trace))
        return EXIT_USAGE;
    struct explore *explore = explore_new(&options.bounds);
    if (explore == NULL) {
        fprintf(stderr, "raftsim: no memory\n");
        return EXIT_INTERNAL;
    }
    raftsim_note_interrupts();
    options.start_ms = now_ms();
    explore_run(explore, explore_progress, &options, &result);
    if (!options.quiet && isatty(STDERR_FILENO) == 1)
        fputs("\r\033[K", stderr);
    code = explore_code(&result);
    if (result.verdict == EXPLORE_CLEAN && result.progress.transitions == 0) {
        fprintf(stderr, "raftsim: explore: nothing can happen within these bounds; begin with --timeouts 1, say, or "
                        "--ops 1\n");
        code = EXIT_VACUOUS;
    }
    if (result.verdict == EXPLORE_VIOLATION && explore_report_violation(&options, explore, &result) != 0)
        code = EXIT_INTERNAL;
    explore_print(&options, &result);
    explore_free(explore);
    return code;
}

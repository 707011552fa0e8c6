/* raftsim: lives of whole clusters, from seeds and from scripts. `run` many, `replay` one, `digest` a fixed set,
 * `scenario` the scripted ones.
 *
 * The simulator itself is in sim/; here are options, progress, reports and exit codes. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../core/checksum.h"
#include "../sim/campaign.h"
#include "../sim/coverage.h"
#include "../sim/look.h"
#include "../sim/scenario.h"
#include "../sim/transcript.h"
#include "../sim/world.h"

enum exit_code {
    EXIT_OK = 0,
    EXIT_INTERNAL = 1, /* no memory, no process, no file */
    EXIT_USAGE = 2,
    EXIT_SAFETY = 3,
    EXIT_LINEARIZABILITY = 4,
    EXIT_LIVENESS = 5,
    EXIT_CRASH = 6,
    EXIT_VACUOUS = 7,
    EXIT_INTERRUPTED = 130,
};

#define RAFTSIM_VERSION "0.1"

enum { TRACE_VERSION = 1, RUN_COUNT = 10000, DIGEST_COUNT = 200, SECONDS_MAX = 31536000, HANG_MS = 60000 };

static const char usage[] =
    "raftsim - drives whole clusters of the real core through hostile schedules, one per seed\n"
    "\n"
    "  raftsim run    [options]              many schedules, with all checkers\n"
    "  raftsim replay SEED|FILE [options]    one schedule again, exactly; FILE: a trace file of a failed run\n"
    "  raftsim digest [options]              one digest over a fixed set of schedules, for comparing builds\n"
    "  raftsim scenario [options] FILE...    scripts: a small language over the same cluster, see sim/README.md\n"
    "\n"
    "  -h, --help    this text; after a command: its options\n"
    "  --version\n"
    "\n"
    "exit codes: 0 passed, 1 no memory or file, 2 usage, 3 safety violated, 4 not linearizable, 5 no progress after\n"
    "healing, 6 crash (assertion, signal or hang), 7 vacuous (something enabled never happened), 130 interrupted\n";

static const char usage_run[] =
    "raftsim run [options]: many schedules, with all checkers\n"
    "\n"
    "  --seed S         first seed (1); schedule n has seed S + n\n"
    "  --count N        schedules (10000; with --seconds no limit)\n"
    "  --seconds N      deals schedules for so long, then ends as after the last one\n"
    "  --jobs J         worker processes (all processors)\n"
    "  --profile NAME   mixed (default), timed, untimed, election, storage, disk, quiet, members\n"
    "  --json           ends with one JSON object on standard output\n"
    "  --keep-going     collects all failures instead of stopping at the first\n"
    "  --trace-dir DIR  where trace files of failed schedules go (.)\n"
    "  --quiet          no progress line\n"
    "\n"
    "A campaign of at least 1000 schedules in which an enabled fault, or with the mixed profile any fault, event or\n"
    "checker, never happened fails with code 7; rare ones count from 20000 schedules on, three from 500000.\n";

static const char usage_replay[] =
    "raftsim replay SEED|FILE [options]: one schedule again, with the black-box linearizability search\n"
    "\n"
    "  --profile NAME   of the run that the seed comes from (mixed); a FILE knows its own\n"
    "  --log            one line per event: step, time in ns, who, what, and the rest; see sim/README.md\n"
    "  --until WHERE    shows nothing behind a step (1203) or a time (150ms, 3s), and ends there\n"
    "  --break EXPR     ends with the first step for which that holds: 'leader n2', 'commit>=10', 'crash and n1',\n"
    "                   'term=5 and n1', 'vote? lost'; the words are those of the log, see sim/README.md\n"
    "  --state NODE     the state of a node (n0, n1...) at the end, or where that came earlier\n"
    "  --inputs N       a longer life than the seed's: faults go on for N inputs\n"
    "  --quiet          no parameters, only the result\n"
    "\n"
    "A life that --until or --break ends has no verdict: exit code 0, or 1 when NODE has no state there.\n";

static const char usage_digest[] = "raftsim digest [options]: one digest over a fixed set of schedules\n"
                                   "\n"
                                   "  --count N        schedules (200), seeds from --seed on (1)\n"
                                   "  --profile NAME   mixed by default\n";

static const char usage_scenario[] =
    "raftsim scenario [options] FILE...: lives through each script, with all checkers, and compares its transcript\n"
    "\n"
    "  --bless          writes the transcript into the file, if all expectations hold\n"
    "  --log            one line per event, as of replay\n"
    "\n"
    "Prints a line for each file: ok, blessed or FAILED, and its name. Exit codes: 0 all are as they should be, 3 "
    "some\n"
    "are not, 1 a file cannot be read or written.\n";

struct options {
    uint64_t seed;
    uint64_t count;   /* 0: not given */
    uint64_t seconds; /* 0: as long as it takes */
    uint32_t jobs;
    enum profile profile;
    bool json;
    bool keep_going;
    bool quiet;
    const char *trace_dir;
    struct look_options look;
    uint64_t inputs;    /* 0: as drawn */
    const char *target; /* replay: seed or file */
    bool profile_given;
    bool bless;
    char **files; /* scenario */
    int file_count;
};

static volatile sig_atomic_t interrupted;
static const char *program = "raftsim"; /* as it was called, for commands to copy */
static struct world *current_world;     /* for failed assertions: whose step it was */

static void interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

/* A worker leaves word for its parent; a replay tells the user. */
_Noreturn void core_assert_failed(const char *expression, const char *file, int line)
{
    char text[200];
    snprintf(text, sizeof text, "assertion failed at %s:%d: %s", file, line, expression);
    if (!campaign_report_assertion(text)) {
        fprintf(stderr, "raftsim: %s\n", text);
        if (current_world != NULL)
            fprintf(stderr, "raftsim: seed %" PRIu64 ", step %" PRIu64 ", %" PRIu64 " ns\n",
                    current_world->scene.swarm.seed, current_world->scene.step, current_world->scene.now_ns);
    }
    fflush(stdout);
    _exit(EXIT_CRASH);
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool parse_number(const char *text, uint64_t *number)
{
    char *end;
    errno = 0;
    if (*text < '0' || *text > '9')
        return false;
    *number = strtoull(text, &end, 0);
    return errno == 0 && *end == '\0';
}

static int usage_error(const char *format, const char *what, const char *value)
{
    fprintf(stderr, "raftsim: ");
    if (strcmp(format, "value") == 0)
        fprintf(stderr, "--%s: %s is not a valid value", what, value);
    else
        fprintf(stderr, "%s: %s", what, value);
    fprintf(stderr, " (try raftsim --help)\n");
    return EXIT_USAGE;
}

enum option_key {
    OPTION_SEED = 256,
    OPTION_COUNT,
    OPTION_SECONDS,
    OPTION_JOBS,
    OPTION_PROFILE,
    OPTION_JSON,
    OPTION_KEEP_GOING,
    OPTION_TRACE_DIR,
    OPTION_QUIET,
    OPTION_LOG,
    OPTION_UNTIL,
    OPTION_BREAK,
    OPTION_STATE,
    OPTION_INPUTS,
    OPTION_BLESS,
};

/* One table for all commands; `allowed` lists the keys that the command knows. */
static const struct option option_table[] = {
    { "seed", required_argument, NULL, OPTION_SEED },
    { "count", required_argument, NULL, OPTION_COUNT },
    { "seconds", required_argument, NULL, OPTION_SECONDS },
    { "jobs", required_argument, NULL, OPTION_JOBS },
    { "profile", required_argument, NULL, OPTION_PROFILE },
    { "json", no_argument, NULL, OPTION_JSON },
    { "keep-going", no_argument, NULL, OPTION_KEEP_GOING },
    { "trace-dir", required_argument, NULL, OPTION_TRACE_DIR },
    { "quiet", no_argument, NULL, OPTION_QUIET },
    { "log", no_argument, NULL, OPTION_LOG },
    { "verbose", no_argument, NULL, OPTION_LOG }, /* its name of old */
    { "until", required_argument, NULL, OPTION_UNTIL },
    { "break", required_argument, NULL, OPTION_BREAK },
    { "state", required_argument, NULL, OPTION_STATE },
    { "inputs", required_argument, NULL, OPTION_INPUTS },
    { "bless", no_argument, NULL, OPTION_BLESS },
    { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 },
};

static bool option_set(struct options *options, int key, const char *value)
{
    uint64_t jobs;
    switch (key) {
    case OPTION_SEED: return parse_number(value, &options->seed);
    case OPTION_COUNT: return parse_number(value, &options->count) && options->count > 0;
    case OPTION_SECONDS:
        return parse_number(value, &options->seconds) && options->seconds > 0 && options->seconds <= SECONDS_MAX;
    case OPTION_JOBS:
        if (!parse_number(value, &jobs) || jobs == 0 || jobs > CAMPAIGN_JOBS_MAX)
            return false;
        options->jobs = (uint32_t)jobs;
        return true;
    case OPTION_PROFILE: options->profile_given = true; return profile_parse(value, &options->profile);
    case OPTION_JSON: return options->json = true;
    case OPTION_KEEP_GOING: return options->keep_going = true;
    case OPTION_TRACE_DIR: options->trace_dir = value; return true;
    case OPTION_QUIET: return options->quiet = true;
    case OPTION_LOG: return options->look.log = true;
    case OPTION_UNTIL: options->look.until = value; return true;
    case OPTION_BREAK: options->look.break_at = value; return true;
    case OPTION_STATE: options->look.state = value; return true;
    case OPTION_INPUTS: return parse_number(value, &options->inputs) && options->inputs > 0;
    case OPTION_BLESS: return options->bless = true;
    default: return false;
    }
}

/* What follows the options of a command. */
enum wanted { WANTS_NOTHING, WANTS_TARGET, WANTS_FILES };

/* -1: go on; otherwise the exit code. */
static int parse_options(int argc, char **argv, const char *help, const char *allowed, enum wanted wanted,
                         struct options *options)
{
    int key;
    int slot = -1;
    opterr = 0;
    optind = 1;
    while ((key = getopt_long(argc, argv, "+h", option_table, &slot)) != -1) {
        if (key == 'h') {
            fputs(help, stdout);
            return EXIT_OK;
        }
        if (key == '?' || slot < 0)
            return usage_error("", argv[optind - 1], "unknown option, or its value is missing");
        char name[32];
        snprintf(name, sizeof name, " %s ", option_table[slot].name);
        if (strstr(allowed, name) == NULL)
            return usage_error("", argv[optind - 1], "not an option of this command");
        if (!option_set(options, key, optarg))
            return usage_error("value", option_table[slot].name, optarg != NULL ? optarg : "nothing");
        slot = -1;
    }
    if (wanted == WANTS_FILES) {
        options->files = argv + optind;
        options->file_count = argc - optind;
        return optind < argc ? -1 : usage_error("", "scenario", "needs a file");
    }
    if (wanted == WANTS_TARGET && optind < argc) {
        options->target = argv[optind++];
        if (optind < argc) /* options may follow it */
            return parse_options(argc - optind + 1, argv + optind - 1, help, allowed, WANTS_NOTHING, options);
        return -1;
    }
    if (wanted == WANTS_TARGET)
        return usage_error("", "replay", "needs a seed or a trace file");
    if (optind < argc)
        return usage_error("", argv[optind], "unexpected argument");
    return -1;
}

static enum exit_code exit_code_of(enum outcome outcome)
{
    switch (outcome) {
    case OUTCOME_PASSED: return EXIT_OK;
    case OUTCOME_UNSAFE: return EXIT_SAFETY;
    case OUTCOME_NOT_LINEARIZABLE: return EXIT_LINEARIZABILITY;
    case OUTCOME_STUCK: return EXIT_LIVENESS;
    case OUTCOME_CRASHED: return EXIT_CRASH;
    }
    return EXIT_INTERNAL;
}

/* Which build this is: the hash of the program itself. */
static uint64_t build_id(void)
{
    FILE *file = fopen("/proc/self/exe", "rb");
    uint8_t bytes[65536];
    uint64_t id = 0;
    size_t count;
    if (file == NULL)
        return 0;
    while ((count = fread(bytes, 1, sizeof bytes, file)) > 0)
        id = checksum64(bytes, count, id);
    fclose(file);
    return id;
}

static void write_trace(const struct options *options, const struct campaign_failure *failure)
{
    char path[4096];
    const uint64_t seed = options->seed + failure->number;
    snprintf(path, sizeof path, "%s/raftsim-%s-%" PRIu64 ".trace", options->trace_dir, profile_text(options->profile),
             seed);
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        fprintf(stderr, "raftsim: %s: %s\n", path, strerror(errno));
        return;
    }
    fprintf(file, "raftsim-trace %d\n", TRACE_VERSION);
    fprintf(file, "build %016" PRIx64 "\n", build_id());
    fprintf(file, "seed %" PRIu64 "\n", seed);
    fprintf(file, "profile %s\n", profile_text(options->profile));
    fprintf(file, "outcome %s\n", outcome_text(failure->outcome));
    fprintf(file, "checker %s\n", failure->checker);
    fprintf(file, "step %" PRIu64 "\n", failure->step);
    fprintf(file, "digest %016" PRIx64 "\n", failure->digest);
    fprintf(file, "text %s\n", failure->text);
    const bool written = !ferror(file);
    if (fclose(file) != 0 || !written)
        fprintf(stderr, "raftsim: %s: cannot be written\n", path);
    fprintf(stderr, "  trace:  %s\n  replay: %s replay %s --log\n", path, program, path);
}

static void report_failure(const struct options *options, const struct campaign_failure *failure)
{
    fprintf(stderr, "raftsim: seed %" PRIu64 ": %s: %s", options->seed + failure->number,
            outcome_text(failure->outcome), failure->checker);
    if (failure->step > 0)
        fprintf(stderr, " at step %" PRIu64, failure->step);
    if (failure->node != UINT32_MAX)
        fprintf(stderr, ", node n%" PRIu32, failure->node);
    fprintf(stderr, "\n  %s\n", failure->text);
    write_trace(options, failure);
}

static void print_progress(const struct options *options, const struct campaign_progress *progress, uint64_t spent_ms)
{
    static uint64_t last_ms;
    const bool terminal = isatty(STDERR_FILENO) == 1;
    const bool last = progress->over;
    if (options->quiet || (!last && spent_ms - last_ms < (terminal ? 200U : 10000U)))
        return;
    last_ms = spent_ms;
    const uint64_t rate = spent_ms > 0 ? progress->done * 1000 / spent_ms : 0;
    uint64_t left_s = UINT64_MAX;
    if (options->seconds > 0)
        left_s = u64_max(options->seconds, spent_ms / 1000) - spent_ms / 1000;
    if (options->count != UINT64_MAX && rate > 0)
        left_s = u64_min(left_s, (options->count - u64_min(options->count, progress->done)) / rate);
    fprintf(stderr, "%sraftsim: %" PRIu64, terminal ? "\r\033[K" : "", progress->done);
    if (options->count != UINT64_MAX)
        fprintf(stderr, "/%" PRIu64, options->count);
    fprintf(stderr, " schedules, %" PRIu64 "/s, %" PRIu64 " failure%s", rate, progress->failures,
            progress->failures == 1 ? "" : "s");
    if (!last && left_s != UINT64_MAX)
        fprintf(stderr, ", %" PRIu64 " s to go", left_s);
    fputs(terminal && !last ? "" : "\n", stderr);
    fflush(stderr);
}

static void print_counters(const char *name, const uint64_t *counts, uint32_t kinds, const char *(*text)(uint32_t))
{
    printf(",\"%s\":{", name);
    for (uint32_t kind = 0; kind < kinds; kind++)
        printf("%s\"%s\":%" PRIu64, kind > 0 ? "," : "", text(kind), counts[kind]);
    putchar('}');
}

static const char *text_of_fault(uint32_t kind) { return fault_kind_text((enum fault_kind)kind); }
static const char *text_of_check(uint32_t kind) { return check_kind_text((enum check_kind)kind); }
static const char *text_of_demand(uint32_t kind)
{
    return demand_text((enum liveness_world)(kind / LIVENESS_DEMANDS), (enum liveness_demand)(kind % LIVENESS_DEMANDS));
}
static const char *text_of_event(uint32_t kind) { return event_kind_text((enum event_kind)kind); }
static const char *text_of_read(uint32_t kind) { return read_kind_text((enum read_kind)kind); }
static const char *text_of_reply(uint32_t kind) { return reply_status_text((enum reply_status)kind); }
static const char *text_of_verdict(uint32_t kind) { return frame_verdict_text((enum frame_verdict)kind); }

/* Decimal fractions without floating point: value / scale with two digits. */
static void print_ratio(const char *name, uint64_t value, uint64_t scale)
{
    const uint64_t hundredths = scale > 0 ? value * 100 / scale : 0;
    printf(",\"%s\":%" PRIu64 ".%02" PRIu64, name, hundredths / 100, hundredths % 100);
}

static void print_json(const struct options *options, const struct coverage *sum,
                       const struct campaign_progress *progress, uint64_t spent_ms)
{
    const uint64_t schedules = progress->done;
    printf("{\"schedules\":%" PRIu64 ",\"failures\":%" PRIu64, schedules, progress->failures);
    printf(",\"seed\":%" PRIu64 ",\"profile\":\"%s\",\"jobs\":%" PRIu32, options->seed, profile_text(options->profile),
           options->jobs);
    print_ratio("seconds", spent_ms, 1000);
    print_ratio("schedules_per_second", schedules * 1000, spent_ms > 0 ? spent_ms : 1);
    printf(",\"inputs\":%" PRIu64, sum->inputs);
    print_ratio("inputs_mean", sum->inputs, sum->schedules);
    print_ratio("simulated_seconds", sum->simulated_ns / 1000000, 1000);
    printf(",\"client_ops\":%" PRIu64 ",\"client_ops_answered\":%" PRIu64, sum->calls, sum->calls_answered);
    print_ratio("client_ops_mean", sum->calls, sum->schedules);
    print_ratio("nodes_mean", sum->nodes, sum->schedules);
    printf(",\"untimed\":%" PRIu64 ",\"searched\":%" PRIu64 ",\"dropped\":%" PRIu64, sum->schedules_untimed,
           sum->schedules_searched, sum->dropped);
    print_counters("faults", sum->fired, FAULT_KINDS, text_of_fault);
    print_counters("faults_enabled", sum->enabled, FAULT_KINDS, text_of_fault);
    print_counters("checks", sum->checks, CHECK_KINDS, text_of_check);
    print_counters("liveness", sum->demands[0], LIVENESS_WORLDS * LIVENESS_DEMANDS, text_of_demand);
    print_counters("events", sum->events, EVENT_KINDS, text_of_event);
    print_counters("reads", sum->reads, READ_KINDS, text_of_read);
    print_counters("replies", sum->replies, REPLY_STATUSES, text_of_reply);
    print_counters("progress", sum->progress, PROGRESS_STATES, progress_text);
    print_counters("refusals", sum->refusals, FRAME_VERDICTS, text_of_verdict);
    puts("}");
}

static int finish_run(const struct options *options, struct campaign *campaign,
                      const struct campaign_progress *progress, uint64_t spent_ms)
{
    const struct campaign_failure *failures;
    struct coverage sum;
    const uint32_t count = campaign_failures(campaign, &failures);
    campaign_coverage(campaign, &sum);
    for (uint32_t i = 0; i < (options->keep_going ? count : u32_min(count, 1)); i++)
        report_failure(options, &failures[i]);
    const char *gap = coverage_gap(&sum, options->profile == PROFILE_MIXED);
    if (options->json)
        print_json(options, &sum, progress, spent_ms);
    else
        printf("%" PRIu64 " schedule%s, %" PRIu64 " failure%s, %" PRIu64 " inputs, %" PRIu64
               " client operations, %" PRIu64 " simulated seconds in %" PRIu64 ".%03" PRIu64 " s\n",
               progress->done, progress->done == 1 ? "" : "s", progress->failures, progress->failures == 1 ? "" : "s",
               sum.inputs, sum.calls, sum.simulated_ns / 1000000000, spent_ms / 1000, spent_ms % 1000);
    if (count > 0)
        return (int)exit_code_of(failures[0].outcome);
    if (interrupted)
        return EXIT_INTERRUPTED;
    if (gap == NULL)
        return EXIT_OK;
    fprintf(stderr, "raftsim: vacuous: in %" PRIu64 " schedules \"%s\" never happened\n", sum.schedules, gap);
    return EXIT_VACUOUS;
}

static int run(const struct options *options)
{
    const struct campaign_options campaign_options = {
        .seed = options->seed,
        .count = options->count,
        .jobs = options->jobs,
        .profile = options->profile,
        .keep_going = options->keep_going,
        .hang_ms = HANG_MS,
    };
    if (access(options->trace_dir, W_OK) != 0) {
        fprintf(stderr, "raftsim: --trace-dir %s: %s\n", options->trace_dir, strerror(errno));
        return EXIT_USAGE;
    }
    const struct sigaction action = { .sa_handler = interrupt };
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    const uint64_t start_ms = now_ms();
    struct campaign *campaign = campaign_start(&campaign_options);
    if (campaign == NULL) {
        fprintf(stderr, "raftsim: cannot start workers: %s\n", strerror(errno));
        return EXIT_INTERNAL;
    }
    struct campaign_progress progress;
    for (;;) {
        campaign_poll(campaign, now_ms(), &progress);
        if (interrupted || (options->seconds > 0 && now_ms() - start_ms >= options->seconds * 1000))
            campaign_stop(campaign);
        print_progress(options, &progress, now_ms() - start_ms);
        if (progress.over)
            break;
        nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
    }
    const int code = finish_run(options, campaign, &progress, now_ms() - start_ms);
    campaign_free(campaign);
    return code;
}

/* What a trace file says of the run that wrote it. */
struct trace_origin {
    uint64_t build; /* 0: not from a file */
    char outcome[64];
    char checker[64];
};

/* Reads seed, profile and origin from a trace file; 0, or the exit code. */
static int read_trace(struct options *options, struct trace_origin *origin)
{
    char line[512];
    char word[64];
    int version = 0;
    bool seed = false;
    FILE *file = fopen(options->target, "r");
    if (file == NULL) {
        fprintf(stderr, "raftsim: %s: %s\n", options->target, strerror(errno));
        return EXIT_USAGE;
    }
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "seed %" SCNu64, &options->seed) == 1)
            seed = true;
        if (sscanf(line, "build %" SCNx64, &origin->build) == 1
            || sscanf(line, "outcome %63[^\n]", origin->outcome) == 1
            || sscanf(line, "checker %63[^\n]", origin->checker) == 1)
            continue;
        if (sscanf(line, "profile %63s", word) == 1 && !profile_parse(word, &options->profile))
            seed = false;
        if (sscanf(line, "raftsim-trace %d", &version) == 1 && version != TRACE_VERSION)
            break;
    }
    fclose(file);
    if (seed && version == TRACE_VERSION)
        return 0;
    fprintf(stderr, "raftsim: %s: not a trace file of version %d\n", options->target, TRACE_VERSION);
    return EXIT_USAGE;
}

/* Another build may live the same seed otherwise: silence would look like a failure that went away. */
static void compare_builds(const struct trace_origin *origin, const char *outcome)
{
    const uint64_t build = build_id();
    if (origin->build != 0 && origin->build != build)
        printf("the trace is of build %016" PRIx64 ", which failed with %s: %s; this build %016" PRIx64 ": %s\n",
               origin->build, origin->outcome, origin->checker, build, outcome);
}

/* False: an option is wrong, and the user knows. */
static bool look_start(struct look *look, const struct options *options)
{
    char error[LOOK_ERROR_BYTES];
    struct look_options look_options = options->look;
    look_options.out = stdout;
    if (look_begin(look, &look_options, error))
        return true;
    fprintf(stderr, "raftsim: %s\n", error);
    return false;
}

static int replay(struct options *options)
{
    struct trace_origin origin = { .build = 0 };
    if (!parse_number(options->target, &options->seed)) {
        const int code = read_trace(options, &origin);
        if (code != 0)
            return code;
    }
    struct world *world = world_new();
    struct world_result result;
    static struct look look;
    if (!look_start(&look, options))
        return EXIT_USAGE;
    const struct world_options world_options = {
        .seed = options->seed,
        .profile = options->profile,
        .search = true,
        .observer = look_observer(&look),
        .inputs_max = options->inputs,
    };
    current_world = world;
    if (world == NULL || !world_run(world, &world_options, &result)) {
        fprintf(stderr, "raftsim: out of memory\n");
        return EXIT_INTERNAL;
    }
    const bool shown = look_end(&look);
    if (look_stopped(&look)) {
        world_free(world);
        return shown ? EXIT_OK : EXIT_INTERNAL;
    }
    if (!options->look.log && !options->quiet)
        swarm_print(&world->scene.swarm, stdout);
    if (!options->quiet)
        transcript_nodes(world, stdout);
    const enum outcome outcome = outcome_of(result.failure);
    printf("seed %" PRIu64 ": %s after %" PRIu64 " steps, %" PRIu64 " calls, %" PRIu64 " ns; digest %016" PRIx64 "\n",
           options->seed, outcome_text(outcome), result.steps, world->scene.coverage.calls, world->scene.now_ns,
           result.digest);
    if (result.failure != NULL)
        printf("%s at step %" PRIu64 ": %s\n", check_kind_text(result.failure->kind), result.failure->step,
               result.failure->text);
    compare_builds(&origin, outcome_text(outcome));
    world_free(world);
    return (int)exit_code_of(outcome);
}

static int digest(const struct options *options)
{
    struct world *world = world_new();
    uint64_t sum = 0;
    current_world = world;
    for (uint64_t n = 0; n < options->count; n++) {
        const struct world_options world_options = {
            .seed = options->seed + n,
            .profile = options->profile,
            .deep = true,
        };
        struct world_result result;
        if (world == NULL || !world_run(world, &world_options, &result)) {
            fprintf(stderr, "raftsim: out of memory\n");
            return EXIT_INTERNAL;
        }
        sum = checksum64(&result.digest, sizeof result.digest, sum);
    }
    printf("%016" PRIx64 "\n", sum);
    world_free(world);
    return EXIT_OK;
}

/* As tests/run wants them: "ok NAME". */
static void print_scenario(const char *path, enum scenario_verdict verdict)
{
    const char *name = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
    const char *end = strstr(name, ".scenario");
    const int bytes = end != NULL ? (int)(end - name) : (int)strlen(name);
    const char *word = verdict == SCENARIO_PASSED ? "ok" : verdict == SCENARIO_BLESSED ? "blessed" : "FAILED";
    printf("%s %.*s\n", word, bytes, name);
}

static int scenarios(const struct options *options)
{
    struct scenario *scenario = scenario_new();
    static struct look look;
    int code = EXIT_OK;
    if (!look_start(&look, options))
        return EXIT_USAGE;
    if (scenario == NULL) {
        fprintf(stderr, "raftsim: no memory\n");
        return EXIT_INTERNAL;
    }
    for (int i = 0; i < options->file_count; i++) {
        const enum scenario_verdict verdict =
            scenario_file(scenario, options->files[i], options->bless, look_observer(&look));
        print_scenario(options->files[i], verdict);
        if (verdict == SCENARIO_NO_FILE)
            code = EXIT_INTERNAL;
        else if (verdict == SCENARIO_FAILED && code == EXIT_OK)
            code = EXIT_SAFETY;
    }
    scenario_free(scenario);
    return code;
}

int main(int argc, char **argv)
{
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    struct options options = { .seed = 1, .trace_dir = "." };
    if (argc > 0)
        program = argv[0];
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts("raftsim " RAFTSIM_VERSION);
        return EXIT_OK;
    }
    options.jobs = processors > 0 ? u32_min((uint32_t)processors, CAMPAIGN_JOBS_MAX) : 1;
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        fputs(usage, argc < 2 ? stderr : stdout);
        return argc < 2 ? EXIT_USAGE : EXIT_OK;
    }
    int code;
    if (strcmp(argv[1], "run") == 0) {
        code =
            parse_options(argc - 1, argv + 1, usage_run,
                          " seed count seconds jobs profile json keep-going trace-dir quiet ", WANTS_NOTHING, &options);
        if (options.count == 0)
            options.count = options.seconds > 0 ? UINT64_MAX : RUN_COUNT;
        return code >= 0 ? code : run(&options);
    }
    if (strcmp(argv[1], "replay") == 0) {
        code = parse_options(argc - 1, argv + 1, usage_replay, " profile log verbose until break state inputs quiet ",
                             WANTS_TARGET, &options);
        return code >= 0 ? code : replay(&options);
    }
    if (strcmp(argv[1], "digest") == 0) {
        options.count = DIGEST_COUNT;
        code = parse_options(argc - 1, argv + 1, usage_digest, " seed count profile ", WANTS_NOTHING, &options);
        return code >= 0 ? code : digest(&options);
    }
    if (strcmp(argv[1], "scenario") == 0) {
        code = parse_options(argc - 1, argv + 1, usage_scenario, " bless log verbose ", WANTS_FILES, &options);
        return code >= 0 ? code : scenarios(&options);
    }
    return usage_error("", argv[1], "unknown command");
}

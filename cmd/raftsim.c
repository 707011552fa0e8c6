/* raftsim: lives of whole clusters, from seeds and from scripts. `run` many, `replay` one, `merge` the results of runs,
 * `digest` a fixed set, `scenario` the scripted ones, `explore` everything within bounds.
 *
 * The simulator itself is in sim/; here are options, progress, reports and exit codes. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../core/checksum.h"
#include "../sim/explore.h"
#include "../sim/playback.h"
#include "../sim/scenario.h"
#include "../sim/trace_run.h"
#include "../sim/transcript.h"
#include "../sim/trap.h"
#include "../sim/world.h"
#include "output.h"
#include "raftsim.h"

#define RAFTSIM_VERSION "0.1"

#define JOBS_MAX_TEXT "64"
STATIC_ASSERT(CAMPAIGN_JOBS_MAX == 64, "JOBS_MAX_TEXT says so");

enum { RUN_COUNT = 10000, DIGEST_COUNT = 200, BENCH_COUNT = 5000 };

static const char usage[] =
    "raftsim - drives whole clusters of the real core through hostile schedules, one per seed\n"
    "\n"
    "  raftsim run    [options]              many schedules, with all checkers\n"
    "  raftsim replay SEED|FILE [options]    one schedule again, exactly; FILE: a trace, see traces/README.md, or\n"
    "                                        a recording of a real node (raftd --record)\n"
    "  raftsim shrink SEED|FILE [options]    makes a failing schedule small\n"
    "  raftsim trace  SEED [options]         writes a trace: all that the schedule decides\n"
    "  raftsim merge  [options] FILE...      adds up what runs wrote with --jsonl, and judges it as one run\n"
    "  raftsim digest [options]              one digest over a fixed set of schedules, for comparing builds\n"
    "  raftsim bench  [options]              how fast schedules are, and where the time goes\n"
    "  raftsim scenario [options] FILE...    scripts: a small language over the same cluster, see sim/README.md\n"
    "  raftsim explore [options]             everything that can happen to a small cluster within bounds\n"
    "\n"
    "  -h, --help    this text; after a command: its options\n"
    "  --version\n"
    "\n"
    "exit codes: 0 passed, 1 no memory or file, 2 usage, 3 safety violated, 4 not linearizable, 5 no progress after\n"
    "healing, 6 crash (assertion, signal or hang), 7 vacuous (something enabled never happened), 8 not what was\n"
    "recorded, or not what a trace says, 9 what was to be shrunk passes, 130 interrupted\n";

static const char usage_run[] =
    "raftsim run [options]: many schedules, with all checkers\n"
    "\n"
    "  --seed S         first seed (1); schedule n has seed S + n. git: S from the commit of the work tree\n"
    "  --count N        schedules of all shards (10000; with --for no limit)\n"
    "  --for TIME       90s, 10m, 2h: deals schedules for so long, then ends as after the last one\n"
    "  --shard I/N      only the schedules n with n mod N = I, from 0; the others are run elsewhere\n"
    "  --jobs J         worker processes (all processors)\n"
    "  --profile NAME   mixed (default), timed, untimed, election, storage, disk, quiet, members, pct,\n"
    "                   plot, corpus, fork\n"
    "  --json           ends with one JSON object on standard output\n"
    "  --jsonl FILE     JSON lines: the run, each failure, totals now and then and at the end; for merge. -: on\n"
    "                   standard output\n"
    "  --commit HASH    which commit this is, all digits of it (found in .git)\n"
    "  --keep-going     collects all failures instead of stopping at the first\n"
    "  --trace-dir DIR  where trace files of failed schedules go (.)\n"
    "  --no-shrink      does not make the trace of a failure small; otherwise of failures that are alike the first\n"
    "                   one is, in ten seconds at most\n"
    "  --hang TIME      a schedule that takes longer has no end, and is killed (1m)\n"
    "  --quiet          no progress line\n"
    "\n"
    "A campaign of at least 1000 schedules in which an enabled fault, or with the mixed profile any fault, event or\n"
    "checker, never happened fails with code 7; rare ones count from 20000 schedules on, six from 500000.\n";

static const char usage_merge[] =
    "raftsim merge [options] FILE...: adds up what runs wrote with --jsonl, and judges it as one run\n"
    "\n"
    "  --json           one JSON object on standard output\n"
    "  --html OUT       a page of its own: rates, failures, coverage, counters, history over commits\n"
    "\n"
    "Runs of one commit must be of one build and one profile, and may have no seed in common. With several commits, "
    "in\n"
    "the order of the files, the last one is judged. Exit codes as of run; 1 also when shards are missing.\n";

static const char usage_replay[] =
    "raftsim replay SEED|FILE [options]: one schedule again, with the black-box linearizability search\n"
    "\n"
    "  --profile NAME   of the run that the seed comes from (mixed); a FILE knows its own\n"
    "  --strict         of a FILE: every step must have the digest that it says; the first difference is named\n"
    "  --lenient        of a FILE: decisions that do not apply to this build are skipped and counted\n"
    "  --log            one line per event: step, time in ns, who, what, and the rest; see sim/README.md\n"
    "  --until WHERE    shows nothing behind a step (1203) or a time (150ms, 3s), and ends there\n"
    "  --break EXPR     ends with the first step for which that holds: 'leader n2', 'commit>=10', 'crash and n1',\n"
    "                   'term=5 and n1', 'vote? lost'; the words are those of the log, see sim/README.md\n"
    "  --state NODE     the state of a node (n0, n1...) at the end, or where that came earlier\n"
    "  --html FILE      all of it as one page for a browser: lanes, messages, disks, states; step back and forth\n"
    "  --inputs N       a longer life than the seed's: faults go on for N inputs\n"
    "  --quiet          no parameters, only the result\n"
    "  --json           of a recording: the result as one JSON object\n"
    "\n"
    "Without --strict or --lenient, a trace of this very build is replayed strictly, any other leniently.\n"
    "A life that --until or --break ends has no verdict: exit code 0, or 1 when NODE has no state there.\n"
    "A recording of a real node is stepped through the same core: exit code 0 when all of its outputs are those that\n"
    "the node had, 8 at the first one that is not, 1 when the file is damaged: then the rest is stepped through from\n"
    "the next anchor on. Where it ends with nothing intact behind that, it is whole. The node is n0.\n";

static const char usage_trace[] = "raftsim trace SEED [options]: writes down all that the schedule decides\n"
                                  "\n"
                                  "  --profile NAME   mixed by default\n"
                                  "  -o FILE          where to (standard output)\n";

static const char usage_shrink[] =
    "raftsim shrink SEED|FILE [options]: makes a failing trace small, with the same failure\n"
    "\n"
    "  --profile NAME   of the run that the seed comes from (mixed)\n"
    "  --for TIME       at most so long (10s); when interrupted, it writes how far it got\n"
    "  --quiet          no progress line\n"
    "  -o FILE          where to (standard output)\n";

static const char usage_digest[] = "raftsim digest [options]: one digest over a fixed set of schedules\n"
                                   "\n"
                                   "  --count N        schedules (200), seeds from --seed on (1)\n"
                                   "  --profile NAME   mixed by default\n";

static const char usage_bench[] =
    "raftsim bench [options]: how fast schedules are on one core, and where the time goes\n"
    "\n"
    "  --count N        schedules (5000), seeds from --seed on (1); each is lived twice, once with a clock in it\n"
    "  --profile NAME   mixed by default\n"
    "  --json           one JSON object, times in ns of processor time\n";

static const char usage_scenario[] =
    "raftsim scenario [options] FILE...: lives through each script, with all checkers, and compares its transcript\n"
    "\n"
    "  --bless          writes the transcript into the file, if all expectations hold\n"
    "  --log            one line per event, as of replay\n"
    "  --html FILE      a page, as of replay, of one script\n"
    "\n"
    "Prints a line for each file: ok, blessed or FAILED, and its name. Exit codes: 0 all are as they should be, 3 "
    "some\n"
    "are not, 1 a file cannot be read or written.\n";

const char *raftsim_program = "raftsim";
static struct world *current_world; /* for failed assertions: whose step it was */
static const struct playback_view *current_playback;

void raftsim_watch(struct world *world) { current_world = world; }

/* A worker leaves word for its parent; a replay tells the user. */
_Noreturn void core_assert_failed(const char *expression, const char *file, int line)
{
    trap_assertion(expression, file);
    char text[200];
    snprintf(text, sizeof text, "assertion failed at %s:%d: %s", file, line, expression);
    explore_assertion_failed(text);
    if (!campaign_report_assertion(text)) {
        fprintf(stderr, "raftsim: %s\n", text);
        if (current_world != NULL)
            fprintf(stderr, "raftsim: seed %" PRIu64 ", step %" PRIu64 ", %" PRIu64 " ns\n",
                    current_world->scene.swarm.seed, current_world->scene.step, current_world->scene.now_ns);
        if (current_playback != NULL)
            fprintf(stderr, "raftsim: step %" PRIu64 " of the recorded life, %" PRIu64 " ns\n", current_playback->step,
                    current_playback->now_ns);
    }
    fflush(stdout);
    _exit(EXIT_CRASH);
}

enum exit_code exit_code_of(enum outcome outcome)
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

static volatile sig_atomic_t interrupted;

/* The second time it ends the process. */
static void interrupt(int signal_number)
{
    interrupted = 1;
    signal(signal_number, SIG_DFL);
}

void raftsim_note_interrupts(void)
{
    const struct sigaction action = { .sa_handler = interrupt, .sa_flags = SA_RESTART };
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool raftsim_interrupted(void) { return interrupted != 0; }

bool raftsim_can_write(const char *option, const char *path)
{
    char directory[4096];
    bool can = access(path, F_OK) == 0 && access(path, W_OK) == 0;
    if (!can && access(path, F_OK) != 0) {
        const int bytes = snprintf(directory, sizeof directory, "%s", path);
        const bool fits = bytes >= 0 && (size_t)bytes < sizeof directory;
        errno = ENAMETOOLONG;
        can = fits && access(dirname(directory), W_OK) == 0;
    }
    if (!can)
        fprintf(stderr, "raftsim: %s %s: %s\n", option, path, strerror(errno));
    return can;
}

uint64_t build_id(void)
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

bool raftsim_parse_number(const char *text, uint64_t *number)
{
    char *end;
    errno = 0;
    if (*text < '0' || *text > '9')
        return false;
    *number = strtoull(text, &end, 0);
    return errno == 0 && *end == '\0';
}

/* "90s", "10m", "2h" in seconds. */
static bool parse_time(const char *text, uint64_t *seconds)
{
    char unit;
    char rest;
    uint64_t number;
    if (*text < '0' || *text > '9' || sscanf(text, "%" SCNu64 "%c%c", &number, &unit, &rest) != 2
        || number > SECONDS_MAX)
        return false;
    *seconds = number * (unit == 'h' ? 3600 : unit == 'm' ? 60 : 1);
    return (unit == 'h' || unit == 'm' || unit == 's') && *seconds > 0 && *seconds <= SECONDS_MAX;
}

/* "I/N". */
static bool parse_shard(const char *text, uint64_t *shard, uint64_t *shards)
{
    char rest;
    return *text >= '0' && *text <= '9' && sscanf(text, "%" SCNu64 "/%" SCNu64 "%c", shard, shards, &rest) == 2
           && *shard < *shards && *shards <= RESULTS_SHARDS_MAX;
}

static const char *command_name; /* NULL: not known yet */

static int usage_error(const char *what, const char *problem)
{
    fprintf(stderr, "raftsim: %s: %s (try raftsim %s%s--help)\n", what, problem,
            command_name != NULL ? command_name : "", command_name != NULL ? " " : "");
    return EXIT_USAGE;
}

enum option_key {
    OPTION_SEED = 256,
    OPTION_COUNT,
    OPTION_FOR,
    OPTION_SHARD,
    OPTION_JSONL,
    OPTION_COMMIT,
    OPTION_HTML,
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
    OPTION_STRICT,
    OPTION_LENIENT,
    OPTION_NO_SHRINK,
    OPTION_HANG,
};

/* One table for all commands; `allowed` lists the keys that the command knows. */
static const struct option option_table[] = {
    { "seed", required_argument, NULL, OPTION_SEED },
    { "count", required_argument, NULL, OPTION_COUNT },
    { "for", required_argument, NULL, OPTION_FOR },
    { "shard", required_argument, NULL, OPTION_SHARD },
    { "jsonl", required_argument, NULL, OPTION_JSONL },
    { "commit", required_argument, NULL, OPTION_COMMIT },
    { "html", required_argument, NULL, OPTION_HTML },
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
    { "strict", no_argument, NULL, OPTION_STRICT },
    { "lenient", no_argument, NULL, OPTION_LENIENT },
    { "no-shrink", no_argument, NULL, OPTION_NO_SHRINK },
    { "hang", required_argument, NULL, OPTION_HANG },
    { "output", required_argument, NULL, 'o' },
    { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 },
};

static bool option_set(struct options *options, int key, const char *value)
{
    uint64_t jobs;
    switch (key) {
    case OPTION_SEED:
        options->seed_git = strcmp(value, "git") == 0;
        return options->seed_git || raftsim_parse_number(value, &options->seed);
    case OPTION_COUNT: return raftsim_parse_number(value, &options->count) && options->count > 0;
    case OPTION_FOR: return parse_time(value, &options->seconds);
    case OPTION_SHARD: return parse_shard(value, &options->shard, &options->shards);
    case OPTION_JSONL: options->jsonl = value; return true;
    case OPTION_HTML: options->html = value; return true;
    case OPTION_COMMIT: snprintf(options->commit, sizeof options->commit, "%.64s", value); return commit_valid(value);
    case OPTION_JOBS:
        if (!raftsim_parse_number(value, &jobs) || jobs == 0 || jobs > CAMPAIGN_JOBS_MAX)
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
    case OPTION_INPUTS: return raftsim_parse_number(value, &options->inputs) && options->inputs > 0;
    case OPTION_BLESS: return options->bless = true;
    case OPTION_STRICT: options->mode = MODE_STRICT; return true;
    case OPTION_HANG: return parse_time(value, &options->hang_seconds);
    case OPTION_NO_SHRINK: return options->no_shrink = true;
    case OPTION_LENIENT: options->mode = MODE_LENIENT; return true;
    case 'o': options->output = value; return true;
    default: return false;
    }
}

/* What the option's value has to be. */
static const char *option_wants(int key)
{
    switch (key) {
    case OPTION_SEED: return "a number, or git";
    case OPTION_COUNT:
    case OPTION_INPUTS: return "a number, 1 at least";
    case OPTION_FOR:
    case OPTION_HANG: return "a time with its unit, such as 90s, 10m or 2h";
    case OPTION_SHARD: return "I/N, where I is less than N";
    case OPTION_JOBS: return "a number of processes, 1 to " JOBS_MAX_TEXT;
    case OPTION_COMMIT: return "all digits of a commit";
    case OPTION_PROFILE: return "a name that raftsim run --help lists";
    default: return "another value";
    }
}

static int value_error(const char *option, int key, const char *value)
{
    char problem[300];
    snprintf(problem, sizeof problem, "%.150s is not a valid value; it must be %s", value, option_wants(key));
    char what[40];
    snprintf(what, sizeof what, "--%s", option);
    return usage_error(what, problem);
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
    /* Behind a target they are read by another call; among files, which go to the end, by this one. */
    while ((key = getopt_long(argc, argv, wanted == WANTS_FILES ? ":ho:" : "+:ho:", option_table, &slot)) != -1) {
        if (key == 'h') {
            fputs(help, stdout);
            return EXIT_OK;
        }
        for (int i = 0; key == 'o' && slot < 0; i++)
            if (option_table[i].val == 'o')
                slot = i;
        if (key == ':')
            return usage_error(argv[optind - 1], "its value is missing");
        if (key == '?' || slot < 0)
            return usage_error(argv[optind - 1], "unknown option");
        char name[32], dashed[32];
        snprintf(name, sizeof name, " %s ", option_table[slot].name);
        snprintf(dashed, sizeof dashed, "--%s", option_table[slot].name);
        if (strstr(allowed, name) == NULL)
            return usage_error(dashed, "not an option of this command");
        if (!option_set(options, key, optarg))
            return value_error(option_table[slot].name, key, optarg != NULL ? optarg : "nothing");
        slot = -1;
    }
    if (wanted == WANTS_FILES) {
        options->files = argv + optind;
        options->file_count = argc - optind;
        return optind < argc ? -1 : usage_error(argv[0], "needs a file");
    }
    if (wanted == WANTS_TARGET && optind < argc) {
        options->target = argv[optind++];
        if (optind < argc) /* options may follow it */
            return parse_options(argc - optind + 1, argv + optind - 1, help, allowed, WANTS_NOTHING, options);
        return -1;
    }
    if (wanted == WANTS_TARGET)
        return usage_error(argv[0], strcmp(argv[0], "trace") == 0 ? "needs a seed" : "needs a seed, or a file");
    if (optind < argc)
        return usage_error(argv[optind], "unexpected argument");
    return -1;
}

/* False: an option is wrong, and the user knows. */
static bool look_start(struct look *look, const struct options *options)
{
    char error[LOOK_ERROR_BYTES];
    struct look_options look_options = options->look;
    look_options.out = options->json ? stderr : stdout;
    look_options.html = options->html;
    if (look_begin(look, &look_options, error))
        return true;
    fprintf(stderr, "raftsim: %s\n", error);
    return false;
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* n0 is the node; the others are known by their frames only. */
static int replay_recording(const struct options *options)
{
    static struct look look;
    if (!look_start(&look, options))
        return EXIT_USAGE;
    const struct playback_run_options run_options = {
        .path = options->target,
        .observer = look_observer(&look),
        .json = options->json,
        .quiet = options->quiet,
        .now_ms = now_ms,
        .current = &current_playback,
        .look = &look,
    };
    switch (playback_run(&run_options)) {
    case PLAYBACK_SAME: return EXIT_OK;
    case PLAYBACK_OTHER: return EXIT_DIFFERS;
    case PLAYBACK_UNREADABLE: return EXIT_INTERNAL;
    }
    return EXIT_INTERNAL;
}

/* The life's name: what it is replayed from. */
static bool look_finish(struct look *look, const struct options *options)
{
    char title[160];
    snprintf(title, sizeof title, "%s seed %" PRIu64, profile_text(options->profile), options->seed);
    return look_end(look, title);
}

/* How a seed's life ended. */
struct seed_ending {
    struct world_result result;
    struct trap_caught caught; /* an assertion, a signal, no end */
    enum outcome outcome;
};

static void print_ending(const struct options *options, const struct world *world, const struct seed_ending *ending)
{
    const struct check_failure *failure = ending->result.failure;
    if (!options->look.log && !options->quiet)
        swarm_print(&world->scene.swarm, stdout);
    if (!options->quiet)
        transcript_nodes(world, stdout);
    printf("seed %" PRIu64 ": %s after %" PRIu64 " steps, %" PRIu64 " calls, %" PRIu64 " ns; digest %016" PRIx64 "\n",
           options->seed, outcome_text(ending->outcome), ending->result.steps, world->scene.coverage.calls,
           world->scene.now_ns, ending->result.digest);
    if (ending->caught.checker != NULL)
        printf("%s: %s\n", ending->caught.checker, ending->caught.text);
    else if (failure != NULL)
        printf("%s at step %" PRIu64 ": %s\n", check_kind_text(failure->kind), failure->step, failure->text);
}

/* The exit code. */
static int replay_seed(const struct options *options, struct world *world, struct look *look)
{
    struct seed_ending ending;
    const struct world_options world_options = {
        .seed = options->seed,
        .profile = options->profile,
        .search = true,
        .observer = look_observer(look),
        .inputs_max = options->inputs,
    };
    current_world = world;
    trap_signals(TRACE_STILL_MS);
    const bool lived = trap_live(world, &world_options, &ending.result, &ending.caught);
    current_world = NULL;
    if (!lived) {
        fprintf(stderr, "raftsim: out of memory\n");
        return EXIT_INTERNAL;
    }
    if (ending.caught.checker != NULL)
        ending.result = (struct world_result){ .steps = world->scene.step, .digest = world->digest };
    ending.outcome = ending.caught.checker != NULL ? OUTCOME_CRASHED : outcome_of(ending.result.failure);
    const bool shown = look_finish(look, options);
    if (look_stopped(look))
        return shown ? EXIT_OK : EXIT_INTERNAL;
    print_ending(options, world, &ending);
    return shown || ending.outcome != OUTCOME_PASSED ? (int)exit_code_of(ending.outcome) : EXIT_INTERNAL;
}

/* An option that says nothing of what is replayed; NULL: none. */
static const char *replay_stray(const struct options *options, bool is_recording, bool is_seed)
{
    if (options->json && !is_recording)
        return "--json: is for a recording of a real node";
    if (options->mode != MODE_BY_BUILD && (is_recording || is_seed))
        return "--strict, --lenient: are for a trace";
    if (options->inputs > 0 && !is_seed)
        return "--inputs: is for a seed";
    if (options->profile != PROFILE_MIXED && !is_seed)
        return "--profile: is for a seed";
    return NULL;
}

static int replay(struct options *options)
{
    const bool is_recording = playback_is_file(options->target);
    const bool is_seed = !is_recording && raftsim_parse_number(options->target, &options->seed);
    const char *stray = replay_stray(options, is_recording, is_seed);
    if (stray != NULL)
        return usage_error(options->target, stray);
    if (is_recording)
        return replay_recording(options);
    static struct look look;
    if (!look_start(&look, options))
        return EXIT_USAGE;
    if (!is_seed)
        return raftsim_replay_file(options, &look);
    struct world *world = world_new();
    const int code = world != NULL ? replay_seed(options, world, &look) : EXIT_INTERNAL;
    if (world == NULL)
        fprintf(stderr, "raftsim: out of memory\n");
    world_free(world);
    return code;
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
    if (options->html != NULL && options->file_count > 1)
        return usage_error("--html", "one page is of one file");
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
    if (!look_end(&look, options->files[0]) && code == EXIT_OK)
        code = EXIT_INTERNAL;
    return code;
}

static int command(int argc, char **argv)
{
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    struct options options = { .seed = 1, .shards = 1, .trace_dir = ".", .hang_seconds = 60 };
    if (argc > 0)
        raftsim_program = argv[0];
    if (argc == 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0)) {
        puts("raftsim " RAFTSIM_VERSION);
        return EXIT_OK;
    }
    options.jobs = processors > 0 ? u32_min((uint32_t)processors, CAMPAIGN_JOBS_MAX) : 1;
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        fputs(usage, argc < 2 ? stderr : stdout);
        return argc < 2 ? EXIT_USAGE : EXIT_OK;
    }
    int code;
    static const char commands[] = " run replay shrink trace merge digest bench scenario explore ";
    char name[40];
    snprintf(name, sizeof name, " %.30s ", argv[1]);
    command_name = strstr(commands, name) != NULL ? argv[1] : NULL;
    if (strcmp(argv[1], "run") == 0) {
        code =
            parse_options(argc - 1, argv + 1, usage_run,
                          " seed count for shard jobs profile json jsonl commit keep-going trace-dir quiet no-shrink "
                          "hang ",
                          WANTS_NOTHING, &options);
        if (options.count == 0)
            options.count = options.seconds > 0 ? UINT64_MAX : RUN_COUNT;
        return code >= 0 ? code : raftsim_run(&options);
    }
    if (strcmp(argv[1], "merge") == 0) {
        code = parse_options(argc - 1, argv + 1, usage_merge, " json html ", WANTS_FILES, &options);
        return code >= 0 ? code : raftsim_merge(&options);
    }
    if (strcmp(argv[1], "replay") == 0) {
        code = parse_options(argc - 1, argv + 1, usage_replay,
                             " profile strict lenient log verbose until break state html inputs quiet json ",
                             WANTS_TARGET, &options);
        return code >= 0 ? code : replay(&options);
    }
    if (strcmp(argv[1], "shrink") == 0) {
        code = parse_options(argc - 1, argv + 1, usage_shrink, " profile for output quiet ", WANTS_TARGET, &options);
        if (code < 0 && options.profile != PROFILE_MIXED && !raftsim_parse_number(options.target, &options.seed))
            return usage_error(options.target, "--profile: is for a seed");
        return code >= 0 ? code : raftsim_shrink(&options);
    }
    if (strcmp(argv[1], "trace") == 0) {
        code = parse_options(argc - 1, argv + 1, usage_trace, " profile output ", WANTS_TARGET, &options);
        if (code < 0 && !raftsim_parse_number(options.target, &options.seed))
            return usage_error(options.target, "not a seed");
        return code >= 0 ? code : raftsim_trace(&options);
    }
    if (strcmp(argv[1], "digest") == 0) {
        options.count = DIGEST_COUNT;
        code = parse_options(argc - 1, argv + 1, usage_digest, " seed count profile ", WANTS_NOTHING, &options);
        return code >= 0 ? code : digest(&options);
    }
    if (strcmp(argv[1], "bench") == 0) {
        options.count = BENCH_COUNT;
        code = parse_options(argc - 1, argv + 1, usage_bench, " seed count profile json ", WANTS_NOTHING, &options);
        return code >= 0 ? code : raftsim_bench(&options);
    }
    if (strcmp(argv[1], "scenario") == 0) {
        code = parse_options(argc - 1, argv + 1, usage_scenario, " bless log verbose html ", WANTS_FILES, &options);
        return code >= 0 ? code : scenarios(&options);
    }
    if (strcmp(argv[1], "explore") == 0)
        return raftsim_explore(argc - 1, argv + 1);
    return usage_error(argv[1], "unknown command");
}

int main(int argc, char **argv)
{
    const int code = command(argc, argv);
    return output_flush("raftsim") || code != EXIT_OK ? code : EXIT_INTERNAL;
}

/* raftbench: load on a cluster, and what it cost. The generator itself is io/bench.h. */
#include "../io/bench.h"
#include "../io/clock.h"
#include "../io/text.h"
#include "output.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum exit_code { EXIT_OK = 0, EXIT_ERRORS = 1, EXIT_USAGE = 2, EXIT_UNREACHED = 4, EXIT_INTERRUPTED = 130 };
enum { PIDS_MAX = 16 };

#define RAFTBENCH_VERSION "0.1"

struct settings {
    struct bench_options bench;
    uint64_t duration_ns;
    uint64_t warmup_ns;
    uint64_t wait_ns; /* for a leader, and for the sessions */
    uint64_t pids[PIDS_MAX];
    uint32_t pid_count;
    const char *samples;
    bool json;
    bool quiet;
};

/* CPU time and memory at one moment. */
struct usage {
    uint64_t own_cpu_ns;
    uint64_t servers_cpu_ns;
    uint64_t peak_bytes[PIDS_MAX];
    uint64_t written_bytes; /* by all servers, to disks */
};

static volatile sig_atomic_t interrupted;

static void interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

_Noreturn void core_assert_failed(const char *expression, const char *file, int line)
{
    fprintf(stderr, "raftbench: assertion failed: %s (%s:%d)\n", expression, file, line);
    abort();
}

static void print_help(void)
{
    printf(
        "raftbench: puts load on a Whitewater cluster and measures it\n"
        "\n"
        "usage: raftbench [OPTION...]\n"
        "\n"
        "  --endpoints A,B,C    nodes, host:port each (127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003, or the\n"
        "                       environment's WHITEWATER_ENDPOINTS); the load goes to whichever leads\n"
        "  --cluster-id N       refuse nodes of another cluster (any)\n"
        "  --inflight N         requests outstanding in total, up to %d; every writer is a session (1)\n"
        "  --connections N      that they share, up to %d (--inflight, at most 8)\n"
        "  --rate N             open loop: N operations a second in total, whatever the replies; latency counts from\n"
        "                       the moment that an operation was due (closed loop)\n"
        "  --duration T         of the measurement, such as 10s (10s, or no limit with --count)\n"
        "  --count N            stop after N operations\n"
        "  --warmup T           load before it that is not counted (1s)\n"
        "  --wait T             for a leader before that (30s)\n"
        "  --key-bytes N        at least %d (16)\n"
        "  --value-bytes N      up to %u, suffix K allowed (128)\n"
        "  --keys fixed|seq|random:N   one key, a new key each time, or one of N (random:10000)\n"
        "  --reads PERCENT      share of reads (0); keys that do not exist count as read\n"
        "  --stale              reads of one node's state instead of linearizable ones\n"
        "  --local              linearizable reads, answered by the node that is asked instead of the leader\n"
        "  --max-staleness T    the same, but they may be as old as T\n"
        "  --all                with one of these three: reads go to all endpoints in turn\n"
        "  --seed N             of keys and of the choice between read and write (1)\n"
        "  --pids P,Q,R         server processes: report their CPU time per operation and peak memory\n"
        "  --json               one JSON object on standard output\n"
        "  --samples FILE       also a line for each operation: milliseconds since 1970 at its end, latency in us\n"
        "  --quiet              no progress on standard error\n"
        "  -h, --help, --version\n"
        "\n"
        "When the store is full (\"no space\") the run ends, and its rate is that of the time before.\n"
        "What was measured is printed also when an interruption (Ctrl-C), or the loss of the leader for %d s or until "
        "the\n"
        "end, cuts it short.\n"
        "Exit status: 0 all operations were executed; 1 some were refused, or the result could not be written; 2 "
        "usage;\n"
        "4 no leader, at the start or at the end, or full from the start; 130 interrupted.\n",
        BENCH_INFLIGHT_MAX, BENCH_CONNECTIONS_MAX, BENCH_KEY_BYTES_MIN, limits_production.value_bytes_max,
        BENCH_PATIENCE_S);
}

/* ---- arguments ---- */

/* NULL, or what is wanted. */
static const char *parse_range(const char *text, uint32_t min, uint32_t max, uint32_t *value)
{
    static char wanted[48];
    uint64_t number = 0;
    snprintf(wanted, sizeof wanted, "a number from %u to %u", min, max);
    if (!text_parse_bytes(text, &number) || number < min || number > max)
        return wanted;
    *value = (uint32_t)number;
    return NULL;
}

static bool parse_keys(const char *text, struct bench_options *options)
{
    static const char random[] = "random:";
    if (strcmp(text, "fixed") == 0)
        options->keys = BENCH_KEYS_FIXED;
    else if (strcmp(text, "seq") == 0)
        options->keys = BENCH_KEYS_SEQUENTIAL;
    else if (strncmp(text, random, sizeof random - 1) == 0
             && text_parse_bytes(text + sizeof random - 1, &options->key_count) && options->key_count > 0)
        options->keys = BENCH_KEYS_RANDOM;
    else
        return false;
    return true;
}

static bool parse_pids(const char *text, struct settings *settings)
{
    char word[24];
    while (*text != '\0' && settings->pid_count < PIDS_MAX) {
        const size_t bytes = strcspn(text, ",");
        if (bytes >= sizeof word)
            return false;
        memcpy(word, text, bytes);
        word[bytes] = '\0';
        if (!text_parse_u64(word, &settings->pids[settings->pid_count++]))
            return false;
        text += bytes + (text[bytes] == ',');
    }
    return *text == '\0' && settings->pid_count > 0;
}

/* An option that stands alone. */
static bool parse_switch(const char *word, struct settings *settings)
{
    const struct {
        const char *name;
        bool *value;
    } switches[] = {
        { "--stale", &settings->bench.stale_reads },
        { "--local", &settings->bench.local_reads },
        { "--all", &settings->bench.spread_reads },
        { "--json", &settings->json },
        { "--quiet", &settings->quiet },
    };
    for (uint32_t slot = 0; slot < ARRAY_COUNT(switches); slot++) {
        if (strcmp(word, switches[slot].name) == 0) {
            *switches[slot].value = true;
            return true;
        }
    }
    return false;
}

/* NULL, or what the option wants. "": there is no such option. */
static const char *parse_option(const char *name, const char *value, struct settings *settings)
{
    struct bench_options *bench = &settings->bench;
    if (strcmp(name, "--endpoints") == 0) {
        bench->endpoints = value;
        return NULL;
    }
    if (strcmp(name, "--cluster-id") == 0)
        return text_parse_u64(value, &bench->cluster_id) ? NULL : "a number";
    if (strcmp(name, "--inflight") == 0)
        return parse_range(value, 1, BENCH_INFLIGHT_MAX, &bench->inflight);
    if (strcmp(name, "--connections") == 0)
        return parse_range(value, 1, BENCH_CONNECTIONS_MAX, &bench->connections);
    if (strcmp(name, "--rate") == 0)
        return text_parse_u64(value, &bench->rate) && bench->rate > 0 ? NULL : "operations a second, above 0";
    if (strcmp(name, "--duration") == 0)
        return text_parse_duration(value, &settings->duration_ns) && settings->duration_ns > 0 ? NULL
                                                                                               : "a time such as 10s";
    if (strcmp(name, "--count") == 0)
        return text_parse_bytes(value, &bench->count_max) && bench->count_max > 0 ? NULL : "a number above 0";
    if (strcmp(name, "--warmup") == 0)
        return text_parse_duration(value, &settings->warmup_ns) ? NULL : "a time such as 1s, or 0s";
    if (strcmp(name, "--wait") == 0)
        return text_parse_duration(value, &settings->wait_ns) && settings->wait_ns > 0 ? NULL : "a time such as 30s";
    if (strcmp(name, "--key-bytes") == 0)
        return parse_range(value, BENCH_KEY_BYTES_MIN, limits_production.key_bytes_max, &bench->key_bytes);
    if (strcmp(name, "--value-bytes") == 0)
        return parse_range(value, 0, limits_production.value_bytes_max, &bench->value_bytes);
    if (strcmp(name, "--keys") == 0)
        return parse_keys(value, bench) ? NULL : "fixed, seq or random:N";
    if (strcmp(name, "--reads") == 0)
        return parse_range(value, 0, 100, &bench->reads_percent);
    if (strcmp(name, "--max-staleness") == 0) {
        bench->local_reads = true;
        return text_parse_duration(value, &bench->staleness_ns) && bench->staleness_ns > 0 ? NULL
                                                                                           : "a time such as 50ms";
    }
    if (strcmp(name, "--samples") == 0) {
        settings->samples = value;
        return value[0] != '\0' ? NULL : "a file name";
    }
    if (strcmp(name, "--seed") == 0)
        return text_parse_u64(value, &bench->seed) ? NULL : "a number";
    if (strcmp(name, "--pids") == 0)
        return parse_pids(value, settings) ? NULL : "up to 16 process ids: P,Q,R";
    return "";
}

static bool usage_error(const char *what, const char *word)
{
    fprintf(stderr, "raftbench: %s %s (raftbench --help)\n", what, word);
    return false;
}

static bool settings_check(struct settings *settings)
{
    struct bench_options *bench = &settings->bench;
    if (bench->spread_reads && !bench->stale_reads && !bench->local_reads)
        return usage_error("--all needs --stale, --local or --max-staleness:", "other reads go to the leader");
    if (bench->stale_reads && bench->local_reads)
        return usage_error("--stale goes without", "--local and --max-staleness");
    if (bench->connections == 0)
        bench->connections = u32_min(bench->inflight, 8);
    if (bench->connections > bench->inflight)
        return usage_error("--connections:", "more than --inflight");
    if (settings->duration_ns == 0 && bench->count_max == 0)
        settings->duration_ns = 10 * NS_PER_S;
    for (uint32_t slot = 0; slot < settings->pid_count; slot++) {
        char path[48];
        snprintf(path, sizeof path, "/proc/%llu", (unsigned long long)settings->pids[slot]);
        if (access(path, F_OK) != 0)
            return usage_error("--pids: no such process:", path + strlen("/proc/"));
    }
    return true;
}

/* False: reported. */
static bool parse_arguments(int argc, char **argv, struct settings *settings)
{
    for (int at = 1; at < argc; at++) {
        char *word = argv[at];
        if (parse_switch(word, settings))
            continue;
        char *equals = strncmp(word, "--", 2) == 0 ? strchr(word, '=') : NULL;
        const char *value = equals != NULL ? equals + 1 : at + 1 < argc ? argv[at + 1] : "";
        if (equals != NULL)
            *equals = '\0';
        const char *wants = parse_option(word, value, settings);
        if (wants != NULL && wants[0] == '\0')
            return usage_error("unknown option", word);
        if (wants != NULL) {
            fprintf(stderr, "raftbench: %s wants %s, not '%s' (raftbench --help)\n", word, wants, value);
            return false;
        }
        at += equals == NULL;
    }
    return settings_check(settings);
}

/* ---- what it costs ---- */

static uint64_t timeval_ns(struct timeval time)
{
    return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_usec * 1000;
}

/* User and system time of a process with all its threads; 0 when it is gone. */
static uint64_t process_cpu_ns(uint64_t pid)
{
    char path[64];
    char line[1024];
    snprintf(path, sizeof path, "/proc/%llu/stat", (unsigned long long)pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    const bool read = fgets(line, sizeof line, file) != NULL;
    fclose(file);
    const char *fields = read ? strrchr(line, ')') : NULL; /* the name may hold anything */
    unsigned long long user = 0;
    unsigned long long system = 0;
    if (fields == NULL
        || sscanf(fields, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system) != 2)
        return 0;
    return (user + system) * NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK);
}

/* The number in the line of /proc/PID/FILE that has this format; 0: there is none. */
static uint64_t process_number(uint64_t pid, const char *name, const char *prefix)
{
    char path[64];
    char line[256];
    uint64_t number = 0;
    snprintf(path, sizeof path, "/proc/%llu/%s", (unsigned long long)pid, name);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, prefix, strlen(prefix)) == 0)
            number = strtoull(line + strlen(prefix), NULL, 10);
    fclose(file);
    return number;
}

static struct usage usage_now(const struct settings *settings)
{
    struct usage usage = { .own_cpu_ns = 0 };
    struct rusage own;
    if (getrusage(RUSAGE_SELF, &own) == 0)
        usage.own_cpu_ns = timeval_ns(own.ru_utime) + timeval_ns(own.ru_stime);
    for (uint32_t slot = 0; slot < settings->pid_count; slot++) {
        usage.servers_cpu_ns += process_cpu_ns(settings->pids[slot]);
        usage.peak_bytes[slot] = process_number(settings->pids[slot], "status", "VmHWM:") * 1024;
        usage.written_bytes += process_number(settings->pids[slot], "io", "write_bytes:");
    }
    return usage;
}

/* ---- the report ---- */

struct outcome {
    const struct bench_report *bench;
    struct histogram all;
    uint64_t elapsed_ns;
    bool full;              /* of the cluster: ended the run */
    uint64_t leaderless_ns; /* so long at the end; 0: there was a leader */
    uint64_t own_cpu_ns;
    uint64_t servers_cpu_ns;
    uint64_t written_bytes;
    struct usage end;
};

static const struct {
    const char *name;
    uint32_t numerator;
    uint32_t denominator;
} quantiles[] = { { "p50", 50, 100 }, { "p90", 90, 100 }, { "p99", 99, 100 }, { "p99.9", 999, 1000 } };

static double per(uint64_t numerator, uint64_t denominator)
{
    return denominator == 0 ? 0 : (double)numerator / (double)denominator;
}

static double us_of(uint64_t ns) { return (double)ns / 1000; }

static void print_latency_text(const char *name, const struct histogram *histogram)
{
    if (histogram->count == 0)
        return;
    char count[TEXT_NUMBER_BYTES];
    printf("%-8s %12s  mean %9.1f us", name, text_group_digits(histogram->count, count),
           us_of(histogram->sum) / (double)histogram->count);
    for (uint32_t slot = 0; slot < ARRAY_COUNT(quantiles); slot++)
        printf("  %s %9.1f", quantiles[slot].name,
               us_of(histogram_quantile(histogram, quantiles[slot].numerator, quantiles[slot].denominator)));
    printf("  max %9.1f\n", us_of(histogram->max));
}

static void print_text(const struct settings *settings, const struct outcome *outcome, const char *leader)
{
    char number[TEXT_NUMBER_BYTES];
    const struct bench_report *bench = outcome->bench;
    const uint64_t operations = outcome->all.count;
    printf("leader %s, %u outstanding over %u connection%s, keys of %u bytes, values of %u, %s loop\n", leader,
           settings->bench.inflight, settings->bench.connections, settings->bench.connections == 1 ? "" : "s",
           settings->bench.key_bytes, settings->bench.value_bytes, settings->bench.rate > 0 ? "open" : "closed");
    printf("%s operations/s over %.2f s\n",
           text_group_digits((uint64_t)(per(operations, outcome->elapsed_ns) * (double)NS_PER_S), number),
           per(outcome->elapsed_ns, NS_PER_S));
    if (outcome->full)
        printf("stopped: the store of the cluster is full; the rate is of the time before\n");
    if (outcome->leaderless_ns > 0)
        printf("no leader for the last %.2f s\n", per(outcome->leaderless_ns, NS_PER_S));
    if (interrupted)
        printf("interrupted\n");
    print_latency_text("writes", &bench->writes);
    print_latency_text("reads", &bench->reads);
    printf("%llu operations refused, %llu requests sent again, %llu times looking for the leader\n",
           (unsigned long long)bench->failures, (unsigned long long)bench->retries,
           (unsigned long long)bench->relocations);
    for (uint32_t status = REPLY_NOT_FOUND; status < ARRAY_COUNT(bench->statuses); status++)
        if (bench->statuses[status] > 0)
            printf("  replies '%s': %llu\n", reply_status_text((enum reply_status)status),
                   (unsigned long long)bench->statuses[status]);
    printf("generator: %.2f us CPU an operation\n", us_of(outcome->own_cpu_ns) / (double)u64_max(operations, 1));
    if (settings->pid_count == 0)
        return;
    printf("servers: %.2f us CPU an operation, all together; peak memory",
           us_of(outcome->servers_cpu_ns) / (double)u64_max(operations, 1));
    for (uint32_t slot = 0; slot < settings->pid_count; slot++)
        printf(" %llu MiB", (unsigned long long)(outcome->end.peak_bytes[slot] >> 20));
    printf("\nservers: %llu bytes written to disk an operation, each\n",
           (unsigned long long)(outcome->written_bytes / settings->pid_count / u64_max(operations, 1)));
}

static void print_latency_json(const char *name, const struct histogram *histogram)
{
    printf(", \"%s\": {\"count\": %llu, \"mean\": %.1f", name, (unsigned long long)histogram->count,
           us_of(histogram->sum) / (double)u64_max(histogram->count, 1));
    for (uint32_t slot = 0; slot < ARRAY_COUNT(quantiles); slot++)
        printf(", \"%s\": %.1f", quantiles[slot].name,
               us_of(histogram_quantile(histogram, quantiles[slot].numerator, quantiles[slot].denominator)));
    printf(", \"max\": %.1f}", us_of(histogram->max));
}

static void print_json(const struct settings *settings, const struct outcome *outcome, const char *leader)
{
    const struct bench_report *bench = outcome->bench;
    const uint64_t operations = outcome->all.count;
    printf("{\"leader\": \"%s\", \"loop\": \"%s\", \"rate\": %llu, \"inflight\": %u, \"connections\": %u"
           ", \"key_bytes\": %u, \"value_bytes\": %u, \"reads_percent\": %u",
           leader, settings->bench.rate > 0 ? "open" : "closed", (unsigned long long)settings->bench.rate,
           settings->bench.inflight, settings->bench.connections, settings->bench.key_bytes,
           settings->bench.value_bytes, settings->bench.reads_percent);
    printf(", \"interrupted\": %s, \"leaderless_seconds\": %.3f", interrupted ? "true" : "false",
           per(outcome->leaderless_ns, NS_PER_S));
    printf(", \"full\": %s, \"seconds\": %.3f, \"operations\": %llu, \"operations_per_second\": %.1f",
           outcome->full ? "true" : "false", per(outcome->elapsed_ns, NS_PER_S), (unsigned long long)operations,
           per(operations, outcome->elapsed_ns) * (double)NS_PER_S);
    print_latency_json("latency_us", &outcome->all);
    print_latency_json("write_latency_us", &bench->writes);
    print_latency_json("read_latency_us", &bench->reads);
    printf(", \"refused\": %llu, \"sent_again\": %llu, \"relocations\": %llu, \"replies\": {",
           (unsigned long long)bench->failures, (unsigned long long)bench->retries,
           (unsigned long long)bench->relocations);
    for (uint32_t status = 0; status < ARRAY_COUNT(bench->statuses); status++)
        printf("%s\"%s\": %llu", status > 0 ? ", " : "", reply_status_text((enum reply_status)status),
               (unsigned long long)bench->statuses[status]);
    printf("}, \"generator_cpu_us_per_operation\": %.3f", us_of(outcome->own_cpu_ns) / (double)u64_max(operations, 1));
    if (settings->pid_count > 0)
        printf(", \"servers_cpu_us_per_operation\": %.3f, \"server_written_bytes_per_operation\": %.1f"
               ", \"servers_peak_bytes\": [",
               us_of(outcome->servers_cpu_ns) / (double)u64_max(operations, 1),
               per(outcome->written_bytes / settings->pid_count, u64_max(operations, 1)));
    for (uint32_t slot = 0; slot < settings->pid_count; slot++)
        printf("%s%llu", slot > 0 ? ", " : "", (unsigned long long)outcome->end.peak_bytes[slot]);
    printf("%s}\n", settings->pid_count > 0 ? "]" : "");
}

/* ---- the run ---- */

/* A progress line a second on standard error: rewritten on a terminal, otherwise a line each. */
static void print_progress(const struct settings *settings, const struct bench *bench, uint64_t start_ns,
                           uint64_t *last_done, uint64_t *last_ns)
{
    const struct bench_report *report = bench_results(bench);
    const uint64_t now_ns = clock_now_ns();
    const uint64_t done = report->reads.count + report->writes.count;
    const uint64_t rate = (uint64_t)(per(done - *last_done, now_ns - *last_ns) * (double)NS_PER_S);
    const bool terminal = isatty(STDERR_FILENO) != 0;
    char done_text[TEXT_NUMBER_BYTES];
    char rate_text[TEXT_NUMBER_BYTES];
    const uint64_t left_by_time = settings->duration_ns > 0
                                      ? settings->duration_ns - u64_min(settings->duration_ns, now_ns - start_ns)
                                      : UINT64_MAX;
    const uint64_t left_count = settings->bench.count_max - u64_min(settings->bench.count_max, done);
    const uint64_t left_by_count =
        settings->bench.count_max > 0 && rate > 0 ? left_count * NS_PER_S / rate : UINT64_MAX;
    const uint64_t left_ns = u64_min(left_by_time, left_by_count);
    char left_text[32] = "";
    if (left_ns != UINT64_MAX)
        snprintf(left_text, sizeof left_text, "  %llu s left",
                 (unsigned long long)((left_ns + NS_PER_S / 2) / NS_PER_S));
    fprintf(stderr, "%s%3llu s  %12s done  %9s/s  %llu refused%s%s", terminal ? "\r" : "",
            (unsigned long long)((now_ns - start_ns + NS_PER_S / 2) / NS_PER_S), text_group_digits(done, done_text),
            text_group_digits(rate, rate_text), (unsigned long long)report->failures, left_text,
            terminal ? "     " : "\n");
    *last_done = done;
    *last_ns = now_ns;
}

/* Nothing here deletes: when for a while no write has met anything but "no space", none will. */
static bool is_full(const struct bench_report *report)
{
    return report->full_ns != 0 && clock_now_ns() - report->full_ns >= NS_PER_S / 2;
}

/* False: `error`; what was measured before that is in the outcome, if anything was. */
static bool run(const struct settings *settings, struct bench *bench, struct outcome *outcome,
                char error[BENCH_ERROR_BYTES])
{
    if (!bench_prepare(bench, clock_now_ns() + settings->wait_ns, error))
        return false;
    if (settings->warmup_ns > 0 && (bench_run(bench, clock_now_ns() + settings->warmup_ns, error) < 0 || interrupted))
        return false;
    bench_measure(bench);
    const struct usage begin = usage_now(settings);
    const uint64_t start_ns = clock_now_ns();
    const uint64_t end_ns = settings->duration_ns > 0 ? start_ns + settings->duration_ns : UINT64_MAX;
    uint64_t last_ns = start_ns;
    uint64_t last_done = 0;
    int state = 1;
    for (uint64_t next_ns = start_ns + NS_PER_S; state == 1 && !outcome->full && !interrupted; next_ns += NS_PER_S) {
        state = bench_run(bench, u64_min(next_ns, end_ns), error);
        outcome->full = is_full(bench_results(bench));
        if (!settings->quiet)
            print_progress(settings, bench, start_ns, &last_done, &last_ns);
        if (clock_now_ns() >= end_ns)
            break;
    }
    if (!settings->quiet && isatty(STDERR_FILENO))
        fputc('\n', stderr);
    const uint64_t stop_ns = outcome->full ? u64_max(bench_results(bench)->executed_ns, start_ns) : clock_now_ns();
    outcome->elapsed_ns = stop_ns - start_ns;
    if (bench_leaderless_ns(bench) > 0)
        outcome->leaderless_ns = u64_max(clock_now_ns() - bench_leaderless_ns(bench), 1);
    outcome->end = usage_now(settings);
    outcome->bench = bench_results(bench);
    outcome->own_cpu_ns = outcome->end.own_cpu_ns - begin.own_cpu_ns;
    outcome->servers_cpu_ns = outcome->end.servers_cpu_ns - u64_min(begin.servers_cpu_ns, outcome->end.servers_cpu_ns);
    outcome->written_bytes = outcome->end.written_bytes - u64_min(begin.written_bytes, outcome->end.written_bytes);
    histogram_merge(&outcome->all, &outcome->bench->writes);
    histogram_merge(&outcome->all, &outcome->bench->reads);
    return outcome->leaderless_ns == 0;
}

int main(int argc, char **argv)
{
    for (int at = 1; at < argc; at++) {
        if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0) {
            print_help();
            return EXIT_OK;
        }
        if (strcmp(argv[at], "--version") == 0) {
            puts("raftbench " RAFTBENCH_VERSION);
            return EXIT_OK;
        }
    }
    const char *environment = getenv("WHITEWATER_ENDPOINTS");
    struct settings settings = {
        .bench = { .endpoints = environment != NULL && environment[0] != '\0'
                                    ? environment
                                    : "127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003",
                   .inflight = 1,
                   .key_bytes = 16,
                   .value_bytes = 128,
                   .keys = BENCH_KEYS_RANDOM,
                   .key_count = 10000,
                   .seed = 1,
                   .interrupted = &interrupted },
        .warmup_ns = NS_PER_S,
        .wait_ns = 30 * NS_PER_S,
    };
    if (!parse_arguments(argc, argv, &settings))
        return EXIT_USAGE;
    char error[BENCH_ERROR_BYTES] = "";
    if (settings.samples != NULL) {
        settings.bench.samples = fopen(settings.samples, "w");
        if (settings.bench.samples == NULL) {
            fprintf(stderr, "raftbench: --samples %s: %s\n", settings.samples, strerror(errno));
            return EXIT_USAGE;
        }
    }
    struct bench *bench = bench_open(&settings.bench, error);
    if (bench == NULL) {
        fprintf(stderr, "raftbench: --endpoints %s\n", error);
        return EXIT_USAGE;
    }
    const struct sigaction action = { .sa_handler = interrupt, .sa_flags = (int)SA_RESETHAND };
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    static struct outcome outcome; /* large: a histogram */
    const bool ran = run(&settings, bench, &outcome, error);
    const bool measured = outcome.bench != NULL;
    if (measured && settings.json)
        print_json(&settings, &outcome, bench_leader(bench));
    else if (measured)
        print_text(&settings, &outcome, bench_leader(bench));
    if (!measured && interrupted)
        fprintf(stderr, "raftbench: interrupted before anything was measured\n");
    else if (!ran)
        fprintf(stderr, "raftbench: %s\n", error);
    const bool clean = ran && measured && outcome.bench->failures == 0;
    bench_close(bench);
    bool written = output_flush("raftbench");
    if (settings.samples != NULL && fclose(settings.bench.samples) != 0) {
        fprintf(stderr, "raftbench: --samples %s: %s\n", settings.samples, strerror(errno));
        written = false;
    }
    if (interrupted)
        return EXIT_INTERRUPTED;
    if (!ran)
        return EXIT_UNREACHED;
    return clean && written ? EXIT_OK : EXIT_ERRORS;
}

/* raftd: one node of a cluster. Only flags, identity and the order of starting; the node itself is io/node.h. */
#include "../core/checksum.h"
#include "../io/clock.h"
#include "../io/datadir.h"
#include "../io/join.h"
#include "../io/logger.h"
#include "../io/node.h"
#include "../io/recover.h"
#include "../io/restore.h"
#include "../io/survey.h"
#include "../io/survey_report.h"
#include "../io/text.h"
#include "output.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#define RAFTD_VERSION "0.1"

enum {
    EXIT_LEFT = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_STOPPED = 3,
    EXIT_REMOVED = 4,
};

#define JOIN_TIMEOUT_NS (10 * NS_PER_S)

struct raftd {
    uint64_t id;
    uint64_t cluster_id; /* 0: stored, or derived from the members */
    uint64_t wal_bytes;
    bool wal_given;
    uint64_t election_timeout_ms;
    uint64_t heartbeat_ms;
    uint64_t lease_drift_ppm;
    const char *cluster;
    const char *join;
    const char *data;
    const char *listen;
    enum io_choice io;
    enum sync_method sync;
    bool buffered;
    bool rejoin;
    bool exists; /* the data directory holds a node */
    const char *record;
    uint64_t record_bytes; /* 0: by default */
    bool strict_naming;
    bool nice_given;
    int nice;
    enum logger_level log_level;
    enum logger_format log_format;
    uint32_t voter_count;
    struct member voters[VOTERS_MAX];
    struct endpoint endpoints[VOTERS_MAX];
};

static const char help[] =
    "usage: raftd --id N --cluster 1=HOST:PORT,2=HOST:PORT,... --data DIR [options]\n"
    "       raftd --id N --join HOST:PORT[,HOST:PORT...] --listen HOST:PORT --data DIR [options]\n"
    "       raftd --id N --data DIR [options]\n"
    "       raftd inspect DIR ...     what DIR holds, and whether it is whole\n"
    "       raftd restore FILE ...    a node of a new cluster, from a snapshot\n"
    "       raftd recover DIR ...     a new cluster from one survivor, when a majority is lost for good\n"
    "\n"
    "Runs one node of a replicated key-value store until SIGTERM or SIGINT.\n"
    "\n"
    "  --id N                    this node's id, one of the cluster's\n"
    "  --cluster MEMBERS         all 1 to 7 members of a new cluster, the same list on every node. For a DIR that\n"
    "                            exists what it holds stands: members come and go by raftctl member\n"
    "  --join PEERS              when DIR is new: this node is to become a member of the cluster that PEERS belong "
    "to.\n"
    "                            It waits, without a vote, until raftctl member add names it; N must be an id that "
    "the\n"
    "                            cluster has never had: the directory of one that was removed may be remembered, and\n"
    "                            then this node stops when it is added\n"
    "  --data DIR                data directory; created and formatted when there is none\n"
    "  --listen HOST:PORT        where to listen, if not at this node's address as DIR or --cluster have it\n"
    "  --cluster-id N            refuse peers, clients and data of any other cluster (default: what DIR says, or for\n"
    "                            a new DIR a hash of MEMBERS, which is the id of a cluster that was founded with just\n"
    "                            these and never restored or recovered)\n"
    "  --rejoin                  when DIR is new: this node has been a member and lost its disk. It asks the others "
    "what\n"
    "                            it may have promised, and votes again when it has caught up. With --cluster-id, as\n"
    "                            raftctl status shows it\n"
    "  --wal-size SIZE           of a new data directory: bytes, or with K, M, G (default 1G)\n"
    "  --election-timeout-ms N   a follower campaigns after N to 2 N without a leader (default 500)\n"
    "  --heartbeat-ms N          below half of the election timeout (default 50)\n"
    "  --lease-drift-ppm N       leaders answer reads without asking the others, relying on it that no clock of the\n"
    "                            cluster is wrong by more than N parts per million, such as 1000; a node with\n"
    "                            0 promises nobody a lease (default 0: off)\n"
    "  --io auto|uring|epoll     auto: io_uring unless the kernel or a sandbox forbids it\n"
    "  --sync auto|thread|dsync|fdatasync|adaptive\n"
    "                            how WAL writes become durable; the last three need io_uring\n"
    "  --naming deferred|strict  when a batch of the log counts as durable: once written, or once the header ring\n"
    "                            names it, too: twice the latency, no gap in telling damage from a torn tail\n"
    "  --nice N                  scheduling priority, from -20 (first) to 19: a node that shares its cores with other\n"
    "                            work needs a low one; below 0 takes CAP_SYS_NICE (default: as it was started)\n"
    "  --unsafe-buffered         without O_DIRECT: for development on filesystems that lack it\n"
    "  --record FILE[,SIZE]      a flight recorder: keeps the latest inputs of this node in FILE, for raftsim replay;\n"
    "                            SIZE (4G) bounds the file. What FILE held is kept as FILE.before\n"
    "  --log-level debug|info|warn|error   (default info)\n"
    "  --log-format text|json    lines on stderr (default text)\n"
    "  -h, --help, --version\n"
    "\n"
    "inspect, restore and recover work on the directory of a node that is down; each has its own --help.\n"
    "\n"
    "exit status: 0 left after a signal; 1 could not start or lost a resource; 2 wrong usage;\n"
    "             3 stopped itself because its data must not be used further (the log says why);\n"
    "             4 stopped itself because it is no member of the cluster any more\n";

static const char inspect_help[] =
    "usage: raftd inspect DIR [--batches] [--dump] [--json]\n"
    "\n"
    "inspect reads DIR without changing it, verifies every checksum of the log and of the pages, and prints what they\n"
    "hold and whatever is damaged.\n"
    "\n"
    "  --batches    also every batch of the log\n"
    "  --dump       also every entry of every batch\n"
    "  --json       one JSON object with the same\n"
    "\n"
    "A line that begins with DAMAGED or LOST: this node needs its peers. \"mended\": what cannot be read has been "
    "written\n"
    "again elsewhere; \"mendable\": the node writes it anew when it runs. Neither makes a directory damaged.\n"
    "Exit status: 0 whole; 3 damaged; 1 not readable at all; 2 wrong usage.\n";

static const char restore_help[] =
    "usage: raftd restore FILE DIR --id N --cluster MEMBERS [--cluster-id N] [--wal-size SIZE] [--unsafe-buffered]\n"
    "                     [--json]\n"
    "\n"
    "restore makes DIR, a node of a new cluster, from a file that raftctl snapshot save wrote; all its nodes are made\n"
    "from the same file, then started as usual. FILE is verified as a whole before DIR is created.\n"
    "\n"
    "  --id N, --cluster MEMBERS, --wal-size SIZE, --unsafe-buffered   as for a node (raftd --help)\n"
    "  --cluster-id N   the id of the new cluster, that of no other (default: a hash of MEMBERS and of what FILE "
    "holds)\n"
    "  --json           one JSON object that says what was made\n"
    "\n"
    "Exit status: 0 done; 1 not, and why; 2 wrong usage.\n";

static const char recover_help[] =
    "usage: raftd recover --force-new-cluster DIR [--cluster-id N] [--unsafe-buffered] [--json]\n"
    "\n"
    "recover makes a new cluster, of this node alone, from DIR, the directory of one survivor, when a majority of its\n"
    "cluster is lost for good. What only the others had is lost; what DIR holds counts from now on, committed or not. "
    "No\n"
    "node of the old cluster may run any more. DIR.before keeps the old directory. Further nodes are added as to any\n"
    "cluster.\n"
    "With --json one JSON object says what was made.\n"
    "Exit status: 0 done; 1 not, and why; 2 wrong usage.\n";

_Noreturn void core_assert_failed(const char *expression, const char *file, int line)
{
    fprintf(stderr, "raftd: assertion failed at %s:%d: %s\n", file, line, expression);
    fflush(stderr);
    abort();
}

__attribute__((format(printf, 2, 3))) static _Noreturn void raftd_exit(int status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("raftd: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(status);
}

/* Whatever was printed must have arrived. */
static int raftd_end(int status) { return output_flush("raftd") ? status : EXIT_FAILED; }

static int raftd_print(const char *text)
{
    fputs(text, stdout);
    return raftd_end(EXIT_LEFT);
}

static bool is_help(const char *argument) { return strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0; }

static void raftd_parse_number(const char *flag, const char *value, uint64_t min, uint64_t max, uint64_t *number)
{
    if (value[0] == '\0')
        return;
    if (!text_parse_u64(value, number) || *number < min || *number > max)
        raftd_exit(EXIT_USAGE, "%s %s: expected a number from %llu to %llu", flag, value, (unsigned long long)min,
                   (unsigned long long)max);
}

static bool raftd_parse_nice(struct raftd *raftd, const char *value)
{
    uint64_t size = 0;
    const bool negative = value[0] == '-';
    if (!text_parse_u64(value + negative, &size) || size > (negative ? 20 : 19))
        return false;
    raftd->nice = negative ? -(int)size : (int)size;
    raftd->nice_given = true;
    return true;
}

/* FILE[,SIZE]; a name may have commas when a size is given. */
static bool raftd_parse_record(struct raftd *raftd, const char *value)
{
    static char path[4096];
    const char *comma = strrchr(value, ',');
    const size_t bytes = comma != NULL ? (size_t)(comma - value) : strlen(value);
    if (bytes == 0 || bytes >= sizeof(path))
        return false;
    snprintf(path, sizeof path, "%.*s", (int)bytes, value);
    raftd->record = path;
    return comma == NULL || (text_parse_bytes(comma + 1, &raftd->record_bytes) && raftd->record_bytes > 0);
}

/* One flag with its value, NULL when there is none. False when there is no such flag. */
static bool raftd_parse_flag(struct raftd *raftd, const char *flag, const char *given)
{
    bool valid = true;
    const char *value = given != NULL ? given : "";
    if (strcmp(flag, "--id") == 0)
        raftd_parse_number(flag, value, 1, UINT64_MAX - 1, &raftd->id);
    else if (strcmp(flag, "--cluster-id") == 0)
        raftd_parse_number(flag, value, 1, UINT64_MAX, &raftd->cluster_id);
    else if (strcmp(flag, "--election-timeout-ms") == 0)
        raftd_parse_number(flag, value, 10, 600000, &raftd->election_timeout_ms);
    else if (strcmp(flag, "--heartbeat-ms") == 0)
        raftd_parse_number(flag, value, 1, 300000, &raftd->heartbeat_ms);
    else if (strcmp(flag, "--lease-drift-ppm") == 0)
        raftd_parse_number(flag, value, 0, LEASE_DRIFT_PPM_MAX, &raftd->lease_drift_ppm);
    else if (strcmp(flag, "--cluster") == 0)
        raftd->cluster = value;
    else if (strcmp(flag, "--join") == 0)
        raftd->join = value;
    else if (strcmp(flag, "--data") == 0)
        raftd->data = value;
    else if (strcmp(flag, "--listen") == 0)
        raftd->listen = value;
    else if (strcmp(flag, "--wal-size") == 0)
        raftd->wal_given = valid = text_parse_bytes(value, &raftd->wal_bytes);
    else if (strcmp(flag, "--nice") == 0)
        valid = raftd_parse_nice(raftd, value);
    else if (strcmp(flag, "--record") == 0)
        valid = raftd_parse_record(raftd, value);
    else if (strcmp(flag, "--io") == 0)
        valid = io_choice_parse(value, &raftd->io);
    else if (strcmp(flag, "--sync") == 0)
        valid = sync_method_parse(value, &raftd->sync);
    else if (strcmp(flag, "--naming") == 0) {
        raftd->strict_naming = strcmp(value, "strict") == 0;
        valid = raftd->strict_naming || strcmp(value, "deferred") == 0;
    } else if (strcmp(flag, "--log-level") == 0)
        valid = logger_level_parse(value, &raftd->log_level);
    else if (strcmp(flag, "--log-format") == 0)
        valid = logger_format_parse(value, &raftd->log_format);
    else
        return false;
    if (value[0] == '\0' || strncmp(value, "--", 2) == 0)
        raftd_exit(EXIT_USAGE, "%s: needs a value", flag);
    if (!valid)
        raftd_exit(EXIT_USAGE, "%s %s: not a value of this flag (see --help)", flag, value);
    return true;
}

/* What the flags say together. */
static void raftd_check(struct raftd *raftd)
{
    if (raftd->id == 0 || raftd->data == NULL)
        raftd_exit(EXIT_USAGE, "%s: missing (see --help)", raftd->id == 0 ? "--id" : "--data");
    if (raftd->join != NULL && (raftd->cluster != NULL || raftd->rejoin))
        raftd_exit(EXIT_USAGE, "--join: not together with %s", raftd->rejoin ? "--rejoin" : "--cluster");
    const int exists = datadir_exists(raftd->data);
    if (exists < 0)
        raftd_exit(EXIT_FAILED, "%s/wal: %s", raftd->data, strerror(-exists));
    raftd->exists = exists != 0;
    if (raftd->cluster == NULL && !raftd->exists) {
        if (raftd->join == NULL)
            raftd_exit(EXIT_USAGE, "--cluster: missing, and %s holds no node yet (see --help)", raftd->data);
        if (raftd->listen == NULL)
            raftd_exit(EXIT_USAGE, "--listen: missing: with --join nothing else says where this node is");
    }
    struct limits ignored;
    if (!datadir_limits(raftd->wal_bytes, &ignored))
        raftd_exit(EXIT_USAGE, "--wal-size: %llu bytes is out of range: from 16M to 1024G",
                   (unsigned long long)raftd->wal_bytes);
    if (raftd->io == IO_CHOICE_EPOLL && sync_method_needs_ring(raftd->sync))
        raftd_exit(EXIT_USAGE, "--sync %s: needs io_uring, not --io epoll", sync_method_text(raftd->sync));
    if (2 * raftd->heartbeat_ms > raftd->election_timeout_ms)
        raftd_exit(EXIT_USAGE, "--heartbeat-ms %llu: must be at most half of --election-timeout-ms, %llu",
                   (unsigned long long)raftd->heartbeat_ms, (unsigned long long)raftd->election_timeout_ms);
}

static void raftd_parse(struct raftd *raftd, int argc, char **argv)
{
    for (int at = 1; at < argc; at++) {
        char flag[32];
        const char *equals = strchr(argv[at], '=');
        size_t flag_bytes = equals != NULL ? (size_t)(equals - argv[at]) : strlen(argv[at]);
        if ((strncmp(argv[at], "--", 2) != 0 && strcmp(argv[at], "-h") != 0) || flag_bytes >= sizeof(flag))
            raftd_exit(EXIT_USAGE, "%s: unknown argument (see --help)", argv[at]);
        memcpy(flag, argv[at], flag_bytes);
        flag[flag_bytes] = '\0';
        if (is_help(argv[at]))
            exit(raftd_print(help));
        if (strcmp(argv[at], "--version") == 0)
            exit(raftd_print("raftd " RAFTD_VERSION "\n"));
        if (strcmp(argv[at], "--unsafe-buffered") == 0 || strcmp(argv[at], "--rejoin") == 0) {
            *(argv[at][2] == 'r' ? &raftd->rejoin : &raftd->buffered) = true;
            continue;
        }
        const char *value = equals != NULL ? equals + 1 : at + 1 < argc ? argv[++at] : NULL;
        if (!raftd_parse_flag(raftd, flag, value))
            raftd_exit(EXIT_USAGE, "%s: unknown flag (see --help)", flag);
    }
    raftd_check(raftd);
}

static void raftd_parse_member(struct raftd *raftd, const char *text, size_t count)
{
    char member[128];
    snprintf(member, sizeof(member), "%.*s", (int)u64_min(count, sizeof(member) - 1), text);
    char *equals = strchr(member, '=');
    uint64_t id = 0;
    if (equals != NULL)
        *equals = '\0';
    if (equals == NULL || !text_parse_u64(member, &id) || id == 0 || id == UINT64_MAX)
        raftd_exit(EXIT_USAGE, "--cluster: '%.*s': expected ID=HOST:PORT", (int)count, text);
    if (raftd->voter_count == VOTERS_MAX)
        raftd_exit(EXIT_USAGE, "--cluster: more than %d members", VOTERS_MAX);
    struct endpoint *endpoint = &raftd->endpoints[raftd->voter_count];
    int result = endpoint_parse(equals + 1, strlen(equals + 1), endpoint);
    if (result == -EHOSTUNREACH)
        raftd_exit(EXIT_FAILED, "--cluster: '%.*s': no such host", (int)count, text);
    if (result < 0)
        raftd_exit(EXIT_USAGE, "--cluster: '%.*s': expected ID=HOST:PORT with a port from 1 to 65535", (int)count,
                   text);
    for (uint32_t slot = 0; slot < raftd->voter_count; slot++) {
        if (raftd->voters[slot].id == id || strcmp(raftd->voters[slot].address, endpoint->text) == 0)
            raftd_exit(EXIT_USAGE, "--cluster: '%.*s': this id or address occurs twice", (int)count, text);
    }
    struct member *voter = &raftd->voters[raftd->voter_count++];
    voter->id = id;
    voter->roles = MEMBER_VOTER;
    memcpy(voter->address, endpoint->text, sizeof(voter->address));
}

/* Sorted by id, so that the order on the command line means nothing. */
static void raftd_sort_members(struct raftd *raftd)
{
    for (uint32_t sorted = 1; sorted < raftd->voter_count; sorted++) {
        for (uint32_t slot = sorted; slot > 0 && raftd->voters[slot].id < raftd->voters[slot - 1].id; slot--) {
            struct member voter = raftd->voters[slot];
            struct endpoint endpoint = raftd->endpoints[slot];
            raftd->voters[slot] = raftd->voters[slot - 1];
            raftd->endpoints[slot] = raftd->endpoints[slot - 1];
            raftd->voters[slot - 1] = voter;
            raftd->endpoints[slot - 1] = endpoint;
        }
    }
}

static void raftd_parse_cluster(struct raftd *raftd)
{
    const char *text = raftd->cluster;
    if (text == NULL)
        return;
    for (;;) {
        size_t count = strcspn(text, ",");
        raftd_parse_member(raftd, text, count);
        if (text[count] == '\0')
            break;
        text += count + 1;
    }
    raftd_sort_members(raftd);
    if (raftd->rejoin && raftd->voter_count == 1)
        raftd_exit(EXIT_USAGE, "--rejoin: a cluster of one has nobody else who knows what it held");
    for (uint32_t slot = 0; slot < raftd->voter_count; slot++) {
        if (raftd->voters[slot].id == raftd->id)
            return;
    }
    raftd_exit(EXIT_USAGE, "--id %llu: not a member of --cluster %s", (unsigned long long)raftd->id, raftd->cluster);
}

/* Two clusters that share no member list share no cluster id, without anybody having to invent one. */
static uint64_t raftd_default_cluster_id(const struct raftd *raftd)
{
    uint64_t id = checksum64(raftd->voters, raftd->voter_count * sizeof(raftd->voters[0]), 0);
    return id != 0 ? id : 1;
}

/* What --cluster says of this node, or what its directory does. */
static const char *raftd_address(const struct raftd *raftd, const struct configuration *stored)
{
    const uint32_t slot = configuration_slot(stored, raftd->id);
    if (raftd->listen != NULL)
        return raftd->listen;
    if (slot < MEMBERS_MAX)
        return stored->members[slot].address;
    for (uint32_t at = 0; at < raftd->voter_count; at++)
        if (raftd->voters[at].id == raftd->id)
            return raftd->voters[at].address;
    return NULL;
}

static int raftd_bind(const struct raftd *raftd, const struct configuration *stored)
{
    struct endpoint endpoint;
    const char *address = raftd_address(raftd, stored);
    if (address == NULL)
        raftd_exit(EXIT_USAGE, "--listen: missing: %s does not say where this node is", raftd->data);
    if (endpoint_parse(address, strlen(address), &endpoint) < 0)
        raftd_exit(EXIT_USAGE, "--listen %s: expected HOST:PORT of this machine, the port from 1 to 65535", address);
    int fd = node_bind(&endpoint);
    if (fd < 0)
        raftd_exit(EXIT_FAILED, "cannot listen on %s: %s", endpoint.text, strerror(-fd));
    return fd;
}

/* What a new directory is formatted with. */
static struct configuration raftd_configuration(const struct raftd *raftd)
{
    struct configuration configuration = { .id = { .term = 0 } };
    memcpy(configuration.members, raftd->voters, sizeof(raftd->voters));
    return configuration;
}

/* Are the members that --cluster lists those of the directory, at the same addresses? */
static bool raftd_lists(const struct raftd *raftd, const struct configuration *stored)
{
    for (uint32_t at = 0; at < raftd->voter_count; at++) {
        const uint32_t slot = configuration_slot(stored, raftd->voters[at].id);
        if (slot == MEMBERS_MAX || strcmp(stored->members[slot].address, raftd->voters[at].address) != 0)
            return false;
    }
    return bits_count(configuration_members(stored)) == raftd->voter_count;
}

/* What an existing directory overrules. */
static void raftd_compare(const struct raftd *raftd, const struct datadir *datadir)
{
    struct limits given;
    char text[192];
    ASSERT(datadir->cluster_id != 0);
    if (datadir->formatted)
        return;
    if (raftd->rejoin || raftd->join != NULL)
        LOG(LOG_LEVEL_INFO, raftd->rejoin ? "rejoin-unused" : "join-unused",
            FIELD_TEXT("note", raftd->rejoin ? "--rejoin is for a new directory; this one stands"
                                             : "--join is for a new directory; this one stands"),
            FIELD_TEXT("data", raftd->data));
    if (raftd->cluster != NULL && !raftd_lists(raftd, &datadir->configuration)) {
        snprintf(text, sizeof text,
                 "data directory of cluster %llu names other members than --cluster; it rules, --cluster is ignored",
                 (unsigned long long)datadir->cluster_id);
        LOG(LOG_LEVEL_WARN, "cluster-differs", FIELD_TEXT("cause", text), FIELD_TEXT("data", raftd->data));
    }
    const uint64_t stored = limits_wal_bytes(&datadir->limits);
    if (raftd->wal_given && datadir_limits(raftd->wal_bytes, &given) && limits_wal_bytes(&given) != stored) {
        snprintf(text, sizeof text, "--wal-size is for a new directory; the stored size of %llu bytes stands",
                 (unsigned long long)stored);
        LOG(LOG_LEVEL_INFO, "wal-size", FIELD_TEXT("note", text), FIELD_TEXT("data", raftd->data));
    }
}

static void raftd_config(const struct raftd *raftd, struct replica_config *config)
{
    *config = (struct replica_config){
        .cluster_id = raftd->cluster_id,
        .node_id = raftd->id,
        .election_timeout_ns = raftd->election_timeout_ms * 1000000,
        .heartbeat_interval_ns = raftd->heartbeat_ms * 1000000,
        .pre_vote = true,
        .check_quorum = true,
        .strict_naming = raftd->strict_naming,
        .lease_drift_ppm = (uint32_t)raftd->lease_drift_ppm,
    };
    struct replica_config checked = *config;
    checked.cluster_id = raftd_default_cluster_id(raftd);
    const char *problem = replica_config_problem(&checked);
    if (problem != NULL)
        raftd_exit(EXIT_USAGE, "%s", problem);
}

/* A new node must know whose frames to believe. */
static void raftd_join(const struct raftd *raftd, struct replica_config *config)
{
    char error[JOIN_ERROR_BYTES];
    if (raftd->join == NULL || raftd->exists)
        return;
    ASSERT(raftd->listen != NULL);
    const struct join_options options = {
        .peers = raftd->join,
        .address = raftd->listen,
        .node_id = raftd->id,
        .cluster_id = raftd->cluster_id,
        .timeout_ns = JOIN_TIMEOUT_NS,
    };
    if (!join_ask(&options, &config->cluster_id, error))
        raftd_exit(EXIT_FAILED, "%s", error);
}

/* NULL: nothing is to be recorded. */
static struct recorder *raftd_record(const struct raftd *raftd, const struct datadir *datadir,
                                     const struct replica_config *config)
{
    char error[RECORDER_ERROR_BYTES];
    if (raftd->record == NULL)
        return NULL;
    struct recorder *recorder = recorder_open(
        &(struct recorder_options){
            .path = raftd->record,
            .bytes = raftd->record_bytes,
            .release = RAFTD_VERSION,
            .limits = &datadir->limits,
            .config = config,
            .configuration = &datadir->configuration,
        },
        error);
    if (recorder == NULL)
        raftd_exit(EXIT_FAILED, "%s", error);
    return recorder;
}

static void print_restored(const char *path, uint64_t node_id, const struct restore_result *result, bool json)
{
    const struct snapshot_header *header = &result->header;
    struct report report = { .json = json };
    report_text(&report,
                "restored %llu pages, the state behind entry %llu of cluster %llu, into %s\n"
                "node %llu of cluster %llu: start it and the others, restored from the same file, as usual\n",
                (unsigned long long)result->pages, (unsigned long long)header->id.index,
                (unsigned long long)header->cluster_id, path, (unsigned long long)node_id,
                (unsigned long long)result->cluster_id);
    report_object(&report, NULL);
    report_string(&report, "directory", path);
    report_number(&report, "node_id", node_id);
    report_id(&report, "cluster_id", result->cluster_id);
    report_id(&report, "old_cluster_id", header->cluster_id);
    report_number(&report, "index", header->id.index);
    report_number(&report, "term", header->id.term);
    report_number(&report, "pages", result->pages);
    report_hash(&report, "checkpoint_hash", result->checkpoint.hash);
    report_close(&report);
}

/* Which flags of a node are also those of restore? */
static bool restore_takes(const char *argument)
{
    static const char *const flags[] = { "--id", "--cluster", "--cluster-id", "--wal-size", "--unsafe-buffered" };
    bool known = argument[0] != '-';
    for (size_t slot = 0; slot < ARRAY_COUNT(flags) && !known; slot++)
        known = strncmp(argument, flags[slot], strcspn(argument, "=")) == 0;
    return known;
}

/* raftd restore FILE DIR FLAG... */
static int raftd_restore(struct raftd *raftd, int argc, char **argv)
{
    enum { WORDS = 3 }; /* "restore", FILE, DIR */
    int kept = 1 + WORDS;
    bool json = false;
    for (int at = 2; at < argc; at++)
        if (is_help(argv[at]))
            return raftd_print(restore_help);
    if (argc < 1 + WORDS || argv[2][0] == '-' || argv[3][0] == '-')
        raftd_exit(EXIT_USAGE, "restore: which file, into which directory? (see restore --help)");
    for (int at = 1 + WORDS; at < argc; at++) {
        const bool asks = strcmp(argv[at], "--json") == 0;
        if (!asks && !restore_takes(argv[at]))
            raftd_exit(EXIT_USAGE, "restore: %s: not a flag of this command (see restore --help)", argv[at]);
        json |= asks;
        if (!asks)
            argv[kept++] = argv[at];
    }
    raftd->data = argv[3];
    raftd_parse(raftd, kept - WORDS, argv + WORDS);
    raftd_parse_cluster(raftd);
    struct restore_options options = {
        .file = argv[2],
        .directory = { .path = raftd->data, .wal_bytes = raftd->wal_bytes, .buffered = raftd->buffered },
        .configuration = raftd_configuration(raftd),
    };
    raftd_config(raftd, &options.config);
    struct restore_result result;
    if (!restore_run(&options, &result))
        raftd_exit(EXIT_FAILED, "restore: %s", result.error);
    print_restored(raftd->data, raftd->id, &result, json);
    return raftd_end(EXIT_LEFT);
}

static void print_recovered(const char *path, const struct recover_result *result, bool json)
{
    struct report report = { .json = json };
    const unsigned long long node_id = result->node_id, old_cluster_id = result->old_cluster_id;
    report_text(
        &report,
        "node %llu is the only voter of the new cluster %llu, with the state behind entry %llu of cluster %llu\n"
        "the members were:",
        node_id, (unsigned long long)result->cluster_id, (unsigned long long)result->id.index, old_cluster_id);
    report_object(&report, NULL);
    report_string(&report, "directory", path);
    report_string(&report, "before", result->before);
    report_number(&report, "node_id", node_id);
    report_string(&report, "address", result->address);
    report_id(&report, "cluster_id", result->cluster_id);
    report_id(&report, "old_cluster_id", old_cluster_id);
    report_number(&report, "index", result->id.index);
    report_number(&report, "term", result->id.term);
    report_array(&report, "old_members");
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++) {
        const struct member *member = &result->old.members[slot];
        if (member->id == 0)
            continue;
        report_text(&report, " %llu=%s", (unsigned long long)member->id, member->address);
        report_object(&report, NULL);
        report_number(&report, "id", member->id);
        report_string(&report, "address", member->address);
        report_close(&report);
    }
    report_close(&report);
    report_close(&report);
    report_text(
        &report,
        "\nLOST: whatever was acknowledged and had not reached this node. What had reached it counts, though it "
        "may never\nhave been acknowledged. No other node of cluster %llu may be started again: make them new, "
        "with --join.\nthe old directory is %s; start the node with\n  raftd --id %llu --data %s --listen %s\n",
        old_cluster_id, result->before, node_id, path, result->address);
}

/* raftd recover --force-new-cluster DIR [--cluster-id N] [--json] */
static int raftd_recover(int argc, char **argv)
{
    struct recover_options options = { .path = NULL };
    struct recover_result result;
    bool forced = false, json = false;
    for (int at = 2; at < argc; at++) {
        if (is_help(argv[at]))
            return raftd_print(recover_help);
        if (strcmp(argv[at], "--force-new-cluster") == 0)
            forced = true;
        else if (strcmp(argv[at], "--json") == 0)
            json = true;
        else if (strcmp(argv[at], "--unsafe-buffered") == 0)
            options.buffered = true;
        else if (strcmp(argv[at], "--cluster-id") == 0 && at + 1 < argc)
            raftd_parse_number(argv[at], argv[at + 1], 1, UINT64_MAX, &options.cluster_id), at++;
        else if (argv[at][0] == '-' || options.path != NULL)
            raftd_exit(EXIT_USAGE, "recover: %s: not expected (see recover --help)", argv[at]);
        else
            options.path = argv[at];
    }
    if (options.path == NULL)
        raftd_exit(EXIT_USAGE, "recover: which data directory? (see recover --help)");
    if (!forced)
        raftd_exit(EXIT_USAGE,
                   "recover: %s leaves its cluster for ever, and what only the others have is lost: if that is meant, "
                   "say --force-new-cluster",
                   options.path);
    if (!recover_run(&options, &result))
        raftd_exit(EXIT_FAILED, "recover: %s", result.error);
    print_recovered(options.path, &result, json);
    return raftd_end(EXIT_LEFT);
}

/* raftd inspect DIR [--batches] [--dump] [--json] */
static int raftd_inspect(int argc, char **argv)
{
    struct survey_options options = { .path = NULL };
    for (int i = 2; i < argc; i++) {
        if (is_help(argv[i]))
            return raftd_print(inspect_help);
        if (strcmp(argv[i], "--dump") == 0)
            options.dump = true;
        else if (strcmp(argv[i], "--batches") == 0)
            options.batches = true;
        else if (strcmp(argv[i], "--json") == 0)
            options.json = true;
        else if (argv[i][0] == '-')
            raftd_exit(EXIT_USAGE, "inspect: %s: no such flag (see inspect --help)", argv[i]);
        else if (options.path != NULL)
            raftd_exit(EXIT_USAGE, "inspect: %s: one directory at a time", argv[i]);
        else
            options.path = argv[i];
    }
    if (options.path == NULL)
        raftd_exit(EXIT_USAGE, "inspect: which data directory? (see inspect --help)");
    switch (survey_print(&options)) {
    case SURVEY_WHOLE: return raftd_end(EXIT_LEFT);
    case SURVEY_DAMAGED: return raftd_end(EXIT_STOPPED);
    case SURVEY_UNREADABLE: return EXIT_FAILED;
    }
    UNREACHABLE();
}

int main(int argc, char **argv)
{
    signal(SIGXFSZ, SIG_IGN); /* a file at its size limit is a full disk: the write fails, and says so */
    if (argc > 1 && strcmp(argv[1], "inspect") == 0)
        return raftd_inspect(argc, argv);
    if (argc > 1 && strcmp(argv[1], "recover") == 0)
        return raftd_recover(argc, argv);
    static struct raftd raftd = {
        .wal_bytes = UINT64_C(1) << 30,
        .election_timeout_ms = 500,
        .heartbeat_ms = 50,
        .log_level = LOG_LEVEL_INFO,
    };
    if (argc > 1 && strcmp(argv[1], "restore") == 0)
        return raftd_restore(&raftd, argc, argv);
    raftd_parse(&raftd, argc, argv);
    raftd_parse_cluster(&raftd);
    struct replica_config config;
    raftd_config(&raftd, &config);
    if (getrandom(&config.seed, sizeof(config.seed), 0) != (ssize_t)sizeof(config.seed))
        raftd_exit(EXIT_FAILED, "no random numbers: %s", strerror(errno));
    logger_configure(raftd.log_level, raftd.log_format, raftd.id);
    if (raftd.nice_given && setpriority(PRIO_PROCESS, 0, raftd.nice) != 0)
        raftd_exit(EXIT_FAILED, "--nice %d: %s", raftd.nice, strerror(errno));

    /* Before anything is made: a wrong address leaves nothing behind. */
    const struct configuration configuration = raftd_configuration(&raftd);
    int listen_fd = raftd.exists ? -1 : raftd_bind(&raftd, &configuration);
    raftd_join(&raftd, &config);
    struct datadir_options options = {
        .path = raftd.data,
        .wal_bytes = raftd.wal_bytes,
        .buffered = raftd.buffered,
        .configuration = &configuration,
        .rejoin = raftd.rejoin,
    };
    struct datadir datadir;
    if (!datadir_open(&datadir, &options, &config, raftd_default_cluster_id(&raftd)))
        raftd_exit(EXIT_FAILED, "%s", datadir.error);
    config.cluster_id = datadir.cluster_id;
    if (listen_fd < 0)
        listen_fd = raftd_bind(&raftd, &datadir.configuration);
    raftd_compare(&raftd, &datadir);
    struct recorder *recorder = raftd_record(&raftd, &datadir, &config);
    switch (node_run(&(struct node_options){
        .limits = &datadir.limits,
        .config = &config,
        .configuration = &datadir.configuration,
        .data_path = raftd.data,
        .device_fds = { [DEVICE_WAL] = datadir.wal_fd, [DEVICE_DATA] = datadir.data_fd },
        .listen_fd = listen_fd,
        .io = raftd.io,
        .sync = raftd.sync,
        .recorder = recorder,
    })) {
    case NODE_LEFT: return EXIT_LEFT;
    case NODE_STOPPED: return EXIT_STOPPED;
    case NODE_REMOVED: return EXIT_REMOVED;
    case NODE_FAILED: return EXIT_FAILED;
    }
    return EXIT_FAILED;
}

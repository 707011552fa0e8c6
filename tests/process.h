/* Real processes for end-to-end tests: start, kill, run to the end, clusters of raftd on free loopback ports.
 *
 * Programs come from the directory that BIN names. All files live in one fresh directory below it (on the filesystem
 * of the build, because a WAL wants O_DIRECT), which goes away with the processes when the test program ends, however
 * it ends; a killed test program takes its processes along. When a test failed, the ends of the nodes' logs are
 * printed. */
#ifndef WW_PROCESS_H
#define WW_PROCESS_H

#include "test.h"

#include "../core/replica.h"
#include "../io/client.h"
#include "../io/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROCESSES_MAX = 64, PATH_BYTES = 512, ARGUMENTS_MAX = 48, OUTPUT_BYTES = 16 * 1024, NODES_MAX = 10 };

static pid_t process_pids[PROCESSES_MAX];
static char process_root[PATH_BYTES / 2];
static bool process_failed; /* set while a test runs, cleared when it held */

/* ---- paths ---- */

static inline void sleep_ms(uint64_t ms)
{
    const struct timespec time = { .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000 * NS_PER_MS) };
    nanosleep(&time, NULL);
}

static inline int process_remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static inline const char *process_bin(void)
{
    const char *bin = getenv("BIN");
    return bin != NULL && bin[0] != '\0' ? bin : "build";
}

static inline void process_print_tail(const char *path)
{
    char text[1500];
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    const off_t end = lseek(fd, 0, SEEK_END);
    lseek(fd, end > (off_t)sizeof text ? end - (off_t)sizeof text : 0, SEEK_SET);
    const ssize_t count = read(fd, text, sizeof text);
    close(fd);
    printf("---- end of %s\n%.*s", path, (int)(count > 0 ? count : 0), text);
}

static inline int process_print_logs(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)walk;
    if (type == FTW_F && strcmp(path + strlen(path) - 4, ".log") == 0)
        process_print_tail(path);
    return 0;
}

static inline void process_cleanup(void)
{
    for (uint32_t slot = 0; slot < PROCESSES_MAX; slot++) {
        if (process_pids[slot] == 0)
            continue;
        kill(process_pids[slot], SIGKILL);
        waitpid(process_pids[slot], NULL, 0);
        process_pids[slot] = 0;
    }
    if (process_root[0] == '\0')
        return;
    if (process_failed)
        nftw(process_root, process_print_logs, 16, FTW_PHYS);
    nftw(process_root, process_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    process_root[0] = '\0';
}

/* Exits in an orderly way on SIGTERM, which is how the runner ends a test that takes too long, and on SIGINT. */
static inline void *process_await_signal(void *argument)
{
    int signal_number = 0;
    sigwait(argument, &signal_number);
    exit(1);
}

/* First in each test: a fresh directory, and nothing left of a test that failed before. */
static inline void process_begin(void)
{
    static bool registered;
    static sigset_t signals;
    pthread_t thread;
    process_cleanup();
    process_failed = true;
    if (!registered) {
        atexit(process_cleanup);
        sigemptyset(&signals);
        sigaddset(&signals, SIGTERM);
        sigaddset(&signals, SIGINT);
        ASSERT(pthread_sigmask(SIG_BLOCK, &signals, NULL) == 0);
        ASSERT(pthread_create(&thread, NULL, process_await_signal, &signals) == 0);
        pthread_detach(thread);
    }
    registered = true;
    snprintf(process_root, sizeof process_root, "%s/test.XXXXXX", process_bin());
    ASSERT(mkdtemp(process_root) != NULL);
}

/* Last in each test. */
static inline void process_end(void)
{
    process_failed = false;
    process_cleanup();
}

/* ---- processes ---- */

static inline uint32_t process_slot(pid_t pid)
{
    for (uint32_t slot = 0; slot < PROCESSES_MAX; slot++)
        if (process_pids[slot] == pid)
            return slot;
    ASSERT(false);
    return 0;
}

/* argv[0] is the name of a program of ours. file_bytes_max: RLIMIT_FSIZE of the process; 0: none. */
static inline pid_t process_start(const char *const *argv, int in_fd, int out_fd, int error_fd, uint64_t file_bytes_max)
{
    char path[PATH_BYTES];
    char *arguments[ARGUMENTS_MAX] = { path };
    snprintf(path, sizeof path, "%s/%s", process_bin(), argv[0]);
    for (uint32_t at = 1; argv[at] != NULL; at++) {
        ASSERT(at + 1 < ARGUMENTS_MAX);
        arguments[at] = strdup(argv[at]);
    }
    fflush(stdout);
    const uint32_t slot = process_slot(0);
    const pid_t parent = getpid();
    const pid_t pid = fork();
    ASSERT(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(127);
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        if (file_bytes_max > 0)
            setrlimit(RLIMIT_FSIZE, &(struct rlimit){ .rlim_cur = file_bytes_max, .rlim_max = file_bytes_max });
        dup2(in_fd, STDIN_FILENO);
        dup2(out_fd, STDOUT_FILENO);
        dup2(error_fd, STDERR_FILENO);
        execv(path, arguments);
        _exit(127);
    }
    process_pids[slot] = pid;
    for (uint32_t at = 1; arguments[at] != NULL; at++)
        free(arguments[at]);
    return pid;
}

enum { PROCESS_RUNNING = -1, PROCESS_SIGNALED = 1000 };

/* Exit status, PROCESS_SIGNALED + signal, or PROCESS_RUNNING when it has not ended by then. */
static inline int process_wait(pid_t pid, uint64_t timeout_ms)
{
    const uint64_t deadline_ns = clock_now_ns() + timeout_ms * NS_PER_MS;
    for (;;) {
        int status = 0;
        const pid_t waited = waitpid(pid, &status, WNOHANG);
        if (waited == pid) {
            process_pids[process_slot(pid)] = 0;
            return WIFEXITED(status) ? WEXITSTATUS(status) : PROCESS_SIGNALED + WTERMSIG(status);
        }
        if (clock_now_ns() >= deadline_ns)
            return PROCESS_RUNNING;
        sleep_ms(2);
    }
}

static inline int process_kill(pid_t pid, int signal_number)
{
    kill(pid, signal_number);
    return process_wait(pid, 10000);
}

/* A program that ended by itself: what it said, and how it ended. */
struct process_result {
    int status;
    char out[OUTPUT_BYTES];
    char error[OUTPUT_BYTES];
};

static inline void process_read_file(const char *path, char text[OUTPUT_BYTES])
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t count = fd < 0 ? 0 : read(fd, text, OUTPUT_BYTES - 1);
    text[count > 0 ? count : 0] = '\0';
    if (fd >= 0)
        close(fd);
}

static inline int process_open(const char *name, int flags, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%s/%s", process_root, name);
    const int fd = open(path, flags | O_CLOEXEC, 0600);
    ASSERT(fd >= 0);
    return fd;
}

/* Runs to the end, at most 30 seconds; then status is PROCESS_RUNNING, and it is killed. out: NULL, or where standard
 * output goes instead of into the result. */
static inline struct process_result process_run_onto(const char *const *argv, struct slice input,
                                                     uint64_t file_bytes_max, const char *out)
{
    struct process_result result;
    char in_path[PATH_BYTES];
    char out_path[PATH_BYTES] = "";
    char error_path[PATH_BYTES];
    int in_fd = process_open("in", O_WRONLY | O_CREAT | O_TRUNC, in_path);
    ASSERT(input.count == 0 || write(in_fd, input.bytes, input.count) == (ssize_t)input.count);
    close(in_fd);
    in_fd = process_open("in", O_RDONLY, in_path);
    const int out_fd =
        out != NULL ? open(out, O_WRONLY | O_CLOEXEC) : process_open("out", O_WRONLY | O_CREAT | O_TRUNC, out_path);
    const int error_fd = process_open("err", O_WRONLY | O_CREAT | O_TRUNC, error_path);
    ASSERT(out_fd >= 0);
    const pid_t pid = process_start(argv, in_fd, out_fd, error_fd, file_bytes_max);
    close(in_fd);
    close(out_fd);
    close(error_fd);
    result.status = process_wait(pid, 30000);
    if (result.status == PROCESS_RUNNING)
        process_kill(pid, SIGKILL);
    process_read_file(out_path, result.out);
    process_read_file(error_path, result.error);
    return result;
}

static inline struct process_result process_run_limited(const char *const *argv, struct slice input,
                                                        uint64_t file_bytes_max)
{
    return process_run_onto(argv, input, file_bytes_max, NULL);
}

#define ARGUMENTS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define RUN(...) process_run_limited(ARGUMENTS(__VA_ARGS__), (struct slice){ .count = 0 }, 0)
/* Nothing that it prints can be written. */
#define RUN_FULL(...) process_run_onto(ARGUMENTS(__VA_ARGS__), (struct slice){ .count = 0 }, 0, "/dev/full")

/* ---- clusters ---- */

struct cluster {
    uint32_t node_count;
    char members[PATH_BYTES];   /* 1=127.0.0.1:P,... */
    char endpoints[PATH_BYTES]; /* 127.0.0.1:P,... */
    char address[NODES_MAX][32];
    char data[NODES_MAX][PATH_BYTES];
    pid_t pid[NODES_MAX]; /* 0: down */
    const char *flags[8]; /* for every node, ends with NULL */
    uint32_t starts;
    uint32_t founders; /* the nodes behind them join; 0: all are founders */
};

/* Below the range from which the kernel takes source ports: a node that is down keeps its port free. Never the same
 * twice in one process: it goes on from where a random start left it. */
static inline uint16_t process_free_port(void)
{
    static uint32_t next;
    while (next == 0)
        ASSERT(getrandom(&next, sizeof next, 0) == (ssize_t)sizeof next);
    for (;;) {
        const uint16_t port = (uint16_t)(10000 + next++ % 20000);
        const struct sockaddr_in address = { .sin_family = AF_INET,
                                             .sin_port = htons(port),
                                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const bool free_now = bind(fd, (const struct sockaddr *)&address, sizeof address) == 0;
        close(fd);
        if (free_now)
            return port;
    }
}

static inline void cluster_init(struct cluster *cluster, uint32_t node_count)
{
    ASSERT(node_count > 0 && node_count <= NODES_MAX);
    *cluster = (struct cluster){ .node_count = node_count, .flags = { "--wal-size=160M" } };
    for (uint32_t slot = 0; slot < node_count; slot++) {
        const char *comma = slot > 0 ? "," : "";
        const size_t members = strlen(cluster->members);
        const size_t endpoints = strlen(cluster->endpoints);
        snprintf(cluster->address[slot], sizeof cluster->address[slot], "127.0.0.1:%u", (unsigned)process_free_port());
        snprintf(cluster->members + members, PATH_BYTES - members, "%s%u=%s", comma, (unsigned)slot + 1,
                 cluster->address[slot]);
        snprintf(cluster->endpoints + endpoints, PATH_BYTES - endpoints, "%s%s", comma, cluster->address[slot]);
        snprintf(cluster->data[slot], PATH_BYTES, "%s/node%u", process_root, (unsigned)slot + 1);
    }
}

static inline void cluster_start(struct cluster *cluster, uint32_t slot)
{
    ASSERT(slot < cluster->node_count && cluster->pid[slot] == 0);
    char id[12];
    char log[PATH_BYTES + 8];
    snprintf(id, sizeof id, "%u", (unsigned)slot + 1);
    snprintf(log, sizeof log, "%s.log", cluster->data[slot]);
    const bool joins = cluster->founders != 0 && slot >= cluster->founders;
    const char *argv[ARGUMENTS_MAX] = { "raftd",
                                        "--id",
                                        id,
                                        "--data",
                                        cluster->data[slot],
                                        joins ? "--join" : "--cluster",
                                        joins ? cluster->endpoints : cluster->members,
                                        joins ? "--listen" : NULL,
                                        joins ? cluster->address[slot] : NULL };
    for (uint32_t at = 0; cluster->flags[at] != NULL; at++)
        argv[(joins ? 9 : 7) + at] = cluster->flags[at];
    const int log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    ASSERT(log_fd >= 0 && null_fd >= 0);
    cluster->pid[slot] = process_start(argv, null_fd, log_fd, log_fd, 0);
    cluster->starts++;
    close(log_fd);
    close(null_fd);
}

/* Waits until the node's log has a line with this text. */
static inline bool cluster_log_says(const struct cluster *cluster, uint32_t slot, const char *text, uint64_t timeout_ms)
{
    char path[PATH_BYTES + 8];
    static char log[256 * 1024];
    snprintf(path, sizeof path, "%s.log", cluster->data[slot]);
    const uint64_t deadline_ns = clock_now_ns() + timeout_ms * NS_PER_MS;
    for (;;) {
        const int fd = open(path, O_RDONLY | O_CLOEXEC);
        ASSERT(fd >= 0);
        const ssize_t count = read(fd, log, sizeof log - 1);
        close(fd);
        log[count > 0 ? count : 0] = '\0';
        if (strstr(log, text) != NULL)
            return true;
        if (clock_now_ns() >= deadline_ns)
            return false;
        sleep_ms(20);
    }
}

static inline void cluster_start_all(struct cluster *cluster)
{
    for (uint32_t slot = 0; slot < cluster->node_count; slot++)
        if (cluster->pid[slot] == 0)
            cluster_start(cluster, slot);
}

/* The exit status as process_wait() has it. */
static inline int cluster_kill(struct cluster *cluster, uint32_t slot, int signal_number)
{
    ASSERT(cluster->pid[slot] != 0);
    const pid_t pid = cluster->pid[slot];
    cluster->pid[slot] = 0;
    return process_kill(pid, signal_number);
}

/* The slot of a node that ended by itself, or node_count. */
static inline uint32_t cluster_find_dead(struct cluster *cluster)
{
    for (uint32_t slot = 0; slot < cluster->node_count; slot++) {
        if (cluster->pid[slot] == 0)
            continue;
        const int status = process_wait(cluster->pid[slot], 0);
        if (status == PROCESS_RUNNING)
            continue;
        printf("node %u ended by itself: status %d\n", (unsigned)slot + 1, status);
        cluster->pid[slot] = 0;
        return slot;
    }
    return cluster->node_count;
}

static inline struct client *cluster_client(const struct cluster *cluster, uint64_t timeout_ms)
{
    const struct client_options options = { .endpoints = cluster->endpoints, .timeout_ns = timeout_ms * NS_PER_MS };
    struct client *client = NULL;
    ASSERT(client_open(&options, &client) == 0);
    return client;
}

/* The slot of the leader; node_count when there is none by then. */
static inline uint32_t cluster_leader(const struct cluster *cluster, uint64_t timeout_ms)
{
    struct client *client = cluster_client(cluster, 200);
    const uint64_t deadline_ns = clock_now_ns() + timeout_ms * NS_PER_MS;
    uint32_t leader = cluster->node_count;
    do {
        for (uint32_t slot = 0; slot < cluster->node_count && leader == cluster->node_count; slot++) {
            struct node_status status;
            if (cluster->pid[slot] != 0 && client_status(client, slot, &status).outcome == CLIENT_OK
                && status.role == RAFT_LEADER)
                leader = slot;
        }
        if (leader == cluster->node_count)
            sleep_ms(20);
    } while (leader == cluster->node_count && clock_now_ns() < deadline_ns);
    client_close(client);
    return leader;
}

/* Waits until all nodes that are up have applied the same index, and compares their state. */
static inline bool cluster_agrees(const struct cluster *cluster, uint64_t timeout_ms)
{
    struct client *client = cluster_client(cluster, 500);
    const uint64_t deadline_ns = clock_now_ns() + timeout_ms * NS_PER_MS;
    struct node_status first = { .node_id = 0 };
    struct node_status status;
    bool level = false;
    bool equal = true;
    while (!level && clock_now_ns() < deadline_ns) {
        level = equal = true;
        first.node_id = 0;
        for (uint32_t slot = 0; slot < cluster->node_count && level; slot++) {
            if (cluster->pid[slot] == 0)
                continue;
            level = client_status(client, slot, &status).outcome == CLIENT_OK && status.applied_index > 0;
            if (first.node_id == 0)
                first = status;
            level = level && status.applied_index == first.applied_index && status.commit_index == status.applied_index;
            equal = equal && status.state_digest == first.state_digest;
        }
        if (!level)
            sleep_ms(20);
    }
    client_close(client);
    if (!level)
        printf("the nodes did not reach one applied index in time\n");
    else if (!equal)
        printf("state digests differ at applied index %llu\n", (unsigned long long)first.applied_index);
    return level && equal;
}

#endif

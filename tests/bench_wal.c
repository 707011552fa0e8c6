/* How fast the log takes batches, against a plain io_uring loop on the same filesystem in the same run: the same block
 * sizes, the same depth, the same way to make a write durable.
 *
 *     bench_wal DIR [SECONDS [ROUNDS]]
 *
 * The plain loop overwrites a file of zeros from end to end, wal_depth writes in flight, each with RWF_DSYNC. It copies
 * what it writes, as everything that appends must: from where it came to memory as large as the file. Beside it the
 * same loop without that, called hot: it writes the same bytes again and again, and shows what having something to
 * write costs.
 *
 * The log is that of a node alone in its cluster, driven by the real core, devices and back end, on one thread. Its
 * entries come without a network: a command that fills the block and belongs to no session, so that the state machine
 * has nothing to do. Beside wal_depth batches in flight the next one gathers, as under any load that the log does not
 * keep up with. So it copies, hashes, names, commits, applies, checkpoints and gives memory back. Its bytes are those
 * of batches; the header ring is extra.
 *
 * While the machine is quiet all loops run on one core, not the one that takes the disk's interrupts if there is
 * another: there the kernel finishes the writes, and whoever computes beside it waits for himself.
 *
 * Machines change under a measurement, disks of others' machines more so: the loops take turns of a twentieth of a
 * second, another one first each time, and what is compared is each turn with the turns beside it. All loops have their
 * memory in huge pages. SECONDS is for each loop, ROUNDS repeats the table. First on the machine as it is; then busy,
 * with a spinning process per core, each in a session of its own, as other services of a machine are, which the
 * scheduler weighs against this one's session; last crowded, with the spinning processes in the loops' own session,
 * where it weighs thread against thread. */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../core/checksum.h"
#include "../core/inspect.h"
#include "../core/output.h"
#include "../core/request.h"
#include "../core/state.h"
#include "../core/wal.h"
#include "../io/clock.h"
#include "../io/datadir.h"
#include "../io/devices.h"
#include "../io/region.h"

enum {
    FILE_BYTES = 512 << 20,
    BLOCK_BYTES_LARGEST = 256 << 10,
    ENTRY_BYTES_MAX = 128 << 10,
    TURNS_MAX = 4096,
    HOGS_MAX = 64, /* of one kind */
    CORES_MAX = 64,
    EVENTS_MAX = 256,
};
#define TURN_NS (50 * NS_PER_MS)
static const uint32_t block_sizes[] = { 4 << 10, 16 << 10, 64 << 10, 256 << 10 };

_Noreturn void core_assert_failed(const char *expression, const char *file, int line)
{
    fprintf(stderr, "bench_wal: assertion failed: %s (%s:%d)\n", expression, file, line);
    abort();
}

static _Noreturn void give_up(const char *what, const char *cause)
{
    fprintf(stderr, "bench_wal: %s: %s\n", what, cause);
    exit(1);
}

static void *memory_take(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        give_up("memory", strerror(errno));
    return memory;
}

static void *region_take(size_t bytes)
{
    void *region = region_reserve(bytes);
    if (region == NULL)
        give_up("memory", strerror(errno));
    return region;
}

/* ---- the plain loop ---- */

struct plain {
    struct io_uring ring;
    int fd;
    uint8_t *bytes;
    uint8_t *memory; /* as large as the file */
    uint64_t next;   /* offset of the next write */
};

static void plain_open(struct plain *plain, const char *directory)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/plain", directory);
    plain->fd = open(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
    if (plain->fd < 0)
        give_up(path, strerror(errno));
    plain->bytes = memory_take(BLOCK_BYTES_LARGEST);
    memset(plain->bytes, 'x', BLOCK_BYTES_LARGEST);
    plain->memory = region_take(FILE_BYTES);
    memset(plain->memory, 'x', FILE_BYTES);
    for (uint64_t offset = 0; offset < FILE_BYTES; offset += BLOCK_BYTES_LARGEST)
        if (pwrite(plain->fd, plain->bytes, BLOCK_BYTES_LARGEST, (off_t)offset) != BLOCK_BYTES_LARGEST)
            give_up(path, strerror(errno));
    if (fsync(plain->fd) != 0)
        give_up(path, strerror(errno));
    const int result = io_uring_queue_init(64, &plain->ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
    if (result < 0)
        give_up("io_uring", strerror(-result));
}

static void plain_block(struct plain *plain, uint32_t block_bytes, bool hot)
{
    uint8_t *bytes = hot ? plain->bytes : plain->memory + plain->next;
    if (!hot)
        memcpy(bytes, plain->bytes, block_bytes);
    struct io_uring_sqe *sqe = io_uring_get_sqe(&plain->ring);
    io_uring_prep_write(sqe, plain->fd, bytes, block_bytes, plain->next);
    sqe->rw_flags = RWF_DSYNC;
    plain->next = (plain->next + block_bytes) % FILE_BYTES;
}

/* Bytes written. */
static uint64_t plain_measure(struct plain *plain, uint32_t block_bytes, bool hot)
{
    const uint64_t start_ns = clock_now_ns();
    uint32_t in_flight = 0;
    uint64_t done_bytes = 0;
    uint64_t now_ns = start_ns;
    plain->next -= plain->next % block_bytes;
    while (in_flight > 0 || now_ns < start_ns + TURN_NS) {
        for (; in_flight < limits_production.wal_depth && now_ns < start_ns + TURN_NS; in_flight++)
            plain_block(plain, block_bytes, hot);
        struct io_uring_cqe *cqe;
        io_uring_submit_and_wait(&plain->ring, 1);
        while (io_uring_peek_cqe(&plain->ring, &cqe) == 0) {
            if (cqe->res != (int)block_bytes)
                give_up("plain write", strerror(cqe->res < 0 ? -cqe->res : EIO));
            io_uring_cqe_seen(&plain->ring, cqe);
            done_bytes += block_bytes;
            in_flight--;
        }
        now_ns = clock_now_ns();
    }
    return done_bytes;
}

/* ---- the log ---- */

struct log_rig {
    struct datadir datadir;
    struct replica_config config;
    struct backend *backend;
    struct devices devices;
    struct replica *replica;
    struct output output;
    uint64_t batch_bytes; /* emitted */
    uint64_t batches;
    uint64_t names;
    uint8_t command[ENTRY_BYTES_MAX];
    struct io_event events[EVENTS_MAX];
};

static void log_step(struct log_rig *rig, struct input input)
{
    input.now_ns = clock_now_ns();
    replica_step(rig->replica, &input, &rig->output);
    for (uint32_t at = 0; at < rig->output.effect_count; at++) {
        const struct effect *effect = &rig->output.effects[at];
        switch (effect->kind) {
        case EFFECT_WRITE:
            if (effect->device == DEVICE_WAL && wal_operation_of(effect->op_id) == WAL_WRITE_BATCH) {
                rig->batch_bytes += effect->bytes.count;
                rig->batches++;
            } else if (effect->device == DEVICE_WAL && wal_operation_of(effect->op_id) == WAL_WRITE_NAME) {
                rig->names++;
            }
            devices_submit(&rig->devices, effect);
            break;
        case EFFECT_READ: devices_submit(&rig->devices, effect); break;
        case EFFECT_RELEASE: devices_give_back(effect); break;
        case EFFECT_SEND:
        case EFFECT_REPLY:
        case EFFECT_REFUSE: break;
        case EFFECT_STOP: give_up("log", stop_reason_text(effect->stop));
        }
    }
}

/* One turn of the node's loop: what was written goes to the kernel; completions, or the deadline. */
static void log_turn(struct log_rig *rig, uint64_t wait_ns_max)
{
    const uint64_t now_ns = clock_now_ns();
    const uint64_t deadline_ns = rig->output.deadline_ns;
    const uint64_t wait_ns = deadline_ns <= now_ns ? 0 : u64_min(deadline_ns - now_ns, wait_ns_max);
    const int count = rig->backend->table->collect(rig->backend, wait_ns, rig->events, EVENTS_MAX);
    if (count < 0)
        give_up("log", strerror(-count));
    for (int at = 0; at < count; at++) {
        struct input input;
        const uint32_t operation = devices_complete(&rig->devices, &rig->events[at], &input);
        input.more = at + 1 < count;
        log_step(rig, input);
        devices_release(&rig->devices, operation);
    }
    if (count == 0 && clock_now_ns() >= deadline_ns)
        log_step(rig, (struct input){ .kind = INPUT_TICK });
}

/* As many entries as fill a block, whenever as many are durable: besides wal_depth batches in flight, one gathers. */
static void log_fill(struct log_rig *rig, uint32_t per_block, uint32_t body_bytes)
{
    struct replica *replica = rig->replica;
    const struct request_header header = {
        .session = 1, /* there is none */
        .sequence = 1,
        .value_bytes = body_bytes - (uint32_t)sizeof header - 1,
        .key_bytes = 1,
        .kind = REQUEST_PUT,
    };
    memcpy(rig->command, &header, sizeof header);
    while (replica->log.last.index + per_block
           <= replica->wal.durable_index + per_block * (limits_production.wal_depth + 1)) {
        for (uint32_t left = per_block; left > 0; left--) {
            const struct entry entry = {
                .id = { .term = replica->stored.hard.term, .index = replica->log.last.index + 1 },
                .kind = ENTRY_COMMAND,
                .body = { .bytes = rig->command, .count = body_bytes },
            };
            output_reset(&rig->output);
            if (!wal_append(replica, &rig->output, &entry, replica->limits.wal_reserve_blocks))
                return; /* the next checkpoint makes room */
        }
        log_step(rig, (struct input){ .kind = INPUT_TICK });
    }
}

static void log_open(struct log_rig *rig, const char *directory, enum sync_method sync)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/log-%s", directory, sync_method_text(sync));
    rig->config = (struct replica_config){
        .node_id = 1,
        .seed = 1,
        .election_timeout_ns = 100 * NS_PER_MS,
        .heartbeat_interval_ns = 20 * NS_PER_MS,
    };
    const struct configuration configuration = {
        .members = { { .id = 1, .roles = MEMBER_VOTER, .address = "nowhere:1" } },
    };
    const struct datadir_options options = { .path = path, .wal_bytes = FILE_BYTES, .configuration = &configuration };
    if (!datadir_open(&rig->datadir, &options, &rig->config, 1))
        give_up("log", rig->datadir.error);
    rig->config.cluster_id = rig->datadir.cluster_id;
    const int result = backend_open(IO_CHOICE_URING, &sync, &rig->backend);
    if (result < 0)
        give_up("io_uring", strerror(-result));
    devices_init(&rig->devices, rig->backend, (const int[]){ rig->datadir.wal_fd, rig->datadir.data_fd }, path);
    rig->replica = replica_init(region_take(replica_bytes(&rig->datadir.limits)), &rig->datadir.limits, &rig->config);
    output_init(&rig->output, memory_take(output_bytes(&rig->datadir.limits)), &rig->datadir.limits);
    memset(rig->command, 'x', sizeof rig->command);
    log_step(rig, (struct input){ .kind = INPUT_START });
    while (rig->replica->role != RAFT_LEADER || rig->replica->commit == 0)
        log_turn(rig, NS_PER_S);
}

/* Bytes written. */
static uint64_t log_measure(struct log_rig *rig, uint32_t block_bytes)
{
    const uint32_t per_block = (block_bytes + ENTRY_BYTES_MAX - 1) / ENTRY_BYTES_MAX;
    const uint64_t room = (block_bytes - sizeof(struct wal_batch_header)) / per_block / 8 * 8;
    const uint32_t body_bytes = (uint32_t)(room - sizeof(struct entry_header));
    const uint64_t start_ns = clock_now_ns();
    const uint64_t before = rig->batch_bytes;
    while (clock_now_ns() < start_ns + TURN_NS) {
        log_turn(rig, 0);
        log_fill(rig, per_block, body_bytes);
        log_turn(rig, NS_PER_S);
    }
    while (rig->replica->wal.durable_index < rig->replica->log.last.index)
        log_turn(rig, NS_PER_S);
    return rig->batch_bytes - before;
}

/* ---- the comparison ---- */

enum load { LOAD_QUIET, LOAD_BUSY, LOAD_CROWDED, LOADS };
static const char *const load_names[] = { "quiet", "busy", "crowded" };

enum loop { LOOP_PLAIN, LOOP_HOT, LOOP_DSYNC, LOOP_ADAPTIVE, LOOPS };

static int compare_double(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

static double median(double *values, uint32_t count)
{
    qsort(values, count, sizeof values[0], compare_double);
    return values[count / 2];
}

/* Interrupts of devices until now, by core. Returns the cores. */
static uint32_t interrupts_count(uint64_t counts[CORES_MAX])
{
    char line[8192];
    uint32_t cores = 0;
    FILE *file = fopen("/proc/interrupts", "r");
    memset(counts, 0, CORES_MAX * sizeof counts[0]);
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        char *at = line + strspn(line, " ");
        for (const char *name = strstr(at, "CPU"); cores < CORES_MAX && name != NULL; name = strstr(name + 3, "CPU"))
            cores++;
        if (at[0] < '0' || at[0] > '9' || strchr(at, ':') == NULL)
            continue;
        at = strchr(at, ':') + 1;
        for (uint32_t core = 0; core < cores; core++)
            counts[core] += strtoull(at, &at, 10);
    }
    if (file != NULL)
        fclose(file);
    return cores;
}

/* The core with the fewest interrupts while the plain loop runs; all of them when that cannot be told. */
static void core_choose(struct plain *plain, cpu_set_t *set)
{
    uint64_t before[CORES_MAX], after[CORES_MAX];
    const uint32_t cores = interrupts_count(before);
    plain_measure(plain, block_sizes[0], false);
    if (cores < 2 || interrupts_count(after) != cores)
        return;
    uint32_t best = 0;
    for (uint32_t core = 1; core < cores; core++)
        if (after[core] - before[core] < after[best] - before[best])
            best = core;
    CPU_ZERO(set);
    CPU_SET(best, set);
}

struct hogs {
    uint32_t count;
    pid_t pids[HOGS_MAX];
};

/* Processes that spin while they are not stopped, one per core, and end with this one however that ends. They are made
 * before there is any memory to speak of, which would be shared with them until it is written. */
static void hogs_start(struct hogs *hogs, bool own_session)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const pid_t parent = getpid();
    while (hogs->count < (uint32_t)cores && hogs->count < HOGS_MAX) {
        const pid_t pid = fork();
        if (pid < 0)
            give_up("fork", strerror(errno));
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (own_session)
                setsid();
            raise(SIGSTOP);
            for (volatile uint64_t spin = 0; spin > 0 || getppid() == parent; spin = (spin + 1) % (1 << 30)) {}
            _exit(0);
        }
        waitpid(pid, NULL, WUNTRACED);
        hogs->pids[hogs->count++] = pid;
    }
}

static void hogs_signal(const struct hogs *hogs, int signal)
{
    for (uint32_t hog = 0; hog < hogs->count; hog++)
        kill(hogs->pids[hog], signal);
}

struct rig {
    struct plain plain;
    struct log_rig dsync;
    struct log_rig adaptive;
    double speed[LOOPS][TURNS_MAX];
    double ratio[LOOPS][TURNS_MAX];  /* to the plain loop's turn beside it */
    double cpu_us[LOOPS][TURNS_MAX]; /* of the loop's thread, for one block */
};

static void turn_measure(struct rig *rig, enum loop loop, uint32_t block_bytes, uint32_t turn)
{
    const uint64_t cpu_ns = clock_cpu_ns();
    struct log_rig *log = loop == LOOP_ADAPTIVE ? &rig->adaptive : &rig->dsync;
    const bool plain = loop == LOOP_PLAIN || loop == LOOP_HOT;
    const uint64_t start_ns = clock_now_ns();
    const uint64_t bytes =
        plain ? plain_measure(&rig->plain, block_bytes, loop == LOOP_HOT) : log_measure(log, block_bytes);
    const double seconds = (double)(clock_now_ns() - start_ns) / (double)NS_PER_S;
    rig->speed[loop][turn] = (double)bytes / seconds;
    rig->cpu_us[loop][turn] = (double)(clock_cpu_ns() - cpu_ns) / 1000 * block_bytes / (double)bytes;
}

/* Over all turns: medians of speeds, of ratios, of CPU time. */
static void size_measure(struct rig *rig, const char *cores, uint32_t block_bytes, uint32_t turns)
{
    const struct log_rig before = rig->dsync;
    for (uint32_t turn = 0; turn < turns; turn++) {
        for (uint32_t loop = 0; loop < LOOPS; loop++)
            turn_measure(rig, (enum loop)((turn + loop) % LOOPS), block_bytes, turn);
        for (uint32_t loop = 0; loop < LOOPS; loop++)
            rig->ratio[loop][turn] = rig->speed[loop][turn] / rig->speed[LOOP_PLAIN][turn];
    }
    printf("%-7s %5u", cores, block_bytes >> 10);
    for (uint32_t loop = 0; loop < LOOPS; loop++) {
        printf(" %9.1f %6.1f", median(rig->speed[loop], turns) / 1048576, median(rig->cpu_us[loop], turns));
        if (loop != LOOP_PLAIN)
            printf(" %5.2f", median(rig->ratio[loop], turns));
    }
    const double batches = (double)(rig->dsync.batches - before.batches);
    printf(" %7.1f %6.2f\n", (double)(rig->dsync.batch_bytes - before.batch_bytes) / batches / 1024,
           (double)(rig->dsync.names - before.names) / batches);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static struct rig rig;
    if (argc < 2 || argc > 4) {
        fprintf(stderr, "usage: bench_wal DIR [SECONDS [ROUNDS]]\n");
        return 2;
    }
    const uint64_t turns = (argc > 2 ? strtoull(argv[2], NULL, 10) : 3) * (NS_PER_S / TURN_NS);
    const uint64_t rounds = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
    if (turns == 0 || turns > TURNS_MAX || rounds == 0) {
        fprintf(stderr, "bench_wal: SECONDS must be in 1..%d, ROUNDS above 0\n", TURNS_MAX / 20);
        return 2;
    }
    if (mkdir(argv[1], 0700) != 0 && errno != EEXIST)
        give_up(argv[1], strerror(errno));
    struct hogs others = { 0 }, own = { 0 };
    hogs_start(&others, true);
    hogs_start(&own, false);
    plain_open(&rig.plain, argv[1]);
    cpu_set_t all, one;
    if (sched_getaffinity(0, sizeof all, &all) != 0)
        give_up("sched_getaffinity", strerror(errno));
    one = all;
    core_choose(&rig.plain, &one);
    log_open(&rig.dsync, argv[1], SYNC_DSYNC);
    log_open(&rig.adaptive, argv[1], SYNC_ADAPTIVE);
    printf("%-7s %5s %9s %6s %9s %6s %5s %9s %6s %5s %9s %6s %5s %7s %6s\n", "cores", "KiB", "plain", "us", "hot", "us",
           "ratio", "dsync", "us", "ratio", "adaptive", "us", "ratio", "batch", "names");
    for (uint64_t round = 0; round < rounds; round++)
        for (enum load load = LOAD_QUIET; load < LOADS; load++) {
            sched_setaffinity(0, sizeof all, load == LOAD_QUIET ? &one : &all);
            hogs_signal(&others, load == LOAD_BUSY ? SIGCONT : SIGSTOP);
            hogs_signal(&own, load == LOAD_CROWDED ? SIGCONT : SIGSTOP);
            for (uint32_t size = 0; size < ARRAY_COUNT(block_sizes); size++)
                size_measure(&rig, load_names[load], block_sizes[size], (uint32_t)turns);
        }
    hogs_signal(&others, SIGKILL);
    hogs_signal(&own, SIGKILL);
    return 0;
}

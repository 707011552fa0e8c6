/* How fast the log takes batches, against a plain io_uring loop on the same filesystem in the same run: the same block
 * sizes, the same depth, the same way to make a write durable.
 *
 *     bench_wal DIR [SECONDS [ROUNDS]]
 *
 * The plain loop overwrites a file of zeros from end to end, wal_depth writes in flight, each with RWF_DSYNC. The log
 * is that of a node alone in its cluster, driven by the real core, devices and back end: puts are handed to it without
 * a network, as many at once as fill one block, whenever a batch has been answered; so it hashes, names, applies and
 * checkpoints on one thread besides what the plain loop does. Its bytes are those of batches; the header ring is extra.
 *
 * The two take turns of SECONDS, ROUNDS times, first on the machine as it is, then with a spinning process per core. */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../core/inspect.h"
#include "../core/request.h"
#include "../core/wal.h"
#include "../io/clock.h"
#include "../io/datadir.h"
#include "../io/devices.h"

enum {
    FILE_BYTES = 256 << 20,
    BLOCK_BYTES_LARGEST = 256 << 10,
    SLOTS_MAX = 256,
    VALUE_BYTES = 3900, /* a block of 4 KiB holds one such put */
    ROUNDS_MAX = 32,
    HOGS_MAX = 64,
    EVENTS_MAX = 256,
};
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

/* ---- the plain loop ---- */

struct plain {
    struct io_uring ring;
    int fd;
    uint8_t *bytes;
    uint64_t next; /* offset of the next write */
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
    for (uint64_t offset = 0; offset < FILE_BYTES; offset += BLOCK_BYTES_LARGEST)
        if (pwrite(plain->fd, plain->bytes, BLOCK_BYTES_LARGEST, (off_t)offset) != BLOCK_BYTES_LARGEST)
            give_up(path, strerror(errno));
    if (fsync(plain->fd) != 0)
        give_up(path, strerror(errno));
    const int result = io_uring_queue_init(64, &plain->ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
    if (result < 0)
        give_up("io_uring", strerror(-result));
}

static void plain_submit(struct plain *plain, uint32_t block_bytes)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&plain->ring);
    io_uring_prep_write(sqe, plain->fd, plain->bytes, block_bytes, plain->next);
    sqe->rw_flags = RWF_DSYNC;
    plain->next = (plain->next + block_bytes) % FILE_BYTES;
}

/* Bytes a second. */
static uint64_t plain_measure(struct plain *plain, uint32_t block_bytes, uint64_t duration_ns)
{
    const uint64_t start_ns = clock_now_ns();
    uint32_t in_flight = 0;
    uint64_t done_bytes = 0;
    uint64_t now_ns = start_ns;
    plain->next -= plain->next % block_bytes;
    while (in_flight > 0 || now_ns < start_ns + duration_ns) {
        for (; in_flight < limits_production.wal_depth && now_ns < start_ns + duration_ns; in_flight++)
            plain_submit(plain, block_bytes);
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
    return (uint64_t)((double)done_bytes / (double)(now_ns - start_ns) * (double)NS_PER_S);
}

/* ---- the log ---- */

struct slot {
    uint64_t session;
    uint64_t sequence;
    bool waiting;
};

struct log_rig {
    struct datadir datadir;
    struct replica_config config;
    struct backend *backend;
    struct devices devices;
    struct replica *replica;
    struct output output;
    struct slot slots[SLOTS_MAX];
    uint32_t waiting;
    uint64_t batch_bytes; /* emitted */
    uint64_t name_bytes;
    uint8_t value[VALUE_BYTES];
    uint8_t frame[VALUE_BYTES + 256];
    struct io_event events[EVENTS_MAX];
};

static void log_reply(struct log_rig *rig, struct slice bytes)
{
    struct reply reply;
    if (reply_decode(bytes, rig->datadir.limits.frame_bytes_max, &reply) != FRAME_OK || reply.request_id >= SLOTS_MAX)
        give_up("log", "a reply that is none");
    struct slot *slot = &rig->slots[reply.request_id];
    if (!slot->waiting)
        give_up("log", "a reply that nobody waits for");
    slot->waiting = false;
    rig->waiting--;
    if (reply.status == REPLY_OK && slot->session == 0)
        slot->session = reply.session;
    else if (reply.status != REPLY_OK && slot->session != 0)
        give_up("log", reply_status_text(reply.status));
}

static void log_step(struct log_rig *rig, struct input input)
{
    input.now_ns = clock_now_ns();
    replica_step(rig->replica, &input, &rig->output);
    for (uint32_t at = 0; at < rig->output.effect_count; at++) {
        const struct effect *effect = &rig->output.effects[at];
        switch (effect->kind) {
        case EFFECT_REPLY: log_reply(rig, effect->bytes); break;
        case EFFECT_WRITE:
            if (wal_operation_of(effect->op_id) == WAL_WRITE_BATCH)
                rig->batch_bytes += effect->bytes.count;
            else if (wal_operation_of(effect->op_id) == WAL_WRITE_NAME)
                rig->name_bytes += effect->bytes.count;
            devices_submit(&rig->devices, effect);
            break;
        case EFFECT_READ: devices_submit(&rig->devices, effect); break;
        case EFFECT_RELEASE: madvise((void *)(uintptr_t)effect->bytes.bytes, effect->bytes.count, MADV_DONTNEED); break;
        case EFFECT_SEND:
        case EFFECT_REFUSE: break;
        case EFFECT_STOP: give_up("log", stop_reason_text(effect->stop));
        }
    }
}

/* One turn of the node's loop: completions, or the deadline. */
static void log_turn(struct log_rig *rig)
{
    const uint64_t now_ns = clock_now_ns();
    const uint64_t deadline_ns = rig->output.deadline_ns;
    const uint64_t wait_ns = deadline_ns <= now_ns ? 0 : u64_min(deadline_ns - now_ns, NS_PER_S);
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
    if (count == 0)
        log_step(rig, (struct input){ .kind = INPUT_TICK });
}

/* The slot's next request: its session first. */
static void log_request(struct log_rig *rig, uint32_t number, bool more)
{
    struct slot *slot = &rig->slots[number];
    struct request request = { .request_id = number, .kind = REQUEST_REGISTER };
    if (slot->session != 0) {
        request.kind = REQUEST_PUT;
        request.session = slot->session;
        request.sequence = ++slot->sequence;
        request.key = (struct slice){ .bytes = (const uint8_t *)"key", .count = 3 };
        request.value = (struct slice){ .bytes = rig->value, .count = VALUE_BYTES };
    }
    request_encode(&request, 0, rig->frame);
    slot->waiting = true;
    rig->waiting++;
    log_step(rig, (struct input){
                      .kind = INPUT_CLIENT_FRAME,
                      .client = 1,
                      .more = more,
                      .bytes = { .bytes = rig->frame, .count = request_bytes(&request) },
                  });
}

/* As many puts at once as fill a block, whenever so many slots are idle: batches of that size, two at a time. */
static void log_fill(struct log_rig *rig, uint32_t per_block)
{
    const uint32_t slots = per_block * limits_production.wal_depth;
    while (rig->waiting + per_block <= slots) {
        uint32_t left = per_block;
        for (uint32_t number = 0; number < slots && left > 0; number++)
            if (!rig->slots[number].waiting)
                log_request(rig, number, --left > 0);
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
    rig->replica = replica_init(memory_take(replica_bytes(&rig->datadir.limits)), &rig->datadir.limits, &rig->config);
    output_init(&rig->output, memory_take(output_bytes(&rig->datadir.limits)), &rig->datadir.limits);
    memset(rig->value, 'x', sizeof rig->value);
    log_step(rig, (struct input){ .kind = INPUT_START });
    for (uint32_t number = 0; number < SLOTS_MAX; number++) {
        while (rig->slots[number].session == 0) {
            if (!rig->slots[number].waiting)
                log_request(rig, number, false);
            log_turn(rig);
        }
    }
}

static uint64_t log_measure(struct log_rig *rig, uint32_t block_bytes, uint64_t duration_ns)
{
    const uint32_t per_block = block_bytes / (4 << 10);
    const uint64_t start_ns = clock_now_ns();
    rig->batch_bytes = 0;
    rig->name_bytes = 0;
    while (clock_now_ns() < start_ns + duration_ns) {
        log_fill(rig, per_block);
        log_turn(rig);
    }
    while (rig->waiting > 0)
        log_turn(rig);
    return (uint64_t)((double)rig->batch_bytes / (double)(clock_now_ns() - start_ns) * (double)NS_PER_S);
}

/* ---- the comparison ---- */

static int compare_u64(const void *left, const void *right)
{
    const uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

static uint64_t median(uint64_t *values, uint32_t count)
{
    qsort(values, count, sizeof values[0], compare_u64);
    return values[count / 2];
}

static uint32_t hogs_start(pid_t *hogs)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t count = 0;
    while (count < (uint32_t)cores && count < HOGS_MAX) {
        const pid_t pid = fork();
        if (pid < 0)
            give_up("fork", strerror(errno));
        if (pid == 0)
            for (volatile uint64_t spin = 0;; spin++) {}
        hogs[count++] = pid;
    }
    return count;
}

int main(int argc, char **argv)
{
    static struct log_rig dsync, adaptive;
    static struct plain plain;
    if (argc < 2 || argc > 4) {
        fprintf(stderr, "usage: bench_wal DIR [SECONDS [ROUNDS]]\n");
        return 2;
    }
    const uint64_t duration_ns = (argc > 2 ? strtoull(argv[2], NULL, 10) : 1) * NS_PER_S;
    const uint32_t rounds = argc > 3 ? (uint32_t)strtoull(argv[3], NULL, 10) : 3;
    if (duration_ns == 0 || rounds == 0 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "bench_wal: SECONDS must be above 0, ROUNDS in 1..%d\n", ROUNDS_MAX);
        return 2;
    }
    if (mkdir(argv[1], 0700) != 0 && errno != EEXIST)
        give_up(argv[1], strerror(errno));
    plain_open(&plain, argv[1]);
    log_open(&dsync, argv[1], SYNC_DSYNC);
    log_open(&adaptive, argv[1], SYNC_ADAPTIVE);
    printf("%-6s %9s %14s %14s %7s %17s %7s %12s\n", "cores", "block KiB", "plain MiB/s", "log dsync", "ratio",
           "log adaptive", "ratio", "names/batch");
    for (uint32_t busy = 0; busy < 2; busy++) {
        pid_t hogs[HOGS_MAX];
        const uint32_t hog_count = busy ? hogs_start(hogs) : 0;
        for (uint32_t size = 0; size < ARRAY_COUNT(block_sizes); size++) {
            uint64_t speed[3][ROUNDS_MAX];
            for (uint32_t round = 0; round < rounds; round++) {
                speed[0][round] = plain_measure(&plain, block_sizes[size], duration_ns);
                speed[1][round] = log_measure(&dsync, block_sizes[size], duration_ns);
                speed[2][round] = log_measure(&adaptive, block_sizes[size], duration_ns);
            }
            const double base = (double)median(speed[0], rounds), direct = (double)median(speed[1], rounds),
                         chosen = (double)median(speed[2], rounds);
            const double batches = (double)dsync.batch_bytes / block_sizes[size];
            printf("%-6s %9u %14.1f %14.1f %7.2f %17.1f %7.2f %12.2f\n", busy ? "busy" : "quiet",
                   block_sizes[size] >> 10, base / 1048576, direct / 1048576, direct / base, chosen / 1048576,
                   chosen / base, (double)dsync.name_bytes / 4096 / batches);
            fflush(stdout);
        }
        for (uint32_t hog = 0; hog < hog_count; hog++)
            kill(hogs[hog], SIGKILL);
    }
    return 0;
}

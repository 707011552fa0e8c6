/* The loop; see node.h. Carries out what the core decides and decides nothing itself. */
#include "node.h"

#include "../core/inspect.h"
#include "../core/request.h"
#include "ahead.h"
#include "clock.h"
#include "connection.h"
#include "devices.h"
#include "logger.h"
#include "node_log.h"
#include "peers.h"
#include "region.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 1024,
    INPUTS_MAX = 1024, /* of one turn: bounds how long timers wait for it */
    LISTEN_BACKLOG = 512,
};
#define WAIT_NS_MAX NS_PER_S
/* A turn that is so late was held up. */
#define STALL_NS (10 * NS_PER_MS)
#define ACCEPT_RETRY_NS (100 * NS_PER_MS)
#define LEAVE_NS_MAX (5 * NS_PER_S)
#define REJOIN_LOG_NS (10 * NS_PER_S)
#define NO_SPACE_LOG_NS (60 * NS_PER_S)
#define STRANGER_LOG_NS (10 * NS_PER_S)
/* A new node that is refused as of another cluster for so long will be for ever. */
#define FOREIGN_NS (5 * NS_PER_S)
enum { LOG_FILLING_PERCENT = 80, LOG_WELL_PERCENT = 50 };

/* A step is slow when it computes for longer than all of them should. What the clock on the wall says is not the step's
 * alone on a machine with other work, so the thread's CPU time decides; since reading that is a system call, it is read
 * before a step only when this much time has passed, and after a step only when that took long by the clock. */
#define STEP_SLOW_NS (2 * NS_PER_MS)
#define STEP_LONG_NS (NS_PER_MS / 4)
#define STEP_MARK_NS (NS_PER_MS / 10)
#define STEP_LOG_NS NS_PER_S

/* How long the longest step took, with carrying out its effects. */
struct step_watch {
    uint64_t wall_ns_max;
    uint64_t cpu_ns_max; /* at most STEP_MARK_NS too high; 0: none took STEP_LONG_NS */
    uint64_t end_ns;     /* when the last step ended: the next one of the same turn begins then */
    uint64_t mark_ns;    /* when the CPU time was read before a step, */
    uint64_t mark_cpu_ns;
    uint64_t slow;        /* steps above STEP_SLOW_NS */
    uint64_t log_next_ns; /* when one may be logged again */
};

/* One input of a turn, and where it came from. */
struct node_input {
    struct input input;
    struct connection *connection; /* frames */
    uint64_t connection_handle;
    uint32_t device_slot; /* completions */
};

struct node {
    const struct node_options *options;
    struct backend *backend;
    struct replica *replica;
    struct output output;
    struct peers peers;
    uint64_t now_ns;
    uint64_t stalled_ns;     /* when the latest turn that was held up should have come, */
    uint64_t stalled_end_ns; /* ... and until when its backlog comes in */
    uint64_t peers_wake_ns;
    uint64_t accept_retry_ns;
    uint8_t *region; /* of the replica and its output */
    size_t region_bytes;
    struct ahead ahead;
    int signal_fd;
    bool accepting;
    bool leaving;
    bool stopped;
    bool removed; /* stopped for that reason */
    bool member;  /* has been one in this life */
    bool led;     /* has heard a leader in this life, or been it */
    bool filling_said;
    bool full_said;
    uint64_t log_watch_ns;     /* when to look next */
    uint64_t no_space_next_ns; /* when it may be said again */
    uint64_t rejoin_next_ns;   /* when it is said that answers are missing */
    uint64_t stranger_next_ns; /* when it is said, or believed, that this node is no member */
    uint32_t input_count;
    uint64_t turns;
    uint64_t steps;
    struct step_watch watch;
    struct node_log log;
    struct devices devices;
    struct node_input inputs[INPUTS_MAX];
    struct io_event events[EVENTS_MAX];
    struct connections connections;
};

static int node_bind_once(const struct endpoint *endpoint)
{
    const int on = 1;
    int fd = socket(endpoint->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0
        || bind(fd, (const struct sockaddr *)&endpoint->address, endpoint->address_bytes) != 0) {
        int result = -errno;
        close(fd);
        return result;
    }
    return fd;
}

int node_bind(const struct endpoint *endpoint)
{
    int fd = node_bind_once(endpoint);
    for (int retry = 0; retry < KILLED_RETRIES && fd == -EADDRINUSE; retry++) {
        nanosleep(&(struct timespec){ .tv_nsec = (long)KILLED_WAIT_NS }, NULL);
        fd = node_bind_once(endpoint);
    }
    return fd;
}

static void node_submit(struct node *node, const struct io_request *request)
{
    node->backend->table->submit(node->backend, request);
}

static void node_accept(struct node *node)
{
    if (node->accepting || node->leaving || node->now_ns < node->accept_retry_ns)
        return;
    node->accepting = true;
    node_submit(node, &(struct io_request){ .kind = IO_ACCEPT, .fd = node->options->listen_fd });
}

/* Effects --------------------------------------------------------------------------------------------- */

static void effect_reply(struct node *node, const struct effect *effect)
{
    struct connection *connection = connections_find(&node->connections, effect->target);
    if (connection == NULL || connection_send(&node->connections, connection, effect->bytes))
        return;
    /* The client asks faster than it reads. Its session makes a retry safe; a hole in its replies would not be. */
    LOG(LOG_LEVEL_WARN, "client-dropped", FIELD_TEXT("cause", "it does not read its replies"));
    connection_drop(&node->connections, connection);
}

/* The time for an answer from a lease, or within a bound, has run out since the clock was read (Raft 6.4.1): the client
 * is told to ask again. A peer asks again anyway. */
static void effect_late(struct node *node, const struct effect *effect)
{
    struct connection *connection = connections_find(&node->connections, effect->target);
    struct reply reply;
    uint8_t frame[128];
    if (effect->kind != EFFECT_REPLY || connection == NULL
        || reply_decode(effect->bytes, node->options->limits->frame_bytes_max, &reply) != FRAME_OK)
        return;
    const struct reply late = { .request_id = reply.request_id, .status = REPLY_BUSY, .retry_after_ms = 1 };
    ASSERT(reply_bytes(&late) <= sizeof frame);
    reply_encode(&late, node->options->config->cluster_id, frame);
    connection_send(&node->connections, connection, (struct slice){ frame, reply_bytes(&late) });
}

static void effect_refuse(struct node *node, const struct effect *effect, const struct node_input *from)
{
    if (from->connection == NULL || connections_find(&node->connections, from->connection_handle) == NULL)
        return;
    char remote[MEMBER_ADDRESS_BYTES];
    node_log_refused(&node->log, effect->verdict, from->input.bytes, connection_remote(from->connection, remote),
                     node->now_ns);
    if (effect->bytes.count > 0)
        connection_send(&node->connections, from->connection, effect->bytes);
    connection_drain(&node->connections, from->connection);
}

static void node_stop(struct node *node, const char *cause, uint64_t detail)
{
    node->stopped = true;
    LOG(LOG_LEVEL_ERROR, "stopped", FIELD_TEXT("cause", cause), FIELD_NUMBER("detail", detail),
        FIELD_TEXT("data", node->options->data_path));
}

static void effect_stop(struct node *node, const struct effect *effect)
{
    node_stop(node, stop_reason_text(effect->stop), effect->detail);
    node->removed = effect->stop == STOP_REMOVED;
}

static void node_carry_out(struct node *node, const struct node_input *from)
{
    for (uint32_t slot = 0; slot < node->output.effect_count; slot++) {
        const struct effect *effect = &node->output.effects[slot];
        if (effect->deadline_ns != 0 && clock_now_ns() >= effect->deadline_ns) {
            effect_late(node, effect);
            continue;
        }
        switch (effect->kind) {
        case EFFECT_SEND: peers_send(&node->peers, effect->target, effect->bytes); break;
        case EFFECT_REPLY: effect_reply(node, effect); break;
        case EFFECT_WRITE:
        case EFFECT_READ: devices_submit(&node->devices, effect); break;
        case EFFECT_RELEASE: devices_give_back(effect); break;
        case EFFECT_REFUSE: effect_refuse(node, effect, from); break;
        case EFFECT_STOP: effect_stop(node, effect); break;
        }
    }
}

/* Without the others it waits for ever: whoever has lost a majority of the disks must hear why. */
static void node_watch_rejoin(struct node *node, const struct replica_view *view)
{
    if (view->rejoin != REJOIN_ASKING || node->now_ns < node->rejoin_next_ns)
        return;
    if (node->rejoin_next_ns != 0)
        LOG(LOG_LEVEL_WARN, "rejoin-waits",
            FIELD_TEXT("cause", "nodes that have kept their disks must say what term it is"),
            FIELD_NUMBER("answers", view->rejoin_answers), FIELD_NUMBER("needed", view->rejoin_answers_needed));
    node->rejoin_next_ns = node->now_ns + REJOIN_LOG_NS;
}

/* A node that is in no configuration waits to be added; one that was in it, and led while it was removed, is told by
 * nobody (Raft 4.2.2): it has seen that itself. Who still catches up, and so hears a leader, may be in a later one. */
static void node_watch_membership(struct node *node, const struct replica_view *view)
{
    const struct configuration *committed = replica_configuration_committed(node->replica);
    const uint64_t id = node->options->config->node_id;
    char cause[192];
    if (view->slot < MEMBERS_MAX || configuration_slot(committed, id) < MEMBERS_MAX || view->leader != 0) {
        node->member |= view->slot < MEMBERS_MAX;
        node->stranger_next_ns = node->now_ns + STRANGER_LOG_NS / 10;
        return;
    }
    if (node->now_ns < node->stranger_next_ns)
        return;
    node->stranger_next_ns = node->now_ns + STRANGER_LOG_NS;
    if (node->member) {
        node_stop(node, stop_reason_text(STOP_REMOVED), committed->id.index);
        node->removed = true;
        return;
    }
    snprintf(cause, sizeof(cause), "this node is no member yet; to add it: raftctl member add %llu=HOST:PORT",
             (unsigned long long)id);
    LOG(LOG_LEVEL_INFO, "waits-to-be-added", FIELD_TEXT("cause", cause));
}

/* Who has never heard a leader, and whom most of the others refuse, is in the wrong place: it says so and ends. One
 * that had a leader goes on: it may be the others that are. */
static void node_watch_cluster(struct node *node, const struct replica_view *view)
{
    node->led |= view->leader != 0;
    if (!node->stopped && !node->led && node_log_is_foreign(&node->log, FOREIGN_NS))
        node_stop(node,
                  "most of the members that this directory names are of another cluster (see refused-by-peer above)",
                  0);
}

/* A ring that fills is one whose checkpoints do not keep up: who runs the node must hear of it before its clients do.
 * Said once, until it is well below again. */
static void node_watch_log(struct node *node)
{
    if (!node->log.ready || node->stopped || node->now_ns < node->log_watch_ns)
        return;
    node->log_watch_ns = node->now_ns + NS_PER_S;
    struct replica_view view;
    replica_inspect(node->replica, &view);
    node_watch_rejoin(node, &view);
    node_watch_membership(node, &view);
    node_watch_cluster(node, &view);
    const struct limits *limits = node->options->limits;
    ASSERT(limits->wal_body_blocks > limits->wal_reserve_blocks);
    const uint64_t usable = limits->wal_body_blocks - limits->wal_reserve_blocks;
    const uint64_t percent = u64_min(view.wal_blocks_used * 100 / usable, 100);
    const struct logger_field fields[] = { FIELD_NUMBER("percent", percent),
                                           FIELD_NUMBER("bytes", usable * limits->block_bytes) };
    if (percent < LOG_WELL_PERCENT)
        node->filling_said = node->full_said = false;
    const bool full = view.wal_blocks_used + 1 >= usable;
    if (full && !node->full_said)
        logger_write(LOG_LEVEL_WARN, "log-full", fields, ARRAY_COUNT(fields));
    else if (percent >= LOG_FILLING_PERCENT && !node->filling_said)
        logger_write(LOG_LEVEL_WARN, "log-filling", fields, ARRAY_COUNT(fields));
    node->full_said |= full;
    node->filling_said |= percent >= LOG_FILLING_PERCENT;
    if (node->log.space_refused && node->now_ns >= node->no_space_next_ns) {
        node->no_space_next_ns = node->now_ns + NO_SPACE_LOG_NS;
        LOG(LOG_LEVEL_WARN, "no-space", FIELD_TEXT("cause", "a write found the store full and changed nothing"));
    }
    node->log.space_refused = false;
}

static void watch_begin(struct step_watch *watch, uint64_t now_ns)
{
    if (now_ns - watch->mark_ns < STEP_MARK_NS)
        return;
    watch->mark_ns = now_ns;
    watch->mark_cpu_ns = clock_cpu_ns();
}

/* say: while a node recovers nobody waits for its steps. */
static void watch_end(struct step_watch *watch, uint64_t wall_ns, const struct input *input, bool say)
{
    watch->wall_ns_max = u64_max(watch->wall_ns_max, wall_ns);
    if (wall_ns < STEP_LONG_NS)
        return;
    const uint64_t cpu_ns = u64_min(wall_ns, clock_cpu_ns() - watch->mark_cpu_ns);
    watch->cpu_ns_max = u64_max(watch->cpu_ns_max, cpu_ns);
    watch->slow += cpu_ns > STEP_SLOW_NS;
    if (say && cpu_ns > STEP_SLOW_NS && watch->end_ns >= watch->log_next_ns) {
        watch->log_next_ns = watch->end_ns + STEP_LOG_NS;
        LOG(LOG_LEVEL_WARN, "slow-step", FIELD_NUMBER("cpu_us", cpu_ns / 1000), FIELD_NUMBER("input", input->kind),
            FIELD_NUMBER("op", input->op_id), FIELD_NUMBER("bytes", input->bytes.count));
    }
    watch->mark_ns = 0;
}

static void node_step(struct node *node, const struct node_input *from)
{
    struct recorder *recorder = node->options->recorder;
    if (recorder != NULL && recorder_input(recorder, &from->input)) {
        node->watch.end_ns = clock_now_ns(); /* what that took is not the step's */
        node->watch.mark_ns = 0;
    }
    const uint64_t start_ns = u64_max(node->now_ns, node->watch.end_ns);
    watch_begin(&node->watch, start_ns);
    replica_step(node->replica, &from->input, &node->output);
    node->steps++;
    if (recorder != NULL)
        recorder_output(recorder, &node->output);
    node_carry_out(node, from);
    node->watch.end_ns = clock_now_ns();
    watch_end(&node->watch, node->watch.end_ns - start_ns, &from->input, node->log.ready);
    node_log_events(&node->log, &node->output, node->watch.end_ns);
}

/* Inputs ---------------------------------------------------------------------------------------------- */

static void input_disk(struct node *node, const struct io_event *event)
{
    struct node_input *from = &node->inputs[node->input_count++];
    *from = (struct node_input){ .connection = NULL };
    from->device_slot = devices_complete(&node->devices, event, &from->input);
}

static void input_frame(struct node *node, struct connection *connection, struct slice frame)
{
    bool client = connection->kind == CONNECTION_CLIENT;
    if (connection->kind == CONNECTION_PEER_OUT)
        node_log_refusal(&node->log, frame, node->peers.all[connection->slot].address, node->now_ns);
    uint64_t handle = connection_handle(connection);
    node->inputs[node->input_count++] = (struct node_input){
        .input = {
            .kind = client ? INPUT_CLIENT_FRAME : INPUT_PEER_FRAME,
            .client = client ? handle : 0,
            .arrived_ns = client ? connection->received_ns : 0,
            .bytes = frame,
        },
        .connection = connection,
        .connection_handle = handle,
    };
}

static void input_accepted(struct node *node, int32_t result)
{
    node->accepting = false;
    if (result >= 0) {
        connections_accept(&node->connections, result);
    } else if (result != -EINTR && result != -EAGAIN && result != -ECONNABORTED) {
        LOG(LOG_LEVEL_WARN, "accept-failed", FIELD_TEXT("cause", strerror(-result)));
        node->accept_retry_ns = node->now_ns + ACCEPT_RETRY_NS;
    }
}

/* It is taken, so that a second one can be told from it (recorder_close()). */
static void input_signal(struct node *node)
{
    struct signalfd_siginfo taken;
    (void)!read(node->signal_fd, &taken, sizeof taken);
    node->leaving = true;
}

static void node_gather(struct node *node, uint32_t event_count)
{
    node->input_count = 0;
    for (uint32_t slot = 0; slot < event_count; slot++) {
        const struct io_event *event = &node->events[slot];
        switch (event->kind) {
        case IO_ACCEPT: input_accepted(node, event->result); break;
        case IO_CONNECT:
        case IO_RECEIVE:
        case IO_SEND: connection_event(&node->connections, event); break;
        case IO_POLL: input_signal(node); break;
        case IO_READ:
        case IO_WRITE: input_disk(node, event); break;
        }
    }
    struct connection *connection;
    struct slice frame;
    while (node->input_count < INPUTS_MAX && connections_frame(&node->connections, &connection, &frame))
        input_frame(node, connection, frame);
    if (node->input_count == 0 && node->now_ns >= node->output.deadline_ns)
        node->inputs[node->input_count++] = (struct node_input){ .input = { .kind = INPUT_TICK } };
}

static void node_feed(struct node *node)
{
    for (uint32_t slot = 0; slot < node->input_count; slot++) {
        struct node_input *from = &node->inputs[slot];
        from->input.now_ns = node->now_ns;
        from->input.more = slot + 1 < node->input_count;
        /* An earlier input of this turn may have closed the connection. */
        if (from->connection != NULL && connections_find(&node->connections, from->connection_handle) == NULL) {
            from->connection = NULL;
            from->input.kind = INPUT_TICK;
        }
        node_step(node, from);
        if (from->input.kind == INPUT_DISK)
            devices_release(&node->devices, from->device_slot);
        if (node->stopped)
            return;
    }
}

/* The loop -------------------------------------------------------------------------------------------- */

static uint64_t node_timeout_ns(const struct node *node)
{
    uint64_t wake_ns = u64_min(node->output.deadline_ns, node->peers_wake_ns);
    if (!node->accepting)
        wake_ns = u64_min(wake_ns, node->accept_retry_ns);
    if (node->connections.ready.count > 0)
        return 0;
    return wake_ns <= node->now_ns ? 0 : u64_min(wake_ns - node->now_ns, WAIT_NS_MAX);
}

/* When what this turn has received can have arrived at the earliest. A turn that comes later than it should found the
 * process stopped, or busy: what is found then, or comes in right behind it, may have waited since. */
static uint64_t node_arrival_ns(struct node *node, uint64_t due_ns)
{
    if (node->now_ns > due_ns + STALL_NS) {
        node->stalled_ns = due_ns;
        node->stalled_end_ns = node->now_ns + STALL_NS;
    }
    return node->now_ns < node->stalled_end_ns ? node->stalled_ns : node->now_ns;
}

static bool node_turn(struct node *node)
{
    node_accept(node);
    connections_flush(&node->connections);
    const uint64_t timeout_ns = node_timeout_ns(node), due_ns = node->now_ns + timeout_ns;
    int count = node->backend->table->collect(node->backend, timeout_ns, node->events, EVENTS_MAX);
    if (count < 0) {
        LOG(LOG_LEVEL_ERROR, "failed", FIELD_TEXT("cause", strerror(-count)),
            FIELD_TEXT("io", node->backend->table->name));
        return false;
    }
    node->turns++;
    node->now_ns = clock_now_ns();
    node->connections.arrived_ns = node_arrival_ns(node, due_ns);
    node_gather(node, (uint32_t)count);
    node_feed(node);
    node_log_turn(&node->log, node->now_ns, node->stopped);
    ahead_turn(&node->ahead, node->replica);
    if (node->options->recorder != NULL)
        recorder_turn(node->options->recorder);
    node_watch_log(node);
    connections_sweep(&node->connections, node->now_ns);
    if (node->log.ready)
        peers_follow(&node->peers, replica_configuration(node->replica));
    node->peers_wake_ns = peers_turn(&node->peers, node->now_ns);
    return true;
}

/* Disk operations in flight use the region and the buffers: they are awaited, everything else is dropped. */
static void node_await_disk(struct node *node)
{
    uint64_t give_up_ns = clock_now_ns() + LEAVE_NS_MAX;
    while (node->devices.in_flight > 0 && clock_now_ns() < give_up_ns) {
        int count = node->backend->table->collect(node->backend, NS_PER_S, node->events, EVENTS_MAX);
        for (int slot = 0; slot < count; slot++) {
            struct input ignored;
            if (node->events[slot].kind == IO_READ || node->events[slot].kind == IO_WRITE)
                devices_complete(&node->devices, &node->events[slot], &ignored);
        }
        if (count < 0)
            break;
    }
}

static void log_left(const struct node *node)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    LOG(LOG_LEVEL_INFO, "left", FIELD_NUMBER("turns", node->turns), FIELD_NUMBER("steps", node->steps),
        FIELD_NUMBER("step_us_max", node->watch.cpu_ns_max / 1000), FIELD_NUMBER("slow_steps", node->watch.slow),
        FIELD_NUMBER("step_wall_us_max", node->watch.wall_ns_max / 1000),
        FIELD_NUMBER("rss_kib_max", (uint64_t)usage.ru_maxrss),
        FIELD_NUMBER("user_ms", (uint64_t)usage.ru_utime.tv_sec * 1000 + (uint64_t)usage.ru_utime.tv_usec / 1000),
        FIELD_NUMBER("system_ms", (uint64_t)usage.ru_stime.tv_sec * 1000 + (uint64_t)usage.ru_stime.tv_usec / 1000));
}

/* In reverse of node_open(), as far as that came. */
static void node_close(struct node *node)
{
    if (node->backend != NULL) {
        node_await_disk(node);
        node->backend->table->close(node->backend);
        devices_close(&node->devices);
    }
    peers_close(&node->peers);
    if (node->connections.memory != NULL)
        connections_close(&node->connections);
    ahead_close(&node->ahead);
    if (node->region != NULL)
        region_give_back(node->region, node->region_bytes);
    if (node->signal_fd >= 0)
        close(node->signal_fd);
    free(node);
}

static bool node_memory(struct node *node)
{
    const struct limits *limits = node->options->limits;
    size_t output_start = u64_round_up(replica_bytes(limits), REGION_ALIGNMENT);
    node->region_bytes = output_start + output_bytes(limits);
    node->region = region_reserve(node->region_bytes);
    if (node->region == NULL)
        return false;
    node->replica = replica_init(node->region, limits, node->options->config);
    output_init(&node->output, node->region + output_start, limits);
    node->log = (struct node_log){ .options = node->options, .replica = node->replica };
    ahead_open(&node->ahead, node->region, node->region_bytes);
    if (node->options->recorder != NULL)
        recorder_begin(node->options->recorder, node->replica);
    return true;
}

static int node_signals(void)
{
    sigset_t set;
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return -errno;
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

static void node_raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= 2 * CONNECTIONS_MAX)
        return;
    limit.rlim_cur = limit.rlim_max < 2 * CONNECTIONS_MAX ? limit.rlim_max : 2 * CONNECTIONS_MAX;
    setrlimit(RLIMIT_NOFILE, &limit); /* best effort: fewer connections without it */
}

static bool node_failed(const char *what, int result)
{
    LOG(LOG_LEVEL_ERROR, "failed", FIELD_TEXT("what", what), FIELD_TEXT("cause", strerror(-result)));
    return false;
}

static bool node_open(struct node *node)
{
    const struct node_options *options = node->options;
    enum sync_method sync = options->sync;
    node_raise_file_limit();
    node->signal_fd = node_signals();
    if (node->signal_fd < 0)
        return node_failed("signalfd", node->signal_fd);
    int result = backend_open(options->io, &sync, &node->backend);
    if (result == -ENOTSUP)
        return node_failed("this --sync method, which needs io_uring", result);
    if (result < 0)
        return node_failed("opening the I/O back end", result);
    devices_init(&node->devices, node->backend, options->device_fds, options->data_path);
    result = connections_open(&node->connections, node->backend, options->limits);
    if (result < 0)
        return node_failed("reserving memory for connections", result);
    if (!node_memory(node))
        return node_failed("reserving memory for the replica", -ENOMEM);
    if (listen(options->listen_fd, LISTEN_BACKLOG) != 0)
        return node_failed("listening", -errno);
    node->now_ns = clock_now_ns();
    peers_init(&node->peers, &node->connections, options->config, options->configuration);
    node_submit(node, &(struct io_request){ .kind = IO_POLL, .fd = node->signal_fd });
    LOG(LOG_LEVEL_INFO, "listening", FIELD_NUMBER("cluster", options->config->cluster_id),
        FIELD_TEXT("data", options->data_path), FIELD_NUMBER("wal_bytes", limits_wal_bytes(options->limits)),
        FIELD_TEXT("io", node->backend->table->name), FIELD_TEXT("sync", sync_method_text(sync)));
    return true;
}

enum node_outcome node_run(const struct node_options *options)
{
    struct node *node = calloc(1, sizeof(*node));
    if (node == NULL) {
        node_failed("memory", -ENOMEM);
        return NODE_FAILED;
    }
    node->options = options;
    bool alive = node_open(node);
    if (alive) {
        node_step(node, &(struct node_input){ .input = { .kind = INPUT_START, .now_ns = node->now_ns } });
        while (alive && !node->leaving && !node->stopped)
            alive = node_turn(node);
    }
    enum node_outcome outcome = !alive          ? NODE_FAILED
                                : node->removed ? NODE_REMOVED
                                : node->stopped ? NODE_STOPPED
                                                : NODE_LEFT;
    node_log_turn(&node->log, node->now_ns, true);
    if (outcome == NODE_LEFT)
        log_left(node);
    if (options->recorder != NULL)
        recorder_close(options->recorder, alive);
    node_close(node);
    return outcome;
}

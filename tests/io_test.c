/* The node's parts on real sockets and real files: both back ends, connections, the data directory. Loopback and a
 * temporary directory only; every wait is bounded. The whole node is tested as a process, by cluster_test.c. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../core/request.h"
#include "../io/backend.h"
#include "../io/clock.h"
#include "../io/connection.h"
#include "../io/devices.h"
#include "../io/logger.h"

#include "directory.h"
#include "test.h"

enum { EVENTS_MAX = 1024, BLOCK = 4096, RUN_BYTES = 256 << 10 };

static const struct {
    enum io_choice io;
    enum sync_method sync;
} setups[] = {
    { IO_CHOICE_URING, SYNC_THREAD },   { IO_CHOICE_URING, SYNC_DSYNC },  { IO_CHOICE_URING, SYNC_FDATASYNC },
    { IO_CHOICE_URING, SYNC_ADAPTIVE }, { IO_CHOICE_EPOLL, SYNC_THREAD },
};

/* NULL where the kernel or a sandbox forbids io_uring: that setup cannot be tested there. */
static struct backend *setup_open(size_t slot)
{
    struct backend *backend = NULL;
    enum sync_method sync = setups[slot].sync;
    const int result = backend_open(setups[slot].io, &sync, &backend);
    if (result == -EPERM || result == -ENOSYS) {
        EXPECT_EQUAL(setups[slot].io, IO_CHOICE_URING);
        return NULL;
    }
    EXPECT_EQUAL(result, 0);
    EXPECT_EQUAL(sync, setups[slot].sync);
    return backend;
}

static struct io_event events[EVENTS_MAX];

/* The next event; at most ten seconds away. `events` holds what came with it. */
static struct io_event one_event(struct backend *backend)
{
    static int count, next;
    static struct backend *of;
    if (of != backend)
        count = next = 0;
    of = backend;
    const uint64_t give_up_ns = clock_now_ns() + 10 * NS_PER_S;
    while (next == count) {
        EXPECT(clock_now_ns() < give_up_ns);
        count = backend->table->collect(backend, NS_PER_S, events, EVENTS_MAX);
        EXPECT(count >= 0);
        next = 0;
    }
    return events[next++];
}

static struct endpoint loopback_endpoint(int fd)
{
    struct endpoint endpoint = { .address_bytes = sizeof(struct sockaddr_in) };
    struct sockaddr_in *address = (struct sockaddr_in *)&endpoint.address;
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd >= 0) {
        socklen_t bytes = sizeof(endpoint.address);
        EXPECT_EQUAL(getsockname(fd, (struct sockaddr *)&endpoint.address, &bytes), 0);
    }
    return endpoint;
}

/* A listening socket on a free port. */
static int listen_somewhere(int flags)
{
    const struct endpoint endpoint = loopback_endpoint(-1);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    EXPECT(fd >= 0);
    EXPECT_EQUAL(bind(fd, (const struct sockaddr *)&endpoint.address, endpoint.address_bytes), 0);
    EXPECT_EQUAL(listen(fd, 16), 0);
    return fd;
}

/* Disk ------------------------------------------------------------------------------------------------ */

TEST(every_sync_method_writes_and_reads_back)
{
    uint8_t *memory = mmap(NULL, 4 * BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(memory != MAP_FAILED);
    for (size_t slot = 0; slot < ARRAY_COUNT(setups); slot++) {
        struct backend *backend = setup_open(slot);
        if (backend == NULL)
            continue;
        char path[128];
        snprintf(path, sizeof path, "%s/file", directory_new());
        const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        memset(memory, (int)slot + 1, 2 * BLOCK);
        memset(memory + 2 * BLOCK, 0, 2 * BLOCK);
        for (uint32_t half = 0; half < 2; half++)
            backend->table->submit(backend, &(struct io_request){ .kind = IO_WRITE,
                                                                  .fd = fd,
                                                                  .token = half,
                                                                  .offset = half * BLOCK,
                                                                  .bytes = memory + half * BLOCK,
                                                                  .count = BLOCK });
        uint64_t seen = 0;
        for (uint32_t half = 0; half < 2; half++) {
            const struct io_event event = one_event(backend);
            EXPECT_EQUAL(event.kind, IO_WRITE);
            EXPECT_EQUAL(event.result, 0);
            seen |= UINT64_C(1) << event.token;
        }
        EXPECT_EQUAL(seen, 3);
        const struct io_request read = {
            .kind = IO_READ, .fd = fd, .token = 7, .bytes = memory + 2 * BLOCK, .count = 2 * BLOCK
        };
        backend->table->submit(backend, &read);
        const struct io_event event = one_event(backend);
        EXPECT_EQUAL(event.kind, IO_READ);
        EXPECT_EQUAL(event.token, 7);
        EXPECT_EQUAL(event.result, 0);
        EXPECT(memcmp(memory, memory + 2 * BLOCK, 2 * BLOCK) == 0);
        close(fd);
        backend->table->close(backend);
        directory_remove(directory);
    }
    munmap(memory, 4 * BLOCK);
}

TEST(disk_errors_are_reported_once_and_as_such)
{
    static uint8_t bytes[2 * BLOCK];
    for (size_t slot = 0; slot < ARRAY_COUNT(setups); slot++) {
        struct backend *backend = setup_open(slot);
        if (backend == NULL)
            continue;
        char path[128];
        snprintf(path, sizeof path, "%s/file", directory_new());
        const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        const int read_only = open(path, O_RDONLY | O_CLOEXEC);
        EXPECT_EQUAL(ftruncate(fd, BLOCK), 0);
        /* The file ends inside the range. */
        backend->table->submit(
            backend, &(struct io_request){ .kind = IO_READ, .fd = fd, .bytes = bytes, .count = sizeof bytes });
        EXPECT_EQUAL(one_event(backend).result, -EIO);
        backend->table->submit(
            backend, &(struct io_request){ .kind = IO_WRITE, .fd = read_only, .bytes = bytes, .count = BLOCK });
        EXPECT_EQUAL(one_event(backend).result, -EBADF);
        EXPECT_EQUAL(backend->table->collect(backend, 0, events, EVENTS_MAX), 0);
        close(fd);
        close(read_only);
        backend->table->close(backend);
        directory_remove(directory);
    }
}

static bool all_bytes(const uint8_t *bytes, uint32_t count, uint8_t value)
{
    for (uint32_t at = 0; at < count; at++) {
        if (bytes[at] != value)
            return false;
    }
    return true;
}

/* An operation on one of the devices, to its end; of a read, what it read. */
static struct slice device_run(struct devices *devices, struct effect effect, uint32_t *slot)
{
    struct input input;
    devices_submit(devices, &effect);
    const struct io_event event = one_event(devices->backend);
    *slot = devices_complete(devices, &event, &input);
    EXPECT_EQUAL(input.kind, INPUT_DISK);
    EXPECT_EQUAL(input.result, DISK_OK);
    EXPECT_EQUAL(input.op_id, effect.op_id);
    return input.bytes;
}

static struct effect device_effect(enum effect_kind kind, uint32_t device, uint64_t offset, struct slice bytes)
{
    return (struct effect){ .kind = kind, .device = device, .op_id = offset + 1, .offset = offset, .bytes = bytes };
}

/* Fills both devices with different bytes, a page behind the start of each: two runs of the data device and a batch of
 * the WAL are in flight together. */
static void devices_fill(struct devices *devices, uint8_t *memory)
{
    const struct slice run = { memory, RUN_BYTES }, batch = { memory + RUN_BYTES, BLOCK };
    memset(memory, 1, RUN_BYTES);
    memset(memory + RUN_BYTES, 2, BLOCK);
    struct effect effect = device_effect(EFFECT_WRITE, DEVICE_DATA, BLOCK, run);
    devices_submit(devices, &effect);
    effect = device_effect(EFFECT_WRITE, DEVICE_DATA, BLOCK + RUN_BYTES, run);
    devices_submit(devices, &effect);
    effect = device_effect(EFFECT_WRITE, DEVICE_WAL, BLOCK, batch);
    devices_submit(devices, &effect);
    EXPECT_EQUAL(devices->in_flight, 3);
    for (uint32_t done = 0; done < 3; done++) {
        struct input input;
        const struct io_event event = one_event(devices->backend);
        const uint32_t slot = devices_complete(devices, &event, &input);
        EXPECT_EQUAL(input.result, DISK_OK);
        EXPECT_EQUAL(input.bytes.count, 0);
        devices_release(devices, slot);
    }
    EXPECT_EQUAL(devices->in_flight, 0);
}

TEST(the_two_devices_are_two_files_and_holes_read_as_zeros)
{
    uint8_t *memory = mmap(NULL, RUN_BYTES + BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(memory != MAP_FAILED);
    for (size_t setup = 0; setup < ARRAY_COUNT(setups); setup++) {
        struct backend *backend = setup_open(setup);
        if (backend == NULL)
            continue;
        static const char *const names[DEVICES] = { "wal", "data" };
        int fds[DEVICES];
        directory_new();
        for (uint32_t device = 0; device < DEVICES; device++) {
            char path[128];
            snprintf(path, sizeof path, "%s/%s", directory, names[device]);
            fds[device] = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
            EXPECT_EQUAL(ftruncate(fds[device], 4 * RUN_BYTES), 0);
        }
        struct devices devices;
        devices_init(&devices, backend, fds, directory);
        devices_fill(&devices, memory);
        /* Two reads whose bytes are both on loan, then what the first one gave back is used again. */
        const struct slice run = { NULL, RUN_BYTES }, block = { NULL, BLOCK };
        uint32_t first, second, third;
        const struct slice ones = device_run(&devices, device_effect(EFFECT_READ, DEVICE_DATA, BLOCK, run), &first);
        const struct slice twos = device_run(&devices, device_effect(EFFECT_READ, DEVICE_WAL, BLOCK, block), &second);
        EXPECT_EQUAL(ones.count, RUN_BYTES);
        EXPECT(all_bytes(ones.bytes, ones.count, 1));
        EXPECT_EQUAL(twos.count, BLOCK);
        EXPECT(all_bytes(twos.bytes, twos.count, 2));
        EXPECT(first != second);
        devices_release(&devices, first);
        const struct slice zeros =
            device_run(&devices, device_effect(EFFECT_READ, DEVICE_DATA, 3 * RUN_BYTES, block), &third);
        EXPECT_EQUAL(third, first);
        EXPECT(all_bytes(zeros.bytes, zeros.count, 0));
        EXPECT(all_bytes(twos.bytes, twos.count, 2));
        backend->table->close(backend);
        devices_close(&devices);
        close(fds[DEVICE_WAL]);
        close(fds[DEVICE_DATA]);
        directory_remove(directory);
    }
    munmap(memory, RUN_BYTES + BLOCK);
}

TEST(released_memory_goes_where_it_is_wanted_and_leaves_zeros)
{
    enum { PAGE = 4096, PIECE = 4 * PAGE };
    uint8_t *memory = mmap(NULL, 4 * PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT(memory != MAP_FAILED);
    memset(memory, 'a', PIECE);
    memset(memory + PIECE, 'b', PIECE);
    memset(memory + 2 * PIECE, 'c', PIECE);
    struct effect release = { .kind = EFFECT_RELEASE, .bytes = { .bytes = memory, .count = PIECE } };
    release.place = memory + 2 * PIECE;
    devices_give_back(&release);
    /* Nothing was allocated for it: the pages themselves moved. */
    unsigned char resident[16];
    EXPECT_EQUAL(mincore(memory, 4 * PIECE, resident), 0);
    EXPECT(!(resident[0] & 1) && (resident[4] & 1) && (resident[8] & 1) && !(resident[12] & 1));
    EXPECT(memory[0] == 0 && memory[PIECE - 1] == 0);
    EXPECT(memory[PIECE] == 'b' && memory[2 * PIECE - 1] == 'b' && memory[3 * PIECE] == 0);
    /* Without a place, and what is not whole pages. */
    release.place = NULL;
    release.bytes = (struct slice){ .bytes = memory + PIECE + 1, .count = PIECE - 1 };
    devices_give_back(&release);
    EXPECT(memory[PIECE] == 'b' && memory[2 * PIECE - PAGE - 1] == 0 && memory[2 * PIECE - 1] == 0);
    munmap(memory, 4 * PIECE);
}

TEST(epoll_refuses_the_ring_only_sync_methods)
{
    struct backend *backend = NULL;
    enum sync_method sync = SYNC_DSYNC;
    EXPECT_EQUAL(backend_open(IO_CHOICE_EPOLL, &sync, &backend), -ENOTSUP);
}

/* Sockets --------------------------------------------------------------------------------------------- */

TEST(sockets_accept_connect_send_and_receive)
{
    for (size_t slot = 0; slot < ARRAY_COUNT(setups); slot++) {
        struct backend *backend = setup_open(slot);
        if (backend == NULL)
            continue;
        const struct backend_table *table = backend->table;
        const int listener = listen_somewhere(table->socket_flags);
        const struct endpoint endpoint = loopback_endpoint(listener);
        const int dialer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | table->socket_flags, 0);
        table->submit(backend, &(struct io_request){ .kind = IO_ACCEPT, .fd = listener, .token = 1 });
        table->submit(backend, &(struct io_request){ .kind = IO_CONNECT,
                                                     .fd = dialer,
                                                     .token = 2,
                                                     .address = (const struct sockaddr *)&endpoint.address,
                                                     .address_bytes = endpoint.address_bytes });
        int accepted = -1;
        for (int count = 0; count < 2; count++) {
            const struct io_event event = one_event(backend);
            EXPECT(event.result >= 0);
            if (event.kind == IO_ACCEPT)
                accepted = event.result;
            else
                EXPECT_EQUAL(event.token, 2);
        }
        EXPECT(accepted >= 0);
        uint8_t in[16], out[4] = { 'p', 'i', 'n', 'g' };
        table->submit(backend, &(struct io_request){
                                   .kind = IO_RECEIVE, .fd = accepted, .token = 3, .bytes = in, .count = sizeof in });
        table->submit(backend, &(struct io_request){
                                   .kind = IO_SEND, .fd = dialer, .token = 4, .bytes = out, .count = sizeof out });
        for (int count = 0; count < 2; count++)
            EXPECT_EQUAL(one_event(backend).result, 4);
        EXPECT(memcmp(in, "ping", 4) == 0);
        /* The end of the stream is an event like any other. */
        table->submit(backend, &(struct io_request){
                                   .kind = IO_RECEIVE, .fd = accepted, .token = 5, .bytes = in, .count = sizeof in });
        table->forget(backend, dialer);
        close(dialer);
        const struct io_event end = one_event(backend);
        EXPECT_EQUAL(end.kind, IO_RECEIVE);
        EXPECT_EQUAL(end.result, 0);
        table->forget(backend, accepted);
        close(accepted);
        table->close(backend);
        close(listener);
    }
}

TEST(connecting_to_nobody_fails)
{
    for (size_t slot = 0; slot < ARRAY_COUNT(setups); slot++) {
        struct backend *backend = setup_open(slot);
        if (backend == NULL)
            continue;
        const int listener = listen_somewhere(0);
        const struct endpoint endpoint = loopback_endpoint(listener);
        close(listener);
        const int dialer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | backend->table->socket_flags, 0);
        backend->table->submit(backend, &(struct io_request){ .kind = IO_CONNECT,
                                                              .fd = dialer,
                                                              .address = (const struct sockaddr *)&endpoint.address,
                                                              .address_bytes = endpoint.address_bytes });
        EXPECT_EQUAL(one_event(backend).result, -ECONNREFUSED);
        backend->table->forget(backend, dialer);
        close(dialer);
        backend->table->close(backend);
    }
}

/* Connections ----------------------------------------------------------------------------------------- */

struct table {
    struct backend *backend;
    struct connections connections;
    int outside; /* the test's end of the connection in `inside` */
    struct connection *inside;
};

static struct table *table_open(size_t setup)
{
    struct table *table = calloc(1, sizeof *table);
    EXPECT(table != NULL);
    table->backend = setup_open(setup);
    if (table->backend == NULL) {
        free(table);
        return NULL;
    }
    EXPECT_EQUAL(connections_open(&table->connections, table->backend, &limits_tiny), 0);
    connections_sweep(&table->connections, clock_now_ns());
    const int listener = listen_somewhere(0);
    const struct endpoint endpoint = loopback_endpoint(listener);
    table->outside = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQUAL(connect(table->outside, (const struct sockaddr *)&endpoint.address, endpoint.address_bytes), 0);
    const int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | table->backend->table->socket_flags);
    EXPECT(fd >= 0);
    close(listener);
    connections_accept(&table->connections, fd);
    table->inside = &table->connections.all[DIALED_MAX];
    EXPECT_EQUAL(table->inside->state, CONNECTION_OPEN);
    connections_flush(&table->connections);
    return table;
}

static void table_turn(struct table *table)
{
    const int count = table->backend->table->collect(table->backend, NS_PER_S, events, EVENTS_MAX);
    EXPECT(count >= 0);
    for (int slot = 0; slot < count; slot++)
        connection_event(&table->connections, &events[slot]);
}

static void table_close(struct table *table)
{
    if (table->outside >= 0)
        close(table->outside);
    connection_drop(&table->connections, table->inside);
    for (int turn = 0; turn < 20 && table->inside->state != CONNECTION_FREE; turn++) {
        connections_flush(&table->connections);
        if (table->inside->state != CONNECTION_FREE)
            table_turn(table);
    }
    EXPECT_EQUAL(table->inside->state, CONNECTION_FREE);
    EXPECT_EQUAL(table->connections.open_count, 0);
    EXPECT_EQUAL(table->connections.client_count, 0);
    connections_close(&table->connections);
    table->backend->table->close(table->backend);
    free(table);
}

static uint32_t request_frame(uint64_t request_id, uint8_t *to)
{
    static const uint8_t key[] = "key";
    const struct request request = { .request_id = request_id, .kind = REQUEST_GET_STALE, .key = { key, 3 } };
    request_encode(&request, 0, to);
    return request_bytes(&request);
}

TEST(frames_are_cut_wherever_the_stream_was)
{
    for (size_t setup = 0; setup < ARRAY_COUNT(setups); setup++) {
        struct table *table = table_open(setup);
        if (table == NULL)
            continue;
        uint8_t stream[64 * 256];
        uint32_t bytes = 0;
        for (uint64_t id = 1; id <= 64; id++)
            bytes += request_frame(id, stream + bytes);
        /* Pieces of 1, 8, 15, ... bytes, each received before the next is sent. */
        uint32_t sent = 0, found = 0;
        for (uint32_t piece = 1; sent < bytes; piece += 7) {
            const uint32_t count = u32_min(piece, bytes - sent);
            EXPECT_EQUAL(write(table->outside, stream + sent, count), count);
            sent += count;
            table_turn(table);
            struct connection *connection;
            struct slice frame;
            while (connections_frame(&table->connections, &connection, &frame)) {
                struct frame_header header;
                memcpy(&header, frame.bytes, sizeof header);
                EXPECT(connection == table->inside);
                EXPECT_EQUAL(header.instance, ++found);
                EXPECT_EQUAL(frame.count, header.frame_bytes);
            }
            connections_flush(&table->connections);
        }
        EXPECT_EQUAL(found, 64);
        EXPECT_EQUAL(table->inside->kind, CONNECTION_CLIENT);
        EXPECT_EQUAL(table->connections.client_count, 1);
        table_close(table);
    }
}

TEST(a_stream_that_cannot_be_cut_is_closed)
{
    logger_configure(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, 0);
    for (size_t setup = 0; setup < ARRAY_COUNT(setups); setup++) {
        struct table *table = table_open(setup);
        if (table == NULL)
            continue;
        uint8_t hostile[64];
        memset(hostile, 0xff, sizeof hostile);
        EXPECT_EQUAL(write(table->outside, hostile, sizeof hostile), (long long)sizeof hostile);
        table_turn(table);
        struct connection *connection;
        struct slice frame;
        EXPECT(!connections_frame(&table->connections, &connection, &frame));
        EXPECT_EQUAL(table->inside->state, CONNECTION_CLOSED);
        EXPECT(connections_find(&table->connections, connection_handle(table->inside)) == NULL);
        table_close(table);
    }
}

/* What a sender queues arrives whole and in order, however the ring wraps; what does not fit is refused whole. */
TEST(the_send_ring_wraps_and_never_overflows)
{
    for (size_t setup = 0; setup < ARRAY_COUNT(setups); setup++) {
        struct table *table = table_open(setup);
        if (table == NULL)
            continue;
        struct connection *inside = table->inside;
        uint8_t bytes[1000], got[8192];
        uint64_t queued = 0, arrived = 0;
        bool refused = false;
        for (uint32_t round = 0; round < 300; round++) {
            const uint32_t count = 1 + round * 7 % sizeof bytes;
            for (uint32_t at = 0; at < count; at++)
                bytes[at] = (uint8_t)((queued + at) * 31 >> 3);
            const uint64_t used = inside->out_tail - inside->out_head;
            const bool fits = count <= inside->out_capacity - used;
            EXPECT_EQUAL(connection_send(&table->connections, inside, (struct slice){ bytes, count }), fits);
            if (fits)
                queued += count;
            refused = refused || !fits;
            if (round % 11 != 0)
                continue;
            while (arrived < queued) {
                connections_flush(&table->connections);
                table_turn(table);
                const ssize_t result = recv(table->outside, got, sizeof got, MSG_DONTWAIT);
                for (ssize_t at = 0; at < result; at++)
                    EXPECT_EQUAL(got[at], (uint8_t)((arrived + (uint64_t)at) * 31 >> 3));
                arrived += result > 0 ? (uint64_t)result : 0;
            }
        }
        EXPECT(queued > 4 * (uint64_t)inside->out_capacity);
        /* Nobody flushes any more: it must fill. */
        while (connection_send(&table->connections, inside, (struct slice){ bytes, sizeof bytes }))
            queued += sizeof bytes;
        EXPECT(inside->out_tail - inside->out_head <= inside->out_capacity);
        table_close(table);
    }
}

TEST(draining_delivers_what_is_queued_and_then_the_end)
{
    for (size_t setup = 0; setup < ARRAY_COUNT(setups); setup++) {
        struct table *table = table_open(setup);
        if (table == NULL)
            continue;
        uint8_t got[16];
        EXPECT(connection_send(&table->connections, table->inside, (struct slice){ (const uint8_t *)"bye", 3 }));
        connection_drain(&table->connections, table->inside);
        EXPECT(!connection_send(&table->connections, table->inside, (struct slice){ (const uint8_t *)"late", 4 }));
        for (int turn = 0; turn < 20 && table->inside->state != CONNECTION_LINGERING; turn++) {
            connections_flush(&table->connections);
            table_turn(table);
            connections_flush(&table->connections);
        }
        EXPECT_EQUAL(table->inside->state, CONNECTION_LINGERING);
        EXPECT_EQUAL(recv(table->outside, got, sizeof got, MSG_WAITALL), 3);
        table_close(table);
    }
}

/* A follower has nothing to say to another follower, for as long as the leader lives. */
TEST(a_silent_connection_is_kept_while_slots_are_plenty)
{
    struct table *table = table_open(ARRAY_COUNT(setups) - 1);
    EXPECT(table != NULL);
    connections_sweep(&table->connections, clock_now_ns() + 60 * NS_PER_S);
    EXPECT_EQUAL(table->inside->state, CONNECTION_OPEN);
    table->connections.free.count = 10;
    connections_sweep(&table->connections, clock_now_ns() + 120 * NS_PER_S);
    EXPECT_EQUAL(table->inside->state, CONNECTION_CLOSED);
    table_close(table);
}

/* Log ------------------------------------------------------------------------------------------------- */

TEST(identical_log_lines_are_limited_and_json_is_escaped)
{
    char text[8192] = { 0 };
    directory_new();
    const int file = open(in_directory("log"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    const int saved = dup(STDERR_FILENO);
    dup2(file, STDERR_FILENO);
    logger_configure(LOG_LEVEL_INFO, LOG_FORMAT_JSON, 4);
    for (int line = 0; line < 100; line++)
        LOG(LOG_LEVEL_WARN, "same", FIELD_TEXT("cause", "a \"quoted\"\n cause"), FIELD_NUMBER("number", 9));
    LOG(LOG_LEVEL_DEBUG, "hidden", FIELD_NUMBER("number", 1));
    LOG(LOG_LEVEL_ERROR, "other", FIELD_NUMBER("number", 1));
    dup2(saved, STDERR_FILENO);
    close(saved);
    EXPECT(pread(file, text, sizeof text - 1, 0) > 0);
    close(file);
    uint32_t same = 0;
    for (const char *at = strstr(text, "\"same\""); at != NULL; at = strstr(at + 1, "\"same\""))
        same++;
    EXPECT_EQUAL(same, 5);
    EXPECT(strstr(text, "\"node\":4,\"cause\":\"a \\\"quoted\\\"\\u000a cause\",\"number\":9}\n") != NULL);
    EXPECT(strstr(text, "hidden") == NULL);
    EXPECT(strstr(text, "\"event\":\"other\"") != NULL);
    directory_remove(directory);
}

TEST_MAIN()

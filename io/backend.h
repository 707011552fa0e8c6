/* The seam between the node and the kernel: requests go in, completions come out. Two back ends stand behind it:
 * uring.c and epoll.c. Both complete every request exactly once; neither orders, links or retries anything, and
 * neither knows what the bytes mean.
 *
 * Single-threaded: only the thread that opened a back end may call it. The memory that a request names belongs to
 * the back end until its event is collected. At most one accept, receive or poll and one send or connect may be in
 * flight per file descriptor. */
#ifndef WW_BACKEND_H
#define WW_BACKEND_H

#include "../core/base.h"

#include <sys/socket.h>

enum io_kind {
    IO_ACCEPT = 1, /* result: the new socket */
    IO_CONNECT,    /* result: 0 */
    IO_RECEIVE,    /* result: bytes, 0 at the end of the stream */
    IO_SEND,       /* result: bytes, possibly fewer than asked for */
    IO_POLL,       /* readable once; result: 0 */
    IO_READ,       /* disk; result: 0, all bytes were read */
    IO_WRITE,      /* disk; result: 0, all bytes are durable */
};

enum {
    IO_DISK_MAX = 32, /* reads and writes in flight */
    IO_TOKEN_BITS = 56,
};

struct io_request {
    enum io_kind kind;
    int fd;
    uint64_t token; /* returned with the event; below 2^IO_TOKEN_BITS */
    uint64_t offset;
    uint8_t *bytes; /* not written to by IO_SEND and IO_WRITE */
    uint32_t count;
    bool bulk; /* disk: large and patient; must not stand in the way of operations that are not */
    socklen_t address_bytes;
    const struct sockaddr *address;
};

struct io_event {
    enum io_kind kind;
    int32_t result; /* as above, or a negative errno */
    uint64_t token;
};

/* How a write becomes durable that is not bulk, so one of the WAL. One small replaceable piece, because the best one
 * depends on kernel, device and load: README.md has the measurements behind the default. */
enum sync_method {
    SYNC_AUTO,      /* ring: SYNC_ADAPTIVE; epoll: SYNC_THREAD */
    SYNC_THREAD,    /* one of two threads blocks in pwritev2(RWF_DSYNC) */
    SYNC_DSYNC,     /* ring only: write with RWF_DSYNC */
    SYNC_FDATASYNC, /* ring only: write, and after its completion fdatasync in the loop, one for all that completed */
    SYNC_ADAPTIVE,  /* ring only: SYNC_DSYNC while that is fast, SYNC_THREAD while busy cores make it slow */
};

struct backend {
    const struct backend_table *table;
};

struct backend_table {
    const char *name;
    int socket_flags; /* for socket(): whether this back end wants its sockets non-blocking */
    /* 0, or a negative errno. */
    int (*open)(enum sync_method sync, struct backend **backend);
    /* Nothing may be in flight but receives, accepts and polls, which are dropped. */
    void (*close)(struct backend *backend);
    void (*submit)(struct backend *backend, const struct io_request *request);
    /* Must precede close(fd); nothing may be in flight on fd. */
    void (*forget)(struct backend *backend, int fd);
    /* Starts what was submitted, waits for the first event for at most timeout_ns, and returns how many there are; or a
     * negative errno, after which the back end is of no use. */
    int (*collect)(struct backend *backend, uint64_t timeout_ns, struct io_event *events, uint32_t event_max);
};

extern const struct backend_table backend_uring;
extern const struct backend_table backend_epoll;

enum io_choice {
    IO_CHOICE_AUTO, /* io_uring unless the kernel or a sandbox forbids it (EPERM, ENOSYS, EINVAL at setup) */
    IO_CHOICE_URING,
    IO_CHOICE_EPOLL,
};

bool io_choice_parse(const char *text, enum io_choice *choice);
bool sync_method_parse(const char *text, enum sync_method *sync);
const char *sync_method_text(enum sync_method sync);
bool sync_method_needs_ring(enum sync_method sync);

/* Resolves both choices: *sync is what will be used. 0, or a negative errno; -ENOTSUP when epoll cannot do `sync`. */
int backend_open(enum io_choice choice, enum sync_method *sync, struct backend **backend);

#endif

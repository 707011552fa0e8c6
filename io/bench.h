/* The load generator behind raftbench: one thread, one epoll, raw request frames.
 *
 * `inflight` slots each hold one request at a time; a slot that writes is a session of its own, because a session has
 * one write outstanding (core/request.h). Slots share connections. Closed loop: a slot sends its next request when the
 * last one is answered. Open loop: requests fall due at a fixed rate whatever the cluster does, wait for an idle slot
 * if there is none, and their latency counts from when they were due (no coordinated omission).
 *
 * When the leader changes, the generator looks for the new one and sends what is unanswered again under the same
 * session and sequence; latencies go on counting meanwhile. What was issued before bench_measure() does not count. It
 * is not a client to learn from: client.h is. */
#ifndef WW_BENCH_H
#define WW_BENCH_H

#include "../core/request.h"
#include "histogram.h"

#include <signal.h>
#include <stdio.h>

enum bench_keys { BENCH_KEYS_FIXED, BENCH_KEYS_SEQUENTIAL, BENCH_KEYS_RANDOM };

struct bench_options {
    const char *endpoints;
    uint64_t cluster_id;  /* 0: any */
    uint32_t connections; /* to the leader; with spread_reads, to each node */
    uint32_t inflight;
    uint32_t key_bytes; /* BENCH_KEY_BYTES_MIN at least */
    uint32_t value_bytes;
    enum bench_keys keys;
    uint64_t key_count; /* BENCH_KEYS_RANDOM: drawn from so many */
    uint32_t reads_percent;
    bool stale_reads;
    bool local_reads;      /* linearizable ones by whoever is asked */
    uint64_t staleness_ns; /* ... or of that age at most; 0: linearizable */
    bool spread_reads;     /* stale and local reads go to all endpoints in turn */
    uint64_t rate;         /* operations a second; 0: closed loop */
    uint64_t count_max;    /* operations to issue after bench_measure(); 0: no end */
    uint64_t seed;         /* of keys and of the choice between read and write */
    FILE *samples;         /* NULL, or where each operation that was executed after bench_measure() gets a line */
    const volatile sig_atomic_t *interrupted; /* NULL, or ends every call soon when it is not 0 */
};

enum {
    BENCH_KEY_BYTES_MIN = 8,
    BENCH_INFLIGHT_MAX = 8192,
    BENCH_CONNECTIONS_MAX = 512,
    BENCH_ERROR_BYTES = 512,
    BENCH_PATIENCE_S = 30
};

/* What happened since bench_measure(). */
struct bench_report {
    struct histogram reads; /* latencies in ns of operations that were executed, absent keys included */
    struct histogram writes;
    uint64_t statuses[REPLY_STATUS_LAST + 1]; /* replies by status */
    uint64_t retries;     /* requests sent again after BUSY, UNKNOWN, NOT_LEADER or a lost connection */
    uint64_t relocations; /* times that the leader had to be looked for again */
    uint64_t failures;    /* operations that ended as anything but executed */
    uint64_t issued;
    uint64_t executed_ns; /* when the latest operation was executed (clock_now_ns); 0: none was */
    uint64_t full_ns;     /* since when writes are answered with nothing but "no space"; 0: they are not */
};

struct bench;

/* Copies the options. NULL: no memory, or a problem that is named in `error`. */
struct bench *bench_open(const struct bench_options *options, char error[BENCH_ERROR_BYTES]);
void bench_close(struct bench *bench);

/* Finds the leader, connects, opens the sessions. False: `error`. */
bool bench_prepare(struct bench *bench, uint64_t deadline_ns, char error[BENCH_ERROR_BYTES]);

/* Forgets what was counted so far: the warm-up is over. */
void bench_measure(struct bench *bench);

/* Drives the load until then (clock_now_ns), or an interruption. 1: that time has come; 0: count_max operations are
 * done; -1: `error`: for BENCH_PATIENCE_S there was no leader. */
int bench_run(struct bench *bench, uint64_t until_ns, char error[BENCH_ERROR_BYTES]);

const struct bench_report *bench_results(const struct bench *bench);
const char *bench_leader(const struct bench *bench); /* "host:port" */
/* Since when there is no leader (clock_now_ns); 0: there is one. */
uint64_t bench_leaderless_ns(const struct bench *bench);
uint32_t bench_outstanding(const struct bench *bench);

#endif

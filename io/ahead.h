/* Memory before it is wanted: a thread has the kernel find and clear the pages of the region that the replica is about
 * to write first (core/ahead.h), so that no step waits for that.
 *
 *   the loop, once a turn: which huge pages hold what is written next? The same as before --> nothing
 *                          others --> they are handed over; unless the thread is just taking some: the next turn, then
 *   the thread: awake when something was handed over; populates it, piece by piece; asleep
 *
 * The thread writes no byte of the region: MADV_POPULATE_WRITE leaves what is there as it is. Where the kernel has no
 * such thing (before Linux 5.14) there is no thread, and steps find their memory themselves. */
#ifndef WW_IO_AHEAD_H
#define WW_IO_AHEAD_H

#include <pthread.h>

#include "../core/ahead.h"

/* How far ahead of the log and of the pages. A huge page takes milliseconds, and the thread its turn: 4 MiB are 40 ms
 * of 100 MB/s. */
enum { AHEAD_BYTES = 4 << 20 };

/* A region, and the huge pages of it that were asked for last. */
struct ahead_spans {
    const uint8_t *region;
    uint64_t region_bytes;
    uint32_t count;
    struct slice spans[AHEAD_SPANS_MAX];
};

/* False: the same as the last time. */
bool ahead_advance(struct ahead_spans *spans, const struct replica *replica);
/* False: this kernel cannot. */
bool ahead_populate(const struct ahead_spans *spans);

struct ahead {
    struct ahead_spans spans; /* of the loop */
    struct ahead_spans asked; /* handed over; under the mutex, as all below */
    bool fresh;               /* the thread has not taken it yet */
    bool leaving;
    bool running;
    bool late; /* the loop: handed over late */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    pthread_t thread;
};

/* A thread that cannot be had is logged, and done without. */
void ahead_open(struct ahead *ahead, const uint8_t *region, uint64_t bytes);
void ahead_turn(struct ahead *ahead, const struct replica *replica);
void ahead_close(struct ahead *ahead);

#endif

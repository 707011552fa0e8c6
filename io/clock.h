/* The node's clock: monotonic, sampled once per turn of the loop. Wall time exists only in log lines (logger.c).
 *
 * It goes on while the machine is suspended, which CLOCK_MONOTONIC does not: who sleeps for an hour and then answers
 * from its lease, or from what it heard last, must see that it is late (core/read.h). */
#ifndef WW_CLOCK_H
#define WW_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

/* The kernel tears down the ring of a killed process in the background, and until then its files stay open: the lock of
 * the data directory stays held, the listening socket listens. Whoever finds either taken asks again for a second. */
#define KILLED_RETRIES 20
#define KILLED_WAIT_NS (50 * NS_PER_MS)

static inline uint64_t clock_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* CPU time of the calling thread: a system call. */
static inline uint64_t clock_cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

#endif

/* The node's clock: monotonic, sampled once per turn of the loop. Wall time exists only in log lines (logger.c). */
#ifndef WW_CLOCK_H
#define WW_CLOCK_H

#include <stdint.h>
#include <sys/resource.h>
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
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* What the calling thread has used until now: a system call. */
struct clock_usage {
    uint64_t cpu_ns; /* in whole microseconds */
    uint64_t faults; /* pages of memory that the kernel had to find for it */
};

static inline struct clock_usage clock_usage(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    const uint64_t seconds = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec);
    const uint64_t us = (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    return (struct clock_usage){ .cpu_ns = seconds * NS_PER_S + us * 1000, .faults = (uint64_t)usage.ru_minflt };
}

#endif

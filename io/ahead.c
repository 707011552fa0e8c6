/* Memory before it is wanted; see ahead.h. */
#include "ahead.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "../core/base.h"
#include "logger.h"

/* Whole huge pages, within the region. */
static struct slice span_widened(const struct ahead_spans *spans, struct slice span)
{
    const uint64_t huge = REGION_HUGE_BYTES;
    const uint64_t from = (uint64_t)(span.bytes - spans->region) / huge * huge;
    const uint64_t end = u64_round_up((uint64_t)(span.bytes - spans->region) + span.count, huge);
    return (struct slice){ spans->region + from, (uint32_t)(u64_min(end, spans->region_bytes) - from) };
}

bool ahead_advance(struct ahead_spans *spans, const struct replica *replica)
{
    struct slice next[AHEAD_SPANS_MAX];
    const uint32_t count = replica_ahead(replica, AHEAD_BYTES, next);
    bool other = count != spans->count;
    spans->count = count;
    for (uint32_t at = 0; at < count; at++) {
        const struct slice span = span_widened(spans, next[at]);
        other |= span.bytes != spans->spans[at].bytes || span.count != spans->spans[at].count;
        spans->spans[at] = span;
    }
    return other;
}

/* One huge page at a time: while one is being cleared, whoever maps memory waits. */
static bool span_populate(struct slice span)
{
    for (uint32_t done = 0; done < span.count; done += REGION_HUGE_BYTES) {
        void *const from = (void *)(uintptr_t)(span.bytes + done);
        if (madvise(from, u32_min(REGION_HUGE_BYTES, span.count - done), MADV_POPULATE_WRITE) != 0 && errno == EINVAL)
            return false;
    }
    return true;
}

bool ahead_populate(const struct ahead_spans *spans)
{
    for (uint32_t at = 0; at < spans->count; at++) {
        if (!span_populate(spans->spans[at]))
            return false;
    }
    return true;
}

static void *ahead_run(void *argument)
{
    struct ahead *ahead = argument;
    struct ahead_spans spans;
    bool able = true;
    pthread_mutex_lock(&ahead->mutex);
    while (able && !ahead->leaving) {
        if (!ahead->fresh) {
            pthread_cond_wait(&ahead->wake, &ahead->mutex);
            continue;
        }
        spans = ahead->asked;
        ahead->fresh = false;
        pthread_mutex_unlock(&ahead->mutex);
        able = ahead_populate(&spans);
        pthread_mutex_lock(&ahead->mutex);
    }
    pthread_mutex_unlock(&ahead->mutex);
    if (!able)
        LOG(LOG_LEVEL_DEBUG, "no-memory-ahead", FIELD_TEXT("cause", "the kernel has no MADV_POPULATE_WRITE"));
    return NULL;
}

void ahead_open(struct ahead *ahead, const uint8_t *region, uint64_t bytes)
{
    sigset_t all, before;
    *ahead = (struct ahead){ .spans = { .region = region, .region_bytes = bytes } };
    pthread_mutex_init(&ahead->mutex, NULL);
    pthread_cond_init(&ahead->wake, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    const int result = pthread_create(&ahead->thread, NULL, ahead_run, ahead);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    ahead->running = result == 0;
    if (ahead->running)
        pthread_setname_np(ahead->thread, "ahead");
    else
        LOG(LOG_LEVEL_WARN, "no-memory-ahead", FIELD_TEXT("cause", strerror(result)));
}

void ahead_turn(struct ahead *ahead, const struct replica *replica)
{
    if (!ahead->running)
        return;
    ahead->late |= ahead_advance(&ahead->spans, replica);
    if (!ahead->late || pthread_mutex_trylock(&ahead->mutex) != 0)
        return;
    ahead->asked = ahead->spans;
    ahead->fresh = true;
    ahead->late = false;
    pthread_cond_signal(&ahead->wake);
    pthread_mutex_unlock(&ahead->mutex);
}

void ahead_close(struct ahead *ahead)
{
    if (ahead->running) {
        pthread_mutex_lock(&ahead->mutex);
        ahead->leaving = true;
        pthread_cond_signal(&ahead->wake);
        pthread_mutex_unlock(&ahead->mutex);
        pthread_join(ahead->thread, NULL);
    }
    pthread_cond_destroy(&ahead->wake);
    pthread_mutex_destroy(&ahead->mutex);
    *ahead = (struct ahead){ .running = false };
}

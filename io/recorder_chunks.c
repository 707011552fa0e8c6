/* Chunks of a recording on their way to the file; see recorder_chunks.h. */
#include "recorder_chunks.h"

#include "clock.h"
#include "recorder.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CHUNKS = 64, NONE = CHUNKS, CHUNKS_USUAL = 8 };
/* Written at once: a batch of the log waits no longer for the disk that they share; and when much waits to be written,
 * fewer calls cost less than those batches do. */
enum { PIECE_BYTES = 256 << 10, PIECE_BYTES_BUSY = RECORDING_CHUNK_BYTES, CHUNKS_BUSY = 3 };
/* The thread gives way to the loop by that: clients wait for the loop. It needs a tenth of a core at most. */
enum { THREAD_NICER = 10 };
/* Memory in pieces that the kernel need not look up page by page for each write. */
enum { HUGE_PAGE_BYTES = 2 << 20, MAPPING_BYTES = CHUNKS * RECORDING_CHUNK_BYTES + HUGE_PAGE_BYTES };

struct chunk {
    uint64_t file_offset;
    _Atomic uint32_t filled;  /* by the loop */
    _Atomic uint32_t written; /* by the thread */
    _Atomic bool used;
};

struct recorder_chunks {
    int fd;
    void *mapping;
    uint8_t *memory; /* in it */
    struct chunk all[CHUNKS];
    uint32_t open; /* of the loop; NONE: none */
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    /* under the mutex */
    uint32_t queue[CHUNKS]; /* in the order in which they were opened; all that are used */
    uint32_t queue_first;
    uint32_t queue_count;
    bool stopping;
    bool asleep; /* the thread waits until it is woken */
    _Atomic int error;
};

static struct recorder_chunks *of_process; /* for the handler of signals */
static const int fatal_signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };

/* All of the chunk that is not in the file, in whole blocks. */
static int chunk_write(const struct recorder_chunks *chunks, uint32_t slot, uint32_t from, uint32_t to, uint32_t piece)
{
    const uint8_t *memory = chunks->memory + (size_t)slot * RECORDING_CHUNK_BYTES;
    uint32_t at = from / RECORDING_BLOCK_BYTES * RECORDING_BLOCK_BYTES;
    const uint32_t end = (uint32_t)u64_round_up(to, RECORDING_BLOCK_BYTES);
    while (at < end) {
        const uint32_t count = u32_min(end - at, piece);
        const ssize_t put = pwrite(chunks->fd, memory + at, count, (off_t)(chunks->all[slot].file_offset + at));
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put < 0 ? -errno : -ENOSPC;
        at += (uint32_t)put;
    }
    return 0;
}

/* The process ends: nothing but what a handler may do. The thread may be writing the same bytes to the same place. */
static void handle_fatal(int signal_number)
{
    struct recorder_chunks *chunks = of_process;
    of_process = NULL;
    for (uint32_t slot = 0; chunks != NULL && slot < CHUNKS; slot++)
        if (atomic_load(&chunks->all[slot].used))
            chunk_write(chunks, slot, atomic_load(&chunks->all[slot].written), atomic_load(&chunks->all[slot].filled),
                        RECORDING_CHUNK_BYTES);
    raise(signal_number); /* SA_RESETHAND: it ends the process now, or when this returns */
}

static void take_signals(struct recorder_chunks *chunks)
{
    static alignas(16) uint8_t stack[65536]; /* the other one may be what overflowed */
    const stack_t alternate = { .ss_sp = stack, .ss_size = sizeof stack };
    of_process = chunks;
    sigaltstack(&alternate, NULL);
    for (size_t slot = 0; slot < ARRAY_COUNT(fatal_signals); slot++) {
        const struct sigaction action = { .sa_handler = handle_fatal, .sa_flags = (int)(SA_RESETHAND | SA_ONSTACK) };
        sigaction(fatal_signals[slot], &action, NULL);
    }
}

static void leave_signals(void)
{
    of_process = NULL;
    for (size_t slot = 0; slot < ARRAY_COUNT(fatal_signals); slot++)
        signal(fatal_signals[slot], SIG_DFL);
}

/* ---- the thread ---- */

/* The oldest chunk with something to write; NONE: stopping, and there is nothing. last: nobody fills it any more. busy:
 * others wait behind it. */
static uint32_t thread_next(struct recorder_chunks *chunks, bool *last, bool *busy)
{
    uint32_t slot = NONE;
    pthread_mutex_lock(&chunks->mutex);
    for (;;) {
        if (chunks->queue_count > 0) {
            slot = chunks->queue[chunks->queue_first];
            *last = chunks->queue_count > 1 || chunks->open == NONE;
            *busy = chunks->queue_count >= CHUNKS_BUSY;
            if (*last || atomic_load(&chunks->all[slot].filled) > atomic_load(&chunks->all[slot].written))
                break;
        }
        slot = NONE;
        if (chunks->stopping)
            break;
        chunks->asleep = true;
        pthread_cond_wait(&chunks->wake, &chunks->mutex);
        chunks->asleep = false;
    }
    pthread_mutex_unlock(&chunks->mutex);
    return slot;
}

static void thread_written(struct recorder_chunks *chunks, uint32_t slot, uint32_t end, bool last, int result)
{
    pthread_mutex_lock(&chunks->mutex);
    if (result < 0 && atomic_load(&chunks->error) == 0)
        atomic_store(&chunks->error, result);
    atomic_store(&chunks->all[slot].written, end);
    if (last) {
        chunks->queue_first = (chunks->queue_first + 1) % CHUNKS;
        chunks->queue_count--;
        atomic_store(&chunks->all[slot].used, false);
    }
    pthread_mutex_unlock(&chunks->mutex);
}

static void *thread_run(void *argument)
{
    struct recorder_chunks *chunks = argument;
    bool last = false, busy = false;
    uint32_t slot;
    (void)nice(THREAD_NICER); /* of this thread alone, on Linux */
    while ((slot = thread_next(chunks, &last, &busy)) != NONE) {
        const uint32_t start = atomic_load(&chunks->all[slot].written);
        const uint32_t end = atomic_load(&chunks->all[slot].filled);
        const uint32_t piece = busy ? PIECE_BYTES_BUSY : PIECE_BYTES;
        const int result = start < end ? chunk_write(chunks, slot, start, end, piece) : 0;
        thread_written(chunks, slot, end, last, result);
        if (!last)
            nanosleep(&(struct timespec){ .tv_nsec = (long)RECORDER_PERIOD_NS }, NULL);
    }
    return NULL;
}

static bool memory_map(struct recorder_chunks *chunks)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    chunks->mapping = mmap(NULL, MAPPING_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (chunks->mapping == MAP_FAILED)
        return false;
    chunks->memory = (uint8_t *)u64_round_up((uintptr_t)chunks->mapping, HUGE_PAGE_BYTES);
    madvise(chunks->mapping, MAPPING_BYTES, MADV_DONTFORK); /* no child needs it */
    /* What is usually enough is found now, and not in the loop. */
    const size_t usual = (size_t)CHUNKS_USUAL * RECORDING_CHUNK_BYTES;
    madvise(chunks->memory, usual, MADV_HUGEPAGE);
    memset(chunks->memory, 0, usual);
    return true;
}

int chunks_open(int fd, struct recorder_chunks **opened)
{
    struct recorder_chunks *chunks = calloc(1, sizeof *chunks);
    if (chunks == NULL)
        return -ENOMEM;
    if (!memory_map(chunks)) {
        free(chunks);
        return -ENOMEM;
    }
    chunks->fd = fd;
    chunks->open = NONE;
    pthread_mutex_init(&chunks->mutex, NULL);
    pthread_cond_init(&chunks->wake, NULL);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int result = pthread_create(&chunks->thread, NULL, thread_run, chunks);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result != 0) {
        munmap(chunks->mapping, MAPPING_BYTES);
        free(chunks);
        return -result;
    }
    pthread_setname_np(chunks->thread, "recorder");
    take_signals(chunks);
    *opened = chunks;
    return 0;
}

void chunks_close(struct recorder_chunks *chunks)
{
    pthread_mutex_lock(&chunks->mutex);
    chunks->stopping = true;
    chunks->open = NONE;
    pthread_cond_signal(&chunks->wake);
    pthread_mutex_unlock(&chunks->mutex);
    pthread_join(chunks->thread, NULL);
    leave_signals();
    munmap(chunks->mapping, MAPPING_BYTES);
    pthread_cond_destroy(&chunks->wake);
    pthread_mutex_destroy(&chunks->mutex);
    free(chunks);
}

/* ---- the loop ---- */

/* The lowest one, so that little memory is used while the disk keeps up. */
static uint32_t chunk_free(const struct recorder_chunks *chunks)
{
    uint32_t slot = 0;
    while (slot < CHUNKS && atomic_load(&chunks->all[slot].used))
        slot++;
    return slot;
}

bool chunks_available(const struct recorder_chunks *chunks) { return chunk_free(chunks) < CHUNKS; }

bool chunks_next(struct recorder_chunks *chunks, uint64_t file_offset)
{
    const uint32_t slot = chunk_free(chunks);
    pthread_mutex_lock(&chunks->mutex);
    chunks->open = NONE;
    if (slot < CHUNKS) {
        struct chunk *chunk = &chunks->all[slot];
        chunk->file_offset = file_offset;
        atomic_store(&chunk->filled, 0);
        atomic_store(&chunk->written, 0);
        atomic_store(&chunk->used, true);
        chunks->queue[(chunks->queue_first + chunks->queue_count++) % CHUNKS] = slot;
        chunks->open = slot;
    }
    if (chunks->asleep)
        pthread_cond_signal(&chunks->wake);
    pthread_mutex_unlock(&chunks->mutex);
    return slot < CHUNKS;
}

uint32_t chunks_filled(const struct recorder_chunks *chunks)
{
    return chunks->open == NONE ? RECORDING_CHUNK_BYTES
                                : atomic_load_explicit(&chunks->all[chunks->open].filled, memory_order_relaxed);
}

uint32_t chunks_left(const struct recorder_chunks *chunks) { return RECORDING_CHUNK_BYTES - chunks_filled(chunks); }

uint8_t *chunks_room(struct recorder_chunks *chunks)
{
    ASSERT(chunks->open != NONE);
    return chunks->memory + (size_t)chunks->open * RECORDING_CHUNK_BYTES + chunks_filled(chunks);
}

void chunks_add(struct recorder_chunks *chunks, uint32_t bytes)
{
    ASSERT(bytes <= chunks_left(chunks));
    /* Nobody else adds: no locked instruction, which would wait until all of the record is in the cache. */
    atomic_store_explicit(&chunks->all[chunks->open].filled, chunks_filled(chunks) + bytes, memory_order_release);
}

bool chunks_idle(const struct recorder_chunks *chunks)
{
    for (uint32_t slot = 0; slot < CHUNKS; slot++)
        if (slot != chunks->open && atomic_load(&chunks->all[slot].used))
            return false;
    return true;
}

int chunks_turn(struct recorder_chunks *chunks)
{
    if (pthread_mutex_trylock(&chunks->mutex) == 0) { /* else it is awake, and need not be waited for */
        if (chunks->asleep && chunks->open != NONE
            && atomic_load(&chunks->all[chunks->open].filled) > atomic_load(&chunks->all[chunks->open].written))
            pthread_cond_signal(&chunks->wake);
        pthread_mutex_unlock(&chunks->mutex);
    }
    return atomic_load(&chunks->error);
}

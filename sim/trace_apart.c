/* A process for one life. Takes part in no decision. */
#define _DEFAULT_SOURCE
#include "trace_apart.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trap.h"

/* What the child leaves in shared memory: the trace's arrays lie behind. */
struct letter {
    bool sealed;
    struct trace_outcome outcome;
    struct trace trace;
    uint8_t bytes[];
};
enum { LETTER_BYTES = 64 << 20 };

static void *letter_put(struct letter *letter, size_t *used, const void *items, size_t bytes)
{
    uint8_t *to = letter->bytes + *used;
    *used = u64_round_up(*used + bytes, sizeof(uint64_t));
    if (bytes > 0 && *used <= LETTER_BYTES - sizeof *letter)
        memcpy(to, items, bytes);
    return to;
}

static void letter_write(struct letter *letter, const struct trace_life *life)
{
    size_t used = 0;
    letter->outcome = *life->outcome;
    if (life->to != NULL) {
        struct trace *trace = &letter->trace;
        *trace = *life->to;
        trace->decisions = letter_put(letter, &used, trace->decisions, trace->count * sizeof trace->decisions[0]);
        trace->arguments =
            letter_put(letter, &used, trace->arguments, trace->argument_count * sizeof trace->arguments[0]);
        trace->digests = letter_put(letter, &used, trace->digests, trace->digest_count * sizeof trace->digests[0]);
    }
    letter->sealed = used <= LETTER_BYTES - sizeof *letter;
}

/* False: no memory. */
static bool letter_read(const struct letter *letter, const struct trace_life *life)
{
    *life->outcome = letter->outcome;
    if (life->to == NULL)
        return true;
    if (!trace_copy(life->to, &letter->trace))
        return false;
    for (uint32_t i = 0; i < letter->trace.digest_count; i++)
        if (!trace_add_digest(life->to, (uint64_t)letter->trace.digests[i] << 48))
            return false;
    return true;
}

static void without_a_word(const struct trace_life *life, int status)
{
    struct trace_ending *ending = &life->outcome->ending;
    *life->outcome = (struct trace_outcome){ .ending = { .outcome = "crash", .checker = "signal" } };
    snprintf(ending->text, sizeof ending->text, "the process ended without a word, with status %d", status);
    memcpy(ending->invariant, ending->text, sizeof ending->invariant);
    if (life->to != NULL)
        trace_clear(life->to);
}

bool trace_live_apart(const struct trace_life *life)
{
    struct letter *letter =
        mmap(NULL, LETTER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (letter == MAP_FAILED)
        return false;
    const pid_t pid = fork();
    if (pid == 0) {
        trap_signals(life->runner->still_ms);
        if (trace_live(life))
            letter_write(letter, life);
        _exit(0);
    }
    int status = 0;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    bool lived = pid > 0;
    if (lived && letter->sealed)
        lived = letter_read(letter, life);
    else if (lived && status == 0)
        lived = false;
    else if (lived)
        without_a_word(life, status);
    munmap(letter, LETTER_BYTES);
    return lived;
}

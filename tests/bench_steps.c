/* How long the steps of a real node take, without what else its machine did meanwhile: a recording of it
 * (raftd --record) is stepped through ROUNDS times, and each step counts with the fastest of them.
 *
 *     bench_steps FILE [ROUNDS]
 *
 * What a node does before it has read its disk is left out: then it serves nobody. So is finding memory, as far as a
 * node has a thread for it (io/ahead.h); here that is done between the steps. A step here includes reading its
 * input from the recording and folding its outputs into the digest, so it is an upper bound. Exit status 1: a step took
 * more than LONGEST_NS, or the recording does not replay. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../core/state.h"
#include "../io/ahead.h"
#include "../io/clock.h"
#include "../sim/playback.h"

enum { ROUNDS = 3, LONGEST_NS = 2000000 };

struct steps {
    uint32_t *ns; /* of each step, the fastest so far */
    uint64_t count;
    uint64_t capacity;
};

_Noreturn void core_assert_failed(const char *expression, const char *file, int line)
{
    fprintf(stderr, "bench_steps: assertion failed: %s (%s:%d)\n", expression, file, line);
    abort();
}

static _Noreturn void give_up(const char *what, const char *cause)
{
    fprintf(stderr, "bench_steps: %s: %s\n", what, cause);
    exit(1);
}

static void steps_note(struct steps *steps, uint64_t step, uint64_t ns)
{
    if (step >= steps->capacity) {
        steps->capacity = steps->capacity == 0 ? 1 << 20 : 2 * steps->capacity;
        steps->ns = realloc(steps->ns, steps->capacity * sizeof steps->ns[0]);
        if (steps->ns == NULL)
            give_up("memory", "there is not enough");
    }
    if (step == steps->count)
        steps->ns[steps->count++] = UINT32_MAX;
    steps->ns[step] = (uint32_t)u64_min(steps->ns[step], ns);
}

static void round_measure(const struct playback_source *source, const char *path, struct steps *steps)
{
    char error[PLAYBACK_ERROR_BYTES];
    struct playback *playback = playback_open(source, NULL, error);
    if (playback == NULL)
        give_up(path, error);
    const struct playback_view *view = playback_view(playback);
    struct ahead_spans ahead = { .region = (const uint8_t *)view->replica,
                                 .region_bytes = replica_bytes(&view->header.limits) };
    for (uint64_t step = 0;;) {
        if (ahead_advance(&ahead, view->replica))
            ahead_populate(&ahead);
        const uint64_t start_ns = clock_cpu_ns();
        const enum playback_result result = playback_next(playback);
        const uint64_t spent_ns = clock_cpu_ns() - start_ns;
        if (result == PLAYBACK_END)
            break;
        if (result != PLAYBACK_STEP)
            give_up(path, view->text);
        if (view->replica->role != RAFT_STARTING)
            steps_note(steps, step++, spent_ns);
    }
    playback_close(playback);
}

static int compare(const void *left, const void *right)
{
    const uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

static double us_at(const struct steps *steps, uint64_t at) { return steps->ns[at] / 1000.0; }

int main(int argc, char **argv)
{
    struct steps steps = { 0 };
    struct playback_source source;
    char error[PLAYBACK_ERROR_BYTES];
    const uint64_t rounds = argc == 3 ? strtoull(argv[2], NULL, 10) : ROUNDS;
    if (argc < 2 || argc > 3 || rounds == 0) {
        fprintf(stderr, "usage: bench_steps FILE [ROUNDS]\n");
        return 2;
    }
    if (!playback_file_open(&source, argv[1], error))
        give_up(argv[1], error);
    for (uint64_t round = 0; round < rounds; round++)
        round_measure(&source, argv[1], &steps);
    playback_file_close(&source);
    if (steps.count == 0)
        give_up(argv[1], "no step is in it");
    qsort(steps.ns, steps.count, sizeof steps.ns[0], compare);
    printf("%llu steps, the fastest of %llu rounds each: p50 %.1f us, p99 %.1f us, p99.99 %.1f us, longest %.1f us\n",
           (unsigned long long)steps.count, (unsigned long long)rounds, us_at(&steps, steps.count / 2),
           us_at(&steps, steps.count * 99 / 100), us_at(&steps, steps.count - 1 - steps.count / 10000),
           us_at(&steps, steps.count - 1));
    const bool ok = steps.ns[steps.count - 1] <= LONGEST_NS;
    free(steps.ns);
    return ok ? 0 : 1;
}

/* Shrinking: what is left of a failure that was planted. The faults are real, the bug is not: somebody looks on and
 * takes offence at lost frames, so that the smallest trace is known. */
#include "../sim/observe.h"
#include "../sim/shrink.h"
#include "test.h"

/* Fails when so many frames have been lost. */
struct offence {
    struct observer observer; /* first */
    struct trace_runner runner;
    struct trace trace;
    uint32_t lost;
    uint32_t lost_max;
};

static void offence_see(struct observer *observer, const struct observed *observed)
{
    struct offence *offence = (struct offence *)observer;
    if (observed->kind == OBSERVED_BEGIN)
        offence->lost = 0;
    if (observed->kind != OBSERVED_SEND || (observed->send.fate != FATE_LOST && observed->send.fate != FATE_SELECTED))
        return;
    if (++offence->lost == offence->lost_max)
        check_fail(offence->runner.world->scene.check, CHECK_FRAME, UINT32_MAX, "%u frames are lost", offence->lost);
}

/* The first life that fails so. */
static struct offence *offence_new(uint32_t lost_max, uint64_t seed)
{
    struct offence *offence = calloc(1, sizeof *offence);
    EXPECT(offence != NULL && trace_runner_init(&offence->runner));
    offence->observer.see = offence_see;
    offence->runner.observer = &offence->observer;
    offence->lost_max = lost_max;
    do
        EXPECT(trace_record(&offence->runner, seed++, PROFILE_TIMED, &offence->trace));
    while (offence->trace.ending.checker[0] == '\0');
    return offence;
}

static void offence_free(struct offence *offence)
{
    trace_free(&offence->trace);
    trace_runner_free(&offence->runner);
    free(offence);
}

TEST(only_the_faults_that_matter_are_left)
{
    for (uint32_t lost_max = 1; lost_max <= 2; lost_max++) {
        struct offence *offence = offence_new(lost_max, 1);
        struct trace *trace = &offence->trace;
        const struct shrink_options options = { .attempts_max = 3000 };
        struct shrink_report report;
        EXPECT(trace->count > 50);
        EXPECT(shrink_trace(&offence->runner, trace, &options, &report));
        EXPECT(report.finished);
        EXPECT_EQUAL(trace->count, lost_max);
        for (uint32_t i = 0; i < trace->count; i++)
            EXPECT_EQUAL(trace->decisions[i].head, SITE_LOSS);
        EXPECT_EQUAL(trace->swarm.client_count, 1);
        EXPECT_EQUAL(trace->swarm.key_count, 1);
        EXPECT_TEXT(trace->ending.invariant, "* frames are lost");
        offence_free(offence);
    }
}

TEST(what_is_left_fails_the_same_way_every_time)
{
    struct offence *offence = offence_new(2, 20);
    struct trace *trace = &offence->trace;
    const struct shrink_options options = { .attempts_max = 200 };
    struct shrink_report report;
    struct trace_outcome outcome;
    EXPECT(shrink_trace(&offence->runner, trace, &options, &report));
    for (uint32_t i = 0; i < 20; i++) {
        EXPECT(trace_replay(&offence->runner, trace, NULL, MATCH_EXACT, NULL, &outcome));
        EXPECT(outcome.difference.step == 0 && outcome.skipped == 0);
        EXPECT(outcome.ending.digest == trace->ending.digest && outcome.ending.steps == trace->ending.steps);
        EXPECT(trace_fails_alike(&outcome.ending, &trace->ending));
    }
    offence_free(offence);
}

TEST(shrinking_is_deterministic)
{
    struct shrink_report reports[2];
    uint64_t digests[2];
    for (uint32_t i = 0; i < 2; i++) {
        struct offence *offence = offence_new(2, 40);
        const struct shrink_options options = { .attempts_max = 300 };
        EXPECT(shrink_trace(&offence->runner, &offence->trace, &options, &reports[i]));
        digests[i] = offence->trace.ending.digest;
        offence_free(offence);
    }
    EXPECT_EQUAL(reports[0].after, reports[1].after);
    EXPECT_EQUAL(reports[0].attempts, reports[1].attempts);
    EXPECT(digests[0] == digests[1]);
}

TEST(what_does_not_fail_is_not_shrunk)
{
    struct offence *offence = offence_new(1, 1);
    const struct shrink_options options = { .attempts_max = 100 };
    struct shrink_report report;
    offence->lost_max = UINT32_MAX;
    EXPECT(!shrink_trace(&offence->runner, &offence->trace, &options, &report));
    offence_free(offence);
}

TEST_MAIN()

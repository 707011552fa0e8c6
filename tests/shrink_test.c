/* Shrinking: what is left of a failure that was planted. The faults are real, the bug is not: somebody looks on and
 * takes offence at lost frames, so that the smallest trace is known. */
#include "../sim/cousins.h"
#include "../sim/observe.h"
#include "../sim/shrink.h"
#include "../sim/trap.h"
#include "test.h"

#include <signal.h>

enum { HARD_LOST = 40 };
enum offence_kind { OFFENCE_CHECK, OFFENCE_SIGNAL, OFFENCE_HANG, OFFENCE_KILL };

/* Fails when so many frames have been lost. */
struct offence {
    struct observer observer; /* first */
    struct trace_runner runner;
    struct trace trace;
    enum offence_kind kind;
    uint32_t lost;
    uint32_t lost_max;
    uint32_t life;      /* of the schedule */
    uint32_t only_life; /* 0: in any of them */
    uint64_t hard_seed; /* where it takes HARD_LOST */
};

static void offence_see(struct observer *observer, const struct observed *observed)
{
    struct offence *offence = (struct offence *)observer;
    if (observed->kind == OBSERVED_BEGIN) {
        offence->lost = 0;
        offence->life++;
    }
    if (observed->kind != OBSERVED_SEND || (observed->send.fate != FATE_LOST && observed->send.fate != FATE_SELECTED))
        return;
    if (offence->only_life != 0 && offence->life != offence->only_life)
        return;
    const bool hard = offence->runner.world->scene.swarm.seed == offence->hard_seed;
    if (++offence->lost != (hard ? HARD_LOST : offence->lost_max))
        return;
    if (offence->kind == OFFENCE_SIGNAL)
        raise(SIGSEGV);
    if (offence->kind == OFFENCE_KILL)
        raise(SIGKILL);
    while (offence->kind == OFFENCE_HANG)
        continue;
    check_fail(offence->runner.world->scene.check, CHECK_FRAME, UINT32_MAX, "%u frames are lost", offence->lost);
}

static struct offence *offence_idle(uint32_t lost_max)
{
    struct offence *offence = calloc(1, sizeof *offence);
    EXPECT(offence != NULL && trace_runner_init(&offence->runner));
    offence->observer.see = offence_see;
    offence->runner.observer = &offence->observer;
    offence->lost_max = lost_max;
    return offence;
}

/* The first life that fails so. */
static struct offence *offence_new(uint32_t lost_max, uint64_t seed)
{
    struct offence *offence = offence_idle(lost_max);
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

/* The first life takes many faults to fail, others that fail alike take two. */
TEST(of_lives_that_fail_alike_one_that_gets_small_is_shrunk)
{
    struct offence *offence = offence_new(HARD_LOST, 1);
    struct trace *trace = &offence->trace;
    const struct shrink_options options = { .attempts_max = 3000 };
    struct shrink_report report;
    struct trace_outcome outcome;
    offence->hard_seed = trace->swarm.seed;
    offence->lost_max = 2;
    EXPECT(cousins_shrink(&offence->runner, trace, &options, &report));
    EXPECT(trace->swarm.seed != offence->hard_seed);
    EXPECT(trace->count >= 2 && trace->count <= COUSINS_SMALL);
    EXPECT_EQUAL(report.after, trace->count);
    EXPECT_TEXT(trace->ending.invariant, "* frames are lost");
    EXPECT(trace_replay(&offence->runner, trace, NULL, MATCH_EXACT, NULL, &outcome));
    EXPECT(trace_fails_alike(&outcome.ending, &trace->ending));
    offence_free(offence);
}

static bool is_used_up(void *context)
{
    uint32_t *left = context;
    *left -= *left > 0 ? 1 : 0;
    return *left == 0;
}

/* ... and where no other fails alike the first is. */
TEST(what_no_other_life_shares_is_shrunk_all_the_same)
{
    struct offence *offence = offence_new(HARD_LOST, 1);
    struct trace *trace = &offence->trace;
    uint32_t left = 2000;
    const struct shrink_options options = { .over = is_used_up, .context = &left };
    struct shrink_report report;
    offence->hard_seed = trace->swarm.seed;
    offence->lost_max = UINT32_MAX;
    EXPECT(cousins_shrink(&offence->runner, trace, &options, &report));
    EXPECT_EQUAL(trace->swarm.seed, offence->hard_seed);
    EXPECT(trace->count >= HARD_LOST && trace->count < report.before / 2);
    EXPECT(!report.finished);
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

/* ---- lives that others descend from ---- */

static void expect_shrunk_forebear(enum profile profile, uint32_t life)
{
    struct offence *offence = offence_idle(2);
    struct trace *trace = &offence->trace;
    const struct shrink_options options = { .attempts_max = 3000 };
    struct shrink_report report;
    struct trace_outcome outcome;
    offence->observer.forebears = true;
    offence->only_life = life;
    uint64_t seed = 0;
    do {
        offence->life = 0;
        EXPECT(trace_record(&offence->runner, ++seed, profile, trace));
    } while (trace->ending.checker[0] == '\0');
    EXPECT_EQUAL(offence->life, life); /* and with it the schedule has failed */
    EXPECT_TEXT(trace->ending.text, "2 frames are lost");
    EXPECT_EQUAL(trace->swarm.seed, seed);
    offence->only_life = 0;
    EXPECT(trace_replay(&offence->runner, trace, NULL, MATCH_EXACT, NULL, &outcome));
    EXPECT(outcome.difference.step == 0 && outcome.skipped == 0);
    EXPECT(outcome.ending.digest == trace->ending.digest);
    EXPECT(trace_fails_alike(&outcome.ending, &trace->ending));
    EXPECT(shrink_trace(&offence->runner, trace, &options, &report));
    EXPECT(report.before > 20 && report.after <= 8);
    offence_free(offence);
}

TEST(an_ancestor_that_fails_is_the_schedules_failure_and_is_shrunk)
{
    expect_shrunk_forebear(PROFILE_CORPUS, 1);
    expect_shrunk_forebear(PROFILE_CORPUS, 2);
    expect_shrunk_forebear(PROFILE_CORPUS, 3); /* the descendant */
}

TEST(a_fork_that_fails_is_the_schedules_failure_and_is_shrunk)
{
    for (uint32_t life = 1; life <= 5; life++)
        expect_shrunk_forebear(PROFILE_FORK, life);
}

/* ---- failures that end the process ---- */

static struct offence *offence_apart(enum offence_kind kind)
{
    struct offence *offence = offence_new(2, 60);
    offence->kind = kind;
    offence->runner.apart = true;
    offence->runner.still_ms = 60;
    EXPECT(trace_record(&offence->runner, offence->trace.swarm.seed, PROFILE_TIMED, &offence->trace));
    return offence;
}

TEST(what_ends_by_a_signal_is_written_down_and_shrunk)
{
    struct offence *offence = offence_apart(OFFENCE_SIGNAL);
    struct trace *trace = &offence->trace;
    const struct shrink_options options = { .attempts_max = 3000 };
    struct shrink_report report;
    struct trace_outcome outcome;
    EXPECT_TEXT(trace->ending.outcome, "crash");
    EXPECT_TEXT(trace->ending.checker, "signal");
    EXPECT_TEXT(trace->ending.text, "signal 11");
    EXPECT(trace_broke_off(&trace->ending) && trace->count > 50 && trace->digest_count == trace->ending.steps);
    EXPECT(shrink_trace(&offence->runner, trace, &options, &report));
    EXPECT(report.finished);
    EXPECT(trace->count <= 4);
    EXPECT(trace_replay(&offence->runner, trace, NULL, MATCH_EXACT, NULL, &outcome));
    EXPECT(outcome.difference.step == 0 && outcome.ending.digest == trace->ending.digest);
    /* The same in this process, which goes on. */
    offence->runner.apart = false;
    trap_signals(TRACE_STILL_MS);
    EXPECT(trace_replay(&offence->runner, trace, NULL, MATCH_EXACT, NULL, &outcome));
    EXPECT(outcome.difference.step == 0 && trace_fails_alike(&outcome.ending, &trace->ending));
    offence_free(offence);
}

TEST(what_has_no_end_is_written_down_and_shrunk)
{
    struct offence *offence = offence_apart(OFFENCE_HANG);
    struct trace *trace = &offence->trace;
    const struct shrink_options options = { .attempts_max = 20 };
    const uint32_t before = trace->count;
    struct shrink_report report;
    EXPECT_TEXT(trace->ending.checker, "hang");
    EXPECT(trace->count > 50 && trace->digest_count == trace->ending.steps);
    EXPECT(shrink_trace(&offence->runner, trace, &options, &report));
    EXPECT(trace->count < before);
    EXPECT_TEXT(trace->ending.checker, "hang");
    offence_free(offence);
}

TEST(a_process_that_ends_without_a_word_is_no_failure_to_shrink)
{
    struct offence *offence = offence_new(2, 60);
    struct trace_outcome outcome;
    offence->kind = OFFENCE_KILL;
    offence->runner.apart = true;
    EXPECT(trace_replay(&offence->runner, &offence->trace, NULL, MATCH_EXACT, NULL, &outcome));
    EXPECT_TEXT(outcome.ending.outcome, "crash");
    EXPECT(!outcome.ending.digested);
    offence_free(offence);
}

TEST_MAIN()

/* The families of schedules: their shares, and what the ones with a method of their own do to a life. */
#include "../core/inspect.h"
#include "../sim/observe.h"
#include "../sim/trace_run.h"
#include "test.h"

static struct world *world;

static struct world *the_world(void)
{
    if (world == NULL)
        world = world_new();
    EXPECT(world != NULL);
    return world;
}

TEST(no_family_of_the_portfolio_is_rare)
{
    static struct choose choices;
    static struct coverage coverage;
    enum { DRAWN = 5000 };
    uint32_t counts[PROFILE_KINDS] = { 0 };
    struct swarm swarm;
    for (uint64_t seed = 1; seed <= DRAWN; seed++) {
        choose_reset(&choices, seed);
        swarm_draw(&swarm, &choices, &coverage, seed, PROFILE_MIXED);
        counts[swarm.family]++;
    }
    for (enum profile family = PROFILE_TIMED; family < PROFILE_KINDS; family++)
        if (family == PROFILE_MEMBERS)
            EXPECT_EQUAL(counts[family], 0); /* members change in schedules of all families */
        else
            EXPECT(counts[family] * 1000 >= DRAWN * (family == PROFILE_QUIET ? 5 : 42));
}

/* A limit that does not fit the others is not drawn: so of each that matters some must fit. */
TEST(long_keys_and_crowds_are_drawn)
{
    static struct choose choices;
    static struct coverage coverage;
    enum { DRAWN = 5000 };
    uint32_t long_keys = 0, longest_keys = 0, crowds = 0, long_queues = 0;
    struct swarm swarm;
    for (uint64_t seed = 1; seed <= DRAWN; seed++) {
        choose_reset(&choices, seed);
        swarm_draw(&swarm, &choices, &coverage, seed, PROFILE_MIXED);
        long_keys += swarm.limits.key_bytes_max >= 60;
        longest_keys += swarm.limits.key_bytes_max == 200;
        crowds += swarm.copies > 1 && swarm.limits.effects_max <= 32;
        long_queues += swarm.copies > 1 && swarm.limits.pending_reads_max == 64;
    }
    EXPECT(long_keys >= DRAWN / 100 && longest_keys >= DRAWN / 200);
    EXPECT(crowds >= DRAWN / 30 && long_queues >= DRAWN / 60);
}

/* ---- PCT ---- */

enum { UNDER_WAY_MAX = 4096 };

/* Frames between nodes, in the order of their sending. */
struct order {
    struct observer observer;
    uint32_t count;
    uint32_t arrived;
    struct {
        uint32_t from, to, packet;
        bool first; /* no copy */
    } frames[UNDER_WAY_MAX];
};

static void see_arrival(struct order *order, uint32_t packet)
{
    uint32_t i = 0;
    while (i < order->count && order->frames[i].packet != packet)
        i++;
    if (i == order->count)
        return;
    for (uint32_t k = 0; k < i; k++)
        EXPECT(!order->frames[i].first || !order->frames[k].first || order->frames[k].from != order->frames[i].from
               || order->frames[k].to != order->frames[i].to);
    order->arrived += order->frames[i].first;
    order->count--;
    memmove(&order->frames[i], &order->frames[i + 1], (order->count - i) * sizeof order->frames[0]);
}

static void see_order(struct observer *observer, const struct observed *observed)
{
    struct order *order = (struct order *)observer;
    if (observed->kind == OBSERVED_SEND && frame_fate_travels(observed->send.fate)) {
        EXPECT(order->count < UNDER_WAY_MAX);
        order->frames[order->count].from = observed->who;
        order->frames[order->count].to = observed->send.to;
        order->frames[order->count].packet = observed->send.packet;
        order->frames[order->count++].first =
            observed->send.fate == FATE_SENT && observed->who < ENDPOINT_CLIENT && observed->send.to < ENDPOINT_CLIENT;
    } else if (observed->kind == OBSERVED_ARRIVE) {
        see_arrival(order, observed->arrive.packet);
    } else if (observed->kind == OBSERVED_HEAL || observed->kind == OBSERVED_PAUSE) {
        observer->enough = true; /* what waits for a node that is paused may be overtaken when it is started again */
    }
}

TEST(links_keep_their_order_under_pct)
{
    static struct order order;
    uint32_t arrived = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct world_result result;
        memset(&order, 0, sizeof order);
        order.observer.see = see_order;
        const struct world_options options = { .seed = seed, .profile = PROFILE_PCT, .observer = &order.observer };
        EXPECT(world_run(the_world(), &options, &result));
        arrived += order.arrived;
    }
    EXPECT(arrived > 1000);
}

static uint64_t demotions(const struct coverage *coverage)
{
    return coverage->fired[FAULT_LINK_DEMOTED] + coverage->fired[FAULT_DISK_DEMOTED]
           + coverage->fired[FAULT_TIMER_DEMOTED];
}

TEST(change_points_come_at_their_steps)
{
    const struct scene *scene = &the_world()->scene;
    uint32_t depths[DEMOTIONS_MAX + 1] = { 0 };
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct world_result result;
        const struct world_options options = { .seed = seed, .profile = PROFILE_PCT, .safety_only = true };
        EXPECT(world_run(the_world(), &options, &result));
        EXPECT(scene->swarm.demotions > 0);
        EXPECT(demotions(&scene->coverage) <= scene->swarm.demotions);
        depths[scene->swarm.demotions]++;
        /* Well before the end, so that something came after it. */
        for (uint32_t i = 0; i < scene->swarm.demotions; i++)
            if (result.failure == NULL && scene->swarm.demote_step[i] + 100 < result.steps)
                EXPECT(demotions(&scene->coverage) > i);
    }
    for (uint32_t depth = 1; depth <= DEMOTIONS_MAX; depth++)
        EXPECT(depths[depth] > 5);
}

TEST(a_demoted_link_holds_what_is_under_way)
{
    /* The first append of n0 to n1 would take 2 ms, and takes a second more. */
    static const char *const demoted = "raftsim-trace 2\nknob safety 3s\ndemote peer=1 pace=1s @500ms\n";
    struct trace_runner runner;
    struct trace trace = { .lost = false };
    struct trace_outcome outcome;
    uint32_t line;
    const char *cause = "";
    EXPECT(trace_runner_init(&runner));
    EXPECT(trace_parse(&trace, demoted, strlen(demoted), &line, &cause));
    EXPECT(trace_replay(&runner, &trace, NULL, MATCH_EXACT, NULL, &outcome));
    EXPECT_EQUAL(outcome.skipped, 0);
    EXPECT_TEXT(outcome.ending.outcome, "passed");
    EXPECT_EQUAL(runner.world->scene.coverage.fired[FAULT_LINK_DEMOTED], 1);
    EXPECT_EQUAL(runner.world->network.delay_ns[0][1], 1002000000);
    EXPECT(runner.world->network.delay_ns[1][0] < 1000000000);
    trace_free(&trace);
    trace_runner_free(&runner);
}

/* ---- schedules that come from other lives ---- */

static void live(uint64_t seed, enum profile profile, struct world_result *result, struct coverage *sum)
{
    const struct world_options options = { .seed = seed, .profile = profile };
    EXPECT(world_run(the_world(), &options, result));
    EXPECT(result->failure == NULL);
    coverage_add(sum, &the_world()->scene.coverage);
}

/* A schedule keeps nothing for the next one. */
static void expect_alike_again(enum profile profile, struct coverage *sum)
{
    enum { SEEDS = 24 };
    struct world_result first[SEEDS], again;
    coverage_reset(sum);
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        live(1 + seed, profile, &first[seed], sum);
    for (uint64_t seed = SEEDS; seed-- > 0;) {
        live(1 + seed, profile, &again, sum);
        EXPECT(again.digest == first[seed].digest);
        EXPECT_EQUAL(again.steps, first[seed].steps);
    }
    EXPECT_EQUAL(sum->schedules, 2 * SEEDS);
}

TEST(a_descendant_meets_what_was_spliced_shifted_and_inserted)
{
    static struct coverage sum;
    expect_alike_again(PROFILE_CORPUS, &sum);
    EXPECT(sum.fired[FAULT_DECISION_SPLICED] > 0);
    EXPECT(sum.fired[FAULT_DECISION_SHIFTED] > 0);
    EXPECT(sum.fired[FAULT_DECISION_INSERTED] > 0);
}

TEST(a_fork_goes_on_from_a_world_that_was_saved)
{
    static struct coverage sum;
    expect_alike_again(PROFILE_FORK, &sum);
    EXPECT_EQUAL(sum.fired[FAULT_FORKED], sum.schedules);
    EXPECT(sum.fired[FAULT_FORK_KEPT] > sum.schedules);
}

/* ---- plots ---- */

enum { ACTS_MAX = 256 };

struct acts {
    struct observer observer;
    uint32_t count;
    struct {
        enum observed_kind kind;
        uint32_t who, to, reason;
        uint64_t time_ns, until_ns;
        bool led;  /* it was the leader then */
        bool most; /* no other that did not lead held more */
    } acts[ACTS_MAX];
    const struct replica *replicas[VOTERS_MAX]; /* NULL: down */
};

static struct replica_view view_of(const struct replica *replica)
{
    struct replica_view view;
    replica_inspect(replica, &view);
    return view;
}

static bool holds_most(const struct acts *acts, uint32_t slot)
{
    const struct replica_view own = view_of(acts->replicas[slot]);
    for (uint32_t other = 0; other < VOTERS_MAX; other++) {
        if (acts->replicas[other] == NULL)
            continue;
        const struct replica_view view = view_of(acts->replicas[other]);
        if (view.role != RAFT_LEADER && view.last.index > own.last.index)
            return false;
    }
    return true;
}

static void see_acts(struct observer *observer, const struct observed *observed)
{
    struct acts *acts = (struct acts *)observer;
    const enum observed_kind kind = observed->kind;
    if (kind == OBSERVED_STEP)
        acts->replicas[observed->who] = observed->step_of.replica;
    if (kind == OBSERVED_HEAL)
        observer->enough = true;
    if (kind != OBSERVED_CLOG && kind != OBSERVED_CRASH && kind != OBSERVED_START && kind != OBSERVED_CUT
        && kind != OBSERVED_PAUSE)
        return;
    EXPECT(acts->count < ACTS_MAX);
    const uint32_t i = acts->count++;
    acts->acts[i].kind = kind;
    acts->acts[i].who = observed->who;
    acts->acts[i].time_ns = observed->time_ns;
    if (kind == OBSERVED_CLOG || kind == OBSERVED_CUT)
        acts->acts[i].to = observed->link.to;
    acts->acts[i].reason = kind == OBSERVED_CUT ? observed->link.reason : 0;
    acts->acts[i].until_ns = kind == OBSERVED_CLOG ? observed->link.until_ns : 0;
    if (observed->who < VOTERS_MAX && acts->replicas[observed->who] != NULL) {
        acts->acts[i].led = view_of(acts->replicas[observed->who]).role == RAFT_LEADER;
        acts->acts[i].most = holds_most(acts, observed->who);
    }
    if (kind == OBSERVED_CRASH)
        acts->replicas[observed->who] = NULL;
}

/* What happens in a plain world of three nodes with that one line of a trace. */
static struct acts *lives(const char *strike, struct coverage *coverage)
{
    static struct acts acts;
    struct trace_runner runner;
    struct trace trace = { .lost = false };
    struct trace_outcome outcome;
    char text[256];
    uint32_t line;
    const char *cause = "";
    memset(&acts, 0, sizeof acts);
    acts.observer.see = see_acts;
    snprintf(text, sizeof text, "raftsim-trace 2\nknob safety 5s\n%s\n", strike);
    EXPECT(trace_runner_init(&runner));
    if (!trace_parse(&trace, text, strlen(text), &line, &cause)) {
        printf("line %u: %s\n", line, cause);
        EXPECT(false);
    }
    runner.observer = &acts.observer;
    EXPECT(trace_replay(&runner, &trace, NULL, MATCH_EXACT, NULL, &outcome));
    EXPECT_TEXT(outcome.ending.outcome, "passed");
    EXPECT_EQUAL(outcome.skipped, 0);
    *coverage = runner.world->scene.coverage;
    trace_free(&trace);
    trace_runner_free(&runner);
    return &acts;
}

TEST(a_swizzle_clogs_and_clears_one_node_after_the_other)
{
    struct coverage coverage;
    const struct acts *acts = lives("swizzle side=n0+n2 order=1 back=0 gap=20ms for=100ms @1s", &coverage);
    uint64_t began_ns[3] = { 0 }, until_ns[3] = { 0 };
    for (uint32_t i = 0; i < acts->count; i++) {
        if (acts->acts[i].kind != OBSERVED_CLOG || acts->acts[i].who >= 3 || acts->acts[i].to != 1)
            continue;
        began_ns[acts->acts[i].who] = acts->acts[i].time_ns;
        until_ns[acts->acts[i].who] = acts->acts[i].until_ns;
    }
    EXPECT_EQUAL(began_ns[2], 1000000000);
    EXPECT_EQUAL(began_ns[0], 1010000001);
    EXPECT_EQUAL(began_ns[1], 0);
    EXPECT(until_ns[0] > 1120000000);
    EXPECT(until_ns[2] > until_ns[0]);
    EXPECT_EQUAL(coverage.fired[FAULT_SWIZZLE], 1);
    EXPECT(coverage.fired[FAULT_CLOG] > 0);
}

TEST(a_rolling_restart_waits_for_the_node_before)
{
    static const uint32_t expected[] = { 2, 0, 1 };
    struct coverage coverage;
    const struct acts *acts = lives("rolling order=2 gap=30ms @1s", &coverage);
    uint32_t crashes = 0;
    bool back = true;
    for (uint32_t i = 0; i < acts->count; i++) {
        if (acts->acts[i].kind == OBSERVED_CRASH) {
            EXPECT(back);
            EXPECT(crashes < 3);
            EXPECT_EQUAL(acts->acts[i].who, expected[crashes]);
            crashes++;
            back = false;
        } else if (acts->acts[i].kind == OBSERVED_START && crashes > 0) {
            EXPECT_EQUAL(acts->acts[i].who, expected[crashes - 1]);
            back = true;
        }
    }
    EXPECT_EQUAL(crashes, 3);
    EXPECT_EQUAL(coverage.fired[FAULT_ROLLING_RESTART], 1);
}

static uint32_t hunted(const struct acts *acts, enum observed_kind kind)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < acts->count; i++)
        if (acts->acts[i].kind == kind) {
            EXPECT(acts->acts[i].led);
            count++;
        }
    return count;
}

TEST(a_hunt_strikes_one_leader_after_the_other)
{
    struct coverage coverage;
    EXPECT_EQUAL(hunted(lives("hunt times=1 gap=150ms @1s", &coverage), OBSERVED_CRASH), 3);
    EXPECT_EQUAL(coverage.fired[FAULT_LEADER_HUNTED], 2);
    EXPECT_EQUAL(hunted(lives("hunt mode=2 gap=150ms for=300ms @1s", &coverage), OBSERVED_PAUSE), 2);
    EXPECT_EQUAL(coverage.fired[FAULT_LEADER_HUNTED], 1);
    const struct acts *acts = lives("hunt mode=1 gap=150ms for=300ms @1s", &coverage);
    uint32_t cuts = 0;
    for (uint32_t i = 0; i < acts->count; i++)
        cuts += acts->acts[i].kind == OBSERVED_CUT && acts->acts[i].reason == CUT_HUNT && acts->acts[i].led;
    EXPECT_EQUAL(cuts, 4); /* of two leaders, from each to two others */
}

TEST(the_follower_that_holds_the_most_is_cut_off)
{
    struct coverage coverage;
    const struct acts *acts = lives("holder mode=1 for=300ms @1s", &coverage);
    uint32_t cuts = 0, crashes = 0;
    for (uint32_t i = 0; i < acts->count; i++) {
        if (acts->acts[i].kind == OBSERVED_CUT && !acts->acts[i].led && acts->acts[i].most)
            cuts++;
        if (acts->acts[i].kind == OBSERVED_CRASH && acts->acts[i].led)
            crashes++;
    }
    EXPECT(cuts >= 2);
    EXPECT_EQUAL(crashes, 1);
    EXPECT(coverage.fired[FAULT_HOLDER_CUT] > 0);
}

TEST_MAIN()

/* The exhaustive search: what it stores, that its reductions change no verdict, and that its traces are what it did.
 * That it finds bugs is the business of explore_test.sh. */
#include "../core/prng.h"
#include "../sim/explore.h"
#include "../sim/explore_blob.h"
#include "../sim/explore_cluster.h"
#include "../sim/observe.h"
#include "../sim/trace.h"
#include "test.h"

enum { BLOB_BYTES = 20032 };

/* "timeouts 2 led": names, and values behind those that have one. */
static struct explore_bounds bounds_of(const char *text)
{
    struct explore_bounds bounds;
    char words[200];
    explore_bounds_init(&bounds);
    snprintf(words, sizeof words, "%s", text);
    char *rest = words;
    for (char *name = strtok_r(words, " ", &rest); name != NULL; name = strtok_r(NULL, " ", &rest)) {
        if (explore_bounds_set(&bounds, name, NULL))
            continue;
        EXPECT(explore_bounds_set(&bounds, name, strtok_r(NULL, " ", &rest)));
    }
    EXPECT(explore_bounds_problem(&bounds) == NULL);
    return bounds;
}

static struct explore_result explored(const char *text)
{
    const struct explore_bounds bounds = bounds_of(text);
    struct explore_result result;
    struct explore *explore = explore_new(&bounds);
    EXPECT(explore != NULL);
    explore_run(explore, NULL, NULL, &result);
    explore_free(explore);
    return result;
}

TEST(blobs_come_back_as_they_were)
{
    struct blobs blobs;
    struct prng prng;
    uint8_t *blob = calloc(1, BLOB_BYTES);
    uint8_t *before = calloc(1, BLOB_BYTES);
    uint8_t *back = calloc(1, BLOB_BYTES);
    EXPECT(blob != NULL && before != NULL && back != NULL && blobs_init(&blobs));
    prng_seed(&prng, 1);
    EXPECT_EQUAL(blobs_put(&blobs, blob, BLOB_BYTES, NULL, 0), 0);
    uint32_t before_root = 0;
    for (uint32_t round = 0; round < 200; round++) {
        memcpy(before, blob, BLOB_BYTES);
        for (uint32_t i = 0; i < 5; i++)
            blob[prng_below(&prng, BLOB_BYTES)] = (uint8_t)prng_below(&prng, 3);
        const uint32_t root = blobs_put(&blobs, blob, BLOB_BYTES, before, before_root);
        EXPECT_EQUAL(blobs_put(&blobs, blob, BLOB_BYTES, NULL, 0), root);
        EXPECT_EQUAL(root == before_root, memcmp(blob, before, BLOB_BYTES) == 0);
        blobs_get(&blobs, root, back, BLOB_BYTES);
        EXPECT(memcmp(blob, back, BLOB_BYTES) == 0);
        before_root = root;
    }
    blobs_free(&blobs);
    free(blob);
    free(before);
    free(back);
}

/* A change of the protocol, of what it writes or of what it sends changes the number: then look at why, and write the
 * new one here. */
TEST(one_election_has_so_many_states)
{
    const struct explore_result result = explored("timeouts 1");
    EXPECT_EQUAL(result.verdict, EXPLORE_CLEAN);
    EXPECT_EQUAL(result.progress.cut, 0);
    EXPECT_EQUAL(result.progress.states, 476);
    EXPECT_EQUAL(explored("timeouts 1").progress.transitions, result.progress.transitions);
}

/* A class of renamed states has 6 members at most, 2 behind a leader; a few have fewer. */
TEST(symmetry_makes_one_state_of_six_and_changes_no_verdict)
{
    static const char *const scopes[] = {
        "timeouts 1",
        "timeouts 1 crashes 1 eager",
        "timeouts 1 eager ops 1",
        "timeouts 1 ordered",
        "led checkpoints 1 timeouts 1 eager ordered",
    };
    for (uint32_t i = 0; i < ARRAY_COUNT(scopes); i++) {
        char without[100];
        snprintf(without, sizeof without, "%s no-symmetry", scopes[i]);
        const struct explore_result reduced = explored(scopes[i]);
        const struct explore_result whole = explored(without);
        EXPECT_EQUAL(reduced.verdict, EXPLORE_CLEAN);
        EXPECT_EQUAL(whole.verdict, EXPLORE_CLEAN);
        EXPECT(reduced.progress.states < whole.progress.states);
        EXPECT(6 * reduced.progress.states >= whole.progress.states);
        EXPECT_EQUAL(reduced.progress.depth, whole.progress.depth);
    }
}

/* Whatever a node can be and be fed is met with and without them, and a loss takes nothing but time. */
TEST(states_that_another_one_covers_change_nothing_but_the_number)
{
    static const char *const scopes[] = {
        "timeouts 1 crashes 1 drops 1",
        "timeouts 1 heartbeats 1 duplicates 1 ordered",
        "ops 1 crashes 1 torn drops 1",
        "timeouts 1 ops 1 drops 1 eager",
    };
    for (uint32_t i = 0; i < ARRAY_COUNT(scopes); i++) {
        char every[100];
        snprintf(every, sizeof every, "%s every-action", scopes[i]);
        const struct explore_result reduced = explored(scopes[i]);
        const struct explore_result whole = explored(every);
        EXPECT_EQUAL(reduced.verdict, EXPLORE_CLEAN);
        EXPECT_EQUAL(whole.verdict, EXPLORE_CLEAN);
        EXPECT(reduced.progress.states < whole.progress.states);
        EXPECT_EQUAL(reduced.progress.node_states, whole.progress.node_states);
        EXPECT_EQUAL(reduced.progress.node_steps, whole.progress.node_steps);
    }
    EXPECT_EQUAL(explored("timeouts 1 drops 2").progress.states, explored("timeouts 1").progress.states);
}

TEST(who_has_more_of_everything_covers_who_has_less)
{
    struct cluster from = { .nodes = { 1, 2, 3 }, .budget = { 1, 1 }, .frame_count = 3, .frames = { 5, 5, 9 } };
    struct cluster to = from;
    EXPECT(cluster_covers(&from, &to));
    to.budget[0]--;
    EXPECT(cluster_covers(&from, &to));
    EXPECT(!cluster_covers(&to, &from));
    to.frame_count = 2;
    to.frames[2] = 0;
    EXPECT(cluster_covers(&from, &to)); /* one of two that are alike */
    to.frames[1] = 9;
    EXPECT(cluster_covers(&from, &to));
    to.frames[0] = 9;
    EXPECT(!cluster_covers(&from, &to)); /* two where there was one */
    to = from;
    to.frames[0] = 9;
    to.frames[2] = 5;
    EXPECT(!cluster_covers(&from, &to)); /* in another order, which counts on links that keep theirs */
    to = from;
    to.nodes[1] = 4;
    EXPECT(!cluster_covers(&from, &to));
    to = from;
    to.acknowledged = 1;
    EXPECT(!cluster_covers(&from, &to));
    to = from;
    to.budget[1] = 2;
    EXPECT(!cluster_covers(&from, &to));
}

TEST(links_that_keep_their_order_have_fewer_states)
{
    const struct explore_result any = explored("ops 1 timeouts 1 eager");
    const struct explore_result ordered = explored("ops 1 timeouts 1 eager ordered");
    EXPECT_EQUAL(any.verdict, EXPLORE_CLEAN);
    EXPECT_EQUAL(ordered.verdict, EXPLORE_CLEAN);
    EXPECT(ordered.progress.states < any.progress.states);
}

TEST(clusters_of_every_size_are_explored)
{
    EXPECT_EQUAL(explored("nodes 1 timeouts 2 crashes 2").verdict, EXPLORE_CLEAN);
    EXPECT_EQUAL(explored("nodes 2 timeouts 2 eager").verdict, EXPLORE_CLEAN);
    EXPECT_EQUAL(explored("nodes 4 timeouts 1 eager").verdict, EXPLORE_CLEAN);
    EXPECT_EQUAL(explored("nodes 5 timeouts 1 eager depth 12").verdict, EXPLORE_DEPTH);
}

/* With them there are more states, never fewer, and some are further away. */
TEST(bytes_without_a_meaning_change_no_verdict)
{
    const struct explore_result normal = explored("timeouts 1 eager ops 1 no-symmetry");
    const struct explore_result raw = explored("timeouts 1 eager ops 1 no-symmetry raw");
    EXPECT_EQUAL(normal.verdict, EXPLORE_CLEAN);
    EXPECT_EQUAL(raw.verdict, EXPLORE_CLEAN);
    EXPECT(normal.progress.states <= raw.progress.states);
    EXPECT(normal.progress.depth <= raw.progress.depth);
}

TEST(a_search_that_ends_early_says_so)
{
    EXPECT_EQUAL(explored("timeouts 2 depth 5").verdict, EXPLORE_DEPTH);
    EXPECT_EQUAL(explored("timeouts 1 frames 1").verdict, EXPLORE_CUT);
    struct explore_bounds bounds = bounds_of("timeouts 3");
    struct explore_result result;
    bounds.memory_bytes = 16 << 20;
    struct explore *explore = explore_new(&bounds);
    EXPECT(explore != NULL);
    explore_run(explore, NULL, NULL, &result);
    EXPECT_EQUAL(result.verdict, EXPLORE_MEMORY);
    EXPECT(result.progress.memory_bytes <= 17 << 20);
    EXPECT(result.progress.states > 1000);
    explore_free(explore);
}

static bool stop_at_once(void *context, const struct explore_progress *progress)
{
    (void)progress;
    ++*(uint32_t *)context;
    return false;
}

TEST(an_interrupted_search_says_so)
{
    const struct explore_bounds bounds = bounds_of("timeouts 2");
    struct explore_result result;
    uint32_t reports = 0;
    struct explore *explore = explore_new(&bounds);
    explore_run(explore, stop_at_once, &reports, &result);
    EXPECT_EQUAL(result.verdict, EXPLORE_INTERRUPTED);
    EXPECT_EQUAL(reports, 1);
    explore_free(explore);
}

static bool parsed(const char *text, struct trace *trace)
{
    uint32_t line;
    const char *cause;
    return trace_parse(trace, text, strlen(text), &line, &cause) && trace->explored;
}

static struct explore_result replayed(const char *text, char *log, size_t log_bytes)
{
    struct trace trace = { .lost = false };
    struct explore_result result;
    FILE *lines = fmemopen(log, log_bytes, "w");
    EXPECT(lines != NULL && parsed(text, &trace));
    struct explore *explore = explore_new(&trace.bounds);
    EXPECT(explore != NULL);
    explore_replay(explore, &(struct explore_replay){ .trace = &trace, .log = lines }, &result);
    explore_free(explore);
    trace_free(&trace);
    fclose(lines);
    return result;
}

/* n1 is elected by n2, which then forgets what it has not written. */
static const char election[] = "raftsim-trace 2\n"
                               "note an election\n"
                               "explore timeouts 1\n"
                               "explore crashes 1\n"
                               "timeout n1\n"
                               "complete n1 superblock0\n"
                               "deliver n1>n2 vote? term=1 campaign=1 last=0.0 # not yet on its disk\n"
                               "complete n2 superblock0\n"
                               "deliver n2>n1 vote! term=1 campaign=1 granted\n"
                               "complete n1 batch\n"
                               "deliver n1>n2 append? term=1 prev=0.0 commit=0 entries=1\n"
                               "crash n2 batch-\n";

TEST(a_trace_is_lived_again)
{
    char log[4000];
    const struct explore_result result = replayed(election, log, sizeof log);
    EXPECT_EQUAL(result.skipped, 0);
    EXPECT_EQUAL(result.verdict, EXPLORE_CLEAN);
    EXPECT_EQUAL(result.actions, 8);
    EXPECT(strstr(log, "# n1 leader term=1 vote=n1 commit=0 log 1.1") != NULL);
    EXPECT(strstr(log, "# n2 follower term=1 vote=n1 commit=0 log, ") != NULL);
}

TEST(an_action_may_leave_out_words_and_is_skipped_where_it_is_not_possible)
{
    char log[4000];
    const struct explore_result whole = replayed(election, log, sizeof log);
    const struct explore_result short_words = replayed("raftsim-trace 2\n"
                                                       "explore timeouts 1\n"
                                                       "explore crashes 1\n"
                                                       "timeout n1\n"
                                                       "complete n1\n"
                                                       "deliver n1>n2 vote?\n"
                                                       "deliver n0>n1 append?\n"
                                                       "complete n2\n"
                                                       "deliver n2>n1 granted\n"
                                                       "complete n1 batch\n"
                                                       "deliver n1>n2 append?\n"
                                                       "crash n2 batch-\n",
                                                       log, sizeof log);
    EXPECT_EQUAL(short_words.skipped, 1);
    EXPECT_EQUAL(short_words.actions, 8);
    EXPECT_EQUAL(short_words.digest, whole.digest);
}

TEST(a_trace_of_actions_is_written_as_it_was_read)
{
    struct trace trace = { .lost = false };
    struct trace copy = { .lost = false };
    char *text = NULL;
    size_t bytes = 0;
    EXPECT(parsed(election, &trace) && trace_copy(&copy, &trace));
    FILE *file = open_memstream(&text, &bytes);
    trace_print(&copy, file, TRACE_WHOLE);
    fclose(file);
    EXPECT(strstr(text, "\nexplore nodes 3\nexplore timeouts 1\nexplore crashes 1\ntimeout n1\n") != NULL);
    EXPECT(strstr(text, "last=0.0\ncomplete n2 superblock0\n") != NULL);
    EXPECT(strstr(text, "seed") == NULL);
    free(text);
    trace_free(&trace);
    trace_free(&copy);
}

TEST(bounds_that_a_trace_cannot_have_are_refused)
{
    struct trace trace = { .lost = false };
    EXPECT(!parsed("raftsim-trace 2\nexplore nodes 9\n", &trace));
    EXPECT(!parsed("raftsim-trace 2\nexplore led 1\n", &trace));
    EXPECT(!parsed("raftsim-trace 2\nexplore unknown\n", &trace));
    EXPECT(!parsed("raftsim-trace 2\ntimeout n1\n", &trace));
    EXPECT(!parsed("raftsim-trace 2\nexplore led\ntimeuot n1\n", &trace));
    EXPECT(parsed("raftsim-trace 2\nexplore led\ntimeout n1\n", &trace));
    trace_free(&trace);
}

/* Sees how often each kind of thing happens, and has enough behind so many steps. */
struct counter {
    struct observer observer;
    uint32_t seen[OBSERVED_KINDS];
    uint32_t steps_max;
};

static void counter_see(struct observer *observer, const struct observed *observed)
{
    struct counter *counter = (struct counter *)observer;
    counter->seen[observed->kind]++;
    observer->enough = counter->steps_max > 0 && counter->seen[OBSERVED_STEP] == counter->steps_max;
}

TEST(an_observer_sees_all_steps_of_all_nodes)
{
    struct trace trace = { .lost = false };
    struct counter counter = { .observer = { .see = counter_see } };
    struct explore_result alone;
    struct explore_result result;
    EXPECT(parsed(election, &trace));
    struct explore *explore = explore_new(&trace.bounds);
    EXPECT(explore != NULL);
    explore_replay(explore, &(struct explore_replay){ .trace = &trace }, &alone);
    explore_replay(explore, &(struct explore_replay){ .trace = &trace, .observer = &counter.observer }, &result);
    EXPECT_EQUAL(result.digest, alone.digest);
    EXPECT_EQUAL(counter.seen[OBSERVED_BEGIN], 1);
    EXPECT_EQUAL(counter.seen[OBSERVED_START], 4);
    EXPECT_EQUAL(counter.seen[OBSERVED_CRASH], 1);
    EXPECT_EQUAL(counter.seen[OBSERVED_ARRIVE], 3);
    /* The name of the batch of n1 is still being written. */
    EXPECT_EQUAL(counter.seen[OBSERVED_DISK_BEGIN], counter.seen[OBSERVED_DISK_END] + 1);
    EXPECT_EQUAL(counter.seen[OBSERVED_VIOLATION], 0);
    counter = (struct counter){ .observer = { .see = counter_see }, .steps_max = 3 };
    explore_replay(explore, &(struct explore_replay){ .trace = &trace, .observer = &counter.observer }, &result);
    EXPECT_EQUAL(counter.seen[OBSERVED_STEP], 3);
    explore_free(explore);
    trace_free(&trace);
}

TEST(bounds_that_make_no_search_are_refused)
{
    struct explore_bounds bounds;
    explore_bounds_init(&bounds);
    EXPECT(!explore_bounds_set(&bounds, "nodes", "x"));
    EXPECT(!explore_bounds_set(&bounds, "nodes", NULL));
    EXPECT(!explore_bounds_set(&bounds, "led", "1"));
    EXPECT(!explore_bounds_set(&bounds, "unknown", "1"));
    EXPECT(explore_bounds_problem(&bounds) == NULL);
    EXPECT(explore_bounds_set(&bounds, "ops", "2"));
    EXPECT(explore_bounds_problem(&bounds) == NULL);
    EXPECT(explore_bounds_set(&bounds, "raw", NULL));
    EXPECT(explore_bounds_problem(&bounds) != NULL); /* symmetry is of what has a meaning */
    bounds.raw = false;
    EXPECT(explore_bounds_set(&bounds, "nodes", "6"));
    EXPECT(explore_bounds_problem(&bounds) != NULL);
}

TEST_MAIN()

/* The exhaustive search: what it stores, that its reductions change no verdict, and that its traces are what it did.
 * That it finds bugs is the business of explore_test.sh. */
#include "../core/prng.h"
#include "../sim/explore.h"
#include "../sim/explore_blob.h"
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
    static const char *const scopes[] = { "timeouts 1", "timeouts 1 crashes 1 eager", "led timeouts 1 eager puts 1" };
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
    const struct explore_result normal = explored("led timeouts 1 eager puts 1 no-symmetry");
    const struct explore_result raw = explored("led timeouts 1 eager puts 1 no-symmetry raw");
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

/* The line that is not possible, 0: all were. */
static uint32_t replayed(const char *text, char *log, size_t log_bytes, struct explore_result *result)
{
    struct explore_bounds bounds;
    FILE *trace = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
    FILE *lines = fmemopen(log, log_bytes, "w");
    EXPECT(trace != NULL && lines != NULL && explore_read_bounds(trace, &bounds));
    struct explore *explore = explore_new(&bounds);
    EXPECT(explore != NULL);
    const uint32_t line = explore_replay(explore, trace, lines, result);
    explore_free(explore);
    fclose(trace);
    fclose(lines);
    return line;
}

TEST(a_trace_is_lived_again)
{
    static const char trace[] = "raftsim-explore 1\n"
                                "bound timeouts 1\n"
                                "bound crashes 1\n"
                                "# n2 is elected by n3, which then forgets what it has not written\n"
                                "timeout n2\n"
                                "complete n2 superblock0\n"
                                "deliver n2>n3 vote? t1 last 0.0 # not yet on its disk\n"
                                "complete n3 superblock0\n"
                                "deliver n3>n2 vote-yes t1\n"
                                "complete n2 batch\n"
                                "deliver n2>n3 append t1 0.0 +1 commit 0\n"
                                "crash n3 batch-\n";
    char log[4000];
    struct explore_result result;
    EXPECT_EQUAL(replayed(trace, log, sizeof log, &result), 0);
    EXPECT_EQUAL(result.verdict, EXPLORE_CLEAN);
    EXPECT_EQUAL(result.progress.transitions, 8);
    EXPECT(strstr(log, "# n2 leader t1 vote 2 log 1.1 commit 0") != NULL);
    EXPECT(strstr(log, "# n3 follower t1 vote 2 log commit 0") != NULL);
}

TEST(a_trace_with_an_impossible_action_names_its_line)
{
    static const char trace[] = "raftsim-explore 1\nbound timeouts 1\ntimeout n2\ndeliver n2>n3 vote? t1 last 0.0\n";
    char log[1000];
    struct explore_result result;
    EXPECT_EQUAL(replayed(trace, log, sizeof log, &result), 4);
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
    EXPECT(explore_bounds_set(&bounds, "puts", "1"));
    EXPECT(explore_bounds_problem(&bounds) != NULL); /* no sessions */
    EXPECT(explore_bounds_set(&bounds, "led", NULL));
    EXPECT(explore_bounds_problem(&bounds) == NULL);
    EXPECT(explore_bounds_set(&bounds, "raw", NULL));
    EXPECT(explore_bounds_problem(&bounds) != NULL); /* symmetry is of what has a meaning */
    bounds.raw = false;
    EXPECT(explore_bounds_set(&bounds, "nodes", "6"));
    EXPECT(explore_bounds_problem(&bounds) != NULL);
}

TEST_MAIN()

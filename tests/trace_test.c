/* Traces: recorded, written, read, replayed. */

#include "../sim/knobs.h"
#include "../sim/trace_run.h"
#include "test.h"

struct fixture {
    struct trace_runner runner;
    struct trace trace;
    struct trace again;
    struct trace_outcome outcome;
};

static struct fixture *fixture_new(void)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    EXPECT(fixture != NULL);
    EXPECT(trace_runner_init(&fixture->runner));
    return fixture;
}

static void fixture_free(struct fixture *fixture)
{
    trace_free(&fixture->trace);
    trace_free(&fixture->again);
    trace_runner_free(&fixture->runner);
    free(fixture);
}

/* Through its text and back. */
static void reread(const struct trace *trace, struct trace *to)
{
    char *text = NULL;
    size_t bytes = 0;
    uint32_t line;
    const char *cause = "";
    FILE *file = open_memstream(&text, &bytes);
    EXPECT(file != NULL);
    trace_print(trace, file, TRACE_WHOLE);
    fclose(file);
    if (!trace_parse(to, text, bytes, &line, &cause)) {
        printf("line %u: %s\n", line, cause);
        EXPECT(false);
    }
    free(text);
}

static bool same_life(const struct trace_ending *a, const struct trace_ending *b)
{
    return a->steps == b->steps && a->digest == b->digest && strcmp(a->outcome, b->outcome) == 0;
}

TEST(a_recorded_life_is_replayed_to_the_same_digest)
{
    struct fixture *f = fixture_new();
    for (enum profile profile = 0; profile < PROFILE_KINDS; profile++)
        for (uint64_t seed = 1; seed <= 12; seed++) {
            EXPECT(trace_record(&f->runner, seed, profile, &f->trace));
            reread(&f->trace, &f->again);
            EXPECT(trace_replay(&f->runner, &f->again, NULL, MATCH_EXACT, NULL, &f->outcome));
            if (f->outcome.difference.step != 0 || !same_life(&f->outcome.ending, &f->trace.ending)) {
                printf("profile %s seed %llu: differs at step %llu\n", profile_text(profile), (unsigned long long)seed,
                       (unsigned long long)f->outcome.difference.step);
                EXPECT(false);
            }
        }
    fixture_free(f);
}

TEST(a_replay_records_the_trace_that_it_follows)
{
    struct fixture *f = fixture_new();
    struct trace second = { .lost = false };
    for (uint64_t seed = 1; seed <= 10; seed++) {
        EXPECT(trace_record(&f->runner, seed, PROFILE_MIXED, &f->trace));
        EXPECT(trace_replay(&f->runner, &f->trace, NULL, MATCH_EXACT, &f->again, &f->outcome));
        EXPECT(f->again.count == f->trace.count);
        EXPECT(trace_replay(&f->runner, &f->again, NULL, MATCH_EXACT, &second, &f->outcome));
        EXPECT(second.count == f->trace.count);
        EXPECT(same_life(&second.ending, &f->trace.ending));
    }
    trace_free(&second);
    fixture_free(f);
}

static bool parses(struct trace *trace, const char *text, uint32_t *line, const char **cause)
{
    return trace_parse(trace, text, strlen(text), line, cause);
}

TEST(what_is_wrong_with_a_text_is_told_with_its_line)
{
    static const struct {
        const char *text;
        uint32_t line;
    } cases[] = {
        { "", 1 },
        { "raftsim-trace 1\nseed 3\n", 1 },
        { "raftsim-trace 2\nnonsense n1 @1ms\n", 2 },
        { "raftsim-trace 2\nloss n1 append?#1 @1ms\n", 2 },
        { "raftsim-trace 2\nloss n1>n9 append?#1 @1ms\n", 2 },
        { "raftsim-trace 2\nloss n1>n2 append?#1\n", 2 },
        { "raftsim-trace 2\nloss n1>n2 append?#1 @1ms\nloss n1>n2 append?#1 @2ms\n", 3 },
        { "raftsim-trace 2\ndelay n1>n2 append?#1 much @1ms\n", 2 },
        { "raftsim-trace 2\nsplit side=n9 @1ms\n", 2 },
        { "raftsim-trace 2\nknob nodes many\n", 2 },
        { "raftsim-trace 2\nsteps 2 abcd\n", 2 },
        { "raftsim-trace 2\nprofile none\n", 2 },
    };
    struct trace trace = { .lost = false };
    uint32_t line;
    const char *cause;
    for (uint32_t i = 0; i < ARRAY_COUNT(cases); i++) {
        cause = NULL;
        EXPECT(!parses(&trace, cases[i].text, &line, &cause));
        EXPECT(cause != NULL);
        EXPECT_EQUAL(line, cases[i].line);
    }
    EXPECT(!parses(&trace, "raftsim-trace 2\nknob nodes 9\n", &line, &cause));
    EXPECT_TEXT(cause, "there are 1 to 7 nodes");
    EXPECT(
        parses(&trace, "raftsim-trace 2\n\n# a word\nknob of_tomorrow 3\nloss n1>n2 append?#1 @1ms\n", &line, &cause));
    EXPECT_EQUAL(trace.count, 1);
    trace_free(&trace);
}

TEST(a_decision_whose_number_is_off_is_matched_by_its_time)
{
    struct fixture *f = fixture_new();
    uint32_t line;
    const char *cause;
    /* The node reads its disk right away, but not for the 99th time; and nothing happens after a hundred seconds. */
    EXPECT(parses(&f->trace,
                  "raftsim-trace 2\nknob safety 500ms\ndisk n0 read#99 2ms @1us\nloss n0>n1 append!#77 @100s\n", &line,
                  &cause));
    EXPECT(trace_replay(&f->runner, &f->trace, NULL, MATCH_EXACT, &f->again, &f->outcome));
    EXPECT_EQUAL(f->outcome.skipped, 2);
    EXPECT_EQUAL(f->again.count, 0);
    EXPECT(trace_replay(&f->runner, &f->trace, NULL, MATCH_LENIENT, &f->again, &f->outcome));
    EXPECT_TEXT(f->outcome.ending.outcome, "passed");
    EXPECT_EQUAL(f->outcome.skipped, 1);
    EXPECT_EQUAL(f->again.count, 1);
    EXPECT_EQUAL(f->again.decisions[0].class, CLASS_DISK + 4);
    fixture_free(f);
}

/* Shrinking swaps the traces that it follows and writes. */
/* As long as nothing is otherwise, meaning matches what numbers do: several reads of a disk that end at one time, an
 * operation that chooses again when it ends. */
TEST(matched_by_meaning_the_same_build_lives_the_same_life)
{
    struct fixture *f = fixture_new();
    for (enum profile profile = 0; profile < PROFILE_KINDS; profile++)
        for (uint64_t seed = 101; seed <= 140; seed++) {
            EXPECT(trace_record(&f->runner, seed, profile, &f->trace));
            EXPECT(trace_replay(&f->runner, &f->trace, NULL, MATCH_LENIENT, NULL, &f->outcome));
            if (!same_life(&f->trace.ending, &f->outcome.ending) || f->outcome.skipped != 0) {
                printf("seed %u, profile %u: %u skipped\n", (unsigned)seed, (unsigned)profile, f->outcome.skipped);
                EXPECT(false);
            }
        }
    fixture_free(f);
}

TEST(a_trace_in_the_place_of_another_is_followed_by_itself)
{
    struct fixture *f = fixture_new();
    uint32_t line;
    const char *cause;
    static const char *const texts[] = {
        "raftsim-trace 2\nknob safety 500ms\ndisk n0 read#99 2ms @1us\nloss n0>n1 append!#77 @100s\n",
        "raftsim-trace 2\nknob safety 500ms\nloss n0>n1 append!#77 @100s\ndisk n0 read#99 2ms @1us\n",
    };
    struct trace other = { .lost = false };
    EXPECT(parses(&f->trace, texts[0], &line, &cause));
    EXPECT(parses(&other, texts[1], &line, &cause));
    for (uint32_t i = 0; i < 2; i++) {
        EXPECT(trace_replay(&f->runner, &f->trace, NULL, MATCH_LENIENT, &f->again, &f->outcome));
        EXPECT_EQUAL(f->outcome.skipped, 1);
        EXPECT_EQUAL(f->again.count, 1);
        const struct trace followed = f->trace;
        f->trace = other;
        other = followed;
    }
    trace_free(&other);
    fixture_free(f);
}

TEST(the_first_step_that_differs_is_named)
{
    struct fixture *f = fixture_new();
    EXPECT(trace_record(&f->runner, 5, PROFILE_MIXED, &f->trace));
    reread(&f->trace, &f->again);
    EXPECT(f->again.digest_count > 60);
    f->again.digests[49] ^= 1;
    EXPECT(trace_replay(&f->runner, &f->again, NULL, MATCH_EXACT, NULL, &f->outcome));
    EXPECT_EQUAL(f->outcome.difference.step, 50);
    fixture_free(f);
}

TEST_MAIN()

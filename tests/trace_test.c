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

TEST_MAIN()

/* Traces name a damaged page by its number (`page=`), and a replay strikes the block in which it lies then: in the same
 * life, in one that was matched by time, and in what shrinking leaves of it. Somebody looks on, and takes offence when
 * a certain page is struck. */
#include "../sim/atlas.h"
#include "../sim/observe.h"
#include "../sim/shrink.h"
#include "test.h"

enum { SEEDS_MAX = 2000, LIVES = 4, LIVES_MAX = 40 };

struct watch {
    struct observer observer; /* first */
    struct trace_runner runner;
    struct trace trace;
    uint32_t page;  /* that must not be struck; UINT32_MAX: any may */
    uint32_t block; /* where it was */
    uint32_t pages; /* struck in this life */
};

static struct disk *disk_of(struct watch *watch, uint32_t node) { return &watch->runner.world->nodes[node].disk; }

/* The strikes of a disk come one block at a time, and the harm is there when it is told. */
static void watch_see(struct observer *observer, const struct observed *observed)
{
    struct watch *watch = (struct watch *)observer;
    const struct scene *scene = &watch->runner.world->scene;
    if (observed->kind == OBSERVED_BEGIN)
        watch->pages = 0;
    if (observed->kind != OBSERVED_FAULT || (observed->fault != FAULT_BIT_ROT && observed->fault != FAULT_READ_STICKY))
        return;
    const struct disk *disk = disk_of(watch, observed->who);
    for (uint32_t block = 0; block < scene->swarm.limits.data_blocks; block++) {
        if (disk->devices[DEVICE_DATA].blocks[block].harm == HARM_NONE)
            continue;
        const uint32_t page = atlas_page_in(scene, disk, block);
        watch->pages += page != UINT32_MAX;
        if (page == UINT32_MAX || page != watch->page)
            continue;
        watch->block = block;
        check_fail(scene->check, CHECK_CHECKPOINT, observed->who, "page %u is struck", page);
        return;
    }
}

static uint32_t page_of(const struct trace *trace, uint32_t index)
{
    const struct trace_argument *argument = trace_argument(trace, index, SITE_HARM_PAGE, 0);
    return argument != NULL ? (uint32_t)argument->value - 1 : UINT32_MAX;
}

/* The page that the trace names first; UINT32_MAX: none. */
static uint32_t first_page(const struct trace *trace)
{
    for (uint32_t i = 0; i < trace->count; i++)
        if (page_of(trace, i) != UINT32_MAX)
            return page_of(trace, i);
    return UINT32_MAX;
}

static struct watch *watch_new(void)
{
    struct watch *watch = calloc(1, sizeof *watch);
    EXPECT(watch != NULL && trace_runner_init(&watch->runner));
    watch->observer.see = watch_see;
    watch->runner.observer = &watch->observer;
    return watch;
}

static void watch_free(struct watch *watch)
{
    trace_free(&watch->trace);
    trace_runner_free(&watch->runner);
    free(watch);
}

/* The first life from `seed` on that names a page, as it ends when that page is struck. */
static uint64_t watch_record(struct watch *watch, uint64_t seed)
{
    for (const uint64_t end = seed + SEEDS_MAX; seed < end; seed++) {
        watch->page = UINT32_MAX;
        EXPECT(trace_record(&watch->runner, seed, PROFILE_DISK, &watch->trace));
        watch->page = first_page(&watch->trace);
        if (watch->page == UINT32_MAX)
            continue;
        EXPECT(watch->pages > 0);
        EXPECT(trace_record(&watch->runner, seed, PROFILE_DISK, &watch->trace));
        EXPECT_TEXT(watch->trace.ending.invariant, "page * is struck");
        return seed;
    }
    EXPECT(false); /* no life names a page */
    return 0;
}

/* Through its text and back. */
static void reread(struct trace *trace)
{
    char *text = NULL;
    size_t bytes = 0;
    uint32_t line;
    const char *cause;
    FILE *file = open_memstream(&text, &bytes);
    EXPECT(file != NULL);
    trace_print(trace, file, TRACE_WHOLE);
    fclose(file);
    EXPECT(trace_parse(trace, text, bytes, &line, &cause));
    free(text);
}

/* A lenient replay may be another life, but the page is struck in it. */
static void expect_same_strike(struct watch *watch, enum tracer_match match)
{
    const struct trace_ending *ending = &watch->trace.ending;
    struct trace_outcome outcome;
    watch->block = UINT32_MAX;
    EXPECT(trace_replay(&watch->runner, &watch->trace, NULL, match, NULL, &outcome));
    EXPECT(trace_fails_alike(&outcome.ending, ending));
    EXPECT_TEXT(outcome.ending.text, ending->text);
    EXPECT(watch->block != UINT32_MAX);
    EXPECT(outcome.skipped <= watch->trace.count / 5);
    if (match == MATCH_LENIENT)
        return;
    EXPECT(outcome.difference.step == 0 && outcome.skipped == 0);
    EXPECT_EQUAL(outcome.ending.steps, ending->steps);
    EXPECT(outcome.ending.digest == ending->digest);
}

TEST(a_trace_that_names_a_page_replays_strictly_and_leniently)
{
    struct watch *watch = watch_new();
    uint64_t seed = 0;
    for (uint32_t i = 0; i < LIVES; i++) {
        seed = watch_record(watch, seed + 1);
        reread(&watch->trace);
        EXPECT_EQUAL(first_page(&watch->trace), watch->page);
        expect_same_strike(watch, MATCH_EXACT);
        expect_same_strike(watch, MATCH_LENIENT);
    }
    watch_free(watch);
}

/* Less was written when the page is struck, so it lies elsewhere, and is found there. Where it lies in the first block
 * nothing needs to be named. */
TEST(what_shrinking_leaves_strikes_the_page_where_it_lies_now)
{
    struct watch *watch = watch_new();
    const struct shrink_options options = { .attempts_max = 1000 };
    struct shrink_report report;
    uint64_t seed = 0;
    uint32_t moved = 0;
    for (uint32_t i = 0; moved == 0 && i < LIVES_MAX; i++) {
        seed = watch_record(watch, seed + 1);
        const uint32_t block = watch->block;
        EXPECT(shrink_trace(&watch->runner, &watch->trace, &options, &report));
        EXPECT(report.after < report.before / 2);
        reread(&watch->trace);
        expect_same_strike(watch, MATCH_EXACT);
        expect_same_strike(watch, MATCH_LENIENT);
        moved += first_page(&watch->trace) == watch->page && watch->block != block;
    }
    EXPECT_EQUAL(moved, 1);
    watch_free(watch);
}

TEST_MAIN()

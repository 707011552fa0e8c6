/* Results of runs: written, read again, added up, and refused when they do not belong together. */
#include "../sim/merge.h"

#include "../core/prng.h"
#include "../sim/results_read.h"
#include "directory.h"
#include "test.h"

static char paths[8][256];

static void remove_all(void) { directory_remove(directory); }

/* A file of results in the temporary directory. */
static FILE *create(uint32_t number)
{
    char name[16];
    if (directory[0] == '\0') {
        directory_new();
        atexit(remove_all);
    }
    snprintf(name, sizeof name, "%u.jsonl", number);
    snprintf(paths[number], sizeof paths[number], "%s", in_directory(name));
    FILE *file = fopen(paths[number], "w");
    EXPECT(file != NULL);
    return file;
}

static struct results_run a_run(const char *commit, uint64_t shard, uint64_t shards)
{
    struct results_run run = { .build = 0xabc, .seed = 1000, .count = 300, .shard = shard, .shards = shards };
    snprintf(run.commit, sizeof run.commit, "%s", commit);
    return run;
}

/* Every counter has another value, and every kind of the census, too. */
static void fill(struct results_totals *totals, uint64_t schedules, uint64_t salt)
{
    memset(totals, 0, sizeof *totals);
    totals->schedules = schedules;
    totals->dealt = schedules;
    totals->jobs = 2;
    totals->spent_ms = 100 + salt;
    totals->worker_ms = 200 + salt;
    totals->state = RESULTS_COMPLETE;
    uint64_t *counters = (uint64_t *)(void *)&totals->coverage;
    for (size_t i = 0; i < sizeof totals->coverage / sizeof *counters; i++)
        counters[i] = salt + i;
    totals->coverage.schedules = schedules;
    totals->census.schedules = schedules / 16;
    for (uint64_t i = 0; i < 3000; i++) {
        uint64_t seed = i + salt * 1000;
        sketch_see(&totals->census.states, prng_mix(&seed));
        sketch_see(&totals->census.edges, prng_mix(&seed));
    }
}

static struct results_totals totals;

static void write_run(uint32_t number, const struct results_run *run, uint64_t schedules, uint64_t salt)
{
    FILE *file = create(number);
    results_write_run(file, run);
    fill(&totals, schedules, salt);
    results_write_totals(file, &totals);
    EXPECT_EQUAL(fclose(file), 0);
}

TEST(totals_are_read_as_they_were_written)
{
    static char line[1 << 20];
    static struct results_totals again;
    fill(&totals, 12345, 7);
    FILE *file = create(0);
    results_write_totals(file, &totals);
    fclose(file);
    file = fopen(paths[0], "r");
    EXPECT(fgets(line, sizeof line, file) != NULL);
    fclose(file);
    EXPECT_EQUAL(results_line_kind(line), RESULTS_LINE_TOTALS);
    EXPECT(results_read_totals(line, &again));
    EXPECT(memcmp((const void *)&totals, (const void *)&again, sizeof totals) == 0); /* padding is zero in both */
}

TEST(failures_keep_their_words)
{
    char line[4096];
    struct results_failure again;
    const struct results_run run = a_run("", 0, 1);
    const struct campaign_failure failure = { .number = 5,
                                              .step = 77,
                                              .node = 2,
                                              .outcome = OUTCOME_STUCK,
                                              .checker = "liveness",
                                              .text = "a \"b\"\\ \n\x01 c" };
    FILE *file = create(0);
    results_write_failure(file, &run, &failure, "dir/x.trace");
    fclose(file);
    file = fopen(paths[0], "r");
    EXPECT(fgets(line, sizeof line, file) != NULL);
    fclose(file);
    EXPECT_EQUAL(results_line_kind(line), RESULTS_LINE_FAILURE);
    EXPECT(results_read_failure(line, &again));
    EXPECT_EQUAL(again.seed, 1005);
    EXPECT_EQUAL(again.step, 77);
    EXPECT_EQUAL(again.outcome, OUTCOME_STUCK);
    EXPECT_TEXT(again.checker, "liveness");
    EXPECT_TEXT(again.text, failure.text);
    EXPECT_TEXT(again.trace, "dir/x.trace");
}

/* A process may be killed in the middle of any line. */
TEST(a_line_that_is_cut_anywhere_is_no_line)
{
    static char line[1 << 20];
    fill(&totals, 12345, 7);
    FILE *file = create(0);
    results_write_totals(file, &totals);
    fclose(file);
    file = fopen(paths[0], "r");
    EXPECT(fgets(line, sizeof line, file) != NULL);
    fclose(file);
    const size_t bytes = strlen(line);
    for (size_t end = bytes - 2; end > 0; end -= end > 5000 ? 997 : 1) {
        line[end] = '\0';
        EXPECT_EQUAL(results_line_kind(line), RESULTS_LINE_OTHER);
        EXPECT(!results_read_totals(line, &totals));
    }
}

TEST(shards_add_up)
{
    static struct results_totals sum;
    struct merge *merge = merge_new();
    memset(&sum, 0, sizeof sum);
    sum.state = RESULTS_COMPLETE;
    for (uint32_t i = 0; i < 3; i++) {
        const struct results_run run = a_run("c0", i, 3);
        write_run(i, &run, 100 + i, i);
        results_add(&sum, &totals);
        EXPECT(merge_read(merge, paths[i]));
    }
    EXPECT(merge_finish(merge));
    EXPECT_EQUAL(merge->commit_count, 1);
    EXPECT_EQUAL(merge->commits[0]->runs, 3);
    EXPECT_EQUAL(merge->commits[0]->missing, 0);
    EXPECT_EQUAL(merge->commits[0]->totals.schedules, 303);
    EXPECT(memcmp((const void *)&merge->commits[0]->totals, (const void *)&sum, sizeof sum) == 0); /* as above */
    merge_free(merge);
}

TEST(a_shard_that_is_missing_is_counted)
{
    struct merge *merge = merge_new();
    for (uint32_t i = 0; i < 2; i++) {
        const struct results_run run = a_run("c0", i * 3, 5);
        write_run(i, &run, 60, i);
        EXPECT(merge_read(merge, paths[i]));
    }
    EXPECT(merge_finish(merge));
    EXPECT_EQUAL(merge->commits[0]->missing, 3);
    merge_free(merge);
}

TEST(seeds_that_ran_twice_are_refused)
{
    struct merge *merge = merge_new();
    const struct results_run whole = a_run("c0", 0, 1);
    const struct results_run shard = a_run("c0", 2, 4);
    write_run(0, &whole, 300, 1);
    write_run(1, &shard, 75, 2);
    EXPECT(merge_read(merge, paths[0]));
    EXPECT(merge_read(merge, paths[1]));
    EXPECT(!merge_finish(merge));
    EXPECT(strstr(merge->problem, paths[0]) != NULL);
    EXPECT(strstr(merge->problem, paths[1]) != NULL);
    EXPECT(strstr(merge->problem, "seed 1002") != NULL);
    merge_free(merge);
}

static void expect_refused(const struct results_run *second, const char *word)
{
    struct merge *merge = merge_new();
    const struct results_run first = a_run("c0", 0, 2);
    write_run(0, &first, 10, 1);
    write_run(1, second, 10, 2);
    EXPECT(merge_read(merge, paths[0]));
    EXPECT(!merge_read(merge, paths[1]));
    EXPECT(strstr(merge->problem, word) != NULL);
    EXPECT(strstr(merge->problem, paths[1]) != NULL);
    merge_free(merge);
}

TEST(another_build_or_profile_is_refused)
{
    struct results_run second = a_run("c0", 1, 2);
    second.build++;
    expect_refused(&second, "build");
    second = a_run("c0", 1, 2);
    second.profile = PROFILE_DISK;
    expect_refused(&second, "profile");
}

TEST(commits_are_kept_apart_in_their_order)
{
    struct merge *merge = merge_new();
    for (uint32_t i = 0; i < 4; i++) {
        struct results_run run = a_run(i % 2 == 0 ? "older" : "newer", i / 2, 2);
        run.build = i % 2;
        write_run(i, &run, 10, i);
        EXPECT(merge_read(merge, paths[i]));
    }
    EXPECT(merge_finish(merge));
    EXPECT_EQUAL(merge->commit_count, 2);
    EXPECT_TEXT(merge->commits[0]->first->run.commit, "older");
    EXPECT_TEXT(merge->commits[1]->first->run.commit, "newer");
    EXPECT_EQUAL(merge->commits[1]->totals.schedules, 20);
    merge_free(merge);
}

/* Neither half is large enough to be judged. */
TEST(what_never_happened_is_judged_over_all)
{
    struct merge *merge = merge_new();
    for (uint32_t i = 0; i < 2; i++) {
        const struct results_run run = a_run("c0", i, 2);
        FILE *file = create(i);
        results_write_run(file, &run);
        fill(&totals, 600, 1);
        totals.coverage.fired[FAULT_CRASH] = 0;
        EXPECT(coverage_gap(&totals.coverage, true) == NULL);
        results_write_totals(file, &totals);
        fclose(file);
        EXPECT(merge_read(merge, paths[i]));
    }
    EXPECT(merge_finish(merge));
    EXPECT_TEXT(coverage_gap(&merge->commits[0]->totals.coverage, true), "crash");
    merge_free(merge);
}

/* The last totals that are whole count, and the run is not over. */
TEST(a_run_that_was_killed_is_not_lost)
{
    struct merge *merge = merge_new();
    const struct results_run run = a_run("c0", 0, 1);
    const struct campaign_failure failure = { .number = 55, .node = UINT32_MAX, .outcome = OUTCOME_UNSAFE };
    FILE *file = create(0);
    fputs("a line of somebody else\n", file);
    results_write_run(file, &run);
    fill(&totals, 10, 1);
    totals.state = RESULTS_RUNNING;
    results_write_totals(file, &totals);
    fill(&totals, 50, 1);
    totals.state = RESULTS_RUNNING;
    results_write_totals(file, &totals);
    results_write_failure(file, &run, &failure, "t");
    fputs("{\"type\":\"totals\",\"state\":\"complete\",\"schedul", file);
    fclose(file);
    EXPECT(merge_read(merge, paths[0]));
    EXPECT(merge_finish(merge));
    EXPECT_EQUAL(merge->commits[0]->totals.schedules, 50);
    EXPECT_EQUAL(merge->commits[0]->totals.failures, 1);
    EXPECT_EQUAL(merge->commits[0]->totals.state, RESULTS_RUNNING);
    EXPECT_EQUAL(merge->failures[0].seed, 1055);
    EXPECT(strstr(merge->note, "0.jsonl:6: a line that is not whole") != NULL);
    merge_free(merge);
}

TEST(runs_one_after_the_other_in_a_file_are_several)
{
    struct merge *merge = merge_new();
    FILE *file = create(0);
    for (uint64_t i = 0; i < 2; i++) {
        const struct results_run run = a_run("c0", i, 2);
        results_write_run(file, &run);
        fill(&totals, 30, i);
        results_write_totals(file, &totals);
    }
    fclose(file);
    EXPECT(merge_read(merge, paths[0]));
    EXPECT(merge_finish(merge));
    EXPECT_EQUAL(merge->commits[0]->runs, 2);
    EXPECT_EQUAL(merge->commits[0]->totals.schedules, 60);
    merge_free(merge);
}

TEST(what_is_no_results_is_refused)
{
    struct merge *merge = merge_new();
    FILE *file = create(0);
    fputs("hello\n{\"type\":\"other\"}\n", file);
    fclose(file);
    EXPECT(!merge_read(merge, paths[0]));
    EXPECT(strstr(merge->problem, "no results") != NULL);
    EXPECT(!merge_read(merge, "/nonexistent/file"));
    EXPECT(strstr(merge->problem, "/nonexistent/file") != NULL);
    merge_free(merge);
}

/* Another format may mean something else by the same names. */
TEST(another_format_is_refused)
{
    struct merge *merge = merge_new();
    FILE *file = create(0);
    fputs("{\"type\":\"run\",\"format\":2}\n", file);
    fclose(file);
    EXPECT(!merge_read(merge, paths[0]));
    EXPECT(strstr(merge->problem, "format 2") != NULL);
    merge_free(merge);
}

static bool overlap_by_hand(struct merge_seeds a, struct merge_seeds b)
{
    for (uint64_t i = 0; i < a.count; i++)
        for (uint64_t k = 0; k < b.count; k++)
            if (a.start + i * a.step == b.start + k * b.step)
                return true;
    return false;
}

TEST(overlap_is_what_trying_all_numbers_finds)
{
    struct prng prng;
    uint32_t overlaps = 0;
    prng_seed(&prng, 3);
    for (uint32_t n = 0; n < 20000; n++) {
        const struct merge_seeds a = { prng_below(&prng, 60), 1 + prng_below(&prng, 12), prng_below(&prng, 8) };
        const struct merge_seeds b = { prng_below(&prng, 60), 1 + prng_below(&prng, 12), prng_below(&prng, 8) };
        uint64_t common = 0;
        const bool overlap = merge_overlap(a, b, &common);
        EXPECT_EQUAL(overlap, overlap_by_hand(a, b));
        overlaps += overlap;
        if (overlap) {
            EXPECT_EQUAL((common - a.start) % a.step, 0);
            EXPECT_EQUAL((common - b.start) % b.step, 0);
        }
    }
    EXPECT(overlaps > 1000);
}

TEST_MAIN()

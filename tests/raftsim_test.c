/* raftsim as its users meet it: what it says of what it was not given, cannot read or cannot write, and how it exits.
 */
#include "process.h"

static void expect(const struct process_result *result, int status, const char *part)
{
    if (result->status != status || strstr(result->error, part) == NULL)
        printf("it said: %s%s\n", result->out, result->error);
    EXPECT_EQUAL(result->status, status);
    EXPECT(strstr(result->error, part) != NULL);
}

TEST(what_is_missing_is_named_with_its_command)
{
    process_begin();
    struct process_result result = RUN("raftsim", "shrink");
    expect(&result, 2, "raftsim: shrink: needs a seed, or a file");
    result = RUN("raftsim", "replay", "/nonexistent/x.trace");
    expect(&result, 1, "/nonexistent/x.trace: No such file");
    result = RUN("raftsim", "shrink", "/nonexistent/x.trace");
    expect(&result, 1, "/nonexistent/x.trace: No such file");
    result = RUN("raftsim", "merge", "/nonexistent/x.jsonl");
    expect(&result, 1, "/nonexistent/x.jsonl: No such file");
    result = RUN("raftsim", "replay", "1", "--html", "/nonexistent/x.html");
    expect(&result, 2, "--html /nonexistent/x.html: No such file");
    EXPECT_TEXT(result.out, "");
    result = RUN("raftsim", "explore", "--memory", "1K");
    expect(&result, 2, "--memory 1K: not a size of 16M at least");
    result = RUN("raftsim", "explore", "--removals", "1");
    expect(&result, 2, "--removals needs --no-symmetry");
    process_end();
}

TEST(what_is_wrong_with_an_option_is_said)
{
    process_begin();
    struct process_result result = RUN("raftsim", "run", "--for", "10");
    expect(&result, 2, "--for: 10 is not a valid value; it must be a time with its unit, such as 90s");
    expect(&result, 2, "(try raftsim run --help)");
    result = RUN("raftsim", "replay", "1", "--state");
    expect(&result, 2, "--state: its value is missing (try raftsim replay --help)");
    result = RUN("raftsim", "replay", "1", "-o");
    expect(&result, 2, "-o: its value is missing");
    result = RUN("raftsim", "run", "--bogus");
    expect(&result, 2, "--bogus: unknown option (try raftsim run --help)");
    result = RUN("raftsim", "frobnicate");
    expect(&result, 2, "frobnicate: unknown command (try raftsim --help)");
    result = RUN("raftsim", "explore", "--op", "1");
    expect(&result, 2, "--op: unknown option");
    result = RUN("raftsim", "explore", "--timeouts");
    expect(&result, 2, "--timeouts: its value is missing");
    result = RUN("raftsim", "explore", "--timeouts", "x");
    expect(&result, 2, "--timeouts x: not a number that it can take");
    result = RUN("raftsim", "explore", "--eager=1");
    expect(&result, 2, "--eager: takes no value");
    result = RUN("raftsim", "explore", "--ops=1", "--quiet");
    EXPECT_EQUAL(result.status, 0);
    result = RUN("raftsim", "run", "--jobs", "100000");
    expect(&result, 2, "a number of processes, 1 to 64");
    result = RUN("raftsim", "shrink", "-5");
    expect(&result, 2, "unknown option");
    result = RUN("raftsim", "shrink", "0x10", "--quiet");
    EXPECT_EQUAL(result.status, 9); /* a seed, and it passes */
    process_end();
}

/* Not by their ids, which are other numbers. */
TEST(the_end_of_a_life_names_nodes_as_its_log_does)
{
    process_begin();
    const struct process_result result = RUN("raftsim", "replay", "1");
    EXPECT_EQUAL(result.status, 0);
    EXPECT(strstr(result.out, "\nnode      n0 ") != NULL);
    for (const char *at = result.out; (at = strstr(at, " leader=")) != NULL; at++)
        EXPECT(at[8] == 'n');
    process_end();
}

/* Nobody is to believe that it had an effect. */
TEST(an_option_of_another_kind_of_life_is_refused)
{
    process_begin();
    struct process_result result = RUN("raftsim", "replay", "1", "--json");
    expect(&result, 2, "--json: is for a recording of a real node");
    EXPECT_TEXT(result.out, "");
    result = RUN("raftsim", "replay", "1", "--strict");
    expect(&result, 2, "--strict, --lenient: are for a trace");
    result = RUN("raftsim", "replay", "/nonexistent/x.trace", "--inputs", "9");
    expect(&result, 2, "--inputs: is for a seed");
    result = RUN("raftsim", "replay", "/nonexistent/x.trace", "--profile", "disk");
    expect(&result, 2, "--profile: is for a seed");
    result = RUN("raftsim", "shrink", "/nonexistent/x.trace", "--profile", "disk");
    expect(&result, 2, "--profile: is for a seed");
    process_end();
}

/* Not after the work that nobody can see then. */
TEST(where_a_result_goes_is_looked_at_first)
{
    process_begin();
    struct process_result result = RUN("raftsim", "shrink", "/nonexistent/x.trace", "-o", "/nonexistent/y.trace");
    expect(&result, 2, "raftsim: -o /nonexistent/y.trace: No such file");
    result = RUN("raftsim", "merge", "/nonexistent/x.jsonl", "--html", "/nonexistent/y.html");
    expect(&result, 2, "raftsim: --html /nonexistent/y.html: No such file");
    process_end();
}

TEST(a_search_in_which_nothing_can_happen_is_no_success)
{
    process_begin();
    const struct process_result result = RUN("raftsim", "explore", "--quiet");
    expect(&result, 7, "nothing can happen within these bounds");
    process_end();
}

TEST(a_campaign_with_a_missing_shard_is_not_called_complete)
{
    char path[PATH_BYTES];
    process_begin();
    close(process_open("half.jsonl", O_WRONLY | O_CREAT, path));
    struct process_result result = RUN("raftsim", "run", "--count", "4", "--shard", "0/2", "--quiet", "--jsonl", path);
    EXPECT_EQUAL(result.status, 0);
    result = RUN("raftsim", "merge", path);
    expect(&result, 1, "1 shard of this commit's campaigns is missing");
    EXPECT(strstr(result.out, "complete") == NULL);
    process_end();
}

TEST(a_seed_that_passes_is_not_shrunk)
{
    process_begin();
    const struct process_result result = RUN("raftsim", "shrink", "1");
    expect(&result, 9, "it passes");
    EXPECT_TEXT(result.out, "");
    process_end();
}

TEST(a_line_that_is_wrong_is_shown)
{
    char path[PATH_BYTES];
    process_begin();
    const int fd = process_open("bad.trace", O_WRONLY | O_CREAT, path);
    static const char text[] = "raftsim-trace 2\nseed 7\nfrobnicate n1 @3ms\n";
    EXPECT_EQUAL(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    const struct process_result result = RUN("raftsim", "replay", path);
    expect(&result, 2, "bad.trace:3: no such word: 'frobnicate n1 @3ms'");
    process_end();
}

static void write_text(const char *name, const char *text, char path[PATH_BYTES])
{
    const int fd = process_open(name, O_WRONLY | O_CREAT | O_TRUNC, path);
    EXPECT_EQUAL(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

/* The digests are all as they should be, but the life has not made that decision. */
TEST(strictly_a_decision_that_nothing_asks_for_is_a_difference)
{
    static const char lines[] = "raftsim-trace 2\nknob inputs 50\npace n0>n1 3ms @0\n";
    char path[PATH_BYTES];
    char text[500];
    unsigned steps = 0;
    char digest[20] = "";
    process_begin();
    write_text("a.trace", lines, path);
    struct process_result result = RUN("raftsim", "replay", path, "--quiet");
    EXPECT_EQUAL(result.status, 0);
    EXPECT(sscanf(strstr(result.out, "passed after "), "passed after %u steps", &steps) == 1);
    EXPECT(sscanf(strstr(result.out, "digest "), "digest %16s", digest) == 1);
    snprintf(text, sizeof text, "%send %u %s\noutcome passed\n", lines, steps, digest);
    write_text("a.trace", text, path);
    result = RUN("raftsim", "replay", path, "--quiet", "--strict");
    EXPECT_EQUAL(result.status, 0);
    snprintf(text, sizeof text, "%sloss n1>n0 append?#90000 @1s\nend %u %s\noutcome passed\n", lines, steps, digest);
    write_text("a.trace", text, path);
    result = RUN("raftsim", "replay", path, "--quiet", "--strict");
    EXPECT_EQUAL(result.status, 8);
    EXPECT(strstr(result.out, "differs: nothing here asks for this decision: loss n1>n0 append?#90000 @1s") != NULL);
    result = RUN("raftsim", "replay", path, "--quiet", "--lenient");
    EXPECT_EQUAL(result.status, 0);
    EXPECT(strstr(result.out, "1 of 2 decisions did not apply") != NULL);
    process_end();
}

TEST(where_traces_would_go_is_looked_at_before_the_work)
{
    char path[PATH_BYTES];
    process_begin();
    write_text("file", "", path);
    struct process_result result = RUN("raftsim", "run", "--count", "1", "--trace-dir", path);
    expect(&result, 2, "Not a directory");
    result = RUN("raftsim", "explore", "--ops", "1", "--trace", "/no/such/directory/t");
    expect(&result, 2, "--trace /no/such/directory/t: No such file or directory");
    process_end();
}

TEST(a_trace_that_was_cut_off_is_refused)
{
    char path[PATH_BYTES];
    process_begin();
    write_text("cut.trace", "raftsim-trace 2\nseed 1\nsteps 1", path); /* 14, say */
    struct process_result result = RUN("raftsim", "replay", path);
    expect(&result, 2, "cut.trace:3: cut off: the last line has no end: 'steps 1'");
    process_end();
}

TEST(options_may_stand_behind_files)
{
    char path[PATH_BYTES];
    process_begin();
    write_text("run.jsonl", "{\"type\":\"totals\",\"schedules\":1}\n", path);
    struct process_result result = RUN("raftsim", "merge", path, "--seed", "1");
    expect(&result, 2, "--seed: not an option of this command");
    result = RUN("raftsim", "merge", path, "--json");
    expect(&result, 2, "run.jsonl:1: a line of type \"totals\" that makes no sense");
    process_end();
}

TEST(actions_of_the_explorer_are_a_trace_like_any_other)
{
    char path[PATH_BYTES];
    process_begin();
    const int fd = process_open("actions.trace", O_WRONLY | O_CREAT, path);
    static const char text[] = "raftsim-trace 2\nexplore timeouts 1\ntimeout n1\ncomplete n1\ndeliver n1>n2 vote?\n";
    EXPECT_EQUAL(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    struct process_result result = RUN("raftsim", "replay", path);
    EXPECT_EQUAL(result.status, 0);
    EXPECT(strstr(result.out, "# n2 follower term=1 vote=n1") != NULL);
    EXPECT(strstr(result.out, "passed after 3 actions") != NULL);
    result = RUN("raftsim", "replay", path, "--break", "candidate", "--state", "n1");
    EXPECT_EQUAL(result.status, 0);
    EXPECT(strstr(result.out, "break at step") != NULL);
    result = RUN("raftsim", "shrink", path);
    expect(&result, 2, "no way to what they lead to has fewer");
    process_end();
}

TEST(output_that_is_lost_is_an_error)
{
    process_begin();
    struct process_result result = RUN_FULL("raftsim", "run", "--count", "2", "--jobs", "1", "--json", "--quiet");
    expect(&result, 1, "raftsim: standard output: No space left on device");
    result = RUN_FULL("raftsim", "replay", "1", "--quiet");
    expect(&result, 1, "raftsim: standard output: No space left on device");
    process_end();
}

TEST_MAIN()

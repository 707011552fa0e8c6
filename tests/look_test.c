/* Looking on at a life: it stays the same, ends where it should, and a wrong expression is named by its column. */
#include "test.h"

#include "../sim/look.h"
#include "../sim/world.h"
#include "directory.h"

static struct world *world;
static struct look look;

/* Lives the seed with these options; what was printed is the answer, until the next call. */
static const char *show(uint64_t seed, struct look_options options, struct world_result *result)
{
    static char text[4 * 1024 * 1024];
    char error[LOOK_ERROR_BYTES];
    struct world_options world_options = { .seed = seed };
    if (world == NULL)
        world = world_new();
    EXPECT(world != NULL);
    options.out = fmemopen(text, sizeof text, "w");
    EXPECT(options.out != NULL);
    EXPECT(look_begin(&look, &options, error));
    world_options.observer = look_observer(&look);
    EXPECT(world_run(world, &world_options, result));
    look_end(&look, "a test");
    EXPECT(fclose(options.out) == 0);
    return text;
}

static uint32_t lines(const char *text)
{
    uint32_t count = 0;
    for (; *text != '\0'; text++)
        count += *text == '\n';
    return count;
}

struct line {
    unsigned long long step;
    unsigned long long ns;
    char who[8];
    char what[16];
    const char *text; /* its beginning; NULL: there is none */
};

/* The first line, or the last one, that holds the text and is of that kind; NULL: of any. */
static struct line find_line(const char *log, const char *what, const char *text, bool last)
{
    struct line found = { .text = NULL };
    for (const char *line = log; *line != '\0'; line = strchr(line, '\n') + 1) {
        struct line it = { .text = line };
        if (sscanf(line, "%llu %llu %7s %15s", &it.step, &it.ns, it.who, it.what) != 4
            || (what != NULL && strcmp(it.what, what) != 0))
            continue;
        const char *place = strstr(line, text);
        if (place == NULL || place > strchr(line, '\n'))
            continue;
        found = it;
        if (!last)
            return found;
    }
    return found;
}

/* The log of a whole life in which somebody leads. */
static const char *whole_log(void)
{
    static char log[4 * 1024 * 1024];
    struct world_result result;
    if (log[0] == '\0')
        snprintf(log, sizeof log, "%s", show(3, (struct look_options){ .log = true }, &result));
    EXPECT(find_line(log, "step", "[role leader", false).text != NULL);
    return log;
}

TEST(a_life_is_the_same_whoever_looks_on)
{
    struct world_result alone, watched;
    for (uint64_t seed = 20; seed < 40; seed++) {
        show(seed, (struct look_options){ .state = "n0" }, &watched);
        EXPECT(world_run(world, &(struct world_options){ .seed = seed }, &alone));
        EXPECT(alone.digest == watched.digest);
        EXPECT_EQUAL(alone.steps, watched.steps);
    }
}

TEST(the_log_ends_with_the_last_event_of_the_step_that_until_names)
{
    struct world_result result;
    char until[24];
    const struct line leads = find_line(whole_log(), "step", "[role leader", false);
    snprintf(until, sizeof until, "%llu", leads.step);
    const char *text = show(3, (struct look_options){ .log = true, .until = until }, &result);
    EXPECT(look_stopped(&look));
    EXPECT_EQUAL(find_line(text, "step", "", true).step, leads.step);
    /* A new leader tells everybody. */
    EXPECT_EQUAL(find_line(text, "send", "append?", true).step, leads.step);
    EXPECT(strstr(text, "stopped behind step ") != NULL);
}

TEST(a_time_with_its_unit_ends_it_too)
{
    struct world_result result;
    char until[32];
    const struct line leads = find_line(whole_log(), "step", "[role leader", false);
    snprintf(until, sizeof until, "%lluns", leads.ns - 1);
    const char *text = show(3, (struct look_options){ .log = true, .until = until }, &result);
    EXPECT(look_stopped(&look));
    EXPECT_EQUAL(find_line(text, "step", "", true).step, leads.step - 1);
}

TEST(a_break_shows_the_state_in_which_it_holds)
{
    struct world_result result;
    char expected[64];
    const struct line leads = find_line(whole_log(), "step", "[role leader", false);
    const char *text = show(3, (struct look_options){ .break_at = "leader", .state = leads.who }, &result);
    snprintf(expected, sizeof expected, "break at step %llu, %llu ns: leader\n", leads.step, leads.ns);
    EXPECT(strstr(text, expected) != NULL);
    EXPECT(strstr(text, "\n  role                  leader\n") != NULL);
    EXPECT(strstr(text, "\n  commit                0\n") != NULL);
}

TEST(comparisons_ask_the_node_that_it_happens_to)
{
    struct world_result result;
    unsigned long long commit = 0;
    const char *text = show(3, (struct look_options){ .break_at = "commit >= 2 and n2", .state = "n2" }, &result);
    const char *line = strstr(text, "\n  commit ");
    EXPECT(line != NULL && sscanf(line, " commit %llu", &commit) == 1);
    EXPECT(commit >= 2);
    text = show(3, (struct look_options){ .break_at = "commit>=1 and not n1", .state = "n0" }, &result);
    EXPECT(strstr(text, "break at ") != NULL);
}

/* The break is where the log first has the line. */
static void expect_break(const char *expression, struct line line)
{
    struct world_result result;
    char expected[64];
    EXPECT(line.text != NULL);
    snprintf(expected, sizeof expected, "break at step %llu,", line.step);
    EXPECT(strstr(show(3, (struct look_options){ .break_at = expression }, &result), expected) != NULL);
}

TEST(a_frame_has_two_ends)
{
    char to[8], text[32], expression[64];
    const struct line sent = find_line(whole_log(), "send", " append? ", false);
    EXPECT(sent.text != NULL && sscanf(strstr(sent.text, " to "), " to %7s", to) == 1);
    snprintf(expression, sizeof expression, "append? send to %s", to);
    expect_break(expression, sent);
    snprintf(text, sizeof text, "from %s append?", sent.who);
    expect_break(text, find_line(whole_log(), "step", text, false));
}

/* How often it holds in a life, by the log: the break is at the first. */
TEST(words_are_those_of_the_log)
{
    static const char *const expressions[] = { "crash", "cut", "lost", "duplicate", "call c0", "vote? to n1", "fault" };
    struct world_result result;
    uint32_t broken = 0;
    for (uint32_t i = 0; i < ARRAY_COUNT(expressions); i++)
        for (uint64_t seed = 1; seed < 30; seed++)
            if (strstr(show(seed, (struct look_options){ .break_at = expressions[i] }, &result), "break at ") != NULL) {
                broken++;
                break;
            }
    EXPECT_EQUAL(broken, ARRAY_COUNT(expressions));
}

TEST(what_never_holds_never_breaks)
{
    struct world_result result;
    const char *text = show(3, (struct look_options){ .break_at = "leader and not leader" }, &result);
    EXPECT(!look_stopped(&look));
    EXPECT(result.failure == NULL);
    EXPECT_TEXT(text, "no break: never held: leader and not leader\n");
}

static void expect_column(const char *expression, uint32_t column, const char *text)
{
    struct breakpoint breakpoint;
    struct breakpoint_error error = { 0 };
    const bool parsed = breakpoint_parse(&breakpoint, expression, &error);
    if (parsed || error.column != column || strstr(error.text, text) == NULL)
        printf("%s\nexpected in column %u: %s\ncolumn %u: %s\n", expression, (unsigned)column, text,
               (unsigned)error.column, error.text);
    EXPECT(!parsed);
    EXPECT_EQUAL(error.column, column);
    EXPECT(strstr(error.text, text) != NULL);
}

TEST(what_is_wrong_is_named_by_its_column)
{
    expect_column("", 1, "missing");
    expect_column("leader x2", 8, "'x2' is no");
    expect_column("leader and", 11, "missing");
    expect_column("(term>3", 8, "')' is missing");
    expect_column("term>3)", 7, "without '('");
    expect_column("term>", 6, "number is missing");
    expect_column("term>x", 6, "no number");
    expect_column("time>3", 6, "no time");
    expect_column("leader=3", 1, "cannot be compared");
    expect_column("not", 4, "missing");
    expect_column("vote? to leader", 10, "missing");
    expect_column("n1 & n2", 4, "means nothing");
    expect_column("((((((((((((((((((n1))))))))))))))))))", 17, "too many");
}

TEST(expressions_are_bounded)
{
    char expression[1024] = "n0";
    for (uint32_t i = 0; i < 100; i++)
        memcpy(expression + 2 + 3 * i, " n0", 4);
    struct breakpoint breakpoint;
    struct breakpoint_error error;
    EXPECT(!breakpoint_parse(&breakpoint, expression, &error));
    EXPECT(strstr(error.text, "too long") != NULL);
}

TEST(a_wrong_option_is_named)
{
    char error[LOOK_ERROR_BYTES];
    EXPECT(!look_begin(&look, &(struct look_options){ .until = "7x" }, error));
    EXPECT(strncmp(error, "--until: '7x'", 13) == 0);
    EXPECT(!look_begin(&look, &(struct look_options){ .state = "n9" }, error));
    EXPECT(strncmp(error, "--state: 'n9'", 13) == 0);
    EXPECT(!look_begin(&look, &(struct look_options){ .break_at = "n1 or" }, error));
    EXPECT(strncmp(error, "--break: column 6", 17) == 0);
    EXPECT(!look_begin(&look, &(struct look_options){ .html = "/nonexistent/x.html" }, error));
    EXPECT_TEXT(error, "--html /nonexistent/x.html: No such file or directory");
}

TEST(a_life_of_any_length_has_a_line_for_each_step)
{
    struct world_result result;
    const char *text = show(12, (struct look_options){ .log = true }, &result);
    EXPECT(lines(text) > result.steps);
    for (uint64_t step = 1; step <= result.steps; step++) {
        char wanted[32];
        snprintf(wanted, sizeof wanted, "\n%6llu ", (unsigned long long)step);
        EXPECT(strstr(text, wanted) != NULL);
    }
}

TEST_MAIN()

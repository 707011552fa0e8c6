/* The page of a life: what the columns say, and a violation that was planted. page_test.sh opens it in a browser. */
#include "test.h"

#include <sys/stat.h>

#include "../sim/html.h"
#include "../sim/world.h"

static struct world *world;

/* A bug without a mutant: at the first leader's first commit a checker is told to fail. */
struct planter {
    struct observer observer;
    bool planted;
    uint64_t step;
};

static void plant(struct observer *observer, const struct observed *observed)
{
    struct planter *planter = (struct planter *)observer;
    if (observed->kind != OBSERVED_STEP || planter->planted)
        return;
    const struct output *output = observed->step_of.output;
    for (uint32_t i = 0; i < output->event_count && i < output->event_max; i++)
        if (output->events[i].kind == EVENT_COMMIT && !planter->planted) {
            planter->planted = true;
            planter->step = observed->step;
            check_fail(world->scene.check, CHECK_STATE_MACHINE, observed->who, "planted: <commit> & \"%llu\"",
                       (unsigned long long)output->events[i].a);
        }
}

static struct html *live(uint64_t seed, struct planter *planter, struct world_result *result)
{
    struct observer_group group;
    struct html *html = html_new();
    if (world == NULL)
        world = world_new();
    EXPECT(world != NULL && html != NULL);
    observer_group_init(&group);
    if (planter != NULL)
        observer_group_add(&group, &planter->observer);
    observer_group_add(&group, &html->observer);
    EXPECT(world_run(world, &(struct world_options){ .seed = seed, .observer = &group.observer }, result));
    EXPECT(!html->failed);
    return html;
}

static char *write_page(const struct html *html, const char *path)
{
    static char text[4 * 1024 * 1024];
    FILE *file = fopen(path, "w+");
    EXPECT(file != NULL);
    EXPECT(html_write(html, "a <planted> & \"quoted\" violation", file));
    rewind(file);
    const size_t bytes = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    EXPECT(bytes > 10000 && bytes < sizeof text - 1);
    text[bytes] = '\0';
    return text;
}

/* A number of seven bits a byte. */
static uint64_t next_number(const struct html_bytes *column, size_t *at)
{
    uint64_t value = 0;
    uint32_t shift = 0;
    do {
        EXPECT(*at < column->count);
        value |= (uint64_t)(column->bytes[*at] & 127) << shift;
        shift += 7;
    } while ((column->bytes[(*at)++] & 128) != 0);
    return value;
}

TEST(every_column_has_a_number_for_every_event)
{
    struct world_result result;
    struct html *html = live(3, NULL, &result);
    size_t details = 0, states = 0;
    EXPECT_EQUAL(html->columns[HTML_KIND].count, html->count);
    EXPECT_EQUAL(html->columns[HTML_WHO].count, html->count);
    for (enum html_column column = HTML_TIME; column < HTML_DETAILS; column++) {
        size_t at = 0;
        uint64_t sum = 0;
        for (uint32_t i = 0; i < html->count; i++)
            sum += next_number(&html->columns[column], &at);
        EXPECT_EQUAL(at, html->columns[column].count);
        if (column == HTML_STEP)
            EXPECT_EQUAL(sum, result.steps);
        if (column == HTML_DETAILS_BYTES)
            details = sum;
        if (column == HTML_STATE_BYTES)
            states = sum;
    }
    EXPECT_EQUAL(details, html->columns[HTML_DETAILS].count);
    EXPECT_EQUAL(states, html->columns[HTML_STATES].count);
    html_free(html);
}

/* The cause of a step that a frame fed is an event that sent one to this node, and earlier. */
TEST(a_frame_is_fed_where_it_was_sent_to)
{
    struct world_result result;
    struct html *html = live(3, NULL, &result);
    size_t cause_at = 0, a_at = 0;
    uint64_t *a = calloc(html->count, sizeof *a);
    uint32_t fed = 0;
    EXPECT(a != NULL);
    for (uint32_t i = 0; i < html->count; i++) {
        const uint64_t cause = next_number(&html->columns[HTML_CAUSE], &cause_at);
        a[i] = next_number(&html->columns[HTML_A], &a_at);
        const uint8_t *kind = html->columns[HTML_KIND].bytes, *who = html->columns[HTML_WHO].bytes;
        if (cause == 0 || kind[i] != OBSERVED_STEP || kind[i - cause] != OBSERVED_SEND)
            continue;
        EXPECT_EQUAL(a[i - cause], who[i]);
        fed++;
    }
    EXPECT(fed > 50);
    free(a);
    html_free(html);
}

TEST(texts_stand_once_each)
{
    struct html *html = html_new();
    char text[16];
    EXPECT(html != NULL);
    for (uint32_t round = 0; round < 2; round++)
        for (uint32_t i = 0; i < 5000; i++) {
            snprintf(text, sizeof text, "text %u", (unsigned)i);
            EXPECT_EQUAL(html_text(html, text), i + 1); /* the empty one is number 0 */
        }
    EXPECT_EQUAL(html->texts.count, 5001);
    html_free(html);
}

TEST(a_planted_violation_is_on_the_page)
{
    struct planter planter = { .observer = { .see = plant } };
    struct world_result result;
    mkdir("build", 0777);
    mkdir("build/page", 0777);
    struct html *html = NULL;
    for (uint64_t seed = 3; seed < 20 && !planter.planted; seed++) {
        html_free(html);
        html = live(seed, &planter, &result);
    }
    EXPECT(planter.planted && result.failure != NULL);
    EXPECT_EQUAL(html->columns[HTML_KIND].bytes[html->count - 1], OBSERVED_VIOLATION);
    EXPECT_EQUAL(html->step, planter.step);
    const char *text = write_page(html, "build/page/planted.html");
    EXPECT(strstr(text, "planted: \\u003ccommit> & \\u0022") != NULL);
    EXPECT(strstr(text, "a \\u003cplanted> & \\u0022quoted\\u0022 violation") != NULL);
    html_free(html);
}

TEST(the_page_asks_no_network_for_anything)
{
    struct world_result result;
    mkdir("build", 0777);
    mkdir("build/page", 0777);
    struct html *html = live(3, NULL, &result);
    const char *text = write_page(html, "build/page/alone.html");
    static const char *const asks[] = { "http:", "https:", "//cdn",   "src=",    "@import",
                                        "url(",  "@data@", "@style@", "@script@" };
    for (uint32_t i = 0; i < ARRAY_COUNT(asks); i++)
        EXPECT(strstr(text, asks[i]) == NULL);
    html_free(html);
}

TEST_MAIN()

/* Reads results: the inverse of results.c. */
#include "results_read.h"

#include <string.h>

#include "json.h"

enum { KEY_MAX = 64 };

enum results_line results_line_kind(const char *line)
{
    struct json json;
    char key[KEY_MAX];
    char type[KEY_MAX] = "";
    json_open(&json, line);
    while (json_key(&json, key, sizeof key))
        if (strcmp(key, "type") == 0)
            json_text(&json, type, sizeof type);
        else
            json_skip(&json);
    if (!json_good(&json))
        return RESULTS_LINE_OTHER;
    if (strcmp(type, "run") == 0)
        return RESULTS_LINE_RUN;
    if (strcmp(type, "failure") == 0)
        return RESULTS_LINE_FAILURE;
    return strcmp(type, "totals") == 0 ? RESULTS_LINE_TOTALS : RESULTS_LINE_OTHER;
}

/* Hexadecimal digits at *at, up to end; moves behind them. False: there is none, or too many. */
static bool read_hex(const char **at, const char *end, uint64_t *number)
{
    const char *first = *at;
    *number = 0;
    for (; *at < end; (*at)++) {
        const char digit = **at;
        if (digit >= '0' && digit <= '9')
            *number = *number << 4 | (uint64_t)(digit - '0');
        else if (digit >= 'a' && digit <= 'f')
            *number = *number << 4 | (uint64_t)(digit - 'a' + 10);
        else
            break;
    }
    return *at > first && *at - first <= 16;
}

static uint64_t read_hex_value(struct json *json)
{
    size_t bytes;
    uint64_t number;
    const char *at = json_raw(json, &bytes);
    const char *end = at + bytes;
    if (!read_hex(&at, end, &number) || at != end)
        json->bad = true;
    return json->bad ? 0 : number;
}

bool results_read_run(const char *line, struct results_run *run, uint64_t *format)
{
    struct json json;
    char key[KEY_MAX];
    char profile[KEY_MAX] = "";
    *run = (struct results_run){ .count = UINT64_MAX };
    *format = 0;
    json_open(&json, line);
    while (json_key(&json, key, sizeof key)) {
        if (strcmp(key, "format") == 0)
            *format = json_number(&json);
        else if (strcmp(key, "build") == 0)
            run->build = read_hex_value(&json);
        else if (strcmp(key, "commit") == 0)
            json_text(&json, run->commit, sizeof run->commit);
        else if (strcmp(key, "profile") == 0)
            json_text(&json, profile, sizeof profile);
        else if (strcmp(key, "seed") == 0)
            run->seed = json_number(&json);
        else if (strcmp(key, "count") == 0)
            run->count = json_number(&json);
        else if (strcmp(key, "shard") == 0)
            run->shard = json_number(&json);
        else if (strcmp(key, "shards") == 0)
            run->shards = json_number(&json);
        else
            json_skip(&json);
    }
    if (json_good(&json) && *format != RESULTS_FORMAT)
        return true;
    return json_good(&json) && profile_parse(profile, &run->profile) && run->shard < run->shards
           && run->shards <= RESULTS_SHARDS_MAX;
}

static bool read_outcome(const char *text, enum outcome *outcome)
{
    for (*outcome = OUTCOME_PASSED; *outcome < OUTCOME_CRASHED; (*outcome)++)
        if (strcmp(text, outcome_text(*outcome)) == 0)
            return true;
    return strcmp(text, outcome_text(*outcome)) == 0;
}

bool results_read_failure(const char *line, struct results_failure *failure)
{
    struct json json;
    char key[KEY_MAX];
    char outcome[KEY_MAX] = "";
    *failure = (struct results_failure){ 0 };
    json_open(&json, line);
    while (json_key(&json, key, sizeof key)) {
        if (strcmp(key, "seed") == 0)
            failure->seed = json_number(&json);
        else if (strcmp(key, "step") == 0)
            failure->step = json_number(&json);
        else if (strcmp(key, "outcome") == 0)
            json_text(&json, outcome, sizeof outcome);
        else if (strcmp(key, "checker") == 0)
            json_text(&json, failure->checker, sizeof failure->checker);
        else if (strcmp(key, "text") == 0)
            json_text(&json, failure->text, sizeof failure->text);
        else if (strcmp(key, "trace") == 0)
            json_text(&json, failure->trace, sizeof failure->trace);
        else
            json_skip(&json);
    }
    return json_good(&json) && read_outcome(outcome, &failure->outcome);
}

/* A group of counters by their names; what this build does not know is skipped. */
static void read_group(struct json *json, const struct results_group *group, struct coverage *coverage)
{
    uint64_t *counts = results_counters(coverage, group);
    char key[KEY_MAX];
    uint32_t next = 0; /* they mostly come in order */
    json_enter(json);
    while (json_key(json, key, sizeof key)) {
        uint32_t tried = 0;
        while (tried < group->kinds && strcmp(key, group->text((next + tried) % group->kinds)) != 0)
            tried++;
        const uint64_t count = json_number(json);
        if (tried == group->kinds)
            continue;
        next = (next + tried) % group->kinds;
        counts[next] = count;
        next++;
    }
}

static void read_sketch(struct json *json, struct sketch *sketch)
{
    size_t bytes;
    const char *at = json_raw(json, &bytes);
    const char *end = at + bytes;
    if (json->bad || !read_hex(&at, end, &sketch->sightings))
        json->bad = true;
    while (!json->bad && at < end) {
        struct sketch_item item;
        json->bad = *at++ != ' ' || !read_hex(&at, end, &item.hash) || at == end || *at++ != ':'
                    || !read_hex(&at, end, &item.seen) || item.seen == 0;
        if (!json->bad)
            sketch_put(sketch, item);
    }
}

static void read_state(struct json *json, struct results_totals *totals)
{
    char text[KEY_MAX];
    json_text(json, text, sizeof text);
    for (enum results_state state = RESULTS_RUNNING; state <= RESULTS_COMPLETE; state++)
        if (strcmp(text, results_state_text(state)) == 0) {
            totals->state = state;
            return;
        }
    json->bad = true;
}

/* Where the number of that name belongs; NULL: it is none of these. */
static uint64_t *totals_number(struct results_totals *totals, const char *key)
{
    struct coverage *coverage = &totals->coverage;
    const struct {
        const char *name;
        uint64_t *number;
    } numbers[] = {
        { "schedules", &totals->schedules },
        { "failures", &totals->failures },
        { "dealt", &totals->dealt },
        { "jobs", &totals->jobs },
        { "spent_ms", &totals->spent_ms },
        { "worker_ms", &totals->worker_ms },
        { "counted", &coverage->schedules },
        { "simulated_ns", &coverage->simulated_ns },
        { "nodes", &coverage->nodes },
        { "inputs", &coverage->inputs },
        { "client_ops", &coverage->calls },
        { "client_ops_answered", &coverage->calls_answered },
        { "untimed", &coverage->schedules_untimed },
        { "searched", &coverage->schedules_searched },
        { "dropped", &coverage->dropped },
        { "looked_at", &totals->census.schedules },
    };
    for (uint32_t i = 0; i < ARRAY_COUNT(numbers); i++)
        if (strcmp(key, numbers[i].name) == 0)
            return numbers[i].number;
    return NULL;
}

static void totals_value(struct json *json, struct results_totals *totals, const char *key)
{
    uint64_t *number = totals_number(totals, key);
    if (number != NULL) {
        *number = json_number(json);
        return;
    }
    for (uint32_t i = 0; i < RESULTS_GROUPS; i++)
        if (strcmp(key, results_groups[i].name) == 0) {
            read_group(json, &results_groups[i], &totals->coverage);
            return;
        }
    if (strcmp(key, "states_sketch") == 0)
        read_sketch(json, &totals->census.states);
    else if (strcmp(key, "edges_sketch") == 0)
        read_sketch(json, &totals->census.edges);
    else if (strcmp(key, "state") == 0)
        read_state(json, totals);
    else
        json_skip(json);
}

bool results_read_totals(const char *line, struct results_totals *totals)
{
    struct json json;
    char key[KEY_MAX];
    memset(totals, 0, sizeof *totals);
    json_open(&json, line);
    while (json_key(&json, key, sizeof key))
        totals_value(&json, totals, key);
    return json_good(&json);
}

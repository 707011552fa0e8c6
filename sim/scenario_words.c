/* Words of a line. */
#include "scenario_state.h"

#include <stdarg.h>
#include <string.h>

bool scenario_wrong(struct scenario *scenario, const char *format, ...)
{
    struct scenario_result *result = scenario->result;
    if (result->error[0] != '\0')
        return false;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(result->error, sizeof result->error, format, arguments);
    va_end(arguments);
    result->line = scenario->line_number;
    return false;
}

bool words_split(struct scenario *scenario, const char *line, size_t bytes)
{
    scenario->word_count = scenario->word = 0;
    if (bytes >= LINE_BYTES_MAX)
        return scenario_wrong(scenario, "the line is longer than %d characters", LINE_BYTES_MAX - 1);
    memcpy(scenario->line_bytes, line, bytes);
    scenario->line_bytes[bytes] = '\0';
    char *at = scenario->line_bytes;
    while (*at != '\0' && *at != '#') {
        char *const end = at + strcspn(at, " \t#");
        const char next = *end;
        if (end > at && scenario->word_count == WORDS_MAX)
            return scenario_wrong(scenario, "more than %d words", WORDS_MAX);
        if (end > at)
            scenario->words[scenario->word_count++] = at;
        *end = '\0';
        if (next == '\0' || next == '#')
            break;
        at = end + 1;
    }
    return scenario->word_count > 0;
}

const char *words_next(struct scenario *scenario)
{
    return scenario->word < scenario->word_count ? scenario->words[scenario->word++] : NULL;
}

bool words_left(const struct scenario *scenario) { return scenario->word < scenario->word_count; }

bool words_take(struct scenario *scenario, const char *word)
{
    const bool is = words_left(scenario) && strcmp(scenario->words[scenario->word], word) == 0;
    scenario->word += is;
    return is;
}

bool words_need(struct scenario *scenario, const char *word)
{
    if (words_take(scenario, word))
        return true;
    if (!words_left(scenario))
        return scenario_wrong(scenario, "'%s' is missing at the end", word);
    return scenario_wrong(scenario, "'%s' where '%s' should be", scenario->words[scenario->word], word);
}

bool words_end(struct scenario *scenario)
{
    if (!words_left(scenario))
        return true;
    return scenario_wrong(scenario, "'%s' is too much", scenario->words[scenario->word]);
}

bool text_number(const char *text, uint64_t *number)
{
    *number = 0;
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || *number > UINT64_MAX / 10 - 1)
            return false;
        *number = *number * 10 + (uint64_t)(*text - '0');
    }
    return true;
}

bool words_number(struct scenario *scenario, const char *what, uint64_t *number)
{
    const char *word = words_next(scenario);
    if (word != NULL && text_number(word, number))
        return true;
    return scenario_wrong(scenario, "'%s' is not a number: %s", word != NULL ? word : "", what);
}

bool words_switch(struct scenario *scenario, bool *on)
{
    *on = words_take(scenario, "on");
    return *on || words_need(scenario, "off");
}

bool words_duration(struct scenario *scenario, uint64_t *ns)
{
    static const struct {
        const char *text;
        uint64_t ns;
    } units[] = { { "us", 1000 }, { "ms", NS_PER_MS }, { "s", 1000 * NS_PER_MS } };
    const char *word = words_next(scenario);
    const size_t digits = word != NULL ? strspn(word, "0123456789") : 0;
    for (uint32_t i = 0; i < ARRAY_COUNT(units); i++) {
        char number[16] = "";
        if (digits == 0 || digits >= sizeof number || strcmp(word + digits, units[i].text) != 0)
            continue;
        memcpy(number, word, digits);
        if (!text_number(number, ns) || *ns > 1000000)
            break;
        *ns *= units[i].ns;
        return true;
    }
    return scenario_wrong(scenario, "'%s' is not a time: 150ms, 3s or 20us", word != NULL ? word : "");
}

bool text_nodes(const struct scenario *scenario, const char *text, uint32_t *nodes)
{
    const uint32_t count = scenario->swarm.node_count;
    *nodes = 0;
    if (strcmp(text, "all") == 0) {
        *nodes = (1U << count) - 1;
        return true;
    }
    for (;;) {
        if (*text < '1' || *text > '9' || (uint32_t)(*text - '0') > count)
            return false;
        *nodes |= 1U << (*text - '1');
        if (text[1] == '\0')
            return true;
        if (text[1] != ',')
            return false;
        text += 2;
    }
}

bool words_nodes(struct scenario *scenario, uint32_t *nodes)
{
    const char *word = words_next(scenario);
    if (word != NULL && text_nodes(scenario, word, nodes))
        return true;
    return scenario_wrong(scenario, "'%s' does not name nodes: 2, 1,2,3 or all, of %u nodes", word != NULL ? word : "",
                          scenario->swarm.node_count);
}

bool words_node(struct scenario *scenario, struct node **node)
{
    const char *word = words_next(scenario);
    uint32_t nodes = 0;
    if (word == NULL || !text_nodes(scenario, word, &nodes) || (nodes & (nodes - 1)) != 0)
        return scenario_wrong(scenario, "'%s' is not one of %u nodes", word != NULL ? word : "",
                              scenario->swarm.node_count);
    *node = scenario_node(scenario, (uint32_t)__builtin_ctz(nodes));
    return true;
}

static bool text_client(const char *text, uint32_t *client)
{
    *client = (uint32_t)(text[0] - 'a');
    return text[0] >= 'a' && *client < CLIENTS_MAX && text[1] == '\0';
}

bool words_client(struct scenario *scenario, uint32_t *client)
{
    const char *word = words_next(scenario);
    if (word != NULL && text_client(word, client))
        return true;
    return scenario_wrong(scenario, "'%s' is not a client: a to %c", word != NULL ? word : "", 'a' + CLIENTS_MAX - 1);
}

bool words_endpoints(struct scenario *scenario, uint32_t *endpoints)
{
    uint32_t client;
    if (words_left(scenario) && text_client(scenario->words[scenario->word], &client)) {
        *endpoints = 1U << (ENDPOINT_CLIENT + client);
        scenario->word++;
        return true;
    }
    return words_nodes(scenario, endpoints);
}

bool words_name(struct scenario *scenario, const char *what, const char *(*name)(uint32_t), uint32_t count,
                uint32_t *found)
{
    const char *word = words_next(scenario);
    for (*found = 0; word != NULL && *found < count; (*found)++)
        if (strcmp(word, name(*found)) == 0)
            return true;
    return scenario_wrong(scenario, "'%s' is not the name of %s", word != NULL ? word : "", what);
}

/* Reads the text of a trace: any bytes, and the line and the cause of what is wrong with them. */
#include <string.h>

#include "knobs.h"
#include "scene.h"
#include "trace.h"

struct word {
    const char *text;
    size_t bytes;
};

struct parser {
    struct trace *trace;
    struct word rest; /* of the line */
    const char *cause;
    uint32_t line;
    bool versioned;
};

static bool fail(struct parser *parser, const char *cause)
{
    parser->cause = cause;
    return false;
}

static bool is(struct word word, const char *text)
{
    return strlen(text) == word.bytes && memcmp(word.text, text, word.bytes) == 0;
}

/* The next word of the line; empty at its end. */
static struct word next_word(struct parser *parser)
{
    struct word *rest = &parser->rest;
    while (rest->bytes > 0 && (rest->text[0] == ' ' || rest->text[0] == '\t' || rest->text[0] == '\r')) {
        rest->text++;
        rest->bytes--;
    }
    struct word word = { .text = rest->text };
    while (word.bytes < rest->bytes && word.text[word.bytes] != ' ' && word.text[word.bytes] != '\t'
           && word.text[word.bytes] != '\r')
        word.bytes++;
    rest->text += word.bytes;
    rest->bytes -= word.bytes;
    return word;
}

/* Takes what lies before the first `end`, or all. True if `end` was there. */
static bool split(struct word *word, char end, struct word *before)
{
    size_t at = 0;
    while (at < word->bytes && word->text[at] != end)
        at++;
    *before = (struct word){ .text = word->text, .bytes = at };
    const bool found = at < word->bytes;
    word->text += at + found;
    word->bytes -= at + found;
    return found;
}

static bool number(struct word word, uint64_t *value)
{
    return word.bytes > 0 && word.text[word.bytes - 1] >= '0' && word.text[word.bytes - 1] <= '9'
           && time_parse(word.text, word.bytes, value);
}

static bool hexadecimal(struct word word, uint64_t *value)
{
    *value = 0;
    if (word.bytes == 0 || word.bytes > 16)
        return false;
    for (size_t i = 0; i < word.bytes; i++) {
        const char c = word.text[i];
        const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0)
            return false;
        *value = *value << 4 | (uint64_t)digit;
    }
    return true;
}

/* A letter and a number below `end`. */
static bool numbered(struct word word, char letter, uint64_t end, uint64_t *value)
{
    if (word.bytes < 2 || word.text[0] != letter)
        return false;
    return number((struct word){ .text = word.text + 1, .bytes = word.bytes - 1 }, value) && *value < end;
}

static bool endpoint(struct word word, uint32_t *to)
{
    uint64_t value;
    if (numbered(word, 'n', ENDPOINT_CLIENT, &value))
        *to = (uint32_t)value;
    else if (numbered(word, 'c', CLIENT_SLOTS, &value))
        *to = ENDPOINT_CLIENT + (uint32_t)value;
    else
        return false;
    return true;
}

/* ---- header ---- */

static bool parse_knob(struct parser *parser)
{
    const struct word name = next_word(parser);
    struct word list = next_word(parser);
    const struct knob *knob = knob_named(name.text, name.bytes);
    struct word item;
    bool more = true;
    if (knob == NULL)
        return true; /* of another version: it had a default there, and has none here */
    for (uint32_t i = 0; more; i++) {
        uint64_t value;
        more = split(&list, ',', &item);
        if (i >= knob->values)
            return fail(parser, "more values than the knob has");
        const bool negative = knob->unit == KNOB_SIGNED && item.bytes > 0 && item.text[0] == '-';
        if (negative) {
            item.text++;
            item.bytes--;
        }
        bool known = time_parse(item.text, item.bytes, &value);
        for (enum regime regime = 0; knob->unit == KNOB_REGIME && !known && regime < REGIME_KINDS; regime++)
            if (is(item, regime_text(regime))) {
                value = regime;
                known = true;
            }
        if (!known || (knob->bytes <= 4 && value > UINT32_MAX / 2))
            return fail(parser, "the value of the knob is no number that fits");
        knob_set(&parser->trace->swarm, knob, i, negative ? 0 - value : value);
    }
    return true;
}

/* The rest of the line as it stands. */
static void take_text(struct parser *parser, char *to, size_t bytes_max)
{
    struct word rest = parser->rest;
    while (rest.bytes > 0 && rest.text[0] == ' ') {
        rest.text++;
        rest.bytes--;
    }
    size_t bytes = rest.bytes < bytes_max - 1 ? rest.bytes : bytes_max - 1;
    for (size_t i = 0; i < bytes; i++)
        to[i] = rest.text[i] >= ' ' && rest.text[i] != 0x7f ? rest.text[i] : '?';
    to[bytes] = '\0';
    parser->rest.bytes = 0;
}

static bool parse_profile(struct parser *parser)
{
    char name[16];
    take_text(parser, name, sizeof name);
    return profile_parse(name, &parser->trace->swarm.profile) || fail(parser, "no such profile");
}

static bool parse_end(struct parser *parser)
{
    struct trace_ending *ending = &parser->trace->ending;
    ending->digested = number(next_word(parser), &ending->steps) && hexadecimal(next_word(parser), &ending->digest);
    return ending->digested || fail(parser, "an end has a number of steps and a digest");
}

static bool parse_steps(struct parser *parser)
{
    uint64_t first, digest;
    if (!number(next_word(parser), &first) || first != (uint64_t)parser->trace->digest_count + 1)
        return fail(parser, "digests of steps are not in order");
    for (struct word word = next_word(parser); word.bytes > 0; word = next_word(parser))
        if (word.bytes != 4 || !hexadecimal(word, &digest))
            return fail(parser, "a digest of a step has four hexadecimal digits");
        else if (!trace_add_digest(parser->trace, digest << 48))
            return fail(parser, "no memory");
    return true;
}

/* ---- decisions ---- */

static bool find_head(struct word verb, struct decision *decision)
{
    for (uint32_t kind = 0; kind < NEMESIS_KINDS; kind++)
        if (is(verb, nemesis_text((enum nemesis_kind)kind))) {
            decision->head = SITE_STRIKE;
            decision->who = (uint16_t)kind;
            return kind != NEMESIS_POWER_AGAIN;
        }
    for (uint32_t site = 0; site < SITES; site++)
        if (site_words[site].head == site && site_words[site].subject != SUBJECT_NONE && site != SITE_STRIKE
            && is(verb, site_words[site].text)) {
            decision->head = (uint16_t)site;
            return true;
        }
    return false;
}

static bool parse_who(struct parser *parser, enum choose_subject subject, struct decision *decision)
{
    struct word word;
    struct word from;
    uint32_t a, b;
    uint64_t value;
    switch (subject) {
    case SUBJECT_LINK:
    case SUBJECT_FRAME:
        word = next_word(parser);
        if (!split(&word, '>', &from) || !endpoint(from, &a) || !endpoint(word, &b))
            return fail(parser, "a link is from one end to another: n1>n2");
        decision->who = (uint16_t)(a * ENDPOINTS + b);
        return true;
    case SUBJECT_ARRIVAL:
    case SUBJECT_STEP:
    case SUBJECT_OPERATION:
    case SUBJECT_LIFE:
    case SUBJECT_TIMER:
    case SUBJECT_NODE:
        if (!numbered(next_word(parser), 'n', VOTERS_MAX, &value))
            return fail(parser, "a node is n0 to n6");
        break;
    case SUBJECT_CALL:
    case SUBJECT_ATTEMPT:
    case SUBJECT_CLIENT:
        if (!numbered(next_word(parser), 'c', CLIENT_SLOTS, &value))
            return fail(parser, "a client is c0 to c8");
        break;
    case SUBJECT_NONE:
    case SUBJECT_STRIKE:
    case SUBJECT_POWER:
    case SUBJECT_CHANGE:
    case SUBJECTS: return true;
    }
    decision->who = (uint16_t)value;
    return true;
}

/* CLASS#ORDINAL.PART, each but the ordinal optional. False: it is something else. */
static bool parse_address(struct word word, struct decision *decision)
{
    struct word class, ordinal;
    uint64_t part = 0;
    if (!split(&word, '#', &class))
        return false;
    for (uint32_t i = 0; class.bytes > 0 && i < CLASSES; i++)
        if (trace_class_text(i) != NULL && is(class, trace_class_text(i)))
            decision->class = (uint8_t)i;
    if (split(&word, '.', &ordinal) && (!number(word, &part) || part > 2))
        return false;
    decision->part = (uint8_t)part;
    return (class.bytes == 0 || decision->class != CLASS_NONE) && number(ordinal, &decision->ordinal);
}

static bool parse_set(struct word word, uint64_t *value)
{
    struct word item;
    uint64_t node, set = 0;
    bool more = true;
    while (more) {
        more = split(&word, '+', &item);
        if (!numbered(item, 'n', VOTERS_MAX, &node))
            return false;
        set |= 1ULL << node;
    }
    *value = set - 1;
    return true;
}

/* KIND:NODE[:MORE] */
static bool parse_member(struct word word, uint64_t *value)
{
    struct word kind, node;
    uint64_t slot, more = 0;
    if (!split(&word, ':', &kind) || !trace_word_value(UNIT_MEMBER, kind.text, kind.bytes, value))
        return false;
    const bool extra = split(&word, ':', &node);
    if (!numbered(node, 'n', VOTERS_MAX, &slot) || (extra && (!number(word, &more) || more >= 1 << 16)))
        return false;
    *value |= slot << 4 | more << 8;
    return true;
}

static bool parse_value(enum trace_unit unit, struct word word, uint64_t *value)
{
    if (unit == UNIT_NODE && numbered(word, 'n', VOTERS_MAX, value)) {
        *value += 1;
        return true;
    }
    if (unit == UNIT_SET)
        return parse_set(word, value);
    if (unit == UNIT_MEMBER)
        return parse_member(word, value);
    return trace_word_value(unit, word.text, word.bytes, value) || time_parse(word.text, word.bytes, value);
}

static bool parse_values(struct parser *parser, const struct decision *decision, enum choose_site site,
                         struct word list)
{
    struct word item;
    bool more = true;
    for (uint32_t i = 0; more; i++) {
        uint64_t value;
        more = split(&list, ',', &item);
        if (i > UINT16_MAX)
            return fail(parser, "too many values");
        if (is(item, "-"))
            continue;
        if (!parse_value(site_words[site].unit, item, &value))
            return fail(parser, "no such value");
        if (!trace_add(parser->trace, decision, site, i, value))
            return fail(parser, "too many decisions, or no memory");
    }
    return true;
}

/* What is left of the line, but for the time, which is at its end. */
static bool parse_arguments(struct parser *parser, const struct decision *decision)
{
    const enum choose_site head = (enum choose_site)decision->head;
    bool valued = false;
    for (struct word word = next_word(parser); word.bytes > 0; word = next_word(parser)) {
        struct word name, list = word;
        uint32_t site = SITES;
        const bool assigned = split(&list, '=', &name);
        for (uint32_t i = 0; i < SITES; i++)
            if (i != head && site_words[i].head == head && is(name, site_words[i].text)
                && (assigned || site_words[i].unit == UNIT_FLAG))
                site = i;
        if (site == SITES && assigned)
            return fail(parser, "no such argument of this decision");
        if (site == SITES) {
            if (valued || site_words[head].unit == UNIT_WHEN)
                return fail(parser, "no such argument of this decision");
            if (!parse_values(parser, decision, head, word))
                return false;
            valued = true;
        } else if (assigned ? !parse_values(parser, decision, (enum choose_site)site, list)
                            : !trace_add(parser->trace, decision, (enum choose_site)site, 0, 1)) {
            return parser->cause != NULL ? false : fail(parser, "too many decisions, or no memory");
        }
    }
    const bool implied = site_words[head].unit == UNIT_FLAG || site_words[head].unit == UNIT_WHEN;
    if (!valued && implied && !trace_add(parser->trace, decision, head, 0, 1))
        return fail(parser, "too many decisions, or no memory");
    return trace_find(parser->trace, decision) != TRACE_NONE || fail(parser, "a decision without a value");
}

/* Takes "@TIME" from the end of the line. */
static bool parse_time(struct parser *parser, uint64_t *ns)
{
    struct word *rest = &parser->rest;
    while (rest->bytes > 0 && (rest->text[rest->bytes - 1] == ' ' || rest->text[rest->bytes - 1] == '\r'))
        rest->bytes--;
    size_t at = rest->bytes;
    while (at > 0 && rest->text[at - 1] != '@')
        at--;
    if (at == 0 || !time_parse(rest->text + at, rest->bytes - at, ns) || *ns > UINT64_MAX / 4)
        return fail(parser, "a decision ends with its time: @150ms");
    rest->bytes = at - 1;
    return true;
}

static bool parse_decision(struct parser *parser, struct word verb)
{
    struct decision decision = { .head = SITES };
    if (!find_head(verb, &decision))
        return fail(parser, "no such word");
    const enum choose_subject subject = site_words[decision.head].subject;
    if (!parse_time(parser, &decision.time_ns) || !parse_who(parser, subject, &decision))
        return false;
    const struct word before = parser->rest;
    struct parser ahead = *parser;
    if (subject == SUBJECT_STRIKE || subject == SUBJECT_CHANGE)
        decision.ordinal = decision.time_ns;
    else if (parse_address(next_word(&ahead), &decision))
        parser->rest = ahead.rest;
    else
        parser->rest = before;
    if (trace_find(parser->trace, &decision) != TRACE_NONE)
        return fail(parser, "the same subject a second time");
    return parse_arguments(parser, &decision);
}

/* ---- the explorer ---- */

/* explore NAME [VALUE] */
static bool parse_bound(struct parser *parser)
{
    struct trace *trace = parser->trace;
    const struct word name = next_word(parser);
    const struct word value = next_word(parser);
    char texts[2][32];
    if (!trace->explored)
        explore_bounds_init(&trace->bounds);
    trace->explored = true;
    snprintf(texts[0], sizeof texts[0], "%.*s", (int)(name.bytes < sizeof texts[0] ? name.bytes : 0), name.text);
    snprintf(texts[1], sizeof texts[1], "%.*s", (int)(value.bytes < sizeof texts[1] ? value.bytes : 0), value.text);
    return explore_bounds_set(&trace->bounds, texts[0], value.bytes > 0 ? texts[1] : NULL)
           || fail(parser, "no such bound, or no such value");
}

static bool is_action(struct word verb)
{
    static const char *const verbs[] = { "timeout",  "heartbeat", "name", "deliver", "duplicate",  "drop",
                                         "complete", "crash",     "put",  "get",     "checkpoint", "remove" };
    for (uint32_t i = 0; i < ARRAY_COUNT(verbs); i++)
        if (is(verb, verbs[i]))
            return true;
    return false;
}

/* The whole line, without what is for the reader. */
static bool parse_action(struct parser *parser, struct word verb, struct word line)
{
    char text[TRACE_ACTION_MAX];
    if (!is_action(verb))
        return fail(parser, "no such action");
    while (line.bytes > 0 && line.text[line.bytes - 1] == '\r')
        line.bytes--;
    parser->rest = line;
    take_text(parser, text, sizeof text);
    char *comment = strstr(text, " # ");
    if (comment != NULL)
        *comment = '\0';
    size_t bytes = strlen(text);
    while (bytes > 0 && text[bytes - 1] == ' ')
        bytes--;
    return trace_add_action(parser->trace, text, bytes, parser->line) || fail(parser, "too many actions, or no memory");
}

/* ---- lines ---- */

static bool parse_line(struct parser *parser)
{
    struct trace *trace = parser->trace;
    const struct word line = parser->rest;
    const struct word verb = next_word(parser);
    uint64_t value;
    if (verb.bytes == 0 || verb.text[0] == '#')
        return true;
    if (is(verb, "raftsim-trace")) {
        parser->versioned = number(next_word(parser), &value) && value == TRACE_VERSION;
        return parser->versioned || fail(parser, "a trace of another version; the present one is 2");
    }
    if (!parser->versioned)
        return fail(parser, "not a trace: the first line is \"raftsim-trace 2\"");
    if (is(verb, "build"))
        return hexadecimal(next_word(parser), &trace->build) || fail(parser, "a build is a hexadecimal number");
    if (is(verb, "seed") && parser->rest.bytes > 0 && memchr(parser->rest.text, '@', parser->rest.bytes) == NULL)
        return number(next_word(parser), &trace->swarm.seed) || fail(parser, "a seed is a number");
    if (is(verb, "profile"))
        return parse_profile(parser);
    if (is(verb, "knob"))
        return parse_knob(parser);
    if (is(verb, "steps"))
        return parse_steps(parser);
    if (is(verb, "end"))
        return parse_end(parser);
    if (is(verb, "note"))
        return take_text(parser, trace->note, sizeof trace->note), true;
    if (is(verb, "outcome"))
        return take_text(parser, trace->ending.outcome, sizeof trace->ending.outcome), true;
    if (is(verb, "checker"))
        return take_text(parser, trace->ending.checker, sizeof trace->ending.checker), true;
    if (is(verb, "invariant"))
        return take_text(parser, trace->ending.invariant, sizeof trace->ending.invariant), true;
    if (is(verb, "text"))
        return take_text(parser, trace->ending.text, sizeof trace->ending.text), true;
    if (is(verb, "explore"))
        return parse_bound(parser);
    return trace->explored ? parse_action(parser, verb, line) : parse_decision(parser, verb);
}

bool trace_parse(struct trace *trace, const char *text, size_t bytes, uint32_t *line, const char **cause)
{
    struct parser parser = { .trace = trace };
    struct word left = { .text = text, .bytes = bytes };
    trace_clear(trace);
    knobs_default(&trace->swarm);
    for (*line = 1; left.bytes > 0; ++*line) {
        split(&left, '\n', &parser.rest);
        parser.line = *line;
        if (!parse_line(&parser)) {
            *cause = parser.cause;
            return false;
        }
    }
    *line = 1;
    knobs_settle(&trace->swarm);
    if (!parser.versioned)
        *cause = "not a trace: the first line is \"raftsim-trace 2\"";
    else
        *cause = trace->explored ? explore_bounds_problem(&trace->bounds) : knobs_problem(&trace->swarm);
    return *cause == NULL;
}

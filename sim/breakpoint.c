/* Parsing and evaluating. */
#include "breakpoint.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../core/inspect.h"
#include "describe.h"

enum step_kind {
    STEP_AND,
    STEP_OR,
    STEP_NOT,
    STEP_ENDPOINT, /* it happens to this one */
    STEP_TO,       /* a frame or a cut goes there */
    STEP_FROM,     /* a frame comes from there */
    STEP_ROLE,     /* a node takes it */
    STEP_KIND,     /* of what is told */
    STEP_FATE,     /* of a frame; enum fate_word */
    STEP_FRAME,    /* it is sent, or fed; the place of its name */
    STEP_EVENT,    /* of the core */
    STEP_FAULT,
    STEP_COMPARE,
};

enum fate_word { FATE_WORD_LOST, FATE_WORD_DUPLICATE, FATE_WORD_DELAYED, FATE_WORD_DAMAGED, FATE_WORDS };
static const char *const fate_words[FATE_WORDS] = { "lost", "duplicate", "delayed", "damaged" };

enum quantity { OF_TERM, OF_COMMIT, OF_APPLIED, OF_LAST, OF_BASE, OF_DURABLE, OF_KEYS, OF_STEP, OF_TIME, QUANTITIES };
static const char *const quantities[QUANTITIES] = { "term",    "commit", "applied", "last", "base",
                                                    "durable", "keys",   "step",    "time" };

enum relation { REL_EQUAL, REL_NOT_EQUAL, REL_LESS, REL_AT_MOST, REL_MORE, REL_AT_LEAST, RELATIONS };
/* Those of two characters first. */
static const struct {
    char text[3];
    enum relation relation;
} relation_texts[] = {
    { "==", REL_EQUAL }, { "!=", REL_NOT_EQUAL }, { "<=", REL_AT_MOST }, { ">=", REL_AT_LEAST },
    { "=", REL_EQUAL },  { "<", REL_LESS },       { ">", REL_MORE },
};

static const char *const frame_names[] = {
    "pre-vote?", "pre-vote!",   "heartbeat?",  "vote?",   "vote!",   "append?",     "append!",
    "refusal",   "checkpoint?", "checkpoint!", "repair?", "repair!", "timeout-now", "rejoin?",
    "rejoin!",   "read-index?", "read-index!", "request", "reply",
};

struct parser {
    struct breakpoint *breakpoint;
    const char *text;
    uint32_t at; /* of the next character */
    uint32_t depth;
    struct breakpoint_error *error;
};

static bool parse_wrong(struct parser *parser, uint32_t at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static bool parse_wrong(struct parser *parser, uint32_t at, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(parser->error->text, sizeof parser->error->text, format, arguments);
    va_end(arguments);
    parser->error->column = at + 1;
    return false;
}

static bool parse_emit(struct parser *parser, struct breakpoint_step step)
{
    if (parser->breakpoint->count == BREAKPOINT_STEPS_MAX)
        return parse_wrong(parser, parser->at, "the expression is too long");
    parser->breakpoint->steps[parser->breakpoint->count++] = step;
    return true;
}

static void parse_blanks(struct parser *parser)
{
    while (parser->text[parser->at] == ' ' || parser->text[parser->at] == '\t')
        parser->at++;
}

static bool is_word_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '?' || c == '!' || c == '_';
}

/* The word at `at`; "!" before "=" belongs to the relation. */
static uint32_t parse_word_bytes(const struct parser *parser)
{
    uint32_t end = parser->at;
    while (is_word_character(parser->text[end]) && !(parser->text[end] == '!' && parser->text[end + 1] == '='))
        end++;
    return end - parser->at;
}

static bool word_is(const char *word, uint32_t bytes, const char *name)
{
    uint32_t i = 0;
    while (i < bytes && name[i] == word[i] && name[i] != '\0')
        i++;
    return i == bytes && name[i] == '\0';
}

static bool parse_take(struct parser *parser, const char *name)
{
    parse_blanks(parser);
    const uint32_t bytes = parse_word_bytes(parser);
    if (!word_is(parser->text + parser->at, bytes, name))
        return false;
    parser->at += bytes;
    return true;
}

bool breakpoint_time(const char *text, uint64_t *ns)
{
    static const struct {
        const char *unit;
        uint64_t ns;
    } units[] = { { "ns", 1 }, { "us", 1000 }, { "ms", 1000000 }, { "s", 1000000000 } };
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    const uint64_t value = strtoull(text, &end, 10);
    for (uint32_t i = 0; i < ARRAY_COUNT(units); i++)
        if (word_is(end, (uint32_t)strlen(end), units[i].unit) && value <= UINT64_MAX / 2 / units[i].ns) {
            *ns = value * units[i].ns;
            return true;
        }
    return false;
}

static bool parse_value(struct parser *parser, uint32_t quantity, uint64_t *value)
{
    char word[32];
    parse_blanks(parser);
    const uint32_t bytes = parse_word_bytes(parser);
    if (bytes == 0 || bytes >= sizeof word)
        return parse_wrong(parser, parser->at, "a number is missing");
    memcpy(word, parser->text + parser->at, bytes);
    word[bytes] = '\0';
    char *end = word;
    if (quantity == OF_TIME) {
        if (!breakpoint_time(word, value))
            return parse_wrong(parser, parser->at, "'%s' is no time, as 150ms or 3s", word);
    } else {
        if (word[0] >= '0' && word[0] <= '9')
            *value = strtoull(word, &end, 10);
        if (end == word || *end != '\0')
            return parse_wrong(parser, parser->at, "'%s' is no number", word);
    }
    parser->at += bytes;
    return true;
}

/* A relation follows: then the word was a quantity. */
static bool parse_comparison(struct parser *parser, uint32_t word_at, uint32_t bytes, bool *found)
{
    parse_blanks(parser);
    *found = false;
    for (uint32_t i = 0; i < ARRAY_COUNT(relation_texts); i++) {
        const uint32_t length = (uint32_t)strlen(relation_texts[i].text);
        if (strncmp(parser->text + parser->at, relation_texts[i].text, length) != 0)
            continue;
        struct breakpoint_step step = { .kind = STEP_COMPARE, .relation = (uint8_t)relation_texts[i].relation };
        while (step.what < QUANTITIES && !word_is(parser->text + word_at, bytes, quantities[step.what]))
            step.what++;
        if (step.what == QUANTITIES)
            return parse_wrong(parser, word_at,
                               "'%.*s' cannot be compared; these can: term, commit, applied, last, base, durable, "
                               "keys, step, time",
                               (int)bytes, parser->text + word_at);
        parser->at += length;
        *found = true;
        return parse_value(parser, step.what, &step.value) && parse_emit(parser, step);
    }
    return true;
}

static bool find_endpoint(const char *word, uint32_t bytes, struct breakpoint_step *step)
{
    char name[ENDPOINT_TEXT_BYTES];
    for (uint32_t endpoint = 0; endpoint < ENDPOINTS; endpoint++)
        if (word_is(word, bytes, endpoint_text(endpoint, name))) {
            *step = (struct breakpoint_step){ .kind = STEP_ENDPOINT, .what = (uint16_t)endpoint };
            return true;
        }
    return false;
}

static const char *name_of(enum step_kind kind, uint32_t what)
{
    switch (kind) {
    case STEP_ROLE: return what <= RAFT_STOPPED ? raft_role_text((enum raft_role)what) : NULL;
    case STEP_KIND: return what < OBSERVED_KINDS ? observed_kind_text((enum observed_kind)what) : NULL;
    case STEP_FATE: return what < FATE_WORDS ? fate_words[what] : NULL;
    case STEP_FRAME: return what < ARRAY_COUNT(frame_names) ? frame_names[what] : NULL;
    case STEP_EVENT: return what < EVENT_KINDS ? event_kind_text((enum event_kind)what) : NULL;
    case STEP_FAULT: return what < FAULT_KINDS ? fault_kind_text((enum fault_kind)what) : NULL;
    case STEP_AND:
    case STEP_OR:
    case STEP_NOT:
    case STEP_ENDPOINT:
    case STEP_TO:
    case STEP_FROM:
    case STEP_COMPARE: break;
    }
    return NULL;
}

static bool find_word(const char *word, uint32_t bytes, struct breakpoint_step *step)
{
    static const enum step_kind kinds[] = { STEP_ROLE, STEP_KIND, STEP_FATE, STEP_FRAME, STEP_EVENT, STEP_FAULT };
    if (find_endpoint(word, bytes, step))
        return true;
    for (uint32_t i = 0; i < ARRAY_COUNT(kinds); i++)
        for (uint16_t what = 0; name_of(kinds[i], what) != NULL; what++)
            if (word_is(word, bytes, name_of(kinds[i], what))) {
                *step = (struct breakpoint_step){ .kind = (uint8_t)kinds[i], .what = what };
                return true;
            }
    return false;
}

/* to NODE, from NODE */
static bool parse_end(struct parser *parser, enum step_kind kind)
{
    struct breakpoint_step step;
    parse_blanks(parser);
    const uint32_t bytes = parse_word_bytes(parser);
    if (!find_endpoint(parser->text + parser->at, bytes, &step))
        return parse_wrong(parser, parser->at, "a node or a client is missing");
    parser->at += bytes;
    step.kind = (uint8_t)kind;
    return parse_emit(parser, step);
}

static bool parse_expression(struct parser *parser);

static bool parse_factor(struct parser *parser)
{
    struct breakpoint_step step;
    bool compared;
    if (parse_take(parser, "not"))
        return parse_factor(parser) && parse_emit(parser, (struct breakpoint_step){ .kind = STEP_NOT });
    if (parse_take(parser, "to"))
        return parse_end(parser, STEP_TO);
    if (parse_take(parser, "from"))
        return parse_end(parser, STEP_FROM);
    const uint32_t at = parser->at;
    if (parser->text[at] == '(') {
        if (++parser->depth > BREAKPOINT_DEPTH_MAX)
            return parse_wrong(parser, at, "too many parentheses");
        parser->at++;
        if (!parse_expression(parser))
            return false;
        parse_blanks(parser);
        if (parser->text[parser->at] != ')')
            return parse_wrong(parser, parser->at, "')' is missing");
        parser->at++;
        parser->depth--;
        return true;
    }
    const uint32_t bytes = parse_word_bytes(parser);
    if (bytes == 0 && parser->text[at] == '\0')
        return parse_wrong(parser, at, "something is missing here");
    if (bytes == 0)
        return parse_wrong(parser, at, "'%c' means nothing here", parser->text[at]);
    parser->at += bytes;
    if (!parse_comparison(parser, at, bytes, &compared))
        return false;
    if (compared)
        return true;
    if (!find_word(parser->text + at, bytes, &step))
        return parse_wrong(parser, at, "'%.*s' is no node, role, event, frame or fault of the log", (int)bytes,
                           parser->text + at);
    return parse_emit(parser, step);
}

/* Does another factor follow? "and" may be left out. */
static bool parse_goes_on(struct parser *parser)
{
    parse_blanks(parser);
    const char c = parser->text[parser->at];
    return c != '\0' && c != ')' && !word_is(parser->text + parser->at, parse_word_bytes(parser), "or");
}

static bool parse_term(struct parser *parser)
{
    if (!parse_factor(parser))
        return false;
    while (parse_goes_on(parser)) {
        (void)parse_take(parser, "and");
        if (!parse_factor(parser) || !parse_emit(parser, (struct breakpoint_step){ .kind = STEP_AND }))
            return false;
    }
    return true;
}

static bool parse_expression(struct parser *parser)
{
    if (!parse_term(parser))
        return false;
    while (parse_take(parser, "or"))
        if (!parse_term(parser) || !parse_emit(parser, (struct breakpoint_step){ .kind = STEP_OR }))
            return false;
    return true;
}

bool breakpoint_parse(struct breakpoint *breakpoint, const char *text, struct breakpoint_error *error)
{
    struct parser parser = { .breakpoint = breakpoint, .text = text, .error = error };
    *breakpoint = (struct breakpoint){ .count = 0 };
    if (!parse_expression(&parser))
        return false;
    parse_blanks(&parser);
    return text[parser.at] == '\0' || parse_wrong(&parser, parser.at, "')' without '('");
}

/* ---- evaluation ---- */

static bool test_to(const struct observed *observed, uint32_t endpoint)
{
    if (observed->kind == OBSERVED_SEND)
        return observed->send.to == endpoint;
    return (observed->kind == OBSERVED_CUT || observed->kind == OBSERVED_CLOG) && observed->link.to == endpoint;
}

static bool test_event(const struct observed *observed, enum event_kind kind, uint64_t role)
{
    if (observed->kind != OBSERVED_STEP)
        return false;
    const struct output *output = observed->step_of.output;
    for (uint32_t i = 0; i < u32_min(output->event_count, output->event_max); i++)
        if (output->events[i].kind == kind
            && (kind != EVENT_ROLE || role > RAFT_STOPPED || output->events[i].a == role))
            return true;
    return false;
}

static bool test_fate(const struct observed *observed, enum fate_word word)
{
    if (observed->kind != OBSERVED_SEND)
        return false;
    switch (word) {
    case FATE_WORD_LOST: return !frame_fate_travels(observed->send.fate);
    case FATE_WORD_DUPLICATE: return observed->send.fate == FATE_DUPLICATE || observed->send.fate == FATE_LATE;
    case FATE_WORD_DELAYED: return observed->send.held_back;
    case FATE_WORD_DAMAGED: return observed->send.damaged;
    case FATE_WORDS: break;
    }
    return false;
}

static bool test_frame(const struct observed *observed, uint32_t name)
{
    const char *frame = "";
    if (observed->kind == OBSERVED_SEND)
        frame = describe_frame_name(observed->send.frame);
    if (observed->kind == OBSERVED_STEP
        && (observed->step_of.input->kind == INPUT_PEER_FRAME || observed->step_of.input->kind == INPUT_CLIENT_FRAME))
        frame = describe_frame_name(observed->step_of.input->bytes);
    return strcmp(frame, frame_names[name]) == 0;
}

static bool test_compare(const struct breakpoint_step *step, const struct observed *observed,
                         const struct replica *replica)
{
    struct replica_view view = { .term = 0 };
    if (step->what != OF_STEP && step->what != OF_TIME) {
        if (replica == NULL)
            return false;
        replica_inspect(replica, &view);
    }
    const uint64_t values[QUANTITIES] = {
        [OF_TERM] = view.term,       [OF_COMMIT] = view.commit,   [OF_APPLIED] = view.applied,
        [OF_LAST] = view.last.index, [OF_BASE] = view.base.index, [OF_DURABLE] = view.durable_index,
        [OF_KEYS] = view.keys,       [OF_STEP] = observed->step,  [OF_TIME] = observed->time_ns,
    };
    const uint64_t value = values[step->what];
    switch ((enum relation)step->relation) {
    case REL_EQUAL: return value == step->value;
    case REL_NOT_EQUAL: return value != step->value;
    case REL_LESS: return value < step->value;
    case REL_AT_MOST: return value <= step->value;
    case REL_MORE: return value > step->value;
    case REL_AT_LEAST: return value >= step->value;
    case RELATIONS: break;
    }
    return false;
}

static bool test(const struct breakpoint_step *step, const struct observed *observed, const struct replica *replica)
{
    switch ((enum step_kind)step->kind) {
    case STEP_ENDPOINT: return observed->who == step->what;
    case STEP_TO: return test_to(observed, step->what);
    case STEP_FROM: return observed->kind == OBSERVED_STEP && observed->step_of.from == step->what;
    case STEP_ROLE: return test_event(observed, EVENT_ROLE, step->what);
    case STEP_KIND: return observed->kind == (enum observed_kind)step->what;
    case STEP_FATE: return test_fate(observed, (enum fate_word)step->what);
    case STEP_FRAME: return test_frame(observed, step->what);
    case STEP_EVENT: return test_event(observed, (enum event_kind)step->what, UINT64_MAX);
    case STEP_FAULT: return observed->kind == OBSERVED_FAULT && observed->fault == (enum fault_kind)step->what;
    case STEP_COMPARE: return test_compare(step, observed, replica);
    case STEP_AND:
    case STEP_OR:
    case STEP_NOT: break;
    }
    UNREACHABLE();
}

bool breakpoint_holds(const struct breakpoint *breakpoint, const struct observed *observed,
                      const struct replica *replica)
{
    bool stack[BREAKPOINT_STEPS_MAX] = { false };
    uint32_t top = 0;
    for (uint32_t i = 0; i < breakpoint->count; i++) {
        const struct breakpoint_step *step = &breakpoint->steps[i];
        if (step->kind == STEP_NOT) {
            stack[top - 1] = !stack[top - 1];
        } else if (step->kind == STEP_AND || step->kind == STEP_OR) {
            top--;
            stack[top - 1] = step->kind == STEP_AND ? stack[top - 1] && stack[top] : stack[top - 1] || stack[top];
        } else {
            stack[top++] = test(step, observed, replica);
        }
    }
    return top == 1 && stack[0];
}

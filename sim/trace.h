/* What a schedule decided: a header with its parameters, and the choices that were not tame, addressed by meaning. Or
 * what the explorer did: its bounds, and its actions.
 *
 * A decision is about a subject (choose.h): "this frame of that link", "this write of that node". It has a head site
 * and arguments, each a value that differs from the tame one; a site that chooses several times about one subject
 * numbers its choices. Decisions lie in the order in which they were made. The text is described in
 * ../traces/README.md.
 *
 * A trace owns its memory, which grows; `lost` says that it could not. */
#ifndef WW_TRACE_H
#define WW_TRACE_H

#include <stdio.h>

#include "explore_bounds.h"
#include "swarm.h"

enum { TRACE_VERSION = 2, TRACE_DECISIONS_MAX = 1 << 20, TRACE_TEXT_MAX = 256, TRACE_ACTION_MAX = 120 };
#define TRACE_NONE UINT32_MAX

struct trace_argument {
    uint64_t value;
    uint16_t site;
    uint16_t repetition;
    uint32_t next; /* one more than its index; 0: the last */
};

struct decision {
    uint64_t time_ns;
    uint64_t ordinal; /* of the subject; strikes and changes: the time */
    uint32_t arguments;
    uint16_t head;
    uint16_t who;
    uint8_t class;
    uint8_t part;
};

/* Of the explorer, as explore.h writes it. */
struct trace_action {
    char text[TRACE_ACTION_MAX];
    uint32_t line; /* of the file; 0: it comes from none */
};

/* How the life ended. */
struct trace_ending {
    char outcome[24];
    char checker[40]; /* empty: passed */
    char invariant[TRACE_TEXT_MAX];
    char text[TRACE_TEXT_MAX];
    uint64_t steps;
    uint64_t digest;
    bool digested; /* steps and digest are known */
};

struct trace {
    bool lost;
    uint64_t build; /* that wrote it; 0: not known */
    struct swarm swarm;
    struct decision *decisions;
    struct trace_argument *arguments;
    uint32_t *table; /* of decisions by their address; one more than the index */
    uint16_t *digests;
    uint32_t count, capacity;
    uint32_t argument_count, argument_capacity;
    uint32_t table_size; /* a power of two */
    uint32_t digest_count, digest_capacity;
    bool explored; /* it has bounds and actions, and nothing of the above but the build */
    struct explore_bounds bounds;
    struct trace_action *actions;
    uint32_t action_count, action_capacity;
    struct trace_ending ending;
    char note[TRACE_TEXT_MAX]; /* what it is for; empty: nothing is said */
};

/* All zeros is an empty trace. */
void trace_clear(struct trace *trace);
void trace_free(struct trace *trace);
/* Whole, without the step digests: those are of one life. */
bool trace_copy(struct trace *to, const struct trace *from);

/* The decision of that address, TRACE_NONE if there is none. */
uint32_t trace_find(const struct trace *trace, const struct decision *address);
/* A value about it; makes the decision when it is the first. False: no memory, or too many. */
bool trace_add(struct trace *trace, const struct decision *address, enum choose_site site, uint32_t repetition,
               uint64_t value);
/* The decision is taken over from another trace. */
bool trace_take(struct trace *trace, const struct trace *from, uint32_t index);
/* NULL when it says nothing about that choice. */
const struct trace_argument *trace_argument(const struct trace *trace, uint32_t index, enum choose_site site,
                                            uint32_t repetition);
/* Strikes and changes: to another time. */
void trace_move(struct trace *trace, uint32_t index, uint64_t time_ns);
bool trace_add_digest(struct trace *trace, uint64_t digest);
/* False: no memory, or too long, or too many. */
bool trace_add_action(struct trace *trace, const char *text, size_t bytes, uint32_t line);

/* ---- trace_words.c: names ---- */

enum trace_unit {
    UNIT_NUMBER,
    UNIT_FLAG,
    UNIT_TIME,
    UNIT_WHEN, /* the time of the decision itself */
    UNIT_NODE, /* 0: whoever leads; one more than the slot */
    UNIT_SET,
    UNIT_WRITE,
    UNIT_SURVIVAL,
    UNIT_ZONE,
    UNIT_THREAD,
    UNIT_REQUEST,
    UNIT_MEMBER,
    UNIT_OUTSIDER,
    TRACE_UNITS,
};

struct site_words {
    enum choose_subject subject;
    enum choose_site head;
    enum trace_unit unit;
    const char *text;
};
extern const struct site_words site_words[SITES];

/* Of words that stand for values, the one for `value`; NULL: none does. */
const char *trace_word(enum trace_unit unit, uint64_t value);
bool trace_word_value(enum trace_unit unit, const char *word, size_t bytes, uint64_t *value);
const char *trace_class_text(uint32_t class); /* NULL: no such class */
const char *nemesis_text(enum nemesis_kind kind);

/* ---- trace_text.c, trace_parse.c ---- */

enum trace_style { TRACE_WHOLE, TRACE_BRIEF /* without step digests */ };
void trace_print(const struct trace *trace, FILE *file, enum trace_style style);
void trace_print_decision(const struct trace *trace, uint32_t index, FILE *file);
/* The format of a failure's text with a star for each value: what all failures of this kind have in common. */
void trace_invariant(const char *format, char to[TRACE_TEXT_MAX]);
/* Reads a text of any bytes. False: *line, counted from 1, and *cause say what is wrong. */
bool trace_parse(struct trace *trace, const char *text, size_t bytes, uint32_t *line, const char **cause);

#endif

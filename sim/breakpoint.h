/* Where a replay is to stop: an expression over what an observer is told. README.md has the grammar.
 *
 *   expression = term {"or" term}        term = factor {["and"] factor}
 *   factor     = "not" factor | "(" expression ")" | word | ("to" | "from") endpoint
 *              | quantity relation number
 *
 * Compiled once into a postfix program; the words are the names that the log uses. */
#ifndef WW_BREAKPOINT_H
#define WW_BREAKPOINT_H

#include "observe.h"

enum { BREAKPOINT_STEPS_MAX = 64, BREAKPOINT_DEPTH_MAX = 16, BREAKPOINT_ERROR_BYTES = 160 };

struct breakpoint_step {
    uint8_t kind;     /* private */
    uint8_t relation; /* comparisons */
    uint16_t what;    /* enum of that kind, endpoint, quantity */
    uint64_t value;
};

struct breakpoint {
    uint32_t count; /* 0: never */
    struct breakpoint_step steps[BREAKPOINT_STEPS_MAX];
};

struct breakpoint_error {
    uint32_t column; /* from 1 */
    char text[BREAKPOINT_ERROR_BYTES];
};

/* False: error says where and why. */
bool breakpoint_parse(struct breakpoint *breakpoint, const char *text, struct breakpoint_error *error);

/* replica: of the node that it happens to; NULL: none, or it has not been seen yet. */
bool breakpoint_holds(const struct breakpoint *breakpoint, const struct observed *observed,
                      const struct replica *replica);

/* A time with its unit: "5765436429ns", "20us", "150ms", "3s". False: it is none, or too large. */
bool breakpoint_time(const char *text, uint64_t *ns);

#endif

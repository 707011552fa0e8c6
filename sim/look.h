/* What `raftsim replay` shows of a life besides its end: a log, a html, the state of a node, all of it or until some
 * point.
 *
 * The same for lives from seeds, from traces and from scripts, and for recordings of real nodes: begin, give the
 * observer to whoever lives it, end. */
#ifndef WW_LOOK_H
#define WW_LOOK_H

#include <stdio.h>

#include "breakpoint.h"
#include "describe.h"
#include "html.h"
#include "transcript.h"

enum { LOOK_ERROR_BYTES = 512 };

/* As given on a command line; NULL: not given. */
struct look_options {
    bool log;             /* one line per event, to `out` */
    const char *until;    /* a step, or a time with its unit: nothing behind it is shown */
    const char *break_at; /* an expression (breakpoint.h): nothing behind the step for which it holds first is shown */
    const char *state;    /* "n2": the node's state at the end of what is shown */
    const char *html;     /* a file: the page of what is shown */
    FILE *out;
};

/* Knows until when. The first of a group: it has had enough before the others see what is too late. */
struct look_limit {
    struct observer observer;
    struct breakpoint breakpoint;
    bool broken;
    uint64_t broken_ns;
    uint64_t step_max; /* shown; UINT64_MAX: all */
    uint64_t until_ns;
    uint64_t step; /* the last one shown */
    uint64_t time_ns;
    uint32_t state_node; /* ENDPOINTS: not asked for */
    bool state_up;
    const struct replica *replicas[VOTERS_MAX];
    struct fields state;
};

struct look {
    struct look_options options;
    struct observer_group group;
    struct look_limit limit;
    struct transcript transcript;
    struct html *html;
    FILE *page; /* NULL: none is wanted */
};

/* Opens the file of the page. False: some option is wrong, and error says how, beginning with its name. */
bool look_begin(struct look *look, const struct look_options *options, char error[LOOK_ERROR_BYTES]);
/* NULL: nobody looks. */
struct observer *look_observer(struct look *look);
/* Did it end before the life did? Then the life has no verdict. */
bool look_stopped(const struct look *look);
/* Says where and why it stopped, prints the state that was asked for, and writes the page. title: what this life is, in
 * one line. False: that node has no state, or the page cannot be written; said on standard error. */
bool look_end(struct look *look, const char *title);

#endif

/* Reads the lines that results.h describes. Each takes a whole line; false: it is not such a line, or incomplete. */
#ifndef WW_RESULTS_READ_H
#define WW_RESULTS_READ_H

#include "results.h"

enum results_line { RESULTS_LINE_RUN, RESULTS_LINE_FAILURE, RESULTS_LINE_TOTALS, RESULTS_LINE_OTHER };
/* What a line is by its "type"; OTHER: none of these, perhaps cut off. */
enum results_line results_line_kind(const char *line);

struct results_failure {
    uint64_t seed;
    uint64_t step;
    enum outcome outcome;
    char checker[40];
    char text[256];
    char trace[512];
};

/* *format: its version; when it is another one than RESULTS_FORMAT, the rest is not read. */
bool results_read_run(const char *line, struct results_run *run, uint64_t *format);
bool results_read_failure(const char *line, struct results_failure *failure);
bool results_read_totals(const char *line, struct results_totals *totals);

#endif

/* What a program has printed, when it ends. */
#ifndef WW_OUTPUT_H
#define WW_OUTPUT_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* False: not all of it was written, which is said on standard error. */
static inline bool output_flush(const char *program)
{
    const bool failed_before = ferror(stdout) != 0;
    if (fflush(stdout) == 0 && !failed_before)
        return true;
    fprintf(stderr, "%s: standard output: %s\n", program, errno != 0 ? strerror(errno) : "cannot be written");
    return false;
}

#endif

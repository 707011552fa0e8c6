/* Scenarios: a small text language over a simulated cluster, one file each, whose transcript is blessed.
 *
 * A scenario says all that happens. Links deliver in order, disks answer, and everything that follows from a line is
 * over before the next line begins; time stands still unless a line lets it pass. So a file reads like a figure of the
 * Raft paper. The checkers of the simulator watch every step, the liveness phase follows the last line, and the history
 * that the clients saw is searched for a linearization.
 *
 * The language is described in README.md. What is checked besides its expectations is the transcript: for each line
 * what the nodes did, as typed events, of the kinds that the file asks to see.
 *
 *   scenario.c          the lines of a file, one after the other
 *   scenario_words.c    words, numbers, sets of nodes, errors
 *   scenario_setup.c    what stands before the first step: nodes, limits
 *   scenario_link.c     partitions, frames that are dropped, held, released
 *   scenario_client.c   calls and their answers
 *   scenario_members.c  changes of the members
 *   scenario_fault.c    crashes, disks, damage, clocks
 *   scenario_expect.c   expectations
 *   scenario_show.c     the transcript
 *   scenario_file.c     the file: its script, its transcript, and blessing */
#ifndef WW_SCENARIO_H
#define WW_SCENARIO_H

#include <stdio.h>

#include "world.h"

enum { SCENARIO_TEXT_MAX = 256 * 1024 };

struct scenario_result {
    bool passed;
    uint32_t line;   /* that is wrong, or whose expectation does not hold; 0: none */
    char error[512]; /* why; a sentence */
    const char *transcript;
};

struct scenario;
/* NULL when memory runs out. */
struct scenario *scenario_new(void);
void scenario_free(struct scenario *scenario);

/* Lives through the script, lines separated by newlines. observer: NULL, nobody looks. The result's transcript
 * is the scenario's, until its next run. */
void scenario_run(struct scenario *scenario, const char *script, struct observer *observer,
                  struct scenario_result *result);

/* ---- scenario_file.c ---- */

enum scenario_verdict {
    SCENARIO_PASSED,
    SCENARIO_FAILED,  /* an expectation, a checker, or the transcript */
    SCENARIO_BLESSED, /* the transcript was written anew */
    SCENARIO_NO_FILE, /* it cannot be read or written */
};

/* Runs the file at `path`. Says what is wrong on standard error, as FILE:LINE: text. */
enum scenario_verdict scenario_file(struct scenario *scenario, const char *path, bool bless, struct observer *observer);

#endif

/* raftsim: what its files share. raftsim.c reads the command line, raftsim_run.c runs campaigns, raftsim_merge.c adds
 * up what they wrote, raftsim_bench.c measures, raftsim_trace.c is for traces, raftsim_explore.c searches. */
#ifndef WW_RAFTSIM_H
#define WW_RAFTSIM_H

#include "../sim/campaign.h"
#include "../sim/look.h"
#include "../sim/results.h"
#include "../sim/trace_command.h"

enum exit_code {
    EXIT_OK = 0,
    EXIT_INTERNAL = 1, /* no memory, no process, no file */
    EXIT_USAGE = 2,
    EXIT_SAFETY = 3,
    EXIT_LINEARIZABILITY = 4,
    EXIT_LIVENESS = 5,
    EXIT_CRASH = 6,
    EXIT_VACUOUS = 7,
    EXIT_DIFFERS = 8, /* from what was recorded, or what a trace says */
    EXIT_PASSED = 9,  /* what was to be shrunk */
    EXIT_INTERRUPTED = 130,
};

enum { SECONDS_MAX = 31536000 };

struct options {
    uint64_t seed;
    uint64_t count;   /* 0: not given */
    uint64_t seconds; /* 0: as long as it takes */
    uint64_t hang_seconds;
    uint64_t shard;
    uint64_t shards;
    uint32_t jobs;
    enum profile profile;
    bool json;
    bool keep_going;
    bool quiet;
    const char *trace_dir;
    struct look_options look;
    uint64_t inputs;           /* 0: as drawn */
    const char *jsonl;         /* NULL: none */
    const char *html;          /* NULL: none */
    char commit[COMMIT_BYTES]; /* "": to be found */
    bool seed_git;
    const char *target; /* replay: seed or file */
    bool profile_given;
    bool bless;
    enum trace_mode mode;
    const char *output; /* NULL: not given */
    bool no_shrink;
    char **files; /* scenario, merge */
    int file_count;
};

extern const char *raftsim_program; /* as it was called, for commands to copy */

enum exit_code exit_code_of(enum outcome outcome);
/* Decimal, or hexadecimal behind 0x. False: anything else. */
bool raftsim_parse_number(const char *text, uint64_t *number);
/* From now on the first SIGINT or SIGTERM ends nothing; it is noted. */
void raftsim_note_interrupts(void);
bool raftsim_interrupted(void);
/* Asked before work that may take hours. Nothing is created: there may be nothing to write. False: the user knows. */
bool raftsim_can_write(const char *option, const char *path);
/* Which build this is: the hash of the program itself. */
uint64_t build_id(void);

/* The commands; each gives its exit code. */
int raftsim_run(struct options *options);
int raftsim_merge(const struct options *options);
int raftsim_bench(const struct options *options);
int raftsim_replay_file(const struct options *options, struct look *look); /* look: begun */
int raftsim_trace(const struct options *options);
int raftsim_shrink(const struct options *options);
/* Writes the trace of a failed schedule, and a small one if wanted, and tells the user. */
void raftsim_trace_failure(const struct options *options, const struct campaign_failure *failure, const char *path,
                           bool small);
/* Which world lives now, NULL: none; for failed assertions. */
void raftsim_watch(struct world *world);
int raftsim_explore(int argc, char **argv); /* argv[0] is "explore"; it has options of its own */
/* Of many schedules, whoever ran them: a line about them, and of many what is covered; and the exit code that they
 * deserve, with a word about what never happened. first: how the first failure ended, NULL: there was none. */
void raftsim_summary(const struct results_totals *totals);
int raftsim_judge(enum profile profile, const struct results_totals *totals, const enum outcome *first);

#endif

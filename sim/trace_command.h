/* What raftsim does with traces: the commands behind its options, with their words. Errors are told on standard error.
 */
#ifndef WW_TRACE_COMMAND_H
#define WW_TRACE_COMMAND_H

#include "campaign.h"
#include "look.h"
#include "shrink.h"
#include "trace_run.h"

enum trace_verdict {
    VERDICT_LIVED,     /* to its end: the outcome counts */
    VERDICT_SEEN,      /* as far as was asked for */
    VERDICT_DIFFERENT, /* from what the trace says */
    VERDICT_PASSED,    /* nothing failed, so there is nothing to shrink */
    VERDICT_USAGE,
    VERDICT_INTERNAL,
};

enum trace_mode { MODE_BY_BUILD, MODE_STRICT, MODE_LENIENT };

struct trace_command {
    const char *path;
    uint64_t build; /* this one */
    enum trace_mode mode;
    bool quiet;
    struct look *look;                  /* begun */
    void (*watch)(struct world *world); /* told of the world that lives */
};

/* Lives the trace in the file. *outcome means something when it was lived to its end. */
enum trace_verdict trace_command_replay(const struct trace_command *command, enum outcome *outcome);
/* Shrinks the trace in `from`, or, if that is NULL, the life of the seed, into the file. *report means something when
 * it was shrunk. */
enum trace_verdict trace_command_shrink(const struct trace_command *command, const char *from, uint64_t seed,
                                        enum profile profile, const struct shrink_options *options,
                                        struct shrink_report *report);
/* Writes what a seed decides into the file. */
enum trace_verdict trace_command_record(const struct trace_command *command, uint64_t seed, enum profile profile);

#endif

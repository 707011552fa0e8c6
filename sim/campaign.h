/* Many lives: worker processes that take seeds one by one, and survive nothing; the parent survives them.
 *
 * Schedule n of a campaign has the seed first + n whoever runs it, so that results do not depend on the number of
 * workers, nor on that of shards: with several of these, machines that know nothing of each other, shard i runs the
 * schedules n with n % shards = i. A failing schedule stops the dealing of later ones (unless all failures are wanted);
 * earlier ones are finished, so that the failure with the lowest number is found. A worker that dies is a failure of
 * its schedule. */
#ifndef WW_CAMPAIGN_H
#define WW_CAMPAIGN_H

#include "coverage.h"
#include "world.h"

enum outcome {
    OUTCOME_PASSED,
    OUTCOME_UNSAFE,
    OUTCOME_NOT_LINEARIZABLE,
    OUTCOME_STUCK,   /* liveness */
    OUTCOME_CRASHED, /* an assertion, a signal, or no end */
};
const char *outcome_text(enum outcome outcome);
enum outcome outcome_of(const struct check_failure *failure);

struct campaign_options {
    uint64_t seed;
    uint64_t count;  /* of all shards */
    uint64_t shard;  /* below shards */
    uint64_t shards; /* 0 counts as 1 */
    uint32_t jobs;
    enum profile profile;
    bool keep_going;
    uint64_t hang_ms; /* a schedule that takes longer is killed */
};

struct campaign_failure {
    uint64_t number; /* of the schedule; its seed is options.seed + number */
    uint64_t step;
    uint64_t digest;
    uint32_t node; /* UINT32_MAX: none */
    enum outcome outcome;
    char checker[40];
    char text[256];
};

enum { CAMPAIGN_JOBS_MAX = 64, CAMPAIGN_FAILURES_MAX = 256 };

struct campaign_progress {
    uint64_t done;
    uint64_t failures; /* may be more than are kept */
    uint64_t dealt;    /* schedules of this shard that were begun */
    bool over;
};

struct campaign;
/* NULL, and errno, when there is no memory or no process to be had. */
struct campaign *campaign_start(const struct campaign_options *options);
/* Looks after the workers: reaps, replaces. now_ms: any monotone clock. */
void campaign_poll(struct campaign *campaign, uint64_t now_ms, struct campaign_progress *progress);
/* Deals no further schedules; those that run are finished. */
void campaign_stop(struct campaign *campaign);
/* When over: the sum of all counters; the failures kept, in order of their numbers. */
void campaign_coverage(const struct campaign *campaign, struct coverage *sum);
void campaign_census(const struct campaign *campaign, struct census *sum);
uint32_t campaign_failures(struct campaign *campaign, const struct campaign_failure **failures);
void campaign_free(struct campaign *campaign);

/* In a worker, by the hook for failed assertions: leaves word for the parent. False outside of workers. */
bool campaign_report_assertion(const char *text);

/* One schedule in 100 is searched for linearizability by black box. */
bool campaign_searches(uint64_t seed);

#endif

/* Worker processes over shared memory. The only file of the simulator that talks to the system, and it takes part in no
 * decision: a schedule is a function of its seed. */
#define _DEFAULT_SOURCE
#include "campaign.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../core/prng.h"

struct campaign_worker {
    pid_t pid;            /* 0: none */
    uint64_t seen_number; /* by the parent, for hangs */
    uint64_t seen_ms;
    bool hung;
    _Atomic uint64_t number; /* of the schedule that runs; UINT64_MAX: none */
    _Atomic uint64_t done;
    _Atomic uint64_t failures;
    struct coverage coverage;
    struct census census;
    struct campaign_failure kept[CAMPAIGN_FAILURES_MAX];
    char assertion[256];
};

/* Lives in shared memory. */
struct campaign {
    struct campaign_options options;
    _Atomic uint64_t next; /* the schedule of this shard to deal next: 0, 1, 2... */
    _Atomic uint64_t end;  /* no schedule from this number on is dealt */
    _Atomic uint64_t dealt;
    struct campaign_failure all[CAMPAIGN_JOBS_MAX * CAMPAIGN_FAILURES_MAX];
    struct campaign_worker workers[CAMPAIGN_JOBS_MAX];
};

static struct campaign_worker *campaign_self; /* in a worker */

const char *outcome_text(enum outcome outcome)
{
    switch (outcome) {
    case OUTCOME_PASSED: return "passed";
    case OUTCOME_UNSAFE: return "safety";
    case OUTCOME_NOT_LINEARIZABLE: return "linearizability";
    case OUTCOME_STUCK: return "liveness";
    case OUTCOME_CRASHED: return "crash";
    }
    UNREACHABLE();
}

enum outcome outcome_of(const struct check_failure *failure)
{
    if (failure == NULL || !failure->failed)
        return OUTCOME_PASSED;
    if (failure->kind == CHECK_LIVENESS)
        return OUTCOME_STUCK;
    const bool visible = failure->kind == CHECK_READ || failure->kind == CHECK_WRITE || failure->kind == CHECK_LINEAR;
    return visible ? OUTCOME_NOT_LINEARIZABLE : OUTCOME_UNSAFE;
}

bool campaign_searches(uint64_t seed) { return prng_mix(&seed) % 100 == 0; }

static void campaign_keep(struct campaign *campaign, struct campaign_worker *worker,
                          const struct campaign_failure *failure)
{
    const uint64_t kept = atomic_load(&worker->failures);
    if (kept < CAMPAIGN_FAILURES_MAX)
        worker->kept[kept] = *failure;
    atomic_store(&worker->failures, kept + 1);
    if (campaign->options.keep_going)
        return;
    uint64_t end = atomic_load(&campaign->end);
    while (failure->number < end && !atomic_compare_exchange_weak(&campaign->end, &end, failure->number))
        continue;
}

static void campaign_run_one(struct campaign *campaign, struct campaign_worker *worker, struct world *world,
                             uint64_t number)
{
    const struct world_options options = {
        .seed = campaign->options.seed + number,
        .profile = campaign->options.profile,
        .search = campaign_searches(campaign->options.seed + number),
        .signature = signature_samples(campaign->options.seed + number),
    };
    struct world_result result;
    if (!world_run(world, &options, &result)) {
        campaign_report_assertion("out of memory");
        _exit(1);
    }
    coverage_add(&worker->coverage, &world->scene.coverage);
    census_count(&worker->census, &world->signature);
    if (result.failure == NULL)
        return;
    struct campaign_failure failure = {
        .number = number,
        .step = result.failure->step,
        .digest = result.digest,
        .node = result.failure->node,
        .outcome = outcome_of(result.failure),
    };
    snprintf(failure.checker, sizeof failure.checker, "%s", check_kind_text(result.failure->kind));
    snprintf(failure.text, sizeof failure.text, "%s", result.failure->text);
    campaign_keep(campaign, worker, &failure);
}

/* Number of the n-th schedule of this shard. */
static uint64_t campaign_number(const struct campaign *campaign, uint64_t n)
{
    return n * campaign->options.shards + campaign->options.shard;
}

/* Ends with its parent, which may be gone before this begins. */
_Noreturn static void campaign_work(struct campaign *campaign, struct campaign_worker *worker, pid_t parent)
{
    signal(SIGINT, SIG_IGN);
    campaign_self = worker;
    struct world *world = world_new();
    if (world == NULL) {
        campaign_report_assertion("out of memory");
        _exit(1);
    }
    while (getppid() == parent) {
        const uint64_t number = campaign_number(campaign, atomic_fetch_add(&campaign->next, 1));
        if (number >= atomic_load(&campaign->end))
            break;
        atomic_fetch_add(&campaign->dealt, 1);
        atomic_store(&worker->number, number);
        campaign_run_one(campaign, worker, world, number);
        atomic_store(&worker->number, UINT64_MAX);
        atomic_fetch_add(&worker->done, 1);
    }
    world_free(world);
    _exit(0);
}

static bool campaign_fork(struct campaign *campaign, struct campaign_worker *worker)
{
    atomic_store(&worker->number, UINT64_MAX);
    worker->seen_number = UINT64_MAX;
    worker->hung = false;
    worker->assertion[0] = '\0';
    fflush(NULL);
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid == 0)
        campaign_work(campaign, worker, parent);
    worker->pid = pid > 0 ? pid : 0;
    return pid > 0;
}

struct campaign *campaign_start(const struct campaign_options *options)
{
    ASSERT(options->jobs > 0);
    ASSERT(options->jobs <= CAMPAIGN_JOBS_MAX);
    struct campaign *campaign = mmap(NULL, sizeof *campaign, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (campaign == MAP_FAILED)
        return NULL;
    campaign->options = *options;
    campaign->options.shards = u64_max(options->shards, 1);
    ASSERT(options->shard < campaign->options.shards);
    atomic_store(&campaign->end, options->count);
    uint32_t started = 0;
    for (uint32_t i = 0; i < options->jobs; i++)
        started += campaign_fork(campaign, &campaign->workers[i]);
    if (started > 0)
        return campaign;
    const int error = errno;
    campaign_free(campaign);
    errno = error;
    return NULL;
}

static void campaign_bury(struct campaign *campaign, struct campaign_worker *worker, int status)
{
    const uint64_t number = atomic_load(&worker->number);
    worker->pid = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return;
    struct campaign_failure failure = { .number = number, .node = UINT32_MAX, .outcome = OUTCOME_CRASHED };
    snprintf(failure.checker, sizeof failure.checker, "%s",
             worker->hung                   ? "hang"
             : worker->assertion[0] != '\0' ? "assertion"
                                            : "signal");
    if (worker->hung)
        snprintf(failure.text, sizeof failure.text, "no end after %llu ms; killed",
                 (unsigned long long)campaign->options.hang_ms);
    else if (worker->assertion[0] != '\0')
        snprintf(failure.text, sizeof failure.text, "%s", worker->assertion);
    else if (WIFSIGNALED(status))
        snprintf(failure.text, sizeof failure.text, "the worker was ended by signal %d", WTERMSIG(status));
    else
        snprintf(failure.text, sizeof failure.text, "the worker ended itself with status %d", WEXITSTATUS(status));
    if (number == UINT64_MAX)
        failure.number = campaign_number(campaign, atomic_load(&campaign->next));
    campaign_keep(campaign, worker, &failure);
    atomic_fetch_add(&worker->done, 1);
    if (campaign_number(campaign, atomic_load(&campaign->next)) < atomic_load(&campaign->end))
        campaign_fork(campaign, worker);
}

static void campaign_watch(struct campaign *campaign, struct campaign_worker *worker, uint64_t now_ms)
{
    const uint64_t number = atomic_load(&worker->number);
    if (number != worker->seen_number || number == UINT64_MAX) {
        worker->seen_number = number;
        worker->seen_ms = now_ms;
    }
    if (worker->hung || now_ms - worker->seen_ms < campaign->options.hang_ms)
        return;
    worker->hung = true;
    kill(worker->pid, SIGKILL);
}

void campaign_poll(struct campaign *campaign, uint64_t now_ms, struct campaign_progress *progress)
{
    *progress = (struct campaign_progress){ .over = true, .dealt = atomic_load(&campaign->dealt) };
    for (uint32_t i = 0; i < campaign->options.jobs; i++) {
        struct campaign_worker *worker = &campaign->workers[i];
        int status;
        if (worker->pid != 0 && waitpid(worker->pid, &status, WNOHANG) == worker->pid)
            campaign_bury(campaign, worker, status);
        if (worker->pid != 0)
            campaign_watch(campaign, worker, now_ms);
        progress->over &= worker->pid == 0;
        progress->done += atomic_load(&worker->done);
        progress->failures += atomic_load(&worker->failures);
    }
}

void campaign_stop(struct campaign *campaign) { atomic_store(&campaign->end, 0); }

void campaign_coverage(const struct campaign *campaign, struct coverage *sum)
{
    coverage_reset(sum);
    for (uint32_t i = 0; i < campaign->options.jobs; i++)
        coverage_add(sum, &campaign->workers[i].coverage);
}

void campaign_census(const struct campaign *campaign, struct census *sum)
{
    memset(sum, 0, sizeof *sum);
    for (uint32_t i = 0; i < campaign->options.jobs; i++)
        census_add(sum, &campaign->workers[i].census);
}

static int campaign_compare(const void *a, const void *b)
{
    const struct campaign_failure *first = a;
    const struct campaign_failure *second = b;
    return (first->number > second->number) - (first->number < second->number);
}

uint32_t campaign_failures(struct campaign *campaign, const struct campaign_failure **failures)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < campaign->options.jobs; i++) {
        const struct campaign_worker *worker = &campaign->workers[i];
        for (uint64_t k = 0; k < u64_min(atomic_load(&worker->failures), CAMPAIGN_FAILURES_MAX); k++)
            campaign->all[count++] = worker->kept[k];
    }
    qsort(campaign->all, count, sizeof campaign->all[0], campaign_compare);
    *failures = campaign->all;
    return count;
}

void campaign_free(struct campaign *campaign) { munmap(campaign, sizeof *campaign); }

bool campaign_report_assertion(const char *text)
{
    if (campaign_self == NULL)
        return false;
    snprintf(campaign_self->assertion, sizeof campaign_self->assertion, "%s", text);
    return true;
}

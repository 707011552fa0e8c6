/* Writes results as JSON lines. */
#include "results.h"

#include <inttypes.h>

static const char *text_of_fault(uint32_t kind) { return fault_kind_text((enum fault_kind)kind); }
static const char *text_of_check(uint32_t kind) { return check_kind_text((enum check_kind)kind); }
static const char *text_of_demand(uint32_t kind)
{
    return demand_text((enum liveness_world)(kind / LIVENESS_DEMANDS), (enum liveness_demand)(kind % LIVENESS_DEMANDS));
}
static const char *text_of_event(uint32_t kind) { return event_kind_text((enum event_kind)kind); }
static const char *text_of_read(uint32_t kind) { return read_kind_text((enum read_kind)kind); }
static const char *text_of_reply(uint32_t kind) { return reply_status_text((enum reply_status)kind); }
static const char *text_of_verdict(uint32_t kind) { return frame_verdict_text((enum frame_verdict)kind); }

const struct results_group results_groups[RESULTS_GROUPS] = {
    { "faults", FAULT_KINDS, offsetof(struct coverage, fired), text_of_fault },
    { "faults_enabled", FAULT_KINDS, offsetof(struct coverage, enabled), text_of_fault },
    { "checks", CHECK_KINDS, offsetof(struct coverage, checks), text_of_check },
    { "liveness", LIVENESS_WORLDS *LIVENESS_DEMANDS, offsetof(struct coverage, demands), text_of_demand },
    { "events", EVENT_KINDS, offsetof(struct coverage, events), text_of_event },
    { "reads", READ_KINDS, offsetof(struct coverage, reads), text_of_read },
    { "replies", REPLY_STATUSES, offsetof(struct coverage, replies), text_of_reply },
    { "progress", PROGRESS_STATES, offsetof(struct coverage, progress), progress_text },
    { "refusals", FRAME_VERDICTS, offsetof(struct coverage, refusals), text_of_verdict },
};

const char *results_state_text(enum results_state state)
{
    switch (state) {
    case RESULTS_RUNNING: return "running";
    case RESULTS_FAILED: return "failed";
    case RESULTS_INTERRUPTED: return "interrupted";
    case RESULTS_COMPLETE: return "complete";
    }
    UNREACHABLE();
}

/* The state of several runs is that of the one that got least far. */
void results_add(struct results_totals *sum, const struct results_totals *part)
{
    sum->schedules += part->schedules;
    sum->failures += part->failures;
    sum->dealt += part->dealt;
    sum->jobs += part->jobs;
    sum->spent_ms = u64_max(sum->spent_ms, part->spent_ms);
    sum->worker_ms += part->worker_ms;
    if (part->state < sum->state)
        sum->state = part->state;
    coverage_add(&sum->coverage, &part->coverage);
    census_add(&sum->census, &part->census);
}

void results_write_text(FILE *file, const char *text)
{
    putc('"', file);
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\')
            fprintf(file, "\\%c", *at);
        else if ((unsigned char)*at < 0x20)
            fprintf(file, "\\u%04x", (unsigned)(unsigned char)*at);
        else
            putc(*at, file);
    }
    putc('"', file);
}

void results_write_run(FILE *file, const struct results_run *run)
{
    fprintf(file, "{\"type\":\"run\",\"format\":%d,\"build\":\"%016" PRIx64 "\",\"commit\":", RESULTS_FORMAT,
            run->build);
    results_write_text(file, run->commit);
    fprintf(file, ",\"profile\":\"%s\",\"seed\":%" PRIu64, profile_text(run->profile), run->seed);
    if (run->count != UINT64_MAX)
        fprintf(file, ",\"count\":%" PRIu64, run->count);
    fprintf(file, ",\"shard\":%" PRIu64 ",\"shards\":%" PRIu64 "}\n", run->shard, run->shards);
    fflush(file);
}

void results_put_failure(FILE *file, const struct results_run *run, const struct campaign_failure *failure,
                         const char *trace)
{
    fprintf(file,
            "{\"type\":\"failure\",\"seed\":%" PRIu64 ",\"outcome\":\"%s\",\"checker\":", run->seed + failure->number,
            outcome_text(failure->outcome));
    results_write_text(file, failure->checker);
    fprintf(file, ",\"step\":%" PRIu64, failure->step);
    if (failure->node != UINT32_MAX)
        fprintf(file, ",\"node\":%" PRIu32, failure->node);
    fprintf(file, ",\"digest\":\"%016" PRIx64 "\",\"text\":", failure->digest);
    results_write_text(file, failure->text);
    fputs(",\"trace\":", file);
    results_write_text(file, trace);
    putc('}', file);
}

void results_write_failure(FILE *file, const struct results_run *run, const struct campaign_failure *failure,
                           const char *trace)
{
    results_put_failure(file, run, failure, trace);
    putc('\n', file);
    fflush(file);
}

/* Decimal fractions without floating point: value / scale with two digits. */
static void write_ratio(FILE *file, const char *name, uint64_t value, uint64_t scale)
{
    const uint64_t hundredths = scale > 0 ? value * 100 / scale : 0;
    fprintf(file, ",\"%s\":%" PRIu64 ".%02" PRIu64, name, hundredths / 100, hundredths % 100);
}

static void write_estimate(FILE *file, const char *name, const struct sketch *sketch)
{
    const struct sketch_estimate estimate = sketch_estimate(sketch);
    fprintf(file,
            ",\"%s\":{\"kinds\":%" PRIu64 ",\"sightings\":%" PRIu64 ",\"once\":%" PRIu64 ",\"unseen\":0.%09" PRIu64 "}",
            name, estimate.kinds, sketch->sightings, estimate.once, u64_min(estimate.unseen, 999999999));
}

void results_write_counters(FILE *file, const struct results_totals *totals)
{
    struct coverage sum = totals->coverage;
    write_ratio(file, "seconds", totals->spent_ms, 1000);
    write_ratio(file, "schedules_per_second", totals->schedules * 1000, u64_max(totals->spent_ms, 1));
    write_ratio(file, "worker_seconds", totals->worker_ms, 1000);
    fprintf(file, ",\"inputs\":%" PRIu64, sum.inputs);
    write_ratio(file, "inputs_mean", sum.inputs, sum.schedules);
    write_ratio(file, "simulated_seconds", sum.simulated_ns / 1000000, 1000);
    fprintf(file, ",\"client_ops\":%" PRIu64 ",\"client_ops_answered\":%" PRIu64, sum.calls, sum.calls_answered);
    write_ratio(file, "client_ops_mean", sum.calls, sum.schedules);
    write_ratio(file, "nodes_mean", sum.nodes, sum.schedules);
    fprintf(file, ",\"untimed\":%" PRIu64 ",\"searched\":%" PRIu64 ",\"dropped\":%" PRIu64, sum.schedules_untimed,
            sum.schedules_searched, sum.dropped);
    fprintf(file, ",\"coverage\":{\"schedules\":%" PRIu64, totals->census.schedules);
    write_estimate(file, "states", &totals->census.states);
    write_estimate(file, "edges", &totals->census.edges);
    putc('}', file);
    for (uint32_t i = 0; i < RESULTS_GROUPS; i++) {
        const struct results_group *group = &results_groups[i];
        const uint64_t *counts = results_counters(&sum, group);
        fprintf(file, ",\"%s\":{", group->name);
        for (uint32_t kind = 0; kind < group->kinds; kind++)
            fprintf(file, "%s\"%s\":%" PRIu64, kind > 0 ? "," : "", group->text(kind), counts[kind]);
        putc('}', file);
    }
}

/* "SIGHTINGS HASH:SEEN HASH:SEEN ...", all in hexadecimal. */
static void write_sketch(FILE *file, const char *name, const struct sketch *sketch)
{
    fprintf(file, ",\"%s\":\"%" PRIx64, name, sketch->sightings);
    for (uint64_t i = 0; i < sketch->count; i++)
        fprintf(file, " %016" PRIx64 ":%" PRIx64, sketch->items[i].hash, sketch->items[i].seen);
    putc('"', file);
}

void results_write_totals(FILE *file, const struct results_totals *totals)
{
    const struct coverage *sum = &totals->coverage;
    fprintf(file, "{\"type\":\"totals\",\"state\":\"%s\",\"schedules\":%" PRIu64 ",\"failures\":%" PRIu64,
            results_state_text(totals->state), totals->schedules, totals->failures);
    fprintf(file, ",\"dealt\":%" PRIu64 ",\"jobs\":%" PRIu64 ",\"spent_ms\":%" PRIu64 ",\"worker_ms\":%" PRIu64,
            totals->dealt, totals->jobs, totals->spent_ms, totals->worker_ms);
    fprintf(file, ",\"counted\":%" PRIu64 ",\"simulated_ns\":%" PRIu64 ",\"nodes\":%" PRIu64 ",\"looked_at\":%" PRIu64,
            sum->schedules, sum->simulated_ns, sum->nodes, totals->census.schedules);
    results_write_counters(file, totals);
    write_sketch(file, "states_sketch", &totals->census.states);
    write_sketch(file, "edges_sketch", &totals->census.edges);
    fputs("}\n", file);
    fflush(file);
}

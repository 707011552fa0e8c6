/* The results of runs as a page: one file, no script, nothing from a network. Light or dark as the reader prefers. */
#define _DEFAULT_SOURCE
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "merge.h"

enum { PATH_BYTES = 4096, FAILURES_SHOWN = 200 };

static const char style[] =
    ":root{color-scheme:light dark;--ink:#1b2530;--paper:#fbfcfd;--card:#fff;--line:#d9e0e6;--soft:#5c6b79;"
    "--bar:#7fb2d9;--good:#1d7f4e;--bad:#b3261e;--link:#0b62a4}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e4eaf0;--paper:#12181e;--card:#1a222a;--line:#33404c;"
    "--soft:#93a3b1;--bar:#35668c;--good:#57c48b;--bad:#ff8a80;--link:#79bdf2}}\n"
    "body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:70rem;"
    "margin:2rem auto;padding:0 1rem}\n"
    "h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2.2rem 0 .6rem}p{margin:.3rem 0;color:var(--soft)}\n"
    "code,td.n,.tile b{font-variant-numeric:tabular-nums}a{color:var(--link)}\n"
    ".verdict{display:inline-block;padding:.1rem .7rem;border-radius:1rem;color:var(--card);font-weight:600}\n"
    ".good{background:var(--good)}.bad{background:var(--bad)}\n"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(10.5rem,1fr));gap:.7rem;margin-top:1.2rem}\n"
    ".tile{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.6rem .8rem}\n"
    ".tile b{display:block;font-size:1.25rem}.tile span{color:var(--soft);font-size:.85rem}\n"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;background:var(--card)}\n"
    "th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}\n"
    "th{color:var(--soft);font-weight:600;font-size:.85rem}td.n,th.n{text-align:right;white-space:nowrap}\n"
    "tr.zero td{color:var(--soft)}tr.failed td{color:var(--bad)}\n"
    ".bar{background:var(--bar);height:.7rem;border-radius:.2rem;min-width:1px;margin-top:.4rem}td.b{width:35%}\n"
    "details{margin:.6rem 0}summary{cursor:pointer;font-weight:600}\n"
    "svg{width:100%;height:auto;background:var(--card);border:1px solid var(--line);border-radius:.5rem}\n"
    "svg text{fill:var(--soft);font-size:11px}polyline{fill:none;stroke:var(--link);stroke-width:2}\n"
    "circle{fill:var(--link)}.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(20rem,1fr));gap:.7rem}"
    "\n";

static void put_text(FILE *file, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '<': fputs("&lt;", file); break;
        case '>': fputs("&gt;", file); break;
        case '&': fputs("&amp;", file); break;
        case '"': fputs("&quot;", file); break;
        default: putc((unsigned char)*text < 0x20 ? ' ' : *text, file);
        }
    }
}

/* 1234567 as 1 234 567, with narrow blanks that do not break. */
static void put_number(FILE *file, uint64_t number)
{
    char digits[24];
    const int count = snprintf(digits, sizeof digits, "%" PRIu64, number);
    for (int i = 0; i < count; i++)
        fprintf(file, "%s%c", i > 0 && (count - i) % 3 == 0 ? "&#8239;" : "", digits[i]);
}

static void put_cell(FILE *file, uint64_t number)
{
    fputs("<td class=n>", file);
    put_number(file, number);
    fputs("</td>", file);
}

/* Parts in 10^9 as a percentage of three digits. */
static void put_share(FILE *file, uint64_t parts)
{
    fprintf(file, "%" PRIu64 ".%03" PRIu64 "&#8239;%%", parts / 10000000, parts / 10000 % 1000);
}

static void put_commit(FILE *file, const char *commit)
{
    char shown[13];
    snprintf(shown, sizeof shown, "%.12s", commit[0] != '\0' ? commit : "unknown");
    fputs("<code>", file);
    put_text(file, shown);
    fputs("</code>", file);
}

static uint64_t rate(uint64_t count, uint64_t ms) { return ms > 0 ? count * 1000 / ms : 0; }

/* Schedules a second of all runs together, as if they ran at the same time. */
static uint64_t rate_of(const struct results_totals *totals)
{
    return rate(totals->schedules * totals->jobs, totals->worker_ms);
}

static void put_verdict(FILE *file, const struct merge_commit *commit)
{
    const struct results_totals *totals = &commit->totals;
    const char *gap = coverage_gap(&totals->coverage, commit->first->run.profile == PROFILE_MIXED);
    const bool whole = totals->state == RESULTS_COMPLETE;
    const bool passed = totals->failures == 0 && whole && commit->missing == 0 && gap == NULL;
    fprintf(file, "<p><span class=\"verdict %s\">", passed ? "good" : "bad");
    if (passed)
        fputs("passed", file);
    else if (totals->failures > 0)
        fprintf(file, "%" PRIu64 " failure%s", totals->failures, totals->failures == 1 ? "" : "s");
    else if (commit->missing > 0)
        fprintf(file, "%" PRIu64 " shard%s missing", commit->missing, commit->missing == 1 ? " is" : "s are");
    else if (!whole)
        fprintf(file, "not finished: %s", results_state_text(totals->state));
    else {
        fputs("vacuous: ", file);
        put_text(file, gap);
        fputs(" never happened", file);
    }
    fputs("</span></p>\n", file);
}

static void put_tile(FILE *file, const char *name, uint64_t number)
{
    fputs("<div class=tile><b>", file);
    put_number(file, number);
    fprintf(file, "</b><span>%s</span></div>\n", name);
}

static void put_unseen_tile(FILE *file, const char *name, const struct sketch *sketch)
{
    fputs("<div class=tile><b>", file);
    put_share(file, sketch_estimate(sketch).unseen);
    fprintf(file, "</b><span>%s of the next schedule that no schedule has shown</span></div>\n", name);
}

static void put_tiles(FILE *file, const struct results_totals *totals)
{
    const struct coverage *coverage = &totals->coverage;
    fputs("<div class=tiles>\n", file);
    put_tile(file, "schedules", totals->schedules);
    put_tile(file, "failures", totals->failures);
    put_tile(file, "schedules a second, all workers", rate_of(totals));
    put_tile(file, "inputs of the core", coverage->inputs);
    put_tile(file, "inputs a second and worker", rate(coverage->inputs, totals->worker_ms));
    put_tile(file, "simulated seconds a second and worker",
             rate(coverage->simulated_ns / 1000000000, totals->worker_ms));
    put_tile(file, "client operations", coverage->calls);
    put_tile(file, "workers", totals->jobs);
    put_unseen_tile(file, "states", &totals->census.states);
    put_unseen_tile(file, "edges", &totals->census.edges);
    fputs("</div>\n", file);
}

static void directory_of(const char *path, char directory[PATH_BYTES])
{
    const char *slash = strrchr(path, '/');
    snprintf(directory, PATH_BYTES, "%.*s", slash != NULL ? (int)(slash - path) : 1, slash != NULL ? path : ".");
}

/* Where the trace of a failure is: beside the results, where they are collected, or where the run put it. */
static bool find_trace(const char *results, const char *trace, char found[PATH_BYTES])
{
    char directory[PATH_BYTES];
    char beside[PATH_BYTES + 512];
    const char *slash = strrchr(trace, '/');
    directory_of(results, directory);
    snprintf(beside, sizeof beside, "%s/%s", directory, slash != NULL ? slash + 1 : trace);
    return realpath(beside, found) != NULL || realpath(trace, found) != NULL;
}

/* Relative to the page where it lies below the directory of that, so that both can be moved together. */
static void put_trace(FILE *file, const char *page, const char *results, const char *trace)
{
    char found[PATH_BYTES];
    char directory[PATH_BYTES];
    char base[PATH_BYTES];
    if (!find_trace(results, trace, found)) {
        put_text(file, trace);
        return;
    }
    directory_of(page, directory);
    const size_t bytes = realpath(directory, base) != NULL ? strlen(base) : 0;
    const bool below = bytes > 0 && strncmp(found, base, bytes) == 0 && found[bytes] == '/';
    fputs("<a href=\"", file);
    put_text(file, below ? found + bytes + 1 : found);
    fputs("\">", file);
    put_text(file, strrchr(found, '/') + 1);
    fputs("</a>", file);
}

static void put_failures(FILE *file, const struct merge *merge, uint32_t commit, const char *page)
{
    uint32_t shown = 0;
    fputs("<h2>Failures</h2>\n", file);
    for (uint32_t i = 0; i < merge->failure_count; i++) {
        const struct merge_failure *failure = &merge->failures[i];
        if (merge->commit_of[failure->run] != commit || shown == FAILURES_SHOWN)
            continue;
        if (shown++ == 0)
            fputs("<div class=scroll><table><tr><th class=n>seed<th>outcome<th>checker<th class=n>step<th>what"
                  "<th>trace</tr>\n",
                  file);
        fprintf(file, "<tr><td class=n>%" PRIu64 "<td>%s<td>", failure->seed, outcome_text(failure->outcome));
        put_text(file, failure->checker);
        fprintf(file, "<td class=n>%" PRIu64 "<td>", failure->step);
        put_text(file, failure->text);
        fputs("<td>", file);
        put_trace(file, page, merge->runs[failure->run].path, failure->trace);
        fputs("</tr>\n", file);
    }
    const uint64_t failures = merge->commits[commit]->totals.failures;
    if (shown > 0)
        fputs("</table></div>\n", file);
    if (failures > shown)
        fprintf(file, "<p>%" PRIu64 " more are not listed.</p>\n", failures - shown);
    else if (shown == 0)
        fputs("<p>None.</p>\n", file);
}

static void put_sketch(FILE *file, const char *name, const struct sketch *sketch)
{
    const struct sketch_estimate estimate = sketch_estimate(sketch);
    fprintf(file, "<tr><td>%s", name);
    put_cell(file, estimate.kinds);
    put_cell(file, sketch->sightings);
    put_cell(file, estimate.once);
    fputs("<td class=n>", file);
    put_share(file, estimate.unseen);
    fputs("</tr>\n", file);
}

static void put_coverage(FILE *file, const struct census *census)
{
    fputs("<h2>Coverage</h2>\n<p>Abstract states of the cluster, and edges: how a node looks, what it is fed, and how "
          "it looks then; in ",
          file);
    put_number(file, census->schedules);
    fputs(" schedules, one in thirty-two. Unseen: by Good and Turing, the share of new kinds among those that the next "
          "schedule will show.</p>\n<table><tr><th><th class=n>kinds, about<th class=n>sightings<th class=n>seen once"
          "<th class=n>unseen</tr>\n",
          file);
    put_sketch(file, "states", &census->states);
    put_sketch(file, "edges", &census->edges);
    fputs("</table>\n", file);
}

static void put_runs(FILE *file, const struct merge *merge, uint32_t commit)
{
    fputs("<h2>Runs</h2>\n<div class=scroll><table><tr><th>file<th class=n>first seed<th class=n>shard<th class=n>"
          "schedules<th class=n>failures<th class=n>workers<th class=n>seconds<th class=n>a second<th>state</tr>\n",
          file);
    for (uint32_t i = 0; i < merge->run_count; i++) {
        const struct merge_run *run = &merge->runs[i];
        if (merge->commit_of[i] != commit)
            continue;
        fprintf(file, "<tr%s><td>", run->failures > 0 ? " class=failed" : "");
        put_text(file, run->path);
        fprintf(file, "<td class=n>%" PRIu64 "<td class=n>%" PRIu64 "/%" PRIu64, run->run.seed, run->run.shard,
                run->run.shards);
        put_cell(file, run->schedules);
        put_cell(file, run->failures);
        put_cell(file, run->jobs);
        put_cell(file, run->spent_ms / 1000);
        put_cell(file, rate(run->schedules, run->spent_ms));
        fprintf(file, "<td>%s</tr>\n", results_state_text(run->state));
    }
    fputs("</table></div>\n", file);
}

/* What a commit is measured by. */
enum figure { FIGURE_RATE, FIGURE_FAILURES, FIGURE_UNSEEN, FIGURES };

static uint64_t figure_of(const struct results_totals *totals, enum figure figure)
{
    switch (figure) {
    case FIGURE_RATE: return rate(totals->schedules, totals->worker_ms);
    case FIGURE_FAILURES: return totals->failures;
    case FIGURE_UNSEEN: return sketch_estimate(&totals->census.edges).unseen;
    case FIGURES: break;
    }
    UNREACHABLE();
}

static void put_chart(FILE *file, const struct merge *merge, enum figure figure, const char *title)
{
    enum { WIDTH = 400, HEIGHT = 150, LEFT = 12, TOP = 34, BOTTOM = 136 };
    uint64_t highest = 1;
    for (uint32_t i = 0; i < merge->commit_count; i++)
        highest = u64_max(highest, figure_of(&merge->commits[i]->totals, figure));
    fprintf(file, "<svg viewBox=\"0 0 %d %d\" role=img aria-label=\"%s\"><text x=%d y=18>%s, up to ", WIDTH, HEIGHT,
            title, LEFT, title);
    if (figure == FIGURE_UNSEEN)
        put_share(file, highest);
    else
        put_number(file, highest);
    fputs("</text>", file);
    for (int line = 0; line < 2; line++) { /* the line, then its points */
        fputs(line == 0 ? "<polyline points=\"" : "", file);
        for (uint32_t i = 0; i < merge->commit_count; i++) {
            const uint64_t value = figure_of(&merge->commits[i]->totals, figure);
            const uint32_t x = LEFT + i * (WIDTH - 2 * LEFT) / u32_max(merge->commit_count - 1, 1);
            const uint64_t y = BOTTOM - value * (BOTTOM - TOP) / highest;
            fprintf(file, line == 0 ? "%" PRIu32 ",%" PRIu64 " " : "<circle cx=%" PRIu32 " cy=%" PRIu64 " r=3 />", x,
                    y);
        }
        fputs(line == 0 ? "\"/>" : "", file);
    }
    fputs("</svg>\n", file);
}

static void put_history(FILE *file, const struct merge *merge)
{
    if (merge->commit_count < 2)
        return;
    fputs("<h2>History</h2>\n<div class=charts>\n", file);
    put_chart(file, merge, FIGURE_RATE, "schedules a second and worker");
    put_chart(file, merge, FIGURE_UNSEEN, "edges unseen");
    put_chart(file, merge, FIGURE_FAILURES, "failures");
    fputs("</div>\n<div class=scroll><table><tr><th>commit<th class=n>runs<th class=n>schedules<th class=n>failures"
          "<th class=n>a second and worker<th class=n>inputs<th class=n>states, about"
          "<th class=n>states unseen<th class=n>edges unseen</tr>\n",
          file);
    for (uint32_t i = merge->commit_count; i-- > 0;) {
        const struct merge_commit *commit = merge->commits[i];
        const struct results_totals *totals = &commit->totals;
        fprintf(file, "<tr%s><td>", totals->failures > 0 ? " class=failed" : "");
        put_commit(file, commit->first->run.commit);
        put_cell(file, commit->runs);
        put_cell(file, totals->schedules);
        put_cell(file, totals->failures);
        put_cell(file, figure_of(totals, FIGURE_RATE));
        put_cell(file, rate(totals->coverage.inputs, totals->worker_ms));
        put_cell(file, sketch_estimate(&totals->census.states).kinds);
        fputs("<td class=n>", file);
        put_share(file, sketch_estimate(&totals->census.states).unseen);
        fputs("<td class=n>", file);
        put_share(file, figure_of(totals, FIGURE_UNSEEN));
        fputs("</tr>\n", file);
    }
    fputs("</table></div>\n", file);
}

static uint32_t bits_of(uint64_t number)
{
    uint32_t bits = 0;
    for (; number > 0; number /= 2)
        bits++;
    return bits;
}

/* enabled: in how many schedules, NULL: nobody counts that. Bars are logarithmic: what is rare is to be seen, too. */
static void put_counters(FILE *file, const struct results_group *group, const uint64_t *counts, const uint64_t *enabled)
{
    uint64_t highest = 1;
    for (uint32_t kind = 0; kind < group->kinds; kind++)
        highest = u64_max(highest, counts[kind]);
    fprintf(file, "<table><tr><th>%s%s<th class=n>times<th></tr>\n", group->name,
            enabled != NULL ? "<th class=n>in schedules" : "");
    for (uint32_t kind = 0; kind < group->kinds; kind++) {
        fprintf(file, "<tr%s><td>", counts[kind] == 0 ? " class=zero" : "");
        put_text(file, group->text(kind));
        if (enabled != NULL)
            put_cell(file, enabled[kind]);
        put_cell(file, counts[kind]);
        if (counts[kind] > 0)
            fprintf(file, "<td class=b><div class=bar style=\"width:%" PRIu32 "%%\"></div></tr>\n",
                    bits_of(counts[kind]) * 100 / bits_of(highest));
        else
            fputs("<td class=b></tr>\n", file);
    }
    fputs("</table>\n", file);
}

static void put_groups(FILE *file, const struct coverage *coverage)
{
    struct coverage sum = *coverage;
    for (uint32_t i = 0; i < RESULTS_GROUPS; i++) {
        const struct results_group *group = &results_groups[i];
        const bool faults = strcmp(group->name, "faults") == 0;
        const bool open = faults || strcmp(group->name, "checks") == 0;
        if (strcmp(group->name, "faults_enabled") == 0)
            continue;
        fprintf(file, "<details%s><summary>%s</summary>\n", open ? " open" : "", group->name);
        put_counters(file, group, results_counters(&sum, group), faults ? sum.enabled : NULL);
        fputs("</details>\n", file);
    }
}

void merge_page(const struct merge *merge, const char *path, FILE *file)
{
    ASSERT(merge->commit_count > 0);
    const uint32_t last = merge->commit_count - 1;
    const struct merge_commit *commit = merge->commits[last];
    const struct results_run *run = &commit->first->run;
    fprintf(file,
            "<!doctype html>\n<html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\n"
            "<title>raftsim: %" PRIu64 " schedules, %" PRIu64 " failures</title>\n<style>\n%s</style>\n",
            commit->totals.schedules, commit->totals.failures, style);
    fprintf(file, "<h1>raftsim: results of %" PRIu32 " run%s</h1>\n<p>commit ", commit->runs,
            commit->runs == 1 ? "" : "s");
    put_commit(file, run->commit);
    fprintf(file, ", build <code>%016" PRIx64 "</code>, profile %s</p>\n", run->build, profile_text(run->profile));
    put_verdict(file, commit);
    put_tiles(file, &commit->totals);
    put_failures(file, merge, last, path);
    put_history(file, merge);
    put_coverage(file, &commit->totals.census);
    put_runs(file, merge, last);
    fputs("<h2>What happened</h2>\n<p>Bars are logarithmic.</p>\n", file);
    put_groups(file, &commit->totals.coverage);
    fputs("</html>\n", file);
}

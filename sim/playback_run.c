/* A recording from its beginning to its end, and what there is to say of it; see playback.h. */
#define _DEFAULT_SOURCE
#include "playback.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "../core/inspect.h"
#include "look.h"

enum { STEPS_BETWEEN_LOOKS = 4096 };

/* How it came out, beside what the view has. */
struct report {
    enum playback_verdict verdict;
    bool stopped; /* whoever looks had enough: there is no verdict */
    bool written; /* the node still writes the file */
    uint64_t spent_ms;
};

static const char *verdict_text(const struct report *report)
{
    if (report->stopped)
        return "none";
    switch (report->verdict) {
    case PLAYBACK_SAME: return "same";
    case PLAYBACK_OTHER: return "differs";
    case PLAYBACK_UNREADABLE: return "damaged";
    }
    UNREACHABLE();
}

static void wall_text(uint64_t wall_ns, char text[32])
{
    const time_t seconds = (time_t)(wall_ns / 1000000000);
    struct tm parts;
    text[0] = '\0';
    if (gmtime_r(&seconds, &parts) != NULL)
        strftime(text, 32, "%Y-%m-%d %H:%M:%S", &parts);
}

static const char *end_text(const struct playback_view *view, const struct report *report)
{
    return report->stopped   ? "it goes on"
           : view->ended     ? "left on purpose"
           : report->written ? "its node still writes it"
                             : "it ends with the last input that is intact";
}

static void print_text(const struct playback_view *view, const struct report *report)
{
    const struct recording_header *header = &view->header;
    struct replica_view state;
    char wall[32];
    replica_inspect(view->replica, &state);
    wall_text(header->wall_ns, wall);
    printf("node %" PRIu64 " of cluster %" PRIu64 ", raftd %s, build %016" PRIx64 "; from step %" PRIu64
           " on, at %s UTC%s\n",
           header->config.node_id, header->config.cluster_id, (const char *)header->release, header->build,
           header->first_step + 1, wall, header->segment == 0 ? ", where its life begins" : "");
    printf("%" PRIu64 " steps of %" PRIu64 " ms in %" PRIu64 " ms, %" PRIu64 "/s; %" PRIu32 " segment%s, %" PRIu32
           " compared with %s anchor; %s\n",
           view->steps, (view->now_ns - view->first_ns) / 1000000, report->spent_ms,
           view->steps * 1000 / u64_max(report->spent_ms, 1), view->segments, view->segments == 1 ? "" : "s",
           view->anchors, view->anchors == 1 ? "its" : "their", end_text(view, report));
    printf("%s term=%" PRIu64 " last=%" PRIu64 ".%" PRIu64 " commit=%" PRIu64 " applied=%" PRIu64 " state=%016" PRIx64
           " outputs=%016" PRIx64 "\n",
           raft_role_text(state.role), state.term, state.last.term, state.last.index, state.commit, state.applied,
           state.state_digest, view->digest);
    if (view->missing > 0)
        printf("%" PRIu64 " steps in between or behind could not be fed\n", view->missing);
    if (report->stopped)
        puts("no verdict: looked at no further; up to there all outputs are the same");
    else
        printf("%s%s%s\n", verdict_text(report), report->verdict == PLAYBACK_SAME ? "" : ": ", view->text);
}

static void print_json(const struct playback_view *view, const struct report *report)
{
    const struct recording_header *header = &view->header;
    struct replica_view state;
    replica_inspect(view->replica, &state);
    printf("{\"verdict\":\"%s\",\"text\":\"%s\"", verdict_text(report), view->text);
    printf(",\"node\":%" PRIu64 ",\"cluster_id\":\"%" PRIu64 "\",\"release\":\"%s\",\"build\":\"%016" PRIx64 "\"",
           header->config.node_id, header->config.cluster_id, (const char *)header->release, header->build);
    printf(",\"first_step\":%" PRIu64 ",\"steps\":%" PRIu64 ",\"missing\":%" PRIu64 ",\"recorded_ms\":%" PRIu64
           ",\"spent_ms\":%" PRIu64 ",\"segments\":%" PRIu32 ",\"anchors\":%" PRIu32 ",\"ended\":%s,\"written\":%s",
           header->first_step + 1, view->steps, view->missing, (view->now_ns - view->first_ns) / 1000000,
           report->spent_ms, view->segments, view->anchors, view->ended ? "true" : "false",
           report->written ? "true" : "false");
    printf(",\"damaged_places\":%" PRIu32, view->damage.places);
    if (view->damage.places > 0)
        printf(",\"damaged_at\":%" PRIu64 ",\"intact_behind\":%" PRIu64, view->damage.offset, view->damage.inputs);
    printf(",\"role\":\"%s\",\"term\":%" PRIu64 ",\"commit\":%" PRIu64 ",\"applied\":%" PRIu64
           ",\"state_digest\":\"%016" PRIx64 "\",\"outputs_digest\":\"%016" PRIx64 "\"}\n",
           raft_role_text(state.role), state.term, state.commit, state.applied, state.state_digest, view->digest);
}

static void print_progress(const struct playback_view *view, uint64_t spent_ms, uint64_t *last_ms)
{
    const bool terminal = isatty(STDERR_FILENO) == 1;
    if (spent_ms - *last_ms < (terminal ? 200U : 10000U))
        return;
    *last_ms = spent_ms;
    fprintf(stderr, "%sraftsim: step %" PRIu64 ", %" PRIu64 "/s, %" PRIu64 " ms of the node's time%s",
            terminal ? "\r\033[K" : "", view->step, view->steps * 1000 / u64_max(spent_ms, 1),
            (view->now_ns - view->first_ns) / 1000000, terminal ? "\r" : "\n");
    fflush(stderr);
}

static enum playback_verdict run(const struct playback_run_options *options, const struct playback_source *source,
                                 struct playback *playback)
{
    const struct playback_view *view = playback_view(playback);
    const uint64_t start_ms = options->now_ms();
    uint64_t last_ms = 0;
    enum playback_result result = PLAYBACK_STEP;
    *options->current = view;
    while (result == PLAYBACK_STEP && (options->observer == NULL || !options->observer->enough)) {
        result = playback_next(playback);
        if (!options->quiet && view->steps % STEPS_BETWEEN_LOOKS == 0)
            print_progress(view, options->now_ms() - start_ms, &last_ms);
    }
    *options->current = NULL;
    const enum playback_verdict verdict = result == PLAYBACK_DIFFERS  ? PLAYBACK_OTHER
                                          : result == PLAYBACK_BROKEN ? PLAYBACK_UNREADABLE
                                                                      : PLAYBACK_SAME;
    const struct report report = {
        .verdict = verdict,
        .stopped = result == PLAYBACK_STEP,
        .written = playback_file_is_written(source),
        .spent_ms = options->now_ms() - start_ms,
    };
    const bool shown = options->look == NULL || look_end(options->look, options->path);
    if (options->json)
        print_json(view, &report);
    else if (!options->quiet || verdict != PLAYBACK_SAME)
        print_text(view, &report);
    if (report.written && verdict == PLAYBACK_UNREADABLE)
        fprintf(stderr, "raftsim: %s: its node still writes it: what it wrote meanwhile may look like damage\n",
                options->path);
    return shown || verdict != PLAYBACK_SAME ? verdict : PLAYBACK_UNREADABLE;
}

bool playback_is_file(const char *path)
{
    struct playback_source source;
    char error[PLAYBACK_ERROR_BYTES];
    if (!playback_file_open(&source, path, error))
        return false;
    const bool recording = playback_is_recording(&source);
    playback_file_close(&source);
    return recording;
}

enum playback_verdict playback_run(const struct playback_run_options *options)
{
    struct playback_source source;
    char error[PLAYBACK_ERROR_BYTES];
    if (!playback_file_open(&source, options->path, error)) {
        fprintf(stderr, "raftsim: %s: %s\n", options->path, error);
        return PLAYBACK_UNREADABLE;
    }
    enum playback_verdict verdict = PLAYBACK_UNREADABLE;
    struct playback *playback = playback_open(&source, options->observer, error);
    if (playback != NULL)
        verdict = run(options, &source, playback);
    else
        fprintf(stderr, "raftsim: %s: %s\n", options->path, error);
    playback_close(playback);
    playback_file_close(&source);
    return verdict;
}

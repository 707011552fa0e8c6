/* Limits of what is shown, and the state there. */
#include "look.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void limit_see(struct observer *observer, const struct observed *observed)
{
    struct look_limit *limit = (struct look_limit *)observer;
    const uint32_t who = observed->who;
    if (observed->kind == OBSERVED_BEGIN)
        limit->state.swarm = observed->begin.swarm;
    if (observed->step > limit->step_max || observed->time_ns > limit->until_ns) {
        observer->enough = true;
        return;
    }
    limit->step = observed->step;
    limit->time_ns = observed->time_ns;
    if (observed->kind == OBSERVED_STEP && who < VOTERS_MAX)
        limit->replicas[who] = observed->step_of.replica;
    if (observed->kind == OBSERVED_STEP && who == limit->state_node) {
        limit->state_up = true;
        fields_reset(&limit->state, limit->state.swarm);
        describe_replica(&limit->state, observed->step_of.replica);
    }
    if ((observed->kind == OBSERVED_CRASH || observed->kind == OBSERVED_STOP) && who == limit->state_node)
        limit->state_up = false;
    if (!limit->broken
        && breakpoint_holds(&limit->breakpoint, observed, who < VOTERS_MAX ? limit->replicas[who] : NULL)) {
        limit->broken = true;
        limit->broken_ns = observed->time_ns;
        limit->step_max = observed->step; /* what this step leads to belongs to it */
    }
}

static bool look_parse_until(struct look_limit *limit, const char *text)
{
    char *end;
    if (breakpoint_time(text, &limit->until_ns))
        return true;
    if (*text < '0' || *text > '9')
        return false;
    limit->step_max = strtoull(text, &end, 10);
    return *end == '\0';
}

static bool look_parse_state(struct look_limit *limit, const char *text)
{
    char name[ENDPOINT_TEXT_BYTES];
    for (limit->state_node = 0; limit->state_node < VOTERS_MAX; limit->state_node++)
        if (strcmp(text, endpoint_text(limit->state_node, name)) == 0)
            return true;
    return false;
}

bool look_begin(struct look *look, const struct look_options *options, char error[LOOK_ERROR_BYTES])
{
    struct breakpoint_error wrong;
    struct look_limit *limit = &look->limit;
    look->options = *options;
    *limit = (struct look_limit){
        .observer = { .see = limit_see }, .step_max = UINT64_MAX, .until_ns = UINT64_MAX, .state_node = ENDPOINTS
    };
    if (options->until != NULL && !look_parse_until(limit, options->until)) {
        snprintf(error, LOOK_ERROR_BYTES, "--until: '%.60s' is neither a step nor a time, as 150ms or 3s",
                 options->until);
        return false;
    }
    if (options->state != NULL && !look_parse_state(limit, options->state)) {
        snprintf(error, LOOK_ERROR_BYTES, "--state: '%.60s' is no node, as n0", options->state);
        return false;
    }
    if (options->break_at != NULL && !breakpoint_parse(&limit->breakpoint, options->break_at, &wrong)) {
        snprintf(error, LOOK_ERROR_BYTES, "--break: column %" PRIu32 ": %s\n  %.200s\n  %*s", wrong.column, wrong.text,
                 options->break_at, (int)u32_min(wrong.column, 201), "^");
        return false;
    }
    look->page = options->html != NULL ? fopen(options->html, "w") : NULL;
    if (options->html != NULL && look->page == NULL) {
        snprintf(error, LOOK_ERROR_BYTES, "--html %.200s: %s", options->html, strerror(errno));
        return false;
    }
    observer_group_init(&look->group);
    if (options->until != NULL || options->break_at != NULL || options->state != NULL)
        observer_group_add(&look->group, &limit->observer);
    if (options->log) {
        transcript_init(&look->transcript, options->out);
        observer_group_add(&look->group, &look->transcript.observer);
    }
    look->html = options->html != NULL ? html_new() : NULL;
    if (look->html != NULL)
        observer_group_add(&look->group, &look->html->observer);
    return true;
}

struct observer *look_observer(struct look *look) { return look->group.count > 0 ? &look->group.observer : NULL; }

bool look_stopped(const struct look *look) { return look->limit.observer.enough; }

static bool look_write_page(struct look *look, const char *title)
{
    const char *path = look->options.html;
    if (look->html == NULL || look->html->failed) {
        fprintf(stderr, "raftsim: --html %s: no memory for the page\n", path);
        fclose(look->page);
        return false;
    }
    errno = 0;
    bool written = html_write(look->html, title, look->page);
    written = fclose(look->page) == 0 && written;
    if (!written)
        fprintf(stderr, "raftsim: --html %s: %s\n", path, errno != 0 ? strerror(errno) : "cannot be written");
    else
        fprintf(stderr, "page: %s, %" PRIu32 " events\n", path, look->html->count);
    return written;
}

static bool look_print_state(const struct look *look)
{
    const struct look_limit *limit = &look->limit;
    fprintf(look->options.out, "%s at step %" PRIu64 ", %" PRIu64 " ns%s\n", look->options.state, limit->step,
            limit->time_ns,
            limit->state_up          ? ""
            : limit->state.count > 0 ? ": down; before that"
                                     : ": was not up");
    transcript_table(look->options.out, &limit->state);
    return limit->state.count > 0;
}

bool look_end(struct look *look, const char *title)
{
    const struct look_limit *limit = &look->limit;
    FILE *out = look->options.out;
    if (limit->broken)
        fprintf(out, "break at step %" PRIu64 ", %" PRIu64 " ns: %s\n", limit->step, limit->broken_ns,
                look->options.break_at);
    else if (look_stopped(look))
        fprintf(out, "stopped behind step %" PRIu64 ", %" PRIu64 " ns\n", limit->step, limit->time_ns);
    else if (look->options.break_at != NULL)
        fprintf(out, "no break: never held: %s\n", look->options.break_at);
    const bool stated = look->options.state == NULL || look_print_state(look);
    const bool written = look->options.html == NULL || look_write_page(look, title);
    html_free(look->html);
    look->html = NULL;
    return stated && written;
}

/* The transcript: for each line its words, and below, one row for each node and client, what it did.
 *
 * Rows are by node, not by time, and of several advances of one index only the last is shown: so a transcript stays as
 * it is when frames are packed in another way, and changes when the protocol does. */
#include "scenario_state.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

enum { SHOW_ROW_BYTES = 100, SHOW_INDENT = 8 };

static const char *show_event_text(uint32_t kind) { return event_kind_text((enum event_kind)kind); }

void show_defaults(struct scenario *scenario)
{
    static const enum event_kind kinds[] = {
        EVENT_ROLE,         EVENT_TERM,     EVENT_VOTE,          EVENT_TRUNCATE, EVENT_QUORUM_LOST, EVENT_ABSTAIN,
        EVENT_ABSTAIN_OVER, EVENT_DIVERGED, EVENT_UNRECOVERABLE, EVENT_DIFFERS,  EVENT_DOUBT,
    };
    memset(scenario->show, 0, sizeof scenario->show);
    for (uint32_t i = 0; i < ARRAY_COUNT(kinds); i++)
        scenario->show[kinds[i]] = true;
}

/* show EVENT...: these only. show also EVENT... : these, too. show nothing. */
bool show_line(struct scenario *scenario)
{
    if (!words_take(scenario, "also"))
        memset(scenario->show, 0, sizeof scenario->show);
    if (words_take(scenario, "nothing"))
        return words_end(scenario);
    while (words_left(scenario)) {
        uint32_t kind;
        if (!words_name(scenario, "an event", show_event_text, EVENT_KINDS, &kind))
            return false;
        scenario->show[kind] = true;
    }
    return true;
}

/* ---- gathering ---- */

static struct shown *show_add(struct scenario *scenario, uint32_t who, uint32_t kind)
{
    if (scenario->shown_count == SHOWN_MAX) {
        scenario_wrong(scenario, "one line shows more than %d events: show fewer kinds", SHOWN_MAX);
        return NULL;
    }
    struct shown *shown = &scenario->shown[scenario->shown_count++];
    shown->who = who;
    shown->kind = kind;
    return shown;
}

/* What was shown last of this node or client; NULL: nothing in this line. */
static struct shown *show_latest(struct scenario *scenario, uint32_t who)
{
    for (uint32_t i = scenario->shown_count; i > 0; i--)
        if (scenario->shown[i - 1].who == who)
            return &scenario->shown[i - 1];
    return NULL;
}

/* The same again says nothing new. */
static void show_unrepeat(struct scenario *scenario)
{
    const struct shown *shown = &scenario->shown[--scenario->shown_count];
    const struct shown *before = show_latest(scenario, shown->who);
    if (before == NULL || before->kind != shown->kind || strcmp(before->text, shown->text) != 0)
        scenario->shown_count++;
}

void show_text(struct scenario *scenario, uint32_t who, const char *format, ...)
{
    struct shown *shown = show_add(scenario, who, EVENT_KINDS);
    if (shown == NULL)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(shown->text, sizeof shown->text, format, arguments);
    va_end(arguments);
    show_unrepeat(scenario);
}

static void show_role(const struct event *event, char *to, size_t room)
{
    const enum raft_role role = (enum raft_role)event->a;
    if (role == RAFT_LEADER)
        snprintf(to, room, "leads");
    else if (role == RAFT_FOLLOWER && event->b != 0)
        snprintf(to, room, "follows %" PRIu64, event->b);
    else
        snprintf(to, room, "%s", raft_role_text(role));
}

/* Only what a reader can check by hand: counts of pages, positions on a disk and the like are left out. */
static void show_event(const struct event *event, char *to, size_t room)
{
    static const char *const phrases[EVENT_KINDS] = {
        [EVENT_TERM] = "term",
        [EVENT_VOTE] = "votes for",
        [EVENT_TRUNCATE] = "truncates to",
        [EVENT_COMMIT] = "commit",
        [EVENT_APPEND] = "appends",
        [EVENT_HARD_STATE] = "stores term",
        [EVENT_DURABLE] = "durable",
        [EVENT_APPLY] = "applies",
        [EVENT_APPEND_REJECTED] = "is rejected by",
        [EVENT_SESSION_EVICTED] = "evicts session",
        [EVENT_RECOVERED] = "recovers up to",
        [EVENT_TAIL_CUT] = "cuts its tail to",
        [EVENT_ABSTAIN] = "abstains: knows up to",
        [EVENT_ABSTAIN_OVER] = "abstains no more from",
        [EVENT_BATCH_DAMAGED] = "has lost entry",
        [EVENT_ENTRY_REPAIRED] = "repairs entry",
        [EVENT_UNRECOVERABLE] = "finds nowhere entry",
        [EVENT_CHECKPOINT] = "has checkpoint",
        [EVENT_CHECKPOINT_FROZEN] = "freezes",
        [EVENT_INSTALL_DONE] = "has installed",
        [EVENT_STORE_LOADED] = "loads checkpoint",
        [EVENT_DIVERGED] = "differs at checkpoint",
        [EVENT_DIFFERS] = "finds to differ:",
        [EVENT_DOUBT] = "is in doubt at checkpoint",
        [EVENT_READ_ROUND] = "asks round",
        [EVENT_READ_ASKED] = "asks for the read index:",
        [EVENT_READ_INDEX] = "tells the read index to",
        [EVENT_SUPERBLOCK_REPAIR] = "mends superblock copies:",
    };
    static const char *const configurations[] = {
        [CONFIGURATION_JOINT] = "uses joint configuration",
        [CONFIGURATION_FINAL] = "uses configuration",
        [CONFIGURATION_ROLLED_BACK] = "goes back to configuration",
        [CONFIGURATION_LOADED] = "loads configuration",
    };
    static const char *const transfers[] = {
        [TRANSFER_BEGUN] = "hands over to",
        [TRANSFER_PREFERS] = "prefers and hands over to",
        [TRANSFER_LEAVES] = "leaves and hands over to",
        [TRANSFER_ASKED] = "tells to campaign:",
        [TRANSFER_TAKEN] = "takes over:",
        [TRANSFER_DONE] = "has handed over to",
        [TRANSFER_FAILED] = "failed to hand over to",
        [TRANSFER_OVER] = "leads no more, and asked",
    };
    static const char *const progress[PROGRESS_STATES] = { "probes", "streams to", "wants a checkpoint at" };
    if (event->kind == EVENT_PEER)
        snprintf(to, room, "%s %" PRIu64, progress[event->b], event->a);
    else if (event->kind == EVENT_ROLE)
        show_role(event, to, room);
    else if (event->kind == EVENT_TRANSFER)
        snprintf(to, room, "%s %" PRIu64, transfers[event->b], event->a);
    else if (event->kind == EVENT_CONFIGURATION)
        snprintf(to, room, "%s %" PRIu64, configurations[event->b], event->a);
    else if (phrases[event->kind] != NULL)
        snprintf(to, room, "%s %" PRIu64, phrases[event->kind], event->a);
    else
        snprintf(to, room, "%s", event_kind_text(event->kind));
}

/* Of these the last one in a row says all. */
static bool show_replaces(enum event_kind kind)
{
    return kind == EVENT_COMMIT || kind == EVENT_APPEND || kind == EVENT_DURABLE || kind == EVENT_APPLY
           || kind == EVENT_INSTALL_PAGES || kind == EVENT_INSTALL || kind == EVENT_HARD_STATE
           || kind == EVENT_READ_RETRIED || kind == EVENT_SCRUB_MENDED || kind == EVENT_PAGE_DAMAGED;
}

void show_events(struct scenario *scenario, uint32_t node, const struct output *output)
{
    for (uint32_t i = 0; i < u32_min(output->event_count, output->event_max); i++) {
        const struct event *event = &output->events[i];
        scenario->happened[node][event->kind]++;
        /* Why it stopped is shown below. */
        const bool stopped = event->kind == EVENT_ROLE && event->a == RAFT_STOPPED;
        if (!scenario->show[event->kind] || stopped)
            continue;
        struct shown *shown = show_latest(scenario, node);
        if (shown == NULL || shown->kind != (uint32_t)event->kind || !show_replaces(event->kind))
            shown = show_add(scenario, node, event->kind);
        if (shown != NULL)
            show_event(event, shown->text, sizeof shown->text);
    }
    for (uint32_t i = 0; i < output->effect_count; i++)
        if (output->effects[i].kind == EFFECT_STOP)
            show_text(scenario, node, "stops: %s", stop_reason_text(output->effects[i].stop));
}

/* ---- printing ---- */

static void show_print(struct scenario *scenario, const char *text)
{
    const size_t bytes = strlen(text);
    if (scenario->transcript_bytes + bytes >= sizeof scenario->transcript) {
        scenario_wrong(scenario, "the transcript is too long: show fewer kinds of events");
        return;
    }
    memcpy(scenario->transcript + scenario->transcript_bytes, text, bytes + 1);
    scenario->transcript_bytes += (uint32_t)bytes;
}

static void show_row(struct scenario *scenario, uint32_t who)
{
    char text[SHOWN_BYTES_MAX + 16];
    size_t column = 0;
    for (uint32_t i = 0; i < scenario->shown_count; i++) {
        const struct shown *shown = &scenario->shown[i];
        if (shown->who != who)
            continue;
        const size_t bytes = strlen(shown->text);
        if (column == 0) {
            snprintf(text, sizeof text, "    %c   ",
                     (char)(who < ENDPOINT_CLIENT ? '1' + who : 'a' + who - ENDPOINT_CLIENT));
            column = SHOW_INDENT;
        } else if (column + bytes + 2 > SHOW_ROW_BYTES) {
            snprintf(text, sizeof text, ",\n%*s", SHOW_INDENT, "");
            column = SHOW_INDENT;
        } else {
            snprintf(text, sizeof text, ", ");
            column += 2;
        }
        show_print(scenario, text);
        show_print(scenario, shown->text);
        column += bytes;
    }
    if (column > 0)
        show_print(scenario, "\n");
}

void show_step(struct scenario *scenario)
{
    /* An expectation that holds has nothing to tell. */
    if (scenario->shown_count == 0)
        return;
    for (uint32_t i = 0; i < scenario->word_count; i++) {
        show_print(scenario, i > 0 ? " " : "");
        show_print(scenario, scenario->words[i]);
    }
    show_print(scenario, "\n");
    for (uint32_t who = 0; who < ENDPOINTS; who++)
        show_row(scenario, who);
}

void show_bytes(char *to, size_t room, const uint8_t *bytes, uint32_t count)
{
    static const char dots[] = "...";
    size_t used = 0;
    for (uint32_t i = 0; i < count && used + sizeof dots < room; i++)
        to[used++] = bytes[i] > ' ' && bytes[i] < 127 ? (char)bytes[i] : '?';
    memcpy(to + used, dots, used < count ? sizeof dots : 0);
    to[used + (used < count ? sizeof dots - 1 : 0)] = '\0';
}

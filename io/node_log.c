/* Events and refusals as lines of the log; see node_log.h. */
#include "node_log.h"

#include "../core/inspect.h"
#include "../core/install.h"
#include "../core/message.h"
#include "../core/request.h"
#include "clock.h"
#include "logger.h"
#include "node.h"

#include <stdio.h>
#include <string.h>

#define BURST_LOG_NS NS_PER_S
#define REFUSAL_LOG_NS (60 * NS_PER_S)

/* ---- events ---- */

/* How an event shows in the log: its level, and what its numbers are called. */
static const struct {
    enum logger_level level;
    const char *a;
    const char *b;
} event_views[EVENT_KINDS] = {
    [EVENT_ROLE] = { LOG_LEVEL_INFO, "role", "leader" },
    [EVENT_TERM] = { LOG_LEVEL_DEBUG, "term", NULL },
    [EVENT_VOTE] = { LOG_LEVEL_DEBUG, "candidate", "term" },
    [EVENT_HARD_STATE] = { LOG_LEVEL_DEBUG, "term", "vote" },
    [EVENT_APPEND] = { LOG_LEVEL_DEBUG, "index", "term" },
    [EVENT_TRUNCATE] = { LOG_LEVEL_DEBUG, "kept", NULL },
    [EVENT_DURABLE] = { LOG_LEVEL_DEBUG, "index", NULL },
    [EVENT_COMMIT] = { LOG_LEVEL_DEBUG, "index", NULL },
    [EVENT_APPLY] = { LOG_LEVEL_DEBUG, "index", "digest" },
    [EVENT_EXECUTED] = { LOG_LEVEL_DEBUG, "index", "status" },
    [EVENT_SESSION_EVICTED] = { LOG_LEVEL_DEBUG, "session", NULL },
    [EVENT_READ_ROUND] = { LOG_LEVEL_DEBUG, "round", "index" },
    [EVENT_READ_SERVED] = { LOG_LEVEL_DEBUG, "index", "applied" },
    [EVENT_APPEND_REJECTED] = { LOG_LEVEL_DEBUG, "peer", "hint" },
    [EVENT_IMPOSSIBLE] = { LOG_LEVEL_ERROR, "peer", NULL },
    [EVENT_QUORUM_LOST] = { LOG_LEVEL_WARN, "silent_ns", NULL },
    [EVENT_RECOVERED] = { LOG_LEVEL_INFO, "last", "batches" },
    [EVENT_TAIL_CUT] = { LOG_LEVEL_WARN, "kept", "lsn" },
    [EVENT_SUPERBLOCK_REPAIR] = { LOG_LEVEL_WARN, "copies", NULL },
    [EVENT_READ_RETRIED] = { LOG_LEVEL_WARN, "offset", NULL },
    [EVENT_BUSY] = { LOG_LEVEL_DEBUG, "status", "retry_after_ms" },
    [EVENT_CHECKPOINT_RELIEF] = { LOG_LEVEL_INFO, "index", NULL },
    [EVENT_CHECKPOINT_RENEW] = { LOG_LEVEL_WARN, "index", NULL },
    [EVENT_CHECKPOINT_FROZEN] = { LOG_LEVEL_INFO, "index", "pages" },
    [EVENT_CHECKPOINT] = { LOG_LEVEL_INFO, "index", "pages" },
    [EVENT_STORE_LOADED] = { LOG_LEVEL_INFO, "index", "pages" },
    [EVENT_PAGE_DAMAGED] = { LOG_LEVEL_WARN, "at", "level" },
    [EVENT_INSTALL] = { LOG_LEVEL_INFO, "phase", "peer" },
    [EVENT_INSTALL_PAGES] = { LOG_LEVEL_DEBUG, "pages", "wanted" },
    [EVENT_INSTALL_PATCHED] = { LOG_LEVEL_DEBUG, "pages", "bytes" },
    [EVENT_INSTALL_UNFIT] = { LOG_LEVEL_INFO, "pages", NULL },
    [EVENT_INSTALL_RETARGET] = { LOG_LEVEL_INFO, "index", "peer" },
    [EVENT_INSTALL_DONE] = { LOG_LEVEL_INFO, "index", "pages" },
    [EVENT_OFFER] = { LOG_LEVEL_DEBUG, "peer", "index" },
    [EVENT_BATCH_DAMAGED] = { LOG_LEVEL_WARN, "first", "entries" },
    [EVENT_ABSTAIN] = { LOG_LEVEL_WARN, "last", "lsn" },
    [EVENT_ABSTAIN_OVER] = { LOG_LEVEL_INFO, "index", "term" },
    [EVENT_REJOIN] = { LOG_LEVEL_WARN, "answers_needed", "directory" },
    [EVENT_REJOIN_KNOWN] = { LOG_LEVEL_INFO, "term", "answers" },
    [EVENT_REJOINED] = { LOG_LEVEL_INFO, "index", "term" },
    [EVENT_REPLACED] = { LOG_LEVEL_WARN, "node", "directory" },
    [EVENT_SCRUB_MENDED] = { LOG_LEVEL_WARN, "device", "offset" },
    [EVENT_MEMORY_MENDED] = { LOG_LEVEL_ERROR, "device", "offset" },
    [EVENT_SCRUBBED] = { LOG_LEVEL_DEBUG, "passes", "mended" },
    [EVENT_DIFFERS] = { LOG_LEVEL_ERROR, "peer", "index" },
    [EVENT_DOUBT] = { LOG_LEVEL_ERROR, "index", "begins" },
    [EVENT_DIVERGED] = { LOG_LEVEL_ERROR, "index", "applied" },
    [EVENT_UNRECOVERABLE] = { LOG_LEVEL_ERROR, "index", "term" },
    [EVENT_CONFIGURATION] = { LOG_LEVEL_INFO, "index", "step" },
    [EVENT_LEASE_READ] = { LOG_LEVEL_DEBUG, "applied", "left_ns" },
    [EVENT_TRANSFER] = { LOG_LEVEL_INFO, "target", "step" },
    [EVENT_PEER] = { LOG_LEVEL_DEBUG, "peer", "state" },
    [EVENT_LATE] = { LOG_LEVEL_DEBUG, "budget_ns", "waited_ns" },
    [EVENT_DISK_STALLED] = { LOG_LEVEL_WARN, "stalled_ns", NULL },
    [EVENT_LED_IN_VAIN] = { LOG_LEVEL_WARN, "checkpoint", "wanted" },
    [EVENT_ENTRY_REPAIRED] = { LOG_LEVEL_INFO, "index", "term" },
};

static void log_role(struct node_log *log, const struct event *event)
{
    struct replica_view view;
    replica_inspect(log->replica, &view);
    if (!log->ready && event->a != RAFT_STARTING && event->a != RAFT_STOPPED) {
        log->ready = true;
        LOG(LOG_LEVEL_INFO, "ready", FIELD_NUMBER("term", view.term), FIELD_NUMBER("last", view.last.index));
    }
    LOG(LOG_LEVEL_INFO, "role", FIELD_TEXT("role", raft_role_text((enum raft_role)event->a)),
        FIELD_NUMBER("term", view.term), FIELD_NUMBER("leader", event->b), FIELD_NUMBER("last", view.last.index),
        FIELD_NUMBER("commit", view.commit));
}

static void log_install(const struct event *event)
{
    static const char *const phases[] = {
        [INSTALL_IDLE] = "idle",     [INSTALL_ASK] = "ask",   [INSTALL_PULL] = "pull",
        [INSTALL_SWITCH] = "switch", [INSTALL_BACK] = "back",
    };
    ASSERT(event->a < ARRAY_COUNT(phases));
    LOG(event_views[EVENT_INSTALL].level, event_kind_text(event->kind), FIELD_TEXT("phase", phases[event->a]),
        FIELD_NUMBER("peer", event->b));
}

static void log_configuration(const struct node_log *log, const struct event *event)
{
    static const char *const steps[] = { [CONFIGURATION_JOINT] = "joint",
                                         [CONFIGURATION_FINAL] = "final",
                                         [CONFIGURATION_ROLLED_BACK] = "rolled-back",
                                         [CONFIGURATION_LOADED] = "loaded" };
    const struct configuration *now = replica_configuration(log->replica);
    char members[1024] = "";
    ASSERT(event->b < ARRAY_COUNT(steps));
    for (uint32_t slot = 0, used = 0; slot < MEMBERS_MAX && used < sizeof(members); slot++) {
        const struct member *member = &now->members[slot];
        if (member->id != 0)
            used += (uint32_t)snprintf(members + used, sizeof(members) - used, "%s%llu%s", used > 0 ? " " : "",
                                       (unsigned long long)member->id,
                                       (member->roles & MEMBER_VOTER) != 0       ? ""
                                       : (member->roles & MEMBER_VOTER_OLD) != 0 ? "(leaves)"
                                                                                 : "(learner)");
    }
    LOG(LOG_LEVEL_INFO, event_kind_text(event->kind), FIELD_NUMBER("index", event->a),
        FIELD_TEXT("step", steps[event->b]), FIELD_TEXT("members", members));
}

/* count: 0 leaves the field out. */
static void log_event(const struct event *event, uint64_t count)
{
    ASSERT(event->kind < EVENT_KINDS);
    const char *a = event_views[event->kind].a, *b = event_views[event->kind].b;
    ASSERT(a != NULL);
    struct logger_field fields[3] = { FIELD_NUMBER(a, event->a) };
    uint32_t used = 1;
    if (event->kind == EVENT_SCRUB_MENDED)
        fields[0] = (struct logger_field)FIELD_TEXT(a, event->a == DEVICE_WAL ? "wal" : "data");
    if (b != NULL)
        fields[used++] = (struct logger_field)FIELD_NUMBER(b, event->b);
    if (count > 0)
        fields[used++] = (struct logger_field)FIELD_NUMBER("count", count);
    logger_write(event_views[event->kind].level, event_kind_text(event->kind), fields, used);
}

/* ---- bursts ---- */

static struct log_burst *burst_of(struct node_log *log, enum event_kind kind)
{
    static const enum event_kind kinds[BURST_KINDS] = { EVENT_SCRUB_MENDED, EVENT_PAGE_DAMAGED, EVENT_BATCH_DAMAGED,
                                                        EVENT_ENTRY_REPAIRED, EVENT_READ_RETRIED };
    for (uint32_t at = 0; at < BURST_KINDS; at++)
        if (kinds[at] == kind)
            return &log->bursts[at];
    return NULL;
}

static void burst_say(struct log_burst *burst, uint64_t now_ns)
{
    log_event(&burst->last, burst->count > 1 ? burst->count : 0);
    burst->next_ns = now_ns + BURST_LOG_NS;
    burst->count = 0;
}

static void burst_add(struct log_burst *burst, const struct event *event, uint64_t now_ns)
{
    burst->count++;
    burst->last = *event;
    if (now_ns >= burst->next_ns)
        burst_say(burst, now_ns);
}

void node_log_turn(struct node_log *log, uint64_t now_ns, bool last)
{
    for (uint32_t at = 0; at < BURST_KINDS; at++)
        if (log->bursts[at].count > 0 && (last || now_ns >= log->bursts[at].next_ns))
            burst_say(&log->bursts[at], now_ns);
}

void node_log_events(struct node_log *log, const struct output *output, uint64_t now_ns)
{
    const uint32_t count = u32_min(output->event_count, output->event_max);
    for (uint32_t slot = 0; slot < count; slot++) {
        const struct event *event = &output->events[slot];
        struct log_burst *burst = burst_of(log, event->kind);
        log->space_refused |= event->kind == EVENT_EXECUTED && event->b == REPLY_NO_SPACE;
        if (event->kind == EVENT_ROLE)
            log_role(log, event);
        else if (event->kind == EVENT_INSTALL)
            log_install(event);
        else if (event->kind == EVENT_CONFIGURATION)
            log_configuration(log, event);
        else if (burst != NULL)
            burst_add(burst, event, now_ns);
        else if (logger_enabled(event_views[event->kind].level))
            log_event(event, 0);
    }
}

/* ---- refusals ---- */

/* The place of this node and reason. NULL: there are too many of them. */
static struct log_refusal *refusal_place(struct node_log *log, uint64_t node_id, enum frame_verdict verdict,
                                         uint64_t now_ns)
{
    struct log_refusal *place = NULL;
    for (uint32_t at = 0; at < MEMBERS_MAX; at++) {
        struct log_refusal *refusal = &log->refusals[at];
        if (refusal->node_id == node_id && refusal->verdict == verdict)
            return refusal;
        if (refusal->node_id == 0 || now_ns >= refusal->next_ns)
            place = refusal;
    }
    if (place != NULL)
        *place = (struct log_refusal){ .node_id = node_id, .verdict = verdict };
    return place;
}

/* May it be said? */
static bool refusal_note(struct node_log *log, uint64_t node_id, enum frame_verdict verdict, bool by_peer,
                         uint64_t now_ns)
{
    struct log_refusal *refusal = refusal_place(log, node_id, verdict, now_ns);
    if (refusal == NULL)
        return false;
    if (by_peer) {
        refusal->first_ns = refusal->by_peer ? refusal->first_ns : now_ns;
        refusal->last_ns = now_ns;
        refusal->by_peer = true;
    }
    if (now_ns < refusal->next_ns)
        return false;
    refusal->next_ns = now_ns + REFUSAL_LOG_NS;
    return true;
}

static void log_duplicate(const char *event, uint64_t node_id)
{
    char cause[192];
    snprintf(
        cause, sizeof cause,
        "the cluster knows node %llu with another data directory; start it with that one, or, if that one is lost, "
        "with a new one and --rejoin",
        (unsigned long long)node_id);
    LOG(LOG_LEVEL_WARN, event, FIELD_TEXT("cause", cause));
}

/* A directory that holds nothing yet was made under the wrong id. Of two that hold something, who can tell? */
static void log_foreign(const struct node_log *log, const char *event, const struct frame_header *header,
                        const char *remote)
{
    const unsigned long long own = log->options->config->cluster_id, other = header->cluster_id;
    const char *wrong = frame_verdict_text(FRAME_WRONG_CLUSTER);
    struct replica_view view;
    char cause[640];
    replica_inspect(log->replica, &view);
    if (view.last.index == 0 && view.commit == 0)
        snprintf(cause, sizeof cause,
                 "%s: this directory is new, and was made for cluster %llu, but node %llu is of cluster %llu: remove "
                 "%s and start this node again with --rejoin --cluster-id %llu",
                 wrong, own, (unsigned long long)header->from, other, log->options->data_path, other);
    else
        snprintf(cause, sizeof cause,
                 "%s: node %llu is of cluster %llu, this one of cluster %llu: one of the two has a directory that must "
                 "be made anew, with --cluster-id as raftctl status of the right cluster shows it, and --rejoin; or "
                 "with --join",
                 wrong, (unsigned long long)header->from, other, own);
    LOG(LOG_LEVEL_WARN, event, FIELD_NUMBER("peer", header->from), FIELD_TEXT("remote", remote),
        FIELD_NUMBER("its_cluster", other), FIELD_NUMBER("cluster", own), FIELD_TEXT("cause", cause));
}

void node_log_refused(struct node_log *log, enum frame_verdict verdict, struct slice frame, const char *remote,
                      uint64_t now_ns)
{
    const uint64_t self = log->options->config->node_id;
    struct frame_header header = { .from = 0 };
    if (frame.count >= sizeof(header))
        memcpy(&header, frame.bytes, sizeof(header));
    const uint64_t about = verdict == FRAME_DUPLICATE_NODE && header.type == FRAME_REFUSAL ? self : header.from;
    const bool repeats = verdict == FRAME_DUPLICATE_NODE || (verdict == FRAME_WRONG_CLUSTER && header.from != 0);
    if (repeats && !refusal_note(log, about, verdict, false, now_ns))
        return;
    if (verdict == FRAME_DUPLICATE_NODE)
        log_duplicate("frame-refused", about);
    else if (repeats)
        log_foreign(log, "frame-refused", &header, remote);
    else
        LOG(LOG_LEVEL_WARN, "frame-refused", FIELD_TEXT("cause", frame_verdict_text(verdict)),
            FIELD_TEXT("remote", remote), FIELD_NUMBER("from", header.from), FIELD_NUMBER("type", header.type),
            FIELD_NUMBER("bytes", frame.count));
}

void node_log_refusal(struct node_log *log, struct slice frame, const char *address, uint64_t now_ns)
{
    const uint64_t self = log->options->config->node_id;
    struct frame_header header;
    struct message message;
    memcpy(&header, frame.bytes, sizeof(header));
    if (header.type != FRAME_REFUSAL)
        return;
    const struct frame_context context = {
        .cluster_id = header.cluster_id,
        .fingerprint = header.fingerprint,
        .frame_bytes_max = log->options->limits->frame_bytes_max,
    };
    if (message_decode(frame, &context, &message) != FRAME_OK)
        return;
    const enum frame_verdict reason = message.refusal.reason;
    const bool repeats = reason == FRAME_DUPLICATE_NODE || (reason == FRAME_WRONG_CLUSTER && message.from != 0);
    if (repeats && !refusal_note(log, reason == FRAME_DUPLICATE_NODE ? self : message.from, reason, true, now_ns))
        return;
    if (reason == FRAME_DUPLICATE_NODE)
        log_duplicate("refused-by-peer", self);
    else if (repeats)
        log_foreign(log, "refused-by-peer", &header, address);
    else
        LOG(LOG_LEVEL_WARN, "refused-by-peer", FIELD_NUMBER("peer", message.from), FIELD_TEXT("address", address),
            FIELD_TEXT("cause", frame_verdict_text(reason)));
}

static bool is_foreign(const struct node_log *log, uint64_t node_id, uint64_t duration_ns)
{
    for (uint32_t at = 0; at < MEMBERS_MAX; at++) {
        const struct log_refusal *refusal = &log->refusals[at];
        if (refusal->node_id == node_id && refusal->verdict == FRAME_WRONG_CLUSTER && refusal->by_peer)
            return refusal->last_ns - refusal->first_ns >= duration_ns;
    }
    return false;
}

bool node_log_is_foreign(const struct node_log *log, uint64_t duration_ns)
{
    const struct configuration *now = replica_configuration(log->replica);
    uint32_t others = 0, foreign = 0;
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++) {
        const struct member *member = &now->members[slot];
        if ((member->roles & MEMBER_VOTER) == 0 || member->id == log->options->config->node_id)
            continue;
        others++;
        foreign += is_foreign(log, member->id, duration_ns);
    }
    return foreign > others / 2;
}

/* Counters of a schedule and of a campaign. */
#include "coverage.h"

static const char *const fault_texts[FAULT_KINDS] = {
    [FAULT_LOSS] = "loss",
    [FAULT_SELECTIVE_LOSS] = "selective_loss",
    [FAULT_DUPLICATE] = "duplicate",
    [FAULT_DUPLICATE_LATE] = "duplicate_late",
    [FAULT_DELAY] = "delay",
    [FAULT_BIT_FLIP] = "bit_flip",
    [FAULT_TRUNCATION] = "truncation",
    [FAULT_FOREIGN_FRAME] = "foreign_frame",
    [FAULT_PAGE_FALSE] = "page_false",
    [FAULT_SPLIT] = "split",
    [FAULT_ONE_WAY] = "one_way",
    [FAULT_PAIR] = "pair",
    [FAULT_ISOLATED_LEADER] = "isolated_leader",
    [FAULT_CLIENTS_CUT] = "clients_cut",
    [FAULT_CLOG] = "clog",
    [FAULT_SWIZZLE] = "swizzle",
    [FAULT_ROLLING_RESTART] = "rolling_restart",
    [FAULT_LEADER_HUNTED] = "leader_hunted",
    [FAULT_HOLDER_CUT] = "holder_cut",
    [FAULT_FORKED] = "forked",
    [FAULT_FORK_KEPT] = "fork_kept",
    [FAULT_DECISION_SPLICED] = "decision_spliced",
    [FAULT_DECISION_SHIFTED] = "decision_shifted",
    [FAULT_DECISION_INSERTED] = "decision_inserted",
    [FAULT_LINK_DEMOTED] = "link_demoted",
    [FAULT_DISK_DEMOTED] = "disk_demoted",
    [FAULT_TIMER_DEMOTED] = "timer_demoted",
    [FAULT_DISK_REORDER] = "disk_reorder",
    [FAULT_DISK_STALL] = "disk_stall",
    [FAULT_WRITE_LOST] = "write_lost",
    [FAULT_WRITE_TORN] = "write_torn",
    [FAULT_WRITE_KEPT] = "write_kept",
    [FAULT_READ_ERROR] = "read_error",
    [FAULT_WRITE_ERROR] = "write_error",
    [FAULT_WRITE_FULL] = "write_full",
    [FAULT_READ_TORN] = "read_torn",
    [FAULT_DISK_SLOW] = "disk_slow",
    [FAULT_DISK_STUCK] = "disk_stuck",
    [FAULT_BIT_ROT] = "bit_rot",
    [FAULT_READ_STICKY] = "read_sticky",
    [FAULT_WRITE_SWALLOWED] = "write_swallowed",
    [FAULT_WRITE_MISDIRECTED] = "write_misdirected",
    [FAULT_READ_MISDIRECTED] = "read_misdirected",
    [FAULT_SUPERBLOCK_SOME] = "superblock_some",
    [FAULT_SUPERBLOCK_ALL] = "superblock_all",
    [FAULT_DISK_WIPED] = "disk_wiped",
    [FAULT_BAD_SUPERBLOCK] = "bad_superblock",
    [FAULT_BAD_HEADER] = "bad_header",
    [FAULT_BAD_BODY] = "bad_body",
    [FAULT_BAD_DATA] = "bad_data",
    [FAULT_BAD_DOWN] = "bad_down",
    [FAULT_BAD_MAJORITY] = "bad_majority",
    [FAULT_HARM_SEEN] = "harm_seen",
    [FAULT_DRIFT] = "drift",
    [FAULT_CLOCK_FORWARD] = "clock_forward",
    [FAULT_CLOCK_BACKWARD] = "clock_backward",
    [FAULT_CLOCK_RESTART] = "clock_restart",
    [FAULT_CRASH] = "crash",
    [FAULT_CRASH_IN_EFFECTS] = "crash_in_effects",
    [FAULT_CRASH_IN_RECOVERY] = "crash_in_recovery",
    [FAULT_CRASH_IN_CHECKPOINT] = "crash_in_checkpoint",
    [FAULT_CRASH_IN_LOAD] = "crash_in_load",
    [FAULT_POWER_LOSS] = "power_loss",
    [FAULT_POWER_LOSS_IN_EFFECTS] = "power_loss_in_effects",
    [FAULT_POWER_LOSS_AGAIN] = "power_loss_again",
    [FAULT_FAST_RESTART] = "fast_restart",
    [FAULT_PAUSE] = "pause",
    [FAULT_STALE_CLOCK] = "stale_clock",
    [FAULT_BACKLOG] = "backlog",
    [FAULT_OVERLOAD] = "overload",
    [FAULT_RETRY_AFTER] = "retry_after",
    [FAULT_LATE_REPLY] = "late_reply",
    [FAULT_BATCH] = "batch",
    [FAULT_HEDGE] = "hedge",
    [FAULT_CROWD] = "crowd",
    [FAULT_OUTPUT_FULL] = "output_full",
    [FAULT_RETRY] = "retry",
    [FAULT_ABANDON] = "abandon",
    [FAULT_MALFORMED_REQUEST] = "malformed_request",
    [FAULT_CHECKPOINT_ASKED] = "checkpoint_asked",
    [FAULT_SNAPSHOT_SAVED] = "snapshot_saved",
    [FAULT_STUBBORN_CLIENT] = "stubborn_client",
    [FAULT_SESSION_LOST] = "session_lost",
    [FAULT_OUTSIDER] = "outsider",
    [FAULT_LEARNER_ADDED] = "learner_added",
    [FAULT_VOTER_ADDED] = "voter_added",
    [FAULT_LEARNER_PROMOTED] = "learner_promoted",
    [FAULT_VOTER_DEMOTED] = "voter_demoted",
    [FAULT_MEMBER_REMOVED] = "member_removed",
    [FAULT_ADDRESS_CHANGED] = "address_changed",
    [FAULT_PRIORITY_CHANGED] = "priority_changed",
    [FAULT_CHANGE_OF_SEVERAL] = "change_of_several",
    [FAULT_CHANGE_FORCED] = "change_forced",
    [FAULT_LEADER_REMOVED] = "leader_removed",
    [FAULT_MEMBER_READDED] = "member_readded",
    [FAULT_CHANGE_TOGETHER] = "change_together",
    [FAULT_CHANGE_OF_DOWN] = "change_of_down",
    [FAULT_CHANGE_OF_CUT] = "change_of_cut",
    [FAULT_JOINT_ENTERED] = "joint_entered",
    [FAULT_JOINT_LEFT] = "joint_left",
    [FAULT_JOINT_LEFT_LATER] = "joint_left_later",
    [FAULT_CHANGE_UNDONE] = "change_undone",
    [FAULT_JOINED_BY_LOG] = "joined_by_log",
    [FAULT_JOINED_BY_PAGES] = "joined_by_pages",
    [FAULT_STOPPED_REMOVED] = "stopped_removed",
    [FAULT_STOPPED_UNVOTED] = "stopped_unvoted",
    [FAULT_REMOVED_CAMPAIGNS] = "removed_campaigns",
    [FAULT_REMOVED_REVIVED] = "removed_revived",
    [FAULT_LEARNER_CAMPAIGNS] = "learner_campaigns",
    [FAULT_LEARNER_LEADS] = "learner_leads",
    [FAULT_LEADER_LEAVES] = "leader_leaves",
    [FAULT_LEADER_PREFERS] = "leader_prefers",
    [FAULT_PREFERRED_LEADS] = "preferred_leads",
};

const char *fault_kind_text(enum fault_kind kind)
{
    ASSERT(kind < FAULT_KINDS);
    return fault_texts[kind];
}

const char *progress_text(uint32_t state)
{
    static const char *const texts[PROGRESS_STATES] = { "probe", "replicate", "snapshot" };
    ASSERT(state < PROGRESS_STATES);
    return texts[state];
}

const char *read_kind_text(enum read_kind kind)
{
    static const char *const texts[READ_KINDS] = {
        [READ_LEADER] = "leader_read",   [READ_LEASE] = "lease_read",     [READ_FOLLOWER] = "follower_read",
        [READ_LEARNER] = "learner_read", [READ_BOUNDED] = "bounded_read", [READ_STALE] = "stale_read",
    };
    ASSERT(kind < READ_KINDS);
    return texts[kind];
}

const char *demand_text(enum liveness_world world, enum liveness_demand demand)
{
    static const char *const texts[LIVENESS_WORLDS][LIVENESS_DEMANDS] = {
        [LIVENESS_WHOLE] = { "whole_world", "whole_progress", "whole_call", "whole_read", "whole_stale_read" },
        [LIVENESS_FULL] = { "full_world", "full_progress", "full_call", "full_read", "full_stale_read" },
        [LIVENESS_MINORITY] = { "minority_world", "minority_progress", "minority_call", "minority_read",
                                "minority_stale_read" },
        [LIVENESS_DAMAGED] = { "damaged_world", "damaged_progress", "damaged_call", "damaged_read",
                               "damaged_stale_read" },
    };
    ASSERT(world < LIVENESS_WORLDS);
    ASSERT(demand < LIVENESS_DEMANDS);
    return texts[world][demand];
}

void coverage_reset(struct coverage *coverage) { memset(coverage, 0, sizeof *coverage); }

/* All members are counters of 64 bits. */
void coverage_add(struct coverage *sum, const struct coverage *part)
{
    STATIC_ASSERT(sizeof(struct coverage) % sizeof(uint64_t) == 0, "counters only");
    uint64_t to[sizeof(struct coverage) / sizeof(uint64_t)];
    uint64_t from[ARRAY_COUNT(to)];
    memcpy(to, sum, sizeof to);
    memcpy(from, part, sizeof from);
    for (uint32_t i = 0; i < ARRAY_COUNT(to); i++)
        to[i] += from[i];
    memcpy(sum, to, sizeof to);
}

void coverage_fire(struct coverage *coverage, enum fault_kind kind)
{
    ASSERT(kind < FAULT_KINDS);
    coverage->fired[kind]++;
}

/* From how many schedules on none may miss it by chance. */
static uint64_t fault_schedules_min(enum fault_kind kind)
{
    if (kind == FAULT_LATE_REPLY || kind == FAULT_LEARNER_CAMPAIGNS || kind == FAULT_LEARNER_LEADS
        || kind == FAULT_REMOVED_REVIVED)
        return COVERAGE_SCHEDULES_RAREST;
    const bool rare = (kind >= FAULT_READ_TORN && kind <= FAULT_HARM_SEEN) || kind == FAULT_CRASH_IN_RECOVERY
                      || kind == FAULT_CRASH_IN_LOAD || kind == FAULT_POWER_LOSS_AGAIN
                      || kind == FAULT_POWER_LOSS_IN_EFFECTS || kind == FAULT_WRITE_FULL || kind == FAULT_PAGE_FALSE
                      || kind == FAULT_OUTPUT_FULL || kind == FAULT_DUPLICATE_LATE
                      || (kind >= FAULT_MEMBERS_FIRST && kind <= FAULT_MEMBERS_LAST);
    return rare ? COVERAGE_SCHEDULES_RARE : COVERAGE_SCHEDULES_MIN;
}

static bool check_is_rare(enum check_kind kind) { return kind == CHECK_STOP || kind == CHECK_REFUSAL; }

/* Logs make room again, and a minority is left only where logs cannot: too rare to wait for. */
static bool world_is_expected(enum liveness_world world, bool rare)
{
    return world == LIVENESS_WHOLE || (rare && world == LIVENESS_DAMAGED);
}

/* What no correct replica does, in memory that does not lie. */
static bool event_is_expected(enum event_kind kind)
{
    return kind != EVENT_IMPOSSIBLE && kind != EVENT_DIVERGED && kind != EVENT_DIFFERS && kind != EVENT_DOUBT
           && kind != EVENT_MEMORY_MENDED;
}

static uint64_t event_schedules_min(enum event_kind kind)
{
    if (kind == EVENT_UNRECOVERABLE || kind == EVENT_LED_IN_VAIN)
        return COVERAGE_SCHEDULES_RAREST;
    const bool rare = kind == EVENT_SUPERBLOCK_REPAIR || kind == EVENT_PAGE_DAMAGED || kind == EVENT_INSTALL_UNFIT
                      || kind == EVENT_CHECKPOINT_RENEW || (kind >= EVENT_ABSTAIN_OVER && kind <= EVENT_REPLACED);
    return rare ? COVERAGE_SCHEDULES_RARE : COVERAGE_SCHEDULES_MIN;
}

const char *coverage_gap(const struct coverage *coverage, bool complete)
{
    if (coverage->schedules < COVERAGE_SCHEDULES_MIN)
        return NULL;
    const bool rare = coverage->schedules >= COVERAGE_SCHEDULES_RARE;
    for (enum fault_kind kind = 0; kind < FAULT_KINDS; kind++) {
        const bool expected = complete || coverage->enabled[kind] >= COVERAGE_SCHEDULES_MIN;
        if (expected && coverage->fired[kind] == 0 && coverage->schedules >= fault_schedules_min(kind))
            return fault_kind_text(kind);
    }
    if (!complete)
        return NULL;
    for (enum check_kind kind = 0; kind < CHECK_KINDS; kind++)
        if (coverage->checks[kind] == 0 && (rare || !check_is_rare(kind)))
            return check_kind_text(kind);
    for (enum event_kind kind = 0; kind < EVENT_KINDS; kind++)
        if (coverage->events[kind] == 0 && event_is_expected(kind) && coverage->schedules >= event_schedules_min(kind))
            return event_kind_text(kind);
    for (uint32_t state = 0; state < PROGRESS_STATES; state++)
        if (coverage->progress[state] == 0)
            return progress_text(state);
    for (uint32_t status = REPLY_CHANGE_UNDER_WAY; status < REPLY_STATUSES; status++)
        if (coverage->replies[status] == 0 && rare)
            return reply_status_text((enum reply_status)status);
    for (enum read_kind kind = 0; kind < READ_KINDS; kind++)
        if (coverage->reads[kind] == 0 && (rare || kind != READ_LEARNER))
            return read_kind_text(kind);
    for (enum liveness_world world = 0; world < LIVENESS_WORLDS; world++)
        for (enum liveness_demand demand = 0; demand < LIVENESS_DEMANDS; demand++)
            if (coverage->demands[world][demand] == 0 && world_is_expected(world, rare))
                return demand_text(world, demand);
    return NULL;
}

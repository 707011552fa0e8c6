/* Telling observers, and the names of what they are told. */
#include "observe.h"

#include <stdio.h>

void observe(const struct scene *scene, struct observed observed)
{
    observed.time_ns = scene->now_ns;
    observed.step = scene->step;
    scene->observer->see(scene->observer, &observed);
}

void observe_lost(const struct scene *scene, uint32_t from, uint32_t to, struct slice frame, enum frame_fate fate,
                  uint32_t cut)
{
    observe(scene, (struct observed){ .kind = OBSERVED_SEND,
                                      .who = from,
                                      .send = { .to = to, .fate = fate, .frame = frame, .cut = cut } });
}

void observe_fault(const struct scene *scene, uint32_t node, enum fault_kind fault)
{
    observe(scene, (struct observed){ .kind = OBSERVED_FAULT, .who = node, .fault = fault });
}

static void group_see(struct observer *observer, const struct observed *observed)
{
    struct observer_group *group = (struct observer_group *)observer;
    for (uint32_t i = 0; i < group->count && !observer->enough; i++) {
        group->members[i]->see(group->members[i], observed);
        if (group->members[i]->enough) {
            observer->enough = true;
            return;
        }
    }
}

void observer_group_init(struct observer_group *group)
{
    *group = (struct observer_group){ .observer = { .see = group_see } };
}

void observer_group_add(struct observer_group *group, struct observer *member)
{
    ASSERT(group->count < ARRAY_COUNT(group->members));
    group->members[group->count++] = member;
}

const char *frame_fate_text(enum frame_fate fate)
{
    static const char *const texts[FATE_KINDS] = {
        [FATE_SENT] = "sent",
        [FATE_DUPLICATE] = "duplicate",
        [FATE_LATE] = "late duplicate",
        [FATE_RELEASED] = "released",
        [FATE_CUT] = "cut",
        [FATE_LOST] = "lost",
        [FATE_SELECTED] = "selected",
        [FATE_NO_ROOM] = "no room",
        [FATE_HELD] = "held",
    };
    ASSERT(fate < FATE_KINDS);
    return texts[fate];
}

const char *endpoint_text(uint32_t endpoint, char text[ENDPOINT_TEXT_BYTES])
{
    if (endpoint < ENDPOINT_CLIENT)
        snprintf(text, ENDPOINT_TEXT_BYTES, "n%u", (unsigned)endpoint);
    else if (endpoint < ENDPOINTS)
        snprintf(text, ENDPOINT_TEXT_BYTES, "c%u", (unsigned)endpoint - ENDPOINT_CLIENT);
    else
        snprintf(text, ENDPOINT_TEXT_BYTES, "-");
    return text;
}

const char *observed_kind_text(enum observed_kind kind)
{
    static const char *const texts[OBSERVED_KINDS] = {
        [OBSERVED_BEGIN] = "begin",       [OBSERVED_START] = "start",   [OBSERVED_STEP] = "step",
        [OBSERVED_SEND] = "send",         [OBSERVED_ARRIVE] = "arrive", [OBSERVED_DISK_BEGIN] = "disk",
        [OBSERVED_DISK_END] = "disk-end", [OBSERVED_CRASH] = "crash",   [OBSERVED_STOP] = "stop",
        [OBSERVED_PAUSE] = "pause",       [OBSERVED_FAULT] = "fault",   [OBSERVED_CUT] = "cut",
        [OBSERVED_CLOG] = "clog",         [OBSERVED_MEND] = "mend",     [OBSERVED_HEAL] = "heal",
        [OBSERVED_CALL] = "call",         [OBSERVED_RETURN] = "return", [OBSERVED_VIOLATION] = "violation",
    };
    ASSERT(kind < OBSERVED_KINDS);
    return texts[kind];
}

const char *frame_type_text(uint16_t type)
{
    switch (type) {
    case FRAME_VOTE_REQUEST: return "vote?";
    case FRAME_VOTE_RESPONSE: return "vote!";
    case FRAME_APPEND_REQUEST: return "append?";
    case FRAME_APPEND_RESPONSE: return "append!";
    case FRAME_REFUSAL: return "refusal";
    case FRAME_CHECKPOINT_REQUEST: return "checkpoint?";
    case FRAME_CHECKPOINT_RESPONSE: return "checkpoint!";
    case FRAME_REPAIR_REQUEST: return "repair?";
    case FRAME_REPAIR_RESPONSE: return "repair!";
    case FRAME_TIMEOUT_NOW: return "timeout-now";
    case FRAME_REJOIN_REQUEST: return "rejoin?";
    case FRAME_REJOIN_RESPONSE: return "rejoin!";
    case FRAME_READ_INDEX_REQUEST: return "read-index?";
    case FRAME_READ_INDEX_RESPONSE: return "read-index!";
    case FRAME_CLIENT_REQUEST: return "request";
    case FRAME_CLIENT_REPLY: return "reply";
    default: return "unknown";
    }
}

const char *request_kind_text(uint8_t kind)
{
    static const char *const kinds[] = {
        [REQUEST_REGISTER] = "register", [REQUEST_PUT] = "put",
        [REQUEST_DELETE] = "delete",     [REQUEST_APPEND] = "append",
        [REQUEST_CAS] = "cas",           [REQUEST_TXN] = "txn",
        [REQUEST_GET] = "get",           [REQUEST_GET_STALE] = "get-stale",
        [REQUEST_STATUS] = "status",     [REQUEST_CHECKPOINT] = "checkpoint",
        [REQUEST_TRANSFER] = "transfer", [REQUEST_MEMBERS] = "members",
    };
    return kind < ARRAY_COUNT(kinds) && kinds[kind] != NULL ? kinds[kind] : "?";
}

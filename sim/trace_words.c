/* The words of traces: verbs and names of arguments, classes, values that have names. */
#include <string.h>

#include "../core/request.h"
#include "../core/wal.h"
#include "atlas.h"
#include "disk.h"
#include "pct.h"
#include "trace.h"

const struct site_words site_words[SITES] = {
#define SITE(name, kind, subject_, head_, unit_, text_) \
    [SITE_##name] = { .subject = SUBJECT_##subject_, .head = SITE_##head_, .unit = UNIT_##unit_, .text = (text_) },
#include "choose_sites.def"
#undef SITE
};

static const char *const class_texts[CLASSES] = {
    [FRAME_VOTE_REQUEST] = "vote?",
    [FRAME_VOTE_RESPONSE] = "vote!",
    [FRAME_APPEND_REQUEST] = "append?",
    [FRAME_APPEND_RESPONSE] = "append!",
    [FRAME_REFUSAL] = "refusal",
    [FRAME_CHECKPOINT_REQUEST] = "checkpoint?",
    [FRAME_CHECKPOINT_RESPONSE] = "checkpoint!",
    [FRAME_REPAIR_REQUEST] = "repair?",
    [FRAME_REPAIR_RESPONSE] = "repair!",
    [FRAME_TIMEOUT_NOW] = "timeout-now",
    [FRAME_REJOIN_REQUEST] = "rejoin?",
    [FRAME_REJOIN_RESPONSE] = "rejoin!",
    [FRAME_READ_INDEX_REQUEST] = "read-index?",
    [FRAME_READ_INDEX_RESPONSE] = "read-index!",
    [FRAME_PEER_LAST + 1] = "unknown",
    [FRAME_CLIENT_REQUEST] = "request",
    [FRAME_CLIENT_REPLY] = "reply",
    [CLASS_HEARTBEAT] = "heartbeat",
    [CLASS_START] = "start",
    [CLASS_TICK] = "tick",
    [CLASS_REQUEST + REQUEST_REGISTER] = "register",
    [CLASS_REQUEST + REQUEST_PUT] = "put",
    [CLASS_REQUEST + REQUEST_DELETE] = "delete",
    [CLASS_REQUEST + REQUEST_APPEND] = "append",
    [CLASS_REQUEST + REQUEST_CAS] = "cas",
    [CLASS_REQUEST + REQUEST_TXN] = "txn",
    [CLASS_REQUEST + REQUEST_GET] = "get",
    [CLASS_REQUEST + REQUEST_GET_STALE] = "get-stale",
    [CLASS_REQUEST + REQUEST_STATUS] = "status",
    [CLASS_REQUEST + REQUEST_CHECKPOINT] = "ask-checkpoint",
    [CLASS_REQUEST + REQUEST_TRANSFER] = "transfer",
    [CLASS_REQUEST + REQUEST_MEMBERS] = "ask-members",
    [CLASS_DISK + WAL_WRITE_BATCH] = "batch",
    [CLASS_DISK + WAL_WRITE_NAME] = "name",
    [CLASS_DISK + WAL_WRITE_SUPERBLOCK] = "superblock",
    [CLASS_DISK + WAL_READ] = "read",
    [CLASS_PAGES] = "pages",
    [CLASS_LOAD] = "load",
};
STATIC_ASSERT(CLASS_REQUEST + REQUEST_KIND_LAST < CLASS_DISK, "requests and operations have classes of their own");
STATIC_ASSERT((uint32_t)CLASS_HEARTBEAT > (uint32_t)FRAME_CLIENT_REPLY, "frames have classes of their own");

const char *trace_class_text(uint32_t class) { return class < CLASSES ? class_texts[class] : NULL; }

const char *nemesis_text(enum nemesis_kind kind)
{
    static const char *const names[NEMESIS_KINDS] = {
        [NEMESIS_SPLIT] = "split",     [NEMESIS_ONE_WAY] = "one_way",   [NEMESIS_PAIR] = "pair",
        [NEMESIS_LEADER] = "leader",   [NEMESIS_CLIENTS] = "clients",   [NEMESIS_CLOG] = "clog",
        [NEMESIS_CRASH] = "crash",     [NEMESIS_POWER] = "power",       [NEMESIS_PAUSE] = "pause",
        [NEMESIS_FORWARD] = "forward", [NEMESIS_BACKWARD] = "backward", [NEMESIS_STALL] = "stall",
        [NEMESIS_ROT] = "rot",         [NEMESIS_STICKY] = "sticky",     [NEMESIS_SUPERBLOCK] = "superblock",
        [NEMESIS_SLOW] = "slow",       [NEMESIS_STUCK] = "stuck",       [NEMESIS_POWER_AGAIN] = "power_again",
        [NEMESIS_WIPE] = "wipe",       [NEMESIS_DEMOTE] = "demote",     [NEMESIS_SWIZZLE] = "swizzle",
        [NEMESIS_ROLLING] = "rolling", [NEMESIS_HUNT] = "hunt",         [NEMESIS_HOLDER] = "holder",
    };
    ASSERT(kind < NEMESIS_KINDS);
    return names[kind];
}

static const struct {
    enum trace_unit unit;
    uint64_t value;
    const char *text;
} values[] = {
    { UNIT_WRITE, DISK_ERROR, "error" },
    { UNIT_WRITE, DISK_FULL, "full" },
    { UNIT_SURVIVAL, SURVIVE_PREFIX, "prefix" },
    { UNIT_SURVIVAL, SURVIVE_SUBSET, "subset" },
    { UNIT_SURVIVAL, SURVIVE_LAST, "last" },
    { UNIT_SURVIVAL, SURVIVE_ALL, "all" },
    { UNIT_ZONE, ZONE_HEADER, "header" },
    { UNIT_ZONE, ZONE_BODY, "body" },
    { UNIT_ZONE, ZONE_DATA, "data" },
    { UNIT_THREAD, THREAD_DISK, "disk" },
    { UNIT_THREAD, THREAD_TIMER, "timer" },
    { UNIT_REQUEST, REQUEST_REGISTER, "register" },
    { UNIT_REQUEST, REQUEST_PUT, "put" },
    { UNIT_REQUEST, REQUEST_DELETE, "delete" },
    { UNIT_REQUEST, REQUEST_APPEND, "append" },
    { UNIT_REQUEST, REQUEST_CAS, "cas" },
    { UNIT_REQUEST, REQUEST_TXN, "txn" },
    { UNIT_REQUEST, REQUEST_GET, "get" },
    { UNIT_REQUEST, REQUEST_GET_STALE, "get-stale" },
    { UNIT_REQUEST, REQUEST_TRANSFER, "transfer" },
    { UNIT_OUTSIDER, 1, "down" },
    { UNIT_OUTSIDER, 2, "isolated" },
    { UNIT_OUTSIDER, 3, "mute" },
    { UNIT_OUTSIDER, 4, "deaf" },
    { UNIT_MEMBER, MEMBER_ADD_LEARNER, "learner" },
    { UNIT_MEMBER, MEMBER_ADD_VOTER, "voter" },
    { UNIT_MEMBER, MEMBER_PROMOTE, "promote" },
    { UNIT_MEMBER, MEMBER_DEMOTE, "demote" },
    { UNIT_MEMBER, MEMBER_REMOVE, "remove" },
    { UNIT_MEMBER, MEMBER_SET_ADDRESS, "move" },
    { UNIT_MEMBER, MEMBER_SET_PRIORITY, "prefer" },
};

const char *trace_word(enum trace_unit unit, uint64_t value)
{
    for (uint32_t i = 0; i < ARRAY_COUNT(values); i++)
        if (values[i].unit == unit && values[i].value == value)
            return values[i].text;
    return NULL;
}

bool trace_word_value(enum trace_unit unit, const char *word, size_t bytes, uint64_t *value)
{
    for (uint32_t i = 0; i < ARRAY_COUNT(values); i++)
        if (values[i].unit == unit && strlen(values[i].text) == bytes && memcmp(values[i].text, word, bytes) == 0) {
            *value = values[i].value;
            return true;
        }
    return false;
}

/* Cases for the test of recovery, and what a start must make of each: what a disk may have left of a scene, and an
 * oracle that knows how it came about: which batch was written, what damaged it, which names are left. It never looks
 * at a header to learn what a batch held. */
#ifndef WW_TEST_RECOVERY_ORACLE_H
#define WW_TEST_RECOVERY_ORACLE_H

#include "recovery_scene.h"

/* ---- cases: what the disk made of a scene ---- */

enum tail_state {
    TAIL_VALID,
    TAIL_TORN_HEAD, /* the first block new, the second as it was */
    TAIL_TORN_BODY, /* the other way round */
    TAIL_ZERO,
    TAIL_GARBAGE,
    TAIL_UNREADABLE,
    TAIL_UNCHAINED, /* whole and intact, behind a batch that is not here */
    TAIL_STALE,     /* as it was: a batch of the life before the cut */
    TAIL_STATES,
};

enum ring_state {
    RING_INTACT,
    RING_NEWEST_UNREADABLE,
    RING_NEWEST_TORN,
    RING_TWO_NEWEST_UNREADABLE,
    RING_OTHERS_UNREADABLE, /* all but the newest */
    RING_UNREADABLE,
    RING_STATES,
};

struct scenario {
    enum tail_state state[TAIL_MAX];
    uint32_t named;
    enum ring_state ring;
};

struct disk {
    uint8_t image[64 * BLOCK];
    struct image_faults faults;
};

static inline void disk_tail(struct disk *disk, const struct scene *scene, const struct scenario *scenario, uint32_t at)
{
    const struct tail_batch *batch = &scene->tail[at];
    uint8_t *to = disk->image + batch->offset;
    switch (scenario->state[at]) {
    case TAIL_VALID: memcpy(to, batch->run, sizeof batch->run); return;
    case TAIL_TORN_HEAD: memcpy(to, batch->run, BLOCK); return;
    case TAIL_TORN_BODY: memcpy(to + BLOCK, batch->run + BLOCK, BLOCK); return;
    case TAIL_ZERO: memset(to, 0, sizeof batch->run); return;
    case TAIL_GARBAGE:
        for (uint32_t i = 0; i < sizeof batch->run; i++)
            to[i] = (uint8_t)(i * 167 + at * 31 + 5);
        return;
    case TAIL_UNREADABLE:
        memcpy(to, batch->run, sizeof batch->run);
        disk->faults.unreadable[batch->offset / BLOCK] = true;
        disk->faults.unreadable[batch->offset / BLOCK + 1] = true;
        return;
    case TAIL_UNCHAINED: memcpy(to, batch->unchained, sizeof batch->unchained); return;
    case TAIL_STALE: return;
    case TAIL_STATES: break;
    }
    UNREACHABLE();
}

/* 0 when there is none. */
static inline uint64_t ring_slot(const struct limits *limits, const struct name_block *name)
{
    return name->offset == 0 ? 0 : (name->offset - wal_header_offset(limits)) / BLOCK;
}

static inline void disk_ring(struct disk *disk, const struct scene *scene, const struct scenario *scenario)
{
    const struct limits *limits = &scene->node->limits;
    const struct name_block *newest = &scene->names[scenario->named];
    static const uint8_t zeros[BLOCK];
    const uint8_t *before = scenario->named > 0 ? scene->past + newest->offset : zeros;
    for (uint32_t i = 1; i <= scenario->named; i++)
        memcpy(disk->image + scene->names[i].offset, scene->names[i].bytes, BLOCK);
    bool *ring = disk->faults.unreadable + wal_header_offset(limits) / BLOCK;
    const uint64_t slot = ring_slot(limits, newest);
    switch (scenario->ring) {
    case RING_INTACT: return;
    case RING_NEWEST_UNREADABLE: ring[slot] = true; return;
    case RING_NEWEST_TORN:
        memcpy(disk->image + newest->offset + IMAGE_TEAR_BYTES, before + IMAGE_TEAR_BYTES, BLOCK - IMAGE_TEAR_BYTES);
        return;
    case RING_TWO_NEWEST_UNREADABLE:
        ring[slot] = true;
        ring[(slot + limits->wal_header_blocks - 1) % limits->wal_header_blocks] = true;
        return;
    case RING_OTHERS_UNREADABLE:
        memset(ring, true, limits->wal_header_blocks);
        ring[slot] = false;
        return;
    case RING_UNREADABLE: memset(ring, true, limits->wal_header_blocks); return;
    case RING_STATES: break;
    }
    UNREACHABLE();
}

static inline void disk_assemble(struct disk *disk, const struct scene *scene, const struct scenario *scenario)
{
    NODE_CHECK(scene->node->image_bytes <= sizeof disk->image, "image over the harness's limit");
    memcpy(disk->image, scene->past, scene->node->image_bytes);
    memset(&disk->faults, 0, sizeof disk->faults);
    for (uint32_t at = 0; at < scene->count; at++)
        disk_tail(disk, scene, scenario, at);
    disk_ring(disk, scene, scenario);
}

/* Where the batch behind so many of the tail begins. */
static inline uint64_t tail_lsn(const struct scene *scene, uint32_t batches)
{
    uint64_t lsn = scene->past_end;
    for (uint32_t i = 0; i < batches; i++)
        lsn = wal_place(&scene->node->limits, lsn + sizeof scene->tail[0].run);
    return lsn;
}

/* Anything but zeros behind lsn, as far as batches can have been in flight? */
static inline bool disk_leftovers(const struct disk *disk, const struct scene *scene, uint64_t lsn)
{
    const struct limits *limits = &scene->node->limits;
    const uint64_t ring = (uint64_t)limits->wal_body_blocks * BLOCK;
    const uint64_t head = scene->node->replica->superblock.durable.head.lsn;
    const uint64_t window = lsn + (uint64_t)(limits->wal_unnamed_max + 1) * limits->wal_batch_bytes_max;
    for (uint64_t at = lsn; at < u64_min(head + ring, window); at++) {
        const uint64_t place = wal_body_offset(limits) + at % ring;
        if (disk->image[place] != 0 || disk->faults.unreadable[place / BLOCK])
            return true;
    }
    return false;
}

/* Is more of the header ring bad than a crash explains, so that the newest names may be among it: two blocks where
 * the next names go, or two anywhere when none can be read? */
static inline bool disk_names_doubtful(const struct disk *disk, const struct scene *scene)
{
    const struct limits *limits = &scene->node->limits;
    bool bad[16] = { false };
    uint32_t bad_count = 0;
    uint64_t newest = 0;
    for (uint32_t slot = 0; slot < limits->wal_header_blocks; slot++) {
        const uint64_t offset = wal_header_offset(limits) + slot * BLOCK;
        const struct slice block = { .bytes = disk->image + offset, .count = BLOCK };
        struct wal_name_header name;
        const bool readable = !disk->faults.unreadable[offset / BLOCK];
        const bool intact = readable && wal_name_decode(block, scene->node->config.cluster_id, &name);
        if (intact)
            newest = u64_max(newest, name.sequence);
        for (uint32_t i = 0; i < BLOCK && !intact; i++)
            bad[slot] = bad[slot] || !readable || block.bytes[i] != 0;
        bad_count += bad[slot];
    }
    if (newest == 0)
        return bad_count >= 2;
    return bad[(newest + 1) % limits->wal_header_blocks] && bad[(newest + 2) % limits->wal_header_blocks];
}

/* ---- the oracle ---- */

/* Why a batch got its verdict. */
enum reason {
    KEPT,
    FAULTY_BY_ITS_HEADER,
    FAULTY_BY_A_NAME,
    FAULTY_BY_THE_NEXT,
    FAULTY_IN_A_GAP,
    UNKNOWN_LOST,
    UNKNOWN_DOUBT,
    CUT_AT_THE_END,
    CUT_TORN,
    CUT_HOLE,
    CUT_NAME_LOST,
    REASONS,
};
static const char *const reason_texts[REASONS] = {
    "whole: kept, named or not",
    "proved and damaged, known by its own header",
    "proved and damaged, known by a name",
    "proved and damaged, known by the batch behind it",
    "proved and damaged, several in a row, known by the terms on both sides",
    "proved, and nobody says what it held: abstain",
    "what would prove it may be lost: abstain",
    "the end of the log",
    "torn, or never promised to anybody: cut",
    "the documented hole: acknowledged, not yet named, and rotten",
    "the same, named, and the name is lost as well",
};
static uint64_t reason_hits[REASONS];

/* What a start must come to. */
struct expected {
    struct kept_log log;
    uint32_t taken;  /* batches of the tail that are in it */
    uint32_t faulty; /* of them, where several that a gap swallowed count once */
    bool abstain;
    bool may_abstain; /* in a later start: the names are doubtful, wherever the next ones go */
    bool leftovers;   /* something lies behind it */
    bool cut;         /* what does might be taken for its continuation */
    /* The documented hole once more: what proves a faulty batch that was not named, or says what it held, lies where
     * the cut goes. If the cut tears, the log ends before that batch. */
    bool hole;
    struct kept_log hole_log;
};

/* Hashes, by number: of the batch of the tail before i, as it was written; of what an unchained i chains to; of that.
 */
enum { HASH_TRUE = 0, HASH_ELSEWHERE = 100, HASH_UNCHAINED = 200 };

static inline bool state_has_header(enum tail_state state)
{
    return state == TAIL_VALID || state == TAIL_TORN_HEAD || state == TAIL_UNCHAINED;
}

static inline uint32_t hash_before(const struct scenario *scenario, uint32_t at)
{
    return at + (scenario->state[at] == TAIL_UNCHAINED ? HASH_ELSEWHERE : HASH_TRUE);
}

static inline uint32_t hash_of(const struct scenario *scenario, uint32_t at)
{
    return at + 1 + (scenario->state[at] == TAIL_UNCHAINED ? HASH_UNCHAINED : HASH_TRUE);
}

/* So many does a block of the header ring name that can still be read. */
static inline uint32_t named_batches_seen(const struct scenario *scenario)
{
    switch (scenario->ring) {
    case RING_INTACT:
    case RING_OTHERS_UNREADABLE: return scenario->named;
    case RING_NEWEST_UNREADABLE:
    case RING_NEWEST_TORN: return scenario->named - u32_min(scenario->named, 1);
    case RING_TWO_NEWEST_UNREADABLE: return scenario->named - u32_min(scenario->named, 2);
    case RING_UNREADABLE:
    case RING_STATES: break;
    }
    return 0;
}

static inline bool batch_is_proved(const struct scene *scene, const struct scenario *scenario, uint32_t at)
{
    if (named_batches_seen(scenario) > at)
        return true;
    for (uint32_t later = at; later < scene->count; later++)
        if (state_has_header(scenario->state[later]) && scene->tail[later].echo > at)
            return true;
    return false;
}

/* The batch is bad: why, and what the one behind it must chain to. */
static inline enum reason batch_judge(const struct scene *scene, const struct scenario *scenario, uint32_t at,
                                      bool doubt, uint32_t *hash)
{
    if (!batch_is_proved(scene, scenario, at)) {
        uint32_t acknowledged = scenario->named;
        for (uint32_t later = 0; later < scene->count; later++)
            acknowledged = u32_max(acknowledged, scene->tail[later].echo);
        if (doubt)
            return UNKNOWN_DOUBT;
        return scenario->named > at ? CUT_NAME_LOST : acknowledged > at ? CUT_HOLE : CUT_TORN;
    }
    if (state_has_header(scenario->state[at]) && hash_before(scenario, at) == *hash) {
        *hash = hash_of(scenario, at);
        return FAULTY_BY_ITS_HEADER;
    }
    if (named_batches_seen(scenario) > at && *hash == at + HASH_TRUE) {
        *hash = at + 1 + HASH_TRUE;
        return FAULTY_BY_A_NAME;
    }
    if (at + 1 < scene->count && state_has_header(scenario->state[at + 1])) {
        *hash = hash_before(scenario, at + 1);
        return FAULTY_BY_THE_NEXT;
    }
    return UNKNOWN_LOST;
}

/* Nobody says what the batch held, nor those behind it. The next one whose header is left does, if all before it were
 * durable, and it, or the one before it, is of the term that the log ends with: then nothing else can have been between
 * them. How many batches are lost; 0: it does not say so. */
static inline uint32_t gap_judge(const struct scene *scene, const struct scenario *scenario, uint32_t at,
                                 const struct kept_log *log)
{
    const uint64_t term = log->last > log->base ? log->entries[log->last].term : scene->before_term;
    for (uint32_t next = at + 2; next < scene->count; next++) {
        const struct suffix *lost = &scene->tail[next - 1].suffix;
        if (!state_has_header(scenario->state[next]))
            continue;
        if (scene->tail[next].suffix.term == term || (lost->term == term && lost->prev.index + ENTRIES >= log->last))
            return batch_is_proved(scene, scenario, next - 1) ? next - at : 0;
    }
    return 0;
}

/* Does what the cut leaves alone say that the batch was durable, and what it held? */
static inline bool batch_stays_known(const struct scene *scene, const struct scenario *scenario, uint32_t at,
                                     uint32_t taken, enum reason reason)
{
    if (named_batches_seen(scenario) > at)
        return true;
    if (reason == FAULTY_BY_THE_NEXT && at + 1 == taken)
        return false;
    for (uint32_t later = at + 1; later < taken; later++)
        if (state_has_header(scenario->state[later]) && scene->tail[later].echo > at)
            return true;
    return false;
}

static inline uint64_t kept_log_faulty(const struct kept_log *log)
{
    for (uint64_t index = log->base + 1; index <= log->last; index++)
        if (log->entries[index].faulty)
            return index;
    return 0;
}

static inline struct expected oracle(const struct scene *scene, const struct scenario *scenario,
                                     const struct disk *disk)
{
    struct expected expected = { .log = scene->before, .may_abstain = disk_names_doubtful(disk, scene) };
    enum reason reasons[TAIL_MAX] = { KEPT };
    uint32_t hash = HASH_TRUE;
    uint64_t gap_last = 0;
    uint32_t gap_end[TAIL_MAX] = { 0 };
    enum reason reason = KEPT;
    for (uint32_t at = 0; at <= scene->count && reason < UNKNOWN_LOST; at++) {
        const bool whole = at < scene->count
                           && (scenario->state[at] == TAIL_VALID || scenario->state[at] == TAIL_UNCHAINED)
                           && hash_before(scenario, at) == hash;
        expected.taken = at;
        expected.leftovers = disk_leftovers(disk, scene, tail_lsn(scene, at));
        reason = KEPT;
        if (whole)
            hash = hash_of(scenario, at);
        else if (at < scene->count)
            reason = batch_judge(scene, scenario, at, expected.leftovers && expected.may_abstain, &hash);
        else
            reason = expected.leftovers && expected.may_abstain ? UNKNOWN_DOUBT : CUT_AT_THE_END;
        const uint32_t gap = reason == UNKNOWN_LOST ? gap_judge(scene, scenario, at, &expected.log) : 0;
        if (gap > 0)
            reason = FAULTY_IN_A_GAP;
        reason_hits[reason]++;
        if (reason >= UNKNOWN_LOST)
            break;
        const uint32_t end = at + u32_max(gap, 1);
        expected.faulty += reason != KEPT;
        for (uint32_t lost = at; lost < end; lost++) {
            reasons[lost] = reason;
            gap_end[lost] = end;
            kept_log_take(&expected.log, &scene->tail[lost], reason != KEPT);
        }
        if (gap == 0)
            continue;
        gap_last = expected.log.last;
        hash = hash_before(scenario, end);
        at = end - 1;
    }
    expected.hole_log = scene->before;
    for (uint32_t at = 0; at < expected.taken && !expected.hole; at++) {
        const uint32_t proof = reasons[at] == FAULTY_IN_A_GAP ? gap_end[at] - 1 : at;
        if (reasons[at] != KEPT && !batch_stays_known(scene, scenario, proof, expected.taken, reasons[at]))
            expected.hole = true;
        else
            kept_log_take(&expected.hole_log, &scene->tail[at], reasons[at] != KEPT);
    }
    expected.cut = reason == UNKNOWN_LOST || reason == UNKNOWN_DOUBT;
    const uint64_t faulty = kept_log_faulty(&expected.log);
    expected.abstain = expected.cut || (faulty != 0 && faulty <= gap_last);
    for (uint32_t later = expected.taken; later < scene->count; later++)
        expected.cut =
            expected.cut || state_has_header(scenario->state[later]) || scenario->state[later] == TAIL_UNREADABLE;
    return expected;
}

#endif

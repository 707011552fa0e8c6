/* The cases of the experiment of ctrl.c: which blocks are damaged, how, and whether one intact copy of everything that
 * was promised is left.
 *
 * Whether a case is recoverable is not written beside it but follows from where things lie: every committed entry
 * behind the checkpoint on some node that can start, every page and map block of the checkpoint likewise, and a
 * majority that can start. A laggard with an older checkpoint and the log from there on make up for the newer one. */
#ifndef WW_CTRL_CASES_H
#define WW_CTRL_CASES_H

#include "ctrl_history.h"

enum damage_kind { DAMAGE_FLIP, DAMAGE_ZEROS, DAMAGE_UNREADABLE, DAMAGE_STALE, DAMAGE_KINDS };

static const char *const damage_texts[DAMAGE_KINDS] = { "bit flip", "zeros", "unreadable", "stale" };

struct damage {
    uint8_t slot;
    uint8_t device;
    uint8_t kind; /* enum damage_kind */
    uint8_t zero;
    uint32_t block;
};

enum { DAMAGES_MAX = 512 };

struct damages {
    uint32_t count;
    struct damage list[DAMAGES_MAX];
};

enum outlook {
    COPY_LEFT,    /* an intact copy of everything */
    COPY_RUNNING, /* in memory, when the damage comes; all nodes lose power after a while */
    COPY_LOST,
};

/* Rows of the table. */
struct row {
    const char *damaged;
    const char *nodes;
    enum outlook outlook;
};

enum row_at {
    ROW_SUPERBLOCK,
    ROW_NAME,
    ROW_LOG,
    ROW_BODY,
    ROW_PAGE,
    ROW_MAP,
    ROW_TWO_COPIES,
    ROW_ALL_COPIES,
    ROW_TAIL_AND_NAMES,
    ROW_WHOLE_BODY,
    ROW_WHOLE_DATA,
    ROW_SAME_ENTRY,
    ROW_SAME_PAGE,
    ROW_SAME_MAP,
    ROW_COPIES_OF_TWO,
    ROW_WHOLE_DATA_OF_TWO,
    ROW_OLD_ENTRY,
    ROW_OTHER_ENTRIES,
    ROW_OTHER_PAGES,
    ROW_MIXED,
    ROW_RUNNING,
    ROW_RUNNING_ALL,
    ROW_LOST_ENTRY,
    ROW_LOST_PAGE,
    ROW_LOST_MAP,
    ROW_LOST_DATA,
    ROW_LOST_SUPERBLOCKS,
    ROWS,
};

static const struct row rows[ROWS] = {
    [ROW_SUPERBLOCK] = { "a superblock copy", "one", COPY_LEFT },
    [ROW_NAME] = { "a block of the header ring", "one", COPY_LEFT },
    [ROW_LOG] = { "a block of the log", "one", COPY_LEFT },
    [ROW_BODY] = { "another block of the body ring", "one", COPY_LEFT },
    [ROW_PAGE] = { "a page", "one", COPY_LEFT },
    [ROW_MAP] = { "a map block", "one", COPY_LEFT },
    [ROW_TWO_COPIES] = { "two superblock copies", "one", COPY_LEFT },
    [ROW_ALL_COPIES] = { "three or four superblock copies", "one", COPY_LEFT },
    [ROW_TAIL_AND_NAMES] = { "the last batch and the header ring", "one", COPY_LEFT },
    [ROW_WHOLE_BODY] = { "the whole body ring", "one", COPY_LEFT },
    [ROW_WHOLE_DATA] = { "the whole data file", "one", COPY_LEFT },
    [ROW_SAME_ENTRY] = { "the same entry", "two", COPY_LEFT },
    [ROW_SAME_PAGE] = { "the same page", "two", COPY_LEFT },
    [ROW_SAME_MAP] = { "the same map block", "two", COPY_LEFT },
    [ROW_COPIES_OF_TWO] = { "superblock copies, two left", "two", COPY_LEFT },
    [ROW_WHOLE_DATA_OF_TWO] = { "the whole data file", "two", COPY_LEFT },
    [ROW_OLD_ENTRY] = { "the same entry, in the checkpoint", "three", COPY_LEFT },
    [ROW_OTHER_ENTRIES] = { "different entries", "three", COPY_LEFT },
    [ROW_OTHER_PAGES] = { "different pages", "three", COPY_LEFT },
    [ROW_MIXED] = { "entry, page, superblock copy", "three", COPY_LEFT },
    [ROW_RUNNING] = { "any block, while running", "one", COPY_RUNNING },
    [ROW_RUNNING_ALL] = { "the same entry or page, while running", "three", COPY_RUNNING },
    [ROW_LOST_ENTRY] = { "the same entry, every copy", "all", COPY_LOST },
    [ROW_LOST_PAGE] = { "the same page, every copy", "all", COPY_LOST },
    [ROW_LOST_MAP] = { "the same map block, every copy", "all", COPY_LOST },
    [ROW_LOST_DATA] = { "the whole data file, every copy", "all", COPY_LOST },
    [ROW_LOST_SUPERBLOCKS] = { "three or four superblock copies", "two", COPY_LOST },
};

struct ctrl_case {
    uint32_t row;
    uint32_t first; /* of its damages */
    uint32_t count;
};

struct cases {
    const struct history *history;
    struct ctrl_case *list;
    struct damage *damages;
    uint32_t count;
    uint32_t damage_count;
    uint32_t list_max;
    uint32_t damage_max;
};

/* ---- what a damage does ---- */

static inline uint64_t damage_offset(const struct history *history, const struct damage *damage)
{
    return (uint64_t)damage->block * history->world->disks[damage->slot][damage->device].block_bytes;
}

/* Does it change anything? */
static inline bool damage_harms(const struct history *history, const struct damage *damage)
{
    const struct disk *disk = &history->world->disks[damage->slot][damage->device];
    const uint8_t *block = disk->saved + damage_offset(history, damage);
    if (damage->kind == DAMAGE_ZEROS)
        return !bytes_are_zero(block, disk->block_bytes);
    if (damage->kind == DAMAGE_STALE)
        return memcmp(block, disk->stale + damage_offset(history, damage), disk->block_bytes) != 0;
    return true;
}

static inline void damage_apply(struct history *history, const struct damage *damage, uint64_t seed)
{
    struct disk *disk = &history->world->disks[damage->slot][damage->device];
    const uint64_t offset = damage_offset(history, damage);
    uint8_t *block = node_device(history->world->nodes[damage->slot], damage->device, offset);
    switch ((enum damage_kind)damage->kind) {
    case DAMAGE_FLIP: {
        const uint64_t bit = prng_mix(&seed) % ((uint64_t)disk->block_bytes * 8);
        block[bit / 8] ^= (uint8_t)(1u << bit % 8);
        return;
    }
    case DAMAGE_ZEROS: memset(block, 0, disk->block_bytes); return;
    case DAMAGE_UNREADABLE: disk->unreadable[damage->block] = true; return;
    case DAMAGE_STALE: memcpy(block, disk->stale + offset, disk->block_bytes); return;
    case DAMAGE_KINDS: break;
    }
    abort();
}

static inline bool is_damaged(const struct damages *damages, uint32_t slot, uint32_t device, uint32_t first,
                              uint32_t last)
{
    for (uint32_t i = 0; i < damages->count; i++) {
        const struct damage *damage = &damages->list[i];
        if (damage->slot == slot && damage->device == device && damage->block >= first && damage->block <= last)
            return true;
    }
    return false;
}

/* Which nodes must refuse to start: no two copies of the superblock are left that vouch for each other. */
static inline uint32_t nodes_without_superblock(const struct history *history, const struct damages *damages)
{
    uint32_t mask = 0;
    for (uint32_t slot = 0; slot < NODES; slot++) {
        uint32_t left = SUPERBLOCK_COPIES;
        for (uint32_t i = 0; i < damages->count; i++) {
            const struct damage *damage = &damages->list[i];
            left -= damage->slot == slot && damage->device == DEVICE_WAL && damage->kind != DAMAGE_STALE
                    && damage_offset(history, damage) < wal_header_offset(&history->world->limits);
        }
        mask |= left < 2 ? 1u << slot : 0;
    }
    return mask;
}

static inline uint32_t map_block_of(const struct history *history, uint32_t slot, uint32_t level, uint32_t at)
{
    return map_entry_const(history->world->nodes[slot]->replica, level, at)->block;
}

static inline struct hash128 map_hash_of(const struct history *history, uint32_t slot, uint32_t level, uint32_t at)
{
    return map_entry_const(history->world->nodes[slot]->replica, level, at)->hash;
}

/* Does some node that can start have the entry intact? */
static inline bool entry_is_left(const struct history *history, const struct damages *damages, uint32_t down,
                                 uint64_t index)
{
    for (uint32_t slot = 0; slot < NODES; slot++) {
        const struct place *place = &history->layouts[slot].entries[index];
        if ((down >> slot & 1) == 0 && place->first != 0
            && !is_damaged(damages, slot, DEVICE_WAL, place->first, place->last))
            return true;
    }
    return false;
}

/* Does one of the nodes have each page and map block of the checkpoint of `whose` intact? What has not changed since an
 * older checkpoint is there, too. */
static inline bool pages_are_left(const struct history *history, const struct damages *damages, uint32_t nodes,
                                  uint32_t whose)
{
    const struct limits *limits = &history->world->limits;
    for (uint32_t level = 0; level <= map_root(limits); level++)
        for (uint32_t at = 0; at < map_count(limits, level); at++) {
            const struct hash128 hash = map_hash_of(history, whose, level, at);
            bool found = false;
            for (uint32_t slot = 0; slot < NODES; slot++) {
                const uint32_t block = map_block_of(history, slot, level, at);
                found = found
                        || ((nodes >> slot & 1) != 0 && hash128_equal(map_hash_of(history, slot, level, at), hash)
                            && !is_damaged(damages, slot, DEVICE_DATA, block, block));
            }
            if (!found)
                return false;
        }
    return true;
}

/* Is there an intact copy of everything? The replicas still are as the history left them. */
static inline bool damages_are_recoverable(const struct history *history, const struct damages *damages)
{
    const uint32_t down = nodes_without_superblock(history, damages);
    const uint32_t up = ((1u << NODES) - 1) & ~down;
    const uint32_t behind = 1u << history->laggard;
    const struct layout *laggard = &history->layouts[history->laggard];
    const bool old = history->lag != LAG_ENTRIES;
    if ((down & (down - 1)) != 0)
        return false;
    for (uint64_t index = history->checkpoint.id.index + 1; index <= history->committed; index++)
        if (!entry_is_left(history, damages, down, index))
            return false;
    if (pages_are_left(history, damages, up, history->leader))
        return true;
    if (!old || (up & behind) == 0 || !pages_are_left(history, damages, behind, history->laggard))
        return false;
    for (uint64_t index = laggard->base.index + 1; index <= history->checkpoint.id.index; index++)
        if (!entry_is_left(history, damages, down, index))
            return false;
    return true;
}

/* ---- making cases ---- */

static inline void damages_add(struct damages *damages, uint32_t slot, uint32_t device, uint32_t kind, uint32_t block)
{
    NODE_CHECK(damages->count < DAMAGES_MAX, "too many damages in a case");
    damages->list[damages->count++] =
        (struct damage){ .slot = (uint8_t)slot, .device = (uint8_t)device, .kind = (uint8_t)kind, .block = block };
}

static inline void *cases_grow(void *list, uint32_t *max, uint32_t wanted, size_t bytes)
{
    while (*max < wanted)
        *max = *max == 0 ? 4096 : *max * 2;
    list = realloc(list, *max * bytes);
    NODE_CHECK(list != NULL, "memory");
    return list;
}

/* A case of the row; of `lost` when no intact copy is left. None when one of the damages would change nothing. */
static inline void cases_add(struct cases *cases, enum row_at row, enum row_at lost, const struct damages *damages)
{
    for (uint32_t i = 0; i < damages->count; i++)
        if (!damage_harms(cases->history, &damages->list[i]))
            return;
    const bool recoverable = rows[row].outlook == COPY_RUNNING || damages_are_recoverable(cases->history, damages);
    NODE_CHECK(recoverable || lost != ROWS, "a case that cannot be recovered from, where all should be");
    cases->list = cases_grow(cases->list, &cases->list_max, cases->count + 1, sizeof cases->list[0]);
    cases->damages =
        cases_grow(cases->damages, &cases->damage_max, cases->damage_count + damages->count, sizeof cases->damages[0]);
    cases->list[cases->count++] =
        (struct ctrl_case){ .row = recoverable ? row : lost, .first = cases->damage_count, .count = damages->count };
    memcpy(cases->damages + cases->damage_count, damages->list, damages->count * sizeof damages->list[0]);
    cases->damage_count += damages->count;
}

/* Every block of every node, in every way. */
static inline void cases_of_blocks(struct cases *cases, uint32_t slot, uint32_t kind)
{
    const struct history *history = cases->history;
    const struct limits *limits = &history->world->limits;
    const uint32_t header = (uint32_t)(wal_header_offset(limits) / limits->block_bytes);
    const uint32_t body = (uint32_t)(wal_body_offset(limits) / limits->block_bytes);
    const uint32_t blocks = (uint32_t)(limits_wal_bytes(limits) / limits->block_bytes);
    for (uint32_t block = 0; block < blocks; block++) {
        struct damages one = { .count = 0 };
        const enum row_at row = block < header                       ? ROW_SUPERBLOCK
                                : block < body                       ? ROW_NAME
                                : history->layouts[slot].live[block] ? ROW_LOG
                                                                     : ROW_BODY;
        damages_add(&one, slot, DEVICE_WAL, kind, block);
        cases_add(cases, row, ROWS, &one);
        if (row != ROW_BODY)
            cases_add(cases, ROW_RUNNING, ROWS, &one);
    }
    for (uint32_t level = 0; level <= map_root(limits); level++)
        for (uint32_t at = 0; at < map_count(limits, level); at++) {
            struct damages one = { .count = 0 };
            damages_add(&one, slot, DEVICE_DATA, kind, map_block_of(history, slot, level, at));
            if (one.list[0].block == 0)
                continue;
            cases_add(cases, level == 0 ? ROW_PAGE : ROW_MAP, ROWS, &one);
            cases_add(cases, ROW_RUNNING, ROWS, &one);
        }
}

static inline void cases_of_superblocks(struct cases *cases, uint32_t kind)
{
    for (uint32_t copies = 3; copies < 1u << SUPERBLOCK_COPIES; copies++)
        for (uint32_t nodes = 1; nodes < 1u << NODES; nodes++) {
            struct damages some = { .count = 0 };
            const uint32_t count = (uint32_t)__builtin_popcount(copies);
            const bool pair = __builtin_popcount(nodes) == 2;
            if (count < 2 || __builtin_popcount(nodes) > 2 || (kind == DAMAGE_STALE && count > 3))
                continue;
            for (uint32_t slot = 0; slot < NODES; slot++)
                for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++)
                    if ((nodes >> slot & copies >> copy & 1) != 0)
                        damages_add(&some, slot, DEVICE_WAL, kind,
                                    copy * cases->history->world->limits.superblock_stride_blocks);
            const enum row_at row = count == 2 || kind == DAMAGE_STALE ? ROW_TWO_COPIES : ROW_ALL_COPIES;
            cases_add(cases, pair ? ROW_COPIES_OF_TWO : row, pair ? ROW_LOST_SUPERBLOCKS : ROWS, &some);
        }
}

/* The same entry on every set of at least two of the nodes that have it. */
static inline void cases_of_entries(struct cases *cases, uint32_t kind)
{
    const struct history *history = cases->history;
    for (uint64_t index = 1; index <= history->layouts[history->leader].last.index; index++)
        for (uint32_t nodes = 3; nodes < 1u << NODES; nodes++) {
            struct damages same = { .count = 0 };
            uint32_t count = 0;
            for (uint32_t slot = 0; slot < NODES; slot++) {
                const uint32_t block = history->layouts[slot].entries[index].at;
                if ((nodes >> slot & 1) == 0)
                    continue;
                if (block != 0)
                    damages_add(&same, slot, DEVICE_WAL, kind, block);
                count++;
            }
            if (count < 2 || same.count != count)
                continue;
            cases_add(cases, count == 2 ? ROW_SAME_ENTRY : ROW_OLD_ENTRY, ROW_LOST_ENTRY, &same);
            if (count == NODES)
                cases_add(cases, ROW_RUNNING_ALL, ROWS, &same);
        }
}

static inline void cases_of_pages(struct cases *cases, uint32_t kind)
{
    const struct history *history = cases->history;
    const struct limits *limits = &history->world->limits;
    for (uint32_t level = 0; level <= map_root(limits); level++)
        for (uint32_t at = 0; at < map_count(limits, level); at++)
            for (uint32_t nodes = 3; nodes < 1u << NODES; nodes++) {
                struct damages same = { .count = 0 };
                for (uint32_t slot = 0; slot < NODES; slot++) {
                    const uint32_t block = map_block_of(history, slot, level, at);
                    if ((nodes >> slot & 1) != 0 && block != 0)
                        damages_add(&same, slot, DEVICE_DATA, kind, block);
                }
                if (same.count < 2 || same.count != (uint32_t)__builtin_popcount(nodes))
                    continue;
                cases_add(cases, level == 0 ? ROW_SAME_PAGE : ROW_SAME_MAP, level == 0 ? ROW_LOST_PAGE : ROW_LOST_MAP,
                          &same);
                if (same.count == NODES)
                    cases_add(cases, ROW_RUNNING_ALL, ROWS, &same);
            }
}

/* Something else on each node, so that every two of them still have it. */
static inline void cases_of_differences(struct cases *cases, uint32_t kind)
{
    const struct history *history = cases->history;
    const struct limits *limits = &history->world->limits;
    const uint64_t common = history->layouts[history->laggard].last.index;
    for (uint64_t index = history->checkpoint.id.index + 1; index + 2 <= common; index++)
        for (uint32_t turn = 0; turn < NODES; turn++) {
            struct damages entries = { .count = 0 };
            for (uint32_t slot = 0; slot < NODES; slot++)
                damages_add(&entries, slot, DEVICE_WAL, kind,
                            history->layouts[slot].entries[index + (slot + turn) % NODES].at);
            cases_add(cases, ROW_OTHER_ENTRIES, ROW_LOST_ENTRY, &entries);
        }
    for (uint32_t page = 0; page < limits->pages_max; page++) {
        struct damages pages = { .count = 0 };
        struct damages mixed = { .count = 0 };
        const uint32_t turn = page % NODES;
        const uint64_t index = history->checkpoint.id.index + 1 + page % (common - history->checkpoint.id.index);
        for (uint32_t slot = 0; slot < NODES; slot++) {
            const uint32_t block = map_block_of(history, slot, 0, (page + slot) % limits->pages_max);
            if (block != 0)
                damages_add(&pages, slot, DEVICE_DATA, kind, block);
        }
        if (pages.count == NODES)
            cases_add(cases, ROW_OTHER_PAGES, ROWS, &pages);
        if (map_block_of(history, (turn + 1) % NODES, 0, page) == 0)
            continue;
        damages_add(&mixed, turn, DEVICE_WAL, kind, history->layouts[turn].entries[index].at);
        damages_add(&mixed, (turn + 1) % NODES, DEVICE_DATA, kind, map_block_of(history, (turn + 1) % NODES, 0, page));
        damages_add(&mixed, (turn + 2) % NODES, DEVICE_WAL, kind, page % SUPERBLOCK_COPIES);
        cases_add(cases, ROW_MIXED, ROWS, &mixed);
    }
}

/* Adds those blocks that the kind would change. */
static inline void damages_add_harm(const struct history *history, struct damages *damages, uint32_t slot,
                                    uint32_t device, uint32_t kind, uint32_t block)
{
    const struct damage damage = {
        .slot = (uint8_t)slot, .device = (uint8_t)device, .kind = (uint8_t)kind, .block = block
    };
    if (damage_harms(history, &damage))
        damages_add(damages, slot, device, kind, block);
}

/* Much of one node, or of two, at once. */
static inline void cases_of_wholes(struct cases *cases, uint32_t kind)
{
    const struct history *history = cases->history;
    const struct limits *limits = &history->world->limits;
    const uint32_t header = (uint32_t)(wal_header_offset(limits) / limits->block_bytes);
    const uint32_t body = (uint32_t)(wal_body_offset(limits) / limits->block_bytes);
    const uint32_t blocks = (uint32_t)(limits_wal_bytes(limits) / limits->block_bytes);
    for (uint32_t slot = 0; slot < NODES && kind != DAMAGE_STALE; slot++) {
        struct damages tail = { .count = 0 };
        struct damages whole = { .count = 0 };
        const struct layout *layout = &history->layouts[slot];
        for (uint32_t block = header; block < body; block++)
            damages_add_harm(history, &tail, slot, DEVICE_WAL, kind, block);
        damages_add(&tail, slot, DEVICE_WAL, kind, layout->entries[layout->last.index].first);
        for (uint32_t block = body; block < blocks; block++)
            damages_add_harm(history, &whole, slot, DEVICE_WAL, kind, block);
        cases_add(cases, ROW_TAIL_AND_NAMES, ROWS, &tail);
        cases_add(cases, ROW_WHOLE_BODY, ROWS, &whole);
    }
    for (uint32_t nodes = 1; nodes < (1u << NODES) - 1; nodes++) {
        struct damages data = { .count = 0 };
        for (uint32_t slot = 0; slot < NODES; slot++)
            for (uint32_t block = 1; block < limits->data_blocks && (nodes >> slot & 1) != 0; block++)
                damages_add_harm(history, &data, slot, DEVICE_DATA, kind, block);
        cases_add(cases, (nodes & (nodes - 1)) == 0 ? ROW_WHOLE_DATA : ROW_WHOLE_DATA_OF_TWO, ROW_LOST_DATA, &data);
    }
}

static inline struct cases cases_of(const struct history *history)
{
    struct cases cases = { .history = history };
    for (uint32_t kind = 0; kind < DAMAGE_KINDS; kind++) {
        for (uint32_t slot = 0; slot < NODES; slot++)
            cases_of_blocks(&cases, slot, kind);
        cases_of_superblocks(&cases, kind);
        cases_of_entries(&cases, kind);
        cases_of_pages(&cases, kind);
        cases_of_differences(&cases, kind);
        cases_of_wholes(&cases, kind);
    }
    return cases;
}

#endif

/* The fixed history of the experiment of ctrl.c, and what must be true of any cluster that has lived through it: which
 * value each key has, which writes were never acknowledged and may or may not be there, and where on each node's disks
 * everything lies.
 *
 * What it leaves: a body ring that went around, several checkpoints, entries of several terms, long values in chains of
 * pages, deleted keys, a truncated tail, entries behind the last checkpoint, a follower that lacks the last committed
 * ones, and on the last leader a tail that nobody else has. It comes in three versions: how much the follower lacks. */
#ifndef WW_CTRL_HISTORY_H
#define WW_CTRL_HISTORY_H

#include "../core/page.h"
#include "ctrl_world.h"

enum { KEYS = 24, KEYS_HOT = 8, SESSIONS = CALLS_MAX, WAL_BLOCKS_MAX = 256 };

/* Writes are numbered from 1; a write's number decides its key and its value. */
struct key_model {
    uint32_t acked;   /* the last write that was acknowledged; 0: none */
    uint32_t maybe;   /* a later one that was not; 0: none */
    uint64_t version; /* of `acked`; 0: unknown */
};

struct model {
    struct key_model keys[KEYS];
    uint64_t sequences[SESSIONS];
    uint32_t writes;
};

/* Where an entry lies on device 0, in blocks; the batch that holds it begins in `first`. first 0: not in this log. */
struct place {
    uint32_t first;
    uint32_t last;
    uint32_t at; /* its own first byte */
};

/* One node's disks at the end of the history. */
struct layout {
    uint64_t head; /* lsn */
    uint64_t tail;
    struct log_id base; /* the entry before the log's first one */
    struct log_id last;
    struct place entries[INDICES_MAX];
    bool live[WAL_BLOCKS_MAX]; /* the log lies there */
};

enum lag {
    LAG_ENTRIES,    /* some entries behind the checkpoint */
    LAG_CHECKPOINT, /* the checkpoint, too; the log of the others still holds all that it lacks */
    LAG_LOG,        /* so much that the log of the others does not */
    LAGS,
};

struct history {
    struct world *world;
    struct model model;
    uint64_t sessions[SESSIONS];
    enum lag lag;
    uint64_t committed; /* last index */
    struct checkpoint checkpoint;
    uint32_t leader;  /* has everything, and a tail of its own */
    uint32_t laggard; /* lacks the last committed entries */
    struct layout layouts[NODES];
    uint64_t digests[INDICES_MAX];
};

/* ---- writes and values ---- */

/* At first all keys, then mostly a few of them, so that a checkpoint leaves pages as they are. Three in a row differ.
 */
static inline uint32_t write_key(uint32_t number)
{
    if (number <= 2 * KEYS)
        return number * 7 % KEYS;
    return number % 32 == 0 ? KEYS_HOT + number / 32 % (KEYS - KEYS_HOT) : number * 3 % KEYS_HOT;
}

static inline bool write_deletes(uint32_t number) { return number % 11 == 5; }

/* One in five is long: a chain of pages. */
static inline uint32_t write_value(uint32_t number, uint8_t *value)
{
    const uint32_t bytes = number % 5 == 0 ? 300 + number % (VALUE_BYTES_MAX - 300) : 16 + number % 60;
    for (uint32_t at = 0; at < bytes; at++)
        value[at] = (uint8_t)(number >> at % 4 * 8 ^ at * 29);
    return bytes;
}

static inline struct slice key_name(uint32_t key)
{
    static char names[KEYS][8];
    snprintf(names[key], sizeof names[key], "key%02u", key);
    return (struct slice){ .bytes = (const uint8_t *)names[key], .count = 5 };
}

/* The next `count` writes, one a session, with values in `values`. */
static inline void history_calls(const struct history *history, struct model *model, uint32_t count, struct call *calls,
                                 uint8_t (*values)[VALUE_BYTES_MAX])
{
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t number = ++model->writes;
        const bool deletes = write_deletes(number);
        calls[i] = (struct call){ .request = {
                                      .kind = deletes ? REQUEST_DELETE : REQUEST_PUT,
                                      .session = history->sessions[i],
                                      .sequence = ++model->sequences[i],
                                      .key = key_name(write_key(number)),
                                  } };
        if (!deletes)
            calls[i].request.value = (struct slice){ .bytes = values[i], .count = write_value(number, values[i]) };
        model->keys[write_key(number)].maybe = number;
    }
}

/* They were all answered. */
static inline void history_acked(struct world *world, struct model *model, uint32_t count, const struct call *calls)
{
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t number = model->writes - count + 1 + i;
        const enum reply_status status = calls[i].reply.status;
        if (status != REPLY_OK && (status != REPLY_NOT_FOUND || !write_deletes(number)))
            world_wrong(world, "a write was answered as it cannot be: write", number);
        model->keys[write_key(number)] = (struct key_model){ .acked = number, .version = calls[i].reply.version };
    }
}

static inline bool history_write(const struct history *history, struct model *model, uint32_t count, uint64_t within_ns)
{
    static struct call calls[CALLS_MAX];
    static uint8_t values[CALLS_MAX][VALUE_BYTES_MAX];
    history_calls(history, model, count, calls, values);
    if (!world_call(history->world, calls, count, within_ns))
        return false;
    history_acked(history->world, model, count, calls);
    return true;
}

/* ---- reads ---- */

static inline bool reply_shows(const struct call *call, uint32_t number)
{
    uint8_t value[VALUE_BYTES_MAX];
    if (number == 0 || write_deletes(number))
        return call->reply.status == REPLY_NOT_FOUND;
    const uint32_t bytes = write_value(number, value);
    return call->reply.status == REPLY_OK && call->reply.value.count == bytes
           && memcmp(call->reply.value.bytes, value, bytes) == 0;
}

/* A linearizable read; an answer is checked. False: there was none in time. */
static inline bool history_read(const struct history *history, struct model *model, uint32_t key, uint64_t within_ns)
{
    static struct call call;
    struct key_model *expected = &model->keys[key];
    call = (struct call){ .request = { .kind = REQUEST_GET, .key = key_name(key) } };
    if (!world_call(history->world, &call, 1, within_ns))
        return false;
    if (expected->maybe != 0 && reply_shows(&call, expected->maybe))
        *expected = (struct key_model){ .acked = expected->maybe, .version = call.reply.version };
    else if (!reply_shows(&call, expected->acked))
        world_wrong(history->world, "a read showed what is not there: key", key);
    else if (expected->version != 0 && expected->version != call.reply.version && !write_deletes(expected->acked))
        world_wrong(history->world, "a read showed another version than the write: key", key);
    return true;
}

/* ---- the history ---- */

/* The leader is alone while it is given two writes; another one takes its place and is given them again. */
static inline void history_change_leader(struct history *history)
{
    static struct call calls[CALLS_MAX];
    static uint8_t values[CALLS_MAX][VALUE_BYTES_MAX];
    struct world *world = history->world;
    const uint32_t old = world_leader(world);
    NODE_CHECK(old < NODES, "no leader");
    world->cut[old] = true;
    world->target = old;
    history_calls(history, &history->model, 2, calls, values);
    NODE_CHECK(!world_call(world, calls, 2, 5 * MS), "alone it commits nothing");
    world->target = (old + 1) % NODES;
    NODE_CHECK(world_call(world, calls, 2, 5000 * MS), "the others go on");
    history_acked(world, &history->model, 2, calls);
    world->cut[old] = false;
    world_run(world, 300 * MS);
}

static inline void history_write_must(struct history *history, uint32_t count)
{
    NODE_CHECK(history_write(history, &history->model, count, 5000 * MS), "a write was not acknowledged");
}

static inline const struct checkpoint *checkpoint_of(const struct world *world, uint32_t slot)
{
    return &world->nodes[slot]->replica->superblock.durable.checkpoint;
}

/* Groups of one, two and three, until the leader has a newer checkpoint, and everybody whom it reaches. */
static inline void history_write_to_checkpoint(struct history *history)
{
    struct world *world = history->world;
    const uint32_t leader = world_leader(world);
    NODE_CHECK(leader < NODES, "no leader");
    const uint64_t before = checkpoint_of(world, leader)->id.index;
    for (uint32_t group = 0; checkpoint_of(world, leader)->id.index == before; group++)
        history_write_must(history, 1 + group % CALLS_MAX);
    world_run(world, 60 * MS);
    for (uint32_t slot = 0; slot < NODES; slot++)
        NODE_CHECK(world->cut[slot]
                       || hash128_equal(checkpoint_of(world, slot)->hash, checkpoint_of(world, leader)->hash),
                   "equal checkpoints");
}

/* Until the next checkpoint is nearly due. */
static inline void history_write_nearly(struct history *history)
{
    const struct limits *limits = &history->world->limits;
    const struct replica *leader = history->world->nodes[history->leader]->replica;
    const uint64_t wanted =
        (uint64_t)(limits->checkpoint_wal_blocks - limits->wal_retain_blocks / 4) * limits->block_bytes;
    while (leader->wal.tail - leader->checkpoint.frozen_lsn < wanted)
        history_write_must(history, 1);
    world_run(history->world, 60 * MS);
}

/* Groups of different sizes, and in the middle of them another leader. */
static inline void history_write_suffix(struct history *history)
{
    for (uint32_t count = 1; count <= CALLS_MAX; count++)
        history_write_must(history, count);
    if (history->lag == LAG_ENTRIES)
        history_change_leader(history);
    for (uint32_t count = CALLS_MAX; count > 0; count--)
        history_write_must(history, count);
}

/* Where everything lies, from the images. */
static inline void history_lay_out(struct history *history, uint32_t slot)
{
    struct world *world = history->world;
    struct layout *layout = &history->layouts[slot];
    const struct node *node = world->nodes[slot];
    const struct replica *replica = node->replica;
    const struct limits *limits = &world->limits;
    const uint64_t body = wal_body_offset(limits);
    const uint64_t ring = limits_wal_bytes(limits) - body;
    layout->head = replica->superblock.durable.head.lsn;
    layout->tail = replica->wal.tail;
    layout->base = replica->log.base;
    layout->last = replica->log.last;
    for (uint64_t lsn = layout->head; lsn < layout->tail;) {
        struct wal_batch_view batch;
        const uint64_t offset = body + lsn % ring;
        const struct slice bytes = { .bytes = node->image + offset, .count = (uint32_t)(body + ring - offset) };
        NODE_CHECK(wal_batch_inspect(bytes, node->config.cluster_id, lsn, &batch), "the log is intact");
        const uint32_t first = (uint32_t)(offset / limits->block_bytes);
        const uint32_t last = first + batch.run_bytes / limits->block_bytes - 1;
        memset(layout->live + first, 1, last - first + 1);
        struct slice left = batch.entries;
        for (uint32_t i = 0; i < batch.entry_count; i++) {
            struct entry entry;
            const uint64_t at = (uint64_t)(left.bytes - node->image) / limits->block_bytes;
            const uint32_t taken = entry_decode(left, &entry);
            layout->entries[entry.id.index] = (struct place){ .first = first, .last = last, .at = (uint32_t)at };
            left.bytes += taken;
            left.count -= taken;
        }
        lsn = wal_place(limits, lsn + batch.run_bytes);
    }
    for (uint64_t index = 0; index < INDICES_MAX; index++)
        if (index <= replica->log.base.index || index > layout->last.index)
            layout->entries[index] = (struct place){ .first = 0 };
}

static inline void history_end(struct history *history)
{
    static struct call calls[CALLS_MAX];
    static uint8_t values[CALLS_MAX][VALUE_BYTES_MAX];
    struct world *world = history->world;
    history->leader = world_leader(world);
    NODE_CHECK(history->leader < NODES, "no leader");
    history->laggard = (history->leader + 1) % NODES;
    if (history->lag == LAG_CHECKPOINT)
        history_write_nearly(history);
    world->cut[history->laggard] = true;
    if (history->lag != LAG_ENTRIES) {
        history_write_to_checkpoint(history);
        history_write_suffix(history);
    }
    history_write_must(history, 3);
    history_write_must(history, 1);
    world_run(world, 30 * MS);
    NODE_CHECK(world_leader(world) == NODES - 1 || history->leader == world_leader(world), "one leader");
    history->committed = node_view(world->nodes[history->leader]).commit;
    for (uint32_t slot = 0; slot < NODES; slot++)
        world->cut[slot] = true;
    world->target = history->leader;
    history_calls(history, &history->model, 2, calls, values);
    NODE_CHECK(!world_call(world, calls, 2, 5 * MS), "alone it commits nothing");
    history->checkpoint = *checkpoint_of(world, history->leader);
    for (uint32_t slot = 0; slot < NODES; slot++) {
        const struct node *node = world->nodes[slot];
        NODE_CHECK(node->op_count == 0, "nothing is being written");
        NODE_CHECK(hash128_equal(checkpoint_of(world, slot)->hash, history->checkpoint.hash)
                       == (history->lag == LAG_ENTRIES || slot != history->laggard),
                   "equal checkpoints");
        memcpy(world->disks[slot][DEVICE_WAL].saved, node->image, node->image_bytes);
        memcpy(world->disks[slot][DEVICE_DATA].saved, node->data, node->data_bytes);
        history_lay_out(history, slot);
        world->cut[slot] = false;
    }
    for (uint32_t slot = 0; slot < NODES; slot++)
        NODE_CHECK(slot == history->laggard
                       || (history->layouts[slot].base.index <= history->layouts[history->laggard].last.index)
                              == (history->lag != LAG_LOG),
                   "the logs of the others begin where they should");
    memcpy(history->digests, world->digests, sizeof history->digests);
}

static inline struct history *history_new(const struct limits *limits, enum lag lag)
{
    struct history *history = calloc(1, sizeof *history);
    struct call call = { .request = { .kind = REQUEST_REGISTER } };
    NODE_CHECK(history != NULL, "memory");
    history->lag = lag;
    history->world = world_new(limits);
    struct world *world = history->world;
    prng_seed(&world->prng, 1);
    world->recording = true;
    for (uint32_t slot = 0; slot < NODES; slot++)
        world_start(world, slot);
    for (uint32_t i = 0; i < SESSIONS; i++) {
        NODE_CHECK(world_call(world, &call, 1, 5000 * MS), "no session");
        history->sessions[i] = call.reply.session;
    }
    const uint64_t ring = limits_wal_bytes(limits) - wal_body_offset(limits);
    while (world->nodes[0]->replica->wal.tail < ring * 3 / 2)
        history_write_to_checkpoint(history);
    history_change_leader(history);
    history_write_to_checkpoint(history);
    if (lag == LAG_ENTRIES)
        history_write_suffix(history);
    history_end(history);
    world->recording = false;
    memset(world->all_events, 0, sizeof world->all_events);
    return history;
}

#endif

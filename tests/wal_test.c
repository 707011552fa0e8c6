/* The write-ahead log by itself: the table of the log against a plain array, and the ring of the body against a model
 * of what its disk holds, around and around.
 *
 * A real follower writes, with requests of all sizes, truncations, and checkpoints that move the head; its disk
 * completes in any order. At every step some other replica starts from the same disk and must find the log that the
 * model knows (wal_model.h); the model also sees to it that no batch crosses the end of the ring or lies on what may
 * still count. */
#define MODEL_LOG_MAX 8192

#include "../core/prng.h"
#include "../core/state.h"

#include "image.h"
#include "test.h"
#include "wal_model.h"

enum { SECOND_NS = 1000 * 1000 * 1000, NAME_DELAY_NS = 2 * WAL_NAME_DELAY_NS };

/* ---- the table of the log ---- */

enum { SLOTS = 32, TABLE_STEPS = 20000 };

/* A log as an array: [index % SLOTS], from base + 1 to last. */
struct table {
    struct log_id base;
    struct log_id last;
    uint64_t terms[SLOTS];
    uint64_t lsns[SLOTS];
};

static uint64_t table_lsn(const struct table *table, uint64_t index) { return table->lsns[index % SLOTS]; }

static bool table_intact(const struct table *table, uint64_t index)
{
    return table_lsn(table, index) != LOG_FAULTY && (table_lsn(table, index) & LOG_REPAIRING) == 0;
}

static uint64_t table_term(const struct table *table, uint64_t index)
{
    return index == table->base.index ? table->base.term : table->terms[index % SLOTS];
}

static void expect_table(const struct replica *replica, const struct table *table)
{
    uint64_t first_bad = 0;
    uint64_t first_lost = 0;
    uint64_t bad = 0;
    for (uint64_t index = table->base.index + 1; index <= table->last.index; index++) {
        const bool lost = table_lsn(table, index) == LOG_FAULTY;
        bad += !table_intact(table, index);
        first_bad = first_bad == 0 && !table_intact(table, index) ? index : first_bad;
        first_lost = first_lost == 0 && lost ? index : first_lost;
        EXPECT_EQUAL(log_term(replica, index), table_term(table, index));
        EXPECT_EQUAL(log_readable(replica, index), !lost);
        if (!lost)
            EXPECT_EQUAL(log_entry_lsn(replica, index), table_lsn(table, index) & ~LOG_REPAIRING);
        EXPECT(log_holds(replica, (struct log_id){ .term = table_term(table, index), .index = index }));
        EXPECT(!log_holds(replica, (struct log_id){ .term = table_term(table, index) + 1, .index = index }));
    }
    EXPECT(log_id_equal(replica->log.base, table->base));
    EXPECT(log_id_equal(replica->log.last, table->last));
    EXPECT_EQUAL(log_term(replica, table->base.index), table->base.term);
    EXPECT(log_holds(replica, table->base));
    EXPECT(!log_holds(replica, (struct log_id){ .term = 1, .index = table->last.index + 1 }));
    EXPECT_EQUAL(replica->log.first_faulty, first_bad);
    EXPECT_EQUAL(replica->log.faulty_count, bad);
    EXPECT_EQUAL(log_intact(replica), first_bad != 0 ? first_bad - 1 : table->last.index);
    EXPECT_EQUAL(log_lost(replica), first_lost);
    const uint64_t held = table->last.index - table->base.index;
    for (uint64_t reserve = 0; reserve <= SLOTS; reserve++)
        EXPECT_EQUAL(log_has_room(replica, reserve), held + 1 + reserve < SLOTS);
}

/* Raft 3.5: no entry of a later term, and not below what is agreed. */
static void expect_hint(const struct replica *replica, const struct table *table, struct prng *prng)
{
    const uint64_t asked = table->base.index + prng_below(prng, SLOTS);
    const uint64_t term = prng_below(prng, table->last.term + 2);
    const uint64_t agreed = table->base.index + prng_below(prng, table->last.index - table->base.index + 1);
    uint64_t at = u64_min(asked, table->last.index);
    while (at > agreed && table_term(table, at) > term)
        at--;
    const struct log_id hint = log_conflict_hint(replica, asked, term, agreed);
    EXPECT_EQUAL(hint.index, at);
    EXPECT_EQUAL(hint.term, table_term(table, at));
}

static uint64_t some_index(const struct table *table, struct prng *prng)
{
    return table->base.index + 1 + prng_below(prng, table->last.index - table->base.index);
}

/* One operation on both. */
static void table_step(struct replica *replica, struct table *table, struct prng *prng, uint64_t step)
{
    const bool empty = table->last.index == table->base.index;
    const uint64_t roll = prng_below(prng, 64);
    if (roll < 40 && log_has_room(replica, 0)) {
        const struct log_id id = { .term = u64_max(1, table->last.term + (roll < 4)), .index = table->last.index + 1 };
        const uint64_t lsn = roll % 4 == 0 ? LOG_FAULTY : step * BLOCK_BYTES_MIN;
        log_push(replica, id, lsn);
        table->last = id;
        table->terms[id.index % SLOTS] = id.term;
        table->lsns[id.index % SLOTS] = lsn;
    } else if (roll < 52 && !empty) {
        const uint64_t index = some_index(table, prng);
        const uint64_t lsn = step * BLOCK_BYTES_MIN | (roll % 2 == 0 ? LOG_REPAIRING : 0);
        /* An intact entry is repaired only by the batch that recovery found to hold it once more. */
        if (table_intact(table, index) && (lsn & LOG_REPAIRING) != 0)
            return;
        log_repair(replica, index, lsn);
        table->lsns[index % SLOTS] = lsn;
    } else if (roll < 58 && !empty) {
        const uint64_t index = some_index(table, prng) - 1;
        log_truncate(replica, index);
        table->last = (struct log_id){ .term = table_term(table, index), .index = index };
    } else if (roll < 63) {
        const uint64_t index = empty ? table->base.index : some_index(table, prng);
        const struct log_id base = { .term = table_term(table, index), .index = index };
        log_forget(replica, base);
        table->base = base;
    } else {
        const struct log_id base = { .term = table->last.term, .index = table->last.index + prng_below(prng, 50) };
        log_reset(replica, base);
        table->base = base;
        table->last = base;
    }
}

static struct limits table_limits(void)
{
    struct limits limits = limits_tiny;
    limits.log_entries_max = SLOTS;
    limits.checkpoint_entries = SLOTS / 4;
    return limits;
}

TEST(the_log_is_what_an_array_would_be)
{
    const struct limits limits = table_limits();
    const struct replica_config config = node_config(2);
    struct node *node = node_new(&limits, &config, node_voters(3));
    struct table table = { .base = { 0 } };
    struct prng prng;
    prng_seed(&prng, 11);
    node_start(node);
    node_settle(node);
    for (uint64_t step = 1; step <= TABLE_STEPS; step++) {
        table_step(node->replica, &table, &prng, step);
        expect_table(node->replica, &table);
        expect_hint(node->replica, &table, &prng);
    }
    EXPECT(table.last.index > 10 * SLOTS);
    node_free(node);
}

/* ---- places in the ring ---- */

TEST(a_batch_of_any_size_fits_where_it_is_placed)
{
    const struct limits *sets[] = { &limits_micro, &limits_tiny, &limits_production };
    for (uint32_t i = 0; i < ARRAY_COUNT(sets); i++) {
        const uint64_t ring = wal_ring_bytes(sets[i]);
        for (uint64_t lsn = ring - 2 * sets[i]->wal_batch_bytes_max; lsn <= 2 * ring; lsn += sets[i]->block_bytes) {
            const uint64_t place = wal_place(sets[i], lsn);
            EXPECT(place >= lsn && place - lsn < sets[i]->wal_batch_bytes_max);
            EXPECT(place % ring + sets[i]->wal_batch_bytes_max <= ring);
            EXPECT(place == lsn || place % ring == 0);
            EXPECT_EQUAL(wal_place(sets[i], place), place);
        }
    }
}

/* ---- around the ring ---- */

enum { BATCHES_MAX = 8192, SNAPSHOTS = 4, BODY_BYTES_MAX = 200, ENTRIES_MAX = 4 };

/* What the leader sent. */
struct sent_entry {
    uint64_t term;
    uint32_t body_bytes;
    uint8_t kind; /* enum entry_kind */
    uint8_t fill;
    uint8_t zero[2];
};

struct ring {
    struct node *node;  /* writes */
    struct node *other; /* starts from its disk, again and again */
    struct wal_model model;
    struct prng prng;
    uint64_t term;
    uint32_t superblock_slowness; /* other completions for one of the superblock: 1 is as fast as others */
    uint32_t batch_count;
    struct wal_batch_header batches[BATCHES_MAX];
    uint8_t *snapshots[SNAPSHOTS]; /* the device as it was some time ago */
    uint64_t starts;
    uint64_t heads;
    uint64_t truncations;
    struct sent_entry sent[MODEL_LOG_MAX]; /* [index] */
    uint64_t repairs;
    uint64_t gaps; /* batches that did not fit before the end of the ring */
};

static struct ring *ring_new(uint64_t seed, uint32_t depth, bool strict)
{
    struct limits limits = limits_tiny;
    struct replica_config config = node_config(2);
    struct ring *ring = calloc(1, sizeof *ring);
    EXPECT(ring != NULL);
    limits.wal_body_blocks = 61; /* no multiple of anything */
    limits.wal_reserve_blocks = 8;
    limits.wal_retain_blocks = (uint32_t)(seed % 5) * 6;
    limits.checkpoint_wal_blocks = 10;
    limits.wal_depth = depth;
    limits.log_entries_max = 128;
    config.strict_naming = strict;
    ring->node = node_new(&limits, &config, node_voters(3));
    ring->other = node_new(&limits, &config, node_voters(3));
    for (uint32_t i = 0; i < SNAPSHOTS; i++) {
        ring->snapshots[i] = calloc(1, ring->node->image_bytes);
        EXPECT(ring->snapshots[i] != NULL);
    }
    ring->term = 1;
    prng_seed(&ring->prng, seed);
    node_start(ring->node);
    node_settle(ring->node);
    return ring;
}

static void ring_free(struct ring *ring)
{
    for (uint32_t i = 0; i < SNAPSHOTS; i++)
        free(ring->snapshots[i]);
    node_free(ring->node);
    node_free(ring->other);
    free(ring);
}

static bool op_is_batch(const struct node *node, const struct node_op *op)
{
    return op->write && op->device == DEVICE_WAL && op->offset >= wal_body_offset(&node->limits);
}

/* After every step: what is on its way to the disk? */
static void ring_observe(struct ring *ring)
{
    struct node *node = ring->node;
    EXPECT_EQUAL(node->stop, 0);
    node->sent_count = 0;
    for (uint32_t slot = 0; slot < node->op_count; slot++) {
        if (!op_is_batch(node, &node->ops[slot]))
            continue;
        const uint32_t known = ring->model.batch_count;
        ring->truncations += model_batch_submitted(&ring->model, node, &node->ops[slot]);
        if (ring->model.batch_count == known)
            continue;
        EXPECT(ring->batch_count < BATCHES_MAX);
        struct wal_batch_header *header = &ring->batches[ring->batch_count++];
        memcpy(header, node->ops[slot].source, sizeof *header);
        if (ring->batch_count == 1)
            continue;
        const struct wal_batch_header *before = header - 1;
        EXPECT(hash128_equal(header->prev_hash, before->hash));
        EXPECT_EQUAL(header->sequence, before->sequence + 1);
        EXPECT_EQUAL(header->lsn, wal_place(&node->limits, before->lsn + before->run_bytes));
        EXPECT_EQUAL(header->prev_bytes, header->lsn - before->lsn);
        EXPECT_EQUAL(header->prev_first_index, before->first_index);
        EXPECT_EQUAL(header->prev_entry_count, before->entry_count);
        EXPECT_EQUAL(header->prev_entry_term, before->entry_term);
        EXPECT(header->durable_sequence <= ring->model.durable.sequence);
        ring->gaps += header->prev_bytes != before->run_bytes;
    }
}

static bool op_is_superblock(const struct node *node, const struct node_op *op)
{
    return op->write && op->device == DEVICE_WAL && op->offset < wal_header_offset(&node->limits);
}

static void ring_complete(struct ring *ring)
{
    struct node *node = ring->node;
    const uint32_t slot = (uint32_t)prng_below(&ring->prng, node->op_count);
    const struct node_op op = node->ops[slot];
    if (op_is_superblock(node, &op) && prng_below(&ring->prng, ring->superblock_slowness) > 0)
        return;
    if (op_is_batch(node, &op))
        model_batch_completed(&ring->model, op.op_id);
    node_complete(node, slot, DISK_OK);
    ring_observe(ring);
}

static void ring_tick(struct ring *ring, uint64_t passed_ns)
{
    node_tick(ring->node, passed_ns);
    ring_observe(ring);
}

/* The request that sends so many entries behind prev. */
static void ring_request(struct ring *ring, struct log_id prev, uint32_t count, uint64_t commit)
{
    struct node *node = ring->node;
    static uint8_t body[BODY_BYTES_MAX];
    uint8_t bytes[ENTRIES_MAX * (BODY_BYTES_MAX + 32)];
    uint32_t used = 0;
    EXPECT(count <= ENTRIES_MAX);
    for (uint64_t index = prev.index + 1; index <= prev.index + count; index++) {
        const struct sent_entry *sent = &ring->sent[index];
        memset(body, sent->fill, sizeof body);
        const struct entry entry = {
            .id = { .term = sent->term, .index = index },
            .kind = (enum entry_kind)sent->kind,
            .body = { .bytes = body, .count = sent->body_bytes },
        };
        entry_encode(&entry, bytes + used);
        used += entry_bytes(entry.body.count);
    }
    const struct message message = {
        .type = FRAME_APPEND_REQUEST,
        .from = 1 + ring->term % 2 * 2,
        .to = node->config.node_id,
        .instance = 1001 + ring->term % 2 * 2,
        .term = ring->term,
        .append_request = { .prev = prev,
                            .commit = commit,
                            .entry_count = count,
                            .entries = { .bytes = bytes, .count = used } },
    };
    node_message(node, &message);
    ring_observe(ring);
}

/* Some new entries of the leader, or a marker, behind prev; all up to `commit` is committed. */
static void ring_send(struct ring *ring, struct log_id prev, enum entry_kind kind, uint64_t commit)
{
    const uint32_t count = kind == ENTRY_CHECKPOINT ? 1 : 1 + (uint32_t)prng_below(&ring->prng, ENTRIES_MAX);
    EXPECT(prev.index + count < MODEL_LOG_MAX);
    for (uint32_t i = 1; i <= count; i++)
        ring->sent[prev.index + i] = (struct sent_entry){
            .term = ring->term,
            .body_bytes = kind == ENTRY_COMMAND ? (uint32_t)prng_below(&ring->prng, BODY_BYTES_MAX) : 0,
            .kind = (uint8_t)kind,
            .fill = (uint8_t)prng_below(&ring->prng, 256),
        };
    ring_request(ring, prev, count, commit);
}

static void ring_write(struct ring *ring)
{
    const struct replica_view view = node_view(ring->node);
    const uint64_t roll = prng_below(&ring->prng, 16);
    struct log_id prev = view.last;
    /* What is taken back still fills the ring, and a log without room needs a peer: that is another test's. */
    const bool roomy = view.wal_blocks_used < ring->node->limits.wal_body_blocks / 2;
    if (roll == 0 && roomy && view.last.index > view.commit) {
        ring->term++;
        prev.index = view.commit + prng_below(&ring->prng, view.last.index - view.commit);
        prev.term = replica_entry_term(ring->node->replica, prev.index);
    }
    const uint64_t commit = view.commit + prng_below(&ring->prng, prev.index - u64_min(prev.index, view.commit) + 1);
    ring_send(ring, prev, roll % 5 == 1 ? ENTRY_CHECKPOINT : ENTRY_COMMAND, commit);
}

static void ring_settle(struct ring *ring)
{
    struct node *node = ring->node;
    for (uint32_t steps = 0; node->op_count > 0 || node->deadline_ns <= node->now_ns; steps++) {
        EXPECT(steps < 10000);
        if (node->op_count > 0)
            ring_complete(ring);
        else
            ring_tick(ring, 0);
    }
}

/* ---- starting from its disk ---- */

static void ring_copy_disk(struct ring *ring)
{
    memcpy(ring->other->image, ring->node->image, ring->node->image_bytes);
    memcpy(ring->other->data, ring->node->data, ring->node->data_bytes);
}

static void ring_expect_start(struct ring *ring)
{
    struct image_faults none = { { false } };
    struct node *other = ring->other;
    const struct model_log expected = model_landed(&ring->model, other);
    const struct stored stored = model_superblock(other).stored;
    const struct wal_head head = stored.head;
    const struct rebirth rebirth = image_boot(other, &none);
    static struct model_log log;
    model_log_read(&log, other);
    EXPECT_EQUAL(rebirth.stop, 0);
    EXPECT(rebirth.damaged <= ring->repairs);
    EXPECT(!rebirth.abstained);
    /* Rotten entries that the checkpoint holds are not in the log. */
    EXPECT(log.base == head.base.index
           || (rebirth.damaged > 0 && log.base > head.base.index && log.base <= stored.checkpoint.id.index));
    EXPECT(model_log_equal(&log, &expected));
    EXPECT_EQUAL(node_view(other).durable_index, expected.last);
    ring->starts++;
    node_crash(other);
}

/* Some of what is in flight has landed. */
static void ring_power_loss(struct ring *ring)
{
    ring_copy_disk(ring);
    for (uint32_t slot = 0; slot < ring->node->op_count; slot++) {
        const struct node_op *op = &ring->node->ops[slot];
        if (op->write)
            image_land(ring->node, slot, (uint32_t)prng_below(&ring->prng, image_landings(ring->node, op)), ring->other,
                       NULL);
    }
    ring_expect_start(ring);
}

/* What lies outside of the log is of any earlier time, block by block: writes of earlier laps that were lost. */
static void ring_stale(struct ring *ring)
{
    const struct limits *limits = &ring->node->limits;
    const uint64_t bytes = wal_ring_bytes(limits);
    const uint64_t head = model_superblock(ring->node).stored.head.lsn;
    const uint64_t end = model_newest(&ring->model)->end;
    ring_copy_disk(ring);
    for (uint64_t lsn = end; lsn < head + bytes; lsn += limits->block_bytes) {
        const uint64_t offset = wal_body_offset(limits) + lsn % bytes;
        const uint8_t *from = ring->snapshots[prng_below(&ring->prng, SNAPSHOTS)];
        memcpy(ring->other->image + offset, from + offset, limits->block_bytes);
    }
    ring_expect_start(ring);
}

static void ring_snapshot(struct ring *ring)
{
    memcpy(ring->snapshots[prng_below(&ring->prng, SNAPSHOTS)], ring->node->image, ring->node->image_bytes);
}

/* ---- damage, and repair ---- */

/* A batch that the log still consists of: none of its entries was taken back, and it repairs no others. */
static const struct wal_batch_header *ring_some_batch(struct ring *ring)
{
    const struct replica *replica = ring->node->replica;
    const struct wal_batch_header *batch = &ring->batches[ring->batch_count - 1 - prng_below(&ring->prng, 12)];
    const uint64_t last = batch->first_index + batch->entry_count - 1;
    if (batch->kind != WAL_BATCH_APPEND || batch->first_index <= replica->log.base.index
        || last > replica->log.last.index || batch->entry_count > ENTRIES_MAX)
        return NULL;
    for (uint64_t index = batch->first_index; index <= last; index++) {
        const uint64_t lsn = log_entry_lsn(replica, index);
        if (lsn < batch->lsn || lsn > batch->lsn + batch->run_bytes)
            return NULL;
    }
    return batch;
}

/* Nothing is in flight. One batch rots; a new life finds that, and gets its entries from the leader. */
static void ring_repair(struct ring *ring)
{
    struct image_faults none = { { false } };
    struct node *node = ring->node;
    const struct wal_batch_header *batch = ring->batch_count > 12 ? ring_some_batch(ring) : NULL;
    if (batch == NULL)
        return;
    const struct log_id last = node->replica->log.last;
    const struct log_id prev = { .term = log_term(node->replica, batch->first_index - 1),
                                 .index = batch->first_index - 1 };
    node_crash(node);
    node->image[wal_body_offset(&node->limits) + batch->lsn % wal_ring_bytes(&node->limits) + sizeof *batch + 3] ^= 4;
    const struct rebirth rebirth = image_boot(node, &none);
    EXPECT_EQUAL(rebirth.stop, 0);
    EXPECT(log_id_equal(node->replica->log.last, last));
    ring_observe(ring);
    /* What the checkpoint holds needs no repair. */
    const uint64_t held = u64_max(node->replica->log.base.index, node->replica->commit);
    if (batch->first_index > held) {
        EXPECT_EQUAL(node->replica->log.first_faulty, batch->first_index);
        EXPECT_EQUAL(node->replica->log.faulty_count, batch->entry_count);
    }
    /* From where the log begins now: it may do so in the middle of the batch. */
    const struct log_id base = node->replica->log.base;
    const uint64_t end = batch->first_index + batch->entry_count;
    if (end > base.index + 1)
        ring_request(ring, prev.index >= base.index ? prev : base,
                     (uint32_t)(end - 1 - u64_max(prev.index, base.index)), 0);
    ring_settle(ring);
    EXPECT_EQUAL(node->replica->log.first_faulty, 0);
    ring->repairs++;
}

/* ---- where the log may begin ---- */

static const struct wal_batch_header *ring_batch_at(const struct ring *ring, uint64_t lsn)
{
    for (uint32_t i = ring->batch_count; i-- > 0;)
        if (ring->batches[i].lsn == lsn)
            return &ring->batches[i];
    test_fail(__FILE__, __LINE__, "the log begins with a batch");
}

/* A start from that head finds the same log, without what lies before. */
static void ring_expect_head(struct ring *ring, const struct wal_head *head)
{
    struct node *other = ring->other;
    ring_copy_disk(ring);
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++) {
        uint8_t *block = other->image + superblock_offset(&other->limits, copy);
        struct superblock superblock;
        memcpy(&superblock, block, sizeof superblock);
        superblock.stored.head = *head;
        memcpy(block, &superblock, sizeof superblock);
        superblock_seal(block, limits_superblock_bytes(&other->limits));
    }
    ring_expect_start(ring);
    ring->heads++;
}

/* Every entry that might be the last one of a checkpoint. Nothing is in flight. */
static void ring_expect_heads(struct ring *ring)
{
    const struct replica *replica = ring->node->replica;
    const size_t bytes = replica_bytes(&replica->limits);
    struct replica *clone = aligned_alloc(REGION_ALIGNMENT, u64_round_up(bytes, REGION_ALIGNMENT));
    struct wal_head last = replica->stored.head;
    EXPECT(clone != NULL);
    for (uint64_t index = replica->log.base.index; index <= replica->commit; index++) {
        const struct log_id id = { .term = log_term(replica, index), .index = index };
        memcpy(clone, replica, bytes);
        EXPECT(wal_head_search(clone, id));
        const struct wal_head head = clone->stored.head;
        EXPECT(memcmp(&clone->stored.hard, &replica->stored.hard, sizeof clone->stored.hard) == 0);
        EXPECT(head.lsn >= replica->stored.head.lsn && head.base.index <= id.index);
        if (memcmp(&head, &last, sizeof head) == 0)
            continue;
        last = head;
        const struct wal_batch_header *batch = ring_batch_at(ring, head.lsn);
        EXPECT_EQUAL(batch->first_index, head.base.index + 1);
        EXPECT_EQUAL(batch->sequence, head.sequence + 1);
        EXPECT(hash128_equal(batch->prev_hash, head.prev_hash));
        EXPECT_EQUAL(log_term(replica, head.base.index), head.base.term);
        if (head.base.index <= replica->stored.checkpoint.id.index)
            ring_expect_head(ring, &head);
    }
    free(clone);
}

/* ---- the histories ---- */

static void ring_run(uint64_t seed, uint32_t depth, bool strict, uint32_t slowness, uint64_t laps)
{
    struct ring *ring = ring_new(seed, depth, strict);
    const uint64_t bytes = wal_ring_bytes(&ring->node->limits);
    const uint32_t settle_steps = slowness > 1 ? 100 : 8;
    uint64_t fullest = 0;
    ring->superblock_slowness = slowness;
    for (uint32_t step = 0; model_newest(&ring->model)->end < laps * bytes; step++) {
        EXPECT(step < 50000);
        ring_write(ring);
        for (uint64_t done = prng_below(&ring->prng, 6); done > 0 && ring->node->op_count > 0; done--)
            ring_complete(ring);
        ring_power_loss(ring);
        fullest = u64_max(fullest, node_view(ring->node).wal_blocks_used);
        if (step % settle_steps == 0) {
            ring_settle(ring);
            ring_tick(ring, NAME_DELAY_NS);
            ring_settle(ring);
            ring_stale(ring);
            if (slowness > 1 || prng_below(&ring->prng, 3) == 0)
                ring_repair(ring);
            ring_expect_heads(ring);
        }
        if (step % 16 == 0)
            ring_snapshot(ring);
    }
    printf("%10llu  starts, %llu from heads that might have been; %u batches, %llu took something back, %llu rotted, "
           "%llu gaps\n",
           (unsigned long long)ring->starts, (unsigned long long)ring->heads, ring->batch_count,
           (unsigned long long)ring->truncations, (unsigned long long)ring->repairs, (unsigned long long)ring->gaps);
    EXPECT(ring->heads > laps || slowness > 1 || ring->node->limits.wal_retain_blocks == 0);
    EXPECT(ring->truncations > laps || slowness > 1);
    EXPECT(ring->repairs > 0);
    /* Where the head waits for its superblock, the ring fills up behind it, but for what followers leave alone. */
    EXPECT(slowness == 1 || fullest + ring->node->limits.wal_reserve_blocks > ring->node->limits.wal_body_blocks);
    EXPECT(ring->gaps > laps / 2);
    ring_free(ring);
}

TEST(around_the_ring_one_write_at_a_time) { ring_run(1, 1, false, 1, 50); }
TEST(around_the_ring_two_writes_at_a_time) { ring_run(2, 2, false, 1, 50); }
TEST(around_the_ring_with_strict_names) { ring_run(3, 2, true, 1, 50); }
TEST(around_the_ring_keeping_little_and_much)
{
    for (uint64_t seed = 4; seed < 9; seed++)
        ring_run(seed, 2, seed % 2 == 0, 1, 40);
}

/* The ring is full before the head that has been found counts. */
TEST(around_the_ring_with_a_superblock_that_lags)
{
    for (uint64_t seed = 10; seed < 14; seed++)
        ring_run(seed, 2, false, 40, 25);
}

TEST_MAIN()

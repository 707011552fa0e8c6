/* Fuzzer of the start of a life: a valid WAL image, damaged as the input says, sometimes resealed so that the damage
 * has good checksums; reads that fail, and complete in any order; a start. Device 1 stays as it was: the head of the
 * log and the checkpoint may part company nevertheless, since the superblock is forged as well.
 *
 * The life must end in a role or in EFFECT_STOP, never in an assertion and never in a loop. When it ends in a role
 * and every block could be read in the end, a second start from what is then on the disk must find at least the same
 * log and the same term: recovery has decided, and a decision does not change.
 *
 * Input: one byte for the base image, then damages of one kind byte with operands, then bits: which read fails, and
 * which of the operations in flight completes next. */
#include "../core/wal.h"

#include "node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

_Noreturn void core_assert_failed(const char *expression, const char *file, int line)
{
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, expression);
    abort();
}

enum { BASES = 6, DAMAGES_MAX = 12, STEPS_MAX = 20000 };

static struct node *bases[BASES];
static struct node *older[BASES]; /* the same disks some writes earlier: what a lost write leaves behind */

/* ---- base images ---- */

static void put(struct node *node, uint64_t session, uint64_t sequence)
{
    uint8_t value[120];
    memset(value, (int)sequence, sizeof value);
    const struct request request = {
        .request_id = sequence,
        .kind = sequence > 0 ? REQUEST_APPEND : REQUEST_REGISTER,
        .session = session,
        .sequence = sequence,
        .key = { .bytes = (const uint8_t *)"k", .count = sequence > 0 ? 1 : 0 },
        .value = { .bytes = value, .count = sequence > 0 ? (uint32_t)(sequence * 37 % sizeof value) : 0 },
    };
    node_request(node, 1, &request);
}

/* A lone voter that has written; the first batches hold one entry each, the later ones several. */
static struct node *grow_lone_voter(uint64_t writes, bool settled)
{
    const struct replica_config config = node_config(1);
    struct node *node = node_new(&limits_tiny, &config, node_voters(1));
    node_start(node);
    node_settle(node);
    node_tick(node, 1000 * 1000 * 1000);
    node_settle(node);
    put(node, 0, 0);
    node_settle(node);
    const uint64_t session = node_view(node).last.index;
    for (uint64_t sequence = 1; sequence <= writes; sequence++) {
        put(node, session, sequence);
        if (sequence % 3 != 0)
            node_settle(node);
        node->sent_count = 0;
    }
    if (settled)
        node_settle(node);
    for (uint32_t slot = 0; slot < node->op_count; slot++)
        if (node->ops[slot].write)
            node_land(node, slot, 0x5);
    return node;
}

static void lead_with(struct node *node, enum entry_kind kind, uint64_t leader, uint64_t term, struct log_id prev,
                      uint32_t count, uint64_t commit)
{
    uint8_t bytes[1024];
    uint32_t used = 0;
    for (uint32_t i = 1; i <= count; i++) {
        const struct entry entry = { .id = { .term = term, .index = prev.index + i }, .kind = kind };
        entry_encode(&entry, bytes + used);
        used += entry_bytes(0);
    }
    const struct message message = {
        .type = FRAME_APPEND_REQUEST,
        .from = leader,
        .to = node->config.node_id,
        .instance = 1000 + leader,
        .term = term,
        .append_request = { .prev = prev,
                            .commit = commit,
                            .entry_count = count,
                            .entries = { .bytes = bytes, .count = used } },
    };
    node_message(node, &message);
    node_settle(node);
    node->sent_count = 0;
}

static void lead(struct node *node, uint64_t leader, uint64_t term, struct log_id prev, uint32_t count)
{
    lead_with(node, ENTRY_NOOP, leader, term, prev, count, 0);
}

/* A follower whose tail was overwritten twice: truncations in the WAL, terms in the superblock. */
static struct node *grow_follower(bool all)
{
    const struct replica_config config = node_config(2);
    struct node *node = node_new(&limits_tiny, &config, node_voters(3));
    node_start(node);
    node_settle(node);
    lead(node, 1, 1, (struct log_id){ 0 }, 6);
    lead(node, 3, 2, (struct log_id){ .term = 1, .index = 4 }, 5);
    lead(node, 1, 3, (struct log_id){ .term = 2, .index = 7 }, 4);
    if (all) {
        lead(node, 3, 4, (struct log_id){ .term = 1, .index = 2 }, 3);
        lead(node, 3, 4, (struct log_id){ .term = 4, .index = 5 }, 3);
    }
    return node;
}

/* A follower whose log wrapped around the ring, and whose head followed it. */
static struct node *grow_laps(uint32_t batches)
{
    const struct replica_config config = node_config(2);
    struct node *node = node_new(&limits_tiny, &config, node_voters(3));
    node_start(node);
    node_settle(node);
    for (uint32_t batch = 1; batch <= batches; batch++) {
        const struct log_id last = node_view(node).last;
        lead_with(node, batch % 16 == 0 ? ENTRY_CHECKPOINT : ENTRY_NOOP, 1, 1, last, 1 + batch % 3, last.index);
    }
    NODE_CHECK(node_view(node).base.index > 0, "the head has moved");
    return node;
}

static void grow_bases(void)
{
    bases[0] = grow_lone_voter(14, true);
    older[0] = grow_lone_voter(11, true);
    bases[1] = grow_lone_voter(9, false);
    older[1] = grow_lone_voter(8, true);
    bases[2] = grow_follower(true);
    older[2] = grow_follower(false);
    bases[3] = grow_follower(false);
    older[3] = grow_lone_voter(0, true);
    bases[4] = grow_laps(500);
    older[4] = grow_laps(310);
    bases[5] = grow_lone_voter(460, false);
    older[5] = grow_lone_voter(430, true);
}

/* ---- damaging ---- */

struct input_bytes {
    const uint8_t *data;
    size_t left;
};

static uint8_t take(struct input_bytes *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->data++;
}

static uint8_t *take_block(struct input_bytes *in, struct node *node)
{
    const uint64_t blocks = node->image_bytes / node->limits.block_bytes;
    NODE_CHECK(blocks <= 256, "one byte names any block");
    return node->image + take(in) % blocks * node->limits.block_bytes;
}

static void overwrite(uint8_t *block, struct input_bytes *in, uint32_t within)
{
    const uint32_t at = take(in) % (within / 4) * 4;
    const uint8_t bytes = (uint8_t)(1 + take(in) % 8);
    for (uint32_t i = 0; i < bytes && at + i < within; i++)
        block[at + i] = take(in);
}

static void forge_batch(uint8_t *block, struct input_bytes *in, const struct node *node)
{
    struct wal_batch_header header;
    overwrite(block, in, sizeof header + 64);
    memcpy(&header, block, sizeof header);
    const uint64_t room = node->image_bytes - (uint64_t)(block - node->image);
    if (header.magic != WAL_BATCH_MAGIC || header.run_bytes < sizeof header || header.run_bytes > room)
        return;
    if (header.body_bytes <= header.run_bytes - sizeof header)
        wal_batch_seal(block, node->config.cluster_id);
}

static void forge_name(uint8_t *block, struct input_bytes *in, uint32_t block_bytes)
{
    struct wal_name_header name;
    overwrite(block, in, sizeof name + sizeof(struct wal_batch_header));
    memcpy(&name, block, sizeof name);
    if (name.magic == WAL_NAME_MAGIC)
        wal_name_seal(block, block_bytes);
}

static void forge_superblock(uint8_t *block, struct input_bytes *in, uint32_t block_bytes)
{
    struct superblock superblock;
    overwrite(block, in, sizeof superblock);
    memcpy(&superblock, block, sizeof superblock);
    const uint32_t copy_bytes = limits_superblock_bytes(&limits_tiny);
    if (superblock.magic == SUPERBLOCK_MAGIC && superblock.block_bytes == block_bytes
        && superblock.blocks == copy_bytes / block_bytes)
        superblock_seal(block, copy_bytes);
}

static void damage(struct node *node, const struct node *past, struct input_bytes *in)
{
    const uint32_t block_bytes = node->limits.block_bytes;
    uint8_t *block = NULL;
    switch (take(in) % 9) {
    case 0: /* bit rot */
        block = take_block(in, node);
        block[(take(in) * 2u + (take(in) & 1)) % block_bytes] ^= (uint8_t)(1u << (take(in) % 8));
        break;
    case 1: /* never written, or trimmed */ memset(take_block(in, node), 0, block_bytes); break;
    case 2: memset(take_block(in, node), take(in) | 1, block_bytes); break;
    case 3: /* misdirected */
        block = take_block(in, node);
        memmove(take_block(in, node), block, block_bytes);
        break;
    case 4: /* lost write */
        block = take_block(in, node);
        memcpy(block, past->image + (block - node->image), block_bytes);
        break;
    case 5: overwrite(take_block(in, node), in, block_bytes); break;
    case 6: /* plausible: other content under a good checksum */ forge_batch(take_block(in, node), in, node); break;
    case 7:
        forge_name(node->image + wal_header_offset(&node->limits) + take(in) % 4 * block_bytes, in, block_bytes);
        break;
    default:
        forge_superblock(node->image + superblock_offset(&node->limits, take(in) % SUPERBLOCK_COPIES), in, block_bytes);
        break;
    }
}

/* ---- living ---- */

struct ending {
    bool has_role;     /* otherwise it stopped */
    bool lost_a_block; /* some block failed as often as the replica asked for it */
};

/* Until the replica has a role or has stopped. errors: one bit per read, 1 fails. */
static struct ending live(struct node *node, const struct input_bytes *errors)
{
    struct ending ending = { false, false };
    uint32_t reads = 0;
    uint8_t failures[256] = { 0 };
    node_start(node);
    for (uint32_t steps = 0; node->stop == 0 && node_view(node).role == RAFT_STARTING; steps++) {
        NODE_CHECK(steps < STEPS_MAX, "the start never ends");
        if (node->op_count == 0) {
            NODE_CHECK(node->deadline_ns != UINT64_MAX, "the start waits for nothing");
            node_tick(node, node->deadline_ns > node->now_ns ? node->deadline_ns - node->now_ns : 0);
            continue;
        }
        bool fails = false;
        uint32_t slot = 0;
        if (node->op_count > 1 && errors != NULL && reads < 8 * errors->left) {
            slot = (errors->data[reads / 8] >> (reads % 8) & 1) % node->op_count;
            reads++;
        }
        const struct node_op op = node->ops[slot];
        if (!op.write && errors != NULL && reads < 8 * errors->left) {
            fails = errors->data[reads / 8] >> (reads % 8) & 1;
            reads++;
        }
        uint8_t *tries = &failures[op.offset / node->limits.block_bytes];
        *tries = fails && op.bytes == node->limits.block_bytes ? (uint8_t)(*tries + 1) : 0;
        ending.lost_a_block = ending.lost_a_block || *tries >= RECOVERY_READ_TRIES;
        node_complete(node, slot, fails ? DISK_ERROR : DISK_OK);
    }
    ending.has_role = node->stop == 0;
    return ending;
}

static uint32_t ring_blocks_damaged(const struct node *node)
{
    uint32_t damaged = 0;
    for (uint32_t block = 0; block < node->limits.wal_header_blocks; block++) {
        const uint8_t *bytes =
            node->image + wal_header_offset(&node->limits) + (size_t)block * node->limits.block_bytes;
        struct wal_name_header name;
        const struct slice slice = { .bytes = bytes, .count = node->limits.block_bytes };
        damaged += !bytes_are_zero(bytes, slice.count) && !wal_name_decode(slice, node->config.cluster_id, &name);
    }
    return damaged;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct node *node;
    if (bases[0] == NULL)
        grow_bases();
    if (size < 2)
        return 0;

    struct input_bytes in = { .data = data, .left = size };
    const uint32_t base = take(&in) % BASES;
    const uint32_t damages = take(&in) % DAMAGES_MAX;
    if (node == NULL)
        node = node_new(&bases[base]->limits, &bases[base]->config, node_voters(3));
    node->config = bases[base]->config;
    node->now_ns = 5;
    memcpy(node->image, bases[base]->image, node->image_bytes);
    memcpy(node->data, bases[base]->data, node->data_bytes);
    for (uint32_t i = 0; i < damages; i++)
        damage(node, older[base], &in);

    const struct ending ending = live(node, &in);
    if (!ending.has_role || ending.lost_a_block)
        return 0;
    const struct replica_view first = node_view(node);
    node_crash(node);
    /* Damaged neighbours in the header ring may become doubtful as the ring goes on: then it refuses, and may. */
    const bool has_role = live(node, NULL).has_role;
    if (!has_role && node->stop == STOP_WAL_DAMAGED && ring_blocks_damaged(node) >= 2)
        return 0;
    NODE_CHECK(has_role, "the second start stops where the first went on");
    const struct replica_view second = node_view(node);
    NODE_CHECK(second.last.index >= first.durable_index && second.term >= first.durable_term,
               "a decision was forgotten");

    node_tick(node, 1000 * 1000 * 1000);
    node_settle(node);
    put(node, 2, 1000);
    node_settle(node);
    return 0;
}

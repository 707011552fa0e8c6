/* The checkpoints that the disk images hold.
 *
 * Device 1 is followed block by block in a copy of what landed. When a superblock names another checkpoint, everything
 * below its root must lie there, each page and map block with the hash that the one above it holds; and the hash of the
 * whole must be the one of every other checkpoint at that index, on any node, in any life. From then on nothing that it
 * uses may be written, but with what is there already, until no superblock copy names it any more. */
#include "check_state.h"

#include "../core/map.h"
#include "../core/page.h"

#include <stdlib.h>
#include <string.h>

enum { USED_NOW = 1, USED_BEFORE = 2 };

void check_data_reset(struct check *check, uint32_t node)
{
    struct ghost_data *data = &check->nodes[node].data;
    const struct limits *limits = &check->limits;
    const uint64_t bytes = limits_data_bytes(limits);
    ASSERT(bytes == (uint64_t)limits->data_blocks * limits->page_bytes);
    if (bytes > data->image_max) {
        free(data->image);
        data->image = calloc(bytes, 1);
        ASSERT(data->image != NULL);
        data->image_max = bytes;
    } else if (data->written > 0) {
        memset(data->image, 0, data->written);
    }
    data->written = 0;
    data->before = false;
    data->blocks = check_grow(data->blocks, &data->block_max, limits->data_blocks, sizeof *data->blocks);
    memset(data->blocks, 0, limits->data_blocks * sizeof *data->blocks);
}

/* Has a fault taken the block, or one that names it? Then the node cannot know that it is in use. */
static bool block_is_lost(const struct ghost_data *data, uint64_t block)
{
    while (block != 0 && !data->blocks[block].bad && !data->blocks[block].gone)
        block = data->blocks[block].above;
    return block != 0;
}

static void block_written(struct check *check, uint32_t node, uint64_t block, bool whole, bool same)
{
    struct ghost_data *data = &check->nodes[node].data;
    struct ghost_data_block *ghost = &data->blocks[block];
    if (ghost->used != 0 && !same) {
        check_count(check, CHECK_CHECKPOINT);
        ghost->gone = block_is_lost(data, block);
        if (!ghost->gone)
            check_fail(check, CHECK_CHECKPOINT, node, "writes over block %llu, which its durable checkpoint uses",
                       (unsigned long long)block);
    }
    if (whole)
        ghost->bad = false;
}

void check_data_landed(struct check *check, uint32_t node, uint64_t offset, const uint8_t *image, uint64_t image_bytes,
                       uint32_t bytes, bool damaged)
{
    ASSERT(node < check->setup.node_count);
    ASSERT(offset + bytes <= image_bytes && image_bytes == limits_data_bytes(&check->limits));
    if (check->failure.failed || bytes == 0)
        return;
    struct ghost_data *data = &check->nodes[node].data;
    const uint32_t block_bytes = check->limits.page_bytes;
    const uint64_t end = offset + bytes;
    for (uint64_t block = offset / block_bytes; block * block_bytes < end; block++) {
        const uint64_t from = u64_max(block * block_bytes, offset);
        const uint64_t to = u64_min((block + 1) * block_bytes, end);
        if (damaged)
            data->blocks[block].bad = true;
        else
            block_written(check, node, block, to - from == block_bytes,
                          memcmp(data->image + from, image + from, to - from) == 0);
    }
    if (damaged)
        return;
    memcpy(data->image + offset, image + offset, bytes);
    data->written = u64_max(data->written, end);
}

/* ---- what a superblock names ---- */

/* The walk from the root down, level by level: entries of one level, then of the one below. */
struct map_walk {
    struct check *check;
    uint32_t node;
    bool partial; /* some of it is still to come */
    bool back;    /* damage brought an older superblock back: some of it may have been written over since */
};

/* The bytes that an entry names; NULL: none, or it must not be so. */
static const uint8_t *walk_block(const struct map_walk *walk, const struct ghost_map_entry *at)
{
    struct check *check = walk->check;
    struct ghost_data *data = &check->nodes[walk->node].data;
    const uint32_t block = at->entry.block;
    if (map_entry_is_zero(&at->entry) || (block == 0 && walk->partial))
        return NULL;
    if (block == 0 || block >= check->limits.data_blocks || (data->blocks[block].used & USED_NOW) != 0) {
        check_fail(check, CHECK_CHECKPOINT, walk->node,
                   "its checkpoint on disk has no block of its own where it names %u", block);
        return NULL;
    }
    data->blocks[block].used |= USED_NOW;
    data->blocks[block].above = at->above;
    return data->image + (uint64_t)block * check->limits.page_bytes;
}

/* What an entry names is not what the block holds. */
static void walk_differs(const struct map_walk *walk, const struct ghost_map_entry *at, uint32_t level, uint32_t number)
{
    struct check *check = walk->check;
    if (walk->back)
        check->nodes[walk->node].data.blocks[at->entry.block].gone = true;
    else
        check_fail(check, CHECK_CHECKPOINT, walk->node,
                   "entry %u of level %u of its checkpoint is not in block %u of its disk", number, level,
                   at->entry.block);
}

static void walk_page(const struct map_walk *walk, const struct ghost_map_entry *at, uint32_t page)
{
    struct check *check = walk->check;
    const uint8_t *bytes = walk_block(walk, at);
    if (bytes == NULL)
        return;
    const struct hash128 hash = map_page_hash_in(&check->limits, check->setup.configs[0].cluster_id, bytes);
    if (!hash128_equal(hash, at->entry.hash))
        walk_differs(walk, at, 0, page);
}

/* Puts the entries that the map block `number` of the level holds to `below`. */
static void walk_map_block(const struct map_walk *walk, const struct ghost_map_entry *at, uint32_t level,
                           uint32_t number, struct ghost_map_entry *below)
{
    struct check *check = walk->check;
    const struct limits *limits = &check->limits;
    const uint64_t cluster_id = check->setup.configs[0].cluster_id;
    const uint32_t fanout = map_fanout(limits);
    memset(below, 0, fanout * sizeof *below);
    const uint8_t *bytes = walk_block(walk, at);
    if (bytes == NULL)
        return;
    if (map_block_checksum_in(limits, cluster_id, bytes, level, number) != at->entry.checksum
        || !hash128_equal(map_block_hash(limits, bytes), at->entry.hash)) {
        walk_differs(walk, at, level, number);
        return;
    }
    for (uint32_t i = 0; i < fanout; i++) {
        memcpy(&below[i].entry, bytes + i * sizeof below[i].entry, sizeof below[i].entry);
        below[i].above = at->entry.block;
    }
}

static void walk_all(const struct map_walk *walk, const struct checkpoint *checkpoint)
{
    struct check *check = walk->check;
    const struct limits *limits = &check->limits;
    const uint32_t fanout = map_fanout(limits);
    const uint32_t room = (uint32_t)u64_round_up(limits->pages_max, fanout);
    for (uint32_t side = 0; side < 2; side++)
        check->map[side] = check_grow(check->map[side], &check->map_max[side], room, sizeof *check->map[side]);
    check->map[0][0] = (struct ghost_map_entry){ .entry = checkpoint->root };
    uint32_t side = 0;
    for (uint32_t level = map_root(limits); level > 0 && !check->failure.failed; level--, side = 1 - side)
        for (uint32_t at = 0; at < map_count(limits, level); at++)
            walk_map_block(walk, &check->map[side][at], level, at, check->map[1 - side] + (size_t)at * fanout);
    for (uint32_t page = 0; page < limits->pages_max && !check->failure.failed; page++)
        walk_page(walk, &check->map[side][page], page);
}

/* Equal states at equal indices, byte by byte. */
static void checkpoint_compare(struct check *check, uint32_t node, const struct checkpoint *checkpoint)
{
    const uint64_t index = checkpoint->id.index;
    check_count(check, CHECK_CHECKPOINT);
    if (index > check->committed || check->commits[index].link.term != checkpoint->id.term) {
        check_fail(check, CHECK_CHECKPOINT, node, "has a checkpoint of entry %llu of term %llu, which nobody committed",
                   (unsigned long long)index, (unsigned long long)checkpoint->id.term);
        return;
    }
    struct hash128 *known = &check->commits[index].checkpoint;
    if (!hash128_equal(checkpoint->hash, checkpoint_hash(checkpoint->id, checkpoint->root.hash)))
        check_fail(check, CHECK_CHECKPOINT, node, "the hash of its checkpoint of entry %llu is not that of its pages",
                   (unsigned long long)index);
    else if (hash128_is_zero(*known))
        *known = checkpoint->hash;
    else if (!hash128_equal(*known, checkpoint->hash))
        check_fail(check, CHECK_CHECKPOINT, node, "its checkpoint of entry %llu differs from another node's",
                   (unsigned long long)index);
}

void check_offered(struct check *check, uint32_t node, const struct checkpoint_response *offer)
{
    if (check->failure.failed)
        return;
    checkpoint_compare(check, node,
                       &(struct checkpoint){
                           .id = offer->id,
                           .hash = offer->checkpoint,
                           .root = { .hash = offer->root_hash },
                       });
}

void check_data_checkpoint(struct check *check, uint32_t node, bool back)
{
    const struct stored *stored = &check->nodes[node].stored;
    struct ghost_data *data = &check->nodes[node].data;
    for (uint32_t block = 0; block < check->limits.data_blocks; block++) {
        struct ghost_data_block *ghost = &data->blocks[block];
        /* The node knows nothing of the newer one, if damage took it. */
        ghost->used = ghost->used != 0 && !ghost->gone && !back ? USED_BEFORE : 0;
        ghost->gone = false;
    }
    data->before = !back;
    if (stored->checkpoint.id.index == 0)
        return;
    checkpoint_compare(check, node, &stored->checkpoint);
    const struct map_walk walk = {
        .check = check, .node = node, .partial = (stored->flags & STORED_PARTIAL) != 0, .back = back
    };
    if (!check->failure.failed)
        walk_all(&walk, &stored->checkpoint);
}

void check_data_forget(struct check *check, uint32_t node)
{
    struct ghost_data *data = &check->nodes[node].data;
    for (uint32_t block = 0; data->before && block < check->limits.data_blocks; block++)
        data->blocks[block].used &= USED_NOW;
    data->before = false;
}

/* ---- what a node has made of it ---- */

static struct map_entry data_entry(const struct check *check, const struct ghost_data *data, uint32_t block,
                                   uint32_t at)
{
    struct map_entry entry;
    memcpy(&entry, data->image + (uint64_t)block * check->limits.page_bytes + at * sizeof entry, sizeof entry);
    return entry;
}

static void data_release(const struct check *check, struct ghost_data *data, uint32_t block, uint32_t level)
{
    for (uint32_t child = 0; child < map_fanout(&check->limits); child++) {
        const struct map_entry entry = data_entry(check, data, block, child);
        /* What was written over since is no map block any more. */
        if (entry.block == 0 || entry.block >= check->limits.data_blocks)
            continue;
        data->blocks[entry.block].used = 0;
        if (level > 1)
            data_release(check, data, entry.block, level - 1);
    }
}

/* Without the map block nobody can know which blocks lie below it: they are lost with it, and may be written. */
void check_data_lost(struct check *check, uint32_t node, uint32_t level, uint32_t at)
{
    struct ghost_data *data = &check->nodes[node].data;
    uint32_t block = check->nodes[node].stored.checkpoint.root.block;
    for (uint32_t above = map_root(&check->limits); above > level && block != 0; above--) {
        if (block >= check->limits.data_blocks)
            return;
        uint32_t child = at;
        for (uint32_t below = level; below + 1 < above; below++)
            child /= map_fanout(&check->limits);
        block = data_entry(check, data, block, child % map_fanout(&check->limits)).block;
    }
    if (block != 0 && block < check->limits.data_blocks)
        data_release(check, data, block, level);
}

/* The pages in memory are those of the checkpoint, which the node has just loaded. */
void check_data_loaded(struct check *check, uint32_t node, const struct replica *replica)
{
    const uint64_t cluster_id = check->setup.configs[0].cluster_id;
    check_count(check, CHECK_CHECKPOINT);
    for (uint32_t page = 0; page < check->limits.pages_max; page++) {
        const struct hash128 hash = map_page_hash_in(&check->limits, cluster_id, page_raw_const(replica, page));
        if (!hash128_equal(hash, map_entry_const(replica, 0, page)->hash))
            check_fail(check, CHECK_CHECKPOINT, node, "loads page %u with other bytes than its checkpoint has", page);
    }
}

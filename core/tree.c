/* The B+tree: nodes, the way down, growing and shrinking; see tree.h. */
#include "tree.h"

#include "page.h"
#include "state.h"

enum node_kind { NODE_LEAF = 1, NODE_BRANCH = 2 };

struct node_header {
    uint16_t kind; /* enum node_kind */
    uint16_t count;
    uint32_t cells_bytes; /* at the end of the page */
    uint32_t first_child; /* branches */
    uint32_t zero;
};
STATIC_ASSERT(sizeof(struct node_header) == 16, "no padding");

/* Followed by the key, and in a leaf by the record. */
struct cell_header {
    uint16_t key_bytes;
    uint16_t record_bytes;
    uint32_t child; /* branches */
};
STATIC_ASSERT(sizeof(struct cell_header) == 8, "no padding");

struct cell {
    struct slice key;
    struct slice record;
    uint32_t child;
};

/* The way from the root to a leaf: each node, and the child taken (0: first_child, i + 1: the child of cell i). */
struct tree_path {
    uint32_t pages[TREE_HEIGHT_MAX];
    uint32_t taken[TREE_HEIGHT_MAX];
    uint32_t height;
};

static int key_compare(struct slice a, struct slice b)
{
    const uint32_t common = u32_min(a.count, b.count);
    const int order = common > 0 ? memcmp(a.bytes, b.bytes, common) : 0;
    if (order != 0)
        return order;
    return a.count < b.count ? -1 : a.count > b.count;
}

/* ---- one node ---- */

static uint32_t node_space(const struct replica *replica)
{
    return replica->limits.page_bytes - (uint32_t)sizeof(struct node_header);
}

static uint32_t cell_space_max(const struct limits *limits)
{
    return (limits->page_bytes - (uint32_t)sizeof(struct node_header)) / 4;
}

uint32_t tree_record_bytes_max(const struct limits *limits, uint32_t key_bytes)
{
    return cell_space_max(limits) - (uint32_t)(sizeof(uint16_t) + sizeof(struct cell_header)) - key_bytes;
}

static struct node_header node_header(const uint8_t *node)
{
    struct node_header header;
    memcpy(&header, node, sizeof header);
    return header;
}

static void node_header_set(uint8_t *node, const struct node_header *header) { memcpy(node, header, sizeof *header); }

static uint32_t slot_get(const uint8_t *node, uint32_t at)
{
    uint16_t offset;
    memcpy(&offset, node + sizeof(struct node_header) + at * sizeof offset, sizeof offset);
    return offset;
}

static void slot_set(uint8_t *node, uint32_t at, uint32_t offset)
{
    const uint16_t stored = (uint16_t)offset;
    memcpy(node + sizeof(struct node_header) + at * sizeof stored, &stored, sizeof stored);
}

static uint32_t cell_bytes(const struct cell *cell)
{
    return (uint32_t)sizeof(struct cell_header) + cell->key.count + cell->record.count;
}

static uint32_t node_used(const uint8_t *node)
{
    const struct node_header header = node_header(node);
    return header.cells_bytes + header.count * (uint32_t)sizeof(uint16_t);
}

static struct cell cell_get(const uint8_t *node, uint32_t at)
{
    const uint8_t *bytes = node + slot_get(node, at);
    struct cell_header header;
    memcpy(&header, bytes, sizeof header);
    const uint8_t *key = bytes + sizeof header;
    return (struct cell){
        .key = { .bytes = key, .count = header.key_bytes },
        .record = { .bytes = key + header.key_bytes, .count = header.record_bytes },
        .child = header.child,
    };
}

/* How many cells have a key below `key`; *equal: the next one has this key. */
static uint32_t node_lower_bound(const uint8_t *node, struct slice key, bool *equal)
{
    uint32_t low = 0;
    uint32_t high = node_header(node).count;
    *equal = false;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const int order = key_compare(cell_get(node, middle).key, key);
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
            *equal = *equal || order == 0;
        }
    }
    return low;
}

static bool node_fits(const struct replica *replica, const uint8_t *node, uint32_t bytes)
{
    return node_used(node) + bytes + sizeof(uint16_t) <= node_space(replica);
}

/* A record of the same size takes the place of the old one and moves nothing: pages that were written differ little
 * from what they were (pieces.h). */
static bool cell_replace(uint8_t *node, uint32_t at, struct slice record)
{
    const struct cell cell = cell_get(node, at);
    if (cell.record.count != record.count)
        return false;
    memcpy(node + slot_get(node, at) + sizeof(struct cell_header) + cell.key.count, record.bytes, record.count);
    return true;
}

/* The caller has checked that it fits. */
static void cell_insert(const struct replica *replica, uint8_t *node, uint32_t at, const struct cell *cell)
{
    struct node_header header = node_header(node);
    const uint32_t bytes = cell_bytes(cell);
    ASSERT(at <= header.count);
    ASSERT(node_fits(replica, node, bytes));
    header.cells_bytes += bytes;
    const uint32_t offset = replica->limits.page_bytes - header.cells_bytes;
    for (uint32_t i = header.count; i > at; i--)
        slot_set(node, i, slot_get(node, i - 1));
    slot_set(node, at, offset);
    header.count++;
    node_header_set(node, &header);
    const struct cell_header stored = {
        .key_bytes = (uint16_t)cell->key.count,
        .record_bytes = (uint16_t)cell->record.count,
        .child = cell->child,
    };
    uint8_t *to = node + offset;
    memcpy(to, &stored, sizeof stored);
    memcpy(to + sizeof stored, cell->key.bytes, cell->key.count);
    if (cell->record.count > 0)
        memcpy(to + sizeof stored + cell->key.count, cell->record.bytes, cell->record.count);
}

/* Cells stay packed: those below the hole move up over it, and what becomes free is zeroed. */
static void cell_remove(const struct replica *replica, uint8_t *node, uint32_t at)
{
    struct node_header header = node_header(node);
    ASSERT(at < header.count);
    const struct cell cell = cell_get(node, at);
    const uint32_t bytes = cell_bytes(&cell);
    const uint32_t hole = slot_get(node, at);
    const uint32_t start = replica->limits.page_bytes - header.cells_bytes;
    memmove(node + start + bytes, node + start, hole - start);
    memset(node + start, 0, bytes);
    for (uint32_t i = at; i + 1 < header.count; i++)
        slot_set(node, i, slot_get(node, i + 1));
    header.count--;
    header.cells_bytes -= bytes;
    slot_set(node, header.count, 0);
    for (uint32_t i = 0; i < header.count; i++)
        if (slot_get(node, i) < hole)
            slot_set(node, i, slot_get(node, i) + bytes);
    node_header_set(node, &header);
}

static uint32_t child_at(const uint8_t *node, uint32_t taken)
{
    return taken == 0 ? node_header(node).first_child : cell_get(node, taken - 1).child;
}

static uint32_t child_for(const uint8_t *node, struct slice key)
{
    bool equal;
    const uint32_t below = node_lower_bound(node, key, &equal);
    return equal ? below + 1 : below;
}

static uint32_t node_new(struct replica *replica, enum node_kind kind, uint32_t first_child)
{
    const uint32_t page = page_allocate(replica);
    const struct node_header header = { .kind = (uint16_t)kind, .first_child = first_child };
    node_header_set(page_write(replica, page), &header);
    return page;
}

/* ---- the way down ---- */

static void tree_descend(const struct replica *replica, struct slice key, struct tree_path *path)
{
    const struct page_root *root = page_root_const(replica);
    uint32_t page = root->tree_root;
    ASSERT(root->tree_height >= 1 && root->tree_height <= TREE_HEIGHT_MAX);
    path->height = root->tree_height;
    for (uint32_t level = 0; level < path->height; level++) {
        const uint8_t *node = page_read(replica, page);
        path->pages[level] = page;
        path->taken[level] = 0;
        if (level + 1 == path->height)
            break;
        ASSERT(node_header(node).kind == NODE_BRANCH);
        path->taken[level] = child_for(node, key);
        page = child_at(node, path->taken[level]);
    }
}

struct slice tree_find(const struct replica *replica, struct slice key)
{
    const struct slice none = { .bytes = NULL, .count = 0 };
    if (page_root_const(replica)->tree_height == 0)
        return none;
    struct tree_path path;
    bool equal;
    tree_descend(replica, key, &path);
    const uint8_t *leaf = page_read(replica, path.pages[path.height - 1]);
    const uint32_t at = node_lower_bound(leaf, key, &equal);
    return equal ? cell_get(leaf, at).record : none;
}

uint32_t tree_pages_for_put(const struct replica *replica) { return page_root_const(replica)->tree_height + 1; }

/* ---- growing ---- */

/* Where a full node is cut so that a new cell of that size at `at` fits: at the end for keys that arrive in order, else
 * in the middle by bytes. The cell that crosses the middle goes left, unless the new one goes there and needs its
 * place: half of a node and its slots leave room for any cell, half and one more may not. */
static uint32_t split_point(const struct replica *replica, const uint8_t *node, uint32_t at, uint32_t bytes)
{
    const struct node_header header = node_header(node);
    if (at == header.count)
        return header.count;
    uint32_t left = 0;
    uint32_t point = 0;
    while (point + 1 < header.count && left < header.cells_bytes / 2) {
        const struct cell cell = cell_get(node, point++);
        left += cell_bytes(&cell);
    }
    const uint32_t slots = (point + 1) * (uint32_t)sizeof(uint16_t);
    return at < point && left + bytes + slots > node_space(replica) ? point - 1 : point;
}

static void cells_move(struct replica *replica, uint8_t *from, uint32_t first, uint8_t *to)
{
    while (node_header(from).count > first) {
        const struct cell cell = cell_get(from, first);
        cell_insert(replica, to, node_header(to).count, &cell);
        cell_remove(replica, from, first);
    }
}

/* The right node of a split joins the parent; a split root gets a new parent. */
static void tree_insert(struct replica *replica, struct tree_path *path, uint32_t level, uint32_t at,
                        const struct cell *cell);

static void tree_split_up(struct replica *replica, struct tree_path *path, uint32_t level, const struct cell *up)
{
    struct page_root *root = page_root(replica);
    if (level > 0) {
        tree_insert(replica, path, level - 1, path->taken[level - 1], up);
        return;
    }
    const uint32_t page = node_new(replica, NODE_BRANCH, path->pages[0]);
    cell_insert(replica, page_write(replica, page), 0, up);
    root->tree_root = page;
    root->tree_height++;
    ASSERT(root->tree_height <= TREE_HEIGHT_MAX);
}

/* Puts a cell into the node at `level` of the path, splitting upwards as needed. */
static void tree_insert(struct replica *replica, struct tree_path *path, uint32_t level, uint32_t at,
                        const struct cell *cell)
{
    uint8_t *left = page_write(replica, path->pages[level]);
    if (node_fits(replica, left, cell_bytes(cell))) {
        cell_insert(replica, left, at, cell);
        return;
    }
    const enum node_kind kind = (enum node_kind)node_header(left).kind;
    const uint32_t count = node_header(left).count;
    const uint32_t point = split_point(replica, left, at, cell_bytes(cell));
    const uint32_t right_page = node_new(replica, kind, PAGE_NONE);
    uint8_t *right = page_write(replica, right_page);
    cells_move(replica, left, point, right);
    if (at < point || (at == point && at < count && node_fits(replica, left, cell_bytes(cell))))
        cell_insert(replica, left, at, cell);
    else
        cell_insert(replica, right, at - point, cell);

    /* The first key of the right node separates the two. In a branch it moves up, and its child becomes the first. */
    const struct cell first = cell_get(right, 0);
    tree_split_up(replica, path, level, &(struct cell){ .key = first.key, .child = right_page });
    if (kind == NODE_BRANCH) {
        struct node_header header = node_header(right);
        header.first_child = first.child;
        node_header_set(right, &header);
        cell_remove(replica, right, 0);
    }
}

void tree_put(struct replica *replica, struct slice key, struct slice record)
{
    struct page_root *root = page_root(replica);
    ASSERT(record.count <= tree_record_bytes_max(&replica->limits, key.count));
    ASSERT(root->pages_free >= tree_pages_for_put(replica));
    if (root->tree_height == 0) {
        root->tree_root = node_new(replica, NODE_LEAF, PAGE_NONE);
        root->tree_height = 1;
    }
    struct tree_path path;
    bool equal;
    tree_descend(replica, key, &path);
    uint8_t *leaf = page_write(replica, path.pages[path.height - 1]);
    const uint32_t at = node_lower_bound(leaf, key, &equal);
    if (equal && cell_replace(leaf, at, record))
        return;
    if (equal)
        cell_remove(replica, leaf, at);
    tree_insert(replica, &path, path.height - 1, at, &(struct cell){ .key = key, .record = record });
}

/* ---- shrinking ---- */

/* Joins the children on both sides of the parent's cell `at`, if they fit one node. */
static bool tree_merge(struct replica *replica, uint32_t parent_page, uint32_t at)
{
    const struct cell separator = cell_get(page_read(replica, parent_page), at);
    const uint32_t left_page = child_at(page_read(replica, parent_page), at);
    const uint32_t right_page = separator.child;
    const struct node_header right_header = node_header(page_read(replica, right_page));
    const bool branch = right_header.kind == NODE_BRANCH;
    const struct cell down = { .key = separator.key, .child = right_header.first_child };
    const uint32_t extra = branch ? cell_bytes(&down) + (uint32_t)sizeof(uint16_t) : 0;
    if (node_used(page_read(replica, left_page)) + node_used(page_read(replica, right_page)) + extra
        > node_space(replica))
        return false;
    uint8_t *left = page_write(replica, left_page);
    if (branch)
        cell_insert(replica, left, node_header(left).count, &down);
    cells_move(replica, page_write(replica, right_page), 0, left);
    page_free(replica, right_page);
    cell_remove(replica, page_write(replica, parent_page), at);
    return true;
}

static void tree_shrink_root(struct replica *replica)
{
    const uint32_t page = page_root_const(replica)->tree_root;
    const struct node_header header = node_header(page_read(replica, page));
    if (header.count > 0)
        return;
    struct page_root *root = page_root(replica);
    root->tree_root = header.kind == NODE_BRANCH ? header.first_child : PAGE_NONE;
    root->tree_height--;
    page_free(replica, page);
}

static void tree_shrink(struct replica *replica, const struct tree_path *path)
{
    for (uint32_t level = path->height - 1; level > 0; level--) {
        if (node_used(page_read(replica, path->pages[level])) >= node_space(replica) / 4)
            return;
        const uint32_t parent = path->pages[level - 1];
        const uint32_t separators = node_header(page_read(replica, parent)).count;
        const uint32_t taken = path->taken[level - 1];
        const bool merged = (taken < separators && tree_merge(replica, parent, taken))
                            || (taken > 0 && tree_merge(replica, parent, taken - 1));
        if (!merged)
            return;
    }
    tree_shrink_root(replica);
}

void tree_delete(struct replica *replica, struct slice key)
{
    struct tree_path path;
    bool equal;
    tree_descend(replica, key, &path);
    uint8_t *leaf = page_write(replica, path.pages[path.height - 1]);
    const uint32_t at = node_lower_bound(leaf, key, &equal);
    ASSERT(equal);
    cell_remove(replica, leaf, at);
    tree_shrink(replica, &path);
}

/* ---- checking ---- */

/* Bounds of the keys below a child; NULL bytes: unbounded. */
struct tree_bounds {
    struct slice low;  /* inclusive */
    struct slice high; /* exclusive */
};

static const char *node_problem(const struct replica *replica, uint32_t page, uint32_t level,
                                const struct tree_bounds *bounds, uint64_t *keys)
{
    const uint8_t *node = page_read(replica, page);
    const struct node_header header = node_header(node);
    const bool leaf = level + 1 == page_root_const(replica)->tree_height;
    if (header.kind != (leaf ? NODE_LEAF : NODE_BRANCH))
        return "a node's kind does not fit its level";
    if (node_used(node) > node_space(replica))
        return "a node is overfull";
    uint32_t bytes = 0;
    struct tree_bounds child = *bounds;
    for (uint32_t i = 0; i <= header.count; i++) {
        struct slice key = bounds->high;
        if (i < header.count) {
            const struct cell cell = cell_get(node, i);
            key = cell.key;
            bytes += cell_bytes(&cell);
            if (child.low.bytes != NULL && key_compare(key, child.low) < (leaf && i > 0 ? 1 : 0))
                return "keys are out of order";
            if (bounds->high.bytes != NULL && key_compare(key, bounds->high) >= 0)
                return "a key lies beyond its parent's bound";
        }
        child.high = key;
        const char *problem = leaf ? NULL : node_problem(replica, child_at(node, i), level + 1, &child, keys);
        if (problem != NULL)
            return problem;
        child.low = key;
    }
    *keys += leaf ? header.count : 0;
    return bytes == header.cells_bytes ? NULL : "cells are not packed";
}

const char *tree_problem(const struct replica *replica, uint64_t *keys)
{
    const struct page_root *root = page_root_const(replica);
    const struct tree_bounds all = { .low = { .bytes = NULL }, .high = { .bytes = NULL } };
    *keys = 0;
    if (root->tree_height == 0)
        return root->tree_root == PAGE_NONE ? NULL : "an empty tree has a root";
    return node_problem(replica, root->tree_root, 0, &all, keys);
}

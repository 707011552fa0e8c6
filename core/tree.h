/* A B+tree over pages: byte-string keys to small records, in key order.
 *
 *   node = node_header, slots, free zeros, cells up to the end of the page
 *
 *   slots: count uint16_t offsets of cells, in key order
 *
 *   cell of a leaf = cell_header, key, record
 *
 *   cell of a branch = cell_header, key; its child holds the keys from this one on, first_child those before all
 *
 * Cells are packed against the end of the page without gaps. A cell never exceeds a quarter of the space of a page, so
 * a full node always splits into two that have room for one more. A node that falls below a quarter is merged with a
 * neighbour under the same parent when both fit one page. Nothing depends on anything but the order of the calls.
 *
 * Keys are compared as unsigned bytes, a prefix before what it begins. */
#ifndef WW_TREE_H
#define WW_TREE_H

#include "base.h"
#include "limits.h"

struct replica;

enum { TREE_HEIGHT_MAX = 12 };

/* Largest record beside a key of that size. */
uint32_t tree_record_bytes_max(const struct limits *limits, uint32_t key_bytes);

/* Pages that the next put may need at most: one per level, and a new root. */
uint32_t tree_pages_for_put(const struct replica *replica);

/* The record of a key, borrowed until the next change; count 0 with bytes NULL when there is none. */
struct slice tree_find(const struct replica *replica, struct slice key);

/* Inserts or replaces. The caller has checked tree_pages_for_put() against the free pages. */
void tree_put(struct replica *replica, struct slice key, struct slice record);

/* Removes a key that is there. */
void tree_delete(struct replica *replica, struct slice key);

/* The structure below the root: orders, sizes, heights. NULL, or what is broken. For tests and checkers: O(pages). */
const char *tree_problem(const struct replica *replica, uint64_t *keys);

#endif

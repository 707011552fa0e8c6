/* The memory of the state machine: pages, named by number. All replicated state lies in them, and nothing else does.
 *
 *   page 0                 the root: sizes, digests, where the tree begins (struct page_root)
 *   pages 1..bitmap        one bit per page, set while it is in use
 *   the next pages         the session table, as one array (session.c)
 *   the next pages         the configuration that was applied last (members.c); zeros: that of the format
 *   all others             nodes of the tree (tree.c) and overflow chains of long values (kv.c), on demand
 *
 * Pages are changed in place; numbers are logical, so nothing moves when a page is written elsewhere on a disk. What is
 * allocated is always the lowest free number, freed pages are zeroed, and no page holds an address, a seed or a time:
 * equal logs give byte-equal pages on every replica.
 *
 * Whoever is given bytes to write marks their page dirty for the next checkpoint (checkpoint.h), before the first
 * change. That is why there are two of each accessor.
 *
 * Invariants: page_root.pages_free counts the zero bits; no bit below free_hint is zero; a page that is not in use is
 * zero */
#ifndef WW_PAGE_H
#define WW_PAGE_H

#include "base.h"
#include "limits.h"

struct replica;

enum { PAGE_NONE = 0, PAGE_ROOT_MAGIC = 0x52475757 /* "WWGR" */ };

struct page_root {
    uint32_t magic;
    uint32_t version;
    uint32_t pages_free;
    uint32_t free_hint;   /* no free page below this number */
    uint32_t tree_root;   /* PAGE_NONE: the store is empty */
    uint32_t tree_height; /* nodes on the way to a value; 0: empty */
    uint32_t session_count;
    uint32_t zero;
    uint64_t keys;
    uint64_t digest;         /* sum of one hash per key: depends on the contents only */
    uint64_t session_digest; /* sum of one hash per session */
};
STATIC_ASSERT(sizeof(struct page_root) == 56, "no padding");

/* Pages that the bitmap, the session table and the configuration take. */
uint32_t page_bitmap_count(const struct limits *limits);
uint32_t page_session_count(const struct limits *limits);
uint32_t page_configuration_count(const struct limits *limits);
/* All that are in use in an empty state. */
uint32_t page_fixed_count(const struct limits *limits);

/* Makes the first pages of an empty state. */
void page_store_init(struct replica *replica);

/* To be changed, and to be read. */
struct page_root *page_root(struct replica *replica);
const struct page_root *page_root_const(const struct replica *replica);

/* The bytes of a page in use: page_bytes of them, to be changed, and to be read. */
uint8_t *page_write(struct replica *replica, uint32_t page);
const uint8_t *page_read(const struct replica *replica, uint32_t page);

/* The lowest free page, zeroed. The caller has checked page_root.pages_free. */
uint32_t page_allocate(struct replica *replica);
void page_free(struct replica *replica, uint32_t page);

/* The bytes of any page as they are, in use or not, for those who load, store and exchange whole pages: nothing is
 * marked. */
uint8_t *page_raw(struct replica *replica, uint32_t page);
const uint8_t *page_raw_const(const struct replica *replica, uint32_t page);

/* First page of the session table: the array lies in page_session_count() consecutive pages. */
uint32_t page_sessions(const struct replica *replica);
/* First page of the configuration: struct log_id, then members_max struct member. */
uint32_t page_configuration(const struct limits *limits);

#endif

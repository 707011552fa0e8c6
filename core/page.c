/* Numbered pages and the bitmap that says which are in use; see page.h. */
#include "page.h"

#include "state.h"

uint32_t page_bitmap_count(const struct limits *limits)
{
    const uint32_t bits = limits->page_bytes * 8;
    return (limits->pages_max + bits - 1) / bits;
}

uint32_t page_session_count(const struct limits *limits)
{
    const uint64_t bytes = (uint64_t)limits->sessions_max * sizeof(struct session);
    return (uint32_t)((bytes + limits->page_bytes - 1) / limits->page_bytes);
}

uint32_t page_configuration_count(const struct limits *limits)
{
    const uint64_t bytes = sizeof(struct log_id) + limits->members_max * sizeof(struct member);
    return (uint32_t)((bytes + limits->page_bytes - 1) / limits->page_bytes);
}

uint32_t page_configuration(const struct limits *limits)
{
    return 1 + page_bitmap_count(limits) + page_session_count(limits);
}

uint32_t page_fixed_count(const struct limits *limits)
{
    return page_configuration(limits) + page_configuration_count(limits);
}

uint8_t *page_raw(struct replica *replica, uint32_t page)
{
    ASSERT(page < replica->limits.pages_max);
    return (uint8_t *)region_at(replica, replica->areas.pages) + (size_t)page * replica->limits.page_bytes;
}

const uint8_t *page_raw_const(const struct replica *replica, uint32_t page)
{
    ASSERT(page < replica->limits.pages_max);
    return (const uint8_t *)region_at_const(replica, replica->areas.pages) + (size_t)page * replica->limits.page_bytes;
}

/* The page to be changed. Most are dirty already: one test of a bit. */
static uint8_t *page_at(struct replica *replica, uint32_t page)
{
    if (!checkpoint_page_dirty(replica, page))
        checkpoint_touch(replica, page);
    return page_raw(replica, page);
}

struct page_root *page_root(struct replica *replica) { return (struct page_root *)(void *)page_at(replica, 0); }

const struct page_root *page_root_const(const struct replica *replica)
{
    return (const struct page_root *)(const void *)page_raw_const(replica, 0);
}

/* The word of the bitmap that holds the page's bit, to be changed and to be read. The bitmap's pages are consecutive,
 * so its words are one array. */
static uint64_t *bitmap_word(struct replica *replica, uint32_t page)
{
    const uint32_t bytes = page / 64 * (uint32_t)sizeof(uint64_t);
    const uint32_t page_bytes = replica->limits.page_bytes;
    return (uint64_t *)(void *)(page_at(replica, 1 + bytes / page_bytes) + bytes % page_bytes);
}

static uint64_t bitmap_word_const(const struct replica *replica, uint32_t page)
{
    return ((const uint64_t *)(const void *)page_raw_const(replica, 1))[page / 64];
}

static uint64_t bitmap_bit(uint32_t page) { return 1ULL << (page % 64); }

static bool page_in_use(const struct replica *replica, uint32_t page)
{
    return (bitmap_word_const(replica, page) & bitmap_bit(page)) != 0;
}

/* Marks the pages first..end - 1 as in use, a word at a time. */
static void bitmap_fill(struct replica *replica, uint32_t first, uint32_t end)
{
    for (uint32_t page = first; page < end; page = (page / 64 + 1) * 64) {
        const uint32_t count = u32_min(end, (page / 64 + 1) * 64) - page;
        *bitmap_word(replica, page) |= UINT64_MAX >> (64 - count) << (page % 64);
    }
}

void page_store_init(struct replica *replica)
{
    struct page_root *root = page_root(replica);
    const uint32_t fixed = page_fixed_count(&replica->limits);
    ASSERT(root->magic == 0 && fixed < replica->limits.pages_max);
    *root = (struct page_root){
        .magic = PAGE_ROOT_MAGIC,
        .version = STORED_VERSION,
        .pages_free = replica->limits.pages_max - fixed,
        .free_hint = fixed,
    };
    bitmap_fill(replica, 0, fixed);
    /* Numbers that do not exist are never free. */
    bitmap_fill(replica, replica->limits.pages_max,
                page_bitmap_count(&replica->limits) * replica->limits.page_bytes * 8);
}

uint32_t page_sessions(const struct replica *replica) { return 1 + page_bitmap_count(&replica->limits); }

uint8_t *page_write(struct replica *replica, uint32_t page)
{
    ASSERT(page_in_use(replica, page));
    return page_at(replica, page);
}

const uint8_t *page_read(const struct replica *replica, uint32_t page)
{
    ASSERT(page_in_use(replica, page));
    return page_raw_const(replica, page);
}

uint32_t page_allocate(struct replica *replica)
{
    struct page_root *root = page_root(replica);
    ASSERT(root->pages_free > 0);
    uint32_t page = root->free_hint;
    while (bitmap_word_const(replica, page) == UINT64_MAX)
        page = (page / 64 + 1) * 64;
    while (page_in_use(replica, page))
        page++;
    ASSERT(page < replica->limits.pages_max);
    *bitmap_word(replica, page) |= bitmap_bit(page);
    root->pages_free--;
    root->free_hint = page + 1;
    return page;
}

void page_free(struct replica *replica, uint32_t page)
{
    struct page_root *root = page_root(replica);
    ASSERT(page_in_use(replica, page));
    ASSERT(page >= page_fixed_count(&replica->limits));
    memset(page_at(replica, page), 0, replica->limits.page_bytes);
    *bitmap_word(replica, page) &= ~bitmap_bit(page);
    root->pages_free++;
    root->free_hint = u32_min(root->free_hint, page);
}

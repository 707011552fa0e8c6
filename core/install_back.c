/* Going back to the own checkpoint: when that may be, and memory as at a start; see install.h. */
#include "install.h"

#include "page.h"
#include "state.h"

enum {
    BACK_ENTRIES_MAX = 1024, /* of the map, in one step */
    BACK_PAGES_MAX = 64,     /* made zero in one step */
};

bool install_own_holds(const struct replica *replica, struct log_id id)
{
    const struct checkpoint *own = &replica->stored.checkpoint;
    const struct store *store = &replica->store;
    if (hash128_equal(replica->install.target.hash, own->hash))
        return false;
    /* What was whole when it was last read, and what the others have. */
    if ((replica->stored.flags & STORED_PARTIAL) != 0 || replica->install.distrusted)
        return false;
    if (store->state != STORE_DAMAGED || store->map_damaged || store->pages_damaged > 0)
        return false;
    return replica->log.base.index <= own->id.index && log_holds(replica, id) && log_intact(replica) >= id.index;
}

bool install_may_go_back(const struct replica *replica)
{
    const struct install *install = &replica->install;
    ASSERT(install->known.index >= install->target.id.index);
    /* The scrub still writes a block of it. */
    if (replica->scrub.in_flight > 0 && replica->scrub.writing)
        return false;
    return install->target.id.index != 0 && install_own_holds(replica, install->known);
}

bool install_has_regained(const struct replica *replica) { return replica->applied >= replica->install.applied_before; }

void install_apply_again(struct replica *replica, uint64_t index)
{
    replica->install.applied_before = u64_max(replica->install.applied_before, replica->applied);
    replica->applied = index;
}

void install_back_begin(struct replica *replica)
{
    struct install *install = &replica->install;
    install_apply_again(replica, replica->stored.checkpoint.id.index);
    install->asked_count = 0;
    install->pages_since_switch = 0;
    install->scan_level = 0;
    install->scan_next = 0;
}

/* A page that is not dirty, and is nothing in the map, is zero. Was there anything? */
static bool page_forget(struct replica *replica, uint32_t page)
{
    if (map_entry_is_zero(map_entry_const(replica, 0, page)) && !checkpoint_page_dirty(replica, page))
        return false;
    memset(page_raw(replica, page), 0, replica->limits.page_bytes);
    checkpoint_clean(replica, page);
    return true;
}

/* The entries of a level, from scan_next on, and what memory has of the pages. */
static void level_forget(struct replica *replica)
{
    struct install *install = &replica->install;
    const uint32_t level = install->scan_level;
    const uint32_t end = u32_min(map_count(&replica->limits, level), install->scan_next + BACK_ENTRIES_MAX);
    for (uint32_t pages = 0; install->scan_next < end && pages < BACK_PAGES_MAX; install->scan_next++) {
        const uint32_t at = install->scan_next;
        if (level == 0)
            pages += page_forget(replica, at) ? 1 : 0;
        else
            map_set_dirty(replica, level, at, false);
        map_set_wanted(replica, level, at, false);
        *map_entry(replica, level, at) = (struct map_entry){ .block = 0 };
    }
}

bool install_back_step(struct replica *replica)
{
    struct install *install = &replica->install;
    const uint32_t root = map_root(&replica->limits);
    if (install->scan_level <= root) {
        level_forget(replica);
        if (install->scan_next < map_count(&replica->limits, install->scan_level))
            return false;
        install->scan_level++;
        install->scan_next = 0;
        return false;
    }
    if (!block_forget(replica, &install->scan_next))
        return false;
    ASSERT(install->wanted_pages == 0 && install->wanted_blocks == 0);
    ASSERT(replica->checkpoint.dirty_count == 0 && replica->checkpoint.blocks_used == 0);
    page_store_init(replica);
    return true;
}

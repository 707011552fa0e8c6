/* The B+tree of the state machine against a sorted array, and the pages under it. */
#include "../core/page.h"
#include "../core/prng.h"
#include "../core/state.h"
#include "../core/tree.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

enum { KEYS_MAX = 4096 };

struct model_key {
    uint8_t bytes[16];
    uint32_t count;
    uint8_t record[64];
    uint32_t record_count;
    bool present;
};

struct model_store {
    struct limits limits;
    struct replica *replica;
    struct model_key keys[KEYS_MAX];
    uint32_t key_count;
    uint64_t present;
};

static struct slice key_of(const struct model_key *key) { return (struct slice){ key->bytes, key->count }; }

static struct model_store *store_new(uint32_t page_bytes, uint32_t pages_max, uint32_t key_count, struct prng *prng)
{
    struct model_store *store = calloc(1, sizeof *store);
    store->limits = limits_tiny;
    store->limits.page_bytes = page_bytes;
    store->limits.pages_max = pages_max;
    store->limits.data_blocks = 4 * pages_max;
    store->limits.data_run_bytes_max = page_bytes;
    store->limits.frame_bytes_max = u32_max(limits_tiny.frame_bytes_max, 2 * page_bytes);
    const struct replica_config config = {
        .cluster_id = 1,
        .node_id = 1,
        .election_timeout_ns = 100,
        .heartbeat_interval_ns = 10,
    };
    void *region = aligned_alloc(REGION_ALIGNMENT, replica_bytes(&store->limits));
    memset(region, 0, replica_bytes(&store->limits));
    store->replica = replica_init(region, &store->limits, &config);
    store->key_count = key_count;
    for (uint32_t i = 0; i < key_count; i++) {
        struct model_key *key = &store->keys[i];
        key->count = 2 + (uint32_t)prng_below(prng, 10);
        memcpy(key->bytes, &i, 2);
        for (uint32_t j = 2; j < key->count; j++)
            key->bytes[j] = (uint8_t)prng_next(prng);
    }
    return store;
}

static void store_free(struct model_store *store)
{
    free(store->replica);
    free(store);
}

static void store_put(struct model_store *store, struct model_key *key, struct prng *prng)
{
    const uint32_t record_max = tree_record_bytes_max(&store->limits, key->count);
    key->record_count = 1 + (uint32_t)prng_below(prng, record_max < 64 ? record_max : 64);
    for (uint32_t i = 0; i < key->record_count; i++)
        key->record[i] = (uint8_t)prng_next(prng);
    tree_put(store->replica, key_of(key), (struct slice){ key->record, key->record_count });
    store->present += key->present ? 0 : 1;
    key->present = true;
}

static bool store_agrees(const struct model_store *store)
{
    uint64_t keys;
    const char *problem = tree_problem(store->replica, &keys);
    if (problem != NULL) {
        printf("%s\n", problem);
        return false;
    }
    for (uint32_t i = 0; i < store->key_count; i++) {
        const struct model_key *key = &store->keys[i];
        const struct slice record = tree_find(store->replica, key_of(key));
        if ((record.bytes != NULL) != key->present)
            return false;
        if (key->present && (record.count != key->record_count || memcmp(record.bytes, key->record, record.count) != 0))
            return false;
    }
    return keys == store->present;
}

static bool store_has_room(const struct model_store *store)
{
    return page_root_const(store->replica)->pages_free >= tree_pages_for_put(store->replica);
}

/* Random puts and deletes, more of these or of those by turns. */
static bool agrees_under_load(uint64_t seed, uint32_t page_bytes, uint32_t pages_max, uint32_t key_count,
                              uint32_t steps)
{
    struct prng prng;
    prng_seed(&prng, seed);
    struct model_store *store = store_new(page_bytes, pages_max, key_count, &prng);
    bool good = true;
    for (uint32_t step = 0; step < steps && good; step++) {
        struct model_key *key = &store->keys[prng_below(&prng, key_count)];
        const bool growing = (step / 2000) % 2 == 0;
        if (prng_chance(&prng, growing ? 3 : 1, 4) && store_has_room(store)) {
            store_put(store, key, &prng);
        } else if (key->present) {
            tree_delete(store->replica, key_of(key));
            key->present = false;
            store->present--;
        }
        if (step % 97 == 0)
            good = store_agrees(store);
    }
    good = good && store_agrees(store);
    store_free(store);
    return good;
}

TEST(the_tree_agrees_with_a_sorted_array_under_random_puts_and_deletes)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        EXPECT(agrees_under_load(seed, 256, 1024, 400, 12000));
        EXPECT(agrees_under_load(seed, 512, 2048, 3000, 12000));
    }
    EXPECT(agrees_under_load(9, 4096, 1024, KEYS_MAX, 40000));
}

/* Small cells in front of two large ones, then a third large one among the small: the cut must leave room for it. */
static bool splits_around(uint32_t small, uint32_t short_by)
{
    struct prng prng;
    prng_seed(&prng, 1);
    struct model_store *store = store_new(4096, 64, 0, &prng);
    static const uint8_t record[1024] = { 7 };
    const uint32_t record_max = tree_record_bytes_max(&store->limits, 1);
    const struct {
        uint8_t key;
        uint32_t bytes;
    } large[] = { { 200, record_max }, { 201, record_max - short_by }, { 2, record_max } };
    for (uint32_t i = 0; i < small; i++) {
        const uint8_t key = (uint8_t)(i + 10);
        tree_put(store->replica, (struct slice){ &key, 1 }, (struct slice){ record, 24 });
    }
    for (uint32_t i = 0; i < ARRAY_COUNT(large); i++)
        tree_put(store->replica, (struct slice){ &large[i].key, 1 }, (struct slice){ record, large[i].bytes });
    uint64_t keys;
    const bool good = tree_problem(store->replica, &keys) == NULL && keys == small + ARRAY_COUNT(large);
    store_free(store);
    return good;
}

TEST(a_full_node_splits_around_the_largest_cell_anywhere)
{
    for (uint32_t small = 40; small < 80; small++)
        for (uint32_t short_by = 0; short_by < 120; short_by++)
            EXPECT(splits_around(small, short_by));
}

TEST(a_store_that_fills_up_refuses_and_stays_whole)
{
    for (uint64_t seed = 1; seed <= 8; seed++)
        EXPECT(agrees_under_load(seed, 256, 64, 400, 12000));
}

TEST(deleting_every_key_gives_every_page_back)
{
    struct prng prng;
    prng_seed(&prng, 3);
    struct model_store *store = store_new(256, 2048, 1500, &prng);
    const uint32_t pages_free = page_root_const(store->replica)->pages_free;
    for (uint32_t i = 0; i < store->key_count; i++)
        store_put(store, &store->keys[i], &prng);
    EXPECT(store_agrees(store));
    EXPECT(page_root_const(store->replica)->tree_height >= 3);
    EXPECT(page_root_const(store->replica)->pages_free < pages_free - 100);
    for (uint32_t i = 0; i < store->key_count; i++)
        tree_delete(store->replica, key_of(&store->keys[(i * 7) % store->key_count]));
    EXPECT(page_root_const(store->replica)->tree_height == 0);
    EXPECT(page_root_const(store->replica)->pages_free == pages_free);
    store_free(store);
}

TEST(keys_in_order_fill_their_pages)
{
    struct prng prng;
    prng_seed(&prng, 5);
    struct model_store *store = store_new(4096, 1024, 0, &prng);
    const uint32_t pages_free = page_root_const(store->replica)->pages_free;
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < 10000; i++) {
        const uint8_t key[4] = { (uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i };
        const uint8_t record[32] = { 1 };
        tree_put(store->replica, (struct slice){ key, 4 }, (struct slice){ record, sizeof record });
        bytes += sizeof key + sizeof record + 10;
    }
    uint64_t keys;
    EXPECT(tree_problem(store->replica, &keys) == NULL && keys == 10000);
    const uint32_t pages = pages_free - page_root_const(store->replica)->pages_free;
    EXPECT(pages * 4096 < bytes + bytes / 10);
    store_free(store);
}

TEST(a_record_of_equal_size_changes_nothing_but_itself)
{
    struct prng prng;
    prng_seed(&prng, 7);
    struct model_store *store = store_new(256, 512, 300, &prng);
    const size_t bytes = (size_t)256 * 512;
    uint8_t *before = malloc(bytes);
    for (uint32_t i = 0; i < store->key_count; i++)
        store_put(store, &store->keys[i], &prng);
    for (uint32_t i = 0; i < store->key_count; i++) {
        struct model_key *key = &store->keys[i];
        memcpy(before, page_root(store->replica), bytes);
        for (uint32_t at = 0; at < key->record_count; at++)
            key->record[at] ^= 0xff;
        tree_put(store->replica, key_of(key), (struct slice){ key->record, key->record_count });
        uint32_t changed = 0;
        for (size_t at = 0; at < bytes; at++)
            changed += before[at] != page_raw(store->replica, 0)[at];
        EXPECT_EQUAL(changed, key->record_count);
    }
    EXPECT(store_agrees(store));
    free(before);
    store_free(store);
}

TEST(the_same_calls_make_the_same_pages)
{
    struct model_store *stores[2];
    for (int i = 0; i < 2; i++) {
        struct prng prng;
        prng_seed(&prng, 11);
        stores[i] = store_new(256, 1024, 500, &prng);
        for (uint32_t step = 0; step < 5000; step++) {
            struct model_key *key = &stores[i]->keys[prng_below(&prng, 500)];
            if (prng_chance(&prng, 1, 2)) {
                store_put(stores[i], key, &prng);
            } else if (key->present) {
                tree_delete(stores[i]->replica, key_of(key));
                key->present = false;
            }
        }
    }
    EXPECT(memcmp(page_root(stores[0]->replica), page_root(stores[1]->replica), 256 * 1024) == 0);
    store_free(stores[0]);
    store_free(stores[1]);
}

TEST_MAIN()

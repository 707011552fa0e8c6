/* The key-value store on the tree: lookup, chains of long values, and commands that happen as a whole or not at all. */
#include "kv.h"

#include "page.h"
#include "state.h"
#include "tree.h"

/* ---- records ---- */

/* A key's record, and its value if that is short. Version 0: there is none. */
struct kv_found {
    struct kv_record record;
    struct slice value; /* borrows from the tree */
};

static struct kv_found kv_lookup(const struct replica *replica, struct slice key)
{
    struct kv_found found = { .record = { .version = 0 } };
    const struct slice stored = tree_find(replica, key);
    if (stored.bytes == NULL)
        return found;
    ASSERT(stored.count >= sizeof found.record);
    memcpy(&found.record, stored.bytes, sizeof found.record);
    if (found.record.chain == PAGE_NONE)
        found.value = (struct slice){ .bytes = stored.bytes + sizeof found.record, .count = found.record.value_bytes };
    return found;
}

uint64_t kv_find(const struct replica *replica, struct slice key, uint32_t *value_bytes)
{
    const struct kv_found found = kv_lookup(replica, key);
    *value_bytes = found.record.value_bytes;
    return found.record.version;
}

/* ---- chains of long values ---- */

static uint32_t chain_page_bytes(const struct replica *replica)
{
    return replica->limits.page_bytes - (uint32_t)sizeof(struct kv_chain_header);
}

static uint32_t chain_next(const struct replica *replica, uint32_t page)
{
    struct kv_chain_header header;
    memcpy(&header, page_read(replica, page), sizeof header);
    return header.next;
}

static const uint8_t *chain_data(const struct replica *replica, uint32_t page)
{
    return page_read(replica, page) + sizeof(struct kv_chain_header);
}

static void chain_free(struct replica *replica, uint32_t page)
{
    while (page != PAGE_NONE) {
        const uint32_t next = chain_next(replica, page);
        page_free(replica, page);
        page = next;
    }
}

/* Adds bytes behind the `used` ones of a chain. Returns its first page. */
static uint32_t chain_append(struct replica *replica, uint32_t first, uint32_t used, struct slice bytes)
{
    const uint32_t capacity = chain_page_bytes(replica);
    uint32_t last = first;
    while (last != PAGE_NONE && used > capacity) {
        last = chain_next(replica, last);
        used -= capacity;
    }
    for (uint32_t done = 0; done < bytes.count;) {
        if (last == PAGE_NONE || used == capacity) {
            const uint32_t page = page_allocate(replica);
            const struct kv_chain_header link = { .next = page };
            if (last == PAGE_NONE)
                first = page;
            else
                memcpy(page_write(replica, last), &link, sizeof link);
            last = page;
            used = 0;
        }
        const uint32_t part = u32_min(bytes.count - done, capacity - used);
        memcpy(page_write(replica, last) + sizeof(struct kv_chain_header) + used, bytes.bytes + done, part);
        used += part;
        done += part;
    }
    return first;
}

void kv_read(const struct replica *replica, struct slice key, uint8_t *to)
{
    const struct kv_found found = kv_lookup(replica, key);
    ASSERT(found.record.version != 0);
    if (found.record.chain == PAGE_NONE) {
        memcpy(to, found.value.bytes, found.value.count);
        return;
    }
    uint32_t left = found.record.value_bytes;
    for (uint32_t page = found.record.chain; left > 0; page = chain_next(replica, page)) {
        const uint32_t part = u32_min(left, chain_page_bytes(replica));
        memcpy(to, chain_data(replica, page), part);
        to += part;
        left -= part;
    }
}

/* ---- writes: the caller has checked that there is room ---- */

static bool value_is_short(const struct replica *replica, struct slice key, uint64_t value_bytes)
{
    return sizeof(struct kv_record) + value_bytes <= tree_record_bytes_max(&replica->limits, key.count);
}

static uint64_t record_digest(const struct replica *replica, struct slice key, const struct kv_record *record,
                              struct slice short_value)
{
    const uint64_t head[3] = { record->version, key.count, record->value_bytes };
    uint64_t digest = checksum64(key.bytes, key.count, checksum64(head, sizeof head, 0));
    if (record->chain == PAGE_NONE)
        return checksum64(short_value.bytes, short_value.count, digest);
    uint32_t left = record->value_bytes;
    for (uint32_t page = record->chain; left > 0; page = chain_next(replica, page)) {
        const uint32_t part = u32_min(left, chain_page_bytes(replica));
        digest = checksum64(chain_data(replica, page), part, digest);
        left -= part;
    }
    return digest;
}

/* Stores the record in the place of `old`. A short value may come in two pieces. */
static void record_store(struct replica *replica, struct slice key, const struct kv_found *old, struct kv_record record,
                         struct slice head, struct slice more)
{
    uint8_t stored[PAGE_BYTES_MAX / 4];
    const struct slice value = { .bytes = stored + sizeof record, .count = head.count + more.count };
    ASSERT(sizeof record + value.count <= sizeof stored);
    if (head.count > 0)
        memcpy(stored + sizeof record, head.bytes, head.count);
    if (more.count > 0)
        memcpy(stored + sizeof record + head.count, more.bytes, more.count);
    struct page_root *root = page_root(replica);
    replica->apply_bytes += record.value_bytes;
    record.digest = record_digest(replica, key, &record, value);
    root->digest += record.digest - old->record.digest;
    root->keys += old->record.version == 0 ? 1 : 0;
    memcpy(stored, &record, sizeof record);
    tree_put(replica, key, (struct slice){ .bytes = stored, .count = (uint32_t)sizeof record + value.count });
}

static void kv_put(struct replica *replica, struct slice key, struct slice value, uint64_t version)
{
    const struct slice none = { .bytes = NULL, .count = 0 };
    const struct kv_found old = kv_lookup(replica, key);
    struct kv_record record = { .version = version, .value_bytes = value.count };
    ASSERT(version != 0);
    replica->apply_bytes += old.record.value_bytes;
    chain_free(replica, old.record.chain);
    if (value_is_short(replica, key, value.count)) {
        record_store(replica, key, &old, record, value, none);
        return;
    }
    record.chain = chain_append(replica, PAGE_NONE, 0, value);
    record_store(replica, key, &old, record, none, none);
}

static void kv_append(struct replica *replica, struct slice key, struct slice value, uint64_t version)
{
    const struct slice none = { .bytes = NULL, .count = 0 };
    const struct kv_found old = kv_lookup(replica, key);
    struct kv_record record = { .version = version, .value_bytes = old.record.value_bytes + value.count };
    if (value_is_short(replica, key, record.value_bytes)) {
        record_store(replica, key, &old, record, old.value, value);
        return;
    }
    record.chain = old.record.chain;
    if (record.chain == PAGE_NONE)
        record.chain = chain_append(replica, PAGE_NONE, 0, old.value);
    record.chain = chain_append(replica, record.chain, old.record.value_bytes, value);
    record_store(replica, key, &old, record, none, none);
}

static void kv_delete(struct replica *replica, struct slice key)
{
    const struct kv_found old = kv_lookup(replica, key);
    if (old.record.version == 0)
        return;
    replica->apply_bytes += old.record.value_bytes;
    chain_free(replica, old.record.chain);
    page_root(replica)->digest -= old.record.digest;
    page_root(replica)->keys--;
    tree_delete(replica, key);
}

/* ---- commands ---- */

enum kv_write { KV_PUT, KV_APPEND, KV_DELETE };

/* Running totals while the writes of one command are checked, before any of them is done. Each put may split every
 * level of the tree and raise it by one, so the tree's share is an upper bound. */
struct kv_budget {
    int64_t pages_free; /* after the chains of the writes so far */
    int64_t tree_pages; /* that their puts may need */
    int64_t puts;
};

static int64_t chain_pages(const struct replica *replica, struct slice key, uint64_t value_bytes)
{
    if (value_is_short(replica, key, value_bytes))
        return 0;
    return (int64_t)((value_bytes + chain_page_bytes(replica) - 1) / chain_page_bytes(replica));
}

/* version: the key's, 0 when absent. */
static enum reply_status kv_write_check(const struct replica *replica, struct kv_budget *budget, enum kv_write write,
                                        struct slice key, struct slice value, uint64_t *version)
{
    uint32_t old_bytes = 0;
    *version = kv_find(replica, key, &old_bytes);
    const bool exists = *version != 0;
    const uint64_t new_bytes = value.count + (write == KV_APPEND ? (uint64_t)old_bytes : 0);
    if (new_bytes > replica->limits.value_bytes_max)
        return REPLY_TOO_LARGE;
    budget->pages_free += exists ? chain_pages(replica, key, old_bytes) : 0;
    if (write == KV_DELETE)
        return REPLY_OK;
    budget->pages_free -= chain_pages(replica, key, new_bytes);
    budget->tree_pages += tree_pages_for_put(replica) + budget->puts++;
    return budget->pages_free >= budget->tree_pages ? REPLY_OK : REPLY_NO_SPACE;
}

static void kv_write_do(struct replica *replica, enum kv_write write, struct slice key, struct slice value,
                        uint64_t index)
{
    switch (write) {
    case KV_PUT: kv_put(replica, key, value, index); return;
    case KV_APPEND: kv_append(replica, key, value, index); return;
    case KV_DELETE: kv_delete(replica, key); return;
    }
    UNREACHABLE();
}

static struct kv_budget kv_budget_now(const struct replica *replica)
{
    return (struct kv_budget){ .pages_free = page_root_const(replica)->pages_free };
}

static struct kv_result kv_execute_single(struct replica *replica, enum kv_write write, const struct request *request,
                                          uint64_t index)
{
    struct kv_budget budget = kv_budget_now(replica);
    uint64_t current;
    const enum reply_status status = kv_write_check(replica, &budget, write, request->key, request->value, &current);
    if (write == KV_DELETE && current == 0)
        return (struct kv_result){ .status = REPLY_NOT_FOUND };
    if (status != REPLY_OK)
        return (struct kv_result){ .status = status, .version = current };
    kv_write_do(replica, write, request->key, request->value, index);
    return (struct kv_result){ .status = REPLY_OK, .version = write == KV_DELETE ? 0 : index };
}

static bool txn_compares_hold(const struct replica *replica, struct slice txn)
{
    uint32_t offset = 0;
    struct txn_clause clause;
    while (offset < txn.count) {
        const bool decoded = txn_clause_decode(txn, &offset, &clause);
        ASSERT(decoded);
        if (clause.kind > TXN_IF_NOT_EQUAL)
            return true;
        uint32_t value_bytes;
        const bool equal = kv_find(replica, clause.key, &value_bytes) == clause.version;
        if (equal != (clause.kind == TXN_IF_EQUAL))
            return false;
    }
    return true;
}

/* The next write of the chosen branch from *offset on; false at the end. */
static bool txn_next_write(struct slice txn, bool then, uint32_t *offset, struct txn_clause *clause,
                           enum kv_write *write)
{
    while (*offset < txn.count) {
        const bool decoded = txn_clause_decode(txn, offset, clause);
        ASSERT(decoded);
        switch (clause->kind) {
        case TXN_THEN_PUT:
        case TXN_ELSE_PUT: *write = KV_PUT; break;
        case TXN_THEN_APPEND:
        case TXN_ELSE_APPEND: *write = KV_APPEND; break;
        case TXN_THEN_DELETE:
        case TXN_ELSE_DELETE: *write = KV_DELETE; break;
        case TXN_IF_EQUAL:
        case TXN_IF_NOT_EQUAL: continue;
        }
        const bool is_then = clause->kind <= TXN_THEN_APPEND;
        if (is_then == then)
            return true;
    }
    return false;
}

static struct kv_result kv_execute_txn(struct replica *replica, struct slice txn, uint64_t index)
{
    const bool then = txn_compares_hold(replica, txn);
    struct kv_budget budget = kv_budget_now(replica);
    struct txn_clause clause;
    enum kv_write write = KV_PUT; /* gcc -O3 does not see that txn_next_write() sets it */
    for (uint32_t offset = 0; txn_next_write(txn, then, &offset, &clause, &write);) {
        uint64_t version;
        const enum reply_status status = kv_write_check(replica, &budget, write, clause.key, clause.value, &version);
        if (status != REPLY_OK)
            return (struct kv_result){ .status = status };
    }
    for (uint32_t offset = 0; txn_next_write(txn, then, &offset, &clause, &write);)
        kv_write_do(replica, write, clause.key, clause.value, index);
    return (struct kv_result){ .status = then ? REPLY_OK : REPLY_CONDITION_FAILED, .version = index };
}

struct kv_result kv_execute(struct replica *replica, const struct request *request, uint64_t index)
{
    uint32_t value_bytes;
    switch (request->kind) {
    case REQUEST_PUT: return kv_execute_single(replica, KV_PUT, request, index);
    case REQUEST_DELETE: return kv_execute_single(replica, KV_DELETE, request, index);
    case REQUEST_APPEND: return kv_execute_single(replica, KV_APPEND, request, index);
    case REQUEST_CAS: {
        const uint64_t current = kv_find(replica, request->key, &value_bytes);
        if (current != request->version)
            return (struct kv_result){ .status = REPLY_CONDITION_FAILED, .version = current };
        return kv_execute_single(replica, KV_PUT, request, index);
    }
    case REQUEST_TXN: return kv_execute_txn(replica, request->value, index);
    case REQUEST_REGISTER:
    case REQUEST_GET:
    case REQUEST_GET_STALE:
    case REQUEST_STATUS:
    case REQUEST_CHECKPOINT:
    case REQUEST_MEMBERS:
    case REQUEST_TRANSFER: break;
    }
    UNREACHABLE();
}

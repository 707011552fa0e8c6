#include "kv.h"

#include "state.h"

/* ---- slots ---- */

static struct kv_slot *kv_slots(struct replica *replica) { return region_at(replica, replica->areas.kv_slots); }
static const struct kv_slot *kv_slots_const(const struct replica *replica)
{
    return region_at_const(replica, replica->areas.kv_slots);
}

/* Chunk numbers start at 1. */
static struct kv_chunk *kv_chunk(struct replica *replica, uint32_t number)
{
    ASSERT(number >= 1 && number <= replica->limits.kv_chunks_max);
    return (struct kv_chunk *)region_at(replica, replica->areas.kv_chunks) + (number - 1);
}
static const struct kv_chunk *kv_chunk_const(const struct replica *replica, uint32_t number)
{
    ASSERT(number >= 1 && number <= replica->limits.kv_chunks_max);
    return (const struct kv_chunk *)region_at_const(replica, replica->areas.kv_chunks) + (number - 1);
}

static uint32_t kv_keys_limit(const struct replica *replica)
{
    return replica->limits.kv_keys_max - (replica->limits.kv_keys_max + 7) / 8;
}

static uint32_t chunks_for(uint64_t bytes) { return (uint32_t)((bytes + KV_CHUNK_DATA_BYTES - 1) / KV_CHUNK_DATA_BYTES); }

static bool slot_has_key(const struct replica *replica, const struct kv_slot *slot, uint64_t hash, struct slice key)
{
    if (slot->hash != hash || slot->key_bytes != key.count)
        return false;
    uint32_t chunk = slot->chunk;
    uint32_t done = 0;
    while (done < key.count) {
        const struct kv_chunk *at = kv_chunk_const(replica, chunk);
        const uint32_t part = u32_min(key.count - done, KV_CHUNK_DATA_BYTES);
        if (memcmp(at->data, key.bytes + done, part) != 0)
            return false;
        done += part;
        chunk = at->next;
    }
    return true;
}

/* The slot of the key, or the empty slot where it would go. The table is never full, so the walk ends. */
static uint32_t kv_probe(const struct replica *replica, uint64_t hash, struct slice key)
{
    const struct kv_slot *slots = kv_slots_const(replica);
    const uint32_t mask = replica->limits.kv_keys_max - 1;
    uint32_t at = (uint32_t)hash & mask;
    while (slots[at].version != 0 && !slot_has_key(replica, &slots[at], hash, key))
        at = (at + 1) & mask;
    return at;
}

static uint64_t key_hash(struct slice key) { return checksum64(key.bytes, key.count, 0); }

uint64_t kv_find(const struct replica *replica, struct slice key, uint32_t *value_bytes)
{
    const struct kv_slot *slot = &kv_slots_const(replica)[kv_probe(replica, key_hash(key), key)];
    *value_bytes = slot->value_bytes;
    return slot->version;
}

void kv_read(const struct replica *replica, struct slice key, uint8_t *to)
{
    const struct kv_slot *slot = &kv_slots_const(replica)[kv_probe(replica, key_hash(key), key)];
    ASSERT(slot->version != 0);
    uint32_t skip = slot->key_bytes;
    uint32_t left = slot->value_bytes;
    uint32_t chunk = slot->chunk;
    while (left > 0) {
        const struct kv_chunk *at = kv_chunk_const(replica, chunk);
        if (skip < KV_CHUNK_DATA_BYTES) {
            const uint32_t part = u32_min(left, KV_CHUNK_DATA_BYTES - skip);
            memcpy(to, at->data + skip, part);
            to += part;
            left -= part;
            skip = 0;
        } else {
            skip -= KV_CHUNK_DATA_BYTES;
        }
        chunk = at->next;
    }
}

/* ---- chunks ---- */

static uint32_t chunk_take(struct replica *replica)
{
    struct kv *kv = &replica->kv;
    ASSERT(kv->chunks_used < replica->limits.kv_chunks_max);
    kv->chunks_used++;
    if (kv->chunk_free == KV_NO_CHUNK)
        return ++kv->chunk_fresh;
    const uint32_t number = kv->chunk_free;
    kv->chunk_free = kv_chunk(replica, number)->next;
    kv_chunk(replica, number)->next = KV_NO_CHUNK;
    return number;
}

static void chain_release(struct replica *replica, uint32_t chunk)
{
    struct kv *kv = &replica->kv;
    while (chunk != KV_NO_CHUNK) {
        struct kv_chunk *at = kv_chunk(replica, chunk);
        const uint32_t next = at->next;
        memset(at, 0, sizeof *at);
        at->next = kv->chunk_free;
        kv->chunk_free = chunk;
        kv->chunks_used--;
        chunk = next;
    }
}

/* Writes behind `used` bytes of the slot's chain, taking chunks as needed. */
static void chain_append(struct replica *replica, struct kv_slot *slot, uint32_t used, struct slice bytes)
{
    uint32_t last = KV_NO_CHUNK;
    uint32_t at_used = 0; /* bytes used in `last` */
    for (uint32_t chunk = slot->chunk, left = used; left > 0; chunk = kv_chunk(replica, chunk)->next) {
        last = chunk;
        at_used = u32_min(left, KV_CHUNK_DATA_BYTES);
        left -= at_used;
    }
    for (uint32_t done = 0; done < bytes.count;) {
        if (last == KV_NO_CHUNK || at_used == KV_CHUNK_DATA_BYTES) {
            const uint32_t fresh = chunk_take(replica);
            if (last == KV_NO_CHUNK)
                slot->chunk = fresh;
            else
                kv_chunk(replica, last)->next = fresh;
            last = fresh;
            at_used = 0;
        }
        const uint32_t part = u32_min(bytes.count - done, KV_CHUNK_DATA_BYTES - at_used);
        memcpy(kv_chunk(replica, last)->data + at_used, bytes.bytes + done, part);
        at_used += part;
        done += part;
    }
}

/* ---- writes: the caller has checked that there is room ---- */

static uint64_t slot_digest(const struct replica *replica, const struct kv_slot *slot)
{
    const uint64_t head[3] = { slot->version, slot->key_bytes, slot->value_bytes };
    uint64_t digest = checksum64(head, sizeof head, 0);
    uint32_t left = slot->key_bytes + slot->value_bytes;
    for (uint32_t chunk = slot->chunk; left > 0; chunk = kv_chunk_const(replica, chunk)->next) {
        const uint32_t part = u32_min(left, KV_CHUNK_DATA_BYTES);
        digest = checksum64(kv_chunk_const(replica, chunk)->data, part, digest);
        left -= part;
    }
    return digest;
}

static void slot_changed(struct replica *replica, struct kv_slot *slot, uint64_t version)
{
    replica->kv.digest -= slot->digest;
    slot->version = version;
    slot->digest = slot_digest(replica, slot);
    replica->kv.digest += slot->digest;
}

static void kv_put(struct replica *replica, struct slice key, struct slice value, uint64_t version)
{
    ASSERT(version != 0);
    const uint64_t hash = key_hash(key);
    struct kv_slot *slot = &kv_slots(replica)[kv_probe(replica, hash, key)];
    if (slot->version == 0)
        replica->kv.keys++;
    chain_release(replica, slot->chunk);
    slot->chunk = KV_NO_CHUNK;
    slot->hash = hash;
    slot->key_bytes = key.count;
    slot->value_bytes = value.count;
    chain_append(replica, slot, 0, key);
    chain_append(replica, slot, key.count, value);
    slot_changed(replica, slot, version);
}

static void kv_append(struct replica *replica, struct slice key, struct slice value, uint64_t version)
{
    const uint64_t hash = key_hash(key);
    struct kv_slot *slot = &kv_slots(replica)[kv_probe(replica, hash, key)];
    if (slot->version == 0) {
        kv_put(replica, key, value, version);
        return;
    }
    chain_append(replica, slot, slot->key_bytes + slot->value_bytes, value);
    slot->value_bytes += value.count;
    slot_changed(replica, slot, version);
}

/* Closes the hole: a later slot of the same run moves into it unless its home lies behind the hole. */
static void slots_shift_back(struct replica *replica, uint32_t hole)
{
    struct kv_slot *slots = kv_slots(replica);
    const uint32_t mask = replica->limits.kv_keys_max - 1;
    uint32_t at = hole;
    for (;;) {
        at = (at + 1) & mask;
        if (slots[at].version == 0)
            break;
        const uint32_t home = (uint32_t)slots[at].hash & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            slots[hole] = slots[at];
            hole = at;
        }
    }
    memset(&slots[hole], 0, sizeof slots[hole]);
}

static void kv_delete(struct replica *replica, struct slice key)
{
    const uint32_t at = kv_probe(replica, key_hash(key), key);
    struct kv_slot *slot = &kv_slots(replica)[at];
    if (slot->version == 0)
        return;
    chain_release(replica, slot->chunk);
    replica->kv.digest -= slot->digest;
    replica->kv.keys--;
    slots_shift_back(replica, at);
}

/* ---- commands ---- */

enum kv_write { KV_PUT, KV_APPEND, KV_DELETE };

/* Running totals while the writes of one command are checked, before any of them is done. */
struct kv_budget {
    int64_t chunks_free;
    int64_t keys_free;
};

static enum reply_status kv_write_check(const struct replica *replica, struct kv_budget *budget, enum kv_write write,
                                        struct slice key, struct slice value)
{
    uint32_t old_bytes = 0;
    const bool exists = kv_find(replica, key, &old_bytes) != 0;
    const uint32_t old_chunks = exists ? chunks_for((uint64_t)key.count + old_bytes) : 0;
    uint64_t new_bytes = value.count;
    if (write == KV_APPEND)
        new_bytes += old_bytes;
    if (new_bytes > replica->limits.value_bytes_max)
        return REPLY_TOO_LARGE;
    if (write == KV_DELETE) {
        budget->chunks_free += old_chunks;
        budget->keys_free += exists ? 1 : 0;
        return REPLY_OK;
    }
    budget->chunks_free -= (int64_t)chunks_for(key.count + new_bytes) - old_chunks;
    budget->keys_free -= exists ? 0 : 1;
    return budget->chunks_free >= 0 && budget->keys_free >= 0 ? REPLY_OK : REPLY_NO_SPACE;
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
    return (struct kv_budget){
        .chunks_free = (int64_t)replica->limits.kv_chunks_max - replica->kv.chunks_used,
        .keys_free = (int64_t)kv_keys_limit(replica) - replica->kv.keys,
    };
}

static struct kv_result kv_execute_single(struct replica *replica, enum kv_write write, const struct request *request,
                                          uint64_t index)
{
    struct kv_budget budget = kv_budget_now(replica);
    uint32_t value_bytes;
    const uint64_t current = kv_find(replica, request->key, &value_bytes);
    if (write == KV_DELETE && current == 0)
        return (struct kv_result){ .status = REPLY_NOT_FOUND };
    const enum reply_status status = kv_write_check(replica, &budget, write, request->key, request->value);
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
        const enum reply_status status = kv_write_check(replica, &budget, write, clause.key, clause.value);
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
    case REQUEST_STATUS: break;
    }
    UNREACHABLE();
}

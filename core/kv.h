/* The key-value store: a hash table of fixed capacity, values in chains of chunks. Part of the replicated state: its
 * contents and every outcome are a function of the commands executed, never of anything else.
 *
 * Linear probing with backward-shift deletion; free chunks are zeroed and chained. `digest` is the sum of one hash per key
 * (key, value, version), so it depends on the contents only. Part 2 replaces this by pages. */
#ifndef WW_KV_H
#define WW_KV_H

#include "base.h"
#include "limits.h"
#include "request.h"

struct replica;

struct kv {
    uint64_t digest;
    uint32_t keys;
    uint32_t chunks_used;
    uint32_t chunk_free;    /* head of the chain of freed chunks; KV_NO_CHUNK */
    uint32_t chunk_fresh;   /* chunks from here on were never used */
};

enum { KV_NO_CHUNK = 0 };   /* chunk numbers start at 1, so that zeroed memory is an empty chain */

struct kv_slot {
    uint64_t hash;         /* of the key */
    uint64_t version;      /* index of the entry that last wrote it; 0: the slot is empty */
    uint64_t digest;       /* its share of kv.digest */
    uint32_t chunk;        /* first chunk: key bytes, then value bytes */
    uint32_t value_bytes;
    uint32_t key_bytes;
    uint32_t zero;
};

struct kv_chunk {
    uint32_t next;
    uint8_t data[KV_CHUNK_DATA_BYTES];
};
STATIC_ASSERT(sizeof(struct kv_chunk) == KV_CHUNK_BYTES, "no padding");

/* What a command does to the state machine, and what its client is told. */
struct kv_result {
    enum reply_status status;
    uint64_t version;
};

/* Executes a write (put, delete, append, CAS, transaction) of the entry at `index`. All or nothing. */
struct kv_result kv_execute(struct replica *replica, const struct request *request, uint64_t index);

/* The key's version and value size; version 0 when absent. */
uint64_t kv_find(const struct replica *replica, struct slice key, uint32_t *value_bytes);

/* Copies the value of a key that kv_find() found. `to` has room for its value_bytes. */
void kv_read(const struct replica *replica, struct slice key, uint8_t *to);

#endif

/* The key-value store: keys in the tree, each with a record; short values inside the record, long ones in a chain of
 * pages. Part of the replicated state: contents and outcomes are a function of the commands executed, never of anything
 * else.
 *
 *   record = kv_record, then the value if it fits a quarter page beside the key
 *   chain  = pages of kv_chain_header and data, each but the last one full */
#ifndef WW_KV_H
#define WW_KV_H

#include "base.h"
#include "limits.h"
#include "request.h"

struct replica;

struct kv_record {
    uint64_t version; /* index of the entry that last wrote the key */
    uint64_t digest;  /* its share of page_root.digest */
    uint32_t value_bytes;
    uint32_t chain; /* first page of a long value; PAGE_NONE: it lies behind the record */
};
STATIC_ASSERT(sizeof(struct kv_record) == 24, "no padding");
enum { KV_RECORD_BYTES = sizeof(struct kv_record) };

struct kv_chain_header {
    uint32_t next; /* PAGE_NONE: the last one */
    uint32_t zero;
};

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

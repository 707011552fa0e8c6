/* The log in memory: where each index lies in the mirror of the WAL body, and with which term. Payload-free.
 * Indices run from 1 to last; part 2 will give it a first index. */
#ifndef WW_LOG_H
#define WW_LOG_H

#include "base.h"
#include "entry.h"

struct replica;

struct log {
    struct log_id last;
};

struct log_slot {
    uint64_t term;
    uint64_t position; /* of the entry's header, bytes into the body mirror */
};

/* 0 for index 0. index <= last. */
uint64_t log_term(const struct replica *replica, uint64_t index);

/* Decodes the entry; its body borrows from the mirror. 1 <= index <= last. */
void log_entry(const struct replica *replica, uint64_t index, struct entry *entry);

/* Encoded bytes of the entry at index, and where they lie. */
struct slice log_entry_bytes(const struct replica *replica, uint64_t index);

/* Puts the next entry: index is last + 1. */
void log_push(struct replica *replica, struct log_id id, uint64_t position);

/* Forgets everything behind index. */
void log_truncate(struct replica *replica, uint64_t index);

/* The last index at or below `index` whose term is not above `term`: where two logs may still agree (Raft 3.5). Up to
 * `agreed` they are known to. */
struct log_id log_conflict_hint(const struct replica *replica, uint64_t index, uint64_t term, uint64_t agreed);

#endif

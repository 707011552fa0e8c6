/* A log entry as stored in a WAL batch and as sent in an append request: the same bytes.
 *
 *   entry = entry_header, body_bytes of body, zero padding to a multiple of 8 */
#ifndef WW_ENTRY_H
#define WW_ENTRY_H

#include "base.h"

enum entry_kind {
    ENTRY_NOOP = 1,       /* opens a leader's term (Raft 6.4); no body */
    ENTRY_COMMAND = 2,    /* a client command, request.h */
    ENTRY_CHECKPOINT = 3, /* whoever applies it freezes a checkpoint (checkpoint.h); no body */
    ENTRY_CONFIG = 4,     /* a configuration, in use from when it is appended (members.h) */
};

struct entry_header {
    uint64_t term;
    uint64_t index;
    uint32_t body_bytes;
    uint8_t kind; /* enum entry_kind */
    uint8_t zero[3];
};
STATIC_ASSERT(sizeof(struct entry_header) == 24, "no padding");

struct entry {
    struct log_id id;
    enum entry_kind kind;
    struct slice body;
};

static inline uint32_t entry_bytes(uint32_t body_bytes)
{
    return (uint32_t)u64_round_up(sizeof(struct entry_header) + (uint64_t)body_bytes, 8);
}

/* Writes one entry; `to` has room for entry_bytes(). */
void entry_encode(const struct entry *entry, uint8_t *to);

/* Decodes the entry at the start of `bytes`. Returns the bytes it occupies; 0: it does not fit or is malformed. */
uint32_t entry_decode(struct slice bytes, struct entry *entry);

#endif

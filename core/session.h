/* Client sessions: exactly-once execution (Raft 6.3). Part of the replicated state.
 *
 * An array in consecutive pages (page.h), sorted by id, which is the index of the registering entry, so registration
 * appends and lookup is a binary search. A full table evicts the session that was used longest ago, "used" meaning the
 * index of the last entry that registered or executed in it: a function of the log alone. */
#ifndef WW_SESSION_H
#define WW_SESSION_H

#include "base.h"
#include "kv.h"

struct replica;

struct session {
    uint64_t id;
    uint64_t sequence; /* last one executed, 0: none yet */
    uint64_t used_index;
    uint64_t version; /* the reply to it */
    uint32_t status;  /* enum reply_status */
    uint32_t zero;
};
STATIC_ASSERT(sizeof(struct session) == 40, "no padding");

/* Opens the session `index`. Returns the session that had to go, 0: none. */
uint64_t session_register(struct replica *replica, uint64_t index);

/* NULL: unknown or evicted. */
const struct session *session_find(const struct replica *replica, uint64_t id);

/* Remembers the outcome of the sequence that was executed at index. */
void session_executed(struct replica *replica, uint64_t id, uint64_t sequence, uint64_t index, struct kv_result result);

#endif

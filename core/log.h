/* The log in memory: where each index lies in the mirror of the WAL body, and with which term. Payload-free.
 *
 * Entries are held from base + 1 to last; what lies at or below base is committed, and only in the checkpoint.
 *
 * A slot is in one of three states (CTRL 3.4):
 *
 *   intact     its bytes are in the mirror, and were good on the disk when they were last seen there
 *   faulty     its identity is known, its bytes are lost here: damaged on the disk, found at the start
 *   repairing  its bytes came from a peer; the batch that holds them is not durable yet
 *
 * The identity of every entry counts in elections; only what lies before the first one that is not intact counts for
 * anything else: it is reported durable, applied, sent, committed. */
#ifndef WW_LOG_H
#define WW_LOG_H

#include "base.h"
#include "entry.h"

struct replica;

struct log {
    struct log_id last;
    struct log_id base;
    uint64_t first_faulty; /* lowest index that is not intact; 0: all are */
    uint64_t faulty_count; /* that are not intact */
};

struct log_slot {
    uint64_t term;
    uint64_t lsn; /* of the entry's header; LOG_FAULTY; with LOG_REPAIRING: not durable yet */
};
#define LOG_FAULTY UINT64_MAX
#define LOG_REPAIRING (1ULL << 63)

/* Does the log, or the state behind its base, hold this entry? Below base everything committed is held. */
bool log_holds(const struct replica *replica, struct log_id id);

/* base.index <= index <= last.index. */
uint64_t log_term(const struct replica *replica, uint64_t index);

/* The highest index up to which all entries are intact. */
uint64_t log_intact(const struct replica *replica);
/* Can the bytes be read? base < index <= last. */
bool log_readable(const struct replica *replica, uint64_t index);

/* The lowest index whose bytes are lost; 0: none is. */
uint64_t log_lost(const struct replica *replica);

/* Decodes the entry; its body borrows from the mirror. base < index <= last, readable. */
void log_entry(const struct replica *replica, uint64_t index, struct entry *entry);

/* Encoded bytes of the entry at index, and where they lie. */
struct slice log_entry_bytes(const struct replica *replica, uint64_t index);
uint64_t log_entry_lsn(const struct replica *replica, uint64_t index);

/* Is there a free slot for one more, with `reserve` left? */
bool log_has_room(const struct replica *replica, uint64_t reserve);

/* Puts the next entry: index is last + 1. lsn: LOG_FAULTY when only its identity is known. */
void log_push(struct replica *replica, struct log_id id, uint64_t lsn);
/* The bytes of an entry that is there, at another place: with LOG_REPAIRING until they are durable. */
void log_repair(struct replica *replica, uint64_t index, uint64_t lsn);

/* Forgets everything behind index; base <= index < last. */
void log_truncate(struct replica *replica, uint64_t index);
/* Forgets everything up to base, which is held. */
void log_forget(struct replica *replica, struct log_id base);
/* The checkpoint holds everything up to index: what is damaged there is forgotten, and all before it. */
void log_forget_damaged(struct replica *replica, uint64_t index);
/* Begins anew behind base. */
void log_reset(struct replica *replica, struct log_id base);

/* The last index at or below `index` whose term is not above `term`: where two logs may still agree (Raft 3.5). Up to
 * `agreed` they are known to. Below base only the index means something. */
struct log_id log_conflict_hint(const struct replica *replica, uint64_t index, uint64_t term, uint64_t agreed);

#endif

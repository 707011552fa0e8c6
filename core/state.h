/* The state of one replica: the head of its region. Private to the core.
 *
 * Arrays whose size depends on the limits follow in the same region; `areas` holds their offsets and the accessors
 * below turn them into pointers for the length of a step. Nothing in the region is a pointer, padding is zero, dead
 * slots are zeroed: so memcpy clones and hashing is sound. */
#ifndef WW_STATE_H
#define WW_STATE_H

#include "base.h"
#include "checkpoint.h"
#include "checksum.h"
#include "install.h"
#include "kv.h"
#include "limits.h"
#include "log.h"
#include "map.h"
#include "members.h"
#include "message.h"
#include "prng.h"
#include "quorum.h"
#include "read.h"
#include "rejoin.h"
#include "replica.h"
#include "scrub.h"
#include "session.h"
#include "store.h"
#include "transfer.h"
#include "wal.h"
#include "wal_format.h"

/* Offsets into the region, bytes from its start. */
struct areas {
    uint64_t wal_body;       /* mirror of the body ring: batches are built here and written from here */
    uint64_t wal_name;       /* one block: the header ring's write in flight */
    uint64_t wal_superblock; /* one copy: the superblock write in flight; before, the copy that is being read */
    uint64_t log_slots;
    uint64_t pages; /* the state machine, page.h */
    uint64_t map;   /* map.h: all levels */
    uint64_t map_level[MAP_LEVELS_MAX];
    uint32_t map_first[MAP_LEVELS_MAX]; /* entries of all levels are numbered, level by level: the level's first one */
    uint64_t map_dirty;                 /* bit per map block: an entry in it has changed since it was written */
    uint64_t wanted;                    /* bit per map entry of all levels: install.h */
    uint64_t dirty[2];    /* bit per page: changed since the last freeze; and the frozen ones (checkpoint.h) */
    uint64_t blocks;      /* uint32_t per block of device 1: its use */
    uint64_t shadow;      /* pool of page copies */
    uint64_t shadow_page; /* uint32_t per slot: the page it holds, plus 1 */
    uint64_t data_runs;   /* CHECKPOINT_DEPTH_MAX buffers of data_run_bytes_max */
    uint64_t pending;
    uint64_t reads; /* struct read, stride read_bytes */
    uint64_t read_bytes;
    uint64_t inflight;    /* MEMBERS_MAX rings of inflight_max struct inflight */
    uint64_t scrub_block; /* one block of either device, being written again */
    uint64_t end;
};

/* The superblock's copies are written one after the other, so that a crash tears at most one of four.
 *
 *   idle (due 0) --replica.stored differs--> all copies due --each completion--> one less due --none--> durable, idle
 *
 * Recovery starts it with the content that counts, unchanged, and writes the copies that differ before those that seem
 * to have it: a repair must not leave fewer copies of what is promised than it found. */
struct superblock_writer {
    struct stored durable; /* on all copies */
    struct stored writing; /* in the copy in areas.wal_superblock */
    struct hash128 hash;   /* of that copy */
    uint64_t sequence;
    uint64_t instance;
    uint32_t due;          /* bit per copy still to be written */
    uint32_t due_first;    /* of them, those to be written before the others */
    uint32_t due_last;     /* of them, those to be written behind the others */
    uint32_t in_flight;    /* 0 or 1 */
    uint64_t submitted_ns; /* when that was; 0: none is in flight */
};

/* Replication to one peer, as its leader sees it (Raft 3.5, 10.2.1). */
enum peer_state {
    PEER_PROBE,     /* where the logs agree is being looked for: one append request at a time */
    PEER_REPLICATE, /* they agree up to next - 1: pipelined, inflight_max requests or inflight_bytes_max */
    PEER_SNAPSHOT,  /* next is only in the checkpoint, which it is told to get: no entries */
};

/* A request with entries that was not acknowledged yet. */
struct inflight {
    uint64_t last; /* index of its last entry */
    uint64_t bytes;
};

struct peer {
    uint64_t match;                    /* known durable there; 0 <= match < next */
    uint64_t next;                     /* first entry to send */
    uint64_t round_acked;              /* highest ReadIndex round of this term echoed by it */
    uint64_t promised_ns;              /* until then it deposes nobody here, as it said in this term; 0: it did not */
    uint64_t heard_ns;                 /* when it last answered in this term (CheckQuorum) */
    struct checkpoint_mark checkpoint; /* its latest durable one, as it said */
    uint64_t nonce;                    /* it sent last; echoed to it */
    uint64_t damaged;                  /* entry that it asked for again since the last heartbeat; 0: none */
    uint64_t question;                 /* number of its latest question for the read index; 0: none open */
    uint64_t commit_told;              /* commit index of the latest request to it */
    uint64_t inflight_bytes;           /* of entries, in the requests of the ring */
    uint32_t inflight_first;           /* ring of struct inflight */
    uint32_t inflight_count;
    uint8_t state;      /* enum peer_state */
    bool probe_sent;    /* a probe is out; what follows it has no entries */
    bool probe_entries; /* the probe carried entries */
    bool probe_old;     /* a heartbeat interval has begun since it was sent */
    bool heartbeat_due;
    bool heard; /* heard_ns means something: it did answer in this term */
    uint8_t zero[2];
};

/* What a follower owes to the leader or to a candidate, until the disk lets it be said. */
struct owed {
    uint64_t append_to; /* 0: nothing owed */
    uint64_t rejected;  /* 0: success */
    struct log_id hint;
    uint64_t vote_to; /* 0: nothing owed */
    uint64_t vote_term;
    bool vote_pre;
    bool vote_granted;
    uint8_t zero[6];
};

/* A proposal whose client waits. FIFO, indices ascending. */
struct pending {
    struct log_id id;
    uint64_t client;
    uint64_t request_id;
    uint64_t since_ns;
};

/* The client whose change of the members waits until it is over (members.c). */
struct change {
    struct log_id id; /* of the entry that began it; index 0: nobody waits */
    uint64_t client;
    uint64_t request_id;
};

/* A leader's search for the bytes of an entry that it knows by name (repair.c). */
struct repair {
    struct log_id id; /* index 0: none */
    uint64_t since_ns;
    uint64_t asked_ns;
    uint32_t dont_have; /* bit per slot that answered so */
    uint32_t faulty;
    bool asked;
    uint8_t zero[7];
};

/* What the marks of the voters' checkpoints say of each other (diverge.c). */
struct diverge {
    uint64_t doubt_index;           /* where voters have different checkpoints, and no majority has one; 0: no doubt */
    uint64_t led_ns;                /* leader: since when it leads in doubt; 0: it does not */
    uint64_t differences;           /* in this life */
    uint64_t reported[MEMBERS_MAX]; /* by slot: index at which the peer's was last found to differ */
};

struct replica {
    struct limits limits;
    uint32_t zero; /* behind an odd number of limits */
    struct replica_config config;
    struct frame_context frame;
    struct areas areas;
    struct prng prng;
    uint64_t now_ns;

    /* Raft 3.1: every server */
    struct stored stored; /* in memory; superblock.durable is what may be promised */
    uint32_t role;        /* enum raft_role */
    uint32_t self;        /* slot in the configuration in use; MEMBERS_MAX: no member */
    uint64_t leader;      /* node id, 0: unknown */
    uint64_t commit;
    uint64_t applied;
    uint64_t apply_bytes; /* of values that this step has hashed or freed: bounds it beside apply_per_step_max */
    uint64_t election_deadline_ns;
    uint64_t leader_heard_ns; /* last contact of a current leader */
    bool leader_heard;        /* leader_heard_ns means something */
    bool accepted;            /* a peer has answered its votes or entries in this life */
    bool wants_tick;          /* work is left for another step at once */
    uint8_t stood_back;       /* elections that it left to others since it heard a leader, or campaigned */
    uint32_t votes;           /* bit per slot */
    uint32_t pre_votes;
    uint32_t campaign_due; /* bit per slot: vote request still to be sent */

    /* follower */
    uint64_t verified; /* log known equal to this term's leader's up to here */
    uint64_t acked;    /* highest match reported in this term */
    uint64_t round_seen;
    uint64_t sent_seen_ns; /* by the leader's clock */
    uint64_t grace_end_ns; /* with leases: until then it is as if a leader was heard, since one may have been in an
                              earlier life */
    struct owed owed;

    uint64_t
        abstain_nonce; /* STORED_ABSTAIN: of this life, not 0; a request that echoes it is no relic of an earlier one */
    uint64_t abstain_term;  /* STORED_ABSTAIN: of the leader whose log must be matched, */
    uint64_t abstain_until; /* ... up to here, before this node votes again */

    /* leader */
    uint64_t heartbeat_deadline_ns;
    uint64_t tell_ns;               /* who does not know the commit index by then is told; 0: all do */
    uint64_t round;                 /* latest ReadIndex round begun */
    uint64_t round_confirmed;       /* latest one that a majority acknowledged */
    uint64_t round_index;           /* read index of the latest one */
    uint64_t round_ns;              /* when it began */
    uint32_t questions_waiting;     /* bit per slot: asks for the read index, and is in no round yet */
    uint32_t questions_joined;      /* ... is in the latest round */
    struct peer peers[MEMBERS_MAX]; /* by slot in the configuration in use */
    uint32_t pending_first;
    uint32_t pending_count;
    uint32_t reads_first;
    uint32_t reads_count;
    uint32_t reads_assigned; /* of them, the first ones belong to a round, or to a question */
    uint32_t flush_first;    /* slot that is served first in the next step */
    uint32_t zero3;
    bool marker_asked;      /* by a client, or for one: the next marker need not wait for the log to grow */
    bool campaign_transfer; /* candidate: it is what the leader before it wanted (transfer.h) */
    bool began_empty;       /* it held nothing when this life began */
    uint8_t zero1;
    uint64_t marker_index; /* the last ENTRY_CHECKPOINT of this leadership; 0: none */

    uint64_t reads_term; /* in which the reads that wait arrived */
    bool reads_leading;  /* ... at a leader */
    uint8_t zero2[7];
    struct read_fresh fresh;
    struct read_question question;

    struct change change;
    uint64_t members_unheld; /* oldest ENTRY_CONFIG that no durable superblock held, while neither of the two is
                                (members.c) */
    struct rejoin rejoin;
    struct transfer transfer;
    struct repair repair;
    struct diverge diverge;
    uint64_t pages_missed_ns;  /* leader: since when it leads with damaged pages; 0: it does not */
    uint64_t entries_repaired; /* in this life */

    struct superblock_writer superblock;
    struct log log;
    struct wal wal;
    struct recovery recovery;
    struct checkpoint_writer checkpoint;
    struct store store;
    struct install install;
    struct scrub scrub;
};

static inline void *region_at(struct replica *replica, uint64_t offset) { return (uint8_t *)replica + offset; }
static inline const void *region_at_const(const struct replica *replica, uint64_t offset)
{
    return (const uint8_t *)replica + offset;
}

/* Sets of bits in the areas. */
static inline bool set_has(const uint64_t *set, uint32_t bit) { return (set[bit / 64] >> (bit % 64) & 1) != 0; }
static inline void set_put(uint64_t *set, uint32_t bit, bool member)
{
    const uint64_t mask = 1ULL << (bit % 64);
    set[bit / 64] = member ? set[bit / 64] | mask : set[bit / 64] & ~mask;
}
/* The first member in from..end - 1; looks at that many words. When there is none: where it ended, at most `end`. */
static inline uint32_t set_next(const uint64_t *set, uint32_t from, uint32_t end, uint32_t words)
{
    for (; from < end && words > 0; words--) {
        const uint64_t word = set[from / 64] >> (from % 64);
        if (word != 0)
            return u32_min(end, from + (uint32_t)__builtin_ctzll(word));
        from += 64 - from % 64;
    }
    return u32_min(from, end);
}

/* checkpoint.h; in the way of every change of a page. */
static inline bool checkpoint_page_dirty(const struct replica *replica, uint32_t page)
{
    const uint64_t *dirty = region_at_const(replica, replica->areas.dirty[1 - replica->checkpoint.frozen_set]);
    return set_has(dirty, page);
}

#endif

/* The other members: dialing them, and sending to them. A connection that this node dials carries its frames to that
 * peer. The peer's own frames come on the connection that the peer dials, or, when it cannot dial this node or does not
 * know where it is, back on this one: so a node that joins, one that has moved, and one that was removed are answered.
 *
 * Whom to dial says the configuration in use: stored at first, then the replica's. A peer has the slot of its member.
 *
 *   per peer: waiting (until next_dial_ns) -> its name is looked up, unless it is a number -> connection DIALING
 *             -> OPEN (up) -> FREE: waiting again, twice as long
 *   another member in the slot, or another address: the connection is closed, then as above */
#ifndef WW_PEERS_H
#define WW_PEERS_H

#include "../core/prng.h"
#include "../core/replica.h"
#include "connection.h"
#include "lookup.h"

struct peer {
    uint64_t id; /* 0: nobody to dial in this slot */
    char address[MEMBER_ADDRESS_BYTES];
    struct endpoint endpoint; /* address_bytes 0: not resolved */
    struct lookup *lookup;    /* not NULL: under way */
    bool dialing;             /* an attempt is under way, or succeeded and holds */
    bool up;
    bool stale;     /* the connection is another member's, or goes to an address that is left: it must be gone first */
    bool unsettled; /* the latest connection broke at once: the next is said to be up when it has held for a while */
    uint64_t up_since_ns;
    uint64_t next_dial_ns;
    uint64_t backoff_ns;
    uint64_t dropped; /* frames: nobody connected, or no room */
};

struct peers {
    struct connections *connections;
    struct prng jitter;
    uint64_t node_id;
    struct log_id configuration; /* that is followed */
    struct peer all[DIALED_MAX]; /* by slot of the configuration, which is also the connection slot */
};

/* configuration: as stored; empty for a node that has not been told yet. */
void peers_init(struct peers *peers, struct connections *connections, const struct replica_config *config,
                const struct configuration *configuration);
void peers_close(struct peers *peers);

/* The configuration in use: cheap when it is the same. */
void peers_follow(struct peers *peers, const struct configuration *configuration);

/* Dials whom it is time to dial. Returns when to be called again at the latest. */
uint64_t peers_turn(struct peers *peers, uint64_t now_ns);

/* May be lost. */
void peers_send(struct peers *peers, uint64_t target, struct slice bytes);

#endif

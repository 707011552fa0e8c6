/* The other voters: dialing them, and sending to them. A connection that this node dials carries its frames to
 * that peer and, at most, a refusal back; the peer's own frames come on the connection that the peer dials.
 *
 *   per peer: waiting (until next_dial_ns) -> connection DIALING -> OPEN (up) -> FREE: waiting again, twice as long */
#ifndef WW_PEERS_H
#define WW_PEERS_H

#include "../core/prng.h"
#include "../core/replica.h"
#include "connection.h"

struct peer {
    uint64_t id; /* 0: this voter slot is the node itself */
    struct endpoint endpoint;
    bool dialing; /* an attempt is under way, or succeeded and holds */
    bool up;
    uint64_t up_since_ns;
    uint64_t next_dial_ns;
    uint64_t backoff_ns;
    uint64_t dropped; /* frames: nobody connected, or no room */
};

struct peers {
    struct connections *connections;
    struct prng jitter;
    uint32_t count;
    struct peer all[VOTERS_MAX]; /* by voter slot, which is also the connection slot */
};

/* endpoints: one per voter of the configuration, in its order. */
void peers_init(struct peers *peers, struct connections *connections, const struct replica_config *config,
                const struct configuration *configuration, const struct endpoint *endpoints);

/* Dials whom it is time to dial. Returns when to be called again at the latest. */
uint64_t peers_turn(struct peers *peers, uint64_t now_ns);

/* May be lost. */
void peers_send(struct peers *peers, uint64_t target, struct slice bytes);

#endif

/* Dialing and sending to the other voters; see peers.h. */
#include "peers.h"

#include "clock.h"
#include "logger.h"

#include <string.h>

#define BACKOFF_NS_MIN (20 * NS_PER_MS)
#define BACKOFF_NS_MAX (1000 * NS_PER_MS)
/* A connection that held for less does not reset the back-off: the peer may accept and refuse at once, for ever. */
#define SETTLED_NS (1000 * NS_PER_MS)

void peers_init(struct peers *peers, struct connections *connections, const struct replica_config *config,
                const struct configuration *configuration, const struct endpoint *endpoints)
{
    memset(peers, 0, sizeof(*peers));
    peers->connections = connections;
    peers->count = bits_count(configuration_voters(configuration));
    ASSERT(peers->count <= VOTERS_MAX);
    prng_seed(&peers->jitter, config->seed ^ config->node_id);
    for (uint32_t slot = 0; slot < peers->count; slot++) {
        struct peer *peer = &peers->all[slot];
        bool self = configuration->members[slot].id == config->node_id;
        peer->id = self ? 0 : configuration->members[slot].id;
        peer->endpoint = endpoints[slot];
        peer->backoff_ns = BACKOFF_NS_MIN;
    }
}

static void peer_lost(struct peers *peers, struct peer *peer, uint64_t now_ns)
{
    peer->dialing = false;
    if (peer->up) {
        LOG(LOG_LEVEL_INFO, "peer-down", FIELD_NUMBER("peer", peer->id), FIELD_TEXT("address", peer->endpoint.text),
            FIELD_NUMBER("frames_dropped", peer->dropped));
        if (now_ns - peer->up_since_ns >= SETTLED_NS)
            peer->backoff_ns = BACKOFF_NS_MIN;
    }
    peer->up = false;
    /* From half of the back-off to all of it, so that restarted nodes do not dial in step. */
    peer->next_dial_ns = now_ns + peer->backoff_ns / 2 + prng_below(&peers->jitter, peer->backoff_ns / 2);
    peer->backoff_ns = u64_min(2 * peer->backoff_ns, BACKOFF_NS_MAX);
}

static void peer_turn(struct peers *peers, uint32_t slot, uint64_t now_ns)
{
    struct peer *peer = &peers->all[slot];
    enum connection_state state = peers->connections->all[slot].state;
    if (peer->dialing && state == CONNECTION_FREE)
        peer_lost(peers, peer, now_ns);
    if (peer->dialing && !peer->up && state == CONNECTION_OPEN) {
        peer->up = true;
        peer->up_since_ns = now_ns;
        LOG(LOG_LEVEL_INFO, "peer-up", FIELD_NUMBER("peer", peer->id), FIELD_TEXT("address", peer->endpoint.text));
    }
    if (!peer->dialing && now_ns >= peer->next_dial_ns) {
        ASSERT(state == CONNECTION_FREE);
        peer->dialing = true;
        int result = connections_dial(peers->connections, slot, &peer->endpoint);
        if (result < 0) {
            LOG(LOG_LEVEL_WARN, "dial-failed", FIELD_NUMBER("peer", peer->id), FIELD_TEXT("cause", strerror(-result)));
            peer_lost(peers, peer, now_ns);
        }
    }
}

uint64_t peers_turn(struct peers *peers, uint64_t now_ns)
{
    uint64_t wake_ns = UINT64_MAX;
    for (uint32_t slot = 0; slot < peers->count; slot++) {
        if (peers->all[slot].id == 0)
            continue;
        peer_turn(peers, slot, now_ns);
        if (!peers->all[slot].dialing)
            wake_ns = u64_min(wake_ns, peers->all[slot].next_dial_ns);
    }
    return wake_ns;
}

void peers_send(struct peers *peers, uint64_t target, struct slice bytes)
{
    ASSERT(target != 0);
    for (uint32_t slot = 0; slot < peers->count; slot++) {
        struct peer *peer = &peers->all[slot];
        if (peer->id != target)
            continue;
        if (!connection_send(peers->connections, &peers->connections->all[slot], bytes))
            peer->dropped++;
        return;
    }
    UNREACHABLE();
}

/* Dialing and sending to the other members; see peers.h. */
#include "peers.h"

#include "clock.h"
#include "logger.h"

#include <errno.h>
#include <string.h>

#define BACKOFF_NS_MIN (20 * NS_PER_MS)
#define BACKOFF_NS_MAX (1000 * NS_PER_MS)
#define LOOKUP_POLL_NS (10 * NS_PER_MS)
/* A connection that held for less does not reset the back-off: the peer may accept and refuse at once, for ever. */
#define SETTLED_NS (1000 * NS_PER_MS)

static void peer_become(struct peers *peers, uint32_t slot, const struct member *member)
{
    struct peer *peer = &peers->all[slot];
    struct connection *connection = &peers->connections->all[slot];
    const uint64_t id = member->id == peers->node_id ? 0 : member->id;
    if (peer->id == id && memcmp(peer->address, member->address, sizeof(peer->address)) == 0)
        return;
    lookup_drop(peer->lookup);
    *peer = (struct peer){ .id = id, .backoff_ns = BACKOFF_NS_MIN };
    memcpy(peer->address, member->address, sizeof(peer->address));
    if (connection->state != CONNECTION_FREE) {
        peer->stale = true;
        connection_drop(peers->connections, connection);
    }
}

static void peers_take(struct peers *peers, const struct configuration *configuration)
{
    peers->configuration = configuration->id;
    for (uint32_t slot = 0; slot < DIALED_MAX; slot++)
        peer_become(peers, slot, &configuration->members[slot]);
}

void peers_init(struct peers *peers, struct connections *connections, const struct replica_config *config,
                const struct configuration *configuration)
{
    memset(peers, 0, sizeof(*peers));
    ASSERT(configuration_problem(configuration) == NULL);
    peers->connections = connections;
    peers->node_id = config->node_id;
    prng_seed(&peers->jitter, config->seed ^ config->node_id);
    peers_take(peers, configuration);
}

void peers_close(struct peers *peers)
{
    for (uint32_t slot = 0; slot < DIALED_MAX; slot++) {
        lookup_drop(peers->all[slot].lookup);
        peers->all[slot].lookup = NULL;
    }
}

void peers_follow(struct peers *peers, const struct configuration *configuration)
{
    if (!log_id_equal(peers->configuration, configuration->id))
        peers_take(peers, configuration);
}

static void peer_lost(struct peers *peers, struct peer *peer, uint64_t now_ns)
{
    peer->dialing = false;
    if (peer->up) {
        const bool settled = now_ns - peer->up_since_ns >= SETTLED_NS;
        if (!peer->unsettled)
            LOG(LOG_LEVEL_INFO, "peer-down", FIELD_NUMBER("peer", peer->id), FIELD_TEXT("address", peer->address),
                FIELD_NUMBER("frames_dropped", peer->dropped));
        if (settled)
            peer->backoff_ns = BACKOFF_NS_MIN;
        peer->unsettled = !settled;
    }
    peer->up = false;
    /* The name may mean another machine by now. */
    if (endpoint_parse_numeric(peer->address, strlen(peer->address), &peer->endpoint) < 0)
        peer->endpoint.address_bytes = 0;
    /* From half of the back-off to all of it, so that restarted nodes do not dial in step. */
    peer->next_dial_ns = now_ns + peer->backoff_ns / 2 + prng_below(&peers->jitter, peer->backoff_ns / 2);
    peer->backoff_ns = u64_min(2 * peer->backoff_ns, BACKOFF_NS_MAX);
}

static void peer_failed(struct peers *peers, struct peer *peer, int result, uint64_t now_ns)
{
    LOG(LOG_LEVEL_WARN, "dial-failed", FIELD_NUMBER("peer", peer->id), FIELD_TEXT("address", peer->address),
        FIELD_TEXT("cause", result == -EHOSTUNREACH ? "no such host" : strerror(-result)));
    peer_lost(peers, peer, now_ns);
}

/* 0: the endpoint is there. -EAGAIN: it is being looked up. */
static int peer_resolve(struct peer *peer)
{
    if (peer->endpoint.address_bytes > 0)
        return 0;
    if (peer->lookup == NULL) {
        const int result = endpoint_parse_numeric(peer->address, strlen(peer->address), &peer->endpoint);
        if (result != -EHOSTUNREACH)
            return result;
        peer->lookup = lookup_start(peer->address);
        return peer->lookup != NULL ? -EAGAIN : -ENOMEM;
    }
    const int result = lookup_poll(peer->lookup, &peer->endpoint);
    if (result != -EAGAIN)
        peer->lookup = NULL;
    return result;
}

static void peer_dial(struct peers *peers, uint32_t slot, uint64_t now_ns)
{
    struct peer *peer = &peers->all[slot];
    int result = peer_resolve(peer);
    if (result == -EAGAIN) {
        peer->next_dial_ns = now_ns + LOOKUP_POLL_NS;
        return;
    }
    peer->dialing = result == 0;
    if (result == 0)
        result = connections_dial(peers->connections, slot, &peer->endpoint);
    if (result < 0)
        peer_failed(peers, peer, result, now_ns);
}

static void peer_up(const struct peer *peer)
{
    LOG(LOG_LEVEL_INFO, "peer-up", FIELD_NUMBER("peer", peer->id), FIELD_TEXT("address", peer->address));
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
        if (!peer->unsettled)
            peer_up(peer);
    } else if (peer->up && peer->unsettled && now_ns - peer->up_since_ns >= SETTLED_NS) {
        peer->unsettled = false;
        peer_up(peer);
    }
    if (peer->stale && state == CONNECTION_FREE)
        peer->stale = false;
    if (!peer->dialing && !peer->stale && now_ns >= peer->next_dial_ns) {
        ASSERT(state == CONNECTION_FREE);
        peer_dial(peers, slot, now_ns);
    }
}

uint64_t peers_turn(struct peers *peers, uint64_t now_ns)
{
    uint64_t wake_ns = UINT64_MAX;
    for (uint32_t slot = 0; slot < DIALED_MAX; slot++) {
        struct peer *peer = &peers->all[slot];
        if (peer->id == 0)
            continue;
        peer_turn(peers, slot, now_ns);
        if (peer->stale)
            wake_ns = u64_min(wake_ns, now_ns + LOOKUP_POLL_NS);
        else if (!peer->dialing)
            wake_ns = u64_min(wake_ns, peer->next_dial_ns);
    }
    return wake_ns;
}

void peers_send(struct peers *peers, uint64_t target, struct slice bytes)
{
    struct peer *peer = NULL;
    struct connection *connection = NULL;
    ASSERT(target != 0);
    for (uint32_t slot = 0; slot < DIALED_MAX && peer == NULL; slot++) {
        if (peers->all[slot].id == target) {
            peer = &peers->all[slot];
            connection = peer->up ? &peers->connections->all[slot] : NULL;
        }
    }
    if (connection == NULL)
        connection = connections_find_peer(peers->connections, target);
    if ((connection == NULL || !connection_send(peers->connections, connection, bytes)) && peer != NULL)
        peer->dropped++;
}

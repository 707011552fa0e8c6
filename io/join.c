/* Asking a cluster who it is; see join.h. */
#include "join.h"

#include "client.h"
#include "clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define JOIN_RETRY_NS (200 * NS_PER_MS)

struct join {
    const struct join_options *options;
    struct client *client;
    uint64_t cluster_id; /* 0: nobody has answered */
    char witness[MEMBER_ADDRESS_BYTES];
    char *error;
};

static bool join_member_fits(struct join *join, const struct member *member)
{
    const struct join_options *options = join->options;
    const bool same_address = strcmp(member->address, options->address) == 0;
    if ((member->id == options->node_id) == same_address)
        return true;
    if (same_address)
        snprintf(join->error, JOIN_ERROR_BYTES, "--listen %s: is the address of node %llu, a member of the cluster",
                 options->address, (unsigned long long)member->id);
    else
        snprintf(join->error, JOIN_ERROR_BYTES,
                 "--id %llu: is a member of the cluster already, at %s; a new node needs an id that was never used",
                 (unsigned long long)member->id, member->address);
    return false;
}

/* One answer. False: it contradicts. */
static bool join_judge(struct join *join, const char *endpoint, const struct client_node *node)
{
    const struct join_options *options = join->options;
    const unsigned long long cluster_id = node->status.cluster_id;
    if (options->cluster_id != 0 && options->cluster_id != cluster_id) {
        snprintf(join->error, JOIN_ERROR_BYTES, "--join: %s belongs to cluster %llu, not to --cluster-id %llu",
                 endpoint, cluster_id, (unsigned long long)options->cluster_id);
        return false;
    }
    if (join->cluster_id != 0 && join->cluster_id != cluster_id) {
        snprintf(join->error, JOIN_ERROR_BYTES, "--join: %s belongs to cluster %llu, %s to cluster %llu", join->witness,
                 (unsigned long long)join->cluster_id, endpoint, cluster_id);
        return false;
    }
    join->cluster_id = cluster_id;
    snprintf(join->witness, sizeof(join->witness), "%s", endpoint);
    for (uint32_t slot = 0; slot < node->member_count; slot++)
        if (!join_member_fits(join, &node->members[slot].member))
            return false;
    return true;
}

/* Everybody once. False: an answer contradicts. */
static bool join_round(struct join *join, char reason[JOIN_ERROR_BYTES / 2])
{
    for (uint32_t slot = 0; slot < client_endpoint_count(join->client); slot++) {
        struct client_node node;
        if (client_node(join->client, slot, &node).outcome != CLIENT_OK)
            snprintf(reason, JOIN_ERROR_BYTES / 2, "%s", client_error_text(join->client));
        else if (!join_judge(join, client_endpoint_text(join->client, slot), &node))
            return false;
    }
    return true;
}

bool join_ask(const struct join_options *options, uint64_t *cluster_id, char error[JOIN_ERROR_BYTES])
{
    struct join join = { .options = options, .error = error };
    const struct client_options client = { .endpoints = options->peers, .timeout_ns = options->timeout_ns };
    const uint64_t deadline_ns = clock_now_ns() + options->timeout_ns;
    char reason[JOIN_ERROR_BYTES / 2] = "";
    const int result = client_open(&client, &join.client);
    if (result < 0) {
        snprintf(error, JOIN_ERROR_BYTES, "--join %s: %s", options->peers,
                 result == -EHOSTUNREACH ? "no such host" : "expected HOST:PORT[,HOST:PORT...]");
        return false;
    }
    bool fits = join_round(&join, reason);
    while (fits && join.cluster_id == 0 && clock_now_ns() < deadline_ns) {
        nanosleep(&(struct timespec){ .tv_nsec = (long)JOIN_RETRY_NS }, NULL);
        fits = join_round(&join, reason);
    }
    client_close(join.client);
    *cluster_id = join.cluster_id;
    if (fits && join.cluster_id == 0)
        snprintf(error, JOIN_ERROR_BYTES, "--join: no node answered in %llu s (%s)",
                 (unsigned long long)(options->timeout_ns / NS_PER_S), reason);
    return fits && join.cluster_id != 0;
}

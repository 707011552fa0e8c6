/* A cluster of three, three more nodes that are formatted for none, and changes of its members: for tests of these. */
#ifndef WW_TEST_MEMBERS_RIG_H
#define WW_TEST_MEMBERS_RIG_H

#define NODES_IN_CLUSTER 6
#define NODES_AT_FORMAT 3

#include "../core/members.h"
#include "nodes.h"

enum { FIRST = 7, CHANGE_MS = 400 };

static inline struct member_operation operation(enum member_operation_kind kind, uint64_t id)
{
    struct member_operation result = { .id = id, .kind = (uint8_t)kind };
    if (kind == MEMBER_ADD_LEARNER || kind == MEMBER_ADD_VOTER || kind == MEMBER_SET_ADDRESS)
        snprintf(result.address, sizeof result.address, "node%u", (unsigned)id);
    return result;
}

static inline void send_change(struct cluster *cluster, uint32_t leader, const struct member_operation *operations,
                               uint32_t count, uint8_t flags)
{
    const struct request request = {
        .request_id = 5,
        .kind = REQUEST_MEMBERS,
        .flags = flags,
        .value = { .bytes = (const uint8_t *)operations, .count = count * (uint32_t)sizeof *operations },
    };
    node_request(cluster->nodes[leader], 9, &request);
    observe(cluster, leader);
}

/* Asks the leader for it, and waits for the answer. */
static inline enum reply_status change(struct cluster *cluster, const struct member_operation *operations,
                                       uint32_t count, uint8_t flags)
{
    send_change(cluster, elected(cluster), operations, count, flags);
    const uint64_t before = cluster->replies;
    for (uint32_t waited = 0; waited < CHANGE_MS && cluster->replies == before; waited++)
        cluster_run(cluster, 1 * MS);
    EXPECT(cluster->replies > before);
    return cluster->status;
}

static inline enum reply_status change_one(struct cluster *cluster, enum member_operation_kind kind, uint64_t id)
{
    const struct member_operation one = operation(kind, id);
    return change(cluster, &one, 1, 0);
}

static inline const struct configuration *configuration_at(const struct cluster *cluster, uint32_t slot)
{
    return replica_configuration(replica_at(cluster, slot));
}

/* Ids of the members with that role, as a mask of bit id. */
static inline uint32_t ids_with(const struct configuration *configuration, uint8_t role)
{
    uint32_t ids = 0;
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++)
        if (configuration->members[slot].roles == role)
            ids |= 1u << configuration->members[slot].id;
    return ids;
}

/* All nodes of the mask of ids use this final configuration, and know that it is committed. */
static inline void expect_members(struct cluster *cluster, uint32_t on, uint32_t voters, uint32_t learners)
{
    cluster_run(cluster, 100 * MS);
    for (uint32_t slot = 0; slot < NODES; slot++) {
        if ((on >> (slot + 1) & 1) == 0)
            continue;
        const struct configuration *now = configuration_at(cluster, slot);
        EXPECT_EQUAL(ids_with(now, MEMBER_VOTER), voters);
        EXPECT_EQUAL(ids_with(now, MEMBER_LEARNER), learners);
        EXPECT_EQUAL(bits_count(configuration_members(now)), bits_count(voters | learners));
        EXPECT(replica_configuration_committed(replica_at(cluster, slot)) == now);
    }
}

#define IDS(...) ids_of((const uint32_t[]){ __VA_ARGS__, 0 })
static inline uint32_t ids_of(const uint32_t *ids)
{
    uint32_t mask = 0;
    for (; *ids != 0; ids++)
        mask |= 1u << *ids;
    return mask;
}

static inline struct cluster *cluster_ready(uint32_t started)
{
    struct cluster *cluster = cluster_new(&limits_tiny, started);
    put(cluster, 1, 1);
    return cluster;
}

#endif

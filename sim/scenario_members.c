/* Changes of the members, asked for by a client of a scenario, and what nodes hold to be the configuration. */
#include "scenario_state.h"

#include <inttypes.h>
#include <string.h>

/* ---- asking ---- */

static const struct {
    const char *word;
    enum member_operation_kind kind;
} members_words[] = {
    { "add-learner", MEMBER_ADD_LEARNER }, { "add-voter", MEMBER_ADD_VOTER }, { "promote", MEMBER_PROMOTE },
    { "demote", MEMBER_DEMOTE },           { "remove", MEMBER_REMOVE },       { "move", MEMBER_SET_ADDRESS },
    { "prefer", MEMBER_SET_PRIORITY },
};

/* Each node has the address of its number; one that moves, that of the line. */
static void members_address(const struct scenario *scenario, uint32_t slot, struct member_operation *operation)
{
    if (operation->kind == MEMBER_ADD_LEARNER || operation->kind == MEMBER_ADD_VOTER)
        snprintf(operation->address, sizeof operation->address, "n%u", (unsigned)slot + 1);
    if (operation->kind == MEMBER_SET_ADDRESS)
        snprintf(operation->address, sizeof operation->address, "m%u.%u", (unsigned)slot + 1,
                 (unsigned)scenario->line_number);
}

/* OPERATION NODES, one operation for each of them. */
static bool members_operation(struct scenario *scenario, struct scenario_client *client,
                              enum member_operation_kind kind)
{
    uint32_t nodes;
    if (!words_nodes(scenario, &nodes))
        return false;
    for (uint32_t slot = 0; slot < scenario->swarm.node_count; slot++) {
        if ((nodes >> slot & 1) == 0)
            continue;
        if (client->operation_count == ARRAY_COUNT(client->operations))
            return scenario_wrong(scenario, "at most %d operations in one change",
                                  (int)ARRAY_COUNT(client->operations));
        struct member_operation *operation = &client->operations[client->operation_count++];
        *operation = (struct member_operation){ .id = scenario->swarm.configs[slot].node_id,
                                                .kind = (uint8_t)kind,
                                                .priority = kind == MEMBER_SET_PRIORITY };
        members_address(scenario, slot, operation);
    }
    return true;
}

bool members_words_read(struct scenario *scenario, struct scenario_client *client)
{
    client->operation_count = 0;
    for (bool more = true; more;) {
        more = false;
        for (uint32_t i = 0; i < ARRAY_COUNT(members_words) && !more; i++) {
            if (!words_take(scenario, members_words[i].word))
                continue;
            if (!members_operation(scenario, client, members_words[i].kind))
                return false;
            more = true;
        }
    }
    if (client->operation_count == 0)
        return scenario_wrong(scenario, "what is to become of whom? such as: promote 4 remove 1,2");
    client->request.flags = words_take(scenario, "forced") ? REQUEST_FLAG_FORCE : 0;
    client->request.value = (struct slice){
        .bytes = (const uint8_t *)client->operations,
        .count = client->operation_count * (uint32_t)sizeof client->operations[0],
    };
    return true;
}

/* ---- expectations ---- */

/* Slots of the configuration as nodes. */
static uint32_t members_nodes(const struct scenario *scenario, const struct configuration *configuration,
                              uint32_t slots)
{
    uint32_t nodes = 0;
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++)
        if ((slots >> slot & 1) != 0)
            nodes |= 1u << world_slot_of(scenario->world, configuration->members[slot].id);
    return nodes;
}

static void members_text(uint32_t nodes, char text[32])
{
    size_t used = 0;
    snprintf(text, 32, "nobody");
    for (; nodes != 0; nodes &= nodes - 1)
        used += (size_t)snprintf(text + used, 32 - used, "%s%d", used > 0 ? "," : "", __builtin_ctz(nodes) + 1);
}

static uint32_t members_role(const struct configuration *configuration, uint8_t role)
{
    uint32_t slots = 0;
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++)
        if ((configuration->members[slot].roles & role) != 0)
            slots |= 1u << slot;
    return slots;
}

bool members_expect(struct scenario *scenario, const struct node *node, const char *word, bool *known)
{
    static const struct {
        const char *word;
        uint8_t role;
    } roles[] = { { "voters", MEMBER_VOTER }, { "old-voters", MEMBER_VOTER_OLD }, { "learners", MEMBER_LEARNER } };
    *known = false;
    for (uint32_t i = 0; i < ARRAY_COUNT(roles); i++) {
        if (strcmp(word, roles[i].word) != 0)
            continue;
        const struct configuration *now = replica_configuration(node->replica);
        const uint32_t is = members_nodes(scenario, now, members_role(now, roles[i].role));
        uint32_t wanted = 0;
        char is_text[32], wanted_text[32];
        *known = true;
        if (!words_take(scenario, "nobody") && !words_nodes(scenario, &wanted))
            return false;
        members_text(is, is_text);
        members_text(wanted, wanted_text);
        return is == wanted
               || scenario_wrong(scenario, "node %u: its %s are %s, not %s", node->slot + 1, word, is_text,
                                 wanted_text);
    }
    return true;
}

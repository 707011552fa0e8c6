/* Configurations as values; see configuration.h. */
#include "configuration.h"

static uint32_t slots_with(const struct configuration *configuration, uint8_t roles)
{
    uint32_t slots = 0;
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++)
        if ((configuration->members[slot].roles & roles) != 0)
            slots |= 1u << slot;
    return slots;
}

uint32_t configuration_members(const struct configuration *configuration) { return slots_with(configuration, 0xff); }

uint32_t configuration_voters(const struct configuration *configuration)
{
    return slots_with(configuration, MEMBER_VOTER);
}

uint32_t configuration_voters_old(const struct configuration *configuration)
{
    return slots_with(configuration, MEMBER_VOTER_OLD);
}

uint32_t configuration_slot(const struct configuration *configuration, uint64_t node_id)
{
    for (uint32_t slot = 0; node_id != 0 && slot < MEMBERS_MAX; slot++)
        if (configuration->members[slot].id == node_id)
            return slot;
    return MEMBERS_MAX;
}

bool configuration_is_voter(const struct configuration *configuration, uint64_t node_id)
{
    const uint32_t slot = configuration_slot(configuration, node_id);
    return slot < MEMBERS_MAX && (configuration->members[slot].roles & (MEMBER_VOTER | MEMBER_VOTER_OLD)) != 0;
}

/* The combinations of configuration.h. */
static bool roles_valid(uint8_t roles)
{
    return roles == MEMBER_VOTER || roles == MEMBER_LEARNER || roles == MEMBER_VOTER_OLD
           || roles == (MEMBER_VOTER_OLD | MEMBER_VOTER) || roles == (MEMBER_VOTER_OLD | MEMBER_LEARNER_NEXT);
}

/* Text, then nothing but zeros; at least one of them. */
static bool address_valid(const char *address)
{
    uint32_t bytes = 0;
    while (bytes < MEMBER_ADDRESS_BYTES && address[bytes] != '\0')
        bytes++;
    return bytes < MEMBER_ADDRESS_BYTES && bytes_are_zero(address + bytes, MEMBER_ADDRESS_BYTES - bytes);
}

static const char *member_problem(const struct configuration *configuration, uint32_t slot)
{
    const struct member *member = &configuration->members[slot];
    if (member->id == UINT64_MAX)
        return "node ids 0 and 2^64-1 are reserved";
    if (!roles_valid(member->roles) || !bytes_are_zero(member->zero, sizeof member->zero))
        return "a member has a role, and only one";
    if (!address_valid(member->address))
        return "an address has at most 63 bytes, and zeros behind";
    for (uint32_t other = 0; other < slot; other++)
        if (configuration->members[other].id == member->id)
            return "two members have the same id";
    return NULL;
}

const char *configuration_problem(const struct configuration *configuration)
{
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++) {
        const struct member *member = &configuration->members[slot];
        const char *problem = NULL;
        if (member->id != 0)
            problem = member_problem(configuration, slot);
        else if (!bytes_are_zero(member, sizeof *member))
            problem = "a free slot holds something";
        if (problem != NULL)
            return problem;
    }
    const uint32_t voters = bits_count(configuration_voters(configuration));
    if (voters > VOTERS_MAX || bits_count(configuration_voters_old(configuration)) > VOTERS_MAX)
        return "a cluster has at most 7 voters";
    if (voters == 0 && configuration_members(configuration) != 0)
        return "a cluster has at least one voter";
    return NULL;
}

bool configuration_equal(const struct configuration *a, const struct configuration *b)
{
    return memcmp(a->members, b->members, sizeof a->members) == 0;
}

/* Configurations as values; see configuration.h. */
#include "configuration.h"

static uint32_t slots_with(const struct configuration *configuration, uint8_t roles)
{
    uint32_t slots = 0;
    for (uint32_t slot = MEMBERS_MAX; slot > 0; slot--)
        slots = slots << 1 | ((configuration->members[slot - 1].roles & roles) != 0);
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

/* Those behind are free. */
static uint32_t slots_used(const struct configuration *configuration)
{
    uint32_t slots = MEMBERS_MAX;
    while (slots > 0 && configuration->members[slots - 1].id == 0)
        slots--;
    return slots;
}

const char *configuration_problem(const struct configuration *configuration)
{
    const uint32_t used = slots_used(configuration);
    for (uint32_t slot = 0; slot < used; slot++) {
        const struct member *member = &configuration->members[slot];
        const char *problem = NULL;
        if (member->id != 0)
            problem = member_problem(configuration, slot);
        else if (!bytes_are_zero(member, sizeof *member))
            problem = "a free slot holds something";
        if (problem != NULL)
            return problem;
    }
    if (used < MEMBERS_MAX
        && !bytes_are_zero(&configuration->members[used], (MEMBERS_MAX - used) * sizeof(struct member)))
        return "a free slot holds something";
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

uint32_t configuration_bytes(const struct configuration *configuration)
{
    return slots_used(configuration) * (uint32_t)sizeof(struct member);
}

void configuration_encode(const struct configuration *configuration, uint8_t *to)
{
    memcpy(to, configuration->members, configuration_bytes(configuration));
}

bool configuration_decode(struct slice body, struct configuration *configuration)
{
    memset(configuration, 0, sizeof *configuration);
    if (body.count == 0 || body.count > sizeof configuration->members)
        return false;
    memcpy(configuration->members, body.bytes, body.count);
    return configuration_problem(configuration) == NULL && configuration_bytes(configuration) == body.count;
}

/* ---- changes (Raft 4.3) ----
 *
 * While the operations are applied, `roles` of a member is what it becomes: VOTER, LEARNER, or 0 when it is removed. */

static bool address_taken(const struct configuration *next, const char *address)
{
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++)
        if (next->members[slot].id != 0 && memcmp(next->members[slot].address, address, MEMBER_ADDRESS_BYTES) == 0)
            return true;
    return false;
}

static enum configuration_verdict member_add(struct configuration *next, const struct member_operation *operation,
                                             uint32_t members_max)
{
    if (configuration_slot(next, operation->id) < MEMBERS_MAX || address_taken(next, operation->address))
        return CONFIGURATION_DUPLICATE;
    uint32_t slot = 0;
    while (slot < members_max && next->members[slot].id != 0)
        slot++;
    if (slot == members_max)
        return CONFIGURATION_TOO_MANY;
    struct member *member = &next->members[slot];
    member->id = operation->id;
    member->roles = operation->kind == MEMBER_ADD_VOTER ? MEMBER_VOTER : MEMBER_LEARNER;
    member->priority = operation->priority;
    memcpy(member->address, operation->address, sizeof member->address);
    return CONFIGURATION_OK;
}

static enum configuration_verdict member_move(struct configuration *next, struct member *member, const char *address)
{
    if (memcmp(member->address, address, MEMBER_ADDRESS_BYTES) != 0 && address_taken(next, address))
        return CONFIGURATION_DUPLICATE;
    memcpy(member->address, address, sizeof member->address);
    return CONFIGURATION_OK;
}

static enum configuration_verdict operation_apply(struct configuration *next, const struct member_operation *operation,
                                                  uint32_t members_max)
{
    const enum member_operation_kind kind = (enum member_operation_kind)operation->kind;
    if (kind == MEMBER_ADD_LEARNER || kind == MEMBER_ADD_VOTER)
        return member_add(next, operation, members_max);
    const uint32_t slot = configuration_slot(next, operation->id);
    if (slot == MEMBERS_MAX || next->members[slot].roles == 0)
        return CONFIGURATION_UNKNOWN_MEMBER;
    struct member *member = &next->members[slot];
    switch (kind) {
    case MEMBER_PROMOTE:
    case MEMBER_DEMOTE:
        if (member->roles != (kind == MEMBER_PROMOTE ? MEMBER_LEARNER : MEMBER_VOTER))
            return CONFIGURATION_WRONG_ROLE;
        member->roles = kind == MEMBER_PROMOTE ? MEMBER_VOTER : MEMBER_LEARNER;
        return CONFIGURATION_OK;
    case MEMBER_REMOVE: member->roles = 0; return CONFIGURATION_OK;
    case MEMBER_SET_ADDRESS: return member_move(next, member, operation->address);
    case MEMBER_SET_PRIORITY: member->priority = operation->priority; return CONFIGURATION_OK;
    case MEMBER_ADD_LEARNER:
    case MEMBER_ADD_VOTER: break;
    }
    UNREACHABLE();
}

/* From what each member becomes, and what it is now, to the roles of the entry to be appended. */
static void roles_join(const struct configuration *now, struct configuration *next, bool joint)
{
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++) {
        struct member *member = &next->members[slot];
        const bool was_voter = now->members[slot].roles == MEMBER_VOTER && now->members[slot].id == member->id;
        if (joint && was_voter && member->roles == MEMBER_LEARNER)
            member->roles = MEMBER_LEARNER_NEXT;
        if (joint && was_voter)
            member->roles |= MEMBER_VOTER_OLD;
        if (member->roles == 0)
            *member = (struct member){ .id = 0 };
    }
}

enum configuration_verdict configuration_change(const struct configuration *now,
                                                const struct member_operation *operations, uint32_t count,
                                                uint32_t members_max, struct configuration *next)
{
    ASSERT(!configuration_is_joint(now));
    *next = *now;
    next->id = (struct log_id){ .term = 0 };
    for (uint32_t i = 0; i < count; i++) {
        const enum configuration_verdict verdict = operation_apply(next, &operations[i], members_max);
        if (verdict != CONFIGURATION_OK)
            return verdict;
    }
    const uint32_t voters = configuration_voters(next);
    if (voters == 0)
        return CONFIGURATION_NO_VOTER;
    if (bits_count(voters) > VOTERS_MAX)
        return CONFIGURATION_TOO_MANY;
    roles_join(now, next, voters != configuration_voters(now));
    ASSERT(configuration_problem(next) == NULL);
    return CONFIGURATION_OK;
}

void configuration_leave(const struct configuration *joint, struct configuration *next)
{
    ASSERT(configuration_is_joint(joint));
    *next = *joint;
    next->id = (struct log_id){ .term = 0 };
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++) {
        struct member *member = &next->members[slot];
        if (member->roles == MEMBER_VOTER_OLD)
            *member = (struct member){ .id = 0 };
        else if ((member->roles & MEMBER_LEARNER_NEXT) != 0)
            member->roles = MEMBER_LEARNER;
        else
            member->roles &= (uint8_t) ~(uint32_t)MEMBER_VOTER_OLD;
    }
    ASSERT(configuration_problem(next) == NULL && !configuration_is_joint(next));
}

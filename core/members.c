/* The configuration in use; see members.h. */
#include "members.h"

#include "state.h"

const struct configuration *members_now(const struct replica *replica) { return &replica->stored.members.latest; }

uint32_t members_slot(const struct replica *replica, uint64_t node_id)
{
    return configuration_slot(members_now(replica), node_id);
}

uint64_t members_id(const struct replica *replica, uint32_t slot)
{
    ASSERT(slot < MEMBERS_MAX);
    return members_now(replica)->members[slot].id;
}

static uint32_t self_slots(const struct replica *replica)
{
    return replica->self < MEMBERS_MAX ? 1u << replica->self : 0;
}

uint32_t members_others(const struct replica *replica)
{
    return configuration_members(members_now(replica)) & ~self_slots(replica);
}

uint32_t members_other_voters(const struct replica *replica)
{
    const struct configuration *now = members_now(replica);
    return (configuration_voters(now) | configuration_voters_old(now)) & ~self_slots(replica);
}

bool members_alone(const struct replica *replica)
{
    return replica->self < MEMBERS_MAX && members_others(replica) == 0;
}

bool members_may_campaign(const struct replica *replica)
{
    return configuration_is_voter(members_now(replica), replica->config.node_id);
}

void members_changed(struct replica *replica, const struct configuration *before)
{
    replica->self = members_slot(replica, replica->config.node_id);
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++) {
        if (before->members[slot].id == members_id(replica, slot))
            continue;
        const uint32_t kept = ~(1u << slot);
        replica->votes &= kept;
        replica->pre_votes &= kept;
        replica->campaign_due &= kept;
        replica->repair.dont_have &= kept;
        replica->repair.faulty &= kept;
        replica->peers[slot] = (struct peer){ .match = 0 };
    }
}

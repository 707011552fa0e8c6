/* Who belongs to a cluster, as one entry of the log says it (Raft 4.1, 4.3). Values and what follows from them; which
 * configuration a replica uses, and how it changes, is members.h; who is a majority of it, quorum.h.
 *
 * Every member has a slot, and keeps it as long as it is a member; a new one takes the lowest free slot. Sets of
 * members are masks of slots. The roles of a member:
 *
 *   VOTER                    votes, and counts for commit
 *   LEARNER                  receives the log, and counts for nothing (Raft 4.2.1)
 *
 * and in the joint state (Raft 4.3), in which every majority is one of the old voters and one of the new ones:
 *
 *   VOTER_OLD | VOTER        a voter before and behind
 *   VOTER                    becomes one
 *   VOTER_OLD                leaves the cluster when the joint state is left
 *   VOTER_OLD | LEARNER_NEXT becomes a learner then
 *   LEARNER                  is one before and behind
 *
 * A configuration without members is that of a node that has not been told yet. */
#ifndef WW_CONFIGURATION_H
#define WW_CONFIGURATION_H

#include "base.h"
#include "limits.h"

enum member_role {
    MEMBER_VOTER = 1, /* of the only half, or of the new one */
    MEMBER_VOTER_OLD = 2,
    MEMBER_LEARNER = 4,
    MEMBER_LEARNER_NEXT = 8,
};

struct member {
    uint64_t id;      /* any value but 0 and UINT64_MAX; 0: a free slot, and all is zero */
    uint8_t roles;    /* of enum member_role */
    uint8_t priority; /* a leader hands over to a voter with a higher one */
    uint8_t zero[6];
    char address[MEMBER_ADDRESS_BYTES]; /* "host:port", NUL-padded; opaque to the core */
};
STATIC_ASSERT(sizeof(struct member) == 80, "no padding");

/* Who speaks for a member: the number of its data directory (replica.h). */
struct directory {
    uint64_t node_id; /* 0: free, and all is zero */
    uint64_t instance;
};
enum { DIRECTORIES_MAX = MEMBERS_MAX - 1 }; /* of the others */

struct configuration {
    struct log_id id; /* of the entry that made it; 0.0: of the format */
    struct member members[MEMBERS_MAX];
};
STATIC_ASSERT(sizeof(struct configuration) == 16 + 16 * 80, "no padding");

/* Sets of slots. */
uint32_t configuration_members(const struct configuration *configuration);
/* The only half, or the new one. */
uint32_t configuration_voters(const struct configuration *configuration);
/* The old half; none: it is not joint. */
uint32_t configuration_voters_old(const struct configuration *configuration);
static inline bool configuration_is_joint(const struct configuration *configuration)
{
    return configuration_voters_old(configuration) != 0;
}

/* Slot of a node id; MEMBERS_MAX when it is no member. */
uint32_t configuration_slot(const struct configuration *configuration, uint64_t node_id);
/* Does this node vote, in either half? */
bool configuration_is_voter(const struct configuration *configuration, uint64_t node_id);

/* NULL when it is one that may be in use, or empty; otherwise the problem as a sentence. */
const char *configuration_problem(const struct configuration *configuration);

/* Do two configurations have the same members, with the same roles, priorities and addresses? */
bool configuration_equal(const struct configuration *a, const struct configuration *b);

/* The body of an ENTRY_CONFIG: its members up to the last slot in use. */
uint32_t configuration_bytes(const struct configuration *configuration);
void configuration_encode(const struct configuration *configuration, uint8_t *to);
/* Total over any bytes: false when it is none that may be in use. Leaves the id 0.0. */
bool configuration_decode(struct slice body, struct configuration *configuration);

/* What is asked of a change; several make one change (Raft 4.3: any change in one step). */
enum member_operation_kind {
    MEMBER_ADD_LEARNER = 1, /* id, address, priority */
    MEMBER_ADD_VOTER,       /* likewise */
    MEMBER_PROMOTE,         /* id: of a learner that has caught up */
    MEMBER_DEMOTE,          /* id: of a voter */
    MEMBER_REMOVE,          /* id */
    MEMBER_SET_ADDRESS,     /* id, address */
    MEMBER_SET_PRIORITY,    /* id, priority */
};

struct member_operation {
    uint64_t id;
    uint8_t kind; /* enum member_operation_kind */
    uint8_t priority;
    uint8_t zero[6];
    char address[MEMBER_ADDRESS_BYTES];
};
STATIC_ASSERT(sizeof(struct member_operation) == 80, "no padding");

enum configuration_verdict {
    CONFIGURATION_OK,
    CONFIGURATION_UNKNOWN_MEMBER,
    CONFIGURATION_DUPLICATE, /* an id or an address that a member has already */
    CONFIGURATION_TOO_MANY,  /* members, or voters */
    CONFIGURATION_NO_VOTER,  /* would be left */
    CONFIGURATION_WRONG_ROLE /* promote what is no learner, demote what is no voter */
};

/* Raft 4.3: what comes next when `operations` are asked of `now`, which is not joint. Joint if the voters change; else
 * it is final at once. `members_max`: slots that may be used. Its id is 0.0. */
enum configuration_verdict configuration_change(const struct configuration *now,
                                                const struct member_operation *operations, uint32_t count,
                                                uint32_t members_max, struct configuration *next);
/* The one that leaves the joint state. Its id is 0.0. */
void configuration_leave(const struct configuration *joint, struct configuration *next);

#endif

/* Which configuration a replica uses (Raft 4.1, 4.3).
 *
 * It is the latest one in its log, committed or not; stored.members.latest, in memory with the entry, on the disk with
 * the superblock. Per slot of it a leader keeps a struct peer, so what is kept per slot begins anew for a slot that
 * changes hands. */
#ifndef WW_MEMBERS_H
#define WW_MEMBERS_H

#include "base.h"
#include "configuration.h"

struct replica;

/* The configuration in use. */
const struct configuration *members_now(const struct replica *replica);

/* Slot of a node id in it; MEMBERS_MAX when it is no member. */
uint32_t members_slot(const struct replica *replica, uint64_t node_id);
/* The node id in a slot of it. */
uint64_t members_id(const struct replica *replica, uint32_t slot);
/* All members but this node, and all voters but this node: masks of slots. */
uint32_t members_others(const struct replica *replica);
uint32_t members_other_voters(const struct replica *replica);
/* Is there nobody else to get anything from? A node that has not been told who there is may still be found. */
bool members_alone(const struct replica *replica);
/* May this node campaign (Raft 4.2.2: who is no voter never does)? */
bool members_may_campaign(const struct replica *replica);

/* The configuration in use has changed: what is kept per slot begins anew where a slot changed hands. */
void members_changed(struct replica *replica, const struct configuration *before);

#endif

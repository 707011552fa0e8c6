/* Majorities: the only place that counts members (Raft 3.4, 3.6.2, 4.3).
 *
 * A quorum of a configuration is a majority of its voters; of a joint one, a majority of the old voters and a majority
 * of the new ones. So any two quorums that can act at the same time have a voter in common: two of one configuration,
 * and one of a joint configuration and one of either of its halves. Learners are in none.
 *
 * Who uses it: elections and PreVote, commit, CheckQuorum, read rounds, the repair of a leader's log, divergence. */
#ifndef WW_QUORUM_H
#define WW_QUORUM_H

#include "configuration.h"

/* Do these slots contain a quorum? Of a configuration without voters: never. */
bool quorum_has(const struct configuration *configuration, uint32_t slots);

/* The highest value that a quorum has reached; `values` has MEMBERS_MAX of them, one per slot. 0 without voters. */
uint64_t quorum_reached(const struct configuration *configuration, const uint64_t *values);

#endif

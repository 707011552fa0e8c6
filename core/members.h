/* Which configuration a replica uses, and how it changes (Raft 4.1, 4.3).
 *
 * A replica uses the latest configuration in its log, committed or not, from the moment it is appended, and goes back
 * to the one before when that entry is truncated (4.1). Both are in stored.members: in memory with the entry, on the
 * disk with the superblock, and the entry is promised to nobody before that (members_promised_index()). So recovery
 * knows who may vote even when the entry is damaged.
 *
 *   FINAL --REQUEST_MEMBERS: the voters stay--> FINAL
 *   FINAL --REQUEST_MEMBERS: the voters change--> JOINT --committed and applied: its leader of that moment--> FINAL
 *
 * A leader appends an ENTRY_CONFIG only when the latest one in its log is committed, and an entry of its own term (the
 * bug of 2015: "bug in single-server membership changes", raft-dev). So at most one configuration of any log is not
 * committed, and `previous` always is.
 *
 * Who is no member of the configuration in use, nor a voter of the committed one before it, never campaigns. Who leaves
 * does until that is committed, without counting itself: it may be the only one with the entry that says so (4.2.2,
 * Figure 4.6). So does a learner, when several elections have brought no leader, for the same reason: one voter's log
 * may be the longer one and know it as a voter, which no leader has committed, and the leader that knew it as a learner
 * may have sent it what is newer and gone. Then it may be the only one that a quorum would elect.
 *
 * Every node answers whoever asks, grants votes, and takes what a leader sends (4.2.2): its own configuration may be
 * older than the sender's. A node that joins begins with an empty configuration. Who was removed is told when it asks
 * for a vote, by whoever has a state to serve with, and stops. A learner, and a voter that abstains, ask too when they
 * have heard no leader for an election timeout: for a pre-vote that they make no use of.
 *
 * A leader that is no voter of the latest configuration leads until that is committed, and an entry of its own term. It
 * does not count itself, hands over (transfer.h), and steps down when nobody takes over (4.2.2). It begins no other
 * change.
 *
 * Applied configurations lie in pages of the replicated state. A node whose log began anew behind a checkpoint that it
 * installed, or gave up for it damaged entries that may have been configurations (STORED_STRANGER), does not campaign
 * before it has read them there.
 *
 * Invariants:
 *   latest.id is an entry of the log, or not above its base
 *   previous is committed, and previous.id.index <= latest.id.index
 *   the configuration in use may be newer than the log only where it is committed: then this node cannot be elected */
#ifndef WW_MEMBERS_H
#define WW_MEMBERS_H

#include "base.h"
#include "configuration.h"
#include "entry.h"
#include "message.h"
#include "replica.h"
#include "request.h"

struct replica;

/* The configuration in use; and the latest one known to be committed. */
const struct configuration *members_now(const struct replica *replica);
const struct configuration *members_committed(const struct replica *replica);

/* Slot of a node id in it; MEMBERS_MAX when it is no member. */
uint32_t members_slot(const struct replica *replica, uint64_t node_id);
/* The node id in a slot of it. */
uint64_t members_id(const struct replica *replica, uint32_t slot);
/* All members but this node, and all voters but this node: masks of slots. */
uint32_t members_others(const struct replica *replica);
uint32_t members_other_voters(const struct replica *replica);
/* Is there nobody else to get anything from? A node that has not been told who there is may still be found. */
bool members_alone(const struct replica *replica);
/* Is there no other member, and was there none in the configuration before the one in use, either? Then only this node
 * has led since that was appended: who is no voter of the configuration in use appends no other one. */
bool members_were_alone(const struct replica *replica);
/* Alone, and nobody else can lead any more? Who appended the configuration in use, and leaves with it, leads until it
 * knows that to be committed (Raft 4.2.2), and has all that is. */
bool members_alone_for_good(const struct replica *replica);
/* Does it have a vote, in the configuration in use or in the committed one before that? */
bool members_is_voter(const struct replica *replica);
/* May this node campaign (Raft 4.2.2)? */
bool members_may_campaign(const struct replica *replica);
/* May it ask the others whether it is a member still? Who has not heard yet that it is one must not. */
bool members_may_ask(const struct replica *replica);
/* Leader: has the member in this slot answered within an election timeout? This node itself always has. */
bool members_heard(const struct replica *replica, uint32_t slot);

/* Leader: does it lack more than limits.promote_lag_entries_max entries, or more bytes of the log than
 * wal_retain_blocks and a full window? */
bool members_is_behind(const struct replica *replica, uint32_t slot);
/* Leader: could this other member take over at once? It has answered, is not behind, does not abstain, and has a state
 * to serve with: as far as it has said, it has none when it has no checkpoint although there is one. */
bool members_is_well(const struct replica *replica, uint32_t slot);

/* ---- the configuration in use changes ---- */

/* May this entry take the place of the damaged one? Configurations come in the order of the log, so not always. */
bool members_may_repair(const struct replica *replica, const struct entry *entry);
/* An ENTRY_CONFIG was appended to the log, by this leader or for another one; or came back to it. */
void members_appended(struct replica *replica, struct output *output, const struct entry *entry);
/* The log ends with index now. */
void members_truncated(struct replica *replica, struct output *output, uint64_t index);
/* What was adopted from the superblock is used from now on. */
void members_adopted(struct replica *replica);
/* The log has been recovered. May cut it before a configuration that is lost, and was never promised. */
void members_recovered(struct replica *replica, struct output *output);
/* A checkpoint is in memory: who the members are, if that was not known. */
void members_loaded(struct replica *replica, struct output *output);

/* Is there a damaged entry that may be a configuration, for all that recovery knows? */
bool members_may_be_lost(const struct replica *replica);
/* Is this one of the two that the superblock held? For recovery. */
bool members_know(const struct replica *replica, struct log_id id);
/* Entries above are promised to nobody yet; UINT64_MAX: no limit. */
uint64_t members_promised_index(const struct replica *replica);

/* ---- changes ---- */

/* REQUEST_MEMBERS, to a leader. */
void members_request(struct replica *replica, struct output *output, uint64_t client, const struct request *request);
/* Applies an ENTRY_CONFIG: into the replicated state, and to the client that waits for it. */
void members_applied(struct replica *replica, struct output *output, const struct entry *entry);
/* Leaves the joint state, and the leadership, when it is time. Called once per step. */
void members_flush(struct replica *replica, struct output *output);
/* A lost leadership: the client that waits learns that the outcome is unknown. Or an install went past the end of the
 * change: it learns that it is done. Called before anything is applied. */
void members_end_change(struct replica *replica, struct output *output);
/* The sender of a vote request may not know that it is no member any more (Raft 4.2.3). */
void members_tell_removed(struct replica *replica, struct output *output, const struct message *message);
/* Is what such a peer says, whose last committed entry is this one, true? */
bool members_removed(const struct replica *replica, struct log_id commit);

/* Fills in a struct member_status for each member; returns how many. */
uint32_t members_status(const struct replica *replica, uint8_t *to);

#endif

/* The consensus part of the core: which file holds which section of the dissertation (Ongaro 2014).
 *
 *   election.c   3.4 leader election, 3.6.1 the vote rule, 3.8 promises wait for the disk, 9.6 PreVote, 6.2 CheckQuorum
 *   append.c     3.5 the follower's side of replication: consistency check, conflict, acknowledgement
 *   replicate.c  3.5, 10.2.1 the leader's side: probing, pipelining, back-off, and 3.6.2 the commit rule
 *   transfer.c   3.10 handing over the leadership
 *   repair.c     CTRL 3.4.3 a leader that knows some of its entries by name only
 *   diverge.c    replicas whose states differ find out
 *   read.c       6.4 linearizable reads by ReadIndex, 6.4.1 and by leases; read_index.c at followers and learners
 *   apply.c      3.6.3 the state machine, 6.3 exactly-once
 *   members.c    4.1 the latest configuration in the log is in use; configuration.c what one says, quorum.c 4.3 who is
 * a majority of it members_change.c  4.2, 4.3 what a leader refuses, appends, and when it goes client.c     6.2, 6.3
 * admission, routing, replies
 *
 * Roles and what moves between them:
 *
 *   STARTING --recovered--> FOLLOWER --timeout--> PRE_CANDIDATE --majority--> CANDIDATE --majority--> LEADER
 *   any --higher term, or a leader of this term--> FOLLOWER;  FOLLOWER --FRAME_TIMEOUT_NOW--> CANDIDATE
 *   LEADER --no majority heard, or its disk takes longer than an election timeout--> FOLLOWER
 *
 * Invariants (I1-I7 of the architecture):
 *   no frame leaves with a term above superblock.durable.term
 *   a vote is sent only when superblock.durable holds it; a candidate counts itself only then
 *   a success is sent only for min(verified, wal_promised_index())
 *   commit <= last; applied <= commit; entries at or below commit are never truncated */
#ifndef WW_RAFT_H
#define WW_RAFT_H

#include "output.h"
#include "state.h"

/* election.c */
void election_become_follower(struct replica *replica, struct output *output, uint64_t term, uint64_t leader);
void election_reset_timer(struct replica *replica);
/* The same at the start of a life. */
void election_first_timer(struct replica *replica);
void election_tick(struct replica *replica, struct output *output);
/* transfer: the leader wants it (Raft 3.10). */
void election_campaign(struct replica *replica, struct output *output, bool transfer);
void election_vote_request(struct replica *replica, struct output *output, const struct message *message);
void election_vote_response(struct replica *replica, struct output *output, const struct message *message);
/* Sends what the disk allows now: vote requests, and the vote that is owed. Counts the own vote once durable. */
void election_flush(struct replica *replica, struct output *output);
/* Does this node not know what it promised? */
bool election_abstains(const struct replica *replica);
/* May frames of the current term leave? */
bool election_term_durable(const struct replica *replica);

/* append.c */
void append_request(struct replica *replica, struct output *output, const struct message *message);
void append_flush(struct replica *replica, struct output *output);
/* Ends the abstention when this disk has all that the leader had when it was first heard. Also called once per step,
 * before the superblock goes: whoever sent the last of it may be gone before it sends anything else. */
void append_abstain_no_more(struct replica *replica, struct output *output);
/* Follower: the leader of this term has committed up to `commit`, and up to `equal` this log is known to be its. */
void append_commit(struct replica *replica, struct output *output, uint64_t commit, uint64_t equal);

/* replicate.c */
void replicate_become_leader(struct replica *replica, struct output *output);
/* Leader: nothing is known of the member in this slot. */
void replicate_begin_peer(struct replica *replica, uint32_t slot);
void replicate_response(struct replica *replica, struct output *output, const struct message *message);
/* Leader: the peer has another data directory, and has confirmed nothing. */
void replicate_forget(struct replica *replica, uint32_t slot);
void replicate_tick(struct replica *replica, struct output *output);
/* For how long what has been under way on the own disk for longest is, of all that a leader waits for; 0: nothing is.
 */
uint64_t replicate_stalled_ns(const struct replica *replica);
/* Leader: when it has to send something, whatever happens. */
uint64_t replicate_deadline(const struct replica *replica);
void replicate_flush(struct replica *replica, struct output *output);
/* The leader's own durability, or a follower's, may have moved the commit index. */
void replicate_advance_commit(struct replica *replica, struct output *output);
/* Appends an ENTRY_CHECKPOINT when it is time. */
void replicate_checkpoint(struct replica *replica, struct output *output);

/* repair.c */
void repair_flush(struct replica *replica, struct output *output);
void repair_request(struct replica *replica, struct output *output, const struct message *message);
void repair_response(struct replica *replica, struct output *output, const struct message *message);

/* diverge.c */
struct checkpoint_mark diverge_mark(const struct replica *replica);
struct checkpoint_mark diverge_agreed(const struct replica *replica);
/* Leader: what a peer has. May end the leadership, or stop the node. */
void diverge_response(struct replica *replica, struct output *output, uint32_t slot, struct checkpoint_mark mark);
/* Follower: what a majority has. */
void diverge_request(struct replica *replica, struct output *output, struct checkpoint_mark agreed);
/* May the state be the wrong one, for all that is known? Then nobody is served from it. */
bool diverge_in_doubt(const struct replica *replica);
/* Called once per step. */
void diverge_flush(struct replica *replica, struct output *output);

/* apply.c */
void apply_committed(struct replica *replica, struct output *output);
/* Of the applied state; 0 while there is none in memory. */
uint64_t apply_digest(const struct replica *replica);

/* client.c */
void client_frame(struct replica *replica, struct output *output, const struct input *input);
void client_reply(struct replica *replica, struct output *output, uint64_t client, const struct reply *reply);
/* The reply that sends a client elsewhere; its value borrows from the configuration. */
struct reply client_redirect(const struct replica *replica, uint64_t request_id);
/* Answers a read from the applied state. The output has room for the largest frame. */
void client_read(struct replica *replica, struct output *output, uint64_t client, uint64_t request_id, struct slice key,
                 uint8_t flags);
/* The entry at id was applied: answers the client that waits for it. */
void client_applied(struct replica *replica, struct output *output, struct log_id id, const struct reply *outcome);
/* Proposals of a lost leadership, and those that an install went past: their clients learn that the outcome is unknown.
 * Called before anything is applied. False: the output is full, some wait. */
bool client_fail_pending(struct replica *replica, struct output *output);
/* Largest reply without a value of the store. */
enum { CLIENT_REPLY_SMALL_BYTES = 256 };

#endif

/* Reads without the log: what a client may conclude from each kind, and how a node comes to know that it may answer.
 *
 * What is answered is always the state behind one applied index, which is in the reply. The kinds differ in how old
 * that may be:
 *
 *   linearizable   REQUEST_GET, at the leader; with REQUEST_FLAG_LOCAL at any member. The state holds everything that
 *                  was committed when the call arrived (Raft 6.4). No clock is trusted, but with leases (below).
 *   bounded        REQUEST_GET with REQUEST_FLAG_LOCAL and a bound. The state holds everything that was committed when
 *                  the clock of the node that answers showed `bound` less than at the moment at which the reply leaves,
 *                  or when the call arrived. So a write that was acknowledged longer ago than the bound is seen. Only
 *                  one clock is trusted, and only to measure lengths: one that is slow by a hundredth makes the bound
 *                  a hundredth longer. Clocks of different nodes are never compared. Reads of one client may go back
 *                  when it changes the node, or mixes kinds.
 *   stale          REQUEST_GET_STALE. The state of one node, of any age. In one life of a node it never goes back.
 *
 * A reply that may be older than the call is marked: REPLY_FLAG_BOUNDED, REPLY_FLAG_STALE.
 *
 * Rounds (ReadIndex, Raft 6.4), at the leader. Reads wait in a queue. When no round is under way, all that wait get the
 * next round: its read index is the commit index at that moment, and its number travels in the next append requests.
 * A majority that echoes the number (in this term) has, after the reads arrived, still known this node as its leader.
 * The reads are answered when the state machine has applied the read index.
 *
 * Questions, at followers and learners (end of Raft 6.4). When no question is under way, all reads that wait get the
 * next one, FRAME_READ_INDEX_REQUEST to the leader. The leader lets it join its own next round, and answers with that
 * round's read index. The reads are answered here when that is applied. A question without an answer is sent again
 * after each heartbeat interval: the same one, so that whichever answer comes is of a round that began after it.
 *
 *   queue --question or round begins--> its reads are assigned --answer, or a majority--> index known --applied-->
 * reply
 *
 * Invariants:
 *   no round begins before an entry of the own term is committed: until then the commit index may lag (Raft 6.4 step 1)
 *   a read's round, or its question, begins after the read arrived, so nothing older ever counts for it
 *   rounds are numbered within one leadership, and an echo counts only in its term: (term, round) is unique
 *   a question's number is random: no other question, not of an earlier life either, takes its answer
 *   all reads in the queue arrived in one term and one role (reads_term, reads_leading); when that is over they are
 *   turned away, whatever was known of them
 *   what an answer says is committed moves the commit index only as far as the log is known to be the leader's (it
 *   says nothing of the entries here; scylladb#10578)
 *
 * Freshness. The latest round or question that was confirmed leaves what it proved: `index` holds all that was
 * committed when the clock here showed asked_ns, before the first message of it left. That stays true for ever, in any
 * term and role; it only gets old. A bounded read that is not older is answered from it, even by a node without a
 * leader, and its reply carries asked_ns and the bound as its deadline: the process may sleep between the two.
 *
 * Leases (Raft 6.4.1), with config.lease_drift_ppm: append requests carry the leader's clock s, and responses say until
 * when by that clock the voter keeps to this leader. It has heard it at s or later, and for its own election timeout by
 * its own clock from then on neither campaigns nor votes: so that is s + its election timeout, less what the two clocks
 * may differ (read_promise_ns()). If a majority says so, nobody else is elected before the earliest of these moments:
 * until then what is committed here is all there is, and a read or a question is answered at once. The answer carries
 * that end as its deadline. So nodes may have other election timeouts, and some no leases: these promise nothing. What
 * operators must see to is that lease_drift_ppm is true on every node, and that no voter is started again with a
 * shorter election timeout, or without leases, before the promise of its earlier life is over. There is no lease in a
 * term in which a voter was told to campaign: its requests override what the voters promised (transfer.h) before an
 * entry of the own term is committed, as for a round and voters keep the promise over a restart by waiting an election
 * timeout (grace_end_ns), over a higher term that they hear of by looking at the time alone
 * (election_leader_is_alive()). */
#ifndef WW_READ_H
#define WW_READ_H

#include "base.h"
#include "message.h"
#include "output.h"
#include "request.h"

struct replica;

/* A read that waits, followed by its key in the area. */
struct read {
    uint64_t client;
    uint64_t request_id;
    uint64_t round;    /* or the number of the question; 0: not yet part of one */
    uint64_t index;    /* the state machine must have applied it; 0: not known yet */
    uint64_t bound_ns; /* 0: linearizable */
    uint32_t key_bytes;
    uint32_t local; /* 1: the client wants this node's answer, leader or not */
};

/* What a confirmed round or question has proved. */
struct read_fresh {
    uint64_t asked_ns; /* by this node's clock */
    uint64_t index;    /* all that was committed then; 0: nothing is known */
};

/* Follower: the latest question. */
struct read_question {
    uint64_t number;   /* random, not 0 */
    uint64_t asked_ns; /* when it was sent first */
    uint64_t sent_ns;  /* ... last */
    bool open;         /* not answered */
    uint8_t zero[7];
};

/* REQUEST_GET to a leader, or with REQUEST_FLAG_LOCAL to anybody whose store is ready. */
void read_request(struct replica *replica, struct output *output, uint64_t client, const struct request *request);
/* Leader: begins a round when reads or questions wait for one. Follower: asks. Once per step. */
void read_begin_round(struct replica *replica, struct output *output);
/* Leader: some peer has echoed a round. */
void read_acked(struct replica *replica);
/* Answers what may be answered. Once per step. */
void read_serve(struct replica *replica, struct output *output);
/* Turns away what a former leader, or who asked a former leader, may no longer answer. Once per step. */
void read_fail_all(struct replica *replica, struct output *output);
/* How long a voter keeps to a leader that it has heard, by any clock of the cluster; 0: it promises nothing. */
uint64_t read_promise_ns(const struct replica *replica);
/* Until then nobody else is elected, by this node's clock; in the past, or 0: there is no lease. */
uint64_t read_lease_end_ns(const struct replica *replica);

/* FRAME_READ_INDEX_REQUEST and its answer. */
void read_index_request(struct replica *replica, const struct message *message);
void read_index_response(struct replica *replica, struct output *output, const struct message *message);
/* When a question is due to be sent again; UINT64_MAX: never. */
uint64_t read_deadline(const struct replica *replica);

/* ---- between read.c and read_index.c ---- */

struct read *read_at(struct replica *replica, uint32_t position);
/* Are the reads in the queue of another term or role? */
bool read_era_is_over(const struct replica *replica);
/* Is an entry of this leader's own term committed? */
bool read_commit_is_current(const struct replica *replica);
bool read_is_leased(const struct replica *replica);
/* Answers the oldest read, and takes it out of the queue. */
void read_refuse_first(struct replica *replica, struct output *output, enum reply_status status);
/* Follower: sends the question that is due. */
void read_ask(struct replica *replica, struct output *output);
/* Leader: answers the questions of a confirmed round, or by the lease. */
void read_index_answer(struct replica *replica, struct output *output);

#endif

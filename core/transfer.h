/* Handing over the leadership on purpose (Raft 3.10).
 *
 * The leader:
 *   IDLE --REQUEST_TRANSFER--> WAITING    proposals are refused as busy, so that the target can catch up
 *   WAITING --the target has the whole log--> ASKED    FRAME_TIMEOUT_NOW is sent, and again with each heartbeat
 *   WAITING, ASKED --an election timeout has passed--> IDLE    it leads on; the client is told that it failed
 *   IDLE --REQUEST_TRANSFER to a voter that does not answer--> IDLE    refused at once
 *   WAITING, ASKED --another term--> OVER    it leads no more, and waits to hear who does
 *   OVER --a leader is known, or the same election timeout has passed--> IDLE    the client is told
 *
 * The target campaigns at once, without PreVote. Its requests for votes say `transfer`: who hears from a leader grants
 * them all the same, since it is that leader who wants it. That holds for one campaign only; another one, should the
 * first be lost, is like any other.
 *
 * A leader begins one by itself, for nobody who waits for an answer:
 *
 *   when the configuration in which it is no voter is committed (4.2.2), so that the others need not wait for a
 * time-out. It steps down when that fails, or nobody is well
 *   to a voter of a higher priority which was well (members_is_well()) at each heartbeat for PREFERRED_TIMEOUTS
 * election timeouts. A node begins such a one not more often than once in HAND_OVER_TIMEOUTS, and after each one in a
 * row to the same voter that failed twice as late as before, for as long as HAND_OVER_DOUBLINGS_MAX of them: proposals
 * wait meanwhile. No two of them in a cluster begin within PREFERRED_TIMEOUTS, since a new leader looks anew
 *
 * Invariants:
 *   WAITING and ASKED only while leading, OVER only while not
 *   the frame counts only in its term, from the leader of that term, at a voter: a late one deposes nobody else
 *   it may arrive at any later moment of the term, so `asked_term` stays when a transfer is given up: in that term this
 *   leader trusts no lease any more (read.c) */
#ifndef WW_TRANSFER_H
#define WW_TRANSFER_H

#include "message.h"
#include "output.h"
#include "request.h"

struct replica;

enum { PREFERRED_TIMEOUTS = 4, HAND_OVER_TIMEOUTS = 16, HAND_OVER_DOUBLINGS_MAX = 6 };

struct transfer {
    uint64_t target; /* node id; 0: IDLE */
    uint64_t term;   /* in which it was asked for */
    uint64_t client;
    uint64_t request_id;
    uint64_t deadline_ns;
    uint64_t asked_ns;   /* when the latest FRAME_TIMEOUT_NOW was sent; 0: not yet */
    uint64_t asked_term; /* of the latest one ever sent in this life */
    uint64_t left_term;  /* in which this leader, no voter any more, has begun one */
    uint64_t preferred;  /* leader: voter of a higher priority that is well; 0: none */
    uint64_t preferred_since_ns;
    uint64_t preferred_next_ns; /* not before may this node begin another one for a priority */
    uint64_t preferred_tried;   /* for a priority, the last time */
    uint32_t preferred_tries;   /* of it in a row, that did not succeed */
    bool by_itself;             /* no client waits */
    uint8_t zero[3];
};

/* Leader: a client wants somebody else to lead. Answers at once when that cannot be, or is so already. */
void transfer_request(struct replica *replica, struct output *output, uint64_t client, const struct request *request);
/* Leader, with each heartbeat: hands over to whom it should, when it is time. */
void transfer_tick(struct replica *replica, struct output *output);
/* Leader that is no voter any more: does it go on for a while, until another one takes over? */
bool transfer_leave(struct replica *replica, struct output *output);
/* Does a transfer keep this leader from appending? */
bool transfer_is_under_way(const struct replica *replica);
/* Asks the target when it is ready, gives up when it is time, tells the client. */
void transfer_flush(struct replica *replica, struct output *output);
/* When transfer_flush() has something to do although nothing happened; UINT64_MAX: never. */
uint64_t transfer_deadline(const struct replica *replica);
/* The target: campaign now. */
void transfer_timeout_now(struct replica *replica, struct output *output, const struct message *message);

#endif

/* Changes of members as an operator wants them: one call, and when it returns the change is committed, or refused with
 * its reason, or not known to have happened.
 *
 * Any number of operations are one change of the core, which is joint when the voters change (Raft 4.3). Only who is
 * new and is to vote is added before, as a learner, and waited for until it has caught up (Raft 4.2.1): two changes
 * then, and the first is not made unless the second one could be. An interrupted call may be repeated: it goes on where
 * it stopped.
 *
 * Every step is meant for the configuration that was looked at just before (request.h, `version`), so that an attempt
 * whose answer was lost cannot be executed a second time; whether it was executed the members themselves show. */
#ifndef WW_MEMBERSHIP_H
#define WW_MEMBERSHIP_H

#include "client.h"
#include "member_text.h"

struct membership_task {
    struct member_change change;
    bool voters; /* who is added is to vote */
    bool force;  /* even if the healthy voters are no majority behind it; who is new and is to vote does so at once. A
                    learner that has not caught up is not promoted even so (Raft 4.2.1) */
    uint64_t wait_ns; /* how long somebody new may stay silent */
};

/* What is being waited for: a sentence without an end, valid during the call. Called about ten times a second. */
typedef void membership_progress(const char *waits_for);

enum { MEMBERSHIP_ERROR_BYTES = 768 };

struct membership {
    struct client_options options; /* the timeout is that of a pause without progress */
    struct client *client;
    membership_progress *progress; /* NULL: silent */
    uint64_t deadline_ns;
    uint64_t wait_ns;
    uint64_t waits_since_ns; /* for learners, under the leader of waits_term; 0: not yet */
    uint64_t waits_term;
    uint64_t match_seen; /* of the learners that are waited for, together: more of it is progress */
    bool doubtful;       /* an attempt may have been executed, or may be yet */
    uint64_t index;      /* of the entry behind which `after` is in force; 0: nothing was changed */
    struct configuration before, after;
    enum client_outcome outcome;
    enum client_reason reason;
    char error[MEMBERSHIP_ERROR_BYTES];
};

/* The client stays the caller's, and serves nobody else meanwhile. */
void membership_init(struct membership *membership, const struct client_options *options, struct client *client,
                     membership_progress *progress);

/* The leader's view. False: `error`, `outcome` and `reason` say why not. */
bool membership_look(struct membership *membership, struct client_node *leader);

/* True: done, from `before` to `after`, and *leader is as it was found behind it, without members if nobody was found;
 * all that were added have been heard from, or wait_ns is over. False: `error`, `outcome` and `reason`; a first step
 * may have been done, see `index`. */
bool membership_run(struct membership *membership, const struct membership_task *task, struct client_node *leader);

/* What a view says of a member; NULL: it is none. */
const struct member_status *membership_find(const struct client_node *view, uint64_t id);

#endif

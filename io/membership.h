/* Changes of members as an operator wants them: one call, and when it returns the change is committed, or refused with
 * its reason, or not known to have happened.
 *
 * What one change of the core cannot do is done in steps: who is to vote is a learner first, and waits until it has
 * caught up (Raft 4.2.1); replacing a voter is one joint change then (Raft 4.3). An interrupted call may be repeated:
 * it goes on where it stopped.
 *
 * Every step is meant for the configuration that was looked at just before (request.h, `version`), so that an attempt
 * whose answer was lost cannot be executed a second time; whether it was executed the members themselves show. */
#ifndef WW_MEMBERSHIP_H
#define WW_MEMBERSHIP_H

#include "client.h"

enum membership_verb {
    MEMBERSHIP_ADD,
    MEMBERSHIP_PROMOTE,
    MEMBERSHIP_DEMOTE,
    MEMBERSHIP_REMOVE,
    MEMBERSHIP_REPLACE,
    MEMBERSHIP_MOVE,
    MEMBERSHIP_PRIORITY,
};

struct membership_task {
    enum membership_verb verb;
    uint64_t id;       /* REPLACE: of the new node */
    uint64_t replaced; /* REPLACE */
    uint8_t priority;  /* PRIORITY */
    bool voter;        /* ADD */
    bool force;        /* even if the healthy voters are no majority behind it; ADD: do not wait for it to catch up */
    char address[MEMBER_ADDRESS_BYTES]; /* ADD, REPLACE, MOVE; NUL-padded */
};

/* What is being waited for: a sentence without an end, valid during the call. */
typedef void membership_progress(const char *waits_for);

enum { MEMBERSHIP_ERROR_BYTES = 384 };

struct membership {
    struct client_options options; /* the timeout is that of a pause without progress */
    struct client *client;
    membership_progress *progress; /* NULL: silent */
    uint64_t deadline_ns;
    uint64_t match_seen; /* of the learner that is waited for: more of it is progress */
    bool doubtful;       /* an attempt may have been executed, or may be yet */
    enum client_outcome outcome;
    enum client_reason reason;
    char error[MEMBERSHIP_ERROR_BYTES];
};

/* The client stays the caller's, and serves nobody else meanwhile. */
void membership_init(struct membership *membership, const struct client_options *options, struct client *client,
                     membership_progress *progress);

/* The leader's view. False: `error`, `outcome` and `reason` say why not. */
bool membership_look(struct membership *membership, struct client_node *leader);

/* True: done, and *leader is as it was found behind it. False: `error`, `outcome` and `reason`. */
bool membership_run(struct membership *membership, const struct membership_task *task, struct client_node *leader);

#endif

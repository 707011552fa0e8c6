/* The client library: blocking calls with a deadline that find the leader, retry, and execute each write exactly once.
 *
 *     struct client_options options = {.endpoints = "127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003"};
 *     struct client *client;
 *     int error = client_open(&options, &client);
 *     struct client_result result = client_put(client, client_text("colour"), client_text("blue"));
 *     if (result.outcome != CLIENT_OK)
 *         fprintf(stderr, "%s\n", client_error_text(client));
 *     client_close(client);
 *
 * Every call ends in one of three outcomes:
 *   CLIENT_OK       it was executed
 *   CLIENT_FAILED   it surely changed nothing: refused, not sent, or its condition did not hold; `reason` says why.
 *                   (A transaction whose comparisons fail has executed its "else" branch, and nothing else.)
 *   CLIENT_UNKNOWN  a write was sent and its reply never came: it has taken effect, will yet, or never does
 *
 * Exactly once (Raft 6.3): the first write registers a session; each write has the next sequence number and keeps it
 * through all its retries, on whatever node. A session that a full table evicted is replaced: at once if no earlier
 * attempt of the write can have been executed, otherwise the outcome is unknown and the next write registers anew.
 *
 * No threads, no signals, no global state. A client serves one thread at a time; use one each. */
#ifndef WW_CLIENT_H
#define WW_CLIENT_H

#include "../core/request.h"

struct client;
struct client_txn;

/* Zero means the default in brackets. */
struct client_options {
    const char *endpoints; /* "host:port,..."; required; copied. A host that is not found counts as unreachable, and
                              is looked up again when it is tried */
    uint64_t cluster_id;   /* nodes of another cluster refuse; [any] */
    uint64_t timeout_ns;   /* of a whole call with all its retries [5 s]. Requests say what is left of it: a node
                              does not execute what it comes to only after that */
    uint64_t attempt_timeout_ns; /* of waiting for one node [1 s] */
    uint64_t backoff_ns_min;     /* first pause between rounds of attempts, doubled each time [2 ms] */
    uint64_t backoff_ns_max;     /* the longest; each pause is drawn from its upper half [250 ms, and
                                  * 32 ms while nodes answer that none of them leads]. A busy node that says when to
                                  * come again is not asked before that, nor by all clients at once */
    uint64_t seed;               /* of the jitter [from the system] */
};

enum client_outcome { CLIENT_OK, CLIENT_FAILED, CLIENT_UNKNOWN };

enum client_reason {
    CLIENT_DONE,             /* CLIENT_OK has no other */
    CLIENT_NOT_FOUND,        /* get, delete: no such key */
    CLIENT_CONDITION_FAILED, /* cas, put_if_absent: result.version is the current one; txn: "else" was executed */
    CLIENT_NO_SPACE,         /* the store is full */
    CLIENT_TOO_LARGE,        /* key, value or result over its limit */
    CLIENT_BAD_REQUEST,      /* an empty key, or a key that one branch of a transaction writes twice */
    CLIENT_WRONG_CLUSTER,    /* the node belongs to another cluster than options.cluster_id */
    CLIENT_NOT_A_VOTER,      /* transfer: it could not lead */
    CLIENT_REFUSED,          /* change_members, transfer: result.status says why */
    CLIENT_TRANSFER_FAILED,  /* transfer: the leader gave up after an election timeout, or another node took over */
    CLIENT_BUSY,             /* nodes answered "busy" until the deadline */
    CLIENT_LATE,             /* the node came to the request after the deadline, and did not execute it */
    CLIENT_NO_LEADER,        /* no node led until the deadline */
    CLIENT_UNREACHABLE,      /* no node could be connected to until the deadline */
    CLIENT_TIMED_OUT,        /* nodes were reached and did not answer until the deadline */
    CLIENT_SESSION_LOST,     /* unknown: the session was evicted before the fate of an attempt was learnt */
    CLIENT_NO_MEMORY,        /* of this process */
};

struct client_result {
    enum client_outcome outcome;
    enum client_reason reason;
    uint64_t
        version; /* of the key after the call, 0: absent; txn: the index of its entry. CLIENT_OK, CONDITION_FAILED */
    uint64_t leader;          /* transfer: who leads now */
    uint64_t applied;         /* index that executed it, or that was read */
    enum reply_status status; /* of the last reply; REPLY_OK also when there was none */
    bool doubtful;            /* an attempt before the last reply went unanswered: it may have been executed */
    bool stale;               /* get_stale: an answer of one node's state, perhaps old */
    bool bounded;             /* get_local: perhaps old, but not older than what was allowed */
    uint32_t attempts;        /* requests sent, registrations included */
    struct slice value;       /* get: borrowed; valid until the next call on this client */
};

/* 0 and *client, to be closed; or a negative errno: -EINVAL malformed endpoint, -EHOSTUNREACH none of the
 * hosts is known, -E2BIG too many, -ENOMEM. Connects to nobody yet. */
int client_open(const struct client_options *options, struct client **client) __attribute__((warn_unused_result));
void client_close(struct client *client); /* NULL is allowed */

/* For the calls that follow; 0: the default. */
void client_set_timeout(struct client *client, uint64_t timeout_ns);

/* A sentence about the last call, "" after CLIENT_OK. Belongs to the client; valid until its next call. */
const char *client_error_text(const struct client *client);
const char *client_outcome_text(enum client_outcome outcome);
const char *client_reason_text(enum client_reason reason);

/* Keys and values are borrowed for the call only. */
struct slice client_text(const char *text);
struct client_result client_get(struct client *client, struct slice key); /* linearizable */
/* Answered by the node that is asked, leader or not. staleness_ns 0: linearizable; else as core/read.h says of a
 * bounded read, by that node's clock, and result.bounded when it made use of that. */
struct client_result client_get_local(struct client *client, struct slice key, uint64_t staleness_ns);
struct client_result client_get_stale(struct client *client, struct slice key);
struct client_result client_put(struct client *client, struct slice key, struct slice value);
struct client_result client_put_if_absent(struct client *client, struct slice key, struct slice value);
struct client_result client_append(struct client *client, struct slice key, struct slice value);
struct client_result client_delete(struct client *client, struct slice key);
/* Writes if the key's version is still `version`; 0: if there is no such key. */
struct client_result client_cas(struct client *client, struct slice key, uint64_t version, struct slice value);

/* A transaction is built of clauses in any order, and may be committed many times (each is a new write). The builder
 * copies what it is given; the caller frees it. NULL: no memory. client_txn_add: 0, -ENOMEM, or -EMSGSIZE for a key or
 * value that no frame can hold. */
struct client_txn *client_txn_new(void);
void client_txn_free(struct client_txn *txn);
bool client_txn_has_else(const struct client_txn *txn);
int client_txn_add(struct client_txn *txn, const struct txn_clause *clause) __attribute__((warn_unused_result));
struct client_result client_txn_commit(struct client *client, const struct client_txn *txn);

/* Asks the leader for a checkpoint soon, however little has changed since the last one. OK: it will see to it while it
 * leads. */
struct client_result client_checkpoint(struct client *client);

/* Asks the leader to hand over to a node, 0: to the best one. OK: result.leader leads. */
struct client_result client_transfer(struct client *client, uint64_t node_id);

/* Asks the leader for other members (core/members.h), all of the operations together. version: the index of the
 * configuration that they are meant for; 0: any. OK: they are in force, committed, since entry result.version. FAILED:
 * result.status says why, and this attempt changed nothing; an earlier one of the same call may have. */
struct client_result client_change_members(struct client *client, const struct member_operation *operations,
                                           uint32_t count, uint64_t version, bool force);

/* What a node says of itself and of the members. */
struct client_node {
    struct node_status status;
    uint32_t member_count;
    struct member_status members[MEMBERS_MAX];
};

/* Asks one node about itself, with one attempt. */
struct client_result client_status(struct client *client, uint32_t endpoint_slot, struct node_status *status);
struct client_result client_node(struct client *client, uint32_t endpoint_slot, struct client_node *node);
uint32_t client_endpoint_count(const struct client *client);
const char *client_endpoint_text(const struct client *client, uint32_t endpoint_slot);

#endif

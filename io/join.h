/* `raftd --join`: what a new node must learn from its cluster before it has a data directory of its own: which cluster
 * it is. Everything else (members, log, pages) the leader brings, once an operator has added the node.
 *
 * Blocking, with a deadline; no node is changed by being asked. */
#ifndef WW_JOIN_H
#define WW_JOIN_H

#include "../core/base.h"

enum { JOIN_ERROR_BYTES = 512 };

struct join_options {
    const char *peers;   /* "host:port,..." */
    const char *address; /* where this node will listen */
    uint64_t node_id;
    uint64_t cluster_id; /* 0: whichever answers */
    uint64_t timeout_ns;
};

/* True and *cluster_id when at least one has answered and none contradicts: all are of one cluster, no member has this
 * node's id at another address, or its address. False with the reason in `error`. */
bool join_ask(const struct join_options *options, uint64_t *cluster_id, char error[JOIN_ERROR_BYTES]);

#endif

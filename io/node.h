/* The node: one replica of the core, driven by one loop over one back end.
 *
 * A turn: collect events -> one clock sample -> inputs, one step each, effects carried out in order -> sends and
 * receives started -> collect again, until the core's deadline at the latest. The core never runs inside a
 * completion. */
#ifndef WW_NODE_H
#define WW_NODE_H

#include "../core/replica.h"
#include "backend.h"
#include "endpoint.h"
#include "recorder.h"

struct node_options {
    const struct limits *limits;
    const struct replica_config *config;
    const struct configuration *configuration; /* as stored: whom to dial until the log has been read */
    const char *data_path;                     /* for messages */
    int device_fds[DEVICES];
    int listen_fd; /* bound, not yet listening */
    enum io_choice io;
    enum sync_method sync;
    struct recorder *recorder; /* NULL: nothing is recorded. The node closes it */
};

enum node_outcome {
    NODE_LEFT,    /* SIGTERM or SIGINT: nothing in flight, all well */
    NODE_STOPPED, /* the core must not go on; logged */
    NODE_REMOVED, /* the node is no member of the cluster any more; logged */
    NODE_FAILED,  /* memory, sockets or the back end; logged */
};

/* A bound TCP socket, or a negative errno. */
int node_bind(const struct endpoint *endpoint);

/* Blocks SIGTERM and SIGINT, and runs until one comes or the node cannot go on. */
enum node_outcome node_run(const struct node_options *options);

#endif

/* Saves the store of a running cluster as one file (snapshot_file.h).
 *
 * It first learns, by a linearizable read, how far the log had come, and waits for a checkpoint at least as new; so the
 * file holds every write that was acknowledged before the call. Then it pulls that checkpoint from one node as a peer
 * would (core/install.h): hashes from the root of the page map down, then pages, each verified by its hash. When the
 * node has gone on to a newer checkpoint meanwhile, only pages that differ are pulled again; when the node falls
 * silent, another one goes on where it stopped. */
#ifndef WW_SNAPSHOT_SAVE_H
#define WW_SNAPSHOT_SAVE_H

#include "client.h"
#include "snapshot_file.h"

struct snapshot_progress {
    uint64_t pages_done; /* of the checkpoint that is being pulled now */
    uint64_t pages_all;
    uint64_t bytes_pulled; /* of pages, those pulled twice included */
    uint64_t elapsed_ns;
};

struct snapshot_save_options {
    const char *file;
    const char *endpoints; /* as client_options.endpoints */
    uint64_t cluster_id;   /* 0: whichever answers */
    uint64_t timeout_ns;   /* without any progress */
    /* Called some times a second. NULL: not. */
    void (*progress)(const struct snapshot_progress *progress);
};

struct snapshot_save_result {
    struct snapshot_header header;
    struct snapshot_progress progress;
    enum client_reason reason; /* of a failure; CLIENT_NO_SPACE: of the file */
    char error[SNAPSHOT_ERROR_BYTES];
};

/* False with reason and error filled in; then there is no file. */
bool snapshot_save(const struct snapshot_save_options *options, struct snapshot_save_result *result);

#endif

/* `raftd restore FILE DIR`: a data directory from a snapshot file, for a member of a new cluster.
 *
 * The file is verified as a whole before anything is created. All nodes of the new cluster are made from the same file:
 * their logs begin behind its checkpoint, and their stores are equal byte for byte. The pages' hashes are those of the
 * new cluster, whose id must differ: nodes of the old one have promised things that these do not know of. */
#ifndef WW_RESTORE_H
#define WW_RESTORE_H

#include "datadir.h"
#include "snapshot_file.h"

struct restore_options {
    const char *file;
    struct datadir_options directory;
    struct replica_config config; /* cluster_id 0: derived from the members and the checkpoint */
    struct configuration configuration;
};

struct restore_result {
    struct snapshot_header header; /* of the file */
    struct checkpoint checkpoint;  /* in the new cluster */
    uint64_t cluster_id;
    uint32_t pages; /* taken over: all but those that say who the members of the old cluster were */
    char error[SNAPSHOT_ERROR_BYTES];
};

/* False with `error` filled in. */
bool restore_run(const struct restore_options *options, struct restore_result *result);

#endif

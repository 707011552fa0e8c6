/* `raftd recover --force-new-cluster DIR`: a cluster of one from the directory of one survivor, when a majority of the
 * old cluster is lost for good. Offline, and by order of an operator only: what this node had not got is lost, and what
 * it had got counts from now on, committed or not.
 *
 *   0. a log or pages of DIR that are damaged are refused, and nothing is changed: alone, a node cannot mend them, and
 *      it does not go on as if what is lost had never been
 *   1. all superblock copies of DIR: its node is the only voter. What it does not know of its own promises is forgiven.
 *   2. DIR runs, alone, on a loopback port that nobody knows: it leads, commits its log, and its store is saved as a
 *      snapshot beside DIR
 *   3. a directory with a new cluster id is restored from that, beside DIR
 *   4. DIR is renamed DIR.before, and the new one DIR
 *
 * Interrupted, it may be repeated once DIR.new is removed; but behind step 1 DIR is a cluster of one already, under the
 * old id, and must not be started with other nodes of it. The new id keeps the nodes of the old cluster apart, should
 * any come back. */
#ifndef WW_RECOVER_H
#define WW_RECOVER_H

#include "datadir.h"

struct recover_options {
    const char *path;
    uint64_t cluster_id; /* of the new cluster; 0: drawn */
    bool buffered;
};

struct recover_result {
    uint64_t node_id;
    uint64_t cluster_id; /* the new one */
    uint64_t old_cluster_id;
    struct configuration old; /* the members as DIR knew them */
    struct log_id id;         /* the entry behind which the state is */
    char address[MEMBER_ADDRESS_BYTES];
    char before[DATADIR_ERROR_BYTES]; /* where the old directory is */
    char error[DATADIR_ERROR_BYTES];
};

/* False with `error` filled in. */
bool recover_run(const struct recover_options *options, struct recover_result *result);

#endif

/* A node's data directory: creation, lock, and its two files as the core's devices.
 *
 *   DIR/wal    device 0: superblocks, header ring, body ring (core/wal_format.h)
 *   DIR/data   device 1: the pages of a checkpoint and their map (core/map.h); sparse
 *
 * Both are formatted under the names wal.new and data.new and renamed when they are durable, data first: so where there
 * is a WAL, there is all of it. What an interrupted format left is overwritten.
 *
 * Every error is one line that names the file and the cause; nothing stored is changed before all checks have
 * passed. */
#ifndef WW_DATADIR_H
#define WW_DATADIR_H

#include "../core/replica.h"
#include "../core/wal_format.h"

enum { DATADIR_ERROR_BYTES = 512 };
#define WAL_BYTES_MIN (UINT64_C(16) << 20)
#define WAL_BYTES_MAX (UINT64_C(1) << 40)

/* What a new directory begins with, when not with nothing. */
struct datadir_origin {
    struct stored stored; /* filled in by write_data() */
    /* Writes what device 1 holds to its new file, sparse and of full size. 0, or a negative errno. */
    int (*write_data)(struct datadir_origin *origin, const struct limits *limits, int fd);
};

struct datadir_options {
    const char *path;
    uint64_t wal_bytes; /* of a new WAL, rounded down to what the geometry allows; ignored when there is one */
    bool buffered;      /* without O_DIRECT: for development on filesystems that do not have it */
    struct datadir_origin *origin;             /* not NULL: the directory must be new */
    const struct configuration *configuration; /* of the cluster, for a new directory */
    bool rejoin; /* a new one stands for one of this node that is lost (core/rejoin.h); ignored when there is one */
};

struct datadir {
    /* Locked, all three: what a killed process still has in flight keeps its files locked, not the directory. */
    int directory_fd;
    int wal_fd;
    int data_fd;
    bool formatted; /* by this start */
    uint64_t cluster_id;
    struct configuration configuration; /* the latest one stored */
    struct limits limits;
    char error[DATADIR_ERROR_BYTES];
};

/* The production limits with a WAL file of at most wal_bytes. False: not in WAL_BYTES_MIN..WAL_BYTES_MAX. */
bool datadir_limits(uint64_t wal_bytes, struct limits *limits);

/* Does the directory hold a node already? 1 or 0, or a negative errno when that cannot be seen. */
int datadir_exists(const char *path);

/* Whose it is, before it is opened. 0, -EBADMSG when no superblock of it is intact, or a negative errno. */
int datadir_summarize(const char *path, struct superblock_summary *summary);

/* Of a body ring of this size what clients may fill; the rest is limits.wal_reserve_blocks. */
uint64_t datadir_usable_bytes(uint64_t body_bytes);

/* config: the node's identity; cluster_id 0 takes whatever is stored, and default_cluster_id for a new directory.
 * False with `error` filled in; then nothing is held. */
bool datadir_open(struct datadir *datadir, const struct datadir_options *options, const struct replica_config *config,
                  uint64_t default_cluster_id);
void datadir_close(struct datadir *datadir);

/* Makes the names in the directory that path lies in durable: it was made there, or renamed. A negative errno, or 0. */
int datadir_sync_parent(const char *path);

#endif

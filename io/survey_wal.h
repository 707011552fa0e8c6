/* The part of `raftd inspect` that reads device 0 behind the superblock: the header ring and every batch of the log,
 * from its head on. It follows the rules of core/recovery_walk.c, and like it goes on behind a damaged batch whose
 * entries are known. */
#ifndef WW_SURVEY_WAL_H
#define WW_SURVEY_WAL_H

#include "../core/wal_format.h"
#include "survey_report.h"

struct survey_wal_options {
    const char *path; /* of the directory, for messages */
    int fd;
    const struct superblock *superblock;
    struct limits limits; /* only the geometry counts */
    bool batches;         /* every batch, too; */
    bool dump;            /* ... and every entry of it, decoded */
    struct report *report;
};

/* Reports what is damaged, or was, and a summary. False: entries are lost here that only a peer may
 * still have, or there is no memory. */
bool survey_wal(const struct survey_wal_options *options);

#endif

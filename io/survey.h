/* `raftd inspect DIR`: what a data directory holds, read offline and never written to.
 *
 * Prints the superblock copies, the header ring, every batch of the WAL with its verdict, and what a start would make
 * of them. Every checksum on the way is verified. The directory may belong to a running node: then the tail may move
 * while it is read, and the output says so. */
#ifndef WW_SURVEY_H
#define WW_SURVEY_H

#include "../core/base.h"

struct survey_options {
    const char *path;
    bool dump; /* also every entry, decoded */
};

enum survey_verdict {
    SURVEY_WHOLE,      /* nothing wrong, or a tail that a start cuts off */
    SURVEY_DAMAGED,    /* something durable cannot be read: the node would stop, or repair a copy first */
    SURVEY_UNREADABLE, /* no directory, no WAL, or no superblock: a line on standard error says which */
};

enum survey_verdict survey_print(const struct survey_options *options);

#endif

/* `raftd inspect DIR`: what a data directory holds, read offline and never written to.
 *
 * Prints, as lines or as one JSON object (survey_report.h), the superblock copies and what they say, how much of the
 * log (survey_wal.c), of the page map and of the pages (survey_data.c) there is, and what is damaged: a line each, with
 * device and offset. So is what was damaged and matters no more, by other words: "mended" is a batch whose entries are
 * in later ones or in the checkpoint, "mendable" a block that the node writes anew when it runs. Every checksum is
 * verified. The directory may belong to a running node: then things may move while they are read, and the output says
 * so. */
#ifndef WW_SURVEY_H
#define WW_SURVEY_H

#include "../core/base.h"

struct survey_options {
    const char *path;
    bool batches; /* also every batch of the log */
    bool dump;    /* also every batch, and every entry of it, decoded */
    bool json;    /* one object, instead of lines */
};

enum survey_verdict {
    SURVEY_WHOLE,      /* nothing is lost: at most a tail that a start cuts off, or damage that is made good */
    SURVEY_DAMAGED,    /* something durable cannot be read: the node will need its peers, or repair a copy */
    SURVEY_UNREADABLE, /* no directory, no WAL, or no superblock: a line on standard error says which */
};

enum survey_verdict survey_print(const struct survey_options *options);

/* The same without a word, of the log and the pages alone: what a node needs that has nobody to ask. */
enum survey_verdict survey_contents(const char *path);

#endif

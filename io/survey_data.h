/* The part of `raftd inspect` that reads device 1: the page map of the checkpoint and every page, each verified by the
 * entry that names it. */
#ifndef WW_SURVEY_DATA_H
#define WW_SURVEY_DATA_H

#include "../core/wal_format.h"
#include "survey_report.h"

/* Reports a summary, and before it a line for each block that is not what its entry says. False: there is one, or the
 * file cannot be read. */
bool survey_data(const char *path, const struct superblock *superblock, struct report *report);

#endif

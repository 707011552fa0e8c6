/* Which commit a work tree is at: read from its .git, without git. It labels results, and gives a campaign its seed. */
#ifndef WW_COMMIT_H
#define WW_COMMIT_H

#include "../core/base.h"

enum { COMMIT_BYTES = 65, COMMIT_PROBLEM_BYTES = 256 };

/* Of the directory or the nearest one above it that is a work tree. False, and why not. */
bool commit_find(const char *directory, char commit[COMMIT_BYTES], char problem[COMMIT_PROBLEM_BYTES]);
/* 40 or 64 lower-case hexadecimal digits. */
bool commit_valid(const char *commit);
/* The first 48 bits: far apart for different commits, and exact in every program that reads JSON. */
uint64_t commit_seed(const char *commit);

#endif

/* A temporary directory for one test at a time. */
#ifndef WW_TESTS_DIRECTORY_H
#define WW_TESTS_DIRECTORY_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "test.h"

static char directory[64];

static inline const char *directory_new(void)
{
    snprintf(directory, sizeof directory, "%s/test.XXXXXX", access("build", W_OK) == 0 ? "build" : "/tmp");
    EXPECT(mkdtemp(directory) != NULL);
    return directory;
}

static inline void directory_remove(const char *path)
{
    char entry[640];
    DIR *listing = opendir(path);
    if (listing == NULL)
        return;
    for (struct dirent *found = readdir(listing); found != NULL; found = readdir(listing)) {
        if (found->d_name[0] == '.')
            continue;
        snprintf(entry, sizeof entry, "%s/%s", path, found->d_name);
        unlink(entry);
    }
    closedir(listing);
    rmdir(path);
}
/* The path of a file in it, until the next call. */
static inline char *in_directory(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

#endif

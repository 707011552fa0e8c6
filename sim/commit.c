/* Finds HEAD as gitrepository-layout(5) describes it: .git is a directory, or a file that names one; HEAD is a commit
 * or names a branch; a branch is a file of its own, or a line of packed-refs. */
#define _DEFAULT_SOURCE
#include "commit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_BYTES = 4096, LINE_BYTES = 1024 };

bool commit_valid(const char *commit)
{
    const size_t digits = strspn(commit, "0123456789abcdef");
    return (digits == 40 || digits == 64) && commit[digits] == '\0';
}

uint64_t commit_seed(const char *commit)
{
    char digits[13];
    ASSERT(commit_valid(commit));
    snprintf(digits, sizeof digits, "%.12s", commit);
    return strtoull(digits, NULL, 16);
}

/* The first line of a file below a directory, without its end. */
static bool read_line(const char *directory, const char *name, char line[LINE_BYTES])
{
    char path[PATH_BYTES];
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path)
        return false;
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return false;
    const bool read = fgets(line, LINE_BYTES, file) != NULL;
    fclose(file);
    if (read)
        line[strcspn(line, "\r\n")] = '\0';
    return read;
}

/* "HASH NAME" in packed-refs. */
static bool read_packed(const char *directory, const char *name, char commit[COMMIT_BYTES])
{
    char path[PATH_BYTES];
    char line[LINE_BYTES];
    bool found = false;
    if (snprintf(path, sizeof path, "%s/packed-refs", directory) >= (int)sizeof path)
        return false;
    FILE *file = fopen(path, "r");
    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\r\n")] = '\0';
        char *blank = strchr(line, ' ');
        if (blank == NULL || strcmp(blank + 1, name) != 0)
            continue;
        *blank = '\0';
        found = commit_valid(line);
        if (found)
            snprintf(commit, COMMIT_BYTES, "%.64s", line);
    }
    if (file != NULL)
        fclose(file);
    return found;
}

/* A name in a file may be relative to the directory of the file. */
static bool follow(const char *directory, const char *named, char path[PATH_BYTES])
{
    const int bytes = named[0] == '/' ? snprintf(path, PATH_BYTES, "%s", named)
                                      : snprintf(path, PATH_BYTES, "%s/%s", directory, named);
    return bytes < PATH_BYTES;
}

/* The directory that .git is or names. */
static bool find_repository(const char *tree, char repository[PATH_BYTES])
{
    struct stat status;
    char line[LINE_BYTES];
    if (snprintf(repository, PATH_BYTES, "%s/.git", tree) >= PATH_BYTES || stat(repository, &status) != 0)
        return false;
    if (S_ISDIR(status.st_mode))
        return true;
    return read_line(tree, ".git", line) && strncmp(line, "gitdir: ", 8) == 0 && follow(tree, line + 8, repository);
}

static bool read_head(const char *repository, char commit[COMMIT_BYTES])
{
    char line[LINE_BYTES];
    char shared[PATH_BYTES];
    char named[LINE_BYTES];
    if (!read_line(repository, "HEAD", line))
        return false;
    const bool branch = strncmp(line, "ref: ", 5) == 0;
    const char *name = branch ? line + 5 : line;
    /* Branches are shared among the work trees of a repository. */
    char common[LINE_BYTES];
    if (!read_line(repository, "commondir", common))
        snprintf(common, sizeof common, ".");
    if (!follow(repository, common, shared))
        return false;
    if (branch && !read_line(shared, name, named))
        return read_packed(shared, name, commit);
    if (!commit_valid(branch ? named : name))
        return false;
    snprintf(commit, COMMIT_BYTES, "%.64s", branch ? named : name);
    return true;
}

bool commit_find(const char *directory, char commit[COMMIT_BYTES], char problem[COMMIT_PROBLEM_BYTES])
{
    char repository[PATH_BYTES];
    char *tree = realpath(directory, NULL);
    bool found = false;
    while (tree != NULL && !(found = find_repository(tree, repository)) && strcmp(tree, "/") != 0) {
        char *slash = strrchr(tree, '/');
        slash[slash == tree ? 1 : 0] = '\0';
    }
    free(tree);
    if (!found) {
        snprintf(problem, COMMIT_PROBLEM_BYTES, "%.200s is in no git work tree", directory);
        return false;
    }
    if (read_head(repository, commit))
        return true;
    snprintf(problem, COMMIT_PROBLEM_BYTES, "%.200s: no commit at HEAD", repository);
    return false;
}

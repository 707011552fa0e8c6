/* Values from standard input and into files; see raftctl.h. */
#include "raftctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool raftctl_read_input(struct slice *bytes)
{
    const uint32_t bytes_max = limits_production.frame_bytes_max;
    static uint8_t *buffer; /* for the life of the process */
    buffer = malloc((size_t)bytes_max + 1);
    if (buffer == NULL) {
        fprintf(stderr, "raftctl: no memory\n");
        return false;
    }
    const size_t count = fread(buffer, 1, (size_t)bytes_max + 1, stdin);
    if (ferror(stdin)) {
        fprintf(stderr, "raftctl: standard input: %s\n", strerror(errno));
        return false;
    }
    /* One byte too many is enough for the client to refuse it by name. */
    *bytes = (struct slice){ .bytes = buffer, .count = (uint32_t)count };
    return true;
}

bool raftctl_read_value(const char *word, struct slice *value)
{
    if (strcmp(word, "-") == 0)
        return raftctl_read_input(value);
    *value = client_text(word);
    return true;
}

bool raftctl_write_file(const char *path, struct slice bytes)
{
    FILE *file = fopen(path, "wb");
    const bool written = file != NULL && fwrite(bytes.bytes, 1, bytes.count, file) == bytes.count;
    if (file != NULL && fclose(file) == 0 && written)
        return true;
    fprintf(stderr, "raftctl: -o %s: %s\n", path, strerror(errno));
    return false;
}

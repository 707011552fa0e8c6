/* Reads and writes whole files. */
#include "trace_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static bool complain(const char *path, const char *cause)
{
    fprintf(stderr, "raftsim: %s: %s\n", path, cause);
    return false;
}

/* All bytes of the file; to be freed. NULL: errno says why. */
static char *read_whole(FILE *file, size_t *bytes)
{
    size_t capacity = 1 << 16;
    char *text = malloc(capacity);
    *bytes = 0;
    while (text != NULL) {
        const size_t got = fread(text + *bytes, 1, capacity - *bytes, file);
        *bytes += got;
        if (got == 0)
            break;
        if (*bytes < capacity)
            continue;
        char *grown = capacity < TRACE_BYTES_MAX ? realloc(text, 2 * capacity) : NULL;
        if (grown == NULL) {
            free(text);
            errno = EFBIG;
            return NULL;
        }
        text = grown;
        capacity *= 2;
    }
    if (text != NULL && ferror(file)) {
        free(text);
        return NULL;
    }
    return text;
}

/* Begins with the line in question, as far as it can be shown. */
static void complain_line(const char *path, uint32_t line, const char *cause, const char *text, size_t bytes)
{
    enum { SHOWN_MAX = 80 };
    const char *end = text + bytes;
    for (uint32_t before = 1; before < line; before++) {
        const char *next = memchr(text, '\n', (size_t)(end - text));
        text = next != NULL ? next + 1 : end;
    }
    fprintf(stderr, "raftsim: %s:%" PRIu32 ": %s: '", path, line, cause);
    for (uint32_t shown = 0; text < end && *text != '\n' && shown < SHOWN_MAX; shown++, text++)
        fputc(*text >= ' ' && *text <= '~' ? *text : '?', stderr);
    fputs("'\n", stderr);
}

enum trace_loaded trace_load(struct trace *trace, const char *path)
{
    size_t bytes;
    uint32_t line;
    const char *cause;
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return complain(path, strerror(errno)), TRACE_UNREADABLE;
    char *text = read_whole(file, &bytes);
    const int error = errno;
    fclose(file);
    if (text == NULL)
        return complain(path, error == EFBIG ? "too large for a trace, and no recording that can be read here"
                                             : strerror(error)),
               TRACE_UNREADABLE;
    bool good = trace_parse(trace, text, bytes, &line, &cause);
    if (good && text[bytes - 1] != '\n') { /* half a decision may read like a whole one */
        cause = "cut off: the last line has no end";
        for (size_t at = 0; at < bytes; at++)
            line += text[at] == '\n';
        good = false;
    }
    if (!good)
        complain_line(path, line, cause, text, bytes);
    free(text);
    return good ? TRACE_LOADED : TRACE_MALFORMED;
}

bool trace_save(const struct trace *trace, const char *path, enum trace_style style)
{
    FILE *file = fopen(path, "w");
    if (file == NULL)
        return complain(path, strerror(errno));
    trace_print(trace, file, style);
    const bool written = !ferror(file);
    if (fclose(file) != 0 || !written)
        return complain(path, "cannot be written");
    return true;
}

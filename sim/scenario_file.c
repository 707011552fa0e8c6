/* A scenario's file: the script, a line of dashes, and the blessed transcript. */
#include "scenario.h"

#include <errno.h>
#include <string.h>

static const char file_border[] = "----\n";

struct file_text {
    size_t bytes;
    char text[SCENARIO_TEXT_MAX];
};

static bool file_read(const char *path, struct file_text *to)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return false;
    }
    to->bytes = fread(to->text, 1, sizeof to->text, file);
    const bool failed = ferror(file) != 0;
    fclose(file);
    if (failed || to->bytes == sizeof to->text || memchr(to->text, '\0', to->bytes) != NULL) {
        fprintf(stderr, "%s: %s\n", path, failed ? "cannot be read" : "is too long, or no text");
        return false;
    }
    to->text[to->bytes] = '\0';
    return true;
}

static bool file_write(const char *path, const char *script, const char *transcript)
{
    FILE *file = fopen(path, "wb");
    bool written = file != NULL;
    if (file != NULL) {
        fprintf(file, "%s%s%s", script, file_border, transcript);
        written = ferror(file) == 0;
        written = fclose(file) == 0 && written;
    }
    if (!written)
        fprintf(stderr, "%s: cannot be written\n", path);
    return written;
}

/* Where the border stands, at the start of a line; the end if there is none. */
static char *file_find_border(char *text)
{
    for (char *at = text; *at != '\0'; at++) {
        if (strncmp(at, file_border, sizeof file_border - 1) == 0)
            return at;
        at += strcspn(at, "\n");
        if (*at == '\0')
            return at;
    }
    return text + strlen(text);
}

static uint32_t file_lines(const char *from, const char *to)
{
    uint32_t lines = 0;
    for (; from < to; from++)
        lines += *from == '\n';
    return lines;
}

/* Names the first line that differs. */
static void file_report(const char *path, uint32_t line, const char *blessed, const char *transcript)
{
    size_t same = 0;
    while (blessed[same] != '\0' && blessed[same] == transcript[same])
        same++;
    while (same > 0 && blessed[same - 1] != '\n')
        same--;
    fprintf(stderr, "%s:%u: the transcript is another one; see what changed, then make bless\n", path,
            (unsigned)(line + file_lines(blessed, blessed + same)));
    fprintf(stderr, "  blessed: %.*s\n", (int)strcspn(blessed + same, "\n"), blessed + same);
    fprintf(stderr, "  now:     %.*s\n", (int)strcspn(transcript + same, "\n"), transcript + same);
}

enum scenario_verdict scenario_file(struct scenario *scenario, const char *path, bool bless, struct observer *observer)
{
    static struct file_text file;
    struct scenario_result result;
    if (!file_read(path, &file))
        return SCENARIO_NO_FILE;
    char *border = file_find_border(file.text);
    const bool blessed = *border != '\0';
    const uint32_t border_line = 1 + file_lines(file.text, border);
    const char *const transcript = blessed ? border + sizeof file_border - 1 : border;
    if (!blessed && border > file.text && border[-1] != '\n') {
        fprintf(stderr, "%s: the last line has no end\n", path);
        return SCENARIO_FAILED;
    }
    *border = '\0';
    scenario_run(scenario, file.text, observer, &result);
    if (!result.passed) {
        if (result.line > 0)
            fprintf(stderr, "%s:%u: %s\n", path, (unsigned)result.line, result.error);
        else
            fprintf(stderr, "%s: behind the last line: %s\n", path, result.error);
        return SCENARIO_FAILED;
    }
    if (blessed && strcmp(transcript, result.transcript) == 0)
        return SCENARIO_PASSED;
    if (bless)
        return file_write(path, file.text, result.transcript) ? SCENARIO_BLESSED : SCENARIO_NO_FILE;
    if (blessed)
        file_report(path, border_line + 1, transcript, result.transcript);
    else
        fprintf(stderr, "%s: has no transcript yet: make bless\n", path);
    return SCENARIO_FAILED;
}

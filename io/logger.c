/* Log lines: formatting and rate limit. Not a logging framework: no files, no rotation, no threads. */
#include "logger.h"

#include "../core/checksum.h"
#include "clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    LINE_BYTES_MAX = 1024,
    REPEAT_SLOTS = 64,
    REPEATS_MAX = 5,
};
#define REPEAT_WINDOW_NS (10 * NS_PER_S)

struct repeat {
    uint64_t hash;
    uint64_t window_start_ns;
    uint32_t written;
    uint32_t suppressed;
};

struct line {
    char text[LINE_BYTES_MAX];
    uint32_t used;
};

static struct {
    enum logger_level level;
    enum logger_format format;
    uint64_t node;
    struct repeat repeats[REPEAT_SLOTS];
} logger = { .level = LOG_LEVEL_INFO };

static const char *const level_names[] = {
    [LOG_LEVEL_DEBUG] = "debug",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_ERROR] = "error",
};

void logger_configure(enum logger_level level, enum logger_format format, uint64_t node)
{
    logger.level = level;
    logger.format = format;
    logger.node = node;
}

bool logger_level_parse(const char *text, enum logger_level *level)
{
    for (uint32_t slot = 0; slot < ARRAY_COUNT(level_names); slot++) {
        if (strcmp(text, level_names[slot]) == 0) {
            *level = (enum logger_level)slot;
            return true;
        }
    }
    return false;
}

bool logger_format_parse(const char *text, enum logger_format *format)
{
    if (strcmp(text, "text") == 0)
        *format = LOG_FORMAT_TEXT;
    else if (strcmp(text, "json") == 0)
        *format = LOG_FORMAT_JSON;
    else
        return false;
    return true;
}

bool logger_enabled(enum logger_level level) { return level >= logger.level; }

/* A line that does not fit is cut short; the newline always fits. */
__attribute__((format(printf, 2, 3))) static void line_print(struct line *line, const char *format, ...)
{
    uint32_t room = LINE_BYTES_MAX - 1 - line->used;
    va_list arguments;
    va_start(arguments, format);
    int wanted = vsnprintf(line->text + line->used, room, format, arguments);
    va_end(arguments);
    if (wanted > 0 && room > 0)
        line->used += u32_min((uint32_t)wanted, room - 1);
}

static void line_quote(struct line *line, const char *text)
{
    line_print(line, "\"");
    for (const char *at = text; *at != '\0'; at++) {
        unsigned char byte = (unsigned char)*at;
        if (byte == '"' || byte == '\\')
            line_print(line, "\\%c", byte);
        else if (byte < 0x20 || byte == 0x7f)
            line_print(line, "\\u%04x", byte);
        else
            line_print(line, "%c", byte);
    }
    line_print(line, "\"");
}

static bool text_is_plain(const char *text)
{
    if (*text == '\0')
        return false;
    for (const char *at = text; *at != '\0'; at++) {
        if ((unsigned char)*at <= ' ' || *at == '"' || *at == '=' || *at == '\\' || *at == 0x7f)
            return false;
    }
    return true;
}

static void line_field(struct line *line, const struct logger_field *field)
{
    bool json = logger.format == LOG_FORMAT_JSON;
    line_print(line, json ? ",\"%s\":" : " %s=", field->key);
    if (field->text == NULL)
        line_print(line, "%llu", (unsigned long long)field->number);
    else if (json || !text_is_plain(field->text))
        line_quote(line, field->text);
    else
        line_print(line, "%s", field->text);
}

static void line_start(struct line *line, enum logger_level level, const char *event)
{
    struct timespec now;
    struct tm date;
    char stamp[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &date);
    strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &date);
    unsigned milliseconds = (unsigned)(now.tv_nsec / 1000000);
    if (logger.format == LOG_FORMAT_JSON)
        line_print(line, "{\"time\":\"%s.%03uZ\",\"level\":\"%s\",\"event\":\"%s\"", stamp, milliseconds,
                   level_names[level], event);
    else
        line_print(line, "%s.%03uZ %-5s %s", stamp, milliseconds, level_names[level], event);
}

/* True when the line may be written; *repeated is how many before it were not. Two different lines that fall into one
 * slot restart each other's window: the limit errs towards writing. */
static bool repeat_admit(uint64_t hash, uint64_t now_ns, uint32_t *repeated)
{
    struct repeat *repeat = &logger.repeats[hash % REPEAT_SLOTS];
    *repeated = 0;
    if (repeat->hash != hash || now_ns - repeat->window_start_ns >= REPEAT_WINDOW_NS) {
        if (repeat->hash == hash)
            *repeated = repeat->suppressed;
        *repeat = (struct repeat){ .hash = hash, .window_start_ns = now_ns };
    }
    if (repeat->written == REPEATS_MAX) {
        repeat->suppressed++;
        return false;
    }
    repeat->written++;
    return true;
}

void logger_write(enum logger_level level, const char *event, const struct logger_field *fields, uint32_t field_count)
{
    if (!logger_enabled(level))
        return;
    struct line line = { .used = 0 };
    line_start(&line, level, event);
    uint32_t body_start = line.used;
    if (logger.node != 0)
        line_field(&line, &(struct logger_field)FIELD_NUMBER("node", logger.node));
    for (uint32_t slot = 0; slot < field_count; slot++)
        line_field(&line, &fields[slot]);

    if (level == LOG_LEVEL_INFO || level == LOG_LEVEL_WARN) {
        uint32_t repeated;
        uint64_t hash = checksum64(line.text + body_start, line.used - body_start, checksum64(event, strlen(event), 0));
        if (!repeat_admit(hash, clock_now_ns(), &repeated))
            return;
        if (repeated > 0)
            line_field(&line, &(struct logger_field)FIELD_NUMBER("repeated", repeated));
    }
    if (logger.format == LOG_FORMAT_JSON)
        line_print(&line, "}");
    line.text[line.used++] = '\n';
    /* Nobody can be told that stderr is gone. */
    if (write(STDERR_FILENO, line.text, line.used) < 0)
        return;
}

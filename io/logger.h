/* Structured log lines on stderr: time, level, event, key=value pairs; as text or as one JSON object a line.
 *
 * One process, one log: the state is static in logger.c. Identical lines are rate-limited, so that a hostile or
 * broken peer cannot fill a disk: see logger_write(). */
#ifndef WW_LOGGER_H
#define WW_LOGGER_H

#include <stdbool.h>
#include <stdint.h>

enum logger_level {
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARN,
    LOG_LEVEL_ERROR,
};

enum logger_format {
    LOG_FORMAT_TEXT,
    LOG_FORMAT_JSON,
};

/* A value is `text` when that is not NULL, otherwise `number`. */
struct logger_field {
    const char *key;
    const char *text;
    uint64_t number;
};

/* node: 0 leaves the field out. */
void logger_configure(enum logger_level level, enum logger_format format, uint64_t node);
bool logger_level_parse(const char *text, enum logger_level *level);
bool logger_format_parse(const char *text, enum logger_format *format);
bool logger_enabled(enum logger_level level);

/* Writes one line with one system call. Of identical lines (time aside) below error level, five in ten seconds are
 * written; the next one written afterwards says how many were not. */
void logger_write(enum logger_level level, const char *event, const struct logger_field *fields, uint32_t field_count);

#define FIELD_TEXT(name, value) \
    { \
        .key = (name), .text = (value) \
    }
#define FIELD_NUMBER(name, value) \
    { \
        .key = (name), .number = (value) \
    }
#define LOG(level, event, ...) \
    do { \
        if (logger_enabled(level)) { \
            const struct logger_field logger_fields[] = { __VA_ARGS__ }; \
            logger_write((level), (event), logger_fields, \
                         (uint32_t)(sizeof(logger_fields) / sizeof(logger_fields[0]))); \
        } \
    } while (0)

#endif

/* Both forms of a survey; see survey_report.h. */
#include "survey_report.h"

#include "text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void report_text(const struct report *report, const char *format, ...)
{
    va_list arguments;
    if (report->json || report->silent)
        return;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
}

/* What comes before a value. */
static void report_name(struct report *report, const char *name, bool own_line)
{
    ASSERT((name == NULL) == (report->depth == 0 || report->closing[report->depth] == ']'));
    if (report->begun[report->depth])
        putchar(',');
    if (own_line)
        printf("\n%*s", (int)(2 * report->depth), "");
    else if (report->begun[report->depth])
        putchar(' ');
    report->begun[report->depth] = true;
    if (name != NULL)
        printf("\"%s\": ", name);
}

static void report_open(struct report *report, const char *name, const char *brackets)
{
    if (!report->json)
        return;
    ASSERT(report->depth < REPORT_DEPTH_MAX);
    report_name(report, name, report->depth == 1 || (report->depth == 2 && name == NULL));
    putchar(brackets[0]);
    report->depth++;
    report->begun[report->depth] = false;
    report->closing[report->depth] = brackets[1];
}

void report_object(struct report *report, const char *name) { report_open(report, name, "{}"); }

void report_array(struct report *report, const char *name) { report_open(report, name, "[]"); }

void report_close(struct report *report)
{
    if (!report->json)
        return;
    ASSERT(report->depth > 0);
    if (report->depth == 1)
        putchar('\n');
    putchar(report->closing[report->depth]);
    report->depth--;
    if (report->depth == 0)
        putchar('\n');
}

void report_number(struct report *report, const char *name, uint64_t value)
{
    if (!report->json)
        return;
    report_name(report, name, report->depth == 1);
    printf("%" PRIu64, value);
}

void report_flag(struct report *report, const char *name, bool value)
{
    if (!report->json)
        return;
    report_name(report, name, report->depth == 1);
    printf("%s", value ? "true" : "false");
}

void report_bytes(struct report *report, const char *name, struct slice value)
{
    if (!report->json)
        return;
    report_name(report, name, report->depth == 1);
    text_write_json(stdout, value);
}

void report_string(struct report *report, const char *name, const char *value)
{
    report_bytes(report, name, (struct slice){ (const uint8_t *)value, (uint32_t)strlen(value) });
}

void report_id(struct report *report, const char *name, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    report_string(report, name, text);
}

void report_hash(struct report *report, const char *name, struct hash128 value)
{
    char text[33];
    snprintf(text, sizeof text, "%016" PRIx64 "%016" PRIx64, value.high, value.low);
    report_string(report, name, text);
}

/* What `raftd inspect` says: lines for people, or one JSON object with the same facts. Whoever reports a fact says it
 * in both forms, one behind the other; each call prints in its own form, and does nothing in the other.
 *
 * JSON: members of an object have a name, elements of an array have NULL. What is opened is closed. */
#ifndef WW_SURVEY_REPORT_H
#define WW_SURVEY_REPORT_H

#include "../core/base.h"
#include "../core/checksum.h"

enum { REPORT_DEPTH_MAX = 8 };

struct report {
    bool json;
    bool silent; /* not JSON, and no lines either */
    uint32_t depth;
    bool begun[REPORT_DEPTH_MAX + 1]; /* there is something in it already */
    char closing[REPORT_DEPTH_MAX + 1];
};

/* Text: any part of a line. */
void report_text(const struct report *report, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* JSON. */
void report_object(struct report *report, const char *name);
void report_array(struct report *report, const char *name);
void report_close(struct report *report);
void report_number(struct report *report, const char *name, uint64_t value);
/* Any 64-bit number, which readers of JSON would round: as a string. */
void report_id(struct report *report, const char *name, uint64_t value);
void report_flag(struct report *report, const char *name, bool value);
void report_string(struct report *report, const char *name, const char *value);
void report_bytes(struct report *report, const char *name, struct slice value); /* as text_write_json() */
void report_hash(struct report *report, const char *name, struct hash128 value);

#endif

/* Reads one JSON object from a string, key by key, without a tree and without allocation.
 *
 *     json_open(&json, line);
 *     while (json_key(&json, key, sizeof key))
 *         if (strcmp(key, "seed") == 0)
 *             seed = json_number(&json);
 *         else
 *             json_skip(&json);
 *     if (!json_good(&json)) ...
 *
 * After json_key() exactly one value is taken: by json_number(), json_text(), json_skip(), or json_enter() and a loop
 * of its own. After an error everything returns nothing. Numbers are whole and not negative; of a fraction the whole
 * part is taken. Of \u only what is below 256 is understood. */
#ifndef WW_JSON_H
#define WW_JSON_H

#include "../core/base.h"

struct json {
    const char *at;
    bool bad;
};

void json_open(struct json *json, const char *text);
/* The next key of the object; false: it is over. A key that does not fit is cut. */
bool json_key(struct json *json, char *key, size_t bytes);
/* The value is an object: its keys are next. */
void json_enter(struct json *json);
uint64_t json_number(struct json *json);
/* Cut if it does not fit. */
void json_text(struct json *json, char *text, size_t bytes);
/* A string without escapes, where it lies, without its quotes. */
const char *json_raw(struct json *json, size_t *bytes);
void json_skip(struct json *json);
/* No error so far, and nothing but blanks behind what was read. */
bool json_good(struct json *json);

#endif

/* Numbers and strings as the command lines of clients read and print them. */
#ifndef WW_TEXT_H
#define WW_TEXT_H

#include "../core/base.h"

#include <stdio.h>

/* Decimal, nothing before or behind it; false also on overflow. */
bool text_parse_u64(const char *text, uint64_t *value);
/* Like it, with an optional suffix K, M or G (powers of 1024). */
bool text_parse_bytes(const char *text, uint64_t *bytes);
/* A whole number and a unit: ns, us, ms, s or m. */
bool text_parse_duration(const char *text, uint64_t *duration_ns);

/* A JSON string that loses nothing: a byte from 0x20 to 0x7e stands for itself (with \" and \\ escaped), any other byte
 * is \u00XX with its value. Read it back as Latin-1: json.loads(text).encode("latin-1") in Python. */
void text_write_json(FILE *file, struct slice bytes);

/* As a JSON string in base64 (RFC 4648), with padding. */
void text_write_base64(FILE *file, struct slice bytes);

/* 1,234,567 into `to`, which is returned. */
enum { TEXT_NUMBER_BYTES = 28 };
const char *text_group_digits(uint64_t value, char to[TEXT_NUMBER_BYTES]);

#endif

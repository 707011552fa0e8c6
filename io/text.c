/* Numbers and strings of command lines; see text.h. */
#include "text.h"

#include "clock.h"

#include <string.h>

/* Digits at the start of *text, which moves behind them. */
static bool text_take_u64(const char **text, uint64_t *value)
{
    const char *digit = *text;
    *value = 0;
    for (; *digit >= '0' && *digit <= '9'; digit++) {
        const uint64_t units = (uint64_t)(*digit - '0');
        if (*value > (UINT64_MAX - units) / 10)
            return false;
        *value = *value * 10 + units;
    }
    const bool any = digit != *text;
    *text = digit;
    return any;
}

static bool text_scale(uint64_t *value, uint64_t unit)
{
    if (*value > UINT64_MAX / unit)
        return false;
    *value *= unit;
    return true;
}

bool text_parse_u64(const char *text, uint64_t *value) { return text_take_u64(&text, value) && *text == '\0'; }

bool text_parse_bytes(const char *text, uint64_t *bytes)
{
    if (!text_take_u64(&text, bytes))
        return false;
    if (*text == '\0')
        return true;
    static const char units[] = "KMG";
    const char *unit = strchr(units, *text);
    return unit != NULL && text[1] == '\0' && text_scale(bytes, UINT64_C(1) << (10 * (unit - units + 1)));
}

bool text_parse_duration(const char *text, uint64_t *duration_ns)
{
    static const struct {
        const char *name;
        uint64_t unit_ns;
    } units[] = { { "ns", 1 }, { "us", 1000 }, { "ms", NS_PER_MS }, { "s", NS_PER_S }, { "m", 60 * NS_PER_S } };
    if (!text_take_u64(&text, duration_ns))
        return false;
    for (uint32_t slot = 0; slot < ARRAY_COUNT(units); slot++)
        if (strcmp(text, units[slot].name) == 0)
            return text_scale(duration_ns, units[slot].unit_ns);
    return false;
}

void text_write_json(FILE *file, struct slice bytes)
{
    putc('"', file);
    for (uint32_t slot = 0; slot < bytes.count; slot++) {
        const uint8_t byte = bytes.bytes[slot];
        if (byte == '"' || byte == '\\')
            fprintf(file, "\\%c", byte);
        else if (byte >= 0x20 && byte <= 0x7e)
            putc(byte, file);
        else
            fprintf(file, "\\u%04x", byte);
    }
    putc('"', file);
}

void text_write_base64(FILE *file, struct slice bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    putc('"', file);
    for (uint32_t at = 0; at < bytes.count; at += 3) {
        const uint32_t count = u32_min(bytes.count - at, 3);
        uint32_t group = 0;
        for (uint32_t slot = 0; slot < 3; slot++)
            group = group << 8 | (slot < count ? bytes.bytes[at + slot] : 0);
        for (uint32_t slot = 0; slot < 4; slot++)
            putc(slot <= count ? digits[group >> (18 - 6 * slot) & 63] : '=', file);
    }
    putc('"', file);
}

const char *text_group_digits(uint64_t value, char to[TEXT_NUMBER_BYTES])
{
    char digits[TEXT_NUMBER_BYTES];
    const int count = snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
    int out = 0;
    for (int slot = 0; slot < count; slot++) {
        if (slot > 0 && (count - slot) % 3 == 0)
            to[out++] = ',';
        to[out++] = digits[slot];
    }
    to[out] = '\0';
    return to;
}

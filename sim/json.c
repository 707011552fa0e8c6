/* A pull reader for JSON objects. */
#include "json.h"

static void json_blanks(struct json *json)
{
    while (*json->at == ' ' || *json->at == '\t' || *json->at == '\n' || *json->at == '\r')
        json->at++;
}

/* Takes the character if it is next. */
static bool json_take(struct json *json, char character)
{
    json_blanks(json);
    if (json->bad || *json->at != character)
        return false;
    json->at++;
    return true;
}

static void json_expect(struct json *json, char character)
{
    if (!json_take(json, character))
        json->bad = true;
}

void json_open(struct json *json, const char *text)
{
    *json = (struct json){ .at = text };
    json_expect(json, '{');
}

void json_enter(struct json *json) { json_expect(json, '{'); }

/* Four hexadecimal digits. */
static uint32_t json_code(struct json *json)
{
    uint32_t code = 0;
    for (int i = 0; i < 4; i++) {
        const char digit = *json->at;
        uint32_t value = 0;
        if (digit >= '0' && digit <= '9')
            value = (uint32_t)(digit - '0');
        else if (digit >= 'a' && digit <= 'f')
            value = (uint32_t)(digit - 'a') + 10;
        else if (digit >= 'A' && digit <= 'F')
            value = (uint32_t)(digit - 'A') + 10;
        else
            json->bad = true;
        if (json->bad)
            return 0;
        code = code << 4 | value;
        json->at++;
    }
    return code;
}

/* One character of a string, with its escape. */
static char json_character(struct json *json)
{
    const char character = *json->at++;
    if ((unsigned char)character < 0x20)
        json->bad = true;
    if (character != '\\')
        return character;
    const char escaped = *json->at;
    if (escaped == '\0')
        json->bad = true;
    else
        json->at++;
    switch (escaped) {
    case 'n': return '\n';
    case 't': return '\t';
    case 'r': return '\r';
    case 'b': return '\b';
    case 'f': return '\f';
    case 'u': return (char)json_code(json);
    case '"':
    case '\\':
    case '/': return escaped;
    default: json->bad = true; return '\0';
    }
}

/* bytes may be 0: for strings that nobody wants. */
static void json_string(struct json *json, char *text, size_t bytes)
{
    size_t count = 0;
    if (bytes > 0)
        text[0] = '\0';
    json_expect(json, '"');
    while (!json->bad && *json->at != '"') {
        const char character = json_character(json);
        if (json->bad || count + 1 >= bytes)
            continue;
        text[count++] = character;
        text[count] = '\0';
    }
    json_expect(json, '"');
}

/* Between two keys stands a comma; before the first one stands the brace. */
bool json_key(struct json *json, char *key, size_t bytes)
{
    ASSERT(bytes > 0);
    if (json_take(json, '}') || json->bad)
        return false;
    json_take(json, ',');
    json_string(json, key, bytes);
    json_expect(json, ':');
    return !json->bad;
}

uint64_t json_number(struct json *json)
{
    uint64_t number = 0;
    json_blanks(json);
    if (json->bad || *json->at < '0' || *json->at > '9') {
        json->bad = true;
        return 0;
    }
    for (; *json->at >= '0' && *json->at <= '9'; json->at++) {
        const uint64_t digit = (uint64_t)(*json->at - '0');
        if (number > (UINT64_MAX - digit) / 10)
            json->bad = true;
        number = number * 10 + digit;
    }
    if (*json->at == '.')
        for (json->at++; *json->at >= '0' && *json->at <= '9'; json->at++)
            continue;
    return json->bad ? 0 : number;
}

void json_text(struct json *json, char *text, size_t bytes)
{
    ASSERT(bytes > 0);
    json_string(json, text, bytes);
    if (json->bad)
        text[0] = '\0';
}

const char *json_raw(struct json *json, size_t *bytes)
{
    json_expect(json, '"');
    const char *first = json->at;
    while (!json->bad && *json->at != '"') {
        if (*json->at == '\\' || (unsigned char)*json->at < 0x20)
            json->bad = true;
        else
            json->at++;
    }
    *bytes = json->bad ? 0 : (size_t)(json->at - first);
    json_expect(json, '"');
    return first;
}

/* A number or a word. */
static void json_scalar(struct json *json)
{
    const char *first = json->at;
    while ((*json->at >= '0' && *json->at <= '9') || (*json->at >= 'a' && *json->at <= 'z') || *json->at == '.'
           || *json->at == '-' || *json->at == '+' || *json->at == 'E')
        json->at++;
    if (json->at == first)
        json->bad = true;
}

/* Objects and arrays are skipped by counting what opens and closes them. */
void json_skip(struct json *json)
{
    uint32_t depth = 0;
    do {
        json_blanks(json);
        const char next = *json->at;
        if (next == '"') {
            json_string(json, NULL, 0);
        } else if (next == '{' || next == '[') {
            depth++;
            json->at++;
        } else if ((next == '}' || next == ']') && depth > 0) {
            depth--;
            json->at++;
        } else if ((next == ',' || next == ':') && depth > 0) {
            json->at++;
        } else {
            json_scalar(json);
        }
    } while (depth > 0 && !json->bad);
}

bool json_good(struct json *json)
{
    json_blanks(json);
    return !json->bad && *json->at == '\0';
}

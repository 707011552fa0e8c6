/* The grammar of transactions; see txn_text.h. */
#include "txn_text.h"

#include "text.h"

#include <stdio.h>
#include <string.h>

/* ---- words ---- */

static int txn_hex_digit(char digit)
{
    static const char digits[] = "0123456789abcdef";
    const char *found = digit == '\0' ? NULL : strchr(digits, digit | 0x20);
    return found == NULL ? -1 : (int)(found - digits);
}

/* Reads one escape behind its backslash. The number of bytes it takes; 0: malformed. */
static uint32_t txn_unescape(const char *text, uint32_t bytes, char *value)
{
    if (bytes == 0)
        return 0;
    switch (text[0]) {
    case '"':
    case '\\': *value = text[0]; return 1;
    case 'n': *value = '\n'; return 1;
    case 't': *value = '\t'; return 1;
    case 'x':
        if (bytes < 3 || txn_hex_digit(text[1]) < 0 || txn_hex_digit(text[2]) < 0)
            return 0;
        *value = (char)(txn_hex_digit(text[1]) * 16 + txn_hex_digit(text[2]));
        return 3;
    default: return 0;
    }
}

/* Unescapes the quoted word that begins behind *at, in place; *at moves behind its closing quote. */
static bool txn_unquote(char *text, uint32_t text_bytes, uint32_t *at, struct slice *word)
{
    const uint32_t start = *at;
    uint32_t out = start;
    uint32_t in = start;
    while (in < text_bytes && text[in] != '"') {
        char value = text[in++];
        if (value == '\\') {
            const uint32_t taken = txn_unescape(text + in, text_bytes - in, &value);
            if (taken == 0)
                return false;
            in += taken;
        }
        text[out++] = value;
    }
    if (in == text_bytes)
        return false;
    *word = (struct slice){ .bytes = (const uint8_t *)text + start, .count = out - start };
    *at = in + 1;
    return true;
}

static bool txn_is_blank(char byte) { return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r'; }

int txn_text_split(char *text, uint32_t text_bytes, struct slice words[TXN_TEXT_WORDS_MAX],
                   char error[TXN_TEXT_ERROR_BYTES])
{
    int count = 0;
    for (uint32_t at = 0; at < text_bytes;) {
        if (txn_is_blank(text[at])) {
            at++;
            continue;
        }
        if (text[at] == '#') {
            while (at < text_bytes && text[at] != '\n')
                at++;
            continue;
        }
        if (count == TXN_TEXT_WORDS_MAX) {
            snprintf(error, TXN_TEXT_ERROR_BYTES, "more than %d words", TXN_TEXT_WORDS_MAX);
            return -1;
        }
        struct slice *word = &words[count++];
        if (text[at] == '"') {
            at++;
            if (!txn_unquote(text, text_bytes, &at, word)) {
                snprintf(error, TXN_TEXT_ERROR_BYTES, "word %d: malformed or unclosed quotation", count);
                return -1;
            }
            continue;
        }
        const uint32_t start = at;
        while (at < text_bytes && !txn_is_blank(text[at]))
            at++;
        *word = (struct slice){ .bytes = (const uint8_t *)text + start, .count = at - start };
    }
    return count;
}

/* ---- clauses ---- */

struct txn_parser {
    const struct slice *words;
    uint32_t word_count;
    uint32_t at;
    char *error;
};

static bool txn_word_is(struct slice word, const char *text)
{
    return word.count == strlen(text) && memcmp(word.bytes, text, word.count) == 0;
}

static bool txn_error(struct txn_parser *parser, const char *expected)
{
    if (parser->at >= parser->word_count) {
        snprintf(parser->error, TXN_TEXT_ERROR_BYTES, "at the end: expected %s", expected);
        return false;
    }
    const struct slice word = parser->words[parser->at];
    snprintf(parser->error, TXN_TEXT_ERROR_BYTES, "word %u, '%.*s': expected %s", (unsigned)parser->at + 1,
             (int)u32_min(word.count, 32), (const char *)word.bytes, expected);
    return false;
}

static bool txn_take(struct txn_parser *parser, const char *expected, struct slice *word)
{
    if (parser->at >= parser->word_count) {
        txn_error(parser, expected);
        return false;
    }
    *word = parser->words[parser->at++];
    return true;
}

static bool txn_take_version(struct txn_parser *parser, uint64_t *version)
{
    struct slice word;
    char digits[24];
    if (!txn_take(parser, "a version", &word))
        return false;
    const size_t bytes = word.count < sizeof digits ? word.count : sizeof digits - 1;
    memcpy(digits, word.bytes, bytes);
    digits[bytes] = '\0';
    if (text_parse_u64(digits, version))
        return true;
    parser->at--;
    return txn_error(parser, "a version (a whole number)");
}

static bool txn_parse_compare(struct txn_parser *parser, struct txn_clause *clause)
{
    struct slice comparison;
    if (!txn_take(parser, "a key", &clause->key) || !txn_take(parser, "=, !=, absent or exists", &comparison))
        return false;
    const bool absent = txn_word_is(comparison, "absent");
    if (absent || txn_word_is(comparison, "exists")) {
        clause->kind = absent ? TXN_IF_EQUAL : TXN_IF_NOT_EQUAL;
        return true;
    }
    const bool equal = txn_word_is(comparison, "=");
    if (!equal && !txn_word_is(comparison, "!=")) {
        parser->at--;
        return txn_error(parser, "=, !=, absent or exists");
    }
    clause->kind = equal ? TXN_IF_EQUAL : TXN_IF_NOT_EQUAL;
    return txn_take_version(parser, &clause->version);
}

static bool txn_parse_write(struct txn_parser *parser, bool otherwise, struct txn_clause *clause)
{
    static const char expected[] = "if, then, else, put, del or append";
    struct slice verb;
    if (!txn_take(parser, expected, &verb))
        return false;
    if (txn_word_is(verb, "put")) {
        clause->kind = otherwise ? TXN_ELSE_PUT : TXN_THEN_PUT;
    } else if (txn_word_is(verb, "append")) {
        clause->kind = otherwise ? TXN_ELSE_APPEND : TXN_THEN_APPEND;
    } else if (txn_word_is(verb, "del")) {
        clause->kind = otherwise ? TXN_ELSE_DELETE : TXN_THEN_DELETE;
        return txn_take(parser, "a key", &clause->key);
    } else {
        parser->at--;
        return txn_error(parser, expected);
    }
    return txn_take(parser, "a key", &clause->key) && txn_take(parser, "a value", &clause->value);
}

bool txn_text_parse(const struct slice *words, uint32_t word_count, struct client_txn *txn,
                    char error[TXN_TEXT_ERROR_BYTES])
{
    struct txn_parser parser = { .words = words, .word_count = word_count, .error = error };
    if (word_count == 0)
        return txn_error(&parser, "at least one clause");
    while (parser.at < word_count) {
        struct txn_clause clause = { .version = 0 };
        const struct slice word = words[parser.at];
        const bool compare = txn_word_is(word, "if");
        const bool otherwise = txn_word_is(word, "else");
        if (compare || otherwise || txn_word_is(word, "then"))
            parser.at++;
        if (!(compare ? txn_parse_compare(&parser, &clause) : txn_parse_write(&parser, otherwise, &clause)))
            return false;
        const int added = client_txn_add(txn, &clause);
        if (added < 0) {
            snprintf(error, TXN_TEXT_ERROR_BYTES, "word %u: %s", (unsigned)parser.at, strerror(-added));
            return false;
        }
    }
    return true;
}

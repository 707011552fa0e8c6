/* The columns of a page: numbers of any size, texts once each, named values. */
#include <stdlib.h>
#include <string.h>

#include "../core/checksum.h"
#include "html.h"

/* What a value is, beside its name: data.js knows them by these numbers. */
enum { VALUE_BRIEF = 8, VALUE_NAME_SHIFT = 4, VALUE_GONE = 5, VALUE_BIG = 6, VALUE_WHOLE = 7 };

/* Larger numbers are not exact in a script. */
#define NUMBER_EXACT_MAX (1ULL << 53)

static bool bytes_grow(struct html_bytes *bytes, size_t more)
{
    if (bytes->count + more <= bytes->capacity)
        return true;
    const size_t capacity = 2 * (bytes->capacity + more) + 256;
    uint8_t *grown = realloc(bytes->bytes, capacity);
    if (grown == NULL)
        return false;
    bytes->bytes = grown;
    bytes->capacity = capacity;
    return true;
}

void html_put_byte(struct html *html, enum html_column column, uint8_t value)
{
    struct html_bytes *to = &html->columns[column];
    if (bytes_grow(to, 1))
        to->bytes[to->count++] = value;
    else
        html->failed = true;
}

/* Seven bits a byte, the lowest first; the highest bit says that more follow. */
void html_put(struct html *html, enum html_column column, uint64_t value)
{
    for (; value >= 128; value >>= 7)
        html_put_byte(html, column, (uint8_t)(value | 128));
    html_put_byte(html, column, (uint8_t)value);
}

static void html_put_word(struct html *html, enum html_column column, uint64_t value)
{
    for (uint32_t i = 0; i < 8; i++)
        html_put_byte(html, column, (uint8_t)(value >> 8 * i));
}

/* ---- texts ---- */

static bool texts_grow(struct html_texts *texts)
{
    if (texts->count < texts->capacity)
        return true;
    const uint32_t capacity = 2 * texts->capacity + 256;
    size_t *at = realloc(texts->at, capacity * sizeof *at);
    if (at == NULL)
        return false;
    texts->at = at;
    uint32_t *table = calloc(4 * (size_t)capacity, sizeof *table);
    if (table == NULL)
        return false;
    free(texts->table);
    texts->capacity = capacity;
    texts->table = table;
    texts->table_size = 4 * capacity;
    for (uint32_t number = 0; number < texts->count; number++) {
        const char *text = (const char *)texts->bytes.bytes + texts->at[number];
        uint32_t place = (uint32_t)checksum64(text, strlen(text), 0) % texts->table_size;
        while (table[place] != 0)
            place = (place + 1) % texts->table_size;
        table[place] = number + 1;
    }
    return true;
}

uint32_t html_text(struct html *html, const char *text)
{
    struct html_texts *texts = &html->texts;
    const size_t bytes = strlen(text) + 1;
    if (!texts_grow(texts) || !bytes_grow(&texts->bytes, bytes)) {
        html->failed = true;
        return 0;
    }
    uint32_t place = (uint32_t)checksum64(text, bytes - 1, 0) % texts->table_size;
    for (; texts->table[place] != 0; place = (place + 1) % texts->table_size)
        if (strcmp((const char *)texts->bytes.bytes + texts->at[texts->table[place] - 1], text) == 0)
            return texts->table[place] - 1;
    texts->at[texts->count] = texts->bytes.count;
    memcpy(texts->bytes.bytes + texts->bytes.count, text, bytes);
    texts->bytes.count += bytes;
    texts->table[place] = ++texts->count;
    return texts->count - 1;
}

/* ---- named values ---- */

static void html_put_key(struct html *html, enum html_column column, uint32_t name, uint32_t what)
{
    html_put(html, column, (uint64_t)name << VALUE_NAME_SHIFT | what);
}

void html_put_field(struct html *html, enum html_column column, const struct field *field)
{
    const uint32_t brief = field->brief ? VALUE_BRIEF : 0;
    const uint32_t name = html_text(html, field->name);
    const bool big = field->kind == FIELD_NUMBER && field->a > NUMBER_EXACT_MAX;
    html_put_key(html, column, name, brief | (big ? (uint32_t)VALUE_BIG : (uint32_t)field->kind));
    if (field->kind == FIELD_HASH || big) {
        html_put_word(html, column, field->a);
        return;
    }
    html_put(html, column, field->kind == FIELD_TEXT && field->text != NULL ? html_text(html, field->text) : field->a);
    if (field->kind == FIELD_ID || field->kind == FIELD_PAIR)
        html_put(html, column, field->b);
}

void html_put_gone(struct html *html, enum html_column column, const char *name)
{
    html_put_key(html, column, html_text(html, name), VALUE_GONE);
}

void html_put_whole(struct html *html, enum html_column column) { html_put_key(html, column, 0, VALUE_WHOLE); }

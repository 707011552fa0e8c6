/* Blobs stored as trees of shared lines; see explore_blob.h. */
#include "explore_blob.h"

#include <stdlib.h>

#include "../core/checksum.h"

enum { BLOB_CAPACITY_FIRST = 1 << 16 };

bool blobs_init(struct blobs *blobs)
{
    *blobs = (struct blobs){ .capacity = BLOB_CAPACITY_FIRST, .index_size = 2 * BLOB_CAPACITY_FIRST, .count = 1 };
    blobs->lines = calloc(blobs->capacity, BLOB_LINE_BYTES);
    blobs->index = calloc(blobs->index_size, sizeof *blobs->index);
    return blobs->lines != NULL && blobs->index != NULL;
}

void blobs_free(struct blobs *blobs)
{
    free(blobs->lines);
    free(blobs->index);
    *blobs = (struct blobs){ .count = 0 };
}

static uint8_t *line_at(const struct blobs *blobs, uint32_t line)
{
    return blobs->lines + (uint64_t)line * BLOB_LINE_BYTES;
}

static uint32_t index_slot(const struct blobs *blobs, const uint8_t *line)
{
    const uint32_t mask = blobs->index_size - 1;
    uint32_t slot = (uint32_t)checksum64(line, BLOB_LINE_BYTES, 0) & mask;
    while (blobs->index[slot] != 0 && memcmp(line_at(blobs, blobs->index[slot]), line, BLOB_LINE_BYTES) != 0)
        slot = (slot + 1) & mask;
    return slot;
}

static bool blobs_grow(struct blobs *blobs)
{
    if (blobs->capacity > UINT32_MAX / 4)
        return false;
    uint8_t *lines = realloc(blobs->lines, (uint64_t)blobs->capacity * 2 * BLOB_LINE_BYTES);
    if (lines == NULL)
        return false;
    blobs->lines = lines;
    blobs->capacity *= 2;
    uint32_t *index = calloc((uint64_t)blobs->index_size * 2, sizeof *index);
    if (index == NULL)
        return false;
    free(blobs->index);
    blobs->index = index;
    blobs->index_size *= 2;
    for (uint32_t line = 1; line < blobs->count; line++)
        index[index_slot(blobs, line_at(blobs, line))] = line;
    return true;
}

static uint32_t blobs_intern(struct blobs *blobs, const uint8_t *line)
{
    if (blobs->failed || bytes_are_zero(line, BLOB_LINE_BYTES))
        return 0;
    uint32_t slot = index_slot(blobs, line);
    if (blobs->index[slot] != 0)
        return blobs->index[slot];
    if (blobs->count == blobs->capacity) {
        if (!blobs_grow(blobs)) {
            blobs->failed = true;
            return 0;
        }
        slot = index_slot(blobs, line);
    }
    memcpy(line_at(blobs, blobs->count), line, BLOB_LINE_BYTES);
    blobs->index[slot] = blobs->count;
    return blobs->count++;
}

/* What one line of the level below the root of `count` bytes covers; BLOB_LINE_BYTES or less: the root is the line. */
static uint32_t span_below(uint32_t count)
{
    uint32_t span = BLOB_LINE_BYTES;
    while (span * BLOB_FANOUT < count)
        span *= BLOB_FANOUT;
    return span;
}

static uint32_t put_span(struct blobs *blobs, const uint8_t *bytes, uint32_t count, uint32_t span,
                         const uint8_t *before, uint32_t before_root)
{
    uint32_t children[BLOB_FANOUT] = { 0 };
    uint32_t befores[BLOB_FANOUT] = { 0 };
    if (before != NULL && memcmp(bytes, before, count) == 0)
        return before_root;
    if (span < BLOB_LINE_BYTES)
        return blobs_intern(blobs, bytes);
    if (before != NULL)
        memcpy(befores, line_at(blobs, before_root), sizeof befores);
    for (uint32_t i = 0; (uint64_t)i * span < count; i++) {
        const uint32_t offset = i * span;
        children[i] = put_span(blobs, bytes + offset, u32_min(span, count - offset), span / BLOB_FANOUT,
                               before != NULL ? before + offset : NULL, befores[i]);
    }
    return blobs_intern(blobs, (const uint8_t *)children);
}

uint32_t blobs_put(struct blobs *blobs, const uint8_t *bytes, uint32_t count, const uint8_t *before,
                   uint32_t before_root)
{
    ASSERT(count >= BLOB_LINE_BYTES && count % BLOB_LINE_BYTES == 0);
    const uint32_t span = count == BLOB_LINE_BYTES ? 0 : span_below(count);
    return put_span(blobs, bytes, count, span, before, before_root);
}

static void turn_span(const struct blobs *blobs, uint32_t from, uint32_t root, uint8_t *bytes, uint32_t count,
                      uint32_t span)
{
    uint32_t befores[BLOB_FANOUT];
    uint32_t children[BLOB_FANOUT];
    if (from == root)
        return;
    if (root == 0) {
        memset(bytes, 0, count);
        return;
    }
    if (span < BLOB_LINE_BYTES) {
        memcpy(bytes, line_at(blobs, root), BLOB_LINE_BYTES);
        return;
    }
    memcpy(befores, line_at(blobs, from), sizeof befores);
    memcpy(children, line_at(blobs, root), sizeof children);
    for (uint32_t i = 0; (uint64_t)i * span < count; i++) {
        const uint32_t offset = i * span;
        turn_span(blobs, befores[i], children[i], bytes + offset, u32_min(span, count - offset), span / BLOB_FANOUT);
    }
}

void blobs_turn(const struct blobs *blobs, uint32_t from, uint32_t root, uint8_t *bytes, uint32_t count)
{
    turn_span(blobs, from, root, bytes, count, count == BLOB_LINE_BYTES ? 0 : span_below(count));
}

void blobs_get(const struct blobs *blobs, uint32_t root, uint8_t *bytes, uint32_t count)
{
    memset(bytes, 0, count);
    blobs_turn(blobs, 0, root, bytes, count);
}

uint64_t blobs_bytes(const struct blobs *blobs)
{
    return (uint64_t)blobs->capacity * BLOB_LINE_BYTES + (uint64_t)blobs->index_size * sizeof *blobs->index;
}

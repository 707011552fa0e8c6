/* Pages by pieces; see pieces.h. */
#include "pieces.h"

#include "checksum.h"

static bool piece_is_zero(const uint8_t *bytes, uint32_t count)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, count - 1) == 0;
}

static uint16_t piece_hash(const uint8_t *bytes, uint32_t count)
{
    return piece_is_zero(bytes, count) ? 0 : (uint16_t)(1 + checksum64(bytes, count, 0) % UINT16_MAX);
}

void pieces_ask(struct pieces_question *question, uint32_t page, const uint8_t *bytes, uint32_t page_bytes)
{
    const uint32_t piece_bytes = page_bytes / PIECES;
    ASSERT(page_bytes > 0 && page_bytes % PIECES == 0);
    *question = (struct pieces_question){ .page = page };
    for (uint32_t at = 0; bytes != NULL && at < PIECES; at++)
        question->hashes[at] = piece_hash(bytes + (size_t)at * piece_bytes, piece_bytes);
}

uint32_t pieces_bytes_max(uint32_t page_bytes) { return (uint32_t)sizeof(struct pieces_header) + page_bytes; }

uint32_t pieces_encode(const struct pieces_question *question, const uint8_t *bytes, uint32_t page_bytes, uint8_t *to)
{
    const uint32_t piece_bytes = page_bytes / PIECES;
    struct pieces_header header = { .page = question->page };
    uint32_t used = sizeof header;
    ASSERT(page_bytes > 0 && page_bytes % PIECES == 0);
    for (uint32_t at = 0; at < PIECES; at++) {
        const uint8_t *piece = bytes + (size_t)at * piece_bytes;
        if (question->hashes[at] == piece_hash(piece, piece_bytes))
            continue;
        header.present |= (uint16_t)(1u << at);
        memcpy(to + used, piece, piece_bytes);
        used += piece_bytes;
    }
    memcpy(to, &header, sizeof header);
    ASSERT(used <= pieces_bytes_max(page_bytes));
    return used;
}

uint32_t pieces_decode(struct slice rest, uint32_t page_bytes, struct pieces_answer *answer)
{
    struct pieces_header header;
    if (rest.count < sizeof header)
        return 0;
    memcpy(&header, rest.bytes, sizeof header);
    const uint32_t bytes = bits_count(header.present) * (page_bytes / PIECES);
    if (header.zero != 0 || rest.count - sizeof header < bytes)
        return 0;
    *answer = (struct pieces_answer){
        .page = header.page,
        .present = header.present,
        .bytes = { .bytes = rest.bytes + sizeof header, .count = bytes },
    };
    return (uint32_t)sizeof header + bytes;
}

void pieces_patch(const struct pieces_answer *answer, uint32_t page_bytes, uint8_t *page)
{
    const uint32_t piece_bytes = page_bytes / PIECES;
    uint32_t used = 0;
    for (uint32_t at = 0; at < PIECES; at++) {
        if ((answer->present >> at & 1) == 0)
            continue;
        memcpy(page + (size_t)at * piece_bytes, answer->bytes.bytes + used, piece_bytes);
        used += piece_bytes;
    }
    ASSERT(used == answer->bytes.count);
}

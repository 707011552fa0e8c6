/* Pages by pieces: what of a page differs from what its receiver has (install.h).
 *
 *   question = page number, then a hash for each of the PIECES equal parts of what the asker's memory holds there
 *   answer   = pieces_header, then, in order, the pieces whose hashes differ; the others are as the asker has them
 *
 * A hash is 0 for a piece of zeros, and for no other. So who has nothing says so with zeros, and gets all that is not
 * zero. Of any other piece it is 16 bits of XXH3-64, never 0: once in 65,535 changed pieces it fails to tell. Longer
 * hashes would cost more than what they save, since who asks must verify the whole page anyhow: whatever is wrong with
 * it, the answer to zeros is not a matter of hashes. */
#ifndef WW_PIECES_H
#define WW_PIECES_H

#include "base.h"

enum { PIECES = 16 };

struct pieces_question {
    uint32_t page;
    uint16_t hashes[PIECES];
};
STATIC_ASSERT(sizeof(struct pieces_question) == 36, "no padding");

struct pieces_header {
    uint32_t page;
    uint16_t present; /* one bit per piece */
    uint16_t zero;
};
STATIC_ASSERT(sizeof(struct pieces_header) == 8, "no padding");

struct pieces_answer {
    uint32_t page;
    uint16_t present;
    struct slice bytes; /* of the pieces that are present */
};

/* page_bytes below: a multiple of PIECES. */

/* Fills the question for a page of which the asker has `bytes`. NULL: nothing. */
void pieces_ask(struct pieces_question *question, uint32_t page, const uint8_t *bytes, uint32_t page_bytes);

/* The most that an answer for one page takes. */
uint32_t pieces_bytes_max(uint32_t page_bytes);
/* Writes the answer, from the page's bytes. Returns its size. */
uint32_t pieces_encode(const struct pieces_question *question, const uint8_t *bytes, uint32_t page_bytes, uint8_t *to);
/* The answer at the beginning of `rest`, from which it borrows. Returns its size; 0: it is malformed. */
uint32_t pieces_decode(struct slice rest, uint32_t page_bytes, struct pieces_answer *answer);
/* Puts the pieces into what the asker has. Whether that is the page now, its hash must tell. */
void pieces_patch(const struct pieces_answer *answer, uint32_t page_bytes, uint8_t *page);

#endif

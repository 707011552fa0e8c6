/* Pages by pieces: whatever two pages are, one becomes the other, and only what differs travels. */
#include "../core/pieces.h"
#include "../core/prng.h"

#include "test.h"

#include <string.h>

enum { PAGE_BYTES = 512, PIECE_BYTES = PAGE_BYTES / PIECES, ROUNDS = 2000 };

/* Asks with `old`, answers from `new`, and leaves in `old` what comes of it. Returns the size of the answer. */
static uint32_t travel(uint8_t *old, const uint8_t *new)
{
    uint8_t bytes[sizeof(struct pieces_header) + PAGE_BYTES];
    struct pieces_question question;
    struct pieces_answer answer;
    EXPECT_EQUAL(pieces_bytes_max(PAGE_BYTES), sizeof bytes);
    pieces_ask(&question, 77, old, PAGE_BYTES);
    const uint32_t used = pieces_encode(&question, new, PAGE_BYTES, bytes);
    EXPECT_EQUAL(pieces_decode((struct slice){ bytes, used }, PAGE_BYTES, &answer), used);
    EXPECT_EQUAL(answer.page, 77);
    for (uint32_t count = 0; count < used; count++)
        EXPECT_EQUAL(pieces_decode((struct slice){ bytes, count }, PAGE_BYTES, &answer), 0);
    pieces_patch(&answer, PAGE_BYTES, old);
    return used;
}

static void fill(struct prng *prng, uint8_t *bytes, uint32_t count)
{
    for (uint32_t at = 0; at < count; at++)
        bytes[at] = (uint8_t)prng_next(prng);
}

TEST(equal_pages_cost_a_header)
{
    struct prng prng;
    uint8_t page[PAGE_BYTES];
    uint8_t same[PAGE_BYTES];
    prng_seed(&prng, 1);
    fill(&prng, page, sizeof page);
    memcpy(same, page, sizeof page);
    EXPECT_EQUAL(travel(same, page), sizeof(struct pieces_header));
    EXPECT(memcmp(same, page, sizeof page) == 0);
}

TEST(only_pieces_that_differ_travel)
{
    struct prng prng;
    uint8_t page[PAGE_BYTES];
    uint8_t old[PAGE_BYTES];
    prng_seed(&prng, 2);
    for (uint32_t at = 0; at < PIECES; at++) {
        fill(&prng, page, sizeof page);
        memcpy(old, page, sizeof page);
        old[at * PIECE_BYTES + prng_below(&prng, PIECE_BYTES)] ^= 1;
        EXPECT_EQUAL(travel(old, page), sizeof(struct pieces_header) + PIECE_BYTES);
        EXPECT(memcmp(old, page, sizeof page) == 0);
    }
}

/* Hashes of 16 bits err sometimes; zeros never, on either side. */
TEST(who_has_nothing_gets_all_that_is_not_zero_and_never_errs)
{
    struct prng prng;
    prng_seed(&prng, 3);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint8_t page[PAGE_BYTES] = { 0 };
        uint8_t old[PAGE_BYTES] = { 0 };
        uint32_t pieces = 0;
        for (uint32_t at = 0; at < PIECES; at++)
            if (prng_below(&prng, 2) == 0) {
                page[at * PIECE_BYTES + prng_below(&prng, PIECE_BYTES)] = (uint8_t)(1 + prng_below(&prng, 255));
                pieces++;
            }
        EXPECT_EQUAL(travel(old, page), sizeof(struct pieces_header) + pieces * PIECE_BYTES);
        EXPECT(memcmp(old, page, sizeof page) == 0);
    }
}

TEST(a_hash_that_errs_leaves_the_old_piece_and_zeros_mend_it)
{
    struct prng prng;
    uint8_t page[PAGE_BYTES];
    uint8_t old[PAGE_BYTES];
    bool erred = false;
    prng_seed(&prng, 4);
    fill(&prng, page, sizeof page);
    for (uint64_t tries = 0; tries < 1000000 && !erred; tries++) {
        memcpy(old, page, sizeof page);
        memcpy(old + PIECE_BYTES, &tries, sizeof tries);
        struct pieces_question of_old;
        struct pieces_question of_new;
        pieces_ask(&of_old, 0, old, PAGE_BYTES);
        pieces_ask(&of_new, 0, page, PAGE_BYTES);
        erred = of_old.hashes[1] == of_new.hashes[1];
    }
    EXPECT(erred);
    EXPECT_EQUAL(travel(old, page), sizeof(struct pieces_header));
    EXPECT(memcmp(old, page, sizeof page) != 0);
    memset(old, 0, sizeof old);
    travel(old, page);
    EXPECT(memcmp(old, page, sizeof page) == 0);
}

TEST(answers_that_say_more_than_they_hold_are_malformed)
{
    uint8_t bytes[sizeof(struct pieces_header) + PAGE_BYTES] = { 0 };
    struct pieces_answer answer;
    const struct pieces_header two = { .present = 0x8001 };
    const struct pieces_header dirty = { .present = 1, .zero = 1 };
    const uint32_t used = sizeof two + 2 * PIECE_BYTES;
    memcpy(bytes, &two, sizeof two);
    EXPECT_EQUAL(pieces_decode((struct slice){ bytes, sizeof bytes }, PAGE_BYTES, &answer), used);
    EXPECT_EQUAL(pieces_decode((struct slice){ bytes, used - 1 }, PAGE_BYTES, &answer), 0);
    EXPECT_EQUAL(pieces_decode((struct slice){ bytes, 0 }, PAGE_BYTES, &answer), 0);
    memcpy(bytes, &dirty, sizeof dirty);
    EXPECT_EQUAL(pieces_decode((struct slice){ bytes, sizeof bytes }, PAGE_BYTES, &answer), 0);
}

TEST_MAIN()

/* Many large blobs that differ little from each other, each stored once and named by a number.
 *
 * A blob is cut into lines of 64 bytes; a line of numbers names 16 lines below it, and so on up to one root. Equal
 * lines are stored once, so equal blobs of one size have equal roots and different ones have different roots: comparing
 * two states of a node is comparing two numbers, without any chance of a collision. What a step changes costs a few
 * lines, those and the ones above them. Line 0 is all zeros, on every level.
 *
 * Nothing is ever forgotten. Memory grows as lines come in; blobs_bytes() says how much there is. */
#ifndef WW_EXPLORE_BLOB_H
#define WW_EXPLORE_BLOB_H

#include "../core/base.h"

enum { BLOB_LINE_BYTES = 64, BLOB_FANOUT = BLOB_LINE_BYTES / 4 };

struct blobs {
    uint8_t *lines;
    uint32_t *index; /* open addressing by the hash of a line; 0: free */
    uint32_t count;
    uint32_t capacity;
    uint32_t index_size; /* a power of two, at least twice the count */
    bool failed;         /* no memory: roots mean nothing any more */
};

/* False: no memory. */
bool blobs_init(struct blobs *blobs);
void blobs_free(struct blobs *blobs);

/* The root of a blob of `count` bytes, a multiple of BLOB_LINE_BYTES. `before`, unless NULL, is a blob of the same size
 * whose root is `before_root`: what is equal in both is not looked at again. */
uint32_t blobs_put(struct blobs *blobs, const uint8_t *bytes, uint32_t count, const uint8_t *before,
                   uint32_t before_root);
/* Makes of the blob behind `from`, which is in `bytes`, the one behind `root`. What both share is not looked at. */
void blobs_turn(const struct blobs *blobs, uint32_t from, uint32_t root, uint8_t *bytes, uint32_t count);
/* The blob of that size behind the root. */
void blobs_get(const struct blobs *blobs, uint32_t root, uint8_t *bytes, uint32_t count);

uint64_t blobs_bytes(const struct blobs *blobs);

#endif

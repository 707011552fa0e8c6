/* A recording of a life: what a node was fed, so that the same core can be stepped through it again elsewhere. The
 * format, for who writes it (raftd --record) and who reads it (raftsim replay). Little-endian structs, as stored.
 *
 * A file has two halves of equal size. A segment fills one half, the next one the other, and so on: the file is a ring
 * that always ends with the latest inputs and holds at least one segment to begin with.
 *
 *     | header | records -->                       <-- anchor | trailer |
 *
 *   header    struct recording_header, in the first RECORDING_HEADER_BYTES. A segment either begins with the life
 *             (segment 0), or has an anchor
 *   records   one for each input, in chunks of RECORDING_CHUNK_BYTES, which no record crosses: in front of what does
 *             not fit lies RECORDING_PAD, or there are fewer bytes than a record has. The header is in the first chunk
 *   anchor    the region as it was when the segment began, without what means nothing: chunks of one block with
 *             struct recording_anchor, and its pages. Chunk i ends (i + 1) * RECORDING_CHUNK_BYTES before the trailer.
 *             It is written while the records of its own segment are, and counts when
 *   trailer   struct recording_trailer, in the last block, is there
 *
 * A segment that `follows` the one before begins where that ends. So reading begins at the oldest anchor that is whole
 * and goes on through all that follows; where another anchor is met, it says what the replayed region must hold.
 *
 * Each record carries the digest of all outputs before it (recording_mix()), and the checksum of a record is seeded
 * with life, segment and place: what a torn write or an earlier lap left is never taken for one. A segment ends where
 * the first record is not intact. */
#ifndef WW_RECORDING_H
#define WW_RECORDING_H

#include "base.h"
#include "limits.h"
#include "replica.h"

#define RECORDING_MAGIC 0x474e4944524f4357ULL         /* "WCORDING" */
#define RECORDING_TRAILER_MAGIC 0x524f48434e415757ULL /* "WWANCHOR" */
#define RECORDING_DIGEST_START 0x5752454347494455ULL

enum {
    RECORDING_VERSION = 3,
    RECORDING_BLOCK_BYTES = 4096, /* of the region, and of what is written at once */
    RECORDING_CHUNK_BYTES = 1 << 20,
    RECORDING_HEADER_BYTES = 4096,
    RECORDING_ANCHOR_PAGES_MAX = RECORDING_CHUNK_BYTES / RECORDING_BLOCK_BYTES - 1,
    RECORDING_PARTS_MAX = 20,
};

struct recording_header {
    uint64_t magic;
    uint64_t checksum; /* of all behind it, up to RECORDING_HEADER_BYTES */
    uint32_t version;
    uint32_t follows; /* 1: no input is missing between the segment before and this one */
    uint64_t life;    /* random, the same in all segments of the file */
    uint64_t segment; /* 0, 1, 2...: it lies in half segment % 2 */
    uint64_t half_bytes;
    uint64_t first_step; /* inputs of the life before its first record, recorded or not */
    uint64_t digest;     /* of the outputs before its first record */
    uint64_t wall_ns;    /* when it began, by the calendar's clock: since 1970 */
    uint64_t build;      /* hash of the program that was recorded */
    uint64_t region_bytes;
    uint8_t release[32];           /* its version, NUL-padded */
    uint64_t members[MEMBERS_MAX]; /* node ids of the configuration in use; 0: none */
    struct replica_config config;
    struct limits limits;
    uint32_t zero; /* behind an odd number of limits */
};

/* Kinds of records beside those of enum input_kind. */
enum { RECORDING_PAD = 64, RECORDING_END };
/* Flags. The last two say what bytes of a completion are that are not stored: those of recording_expected(), or zeros.
 */
enum { RECORDING_MORE = 1, RECORDING_MEMORY = 2, RECORDING_ZERO = 4 };

/* Followed by the bytes of the input, padded to 8 with zeros, unless they need not be stored. */
struct recording_record {
    uint64_t checksum; /* of the head behind it, seeded with its place and the checksum of the bytes */
    uint64_t digest;   /* of all outputs before this input */
    uint64_t now_ns;
    uint64_t arrived_ns;
    uint64_t subject; /* frames of clients: the client; completions: the operation */
    uint32_t bytes;
    uint8_t kind;
    uint8_t flags;
    uint8_t result;
    uint8_t zero;
};
STATIC_ASSERT(sizeof(struct recording_record) == 48, "no padding");

struct recording_anchor_page {
    uint64_t checksum; /* of the page */
    uint32_t page;     /* of the region, from 0 */
    uint32_t zero;
};
STATIC_ASSERT(sizeof(struct recording_anchor_page) == 16, "no padding");

struct recording_anchor {
    uint64_t checksum; /* of all behind it */
    uint32_t chunk;
    uint32_t count;
    struct recording_anchor_page pages[RECORDING_ANCHOR_PAGES_MAX];
};
STATIC_ASSERT(sizeof(struct recording_anchor) == RECORDING_BLOCK_BYTES, "no padding");

struct recording_trailer {
    uint64_t magic;
    uint64_t checksum; /* of all behind it */
    uint64_t life;
    uint64_t segment;
    uint64_t chunks;
    uint64_t pages;
};
STATIC_ASSERT(sizeof(struct recording_trailer) == 48, "no padding");

/* Where something of a recording lies; what checksums are seeded with. offset: in the segment. */
struct recording_place {
    uint64_t life;
    uint64_t segment;
    uint64_t offset;
};

/* ---- headers ---- */

/* Fills in magic, version and checksum. to: RECORDING_HEADER_BYTES. */
void recording_header_encode(const struct recording_header *header, uint8_t *to);
/* Total over any bytes. False: not the header of a segment that this version can read. */
bool recording_header_decode(struct slice bytes, struct recording_header *header);

void recording_trailer_encode(struct recording_trailer *trailer);
bool recording_trailer_decode(struct slice bytes, const struct recording_header *header,
                              struct recording_trailer *trailer);
/* Of whatever segment: is it as it was encoded? */
bool recording_trailer_intact(const struct recording_trailer *trailer);

void recording_anchor_seal(struct recording_anchor *anchor, const struct recording_place *place);
/* Of the block alone, not of its pages. */
bool recording_anchor_valid(const struct recording_anchor *anchor, const struct recording_place *place);

/* ---- records ---- */

/* Which of RECORDING_MEMORY and RECORDING_ZERO fits the input that is about to be fed; 0: neither. */
uint8_t recording_form(const struct replica *replica, const struct input *input);
/* Bytes that recording_encode() writes. */
uint32_t recording_bytes(const struct input *input, uint8_t form);
uint32_t recording_encode(const struct input *input, uint8_t form, uint64_t digest, const struct recording_place *place,
                          uint8_t *to);
/* A record that is no input: RECORDING_PAD, RECORDING_END. */
uint32_t recording_encode_mark(uint8_t kind, uint64_t digest, const struct recording_place *place, uint8_t *to);

/* A record as it was read. The bytes of the input borrow. */
struct recorded {
    uint64_t digest;
    uint32_t bytes; /* of the record */
    uint8_t kind;   /* of enum input_kind, or a mark */
    uint8_t form;   /* RECORDING_MEMORY, RECORDING_ZERO: input.bytes has no bytes yet, only their number */
    struct input input;
};

/* Total over any bytes; 0: no intact record. Else its size. */
uint32_t recording_decode(struct slice bytes, const struct recording_place *place, struct recorded *record);

/* ---- what is recorded ---- */

/* Folds all that a step showed into the digest: effects with the bytes that they carry, events, the deadline. */
uint64_t recording_mix(uint64_t digest, const struct output *output);

/* What the scrub's read, op_id, returns when nothing is wrong: bytes of the region. Empty: any other operation. An idle
 * node reads its disk for ever; this keeps what it reads out of the recording. */
struct slice recording_expected(const struct replica *replica, uint64_t op_id);

/* Everything in the region that can influence a later step, in ascending order, none empty. Returns how many parts.
 * mirror: with that of the log, which has holes that mean nothing: a header that is not sealed, the end of the ring
 * that a batch did not fit into. Drivers that move memory differently (EFFECT_RELEASE) need not agree on these. */
struct recording_part {
    const char *name;
    uint64_t offset; /* in the region */
    uint64_t bytes;
};
uint32_t recording_parts(const struct replica *replica, bool mirror, struct recording_part parts[RECORDING_PARTS_MAX]);

/* Do limits and layout in the region match these, so that it may be stepped? What an anchor says must be proven before
 * it is believed. fresh: a region of replica_init() with the same limits and config. */
bool recording_region_fits(const struct replica *replica, const struct replica *fresh);

/* The smallest file with these limits: each half holds the usual anchor, and half as much of records. */
uint64_t recording_file_bytes_min(const struct limits *limits);

#endif

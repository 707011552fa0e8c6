/* The scrub: reads everything that is stored, slowly and for ever, and mends what the disk forgot while memory still
 * has it (storage design 4.2), and what memory forgot while the disk still has it. What both have lost is for repair.c
 * and install.c.
 *
 *   SUPERBLOCK -> NAMES -> BODY -> MAP -> PAGES -> SUPERBLOCK ...
 *
 *   SUPERBLOCK  each copy must be the one that was written last; else it is written again
 *   NAMES       where a block of the header ring is neither a name nor zero, there the next name goes
 *   BODY        the batches of the log must be what the mirror holds; a block that is not is written from there
 *   MAP, PAGES  what the page map names must be what it says; it is written again from memory, where that still is what
 *               the checkpoint holds. A page that has changed since is left to the next checkpoint, which is then made
 *               when the pass is over, if it has not been made before: one for all that a pass finds.
 *
 * Memory may lie, too, and is verified before anything is written from it: the superblock by its hash, a batch by its
 * checksums, a map block by those in the entry above it, up to the root in the superblock, a page by its hash. What is
 * wrong in memory and right on the disk is taken from there, and counted. What is wrong in both: the superblock is made
 * anew from what it was made of; a page that was not changed since the checkpoint is lost, as if a start had not found
 * it (store_lose()); a map block stops the node, since a restart gets it from a peer, and this life has lost what lies
 * where.
 *
 * A phase is a row of units, a unit is read as a whole; after a read error or a bad block, on from that block.
 *
 * Invariants:
 *   one read or one write in flight, at most limits.scrub_kib_per_second
 *   a block is written again only with the very bytes that belong there, so that a crash in between loses nothing, and
 *   that they do is verified by something that was computed when they were written first
 *   what may have changed between a read and its completion is not judged; what is being written is not read */
#ifndef WW_SCRUB_H
#define WW_SCRUB_H

#include "base.h"
#include "replica.h"

struct replica;

enum scrub_phase { SCRUB_SUPERBLOCK, SCRUB_NAMES, SCRUB_BODY, SCRUB_MAP, SCRUB_PAGES };

struct scrub {
    uint32_t phase;     /* enum scrub_phase */
    uint32_t level;     /* MAP: of the entries that are looked at */
    uint64_t position;  /* of the unit. SUPERBLOCK: copy; NAMES: slot; BODY: lsn; MAP, PAGES: entry of the level */
    uint32_t bytes;     /* of the unit; 0: it is not begun */
    uint32_t at;        /* bytes of it that are judged */
    uint32_t in_flight; /* bytes being read or written; 0: none */
    bool writing;
    bool by_blocks; /* a read of the unit failed */
    uint8_t zero[2];
    uint64_t seen;         /* when the unit was begun: the version of what lies there */
    uint64_t due_ns;       /* of the next read */
    uint64_t submitted_ns; /* of what is in flight */
    uint64_t left; /* index of the checkpoint of which this pass found a page lost that has changed since; 0: none */
    uint64_t passes;
    uint64_t mended;        /* blocks, in this life */
    uint64_t memory_mended; /* ... of memory, from the disk */
};

/* Emits the read that may go now. Called once per step. */
void scrub_flush(struct replica *replica, struct output *output);
uint64_t scrub_deadline(const struct replica *replica);
/* When its write that is under way was submitted; UINT64_MAX: none is. */
uint64_t scrub_oldest_ns(const struct replica *replica);
/* Its read or write has completed. */
void scrub_completed(struct replica *replica, struct output *output, const struct input *input);

#endif

/* A snapshot file: one checkpoint as one file, to be kept elsewhere and restored into a new cluster.
 *
 *   file = snapshot_header, page_count records
 *   record = snapshot_record, page_bytes bytes of the page; in any order, each page at most once, no page of zeros
 *
 * Everything is little-endian. The header's hash covers the rest of the header; the record's hash is that of the page
 * in its cluster (core/map.h); and the checkpoint's hash in the header covers which page has which hash. So nothing in
 * the file can change unnoticed, and the file says by itself whether it is whole.
 *
 * A file is written under a name of its own (FILE.new) with its header last, verified from its bytes, and renamed. */
#ifndef WW_SNAPSHOT_FILE_H
#define WW_SNAPSHOT_FILE_H

#include "../core/checkpoint.h"
#include "page_map.h"

#include <stdio.h>

enum {
    SNAPSHOT_MAGIC = 0x4e535757, /* "WWSN" */
    SNAPSHOT_VERSION = 1,
    SNAPSHOT_ERROR_BYTES = 512,
};

struct snapshot_header {
    struct hash128 hash; /* of the rest of this header */
    uint32_t magic;
    uint16_t version;
    uint16_t stored_version; /* of the format of the pages (STORED_VERSION) */
    uint64_t cluster_id;
    uint64_t fingerprint; /* limits_fingerprint(): a node with other limits cannot take it */
    uint32_t page_bytes;
    uint32_t pages_max;
    struct log_id id;          /* the last entry in it */
    struct hash128 checkpoint; /* checkpoint_hash() */
    uint64_t page_count;
};
STATIC_ASSERT(sizeof(struct snapshot_header) == 88, "no padding");

struct snapshot_record {
    struct hash128 hash;
    uint32_t page;
    uint32_t zero;
};
STATIC_ASSERT(sizeof(struct snapshot_record) == 24, "no padding");

/* One being written. */
struct snapshot_writer {
    const char *path; /* of the finished file; borrowed */
    char *path_new;
    int fd;
    uint32_t page_bytes;
    uint32_t page_count;
    uint32_t *slot_of; /* by page: where its record is, plus 1 */
    uint32_t *page_of; /* by slot */
    uint8_t *record;   /* one */
    uint32_t pages_max;
    char error[SNAPSHOT_ERROR_BYTES];
};

/* All but close: false with `error` filled in. Refuses to replace an existing file, finished or not. */
bool snapshot_create(struct snapshot_writer *writer, const char *path, const struct limits *limits);
/* The page's bytes, in place of what it was before. */
bool snapshot_put(struct snapshot_writer *writer, uint32_t page, struct hash128 hash, const uint8_t *bytes);
/* The page is one of zeros. */
bool snapshot_drop(struct snapshot_writer *writer, uint32_t page);
/* Completes header->hash, magic, versions and page_count; then the file is durable, verified and has its name. */
bool snapshot_finish(struct snapshot_writer *writer, struct snapshot_header *header);
/* Also removes what is not finished. */
void snapshot_close(struct snapshot_writer *writer);

/* One being read. */
struct snapshot_reader {
    const char *path; /* borrowed */
    int fd;
    struct snapshot_header header;
    struct page_map map; /* level 0: hashes of the pages; above: as rolled up */
    uint8_t *record;
    char error[SNAPSHOT_ERROR_BYTES];
};

/* Opens the file and verifies all of it against these limits. False with `error` filled in; close it anyway. */
bool snapshot_open(struct snapshot_reader *reader, const char *path, const struct limits *limits);
/* The record at `slot`, below header.page_count, verified again; NULL with `error`. Valid until the next call. */
const uint8_t *snapshot_get(struct snapshot_reader *reader, uint64_t slot, uint32_t *page);
void snapshot_release(struct snapshot_reader *reader);

#endif

/* Recordings as bytes: where their segments and anchors are; see playback.h. */
#define _DEFAULT_SOURCE
#include "playback.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../core/checksum.h"

static bool file_read(const struct playback_source *source, uint64_t offset, void *to, size_t count)
{
    uint8_t *next = to;
    while (count > 0) {
        const ssize_t got = pread(source->fd, next, count, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        next += got;
        offset += (uint64_t)got;
        count -= (size_t)got;
    }
    return true;
}

bool playback_file_open(struct playback_source *source, const char *path, char error[PLAYBACK_ERROR_BYTES])
{
    struct stat status;
    *source = (struct playback_source){ .read = file_read, .fd = -1 };
    /* A pipe must not be opened: who writes to it would have found its reader. */
    const bool there = stat(path, &status) == 0;
    if (there && !S_ISREG(status.st_mode)) {
        snprintf(error, PLAYBACK_ERROR_BYTES, "not a file");
        return false;
    }
    source->fd = there ? open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC) : -1;
    if (source->fd < 0 || fstat(source->fd, &status) != 0) {
        snprintf(error, PLAYBACK_ERROR_BYTES, "%s", strerror(errno));
        playback_file_close(source);
        return false;
    }
    source->bytes = S_ISREG(status.st_mode) ? (uint64_t)status.st_size : 0;
    return true;
}

void playback_file_close(struct playback_source *source)
{
    if (source->fd >= 0)
        close(source->fd);
    source->fd = -1;
}

bool playback_file_is_written(const struct playback_source *source)
{
    if (source->fd < 0 || flock(source->fd, LOCK_SH | LOCK_NB) != 0)
        return source->fd >= 0 && errno == EWOULDBLOCK;
    flock(source->fd, LOCK_UN);
    return false;
}

static bool image_read(const struct playback_source *source, uint64_t offset, void *to, size_t count)
{
    memcpy(to, source->image + offset, count);
    return true;
}

void playback_image(struct playback_source *source, const uint8_t *bytes, uint64_t count)
{
    *source = (struct playback_source){ .read = image_read, .bytes = count, .fd = -1, .image = bytes };
}

static bool source_read(const struct playback_source *source, uint64_t offset, void *to, size_t count)
{
    return offset <= source->bytes && count <= source->bytes - offset && source->read(source, offset, to, count);
}

/* Of the segment that lies in this half, if it has one that is intact. */
static bool header_read(const struct playback_source *source, uint32_t half, struct recording_header *header)
{
    uint8_t block[RECORDING_HEADER_BYTES];
    const uint64_t half_bytes = source->bytes / 2;
    return source_read(source, half * half_bytes, block, sizeof block)
           && recording_header_decode((struct slice){ block, sizeof block }, header) && header->half_bytes == half_bytes
           && header->segment % 2 == half;
}

/* The second segment may be the only one that was not being replaced when the node was killed. */
bool playback_is_recording(const struct playback_source *source)
{
    for (uint64_t half = 0; half < 2; half++) {
        uint64_t magic = 0;
        if (source_read(source, half * (source->bytes / 2), &magic, sizeof magic) && magic == RECORDING_MAGIC)
            return true;
    }
    return false;
}

/* A half begins with a header, or nothing was ever written there. */
static bool half_is_empty(const struct playback_source *source, uint32_t half)
{
    uint8_t block[RECORDING_HEADER_BYTES];
    return source_read(source, half * (source->bytes / 2), block, sizeof block) && bytes_are_zero(block, sizeof block);
}

bool playback_segments(const struct playback_source *source, struct playback_segments *segments)
{
    struct recording_header header;
    segments->count = 0;
    segments->damaged = false;
    for (uint32_t half = 0; half < 2; half++) {
        if (!header_read(source, half, &header)) {
            segments->damaged |= !half_is_empty(source, half);
            segments->damaged_offset = half * (source->bytes / 2);
            continue;
        }
        const struct recording_header *other = &segments->headers[0];
        if (segments->count == 1
            && (header.life != other->life || memcmp(&header.limits, &other->limits, sizeof header.limits) != 0))
            continue;
        segments->headers[segments->count++] = header;
    }
    if (segments->count == 2 && segments->headers[0].segment > segments->headers[1].segment) {
        header = segments->headers[0];
        segments->headers[0] = segments->headers[1];
        segments->headers[1] = header;
    }
    /* What lies before the segment that was replaced by the latest one. */
    if (segments->count == 2 && segments->headers[0].segment + 1 != segments->headers[1].segment) {
        segments->headers[0] = segments->headers[1];
        segments->count = 1;
    }
    return segments->count > 0;
}

void playback_no_segments(const struct playback_source *source, char error[PLAYBACK_ERROR_BYTES])
{
    uint8_t block[RECORDING_HEADER_BYTES];
    struct recording_header header;
    uint64_t magic = 0;
    uint32_t version = RECORDING_VERSION;
    if (source_read(source, 0, block, sizeof block)) {
        memcpy(&magic, block, sizeof magic);
        memcpy(&version, block + offsetof(struct recording_header, version), sizeof version);
    }
    if (magic == RECORDING_MAGIC && version != RECORDING_VERSION && version != 0)
        snprintf(error, PLAYBACK_ERROR_BYTES, "a recording of version %" PRIu32 ", and this program reads version %d",
                 version, RECORDING_VERSION);
    else if (source->bytes < sizeof block)
        snprintf(error, PLAYBACK_ERROR_BYTES, "its %" PRIu64 " bytes are only the beginning of a recording",
                 source->bytes);
    else if (source_read(source, 0, block, sizeof block)
             && recording_header_decode((struct slice){ block, sizeof block }, &header)
             && source->bytes != 2 * header.half_bytes)
        snprintf(error, PLAYBACK_ERROR_BYTES, "it has %" PRIu64 " bytes, and had %" PRIu64 ": it is not all there",
                 source->bytes, 2 * header.half_bytes);
    else
        snprintf(error, PLAYBACK_ERROR_BYTES, "nothing was recorded yet, or it is damaged at its beginning");
}

static uint64_t segment_offset(const struct recording_header *header)
{
    return header->segment % 2 * header->half_bytes;
}

/* One that was begun is not finished before the trailer is there: then that of an earlier segment still is, or records
 * are. */
static enum playback_anchor trailer_read(const struct playback_source *source, const struct recording_header *header,
                                         struct recording_trailer *trailer, uint64_t *offset)
{
    uint8_t block[RECORDING_BLOCK_BYTES];
    *offset = segment_offset(header) + header->half_bytes - RECORDING_BLOCK_BYTES;
    if (!source_read(source, *offset, block, sizeof block))
        return PLAYBACK_ANCHOR_NONE;
    if (recording_trailer_decode((struct slice){ block, sizeof block }, header, trailer))
        return PLAYBACK_ANCHOR_WHOLE;
    return trailer->magic != RECORDING_TRAILER_MAGIC || recording_trailer_intact(trailer) ? PLAYBACK_ANCHOR_NONE
                                                                                          : PLAYBACK_ANCHOR_DAMAGED;
}

/* Pages come in ascending order, each once. */
static bool anchor_take(const struct recording_header *header, const uint8_t *chunk, uint8_t *region, uint64_t *next)
{
    const struct recording_anchor *anchor = (const struct recording_anchor *)(const void *)chunk;
    for (uint32_t at = 0; at < anchor->count; at++) {
        const uint8_t *bytes = chunk + (size_t)(at + 1) * RECORDING_BLOCK_BYTES;
        const uint64_t page = anchor->pages[at].page;
        if (page < *next || (page + 1) * RECORDING_BLOCK_BYTES > header->region_bytes
            || checksum64(bytes, RECORDING_BLOCK_BYTES, 0) != anchor->pages[at].checksum)
            return false;
        memcpy(region + page * RECORDING_BLOCK_BYTES, bytes, RECORDING_BLOCK_BYTES);
        *next = page + 1;
    }
    return true;
}

enum playback_anchor playback_anchor(const struct playback_source *source, const struct recording_header *header,
                                     uint8_t *region, uint8_t *chunk, uint64_t *offset)
{
    struct recording_trailer trailer;
    uint64_t next = 0;
    uint64_t pages = 0;
    const enum playback_anchor trailed = trailer_read(source, header, &trailer, offset);
    if (trailed != PLAYBACK_ANCHOR_WHOLE)
        return trailed;
    for (uint64_t at = 0; at < trailer.chunks; at++) {
        const uint64_t place_offset = header->half_bytes - RECORDING_BLOCK_BYTES - (at + 1) * RECORDING_CHUNK_BYTES;
        const struct recording_place place = { header->life, header->segment, place_offset };
        const struct recording_place later = { header->life, header->segment + 2, place_offset };
        const struct recording_anchor *anchor = (const struct recording_anchor *)(const void *)chunk;
        *offset = segment_offset(header) + place_offset;
        if (!source_read(source, *offset, chunk, RECORDING_CHUNK_BYTES))
            return PLAYBACK_ANCHOR_DAMAGED;
        if (recording_anchor_valid(anchor, &later)) /* the header of that segment was yet to come */
            return PLAYBACK_ANCHOR_NONE;
        if (!recording_anchor_valid(anchor, &place) || anchor->chunk != at
            || !anchor_take(header, chunk, region, &next))
            return PLAYBACK_ANCHOR_DAMAGED;
        pages += anchor->count;
    }
    return pages == trailer.pages ? PLAYBACK_ANCHOR_WHOLE : PLAYBACK_ANCHOR_DAMAGED;
}

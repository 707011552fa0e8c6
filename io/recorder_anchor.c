/* The anchor of a segment: the region of the replica, written by a child that was forked for it. See recorder.h.
 *
 * Only what is in memory and not zero is written, and of that only what can influence a later step. The kernel says
 * what is in memory: to find out by reading would take page tables for all that the region might ever hold.
 *
 * The child of a process with threads: no allocation, no lock, nothing of stdio. */
#include "recorder.h"

#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "../core/checksum.h"

enum { PAGEMAP_ENTRIES = 512, NICER = 10 };
/* In memory, or swapped out: Documentation/admin-guide/mm/pagemap.rst. */
#define PAGEMAP_USED (3ULL << 62)
/* A chunk that is written at once leaves the disk to the log for so long: as fast as a checkpoint, about. */
#define CHUNK_PAUSE_NS (8 * NS_PER_MS)

struct anchor_writer {
    const struct recorder_anchor *anchor;
    int pagemap_fd;
    uint32_t window_first; /* region page of the first entry in `window` */
    uint32_t window_count;
    uint64_t window[PAGEMAP_ENTRIES];
    uint64_t chunks;
    uint64_t pages;
    bool too_large;
    struct iovec pieces[1 + RECORDING_ANCHOR_PAGES_MAX];
    uint32_t piece_count;
    alignas(RECORDING_BLOCK_BYTES) struct recording_anchor header;
    alignas(RECORDING_BLOCK_BYTES) uint8_t trailer[RECORDING_BLOCK_BYTES];
};

static bool page_is_used(struct anchor_writer *writer, uint32_t page)
{
    if (page < writer->window_first || page >= writer->window_first + writer->window_count) {
        const uint64_t address = (uintptr_t)writer->anchor->replica / RECORDING_BLOCK_BYTES + page;
        const ssize_t got =
            pread(writer->pagemap_fd, writer->window, sizeof writer->window, (off_t)(address * sizeof(uint64_t)));
        if (got < (ssize_t)sizeof(uint64_t))
            return true; /* nothing says that it is not */
        writer->window_first = page;
        writer->window_count = (uint32_t)((size_t)got / sizeof(uint64_t));
    }
    return (writer->window[page - writer->window_first] & PAGEMAP_USED) != 0;
}

/* All pieces at one place of the file. */
static bool write_pieces(int fd, struct iovec *pieces, uint32_t count, uint64_t offset)
{
    for (uint32_t at = 0; at < count;) {
        ssize_t put = pwritev(fd, pieces + at, (int)(count - at), (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        offset += (uint64_t)put;
        for (; at < count && (size_t)put >= pieces[at].iov_len; at++)
            put -= (ssize_t)pieces[at].iov_len;
        if (put > 0 && at < count) {
            pieces[at].iov_base = (uint8_t *)pieces[at].iov_base + put;
            pieces[at].iov_len -= (size_t)put;
        }
    }
    return true;
}

/* Where the next chunk goes: false when records are there already, or may be. */
static bool chunk_claim(struct anchor_writer *writer, uint64_t *offset)
{
    const struct recorder_anchor *anchor = writer->anchor;
    const uint64_t below = RECORDING_BLOCK_BYTES + (writer->chunks + 1) * RECORDING_CHUNK_BYTES;
    atomic_store(&anchor->shared->anchor_bytes, below);
    writer->too_large |= below >= anchor->half_bytes;
    if (writer->too_large)
        return false;
    *offset = anchor->half_bytes - below;
    atomic_store(&anchor->shared->anchor_begin, *offset);
    writer->too_large |= atomic_load(&anchor->shared->records_end) > *offset;
    return !writer->too_large;
}

static bool chunk_write(struct anchor_writer *writer)
{
    const struct recorder_anchor *anchor = writer->anchor;
    struct recording_anchor *header = &writer->header;
    uint64_t offset = 0;
    bool written = true;
    if (chunk_claim(writer, &offset)) {
        header->chunk = (uint32_t)writer->chunks;
        const struct recording_place place = { anchor->life, anchor->segment, offset };
        recording_anchor_seal(header, &place);
        written = write_pieces(anchor->fd, writer->pieces, writer->piece_count, anchor->half_offset + offset);
        nanosleep(&(struct timespec){ .tv_nsec = (long)CHUNK_PAUSE_NS }, NULL);
    }
    writer->chunks++;
    memset(header, 0, sizeof *header);
    writer->piece_count = 1;
    return written;
}

static bool page_add(struct anchor_writer *writer, uint32_t page)
{
    struct recording_anchor *header = &writer->header;
    const uint8_t *bytes = (const uint8_t *)writer->anchor->replica + (uint64_t)page * RECORDING_BLOCK_BYTES;
    if (bytes_are_zero(bytes, RECORDING_BLOCK_BYTES))
        return true;
    header->pages[header->count++] = (struct recording_anchor_page){
        .checksum = writer->too_large ? 0 : checksum64(bytes, RECORDING_BLOCK_BYTES, 0),
        .page = page,
    };
    struct iovec *piece = &writer->pieces[writer->piece_count++];
    memcpy(&piece->iov_base, &bytes, sizeof bytes); /* only read from */
    piece->iov_len = RECORDING_BLOCK_BYTES;
    writer->pages++;
    return header->count < RECORDING_ANCHOR_PAGES_MAX || chunk_write(writer);
}

static bool write_parts(struct anchor_writer *writer)
{
    struct recording_part parts[RECORDING_PARTS_MAX];
    const uint32_t count = recording_parts(writer->anchor->replica, true, parts);
    uint64_t next = 0; /* parts may share a page */
    for (uint32_t at = 0; at < count; at++) {
        const uint64_t end = u64_round_up(parts[at].offset + parts[at].bytes, RECORDING_BLOCK_BYTES);
        for (uint64_t page = u64_max(next, parts[at].offset / RECORDING_BLOCK_BYTES);
             page < end / RECORDING_BLOCK_BYTES; page++) {
            if (page_is_used(writer, (uint32_t)page) && !page_add(writer, (uint32_t)page))
                return false;
            next = page + 1;
        }
    }
    return writer->header.count == 0 || chunk_write(writer);
}

static bool write_trailer(struct anchor_writer *writer)
{
    const struct recorder_anchor *anchor = writer->anchor;
    struct recording_trailer trailer = {
        .life = anchor->life,
        .segment = anchor->segment,
        .chunks = writer->chunks,
        .pages = writer->pages,
    };
    recording_trailer_encode(&trailer);
    memcpy(writer->trailer, &trailer, sizeof trailer);
    struct iovec piece = { .iov_base = writer->trailer, .iov_len = sizeof writer->trailer };
    return write_pieces(anchor->fd, &piece, 1, anchor->half_offset + anchor->half_bytes - RECORDING_BLOCK_BYTES);
}

enum anchor_status recorder_anchor_write(const struct recorder_anchor *anchor)
{
    static struct anchor_writer writer; /* of this child alone */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* What the child keeps open stays locked, and stays bound. */
    close_range(3, (unsigned)anchor->fd - 1, 0);
    close_range((unsigned)anchor->fd + 1, ~0U, 0);
    (void)nice(NICER);
    writer.anchor = anchor;
    writer.pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    writer.pieces[0] = (struct iovec){ .iov_base = &writer.header, .iov_len = sizeof writer.header };
    writer.piece_count = 1;
    if (!write_parts(&writer))
        return ANCHOR_FAILED;
    if (writer.too_large)
        return ANCHOR_TOO_LARGE;
    return write_trailer(&writer) ? ANCHOR_WRITTEN : ANCHOR_FAILED;
}

/* Writing and reading snapshot files; see snapshot_file.h. */
#include "snapshot_file.h"

#include "../core/wal_format.h"
#include "datadir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

__attribute__((format(printf, 2, 3))) static bool fail(char error[SNAPSHOT_ERROR_BYTES], const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, SNAPSHOT_ERROR_BYTES, format, arguments);
    va_end(arguments);
    return false;
}

static uint64_t record_bytes(uint32_t page_bytes) { return sizeof(struct snapshot_record) + page_bytes; }

static uint64_t record_offset(uint32_t page_bytes, uint64_t slot)
{
    return sizeof(struct snapshot_header) + slot * record_bytes(page_bytes);
}

static int write_at(int fd, const void *bytes, size_t count, uint64_t offset)
{
    const ssize_t written = pwrite(fd, bytes, count, (off_t)offset);
    return written == (ssize_t)count ? 0 : written < 0 ? -errno : -ENOSPC;
}

static struct hash128 header_hash(const struct snapshot_header *header)
{
    const uint8_t *rest = (const uint8_t *)header + sizeof header->hash;
    return checksum128(rest, sizeof *header - sizeof header->hash, SNAPSHOT_MAGIC);
}

/* ---- writing ---- */

bool snapshot_create(struct snapshot_writer *writer, const char *path, const struct limits *limits)
{
    *writer = (struct snapshot_writer){
        .path = path, .fd = -1, .page_bytes = limits->page_bytes, .pages_max = limits->pages_max
    };
    if (strcmp(path, "-") == 0)
        return fail(writer->error, "-: a snapshot is not written from its beginning to its end, and read back: it "
                                   "needs a file");
    if (access(path, F_OK) == 0)
        return fail(writer->error, "%s: exists already", path);
    if (asprintf(&writer->path_new, "%s.new", path) < 0)
        writer->path_new = NULL;
    writer->slot_of = calloc(limits->pages_max, sizeof *writer->slot_of);
    writer->page_of = calloc(limits->pages_max, sizeof *writer->page_of);
    writer->record = malloc(record_bytes(limits->page_bytes));
    if (writer->path_new == NULL || writer->slot_of == NULL || writer->page_of == NULL || writer->record == NULL)
        return fail(writer->error, "%s: no memory", path);
    writer->fd = open(writer->path_new, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (writer->fd < 0 && errno == EEXIST)
        return fail(writer->error, "%s: exists: another save is writing it, or one was killed and left it: remove it",
                    writer->path_new);
    return writer->fd >= 0 || fail(writer->error, "%s: cannot create: %s", writer->path_new, strerror(errno));
}

bool snapshot_put(struct snapshot_writer *writer, uint32_t page, struct hash128 hash, const uint8_t *bytes)
{
    ASSERT(page < writer->pages_max);
    uint32_t slot = writer->slot_of[page];
    if (slot == 0) {
        writer->page_of[writer->page_count] = page;
        slot = ++writer->page_count;
        writer->slot_of[page] = slot;
    }
    const struct snapshot_record record = { .hash = hash, .page = page };
    memcpy(writer->record, &record, sizeof record);
    memcpy(writer->record + sizeof record, bytes, writer->page_bytes);
    const int result = write_at(writer->fd, writer->record, record_bytes(writer->page_bytes),
                                record_offset(writer->page_bytes, slot - 1));
    return result == 0 || fail(writer->error, "%s: cannot write: %s", writer->path_new, strerror(-result));
}

/* The last record takes the place of the one that goes. */
bool snapshot_drop(struct snapshot_writer *writer, uint32_t page)
{
    ASSERT(page < writer->pages_max);
    const uint32_t slot = writer->slot_of[page];
    if (slot == 0)
        return true;
    const size_t bytes = record_bytes(writer->page_bytes);
    const uint32_t last = writer->page_of[writer->page_count - 1];
    int result = 0;
    if (last != page) {
        const uint64_t from = record_offset(writer->page_bytes, writer->page_count - 1);
        if (pread(writer->fd, writer->record, bytes, (off_t)from) != (ssize_t)bytes)
            return fail(writer->error, "%s: cannot read back", writer->path_new);
        result = write_at(writer->fd, writer->record, bytes, record_offset(writer->page_bytes, slot - 1));
        writer->page_of[slot - 1] = last;
        writer->slot_of[last] = slot;
    }
    writer->slot_of[page] = 0;
    writer->page_count--;
    return result == 0 || fail(writer->error, "%s: cannot write: %s", writer->path_new, strerror(-result));
}

static bool snapshot_verify(struct snapshot_writer *writer, const struct snapshot_header *header)
{
    struct limits limits = limits_production;
    limits.page_bytes = header->page_bytes;
    limits.pages_max = header->pages_max;
    ASSERT(limits_fingerprint(&limits) == header->fingerprint);
    struct snapshot_reader reader;
    const bool whole = snapshot_open(&reader, writer->path_new, &limits);
    if (!whole)
        memcpy(writer->error, reader.error, sizeof writer->error);
    snapshot_release(&reader);
    return whole;
}

bool snapshot_finish(struct snapshot_writer *writer, struct snapshot_header *header)
{
    header->magic = SNAPSHOT_MAGIC;
    header->version = SNAPSHOT_VERSION;
    header->stored_version = STORED_VERSION;
    header->page_count = writer->page_count;
    header->hash = header_hash(header);
    int result = write_at(writer->fd, header, sizeof *header, 0);
    /* Dropped records may have left more behind. */
    if (result == 0 && ftruncate(writer->fd, (off_t)record_offset(writer->page_bytes, writer->page_count)) != 0)
        result = -errno;
    if (result == 0 && fsync(writer->fd) != 0)
        result = -errno;
    if (result != 0)
        return fail(writer->error, "%s: cannot write: %s", writer->path_new, strerror(-result));
    if (!snapshot_verify(writer, header))
        return false;
    if (rename(writer->path_new, writer->path) != 0)
        return fail(writer->error, "%s: cannot rename to %s: %s", writer->path_new, writer->path, strerror(errno));
    close(writer->fd);
    writer->fd = -1;
    result = datadir_sync_parent(writer->path);
    return result == 0 || fail(writer->error, "%s: cannot sync its directory: %s", writer->path, strerror(-result));
}

void snapshot_close(struct snapshot_writer *writer)
{
    if (writer->fd >= 0) {
        close(writer->fd);
        unlink(writer->path_new);
    }
    free(writer->path_new);
    free(writer->slot_of);
    free(writer->page_of);
    free(writer->record);
    writer->fd = -1;
    writer->path_new = NULL;
    writer->slot_of = writer->page_of = NULL;
    writer->record = NULL;
}

/* ---- reading ---- */

static bool header_check(struct snapshot_reader *reader, const struct limits *limits)
{
    const struct snapshot_header *header = &reader->header;
    const char *path = reader->path;
    if (header->magic != SNAPSHOT_MAGIC)
        return fail(reader->error, "%s: not a snapshot file", path);
    if (!hash128_equal(header->hash, header_hash(header)))
        return fail(reader->error, "%s: its header is damaged", path);
    if (header->version != SNAPSHOT_VERSION || header->stored_version != STORED_VERSION)
        return fail(reader->error, "%s: has format %u.%u; this program reads %u.%u only", path, header->version,
                    header->stored_version, (unsigned)SNAPSHOT_VERSION, (unsigned)STORED_VERSION);
    if (header->fingerprint != limits_fingerprint(limits) || header->page_bytes != limits->page_bytes
        || header->pages_max != limits->pages_max)
        return fail(reader->error, "%s: comes from a cluster with other limits", path);
    struct stat status;
    const uint64_t expected = record_offset(header->page_bytes, header->page_count);
    if (header->page_count > header->pages_max || fstat(reader->fd, &status) != 0
        || (uint64_t)status.st_size != expected)
        return fail(reader->error, "%s: has not the %llu bytes that its header says: it is not whole", path,
                    (unsigned long long)expected);
    return true;
}

const uint8_t *snapshot_get(struct snapshot_reader *reader, uint64_t slot, uint32_t *page)
{
    struct snapshot_record record;
    const uint32_t page_bytes = reader->header.page_bytes;
    const size_t bytes = record_bytes(page_bytes);
    ASSERT(slot < reader->header.page_count);
    const ssize_t got = pread(reader->fd, reader->record, bytes, (off_t)record_offset(page_bytes, slot));
    if (got != (ssize_t)bytes) {
        fail(reader->error, "%s: cannot read: %s", reader->path, got < 0 ? strerror(errno) : "it became shorter");
        return NULL;
    }
    memcpy(&record, reader->record, sizeof record);
    const uint8_t *content = reader->record + sizeof record;
    const struct hash128 hash = page_map_hash(&reader->map, content);
    if (record.page >= reader->header.pages_max || record.zero != 0 || !hash128_equal(record.hash, hash)
        || hash128_is_zero(hash)) {
        fail(reader->error, "%s: damaged at byte %llu (page %u)", reader->path,
             (unsigned long long)record_offset(page_bytes, slot), record.page);
        return NULL;
    }
    *page = record.page;
    return content;
}

static bool pages_check(struct snapshot_reader *reader)
{
    for (uint64_t slot = 0; slot < reader->header.page_count; slot++) {
        uint32_t page;
        if (snapshot_get(reader, slot, &page) == NULL)
            return false;
        struct map_entry *entry = &reader->map.levels[0][page];
        if (!map_entry_is_zero(entry))
            return fail(reader->error, "%s: holds page %u twice", reader->path, page);
        memcpy(&entry->hash, reader->record, sizeof entry->hash); /* just verified */
    }
    const struct hash128 root = page_map_roll_up(&reader->map);
    if (!hash128_equal(checkpoint_hash(reader->header.id, root), reader->header.checkpoint))
        return fail(reader->error, "%s: its pages are not those of the checkpoint that its header names", reader->path);
    return true;
}

bool snapshot_open(struct snapshot_reader *reader, const char *path, const struct limits *limits)
{
    *reader = (struct snapshot_reader){ .path = path, .fd = open(path, O_RDONLY | O_CLOEXEC) };
    if (reader->fd < 0)
        return fail(reader->error, "%s: cannot open: %s", path, strerror(errno));
    const ssize_t got = pread(reader->fd, &reader->header, sizeof reader->header, 0);
    if (got < 0)
        return fail(reader->error, "%s: cannot read: %s", path, strerror(errno));
    if (got != (ssize_t)sizeof reader->header)
        return fail(reader->error, "%s: not a snapshot file", path);
    if (!header_check(reader, limits))
        return false;
    reader->record = malloc(record_bytes(limits->page_bytes));
    if (reader->record == NULL || !page_map_open(&reader->map, limits, reader->header.cluster_id))
        return fail(reader->error, "%s: no memory", path);
    return pages_check(reader);
}

void snapshot_release(struct snapshot_reader *reader)
{
    if (reader->fd >= 0)
        close(reader->fd);
    free(reader->record);
    page_map_close(&reader->map);
    reader->fd = -1;
    reader->record = NULL;
}

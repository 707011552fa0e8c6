/* A data directory from a snapshot file; see restore.h. */
#include "restore.h"

#include "../core/page.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The order of device 1: block 0 holds nothing, then the pages as the file has them, then the map level by level. */
enum { FIRST_BLOCK = 1 };

struct restore {
    struct datadir_origin origin; /* first: write_data() casts it back */
    struct snapshot_reader *reader;
    struct page_map map; /* of the new cluster */
    int fd;
    uint8_t *run; /* aligned, run_bytes of it: for O_DIRECT */
    uint32_t run_bytes;
    uint32_t run_used;
    uint64_t run_offset;
    uint32_t pages; /* taken over */
};

static int run_flush(struct restore *restore)
{
    uint32_t done = 0;
    while (done < restore->run_used) {
        const ssize_t written =
            pwrite(restore->fd, restore->run + done, restore->run_used - done, (off_t)(restore->run_offset + done));
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? -errno : -ENOSPC;
        done += (uint32_t)written;
    }
    restore->run_offset += restore->run_used;
    restore->run_used = 0;
    return 0;
}

/* One block behind the other. */
static int run_add(struct restore *restore, const uint8_t *bytes)
{
    const uint32_t page_bytes = restore->map.limits.page_bytes;
    ASSERT(restore->run_used + page_bytes <= restore->run_bytes);
    memcpy(restore->run + restore->run_used, bytes, page_bytes);
    restore->run_used += page_bytes;
    return restore->run_used == restore->run_bytes ? run_flush(restore) : 0;
}

static int restore_pages(struct restore *restore)
{
    uint32_t block = FIRST_BLOCK;
    int result = 0;
    for (uint64_t slot = 0; slot < restore->reader->header.page_count && result == 0; slot++) {
        uint32_t page;
        const uint8_t *bytes = snapshot_get(restore->reader, slot, &page);
        if (bytes == NULL)
            return -EIO;
        /* Who its members are the new cluster says itself. */
        const uint32_t first = page_configuration(&restore->map.limits);
        if (page - first < page_configuration_count(&restore->map.limits))
            continue;
        ASSERT(block < restore->map.limits.data_blocks);
        restore->map.levels[0][page] =
            (struct map_entry){ .hash = page_map_hash(&restore->map, bytes), .block = block++ };
        result = run_add(restore, bytes);
    }
    restore->pages = block - FIRST_BLOCK;
    return result;
}

static int restore_map(struct restore *restore)
{
    struct page_map *map = &restore->map;
    int result = 0;
    page_map_roll_up(map);
    page_map_place(map, FIRST_BLOCK + restore->pages);
    for (uint32_t level = 1; level <= map->root_level; level++) {
        for (uint32_t at = 0; at < map_count(&map->limits, level) && result == 0; at++) {
            if (!map_entry_is_zero(&map->levels[level][at]))
                result = run_add(restore, page_map_block(map, level, at));
        }
    }
    return result == 0 ? run_flush(restore) : result;
}

static int restore_write(struct datadir_origin *origin, const struct limits *limits, int fd)
{
    struct restore *restore = (struct restore *)origin;
    const struct log_id id = restore->reader->header.id;
    ASSERT(limits->page_bytes == restore->map.limits.page_bytes);
    ASSERT(limits->pages_max == restore->map.limits.pages_max);
    restore->fd = fd;
    restore->run_offset = (uint64_t)FIRST_BLOCK * limits->page_bytes;
    int result = restore_pages(restore);
    if (result == 0)
        result = restore_map(restore);
    const struct map_entry root = restore->map.levels[restore->map.root_level][0];
    origin->stored = (struct stored){
        .hard = { .term = id.term },
        .head = { .base = id },
        .checkpoint = { .id = id, .hash = checkpoint_hash(id, root.hash), .root = root },
    };
    return result;
}

static bool restore_directory(struct restore *restore, const struct restore_options *options,
                              struct restore_result *result)
{
    struct datadir datadir;
    struct datadir_options directory = options->directory;
    struct replica_config config = options->config;
    directory.origin = &restore->origin;
    directory.configuration = &options->configuration;
    config.cluster_id = result->cluster_id;
    if (!datadir_open(&datadir, &directory, &config, result->cluster_id)) {
        const char *error = restore->reader->error[0] != '\0' ? restore->reader->error : datadir.error;
        snprintf(result->error, sizeof result->error, "%s", error);
        return false;
    }
    result->checkpoint = restore->origin.stored.checkpoint;
    result->pages = restore->pages;
    datadir_close(&datadir);
    return true;
}

/* The same on all nodes, and not what the member list alone gives: on the same machines that may be the old cluster. */
static uint64_t derived_cluster_id(const struct restore_options *options, const struct snapshot_header *header)
{
    const uint64_t members = checksum64(options->configuration.members, sizeof options->configuration.members, 0);
    const uint64_t id = checksum64(&header->checkpoint, sizeof header->checkpoint, members);
    return id != 0 ? id : 1;
}

static bool restore_build(struct restore *restore, const struct restore_options *options, struct restore_result *result)
{
    struct limits limits;
    if (!datadir_limits(options->directory.wal_bytes, &limits)) {
        snprintf(result->error, sizeof result->error, "a WAL of %llu bytes is out of range",
                 (unsigned long long)options->directory.wal_bytes);
        return false;
    }
    restore->run_bytes = limits.data_run_bytes_max;
    void *run = mmap(NULL, restore->run_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    restore->run = run != MAP_FAILED ? run : NULL;
    bool built = false;
    if (restore->run == NULL || !page_map_open(&restore->map, &limits, result->cluster_id))
        snprintf(result->error, sizeof result->error, "no memory");
    else
        built = restore_directory(restore, options, result);
    page_map_close(&restore->map);
    if (restore->run != NULL)
        munmap(restore->run, restore->run_bytes);
    return built;
}

bool restore_run(const struct restore_options *options, struct restore_result *result)
{
    struct snapshot_reader reader;
    bool restored = false;
    *result = (struct restore_result){ .cluster_id = options->config.cluster_id };
    if (!snapshot_open(&reader, options->file, &limits_production)) {
        memcpy(result->error, reader.error, sizeof result->error);
    } else {
        result->header = reader.header;
        if (result->cluster_id == 0)
            result->cluster_id = derived_cluster_id(options, &reader.header);
        struct restore restore = { .origin = { .write_data = restore_write }, .reader = &reader };
        if (result->cluster_id == reader.header.cluster_id)
            snprintf(result->error, sizeof result->error,
                     "%s: comes from cluster %llu itself: a restored cluster needs an id of its own", options->file,
                     (unsigned long long)result->cluster_id);
        else
            restored = restore_build(&restore, options, result);
    }
    snapshot_release(&reader);
    return restored;
}

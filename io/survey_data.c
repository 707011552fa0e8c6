/* Device 1 from the outside; see survey_data.h. Blocks are read one by one, so that one that cannot be read hides no
 * other. */
#include "survey_data.h"

#include "../core/map.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct data_survey {
    const struct superblock *superblock;
    struct report *report;
    struct limits limits; /* only the geometry counts */
    int fd;
    uint64_t pages;
    uint64_t map_blocks;
    uint64_t wanted; /* entries without a block: their content was still to come from a peer */
    uint64_t damaged;
    uint64_t *used;                  /* bit per block */
    uint8_t *blocks[MAP_LEVELS_MAX]; /* the one being looked at, of each level; page_bytes each */
};

static void damage_report(struct data_survey *survey, uint32_t level, uint32_t at, const struct map_entry *entry,
                          const char *cause)
{
    struct report *report = survey->report;
    const uint64_t offset = (uint64_t)entry->block * survey->limits.page_bytes;
    report_text(report, "DAMAGED data at %" PRIu64 ": ", offset);
    if (level == 0)
        report_text(report, "page %" PRIu32 ": %s\n", at, cause);
    else
        report_text(report, "map block %" PRIu32 ":%" PRIu32 " and all below it: %s\n", level, at, cause);
    report_object(report, NULL);
    report_number(report, "offset", offset);
    report_number(report, "level", level); /* 0: a page */
    report_number(report, "at", at);
    report_string(report, "cause", cause);
    report_close(report);
    survey->damaged++;
}

/* NULL, or what is wrong. */
static const char *block_check(struct data_survey *survey, uint32_t level, uint32_t at, const struct map_entry *entry)
{
    const struct limits *limits = &survey->limits;
    uint8_t *block = survey->blocks[level];
    if (entry->block >= limits->data_blocks)
        return "lies behind the end of the device";
    uint64_t *word = &survey->used[entry->block / 64];
    const uint64_t bit = UINT64_C(1) << (entry->block % 64);
    if ((*word & bit) != 0)
        return "its block is used for something else, too";
    *word |= bit;
    const ssize_t got =
        pread(survey->fd, block, limits->page_bytes, (off_t)((uint64_t)entry->block * limits->page_bytes));
    if (got < 0)
        return strerror(errno);
    if ((uint64_t)got != limits->page_bytes)
        return "the file ends before it";
    const uint64_t cluster_id = survey->superblock->cluster_id;
    if (level > 0 && entry->checksum != map_block_checksum_in(limits, cluster_id, block, level, at))
        return "checksum";
    const struct hash128 hash = level > 0 ? map_block_hash(limits, block) : map_page_hash_in(limits, cluster_id, block);
    return hash128_equal(hash, entry->hash) ? NULL : "hash";
}

static void entry_survey(struct data_survey *survey, uint32_t level, uint32_t at, const struct map_entry *entry)
{
    if (map_entry_is_zero(entry))
        return;
    if (entry->block == 0) {
        survey->wanted++;
        return;
    }
    *(level > 0 ? &survey->map_blocks : &survey->pages) += 1;
    const char *problem = block_check(survey, level, at, entry);
    if (problem != NULL) {
        damage_report(survey, level, at, entry, problem);
        return;
    }
    if (level == 0)
        return;
    const uint32_t fanout = map_fanout(&survey->limits), count = map_count(&survey->limits, level - 1);
    for (uint32_t slot = 0; slot < fanout && at * fanout + slot < count; slot++) {
        struct map_entry below;
        memcpy(&below, survey->blocks[level] + slot * sizeof below, sizeof below);
        entry_survey(survey, level - 1, at * fanout + slot, &below);
    }
}

static void summary_report(const struct data_survey *survey, uint64_t allocated_bytes)
{
    struct report *report = survey->report;
    const uint64_t used = survey->pages + survey->map_blocks, all = survey->limits.data_blocks - 1;
    const uint64_t free_blocks = all - u64_min(used, all);
    report_text(report,
                "data: %" PRIu64 " pages and %" PRIu64 " map blocks in %" PRIu32 " levels; %" PRIu64 " of %" PRIu64
                " blocks free; %" PRIu64 " bytes on disk\n",
                survey->pages, survey->map_blocks, map_root(&survey->limits), free_blocks, all, allocated_bytes);
    if (survey->wanted > 0)
        report_text(report, "data: %" PRIu64 " pages or map blocks are still to come from a peer\n", survey->wanted);
    if (survey->damaged > 0)
        report_text(report, "data: %" PRIu64 " blocks DAMAGED\n", survey->damaged);
    report_number(report, "pages", survey->pages);
    report_number(report, "map_blocks", survey->map_blocks);
    report_number(report, "map_levels", map_root(&survey->limits));
    report_number(report, "blocks_free", free_blocks);
    report_number(report, "blocks", all);
    report_number(report, "bytes_on_disk", allocated_bytes);
    report_number(report, "wanted", survey->wanted);
}

static bool data_fail(const char *path, const char *cause)
{
    fprintf(stderr, "raftd: inspect: %s/data: %s\n", path, cause);
    return false;
}

static bool survey_levels(struct data_survey *survey, const char *path)
{
    const struct limits *limits = &survey->limits;
    const uint32_t root = map_root(limits);
    survey->used = calloc(limits->data_blocks / 64 + 1, sizeof *survey->used);
    bool memory = survey->used != NULL;
    for (uint32_t level = 0; level <= root; level++) {
        survey->blocks[level] = malloc(limits->page_bytes);
        memory = memory && survey->blocks[level] != NULL;
    }
    if (memory)
        entry_survey(survey, root, 0, &survey->superblock->stored.checkpoint.root);
    for (uint32_t level = 0; level <= root; level++)
        free(survey->blocks[level]);
    free(survey->used);
    return memory || data_fail(path, "no memory");
}

bool survey_data(const char *path, const struct superblock *superblock, struct report *report)
{
    struct data_survey survey = { .superblock = superblock, .report = report };
    survey.limits.page_bytes = superblock->page_bytes;
    survey.limits.pages_max = superblock->pages_max;
    survey.limits.data_blocks = superblock->data_blocks;
    if (superblock->page_bytes < BLOCK_BYTES_MIN / 2 || superblock->page_bytes > PAGE_BYTES_MAX)
        return data_fail(path, "the superblock names no size of pages");
    char name[PATH_MAX];
    snprintf(name, sizeof name, "%s/data", path);
    survey.fd = open(name, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (survey.fd < 0 || fstat(survey.fd, &status) != 0) {
        const bool missing = data_fail(path, strerror(errno));
        if (survey.fd >= 0)
            close(survey.fd);
        return missing;
    }
    report_object(report, "data");
    report_array(report, "damaged");
    bool whole = survey_levels(&survey, path);
    close(survey.fd);
    report_close(report);
    if (whole)
        summary_report(&survey, (uint64_t)status.st_blocks * 512);
    report_close(report);
    if ((uint64_t)status.st_size < limits_data_bytes(&survey.limits))
        whole = data_fail(path, "is shorter than it was formatted");
    return whole && survey.damaged == 0;
}

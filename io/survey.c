/* Reads a data directory from the outside; see survey.h. It holds no replica: it must be able to describe what no
 * replica would accept. */
#include "survey.h"

#include "../core/inspect.h"
#include "../core/wal_format.h"
#include "survey_data.h"
#include "survey_wal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct survey {
    const struct survey_options *options;
    int fd; /* of the WAL */
    uint64_t file_bytes;
    struct limits limits; /* only the geometry counts */
    struct superblock superblock;
    uint32_t copies_bad;
};

static bool survey_fail(const char *path, const char *name, const char *cause)
{
    fprintf(stderr, "raftd: inspect: %s%s: %s\n", path, name, cause);
    return false;
}

/* ---- opening ---- */

static bool survey_open(struct survey *survey)
{
    const char *path = survey->options->path;
    struct stat status;
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return survey_fail(path, "", strerror(errno));
    if (flock(directory, LOCK_SH | LOCK_NB) != 0)
        printf("note: a node is using this directory; what it holds may change while it is read\n");
    survey->fd = openat(directory, "wal", O_RDONLY | O_CLOEXEC);
    close(directory);
    if (survey->fd < 0)
        return survey_fail(path, "/wal", strerror(errno));
    if (fstat(survey->fd, &status) != 0 || !S_ISREG(status.st_mode))
        return survey_fail(path, "/wal", "not a regular file");
    survey->file_bytes = (uint64_t)status.st_size;
    return true;
}

/* ---- superblock ---- */

static bool superblock_at(const struct survey *survey, uint64_t offset, struct superblock *superblock)
{
    uint8_t block[PAGE_BYTES_MAX];
    const ssize_t got = pread(survey->fd, block, sizeof block, (off_t)offset);
    return got > 0 && superblock_decode((struct slice){ block, (uint32_t)got }, superblock);
}

/* The copies lie where a superblock says, so any intact one is looked for first. */
static bool superblock_any(struct survey *survey)
{
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++)
        if (superblock_at(survey, superblock_offset(&limits_production, copy), &survey->superblock))
            return true;
    for (uint64_t offset = 0; offset < survey->file_bytes; offset += BLOCK_BYTES_MIN)
        if (superblock_at(survey, offset, &survey->superblock))
            return true;
    return false;
}

static void superblock_copy_print(uint32_t copy, uint64_t offset, bool valid, const struct superblock *superblock,
                                  bool chosen)
{
    if (!valid) {
        printf("DAMAGED wal at %" PRIu64 ": superblock copy %" PRIu32 "\n", offset, copy);
        return;
    }
    printf("superblock copy %" PRIu32 "  %-7s sequence %" PRIu64 ", term %" PRIu64 ", ", copy,
           chosen ? "ok" : "differs", superblock->sequence, superblock->stored.hard.term);
    if (superblock->stored.hard.vote == VOTE_UNKNOWN)
        printf("vote given to an unknown node\n");
    else if (superblock->stored.hard.vote == 0)
        printf("no vote\n");
    else
        printf("vote for %" PRIu64 "\n", superblock->stored.hard.vote);
}

static void stored_print(const struct survey *survey)
{
    const struct stored *stored = &survey->superblock.stored;
    const struct checkpoint *checkpoint = &stored->checkpoint;
    if (checkpoint->id.index == 0)
        printf("checkpoint: none\n");
    else
        printf("checkpoint: behind entry %" PRIu64 " of term %" PRIu64 ", hash %016" PRIx64 "%016" PRIx64 "%s\n",
               checkpoint->id.index, checkpoint->id.term, checkpoint->hash.high, checkpoint->hash.low,
               (stored->flags & STORED_PARTIAL) != 0 ? "; PARTIAL, the rest is still to come from a peer" : "");
    printf("log begins at lsn %" PRIu64 ", behind entry %" PRIu64 " of term %" PRIu64 "%s\n", stored->head.lsn,
           stored->head.base.index, stored->head.base.term,
           (stored->flags & STORED_ABSTAIN) != 0 ? "; ABSTAINS from votes: it may have lost what it acknowledged" : "");
    if ((stored->flags & STORED_REJOIN) != 0)
        printf("REJOINS: formatted in the place of a lost directory, %s\n",
               stored->hard.term == 0 ? "and still asks what that one may have promised"
                                      : "and has not caught up with a leader yet");
}

static bool superblock_survey(struct survey *survey)
{
    struct superblock copies[SUPERBLOCK_COPIES] = { { .magic = 0 } };
    uint8_t valid[SUPERBLOCK_COPIES];
    if (!superblock_any(survey))
        return survey_fail(survey->options->path, "/wal", "no intact superblock: a foreign or destroyed file");
    const struct superblock *found = &survey->superblock;
    if (found->version != STORED_VERSION) {
        char cause[96];
        snprintf(cause, sizeof cause, "has format %u; this program reads format %u only", (unsigned)found->version,
                 (unsigned)STORED_VERSION);
        return survey_fail(survey->options->path, "/wal", cause);
    }
    survey->limits.block_bytes = found->block_bytes;
    survey->limits.superblock_stride_blocks = found->superblock_stride_blocks;
    survey->limits.wal_header_blocks = found->wal_header_blocks;
    survey->limits.wal_body_blocks = found->wal_body_blocks;
    survey->limits.wal_batch_bytes_max = found->wal_batch_bytes_max;
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++)
        valid[copy] = superblock_at(survey, superblock_offset(&survey->limits, copy), &copies[copy]);
    const uint32_t chosen = superblock_choose(copies, valid);
    if (chosen < SUPERBLOCK_COPIES)
        survey->superblock = copies[chosen];
    printf("cluster %" PRIu64 ", node %" PRIu64 ", directory %016" PRIx64 ", format %" PRIu32 ", members",
           found->cluster_id, found->node_id, found->instance, found->version);
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++)
        if (found->stored.members.latest.members[slot].id != 0)
            printf(" %" PRIu64, found->stored.members.latest.members[slot].id);
    printf("\nblocks of %" PRIu32 " bytes: header ring %" PRIu32 ", body %" PRIu32 "\n", found->block_bytes,
           found->wal_header_blocks, found->wal_body_blocks);
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++) {
        const bool same = valid[copy] != 0 && hash128_equal(copies[copy].hash, survey->superblock.hash);
        superblock_copy_print(copy, superblock_offset(&survey->limits, copy), valid[copy] != 0, &copies[copy], same);
        survey->copies_bad += same ? 0 : 1;
    }
    stored_print(survey);
    if (chosen == SUPERBLOCK_COPIES)
        printf("NO TWO COPIES AGREE: what this node has promised is lost; remove the directory, and start with "
               "--rejoin\n");
    return true;
}

enum survey_verdict survey_print(const struct survey_options *options)
{
    struct survey survey = { .options = options, .fd = -1 };
    enum survey_verdict verdict = SURVEY_UNREADABLE;
    if (survey_open(&survey) && superblock_survey(&survey)) {
        const bool truncated = survey.file_bytes < limits_wal_bytes(&survey.limits);
        if (truncated)
            printf("TRUNCATED: the file has %" PRIu64 " bytes instead of %" PRIu64 "\n", survey.file_bytes,
                   limits_wal_bytes(&survey.limits));
        const struct survey_wal_options wal = {
            .path = options->path,
            .fd = survey.fd,
            .superblock = &survey.superblock,
            .limits = survey.limits,
            .dump = options->dump,
        };
        bool whole = survey_wal(&wal);
        whole = survey_data(options->path, &survey.superblock) && whole;
        verdict = whole && !truncated && survey.copies_bad == 0 ? SURVEY_WHOLE : SURVEY_DAMAGED;
        printf("verdict: %s\n", verdict == SURVEY_WHOLE ? "whole" : "damaged");
    }
    if (survey.fd >= 0)
        close(survey.fd);
    return verdict;
}

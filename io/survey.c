/* Reads a data directory from the outside; see survey.h. It holds no replica: it must be able to describe what no
 * replica would accept. */
#include "survey.h"

#include "../core/inspect.h"
#include "../core/wal_format.h"
#include "survey_data.h"
#include "survey_report.h"
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
    bool in_use; /* by a node: what it holds may change while it is read */
    struct report report;
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
    survey->in_use = flock(directory, LOCK_SH | LOCK_NB) != 0;
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

static void copy_report(struct report *report, uint32_t copy, uint64_t offset, const struct superblock *superblock,
                        const char *state)
{
    report_object(report, NULL);
    report_number(report, "copy", copy);
    report_number(report, "offset", offset);
    report_string(report, "state", superblock != NULL ? state : "damaged");
    if (superblock == NULL) {
        report_text(report, "DAMAGED wal at %" PRIu64 ": superblock copy %" PRIu32 "\n", offset, copy);
        report_close(report);
        return;
    }
    const struct hard_state hard = superblock->stored.hard;
    report_text(report, "superblock copy %" PRIu32 "  %-7s sequence %" PRIu64 ", term %" PRIu64 ", ", copy, state,
                superblock->sequence, hard.term);
    report_number(report, "sequence", superblock->sequence);
    report_number(report, "term", hard.term);
    if (hard.vote == VOTE_UNKNOWN) {
        report_text(report, "vote given to an unknown node\n");
        report_string(report, "vote", "unknown");
    } else {
        report_text(report, hard.vote == 0 ? "no vote\n" : "vote for %" PRIu64 "\n", hard.vote);
        report_number(report, "vote", hard.vote);
    }
    report_close(report);
}

static void stored_report(struct report *report, const struct stored *stored)
{
    const struct checkpoint *checkpoint = &stored->checkpoint;
    const bool partial = (stored->flags & STORED_PARTIAL) != 0, abstains = (stored->flags & STORED_ABSTAIN) != 0;
    const bool rejoins = (stored->flags & STORED_REJOIN) != 0;
    if (checkpoint->id.index == 0)
        report_text(report, "checkpoint: none\n");
    else
        report_text(report,
                    "checkpoint: behind entry %" PRIu64 " of term %" PRIu64 ", hash %016" PRIx64 "%016" PRIx64 "%s\n",
                    checkpoint->id.index, checkpoint->id.term, checkpoint->hash.high, checkpoint->hash.low,
                    partial ? "; PARTIAL, the rest is still to come from a peer" : "");
    report_object(report, "checkpoint");
    report_number(report, "index", checkpoint->id.index);
    report_number(report, "term", checkpoint->id.term);
    report_hash(report, "hash", checkpoint->hash);
    report_flag(report, "partial", partial);
    report_close(report);
    report_text(report, "log begins at lsn %" PRIu64 ", behind entry %" PRIu64 " of term %" PRIu64 "%s\n",
                stored->head.lsn, stored->head.base.index, stored->head.base.term,
                abstains ? "; ABSTAINS from votes: it may have lost what it acknowledged" : "");
    report_object(report, "log_begins");
    report_number(report, "lsn", stored->head.lsn);
    report_number(report, "behind_index", stored->head.base.index);
    report_number(report, "behind_term", stored->head.base.term);
    report_close(report);
    report_flag(report, "abstains", abstains);
    if (rejoins)
        report_text(report, "REJOINS: formatted in the place of a lost directory, %s\n",
                    stored->hard.term == 0 ? "and still asks what that one may have promised"
                                           : "and has not caught up with a leader yet");
    report_flag(report, "rejoins", rejoins);
}

static void identity_report(struct report *report, const struct superblock *found, bool in_use)
{
    char directory[17];
    snprintf(directory, sizeof directory, "%016" PRIx64, found->instance);
    if (in_use)
        report_text(report, "note: a node is using this directory; what it holds may change while it is read\n");
    report_flag(report, "in_use", in_use);
    report_text(report, "cluster %" PRIu64 ", node %" PRIu64 ", directory %s, format %" PRIu32 ", members",
                found->cluster_id, found->node_id, directory, (uint32_t)found->version);
    report_id(report, "cluster_id", found->cluster_id);
    report_number(report, "node_id", found->node_id);
    report_string(report, "directory", directory);
    report_number(report, "format", found->version);
    report_array(report, "members");
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++) {
        const uint64_t id = found->stored.members.latest.members[slot].id;
        if (id == 0)
            continue;
        report_text(report, " %" PRIu64, id);
        report_number(report, NULL, id);
    }
    report_close(report);
    report_text(report, "\nblocks of %" PRIu32 " bytes: header ring %" PRIu32 ", body %" PRIu32 "\n",
                found->block_bytes, found->wal_header_blocks, found->wal_body_blocks);
    report_number(report, "block_bytes", found->block_bytes);
    report_number(report, "header_ring_blocks", found->wal_header_blocks);
    report_number(report, "body_blocks", found->wal_body_blocks);
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
    struct report *report = &survey->report;
    report_object(report, NULL);
    identity_report(report, found, survey->in_use);
    report_array(report, "superblocks");
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++) {
        const bool same = valid[copy] != 0 && hash128_equal(copies[copy].hash, survey->superblock.hash);
        copy_report(report, copy, superblock_offset(&survey->limits, copy), valid[copy] != 0 ? &copies[copy] : NULL,
                    same ? "ok" : "differs");
        survey->copies_bad += same ? 0 : 1;
    }
    report_close(report);
    stored_report(report, &survey->superblock.stored);
    if (chosen == SUPERBLOCK_COPIES)
        report_text(report, "NO TWO COPIES AGREE: what this node has promised is lost; remove the directory, and start "
                            "with --rejoin\n");
    report_flag(report, "promises_lost", chosen == SUPERBLOCK_COPIES);
    return true;
}

/* The log and the pages; sets all_there. False: there is nothing to look at. */
static bool survey_look(struct survey *survey, bool *all_there)
{
    struct report *report = &survey->report;
    if (!survey_open(survey) || !superblock_survey(survey))
        return false;
    const uint64_t wal_bytes = limits_wal_bytes(&survey->limits);
    const bool truncated = survey->file_bytes < wal_bytes;
    if (truncated)
        report_text(report, "TRUNCATED: the file has %" PRIu64 " bytes instead of %" PRIu64 "\n", survey->file_bytes,
                    wal_bytes);
    report_number(report, "wal_file_bytes", survey->file_bytes);
    report_number(report, "wal_bytes", wal_bytes);
    const struct survey_wal_options wal = {
        .path = survey->options->path,
        .fd = survey->fd,
        .superblock = &survey->superblock,
        .limits = survey->limits,
        .batches = survey->options->batches || survey->options->dump,
        .dump = survey->options->dump,
        .report = report,
    };
    const bool whole = survey_wal(&wal);
    *all_there = survey_data(survey->options->path, &survey->superblock, report) && whole && !truncated;
    return true;
}

enum survey_verdict survey_print(const struct survey_options *options)
{
    struct survey survey = { .options = options, .fd = -1, .report = { .json = options->json } };
    struct report *report = &survey.report;
    enum survey_verdict verdict = SURVEY_UNREADABLE;
    bool all_there;
    if (survey_look(&survey, &all_there)) {
        verdict = all_there && survey.copies_bad == 0 ? SURVEY_WHOLE : SURVEY_DAMAGED;
        const char *text = verdict == SURVEY_WHOLE ? "whole" : "damaged";
        report_text(report, "verdict: %s\n", text);
        report_string(report, "verdict", text);
        report_close(report);
    }
    if (survey.fd >= 0)
        close(survey.fd);
    return verdict;
}

enum survey_verdict survey_contents(const char *path)
{
    const struct survey_options options = { .path = path };
    struct survey survey = { .options = &options, .fd = -1, .report = { .silent = true } };
    bool all_there;
    const bool seen = survey_look(&survey, &all_there);
    if (survey.fd >= 0)
        close(survey.fd);
    return !seen ? SURVEY_UNREADABLE : all_there ? SURVEY_WHOLE : SURVEY_DAMAGED;
}

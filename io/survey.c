/* Reads a data directory from the outside; see survey.h. The walk follows the rules of core/wal_format.h and comes to
 * the verdicts of core/recovery.c, but holds no replica: it must be able to describe what no replica would accept. */
#include "survey.h"

#include "../core/entry.h"
#include "../core/inspect.h"
#include "../core/request.h"
#include "../core/wal_format.h"
#include "survey_data.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct survey {
    const struct survey_options *options;
    const uint8_t *image; /* the WAL file, mapped */
    uint64_t image_bytes;
    struct limits limits; /* only the geometry counts */
    struct superblock superblock;
    uint32_t copies_bad;
    uint64_t named_sequence;   /* batches up to it were durable, by the header ring */
    uint64_t durable_sequence; /* the same, by what headers in the body say */
    uint64_t lsn;
    uint64_t sequence;
    struct hash128 hash;
    uint64_t batches;
    struct log_id last;
};

static bool survey_fail(const char *path, const char *name, const char *cause)
{
    fprintf(stderr, "raftd: inspect: %s%s: %s\n", path, name, cause);
    return false;
}

/* ---- opening ---- */

static bool survey_map(struct survey *survey, int directory)
{
    const char *path = survey->options->path;
    struct stat status;
    int wal = openat(directory, "wal", O_RDONLY | O_CLOEXEC);
    if (wal < 0)
        return survey_fail(path, "/wal", strerror(errno));
    void *image = MAP_FAILED;
    if (fstat(wal, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0)
        image = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, wal, 0);
    close(wal);
    if (image == MAP_FAILED)
        return survey_fail(path, "/wal", "not a file that can be read");
    survey->image = image;
    survey->image_bytes = (uint64_t)status.st_size;
    return true;
}

static bool survey_open(struct survey *survey)
{
    const char *path = survey->options->path;
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return survey_fail(path, "", strerror(errno));
    if (flock(directory, LOCK_SH | LOCK_NB) != 0)
        printf("note: a node is using this directory; its tail may move while it is read\n");
    const bool mapped = survey_map(survey, directory);
    close(directory);
    return mapped;
}

static struct slice survey_bytes(const struct survey *survey, uint64_t offset)
{
    const uint64_t left = offset < survey->image_bytes ? survey->image_bytes - offset : 0;
    return (struct slice){ .bytes = survey->image + (left > 0 ? offset : 0),
                           .count = (uint32_t)u64_min(left, UINT32_MAX) };
}

/* ---- superblock ---- */

/* The copies lie where a superblock says, so any intact one is looked for first. */
static bool superblock_any(struct survey *survey)
{
    for (uint64_t offset = 0; offset < survey->image_bytes; offset += BLOCK_BYTES_MIN)
        if (superblock_decode(survey_bytes(survey, offset), &survey->superblock))
            return true;
    return false;
}

static void superblock_copy_print(uint32_t copy, bool valid, const struct superblock *superblock, bool chosen)
{
    if (!valid) {
        printf("superblock copy %" PRIu32 "  DAMAGED\n", copy);
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
}

static bool superblock_survey(struct survey *survey)
{
    struct superblock copies[SUPERBLOCK_COPIES] = { { .magic = 0 } };
    uint8_t valid[SUPERBLOCK_COPIES];
    if (!superblock_any(survey))
        return survey_fail(survey->options->path, "/wal", "no intact superblock: a foreign or destroyed file");
    const struct superblock *found = &survey->superblock;
    survey->limits.block_bytes = found->block_bytes;
    survey->limits.superblock_stride_blocks = found->superblock_stride_blocks;
    survey->limits.wal_header_blocks = found->wal_header_blocks;
    survey->limits.wal_body_blocks = found->wal_body_blocks;
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++)
        valid[copy] = superblock_decode(survey_bytes(survey, superblock_offset(&survey->limits, copy)), &copies[copy]);
    const uint32_t chosen = superblock_choose(copies, valid);
    if (chosen < SUPERBLOCK_COPIES)
        survey->superblock = copies[chosen];
    printf("cluster %" PRIu64 ", node %" PRIu64 ", directory %016" PRIx64 ", format %" PRIu32 ", voters",
           found->cluster_id, found->node_id, found->instance, found->version);
    for (uint32_t slot = 0; slot < u32_min(found->voter_count, VOTERS_MAX); slot++)
        printf(" %" PRIu64, found->voters[slot]);
    printf("\nblocks of %" PRIu32 " bytes: header ring %" PRIu32 ", body %" PRIu32 "\n", found->block_bytes,
           found->wal_header_blocks, found->wal_body_blocks);
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++) {
        const bool same = valid[copy] != 0 && hash128_equal(copies[copy].hash, survey->superblock.hash);
        superblock_copy_print(copy, valid[copy] != 0, &copies[copy], same);
        survey->copies_bad += same ? 0 : 1;
    }
    stored_print(survey);
    if (chosen == SUPERBLOCK_COPIES)
        printf("NO TWO COPIES AGREE: what this node has promised is lost; it must rejoin under a new id\n");
    return true;
}

/* ---- header ring ---- */

static void names_survey(struct survey *survey)
{
    const uint32_t block_bytes = survey->limits.block_bytes;
    uint32_t used = 0;
    uint64_t newest = 0;
    for (uint32_t block = 0; block < survey->limits.wal_header_blocks; block++) {
        struct wal_name_header name;
        struct slice bytes = survey_bytes(survey, wal_header_offset(&survey->limits) + (uint64_t)block * block_bytes);
        if (bytes.count < block_bytes)
            break;
        bytes.count = block_bytes;
        if (!wal_name_decode(bytes, survey->superblock.cluster_id, &name))
            continue;
        used++;
        newest = u64_max(newest, name.sequence);
        survey->named_sequence = u64_max(survey->named_sequence, name.durable_sequence);
    }
    const uint64_t written = u64_min(newest, survey->limits.wal_header_blocks);
    printf("header ring: %" PRIu32 " of %" PRIu64 " written blocks intact; names batches up to %" PRIu64 "\n", used,
           written, survey->named_sequence);
}

/* ---- body ---- */

static void entry_print(const struct survey *survey, const struct entry *entry)
{
    static const char *const kinds[] = { "?", "register", "put", "delete", "append", "cas", "txn" };
    printf("    entry %" PRIu64 "  term %" PRIu64 "  ", entry->id.index, entry->id.term);
    struct request request;
    struct limits limits = limits_production;
    limits.block_bytes = survey->limits.block_bytes;
    if (entry->kind == ENTRY_NOOP) {
        printf("no-op\n");
        return;
    }
    if (!command_decode(entry->body, &limits, &request) || request.kind > REQUEST_TXN) {
        printf("%" PRIu32 " bytes that are no command\n", entry->body.count);
        return;
    }
    printf("%s", kinds[request.kind]);
    if (request.session != 0)
        printf("  session %" PRIu64 " sequence %" PRIu64, request.session, request.sequence);
    if (request.key.count > 0) {
        printf("  key ");
        text_write_json(stdout, request.key);
    }
    if (request.value.count > 0)
        printf("  value of %" PRIu32 " bytes", request.value.count);
    printf("\n");
}

static void batch_print(const struct survey *survey, const struct wal_batch_view *batch)
{
    printf("batch %" PRIu64 "  lsn %" PRIu64 "  %" PRIu32 " bytes  term %" PRIu64, batch->sequence, batch->lsn,
           batch->run_bytes, batch->term);
    if (batch->entry_count > 0)
        printf("  %s %" PRIu64 "..%" PRIu64, batch->repair ? "repairs" : "entries", batch->first_index,
               batch->first_index + batch->entry_count - 1);
    else
        printf("  cut of a recovery");
    printf("  %s\n", batch->sequence <= survey->named_sequence ? "ok, named" : "ok");
}

/* Every entry is decoded, so that its term is known; printed only on request. */
static void batch_entries(struct survey *survey, const struct wal_batch_view *batch)
{
    struct slice left = batch->entries;
    for (uint32_t i = 0; i < batch->entry_count; i++) {
        struct entry entry;
        const uint32_t bytes = entry_decode(left, &entry);
        if (survey->options->dump)
            entry_print(survey, &entry);
        survey->last = entry.id;
        left.bytes += bytes;
        left.count -= bytes;
    }
}

/* Takes the batch at the tail, if it is whole and continues the log. */
static bool body_batch(struct survey *survey)
{
    const uint64_t capacity = (uint64_t)survey->limits.wal_body_blocks * survey->limits.block_bytes;
    const struct slice bytes = survey_bytes(survey, wal_body_offset(&survey->limits) + survey->lsn);
    struct wal_batch_view batch;
    if (survey->lsn >= capacity || !wal_batch_inspect(bytes, survey->superblock.cluster_id, survey->lsn, &batch)
        || !hash128_equal(batch.prev_hash, survey->hash) || batch.sequence <= survey->sequence)
        return false;
    batch_print(survey, &batch);
    batch_entries(survey, &batch);
    survey->batches++;
    survey->lsn += batch.run_bytes;
    survey->sequence = batch.sequence;
    survey->hash = batch.hash;
    return true;
}

/* Behind the tail: headers that say that a later batch was durable, and how much is written there at all. */
static uint64_t tail_survey(struct survey *survey)
{
    const uint32_t block_bytes = survey->limits.block_bytes;
    const uint64_t capacity = (uint64_t)survey->limits.wal_body_blocks * block_bytes;
    const uint64_t window = (uint64_t)(limits_production.wal_unnamed_max + 1) * limits_production.wal_batch_bytes_max;
    uint64_t written = 0;
    for (uint64_t lsn = survey->lsn; lsn < u64_min(capacity, survey->lsn + window); lsn += block_bytes) {
        struct slice block = survey_bytes(survey, wal_body_offset(&survey->limits) + lsn);
        if (block.count < block_bytes)
            break;
        block.count = block_bytes;
        uint32_t zeros = 0;
        while (zeros < block_bytes && block.bytes[zeros] == 0)
            zeros++;
        written += zeros < block_bytes ? 1 : 0;
        struct wal_batch_header header;
        if (wal_batch_header_decode(block, survey->superblock.cluster_id, lsn, &header)
            && header.sequence > survey->sequence)
            survey->durable_sequence = u64_max(survey->durable_sequence, header.durable_sequence);
    }
    return written;
}

static enum survey_verdict body_survey(struct survey *survey)
{
    while (body_batch(survey)) {}
    const uint64_t behind = tail_survey(survey);
    const uint64_t capacity = (uint64_t)survey->limits.wal_body_blocks * survey->limits.block_bytes;
    printf("log: %" PRIu64 " batches, last entry %" PRIu64 " of term %" PRIu64 "; %" PRIu64 " of %" PRIu64
           " bytes used\n",
           survey->batches, survey->last.index, survey->last.term, survey->lsn, capacity);
    if (u64_max(survey->named_sequence, survey->durable_sequence) > survey->sequence) {
        printf("DAMAGED at lsn %" PRIu64 ": the batch there was durable, and is not readable now (entry %" PRIu64
               " and later)\n",
               survey->lsn, survey->last.index + 1);
        return SURVEY_DAMAGED;
    }
    if (behind > 0)
        printf("tail: %" PRIu64
               " written blocks behind the last batch were never acknowledged; a start cuts them off\n",
               behind);
    return SURVEY_WHOLE;
}

enum survey_verdict survey_print(const struct survey_options *options)
{
    struct survey survey = { .options = options };
    if (!survey_open(&survey))
        return SURVEY_UNREADABLE;
    enum survey_verdict verdict = SURVEY_UNREADABLE;
    if (superblock_survey(&survey)) {
        if (survey.image_bytes < limits_wal_bytes(&survey.limits))
            printf("TRUNCATED: the file has %" PRIu64 " bytes instead of %" PRIu64 "\n", survey.image_bytes,
                   limits_wal_bytes(&survey.limits));
        names_survey(&survey);
        verdict = body_survey(&survey);
        if (!survey_data(options->path, &survey.superblock) || survey.copies_bad > 0
            || survey.image_bytes < limits_wal_bytes(&survey.limits))
            verdict = SURVEY_DAMAGED;
        printf("verdict: %s\n", verdict == SURVEY_WHOLE ? "whole" : "damaged");
    }
    munmap((void *)(uintptr_t)survey.image, survey.image_bytes);
    return verdict;
}

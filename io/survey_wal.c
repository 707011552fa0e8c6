/* Device 0 from the outside; see survey_wal.h. Read in pieces, so that a block that cannot be read is one that is
 * damaged, and not the end. */
#include "survey_wal.h"

#include "../core/entry.h"
#include "../core/inspect.h"
#include "../core/request.h"
#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* An entry that cannot be read, until a later batch holds it once more or replaces it. */
struct lost_entry {
    uint64_t index;
    uint64_t sequence; /* of its batch */
};

struct wal_survey {
    const struct survey_wal_options *options;
    uint64_t cluster_id;
    uint64_t ring_bytes;
    uint8_t *run;   /* wal_batch_bytes_max */
    uint8_t *block; /* one */
    /* What the header ring names, sorted by lsn. */
    struct wal_batch_header *names;
    size_t name_count;
    size_t name_capacity;
    uint64_t named_sequence; /* batches up to it were durable */
    /* The walk. */
    uint64_t lsn;
    uint64_t sequence;
    struct hash128 hash;
    struct log_id last;
    uint64_t batches;
    struct wal_batch_header *bad; /* those that cannot be read */
    size_t bad_count;
    size_t bad_capacity;
    uint64_t tail_blocks; /* written, behind the last batch */
    struct lost_entry *lost;
    size_t lost_count;
    size_t lost_capacity;
    bool no_memory;
};

/* Room for one more. NULL: no memory, which is remembered. */
static void *grow(struct wal_survey *survey, void *array, size_t *capacity, size_t count, size_t element_bytes)
{
    if (count < *capacity)
        return array;
    const size_t more = *capacity == 0 ? 64 : 2 * *capacity;
    void *grown = realloc(array, more * element_bytes);
    if (grown == NULL)
        survey->no_memory = true;
    else
        *capacity = more;
    return grown;
}

/* `count` bytes at the offset into `to`; what cannot be read is zeros, and as good as damaged. */
static void device_read(const struct wal_survey *survey, uint64_t offset, uint8_t *to, uint32_t count)
{
    const uint32_t block_bytes = survey->options->limits.block_bytes;
    if (pread(survey->options->fd, to, count, (off_t)offset) == (ssize_t)count)
        return;
    for (uint32_t at = 0; at < count; at += block_bytes) {
        if (pread(survey->options->fd, to + at, block_bytes, (off_t)(offset + at)) != (ssize_t)block_bytes)
            memset(to + at, 0, block_bytes);
    }
}

static uint64_t body_offset(const struct wal_survey *survey, uint64_t lsn)
{
    return wal_body_offset(&survey->options->limits) + lsn % survey->ring_bytes;
}

/* ---- header ring ---- */

static int name_compare(const void *a, const void *b)
{
    const struct wal_batch_header *left = a, *right = b;
    if (left->lsn != right->lsn)
        return left->lsn < right->lsn ? -1 : 1;
    return left->sequence < right->sequence ? -1 : left->sequence > right->sequence;
}

static void names_take(struct wal_survey *survey, struct slice block, const struct wal_name_header *name)
{
    survey->named_sequence = u64_max(survey->named_sequence, name->durable_sequence);
    for (uint32_t at = 0; at < name->count; at++) {
        struct wal_batch_header header;
        if (!wal_name_batch(block, at, survey->cluster_id, &header))
            continue;
        struct wal_batch_header *names =
            grow(survey, survey->names, &survey->name_capacity, survey->name_count, sizeof *names);
        if (names == NULL)
            return;
        survey->names = names;
        survey->names[survey->name_count++] = header;
    }
}

static void names_survey(struct wal_survey *survey)
{
    const struct limits *limits = &survey->options->limits;
    struct report *report = survey->options->report;
    uint32_t intact = 0, bad = 0;
    report_object(report, "header_ring");
    report_array(report, "mendable");
    for (uint32_t slot = 0; slot < limits->wal_header_blocks; slot++) {
        const uint64_t offset = wal_header_offset(limits) + (uint64_t)slot * limits->block_bytes;
        const struct slice block = { survey->block, limits->block_bytes };
        struct wal_name_header name;
        device_read(survey, offset, survey->block, limits->block_bytes);
        if (wal_name_decode(block, survey->cluster_id, &name)) {
            intact++;
            names_take(survey, block, &name);
        } else if (!bytes_are_zero(survey->block, limits->block_bytes)) {
            bad++;
            report_text(report, "mendable wal at %" PRIu64 ": block %" PRIu32 " of the header ring\n", offset, slot);
            report_object(report, NULL);
            report_number(report, "offset", offset);
            report_number(report, "block", slot);
            report_close(report);
        }
    }
    if (survey->name_count > 0)
        qsort(survey->names, survey->name_count, sizeof survey->names[0], name_compare);
    report_text(report,
                "header ring: %" PRIu32 " blocks intact, %" PRIu32 " mendable; names batches up to %" PRIu64 "\n",
                intact, bad, survey->named_sequence);
    report_close(report);
    report_number(report, "blocks_intact", intact);
    report_number(report, "named_sequence", survey->named_sequence);
    report_close(report);
}

/* ---- what was lost ---- */

static void lost_add(struct wal_survey *survey, const struct wal_batch_header *header)
{
    for (uint32_t at = 0; at < header->entry_count; at++) {
        struct lost_entry *lost = grow(survey, survey->lost, &survey->lost_capacity, survey->lost_count, sizeof *lost);
        if (lost == NULL)
            return;
        survey->lost = lost;
        lost[survey->lost_count++] =
            (struct lost_entry){ .index = header->first_index + at, .sequence = header->sequence };
    }
}

static bool lost_has(const struct wal_survey *survey, uint64_t sequence)
{
    for (size_t at = 0; at < survey->lost_count; at++)
        if (survey->lost[at].sequence == sequence)
            return true;
    return false;
}

/* first..last are good again, or not part of the log any more. */
static void lost_remove(struct wal_survey *survey, uint64_t first, uint64_t last)
{
    size_t kept = 0;
    for (size_t at = 0; at < survey->lost_count; at++) {
        if (survey->lost[at].index < first || survey->lost[at].index > last)
            survey->lost[kept++] = survey->lost[at];
    }
    survey->lost_count = kept;
}

/* ---- the walk ---- */

static void command_report(struct report *report, const struct request *request)
{
    static const char *const kinds[] = { "?", "register", "put", "delete", "append", "cas", "txn" };
    report_text(report, "%s", kinds[request->kind]);
    report_string(report, "kind", kinds[request->kind]);
    if (request->session != 0)
        report_text(report, "  session %" PRIu64 " sequence %" PRIu64, request->session, request->sequence);
    report_number(report, "session", request->session);
    report_number(report, "sequence", request->sequence);
    if (request->key.count > 0 && !report->json) {
        printf("  key ");
        text_write_json(stdout, request->key);
    }
    report_bytes(report, "key", request->key);
    if (request->value.count > 0)
        report_text(report, "  value of %" PRIu32 " bytes", request->value.count);
    report_number(report, "value_bytes", request->value.count);
    report_text(report, "\n");
}

static void entry_report(const struct wal_survey *survey, const struct entry *entry)
{
    struct report *report = survey->options->report;
    struct request request;
    struct limits limits = limits_production;
    limits.block_bytes = survey->options->limits.block_bytes;
    report_text(report, "    entry %" PRIu64 "  term %" PRIu64 "  ", entry->id.index, entry->id.term);
    report_object(report, NULL);
    report_number(report, "index", entry->id.index);
    report_number(report, "term", entry->id.term);
    if (entry->kind == ENTRY_NOOP || entry->kind == ENTRY_CHECKPOINT) {
        const char *kind = entry->kind == ENTRY_NOOP ? "no-op" : "checkpoint";
        report_text(report, "%s\n", kind);
        report_string(report, "kind", kind);
    } else if (entry->kind == ENTRY_CONFIG) {
        report_text(report, "configuration\n");
        report_string(report, "kind", "configuration");
    } else if (command_decode(entry->body, &limits, &request) && request.kind <= REQUEST_TXN) {
        command_report(report, &request);
    } else {
        report_text(report, "%" PRIu32 " bytes that are no command\n", entry->body.count);
        report_string(report, "kind", "unknown");
        report_number(report, "bytes", entry->body.count);
    }
    report_close(report);
}

static void entries_report(const struct wal_survey *survey, const struct wal_batch_header *header)
{
    struct slice left = { survey->run + sizeof *header, header->body_bytes };
    report_array(survey->options->report, "dump");
    for (uint32_t at = 0; at < header->entry_count; at++) {
        struct entry entry;
        const uint32_t bytes = entry_decode(left, &entry);
        entry_report(survey, &entry);
        left.bytes += bytes;
        left.count -= bytes;
    }
    report_close(survey->options->report);
}

static void batch_print(const struct wal_survey *survey, const struct wal_batch_header *header, bool good)
{
    const struct report *report = survey->options->report;
    report_text(report, "batch %" PRIu64 "  lsn %" PRIu64 "  %" PRIu32 " bytes  term %" PRIu64, header->sequence,
                header->lsn, header->run_bytes, good ? header->term : header->entry_term);
    if (header->entry_count == 0)
        report_text(report, "  cut of a recovery");
    else
        report_text(report, "  entries %" PRIu64 "..%" PRIu64, header->first_index,
                    header->first_index + header->entry_count - 1);
    if (wal_batch_appends(header->kind) && header->first_index <= survey->last.index)
        report_text(report, "  in place of all from there on");
    if (header->kind == WAL_BATCH_REPAIR)
        report_text(report, "  once more");
    report_text(report, "  %s\n",
                !good                                        ? "cannot be read"
                : header->sequence <= survey->named_sequence ? "ok, named"
                                                             : "ok");
}

static void batch_report(const struct wal_survey *survey, const struct wal_batch_header *header, bool good)
{
    struct report *report = survey->options->report;
    const bool named = header->sequence <= survey->named_sequence;
    batch_print(survey, header, good);
    report_object(report, NULL);
    report_string(report, "state", !good ? "unreadable" : named ? "named" : "ok");
    report_number(report, "offset", body_offset(survey, header->lsn));
    report_number(report, "sequence", header->sequence);
    report_number(report, "lsn", header->lsn);
    report_number(report, "bytes", header->run_bytes);
    report_number(report, "term", good ? header->term : header->entry_term);
    report_string(report, "kind",
                  wal_batch_appends(header->kind)    ? "append"
                  : header->kind == WAL_BATCH_REPAIR ? "repair"
                                                     : "cut");
    report_number(report, "first_index", header->first_index);
    report_number(report, "entries", header->entry_count);
    report_flag(report, "replaces", wal_batch_appends(header->kind) && header->first_index <= survey->last.index);
    if (good && survey->options->dump)
        entries_report(survey, header);
    report_close(report);
}

/* Recovery's rule for what an intact header must say to belong to the log (its entries' terms apart). */
static bool batch_follows(const struct wal_survey *survey, const struct wal_batch_header *header)
{
    const struct limits *limits = &survey->options->limits;
    return header->sequence > survey->sequence && hash128_equal(header->prev_hash, survey->hash)
           && header->run_bytes <= limits->wal_batch_bytes_max && header->run_bytes % limits->block_bytes == 0
           && (!wal_batch_appends(header->kind) || header->first_index <= survey->last.index + 1);
}

static void bad_add(struct wal_survey *survey, const struct wal_batch_header *header)
{
    struct wal_batch_header *bad = grow(survey, survey->bad, &survey->bad_capacity, survey->bad_count, sizeof *bad);
    if (bad == NULL)
        return;
    survey->bad = bad;
    bad[survey->bad_count++] = *header;
}

/* It belongs to the log; good: so do its bytes. */
static void batch_take(struct wal_survey *survey, const struct wal_batch_header *header, bool good)
{
    const uint64_t first = header->first_index, last = first + header->entry_count - 1;
    if (survey->options->batches)
        batch_report(survey, header, good);
    if (wal_batch_appends(header->kind)) {
        lost_remove(survey, first, UINT64_MAX);
        survey->last = (struct log_id){ .term = header->entry_term, .index = last };
    } else if (header->kind == WAL_BATCH_REPAIR && good) {
        lost_remove(survey, first, last);
    }
    if (!good && wal_batch_appends(header->kind))
        lost_add(survey, header);
    if (good)
        survey->batches++;
    else
        bad_add(survey, header);
    survey->sequence = header->sequence;
    survey->hash = header->hash;
    survey->lsn = wal_place(&survey->options->limits, header->lsn + header->run_bytes);
}

/* The batch at the tail, if it is whole and continues the log. */
static bool batch_good(struct wal_survey *survey, struct wal_batch_header *header)
{
    const struct limits *limits = &survey->options->limits;
    const struct slice block = { survey->block, limits->block_bytes };
    device_read(survey, body_offset(survey, survey->lsn), survey->block, limits->block_bytes);
    if (!wal_batch_header_decode(block, survey->cluster_id, survey->lsn, header) || !batch_follows(survey, header))
        return false;
    device_read(survey, body_offset(survey, survey->lsn), survey->run, header->run_bytes);
    return wal_batch_body_valid(header, survey->cluster_id, survey->run);
}

/* Looks at what lies behind the tail, as far as batches may have been in flight. */
struct tail {
    uint64_t durable_sequence; /* of batches that something there says were durable */
    uint64_t written;          /* blocks that are not zero */
    bool identified;           /* the batch behind the lost one says what that was */
    struct wal_batch_header lost;
};

static void tail_identify(const struct wal_survey *survey, struct tail *tail, const struct wal_batch_header *next)
{
    const struct limits *limits = &survey->options->limits;
    if (next->prev_bytes == 0 || next->lsn - next->prev_bytes != survey->lsn || next->sequence < survey->sequence + 2)
        return;
    const uint32_t run = u32_min(next->prev_bytes, limits->wal_batch_bytes_max);
    tail->lost = (struct wal_batch_header){
        .hash = next->prev_hash,
        .prev_hash = survey->hash,
        .kind = next->prev_kind,
        .sequence = next->sequence - 1,
        .lsn = survey->lsn,
        .first_index = next->prev_first_index,
        .entry_term = next->prev_entry_term,
        .entry_count = next->prev_entry_count,
        .run_bytes = run - run % limits->block_bytes,
    };
    tail->identified = batch_follows(survey, &tail->lost);
}

static struct tail tail_look(struct wal_survey *survey)
{
    const struct limits *limits = &survey->options->limits;
    const uint64_t window = (uint64_t)(limits_production.wal_unnamed_max + 1) * limits->wal_batch_bytes_max;
    const uint64_t end =
        u64_min(survey->lsn + window, survey->options->superblock->stored.head.lsn + survey->ring_bytes);
    struct tail tail = { .durable_sequence = survey->named_sequence };
    const struct slice block = { survey->block, limits->block_bytes };
    for (uint64_t lsn = survey->lsn; lsn + limits->block_bytes <= end; lsn += limits->block_bytes) {
        struct wal_batch_header header;
        device_read(survey, body_offset(survey, lsn), survey->block, limits->block_bytes);
        tail.written += !bytes_are_zero(survey->block, limits->block_bytes);
        if (!wal_batch_header_decode(block, survey->cluster_id, lsn, &header) || header.sequence <= survey->sequence)
            continue;
        tail.durable_sequence = u64_max(tail.durable_sequence, header.durable_sequence);
        if (lsn == survey->lsn && batch_follows(survey, &header)) {
            tail.lost = header;
            tail.identified = true;
        } else if (!tail.identified) {
            tail_identify(survey, &tail, &header);
        }
    }
    return tail;
}

static bool names_identify(const struct wal_survey *survey, struct wal_batch_header *lost)
{
    size_t low = 0, high = survey->name_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (survey->names[middle].lsn < survey->lsn)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < survey->name_count && survey->names[low].lsn == survey->lsn; low++) {
        *lost = survey->names[low];
        if (batch_follows(survey, lost))
            return true;
    }
    return false;
}

/* From the head to the tail. False: a batch was durable, and nothing says what it held. */
static bool walk(struct wal_survey *survey)
{
    const uint64_t end = survey->options->superblock->stored.head.lsn + survey->ring_bytes;
    while (survey->lsn < end && !survey->no_memory) {
        struct wal_batch_header header;
        if (batch_good(survey, &header)) {
            batch_take(survey, &header, true);
            continue;
        }
        const struct tail tail = tail_look(survey);
        if (tail.durable_sequence <= survey->sequence) {
            if (tail.written > 0)
                report_text(survey->options->report,
                            "tail: %" PRIu64 " written blocks behind the last batch were never acknowledged, or are of "
                            "an earlier lap\n",
                            tail.written);
            survey->tail_blocks = tail.written;
            return true;
        }
        if (!tail.identified && !names_identify(survey, &header)) {
            report_text(survey->options->report,
                        "DAMAGED wal at %" PRIu64
                        ": a batch that was durable; what it held, and what follows, is unknown\n",
                        body_offset(survey, survey->lsn));
            return false;
        }
        batch_take(survey, tail.identified ? &tail.lost : &header, false);
    }
    return true;
}

/* ---- the whole ---- */

/* What cannot be read, and whether that matters. How many of them have lost something. */
static uint64_t bad_report(const struct wal_survey *survey)
{
    struct report *report = survey->options->report;
    uint64_t damaged = 0;
    report_array(report, "unreadable");
    for (size_t at = 0; at < survey->bad_count; at++) {
        const struct wal_batch_header *header = &survey->bad[at];
        const bool mended = !lost_has(survey, header->sequence);
        damaged += !mended;
        report_text(report, "%s wal at %" PRIu64 ": batch %" PRIu64, mended ? "mended" : "DAMAGED",
                    body_offset(survey, header->lsn), header->sequence);
        if (header->entry_count > 0)
            report_text(report, ", entries %" PRIu64 "..%" PRIu64, header->first_index,
                        header->first_index + header->entry_count - 1);
        report_text(report, "%s\n", mended ? ": all in later batches, or in the checkpoint" : "");
        report_object(report, NULL);
        report_number(report, "offset", body_offset(survey, header->lsn));
        report_number(report, "sequence", header->sequence);
        report_number(report, "first_index", header->first_index);
        report_number(report, "entries", header->entry_count);
        report_flag(report, "mended", mended);
        report_close(report);
    }
    report_close(report);
    return damaged;
}

static void summary_report(const struct wal_survey *survey, bool known)
{
    struct report *report = survey->options->report;
    const struct stored *stored = &survey->options->superblock->stored;
    report_object(report, "log");
    const uint64_t damaged = bad_report(survey);
    report_text(report, "log: %" PRIu64 " batches intact, %" PRIu64 " mended, %" PRIu64 " damaged; ", survey->batches,
                survey->bad_count - damaged, damaged);
    if (survey->last.index == stored->head.base.index)
        report_text(report, "no entry");
    else
        report_text(report, "entries %" PRIu64 "..%" PRIu64 ", the last of term %" PRIu64, stored->head.base.index + 1,
                    survey->last.index, survey->last.term);
    report_text(report, "; %" PRIu64 " of %" PRIu64 " bytes used\n", survey->lsn - stored->head.lsn,
                survey->ring_bytes);
    report_flag(report, "end_known", known);
    report_number(report, "batches_intact", survey->batches);
    report_number(report, "batches_mended", survey->bad_count - damaged);
    report_number(report, "batches_damaged", damaged);
    report_number(report, "first_index", stored->head.base.index + 1);
    report_number(report, "last_index", survey->last.index);
    report_number(report, "last_term", survey->last.term);
    report_number(report, "end_lsn", survey->lsn);
    report_number(report, "bytes_used", survey->lsn - stored->head.lsn);
    report_number(report, "bytes_max", survey->ring_bytes);
    report_number(report, "tail_blocks_written", survey->tail_blocks);
    report_array(report, "lost");
    for (size_t at = 0; at < survey->lost_count; at++) {
        const struct lost_entry *lost = &survey->lost[at];
        report_text(report, "LOST: entry %" PRIu64 " of batch %" PRIu64 ", unless a peer has it\n", lost->index,
                    lost->sequence);
        report_object(report, NULL);
        report_number(report, "index", lost->index);
        report_number(report, "batch", lost->sequence);
        report_close(report);
    }
    report_close(report);
    report_close(report);
}

bool survey_wal(const struct survey_wal_options *options)
{
    const struct superblock *superblock = options->superblock;
    struct wal_survey survey = {
        .options = options,
        .cluster_id = superblock->cluster_id,
        .ring_bytes = (uint64_t)options->limits.wal_body_blocks * options->limits.block_bytes,
        .run = malloc(options->limits.wal_batch_bytes_max),
        .block = malloc(options->limits.block_bytes),
        .lsn = superblock->stored.head.lsn,
        .sequence = superblock->stored.head.sequence,
        .hash = superblock->stored.head.prev_hash,
        .last = superblock->stored.head.base,
    };
    bool known = false;
    if (survey.run != NULL && survey.block != NULL) {
        names_survey(&survey);
        if (options->batches)
            report_array(options->report, "batches");
        known = walk(&survey);
        if (options->batches)
            report_close(options->report);
        lost_remove(&survey, 0, superblock->stored.checkpoint.id.index);
        summary_report(&survey, known);
    }
    if (survey.run == NULL || survey.block == NULL || survey.no_memory)
        fprintf(stderr, "raftd: inspect: %s: no memory\n", options->path);
    const bool whole = known && !survey.no_memory && survey.lost_count == 0;
    free(survey.run);
    free(survey.block);
    free(survey.names);
    free(survey.lost);
    free(survey.bad);
    return whole;
}

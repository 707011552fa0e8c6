/* Stepping a replica through a recording; see playback.h. */
#define _GNU_SOURCE 1 /* as -D defines it */
#include "playback.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../core/inspect.h"

struct playback {
    struct playback_source source;
    struct playback_view view;
    struct playback_segments segments;
    struct playback_show show;
    struct playback_reader reader;
    uint32_t segment; /* in `segments` */
    struct output output;
    size_t region_bytes;
    size_t output_bytes;
    uint8_t *region;
    uint8_t *output_region;
    uint8_t *scratch; /* a chunk of an anchor, or what a scrub read */
};

__attribute__((format(printf, 3, 4))) static enum playback_result playback_result(struct playback *playback,
                                                                                  enum playback_result result,
                                                                                  const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(playback->view.text, sizeof playback->view.text, format, arguments);
    va_end(arguments);
    return result;
}

static uint8_t *memory_map(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory != MAP_FAILED)
        madvise(memory, bytes, MADV_HUGEPAGE); /* as the node's, where the kernel has such pages */
    return memory == MAP_FAILED ? NULL : memory;
}

static void memory_unmap(uint8_t *memory, size_t bytes)
{
    if (memory != NULL)
        munmap(memory, bytes);
}

static struct replica *replica_of(uint8_t *region) { return (struct replica *)(void *)region; }

static void damage_add(struct playback *playback, const char *what, uint64_t offset, uint64_t inputs)
{
    struct playback_damage *damage = &playback->view.damage;
    if (damage->places++ == 0)
        *damage = (struct playback_damage){ 1, what, offset, playback->view.step, 0 };
    damage->inputs += inputs;
}

/* ---- anchors ---- */

/* A region as the anchor has it, or NULL. */
static uint8_t *region_of_anchor(struct playback *playback, const struct recording_header *header)
{
    uint8_t *region = memory_map(playback->region_bytes);
    uint8_t *fresh = memory_map(playback->region_bytes);
    bool whole = region != NULL && fresh != NULL;
    if (whole) {
        uint64_t offset = 0;
        const enum playback_anchor anchor =
            playback_anchor(&playback->source, header, region, playback->scratch, &offset);
        whole = anchor == PLAYBACK_ANCHOR_WHOLE
                && recording_region_fits(replica_of(region), replica_init(fresh, &header->limits, &header->config));
        if (!whole && anchor != PLAYBACK_ANCHOR_NONE)
            damage_add(playback, "anchor", offset, 0);
    }
    memory_unmap(fresh, playback->region_bytes);
    if (whole)
        return region;
    memory_unmap(region, playback->region_bytes);
    return NULL;
}

/* Which of the pages from `first` on were ever touched: the others are zero, and reading them would cost more than all
 * else. A page that was swapped out may count as not touched. */
static bool pages_touched(const uint8_t *region, uint64_t first, uint64_t count, uint8_t *touched)
{
    uint8_t *start;
    const uint8_t *from = region + first * RECORDING_BLOCK_BYTES;
    memcpy(&start, &from, sizeof start); /* it is only looked at */
    return mincore(start, count * RECORDING_BLOCK_BYTES, touched) == 0;
}

/* The first byte of two equal stretches of the region that differs; `end` when none does. */
static uint64_t first_difference(const uint8_t *here, const uint8_t *there, uint64_t offset, uint64_t end)
{
    enum { WINDOW = 512 };
    uint8_t touched[2][WINDOW];
    while (offset < end) {
        const uint64_t first = offset / RECORDING_BLOCK_BYTES;
        const uint64_t last = (end - 1) / RECORDING_BLOCK_BYTES;
        const uint64_t count = u64_min(last - first + 1, WINDOW);
        const bool known =
            pages_touched(here, first, count, touched[0]) && pages_touched(there, first, count, touched[1]);
        for (uint64_t page = 0; page < count; page++) {
            const uint64_t page_end = u64_min(end, (first + page + 1) * RECORDING_BLOCK_BYTES);
            const bool skip = known && (touched[0][page] & 1) == 0 && (touched[1][page] & 1) == 0;
            if (!skip && memcmp(here + offset, there + offset, page_end - offset) != 0) {
                while (here[offset] == there[offset])
                    offset++;
                return offset;
            }
            offset = page_end;
        }
    }
    return end;
}

/* The lowest index whose bytes differ, 0: none does. All else that is known of the two logs is equal. */
static uint64_t first_other_entry(const struct replica *here, const struct replica *there)
{
    struct replica_view view;
    replica_inspect(here, &view);
    if (view.role == RAFT_STARTING)
        return 0; /* not all of it has been read */
    for (uint64_t index = view.base.index + 1; index <= view.last.index; index++) {
        struct entry a, b;
        if (!replica_entry_readable(here, index))
            continue;
        replica_entry(here, index, &a);
        replica_entry(there, index, &b);
        if (a.kind != b.kind || a.body.count != b.body.count || memcmp(a.body.bytes, b.body.bytes, a.body.count) != 0)
            return index;
    }
    return 0;
}

/* Is the replayed state that of the anchor, byte for byte? */
static enum playback_result anchor_compare(struct playback *playback, uint8_t *anchor, uint64_t segment)
{
    struct recording_part parts[RECORDING_PARTS_MAX];
    const uint32_t count = recording_parts(replica_of(playback->region), false, parts);
    playback->view.anchors++;
    for (uint32_t at = 0; at < count; at++) {
        const uint64_t end = parts[at].offset + parts[at].bytes;
        const uint64_t differs = first_difference(playback->region, anchor, parts[at].offset, end);
        if (differs == end)
            continue;
        return playback_result(playback, PLAYBACK_DIFFERS,
                               "before step %" PRIu64 " the state is not that of the anchor of segment %" PRIu64
                               ": %s differ at byte %" PRIu64 " of the region",
                               playback->view.step + 1, segment, parts[at].name, differs);
    }
    const uint64_t entry = first_other_entry(replica_of(playback->region), replica_of(anchor));
    if (entry != 0)
        return playback_result(playback, PLAYBACK_DIFFERS,
                               "before step %" PRIu64 " the state is not that of the anchor of segment %" PRIu64
                               ": entry %" PRIu64 " of the log differs",
                               playback->view.step + 1, segment, entry);
    return PLAYBACK_STEP;
}

/* Reading goes on, or begins, at this segment with the state that it has itself. */
static bool segment_start(struct playback *playback, uint32_t segment)
{
    const struct recording_header *header = &playback->segments.headers[segment];
    uint8_t *region = NULL;
    if (header->segment == 0) {
        region = memory_map(playback->region_bytes);
        if (region != NULL)
            replica_init(region, &header->limits, &header->config);
    } else {
        region = region_of_anchor(playback, header);
    }
    if (region == NULL)
        return false;
    /* Observers may still know the replica that was there: it is another one now, not gone. */
    if (playback->region == NULL)
        playback->region = region;
    else if (mremap(region, playback->region_bytes, playback->region_bytes, MREMAP_MAYMOVE | MREMAP_FIXED,
                    playback->region)
             == MAP_FAILED)
        return false;
    playback->segment = segment;
    playback_reader_begin(&playback->reader, header);
    playback->view.replica = replica_of(playback->region);
    playback->view.step = header->first_step;
    playback->view.digest = header->digest;
    playback->view.segments++;
    return true;
}

/* ---- opening ---- */

struct playback *playback_open(const struct playback_source *source, struct observer *observer,
                               char error[PLAYBACK_ERROR_BYTES])
{
    struct playback *playback = calloc(1, sizeof *playback);
    snprintf(error, PLAYBACK_ERROR_BYTES, "out of memory");
    if (playback == NULL)
        return NULL;
    playback->source = *source;
    if (!playback_segments(source, &playback->segments)) {
        playback_no_segments(source, error);
        playback_close(playback);
        return NULL;
    }
    const struct limits *limits = &playback->segments.headers[0].limits;
    playback->region_bytes = replica_bytes(limits);
    playback->output_bytes = output_bytes(limits);
    playback->output_region = memory_map(playback->output_bytes);
    playback->reader.source = &playback->source;
    playback->reader.buffer = memory_map(RECORDING_CHUNK_BYTES);
    playback->scratch = memory_map(RECORDING_CHUNK_BYTES);
    if (playback->output_region == NULL || playback->reader.buffer == NULL || playback->scratch == NULL) {
        playback_close(playback);
        return NULL;
    }
    output_init(&playback->output, playback->output_region, limits);
    if (playback->segments.damaged)
        damage_add(playback, "header", playback->segments.damaged_offset, 0);
    uint32_t first = 0;
    while (first < playback->segments.count && !segment_start(playback, first))
        first++;
    if (first == playback->segments.count) {
        snprintf(error, PLAYBACK_ERROR_BYTES, "no anchor is whole: there is no state to begin with");
        playback_close(playback);
        return NULL;
    }
    playback->view.header = playback->segments.headers[first];
    playback->show.observer = observer;
    playback_show_begin(&playback->show, &playback->view.header);
    return playback;
}

void playback_close(struct playback *playback)
{
    if (playback == NULL)
        return;
    memory_unmap(playback->region, playback->region_bytes);
    memory_unmap(playback->output_region, playback->output_bytes);
    memory_unmap(playback->reader.buffer, RECORDING_CHUNK_BYTES);
    memory_unmap(playback->scratch, RECORDING_CHUNK_BYTES);
    free(playback);
}

const struct playback_view *playback_view(const struct playback *playback) { return &playback->view; }

/* ---- records ---- */

/* The segment follows and begins where the one before it ended. */
static enum playback_result segment_follow(struct playback *playback, uint32_t next)
{
    const struct recording_header *header = &playback->segments.headers[next];
    const uint64_t reached = playback->view.step;
    uint8_t *anchor = region_of_anchor(playback, header);
    enum playback_result result = PLAYBACK_STEP;
    if (header->digest != playback->view.digest)
        result = playback_result(playback, PLAYBACK_DIFFERS, "step %" PRIu64 ": its outputs differ", reached);
    if (result == PLAYBACK_STEP && anchor != NULL)
        result = anchor_compare(playback, anchor, header->segment);
    memory_unmap(anchor, playback->region_bytes);
    playback->segment = next;
    playback_reader_begin(&playback->reader, header);
    playback->view.segments++;
    return result;
}

/* Not all of it could be fed. end: of the sentence. */
static enum playback_result playback_broken(struct playback *playback, const char *end)
{
    const struct playback_damage *damage = &playback->view.damage;
    const char *what = damage->places > 0 ? damage->what : "a gap";
    char where[96] = "", more[48] = "", step[48] = "";
    if (damage->places > 0)
        snprintf(where, sizeof where, " at byte %" PRIu64 " of the file", damage->offset);
    if (damage->places > 1)
        snprintf(more, sizeof more, " and %" PRIu32 " more place%s", damage->places - 1,
                 damage->places == 2 ? "" : "s");
    if (damage->places == 0 || damage->step > 0)
        snprintf(step, sizeof step, ", behind step %" PRIu64, damage->places > 0 ? damage->step : playback->view.step);
    return playback_result(playback, PLAYBACK_BROKEN,
                           "%s%s%s%s; %" PRIu64 " intact input%s behind that could not be fed%s", what, where, more,
                           step, damage->inputs, damage->inputs == 1 ? "" : "s", end);
}

/* The segment is over: its next record is not intact. */
static enum playback_result segment_over(struct playback *playback)
{
    struct playback_view *view = &playback->view;
    const uint32_t next = playback->segment + 1;
    const struct recording_header *header = next < playback->segments.count ? &playback->segments.headers[next] : NULL;
    const bool follows = header != NULL && header->follows == 1;
    if (follows && header->first_step == view->step)
        return segment_follow(playback, next);
    const uint64_t offset = playback_reader_offset(&playback->reader);
    uint64_t inputs;
    if (playback_reader_behind(&playback->reader, &inputs) || follows)
        damage_add(playback, "records", offset, inputs);
    if (header == NULL) {
        view->missing += inputs;
        return PLAYBACK_END;
    }
    const uint64_t reached = view->step;
    if (!segment_start(playback, next)) {
        playback_reader_begin(&playback->reader, header);
        (void)playback_reader_behind(&playback->reader, &inputs);
        view->damage.inputs += inputs;
        return playback_broken(playback, ", for there is no whole anchor");
    }
    view->missing += header->first_step - u64_min(header->first_step, reached);
    playback_show_gap(&playback->show);
    return PLAYBACK_STEP;
}

/* The bytes of a read that are not stored. */
static bool record_complete(struct playback *playback)
{
    struct recorded *record = &playback->reader.record;
    const uint32_t count = record->input.bytes.count;
    if (record->form == 0)
        return true;
    ASSERT(count <= RECORDING_CHUNK_BYTES);
    if (record->form == RECORDING_ZERO) {
        memset(playback->scratch, 0, count);
    } else {
        const struct slice expected = recording_expected(replica_of(playback->region), record->input.op_id);
        if (expected.count != count)
            return false;
        memcpy(playback->scratch, expected.bytes, count);
    }
    record->input.bytes.bytes = playback->scratch;
    return true;
}

/* Everything was read. */
static enum playback_result playback_over(struct playback *playback)
{
    if (playback->view.damage.places == 0)
        return PLAYBACK_END;
    return playback_broken(playback, "; all that could is as it was");
}

enum playback_result playback_next(struct playback *playback)
{
    struct playback_view *view = &playback->view;
    while (!playback_reader_next(&playback->reader)) {
        const enum playback_result result = segment_over(playback);
        if (result != PLAYBACK_STEP)
            return result == PLAYBACK_END ? playback_over(playback) : result;
    }
    const struct recorded *record = &playback->reader.record;
    if (record->digest != view->digest)
        return playback_result(playback, PLAYBACK_DIFFERS,
                               "step %" PRIu64 ": its outputs differ: digest %016" PRIx64 " here, %016" PRIx64
                               " in the recording",
                               view->step, view->digest, record->digest);
    if (record->kind == RECORDING_END) {
        view->ended = true;
        return playback_over(playback);
    }
    if (!record_complete(playback) || (record->kind == INPUT_START) != (view->step == 0))
        return playback_result(playback, PLAYBACK_DIFFERS, "step %" PRIu64 ": this input is impossible here",
                               view->step + 1);
    view->step++;
    view->steps++;
    view->input = &record->input;
    view->now_ns = record->input.now_ns;
    if (view->steps == 1)
        view->first_ns = view->now_ns;
    replica_step(replica_of(playback->region), &record->input, &playback->output);
    view->output = &playback->output;
    view->digest = recording_mix(view->digest, &playback->output);
    if (playback->show.observer != NULL) {
        playback->show.time_ns = view->now_ns - view->first_ns;
        playback->show.step = view->step;
        playback_show_step(&playback->show, &record->input, &playback->output, replica_of(playback->region));
    }
    return PLAYBACK_STEP;
}

/* The records of one segment, one after the other, and what lies behind one that is not intact; see playback.h. */
#include "playback.h"

#include <string.h>

enum { RECORD_ALIGNMENT = 8 };

void playback_reader_begin(struct playback_reader *reader, const struct recording_header *header)
{
    reader->header = header;
    reader->chunk = 0;
    reader->at = RECORDING_HEADER_BYTES;
    reader->loaded = false;
}

uint64_t playback_reader_offset(const struct playback_reader *reader)
{
    return reader->header->segment % 2 * reader->header->half_bytes + reader->chunk + reader->at;
}

/* The chunk of the next record is read. False: the segment has no more. */
static bool reader_chunk(struct playback_reader *reader)
{
    if (RECORDING_CHUNK_BYTES - reader->at < sizeof(struct recording_record)) {
        reader->chunk += RECORDING_CHUNK_BYTES;
        reader->at = 0;
        reader->loaded = false;
    }
    if (reader->loaded)
        return true;
    if (reader->chunk + RECORDING_CHUNK_BYTES > reader->header->half_bytes)
        return false;
    const uint64_t offset = playback_reader_offset(reader) - reader->at;
    reader->loaded = reader->source->read(reader->source, offset, reader->buffer, RECORDING_CHUNK_BYTES);
    return reader->loaded;
}

/* Moves over the record that is there. False: none is intact. */
static bool reader_record(struct playback_reader *reader)
{
    const struct recording_place place = { reader->header->life, reader->header->segment, reader->chunk + reader->at };
    const struct slice rest = { reader->buffer + reader->at, RECORDING_CHUNK_BYTES - reader->at };
    const uint32_t bytes = recording_decode(rest, &place, &reader->record);
    if (bytes == 0)
        return false;
    reader->at = reader->record.kind == RECORDING_PAD ? RECORDING_CHUNK_BYTES : reader->at + bytes;
    return true;
}

bool playback_reader_next(struct playback_reader *reader)
{
    do {
        if (!reader_chunk(reader) || !reader_record(reader))
            return false;
    } while (reader->record.kind == RECORDING_PAD);
    return true;
}

bool playback_reader_behind(struct playback_reader *reader, uint64_t *inputs)
{
    bool any = false;
    *inputs = 0;
    while (reader_chunk(reader)) {
        if (reader->at == 0 && bytes_are_zero(reader->buffer, RECORDING_CHUNK_BYTES)) {
            reader->at = RECORDING_CHUNK_BYTES; /* never written */
        } else if (reader_record(reader)) {
            any = true;
            *inputs += reader->record.kind <= INPUT_DISK;
        } else {
            reader->at += RECORD_ALIGNMENT;
        }
    }
    return any;
}

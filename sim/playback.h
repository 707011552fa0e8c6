/* A recording of a real node (core/recording.h), stepped through once more: the same core is fed the same inputs, and
 * must show the same outputs.
 *
 *   playback_open --> playback_next: STEP, STEP ... --> END, or what went wrong
 *
 * Reading begins at the oldest anchor that is whole, or at the start of the life, and goes on through all that follows.
 * Where a later anchor is met, the replayed state is compared with it, byte for byte. Behind a gap, or when a segment
 * is damaged, it goes on at the next anchor.
 *
 * A segment ends where the first record is not intact. Nothing is wrong with that when nothing intact is behind it: so
 * ends what was written last, whatever ended it. Else what lies there was overwritten, and is damage; so is an anchor
 * whose trailer is there and which is not whole, and a half that is not empty and has no header.
 *
 * What is found wrong is found at the first input behind it: each record has the digest of all outputs before. So the
 * outputs of the very last input are not compared, unless the life ended on purpose.
 *
 * Memory: twice the region of the node, of which only what was used is ever touched. */
#ifndef WW_PLAYBACK_H
#define WW_PLAYBACK_H

#include "../core/recording.h"
#include "observe.h"

enum { PLAYBACK_ERROR_BYTES = 256 };

/* Bytes of a recording, wherever they are. False: they cannot be read. */
struct playback_source {
    bool (*read)(const struct playback_source *source, uint64_t offset, void *to, size_t count);
    uint64_t bytes;
    int fd;               /* of playback_file_open() */
    const uint8_t *image; /* of playback_image() */
};

/* A file. False: error says why. */
bool playback_file_open(struct playback_source *source, const char *path, char error[PLAYBACK_ERROR_BYTES]);
void playback_file_close(struct playback_source *source);
/* Does its node still write it? Then what is read changes meanwhile, and may look damaged. */
bool playback_file_is_written(const struct playback_source *source);
/* Bytes in memory, borrowed. */
void playback_image(struct playback_source *source, const uint8_t *bytes, uint64_t count);
/* Does it begin as a recording does? Total over any bytes. */
bool playback_is_recording(const struct playback_source *source);

enum playback_result {
    PLAYBACK_STEP,    /* one more input was fed */
    PLAYBACK_END,     /* all of them were, and everything was as it is recorded */
    PLAYBACK_DIFFERS, /* the first difference; `text` names it */
    PLAYBACK_BROKEN,  /* the file could not be read any more; likewise */
};

/* What of the file is not as it was written. */
struct playback_damage {
    uint32_t places;  /* found; what follows tells of the first one */
    const char *what; /* "records", "anchor", "header" */
    uint64_t offset;  /* in the file */
    uint64_t step;    /* the last one before it that was fed, 0: none */
    uint64_t inputs;  /* behind all of them: intact, but without those before them they cannot be fed */
};

struct playback_view {
    struct recording_header header; /* of the segment where reading began */
    const struct replica *replica;
    const struct input *input; /* the latest one; until the next call */
    const struct output *output;
    uint64_t step;     /* inputs of the life up to the latest one, recorded or not */
    uint64_t steps;    /* fed here */
    uint64_t first_ns; /* by the node's clock: the first and the latest input */
    uint64_t now_ns;
    uint64_t digest;   /* of all outputs */
    uint32_t segments; /* read */
    uint32_t anchors;  /* compared with the replayed state */
    uint64_t missing;  /* inputs that were not fed, in gaps or for damage; of damage at the end only what is intact */
    struct playback_damage damage;
    bool ended; /* the life ended on purpose */
    char text[PLAYBACK_ERROR_BYTES];
};

struct playback;

/* NULL: error says why. observer: is told each step, frame and disk operation; NULL: nobody looks. */
struct playback *playback_open(const struct playback_source *source, struct observer *observer,
                               char error[PLAYBACK_ERROR_BYTES]);
void playback_close(struct playback *playback);

enum playback_result playback_next(struct playback *playback);
/* Changes with each call of playback_next(). */
const struct playback_view *playback_view(const struct playback *playback);

/* ---- playback_run.c: the whole of a file, with a report ---- */

enum playback_verdict { PLAYBACK_SAME, PLAYBACK_OTHER, PLAYBACK_UNREADABLE };

struct playback_run_options {
    const char *path;
    struct observer *observer; /* NULL: nobody looks */
    bool json;
    bool quiet;
    uint64_t (*now_ms)(void);
    const struct playback_view **current; /* for whoever must say how far it came when the core asserts */
    struct look *look;                    /* of the observer: its end is shown before the verdict */
};

/* Is there a recording under that name? */
bool playback_is_file(const char *path);

/* Prints the verdict to standard output, what is wrong with the file to standard error. */
enum playback_verdict playback_run(const struct playback_run_options *options);

/* ---- between playback.c, playback_file.c, playback_records.c and playback_show.c ---- */

/* The segments of a file, oldest first. */
struct playback_segments {
    uint32_t count;
    struct recording_header headers[2];
    bool damaged; /* the other half has something, and no header */
    uint64_t damaged_offset;
};

/* False: there is none. */
bool playback_segments(const struct playback_source *source, struct playback_segments *segments);
/* Why there is none. */
void playback_no_segments(const struct playback_source *source, char error[PLAYBACK_ERROR_BYTES]);

enum playback_anchor { PLAYBACK_ANCHOR_WHOLE, PLAYBACK_ANCHOR_NONE, PLAYBACK_ANCHOR_DAMAGED };

/* Loads the anchor of the segment into a zeroed region. chunk: RECORDING_CHUNK_BYTES of memory. NONE: it was not
 * finished, or the next segment of that half was begun. *offset: in the file, of what is damaged. */
enum playback_anchor playback_anchor(const struct playback_source *source, const struct recording_header *header,
                                     uint8_t *region, uint8_t *chunk, uint64_t *offset);

/* The records of one segment. */
struct playback_reader {
    const struct playback_source *source;
    const struct recording_header *header;
    uint64_t chunk;         /* offset of the chunk, in the segment */
    uint32_t at;            /* of the next record, in the chunk */
    bool loaded;            /* the chunk is in `buffer` */
    uint8_t *buffer;        /* RECORDING_CHUNK_BYTES */
    struct recorded record; /* the latest one; borrows from the buffer */
};

void playback_reader_begin(struct playback_reader *reader, const struct recording_header *header);
/* The next record that is no padding. False: none is intact there. */
bool playback_reader_next(struct playback_reader *reader);
/* Where the next record lies, in the file. */
uint64_t playback_reader_offset(const struct playback_reader *reader);
/* Where none was intact: is there any from there to the end of the segment? *inputs: how many are such. */
bool playback_reader_behind(struct playback_reader *reader, uint64_t *inputs);

enum { PLAYBACK_OPERATIONS_MAX = 64 };

/* What observers are told; see playback_show.c. */
struct playback_show {
    struct observer *observer;      /* NULL: nobody looks */
    struct swarm swarm;             /* the members, as a cluster of which one node is seen */
    uint64_t clients[CLIENT_SLOTS]; /* by endpoint: the latest ones */
    uint64_t client_used[CLIENT_SLOTS];
    struct observed operations[PLAYBACK_OPERATIONS_MAX]; /* by slot; DISK_BEGIN: under way */
    uint64_t time_ns;                                    /* since the first input that is seen */
    uint64_t step;
    uint32_t life; /* one more behind each gap */
};

void playback_show_begin(struct playback_show *show, const struct recording_header *header);
/* Behind a gap the node is another one, to whoever looks on. */
void playback_show_gap(struct playback_show *show);
/* The output's replies are addressed to endpoints from then on. */
void playback_show_step(struct playback_show *show, const struct input *input, struct output *output,
                        const struct replica *replica);

#endif

/* A flight recorder: writes what the replica is fed into a bounded file (core/recording.h), so that `raftsim replay`
 * can step the same core through it.
 *
 *   OFF --recorder_begin--> ON --no room, a slow disk--> GAP --room again: a new segment, with an anchor--> ON
 *                           ON, GAP --a write fails, or the state is too large for the file--> OFF, and a line says why
 *
 * The loop copies each input into a chunk of memory before the step, and never waits: a thread writes chunks to the
 * file, what is new in the open one every RECORDER_PERIOD_NS. A crash of the process (a failed assertion, a signal)
 * writes what is left from its signal handler; a kill -9 loses what the thread has not come to, about a period.
 *
 * When a half of the file is full, the loop forks: the child has the region as it is at that moment, and writes it as
 * the anchor of the next segment while the loop goes on (recorder_anchor.c). What that costs the loop is the copy of
 * the page tables, and of each page that it changes while the child lives.
 *
 * Invariants:
 *   one child at a time, which dies with its parent
 *   the half that is written to is not the one with the only whole anchor
 *   chunks are written in the order of the records, so what is on the disk is a prefix */
#ifndef WW_RECORDER_H
#define WW_RECORDER_H

#include "../core/recording.h"
#include "../core/replica.h"

#define RECORDER_BYTES_DEFAULT (UINT64_C(4) << 30)
#define RECORDER_PERIOD_NS UINT64_C(50000000)
enum { RECORDER_ERROR_BYTES = 512 };

struct recorder;

struct recorder_options {
    const char *path;
    uint64_t bytes; /* of the file; 0: RECORDER_BYTES_DEFAULT, or what the limits need */
    const char *release;
    const struct limits *limits;
    const struct replica_config *config;
    const struct configuration *configuration; /* as stored: the members until the log has been read */
};

/* Creates the file; one that is there, and is a recording, is renamed to PATH.before. NULL: error says why. */
struct recorder *recorder_open(const struct recorder_options *options, char error[RECORDER_ERROR_BYTES]);

/* The replica was just made, and lies in region_bytes. */
void recorder_begin(struct recorder *recorder, const struct replica *replica);
/* Before and after each step. True: a segment was begun, which takes as long as a fork does. */
bool recorder_input(struct recorder *recorder, const struct input *input);
void recorder_output(struct recorder *recorder, const struct output *output);
/* Once per turn of the loop: wakes the thread if it sleeps. */
void recorder_turn(struct recorder *recorder);
/* ended: the life ends on purpose, which the recording says. */
void recorder_close(struct recorder *recorder, bool ended);

/* ---- between recorder.c and recorder_anchor.c ---- */

/* In memory that parent and child share. Records grow up to records_end, the anchor down to anchor_begin, both bytes of
 * the half: who moves one of them then reads the other, and gives way if they have crossed. */
struct recorder_shared {
    _Atomic uint64_t records_end;
    _Atomic uint64_t anchor_begin;
    _Atomic uint64_t anchor_bytes; /* that the whole anchor takes, or would have taken */
};

struct recorder_anchor {
    const struct replica *replica;
    struct recorder_shared *shared;
    int fd;
    uint64_t half_offset; /* in the file */
    uint64_t half_bytes;
    uint64_t life;
    uint64_t segment;
};

enum anchor_status { ANCHOR_WRITTEN, ANCHOR_TOO_LARGE, ANCHOR_FAILED };

/* The child's whole life; async-signal-safe. */
enum anchor_status recorder_anchor_write(const struct recorder_anchor *anchor);

#endif

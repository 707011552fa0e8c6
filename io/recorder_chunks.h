/* The memory of the recorder, and the thread that writes it to the file.
 *
 *   FREE --chunks_next--> OPEN --chunks_next--> FULL --the thread has written all of it--> FREE
 *
 * The loop fills the open chunk; the thread writes full ones in their order, and what is new in the open one once in a
 * period. It begins at the block where it ended, so that O_DIRECT may be used: what lies behind the last record in that
 * block is not intact, or of an earlier use of the memory, and no reader takes it for a record.
 *
 * A signal that ends the process first writes what the thread has not: chunks_open() takes the handlers. */
#ifndef WW_RECORDER_CHUNKS_H
#define WW_RECORDER_CHUNKS_H

#include "../core/base.h"

struct recorder_chunks;

/* 0, or a negative errno. One in a process. */
int chunks_open(int fd, struct recorder_chunks **chunks);
/* Writes everything first. */
void chunks_close(struct recorder_chunks *chunks);

/* The open chunk is full, if there is one; the next one lies there in the file. False: all memory waits for the disk,
 * and no chunk is open. */
bool chunks_next(struct recorder_chunks *chunks, uint64_t file_offset);
/* Would chunks_next() succeed? */
bool chunks_available(const struct recorder_chunks *chunks);

/* Of the open chunk; without one there is no room. */
uint32_t chunks_filled(const struct recorder_chunks *chunks);
uint32_t chunks_left(const struct recorder_chunks *chunks);
uint8_t *chunks_room(struct recorder_chunks *chunks);
void chunks_add(struct recorder_chunks *chunks, uint32_t bytes);

/* Is nothing left to be written? */
bool chunks_idle(const struct recorder_chunks *chunks);
/* Wakes the thread if it sleeps and has something to do. 0, or the negative errno of a write that failed. */
int chunks_turn(struct recorder_chunks *chunks);

#endif

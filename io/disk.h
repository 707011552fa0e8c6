/* Blocking disk operations, and threads to run them beside the loop: two, and one for what is bulk. Used by both back
 * ends. */
#ifndef WW_DISK_H
#define WW_DISK_H

#include "backend.h"

/* Carries out one IO_READ or IO_WRITE: 0 or a negative errno. A short write is -EIO: nothing is known about its
 * blocks. */
int32_t disk_execute(const struct io_request *request);

struct disk_pool;

/* 0, or a negative errno. */
int disk_pool_open(struct disk_pool **pool);
/* Waits for the operations under way. */
void disk_pool_close(struct disk_pool *pool);
void disk_pool_submit(struct disk_pool *pool, const struct io_request *request);
/* Readable when there is something to collect. */
int disk_pool_fd(const struct disk_pool *pool);
/* Never blocks. `events` has room for IO_DISK_MAX. */
uint32_t disk_pool_collect(struct disk_pool *pool, struct io_event *events);

#endif

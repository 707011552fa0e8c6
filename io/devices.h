/* The core's devices on files: which file an effect means, which buffer a read goes to, and which operation of the core
 * an event completes.
 *
 * A write goes to the kernel straight from the region of the replica. A read gets the buffer of its slot, which grows
 * to the largest read it has seen and is kept: memory is bounded by the operations in flight. */
#ifndef WW_DEVICES_H
#define WW_DEVICES_H

#include "../core/replica.h"
#include "backend.h"

/* An operation between its effect and the end of the step that was fed its completion. */
struct device_operation {
    bool busy;
    bool write;
    uint32_t device;
    uint32_t count;
    uint64_t op_id;
    uint64_t offset;
    uint8_t *buffer; /* of reads; stays with the slot */
    uint32_t buffer_bytes;
};

struct devices {
    struct backend *backend;
    int fds[DEVICES];
    const char *path; /* of the data directory, for messages */
    uint32_t in_flight;
    struct device_operation operations[IO_DISK_MAX];
};

void devices_init(struct devices *devices, struct backend *backend, const int *fds, const char *path);
/* Frees the buffers; the back end is closed already. */
/* EFFECT_RELEASE: the memory goes where it is wanted next, or back to the kernel. */
void devices_give_back(const struct effect *effect);
void devices_close(struct devices *devices);

/* EFFECT_WRITE and EFFECT_READ. */
void devices_submit(struct devices *devices, const struct effect *effect);
/* Turns an event of IO_READ or IO_WRITE into the core's input. Its bytes stay valid until the slot is released, which
 * must follow the step. Returns the slot. Failures are logged. */
uint32_t devices_complete(struct devices *devices, const struct io_event *event, struct input *input);
void devices_release(struct devices *devices, uint32_t slot);

#endif

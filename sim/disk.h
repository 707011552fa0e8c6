/* The disk of one node: the images of its two devices, by sectors.
 *
 * A write in flight lands when it completes; operations complete in any order, each after its own delay. At a crash any
 * subset of the sectors of the writes in flight lands, in any order. Latent damage makes a block unreadable, or alters
 * it, until it is written again. The bytes of a write stay in the node's memory, pinned, and are checked by digest. */
#ifndef WW_DISK_H
#define WW_DISK_H

#include "scene.h"

/* As many operations as `active` has bits. */
enum { DISK_OPERATIONS_MAX = 64, DISK_BLOCKS_MAX = 1024 }; /* blocks: of one device */

struct disk_operation {
    bool write;
    uint32_t device;
    enum disk_result result; /* writes: drawn when submitted */
    uint32_t bytes;
    uint32_t order; /* of submission */
    uint64_t op_id;
    uint64_t offset;
    uint64_t digest; /* writes: of the pinned bytes */
    const uint8_t *pinned;
};

struct disk_block {
    bool touched; /* since the last reset: only these are cleared */
    bool written;
    bool unreadable;   /* latent damage */
    uint32_t erred_in; /* the life in which it gave its transient error, counted from 1 */
    uint32_t landed;   /* count of body writes on this disk when it was last written; 0: never */
};

/* What was never written reads as zeros. */
struct disk_device {
    uint8_t *image;
    uint64_t bytes;
    uint64_t capacity_bytes;
    uint32_t block_bytes;  /* unit of writes and of damage */
    uint32_t sector_bytes; /* unit of what survives a crash */
    uint32_t touched_count;
    uint16_t touched[DISK_BLOCKS_MAX];
    struct disk_block blocks[DISK_BLOCKS_MAX];
};

struct disk {
    uint32_t node;
    uint32_t life;
    uint32_t order;
    uint32_t body_writes;
    uint64_t active;        /* bit per operation in flight */
    uint64_t header_newest; /* offset of the last header block written */
    uint64_t stalled_ns;    /* nothing completes before */
    bool damaged;           /* some latent damage was ever placed: the atlas knows this node */
    bool write_failed;      /* an error was reported in this life */
    bool wal_full;          /* the body ring was written to its end, but for the reserve */
    struct disk_operation operations[DISK_OPERATIONS_MAX];
    struct disk_device devices[DEVICES];
};

/* False when memory runs out. Zeroes what the last schedule left. */
bool disk_reset(struct disk *disk, const struct scene *scene, uint32_t node);
void disk_free(struct disk *disk);

/* Puts bytes on the WAL device at once: the format of a new node. */
void disk_put(struct disk *disk, struct scene *scene, uint64_t offset, struct slice bytes);

/* Submits EFFECT_WRITE or EFFECT_READ; its completion is queued as QUEUE_DISK with this life as tag. */
void disk_submit(struct disk *disk, struct scene *scene, const struct effect *effect, uint32_t life);
/* The operation completes: the input to feed. Its bytes, for a read, lie in the image. */
struct input disk_complete(struct disk *disk, struct scene *scene, uint32_t slot);
/* Power is gone: decides what landed of the writes in flight, forgets all operations. */
void disk_crash(struct disk *disk, struct scene *scene);

/* Places latent damage somewhere the core has promised to notice it. False when there is no such place yet. */
bool disk_rot(struct disk *disk, struct scene *scene);
void disk_stall(struct disk *disk, uint64_t until_ns);

#endif

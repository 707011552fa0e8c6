/* The disk of one node: the images of its two devices, by sectors.
 *
 * A write in flight lands when it completes; operations complete in any order, each after its own delay. A read that
 * was under way when something landed where it reads finds of each sector what was there before, or after. At a crash
 * any subset of the sectors of the writes in flight lands, in any order. The bytes of a write stay in the node's
 * memory, pinned, and are compared with a copy when it completes.
 *
 * Disks fail, and lie: blocks become unreadable or change, writes that are acknowledged never land, or somewhere else,
 * reads return what lies elsewhere. From the first such harm on a device has two images: what is there, and the truth,
 * as an honest disk would have it. The checkers are told the truth; atlas.h says which harm may come where. A block is
 * harmed until it is written again as a whole.
 *
 *   disk.c     operations, crashes
 *   damage.c   harm */
#ifndef WW_DISK_H
#define WW_DISK_H

#include "scene.h"

/* As many operations as `active` has bits; blocks of one device; bytes of one operation. */
enum { DISK_OPERATIONS_MAX = 64, DISK_BLOCKS_MAX = 1024, DISK_BYTES_MAX = 4096 };

enum harm {
    HARM_NONE,
    HARM_UNREADABLE,
    HARM_ALTERED,  /* not what was written */
    HARM_STALE,    /* what was there before */
    HARM_REPLACED, /* holds what was meant for another place */
    HARM_TORN,     /* partly written at a crash, or by a write that failed: no lie, the truth is torn, too */
    HARM_KINDS,
};

/* What a crash leaves of the writes in flight. */
enum survival {
    SURVIVE_NONE,
    SURVIVE_PREFIX,
    SURVIVE_SUBSET,
    SURVIVE_LAST, /* the last sector of the last write only */
    SURVIVE_ALL,
    SURVIVAL_KINDS,
};

struct disk_operation {
    bool write;
    uint32_t device;
    enum disk_result result; /* writes: drawn when submitted */
    uint32_t bytes;
    uint32_t order;   /* of submission */
    uint32_t ordinal; /* among those of its class, for a tracer */
    uint64_t op_id;
    uint64_t offset;
    const uint8_t *pinned;
};

struct disk_block {
    bool touched; /* since the last reset: only these are cleared */
    bool written;
    uint8_t harm;         /* enum harm */
    uint32_t erred_in;    /* the life in which a read of it failed once, counted from 1 */
    bool heads_batch;     /* its header lies here */
    uint32_t entry_count; /* entries of the batch that it is part of */
    uint64_t first_index; /* of them */
    uint64_t sequence;    /* of the batch; of a name: of the last batch that it names */
};

/* What was never written reads as zeros. */
struct disk_device {
    uint8_t *image;
    uint8_t *truth; /* means something when they are parted */
    bool parted;
    uint64_t bytes;
    uint64_t capacity_bytes;
    uint32_t block_bytes;  /* unit of writes and of harm */
    uint32_t sector_bytes; /* unit of what survives a crash */
    uint32_t harmed_count; /* blocks with harm that is not HARM_TORN */
    uint32_t touched_count;
    uint16_t touched[DISK_BLOCKS_MAX];
    struct disk_block blocks[DISK_BLOCKS_MAX];
};

struct disk {
    uint32_t node;
    uint32_t life;
    uint32_t order;
    uint32_t slowness;   /* factor, until slow_ns */
    uint64_t active;     /* bit per operation in flight */
    uint64_t stalled_ns; /* what is submitted does not complete before */
    uint64_t stuck_ns;   /* nothing completes before */
    uint64_t slow_ns;
    uint64_t least_ns;      /* an operation takes so long at least */
    uint64_t overtaken;     /* the operation in flight, a read, that something landed under: its bit; 0: none */
    uint32_t misread_in;    /* the last life in which a read of the WAL returned something else... */
    uint64_t misread_first; /* ...and which blocks it had asked for */
    uint32_t misread_count;
    bool off;                /* not written to in this life: no decision of this life is on it */
    bool struck;             /* it has suffered what a node does not repair alone: the atlas knows this node */
    bool harm_seen[DEVICES]; /* this life was shown harm */
    bool write_failed;       /* an error was reported in this life */
    uint32_t fail_write;     /* scripts: bit per device whose next write fails */
    enum survival survival;  /* scripts: what the next crash leaves */
    bool wal_full;           /* the body ring was written to its end, but for the reserve */
    struct disk_operation operations[DISK_OPERATIONS_MAX];
    struct disk_device devices[DEVICES];
    uint8_t before[DISK_BYTES_MAX];                       /* what lay where `overtaken` reads */
    uint8_t written[DISK_OPERATIONS_MAX][DISK_BYTES_MAX]; /* by operation: what a write was to put down */
};

/* False when memory runs out. Zeroes what the last schedule left. */
bool disk_reset(struct disk *disk, const struct scene *scene, uint32_t node);
void disk_free(struct disk *disk);

/* Has anything ever struck the block, so that a node may find there what it did not write: in its place, or once in a
 * read of this life? */
bool disk_block_is_suspect(const struct disk *disk, uint32_t device, uint64_t offset);

/* Puts bytes on the WAL device at once: the format of a new node. */
void disk_put(struct disk *disk, struct scene *scene, uint64_t offset, struct slice bytes);

uint32_t disk_class(const struct disk_operation *operation); /* enum choose_class */
/* Submits EFFECT_WRITE or EFFECT_READ; its completion is queued as QUEUE_DISK with this life as tag. */
void disk_submit(struct disk *disk, struct scene *scene, const struct effect *effect, uint32_t life);
/* The operation completes: the input to feed. Its bytes, for a read, lie in the image. */
struct input disk_complete(struct disk *disk, struct scene *scene, uint32_t slot);
/* Power is gone: decides what landed of the writes in flight, forgets all operations. */
void disk_crash(struct disk *disk, struct scene *scene);

void disk_stall(struct disk *disk, uint64_t until_ns);
void disk_stick(struct disk *disk, uint64_t until_ns);
void disk_slow_down(struct disk *disk, uint64_t until_ns, uint32_t factor);

/* ---- damage.c ---- */

/* Harm on some block where the atlas allows it; a few neighbours perhaps. False when there is none. */
bool disk_rot(struct disk *disk, struct scene *scene);
bool disk_go_bad(struct disk *disk, struct scene *scene);
/* Up to that many copies of the superblock at once; returns how many. */
uint32_t disk_harm_superblock(struct disk *disk, struct scene *scene, uint32_t copies);

/* Harm of that kind to one block; ALTERED: one bit of that byte. False where the atlas does not allow it. */
bool disk_harm(struct disk *disk, struct scene *scene, uint32_t device, uint64_t block, enum harm harm, uint32_t byte);

/* Everything is gone: the atlas allows it. */
void disk_wipe(struct disk *disk, struct scene *scene);

/* An acknowledged write lands, or the disk lies about it. */
void disk_write_lands(struct disk *disk, struct scene *scene, const struct disk_operation *operation);
/* Where the bytes of a read lie in the image: where they should, or somewhere else. */
uint64_t disk_read_from(struct disk *disk, struct scene *scene, const struct disk_operation *operation);
/* The node is shown the blocks of a read. */
void disk_note_seen(struct disk *disk, struct scene *scene, const struct disk_operation *operation);
/* The power is gone: what nobody could tell from a torn write did not happen (atlas.h). */
void disk_spare_unproved(struct disk *disk, const struct scene *scene);

/* Between the two files: bytes of one device land; `swallowed`: in truth only. */
void disk_land(struct disk *disk, struct scene *scene, uint32_t device, uint64_t offset, struct slice bytes,
               bool swallowed);
void disk_set_harm(struct disk_device *device, uint64_t block, enum harm harm);
/* Gives the device a truth of its own, if it has none yet. */
void disk_part(struct disk_device *device);

#endif

/* A replica that runs inside of the explorer, between two states. Private to explore_node.c and explore_normal.c, the
 * only files of this room that look into the core's own state: to fire a timer, and to take out what has no meaning. */
#ifndef WW_EXPLORE_LIFE_H
#define WW_EXPLORE_LIFE_H

#include "../core/state.h"
#include "explore_show.h"

enum {
    CLUSTER_ID = 1,
    ELECTION_NS = 1000000000,
    HEARTBEAT_NS = 100000000,
    READS_MAX = 16,
    WRITE_BYTES_MAX = 4096,
    CHANGED_MAX = 8,
    INPUTS_MAX = 10000, /* that one input may lead to */
    DURABLE_FIRST = 1 << 12,
};

struct life_read {
    uint64_t op_id;
    uint64_t offset;
    uint32_t device;
    uint32_t bytes;
};

struct life_write {
    struct node_write write;
    uint32_t device;
    uint8_t bytes[WRITE_BYTES_MAX];
};

/* A replica that runs: the real one, or one that is started to see what a disk would tell it. */
struct life {
    uint8_t *region;
    uint8_t *disk; /* device 0, then device 1 */
    void *output_region;
    struct output output;
    struct life_read reads[READS_MAX];
    uint32_t read_count;
    struct life_write writes[NODE_WRITES_MAX];
    uint32_t write_count;
    enum stop_reason stop; /* 0: it runs */
    bool probe;            /* nobody hears it */
};

/* What a disk leads to, when a node starts from it. */
struct durable {
    uint32_t disk; /* root; 0: free */
    bool viewed;   /* the view is known */
    bool started;  /* so is the state: nothing in flight, nothing sent */
    uint8_t zero[2];
    uint32_t region;
    uint32_t disk_then;
    struct node_view view;
};

struct node_machine {
    struct node_options options;
    struct limits limits;
    struct replica_config configs[EXPLORE_NODES_MAX];
    struct configuration configuration;
    uint64_t sessions[EXPLORE_CLIENTS_MAX];
    uint32_t region_bytes;
    uint32_t disk_bytes;
    struct life life;
    struct life probe;
    uint8_t *region_before; /* what the state under way began with */
    uint8_t *disk_before;
    uint32_t region_before_root;
    uint32_t disk_before_root;
    bool life_known; /* the life has the region and the disk of these roots */
    uint32_t life_region_root;
    uint32_t life_disk_root;
    struct blobs blobs;
    struct durable *durables; /* by hash of the root */
    uint32_t durable_count;
    uint32_t durable_size;
    struct node_outcome *outcome; /* of the input under way */
    uint32_t node;
    uint32_t disk_root;
    bool disk_root_known;
    bool loaded;               /* the buffers of before mean something */
    struct explore_show *show; /* NULL: nobody looks on */
};

uint8_t *disk_at(const struct node_machine *machine, struct life *life, uint32_t device, uint64_t offset);

/* Names all that an entry is. */
static inline uint64_t entry_hash(const struct entry *entry)
{
    const uint64_t hash = checksum64(entry->body.bytes, entry->body.count, entry->id.term << 8 | (uint64_t)entry->kind);
    return hash != 0 ? hash : 1;
}

/* explore_audit.c: the first fault of an input stays. */
void node_fail(struct node_machine *machine, const char *fault, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Of what is said: the disk must back it now, with nothing of what is in flight. */
void audit_frame(struct node_machine *machine, const struct life *life, const struct effect *effect);
void audit_life(struct node_machine *machine, const struct node_view *before, const struct node_view *after);
void audit_start(struct node_machine *machine, const struct node_view *after);
void audit_rest(struct node_machine *machine);

/* Takes out of the life what must not tell states apart. Sound, if the core never looks at it again: `raw` leaves most
 * of it, and must lead to the same verdicts. */
void machine_normalise(struct node_machine *machine);
/* The same of a frame that it sends. */
void frame_normalise(const struct node_machine *machine, uint8_t *frame, uint32_t bytes);

#endif

/* What is to happen in a simulated world, ordered by (time, sequence). Fixed capacity, no allocation. */
#ifndef WW_QUEUE_H
#define WW_QUEUE_H

#include "../core/base.h"

enum queue_kind {
    QUEUE_PACKET,  /* slot: packet arrives */
    QUEUE_DISK,    /* who: node, slot: operation, tag: life */
    QUEUE_TIMER,   /* who: node, tag: life */
    QUEUE_RESTART, /* who: node, tag: life */
    QUEUE_CLIENT,  /* who: client, tag: generation of its timer */
    QUEUE_NEMESIS, /* who: enum nemesis_kind; tag: number of the plot of which this is a later act, 0: a strike */
    QUEUE_MEND,    /* who: why links are cut (network.h); they are whole again */
    QUEUE_MEMBERS, /* who changes the members is about to */
};

struct queue_event {
    uint64_t time_ns;
    uint32_t sequence;
    uint32_t tag;
    uint16_t slot;
    uint8_t kind; /* enum queue_kind */
    uint8_t who;
};

enum { QUEUE_MAX = 16384 };

struct queue {
    uint32_t count;
    uint32_t sequence;
    struct queue_event heap[QUEUE_MAX];
};

void queue_reset(struct queue *queue);
/* False when the queue is full; nothing is queued then. */
bool queue_push(struct queue *queue, uint64_t time_ns, enum queue_kind kind, uint32_t who, uint32_t slot, uint32_t tag);
/* NULL when empty; valid until the next call. */
const struct queue_event *queue_first(const struct queue *queue);
struct queue_event queue_pop(struct queue *queue);
/* What is queued and meant never happens. */
void queue_drop(struct queue *queue, bool (*meant)(const struct queue_event *event));
/* What is queued of this kind happens at the given time at the latest, in the order of its queueing. */
void queue_hasten(struct queue *queue, enum queue_kind kind, uint64_t latest_ns);
/* What is queued and meant happens so much later. */
void queue_postpone(struct queue *queue, bool (*meant)(const struct queue_event *event, const void *context),
                    const void *context, uint64_t by_ns);

#endif

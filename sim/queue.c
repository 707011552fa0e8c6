/* A heap with four children each: half as deep as a binary one, and brothers lie together. Equal times come out in the
 * order in which they went in. */
#include "queue.h"

enum { QUEUE_ARITY = 4 };

void queue_reset(struct queue *queue)
{
    queue->count = 0;
    queue->sequence = 0;
}

/* Without a branch: no processor guesses which of two events comes first. */
static bool queue_before(const struct queue_event *a, const struct queue_event *b)
{
    return (a->time_ns < b->time_ns) | ((a->time_ns == b->time_ns) & (a->sequence < b->sequence));
}

bool queue_push(struct queue *queue, uint64_t time_ns, enum queue_kind kind, uint32_t who, uint32_t slot, uint32_t tag)
{
    ASSERT(who <= UINT8_MAX);
    ASSERT(slot <= UINT16_MAX);
    if (queue->count == QUEUE_MAX)
        return false;
    const struct queue_event event = {
        .time_ns = time_ns,
        .sequence = queue->sequence++,
        .tag = tag,
        .slot = (uint16_t)slot,
        .kind = (uint8_t)kind,
        .who = (uint8_t)who,
    };
    uint32_t hole = queue->count++;
    while (hole > 0 && queue_before(&event, &queue->heap[(hole - 1) / QUEUE_ARITY])) {
        queue->heap[hole] = queue->heap[(hole - 1) / QUEUE_ARITY];
        hole = (hole - 1) / QUEUE_ARITY;
    }
    queue->heap[hole] = event;
    return true;
}

const struct queue_event *queue_first(const struct queue *queue) { return queue->count > 0 ? &queue->heap[0] : NULL; }

/* Puts an event into the hole at the top of a subtree, or below. */
static void queue_sift(struct queue *queue, uint32_t hole, struct queue_event event)
{
    for (;;) {
        const uint32_t first = QUEUE_ARITY * hole + 1;
        if (first >= queue->count)
            break;
        const uint32_t end = u32_min(first + QUEUE_ARITY, queue->count);
        uint32_t child = first;
        for (uint32_t brother = first + 1; brother < end; brother++)
            child += (brother - child) * (uint32_t)queue_before(&queue->heap[brother], &queue->heap[child]);
        if (!queue_before(&queue->heap[child], &event))
            break;
        queue->heap[hole] = queue->heap[child];
        hole = child;
    }
    queue->heap[hole] = event;
}

struct queue_event queue_pop(struct queue *queue)
{
    ASSERT(queue->count > 0);
    const struct queue_event first = queue->heap[0];
    queue->count--;
    if (queue->count > 0)
        queue_sift(queue, 0, queue->heap[queue->count]);
    return first;
}

/* Times have changed. */
static void queue_order(struct queue *queue)
{
    for (uint32_t i = (queue->count + QUEUE_ARITY - 2) / QUEUE_ARITY; i > 0; i--)
        queue_sift(queue, i - 1, queue->heap[i - 1]);
}

void queue_drop(struct queue *queue, bool (*meant)(const struct queue_event *event))
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < queue->count; i++)
        if (!meant(&queue->heap[i]))
            queue->heap[kept++] = queue->heap[i];
    queue->count = kept;
    queue_order(queue);
}

void queue_hasten(struct queue *queue, enum queue_kind kind, uint64_t latest_ns)
{
    for (uint32_t i = 0; i < queue->count; i++)
        if (queue->heap[i].kind == kind)
            queue->heap[i].time_ns = u64_min(queue->heap[i].time_ns, latest_ns);
    queue_order(queue);
}

void queue_postpone(struct queue *queue, bool (*meant)(const struct queue_event *event, const void *context),
                    const void *context, uint64_t by_ns)
{
    for (uint32_t i = 0; i < queue->count; i++)
        if (meant(&queue->heap[i], context))
            queue->heap[i].time_ns += by_ns;
    queue_order(queue);
}

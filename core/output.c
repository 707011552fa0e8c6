/* Filling an output, and how large it must be; see output.h. */
#include "output.h"

#include "map.h"

/* Everything a step may emit beside the bulky frames: votes, acknowledgements, refusals, small replies. */
enum { OUTPUT_SMALL_BYTES = 8192 };

/* An applied entry has three at most, and each page or map block that is loaded may be damaged; the rest is bounded by
 * what is emitted or appended. */
static uint32_t event_max(const struct limits *limits)
{
    const uint32_t loaded = limits->data_run_bytes_max / limits->page_bytes + map_fanout(limits);
    return 4 * limits->effects_max + 3 * limits->apply_per_step_max + limits->append_entries_max + loaded;
}

static uint32_t arena_bytes(const struct limits *limits)
{
    /* one append request per peer, two replies with values, small frames for every effect */
    return limits->frame_bytes_max * (VOTERS_MAX + 2) + OUTPUT_SMALL_BYTES + 256 * limits->effects_max;
}

size_t output_bytes(const struct limits *limits)
{
    return (size_t)limits->effects_max * sizeof(struct effect) + (size_t)event_max(limits) * sizeof(struct event)
           + arena_bytes(limits);
}

void output_init(struct output *output, void *region, const struct limits *limits)
{
    uint8_t *next = region;
    *output = (struct output){
        .effect_max = limits->effects_max,
        .event_max = event_max(limits),
        .arena_bytes = arena_bytes(limits),
    };
    output->effects = (struct effect *)(void *)next;
    next += output->effect_max * sizeof(struct effect);
    output->events = (struct event *)(void *)next;
    next += output->event_max * sizeof(struct event);
    output->arena = next;
}

void output_reset(struct output *output)
{
    output->effect_count = 0;
    output->event_count = 0;
    output->arena_used = 0;
    output->deadline_ns = UINT64_MAX;
}

bool output_room(const struct output *output, uint32_t effects, uint32_t bytes)
{
    return output->effect_max - output->effect_count >= effects
           && output->arena_bytes - output->arena_used >= u64_round_up(bytes, 8);
}

uint8_t *output_take(struct output *output, uint32_t bytes)
{
    ASSERT(output_room(output, 0, bytes));
    uint8_t *taken = output->arena + output->arena_used;
    output->arena_used += (uint32_t)u64_round_up(bytes, 8);
    return taken;
}

void output_effect(struct output *output, const struct effect *effect)
{
    ASSERT(output->effect_count < output->effect_max);
    output->effects[output->effect_count++] = *effect;
}

void output_event(struct output *output, enum event_kind kind, uint64_t a, uint64_t b)
{
    if (output->event_count < output->event_max)
        output->events[output->event_count] = (struct event){ .kind = kind, .a = a, .b = b };
    output->event_count++;
}

static void output_frame(struct output *output, const struct frame_context *context, const struct message *message,
                         enum effect_kind kind, uint64_t target)
{
    const uint32_t bytes = message_bytes(message);
    uint8_t *frame = output_take(output, bytes);
    message_encode(message, context, frame);
    output_effect(output, &(struct effect){
                              .kind = kind,
                              .target = target,
                              .bytes = { .bytes = frame, .count = bytes },
                          });
}

void output_message(struct output *output, const struct frame_context *context, const struct message *message)
{
    output_frame(output, context, message, EFFECT_SEND, message->to);
}

void output_message_client(struct output *output, const struct frame_context *context, uint64_t client,
                           const struct message *message)
{
    ASSERT(message->to == 0);
    output_frame(output, context, message, EFFECT_REPLY, client);
}

void output_reply(struct output *output, uint64_t cluster_id, uint64_t client, const struct reply *reply)
{
    const uint32_t bytes = reply_bytes(reply);
    uint8_t *frame = output_take(output, bytes);
    reply_encode(reply, cluster_id, frame);
    output_effect(output, &(struct effect){
                              .kind = EFFECT_REPLY,
                              .target = client,
                              .bytes = { .bytes = frame, .count = bytes },
                          });
}

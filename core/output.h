/* Filling an output. Private to the core. The caller checks the room first; a step that has none asks for another. */
#ifndef WW_OUTPUT_H
#define WW_OUTPUT_H

#include "message.h"
#include "replica.h"
#include "request.h"

void output_reset(struct output *output);

/* Room for that many more effects and that many more bytes of arena? */
bool output_room(const struct output *output, uint32_t effects, uint32_t bytes);

/* Bytes in the arena, zeroed by nobody; the room must have been checked. */
uint8_t *output_take(struct output *output, uint32_t bytes);
void output_effect(struct output *output, const struct effect *effect);

void output_event(struct output *output, enum event_kind kind, uint64_t a, uint64_t b);

/* Encodes and emits. */
void output_message(struct output *output, const struct frame_context *context, const struct message *message);
/* To a client that speaks as a peer does: it asks for a checkpoint (install.h). */
void output_message_client(struct output *output, const struct frame_context *context, uint64_t client,
                           const struct message *message);
void output_reply(struct output *output, uint64_t cluster_id, uint64_t client, const struct reply *reply);

#endif

/* One line per step. */
#include "transcript.h"

#include <inttypes.h>

#include "../core/inspect.h"
#include "node.h"

static const char *frame_type_text(uint16_t type)
{
    switch (type) {
    case FRAME_VOTE_REQUEST: return "vote?";
    case FRAME_VOTE_RESPONSE: return "vote!";
    case FRAME_APPEND_REQUEST: return "append?";
    case FRAME_APPEND_RESPONSE: return "append!";
    case FRAME_REFUSAL: return "refusal";
    case FRAME_CLIENT_REQUEST: return "request";
    case FRAME_CLIENT_REPLY: return "reply";
    default: return "unknown";
    }
}

static void transcript_frame(FILE *file, struct slice frame)
{
    struct frame_header header;
    if (frame.count < sizeof header) {
        fprintf(file, "short:%" PRIu32, frame.count);
        return;
    }
    memcpy(&header, frame.bytes, sizeof header);
    fprintf(file, "%s t%" PRIu64 " %" PRIu32 "B", frame_type_text(header.type), header.term, frame.count);
}

static void transcript_endpoint(FILE *file, uint32_t endpoint)
{
    if (endpoint < ENDPOINT_CLIENT)
        fprintf(file, "n%" PRIu32, endpoint);
    else
        fprintf(file, "c%" PRIu32, endpoint - ENDPOINT_CLIENT);
}

static void transcript_input(FILE *file, const struct input *input, uint32_t from)
{
    switch (input->kind) {
    case INPUT_START: fputs("start", file); break;
    case INPUT_TICK: fputs("tick", file); break;
    case INPUT_PEER_FRAME:
    case INPUT_CLIENT_FRAME:
        fputs("from ", file);
        transcript_endpoint(file, from);
        fputc(' ', file);
        transcript_frame(file, input->bytes);
        break;
    case INPUT_DISK:
        fprintf(file, "disk op%" PRIu64 " %s", input->op_id,
                input->result == DISK_OK     ? "ok"
                : input->result == DISK_FULL ? "full"
                                             : "error");
        break;
    }
    if (input->more)
        fputs(" more", file);
}

static void transcript_effect(FILE *file, const struct effect *effect)
{
    switch (effect->kind) {
    case EFFECT_SEND:
    case EFFECT_REPLY:
        fprintf(file, " > %" PRIu64 " ", effect->target);
        transcript_frame(file, effect->bytes);
        break;
    case EFFECT_WRITE:
    case EFFECT_READ:
        fprintf(file, " > %s op%" PRIu64 " %" PRIu64 "+%" PRIu32, effect->kind == EFFECT_WRITE ? "write" : "read",
                effect->op_id, effect->offset, effect->bytes.count);
        break;
    case EFFECT_REFUSE: fprintf(file, " > refuse (%s)", frame_verdict_text(effect->verdict)); break;
    case EFFECT_STOP: fprintf(file, " > stop (%s, %" PRIu64 ")", stop_reason_text(effect->stop), effect->detail); break;
    }
}

void transcript_step(struct world *world, const struct node *node, const struct input *input, uint32_t from)
{
    FILE *file = world->transcript;
    const struct output *output = &world->output;
    fprintf(file, "%6" PRIu64 " %14" PRIu64 " n%" PRIu32 " ", world->scene.step, world->scene.now_ns, node->slot);
    transcript_input(file, input, from);
    for (uint32_t i = 0; i < output->effect_count; i++)
        transcript_effect(file, &output->effects[i]);
    for (uint32_t i = 0; i < output->event_count && i < output->event_max; i++) {
        const struct event *event = &output->events[i];
        fprintf(file, " [%s %" PRIu64 " %" PRIu64 "]", event_kind_text(event->kind), event->a, event->b);
    }
    fprintf(file, " #%016" PRIx64 "\n", replica_digest(node->replica));
}

void transcript_nodes(const struct world *world, FILE *file)
{
    for (uint32_t slot = 0; slot < world->scene.swarm.node_count; slot++) {
        const struct node *node = &world->nodes[slot];
        struct replica_view view;
        fprintf(file, "node      n%" PRIu32 " life %" PRIu32 "%s%s%s: ", slot, node->life,
                node->outsider ? ", outsider" : "", node->disk.damaged ? ", damaged" : "",
                node_paused(world, node) ? ", paused" : "");
        if (node->state != NODE_UP) {
            fprintf(file, "%s\n", node->state == NODE_DOWN ? "down" : stop_reason_text(node->stop));
            continue;
        }
        replica_inspect(node->replica, &view);
        fprintf(file,
                "%s term=%" PRIu64 " vote=%" PRIu64 " leader=%" PRIu64 " last=%" PRIu64 ".%" PRIu64 " durable=%" PRIu64
                " commit=%" PRIu64 " applied=%" PRIu64 " wal=%" PRIu64 "/%" PRIu32 " blocks state=%016" PRIx64 "\n",
                raft_role_text(view.role), view.term, view.vote, view.leader, view.last.term, view.last.index,
                view.durable_index, view.commit, view.applied, view.wal_blocks_used,
                world->scene.swarm.limits.wal_body_blocks, view.state_digest);
    }
}

/* One line per step. */
#include "transcript.h"

#include <inttypes.h>

#include "../core/inspect.h"
#include "node.h"

static void transcript_request(FILE *file, struct slice frame)
{
    struct request_header request;
    if (frame.count < sizeof(struct frame_header) + sizeof request)
        return;
    memcpy(&request, frame.bytes + sizeof(struct frame_header), sizeof request);
    fprintf(file, " %s", request_kind_text(request.kind));
    if (request.session != 0)
        fprintf(file, " s%" PRIu64 ".%" PRIu64, request.session, request.sequence);
}

static void transcript_frame(FILE *file, struct slice frame)
{
    struct frame_header header;
    struct reply_header reply;
    if (frame.count < sizeof header) {
        fprintf(file, "short %" PRIu32 "B", frame.count);
        return;
    }
    memcpy(&header, frame.bytes, sizeof header);
    fputs(frame_type_text(header.type), file);
    if (header.type == FRAME_CLIENT_REQUEST) {
        transcript_request(file, frame);
    } else if (header.type == FRAME_CLIENT_REPLY && frame.count >= sizeof header + sizeof reply) {
        memcpy(&reply, frame.bytes + sizeof header, sizeof reply);
        fprintf(file, " (%s)", reply_status_text((enum reply_status)reply.status));
    } else {
        fprintf(file, " t%" PRIu64, header.term);
    }
    fprintf(file, " %" PRIu32 "B", frame.count);
}

static void transcript_endpoint(FILE *file, uint32_t endpoint)
{
    char text[ENDPOINT_TEXT_BYTES];
    fputs(endpoint_text(endpoint, text), file);
}

/* The core packs the kind of an operation and a number into its id. */
static void transcript_operation(FILE *file, uint64_t op_id)
{
    fprintf(file, "op%" PRIu64 ".%" PRIu64, op_id >> 56, op_id & (UINT64_MAX >> 8));
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
        fputs("disk ", file);
        transcript_operation(file, input->op_id);
        fputs(input->result == DISK_OK ? " ok" : input->result == DISK_FULL ? " full" : " error", file);
        break;
    }
    if (input->more)
        fputs(" more", file);
}

/* The slot of a node id. */
static uint32_t transcript_slot(const struct swarm *swarm, uint64_t node_id)
{
    uint32_t slot = 0;
    while (slot < swarm->node_count && swarm->configs[slot].node_id != node_id)
        slot++;
    return slot < swarm->node_count ? slot : ENDPOINTS;
}

static void transcript_effect(const struct transcript *transcript, const struct effect *effect)
{
    FILE *file = transcript->file;
    fputs(" > ", file);
    switch (effect->kind) {
    case EFFECT_SEND:
    case EFFECT_REPLY:
        transcript_endpoint(file, effect->kind == EFFECT_REPLY ? (uint32_t)effect->target
                                                               : transcript_slot(transcript->swarm, effect->target));
        fputc(' ', file);
        transcript_frame(file, effect->bytes);
        break;
    case EFFECT_WRITE:
    case EFFECT_READ:
        fputs(effect->kind == EFFECT_WRITE ? "write " : "read ", file);
        transcript_operation(file, effect->op_id);
        fprintf(file, " %s%" PRIu64 "+%" PRIu32, effect->device == DEVICE_DATA ? "data:" : "", effect->offset,
                effect->bytes.count);
        break;
    case EFFECT_RELEASE: fprintf(file, "release %u bytes", effect->bytes.count); break;
    case EFFECT_REFUSE: fprintf(file, "refuse (%s)", frame_verdict_text(effect->verdict)); break;
    case EFFECT_STOP: fprintf(file, "stop (%s, %" PRIu64 ")", stop_reason_text(effect->stop), effect->detail); break;
    }
}

static void transcript_event(FILE *file, const struct event *event)
{
    fprintf(file, " [%s ", event_kind_text(event->kind));
    if (event->kind == EVENT_ROLE)
        fprintf(file, "%s", raft_role_text((enum raft_role)event->a));
    else if (event->kind == EVENT_BUSY)
        fprintf(file, "%s", reply_status_text((enum reply_status)event->a));
    else
        fprintf(file, "%" PRIu64, event->a);
    if (event->kind == EVENT_APPLY)
        fprintf(file, " %016" PRIx64 "]", event->b);
    else
        fprintf(file, " %" PRIu64 "]", event->b);
}

static void transcript_step(const struct transcript *transcript, const struct observed *observed)
{
    FILE *file = transcript->file;
    const struct output *output = observed->step_of.output;
    fprintf(file, "%6" PRIu64 " %14" PRIu64 " n%" PRIu32 " ", observed->step, observed->time_ns, observed->who);
    transcript_input(file, observed->step_of.input, observed->step_of.from);
    for (uint32_t i = 0; i < output->effect_count; i++)
        transcript_effect(transcript, &output->effects[i]);
    for (uint32_t i = 0; i < output->event_count && i < output->event_max; i++)
        transcript_event(file, &output->events[i]);
    fprintf(file, " #%016" PRIx64 "\n", replica_digest(observed->step_of.replica));
}

static void transcript_see(struct observer *observer, const struct observed *observed)
{
    struct transcript *transcript = (struct transcript *)observer;
    if (observed->kind == OBSERVED_BEGIN)
        transcript->swarm = observed->begin.swarm;
    if (observed->kind == OBSERVED_BEGIN && observed->begin.drawn)
        swarm_print(observed->begin.swarm, transcript->file);
    if (observed->kind == OBSERVED_STEP)
        transcript_step(transcript, observed);
}

void transcript_init(struct transcript *transcript, FILE *file)
{
    *transcript = (struct transcript){ .observer = { .see = transcript_see }, .file = file };
}

void transcript_nodes(const struct world *world, FILE *file)
{
    for (uint32_t slot = 0; slot < world->scene.swarm.node_count; slot++) {
        const struct node *node = &world->nodes[slot];
        struct replica_view view;
        fprintf(file, "node      n%" PRIu32 " life %" PRIu32 "%s%s%s: ", slot, node->life,
                node->outsider ? ", outsider" : "", node->disk.struck ? ", struck" : "",
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

/* One line per event. */
#include "transcript.h"

#include <inttypes.h>

#include "../core/inspect.h"
#include "node.h"

static void transcript_value(FILE *file, const struct field *field)
{
    switch (field->kind) {
    case FIELD_NUMBER: fprintf(file, "%" PRIu64, field->a); return;
    case FIELD_ID: fprintf(file, "%" PRIu64 ".%" PRIu64, field->a, field->b); return;
    case FIELD_HASH: fprintf(file, "%016" PRIx64, field->a); return;
    case FIELD_TEXT: fputs(field->text, file); return;
    case FIELD_PAIR: fprintf(file, "%" PRIu64 " %" PRIu64, field->a, field->b); return;
    }
}

void transcript_fields(FILE *file, const struct fields *fields)
{
    for (uint32_t i = 0; i < fields->count; i++) {
        const struct field *field = &fields->items[i];
        if (!field->brief)
            continue;
        fprintf(file, " %s", field->name);
        if (field->kind == FIELD_TEXT && field->text[0] == '\0')
            continue;
        fputc('=', file);
        transcript_value(file, field);
    }
}

void transcript_table(FILE *file, const struct fields *fields)
{
    for (uint32_t i = 0; i < fields->count; i++) {
        fprintf(file, "  %-22s", fields->items[i].name);
        transcript_value(file, &fields->items[i]);
        fputc('\n', file);
    }
}

static void transcript_frame(struct transcript *transcript, struct slice frame)
{
    fputs(describe_frame_name(frame), transcript->file);
    fields_reset(&transcript->fields, transcript->fields.swarm);
    describe_frame(&transcript->fields, frame);
    transcript_fields(transcript->file, &transcript->fields);
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

static void transcript_input(struct transcript *transcript, const struct observed *observed)
{
    FILE *file = transcript->file;
    const struct input *input = observed->step_of.input;
    switch (input->kind) {
    case INPUT_START: fputs("start", file); break;
    case INPUT_TICK: fputs("tick", file); break;
    case INPUT_PEER_FRAME:
    case INPUT_CLIENT_FRAME:
        fputs("from ", file);
        transcript_endpoint(file, observed->step_of.from);
        fputc(' ', file);
        transcript_frame(transcript, input->bytes);
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

static void transcript_step(struct transcript *transcript, const struct observed *observed)
{
    FILE *file = transcript->file;
    const struct output *output = observed->step_of.output;
    transcript_input(transcript, observed);
    for (uint32_t i = 0; i < output->event_count && i < output->event_max; i++)
        transcript_event(file, &output->events[i]);
    for (uint32_t i = 0; i < output->effect_count; i++)
        if (output->effects[i].kind == EFFECT_REFUSE)
            fprintf(file, " > refuse (%s)", frame_verdict_text(output->effects[i].verdict));
    fprintf(file, " #%016" PRIx64, describe_digest(transcript->fields.swarm, observed->step_of.replica));
}

static void transcript_cuts(FILE *file, uint32_t cuts)
{
    for (uint32_t reason = 0; reason < CUTS; reason++)
        if ((cuts >> reason & 1) != 0)
            fprintf(file, " %s", cut_text(reason));
}

static void transcript_send(struct transcript *transcript, const struct observed *observed)
{
    FILE *file = transcript->file;
    fputs("to ", file);
    transcript_endpoint(file, observed->send.to);
    fputc(' ', file);
    transcript_frame(transcript, observed->send.frame);
    fprintf(file, " > %s", frame_fate_text(observed->send.fate));
    if (observed->send.fate == FATE_CUT)
        transcript_cuts(file, observed->send.cut);
    if (!frame_fate_travels(observed->send.fate))
        return;
    fprintf(file, " %s%sarrives %" PRIu64, observed->send.damaged ? "damaged " : "",
            observed->send.held_back ? "delayed " : "", observed->send.at_ns);
}

static void transcript_disk(FILE *file, const struct observed *observed)
{
    fputs(observed->disk.write ? "write " : "read ", file);
    transcript_operation(file, observed->disk.op_id);
    fprintf(file, " %s%" PRIu64 "+%" PRIu32, observed->disk.device == DEVICE_DATA ? "data:" : "", observed->disk.offset,
            observed->disk.bytes);
    if (observed->kind == OBSERVED_DISK_BEGIN)
        return;
    if (observed->disk.gone && observed->disk.write)
        fprintf(file, " gone, %" PRIu32 " of %" PRIu32 " sectors landed", observed->disk.landed,
                observed->disk.sectors);
    else if (observed->disk.gone)
        fputs(" gone", file);
    else
        fputs(observed->disk.result == DISK_OK ? " ok" : observed->disk.result == DISK_FULL ? " full" : " error", file);
}

static void transcript_call(struct transcript *transcript, const struct observed *observed)
{
    struct fields *fields = &transcript->fields;
    fields_reset(fields, fields->swarm);
    describe_request(fields, observed->call.request);
    if (observed->kind == OBSERVED_RETURN && observed->call.reply != NULL)
        describe_reply(fields, observed->call.reply);
    fprintf(transcript->file, "%" PRIu32, observed->call.number);
    transcript_fields(transcript->file, fields);
    if (observed->kind == OBSERVED_RETURN && observed->call.reply == NULL)
        fputs(" given up", transcript->file);
}

static void transcript_link(FILE *file, const struct observed *observed)
{
    if (observed->kind != OBSERVED_MEND) {
        fputs("to ", file);
        transcript_endpoint(file, observed->link.to);
        fputc(' ', file);
    }
    if (observed->kind == OBSERVED_CLOG)
        fprintf(file, "until %" PRIu64, observed->link.until_ns);
    else
        fputs(cut_text(observed->link.reason), file);
}

/* What stands behind the kind. */
static void transcript_details(struct transcript *transcript, const struct observed *observed)
{
    FILE *file = transcript->file;
    switch (observed->kind) {
    case OBSERVED_START: fprintf(file, "life %" PRIu32, observed->life); return;
    case OBSERVED_STEP: transcript_step(transcript, observed); return;
    case OBSERVED_SEND: transcript_send(transcript, observed); return;
    case OBSERVED_DISK_BEGIN:
    case OBSERVED_DISK_END: transcript_disk(file, observed); return;
    case OBSERVED_STOP:
        fprintf(file, "%s, %" PRIu64, stop_reason_text(observed->stop.reason), observed->stop.detail);
        return;
    case OBSERVED_PAUSE: fprintf(file, "until %" PRIu64, observed->until_ns); return;
    case OBSERVED_FAULT: fputs(fault_kind_text(observed->fault), file); return;
    case OBSERVED_CUT:
    case OBSERVED_CLOG:
    case OBSERVED_MEND: transcript_link(file, observed); return;
    case OBSERVED_CALL:
    case OBSERVED_RETURN: transcript_call(transcript, observed); return;
    case OBSERVED_VIOLATION:
        fprintf(file, "%s: %s", check_kind_text(observed->violation->kind), observed->violation->text);
        return;
    case OBSERVED_ARRIVE: fputs(observed->arrive.taken ? "" : "nobody is up", file); return;
    case OBSERVED_BEGIN:
    case OBSERVED_CRASH:
    case OBSERVED_HEAL:
    case OBSERVED_KINDS: return;
    }
}

/* What was taken is told by the step that follows, or by the client's return. */
static bool transcript_is_told(const struct observed *observed)
{
    const bool taken = observed->kind == OBSERVED_ARRIVE && observed->arrive.taken;
    const bool completed = observed->kind == OBSERVED_DISK_END && !observed->disk.gone;
    return !taken && !completed && observed->kind != OBSERVED_BEGIN;
}

static void transcript_see(struct observer *observer, const struct observed *observed)
{
    struct transcript *transcript = (struct transcript *)observer;
    char who[ENDPOINT_TEXT_BYTES];
    if (observed->kind == OBSERVED_BEGIN)
        transcript->fields.swarm = observed->begin.swarm;
    if (observed->kind == OBSERVED_BEGIN && observed->begin.drawn)
        swarm_print(observed->begin.swarm, transcript->file);
    if (!transcript_is_told(observed))
        return;
    fprintf(transcript->file, "%6" PRIu64 " %14" PRIu64 " %-3s %-8s ", observed->step, observed->time_ns,
            endpoint_text(observed->who, who), observed_kind_text(observed->kind));
    transcript_details(transcript, observed);
    fputc('\n', transcript->file);
}

void transcript_init(struct transcript *transcript, FILE *file)
{
    *transcript = (struct transcript){ .observer = { .see = transcript_see }, .file = file };
}

/* As the log and its lines call it; the number when no node has it. */
static void print_member(const struct world *world, const char *name, uint64_t id, FILE *file)
{
    const struct swarm *swarm = &world->scene.swarm;
    uint32_t slot = 0;
    while (slot < swarm->node_count && swarm->configs[slot].node_id != id)
        slot++;
    if (id == 0)
        fprintf(file, " %s=none", name);
    else if (slot < swarm->node_count)
        fprintf(file, " %s=n%" PRIu32, name, slot);
    else
        fprintf(file, " %s=%" PRIu64, name, id);
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
        fprintf(file, "%s term=%" PRIu64, raft_role_text(view.role), view.term);
        print_member(world, "vote", view.vote, file);
        print_member(world, "leader", view.leader, file);
        fprintf(file,
                " last=%" PRIu64 ".%" PRIu64 " durable=%" PRIu64 " commit=%" PRIu64 " applied=%" PRIu64 " wal=%" PRIu64
                "/%" PRIu32 " blocks state=%016" PRIx64 "\n",
                view.last.term, view.last.index, view.durable_index, view.commit, view.applied, view.wal_blocks_used,
                world->scene.swarm.limits.wal_body_blocks, view.state_digest);
    }
}

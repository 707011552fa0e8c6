/* Gathers what the page shows. */
#include "html.h"

#include <stdlib.h>
#include <string.h>

#include "../core/inspect.h"

enum { STATE_WHOLE_EVERY = 64, NOBODY = 255 };

/* Outcomes of calls, as data.js names them. */
enum outcome_class { CALL_DONE, CALL_REFUSED, CALL_UNKNOWN };

static void html_see(struct observer *observer, const struct observed *observed);

struct html *html_new(void)
{
    struct html *html = calloc(1, sizeof *html);
    if (html == NULL)
        return NULL;
    html->observer.see = html_see;
    (void)html_text(html, ""); /* number 0 */
    return html;
}

void html_free(struct html *html)
{
    if (html == NULL)
        return;
    for (uint32_t column = 0; column < HTML_COLUMNS; column++)
        free(html->columns[column].bytes);
    free(html->texts.bytes.bytes);
    free(html->texts.at);
    free(html->texts.table);
    free(html);
}

/* ---- states ---- */

/* Texts are compared by number: what they point to is gone by the next time. */
static struct field node_field(struct html *html, const struct field *field)
{
    struct field kept = *field;
    if (field->kind == FIELD_TEXT)
        kept.a = html_text(html, field->text);
    kept.text = NULL;
    return kept;
}

static const struct field *node_find(const struct html_node *node, const char *name, uint32_t guess)
{
    if (guess < node->count && node->fields[guess].name == name)
        return &node->fields[guess];
    for (uint32_t i = 0; i < node->count; i++)
        if (strcmp(node->fields[i].name, name) == 0)
            return &node->fields[i];
    return NULL;
}

/* What has changed since the node's last step; all of it now and then, so that nobody reads far back. */
static void html_put_state(struct html *html, uint32_t slot, const struct replica *replica)
{
    struct html_node *node = &html->nodes[slot];
    struct html_node *before = &html->before;
    struct fields *fields = &html->fields;
    const bool whole = node->steps++ % STATE_WHOLE_EVERY == 0;
    *before = *node;
    fields_reset(fields, &html->swarm);
    describe_replica(fields, replica);
    if (whole)
        html_put_whole(html, HTML_STATES);
    node->count = fields->count;
    for (uint32_t i = 0; i < fields->count; i++) {
        struct field *now = &node->fields[i];
        *now = node_field(html, &fields->items[i]);
        const struct field *old = node_find(before, now->name, i);
        if (whole || old == NULL || old->kind != now->kind || old->a != now->a || old->b != now->b)
            html_put_field(html, HTML_STATES, now);
    }
    for (uint32_t i = 0; i < before->count && !whole; i++)
        if (node_find(node, before->fields[i].name, i) == NULL)
            html_put_gone(html, HTML_STATES, before->fields[i].name);
}

/* ---- details ---- */

static void html_put_details(struct html *html)
{
    for (uint32_t i = 0; i < html->fields.count; i++)
        html_put_field(html, HTML_DETAILS, &html->fields.items[i]);
}

static void html_details_step(struct html *html, const struct observed *observed)
{
    const struct output *output = observed->step_of.output;
    const struct input *input = observed->step_of.input;
    struct fields *fields = &html->fields;
    if (input->kind == INPUT_DISK)
        fields_word(fields, "disk", input->result == DISK_OK ? "ok" : input->result == DISK_FULL ? "full" : "error");
    if (input->more)
        fields_text(fields, "more follows at once", "");
    for (uint32_t i = 0; i < u32_min(output->event_count, output->event_max); i++)
        describe_event(fields, &output->events[i]);
    for (uint32_t i = 0; i < output->effect_count; i++)
        if (output->effects[i].kind == EFFECT_REFUSE)
            fields_word(fields, "refuses", frame_verdict_text(output->effects[i].verdict));
    /* Of a frame whose sending was not seen, in a recording. */
    if (html->arrived == 0 && (input->kind == INPUT_PEER_FRAME || input->kind == INPUT_CLIENT_FRAME))
        describe_frame(fields, input->bytes);
    fields_hash(fields, "digest", describe_digest(&html->swarm, observed->step_of.replica));
}

static void html_details_disk(struct html *html, const struct observed *observed)
{
    static const char *const kinds[] = { "?", "a batch", "a name", "the superblock", "a read" };
    const uint64_t kind = observed->disk.op_id >> 56;
    struct fields *fields = &html->fields;
    if (kind < ARRAY_COUNT(kinds))
        fields_word(fields, observed->disk.write ? "writes" : "reads", kinds[kind]);
    fields_text(fields, "device", observed->disk.device == DEVICE_DATA ? "data" : "wal");
    fields_brief(fields, "offset", observed->disk.offset);
    fields_brief(fields, "bytes", observed->disk.bytes);
    fields_number(fields, "operation", observed->disk.op_id & (UINT64_MAX >> 8));
    if (observed->kind == OBSERVED_DISK_END && observed->disk.write) {
        fields_brief(fields, "sectors landed", observed->disk.landed);
        fields_brief(fields, "of sectors", observed->disk.sectors);
    }
}

static void html_details_call(struct html *html, const struct observed *observed)
{
    struct fields *fields = &html->fields;
    fields_number(fields, "call", observed->call.number);
    describe_request(fields, observed->call.request);
    if (observed->kind == OBSERVED_CALL)
        return;
    if (observed->call.reply != NULL)
        describe_reply(fields, observed->call.reply);
    else
        fields_word(fields, "given up", "");
}

static void html_details(struct html *html, const struct observed *observed)
{
    struct fields *fields = &html->fields;
    fields_reset(fields, &html->swarm);
    switch (observed->kind) {
    case OBSERVED_STEP: html_details_step(html, observed); break;
    case OBSERVED_SEND: describe_frame(fields, observed->send.frame); break;
    case OBSERVED_DISK_BEGIN:
    case OBSERVED_DISK_END: html_details_disk(html, observed); break;
    case OBSERVED_START: fields_brief(fields, "life", observed->life); break;
    case OBSERVED_STOP:
        fields_word(fields, "because", stop_reason_text(observed->stop.reason));
        fields_brief(fields, "detail", observed->stop.detail);
        break;
    case OBSERVED_FAULT: fields_word(fields, "strikes", fault_kind_text(observed->fault)); break;
    case OBSERVED_CALL:
    case OBSERVED_RETURN: html_details_call(html, observed); break;
    case OBSERVED_VIOLATION:
        fields_word(fields, "checker", check_kind_text(observed->violation->kind));
        fields_brief(fields, "at step", observed->violation->step);
        fields_word(fields, "says", fields_print(fields, "%s", observed->violation->text));
        break;
    case OBSERVED_BEGIN:
    case OBSERVED_ARRIVE:
    case OBSERVED_CRASH:
    case OBSERVED_PAUSE:
    case OBSERVED_CUT:
    case OBSERVED_CLOG:
    case OBSERVED_MEND:
    case OBSERVED_HEAL:
    case OBSERVED_KINDS: break;
    }
    html_put_details(html);
}

/* ---- rows ---- */

/* A to D, as data.js reads them, and the event before that this one comes from. */
struct html_row {
    uint32_t cause; /* 1 + event */
    uint64_t a, b, c, d;
};

static uint64_t behind(const struct observed *observed, uint64_t at_ns)
{
    return at_ns > observed->time_ns ? at_ns - observed->time_ns : 0;
}

static void html_row_step(struct html *html, const struct observed *observed, struct html_row *row)
{
    const struct input *input = observed->step_of.input;
    const bool frame = input->kind == INPUT_PEER_FRAME || input->kind == INPUT_CLIENT_FRAME;
    struct replica_view view;
    replica_inspect(observed->step_of.replica, &view);
    row->cause = frame ? html->arrived : input->kind == INPUT_DISK ? html->completed : 0;
    row->a = input->kind;
    row->b = observed->step_of.from < ENDPOINTS ? observed->step_of.from : NOBODY;
    row->c = frame ? html_text(html, describe_frame_name(input->bytes)) : 0;
    row->d = (uint64_t)view.role | view.term << 3;
}

static void html_row_return(const struct html *html, const struct observed *observed, struct html_row *row)
{
    const struct reply *reply = observed->call.reply;
    row->cause = html->calls[observed->who];
    row->a = observed->call.number;
    row->b = CALL_UNKNOWN;
    if (reply != NULL && reply->status != REPLY_UNKNOWN)
        row->b = reply->status <= REPLY_CONDITION_FAILED ? CALL_DONE : CALL_REFUSED;
}

static struct html_row html_row(struct html *html, const struct observed *observed)
{
    struct html_row row = { .cause = 0 };
    switch (observed->kind) {
    case OBSERVED_STEP: html_row_step(html, observed, &row); break;
    case OBSERVED_SEND:
        row.a = observed->send.to;
        row.b = (uint64_t)observed->send.fate | (observed->send.held_back ? 16 : 0) | (observed->send.damaged ? 32 : 0);
        row.c = html_text(html, describe_frame_name(observed->send.frame));
        row.d = frame_fate_travels(observed->send.fate) ? behind(observed, observed->send.at_ns) : observed->send.cut;
        break;
    case OBSERVED_ARRIVE:
        row.cause = html->packets[observed->arrive.packet % PACKETS_MAX];
        row.a = observed->arrive.taken;
        break;
    case OBSERVED_DISK_BEGIN:
    case OBSERVED_DISK_END:
        if (observed->kind == OBSERVED_DISK_END)
            row.cause = html->operations[observed->who][observed->disk.slot % 64];
        row.a = (observed->disk.write ? 1 : 0) | observed->disk.device << 1;
        row.b = observed->disk.op_id >> 56;
        row.c = observed->disk.landed;
        row.d = observed->disk.sectors;
        break;
    case OBSERVED_PAUSE: row.d = behind(observed, observed->until_ns); break;
    case OBSERVED_FAULT: row.c = html_text(html, fault_kind_text(observed->fault)); break;
    case OBSERVED_CUT:
        row.c = html_text(html, cut_text(observed->link.reason));
        row.a = observed->link.to;
        break;
    case OBSERVED_CLOG:
        row.a = observed->link.to;
        row.d = behind(observed, observed->link.until_ns);
        break;
    case OBSERVED_MEND: row.c = html_text(html, cut_text(observed->link.reason)); break;
    case OBSERVED_CALL:
        row.a = observed->call.number;
        row.c = html_text(html, request_kind_text((uint8_t)observed->call.request->kind));
        break;
    case OBSERVED_RETURN: html_row_return(html, observed, &row); break;
    case OBSERVED_VIOLATION: row.c = html_text(html, check_kind_text(observed->violation->kind)); break;
    case OBSERVED_START: row.a = observed->life; break;
    case OBSERVED_BEGIN:
    case OBSERVED_CRASH:
    case OBSERVED_STOP:
    case OBSERVED_HEAL:
    case OBSERVED_KINDS: break;
    }
    return row;
}

/* Whom the event names for a later one. */
static void html_remember(struct html *html, const struct observed *observed)
{
    const uint32_t number = html->count + 1;
    if (observed->kind == OBSERVED_SEND && frame_fate_travels(observed->send.fate))
        html->packets[observed->send.packet % PACKETS_MAX] = number;
    if (observed->kind == OBSERVED_DISK_BEGIN)
        html->operations[observed->who][observed->disk.slot % 64] = number;
    if (observed->kind == OBSERVED_CALL)
        html->calls[observed->who] = number;
    if (observed->kind == OBSERVED_STEP)
        html->arrived = html->completed = 0;
}

/* The step that follows tells it; of nodes that are seen, not of those whom a recorded node talks to. */
static bool html_defers(struct html *html, const struct observed *observed)
{
    if (observed->kind == OBSERVED_START)
        html->started |= 1u << observed->who;
    if (observed->kind == OBSERVED_ARRIVE && observed->arrive.taken && (html->started >> observed->who & 1) != 0)
        html->arrived = html->packets[observed->arrive.packet % PACKETS_MAX];
    else if (observed->kind == OBSERVED_DISK_END && !observed->disk.gone)
        html->completed = html->operations[observed->who][observed->disk.slot % 64];
    else
        return false;
    return true;
}

static void html_see(struct observer *observer, const struct observed *observed)
{
    struct html *html = (struct html *)observer;
    if (observed->kind == OBSERVED_BEGIN) {
        html->swarm = *observed->begin.swarm;
        html->drawn = observed->begin.drawn;
        return;
    }
    if (html_defers(html, observed))
        return;
    ASSERT(observed->who <= ENDPOINTS);
    /* The clock of a recorded node may stand still, or be behind what another told. */
    const uint64_t time_ns = u64_max(html->time_ns, observed->time_ns);
    const struct html_row row = html_row(html, observed);
    const size_t details = html->columns[HTML_DETAILS].count, states = html->columns[HTML_STATES].count;
    html_details(html, observed);
    if (observed->kind == OBSERVED_STEP && observed->who < VOTERS_MAX)
        html_put_state(html, observed->who, observed->step_of.replica);
    html_put_byte(html, HTML_KIND, (uint8_t)observed->kind);
    html_put_byte(html, HTML_WHO, observed->who < ENDPOINTS ? (uint8_t)observed->who : NOBODY);
    html_put(html, HTML_TIME, time_ns - html->time_ns);
    html_put(html, HTML_STEP, observed->step - html->step);
    html_put(html, HTML_CAUSE, row.cause != 0 ? html->count + 1 - row.cause : 0);
    html_put(html, HTML_A, row.a);
    html_put(html, HTML_B, row.b);
    html_put(html, HTML_C, row.c);
    html_put(html, HTML_D, row.d);
    html_put(html, HTML_DETAILS_BYTES, html->columns[HTML_DETAILS].count - details);
    html_put(html, HTML_STATE_BYTES, html->columns[HTML_STATES].count - states);
    html_remember(html, observed);
    html->time_ns = time_ns;
    html->step = observed->step;
    html->count++;
}

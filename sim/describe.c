/* Frames, calls and events as named values. */
#include "describe.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "../core/entry.h"

enum { ENTRIES_SHOWN = 12, BYTES_SHOWN = 24 };

void fields_reset(struct fields *fields, const struct swarm *swarm)
{
    fields->swarm = swarm;
    fields->count = fields->room_used = 0;
}

static struct field *fields_add(struct fields *fields, const char *name, enum field_kind kind)
{
    static struct field nowhere;
    struct field *field = fields->count < FIELDS_MAX ? &fields->items[fields->count++] : &nowhere;
    *field = (struct field){ .name = name, .kind = kind, .text = "" };
    return field;
}

const char *fields_print(struct fields *fields, const char *format, ...)
{
    char *to = fields->room + fields->room_used;
    const uint32_t left = FIELDS_ROOM - fields->room_used;
    va_list arguments;
    if (left < 2)
        return "";
    va_start(arguments, format);
    const int bytes = vsnprintf(to, left, format, arguments);
    va_end(arguments);
    fields->room_used += u32_min(left - 1, (uint32_t)(bytes > 0 ? bytes : 0)) + 1;
    return to;
}

void fields_number(struct fields *fields, const char *name, uint64_t value)
{
    fields_add(fields, name, FIELD_NUMBER)->a = value;
}

void fields_brief(struct fields *fields, const char *name, uint64_t value)
{
    struct field *field = fields_add(fields, name, FIELD_NUMBER);
    field->a = value;
    field->brief = true;
}

void fields_id(struct fields *fields, const char *name, struct log_id id)
{
    struct field *field = fields_add(fields, name, FIELD_ID);
    field->a = id.term;
    field->b = id.index;
    field->brief = true;
}

void fields_text(struct fields *fields, const char *name, const char *text)
{
    fields_add(fields, name, FIELD_TEXT)->text = text;
}

void fields_word(struct fields *fields, const char *name, const char *text)
{
    struct field *field = fields_add(fields, name, FIELD_TEXT);
    field->text = text;
    field->brief = true;
}

void fields_hash(struct fields *fields, const char *name, uint64_t hash)
{
    fields_add(fields, name, FIELD_HASH)->a = hash;
}

uint32_t describe_slot(const struct swarm *swarm, uint64_t node_id)
{
    for (uint32_t slot = 0; slot < swarm->node_count; slot++)
        if (swarm->configs[slot].node_id == node_id)
            return slot;
    return ENDPOINTS;
}

void fields_node(struct fields *fields, const char *name, uint64_t node_id)
{
    static const char *const names[] = { "n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7" };
    const uint32_t slot = describe_slot(fields->swarm, node_id);
    if (slot < ARRAY_COUNT(names))
        fields_word(fields, name, names[slot]);
    else if (node_id == 0 || node_id == UINT64_MAX)
        fields_word(fields, name, node_id == 0 ? "none" : "unknown");
    else
        fields_word(fields, name, fields_print(fields, "id %" PRIu64, node_id));
}

void fields_bytes(struct fields *fields, const char *name, struct slice bytes)
{
    char text[BYTES_SHOWN + 1];
    const uint32_t count = u32_min(bytes.count, BYTES_SHOWN);
    for (uint32_t i = 0; i < count; i++)
        text[i] = (char)(bytes.bytes[i] > ' ' && bytes.bytes[i] < 127 ? bytes.bytes[i] : '.');
    text[count] = '\0';
    fields_text(fields, name,
                fields_print(fields, "%s%s (%" PRIu32 " bytes)", text, count < bytes.count ? "..." : "", bytes.count));
}

/* ---- frames ---- */

const char *describe_frame_name(struct slice frame)
{
    struct frame_header header;
    const struct message heartbeat = { .type = FRAME_APPEND_REQUEST };
    if (frame.count < sizeof header)
        return "short";
    memcpy(&header, frame.bytes, sizeof header);
    const struct frame_context context = {
        .cluster_id = header.cluster_id,
        .fingerprint = header.fingerprint,
        .frame_bytes_max = frame.count,
    };
    struct message message;
    if (header.type == FRAME_APPEND_REQUEST && frame.count == message_bytes(&heartbeat))
        return "heartbeat?";
    if (header.type != FRAME_VOTE_REQUEST && header.type != FRAME_VOTE_RESPONSE)
        return frame_type_text(header.type);
    if (message_decode(frame, &context, &message) != FRAME_OK)
        return frame_type_text(header.type);
    if (header.type == FRAME_VOTE_REQUEST)
        return message.vote_request.pre ? "pre-vote?" : "vote?";
    return message.vote_response.pre ? "pre-vote!" : "vote!";
}

static const char *entry_kind_text(enum entry_kind kind)
{
    switch (kind) {
    case ENTRY_NOOP: return "noop";
    case ENTRY_COMMAND: return "command";
    case ENTRY_CHECKPOINT: return "checkpoint";
    case ENTRY_CONFIG: return "configuration";
    }
    return "?";
}

static void describe_entries(struct fields *fields, struct slice entries, uint32_t count)
{
    for (uint32_t i = 0; i < u32_min(count, ENTRIES_SHOWN); i++) {
        struct entry entry;
        struct request request;
        const uint32_t bytes = entry_decode(entries, &entry);
        if (bytes == 0)
            return;
        const char *what = entry_kind_text(entry.kind);
        if (entry.kind == ENTRY_COMMAND && command_decode(entry.body, &fields->swarm->limits, &request))
            what = fields_print(fields, "%s of session %" PRIu64 ".%" PRIu64, request_kind_text((uint8_t)request.kind),
                                request.session, request.sequence);
        fields_text(fields, "entry",
                    fields_print(fields, "%" PRIu64 ".%" PRIu64 " %s, %" PRIu32 " bytes", entry.id.term, entry.id.index,
                                 what, entry.body.count));
        entries = (struct slice){ .bytes = entries.bytes + bytes, .count = entries.count - bytes };
    }
}

static void describe_append_request(struct fields *fields, const struct append_request *append)
{
    fields_id(fields, "prev", append->prev);
    fields_brief(fields, "commit", append->commit);
    if (append->entry_count > 0)
        fields_brief(fields, "entries", append->entry_count);
    fields_number(fields, "round", append->round);
    fields_number(fields, "sent at", append->sent_ns);
    fields_number(fields, "last", append->last);
    if (append->echo != 0)
        fields_hash(fields, "echo", append->echo);
    if (append->agreed.index != 0)
        fields_number(fields, "agreed checkpoint", append->agreed.index);
    describe_entries(fields, append->entries, append->entry_count);
}

static void describe_append_response(struct fields *fields, const struct append_response *response)
{
    if (response->rejected != 0) {
        fields_brief(fields, "rejected", response->rejected);
        fields_id(fields, "hint", response->hint);
    }
    fields_brief(fields, "match", response->match);
    fields_number(fields, "round", response->round);
    fields_number(fields, "promised until", response->promised_ns);
    if (response->checkpoint.index != 0)
        fields_number(fields, "checkpoint", response->checkpoint.index);
    if (response->nonce != 0)
        fields_hash(fields, "abstains, nonce", response->nonce);
    if (response->damaged != 0)
        fields_brief(fields, "damaged", response->damaged);
}

static const char *ask_text(enum checkpoint_ask ask)
{
    static const char *const texts[] = {
        [CHECKPOINT_ASK_OFFER] = "offer",
        [CHECKPOINT_ASK_HASHES] = "hashes",
        [CHECKPOINT_ASK_PAGES] = "pages",
    };
    return (uint32_t)ask < ARRAY_COUNT(texts) && texts[ask] != NULL ? texts[ask] : "?";
}

static void describe_checkpoint(struct fields *fields, const struct message *message)
{
    if (message->type == FRAME_CHECKPOINT_REQUEST) {
        const struct checkpoint_request *request = &message->checkpoint_request;
        fields_word(fields, "wants", ask_text(request->ask));
        if (request->ask == CHECKPOINT_ASK_OFFER)
            fields_id(fields, "has", request->id);
        if (request->ask == CHECKPOINT_ASK_HASHES)
            fields_number(fields, "level", request->level);
        if (request->ask == CHECKPOINT_ASK_PAGES)
            fields_brief(fields, "pages", request->count);
        return;
    }
    const struct checkpoint_response *response = &message->checkpoint_response;
    fields_word(fields, "answers", ask_text(response->ask));
    if (response->ask == CHECKPOINT_ASK_OFFER)
        fields_id(fields, "offers", response->id);
    if (response->ask == CHECKPOINT_ASK_HASHES)
        fields_number(fields, "level", response->level);
    if (response->ask == CHECKPOINT_ASK_PAGES)
        fields_brief(fields, "pages", response->page_count);
    if (response->ask == CHECKPOINT_ASK_PAGES && response->page_count < response->count)
        fields_number(fields, "damaged there", response->count - response->page_count);
}

static void describe_repair(struct fields *fields, const struct message *message)
{
    static const char *const verdicts[] = {
        [REPAIR_HAVE] = "has it",
        [REPAIR_DONT_HAVE] = "has another, or none",
        [REPAIR_HAVE_FAULTY] = "has lost it, too",
        [REPAIR_IN_CHECKPOINT] = "has it in a checkpoint",
    };
    if (message->type == FRAME_REPAIR_REQUEST) {
        fields_id(fields, "entry", message->repair_request.id);
        return;
    }
    const uint32_t verdict = message->repair_response.verdict;
    fields_id(fields, "entry", message->repair_response.id);
    if (verdict < ARRAY_COUNT(verdicts) && verdicts[verdict] != NULL)
        fields_word(fields, "verdict", verdicts[verdict]);
}

static void describe_vote(struct fields *fields, const struct message *message)
{
    if (message->type == FRAME_VOTE_REQUEST) {
        fields_brief(fields, "campaign", message->vote_request.term);
        fields_id(fields, "last", message->vote_request.last);
        if (message->vote_request.transfer)
            fields_word(fields, "told by its leader", "");
        return;
    }
    fields_brief(fields, "campaign", message->vote_response.term);
    fields_word(fields, message->vote_response.granted ? "granted" : "refused", "");
}

static void describe_body(struct fields *fields, const struct message *message)
{
    switch (message->type) {
    case FRAME_VOTE_REQUEST:
    case FRAME_VOTE_RESPONSE: describe_vote(fields, message); return;
    case FRAME_APPEND_REQUEST: describe_append_request(fields, &message->append_request); return;
    case FRAME_APPEND_RESPONSE: describe_append_response(fields, &message->append_response); return;
    case FRAME_REFUSAL:
        fields_word(fields, "because", frame_verdict_text(message->refusal.reason));
        fields_id(fields, "commit", message->refusal.commit);
        return;
    case FRAME_CHECKPOINT_REQUEST:
    case FRAME_CHECKPOINT_RESPONSE: describe_checkpoint(fields, message); return;
    case FRAME_REPAIR_REQUEST:
    case FRAME_REPAIR_RESPONSE: describe_repair(fields, message); return;
    case FRAME_REJOIN_RESPONSE: fields_id(fields, "configuration", message->rejoin_response.id); return;
    case FRAME_READ_INDEX_REQUEST: fields_brief(fields, "question", message->read_index_request.number); return;
    case FRAME_READ_INDEX_RESPONSE:
        fields_brief(fields, "question", message->read_index_response.number);
        fields_brief(fields, "index", message->read_index_response.index);
        return;
    case FRAME_TIMEOUT_NOW:
    case FRAME_REJOIN_REQUEST:
    case FRAME_CLIENT_REQUEST:
    case FRAME_CLIENT_REPLY: return;
    }
}

void describe_frame(struct fields *fields, struct slice frame)
{
    const struct limits *limits = &fields->swarm->limits;
    struct frame_header header;
    if (frame.count < sizeof header)
        return;
    memcpy(&header, frame.bytes, sizeof header);
    /* A client may leave the cluster open, and a foreign frame is shown as what it says. */
    const struct frame_context context = {
        .cluster_id = header.cluster_id,
        .fingerprint = header.fingerprint,
        .frame_bytes_max = limits->frame_bytes_max,
    };
    struct message message;
    struct request request;
    struct reply reply;
    enum reply_status status;
    if (header.type == FRAME_CLIENT_REQUEST) {
        if (request_decode(frame, &context, limits, &request, &status) == FRAME_OK && status == REPLY_OK)
            describe_request(fields, &request);
        else
            fields_word(fields, "malformed", "");
    } else if (header.type == FRAME_CLIENT_REPLY) {
        if (reply_decode(frame, limits->frame_bytes_max, &reply) == FRAME_OK)
            describe_reply(fields, &reply);
    } else {
        fields_brief(fields, "term", header.term);
        if (message_decode(frame, &context, &message) == FRAME_OK)
            describe_body(fields, &message);
        else
            fields_word(fields, "malformed", "");
    }
    fields_brief(fields, "bytes", frame.count);
}

/* ---- calls ---- */

void describe_request(struct fields *fields, const struct request *request)
{
    fields_word(fields, "asks", request_kind_text((uint8_t)request->kind));
    if (request->key.count > 0)
        fields_bytes(fields, "key", request->key);
    if (request->session != 0) {
        fields_brief(fields, "session", request->session);
        fields_brief(fields, "sequence", request->sequence);
    }
    if (request->kind == REQUEST_TXN)
        fields_number(fields, "transaction bytes", request->value.count);
    else if (request->value.count > 0)
        fields_bytes(fields, "value", request->value);
    if (request->kind == REQUEST_CAS)
        fields_number(fields, "if version", request->version);
    if (request->kind == REQUEST_TRANSFER)
        fields_node(fields, "target", request->version);
    if ((request->flags & REQUEST_FLAG_LOCAL) != 0 && request->kind == REQUEST_GET)
        fields_word(fields, "local", "");
    if (request->kind == REQUEST_GET && request->version != 0)
        fields_number(fields, "bound, ns", request->version);
    if (request->budget_ns != 0)
        fields_number(fields, "budget, ns", request->budget_ns);
}

void describe_reply(struct fields *fields, const struct reply *reply)
{
    fields_word(fields, "status", reply_status_text(reply->status));
    if (reply->session != 0)
        fields_brief(fields, "session", reply->session);
    if (reply->version != 0)
        fields_brief(fields, "version", reply->version);
    if (reply->applied != 0)
        fields_number(fields, "applied", reply->applied);
    if (reply->leader != 0)
        fields_node(fields, "leader", reply->leader);
    if (reply->retry_after_ms != 0)
        fields_number(fields, "retry after, ms", reply->retry_after_ms);
    if ((reply->flags & REPLY_FLAG_STALE) != 0)
        fields_word(fields, "stale", "");
    if ((reply->flags & REPLY_FLAG_BOUNDED) != 0)
        fields_word(fields, "bounded", "");
    if (reply->value.count > 0)
        fields_bytes(fields, "value", reply->value);
}

/* ---- events ---- */

void describe_event(struct fields *fields, const struct event *event)
{
    const char *name = event_kind_text(event->kind);
    if (event->kind == EVENT_ROLE) {
        fields_word(fields, name, raft_role_text((enum raft_role)event->a));
    } else if (event->kind == EVENT_BUSY) {
        fields_word(fields, name, reply_status_text((enum reply_status)event->a));
    } else if (event->kind == EVENT_APPLY || event->b == 0) {
        fields_brief(fields, name, event->a);
    } else {
        struct field *field = fields_add(fields, name, FIELD_PAIR);
        field->a = event->a;
        field->b = event->b;
        field->brief = true;
    }
}

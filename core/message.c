/* Frames between replicas: sealing, and decoders that are total over any bytes; see message.h. */
#include "message.h"

#include "checksum.h"
#include "entry.h"

/* Bodies as they travel. Fixed sizes, no padding; bytes that mean nothing are zero and are checked to be. */
struct vote_request_body {
    uint64_t last_term;
    uint64_t last_index;
    uint64_t term;
    uint8_t pre;
    uint8_t zero[7];
};
STATIC_ASSERT(sizeof(struct vote_request_body) == 32, "no padding");

struct vote_response_body {
    uint64_t term;
    uint8_t pre;
    uint8_t granted;
    uint8_t zero[6];
};
STATIC_ASSERT(sizeof(struct vote_response_body) == 16, "no padding");

struct append_request_body {
    uint64_t prev_term;
    uint64_t prev_index;
    uint64_t commit;
    uint64_t round;
    uint32_t entry_count;
    uint32_t entries_bytes;
};
STATIC_ASSERT(sizeof(struct append_request_body) == 40, "no padding");

struct append_response_body {
    uint64_t match;
    uint64_t round;
    uint64_t hint_term;
    uint64_t hint_index;
    uint64_t rejected;
};
STATIC_ASSERT(sizeof(struct append_response_body) == 40, "no padding");

struct refusal_body {
    uint64_t reason;
};

const char *frame_verdict_text(enum frame_verdict verdict)
{
    switch (verdict) {
    case FRAME_OK: return "ok";
    case FRAME_SHORT: return "incomplete frame";
    case FRAME_BAD_SIZE: return "frame size out of range";
    case FRAME_BAD_CHECKSUM: return "frame checksum wrong";
    case FRAME_BAD_VERSION: return "unknown wire version";
    case FRAME_BAD_TYPE: return "unknown frame type";
    case FRAME_BAD_BODY: return "malformed frame";
    case FRAME_WRONG_CLUSTER: return "wrong cluster id";
    case FRAME_WRONG_FINGERPRINT: return "other limits (fingerprint differs)";
    case FRAME_WRONG_NODE: return "not from a voter, or not for this node";
    case FRAME_DUPLICATE_NODE: return "another data directory already uses this node id";
    }
    return "unknown verdict";
}

enum frame_verdict frame_size(struct slice bytes, uint32_t frame_bytes_max, uint32_t *frame_bytes)
{
    struct frame_header header;
    if (bytes.count < sizeof header)
        return FRAME_SHORT;
    memcpy(&header, bytes.bytes, sizeof header);
    if (header.frame_bytes < sizeof header || header.frame_bytes > frame_bytes_max)
        return FRAME_BAD_SIZE;
    *frame_bytes = header.frame_bytes;
    return FRAME_OK;
}

enum frame_verdict frame_header_decode(struct slice bytes, uint32_t frame_bytes_max, struct frame_header *header)
{
    uint32_t frame_bytes = 0;
    const enum frame_verdict verdict = frame_size(bytes, frame_bytes_max, &frame_bytes);
    if (verdict != FRAME_OK)
        return verdict;
    if (frame_bytes != bytes.count)
        return frame_bytes > bytes.count ? FRAME_SHORT : FRAME_BAD_SIZE;
    memcpy(header, bytes.bytes, sizeof *header);
    const size_t skip = sizeof header->checksum;
    if (header->checksum != checksum64(bytes.bytes + skip, bytes.count - skip, 0))
        return FRAME_BAD_CHECKSUM;
    return header->version == WIRE_VERSION ? FRAME_OK : FRAME_BAD_VERSION;
}

void frame_seal(const struct frame_header *header, uint8_t *to)
{
    memcpy(to, header, sizeof *header);
    const size_t skip = sizeof header->checksum;
    const uint64_t checksum = checksum64(to + skip, header->frame_bytes - skip, 0);
    memcpy(to, &checksum, sizeof checksum);
}

static uint32_t body_bytes(enum frame_type type)
{
    switch (type) {
    case FRAME_VOTE_REQUEST: return sizeof(struct vote_request_body);
    case FRAME_VOTE_RESPONSE: return sizeof(struct vote_response_body);
    case FRAME_APPEND_REQUEST: return sizeof(struct append_request_body);
    case FRAME_APPEND_RESPONSE: return sizeof(struct append_response_body);
    case FRAME_REFUSAL: return sizeof(struct refusal_body);
    case FRAME_CLIENT_REQUEST:
    case FRAME_CLIENT_REPLY: return 0;
    }
    return 0;
}

uint32_t message_append_bytes(uint32_t entries_bytes)
{
    return (uint32_t)(sizeof(struct frame_header) + sizeof(struct append_request_body)) + entries_bytes;
}

uint32_t message_bytes(const struct message *message)
{
    const uint32_t fixed = (uint32_t)sizeof(struct frame_header) + body_bytes(message->type);
    return message->type == FRAME_APPEND_REQUEST ? fixed + message->append_request.entries.count : fixed;
}

static void append_request_encode(const struct append_request *request, uint8_t *to)
{
    const struct append_request_body body = {
        .prev_term = request->prev.term,
        .prev_index = request->prev.index,
        .commit = request->commit,
        .round = request->round,
        .entry_count = request->entry_count,
        .entries_bytes = request->entries.count,
    };
    memcpy(to, &body, sizeof body);
    /* The sender may have gathered the entries in place. */
    if (request->entries.count > 0 && request->entries.bytes != to + sizeof body)
        memcpy(to + sizeof body, request->entries.bytes, request->entries.count);
}

static void body_encode(const struct message *message, uint8_t *to)
{
    switch (message->type) {
    case FRAME_VOTE_REQUEST: {
        const struct vote_request_body body = {
            .last_term = message->vote_request.last.term,
            .last_index = message->vote_request.last.index,
            .term = message->vote_request.term,
            .pre = message->vote_request.pre,
        };
        memcpy(to, &body, sizeof body);
        return;
    }
    case FRAME_VOTE_RESPONSE: {
        const struct vote_response_body body = {
            .term = message->vote_response.term,
            .pre = message->vote_response.pre,
            .granted = message->vote_response.granted,
        };
        memcpy(to, &body, sizeof body);
        return;
    }
    case FRAME_APPEND_REQUEST: append_request_encode(&message->append_request, to); return;
    case FRAME_APPEND_RESPONSE: {
        const struct append_response_body body = {
            .match = message->append_response.match,
            .round = message->append_response.round,
            .hint_term = message->append_response.hint.term,
            .hint_index = message->append_response.hint.index,
            .rejected = message->append_response.rejected,
        };
        memcpy(to, &body, sizeof body);
        return;
    }
    case FRAME_REFUSAL: {
        const struct refusal_body body = { .reason = message->refusal.reason };
        memcpy(to, &body, sizeof body);
        return;
    }
    case FRAME_CLIENT_REQUEST:
    case FRAME_CLIENT_REPLY: break;
    }
    UNREACHABLE();
}

void message_encode(const struct message *message, const struct frame_context *context, uint8_t *to)
{
    const struct frame_header header = {
        .frame_bytes = message_bytes(message),
        .type = (uint16_t)message->type,
        .version = WIRE_VERSION,
        .cluster_id = context->cluster_id,
        .fingerprint = context->fingerprint,
        .from = message->from,
        .to = message->to,
        .instance = message->instance,
        .term = message->term,
    };
    ASSERT(header.frame_bytes <= context->frame_bytes_max);
    body_encode(message, to + sizeof header);
    frame_seal(&header, to);
}

static enum frame_verdict vote_request_decode(const uint8_t *bytes, struct message *message)
{
    struct vote_request_body body;
    memcpy(&body, bytes, sizeof body);
    if (body.pre > 1 || body.term < message->term || body.term > TERM_MAX || body.term == 0)
        return FRAME_BAD_BODY;
    message->vote_request = (struct vote_request){
        .last = { .term = body.last_term, .index = body.last_index },
        .term = body.term,
        .pre = body.pre == 1,
    };
    return FRAME_OK;
}

static enum frame_verdict vote_response_decode(const uint8_t *bytes, struct message *message)
{
    struct vote_response_body body;
    memcpy(&body, bytes, sizeof body);
    if (body.pre > 1 || body.granted > 1 || body.term == 0)
        return FRAME_BAD_BODY;
    message->vote_response = (struct vote_response){
        .term = body.term,
        .pre = body.pre == 1,
        .granted = body.granted == 1,
    };
    return FRAME_OK;
}

/* Entries must follow prev without a gap, with terms that never fall and never pass the leader's. */
static bool entries_valid(const struct append_request *request, uint64_t leader_term)
{
    struct log_id last = request->prev;
    uint32_t offset = 0;
    for (uint32_t i = 0; i < request->entry_count; i++) {
        struct entry entry;
        const struct slice rest = {
            .bytes = request->entries.bytes + offset,
            .count = request->entries.count - offset,
        };
        const uint32_t bytes = entry_decode(rest, &entry);
        if (bytes == 0 || entry.id.index != last.index + 1)
            return false;
        if (entry.id.term < last.term || entry.id.term > leader_term)
            return false;
        last = entry.id;
        offset += bytes;
    }
    return offset == request->entries.count;
}

static enum frame_verdict append_request_decode(struct slice bytes, struct message *message)
{
    struct append_request_body body;
    memcpy(&body, bytes.bytes, sizeof body);
    if (body.entries_bytes != bytes.count - sizeof body)
        return FRAME_BAD_BODY;
    if ((body.prev_index == 0) != (body.prev_term == 0) || body.prev_term > message->term)
        return FRAME_BAD_BODY;
    if (body.prev_index >= UINT64_MAX - body.entry_count)
        return FRAME_BAD_BODY;
    message->append_request = (struct append_request){
        .prev = { .term = body.prev_term, .index = body.prev_index },
        .commit = body.commit,
        .round = body.round,
        .entry_count = body.entry_count,
        .entries = { .bytes = bytes.bytes + sizeof body, .count = body.entries_bytes },
    };
    return entries_valid(&message->append_request, message->term) ? FRAME_OK : FRAME_BAD_BODY;
}

static enum frame_verdict append_response_decode(const uint8_t *bytes, struct message *message)
{
    struct append_response_body body;
    memcpy(&body, bytes, sizeof body);
    if ((body.hint_index == 0) != (body.hint_term == 0))
        return FRAME_BAD_BODY;
    message->append_response = (struct append_response){
        .match = body.match,
        .round = body.round,
        .hint = { .term = body.hint_term, .index = body.hint_index },
        .rejected = body.rejected,
    };
    return FRAME_OK;
}

static enum frame_verdict body_decode(struct slice body, struct message *message)
{
    switch (message->type) {
    case FRAME_VOTE_REQUEST: return vote_request_decode(body.bytes, message);
    case FRAME_VOTE_RESPONSE: return vote_response_decode(body.bytes, message);
    case FRAME_APPEND_REQUEST: return append_request_decode(body, message);
    case FRAME_APPEND_RESPONSE: return append_response_decode(body.bytes, message);
    case FRAME_REFUSAL: {
        struct refusal_body refusal;
        memcpy(&refusal, body.bytes, sizeof refusal);
        if (refusal.reason == FRAME_OK || refusal.reason > FRAME_DUPLICATE_NODE)
            return FRAME_BAD_BODY;
        message->refusal = (struct refusal){ .reason = (enum frame_verdict)refusal.reason };
        return FRAME_OK;
    }
    case FRAME_CLIENT_REQUEST:
    case FRAME_CLIENT_REPLY: break;
    }
    return FRAME_BAD_TYPE;
}

enum frame_verdict message_decode(struct slice bytes, const struct frame_context *context, struct message *message)
{
    *message = (struct message){ .from = 0 };
    struct frame_header header;
    const enum frame_verdict verdict = frame_header_decode(bytes, context->frame_bytes_max, &header);
    if (verdict != FRAME_OK)
        return verdict;
    message->from = header.from;
    message->to = header.to;
    message->instance = header.instance;
    message->term = header.term;
    if (header.type < FRAME_VOTE_REQUEST || header.type > FRAME_REFUSAL)
        return FRAME_BAD_TYPE;
    if (header.term > TERM_MAX)
        return FRAME_BAD_BODY;
    message->type = (enum frame_type)header.type;
    const uint32_t fixed = body_bytes(message->type);
    const uint32_t body_count = bytes.count - (uint32_t)sizeof header;
    if (body_count < fixed || (body_count > fixed && message->type != FRAME_APPEND_REQUEST))
        return FRAME_BAD_BODY;
    /* A refusal explains that these two differ, so it must pass with either. */
    if (message->type != FRAME_REFUSAL) {
        if (header.cluster_id != context->cluster_id)
            return FRAME_WRONG_CLUSTER;
        if (header.fingerprint != context->fingerprint)
            return FRAME_WRONG_FINGERPRINT;
    }
    const enum frame_verdict body =
        body_decode((struct slice){ .bytes = bytes.bytes + sizeof header, .count = body_count }, message);
    /* One that may stop its receiver must come from the same cluster. */
    const bool grave = message->type == FRAME_REFUSAL && message->refusal.reason == FRAME_DUPLICATE_NODE;
    if (body == FRAME_OK && grave && header.cluster_id != context->cluster_id)
        return FRAME_WRONG_CLUSTER;
    return body;
}

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
    uint8_t transfer;
    uint8_t zero[6];
};
STATIC_ASSERT(sizeof(struct vote_request_body) == 32, "no padding");

struct vote_response_body {
    uint64_t term;
    uint8_t pre;
    uint8_t granted;
    uint8_t zero[6];
    struct directory directories[DIRECTORIES_MAX];
};
STATIC_ASSERT(sizeof(struct vote_response_body) == 16 + DIRECTORIES_MAX * 16, "no padding");
STATIC_ASSERT(sizeof(struct frame_header) + sizeof(struct vote_response_body) <= MESSAGE_VOTE_BYTES, "as promised");

struct append_request_body {
    uint64_t prev_term;
    uint64_t prev_index;
    uint64_t commit;
    uint64_t round;
    uint64_t last;
    uint64_t echo;
    uint64_t sent_ns;
    struct checkpoint_mark agreed;
    uint32_t entry_count;
    uint32_t entries_bytes;
};
STATIC_ASSERT(sizeof(struct append_request_body) == 88, "no padding");

struct append_response_body {
    uint64_t match;
    uint64_t round;
    uint64_t hint_term;
    uint64_t hint_index;
    uint64_t rejected;
    uint64_t damaged;
    uint64_t nonce;
    uint64_t promised_ns;
    struct checkpoint_mark checkpoint;
};
STATIC_ASSERT(sizeof(struct append_response_body) == 88, "no padding");

struct repair_request_body {
    uint64_t term;
    uint64_t index;
};
STATIC_ASSERT(sizeof(struct repair_request_body) == 16, "no padding");

struct repair_response_body {
    uint64_t term;
    uint64_t index;
    uint64_t verdict;
};
STATIC_ASSERT(sizeof(struct repair_response_body) == 24, "no padding");

struct refusal_body {
    uint64_t term;
    uint64_t index;
    uint64_t reason;
    uint64_t instance;
};

struct rejoin_response_body {
    uint64_t instance;
    uint64_t id_term;
    uint64_t id_index;
};

struct checkpoint_request_body {
    struct hash128 checkpoint;
    uint64_t id_term;
    uint64_t id_index;
    uint32_t ask;
    uint32_t level;
    uint32_t at;
    uint32_t count;
};
STATIC_ASSERT(sizeof(struct checkpoint_request_body) == 48, "no padding");

struct checkpoint_response_body {
    struct hash128 checkpoint;
    struct hash128 root_hash;
    uint64_t id_term;
    uint64_t id_index;
    uint32_t ask;
    uint32_t leader;
    uint32_t level;
    uint32_t at;
    uint32_t count;
    uint32_t page_count;
    uint32_t page_bytes;
    uint32_t zero;
};
STATIC_ASSERT(sizeof(struct checkpoint_response_body) == 80, "no padding");

struct read_index_body {
    uint64_t number;
    uint64_t index; /* of a question: 0 */
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
    case FRAME_REMOVED: return "the node is not a member of the cluster any more";
    case FRAME_REPLACED_NODE: return "a younger data directory has rejoined under this node id";
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
    case FRAME_CHECKPOINT_REQUEST: return sizeof(struct checkpoint_request_body);
    case FRAME_CHECKPOINT_RESPONSE: return sizeof(struct checkpoint_response_body);
    case FRAME_REPAIR_REQUEST: return sizeof(struct repair_request_body);
    case FRAME_REPAIR_RESPONSE: return sizeof(struct repair_response_body);
    case FRAME_REJOIN_RESPONSE: return sizeof(struct rejoin_response_body);
    case FRAME_READ_INDEX_REQUEST:
    case FRAME_READ_INDEX_RESPONSE: return sizeof(struct read_index_body);
    case FRAME_REJOIN_REQUEST:
    case FRAME_TIMEOUT_NOW: /* the header says it all */
    case FRAME_CLIENT_REQUEST:
    case FRAME_CLIENT_REPLY: return 0;
    }
    return 0;
}

uint32_t message_append_bytes(uint32_t entries_bytes)
{
    return (uint32_t)(sizeof(struct frame_header) + sizeof(struct append_request_body)) + entries_bytes;
}

uint32_t message_checkpoint_bytes(uint32_t payload_bytes)
{
    return (uint32_t)(sizeof(struct frame_header) + sizeof(struct checkpoint_response_body)) + payload_bytes;
}

uint32_t message_pages_max(uint32_t frame_bytes_max, uint32_t page_bytes)
{
    const uint32_t fixed = message_checkpoint_bytes(0);
    return frame_bytes_max < fixed ? 0 : (frame_bytes_max - fixed) / pieces_bytes_max(page_bytes);
}

/* What follows the fixed body. */
static struct slice message_tail(const struct message *message)
{
    switch (message->type) {
    case FRAME_APPEND_REQUEST: return message->append_request.entries;
    case FRAME_CHECKPOINT_REQUEST: return message->checkpoint_request.pages;
    case FRAME_CHECKPOINT_RESPONSE: return message->checkpoint_response.payload;
    case FRAME_REPAIR_RESPONSE: return message->repair_response.entry;
    case FRAME_REJOIN_RESPONSE: return message->rejoin_response.members;
    case FRAME_REPAIR_REQUEST:
    case FRAME_TIMEOUT_NOW:
    case FRAME_VOTE_REQUEST:
    case FRAME_VOTE_RESPONSE:
    case FRAME_APPEND_RESPONSE:
    case FRAME_REFUSAL:
    case FRAME_REJOIN_REQUEST:
    case FRAME_READ_INDEX_REQUEST:
    case FRAME_READ_INDEX_RESPONSE:
    case FRAME_CLIENT_REQUEST:
    case FRAME_CLIENT_REPLY: break;
    }
    return (struct slice){ .bytes = NULL };
}

uint32_t message_bytes(const struct message *message)
{
    return (uint32_t)sizeof(struct frame_header) + body_bytes(message->type) + message_tail(message).count;
}

static void append_request_encode(const struct append_request *request, uint8_t *to)
{
    const struct append_request_body body = {
        .prev_term = request->prev.term,
        .prev_index = request->prev.index,
        .commit = request->commit,
        .round = request->round,
        .last = request->last,
        .echo = request->echo,
        .sent_ns = request->sent_ns,
        .agreed = request->agreed,
        .entry_count = request->entry_count,
        .entries_bytes = request->entries.count,
    };
    memcpy(to, &body, sizeof body);
}

static void checkpoint_request_encode(const struct checkpoint_request *request, uint8_t *to)
{
    const struct checkpoint_request_body body = {
        .checkpoint = request->checkpoint,
        .id_term = request->id.term,
        .id_index = request->id.index,
        .ask = (uint32_t)request->ask,
        .level = request->level,
        .at = request->at,
        .count = request->count,
    };
    memcpy(to, &body, sizeof body);
}

static void checkpoint_response_encode(const struct checkpoint_response *response, uint8_t *to)
{
    const struct checkpoint_response_body body = {
        .checkpoint = response->checkpoint,
        .root_hash = response->root_hash,
        .id_term = response->id.term,
        .id_index = response->id.index,
        .ask = (uint32_t)response->ask,
        .leader = response->leader,
        .level = response->level,
        .at = response->at,
        .count = response->count,
        .page_count = response->page_count,
        .page_bytes = response->page_bytes,
    };
    memcpy(to, &body, sizeof body);
}

static void rejoin_response_encode(const struct rejoin_response *response, uint8_t *to)
{
    const struct rejoin_response_body body = {
        .instance = response->instance,
        .id_term = response->id.term,
        .id_index = response->id.index,
    };
    memcpy(to, &body, sizeof body);
}

static void refusal_encode(const struct refusal *refusal, uint8_t *to)
{
    const struct refusal_body body = {
        .term = refusal->commit.term,
        .index = refusal->commit.index,
        .reason = refusal->reason,
        .instance = refusal->instance,
    };
    memcpy(to, &body, sizeof body);
}

static void read_index_encode(const struct message *message, uint8_t *to)
{
    struct read_index_body body = { .number = message->read_index_request.number };
    if (message->type == FRAME_READ_INDEX_RESPONSE) {
        body.number = message->read_index_response.number;
        body.index = message->read_index_response.index;
    }
    memcpy(to, &body, sizeof body);
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
            .transfer = message->vote_request.transfer,
        };
        memcpy(to, &body, sizeof body);
        return;
    }
    case FRAME_VOTE_RESPONSE: {
        struct vote_response_body body = {
            .term = message->vote_response.term,
            .pre = message->vote_response.pre,
            .granted = message->vote_response.granted,
        };
        memcpy(body.directories, message->vote_response.directories, sizeof body.directories);
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
            .damaged = message->append_response.damaged,
            .nonce = message->append_response.nonce,
            .promised_ns = message->append_response.promised_ns,
            .checkpoint = message->append_response.checkpoint,
        };
        memcpy(to, &body, sizeof body);
        return;
    }
    case FRAME_REFUSAL: refusal_encode(&message->refusal, to); return;
    case FRAME_CHECKPOINT_REQUEST: checkpoint_request_encode(&message->checkpoint_request, to); return;
    case FRAME_CHECKPOINT_RESPONSE: checkpoint_response_encode(&message->checkpoint_response, to); return;
    case FRAME_REPAIR_REQUEST: {
        const struct repair_request_body body = {
            .term = message->repair_request.id.term,
            .index = message->repair_request.id.index,
        };
        memcpy(to, &body, sizeof body);
        return;
    }
    case FRAME_REPAIR_RESPONSE: {
        const struct repair_response_body body = {
            .term = message->repair_response.id.term,
            .index = message->repair_response.id.index,
            .verdict = message->repair_response.verdict,
        };
        memcpy(to, &body, sizeof body);
        return;
    }
    case FRAME_REJOIN_RESPONSE: rejoin_response_encode(&message->rejoin_response, to); return;
    case FRAME_READ_INDEX_REQUEST:
    case FRAME_READ_INDEX_RESPONSE: read_index_encode(message, to); return;
    case FRAME_REJOIN_REQUEST:
    case FRAME_TIMEOUT_NOW: return;
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
    const struct slice tail = message_tail(message);
    uint8_t *tail_to = to + sizeof header + body_bytes(message->type);
    /* The sender may have gathered it in place. */
    if (tail.count > 0 && tail.bytes != tail_to)
        memcpy(tail_to, tail.bytes, tail.count);
    frame_seal(&header, to);
}

static enum frame_verdict vote_request_decode(const uint8_t *bytes, struct message *message)
{
    struct vote_request_body body;
    memcpy(&body, bytes, sizeof body);
    if (body.pre > 1 || body.transfer > 1 || (body.pre == 1 && body.transfer == 1))
        return FRAME_BAD_BODY;
    if (body.term < message->term || body.term > TERM_MAX || body.term == 0)
        return FRAME_BAD_BODY;
    message->vote_request = (struct vote_request){
        .last = { .term = body.last_term, .index = body.last_index },
        .term = body.term,
        .pre = body.pre == 1,
        .transfer = body.transfer == 1,
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
    memcpy(message->vote_response.directories, body.directories, sizeof body.directories);
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
        .last = body.last,
        .echo = body.echo,
        .sent_ns = body.sent_ns,
        .agreed = body.agreed,
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
        .damaged = body.damaged,
        .nonce = body.nonce,
        .promised_ns = body.promised_ns,
        .checkpoint = body.checkpoint,
    };
    return FRAME_OK;
}

static bool questions_valid(struct slice questions, uint32_t count)
{
    struct pieces_question last = { .page = 0 };
    if (questions.count != (uint64_t)count * sizeof last)
        return false;
    for (uint32_t at = 0; at < count; at++) {
        struct pieces_question question;
        memcpy(&question, questions.bytes + at * sizeof question, sizeof question);
        if (at > 0 && question.page <= last.page)
            return false;
        last = question;
    }
    return true;
}

static enum frame_verdict checkpoint_request_decode(struct slice bytes, struct message *message)
{
    struct checkpoint_request_body body;
    memcpy(&body, bytes.bytes, sizeof body);
    const struct slice pages = { .bytes = bytes.bytes + sizeof body, .count = bytes.count - (uint32_t)sizeof body };
    const bool offer = body.ask == CHECKPOINT_ASK_OFFER;
    const bool hashes = body.ask == CHECKPOINT_ASK_HASHES;
    const bool of_pages = body.ask == CHECKPOINT_ASK_PAGES;
    if ((!offer && !hashes && !of_pages) || hash128_is_zero(body.checkpoint) != offer)
        return FRAME_BAD_BODY;
    if ((body.id_index != 0 || body.id_term != 0) && !offer)
        return FRAME_BAD_BODY;
    if ((body.level != 0) != hashes || (body.at != 0 && !hashes) || (body.count != 0) != of_pages)
        return FRAME_BAD_BODY;
    if (!questions_valid(pages, body.count))
        return FRAME_BAD_BODY;
    message->checkpoint_request = (struct checkpoint_request){
        .ask = (enum checkpoint_ask)body.ask,
        .checkpoint = body.checkpoint,
        .id = { .term = body.id_term, .index = body.id_index },
        .level = body.level,
        .at = body.at,
        .count = body.count,
        .pages = pages,
    };
    return FRAME_OK;
}

/* An offer has an id and a root, or nothing at all. */
static bool offer_valid(const struct checkpoint_response_body *body, uint32_t payload_bytes, uint64_t sender_term)
{
    if (body->level != 0 || body->at != 0 || body->count != 0 || body->page_count != 0 || body->page_bytes != 0)
        return false;
    const bool none = body->id_index == 0;
    if ((body->id_term == 0) != none || hash128_is_zero(body->checkpoint) != none || body->id_term > sender_term)
        return false;
    return payload_bytes == 0 && !(none && (body->leader != 0 || !hash128_is_zero(body->root_hash)));
}

static bool pages_valid(const struct checkpoint_response_body *body, struct slice payload)
{
    if (body->page_bytes == 0 || body->page_bytes > PAGE_BYTES_MAX || body->page_bytes % PIECES != 0)
        return false;
    if (body->page_count > body->count)
        return false;
    struct pieces_answer last = { .page = 0 };
    for (uint32_t at = 0; at < body->page_count; at++) {
        struct pieces_answer answer;
        const uint32_t bytes = pieces_decode(payload, body->page_bytes, &answer);
        if (bytes == 0 || (at > 0 && answer.page <= last.page))
            return false;
        last = answer;
        payload = (struct slice){ .bytes = payload.bytes + bytes, .count = payload.count - bytes };
    }
    return payload.count == 0;
}

static bool checkpoint_answer_valid(const struct checkpoint_response_body *body, struct slice payload)
{
    if (hash128_is_zero(body->checkpoint) || !hash128_is_zero(body->root_hash) || body->leader != 0)
        return false;
    if (body->id_term != 0 || body->id_index != 0 || body->count == 0)
        return false;
    if (body->ask == CHECKPOINT_ASK_PAGES)
        return body->level == 0 && pages_valid(body, payload);
    return body->level != 0 && body->page_count == 0 && body->page_bytes == 0
           && payload.count == (uint64_t)body->count * sizeof(struct hash128);
}

static enum frame_verdict checkpoint_response_decode(struct slice bytes, struct message *message)
{
    struct checkpoint_response_body body;
    memcpy(&body, bytes.bytes, sizeof body);
    const struct slice payload = { .bytes = bytes.bytes + sizeof body, .count = bytes.count - (uint32_t)sizeof body };
    if (body.ask < CHECKPOINT_ASK_OFFER || body.ask > CHECKPOINT_ASK_PAGES || body.leader > 1 || body.zero != 0)
        return FRAME_BAD_BODY;
    const bool valid = body.ask == CHECKPOINT_ASK_OFFER ? offer_valid(&body, payload.count, message->term)
                                                        : checkpoint_answer_valid(&body, payload);
    if (!valid)
        return FRAME_BAD_BODY;
    message->checkpoint_response = (struct checkpoint_response){
        .ask = (enum checkpoint_ask)body.ask,
        .checkpoint = body.checkpoint,
        .id = { .term = body.id_term, .index = body.id_index },
        .root_hash = body.root_hash,
        .leader = body.leader == 1,
        .level = body.level,
        .at = body.at,
        .count = body.count,
        .page_count = body.page_count,
        .page_bytes = body.page_bytes,
        .payload = payload,
    };
    return FRAME_OK;
}

static enum frame_verdict repair_request_decode(const uint8_t *bytes, struct message *message)
{
    struct repair_request_body body;
    memcpy(&body, bytes, sizeof body);
    if (body.index == 0 || body.term == 0 || body.term > message->term)
        return FRAME_BAD_BODY;
    message->repair_request = (struct repair_request){ .id = { .term = body.term, .index = body.index } };
    return FRAME_OK;
}

/* An answer has the entry that it says it has, and nothing else. */
static enum frame_verdict repair_response_decode(struct slice bytes, struct message *message)
{
    struct repair_response_body body;
    struct entry entry;
    memcpy(&body, bytes.bytes, sizeof body);
    const struct slice rest = { .bytes = bytes.bytes + sizeof body, .count = bytes.count - (uint32_t)sizeof body };
    if (body.verdict < REPAIR_HAVE || body.verdict > REPAIR_IN_CHECKPOINT || body.index == 0)
        return FRAME_BAD_BODY;
    if (body.verdict != REPAIR_HAVE && rest.count > 0)
        return FRAME_BAD_BODY;
    if (body.verdict == REPAIR_HAVE
        && (entry_decode(rest, &entry) != rest.count || rest.count == 0 || entry.id.index != body.index
            || entry.id.term != body.term))
        return FRAME_BAD_BODY;
    message->repair_response = (struct repair_response){
        .id = { .term = body.term, .index = body.index },
        .verdict = (enum repair_verdict)body.verdict,
        .entry = rest,
    };
    return FRAME_OK;
}

static enum frame_verdict rejoin_response_decode(struct slice bytes, struct message *message)
{
    struct rejoin_response_body body;
    struct configuration configuration;
    memcpy(&body, bytes.bytes, sizeof body);
    const struct slice members = { .bytes = bytes.bytes + sizeof body, .count = bytes.count - (uint32_t)sizeof body };
    if (body.instance == 0 || body.id_term > message->term || !configuration_decode(members, &configuration))
        return FRAME_BAD_BODY;
    message->rejoin_response = (struct rejoin_response){
        .instance = body.instance,
        .id = { .term = body.id_term, .index = body.id_index },
        .members = members,
    };
    return FRAME_OK;
}

static enum frame_verdict read_index_decode(const uint8_t *bytes, struct message *message)
{
    struct read_index_body body;
    const bool request = message->type == FRAME_READ_INDEX_REQUEST;
    memcpy(&body, bytes, sizeof body);
    if (body.number == 0 || (request && body.index != 0))
        return FRAME_BAD_BODY;
    if (request)
        message->read_index_request = (struct read_index_request){ .number = body.number };
    else
        message->read_index_response = (struct read_index_response){ .number = body.number, .index = body.index };
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
        if (refusal.reason == FRAME_OK || refusal.reason > FRAME_REPLACED_NODE)
            return FRAME_BAD_BODY;
        const bool removed = refusal.reason == FRAME_REMOVED;
        if ((refusal.index != 0) != removed || (refusal.term != 0) != removed)
            return FRAME_BAD_BODY;
        message->refusal = (struct refusal){
            .reason = (enum frame_verdict)refusal.reason,
            .commit = { .term = refusal.term, .index = refusal.index },
            .instance = refusal.instance,
        };
        return FRAME_OK;
    }
    case FRAME_CHECKPOINT_REQUEST: return checkpoint_request_decode(body, message);
    case FRAME_CHECKPOINT_RESPONSE: return checkpoint_response_decode(body, message);
    case FRAME_REPAIR_REQUEST: return repair_request_decode(body.bytes, message);
    case FRAME_REPAIR_RESPONSE: return repair_response_decode(body, message);
    case FRAME_REJOIN_REQUEST: return FRAME_OK;
    case FRAME_REJOIN_RESPONSE: return rejoin_response_decode(body, message);
    case FRAME_TIMEOUT_NOW: return FRAME_OK;
    case FRAME_READ_INDEX_REQUEST:
    case FRAME_READ_INDEX_RESPONSE: return read_index_decode(body.bytes, message);
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
    if (header.type < FRAME_VOTE_REQUEST || header.type > FRAME_PEER_LAST)
        return FRAME_BAD_TYPE;
    if (header.term > TERM_MAX)
        return FRAME_BAD_BODY;
    message->type = (enum frame_type)header.type;
    const uint32_t fixed = body_bytes(message->type);
    const uint32_t body_count = bytes.count - (uint32_t)sizeof header;
    const bool has_tail = message->type == FRAME_APPEND_REQUEST || message->type == FRAME_CHECKPOINT_REQUEST
                          || message->type == FRAME_CHECKPOINT_RESPONSE || message->type == FRAME_REPAIR_RESPONSE
                          || message->type == FRAME_REJOIN_RESPONSE;
    if (body_count < fixed || (body_count > fixed && !has_tail))
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
    /* One that may stop its receiver must come from the same cluster, and from who would have taken its frames. */
    const bool grave = message->type == FRAME_REFUSAL && message->refusal.reason >= FRAME_DUPLICATE_NODE;
    if (body == FRAME_OK && grave && header.cluster_id != context->cluster_id)
        return FRAME_WRONG_CLUSTER;
    if (body == FRAME_OK && grave && header.fingerprint != context->fingerprint)
        return FRAME_WRONG_FINGERPRINT;
    return body;
}

/* The client protocol: codecs, and what makes a request acceptable; see request.h. */
#include "request.h"

const char *reply_status_text(enum reply_status status)
{
    switch (status) {
    case REPLY_OK: return "ok";
    case REPLY_NOT_FOUND: return "key not found";
    case REPLY_CONDITION_FAILED: return "condition failed";
    case REPLY_NO_SPACE: return "no space";
    case REPLY_TOO_LARGE: return "key or value too large";
    case REPLY_NOT_LEADER: return "not the leader";
    case REPLY_BUSY: return "busy";
    case REPLY_LATE: return "too late";
    case REPLY_UNKNOWN: return "outcome unknown";
    case REPLY_SESSION_EXPIRED: return "session expired";
    case REPLY_STALE_SEQUENCE: return "stale sequence number";
    case REPLY_BAD_REQUEST: return "malformed request";
    case REPLY_WRONG_CLUSTER: return "wrong cluster id";
    case REPLY_CHANGE_UNDER_WAY: return "a change of the members is under way";
    case REPLY_TERM_NOT_OPEN: return "the leader is too new to change the members";
    case REPLY_UNKNOWN_MEMBER: return "no such member";
    case REPLY_DUPLICATE_MEMBER: return "a member has this id or address already";
    case REPLY_TOO_MANY_MEMBERS: return "too many members";
    case REPLY_NO_VOTER_LEFT: return "no voter would be left";
    case REPLY_WRONG_ROLE: return "the member has another role";
    case REPLY_LEARNER_BEHIND: return "the learner has not caught up";
    case REPLY_WOULD_LOSE_QUORUM: return "the healthy voters would be no majority";
    case REPLY_NOT_A_VOTER: return "not a voter";
    case REPLY_NO_LEADER: return "the node has no leader to ask";
    case REPLY_TARGET_SILENT: return "the target does not answer";
    case REPLY_TRANSFER_FAILED: return "the leadership was not transferred";
    }
    return "unknown status";
}

static struct request_header request_header_of(const struct request *request)
{
    return (struct request_header){
        .session = request->session,
        .sequence = request->sequence,
        .version = request->version,
        .value_bytes = request->value.count,
        .key_bytes = (uint16_t)request->key.count,
        .kind = (uint8_t)request->kind,
        .flags = request->flags,
    };
}

uint32_t command_bytes(const struct request *request)
{
    return (uint32_t)sizeof(struct request_header) + request->key.count + request->value.count;
}

void command_encode(const struct request *request, uint8_t *to)
{
    ASSERT(request->key.count <= UINT16_MAX);
    const struct request_header header = request_header_of(request);
    memcpy(to, &header, sizeof header);
    to += sizeof header;
    if (request->key.count > 0)
        memcpy(to, request->key.bytes, request->key.count);
    to += request->key.count;
    if (request->value.count > 0)
        memcpy(to, request->value.bytes, request->value.count);
}

uint32_t request_bytes(const struct request *request)
{
    return (uint32_t)sizeof(struct frame_header) + command_bytes(request);
}

void request_encode(const struct request *request, uint64_t cluster_id, uint8_t *to)
{
    const struct frame_header header = {
        .frame_bytes = request_bytes(request),
        .type = FRAME_CLIENT_REQUEST,
        .version = WIRE_VERSION,
        .cluster_id = cluster_id,
        .instance = request->request_id,
        .term = request->budget_ns,
    };
    command_encode(request, to + sizeof header);
    frame_seal(&header, to);
}

static uint32_t request_flags(enum request_kind kind)
{
    if (kind == REQUEST_MEMBERS)
        return REQUEST_FLAG_FORCE;
    return kind == REQUEST_GET ? REQUEST_FLAG_LOCAL : 0;
}

/* The layout only: sizes add up, the kind is known. */
static bool command_layout_decode(struct slice body, struct request *request)
{
    struct request_header header;
    if (body.count < sizeof header)
        return false;
    memcpy(&header, body.bytes, sizeof header);
    if (header.kind < REQUEST_REGISTER || header.kind > REQUEST_KIND_LAST)
        return false;
    if ((header.flags & ~request_flags((enum request_kind)header.kind)) != 0)
        return false;
    if ((uint64_t)header.key_bytes + header.value_bytes != body.count - sizeof header)
        return false;
    const uint8_t *key = body.bytes + sizeof header;
    request->kind = (enum request_kind)header.kind;
    request->session = header.session;
    request->sequence = header.sequence;
    request->version = header.version;
    request->flags = header.flags;
    request->key = (struct slice){ .bytes = key, .count = header.key_bytes };
    request->value = (struct slice){ .bytes = key + header.key_bytes, .count = header.value_bytes };
    return true;
}

static bool slice_equal(struct slice a, struct slice b)
{
    return a.count == b.count && memcmp(a.bytes, b.bytes, a.count) == 0;
}

enum txn_branch { TXN_COMPARES = 0, TXN_THEN = 1, TXN_ELSE = 2 };

static enum txn_branch txn_branch_of(enum txn_clause_kind kind)
{
    if (kind <= TXN_IF_NOT_EQUAL)
        return TXN_COMPARES;
    return kind <= TXN_THEN_APPEND ? TXN_THEN : TXN_ELSE;
}

/* Does an earlier write of the same branch, from `offset` on, have this key? */
static bool txn_key_repeats(struct slice txn, uint32_t offset, uint32_t end, const struct txn_clause *clause)
{
    while (offset < end) {
        struct txn_clause earlier;
        if (!txn_clause_decode(txn, &offset, &earlier))
            return true;
        if (txn_branch_of(earlier.kind) == txn_branch_of(clause->kind) && slice_equal(earlier.key, clause->key))
            return true;
    }
    return false;
}

static enum reply_status txn_problem(struct slice txn, const struct limits *limits)
{
    uint32_t counts[3] = { 0, 0, 0 };
    enum txn_branch branch = TXN_COMPARES;
    uint32_t writes_offset = 0;
    uint32_t offset = 0;
    while (offset < txn.count) {
        const uint32_t start = offset;
        struct txn_clause clause;
        if (!txn_clause_decode(txn, &offset, &clause))
            return REPLY_BAD_REQUEST;
        if (txn_branch_of(clause.kind) < branch)
            return REPLY_BAD_REQUEST;
        if (txn_branch_of(clause.kind) > branch)
            writes_offset = start;
        branch = txn_branch_of(clause.kind);
        counts[branch]++;
        if (counts[branch] > (branch == TXN_COMPARES ? limits->txn_compares_max : limits->txn_writes_max))
            return REPLY_TOO_LARGE;
        if (clause.key.count == 0)
            return REPLY_BAD_REQUEST;
        if (clause.key.count > limits->key_bytes_max || clause.value.count > limits->value_bytes_max)
            return REPLY_TOO_LARGE;
        if (branch != TXN_COMPARES && txn_key_repeats(txn, writes_offset, start, &clause))
            return REPLY_BAD_REQUEST;
    }
    return REPLY_OK;
}

/* What an operation does not need is zero. */
static bool member_operation_valid(const struct member_operation *operation)
{
    const enum member_operation_kind kind = (enum member_operation_kind)operation->kind;
    const bool adds = kind == MEMBER_ADD_LEARNER || kind == MEMBER_ADD_VOTER;
    const bool addressed = adds || kind == MEMBER_SET_ADDRESS;
    if (operation->kind < MEMBER_ADD_LEARNER || operation->kind > MEMBER_SET_PRIORITY)
        return false;
    if (operation->id == 0 || operation->id == UINT64_MAX || (operation->address[0] != '\0') != addressed)
        return false;
    if (operation->priority != 0 && !adds && kind != MEMBER_SET_PRIORITY)
        return false;
    for (uint32_t i = 0; i < sizeof operation->zero; i++)
        if (operation->zero[i] != 0)
            return false;
    uint32_t end = 0;
    while (end < MEMBER_ADDRESS_BYTES && operation->address[end] != '\0')
        end++;
    if (end == MEMBER_ADDRESS_BYTES)
        return false;
    for (uint32_t i = end; i < MEMBER_ADDRESS_BYTES; i++)
        if (operation->address[i] != '\0')
            return false;
    return true;
}

static enum reply_status members_problem(struct slice value)
{
    struct member_operation operation;
    if (value.count == 0 || value.count % sizeof operation != 0)
        return REPLY_BAD_REQUEST;
    if (value.count > 2 * MEMBERS_MAX * sizeof operation)
        return REPLY_TOO_LARGE;
    for (uint32_t at = 0; at < value.count; at += (uint32_t)sizeof operation) {
        memcpy(&operation, value.bytes + at, sizeof operation);
        if (!member_operation_valid(&operation))
            return REPLY_BAD_REQUEST;
    }
    return REPLY_OK;
}

static bool request_is_write(enum request_kind kind) { return kind >= REQUEST_PUT && kind <= REQUEST_TXN; }

static enum reply_status request_problem(const struct request *request, const struct limits *limits)
{
    const bool write = request_is_write(request->kind);
    if (write != (request->session != 0) || write != (request->sequence != 0))
        return REPLY_BAD_REQUEST;
    if (request->kind == REQUEST_MEMBERS)
        return request->key.count == 0 && request->session == 0 && request->sequence == 0
                   ? members_problem(request->value)
                   : REPLY_BAD_REQUEST;
    const bool bounded = (request->flags & REQUEST_FLAG_LOCAL) != 0;
    if (request->version != 0 && request->kind != REQUEST_CAS && request->kind != REQUEST_TRANSFER && !bounded)
        return REPLY_BAD_REQUEST;
    const bool keyed =
        (write && request->kind != REQUEST_TXN) || request->kind == REQUEST_GET || request->kind == REQUEST_GET_STALE;
    if (keyed != (request->key.count != 0))
        return REPLY_BAD_REQUEST;
    const bool valued = write && request->kind != REQUEST_DELETE;
    if (!valued && request->value.count != 0)
        return REPLY_BAD_REQUEST;
    if (request->key.count > limits->key_bytes_max)
        return REPLY_TOO_LARGE;
    if (command_bytes(request) > limits_command_bytes_max(limits))
        return REPLY_TOO_LARGE;
    if (request->kind == REQUEST_TXN)
        return txn_problem(request->value, limits);
    return request->value.count > limits->value_bytes_max ? REPLY_TOO_LARGE : REPLY_OK;
}

enum frame_verdict request_decode(struct slice bytes, const struct frame_context *context, const struct limits *limits,
                                  struct request *request, enum reply_status *status)
{
    *request = (struct request){ .request_id = 0 };
    struct frame_header header;
    const enum frame_verdict verdict = frame_header_decode(bytes, context->frame_bytes_max, &header);
    if (verdict != FRAME_OK)
        return verdict;
    if (header.type != FRAME_CLIENT_REQUEST)
        return FRAME_BAD_TYPE;
    request->request_id = header.instance;
    request->budget_ns = header.term;
    const struct slice body = {
        .bytes = bytes.bytes + sizeof header,
        .count = bytes.count - (uint32_t)sizeof header,
    };
    if (header.cluster_id != 0 && header.cluster_id != context->cluster_id)
        *status = REPLY_WRONG_CLUSTER;
    else if (!command_layout_decode(body, request))
        *status = REPLY_BAD_REQUEST;
    else
        *status = request_problem(request, limits);
    return FRAME_OK;
}

bool command_decode(struct slice body, const struct limits *limits, struct request *request)
{
    *request = (struct request){ .request_id = 0 };
    if (!command_layout_decode(body, request))
        return false;
    if (request->kind != REQUEST_REGISTER && !request_is_write(request->kind))
        return false;
    return request_problem(request, limits) == REPLY_OK;
}

uint32_t reply_bytes(const struct reply *reply)
{
    return (uint32_t)(sizeof(struct frame_header) + sizeof(struct reply_header)) + reply->value.count;
}

void reply_encode(const struct reply *reply, uint64_t cluster_id, uint8_t *to)
{
    const struct frame_header frame = {
        .frame_bytes = reply_bytes(reply),
        .type = FRAME_CLIENT_REPLY,
        .version = WIRE_VERSION,
        .cluster_id = cluster_id,
        .instance = reply->request_id,
    };
    const struct reply_header header = {
        .session = reply->session,
        .version = reply->version,
        .applied = reply->applied,
        .leader = reply->leader,
        .value_bytes = reply->value.count,
        .status = (uint8_t)reply->status,
        .flags = reply->flags,
        .retry_after_ms = reply->retry_after_ms,
    };
    uint8_t *value = to + sizeof frame + sizeof header;
    memcpy(to + sizeof frame, &header, sizeof header);
    /* The sender may have gathered the value in place. */
    if (reply->value.count > 0 && reply->value.bytes != value)
        memcpy(value, reply->value.bytes, reply->value.count);
    frame_seal(&frame, to);
}

enum frame_verdict reply_decode(struct slice bytes, uint32_t frame_bytes_max, struct reply *reply)
{
    *reply = (struct reply){ .request_id = 0 };
    struct frame_header frame;
    struct reply_header header;
    const enum frame_verdict verdict = frame_header_decode(bytes, frame_bytes_max, &frame);
    if (verdict != FRAME_OK)
        return verdict;
    if (frame.type != FRAME_CLIENT_REPLY)
        return FRAME_BAD_TYPE;
    if (bytes.count < sizeof frame + sizeof header)
        return FRAME_BAD_BODY;
    memcpy(&header, bytes.bytes + sizeof frame, sizeof header);
    if (header.value_bytes != bytes.count - sizeof frame - sizeof header || header.status > REPLY_STATUS_LAST)
        return FRAME_BAD_BODY;
    *reply = (struct reply){
        .request_id = frame.instance,
        .status = (enum reply_status)header.status,
        .flags = header.flags,
        .retry_after_ms = header.retry_after_ms,
        .session = header.session,
        .version = header.version,
        .applied = header.applied,
        .leader = header.leader,
        .value = { .bytes = bytes.bytes + sizeof frame + sizeof header, .count = header.value_bytes },
    };
    return FRAME_OK;
}

uint32_t txn_clause_bytes(const struct txn_clause *clause)
{
    return (uint32_t)sizeof(struct txn_clause_header) + clause->key.count + clause->value.count;
}

void txn_clause_encode(const struct txn_clause *clause, uint8_t *to)
{
    ASSERT(clause->key.count <= UINT16_MAX);
    const struct txn_clause_header header = {
        .version = clause->version,
        .value_bytes = clause->value.count,
        .key_bytes = (uint16_t)clause->key.count,
        .kind = (uint8_t)clause->kind,
    };
    memcpy(to, &header, sizeof header);
    if (clause->key.count > 0)
        memcpy(to + sizeof header, clause->key.bytes, clause->key.count);
    if (clause->value.count > 0)
        memcpy(to + sizeof header + clause->key.count, clause->value.bytes, clause->value.count);
}

bool txn_clause_decode(struct slice txn, uint32_t *offset, struct txn_clause *clause)
{
    struct txn_clause_header header;
    if (*offset > txn.count || txn.count - *offset < sizeof header)
        return false;
    const uint8_t *bytes = txn.bytes + *offset;
    const uint32_t rest = txn.count - *offset - (uint32_t)sizeof header;
    memcpy(&header, bytes, sizeof header);
    if (header.zero != 0 || header.kind < TXN_IF_EQUAL || header.kind > TXN_ELSE_APPEND)
        return false;
    if ((uint64_t)header.key_bytes + header.value_bytes > rest)
        return false;
    const bool compare = header.kind <= TXN_IF_NOT_EQUAL;
    if (!compare && header.version != 0)
        return false;
    const bool valued = header.kind == TXN_THEN_PUT || header.kind == TXN_THEN_APPEND || header.kind == TXN_ELSE_PUT
                        || header.kind == TXN_ELSE_APPEND;
    if (!valued && header.value_bytes != 0)
        return false;
    const uint8_t *key = bytes + sizeof header;
    *clause = (struct txn_clause){
        .kind = (enum txn_clause_kind)header.kind,
        .key = { .bytes = key, .count = header.key_bytes },
        .value = { .bytes = key + header.key_bytes, .count = header.value_bytes },
        .version = header.version,
    };
    *offset += (uint32_t)sizeof header + header.key_bytes + header.value_bytes;
    return true;
}

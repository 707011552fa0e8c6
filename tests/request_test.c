/* The client protocol: requests, replies, transactions, and commands as log entries. */
#include "../core/request.h"

#include "../core/checksum.h"
#include "test.h"

static const struct frame_context context = { .cluster_id = 77, .fingerprint = 99, .frame_bytes_max = 1536 };
static uint8_t frame[4096];

static struct slice text(const char *string)
{
    return (struct slice){ .bytes = (const uint8_t *)string, .count = (uint32_t)strlen(string) };
}

static bool slice_equal(struct slice a, struct slice b)
{
    return a.count == b.count && (a.count == 0 || memcmp(a.bytes, b.bytes, a.count) == 0);
}

static struct slice encoded(const struct request *request, uint64_t cluster_id)
{
    memset(frame, 0xaa, sizeof frame);
    request_encode(request, cluster_id, frame);
    return (struct slice){ .bytes = frame, .count = request_bytes(request) };
}

static uint8_t txn_bytes[512];

static struct slice txn_of(const struct txn_clause *clauses, uint32_t count)
{
    uint32_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        txn_clause_encode(&clauses[i], txn_bytes + used);
        used += txn_clause_bytes(&clauses[i]);
    }
    return (struct slice){ .bytes = txn_bytes, .count = used };
}

static struct slice sample_txn(void)
{
    const struct txn_clause clauses[] = {
        { .kind = TXN_IF_EQUAL, .key = text("a"), .version = 4 },
        { .kind = TXN_IF_NOT_EQUAL, .key = text("b"), .version = 0 },
        { .kind = TXN_THEN_PUT, .key = text("a"), .value = text("x") },
        { .kind = TXN_THEN_DELETE, .key = text("b") },
        { .kind = TXN_ELSE_APPEND, .key = text("a"), .value = text("y") },
    };
    return txn_of(clauses, ARRAY_COUNT(clauses));
}

static struct request sample(enum request_kind kind)
{
    struct request request = { .request_id = 12, .kind = kind };
    switch (kind) {
    case REQUEST_REGISTER:
    case REQUEST_STATUS:
    case REQUEST_CHECKPOINT: break;
    case REQUEST_MEMBERS: {
        static const struct member_operation operations[2] = {
            { .id = 4, .kind = MEMBER_ADD_LEARNER, .priority = 3, .address = "node4" },
            { .id = 2, .kind = MEMBER_REMOVE },
        };
        request.flags = REQUEST_FLAG_FORCE;
        request.version = 9;
        request.value = (struct slice){ .bytes = (const uint8_t *)operations, .count = sizeof operations };
        break;
    }
    case REQUEST_TRANSFER: request.version = 3; break;
    case REQUEST_GET:
        request.key = text("key");
        request.flags = REQUEST_FLAG_LOCAL;
        request.version = UINT64_MAX;
        break;
    case REQUEST_GET_STALE: request.key = text("key"); break;
    case REQUEST_DELETE:
        request.session = 3;
        request.sequence = 4;
        request.key = text("key");
        break;
    case REQUEST_PUT:
    case REQUEST_APPEND:
    case REQUEST_CAS:
        request.session = 3;
        request.sequence = 4;
        request.key = text("key");
        request.value = text("value");
        request.version = kind == REQUEST_CAS ? 17 : 0;
        break;
    case REQUEST_TXN:
        request.session = 3;
        request.sequence = 4;
        request.value = sample_txn();
        break;
    }
    return request;
}

static enum frame_verdict decode(struct slice bytes, struct request *request, enum reply_status *status)
{
    return request_decode(bytes, &context, &limits_tiny, request, status);
}

static enum reply_status status_of(const struct request *request)
{
    struct request got;
    enum reply_status status = REPLY_UNKNOWN;
    EXPECT_EQUAL(decode(encoded(request, 77), &got, &status), FRAME_OK);
    EXPECT(got.request_id == request->request_id);
    return status;
}

TEST(every_request_survives_the_round_trip)
{
    for (int kind = REQUEST_REGISTER; kind <= REQUEST_KIND_LAST; kind++) {
        const struct request sent = sample((enum request_kind)kind);
        struct request got;
        enum reply_status status = REPLY_UNKNOWN;
        EXPECT_EQUAL(decode(encoded(&sent, 77), &got, &status), FRAME_OK);
        EXPECT_EQUAL(status, REPLY_OK);
        EXPECT_EQUAL(got.kind, kind);
        EXPECT_EQUAL(got.request_id, 12);
        EXPECT_EQUAL(got.session, sent.session);
        EXPECT_EQUAL(got.sequence, sent.sequence);
        EXPECT_EQUAL(got.version, sent.version);
        EXPECT_EQUAL(got.flags, sent.flags);
        EXPECT(slice_equal(got.key, sent.key));
        EXPECT(slice_equal(got.value, sent.value));
    }
}

TEST(only_a_local_read_has_a_bound_and_only_a_read_is_local)
{
    struct request sent = sample(REQUEST_GET);
    sent.flags = 0;
    EXPECT_EQUAL(status_of(&sent), REPLY_BAD_REQUEST);
    sent.version = 0;
    EXPECT_EQUAL(status_of(&sent), REPLY_OK);
    sent.flags = REQUEST_FLAG_FORCE;
    EXPECT_EQUAL(status_of(&sent), REPLY_BAD_REQUEST);
    sent = sample(REQUEST_GET_STALE);
    sent.flags = REQUEST_FLAG_LOCAL;
    EXPECT_EQUAL(status_of(&sent), REPLY_BAD_REQUEST);
    sent = sample(REQUEST_PUT);
    sent.flags = REQUEST_FLAG_LOCAL;
    EXPECT_EQUAL(status_of(&sent), REPLY_BAD_REQUEST);
}

TEST(any_cluster_may_answer_cluster_zero_and_another_is_refused)
{
    const struct request sent = sample(REQUEST_PUT);
    struct request got;
    enum reply_status status = REPLY_UNKNOWN;
    EXPECT_EQUAL(decode(encoded(&sent, 0), &got, &status), FRAME_OK);
    EXPECT_EQUAL(status, REPLY_OK);
    EXPECT_EQUAL(decode(encoded(&sent, 78), &got, &status), FRAME_OK);
    EXPECT_EQUAL(status, REPLY_WRONG_CLUSTER);
}

TEST(every_single_bit_flip_is_refused)
{
    const struct request sent = sample(REQUEST_TXN);
    const struct slice bytes = encoded(&sent, 77);
    for (uint32_t bit = 0; bit < bytes.count * 8; bit++) {
        struct request got;
        enum reply_status status = REPLY_OK;
        frame[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        EXPECT(decode(bytes, &got, &status) != FRAME_OK);
        frame[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}

TEST(every_shorter_run_of_bytes_is_refused)
{
    const struct request sent = sample(REQUEST_CAS);
    struct slice bytes = encoded(&sent, 77);
    while (bytes.count > 0) {
        struct request got;
        enum reply_status status = REPLY_OK;
        bytes.count--;
        EXPECT(decode(bytes, &got, &status) != FRAME_OK);
    }
}

TEST(a_key_or_value_over_its_limit_is_too_large)
{
    struct request request = sample(REQUEST_PUT);
    uint8_t long_text[400];
    memset(long_text, 'x', sizeof long_text);
    request.key = (struct slice){ .bytes = long_text, .count = limits_tiny.key_bytes_max };
    EXPECT_EQUAL(status_of(&request), REPLY_OK);
    request.key.count++;
    EXPECT_EQUAL(status_of(&request), REPLY_TOO_LARGE);
    request = sample(REQUEST_PUT);
    request.value = (struct slice){ .bytes = long_text, .count = limits_tiny.value_bytes_max };
    EXPECT_EQUAL(status_of(&request), REPLY_OK);
    request.value.count++;
    EXPECT_EQUAL(status_of(&request), REPLY_TOO_LARGE);
}

TEST(a_request_that_misses_its_key_or_session_is_bad)
{
    struct request request = sample(REQUEST_PUT);
    request.key.count = 0;
    EXPECT_EQUAL(status_of(&request), REPLY_BAD_REQUEST);
    request = sample(REQUEST_GET);
    request.key.count = 0;
    EXPECT_EQUAL(status_of(&request), REPLY_BAD_REQUEST);
    request = sample(REQUEST_PUT);
    request.session = 0;
    EXPECT_EQUAL(status_of(&request), REPLY_BAD_REQUEST);
    request = sample(REQUEST_PUT);
    request.sequence = 0;
    EXPECT_EQUAL(status_of(&request), REPLY_BAD_REQUEST);
}

static enum reply_status txn_status(const struct txn_clause *clauses, uint32_t count)
{
    struct request request = sample(REQUEST_TXN);
    request.value = txn_of(clauses, count);
    return status_of(&request);
}

TEST(a_transaction_out_of_order_is_bad)
{
    const struct txn_clause clauses[] = {
        { .kind = TXN_THEN_PUT, .key = text("a"), .value = text("x") },
        { .kind = TXN_IF_EQUAL, .key = text("a"), .version = 4 },
    };
    EXPECT_EQUAL(txn_status(clauses, 2), REPLY_BAD_REQUEST);
}

TEST(a_transaction_that_writes_a_key_twice_in_a_branch_is_bad)
{
    const struct txn_clause twice[] = {
        { .kind = TXN_THEN_PUT, .key = text("a"), .value = text("x") },
        { .kind = TXN_THEN_APPEND, .key = text("a"), .value = text("y") },
    };
    EXPECT_EQUAL(txn_status(twice, 2), REPLY_BAD_REQUEST);
    const struct txn_clause once_in_each[] = {
        { .kind = TXN_THEN_PUT, .key = text("a"), .value = text("x") },
        { .kind = TXN_ELSE_PUT, .key = text("a"), .value = text("y") },
    };
    EXPECT_EQUAL(txn_status(once_in_each, 2), REPLY_OK);
}

TEST(a_transaction_with_too_many_clauses_is_refused)
{
    struct txn_clause clauses[5];
    static const char *const keys[5] = { "a", "b", "c", "d", "e" };
    for (uint32_t i = 0; i < 5; i++)
        clauses[i] = (struct txn_clause){ .kind = TXN_THEN_DELETE, .key = text(keys[i]) };
    EXPECT_EQUAL(txn_status(clauses, 4), REPLY_OK);
    EXPECT(txn_status(clauses, 5) != REPLY_OK);
}

/* Behind the end lies the rest of the clause, so that whoever reads on finds a good one. */
TEST(a_clause_that_is_cut_is_none)
{
    const struct txn_clause clauses[] = { { .kind = TXN_THEN_PUT, .key = text("a"), .value = text("x") } };
    const struct slice whole = txn_of(clauses, 1);
    for (uint32_t count = 0; count <= whole.count; count++) {
        struct txn_clause clause;
        uint32_t offset = 0;
        const struct slice cut = { .bytes = whole.bytes, .count = count };
        EXPECT_EQUAL(txn_clause_decode(cut, &offset, &clause), count == whole.count);
    }
}

TEST(clauses_decode_in_order)
{
    const struct slice txn = sample_txn();
    static const enum txn_clause_kind kinds[] = { TXN_IF_EQUAL, TXN_IF_NOT_EQUAL, TXN_THEN_PUT, TXN_THEN_DELETE,
                                                  TXN_ELSE_APPEND };
    uint32_t offset = 0;
    for (uint32_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        struct txn_clause clause;
        EXPECT(txn_clause_decode(txn, &offset, &clause));
        EXPECT_EQUAL(clause.kind, kinds[i]);
    }
    EXPECT_EQUAL(offset, txn.count);
}

TEST(a_reply_survives_the_round_trip)
{
    const struct reply sent = {
        .request_id = 12,
        .status = REPLY_NOT_LEADER,
        .flags = REPLY_FLAG_STALE,
        .session = 1,
        .version = 2,
        .applied = 3,
        .leader = 4,
        .value = text("127.0.0.1:7002"),
    };
    reply_encode(&sent, 77, frame);
    struct slice bytes = { .bytes = frame, .count = reply_bytes(&sent) };
    struct reply got;
    EXPECT_EQUAL(reply_decode(bytes, 1536, &got), FRAME_OK);
    EXPECT_EQUAL(got.request_id, 12);
    EXPECT_EQUAL(got.status, REPLY_NOT_LEADER);
    EXPECT_EQUAL(got.flags, REPLY_FLAG_STALE);
    EXPECT_EQUAL(got.session, 1);
    EXPECT_EQUAL(got.version, 2);
    EXPECT_EQUAL(got.applied, 3);
    EXPECT_EQUAL(got.leader, 4);
    EXPECT(slice_equal(got.value, sent.value));
    while (bytes.count > 0) {
        bytes.count--;
        EXPECT(reply_decode(bytes, 1536, &got) != FRAME_OK);
    }
}

TEST(a_command_survives_the_log)
{
    const struct request sent = sample(REQUEST_CAS);
    uint8_t body[256];
    struct request got;
    command_encode(&sent, body);
    struct slice bytes = { .bytes = body, .count = command_bytes(&sent) };
    EXPECT(command_decode(bytes, &limits_tiny, &got));
    EXPECT_EQUAL(got.kind, REQUEST_CAS);
    EXPECT_EQUAL(got.session, 3);
    EXPECT_EQUAL(got.sequence, 4);
    EXPECT_EQUAL(got.version, 17);
    EXPECT_EQUAL(got.request_id, 0);
    EXPECT(slice_equal(got.key, sent.key) && slice_equal(got.value, sent.value));
    bytes.count--;
    EXPECT(!command_decode(bytes, &limits_tiny, &got));
}

TEST(every_status_has_a_text)
{
    for (int status = REPLY_OK; status <= REPLY_STATUS_LAST; status++) {
        const char *name = reply_status_text((enum reply_status)status);
        EXPECT(name != NULL && name[0] != '\0');
    }
}

TEST_MAIN()

/* The key-value store through the log of a lone voter, against a model too simple to be wrong: a list of keys with
 * their values and versions, and no limit but those of the table. */
#include "../core/page.h"
#include "../core/prng.h"
#include "node.h"
#include "test.h"

enum { KEYS = 6, MODEL_VALUE_BYTES = 400 };

struct model_key {
    uint8_t value[MODEL_VALUE_BYTES];
    uint32_t bytes;
    uint64_t version; /* 0: absent */
};

static struct model_key model[KEYS];
static const char key_names[] = "abcdef";

static struct slice key_of(uint32_t key)
{
    return (struct slice){ .bytes = (const uint8_t *)&key_names[key], .count = 1 };
}

/* A log and a WAL long enough for some thousand commands; the store has that many pages for keys and values. */
static struct node *lone_leader(uint32_t pages)
{
    struct limits limits = limits_tiny;
    struct replica_config config = node_config(1);
    limits.wal_body_blocks = 16384;
    limits.log_entries_max = 16384;
    limits.pages_max = page_fixed_count(&limits) + pages;
    limits.data_blocks = 4 * limits.pages_max;
    struct node *node = node_new(&limits, &config, node_voters(1));
    node_start(node);
    node_settle(node);
    node_tick(node, 1000 * 1000 * 1000);
    node_settle(node);
    EXPECT_EQUAL(node_view(node).role, RAFT_LEADER);
    node->sent_count = 0;
    memset(model, 0, sizeof model);
    return node;
}

/* Executes one request; the reply borrows until the next call. */
static struct reply ask(struct node *node, struct request request)
{
    static uint8_t bytes[NODE_FRAME_BYTES_MAX];
    static uint64_t session;
    static uint64_t sequence;
    struct reply reply = { .status = REPLY_UNKNOWN };
    if (request.kind == REQUEST_REGISTER)
        sequence = 0;
    else if (request.kind != REQUEST_GET) {
        request.session = session;
        request.sequence = ++sequence;
    }
    node_request(node, 1, &request);
    node_settle(node);
    EXPECT_EQUAL(node->sent_count, 1);
    memcpy(bytes, node->sent[0].bytes, node->sent[0].count);
    node->sent_count = 0;
    EXPECT_EQUAL(
        reply_decode((struct slice){ .bytes = bytes, .count = node->sent[0].count }, NODE_FRAME_BYTES_MAX, &reply),
        FRAME_OK);
    if (request.kind == REQUEST_REGISTER)
        session = reply.session;
    return reply;
}

static enum reply_status model_write(uint32_t key, bool append, struct slice value, uint64_t version)
{
    struct model_key *entry = &model[key];
    const uint32_t old = append && entry->version != 0 ? entry->bytes : 0;
    if (old + value.count > limits_tiny.value_bytes_max)
        return REPLY_TOO_LARGE;
    memcpy(entry->value + old, value.bytes, value.count);
    entry->bytes = old + value.count;
    entry->version = version;
    return REPLY_OK;
}

static void expect_same_contents(struct node *node)
{
    uint32_t keys = 0;
    for (uint32_t key = 0; key < KEYS; key++) {
        const struct reply reply = ask(node, (struct request){ .kind = REQUEST_GET, .key = key_of(key) });
        EXPECT_EQUAL(reply.status, model[key].version != 0 ? REPLY_OK : REPLY_NOT_FOUND);
        EXPECT_EQUAL(reply.version, model[key].version);
        if (model[key].version == 0)
            continue;
        keys++;
        EXPECT_EQUAL(reply.value.count, model[key].bytes);
        EXPECT(reply.value.count == 0 || memcmp(reply.value.bytes, model[key].value, reply.value.count) == 0);
    }
    EXPECT_EQUAL(node_view(node).keys, keys);
}

static void random_command(struct node *node, struct prng *prng)
{
    uint8_t bytes[160];
    const uint32_t key = (uint32_t)prng_below(prng, KEYS);
    struct model_key *entry = &model[key];
    struct request request = {
        .kind = (enum request_kind)(REQUEST_PUT + prng_below(prng, 4)),
        .key = key_of(key),
        .value = { .bytes = bytes, .count = (uint32_t)prng_below(prng, sizeof bytes + 1) },
    };
    memset(bytes, (int)prng_below(prng, 256), sizeof bytes);
    if (request.kind == REQUEST_DELETE)
        request.value.count = 0;
    if (request.kind == REQUEST_CAS)
        request.version = prng_chance(prng, 1, 2) ? entry->version : prng_below(prng, 20);
    const uint64_t before = entry->version;
    const struct reply reply = ask(node, request);

    enum reply_status expected = REPLY_OK;
    if (request.kind == REQUEST_DELETE) {
        expected = before != 0 ? REPLY_OK : REPLY_NOT_FOUND;
        entry->version = 0;
    } else if (request.kind == REQUEST_CAS && request.version != before) {
        expected = REPLY_CONDITION_FAILED;
        EXPECT_EQUAL(reply.version, before);
    } else {
        expected = model_write(key, request.kind == REQUEST_APPEND, request.value, reply.applied);
    }
    EXPECT_EQUAL(reply.status, expected);
    if (reply.status == REPLY_OK && request.kind != REQUEST_DELETE)
        EXPECT_EQUAL(reply.version, reply.applied);
}

TEST(it_agrees_with_the_model_over_random_commands)
{
    struct prng prng;
    struct node *node = lone_leader(40);
    ask(node, (struct request){ .kind = REQUEST_REGISTER });
    prng_seed(&prng, 11);
    for (int i = 0; i < 3000; i++) {
        random_command(node, &prng);
        if (i % 50 == 0)
            expect_same_contents(node);
    }
    expect_same_contents(node);
    node_free(node);
}

static struct request put_of(uint32_t key, uint32_t bytes)
{
    static const uint8_t value[160] = { 1 };
    return (struct request){ .kind = REQUEST_PUT, .key = key_of(key), .value = { .bytes = value, .count = bytes } };
}

TEST(a_full_store_refuses_and_changes_nothing)
{
    struct node *node = lone_leader(5);
    ask(node, (struct request){ .kind = REQUEST_REGISTER });
    EXPECT_EQUAL(ask(node, put_of(0, 160)).status, REPLY_OK); /* a page for the value, and the first of the tree */
    EXPECT_EQUAL(ask(node, put_of(1, 160)).status, REPLY_OK);
    const struct reply refused = ask(node, put_of(2, 160));
    EXPECT_EQUAL(refused.status, REPLY_NO_SPACE);
    EXPECT_EQUAL(node_view(node).keys, 2);
    EXPECT_EQUAL(ask(node, put_of(2, 10)).status, REPLY_OK); /* lies beside its key */
    EXPECT_EQUAL(ask(node, put_of(1, 10)).status, REPLY_OK); /* gives its page back */
    EXPECT_EQUAL(ask(node, put_of(3, 160)).status, REPLY_OK);
    node_free(node);
}

TEST(a_transaction_that_does_not_fit_writes_none_of_its_keys)
{
    struct node *node = lone_leader(14);
    uint8_t bytes[512];
    uint32_t used = 0;
    static const uint8_t value[150] = { 7 };
    for (uint32_t key = 0; key < 3; key++) {
        const struct txn_clause clause = { .kind = TXN_THEN_PUT,
                                           .key = key_of(key),
                                           .value = { .bytes = value, .count = 100 } };
        txn_clause_encode(&clause, bytes + used);
        used += txn_clause_bytes(&clause);
    }
    ask(node, (struct request){ .kind = REQUEST_REGISTER });
    EXPECT_EQUAL(ask(node, put_of(5, 160)).status, REPLY_OK);
    EXPECT_EQUAL(ask(node, put_of(4, 160)).status, REPLY_OK);
    const struct request txn = { .kind = REQUEST_TXN, .value = { .bytes = bytes, .count = used } };
    EXPECT_EQUAL(ask(node, txn).status,
                 REPLY_NO_SPACE); /* 11 pages left, 3 needed for values and up to 9 for the tree */
    EXPECT_EQUAL(node_view(node).keys, 2);
    EXPECT_EQUAL(ask(node, (struct request){ .kind = REQUEST_DELETE, .key = key_of(4) }).status, REPLY_OK);
    EXPECT_EQUAL(ask(node, txn).status, REPLY_OK);
    EXPECT_EQUAL(node_view(node).keys, 4);
    node_free(node);
}

TEST(the_same_log_gives_the_same_digest_on_every_node_and_after_a_restart)
{
    struct node *node = lone_leader(40);
    ask(node, (struct request){ .kind = REQUEST_REGISTER });
    const uint64_t empty = node_view(node).state_digest;
    ask(node, put_of(0, 100));
    ask(node, put_of(1, 100));
    const uint64_t written = node_view(node).state_digest;
    EXPECT(written != empty);
    node_crash(node);
    node_start(node);
    node_settle(node);
    node_tick(node, 1000 * 1000 * 1000);
    node_settle(node);
    EXPECT(node_view(node).state_digest == written);
    node_free(node);

    node = lone_leader(40);
    ask(node, (struct request){ .kind = REQUEST_REGISTER });
    ask(node, put_of(0, 100));
    ask(node, put_of(1, 100));
    EXPECT(node_view(node).state_digest == written);
    node_free(node);
}

TEST_MAIN()

/* Applying: what one step does is bounded. */
#include "node.h"
#include "test.h"

enum { LONG_NS = 1000 * 1000 * 1000 };

static void put_long(struct node *node, uint64_t session, uint64_t sequence, bool keep, bool more)
{
    static uint8_t value[128 * 1024], frame[sizeof value + 512];
    char key[16];
    snprintf(key, sizeof key, "%u", (unsigned)(sequence % 32));
    const struct request request = {
        .request_id = sequence,
        .kind = keep ? REQUEST_PUT : REQUEST_DELETE,
        .session = session,
        .sequence = sequence,
        .key = { .bytes = (const uint8_t *)key, .count = (uint32_t)strlen(key) },
        .value = { .bytes = value, .count = keep ? sizeof value : 0 },
    };
    ASSERT(request_bytes(&request) <= sizeof frame);
    request_encode(&request, node->config.cluster_id, frame);
    node_step(node, &(struct input){ .kind = INPUT_CLIENT_FRAME,
                                     .more = more,
                                     .now_ns = node->now_ns,
                                     .client = 1,
                                     .bytes = { .bytes = frame, .count = request_bytes(&request) } });
    node->sent_count = 0;
}

/* 32 values of 128 KiB, freed by one batch: 1024 pages, and no step may take as long as all of them. */
TEST(what_one_step_frees_is_bounded)
{
    struct limits limits = limits_production;
    limits.wal_body_blocks = 8192;
    limits.wal_reserve_blocks = 512;
    limits.wal_retain_blocks = 256;
    limits.checkpoint_wal_blocks = 4096;
    limits.log_entries_max = 8192;
    limits.checkpoint_entries = 2048;
    limits.pages_max = 8192;
    limits.data_blocks = 20000;
    limits.shadow_pages_max = 4096;
    EXPECT(limits_problem(&limits) == NULL);
    struct replica_config config = node_config(1);
    struct node *node = node_new(&limits, &config, node_voters(1));
    node_start(node);
    node_settle(node);
    node_tick(node, LONG_NS);
    node_settle(node);
    node_request(node, 1, &(struct request){ .kind = REQUEST_REGISTER });
    node_settle(node);
    const uint64_t session = node_view(node).applied;
    for (uint64_t sequence = 1; sequence <= 32; sequence++) {
        put_long(node, session, sequence, true, false);
        node_settle(node);
    }
    EXPECT_EQUAL(node_view(node).keys, 32);
    for (uint64_t sequence = 33; sequence <= 64; sequence++)
        put_long(node, session, sequence, false, sequence < 64);
    uint64_t most = 0;
    while (node_view(node).keys > 0) {
        const uint64_t before = node_view(node).keys;
        EXPECT(node->op_count > 0 || node->deadline_ns <= node->now_ns);
        if (node->op_count > 0)
            node_complete(node, 0, DISK_OK);
        else
            node_tick(node, 0);
        node->sent_count = 0;
        most = u64_max(most, before - node_view(node).keys);
    }
    EXPECT(most > 1 && most <= 9); /* a MiB of values, and the one that goes beyond it */
    node_free(node);
}

TEST_MAIN()

/* The simulator's checkers against real replicas that are made to lie.
 *
 * A cluster of three replicas runs on memory disks under all hooks. Undisturbed, no checker complains and each has
 * something to compare. Then each kind of check is shown one lie: a field of a replica's state, a frame, a block or a
 * reply that is not what it should be; the test demands that this very kind of check notices it. */
#include "test.h"

#include "../core/page.h"
#include "../core/tree.h"
#include "../sim/check.h"
#include "check_cluster.h"

TEST(an_honest_cluster_passes_and_every_check_compares)
{
    struct cluster *c = cluster_new();
    get(c, 0);
    EXPECT_EQUAL(c->reply.status, REPLY_OK);
    call(c, 0, (struct request){ .kind = REQUEST_GET_STALE, .key = text("key") });
    call(c, 1, (struct request){ .kind = REQUEST_GET, .flags = REQUEST_FLAG_LOCAL, .key = text("key") });
    EXPECT_EQUAL(c->reply.flags, 0);
    call(c, 1,
         (struct request){
             .kind = REQUEST_GET, .flags = REQUEST_FLAG_LOCAL, .version = 1000 * 1000, .key = text("key") });
    EXPECT_EQUAL(c->reply.flags, REPLY_FLAG_BOUNDED);
    call(c, 0, (struct request){ .kind = REQUEST_TRANSFER, .version = 2 });
    EXPECT_EQUAL(c->reply.status, REPLY_OK);
    for (uint32_t n = 0; n < NODES; n++) {
        restart(c, n);
        settle(c);
    }
    elect(c, 2);
    while (node_view(c->nodes[2]).applied < 2 * limits_tiny.checkpoint_entries)
        call(c, 2, put(c, "two"));
    call(c, 2,
         (struct request){
             .kind = REQUEST_DELETE, .session = c->session, .sequence = ++c->sequence, .key = text("key") });
    get(c, 2);
    EXPECT_EQUAL(c->reply.status, REPLY_NOT_FOUND);
    check_finish(c->check, true);
    EXPECT_TEXT(check_result(c->check)->text, "");
    EXPECT(check_committed(c->check) >= 5);
    for (int kind = 0; kind < CHECK_KINDS; kind++) {
        if (kind == CHECK_PINNED || kind == CHECK_LIVENESS || kind == CHECK_STOP || kind == CHECK_FRAME
            || kind == CHECK_SCRUB || kind == CHECK_LEASE || kind == CHECK_PROMISE_LEASE || kind == CHECK_DEADLINE)
            continue; /* the world's */
        if (kind == CHECK_LEDGER_LEASE || kind == CHECK_TIMER || kind == CHECK_REFUSAL || kind == CHECK_STATUS)
            continue; /* below, and in check_change_test */
        if (check_counts(c->check)[kind] == 0)
            printf("never compared: %s\n", check_kind_text((enum check_kind)kind));
        EXPECT(check_counts(c->check)[kind] > 0);
    }
    cluster_free(c);
}

TEST(a_checker_starts_anew_after_a_reset)
{
    struct cluster *c = cluster_new();
    check_fail(c->check, CHECK_STOP, 1, "stopped at %d", 7);
    check_fail(c->check, CHECK_LIVENESS, 2, "the first failure stays");
    EXPECT_EQUAL(check_result(c->check)->kind, CHECK_STOP);
    EXPECT_EQUAL(check_result(c->check)->node, 1);
    EXPECT_TEXT(check_result(c->check)->text, "stopped at 7");
    struct cluster *fresh = cluster_new();
    check_free(fresh->check);
    fresh->check = c->check;
    check_reset(c->check, &(struct check_setup){ .limits = &limits_tiny,
                                                 .node_count = NODES,
                                                 .configs = c->configs,
                                                 .configuration = &c->configuration });
    EXPECT(!check_result(c->check)->failed);
    EXPECT_EQUAL(check_committed(c->check), 0);
    EXPECT_EQUAL(check_counts(c->check)[CHECK_MONOTONE], 0);
    c->check = check_new();
    cluster_free(fresh);
    cluster_free(c);
}

TEST(two_leaders_in_a_term_are_caught)
{
    struct cluster *c = cluster_new();
    struct replica *replica = c->nodes[1]->replica;
    replica->role = RAFT_LEADER;
    replica->leader = 2;
    for (uint32_t slot = 0; slot < NODES; slot++)
        replica->peers[slot] = (struct peer){ .next = 1 };
    look(c, 1);
    EXPECT_CAUGHT(c, CHECK_ELECTION_SAFETY);
}

TEST(a_leader_that_drops_an_entry_is_caught)
{
    struct cluster *c = cluster_new();
    c->cut[0] = c->disk_stuck[0] = true;
    struct request request = put(c, "two");
    propose(c, 0, &request);
    struct replica *replica = c->nodes[0]->replica;
    log_truncate(replica, replica->log.last.index - 1);
    for (uint32_t slot = 0; slot < NODES; slot++)
        replica->peers[slot].next = replica->log.last.index + 1;
    look(c, 0);
    EXPECT_CAUGHT(c, CHECK_LEADER_APPEND_ONLY);
}

TEST(an_entry_that_changes_in_place_is_caught)
{
    struct cluster *c = cluster_new();
    const struct slice entry = log_entry_bytes(c->nodes[1]->replica, 3);
    struct replica *replica = c->nodes[1]->replica;
    uint8_t *mirror = region_at(replica, replica->areas.wal_body);
    mirror[(size_t)(entry.bytes - mirror) + entry.count - 8] ^= 1;
    for (int i = 0; i < 4; i++)
        look(c, 1);
    EXPECT_CAUGHT(c, CHECK_LOG_MATCHING);
}

/* Node 1 is told that node 2's log is long, and votes for it. */
TEST(a_leader_without_a_committed_entry_is_caught)
{
    struct cluster *c = cluster_new();
    c->cut[2] = true;
    call(c, 0, put(c, "two"));
    c->cut[2] = false;
    c->cut[0] = true;
    c->nodes[2]->config.pre_vote = c->nodes[2]->replica->config.pre_vote = false;
    tick(c, 2, 500 * 1000 * 1000);
    while (c->nodes[2]->op_count > 0)
        complete(c, 2);
    c->nodes[2]->sent_count = 0;
    const struct message lie = {
        .type = FRAME_VOTE_REQUEST,
        .from = 3,
        .to = 2,
        .instance = 1003,
        .term = node_view(c->nodes[2]).term,
        .vote_request = { .last = { .term = 9, .index = 9 }, .term = node_view(c->nodes[2]).term },
    };
    node_message(c->nodes[1], &lie);
    observe(c, 1, 0);
    settle(c);
    EXPECT_CAUGHT(c, CHECK_LEADER_COMPLETENESS);
}

TEST(a_follower_that_commits_on_its_own_is_caught)
{
    struct cluster *c = cluster_new();
    struct request request = put(c, "two");
    c->disk_stuck[0] = c->disk_stuck[1] = c->disk_stuck[2] = true;
    propose(c, 0, &request);
    settle(c);
    c->nodes[1]->replica->commit++;
    look(c, 1);
    EXPECT_CAUGHT(c, CHECK_STATE_MACHINE);
}

TEST(a_key_with_the_wrong_version_is_caught)
{
    struct cluster *c = cluster_new();
    struct replica *replica = c->nodes[2]->replica;
    EXPECT_EQUAL(node_view(c->nodes[2]).applied, 3);
    const struct slice found = tree_find(replica, text("key"));
    struct kv_record record;
    uint8_t bytes[64];
    EXPECT(found.count <= sizeof bytes);
    memcpy(bytes, found.bytes, found.count);
    memcpy(&record, bytes, sizeof record);
    record.version++;
    memcpy(bytes, &record, sizeof record);
    tree_put(replica, text("key"), (struct slice){ bytes, found.count });
    call(c, 0,
         (struct request){ .kind = REQUEST_CAS,
                           .session = c->session,
                           .sequence = ++c->sequence,
                           .key = text("key"),
                           .version = c->reply.version,
                           .value = text("two") });
    tick(c, 0, 25 * 1000 * 1000);
    settle(c);
    EXPECT_CAUGHT(c, CHECK_STATE_MACHINE);
}

TEST(a_commit_that_is_not_durable_is_caught)
{
    struct cluster *c = cluster_new();
    struct request request = put(c, "two");
    c->disk_stuck[0] = c->disk_stuck[1] = c->disk_stuck[2] = true;
    propose(c, 0, &request);
    c->nodes[0]->replica->commit++;
    look(c, 0);
    EXPECT_CAUGHT(c, CHECK_DURABLE_QUORUM);
}

TEST(a_term_that_falls_is_caught)
{
    struct cluster *c = cluster_new();
    c->nodes[1]->replica->stored.hard.term--;
    c->nodes[1]->replica->superblock.durable.hard.term--;
    look(c, 1);
    EXPECT_TEXT(verdict(c), check_kind_text(CHECK_MONOTONE));
    cluster_free(c);
    c = cluster_new();
    c->nodes[1]->replica->stored.hard.vote = 3;
    look(c, 1);
    EXPECT_CAUGHT(c, CHECK_MONOTONE);
}

TEST(a_vote_that_changes_on_disk_is_caught)
{
    struct cluster *c = cluster_new();
    struct node *node = c->nodes[1];
    struct superblock_writer writer = node->replica->superblock;
    writer.sequence++;
    writer.writing.hard.vote = 3;
    for (uint32_t copy = 0; copy < 2; copy++) {
        const uint64_t at = superblock_offset(&limits_tiny, copy);
        superblock_fill(&limits_tiny, &node->config, &writer, node->image + at);
        landed(c, 1, DEVICE_WAL, at, (uint32_t)limits_superblock_bytes(&limits_tiny), false);
    }
    EXPECT_CAUGHT(c, CHECK_MONOTONE);
}

TEST(a_repetition_that_is_executed_again_is_caught)
{
    struct cluster *c = cluster_new();
    for (uint32_t n = 0; n < NODES; n++) {
        struct replica *replica = c->nodes[n]->replica;
        struct session *sessions = (struct session *)(void *)page_write(replica, page_sessions(replica));
        sessions[0].sequence = 0;
    }
    c->sequence--;
    struct request again = put(c, "one");
    propose(c, 0, &again);
    settle(c);
    EXPECT_CAUGHT(c, CHECK_EXACTLY_ONCE);
}

TEST(a_write_that_is_executed_after_a_refusal_is_caught)
{
    for (int before = 0; before < 2; before++) {
        struct cluster *c = cluster_new();
        struct request request = put(c, "two");
        const struct reply refusal = { .request_id = 1, .status = REPLY_NOT_LEADER };
        const uint32_t number = invoke(c, &request);
        if (before == 0)
            check_returned(c->check, number, &refusal, ++c->now);
        propose(c, 0, &request);
        settle(c);
        if (before == 1)
            check_returned(c->check, number, &refusal, ++c->now);
        EXPECT_CAUGHT(c, CHECK_EXACTLY_ONCE);
    }
}

TEST(a_leader_that_sends_other_entries_than_its_own_is_caught)
{
    struct cluster *c = cluster_new();
    const struct replica_view view = node_view(c->nodes[0]);
    uint8_t bytes[64];
    const struct entry entry = { .id = { .term = view.term, .index = view.last.index + 1 }, .kind = ENTRY_NOOP };
    entry_encode(&entry, bytes);
    send_lie(c, 0,
             (struct message){ .type = FRAME_APPEND_REQUEST,
                               .to = 2,
                               .term = view.term,
                               .append_request = { .prev = view.last,
                                                   .entry_count = 1,
                                                   .entries = { .bytes = bytes, .count = entry_bytes(0) } } });
    EXPECT_CAUGHT(c, CHECK_LOG_MATCHING);
}

TEST(a_reply_with_the_wrong_value_index_or_version_is_caught)
{
    for (int lie = 0; lie < 4; lie++) {
        struct cluster *c = cluster_new();
        call(c, 0, put(c, "two"));
        struct request request =
            lie < 3 ? (struct request){ .kind = REQUEST_GET, .key = text("key") } : put(c, "three");
        const uint32_t number = invoke(c, &request);
        propose(c, 0, &request);
        settle(c);
        EXPECT_EQUAL(c->reply.status, REPLY_OK);
        if (lie == 0)
            c->reply.value = text("tow");
        if (lie == 1)
            c->reply.applied--;
        if (lie == 2)
            c->reply.flags |= REPLY_FLAG_STALE;
        if (lie == 3)
            c->reply.version++;
        check_returned(c->check, number, &c->reply, ++c->now);
        EXPECT_CAUGHT(c, lie < 3 ? CHECK_READ : CHECK_WRITE);
    }
}

TEST(a_read_that_misses_a_committed_write_is_caught)
{
    struct cluster *c = cluster_new();
    struct request request = { .kind = REQUEST_GET, .key = text("key") };
    propose(c, 0, &(struct request){ .kind = REQUEST_GET, .key = text("key"), .request_id = 77 });
    settle(c);
    struct reply old = c->reply;
    old.value = text("one");
    call(c, 0, put(c, "two"));
    const uint32_t number = invoke(c, &request);
    check_returned(c->check, number, &old, ++c->now);
    EXPECT_CAUGHT(c, CHECK_READ);
}

TEST(a_read_that_begins_or_ends_too_early_is_caught)
{
    struct event events[] = { { .kind = EVENT_READ_ROUND, .a = 1, .b = 0 },
                              { .kind = EVENT_READ_SERVED, .a = 3, .b = 2 },
                              { .kind = EVENT_FOLLOWER_READ, .a = 3, .b = 2 } };
    for (uint32_t i = 0; i < ARRAY_COUNT(events); i++) {
        struct cluster *c = cluster_new();
        const struct output lie = { .event_count = 1, .event_max = 1, .events = &events[i] };
        check_step(c->check, 0, c->nodes[0]->replica, &lie);
        EXPECT_CAUGHT(c, CHECK_READ);
    }
}

TEST(a_read_index_that_is_too_low_is_caught)
{
    struct cluster *c = cluster_new();
    const struct replica_view view = node_view(c->nodes[0]);
    struct message question = { .type = FRAME_READ_INDEX_REQUEST, .to = 1, .term = view.term };
    struct message answer = { .type = FRAME_READ_INDEX_RESPONSE, .to = 2, .term = view.term };
    question.read_index_request.number = 9;
    answer.read_index_response = (struct read_index_response){ .number = 9, .index = view.commit };
    send_lie(c, 1, question);
    send_lie(c, 0, answer);
    EXPECT_TEXT(verdict(c), "none");
    answer.read_index_response.index--;
    send_lie(c, 0, answer);
    EXPECT_CAUGHT(c, CHECK_READ_INDEX);
}

TEST(who_believes_that_it_is_up_to_date_and_is_not_is_caught)
{
    struct cluster *c = cluster_new();
    struct replica *replica = c->nodes[1]->replica;
    tick(c, 1, 1000 * 1000);
    replica->fresh = (struct read_fresh){ .asked_ns = replica->now_ns, .index = replica->commit };
    look(c, 1);
    EXPECT_TEXT(verdict(c), "none");
    replica->fresh.index--;
    look(c, 1);
    EXPECT_CAUGHT(c, CHECK_READ_INDEX);
}

/* Of a call that allows 5 ms: from what was known 5 ms before; 1 ns later; and an index that was old already then. */
TEST(an_answer_that_is_older_than_allowed_is_caught)
{
    for (int lie = 0; lie < 3; lie++) {
        struct cluster *c = cluster_new();
        struct node *node = c->nodes[1];
        struct request bounded = {
            .kind = REQUEST_GET, .flags = REQUEST_FLAG_LOCAL, .version = 5 * 1000 * 1000, .key = text("key")
        };
        tick(c, 1, 1000 * 1000);
        call(c, 1, bounded);
        EXPECT_EQUAL(c->reply.flags, 0);
        const uint64_t asked_ns = node_view(node).fresh_ns;
        invoke(c, &bounded);
        const struct reply reply = {
            .request_id = bounded.request_id,
            .flags = REPLY_FLAG_BOUNDED,
            .applied = check_committed(c->check) - (lie == 2),
        };
        uint8_t bytes[NODE_FRAME_BYTES_MAX];
        reply_encode(&reply, 7, bytes);
        check_read_age(c->check, 1, (struct slice){ .bytes = bytes, .count = reply_bytes(&reply) },
                       asked_ns + 5 * 1000 * 1000 + (lie == 1));
        if (lie > 0) {
            EXPECT_CAUGHT(c, CHECK_READ_AGE);
            continue;
        }
        EXPECT_TEXT(verdict(c), "none");
        cluster_free(c);
    }
}

TEST(stale_reads_of_a_node_that_go_back_are_caught)
{
    for (int lie = 0; lie < 2; lie++) {
        struct cluster *c = cluster_new();
        call(c, 1, (struct request){ .kind = REQUEST_GET_STALE, .key = text("key") });
        EXPECT_EQUAL(c->reply.flags, REPLY_FLAG_STALE);
        const struct reply reply = {
            .request_id = 1,
            .flags = REPLY_FLAG_STALE,
            .applied = lie == 0 ? c->reply.applied - 1 : node_view(c->nodes[1]).applied + 1,
        };
        uint8_t bytes[NODE_FRAME_BYTES_MAX];
        reply_encode(&reply, 7, bytes);
        check_read_age(c->check, 1, (struct slice){ .bytes = bytes, .count = reply_bytes(&reply) }, 0);
        EXPECT_CAUGHT(c, CHECK_READ_AGE);
    }
}

TEST(a_broken_invariant_is_caught)
{
    struct cluster *c = cluster_new();
    c->nodes[1]->replica->applied = c->nodes[1]->replica->commit + 1;
    look(c, 1);
    EXPECT_CAUGHT(c, CHECK_LIMITS);
}

TEST(a_session_behind_the_last_one_is_caught)
{
    struct cluster *c = cluster_new();
    struct replica *replica = c->nodes[1]->replica;
    struct session *table = (struct session *)(void *)page_raw(replica, page_sessions(replica));
    table[page_root_const(replica)->session_count].id = UINT64_MAX;
    look(c, 1);
    EXPECT_CAUGHT(c, CHECK_LIMITS);
}

TEST(an_operation_that_is_longer_than_any_may_be_is_caught)
{
    for (uint32_t device = 0; device < 2; device++) {
        struct cluster *c = cluster_new();
        struct output *output = &c->nodes[1]->output;
        const uint32_t wal_most = u32_max(limits_tiny.wal_batch_bytes_max, limits_superblock_bytes(&limits_tiny));
        const uint32_t most = device == DEVICE_DATA ? limits_tiny.data_run_bytes_max : wal_most;
        output->effect_count = 1;
        output->effects[0] = (struct effect){ .kind = EFFECT_READ, .device = device, .bytes = { .count = most } };
        look(c, 1);
        EXPECT_TEXT(verdict(c), "none");
        output->effects[0].bytes.count = most + 1;
        look(c, 1);
        EXPECT_CAUGHT(c, CHECK_LIMITS);
    }
}

TEST(a_vote_that_is_not_on_disk_is_caught)
{
    struct cluster *c = cluster_new();
    const uint64_t term = node_view(c->nodes[1]).term;
    send_lie(
        c, 1,
        (struct message){
            .type = FRAME_VOTE_RESPONSE, .to = 3, .term = term, .vote_response = { .term = term, .granted = true } });
    EXPECT_CAUGHT(c, CHECK_PROMISE_VOTE);
}

TEST(a_campaign_without_an_own_vote_on_disk_is_caught)
{
    struct cluster *c = cluster_new();
    const uint64_t term = node_view(c->nodes[1]).term;
    send_lie(c, 1,
             (struct message){ .type = FRAME_VOTE_REQUEST, .to = 3, .term = term, .vote_request = { .term = term } });
    EXPECT_CAUGHT(c, CHECK_PROMISE_VOTE);
}

TEST(a_term_that_is_not_on_disk_is_caught)
{
    struct cluster *c = cluster_new();
    send_lie(c, 1, (struct message){ .type = FRAME_APPEND_RESPONSE, .to = 3, .term = node_view(c->nodes[1]).term + 1 });
    EXPECT_CAUGHT(c, CHECK_PROMISE_TERM);
}

TEST(a_match_that_is_not_on_disk_is_caught)
{
    struct cluster *c = cluster_new();
    const struct replica_view view = node_view(c->nodes[1]);
    send_lie(c, 1,
             (struct message){ .type = FRAME_APPEND_RESPONSE,
                               .to = 1,
                               .term = view.term,
                               .append_response = { .match = view.last.index + 1 } });
    EXPECT_CAUGHT(c, CHECK_PROMISE_APPEND);
}

TEST(an_answer_from_an_uncommitted_entry_is_caught)
{
    struct cluster *c = cluster_new();
    const struct reply lie = { .request_id = 1, .applied = check_committed(c->check) + 1 };
    uint8_t bytes[NODE_FRAME_BYTES_MAX];
    reply_encode(&lie, 7, bytes);
    check_reply(c->check, 0, (struct slice){ .bytes = bytes, .count = reply_bytes(&lie) });
    EXPECT_CAUGHT(c, CHECK_PROMISE_REPLY);
}

TEST(a_vote_that_nobody_gave_is_caught)
{
    struct cluster *c = cluster_new();
    struct replica *replica = c->nodes[2]->replica;
    replica->config.pre_vote = false;
    tick(c, 2, 500 * 1000 * 1000);
    EXPECT_EQUAL(node_view(c->nodes[2]).role, RAFT_CANDIDATE);
    replica->votes |= 1U << 1;
    look(c, 2);
    EXPECT_CAUGHT(c, CHECK_LEDGER_VOTE);
}

TEST(a_match_that_nobody_reported_is_caught)
{
    struct cluster *c = cluster_new();
    struct request request = put(c, "two");
    c->disk_stuck[0] = c->disk_stuck[1] = c->disk_stuck[2] = true;
    propose(c, 0, &request);
    settle(c);
    struct replica *replica = c->nodes[0]->replica;
    replica->peers[1].match = replica->log.last.index;
    replica->peers[1].next = replica->log.last.index + 1;
    look(c, 0);
    EXPECT_CAUGHT(c, CHECK_LEDGER_MATCH);
}

TEST(a_leader_that_counts_its_entry_before_it_is_durable_is_caught)
{
    struct cluster *c = cluster_new();
    struct request request = put(c, "two");
    c->disk_stuck[0] = true;
    propose(c, 0, &request);
    c->nodes[0]->replica->peers[0].match = c->nodes[0]->replica->log.last.index;
    look(c, 0);
    EXPECT_CAUGHT(c, CHECK_LEDGER_MATCH);
}

TEST(a_round_that_nobody_answered_is_caught)
{
    struct cluster *c = cluster_new();
    struct replica *replica = c->nodes[0]->replica;
    c->cut[0] = true;
    propose(c, 0, &(struct request){ .kind = REQUEST_GET, .key = text("key"), .request_id = 77 });
    settle(c);
    EXPECT_EQUAL(replica->round, 1);
    replica->peers[2].round_acked = 1;
    look(c, 0);
    EXPECT_CAUGHT(c, CHECK_LEDGER_ROUND);
}

TEST(a_node_that_comes_back_without_what_it_promised_is_caught)
{
    struct cluster *c = cluster_new();
    call(c, 0, put(c, "two"));
    struct node *node = c->nodes[1];
    const uint64_t body = wal_body_offset(&limits_tiny), used = wal_used_bytes(node->replica);
    node_crash(node);
    check_node_crashed(c->check, 1);
    /* Behind the checker's back, as a disk does that lied about a write: the last batch and all names are gone. */
    memset(node->image + body + used - limits_tiny.block_bytes, 0, limits_tiny.block_bytes);
    memset(node->image + wal_header_offset(&limits_tiny), 0, body - wal_header_offset(&limits_tiny));
    start(c, 1);
    while (node->op_count > 0)
        complete(c, 1);
    EXPECT_CAUGHT(c, CHECK_RECOVERY);
}

/* A batch may be whole before all its sectors have landed, when the others are padding. Together with damage elsewhere
 * this once made the checker forget what the disk held. */
TEST(padding_that_lands_late_changes_nothing)
{
    enum { SECTOR_BYTES = 128 };
    struct cluster *c = cluster_new();
    struct node *node = c->nodes[1];
    const uint64_t body = wal_body_offset(&limits_tiny);
    c->disk_stuck[1] = true;
    struct request request = put(c, "x");
    propose(c, 0, &request);
    settle(c);
    EXPECT(node->op_count > 0 && node->ops[0].write && node->ops[0].offset >= body);
    node->image[body] ^= 1;
    check_landed(c->check, 1, body, node->image, node->image_bytes, limits_tiny.block_bytes, true);
    for (uint32_t at = 0; at < node->ops[0].bytes; at += SECTOR_BYTES) {
        memcpy(node->image + node->ops[0].offset + at, node->ops[0].source + at, SECTOR_BYTES);
        check_landed(c->check, 1, node->ops[0].offset + at, node->image, node->image_bytes, SECTOR_BYTES, false);
    }
    c->disk_stuck[1] = false;
    settle(c);
    EXPECT_EQUAL(node_view(c->nodes[0]).match[1], node_view(c->nodes[0]).last.index);
    EXPECT_TEXT(verdict(c), "none");
    cluster_free(c);
}

TEST(a_transfer_to_a_node_that_was_never_elected_is_caught)
{
    struct cluster *c = cluster_new();
    const struct request request = { .kind = REQUEST_TRANSFER, .version = 2 };
    struct request sent = request;
    const uint32_t number = invoke(c, &sent);
    const struct reply reply = { .request_id = sent.request_id, .status = REPLY_OK, .leader = 2 };
    check_returned(c->check, number, &reply, ++c->now);
    EXPECT_CAUGHT(c, CHECK_TRANSFER);
}

/* The hooks are called in an order that the times contradict: only the search looks at the times. */
TEST(a_history_out_of_order_is_caught)
{
    struct cluster *c = cluster_new();
    c->now = 1000;
    call(c, 0, put(c, "two"));
    c->now = 500;
    get(c, 0);
    EXPECT(!check_result(c->check)->failed);
    check_finish(c->check, true);
    EXPECT_CAUGHT(c, CHECK_LINEAR);
}

static bool status_passes(struct node_status status, uint32_t bytes)
{
    struct cluster *c = cluster_new();
    const struct reply reply = {
        .status = REPLY_OK,
        .value = { .bytes = (const uint8_t *)&status, .count = bytes },
    };
    check_status(c->check, &reply);
    EXPECT(check_counts(c->check)[CHECK_STATUS] > 0);
    const bool passes = !check_result(c->check)->failed;
    cluster_free(c);
    return passes;
}

TEST(a_status_that_says_more_than_can_be_fails)
{
    const uint32_t bytes = sizeof(struct node_status);
    const struct node_status honest = { .node_id = 1, .wal_bytes_max = 10, .store_bytes_max = 10 };
    struct node_status status = honest;
    EXPECT(status_passes(status, bytes));
    EXPECT(!status_passes(status, bytes - 1));
    status.members = 1;
    EXPECT(!status_passes(status, bytes));
    status = honest;
    status.commit_index = 1000;
    EXPECT(!status_passes(status, bytes));
    status = honest;
    status.applied_index = 1000;
    EXPECT(!status_passes(status, bytes));
    status = honest;
    status.wal_bytes_used = 11;
    EXPECT(!status_passes(status, bytes));
    status = honest;
    status.store_bytes_used = 11;
    EXPECT(!status_passes(status, bytes));
}

TEST_MAIN()

/* Getting a checkpoint from peers: by page difference, resumed, retargeted, and from peers that lost or distort it. */
#include "install_rig.h"

TEST(one_damaged_page_is_got_from_a_peer_and_nothing_else)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_checkpoint(&slot);
    rot_pages(cluster, slot, 7, 1);
    node_crash(cluster->nodes[slot]);
    cluster->pages_to[slot] = 0;
    start(cluster, slot);
    expect_equal_states(cluster, slot);
    EXPECT_EQUAL(cluster->events[slot][EVENT_PAGE_DAMAGED], 1);
    EXPECT_EQUAL(cluster->pages_to[slot], 1);
    expect_durable(cluster, slot);
    cluster_free(cluster);
}

TEST(a_lost_map_block_is_got_by_its_hashes_and_what_is_below_it_too)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_checkpoint(&slot);
    rot(cluster, slot, map_entry_const(replica_at(cluster, slot), 1, 1)->block);
    node_crash(cluster->nodes[slot]);
    cluster->pages_to[slot] = 0;
    cluster->hashes_to[slot] = 0;
    start(cluster, slot);
    expect_equal_states(cluster, slot);
    EXPECT_EQUAL(cluster->hashes_to[slot], 1);
    EXPECT_EQUAL(cluster->pages_to[slot], map_fanout(&cluster->limits));
    expect_durable(cluster, slot);
    cluster_free(cluster);
}

TEST(nothing_is_written_while_a_map_block_is_unknown)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_checkpoint(&slot);
    struct node *node = cluster->nodes[slot];
    uint8_t *before = malloc(node->data_bytes);
    EXPECT(before != NULL);
    rot(cluster, slot, map_entry_const(replica_at(cluster, slot), 1, 1)->block);
    node_crash(node);
    memcpy(before, node->data, node->data_bytes);
    cluster->cut[slot] = true;
    start(cluster, slot);
    write_until_checkpoint(cluster, KEYS);
    cluster_run(cluster, 2000 * MS);
    const struct install *install = &replica_at(cluster, slot)->install;
    EXPECT_EQUAL(memcmp(before, node->data, node->data_bytes), 0);
    cluster->cut[slot] = false;
    for (uint64_t steps = 0; steps < 100000 && install->wanted_blocks > 0; steps++) {
        EXPECT_EQUAL(memcmp(before, node->data, node->data_bytes), 0);
        cluster_one_step(cluster, steps);
    }
    EXPECT(install->wanted_blocks == 0 && install->wanted_pages > 0);
    expect_equal_states(cluster, slot);
    EXPECT(memcmp(before, node->data, node->data_bytes) != 0);
    expect_durable(cluster, slot);
    free(before);
    cluster_free(cluster);
}

TEST(a_lost_root_of_the_map_costs_all_of_it)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_checkpoint(&slot);
    rot(cluster, slot, map_entry_const(replica_at(cluster, slot), map_root(&cluster->limits), 0)->block);
    node_crash(cluster->nodes[slot]);
    start(cluster, slot);
    expect_equal_states(cluster, slot);
    expect_durable(cluster, slot);
    cluster_free(cluster);
}

TEST(an_empty_follower_gets_everything)
{
    const struct limits limits = test_limits();
    struct cluster *cluster = cluster_new(&limits, 3);
    write_until_checkpoint(cluster, KEYS);
    write_until_checkpoint(cluster, KEYS);
    EXPECT(replica_at(cluster, elected(cluster))->log.base.index > 0);
    start(cluster, 2);
    expect_equal_states(cluster, 2);
    EXPECT(cluster->events[2][EVENT_INSTALL_DONE] > 0);
    EXPECT(checkpoint_index(cluster, 2) > 0);
    expect_durable(cluster, 2);
    write_until_checkpoint(cluster, KEYS);
    expect_equal_states(cluster, 2);
    cluster_free(cluster);
}

/* The follower was away while the others went on until their logs forgot what it lacks. */
static struct cluster *cluster_with_straggler(uint32_t *straggler, uint32_t keys)
{
    struct cluster *cluster = cluster_with_checkpoint(straggler);
    cluster->cut[*straggler] = true;
    const uint64_t last = node_view(cluster->nodes[*straggler]).last.index;
    for (uint32_t i = 0; i < 4 && replica_at(cluster, elected(cluster))->log.base.index <= last; i++)
        write_until_checkpoint(cluster, keys);
    EXPECT(replica_at(cluster, elected(cluster))->log.base.index > last);
    cluster->pages_to[*straggler] = 0;
    return cluster;
}

TEST(a_straggler_gets_only_the_pages_that_differ)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_straggler(&slot, 2);
    cluster->cut[slot] = false;
    expect_equal_states(cluster, slot);
    EXPECT(cluster->pages_to[slot] > 0);
    EXPECT(cluster->pages_to[slot] < checkpoint_pages(cluster, slot) / 2);
    expect_durable(cluster, slot);
    cluster_free(cluster);
}

/* Values of equal size change where they lie, so most of a page is what it was. */
TEST(of_a_page_that_differs_only_the_pieces_that_differ_travel)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_straggler(&slot, 2);
    cluster->piece_bytes_to[slot] = 0;
    cluster->cut[slot] = false;
    expect_equal_states(cluster, slot);
    EXPECT(cluster->events[slot][EVENT_INSTALL_PATCHED] > 0);
    EXPECT_EQUAL(cluster->events[slot][EVENT_INSTALL_UNFIT], 0);
    EXPECT(cluster->piece_bytes_to[slot] < cluster->pages_to[slot] * cluster->limits.page_bytes * 3 / 4);
    EXPECT(replica_at(cluster, slot)->install.bytes_pulled > cluster->piece_bytes_to[slot]);
    cluster_free(cluster);
}

/* Steps until the puller has got so many pages, and no further. */
static void run_until_pulled(struct cluster *cluster, uint32_t slot, uint64_t pages)
{
    for (uint64_t steps = 0; steps < 100000 && cluster->pages_to[slot] < pages; steps++)
        cluster_one_step(cluster, steps);
    EXPECT(cluster->pages_to[slot] >= pages);
    EXPECT_EQUAL(replica_at(cluster, slot)->install.phase, INSTALL_PULL);
}

TEST(nothing_is_applied_or_served_while_pages_are_missing)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_straggler(&slot, KEYS);
    const uint64_t applied = node_view(cluster->nodes[slot]).applied;
    cluster->cut[slot] = false;
    run_until_pulled(cluster, slot, 5);
    EXPECT(!store_is_ready(replica_at(cluster, slot)));
    EXPECT_EQUAL(node_view(cluster->nodes[slot]).applied, applied);
    const struct request get = { .request_id = 9,
                                 .kind = REQUEST_GET_STALE,
                                 .key = { .bytes = (const uint8_t *)"k001", .count = 4 } };
    struct reply reply = { .status = REPLY_OK };
    node_request(cluster->nodes[slot], 5, &get);
    for (uint32_t i = 0; i < cluster->nodes[slot]->sent_count; i++) {
        const struct node_frame *frame = &cluster->nodes[slot]->sent[i];
        if (frame->reply)
            EXPECT_EQUAL(reply_decode((struct slice){ .bytes = frame->bytes, .count = frame->count }, 1536, &reply),
                         FRAME_OK);
    }
    EXPECT(reply.status != REPLY_OK && reply.status != REPLY_NOT_FOUND);
    expect_equal_states(cluster, slot);
    cluster_free(cluster);
}

TEST(another_leader_in_the_middle_changes_nothing)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_straggler(&slot, KEYS);
    const uint32_t leader = elected(cluster);
    cluster->cut[slot] = false;
    run_until_pulled(cluster, slot, 5);
    cluster->cut[leader] = true;
    cluster_run(cluster, 400 * MS);
    EXPECT(elected(cluster) != leader);
    cluster->cut[leader] = false;
    expect_equal_states(cluster, slot);
    EXPECT(cluster->pages_to[slot] <= checkpoint_pages(cluster, slot) + 10);
    expect_durable(cluster, slot);
    cluster_free(cluster);
}

TEST(a_disconnect_in_the_middle_costs_only_what_was_under_way)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_straggler(&slot, KEYS);
    cluster->cut[slot] = false;
    run_until_pulled(cluster, slot, 9);
    cluster->cut[slot] = true;
    cluster_run(cluster, 500 * MS);
    cluster->cut[slot] = false;
    expect_equal_states(cluster, slot);
    EXPECT(cluster->pages_to[slot] <= checkpoint_pages(cluster, slot) + 8);
    expect_durable(cluster, slot);
    cluster_free(cluster);
}

TEST(of_a_newer_checkpoint_in_the_middle_only_the_rest_is_pulled)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_straggler(&slot, KEYS);
    cluster->cut[slot] = false;
    run_until_pulled(cluster, slot, 15);
    cluster->cut[slot] = true;
    write_until_checkpoint(cluster, 1); /* few pages change */
    const uint64_t newer = checkpoint_index(cluster, elected(cluster));
    cluster->cut[slot] = false;
    expect_equal_states(cluster, slot);
    EXPECT(cluster->events[slot][EVENT_INSTALL_RETARGET] > 0);
    EXPECT_EQUAL(checkpoint_index(cluster, slot), newer);
    EXPECT(cluster->pages_to[slot] <= checkpoint_pages(cluster, slot) + 10);
    expect_durable(cluster, slot);
    cluster_free(cluster);
}

TEST(a_restart_of_the_puller_keeps_what_it_had)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_straggler(&slot, KEYS);
    cluster->cut[slot] = false;
    const struct superblock_writer *superblock = &replica_at(cluster, slot)->superblock;
    for (uint64_t steps = 0; steps < 100000 && (superblock->durable.flags & STORED_PARTIAL) == 0; steps++)
        cluster_one_step(cluster, steps);
    EXPECT((replica_at(cluster, slot)->superblock.durable.flags & STORED_PARTIAL) != 0);
    const uint32_t left = replica_at(cluster, slot)->install.wanted_pages;
    EXPECT(left > 0 && left < checkpoint_pages(cluster, slot));
    node_crash(cluster->nodes[slot]);
    cluster->pages_to[slot] = 0;
    start(cluster, slot);
    expect_equal_states(cluster, slot);
    EXPECT_EQUAL(replica_at(cluster, slot)->install.pages_pulled, left);
    expect_durable(cluster, slot);
    cluster_free(cluster);
}

TEST(a_crash_anywhere_in_an_install_loses_nothing)
{
    for (uint64_t crash_after = 1; crash_after < 400; crash_after += 7) {
        uint32_t slot;
        struct cluster *cluster = cluster_with_straggler(&slot, KEYS);
        cluster->cut[slot] = false;
        const struct install *install = &replica_at(cluster, slot)->install;
        for (uint64_t steps = 0; steps < 10000 && install->phase == INSTALL_IDLE; steps++)
            cluster_one_step(cluster, steps);
        EXPECT(install->phase != INSTALL_IDLE);
        for (uint64_t steps = 0; steps < crash_after; steps++)
            cluster_one_step(cluster, steps);
        node_crash(cluster->nodes[slot]);
        start(cluster, slot);
        expect_equal_states(cluster, slot);
        expect_durable(cluster, slot);
        cluster_free(cluster);
    }
}

/* Changes a byte of a value in memory, as a bug or a broken memory would. */
static void corrupt_memory(struct cluster *cluster, uint32_t slot)
{
    for (uint32_t page = cluster->limits.pages_max - 1; page >= page_fixed_count(&cluster->limits); page--) {
        const uint8_t *bytes = page_raw_const(replica_at(cluster, slot), page);
        for (uint32_t at = 0; at + 40 < cluster->limits.page_bytes; at++) {
            if (bytes[at] == 0 || memcmp(bytes + at, bytes + at + 1, 39) != 0)
                continue;
            page_write(replica_at(cluster, slot), page)[at + 20] ^= 1;
            return;
        }
    }
    test_fail(__FILE__, __LINE__, "no value anywhere");
}

TEST(a_state_that_differs_is_replaced_where_it_differs)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_checkpoint(&slot);
    corrupt_memory(cluster, slot);
    cluster->pages_to[slot] = 0;
    write_until_checkpoint(cluster, 1);
    cluster_run(cluster, 1000 * MS);
    expect_equal_states(cluster, slot);
    EXPECT_EQUAL(cluster->events[slot][EVENT_DIVERGED], 1);
    EXPECT_EQUAL(cluster->pages_to[slot], 1);
    expect_durable(cluster, slot);
    cluster_free(cluster);
}

TEST(a_leader_whose_state_differs_gives_way_and_is_mended)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_checkpoint(&slot);
    const uint32_t leader = elected(cluster);
    corrupt_memory(cluster, leader);
    write_until_checkpoint(cluster, 1);
    cluster_run(cluster, 1000 * MS);
    EXPECT_EQUAL(cluster->events[leader][EVENT_DIVERGED], 1);
    expect_equal_states(cluster, leader);
    cluster_free(cluster);
}

/* ---- sources that have not got everything, or that lie ---- */

TEST(what_one_peer_lost_another_gives)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_checkpoint(&slot);
    const uint32_t leader = elected(cluster);
    const uint32_t other = NODES - slot - leader;
    /* The same page and one more here, the same page there. All three are down, so that none has it in memory. */
    rot_pages(cluster, slot, 7, 2);
    rot_pages(cluster, other, 7, 1);
    for (uint32_t at = 0; at < NODES; at++)
        node_crash(cluster->nodes[at]);
    for (uint32_t at = 0; at < NODES; at++)
        start(cluster, at);
    elected(cluster);
    for (uint32_t at = 0; at < NODES; at++)
        expect_equal_states(cluster, at);
    expect_durable(cluster, slot);
    expect_durable(cluster, other);
    cluster_free(cluster);
}

TEST(two_nodes_with_different_damage_repair_each_other)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_checkpoint(&slot);
    const uint32_t leader = elected(cluster);
    const uint32_t other = NODES - slot - leader;
    rot_pages(cluster, slot, 3, 2);
    rot_pages(cluster, other, 9, 2);
    for (uint32_t at = 0; at < NODES; at++)
        node_crash(cluster->nodes[at]);
    start(cluster, slot);
    start(cluster, other);
    elected(cluster);
    expect_equal_states(cluster, slot);
    expect_equal_states(cluster, other);
    cluster_free(cluster);
}

TEST(a_page_that_nobody_has_is_asked_for_at_a_gentle_pace)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_checkpoint(&slot);
    for (uint32_t at = 0; at < NODES; at++)
        rot_pages(cluster, at, 7, 1);
    for (uint32_t at = 0; at < NODES; at++)
        node_crash(cluster->nodes[at]);
    for (uint32_t at = 0; at < NODES; at++)
        start(cluster, at);
    cluster_run(cluster, 1000 * MS);
    EXPECT(!store_is_ready(replica_at(cluster, slot)));
    EXPECT_EQUAL(replica_at(cluster, slot)->install.wanted_pages, 1);
    const uint64_t asked = cluster->events[slot][EVENT_INSTALL];
    cluster_run(cluster, 1000 * MS);
    EXPECT(cluster->events[slot][EVENT_INSTALL] - asked < 100);
    cluster_free(cluster);
}

static void reseal(uint8_t *bytes, uint32_t count)
{
    const uint64_t checksum = checksum64(bytes + 8, count - 8, 0);
    memcpy(bytes, &checksum, sizeof checksum);
}

/* Every answer from one peer is wrong in its own way; the other is honest. */
static bool lie(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes, uint32_t count)
{
    struct frame_header header;
    (void)to;
    memcpy(&header, bytes, sizeof header);
    if (header.type != FRAME_CHECKPOINT_RESPONSE || from != leader_of(cluster))
        return true;
    const uint32_t body = sizeof header;
    switch (cluster->sequence++ % 5) {
    case 0: bytes[count - 1] ^= 1; break;              /* a page, a hash */
    case 1: bytes[body + 80] ^= 1; break;              /* the number of a page, a hash */
    case 2: bytes[body + 60] ^= 1; break;              /* at */
    case 3: memset(bytes + body + 64, 0xff, 4); break; /* count */
    default: bytes[body + 40] ^= 1; break;             /* index */
    }
    reseal(bytes, count);
    return true;
}

TEST(lies_of_one_peer_change_nothing)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_straggler(&slot, KEYS);
    cluster->cut[slot] = false;
    cluster->hook = lie;
    const uint64_t sequence = cluster->sequence;
    expect_equal_states(cluster, slot);
    EXPECT(cluster->sequence > sequence);
    cluster->hook = NULL;
    expect_durable(cluster, slot);
    cluster_free(cluster);
}

/* Alters the first piece of every second answer with pages, behind the back of whoever made it. */
static bool alter(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes, uint32_t count)
{
    struct message message;
    const struct frame_context context = node_context(cluster->nodes[to]);
    if (message_decode((struct slice){ bytes, count }, &context, &message) != FRAME_OK
        || message.type != FRAME_CHECKPOINT_RESPONSE)
        return true;
    (void)from;
    const struct checkpoint_response *response = &message.checkpoint_response;
    struct pieces_answer answer;
    if (response->page_count == 0 || pieces_decode(response->payload, response->page_bytes, &answer) == 0
        || answer.bytes.count == 0 || cluster->lost++ % 2 != 0)
        return true;
    bytes[answer.bytes.bytes - bytes] ^= 1;
    reseal(bytes, count);
    return true;
}

TEST(a_page_that_fits_not_is_forgotten_and_got_as_a_whole)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_straggler(&slot, KEYS);
    cluster->cut[slot] = false;
    cluster->hook = alter;
    expect_equal_states(cluster, slot);
    EXPECT(cluster->lost > 0);
    EXPECT(cluster->events[slot][EVENT_INSTALL_UNFIT] > 0);
    cluster->hook = NULL;
    expect_durable(cluster, slot);
    cluster_free(cluster);
}

static bool lose_many(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes, uint32_t count)
{
    struct frame_header header;
    (void)from;
    (void)to;
    (void)count;
    memcpy(&header, bytes, sizeof header);
    if (header.type != FRAME_CHECKPOINT_RESPONSE && header.type != FRAME_CHECKPOINT_REQUEST)
        return true;
    cluster->lost++;
    return checksum64(&cluster->lost, sizeof cluster->lost, 0) % 2 == 0;
}

TEST(lost_frames_only_take_longer)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_straggler(&slot, KEYS);
    cluster->cut[slot] = false;
    cluster->hook = lose_many;
    expect_equal_states(cluster, slot);
    cluster->hook = NULL;
    expect_durable(cluster, slot);
    cluster_free(cluster);
}

/* ---- the peer's side ---- */

static struct message question(const struct cluster *cluster, uint32_t from, uint32_t to, enum checkpoint_ask ask)
{
    struct message message = {
        .type = FRAME_CHECKPOINT_REQUEST,
        .from = from + 1,
        .to = to + 1,
        .instance = 1000 + from + 1,
        .term = 1,
        .checkpoint_request = { .ask = ask },
    };
    if (ask != CHECKPOINT_ASK_OFFER)
        message.checkpoint_request.checkpoint = replica_at(cluster, to)->superblock.durable.checkpoint.hash;
    return message;
}

TEST(questions_that_make_no_sense_are_not_answered)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_checkpoint(&slot);
    struct node *node = cluster->nodes[slot];
    const uint32_t from = (slot + 1) % NODES;
    struct message message = question(cluster, from, slot, CHECKPOINT_ASK_HASHES);
    node->sent_count = 0;
    message.checkpoint_request.level = map_root(&cluster->limits) + 1;
    node_message(node, &message);
    message.checkpoint_request.level = 1;
    message.checkpoint_request.at = map_count(&cluster->limits, 1);
    node_message(node, &message);
    message = question(cluster, from, slot, CHECKPOINT_ASK_PAGES);
    struct pieces_question pages[16];
    for (uint32_t i = 0; i < ARRAY_COUNT(pages); i++)
        pages[i] = (struct pieces_question){ .page = i };
    message.checkpoint_request.count = ARRAY_COUNT(pages); /* more than an answer holds */
    message.checkpoint_request.pages = (struct slice){ .bytes = (const uint8_t *)pages, .count = sizeof pages };
    node_message(node, &message);
    pages[0].page = cluster->limits.pages_max;
    message.checkpoint_request.count = 1;
    message.checkpoint_request.pages.count = sizeof pages[0];
    node_message(node, &message);
    EXPECT_EQUAL(node->sent_count, 0);
    /* Another checkpoint: it says which one it has. */
    message.checkpoint_request.checkpoint.low ^= 1;
    node_message(node, &message);
    EXPECT_EQUAL(node->sent_count, 1);
    cluster_free(cluster);
}

TEST(a_peer_that_is_asked_holds_back_its_marker_for_a_while)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_checkpoint(&slot);
    const uint32_t leader = elected(cluster);
    EXPECT(!install_lease_held(replica_at(cluster, leader)));
    struct message message = question(cluster, slot, leader, CHECKPOINT_ASK_OFFER);
    node_message(cluster->nodes[leader], &message);
    EXPECT(!install_lease_held(replica_at(cluster, leader))); /* it may be the next one that is waited for */
    message = question(cluster, slot, leader, CHECKPOINT_ASK_HASHES);
    message.checkpoint_request.level = 1;
    node_message(cluster->nodes[leader], &message);
    EXPECT(install_lease_held(replica_at(cluster, leader)));
    cluster_run(cluster, 250 * MS);
    EXPECT(!install_lease_held(replica_at(cluster, leader)));
    cluster_free(cluster);
}

/* Small entries: the log's table of slots is full long before half of its ring is. */
TEST(a_peer_that_is_asked_all_the_time_makes_its_next_checkpoint_before_the_slots_run_out)
{
    struct limits limits = test_limits();
    limits.wal_body_blocks = 2048;
    EXPECT(limits_problem(&limits) == NULL);
    struct cluster *cluster = cluster_new(&limits, 7);
    write_until_checkpoint(cluster, KEYS);
    const uint32_t leader = elected(cluster);
    const struct replica *replica = replica_at(cluster, leader);
    const uint64_t before = checkpoint_index(cluster, leader);
    uint32_t held_back = 0;
    for (uint32_t i = 0; i < limits.log_entries_max && checkpoint_index(cluster, leader) == before; i++) {
        struct message message = question(cluster, (leader + 1) % NODES, leader, CHECKPOINT_ASK_HASHES);
        message.checkpoint_request.level = 1;
        node_message(cluster->nodes[leader], &message);
        held_back += install_lease_held(replica) && checkpoint_is_due(replica);
        put(cluster, i % KEYS, (uint8_t)i);
        EXPECT_EQUAL(elected(cluster), leader);
        EXPECT(wal_used_entries(replica) < limits.log_entries_max * 3 / 4);
    }
    EXPECT(held_back > 0);
    EXPECT(checkpoint_index(cluster, leader) > before);
    EXPECT_EQUAL(checkpoint_index(cluster, leader), replica->marker_index); /* nor was its full log relieved */
    cluster_free(cluster);
}

/* The frame that the node last sent to the client; the count of pages in it. */
static uint32_t client_got(struct node *node, enum checkpoint_ask ask, struct message *message)
{
    const struct frame_context context = node_context(node);
    EXPECT(node->sent_count > 0);
    const struct node_frame *frame = &node->sent[node->sent_count - 1];
    EXPECT(frame->reply);
    EXPECT_EQUAL(frame->to, 77);
    EXPECT_EQUAL(message_decode((struct slice){ frame->bytes, frame->count }, &context, message), FRAME_OK);
    EXPECT_EQUAL(message->type, FRAME_CHECKPOINT_RESPONSE);
    EXPECT_EQUAL(message->checkpoint_response.ask, ask);
    return message->checkpoint_response.page_count;
}

static void client_asks(struct node *node, const struct checkpoint_request *request)
{
    uint8_t bytes[512];
    const struct frame_context context = node_context(node);
    const struct message message = { .type = FRAME_CHECKPOINT_REQUEST, .checkpoint_request = *request };
    message_encode(&message, &context, bytes);
    node->sent_count = 0;
    node_client_frame(node, 77, (struct slice){ bytes, message_bytes(&message) });
}

TEST(a_client_pulls_with_the_frames_of_a_peer)
{
    uint32_t slot;
    struct message message;
    struct cluster *cluster = cluster_with_checkpoint(&slot);
    struct node *node = cluster->nodes[slot];
    client_asks(node, &(struct checkpoint_request){ .ask = CHECKPOINT_ASK_OFFER });
    client_got(node, CHECKPOINT_ASK_OFFER, &message);
    const struct checkpoint_response offer = message.checkpoint_response;
    EXPECT(offer.id.index > 0);
    struct checkpoint_request request = { .ask = CHECKPOINT_ASK_HASHES,
                                          .checkpoint = offer.checkpoint,
                                          .level = map_root(&cluster->limits) };
    client_asks(node, &request);
    client_got(node, CHECKPOINT_ASK_HASHES, &message);
    struct hash128 hashes[PAGE_BYTES_MAX / sizeof(struct map_entry)];
    EXPECT(message.checkpoint_response.payload.count <= sizeof hashes);
    memcpy(hashes, message.checkpoint_response.payload.bytes, message.checkpoint_response.payload.count);
    EXPECT(hash128_equal(map_hashes_hash(&cluster->limits, hashes), offer.root_hash));
    struct pieces_question page = { .page = 0 };
    request = (struct checkpoint_request){ .ask = CHECKPOINT_ASK_PAGES,
                                           .checkpoint = offer.checkpoint,
                                           .count = 1,
                                           .pages = { (const uint8_t *)&page, sizeof page } };
    client_asks(node, &request);
    EXPECT_EQUAL(client_got(node, CHECKPOINT_ASK_PAGES, &message), 1);
    /* What there is not is refused, to it alone. */
    page.page = cluster->limits.pages_max;
    node->refused = FRAME_OK;
    client_asks(node, &request);
    EXPECT_EQUAL(node->refused, FRAME_BAD_BODY);
    EXPECT_EQUAL(node->sent_count, 0);
    cluster_free(cluster);
}

TEST(whose_map_is_aimed_at_another_checkpoint_has_none_to_offer)
{
    uint32_t slot;
    struct message message;
    struct cluster *cluster = cluster_with_straggler(&slot, KEYS);
    struct replica *replica = replica_at(cluster, slot);
    replica->limits.install_kib_per_second = 1;
    cluster->cut[slot] = false;
    run_until_pulled(cluster, slot, 1);
    cluster->cut[slot] = true;
    replica->limits.install_kib_per_second = cluster->limits.install_kib_per_second;
    cluster_run(cluster, 500 * MS);
    EXPECT_EQUAL(replica->install.phase, INSTALL_ASK);
    EXPECT(replica->superblock.durable.checkpoint.id.index > 0);
    EXPECT(!hash128_equal(replica->superblock.durable.checkpoint.hash, replica->install.target.hash));
    client_asks(cluster->nodes[slot], &(struct checkpoint_request){ .ask = CHECKPOINT_ASK_OFFER });
    client_got(cluster->nodes[slot], CHECKPOINT_ASK_OFFER, &message);
    EXPECT_EQUAL(message.checkpoint_response.id.index, 0);
    cluster_free(cluster);
}

/* The follower is down and has twelve damaged pages, which have changed in the memory of all others since. */
static struct cluster *cluster_with_changed_pages(uint32_t *slot)
{
    struct cluster *cluster = cluster_with_checkpoint(slot);
    rot_pages(cluster, *slot, 0, 12);
    node_crash(cluster->nodes[*slot]);
    for (uint32_t key = 0; key < KEYS; key++)
        put(cluster, key, 0xee);
    EXPECT(replica_at(cluster, elected(cluster))->checkpoint.dirty_count > 12);
    cluster->pages_to[*slot] = 0;
    return cluster;
}

TEST(pages_that_changed_since_are_read_from_the_disk)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_changed_pages(&slot);
    start(cluster, slot);
    expect_equal_states(cluster, slot);
    EXPECT(cluster->pages_to[slot] >= 12);
    expect_durable(cluster, slot);
    cluster_free(cluster);
}

/* 120 KiB at 1 KiB/s would take too long: a store must be here before it is another one. */
TEST(the_more_is_wanted_the_faster_it_is_pulled)
{
    struct limits limits = test_limits();
    limits.install_kib_per_second = 1;
    limits.pages_max = 256;
    limits.data_blocks = 1024;
    struct cluster *cluster = cluster_new(&limits, 3);
    for (uint32_t key = 0; key < 200; key++)
        put(cluster, key, 0xee);
    write_until_checkpoint(cluster, 200);
    start(cluster, 2);
    const uint64_t before_ns = cluster->now_ns;
    expect_equal_states(cluster, 2);
    EXPECT(cluster->now_ns - before_ns < 30000ull * MS);
    cluster_free(cluster);
}

/* A write costs much the same whatever its size, so pages wait in memory for those that are still to come. */
TEST(pages_that_come_one_by_one_are_written_together)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_changed_pages(&slot);
    start(cluster, slot);
    const uint64_t before = cluster->nodes[slot]->data_writes;
    expect_equal_states(cluster, slot);
    EXPECT(cluster->pages_to[slot] >= 12);
    EXPECT(cluster->nodes[slot]->data_writes - before < cluster->pages_to[slot] / 2); /* those of the map among them */
    expect_durable(cluster, slot);
    cluster_free(cluster);
}

/* ---- everything at once ---- */

static bool lose_some(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes, uint32_t count)
{
    (void)from;
    (void)to;
    (void)bytes;
    (void)count;
    cluster->lost++;
    return checksum64(&cluster->lost, sizeof cluster->lost, 0) % 8 != 0;
}

/* Power loss: of the writes in flight some blocks land. */
static void crash_torn(struct node *node, struct prng *prng)
{
    for (uint32_t op = 0; op < node->op_count; op++)
        if (node->ops[op].write)
            node_land(node, op, prng_below(prng, 2) == 0 ? 0 : prng_next(prng));
    node_crash(node);
}

/* Rot on one node only, so that every page is intact somewhere. */
static void disturb(struct cluster *cluster, struct prng *prng, uint32_t rotten)
{
    const uint32_t slot = (uint32_t)prng_below(prng, NODES);
    struct node *node = cluster->nodes[slot];
    switch (prng_below(prng, 5)) {
    case 0: cluster->cut[slot] = !cluster->cut[slot]; return;
    case 1:
        if (node->replica != NULL)
            crash_torn(node, prng);
        if (slot == rotten)
            node->data[prng_below(prng, node->data_bytes)] ^= 8;
        return;
    default:
        if (node->replica == NULL)
            start(cluster, slot);
        return;
    }
}

/* All are up and reach each other: whatever happened, they come to equal states. */
static void heal(struct cluster *cluster)
{
    cluster->hook = NULL;
    memset(cluster->cut, 0, sizeof cluster->cut);
    for (uint32_t slot = 0; slot < NODES; slot++)
        if (cluster->nodes[slot]->replica == NULL)
            start(cluster, slot);
    elected(cluster);
    for (uint32_t slot = 0; slot < NODES; slot++) {
        EXPECT_EQUAL(cluster->nodes[slot]->stop, 0);
        expect_equal_states(cluster, slot);
    }
}

TEST(crashes_cuts_losses_and_rot_in_any_order_end_in_equal_states)
{
    const struct limits limits = test_limits();
    for (uint64_t seed = 1; seed <= CHAOS_SEEDS; seed++) {
        struct prng prng;
        prng_seed(&prng, seed);
        struct cluster *cluster = cluster_new(&limits, 7);
        const uint32_t rotten = (uint32_t)prng_below(&prng, NODES);
        for (uint32_t round = 0; round < 20; round++) {
            cluster->cut[prng_below(&prng, NODES)] = prng_below(&prng, 2) == 0;
            for (uint64_t puts = prng_below(&prng, 100); puts > 0; puts--)
                put(cluster, (uint32_t)prng_below(&prng, KEYS), (uint8_t)(1 + prng_below(&prng, 250)));
            cluster->hook = lose_some;
            for (uint64_t turns = prng_below(&prng, 16); turns > 0; turns--) {
                disturb(cluster, &prng, rotten);
                for (uint64_t steps = prng_below(&prng, 300); steps > 0; steps--)
                    cluster_one_step(cluster, steps);
            }
            heal(cluster);
        }
        cluster_free(cluster);
    }
}

TEST_MAIN()

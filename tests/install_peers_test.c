/* Installs whose source is gone, has lost it too, or leads: what the others then do about it (install.h, repair.c). */
#include "install_rig.h"

/* Three nodes; the straggler is cut off, and needs a checkpoint: the log of the others begins behind its last entry. */
static struct cluster *cluster_with_straggler(uint32_t *straggler)
{
    const struct limits limits = test_limits();
    struct cluster *cluster = cluster_new(&limits, 7);
    write_until_checkpoint(cluster, KEYS);
    *straggler = (elected(cluster) + 1) % NODES;
    cluster->cut[*straggler] = true;
    const uint64_t last = node_view(cluster->nodes[*straggler]).last.index;
    for (uint32_t i = 0; i < 4 && replica_at(cluster, elected(cluster))->log.base.index <= last; i++)
        write_until_checkpoint(cluster, KEYS);
    EXPECT(replica_at(cluster, elected(cluster))->log.base.index > last);
    return cluster;
}

/* A page that the last put changed: its bytes as the checkpoint has them are on the disk only. */
static uint32_t dirty_page(const struct cluster *cluster, uint32_t slot)
{
    const struct replica *replica = replica_at(cluster, slot);
    for (uint32_t page = 0; page < cluster->limits.pages_max; page++) {
        const struct map_entry *entry = map_entry_const(replica, 0, page);
        if (checkpoint_page_dirty(replica, page) && entry->block != 0
            && !hash128_equal(map_page_hash(replica, page_raw_const(replica, page)), entry->hash))
            return page;
    }
    test_fail(__FILE__, __LINE__, "no page is dirty");
}

static void rot_page(struct cluster *cluster, uint32_t slot, uint32_t page)
{
    rot(cluster, slot, map_entry_const(replica_at(cluster, slot), 0, page)->block);
}

TEST(a_page_that_the_disk_lost_and_memory_changed_is_given_by_a_new_checkpoint)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_straggler(&slot);
    const uint32_t leader = elected(cluster);
    put(cluster, 3, 77);
    const uint64_t before = checkpoint_index(cluster, leader);
    rot_page(cluster, leader, dirty_page(cluster, leader));
    /* Nobody else has it, and without the straggler nothing is committed. */
    node_crash(cluster->nodes[NODES - slot - leader]);
    cluster->cut[slot] = false;
    EXPECT(run_until_caught_up(cluster, slot));
    EXPECT_EQUAL(cluster->events[leader][EVENT_CHECKPOINT_RENEW], 1);
    EXPECT(checkpoint_index(cluster, leader) > before);
    cluster_free(cluster);
}

/* Once a pass is enough: the writes of the next one change the same pages again. */
TEST(the_scrub_has_one_checkpoint_made_for_all_that_a_pass_finds)
{
    const struct limits limits = test_limits();
    struct cluster *cluster = cluster_new(&limits, 7);
    write_until_checkpoint(cluster, KEYS);
    const uint32_t leader = elected(cluster);
    put(cluster, 3, 77);
    const uint32_t page = dirty_page(cluster, leader);
    const uint64_t before = checkpoint_index(cluster, leader);
    rot_page(cluster, leader, page);
    const uint64_t passes = replica_at(cluster, leader)->scrub.passes;
    for (uint32_t tries = 0; tries < 10000 && replica_at(cluster, leader)->scrub.passes < passes + 4; tries++)
        cluster_run(cluster, 20 * MS);
    EXPECT_EQUAL(cluster->events[leader][EVENT_CHECKPOINT_RENEW], 1);
    EXPECT(checkpoint_index(cluster, leader) > before);
    const struct map_entry *entry = map_entry_const(replica_at(cluster, leader), 0, page);
    const uint8_t *bytes = cluster->nodes[leader]->data + (uint64_t)entry->block * limits.page_bytes;
    EXPECT(hash128_equal(map_page_hash(replica_at(cluster, leader), bytes), entry->hash));
    cluster_free(cluster);
}

/* The commit index that a node may hear of: what is above stays with the leader. */
static uint64_t commit_told;
static uint32_t commit_listener;

static bool tell_no_commit_above(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes, uint32_t count)
{
    struct message message;
    const struct frame_context context = node_context(cluster->nodes[from]);
    if (to != commit_listener || message_decode((struct slice){ .bytes = bytes, .count = count }, &context, &message))
        return true;
    return message.type != FRAME_APPEND_REQUEST || message.append_request.commit <= commit_told;
}

TEST(a_checkpoint_whose_holder_is_gone_is_made_by_who_can_know_that_it_is_committed)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_straggler(&slot);
    const uint32_t leader = elected(cluster);
    const uint32_t other = NODES - slot - leader;
    const uint64_t before = checkpoint_index(cluster, other);
    /* The other one gets the entries up to the next marker, confirms them, and never hears that they are committed. */
    commit_told = node_view(cluster->nodes[other]).commit;
    commit_listener = other;
    cluster->hook = tell_no_commit_above;
    replica_at(cluster, leader)->marker_asked = true;
    for (uint32_t tries = 0; tries < 100 && checkpoint_index(cluster, leader) == before; tries++)
        cluster_run(cluster, 1 * MS);
    const uint64_t target = checkpoint_index(cluster, leader);
    EXPECT(target > before);
    EXPECT(node_view(cluster->nodes[other]).commit < target);
    EXPECT(node_view(cluster->nodes[other]).last.index >= target);
    cluster->cut[other] = true;
    cluster->cut[slot] = false;
    const struct stored *durable = &replica_at(cluster, slot)->superblock.durable;
    for (uint64_t steps = 0; steps < 100000 && durable->checkpoint.id.index < target; steps++)
        cluster_one_step(cluster, steps);
    EXPECT_EQUAL(durable->checkpoint.id.index, target);
    EXPECT((durable->flags & STORED_PARTIAL) != 0);
    node_crash(cluster->nodes[leader]);
    cluster->hook = NULL;
    cluster->cut[other] = false;
    EXPECT(run_until_caught_up(cluster, slot));
    EXPECT(checkpoint_index(cluster, other) >= target);
    cluster_free(cluster);
}

static bool no_answers_to_it(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes, uint32_t count)
{
    struct frame_header header;
    (void)cluster;
    (void)from;
    (void)count;
    memcpy(&header, bytes, sizeof header);
    return header.type != FRAME_CHECKPOINT_RESPONSE || to != commit_listener;
}

/* A node that lacks a page of its checkpoint has heard that an entry behind that is in a newer one (repair.c), and who
 * has that is gone. All others have the node's own checkpoint, which does not do, and the entry in their logs. No
 * client writes, so no marker will come. */
TEST(a_checkpoint_that_was_only_heard_of_is_made_by_another)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_checkpoint(&slot);
    const uint32_t leader = elected(cluster);
    for (uint8_t value = 0; value < 4; value++)
        put(cluster, 3, value);
    cluster_run(cluster, 200 * MS);
    const struct log_id last = node_view(cluster->nodes[slot]).last;
    const uint64_t before = checkpoint_index(cluster, leader);
    EXPECT(last.index > before && checkpoint_index(cluster, slot) == before);
    rot_pages(cluster, slot, 0, 1);
    commit_listener = slot;
    cluster->hook = no_answers_to_it;
    node_crash(cluster->nodes[slot]);
    start(cluster, slot);
    cluster_run(cluster, 200 * MS);
    struct replica *replica = replica_at(cluster, slot);
    EXPECT_EQUAL(replica->store.state, STORE_DAMAGED);
    install_want(replica, &node_at(cluster, slot)->output, last.index, last);
    cluster->hook = NULL;
    EXPECT(run_until_caught_up(cluster, slot));
    EXPECT(install_is_idle(replica));
    EXPECT(checkpoint_index(cluster, leader) >= last.index);
    EXPECT(checkpoint_index(cluster, slot) >= last.index);
    cluster_free(cluster);
}

static bool nothing_but_offers(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes, uint32_t count)
{
    struct message message;
    const struct frame_context context = node_context(cluster->nodes[from]);
    (void)to;
    if (message_decode((struct slice){ .bytes = bytes, .count = count }, &context, &message) != FRAME_OK)
        return true;
    return message.type != FRAME_CHECKPOINT_RESPONSE || message.checkpoint_response.ask == CHECKPOINT_ASK_OFFER;
}

/* A checkpoint of no marker, which only the leader has; it is gone when the straggler has begun with that, and the
 * others have the straggler's own one. */
TEST(a_checkpoint_that_only_its_source_made_is_made_again_by_another)
{
    struct limits limits = test_limits();
    limits.wal_retain_blocks = 1;
    struct cluster *cluster = cluster_new(&limits, 7);
    write_until_checkpoint(cluster, KEYS);
    cluster_run(cluster, 200 * MS);
    const uint32_t leader = elected(cluster);
    const uint32_t slot = (leader + 1) % NODES;
    const uint32_t other = NODES - slot - leader;
    const uint64_t before = checkpoint_index(cluster, other);
    cluster->cut[slot] = true;
    for (uint8_t value = 0; value < 8; value++)
        put(cluster, 3, value);
    checkpoint_renew(replica_at(cluster, leader));
    cluster_run(cluster, 200 * MS);
    EXPECT(replica_at(cluster, leader)->log.base.index > node_view(cluster->nodes[slot]).last.index);
    cluster->cut[other] = true;
    cluster->cut[slot] = false;
    cluster->hook = nothing_but_offers;
    cluster_run(cluster, 50 * MS);
    EXPECT_EQUAL(replica_at(cluster, slot)->install.target.id.index, checkpoint_index(cluster, leader));
    node_crash(cluster->nodes[leader]);
    cluster->hook = NULL;
    cluster->cut[other] = false;
    EXPECT_EQUAL(checkpoint_index(cluster, slot), before);
    EXPECT_EQUAL(checkpoint_index(cluster, other), before);
    EXPECT(run_until_caught_up(cluster, slot));
    EXPECT(checkpoint_index(cluster, other) > before);
    cluster_free(cluster);
}

/* The straggler begins with a checkpoint of no marker, which only the leader has. That gives it nothing more than its
 * offer, and is gone then. The other one, which has the entries that the straggler lacks, starts anew. */
static uint32_t aim_in_vain(struct cluster *cluster, uint32_t leader)
{
    const uint32_t slot = (leader + 1) % NODES;
    const uint32_t other = NODES - slot - leader;
    cluster->cut[slot] = true;
    for (uint8_t value = 0; value < 8; value++)
        put(cluster, 3, value);
    checkpoint_renew(replica_at(cluster, leader));
    cluster_run(cluster, 200 * MS);
    EXPECT(replica_at(cluster, leader)->log.base.index > node_view(cluster->nodes[slot]).last.index);
    cluster->cut[other] = true;
    cluster->cut[slot] = false;
    cluster->hook = nothing_but_offers;
    cluster_run(cluster, 50 * MS);
    EXPECT_EQUAL(replica_at(cluster, slot)->install.target.id.index, checkpoint_index(cluster, leader));
    EXPECT_EQUAL(replica_at(cluster, slot)->store.state, STORE_DAMAGED);
    node_crash(cluster->nodes[leader]);
    node_crash(cluster->nodes[other]);
    cluster->hook = NULL;
    cluster->cut[other] = false;
    start(cluster, other);
    return slot;
}

/* Two of three are left, and the only whole checkpoint is the one that the straggler was about to replace. */
TEST(who_aims_in_vain_goes_back_to_its_checkpoint_and_gives_it_to_who_lacks_it)
{
    struct limits limits = test_limits();
    limits.wal_retain_blocks = 1;
    struct cluster *cluster = cluster_new(&limits, 7);
    write_until_checkpoint(cluster, KEYS);
    cluster_run(cluster, 200 * MS);
    const uint32_t leader = elected(cluster);
    const uint32_t other = (leader + 2) % NODES;
    const uint64_t before = checkpoint_index(cluster, other);
    rot_pages(cluster, other, 2, 1);
    const uint32_t slot = aim_in_vain(cluster, leader);
    EXPECT_EQUAL(checkpoint_index(cluster, slot), before);
    EXPECT(run_until_caught_up(cluster, slot));
    EXPECT(run_until_caught_up(cluster, other));
    EXPECT_EQUAL(cluster->events[other][EVENT_PAGE_DAMAGED], 1);
    EXPECT_EQUAL(cluster->pages_to[other], 1);
    expect_equal_states(cluster, slot);
    expect_equal_states(cluster, other);
    expect_durable(cluster, slot);
    put(cluster, 1, 1);
    cluster_free(cluster);
}

static enum reply_status stale_read(struct cluster *cluster, uint32_t slot)
{
    const struct request get = {
        .request_id = 9,
        .kind = REQUEST_GET_STALE,
        .key = { .bytes = (const uint8_t *)"k001", .count = 4 },
    };
    struct node *node = node_at(cluster, slot);
    struct reply reply = { .status = REPLY_UNKNOWN };
    node_request(node, 5, &get);
    for (uint32_t i = 0; i < node->sent_count; i++) {
        const struct slice bytes = { .bytes = node->sent[i].bytes, .count = node->sent[i].count };
        if (node->sent[i].reply)
            EXPECT_EQUAL(reply_decode(bytes, cluster->limits.frame_bytes_max, &reply), FRAME_OK);
    }
    return reply.status;
}

static bool no_questions(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes, uint32_t count)
{
    struct frame_header header;
    (void)cluster;
    (void)from;
    (void)to;
    (void)count;
    memcpy(&header, bytes, sizeof header);
    return header.type != FRAME_CHECKPOINT_REQUEST;
}

/* It has no checkpoint, and goes back to nothing: the log begins with the first entry. */
TEST(who_has_no_checkpoint_goes_back_to_nothing_and_applies_its_log)
{
    struct limits limits = test_limits();
    limits.wal_retain_blocks = 1;
    limits.apply_per_step_max = 1;
    struct cluster *cluster = cluster_new(&limits, 7);
    for (uint32_t key = 0; key < 8; key++)
        put(cluster, key, 1);
    cluster_run(cluster, 200 * MS);
    const uint32_t leader = elected(cluster);
    const uint32_t slot = aim_in_vain(cluster, leader);
    const uint32_t other = NODES - slot - leader;
    struct replica *replica = replica_at(cluster, slot);
    const uint64_t applied = replica->applied;
    cluster->hook = no_questions;
    EXPECT_EQUAL(replica->stored.checkpoint.id.index, 0);
    EXPECT(applied > 0 && !store_is_ready(replica));
    for (uint64_t steps = 0; steps < 100000 && !store_is_ready(replica); steps++)
        if (!cluster_step(cluster, slot) && !cluster_step(cluster, other))
            cluster_advance(cluster, cluster->now_ns + MS);
    /* In one life of a node a stale read never goes back. */
    EXPECT(replica->applied < applied);
    EXPECT_EQUAL(stale_read(cluster, slot), REPLY_BUSY);
    expect_equal_states(cluster, slot);
    EXPECT_EQUAL(stale_read(cluster, slot), REPLY_OK);
    cluster->hook = NULL;
    write_until_checkpoint(cluster, KEYS);
    expect_equal_states(cluster, slot);
    expect_durable(cluster, slot);
    cluster_free(cluster);
}

/* ---- who leads meanwhile ---- */

static uint32_t maimed; /* the node that gets no pages */
static bool only_it_campaigns;

static bool starve(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes, uint32_t count)
{
    struct frame_header header;
    (void)cluster;
    (void)count;
    memcpy(&header, bytes, sizeof header);
    if (header.type == FRAME_VOTE_REQUEST)
        return from == maimed || !only_it_campaigns;
    return header.type != FRAME_CHECKPOINT_RESPONSE || to != maimed;
}

static struct cluster *cluster_with_a_maimed_node(void)
{
    const struct limits limits = test_limits();
    struct cluster *cluster = cluster_new(&limits, 7);
    write_until_checkpoint(cluster, KEYS);
    maimed = elected(cluster);
    for (uint32_t slot = 0; slot < NODES; slot++)
        node_crash(cluster->nodes[slot]);
    const uint32_t page_bytes = limits.page_bytes;
    /* Any block in use will do: zeros are never what the map names. */
    memset(cluster->nodes[maimed]->data + page_bytes, 0, (size_t)(limits.data_blocks - 1) * page_bytes);
    cluster->hook = starve;
    for (uint32_t slot = 0; slot < NODES; slot++)
        start(cluster, slot);
    return cluster;
}

TEST(who_has_no_whole_state_lets_the_others_lead)
{
    only_it_campaigns = false;
    struct cluster *cluster = cluster_with_a_maimed_node();
    EXPECT(elected(cluster) != maimed);
    EXPECT_EQUAL(replica_at(cluster, maimed)->store.state, STORE_DAMAGED);
    put(cluster, 1, 1);
    cluster_free(cluster);
}

TEST(a_leader_without_its_pages_steps_down_and_another_one_serves)
{
    only_it_campaigns = true;
    struct cluster *cluster = cluster_with_a_maimed_node();
    EXPECT_EQUAL(elected(cluster), maimed);
    only_it_campaigns = false;
    cluster_run(cluster, 2000 * MS);
    EXPECT_EQUAL(cluster->events[maimed][EVENT_LED_IN_VAIN], 1);
    EXPECT(elected(cluster) != maimed);
    put(cluster, 1, 1);
    cluster->hook = NULL;
    EXPECT(run_until_caught_up(cluster, maimed));
    cluster_free(cluster);
}

/* A single page, which it asks its own disk for again and again meanwhile. */
TEST(a_leader_that_reads_a_lost_page_in_vain_steps_down_and_another_one_serves)
{
    only_it_campaigns = true;
    const struct limits limits = test_limits();
    struct cluster *cluster = cluster_new(&limits, 7);
    write_until_checkpoint(cluster, KEYS);
    maimed = elected(cluster);
    rot_page(cluster, maimed, 0);
    cluster->hook = starve;
    for (uint32_t slot = 0; slot < NODES; slot++)
        node_crash(cluster->nodes[slot]);
    for (uint32_t slot = 0; slot < NODES; slot++)
        start(cluster, slot);
    EXPECT_EQUAL(elected(cluster), maimed);
    only_it_campaigns = false;
    cluster_run(cluster, 2000 * MS);
    EXPECT_EQUAL(cluster->events[maimed][EVENT_LED_IN_VAIN], 1);
    EXPECT(elected(cluster) != maimed);
    put(cluster, 1, 1);
    cluster_free(cluster);
}

TEST(what_the_disk_could_not_bring_is_asked_for_there_again_when_nobody_has_it)
{
    only_it_campaigns = false;
    const struct limits limits = test_limits();
    struct cluster *cluster = cluster_new(&limits, 7);
    write_until_checkpoint(cluster, KEYS);
    maimed = (elected(cluster) + 1) % NODES;
    const uint32_t page = 0;
    rot_page(cluster, maimed, page);
    cluster->hook = starve;
    node_crash(cluster->nodes[maimed]);
    start(cluster, maimed);
    cluster_run(cluster, 1000 * MS);
    EXPECT_EQUAL(replica_at(cluster, maimed)->store.state, STORE_DAMAGED);
    EXPECT_EQUAL(cluster->events[maimed][EVENT_PAGE_DAMAGED], 1);
    rot_page(cluster, maimed, page); /* as it was */
    EXPECT(run_until_caught_up(cluster, maimed));
    EXPECT(install_is_idle(replica_at(cluster, maimed)));
    cluster_free(cluster);
}

/* The page is offered, and never comes. What it was aimed at then was its own checkpoint, and that is not its latest
 * one any more when the next one is made. */
TEST(who_got_its_own_page_from_its_disk_after_all_offers_its_next_checkpoint)
{
    uint32_t slot;
    struct cluster *cluster = cluster_with_checkpoint(&slot);
    rot_pages(cluster, slot, 3, 1);
    cluster->hook = nothing_but_offers;
    const uint32_t block = map_entry_const(replica_at(cluster, slot), 0, used_page(cluster, slot, 3))->block;
    node_crash(cluster->nodes[slot]);
    start(cluster, slot);
    cluster_run(cluster, 500 * MS);
    EXPECT_EQUAL(replica_at(cluster, slot)->install.target.id.index, checkpoint_index(cluster, slot));
    rot(cluster, slot, block); /* as it was */
    EXPECT(run_until_caught_up(cluster, slot));
    cluster->hook = NULL;
    write_until_checkpoint(cluster, KEYS);
    EXPECT(run_until_caught_up(cluster, slot));
    EXPECT_EQUAL(cluster->pages_to[slot], 0);
    const uint32_t from = (slot + 1) % NODES;
    const struct message question = {
        .type = FRAME_CHECKPOINT_REQUEST,
        .from = from + 1,
        .to = slot + 1,
        .instance = 1000 + from + 1,
        .term = 1,
        .checkpoint_request = { .ask = CHECKPOINT_ASK_OFFER },
    };
    const uint64_t offers = cluster->events[slot][EVENT_OFFER];
    node_message(cluster->nodes[slot], &question);
    observe(cluster, slot);
    EXPECT_EQUAL(cluster->events[slot][EVENT_OFFER], offers + 1);
    cluster_free(cluster);
}

/* ---- who waits for an entry that an install goes past ---- */

static bool nothing_confirmed_to_it(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes, uint32_t count)
{
    struct frame_header header;
    (void)cluster;
    (void)from;
    (void)count;
    memcpy(&header, bytes, sizeof header);
    return header.type != FRAME_APPEND_RESPONSE || to != commit_listener;
}

/* A page of its checkpoint, in memory and on its disk, as the scrub would find it. */
static void lose_page(struct cluster *cluster, uint32_t slot)
{
    struct node *node = node_at(cluster, slot);
    uint32_t page = 1;
    while (map_entry_const(node->replica, 0, page)->block == 0 || checkpoint_page_dirty(node->replica, page))
        page++;
    rot_page(cluster, slot, page);
    page_raw(node->replica, page)[17] ^= 4;
    store_lose(node->replica, &node->output, page);
}

/* The leader and a client's request, with a marker behind its entry in the log. Before these are committed the leader
 * finds a page wrong, in memory and on its disk; and what it gets for that is the checkpoint of that marker. */
static uint32_t skip(struct cluster *cluster, const struct request *request)
{
    const uint32_t leader = elected(cluster), other = (leader + 1) % NODES;
    struct node *node = node_at(cluster, leader);
    const uint64_t term = node_view(node).term;
    commit_listener = leader;
    cluster->hook = nothing_confirmed_to_it;
    node_request(node, 7, request);
    const uint64_t entry = node_view(node).last.index;
    node->replica->marker_asked = true;
    cluster_settle(cluster);
    const uint64_t marker = node->replica->marker_index;
    EXPECT(node->replica->applied < entry && entry < marker && checkpoint_is_idle(node->replica));
    lose_page(cluster, leader);
    cluster->hook = no_answers_to_it;
    for (uint32_t tries = 0; tries < 100 && checkpoint_index(cluster, other) < marker; tries++)
        cluster_run(cluster, 1 * MS);
    EXPECT_EQUAL(checkpoint_index(cluster, other), marker);
    EXPECT(node->replica->applied < entry && node->replica->commit >= marker);
    cluster->hook = NULL;
    for (uint32_t tries = 0; tries < 100 && !store_is_ready(node->replica); tries++)
        cluster_run(cluster, 1 * MS);
    EXPECT_EQUAL(checkpoint_index(cluster, leader), marker);
    EXPECT(node_view(node).role == RAFT_LEADER && node_view(node).term == term && node->replica->applied >= marker);
    return leader;
}

/* Mutant R27. */
TEST(who_lost_a_page_shows_nothing_that_is_older_than_what_it_has_shown)
{
    struct limits limits = test_limits();
    limits.apply_per_step_max = 1;
    struct cluster *cluster = cluster_new(&limits, 7);
    write_until_checkpoint(cluster, KEYS);
    cluster_run(cluster, 200 * MS);
    for (uint8_t value = 0; value < 6; value++)
        put(cluster, 3, value);
    cluster_run(cluster, 50 * MS);
    const uint32_t slot = (elected(cluster) + 1) % NODES;
    struct node *node = node_at(cluster, slot);
    const uint64_t applied = node->replica->applied;
    EXPECT(applied > checkpoint_index(cluster, slot) + 5);
    lose_page(cluster, slot);
    for (uint64_t turn = 0; turn < 100000 && !store_is_ready(node->replica); turn++)
        if (!cluster_step(cluster, slot) && !cluster_step(cluster, (slot + 1) % NODES)
            && !cluster_step(cluster, (slot + 2) % NODES))
            cluster_advance(cluster, cluster->now_ns + MS);
    EXPECT(store_is_ready(node->replica) && node->replica->applied < applied);
    EXPECT_EQUAL(stale_read(cluster, slot), REPLY_BUSY);
    cluster_run(cluster, 50 * MS);
    EXPECT(node->replica->applied >= applied);
    EXPECT_EQUAL(stale_read(cluster, slot), REPLY_OK);
    cluster_free(cluster);
}

/* Mutant S46. Else the leader would call itself busy for as long as it leads: the oldest of its proposals waits. */
TEST(whose_write_came_with_a_checkpoint_learns_that_its_outcome_is_unknown)
{
    uint32_t follower;
    struct cluster *cluster = cluster_with_checkpoint(&follower);
    const struct request request = {
        .request_id = 100,
        .kind = REQUEST_PUT,
        .session = cluster->session,
        .sequence = ++cluster->sequence,
        .key = { .bytes = (const uint8_t *)"k001", .count = 4 },
        .value = { .bytes = (const uint8_t *)"v", .count = 1 },
    };
    const uint64_t before = cluster->replies;
    const uint32_t leader = skip(cluster, &request);
    EXPECT_EQUAL(cluster->replies, before + 1);
    EXPECT_EQUAL(cluster->status, REPLY_UNKNOWN);
    EXPECT_EQUAL(replica_at(cluster, leader)->pending_count, 0);
    cluster_run(cluster, 80 * MS);
    put(cluster, 2, 2);
    EXPECT_EQUAL(cluster->status, REPLY_OK);
    EXPECT_EQUAL(leader_of(cluster), leader);
    EXPECT_EQUAL(cluster->replies, before + 2);
    cluster_free(cluster);
}

/* Else no change would ever begin while it leads. */
TEST(whose_change_came_with_a_checkpoint_learns_that_it_is_done)
{
    uint32_t follower;
    struct cluster *cluster = cluster_with_checkpoint(&follower);
    const struct member_operation set = { .id = follower + 1, .kind = MEMBER_SET_PRIORITY, .priority = 1 };
    const struct request request = {
        .request_id = 100,
        .kind = REQUEST_MEMBERS,
        .value = { .bytes = (const uint8_t *)&set, .count = sizeof set },
    };
    const uint64_t before = cluster->replies;
    const uint32_t leader = skip(cluster, &request);
    EXPECT_EQUAL(cluster->replies, before + 1);
    EXPECT_EQUAL(cluster->status, REPLY_OK);
    node_request(node_at(cluster, leader), 7, &request);
    cluster_run(cluster, 5 * MS);
    EXPECT_EQUAL(cluster->replies, before + 2);
    EXPECT_EQUAL(cluster->status, REPLY_OK);
    cluster_free(cluster);
}

TEST_MAIN()

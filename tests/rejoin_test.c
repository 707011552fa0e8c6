/* A node loses its disk and comes back with an empty one (rejoin.h): what it asks, what it keeps silent about until it
 * knows, who refuses whom, and what happens when too much is lost. Three nodes on disks of memory (nodes.h); what the
 * simulator finds by chance is here by design. */
#include "../core/wal_format.h"

#include "nodes.h"

enum { KEYS = 5 };

struct scene {
    struct cluster *cluster;
    uint32_t leader;
    uint32_t victim;
    uint8_t *old_image; /* of the victim's device 0 */
    uint8_t *old_data;
};

static uint64_t rejoin_instance(uint64_t number) { return INSTANCE_REJOIN | number; }

/* The victim has acknowledged everything, and is down. */
static struct scene scene_begin(uint32_t writes)
{
    struct scene scene = { .cluster = cluster_new(&limits_tiny, 7) };
    scene.leader = elected(scene.cluster);
    scene.victim = (scene.leader + 1) % NODES;
    for (uint32_t i = 0; i < writes; i++)
        put(scene.cluster, i % KEYS, (uint8_t)(i + 1));
    cluster_run(scene.cluster, 50 * MS);
    struct node *node = node_at(scene.cluster, scene.victim);
    scene.old_image = malloc(node->image_bytes);
    scene.old_data = malloc(node->data_bytes);
    EXPECT(scene.old_image != NULL && scene.old_data != NULL);
    memcpy(scene.old_image, node->image, node->image_bytes);
    memcpy(scene.old_data, node->data, node->data_bytes);
    node_crash(node);
    return scene;
}

static void scene_end(struct scene *scene)
{
    free(scene->old_image);
    free(scene->old_data);
    cluster_free(scene->cluster);
}

static void format(struct node *node, uint64_t instance)
{
    const struct configuration voters = node_voters(NODES);
    node_format(node, &voters, instance);
}

static void lose_disk(struct scene *scene, uint32_t slot, uint64_t number)
{
    struct node *node = node_at(scene->cluster, slot);
    if (node->replica != NULL)
        node_crash(node);
    format(node, rejoin_instance(number));
    start(scene->cluster, slot);
}

static struct replica_view view_at(const struct scene *scene, uint32_t slot)
{
    return node_view(node_at(scene->cluster, slot));
}

static uint64_t known_instance(const struct scene *scene, uint32_t slot, uint32_t of)
{
    const struct directory *directories = replica_at(scene->cluster, slot)->superblock.durable.directories;
    for (uint32_t at = 0; at < DIRECTORIES_MAX; at++)
        if (directories[at].node_id == of + 1)
            return directories[at].instance;
    return 0;
}

static uint64_t event_count(const struct scene *scene, uint32_t slot, enum event_kind kind)
{
    return scene->cluster->events[slot][kind];
}

static void expect_whole_and_equal(const struct scene *scene)
{
    const struct replica_view leader = view_at(scene, leader_of(scene->cluster));
    for (uint32_t slot = 0; slot < NODES; slot++) {
        EXPECT_EQUAL(view_at(scene, slot).rejoin, REJOIN_WHOLE);
        EXPECT_EQUAL(view_at(scene, slot).durable_flags & (STORED_ABSTAIN | STORED_REJOIN), 0);
        EXPECT_EQUAL(view_at(scene, slot).applied, leader.applied);
        EXPECT_EQUAL(view_at(scene, slot).state_digest, leader.state_digest);
    }
}

/* Frames of the victim that are no questions. */
static uint32_t victim_slot;
static uint32_t victim_promises;
static bool count_promises(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes, uint32_t count)
{
    struct frame_header header;
    (void)cluster;
    (void)to;
    (void)count;
    memcpy(&header, bytes, sizeof header);
    if (from == victim_slot && header.type != FRAME_REJOIN_REQUEST)
        victim_promises++;
    return true;
}

TEST(a_node_that_lost_its_disk_becomes_a_voter_again)
{
    struct scene scene = scene_begin(12);
    const uint64_t term = view_at(&scene, scene.leader).term;
    lose_disk(&scene, scene.victim, 1);
    cluster_run(scene.cluster, 200 * MS);
    EXPECT_EQUAL(event_count(&scene, scene.victim, EVENT_REJOIN), 1);
    EXPECT_EQUAL(event_count(&scene, scene.victim, EVENT_REJOIN_KNOWN), 1);
    EXPECT_EQUAL(event_count(&scene, scene.victim, EVENT_REJOINED), 1);
    EXPECT_EQUAL(event_count(&scene, scene.leader, EVENT_REPLACED), 1);
    EXPECT_EQUAL(view_at(&scene, scene.leader).term, term); /* nobody was disturbed */
    EXPECT_EQUAL(view_at(&scene, scene.victim).vote, VOTE_UNKNOWN);
    expect_whole_and_equal(&scene);
    /* The other follower goes: with the node that rejoined there is a majority, and it may lead. */
    scene.cluster->cut[scene.leader] = true;
    cluster_run(scene.cluster, 50 * MS);
    put(scene.cluster, 0, 77);
    EXPECT(leader_of(scene.cluster) != scene.leader);
    scene_end(&scene);
}

static bool lose_requests_to_victim(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes, uint32_t count)
{
    struct frame_header header;
    (void)cluster;
    (void)from;
    (void)count;
    memcpy(&header, bytes, sizeof header);
    return to != victim_slot || header.type != FRAME_APPEND_REQUEST;
}

/* Mutant C29. What the leader had arrives with one request, and whoever sent that is gone before the next one. */
TEST(it_is_whole_when_its_disk_is_and_not_when_the_next_request_arrives)
{
    struct scene scene = scene_begin(3);
    struct node *node = node_at(scene.cluster, scene.victim);
    const struct replica *leads = replica_at(scene.cluster, scene.leader);
    victim_slot = scene.victim;
    scene.cluster->hook = lose_requests_to_victim;
    lose_disk(&scene, scene.victim, 1);
    cluster_run(scene.cluster, 100 * MS);
    EXPECT_EQUAL(view_at(&scene, scene.victim).rejoin, REJOIN_CATCHING_UP);
    EXPECT_EQUAL(leads->log.base.index, 0);
    uint8_t entries[NODE_FRAME_BYTES_MAX / 2];
    struct message all = {
        .type = FRAME_APPEND_REQUEST,
        .from = scene.leader + 1,
        .to = scene.victim + 1,
        .instance = 1000 + scene.leader + 1,
        .term = view_at(&scene, scene.leader).term,
        .append_request = { .last = leads->log.last.index, .echo = node->replica->abstain_nonce },
    };
    struct append_request *request = &all.append_request;
    for (uint64_t index = 1; index <= request->last; index++) {
        const struct slice entry = log_entry_bytes(leads, index);
        EXPECT(request->entries.count + entry.count <= sizeof entries);
        memcpy(entries + request->entries.count, entry.bytes, entry.count);
        request->entries.count += entry.count;
        request->entry_count++;
    }
    request->entries.bytes = entries;
    node_message(node, &all);
    EXPECT_EQUAL(node_view(node).rejoin, REJOIN_CATCHING_UP);
    EXPECT(node->op_count > 0);
    node_settle(node);
    EXPECT_EQUAL(node_view(node).rejoin, REJOIN_WHOLE);
    EXPECT_EQUAL(node_view(node).durable_flags & (STORED_ABSTAIN | STORED_REJOIN), 0);
    /* So it may elect the third one. */
    node_crash(node_at(scene.cluster, scene.leader));
    scene.cluster->hook = NULL;
    cluster_run(scene.cluster, 500 * MS);
    EXPECT(leader_of(scene.cluster) < NODES);
    scene_end(&scene);
}

TEST(it_gets_the_checkpoint_when_the_log_no_longer_reaches_back)
{
    struct scene scene = scene_begin(4);
    node_start(node_at(scene.cluster, scene.victim));
    write_until_checkpoint(scene.cluster, KEYS);
    write_until_checkpoint(scene.cluster, KEYS);
    const uint32_t leader = elected(scene.cluster);
    scene.victim = (leader + 1) % NODES;
    EXPECT(view_at(&scene, leader).base.index > 0);
    lose_disk(&scene, scene.victim, 1);
    cluster_run(scene.cluster, 2000 * MS);
    EXPECT(event_count(&scene, scene.victim, EVENT_INSTALL_DONE) >= 1);
    expect_whole_and_equal(&scene);
    scene_end(&scene);
}

TEST(it_says_nothing_before_both_others_have_answered)
{
    struct scene scene = scene_begin(12);
    const uint32_t third = NODES - scene.leader - scene.victim;
    victim_slot = scene.victim;
    victim_promises = 0;
    scene.cluster->hook = count_promises;
    node_crash(node_at(scene.cluster, third));
    lose_disk(&scene, scene.victim, 1);
    cluster_run(scene.cluster, 1000 * MS);
    EXPECT_EQUAL(view_at(&scene, scene.victim).rejoin, REJOIN_ASKING);
    EXPECT_EQUAL(view_at(&scene, scene.victim).rejoin_answers, 1);
    EXPECT_EQUAL(view_at(&scene, scene.victim).rejoin_answers_needed, 2);
    EXPECT_EQUAL(view_at(&scene, scene.victim).term, 0);
    EXPECT_EQUAL(victim_promises, 0);
    EXPECT_EQUAL(leader_of(scene.cluster), NODES); /* the leader had nobody left, and knows it */
    start(scene.cluster, third);
    cluster_run(scene.cluster, 1000 * MS);
    expect_whole_and_equal(&scene);
    EXPECT(victim_promises > 0);
    scene_end(&scene);
}

TEST(it_goes_on_asking_after_a_restart_and_is_whole_only_once)
{
    struct scene scene = scene_begin(12);
    const uint32_t third = NODES - scene.leader - scene.victim;
    node_crash(node_at(scene.cluster, third));
    lose_disk(&scene, scene.victim, 1);
    cluster_run(scene.cluster, 100 * MS);
    node_crash(node_at(scene.cluster, scene.victim));
    start(scene.cluster, scene.victim);
    start(scene.cluster, third);
    cluster_run(scene.cluster, 1000 * MS);
    expect_whole_and_equal(&scene);
    node_crash(node_at(scene.cluster, scene.victim));
    start(scene.cluster, scene.victim);
    cluster_run(scene.cluster, 200 * MS);
    EXPECT_EQUAL(event_count(&scene, scene.victim, EVENT_REJOIN), 0);
    expect_whole_and_equal(&scene);
    scene_end(&scene);
}

TEST(the_highest_term_of_the_answers_counts)
{
    struct scene scene = scene_begin(3);
    struct node *node = node_at(scene.cluster, scene.victim);
    const uint64_t instance = rejoin_instance(1);
    static const uint64_t terms[NODES] = { 40, 70, 55 };
    const struct configuration voters = node_voters(NODES);
    uint8_t members[sizeof voters.members];
    configuration_encode(&voters, members);
    scene.cluster->cut[scene.victim] = true;
    lose_disk(&scene, scene.victim, 1);
    node_settle(node);
    for (uint32_t slot = 0; slot < NODES; slot++) {
        if (slot == scene.victim)
            continue;
        struct message answer = {
            .type = FRAME_REJOIN_RESPONSE, .from = slot + 1, .to = scene.victim + 1, .instance = 1000 + slot + 1
        };
        answer.term = terms[slot];
        answer.rejoin_response.members = (struct slice){ .bytes = members, .count = configuration_bytes(&voters) };
        answer.rejoin_response.instance = instance + 1; /* to another directory of this node: older than its end */
        node_message(node, &answer);
        EXPECT_EQUAL(node_view(node).term, 0);
        answer.rejoin_response.instance = instance;
        node_message(node, &answer);
        node_message(node, &answer); /* twice the same one is one answer */
    }
    uint64_t highest = 0;
    for (uint32_t slot = 0; slot < NODES; slot++)
        highest = u64_max(highest, slot == scene.victim ? 0 : terms[slot]);
    EXPECT_EQUAL(node_view(node).term, highest);
    EXPECT_EQUAL(node_view(node).vote, VOTE_UNKNOWN);
    EXPECT_EQUAL(node_view(node).rejoin, REJOIN_ASKING); /* its disk does not know yet */
    node_settle(node);
    EXPECT_EQUAL(node_view(node).rejoin, REJOIN_CATCHING_UP);
    scene_end(&scene);
}

TEST(an_empty_directory_that_does_not_rejoin_is_refused)
{
    struct scene scene = scene_begin(12);
    struct node *node = node_at(scene.cluster, scene.victim);
    format(node, 5000 + scene.victim);
    start(scene.cluster, scene.victim);
    cluster_run(scene.cluster, 400 * MS);
    EXPECT_EQUAL(node->stop, STOP_DUPLICATE_NODE);
    EXPECT_EQUAL(known_instance(&scene, scene.leader, scene.victim), 1000 + scene.victim + 1);
    scene_end(&scene);
}

static bool drop_between_victim_and_leader(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes,
                                           uint32_t count)
{
    (void)bytes;
    (void)count;
    const uint32_t leader = leader_of(cluster);
    return !((from == victim_slot && to == leader) || (from == leader && to == victim_slot));
}

/* A follower need not have heard of the directory that was lost, and listens to the empty one: before it has been
 * refused by the leader, which has. */
TEST(an_empty_directory_is_refused_though_another_follower_listens_to_it)
{
    struct scene scene = scene_begin(12);
    struct node *node = node_at(scene.cluster, scene.victim);
    struct replica *other = replica_at(scene.cluster, 3 - scene.leader - scene.victim);
    for (uint32_t at = 0; at < DIRECTORIES_MAX; at++)
        if (other->stored.directories[at].node_id == scene.victim + 1)
            other->stored.directories[at] = other->superblock.durable.directories[at] = (struct directory){ 0 };
    victim_slot = scene.victim;
    scene.cluster->hook = drop_between_victim_and_leader;
    format(node, 5000 + scene.victim);
    start(scene.cluster, scene.victim);
    cluster_run(scene.cluster, 400 * MS);
    EXPECT_EQUAL(node->stop, 0);
    EXPECT(node->replica->accepted);
    scene.cluster->hook = NULL;
    cluster_run(scene.cluster, 400 * MS);
    EXPECT_EQUAL(node->stop, STOP_DUPLICATE_NODE);
    scene_end(&scene);
}

/* Both directories are there: the one that was replaced is refused, whenever the others were last started. */
TEST(the_old_directory_is_refused_for_ever)
{
    struct scene scene = scene_begin(12);
    struct node *node = node_at(scene.cluster, scene.victim);
    lose_disk(&scene, scene.victim, 1);
    cluster_run(scene.cluster, 300 * MS);
    expect_whole_and_equal(&scene);
    node_crash(node);
    memcpy(node->image, scene.old_image, node->image_bytes);
    memcpy(node->data, scene.old_data, node->data_bytes);
    for (uint32_t slot = 0; slot < NODES; slot++) {
        if (slot != scene.victim)
            node_crash(node_at(scene.cluster, slot));
        start(scene.cluster, slot);
    }
    for (uint32_t slot = 0; slot < NODES; slot++)
        if (slot != scene.victim)
            scene.cluster->nodes[slot]->refused = FRAME_OK;
    /* It campaigns: a frame that anybody else would have to answer. */
    const struct message vote = {
        .type = FRAME_VOTE_REQUEST,
        .from = scene.victim + 1,
        .to = scene.leader + 1,
        .instance = 1000 + scene.victim + 1,
        .term = 90,
        .vote_request = { .last = { .term = 90, .index = 900 }, .term = 90 },
    };
    struct node *peer = node_at(scene.cluster, scene.leader);
    node_settle(peer);
    node_message(peer, &vote);
    EXPECT_EQUAL(peer->refused, FRAME_REPLACED_NODE);
    EXPECT(node_view(peer).term < 90);
    cluster_run(scene.cluster, 1000 * MS);
    EXPECT_EQUAL(node->stop, STOP_REPLACED_NODE);
    EXPECT(leader_of(scene.cluster) != scene.victim && leader_of(scene.cluster) < NODES);
    scene_end(&scene);
}

TEST(a_refusal_of_the_old_directory_does_not_end_the_new_one)
{
    struct scene scene = scene_begin(3);
    struct node *node = node_at(scene.cluster, scene.victim);
    lose_disk(&scene, scene.victim, 9);
    cluster_run(scene.cluster, 300 * MS);
    const struct message refusal = {
        .type = FRAME_REFUSAL,
        .from = scene.leader + 1,
        .to = scene.victim + 1,
        .instance = 1000 + scene.leader + 1,
        .refusal = { .reason = FRAME_REPLACED_NODE, .instance = 1000 + scene.victim + 1 },
    };
    node_message(node, &refusal);
    EXPECT_EQUAL(node->stop, 0);
    struct message mine = refusal;
    mine.refusal.instance = rejoin_instance(9);
    node_message(node, &mine);
    EXPECT_EQUAL(node->stop, STOP_REPLACED_NODE);
    scene_end(&scene);
}

TEST(of_two_directories_that_rejoin_the_younger_one_does)
{
    struct scene scene = scene_begin(12);
    lose_disk(&scene, scene.victim, 50);
    cluster_run(scene.cluster, 300 * MS);
    lose_disk(&scene, scene.victim, 60);
    cluster_run(scene.cluster, 300 * MS);
    expect_whole_and_equal(&scene);
    EXPECT_EQUAL(event_count(&scene, scene.leader, EVENT_REPLACED), 2);
    EXPECT_EQUAL(known_instance(&scene, scene.leader, scene.victim), rejoin_instance(60));
    lose_disk(&scene, scene.victim, 55);
    cluster_run(scene.cluster, 300 * MS);
    EXPECT_EQUAL(node_at(scene.cluster, scene.victim)->stop, STOP_REPLACED_NODE);
    EXPECT_EQUAL(known_instance(&scene, scene.leader, scene.victim), rejoin_instance(60));
    scene_end(&scene);
}

/* The others' disks must know the new directory before its questions are answered. */
TEST(no_answer_leaves_before_the_disk_knows_the_new_directory)
{
    struct scene scene = scene_begin(3);
    struct node *peer = node_at(scene.cluster, scene.leader);
    const struct message question = {
        .type = FRAME_REJOIN_REQUEST, .from = scene.victim + 1, .to = scene.leader + 1, .instance = rejoin_instance(3)
    };
    peer->sent_count = 0;
    node_message(peer, &question);
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++) {
        for (uint32_t i = 0; i < peer->sent_count; i++)
            EXPECT(((const struct frame_header *)(const void *)peer->sent[i].bytes)->type != FRAME_REJOIN_RESPONSE);
        EXPECT_EQUAL(peer->op_count, 1);
        node_complete(peer, 0, DISK_OK);
    }
    uint32_t answers = 0;
    for (uint32_t i = 0; i < peer->sent_count; i++) {
        struct message message;
        const struct frame_context context = node_context(peer);
        const struct slice frame = { .bytes = peer->sent[i].bytes, .count = peer->sent[i].count };
        EXPECT_EQUAL(message_decode(frame, &context, &message), FRAME_OK);
        if (message.type != FRAME_REJOIN_RESPONSE)
            continue;
        answers++;
        EXPECT_EQUAL(message.term, node_view(peer).term);
        EXPECT_EQUAL(message.rejoin_response.instance, rejoin_instance(3));
    }
    EXPECT_EQUAL(answers, 1);
    scene_end(&scene);
}

TEST(a_leader_forgets_what_the_lost_directory_confirmed)
{
    struct scene scene = scene_begin(12);
    struct node *peer = node_at(scene.cluster, scene.leader);
    EXPECT(node_view(peer).match[scene.victim] > 0);
    const struct message question = {
        .type = FRAME_REJOIN_REQUEST, .from = scene.victim + 1, .to = scene.leader + 1, .instance = rejoin_instance(3)
    };
    node_message(peer, &question);
    EXPECT_EQUAL(node_view(peer).role, RAFT_LEADER);
    EXPECT_EQUAL(node_view(peer).match[scene.victim], 0);
    scene_end(&scene);
}

/* The candidate gave no answer, has the old directory's vote, and hears of the new one with the next vote. */
TEST(a_vote_of_the_lost_directory_goes_when_another_voter_knows_better)
{
    enum { VOTERS = 5 };
    struct replica_config config = node_config(1);
    config.pre_vote = false;
    struct node *node = node_new(&limits_tiny, &config, node_voters(VOTERS));
    node_start(node);
    node_settle(node);
    node_tick(node, 2 * config.election_timeout_ns);
    node_settle(node);
    EXPECT_EQUAL(node_view(node).role, RAFT_CANDIDATE);
    struct message vote = { .type = FRAME_VOTE_RESPONSE, .to = 1, .term = node_view(node).term };
    vote.vote_response.term = vote.term;
    vote.vote_response.granted = true;
    vote.from = 2;
    vote.instance = 1002;
    node_message(node, &vote);
    EXPECT_EQUAL(node_view(node).votes, 3);
    vote.from = 3;
    vote.instance = 1003;
    vote.vote_response.directories[7] = (struct directory){ .node_id = 2, .instance = rejoin_instance(4) };
    node_message(node, &vote);
    EXPECT_EQUAL(node_view(node).votes, 5); /* its own, and the third node's */
    EXPECT_EQUAL(node_view(node).role, RAFT_CANDIDATE);
    vote.from = 2;
    vote.instance = 1002; /* once more, late */
    node_message(node, &vote);
    EXPECT_EQUAL(node->refused, FRAME_REPLACED_NODE);
    EXPECT_EQUAL(node_view(node).votes, 5);
    vote.from = 4;
    vote.instance = 1004;
    node_message(node, &vote);
    EXPECT_EQUAL(node_view(node).role, RAFT_LEADER);
    node_free(node);
}

TEST(when_a_majority_has_lost_its_disks_nobody_makes_anything_up)
{
    struct scene scene = scene_begin(12);
    const uint32_t third = NODES - scene.leader - scene.victim;
    const struct replica_view before = view_at(&scene, scene.leader);
    lose_disk(&scene, scene.victim, 1);
    lose_disk(&scene, third, 1);
    cluster_run(scene.cluster, 3000ULL * MS);
    for (uint32_t slot = 0; slot < NODES; slot++) {
        EXPECT(view_at(&scene, slot).role != RAFT_LEADER);
        EXPECT_EQUAL(view_at(&scene, slot).rejoin, slot == scene.leader ? REJOIN_WHOLE : REJOIN_ASKING);
        EXPECT_EQUAL(view_at(&scene, slot).rejoin_answers, slot == scene.leader ? 0 : 1);
    }
    EXPECT_EQUAL(view_at(&scene, scene.leader).applied, before.applied);
    EXPECT_EQUAL(view_at(&scene, scene.leader).state_digest, before.state_digest);
    scene_end(&scene);
}

/* Wherever it happens, whoever it is, with frames lost: in the end it is whole, and nothing is lost. */
static bool lose_some(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes, uint32_t count)
{
    (void)from;
    (void)to;
    (void)bytes;
    (void)count;
    cluster->lost = cluster->lost * 6364136223846793005ULL + 1442695040888963407ULL;
    return (cluster->lost >> 33) % 5 != 0;
}

TEST(it_rejoins_from_any_moment_of_its_life)
{
    for (uint32_t writes = 1; writes < 60; writes += 7) {
        struct scene scene = scene_begin(writes);
        scene.cluster->hook = lose_some;
        for (uint64_t number = 1; number <= 3; number++) {
            const uint32_t slot = (uint32_t)(writes + number) % NODES;
            if (node_at(scene.cluster, scene.victim)->replica == NULL && slot != scene.victim)
                start(scene.cluster, scene.victim);
            cluster_run(scene.cluster, 200 * MS);
            lose_disk(&scene, slot, number);
            cluster_run(scene.cluster, 2500ULL * MS);
            EXPECT_EQUAL(view_at(&scene, slot).rejoin, REJOIN_WHOLE);
            put(scene.cluster, (uint32_t)number % KEYS, (uint8_t)(writes + number));
        }
        scene.cluster->hook = NULL;
        cluster_run(scene.cluster, 1000 * MS);
        elected(scene.cluster);
        expect_whole_and_equal(&scene);
        scene_end(&scene);
    }
}

TEST_MAIN()

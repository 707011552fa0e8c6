/* Who is told that it is no member any more (Raft 4.2.3), by whom, and when it is not to believe that. */
#include "members_rig.h"

TEST(who_was_removed_unheard_is_told_and_does_not_disrupt)
{
    struct cluster *cluster = cluster_ready(FIRST);
    const uint32_t leader = elected(cluster);
    const uint32_t gone = (leader + 1) % 3;
    cluster->cut[gone] = true;
    cluster_run(cluster, 200 * MS);
    EXPECT_EQUAL(change_one(cluster, MEMBER_REMOVE, gone + 1), REPLY_OK);
    const uint64_t term = node_view(cluster->nodes[elected(cluster)]).term;
    cluster->cut[gone] = false;
    cluster_run(cluster, 1000 * MS);
    EXPECT_EQUAL(cluster->nodes[gone]->stop, STOP_REMOVED);
    EXPECT_EQUAL(node_view(cluster->nodes[elected(cluster)]).term, term);
    put(cluster, 2, 2);
    cluster_free(cluster);
}

/* It never campaigns, and nobody sends to it any more. */
TEST(a_learner_that_was_removed_unheard_is_told)
{
    struct cluster *cluster = cluster_ready(FIRST | 8);
    EXPECT_EQUAL(change_one(cluster, MEMBER_ADD_LEARNER, 4), REPLY_OK);
    cluster_run(cluster, 100 * MS);
    node_crash(cluster->nodes[3]);
    EXPECT_EQUAL(change_one(cluster, MEMBER_REMOVE, 4), REPLY_OK);
    const uint64_t term = node_view(cluster->nodes[elected(cluster)]).term;
    start(cluster, 3);
    cluster_run(cluster, 1000 * MS);
    EXPECT_EQUAL(cluster->nodes[3]->stop, STOP_REMOVED);
    EXPECT_EQUAL(node_view(cluster->nodes[elected(cluster)]).term, term);
    cluster_free(cluster);
}

static uint32_t lost_to; /* bit per node: gets no entries */

static bool lose_entries(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes, uint32_t count)
{
    struct message message;
    const struct frame_context context = node_context(cluster->nodes[from]);
    if (message_decode((struct slice){ .bytes = bytes, .count = count }, &context, &message) != FRAME_OK)
        return true;
    return (lost_to >> to & 1) == 0 || message.type != FRAME_APPEND_REQUEST || message.append_request.entry_count == 0;
}

/* The one that was to join is all that has the entry that says so, behind all that the others ever commit meanwhile. */
TEST(who_was_added_by_an_entry_that_is_void_is_told)
{
    struct cluster *cluster = cluster_ready(FIRST | 8);
    const uint32_t leader = elected(cluster);
    const struct member_operation add = operation(MEMBER_ADD_LEARNER, 4);
    cluster->hook = lose_entries;
    lost_to = FIRST & ~(1u << leader);
    replica_at(cluster, leader)->marker_asked = true; /* an entry more than the next leader will have */
    cluster_run(cluster, 20 * MS);
    send_change(cluster, leader, &add, 1, 0);
    cluster_run(cluster, 50 * MS);
    EXPECT_EQUAL(ids_with(configuration_at(cluster, 3), MEMBER_LEARNER), IDS(4));
    node_crash(cluster->nodes[leader]);
    cluster->hook = NULL;
    cluster_run(cluster, 2000 * MS);
    EXPECT(node_view(cluster->nodes[elected(cluster)]).commit < configuration_at(cluster, 3)->id.index);
    EXPECT_EQUAL(cluster->nodes[3]->stop, STOP_REMOVED);
    cluster_free(cluster);
}

static struct node_frame late; /* the last answer to node 4 that it is no member any more; count 0: none yet */
static bool offers_only;       /* node 4 gets no page of a checkpoint */

static bool keep_refusals(struct cluster *cluster, uint32_t from, uint32_t to, uint8_t *bytes, uint32_t count)
{
    struct message message;
    const struct frame_context context = node_context(cluster->nodes[from]);
    if (to != 3 || message_decode((struct slice){ .bytes = bytes, .count = count }, &context, &message) != FRAME_OK)
        return true;
    if (message.type == FRAME_REFUSAL) {
        late.count = count;
        memcpy(late.bytes, bytes, count);
        return false;
    }
    return message.type != FRAME_CHECKPOINT_RESPONSE || !offers_only
           || message.checkpoint_response.ask == CHECKPOINT_ASK_OFFER;
}

/* Node 4 was removed unheard. The answer that says so is late: it has been added again, and gets a checkpoint. */
static struct cluster *cluster_with_a_late_refusal(void)
{
    struct cluster *cluster = cluster_ready(FIRST | 8);
    EXPECT_EQUAL(change_one(cluster, MEMBER_ADD_LEARNER, 4), REPLY_OK);
    expect_members(cluster, IDS(1, 2, 3, 4), IDS(1, 2, 3), IDS(4));
    cluster->cut[3] = true;
    EXPECT_EQUAL(change_one(cluster, MEMBER_REMOVE, 4), REPLY_OK);
    cluster->hook = keep_refusals;
    cluster->cut[3] = false;
    late.count = 0;
    for (uint32_t waited = 0; waited < 1000 && late.count == 0; waited++)
        cluster_run(cluster, 1 * MS);
    EXPECT(late.count > 0);
    cluster->cut[3] = true;
    for (int i = 0; i < 4; i++)
        write_until_checkpoint(cluster, 6);
    EXPECT(replica_at(cluster, elected(cluster))->log.base.index > node_view(node_at(cluster, 3)).last.index);
    EXPECT_EQUAL(change_one(cluster, MEMBER_ADD_LEARNER, 4), REPLY_OK);
    cluster->cut[3] = false;
    return cluster;
}

/* It comes when the leader has not been heard for a while, and says nothing: who is a member goes on. */
static void deliver_late_refusal(struct cluster *cluster)
{
    EXPECT_EQUAL(replica_at(cluster, 3)->leader, 0);
    EXPECT(replica_at(cluster, 3)->superblock.durable.members.latest.id.index < node_view(node_at(cluster, 0)).commit);
    node_peer_frame(node_at(cluster, 3), (struct slice){ .bytes = late.bytes, .count = late.count });
    EXPECT_EQUAL(node_at(cluster, 3)->stop, 0);
    cluster->hook = NULL;
    cluster->cut[3] = false;
    cluster_run(cluster, 500 * MS);
    expect_members(cluster, IDS(1, 2, 3, 4), IDS(1, 2, 3), IDS(4));
    cluster_free(cluster);
}

TEST(a_late_refusal_is_not_believed_by_who_has_a_later_checkpoint)
{
    offers_only = false;
    struct cluster *cluster = cluster_with_a_late_refusal();
    const struct stored *durable = &replica_at(cluster, 3)->superblock.durable;
    for (uint64_t steps = 0; steps < 100000 && (durable->flags & STORED_STRANGER) == 0; steps++)
        cluster_one_step(cluster, steps);
    EXPECT((durable->flags & STORED_STRANGER) != 0);
    cluster->cut[3] = true;
    node_crash(node_at(cluster, 3));
    start(cluster, 3);
    while (node_view(node_at(cluster, 3)).role == RAFT_STARTING)
        node_complete(node_at(cluster, 3), 0, DISK_OK);
    EXPECT(!store_is_ready(replica_at(cluster, 3)));
    deliver_late_refusal(cluster);
}

TEST(a_late_refusal_is_not_believed_by_who_was_offered_a_later_checkpoint)
{
    offers_only = true;
    struct cluster *cluster = cluster_with_a_late_refusal();
    cluster_run(cluster, 50 * MS);
    EXPECT(replica_at(cluster, 3)->install.target.id.index > 0);
    cluster->cut[3] = true;
    cluster_run(cluster, 500 * MS);
    deliver_late_refusal(cluster);
}

TEST_MAIN()

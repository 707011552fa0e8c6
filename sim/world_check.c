/* What the world itself checks after a step: all that takes its clocks, its disks, or the input. */
#include "world_check.h"

#include "../core/inspect.h"

/* WB-lease at the voter (Raft 6.4.1): who keeps to a leader until a moment of that one's clock votes for nobody before,
 * itself included, whatever life of it has promised that. */
static void world_check_vote(struct world *world, const struct node *voter, uint64_t candidate, uint64_t term)
{
    struct scene *scene = &world->scene;
    uint32_t leader = voter->slot;
    const uint64_t kept_ns = check_keeps(scene->check, voter->slot, candidate, term, &leader);
    if (kept_ns == 0 || leader == voter->slot || world->nodes[leader].state != NODE_UP)
        return;
    check_count(scene->check, CHECK_PROMISE_LEASE);
    const uint64_t clock_ns = clock_read(&world->nodes[leader].clock, scene->now_ns);
    if (kept_ns > clock_ns)
        check_fail(scene->check, CHECK_PROMISE_LEASE, voter->slot,
                   "votes in term %llu, and keeps to node slot %u for another %llu ns", (unsigned long long)term,
                   leader, (unsigned long long)(kept_ns - clock_ns));
}

void world_check_send(struct world *world, const struct node *node, struct slice frame)
{
    const struct scene *scene = &world->scene;
    struct frame_header header;
    struct message message;
    if (scene->swarm.configs[0].lease_drift_ppm == 0 || frame.count < sizeof header)
        return;
    memcpy(&header, frame.bytes, sizeof header);
    if (header.type != FRAME_VOTE_RESPONSE)
        return;
    const struct frame_context context = scene_frame_context(scene);
    if (message_decode(frame, &context, &message) == FRAME_OK && message.vote_response.granted
        && !message.vote_response.pre)
        world_check_vote(world, node, message.to, message.vote_response.term);
}

/* WB-lease (Raft 6.4.1): a leader that trusts its lease answers without asking whether somebody else leads by now. */
void world_check_lease(struct world *world, const struct node *elected)
{
    struct scene *scene = &world->scene;
    struct replica_view winner;
    if (scene->swarm.configs[0].lease_drift_ppm == 0)
        return;
    replica_inspect(elected->replica, &winner);
    world_check_vote(world, elected, winner.node_id, winner.term);
    for (uint32_t slot = 0; slot < scene->swarm.node_count; slot++) {
        const struct node *node = &world->nodes[slot];
        struct replica_view view;
        if (node == elected || node->state != NODE_UP || node->role != RAFT_LEADER)
            continue;
        replica_inspect(node->replica, &view);
        if (view.term >= winner.term)
            continue; /* votes of long ago, for a term that is over */
        check_count(scene->check, CHECK_LEASE);
        const uint64_t clock_ns = clock_read(&node->clock, scene->now_ns);
        if (view.lease_end_ns > clock_ns)
            check_fail(scene->check, CHECK_LEASE, elected->slot,
                       "is elected, and the lease of node slot %u in term %llu lasts for another %llu ns", slot,
                       (unsigned long long)view.term, (unsigned long long)(view.lease_end_ns - clock_ns));
    }
}

/* A failed write must end the node (storage design 2.8: never retried). */
void world_check_write_failure(struct world *world, const struct node *node, const struct input *input)
{
    if (input->kind != INPUT_DISK || !node->disk.write_failed)
        return;
    const struct output *output = &world->output;
    const bool stops = output->effect_count > 0 && output->effects[output->effect_count - 1].kind == EFFECT_STOP;
    check_count(world->scene.check, CHECK_STOP);
    if (!stops)
        check_fail(world->scene.check, CHECK_STOP, node->slot, "a write failed and the node goes on");
}

/* The scrub writes again what the disk has forgotten, and nothing else; memory forgets nothing here. A superblock is
 * written again by recovery, too, after any crash: before the node speaks. */
void world_check_scrub(struct world *world, const struct node *node)
{
    const struct output *output = &world->output;
    const struct limits *limits = &world->scene.swarm.limits;
    for (uint32_t i = 0; i < u32_min(output->event_count, output->event_max); i++) {
        const struct event *event = &output->events[i];
        bool suspect = false;
        if (event->kind == EVENT_SCRUB_MENDED)
            suspect = disk_block_is_suspect(&node->disk, (uint32_t)event->a, event->b);
        else if (event->kind == EVENT_SUPERBLOCK_REPAIR && node->role != RAFT_STARTING)
            for (uint64_t offset = 0; offset < wal_header_offset(limits); offset += limits->block_bytes)
                suspect |= disk_block_is_suspect(&node->disk, DEVICE_WAL, offset);
        else if (event->kind != EVENT_MEMORY_MENDED)
            continue;
        check_count(world->scene.check, CHECK_SCRUB);
        if (!suspect)
            check_fail(world->scene.check, CHECK_SCRUB, node->slot, "mends %s, where nothing was ever damaged",
                       event->kind == EVENT_SCRUB_MENDED        ? "a block"
                       : event->kind == EVENT_SUPERBLOCK_REPAIR ? "a superblock"
                                                                : "memory");
    }
}

/* Is there a time after which it is not to be executed? */
static bool world_has_budget(struct slice request)
{
    struct frame_header header;
    if (request.count < sizeof header)
        return false;
    memcpy(&header, request.bytes, sizeof header);
    return header.term != 0;
}

/* A request that has waited in its node for longer than it may is turned away as late: a correct client takes that for
 * "not executed". Any other is not. */
void world_check_deadline(struct world *world, const struct node *node, const struct input *input)
{
    struct scene *scene = &world->scene;
    const struct output *output = &world->output;
    if (!world_has_budget(input->bytes))
        return;
    const struct frame_context context = scene_frame_context(scene);
    enum reply_status status = REPLY_OK;
    struct request request;
    struct reply reply;
    if (request_decode(input->bytes, &context, &scene->swarm.limits, &request, &status) != FRAME_OK
        || status != REPLY_OK || request.budget_ns == 0)
        return;
    const bool waited = input->arrived_ns != 0 && node->shown_ns > input->arrived_ns;
    const bool late = waited && node->shown_ns - input->arrived_ns >= request.budget_ns;
    bool refused = false;
    for (uint32_t i = 0; i < output->effect_count; i++) {
        const struct effect *effect = &output->effects[i];
        if (effect->kind == EFFECT_REPLY && effect->target == input->client
            && reply_decode(effect->bytes, scene->swarm.limits.frame_bytes_max, &reply) == FRAME_OK
            && reply.request_id == request.request_id)
            refused |= reply.status == REPLY_LATE;
    }
    check_count(scene->check, CHECK_DEADLINE);
    if (refused != late)
        check_fail(scene->check, CHECK_DEADLINE, node->slot, "a request of %llu ns that has waited %llu was %s as late",
                   (unsigned long long)request.budget_ns,
                   (unsigned long long)(waited ? node->shown_ns - input->arrived_ns : 0),
                   refused ? "turned away" : "not turned away");
}

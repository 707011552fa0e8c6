/* Copies of nodes, and how they may differ from what they were copied from. */
#include "shadow.h"

#include "world.h"

enum { SHADOW_EVERY = 8 };

void shadow_before(struct world *world, const struct node *node, const struct input *input)
{
    struct shadow *shadow = &world->shadow;
    const struct limits *limits = &world->scene.swarm.limits;
    ASSERT(node->state == NODE_UP);
    shadow->starting = node->role == RAFT_STARTING;
    shadow->taken = shadow->frames++ % SHADOW_EVERY == 0;
    if (!shadow->taken)
        return;
    memcpy(shadow->region, node->region, replica_bytes(limits));
    const struct input tick = {
        .kind = INPUT_TICK,
        .more = input->more,
        .now_ns = clock_read(&node->clock, world->scene.now_ns),
    };
    replica_step(shadow->region, &tick, &shadow->output);
}

static bool shadow_same_effect(const struct effect *a, const struct effect *b)
{
    return a->kind == b->kind && a->target == b->target && a->op_id == b->op_id && a->offset == b->offset
           && a->bytes.count == b->bytes.count
           && (a->kind == EFFECT_READ || a->kind == EFFECT_RELEASE || a->bytes.count == 0
               || memcmp(a->bytes.bytes, b->bytes.bytes, a->bytes.count) == 0);
}

/* The refusals aside, the node did what its shadow did. */
static bool shadow_same_effects(const struct output *output, const struct output *shadow)
{
    uint32_t next = 0;
    for (uint32_t i = 0; i < output->effect_count; i++) {
        if (output->effects[i].kind == EFFECT_REFUSE)
            continue;
        if (next == shadow->effect_count || !shadow_same_effect(&output->effects[i], &shadow->effects[next]))
            return false;
        next++;
    }
    return next == shadow->effect_count;
}

void shadow_after(struct world *world, const struct node *node, const struct input *input)
{
    struct shadow *shadow = &world->shadow;
    struct check *check = world->scene.check;
    const struct output *output = &world->output;
    struct frame_header header = { .type = 0 };
    uint32_t refusals = 0;
    for (uint32_t i = 0; i < output->effect_count; i++)
        refusals += output->effects[i].kind == EFFECT_REFUSE;
    /* Released memory means nothing, and the world has overwritten it already. */
    bool released = false;
    for (uint32_t i = 0; i < output->effect_count; i++)
        released = released || output->effects[i].kind == EFFECT_RELEASE;
    if (input->bytes.count >= sizeof header)
        memcpy(&header, input->bytes.bytes, sizeof header);
    /* A node that recovers listens to no peer, and nobody answers a refusal. */
    const bool silent = (shadow->starting && input->kind == INPUT_PEER_FRAME) || header.type == FRAME_REFUSAL;
    check_count(check, CHECK_FRAME);
    if (refusals != 1 && !(silent && refusals == 0))
        check_fail(check, CHECK_FRAME, node->slot, "a damaged frame of %u bytes was refused %u times",
                   input->bytes.count, refusals);
    /* The refusal takes room; what no longer fits then comes a step later. */
    if (!shadow->taken || shadow->output.effect_count > shadow->output.effect_max / 2)
        return;
    if (!released && memcmp(node->region, shadow->region, replica_bytes(&world->scene.swarm.limits)) != 0)
        check_fail(check, CHECK_FRAME, node->slot, "a damaged frame changed more than a tick would have");
    else if (!shadow_same_effects(output, &shadow->output))
        check_fail(check, CHECK_FRAME, node->slot, "a damaged frame made the node do what a tick would not have");
}

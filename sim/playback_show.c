/* A playback as observers see it: one node of a cluster, of which the others are known by their frames only. */
#include "playback.h"

#include <string.h>

/* The recorded node is n0, the other members follow it. */
void playback_show_begin(struct playback_show *show, const struct recording_header *header)
{
    struct swarm *swarm = &show->swarm;
    swarm->seed = header->config.seed;
    swarm->limits = header->limits;
    swarm->node_count = 1;
    swarm->configs[0] = header->config;
    for (uint32_t slot = 0; slot < MEMBERS_MAX && swarm->node_count < VOTERS_MAX; slot++) {
        if (header->members[slot] == 0 || header->members[slot] == header->config.node_id)
            continue;
        swarm->configs[swarm->node_count] = header->config;
        swarm->configs[swarm->node_count++].node_id = header->members[slot];
    }
    swarm->member_count = swarm->node_count;
    swarm->client_count = CLIENTS_MAX;
    if (show->observer == NULL)
        return;
    show->observer->see(show->observer,
                        &(struct observed){ .kind = OBSERVED_BEGIN, .who = ENDPOINTS, .begin = { .swarm = swarm } });
    show->observer->see(show->observer, &(struct observed){ .kind = OBSERVED_START, .life = ++show->life });
}

static void tell(const struct playback_show *show, struct observed observed)
{
    observed.time_ns = show->time_ns;
    observed.step = show->step;
    show->observer->see(show->observer, &observed);
}

void playback_show_gap(struct playback_show *show)
{
    if (show->observer == NULL)
        return;
    memset(show->operations, 0, sizeof show->operations);
    tell(show, (struct observed){ .kind = OBSERVED_CRASH });
    tell(show, (struct observed){ .kind = OBSERVED_START, .life = ++show->life });
}

static uint32_t node_endpoint(const struct playback_show *show, uint64_t node_id)
{
    for (uint32_t slot = 0; slot < show->swarm.node_count; slot++)
        if (show->swarm.configs[slot].node_id == node_id)
            return slot;
    return ENDPOINTS;
}

/* A node has more clients than there are endpoints: who was silent for longest makes room. */
static uint32_t client_endpoint(struct playback_show *show, uint64_t client)
{
    uint32_t oldest = 0;
    for (uint32_t slot = 0; slot < CLIENT_SLOTS; slot++) {
        if (show->client_used[slot] != 0 && show->clients[slot] == client) {
            show->client_used[slot] = show->step;
            return ENDPOINT_CLIENT + slot;
        }
        if (show->client_used[slot] < show->client_used[oldest])
            oldest = slot;
    }
    show->clients[oldest] = client;
    show->client_used[oldest] = show->step;
    return ENDPOINT_CLIENT + oldest;
}

static uint32_t input_endpoint(struct playback_show *show, const struct input *input)
{
    struct frame_header header;
    if (input->kind == INPUT_CLIENT_FRAME)
        return client_endpoint(show, input->client);
    if (input->kind != INPUT_PEER_FRAME || input->bytes.count < sizeof header)
        return ENDPOINTS;
    memcpy(&header, input->bytes.bytes, sizeof header);
    return node_endpoint(show, header.from);
}

/* How long a frame was on its way is not recorded: it is told as if it took no time. */
static void show_frame(const struct playback_show *show, uint32_t from, uint32_t to, struct slice frame)
{
    tell(show, (struct observed){ .kind = OBSERVED_SEND,
                                  .who = from,
                                  .send = { .to = to, .fate = FATE_SENT, .frame = frame, .at_ns = show->time_ns } });
    tell(show, (struct observed){ .kind = OBSERVED_ARRIVE, .who = to, .arrive = { .taken = true } });
}

/* Operations that were under way when reading began have no slot, and are not told. */
static void show_disk_begin(struct playback_show *show, const struct effect *effect)
{
    for (uint32_t slot = 0; slot < PLAYBACK_OPERATIONS_MAX; slot++) {
        struct observed *operation = &show->operations[slot];
        if (operation->kind == OBSERVED_DISK_BEGIN)
            continue;
        *operation = (struct observed){
            .kind = OBSERVED_DISK_BEGIN,
            .disk = { .slot = slot,
                      .write = effect->kind == EFFECT_WRITE,
                      .device = effect->device,
                      .bytes = effect->bytes.count,
                      .offset = effect->offset,
                      .op_id = effect->op_id },
        };
        tell(show, *operation);
        return;
    }
}

static void show_disk_end(struct playback_show *show, const struct input *input)
{
    for (uint32_t slot = 0; slot < PLAYBACK_OPERATIONS_MAX; slot++) {
        struct observed *operation = &show->operations[slot];
        if (operation->kind != OBSERVED_DISK_BEGIN || operation->disk.op_id != input->op_id)
            continue;
        operation->kind = OBSERVED_DISK_END;
        operation->disk.result = input->result;
        tell(show, *operation);
        return;
    }
}

static void show_effect(struct playback_show *show, const struct effect *effect)
{
    switch (effect->kind) {
    case EFFECT_SEND: show_frame(show, 0, node_endpoint(show, effect->target), effect->bytes); return;
    case EFFECT_REPLY: show_frame(show, 0, (uint32_t)effect->target, effect->bytes); return;
    case EFFECT_WRITE:
    case EFFECT_READ: show_disk_begin(show, effect); return;
    case EFFECT_STOP:
        tell(show, (struct observed){ .kind = OBSERVED_STOP, .stop = { effect->stop, effect->detail } });
        return;
    case EFFECT_RELEASE:
    case EFFECT_REFUSE: return;
    }
}

void playback_show_step(struct playback_show *show, const struct input *input, struct output *output,
                        const struct replica *replica)
{
    const uint32_t from = input_endpoint(show, input);
    for (uint32_t at = 0; at < output->effect_count; at++)
        if (output->effects[at].kind == EFFECT_REPLY)
            output->effects[at].target = client_endpoint(show, output->effects[at].target);
    if (input->kind == INPUT_DISK)
        show_disk_end(show, input);
    if (input->kind == INPUT_PEER_FRAME || input->kind == INPUT_CLIENT_FRAME)
        show_frame(show, from, 0, input->bytes);
    tell(show, (struct observed){
                   .kind = OBSERVED_STEP,
                   .step_of = { .input = input, .output = output, .replica = replica, .from = from },
               });
    for (uint32_t at = 0; at < output->effect_count; at++)
        show_effect(show, &output->effects[at]);
}

/* Telling observers what the explorer does; see explore_show.h. */
#include "explore_show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

enum { STEP_NS = 1000 };

bool explore_show_begin(struct explore_show *show, struct observer *observer, const struct limits *limits,
                        const struct replica_config *configs, uint32_t nodes)
{
    *show = (struct explore_show){ .observer = observer, .replica_bytes = (uint32_t)replica_bytes(limits) };
    show->swarm.limits = *limits;
    show->swarm.node_count = show->swarm.member_count = nodes;
    show->swarm.client_count = EXPLORE_CLIENTS_MAX + 1; /* the last one is the operator */
    for (uint32_t node = 0; node < nodes; node++) {
        show->swarm.configs[node] = configs[node];
        show->swarm.ids[node] = configs[node].node_id;
        show->replicas[node] = aligned_alloc(REGION_ALIGNMENT, show->replica_bytes);
        if (show->replicas[node] == NULL)
            return false;
    }
    observer->see(observer,
                  &(struct observed){ .kind = OBSERVED_BEGIN, .who = ENDPOINTS, .begin = { .swarm = &show->swarm } });
    return true;
}

void explore_show_end(struct explore_show *show)
{
    for (uint32_t node = 0; node < EXPLORE_NODES_MAX; node++)
        free(show->replicas[node]);
}

static void tell(const struct explore_show *show, struct observed observed)
{
    observed.time_ns = show->step * STEP_NS;
    observed.step = show->step;
    if (!show->observer->enough)
        show->observer->see(show->observer, &observed);
}

void explore_show_start(struct explore_show *show)
{
    tell(show, (struct observed){ .kind = OBSERVED_START, .who = show->node, .life = ++show->lives[show->node] });
}

/* ---- frames ---- */

static void show_frame(const struct explore_show *show, uint32_t from, uint32_t to, struct slice frame,
                       enum frame_fate fate)
{
    tell(show, (struct observed){
                   .kind = OBSERVED_SEND,
                   .who = from,
                   .send = { .to = to, .fate = fate, .frame = frame, .at_ns = show->step * STEP_NS },
               });
    if (frame_fate_travels(fate))
        tell(show, (struct observed){ .kind = OBSERVED_ARRIVE, .who = to, .arrive = { .taken = true } });
}

void explore_show_lost(struct explore_show *show, uint32_t from, uint32_t to, struct slice frame)
{
    show_frame(show, from, to, frame, FATE_LOST);
}

/* A call says whose it is. */
static uint32_t frame_client(struct slice frame)
{
    struct frame_header header;
    ASSERT(frame.count >= sizeof header);
    memcpy(&header, frame.bytes, sizeof header);
    const uint32_t call = (uint32_t)header.instance - 1;
    if (call < EXPLORE_CALLS_MAX)
        return ENDPOINT_CLIENT + call % EXPLORE_CLIENTS_MAX;
    return ENDPOINT_CLIENT + u32_min(call - EXPLORE_CALLS_MAX, EXPLORE_CLIENTS_MAX);
}

static uint32_t frame_node(const struct explore_show *show, struct slice frame)
{
    struct frame_header header;
    ASSERT(frame.count >= sizeof header);
    memcpy(&header, frame.bytes, sizeof header);
    for (uint32_t node = 0; node < show->swarm.node_count; node++)
        if (show->swarm.ids[node] == header.from)
            return node;
    return ENDPOINTS;
}

/* ---- disks ---- */

static void show_disk_begin(struct explore_show *show, const struct effect *effect)
{
    struct observed *operations = show->operations[show->node];
    uint32_t slot = 0;
    while (slot < SHOW_OPERATIONS_MAX && operations[slot].kind == OBSERVED_DISK_BEGIN)
        slot++;
    ASSERT(slot < SHOW_OPERATIONS_MAX);
    operations[slot] = (struct observed){
        .kind = OBSERVED_DISK_BEGIN,
        .who = show->node,
        .disk = { .slot = slot,
                  .write = effect->kind == EFFECT_WRITE,
                  .device = effect->device,
                  .bytes = effect->bytes.count,
                  .offset = effect->offset,
                  .op_id = effect->op_id },
    };
    tell(show, operations[slot]);
}

static void show_disk_end(struct explore_show *show, uint64_t op_id, bool gone, uint32_t landed, uint32_t blocks)
{
    for (uint32_t slot = 0; slot < SHOW_OPERATIONS_MAX; slot++) {
        struct observed *operation = &show->operations[show->node][slot];
        if (operation->kind != OBSERVED_DISK_BEGIN || operation->disk.op_id != op_id)
            continue;
        operation->kind = OBSERVED_DISK_END;
        operation->disk.gone = gone;
        operation->disk.landed = landed;
        operation->disk.sectors = blocks;
        tell(show, *operation);
        return;
    }
}

void explore_show_gone(struct explore_show *show, uint64_t op_id, uint32_t landed, uint32_t blocks)
{
    show_disk_end(show, op_id, true, landed, blocks);
}

void explore_show_crash(struct explore_show *show)
{
    memset(show->operations[show->node], 0, sizeof show->operations[show->node]);
    tell(show, (struct observed){ .kind = OBSERVED_CRASH, .who = show->node });
}

/* ---- steps ---- */

static void show_effect(struct explore_show *show, const struct effect *effect)
{
    const uint32_t node = show->node;
    switch (effect->kind) {
    case EFFECT_SEND: show_frame(show, node, (uint32_t)effect->target - 1, effect->bytes, FATE_HELD); return;
    case EFFECT_REPLY: show_frame(show, node, frame_client(effect->bytes), effect->bytes, FATE_SENT); return;
    case EFFECT_WRITE:
    case EFFECT_READ: show_disk_begin(show, effect); return;
    case EFFECT_STOP:
        tell(show, (struct observed){ .kind = OBSERVED_STOP, .who = node, .stop = { effect->stop, effect->detail } });
        return;
    case EFFECT_RELEASE:
    case EFFECT_REFUSE: return;
    }
}

void explore_show_step(struct explore_show *show, const struct input *input, const struct output *output,
                       const struct replica *replica)
{
    uint32_t from = ENDPOINTS;
    show->step++;
    memcpy(show->replicas[show->node], replica, show->replica_bytes);
    if (input->kind == INPUT_DISK)
        show_disk_end(show, input->op_id, false, 0, 0);
    if (input->kind == INPUT_PEER_FRAME)
        from = frame_node(show, input->bytes);
    if (input->kind == INPUT_CLIENT_FRAME)
        from = frame_client(input->bytes);
    if (from != ENDPOINTS)
        show_frame(show, from, show->node, input->bytes, input->kind == INPUT_PEER_FRAME ? show->released : FATE_SENT);
    tell(show, (struct observed){
                   .kind = OBSERVED_STEP,
                   .who = show->node,
                   .step_of = { .input = input, .output = output, .replica = show->replicas[show->node], .from = from },
               });
    for (uint32_t i = 0; i < output->effect_count; i++)
        show_effect(show, &output->effects[i]);
}

void explore_show_violation(struct explore_show *show, const char *checker, const char *text)
{
    struct check_failure failure = { .failed = true, .node = show->node, .step = show->step };
    while (failure.kind < CHECK_KINDS && strcmp(check_kind_text(failure.kind), checker) != 0)
        failure.kind++;
    if (failure.kind == CHECK_KINDS)
        return;
    snprintf(failure.text, sizeof failure.text, "%s", text);
    tell(show, (struct observed){ .kind = OBSERVED_VIOLATION, .who = show->node, .violation = &failure });
}

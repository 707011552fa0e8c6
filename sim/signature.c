/* Abstract states of clusters. */
#include "signature.h"

#include "../core/inspect.h"
#include "../core/prng.h"
#include "world.h"

enum { SIGNATURE_CLIP = 2 };

bool signature_samples(uint64_t seed) { return (prng_mix(&seed) >> 32) % SIGNATURE_SAMPLE == 0; }

void signature_reset(struct signature *signature, bool on)
{
    if (on)
        memset(signature, 0, sizeof *signature);
    signature->on = on;
}

/* Never 0, which marks a free slot. */
static uint64_t signature_hash(uint64_t a, uint64_t b)
{
    uint64_t state = a;
    state = prng_mix(&state) ^ b;
    return prng_mix(&state) | 1;
}

static void kinds_add(struct kinds *kinds, uint64_t hash)
{
    uint32_t slot = (uint32_t)(hash >> 40) % SIGNATURE_SLOTS;
    while (kinds->slots[slot] != 0 && kinds->slots[slot] != hash)
        slot = (slot + 1) % SIGNATURE_SLOTS;
    if (kinds->slots[slot] == hash || kinds->count == SIGNATURE_KINDS_MAX)
        return;
    kinds->slots[slot] = hash;
    kinds->count++;
}

void kinds_add_all(struct kinds *kinds, const struct kinds *others)
{
    for (uint32_t slot = 0; slot < SIGNATURE_SLOTS; slot++)
        if (others->slots[slot] != 0)
            kinds_add(kinds, others->slots[slot]);
}

/* For whom the node voted in its term: nobody, itself, another, or it does not know. */
static uint64_t signature_vote(const struct replica_view *view)
{
    if (view->vote == 0)
        return 0;
    if (view->vote == UINT64_MAX)
        return 3;
    return view->vote == view->node_id ? 1 : 2;
}

/* What can be said of a node without looking at the others: for states of the cluster, a little. */
static uint64_t signature_look(const struct replica *replica, const struct replica_view *view)
{
    const struct configuration *members = replica_configuration(replica);
    const bool votes = view->slot < MEMBERS_MAX && (configuration_voters(members) >> view->slot & 1) != 0;
    const bool pending =
        view->durable_term != view->term || view->durable_vote != view->vote || view->durable_index < view->last.index;
    uint64_t look = (uint64_t)view->role;
    look = look << 2 | signature_vote(view);
    look = look << 1 | pending;
    look = look << 1 | (view->first_faulty != 0 || view->flags != 0);
    look = look << 1 | (view->install_index != 0 || !view->store_ready);
    look = look << 1 | votes;
    look = look << 1 | configuration_is_joint(members);
    return look << 1 | (view->configuration.index > view->commit);
}

/* ... and for edges more. */
static uint64_t signature_detail(const struct replica_view *view)
{
    uint64_t detail = view->leader == 0 ? 0 : view->leader == view->node_id ? 1 : 2;
    detail = detail << 2 | u64_min(bits_count(view->votes | view->pre_votes), SIGNATURE_CLIP);
    detail = detail << 1 | (view->durable_term != view->term || view->durable_vote != view->vote);
    detail = detail << 1 | (view->durable_index < view->last.index);
    detail = detail << 1 | (view->pending_writes > 0);
    detail = detail << 1 | (view->pending_reads > 0);
    detail = detail << 1 | (view->first_faulty != 0);
    detail = detail << 1 | (view->last.term == view->term);
    detail = detail << 1 | (view->base.index > 0);
    detail = detail << 1 | (view->applied < view->commit);
    detail = detail << 1 | (view->install_index != 0);
    return detail << 4 | (view->flags & 15);
}

/* What only the others show: whether some are in a higher term, and how its log stands to what is committed. */
static uint64_t signature_relation(const struct world *world, uint32_t slot)
{
    const struct signature *signature = &world->signature;
    bool behind = false;
    for (uint32_t other = 0; other < world->scene.swarm.node_count; other++)
        behind |= world->nodes[other].state == NODE_UP && signature->terms[other] > signature->terms[slot];
    const struct check_standing standing = check_standing(world->scene.check, slot);
    uint64_t relation = behind;
    relation = relation << 2 | u64_min(standing.missing, SIGNATURE_CLIP);
    relation = relation << 2 | u64_min(standing.extra, SIGNATURE_CLIP);
    return relation << 1 | standing.diverged;
}

static uint64_t signature_cluster(const struct world *world)
{
    uint64_t sum = 0;
    for (uint32_t slot = 0; slot < world->scene.swarm.node_count; slot++) {
        const struct node *node = &world->nodes[slot];
        if (node->state != NODE_UP)
            sum += signature_hash(UINT64_MAX, (uint64_t)node->state);
        else
            sum += signature_hash(world->signature.looks[slot], signature_relation(world, slot));
    }
    return sum;
}

/* What a node is fed. A frame may be damaged, and is then what it claims to be. */
static uint64_t signature_event(const struct input *input, uint64_t term)
{
    uint64_t event = (uint64_t)input->kind << 8 | (uint64_t)input->result;
    if (input->kind != INPUT_PEER_FRAME || input->bytes.count < sizeof(struct frame_header))
        return event;
    struct frame_header header;
    memcpy(&header, input->bytes.bytes, sizeof header);
    event = event << 16 | header.type;
    return event << 2 | (header.term < term ? 0 : header.term == term ? 1 : 2);
}

void signature_step(struct world *world, uint32_t node, const struct input *input)
{
    struct signature *signature = &world->signature;
    const struct replica *replica = world->nodes[node].replica;
    struct replica_view view;
    replica_inspect(replica, &view);
    const uint64_t before = signature->ends[node];
    const uint64_t event = signature_event(input, signature->terms[node]);
    signature->looks[node] = signature_look(replica, &view);
    signature->terms[node] = view.term;
    const uint64_t relation = signature_relation(world, node);
    const uint64_t after = signature_hash(signature->looks[node] << 32 | signature_detail(&view), relation);
    signature->ends[node] = after;
    kinds_add(&signature->edges, signature_hash(signature_hash(before, event), after));
    const uint64_t state = signature_hash(signature_cluster(world), 0);
    if (state != signature->state)
        kinds_add(&signature->states, state);
    signature->state = state;
}

static void census_kinds(struct sketch *sketch, const struct kinds *kinds)
{
    for (uint32_t slot = 0; slot < SIGNATURE_SLOTS; slot++)
        if (kinds->slots[slot] != 0)
            sketch_see(sketch, kinds->slots[slot]);
}

void census_count(struct census *census, const struct signature *signature)
{
    if (!signature->on)
        return;
    census->schedules++;
    census_kinds(&census->states, &signature->states);
    census_kinds(&census->edges, &signature->edges);
}

void census_add(struct census *sum, const struct census *part)
{
    sum->schedules += part->schedules;
    sketch_add(&sum->states, &part->states);
    sketch_add(&sum->edges, &part->edges);
}

/* Abstract states of clusters. */
#include "signature.h"

#include "../core/inspect.h"
#include "../core/prng.h"
#include "world.h"

enum { SIGNATURE_CLIP = 3, SIGNATURE_RANK_CLIP = 2 };

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

/* For whom the node voted in its term: nobody, itself, another, or it does not know. */
static uint64_t signature_vote(const struct replica_view *view)
{
    if (view->vote == 0)
        return 0;
    if (view->vote == UINT64_MAX)
        return 3;
    return view->vote == view->node_id ? 1 : 2;
}

/* What can be said of a node without looking at the others. */
static uint64_t signature_look(const struct replica *replica, const struct replica_view *view)
{
    const struct configuration *members = replica_configuration(replica);
    const bool member = view->slot < MEMBERS_MAX;
    uint64_t look = (uint64_t)view->role;
    look = look << 2 | signature_vote(view);
    look = look << 2 | (view->leader == 0 ? 0 : view->leader == view->node_id ? 1 : 2);
    look = look << 2 | u64_min(bits_count(view->votes | view->pre_votes), SIGNATURE_CLIP);
    look = look << 1 | (view->durable_term != view->term || view->durable_vote != view->vote);
    look = look << 1 | (view->durable_index < view->last.index);
    look = look << 1 | (view->pending_writes > 0);
    look = look << 1 | (view->first_faulty != 0);
    look = look << 1 | (view->last.term == view->term);
    look = look << 1 | (view->base.index > 0);
    look = look << 1 | (view->applied < view->commit);
    look = look << 1 | (view->install_index != 0);
    look = look << 1 | view->store_ready;
    look = look << 4 | (view->flags & 15);
    look = look << 1 | member;
    look = look << 1 | (member && (configuration_voters(members) >> view->slot & 1) != 0);
    look = look << 1 | configuration_is_joint(members);
    return look << 1 | (view->configuration.index > view->commit);
}

/* And what only the others show: terms above its own, and how its log stands to what is committed. */
static uint64_t signature_relate(const struct world *world, uint32_t slot)
{
    const struct signature *signature = &world->signature;
    const uint32_t count = world->scene.swarm.node_count;
    uint64_t higher[SIGNATURE_RANK_CLIP] = { 0 };
    uint64_t rank = 0;
    for (uint32_t other = 0; other < count && rank < SIGNATURE_RANK_CLIP; other++) {
        const uint64_t term = signature->terms[other];
        if (world->nodes[other].state != NODE_UP || term <= signature->terms[slot] || term == higher[0])
            continue;
        higher[rank++] = term;
    }
    const struct check_standing standing = check_standing(world->scene.check, slot);
    uint64_t look = rank;
    look = look << 2 | u64_min(standing.missing, SIGNATURE_CLIP);
    look = look << 2 | u64_min(standing.extra, SIGNATURE_CLIP);
    return look << 1 | standing.diverged;
}

static uint64_t signature_cluster(const struct world *world)
{
    uint64_t sum = 0;
    for (uint32_t slot = 0; slot < world->scene.swarm.node_count; slot++) {
        const struct node *node = &world->nodes[slot];
        if (node->state != NODE_UP)
            sum += signature_hash(UINT64_MAX, (uint64_t)node->state);
        else
            sum += signature_hash(world->signature.looks[slot], signature_relate(world, slot));
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
    const uint64_t actor = signature_hash(signature->looks[node], signature_event(input, signature->terms[node]));
    kinds_add(&signature->edges, signature_hash(signature->state, actor));
    signature->looks[node] = signature_look(replica, &view);
    signature->terms[node] = view.term;
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

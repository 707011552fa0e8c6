/* Links and the packets on them. */
#include "network.h"

#include <stdlib.h>

#include "../core/checksum.h"
#include "observe.h"

STATIC_ASSERT(CUTS <= 16, "a bit of `cut` for each reason");

bool network_init(struct network *network)
{
    network->arena = malloc(NETWORK_ARENA_BYTES);
    return network->arena != NULL;
}

void network_free(struct network *network) { free(network->arena); }

static uint32_t network_link(uint32_t from, uint32_t to)
{
    ASSERT(from < ENDPOINTS);
    ASSERT(to < ENDPOINTS);
    return from * ENDPOINTS + to;
}

static bool endpoint_exists(const struct swarm *swarm, uint32_t endpoint)
{
    if (endpoint < ENDPOINT_CLIENT)
        return endpoint < swarm->node_count;
    const uint32_t client = endpoint - ENDPOINT_CLIENT;
    return client < swarm->client_count || client == CLIENT_PROBER;
}

static void network_reset_link(struct network *network, struct scene *scene, uint32_t from, uint32_t to)
{
    const struct swarm *swarm = &scene->swarm;
    const uint32_t link = network_link(from, to);
    uint64_t delay_ns = swarm->delay_ns;
    network->delay_kind[from][to] = (uint8_t)swarm->delay_kind;
    if (swarm->delay_per_link && choose_draws(&scene->choose)) {
        const uint64_t spread = swarm->demotions > 0 && from < ENDPOINT_CLIENT && to < ENDPOINT_CLIENT ? 64 : 8;
        delay_ns =
            choose_octave(&scene->choose, SITE_PACE_DRAW, link, swarm->delay_ns / spread + 1, swarm->delay_ns * spread);
        if (!swarm->untimed)
            network->delay_kind[from][to] = (uint8_t)choose(&scene->choose, SITE_PACE_DRAW, link, DELAY_KINDS);
    }
    choose_resume(&scene->choose, SUBJECT_LINK, link, CLASS_NONE, 0);
    network->delay_ns[from][to] = choose_note(&scene->choose, SITE_PACE, delay_ns, swarm->delay_ns);
}

void network_reset(struct network *network, struct scene *scene)
{
    const struct swarm *swarm = &scene->swarm;
    const struct message heartbeat = { .type = FRAME_APPEND_REQUEST };
    network->heartbeat_bytes = message_bytes(&heartbeat);
    network->packet_count = 0;
    network->arena_used = 0;
    network->packet_free = 0;
    memset(network->buffer_free, 0, sizeof network->buffer_free);
    memset(network->cut, 0, sizeof network->cut);
    memset(network->clogged_ns, 0, sizeof network->clogged_ns);
    for (uint32_t from = 0; from < ENDPOINTS; from++)
        for (uint32_t to = 0; to < ENDPOINTS; to++)
            if (endpoint_exists(swarm, from) && endpoint_exists(swarm, to)
                && (from < ENDPOINT_CLIENT || to < ENDPOINT_CLIENT))
                network_reset_link(network, scene, from, to);
}

void network_fork(struct network *network, const struct scene *scene)
{
    memset(network->delay_kind, (int)scene->swarm.delay_kind, sizeof network->delay_kind);
}

struct slice network_bytes(const struct network *network, uint32_t slot)
{
    ASSERT(slot < network->packet_count);
    const struct packet *packet = &network->packets[slot];
    return (struct slice){ .bytes = network->arena + packet->offset, .count = packet->bytes };
}

void network_release(struct network *network, uint32_t slot)
{
    ASSERT(slot < network->packet_count);
    struct packet *packet = &network->packets[slot];
    memcpy(network->arena + packet->offset, &network->buffer_free[packet->class], sizeof(uint32_t));
    network->buffer_free[packet->class] = packet->offset + 1;
    packet->next = network->packet_free;
    network->packet_free = (uint16_t)(slot + 1);
}

/* PACKETS_MAX when there is no room: the frame is dropped, as a switch would. */
static uint32_t network_allocate(struct network *network, uint32_t bytes)
{
    uint32_t class = 0;
    while (((uint32_t)PACKET_BYTES_MIN << class) < bytes)
        class ++;
    ASSERT(class < PACKET_CLASSES);
    uint32_t offset;
    if (network->packet_free == 0 && network->packet_count == PACKETS_MAX)
        return PACKETS_MAX;
    if (network->buffer_free[class] != 0) {
        offset = network->buffer_free[class] - 1;
        memcpy(&network->buffer_free[class], network->arena + offset, sizeof(uint32_t));
    } else {
        if (network->arena_used + ((uint32_t)PACKET_BYTES_MIN << class) > NETWORK_ARENA_BYTES)
            return PACKETS_MAX;
        offset = network->arena_used;
        network->arena_used += (uint32_t)PACKET_BYTES_MIN << class;
    }
    uint32_t slot = network->packet_count;
    if (network->packet_free != 0) {
        slot = network->packet_free - 1U;
        network->packet_free = network->packets[slot].next;
    } else {
        network->packet_count++;
    }
    network->packets[slot] = (struct packet){ .offset = offset, .bytes = bytes, .class = (uint8_t) class };
    return slot;
}

static bool network_selected(const struct network *network, enum selective_kind selective,
                             const struct frame_header *header)
{
    switch (selective) {
    case SELECTIVE_NONE: return false;
    case SELECTIVE_ENTRIES:
        return header->type == FRAME_APPEND_REQUEST && header->frame_bytes > network->heartbeat_bytes;
    case SELECTIVE_APPEND_RESPONSES: return header->type == FRAME_APPEND_RESPONSE;
    case SELECTIVE_VOTE_REQUESTS: return header->type == FRAME_VOTE_REQUEST;
    case SELECTIVE_VOTE_RESPONSES: return header->type == FRAME_VOTE_RESPONSE;
    case SELECTIVE_KINDS: break;
    }
    UNREACHABLE();
}

static void network_seal(uint8_t *bytes, uint32_t count)
{
    const uint64_t checksum = checksum64(bytes + sizeof checksum, count - sizeof checksum, 0);
    memcpy(bytes, &checksum, sizeof checksum);
}

/* An intact frame that the receiver must still not believe. The instance stays: another one would be a second data
 * directory under the same id, which rightly ends the node. */
static void network_estrange(struct scene *scene, uint32_t link, uint8_t *bytes, struct packet *packet)
{
    struct frame_header header;
    memcpy(&header, bytes, sizeof header);
    switch (choose(&scene->choose, SITE_FOREIGN_HOW, link, 7)) {
    case 0: header.cluster_id ^= 1ULL << choose(&scene->choose, SITE_FOREIGN_BIT, link, 32); break;
    case 1: header.fingerprint ^= 1; break;
    case 2: header.version++; break;
    case 3: header.type = FRAME_PEER_LAST + 1; break;
    case 4: header.to ^= 5; break;
    case 5: header.from = 0; break; /* of no node; whoever has an id may be a new one */
    default:
        /* No body of any type is a word shorter. */
        header.frame_bytes -= 8;
        packet->bytes -= 8;
        break;
    }
    memcpy(bytes, &header, sizeof header);
    network_seal(bytes, packet->bytes);
    packet->damaged = true;
}

/* The page was altered in its sender's memory after that had verified it, so nothing is wrong with the frame. False:
 * the frame holds no piece of a page. */
static bool network_falsify(struct scene *scene, uint32_t link, uint8_t *bytes, uint32_t count)
{
    const struct limits *limits = &scene->swarm.limits;
    const struct frame_context context = { .cluster_id = scene->swarm.configs[0].cluster_id,
                                           .fingerprint = limits_fingerprint(limits),
                                           .frame_bytes_max = limits->frame_bytes_max };
    struct message message;
    struct pieces_answer answer;
    if (message_decode((struct slice){ .bytes = bytes, .count = count }, &context, &message) != FRAME_OK
        || message.type != FRAME_CHECKPOINT_RESPONSE || message.checkpoint_response.page_count == 0)
        return false;
    const struct slice payload = message.checkpoint_response.payload;
    pieces_decode(payload, message.checkpoint_response.page_bytes, &answer);
    if (answer.bytes.count == 0)
        return false;
    const uint64_t bit = choose(&scene->choose, SITE_FALSIFY_BIT, link, 8ULL * answer.bytes.count);
    bytes[(size_t)(answer.bytes.bytes - bytes) + bit / 8] ^= (uint8_t)(1U << (bit % 8));
    network_seal(bytes, count);
    return true;
}

static void network_damage(struct network *network, struct scene *scene, struct packet *packet, uint32_t link)
{
    const struct swarm *swarm = &scene->swarm;
    uint8_t *bytes = network->arena + packet->offset;
    const bool between_nodes = packet->from < ENDPOINT_CLIENT && packet->to < ENDPOINT_CLIENT;
    struct frame_header header;
    memcpy(&header, bytes, sizeof header);
    if (between_nodes && header.type == FRAME_CHECKPOINT_RESPONSE
        && choose_chance(&scene->choose, SITE_FALSIFY, link, swarm->falsify)
        && network_falsify(scene, link, bytes, packet->bytes))
        coverage_fire(&scene->coverage, FAULT_PAGE_FALSE);
    if (between_nodes && choose_chance(&scene->choose, SITE_FOREIGN, link, swarm->foreign)) {
        network_estrange(scene, link, bytes, packet);
        coverage_fire(&scene->coverage, FAULT_FOREIGN_FRAME);
    }
    if (choose_chance(&scene->choose, SITE_FLIP, link, swarm->bit_flip)) {
        /* Distinct bits, so that the frame does differ. */
        const uint64_t bits = 1 + choose(&scene->choose, SITE_FLIP_MORE, link, 3);
        const uint64_t first = choose(&scene->choose, SITE_FLIP_BIT, link, 8ULL * packet->bytes);
        for (uint64_t i = 0; i < bits; i++) {
            const uint64_t bit = (first + 13 * i) % (8ULL * packet->bytes);
            bytes[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        }
        packet->damaged = true;
        coverage_fire(&scene->coverage, FAULT_BIT_FLIP);
    }
    if (choose_chance(&scene->choose, SITE_TRUNCATE, link, swarm->truncation)) {
        packet->bytes = (uint32_t)choose(&scene->choose, SITE_TRUNCATE_TO, link, packet->bytes);
        packet->damaged = true;
        coverage_fire(&scene->coverage, FAULT_TRUNCATION);
    }
}

static uint64_t network_draw_delay(struct network *network, struct scene *scene, uint32_t from, uint32_t to)
{
    const uint32_t link = network_link(from, to);
    if (scene->healed)
        return 1 + scene_delay(scene, SITE_DELAY_DRAW, link, DELAY_UNIFORM, scene_election_ns(scene) / 1000);
    uint64_t delay_ns = 1
                        + scene_delay(scene, SITE_DELAY_DRAW, link, (enum delay_kind)network->delay_kind[from][to],
                                      network->delay_ns[from][to]);
    if (choose_chance(&scene->choose, SITE_DELAY_DRAW, link, scene->swarm.hold_back)) {
        const uint64_t held_ns = u64_min(4 * delay_ns + scene_election_ns(scene) / 4, UINT64_MAX >> 25);
        delay_ns += choose_exponential(&scene->choose, SITE_DELAY_DRAW, link, held_ns);
        coverage_fire(&scene->coverage, FAULT_DELAY);
    }
    return delay_ns;
}

/* A copy is on its way. What is held back comes much later than its link's usual delay. */
static void network_show(const struct network *network, const struct scene *scene, uint32_t slot, struct slice frame,
                         enum frame_fate fate, uint64_t at_ns)
{
    const struct packet *packet = &network->packets[slot];
    const bool clogged = at_ns == network->clogged_ns[packet->from][packet->to];
    const uint64_t usual_ns = 4 * network->delay_ns[packet->from][packet->to] + scene_election_ns(scene) / 64;
    const bool held_back = clogged || at_ns - scene->now_ns > usual_ns;
    observe(scene, (struct observed){ .kind = OBSERVED_SEND,
                                      .who = packet->from,
                                      .send = { .to = packet->to,
                                                .fate = fate,
                                                .frame = frame,
                                                .packet = slot,
                                                .at_ns = at_ns,
                                                .held_back = held_back && fate != FATE_LATE,
                                                .damaged = packet->damaged } });
}

static uint64_t network_delay(struct network *network, struct scene *scene, uint32_t from, uint32_t to)
{
    const uint64_t tame_ns = 1 + (scene->healed ? scene_election_ns(scene) / 1000 : network->delay_ns[from][to]);
    uint64_t delay_ns = choose_draws(&scene->choose) ? network_draw_delay(network, scene, from, to) : tame_ns;
    delay_ns = choose_note(&scene->choose, SITE_DELAY, delay_ns, tame_ns);
    return scene->healed ? u64_min(delay_ns, 2 * tame_ns) : delay_ns;
}

/* extra_ns: later than usual; of a copy in a replay, its delay. */
static bool network_post(struct network *network, struct scene *scene, uint32_t from, uint32_t to, struct slice frame,
                         uint64_t extra_ns, enum frame_fate fate)
{
    const uint32_t part = fate == FATE_DUPLICATE ? 1 : fate == FATE_LATE ? 2 : 0;
    choose_part(&scene->choose, part);
    const uint32_t slot = network_allocate(network, frame.count);
    if (slot == PACKETS_MAX) {
        scene->coverage.dropped++;
        if (observed_by(scene))
            observe_lost(scene, from, to, frame, FATE_NO_ROOM, 0);
        return false;
    }
    struct packet *packet = &network->packets[slot];
    packet->from = (uint8_t)from;
    packet->to = (uint8_t)to;
    memcpy(network->arena + packet->offset, frame.bytes, frame.count);
    if (!scene->healed)
        network_damage(network, scene, packet, network_link(from, to));
    uint64_t delay_ns = extra_ns;
    if (part == 0)
        delay_ns = network_delay(network, scene, from, to);
    else if (choose_draws(&scene->choose))
        delay_ns += network_draw_delay(network, scene, from, to);
    if (part > 0 && choose_draws(&scene->choose))
        choose_note(&scene->choose, SITE_COPY, delay_ns, 0);
    uint64_t at_ns = scene->now_ns + delay_ns;
    if (at_ns < network->clogged_ns[from][to]) {
        at_ns = network->clogged_ns[from][to];
        coverage_fire(&scene->coverage, FAULT_CLOG);
    }
    const bool queued = queue_push(&scene->queue, at_ns, QUEUE_PACKET, to, slot, 0);
    if (observed_by(scene))
        network_show(network, scene, slot, frame, queued ? fate : FATE_NO_ROOM, at_ns);
    if (queued)
        return true;
    network_release(network, slot);
    scene->coverage.dropped++;
    return false;
}

/* True when a cut swallows the frame; counts each reason. */
static bool network_swallow(const struct network *network, struct scene *scene, uint32_t from, uint32_t to)
{
    static const enum fault_kind faults[CUTS] = {
        [NEMESIS_SPLIT] = FAULT_SPLIT,         [NEMESIS_ONE_WAY] = FAULT_ONE_WAY,
        [NEMESIS_PAIR] = FAULT_PAIR,           [NEMESIS_LEADER] = FAULT_ISOLATED_LEADER,
        [NEMESIS_CLIENTS] = FAULT_CLIENTS_CUT, [CUT_OUTSIDER] = FAULT_OUTSIDER,
        [CUT_HUNT] = FAULT_ISOLATED_LEADER,    [CUT_HOLDER] = FAULT_HOLDER_CUT,
    };
    const uint16_t cut = network->cut[from][to];
    for (uint32_t reason = 0; reason < CUTS && cut != 0; reason++)
        if ((cut & (1U << reason)) != 0)
            coverage_fire(&scene->coverage, faults[reason]);
    return cut != 0;
}

/* Again, at once or much later. */
static uint32_t network_copy(struct network *network, struct scene *scene, uint32_t from, uint32_t to,
                             struct slice frame)
{
    const struct swarm *swarm = &scene->swarm;
    const uint32_t link = network_link(from, to);
    uint32_t copies = 0;
    if (!choose_draws(&scene->choose)) {
        for (uint32_t part = 1; part <= 2; part++) {
            choose_part(&scene->choose, part);
            const uint64_t delay_ns = choose_note(&scene->choose, SITE_COPY, 0, 0);
            if (delay_ns > 0)
                copies +=
                    network_post(network, scene, from, to, frame, delay_ns, part == 1 ? FATE_DUPLICATE : FATE_LATE);
        }
        return copies;
    }
    if (choose_chance(&scene->choose, SITE_COPY_DRAW, link, swarm->duplicate)) {
        copies += network_post(network, scene, from, to, frame, 0, FATE_DUPLICATE);
        coverage_fire(&scene->coverage, FAULT_DUPLICATE);
    }
    if (choose_chance(&scene->choose, SITE_COPY_DRAW, link, swarm->duplicate_late)) {
        const uint64_t election_ns = scene_election_ns(scene);
        const uint64_t late_ns = choose_octave(&scene->choose, SITE_COPY_DRAW, link, election_ns, 16 * election_ns);
        copies += network_post(network, scene, from, to, frame, late_ns, FATE_LATE);
        coverage_fire(&scene->coverage, FAULT_DUPLICATE_LATE);
    }
    return copies;
}

/* FATE_SENT: it is not lost. */
static enum frame_fate network_loses(const struct network *network, struct scene *scene, uint32_t link,
                                     const struct frame_header *header)
{
    const struct swarm *swarm = &scene->swarm;
    enum frame_fate fate = FATE_SENT;
    if (!choose_draws(&scene->choose)) {
        fate = choose_note(&scene->choose, SITE_LOSS, 0, 0) != 0 ? FATE_LOST : FATE_SENT;
    } else {
        if (choose_chance(&scene->choose, SITE_LOSS_DRAW, link, swarm->loss))
            fate = FATE_LOST;
        else if (network_selected(network, swarm->selective, header)
                 && choose_chance(&scene->choose, SITE_LOSS_DRAW, link, swarm->selective_loss))
            fate = FATE_SELECTED;
        choose_note(&scene->choose, SITE_LOSS, fate != FATE_SENT, 0);
    }
    if (fate != FATE_SENT)
        coverage_fire(&scene->coverage, fate == FATE_LOST ? FAULT_LOSS : FAULT_SELECTIVE_LOSS);
    return fate;
}

static uint32_t network_request_class(struct slice frame)
{
    struct request_header request;
    if (frame.count < sizeof(struct frame_header) + sizeof request)
        return FRAME_CLIENT_REQUEST;
    memcpy(&request, frame.bytes + sizeof(struct frame_header), sizeof request);
    return request.kind > 0 && request.kind <= REQUEST_KIND_LAST ? CLASS_REQUEST + request.kind : FRAME_CLIENT_REQUEST;
}

/* What the frame is, for the choices about it. */
static uint32_t network_class(const struct network *network, const struct frame_header *header, struct slice frame)
{
    if (header->type == FRAME_APPEND_REQUEST && header->frame_bytes <= network->heartbeat_bytes)
        return CLASS_HEARTBEAT;
    if (header->type == FRAME_CLIENT_REQUEST)
        return network_request_class(frame);
    return header->type <= FRAME_CLIENT_REPLY ? header->type : CLASS_NONE;
}

static uint32_t network_send_copies(struct network *network, struct scene *scene, uint32_t from, uint32_t to,
                                    struct slice frame)
{
    const uint32_t link = network_link(from, to);
    struct frame_header header;
    ASSERT(frame.count >= sizeof header);
    memcpy(&header, frame.bytes, sizeof header);
    if (scene->script != NULL && !scene->script->frame(scene->script, from, to, frame)) {
        if (observed_by(scene))
            observe_lost(scene, from, to, frame, FATE_HELD, 0);
        return 0;
    }
    if (scene->choose.tracer != NULL)
        choose_subject(&scene->choose, SUBJECT_FRAME, link, network_class(network, &header, frame));
    if (network_swallow(network, scene, from, to)) {
        if (observed_by(scene))
            observe_lost(scene, from, to, frame, FATE_CUT, network->cut[from][to]);
        return 0;
    }
    if (scene->healed)
        return network_post(network, scene, from, to, frame, 0, FATE_SENT);
    const enum frame_fate fate = network_loses(network, scene, link, &header);
    if (fate != FATE_SENT) {
        if (observed_by(scene))
            observe_lost(scene, from, to, frame, fate, 0);
        return 0;
    }
    const uint32_t copies = network_post(network, scene, from, to, frame, 0, FATE_SENT);
    return copies + network_copy(network, scene, from, to, frame);
}

uint32_t network_send(struct network *network, struct scene *scene, uint32_t from, uint32_t to, struct slice frame)
{
    const enum meter_kind before = meter_switch(&scene->meter, METER_NETWORK);
    const uint32_t copies = network_send_copies(network, scene, from, to, frame);
    meter_switch(&scene->meter, before);
    return copies;
}

bool network_deliver(struct network *network, struct scene *scene, uint32_t from, uint32_t to, struct slice frame)
{
    return network_post(network, scene, from, to, frame, 0, FATE_RELEASED);
}

const char *cut_text(uint32_t reason)
{
    static const char *const texts[CUTS] = {
        [NEMESIS_SPLIT] = "split",   [NEMESIS_ONE_WAY] = "one-way", [NEMESIS_PAIR] = "pair",
        [NEMESIS_LEADER] = "leader", [NEMESIS_CLIENTS] = "clients", [CUT_OUTSIDER] = "outsider",
        [CUT_HUNT] = "hunt",         [CUT_HOLDER] = "holder",
    };
    ASSERT(reason < CUTS);
    return texts[reason];
}

void network_cut(struct network *network, const struct scene *scene, uint32_t from, uint32_t to, uint32_t reason)
{
    (void)network_link(from, to);
    if (observed_by(scene))
        observe(scene, (struct observed){ .kind = OBSERVED_CUT, .who = from, .link = { .to = to, .reason = reason } });
    network->cut[from][to] |= (uint16_t)(1U << reason);
}

void network_mend(struct network *network, const struct scene *scene, uint32_t reason)
{
    if (observed_by(scene))
        observe(scene, (struct observed){ .kind = OBSERVED_MEND, .who = ENDPOINTS, .link = { .reason = reason } });
    for (uint32_t from = 0; from < ENDPOINTS; from++)
        for (uint32_t to = 0; to < ENDPOINTS; to++)
            network->cut[from][to] &= (uint16_t) ~(1U << reason);
}

void network_clog(struct network *network, const struct scene *scene, uint32_t from, uint32_t to, uint64_t until_ns)
{
    (void)network_link(from, to);
    if (observed_by(scene))
        observe(scene,
                (struct observed){ .kind = OBSERVED_CLOG, .who = from, .link = { .to = to, .until_ns = until_ns } });
    network->clogged_ns[from][to] = u64_max(network->clogged_ns[from][to], until_ns);
}

void network_slow_down(struct network *network, uint32_t from, uint32_t to, uint64_t by_ns)
{
    (void)network_link(from, to);
    network->delay_ns[from][to] = u64_min(network->delay_ns[from][to] + by_ns, UINT64_MAX >> 25);
    network->delay_kind[from][to] = DELAY_CONSTANT;
}

void network_heal(struct network *network, const struct scene *scene)
{
    if (observed_by(scene))
        observe(scene, (struct observed){ .kind = OBSERVED_HEAL, .who = ENDPOINTS });
    for (uint32_t from = 0; from < ENDPOINTS; from++)
        for (uint32_t to = 0; to < ENDPOINTS; to++) {
            network->cut[from][to] &= (uint16_t)(1U << CUT_OUTSIDER);
            network->clogged_ns[from][to] = 0;
        }
}

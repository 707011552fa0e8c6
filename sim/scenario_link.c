/* Links of a scenario: who reaches whom, and frames that the script drops, or holds and releases. */
#include "scenario_state.h"

#include <string.h>

static const char *wire_text(uint32_t wire)
{
    static const char *const texts[WIRE_KINDS] = {
        [WIRE_VOTE_REQUEST] = "vote-request",
        [WIRE_VOTE_RESPONSE] = "vote-response",
        [WIRE_PRE_VOTE_REQUEST] = "pre-vote-request",
        [WIRE_PRE_VOTE_RESPONSE] = "pre-vote-response",
        [WIRE_HEARTBEAT] = "heartbeat",
        [WIRE_ENTRIES] = "entries",
        [WIRE_APPEND_RESPONSE] = "append-response",
        [WIRE_CHECKPOINT_REQUEST] = "checkpoint-request",
        [WIRE_CHECKPOINT_RESPONSE] = "checkpoint-response",
        [WIRE_REPAIR_REQUEST] = "repair-request",
        [WIRE_REPAIR_RESPONSE] = "repair-response",
        [WIRE_TIMEOUT_NOW] = "timeout-now",
        [WIRE_READ_INDEX_REQUEST] = "read-index-request",
        [WIRE_READ_INDEX_RESPONSE] = "read-index-response",
        [WIRE_REFUSAL] = "refusal",
        [WIRE_REQUEST] = "request",
        [WIRE_REPLY] = "reply",
        [WIRE_OTHER] = "other",
    };
    return texts[wire];
}

static enum wire link_wire(const struct scenario *scenario, struct slice frame)
{
    struct frame_header header;
    struct message message;
    memcpy(&header, frame.bytes, sizeof header);
    if (header.type == FRAME_CLIENT_REQUEST)
        return WIRE_REQUEST;
    if (header.type == FRAME_CLIENT_REPLY)
        return WIRE_REPLY;
    if (message_decode(frame, &scenario->frame, &message) != FRAME_OK)
        return WIRE_OTHER;
    switch (message.type) {
    case FRAME_VOTE_REQUEST: return message.vote_request.pre ? WIRE_PRE_VOTE_REQUEST : WIRE_VOTE_REQUEST;
    case FRAME_VOTE_RESPONSE: return message.vote_response.pre ? WIRE_PRE_VOTE_RESPONSE : WIRE_VOTE_RESPONSE;
    case FRAME_APPEND_REQUEST: return message.append_request.entry_count > 0 ? WIRE_ENTRIES : WIRE_HEARTBEAT;
    case FRAME_APPEND_RESPONSE: return WIRE_APPEND_RESPONSE;
    case FRAME_REFUSAL: return WIRE_REFUSAL;
    case FRAME_CHECKPOINT_REQUEST: return WIRE_CHECKPOINT_REQUEST;
    case FRAME_CHECKPOINT_RESPONSE: return WIRE_CHECKPOINT_RESPONSE;
    case FRAME_REPAIR_REQUEST: return WIRE_REPAIR_REQUEST;
    case FRAME_REPAIR_RESPONSE: return WIRE_REPAIR_RESPONSE;
    case FRAME_TIMEOUT_NOW: return WIRE_TIMEOUT_NOW;
    case FRAME_READ_INDEX_REQUEST: return WIRE_READ_INDEX_REQUEST;
    case FRAME_READ_INDEX_RESPONSE: return WIRE_READ_INDEX_RESPONSE;
    case FRAME_REJOIN_REQUEST:
    case FRAME_REJOIN_RESPONSE:
    case FRAME_CLIENT_REQUEST:
    case FRAME_CLIENT_REPLY: break;
    }
    return WIRE_OTHER;
}

/* ---- what becomes of a frame ---- */

static enum link_fate link_fate(struct scenario *scenario, enum wire wire, uint32_t from, uint32_t to)
{
    if ((scenario->cut[from] >> to & 1) != 0)
        return LINK_DROP;
    for (uint32_t i = scenario->rule_count; i > 0; i--) {
        struct link_rule *rule = &scenario->rules[i - 1];
        if ((rule->wires >> wire & 1) == 0 || (rule->from >> from & 1) == 0 || (rule->to >> to & 1) == 0
            || rule->times == 0)
            continue;
        rule->times -= rule->times != UINT32_MAX;
        return rule->fate;
    }
    return LINK_PASS;
}

static void link_hold(struct scenario *scenario, enum wire wire, uint32_t from, uint32_t to, struct slice frame)
{
    if (scenario->held_count == LINK_HELD_MAX) {
        scenario_wrong(scenario, "more than %d frames are held", LINK_HELD_MAX);
        return;
    }
    ASSERT(frame.count <= LINK_FRAME_BYTES_MAX);
    struct link_held *held = &scenario->held[scenario->held_count++];
    held->from = (uint8_t)from;
    held->to = (uint8_t)to;
    held->wire = (uint8_t)wire;
    held->bytes = frame.count;
    memcpy(held->frame, frame.bytes, frame.count);
}

bool link_frame(struct scenario *scenario, uint32_t from, uint32_t to, struct slice frame)
{
    const enum wire wire = link_wire(scenario, frame);
    if (wire == WIRE_VOTE_REQUEST || wire == WIRE_PRE_VOTE_REQUEST)
        scenario->asked |= 1U << from;
    switch (link_fate(scenario, wire, from, to)) {
    case LINK_DROP: return false;
    case LINK_HOLD: link_hold(scenario, wire, from, to, frame); return false;
    case LINK_PASS: break;
    }
    if (to < ENDPOINT_CLIENT)
        return true;
    client_receive(scenario, to - ENDPOINT_CLIENT, frame);
    return false;
}

/* ---- FROM -> TO, FROM <-> TO ---- */

struct link_ends {
    uint32_t from;
    uint32_t to;
    bool both;
};

static bool link_ends(struct scenario *scenario, struct link_ends *ends)
{
    if (!words_endpoints(scenario, &ends->from))
        return false;
    ends->both = words_take(scenario, "<->");
    if (!ends->both && !words_need(scenario, "->"))
        return false;
    return words_endpoints(scenario, &ends->to);
}

static bool link_fits(const struct link_ends *ends, uint32_t from, uint32_t to)
{
    const bool there = (ends->from >> from & 1) != 0 && (ends->to >> to & 1) != 0;
    const bool back = (ends->from >> to & 1) != 0 && (ends->to >> from & 1) != 0;
    return from != to && (there || (ends->both && back));
}

static void link_cut(struct scenario *scenario, const struct link_ends *ends, bool cut)
{
    for (uint32_t from = 0; from < ENDPOINTS; from++)
        for (uint32_t to = 0; to < ENDPOINTS; to++)
            if (link_fits(ends, from, to))
                scenario->cut[from] = cut ? scenario->cut[from] | 1U << to : scenario->cut[from] & ~(1U << to);
}

/* ---- cuts ---- */

/* partition 1,2 | 3,4,5: groups that do not reach each other; whom it does not name is a group, too. Ends the one
 * before. */
static bool link_partition(struct scenario *scenario)
{
    const uint32_t all = (1U << scenario->swarm.node_count) - 1;
    uint32_t rest = all;
    for (uint32_t slot = 0; slot < scenario->swarm.node_count; slot++)
        scenario->cut[slot] &= ~all;
    do {
        uint32_t group;
        if (!words_nodes(scenario, &group))
            return false;
        if ((group & ~rest) != 0)
            return scenario_wrong(scenario, "a node is in two groups");
        rest &= ~group;
        link_cut(scenario, &(struct link_ends){ .from = group, .to = all & ~group, .both = true }, true);
    } while (words_take(scenario, "|"));
    return true;
}

static bool link_isolate(struct scenario *scenario)
{
    const uint32_t all = (1U << scenario->swarm.node_count) - 1;
    uint32_t nodes;
    if (!words_nodes(scenario, &nodes))
        return false;
    for (uint32_t slot = 0; slot < scenario->swarm.node_count; slot++)
        if ((nodes >> slot & 1) != 0)
            link_cut(scenario, &(struct link_ends){ .from = 1U << slot, .to = all, .both = true }, true);
    return true;
}

static bool link_cut_line(struct scenario *scenario, bool cut)
{
    struct link_ends ends;
    if (!link_ends(scenario, &ends))
        return false;
    link_cut(scenario, &ends, cut);
    return true;
}

/* ---- rules ---- */

static bool link_wires(struct scenario *scenario, uint32_t *wires)
{
    *wires = 0;
    if (words_take(scenario, "append-request"))
        *wires = 1U << WIRE_HEARTBEAT | 1U << WIRE_ENTRIES;
    else if (words_take(scenario, "everything"))
        *wires = (1U << WIRE_KINDS) - 1;
    if (*wires != 0)
        return true;
    uint32_t wire;
    if (!words_name(scenario, "a message", wire_text, WIRE_KINDS, &wire))
        return false;
    *wires = 1U << wire;
    return true;
}

/* drop|hold|pass KIND FROM -> TO [times N] */
static bool link_rule(struct scenario *scenario, enum link_fate fate)
{
    struct link_ends ends;
    uint32_t wires;
    uint64_t times = UINT32_MAX;
    if (!link_wires(scenario, &wires) || !link_ends(scenario, &ends))
        return false;
    if (words_take(scenario, "times") && !words_number(scenario, "how many", &times))
        return false;
    for (uint32_t i = 0; i < (ends.both ? 2U : 1U); i++) {
        if (scenario->rule_count == LINK_RULES_MAX)
            return scenario_wrong(scenario, "more than %d rules for links: heal ends them", LINK_RULES_MAX);
        scenario->rules[scenario->rule_count++] = (struct link_rule){
            .fate = fate,
            .wires = wires,
            .from = i == 0 ? ends.from : ends.to,
            .to = i == 0 ? ends.to : ends.from,
            .times = (uint32_t)u64_min(times, UINT32_MAX),
        };
    }
    return true;
}

/* ---- held frames ---- */

static void link_forget(struct scenario *scenario, uint32_t at)
{
    scenario->held_count--;
    memmove(&scenario->held[at], &scenario->held[at + 1], (scenario->held_count - at) * sizeof scenario->held[0]);
}

static void link_deliver(struct scenario *scenario, const struct link_held *held)
{
    const struct slice frame = { .bytes = held->frame, .count = held->bytes };
    if (held->to >= ENDPOINT_CLIENT)
        client_receive(scenario, held->to - ENDPOINT_CLIENT, frame);
    else
        network_deliver(&scenario->world->network, &scenario->world->scene, held->from, held->to, frame);
}

/* release|discard [first|last] KIND FROM -> TO [again]: in the order in which they were sent. */
static bool link_release(struct scenario *scenario, bool deliver)
{
    struct link_ends ends;
    uint32_t wires, fitting = 0;
    const bool first = words_take(scenario, "first");
    const bool last = !first && words_take(scenario, "last");
    if (!link_wires(scenario, &wires) || !link_ends(scenario, &ends))
        return false;
    const bool again = deliver && words_take(scenario, "again"); /* a copy: it stays held */
    for (uint32_t i = 0; i < scenario->held_count; i++)
        fitting += (wires >> scenario->held[i].wire & 1) != 0
                   && link_fits(&ends, scenario->held[i].from, scenario->held[i].to);
    if (fitting == 0)
        return scenario_wrong(scenario, "no such message is held");
    uint32_t number = 0;
    for (uint32_t i = 0; i < scenario->held_count;) {
        const struct link_held *held = &scenario->held[i];
        const bool fits = (wires >> held->wire & 1) != 0 && link_fits(&ends, held->from, held->to);
        number += fits;
        const bool wanted = fits && (!first || number == 1) && (!last || number == fitting);
        if (wanted && deliver)
            link_deliver(scenario, held);
        if (wanted && !again)
            link_forget(scenario, i);
        else
            i++;
    }
    return true;
}

static bool link_heal(struct scenario *scenario)
{
    memset(scenario->cut, 0, sizeof scenario->cut);
    scenario->rule_count = 0;
    return true;
}

bool link_line(struct scenario *scenario, const char *verb, bool *known)
{
    *known = true;
    if (strcmp(verb, "partition") == 0)
        return link_partition(scenario);
    if (strcmp(verb, "isolate") == 0)
        return link_isolate(scenario);
    if (strcmp(verb, "cut") == 0)
        return link_cut_line(scenario, true);
    if (strcmp(verb, "mend") == 0)
        return link_cut_line(scenario, false);
    if (strcmp(verb, "heal") == 0)
        return link_heal(scenario);
    if (strcmp(verb, "drop") == 0)
        return link_rule(scenario, LINK_DROP);
    if (strcmp(verb, "hold") == 0)
        return link_rule(scenario, LINK_HOLD);
    if (strcmp(verb, "pass") == 0)
        return link_rule(scenario, LINK_PASS);
    if (strcmp(verb, "release") == 0)
        return link_release(scenario, true);
    if (strcmp(verb, "discard") == 0)
        return link_release(scenario, false);
    *known = false;
    return true;
}

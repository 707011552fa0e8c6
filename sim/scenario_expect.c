/* Expectations: what must hold after all that the lines before have caused. */
#include "scenario_state.h"

#include <inttypes.h>
#include <string.h>

/* ---- of nodes ---- */

struct expect_node {
    struct scenario *scenario;
    struct node *node;
    struct replica_view view; /* when it is up */
};

static bool expect_failed(const struct expect_node *expect, const char *what, uint64_t is, const char *wanted)
{
    return scenario_wrong(expect->scenario, "node %u: %s is %" PRIu64 ", not %s", expect->node->slot + 1, what, is,
                          wanted);
}

/* 3, or >3: at least 4, where a figure depends on how entries are packed. */
static bool expect_value(const struct expect_node *expect, const char *what, uint64_t is)
{
    const char *word = words_next(expect->scenario);
    const bool above = word != NULL && word[0] == '>';
    uint64_t wanted;
    if (word == NULL || !text_number(word + above, &wanted))
        return scenario_wrong(expect->scenario, "'%s' is not a number: %s", word != NULL ? word : "", what);
    return (above ? is > wanted : is == wanted) || expect_failed(expect, what, is, word);
}

/* A node id, or another word for 0. */
static bool expect_id(const struct expect_node *expect, const char *what, const char *zero, uint64_t is)
{
    if (!words_take(expect->scenario, zero))
        return expect_value(expect, what, is);
    return is == 0 || expect_failed(expect, what, is, zero);
}

static bool expect_role(const struct expect_node *expect, enum raft_role role)
{
    return expect->view.role == role
           || scenario_wrong(expect->scenario, "node %u: is a %s, not a %s", expect->node->slot + 1,
                             raft_role_text(expect->view.role), raft_role_text(role));
}

/* The log as terms by index, as the figures of the paper draw it; "3?" is known by name only. */
static void expect_log_text(const struct expect_node *expect, char *to, size_t room)
{
    const struct replica *replica = expect->node->replica;
    size_t used = 0;
    to[0] = '\0';
    for (uint64_t index = expect->view.base.index + 1; index <= expect->view.last.index && used + 24 < room; index++)
        used += (size_t)snprintf(to + used, room - used, "%s%" PRIu64 "%s", used > 0 ? " " : "",
                                 replica_entry_term(replica, index), replica_entry_readable(replica, index) ? "" : "?");
}

/* log [after BASE] TERM...|empty */
static bool expect_log(const struct expect_node *expect)
{
    struct scenario *scenario = expect->scenario;
    char is[512], wanted[512];
    size_t used = 0;
    uint64_t base = 0;
    if (words_take(scenario, "after") && !words_number(scenario, "an index", &base))
        return false;
    wanted[0] = '\0';
    if (!words_take(scenario, "empty"))
        while (words_left(scenario) && *scenario->words[scenario->word] <= '9')
            used += (size_t)snprintf(wanted + used, sizeof wanted - used, "%s%s", used > 0 ? " " : "",
                                     words_next(scenario));
    expect_log_text(expect, is, sizeof is);
    if (expect->view.base.index != base)
        return scenario_wrong(scenario, "node %u: the base of its log is %" PRIu64 ", not %" PRIu64,
                              expect->node->slot + 1, expect->view.base.index, base);
    return strcmp(is, wanted) == 0
           || scenario_wrong(scenario, "node %u: its log is %s, not %s", expect->node->slot + 1, is, wanted);
}

/* last TERM.INDEX */
static bool expect_last(const struct expect_node *expect)
{
    char is[48];
    const char *wanted = words_next(expect->scenario);
    snprintf(is, sizeof is, "%" PRIu64 ".%" PRIu64, expect->view.last.term, expect->view.last.index);
    return (wanted != NULL && strcmp(is, wanted) == 0)
           || scenario_wrong(expect->scenario, "node %u: its last entry is %s, not %s", expect->node->slot + 1, is,
                             wanted != NULL ? wanted : "");
}

/* match PEER INDEX, next PEER INDEX: what a leader believes. */
static bool expect_peer(const struct expect_node *expect, const char *what, const uint64_t *values)
{
    struct node *peer;
    if (!words_node(expect->scenario, &peer) || !expect_role(expect, RAFT_LEADER))
        return false;
    const struct configuration *now = replica_configuration(expect->node->replica);
    const uint32_t slot = configuration_slot(now, expect->scenario->swarm.configs[peer->slot].node_id);
    if (slot == MEMBERS_MAX)
        return scenario_wrong(expect->scenario, "node %u: node %u is no member", expect->node->slot + 1,
                              peer->slot + 1);
    return expect_value(expect, what, values[slot]);
}

/* progress PEER probe|replicate|snapshot: how a leader replicates to it. */
static bool expect_progress(const struct expect_node *expect)
{
    struct node *peer;
    uint32_t wanted;
    if (!words_node(expect->scenario, &peer) || !expect_role(expect, RAFT_LEADER)
        || !words_name(expect->scenario, "a state of replication", progress_text, PROGRESS_STATES, &wanted))
        return false;
    const uint32_t is = expect->view.progress[peer->slot];
    return is == wanted
           || scenario_wrong(expect->scenario, "node %u: its state for node %u is %s, not %s", expect->node->slot + 1,
                             peer->slot + 1, progress_text(is), progress_text(wanted));
}

static bool expect_flag(const struct expect_node *expect, bool holds, const char *what)
{
    return holds || scenario_wrong(expect->scenario, "node %u: it %s", expect->node->slot + 1, what);
}

static bool expect_counts(const struct expect_node *expect, const char *word, bool *known)
{
    const struct replica_view *view = &expect->view;
    const struct {
        const char *word;
        uint64_t value;
    } values[] = {
        { "term", view->term },         { "commit", view->commit },         { "applied", view->applied },
        { "base", view->base.index },   { "durable", view->durable_index }, { "keys", view->keys },
        { "sessions", view->sessions },
    };
    for (uint32_t i = 0; i < ARRAY_COUNT(values); i++)
        if (strcmp(word, values[i].word) == 0)
            return expect_value(expect, values[i].word, values[i].value);
    *known = false;
    return true;
}

static bool expect_state(const struct expect_node *expect, const char *word, bool *known)
{
    const struct replica_view *view = &expect->view;
    const bool abstains = (view->flags & STORED_ABSTAIN) != 0;
    if (strcmp(word, "vote") == 0)
        return expect_id(expect, "its vote", "none", view->vote);
    if (strcmp(word, "follows") == 0)
        return expect_role(expect, RAFT_FOLLOWER) && expect_id(expect, "its leader", "nobody", view->leader);
    if (strcmp(word, "leads") == 0)
        return expect_role(expect, RAFT_LEADER);
    if (strcmp(word, "log") == 0)
        return expect_log(expect);
    if (strcmp(word, "last") == 0)
        return expect_last(expect);
    if (strcmp(word, "match") == 0)
        return expect_peer(expect, "what it knows to match", view->match);
    if (strcmp(word, "next") == 0)
        return expect_peer(expect, "what it sends next", view->next);
    if (strcmp(word, "progress") == 0)
        return expect_progress(expect);
    if (strcmp(word, "abstains") == 0)
        return expect_flag(expect, abstains, "does not abstain");
    if (strcmp(word, "votes") == 0)
        return expect_flag(expect, !abstains, "abstains");
    if (strcmp(word, "whole") == 0)
        return expect_flag(expect, view->store_ready && view->first_faulty == 0, "is not whole");
    if (strcmp(word, "damaged") == 0)
        return expect_flag(expect, !view->store_ready || view->first_faulty != 0, "is whole");
    for (enum raft_role role = RAFT_STARTING; role <= RAFT_STOPPED; role++)
        if (strcmp(word, raft_role_text(role)) == 0)
            return expect_role(expect, role);
    return expect_counts(expect, word, known);
}

/* What can be said of a node that is down. */
static bool expect_life(const struct expect_node *expect, const char *word, bool *known)
{
    static const char *const texts[] = { [NODE_DOWN] = "down", [NODE_UP] = "up", [NODE_STOPPED] = "stopped" };
    const enum node_state state = expect->node->state;
    for (enum node_state wanted = NODE_DOWN; wanted <= NODE_STOPPED; wanted++)
        if (strcmp(word, texts[wanted]) == 0) {
            *known = true;
            return state == wanted
                   || scenario_wrong(expect->scenario, "node %u: is %s, not %s", expect->node->slot + 1, texts[state],
                                     texts[wanted]);
        }
    *known = false;
    return true;
}

static bool expect_of_node(struct scenario *scenario, struct node *node)
{
    struct expect_node expect = { .scenario = scenario, .node = node };
    if (node->state == NODE_UP)
        replica_inspect(node->replica, &expect.view);
    if (!words_left(scenario))
        return scenario_wrong(scenario, "what should node %u be?", node->slot + 1);
    while (words_left(scenario)) {
        const char *word = words_next(scenario);
        bool known;
        if (!expect_life(&expect, word, &known))
            return false;
        if (known)
            continue;
        if (node->state != NODE_UP)
            return scenario_wrong(scenario, "node %u: is down", node->slot + 1);
        if (!members_expect(scenario, node, word, &known))
            return false;
        if (known)
            continue;
        known = true;
        if (!expect_state(&expect, word, &known))
            return false;
        if (!known)
            return scenario_wrong(scenario, "'%s' is nothing to be expected of a node", word);
    }
    return true;
}

static bool expect_nodes(struct scenario *scenario, uint32_t nodes)
{
    const uint32_t first = scenario->word;
    for (uint32_t slot = 0; slot < scenario->swarm.node_count; slot++) {
        if ((nodes >> slot & 1) == 0)
            continue;
        scenario->word = first;
        if (!expect_of_node(scenario, scenario_node(scenario, slot)))
            return false;
    }
    return true;
}

/* ---- of the cluster ---- */

/* some leader: one node leads, whichever. */
static bool expect_some_leader(struct scenario *scenario)
{
    uint32_t leaders = 0;
    for (uint32_t slot = 0; slot < scenario->swarm.node_count; slot++)
        leaders +=
            scenario_node(scenario, slot)->state == NODE_UP && scenario_node(scenario, slot)->role == RAFT_LEADER;
    return leaders == 1 || scenario_wrong(scenario, "%u nodes lead", leaders);
}

/* leader N: it leads, and nobody who is up leads, too. no leader: nobody does. */
static bool expect_leader(struct scenario *scenario, const struct node *wanted)
{
    uint32_t leaders = 0;
    for (uint32_t slot = 0; slot < scenario->swarm.node_count; slot++) {
        const struct node *node = scenario_node(scenario, slot);
        leaders += node->state == NODE_UP && node->role == RAFT_LEADER;
        if (node->state == NODE_UP && node->role == RAFT_LEADER && node != wanted)
            return scenario_wrong(scenario, "node %u leads", slot + 1);
    }
    return wanted == NULL || leaders == 1 || scenario_wrong(scenario, "node %u does not lead", wanted->slot + 1);
}

/* same state NODES: equal stores and sessions at an equal applied index. */
static bool expect_same(struct scenario *scenario)
{
    struct replica_view first = { 0 }, view;
    uint32_t nodes;
    bool any = false;
    if (!words_need(scenario, "state") || !words_nodes(scenario, &nodes))
        return false;
    for (uint32_t slot = 0; slot < scenario->swarm.node_count; slot++) {
        if ((nodes >> slot & 1) == 0)
            continue;
        if (scenario_node(scenario, slot)->state != NODE_UP)
            return scenario_wrong(scenario, "node %u is down", slot + 1);
        replica_inspect(scenario_node(scenario, slot)->replica, &view);
        if (any && (view.applied != first.applied || view.state_digest != first.state_digest))
            return scenario_wrong(scenario,
                                  "node %u has applied %" PRIu64 ", another one %" PRIu64 ", or their states differ",
                                  slot + 1, view.applied, first.applied);
        first = view;
        any = true;
    }
    return true;
}

static const char *expect_event_text(uint32_t kind) { return event_kind_text((enum event_kind)kind); }

/* [no] event KIND on NODES: each of them had it, or none, since the scenario began. */
static bool expect_event(struct scenario *scenario, bool wanted)
{
    uint32_t kind, nodes;
    if (!words_name(scenario, "an event", expect_event_text, EVENT_KINDS, &kind) || !words_need(scenario, "on")
        || !words_nodes(scenario, &nodes))
        return false;
    for (uint32_t slot = 0; slot < scenario->swarm.node_count; slot++)
        if ((nodes >> slot & 1) != 0 && (scenario->happened[slot][kind] > 0) != wanted)
            return scenario_wrong(scenario, "node %u: %s event %s", slot + 1, wanted ? "no" : "an",
                                  expect_event_text(kind));
    return true;
}

static bool expect_committed(struct scenario *scenario)
{
    const uint64_t is = check_committed(scenario->world->scene.check);
    uint64_t wanted;
    if (!words_number(scenario, "an index", &wanted))
        return false;
    return is == wanted || scenario_wrong(scenario, "%" PRIu64 " is committed, not %" PRIu64, is, wanted);
}

static bool expect_nothing(struct scenario *scenario)
{
    struct node *node;
    if (words_take(scenario, "leader"))
        return expect_leader(scenario, NULL);
    if (words_take(scenario, "event"))
        return expect_event(scenario, false);
    return words_node(scenario, &node);
}

/* ---- of clients ---- */

static const struct {
    const char *word;
    enum reply_status status;
} expect_statuses[] = {
    { "ok", REPLY_OK },
    { "not-found", REPLY_NOT_FOUND },
    { "condition-failed", REPLY_CONDITION_FAILED },
    { "no-space", REPLY_NO_SPACE },
    { "too-large", REPLY_TOO_LARGE },
    { "not-leader", REPLY_NOT_LEADER },
    { "no-leader", REPLY_NO_LEADER },
    { "busy", REPLY_BUSY },
    { "late", REPLY_LATE },
    { "unknown", REPLY_UNKNOWN },
    { "session-expired", REPLY_SESSION_EXPIRED },
    { "stale-sequence", REPLY_STALE_SEQUENCE },
    { "not-a-voter", REPLY_NOT_A_VOTER },
    { "target-silent", REPLY_TARGET_SILENT },
    { "transfer-failed", REPLY_TRANSFER_FAILED },
    { "change-under-way", REPLY_CHANGE_UNDER_WAY },
    { "term-not-open", REPLY_TERM_NOT_OPEN },
    { "unknown-member", REPLY_UNKNOWN_MEMBER },
    { "duplicate-member", REPLY_DUPLICATE_MEMBER },
    { "no-voter-left", REPLY_NO_VOTER_LEFT },
    { "wrong-role", REPLY_WRONG_ROLE },
    { "learner-behind", REPLY_LEARNER_BEHIND },
    { "would-lose-quorum", REPLY_WOULD_LOSE_QUORUM },
};

static bool expect_reply(struct scenario *scenario, const struct scenario_client *client, char name)
{
    const char *word = words_next(scenario);
    if (!client->answered)
        return scenario_wrong(scenario, "client %c has no answer", name);
    const enum reply_status is = client->reply.status;
    if (strcmp(word, "value") == 0) {
        const char *value = words_next(scenario);
        char text[64];
        show_bytes(text, sizeof text, client->reply_value, client->value_bytes);
        return (value != NULL && is == REPLY_OK && strcmp(text, value) == 0)
               || scenario_wrong(scenario, "client %c was told %s", name,
                                 is == REPLY_OK ? text : reply_status_text(is));
    }
    for (uint32_t i = 0; i < ARRAY_COUNT(expect_statuses); i++)
        if (strcmp(word, expect_statuses[i].word) == 0)
            return is == expect_statuses[i].status
                   || scenario_wrong(scenario, "client %c was answered: %s", name, reply_status_text(is));
    return scenario_wrong(scenario, "'%s' is no answer to a client", word);
}

/* CLIENT waits|stale|bounded|fresh|STATUS|value VALUE|version N|leader NODE|retry-after MS */
static bool expect_client(struct scenario *scenario, uint32_t slot)
{
    const struct scenario_client *client = &scenario->clients[slot];
    const char name = (char)('a' + slot);
    if (!words_left(scenario))
        return scenario_wrong(scenario, "what should client %c be told?", name);
    while (words_left(scenario)) {
        uint64_t number;
        if (words_take(scenario, "waits")) {
            if (client->answered || !client->open)
                return scenario_wrong(scenario, "client %c was answered: %s", name,
                                      reply_status_text(client->reply.status));
        } else if (words_take(scenario, "version")) {
            if (!words_number(scenario, "a version", &number))
                return false;
            if (!client->answered || client->reply.version != number)
                return scenario_wrong(scenario, "client %c was told version %" PRIu64, name, client->reply.version);
        } else if (words_take(scenario, "leader")) {
            if (!words_number(scenario, "a node", &number))
                return false;
            if (!client->answered || client->reply.leader != number)
                return scenario_wrong(scenario, "client %c was sent to node %" PRIu64, name, client->reply.leader);
        } else if (words_take(scenario, "bounded")) {
            if (!client->answered || (client->reply.flags & REPLY_FLAG_BOUNDED) == 0)
                return scenario_wrong(scenario, "the answer to client %c is not marked as bounded", name);
        } else if (words_take(scenario, "fresh")) {
            if (!client->answered || (client->reply.flags & (REPLY_FLAG_BOUNDED | REPLY_FLAG_STALE)) != 0)
                return scenario_wrong(scenario, "the answer to client %c may be old", name);
        } else if (words_take(scenario, "retry-after")) {
            if (!words_number(scenario, "milliseconds", &number))
                return false;
            if (!client->answered || client->reply.retry_after_ms != number)
                return scenario_wrong(scenario, "client %c was told to come again after %u ms", name,
                                      (unsigned)client->reply.retry_after_ms);
        } else if (words_take(scenario, "stale")) {
            if (!client->answered || (client->reply.flags & REPLY_FLAG_STALE) == 0)
                return scenario_wrong(scenario, "the answer to client %c is not marked as stale", name);
        } else if (!expect_reply(scenario, client, name)) {
            return false;
        }
    }
    return true;
}

bool expect_line(struct scenario *scenario, const char *verb, bool *known)
{
    struct node *node;
    uint32_t endpoints;
    *known = strcmp(verb, "expect") == 0;
    if (!*known)
        return true;
    if (words_take(scenario, "leader"))
        return words_node(scenario, &node) && expect_leader(scenario, node);
    if (words_take(scenario, "some"))
        return words_need(scenario, "leader") && expect_some_leader(scenario);
    if (words_take(scenario, "no"))
        return expect_nothing(scenario);
    if (words_take(scenario, "same"))
        return expect_same(scenario);
    if (words_take(scenario, "event"))
        return expect_event(scenario, true);
    if (words_take(scenario, "committed"))
        return expect_committed(scenario);
    if (!words_endpoints(scenario, &endpoints))
        return false;
    if (endpoints >= 1U << ENDPOINT_CLIENT)
        return expect_client(scenario, (uint32_t)__builtin_ctz(endpoints) - ENDPOINT_CLIENT);
    return expect_nodes(scenario, endpoints);
}

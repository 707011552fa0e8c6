/* Clients of a scenario: each makes one call at a time, to the node that the script names.
 *
 * A call is open until it has an outcome. A refusal (not the leader, busy) is one when the request had no other copy;
 * it is taken as such when the client makes its next call. What was never answered must be retried or abandoned. */
#include "scenario_state.h"

#include <string.h>

#include "observe.h"

static void client_tell(const struct scenario *scenario, enum observed_kind kind, const struct scenario_client *client,
                        const struct reply *reply)
{
    const uint32_t slot = (uint32_t)(client - scenario->clients);
    if (observed_by(&scenario->world->scene))
        observe(&scenario->world->scene, (struct observed){ .kind = kind,
                                                            .who = ENDPOINT_CLIENT + slot,
                                                            .call = { client->call, &client->request, reply } });
}

static void client_finish(struct scenario *scenario, struct scenario_client *client, bool returned)
{
    struct check *check = scenario->world->scene.check;
    const uint64_t now_ns = scenario->world->scene.now_ns;
    ASSERT(client->open);
    client->open = false;
    client_tell(scenario, OBSERVED_RETURN, client, returned ? &client->reply : NULL);
    if (returned)
        check_returned(check, client->call, &client->reply, now_ns);
    else
        check_abandoned(check, client->call, now_ns);
}

static bool client_refused(const struct scenario_client *client)
{
    const enum reply_status status = client->reply.status;
    return client->answered && client->copies == 1
           && (status == REPLY_NOT_LEADER || status == REPLY_NO_LEADER || status == REPLY_BUSY || status == REPLY_LATE);
}

void client_close(struct scenario *scenario)
{
    for (uint32_t slot = 0; slot < CLIENTS_MAX; slot++)
        if (scenario->clients[slot].open)
            client_finish(scenario, &scenario->clients[slot], client_refused(&scenario->clients[slot]));
}

/* ---- answers ---- */

static void client_take(struct scenario *scenario, struct scenario_client *client)
{
    const struct reply *reply = &client->reply;
    switch (reply->status) {
    case REPLY_OK:
    case REPLY_NOT_FOUND:
    case REPLY_CONDITION_FAILED:
    case REPLY_TOO_LARGE:
        if (client->request.kind == REQUEST_REGISTER && reply->status == REPLY_OK) {
            client->session = reply->session;
            client->sequence = 0;
        }
        if (client->request.kind == REQUEST_MEMBERS && reply->status == REPLY_OK)
            check_changed(scenario->world->scene.check, client->operations, client->operation_count, reply->version);
        client_finish(scenario, client, true);
        return;
    case REPLY_NO_SPACE:
    case REPLY_SESSION_EXPIRED: client_finish(scenario, client, client->copies == 1); return;
    case REPLY_STALE_SEQUENCE:
    case REPLY_BAD_REQUEST:
    case REPLY_CHANGE_UNDER_WAY:
    case REPLY_TERM_NOT_OPEN:
    case REPLY_UNKNOWN_MEMBER:
    case REPLY_DUPLICATE_MEMBER:
    case REPLY_TOO_MANY_MEMBERS:
    case REPLY_NO_VOTER_LEFT:
    case REPLY_WRONG_ROLE:
    case REPLY_LEARNER_BEHIND:
    case REPLY_WOULD_LOSE_QUORUM:
    case REPLY_WRONG_CLUSTER: client_finish(scenario, client, false); return;
    case REPLY_NOT_A_VOTER:
    case REPLY_TARGET_SILENT:
    case REPLY_TRANSFER_FAILED: client_finish(scenario, client, true); return;
    case REPLY_NOT_LEADER:
    case REPLY_NO_LEADER:
    case REPLY_BUSY:
    case REPLY_LATE:
    case REPLY_UNKNOWN: return;
    }
    UNREACHABLE();
}

static void client_show(struct scenario *scenario, uint32_t slot)
{
    const struct scenario_client *client = &scenario->clients[slot];
    const enum request_kind kind = client->request.kind;
    const bool read = kind == REQUEST_GET || kind == REQUEST_GET_STALE;
    char text[48];
    if (client->reply.status == REPLY_OK && read) {
        show_bytes(text, sizeof text, client->reply_value, client->value_bytes);
        show_text(scenario, ENDPOINT_CLIENT + slot, "is told %s%s", text,
                  (client->reply.flags & REPLY_FLAG_STALE) != 0     ? " (stale)"
                  : (client->reply.flags & REPLY_FLAG_BOUNDED) != 0 ? " (bounded)"
                                                                    : "");
    } else if (client->reply.retry_after_ms != 0) {
        show_text(scenario, ENDPOINT_CLIENT + slot, "%s, after %u ms again", reply_status_text(client->reply.status),
                  (unsigned)client->reply.retry_after_ms);
    } else {
        show_text(scenario, ENDPOINT_CLIENT + slot, "%s", reply_status_text(client->reply.status));
    }
}

void client_receive(struct scenario *scenario, uint32_t slot, struct slice frame)
{
    struct reply reply;
    if (slot >= CLIENTS_MAX || reply_decode(frame, scenario->swarm.limits.frame_bytes_max, &reply) != FRAME_OK)
        return;
    struct scenario_client *client = &scenario->clients[slot];
    if (!client->open || reply.request_id >> 20 != (uint64_t)client->call + 1)
        return;
    ASSERT(reply.value.count <= sizeof client->reply_value);
    memcpy(client->reply_value, reply.value.bytes, reply.value.count);
    client->reply = reply;
    client->reply.value.bytes = client->reply_value;
    client->value_bytes = reply.value.count;
    client->answered = true;
    client_show(scenario, slot);
    client_take(scenario, client);
}

/* ---- calls ---- */

static bool client_send(struct scenario *scenario, uint32_t slot)
{
    struct scenario_client *client = &scenario->clients[slot];
    struct workload *workload = &scenario->world->workload;
    struct scene *scene = &scenario->world->scene;
    uint32_t nodes;
    if (!words_need(scenario, "at") || !words_nodes(scenario, &nodes) || !words_end(scenario))
        return false;
    client->answered = false;
    client->attempts++;
    client->request.request_id = ((uint64_t)client->call + 1) << 20 | client->attempts;
    request_encode(&client->request, scenario->swarm.configs[0].cluster_id, workload->frame);
    const struct slice frame = { .bytes = workload->frame, .count = request_bytes(&client->request) };
    for (uint32_t node = 0; node < scenario->swarm.node_count; node++) {
        if ((nodes >> node & 1) == 0)
            continue;
        client->copies++;
        network_send(&scenario->world->network, scene, ENDPOINT_CLIENT + slot, node, frame);
    }
    return true;
}

static bool value_is_written(enum request_kind kind) { return kind >= REQUEST_PUT && kind <= REQUEST_TXN; }

static bool client_begin(struct scenario *scenario, uint32_t slot)
{
    struct scenario_client *client = &scenario->clients[slot];
    const enum request_kind kind = client->request.kind;
    if (value_is_written(kind)) {
        if (client->session == 0)
            return scenario_wrong(scenario, "client %c has no session: register it first", (char)('a' + slot));
        client->request.session = client->session;
        client->request.sequence = ++client->sequence;
    }
    client->open = true;
    client->attempts = client->copies = 0;
    client->call = scenario->world->workload.calls++;
    check_invoked(scenario->world->scene.check, client->call, slot, &client->request, scenario->world->scene.now_ns);
    client_tell(scenario, OBSERVED_CALL, client, NULL);
    return client_send(scenario, slot);
}

/* x, x=1, or x=7*100 for 100 times the 7. */
static bool client_key_value(struct scenario *scenario, struct scenario_client *client, bool with_value)
{
    const char *word = words_next(scenario);
    const size_t key_bytes = word != NULL ? strcspn(word, "=") : 0;
    if (key_bytes == 0 || key_bytes > sizeof client->key)
        return scenario_wrong(scenario, "'%s' is not %s", word != NULL ? word : "", with_value ? "KEY=VALUE" : "a key");
    if ((word[key_bytes] == '=') != with_value)
        return scenario_wrong(scenario, with_value ? "'%s' has no value" : "'%s' has a value", word);
    memcpy(client->key, word, key_bytes);
    client->request.key = (struct slice){ .bytes = client->key, .count = (uint32_t)key_bytes };
    if (!with_value)
        return true;
    const char *value = word + key_bytes + 1;
    const size_t value_bytes = strcspn(value, "*");
    uint64_t times = 1;
    if (value[value_bytes] == '*' && !text_number(value + value_bytes + 1, &times))
        return scenario_wrong(scenario, "'%s' is not a number", value + value_bytes + 1);
    if (times > VALUE_TEXT_MAX || value_bytes * times > VALUE_TEXT_MAX)
        return scenario_wrong(scenario, "a value has at most %d bytes", VALUE_TEXT_MAX);
    for (uint32_t i = 0; i < times; i++)
        memcpy(client->value + i * value_bytes, value, value_bytes);
    client->request.value = (struct slice){ .bytes = client->value, .count = (uint32_t)(value_bytes * times) };
    return true;
}

/* The call before has an outcome now, or never. */
static bool client_free(struct scenario *scenario, uint32_t slot)
{
    struct scenario_client *client = &scenario->clients[slot];
    if (client->open && !client->answered)
        return scenario_wrong(scenario, "client %c still waits: retry its call, or abandon it", (char)('a' + slot));
    if (client->open)
        client_finish(scenario, client, client_refused(client));
    return true;
}

/* KIND CLIENT [KEY[=VALUE]] [if VERSION] [local] [within TIME] [deadline TIME] at NODE; transfer CLIENT [to NODE] at
 * NODE; change CLIENT OPERATION NODES... [forced] at NODE */
static bool client_call(struct scenario *scenario, enum request_kind kind)
{
    uint32_t slot;
    if (!words_client(scenario, &slot) || !client_free(scenario, slot))
        return false;
    struct scenario_client *client = &scenario->clients[slot];
    const bool value = kind == REQUEST_PUT || kind == REQUEST_APPEND || kind == REQUEST_CAS;
    client->request = (struct request){ .kind = kind };
    if (kind == REQUEST_TRANSFER) {
        if (words_take(scenario, "to") && !words_number(scenario, "a node id", &client->request.version))
            return false;
    } else if (kind == REQUEST_MEMBERS) {
        if (!members_words_read(scenario, client))
            return false;
    } else if (kind != REQUEST_REGISTER && !client_key_value(scenario, client, value)) {
        return false;
    }
    if (kind == REQUEST_GET && words_take(scenario, "local")) {
        client->request.flags = REQUEST_FLAG_LOCAL;
        if (words_take(scenario, "within") && !words_duration(scenario, &client->request.version))
            return false;
    }
    if (kind == REQUEST_CAS
        && (!words_need(scenario, "if") || !words_number(scenario, "a version", &client->request.version)))
        return false;
    if (words_take(scenario, "deadline") && !words_duration(scenario, &client->request.budget_ns))
        return false;
    return client_begin(scenario, slot);
}

static bool client_retry(struct scenario *scenario)
{
    uint32_t slot;
    if (!words_client(scenario, &slot))
        return false;
    if (!scenario->clients[slot].open)
        return scenario_wrong(scenario, "client %c has no open call", (char)('a' + slot));
    return client_send(scenario, slot);
}

static bool client_abandon(struct scenario *scenario)
{
    uint32_t slot;
    if (!words_client(scenario, &slot))
        return false;
    if (!scenario->clients[slot].open)
        return scenario_wrong(scenario, "client %c has no open call", (char)('a' + slot));
    client_finish(scenario, &scenario->clients[slot], false);
    return true;
}

/* checkpoint at NODE: asked for, by nobody in particular. */
static bool client_checkpoint(struct scenario *scenario)
{
    const struct request request = { .kind = REQUEST_CHECKPOINT };
    struct workload *workload = &scenario->world->workload;
    struct node *node;
    if (!words_need(scenario, "at") || !words_node(scenario, &node))
        return false;
    request_encode(&request, scenario->swarm.configs[0].cluster_id, workload->frame);
    network_send(&scenario->world->network, &scenario->world->scene, ENDPOINT_CLIENT, node->slot,
                 (struct slice){ .bytes = workload->frame, .count = request_bytes(&request) });
    return true;
}

bool client_line(struct scenario *scenario, const char *verb, bool *known)
{
    static const struct {
        const char *verb;
        enum request_kind kind;
    } calls[] = {
        { "register", REQUEST_REGISTER },   { "put", REQUEST_PUT },           { "delete", REQUEST_DELETE },
        { "append", REQUEST_APPEND },       { "cas", REQUEST_CAS },           { "get", REQUEST_GET },
        { "get-stale", REQUEST_GET_STALE }, { "transfer", REQUEST_TRANSFER }, { "change", REQUEST_MEMBERS },
    };
    *known = true;
    for (uint32_t i = 0; i < ARRAY_COUNT(calls); i++)
        if (strcmp(verb, calls[i].verb) == 0)
            return client_call(scenario, calls[i].kind);
    if (strcmp(verb, "retry") == 0)
        return client_retry(scenario);
    if (strcmp(verb, "abandon") == 0)
        return client_abandon(scenario);
    if (strcmp(verb, "checkpoint") == 0)
        return client_checkpoint(scenario);
    *known = false;
    return true;
}

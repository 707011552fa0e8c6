/* Clients: calls, retries, replies. */
#include "workload.h"

#include "observe.h"
#include "workload_call.h"

/* Request ids of what is no call: garbage, and the question for a checkpoint. Those of calls are larger. */
enum { ID_GARBAGE = 0, ID_CHECKPOINT = 1, ID_STATUS = 2 };

enum prober_script { PROBER_REGISTER, PROBER_WRITE, PROBER_DELETE, PROBER_READ, PROBER_DONE };

static struct client *workload_client(struct workload *workload, uint32_t slot)
{
    ASSERT(slot < CLIENT_SLOTS);
    return &workload->clients[slot];
}

static void client_arm(struct workload *workload, struct scene *scene, uint32_t slot, uint64_t delay_ns)
{
    struct client *client = workload_client(workload, slot);
    client->timer++;
    const bool queued = queue_push(&scene->queue, scene->now_ns + 1 + delay_ns, QUEUE_CLIENT, slot, 0, client->timer);
    ASSERT(queued);
}

/* The time until a client's next call; the typical one is the mean. */
static uint64_t client_think(struct scene *scene, uint32_t slot, uint64_t drawn_ns)
{
    return choose_note(&scene->choose, SITE_THINK, drawn_ns, slot == CLIENT_PROBER ? 0 : scene->swarm.think_ns);
}

void workload_reset(struct workload *workload, struct scene *scene)
{
    const struct swarm *swarm = &scene->swarm;
    workload->calls = 0;
    workload->open = 0;
    memset(workload->savers, 0, sizeof workload->savers);
    reconfigure_reset(&workload->reconfigure);
    for (uint32_t slot = 0; slot < CLIENT_SLOTS; slot++) {
        struct client *client = &workload->clients[slot];
        memset(client, 0, offsetof(struct client, key));
        client->state = slot < swarm->client_count ? CLIENT_IDLE : CLIENT_DONE;
        choose_resume(&scene->choose, SUBJECT_CLIENT, slot, CLASS_NONE, 0);
        choose_resume(&scene->choose, SUBJECT_CALL, slot, CLASS_NONE, 0);
        client->stubborn = choose_chance(&scene->choose, SITE_STUBBORN, slot, swarm->stubborn);
        client->node = (uint32_t)choose(&scene->choose, SITE_HOME, slot, swarm->node_count);
        if (client->state == CLIENT_IDLE)
            client_arm(workload, scene, slot,
                       client_think(scene, slot,
                                    choose_draws(&scene->choose)
                                        ? choose(&scene->choose, SITE_THINK_DRAW, slot, swarm->think_ns + 1)
                                        : 0));
    }
}

static uint32_t client_send(struct workload *workload, struct scene *scene, struct network *network, uint32_t slot,
                            uint32_t node)
{
    struct client *client = workload_client(workload, slot);
    const struct slice frame = { .bytes = workload->frame, .count = request_bytes(&client->request) };
    return network_send(network, scene, ENDPOINT_CLIENT + slot, node, frame);
}

/* Request ids name call and attempt: a reply to an earlier attempt is as good, a refusal of one is not. */
static uint64_t client_attempt_id(const struct client *client)
{
    return ((uint64_t)client->call + 1) << 20 | u32_min(client->attempts, (1U << 20) - 1);
}

/* A local read goes to any node; when it has to be answered, to all in turn. */
static uint32_t client_target(struct client *client, struct scene *scene, uint32_t slot)
{
    const uint32_t nodes = scene->swarm.node_count;
    if ((client->request.flags & REQUEST_FLAG_LOCAL) == 0)
        return client->node;
    uint32_t asked = (client->asked + 1) % nodes;
    if (!scene->healed) {
        if (choose_draws(&scene->choose))
            asked = (uint32_t)choose(&scene->choose, SITE_ROUTE_DRAW, slot, nodes);
        asked = (uint32_t)choose_note(&scene->choose, SITE_ASKED, 1 + asked, 1 + client->node) - 1;
    }
    client->asked = asked % nodes;
    return client->asked;
}

/* 0, or one more than the node that is asked as well. */
static uint32_t client_hedge(struct scene *scene, uint32_t slot)
{
    uint32_t other = 0;
    if (choose_draws(&scene->choose) && choose_chance(&scene->choose, SITE_ROUTE_DRAW, slot, scene->swarm.hedge))
        other = 1 + (uint32_t)choose(&scene->choose, SITE_ROUTE_DRAW, slot, scene->swarm.node_count);
    return (uint32_t)choose_note(&scene->choose, SITE_HEDGE, other, 0);
}

static void client_attempt(struct workload *workload, struct scene *scene, struct network *network, uint32_t slot)
{
    struct client *client = workload_client(workload, slot);
    const struct swarm *swarm = &scene->swarm;
    client->state = CLIENT_WAITING;
    client->attempts++;
    client->attempt_id = client_attempt_id(client);
    client->request.request_id = client->attempt_id;
    client->request.budget_ns = scene->healed ? 0 : client->budget_ns;
    if (client->attempts > 1)
        coverage_fire(&scene->coverage, FAULT_RETRY);
    ASSERT(request_bytes(&client->request) <= CLIENT_FRAME_BYTES_MAX);
    client->tried = choose_subject(&scene->choose, SUBJECT_ATTEMPT, slot, CLASS_NONE);
    const bool drawn = choose_draws(&scene->choose) && choose(&scene->choose, SITE_CALL_DRAW, slot, 8) == 7;
    const bool anonymous = choose_note(&scene->choose, SITE_ANONYMOUS, drawn, 0) != 0;
    request_encode(&client->request, anonymous ? 0 : swarm->configs[0].cluster_id, workload->frame);
    const uint32_t target = client_target(client, scene, slot);
    /* Sessions by the dozen would only evict each other. */
    const bool many = !scene->healed && client->request.kind != REQUEST_REGISTER;
    const uint32_t copies = many ? swarm->copies : 1;
    for (uint32_t copy = 0; copy < copies; copy++)
        client->copies += client_send(workload, scene, network, slot, target);
    if (copies > 1)
        coverage_fire(&scene->coverage, FAULT_CROWD);
    const uint32_t other = scene->healed ? 0 : client_hedge(scene, slot);
    if (other != 0) {
        client->copies += client_send(workload, scene, network, slot, (other - 1) % swarm->node_count);
        coverage_fire(&scene->coverage, FAULT_HEDGE);
    }
    const uint64_t patience_ns = scene->healed ? scene_election_ns(scene) : swarm->patience_ns;
    client_arm(workload, scene, slot, patience_ns);
}

/* Every fourth phase of a schedule with overload is one: nobody thinks, and nobody waits longer than it is asked to. */
static bool client_is_driven(const struct scene *scene)
{
    return scene->swarm.overload_ns != 0 && !scene->healed && scene->now_ns / scene->swarm.overload_ns % 4 == 3;
}

/* A call begins, or ends: with an answer, or without. */
static void client_tell(const struct scene *scene, enum observed_kind kind, uint32_t slot, const struct client *client,
                        const struct reply *reply)
{
    if (observed_by(scene))
        observe(scene, (struct observed){ .kind = kind,
                                          .who = ENDPOINT_CLIENT + slot,
                                          .call = { client->call, &client->request, reply } });
}

static void client_invoke(struct workload *workload, struct scene *scene, struct network *network, uint32_t slot)
{
    struct client *client = workload_client(workload, slot);
    client->call = workload->calls++;
    client->invoked_ns = scene->now_ns;
    client->answers = 0;
    client->attempts = 0;
    client->copies = 0;
    client->budget_ns = 0;
    if (choose_draws(&scene->choose) && choose_chance(&scene->choose, SITE_BUDGET_DRAW, slot, scene->swarm.deadlines))
        client->budget_ns = choose_octave(&scene->choose, SITE_BUDGET_DRAW, slot, scene_election_ns(scene) / 256,
                                          scene_election_ns(scene));
    client->budget_ns = choose_note(&scene->choose, SITE_CALL_WITHIN, client->budget_ns, 0);
    workload->open++;
    scene->coverage.calls++;
    const enum meter_kind before = meter_switch(&scene->meter, METER_CHECK);
    check_invoked(scene->check, client->call, slot, &client->request, scene->now_ns);
    meter_switch(&scene->meter, before);
    client_tell(scene, OBSERVED_CALL, slot, client, NULL);
    client_attempt(workload, scene, network, slot);
}

static void client_ask(struct workload *workload, struct scene *scene, struct network *network, uint32_t slot,
                       enum request_kind kind, uint64_t id)
{
    const struct request request = { .request_id = id, .kind = kind };
    request_encode(&request, scene->swarm.configs[0].cluster_id, workload->frame);
    network_send(network, scene, ENDPOINT_CLIENT + slot, workload->clients[slot].node,
                 (struct slice){ .bytes = workload->frame, .count = request_bytes(&request) });
}

/* What operators do beside the calls: they ask the leader for a checkpoint, look at its status, and save what some node
 * has. */
static void client_operate(struct workload *workload, struct scene *scene, struct network *network, uint32_t slot)
{
    const struct swarm *swarm = &scene->swarm;
    if (choose_chance(&scene->choose, SITE_ASK_CHECKPOINT, slot, swarm->asks))
        client_ask(workload, scene, network, slot, REQUEST_CHECKPOINT, ID_CHECKPOINT);
    if (choose_chance(&scene->choose, SITE_ASK_STATUS, slot, swarm->asks))
        client_ask(workload, scene, network, slot, REQUEST_STATUS, ID_STATUS);
    if (choose_chance(&scene->choose, SITE_SAVE, slot, swarm->saves))
        saver_begin(&workload->savers[slot], scene, network, slot,
                    (uint32_t)choose(&scene->choose, SITE_SAVE_OF, slot, swarm->node_count));
}

static void client_begin(struct workload *workload, struct scene *scene, struct network *network, uint32_t slot)
{
    struct client *client = workload_client(workload, slot);
    client->begun = choose_subject(&scene->choose, SUBJECT_CALL, slot, CLASS_NONE);
    if (slot == CLIENT_PROBER) {
        static const enum request_kind kinds[] = {
            [PROBER_REGISTER] = REQUEST_REGISTER,
            [PROBER_WRITE] = REQUEST_PUT,
            [PROBER_DELETE] = REQUEST_DELETE,
            [PROBER_READ] = REQUEST_GET,
        };
        ASSERT(client->script < PROBER_DONE);
        workload_fixed_request(workload, scene, slot, kinds[client->script], 0);
    } else {
        if (choose_chance(&scene->choose, SITE_GARBAGE, slot, scene->swarm.malformed)) {
            const struct slice garbage = workload_draw_garbage(workload, scene, slot);
            network_send(network, scene, ENDPOINT_CLIENT + slot, client->node, garbage);
            coverage_fire(&scene->coverage, FAULT_MALFORMED_REQUEST);
        }
        client_operate(workload, scene, network, slot);
        workload_draw_request(workload, scene, slot);
    }
    client_invoke(workload, scene, network, slot);
}

/* The call is over. The prober goes on with its script, the others think. */
static void client_finish(struct workload *workload, struct scene *scene, uint32_t slot)
{
    struct client *client = workload_client(workload, slot);
    ASSERT(workload->open > 0);
    workload->open--;
    client->timer++;
    client->state = CLIENT_IDLE;
    if (slot == CLIENT_PROBER ? client->script == PROBER_DONE : scene->healed) {
        client->state = CLIENT_DONE;
        return;
    }
    uint64_t think_ns = 0;
    if (choose_draws(&scene->choose))
        think_ns = choose_exponential(&scene->choose, SITE_THINK_DRAW, slot, scene->swarm.think_ns);
    const bool driven = choose_draws(&scene->choose) && client_is_driven(scene);
    if (driven)
        coverage_fire(&scene->coverage, FAULT_OVERLOAD);
    if (slot == CLIENT_PROBER || driven)
        think_ns = 0;
    choose_resume(&scene->choose, SUBJECT_CALL, slot, CLASS_NONE, client->begun);
    client_arm(workload, scene, slot, client_think(scene, slot, think_ns));
}

static void client_abandon(struct workload *workload, struct scene *scene, uint32_t slot)
{
    check_abandoned(scene->check, workload->clients[slot].call, scene->now_ns);
    client_tell(scene, OBSERVED_RETURN, slot, &workload->clients[slot], NULL);
    coverage_fire(&scene->coverage, FAULT_ABANDON);
    client_finish(workload, scene, slot);
}

/* A refusal says that this attempt had no effect. It settles the call only if the request had no other copy. */
static void client_refused(struct workload *workload, struct scene *scene, uint32_t slot, const struct reply *reply)
{
    const struct client *client = workload_client(workload, slot);
    if (client->copies > 1) {
        client_abandon(workload, scene, slot);
        return;
    }
    check_returned(scene->check, client->call, reply, scene->now_ns);
    client_tell(scene, OBSERVED_RETURN, slot, client, reply);
    scene->coverage.calls_answered++;
    client_finish(workload, scene, slot);
}

/* A store that is full takes a delete. */
static void prober_advance(struct client *client, enum reply_status status)
{
    switch ((enum prober_script)client->script) {
    case PROBER_REGISTER: client->script = PROBER_WRITE; return;
    case PROBER_WRITE: client->script = status == REPLY_NO_SPACE ? PROBER_DELETE : PROBER_READ; return;
    case PROBER_DELETE: client->script = PROBER_READ; return;
    case PROBER_READ: client->script = PROBER_DONE; return;
    case PROBER_DONE: break;
    }
    UNREACHABLE();
}

static void client_answered(struct workload *workload, struct scene *scene, uint32_t slot, const struct reply *reply)
{
    struct client *client = workload_client(workload, slot);
    check_returned(scene->check, client->call, reply, scene->now_ns);
    client_tell(scene, OBSERVED_RETURN, slot, client, reply);
    scene->coverage.calls_answered++;
    if (client->request.kind == REQUEST_REGISTER && reply->status == REPLY_OK) {
        client->session = reply->session;
        client->sequence = 0;
    } else if (client->request.key.count > 0) {
        client->versions[client->key_slot] = reply->version;
    }
    if (slot == CLIENT_PROBER && client->script != PROBER_DONE)
        prober_advance(client, reply->status);
    client_finish(workload, scene, slot);
}

/* A busy node says when to come again. Some do not care. */
static void client_pause(struct workload *workload, struct scene *scene, uint32_t slot, uint64_t asked_ns)
{
    struct client *client = workload_client(workload, slot);
    const uint64_t pause_ns = scene_election_ns(scene) / (scene->healed ? 4 : 32);
    uint64_t drawn_ns = 0;
    if (choose_draws(&scene->choose))
        drawn_ns = 1 + choose(&scene->choose, SITE_THINK_DRAW, slot, pause_ns + 1);
    choose_resume(&scene->choose, SUBJECT_ATTEMPT, slot, CLASS_NONE, client->tried);
    drawn_ns = choose_note(&scene->choose, SITE_PAUSE, drawn_ns, 1 + pause_ns / 2);
    const bool heeds = asked_ns > drawn_ns && !client->stubborn;
    if (heeds)
        coverage_fire(&scene->coverage, FAULT_RETRY_AFTER);
    client->state = CLIENT_PAUSING;
    client_arm(workload, scene, slot, heeds ? asked_ns : drawn_ns);
}

/* Any node; the tame choice is the next one. */
static uint32_t client_draw_node(const struct client *client, struct scene *scene, uint32_t slot)
{
    const uint32_t nodes = scene->swarm.node_count;
    uint32_t node = 0;
    if (choose_draws(&scene->choose))
        node = (uint32_t)choose(&scene->choose, SITE_ROUTE_DRAW, slot, nodes);
    choose_resume(&scene->choose, SUBJECT_ATTEMPT, slot, CLASS_NONE, client->tried);
    return (uint32_t)(choose_note(&scene->choose, SITE_REROUTE, 1 + node, 1 + (client->node + 1) % nodes) - 1) % nodes;
}

static void client_reroute(struct workload *workload, struct scene *scene, uint32_t slot, uint64_t leader)
{
    struct client *client = workload_client(workload, slot);
    const struct swarm *swarm = &scene->swarm;
    ASSERT(swarm->node_count > 0);
    if (client->pinned || (client->request.flags & REQUEST_FLAG_LOCAL) != 0)
        return;
    if (client->stubborn && !scene->healed) {
        coverage_fire(&scene->coverage, FAULT_STUBBORN_CLIENT);
        return;
    }
    for (uint32_t node = 0; node < swarm->node_count; node++)
        if (leader != 0 && swarm->configs[node].node_id == leader && node != client->node) {
            client->node = node;
            return;
        }
    /* Where most may be no members, or have stopped, luck takes too long. */
    if (scene->healed && swarm->reconfigures)
        client->node = (client->node + 1) % swarm->node_count;
    else
        client->node = client_draw_node(client, scene, slot);
}

/* Turned away, or without an answer: tries again, elsewhere perhaps, until it gives up. */
static void client_turned_away(struct workload *workload, struct scene *scene, uint32_t slot, const struct reply *reply)
{
    struct client *client = workload_client(workload, slot);
    client_reroute(workload, scene, slot, reply != NULL ? reply->leader : 0);
    if (scene->healed || client->attempts < scene->swarm.attempts_max) {
        client_pause(workload, scene, slot, reply != NULL ? reply->retry_after_ms * 1000000ULL : 0);
        return;
    }
    const bool definite = reply != NULL && reply->status != REPLY_UNKNOWN;
    if (definite)
        client_refused(workload, scene, slot, reply);
    else
        client_abandon(workload, scene, slot);
}

static void client_expired(struct workload *workload, struct scene *scene, uint32_t slot, const struct reply *reply)
{
    struct client *client = workload_client(workload, slot);
    client->session = 0;
    client->sequence = 0;
    client->script = PROBER_REGISTER;
    coverage_fire(&scene->coverage, FAULT_SESSION_LOST);
    client_refused(workload, scene, slot, reply);
}

static void client_take(struct workload *workload, struct scene *scene, uint32_t slot, const struct reply *reply)
{
    struct client *client = workload_client(workload, slot);
    const bool latest = reply->request_id == client->attempt_id && client->state == CLIENT_WAITING;
    switch (reply->status) {
    case REPLY_OK:
    case REPLY_NOT_FOUND:
    case REPLY_CONDITION_FAILED:
    case REPLY_NOT_A_VOTER:
    case REPLY_TARGET_SILENT:
    case REPLY_TRANSFER_FAILED:
    case REPLY_NO_SPACE:
    case REPLY_TOO_LARGE: client_answered(workload, scene, slot, reply); return;
    case REPLY_NOT_LEADER:
    case REPLY_NO_LEADER:
    case REPLY_BUSY:
    case REPLY_LATE:
    case REPLY_UNKNOWN:
        check_count(scene->check, CHECK_DEADLINE);
        if ((reply->status == REPLY_BUSY) != (reply->retry_after_ms != 0))
            check_fail(scene->check, CHECK_DEADLINE, UINT32_MAX, "call %u was answered: %s; come again after %u ms",
                       client->call, reply_status_text(reply->status), (unsigned)reply->retry_after_ms);
        if (latest)
            client_turned_away(workload, scene, slot, reply);
        return;
    case REPLY_SESSION_EXPIRED: client_expired(workload, scene, slot, reply); return;
    case REPLY_STALE_SEQUENCE:
        check_fail(scene->check, CHECK_EXACTLY_ONCE, UINT32_MAX,
                   "call %u was told that its sequence is stale, yet it "
                   "is the latest of its session",
                   client->call);
        return;
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
    case REPLY_WRONG_CLUSTER:
        check_fail(scene->check, CHECK_WRITE, UINT32_MAX, "call %u is well-formed, yet was answered: %s", client->call,
                   reply_status_text(reply->status));
        return;
    }
    UNREACHABLE();
}

/* The answer to what was no call. */
static void client_take_other(struct scene *scene, const struct reply *reply)
{
    check_count(scene->check, CHECK_FRAME);
    if (reply->request_id == ID_GARBAGE && reply->status != REPLY_BAD_REQUEST)
        check_fail(scene->check, CHECK_FRAME, UINT32_MAX, "what is no request was answered: %s",
                   reply_status_text(reply->status));
    if (reply->request_id == ID_GARBAGE)
        return;
    if (reply->request_id == ID_STATUS) {
        check_status(scene->check, reply);
        return;
    }
    if (reply->status == REPLY_OK)
        coverage_fire(&scene->coverage, FAULT_CHECKPOINT_ASKED);
    else if (reply->status != REPLY_NOT_LEADER && reply->status != REPLY_BUSY)
        check_fail(scene->check, CHECK_FRAME, UINT32_MAX, "who asked for a checkpoint was answered: %s",
                   reply_status_text(reply->status));
}

void workload_receive(struct workload *workload, struct scene *scene, struct network *network, uint32_t slot,
                      struct slice frame)
{
    struct client *client = workload_client(workload, slot);
    struct reply reply;
    if (reply_decode(frame, scene->swarm.limits.frame_bytes_max, &reply) != FRAME_OK) {
        saver_receive(&workload->savers[slot], scene, network, frame);
        return;
    }
    ASSERT((uint32_t)reply.status < REPLY_STATUSES);
    scene->coverage.replies[reply.status]++;
    if (reconfigure_receive(&workload->reconfigure, scene, &reply))
        return;
    if (reply.request_id <= ID_STATUS) {
        client_take_other(scene, &reply);
        return;
    }
    const bool busy = client->state == CLIENT_WAITING || client->state == CLIENT_PAUSING;
    if (!busy || reply.request_id >> 20 != (uint64_t)client->call + 1)
        return;
    client->answers += scene->healed;
    client_take(workload, scene, slot, &reply);
}

void workload_receive_damaged(struct scene *scene, struct slice frame)
{
    struct reply reply;
    check_count(scene->check, CHECK_FRAME);
    if (reply_decode(frame, scene->swarm.limits.frame_bytes_max, &reply) == FRAME_OK)
        check_fail(scene->check, CHECK_FRAME, UINT32_MAX, "a damaged reply of %u bytes decodes", frame.count);
}

void workload_timer(struct workload *workload, struct scene *scene, struct network *network, uint32_t slot,
                    uint32_t timer)
{
    struct client *client = workload_client(workload, slot);
    if (timer != client->timer)
        return;
    switch (client->state) {
    case CLIENT_IDLE: client_begin(workload, scene, network, slot); return;
    case CLIENT_WAITING: client_turned_away(workload, scene, slot, NULL); return;
    case CLIENT_PAUSING: client_attempt(workload, scene, network, slot); return;
    case CLIENT_DONE: return;
    }
    UNREACHABLE();
}

void workload_heal(struct workload *workload, struct scene *scene)
{
    for (uint32_t slot = 0; slot < CLIENTS_MAX; slot++) {
        struct client *client = &workload->clients[slot];
        if (client->state == CLIENT_IDLE)
            client->state = CLIENT_DONE;
        if (client->state == CLIENT_WAITING || client->state == CLIENT_PAUSING)
            client_arm(workload, scene, slot, scene_election_ns(scene) / 2);
    }
    struct client *prober = &workload->clients[CLIENT_PROBER];
    prober->state = CLIENT_IDLE;
    client_arm(workload, scene, CLIENT_PROBER, 0);
}

bool workload_settled(const struct workload *workload)
{
    return workload->open == 0 && workload->clients[CLIENT_PROBER].script == PROBER_DONE;
}

uint32_t workload_answered(const struct workload *workload, uint64_t since_ns, uint32_t *unanswered)
{
    uint32_t answered = 0;
    *unanswered = UINT32_MAX;
    for (uint32_t slot = 0; slot < CLIENT_SLOTS; slot++) {
        const struct client *client = &workload->clients[slot];
        const bool open = client->state == CLIENT_WAITING || client->state == CLIENT_PAUSING;
        if (!open || client->invoked_ns > since_ns)
            continue;
        if (client->answers > 0)
            answered++;
        else
            *unanswered = u32_min(*unanswered, client->call);
    }
    return answered;
}

void workload_ask(struct workload *workload, struct scene *scene, struct network *network, uint32_t node,
                  enum request_kind kind, uint32_t key_slot)
{
    struct client *client = &workload->clients[CLIENT_PROBER];
    ASSERT(kind == REQUEST_GET || kind == REQUEST_GET_STALE);
    ASSERT(client->state == CLIENT_DONE);
    client->script = PROBER_DONE;
    client->pinned = true;
    client->node = node;
    workload_fixed_request(workload, scene, CLIENT_PROBER, kind, key_slot);
    client_invoke(workload, scene, network, CLIENT_PROBER);
}

bool workload_told(const struct workload *workload) { return workload->clients[CLIENT_PROBER].state == CLIENT_DONE; }

void workload_close(struct workload *workload, struct scene *scene)
{
    for (uint32_t slot = 0; slot < CLIENT_SLOTS; slot++) {
        struct client *client = &workload->clients[slot];
        if (client->state != CLIENT_WAITING && client->state != CLIENT_PAUSING)
            continue;
        check_abandoned(scene->check, client->call, scene->now_ns);
        client_tell(scene, OBSERVED_RETURN, slot, client, NULL);
        workload->open--;
        client->state = CLIENT_DONE;
    }
    workload->clients[CLIENT_PROBER].state = CLIENT_DONE;
}

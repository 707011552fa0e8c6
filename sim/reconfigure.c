/* Drawing changes of the members, and looking after who comes and goes; see reconfigure.h. */
#include "reconfigure.h"

#include "../core/inspect.h"
#include "node.h"

/* Ids of requests, below those of calls. */
enum { CHANGE_ID_FIRST = 16, CHANGE_ID_END = 1 << 20 };

/* What becomes part of a plan, which a trace notes as a whole. */
static uint64_t draw(struct world *world, uint64_t n)
{
    return choose_draws(&world->scene.choose) ? choose(&world->scene.choose, SITE_CHANGE_DRAW, 0, n) : 0;
}

static bool chance(struct world *world, enum choose_site site, uint32_t rate)
{
    return choose_chance(&world->scene.choose, site, 0, rate);
}

void reconfigure_reset(struct reconfigure *reconfigure) { memset(reconfigure, 0, sizeof *reconfigure); }

static void schedule(struct world *world)
{
    struct scene *scene = &world->scene;
    uint64_t wait_ns = scene_election_ns(scene);
    if (!scene->healed && choose_draws(&scene->choose))
        wait_ns = 1 + choose_exponential(&scene->choose, SITE_CHANGE_DRAW, 0, scene->swarm.change_ns);
    const uint64_t next_ns = choose_draws(&scene->choose) ? UINT64_MAX : choose_when(&scene->choose, SITE_CHANGE, 0);
    if (next_ns != UINT64_MAX && !scene->healed)
        wait_ns = next_ns - scene->now_ns;
    /* Noted now: that it is still to come when the faults end matters, too. */
    if (!scene->healed && (choose_draws(&scene->choose) || next_ns != UINT64_MAX))
        choose_plan(&scene->choose, SITE_CHANGE, 0, scene->now_ns + wait_ns);
    const bool queued = queue_push(&scene->queue, scene->now_ns + wait_ns, QUEUE_MEMBERS, 0, 0, 0);
    ASSERT(queued);
}

void reconfigure_start(struct world *world)
{
    world->workload.reconfigure.members = check_members(world->scene.check);
    world->workload.reconfigure.joined = world->workload.reconfigure.members;
    if (world->scene.swarm.reconfigures)
        schedule(world);
}

/* ---- nodes ---- */

/* Whoever is a member runs, as far as it is for the operator to see to that. */
static void tend(struct world *world)
{
    struct scene *scene = &world->scene;
    const uint32_t members = check_members_possible(scene->check);
    for (uint32_t slot = 0; slot < scene->swarm.node_count; slot++) {
        struct node *node = &world->nodes[slot];
        const bool member = (members >> slot & 1) != 0;
        if (node->outsider)
            continue;
        if (node->state == NODE_DOWN && node->life == 0 && member) {
            node_start(world, node);
        } else if (node->state == NODE_STOPPED && node->stop == STOP_REMOVED) {
            if (!member && (scene->healed || !chance(world, SITE_REVIVE, scene->swarm.revived)))
                continue;
            if (!member)
                coverage_fire(&scene->coverage, FAULT_REMOVED_REVIVED);
            node->state = NODE_DOWN;
            node_start(world, node);
        }
    }
}

/* ---- what to ask for ---- */

struct plan {
    struct configuration now; /* of the node that is asked */
    struct change_asked asked;
    uint32_t leader;
};

static uint8_t plan_roles(const struct world *world, const struct plan *plan, uint32_t node)
{
    const uint32_t slot = configuration_slot(&plan->now, world->scene.swarm.configs[node].node_id);
    return slot < MEMBERS_MAX ? plan->now.members[slot].roles : 0;
}

static bool plan_has(const struct world *world, const struct plan *plan, uint32_t node)
{
    for (uint32_t i = 0; i < plan->asked.count; i++)
        if (plan->asked.operations[i].id == world->scene.swarm.configs[node].node_id)
            return true;
    return false;
}

/* A node with one of these roles, 0: no member, that the plan has nothing for yet; the leader in a quarter of the
 * cases. VOTERS_MAX: none. */
static uint32_t plan_pick(struct world *world, const struct plan *plan, uint8_t roles)
{
    const uint32_t count = world->scene.swarm.node_count;
    const uint32_t first = draw(world, 4) == 3 ? plan->leader : (uint32_t)draw(world, count);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t node = (first + i) % count;
        const uint8_t has = plan_roles(world, plan, node);
        if ((roles == 0 ? has == 0 : (has & roles) != 0) && !plan_has(world, plan, node))
            return node;
    }
    return VOTERS_MAX;
}

static uint8_t roles_for(enum member_operation_kind kind)
{
    switch (kind) {
    case MEMBER_ADD_LEARNER:
    case MEMBER_ADD_VOTER: return 0;
    case MEMBER_PROMOTE: return MEMBER_LEARNER;
    case MEMBER_DEMOTE: return MEMBER_VOTER;
    case MEMBER_REMOVE:
    case MEMBER_SET_ADDRESS:
    case MEMBER_SET_PRIORITY: return MEMBER_VOTER | MEMBER_LEARNER;
    }
    UNREACHABLE();
}

static void new_address(const struct world *world, const struct plan *plan, struct member_operation *operation)
{
    const uint64_t number = world->workload.reconfigure.asked;
    const char address[] = { 'm', (char)('a' + number % 26), (char)('a' + number / 26 % 26),
                             (char)('0' + plan->asked.count) };
    memcpy(operation->address, address, sizeof address);
}

/* A new one each time; now and then that of another member. */
static void draw_address(struct world *world, const struct plan *plan, struct member_operation *operation)
{
    const struct member *other = &plan->now.members[draw(world, MEMBERS_MAX)];
    if (other->id != 0 && other->id != operation->id && draw(world, 8) == 7)
        memcpy(operation->address, other->address, sizeof operation->address);
    else
        new_address(world, plan, operation);
}

/* One more operation, if there is a node for it. */
static void plan_add(struct world *world, struct plan *plan, enum member_operation_kind kind, bool any)
{
    const uint32_t node =
        any ? (uint32_t)draw(world, world->scene.swarm.node_count) : plan_pick(world, plan, roles_for(kind));
    if (node == VOTERS_MAX || plan->asked.count == CHANGE_OPERATIONS_MAX || plan_has(world, plan, node))
        return;
    struct member_operation operation = { .id = world->scene.swarm.configs[node].node_id, .kind = (uint8_t)kind };
    if (kind == MEMBER_ADD_LEARNER || kind == MEMBER_ADD_VOTER || kind == MEMBER_SET_ADDRESS)
        draw_address(world, plan, &operation);
    if (kind == MEMBER_ADD_LEARNER || kind == MEMBER_ADD_VOTER)
        plan->asked.readded |= world->workload.reconfigure.members & 1u << node;
    if (kind == MEMBER_SET_PRIORITY)
        operation.priority = (uint8_t)draw(world, 4);
    plan->asked.operations[plan->asked.count++] = operation;
}

static enum member_operation_kind draw_kind(struct world *world)
{
    static const uint8_t kinds[] = { MEMBER_PROMOTE, MEMBER_PROMOTE,     MEMBER_PROMOTE,     MEMBER_ADD_LEARNER,
                                     MEMBER_REMOVE,  MEMBER_REMOVE,      MEMBER_ADD_LEARNER, MEMBER_ADD_VOTER,
                                     MEMBER_DEMOTE,  MEMBER_SET_ADDRESS, MEMBER_SET_PRIORITY };
    return (enum member_operation_kind)kinds[draw(world, ARRAY_COUNT(kinds))];
}

/* One change; one for another, all at once; everybody out. */
static void plan_draw(struct world *world, struct plan *plan)
{
    const uint64_t ticket = draw(world, 32);
    const bool any = draw(world, 12) == 11;
    if (ticket < 18) {
        plan_add(world, plan, draw_kind(world), any);
    } else if (ticket < 22) {
        plan_add(world, plan, draw(world, 2) == 0 ? MEMBER_PROMOTE : MEMBER_ADD_VOTER, false);
        plan_add(world, plan, MEMBER_REMOVE, any);
    } else if (ticket < 25) {
        for (uint32_t i = 0; i < 3; i++)
            plan_add(world, plan, MEMBER_PROMOTE, false);
        for (uint32_t i = 0; i < plan->asked.count + draw(world, 2); i++)
            plan_add(world, plan, draw(world, 2) == 0 ? MEMBER_REMOVE : MEMBER_DEMOTE, false);
    } else if (ticket < 31) {
        for (uint64_t left = 2 + draw(world, 4); left > 0; left--)
            plan_add(world, plan, draw_kind(world), any);
    } else {
        for (uint32_t i = 0; i < VOTERS_MAX; i++)
            plan_add(world, plan, MEMBER_REMOVE, false);
    }
}

/* One operation as a number: kind, node, priority, and whose address it takes, one more than its slot. 0: none. */
static uint64_t operation_pack(const struct world *world, const struct plan *plan,
                               const struct member_operation *operation)
{
    uint64_t other = 0;
    for (uint32_t slot = 0; slot < MEMBERS_MAX && operation->address[0] != 0; slot++)
        if (plan->now.members[slot].id != 0 && plan->now.members[slot].id != operation->id
            && memcmp(plan->now.members[slot].address, operation->address, sizeof operation->address) == 0)
            other = slot + 1;
    return operation->kind + ((uint64_t)world_slot_of(world, operation->id) << 4) + ((uint64_t)operation->priority << 8)
           + (other << 12);
}

static void operation_unpack(struct world *world, struct plan *plan, uint64_t packed)
{
    const struct swarm *swarm = &world->scene.swarm;
    const uint32_t node = (uint32_t)(packed >> 4 & 15) % swarm->node_count;
    const uint32_t kind = (uint32_t)(packed & 15);
    const uint32_t other = (uint32_t)(packed >> 12) % (MEMBERS_MAX + 1);
    if (kind < MEMBER_ADD_LEARNER || kind > MEMBER_SET_PRIORITY || plan->asked.count == CHANGE_OPERATIONS_MAX)
        return;
    struct member_operation operation = { .id = swarm->configs[node].node_id,
                                          .kind = (uint8_t)kind,
                                          .priority = (uint8_t)(packed >> 8 & 15) };
    if (kind == MEMBER_ADD_LEARNER || kind == MEMBER_ADD_VOTER || kind == MEMBER_SET_ADDRESS) {
        new_address(world, plan, &operation);
        if (other > 0 && plan->now.members[other - 1].id != 0)
            memcpy(operation.address, plan->now.members[other - 1].address, sizeof operation.address);
    }
    if (kind == MEMBER_ADD_LEARNER || kind == MEMBER_ADD_VOTER)
        plan->asked.readded |= world->workload.reconfigure.members & 1u << node;
    plan->asked.operations[plan->asked.count++] = operation;
}

/* The operations, and a 0 behind them. */
static void plan_note(struct world *world, struct plan *plan)
{
    struct choose *choices = &world->scene.choose;
    if (choose_draws(choices)) {
        for (uint32_t i = 0; i < plan->asked.count; i++)
            choose_note(choices, SITE_CHANGE_OPS, operation_pack(world, plan, &plan->asked.operations[i]), 0);
        choose_note(choices, SITE_CHANGE_OPS, 0, 0);
        return;
    }
    for (uint32_t i = 0; i <= CHANGE_OPERATIONS_MAX; i++) {
        const uint64_t packed = choose_note(choices, SITE_CHANGE_OPS, 0, 0);
        if (packed == 0)
            return;
        operation_unpack(world, plan, packed);
    }
}

/* May it be asked for? What is refused in any case may. */
static bool plan_is_bearable(const struct world *world, const struct plan *plan)
{
    const struct swarm *swarm = &world->scene.swarm;
    struct configuration next, behind;
    if (plan->asked.count == 0)
        return false;
    if (swarm->voters_min <= 1 || configuration_is_joint(&plan->now))
        return true;
    if (configuration_change(&plan->now, plan->asked.operations, plan->asked.count, swarm->limits.members_max, &next)
        != CONFIGURATION_OK)
        return true;
    behind = next;
    if (configuration_is_joint(&next))
        configuration_leave(&next, &behind);
    return bits_count(configuration_voters(&behind)) >= swarm->voters_min;
}

/* ---- asking ---- */

static struct node *leader_if_any(struct world *world)
{
    struct node *leader = &world->nodes[0];
    for (uint32_t slot = 0; slot < world->scene.swarm.node_count; slot++)
        if (world->nodes[slot].state == NODE_UP && world->nodes[slot].role == RAFT_LEADER)
            leader = &world->nodes[slot];
    return leader;
}

static struct node *draw_whom_to_ask(struct world *world)
{
    const uint32_t count = world->scene.swarm.node_count;
    struct node *asked = &world->nodes[draw(world, count)];
    if (draw(world, 8) == 7)
        return asked;
    for (uint32_t slot = 0; slot < count; slot++)
        if (world->nodes[slot].state == NODE_UP && world->nodes[slot].role == RAFT_LEADER
            && (asked->role != RAFT_LEADER || asked->state != NODE_UP || draw(world, 2) == 1))
            asked = &world->nodes[slot];
    return asked;
}

/* A trace names the node, or means the leader. */
static struct node *whom_to_ask(struct world *world)
{
    struct choose *choices = &world->scene.choose;
    struct node *leader = leader_if_any(world);
    struct node *asked = choose_draws(choices) ? draw_whom_to_ask(world) : leader;
    const uint64_t named = choose_note(choices, SITE_CHANGE_ASK, asked == leader ? 0 : 1 + asked->slot, 0);
    return named == 0 ? leader : &world->nodes[(named - 1) % world->scene.swarm.node_count];
}

static void note_targets(struct world *world, const struct change_asked *asked)
{
    struct scene *scene = &world->scene;
    for (uint32_t i = 0; i < asked->count; i++) {
        const uint32_t target = world_slot_of(world, asked->operations[i].id);
        if (world->nodes[target].state != NODE_UP)
            coverage_fire(&scene->coverage, FAULT_CHANGE_OF_DOWN);
        if (world->network.cut[asked->leader][target] != 0)
            coverage_fire(&scene->coverage, FAULT_CHANGE_OF_CUT);
        /* Who is to join is started before, or when the change is seen to be done. */
        const uint8_t kind = asked->operations[i].kind;
        const bool joins = kind == MEMBER_ADD_LEARNER || kind == MEMBER_ADD_VOTER;
        if (joins && world->nodes[target].state == NODE_DOWN && world->nodes[target].life == 0
            && choose(&scene->choose, SITE_CHANGE_START, 0, 2) == 1)
            node_start(world, &world->nodes[target]);
    }
}

/* Which configuration it is meant for: where no other would do, one that stays. */
static bool plan_version(struct world *world, const struct plan *plan, const struct replica *replica, uint64_t *version)
{
    struct replica_view view;
    const uint64_t index = plan->now.id.index;
    *version = index;
    replica_inspect(replica, &view);
    if (world->scene.swarm.voters_min > 1)
        return index > 0 ? index <= view.commit
                         : plan->asked.count == 1 && plan->asked.operations[0].kind == MEMBER_ADD_LEARNER;
    enum { VERSION_USED, VERSION_ANY, VERSION_OTHER } which = VERSION_USED;
    if (chance(world, SITE_CHANGE_DRAW, world->scene.swarm.change_any))
        which = VERSION_ANY;
    else if (draw(world, 16) == 15)
        which = VERSION_OTHER; /* most likely */
    const uint64_t noted = choose_note(&world->scene.choose, SITE_CHANGE_VERSION, which, VERSION_USED);
    *version = noted == VERSION_USED ? index : noted == VERSION_ANY ? 0 : index + 1;
    return true;
}

static void ask(struct world *world, struct node *node)
{
    struct scene *scene = &world->scene;
    struct reconfigure *reconfigure = &world->workload.reconfigure;
    uint8_t frame[2048];
    struct plan plan = { .leader = node->slot, .asked = { .leader = node->slot } };
    if (node->state != NODE_UP)
        return;
    plan.now = *replica_configuration(node->replica);
    if (choose_draws(&scene->choose))
        plan_draw(world, &plan);
    plan_note(world, &plan);
    if (!plan_is_bearable(world, &plan) || !plan_version(world, &plan, node->replica, &plan.asked.version))
        return;
    plan.asked.id = CHANGE_ID_FIRST + reconfigure->asked++;
    plan.asked.forced = chance(world, SITE_CHANGE_FORCED, scene->swarm.change_forced);
    ASSERT(plan.asked.id < CHANGE_ID_END);
    reconfigure->changes[plan.asked.id % CHANGES_MAX] = plan.asked;
    const struct request request = {
        .request_id = plan.asked.id,
        .kind = REQUEST_MEMBERS,
        .version = plan.asked.version,
        .flags = plan.asked.forced ? REQUEST_FLAG_FORCE : 0,
        .value = { .bytes = (const uint8_t *)plan.asked.operations,
                   .count = plan.asked.count * (uint32_t)sizeof plan.asked.operations[0] },
    };
    const uint32_t bytes = request_bytes(&request);
    ASSERT(bytes <= sizeof frame);
    request_encode(&request, scene->swarm.configs[0].cluster_id, frame);
    const uint32_t client = (uint32_t)choose(&scene->choose, SITE_CHANGE_CLIENT, 0, scene->swarm.client_count);
    network_send(&world->network, scene, ENDPOINT_CLIENT + client, node->slot,
                 (struct slice){ .bytes = frame, .count = bytes });
    note_targets(world, &plan.asked);
}

void reconfigure_tick(struct world *world)
{
    choose_subject(&world->scene.choose, SUBJECT_CHANGE, 0, CLASS_NONE);
    tend(world);
    if (!world->scene.healed) {
        struct node *node = whom_to_ask(world);
        ask(world, node);
        if (chance(world, SITE_CHANGE_TWICE, world->scene.swarm.change_together)) {
            coverage_fire(&world->scene.coverage, FAULT_CHANGE_TOGETHER);
            ask(world, node);
        }
    }
    schedule(world);
}

bool reconfigure_is_request(struct slice frame)
{
    struct request_header header;
    if (frame.count < sizeof(struct frame_header) + sizeof header)
        return false;
    memcpy(&header, frame.bytes + sizeof(struct frame_header), sizeof header);
    return header.kind == REQUEST_MEMBERS;
}

/* ---- what became of it ---- */

static enum fault_kind fault_of(enum member_operation_kind kind)
{
    switch (kind) {
    case MEMBER_ADD_LEARNER: return FAULT_LEARNER_ADDED;
    case MEMBER_ADD_VOTER: return FAULT_VOTER_ADDED;
    case MEMBER_PROMOTE: return FAULT_LEARNER_PROMOTED;
    case MEMBER_DEMOTE: return FAULT_VOTER_DEMOTED;
    case MEMBER_REMOVE: return FAULT_MEMBER_REMOVED;
    case MEMBER_SET_ADDRESS: return FAULT_ADDRESS_CHANGED;
    case MEMBER_SET_PRIORITY: return FAULT_PRIORITY_CHANGED;
    }
    UNREACHABLE();
}

static void note_done(struct reconfigure *reconfigure, struct scene *scene, const struct change_asked *asked)
{
    struct coverage *coverage = &scene->coverage;
    const uint64_t leader = scene->swarm.configs[asked->leader].node_id;
    for (uint32_t i = 0; i < asked->count; i++) {
        const struct member_operation *operation = &asked->operations[i];
        const bool goes = operation->kind == MEMBER_REMOVE || operation->kind == MEMBER_DEMOTE;
        coverage_fire(coverage, fault_of((enum member_operation_kind)operation->kind));
        if (goes && operation->id == leader)
            coverage_fire(coverage, FAULT_LEADER_REMOVED);
    }
    if (asked->count > 1)
        coverage_fire(coverage, FAULT_CHANGE_OF_SEVERAL);
    if (asked->forced)
        coverage_fire(coverage, FAULT_CHANGE_FORCED);
    if (asked->readded != 0)
        coverage_fire(coverage, FAULT_MEMBER_READDED);
    reconfigure->members |= check_members(scene->check);
}

bool reconfigure_receive(struct reconfigure *reconfigure, struct scene *scene, const struct reply *reply)
{
    if (reply->request_id < CHANGE_ID_FIRST || reply->request_id >= CHANGE_ID_END)
        return false;
    struct change_asked *asked = &reconfigure->changes[reply->request_id % CHANGES_MAX];
    if (asked->id != reply->request_id)
        return true;
    if (reply->status == REPLY_CONDITION_FAILED)
        check_change_unfit(scene->check, asked->version, reply->version);
    if (reply->status != REPLY_OK)
        return true;
    check_changed(scene->check, asked->operations, asked->count, reply->version);
    note_done(reconfigure, scene, asked);
    asked->id = 0;
    return true;
}

static void note_appended(struct world *world, const struct node *node, enum configuration_event event)
{
    struct reconfigure *reconfigure = &world->workload.reconfigure;
    struct coverage *coverage = &world->scene.coverage;
    const struct configuration *before = replica_configuration_committed(node->replica);
    if (node->role != RAFT_LEADER)
        return;
    if (event == CONFIGURATION_JOINT) {
        reconfigure->joint = replica_configuration(node->replica)->id;
        reconfigure->joint_leader = node->slot;
        coverage_fire(coverage, FAULT_JOINT_ENTERED);
    } else if (configuration_is_joint(before)) {
        const bool same = reconfigure->joint_leader == node->slot && log_id_equal(reconfigure->joint, before->id)
                          && before->id.term == replica_configuration(node->replica)->id.term;
        coverage_fire(coverage, same ? FAULT_JOINT_LEFT : FAULT_JOINT_LEFT_LATER);
    }
}

static void note_hand_over(struct world *world, const struct event *event)
{
    struct reconfigure *reconfigure = &world->workload.reconfigure;
    struct coverage *coverage = &world->scene.coverage;
    if (event->b == TRANSFER_LEAVES)
        coverage_fire(coverage, FAULT_LEADER_LEAVES);
    if (event->b == TRANSFER_PREFERS)
        coverage_fire(coverage, FAULT_LEADER_PREFERS);
    if (event->b == TRANSFER_DONE && reconfigure->preferred == event->a)
        coverage_fire(coverage, FAULT_PREFERRED_LEADS);
    if (event->b != TRANSFER_ASKED && event->b != TRANSFER_TAKEN)
        reconfigure->preferred = event->b == TRANSFER_PREFERS ? event->a : 0;
}

/* A member without a vote. */
static void note_learner(struct coverage *coverage, const struct node *node, enum raft_role role)
{
    const struct configuration *used = replica_configuration(node->replica);
    struct replica_view view;
    replica_inspect(node->replica, &view);
    if (view.slot == MEMBERS_MAX || (used->members[view.slot].roles & MEMBER_LEARNER) == 0)
        return;
    if (role == RAFT_PRE_CANDIDATE)
        coverage_fire(coverage, FAULT_LEARNER_CAMPAIGNS);
    if (role == RAFT_LEADER)
        coverage_fire(coverage, FAULT_LEARNER_LEADS);
}

void reconfigure_note(struct world *world, const struct node *node, const struct event *event)
{
    struct reconfigure *reconfigure = &world->workload.reconfigure;
    struct coverage *coverage = &world->scene.coverage;
    const enum configuration_event kind = (enum configuration_event)event->b;
    if (event->kind == EVENT_ROLE && (event->a == RAFT_PRE_CANDIDATE || event->a == RAFT_CANDIDATE)
        && (check_members(world->scene.check) >> node->slot & 1) == 0)
        coverage_fire(coverage, FAULT_REMOVED_CAMPAIGNS);
    if (event->kind == EVENT_ROLE)
        note_learner(coverage, node, (enum raft_role)event->a);
    if (event->kind == EVENT_TRANSFER)
        note_hand_over(world, event);
    if (event->kind != EVENT_CONFIGURATION)
        return;
    if (kind == CONFIGURATION_ROLLED_BACK)
        coverage_fire(coverage, FAULT_CHANGE_UNDONE);
    else if ((reconfigure->joined >> node->slot & 1) == 0)
        coverage_fire(coverage, kind == CONFIGURATION_LOADED ? FAULT_JOINED_BY_PAGES : FAULT_JOINED_BY_LOG);
    reconfigure->joined |= 1u << node->slot;
    if (kind == CONFIGURATION_JOINT || kind == CONFIGURATION_FINAL)
        note_appended(world, node, kind);
}

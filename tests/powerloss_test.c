/* Power is lost at every disk operation of a few scripted histories, the writes in flight having landed in every way;
 * then all nodes start from their disks and are compared with a model of what they owe.
 *
 * The histories hold elections, truncations, restarts, checkpoints, laps of the ring and an install. What must hold
 * after each loss of power:
 *
 *   - each node has exactly the log of its batches that landed before the first one that did not
 *   - no term that left in a frame, and no vote that was given, is forgotten
 *   - every committed entry lies on a majority
 *   - the nodes elect a leader, end with equal logs and equal states, and serve again
 *   - no batch ever lies on what a superblock that may count begins the log with
 *   - a client finds every write that was acknowledged, and a repeated one takes effect once
 *
 * POWERLOSS_DEPTH=N in the environment repeats the scripts in N orders of events, and tries more ways of landing when
 * more than three writes are in flight; `make powerloss` does. Not a simulator: messages are neither lost nor late, and
 * disks do not rot. */
#include "powerloss_world.h"
#include "test.h"

enum { DEPTH = 2, ALL_LANDINGS_WRITES_MAX = 3, SOME_LANDINGS = 6 };

static struct limits test_limits(void)
{
    struct limits limits = limits_tiny;
    limits.wal_body_blocks = 128;
    limits.wal_reserve_blocks = 16;
    limits.log_entries_max = 128;
    limits.checkpoint_entries = 32;
    limits.value_bytes_max = BIG_VALUE_BYTES;
    limits.append_bytes_max = 1024;
    return limits;
}

/* A ring that wraps with every seventh round of writes, and a checkpoint with every second. */
static struct limits lap_limits(void)
{
    struct limits limits = test_limits();
    limits.wal_body_blocks = 36;
    limits.wal_reserve_blocks = 8;
    limits.wal_retain_blocks = 2;
    limits.checkpoint_wal_blocks = 8;
    return limits;
}

static struct cluster world; /* lives through the script */
static struct cluster after; /* starts from what a loss of power left of it */
static struct {
    uint64_t cut_points;
    uint64_t images;
    uint64_t cuts;       /* starts that cut a tail */
    uint64_t votes;      /* starts that had a vote of their term to remember */
    uint32_t flying_max; /* most writes in flight */
    uint32_t depth;
    const char *script;
    char trying[512]; /* the loss of power that is being tried; "": none */
} run;

static struct {
    uint64_t cut_points;
    uint64_t images;
    uint64_t cuts;
    uint64_t checkpoints;
    uint64_t laps;
    uint64_t installs;
    uint32_t flying_max;
} total;

static struct {
    uint64_t cut_points;
    uint64_t images;
    uint64_t recoveries;  /* of a node */
    uint64_t comparisons; /* logs, states and clients' values with the model */
} sum;

/* ---- after a loss of power ---- */

static void after_start(uint32_t slot)
{
    struct node *node = after.nodes[slot];
    const struct model_node *model = &world.models[slot];
    const struct model_log expected = model_landed(&model->wal, node);
    const struct rebirth rebirth = image_boot(node, &after.no_faults);
    EXPECT_EQUAL(rebirth.stop, 0);
    const struct replica_view view = node_view(node);
    EXPECT(view.durable_term >= model->term);
    EXPECT(view.durable_term >= model->vote_term);
    if (view.durable_term == model->vote_term && model->vote != 0) {
        EXPECT(view.durable_vote == model->vote || view.durable_vote == VOTE_UNKNOWN);
        run.votes++;
    }
    run.cuts += rebirth.cut;
    struct model_log log;
    model_log_read(&log, node);
    EXPECT_EQUAL(log.base, model_superblock(node).stored.head.base.index);
    EXPECT(model_log_equal(&log, &expected));
    sum.recoveries++;
    sum.comparisons++;
    after.models[slot] = (struct model_node){ .wal.durable = expected };
    after.models[slot].wal.durable.base = log.base;
}

static void expect_committed_on_majority(void)
{
    struct model_log logs[NODES_MAX];
    for (uint32_t slot = 0; slot < after.count; slot++)
        model_log_read(&logs[slot], after.nodes[slot]);
    for (uint64_t index = 1; index <= after.committed.last; index++) {
        uint32_t holders = 0;
        for (uint32_t slot = 0; slot < after.count; slot++)
            holders += index <= logs[slot].base
                       || (index <= logs[slot].last && logs[slot].entries[index] == after.committed.entries[index]);
        EXPECT(holders > after.count / 2);
    }
}

static uint32_t after_elect(void)
{
    for (uint32_t attempt = 0; attempt < 2 * after.count; attempt++)
        if (campaign(&after, attempt % after.count))
            return attempt % after.count;
    test_fail(__FILE__, __LINE__, "a leader is elected within two rounds of candidates");
}

static void after_serve(uint32_t leader, uint32_t client)
{
    struct model_client *model = &after.clients[client];
    if (model->session == 0) {
        EXPECT_EQUAL(read_writes(&after, leader, client), 0);
        return;
    }
    const uint64_t found = read_writes(&after, leader, client);
    EXPECT(found >= model->acknowledged && found <= model->sent);
    sum.comparisons++;
    if (model->acknowledged < model->sent) {
        ask_write(&after, leader, client);
        settle(&after);
        EXPECT_EQUAL(model->reply.status, REPLY_OK);
    }
    ask_next_write(&after, leader, client);
    settle(&after);
    EXPECT_EQUAL(model->reply.status, REPLY_OK);
    EXPECT_EQUAL(read_writes(&after, leader, client), model->sent);
}

/* The disks of `after` hold what power left. */
static void after_live(void)
{
    after.frame_count = 0;
    after.committed = world.committed;
    memcpy(after.clients, world.clients, sizeof after.clients);
    prng_seed(&after.prng, run.images);
    for (uint32_t slot = 0; slot < after.count; slot++)
        after_start(slot);
    expect_committed_on_majority();
    const uint32_t leader = after_elect();
    for (uint32_t client = 0; client < CLIENTS; client++)
        after_serve(leader, client);
    for (uint32_t beats = 0; beats == 0 || !is_even(&after); beats++) {
        EXPECT(beats < 50);
        pass_time(&after, leader);
    }
    struct model_log logs[2];
    const struct replica_view first = node_view(after.nodes[leader]);
    model_log_read(&logs[0], after.nodes[leader]);
    for (uint32_t slot = 0; slot < after.count; slot++) {
        const struct replica_view view = node_view(after.nodes[slot]);
        model_log_read(&logs[1], after.nodes[slot]);
        EXPECT(model_log_equal(&logs[0], &logs[1]));
        EXPECT_EQUAL(view.applied, first.last.index);
        EXPECT(view.state_digest == first.state_digest);
        sum.comparisons += 2;
        node_crash(after.nodes[slot]);
    }
}

/* ---- losing power ---- */

struct flying {
    uint32_t node;
    uint32_t slot;
    uint32_t landings;
};

static void describe(const struct flying *writes, uint32_t count, const uint32_t *landing)
{
    int used =
        snprintf(run.trying, sizeof run.trying, "%s, cut point %llu:", run.script, (unsigned long long)run.cut_points);
    for (uint32_t i = 0; i < count && used < (int)sizeof run.trying; i++) {
        const struct node_op *op = &world.nodes[writes[i].node]->ops[writes[i].slot];
        used += snprintf(run.trying + used, sizeof run.trying - (size_t)used, " node %u %s %u bytes at %llu %s;",
                         writes[i].node + 1, op->device == DEVICE_WAL ? "wal" : "data", op->bytes,
                         (unsigned long long)op->offset,
                         landing[i] == 0   ? "lost"
                         : landing[i] == 1 ? "landed"
                                           : "torn");
    }
}

/* A failed expectation left it there. */
static void report_failed_try(void)
{
    if (run.trying[0] != '\0')
        printf("power lost in %s\n", run.trying);
    run.trying[0] = '\0';
}

static void try_landing(const struct flying *writes, uint32_t count, const uint32_t *landing)
{
    for (uint32_t slot = 0; slot < world.count; slot++) {
        memcpy(after.nodes[slot]->image, world.nodes[slot]->image, world.nodes[slot]->image_bytes);
        memcpy(after.nodes[slot]->data, world.nodes[slot]->data, world.nodes[slot]->data_bytes);
    }
    for (uint32_t i = 0; i < count; i++)
        image_land(world.nodes[writes[i].node], writes[i].slot, landing[i], after.nodes[writes[i].node], NULL);
    run.images++;
    describe(writes, count, landing);
    after_live();
    run.trying[0] = '\0';
}

static bool landing_next(const struct flying *writes, uint32_t count, uint32_t *landing)
{
    for (uint32_t i = 0; i < count; i++) {
        if (++landing[i] < writes[i].landings)
            return true;
        landing[i] = 0;
    }
    return false;
}

/* Too many for all: none, all, all torn, each alone; then by chance. */
static void try_some_landings(const struct flying *writes, uint32_t count)
{
    struct prng prng;
    prng_seed(&prng, run.cut_points);
    for (uint32_t attempt = 0; attempt < SOME_LANDINGS + run.depth; attempt++) {
        uint32_t landing[NODES_MAX * NODE_OPS_MAX] = { 0 };
        for (uint32_t i = 0; i < count; i++) {
            const uint32_t torn = 2 + (uint32_t)prng_below(&prng, writes[i].landings - 2);
            const uint32_t any = (uint32_t)prng_below(&prng, writes[i].landings);
            const uint32_t corner[] = { 0, 1, torn };
            landing[i] = attempt < 3 ? corner[attempt] : attempt < 3 + count ? attempt - 3 == i : any;
        }
        try_landing(writes, count, landing);
    }
}

static void power_cut_everywhere(void)
{
    struct flying writes[NODES_MAX * NODE_OPS_MAX];
    uint32_t landing[NODES_MAX * NODE_OPS_MAX] = { 0 };
    uint32_t count = 0;
    for (uint32_t slot = 0; slot < world.count; slot++) {
        const struct node *node = world.nodes[slot];
        for (uint32_t i = 0; i < node->op_count; i++)
            if (node->ops[i].write)
                writes[count++] = (struct flying){ slot, i, image_landings(node, &node->ops[i]) };
    }
    run.cut_points++;
    run.flying_max = u32_max(run.flying_max, count);
    if (count > ALL_LANDINGS_WRITES_MAX) {
        try_some_landings(writes, count);
        return;
    }
    do {
        try_landing(writes, count, landing);
    } while (landing_next(writes, count, landing));
}

/* ---- scripts ---- */

static void worlds_free(void)
{
    for (uint32_t slot = 0; slot < world.count; slot++) {
        node_free(world.nodes[slot]);
        node_free(after.nodes[slot]);
    }
    world.count = 0;
}

static void script_begin(const char *name, const struct limits *limits, uint32_t voters, uint32_t number)
{
    const char *depth = getenv("POWERLOSS_DEPTH");
    report_failed_try();
    worlds_free();
    memset(&world, 0, sizeof world);
    memset(&after, 0, sizeof after);
    memset(&run, 0, sizeof run);
    run.depth = depth != NULL && strtoul(depth, NULL, 10) > 0 ? (uint32_t)strtoul(depth, NULL, 10) : DEPTH;
    run.script = name;
    prng_seed(&world.prng, number);
    world.count = voters;
    after.count = voters;
    world.before_write = power_cut_everywhere;
    for (uint32_t slot = 0; slot < voters; slot++) {
        struct replica_config config = node_config(slot + 1);
        config.pre_vote = number % 2 == 0;
        config.strict_naming = number % 3 == 2;
        config.check_quorum = false; /* each node's clock passes only when the script says so */
        world.nodes[slot] = node_new(limits, &config, node_voters(voters));
        after.nodes[slot] = node_new(limits, &config, node_voters(voters));
        node_start(world.nodes[slot]);
    }
    settle(&world);
}

static void script_end(void)
{
    power_cut_everywhere();
    EXPECT(run.cuts > 0);
    EXPECT(world.count == 1 || run.votes > 0);
    EXPECT(world.count < 3 || world.truncations > 0);
    total.checkpoints += world.checkpoints;
    total.laps += world.laps;
    total.installs += world.installs;
    total.cut_points += run.cut_points;
    total.images += run.images;
    total.cuts += run.cuts;
    total.flying_max = u32_max(total.flying_max, run.flying_max);
}

/* One node loses power. Its oldest batch in flight tears, whatever else was in flight lands. */
static void restart(uint32_t slot)
{
    struct node *node = world.nodes[slot];
    struct model_node *model = &world.models[slot];
    uint64_t oldest = UINT64_MAX;
    for (uint32_t i = 0; i < node->op_count; i++)
        if (op_is_batch(node, &node->ops[i]))
            oldest = u64_min(oldest, node->ops[i].offset);
    for (uint32_t i = 0; i < node->op_count; i++)
        if (node->ops[i].write)
            image_land(node, i, node->ops[i].device == DEVICE_WAL && node->ops[i].offset == oldest ? 2 : 1, node, NULL);
    const struct model_log landed = model_landed(&model->wal, node);
    *model = (struct model_node){
        .wal.durable = landed, .term = model->term, .vote_term = model->vote_term, .vote = model->vote
    };
    node_crash(node);
    node_start(node);
    settle(&world);
    struct model_log log;
    model_log_read(&log, node);
    EXPECT(model_log_equal(&log, &model->wal.durable));
}

static void register_all(uint32_t leader)
{
    for (uint32_t client = 0; client < CLIENTS; client++)
        ask_register(&world, leader, client);
    settle(&world);
}

static void write_all(uint32_t leader)
{
    for (uint32_t client = 0; client < CLIENTS; client++)
        ask_next_write(&world, leader, client);
    settle(&world);
}

/* Clients whose write was not acknowledged repeat it. */
static void write_again(uint32_t leader)
{
    for (uint32_t client = 0; client < CLIENTS; client++)
        if (world.clients[client].acknowledged < world.clients[client].sent)
            ask_write(&world, leader, client);
    settle(&world);
    for (uint32_t client = 0; client < CLIENTS; client++)
        EXPECT_EQUAL(world.clients[client].acknowledged, world.clients[client].sent);
}

static void deliver_all(void)
{
    while (world.frame_count > 0)
        deliver(&world);
}

static void script_one_voter(uint32_t number)
{
    const struct limits limits = test_limits();
    script_begin("one voter", &limits, 1, number);
    EXPECT(campaign(&world, 0));
    register_all(0);
    write_all(0);
    write_all(0);
    for (uint32_t client = 0; client < CLIENTS; client++)
        ask_next_write(&world, 0, client);
    restart(0); /* mid-write, into a cut */
    EXPECT(campaign(&world, 0));
    write_again(0);
    restart(0); /* at rest */
    EXPECT(campaign(&world, 0));
    write_all(0);
    script_end();
}

static void script_two_voters(uint32_t number)
{
    const struct limits limits = test_limits();
    script_begin("two voters", &limits, 2, number);
    EXPECT(campaign(&world, 0));
    register_all(0);
    write_all(0);
    for (uint32_t client = 0; client < CLIENTS; client++)
        ask_next_write(&world, 0, client);
    restart(0); /* the leader, with its own writes torn and those of its follower under way */
    if (!campaign(&world, 1))
        EXPECT(campaign(&world, 0));
    write_again(leads(&world, 0) ? 0 : 1);
    EXPECT(campaign(&world, leads(&world, 0) ? 1 : 0));
    write_all(leads(&world, 0) ? 0 : 1);
    script_end();
}

/* What node 0 writes alone conflicts with what the others do meanwhile, and goes. */
static void overrule(void)
{
    world.isolated[0] = true;
    ask_next_write(&world, 0, 0);
    settle(&world);
    ask_next_write(&world, 0, 1);
    settle(&world);
    EXPECT(campaign(&world, 1));
    ask_next_write(&world, 1, 2);
    settle(&world);
    world.isolated[0] = false;
    heartbeat(&world, 1);
    heartbeat(&world, 1);
    EXPECT(!leads(&world, 0));
    write_again(1);
}

static void script_three_voters(uint32_t number)
{
    const struct limits limits = test_limits();
    script_begin("three voters", &limits, 3, number);
    EXPECT(campaign(&world, 0));
    register_all(0);
    write_all(0);
    overrule();
    world.isolated[0] = true; /* falls behind */
    ask_next_write(&world, 1, 0);
    ask_next_write(&world, 1, 1);
    deliver_all();
    restart(2); /* a follower that had not acknowledged yet */
    heartbeat(&world, 1);
    world.isolated[0] = false;
    tick(&world, 0, SECOND_NS); /* two candidates of one term, of whom the first gets its voter's term only */
    tick(&world, 2, SECOND_NS);
    settle(&world);
    EXPECT(campaign(&world, 2));
    write_again(2);
    write_all(2);
    heartbeat(&world, 2);
    script_end();
}

/* Without a loss of power: until the node's log has left that many blocks behind. */
static void write_laps(uint32_t leader, uint64_t blocks)
{
    world.before_write = NULL;
    for (uint32_t rounds = 0; world.models[leader].wal.durable.end < blocks * world.nodes[leader]->limits.block_bytes;
         rounds++) {
        EXPECT(rounds < 60);
        write_all(leader);
    }
    world.before_write = power_cut_everywhere;
}

static void script_laps(uint32_t number)
{
    const struct limits limits = lap_limits();
    script_begin("laps", &limits, 3, number);
    world.before_write = NULL;
    EXPECT(campaign(&world, 0));
    register_all(0);
    write_laps(0, limits.wal_body_blocks - 8);
    for (uint32_t round = 0; round < 4; round++)
        write_all(0); /* around the end of the ring, through a checkpoint */
    EXPECT(world.laps > 0 && world.checkpoints > 0 && node_view(world.nodes[0]).base.index > 0);
    world.stalled[2] = true; /* falls behind what the log still holds, with a batch in flight */
    ask_next_write(&world, 0, 0);
    settle(&world);
    world.isolated[2] = true;
    const uint64_t behind = node_view(world.nodes[2]).last.index;
    world.before_write = NULL;
    for (uint32_t round = 0; node_view(world.nodes[0]).base.index <= behind; round++) {
        EXPECT(round < 20);
        write_all(0);
    }
    world.before_write = power_cut_everywhere;
    world.isolated[2] = false;
    for (uint32_t beats = 0; beats < 5; beats++)
        pass_time(&world, 0); /* the checkpoint is there, and must wait for the log that it replaces */
    EXPECT(world.installs == 0);
    world.stalled[2] = false;
    for (uint32_t beats = 0; !is_even(&world); beats++) {
        EXPECT(beats < 50);
        pass_time(&world, 0);
    }
    EXPECT(world.installs > 0);
    overrule();
    write_all(1);
    restart(2);
    pass_time(&world, 1);
    script_end();
}

static void in_all_orders(void (*script)(uint32_t))
{
    memset(&total, 0, sizeof total);
    for (uint32_t number = 0; number == 0 || number < run.depth; number++)
        script(number);
    printf("%10llu  points at which power was lost, in %u orders of events\n%10llu  images\n%10llu  cut tails\n"
           "%10llu  checkpoints, %llu laps of the ring, %llu installs\n%10u  writes in flight at most\n",
           (unsigned long long)total.cut_points, run.depth, (unsigned long long)total.images,
           (unsigned long long)total.cuts, (unsigned long long)total.checkpoints, (unsigned long long)total.laps,
           (unsigned long long)total.installs, total.flying_max);
    sum.cut_points += total.cut_points;
    sum.images += total.images;
    worlds_free();
}

TEST(one_voter_survives_a_loss_of_power_at_any_write) { in_all_orders(script_one_voter); }
TEST(two_voters_survive_a_loss_of_power_at_any_write) { in_all_orders(script_two_voters); }
TEST(three_voters_survive_a_loss_of_power_at_any_write) { in_all_orders(script_three_voters); }
TEST(checkpoints_laps_and_installs_survive_a_loss_of_power_at_any_write) { in_all_orders(script_laps); }

int main(int argc, char **argv)
{
    const int status = test_main(argc, argv);
    report_failed_try();
    printf(
        "powerloss: %s, %llu cuts of power after a disk operation, %llu recoveries, %llu comparisons with the model\n",
        status == 0 ? "nothing lost" : "FAILED", (unsigned long long)sum.cut_points, (unsigned long long)sum.recoveries,
        (unsigned long long)sum.comparisons);
    return status;
}

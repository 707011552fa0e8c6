/* What a start makes of a log, exhaustively (storage design 2.8): every state of the last batches and of the header
 * ring, each judged by an oracle that the recovered replica must agree with. The superblock has a test of its own.
 *
 * A real follower writes the scenes (recovery_scene.h); the test puts their blocks together as a disk may have left
 * them. Nothing is forged but the batch that does not chain. The oracle knows how an image came about: which batch was
 * written, what damaged it, which names are left. The replica sees the image only.
 *
 * With RECOVERY_DEPTH=1 in the environment, all tails of up to three batches are tried, and every seventh of four: some
 * minutes. */
#include "recovery_oracle.h"
#include "test.h"

enum { BEHIND_CUT = 2, CUT_LANDINGS = 4, LOOKS = 3 };

/* ---- trying a case ---- */

static struct {
    struct image_crashes crashes; /* lives[0] is the one that is judged */
    struct node *alone;           /* the only voter of its cluster */
    struct disk disk;
    uint64_t images;
    uint64_t order; /* of completions: image_boot_in_order() */
} trial;

static void report_failed_case(void);

static void trial_begin(void)
{
    report_failed_case();
    const struct limits limits = test_limits();
    const struct replica_config config = node_config(2);
    struct configuration alone = node_voters(1);
    alone.members[0].id = 2;
    memset(&trial, 0, sizeof trial);
    for (uint32_t life = 0; life < IMAGE_CRASHES_MAX; life++)
        trial.crashes.lives[life] = node_new(&limits, &config, node_voters(3));
    trial.alone = node_new(&limits, &config, alone);
}

static void trial_end(void)
{
    for (uint32_t life = 0; life < IMAGE_CRASHES_MAX; life++)
        node_free(trial.crashes.lives[life]);
    node_free(trial.alone);
}

/* Puts the case on the disks of the life that is judged. */
static struct node *trial_load(const struct scene *scene, const struct scenario *scenario)
{
    struct node *node = trial.crashes.lives[0];
    disk_assemble(&trial.disk, scene, scenario);
    memcpy(node->image, trial.disk.image, node->image_bytes);
    memcpy(node->data, scene->node->data, node->data_bytes);
    trial.crashes.faults[0] = trial.disk.faults;
    return node;
}

static void expect_log(const struct node *node, const struct scene *scene, const struct kept_log *expected)
{
    EXPECT_EQUAL(node->stop, 0);
    struct kept_log log;
    kept_log_read(node, &log);
    const struct replica_view view = node_view(node);
    const uint64_t faulty = kept_log_faulty(expected);
    EXPECT_EQUAL(log.base, expected->base);
    EXPECT_EQUAL(log.last, expected->last);
    for (uint64_t index = log.base + 1; index <= log.last; index++) {
        EXPECT_EQUAL(log.entries[index].term, expected->entries[index].term);
        EXPECT_EQUAL(log.entries[index].faulty, expected->entries[index].faulty);
        EXPECT(log.entries[index].digest == expected->entries[index].digest);
    }
    EXPECT_EQUAL(view.first_faulty, faulty);
    EXPECT_EQUAL(view.durable_index, faulty != 0 ? faulty - 1 : expected->last);
    EXPECT_EQUAL(view.term, scene->term);
}

static bool abstains(const struct node *node)
{
    return (node->replica->superblock.durable.flags & STORED_ABSTAIN) != 0;
}

struct expected_log {
    const struct scene *scene;
    const struct expected *expected;
};

static void expect_after_crash(const struct node *node, const void *expected)
{
    const struct expected_log *rule = expected;
    struct kept_log log;
    kept_log_read(node, &log);
    const bool hole = rule->expected->hole && kept_log_equal(&log, &rule->expected->hole_log);
    expect_log(node, rule->scene, hole ? &rule->expected->hole_log : &rule->expected->log);
    EXPECT(abstains(node) || !rule->expected->abstain);
    EXPECT(!abstains(node) || rule->expected->abstain || rule->expected->may_abstain || hole);
}

static void describe(const struct scene *scene, const struct scenario *scenario, const struct expected *expected)
{
    static const char *const names[TAIL_STATES] = { "valid",   "torn-head",  "torn-body", "zero",
                                                    "garbage", "unreadable", "unchained", "stale" };
    static const char *const pasts[PASTS] = { "none", "named", "cut", "laps" };
    printf("case:");
    for (uint32_t at = 0; at < scene->count; at++)
        printf(" %s(echo %u, term %llu behind %llu)", names[scenario->state[at]], scene->tail[at].echo,
               (unsigned long long)scene->tail[at].suffix.term, (unsigned long long)scene->tail[at].suffix.prev.index);
    printf(", named %u, ring state %d, past %s: expected %u taken, %u faulty, last %llu%s%s%s\n", scenario->named,
           (int)scenario->ring, pasts[scene->past_kind], expected->taken, expected->faulty,
           (unsigned long long)expected->log.last, expected->abstain ? ", abstain" : "",
           expected->leftovers ? ", leftovers" : "", expected->cut ? ", cut" : "");
}

/* The case that is being tried; a failed expectation left it there. */
static struct {
    const struct scene *scene;
    struct scenario scenario;
    struct expected expected;
} trying;

static void try_begin(const struct scene *scene, const struct scenario *scenario, const struct expected *expected)
{
    trying.scene = scene;
    trying.scenario = *scenario;
    trying.expected = *expected;
}

static void report_failed_case(void)
{
    if (trying.scene != NULL)
        describe(trying.scene, &trying.scenario, &trying.expected);
    trying.scene = NULL;
}

/* Nobody has what the only voter lost: it stops, and leaves its disk alone. */
static void judge_alone(const struct scene *scene, const struct expected *expected)
{
    struct node *node = trial.alone;
    struct image_faults faults = trial.disk.faults;
    memcpy(node->image, trial.disk.image, node->image_bytes);
    memcpy(node->data, scene->node->data, node->data_bytes);
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++) {
        uint8_t *block = node->image + superblock_offset(&node->limits, copy);
        struct superblock superblock;
        memcpy(&superblock, block, sizeof superblock);
        superblock.stored.members.latest = node_voters(1);
        superblock.stored.members.latest.members[0].id = node->config.node_id;
        memcpy(block, &superblock, sizeof superblock);
        superblock_seal(block, limits_superblock_bytes(&node->limits));
    }
    const struct rebirth rebirth = image_boot(node, &faults);
    const uint64_t faulty = kept_log_faulty(&expected->log);
    if (!expected->abstain && faulty == 0) {
        expect_log(node, scene, &expected->log);
        return;
    }
    EXPECT_EQUAL(rebirth.stop, STOP_WAL_DAMAGED);
    EXPECT_EQUAL(rebirth.detail, faulty != 0 ? faulty : expected->log.last + 1);
    EXPECT_EQUAL(rebirth.writes, 0);
}

/* Boots the case and compares with the oracle. */
static struct expected judge(const struct scene *scene, const struct scenario *scenario)
{
    struct node *node = trial_load(scene, scenario);
    const struct expected expected = oracle(scene, scenario, &trial.disk);
    try_begin(scene, scenario, &expected);
    const struct rebirth rebirth = image_boot_in_order(node, &trial.crashes.faults[0], trial.order);
    trial.images++;
    EXPECT_EQUAL(rebirth.stop, 0);
    expect_log(node, scene, &expected.log);
    EXPECT_EQUAL(rebirth.damaged, expected.faulty);
    EXPECT_EQUAL(rebirth.abstained, expected.abstain);
    EXPECT_EQUAL(abstains(node), expected.abstain);
    EXPECT_EQUAL(rebirth.batches, expected.cut ? 1 : 0);
    EXPECT_EQUAL(rebirth.cut, expected.cut);
    if (expected.abstain || expected.faulty > 0 || trial.images % 8 == 0)
        judge_alone(scene, &expected);
    trying.scene = NULL;
    return expected;
}

/* ---- enumerations ---- */

typedef void scenario_visit(const struct scene *scene, const struct scenario *scenario);

/* Have the blocks that are to be damaged been written? */
static bool ring_possible(const struct scene *scene, const struct scenario *scenario)
{
    if (scenario->ring == RING_INTACT || scenario->ring == RING_UNREADABLE)
        return true;
    if (scenario->ring == RING_TWO_NEWEST_UNREADABLE)
        return scenario->named > 1 || scene->names[0].offset != 0; /* a past has two names at least */
    return scene->names[scenario->named].offset != 0;
}

/* Did anything lie where the batch of the tail goes? */
static bool tail_was_written(const struct scene *scene, uint32_t at)
{
    const uint8_t *before = scene->past + scene->tail[at].offset;
    return !bytes_are_zero(before, sizeof scene->tail[at].run);
}

/* All states of all batches, all named prefixes, all damages of the ring; of the states only every `stride`th. */
static void scene_each(const struct scene *scene, uint32_t first, uint32_t stride, scenario_visit *visit)
{
    uint32_t combinations = 1;
    for (uint32_t at = 0; at < scene->count; at++)
        combinations *= TAIL_STATES;
    for (uint32_t combination = first % stride; combination < combinations; combination += stride) {
        struct scenario scenario = { .named = 0 };
        bool possible = true;
        uint32_t rest = combination;
        for (uint32_t at = 0; at < scene->count; at++, rest /= TAIL_STATES) {
            scenario.state[at] = (enum tail_state)(rest % TAIL_STATES);
            possible = possible && (scenario.state[at] != TAIL_STALE || tail_was_written(scene, at));
        }
        for (scenario.named = 0; possible && scenario.named <= scene->count; scenario.named++) {
            for (uint32_t ring = RING_INTACT; ring < RING_STATES; ring++) {
                scenario.ring = (enum ring_state)ring;
                if (ring_possible(scene, &scenario))
                    visit(scene, &scenario);
            }
        }
    }
}

/* The next way in which each batch may know of durable ones before it: echo[i] <= i, never falling. */
static bool echo_next(uint32_t *echo, uint32_t count)
{
    for (uint32_t at = count; at-- > 1;) {
        if (echo[at] == at)
            continue;
        echo[at]++;
        for (uint32_t later = at + 1; later < count; later++)
            echo[later] = echo[at];
        return true;
    }
    return false;
}

/* Which batches truncate: none, a middle one, every other, the first and more. */
static const uint32_t truncations[] = { 0x0, 0x2, 0xa, 0x5 };

static bool deep(void)
{
    const char *depth = getenv("RECOVERY_DEPTH");
    return depth != NULL && depth[0] != '0';
}

typedef void scene_visit(const struct scene *scene, uint32_t number);

/* All pasts and echoes, with all truncations; of tails of three and more with one of them, in turns. */
static void scenes_each(uint32_t count, scene_visit *visit)
{
    uint32_t number = 0;
    for (uint32_t past = PAST_NONE; past < PASTS; past++) {
        uint32_t echo[TAIL_MAX] = { 0 };
        do {
            for (uint32_t at = 0; at < ARRAY_COUNT(truncations); at++) {
                if (count >= 3 && number % ARRAY_COUNT(truncations) != at && !deep())
                    continue;
                struct scene *scene = scene_new((enum past)past, count, truncations[at], echo);
                visit(scene, number);
                scene_free(scene);
            }
            number++;
        } while (echo_next(echo, count));
    }
}

/* ---- claims about the log ---- */

static void visit_classify(const struct scene *scene, const struct scenario *scenario) { (void)judge(scene, scenario); }

/* Taking turns: these primes and the number of states have no common divisor, so every state has every place. */
static const uint32_t stride_classify[TAIL_MAX + 1] = { 1, 1, 1, 5, 127 };
static const uint32_t stride_decide[TAIL_MAX + 1] = { 1, 1, 13, 127, 2003 };
static const uint32_t stride_reorder[TAIL_MAX + 1] = { 1, 1, 3, 61, 2003 };
static const uint32_t stride_deep[TAIL_MAX + 1] = { 1, 1, 1, 1, 7 };

static void scene_classify(const struct scene *scene, uint32_t number)
{
    scene_each(scene, number, deep() ? stride_deep[scene->count] : stride_classify[scene->count], visit_classify);
}

static void trial_report(void)
{
    for (uint32_t i = 0; i < REASONS; i++) {
        printf("%10llu  %s\n", (unsigned long long)reason_hits[i], reason_texts[i]);
        EXPECT(reason_hits[i] > 0);
    }
    printf("%10llu  images\n", (unsigned long long)trial.images);
}

/* The table of core/recovery_walk.c: exactly one row for any evidence, and what no row may ever say. */
TEST(any_evidence_fits_exactly_one_rule)
{
    for (uint32_t bits = 0; bits < 16; bits++) {
        const struct recovery_evidence evidence = {
            .intact = (bits & 1) != 0,
            .identified = (bits & 2) != 0,
            .proved = (bits & 4) != 0,
            .doubt = (bits & 8) != 0,
        };
        EXPECT_EQUAL(recovery_rules_matching(&evidence), 1);
        const enum recovery_verdict verdict = recovery_verdict_of(&evidence);
        EXPECT_EQUAL(verdict == RECOVERY_KEEP, evidence.intact);
        if (evidence.intact)
            continue;
        EXPECT_EQUAL(verdict == RECOVERY_FAULTY, evidence.proved && evidence.identified);
        EXPECT_EQUAL(verdict == RECOVERY_CUT, !evidence.proved && !evidence.doubt);
    }
}

TEST(every_tail_of_up_to_three_batches_is_kept_faulty_unknown_or_cut_as_the_oracle_says)
{
    trial_begin();
    memset(reason_hits, 0, sizeof reason_hits);
    for (uint32_t count = 0; count < TAIL_MAX; count++)
        scenes_each(count, scene_classify);
    trial_report();
    trial_end();
}

TEST(tails_of_four_batches_are_kept_faulty_unknown_or_cut_as_the_oracle_says)
{
    trial_begin();
    memset(reason_hits, 0, sizeof reason_hits);
    scenes_each(TAIL_MAX, scene_classify);
    trial_report();
    trial_end();
}

/* What was cut never comes back: not when its blocks can be read again, and not behind a twin of its first batch. A
 * name that can be read again is another matter: what it names was durable, and becomes known as damaged. */
static void expect_cut_for_good(struct node *node, const struct scene *scene, const struct expected *expected)
{
    struct image_faults faults = trial.disk.faults;
    struct kept_log log = expected->log;
    for (uint32_t at = expected->taken; at < scene->count; at++)
        memset(faults.unreadable + scene->tail[at].offset / BLOCK, 0, sizeof scene->tail[at].run / BLOCK);
    const struct tail_batch *twin = &scene->tail[expected->taken];
    image_boot(node, &faults);
    expect_log(node, scene, &log);
    send_suffix(node, &twin->suffix, scene->term);
    node_settle(node);
    kept_log_take(&log, twin, false);
    expect_log(node, scene, &log);
    node_crash(node);
    image_boot(node, &faults);
    expect_log(node, scene, &log);
}

static void visit_decision(const struct scene *scene, const struct scenario *scenario)
{
    const struct expected expected = judge(scene, scenario);
    const struct expected_log rule = { scene, &expected };
    struct node *node = trial.crashes.lives[0];
    try_begin(scene, scenario, &expected);
    node_crash(node);
    image_boot(node, &trial.crashes.faults[0]);
    expect_after_crash(node, &rule);
    node_crash(node);
    if (expected.leftovers && expected.taken < scene->count)
        expect_cut_for_good(node, scene, &expected);

    /* Once more from the case, with a copy of the superblock to repair besides. */
    trial_load(scene, scenario);
    memset(node->image + superblock_offset(&node->limits, scenario->named % SUPERBLOCK_COPIES), 0x5a, BLOCK);
    trial.crashes.deepest = scene->count <= 1 && scenario->ring == RING_INTACT ? 2 : 1;
    trial.crashes.expect = expect_after_crash;
    trial.crashes.expected = &rule;
    image_crash_everywhere(&trial.crashes, 0);
    trying.scene = NULL;
}

static void scene_decide(const struct scene *scene, uint32_t number)
{
    scene_each(scene, number,
               deep() ? stride_deep[scene->count] * stride_deep[scene->count] : stride_decide[scene->count],
               visit_decision);
}

TEST(what_a_start_decided_stays_decided_through_crashes_at_every_write_of_it)
{
    trial_begin();
    for (uint32_t count = 0; count <= TAIL_MAX; count++)
        scenes_each(count, scene_decide);
    printf("%10llu  images\n%10llu  crashes while they were recovered\n", (unsigned long long)trial.images,
           (unsigned long long)trial.crashes.count);
    EXPECT(trial.crashes.count > trial.images);
    trial_end();
}

/* ---- behind a cut that tore ---- */

/* The start is over but for its cut, of which so much lands; then power is lost, and it starts once more. */
static void start_with_torn_cut(struct node *node, uint32_t landing)
{
    struct image_faults *faults = &trial.crashes.faults[0];
    struct rebirth rebirth = { .cut = false };
    node_start(node);
    while (!op_is_body(node, &node->ops[0]))
        image_complete(node, 0, faults, &rebirth);
    EXPECT(image_starting(node) && rebirth.cut);
    image_land(node, 0, landing, node, faults);
    node_crash(node);
    image_boot(node, faults);
}

/* Batches that are all durable, of which none knows of another, and that are not named: so nothing but the log itself
 * says that they were. */
static void acknowledge(struct node *node, const struct scene *scene, struct kept_log *log)
{
    for (uint32_t i = 0; i < BEHIND_CUT; i++) {
        const struct suffix suffix = { node_view(node).last, scene->term, ENTRY_BODY_BYTES, (uint8_t)(0x40 + i) };
        send_suffix(node, &suffix, scene->term);
    }
    kept_log_read(node, log);
    struct rebirth rebirth = { .cut = false };
    for (uint32_t slot = 0; slot < node->op_count;) {
        if (op_is_name(node, &node->ops[slot])) {
            slot++;
            continue;
        }
        image_complete(node, slot, &trial.crashes.faults[0], &rebirth);
        slot = 0;
    }
    EXPECT_EQUAL(node_view(node).durable_index, log->last);
}

static void visit_torn_cut(const struct scene *scene, const struct scenario *scenario)
{
    const struct expected expected = judge(scene, scenario);
    if (!expected.cut || kept_log_faulty(&expected.log) != 0)
        return;
    struct node *node = trial.crashes.lives[0];
    const struct expected_log rule = { scene, &expected };
    for (uint32_t landing = 0; landing < CUT_LANDINGS; landing++) {
        struct kept_log log;
        try_begin(scene, scenario, &expected);
        trial_load(scene, scenario);
        start_with_torn_cut(node, landing);
        expect_after_crash(node, &rule);
        acknowledge(node, scene, &log);
        node_crash(node);
        image_boot(node, &trial.crashes.faults[0]);
        expect_log(node, scene, &log);
        trial.crashes.count++;
        trying.scene = NULL;
    }
}

static void scene_torn_cut(const struct scene *scene, uint32_t number)
{
    scene_each(scene, number, deep() ? stride_deep[scene->count] : stride_reorder[scene->count], visit_torn_cut);
}

/* Faults happened before, none since. */
TEST(what_is_acknowledged_behind_a_cut_that_tore_stays)
{
    trial_begin();
    for (uint32_t count = 0; count <= TAIL_MAX; count++)
        scenes_each(count, scene_torn_cut);
    printf("%10llu  images\n%10llu  cuts\n", (unsigned long long)trial.images, (unsigned long long)trial.crashes.count);
    EXPECT(trial.crashes.count > 0);
    trial_end();
}

/* ---- reads ---- */

/* Two reads are in flight: one that was asked for later may arrive first, and either may go over to single blocks. */
static void scene_reorder(const struct scene *scene, uint32_t number)
{
    static const uint64_t orders[] = { UINT64_MAX, 0x5555555555555555, 0x9e3779b97f4a7c15, 0x3333333333333333 };
    trial.order = orders[number % ARRAY_COUNT(orders)];
    scene_each(scene, number, deep() ? 1 : stride_reorder[scene->count], visit_classify);
}

TEST(reads_that_complete_in_another_order_change_nothing)
{
    trial_begin();
    for (uint32_t count = 0; count <= TAIL_MAX; count++)
        scenes_each(count, scene_reorder);
    printf("%10llu  images\n", (unsigned long long)trial.images);
    trial_end();
}

/* Errors that pass: every read fails as often as it may before its blocks count as lost. */
static void expect_patience(const struct scene *scene, uint64_t order)
{
    struct node *node = trial.crashes.lives[0];
    uint32_t failures[64] = { 0 };
    memcpy(node->image, scene->node->image, node->image_bytes);
    memcpy(node->data, scene->node->data, node->data_bytes);
    node_start(node);
    for (uint32_t step = 0; image_starting(node); step++) {
        const uint32_t slot = (uint32_t)(order >> step % 64 & 1) % node->op_count;
        const struct node_op op = node->ops[slot];
        const bool fails = !op.write && (op.bytes > BLOCK || failures[op.offset / BLOCK] < RECOVERY_READ_TRIES - 1);
        failures[op.offset / BLOCK] = fails && op.bytes == BLOCK ? failures[op.offset / BLOCK] + 1 : 0;
        node_complete(node, slot, fails ? DISK_ERROR : DISK_OK);
    }
    struct kept_log log = scene->before;
    for (uint32_t at = 0; at < TAIL_MAX; at++)
        kept_log_take(&log, &scene->tail[at], false);
    expect_log(node, scene, &log);
    EXPECT(!abstains(node));
}

TEST(reads_that_fail_twice_change_nothing)
{
    const uint32_t echo[] = { 0, 0, 1, 2 };
    for (uint32_t past = PAST_NONE; past < PASTS; past++) {
        trial_begin();
        struct scene *scene = scene_new((enum past)past, TAIL_MAX, 0xa, echo);
        expect_patience(scene, 0);
        expect_patience(scene, UINT64_MAX);
        expect_patience(scene, 0x9e3779b97f4a7c15);
        scene_free(scene);
        trial_end();
    }
}

static bool op_reads(const struct node_op *op, uint64_t block)
{
    return !op->write && op->device == DEVICE_WAL && op->offset / BLOCK <= block
           && block < (op->offset + op->bytes) / BLOCK;
}

/* One block is wrong for its first look, as long as that lasts: other bytes come, or an error for every try. */
static void expect_second_look(const struct scene *scene, uint64_t block, bool errors)
{
    struct node *node = trial.crashes.lives[0];
    uint32_t looks = 0;
    memcpy(node->image, scene->node->image, node->image_bytes);
    memcpy(node->data, scene->node->data, node->data_bytes);
    node_start(node);
    while (image_starting(node)) {
        const struct node_op op = node->ops[0];
        uint8_t *bytes = node->image + block * BLOCK;
        uint8_t kept[BLOCK];
        const bool looked = op_reads(&op, block);
        const bool fails = looked && errors && (op.bytes > BLOCK || looks < RECOVERY_READ_TRIES);
        const bool spoiled = looked && !errors && looks == 0;
        looks += looked && (op.bytes == BLOCK || spoiled);
        memcpy(kept, bytes, BLOCK);
        if (spoiled)
            memset(bytes, 0x77, BLOCK);
        node_complete(node, 0, fails ? DISK_ERROR : DISK_OK);
        if (spoiled)
            memcpy(bytes, kept, BLOCK);
    }
    struct kept_log log = scene->before;
    for (uint32_t at = 0; at < TAIL_MAX; at++)
        kept_log_take(&log, &scene->tail[at], false);
    expect_log(node, scene, &log);
    EXPECT(!abstains(node));
}

TEST(what_looks_damaged_once_is_looked_at_again)
{
    const uint32_t echo[] = { 0, 1, 1, 2 };
    trial_begin();
    for (uint32_t past = PAST_NONE; past < PASTS; past++) {
        struct scene *scene = scene_new((enum past)past, TAIL_MAX, 0, echo);
        const uint64_t blocks = scene->node->image_bytes / BLOCK;
        for (uint64_t block = wal_header_offset(&scene->node->limits) / BLOCK; block < blocks; block++) {
            expect_second_look(scene, block, false);
            expect_second_look(scene, block, true);
        }
        scene_free(scene);
    }
    trial_end();
}

/* Of the looks at the block, one is misdirected. A cut that comes of it tears behind its header: the start after that
 * cuts there again. */
static bool boot_misdirected(struct node *node, uint64_t block, uint32_t misdirected)
{
    uint32_t looks = 0;
    node_start(node);
    while (image_starting(node)) {
        const struct node_op op = node->ops[0];
        uint8_t *bytes = node->image + block * BLOCK;
        uint8_t kept[BLOCK];
        const bool spoiled = op_reads(&op, block) && looks++ == misdirected;
        if (op_is_body(node, &op)) {
            image_land(node, 0, CUT_LANDINGS - 1, node, &trial.crashes.faults[0]);
            node_crash(node);
            image_boot(node, &trial.crashes.faults[0]);
            return true;
        }
        memcpy(kept, bytes, BLOCK);
        if (spoiled)
            memset(bytes, 0x77, BLOCK);
        node_complete(node, 0, DISK_OK);
        if (spoiled)
            memcpy(bytes, kept, BLOCK);
    }
    return false;
}

/* Two are lost, and the third says that they were durable: whichever look at whatever block goes wrong, the start does
 * not take them for a torn tail. What the third says of their entries may be missed. */
TEST(a_loss_that_was_proved_by_one_look_is_not_cut_off_after_another)
{
    const uint32_t echo[] = { 0, 1, 2 };
    const struct scenario scenario = { .state = { TAIL_GARBAGE, TAIL_GARBAGE, TAIL_VALID } };
    uint32_t kept = 0;
    trial_begin();
    for (uint32_t past = PAST_NONE; past < PASTS; past++) {
        struct scene *scene = scene_new((enum past)past, ARRAY_COUNT(echo), 0, echo);
        const uint64_t blocks = scene->node->image_bytes / BLOCK;
        struct kept_log log = scene->before;
        for (uint32_t at = 0; at < ARRAY_COUNT(echo); at++)
            kept_log_take(&log, &scene->tail[at], at < 2);
        for (uint64_t block = wal_header_offset(&scene->node->limits) / BLOCK; block < blocks; block++) {
            for (uint32_t misdirected = 0; misdirected < LOOKS; misdirected++) {
                struct node *node = trial_load(scene, &scenario);
                const bool cut = boot_misdirected(node, block, misdirected);
                const bool all = node_view(node).last.index == log.last;
                EXPECT(!cut || !all);
                kept += all;
                expect_log(node, scene, all ? &log : &scene->before);
                EXPECT(abstains(node));
            }
        }
        scene_free(scene);
    }
    printf("%10u of them kept what lies behind\n", (unsigned)kept);
    EXPECT(kept > 0);
    trial_end();
}

/* ---- a head that stays behind ---- */

/* The checkpoint ends inside a damaged batch: what it holds of the log is given up, but the head stays where it was,
 * since nobody can begin to read at a batch that is damaged. */
static struct node *lagging_head_new(struct limits *limits)
{
    enum { BATCHES = 20 };
    const struct replica_config config = node_config(2);
    struct image_faults faults = { .unreadable = { false } };
    struct name_block newest = { .offset = 0 };
    limits->wal_depth = 1;
    limits->wal_body_blocks = 160;
    limits->wal_retain_blocks = 30;
    limits->checkpoint_wal_blocks = 60;
    struct node *node = node_new(limits, &config, node_voters(3));
    node_start(node);
    node_settle(node);
    for (uint32_t i = 0; i < BATCHES; i++)
        past_add(node, ENTRY_COMMAND, (uint8_t)i, true, &newest);
    /* One write is in flight, so the marker and what follows it go into one batch. */
    const uint64_t marker = node_view(node).last.index + ENTRIES + 1;
    send_entries(node, &(struct suffix){ node_view(node).last, 1, 1, 1 }, ENTRY_COMMAND, ENTRIES, 0, 1);
    send_entries(node, &(struct suffix){ node_view(node).last, 1, 0, 0 }, ENTRY_CHECKPOINT, 1, 0, 1);
    const uint64_t lsn = node->replica->wal.tail;
    send_entries(node, &(struct suffix){ node_view(node).last, 1, 1, 2 }, ENTRY_COMMAND, ENTRIES, marker, 1);
    node_settle(node);
    node_tick(node, NAME_DELAY_NS);
    node_settle(node);
    EXPECT_EQUAL(node->replica->superblock.durable.checkpoint.id.index, marker);
    node_crash(node);
    memset(node->image + wal_body_offset(limits) + lsn, 0x5a, BLOCK);
    const struct rebirth rebirth = image_boot(node, &faults);
    EXPECT_EQUAL(rebirth.stop, 0);
    EXPECT_EQUAL(rebirth.damaged, 1);
    EXPECT(!rebirth.abstained);
    EXPECT_EQUAL(node_view(node).base.index, marker);
    EXPECT(node->replica->superblock.durable.head.base.index + 2 * ENTRIES < marker);
    return node;
}

TEST(a_log_never_gets_longer_than_the_next_start_can_take_it_from_its_head)
{
    struct limits limits = test_limits();
    struct image_faults faults = { .unreadable = { false } };
    struct node *node = lagging_head_new(&limits);
    node_settle(node);
    /* The leader has what is damaged, and goes on until there is no more room. Nothing is committed. */
    struct log_id prev = node_view(node).base;
    while (prev.index <= node_view(node).last.index && prev.index < LOG_MAX) {
        send_entries(node, &(struct suffix){ prev, 1, 1, 2 }, ENTRY_COMMAND, ENTRIES, 0, 1);
        node_settle(node);
        prev.index += ENTRIES;
    }
    const struct replica_view before = node_view(node);
    EXPECT_EQUAL(before.first_faulty, 0);
    EXPECT_EQUAL(before.durable_index, before.last.index);
    node_crash(node);
    const struct rebirth rebirth = image_boot(node, &faults);
    EXPECT_EQUAL(rebirth.stop, 0);
    EXPECT(!rebirth.abstained);
    EXPECT_EQUAL(node_view(node).last.index, before.last.index);
    node_free(node);
}

int main(int argc, char **argv)
{
    const int status = test_main(argc, argv);
    report_failed_case();
    return status;
}

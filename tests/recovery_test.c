/* What a start makes of a log, exhaustively (storage design 2.8): every state of the last batches and of the header
 * ring, each judged by a table that the recovered replica must agree with. The superblock has a test of its own.
 *
 * A real follower writes the scenes (recovery_scene.h); the test puts their blocks together as a disk may have left
 * them. Nothing is forged but the batch that does not chain. The tables know how an image came about; the replica sees
 * the image only.
 *
 * With RECOVERY_DEPTH=1 in the environment, everything is tried, with nothing left to turns: some minutes. */
#include "recovery_scene.h"
#include "test.h"

/* ---- cases: what the disk made of a scene ---- */

enum tail_state {
    TAIL_VALID,
    TAIL_TORN_HEAD, /* the first block new, the second as it was */
    TAIL_TORN_BODY, /* the other way round */
    TAIL_ZERO,
    TAIL_GARBAGE,
    TAIL_UNREADABLE,
    TAIL_UNCHAINED, /* whole and intact, behind a batch that is not here */
    TAIL_STALE,     /* as it was: a batch of the life before the cut */
    TAIL_STATES,
};

enum ring_state {
    RING_INTACT,
    RING_NEWEST_UNREADABLE,
    RING_NEWEST_TORN,
    RING_TWO_NEWEST_UNREADABLE,
    RING_OTHERS_UNREADABLE, /* all but the newest */
    RING_UNREADABLE,
    RING_STATES,
};

struct scenario {
    enum tail_state state[TAIL_MAX];
    uint32_t named;
    enum ring_state ring;
};

struct disk {
    uint8_t image[64 * BLOCK];
    struct image_faults faults;
};

static void disk_tail(struct disk *disk, const struct scene *scene, const struct scenario *scenario, uint32_t at)
{
    const struct tail_batch *batch = &scene->tail[at];
    uint8_t *to = disk->image + batch->offset;
    switch (scenario->state[at]) {
    case TAIL_VALID: memcpy(to, batch->run, sizeof batch->run); return;
    case TAIL_TORN_HEAD: memcpy(to, batch->run, BLOCK); return;
    case TAIL_TORN_BODY: memcpy(to + BLOCK, batch->run + BLOCK, BLOCK); return;
    case TAIL_ZERO: memset(to, 0, sizeof batch->run); return;
    case TAIL_GARBAGE:
        for (uint32_t i = 0; i < sizeof batch->run; i++)
            to[i] = (uint8_t)(i * 167 + at * 31 + 5);
        return;
    case TAIL_UNREADABLE:
        memcpy(to, batch->run, sizeof batch->run);
        disk->faults.unreadable[batch->offset / BLOCK] = true;
        disk->faults.unreadable[batch->offset / BLOCK + 1] = true;
        return;
    case TAIL_UNCHAINED: memcpy(to, batch->unchained, sizeof batch->unchained); return;
    case TAIL_STALE: return;
    case TAIL_STATES: break;
    }
    UNREACHABLE();
}

/* 0 when there is none. */
static uint64_t ring_slot(const struct limits *limits, const struct name_block *name)
{
    return name->offset == 0 ? 0 : (name->offset - wal_header_offset(limits)) / BLOCK;
}

static void disk_ring(struct disk *disk, const struct scene *scene, const struct scenario *scenario)
{
    const struct limits *limits = &scene->node->limits;
    const struct name_block *newest = &scene->names[scenario->named];
    static const uint8_t zeros[BLOCK];
    const uint8_t *before = scenario->named > 0 ? scene->past + newest->offset : zeros;
    for (uint32_t i = 1; i <= scenario->named; i++)
        memcpy(disk->image + scene->names[i].offset, scene->names[i].bytes, BLOCK);
    bool *ring = disk->faults.unreadable + wal_header_offset(limits) / BLOCK;
    const uint64_t slot = ring_slot(limits, newest);
    switch (scenario->ring) {
    case RING_INTACT: return;
    case RING_NEWEST_UNREADABLE: ring[slot] = true; return;
    case RING_NEWEST_TORN:
        memcpy(disk->image + newest->offset + IMAGE_TEAR_BYTES, before + IMAGE_TEAR_BYTES, BLOCK - IMAGE_TEAR_BYTES);
        return;
    case RING_TWO_NEWEST_UNREADABLE:
        ring[slot] = true;
        ring[(slot + limits->wal_header_blocks - 1) % limits->wal_header_blocks] = true;
        return;
    case RING_OTHERS_UNREADABLE:
        memset(ring, true, limits->wal_header_blocks);
        ring[slot] = false;
        return;
    case RING_UNREADABLE: memset(ring, true, limits->wal_header_blocks); return;
    case RING_STATES: break;
    }
    UNREACHABLE();
}

static void disk_assemble(struct disk *disk, const struct scene *scene, const struct scenario *scenario)
{
    NODE_CHECK(scene->node->image_bytes <= sizeof disk->image, "image over the harness's limit");
    memcpy(disk->image, scene->past, scene->node->image_bytes);
    memset(&disk->faults, 0, sizeof disk->faults);
    for (uint32_t at = 0; at < scene->count; at++)
        disk_tail(disk, scene, scenario, at);
    disk_ring(disk, scene, scenario);
}

/* Anything but zeros where the tail of the good batches ends? */
static bool disk_leftovers(const struct disk *disk, const struct scene *scene, uint32_t good)
{
    const uint64_t start = scene->tail_offset + good * sizeof scene->tail[0].run;
    for (uint64_t at = start; at < scene->tail_offset + 2 * BLOCK * (TAIL_MAX + 1); at++)
        if (disk->image[at] != 0 || disk->faults.unreadable[at / BLOCK])
            return true;
    return false;
}

/* Is more of the header ring bad than a crash explains, so that the newest names may be among it: two blocks where
 * the next names go, or two anywhere when none can be read? */
static bool disk_names_doubtful(const struct disk *disk, const struct scene *scene)
{
    const struct limits *limits = &scene->node->limits;
    bool bad[16] = { false };
    uint32_t bad_count = 0;
    uint64_t newest = 0;
    for (uint32_t slot = 0; slot < limits->wal_header_blocks; slot++) {
        const uint64_t offset = wal_header_offset(limits) + slot * BLOCK;
        const struct slice block = { .bytes = disk->image + offset, .count = BLOCK };
        struct wal_name_header name;
        const bool readable = !disk->faults.unreadable[offset / BLOCK];
        const bool intact = readable && wal_name_decode(block, scene->node->config.cluster_id, &name);
        if (intact)
            newest = u64_max(newest, name.sequence);
        for (uint32_t i = 0; i < BLOCK && !intact; i++)
            bad[slot] = bad[slot] || !readable || block.bytes[i] != 0;
        bad_count += bad[slot];
    }
    if (newest == 0)
        return bad_count >= 2;
    return bad[(newest + 1) % limits->wal_header_blocks] && bad[(newest + 2) % limits->wal_header_blocks];
}

/* ---- the table ---- */

/* What is known of a case. Recovery cannot know what was named and acknowledged but through what it sees. */
struct facts {
    uint32_t batches;
    uint32_t good;         /* leading ones that are whole and chained */
    uint32_t named;        /* so many did a block of the header ring name */
    uint32_t named_seen;   /* ... one that can still be read */
    uint32_t echoed_seen;  /* so many does an intact header behind the good ones call durable */
    uint32_t acknowledged; /* so many were durable, and thus perhaps acknowledged */
    bool doubt;            /* something lies behind the good ones, and the names that would tell may be lost */
};

enum verdict { KEEP, CUT, DAMAGED };
enum answer { NO, YES, ANY };

struct row {
    const char *name;
    enum answer doubt;        /* see facts */
    enum answer bad;          /* there is a bad batch. The other columns are about the first one: */
    enum answer name_seen;    /* a name that can be read covers it */
    enum answer echo_seen;    /* an intact header behind it says that it was durable */
    enum answer named;        /* it was named */
    enum answer acknowledged; /* it was durable */
    enum verdict verdict;
};

static const struct row table[] = {
    { "everything is there: kept, named or not", NO, NO, ANY, ANY, ANY, ANY, KEEP },
    { "a name proves that it was durable", ANY, YES, YES, ANY, ANY, ANY, DAMAGED },
    { "a later batch proves that it was durable", ANY, YES, NO, YES, ANY, ANY, DAMAGED },
    { "what would prove it may be lost: no guess", YES, ANY, NO, NO, ANY, ANY, DAMAGED },
    { "torn, or never promised to anybody", NO, YES, NO, NO, NO, NO, CUT },
    { "the documented hole: acknowledged, not yet named, and rotten", NO, YES, NO, NO, NO, YES, CUT },
    { "the same, named, and the name is lost as well", NO, YES, NO, NO, YES, YES, CUT },
};
static uint64_t row_hits[ARRAY_COUNT(table)];

static bool answer_fits(enum answer answer, bool fact) { return answer == ANY || (answer == YES) == fact; }

static const struct row *table_row(const struct facts *facts)
{
    const struct row *found = NULL;
    const bool bad = facts->good < facts->batches;
    for (uint32_t i = 0; i < ARRAY_COUNT(table); i++) {
        const struct row *row = &table[i];
        if (!answer_fits(row->doubt, facts->doubt) || !answer_fits(row->bad, bad)
            || !answer_fits(row->name_seen, facts->named_seen > facts->good)
            || !answer_fits(row->echo_seen, facts->echoed_seen > facts->good)
            || !answer_fits(row->named, facts->named > facts->good)
            || !answer_fits(row->acknowledged, facts->acknowledged > facts->good))
            continue;
        EXPECT(found == NULL); /* exactly one row */
        found = row;
        row_hits[i]++;
    }
    EXPECT(found != NULL);
    return found;
}

static bool state_has_header(enum tail_state state)
{
    return state == TAIL_VALID || state == TAIL_TORN_HEAD || state == TAIL_UNCHAINED;
}

static uint32_t good_batches(const struct scene *scene, const struct scenario *scenario)
{
    uint32_t good = 0;
    while (good < scene->count && scenario->state[good] == TAIL_VALID)
        good++;
    return good;
}

static uint32_t named_batches_seen(const struct scenario *scenario)
{
    switch (scenario->ring) {
    case RING_INTACT:
    case RING_OTHERS_UNREADABLE: return scenario->named;
    case RING_NEWEST_UNREADABLE:
    case RING_NEWEST_TORN: return scenario->named - u32_min(scenario->named, 1);
    case RING_TWO_NEWEST_UNREADABLE: return scenario->named - u32_min(scenario->named, 2);
    case RING_UNREADABLE:
    case RING_STATES: break;
    }
    return 0;
}

static struct facts facts_of(const struct scene *scene, const struct scenario *scenario, const struct disk *disk)
{
    struct facts facts = {
        .batches = scene->count,
        .good = good_batches(scene, scenario),
        .named = scenario->named,
        .named_seen = named_batches_seen(scenario),
        .acknowledged = scenario->named,
    };
    for (uint32_t at = 0; at < scene->count; at++) {
        facts.acknowledged = u32_max(facts.acknowledged, scene->tail[at].echo);
        if (at >= facts.good && state_has_header(scenario->state[at]))
            facts.echoed_seen = u32_max(facts.echoed_seen, scene->tail[at].echo);
    }
    facts.doubt = disk_leftovers(disk, scene, facts.good) && disk_names_doubtful(disk, scene);
    return facts;
}

/* The verdict, whatever was acknowledged beyond what the image tells: that column decides between rows, never on it. */
static enum verdict table_verdict(struct facts facts)
{
    const enum verdict verdict = table_row(&facts)->verdict;
    while (facts.acknowledged++ < facts.batches)
        EXPECT_EQUAL(table_row(&facts)->verdict, verdict);
    return verdict;
}

/* ---- trying a case ---- */

static struct {
    struct image_crashes crashes; /* lives[0] is the one that is judged */
    struct disk disk;
    uint64_t images;
} trial;

static void trial_begin(void)
{
    const struct limits limits = test_limits();
    const struct replica_config config = node_config(3, 2);
    memset(&trial, 0, sizeof trial);
    for (uint32_t life = 0; life < IMAGE_CRASHES_MAX; life++)
        trial.crashes.lives[life] = node_new(&limits, &config);
}

static void trial_end(void)
{
    for (uint32_t life = 0; life < IMAGE_CRASHES_MAX; life++)
        node_free(trial.crashes.lives[life]);
}

/* Puts the case on the disk of the life that is judged. */
static struct node *trial_load(const struct scene *scene, const struct scenario *scenario)
{
    struct node *node = trial.crashes.lives[0];
    disk_assemble(&trial.disk, scene, scenario);
    memcpy(node->image, trial.disk.image, node->image_bytes);
    trial.crashes.faults[0] = trial.disk.faults;
    return node;
}

static void expect_log(const struct node *node, const struct scene *scene, uint32_t batches)
{
    EXPECT_EQUAL(node->stop, 0);
    EXPECT_EQUAL(node_view(node).last.index, scene->last[batches]);
    EXPECT(image_log_digest(node, scene->last[batches]) == scene->digest[batches]);
    EXPECT_EQUAL(node_view(node).durable_index, scene->last[batches]);
    EXPECT_EQUAL(node_view(node).term, scene->term);
}

struct expected_log {
    const struct scene *scene;
    uint32_t batches;
};

static void expect_after_crash(const struct node *node, const void *expected)
{
    const struct expected_log *log = expected;
    expect_log(node, log->scene, log->batches);
}

static void describe(const struct scene *scene, const struct scenario *scenario)
{
    static const char *const names[TAIL_STATES] = { "valid",   "torn-head",  "torn-body", "zero",
                                                    "garbage", "unreadable", "unchained", "stale" };
    printf("case:");
    for (uint32_t at = 0; at < scene->count; at++)
        printf(" %s(echo %u)", names[scenario->state[at]], scene->tail[at].echo);
    printf(", named %u, ring state %d, past %s\n", scenario->named, (int)scenario->ring,
           scene->stale         ? "cut"
           : scene->last[0] > 0 ? "named"
                                : "none");
}

/* Boots the case and compares with the table. */
static struct rebirth judge(const struct scene *scene, const struct scenario *scenario)
{
    struct node *node = trial_load(scene, scenario);
    const struct facts facts = facts_of(scene, scenario, &trial.disk);
    const enum verdict verdict = table_verdict(facts);
    const struct rebirth rebirth = image_boot(node, &trial.crashes.faults[0]);
    trial.images++;
    const bool right = verdict == DAMAGED ? rebirth.stop == STOP_WAL_DAMAGED
                                          : rebirth.stop == 0 && node_view(node).last.index == scene->last[facts.good];
    if (!right)
        describe(scene, scenario);
    EXPECT(right);
    if (verdict == DAMAGED) {
        EXPECT_EQUAL(rebirth.detail, scene->last[facts.good] + 1);
        EXPECT(memcmp(node->image, trial.disk.image, node->image_bytes) == 0); /* left alone */
        return rebirth;
    }
    expect_log(node, scene, facts.good);
    EXPECT_EQUAL(rebirth.cut, disk_leftovers(&trial.disk, scene, facts.good));
    return rebirth;
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
            if (scenario.state[at] == TAIL_STALE && (!scene->stale || at == TAIL_MAX - 1))
                possible = false; /* nothing ever lay there */
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

static void scene_classify(const struct scene *scene, uint32_t number)
{
    (void)number;
    scene_each(scene, 0, 1, visit_classify);
}

/* Taking turns: these primes and the number of states have no common divisor, so every state has every place. */
enum { STRIDE_CLASSIFY = 17, STRIDE_DECIDE = 7 };

static void scene_classify_some(const struct scene *scene, uint32_t number)
{
    scene_each(scene, number, deep() ? 1 : STRIDE_CLASSIFY, visit_classify);
}

static void trial_report(void)
{
    for (uint32_t i = 0; i < ARRAY_COUNT(table); i++) {
        printf("%10llu  %s\n", (unsigned long long)row_hits[i], table[i].name);
        EXPECT(row_hits[i] > 0);
    }
    printf("%10llu  images\n", (unsigned long long)trial.images);
}

TEST(every_tail_of_up_to_three_batches_is_kept_cut_or_refused_as_the_table_says)
{
    trial_begin();
    memset(row_hits, 0, sizeof row_hits);
    for (uint32_t count = 0; count < TAIL_MAX; count++)
        scenes_each(count, scene_classify);
    trial_report();
    trial_end();
}

TEST(tails_of_four_batches_are_kept_cut_or_refused_as_the_table_says)
{
    trial_begin();
    memset(row_hits, 0, sizeof row_hits);
    scenes_each(TAIL_MAX, scene_classify_some);
    trial_report();
    trial_end();
}

/* What was cut never comes back: not when its blocks can be read again, and not behind a twin of its first batch. */
static void expect_cut_for_good(struct node *node, const struct scene *scene, uint32_t good)
{
    struct image_faults none = { { false } };
    image_boot(node, &none);
    expect_log(node, scene, good);
    send_suffix(node, &scene->tail[good].suffix, scene->term);
    node_settle(node);
    expect_log(node, scene, good + 1);
    node_crash(node);
    image_boot(node, &none);
    expect_log(node, scene, good + 1);
}

static void visit_decision(const struct scene *scene, const struct scenario *scenario)
{
    const struct rebirth rebirth = judge(scene, scenario);
    struct node *node = trial.crashes.lives[0];
    const struct expected_log expected = { scene, good_batches(scene, scenario) };
    if (rebirth.stop != 0)
        return;
    node_crash(node);
    image_boot(node, &trial.crashes.faults[0]);
    expect_log(node, scene, expected.batches);
    node_crash(node);
    if (rebirth.cut && expected.batches < scene->count)
        expect_cut_for_good(node, scene, expected.batches);

    /* Once more from the case, with a copy of the superblock to repair besides. */
    trial_load(scene, scenario);
    memset(node->image + superblock_offset(&node->limits, scenario->named % SUPERBLOCK_COPIES), 0x5a, BLOCK);
    trial.crashes.deepest = scene->count <= 1 && scenario->ring == RING_INTACT ? 2 : 1;
    trial.crashes.expect = expect_after_crash;
    trial.crashes.expected = &expected;
    image_crash_everywhere(&trial.crashes, 0);
}

static void scene_decide(const struct scene *scene, uint32_t number)
{
    const bool all = scene->count < 3;
    scene_each(scene, all ? 0 : number, all ? 1 : STRIDE_DECIDE, visit_decision);
}

TEST(what_a_start_decided_stays_decided_through_crashes_at_every_write_of_it)
{
    trial_begin();
    for (uint32_t count = 0; count < TAIL_MAX; count++)
        scenes_each(count, scene_decide);
    printf("%10llu  images\n%10llu  crashes while they were recovered\n", (unsigned long long)trial.images,
           (unsigned long long)trial.crashes.count);
    EXPECT(trial.crashes.count > trial.images);
    trial_end();
}

/* Errors that pass: every read fails as often as it may before its blocks count as lost. */
TEST(reads_that_fail_twice_change_nothing)
{
    trial_begin();
    const uint32_t echo[] = { 0, 0, 1, 2 };
    struct scene *scene = scene_new(PAST_CUT, TAIL_MAX, 0xa, echo);
    struct node *node = trial.crashes.lives[0];
    memcpy(node->image, scene->node->image, node->image_bytes);
    node_start(node);
    uint64_t failing = 0;
    uint32_t failures = 0;
    while (image_starting(node)) {
        const struct node_op op = node->ops[0];
        failures = op.offset == failing && op.bytes == BLOCK ? failures : 0;
        failing = op.offset;
        const bool fails = !op.write && (op.bytes > BLOCK || failures < 2);
        failures += fails;
        node_complete(node, 0, fails ? DISK_ERROR : DISK_OK);
    }
    expect_log(node, scene, TAIL_MAX);
    scene_free(scene);
    trial_end();
}

TEST_MAIN()

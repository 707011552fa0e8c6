/* What a start makes of a log, exhaustively (storage design 2.8): every state of the last batches and of the header
 * ring, each judged by an oracle that the recovered replica must agree with. The superblock has a test of its own.
 *
 * A real follower writes the scenes (recovery_scene.h); the test puts their blocks together as a disk may have left
 * them. Nothing is forged but the batch that does not chain. The oracle knows how an image came about: which batch was
 * written, what damaged it, which names are left. The replica sees the image only.
 *
 * With RECOVERY_DEPTH=1 in the environment, all tails of up to three batches are tried, and every seventh of four: some
 * minutes. */
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

/* Where the batch behind so many of the tail begins. */
static uint64_t tail_lsn(const struct scene *scene, uint32_t batches)
{
    uint64_t lsn = scene->past_end;
    for (uint32_t i = 0; i < batches; i++)
        lsn = wal_place(&scene->node->limits, lsn + sizeof scene->tail[0].run);
    return lsn;
}

/* Anything but zeros behind lsn, as far as batches can have been in flight? */
static bool disk_leftovers(const struct disk *disk, const struct scene *scene, uint64_t lsn)
{
    const struct limits *limits = &scene->node->limits;
    const uint64_t ring = (uint64_t)limits->wal_body_blocks * BLOCK;
    const uint64_t head = scene->node->replica->superblock.durable.head.lsn;
    const uint64_t window = lsn + (uint64_t)(limits->wal_unnamed_max + 1) * limits->wal_batch_bytes_max;
    for (uint64_t at = lsn; at < u64_min(head + ring, window); at++) {
        const uint64_t place = wal_body_offset(limits) + at % ring;
        if (disk->image[place] != 0 || disk->faults.unreadable[place / BLOCK])
            return true;
    }
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

/* ---- the oracle ---- */

/* Why a batch got its verdict. */
enum reason {
    KEPT,
    FAULTY_BY_ITS_HEADER,
    FAULTY_BY_A_NAME,
    FAULTY_BY_THE_NEXT,
    UNKNOWN_LOST,
    UNKNOWN_DOUBT,
    CUT_AT_THE_END,
    CUT_TORN,
    CUT_HOLE,
    CUT_NAME_LOST,
    REASONS,
};
static const char *const reason_texts[REASONS] = {
    "whole: kept, named or not",
    "proved and damaged, known by its own header",
    "proved and damaged, known by a name",
    "proved and damaged, known by the batch behind it",
    "proved, and nobody says what it held: abstain",
    "what would prove it may be lost: abstain",
    "the end of the log",
    "torn, or never promised to anybody: cut",
    "the documented hole: acknowledged, not yet named, and rotten",
    "the same, named, and the name is lost as well",
};
static uint64_t reason_hits[REASONS];

/* What a start must come to. */
struct expected {
    struct kept_log log;
    uint32_t taken;  /* batches of the tail that are in it */
    uint32_t faulty; /* of them */
    bool abstain;
    bool may_abstain; /* in a later start: the names are doubtful, wherever the next ones go */
    bool leftovers;   /* something lies behind it */
    bool cut;         /* what does might be taken for its continuation */
    /* The documented hole once more: what proves a faulty batch that was not named, or says what it held, lies where
     * the cut goes. If the cut tears, the log ends before that batch. */
    bool hole;
    struct kept_log hole_log;
};

/* Hashes, by number: of the batch of the tail before i, as it was written; of what an unchained i chains to; of that.
 */
enum { HASH_TRUE = 0, HASH_ELSEWHERE = 100, HASH_UNCHAINED = 200 };

static bool state_has_header(enum tail_state state)
{
    return state == TAIL_VALID || state == TAIL_TORN_HEAD || state == TAIL_UNCHAINED;
}

static uint32_t hash_before(const struct scenario *scenario, uint32_t at)
{
    return at + (scenario->state[at] == TAIL_UNCHAINED ? HASH_ELSEWHERE : HASH_TRUE);
}

static uint32_t hash_of(const struct scenario *scenario, uint32_t at)
{
    return at + 1 + (scenario->state[at] == TAIL_UNCHAINED ? HASH_UNCHAINED : HASH_TRUE);
}

/* So many does a block of the header ring name that can still be read. */
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

static bool batch_is_proved(const struct scene *scene, const struct scenario *scenario, uint32_t at)
{
    if (named_batches_seen(scenario) > at)
        return true;
    for (uint32_t later = at; later < scene->count; later++)
        if (state_has_header(scenario->state[later]) && scene->tail[later].echo > at)
            return true;
    return false;
}

/* The batch is bad: why, and what the one behind it must chain to. */
static enum reason batch_judge(const struct scene *scene, const struct scenario *scenario, uint32_t at, bool doubt,
                               uint32_t *hash)
{
    if (!batch_is_proved(scene, scenario, at)) {
        uint32_t acknowledged = scenario->named;
        for (uint32_t later = 0; later < scene->count; later++)
            acknowledged = u32_max(acknowledged, scene->tail[later].echo);
        if (doubt)
            return UNKNOWN_DOUBT;
        return scenario->named > at ? CUT_NAME_LOST : acknowledged > at ? CUT_HOLE : CUT_TORN;
    }
    if (state_has_header(scenario->state[at]) && hash_before(scenario, at) == *hash) {
        *hash = hash_of(scenario, at);
        return FAULTY_BY_ITS_HEADER;
    }
    if (named_batches_seen(scenario) > at && *hash == at + HASH_TRUE) {
        *hash = at + 1 + HASH_TRUE;
        return FAULTY_BY_A_NAME;
    }
    if (at + 1 < scene->count && state_has_header(scenario->state[at + 1])) {
        *hash = hash_before(scenario, at + 1);
        return FAULTY_BY_THE_NEXT;
    }
    return UNKNOWN_LOST;
}

/* Does what the cut leaves alone say that the batch was durable, and what it held? */
static bool batch_stays_known(const struct scene *scene, const struct scenario *scenario, uint32_t at, uint32_t taken,
                              enum reason reason)
{
    if (named_batches_seen(scenario) > at)
        return true;
    if (reason == FAULTY_BY_THE_NEXT && at + 1 == taken)
        return false;
    for (uint32_t later = at + 1; later < taken; later++)
        if (state_has_header(scenario->state[later]) && scene->tail[later].echo > at)
            return true;
    return false;
}

static struct expected oracle(const struct scene *scene, const struct scenario *scenario, const struct disk *disk)
{
    struct expected expected = { .log = scene->before, .may_abstain = disk_names_doubtful(disk, scene) };
    enum reason reasons[TAIL_MAX] = { KEPT };
    uint32_t hash = HASH_TRUE;
    enum reason reason = KEPT;
    for (uint32_t at = 0; at <= scene->count && reason < UNKNOWN_LOST; at++) {
        const bool whole = at < scene->count
                           && (scenario->state[at] == TAIL_VALID || scenario->state[at] == TAIL_UNCHAINED)
                           && hash_before(scenario, at) == hash;
        expected.taken = at;
        expected.leftovers = disk_leftovers(disk, scene, tail_lsn(scene, at));
        reason = KEPT;
        if (whole)
            hash = hash_of(scenario, at);
        else if (at < scene->count)
            reason = batch_judge(scene, scenario, at, expected.leftovers && expected.may_abstain, &hash);
        else
            reason = expected.leftovers && expected.may_abstain ? UNKNOWN_DOUBT : CUT_AT_THE_END;
        reason_hits[reason]++;
        if (reason >= UNKNOWN_LOST)
            break;
        reasons[at] = reason;
        kept_log_take(&expected.log, &scene->tail[at], reason != KEPT);
        expected.faulty += reason != KEPT;
    }
    expected.hole_log = scene->before;
    for (uint32_t at = 0; at < expected.taken && !expected.hole; at++) {
        if (reasons[at] != KEPT && !batch_stays_known(scene, scenario, at, expected.taken, reasons[at]))
            expected.hole = true;
        else
            kept_log_take(&expected.hole_log, &scene->tail[at], reasons[at] != KEPT);
    }
    expected.abstain = reason == UNKNOWN_LOST || reason == UNKNOWN_DOUBT;
    expected.cut = expected.abstain;
    for (uint32_t later = expected.taken; later < scene->count; later++)
        expected.cut =
            expected.cut || state_has_header(scenario->state[later]) || scenario->state[later] == TAIL_UNREADABLE;
    return expected;
}

static uint64_t kept_log_faulty(const struct kept_log *log)
{
    for (uint64_t index = log->base + 1; index <= log->last; index++)
        if (log->entries[index].faulty)
            return index;
    return 0;
}

/* ---- trying a case ---- */

static struct {
    struct image_crashes crashes; /* lives[0] is the one that is judged */
    struct node *alone;           /* the only voter of its cluster */
    struct disk disk;
    uint64_t images;
} trial;

static void report_failed_case(void);

static void trial_begin(void)
{
    report_failed_case();
    const struct limits limits = test_limits();
    const struct replica_config config = node_config(3, 2);
    struct replica_config alone = node_config(1, 2);
    alone.voters[0].id = 2;
    memset(&trial, 0, sizeof trial);
    for (uint32_t life = 0; life < IMAGE_CRASHES_MAX; life++)
        trial.crashes.lives[life] = node_new(&limits, &config);
    trial.alone = node_new(&limits, &alone);
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
        superblock.voter_count = 1;
        memset(superblock.voters, 0, sizeof superblock.voters);
        superblock.voters[0] = node->config.node_id;
        memcpy(block, &superblock, sizeof superblock);
        superblock_seal(block, BLOCK);
    }
    const struct rebirth rebirth = image_boot(node, &faults);
    const uint64_t faulty = kept_log_faulty(&expected->log);
    if (!expected->abstain && faulty == 0) {
        expect_log(node, scene, &expected->log);
        return;
    }
    EXPECT_EQUAL(rebirth.stop, STOP_WAL_DAMAGED);
    EXPECT_EQUAL(rebirth.detail, expected->abstain ? expected->log.last + 1 : faulty);
    EXPECT_EQUAL(rebirth.writes, 0);
}

/* Boots the case and compares with the oracle. */
static struct expected judge(const struct scene *scene, const struct scenario *scenario)
{
    struct node *node = trial_load(scene, scenario);
    const struct expected expected = oracle(scene, scenario, &trial.disk);
    try_begin(scene, scenario, &expected);
    const struct rebirth rebirth = image_boot(node, &trial.crashes.faults[0]);
    trial.images++;
    EXPECT_EQUAL(rebirth.stop, 0);
    expect_log(node, scene, &expected.log);
    EXPECT_EQUAL(rebirth.damaged, expected.faulty);
    EXPECT_EQUAL(rebirth.abstained, expected.abstain);
    EXPECT_EQUAL(abstains(node), expected.abstain);
    EXPECT_EQUAL(rebirth.batches, expected.cut ? 1 : 0);
    EXPECT_EQUAL(rebirth.cut, expected.leftovers);
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
    return before[0] != 0 || memcmp(before, before + 1, sizeof scene->tail[at].run - 1) != 0;
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
static const uint32_t stride_classify[TAIL_MAX + 1] = { 1, 1, 1, 3, 61 };
static const uint32_t stride_decide[TAIL_MAX + 1] = { 1, 1, 7, 61, 1009 };
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

/* Errors that pass: every read fails as often as it may before its blocks count as lost. */
TEST(reads_that_fail_twice_change_nothing)
{
    trial_begin();
    const uint32_t echo[] = { 0, 0, 1, 2 };
    struct scene *scene = scene_new(PAST_CUT, TAIL_MAX, 0xa, echo);
    struct node *node = trial.crashes.lives[0];
    memcpy(node->image, scene->node->image, node->image_bytes);
    memcpy(node->data, scene->node->data, node->data_bytes);
    uint32_t failures[64] = { 0 };
    node_start(node);
    while (image_starting(node)) {
        const struct node_op op = node->ops[0];
        const bool fails = !op.write && (op.bytes > BLOCK || failures[op.offset / BLOCK] < RECOVERY_READ_TRIES - 1);
        if (fails && op.bytes == BLOCK)
            failures[op.offset / BLOCK]++;
        node_complete(node, 0, fails ? DISK_ERROR : DISK_OK);
    }
    struct kept_log log = scene->before;
    for (uint32_t at = 0; at < TAIL_MAX; at++)
        kept_log_take(&log, &scene->tail[at], false);
    expect_log(node, scene, &log);
    scene_free(scene);
    trial_end();
}

int main(int argc, char **argv)
{
    const int status = test_main(argc, argv);
    report_failed_case();
    return status;
}

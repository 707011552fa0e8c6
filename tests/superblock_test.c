/* What a start makes of the superblock copies, exhaustively (storage design 2.7): every state of every copy, judged by
 * a table of what their one writer and the disk can have done.
 *
 * A real follower writes the contents, one term after the other; the test puts them together. */
#include "../core/wal_format.h"

#include "image.h"
#include "test.h"

static struct image_crashes crashes;

/* What a start that lost power must find again, whatever was damaged: copies that vouch for nothing are repaired before
 * those that vouch for the content that counts. */
static void expect_term(const struct node *node, const void *expected)
{
    const uint64_t *term = expected;
    EXPECT_EQUAL(node->stop, 0);
    EXPECT_EQUAL(node_view(node).term, *term);
    EXPECT_EQUAL(node_view(node).durable_term, *term);
}

static void lives_begin(void)
{
    const struct replica_config config = node_config(2);
    memset(&crashes, 0, sizeof crashes);
    crashes.deepest = IMAGE_CRASHES_MAX - 1;
    crashes.expect = expect_term;
    for (uint32_t life = 0; life < IMAGE_CRASHES_MAX; life++)
        crashes.lives[life] = node_new(&limits_tiny, &config, node_voters(3));
}

static void lives_end(void)
{
    for (uint32_t life = 0; life < IMAGE_CRASHES_MAX; life++)
        node_free(crashes.lives[life]);
}

/* Contents of three terms, one written after the other: each is the parent of the next. */
enum copy_state { COPY_NEW, COPY_OLD, COPY_OLDER, COPY_TORN, COPY_UNREADABLE, COPY_STATES };
enum { TERM_OLDER = 1, TERM_OLD = 2, TERM_NEW = 3, COMBINATIONS = 625 };
STATIC_ASSERT(SUPERBLOCK_COPIES == 4 && COPY_STATES == 5, "5 to the 4th combinations");

static uint8_t contents[TERM_NEW + 1][BLOCK_BYTES_MIN];

static void contents_write(void)
{
    struct node *node = crashes.lives[0];
    struct image_faults none = { { false } };
    image_boot(node, &none);
    for (uint64_t term = TERM_OLDER; term <= TERM_NEW; term++) {
        const struct message message = {
            .type = FRAME_APPEND_REQUEST, .from = 1, .to = 2, .instance = 1001, .term = term
        };
        node_message(node, &message);
        node_settle(node);
        const uint8_t *first = node->image + superblock_offset(&node->limits, 0);
        memcpy(contents[term], first, BLOCK_BYTES_MIN);
        for (uint32_t copy = 1; copy < SUPERBLOCK_COPIES; copy++)
            EXPECT(memcmp(node->image + superblock_offset(&node->limits, copy), first, BLOCK_BYTES_MIN) == 0);
    }
    node_crash(node);
}

static void copies_of(uint32_t combination, enum copy_state *copies)
{
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++, combination /= COPY_STATES)
        copies[copy] = (enum copy_state)(combination % COPY_STATES);
}

static uint64_t copy_term(enum copy_state state)
{
    return state == COPY_NEW ? TERM_NEW : state == COPY_OLD ? TERM_OLD : state == COPY_OLDER ? TERM_OLDER : 0;
}

static void copies_put(struct node *node, const enum copy_state *copies, struct image_faults *faults)
{
    memset(faults, 0, sizeof *faults);
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++) {
        const uint64_t offset = superblock_offset(&node->limits, copy);
        memcpy(node->image + offset, contents[copy_term(copies[copy]) > 0 ? copy_term(copies[copy]) : TERM_OLD],
               BLOCK_BYTES_MIN);
        if (copies[copy] == COPY_TORN)
            memcpy(node->image + offset, contents[TERM_NEW], IMAGE_TEAR_BYTES);
        faults->unreadable[offset / BLOCK_BYTES_MIN] = copies[copy] == COPY_UNREADABLE;
    }
}

/* The term that a start finds; 0 when it refuses. Before a start ends well, all copies hold what it found. */
static uint64_t copies_found(const enum copy_state *copies)
{
    struct node *node = crashes.lives[0];
    copies_put(node, copies, &crashes.faults[0]);
    const struct rebirth rebirth = image_boot(node, &crashes.faults[0]);
    if (rebirth.stop != 0) {
        EXPECT_EQUAL(rebirth.stop, STOP_NO_SUPERBLOCK);
        EXPECT_EQUAL(rebirth.writes, 0);
        return 0;
    }
    const uint64_t term = node_view(node).term;
    EXPECT_EQUAL(node_view(node).durable_term, term);
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++)
        EXPECT(memcmp(node->image + superblock_offset(&node->limits, copy), contents[term], BLOCK_BYTES_MIN) == 0);
    return term;
}

/* A case is what the writer of the new content left when power was lost, and what else went wrong with some copies. */
struct copies_facts {
    uint32_t rotten;    /* copies that are not as the writer left them */
    bool promised_left; /* one copy holds what was promised, or newer */
};

struct copies_row {
    const char *name;
    uint32_t rotten_min;
    uint32_t rotten_max;
    bool any_left; /* then the next column says nothing */
    bool promised_left;
    bool may_refuse;
    bool may_forget;
};

static const struct copies_row copies_table[] = {
    { "a crash at any write", 0, 0, true, true, false, false },
    { "and one copy rotten", 1, 1, true, true, false, false },
    { "beyond: the promise is left on one copy at least", 2, SUPERBLOCK_COPIES, false, true, true, false },
    { "beyond: no copy holds it any more", 2, SUPERBLOCK_COPIES, false, false, true, true },
};
static uint64_t copies_hits[ARRAY_COUNT(copies_table)];

static const struct copies_row *copies_row(const struct copies_facts *facts)
{
    const struct copies_row *found = NULL;
    for (uint32_t i = 0; i < ARRAY_COUNT(copies_table); i++) {
        const struct copies_row *row = &copies_table[i];
        if (facts->rotten < row->rotten_min || facts->rotten > row->rotten_max
            || (!row->any_left && row->promised_left != facts->promised_left))
            continue;
        EXPECT(found == NULL);
        found = row;
        copies_hits[i]++;
    }
    EXPECT(found != NULL);
    return found;
}

/* The writer has written the copies below `written`, and was at `torn` when power was lost. */
static struct copies_facts copies_facts(const enum copy_state *copies, uint32_t written, uint32_t torn)
{
    const uint64_t promised = written == SUPERBLOCK_COPIES ? TERM_NEW : TERM_OLD;
    struct copies_facts facts = { 0, false };
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++) {
        const enum copy_state left = copy < written ? COPY_NEW : copy == torn ? COPY_TORN : COPY_OLD;
        facts.rotten += copies[copy] != left;
        facts.promised_left = facts.promised_left || copy_term(copies[copy]) >= promised;
    }
    return facts;
}

/* Judges what was found by one way in which the copies can have come about. */
static void copies_judge(const enum copy_state *copies, uint64_t term, uint32_t written, uint32_t torn)
{
    const struct copies_facts facts = copies_facts(copies, written, torn);
    const struct copies_row *row = copies_row(&facts);
    if (term == 0) {
        EXPECT(row->may_refuse);
        return;
    }
    EXPECT(row->may_forget || term >= (written == SUPERBLOCK_COPIES ? TERM_NEW : TERM_OLD));
    uint32_t vouching = 0; /* it is there, and another copy holds the same or what it followed */
    bool intact = false;
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++) {
        intact = intact || copy_term(copies[copy]) == term;
        vouching += copy_term(copies[copy]) == term || (term > TERM_OLDER && copy_term(copies[copy]) == term - 1);
    }
    EXPECT(intact && vouching >= 2);
}

/* ... by all ways. */
static void copies_judge_all(const enum copy_state *copies, uint64_t term)
{
    for (uint32_t written = 0; written <= SUPERBLOCK_COPIES; written++) {
        copies_judge(copies, term, written, SUPERBLOCK_COPIES);
        if (written < SUPERBLOCK_COPIES)
            copies_judge(copies, term, written, written);
    }
}

TEST(no_state_of_the_superblock_copies_forgets_a_promise_or_is_refused_without_need)
{
    lives_begin();
    contents_write();
    memset(copies_hits, 0, sizeof copies_hits);
    for (uint32_t combination = 0; combination < COMBINATIONS; combination++) {
        enum copy_state copies[SUPERBLOCK_COPIES];
        copies_of(combination, copies);
        const uint64_t term = copies_found(copies);
        copies_judge_all(copies, term);
    }
    for (uint32_t i = 0; i < ARRAY_COUNT(copies_table); i++) {
        printf("%10llu  %s\n", (unsigned long long)copies_hits[i], copies_table[i].name);
        EXPECT(copies_hits[i] > 0);
    }
    lives_end();
}

TEST(a_repair_of_the_superblock_that_loses_power_at_any_write_finds_the_same_again)
{
    lives_begin();
    contents_write();
    for (uint32_t combination = 0; combination < COMBINATIONS; combination++) {
        enum copy_state copies[SUPERBLOCK_COPIES];
        copies_of(combination, copies);
        const uint64_t term = copies_found(copies);
        if (term == 0)
            continue;
        copies_put(crashes.lives[0], copies, &crashes.faults[0]);
        crashes.expected = &term;
        image_crash_everywhere(&crashes, 0);
    }
    EXPECT(crashes.count > 0);
    lives_end();
}

/* An old copy, in whose place the disk gave another one: not to be left there, since the blocks of the checkpoint that
 * it names are free now (disk seed 40185106). */
TEST(a_copy_that_was_read_at_the_wrong_place_is_written_anew)
{
    lives_begin();
    contents_write();
    struct node *node = crashes.lives[0];
    const enum copy_state copies[SUPERBLOCK_COPIES] = { COPY_NEW, COPY_NEW, COPY_NEW, COPY_NEW };
    for (uint32_t misread = 0; misread < SUPERBLOCK_COPIES; misread++) {
        struct rebirth rebirth = { .cut = false };
        uint8_t *copy = node->image + superblock_offset(&node->limits, misread);
        copies_put(node, copies, &crashes.faults[0]);
        node_start(node);
        while (node->ops[0].offset < superblock_offset(&node->limits, SUPERBLOCK_COPIES - 1) + BLOCK_BYTES_MIN)
            image_complete(node, 0, &crashes.faults[0], &rebirth);
        memcpy(copy, contents[TERM_OLD], BLOCK_BYTES_MIN);
        while (image_starting(node))
            image_complete(node, 0, &crashes.faults[0], &rebirth);
        EXPECT_EQUAL(rebirth.stop, 0);
        EXPECT(memcmp(copy, contents[TERM_NEW], BLOCK_BYTES_MIN) == 0);
        node_crash(node);
    }
    lives_end();
}

/* Storage design 2.7: terms are echoed in the WAL. A superblock that is behind them was rolled back, with its vote. */
TEST(a_superblock_behind_the_terms_of_the_log_counts_as_a_vote_for_somebody_unknown)
{
    lives_begin();
    contents_write();
    struct node *node = crashes.lives[0];
    image_boot(node, &crashes.faults[0]);
    uint8_t bytes[64];
    const struct entry entry = { .id = { .term = TERM_NEW, .index = 1 }, .kind = ENTRY_NOOP };
    entry_encode(&entry, bytes);
    const struct message append = {
        .type = FRAME_APPEND_REQUEST,
        .from = 1,
        .to = 2,
        .instance = 1001,
        .term = TERM_NEW,
        .append_request = { .entry_count = 1, .entries = { .bytes = bytes, .count = entry_bytes(0) } },
    };
    node_message(node, &append);
    node_settle(node);
    node_crash(node);
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++)
        memcpy(node->image + superblock_offset(&node->limits, copy), contents[TERM_OLDER], BLOCK_BYTES_MIN);

    image_boot(node, &crashes.faults[0]);
    EXPECT_EQUAL(node_view(node).last.index, 1);
    EXPECT_EQUAL(node_view(node).durable_term, TERM_NEW);
    EXPECT(node_view(node).durable_vote == VOTE_UNKNOWN);
    const struct message ask = {
        .type = FRAME_VOTE_REQUEST,
        .from = 1,
        .to = 2,
        .instance = 1001,
        .term = TERM_NEW,
        .vote_request = { .last = { .term = TERM_NEW, .index = 9 }, .term = TERM_NEW },
    };
    node_message(node, &ask);
    node_settle(node);
    struct message answer;
    const struct frame_context context = node_context(node);
    EXPECT_EQUAL(node->sent_count, 1);
    const struct slice frame = { .bytes = node->sent[0].bytes, .count = node->sent[0].count };
    EXPECT_EQUAL(message_decode(frame, &context, &answer), FRAME_OK);
    EXPECT_EQUAL(answer.type, FRAME_VOTE_RESPONSE);
    EXPECT(!answer.vote_response.granted);
    lives_end();
}

TEST_MAIN()

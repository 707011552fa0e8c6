/* The format of recordings, and stepping through them, in memory: one replica with tiny limits is recorded, and
 * replayed from its beginning, from an anchor, across a gap, and from files that were altered. */
#include "../core/recording.h"
#include "../sim/playback.h"

#include "node.h"
#include "test.h"

enum { HALF_BYTES = 4 * RECORDING_CHUNK_BYTES, FILE_BYTES = 2 * HALF_BYTES, LIFE = 4711 };

/* A recorder as small as can be: no chunk is ever full. */
struct tape {
    uint8_t *file;
    struct recording_header header;
    uint64_t position; /* in the half */
    uint64_t digest;
    uint64_t step;
    bool deaf; /* inputs are missed */
};

static uint8_t *tape_half(const struct tape *tape) { return tape->file + tape->header.segment % 2 * HALF_BYTES; }

static struct recording_place tape_place(const struct tape *tape)
{
    return (struct recording_place){ LIFE, tape->header.segment, tape->position };
}

static void tape_segment(struct tape *tape, uint64_t segment, bool follows)
{
    tape->header.segment = segment;
    tape->header.follows = follows;
    tape->header.first_step = tape->step;
    tape->header.digest = tape->digest;
    tape->position = RECORDING_HEADER_BYTES;
    recording_header_encode(&tape->header, tape_half(tape));
}

static struct tape *tape_new(const struct node *node)
{
    struct tape *tape = calloc(1, sizeof *tape);
    ASSERT(tape != NULL);
    tape->file = calloc(1, FILE_BYTES);
    ASSERT(tape->file != NULL);
    tape->digest = RECORDING_DIGEST_START;
    tape->header.life = LIFE;
    tape->header.half_bytes = HALF_BYTES;
    tape->header.region_bytes = replica_bytes(&node->limits);
    tape->header.config = node->config;
    tape->header.limits = node->limits;
    tape->header.members[0] = node->config.node_id;
    tape_segment(tape, 0, false);
    return tape;
}

static void tape_free(struct tape *tape)
{
    free(tape->file);
    free(tape);
}

static void tape_fed(struct node *node, const struct input *input)
{
    struct tape *tape = node->context;
    tape->step++;
    if (tape->deaf)
        return;
    const struct recording_place place = tape_place(tape);
    const uint8_t form = recording_form(node->replica, input);
    ASSERT(tape->position + recording_bytes(input, form) <= RECORDING_CHUNK_BYTES);
    tape->position += recording_encode(input, form, tape->digest, &place, tape_half(tape) + tape->position);
}

static void tape_shown(struct node *node)
{
    struct tape *tape = node->context;
    tape->digest = recording_mix(tape->digest, &node->output);
}

static void tape_end(struct tape *tape)
{
    const struct recording_place place = tape_place(tape);
    tape->position += recording_encode_mark(RECORDING_END, tape->digest, &place, tape_half(tape) + tape->position);
}

/* The region as it is, in chunks of a page each. */
static void tape_anchor(struct tape *tape, const struct node *node)
{
    struct recording_part parts[RECORDING_PARTS_MAX];
    const uint32_t count = recording_parts(node->replica, true, parts);
    struct recording_trailer trailer = { .life = LIFE, .segment = tape->header.segment, .chunks = 1 };
    const uint64_t offset = HALF_BYTES - RECORDING_BLOCK_BYTES - RECORDING_CHUNK_BYTES;
    const struct recording_place place = { LIFE, tape->header.segment, offset };
    struct recording_anchor *anchor = (struct recording_anchor *)(void *)(tape_half(tape) + offset);
    uint64_t next = 0;
    for (uint32_t at = 0; at < count; at++) {
        const uint64_t end = u64_round_up(parts[at].offset + parts[at].bytes, RECORDING_BLOCK_BYTES);
        next = u64_max(next, parts[at].offset / RECORDING_BLOCK_BYTES);
        for (; next < end / RECORDING_BLOCK_BYTES; next++) {
            const uint8_t *page = (const uint8_t *)node->replica + next * RECORDING_BLOCK_BYTES;
            ASSERT(anchor->count < RECORDING_ANCHOR_PAGES_MAX);
            memcpy((uint8_t *)anchor + (size_t)(anchor->count + 1) * RECORDING_BLOCK_BYTES, page,
                   RECORDING_BLOCK_BYTES);
            anchor->pages[anchor->count++] =
                (struct recording_anchor_page){ .checksum = checksum64(page, RECORDING_BLOCK_BYTES, 0),
                                                .page = (uint32_t)next };
        }
    }
    recording_anchor_seal(anchor, &place);
    trailer.pages = anchor->count;
    recording_trailer_encode(&trailer);
    memcpy(tape_half(tape) + HALF_BYTES - RECORDING_BLOCK_BYTES, &trailer, sizeof trailer);
}

static struct node *recorded_node(void)
{
    const struct replica_config config = node_config(1);
    struct node *node = node_new(&limits_tiny, &config, node_voters(1));
    node->context = tape_new(node);
    node->fed = tape_fed;
    node->shown = tape_shown;
    node_start(node);
    node_settle(node);
    node_tick(node, 1000 * 1000 * 1000);
    node_settle(node);
    return node;
}

static void recorded_free(struct node *node)
{
    tape_free(node->context);
    node_free(node);
}

/* So many writes that the log wraps and checkpoints come, then time for the scrub. */
static void live(struct node *node, uint64_t from, uint64_t count)
{
    static uint64_t session;
    if (from == 0) {
        node_request(node, 1, &(struct request){ .request_id = 1, .kind = REQUEST_REGISTER });
        node_settle(node);
        session = node_view(node).last.index;
    }
    for (uint64_t sequence = from + 1; sequence <= from + count; sequence++) {
        uint8_t value[100];
        memset(value, (int)sequence, sizeof value);
        node_request(node, 1 + sequence % 3,
                     &(struct request){ .request_id = sequence,
                                        .kind = REQUEST_PUT,
                                        .session = session,
                                        .sequence = sequence,
                                        .key = { .bytes = (const uint8_t *)"abcdef" + sequence % 6, .count = 1 },
                                        .value = { .bytes = value, .count = sizeof value } });
        if (sequence % 3 == 0)
            node_settle(node);
        node->sent_count = 0;
    }
    for (uint32_t pause = 0; pause < 50; pause++) {
        node_tick(node, 10 * 1000 * 1000);
        node_settle(node);
    }
}

static enum playback_result play(const uint8_t *file, uint64_t bytes, struct playback_view *view)
{
    struct playback_source source;
    char error[PLAYBACK_ERROR_BYTES];
    playback_image(&source, file, bytes);
    memset(view, 0, sizeof *view);
    struct playback *playback = playback_open(&source, NULL, error);
    if (playback == NULL)
        return PLAYBACK_BROKEN;
    enum playback_result result = PLAYBACK_STEP;
    while (result == PLAYBACK_STEP)
        result = playback_next(playback);
    *view = *playback_view(playback);
    playback_close(playback);
    return result;
}

TEST(a_life_replays_from_its_beginning_to_the_same_outputs)
{
    struct node *node = recorded_node();
    struct tape *tape = node->context;
    struct playback_view view;
    live(node, 0, 60);
    EXPECT(node_view(node).base.index > 0);
    tape_end(tape);
    EXPECT_EQUAL(play(tape->file, FILE_BYTES, &view), PLAYBACK_END);
    EXPECT(view.ended);
    EXPECT_EQUAL(view.steps, tape->step);
    EXPECT(view.digest == tape->digest);
    recorded_free(node);
}

TEST(scrubbed_blocks_and_zeros_are_not_stored)
{
    struct node *node = recorded_node();
    struct tape *tape = node->context;
    struct playback_view view;
    live(node, 0, 60);
    const uint64_t position = tape->position, step = tape->step;
    while (tape->step < step + 1000) {
        node_tick(node, 5 * 1000 * 1000);
        node_settle(node);
    }
    /* The names alone are stored; 48 bytes a record otherwise. */
    EXPECT(tape->position - position < 1000 * 48 + 1000 / 4 * limits_tiny.block_bytes);
    EXPECT_EQUAL(play(tape->file, FILE_BYTES, &view), PLAYBACK_END);
    recorded_free(node);
}

TEST(an_anchor_is_compared_and_can_be_begun_with)
{
    struct node *node = recorded_node();
    struct tape *tape = node->context;
    struct playback_view view;
    live(node, 0, 31); /* some of it is not durable yet */
    tape_segment(tape, 1, true);
    tape_anchor(tape, node);
    live(node, 31, 40);
    tape_end(tape);
    EXPECT_EQUAL(play(tape->file, FILE_BYTES, &view), PLAYBACK_END);
    EXPECT_EQUAL(view.anchors, 1);
    EXPECT_EQUAL(view.steps, tape->step);
    memset(tape->file, 0, RECORDING_HEADER_BYTES); /* the first segment is gone */
    EXPECT_EQUAL(play(tape->file, FILE_BYTES, &view), PLAYBACK_END);
    EXPECT_EQUAL(view.anchors, 0);
    EXPECT_EQUAL(view.header.segment, 1);
    EXPECT_EQUAL(view.steps, tape->step - tape->header.first_step);
    EXPECT(view.digest == tape->digest);
    recorded_free(node);
}

TEST(a_gap_is_counted_and_left_behind_with_the_next_anchor)
{
    struct node *node = recorded_node();
    struct tape *tape = node->context;
    struct playback_view view;
    live(node, 0, 20);
    const uint64_t before = tape->step;
    tape->deaf = true;
    live(node, 20, 20);
    tape->deaf = false;
    const uint64_t missed = tape->step - before;
    tape_segment(tape, 1, false);
    tape_anchor(tape, node);
    live(node, 40, 20);
    EXPECT_EQUAL(play(tape->file, FILE_BYTES, &view), PLAYBACK_END);
    EXPECT_EQUAL(view.missing, missed);
    EXPECT_EQUAL(view.steps, tape->step - missed);
    EXPECT_EQUAL(view.damage.places, 0);
    recorded_free(node);
}

TEST(an_anchor_of_another_state_is_a_difference_that_is_named)
{
    struct node *node = recorded_node();
    struct tape *tape = node->context;
    struct playback_view view;
    live(node, 0, 20);
    tape_segment(tape, 1, true);
    struct recording_part parts[RECORDING_PARTS_MAX];
    const uint32_t count = recording_parts(node->replica, false, parts);
    for (uint32_t at = 0; at < count; at++) {
        uint8_t *byte = (uint8_t *)node->region + parts[at].offset + parts[at].bytes / 2;
        if (strcmp(parts[at].name, "pages") != 0)
            continue;
        *byte ^= 1;
        tape_anchor(tape, node);
        *byte ^= 1;
    }
    EXPECT_EQUAL(play(tape->file, FILE_BYTES, &view), PLAYBACK_DIFFERS);
    EXPECT(strstr(view.text, "pages") != NULL);
    recorded_free(node);
}

TEST(an_input_that_was_not_the_node_s_is_found_at_its_step)
{
    struct node *node = recorded_node();
    struct tape *tape = node->context;
    struct playback_view view;
    live(node, 0, 10);
    const uint64_t step = tape->step;
    const struct recording_place place = tape_place(tape);
    uint8_t *record = tape_half(tape) + tape->position;
    live(node, 10, 10);
    struct recorded recorded;
    const uint32_t bytes = recording_decode((struct slice){ record, 8192 }, &place, &recorded);
    EXPECT(bytes > 0);
    EXPECT_EQUAL(recorded.kind, INPUT_CLIENT_FRAME);
    /* The same frame, of another client, with a checksum that holds. */
    recorded.input.client += 100;
    uint8_t copy[8192];
    EXPECT_EQUAL(recording_encode(&recorded.input, 0, recorded.digest, &place, copy), bytes);
    memcpy(record, copy, bytes);
    EXPECT_EQUAL(play(tape->file, FILE_BYTES, &view), PLAYBACK_DIFFERS);
    EXPECT(view.step > step); /* when it is answered */
    recorded_free(node);
}

TEST(whatever_is_flipped_ends_before_it_and_is_damage_unless_it_was_the_last)
{
    struct node *node = recorded_node();
    struct tape *tape = node->context;
    struct playback_view view;
    live(node, 0, 12);
    const uint64_t last = tape->position;
    node_tick(node, 10 * 1000 * 1000);
    EXPECT(tape->position > last);
    for (uint64_t at = 0; at < tape->position; at += 97) {
        tape->file[at] ^= 0x10;
        const enum playback_result result = play(tape->file, FILE_BYTES, &view);
        const bool header = at < RECORDING_HEADER_BYTES;
        EXPECT_EQUAL(result, at < last ? PLAYBACK_BROKEN : PLAYBACK_END);
        EXPECT(header || view.steps < tape->step);
        EXPECT(header || at >= last || (view.damage.offset <= at && view.damage.step == view.steps));
        tape->file[at] ^= 0x10;
    }
    recorded_free(node);
}

TEST(every_bit_of_a_record_counts_and_so_does_its_place)
{
    static uint8_t record[4096];
    const uint8_t content[13] = "thirteen byte";
    struct recorded recorded;
    for (uint32_t count = 0; count <= sizeof content; count++) {
        const struct recording_place place = { LIFE, 3, RECORDING_HEADER_BYTES + 64 };
        const struct recording_place others[] = { { LIFE + 1, 3, place.offset },
                                                  { LIFE, 5, place.offset },
                                                  { LIFE, 3, place.offset + 8 } };
        const struct input input = { .kind = INPUT_PEER_FRAME, .now_ns = 7, .bytes = { content, count } };
        const uint32_t bytes = recording_encode(&input, 0, 9, &place, record);
        EXPECT_EQUAL(bytes, sizeof(struct recording_record) + (count + 7) / 8 * 8);
        const struct slice all = { record, bytes };
        EXPECT_EQUAL(recording_decode(all, &place, &recorded), bytes);
        EXPECT(recorded.input.bytes.count == count && memcmp(recorded.input.bytes.bytes, content, count) == 0);
        for (size_t slot = 0; slot < ARRAY_COUNT(others); slot++)
            EXPECT_EQUAL(recording_decode(all, &others[slot], &recorded), 0);
        for (uint32_t bit = 0; bit < 8 * bytes; bit++) {
            record[bit / 8] ^= (uint8_t)(1 << bit % 8);
            EXPECT_EQUAL(recording_decode(all, &place, &recorded), 0);
            record[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
}

/* Everything behind `at` is zero, as on a disk that was not written any more. */
TEST(a_torn_tail_is_no_damage)
{
    struct node *node = recorded_node();
    struct tape *tape = node->context;
    struct playback_view view;
    live(node, 0, 12);
    for (uint64_t at = tape->position - 1; at >= RECORDING_HEADER_BYTES; at -= 89) {
        memset(tape->file + at, 0, tape->position - at);
        EXPECT_EQUAL(play(tape->file, FILE_BYTES, &view), PLAYBACK_END);
        EXPECT_EQUAL(view.damage.places, 0);
    }
    recorded_free(node);
}

TEST(what_is_intact_behind_damage_is_counted)
{
    struct node *node = recorded_node();
    struct tape *tape = node->context;
    struct playback_view view;
    live(node, 0, 12);
    const uint64_t at = tape->position, step = tape->step;
    live(node, 12, 12);
    tape->file[at] ^= 1;
    EXPECT_EQUAL(play(tape->file, FILE_BYTES, &view), PLAYBACK_BROKEN);
    EXPECT_EQUAL(view.steps, step);
    EXPECT_EQUAL(view.damage.offset, at);
    EXPECT_EQUAL(view.damage.step, step);
    EXPECT_EQUAL(view.damage.inputs, tape->step - step - 1);
    EXPECT(strstr(view.text, "records at byte ") != NULL);
    recorded_free(node);
}

TEST(a_damaged_anchor_or_header_is_not_taken_for_none)
{
    struct node *node = recorded_node();
    struct tape *tape = node->context;
    struct playback_view view;
    live(node, 0, 20);
    tape_segment(tape, 1, true);
    tape_anchor(tape, node);
    live(node, 20, 20);
    tape_end(tape);
    const uint64_t anchor = FILE_BYTES - RECORDING_BLOCK_BYTES - RECORDING_CHUNK_BYTES;
    static const char *const texts[] = { "header", "header", "anchor", "anchor", "anchor" };
    const uint64_t places[] = { 100, HALF_BYTES + 100, anchor + 8, anchor + RECORDING_BLOCK_BYTES + 8,
                                FILE_BYTES - RECORDING_BLOCK_BYTES + 20 };
    for (uint32_t slot = 0; slot < ARRAY_COUNT(places); slot++) {
        tape->file[places[slot]] ^= 1;
        EXPECT_EQUAL(play(tape->file, FILE_BYTES, &view), PLAYBACK_BROKEN);
        EXPECT_EQUAL(view.damage.places, 1);
        EXPECT_TEXT(view.damage.what, texts[slot]);
        EXPECT(view.steps > 0);
        tape->file[places[slot]] ^= 1;
    }
    /* The recorder began the segment after the next, whose header was not written yet. */
    const struct recording_place later = { LIFE, 3, anchor - HALF_BYTES };
    recording_anchor_seal((struct recording_anchor *)(void *)(tape->file + anchor), &later);
    EXPECT_EQUAL(play(tape->file, FILE_BYTES, &view), PLAYBACK_END);
    recorded_free(node);
}

TEST(damage_in_the_middle_is_told_from_the_end)
{
    struct node *node = recorded_node();
    struct tape *tape = node->context;
    struct playback_view view;
    live(node, 0, 20);
    const uint64_t end = tape->position;
    tape_segment(tape, 1, true);
    tape_anchor(tape, node);
    live(node, 20, 20);
    tape_end(tape);
    tape->file[end / 2] ^= 1;
    EXPECT_EQUAL(play(tape->file, FILE_BYTES, &view), PLAYBACK_BROKEN);
    EXPECT(view.damage.places == 1 && view.damage.inputs > 0 && view.missing > view.damage.inputs && view.ended);
    EXPECT_EQUAL(view.segments, 2);
    recorded_free(node);
}

TEST_MAIN()

/* Frames between replicas: whatever is encoded decodes to the same message, and nothing else decodes at all. */
#include "../core/message.h"

#include "../core/checksum.h"
#include "../core/entry.h"
#include "test.h"

static const struct frame_context context = { .cluster_id = 77, .fingerprint = 99, .frame_bytes_max = 1536 };
static uint8_t frame[4096];
static uint8_t entries[256];
static const uint32_t page_numbers[] = { 3, 4, 900 };
static const struct hash128 hashes[] = { { .low = 1 }, { .low = 0 }, { .low = 3, .high = 4 } };
enum { PAGE_BYTES = 256, PAGES_SENT = 2 };
static struct pieces_question questions[3];
/* Of the first page all pieces, of the second two. */
static uint8_t pages[8 + PAGE_BYTES + 8 + 2 * PAGE_BYTES / PIECES];

static struct slice encoded(const struct message *message)
{
    memset(frame, 0xaa, sizeof frame);
    message_encode(message, &context, frame);
    return (struct slice){ .bytes = frame, .count = message_bytes(message) };
}

static struct message envelope(enum frame_type type)
{
    return (struct message){ .type = type, .from = 1, .to = 2, .instance = 5, .term = 8 };
}

static struct message append_of_two(void)
{
    const struct entry command = { .id = { .term = 7, .index = 4 },
                                   .kind = ENTRY_COMMAND,
                                   .body = { .bytes = (const uint8_t *)"abc", .count = 3 } };
    const struct entry noop = { .id = { .term = 8, .index = 5 }, .kind = ENTRY_NOOP };
    entry_encode(&command, entries);
    entry_encode(&noop, entries + entry_bytes(3));
    struct message message = envelope(FRAME_APPEND_REQUEST);
    message.append_request = (struct append_request){
        .prev = { .term = 6, .index = 3 },
        .commit = 2,
        .round = 11,
        .entry_count = 2,
        .entries = { .bytes = entries, .count = entry_bytes(3) + entry_bytes(0) },
    };
    return message;
}

static struct message checkpoint_question(unsigned which)
{
    struct message message = envelope(FRAME_CHECKPOINT_REQUEST);
    const struct hash128 checkpoint = { .low = 21, .high = 22 };
    if (which == 5)
        message.checkpoint_request =
            (struct checkpoint_request){ .ask = CHECKPOINT_ASK_OFFER, .id = { .term = 2, .index = 3 } };
    else if (which == 6)
        message.checkpoint_request =
            (struct checkpoint_request){ .ask = CHECKPOINT_ASK_HASHES, .checkpoint = checkpoint, .level = 1, .at = 2 };
    else
        message.checkpoint_request = (struct checkpoint_request){
            .ask = CHECKPOINT_ASK_PAGES,
            .checkpoint = checkpoint,
            .count = 3,
            .pages = { .bytes = (const uint8_t *)questions, .count = sizeof questions },
        };
    for (unsigned at = 0; at < ARRAY_COUNT(questions); at++)
        questions[at] = (struct pieces_question){ .page = page_numbers[at], .hashes = { 7, [PIECES - 1] = 8 } };
    return message;
}

/* Two of three pages: the last is damaged at the sender. */
static struct slice pages_payload(void)
{
    const struct pieces_header whole = { .page = page_numbers[0], .present = UINT16_MAX };
    const struct pieces_header part = { .page = page_numbers[1], .present = 0x8001 };
    memset(pages, 0x5a, sizeof pages);
    memcpy(pages, &whole, sizeof whole);
    memcpy(pages + sizeof whole + PAGE_BYTES, &part, sizeof part);
    return (struct slice){ .bytes = pages, .count = sizeof pages };
}

static struct message checkpoint_sample(unsigned which)
{
    if (which < 8)
        return checkpoint_question(which);
    struct message message = envelope(FRAME_CHECKPOINT_RESPONSE);
    struct checkpoint_response *response = &message.checkpoint_response;
    *response = (struct checkpoint_response){ .ask = CHECKPOINT_ASK_OFFER };
    if (which == 8)
        return message; /* nothing to offer */
    response->checkpoint = (struct hash128){ .low = 21, .high = 22 };
    if (which == 9) {
        response->id = (struct log_id){ .term = 7, .index = 50 };
        response->root_hash = (struct hash128){ .low = 23, .high = 24 };
        response->leader = true;
    } else if (which == 10) {
        response->ask = CHECKPOINT_ASK_HASHES;
        response->level = 1;
        response->at = 2;
        response->count = 3;
        response->payload = (struct slice){ .bytes = (const uint8_t *)hashes, .count = sizeof hashes };
    } else {
        response->ask = CHECKPOINT_ASK_PAGES;
        response->at = 3;
        response->count = 3;
        response->page_count = PAGES_SENT;
        response->page_bytes = PAGE_BYTES;
        response->payload = pages_payload();
    }
    return message;
}

/* One message of every type, and of every kind of question and answer about checkpoints. */
static struct message sample(unsigned which)
{
    struct message message;
    switch (which) {
    case 0:
        message = envelope(FRAME_VOTE_REQUEST);
        message.vote_request = (struct vote_request){ .last = { .term = 6, .index = 40 }, .term = 9, .pre = true };
        return message;
    case 1:
        message = envelope(FRAME_VOTE_RESPONSE);
        message.vote_response = (struct vote_response){ .term = 9, .pre = true, .granted = true };
        return message;
    case 2: return append_of_two();
    case 3:
        message = envelope(FRAME_APPEND_RESPONSE);
        message.append_response = (struct append_response){ .match = 5, .round = 11 };
        return message;
    case 4:
        message = envelope(FRAME_REFUSAL);
        message.refusal.reason = FRAME_WRONG_FINGERPRINT;
        return message;
    case 12:
        message = envelope(FRAME_READ_INDEX_REQUEST);
        message.read_index_request.number = 77;
        return message;
    case 13:
        message = envelope(FRAME_READ_INDEX_RESPONSE);
        message.read_index_response = (struct read_index_response){ .number = 77, .index = 40 };
        return message;
    default: return checkpoint_sample(which);
    }
}
enum { SAMPLES = 14 };

static enum frame_verdict decode(struct slice bytes, struct message *message)
{
    return message_decode(bytes, &context, message);
}

TEST(every_message_survives_the_round_trip)
{
    for (unsigned which = 0; which < SAMPLES; which++) {
        const struct message sent = sample(which);
        struct message got;
        EXPECT_EQUAL(decode(encoded(&sent), &got), FRAME_OK);
        EXPECT_EQUAL(got.type, sent.type);
        EXPECT_EQUAL(got.from, 1);
        EXPECT_EQUAL(got.to, 2);
        EXPECT_EQUAL(got.instance, 5);
        EXPECT_EQUAL(got.term, 8);
        uint8_t again[1536];
        message_encode(&got, &context, again);
        EXPECT(memcmp(again, frame, message_bytes(&sent)) == 0);
    }
}

TEST(vote_fields_survive_the_round_trip)
{
    const struct message sent = sample(0);
    struct message got;
    EXPECT_EQUAL(decode(encoded(&sent), &got), FRAME_OK);
    EXPECT(log_id_equal(got.vote_request.last, sent.vote_request.last));
    EXPECT_EQUAL(got.vote_request.term, 9);
    EXPECT(got.vote_request.pre);
}

TEST(a_campaign_for_a_leader_says_so_and_asks_nobody_before)
{
    struct message sent = envelope(FRAME_VOTE_REQUEST);
    struct message got;
    sent.vote_request = (struct vote_request){ .term = 9, .transfer = true };
    EXPECT_EQUAL(decode(encoded(&sent), &got), FRAME_OK);
    EXPECT(got.vote_request.transfer && !got.vote_request.pre);
    sent.vote_request.pre = true;
    EXPECT_EQUAL(decode(encoded(&sent), &got), FRAME_BAD_BODY);
    sent = envelope(FRAME_TIMEOUT_NOW);
    const struct slice bytes = encoded(&sent);
    EXPECT_EQUAL(bytes.count, sizeof(struct frame_header));
    EXPECT_EQUAL(decode(bytes, &got), FRAME_OK);
    EXPECT(got.type == FRAME_TIMEOUT_NOW && got.term == 8);
}

TEST(a_question_for_the_read_index_has_a_number_and_no_index)
{
    struct message sent = sample(13);
    struct message got;
    EXPECT_EQUAL(decode(encoded(&sent), &got), FRAME_OK);
    EXPECT_EQUAL(got.read_index_response.number, 77);
    EXPECT_EQUAL(got.read_index_response.index, 40);
    sent.read_index_response.number = 0;
    EXPECT_EQUAL(decode(encoded(&sent), &got), FRAME_BAD_BODY);
    sent = sample(12);
    EXPECT_EQUAL(decode(encoded(&sent), &got), FRAME_OK);
    EXPECT_EQUAL(got.read_index_request.number, 77);
    sent.read_index_request.number = 0;
    EXPECT_EQUAL(decode(encoded(&sent), &got), FRAME_BAD_BODY);
    /* An index, where the question has none. */
    sent = sample(13);
    const struct slice bytes = encoded(&sent);
    struct frame_header header;
    memcpy(&header, bytes.bytes, sizeof header);
    header.type = FRAME_READ_INDEX_REQUEST;
    frame_seal(&header, frame);
    EXPECT_EQUAL(decode(bytes, &got), FRAME_BAD_BODY);
}

TEST(append_fields_survive_the_round_trip)
{
    const struct message sent = append_of_two();
    struct message got;
    EXPECT_EQUAL(decode(encoded(&sent), &got), FRAME_OK);
    EXPECT(log_id_equal(got.append_request.prev, sent.append_request.prev));
    EXPECT_EQUAL(got.append_request.commit, 2);
    EXPECT_EQUAL(got.append_request.round, 11);
    EXPECT_EQUAL(got.append_request.entry_count, 2);
    EXPECT_EQUAL(got.append_request.entries.count, sent.append_request.entries.count);
    EXPECT(memcmp(got.append_request.entries.bytes, entries, sent.append_request.entries.count) == 0);
}

TEST(every_single_bit_flip_is_refused)
{
    for (unsigned which = 0; which < SAMPLES; which++) {
        const struct message sent = sample(which);
        const struct slice bytes = encoded(&sent);
        for (uint32_t bit = 0; bit < bytes.count * 8; bit++) {
            struct message got;
            frame[bit / 8] ^= (uint8_t)(1u << (bit % 8));
            EXPECT(decode(bytes, &got) != FRAME_OK);
            frame[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        }
    }
}

TEST(every_shorter_and_longer_run_of_bytes_is_refused)
{
    for (unsigned which = 0; which < SAMPLES; which++) {
        const struct message sent = sample(which);
        struct slice bytes = encoded(&sent);
        struct message got;
        bytes.count++;
        EXPECT(decode(bytes, &got) != FRAME_OK);
        bytes.count--;
        while (bytes.count > 0) {
            bytes.count--;
            EXPECT(decode(bytes, &got) != FRAME_OK);
        }
    }
}

/* Writes the checksum that makes any forged frame look intact. */
static void reseal(struct slice bytes)
{
    const uint64_t checksum = checksum64(frame + 8, bytes.count - 8, 0);
    memcpy(frame, &checksum, sizeof checksum);
}

TEST(bytes_inside_an_intact_frame_are_checked_all_the_same)
{
    /* Every byte of every sample in turn becomes 0 and 255 under a good checksum: the decoder may accept, but what it
     * accepts must be in range (its entries decode one by one). */
    for (unsigned which = 0; which < SAMPLES; which++) {
        for (uint32_t at = 8; at < 64 + 48; at++) {
            for (int value = 0; value < 256; value += 255) {
                const struct message sent = sample(which);
                const struct slice bytes = encoded(&sent);
                struct message got;
                if (at >= bytes.count)
                    continue;
                frame[at] = (uint8_t)value;
                reseal(bytes);
                if (decode(bytes, &got) != FRAME_OK || got.type != FRAME_APPEND_REQUEST)
                    continue;
                struct slice rest = got.append_request.entries;
                for (uint32_t i = 0; i < got.append_request.entry_count; i++) {
                    struct entry entry;
                    const uint32_t used = entry_decode(rest, &entry);
                    EXPECT(used > 0);
                    rest = (struct slice){ .bytes = rest.bytes + used, .count = rest.count - used };
                }
                EXPECT_EQUAL(rest.count, 0);
            }
        }
    }
}

TEST(checkpoint_fields_survive_the_round_trip)
{
    struct message sent = sample(9);
    struct message got;
    EXPECT_EQUAL(decode(encoded(&sent), &got), FRAME_OK);
    EXPECT(log_id_equal(got.checkpoint_response.id, sent.checkpoint_response.id));
    EXPECT(hash128_equal(got.checkpoint_response.checkpoint, sent.checkpoint_response.checkpoint));
    EXPECT(hash128_equal(got.checkpoint_response.root_hash, sent.checkpoint_response.root_hash));
    EXPECT(got.checkpoint_response.leader);
    sent = sample(7);
    EXPECT_EQUAL(decode(encoded(&sent), &got), FRAME_OK);
    EXPECT_EQUAL(got.checkpoint_request.count, 3);
    EXPECT_EQUAL(got.checkpoint_request.pages.count, sizeof questions);
    EXPECT(memcmp(got.checkpoint_request.pages.bytes, questions, sizeof questions) == 0);
    sent = sample(11);
    EXPECT_EQUAL(decode(encoded(&sent), &got), FRAME_OK);
    EXPECT_EQUAL(got.checkpoint_response.at, 3);
    EXPECT_EQUAL(got.checkpoint_response.count, 3);
    EXPECT_EQUAL(got.checkpoint_response.page_count, PAGES_SENT);
    EXPECT_EQUAL(got.checkpoint_response.page_bytes, PAGE_BYTES);
    EXPECT_EQUAL(got.checkpoint_response.payload.count, sizeof pages);
    EXPECT(memcmp(got.checkpoint_response.payload.bytes, pages, sizeof pages) == 0);
}

TEST(the_largest_answer_with_pages_fits_a_frame)
{
    const uint32_t most = message_pages_max(context.frame_bytes_max, PAGE_BYTES);
    EXPECT(most >= 1);
    EXPECT(message_checkpoint_bytes(most * pieces_bytes_max(PAGE_BYTES)) <= context.frame_bytes_max);
    EXPECT(message_checkpoint_bytes((most + 1) * pieces_bytes_max(PAGE_BYTES)) > context.frame_bytes_max);
    EXPECT_EQUAL(message_pages_max(100, PAGE_BYTES), 0);
    struct message ask = checkpoint_question(7);
    ask.checkpoint_request.pages.count = most * (uint32_t)sizeof(struct pieces_question);
    EXPECT(message_bytes(&ask) <= context.frame_bytes_max);
}

/* The verdict on sample `which` when the 32-bit word at `offset` of its body is `value`. */
static enum frame_verdict forged(unsigned which, uint32_t offset, uint32_t value)
{
    const struct message sent = sample(which);
    const struct slice bytes = encoded(&sent);
    struct message got;
    memcpy(frame + sizeof(struct frame_header) + offset, &value, sizeof value);
    reseal(bytes);
    return decode(bytes, &got);
}

/* Offsets of the words of a checkpoint request and response, see message.c. */
enum {
    ASKED_ID = 16,
    ASKED_WHAT = 32,
    ASKED_LEVEL = 36,
    ASKED_AT = 40,
    ASKED_COUNT = 44,
    ASKED_PAGES = 48,
    TOLD_ID_TERM = 32,
    TOLD_WHAT = 48,
    TOLD_LEADER = 52,
    TOLD_LEVEL = 56,
    TOLD_COUNT = 64,
    TOLD_PAGE_COUNT = 68,
    TOLD_PAGE_BYTES = 72,
    TOLD_ZERO = 76,
    TOLD_PAGES = 80,
};

TEST(questions_about_checkpoints_that_contradict_themselves_are_malformed)
{
    EXPECT_EQUAL(forged(7, ASKED_PAGES, 3), FRAME_OK);
    EXPECT_EQUAL(forged(5, ASKED_WHAT, 0), FRAME_BAD_BODY);
    EXPECT_EQUAL(forged(5, ASKED_WHAT, 4), FRAME_BAD_BODY);
    EXPECT_EQUAL(forged(5, ASKED_WHAT, CHECKPOINT_ASK_HASHES), FRAME_BAD_BODY);
    EXPECT_EQUAL(forged(5, 0, 1), FRAME_BAD_BODY);
    EXPECT_EQUAL(forged(5, ASKED_AT, 1), FRAME_BAD_BODY);
    EXPECT_EQUAL(forged(5, ASKED_ID, 9), FRAME_OK);
    EXPECT_EQUAL(forged(6, ASKED_ID, 9), FRAME_BAD_BODY);
    EXPECT_EQUAL(forged(7, ASKED_ID, 9), FRAME_BAD_BODY);
    EXPECT_EQUAL(forged(6, ASKED_LEVEL, 0), FRAME_BAD_BODY);
    EXPECT_EQUAL(forged(6, ASKED_COUNT, 1), FRAME_BAD_BODY);
    EXPECT_EQUAL(forged(7, ASKED_COUNT, 2), FRAME_BAD_BODY);
    EXPECT_EQUAL(forged(7, ASKED_COUNT, UINT32_MAX), FRAME_BAD_BODY);
    EXPECT_EQUAL(forged(7, ASKED_COUNT, 0x40000003), FRAME_BAD_BODY); /* times 36 it is 108 again */
    EXPECT_EQUAL(forged(7, ASKED_PAGES, 4), FRAME_BAD_BODY);          /* twice the same */
    EXPECT_EQUAL(forged(7, ASKED_PAGES, 5), FRAME_BAD_BODY);          /* descending */
    EXPECT_EQUAL(forged(7, ASKED_PAGES + sizeof(struct pieces_question), 900), FRAME_BAD_BODY);
}

TEST(answers_about_checkpoints_that_contradict_themselves_are_malformed)
{
    EXPECT_EQUAL(forged(8, TOLD_LEADER, 1), FRAME_BAD_BODY);
    EXPECT_EQUAL(forged(9, TOLD_LEADER, 2), FRAME_BAD_BODY);
    EXPECT_EQUAL(forged(9, TOLD_ID_TERM, 0), FRAME_BAD_BODY);
    EXPECT_EQUAL(forged(9, TOLD_ID_TERM, 9), FRAME_BAD_BODY); /* beyond the sender's term */
    EXPECT_EQUAL(forged(9, TOLD_ZERO, 1), FRAME_BAD_BODY);
    EXPECT_EQUAL(forged(9, TOLD_WHAT, CHECKPOINT_ASK_PAGES), FRAME_BAD_BODY);
    EXPECT_EQUAL(forged(10, TOLD_LEVEL, 0), FRAME_BAD_BODY);
    EXPECT_EQUAL(forged(10, TOLD_COUNT, 0x10000003), FRAME_BAD_BODY); /* times 16 it is 48 again */
    EXPECT_EQUAL(forged(10, TOLD_ID_TERM, 7), FRAME_BAD_BODY);
    EXPECT_EQUAL(forged(11, TOLD_PAGE_COUNT, 1), FRAME_BAD_BODY);
    EXPECT_EQUAL(forged(11, TOLD_PAGE_COUNT, 4), FRAME_BAD_BODY);
    EXPECT_EQUAL(forged(11, TOLD_COUNT, 1), FRAME_BAD_BODY); /* fewer decided than here */
    EXPECT_EQUAL(forged(11, TOLD_PAGE_BYTES, 0), FRAME_BAD_BODY);
    EXPECT_EQUAL(forged(11, TOLD_PAGE_BYTES, PAGE_BYTES + 1), FRAME_BAD_BODY);
    EXPECT_EQUAL(forged(11, TOLD_PAGE_BYTES, UINT32_MAX), FRAME_BAD_BODY);
    EXPECT_EQUAL(forged(11, TOLD_PAGES, 4), FRAME_BAD_BODY);
    EXPECT_EQUAL(forged(11, TOLD_PAGES + 4, 1U << 31 | UINT16_MAX), FRAME_BAD_BODY);
    EXPECT_EQUAL(forged(11, TOLD_PAGES + 4, UINT16_MAX >> 1), FRAME_BAD_BODY);         /* a piece fewer than follow */
    EXPECT_EQUAL(forged(11, TOLD_PAGES + 8 + PAGE_BYTES + 4, 0x8003), FRAME_BAD_BODY); /* one more than follow */
    EXPECT_EQUAL(forged(11, TOLD_PAGES + 8 + PAGE_BYTES, 3), FRAME_BAD_BODY);          /* twice the same */
    EXPECT_EQUAL(forged(11, TOLD_PAGE_BYTES, PAGE_BYTES + PIECES), FRAME_BAD_BODY);
}

static enum frame_verdict verdict_after(uint32_t offset, uint64_t value, uint32_t bytes_changed)
{
    const struct message sent = sample(0);
    const struct slice bytes = encoded(&sent);
    struct message got;
    memcpy(frame + offset, &value, bytes_changed);
    reseal(bytes);
    return decode(bytes, &got);
}

TEST(strangers_are_named)
{
    EXPECT_EQUAL(verdict_after(offsetof(struct frame_header, version), WIRE_VERSION + 1, 2), FRAME_BAD_VERSION);
    EXPECT_EQUAL(verdict_after(offsetof(struct frame_header, type), FRAME_PEER_LAST + 1, 2), FRAME_BAD_TYPE);
    EXPECT_EQUAL(verdict_after(offsetof(struct frame_header, cluster_id), 78, 8), FRAME_WRONG_CLUSTER);
    EXPECT_EQUAL(verdict_after(offsetof(struct frame_header, fingerprint), 98, 8), FRAME_WRONG_FINGERPRINT);
}

TEST(frame_size_cuts_a_stream)
{
    const struct message sent = sample(0);
    const struct slice bytes = encoded(&sent);
    uint32_t size = 0;
    EXPECT_EQUAL(frame_size((struct slice){ .bytes = frame, .count = 63 }, 1536, &size), FRAME_SHORT);
    EXPECT_EQUAL(frame_size((struct slice){ .bytes = frame, .count = 64 }, 1536, &size), FRAME_OK);
    EXPECT_EQUAL(size, bytes.count);
    EXPECT_EQUAL(frame_size(bytes, bytes.count - 1, &size), FRAME_BAD_SIZE);
    const uint32_t claim = 63;
    memcpy(frame + offsetof(struct frame_header, frame_bytes), &claim, sizeof claim);
    EXPECT_EQUAL(frame_size(bytes, 1536, &size), FRAME_BAD_SIZE);
}

TEST(every_verdict_has_a_text)
{
    for (int verdict = FRAME_OK; verdict <= FRAME_REMOVED; verdict++) {
        const char *text = frame_verdict_text((enum frame_verdict)verdict);
        EXPECT(text != NULL && text[0] != '\0');
    }
}

TEST_MAIN()

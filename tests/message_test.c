/* Frames between replicas: whatever is encoded decodes to the same message, and nothing else decodes at all. */
#include "../core/message.h"

#include "../core/checksum.h"
#include "../core/entry.h"
#include "test.h"

static const struct frame_context context = { .cluster_id = 77, .fingerprint = 99, .frame_bytes_max = 1536 };
static uint8_t frame[4096];
static uint8_t entries[256];

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

/* One message of every type. */
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
    default:
        message = envelope(FRAME_REFUSAL);
        message.refusal.reason = FRAME_WRONG_FINGERPRINT;
        return message;
    }
}
enum { SAMPLES = 5 };

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
    EXPECT_EQUAL(verdict_after(offsetof(struct frame_header, version), 2, 2), FRAME_BAD_VERSION);
    EXPECT_EQUAL(verdict_after(offsetof(struct frame_header, type), 12, 2), FRAME_BAD_TYPE);
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
    for (int verdict = FRAME_OK; verdict <= FRAME_DUPLICATE_NODE; verdict++) {
        const char *text = frame_verdict_text((enum frame_verdict)verdict);
        EXPECT(text != NULL && text[0] != '\0');
    }
}

TEST_MAIN()

/* Batches that were lost in a row: known by the names of the ring, or by the terms on both sides of the gap (storage
 * design 2.8). */
#include "recovery_scene.h"
#include "test.h"

enum { ROW_BATCHES = 48, ROW_TOGETHER = 40 };

/* A log of batches of one block each, each with a name of its own, and more than a start remembers of the ring. */
static struct node *row_new(struct kept_log *log)
{
    struct limits limits = test_limits();
    const struct replica_config config = node_config(2);
    struct name_block newest = { .offset = 0 };
    limits.wal_header_blocks = ROW_BATCHES + 2;
    limits.wal_body_blocks = ROW_BATCHES + 40;
    limits.log_entries_max = 256;
    struct node *node = node_new(&limits, &config, node_voters(3));
    STATIC_ASSERT(ROW_TOGETHER > (int)RECOVERY_NAMED_MAX, "more than is remembered");
    node_start(node);
    node_settle(node);
    for (uint32_t i = 0; i < ROW_BATCHES; i++)
        past_add(node, ENTRY_COMMAND, (uint8_t)i, false, &newest);
    kept_log_read(node, log);
    EXPECT_EQUAL(log->last, ROW_BATCHES * ENTRIES);
    node_crash(node);
    return node;
}

/* Damages `count` batches from the one numbered `first` on, and starts from that. */
static struct rebirth row_damage(struct node *node, const uint8_t *image, uint32_t first, uint32_t count)
{
    struct image_faults faults = { .unreadable = { false } };
    memcpy(node->image, image, node->image_bytes);
    memset(node->image + wal_body_offset(&node->limits) + first * BLOCK, 0x5a, (size_t)count * BLOCK);
    return image_boot(node, &faults);
}

static void expect_row(const struct node *node, const struct kept_log *log, uint32_t first, uint32_t count)
{
    struct kept_log expected = *log;
    struct kept_log found;
    for (uint32_t i = first * ENTRIES; i < (first + count) * ENTRIES; i++)
        expected.entries[i + 1] = (struct kept_entry){ .term = log->entries[i + 1].term, .faulty = true };
    kept_log_read(node, &found);
    EXPECT(kept_log_equal(&found, &expected));
}

TEST(batches_lost_in_a_row_are_known_by_the_names_of_the_ring_however_far_from_the_end)
{
    static const uint32_t counts[] = { 1, 2, 3, ROW_TOGETHER };
    static struct kept_log log;
    struct node *node = row_new(&log);
    uint8_t *image = malloc(node->image_bytes);
    EXPECT(image != NULL);
    memcpy(image, node->image, node->image_bytes);
    for (uint32_t at = 0; at < ARRAY_COUNT(counts); at++) {
        for (uint32_t first = 0; first + counts[at] < ROW_BATCHES; first++) {
            const struct rebirth rebirth = row_damage(node, image, first, counts[at]);
            EXPECT_EQUAL(rebirth.stop, 0);
            EXPECT_EQUAL(rebirth.damaged, counts[at]);
            EXPECT(!rebirth.abstained && !rebirth.cut);
            expect_row(node, &log, first, counts[at]);
        }
    }
    free(image);
    node_free(node);
}

TEST(batches_lost_in_a_row_without_any_name_are_known_by_the_terms_on_both_sides)
{
    static const uint32_t counts[] = { 2, 3, 5 };
    static struct kept_log log;
    struct node *node = row_new(&log);
    uint8_t *image = malloc(node->image_bytes);
    EXPECT(image != NULL);
    memcpy(image, node->image, node->image_bytes);
    memset(image + wal_header_offset(&node->limits), 0x5a, (size_t)(ROW_BATCHES - 4) * BLOCK);
    for (uint32_t at = 0; at < ARRAY_COUNT(counts); at++) {
        /* In front of the first entry there is no term to compare with. */
        for (uint32_t first = 1; first + counts[at] < ROW_BATCHES - 8; first++) {
            const struct rebirth rebirth = row_damage(node, image, first, counts[at]);
            EXPECT_EQUAL(rebirth.stop, 0);
            EXPECT_EQUAL(rebirth.damaged, 1);
            EXPECT(rebirth.abstained && !rebirth.cut);
            expect_row(node, &log, first, counts[at]);
        }
    }
    const struct rebirth rebirth = row_damage(node, image, 0, 2);
    EXPECT(rebirth.abstained && rebirth.cut);
    EXPECT_EQUAL(node_view(node).last.index, 0);
    free(image);
    node_free(node);
}

/* Entries that were repaired lie a second time behind all others. Lost again they are what they were before; but what
 * follows them is known, and that nothing else is lost. */
TEST(repairs_lost_in_a_row_without_any_name_hold_no_entry_of_their_own)
{
    enum { BEHIND = 8, NAMES_KEPT = 3 };
    static const uint32_t lost[] = { 3, 6 };
    static struct kept_log log;
    struct name_block newest = { .offset = 0 };
    struct image_faults faults = { .unreadable = { false } };
    struct node *node = row_new(&log);
    const struct limits *limits = &node->limits;
    for (uint32_t i = 0; i < ARRAY_COUNT(lost); i++)
        memset(node->image + wal_body_offset(limits) + lost[i] * BLOCK, 0x5a, BLOCK);
    EXPECT_EQUAL(image_boot(node, &faults).damaged, ARRAY_COUNT(lost));
    const uint64_t repairs = node->replica->wal.tail;
    for (uint32_t i = 0; i < ARRAY_COUNT(lost); i++) {
        const struct log_id prev = log_id_at(node, lost[i] * ENTRIES);
        send_suffix(node, &(struct suffix){ prev, 1, SHORT_BODY_BYTES, (uint8_t)lost[i] }, 1);
        node_settle(node);
    }
    EXPECT_EQUAL(node_view(node).first_faulty, 0);
    const uint64_t behind = node->replica->wal.tail;
    EXPECT_EQUAL(behind - repairs, ARRAY_COUNT(lost) * BLOCK);
    for (uint32_t i = 0; i < BEHIND; i++)
        past_add(node, ENTRY_COMMAND, (uint8_t)i, false, &newest);
    kept_log_read(node, &log);
    const uint64_t names = node->replica->wal.name_sequence;
    node_crash(node);

    memset(node->image + wal_body_offset(limits) + repairs, 0x5a, behind - repairs);
    for (uint64_t i = NAMES_KEPT; i < limits->wal_header_blocks; i++)
        memset(node->image + wal_header_offset(limits) + (names - i) % limits->wal_header_blocks * BLOCK, 0x5a, BLOCK);
    const struct rebirth rebirth = image_boot(node, &faults);
    EXPECT_EQUAL(rebirth.damaged, ARRAY_COUNT(lost) + 1);
    EXPECT(!rebirth.abstained && !rebirth.cut);
    for (uint32_t i = 0; i < ARRAY_COUNT(lost); i++)
        for (uint32_t at = lost[i] * ENTRIES + 1; at <= (lost[i] + 1) * ENTRIES; at++)
            log.entries[at] = (struct kept_entry){ .term = log.entries[at].term, .faulty = true };
    struct kept_log found;
    kept_log_read(node, &found);
    EXPECT(kept_log_equal(&found, &log));
    node_free(node);
}

TEST_MAIN()

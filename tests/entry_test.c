/* The codec of log entries, whose bytes are the same in the WAL and on the wire. */
#include "../core/entry.h"

#include "test.h"

static struct slice encoded(const struct entry *entry, uint8_t *to)
{
    entry_encode(entry, to);
    return (struct slice){ .bytes = to, .count = entry_bytes(entry->body.count) };
}

static const struct entry command = {
    .id = { .term = 3, .index = 9 },
    .kind = ENTRY_COMMAND,
    .body = { .bytes = (const uint8_t *)"hello", .count = 5 },
};
static const struct entry noop = { .id = { .term = 4, .index = 10 }, .kind = ENTRY_NOOP };

TEST(an_entry_survives_the_round_trip)
{
    uint8_t bytes[64];
    struct entry entry;
    memset(bytes, 0xaa, sizeof bytes);
    const struct slice run = encoded(&command, bytes);
    EXPECT_EQUAL(run.count, 32);
    EXPECT_EQUAL(entry_decode(run, &entry), 32);
    EXPECT(log_id_equal(entry.id, command.id));
    EXPECT_EQUAL(entry.kind, ENTRY_COMMAND);
    EXPECT_EQUAL(entry.body.count, 5);
    EXPECT(memcmp(entry.body.bytes, "hello", 5) == 0);
}

TEST(padding_is_zeroed_so_that_equal_entries_have_equal_bytes)
{
    uint8_t a[64];
    uint8_t b[64];
    memset(a, 0xaa, sizeof a);
    memset(b, 0x55, sizeof b);
    encoded(&command, a);
    encoded(&command, b);
    EXPECT(memcmp(a, b, 32) == 0);
    EXPECT_EQUAL(a[32], 0xaa);
}

TEST(entries_decode_one_behind_the_other)
{
    uint8_t bytes[64];
    struct entry entry;
    encoded(&command, bytes);
    encoded(&noop, bytes + 32);
    struct slice rest = { .bytes = bytes, .count = 56 };
    const uint32_t first = entry_decode(rest, &entry);
    rest = (struct slice){ .bytes = bytes + first, .count = rest.count - first };
    EXPECT_EQUAL(entry_decode(rest, &entry), 24);
    EXPECT_EQUAL(entry.kind, ENTRY_NOOP);
    EXPECT_EQUAL(entry.id.index, 10);
}

TEST(a_prefix_of_an_entry_is_no_entry)
{
    uint8_t bytes[64];
    struct entry entry;
    struct slice run = encoded(&command, bytes);
    while (run.count > 0) {
        run.count--;
        EXPECT_EQUAL(entry_decode(run, &entry), 0);
    }
}

static bool decodes_with(struct entry_header header)
{
    uint8_t bytes[64] = { 0 };
    struct entry entry;
    memcpy(bytes, &header, sizeof header);
    return entry_decode((struct slice){ .bytes = bytes, .count = sizeof bytes }, &entry) != 0;
}

TEST(fields_out_of_range_are_refused)
{
    EXPECT(decodes_with((struct entry_header){ .term = 1, .index = 1, .body_bytes = 40, .kind = ENTRY_COMMAND }));
    EXPECT(!decodes_with((struct entry_header){ .term = 0, .index = 1, .kind = ENTRY_NOOP }));
    EXPECT(!decodes_with((struct entry_header){ .term = 1, .index = 0, .kind = ENTRY_NOOP }));
    EXPECT(!decodes_with((struct entry_header){ .term = 1, .index = 1, .kind = 0 }));
    EXPECT(!decodes_with((struct entry_header){ .term = 1, .index = 1, .kind = ENTRY_CONFIG + 1 }));
    EXPECT(decodes_with((struct entry_header){ .term = 1, .index = 1, .kind = ENTRY_CHECKPOINT }));
    EXPECT(!decodes_with((struct entry_header){ .term = 1, .index = 1, .kind = ENTRY_NOOP, .body_bytes = 1 }));
    EXPECT(!decodes_with((struct entry_header){ .term = 1, .index = 1, .kind = ENTRY_CHECKPOINT, .body_bytes = 1 }));
    EXPECT(!decodes_with((struct entry_header){ .term = 1, .index = 1, .kind = ENTRY_COMMAND, .body_bytes = 41 }));
    EXPECT(
        !decodes_with((struct entry_header){ .term = 1, .index = 1, .kind = ENTRY_COMMAND, .body_bytes = UINT32_MAX }));
}

TEST_MAIN()

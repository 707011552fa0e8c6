/* What command lines are made of: numbers, durations, JSON strings, the grammar of transactions, and latency buckets.
 * */
#include "../core/prng.h"
#include "../io/histogram.h"
#include "../io/text.h"
#include "../io/txn_text.h"

#include "test.h"

TEST(numbers_are_digits_and_nothing_else)
{
    uint64_t value = 0;
    EXPECT(text_parse_u64("18446744073709551615", &value));
    EXPECT(value == UINT64_MAX);
    static const char *const bad[] = { "", "18446744073709551616", "-1", "+1", " 1", "1 ", "0x10", "1e3", "1K" };
    for (uint32_t slot = 0; slot < ARRAY_COUNT(bad); slot++)
        EXPECT(!text_parse_u64(bad[slot], &value));
}

TEST(sizes_and_durations_have_units)
{
    uint64_t value = 0;
    EXPECT(text_parse_bytes("128", &value));
    EXPECT_EQUAL(value, 128);
    EXPECT(text_parse_bytes("3M", &value));
    EXPECT_EQUAL(value, 3 * 1024 * 1024);
    EXPECT(!text_parse_bytes("3m", &value));
    EXPECT(!text_parse_bytes("3MB", &value));
    EXPECT(!text_parse_bytes("17179869184G", &value));
    EXPECT(text_parse_duration("250ms", &value));
    EXPECT_EQUAL(value, 250000000);
    EXPECT(text_parse_duration("2m", &value));
    EXPECT_EQUAL(value, 120000000000);
    static const char *const bad[] = { "", "5", "s", "5 s", "5h", "1.5s", "18446744073709551615s" };
    for (uint32_t slot = 0; slot < ARRAY_COUNT(bad); slot++)
        EXPECT(!text_parse_duration(bad[slot], &value));
}

TEST(json_strings_lose_no_byte)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    text_write_json(file, (struct slice){ .bytes = (const uint8_t *)"a\"\\\n\0\xff~", .count = 7 });
    fclose(file);
    EXPECT_TEXT(text, "\"a\\\"\\\\\\u000a\\u0000\\u00ff~\"");
    free(text);
}

TEST(base64_is_that_of_rfc_4648)
{
    static const char *const words[] = { "", "f", "fo", "foo", "foob", "fooba", "foobar", "\xff\xfe\xfd" };
    static const char *const wanted[] = { "\"\"",         "\"Zg==\"",     "\"Zm8=\"",     "\"Zm9v\"",
                                          "\"Zm9vYg==\"", "\"Zm9vYmE=\"", "\"Zm9vYmFy\"", "\"//79\"" };
    for (uint32_t slot = 0; slot < ARRAY_COUNT(words); slot++) {
        char *text = NULL;
        size_t bytes = 0;
        FILE *file = open_memstream(&text, &bytes);
        text_write_base64(file, (struct slice){ (const uint8_t *)words[slot], (uint32_t)strlen(words[slot]) });
        fclose(file);
        EXPECT_TEXT(text, wanted[slot]);
        free(text);
    }
}

TEST(digits_are_grouped_in_threes)
{
    char to[TEXT_NUMBER_BYTES];
    EXPECT_TEXT(text_group_digits(0, to), "0");
    EXPECT_TEXT(text_group_digits(999, to), "999");
    EXPECT_TEXT(text_group_digits(1000, to), "1,000");
    EXPECT_TEXT(text_group_digits(UINT64_MAX, to), "18,446,744,073,709,551,615");
}

/* ---- transactions ---- */

static int split(const char *text, char *copy, size_t copy_bytes, struct slice *words, char *error)
{
    snprintf(copy, copy_bytes, "%s", text);
    return txn_text_split(copy, (uint32_t)strlen(copy), words, error);
}

TEST(text_is_cut_at_blanks_and_quotations_are_unescaped)
{
    static struct slice words[TXN_TEXT_WORDS_MAX];
    char copy[256];
    char error[TXN_TEXT_ERROR_BYTES];
    EXPECT_EQUAL(split(" put\ta # b c\n\"x \\\"\\x41\\n\" \"\"", copy, sizeof copy, words, error), 4);
    EXPECT(words[1].count == 1 && words[1].bytes[0] == 'a');
    EXPECT(words[2].count == 5 && memcmp(words[2].bytes, "x \"A\n", 5) == 0);
    EXPECT_EQUAL(words[3].count, 0);
    static const char *const bad[] = { "\"open", "\"a\\q\"", "\"a\\x4\"", "\"a\\x4g\"", "\"a\\" };
    for (uint32_t slot = 0; slot < ARRAY_COUNT(bad); slot++)
        EXPECT_EQUAL(split(bad[slot], copy, sizeof copy, words, error), -1);
    EXPECT_EQUAL(split("", copy, sizeof copy, words, error), 0);
}

TEST(clauses_are_understood_or_the_wrong_word_is_named)
{
    static const struct {
        const char *text;
        const char *error; /* NULL: understood */
    } cases[] = {
        { "if a = 5 if b != 6 then put c d else del e else append f g", NULL },
        { "put a b", NULL },
        { "if put absent then put put put", NULL },
        { "", "at the end: expected at least one clause" },
        { "if a", "at the end: expected =, !=, absent or exists" },
        { "if a = b", "word 4, 'b': expected a version (a whole number)" },
        { "if a < 5", "word 3, '<': expected =, !=, absent or exists" },
        { "then if a absent", "word 2, 'if': expected if, then, else, put, del or append" },
        { "put a", "at the end: expected a value" },
        { "get a", "word 1, 'get': expected if, then, else, put, del or append" },
    };
    for (uint32_t slot = 0; slot < ARRAY_COUNT(cases); slot++) {
        static struct slice words[TXN_TEXT_WORDS_MAX];
        char copy[256];
        char error[TXN_TEXT_ERROR_BYTES] = "";
        struct client_txn *txn = client_txn_new();
        const int count = split(cases[slot].text, copy, sizeof copy, words, error);
        EXPECT(count >= 0);
        const bool understood = txn_text_parse(words, (uint32_t)count, txn, error);
        client_txn_free(txn);
        EXPECT_TEXT(error, cases[slot].error ? cases[slot].error : "");
        EXPECT_EQUAL(understood, cases[slot].error == NULL);
    }
}

/* ---- latencies ---- */

TEST(quantiles_are_within_one_part_in_128_of_the_sorted_values)
{
    static struct histogram histogram;
    static uint64_t values[10000];
    struct prng prng;
    prng_seed(&prng, 5);
    histogram = (struct histogram){ .count = 0 };
    for (uint32_t slot = 0; slot < ARRAY_COUNT(values); slot++) {
        values[slot] = prng_next(&prng) >> prng_below(&prng, 64);
        histogram_add(&histogram, values[slot]);
    }
    const uint32_t permille[] = { 0, 1, 500, 900, 990, 999, 1000 };
    for (uint32_t at = 0; at < ARRAY_COUNT(permille); at++) {
        const uint64_t answer = histogram_quantile(&histogram, permille[at], 1000);
        const uint64_t low = answer - answer / 128; /* where its bucket may begin */
        uint32_t below = 0;
        uint32_t not_above = 0;
        for (uint32_t slot = 0; slot < ARRAY_COUNT(values); slot++) {
            below += values[slot] < low;
            not_above += values[slot] <= answer;
        }
        EXPECT(not_above >= permille[at] * (uint32_t)ARRAY_COUNT(values) / 1000);
        EXPECT(below <= u32_max(permille[at] * (uint32_t)ARRAY_COUNT(values) / 1000, 1));
    }
    EXPECT_EQUAL(histogram_quantile(&(struct histogram){ .count = 0 }, 99, 100), 0);
}

TEST(merged_histograms_count_what_both_counted)
{
    static struct histogram a;
    static struct histogram b;
    histogram_add(&a, 10);
    histogram_add(&b, 1000);
    histogram_add(&b, 127);
    histogram_merge(&a, &b);
    EXPECT_EQUAL(a.count, 3);
    EXPECT_EQUAL(a.sum, 1137);
    EXPECT_EQUAL(a.max, 1000);
    EXPECT_EQUAL(histogram_quantile(&a, 1, 2), 127);
    EXPECT_EQUAL(histogram_quantile(&a, 1, 1), 1000);
}

TEST_MAIN()

/* Changes of members in words: the grammar of raftctl member, and why a change is refused, by name. */
#include "../io/member_text.h"
#include "../io/membership_refusal.h"

#include "test.h"

/* ---- the grammar ---- */

enum { WORDS_MAX = 80 };

static struct member_change change;
static char error[MEMBER_TEXT_ERROR_BYTES];

/* Of words with one blank between them. */
static bool parse(const char *line)
{
    static char text[1024];
    char *words[WORDS_MAX];
    uint32_t count = 0;
    snprintf(text, sizeof text, "%s", line);
    for (char *at = text; at != NULL && *at != '\0' && count < WORDS_MAX; count++) {
        words[count] = at;
        at = strchr(at, ' ');
        if (at != NULL)
            *at++ = '\0';
    }
    return member_text_parse(words, count, &change, error);
}

static void expect_operation(uint32_t at, enum member_operation_kind kind, uint64_t id, const char *address)
{
    EXPECT(at < change.count);
    EXPECT_EQUAL(change.operations[at].kind, kind);
    EXPECT(change.operations[at].id == id);
    EXPECT_TEXT(change.operations[at].address, address);
}

TEST(one_operation_or_many_behind_change)
{
    EXPECT(parse("add 4=localhost:7004"));
    EXPECT_EQUAL(change.count, 1);
    expect_operation(0, MEMBER_ADD_LEARNER, 4, "localhost:7004");
    EXPECT(parse("change promote 6 demote 2 remove 1 add 5=[::1]:7005 move 3=127.0.0.1:9 priority 3 255"));
    EXPECT_EQUAL(change.count, 6);
    expect_operation(0, MEMBER_PROMOTE, 6, "");
    expect_operation(1, MEMBER_DEMOTE, 2, "");
    expect_operation(2, MEMBER_REMOVE, 1, "");
    expect_operation(3, MEMBER_ADD_LEARNER, 5, "[::1]:7005");
    expect_operation(4, MEMBER_SET_ADDRESS, 3, "127.0.0.1:9");
    expect_operation(5, MEMBER_SET_PRIORITY, 3, "");
    EXPECT_EQUAL(change.operations[5].priority, 255);
}

TEST(who_replaces_another_one_succeeds_it)
{
    EXPECT(parse("change replace 1 4=h:1 add 5=h:2 replace 2 6=h:3"));
    EXPECT_EQUAL(change.count, 5);
    expect_operation(0, MEMBER_ADD_LEARNER, 4, "h:1");
    expect_operation(1, MEMBER_REMOVE, 1, "");
    expect_operation(2, MEMBER_ADD_LEARNER, 5, "h:2");
    expect_operation(3, MEMBER_ADD_LEARNER, 6, "h:3");
    const uint64_t succeeds[] = { 1, 0, 0, 2, 0 };
    for (uint32_t at = 0; at < 5; at++)
        EXPECT(change.succeeds[at] == succeeds[at]);
}

TEST(what_is_wrong_is_named)
{
    static const struct {
        const char *line;
        const char *says;
    } cases[] = {
        { "", "missing" },
        { "change", "missing" },
        { "update 4=a:1", "'update' is none of list, add, promote" },
        { "remove 1 remove 2", "member change" },
        { "promote", "usage: promote ID" },
        { "change remove 1 priority 3", "usage: priority ID N" },
        { "remove 127.0.0.1:7001", "'127.0.0.1:7001' is not the id of a node" },
        { "remove 0", "not the id" },
        { "remove 18446744073709551615", "not the id" },
        { "replace x 4=a:1", "'x' is not the id" },
        { "priority 1 256", "'256' is not a priority" },
        { "add 4", "'4' is not ID=HOST:PORT" },
        { "add 4:a:1", "is not ID=HOST:PORT" },
        { "add =a:1", "'' is not the id" },
        { "add four=a:1", "'four' is not the id" },
        { "add 4=a", "the port is missing" },
        { "add 4=:7001", "the host is missing" },
        { "add 4=a:", "the port is a number" },
        { "add 4=a:0", "the port is a number" },
        { "add 4=a:65536", "the port is a number" },
        { "add 4=a:7x", "the port is a number" },
        { "add 4=http://a:7001", "without a scheme" },
        { "add 4=a:1,b:2", "an address, without" },
        { "add 4=10.0.0.256:7001", "no IPv4 address" },
        { "add 4=10.0.0.1.1:7001", "no IPv4 address" },
        { "add 4=fe80::1:7001", "stands in brackets" },
        { "add 4=[fe80::1:7001", "the ] of" },
        { "add 4=[host]:7001", "must be an IPv6 address" },
        { "add 4=0.0.0.0:7001", "nobody finds" },
        { "add 4=[::]:7001", "nobody finds" },
        { "move 4=a234567890123456789012345678901234567890123456789012345678.de:7001", "at most 63 bytes" },
    };
    for (uint32_t slot = 0; slot < ARRAY_COUNT(cases); slot++) {
        const bool taken = parse(cases[slot].line);
        if (taken || strstr(error, cases[slot].says) == NULL)
            printf("'%s': %s\n", cases[slot].line, taken ? "taken" : error);
        EXPECT(!taken);
        EXPECT(strstr(error, cases[slot].says) != NULL);
    }
}

TEST(more_operations_than_a_request_holds_are_refused)
{
    char line[1024] = "change";
    for (uint32_t at = 0; at < MEMBER_OPERATIONS_MAX; at++)
        snprintf(line + strlen(line), sizeof line - strlen(line), " remove 1");
    EXPECT(parse(line));
    EXPECT_EQUAL(change.count, MEMBER_OPERATIONS_MAX);
    snprintf(line + strlen(line), sizeof line - strlen(line), " remove 1");
    EXPECT(!parse(line));
    EXPECT(strstr(error, "more than 32") != NULL);
}

/* ---- refusals ---- */

/* Voters 1 to 3, and learner 4; node N is at hN:1. */
static struct configuration members(void)
{
    struct configuration configuration = { .id = { .index = 7 } };
    for (uint32_t slot = 0; slot < 4; slot++) {
        struct member *member = &configuration.members[slot];
        *member = (struct member){ .id = slot + 1, .roles = slot < 3 ? MEMBER_VOTER : MEMBER_LEARNER };
        snprintf(member->address, sizeof member->address, "h%u:1", (unsigned)slot + 1);
    }
    return configuration;
}

static void expect_refusal(const char *line, enum configuration_verdict verdict, const char *says)
{
    const struct configuration now = members();
    char text[REFUSAL_BYTES];
    EXPECT(parse(line));
    EXPECT_EQUAL(refusal_judge(&now, change.operations, change.count, text), verdict);
    EXPECT_TEXT(text, says);
}

TEST(a_refusal_names_the_operation_that_cannot_be_done)
{
    expect_refusal("change promote 4 remove 1", CONFIGURATION_OK, "");
    expect_refusal("change remove 1 remove 9 remove 8", CONFIGURATION_UNKNOWN_MEMBER,
                   "no such member: node 9 (the members are 1 2 3 4)");
    expect_refusal("change remove 1 promote 2", CONFIGURATION_WRONG_ROLE, "node 2 is a voter already");
    expect_refusal("demote 4", CONFIGURATION_WRONG_ROLE, "node 4 is a learner already");
    expect_refusal("change remove 1 add 4=x:1", CONFIGURATION_DUPLICATE,
                   "node 4 is a member already, a learner at h4:1: a new node needs an id of its own");
    expect_refusal("change remove 1 add 9=h2:1", CONFIGURATION_DUPLICATE,
                   "h2:1 is the address of node 2 already, a member");
    expect_refusal("move 1=h4:1", CONFIGURATION_DUPLICATE, "h4:1 is the address of node 4 already, a member");
    expect_refusal("change add 8=x:1 add 8=y:1", CONFIGURATION_DUPLICATE,
                   "node 8, or its address y:1, is there twice in one change");
    expect_refusal("change remove 1 remove 2 demote 3", CONFIGURATION_NO_VOTER, "no voter would be left");
}

TEST(too_many_members_and_too_many_voters_are_told_apart)
{
    const struct configuration now = members();
    struct member_operation add[MEMBERS_MAX] = { { .id = 0 } };
    char text[REFUSAL_BYTES];
    for (uint32_t at = 0; at < MEMBERS_MAX; at++) {
        add[at] = (struct member_operation){ .id = 20 + at, .kind = MEMBER_ADD_VOTER };
        snprintf(add[at].address, sizeof add[at].address, "x%u:1", (unsigned)at);
    }
    EXPECT_EQUAL(refusal_judge(&now, add, 5, text), CONFIGURATION_TOO_MANY);
    EXPECT_TEXT(text, "too many voters: 7 are the most");
    for (uint32_t at = 0; at < MEMBERS_MAX; at++)
        add[at].kind = MEMBER_ADD_LEARNER;
    EXPECT_EQUAL(refusal_judge(&now, add, 12, text), CONFIGURATION_OK);
    EXPECT_EQUAL(refusal_judge(&now, add, 13, text), CONFIGURATION_TOO_MANY);
    EXPECT_TEXT(text, "too many members: 17 at once, 16 are the most, those that leave counted");
}

TEST(a_lost_quorum_is_explained_by_who_was_heard_when)
{
    const struct configuration after = members();
    struct client_node view = { .status = { .node_id = 1 }, .member_count = 2 };
    char text[REFUSAL_BYTES];
    view.members[0] = (struct member_status){ .member = after.members[0] };
    view.members[1] = (struct member_status){ .member = after.members[1], .heard_age_ns = 2500 * UINT64_C(1000000) };
    refusal_of_quorum(&view, &after, text);
    EXPECT_TEXT(text, "the healthy voters would be no majority (1 leads, 2 heard from 2500 ms ago, 3 not heard from); "
                      "--force does it all the same");
}

TEST(a_node_is_started_with_the_voters_but_itself)
{
    const struct configuration now = members();
    char text[START_LINE_BYTES];
    start_line_of(&now, 4, text);
    EXPECT_TEXT(text, "raftd --id 4 --join h1:1,h2:1,h3:1 --listen h4:1 --data DIR");
    start_line_of(&now, 2, text);
    EXPECT_TEXT(text, "raftd --id 2 --join h1:1,h3:1 --listen h2:1 --data DIR");
}

/* The longest that there can be is whole. */
TEST(a_start_line_of_long_addresses_is_not_cut)
{
    struct configuration now = { .id = { .index = 7 } };
    char text[START_LINE_BYTES];
    for (uint32_t slot = 0; slot < VOTERS_MAX + 1; slot++) {
        struct member *member = &now.members[slot];
        *member =
            (struct member){ .id = UINT64_MAX - 1 - slot, .roles = slot < VOTERS_MAX ? MEMBER_VOTER : MEMBER_LEARNER };
        snprintf(member->address, sizeof member->address, "%057u:%05u", (unsigned)slot, 65535U);
    }
    start_line_of(&now, now.members[VOTERS_MAX].id, text);
    EXPECT(strlen(text) > VOTERS_MAX * 63);
    EXPECT(strstr(text, " --data DIR") != NULL);
}

TEST_MAIN()

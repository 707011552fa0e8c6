/* The language of scenarios: what is wrong in a script is named with its line, every expectation can fail, and a
 * transcript that changed is noticed. The scenarios themselves are run by tests/scenarios. */
#include "test.h"

#include "../sim/scenario.h"
#include "directory.h"

static struct scenario *scenario;

static struct scenario_result run(const char *script)
{
    struct scenario_result result;
    if (scenario == NULL)
        scenario = scenario_new();
    EXPECT(scenario != NULL);
    scenario_run(scenario, script, NULL, &result);
    return result;
}

static void expect_wrong(const char *script, uint32_t line, const char *error)
{
    const struct scenario_result result = run(script);
    if (result.passed || strstr(result.error, error) == NULL || result.line != line)
        printf("script: %s\nline %u: %s\nexpected, in line %u: %s\n", script, (unsigned)result.line, result.error,
               (unsigned)line, error);
    EXPECT(!result.passed);
    EXPECT_EQUAL(result.line, line);
    EXPECT(strstr(result.error, error) != NULL);
}

TEST(a_line_that_makes_no_sense_is_named)
{
    static const struct {
        const char *script;
        uint32_t line;
        const char *error;
    } wrong[] = {
        { "", 0, "no steps" },
        { "# nothing but a comment\n", 1, "no steps" },
        { "nodes 3\nfrobnicate 2\n", 2, "'frobnicate' is no command" },
        { "nodes 9\n", 1, "1 to 7 nodes" },
        { "nodes three\n", 1, "'three' is not a number" },
        { "nodes 3 4\n", 1, "'4' is too much" },
        { "pre-vote perhaps\n", 1, "'perhaps' where 'off' should be" },
        { "campaign 1\nnodes 5\n", 2, "before the first step" },
        { "limit wal_depht 1\n", 1, "'wal_depht' is not the name of a limit" },
        { "limit sessions_max 0\n", 1, "sessions_max must not be 0" },
        { "show elections\n", 1, "'elections' is not the name of an event" },
        { "campaign 4\n", 1, "'4' is not one of 3 nodes" },
        { "campaign\n", 1, "'' is not one of 3 nodes" },
        { "campaign 1\ncampaign 1\n", 2, "node 1 leads" },
        { "heartbeat 1\n", 1, "node 1 does not lead" },
        { "wait 3 days\n", 1, "'3' is not a time" },
        { "isolate 1,4\n", 1, "'1,4' does not name nodes" },
        { "partition 1,2 | 2,3\n", 1, "in two groups" },
        { "cut 1 2\n", 1, "'2' where '->' should be" },
        { "drop votes 1 -> 2\n", 1, "'votes' is not the name of a message" },
        { "release entries 1 -> 2\n", 1, "no such message is held" },
        { "put a x=1 at 1\n", 1, "register it first" },
        { "register z at 1\n", 1, "'z' is not a client" },
        { "campaign 1\nregister a at 1\nput a x at 1\n", 3, "'x' has no value" },
        { "campaign 1\nregister a at 1\nget a x=1 at 1\n", 3, "'x=1' has a value" },
        { "campaign 1\nisolate 1\nregister a at 1\nregister a at 1\n", 4, "client a still waits" },
        { "retry a at 1\n", 1, "no open call" },
        { "crash 1\ncrash 1\n", 2, "down already" },
        { "restart 1\n", 1, "node 1 is up" },
        { "damage 1 everything\n", 1, "damage what" },
        { "damage 1 entry 5\n", 1, "no entry 5 on its disk" },
        { "repeat 3\n", 1, "repeat what" },
        { "repeat 3 campaign 1\n", 1, "node 1 leads" },
        { "expect 1 happy\n", 1, "'happy' is nothing to be expected of a node" },
        { "expect a happy\n", 1, "client a has no answer" },
        { "expect 1\n", 1, "what should node 1 be?" },
    };
    for (uint32_t i = 0; i < ARRAY_COUNT(wrong); i++)
        expect_wrong(wrong[i].script, wrong[i].line, wrong[i].error);
}

/* Raft 6.4.1: leases rest on clocks that are as right as they are said to be. When they are, all is well; when the
 * leader's is slower than that, a voter is free of its promise while that leader still counts on it, and the checkers
 * see it. */
TEST(a_clock_that_breaks_its_bound_breaks_leases_and_is_found_out)
{
    static const char steps[] = "leases 5\nwait 100ms\ncampaign 1\nregister a at 1\nput a x=1 at 1\ndrift 1 slow %u\n"
                                "isolate 1\nwait 101ms on all\ncampaign 2\nexpect 2 leads\nget a x at 1\n"
                                "expect a %s\n";
    char script[512];
    snprintf(script, sizeof script, steps, 4u, "waits");
    struct scenario_result result = run(script);
    if (!result.passed)
        printf("line %u: %s\n", (unsigned)result.line, result.error);
    EXPECT(result.passed);
    snprintf(script, sizeof script, steps, 50u, "value 1");
    result = run(script);
    EXPECT(!result.passed);
    EXPECT(strstr(result.error, "keeps to node slot 0 for another") != NULL);
}

/* Three nodes, the first one leads, a client has written and read; the third has missed that and is down. */
static const char scene[] = "pre-vote off\ncheck-quorum off\ncampaign 1\nregister a at 1\nheartbeat 1\ncrash 3\n"
                            "put a x=1 at 1\nregister b at 2\nget a x at 1\n";

TEST(every_expectation_can_hold_and_can_fail)
{
    static const struct {
        const char *holds;
        const char *fails;
        const char *error;
    } expectations[] = {
        { "leader 1", "leader 2", "node 1 leads" },
        { "some leader", "no leader", "node 1 leads" },
        { "1 leads", "2 leads", "node 2: is a follower, not a leader" },
        { "2 follower", "1 follower", "node 1: is a leader, not a follower" },
        { "2 follows 1", "2 follows nobody", "its leader is 1, not nobody" },
        { "1,2 up", "all up", "node 3: is down, not up" },
        { "3 down", "2 down", "node 2: is up, not down" },
        { "3 down", "3 stopped", "node 3: is down, not stopped" },
        { "3 down", "3 term 1", "node 3: is down" },
        { "1,2 term 1", "2 term 2", "term is 1, not 2" },
        { "2 vote 1", "2 vote none", "its vote is 1, not none" },
        { "1 log 1 1 1", "1 log 1 1", "its log is 1 1 1, not 1 1" },
        { "1 log 1 1 1 commit 3", "1 log 1 1 1 commit 4", "commit is 3, not 4" },
        { "1 last 1.3", "1 last 2.3", "its last entry is 1.3, not 2.3" },
        { "1 base 0", "1 base >0", "base is 0, not >0" },
        { "1 log after 0 1 1 1", "1 log after 1 1 1", "the base of its log is 0, not 1" },
        { "1 applied 3", "1 applied 2", "applied is 3, not 2" },
        { "1 durable 3", "1 durable 2", "durable is 3, not 2" },
        { "1 keys 1 sessions 1", "1 keys 0", "keys is 1, not 0" },
        { "1 match 2 3", "1 match 3 3", "what it knows to match is 2, not 3" },
        { "1 next 2 4", "2 next 1 4", "node 2: is a follower, not a leader" },
        { "1 whole", "1 damaged", "it is whole" },
        { "1 votes", "1 abstains", "it does not abstain" },
        { "committed 3", "committed 4", "3 is committed, not 4" },
        { "same state 1", "same state 1,3", "node 3 is down" },
        { "event read-round on 1", "event read-round on 2", "node 2: no event read-round" },
        { "no event read-round on 2", "no event read-round on 1,2", "node 1: an event read-round" },
        { "a ok", "a busy", "client a was answered: ok" },
        { "a value 1 version 3", "a value 2", "client a was told 1" },
        { "a version 3", "a version 4", "client a was told version 3" },
        { "b not-leader leader 1", "b not-leader leader 2", "client b was sent to node 1" },
        { "b not-leader", "b waits", "client b was answered: not the leader" },
        { "a ok", "a stale", "is not marked as stale" },
        { "a ok", "c ok", "client c has no answer" },
    };
    char script[512];
    for (uint32_t i = 0; i < ARRAY_COUNT(expectations); i++) {
        snprintf(script, sizeof script, "%sexpect %s\n", scene, expectations[i].holds);
        const struct scenario_result result = run(script);
        if (!result.passed)
            printf("expect %s: %s\n", expectations[i].holds, result.error);
        EXPECT(result.passed);
        snprintf(script, sizeof script, "%sexpect %s\n", scene, expectations[i].fails);
        expect_wrong(script, 10, expectations[i].error);
    }
}

TEST(time_stands_still_unless_it_is_let_pass)
{
    EXPECT(run("repeat 500 get-stale a x at 1\nexpect all follower term 0\n").passed);
    EXPECT(run("wait 2s\nexpect some leader\n").passed);
    EXPECT(run("wait 2s on 2\nexpect 1,3 term 1\nexpect leader 2\n").passed);
}

TEST(held_frames_arrive_in_the_order_of_their_release)
{
    static const char script[] = "pre-vote off\ncheck-quorum off\ncampaign 1\nregister a at 1\nregister b at 1\n"
                                 "hold entries 1 -> 2\nput a x=1 at 1\nput b x=2 at 1\n"
                                 "release %s entries 1 -> 2\nexpect 2 last 1.%s\n";
    char text[512];
    snprintf(text, sizeof text, script, "first", "4");
    EXPECT(run(text).passed);
    snprintf(text, sizeof text, script, "last", "3");
    EXPECT(run(text).passed);
}

TEST(the_same_script_has_the_same_transcript)
{
    static char once[SCENARIO_TEXT_MAX];
    static const char script[] = "show also append apply durable commit\nwait 3s\nregister a at 1\npower-loss\n"
                                 "restart all\nwait 3s\n";
    const struct scenario_result first = run(script);
    EXPECT(first.passed);
    snprintf(once, sizeof once, "%s", first.transcript);
    EXPECT(strlen(once) > 100);
    EXPECT_TEXT(run(script).transcript, once);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");
    EXPECT(file != NULL);
    EXPECT(fputs(text, file) >= 0);
    EXPECT_EQUAL(fclose(file), 0);
}

TEST(a_file_is_compared_with_its_blessed_transcript)
{
    char path[128], text[512];
    const char *home = directory_new();
    snprintf(path, sizeof path, "%s", in_directory("x.scenario"));
    run("campaign 1\n");
    EXPECT_EQUAL(scenario_file(scenario, path, false, NULL), SCENARIO_NO_FILE);
    write_file(path, "campaign 1\nexpect leader 1\n");
    EXPECT_EQUAL(scenario_file(scenario, path, false, NULL), SCENARIO_FAILED);
    EXPECT_EQUAL(scenario_file(scenario, path, true, NULL), SCENARIO_BLESSED);
    EXPECT_EQUAL(scenario_file(scenario, path, false, NULL), SCENARIO_PASSED);
    EXPECT_EQUAL(scenario_file(scenario, path, true, NULL), SCENARIO_PASSED);
    /* Another candidate, and the transcript of the first. */
    FILE *file = fopen(path, "rb");
    EXPECT(file != NULL);
    const size_t bytes = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[bytes] = '\0';
    text[strlen("campaign ")] = '2';
    text[strlen("campaign 1\nexpect leader ")] = '2';
    write_file(path, text);
    EXPECT_EQUAL(scenario_file(scenario, path, false, NULL), SCENARIO_FAILED);
    /* Blessing does not make a failed expectation true. */
    write_file(path, "campaign 1\nexpect leader 2\n");
    EXPECT_EQUAL(scenario_file(scenario, path, true, NULL), SCENARIO_FAILED);
    directory_remove(home);
}

TEST_MAIN()

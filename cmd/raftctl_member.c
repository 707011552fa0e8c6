/* raftctl member: the members of a cluster, and changes of them. io/membership.h makes them. */
#include "raftctl.h"

#include "../io/clock.h"
#include "../io/membership_report.h"
#include "../io/status_report.h"
#include "../io/text.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char member_help[] =
    "Shows or changes who belongs to the cluster, and returns when the change is committed: from which voters and\n"
    "learners to which.\n"
    "\n"
    "  list                        the members as the leader sees them\n"
    "  change OPERATION...         any number of these at once, in one step: by joint consensus, if the voters change\n"
    "\n"
    "  add ID=HOST:PORT            a learner, which gets everything and does not vote; its node is started with\n"
    "                              raftd --join, and if nothing comes from it, the line for that is printed\n"
    "  promote ID                  a learner becomes a voter; it is waited for until it has caught up\n"
    "  demote ID                   a voter becomes a learner\n"
    "  remove ID                   the node stops by itself when it learns of it\n"
    "  replace OLD NEW=HOST:PORT   NEW comes for OLD, and votes if that one does\n"
    "  move ID=HOST:PORT           the node is found there from now on: stop it, and start it with --listen there\n"
    "  priority ID N               of two that are well, the voter with the higher one is to lead (0 to 255)\n"
    "\n"
    "  raftctl member change add 4=h4:7001 promote 4 add 5=h5:7001 remove 1 demote 2\n"
    "\n"
    "Who is added and is to vote is a learner first, and when all of those have caught up the rest is done in one "
    "step.\n"
    "\n"
    "  --voter     who is added is to vote\n"
    "  --wait T    how long a new node may stay silent (5s): then add is done and says so, and what would make a "
    "voter\n"
    "              of it is given up\n"
    "  --force     even if the voters that are known to be well would be no majority, and who is added votes at once; "
    "may\n"
    "              stop the cluster. A learner is waited for even so, and a last voter stays\n"
    "\n"
    "--timeout is that of a pause without progress (60s). A call that was interrupted may be repeated.\n"
    "Exit status 0: committed; 1: refused, and why; 3: it may or may not take effect; 4: no leader.\n";

enum { TERMINAL_COLUMNS = 110 };

/* One line that is overwritten. */
static void print_waiting_here(const char *waits_for)
{
    fprintf(stderr, "\r%-*s\rwaiting for %.96s", TERMINAL_COLUMNS, "", waits_for);
    fflush(stderr);
}

/* Into a file: a line each few seconds, and none about what is over at once. */
static void print_waiting(const char *waits_for)
{
    static uint64_t due_ns; /* 0: nothing was waited for yet */
    const uint64_t now_ns = clock_now_ns();
    if (due_ns == 0)
        due_ns = now_ns + 300 * NS_PER_MS;
    if (now_ns < due_ns)
        return;
    fprintf(stderr, "raftctl: waiting for %s\n", waits_for);
    due_ns = now_ns + 5 * NS_PER_S;
}

static void clear_waiting(const struct membership *membership)
{
    if (membership->progress == print_waiting_here)
        fprintf(stderr, "\r%*s\r", TERMINAL_COLUMNS, "");
}

static int exit_code(const struct membership *membership)
{
    return exit_code_of(&(struct client_result){ .outcome = membership->outcome, .reason = membership->reason });
}

static int report_failure(const struct arguments *arguments, const struct membership *membership)
{
    if (!arguments->json) {
        fprintf(stderr, "raftctl: member %s: %s: %s\n", arguments->words[0], client_outcome_text(membership->outcome),
                membership->error);
        if (membership->index != 0) {
            fprintf(stderr, "raftctl: member %s: the first step was done before, and ", arguments->words[0]);
            membership_report_change(stderr, membership);
        }
        return exit_code(membership);
    }
    printf("{\"outcome\": \"%s\", \"reason\": \"%s\", \"error\": ", client_outcome_text(membership->outcome),
           client_reason_text(membership->reason));
    text_write_json(stdout, client_text(membership->error));
    if (membership->index != 0)
        membership_report_change_json(membership);
    printf("}\n");
    return exit_code(membership);
}

static void print_leader_json(const struct client_node *leader)
{
    printf(", \"leader\": %llu, \"members\": ", (unsigned long long)leader->status.node_id);
    status_report_members_json(leader);
    printf("}\n");
}

static int run_list(const struct arguments *arguments, struct membership *membership)
{
    struct client_node leader = { .member_count = 0 };
    if ((arguments->flags & (FLAG_VOTER | FLAG_FORCE | FLAG_WAIT)) != 0)
        return usage_error("member list takes none of", "--voter, --wait, --force");
    const bool found = membership_look(membership, &leader);
    clear_waiting(membership);
    if (!found)
        return report_failure(arguments, membership);
    if (arguments->json) {
        printf("{\"outcome\": \"ok\", \"configuration_index\": %llu",
               (unsigned long long)leader.status.configuration_index);
        print_leader_json(&leader);
    } else {
        status_report_members(&leader);
    }
    return EXIT_OK;
}

static int run_change(const struct arguments *arguments, struct membership *membership,
                      const struct membership_task *task)
{
    struct client_node leader = { .member_count = 0 };
    const bool done = membership_run(membership, task, &leader);
    clear_waiting(membership);
    if (!done)
        return report_failure(arguments, membership);
    if (arguments->json) {
        printf("{\"outcome\": \"ok\"");
        membership_report_change_json(membership);
        membership_report_silent_json(task, membership, &leader);
        print_leader_json(&leader);
    } else {
        printf("ok, ");
        membership_report_change(stdout, membership);
        membership_report_silent(task, membership, &leader);
    }
    return EXIT_OK;
}

/* EXIT_OK, or EXIT_USAGE when reported. */
static int parse_task(const struct arguments *arguments, struct membership_task *task)
{
    char error[MEMBER_TEXT_ERROR_BYTES];
    bool adds = false;
    *task = (struct membership_task){
        .voters = (arguments->flags & FLAG_VOTER) != 0,
        .force = (arguments->flags & FLAG_FORCE) != 0,
        .wait_ns = arguments->wait_ns,
    };
    if (!member_text_parse(arguments->words, arguments->word_count, &task->change, error)) {
        fprintf(stderr, "raftctl: member: %s (raftctl member --help)\n", error);
        return EXIT_USAGE;
    }
    for (uint32_t at = 0; at < task->change.count; at++)
        adds |= task->change.operations[at].kind == MEMBER_ADD_LEARNER && task->change.succeeds[at] == 0;
    return task->voters && !adds ? usage_error("--voter is of member add", NULL) : EXIT_OK;
}

int command_member(struct client *client, struct arguments *arguments)
{
    struct membership membership;
    struct membership_task task;
    const bool list = strcmp(arguments->words[0], "list") == 0 && arguments->word_count == 1;
    const int code = list ? EXIT_OK : parse_task(arguments, &task);
    if (code != EXIT_OK)
        return code;
    struct client_options options = arguments->client;
    if (!arguments->timeout_given && !list)
        options.timeout_ns = 60 * NS_PER_S;
    client_set_timeout(client, options.timeout_ns);
    membership_init(&membership, &options, client,
                    arguments->json         ? NULL
                    : isatty(STDERR_FILENO) ? print_waiting_here
                                            : print_waiting);
    return list ? run_list(arguments, &membership) : run_change(arguments, &membership, &task);
}

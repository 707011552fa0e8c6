/* raftctl: one operation on a cluster, from the command line. All the work is done by io/client.h. */
#include "raftctl.h"

#include "../core/replica.h"
#include "../io/clock.h"
#include "../io/endpoint.h"
#include "../io/snapshot_save.h"
#include "../io/status_report.h"
#include "../io/text.h"
#include "output.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char endpoints_default[] = "127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003";
static const char endpoints_variable[] = "WHITEWATER_ENDPOINTS";

#define RAFTCTL_VERSION "0.1"

static int command_put(struct client *client, struct arguments *arguments);
static int command_get(struct client *client, struct arguments *arguments);
static int command_del(struct client *client, struct arguments *arguments);
static int command_append(struct client *client, struct arguments *arguments);
static int command_cas(struct client *client, struct arguments *arguments);
static int command_txn(struct client *client, struct arguments *arguments);
static int command_status(struct client *client, struct arguments *arguments);
static int command_snapshot(struct client *client, struct arguments *arguments);
static int command_transfer(struct client *client, struct arguments *arguments);

static const struct command commands[] = {
    { "put", 2, 2, FLAG_IF_ABSENT, command_put, "put KEY VALUE [--if-absent]",
      "Writes the value and prints the key's new version. VALUE '-' is read from standard input.\n"
      "  --if-absent   only if there is no such key\n" },
    { "get", 1, 1, FLAG_STALE | FLAG_LOCAL | FLAG_RAW | FLAG_OUTPUT, command_get,
      "get KEY [--raw] [-o FILE] [--local] [--max-staleness T] [--consistency l|s] [--stale]",
      "Prints the value and a newline; with --json also its version, what is known of its age (\"consistency\"), and "
      "the\n"
      "value once more as base64 (\"value_base64\").\n"
      "  --raw               prints the bytes of the value and nothing else\n"
      "  -o FILE             writes them to FILE, and prints the version\n"
      "The read is linearizable, and answered by the leader, unless one of these is given:\n"
      "  --local             answered by the first endpoint that can, leader or not; linearizable all the same: it "
      "asks\n"
      "                      its leader how far it must have got, and nothing else\n"
      "  --max-staleness T   the same, but it need not ask while what it last heard of the leader is younger than T, "
      "by\n"
      "                      its own clock: all that was acknowledged longer ago is seen\n"
      "  --consistency l|s   l: linearizable; s: serializable, as etcd calls it, the same as --stale\n"
      "  --stale             one node's state at once, of any age; of one node it never goes back while that runs\n" },
    { "del", 1, 1, 0, command_del, "del KEY", "Deletes the key.\n" },
    { "append", 2, 2, 0, command_append, "append KEY VALUE",
      "Adds VALUE behind what the key holds, or puts it. VALUE '-' is read from standard input.\n" },
    { "cas", 2, 2, FLAG_VERSION, command_cas, "cas KEY --version N VALUE",
      "Writes the value if the key's version still is N; 0: if there is no such key. VALUE '-' is standard input.\n" },
    { "txn", 0, WORDS_MAX, 0, command_txn, "txn [CLAUSE...]",
      "Executes all writes behind \"then\" at once if every \"if\" holds, and otherwise all behind \"else\".\n"
      "Without clauses they are read from standard input, where # begins a comment and words in double quotes may\n"
      "hold blanks and the escapes \\\" \\\\ \\n \\t \\xHH.\n"
      "\n"
      "  clause   if KEY = VERSION | if KEY != VERSION | if KEY absent | if KEY exists | [then|else] WRITE\n"
      "  WRITE    put KEY VALUE | del KEY | append KEY VALUE\n"
      "\n"
      "A write without \"then\" or \"else\" belongs to \"then\". No key may be written twice in one branch.\n"
      "Exit status 0 when \"then\" was executed, 1 when the condition did not hold, whether there was an \"else\" or "
      "not.\n"
      "\n"
      "  raftctl txn if lock absent then put lock me else append waiting me,\n" },
    { "status", 0, 0, 0, command_status, "status",
      "Asks every endpoint about itself. Equal digests at equal applied index mean equal state.\n"
      "log: the first and the last index in it. ring used: of what clients may fill, at 100% writes end with \"no\n"
      "space\". checkpoint: the last index in it, and its hash, equal on nodes with equal checkpoints (--json has all\n"
      "of it). repaired since its start: entries, pages that came from peers, blocks mended from memory. scrub: "
      "passes\n"
      "over everything stored, and where the next one is. store: ready, or why the node does not serve.\n"
      "From a leader also each member: what it is known to have, how far it lags, and when it was last heard.\n"
      "Exit status 0 when all answered, 1 when some did, 4 when none did.\n" },
    { "transfer", 0, 1, 0, command_transfer, "transfer [ID]",
      "Hands the leadership to the node ID, or to the voter that is best prepared, and prints who leads. Writes wait\n"
      "meanwhile. Exit status 1 when the node is no voter, or did not take over within an election timeout: then the\n"
      "old leader goes on.\n" },
    { "member", 1, WORDS_MAX, FLAG_VOTER | FLAG_FORCE | FLAG_WAIT, command_member,
      "member list | OPERATION | change OPERATION...   [--voter] [--wait T] [--force]\n"
      "         OPERATION: add, promote, demote, remove, replace, move, priority",
      member_help },
    { "snapshot", 2, 2, 0, command_snapshot, "snapshot save FILE",
      "Saves the whole store as one file while the cluster serves: every write acknowledged before the call, and no\n"
      "part of any later one without what came before it. FILE is written as FILE.new, verified, and renamed.\n"
      "raftd restore makes the nodes of a new cluster from it. --timeout is that of a pause without progress "
      "(60s).\n" },
};

_Noreturn void core_assert_failed(const char *expression, const char *file, int line)
{
    fprintf(stderr, "raftctl: assertion failed: %s (%s:%d)\n", expression, file, line);
    abort();
}

/* ---- help and usage ---- */

static void print_help(void)
{
    printf("raftctl: reads and writes a Whitewater cluster\n\nusage: raftctl [OPTION...] COMMAND\n\n");
    for (uint32_t slot = 0; slot < ARRAY_COUNT(commands); slot++)
        printf("  %s\n", commands[slot].usage);
    printf(
        "\n"
        "  --endpoints A,B,C   nodes to try, host:port each (%s,\n"
        "                      or the environment's %s)\n"
        "  --timeout T         of the whole call with its retries, such as 500ms or 10s (5s)\n"
        "  --cluster-id N      refuse nodes of another cluster (any)\n"
        "  --json              one JSON object on standard output. In strings, bytes outside 0x20..0x7e are \\u00XX:\n"
        "                      one character a byte, whatever the encoding of the value. Cluster ids are strings\n"
        "  -h, --help          this, or with a command its own help\n"
        "  --version           of this program, when it stands alone\n"
        "  --                  what follows are no options\n"
        "\n"
        "A write is executed at most once however often it is retried. It ends as\n"
        "  ok        executed                                                       exit status 0\n"
        "            (a transaction whose condition did not hold, its else)         exit status 1\n"
        "  failed    surely changed nothing, and why (not found, condition, ...)    exit status 1\n"
        "  unknown   sent, and its reply never came: it may or may not take effect  exit status 3\n"
        "Exit status 2: usage; 3 also when what came of the call could not be printed or written; 4: no node "
        "answered,\n"
        "or none led, before the deadline.\n",
        endpoints_default, endpoints_variable);
}

int usage_error(const char *what, const char *word)
{
    fprintf(stderr, "raftctl: %s%s%s (raftctl --help)\n", what, word ? ": " : "", word ? word : "");
    return EXIT_USAGE;
}

/* ---- results ---- */

int exit_code_of(const struct client_result *result)
{
    switch (result->outcome) {
    case CLIENT_OK: return EXIT_OK;
    case CLIENT_UNKNOWN: return EXIT_UNKNOWN;
    case CLIENT_FAILED: break;
    }
    const bool unreached = result->reason == CLIENT_UNREACHABLE || result->reason == CLIENT_NO_LEADER
                           || result->reason == CLIENT_TIMED_OUT;
    return unreached ? EXIT_UNREACHED : EXIT_FAILED;
}

/* A transaction that found its condition unmet and so executed its else: not a failure, whatever the exit status. */
static bool took_else(const struct arguments *arguments, const struct client_result *result)
{
    return arguments->with_else && result->reason == CLIENT_CONDITION_FAILED;
}

static void print_json(struct client *client, const struct arguments *arguments, const struct client_result *result,
                       bool with_value)
{
    const bool otherwise = took_else(arguments, result);
    const bool ok = otherwise || result->outcome == CLIENT_OK;
    printf("{\"outcome\": \"%s\", \"reason\": \"%s\"", client_outcome_text(ok ? CLIENT_OK : result->outcome),
           client_reason_text(result->reason));
    if (ok && arguments->command->run == command_txn)
        printf(", \"branch\": \"%s\"", otherwise ? "else" : "then");
    if (ok && arguments->command->run == command_transfer)
        printf(", \"leader\": %llu", (unsigned long long)result->leader);
    else if (result->outcome == CLIENT_OK || result->reason == CLIENT_CONDITION_FAILED)
        printf(", \"version\": %llu, \"applied\": %llu", (unsigned long long)result->version,
               (unsigned long long)result->applied);
    if (with_value && result->outcome == CLIENT_OK) {
        printf(", \"consistency\": \"%s\", \"stale\": %s, \"value\": ",
               result->stale     ? "serializable"
               : result->bounded ? "bounded"
                                 : "linearizable",
               result->stale || result->bounded ? "true" : "false");
        text_write_json(stdout, result->value);
        printf(", \"value_base64\": ");
        text_write_base64(stdout, result->value);
    }
    if (!ok) {
        printf(", \"error\": ");
        text_write_json(stdout, client_text(client_error_text(client)));
    }
    printf(", \"attempts\": %u}\n", result->attempts);
}

static void print_failure(struct client *client, const struct arguments *arguments, const struct client_result *result)
{
    fprintf(stderr, "raftctl: %s: %s", client_outcome_text(result->outcome), client_error_text(client));
    if (result->reason == CLIENT_CONDITION_FAILED && arguments->command->run == command_txn)
        fprintf(stderr, ", nothing was written");
    else if (result->reason == CLIENT_CONDITION_FAILED)
        fprintf(stderr, ", the version is %llu", (unsigned long long)result->version);
    fputc('\n', stderr);
}

static int report(struct client *client, const struct arguments *arguments, const struct client_result *result,
                  bool with_value)
{
    const int code = exit_code_of(result);
    if (code == EXIT_OK && arguments->output != NULL && !raftctl_write_file(arguments->output, result->value))
        return EXIT_UNKNOWN;
    if (arguments->json) {
        print_json(client, arguments, result, with_value);
    } else if (took_else(arguments, result)) {
        printf("ok, else branch, version %llu\n", (unsigned long long)result->version);
    } else if (result->outcome != CLIENT_OK) {
        print_failure(client, arguments, result);
    } else if (with_value && arguments->output == NULL) {
        fwrite(result->value.bytes, 1, result->value.count, stdout);
        if ((arguments->flags & FLAG_RAW) == 0)
            putchar('\n');
    } else if (arguments->command->run == command_del) {
        puts("ok, deleted");
    } else if (arguments->command->run == command_transfer) {
        printf("ok, node %llu leads\n", (unsigned long long)result->leader);
    } else {
        printf("ok, version %llu\n", (unsigned long long)result->version);
    }
    return code;
}

/* ---- commands ---- */

static int command_put(struct client *client, struct arguments *arguments)
{
    struct slice value;
    if (!raftctl_read_value(arguments->words[1], &value))
        return EXIT_FAILED;
    const struct slice key = client_text(arguments->words[0]);
    const struct client_result result =
        (arguments->flags & FLAG_IF_ABSENT) ? client_put_if_absent(client, key, value) : client_put(client, key, value);
    return report(client, arguments, &result, false);
}

static int command_get(struct client *client, struct arguments *arguments)
{
    const struct slice key = client_text(arguments->words[0]);
    const bool local = (arguments->flags & FLAG_LOCAL) != 0;
    if (local && (arguments->flags & FLAG_STALE) != 0)
        return usage_error(
            "--stale (or --consistency s) reads one node's state of any age: it goes without --local and "
            "--max-staleness",
            NULL);
    if (arguments->json && (arguments->flags & FLAG_RAW) != 0)
        return usage_error("--raw goes without --json, which has the bytes as value_base64", NULL);
    const struct client_result result = local ? client_get_local(client, key, arguments->staleness_ns)
                                        : (arguments->flags & FLAG_STALE) ? client_get_stale(client, key)
                                                                          : client_get(client, key);
    return report(client, arguments, &result, true);
}

static int command_transfer(struct client *client, struct arguments *arguments)
{
    uint64_t id = 0;
    if (arguments->word_count > 0 && (!text_parse_u64(arguments->words[0], &id) || id == 0))
        return usage_error("transfer wants the id of a node, not", arguments->words[0]);
    const struct client_result result = client_transfer(client, id);
    return report(client, arguments, &result, false);
}

static int command_del(struct client *client, struct arguments *arguments)
{
    const struct client_result result = client_delete(client, client_text(arguments->words[0]));
    return report(client, arguments, &result, false);
}

static int command_append(struct client *client, struct arguments *arguments)
{
    struct slice value;
    if (!raftctl_read_value(arguments->words[1], &value))
        return EXIT_FAILED;
    const struct client_result result = client_append(client, client_text(arguments->words[0]), value);
    return report(client, arguments, &result, false);
}

static int command_cas(struct client *client, struct arguments *arguments)
{
    if (!(arguments->flags & FLAG_VERSION))
        return usage_error("cas needs --version N", NULL);
    struct slice value;
    if (!raftctl_read_value(arguments->words[1], &value))
        return EXIT_FAILED;
    const struct client_result result = client_cas(client, client_text(arguments->words[0]), arguments->version, value);
    return report(client, arguments, &result, false);
}

/* The clauses as words, from the arguments or from standard input. -1: reported. */
static int txn_words(const struct arguments *arguments, struct slice words[WORDS_MAX])
{
    if (arguments->word_count > 0) {
        for (uint32_t slot = 0; slot < arguments->word_count; slot++)
            words[slot] = client_text(arguments->words[slot]);
        return (int)arguments->word_count;
    }
    struct slice input;
    if (!raftctl_read_input(&input))
        return -1;
    char error[TXN_TEXT_ERROR_BYTES];
    static char *text; /* for the life of the process: the words borrow from it */
    text = malloc(input.count + 1U);
    if (text == NULL) {
        fprintf(stderr, "raftctl: no memory\n");
        return -1;
    }
    memcpy(text, input.bytes, input.count);
    const int count = txn_text_split(text, input.count, words, error);
    if (count < 0)
        fprintf(stderr, "raftctl: txn: %s\n", error);
    return count;
}

static int command_txn(struct client *client, struct arguments *arguments)
{
    struct slice words[WORDS_MAX];
    char error[TXN_TEXT_ERROR_BYTES];
    const int count = txn_words(arguments, words);
    struct client_txn *txn = client_txn_new();
    if (count < 0 || txn == NULL) {
        client_txn_free(txn);
        return count < 0 ? EXIT_USAGE : EXIT_FAILED;
    }
    if (!txn_text_parse(words, (uint32_t)count, txn, error)) {
        client_txn_free(txn);
        fprintf(stderr, "raftctl: txn: %s (raftctl txn --help)\n", error);
        return EXIT_USAGE;
    }
    arguments->with_else = client_txn_has_else(txn);
    const struct client_result result = client_txn_commit(client, txn);
    client_txn_free(txn);
    return report(client, arguments, &result, false);
}

/* ---- status ---- */

static int command_status(struct client *client, struct arguments *arguments)
{
    const uint32_t count = client_endpoint_count(client);
    uint32_t answered = 0;
    struct status_answer *answers = calloc(count, sizeof *answers);
    if (answers == NULL) {
        fprintf(stderr, "raftctl: no memory\n");
        return EXIT_FAILED;
    }
    for (uint32_t slot = 0; slot < count; slot++) {
        answers[slot].endpoint = client_endpoint_text(client, slot);
        answers[slot].ok = client_node(client, slot, &answers[slot].node).outcome == CLIENT_OK;
        answered += answers[slot].ok;
        if (!answers[slot].ok)
            snprintf(answers[slot].error, sizeof answers[slot].error, "%s", client_error_text(client));
    }
    if (arguments->json)
        status_report_json(answers, count);
    else
        status_report_text(answers, count);
    free(answers);
    if (answered == 0)
        return EXIT_UNREACHED;
    return answered == count ? EXIT_OK : EXIT_FAILED;
}

/* ---- snapshot ---- */

static double mebibytes(uint64_t bytes) { return (double)bytes / (1 << 20); }

/* One line that is overwritten. */
static void print_progress(const struct snapshot_progress *progress)
{
    const uint64_t page_bytes = limits_production.page_bytes;
    const double seconds = (double)progress->elapsed_ns / 1e9;
    const double rate = seconds > 0 ? (double)progress->bytes_pulled / seconds : 0;
    const uint64_t left = (progress->pages_all - progress->pages_done) * page_bytes;
    fprintf(stderr, "\r%.1f of %.1f MiB, %.1f MiB/s", mebibytes(progress->pages_done * page_bytes),
            mebibytes(progress->pages_all * page_bytes), rate / (1 << 20));
    if (rate > 0)
        fprintf(stderr, ", %.0f s left ", (double)left / rate);
    fflush(stderr);
}

static void print_saved(const struct arguments *arguments, const char *file, const struct snapshot_save_result *result)
{
    const struct snapshot_header *header = &result->header;
    const unsigned long long bytes =
        sizeof *header + header->page_count * (sizeof(struct snapshot_record) + header->page_bytes);
    const unsigned long long index = header->id.index, cluster = header->cluster_id, pages = header->page_count;
    if (arguments->json) {
        printf("{\"outcome\": \"ok\", \"file\": ");
        text_write_json(stdout, client_text(file));
        printf(", \"cluster_id\": \"%llu\", \"index\": %llu, \"term\": %llu, \"hash\": \"%016llx%016llx\", \"pages\": "
               "%llu, "
               "\"bytes\": %llu}\n",
               cluster, index, (unsigned long long)header->id.term, (unsigned long long)header->checkpoint.high,
               (unsigned long long)header->checkpoint.low, pages, bytes);
    } else {
        printf("ok, %s: %llu bytes, %llu pages, the state behind entry %llu of cluster %llu\n", file, bytes, pages,
               index, cluster);
    }
}

static int snapshot_exit_code(enum client_reason reason)
{
    return exit_code_of(&(struct client_result){ .outcome = CLIENT_FAILED, .reason = reason });
}

static int command_snapshot(struct client *client, struct arguments *arguments)
{
    (void)client; /* one connection is not enough for it */
    if (strcmp(arguments->words[0], "save") != 0)
        return usage_error("usage", arguments->command->usage);
    const char *file = arguments->words[1];
    const bool terminal = isatty(STDERR_FILENO) && !arguments->json;
    const struct snapshot_save_options options = {
        .file = file,
        .endpoints = arguments->client.endpoints,
        .cluster_id = arguments->client.cluster_id,
        .timeout_ns = arguments->timeout_given ? arguments->client.timeout_ns : 60 * NS_PER_S,
        .progress = terminal ? print_progress : NULL,
    };
    struct snapshot_save_result result;
    const bool saved = snapshot_save(&options, &result);
    if (terminal)
        fprintf(stderr, "\r%60s\r", "");
    if (saved) {
        print_saved(arguments, file, &result);
        return EXIT_OK;
    }
    if (arguments->json) {
        printf("{\"outcome\": \"failed\", \"error\": ");
        text_write_json(stdout, client_text(result.error));
        printf("}\n");
    } else {
        fprintf(stderr, "raftctl: snapshot: %s\n", result.error);
    }
    return snapshot_exit_code(result.reason);
}

/* ---- arguments ---- */

static const struct command *command_find(const char *name)
{
    for (uint32_t slot = 0; slot < ARRAY_COUNT(commands); slot++)
        if (strcmp(commands[slot].name, name) == 0)
            return &commands[slot];
    return NULL;
}

/* "--name VALUE" or "--name=VALUE" at argv[*at]. NULL: another option. *at moves over a value of its own. */
static const char *option_value(char **argv, int argc, int *at, const char *name)
{
    const char *word = argv[*at];
    const size_t bytes = strlen(name);
    if (strncmp(word, name, bytes) != 0 || (word[bytes] != '\0' && word[bytes] != '='))
        return NULL;
    if (word[bytes] == '=')
        return word + bytes + 1;
    if (*at + 1 >= argc)
        return "";
    const char *value = argv[++*at];
    ASSERT(value != NULL);
    return value;
}

/* One option. EXIT_OK, or EXIT_USAGE when reported. */
static int parse_option(char **argv, int argc, int *at, struct arguments *arguments)
{
    const char *word = argv[*at];
    const char *value;
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        arguments->help = true;
    } else if (strcmp(word, "--json") == 0) {
        arguments->json = true;
    } else if (strcmp(word, "--if-absent") == 0) {
        arguments->flags |= FLAG_IF_ABSENT;
    } else if (strcmp(word, "--stale") == 0) {
        arguments->flags |= FLAG_STALE;
    } else if (strcmp(word, "--local") == 0) {
        arguments->flags |= FLAG_LOCAL;
    } else if (strcmp(word, "--raw") == 0) {
        arguments->flags |= FLAG_RAW;
    } else if ((value = option_value(argv, argc, at, "-o")) != NULL) {
        arguments->flags |= FLAG_OUTPUT;
        arguments->output = value;
        if (value[0] == '\0')
            return usage_error("-o wants a file", NULL);
    } else if ((value = option_value(argv, argc, at, "--max-staleness")) != NULL) {
        arguments->flags |= FLAG_LOCAL;
        if (!text_parse_duration(value, &arguments->staleness_ns) || arguments->staleness_ns == 0)
            return usage_error("--max-staleness wants a duration such as 50ms or 5s, not", value);
    } else if ((value = option_value(argv, argc, at, "--consistency")) != NULL) {
        if (strcmp(value, "s") == 0)
            arguments->flags |= FLAG_STALE;
        else if (strcmp(value, "l") != 0)
            return usage_error("--consistency wants l (linearizable) or s (serializable), not", value);
    } else if (strcmp(word, "--voter") == 0) {
        arguments->flags |= FLAG_VOTER;
    } else if (strcmp(word, "--force") == 0) {
        arguments->flags |= FLAG_FORCE;
    } else if ((value = option_value(argv, argc, at, "--wait")) != NULL) {
        arguments->flags |= FLAG_WAIT;
        if (!text_parse_duration(value, &arguments->wait_ns) || arguments->wait_ns > 3600 * NS_PER_S)
            return usage_error("--wait wants a duration up to 60m such as 500ms or 5s, not", value);
    } else if ((value = option_value(argv, argc, at, "--endpoints")) != NULL) {
        arguments->client.endpoints = value;
    } else if ((value = option_value(argv, argc, at, "--timeout")) != NULL) {
        if (!text_parse_duration(value, &arguments->client.timeout_ns) || arguments->client.timeout_ns == 0
            || arguments->client.timeout_ns > 3600 * NS_PER_S)
            return usage_error("--timeout wants a duration up to 60m such as 500ms or 5s, not", value);
        arguments->timeout_given = true;
    } else if ((value = option_value(argv, argc, at, "--cluster-id")) != NULL) {
        if (!text_parse_u64(value, &arguments->client.cluster_id) || arguments->client.cluster_id == 0)
            return usage_error("--cluster-id wants a number above 0, not", value);
    } else if ((value = option_value(argv, argc, at, "--version")) != NULL) {
        arguments->flags |= FLAG_VERSION;
        if (!text_parse_u64(value, &arguments->version))
            return usage_error("--version wants a number, not", value);
    } else {
        return usage_error("unknown option", word);
    }
    return EXIT_OK;
}

static bool is_option(const char *word)
{
    return strncmp(word, "--", 2) == 0 || strcmp(word, "-h") == 0 || strcmp(word, "-o") == 0;
}

static int parse_arguments(int argc, char **argv, struct arguments *arguments)
{
    char **words = argv + 1; /* words that are no options move to the front */
    uint32_t count = 0;
    bool options = true;
    for (int at = 1; at < argc; at++) {
        if (options && strcmp(argv[at], "--") == 0) {
            options = false;
        } else if (options && is_option(argv[at])) {
            const int code = parse_option(argv, argc, &at, arguments);
            if (code != EXIT_OK)
                return code;
        } else {
            words[count++] = argv[at];
        }
    }
    if (count == 0)
        return arguments->help
                   ? EXIT_OK
                   : usage_error("which command? put, get, del, append, cas, txn, status, transfer, member or snapshot",
                                 NULL);
    arguments->command = command_find(words[0]);
    if (arguments->command == NULL)
        return usage_error("unknown command", words[0]);
    arguments->words = words + 1;
    arguments->word_count = count - 1;
    if (arguments->help)
        return EXIT_OK;
    if (arguments->word_count < arguments->command->words_min || arguments->word_count > arguments->command->words_max)
        return usage_error("usage", arguments->command->usage);
    if ((arguments->flags & ~arguments->command->flags) != 0)
        return usage_error("an option that is not of this command; usage", arguments->command->usage);
    return EXIT_OK;
}

int main(int argc, char **argv)
{
    signal(SIGXFSZ, SIG_IGN); /* a snapshot at the size limit of a file is a full disk: the write fails, and says so */
    /* A look-up blocks, and no --timeout ends it: by default a name server that is silent takes ten seconds. */
    setenv("RES_OPTIONS", "timeout:1 attempts:1", 0);
    struct arguments arguments = { .client.timeout_ns = 5 * NS_PER_S, .wait_ns = 5 * NS_PER_S };
    const char *environment = getenv(endpoints_variable);
    arguments.client.endpoints = environment != NULL && environment[0] != '\0' ? environment : endpoints_default;
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts("raftctl " RAFTCTL_VERSION);
        return EXIT_OK;
    }
    int code = parse_arguments(argc, argv, &arguments);
    if (code != EXIT_OK)
        return code;
    if (arguments.help && arguments.command == NULL) {
        print_help();
        return EXIT_OK;
    }
    if (arguments.help) {
        printf("usage: raftctl [OPTION...] %s\n\n%s", arguments.command->usage, arguments.command->help);
        return EXIT_OK;
    }
    struct client *client = NULL;
    const int error = client_open(&arguments.client, &client);
    if (error < 0)
        return usage_error(error == -EINVAL         ? "--endpoints wants host:port,... with ports from 1 to 65535, not"
                           : error == -E2BIG        ? "--endpoints: too many of them"
                           : error == -EHOSTUNREACH ? "--endpoints: no such host, none of"
                                                    : strerror(-error),
                           arguments.client.endpoints);
    code = arguments.command->run(client, &arguments);
    client_close(client);
    return output_flush("raftctl") ? code : EXIT_UNKNOWN;
}

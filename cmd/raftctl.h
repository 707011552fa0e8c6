/* raftctl: what its files share. raftctl.c reads the command line and has the commands of keys, raftctl_member.c those
 * of members; raftctl_files.c takes values from standard input and puts them into files. */
#ifndef WW_RAFTCTL_H
#define WW_RAFTCTL_H

#include "../io/client.h"
#include "../io/txn_text.h"

enum exit_code { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_UNKNOWN = 3, EXIT_UNREACHED = 4 };

enum flag {
    FLAG_IF_ABSENT = 1,
    FLAG_STALE = 2,
    FLAG_VERSION = 4,
    FLAG_VOTER = 8,
    FLAG_FORCE = 16,
    FLAG_LOCAL = 32,
    FLAG_WAIT = 64,
    FLAG_RAW = 128,
    FLAG_OUTPUT = 256,
};

enum { WORDS_MAX = TXN_TEXT_WORDS_MAX };

struct arguments {
    struct client_options client;
    bool timeout_given;
    bool json;
    bool help;
    bool with_else; /* the transaction has an "else" */
    uint32_t flags; /* enum flag */
    uint64_t version;
    uint64_t staleness_ns; /* 0: none */
    uint64_t wait_ns;      /* FLAG_WAIT */
    const char *output;    /* FLAG_OUTPUT: a file; NULL: standard output */
    const struct command *command;
    char **words; /* behind the command */
    uint32_t word_count;
};

struct command {
    const char *name;
    uint32_t words_min;
    uint32_t words_max;
    uint32_t flags;
    int (*run)(struct client *client, struct arguments *arguments);
    const char *usage;
    const char *help;
};

/* Reports it. EXIT_USAGE. */
int usage_error(const char *what, const char *word);
int exit_code_of(const struct client_result *result);

/* These say on standard error why they failed. */
/* All of standard input, for the life of the process; one byte too many when it is too long for any value. */
bool raftctl_read_input(struct slice *bytes);
/* The word itself, which is borrowed, or standard input for "-". */
bool raftctl_read_value(const char *word, struct slice *value);
bool raftctl_write_file(const char *path, struct slice bytes);

extern const char member_help[];
int command_member(struct client *client, struct arguments *arguments);

#endif

/* Between the files of a scenario. Functions that carry out a line return false after scenario_wrong(). */
#ifndef WW_SCENARIO_STATE_H
#define WW_SCENARIO_STATE_H

#include "scenario.h"

#include "../core/inspect.h"
#include "node.h"

enum {
    WORDS_MAX = 48,
    LINE_BYTES_MAX = 256,
    LINK_RULES_MAX = 64,
    LINK_HELD_MAX = 512,
    LINK_FRAME_BYTES_MAX = 4096,
    SHOWN_MAX = 512, /* what one line shows */
    SHOWN_BYTES_MAX = 96,
    VALUE_TEXT_MAX = 512,
    SCENARIO_STEPS_MAX = 200000,
};

#define NS_PER_MS 1000000ULL
/* What waits for a script waits for ever. */
#define SCENARIO_NEVER_NS (1ULL << 62)

/* Kinds of frames, as a script names them. */
enum wire {
    WIRE_VOTE_REQUEST,
    WIRE_VOTE_RESPONSE,
    WIRE_PRE_VOTE_REQUEST,
    WIRE_PRE_VOTE_RESPONSE,
    WIRE_HEARTBEAT, /* an append request without entries */
    WIRE_ENTRIES,   /* one with entries */
    WIRE_APPEND_RESPONSE,
    WIRE_CHECKPOINT_REQUEST,
    WIRE_CHECKPOINT_RESPONSE,
    WIRE_REPAIR_REQUEST,
    WIRE_REPAIR_RESPONSE,
    WIRE_TIMEOUT_NOW,
    WIRE_READ_INDEX_REQUEST,
    WIRE_READ_INDEX_RESPONSE,
    WIRE_REFUSAL,
    WIRE_REQUEST, /* of a client */
    WIRE_REPLY,
    WIRE_OTHER,
    WIRE_KINDS,
};

enum link_fate { LINK_PASS, LINK_DROP, LINK_HOLD };

/* The latest rule that fits decides. */
struct link_rule {
    enum link_fate fate;
    uint32_t wires; /* bit per enum wire */
    uint32_t from;  /* bit per endpoint */
    uint32_t to;
    uint32_t times; /* left */
};

struct link_held {
    uint8_t from;
    uint8_t to;
    uint8_t wire;
    uint32_t bytes;
    uint8_t frame[LINK_FRAME_BYTES_MAX];
};

/* At most one call at a time, as the session protocol wants it. */
struct scenario_client {
    bool open;     /* the call has no outcome yet */
    bool answered; /* something was said to the latest attempt */
    uint32_t call;
    uint32_t attempts;
    uint32_t copies; /* of the request that ever left */
    uint64_t session;
    uint64_t sequence;
    struct request request;
    uint32_t operation_count; /* of a change of the members */
    struct member_operation operations[2 * VOTERS_MAX];
    struct reply reply; /* latest; its value lies below */
    uint32_t value_bytes;
    uint8_t key[CLIENT_KEY_BYTES_MAX];
    uint8_t value[VALUE_TEXT_MAX];
    uint8_t reply_value[LINK_FRAME_BYTES_MAX];
};

/* What a node or a client did in the current line. */
struct shown {
    uint32_t who;  /* node slot, or endpoint of a client */
    uint32_t kind; /* enum event_kind, or EVENT_KINDS: anything else */
    char text[SHOWN_BYTES_MAX];
};

struct scenario {
    struct script script; /* first: the hooks find the rest by it */
    struct world *world;
    struct scenario_result *result;
    uint32_t line_number;
    uint32_t word_count;
    uint32_t word; /* next one to be read */
    const char *words[WORDS_MAX];
    char line_bytes[LINE_BYTES_MAX];

    bool begun; /* the world exists: no setup any more */
    bool finale;
    uint32_t learners; /* bit per node that is one at format */
    struct observer *observer;
    struct swarm swarm;
    struct frame_context frame;

    uint32_t cut[ENDPOINTS]; /* bit per endpoint that it does not reach */
    uint32_t rule_count;
    struct link_rule rules[LINK_RULES_MAX];
    uint32_t held_count;
    struct scenario_client clients[CLIENTS_MAX];
    uint32_t rest_steps; /* since the line began */
    uint32_t asked;      /* bit per node that sent requests for votes since then */

    bool show[EVENT_KINDS];
    uint64_t happened[VOTERS_MAX][EVENT_KINDS];
    uint32_t shown_count;
    uint32_t transcript_bytes;
    struct shown shown[SHOWN_MAX];
    struct link_held held[LINK_HELD_MAX];
    char transcript[SCENARIO_TEXT_MAX];
};

/* ---- scenario_words.c ---- */

/* The line is wrong, or what it expects is not so. Always false. */
bool scenario_wrong(struct scenario *scenario, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Cuts the line into words; false when there is none but a comment. */
bool words_split(struct scenario *scenario, const char *line, size_t bytes);
/* The next word, or NULL. */
const char *words_next(struct scenario *scenario);
bool words_left(const struct scenario *scenario);
/* Reads the next word if it is this one. */
bool words_take(struct scenario *scenario, const char *word);
/* The next word must be this one. */
bool words_need(struct scenario *scenario, const char *word);
bool words_end(struct scenario *scenario);
bool text_number(const char *text, uint64_t *number);
bool words_number(struct scenario *scenario, const char *what, uint64_t *number);
/* "on" or "off". */
bool words_switch(struct scenario *scenario, bool *on);
/* 150ms, 3s, 20us. */
bool words_duration(struct scenario *scenario, uint64_t *ns);
/* One node, by its number; a node of the cluster. */
bool words_node(struct scenario *scenario, struct node **node);
/* "2", "1,2,3" or "all": bit per slot. */
bool words_nodes(struct scenario *scenario, uint32_t *nodes);
bool text_nodes(const struct scenario *scenario, const char *text, uint32_t *nodes);
/* The same with clients, "a" to "h": bit per endpoint. */
bool words_endpoints(struct scenario *scenario, uint32_t *endpoints);
bool words_client(struct scenario *scenario, uint32_t *client);
/* One of `count` names; what: of what kind they are. */
bool words_name(struct scenario *scenario, const char *what, const char *(*name)(uint32_t), uint32_t count,
                uint32_t *found);

/* ---- scenario.c ---- */

static inline struct node *scenario_node(struct scenario *scenario, uint32_t slot)
{
    return &scenario->world->nodes[slot];
}
/* False when a checker has failed, or something went wrong. */
bool scenario_sound(struct scenario *scenario);
/* Lets everything happen that needs no time. */
bool scenario_settle(struct scenario *scenario);
/* Time passes for these nodes, and all that happens in it happens. until_campaign: it ends early, when the only node
 * begins to campaign, or campaigns anew. */
bool scenario_pass(struct scenario *scenario, uint32_t nodes, uint64_t ns, bool until_campaign);

/* ---- what a line may begin with; the others are in scenario.c ---- */

bool setup_line(struct scenario *scenario, const char *verb, bool *known);
void setup_defaults(struct scenario *scenario);
bool setup_begin(struct scenario *scenario);

bool link_line(struct scenario *scenario, const char *verb, bool *known);
/* The hook: false when the script has taken the frame. */
bool link_frame(struct scenario *scenario, uint32_t from, uint32_t to, struct slice frame);

bool client_line(struct scenario *scenario, const char *verb, bool *known);
void client_receive(struct scenario *scenario, uint32_t client, struct slice frame);
/* No call stays open. */
void client_close(struct scenario *scenario);

/* OPERATION NODES... [forced]: the client's request, but for where it goes. */
bool members_words_read(struct scenario *scenario, struct scenario_client *client);
/* voters NODES, old-voters NODES, learners NODES: in the configuration that this node uses. */
bool members_expect(struct scenario *scenario, const struct node *node, const char *word, bool *known);

bool fault_line(struct scenario *scenario, const char *verb, bool *known);

bool expect_line(struct scenario *scenario, const char *verb, bool *known);

bool show_line(struct scenario *scenario);
void show_defaults(struct scenario *scenario);
void show_events(struct scenario *scenario, uint32_t node, const struct output *output);
void show_text(struct scenario *scenario, uint32_t who, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The line is over: its words, and what happened, one row for each node and client. */
void show_step(struct scenario *scenario);
/* Bytes as a script writes them. */
void show_bytes(char *to, size_t room, const uint8_t *bytes, uint32_t count);

#endif

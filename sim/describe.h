/* What a frame, a call, an operation or a replica holds, as named values: for the log, for --state, for the page.
 *
 * Total over any bytes. Nodes are named by their slots, as everywhere in the simulator. */
#ifndef WW_DESCRIBE_H
#define WW_DESCRIBE_H

#include "observe.h"

enum field_kind {
    FIELD_NUMBER, /* a */
    FIELD_ID,     /* term.index: a.b */
    FIELD_HASH,   /* a, 16 hexadecimal digits */
    FIELD_TEXT,
    FIELD_PAIR, /* a b */
};

struct field {
    const char *name; /* static */
    enum field_kind kind;
    bool brief; /* belongs into one line */
    uint64_t a;
    uint64_t b;
    const char *text; /* TEXT: static, or in the room of the fields; the empty text says: yes */
};

enum { FIELDS_MAX = 160, FIELDS_ROOM = 4096 };

struct fields {
    const struct swarm *swarm; /* who is who, and the limits that decoders want */
    uint32_t count;            /* what does not fit is left out */
    uint32_t room_used;
    struct field items[FIELDS_MAX];
    char room[FIELDS_ROOM];
};

void fields_reset(struct fields *fields, const struct swarm *swarm);
void fields_number(struct fields *fields, const char *name, uint64_t value);
void fields_brief(struct fields *fields, const char *name, uint64_t value);
void fields_id(struct fields *fields, const char *name, struct log_id id);
void fields_text(struct fields *fields, const char *name, const char *text);
void fields_word(struct fields *fields, const char *name, const char *text); /* brief */
void fields_hash(struct fields *fields, const char *name, uint64_t hash);
/* A node by its id: "n2", or the number when no node has it, or "none". */
void fields_node(struct fields *fields, const char *name, uint64_t node_id);
/* Bytes as text: what cannot be printed becomes a dot. */
void fields_bytes(struct fields *fields, const char *name, struct slice bytes);

/* Text for a field; cut when there is no more room. */
const char *fields_print(struct fields *fields, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The slot of a node id; ENDPOINTS: nobody's. */
uint32_t describe_slot(const struct swarm *swarm, uint64_t node_id);

/* One word for what a frame is: as frame_type_text(), and of these "pre-vote?", "pre-vote!", "heartbeat?". */
const char *describe_frame_name(struct slice frame);

void describe_frame(struct fields *fields, struct slice frame);
void describe_request(struct fields *fields, const struct request *request);
void describe_reply(struct fields *fields, const struct reply *reply);
void describe_event(struct fields *fields, const struct event *event);
/* describe_state.c */
void describe_replica(struct fields *fields, const struct replica *replica);
/* Of a replica of simulated size all that it has; of one with gigabytes the store and the sessions. */
uint64_t describe_digest(const struct swarm *swarm, const struct replica *replica);

#endif

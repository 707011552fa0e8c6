/* Who looks on: a callback for whatever happens in a life, for the log, the page, breakpoints.
 *
 * An observer decides nothing and changes nothing: lives are the same with and without. Without one, what would be told
 * costs a branch. What is told does not depend on the world: a recording of a real node tells the same (steps, disk
 * operations, frames) to the same observers.
 *
 *   in order   as it happens; `step` counts the inputs fed so far, the one that is told included
 *   pointers   borrowed until the callback returns, except `replica`: it stays what that node is, until its next start
 *   endpoints  node slots, then clients (scene.h); ENDPOINTS: none */
#ifndef WW_OBSERVE_H
#define WW_OBSERVE_H

#include "scene.h"

enum observed_kind {
    OBSERVED_BEGIN,      /* first of all: who there is */
    OBSERVED_START,      /* a node begins a life */
    OBSERVED_STEP,       /* it was fed an input; the effects follow as what becomes of them */
    OBSERVED_SEND,       /* a frame leaves, or one more copy of it, or is lost at once */
    OBSERVED_ARRIVE,     /* a copy arrives: at a client, at a node (its step follows), or where nobody is up */
    OBSERVED_DISK_BEGIN, /* an operation is submitted */
    OBSERVED_DISK_END,   /* it completes (the step follows), or the node's end ends it */
    OBSERVED_CRASH,      /* a node is down, and will be restarted */
    OBSERVED_STOP,       /* a node has ended itself */
    OBSERVED_PAUSE,      /* a node does nothing until `until_ns` */
    OBSERVED_FAULT,      /* something else strikes a node */
    OBSERVED_CUT,        /* a link loses everything from now on */
    OBSERVED_CLOG,       /* a link holds everything until `until_ns` */
    OBSERVED_MEND,       /* the cuts of one reason are over */
    OBSERVED_HEAL,       /* so are all others but those of outsiders: the liveness phase begins */
    OBSERVED_CALL,       /* a client begins a call */
    OBSERVED_RETURN,     /* it ends */
    OBSERVED_VIOLATION,  /* a checker has failed; the life ends */
    OBSERVED_KINDS,
};

/* What becomes of a frame that is sent. */
enum frame_fate {
    FATE_SENT,
    FATE_DUPLICATE, /* a copy beside the first one */
    FATE_LATE,      /* a copy that comes long after */
    FATE_RELEASED,  /* a script had held it */
    FATE_CUT,
    FATE_LOST,
    FATE_SELECTED, /* lost for its type */
    FATE_NO_ROOM,  /* the simulator's tables are full */
    FATE_HELD,     /* a script has taken it, or drops it */
    FATE_KINDS,
};
const char *frame_fate_text(enum frame_fate fate);
/* Is a copy on its way? */
static inline bool frame_fate_travels(enum frame_fate fate) { return fate <= FATE_RELEASED; }

struct observed {
    enum observed_kind kind;
    uint32_t who; /* the endpoint that it happens to; SEND, CUT, CLOG: the sender; MEND, HEAL, BEGIN: ENDPOINTS */
    uint64_t time_ns;
    uint64_t step;
    union {
        struct {
            const struct swarm *swarm; /* of a recording: node_count, client_count, configs[].node_id, limits */
            bool drawn;                /* its parameters are worth printing */
        } begin;
        uint32_t life; /* START: counts from 1 */
        struct {
            const struct input *input;
            const struct output *output;
            const struct replica *replica;
            uint32_t from; /* endpoint of a frame */
        } step_of;
        struct {
            uint32_t to;
            enum frame_fate fate;
            struct slice frame; /* as it was sent: damage comes later */
            uint32_t cut;       /* CUT: bit per reason (network.h) */
            uint32_t packet;    /* it travels: its name until it arrives */
            uint64_t at_ns;     /* ... when that should be */
            bool held_back;     /* ... later than usual */
            bool damaged;       /* ... altered */
        } send;
        struct {
            uint32_t packet;
            bool taken; /* somebody is there */
        } arrive;
        struct {
            uint32_t slot; /* its name until it ends */
            bool write;
            uint32_t device;
            uint32_t bytes;
            uint64_t offset;
            uint64_t op_id;
            enum disk_result result; /* END */
            bool gone;               /* END: the node's end has ended it... */
            uint32_t landed;         /* ... and of its `sectors` so many have landed */
            uint32_t sectors;
        } disk;
        struct {
            enum stop_reason reason;
            uint64_t detail;
        } stop;
        uint64_t until_ns; /* PAUSE */
        enum fault_kind fault;
        struct {
            uint32_t to;       /* CUT, CLOG */
            uint32_t reason;   /* CUT, MEND (network.h) */
            uint64_t until_ns; /* CLOG */
        } link;
        struct {
            uint32_t number;
            const struct request *request;
            const struct reply *reply; /* RETURN; NULL: given up, the outcome is unknown */
        } call;
        const struct check_failure *violation;
    };
};

struct observer {
    void (*see)(struct observer *observer, const struct observed *observed);
    bool enough;    /* set by the observer: the life ends here, without a verdict */
    bool forebears; /* sees the lives that a schedule descends from, too (lineage.h, fork.h) */
};
static inline struct observer *observer_of_forebears(struct observer *observer)
{
    return observer != NULL && observer->forebears ? observer : NULL;
}

/* Tells all of them, in order. When one of them has had enough, those behind it are told nothing more, nor is anybody
 * from then on. */
struct observer_group {
    struct observer observer;
    uint32_t count;
    struct observer *members[4];
};
void observer_group_init(struct observer_group *group);
void observer_group_add(struct observer_group *group, struct observer *member);

/* ---- for those who tell ---- */

/* Is anybody there? Ask before calling anything below. */
static inline bool observed_by(const struct scene *scene) { return __builtin_expect(scene->observer != NULL, 0); }

/* Fills in time and step. */
void observe(const struct scene *scene, struct observed observed);
void observe_lost(const struct scene *scene, uint32_t from, uint32_t to, struct slice frame, enum frame_fate fate,
                  uint32_t cut);
void observe_fault(const struct scene *scene, uint32_t node, enum fault_kind fault);

/* Names as the log and the page write them: "n0", "c3"; the room that they need. */
enum { ENDPOINT_TEXT_BYTES = 8 };
const char *endpoint_text(uint32_t endpoint, char text[ENDPOINT_TEXT_BYTES]);
const char *observed_kind_text(enum observed_kind kind);
const char *frame_type_text(uint16_t type);
const char *request_kind_text(uint8_t kind);

#endif

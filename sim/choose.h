/* Every choice that the simulator makes goes through choose(site, who, n) and its helpers.
 *
 * A *site* is a place that chooses (choose_sites.def). Drawn, each pair of kind and chooser has its own stream, so that
 * a fault taken away, or a node that asks once more, does not reshuffle all other choices. 0 is the tame choice ("no
 * fault", "the usual place"); of delays it is the typical one.
 *
 * A tracer (tracer.h) may look on: it notes what is not tame, or says what to choose, and then nothing is drawn. For it
 * the *subject* of a choice is set before: this frame of that link, this write of that node. Without a tracer that
 * costs a branch. */
#ifndef WW_CHOOSE_H
#define WW_CHOOSE_H

#include "../core/base.h"

enum choose_kind {
    CHOOSE_SWARM,        /* the parameters of the schedule */
    CHOOSE_DELAY,        /* who: link */
    CHOOSE_LOSS,         /* who: link */
    CHOOSE_DUPLICATE,    /* who: link */
    CHOOSE_DAMAGE,       /* who: link; bit flips, truncations, foreign headers */
    CHOOSE_DISK_DELAY,   /* who: node */
    CHOOSE_DISK_FAULT,   /* who: node */
    CHOOSE_DISK_CRASH,   /* who: node; what survives of the writes in flight */
    CHOOSE_DISK_ROT,     /* who: node; latent damage */
    CHOOSE_TIMER,        /* who: node */
    CHOOSE_CLOCK,        /* who: node */
    CHOOSE_EFFECT,       /* who: node; crashes between effects */
    CHOOSE_BATCH,        /* who: node; input.more */
    CHOOSE_LIFE,         /* who: node; downtime, identity of a life */
    CHOOSE_NEMESIS_TIME, /* who: enum nemesis_kind; when it strikes */
    CHOOSE_NEMESIS,      /* who: enum nemesis_kind; whom, and how long */
    CHOOSE_CLIENT,       /* who: client; what it does */
    CHOOSE_CLIENT_TIME,  /* who: client; thinking, patience */
    CHOOSE_CLIENT_ROUTE, /* who: client; which node it asks */
    CHOOSE_HEAL,         /* the liveness phase */
    CHOOSE_DISK_LIE,     /* who: node; acknowledged writes and reads that did something else */
    CHOOSE_OPERATOR,     /* who: client; what it does beside its calls */
    CHOOSE_MEMBERS,      /* who: 0, or node; changes of the members */
    CHOOSE_BACKLOG,      /* who: node; frames of clients that wait in it */
    CHOOSE_DEADLINE,     /* who: client; how long a call may take */
    CHOOSE_LINEAGE,      /* who: 0; what becomes of the decisions of ancestors */
    CHOOSE_KINDS,
};

/* What a decision is about; `who` and `class` say which one, the ordinal counts them. */
enum choose_subject {
    SUBJECT_NONE,      /* silent */
    SUBJECT_LINK,      /* who: link; all of it */
    SUBJECT_FRAME,     /* who: link, class: its type */
    SUBJECT_ARRIVAL,   /* who: node, class: type of a client's frame that has reached it */
    SUBJECT_STEP,      /* who: node, class: input */
    SUBJECT_OPERATION, /* who: node, class: operation of its disk */
    SUBJECT_LIFE,      /* who: node, ordinal: life; its end belongs to it */
    SUBJECT_TIMER,     /* who: node */
    SUBJECT_STRIKE,    /* who: enum nemesis_kind */
    SUBJECT_POWER,     /* a loss of power */
    SUBJECT_CHANGE,    /* of the members */
    SUBJECT_NODE,      /* who: node; all of it */
    SUBJECT_CALL,      /* who: client */
    SUBJECT_ATTEMPT,   /* who: client */
    SUBJECT_CLIENT,    /* who: client; all of it */
    SUBJECTS,
};

/* Classes of frames are their types; those of requests begin at CLASS_REQUEST, of disk operations at CLASS_DISK. */
enum choose_class {
    CLASS_NONE = 0,
    CLASS_HEARTBEAT = 18, /* an append request without entries */
    CLASS_START = 20,
    CLASS_TICK = 21,
    CLASS_REQUEST = 24, /* + enum request_kind */
    CLASS_DISK = 40,    /* + enum wal_operation */
    CLASS_PAGES = 45,   /* writes of device 1 */
    CLASS_LOAD = 46,    /* reads of it */
    CLASSES = 48,
};

enum choose_site {
#define SITE(name, kind, subject, head, unit, text) SITE_##name,
#include "choose_sites.def"
#undef SITE
    SITES,
};

enum { CHOOSE_WHO_MAX = 320 };

struct choose_stream {
    uint64_t state;
    uint64_t epoch; /* the schedule that the state belongs to */
};

struct tracer;

struct choose {
    uint64_t seed;
    uint64_t epoch;
    struct tracer *tracer;                                      /* NULL: nobody looks on */
    bool replays;                                               /* the tracer says what to choose */
    struct choose_stream streams[CHOOSE_WHO_MAX][CHOOSE_KINDS]; /* what one link draws for a frame lies together */
};

/* Starts the choices of one schedule, drawn and without a tracer. `choose` is zeroed before its first use. */
void choose_reset(struct choose *choose, uint64_t seed);

/* In [0, n), n > 0. Tame: 0. */
uint64_t choose(struct choose *choose, enum choose_site site, uint32_t who, uint64_t n);

enum { PER_MILLION = 1000000 };

/* True about per_million times in a million. A rate of 0 draws nothing. */
bool choose_chance(struct choose *choose, enum choose_site site, uint32_t who, uint32_t per_million);
/* Uniform in [low, high]. Tame: low. */
uint64_t choose_between(struct choose *choose, enum choose_site site, uint32_t who, uint64_t low, uint64_t high);
/* In [low, high], each power of two equally likely; low > 0. Tame: low. */
uint64_t choose_octave(struct choose *choose, enum choose_site site, uint32_t who, uint64_t low, uint64_t high);
/* Exponential with about this mean, by a piecewise linear quantile function. Tame: the mean. */
uint64_t choose_exponential(struct choose *choose, enum choose_site site, uint32_t who, uint64_t mean);
/* Most of the mean or less, one in 2^k around 2^k times it: the tail of a loaded machine, cut at 256 means. */
uint64_t choose_heavy(struct choose *choose, enum choose_site site, uint32_t who, uint64_t mean);

/* Are choices drawn? Otherwise silent sites are passed by, and choose_note() says what happens. */
static inline bool choose_draws(const struct choose *choose) { return !choose->replays; }

/* A value made of several silent draws: noted if it is not the tame one. In a replay `value` means nothing; what the
 * trace says comes back, or `tame`. */
uint64_t choose_note_traced(struct choose *choose, enum choose_site site, uint64_t value, uint64_t tame);
static inline uint64_t choose_note(struct choose *choose, enum choose_site site, uint64_t value, uint64_t tame)
{
    return choose->tracer == NULL ? value : choose_note_traced(choose, site, value, tame);
}

/* What the next choices about such a subject are for: the next one of its class... */
uint32_t choose_subject_traced(struct choose *choose, enum choose_subject subject, uint32_t who, uint32_t class);
static inline uint32_t choose_subject(struct choose *choose, enum choose_subject subject, uint32_t who, uint32_t class)
{
    return choose->tracer == NULL ? 0 : choose_subject_traced(choose, subject, who, class);
}
/* ... or one that was met before, or is known by its number. */
void choose_resume_traced(struct choose *choose, enum choose_subject subject, uint32_t who, uint32_t class,
                          uint32_t ordinal);
static inline void choose_resume(struct choose *choose, enum choose_subject subject, uint32_t who, uint32_t class,
                                 uint32_t ordinal)
{
    if (choose->tracer != NULL)
        choose_resume_traced(choose, subject, who, class, ordinal);
}
/* When the next event of its own happens, after now: a strike of that kind, a change. UINT64_MAX: none does. Means
 * something in a replay only. */
uint64_t choose_when(struct choose *choose, enum choose_site site, uint32_t who);

/* An event of its own is to happen at that time. */
void choose_plan_traced(struct choose *choose, enum choose_site site, uint32_t who, uint64_t at_ns);
static inline void choose_plan(struct choose *choose, enum choose_site site, uint32_t who, uint64_t at_ns)
{
    if (choose->tracer != NULL)
        choose_plan_traced(choose, site, who, at_ns);
}

/* The frame's copy that the next choices are for; 0: the frame itself. */
void choose_part_traced(struct choose *choose, uint32_t part);
static inline void choose_part(struct choose *choose, uint32_t part)
{
    if (choose->tracer != NULL)
        choose_part_traced(choose, part);
}

#endif

/* Every choice that the simulator makes goes through choose(kind, who, n).
 *
 * In seeded mode, the only one so far, each pair of kind and chooser has its own stream, so that a fault taken away, or
 * a node that asks once more, does not reshuffle all other choices. 0 is always the tame choice ("no fault", "the usual
 * place"), so that a trace need only list the others. */
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
    CHOOSE_KINDS,
};

enum { CHOOSE_WHO_MAX = 320 };

struct choose_stream {
    uint64_t state;
    uint64_t epoch; /* the schedule that the state belongs to */
};

struct choose {
    uint64_t seed;
    uint64_t epoch;
    struct choose_stream streams[CHOOSE_WHO_MAX][CHOOSE_KINDS]; /* what one link draws for a frame lies together */
};

/* Starts the choices of one schedule. `choose` is zeroed before its first use. */
void choose_reset(struct choose *choose, uint64_t seed);

/* In [0, n), n > 0. */
uint64_t choose(struct choose *choose, enum choose_kind kind, uint32_t who, uint64_t n);

enum { PER_MILLION = 1000000 };

/* True about per_million times in a million. A rate of 0 draws nothing. */
bool choose_chance(struct choose *choose, enum choose_kind kind, uint32_t who, uint32_t per_million);
/* Uniform in [low, high]. */
uint64_t choose_between(struct choose *choose, enum choose_kind kind, uint32_t who, uint64_t low, uint64_t high);
/* In [low, high], each power of two equally likely; low > 0. */
uint64_t choose_octave(struct choose *choose, enum choose_kind kind, uint32_t who, uint64_t low, uint64_t high);
/* Exponential with about this mean, by a piecewise linear quantile function. */
uint64_t choose_exponential(struct choose *choose, enum choose_kind kind, uint32_t who, uint64_t mean);
/* Most of the mean or less, one in 2^k around 2^k times it: the tail of a loaded machine, cut at 256 means. */
uint64_t choose_heavy(struct choose *choose, enum choose_kind kind, uint32_t who, uint64_t mean);

#endif

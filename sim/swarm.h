/* The parameters of one schedule, all drawn from its seed and printable.
 *
 * Swarm testing (Groce 2012): each family of faults is off in half of the schedules and of any intensity, on a
 * logarithmic scale, in the others; each limit is tiny or tinier. What hides a bug in one schedule is absent in the
 * next.
 *
 * Times are relative to the election timeout. Rates are per million. */
#ifndef WW_SWARM_H
#define WW_SWARM_H

#include <stdio.h>

#include "../core/limits.h"
#include "../core/replica.h"
#include "choose.h"
#include "coverage.h"

enum profile {
    PROFILE_MIXED,    /* the portfolio: all of the below */
    PROFILE_TIMED,    /* delays from distributions, clocks that run */
    PROFILE_UNTIMED,  /* deliveries, completions and timers in any order; clocks move when a timer fires */
    PROFILE_ELECTION, /* protective options off, selective loss, one entry per append: nothing hides a wrong election */
    PROFILE_STORAGE,  /* crashes, torn writes, errors; a quiet network */
    PROFILE_DISK,     /* the same, and all that disks can do at once, often */
    PROFILE_QUIET,    /* no faults at all */
    PROFILE_MEMBERS,  /* as timed or untimed, and the members change in every schedule */
    PROFILE_PCT,      /* untimed, and each link, disk and timer has a pace; a few times one falls behind all (pct.h) */
    PROFILE_PLOT,     /* as timed or untimed, and trouble in several acts: swizzles, hunts for leaders... (plot.h) */
    PROFILE_CORPUS,   /* as timed or untimed; a descendant of two other lives with the same parameters (lineage.h) */
    PROFILE_FORK,     /* as timed or untimed; lives on from worlds that came into a new abstract state (fork.h) */
    PROFILE_KINDS,
};
const char *profile_text(enum profile profile);
bool profile_parse(const char *text, enum profile *profile);

enum delay_kind { DELAY_CONSTANT, DELAY_UNIFORM, DELAY_EXPONENTIAL, DELAY_HEAVY, DELAY_KINDS };

/* Scheduled trouble. */
enum nemesis_kind {
    NEMESIS_SPLIT,
    NEMESIS_ONE_WAY,
    NEMESIS_PAIR,
    NEMESIS_LEADER,
    NEMESIS_CLIENTS,
    NEMESIS_CLOG,
    NEMESIS_CRASH,
    NEMESIS_POWER,
    NEMESIS_PAUSE,
    NEMESIS_FORWARD,
    NEMESIS_BACKWARD,
    NEMESIS_STALL,
    NEMESIS_ROT,
    NEMESIS_STICKY,      /* blocks become unreadable */
    NEMESIS_SUPERBLOCK,  /* one, several or all copies */
    NEMESIS_WIPE,        /* a disk is empty, and formatted again under the same node id */
    NEMESIS_SLOW,        /* a disk takes many times as long */
    NEMESIS_STUCK,       /* a disk completes nothing */
    NEMESIS_POWER_AGAIN, /* follows a power loss, while the nodes recover */
    NEMESIS_DEMOTE,      /* a change point of PCT (pct.h) */
    NEMESIS_SWIZZLE,     /* plots (plot.h): links clog one node after the other, and clear in another order */
    NEMESIS_ROLLING,     /* each node is restarted when the one before is back */
    NEMESIS_HUNT,        /* who leads now is struck, and who leads then, and so on */
    NEMESIS_HOLDER,      /* the follower that holds the most cannot be reached */
    NEMESIS_KINDS,
};

enum { CLIENTS_MAX = 8, KEYS_FEW = 4, KEYS_MAX = 32, COPIES_MAX = 24, DEMOTIONS_MAX = 3 };

/* Which messages a link loses on top of its usual loss. */
enum selective_kind {
    SELECTIVE_NONE,
    SELECTIVE_ENTRIES, /* append requests with entries; heartbeats pass */
    SELECTIVE_APPEND_RESPONSES,
    SELECTIVE_VOTE_REQUESTS,
    SELECTIVE_VOTE_RESPONSES,
    SELECTIVE_KINDS,
};

/* What damage may do, and what is demanded then: atlas.h. */
enum regime { REGIME_MINORITY, REGIME_PLACES, REGIME_UNRESTRICTED, REGIME_KINDS };

const char *regime_text(enum regime regime);

struct swarm {
    uint64_t seed;
    enum profile profile; /* asked for */
    enum profile family;  /* drawn from it */
    bool untimed;
    bool faults;           /* false: quiet */
    uint32_t node_count;   /* those that may join included */
    uint32_t member_count; /* of them, the first ones are members from the beginning */
    uint32_t client_count;
    uint32_t key_count;
    uint64_t inputs_max; /* length of the safety phase */
    uint64_t safety_ns;

    struct limits limits;
    struct replica_config configs[VOTERS_MAX]; /* seed is set anew for each life */
    uint64_t ids[VOTERS_MAX];                  /* of the nodes, as in configs */
    uint32_t priorities[VOTERS_MAX];           /* of the members, as in configuration */
    struct configuration configuration;        /* at format; those who are not in it have none */

    uint64_t delay_ns; /* typical, of a link */
    enum delay_kind delay_kind;
    bool delay_per_link; /* each link differs */
    uint32_t loss;
    uint32_t duplicate;
    uint32_t duplicate_late;
    uint32_t hold_back;
    uint32_t bit_flip;
    uint32_t truncation;
    uint32_t foreign;
    uint32_t falsify; /* share of answers with pages */
    enum selective_kind selective;
    uint32_t selective_loss;

    uint64_t nemesis_ns[NEMESIS_KINDS]; /* mean interval; 0: never */
    uint64_t outage_ns;                 /* mean length of what a nemesis does */
    uint32_t power_again;               /* share of power losses with another one behind */
    enum regime regime;

    bool reconfigures;        /* members come and go (reconfigure.h) */
    uint64_t change_ns;       /* mean interval of changes */
    uint32_t change_any;      /* share of those that do not say which configuration they are meant for */
    uint32_t change_forced;   /* share */
    uint32_t change_together; /* share of those with another one right behind */
    uint32_t spare_early;     /* share of nodes that are started before they are added */
    uint32_t revived;         /* who was removed, and has stopped, is started again: each time that it might be */
    uint32_t voters_min;      /* fewer are not asked for: so many are needed to bear what disks do */
    uint32_t struck_max;      /* nodes that may lose what they do not repair alone */

    uint64_t disk_ns; /* typical latency */
    enum delay_kind disk_kind;
    uint32_t disk_slowness[VOTERS_MAX]; /* factor */
    uint32_t sector_bytes;
    uint32_t read_error;
    uint32_t write_error;
    uint32_t write_full;
    uint32_t write_swallowed;   /* acknowledged, and never there */
    uint32_t write_misdirected; /* acknowledged, and somewhere else */
    uint32_t read_misdirected;

    int32_t drift_ppm[VOTERS_MAX];
    bool drift;
    bool clock_restart;
    bool lease;                          /* leaders answer from leases: clocks keep to the bound, and do not jump */
    uint32_t stale_clock;                /* share of clients' frames that come after a clock was read long ago */
    uint64_t tick_ns;                    /* the timer's grain; 0: exact */
    uint64_t timer_ns;                   /* untimed: mean delay until a timer may fire... */
    uint32_t timer_slowness[VOTERS_MAX]; /* ...times this */
    uint32_t demotions;                  /* PCT: change points */
    uint64_t demote_step[DEMOTIONS_MAX]; /* in order */

    uint32_t effect_crash; /* per step */
    uint32_t effect_power; /* share of these that take the power of all nodes */
    uint32_t fast_restart; /* share of crashes */
    uint64_t downtime_ns;
    uint32_t batch;   /* inputs fed together */
    uint32_t backlog; /* share of clients' frames that wait in their node */

    uint64_t think_ns;
    uint64_t patience_ns;  /* until a client tries again */
    uint32_t attempts_max; /* then it abandons the call */
    uint32_t copies;       /* of each request to the node that is asked, as if so many clients asked the same */
    uint32_t reads;        /* share of gets */
    uint32_t stale_reads;  /* share of those */
    uint32_t local_reads;  /* share of the others: at the node asked, whoever leads */
    uint32_t bounded;      /* share of these that may be old */
    uint64_t bound_ns;     /* the most that they allow; each draws its own */
    uint32_t transactions; /* share of writes */
    uint32_t malformed;
    uint32_t hedge;
    uint32_t stubborn;       /* share of clients that do not follow hints */
    uint32_t register_again; /* opens a new session between two calls */
    uint32_t asks;           /* between two calls: asks for a checkpoint */
    uint32_t saves;          /* between two calls: begins to pull one */
    uint32_t transfers;      /* asks that another node lead */
    uint32_t deadlines;      /* share of calls whose requests say how long they may take */
    uint64_t overload_ns;    /* length of a phase; in every fourth one nobody thinks. 0: none */
};

/* Draws all parameters. Fault kinds that they allow are counted in coverage->enabled. */
void swarm_draw(struct swarm *swarm, struct choose *choose, struct coverage *coverage, uint64_t seed,
                enum profile profile);
void swarm_print(const struct swarm *swarm, FILE *file);

#endif

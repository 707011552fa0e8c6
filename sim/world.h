/* One cluster's life from one seed.
 *
 * The world is a driver like raftd's: it feeds inputs one at a time and carries out the effects in order, completing
 * each disk operation once. All that it decides, it draws. After a safety phase with faults comes a liveness phase
 * without (liveness.h). Memory is allocated between schedules only; a schedule makes no system call. */
#ifndef WW_WORLD_H
#define WW_WORLD_H

#include "clock.h"
#include "disk.h"
#include "network.h"
#include "scene.h"
#include "shadow.h"
#include "signature.h"
#include "workload.h"

/* A node is DOWN after a crash until its restart, UP, or STOPPED: it ended itself for a reason that stays. */
enum node_state { NODE_DOWN, NODE_UP, NODE_STOPPED };

struct node {
    enum node_state state;
    enum stop_reason stop;
    uint32_t slot;
    uint32_t life; /* number of starts */
    bool outsider; /* left in its worst state by the liveness phase */
    bool timer_armed;
    bool owed;                  /* its last input promised another at once */
    enum raft_role role;        /* as its events told */
    uint64_t resume_ns;         /* paused until then */
    uint64_t deadline_ns;       /* local */
    uint64_t timer_ns;          /* true time of the armed timer */
    uint64_t timer_deadline_ns; /* local time that it stands for */
    uint64_t timer_least_ns;    /* untimed: it takes so long at least */
    uint64_t shown_ns;          /* latest local time fed */
    struct clock clock;
    struct disk disk;
    struct replica *replica;
    void *region;
    size_t region_capacity_bytes;
};

/* The progress of the liveness phase. */
struct liveness {
    uint64_t heal_ns;
    uint64_t heal_step;
    uint32_t heal_calls;       /* open then, the prober's included */
    enum liveness_world world; /* decided when the time for progress is over */
    bool asking;               /* it is over: the closing questions follow */
    uint32_t question;         /* number of the next one */
    bool asked;                /* the one before is not answered yet */
    struct node *node;         /* whom */
    uint64_t term;             /* in which it led; 0: a stale read */
    uint64_t asked_ns;
    uint64_t asked_step;
};

struct lineage;
struct forks;
struct tracer;

/* Trouble in several acts (plot.h). */
struct plot {
    uint32_t number; /* of its strikes; acts of another one are over */
    uint32_t count;  /* nodes, in... */
    uint32_t order[VOTERS_MAX];
    uint64_t until_ns[VOTERS_MAX]; /* swizzle, by node: its links are clogged */
    uint64_t gap_ns;               /* between two acts */
    uint64_t for_ns;               /* how long what it does lasts */
    uint32_t next;                 /* in the order, or of the leaders that are hunted */
    uint32_t tries;                /* acts that found nobody, or had to wait */
    uint64_t how;
};
enum { PLOTS = NEMESIS_HOLDER - NEMESIS_SWIZZLE + 1 };

struct world {
    struct scene scene;
    struct network network;
    struct workload workload;
    struct node nodes[VOTERS_MAX];
    struct shadow shadow;
    struct output output;
    void *output_region;
    size_t output_capacity_bytes;
    uint64_t digest; /* of all steps so far */
    struct liveness liveness;
    uint32_t demoted; /* change points of PCT that are over */
    uint32_t owing;   /* nodes whose last input promised another */
    struct signature signature;
    struct plot plots[PLOTS];
    struct lineage *lineage; /* NULL until a schedule wants one (lineage.h, fork.h) */
    struct forks *forks;
};

struct world_result {
    const struct check_failure *failure; /* NULL: none */
    uint64_t digest;
    uint64_t steps;
};

/* NULL when memory runs out. */
struct world *world_new(void);
void world_free(struct world *world);

struct world_options {
    uint64_t seed;
    const struct swarm *swarm; /* the parameters; NULL: drawn from the seed */
    struct tracer *tracer;     /* looks on, or says what to choose; NULL: nobody does */
    enum profile profile;
    bool safety_only;          /* ends where the liveness phase would begin */
    bool open;                 /* ... and is left as it is there, if nothing failed: it may go on */
    bool search;               /* black-box linearizability at the end */
    bool deep;                 /* fold whole replica states into the digest: replays and golden digests */
    bool signature;            /* count its abstract states */
    struct observer *observer; /* NULL: nobody looks */
    uint64_t fork_step;        /* a trace is followed up to here, and then choices are drawn... */
    uint64_t fork_seed;        /* ...from this seed; 0 steps: never */
    uint64_t inputs_max;       /* a longer safety phase, or a shorter one, than drawn; 0: as drawn */
};

/* Lives one schedule from beginning to end. The counters are in world->scene.coverage afterwards. False: no memory. */
bool world_run(struct world *world, const struct world_options *options, struct world_result *result);

/* A world that was left open goes on, with other options; all choices are drawn anew, from fork_seed. */
void world_go_on(struct world *world, const struct world_options *options, struct world_result *result);
/* ... or it ends here. */
void world_close(struct world *world, const struct world_options *options, struct world_result *result);

/* A scripted world, step by step: begins with these parameters and the nodes down, on formatted disks. False: no
 * memory. observer: NULL, nobody looks. */
bool world_script(struct world *world, const struct swarm *swarm, struct script *script, struct observer *observer);
/* Takes what comes next. False: nothing does. */
bool world_advance(struct world *world);
/* The script is over: the liveness phase, if wanted, and the checks of the whole history. */
void world_finish(struct world *world, bool heal);

/* The slot of a node id, which is one. */
uint32_t world_slot_of(const struct world *world, uint64_t node_id);

/* The node's last input has promised another at once, or no longer. */
void world_owe(struct world *world, struct node *node, bool owed);

/* Between the parts of the world: one step of a node, and its effects. `from`: the endpoint that a frame came from,
 * ENDPOINTS for other inputs. The node may be down afterwards. */
void world_feed(struct world *world, struct node *node, struct input *input, uint32_t from);

#endif

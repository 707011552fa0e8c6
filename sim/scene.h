/* What all parts of a simulated world share: true time, choices, parameters, what is to come, counters. */
#ifndef WW_SCENE_H
#define WW_SCENE_H

#include "check.h"
#include "choose.h"
#include "coverage.h"
#include "meter.h"
#include "queue.h"
#include "swarm.h"

/* Ends of links: node slots, then clients, the last of which is the prober of the liveness phase. */
enum {
    ENDPOINT_CLIENT = VOTERS_MAX,
    CLIENT_PROBER = CLIENTS_MAX,
    CLIENT_SLOTS = CLIENTS_MAX + 1,
    ENDPOINTS = ENDPOINT_CLIENT + CLIENT_SLOTS,
};
STATIC_ASSERT(ENDPOINTS *ENDPOINTS <= CHOOSE_WHO_MAX, "a stream for each link");

struct disk;
struct observer;
struct output;

/* A world that follows a script instead of its seed (scenario.h): nothing restarts and no timer goes off by itself, and
 * the script looks at every frame and every step. */
struct script {
    /* Before a frame travels. False: the script has taken it. */
    bool (*frame)(struct script *script, uint32_t from, uint32_t to, struct slice frame);
    /* After a step, before its effects are carried out. */
    void (*step)(struct script *script, uint32_t node, const struct output *output);
};

struct scene {
    struct choose choose;
    struct swarm swarm;
    struct queue queue;
    struct coverage coverage;
    struct check *check;
    struct disk *disks[VOTERS_MAX]; /* by node: for the atlas */
    uint64_t now_ns;                /* true time, which no node sees */
    uint64_t step;                  /* inputs fed so far */
    bool healed;                    /* the liveness phase: no new faults, everything quick */
    struct script *script;          /* NULL: the seed decides */
    struct observer *observer;      /* NULL: nobody looks (observe.h) */
    struct meter meter;
};

static inline uint64_t scene_election_ns(const struct scene *scene)
{
    return scene->swarm.configs[0].election_timeout_ns;
}

/* Whom a client believes. */
static inline struct frame_context scene_frame_context(const struct scene *scene)
{
    return (struct frame_context){ .cluster_id = scene->swarm.configs[0].cluster_id,
                                   .fingerprint = limits_fingerprint(&scene->swarm.limits),
                                   .frame_bytes_max = scene->swarm.limits.frame_bytes_max };
}

/* One delay from a distribution around `typical`. */
static inline uint64_t scene_delay(struct scene *scene, enum choose_site site, uint32_t who,
                                   enum delay_kind distribution, uint64_t typical_ns)
{
    switch (distribution) {
    case DELAY_CONSTANT: return typical_ns;
    case DELAY_UNIFORM: return choose(&scene->choose, site, who, 2 * typical_ns + 1);
    case DELAY_EXPONENTIAL: return choose_exponential(&scene->choose, site, who, typical_ns);
    case DELAY_HEAVY: return choose_heavy(&scene->choose, site, who, typical_ns);
    case DELAY_KINDS: break;
    }
    UNREACHABLE();
}

#endif

/* What a cluster looks like, without names and numbers: an abstract state, and which of them a campaign has seen.
 *
 * The state of a cluster is the multiset of what its nodes look like: down, stopped, or role; whether others are in a
 * higher term; what its log lacks of what is committed, has beyond it, or has instead; for whom it voted; whether it
 * has what is not durable yet, or is damaged; which part it has in a checkpoint or a change of the members. An edge is
 * what one node does: how it looks before, in more detail, what it is fed (the kind of input or frame, and whether its
 * term is old), and how it looks then.
 *
 * Kinds are counted once for each schedule that shows them. Schedules are drawn independently, steps are not, so the
 * estimate of what is unseen (sketch.h) holds for schedules: of the kinds that the next one shows, such a share was in
 * none before it. One schedule in SIGNATURE_SAMPLE is looked at, by its seed: so what is counted does not depend on who
 * runs which, and a step of the others costs nothing. */
#ifndef WW_SIGNATURE_H
#define WW_SIGNATURE_H

#include "../core/replica.h"
#include "sketch.h"

enum { SIGNATURE_SAMPLE = 32, SIGNATURE_KINDS_MAX = 3072, SIGNATURE_SLOTS = 4096 };

/* The kinds that a schedule shows, each once; those beyond SIGNATURE_KINDS_MAX are not counted. */
struct kinds {
    uint32_t count;
    uint64_t slots[SIGNATURE_SLOTS]; /* hash table; 0: free */
};

/* Of the schedule that runs. */
struct signature {
    bool on;
    uint64_t state;             /* of the cluster after the latest step */
    uint64_t looks[VOTERS_MAX]; /* of a node, by itself, after its latest step */
    uint64_t ends[VOTERS_MAX];  /* in detail: where its latest edge ended */
    uint64_t terms[VOTERS_MAX];
    struct kinds states;
    struct kinds edges;
};

/* Of a campaign. All zero: nothing seen. */
struct census {
    uint64_t schedules; /* that were looked at */
    struct sketch states;
    struct sketch edges;
};

void kinds_add_all(struct kinds *kinds, const struct kinds *others);

struct world;

bool signature_samples(uint64_t seed);
/* A schedule begins. */
void signature_reset(struct signature *signature, bool on);
/* After a step of the node, before its effects are carried out. */
void signature_step(struct world *world, uint32_t node, const struct input *input);

/* A schedule is over. */
void census_count(struct census *census, const struct signature *signature);
void census_add(struct census *sum, const struct census *part);

#endif

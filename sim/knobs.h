/* The parameters of a schedule that matter when nothing is drawn, by name. Rates of faults are not among them: a trace
 * names each fault. A trace lists the knobs that differ from the defaults, which never change. */
#ifndef WW_KNOBS_H
#define WW_KNOBS_H

#include <stdio.h>

#include "swarm.h"

enum { KNOB_VALUES_MAX = VOTERS_MAX };

struct knob {
    const char *name;
    uint16_t offset;
    uint8_t bytes;  /* of one value: 1, 4 or 8 */
    uint8_t values; /* 1, or one for each node */
    uint8_t unit;   /* enum knob_unit */
};
enum knob_unit { KNOB_COUNT, KNOB_TIME, KNOB_SIGNED, KNOB_REGIME };

uint32_t knob_count(void);
const struct knob *knob_at(uint32_t index);
const struct knob *knob_named(const char *name, size_t bytes); /* NULL: none */
uint64_t knob_get(const struct swarm *swarm, const struct knob *knob, uint32_t i);
void knob_set(struct swarm *swarm, const struct knob *knob, uint32_t i, uint64_t value);

/* Three nodes, a client, a quick network. */
void knobs_default(struct swarm *swarm);
/* What follows from the knobs: the configurations of all nodes, and the members. */
void knobs_settle(struct swarm *swarm);
/* NULL when a world can be made of them, otherwise the problem. */
const char *knobs_problem(const struct swarm *swarm);
/* A line "knob NAME VALUE[,VALUE...]" for each that is not as in the defaults. */
void knobs_print(const struct swarm *swarm, FILE *file);

/* Nanoseconds, in the largest unit that is exact: 150ms. */
void time_print(uint64_t ns, FILE *file);
/* A number, with a unit of time or without; false: neither, or too large. */
bool time_parse(const char *text, size_t bytes, uint64_t *ns);

#endif

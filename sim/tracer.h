/* Looks on while a schedule chooses (choose.h): writes a trace, follows one, or both at once.
 *
 * It numbers the subjects of each class, and so gives each choice its address. Following a trace, what no decision
 * names is tame. Strictly, an address must be met exactly; the same build then lives the same life, and the digest
 * after each step is compared. Leniently, for another build, a decision about a frame, a step, an operation or a timer
 * is matched by meaning: about this class, on this link or node, when its number has come or its time, whichever is
 * later known to be near. What is never met was skipped. */
#ifndef WW_TRACER_H
#define WW_TRACER_H

#include "trace.h"

enum tracer_match { MATCH_EXACT, MATCH_LENIENT };

struct tracer;

/* NULL: no memory. */
struct tracer *tracer_new(void);
void tracer_free(struct tracer *tracer);

/* What it does from the next tracer_begin() on. `from`: the trace to follow, without the decisions that `dropped`, if
 * not NULL, marks; NULL: choices are drawn. `to`: the trace to write, if not NULL. */
void tracer_set(struct tracer *tracer, const struct trace *from, const uint8_t *dropped, enum tracer_match match,
                struct trace *to);

/* From now on it follows nothing: choices are drawn. */
void tracer_leave(struct tracer *tracer);
/* NULL: it writes none. */
struct trace *tracer_target(const struct tracer *tracer);
/* Are subjects of this kind so many that another build, or another life, may count them otherwise? */
bool tracer_subject_is_loose(enum choose_subject subject);

/* Between the world and the tracer. */
void tracer_begin(struct tracer *tracer, struct choose *choose, const struct swarm *swarm, const uint64_t *now_ns);
void tracer_step(struct tracer *tracer, uint64_t step, uint32_t node, uint64_t digest);

/* From choose.c. */
uint64_t tracer_note(struct tracer *tracer, enum choose_site site, uint64_t value, uint64_t tame);
uint32_t tracer_subject(struct tracer *tracer, enum choose_subject subject, uint32_t who, uint32_t class);
void tracer_resume(struct tracer *tracer, enum choose_subject subject, uint32_t who, uint32_t class, uint32_t ordinal);
void tracer_part(struct tracer *tracer, uint32_t part);
void tracer_plan(struct tracer *tracer, enum choose_site site, uint32_t who, uint64_t at_ns);
uint64_t tracer_when(struct tracer *tracer, enum choose_site site, uint32_t who);

/* Afterwards. The first step whose digest is not the one in the trace; 0: none, as far as it has digests. */
struct tracer_difference {
    uint64_t step;
    uint32_t node;
    uint32_t class; /* of its input */
};
struct tracer_difference tracer_difference(const struct tracer *tracer);
/* Has the decision been met? */
bool tracer_met(const struct tracer *tracer, uint32_t index);
uint32_t tracer_skipped(const struct tracer *tracer);

#endif

/* Black-box linearizability of what clients saw (Wing and Gong 1993, Lowe 2017: search with memo of configurations).
 *
 * A history is a list of calls with their intervals. Keys are independent unless a transaction ties them together, so
 * the history is cut into components that are searched alone. A call without an outcome may take effect at any moment
 * after its invocation, or never. The checker knows the key-value model and nothing of Raft: the simulator uses it on
 * a sample of schedules and on every replay, and the end-to-end tests on real processes.
 *
 * Values are compared by a hash that composes over concatenation (for append): struct linear_value. */
#ifndef WW_LINEAR_H
#define WW_LINEAR_H

#include "../core/base.h"

struct linear_value {
    uint64_t hash; /* polynomial over the bytes modulo 2^61 - 1; 0 for the empty value */
    uint32_t bytes;
};
struct linear_value linear_value_of(struct slice bytes);
struct linear_value linear_value_append(struct linear_value a, struct linear_value b);

enum linear_kind { LINEAR_GET, LINEAR_PUT, LINEAR_DELETE, LINEAR_APPEND, LINEAR_CAS, LINEAR_TXN };

enum linear_outcome {
    LINEAR_UNKNOWN, /* timed out, or REPLY_UNKNOWN: may have taken effect, may yet, or never */
    LINEAR_OK,
    LINEAR_NOT_FOUND, /* get, delete */
    LINEAR_FAILED,    /* CAS, TXN: condition did not hold ("else" taken) */
    LINEAR_REFUSED,   /* surely no effect: the call constrains nothing and is dropped */
};

enum { LINEAR_TXN_PARTS = 16 };

/* One clause of a transaction. */
struct linear_part {
    uint8_t kind; /* enum txn_clause_kind, core/request.h */
    uint32_t key;
    uint64_t version;
    struct linear_value value;
};

struct linear_op {
    enum linear_kind kind;
    enum linear_outcome outcome;
    uint32_t key;              /* small integer */
    uint32_t client;           /* for messages only */
    uint64_t invoked;          /* any monotone unit, the same for all clients; ties count as concurrent */
    uint64_t returned;         /* UINT64_MAX: never */
    struct linear_value value; /* written, or read */
    uint64_t expected;         /* CAS: the version required */
    uint64_t version;          /* of the reply, with a known outcome: the key's after the call */
    uint32_t part_count;       /* TXN */
    struct linear_part parts[LINEAR_TXN_PARTS];
};

enum linear_verdict {
    LINEAR_ACCEPTED,
    LINEAR_VIOLATION,
    LINEAR_GAVE_UP, /* more than steps_max steps: says nothing */
};

struct linear_report {
    enum linear_verdict verdict;
    uint64_t steps;
    uint32_t components;
    uint32_t stuck_op; /* VIOLATION: position in ops of a call that could not be placed */
};

/* ops need not be sorted. Allocates its own memory (this is not the core) and frees it. Each version is written by one
 * call only, and versions grow along every key's history: both are part of what is checked. */
struct linear_report linear_check(const struct linear_op *ops, uint32_t op_count, uint64_t steps_max);

#endif

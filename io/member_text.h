/* Changes of members as people write them.
 *
 *   change    = operation | "change" operation { operation }
 *   operation = "add" ID=HOST:PORT                 a learner
 *             | "promote" ID | "demote" ID | "remove" ID
 *             | "replace" OLD NEW=HOST:PORT        OLD goes, NEW comes and gets its role
 *             | "move" ID=HOST:PORT | "priority" ID N
 *
 * An ID is a number from 1 to 2^64-2. HOST is a name, an IPv4 address or an IPv6 address in brackets: where the other
 * members find the node. Names are looked up by the nodes, not here. */
#ifndef WW_MEMBER_TEXT_H
#define WW_MEMBER_TEXT_H

#include "../core/configuration.h"

enum { MEMBER_TEXT_ERROR_BYTES = 256, MEMBER_OPERATIONS_MAX = 2 * MEMBERS_MAX };

struct member_change {
    uint32_t count;
    struct member_operation operations[MEMBER_OPERATIONS_MAX];
    uint64_t succeeds[MEMBER_OPERATIONS_MAX]; /* of an addition: it gets the role of that one; 0: a learner */
};

/* False with the problem in `error`. */
bool member_text_parse(char *const *words, uint32_t word_count, struct member_change *change,
                       char error[MEMBER_TEXT_ERROR_BYTES]);

#endif

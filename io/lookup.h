/* Looking up the name of a host beside the loop, which must not wait for a name server.
 *
 * One thread a lookup; names are looked up when a member's address is one, and again whenever dialing it failed.
 *
 *   WORKING --the thread is done--> DONE      --lookup_poll() or lookup_drop()--> freed
 *   WORKING --lookup_drop()-------> ABANDONED --the thread is done--------------> freed */
#ifndef WW_LOOKUP_H
#define WW_LOOKUP_H

#include "endpoint.h"

struct lookup;

/* text: "host:port", NUL-terminated, copied. NULL: no memory, or no thread. */
struct lookup *lookup_start(const char *text);
/* -EAGAIN while it works. Else the lookup is freed: 0 and *endpoint, or as endpoint_parse(). */
int lookup_poll(struct lookup *lookup, struct endpoint *endpoint) __attribute__((warn_unused_result));
/* Nobody wants the answer any more; NULL is allowed. */
void lookup_drop(struct lookup *lookup);

#endif

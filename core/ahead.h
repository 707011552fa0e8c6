/* Where in its region a replica will write for the first time before long.
 *
 * A region is reserved as a whole and takes memory where it is touched, so the step that touches a page first waits
 * until the kernel has found and cleared it: milliseconds for a huge page on a machine whose page tables are virtual.
 * A driver that sees to these pages in time, in a thread, spares the steps that wait. It changes no byte and no output.
 *
 * What grows, grows at one end: the mirror of the log and the slots of its entries at the tail, pages, their map and
 * their dirty bits at the lowest free page (page.h), so at the most pages that were ever in use; blocks at the end of
 * those in use; sessions and the copies in the shadow pool behind those that there are. */
#ifndef WW_AHEAD_H
#define WW_AHEAD_H

#include "replica.h"

enum { AHEAD_SPANS_MAX = 16 };

/* bytes: how far ahead, of the log and of the pages; what grows with them is as far ahead as that needs. Spans lie in
 * the region, may overlap, none is empty. Returns how many. */
uint32_t replica_ahead(const struct replica *replica, uint32_t bytes, struct slice spans[AHEAD_SPANS_MAX]);

#endif

/* Probabilistic concurrency testing (Burckhardt, ASPLOS 2010), over links, disks and timers.
 *
 * There each thread has a random priority, the highest runs, and at d - 1 random steps the one that runs falls behind
 * all others: a bug that needs d events in a certain order shows with a probability of 1 / (n k^(d-1)) at least, in n
 * threads and k steps. Here a thread is a link, a disk, or a timer, and nothing may starve for ever: so priorities are
 * paces. Each link, disk and timer has a constant one of its own, over nine octaves, and keeps what goes through it in
 * order (PCTCP, OOPSLA 2018: chains of messages); at a change point the thread of the event that comes next gets a pace
 * behind all, with what is under way on it. Time is that of untimed schedules, so that paces decide about order only.
 *
 * Paces are parameters. A change point is a strike of NEMESIS_DEMOTE: drawn at a step, found in a trace by its time. */
#ifndef WW_PCT_H
#define WW_PCT_H

#include "world.h"

enum thread_kind { THREAD_LINK, THREAD_DISK, THREAD_TIMER, THREAD_KINDS };

/* Before an event is taken: has the step of the next change point come? */
void pct_advance(struct world *world);
/* A change point of a trace. */
void pct_strike(struct world *world);

#endif

/* Where the time of schedules goes, for whoever brings a clock: a watch with several hands, of which one runs. It only
 * looks on; without a clock it stands still. */
#ifndef WW_METER_H
#define WW_METER_H

#include "../core/base.h"

enum meter_kind {
    METER_REST, /* queue, clients, faults, drawing, set-up */
    METER_CORE, /* replica_step() */
    METER_CHECK,
    METER_NETWORK,
    METER_DISK,
    METER_KINDS,
};

struct meter {
    uint64_t (*now)(void); /* in any unit; NULL: nobody wants to know */
    uint64_t since;
    enum meter_kind running;
    uint64_t spent[METER_KINDS];
    uint64_t turns[METER_KINDS]; /* how often each hand was started: what the clock itself costs */
};

/* Another hand runs from now on. Returns the one that ran, to go back to. */
static inline enum meter_kind meter_switch(struct meter *meter, enum meter_kind kind)
{
    const enum meter_kind before = meter->running;
    if (meter->now == NULL)
        return before;
    const uint64_t now = meter->now();
    meter->spent[before] += now - meter->since;
    meter->turns[kind]++;
    meter->since = now;
    meter->running = kind;
    return before;
}

#endif

/* The operator who changes the members (Raft 4), and looks after the nodes that come and go.
 *
 * At exponential intervals it draws a change from what some node, mostly the leader, uses at that moment, and asks that
 * node for it: to add, promote, demote, remove, move or prefer a node, healthy or not; several of these at once; and
 * now and then what must be refused. It starts a node that has become a member, or is about to; and sometimes one that
 * was removed, so that it disturbs those who stay.
 *
 * It does not ask for what would leave fewer voters than the schedule's disks allow for, and asks for nothing any more
 * in the liveness phase. */
#ifndef WW_RECONFIGURE_H
#define WW_RECONFIGURE_H

#include "../core/request.h"
#include "scene.h"

enum { CHANGE_OPERATIONS_MAX = 8, CHANGES_MAX = 16 };

/* Asked for, and perhaps not answered yet. */
struct change_asked {
    uint64_t id; /* of the request; 0: free */
    struct member_operation operations[CHANGE_OPERATIONS_MAX];
    uint32_t count;
    uint64_t version; /* the configuration that it is meant for; 0: any */
    uint32_t leader;  /* that was asked: node */
    bool forced;
    uint32_t readded; /* set of nodes that were members before */
};

struct reconfigure {
    uint64_t asked; /* so far */
    struct change_asked changes[CHANGES_MAX];
    uint32_t members;      /* ever: a set of nodes */
    uint32_t joined;       /* nodes that had no members at first, and have heard of some */
    struct log_id joint;   /* the latest joint configuration that a leader appended... */
    uint32_t joint_leader; /* ... and who that was */
    uint64_t preferred;    /* node id: a leader hands over to it for its priority; 0: none, or it is over */
};

struct world;
struct node;
struct reply;

void reconfigure_reset(struct reconfigure *reconfigure);
/* Begins, when the schedule wants it. */
void reconfigure_start(struct world *world);
/* It is time: looks after nodes, asks for a change. */
void reconfigure_tick(struct world *world);
/* Is it a reply to a change? Then takes it. */
bool reconfigure_receive(struct reconfigure *reconfigure, struct scene *scene, const struct reply *reply);
/* Is the frame a request for a change? */
bool reconfigure_is_request(struct slice frame);
/* Counts what the events of a step say. */
void reconfigure_note(struct world *world, const struct node *node, const struct event *event);

#endif

/* What a node says in its log: of the events of its core, and of frames that were refused, by it or by its peers. What
 * would come a thousand times over is said once, and then counted. */
#ifndef WW_NODE_LOG_H
#define WW_NODE_LOG_H

#include "../core/replica.h"

struct node_options;

/* Events that come by the thousand when a disk rots: the first is said at once, and those behind it are counted in a
 * line a second. */
enum { BURST_KINDS = 5 };

struct log_burst {
    uint64_t next_ns; /* when it may be said again */
    uint64_t count;   /* since it was last said */
    struct event last;
};

/* A node that is refused dials again, for ever: one line a minute for each node and reason. */
struct log_refusal {
    uint64_t node_id; /* 0: free */
    enum frame_verdict verdict;
    bool by_peer; /* it has refused a frame of this node */
    uint64_t first_ns;
    uint64_t last_ns;
    uint64_t next_ns; /* when it may be said again */
};

struct node_log {
    const struct node_options *options;
    const struct replica *replica;
    bool ready;         /* recovery is over */
    bool space_refused; /* a write found the store full */
    struct log_burst bursts[BURST_KINDS];
    struct log_refusal refusals[MEMBERS_MAX];
};

void node_log_events(struct node_log *log, const struct output *output, uint64_t now_ns);
/* Says what has been counted when its time has come; `last`: now. */
void node_log_turn(struct node_log *log, uint64_t now_ns, bool last);

/* The core refuses this frame. */
void node_log_refused(struct node_log *log, enum frame_verdict verdict, struct slice frame, const char *remote,
                      uint64_t now_ns);
/* A frame from a peer, if it is a refusal: what a peer holds against this node is the operator's first clue. */
void node_log_refusal(struct node_log *log, struct slice frame, const char *address, uint64_t now_ns);

/* Are more than half of the other voters of another cluster, and have said so for that long? */
bool node_log_is_foreign(const struct node_log *log, uint64_t duration_ns);

#endif

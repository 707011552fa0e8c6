/* The clients: what they ask, whom they ask, when they lose patience. They see nothing but their replies.
 *
 * Client states: IDLE thinks, or has nothing to do; WAITING has sent a request and waits for a reply or its patience;
 * PAUSING waits before it tries again; DONE will not call again.
 * A call keeps its (session, sequence) through all its retries. A client that abandons a call goes on with the next
 * sequence, and the checkers take the outcome as "may or may not take effect". */
#ifndef WW_WORKLOAD_H
#define WW_WORKLOAD_H

#include "network.h"
#include "reconfigure.h"
#include "saver.h"
#include "scene.h"

enum { CLIENT_KEY_BYTES_MAX = 256, CLIENT_VALUE_BYTES_MAX = 8192, CLIENT_FRAME_BYTES_MAX = 16384 };

enum client_state { CLIENT_IDLE, CLIENT_WAITING, CLIENT_PAUSING, CLIENT_DONE };

struct client {
    enum client_state state;
    bool stubborn;  /* does not follow hints */
    bool pinned;    /* asks one node only, whatever it says */
    uint32_t timer; /* generation; earlier timers are void */
    uint32_t node;  /* whom it believes to be the leader */
    uint32_t asked; /* whom it asked last for a local read */
    uint32_t call;  /* number of the current call */
    uint32_t attempts;
    uint32_t copies;    /* of its requests that ever entered the network */
    uint32_t answers;   /* to the current call, of any kind, since healing */
    uint64_t budget_ns; /* of the current call's attempts, each */
    uint64_t invoked_ns;
    uint32_t script;     /* the prober's progress */
    uint32_t begun;      /* calls, for a tracer... */
    uint32_t tried;      /* ... and attempts */
    uint64_t session;    /* 0: none */
    uint64_t sequence;   /* of the last write */
    uint64_t attempt_id; /* request id of the latest attempt */
    struct request request;
    uint64_t versions[KEYS_MAX]; /* last seen */
    uint8_t key_slot;
    uint8_t key[CLIENT_KEY_BYTES_MAX];
    uint8_t value[CLIENT_VALUE_BYTES_MAX];
};

struct workload {
    uint32_t calls;
    uint32_t open; /* calls without an outcome yet */
    struct client clients[CLIENT_SLOTS];
    struct saver savers[CLIENT_SLOTS];
    struct reconfigure reconfigure;
    uint8_t frame[CLIENT_FRAME_BYTES_MAX];
};

void workload_reset(struct workload *workload, struct scene *scene);
/* A client's timer went off. */
void workload_timer(struct workload *workload, struct scene *scene, struct network *network, uint32_t client,
                    uint32_t timer);
/* Bytes arrived for a client. */
void workload_receive(struct workload *workload, struct scene *scene, struct network *network, uint32_t client,
                      struct slice frame);
/* They were damaged on their way: no client may take them for a reply. */
void workload_receive_damaged(struct scene *scene, struct slice frame);
/* The liveness phase: clients finish what they have begun and start nothing; the prober sets out. */
void workload_heal(struct workload *workload, struct scene *scene);
/* All calls have an outcome, and the prober has written and read. */
bool workload_settled(const struct workload *workload);
/* Of the calls that were open before `since_ns` and still are: how many some node has answered since healing, if only
 * by turning them away. The first that none has goes to *unanswered, UINT32_MAX if there is no such call. */
uint32_t workload_answered(const struct workload *workload, uint64_t since_ns, uint32_t *unanswered);
/* After workload_close(): the prober reads a key at one node and no other, and tries until it is told. */
void workload_ask(struct workload *workload, struct scene *scene, struct network *network, uint32_t node,
                  enum request_kind kind, uint32_t key_slot);
bool workload_told(const struct workload *workload);
/* Gives up all open calls. */
void workload_close(struct workload *workload, struct scene *scene);

#endif

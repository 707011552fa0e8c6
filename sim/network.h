/* The network between nodes and clients: every directed link delays, loses, duplicates, reorders, damages, is cut or
 * clogged, as the schedule's parameters and its nemesis say. What travels are the real bytes. */
#ifndef WW_NETWORK_H
#define WW_NETWORK_H

#include "scene.h"

enum { PACKETS_MAX = 8192, PACKET_CLASSES = 8, PACKET_BYTES_MIN = 128, NETWORK_ARENA_BYTES = 8 * 1024 * 1024 };

struct packet {
    uint32_t offset; /* in the arena */
    uint32_t bytes;
    uint8_t from; /* endpoint */
    uint8_t to;
    uint8_t class;       /* room for PACKET_BYTES_MIN << class */
    bool damaged;        /* flipped, truncated or foreign: the receiver must notice */
    uint16_t next;       /* free list */
    uint32_t life;       /* of the node that it has reached, and waits in; 0: none yet */
    uint64_t arrived_ns; /* there, by the node's clock */
};

struct network {
    uint32_t heartbeat_bytes; /* an append request without entries */
    uint32_t packet_count;    /* ever used */
    uint32_t arena_used;
    uint16_t packet_free;                      /* 1 + slot, 0: none */
    uint32_t buffer_free[PACKET_CLASSES];      /* 1 + offset, 0: none */
    uint16_t cut[ENDPOINTS][ENDPOINTS];        /* bit per reason */
    uint64_t clogged_ns[ENDPOINTS][ENDPOINTS]; /* nothing arrives before */
    uint64_t delay_ns[ENDPOINTS][ENDPOINTS];
    uint8_t delay_kind[ENDPOINTS][ENDPOINTS];
    struct packet packets[PACKETS_MAX];
    uint8_t *arena;
};

/* Why a link is cut: the kinds of nemesis up to NEMESIS_CLIENTS, and of who stays outside when all is healed; plots. */
enum { CUT_OUTSIDER = NEMESIS_CLIENTS + 1, CUT_HUNT, CUT_HOLDER, CUTS };
const char *cut_text(uint32_t reason);

bool network_init(struct network *network);
void network_free(struct network *network);
void network_reset(struct network *network, struct scene *scene);
/* What is drawn from now on is drawn as after a replay: the kind of delays that a link was given is in no trace. */
void network_fork(struct network *network, const struct scene *scene);

/* Sends a frame; copies are queued as QUEUE_PACKET. Returns how many copies are under way. */
uint32_t network_send(struct network *network, struct scene *scene, uint32_t from, uint32_t to, struct slice frame);

/* The same, past all faults, whatever is cut: what was sent earlier and arrives only now. */
bool network_deliver(struct network *network, struct scene *scene, uint32_t from, uint32_t to, struct slice frame);

/* A packet that arrived: its bytes stay until it is released. */
struct slice network_bytes(const struct network *network, uint32_t slot);
void network_release(struct network *network, uint32_t slot);

void network_cut(struct network *network, const struct scene *scene, uint32_t from, uint32_t to, uint32_t reason);
void network_mend(struct network *network, const struct scene *scene, uint32_t reason);
void network_clog(struct network *network, const struct scene *scene, uint32_t from, uint32_t to, uint64_t until_ns);
/* From now on what is sent takes so much longer. */
void network_slow_down(struct network *network, uint32_t from, uint32_t to, uint64_t by_ns);
/* The liveness phase: all links whole, except for outsiders. */
void network_heal(struct network *network, const struct scene *scene);

#endif

/* A client that pulls the checkpoint of a node, as `raftctl snapshot save` does: with the frames of a peer, one
 * question at a time. What it is given must be what it asked for, and hash to what it was offered. It is never in a
 * hurry: when no answer comes, or another checkpoint is offered, it begins anew some day. */
#ifndef WW_SAVER_H
#define WW_SAVER_H

#include "../core/map.h"
#include "network.h"
#include "scene.h"

enum saver_state { SAVER_IDLE, SAVER_ASKS, SAVER_HASHES, SAVER_PAGES };

enum { SAVER_LEVELS_MAX = 4, SAVER_PAGES_MAX = 64 };

struct saver {
    enum saver_state state;
    uint32_t client;
    uint32_t node; /* that is asked */
    struct checkpoint_response target;
    uint32_t level;      /* HASHES: of the map block that is asked for */
    uint32_t at;         /* HASHES; PAGES: the first page asked for */
    uint32_t pages_left; /* PAGES: that no part of the answer has decided yet */
    uint32_t page_next;  /* PAGES: pages below are asked for */
    struct hash128 hashes[SAVER_LEVELS_MAX][SAVER_PAGES_MAX];
};

/* Begins, and forgets what it was about. */
void saver_begin(struct saver *saver, struct scene *scene, struct network *network, uint32_t client, uint32_t node);
/* A frame that is no reply arrived. */
void saver_receive(struct saver *saver, struct scene *scene, struct network *network, struct slice frame);

#endif

/* Getting a checkpoint from a peer by page difference (Raft 7, storage design 4.2): for a follower whose next entry the
 * leader's log no longer holds, for a node with damaged pages, and for one whose state differs from everybody else's.
 *
 * The puller's map says what it wants, and areas.wanted says what of it is not here yet:
 *
 *   a page (level 0) is wanted: its bytes with the hash in its entry are not on this disk
 *   a map block (level >= 1) is wanted: the hashes of its entries are not known; all others hash to their parent's
 *
 * So the same steps begin an install, go on after a disconnect, go over to another peer, and go over to a newer
 * checkpoint (then fewer pages differ than at first):
 *
 *   IDLE --wanted--> ASK --offer--> PULL --nothing wanted--> SWITCH --superblock durable--> store_load() --> IDLE
 *                    | ^             |  ^                      |
 *                    | +--no answer--+  +--not yet complete----+
 *                    +--in vain, and the own checkpoint and log do--> BACK --> store_load() --> IDLE
 *
 *   ASK     one peer after the other is asked what it has, in turn, whatever the leader offers unasked meanwhile; a
 *           leader that the configuration in use does not name yet is one of them, and while there is no other leader
 *           the last such node that asked for a vote. When the log is whole again before anybody offers anything,
 *           there is nothing left to ask for. After each round of them the own disk is asked once more for what it
 *           lost of the own checkpoint
 *   PULL    from the root down, level by level: the hashes of wanted map blocks; when all are known, wanted pages. In
 *           requests of bounded size, some at a time, at a bounded rate. Each answer is verified by the hash that its
 *           parent holds. A page goes to memory and to a free block; what the durable checkpoint uses is not touched.
 *           What memory holds already, since the log was applied beyond the own checkpoint, is not asked for; of the
 *           rest only the pieces that differ from what memory holds (pieces.h), whatever that is. If the page is not
 *           right with them, memory forgets it, and the next pass asks for all of it
 *   SWITCH  checkpoint.c writes the map and the superblock. Every so many pages it does so in the middle, too: entries
 *           with a hash and without a block are then wanted after a restart, and all else is kept. Not so while the own
 *           checkpoint and the log hold the target: then this node may be one of those that it was committed by, and a
 *           restart needs no install
 *   BACK    everybody has been asked, and nothing has come since: the target may be on no disk that answers, or members
 *           changed meanwhile and there is nobody else. Until a
 *           SWITCH names another one, the own checkpoint is whole on the own disk, and when the log behind it has come
 *           to hold all that was wanted, that is all that is needed; somebody else may be waiting for it, too. Memory
 *           is made what replica_init() leaves, in pieces, the checkpoint is loaded as at a start, and the log is
 *           applied to it again. What was pulled is lost. Nothing that the log holds is wanted again, so only a
 *           checkpoint beyond the log leads from there to another target
 *
 * What is wanted is gone through in passes. A pass in which the peer had nothing ends in ASK, with the next one; what
 * is lost on one disk may be good on another, so peers are asked for ever, at the pace of ASK. The question says which
 * checkpoint the map is aimed at, or is to be: what it holds is committed, so whoever has those entries may apply them,
 * and when its own checkpoint is older it makes a new one. So an install does not depend on the peer that it began
 * with, nor on the one that said what is wanted, nor on a marker that nobody can commit before it is over.
 *
 * The peer (install_serve.c) answers from its durable checkpoint while its own writer is idle, from memory where the
 * page has not changed since, else from disk; when that has lost it, only a new checkpoint has such a page again, and
 * it makes one. It holds back its own next marker for a while (install_lease_held()) as long as its log has room: not
 * more than half of its ring is used, nor of its table of slots.
 *
 * Frames of this file promise nothing, and whatever they say is verified by hashes. A question changes no term here: it
 * asks for what is committed, whoever leads, and its sender hears of later terms from that leader. An answer does (Raft
 * 3.3): what it holds may be of its term, and a superblock names no checkpoint of a term after its own.
 *
 * Invariants:
 *   an offer is taken only when its index is not below the own checkpoint's, nor, while the own state is trusted, below
 *   what is applied
 *   nothing is applied, served to clients or frozen from the first comparison until the load is over
 *   what is applied goes back only with the state, to the own checkpoint
 *   what this node holds whole, and so has acknowledged, it gives up only for what it holds whole, as long as no fault
 *   has taken some of it. For a part of a checkpoint beyond that it may: what made that committed is a majority without
 *   this node (Raft 5.4.2, 7)
 *   the map changes only while no page is being written; pages are taken only while no map block is wanted
 *   requests in flight, reads for peers in flight, and pages in an answer are bounded, and so is every step */
#ifndef WW_INSTALL_H
#define WW_INSTALL_H

#include "base.h"
#include "checkpoint.h"
#include "message.h"
#include "replica.h"

struct replica;

enum install_phase { INSTALL_IDLE, INSTALL_ASK, INSTALL_PULL, INSTALL_SWITCH, INSTALL_BACK };
enum { INSTALL_REQUESTS_MAX = 4, INSTALL_SERVES_MAX = 128, INSTALL_SERVE_READS_MAX = 8 };

/* A request in flight. */
struct install_request {
    uint64_t sent_ns; /* 0: free slot */
    uint32_t level;   /* 0: pages */
    uint32_t first;   /* level 0: lowest page asked for; else the map block */
    uint32_t left;    /* level 0: pages that no part of the answer has decided yet; else 1 */
    uint32_t zero;
};

/* Pages that came, in consecutive blocks, gathered in the slot's buffer in areas.data_runs until the run is full, or
 * nothing is on its way that could join them: a write costs much the same whatever its size. */
struct install_run {
    uint32_t first_block;
    uint32_t count; /* 0: free */
    bool in_flight;
    uint8_t zero[3];
};

/* Who pulls: a peer, or a client that saves the store as a file. It sends the same frames, from node 0. */
struct install_asker {
    uint64_t node;   /* 0: a client */
    uint64_t client; /* opaque */
};

/* A page that was asked for and that must be read first. */
struct install_serve {
    struct install_asker to;
    struct pieces_question question;
    uint32_t first; /* page of the request */
    uint32_t block; /* in flight: not 0 */
    bool used;
    uint8_t tries; /* reads of it that were wrong */
    uint8_t zero[2];
};

struct install {
    uint32_t phase;           /* enum install_phase */
    uint32_t asked_slot;      /* of the peer that was asked last, whoever offered since; MEMBERS_MAX: of no member */
    uint64_t source;          /* id of the peer that is pulled from, or was last; 0: none yet */
    uint64_t asker;           /* not IDLE: no member, and the last one of these that asked for a vote; 0: none */
    uint64_t index_min;       /* no checkpoint below it helps */
    struct log_id known;      /* committed: the latest entry that somebody said a checkpoint holds; 0.0: none */
    uint64_t applied_before;  /* when that went back: what is older is not shown again in this life */
    struct checkpoint target; /* root.block and root.checksum mean nothing */
    uint64_t asked_ns;        /* ASK: when the last one was asked */
    uint64_t heard_ns;        /* last useful answer */
    uint64_t tokens;          /* bytes that may still be asked for now */
    uint64_t tokens_ns;       /* when they were last counted */
    uint64_t tokens_due_ns;   /* when they suffice for what waits for them; 0: nothing does */
    uint32_t wanted_pages;    /* kept by map_set_wanted() */
    uint32_t pages_aimed;     /* the most that were wanted, once known, since the map was aimed at the target */
    uint32_t wanted_blocks;   /* map blocks */
    uint32_t scan_level;      /* the pass: what is wanted on this level, */
    uint32_t scan_next;       /* from here on, is still to be asked for; BACK: to be forgotten */
    bool scan_useful;         /* something came in this pass */
    bool distrusted;          /* the own checkpoint is whole, and not what the others have: it is for nobody */
    bool own_taken;           /* this pass has found what memory has of the wanted pages */
    uint8_t asked_count;      /* peers asked since what the own disk lost was last looked for there */
    uint32_t shunned; /* bit per slot: did not have what it offered, so its offers are not taken before it is asked */
    uint32_t pages_since_switch;
    uint32_t serves_used;  /* of the slots in `serves` */
    uint32_t asked_vainly; /* peers asked since something came, or since this began */
    uint64_t pages_pulled; /* in this life */
    uint64_t bytes_pulled; /* of all frames that this took, questions included */
    uint64_t served_ns;    /* a peer last asked this node for something */
    struct install_request requests[INSTALL_REQUESTS_MAX];
    struct install_run runs[CHECKPOINT_DEPTH_MAX];
    struct install_serve serves[INSTALL_SERVES_MAX];
};

/* The state must be replaced by a checkpoint at `index_min` or later: it is damaged, diverged, or far behind. `known`
 * is in such a checkpoint, here or somewhere. Whoever finds the state damaged or diverged has taken it out of
 * STORE_READY, and marked in the map what is wanted. */
void install_want(struct replica *replica, struct output *output, uint64_t index_min, struct log_id known);

/* May this node's checkpoint writer and store go on as usual? */
bool install_is_idle(const struct replica *replica);
/* Is what is applied as new as what was applied before the state went back? */
bool install_has_regained(const struct replica *replica);
/* Does somebody have it, and send it? */
bool install_is_coming(const struct replica *replica);
/* Is anything asked for, and not answered yet? */
bool install_is_awaited(const struct replica *replica);

/* Is nobody left to ask, nor will be again? */
bool install_nobody_left(const struct replica *replica);
/* This node asks for a vote. If the configuration in use does not name it, it may have what is asked for here. */
void install_meet(struct replica *replica, uint64_t node_id);
/* FRAME_CHECKPOINT_RESPONSE. */
void install_response(struct replica *replica, struct output *output, const struct message *message);
/* Sends what may be asked for or answered now. Called once per step. */
void install_flush(struct replica *replica, struct output *output);
uint64_t install_deadline(const struct replica *replica);

/* ---- install_back.c ---- */

/* The map was aimed at another checkpoint. Do the own one and the log behind it hold all up to this committed entry? */
bool install_own_holds(const struct replica *replica, struct log_id id);
/* May the own one be loaded instead, and the log be applied to it? */
bool install_may_go_back(const struct replica *replica);
/* The state goes back to what had applied up to index. Nobody is shown it before it is as new as it was. */
void install_apply_again(struct replica *replica, uint64_t index);
void install_back_begin(struct replica *replica);
/* Forgets a bounded part of what memory holds. True: memory is as replica_init() leaves it. */
bool install_back_step(struct replica *replica);

/* ---- install_take.c ---- */

/* The root of the map is to have this hash; what is below it is wanted where it differs. */
void install_take_root(struct replica *replica, struct hash128 hash);
/* Nothing is below this wanted map block any more: its hash is zero. */
void install_take_zeros(struct replica *replica, uint32_t level, uint32_t at);
/* The answers, whatever they hold: what is not wanted, or has another hash than the map says, changes nothing. */
void install_take_hashes(struct replica *replica, const struct checkpoint_response *response);
/* The wanted page, when memory holds those very bytes: the log was applied beyond the own checkpoint. */
enum install_own { INSTALL_OWN_TAKEN, INSTALL_OWN_OTHER, INSTALL_OWN_LATER };
enum install_own install_take_own(struct replica *replica, struct output *output, uint32_t page);
void install_take_pages(struct replica *replica, struct output *output, const struct checkpoint_response *response);
/* Pages that came are written in runs of so many, at most; runs that are not durable yet; pages that find room in those
 * that are not in flight. */
uint32_t install_run_pages_max(const struct replica *replica);
uint32_t install_runs_used(const struct replica *replica);
uint32_t install_runs_room(const struct replica *replica);
void install_runs_emit(struct replica *replica, struct output *output);
/* A run of pages is durable, or not. */
void install_written(struct replica *replica, struct output *output, const struct input *input);

/* ---- install_serve.c ---- */

/* FRAME_CHECKPOINT_REQUEST. client: where the answer goes when it is not from a node. */
void install_request(struct replica *replica, struct output *output, const struct message *message, uint64_t client);
/* A page read for whom asked. */
void install_serve_read(struct replica *replica, struct output *output, const struct input *input);
/* Starts reads for whom asked. Called once per step. */
void install_serve_flush(struct replica *replica, struct output *output);
/* Leader: tells the peer in `slot` that its next entry is only in the checkpoint. */
void install_offer(struct replica *replica, struct output *output, uint32_t slot);
/* Should this node not append the next marker yet, because a peer pulls from its checkpoint? */
bool install_lease_held(const struct replica *replica);

#endif

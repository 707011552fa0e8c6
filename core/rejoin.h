/* Who speaks for a node id, and how a node that lost its disk speaks again (Viewstamped Replication Revisited 4.3; Raft
 * has nothing on it).
 *
 * A data directory has an instance number, which travels in every frame. Every voter remembers, durably, the directory
 * that it knows of each other one (struct stored). The first one that it hears of is it. Only one that was formatted
 * for that purpose (INSTANCE_REJOIN) may take its place, and only if its number is larger, that is: if it is younger.
 * The directory that was replaced is refused, for ever. What the new one says counts once its number is durable here.
 * One that is refused stops, unless others listen to it and it held something when its life began: who listens to an
 * empty one has only not heard of the directory that was lost.
 *
 * Such a new directory stands for a node that has forgotten what it promised: in which terms it voted and confirmed
 * reads, and which entries it acknowledged.
 *
 *   ASKING --enough answers--> CATCHING_UP --all that the leader has is durable here--> WHOLE
 *
 * ASKING: its term is 0. It asks all other voters for their terms, and neither says nor hears anything else. An answer
 * leaves a voter when its disk holds its term and the new instance; one that is itself asking gives none. Enough have
 * answered when those who have not, this node included, are no majority: of 3 both others, of 5 three.
 *
 * CATCHING_UP: it is a follower, in the highest term of the answers, in which its vote counts as given. It gets log or
 * checkpoint as any other, and acknowledges what it has got. But it abstains (STORED_ABSTAIN): no vote, no campaign,
 * until it has matched the leader up to where that one's log went when it first heard it (append.c).
 *
 * Why that is enough. Any quorum with the lost directory in it has another voter in it, X, that has answered. What the
 * quorum achieved, a leader of term t or an entry committed in t, X had part in before it answered, or after.
 *
 * Before: X was in t then, so the term that is taken over is not below t. A leader of t or later has the entry, which
 * is in its log before anything that it sends to the new directory: abstention ends with it.
 *
 * After: X refuses the old directory. A late vote of that one may still reach a candidate that gave no answer; so a
 * vote says which directories its voter knows, and a candidate that learns of a younger one drops the old one's vote
 * (the crash vectors of Michael et al., Recovering Shared Objects Without Stable Storage, 2017).
 *
 * What the operator must know: a node counts as failed from the loss of its disk until it is WHOLE. While these and all
 * other failed nodes are a minority, nothing acknowledged is lost. If a majority has lost its disks, the rest is too
 * small to answer or to elect: nodes wait, and nothing is made up. The old directory must not run when the new one is
 * started; from when the new one is WHOLE every voter that knows it refuses the old one, and so many do that the old
 * one is in no quorum any more.
 *
 * Invariants:
 *   ASKING lasts until the term on the disk is not 0; till then no frame leaves but questions and refusals
 *   a member's number in stored.directories never falls; REJOIN implies ABSTAIN
 *
 * Whom it asks: at first the voters that it was formatted with; answers bring the configuration that their sender uses,
 * and the latest of these counts from then on (Raft 4.1). Of a joint one each half must be known by itself. That finds
 * every change before it can hide anything: it is committed by a majority of the configuration before it, which has an
 * answer from somebody in it; who took it over after the answer did so when the lost directory was refused already. */
#ifndef WW_REJOIN_H
#define WW_REJOIN_H

#include "base.h"
#include "message.h"
#include "replica.h"

struct replica;

struct rejoin {
    struct configuration latest; /* in an answer, or as formatted: these are asked */
    uint64_t term;               /* highest in an answer */
    uint64_t asked_ns;           /* when the others were last asked */
    uint32_t answered;           /* set of slots of `latest` */
    uint32_t owed; /* set of slots of the configuration in use: they ask, and are answered when the disk allows it */
    bool asked;
    uint8_t zero[7];
};

enum rejoin_state rejoin_state_of(const struct replica *replica);
/* Of that many other voters the terms must be known; in a joint configuration of more, perhaps. More than there are: it
 * never ends. */
uint32_t rejoin_answers_needed(const struct replica *replica);
uint32_t rejoin_answers(const struct replica *replica);

/* The start of a life: the superblock has been read. */
void rejoin_start(struct replica *replica, struct output *output);

/* Does this directory speak for the node? Remembers one that is new. Nodes that are no members are not remembered. */
enum frame_verdict rejoin_verdict(struct replica *replica, struct output *output, uint64_t node_id, uint64_t instance);
/* Does what the node says count now? */
bool rejoin_hears(const struct replica *replica, uint64_t node_id, enum frame_type type);
/* The directories that another voter knows, DIRECTORIES_MAX of them: those that rejoined take the place of older ones.
 */
void rejoin_learn(struct replica *replica, struct output *output, const struct directory *directories);

void rejoin_request(struct replica *replica, const struct message *message);
void rejoin_response(struct replica *replica, struct output *output, const struct message *message);
/* Sends what is to be asked and may be answered now. Called once per step. */
void rejoin_flush(struct replica *replica, struct output *output);
uint64_t rejoin_deadline(const struct replica *replica);

#endif

/* Frames between replicas: format, encoder, decoder.
 *
 *   frame = frame_header, body of a fixed size per type, for some followed by what they carry: entries, questions about
 *           pages, hashes, pages by pieces
 *
 * All integers little-endian. `checksum` is XXH3-64, seed 0, over everything behind itself. The decoder accepts any
 * bytes: it verifies size, checksum, version, type, cluster, fingerprint and every field's range before it returns
 * anything, and never reads past `count`.
 *
 * The same header opens client frames (request.h); `from` is 0 there. */
#ifndef WW_MESSAGE_H
#define WW_MESSAGE_H

#include "base.h"
#include "checksum.h"
#include "configuration.h"
#include "limits.h"
#include "pieces.h"

enum { WIRE_VERSION = 2 };

/* No cluster lives long enough for a larger term; what claims one is refused, so that a term can always be raised. */
#define TERM_MAX (UINT64_MAX / 2)

enum frame_type {
    FRAME_VOTE_REQUEST = 1,
    FRAME_VOTE_RESPONSE = 2,
    FRAME_APPEND_REQUEST = 3,
    FRAME_APPEND_RESPONSE = 4,
    FRAME_REFUSAL = 5,
    FRAME_CHECKPOINT_REQUEST = 6,
    FRAME_CHECKPOINT_RESPONSE = 7,
    FRAME_REPAIR_REQUEST = 8,
    FRAME_REPAIR_RESPONSE = 9,
    FRAME_TIMEOUT_NOW = 10,
    FRAME_REJOIN_REQUEST = 11, /* no body: the sender's disk was replaced; what may it have promised? */
    FRAME_REJOIN_RESPONSE = 12,
    FRAME_READ_INDEX_REQUEST = 13,
    FRAME_READ_INDEX_RESPONSE = 14,
    FRAME_CLIENT_REQUEST = 16,
    FRAME_CLIENT_REPLY = 17,
};
enum { FRAME_PEER_LAST = FRAME_READ_INDEX_RESPONSE };

struct frame_header {
    uint64_t checksum;
    uint32_t frame_bytes; /* the whole frame, this header included */
    uint16_t type;        /* enum frame_type */
    uint16_t version;     /* WIRE_VERSION */
    uint64_t cluster_id;  /* client frames: 0 means any */
    uint64_t fingerprint; /* limits_fingerprint(); client frames: 0 */
    uint64_t from;        /* node id; 0: a client */
    uint64_t to;          /* node id; 0: a client, or any node */
    uint64_t instance;    /* the sender's data directory, drawn at format; client frames: request id */
    uint64_t term;        /* the sender's current term; requests of clients: their budget_ns (request.h); replies: 0 */
};
STATIC_ASSERT(sizeof(struct frame_header) == 64, "no padding");

enum frame_verdict {
    FRAME_OK,
    FRAME_SHORT,    /* fewer bytes than a header, or than frame_bytes says: read on */
    FRAME_BAD_SIZE, /* frame_bytes out of range */
    FRAME_BAD_CHECKSUM,
    FRAME_BAD_VERSION,
    FRAME_BAD_TYPE,
    FRAME_BAD_BODY, /* a field out of range */
    FRAME_WRONG_CLUSTER,
    FRAME_WRONG_FINGERPRINT, /* the peer runs with other limits */
    FRAME_WRONG_NODE,        /* addressed to another node, or from none */
    FRAME_DUPLICATE_NODE,    /* another data directory already speaks for this node id */
    FRAME_REMOVED,           /* the sender is no member of the committed configuration, nor of a later one known here */
    FRAME_REPLACED_NODE,     /* a younger data directory has rejoined under this node id */
};

/* A sentence for logs and errors. */
const char *frame_verdict_text(enum frame_verdict verdict);

/* How long the frame at `bytes` claims to be. FRAME_SHORT with less than a header; FRAME_BAD_SIZE when the claim is
 * below a header or above frame_bytes_max; else FRAME_OK and *frame_bytes. Used by drivers to cut a stream. */
enum frame_verdict frame_size(struct slice bytes, uint32_t frame_bytes_max, uint32_t *frame_bytes);

/* Raft 3.4, 9.6 (PreVote). With `pre`, nothing is promised: `term` is the term the candidate would campaign in and
 * the header carries its current term. */
struct vote_request {
    struct log_id last; /* the candidate's last log entry */
    uint64_t term;      /* the term asked for */
    bool pre;
    bool transfer; /* Raft 3.10: its leader told it to campaign, so that hearing from that leader is no reason to refuse
                    */
};

struct vote_response {
    uint64_t term; /* the term that was asked for, so that a pre-candidate can match it (header: the voter's term) */
    bool pre;
    bool granted;
    struct directory directories[DIRECTORIES_MAX]; /* those that the voter knows (rejoin.h) */
};
/* No frame of an election is larger. */
enum { MESSAGE_VOTE_BYTES = 512 };

/* A checkpoint that is durable on its sender: equal on all replicas, or one of them is wrong (diverge.c). */
struct checkpoint_mark {
    uint64_t index; /* 0: none */
    struct hash128 hash;
};

/* Raft 3.5. Empty `entries` is the heartbeat. */
struct append_request {
    struct log_id prev;
    uint64_t commit;  /* the leader's commit index */
    uint64_t round;   /* ReadIndex round (Raft 6.4); echoed; grows within a term */
    uint64_t sent_ns; /* by the leader's clock: what the receiver promises counts from it (Raft 6.4.1) */
    uint64_t echo;    /* the nonce that the receiver sent last: this request is younger than that (CTRL 3.3) */
    uint64_t last;    /* the leader's last index: who does not know what it promised waits until it has that */
    struct checkpoint_mark agreed; /* what a majority has at the index of the leader's checkpoint; no hash: nothing */
    uint32_t entry_count;
    struct slice entries; /* entry_count entries, as stored in the WAL; see entry.h */
};

struct append_response {
    uint64_t match; /* success: highest index known durable here and equal to the leader's log */
    uint64_t round; /* highest round of this term seen from this leader */
    uint64_t
        promised_ns;    /* by this leader's clock: until then it is not deposed by this voter (read.h); 0: it may be */
    struct log_id hint; /* rejection: last entry here with a term not above prev.term; where the logs may agree */
    uint64_t rejected;  /* the prev.index that did not match; 0 means success */
    struct checkpoint_mark checkpoint;
    uint64_t nonce;   /* not 0: this node does not know what it promised, and waits for its echo */
    uint64_t damaged; /* lowest entry here whose bytes are lost: send it again (CTRL 3.4.2); 0: none */
};

/* "I will not talk with you": why the receiver of a frame refused its sender. Carries no term, changes no state. */
struct refusal {
    enum frame_verdict reason;
    struct log_id commit; /* REMOVED: the last entry known here to be committed; else 0.0 */
    uint64_t instance;    /* whose frame it was */
};

/* The header's term: all that the sender took part in with the lost directory was in that term or before (rejoin.h). */
struct rejoin_response {
    uint64_t instance;    /* that asked */
    struct log_id id;     /* of the configuration that the sender uses */
    struct slice members; /* of it, as configuration_encode() writes them */
};

/* Getting a checkpoint by page difference (Raft 7; install.h). Promises nothing, in any term. What a kind of question
 * or answer does not name is zero. */
enum checkpoint_ask {
    CHECKPOINT_ASK_OFFER = 1, /* what have you? */
    CHECKPOINT_ASK_HASHES,    /* the hashes of the entries in map block (level, at) */
    CHECKPOINT_ASK_PAGES,     /* these pages, as far as they differ from what the asker has */
};

struct checkpoint_request {
    enum checkpoint_ask ask;
    struct hash128 checkpoint; /* HASHES, PAGES: of which */
    struct log_id id;   /* OFFER: of the latest checkpoint that the asker has, in part, as its aim, or knows of */
    uint32_t level;     /* HASHES: at least 1 */
    uint32_t at;        /* HASHES */
    uint32_t count;     /* PAGES: at least 1 */
    struct slice pages; /* count struct pieces_question, their pages ascending */
};

/* An OFFER may come unasked: from a leader whose log no longer holds what the receiver lacks. It also answers a request
 * for a checkpoint that is gone. A request for pages may be answered in parts: each decides `count` of them. */
struct checkpoint_response {
    enum checkpoint_ask ask;   /* what this answers */
    struct hash128 checkpoint; /* the hash that names it */
    struct log_id id;          /* OFFER: its last entry; index 0: nothing to offer now */
    struct hash128 root_hash;  /* OFFER: of its page map */
    bool leader;               /* OFFER: the receiver's next entry is in it, and not in the leader's log */
    uint32_t level;            /* HASHES: at least 1 */
    uint32_t at;               /* HASHES; PAGES: the first page of the request */
    uint32_t count;            /* HASHES: of hashes; PAGES: of pages that this part decides; at least 1 */
    uint32_t page_count;       /* PAGES: of them here, the others are damaged at the sender */
    uint32_t page_bytes;       /* PAGES: of one; a multiple of PIECES, not 0 */
    struct slice payload;      /* HASHES: count struct hash128. PAGES: page_count answers, see pieces.h, their pages
                                  ascending */
};

/* CTRL 3.4.3: a leader lost the bytes of an entry, and asks what became of it. */
struct repair_request {
    struct log_id id;
};

enum repair_verdict {
    REPAIR_HAVE = 1,
    REPAIR_DONT_HAVE,   /* the log here holds another entry there, or ends before it */
    REPAIR_HAVE_FAULTY, /* known by name only, or not known for certain */
    REPAIR_IN_CHECKPOINT,
};

struct repair_response {
    struct log_id id;
    enum repair_verdict verdict;
    struct slice entry; /* HAVE: as stored in the WAL; else empty */
};

/* Raft 6.4: what must be applied before reads that wait at the sender may be answered? */
struct read_index_request {
    uint64_t number; /* names the question; not 0 */
};

struct read_index_response {
    uint64_t number; /* of the question */
    uint64_t index;  /* holds all that was committed when the question arrived; 0: the sender cannot tell now */
};

struct message {
    enum frame_type type;
    uint64_t from;
    uint64_t to;
    uint64_t instance;
    uint64_t term;
    union {
        struct vote_request vote_request;
        struct vote_response vote_response;
        struct append_request append_request;
        struct append_response append_response;
        struct refusal refusal;
        struct repair_request repair_request;
        struct repair_response repair_response;
        struct rejoin_response rejoin_response;
        struct read_index_request read_index_request;
        struct read_index_response read_index_response;
        struct checkpoint_request checkpoint_request;
        struct checkpoint_response checkpoint_response;
    };
};

/* Whom to believe: this node's side of the checks that a decoder makes. */
struct frame_context {
    uint64_t cluster_id;
    uint64_t fingerprint;
    uint32_t frame_bytes_max;
    uint32_t zero; /* part of a replica's state, which has no padding */
};

/* The shared part of every codec: size, checksum and version of exactly one whole frame; and its inverse, which writes
 * the header before a body that is already in place. */
enum frame_verdict frame_header_decode(struct slice bytes, uint32_t frame_bytes_max, struct frame_header *header);
void frame_seal(const struct frame_header *header, uint8_t *to);

/* Bytes of an append request with that many bytes of entries. The entries begin message_append_bytes(0) into the frame:
 * a sender may gather them there and let append_request.entries point at them. */
uint32_t message_append_bytes(uint32_t entries_bytes);

/* The same for a checkpoint response and its payload, which a sender may gather in place, too. */
uint32_t message_checkpoint_bytes(uint32_t payload_bytes);
/* Pages in the largest frame that answers with pages, whatever the asker has; a frame that asks for them is smaller. */
uint32_t message_pages_max(uint32_t frame_bytes_max, uint32_t page_bytes);

/* Bytes that message_encode() will write. */
uint32_t message_bytes(const struct message *message);

/* Writes the frame to `to`, which has room for message_bytes(). Entries, questions and payloads are copied from
 * where the message's slice points, unless they are in place already. */
void message_encode(const struct message *message, const struct frame_context *context, uint8_t *to);

/* Decodes exactly one whole frame. On FRAME_OK *message is complete, its slices borrow from `bytes`, and each entry's
 * header, question and page has been checked to lie inside. On anything else *message has from and to if the
 * checksum was good. */
enum frame_verdict message_decode(struct slice bytes, const struct frame_context *context, struct message *message);

#endif

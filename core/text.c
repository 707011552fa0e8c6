/* The names of roles, events and stop reasons, as logs and transcripts print them. */
#include "replica.h"

const char *raft_role_text(enum raft_role role)
{
    switch (role) {
    case RAFT_STARTING: return "starting";
    case RAFT_FOLLOWER: return "follower";
    case RAFT_PRE_CANDIDATE: return "pre-candidate";
    case RAFT_CANDIDATE: return "candidate";
    case RAFT_LEADER: return "leader";
    case RAFT_STOPPED: return "stopped";
    }
    return "unknown role";
}

const char *stop_reason_text(enum stop_reason reason)
{
    switch (reason) {
    case STOP_WRITE_FAILED: return "a durable write failed";
    case STOP_NO_SUPERBLOCK:
        return "no two superblock copies agree: the promises of this node are lost, "
               "remove the data directory and start with --rejoin";
    case STOP_WRONG_CLUSTER: return "the data belongs to another cluster";
    case STOP_WRONG_NODE: return "the data belongs to another node";
    case STOP_WRONG_VERSION: return "the data has another format version";
    case STOP_WRONG_GEOMETRY: return "the data was formatted with other block or ring sizes";
    case STOP_WAL_DAMAGED: return "a durable log entry cannot be read";
    case STOP_WAL_FULL: return "the log is full";
    case STOP_DIVERGED: return "the replicas' states differ and no majority agrees";
    case STOP_DATA_DAMAGED: return "the checkpoint cannot be read, and there is no peer to get it from";
    case STOP_MEMORY_DAMAGED: return "a block of the map is damaged in memory and on the disk";
    case STOP_REMOVED: return "this node has been removed from the cluster";
    case STOP_DUPLICATE_NODE:
        return "another data directory already uses this node id; if that one is lost for good, "
               "remove this one and start with --rejoin";
    case STOP_REPLACED_NODE:
        return "a younger data directory has rejoined under this node id: this one must not be used any more";
    }
    return "unknown reason";
}

const char *rejoin_state_text(enum rejoin_state state)
{
    switch (state) {
    case REJOIN_WHOLE: return "whole";
    case REJOIN_ASKING: return "asking";
    case REJOIN_CATCHING_UP: return "catching-up";
    }
    return "unknown state";
}

const char *event_kind_text(enum event_kind kind)
{
    switch (kind) {
    case EVENT_ROLE: return "role";
    case EVENT_TERM: return "term";
    case EVENT_VOTE: return "vote";
    case EVENT_HARD_STATE: return "hard-state";
    case EVENT_APPEND: return "append";
    case EVENT_TRUNCATE: return "truncate";
    case EVENT_DURABLE: return "durable";
    case EVENT_COMMIT: return "commit";
    case EVENT_APPLY: return "apply";
    case EVENT_EXECUTED: return "executed";
    case EVENT_SESSION_EVICTED: return "session-evicted";
    case EVENT_READ_ROUND: return "read-round";
    case EVENT_READ_SERVED: return "read-served";
    case EVENT_APPEND_REJECTED: return "append-rejected";
    case EVENT_IMPOSSIBLE: return "impossible";
    case EVENT_QUORUM_LOST: return "quorum-lost";
    case EVENT_RECOVERED: return "recovered";
    case EVENT_TAIL_CUT: return "tail-cut";
    case EVENT_SUPERBLOCK_REPAIR: return "superblock-repair";
    case EVENT_READ_RETRIED: return "read-retried";
    case EVENT_INSTALL: return "install";
    case EVENT_INSTALL_PAGES: return "install-pages";
    case EVENT_INSTALL_PATCHED: return "install-patched";
    case EVENT_INSTALL_UNFIT: return "install-unfit";
    case EVENT_INSTALL_RETARGET: return "install-retarget";
    case EVENT_INSTALL_DONE: return "install-done";
    case EVENT_OFFER: return "offer";
    case EVENT_BATCH_DAMAGED: return "batch-damaged";
    case EVENT_ABSTAIN: return "abstain";
    case EVENT_ABSTAIN_OVER: return "abstain-over";
    case EVENT_REJOIN: return "rejoin";
    case EVENT_REJOIN_KNOWN: return "rejoin-known";
    case EVENT_REJOINED: return "rejoined";
    case EVENT_REPLACED: return "replaced";
    case EVENT_SCRUB_MENDED: return "scrub-mended";
    case EVENT_MEMORY_MENDED: return "memory-mended";
    case EVENT_SCRUBBED: return "scrubbed";
    case EVENT_DIVERGED: return "diverged";
    case EVENT_DIFFERS: return "differs";
    case EVENT_DOUBT: return "doubt";
    case EVENT_UNRECOVERABLE: return "unrecoverable";
    case EVENT_LED_IN_VAIN: return "led-in-vain";
    case EVENT_ENTRY_REPAIRED: return "entry-repaired";
    case EVENT_BUSY: return "busy";
    case EVENT_CHECKPOINT_RELIEF: return "checkpoint-relief";
    case EVENT_CHECKPOINT_RENEW: return "checkpoint-renew";
    case EVENT_CHECKPOINT_FROZEN: return "checkpoint-frozen";
    case EVENT_CHECKPOINT: return "checkpoint";
    case EVENT_STORE_LOADED: return "store-loaded";
    case EVENT_CONFIGURATION: return "configuration";
    case EVENT_PAGE_DAMAGED: return "page-damaged";
    case EVENT_LEASE_READ: return "lease-read";
    case EVENT_READ_ASKED: return "read-asked";
    case EVENT_READ_INDEX: return "read-index";
    case EVENT_FOLLOWER_READ: return "follower-read";
    case EVENT_BOUNDED_READ: return "bounded-read";
    case EVENT_STALE_READ: return "stale-read";
    case EVENT_TRANSFER: return "transfer";
    case EVENT_PEER: return "peer";
    case EVENT_LATE: return "late";
    case EVENT_DISK_STALLED: return "disk-stalled";
    case EVENT_KINDS: break;
    }
    return "unknown event";
}

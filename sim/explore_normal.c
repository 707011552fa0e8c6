/* What of a node has no meaning, and is taken out before its state is kept. */
#include "explore_life.h"

/* What has no meaning must not tell states apart. Times and the generator: see the header. The buffers of writes that
 * are not in flight, and the mirror of the log outside of it, of which replica_digest() takes no notice either. */
static void normalise_time(struct node_machine *machine, struct replica *replica)
{
    prng_seed(&replica->prng, 1);
    replica->election_deadline_ns = UINT64_MAX;
    replica->heartbeat_deadline_ns = UINT64_MAX;
    replica->leader_heard_ns = CLOCK_NS;
    if (replica->tell_ns != 0)
        replica->tell_ns = UINT64_MAX;
    if (!machine->options.check_quorum)
        replica->leader_heard = false;
}

static void normalise_buffers(struct node_machine *machine, struct replica *replica)
{
    const uint64_t ring = wal_ring_bytes(&machine->limits);
    const uint64_t open = replica->wal.open_count > 0 ? sizeof(struct wal_batch_header) + replica->wal.open_bytes : 0;
    /* Until a superblock with another head is durable, the log begins where the old one says. */
    const uint64_t head = u64_min(replica->superblock.durable.head.lsn, replica->stored.head.lsn);
    const uint64_t end = u64_max(replica->wal.tail + open, replica->stored.head.lsn);
    if (replica->superblock.due == 0)
        memset(region_at(replica, replica->areas.wal_superblock), 0, limits_superblock_bytes(&machine->limits));
    if (!replica->wal.name_busy)
        memset(region_at(replica, replica->areas.wal_name), 0, machine->limits.block_bytes);
    for (uint64_t lsn = end; lsn < head + ring; lsn = (lsn / 8 + 1) * 8)
        memset(wal_mirror(replica, lsn), 0, (size_t)((lsn / 8 + 1) * 8 - lsn));
    /* Batches that no name will name again (wal_name_fill()), and what recovery knew. */
    const uint64_t kept = u32_min(wal_names_max(machine->limits.block_bytes), WAL_NAMES_KEPT);
    for (uint64_t ordinal = 0; ordinal + kept < replica->wal.durable; ordinal++)
        memset(&replica->wal.batches[ordinal % WAL_BATCHES_MAX], 0, sizeof replica->wal.batches[0]);
    memset(replica->recovery.superblocks, 0, sizeof replica->recovery.superblocks);
    memset(replica->recovery.named, 0, sizeof replica->recovery.named);
}

/* What belongs to a role that the node has not: it begins anew with the next such role (replicate_become_leader(),
 * election_campaign()). What is owed to nobody. And what bounded reads would need, which nobody asks here. */
static void normalise_roles(struct node_machine *machine, struct replica *replica)
{
    const uint64_t inflight_bytes = (uint64_t)MEMBERS_MAX * machine->limits.inflight_max * sizeof(struct inflight);
    if (replica->role != RAFT_CANDIDATE)
        replica->votes = 0;
    if (replica->role != RAFT_PRE_CANDIDATE)
        replica->pre_votes = 0;
    if (replica->owed.vote_to == 0) {
        replica->owed.vote_term = 0;
        replica->owed.vote_pre = false;
        replica->owed.vote_granted = false;
    }
    replica->fresh = (struct read_fresh){ .index = 0 };
    if (replica->role == RAFT_LEADER)
        return;
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++)
        replica->peers[slot] = (struct peer){ .checkpoint = replica->peers[slot].checkpoint };
    memset(region_at(replica, replica->areas.inflight), 0, inflight_bytes);
}

/* In which order a node heard of the others means nothing, while all of them have room. */
static void sort_directories(struct directory *directories)
{
    for (uint32_t i = 1; i < DIRECTORIES_MAX; i++) {
        const struct directory moved = directories[i];
        uint32_t at = i;
        for (; at > 0 && directories[at - 1].node_id > moved.node_id; at--)
            directories[at] = directories[at - 1];
        directories[at] = moved;
    }
}

void frame_normalise(const struct node_machine *machine, uint8_t *frame, uint32_t bytes)
{
    struct message message;
    const struct frame_context context = { .cluster_id = node_cluster_id(),
                                           .fingerprint = limits_fingerprint(&machine->limits),
                                           .frame_bytes_max = machine->limits.frame_bytes_max };
    if (machine->options.raw
        || message_decode((struct slice){ .bytes = frame, .count = bytes }, &context, &message) != FRAME_OK
        || message.type != FRAME_VOTE_RESPONSE)
        return;
    sort_directories(message.vote_response.directories);
    ASSERT(message_bytes(&message) == bytes);
    message_encode(&message, &context, frame);
}

/* How often a superblock was written, and what was in it before, means nothing: only what lies in the copies, and the
 * one that is being written, is ever compared (superblock_choose()). So when all copies hold the same, that becomes one
 * that was formatted with what it holds, and the one in flight its child. */
static void normalise_superblock(struct node_machine *machine, struct replica *replica)
{
    struct superblock_writer *writer = &replica->superblock;
    struct life *life = &machine->life;
    const uint32_t bytes = limits_superblock_bytes(&machine->limits);
    const uint32_t all = (1U << SUPERBLOCK_COPIES) - 1;
    uint8_t *first = disk_at(machine, life, DEVICE_WAL, superblock_offset(&machine->limits, 0));
    struct superblock superblock;
    for (uint32_t i = 1; i < SUPERBLOCK_COPIES; i++) {
        if (memcmp(first, life->disk + superblock_offset(&machine->limits, i), bytes) != 0)
            return;
    }
    if ((writer->due != 0 && writer->due != all)
        || !superblock_decode((struct slice){ .bytes = first, .count = bytes }, &superblock))
        return;
    sort_directories(superblock.stored.directories);
    sort_directories(replica->stored.directories);
    sort_directories(writer->durable.directories);
    sort_directories(writer->writing.directories);
    struct superblock_writer again = { .sequence = 1, .instance = writer->instance, .writing = superblock.stored };
    superblock_fill(&machine->limits, &replica->config, &again, first);
    for (uint32_t i = 1; i < SUPERBLOCK_COPIES; i++)
        memcpy(life->disk + superblock_offset(&machine->limits, i), first, bytes);
    if (writer->due != 0) {
        uint8_t *copy = region_at(replica, replica->areas.wal_superblock);
        again.sequence = 2;
        again.writing = writer->writing;
        superblock_fill(&machine->limits, &replica->config, &again, copy);
        for (uint32_t i = 0; i < life->write_count; i++) {
            if (wal_operation_of(life->writes[i].write.op_id) == WAL_WRITE_SUPERBLOCK)
                memcpy(life->writes[i].bytes, copy, bytes);
        }
    }
    writer->writing = again.writing;
    writer->hash = again.hash;
    writer->sequence = again.sequence;
}

void machine_normalise(struct node_machine *machine)
{
    struct replica *replica = (struct replica *)(void *)machine->life.region;
    normalise_time(machine, replica);
    if (machine->options.raw || replica->recovery.phase != RECOVERY_DONE)
        return;
    normalise_buffers(machine, replica);
    normalise_roles(machine, replica);
    normalise_superblock(machine, replica);
}

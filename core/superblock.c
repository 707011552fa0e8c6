/* The superblock: what a node must never forget, and who it is (storage design 2.7). */
#include "inspect.h"
#include "state.h"

uint64_t superblock_offset(const struct limits *limits, uint32_t copy)
{
    ASSERT(copy < SUPERBLOCK_COPIES);
    return (uint64_t)copy * limits->superblock_stride_blocks * limits->block_bytes;
}

void superblock_fill(const struct limits *limits, const struct replica_config *config, struct superblock_writer *writer,
                     uint8_t *copy)
{
    struct superblock superblock = {
        .parent = writer->hash,
        .magic = SUPERBLOCK_MAGIC,
        .version = STORED_VERSION,
        .blocks = (uint16_t)(limits_superblock_bytes(limits) / limits->block_bytes),
        .cluster_id = config->cluster_id,
        .node_id = config->node_id,
        .instance = writer->instance,
        .sequence = writer->sequence,
        .block_bytes = limits->block_bytes,
        .superblock_stride_blocks = limits->superblock_stride_blocks,
        .wal_header_blocks = limits->wal_header_blocks,
        .wal_body_blocks = limits->wal_body_blocks,
        .wal_batch_bytes_max = limits->wal_batch_bytes_max,
        .page_bytes = limits->page_bytes,
        .pages_max = limits->pages_max,
        .data_blocks = limits->data_blocks,
        .stored = writer->writing,
    };
    const uint32_t bytes = limits_superblock_bytes(limits);
    memcpy(copy, &superblock, sizeof superblock);
    memset(copy + sizeof superblock, 0, bytes - sizeof superblock);
    superblock_seal(copy, bytes);
    memcpy(&writer->hash, copy, sizeof writer->hash);
}

void superblock_renew(struct replica *replica)
{
    struct superblock_writer *writer = &replica->superblock;
    ASSERT(writer->due == 0 && writer->in_flight == 0);
    writer->writing = replica->stored;
    writer->sequence++;
    writer->due = (1u << SUPERBLOCK_COPIES) - 1;
    superblock_fill(&replica->limits, &replica->config, writer, region_at(replica, replica->areas.wal_superblock));
}

void superblock_format(const struct limits *limits, const struct replica_config *config, uint64_t instance,
                       const struct stored *stored, uint8_t *copy)
{
    ASSERT(limits_problem(limits) == NULL);
    ASSERT(replica_config_problem(config) == NULL);
    ASSERT(configuration_problem(&stored->members.latest) == NULL);
    ASSERT(configuration_bytes(&stored->members.latest) <= limits->members_max * sizeof(struct member));
    ASSERT(instance != 0);
    struct superblock_writer writer = { .sequence = 1, .instance = instance, .writing = *stored };
    if ((instance & INSTANCE_REJOIN) != 0)
        writer.writing.flags |= STORED_REJOIN | STORED_ABSTAIN;
    superblock_fill(limits, config, &writer, copy);
}

void replica_format(const struct limits *limits, const struct replica_config *config,
                    const struct configuration *configuration, uint64_t instance, uint8_t *copy)
{
    const struct stored stored = { .members = { .latest = *configuration, .previous = *configuration } };
    superblock_format(limits, config, instance, &stored, copy);
}

bool superblock_summarize(struct slice copy, struct superblock_summary *summary)
{
    struct superblock superblock;
    if (!superblock_decode(copy, &superblock))
        return false;
    *summary = (struct superblock_summary){
        .cluster_id = superblock.cluster_id,
        .node_id = superblock.node_id,
        .version = superblock.version,
        .block_bytes = superblock.block_bytes,
        .superblock_stride_blocks = superblock.superblock_stride_blocks,
        .wal_header_blocks = superblock.wal_header_blocks,
        .wal_body_blocks = superblock.wal_body_blocks,
        .page_bytes = superblock.page_bytes,
        .pages_max = superblock.pages_max,
        .data_blocks = superblock.data_blocks,
    };
    if (superblock.version == STORED_VERSION)
        summary->configuration = superblock.stored.members.latest;
    return true;
}

bool superblock_inspect(struct slice copy, const struct replica_config *config, struct superblock_view *view)
{
    struct superblock superblock;
    if (!superblock_decode(copy, &superblock) || superblock.version != STORED_VERSION)
        return false;
    if (superblock.cluster_id != config->cluster_id || superblock.node_id != config->node_id)
        return false;
    *view = (struct superblock_view){
        .sequence = superblock.sequence,
        .instance = superblock.instance,
        .hash = superblock.hash,
        .parent = superblock.parent,
        .stored = superblock.stored,
    };
    return true;
}

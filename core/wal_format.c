/* Sealing and verifying what lies on device 0. Nothing here knows a replica. */
#include "wal_format.h"

#include "entry.h"
#include "message.h"

/* Bytes of another cluster or of another place must fail: both go into the seed. */
static uint64_t place_seed(uint64_t cluster_id, uint64_t place)
{
    return cluster_id ^ ((place + 1) * 0x9e3779b97f4a7c15ULL);
}

static struct hash128 batch_header_hash(const struct wal_batch_header *header, uint64_t cluster_id)
{
    const size_t skip = sizeof header->hash;
    return checksum128((const uint8_t *)header + skip, sizeof *header - skip, place_seed(cluster_id, header->lsn));
}

void wal_batch_seal(uint8_t *run, uint64_t cluster_id)
{
    struct wal_batch_header header;
    memcpy(&header, run, sizeof header);
    ASSERT(header.magic == WAL_BATCH_MAGIC);
    ASSERT(header.run_bytes >= sizeof header + header.body_bytes);
    const uint64_t seed = place_seed(cluster_id, header.lsn);
    header.body_hash = checksum128(run + sizeof header, header.run_bytes - sizeof header, seed);
    header.hash = batch_header_hash(&header, cluster_id);
    memcpy(run, &header, sizeof header);
}

/* What a hash cannot say: a header that was written by something else than this code. */
static bool batch_header_sane(const struct wal_batch_header *header)
{
    if (header->sequence == 0 || header->sequence > SEQUENCE_MAX || header->durable_sequence >= header->sequence)
        return false;
    if (header->term > TERM_MAX || header->entry_term > header->term || header->prev_entry_term > TERM_MAX)
        return false;
    if (header->first_index > INDEX_MAX || header->prev_first_index > INDEX_MAX || header->lsn > LSN_MAX)
        return false;
    if (header->run_bytes < sizeof *header || header->body_bytes > header->run_bytes - sizeof *header)
        return false;
    if (header->prev_bytes > header->lsn)
        return false;
    if (header->kind == WAL_BATCH_CUT)
        return header->entry_count == 0;
    return (wal_batch_appends(header->kind) || header->kind == WAL_BATCH_REPAIR) && header->entry_count > 0
           && header->first_index > 0;
}

static bool batch_header_intact(const struct wal_batch_header *header, uint64_t cluster_id)
{
    if (header->magic != WAL_BATCH_MAGIC || header->version != STORED_VERSION)
        return false;
    return hash128_equal(header->hash, batch_header_hash(header, cluster_id)) && batch_header_sane(header);
}

bool wal_batch_header_decode(struct slice bytes, uint64_t cluster_id, uint64_t lsn, struct wal_batch_header *header)
{
    if (bytes.count < sizeof *header)
        return false;
    memcpy(header, bytes.bytes, sizeof *header);
    return header->lsn == lsn && batch_header_intact(header, cluster_id);
}

bool wal_batch_body_valid(const struct wal_batch_header *header, uint64_t cluster_id, const uint8_t *run)
{
    const uint8_t *body = run + sizeof *header;
    const struct hash128 hash =
        checksum128(body, header->run_bytes - sizeof *header, place_seed(cluster_id, header->lsn));
    if (!hash128_equal(hash, header->body_hash))
        return false;
    uint32_t offset = 0;
    for (uint32_t i = 0; i < header->entry_count; i++) {
        struct entry entry;
        const uint32_t bytes =
            entry_decode((struct slice){ .bytes = body + offset, .count = header->body_bytes - offset }, &entry);
        if (bytes == 0 || entry.id.index != header->first_index + i || entry.id.term != header->entry_term)
            return false;
        const bool config = header->kind == WAL_BATCH_CONFIG && i == header->entry_count - 1;
        if (header->kind != WAL_BATCH_REPAIR && (entry.kind == ENTRY_CONFIG) != config)
            return false;
        offset += bytes;
    }
    return offset == header->body_bytes;
}

static struct hash128 block_hash(const uint8_t *block, uint32_t block_bytes, uint64_t seed)
{
    const uint32_t skip = (uint32_t)sizeof(struct hash128);
    return checksum128(block + skip, block_bytes - skip, seed);
}

void wal_name_seal(uint8_t *block, uint32_t block_bytes)
{
    struct wal_name_header name;
    memcpy(&name, block, sizeof name);
    ASSERT(name.magic == WAL_NAME_MAGIC);
    name.hash = block_hash(block, block_bytes, place_seed(name.cluster_id, name.sequence));
    memcpy(block, &name.hash, sizeof name.hash);
}

bool wal_name_decode(struct slice block, uint64_t cluster_id, struct wal_name_header *name)
{
    if (block.count < BLOCK_BYTES_MIN)
        return false;
    memcpy(name, block.bytes, sizeof *name);
    if (name->magic != WAL_NAME_MAGIC || name->version != STORED_VERSION || name->cluster_id != cluster_id)
        return false;
    if (name->count == 0 || name->count > wal_names_max(block.count))
        return false;
    if (name->sequence > SEQUENCE_MAX || name->durable_sequence > SEQUENCE_MAX || name->term > TERM_MAX)
        return false;
    return hash128_equal(name->hash, block_hash(block.bytes, block.count, place_seed(cluster_id, name->sequence)));
}

bool wal_name_batch(struct slice block, uint32_t at, uint64_t cluster_id, struct wal_batch_header *header)
{
    ASSERT(at < wal_names_max(block.count));
    memcpy(header, block.bytes + sizeof(struct wal_name_header) + at * sizeof *header, sizeof *header);
    return batch_header_intact(header, cluster_id);
}

void superblock_seal(uint8_t *copy, uint32_t copy_bytes)
{
    uint32_t magic, block_bytes;
    uint16_t blocks;
    memcpy(&magic, copy + offsetof(struct superblock, magic), sizeof magic);
    memcpy(&blocks, copy + offsetof(struct superblock, blocks), sizeof blocks);
    memcpy(&block_bytes, copy + offsetof(struct superblock, block_bytes), sizeof block_bytes);
    ASSERT(magic == SUPERBLOCK_MAGIC && blocks * block_bytes == copy_bytes);
    const struct hash128 hash = block_hash(copy, copy_bytes, 0);
    memcpy(copy, &hash, sizeof hash);
}

/* What a hash cannot say. The log begins behind an entry that the checkpoint holds. */
static bool superblock_sane(const struct superblock *superblock)
{
    const struct stored *stored = &superblock->stored;
    if (stored->hard.term > TERM_MAX || stored->checkpoint.id.term > TERM_MAX || stored->head.base.term > TERM_MAX)
        return false;
    if (superblock->sequence > SEQUENCE_MAX || stored->head.sequence > SEQUENCE_MAX)
        return false;
    if (configuration_problem(&stored->members.latest) != NULL)
        return false;
    if (!configuration_equal(&stored->members.latest, &stored->members.previous)
        && configuration_problem(&stored->members.previous) != NULL)
        return false;
    return stored->checkpoint.id.index <= INDEX_MAX && stored->head.base.index <= stored->checkpoint.id.index
           && stored->head.lsn <= LSN_MAX && stored->head.lsn % superblock->block_bytes == 0;
}

bool superblock_decode(struct slice copy, struct superblock *superblock)
{
    memset(superblock, 0, sizeof *superblock);
    memcpy(superblock, copy.bytes, u64_min(sizeof *superblock, copy.count));
    if (superblock->magic != SUPERBLOCK_MAGIC || superblock->block_bytes < BLOCK_BYTES_MIN)
        return false;
    /* Another version may have moved everything behind `block_bytes`: only its hash can be trusted. */
    const uint64_t bytes = (uint64_t)superblock->blocks * superblock->block_bytes;
    if (bytes < BLOCK_BYTES_MIN || bytes > copy.count)
        return false;
    if (!hash128_equal(superblock->hash, block_hash(copy.bytes, (uint32_t)bytes, 0)))
        return false;
    if (superblock->version != STORED_VERSION)
        return true;
    if (bytes != u64_round_up(sizeof *superblock, superblock->block_bytes))
        return false;
    return (bytes == sizeof *superblock || bytes_are_zero(copy.bytes + sizeof *superblock, bytes - sizeof *superblock))
           && superblock_sane(superblock);
}

bool superblock_is(struct slice copy, struct hash128 hash)
{
    struct hash128 own;
    ASSERT(copy.count > sizeof own);
    memcpy(&own, copy.bytes, sizeof own);
    return hash128_equal(own, hash) && hash128_equal(own, block_hash(copy.bytes, copy.count, 0));
}

uint32_t superblock_choose(const struct superblock *copies, const uint8_t *valid)
{
    uint32_t newest = SUPERBLOCK_COPIES;
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++)
        if (valid[copy] != 0 && (newest == SUPERBLOCK_COPIES || copies[copy].sequence > copies[newest].sequence))
            newest = copy;
    for (uint32_t copy = 0; copy < SUPERBLOCK_COPIES; copy++) {
        if (valid[copy] == 0 || copy == newest)
            continue;
        if (hash128_equal(copies[copy].hash, copies[newest].hash)
            || hash128_equal(copies[copy].hash, copies[newest].parent))
            return newest;
    }
    return SUPERBLOCK_COPIES;
}

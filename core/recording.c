/* The format of recordings, and what of a replica is recorded; see recording.h. */
#include "recording.h"

#include "checksum.h"
#include "page.h"
#include "raft.h"

/* ---- headers ---- */

static uint64_t header_checksum(const uint8_t *bytes)
{
    const size_t start = offsetof(struct recording_header, version);
    return checksum64(bytes + start, RECORDING_HEADER_BYTES - start, RECORDING_MAGIC);
}

void recording_header_encode(const struct recording_header *header, uint8_t *to)
{
    STATIC_ASSERT(sizeof(struct recording_header) <= RECORDING_HEADER_BYTES, "the header fits its block");
    const uint64_t magic = RECORDING_MAGIC;
    const uint32_t version = RECORDING_VERSION;
    memset(to, 0, RECORDING_HEADER_BYTES);
    memcpy(to, header, sizeof *header);
    memcpy(to + offsetof(struct recording_header, magic), &magic, sizeof magic);
    memcpy(to + offsetof(struct recording_header, version), &version, sizeof version);
    const uint64_t checksum = header_checksum(to);
    memcpy(to + offsetof(struct recording_header, checksum), &checksum, sizeof checksum);
}

/* Reading any other byte as a bool means nothing. */
static bool config_bools_valid(const uint8_t *bytes)
{
    const uint8_t *config = bytes + offsetof(struct recording_header, config);
    return config[offsetof(struct replica_config, pre_vote)] <= 1
           && config[offsetof(struct replica_config, check_quorum)] <= 1
           && config[offsetof(struct replica_config, strict_naming)] <= 1;
}

bool recording_header_decode(struct slice bytes, struct recording_header *header)
{
    uint64_t magic, checksum;
    uint32_t version;
    if (bytes.count < RECORDING_HEADER_BYTES)
        return false;
    memcpy(&magic, bytes.bytes + offsetof(struct recording_header, magic), sizeof magic);
    memcpy(&checksum, bytes.bytes + offsetof(struct recording_header, checksum), sizeof checksum);
    memcpy(&version, bytes.bytes + offsetof(struct recording_header, version), sizeof version);
    if (magic != RECORDING_MAGIC || version != RECORDING_VERSION || checksum != header_checksum(bytes.bytes)
        || !config_bools_valid(bytes.bytes))
        return false;
    memcpy(header, bytes.bytes, sizeof *header);
    return header->follows <= 1 && header->release[sizeof header->release - 1] == 0
           && header->half_bytes >= 2 * RECORDING_CHUNK_BYTES && header->half_bytes % RECORDING_CHUNK_BYTES == 0
           && header->half_bytes < 1ULL << 62 && limits_problem(&header->limits) == NULL
           && replica_config_problem(&header->config) == NULL && header->region_bytes == replica_bytes(&header->limits);
}

static uint64_t trailer_checksum(const struct recording_trailer *trailer)
{
    const size_t start = offsetof(struct recording_trailer, life);
    return checksum64((const uint8_t *)trailer + start, sizeof *trailer - start, RECORDING_TRAILER_MAGIC);
}

void recording_trailer_encode(struct recording_trailer *trailer)
{
    trailer->magic = RECORDING_TRAILER_MAGIC;
    trailer->checksum = trailer_checksum(trailer);
}

bool recording_trailer_intact(const struct recording_trailer *trailer)
{
    return trailer->magic == RECORDING_TRAILER_MAGIC && trailer->checksum == trailer_checksum(trailer);
}

bool recording_trailer_decode(struct slice bytes, const struct recording_header *header,
                              struct recording_trailer *trailer)
{
    if (bytes.count < sizeof *trailer)
        return false;
    memcpy(trailer, bytes.bytes, sizeof *trailer);
    return recording_trailer_intact(trailer) && trailer->life == header->life && trailer->segment == header->segment
           && trailer->chunks < header->half_bytes / RECORDING_CHUNK_BYTES;
}

static uint64_t place_seed(const struct recording_place *place)
{
    const uint64_t seed = (place->life ^ place->segment * 0x9e3779b97f4a7c15ULL) + place->offset;
    return seed ^ seed >> 29;
}

static uint64_t anchor_checksum(const struct recording_anchor *anchor, const struct recording_place *place)
{
    const size_t start = offsetof(struct recording_anchor, chunk);
    return checksum64((const uint8_t *)anchor + start, sizeof *anchor - start, place_seed(place));
}

void recording_anchor_seal(struct recording_anchor *anchor, const struct recording_place *place)
{
    ASSERT(anchor->count <= RECORDING_ANCHOR_PAGES_MAX);
    anchor->checksum = anchor_checksum(anchor, place);
}

bool recording_anchor_valid(const struct recording_anchor *anchor, const struct recording_place *place)
{
    return anchor->checksum == anchor_checksum(anchor, place) && anchor->count <= RECORDING_ANCHOR_PAGES_MAX;
}

/* ---- records ---- */

static uint32_t record_bytes(uint32_t bytes)
{
    return (uint32_t)sizeof(struct recording_record) + (uint32_t)u64_round_up(bytes, 8);
}

uint8_t recording_form(const struct replica *replica, const struct input *input)
{
    if (input->kind != INPUT_DISK || input->bytes.count == 0)
        return 0;
    const struct slice expected = recording_expected(replica, input->op_id);
    if (expected.count == input->bytes.count && memcmp(expected.bytes, input->bytes.bytes, expected.count) == 0)
        return RECORDING_MEMORY;
    return bytes_are_zero(input->bytes.bytes, input->bytes.count) ? RECORDING_ZERO : 0;
}

uint32_t recording_bytes(const struct input *input, uint8_t form)
{
    return record_bytes(form != 0 ? 0 : input->bytes.count);
}

/* Are there bytes behind it? */
static bool record_is_stored(const struct recording_record *record)
{
    return record->bytes > 0 && (record->flags & (RECORDING_MEMORY | RECORDING_ZERO)) == 0;
}

static uint32_t stored_bytes(const struct recording_record *record)
{
    return record_bytes(record_is_stored(record) ? record->bytes : 0);
}

/* Of the bytes first, where they come from: most have just been read there, and what was written a moment ago is read
 * slowly. */
static uint64_t record_checksum(const struct recording_record *record, const uint8_t *bytes,
                                const struct recording_place *place)
{
    const uint32_t start = offsetof(struct recording_record, digest);
    const uint64_t content = record_is_stored(record) ? checksum64(bytes, record->bytes, 0) : 0;
    return checksum64((const uint8_t *)record + start, sizeof *record - start, content ^ place_seed(place));
}

static uint32_t record_seal(struct recording_record *record, const uint8_t *bytes, const struct recording_place *place,
                            uint8_t *to)
{
    const uint32_t count = stored_bytes(record);
    record->checksum = record_checksum(record, bytes, place);
    memcpy(to, record, sizeof *record);
    if (record_is_stored(record)) {
        memset(to + count - 8, 0, 8);
        memcpy(to + sizeof *record, bytes, record->bytes);
    }
    return count;
}

uint32_t recording_encode(const struct input *input, uint8_t form, uint64_t digest, const struct recording_place *place,
                          uint8_t *to)
{
    struct recording_record record = {
        .digest = digest,
        .now_ns = input->now_ns,
        .arrived_ns = input->arrived_ns,
        .subject = input->kind == INPUT_DISK ? input->op_id : input->client,
        .bytes = input->bytes.count,
        .kind = (uint8_t)input->kind,
        .flags = (uint8_t)((input->more ? RECORDING_MORE : 0) | form),
        .result = (uint8_t)input->result,
    };
    return record_seal(&record, input->bytes.bytes, place, to);
}

uint32_t recording_encode_mark(uint8_t kind, uint64_t digest, const struct recording_place *place, uint8_t *to)
{
    struct recording_record record = { .digest = digest, .kind = kind };
    ASSERT(kind == RECORDING_PAD || kind == RECORDING_END);
    return record_seal(&record, to, place, to); /* it has no bytes */
}

static bool record_valid(const struct recording_record *record)
{
    const bool input = record->kind <= INPUT_DISK;
    const uint8_t unstored = RECORDING_MEMORY | RECORDING_ZERO;
    const uint8_t flags = record->kind == INPUT_DISK ? RECORDING_MORE | unstored : input ? RECORDING_MORE : 0;
    if (!input && record->kind != RECORDING_PAD && record->kind != RECORDING_END)
        return false;
    return (record->flags & ~flags) == 0 && record->result <= DISK_FULL && record->zero == 0
           && (record->flags & unstored) != unstored && record->bytes <= RECORDING_CHUNK_BYTES;
}

/* No checksum covers it. */
static bool padding_is_zero(const struct recording_record *record, const uint8_t *bytes)
{
    if (!record_is_stored(record) || record->bytes % 8 == 0)
        return true;
    return bytes_are_zero(bytes + sizeof *record + record->bytes, 8 - record->bytes % 8);
}

uint32_t recording_decode(struct slice bytes, const struct recording_place *place, struct recorded *recorded)
{
    struct recording_record record;
    if (bytes.count < sizeof record)
        return 0;
    memcpy(&record, bytes.bytes, sizeof record);
    if (!record_valid(&record) || stored_bytes(&record) > bytes.count
        || record.checksum != record_checksum(&record, bytes.bytes + sizeof record, place)
        || !padding_is_zero(&record, bytes.bytes))
        return 0;
    *recorded = (struct recorded){
        .digest = record.digest,
        .bytes = stored_bytes(&record),
        .kind = record.kind,
        .form = record.flags & (RECORDING_MEMORY | RECORDING_ZERO),
        .input = {
            .kind = record.kind <= INPUT_DISK ? (enum input_kind)record.kind : INPUT_TICK,
            .more = (record.flags & RECORDING_MORE) != 0,
            .result = (enum disk_result)record.result,
            .now_ns = record.now_ns,
            .arrived_ns = record.arrived_ns,
            .client = record.kind == INPUT_CLIENT_FRAME ? record.subject : 0,
            .op_id = record.kind == INPUT_DISK ? record.subject : 0,
            .bytes = { .bytes = bytes.bytes + sizeof record, .count = record.bytes },
        },
    };
    return recorded->bytes;
}

/* ---- what is recorded ---- */

static inline uint64_t mix(uint64_t digest, uint64_t value)
{
    digest = (digest ^ value) * 0x9e3779b97f4a7c15ULL;
    return digest ^ digest >> 29;
}

/* Of two values at once: a step of a busy node has hundreds of events, and their turn would be waited for twice. */
static inline uint64_t mix_pair(uint64_t digest, uint64_t a, uint64_t b)
{
    b *= 0xd6e8feb86659fd93ULL;
    return mix(digest, a * 0xa0761d6478bd642fULL ^ (b << 32 | b >> 32));
}

/* Frames and batches of the log have a checksum of all of their bytes in front; what a released part of the region
 * holds means nothing. */
static uint64_t bytes_checksum(const struct effect *effect)
{
    uint64_t checksum = 0;
    switch (effect->kind) {
    case EFFECT_SEND:
    case EFFECT_REPLY:
    case EFFECT_REFUSE: break;
    case EFFECT_WRITE:
        if (wal_operation_of(effect->op_id) == WAL_WRITE_BATCH)
            break;
        return checksum64(effect->bytes.bytes, effect->bytes.count, 0);
    case EFFECT_READ:
    case EFFECT_RELEASE:
    case EFFECT_STOP: return 0;
    }
    if (effect->bytes.count >= sizeof checksum)
        memcpy(&checksum, effect->bytes.bytes, sizeof checksum);
    return checksum;
}

uint64_t recording_mix(uint64_t digest, const struct output *output)
{
    digest = mix(digest, (uint64_t)output->event_count << 32 | output->effect_count);
    digest = mix(digest, output->deadline_ns);
    for (uint32_t i = 0; i < output->effect_count; i++) {
        const struct effect *effect = &output->effects[i];
        const uint64_t head = (uint64_t)effect->kind << 56 | (uint64_t)effect->device << 48
                              | (uint64_t)effect->stop << 16 | (uint64_t)effect->verdict;
        digest = mix_pair(digest, head, effect->target ^ effect->op_id);
        digest = mix_pair(digest, effect->offset ^ effect->detail, effect->deadline_ns);
        digest = mix_pair(digest, bytes_checksum(effect), effect->bytes.count);
    }
    for (uint32_t i = 0; i < u32_min(output->event_count, output->event_max); i++)
        digest = mix_pair(digest, (uint64_t)output->events[i].kind << 56 ^ output->events[i].a, output->events[i].b);
    return digest;
}

static struct slice region_slice(const struct replica *replica, uint64_t area, uint64_t area_bytes, uint64_t at)
{
    const uint32_t count = replica->scrub.in_flight;
    if (at > area_bytes || count > area_bytes - at)
        return (struct slice){ .count = 0 };
    return (struct slice){ .bytes = region_at_const(replica, area + at), .count = count };
}

struct slice recording_expected(const struct replica *replica, uint64_t op_id)
{
    const struct scrub *scrub = &replica->scrub;
    const struct limits *limits = &replica->limits;
    if (wal_operation_of(op_id) != DATA_SCRUB || scrub->writing)
        return (struct slice){ .count = 0 };
    switch ((enum scrub_phase)scrub->phase) {
    case SCRUB_SUPERBLOCK:
        return region_slice(replica, replica->areas.wal_superblock, limits_superblock_bytes(limits), 0);
    case SCRUB_NAMES: break; /* what the ring named long ago is not in memory */
    case SCRUB_BODY: {
        const uint64_t ring = wal_ring_bytes(limits);
        return region_slice(replica, replica->areas.wal_body, ring, (scrub->position + scrub->at) % ring);
    }
    case SCRUB_MAP:
        return region_slice(replica, replica->areas.map_level[scrub->level - 1],
                            (uint64_t)map_count(limits, scrub->level) * limits->page_bytes,
                            scrub->position * limits->page_bytes + scrub->at);
    case SCRUB_PAGES:
        return region_slice(replica, replica->areas.pages, (uint64_t)limits->pages_max * limits->page_bytes,
                            scrub->position * limits->page_bytes + scrub->at);
    }
    return (struct slice){ .count = 0 };
}

static void part_add(struct recording_part *parts, uint32_t *count, const char *name, uint64_t offset, uint64_t end)
{
    ASSERT(offset <= end);
    if (offset == end)
        return;
    ASSERT(*count < RECORDING_PARTS_MAX);
    parts[(*count)++] = (struct recording_part){ .name = name, .offset = offset, .bytes = end - offset };
}

/* A stretch of a ring: one part, or one at each end. */
static void part_add_ring(struct recording_part *parts, uint32_t *count, const char *name, uint64_t area, uint64_t ring,
                          uint64_t from, uint64_t bytes)
{
    from %= ring;
    bytes = u64_min(bytes, ring);
    const uint64_t wrapped = from + bytes > ring ? from + bytes - ring : 0;
    part_add(parts, count, name, area, area + wrapped);
    part_add(parts, count, name, area + from, area + from + bytes - wrapped);
}

/* From what is on its way to EFFECT_RELEASE, which may still be read, to the end of the open batch. While the log is
 * being read, what is not walked yet is there, too. */
static void part_add_mirror(struct recording_part *parts, uint32_t *count, const struct replica *replica)
{
    const struct wal *wal = &replica->wal;
    const uint64_t ring = wal_ring_bytes(&replica->limits);
    const uint64_t open_bytes = wal->open_count > 0 ? sizeof(struct wal_batch_header) + wal->open_bytes : 0;
    const uint64_t from = u64_min(wal->released, replica->stored.head.lsn);
    const uint64_t end = u64_max(wal->tail + open_bytes, replica->stored.head.lsn);
    const bool whole = replica->recovery.phase != RECOVERY_DONE || wal->resetting;
    part_add_ring(parts, count, "log", replica->areas.wal_body, ring, whole ? 0 : from, whole ? ring : end - from);
}

uint32_t recording_parts(const struct replica *replica, bool mirror, struct recording_part parts[RECORDING_PARTS_MAX])
{
    const struct limits *limits = &replica->limits;
    const struct areas *areas = &replica->areas;
    const struct log *log = &replica->log;
    const uint64_t slot = sizeof(struct log_slot);
    uint32_t count = 0;
    part_add(parts, &count, "head", 0, sizeof *replica);
    part_add(parts, &count, "superblock and name", areas->wal_superblock, areas->wal_name + limits->block_bytes);
    if (mirror)
        part_add_mirror(parts, &count, replica);
    part_add_ring(parts, &count, "log slots", areas->log_slots, limits->log_entries_max * slot,
                  (log->base.index + 1) * slot, (log->last.index - log->base.index) * slot);
    part_add(parts, &count, "pages", areas->pages, areas->map);
    part_add(parts, &count, "page map", areas->map, areas->map_dirty);
    part_add(parts, &count, "sets of pages", areas->map_dirty, areas->blocks);
    part_add(parts, &count, "blocks", areas->blocks, areas->shadow);
    part_add(parts, &count, "shadow pages", areas->shadow,
             areas->shadow + (uint64_t)replica->checkpoint.shadow_count * limits->page_bytes);
    part_add(parts, &count, "shadow slots", areas->shadow_page, areas->data_runs);
    part_add(parts, &count, "data runs", areas->data_runs, areas->scrub_block);
    part_add(parts, &count, "scrub block", areas->scrub_block, areas->pending);
    part_add(parts, &count, "pending writes", areas->pending, areas->reads);
    part_add(parts, &count, "pending reads", areas->reads, areas->inflight);
    part_add(parts, &count, "requests in flight", areas->inflight, areas->end);
    return count;
}

bool recording_region_fits(const struct replica *replica, const struct replica *fresh)
{
    return memcmp(&replica->limits, &fresh->limits, sizeof replica->limits) == 0
           && memcmp(&replica->config, &fresh->config, sizeof replica->config) == 0
           && memcmp(&replica->areas, &fresh->areas, sizeof replica->areas) == 0
           && replica->checkpoint.shadow_count <= replica->limits.shadow_pages_max
           && replica->log.last.index - replica->log.base.index <= replica->limits.log_entries_max;
}

uint64_t recording_file_bytes_min(const struct limits *limits)
{
    /* A log of usual length when a checkpoint is due, and what of the rest every life comes to use. */
    const uint64_t log_blocks = (uint64_t)limits->checkpoint_wal_blocks + limits->wal_retain_blocks;
    const uint64_t log_bytes =
        log_blocks * limits->block_bytes * 5 / 4 + (uint64_t)limits->checkpoint_entries * sizeof(struct log_slot);
    const uint64_t queues = (uint64_t)limits->pending_writes_max * sizeof(struct pending)
                            + (uint64_t)limits->pending_reads_max * (sizeof(struct read) + limits->key_bytes_max)
                            + (uint64_t)CHECKPOINT_DEPTH_MAX * limits->data_run_bytes_max;
    const uint64_t state = (uint64_t)page_fixed_count(limits) * limits->page_bytes * 2 + sizeof(struct replica);
    const uint64_t anchor = log_bytes + queues + state + 4 * RECORDING_CHUNK_BYTES;
    return 2 * u64_round_up(anchor * 3 / 2, RECORDING_CHUNK_BYTES);
}

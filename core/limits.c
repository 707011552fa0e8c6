/* The three named sets of limits, and the relations that any set must satisfy. */
#include "limits.h"

#include "checkpoint.h"
#include "checksum.h"
#include "entry.h"
#include "kv.h"
#include "map.h"
#include "message.h"
#include "page.h"
#include "request.h"
#include "tree.h"
#include "wal.h"
#include "wal_format.h"

enum { KIB = 1024, MIB = 1024 * 1024 };

const struct limits limits_production = {
    .block_bytes = 4 * KIB,
    .superblock_stride_blocks = MIB / (4 * KIB),
    .wal_header_blocks = 2048,
    .wal_body_blocks = 1024 * (MIB / (4 * KIB)),
    .wal_batch_bytes_max = 256 * KIB,
    .wal_depth = 2,
    .wal_unnamed_max = 28,
    .wal_reserve_blocks = 4096,
    .wal_retain_blocks = 8 * KIB,
    .log_entries_max = 4 * MIB,
    .checkpoint_wal_blocks = 32 * KIB,
    .checkpoint_entries = MIB,
    .checkpoint_kib_per_second = 64 * KIB,
    .data_blocks = 1536 * KIB,
    .data_run_bytes_max = 256 * KIB,
    .data_depth = 2,
    .scrub_kib_per_second = 4 * KIB,
    .install_kib_per_second = 16 * KIB,
    .shadow_pages_max = 16 * KIB,
    .key_bytes_max = 512,
    .value_bytes_max = 128 * KIB,
    .txn_compares_max = 64,
    .txn_writes_max = 64,
    .page_bytes = 4 * KIB,
    .pages_max = 512 * KIB,
    .sessions_max = 8192,
    .members_max = MEMBERS_MAX,
    .promote_lag_entries_max = 4096,
    .pending_writes_max = 8192,
    .pending_reads_max = 8192,
    .inflight_max = 64,
    .inflight_bytes_max = 2 * MIB,
    .append_entries_max = 4096,
    .append_bytes_max = 128 * KIB,
    .apply_per_step_max = 64,
    .effects_max = 2048,
    .frame_bytes_max = 256 * KIB,
};

const struct limits limits_tiny = {
    .block_bytes = 512,
    .superblock_stride_blocks = 6,
    .wal_header_blocks = 4,
    .wal_body_blocks = 192,
    .wal_batch_bytes_max = 2048,
    .wal_depth = 2,
    .wal_unnamed_max = 3,
    .wal_reserve_blocks = 24,
    .wal_retain_blocks = 16,
    .log_entries_max = 256,
    .checkpoint_wal_blocks = 12,
    .checkpoint_entries = 12,
    .checkpoint_kib_per_second = MIB,
    .data_blocks = 80,
    .data_run_bytes_max = 1024,
    .data_depth = 2,
    .scrub_kib_per_second = 64,
    .install_kib_per_second = 64 * KIB,
    .shadow_pages_max = 16,
    .key_bytes_max = 16,
    .value_bytes_max = 160,
    .txn_compares_max = 4,
    .txn_writes_max = 4,
    .page_bytes = 256,
    .pages_max = 24,
    .sessions_max = 8,
    .members_max = 10,
    .promote_lag_entries_max = 4,
    .pending_writes_max = 8,
    .pending_reads_max = 8,
    .inflight_max = 4,
    .inflight_bytes_max = 1024,
    .append_entries_max = 8,
    .append_bytes_max = 512,
    .apply_per_step_max = 16,
    .effects_max = 64,
    .frame_bytes_max = 1536,
};

const struct limits limits_micro = {
    .block_bytes = 512,
    .superblock_stride_blocks = 6,
    .wal_header_blocks = 4,
    .wal_body_blocks = 12,
    .wal_batch_bytes_max = 512,
    .wal_depth = 1,
    .wal_unnamed_max = 2,
    .wal_reserve_blocks = 4,
    .wal_retain_blocks = 1,
    .log_entries_max = 16,
    .checkpoint_wal_blocks = 4,
    .checkpoint_entries = 4,
    .checkpoint_kib_per_second = MIB,
    .data_blocks = 32,
    .data_run_bytes_max = 512,
    .data_depth = 1,
    .scrub_kib_per_second = 64,
    .install_kib_per_second = 64 * KIB,
    .shadow_pages_max = 8,
    .key_bytes_max = 4,
    .value_bytes_max = 4,
    .txn_compares_max = 1,
    .txn_writes_max = 1,
    .page_bytes = 256,
    .pages_max = 9,
    .sessions_max = 2,
    .members_max = 3,
    .promote_lag_entries_max = 1,
    .pending_writes_max = 2,
    .pending_reads_max = 2,
    .inflight_max = 2,
    .inflight_bytes_max = 128,
    .append_entries_max = 2,
    .append_bytes_max = 128,
    .apply_per_step_max = 4,
    .effects_max = 32,
    .frame_bytes_max = 768,
};

static bool is_power_of_two(uint32_t value) { return value != 0 && (value & (value - 1)) == 0; }

static uint32_t limits_txn_bytes_max(const struct limits *limits)
{
    const uint32_t compare = (uint32_t)sizeof(struct txn_clause_header) + limits->key_bytes_max;
    const uint32_t keys = (uint32_t)sizeof(struct txn_clause_header) + limits->key_bytes_max;
    return limits->txn_compares_max * compare + 2 * limits->txn_writes_max * keys + limits->value_bytes_max;
}

uint32_t limits_command_bytes_max(const struct limits *limits)
{
    const uint32_t single = limits->key_bytes_max + limits->value_bytes_max;
    return (uint32_t)sizeof(struct request_header) + u32_max(single, limits_txn_bytes_max(limits));
}

uint32_t limits_entry_bytes_max(const struct limits *limits)
{
    return u32_max(limits_command_bytes_max(limits), limits->members_max * (uint32_t)sizeof(struct member));
}

static const char *limits_storage_problem(const struct limits *limits)
{
    if (!is_power_of_two(limits->block_bytes) || limits->block_bytes < BLOCK_BYTES_MIN)
        return "block_bytes must be a power of two of at least 512";
    if ((uint64_t)limits->superblock_stride_blocks * limits->block_bytes < limits_superblock_bytes(limits))
        return "superblock_stride_blocks must hold a superblock";
    if (limits->scrub_kib_per_second == 0 || limits->install_kib_per_second == 0)
        return "scrub_kib_per_second and install_kib_per_second must not be 0";
    if (limits->wal_header_blocks < 4)
        return "wal_header_blocks must be at least 4";
    if (limits->wal_depth < 1 || limits->wal_depth > 4)
        return "wal_depth must be in 1..4";
    if (limits->wal_unnamed_max <= limits->wal_depth || limits->wal_unnamed_max > wal_names_max(limits->block_bytes)
        || limits->wal_unnamed_max >= WAL_UNNAMED_SEALED_MAX)
        return "wal_unnamed_max must be above wal_depth, below 32 and fit one header block";
    if (limits->wal_batch_bytes_max % limits->block_bytes != 0)
        return "wal_batch_bytes_max must be a multiple of block_bytes";
    if (limits->wal_batch_bytes_max < sizeof(struct wal_batch_header) + entry_bytes(limits_entry_bytes_max(limits)))
        return "wal_batch_bytes_max must hold the largest entry";
    if (limits->wal_reserve_blocks < 4 || limits->wal_body_blocks <= limits->wal_reserve_blocks
        || (uint64_t)(limits->wal_body_blocks - limits->wal_reserve_blocks) * limits->block_bytes
               < limits->wal_batch_bytes_max)
        return "wal_body_blocks must hold a batch beside wal_reserve_blocks, which must be at least 4";
    if (!is_power_of_two(limits->log_entries_max) || limits->log_entries_max < 8)
        return "log_entries_max must be a power of two of at least 8";
    return NULL;
}

/* Of checkpoints: device 1, and the log between two of them. */
static const char *limits_checkpoint_problem(const struct limits *limits)
{
    if (limits->data_run_bytes_max == 0 || limits->data_run_bytes_max % limits->page_bytes != 0
        || limits->data_run_bytes_max > 16 * MIB)
        return "data_run_bytes_max must be a multiple of page_bytes, at most 16 MiB";
    if (limits->data_depth < 1 || limits->data_depth > CHECKPOINT_DEPTH_MAX)
        return "data_depth must be in 1..2";
    if (limits->pages_max >= BLOCK_RETIRED || limits->data_blocks >= BLOCK_RETIRED)
        return "pages_max and data_blocks must be below 2^30 - 2";
    /* The durable checkpoint and the next one, both with everything in other blocks; block 0, and one to spare. */
    if (limits->data_blocks < 2 * ((uint64_t)limits->pages_max + map_blocks(limits)) + 2)
        return "data_blocks must hold all pages and their map twice, and two more";
    if (limits->checkpoint_kib_per_second == 0)
        return "checkpoint_kib_per_second must not be 0";
    if (limits->shadow_pages_max == 0)
        return "shadow_pages_max must not be 0";
    if (limits->checkpoint_entries == 0 || limits->checkpoint_entries > limits->log_entries_max / 4)
        return "checkpoint_entries must be in 1..log_entries_max / 4";
    if (limits->checkpoint_wal_blocks == 0
        || (uint64_t)limits->checkpoint_wal_blocks + limits->wal_retain_blocks + limits->wal_reserve_blocks
               >= limits->wal_body_blocks)
        return "wal_body_blocks must hold checkpoint_wal_blocks, wal_retain_blocks and wal_reserve_blocks, and more";
    return NULL;
}

const char *limits_problem(const struct limits *limits)
{
    const char *problem = limits_storage_problem(limits);
    if (problem != NULL)
        return problem;
    if (limits->key_bytes_max == 0 || limits->key_bytes_max > UINT16_MAX)
        return "key_bytes_max must be in 1..65535";
    if (limits->value_bytes_max > 64 * MIB)
        return "value_bytes_max must be at most 64 MiB";
    if (limits->txn_compares_max > 1024 || limits->txn_writes_max > 1024)
        return "a transaction has at most 1024 compares and writes";
    if (!is_power_of_two(limits->page_bytes) || limits->page_bytes < 256 || limits->page_bytes > PAGE_BYTES_MAX)
        return "page_bytes must be a power of two in 256..16384";
    if (limits->key_bytes_max + KV_RECORD_BYTES > tree_record_bytes_max(limits, 0))
        return "a quarter of page_bytes must hold the largest key and a record";
    if (limits->sessions_max == 0)
        return "sessions_max must not be 0";
    if (limits->members_max < 3 || limits->members_max > MEMBERS_MAX)
        return "members_max must be in 3..16";
    if (limits->pages_max < page_fixed_count(limits) + 2)
        return "pages_max must hold the root, the bitmap, the sessions, the configuration and a tree";
    problem = limits_checkpoint_problem(limits);
    if (problem != NULL)
        return problem;
    if (!is_power_of_two(limits->pending_writes_max) || !is_power_of_two(limits->pending_reads_max))
        return "pending_writes_max and pending_reads_max must be powers of two";
    if (limits->inflight_max == 0 || limits->inflight_max > INFLIGHT_MAX)
        return "inflight_max must be in 1..256";
    if (limits->inflight_bytes_max < limits->append_bytes_max || limits->inflight_bytes_max > 256 * MIB)
        return "inflight_bytes_max must be at least append_bytes_max, and at most 256 MiB";
    if (limits->append_entries_max == 0 || limits->apply_per_step_max == 0)
        return "append_entries_max and apply_per_step_max must not be 0";
    if (limits->effects_max < 4 * VOTERS_MAX)
        return "effects_max must be at least 28";
    if (limits->frame_bytes_max > 16 * MIB)
        return "frame_bytes_max must be at most 16 MiB";
    if (limits->frame_bytes_max < message_append_bytes(entry_bytes(limits_entry_bytes_max(limits)))
        || limits->frame_bytes_max < message_append_bytes(limits->append_bytes_max))
        return "frame_bytes_max must hold an append request with append_bytes_max or the largest entry";
    if (limits->frame_bytes_max < sizeof(struct frame_header) + sizeof(struct reply_header) + limits->value_bytes_max
        || limits->frame_bytes_max < sizeof(struct frame_header) + sizeof(struct reply_header)
                                         + sizeof(struct node_status)
                                         + limits->members_max * sizeof(struct member_status))
        return "frame_bytes_max must hold the largest reply";
    if (message_pages_max(limits->frame_bytes_max, limits->page_bytes) == 0)
        return "frame_bytes_max must hold an answer with one page";
    return NULL;
}

/* Sizes of queues and of the WAL may differ between replicas; what decides a command's outcome may not. */
uint64_t limits_fingerprint(const struct limits *limits)
{
    const uint32_t agreed[] = {
        WIRE_VERSION,           limits->key_bytes_max,   limits->value_bytes_max, limits->txn_compares_max,
        limits->txn_writes_max, limits->page_bytes,      limits->pages_max,       limits->sessions_max,
        limits->members_max,    limits->frame_bytes_max,
    };
    const uint64_t hash = checksum64(agreed, sizeof agreed, 0);
    return hash != 0 ? hash : 1;
}

uint32_t limits_superblock_bytes(const struct limits *limits)
{
    return (uint32_t)u64_round_up(sizeof(struct superblock), limits->block_bytes);
}

uint64_t limits_wal_bytes(const struct limits *limits)
{
    const uint64_t superblocks = (uint64_t)SUPERBLOCK_COPIES * limits->superblock_stride_blocks;
    return (superblocks + limits->wal_header_blocks + limits->wal_body_blocks) * limits->block_bytes;
}

uint64_t limits_data_bytes(const struct limits *limits) { return (uint64_t)limits->data_blocks * limits->page_bytes; }

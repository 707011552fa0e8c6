/* Knobs: a table of offsets. */
#include "knobs.h"

#include <inttypes.h>
#include <string.h>

#include "disk.h"
#include "network.h"
#include "workload.h"

#define ONE(text, member, unit) \
    { \
        text, offsetof(struct swarm, member), sizeof(((struct swarm *)0)->member), 1, unit \
    }
#define EACH(text, member, unit) \
    { \
        text, offsetof(struct swarm, member), sizeof(((struct swarm *)0)->member[0]), VOTERS_MAX, unit \
    }
#define LIMIT(member) ONE(#member, limits.member, KNOB_COUNT)

static const struct knob knobs[] = {
    ONE("nodes", node_count, KNOB_COUNT),
    ONE("members", member_count, KNOB_COUNT),
    ONE("clients", client_count, KNOB_COUNT),
    ONE("keys", key_count, KNOB_COUNT),
    ONE("inputs", inputs_max, KNOB_COUNT),
    ONE("safety", safety_ns, KNOB_TIME),
    ONE("untimed", untimed, KNOB_COUNT),
    ONE("election", configs[0].election_timeout_ns, KNOB_TIME),
    ONE("heartbeat", configs[0].heartbeat_interval_ns, KNOB_TIME),
    ONE("pre_vote", configs[0].pre_vote, KNOB_COUNT),
    ONE("check_quorum", configs[0].check_quorum, KNOB_COUNT),
    ONE("strict_naming", configs[0].strict_naming, KNOB_COUNT),
    ONE("lease_drift_ppm", configs[0].lease_drift_ppm, KNOB_COUNT),
    ONE("cluster_id", configs[0].cluster_id, KNOB_COUNT),
    EACH("ids", ids, KNOB_COUNT),
    EACH("priorities", priorities, KNOB_COUNT),
    ONE("delay", delay_ns, KNOB_TIME),
    ONE("outage", outage_ns, KNOB_TIME),
    ONE("regime", regime, KNOB_REGIME),
    ONE("reconfigures", reconfigures, KNOB_COUNT),
    ONE("voters_min", voters_min, KNOB_COUNT),
    ONE("struck_max", struck_max, KNOB_COUNT),
    ONE("disk", disk_ns, KNOB_TIME),
    EACH("slowness", disk_slowness, KNOB_COUNT),
    ONE("sector", sector_bytes, KNOB_COUNT),
    EACH("drift_ppm", drift_ppm, KNOB_SIGNED),
    ONE("tick", tick_ns, KNOB_TIME),
    ONE("timer", timer_ns, KNOB_TIME),
    EACH("timer_slowness", timer_slowness, KNOB_COUNT),
    ONE("downtime", downtime_ns, KNOB_TIME),
    ONE("think", think_ns, KNOB_TIME),
    ONE("patience", patience_ns, KNOB_TIME),
    ONE("attempts", attempts_max, KNOB_COUNT),
    ONE("copies", copies, KNOB_COUNT),
    LIMIT(block_bytes),
    LIMIT(superblock_stride_blocks),
    LIMIT(wal_header_blocks),
    LIMIT(wal_body_blocks),
    LIMIT(wal_batch_bytes_max),
    LIMIT(wal_depth),
    LIMIT(wal_unnamed_max),
    LIMIT(wal_reserve_blocks),
    LIMIT(wal_retain_blocks),
    LIMIT(log_entries_max),
    LIMIT(checkpoint_wal_blocks),
    LIMIT(checkpoint_entries),
    LIMIT(checkpoint_kib_per_second),
    LIMIT(data_blocks),
    LIMIT(data_run_bytes_max),
    LIMIT(data_depth),
    LIMIT(scrub_kib_per_second),
    LIMIT(install_kib_per_second),
    LIMIT(shadow_pages_max),
    LIMIT(key_bytes_max),
    LIMIT(value_bytes_max),
    LIMIT(txn_compares_max),
    LIMIT(txn_writes_max),
    LIMIT(page_bytes),
    LIMIT(pages_max),
    LIMIT(sessions_max),
    LIMIT(members_max),
    LIMIT(promote_lag_entries_max),
    LIMIT(pending_writes_max),
    LIMIT(pending_reads_max),
    LIMIT(inflight_max),
    LIMIT(inflight_bytes_max),
    LIMIT(append_entries_max),
    LIMIT(append_bytes_max),
    LIMIT(apply_per_step_max),
    LIMIT(effects_max),
    LIMIT(frame_bytes_max),
};
STATIC_ASSERT(sizeof(enum regime) == 4 && sizeof(bool) == 1, "sizes that knob_get() knows");

uint32_t knob_count(void) { return ARRAY_COUNT(knobs); }

const struct knob *knob_at(uint32_t index)
{
    ASSERT(index < ARRAY_COUNT(knobs));
    return &knobs[index];
}

const struct knob *knob_named(const char *name, size_t bytes)
{
    for (uint32_t i = 0; i < ARRAY_COUNT(knobs); i++)
        if (strlen(knobs[i].name) == bytes && memcmp(knobs[i].name, name, bytes) == 0)
            return &knobs[i];
    return NULL;
}

uint64_t knob_get(const struct swarm *swarm, const struct knob *knob, uint32_t i)
{
    const uint8_t *at = (const uint8_t *)swarm + knob->offset + (size_t)i * knob->bytes;
    uint32_t word;
    uint64_t value = 0;
    ASSERT(i < knob->values);
    if (knob->bytes == 1)
        return *at;
    if (knob->bytes == 8) {
        memcpy(&value, at, sizeof value);
        return value;
    }
    memcpy(&word, at, sizeof word);
    return knob->unit == KNOB_SIGNED ? (uint64_t)(int64_t)(int32_t)word : word;
}

void knob_set(struct swarm *swarm, const struct knob *knob, uint32_t i, uint64_t value)
{
    uint8_t *at = (uint8_t *)swarm + knob->offset + (size_t)i * knob->bytes;
    const uint32_t word = (uint32_t)value;
    ASSERT(i < knob->values);
    if (knob->bytes == 1)
        *at = value != 0;
    else if (knob->bytes == 8)
        memcpy(at, &value, sizeof value);
    else
        memcpy(at, &word, sizeof word);
}

void knobs_default(struct swarm *swarm)
{
    enum { MS = 1000000 };
    memset(swarm, 0, sizeof *swarm);
    swarm->faults = true;
    swarm->node_count = swarm->member_count = 3;
    swarm->client_count = swarm->key_count = swarm->copies = 1;
    swarm->inputs_max = 2000;
    swarm->safety_ns = 2000ULL * MS;
    swarm->limits = limits_tiny;
    swarm->configs[0].election_timeout_ns = 100 * MS;
    swarm->configs[0].heartbeat_interval_ns = 10 * MS;
    swarm->configs[0].pre_vote = swarm->configs[0].check_quorum = true;
    swarm->configs[0].cluster_id = 1;
    for (uint32_t slot = 0; slot < VOTERS_MAX; slot++) {
        swarm->ids[slot] = slot + 1;
        swarm->disk_slowness[slot] = swarm->timer_slowness[slot] = 1;
    }
    swarm->delay_ns = 2 * MS;
    swarm->outage_ns = 200 * MS;
    swarm->struck_max = 1;
    swarm->voters_min = 1;
    swarm->disk_ns = 1 * MS;
    swarm->sector_bytes = limits_tiny.block_bytes;
    swarm->timer_ns = 20 * MS;
    swarm->downtime_ns = 100 * MS;
    swarm->think_ns = 20 * MS;
    swarm->patience_ns = 200 * MS;
    swarm->attempts_max = 3;
    knobs_settle(swarm);
}

void knobs_settle(struct swarm *swarm)
{
    const struct replica_config first = swarm->configs[0];
    memset(swarm->configs, 0, sizeof swarm->configs);
    memset(&swarm->configuration, 0, sizeof swarm->configuration);
    swarm->configs[0] = first;
    for (uint32_t slot = 0; slot < u32_min(swarm->node_count, VOTERS_MAX); slot++) {
        swarm->configs[slot] = first;
        swarm->configs[slot].node_id = swarm->ids[slot];
        if (slot >= swarm->member_count)
            continue;
        swarm->configuration.members[slot] = (struct member){
            .id = swarm->ids[slot],
            .roles = MEMBER_VOTER,
            .address = { 'n', (char)('1' + slot), ':', '1' },
            .priority = (uint8_t)swarm->priorities[slot],
        };
    }
    swarm->lease = first.lease_drift_ppm != 0;
}

/* What the simulator's own tables hold. */
static const char *limits_fit(const struct limits *limits)
{
    if (limits->wal_body_blocks > DISK_BLOCKS_MAX || limits->data_blocks > DISK_BLOCKS_MAX
        || limits->wal_header_blocks > DISK_BLOCKS_MAX || limits->superblock_stride_blocks > 64
        || limits->block_bytes > DISK_BYTES_MAX || limits->wal_batch_bytes_max > DISK_BYTES_MAX
        || limits->data_run_bytes_max > DISK_BYTES_MAX || limits->page_bytes > DISK_BYTES_MAX)
        return "a disk is larger than the simulator's";
    if (limits->value_bytes_max >= CLIENT_VALUE_BYTES_MAX || limits->key_bytes_max > CLIENT_KEY_BYTES_MAX
        || limits->frame_bytes_max > (uint32_t)PACKET_BYTES_MIN << (PACKET_CLASSES - 1) || limits->txn_compares_max > 8
        || limits->txn_writes_max > 8)
        return "a frame is larger than the simulator's";
    if (limits->log_entries_max > 4096 || limits->pages_max > 1024 || limits->sessions_max > 256
        || limits->pending_writes_max > 1024 || limits->pending_reads_max > 1024 || limits->effects_max > 1024
        || limits->shadow_pages_max > 1024 || limits->inflight_bytes_max > 1 << 20)
        return "a table is larger than the simulator's";
    const char *problem = limits_problem(limits);
    if (problem != NULL)
        return problem;
    if (limits_wal_bytes(limits) / limits->block_bytes > DISK_BLOCKS_MAX
        || limits_data_bytes(limits) / limits->page_bytes > DISK_BLOCKS_MAX || limits_superblock_bytes(limits) > 8192)
        return "a disk is larger than the simulator's";
    return NULL;
}

static const char *times_problem(const struct swarm *swarm)
{
    const uint64_t most_ns = 1ULL << 43;
    const uint64_t times[] = { swarm->delay_ns,  swarm->outage_ns,
                               swarm->disk_ns,   swarm->tick_ns,
                               swarm->timer_ns,  swarm->downtime_ns,
                               swarm->think_ns,  swarm->patience_ns,
                               swarm->safety_ns, swarm->configs[0].election_timeout_ns };
    for (uint32_t i = 0; i < ARRAY_COUNT(times); i++)
        if (times[i] > most_ns)
            return "a time is longer than two hours";
    if (swarm->configs[0].election_timeout_ns < 100000 || swarm->delay_ns == 0 || swarm->timer_ns == 0
        || swarm->think_ns == 0 || swarm->patience_ns < 1000)
        return "a time is too short";
    if (swarm->safety_ns / swarm->configs[0].election_timeout_ns > 100000 || swarm->inputs_max > 1000000)
        return "the schedule is too long";
    return NULL;
}

static const char *nodes_problem(const struct swarm *swarm)
{
    for (uint32_t a = 0; a < swarm->node_count; a++) {
        if (swarm->ids[a] == 0 || swarm->ids[a] == UINT64_MAX)
            return "node ids 0 and 2^64-1 are reserved";
        for (uint32_t b = 0; b < a; b++)
            if (swarm->ids[a] == swarm->ids[b])
                return "two nodes have the same id";
        if (swarm->priorities[a] > UINT8_MAX)
            return "a priority is above 255";
        if (swarm->disk_slowness[a] == 0 || swarm->disk_slowness[a] > 1024)
            return "a disk is not 1 to 1024 times as slow";
        if (swarm->timer_slowness[a] == 0 || swarm->timer_slowness[a] > 1024)
            return "a timer is not 1 to 1024 times as slow";
        if (swarm->drift_ppm[a] < -500000 || swarm->drift_ppm[a] > 500000)
            return "a clock drifts by more than 500000 ppm";
    }
    return NULL;
}

const char *knobs_problem(const struct swarm *swarm)
{
    if (swarm->node_count == 0 || swarm->node_count > VOTERS_MAX)
        return "there are 1 to 7 nodes";
    if (swarm->member_count == 0 || swarm->member_count > swarm->node_count)
        return "members are nodes, one at least";
    if (swarm->client_count == 0 || swarm->client_count > CLIENTS_MAX || swarm->key_count == 0
        || swarm->key_count > KEYS_MAX)
        return "there are 1 to 8 clients and 1 to 32 keys";
    if (swarm->copies == 0 || swarm->copies > COPIES_MAX)
        return "there are 1 to 24 copies of a request";
    const char *problem = nodes_problem(swarm);
    if (problem == NULL)
        problem = times_problem(swarm);
    if (problem == NULL)
        problem = limits_fit(&swarm->limits);
    if (problem == NULL)
        problem = replica_config_problem(&swarm->configs[0]);
    if (problem == NULL)
        problem = configuration_problem(&swarm->configuration);
    if (problem != NULL)
        return problem;
    if (swarm->member_count > swarm->limits.members_max)
        return "there are more members than members_max";
    if (swarm->sector_bytes < 64 || swarm->limits.block_bytes % swarm->sector_bytes != 0
        || swarm->limits.page_bytes % u32_min(swarm->sector_bytes, swarm->limits.page_bytes) != 0)
        return "blocks and pages are whole sectors, of 64 bytes at least";
    if ((uint32_t)swarm->regime >= REGIME_KINDS)
        return "no such regime";
    return NULL;
}

void time_print(uint64_t ns, FILE *file)
{
    if (ns == 0)
        fputs("0", file);
    else if (ns % 1000000000 == 0)
        fprintf(file, "%" PRIu64 "s", ns / 1000000000);
    else if (ns % 1000000 == 0)
        fprintf(file, "%" PRIu64 "ms", ns / 1000000);
    else if (ns % 1000 == 0)
        fprintf(file, "%" PRIu64 "us", ns / 1000);
    else
        fprintf(file, "%" PRIu64 "ns", ns);
}

bool time_parse(const char *text, size_t bytes, uint64_t *ns)
{
    static const struct {
        const char *text;
        uint64_t factor;
    } units[] = { { "", 1 }, { "ns", 1 }, { "us", 1000 }, { "ms", 1000000 }, { "s", 1000000000 } };
    uint64_t value = 0;
    size_t at = 0;
    for (; at < bytes && text[at] >= '0' && text[at] <= '9'; at++) {
        const uint64_t digit = (uint64_t)(text[at] - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = 10 * value + digit;
    }
    for (uint32_t i = 0; at > 0 && i < ARRAY_COUNT(units); i++)
        if (strlen(units[i].text) == bytes - at && memcmp(units[i].text, text + at, bytes - at) == 0) {
            *ns = value * units[i].factor;
            return value <= UINT64_MAX / units[i].factor;
        }
    return false;
}

static void knob_print_value(const struct knob *knob, uint64_t value, FILE *file)
{
    if (knob->unit == KNOB_TIME)
        time_print(value, file);
    else if (knob->unit == KNOB_REGIME)
        fputs(regime_text((enum regime)value), file);
    else if (knob->unit == KNOB_SIGNED)
        fprintf(file, "%" PRId64, (int64_t)value);
    else
        fprintf(file, "%" PRIu64, value);
}

void knobs_print(const struct swarm *swarm, FILE *file)
{
    struct swarm plain;
    knobs_default(&plain);
    for (uint32_t i = 0; i < ARRAY_COUNT(knobs); i++) {
        const struct knob *knob = &knobs[i];
        const uint32_t values = knob->values == 1 ? 1 : swarm->node_count;
        bool differs = false;
        for (uint32_t k = 0; k < values; k++)
            differs |= knob_get(swarm, knob, k) != knob_get(&plain, knob, k);
        if (!differs)
            continue;
        fprintf(file, "knob %s ", knob->name);
        for (uint32_t k = 0; k < values; k++) {
            fputs(k > 0 ? "," : "", file);
            knob_print_value(knob, knob_get(swarm, knob, k), file);
        }
        fputc('\n', file);
    }
}

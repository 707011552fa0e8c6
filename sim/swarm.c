/* Draws the parameters of a schedule. Order matters: each draw comes from one stream, so a new parameter goes last in
 * its group's stream (CHOOSE_SWARM, group). */
#include "swarm.h"

#include "atlas.h"

enum { NS_PER_MS = 1000000 };

/* Groups of parameters, each with its own stream. */
enum swarm_group {
    GROUP_SHAPE,
    GROUP_RAFT,
    GROUP_LIMITS,
    GROUP_NETWORK,
    GROUP_NEMESIS,
    GROUP_DISK,
    GROUP_CLOCK,
    GROUP_PROCESS,
    GROUP_CLIENT,
    GROUP_DAMAGE,
    GROUP_MEMBERS,
    GROUP_PCT,
    GROUP_PLOT,
};

struct draw {
    struct swarm *swarm;
    struct choose *choose;
    enum swarm_group group;
};

static uint64_t draw_below(const struct draw *draw, uint64_t n)
{
    return choose(draw->choose, SITE_SWARM, draw->group, n);
}

static bool draw_percent(const struct draw *draw, uint32_t percent) { return draw_below(draw, 100) >= 100 - percent; }

static uint64_t draw_octave(const struct draw *draw, uint64_t low, uint64_t high)
{
    return choose_octave(draw->choose, SITE_SWARM, draw->group, low, high);
}

/* A rate that is off in half of the schedules. */
static uint32_t draw_rate(const struct draw *draw, uint32_t low, uint32_t high)
{
    const uint32_t rate = (uint32_t)draw_octave(draw, low, high);
    return draw_percent(draw, 50) && draw->swarm->faults ? rate : 0;
}

const char *profile_text(enum profile profile)
{
    static const char *const texts[PROFILE_KINDS] = {
        [PROFILE_MIXED] = "mixed",       [PROFILE_TIMED] = "timed",     [PROFILE_UNTIMED] = "untimed",
        [PROFILE_ELECTION] = "election", [PROFILE_STORAGE] = "storage", [PROFILE_DISK] = "disk",
        [PROFILE_QUIET] = "quiet",       [PROFILE_MEMBERS] = "members", [PROFILE_PCT] = "pct",
        [PROFILE_PLOT] = "plot",         [PROFILE_CORPUS] = "corpus",   [PROFILE_FORK] = "fork",
    };
    ASSERT(profile < PROFILE_KINDS);
    return texts[profile];
}

const char *regime_text(enum regime regime)
{
    switch (regime) {
    case REGIME_MINORITY: return "minority";
    case REGIME_PLACES: return "places";
    case REGIME_UNRESTRICTED: return "unrestricted";
    case REGIME_KINDS: break;
    }
    UNREACHABLE();
}

bool profile_parse(const char *text, enum profile *profile)
{
    for (enum profile kind = 0; kind < PROFILE_KINDS; kind++) {
        const char *name = profile_text(kind);
        uint32_t i = 0;
        while (name[i] != '\0' && name[i] == text[i])
            i++;
        if (name[i] != text[i])
            continue;
        *profile = kind;
        return true;
    }
    return false;
}

static enum profile draw_family(const struct draw *draw, enum profile profile)
{
    /* By kills per second of processor time (README.md), and none of the searches below 5. */
    static const uint8_t shares[PROFILE_KINDS] = {
        [PROFILE_TIMED] = 33,  [PROFILE_UNTIMED] = 14, [PROFILE_ELECTION] = 11, [PROFILE_PCT] = 11,
        [PROFILE_STORAGE] = 6, [PROFILE_PLOT] = 5,     [PROFILE_DISK] = 9,      [PROFILE_CORPUS] = 5,
        [PROFILE_FORK] = 5,    [PROFILE_QUIET] = 1,
    };
    if (profile != PROFILE_MIXED)
        return profile;
    uint64_t ticket = draw_below(draw, 100);
    for (enum profile family = 0; family < PROFILE_KINDS; family++) {
        if (ticket < shares[family])
            return family;
        ticket -= shares[family];
    }
    UNREACHABLE();
}

/* Little but the disks and the power is out of order. */
static bool family_is_calm(enum profile family) { return family == PROFILE_STORAGE || family == PROFILE_DISK; }

/* Nodes that may join, if anybody may. */
static void draw_spares(struct swarm *swarm, const struct draw *draw)
{
    swarm->reconfigures = draw_percent(draw, 12) || swarm->family == PROFILE_MEMBERS;
    const uint64_t spares = draw_below(draw, u32_min(4, VOTERS_MAX - swarm->node_count) + 1);
    if (swarm->reconfigures)
        swarm->node_count += (uint32_t)spares;
}

static void draw_shape(struct swarm *swarm, const struct draw *draw)
{
    static const uint8_t sizes[] = { 1, 2, 3, 4, 5, 7 };
    static const uint8_t percents[] = { 2, 3, 45, 8, 32, 10 };
    swarm->family = draw_family(draw, swarm->profile);
    swarm->faults = swarm->family != PROFILE_QUIET;
    swarm->untimed = swarm->family == PROFILE_UNTIMED || swarm->family == PROFILE_PCT;
    if (swarm->family == PROFILE_ELECTION || family_is_calm(swarm->family))
        swarm->untimed = draw_percent(draw, 25);
    if (swarm->family == PROFILE_MEMBERS || swarm->family == PROFILE_PLOT || swarm->family == PROFILE_CORPUS
        || swarm->family == PROFILE_FORK)
        swarm->untimed = draw_percent(draw, 35);
    uint64_t ticket = draw_below(draw, 100);
    for (uint32_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        swarm->node_count = sizes[i];
        if (ticket < percents[i])
            break;
        ticket -= percents[i];
    }
    swarm->client_count = 1 + (uint32_t)draw_below(draw, CLIENTS_MAX);
    swarm->key_count = 1 + (uint32_t)draw_below(draw, KEYS_FEW);
    swarm->inputs_max = draw_octave(draw, 100, 2000);
    swarm->member_count = swarm->node_count;
    /* Clients that meet at few keys see most; but few keys make a tree of few nodes. */
    if (draw_percent(draw, 10))
        swarm->key_count = 1 + KEYS_FEW + (uint32_t)draw_below(draw, KEYS_MAX - KEYS_FEW);
    draw_spares(swarm, &(struct draw){ .swarm = swarm, .choose = draw->choose, .group = GROUP_MEMBERS });
}

/* Unusual ids: the largest, neighbours of sentinels, far apart, and in no order. */
static uint64_t draw_id(const struct draw *draw, bool plain, uint32_t slot)
{
    const uint64_t other = draw_below(draw, 4);
    if (plain)
        return slot + 1;
    if (other == 0)
        return UINT64_MAX - 1 - slot; /* 0 and the largest are reserved */
    if (other == 1)
        return (1ULL << 63) + slot;
    return 1 + draw_below(draw, UINT32_MAX) * 8 + slot;
}

static void draw_raft(struct swarm *swarm, const struct draw *draw)
{
    const bool hasty = draw_percent(draw, 12);
    const uint64_t election_ns =
        hasty ? draw_octave(draw, NS_PER_MS, 50 * NS_PER_MS) : draw_octave(draw, 50 * NS_PER_MS, 5000ULL * NS_PER_MS);
    const uint64_t beat = draw_octave(draw, 3, 12);
    const bool plain = draw_percent(draw, 50);
    const bool protected = swarm->family != PROFILE_ELECTION || draw_percent(draw, 20);
    const bool pre_vote = draw_percent(draw, 65) && protected;
    const bool check_quorum = draw_percent(draw, 65) && protected;
    const bool strict_naming = draw_percent(draw, 25);
    const uint64_t cluster_id = 1 + draw_below(draw, UINT32_MAX);
    memset(swarm->configs, 0, sizeof swarm->configs);
    memset(&swarm->configuration, 0, sizeof swarm->configuration);
    for (uint32_t slot = 0; slot < swarm->node_count; slot++) {
        struct replica_config *config = &swarm->configs[slot];
        config->cluster_id = cluster_id;
        config->election_timeout_ns = election_ns;
        config->heartbeat_interval_ns = election_ns / beat;
        config->pre_vote = pre_vote;
        config->check_quorum = check_quorum;
        config->strict_naming = strict_naming;
        config->node_id = swarm->ids[slot] = draw_id(draw, plain, slot);
        if (slot >= swarm->member_count)
            continue;
        swarm->configuration.members[slot] = (struct member){
            .id = config->node_id,
            .roles = MEMBER_VOTER,
            .address = { 'n', (char)('1' + slot), ':', '1' },
        };
    }
    if (draw_percent(draw, 25))
        for (uint32_t slot = 0; slot < swarm->member_count; slot++)
            swarm->configuration.members[slot].priority =
                (uint8_t)(swarm->priorities[slot] = (uint32_t)draw_below(draw, 4));
}

/* One knob: kept only if all relations between the limits still hold. */
static void draw_knob(struct swarm *swarm, const struct draw *draw, uint32_t *knob, const uint32_t (*values)[4])
{
    const uint32_t old = *knob;
    *knob = (*values)[draw_below(draw, 4)];
    if (limits_problem(&swarm->limits) != NULL)
        *knob = old;
}
#define KNOB(name, ...) draw_knob(swarm, draw, &swarm->limits.name, &(const uint32_t[4]){ __VA_ARGS__ })

/* Nodes that cells of very different sizes share. A transaction must fit with all its keys. */
static void draw_keys(struct swarm *swarm, const struct draw *draw)
{
    swarm->limits.txn_compares_max = swarm->limits.txn_writes_max = 1;
    swarm->limits.data_run_bytes_max = u32_max(swarm->limits.data_run_bytes_max, 1024);
    KNOB(frame_bytes_max, 2048, 2048, 2048, 4096);
    KNOB(page_bytes, 512, 512, 1024, 1024);
    KNOB(key_bytes_max, 40, 60, 120, 200);
}

static void draw_limits(struct swarm *swarm, const struct draw *draw)
{
    swarm->limits = limits_tiny;
    const bool scarce = draw_percent(draw, 12);
    KNOB(wal_batch_bytes_max, 1024, 1536, 2048, 4096);
    KNOB(value_bytes_max, 8, 60, 160, 400);
    KNOB(wal_header_blocks, 4, 4, 5, 8);
    KNOB(wal_unnamed_max, 2, 3, 3, 3);
    KNOB(wal_depth, 1, 2, 2, 1);
    KNOB(wal_reserve_blocks, 4, 8, 24, 32);
    KNOB(wal_body_blocks, 80, 112, 160, 256);
    if (scarce) { /* or a small log could not hold what lies between two checkpoints */
        KNOB(wal_retain_blocks, 1, 1, 2, 4);
        KNOB(checkpoint_wal_blocks, 4, 6, 8, 12);
        KNOB(checkpoint_entries, 4, 4, 8, 12);
        KNOB(wal_body_blocks, 40, 64, 96, 256);
        KNOB(log_entries_max, 16, 32, 64, 256);
    } else {
        KNOB(wal_retain_blocks, 1, 4, 16, 32);
        KNOB(checkpoint_wal_blocks, 8, 16, 48, 96);
        KNOB(checkpoint_entries, 8, 16, 32, 64);
        KNOB(log_entries_max, 256, 256, 512, 512);
    }
    KNOB(sessions_max, 2, 4, 8, 16);
    KNOB(data_blocks, 72, 96, 128, 192);
    KNOB(pages_max, 8, 12, 20, 32);
    KNOB(data_run_bytes_max, 256, 512, 1024, 4096);
    KNOB(data_depth, 1, 1, 2, 2);
    KNOB(shadow_pages_max, 2, 4, 16, 32);
    KNOB(pending_writes_max, 1, 2, 8, 16);
    KNOB(pending_reads_max, 1, 2, 8, 16);
    KNOB(inflight_max, 1, 2, 4, 16);
    KNOB(append_entries_max, 1, 2, 8, 32);
    KNOB(append_bytes_max, 64, 160, 512, 1024);
    KNOB(apply_per_step_max, 1, 2, 16, 64);
    KNOB(effects_max, 28, 32, 64, 128);
    KNOB(inflight_bytes_max, 64, 512, 1024, 4096);
    if (swarm->family == PROFILE_ELECTION)
        KNOB(append_entries_max, 1, 1, 1, 2);
    if (swarm->key_count > KEYS_FEW)
        draw_keys(swarm, draw);
    /* All of a store in one to eight election timeouts. */
    const uint64_t data_bytes = limits_data_bytes(&swarm->limits);
    const uint64_t rate = data_bytes * (1000000000 / 1024) / swarm->configs[0].election_timeout_ns;
    swarm->limits.install_kib_per_second = 1 + (uint32_t)(rate >> draw_below(draw, 4));
    /* All of a disk in 4 to 256. */
    const uint64_t disk_bytes = data_bytes + limits_wal_bytes(&swarm->limits);
    const uint64_t disk_rate = disk_bytes * (1000000000 / 1024) / swarm->configs[0].election_timeout_ns;
    swarm->limits.scrub_kib_per_second = 1 + (uint32_t)(disk_rate >> (2 + draw_below(draw, 7)));
}

static void draw_network(struct swarm *swarm, const struct draw *draw)
{
    const uint64_t election_ns = swarm->configs[0].election_timeout_ns;
    const bool calm = family_is_calm(swarm->family);
    swarm->delay_ns = draw_octave(draw, election_ns / 1000, election_ns / (calm ? 50 : 4));
    swarm->delay_kind = (enum delay_kind)draw_below(draw, DELAY_KINDS);
    if (swarm->untimed) {
        swarm->delay_ns = election_ns / 20;
        swarm->delay_kind = DELAY_EXPONENTIAL;
    }
    swarm->delay_per_link = draw_percent(draw, 40) && swarm->faults;
    swarm->loss = draw_rate(draw, 1000, calm ? 10000 : 250000);
    swarm->duplicate = draw_rate(draw, 1000, 250000);
    swarm->duplicate_late = draw_rate(draw, 500, 60000);
    swarm->hold_back = draw_rate(draw, 1000, 120000);
    swarm->bit_flip = draw_rate(draw, 500, 30000);
    swarm->truncation = draw_rate(draw, 500, 30000);
    swarm->foreign = draw_rate(draw, 500, 30000);
    const bool selective = draw_percent(draw, swarm->family == PROFILE_ELECTION ? 70 : 15);
    const uint64_t kind = draw_below(draw, 2 * SELECTIVE_KINDS);
    swarm->selective = kind > 0 && kind < SELECTIVE_KINDS ? (enum selective_kind)kind : SELECTIVE_ENTRIES;
    swarm->selective_loss = (uint32_t)draw_octave(draw, 150000, 900000);
    if (!selective || !swarm->faults) {
        swarm->selective = SELECTIVE_NONE;
        swarm->selective_loss = 0;
    }
    swarm->falsify = draw_rate(draw, 20000, 300000);
}

static bool nemesis_wanted(const struct swarm *swarm, enum nemesis_kind kind)
{
    const bool storage = kind == NEMESIS_CRASH || kind == NEMESIS_POWER || kind == NEMESIS_STALL;
    return family_is_calm(swarm->family) ? storage : swarm->faults;
}

static void draw_nemesis(struct swarm *swarm, const struct draw *draw)
{
    const uint64_t election_ns = swarm->configs[0].election_timeout_ns;
    swarm->outage_ns = draw_octave(draw, election_ns / 4, 8 * election_ns);
    for (enum nemesis_kind kind = 0; kind <= NEMESIS_STALL; kind++) {
        const bool often = kind == NEMESIS_CRASH && family_is_calm(swarm->family);
        const bool on = draw_percent(draw, often ? 90 : 40);
        const uint64_t interval_ns = draw_octave(draw, election_ns, (often ? 8 : 64) * election_ns);
        swarm->nemesis_ns[kind] = on && nemesis_wanted(swarm, kind) ? interval_ns : 0;
    }
    if (swarm->node_count < 2)
        swarm->nemesis_ns[NEMESIS_SPLIT] = swarm->nemesis_ns[NEMESIS_ONE_WAY] = swarm->nemesis_ns[NEMESIS_LEADER] = 0;
    if (swarm->node_count < 3)
        swarm->nemesis_ns[NEMESIS_PAIR] = 0;
    swarm->power_again = draw_rate(draw, 10000, 900000);
}

static void draw_disk(struct swarm *swarm, const struct draw *draw)
{
    const uint64_t election_ns = swarm->configs[0].election_timeout_ns;
    swarm->disk_ns = draw_octave(draw, election_ns / 2000, election_ns / 4);
    swarm->disk_kind = (enum delay_kind)draw_below(draw, DELAY_KINDS);
    if (swarm->untimed) {
        swarm->disk_ns = election_ns / 40 * (1 + draw_below(draw, 4));
        swarm->disk_kind = DELAY_EXPONENTIAL;
    }
    const bool uneven = draw_percent(draw, 30) && swarm->faults;
    for (uint32_t slot = 0; slot < VOTERS_MAX; slot++) {
        const uint32_t factor = (uint32_t)draw_octave(draw, 1, 16);
        swarm->disk_slowness[slot] = uneven ? factor : 1;
    }
    swarm->sector_bytes = swarm->limits.block_bytes >> (draw_percent(draw, 50) ? 2 : 0);
    swarm->read_error = draw_rate(draw, 5000, 250000);
    const uint32_t percent = family_is_calm(swarm->family) ? 40 : 20;
    const uint32_t error = (uint32_t)draw_octave(draw, 1000, 30000);
    const uint32_t full = (uint32_t)draw_octave(draw, 300, 10000);
    swarm->write_error = draw_percent(draw, percent) && swarm->faults ? error : 0;
    swarm->write_full = draw_percent(draw, percent / 2) && swarm->faults ? full : 0;
}

/* Does any disk lose or alter anything? */
static bool swarm_damages(const struct swarm *swarm)
{
    const uint64_t *nemesis = swarm->nemesis_ns;
    return nemesis[NEMESIS_ROT] != 0 || nemesis[NEMESIS_STICKY] != 0 || nemesis[NEMESIS_SUPERBLOCK] != 0
           || swarm->write_swallowed != 0 || swarm->write_misdirected != 0 || swarm->read_misdirected != 0;
}

/* What the disks do to what they were trusted with: in some schedules several such things, in the others none, so that
 * most schedules do not end with nodes that have stopped. */
static void draw_damage(struct swarm *swarm, const struct draw *draw)
{
    static const enum nemesis_kind kinds[] = { NEMESIS_ROT, NEMESIS_STICKY, NEMESIS_SUPERBLOCK };
    static const enum nemesis_kind slow[] = { NEMESIS_SLOW, NEMESIS_STUCK };
    const uint64_t election_ns = swarm->configs[0].election_timeout_ns;
    const bool disk = swarm->family == PROFILE_DISK;
    const bool damaged = (draw_percent(draw, swarm->family == PROFILE_STORAGE ? 60 : 35) || disk) && swarm->faults;
    const uint32_t percent = disk ? 80 : 50;
    for (uint32_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        const uint64_t interval_ns = draw_octave(draw, election_ns / (disk ? 2 : 1), (disk ? 16 : 128) * election_ns);
        swarm->nemesis_ns[kinds[i]] = draw_percent(draw, percent) && damaged ? interval_ns : 0;
    }
    for (uint32_t i = 0; i < ARRAY_COUNT(slow); i++) {
        const uint64_t interval_ns = draw_octave(draw, election_ns, 64 * election_ns);
        swarm->nemesis_ns[slow[i]] = draw_percent(draw, disk ? 50 : 20) && swarm->faults ? interval_ns : 0;
    }
    uint32_t *const rates[] = { &swarm->write_swallowed, &swarm->write_misdirected, &swarm->read_misdirected };
    for (uint32_t i = 0; i < ARRAY_COUNT(rates); i++) {
        const uint32_t scale = rates[i] == &swarm->read_misdirected ? 10 : 1; /* few reads, many writes */
        const uint32_t rate = scale * (uint32_t)draw_octave(draw, disk ? 300 : 30, disk ? 30000 : 10000);
        *rates[i] = draw_percent(draw, percent) && damaged ? rate : 0;
    }
    swarm->nemesis_ns[NEMESIS_WIPE] = draw_octave(draw, 8 * election_ns, 128 * election_ns);
    if (!draw_percent(draw, percent / 2) || !damaged)
        swarm->nemesis_ns[NEMESIS_WIPE] = 0;
    const uint64_t ticket = draw_below(draw, 100);
    swarm->regime = REGIME_MINORITY;
    if (damaged && ticket >= (disk ? 60 : 75))
        swarm->regime = REGIME_UNRESTRICTED;
    else if (damaged && ticket >= 35 && (ATLAS_LOG_IS_REPAIRED || ATLAS_PAGES_ARE_REPAIRED))
        swarm->regime = REGIME_PLACES;
}

/* A third of the voters may lose what they had, if there are three at least: in either half of any configuration. Who
 * lost its disk while others came and went would not know whom to ask. */
static void draw_members(struct swarm *swarm, const struct draw *draw)
{
    const uint64_t election_ns = swarm->configs[0].election_timeout_ns;
    swarm->struck_max = (swarm->node_count - 1) / 2;
    if (!swarm->reconfigures)
        return;
    KNOB(members_max, 4, 5, 7, 10);
    swarm->limits.members_max = u32_max(swarm->limits.members_max, swarm->member_count);
    KNOB(promote_lag_entries_max, 1, 4, 4, 16);
    swarm->change_ns = draw_octave(draw, election_ns / 2, 16 * election_ns);
    swarm->change_any = draw_percent(draw, 50) ? 300000 : 0;
    swarm->change_forced = draw_percent(draw, 50) ? (uint32_t)draw_octave(draw, 20000, 500000) : 0;
    swarm->change_together = draw_percent(draw, 50) ? (uint32_t)draw_octave(draw, 50000, 500000) : 0;
    swarm->spare_early = (uint32_t)draw_below(draw, 3) * 500000;
    swarm->revived = draw_percent(draw, 60) ? (uint32_t)draw_octave(draw, 20000, 500000) : 0;
    swarm->nemesis_ns[NEMESIS_WIPE] = 0;
    const bool bears = swarm->member_count >= 3;
    swarm->voters_min = bears && swarm_damages(swarm) ? 3 : 1;
    if (swarm->regime != REGIME_UNRESTRICTED)
        swarm->struck_max = bears ? 1 : 0;
}

/* Leases rest on clocks that differ by no more than they are told (Raft 6.4.1). The bound is exact. */
static void draw_lease(struct swarm *swarm, const struct draw *draw)
{
    const bool wanted = draw_percent(draw, 50);
    const uint32_t stale_clock = draw_rate(draw, 10000, 300000);
    int32_t bound_ppm = 1;
    swarm->lease = wanted && swarm->configs[0].check_quorum && !swarm->untimed;
    if (!swarm->lease)
        return;
    for (uint32_t slot = 0; slot < VOTERS_MAX; slot++) {
        swarm->drift_ppm[slot] /= 4; /* or little would be left of a lease */
        const int32_t drift_ppm = swarm->drift_ppm[slot];
        bound_ppm = drift_ppm > bound_ppm ? drift_ppm : -drift_ppm > bound_ppm ? -drift_ppm : bound_ppm;
    }
    for (uint32_t slot = 0; slot < swarm->node_count; slot++)
        swarm->configs[slot].lease_drift_ppm = (uint32_t)bound_ppm;
    swarm->nemesis_ns[NEMESIS_FORWARD] = swarm->nemesis_ns[NEMESIS_BACKWARD] = 0;
    swarm->stale_clock = stale_clock;
}

static void draw_clock(struct swarm *swarm, const struct draw *draw)
{
    const uint64_t election_ns = swarm->configs[0].election_timeout_ns;
    const int64_t ppm = (int64_t)draw_octave(draw, 50, 400000);
    swarm->drift = draw_percent(draw, 50) && swarm->faults;
    for (uint32_t slot = 0; slot < VOTERS_MAX; slot++) {
        const int64_t drift = (int64_t)draw_below(draw, (uint64_t)(2 * ppm + 1)) - ppm;
        swarm->drift_ppm[slot] = swarm->drift ? (int32_t)drift : 0;
    }
    swarm->clock_restart = draw_percent(draw, 60) && swarm->faults;
    swarm->tick_ns = draw_percent(draw, 50) ? draw_octave(draw, election_ns / 500, election_ns / 10) : 0;
    swarm->timer_ns = draw_octave(draw, election_ns / 20, election_ns * 2);
    for (uint32_t slot = 0; slot < VOTERS_MAX; slot++)
        swarm->timer_slowness[slot] = 1;
    draw_lease(swarm, draw);
}

static void draw_process(struct swarm *swarm, const struct draw *draw)
{
    const uint64_t election_ns = swarm->configs[0].election_timeout_ns;
    const bool crashes = draw_percent(draw, family_is_calm(swarm->family) ? 70 : 30) && swarm->faults;
    swarm->effect_crash = crashes ? (uint32_t)draw_octave(draw, 200, 12000) : 0;
    swarm->fast_restart = draw_percent(draw, 50) && swarm->faults ? 500000 : 0;
    swarm->downtime_ns = draw_octave(draw, election_ns / 8, 6 * election_ns);
    swarm->batch = draw_percent(draw, 60) ? (uint32_t)draw_octave(draw, 20000, 900000) : 0;
    swarm->effect_power = draw_rate(draw, 10000, 500000);
    swarm->backlog = draw_rate(draw, 5000, 250000);
}

/* So many answers fall due at once that a step cannot give them all. */
static void draw_crowd(struct swarm *swarm, const struct draw *draw)
{
    swarm->copies = 1;
    if (!draw_percent(draw, 5) || !swarm->faults)
        return;
    swarm->copies = COPIES_MAX / 2 + (uint32_t)draw_below(draw, COPIES_MAX / 2 + 1);
    swarm->client_count = CLIENTS_MAX;
    swarm->inputs_max *= 2;
    KNOB(pending_writes_max, 16, 32, 64, 64);
    KNOB(pending_reads_max, 16, 32, 64, 64);
    KNOB(effects_max, 28, 28, 28, 32);
    KNOB(apply_per_step_max, 16, 32, 64, 64);
}

static void draw_client(struct swarm *swarm, const struct draw *draw)
{
    const uint64_t election_ns = swarm->configs[0].election_timeout_ns;
    swarm->think_ns = draw_octave(draw, election_ns / 64, election_ns);
    swarm->patience_ns = draw_octave(draw, election_ns / 2, 4 * election_ns);
    swarm->attempts_max = 1 + (uint32_t)draw_below(draw, 6);
    swarm->reads = (uint32_t)draw_below(draw, 7) * 100000;
    swarm->stale_reads = draw_percent(draw, 50) ? 200000 : 0;
    swarm->transactions = draw_percent(draw, 60) ? (uint32_t)draw_octave(draw, 50000, 400000) : 0;
    swarm->malformed = draw_rate(draw, 2000, 60000);
    swarm->hedge = draw_rate(draw, 5000, 250000);
    swarm->stubborn = draw_rate(draw, 100000, 900000);
    swarm->register_again = draw_rate(draw, 5000, 120000);
    swarm->asks = draw_rate(draw, 5000, 120000);
    swarm->saves = draw_rate(draw, 5000, 120000);
    swarm->transfers = draw_percent(draw, 40) ? (uint32_t)draw_octave(draw, 10000, 250000) : 0;
    swarm->local_reads = draw_percent(draw, 60) ? (uint32_t)draw_octave(draw, 200000, 900000) : 0;
    swarm->bounded = draw_percent(draw, 60) ? 500000 : 0;
    swarm->bound_ns = draw_octave(draw, election_ns / 32, 4 * election_ns);
    /* A lease is not the only thing that can be over before its answer leaves. */
    const uint32_t stale_clock = draw_rate(draw, 50000, 500000);
    if (swarm->local_reads != 0 && swarm->bounded != 0 && swarm->stale_clock == 0)
        swarm->stale_clock = stale_clock;
    swarm->deadlines = draw_percent(draw, 50) ? (uint32_t)draw_octave(draw, 50000, 900000) : 0;
    const uint64_t overload_ns = draw_octave(draw, election_ns, 8 * election_ns);
    swarm->overload_ns = draw_percent(draw, 30) ? overload_ns : 0;
    draw_crowd(swarm, draw);
}

/* PCT: paces over ten octaves instead of priorities, and a depth of 2 to 4 (pct.h). */
static void draw_pct(struct swarm *swarm, const struct draw *draw)
{
    const uint64_t election_ns = swarm->configs[0].election_timeout_ns;
    if (swarm->family != PROFILE_PCT)
        return;
    swarm->delay_kind = swarm->disk_kind = DELAY_CONSTANT;
    swarm->delay_per_link = true;
    swarm->delay_ns = election_ns / 20;
    swarm->disk_ns = election_ns / 640;
    swarm->timer_ns = election_ns / 8;
    swarm->hold_back = 0; /* what overtakes is for the paces to say */
    for (uint32_t slot = 0; slot < VOTERS_MAX; slot++) {
        swarm->disk_slowness[slot] = (uint32_t)draw_octave(draw, 1, 255);
        swarm->timer_slowness[slot] = (uint32_t)draw_octave(draw, 1, 31);
    }
    swarm->demotions = 1 + (uint32_t)draw_below(draw, DEMOTIONS_MAX);
    for (uint32_t i = 0; i < swarm->demotions; i++) {
        const uint64_t step = 1 + draw_below(draw, swarm->inputs_max);
        uint32_t at = i;
        for (; at > 0 && swarm->demote_step[at - 1] > step; at--)
            swarm->demote_step[at] = swarm->demote_step[at - 1];
        swarm->demote_step[at] = step;
    }
}

/* One plot at least, often. */
static void draw_plot(struct swarm *swarm, const struct draw *draw)
{
    static const enum nemesis_kind kinds[] = { NEMESIS_ROLLING, NEMESIS_SWIZZLE, NEMESIS_HUNT, NEMESIS_HOLDER };
    const uint64_t election_ns = swarm->configs[0].election_timeout_ns;
    if (swarm->family != PROFILE_PLOT)
        return;
    const uint32_t count = swarm->node_count < 2 ? 1 : ARRAY_COUNT(kinds);
    const uint64_t always = draw_below(draw, count);
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t interval_ns = draw_octave(draw, 4 * election_ns, 32 * election_ns);
        const bool on = draw_percent(draw, 50) || i == always;
        swarm->nemesis_ns[kinds[i]] = on ? interval_ns : 0;
    }
}

static void coverage_enable(struct coverage *coverage, const bool *on)
{
    for (enum fault_kind kind = 0; kind < FAULT_KINDS; kind++)
        coverage->enabled[kind] += on[kind];
}

/* Which faults these parameters allow. Faults of crashes need a crash, and so on: listed as what suffices. */
static bool swarm_crashes(const struct swarm *swarm)
{
    const uint64_t *nemesis = swarm->nemesis_ns;
    return nemesis[NEMESIS_CRASH] != 0 || nemesis[NEMESIS_POWER] != 0 || swarm->effect_crash != 0;
}

static void swarm_count_disks(const struct swarm *swarm, struct coverage *coverage)
{
    const uint64_t *nemesis = swarm->nemesis_ns;
    const bool crashes = swarm_crashes(swarm);
    const bool rots = nemesis[NEMESIS_ROT] != 0 || nemesis[NEMESIS_STICKY] != 0;
    const bool on[FAULT_KINDS] = {
        [FAULT_DISK_REORDER] = swarm->faults && swarm->disk_kind != DELAY_CONSTANT,
        [FAULT_DISK_STALL] = nemesis[NEMESIS_STALL],
        [FAULT_WRITE_LOST] = crashes,
        [FAULT_WRITE_TORN] = crashes,
        [FAULT_WRITE_KEPT] = crashes,
        [FAULT_READ_ERROR] = swarm->read_error,
        [FAULT_WRITE_ERROR] = swarm->write_error,
        [FAULT_WRITE_FULL] = swarm->write_full,
        [FAULT_READ_TORN] = swarm->faults,
        [FAULT_DISK_SLOW] = nemesis[NEMESIS_SLOW],
        [FAULT_DISK_STUCK] = nemesis[NEMESIS_STUCK],
        [FAULT_BIT_ROT] = nemesis[NEMESIS_ROT],
        [FAULT_READ_STICKY] = nemesis[NEMESIS_STICKY],
        [FAULT_WRITE_SWALLOWED] = swarm->write_swallowed,
        [FAULT_WRITE_MISDIRECTED] = swarm->write_misdirected,
        [FAULT_READ_MISDIRECTED] = swarm->read_misdirected,
        [FAULT_SUPERBLOCK_SOME] = nemesis[NEMESIS_SUPERBLOCK],
        [FAULT_SUPERBLOCK_ALL] = nemesis[NEMESIS_SUPERBLOCK],
        [FAULT_DISK_WIPED] = nemesis[NEMESIS_WIPE] != 0 && swarm->regime != REGIME_PLACES && swarm->node_count > 2,
        [FAULT_BAD_SUPERBLOCK] = rots,
        [FAULT_BAD_HEADER] = rots,
        [FAULT_BAD_BODY] = rots,
        [FAULT_BAD_DATA] = rots && (swarm->regime == REGIME_UNRESTRICTED || ATLAS_PAGES_ARE_REPAIRED),
        [FAULT_BAD_DOWN] = rots && crashes,
        [FAULT_BAD_MAJORITY] = rots && swarm->regime == REGIME_UNRESTRICTED,
        [FAULT_HARM_SEEN] = rots && crashes,
    };
    coverage_enable(coverage, on);
}

static void swarm_count_others(const struct swarm *swarm, struct coverage *coverage)
{
    const uint64_t *nemesis = swarm->nemesis_ns;
    const bool crashes = swarm_crashes(swarm);
    const bool on[FAULT_KINDS] = {
        [FAULT_LOSS] = swarm->loss,
        [FAULT_SELECTIVE_LOSS] = swarm->selective != SELECTIVE_NONE,
        [FAULT_DUPLICATE] = swarm->duplicate,
        [FAULT_DUPLICATE_LATE] = swarm->duplicate_late,
        [FAULT_DELAY] = swarm->hold_back,
        [FAULT_BIT_FLIP] = swarm->bit_flip,
        [FAULT_TRUNCATION] = swarm->truncation,
        [FAULT_FOREIGN_FRAME] = swarm->foreign,
        [FAULT_PAGE_FALSE] = swarm->falsify,
        [FAULT_SPLIT] = nemesis[NEMESIS_SPLIT],
        [FAULT_ONE_WAY] = nemesis[NEMESIS_ONE_WAY],
        [FAULT_PAIR] = nemesis[NEMESIS_PAIR],
        [FAULT_ISOLATED_LEADER] = nemesis[NEMESIS_LEADER],
        [FAULT_CLIENTS_CUT] = nemesis[NEMESIS_CLIENTS],
        [FAULT_CLOG] = nemesis[NEMESIS_CLOG],
        [FAULT_DECISION_SPLICED] = swarm->family == PROFILE_CORPUS,
        [FAULT_DECISION_SHIFTED] = swarm->family == PROFILE_CORPUS,
        [FAULT_DECISION_INSERTED] = swarm->family == PROFILE_CORPUS,
        [FAULT_FORKED] = swarm->family == PROFILE_FORK,
        [FAULT_FORK_KEPT] = swarm->family == PROFILE_FORK,
        [FAULT_SWIZZLE] = nemesis[NEMESIS_SWIZZLE],
        [FAULT_ROLLING_RESTART] = nemesis[NEMESIS_ROLLING],
        [FAULT_LEADER_HUNTED] = nemesis[NEMESIS_HUNT],
        [FAULT_HOLDER_CUT] = nemesis[NEMESIS_HOLDER],
        [FAULT_LINK_DEMOTED] = swarm->demotions,
        [FAULT_DISK_DEMOTED] = swarm->demotions,
        [FAULT_TIMER_DEMOTED] = swarm->demotions,
        [FAULT_DRIFT] = swarm->drift,
        [FAULT_CLOCK_FORWARD] = nemesis[NEMESIS_FORWARD],
        [FAULT_CLOCK_BACKWARD] = nemesis[NEMESIS_BACKWARD],
        [FAULT_CLOCK_RESTART] = crashes && swarm->clock_restart,
        [FAULT_CRASH] = nemesis[NEMESIS_CRASH],
        [FAULT_CRASH_IN_EFFECTS] = swarm->effect_crash,
        [FAULT_CRASH_IN_RECOVERY] = crashes,
        [FAULT_CRASH_IN_CHECKPOINT] = crashes,
        [FAULT_CRASH_IN_LOAD] = crashes,
        [FAULT_POWER_LOSS] = nemesis[NEMESIS_POWER],
        [FAULT_POWER_LOSS_IN_EFFECTS] = swarm->effect_crash && swarm->effect_power,
        [FAULT_POWER_LOSS_AGAIN] = nemesis[NEMESIS_POWER] && swarm->power_again,
        [FAULT_FAST_RESTART] = crashes && swarm->fast_restart,
        [FAULT_PAUSE] = nemesis[NEMESIS_PAUSE],
        [FAULT_STALE_CLOCK] = swarm->stale_clock,
        [FAULT_BACKLOG] = swarm->backlog,
        [FAULT_OVERLOAD] = swarm->overload_ns,
        [FAULT_RETRY_AFTER] = swarm->overload_ns,
        [FAULT_LATE_REPLY] = swarm->stale_clock && swarm->node_count > 1,
        [FAULT_BATCH] = swarm->batch,
        [FAULT_HEDGE] = swarm->hedge && swarm->node_count > 1,
        [FAULT_CROWD] = swarm->copies > 1,
        [FAULT_OUTPUT_FULL] = swarm->copies > 1,
        [FAULT_RETRY] = swarm->loss,
        [FAULT_ABANDON] = swarm->loss,
        [FAULT_MALFORMED_REQUEST] = swarm->malformed,
        [FAULT_CHECKPOINT_ASKED] = swarm->asks,
        [FAULT_SNAPSHOT_SAVED] = swarm->saves,
        [FAULT_STUBBORN_CLIENT] = swarm->stubborn && swarm->node_count > 1,
        [FAULT_SESSION_LOST] = swarm->client_count > swarm->limits.sessions_max,
        [FAULT_OUTSIDER] = swarm->faults && swarm->node_count >= 3,
    };
    coverage_enable(coverage, on);
}

static void swarm_count_members(const struct swarm *swarm, struct coverage *coverage)
{
    bool on[FAULT_KINDS] = { false };
    for (uint32_t kind = FAULT_MEMBERS_FIRST; kind <= FAULT_MEMBERS_LAST; kind++)
        on[kind] = swarm->reconfigures;
    const uint64_t *nemesis = swarm->nemesis_ns;
    const bool cuts =
        nemesis[NEMESIS_SPLIT] || nemesis[NEMESIS_ONE_WAY] || nemesis[NEMESIS_PAIR] || nemesis[NEMESIS_LEADER];
    on[FAULT_CHANGE_OF_CUT] = swarm->reconfigures && cuts;
    on[FAULT_CHANGE_OF_DOWN] = swarm->reconfigures && swarm_crashes(swarm);
    on[FAULT_CHANGE_FORCED] = swarm->reconfigures && swarm->change_forced;
    on[FAULT_CHANGE_TOGETHER] = swarm->reconfigures && swarm->change_together;
    coverage_enable(coverage, on);
}

void swarm_draw(struct swarm *swarm, struct choose *choose, struct coverage *coverage, uint64_t seed,
                enum profile profile)
{
    static void (*const groups[])(struct swarm *, const struct draw *) = {
        [GROUP_SHAPE] = draw_shape,     [GROUP_RAFT] = draw_raft,       [GROUP_LIMITS] = draw_limits,
        [GROUP_NETWORK] = draw_network, [GROUP_NEMESIS] = draw_nemesis, [GROUP_DISK] = draw_disk,
        [GROUP_CLOCK] = draw_clock,     [GROUP_PROCESS] = draw_process, [GROUP_CLIENT] = draw_client,
        [GROUP_DAMAGE] = draw_damage,   [GROUP_MEMBERS] = draw_members, [GROUP_PCT] = draw_pct,
        [GROUP_PLOT] = draw_plot,
    };
    memset(swarm, 0, sizeof *swarm);
    swarm->seed = seed;
    swarm->profile = profile;
    for (enum swarm_group group = 0; group < ARRAY_COUNT(groups); group++)
        groups[group](swarm, &(struct draw){ .swarm = swarm, .choose = choose, .group = group });
    swarm->safety_ns = 120 * swarm->configs[0].election_timeout_ns;
    ASSERT(limits_problem(&swarm->limits) == NULL);
    ASSERT(replica_config_problem(&swarm->configs[0]) == NULL);
    ASSERT(configuration_problem(&swarm->configuration) == NULL);
    swarm_count_disks(swarm, coverage);
    swarm_count_others(swarm, coverage);
    swarm_count_members(swarm, coverage);
}

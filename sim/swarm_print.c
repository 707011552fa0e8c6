/* The parameters of a schedule as text, one line per group. */
#include <inttypes.h>

#include "trace.h"

static const char *const delay_texts[DELAY_KINDS] = { "constant", "uniform", "exponential", "heavy" };

static void swarm_print_cluster(const struct swarm *swarm, FILE *file)
{
    const struct replica_config *config = &swarm->configs[0];
    fprintf(file,
            "cluster   nodes=%" PRIu32 " election_ns=%" PRIu64 " heartbeat_ns=%" PRIu64
            " pre_vote=%d check_quorum=%d strict_naming=%d ids=",
            swarm->node_count, config->election_timeout_ns, config->heartbeat_interval_ns, config->pre_vote,
            config->check_quorum, config->strict_naming);
    for (uint32_t slot = 0; slot < swarm->node_count; slot++)
        fprintf(file, "%s%" PRIu64, slot > 0 ? "," : "", swarm->configs[slot].node_id);
    fputc('\n', file);
}

static void swarm_print_limits(const struct limits *limits, FILE *file)
{
    fprintf(file,
            "limits    block=%" PRIu32 " header_blocks=%" PRIu32 " body_blocks=%" PRIu32 " reserve=%" PRIu32
            " batch_bytes=%" PRIu32 " depth=%" PRIu32 " unnamed=%" PRIu32 " log_entries=%" PRIu32 "\n",
            limits->block_bytes, limits->wal_header_blocks, limits->wal_body_blocks, limits->wal_reserve_blocks,
            limits->wal_batch_bytes_max, limits->wal_depth, limits->wal_unnamed_max, limits->log_entries_max);
    fprintf(file,
            "limits    retain=%" PRIu32 " checkpoint_blocks=%" PRIu32 " checkpoint_entries=%" PRIu32
            " data_blocks=%" PRIu32 " run_bytes=%" PRIu32 " data_depth=%" PRIu32 " shadow_pages=%" PRIu32
            " install_kib=%" PRIu32 "\n",
            limits->wal_retain_blocks, limits->checkpoint_wal_blocks, limits->checkpoint_entries, limits->data_blocks,
            limits->data_run_bytes_max, limits->data_depth, limits->shadow_pages_max, limits->install_kib_per_second);
    fprintf(file,
            "limits    key_bytes=%" PRIu32 " value_bytes=%" PRIu32 " txn=%" PRIu32 "/%" PRIu32 " frame_bytes=%" PRIu32
            " page_bytes=%" PRIu32 " pages=%" PRIu32 " sessions=%" PRIu32 " pending_writes=%" PRIu32
            " pending_reads=%" PRIu32 " inflight=%" PRIu32 "/%" PRIu32 " append_entries=%" PRIu32
            " append_bytes=%" PRIu32 " apply=%" PRIu32 " effects=%" PRIu32 "\n",
            limits->key_bytes_max, limits->value_bytes_max, limits->txn_compares_max, limits->txn_writes_max,
            limits->frame_bytes_max, limits->page_bytes, limits->pages_max, limits->sessions_max,
            limits->pending_writes_max, limits->pending_reads_max, limits->inflight_max, limits->inflight_bytes_max,
            limits->append_entries_max, limits->append_bytes_max, limits->apply_per_step_max, limits->effects_max);
}

static void swarm_print_network(const struct swarm *swarm, FILE *file)
{
    static const char *const selective[SELECTIVE_KINDS] = { "none", "entries", "append_responses", "vote_requests",
                                                            "vote_responses" };
    fprintf(file,
            "network   delay_ns=%" PRIu64 " %s per_link=%d loss=%" PRIu32 " duplicate=%" PRIu32 " late=%" PRIu32
            " hold_back=%" PRIu32 " bit_flip=%" PRIu32 " truncation=%" PRIu32 " foreign=%" PRIu32 " falsify=%" PRIu32
            " selective=%s:%" PRIu32 "\n",
            swarm->delay_ns, delay_texts[swarm->delay_kind], swarm->delay_per_link, swarm->loss, swarm->duplicate,
            swarm->duplicate_late, swarm->hold_back, swarm->bit_flip, swarm->truncation, swarm->foreign, swarm->falsify,
            selective[swarm->selective], swarm->selective_loss);
}

static void swarm_print_nemesis(const struct swarm *swarm, FILE *file)
{
    fprintf(file, "nemesis   outage_ns=%" PRIu64, swarm->outage_ns);
    for (enum nemesis_kind kind = 0; kind < NEMESIS_KINDS; kind++)
        if (swarm->nemesis_ns[kind] != 0)
            fprintf(file, " %s=%" PRIu64, nemesis_text(kind), swarm->nemesis_ns[kind]);
    fprintf(file, " power_again=%" PRIu32 "\n", swarm->power_again);
}

static void swarm_print_pct(const struct swarm *swarm, FILE *file)
{
    fprintf(file, "pct       depth=%" PRIu32 " demoted_at=", swarm->demotions + 1);
    for (uint32_t i = 0; i < swarm->demotions; i++)
        fprintf(file, "%s%" PRIu64, i > 0 ? "," : "", swarm->demote_step[i]);
    fprintf(file, " timer_slowness=");
    for (uint32_t slot = 0; slot < swarm->node_count; slot++)
        fprintf(file, "%s%" PRIu32, slot > 0 ? "," : "", swarm->timer_slowness[slot]);
    fputc('\n', file);
}

static void swarm_print_machine(const struct swarm *swarm, FILE *file)
{
    fprintf(file, "disk      latency_ns=%" PRIu64 " %s slowness=", swarm->disk_ns, delay_texts[swarm->disk_kind]);
    for (uint32_t slot = 0; slot < swarm->node_count; slot++)
        fprintf(file, "%s%" PRIu32, slot > 0 ? "," : "", swarm->disk_slowness[slot]);
    fprintf(file, " sector=%" PRIu32 " read_error=%" PRIu32 " write_error=%" PRIu32 " write_full=%" PRIu32 "\n",
            swarm->sector_bytes, swarm->read_error, swarm->write_error, swarm->write_full);
    fprintf(file, "damage    regime=%s swallowed=%" PRIu32 " misdirected=%" PRIu32 " misread=%" PRIu32 "\n",
            regime_text(swarm->regime), swarm->write_swallowed, swarm->write_misdirected, swarm->read_misdirected);
    fprintf(file, "clock     drift_ppm=");
    for (uint32_t slot = 0; slot < swarm->node_count; slot++)
        fprintf(file, "%s%" PRId32, slot > 0 ? "," : "", swarm->drift_ppm[slot]);
    fprintf(file, " tick_ns=%" PRIu64 " restart=%d timer_ns=%" PRIu64 " lease=%" PRIu32 " stale_clock=%" PRIu32 "\n",
            swarm->tick_ns, swarm->clock_restart, swarm->timer_ns, swarm->configs[0].lease_drift_ppm,
            swarm->stale_clock);
    if (swarm->demotions > 0)
        swarm_print_pct(swarm, file);
    if (swarm->reconfigures)
        fprintf(file,
                "members   first=%" PRIu32 " change_ns=%" PRIu64 " any=%" PRIu32 " forced=%" PRIu32 " together=%" PRIu32
                " early=%" PRIu32 " revived=%" PRIu32 " voters_min=%" PRIu32 " struck_max=%" PRIu32
                " members_max=%" PRIu32 " lag=%" PRIu32 "\n",
                swarm->member_count, swarm->change_ns, swarm->change_any, swarm->change_forced, swarm->change_together,
                swarm->spare_early, swarm->revived, swarm->voters_min, swarm->struck_max, swarm->limits.members_max,
                swarm->limits.promote_lag_entries_max);
    fprintf(file,
            "process   effect_crash=%" PRIu32 " effect_power=%" PRIu32 " fast_restart=%" PRIu32 " downtime_ns=%" PRIu64
            " batch=%" PRIu32 " backlog=%" PRIu32 "\n",
            swarm->effect_crash, swarm->effect_power, swarm->fast_restart, swarm->downtime_ns, swarm->batch,
            swarm->backlog);
}

void swarm_print(const struct swarm *swarm, FILE *file)
{
    fprintf(file, "schedule  seed=%" PRIu64 " profile=%s family=%s %s inputs=%" PRIu64 " safety_ns=%" PRIu64 "\n",
            swarm->seed, profile_text(swarm->profile), profile_text(swarm->family),
            swarm->untimed ? "untimed" : "timed", swarm->inputs_max, swarm->safety_ns);
    swarm_print_cluster(swarm, file);
    swarm_print_limits(&swarm->limits, file);
    swarm_print_network(swarm, file);
    swarm_print_nemesis(swarm, file);
    swarm_print_machine(swarm, file);
    fprintf(file,
            "clients   count=%" PRIu32 " keys=%" PRIu32 " think_ns=%" PRIu64 " patience_ns=%" PRIu64
            " attempts=%" PRIu32 " copies=%" PRIu32 " reads=%" PRIu32 " stale=%" PRIu32 " txn=%" PRIu32
            " malformed=%" PRIu32 " hedge=%" PRIu32 " stubborn=%" PRIu32 " register_again=%" PRIu32 " asks=%" PRIu32
            " saves=%" PRIu32 " transfers=%" PRIu32 " local=%" PRIu32 " bounded=%" PRIu32 " bound_ns=%" PRIu64
            " deadlines=%" PRIu32 " overload_ns=%" PRIu64 "\n",
            swarm->client_count, swarm->key_count, swarm->think_ns, swarm->patience_ns, swarm->attempts_max,
            swarm->copies, swarm->reads, swarm->stale_reads, swarm->transactions, swarm->malformed, swarm->hedge,
            swarm->stubborn, swarm->register_again, swarm->asks, swarm->saves, swarm->transfers, swarm->local_reads,
            swarm->bounded, swarm->bound_ns, swarm->deadlines, swarm->overload_ns);
}

/* Status as tables and as JSON; see status_report.h. */
#include "status_report.h"

#include "../core/replica.h"
#include "../core/scrub.h"
#include "../core/store.h"
#include "clock.h"
#include "datadir.h"
#include "text.h"

#include <stdio.h>
#include <string.h>

/* ---- members ---- */

static const char *peer_state_text(uint8_t state)
{
    static const char *const names[] = { "probe", "replicate", "snapshot" }; /* request.h, member_status.state */
    return state < ARRAY_COUNT(names) ? names[state] : "?";
}

static const char *member_role_text(uint8_t roles)
{
    if ((roles & MEMBER_LEARNER) != 0)
        return "learner";
    if ((roles & MEMBER_VOTER_OLD) == 0)
        return "voter";
    return (roles & MEMBER_VOTER) != 0          ? "voter, joint"
           : (roles & MEMBER_LEARNER_NEXT) != 0 ? "becomes learner"
                                                : "leaves";
}

static uint64_t member_lag(const struct client_node *node, const struct member_status *status)
{
    return node->status.last_index - u64_min(status->match, node->status.last_index);
}

void status_report_members(const struct client_node *leader)
{
    printf("%-5s %-16s %-22s %8s  %-10s %10s %10s  %s\n", "node", "member", "address", "priority", "state", "match",
           "lag", "last heard");
    for (uint32_t slot = 0; slot < leader->member_count; slot++) {
        const struct member_status *status = &leader->members[slot];
        const bool self = status->member.id == leader->status.node_id;
        char heard[32];
        if (self)
            snprintf(heard, sizeof heard, "leads");
        else if (status->heard_age_ns == UINT64_MAX)
            snprintf(heard, sizeof heard, "never");
        else
            snprintf(heard, sizeof heard, "%llu ms ago", (unsigned long long)(status->heard_age_ns / NS_PER_MS));
        printf("%-5llu %-16s %-22s %8u  %-10s %10llu %10llu  %s\n", (unsigned long long)status->member.id,
               member_role_text(status->member.roles), status->member.address, (unsigned)status->member.priority,
               self ? "-" : peer_state_text(status->state), (unsigned long long)status->match,
               (unsigned long long)member_lag(leader, status), heard);
    }
}

void status_report_members_json(const struct client_node *node)
{
    const bool leads = node->status.role == RAFT_LEADER;
    printf("[");
    for (uint32_t slot = 0; slot < node->member_count; slot++) {
        const struct member_status *status = &node->members[slot];
        printf("%s{\"id\": %llu, \"role\": \"%s\", \"address\": ", slot > 0 ? ", " : "",
               (unsigned long long)status->member.id, member_role_text(status->member.roles));
        text_write_json(stdout, client_text(status->member.address));
        printf(", \"priority\": %u", (unsigned)status->member.priority);
        if (leads && status->member.id != node->status.node_id)
            printf(", \"state\": \"%s\"", peer_state_text(status->state));
        if (leads)
            printf(", \"match\": %llu, \"lag\": %llu", (unsigned long long)status->match,
                   (unsigned long long)member_lag(node, status));
        if (leads && status->heard_age_ns != UINT64_MAX)
            printf(", \"heard_ms\": %llu", (unsigned long long)(status->heard_age_ns / NS_PER_MS));
        printf("}");
    }
    printf("]");
}

/* ---- nodes ---- */

enum { STORE_TEXT_BYTES = 128 };

static const char *store_state_text(uint8_t state)
{
    static const char *const names[] = {
        [STORE_LOADING] = "loading", [STORE_READY] = "ready", [STORE_DAMAGED] = "damaged"
    };
    return state < ARRAY_COUNT(names) ? names[state] : "?";
}

static const char *scrub_phase_text(uint8_t phase)
{
    static const char *const names[] = { [SCRUB_SUPERBLOCK] = "superblock",
                                         [SCRUB_NAMES] = "names",
                                         [SCRUB_BODY] = "log",
                                         [SCRUB_MAP] = "map",
                                         [SCRUB_PAGES] = "pages" };
    return phase < ARRAY_COUNT(names) ? names[phase] : "?";
}

static const char *role_text(uint8_t role) { return role <= RAFT_STOPPED ? raft_role_text((enum raft_role)role) : "?"; }

static const char *rejoin_text(uint8_t state)
{
    return state <= REJOIN_CATCHING_UP ? rejoin_state_text((enum rejoin_state)state) : "?";
}

/* As it knows itself: who waits to be added is none, nor is who was removed. */
static bool is_member(const struct client_node *node)
{
    for (uint32_t slot = 0; slot < node->member_count; slot++)
        if (node->members[slot].member.id == node->status.node_id)
            return true;
    return false;
}

/* A node that rejoins, or is no member, is a follower that does not count yet. */
static const char *status_role_text(const struct client_node *node)
{
    if (node->status.role != RAFT_FOLLOWER)
        return role_text(node->status.role);
    return node->status.rejoin != REJOIN_WHOLE ? "rejoining" : is_member(node) ? "follower" : "not a member";
}

static void print_status_json(const char *endpoint, const struct client_node *node)
{
    const struct node_status *status = &node->status;
    printf("{\"endpoint\": ");
    text_write_json(stdout, client_text(endpoint));
    const struct {
        const char *name;
        uint64_t value;
    } fields[] = {
        { "node_id", status->node_id },
        { "leader", status->leader },
        { "term", status->term },
        { "last_index", status->last_index },
        { "durable_index", status->durable_index },
        { "commit_index", status->commit_index },
        { "applied_index", status->applied_index },
        { "wal_bytes_used", status->wal_bytes_used },
        { "wal_bytes_max", status->wal_bytes_max },
        { "log_entries_max", status->log_entries_max },
        { "keys", status->keys },
        { "store_bytes_used", status->store_bytes_used },
        { "store_bytes_max", status->store_bytes_max },
        { "sessions", status->sessions },
        { "members", status->members },
        { "configuration_index", status->configuration_index },
        { "checkpoint_index", status->checkpoint.index },
        { "checkpoint_term", status->checkpoint.term },
        { "first_index", status->first_index },
        { "pages_wanted", status->pages_wanted },
        { "entries_repaired", status->entries_repaired },
        { "pages_pulled", status->pages_pulled },
        { "bytes_pulled", status->bytes_pulled },
        { "blocks_mended", status->blocks_mended },
        { "differences", status->differences },
        { "memory_mended", status->memory_mended },
        { "scrub_passes", status->scrub_passes },
        { "scrub_position", status->scrub_position },
        { "rejoin_answers", status->rejoin_answers },
        { "rejoin_answers_needed", status->rejoin_answers_needed },
    };
    /* Any 64-bit number, which readers of JSON would round: a string. */
    printf(", \"cluster_id\": \"%llu\", \"role\": \"%s\"", (unsigned long long)status->cluster_id,
           role_text(status->role));
    for (uint32_t slot = 0; slot < ARRAY_COUNT(fields); slot++)
        printf(", \"%s\": %llu", fields[slot].name, (unsigned long long)fields[slot].value);
    printf(", \"checkpoint_hash\": \"%016llx%016llx\", \"checkpoint_busy\": %s, \"store\": \"%s\"",
           (unsigned long long)status->checkpoint_hash.high, (unsigned long long)status->checkpoint_hash.low,
           status->checkpoint_busy ? "true" : "false", store_state_text(status->store_state));
    printf(", \"scrub_phase\": \"%s\", \"rejoin\": \"%s\", \"abstains\": %s, \"doubts\": %s",
           scrub_phase_text(status->scrub_phase), rejoin_text(status->rejoin), status->abstains ? "true" : "false",
           status->doubts ? "true" : "false");
    printf(", \"log_damaged\": %s, \"member\": %s", status->log_damaged ? "true" : "false",
           is_member(node) ? "true" : "false");
    printf(", \"state_digest\": \"%016llx\", \"member_list\": ", (unsigned long long)status->state_digest);
    status_report_members_json(node);
    printf("}");
}

/* Two tables, since a line holds only so much: the node in its cluster, and what it keeps. */
static void print_status_row(const char *endpoint, const struct client_node *node)
{
    const struct node_status *status = &node->status;
    printf("%-22s %4llu  %-13s %6llu %6llu %10llu %10llu %9llu  %016llx\n", endpoint,
           (unsigned long long)status->node_id, status_role_text(node), (unsigned long long)status->leader,
           (unsigned long long)status->term, (unsigned long long)status->commit_index,
           (unsigned long long)status->applied_index, (unsigned long long)status->keys,
           (unsigned long long)status->state_digest);
}

/* Is it all there, and if not, what is done about it? */
static void store_text(const struct client_node *node, char to[STORE_TEXT_BYTES])
{
    const struct node_status *status = &node->status;
    const bool empty = !is_member(node) && status->applied_index == 0;
    int used = snprintf(to, STORE_TEXT_BYTES, "%s", empty ? "not a member" : store_state_text(status->store_state));
    if (status->pages_wanted > 0)
        used += snprintf(to + used, STORE_TEXT_BYTES - (size_t)used, ", %llu pages wanted",
                         (unsigned long long)status->pages_wanted);
    if (status->log_damaged)
        used += snprintf(to + used, STORE_TEXT_BYTES - (size_t)used, ", entries of the log wanted");
    if (status->checkpoint_busy)
        snprintf(to + used, STORE_TEXT_BYTES - (size_t)used, ", writing a checkpoint");
}

static void print_storage_row(const char *endpoint, const struct client_node *node)
{
    const struct node_status *status = &node->status;
    const uint64_t usable = u64_max(datadir_usable_bytes(status->wal_bytes_max), 1);
    const uint64_t used = u64_min(status->wal_bytes_used * 100 / usable, 100); /* the reserve may be in use, too */
    char log[48], ring[32], checkpoint[64], repaired[64], store[STORE_TEXT_BYTES], rejoin[96] = "", memory[64] = "";
    snprintf(log, sizeof log, "%llu..%llu", (unsigned long long)status->first_index,
             (unsigned long long)status->last_index);
    snprintf(ring, sizeof ring, "%llu%% of %llu MiB", (unsigned long long)used,
             (unsigned long long)(status->wal_bytes_max >> 20));
    snprintf(checkpoint, sizeof checkpoint, "%llu %016llx", (unsigned long long)status->checkpoint.index,
             (unsigned long long)status->checkpoint_hash.high);
    store_text(node, store);
    if (status->rejoin == REJOIN_ASKING)
        snprintf(rejoin, sizeof rejoin, "; rejoining: %u of %u answers from nodes that kept their disks",
                 (unsigned)status->rejoin_answers, (unsigned)status->rejoin_answers_needed);
    else if (status->rejoin == REJOIN_CATCHING_UP)
        snprintf(rejoin, sizeof rejoin, "; rejoining: catches up, and does not vote yet");
    else if (status->abstains)
        snprintf(rejoin, sizeof rejoin, "; gives no vote: it does not know all that it acknowledged");
    if (status->doubts)
        snprintf(rejoin, sizeof rejoin, "; serves nobody: states of voters differ, and no majority has this one");
    if (status->memory_mended > 0)
        snprintf(memory, sizeof memory, "; %llu blocks of memory mended from the disk",
                 (unsigned long long)status->memory_mended);
    snprintf(repaired, sizeof repaired, "%llu/%llu/%llu", (unsigned long long)status->entries_repaired,
             (unsigned long long)status->pages_pulled, (unsigned long long)status->blocks_mended);
    printf("%-22s %21s %14s  %27s %11s  %llu+%-10s  %s%s%s\n", endpoint, log, ring,
           status->checkpoint.index != 0 ? checkpoint : "none", repaired, (unsigned long long)status->scrub_passes,
           scrub_phase_text(status->scrub_phase), store, rejoin, memory);
}

void status_report_text(const struct status_answer *answers, uint32_t count)
{
    printf("%-22s %4s  %-13s %6s %6s %10s %10s %9s  %s\n", "endpoint", "node", "role", "leader", "term", "commit",
           "applied", "keys", "digest");
    for (uint32_t slot = 0; slot < count; slot++) {
        if (answers[slot].ok)
            print_status_row(answers[slot].endpoint, &answers[slot].node);
        else
            printf("%-22s %4s  %s\n", answers[slot].endpoint, "-", answers[slot].error);
    }
    bool first = true;
    for (uint32_t slot = 0; slot < count; slot++) {
        if (!answers[slot].ok)
            continue;
        if (first)
            printf("\n%-22s %21s %14s  %27s %11s  %-12s  %s\n", "endpoint", "log", "ring used", "checkpoint",
                   "repaired", "scrub", "store");
        first = false;
        print_storage_row(answers[slot].endpoint, &answers[slot].node);
    }
    for (uint32_t slot = 0; slot < count; slot++) {
        if (!answers[slot].ok || answers[slot].node.status.role != RAFT_LEADER)
            continue;
        printf("\ncluster %llu, its members since entry %llu, as node %llu sees them\n",
               (unsigned long long)answers[slot].node.status.cluster_id,
               (unsigned long long)answers[slot].node.status.configuration_index,
               (unsigned long long)answers[slot].node.status.node_id);
        status_report_members(&answers[slot].node);
    }
}

void status_report_json(const struct status_answer *answers, uint32_t count)
{
    uint32_t answered = 0;
    printf("{\"nodes\": [");
    for (uint32_t slot = 0; slot < count; slot++) {
        const char *endpoint = answers[slot].endpoint;
        answered += answers[slot].ok;
        if (slot > 0)
            printf(", ");
        if (answers[slot].ok) {
            print_status_json(endpoint, &answers[slot].node);
        } else {
            printf("{\"endpoint\": ");
            text_write_json(stdout, client_text(endpoint));
            printf(", \"error\": ");
            text_write_json(stdout, client_text(answers[slot].error));
            printf("}");
        }
    }
    printf("], \"answered\": %u}\n", answered);
}

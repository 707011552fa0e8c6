/* The experiment of "Protocol-Aware Recovery for Consensus-Based Storage" (Alagappan et al., FAST'18, section 5.1),
 * rebuilt: a cluster of three with a fixed history, stored blocks damaged one by one and in combinations, and what
 * comes of it. usage: ctrl --help
 *
 * Every case starts from the same six disk images, damages them, and starts the three nodes. As long as one intact copy
 * of everything that was promised is left, the cluster must serve, with every acknowledged write and no wrong answer;
 * all three nodes must come to equal states; and when their logs have moved on once, every disk must be clean again: a
 * start from each one alone finds nothing damaged. Where no copy is left, nothing may be served that is wrong or that
 * leaves out what was acknowledged, and some node must say what is lost.
 *
 * Deterministic: the wall clock is only for the line of progress. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#include "ctrl_cases.h"

enum { SOON_MS = 1000, LATE_MS = 15000, MEND_MS = 15000, REFUSE_MS = 2500 };

enum verdict { RECOVERED, SLOW, REFUSED, UNAVAILABLE, UNSAFE, VERDICTS };

static const char *const verdict_texts[VERDICTS] = { "recovered", "slow", "refused", "unavailable", "unsafe" };

struct result {
    enum verdict verdict;
    char cause[200];
};

struct options {
    uint32_t stride;
    uint32_t only;   /* number of a case; UINT32_MAX: all */
    uint32_t rounds; /* of each case, each with other timeouts and turns; the worst verdict counts */
    uint64_t seed;
    bool json;
    bool claims;
    bool list;
    bool verbose;
};

static bool row_is_recoverable(uint32_t row) { return rows[row].outlook != COPY_LOST; }

static sigjmp_buf case_broken;
static char case_broken_text[160];

/* Of the core: a case that trips one has failed, and the others go on. */
_Noreturn void core_assert_failed(const char *expression, const char *file, int line)
{
    snprintf(case_broken_text, sizeof case_broken_text, "assertion failed: %s, %s:%d", expression, file, line);
    siglongjmp(case_broken, 1);
}

/* An invariant is broken, as node.h has said on stderr; or worse. */
static void on_signal(int signal_number)
{
    case_broken_text[0] = '\0';
    siglongjmp(case_broken, signal_number);
}

__attribute__((format(printf, 3, 4))) static struct result result_of(enum verdict verdict, const struct world *world,
                                                                     const char *format, ...)
{
    struct result result = { .verdict = verdict };
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(result.cause, sizeof result.cause, format, arguments);
    va_end(arguments);
    if (world->wrong != NULL) {
        result.verdict = UNSAFE;
        snprintf(result.cause, sizeof result.cause, "%s %llu", world->wrong, (unsigned long long)world->wrong_at);
    }
    return result;
}

/* ---- one case ---- */

static void case_begin(struct history *history, const struct cases *cases, uint32_t number, uint64_t seed)
{
    struct world *world = history->world;
    const struct ctrl_case *one = &cases->list[number];
    prng_seed(&world->prng, seed);
    world->calls = NULL;
    world->call_count = 0;
    world->unrecoverable = 0;
    world->wrong = NULL;
    world->target = (uint32_t)prng_below(&world->prng, NODES);
    memcpy(world->digests, history->digests, sizeof world->digests);
    memset(world->events, 0, sizeof world->events);
    for (uint32_t slot = 0; slot < NODES; slot++) {
        struct node *node = world->nodes[slot];
        node_crash(node);
        node->config.seed = prng_next(&world->prng);
        memcpy(node->image, world->disks[slot][DEVICE_WAL].saved, node->image_bytes);
        memcpy(node->data, world->disks[slot][DEVICE_DATA].saved, node->data_bytes);
        for (uint32_t device = 0; device < DEVICES; device++) {
            const struct disk *disk = &world->disks[slot][device];
            memset(disk->unreadable, 0, disk->bytes / disk->block_bytes * sizeof disk->unreadable[0]);
        }
    }
    for (uint32_t i = 0; i < one->count && rows[one->row].outlook != COPY_RUNNING; i++)
        damage_apply(history, &cases->damages[one->first + i], seed + i);
    for (uint32_t slot = 0; slot < NODES; slot++)
        world_start(world, slot);
}

/* Has the log moved on so far that nothing of the history is in it, and has everything been scrubbed since? */
static bool node_moved_on(const struct history *history, uint32_t slot)
{
    const struct node *node = history->world->nodes[slot];
    const struct replica *replica = node->replica;
    return replica->superblock.durable.head.lsn >= history->layouts[slot].tail && store_is_ready(replica)
           && install_is_idle(replica) && replica->scrub.passes >= 2;
}

static bool nodes_equal(const struct world *world, uint32_t left, uint32_t right)
{
    const struct replica *a = world->nodes[left]->replica;
    const struct replica *b = world->nodes[right]->replica;
    if (a->applied != b->applied || a->log.last.index != b->log.last.index || a->applied != a->log.last.index)
        return false;
    for (uint32_t page = 0; page < world->limits.pages_max; page++)
        if (memcmp(page_raw_const(a, page), page_raw_const(b, page), world->limits.page_bytes) != 0)
            return false;
    return true;
}

/* A start from this disk alone. NULL, or what it found. */
static const char *disk_problem(struct world *world, uint32_t slot)
{
    struct node *node = world->nodes[slot];
    const struct disk *disk = &world->disks[slot][DEVICE_WAL];
    const struct log_id last = node->replica->log.last;
    node_crash(node);
    memset(world->events[slot], 0, sizeof world->events[slot]);
    world_start(world, slot);
    for (uint32_t steps = 0; steps < 100000; steps++) {
        const bool loading = node->replica->store.state == STORE_LOADING || node->replica->role == RAFT_STARTING;
        if (node->stop != 0)
            return stop_reason_text(node->stop);
        if (!loading)
            break;
        if (node->op_count > 0)
            world_complete(world, slot, 0);
        else
            world_step(world, slot);
    }
    const struct replica *replica = node->replica;
    if (!log_id_equal(replica->log.last, last) || replica->log.first_faulty != 0)
        return "its log is not what it was";
    if (!store_is_ready(replica) || world->events[slot][EVENT_PAGE_DAMAGED] != 0)
        return "pages are still damaged";
    if (world->events[slot][EVENT_BATCH_DAMAGED] != 0 || replica->stored.flags != 0)
        return "its log is still damaged";
    if (world->events[slot][EVENT_SUPERBLOCK_REPAIR] != 0)
        return "a superblock copy is still damaged";
    const uint32_t header = (uint32_t)(wal_header_offset(&world->limits) / disk->block_bytes);
    for (uint32_t block = header; block < header + world->limits.wal_header_blocks; block++) {
        const struct slice bytes = { .bytes = node->image + (uint64_t)block * disk->block_bytes,
                                     .count = disk->block_bytes };
        struct wal_name_header name;
        if (disk->unreadable[block] || !wal_name_decode(bytes, node->config.cluster_id, &name))
            return "a block of the header ring is still damaged";
    }
    return NULL;
}

/* Every key, each answer checked. */
static bool read_all(const struct history *history, struct model *model, uint64_t end_ns)
{
    for (uint32_t key = 0; key < KEYS; key++) {
        const uint64_t now_ns = history->world->now_ns;
        if (now_ns >= end_ns || !history_read(history, model, key, end_ns - now_ns))
            return false;
    }
    return true;
}

/* Have all nodes a newer checkpoint than that? */
static bool nodes_have_checkpoint(const struct world *world, uint64_t index)
{
    for (uint32_t slot = 0; slot < NODES; slot++)
        if (checkpoint_of(world, slot)->id.index <= index)
            return false;
    return true;
}

static bool nodes_ready(const struct world *world)
{
    for (uint32_t slot = 0; slot < NODES; slot++)
        if (!store_is_ready(world->nodes[slot]->replica) || !install_is_idle(world->nodes[slot]->replica))
            return false;
    return true;
}

/* Has each gone over its whole disk since `passes`? */
static bool nodes_scrubbed(const struct world *world, const uint64_t *passes)
{
    for (uint32_t slot = 0; slot < NODES; slot++)
        if (world->nodes[slot]->replica->scrub.passes < passes[slot] + 2)
            return false;
    return true;
}

/* Is the block of the header ring neither a name nor zeros, or the copy of the superblock none? The rest of the WAL is
 * judged by the start that follows. */
static bool wal_damage_lasts(const struct world *world, const struct damage *damage)
{
    const struct node *node = world->nodes[damage->slot];
    const struct disk *disk = &world->disks[damage->slot][DEVICE_WAL];
    const uint64_t offset = (uint64_t)damage->block * disk->block_bytes;
    const struct slice block = { .bytes = node->image + offset, .count = disk->block_bytes };
    const uint64_t stride = superblock_offset(&world->limits, 1);
    const struct slice copy = { .bytes = node->image + offset / stride * stride,
                                .count = limits_superblock_bytes(&world->limits) };
    const bool of_superblock = offset < wal_header_offset(&world->limits);
    struct wal_name_header name;
    struct superblock_view superblock;
    /* Nothing lies between the copies. */
    if (offset >= wal_body_offset(&world->limits) || (of_superblock && offset % stride >= copy.count))
        return false;
    if (disk->unreadable[damage->block])
        return true;
    if (of_superblock)
        return !superblock_inspect(copy, &node->config, &superblock);
    return !bytes_are_zero(block.bytes, block.count) && !wal_name_decode(block, node->config.cluster_id, &name);
}

/* Does the durable checkpoint name the block, and the block not hold what it should? */
static bool damage_lasts(const struct world *world, const struct damage *damage)
{
    const struct replica *replica = world->nodes[damage->slot]->replica;
    const struct disk *disk = &world->disks[damage->slot][damage->device];
    const uint8_t *bytes = world->nodes[damage->slot]->data + (uint64_t)damage->block * disk->block_bytes;
    if (damage->device == DEVICE_WAL)
        return wal_damage_lasts(world, damage);
    if (!checkpoint_is_idle(replica))
        return true;
    for (uint32_t level = 0; level <= map_root(&world->limits); level++)
        for (uint32_t at = 0; at < map_count(&world->limits, level); at++) {
            const struct map_entry *entry = map_entry_const(replica, level, at);
            if (entry->block != damage->block)
                continue;
            return disk->unreadable[damage->block]
                   || (level == 0 ? !hash128_equal(map_page_hash(replica, bytes), entry->hash)
                                  : map_block_checksum(replica, bytes, level, at) != entry->checksum);
        }
    return false;
}

/* The damage comes while the nodes run. What memory has and the disks have lost is written again by the scrub, or, when
 * it has changed since the checkpoint, with the next one; then all of them lose power at once, and start again. NULL,
 * or what failed. */
static const char *case_damage_running(struct history *history, const struct cases *cases, uint32_t number,
                                       struct model *model, uint64_t seed)
{
    struct world *world = history->world;
    const struct ctrl_case *one = &cases->list[number];
    const struct damage *damages = cases->damages + one->first;
    const uint64_t end_ns = world->now_ns + (LATE_MS + MEND_MS) * MS;
    uint64_t passes[NODES];
    bool lasts = true;
    if (!read_all(history, model, end_ns))
        return "no reads before the damage";
    for (; !nodes_ready(world); world_run(world, 10 * MS))
        if (world->now_ns >= end_ns)
            return "a node does not catch up before the damage";
    for (uint32_t i = 0; i < one->count; i++)
        damage_apply(history, &damages[i], seed + i);
    while (lasts) {
        for (uint32_t slot = 0; slot < NODES; slot++)
            passes[slot] = world->nodes[slot]->replica->scrub.passes;
        for (; !nodes_scrubbed(world, passes); world_run(world, 10 * MS))
            if (world->now_ns >= end_ns)
                return "the scrub does not come around";
        lasts = false;
        for (uint32_t i = 0; i < one->count; i++)
            lasts = lasts || damage_lasts(world, &damages[i]);
        if (lasts && damages[0].device == DEVICE_WAL)
            return "the scrub does not mend it";
        const uint64_t index = checkpoint_of(world, damages[0].slot)->id.index;
        for (; lasts && !nodes_have_checkpoint(world, index); world_run(world, 10 * MS))
            if (world->now_ns >= end_ns || !history_write(history, model, CALLS_MAX, LATE_MS * MS))
                return "neither the scrub nor a checkpoint mends it";
    }
    for (uint32_t slot = 0; slot < NODES; slot++) {
        node_crash(world->nodes[slot]);
        world_start(world, slot);
    }
    return NULL;
}

static const char *text_of_states(const struct world *world)
{
    static char text[200];
    int used = 0;
    for (uint32_t slot = 0; slot < NODES; slot++) {
        const struct node *node = world->nodes[slot];
        const struct replica_view view = node_view(node);
        const struct replica *replica = node->replica;
        used += snprintf(text + used, sizeof text - (size_t)used, "; %u: %s %llu/%llu/%llu%s%s%s%s", slot + 1,
                         node->stop != 0 ? "stopped" : raft_role_text(view.role), (unsigned long long)view.applied,
                         (unsigned long long)view.commit, (unsigned long long)view.last.index,
                         view.first_faulty != 0 ? " faulty" : "", (view.flags & STORED_ABSTAIN) != 0 ? " abstains" : "",
                         store_is_ready(replica) ? "" : " loading", install_is_idle(replica) ? "" : " installing");
    }
    return text;
}

/* Writes until the log has moved on, and then looks at everything once more. */
static struct result case_mend(const struct history *history, struct model *model, uint32_t down, enum verdict verdict)
{
    struct world *world = history->world;
    const uint64_t end_ns = world->now_ns + MEND_MS * MS;
    for (uint32_t slot = 0; slot < NODES; slot++)
        while ((down >> slot & 1) == 0 && world->wrong == NULL && !node_moved_on(history, slot)) {
            if (!world_is_up(world, slot))
                return result_of(UNAVAILABLE, world, "node %u: %s", slot + 1,
                                 stop_reason_text(world->nodes[slot]->stop));
            if (world->now_ns >= end_ns)
                return result_of(UNAVAILABLE, world, "node %u does not mend%s", slot + 1, text_of_states(world));
            if (!history_write(history, model, CALLS_MAX, LATE_MS * MS))
                return result_of(UNAVAILABLE, world, "no more writes%s", text_of_states(world));
            world_run(world, 10 * MS);
        }
    if (!read_all(history, model, end_ns))
        return result_of(UNAVAILABLE, world, "no more reads%s", text_of_states(world));
    world_run(world, 100 * MS);
    const uint32_t leader = world_leader(world);
    for (uint32_t slot = 0; slot < NODES; slot++)
        if ((down >> slot & 1) == 0 && (leader == NODES || !nodes_equal(world, leader, slot)))
            return result_of(UNSAFE, world, "the nodes are not equal in the end%s", text_of_states(world));
    for (uint32_t slot = 0; slot < NODES; slot++) {
        const char *problem = (down >> slot & 1) == 0 ? disk_problem(world, slot) : NULL;
        if (problem != NULL)
            return result_of(UNAVAILABLE, world, "node %u afterwards: %s", slot + 1, problem);
    }
    return result_of(verdict, world, "%s", "");
}

static struct result case_recoverable(const struct history *history, struct model *model, uint32_t down)
{
    struct world *world = history->world;
    const uint64_t start_ns = world->now_ns;
    if (!read_all(history, model, start_ns + LATE_MS * MS))
        return result_of(UNAVAILABLE, world, "no reads%s", text_of_states(world));
    if (!history_write(history, model, CALLS_MAX, LATE_MS * MS))
        return result_of(UNAVAILABLE, world, "no writes%s", text_of_states(world));
    const bool soon = world->now_ns < start_ns + SOON_MS * MS;
    for (uint32_t slot = 0; slot < NODES; slot++)
        if ((down >> slot & 1) != 0 && world->nodes[slot]->stop != STOP_NO_SUPERBLOCK)
            return result_of(UNSAFE, world, "node %u runs without its promises", slot + 1);
    return case_mend(history, model, down, soon ? RECOVERED : SLOW);
}

static struct result case_lost(const struct history *history, struct model *model)
{
    struct world *world = history->world;
    const uint64_t end_ns = world->now_ns + REFUSE_MS * MS;
    uint32_t reads = 0;
    uint32_t turn = 0;
    for (; world->now_ns < end_ns && world->wrong == NULL; turn++) {
        world->target = turn % NODES;
        reads += history_read(history, model, turn % KEYS, 30 * MS) ? 1 : 0;
    }
    if (reads == turn || history_write(history, model, 1, 300 * MS))
        return result_of(RECOVERED, world, "it serves%s", text_of_states(world));
    bool said = world->unrecoverable > history->checkpoint.id.index && world->unrecoverable <= history->committed;
    for (uint32_t slot = 0; slot < NODES; slot++)
        said = said || world->nodes[slot]->stop == STOP_NO_SUPERBLOCK || world->events[slot][EVENT_PAGE_DAMAGED] != 0;
    if (!said)
        return result_of(UNAVAILABLE, world, "nobody says what is lost%s", text_of_states(world));
    return result_of(REFUSED, world, "%s", "");
}

static struct result case_run(struct history *history, const struct cases *cases, uint32_t number, uint64_t seed)
{
    static struct damages damages;
    static struct model model;
    const struct ctrl_case *one = &cases->list[number];
    model = history->model;
    damages.count = one->count;
    memcpy(damages.list, cases->damages + one->first, one->count * sizeof damages.list[0]);
    if (sigsetjmp(case_broken, 1) != 0) {
        struct result result = { .verdict = UNSAFE };
        snprintf(result.cause, sizeof result.cause, "%s",
                 case_broken_text[0] != '\0' ? case_broken_text : "an invariant or memory is broken");
        return result;
    }
    case_begin(history, cases, number, seed);
    if (!row_is_recoverable(one->row))
        return case_lost(history, &model);
    if (rows[one->row].outlook == COPY_RUNNING) {
        const char *problem = case_damage_running(history, cases, number, &model, seed);
        if (problem != NULL)
            return result_of(UNAVAILABLE, history->world, "%s%s", problem, text_of_states(history->world));
        damages.count = 0;
    }
    return case_recoverable(history, &model, nodes_without_superblock(history, &damages));
}

/* ---- all of them ---- */

struct tally {
    uint32_t cases[ROWS];
    uint32_t verdicts[ROWS][VERDICTS];
    uint64_t events[EVENT_KINDS];
};

/* All three versions of the history; their cases are numbered through. */
struct experiment {
    struct history *histories[LAGS];
    struct cases cases[LAGS];
    uint32_t first[LAGS + 1];
};

static void case_print(FILE *file, const struct cases *cases, uint32_t number, uint32_t first)
{
    const struct ctrl_case *one = &cases->list[number];
    fprintf(file, "case %u: %s, %s:", first + number, rows[one->row].damaged, rows[one->row].nodes);
    for (uint32_t i = 0; i < one->count && i < 6; i++) {
        const struct damage *damage = &cases->damages[one->first + i];
        fprintf(file, "%s node %u %s block %u %s", i == 0 ? "" : ",", damage->slot + 1,
                damage->device == DEVICE_WAL ? "wal" : "data", damage->block, damage_texts[damage->kind]);
    }
    fprintf(file, "%s", one->count > 6 ? ", ...\n" : "\n");
}

static void progress(uint32_t done, uint32_t all, const struct timespec *started)
{
    static bool shown;
    struct timespec now;
    if (isatty(STDERR_FILENO) == 0)
        return;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const double passed = (double)(now.tv_sec - started->tv_sec) + (double)(now.tv_nsec - started->tv_nsec) / 1e9;
    if (done == all && shown)
        fprintf(stderr, "\r\033[K");
    else if (done % 16 == 0 && done > 0 && passed > 0) {
        fprintf(stderr, "\r%u of %u cases, %.0f/s, %.0f s left \033[K", done, all, done / passed,
                (all - done) * passed / done);
        shown = true;
    }
}

static bool as_it_should(uint32_t row, enum verdict verdict)
{
    return row_is_recoverable(row) ? verdict == RECOVERED || verdict == SLOW : verdict == REFUSED;
}

/* Orders the verdicts on a case. */
static uint32_t badness(uint32_t row, enum verdict verdict)
{
    return as_it_should(row, verdict) ? verdict : VERDICTS + verdict;
}

/* The worst of its rounds. */
static struct result case_rounds(struct history *history, const struct cases *cases, uint32_t number,
                                 const struct options *options)
{
    const uint32_t row = cases->list[number].row;
    struct result worst = { .verdict = VERDICTS };
    for (uint32_t round = 0; round < options->rounds; round++) {
        const uint64_t seed = options->seed + ((uint64_t)number << 32) + round;
        const struct result result = case_run(history, cases, number, seed);
        if (worst.verdict == VERDICTS || badness(row, result.verdict) > badness(row, worst.verdict))
            worst = result;
    }
    return worst;
}

static void run_cases(struct experiment *experiment, uint32_t lag, const struct options *options, struct tally *tally,
                      const struct timespec *started)
{
    const struct cases *cases = &experiment->cases[lag];
    const uint32_t first = experiment->first[lag];
    for (uint32_t number = 0; number < cases->count; number++) {
        const uint32_t row = cases->list[number].row;
        if (options->only != UINT32_MAX ? first + number != options->only : (first + number) % options->stride != 0)
            continue;
        const struct result result = case_rounds(experiment->histories[lag], cases, number, options);
        tally->cases[row]++;
        tally->verdicts[row][result.verdict]++;
        if (!as_it_should(row, result.verdict) || options->verbose) {
            FILE *file = options->json ? stderr : stdout;
            case_print(file, cases, number, first);
            fprintf(file, "  %s%s%s\n", verdict_texts[result.verdict], result.cause[0] != '\0' ? ": " : "",
                    result.cause);
        }
        progress(first + number, experiment->first[LAGS], started);
    }
    for (uint32_t kind = 0; kind < EVENT_KINDS; kind++)
        tally->events[kind] += experiment->histories[lag]->world->all_events[kind];
}

/* ---- what it says in the end ---- */

struct totals {
    uint32_t cases[2];
    uint32_t good[2]; /* of them; 1: of the recoverable ones */
};

static struct totals totals_of(const struct tally *tally)
{
    struct totals totals = { .cases = { 0 } };
    for (uint32_t row = 0; row < ROWS; row++) {
        const bool recoverable = row_is_recoverable(row);
        totals.cases[recoverable] += tally->cases[row];
        for (uint32_t verdict = 0; verdict < VERDICTS; verdict++)
            totals.good[recoverable] += as_it_should(row, (enum verdict)verdict) ? tally->verdicts[row][verdict] : 0;
    }
    return totals;
}

static void print_table(const struct tally *tally)
{
    printf("%-40s%-7s%7s", "what was damaged", "nodes", "cases");
    for (uint32_t verdict = 0; verdict < VERDICTS; verdict++)
        printf("%13s", verdict_texts[verdict]);
    for (uint32_t row = 0; row < ROWS; row++) {
        if (row == 0 || row_is_recoverable(row) != row_is_recoverable(row - 1))
            printf("\n%s\n", row_is_recoverable(row) ? "one intact copy left:" : "no copy left:");
        printf("  %-38s%-7s%7u", rows[row].damaged, rows[row].nodes, tally->cases[row]);
        for (uint32_t verdict = 0; verdict < VERDICTS; verdict++)
            if (tally->verdicts[row][verdict] == 0)
                printf("%13s", "-");
            else
                printf("%13u", tally->verdicts[row][verdict]);
        printf("\n");
    }
}

/* For tests/run: a claim for each row of which there were cases. */
static void print_claims(const struct tally *tally)
{
    for (uint32_t row = 0; row < ROWS; row++) {
        uint32_t bad = 0;
        for (uint32_t verdict = 0; verdict < VERDICTS; verdict++)
            bad += as_it_should(row, (enum verdict)verdict) ? 0 : tally->verdicts[row][verdict];
        if (tally->cases[row] > 0)
            printf("%s %s, on %s: %s (%u cases)\n", bad == 0 ? "ok" : "FAILED", rows[row].damaged, rows[row].nodes,
                   row_is_recoverable(row) ? "recovered" : "refused", tally->cases[row]);
    }
}

/* Whether the cases came to what they were made for. */
static void print_events(const struct tally *tally)
{
    static const struct {
        enum event_kind kind;
        const char *text;
    } shown[] = {
        { EVENT_BATCH_DAMAGED, "batches found damaged" },
        { EVENT_ENTRY_REPAIRED, "entries repaired" },
        { EVENT_PAGE_DAMAGED, "pages and map blocks found damaged" },
        { EVENT_INSTALL_DONE, "installs" },
        { EVENT_SUPERBLOCK_REPAIR, "superblock repairs" },
        { EVENT_SCRUB_MENDED, "blocks mended by the scrub" },
        { EVENT_READ_RETRIED, "reads retried" },
        { EVENT_ABSTAIN, "abstentions" },
        { EVENT_UNRECOVERABLE, "entries called unrecoverable" },
    };
    for (size_t i = 0; i < ARRAY_COUNT(shown); i++)
        printf("%s%llu %s", i == 0 ? "\non the way: " : ", ", (unsigned long long)tally->events[shown[i].kind],
               shown[i].text);
    printf("\n");
}

static void print_json(const struct tally *tally, const struct totals *totals)
{
    printf("{\"recoverable\":%u,\"recovered\":%u,\"unrecoverable\":%u,\"refused\":%u,\"rows\":[", totals->cases[1],
           totals->good[1], totals->cases[0], totals->good[0]);
    for (uint32_t row = 0; row < ROWS; row++) {
        printf("%s{\"damaged\":\"%s\",\"nodes\":\"%s\",\"recoverable\":%s,\"cases\":%u", row == 0 ? "" : ",",
               rows[row].damaged, rows[row].nodes, row_is_recoverable(row) ? "true" : "false", tally->cases[row]);
        for (uint32_t verdict = 0; verdict < VERDICTS; verdict++)
            printf(",\"%s\":%u", verdict_texts[verdict], tally->verdicts[row][verdict]);
        printf("}");
    }
    printf("]}\n");
}

/* Like the tiny limits, with a map of two levels, values of several pages, and a scrub that is soon around. */
static struct limits ctrl_limits(void)
{
    struct limits limits = limits_tiny;
    limits.wal_header_blocks = 8;
    limits.wal_body_blocks = 128;
    limits.wal_retain_blocks = 20;
    limits.wal_reserve_blocks = 16;
    limits.checkpoint_wal_blocks = 60;
    limits.checkpoint_entries = 64;
    limits.value_bytes_max = VALUE_BYTES_MAX;
    limits.frame_bytes_max = 2048;
    limits.pages_max = 56;
    limits.data_blocks = 160;
    limits.shadow_pages_max = 56;
    limits.scrub_kib_per_second = 1024;
    const char *problem = limits_problem(&limits);
    if (problem != NULL) {
        fprintf(stderr, "ctrl: limits: %s\n", problem);
        exit(2);
    }
    return limits;
}

static const char usage_text[] =
    "usage: ctrl [--stride N] [--case N] [--rounds N] [--seed N] [--list] [--verbose] [--claims | --json]\n"
    "Damages the stored blocks of a cluster of three, case by case, and tells what became of it.\n"
    "  --stride N   only every Nth case\n"
    "  --case N     only this one\n"
    "  --rounds N   of each case, with other timeouts and turns each time (2); the worst verdict counts\n"
    "  --seed N     of timeouts and turns (1)\n"
    "  --list       print the cases and run none\n"
    "  --verbose    print every case with its verdict\n"
    "  --claims     a line for each row instead of the table\n"
    "  --json       one line of JSON instead of the table\n"
    "Exit status: 0 when all recoverable cases were recovered and all others refused, 1 when not, 2 on bad usage.\n";

static uint64_t option_number(const char *name, const char *text, uint64_t least)
{
    char *end = NULL;
    errno = 0;
    const unsigned long long value = text != NULL ? strtoull(text, &end, 10) : 0;
    if (text == NULL || end == text || *end != '\0' || errno != 0 || value < least || value > UINT32_MAX) {
        fprintf(stderr, "ctrl: %s: expected a number from %llu on, not \"%s\"\n", name, (unsigned long long)least,
                text != NULL ? text : "");
        exit(2);
    }
    return value;
}

static struct options options_of(int argc, char **argv)
{
    struct options options = { .stride = 1, .only = UINT32_MAX, .rounds = 2, .seed = 1 };
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        if (strcmp(name, "--help") == 0) {
            fputs(usage_text, stdout);
            exit(0);
        } else if (strcmp(name, "--json") == 0) {
            options.json = true;
        } else if (strcmp(name, "--claims") == 0) {
            options.claims = true;
        } else if (strcmp(name, "--list") == 0) {
            options.list = true;
        } else if (strcmp(name, "--verbose") == 0) {
            options.verbose = true;
        } else if (strcmp(name, "--stride") == 0) {
            options.stride = (uint32_t)option_number(name, argv[++i], 1);
        } else if (strcmp(name, "--case") == 0) {
            options.only = (uint32_t)option_number(name, argv[++i], 0);
        } else if (strcmp(name, "--rounds") == 0) {
            options.rounds = (uint32_t)option_number(name, argv[++i], 1);
        } else if (strcmp(name, "--seed") == 0) {
            options.seed = option_number(name, argv[++i], 0);
        } else {
            fprintf(stderr, "ctrl: %s: unknown option\n%s", name, usage_text);
            exit(2);
        }
    }
    return options;
}

static void experiment_make(struct experiment *experiment, const struct limits *limits)
{
    if (sigsetjmp(case_broken, 1) != 0) {
        fprintf(stderr, "ctrl: the history cannot be made: %s\n", case_broken_text);
        exit(2);
    }
    for (uint32_t lag = 0; lag < LAGS; lag++) {
        experiment->histories[lag] = history_new(limits, (enum lag)lag);
        experiment->cases[lag] = cases_of(experiment->histories[lag]);
        experiment->first[lag + 1] = experiment->first[lag] + experiment->cases[lag].count;
    }
}

static void experiment_free(struct experiment *experiment)
{
    for (uint32_t lag = 0; lag < LAGS; lag++) {
        world_free(experiment->histories[lag]->world);
        free(experiment->histories[lag]);
        free(experiment->cases[lag].list);
        free(experiment->cases[lag].damages);
    }
}

int main(int argc, char **argv)
{
    static struct experiment experiment;
    static struct tally tally;
    const struct options options = options_of(argc, argv);
    const struct limits limits = ctrl_limits();
    struct timespec started;
    clock_gettime(CLOCK_MONOTONIC, &started);
    signal(SIGABRT, on_signal);
    signal(SIGSEGV, on_signal);
    experiment_make(&experiment, &limits);
    for (uint32_t lag = 0; lag < LAGS; lag++) {
        for (uint32_t number = 0; options.list && number < experiment.cases[lag].count; number++)
            case_print(stdout, &experiment.cases[lag], number, experiment.first[lag]);
        if (!options.list)
            run_cases(&experiment, lag, &options, &tally, &started);
    }
    experiment_free(&experiment);
    if (options.list)
        return 0;
    progress(experiment.first[LAGS], experiment.first[LAGS], &started);
    const struct totals totals = totals_of(&tally);
    if (options.json) {
        print_json(&tally, &totals);
    } else if (options.claims) {
        print_claims(&tally);
    } else {
        print_table(&tally);
        print_events(&tally);
    }
    fprintf(options.json ? stderr : stdout, "recoverable %u of %u recovered, unrecoverable %u of %u refused\n",
            totals.good[1], totals.cases[1], totals.good[0], totals.cases[0]);
    const bool good = totals.good[0] == totals.cases[0] && totals.good[1] == totals.cases[1];
    return good && totals.cases[0] + totals.cases[1] > 0 ? 0 : 1;
}

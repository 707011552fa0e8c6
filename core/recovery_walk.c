/* What each batch of the body is worth after a crash: the walk along the log, and the table that decides where it ends
 * (storage design 2.8, CTRL 3.3).
 *
 * A batch that is intact and continues the log is kept: it may have been acknowledged. At the first one that is not,
 * the question is whether it ever was durable. "Proved" is: a name in the header ring, or the durable_sequence of an
 * intact header within the window of batches that can have been in flight, is above the last good sequence. Sequences
 * of a cut tail can never be mistaken for later ones, since the cut batch skips far beyond them.
 *
 * What was durable and is damaged is identified by its own header, by a copy of it in the header ring, or by the batch
 * behind it, and the walk goes on. So it does behind several that nobody names, where the terms on both sides of the
 * gap leave no doubt about its entries: what is behind it may be the only copy of something. But there may have been a
 * configuration among them, so until they have come back this node abstains (recovery.c, members_recovered()). */
#include "output.h"
#include "state.h"

enum recovery_fact { IS_NOT, IS, ANY };

struct recovery_rule {
    enum recovery_fact intact;
    enum recovery_fact identified;
    enum recovery_fact proved;
    enum recovery_fact doubt;
    enum recovery_verdict verdict;
};

/* Exactly one row applies to any evidence. */
static const struct recovery_rule recovery_rules[] = {
    /* intact, identified, proved, doubt */
    { IS, ANY, ANY, ANY, RECOVERY_KEEP },
    { IS_NOT, IS, IS, ANY, RECOVERY_FAULTY },
    { IS_NOT, IS_NOT, IS, ANY, RECOVERY_UNKNOWN },
    /* The names that would tell are lost with it. */
    { IS_NOT, ANY, IS_NOT, IS, RECOVERY_UNKNOWN },
    { IS_NOT, ANY, IS_NOT, IS_NOT, RECOVERY_CUT },
};

static bool fact_fits(enum recovery_fact fact, bool value) { return fact == ANY || (fact == IS) == value; }

static bool rule_fits(const struct recovery_rule *rule, const struct recovery_evidence *evidence)
{
    return fact_fits(rule->intact, evidence->intact) && fact_fits(rule->identified, evidence->identified)
           && fact_fits(rule->proved, evidence->proved) && fact_fits(rule->doubt, evidence->doubt);
}

uint32_t recovery_rules_matching(const struct recovery_evidence *evidence)
{
    uint32_t matching = 0;
    for (size_t i = 0; i < ARRAY_COUNT(recovery_rules); i++)
        matching += rule_fits(&recovery_rules[i], evidence) ? 1 : 0;
    return matching;
}

enum recovery_verdict recovery_verdict_of(const struct recovery_evidence *evidence)
{
    for (size_t i = 0; i < ARRAY_COUNT(recovery_rules); i++)
        if (rule_fits(&recovery_rules[i], evidence))
            return recovery_rules[i].verdict;
    UNREACHABLE();
}

/* Must some name have been written? No more than wal_unnamed_max batches ever wait for theirs, and a cut; and the head
 * has moved on only with a checkpoint. */
static bool names_must_be(const struct replica *replica)
{
    const struct recovery *recovery = &replica->recovery;
    const uint64_t unnamed_max = replica->limits.wal_unnamed_max + 1;
    return recovery->batches + recovery->batches_faulty > unnamed_max || replica->stored.head.sequence > unnamed_max;
}

/* A block of zeros was never written, unless the ring has been around. */
static bool name_is_lost(const struct replica *replica, enum name_state state)
{
    return state == NAME_BAD
           || (state == NAME_ZERO && replica->recovery.name_sequence_max >= replica->limits.wal_header_blocks);
}

/* May a name newer than all that can be read be lost? One bad block where the next name goes is a write that the crash
 * tore; two are not explained by one crash, nor is a ring without any name beside a log that has them. */
bool recovery_names_uncertain(const struct replica *replica)
{
    const struct recovery *recovery = &replica->recovery;
    const uint32_t blocks = replica->limits.wal_header_blocks;
    if (recovery->name_sequence_max == 0)
        return recovery->names_bad >= 2 || names_must_be(replica);
    for (uint32_t ahead = 1; ahead <= 2; ahead++) {
        const uint32_t slot = recovery->name_newest + ahead;
        const uint8_t state = slot < blocks ? recovery->names_after[ahead - 1] : recovery->names_first[slot - blocks];
        if (!name_is_lost(replica, (enum name_state)state))
            return false;
    }
    return true;
}

/* Keeps those with the lowest lsn, and of one place the latest: the ring is long, and is not to be read for each batch
 * that is lost. */
static void named_keep(struct recovery *recovery, const struct wal_batch_header *header)
{
    struct wal_batch_header *furthest = &recovery->named[0];
    for (uint32_t i = 0; i < RECOVERY_NAMED_MAX; i++) {
        struct wal_batch_header *named = &recovery->named[i];
        if (named->sequence != 0 && named->lsn == header->lsn) {
            if (header->sequence > named->sequence)
                *named = *header;
            return;
        }
        if (furthest->sequence != 0 && (named->sequence == 0 || named->lsn > furthest->lsn))
            furthest = named;
    }
    if (furthest->sequence == 0 || header->lsn < furthest->lsn)
        *furthest = *header;
}

void recovery_name_batch(struct replica *replica, const struct wal_batch_header *header)
{
    struct recovery *recovery = &replica->recovery;
    struct wal_batch_header *newest = &recovery->named[header->sequence % RECOVERY_NAMED_MAX];
    if (recovery->named_tail == 0 && header->sequence > newest->sequence)
        *newest = *header;
    if (recovery->named_tail != 0 && header->lsn >= replica->wal.tail)
        named_keep(recovery, header);
}

/* ---- one batch ---- */

/* Do the entries that an intact header names continue this log? */
static bool batch_follows(const struct replica *replica, const struct wal_batch_header *header)
{
    const struct log *log = &replica->log;
    if (header->sequence <= replica->wal.sequence || !hash128_equal(header->prev_hash, replica->wal.prev_hash))
        return false;
    if (header->run_bytes > replica->limits.wal_batch_bytes_max || header->run_bytes % replica->limits.block_bytes != 0)
        return false;
    if (header->kind == WAL_BATCH_CUT)
        return true;
    const uint64_t first = header->first_index;
    const uint64_t last = first + header->entry_count - 1;
    if (header->kind == WAL_BATCH_REPAIR) {
        if (last > log->last.index)
            return false;
        for (uint64_t index = u64_max(first, log->base.index + 1); index <= last; index++)
            if (log_term(replica, index) != header->entry_term)
                return false;
        return true;
    }
    if (first <= log->base.index || first > log->last.index + 1)
        return false;
    return last - log->base.index < replica->limits.log_entries_max
           && header->entry_term >= log_term(replica, first - 1);
}

/* It belongs to the log; its bytes are good, or only its identity is known. */
static void batch_take(struct replica *replica, const struct wal_batch_header *header, bool good)
{
    const struct wal_batch_header taken = *header;
    const uint8_t *run = wal_mirror_const(replica, taken.lsn);
    if (wal_batch_appends(taken.kind) && taken.first_index <= replica->log.last.index)
        log_truncate(replica, taken.first_index - 1);
    uint32_t offset = (uint32_t)sizeof taken;
    for (uint32_t i = 0; i < taken.entry_count; i++) {
        struct entry entry;
        const struct log_id id = { .term = taken.entry_term, .index = taken.first_index + i };
        const uint64_t lsn = good ? taken.lsn + offset : LOG_FAULTY;
        if (good)
            offset += entry_decode((struct slice){ .bytes = run + offset, .count = taken.run_bytes - offset }, &entry);
        if (wal_batch_appends(taken.kind))
            log_push(replica, id, lsn);
        else if (good && id.index > replica->log.base.index)
            log_repair(replica, id.index, lsn);
    }
    struct recovery *recovery = &replica->recovery;
    struct wal *wal = &replica->wal;
    const struct log_id last = { .term = taken.entry_term, .index = taken.first_index + taken.entry_count - 1 };
    /* Truncated, or repaired; a cut does neither, and holds no entry that `last` could name. */
    if (taken.entry_count > 0 && recovery->config_lost >= taken.first_index
        && (wal_batch_appends(taken.kind) || (good && recovery->config_lost <= last.index)))
        recovery->config_lost = 0;
    if (taken.kind == WAL_BATCH_CONFIG && !good && recovery->config_lost == 0 && !members_know(replica, last))
        recovery->config_lost = last.index;
    wal_follow(replica, &taken);
    recovery->sequence_max = u64_max(recovery->sequence_max, taken.sequence);
    recovery->term_max = u64_max(recovery->term_max, taken.term);
    wal->durable_index = replica->log.last.index;
    if (!good) {
        wal->damaged_end = wal->tail;
        wal->damaged_last = replica->log.last.index;
        recovery->batches_faulty++;
        return;
    }
    /* Named or not, it is on the disk now; names catch up before anything else is written. */
    wal->batches[wal->sealed % WAL_BATCHES_MAX] =
        (struct wal_batch){ .header = taken, .last_index = replica->log.last.index, .complete = true };
    wal->sealed++;
    wal->submitted = wal->sealed;
    wal->durable = wal->sealed;
    wal->promised = wal->sealed;
    recovery->batches++;
    if (taken.sequence <= recovery->named_sequence)
        wal->named = wal->sealed;
}

enum look { LOOK_GOOD, LOOK_BAD, LOOK_MORE };

/* The batch at the tail, as far as the stream is loaded. */
static enum look batch_look(const struct replica *replica, struct wal_batch_header *header)
{
    const struct recovery *recovery = &replica->recovery;
    const uint64_t lsn = replica->wal.tail;
    const uint64_t block_end = lsn + replica->limits.block_bytes;
    if (block_end > recovery->read_end)
        return LOOK_BAD;
    if (block_end > recovery->loaded)
        return LOOK_MORE;
    const struct slice block = { .bytes = wal_mirror_const(replica, lsn), .count = replica->limits.block_bytes };
    if (!wal_batch_header_decode(block, replica->config.cluster_id, lsn, header) || !batch_follows(replica, header))
        return LOOK_BAD;
    if (lsn + header->run_bytes > recovery->read_end)
        return LOOK_BAD;
    if (lsn + header->run_bytes > recovery->loaded)
        return LOOK_MORE;
    return wal_batch_body_valid(header, replica->config.cluster_id, block.bytes) ? LOOK_GOOD : LOOK_BAD;
}

/* ---- a bad one ---- */

uint64_t recovery_window_end(const struct replica *replica)
{
    const uint64_t window = (uint64_t)(replica->limits.wal_unnamed_max + 1) * replica->limits.wal_batch_bytes_max;
    return u64_min(replica->recovery.read_end, replica->wal.tail + window);
}

/* The header ring's copy of the header of a batch at the tail. */
static bool batch_named(const struct replica *replica, struct wal_batch_header *lost)
{
    for (uint32_t i = 0; i < RECOVERY_NAMED_MAX; i++) {
        *lost = replica->recovery.named[i];
        if (lost->sequence != 0 && lost->lsn == replica->wal.tail && batch_follows(replica, lost))
            return true;
    }
    return false;
}

/* What the batch behind says of the one at the tail. */
static bool batch_repeated(const struct replica *replica, struct wal_batch_header *lost)
{
    const uint32_t block_bytes = replica->limits.block_bytes;
    const uint64_t lsn = replica->wal.tail;
    for (uint64_t at = lsn + block_bytes; at + block_bytes <= recovery_window_end(replica); at += block_bytes) {
        struct wal_batch_header next;
        const struct slice block = { .bytes = wal_mirror_const(replica, at), .count = block_bytes };
        if (!wal_batch_header_decode(block, replica->config.cluster_id, at, &next) || next.prev_bytes == 0
            || next.lsn - next.prev_bytes != lsn || next.sequence < replica->wal.sequence + 2)
            continue;
        /* Cut off at what lies between it and the end of the ring, where nothing is written. */
        const uint32_t run = u32_min(next.prev_bytes, replica->limits.wal_batch_bytes_max);
        *lost = (struct wal_batch_header){
            .hash = next.prev_hash,
            .prev_hash = replica->wal.prev_hash,
            .kind = next.prev_kind,
            /* A cut skips, and says where from. */
            .sequence = next.kind == WAL_BATCH_CUT ? next.durable_sequence : next.sequence - 1,
            .lsn = lsn,
            .first_index = next.prev_first_index,
            .entry_term = next.prev_entry_term,
            .entry_count = next.prev_entry_count,
            .run_bytes = run - run % block_bytes,
        };
        return wal_place(&replica->limits, lsn + next.prev_bytes) == next.lsn && batch_follows(replica, lost);
    }
    return false;
}

/* Who says what the bad batch held? Fills in its header, or as much of one as is known. What an earlier recovery cut
 * off at the same place may still lie there, when a write was lost, or be named: the latest counts.
 *
 * If that is later than all that was surely durable, it is the cut of a start that crashed meanwhile, and it tore.
 * Nothing was ever said behind it, and what proves a loss is about what lay here before, which nobody knows. Who went
 * on behind a torn cut would in time write over that proof, and the next start would cut off what was acknowledged
 * since. */
static bool batch_identify(const struct replica *replica, struct wal_batch_header *lost)
{
    const uint64_t lsn = replica->wal.tail;
    const struct slice own = { .bytes = wal_mirror_const(replica, lsn), .count = replica->limits.block_bytes };
    struct wal_batch_header said[3];
    const bool known[3] = {
        wal_batch_header_decode(own, replica->config.cluster_id, lsn, &said[0]) && batch_follows(replica, &said[0]),
        batch_named(replica, &said[1]),
        batch_repeated(replica, &said[2]),
    };
    bool found = false;
    for (uint32_t i = 0; i < ARRAY_COUNT(said); i++) {
        if (!known[i] || (found && said[i].sequence <= lost->sequence))
            continue;
        *lost = said[i];
        found = true;
    }
    return found && lost->sequence <= replica->recovery.durable_sequence;
}

/* Does what lies behind a gap say which entries the log held when it was written? Those before an entry of it are given
 * by its id (Raft 3.5: equal index and term, equal logs up to there), and terms never fall along a log: so when it is
 * of the term of the last one before the gap, what lies between is of that term as well. 0: it does not say. */
static uint64_t gap_last(const struct replica *replica, const struct wal_batch_header *next)
{
    const struct log_id before = replica->log.last;
    uint64_t last = 0;
    if (wal_batch_appends(next->kind) && next->entry_term == before.term)
        last = u64_max(next->first_index - 1, before.index); /* it truncates by itself */
    else if (wal_batch_appends(next->prev_kind) && next->prev_entry_term == before.term)
        last = next->prev_first_index + next->prev_entry_count - 1;
    const bool fits = last >= before.index && last - replica->log.base.index < replica->limits.log_entries_max;
    return fits ? last : 0;
}

/* Several batches in a row are lost, from the tail on, and nobody names them. When all of them were durable, and what
 * follows says what entries they held, they are taken as one; which of the entries are configurations stays unknown.
 *
 * Not where the log begins: what lies there may be of the log before, when a start or a checkpoint has made it begin
 * anew. Behind a batch of this log, what is older has a lower sequence.
 *
 * Nor where a cut tore, of a start that could not read what this one can: its header would lie in the middle of the log
 * and count once sequences have come as far, in place of all that was acknowledged behind it. It is cut again. */
static bool gap_identify(const struct replica *replica, struct wal_batch_header *gap)
{
    const struct wal *wal = &replica->wal;
    const uint32_t block_bytes = replica->limits.block_bytes;
    const struct slice own = { .bytes = wal_mirror_const(replica, wal->tail), .count = block_bytes };
    bool found = false;
    if (wal->tail == replica->stored.head.lsn)
        return false;
    if (wal_batch_header_decode(own, replica->config.cluster_id, wal->tail, gap) && batch_follows(replica, gap))
        return false;
    for (uint64_t lsn = wal->tail + block_bytes; !found && lsn + block_bytes <= recovery_window_end(replica);
         lsn += block_bytes) {
        const struct slice block = { .bytes = wal_mirror_const(replica, lsn), .count = block_bytes };
        struct wal_batch_header next;
        if (!wal_batch_header_decode(block, replica->config.cluster_id, lsn, &next) || next.sequence < wal->sequence + 2
            || wal_place(&replica->limits, lsn) != lsn)
            continue;
        const uint64_t last = gap_last(replica, &next);
        if (last == 0)
            continue;
        found = true;
        *gap = (struct wal_batch_header){
            .hash = next.prev_hash,
            .prev_hash = wal->prev_hash,
            .kind = WAL_BATCH_APPEND,
            /* A cut skips, and says where from. */
            .sequence = next.kind == WAL_BATCH_CUT ? next.durable_sequence : next.sequence - 1,
            .lsn = wal->tail,
            .first_index = replica->log.last.index + 1,
            .entry_term = replica->log.last.term,
            .entry_count = (uint32_t)(last - replica->log.last.index),
            .run_bytes = (uint32_t)(lsn - wal->tail),
        };
    }
    return found && gap->sequence <= replica->recovery.durable_sequence;
}

/* Looks behind the tail for what says that something there was durable. Said once is enough: what is read again may be
 * read at the wrong place then. */
static bool tail_proved(struct replica *replica)
{
    struct recovery *recovery = &replica->recovery;
    const uint32_t block_bytes = replica->limits.block_bytes;
    recovery->leftovers = recovery->lost_end > replica->wal.tail;
    recovery->chain_ahead = recovery->leftovers;
    for (uint64_t lsn = replica->wal.tail; lsn + block_bytes <= recovery_window_end(replica); lsn += block_bytes) {
        const uint8_t *bytes = wal_mirror_const(replica, lsn);
        struct wal_batch_header header;
        if (!recovery->leftovers && !bytes_are_zero(bytes, block_bytes))
            recovery->leftovers = true;
        if (!wal_batch_header_decode((struct slice){ .bytes = bytes, .count = block_bytes }, replica->config.cluster_id,
                                     lsn, &header))
            continue;
        recovery->sequence_max = u64_max(recovery->sequence_max, header.sequence);
        if (header.sequence <= replica->wal.sequence)
            continue;
        recovery->chain_ahead = true;
        recovery->durable_sequence = u64_max(recovery->durable_sequence, header.durable_sequence);
    }
    return recovery->durable_sequence > replica->wal.sequence;
}

/* Is so much at the tail to be read once more before it is judged? Not only what looks damaged: a read that was
 * misdirected to where nothing was written looks like the end. */
static bool tail_read_again(struct replica *replica, uint64_t bytes)
{
    struct recovery *recovery = &replica->recovery;
    if (recovery->again_tail == replica->wal.tail + 1 && bytes <= recovery->again_bytes)
        return false;
    recovery->again_tail = replica->wal.tail + 1;
    recovery->again_bytes = bytes;
    return true;
}

enum walk_outcome recovery_walk(struct replica *replica, struct output *output)
{
    struct recovery *recovery = &replica->recovery;
    for (;;) {
        struct wal_batch_header header;
        const enum look look = batch_look(replica, &header);
        if (look == LOOK_MORE)
            return WALK_MORE;
        if (look == LOOK_GOOD) {
            recovery->phase = RECOVERY_BODY;
            batch_take(replica, &header, true);
            continue;
        }
        recovery->phase = RECOVERY_SCAN;
        if (recovery->loaded < recovery_window_end(replica))
            return WALK_MORE;
        const bool proved = tail_proved(replica);
        const bool identified = batch_identify(replica, &header);
        if (tail_read_again(replica, identified ? header.run_bytes : replica->limits.wal_batch_bytes_max))
            return WALK_AGAIN;
        /* CTRL 3.3: of many lost in a row, too, and far in front of the newest, the ring says what they held. */
        if (proved && !identified && recovery->named_tail <= replica->wal.tail) {
            recovery->named_tail = replica->wal.tail + 1;
            return WALK_NAMES;
        }
        const struct recovery_evidence evidence = {
            .intact = false,
            .identified = identified,
            .proved = proved,
            .doubt = recovery->leftovers && recovery_names_uncertain(replica),
        };
        enum recovery_verdict verdict = recovery_verdict_of(&evidence);
        if (verdict == RECOVERY_UNKNOWN && proved && gap_identify(replica, &header)) {
            if (tail_read_again(replica, header.run_bytes))
                return WALK_AGAIN;
            if (header.entry_count > 0)
                recovery->gap_last = header.first_index + header.entry_count - 1;
            verdict = RECOVERY_FAULTY;
        }
        switch (verdict) {
        case RECOVERY_FAULTY:
            output_event(output, EVENT_BATCH_DAMAGED, header.first_index, header.entry_count);
            batch_take(replica, &header, false);
            recovery->phase = RECOVERY_BODY;
            continue;
        case RECOVERY_UNKNOWN: return WALK_UNKNOWN;
        case RECOVERY_CUT: return WALK_END;
        case RECOVERY_KEEP:
        case RECOVERY_VERDICTS: break;
        }
        UNREACHABLE();
    }
}

/* What the key-value store and the sessions should be: executed once per committed index, by rules written here from
 * request.h and limits.h alone, and compared with what each replica makes of the same entry.
 *
 * Values are kept as hashes that compose over concatenation; every version of a key is kept, so that a read can be
 * judged at the index that it claims to have read. */
#include "check_state.h"

#include "../core/kv.h"
#include "../core/page.h"
#include "../core/session.h"

#include <stdlib.h>
#include <string.h>

enum { KEY_TABLE_MIN = 64 };

void check_model_reset(struct check *check)
{
    if (check->key_slots == NULL) {
        check->key_slots = calloc(KEY_TABLE_MIN, sizeof *check->key_slots);
        ASSERT(check->key_slots != NULL);
        check->key_mask = KEY_TABLE_MIN - 1;
    }
    memset(check->key_slots, 0, (check->key_mask + 1) * sizeof *check->key_slots);
    check->key_count = check->version_count = check->session_count = 0;
    check->applied = 0;
    check->live_bytes = 0;
    check->key_text_bytes = 0;
    check->store_full = false;
    check->sessions =
        check_grow(check->sessions, &check->session_max, check->limits.sessions_max, sizeof *check->sessions);
}

/* ---- keys ---- */

static uint32_t *key_slot(const struct check *check, uint64_t hash)
{
    uint32_t slot = (uint32_t)hash & check->key_mask;
    while (check->key_slots[slot] != 0 && check->keys[check->key_slots[slot] - 1].hash != hash)
        slot = (slot + 1) & check->key_mask;
    return &check->key_slots[slot];
}

/* Keys are told apart by 64 bits of hash. */
uint32_t check_model_key(struct check *check, struct slice key)
{
    const uint64_t hash = checksum64(key.bytes, key.count, 5);
    uint32_t *slot = key_slot(check, hash);
    if (*slot != 0)
        return *slot - 1;
    check->keys = check_grow(check->keys, &check->key_max, check->key_count + 1, sizeof *check->keys);
    check->keys[check->key_count++] =
        (struct ghost_key){ .hash = hash, .bytes = key.count, .text = check->key_text_bytes, .latest = CHECK_NONE };
    check->key_text = check_grow(check->key_text, &check->key_text_max, check->key_text_bytes + key.count, 1);
    memcpy(check->key_text + check->key_text_bytes, key.bytes, key.count);
    check->key_text_bytes += key.count;
    *slot = check->key_count;
    if (check->key_count * 2 > check->key_mask) {
        check->key_mask = check->key_mask * 2 + 1;
        free(check->key_slots);
        check->key_slots = calloc(check->key_mask + 1, sizeof *check->key_slots);
        ASSERT(check->key_slots != NULL);
        for (uint32_t i = 0; i < check->key_count; i++)
            *key_slot(check, check->keys[i].hash) = i + 1;
    }
    return check->key_count - 1;
}

struct ghost_version check_model_version(const struct check *check, uint32_t key, uint64_t index)
{
    uint32_t at = check->keys[key].latest;
    while (at != CHECK_NONE && check->versions[at].index > index)
        at = check->versions[at].previous;
    return at == CHECK_NONE ? (struct ghost_version){ .previous = CHECK_NONE } : check->versions[at];
}

static struct ghost_version key_now(const struct check *check, uint32_t key)
{
    return check_model_version(check, key, UINT64_MAX);
}

/* ---- execution ---- */

enum write_kind { WRITE_PUT, WRITE_DELETE, WRITE_APPEND };

struct write {
    enum write_kind kind;
    uint32_t key;
    struct linear_value value;
};

static struct ghost_version write_result(const struct check *check, const struct write *write, uint64_t index)
{
    const struct ghost_version old = key_now(check, write->key);
    struct ghost_version new = { .index = index, .version = index, .value = write->value };
    if (write->kind == WRITE_DELETE)
        new = (struct ghost_version){ .index = index };
    if (write->kind == WRITE_APPEND && old.version != 0)
        new.value = linear_value_append(old.value, write->value);
    return new;
}

/* Whether the store is full is the replicas' to say: it depends on how pages fill. The model takes the word of the
 * first that executes the entry, if the store is at least a quarter full by the bytes in it, and holds all others to
 * it. */
static enum reply_status write_weigh(const struct check *check, const struct write *write)
{
    const struct ghost_version new = write_result(check, write, 1);
    if (new.value.bytes > check->limits.value_bytes_max)
        return REPLY_TOO_LARGE;
    return write->kind != WRITE_DELETE && check->store_full ? REPLY_NO_SPACE : REPLY_OK;
}

static uint64_t key_live_bytes(const struct check *check, uint32_t key, const struct ghost_version *version)
{
    return version->version == 0 ? 0 : check->keys[key].bytes + version->value.bytes;
}

static void write_do(struct check *check, const struct write *write, uint64_t index)
{
    const struct ghost_version old = key_now(check, write->key);
    struct ghost_version new = write_result(check, write, index);
    if (old.version == 0 && new.version == 0)
        return;
    check->live_bytes += key_live_bytes(check, write->key, &new) - key_live_bytes(check, write->key, &old);
    new.previous = check->keys[write->key].latest;
    check->versions =
        check_grow(check->versions, &check->version_max, check->version_count + 1, sizeof *check->versions);
    check->versions[check->version_count] = new;
    check->keys[write->key].latest = check->version_count++;
}

static void execute_single(struct check *check, const struct request *request, struct ghost_result *result)
{
    struct write write = { .kind = WRITE_PUT, .key = check_model_key(check, request->key) };
    const uint64_t current = key_now(check, write.key).version;
    if (request->kind == REQUEST_DELETE) {
        write.kind = WRITE_DELETE;
        if (current == 0) {
            result->status = REPLY_NOT_FOUND;
            return;
        }
    } else {
        write.value = linear_value_of(request->value);
    }
    if (request->kind == REQUEST_APPEND)
        write.kind = WRITE_APPEND;
    if (request->kind == REQUEST_CAS && current != request->version) {
        result->status = REPLY_CONDITION_FAILED;
        result->version = current;
        return;
    }
    result->status = write_weigh(check, &write);
    if (result->status != REPLY_OK)
        return;
    write_do(check, &write, result->applied);
    result->version = write.kind == WRITE_DELETE ? 0 : result->applied;
}

static bool clause_is_compare(const struct txn_clause *clause)
{
    return clause->kind == TXN_IF_EQUAL || clause->kind == TXN_IF_NOT_EQUAL;
}

static bool txn_holds(struct check *check, struct slice txn)
{
    struct txn_clause clause;
    bool holds = true;
    for (uint32_t offset = 0; offset < txn.count && txn_clause_decode(txn, &offset, &clause);)
        if (clause_is_compare(&clause)) {
            const uint64_t current = key_now(check, check_model_key(check, clause.key)).version;
            holds = holds && (current == clause.version) == (clause.kind == TXN_IF_EQUAL);
        }
    return holds;
}

/* The next write of the branch. */
static bool txn_write(struct check *check, struct slice txn, bool then, uint32_t *offset, struct write *write)
{
    struct txn_clause clause;
    while (*offset < txn.count && txn_clause_decode(txn, offset, &clause)) {
        const enum txn_clause_kind first = then ? TXN_THEN_PUT : TXN_ELSE_PUT;
        if (clause_is_compare(&clause) || clause.kind < first || clause.kind > first + 2)
            continue;
        const enum write_kind kinds[] = { WRITE_PUT, WRITE_DELETE, WRITE_APPEND };
        *write = (struct write){ .kind = kinds[clause.kind - first], .key = check_model_key(check, clause.key) };
        if (write->kind != WRITE_DELETE)
            write->value = linear_value_of(clause.value);
        return true;
    }
    return false;
}

static void execute_txn(struct check *check, struct slice txn, struct ghost_result *result)
{
    const bool then = txn_holds(check, txn);
    struct write write;
    for (uint32_t offset = 0; txn_write(check, txn, then, &offset, &write);) {
        result->status = write_weigh(check, &write);
        if (result->status != REPLY_OK)
            return;
    }
    for (uint32_t offset = 0; txn_write(check, txn, then, &offset, &write);)
        write_do(check, &write, result->applied);
    result->status = then ? REPLY_OK : REPLY_CONDITION_FAILED;
    result->version = result->applied;
}

static struct ghost_session *session_of(struct check *check, uint64_t id)
{
    for (uint32_t i = 0; i < check->session_count; i++)
        if (check->sessions[i].id == id)
            return &check->sessions[i];
    return NULL;
}

bool check_model_executed(struct check *check, uint64_t session, uint64_t sequence)
{
    const struct ghost_session *known = session_of(check, session);
    return known != NULL && known->sequence == sequence;
}

/* I8: a definite refusal was a promise, too. */
static void execute_refused(struct check *check, const struct request *request, uint64_t index)
{
    for (uint32_t i = 0; i < check->refusal_count; i++)
        if (check->refusals[i].session == request->session && check->refusals[i].sequence == request->sequence)
            check_fail(
                check, CHECK_EXACTLY_ONCE, UINT32_MAX,
                "entry %llu executes sequence %llu of session %llu, whose client was told that it was not executed",
                (unsigned long long)index, (unsigned long long)request->sequence, (unsigned long long)request->session);
}

static void execute_register(struct check *check, struct ghost_result *result)
{
    const uint64_t index = result->applied;
    uint32_t place = check->session_count;
    if (place == check->limits.sessions_max) {
        place = 0;
        for (uint32_t i = 1; i < check->session_count; i++)
            if (check->sessions[i].used_index < check->sessions[place].used_index)
                place = i;
        check->results[check->sessions[place].id].evicted_index = index;
    } else {
        check->session_count++;
    }
    check->sessions[place] = (struct ghost_session){ .id = index, .used_index = index };
    result->session = index;
}

/* Raft 6.3. */
static void execute_command(struct check *check, const struct request *request, struct ghost_result *result)
{
    struct ghost_session *session = session_of(check, request->session);
    result->session = request->session;
    result->sequence = request->sequence;
    if (session == NULL) {
        result->status = REPLY_SESSION_EXPIRED;
    } else if (request->sequence < session->sequence) {
        result->status = REPLY_STALE_SEQUENCE;
    } else if (request->sequence == session->sequence) {
        *result = check->results[session->used_index];
    } else {
        execute_refused(check, request, result->applied);
        session->sequence = request->sequence;
        session->used_index = result->applied;
        if (request->kind == REQUEST_TXN)
            execute_txn(check, request->value, result);
        else
            execute_single(check, request, result);
    }
}

static void execute(struct check *check, const struct entry *entry)
{
    struct ghost_result result = { .applied = entry->id.index };
    struct request request;
    if (entry->kind == ENTRY_COMMAND) {
        if (!command_decode(entry->body, &check->limits, &request))
            result.status = REPLY_BAD_REQUEST;
        else if (request.kind == REQUEST_REGISTER)
            execute_register(check, &result);
        else
            execute_command(check, &request, &result);
    }
    check->applied = entry->id.index;
    check->results[entry->id.index] = result;
}

/* ---- comparison with a replica that has applied up to view->applied ---- */

/* I8: the replica executed the entry, and with this outcome, exactly if the model did. */
static void compare_session(struct check *check, uint32_t node, const struct replica *replica, uint64_t index,
                            uint64_t applied)
{
    const struct ghost_result *result = &check->results[index];
    const struct session *session = session_find(replica, result->session);
    check_count(check, CHECK_EXACTLY_ONCE);
    if (result->status == REPLY_SESSION_EXPIRED) {
        if (session != NULL)
            check_fail(check, CHECK_EXACTLY_ONCE, node, "knows session %llu at entry %llu, where it has expired",
                       (unsigned long long)result->session, (unsigned long long)index);
        return;
    }
    const uint64_t evicted = check->results[result->session].evicted_index;
    if (session == NULL) {
        if (evicted == 0 || evicted > applied)
            check_fail(check, CHECK_EXACTLY_ONCE, node, "does not know session %llu at entry %llu",
                       (unsigned long long)result->session, (unsigned long long)index);
        return;
    }
    const bool executed = result->applied == index && result->status != REPLY_STALE_SEQUENCE;
    if (!executed && session->used_index == index)
        check_fail(check, CHECK_EXACTLY_ONCE, node, "executes sequence %llu of session %llu again at entry %llu",
                   (unsigned long long)result->sequence, (unsigned long long)result->session,
                   (unsigned long long)index);
    if (executed && session->used_index < index)
        check_fail(check, CHECK_EXACTLY_ONCE, node, "does not execute sequence %llu of session %llu at entry %llu",
                   (unsigned long long)result->sequence, (unsigned long long)result->session,
                   (unsigned long long)index);
    if (session->used_index != index || result->sequence == 0)
        return;
    const bool refused = result->status == REPLY_NO_SPACE || result->status == REPLY_TOO_LARGE;
    if (session->status != (uint32_t)result->status || session->sequence != result->sequence
        || (!refused && session->version != result->version))
        check_fail(check, CHECK_STATE_MACHINE, node, "entry %llu yields %s, version %llu; should be %s, version %llu",
                   (unsigned long long)index, reply_status_text((enum reply_status)session->status),
                   (unsigned long long)session->version, reply_status_text(result->status),
                   (unsigned long long)result->version);
}

static void compare_key(struct check *check, uint32_t node, const struct replica *replica, struct slice key,
                        uint64_t applied)
{
    uint32_t value_bytes;
    const uint64_t version = kv_find(replica, key, &value_bytes);
    const struct ghost_version should = check_model_version(check, check_model_key(check, key), applied);
    check_count(check, CHECK_STATE_MACHINE);
    if (version != should.version || (version != 0 && value_bytes != should.value.bytes))
        check_fail(check, CHECK_STATE_MACHINE, node,
                   "a key has version %llu after entry %llu; should be %llu, of %u bytes", (unsigned long long)version,
                   (unsigned long long)applied, (unsigned long long)should.version, should.value.bytes);
}

static void compare_entry(struct check *check, uint32_t node, const struct replica *replica, const struct entry *entry,
                          uint64_t applied)
{
    struct request request;
    if (entry->kind != ENTRY_COMMAND || !command_decode(entry->body, &check->limits, &request))
        return;
    compare_session(check, node, replica, entry->id.index, applied);
    if (request.kind == REQUEST_REGISTER)
        return;
    if (request.kind != REQUEST_TXN) {
        compare_key(check, node, replica, request.key, applied);
        return;
    }
    struct txn_clause clause;
    for (uint32_t offset = 0; offset < request.value.count && txn_clause_decode(request.value, &offset, &clause);)
        if (!clause_is_compare(&clause))
            compare_key(check, node, replica, clause.key, applied);
}

/* I5: equal digests after equal indices, on every node and in every life. */
static void compare_digest(struct check *check, uint32_t node, uint64_t index, uint64_t digest)
{
    struct ghost_commit *commit = &check->commits[index];
    if (!commit->digested) {
        commit->digested = true;
        commit->digest = digest;
    }
    check_count(check, CHECK_STATE_MACHINE);
    if (commit->digest != digest)
        check_fail(check, CHECK_STATE_MACHINE, node, "state after entry %llu differs from another node's",
                   (unsigned long long)index);
}

static void compare_digests(struct check *check, uint32_t node, const struct replica_view *view,
                            const struct output *output)
{
    const uint32_t events = u32_min(output->event_count, output->event_max);
    for (uint32_t i = 0; i < events; i++) {
        const struct event *event = &output->events[i];
        if (event->kind == EVENT_SESSION_EVICTED
            && (event->a > check->applied || check->results[event->a].evicted_index == 0
                || check->results[event->a].evicted_index > view->applied))
            check_fail(check, CHECK_STATE_MACHINE, node, "evicts session %llu, whose turn it is not",
                       (unsigned long long)event->a);
        if (event->kind == EVENT_APPLY && event->a > 0 && event->a <= view->applied)
            compare_digest(check, node, event->a, event->b);
    }
    if (view->applied > 0)
        compare_digest(check, node, view->applied, view->state_digest);
}

/* The whole state came from a disk or a peer. */
static void compare_loaded(struct check *check, uint32_t node, const struct replica *replica,
                           const struct replica_view *view)
{
    if (view->applied == check->nodes[node].stored.checkpoint.id.index)
        check_data_loaded(check, node, replica);
    for (uint32_t key = 0; key < check->key_count && !check->failure.failed; key++)
        compare_key(check, node, replica,
                    (struct slice){ .bytes = check->key_text + check->keys[key].text, .count = check->keys[key].bytes },
                    view->applied);
}

static bool executed_without_space(struct check *check, uint32_t node, const struct output *output,
                                   const struct entry *entry)
{
    const uint32_t events = u32_min(output->event_count, output->event_max);
    uint32_t at = 0;
    while (at < events && (output->events[at].kind != EVENT_EXECUTED || output->events[at].a != entry->id.index))
        at++;
    if (at == events || output->events[at].b != REPLY_NO_SPACE)
        return false;
    const struct limits *limits = &check->limits;
    const uint64_t store_bytes = (uint64_t)(limits->pages_max - page_fixed_count(limits)) * limits->page_bytes;
    /* A put of one key may want a page for every level of the tree, and a new root, beside its value. */
    const uint64_t margin = (uint64_t)limits->page_bytes * (4 + 6 * limits->txn_writes_max);
    if (4 * (check->live_bytes + entry->body.count) + margin < store_bytes)
        check_fail(check, CHECK_STATE_MACHINE, node, "entry %llu finds no space beside %llu bytes",
                   (unsigned long long)entry->id.index, (unsigned long long)check->live_bytes);
    return true;
}

void check_model_follow(struct check *check, uint32_t node, const struct replica *replica,
                        const struct replica_view *view, const struct output *output)
{
    const struct ghost_node *ghost = &check->nodes[node];
    const uint64_t before = ghost->view.applied;
    const uint64_t loaded = ghost->stored.checkpoint.id.index;
    const bool comes = view->store_ready && !ghost->view.store_ready;
    if (view->applied == before && !comes)
        return;
    check_count(check, CHECK_STATE_MACHINE);
    if (view->applied > check->committed
        || check_log_link(check, &ghost->memory, view->applied).chain != check->commits[view->applied].link.chain) {
        check_fail(check, CHECK_STATE_MACHINE, node, "applies entry %llu, which is not the committed one",
                   (unsigned long long)view->applied);
        return;
    }
    /* A checkpoint holds entries that somebody has applied; the others follow one by one. */
    const uint64_t first = (loaded > before && loaded <= view->applied ? loaded : before) + 1;
    if (first > check->applied + 1 || (!view->store_ready && view->applied >= first)) {
        check_fail(check, CHECK_STATE_MACHINE, node, "applies entry %llu behind %llu, %s", (unsigned long long)first,
                   (unsigned long long)check->applied,
                   view->store_ready ? "which nobody has applied" : "without a state");
        return;
    }
    struct entry entry;
    for (uint64_t index = u64_max(first, check->applied + 1); index <= view->applied; index++) {
        replica_entry(replica, index, &entry);
        check->store_full = executed_without_space(check, node, output, &entry);
        execute(check, &entry);
    }
    if (!view->store_ready)
        return;
    for (uint64_t index = first; index <= view->applied; index++) {
        replica_entry(replica, index, &entry);
        compare_entry(check, node, replica, &entry, view->applied);
    }
    compare_digests(check, node, view, output);
    if (comes && view->applied > 0)
        compare_loaded(check, node, replica, view);
}

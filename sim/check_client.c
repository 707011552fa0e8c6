/* Calls and their witnesses: I8, I9 and the outcome of writes.
 *
 * A reply names the index that executed the write, or whose state was read. That index is the witness of
 * linearizability: it must lie between invocation and return in the order of commits, and the model at that index
 * must give the same answer. So every call is checked in O(1), and the search of linear.h is only a second opinion. */
#include "check_state.h"

#include <string.h>

/* Bound of the black-box search for one schedule. */
enum { SEARCH_STEPS_MAX = 1000000 };

static void invoke_txn(struct check *check, struct linear_op *op, struct slice txn)
{
    struct txn_clause clause;
    for (uint32_t offset = 0; offset < txn.count && txn_clause_decode(txn, &offset, &clause);) {
        if (op->part_count == LINEAR_TXN_PARTS) {
            check->unsearchable = true;
            return;
        }
        op->parts[op->part_count++] = (struct linear_part){ .kind = (uint8_t)clause.kind,
                                                            .key = check_model_key(check, clause.key),
                                                            .version = clause.version,
                                                            .value = linear_value_of(clause.value) };
    }
}

static enum linear_kind linear_kind_of(enum request_kind kind)
{
    switch (kind) {
    case REQUEST_PUT: return LINEAR_PUT;
    case REQUEST_DELETE: return LINEAR_DELETE;
    case REQUEST_APPEND: return LINEAR_APPEND;
    case REQUEST_CAS: return LINEAR_CAS;
    case REQUEST_TXN: return LINEAR_TXN;
    case REQUEST_GET:
    case REQUEST_GET_STALE:
    case REQUEST_REGISTER:
    case REQUEST_STATUS:
    case REQUEST_CHECKPOINT:
    case REQUEST_MEMBERS:
    case REQUEST_TRANSFER: break;
    }
    return LINEAR_GET;
}

void check_invoked(struct check *check, uint32_t call, uint32_t client, const struct request *request, uint64_t now)
{
    ASSERT(call == check->call_count);
    check->calls = check_grow(check->calls, &check->call_max, call + 1, sizeof *check->calls);
    check->call_count = call + 1;
    struct ghost_call *record = &check->calls[call];
    struct linear_op *op = &record->op;
    record->request = *request;
    record->request.key = record->request.value = (struct slice){ .count = 0 };
    record->committed = check->committed;
    record->open = true;
    record->stale = false;
    memset(op, 0, offsetof(struct linear_op, parts));
    op->kind = linear_kind_of(request->kind);
    op->outcome = LINEAR_UNKNOWN;
    op->client = client;
    op->invoked = now;
    op->returned = UINT64_MAX;
    op->expected = request->version;
    if (request->kind == REQUEST_TXN)
        invoke_txn(check, op, request->value);
    else if (request->key.count > 0)
        op->key = check_model_key(check, request->key);
    if (op->kind != LINEAR_TXN)
        op->value = linear_value_of(request->value);
}

/* The value and version are those of the index that the reply names. */
static void returned_value(struct check *check, uint32_t call, const struct reply *reply)
{
    const struct linear_op *op = &check->calls[call].op;
    if (reply->applied > check->applied) {
        check_fail(check, CHECK_READ, UINT32_MAX, "call %u read at entry %llu; nobody has applied more than %llu", call,
                   (unsigned long long)reply->applied, (unsigned long long)check->applied);
        return;
    }
    const struct ghost_version should = check_model_version(check, op->key, reply->applied);
    const bool found = reply->status == REPLY_OK;
    if (found != (should.version != 0) || reply->version != should.version
        || (found && (op->value.hash != should.value.hash || op->value.bytes != should.value.bytes)))
        check_fail(check, CHECK_READ, UINT32_MAX,
                   "call %u read version %llu, %u bytes, at entry %llu; should be version %llu, %u bytes", call,
                   (unsigned long long)reply->version, op->value.bytes, (unsigned long long)reply->applied,
                   (unsigned long long)should.version, should.value.bytes);
}

static void returned_read(struct check *check, uint32_t call, const struct reply *reply)
{
    struct ghost_call *record = &check->calls[call];
    const uint8_t allowed = check_reads_flags(&record->request);
    record->stale = (reply->flags & (REPLY_FLAG_STALE | REPLY_FLAG_BOUNDED)) != 0;
    if (reply->status != REPLY_OK && reply->status != REPLY_NOT_FOUND)
        return;
    record->op.outcome = reply->status == REPLY_OK ? LINEAR_OK : LINEAR_NOT_FOUND;
    record->op.version = reply->version;
    record->op.value = linear_value_of(reply->value);
    check_count(check, CHECK_READ);
    if ((reply->flags & ~allowed) != 0 || (allowed == REPLY_FLAG_STALE && !record->stale))
        check_fail(check, CHECK_READ, UINT32_MAX, "call %u: a %s read is marked otherwise", call,
                   allowed == REPLY_FLAG_STALE ? "stale"
                   : allowed == 0              ? "linearizable"
                                               : "bounded");
    if (!record->stale && reply->applied < record->committed)
        check_fail(check, CHECK_READ, UINT32_MAX, "call %u read at entry %llu; %llu were committed when it began", call,
                   (unsigned long long)reply->applied, (unsigned long long)record->committed);
    returned_value(check, call, reply);
}

/* Did the command go through the log, or was it turned away before? */
static bool reply_is_logged(const struct reply *reply)
{
    switch (reply->status) {
    case REPLY_OK:
    case REPLY_NOT_FOUND:
    case REPLY_CONDITION_FAILED:
    case REPLY_NO_SPACE: return true;
    case REPLY_TOO_LARGE:
    case REPLY_SESSION_EXPIRED:
    case REPLY_STALE_SEQUENCE:
    case REPLY_BAD_REQUEST: return reply->applied != 0;
    case REPLY_NOT_LEADER:
    case REPLY_NO_LEADER:
    case REPLY_BUSY:
    case REPLY_LATE:
    case REPLY_UNKNOWN:
    case REPLY_CHANGE_UNDER_WAY:
    case REPLY_TERM_NOT_OPEN:
    case REPLY_UNKNOWN_MEMBER:
    case REPLY_DUPLICATE_MEMBER:
    case REPLY_TOO_MANY_MEMBERS:
    case REPLY_NO_VOTER_LEFT:
    case REPLY_WRONG_ROLE:
    case REPLY_LEARNER_BEHIND:
    case REPLY_WOULD_LOSE_QUORUM:
    case REPLY_NOT_A_VOTER:
    case REPLY_TARGET_SILENT:
    case REPLY_TRANSFER_FAILED:
    case REPLY_WRONG_CLUSTER: break;
    }
    return false;
}

static void returned_registration(struct check *check, uint32_t call, const struct reply *reply)
{
    struct ghost_result *result = &check->results[reply->applied];
    check_count(check, CHECK_EXACTLY_ONCE);
    if (reply->session != reply->applied || result->session != reply->session || result->sequence != 0)
        check_fail(check, CHECK_WRITE, UINT32_MAX, "call %u: entry %llu did not open session %llu", call,
                   (unsigned long long)reply->applied, (unsigned long long)reply->session);
    else if (result->claimed)
        check_fail(check, CHECK_EXACTLY_ONCE, UINT32_MAX, "call %u: session %llu was given to another call", call,
                   (unsigned long long)reply->session);
    result->claimed = true;
}

static void returned_outcome(struct check *check, uint32_t call, const struct reply *reply)
{
    const struct request *request = &check->calls[call].request;
    const struct ghost_result *result = &check->results[reply->applied];
    check_count(check, CHECK_EXACTLY_ONCE);
    if (result->session != request->session || result->sequence != request->sequence
        || result->applied != reply->applied)
        check_fail(check, CHECK_EXACTLY_ONCE, UINT32_MAX,
                   "call %u, sequence %llu of session %llu, was not executed at entry %llu", call,
                   (unsigned long long)request->sequence, (unsigned long long)request->session,
                   (unsigned long long)reply->applied);
    const bool versioned = reply->status == REPLY_OK || reply->status == REPLY_CONDITION_FAILED;
    if (result->status != reply->status || (versioned && result->version != reply->version))
        check_fail(check, CHECK_WRITE, UINT32_MAX, "call %u got %s, version %llu; should be %s, version %llu", call,
                   reply_status_text(reply->status), (unsigned long long)reply->version,
                   reply_status_text(result->status), (unsigned long long)result->version);
}

static enum linear_outcome write_outcome(const struct reply *reply)
{
    switch (reply->status) {
    case REPLY_OK: return LINEAR_OK;
    case REPLY_NOT_FOUND: return LINEAR_NOT_FOUND;
    case REPLY_CONDITION_FAILED: return LINEAR_FAILED;
    case REPLY_TOO_LARGE:
    case REPLY_BAD_REQUEST:
    case REPLY_NO_SPACE:
    case REPLY_NOT_LEADER:
    case REPLY_NO_LEADER:
    case REPLY_BUSY:
    case REPLY_LATE:
    case REPLY_SESSION_EXPIRED: return LINEAR_REFUSED;
    case REPLY_UNKNOWN:
    case REPLY_STALE_SEQUENCE:
    case REPLY_CHANGE_UNDER_WAY:
    case REPLY_TERM_NOT_OPEN:
    case REPLY_UNKNOWN_MEMBER:
    case REPLY_DUPLICATE_MEMBER:
    case REPLY_TOO_MANY_MEMBERS:
    case REPLY_NO_VOTER_LEFT:
    case REPLY_WRONG_ROLE:
    case REPLY_LEARNER_BEHIND:
    case REPLY_WOULD_LOSE_QUORUM:
    case REPLY_NOT_A_VOTER:
    case REPLY_TARGET_SILENT:
    case REPLY_TRANSFER_FAILED:
    case REPLY_WRONG_CLUSTER: break;
    }
    return LINEAR_UNKNOWN;
}

/* Turned away before the log: then it must not turn up there, neither later nor before. */
static void returned_refusal(struct check *check, uint32_t call)
{
    const struct request *request = &check->calls[call].request;
    if (request->kind == REQUEST_REGISTER)
        return;
    check_count(check, CHECK_EXACTLY_ONCE);
    if (check_model_executed(check, request->session, request->sequence))
        check_fail(check, CHECK_EXACTLY_ONCE, UINT32_MAX,
                   "call %u, sequence %llu of session %llu, was executed, but its client was told that it was not",
                   call, (unsigned long long)request->sequence, (unsigned long long)request->session);
    check->refusals =
        check_grow(check->refusals, &check->refusal_max, check->refusal_count + 1, sizeof *check->refusals);
    check->refusals[check->refusal_count++] =
        (struct ghost_refusal){ .session = request->session, .sequence = request->sequence };
}

static void returned_write(struct check *check, uint32_t call, const struct reply *reply)
{
    struct ghost_call *record = &check->calls[call];
    record->op.outcome = write_outcome(reply);
    record->op.version = reply->version;
    if (!reply_is_logged(reply)) {
        if (record->op.outcome == LINEAR_REFUSED)
            returned_refusal(check, call);
        return;
    }
    check_count(check, CHECK_WRITE);
    check->acknowledged++;
    if (reply->applied > check->applied || reply->applied <= record->committed) {
        check_fail(check, CHECK_WRITE, UINT32_MAX,
                   "call %u was executed at entry %llu; it began after %llu was committed, and %llu are applied", call,
                   (unsigned long long)reply->applied, (unsigned long long)record->committed,
                   (unsigned long long)check->applied);
        return;
    }
    if (record->request.kind == REQUEST_REGISTER)
        returned_registration(check, call, reply);
    else
        returned_outcome(check, call, reply);
}

/* Raft 3.10: who is said to have taken over has been elected. */
static void returned_transfer(struct check *check, uint32_t call, const struct reply *reply)
{
    const uint64_t target = check->calls[call].request.version;
    bool led = false;
    if (reply->status != REPLY_OK)
        return;
    check_count(check, CHECK_TRANSFER);
    for (uint32_t i = 0; i < check->term_count; i++)
        led |= check->terms[i].leader == reply->leader;
    if (!led || (target != 0 && reply->leader != target))
        check_fail(check, CHECK_TRANSFER, UINT32_MAX, "call %u is told that %llu leads; it wanted %llu, and %s", call,
                   (unsigned long long)reply->leader, (unsigned long long)target,
                   led ? "another was elected" : "nobody was elected");
}

void check_returned(struct check *check, uint32_t call, const struct reply *reply, uint64_t now)
{
    ASSERT(call < check->call_count);
    ASSERT(check->calls[call].open);
    struct ghost_call *record = &check->calls[call];
    record->open = false;
    record->op.returned = now;
    if (check->failure.failed)
        return;
    switch (record->request.kind) {
    case REQUEST_GET:
    case REQUEST_GET_STALE: returned_read(check, call, reply); break;
    case REQUEST_REGISTER:
    case REQUEST_PUT:
    case REQUEST_DELETE:
    case REQUEST_APPEND:
    case REQUEST_CAS:
    case REQUEST_TXN: returned_write(check, call, reply); break;
    case REQUEST_TRANSFER: returned_transfer(check, call, reply); break;
    case REQUEST_STATUS:
    case REQUEST_CHECKPOINT:
    case REQUEST_MEMBERS: break;
    }
}

void check_status(struct check *check, const struct reply *reply)
{
    struct node_status status;
    check_count(check, CHECK_STATUS);
    if (check->failure.failed || reply->status == REPLY_BUSY)
        return;
    if (reply->status != REPLY_OK || reply->value.count < sizeof status) {
        check_fail(check, CHECK_STATUS, UINT32_MAX, "who asked for the status was answered: %s, %u bytes",
                   reply_status_text(reply->status), reply->value.count);
        return;
    }
    memcpy(&status, reply->value.bytes, sizeof status);
    if (reply->value.count != sizeof status + status.members * sizeof(struct member_status))
        check_fail(check, CHECK_STATUS, UINT32_MAX, "a status of %u members has %u bytes", status.members,
                   reply->value.count);
    if (status.commit_index > check->committed || status.applied_index > status.commit_index)
        check_fail(check, CHECK_STATUS, UINT32_MAX,
                   "node %llu says it has applied %llu of %llu committed, and %llu are",
                   (unsigned long long)status.node_id, (unsigned long long)status.applied_index,
                   (unsigned long long)status.commit_index, (unsigned long long)check->committed);
    if (status.wal_bytes_used > status.wal_bytes_max || status.store_bytes_used > status.store_bytes_max)
        check_fail(check, CHECK_STATUS, UINT32_MAX,
                   "node %llu says that it uses %llu of %llu bytes of its log, and %llu of %llu of its store",
                   (unsigned long long)status.node_id, (unsigned long long)status.wal_bytes_used,
                   (unsigned long long)status.wal_bytes_max, (unsigned long long)status.store_bytes_used,
                   (unsigned long long)status.store_bytes_max);
}

void check_abandoned(struct check *check, uint32_t call, uint64_t now)
{
    ASSERT(call < check->call_count);
    ASSERT(check->calls[call].open);
    ASSERT(now >= check->calls[call].op.invoked);
    check->calls[call].open = false;
}

static bool call_is_searched(const struct ghost_call *record)
{
    if (record->stale)
        return false;
    switch (record->request.kind) {
    case REQUEST_GET:
    case REQUEST_PUT:
    case REQUEST_DELETE:
    case REQUEST_APPEND:
    case REQUEST_CAS:
    case REQUEST_TXN: return true;
    case REQUEST_GET_STALE:
    case REQUEST_REGISTER:
    case REQUEST_STATUS:
    case REQUEST_CHECKPOINT:
    case REQUEST_MEMBERS:
    case REQUEST_TRANSFER: break;
    }
    return false;
}

void check_finish(struct check *check, bool search)
{
    if (check->failure.failed || !search || check->unsearchable)
        return;
    check->history = check_grow(check->history, &check->history_max, check->call_count, sizeof *check->history);
    uint32_t count = 0;
    for (uint32_t call = 0; call < check->call_count; call++)
        if (call_is_searched(&check->calls[call]))
            check->history[count++] = check->calls[call].op;
    const struct linear_report report = linear_check(check->history, count, SEARCH_STEPS_MAX);
    if (report.verdict != LINEAR_GAVE_UP)
        check_count(check, CHECK_LINEAR);
    if (report.verdict != LINEAR_VIOLATION)
        return;
    const struct linear_op *op = &check->history[report.stuck_op];
    check_fail(check, CHECK_LINEAR, UINT32_MAX,
               "the call of client %u from %llu to %llu ns fits nowhere in the history of its keys", op->client,
               (unsigned long long)op->invoked, (unsigned long long)op->returned);
}

/* The black-box linearizability checker against histories written by hand, and against a checker too simple to be
 * wrong: it tries every order of the calls and every version that a call without outcome might have written. */
#include "test.h"

#include "../core/prng.h"
#include "../core/request.h"
#include "../sim/linear.h"

enum { OPS_MAX = 64 };

struct history {
    struct linear_op ops[OPS_MAX];
    uint32_t count;
};

static struct linear_value value(const char *text)
{
    return linear_value_of((struct slice){ (const uint8_t *)text, (uint32_t)strlen(text) });
}

static struct linear_op *add(struct history *h, enum linear_kind kind, uint32_t key, uint64_t invoked,
                             uint64_t returned)
{
    EXPECT(h->count < OPS_MAX);
    struct linear_op *op = &h->ops[h->count];
    *op = (struct linear_op){ .kind = kind, .key = key, .client = h->count, .invoked = invoked, .returned = returned };
    h->count++;
    return op;
}

static void put(struct history *h, uint32_t key, const char *text, uint64_t version, uint64_t invoked,
                uint64_t returned)
{
    struct linear_op *op = add(h, LINEAR_PUT, key, invoked, returned);
    op->outcome = LINEAR_OK;
    op->value = value(text);
    op->version = version;
}

static void put_unknown(struct history *h, uint32_t key, const char *text, uint64_t invoked)
{
    add(h, LINEAR_PUT, key, invoked, UINT64_MAX)->value = value(text);
}

static void append(struct history *h, uint32_t key, const char *text, uint64_t version, uint64_t invoked,
                   uint64_t returned)
{
    put(h, key, text, version, invoked, returned);
    h->ops[h->count - 1].kind = LINEAR_APPEND;
}

static void get(struct history *h, uint32_t key, const char *text, uint64_t version, uint64_t invoked,
                uint64_t returned)
{
    struct linear_op *op = add(h, LINEAR_GET, key, invoked, returned);
    op->outcome = text ? LINEAR_OK : LINEAR_NOT_FOUND;
    op->value = text ? value(text) : (struct linear_value){ 0 };
    op->version = version;
}

static void delete (struct history *h, uint32_t key, enum linear_outcome outcome, uint64_t invoked, uint64_t returned)
{
    add(h, LINEAR_DELETE, key, invoked, returned)->outcome = outcome;
}

static void cas(struct history *h, uint32_t key, uint64_t expected, const char *text, enum linear_outcome outcome,
                uint64_t version, uint64_t invoked, uint64_t returned)
{
    struct linear_op *op = add(h, LINEAR_CAS, key, invoked, returned);
    op->expected = expected;
    op->value = value(text);
    op->outcome = outcome;
    op->version = version;
}

static struct linear_op *txn(struct history *h, enum linear_outcome outcome, uint64_t version, uint64_t invoked,
                             uint64_t returned)
{
    struct linear_op *op = add(h, LINEAR_TXN, 0, invoked, returned);
    op->outcome = outcome;
    op->version = version;
    return op;
}

static void part(struct linear_op *op, enum txn_clause_kind kind, uint32_t key, uint64_t version, const char *text)
{
    op->parts[op->part_count++] = (struct linear_part){
        .kind = (uint8_t)kind, .key = key, .version = version, .value = text ? value(text) : (struct linear_value){ 0 }
    };
}

static bool accepted(const struct history *h)
{
    const struct linear_report report = linear_check(h->ops, h->count, 1000000);
    EXPECT(report.verdict != LINEAR_GAVE_UP);
    return report.verdict == LINEAR_ACCEPTED;
}

TEST(values_compose_over_concatenation)
{
    const struct linear_value whole = value("whitewater"), joined = linear_value_append(value("white"), value("water"));
    EXPECT(whole.hash == joined.hash && whole.bytes == joined.bytes);
    EXPECT(linear_value_append(value(""), value("x")).hash == value("x").hash);
    EXPECT(linear_value_append(value("x"), value("")).hash == value("x").hash);
    EXPECT(value("ab").hash != value("ba").hash);
    EXPECT(value("").hash == 0);
    uint8_t large[70000];
    memset(large, 0xff, sizeof(large));
    const struct linear_value a = linear_value_of((struct slice){ large, 30000 });
    const struct linear_value b = linear_value_of((struct slice){ large, 40000 });
    EXPECT(linear_value_append(a, b).hash == linear_value_of((struct slice){ large, 70000 }).hash);
}

TEST(empty_history_is_accepted) { EXPECT_EQUAL(linear_check(NULL, 0, 10).verdict, LINEAR_ACCEPTED); }

TEST(read_sees_completed_write)
{
    struct history h = { 0 };
    put(&h, 0, "a", 5, 1, 2);
    get(&h, 0, "a", 5, 3, 4);
    EXPECT(accepted(&h));
}

TEST(stale_read_is_refused)
{
    struct history h = { 0 };
    put(&h, 0, "a", 5, 1, 2);
    put(&h, 0, "b", 6, 3, 4);
    get(&h, 0, "a", 5, 5, 6);
    EXPECT(!accepted(&h));
    EXPECT_EQUAL(linear_check(h.ops, h.count, 1000).stuck_op, 2);
}

TEST(read_of_nothing_after_write_is_refused)
{
    struct history h = { 0 };
    put(&h, 0, "a", 5, 1, 2);
    get(&h, 0, NULL, 0, 3, 4);
    EXPECT(!accepted(&h));
}

TEST(concurrent_read_may_see_either_side)
{
    for (int after = 0; after < 2; after++) {
        struct history h = { 0 };
        put(&h, 0, "a", 5, 1, 10);
        get(&h, 0, after ? "a" : NULL, after ? 5 : 0, 2, 3);
        EXPECT(accepted(&h));
    }
}

TEST(reads_do_not_go_backwards)
{
    struct history h = { 0 };
    put(&h, 0, "a", 5, 1, 10);
    get(&h, 0, "a", 5, 2, 3);
    get(&h, 0, NULL, 0, 4, 5);
    EXPECT(!accepted(&h));
}

TEST(ties_count_as_concurrent)
{
    struct history h = { 0 };
    put(&h, 0, "a", 5, 1, 2);
    get(&h, 0, NULL, 0, 2, 3);
    EXPECT(accepted(&h));
    h.ops[1].invoked = 3;
    EXPECT(!accepted(&h));
}

TEST(wrong_value_or_version_is_refused)
{
    struct history h = { 0 };
    put(&h, 0, "a", 5, 1, 2);
    get(&h, 0, "b", 5, 3, 4);
    EXPECT(!accepted(&h));
    h.count = 1;
    get(&h, 0, "a", 6, 3, 4);
    EXPECT(!accepted(&h));
}

TEST(lost_update_is_refused)
{
    struct history h = { 0 };
    put(&h, 0, "a", 5, 1, 2);
    cas(&h, 0, 5, "b", LINEAR_OK, 6, 3, 10);
    cas(&h, 0, 5, "c", LINEAR_OK, 7, 3, 10);
    EXPECT(!accepted(&h));
    h.count = 2;
    cas(&h, 0, 5, "c", LINEAR_FAILED, 6, 3, 10);
    EXPECT(accepted(&h));
    h.ops[2].version = 5;
    EXPECT(!accepted(&h));
}

TEST(unknown_write_may_be_seen_later_or_never)
{
    struct history h = { 0 };
    put(&h, 0, "a", 5, 1, 2);
    put_unknown(&h, 0, "b", 3);
    get(&h, 0, "a", 5, 10, 11);
    EXPECT(accepted(&h));
    get(&h, 0, "b", 8, 20, 21);
    EXPECT(accepted(&h));
    get(&h, 0, "a", 5, 30, 31);
    EXPECT(!accepted(&h));
}

TEST(unknown_write_is_not_seen_before_its_invocation)
{
    struct history h = { 0 };
    get(&h, 0, "b", 8, 1, 2);
    put_unknown(&h, 0, "b", 3);
    EXPECT(!accepted(&h));
    h.ops[1].invoked = 2;
    EXPECT(accepted(&h));
}

TEST(unknown_write_takes_effect_once)
{
    struct history h = { 0 };
    put_unknown(&h, 0, "b", 1);
    get(&h, 0, "b", 3, 2, 3);
    put(&h, 0, "c", 4, 4, 5);
    get(&h, 0, "b", 6, 6, 7);
    EXPECT(!accepted(&h));
    put_unknown(&h, 0, "b", 1);
    EXPECT(accepted(&h));
}

TEST(unknown_write_keeps_the_version_it_was_seen_with)
{
    struct history h = { 0 };
    put_unknown(&h, 0, "b", 1);
    get(&h, 0, "b", 3, 2, 3);
    get(&h, 0, "b", 4, 4, 5);
    EXPECT(!accepted(&h));
}

TEST(value_out_of_thin_air_is_refused)
{
    struct history h = { 0 };
    put_unknown(&h, 0, "b", 1);
    get(&h, 0, "x", 3, 2, 3);
    EXPECT(!accepted(&h));
}

TEST(versions_grow)
{
    struct history h = { 0 };
    put(&h, 0, "a", 6, 1, 2);
    put(&h, 0, "b", 5, 3, 4);
    EXPECT(!accepted(&h));
    h.ops[1].invoked = 1;
    EXPECT(accepted(&h));
}

TEST(a_version_has_one_writer)
{
    struct history h = { 0 };
    put(&h, 0, "a", 6, 1, 2);
    put(&h, 1, "b", 6, 3, 4);
    EXPECT(!accepted(&h));
    h.count = 0;
    put_unknown(&h, 0, "a", 1);
    put_unknown(&h, 1, "a", 1);
    get(&h, 0, "a", 7, 2, 3);
    get(&h, 1, "a", 7, 2, 3);
    EXPECT(!accepted(&h));
    h.ops[3].version = 8;
    EXPECT(accepted(&h));
}

TEST(unknown_write_fits_between_its_neighbours_versions)
{
    struct history h = { 0 };
    put(&h, 0, "a", 5, 1, 2);
    put_unknown(&h, 0, "u", 3);
    delete (&h, 0, LINEAR_OK, 5, 6);
    put(&h, 0, "b", 6, 7, 8);
    EXPECT(!accepted(&h)); /* the delete needs an index between 5 and 6 */
    h.ops[3].version = 7;
    EXPECT(accepted(&h));
}

TEST(appends_keep_their_order)
{
    struct history h = { 0 };
    append(&h, 0, "a", 5, 1, 2);
    append(&h, 0, "b", 6, 3, 4);
    get(&h, 0, "ab", 6, 5, 6);
    EXPECT(accepted(&h));
    h.ops[2].value = value("ba");
    EXPECT(!accepted(&h));
}

TEST(append_without_outcome_is_all_or_nothing)
{
    struct history h = { 0 };
    append(&h, 0, "a", 5, 1, 2);
    add(&h, LINEAR_APPEND, 0, 3, UINT64_MAX)->value = value("u");
    append(&h, 0, "b", 9, 5, 6);
    get(&h, 0, "aub", 9, 7, 8);
    EXPECT(accepted(&h));
    h.ops[3].value = value("ab");
    EXPECT(accepted(&h));
    h.ops[3].value = value("auub");
    EXPECT(!accepted(&h));
    h.ops[3].value = value("uab");
    EXPECT(!accepted(&h));
}

TEST(delete_and_recreate)
{
    struct history h = { 0 };
    put(&h, 0, "a", 5, 1, 2);
    delete (&h, 0, LINEAR_OK, 3, 4);
    get(&h, 0, NULL, 0, 5, 6);
    delete (&h, 0, LINEAR_NOT_FOUND, 7, 8);
    put(&h, 0, "a", 9, 9, 10);
    get(&h, 0, "a", 9, 11, 12);
    EXPECT(accepted(&h));
    h.ops[5].version = 5;
    EXPECT(!accepted(&h));
    h.ops[5].version = 9;
    h.ops[1].outcome = LINEAR_NOT_FOUND;
    EXPECT(!accepted(&h));
}

TEST(put_if_absent_wins_once)
{
    struct history h = { 0 };
    cas(&h, 0, 0, "a", LINEAR_OK, 5, 1, 10);
    cas(&h, 0, 0, "b", LINEAR_FAILED, 5, 1, 10);
    EXPECT(accepted(&h));
    h.ops[1].outcome = LINEAR_OK;
    h.ops[1].version = 6;
    EXPECT(!accepted(&h));
}

TEST(transaction_moves_two_keys_at_once)
{
    struct history h = { 0 };
    put(&h, 0, "a", 5, 1, 2);
    struct linear_op *t = txn(&h, LINEAR_OK, 7, 3, 10);
    part(t, TXN_IF_EQUAL, 0, 5, NULL);
    part(t, TXN_THEN_DELETE, 0, 0, NULL);
    part(t, TXN_THEN_PUT, 1, 0, "a");
    get(&h, 1, "a", 7, 4, 5);
    get(&h, 0, NULL, 0, 6, 7);
    EXPECT(accepted(&h));
    h.ops[3] = (struct linear_op){ .kind = LINEAR_GET,
                                   .outcome = LINEAR_OK,
                                   .key = 0,
                                   .invoked = 6,
                                   .returned = 7,
                                   .value = value("a"),
                                   .version = 5 };
    EXPECT(!accepted(&h)); /* half a transaction */
}

TEST(transaction_without_outcome_binds_one_version_for_all_keys)
{
    struct history h = { 0 };
    struct linear_op *t = txn(&h, LINEAR_UNKNOWN, 0, 1, UINT64_MAX);
    part(t, TXN_THEN_PUT, 0, 0, "a");
    part(t, TXN_THEN_PUT, 1, 0, "b");
    get(&h, 0, "a", 7, 2, 3);
    get(&h, 1, "b", 7, 4, 5);
    EXPECT(accepted(&h));
    h.ops[2].version = 8;
    EXPECT(!accepted(&h));
    h.ops[2] =
        (struct linear_op){ .kind = LINEAR_GET, .outcome = LINEAR_NOT_FOUND, .key = 1, .invoked = 4, .returned = 5 };
    EXPECT(!accepted(&h));
}

TEST(transaction_takes_the_branch_that_it_reported)
{
    struct history h = { 0 };
    put(&h, 0, "a", 5, 1, 2);
    struct linear_op *t = txn(&h, LINEAR_FAILED, 7, 3, 4);
    part(t, TXN_IF_EQUAL, 0, 4, NULL);
    part(t, TXN_THEN_PUT, 0, 0, "then");
    part(t, TXN_ELSE_APPEND, 0, 0, "else");
    get(&h, 0, "aelse", 7, 5, 6);
    EXPECT(accepted(&h));
    h.ops[1].outcome = LINEAR_OK;
    EXPECT(!accepted(&h));
}

TEST(refused_calls_have_no_effect)
{
    struct history h = { 0 };
    put(&h, 0, "a", 5, 1, 2);
    put(&h, 0, "b", 6, 3, 4);
    h.ops[1].outcome = LINEAR_REFUSED;
    get(&h, 0, "a", 5, 5, 6);
    EXPECT(accepted(&h));
    h.ops[2].value = value("b");
    h.ops[2].version = 6;
    EXPECT(!accepted(&h));
}

TEST(search_gives_up_rather_than_guess)
{
    struct history h = { 0 };
    for (uint32_t i = 0; i < 20; i++)
        add(&h, LINEAR_APPEND, 0, 1, UINT64_MAX)->value = value(i % 2 ? "x" : "y");
    put(&h, 0, "z", 1000, 2, 3);
    get(&h, 0, "impossible", 5000, 4, 5);
    EXPECT_EQUAL(linear_check(h.ops, h.count, 1000).verdict, LINEAR_GAVE_UP);
}

/* The simple checker. */

struct brute {
    const struct linear_op *ops;
    uint32_t count;
    uint64_t candidates[OPS_MAX * 4];
    uint32_t candidate_count;
};

struct brute_state {
    uint32_t placed;
    uint64_t version[4];
    uint64_t floor[4];
    struct linear_value value[4];
    uint64_t taken[OPS_MAX];
    uint32_t taken_count;
};

static bool brute_owns(const struct linear_op *op)
{
    const bool done = op->outcome == LINEAR_OK || (op->kind == LINEAR_TXN && op->outcome == LINEAR_FAILED);
    return done && op->kind != LINEAR_GET && op->kind != LINEAR_DELETE;
}

static bool brute_write(struct brute_state *s, uint32_t key, bool removes, struct linear_value v, uint64_t version,
                        uint64_t floor)
{
    if (floor <= s->floor[key])
        return false;
    s->floor[key] = floor;
    s->version[key] = removes ? 0 : version;
    s->value[key] = removes ? (struct linear_value){ 0 } : v;
    return true;
}

/* version: of the write; UINT64_MAX: none that anybody ever names. False: the call does not fit, or does nothing. */
static bool brute_apply(struct brute_state *s, const struct linear_op *op, uint64_t version)
{
    const uint32_t k = op->key;
    const bool unknown = op->outcome == LINEAR_UNKNOWN, present = s->version[k] != 0;
    const uint64_t floor = version == UINT64_MAX ? s->floor[k] + 1 : version;
    if (op->kind == LINEAR_GET) {
        if (op->outcome == LINEAR_NOT_FOUND)
            return !present;
        return present && s->version[k] == op->version && s->value[k].hash == op->value.hash
               && s->value[k].bytes == op->value.bytes;
    }
    if (op->kind == LINEAR_PUT)
        return brute_write(s, k, false, op->value, version, floor);
    if (op->kind == LINEAR_APPEND)
        return brute_write(s, k, false, linear_value_append(s->value[k], op->value), version, floor);
    if (op->kind == LINEAR_DELETE) {
        if (op->outcome == LINEAR_NOT_FOUND)
            return !present;
        return present && brute_write(s, k, true, op->value, 0, unknown ? floor : s->floor[k] + 1);
    }
    if (op->kind == LINEAR_CAS) {
        if (op->outcome == LINEAR_FAILED)
            return s->version[k] != op->expected && s->version[k] == op->version;
        return s->version[k] == op->expected && brute_write(s, k, false, op->value, version, floor);
    }
    bool holds = true, wrote = false;
    for (uint32_t i = 0; i < op->part_count; i++) {
        const struct linear_part *p = &op->parts[i];
        if (p->kind == TXN_IF_EQUAL && s->version[p->key] != p->version)
            holds = false;
        if (p->kind == TXN_IF_NOT_EQUAL && s->version[p->key] == p->version)
            holds = false;
    }
    if (!unknown && holds != (op->outcome == LINEAR_OK))
        return false;
    uint64_t shared = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < op->part_count; i++) {
            const struct linear_part *p = &op->parts[i];
            const int how = p->kind - (holds ? TXN_THEN_PUT : TXN_ELSE_PUT); /* 0 put, 1 delete, 2 append */
            if (p->kind < TXN_THEN_PUT || how < 0 || how > 2 || (how == 1 && s->version[p->key] == 0))
                continue;
            if (pass == 0) {
                shared = u64_max(shared, s->floor[p->key] + 1);
                continue;
            }
            wrote = true;
            if (!brute_write(s, p->key, how == 1, how == 2 ? linear_value_append(s->value[p->key], p->value) : p->value,
                             version, version == UINT64_MAX ? shared : version))
                return false;
        }
    }
    return wrote || !unknown;
}

static bool brute_search(const struct brute *b, const struct brute_state *state)
{
    uint64_t open = UINT64_MAX;
    bool done = true;
    for (uint32_t i = 0; i < b->count; i++) {
        if (!(state->placed >> i & 1) && b->ops[i].outcome != LINEAR_UNKNOWN) {
            open = u64_min(open, b->ops[i].returned);
            done = false;
        }
    }
    if (done)
        return true;
    for (uint32_t i = 0; i < b->count; i++) {
        const struct linear_op *op = &b->ops[i];
        if ((state->placed >> i & 1) || op->invoked > open)
            continue;
        const bool unknown = op->outcome == LINEAR_UNKNOWN;
        for (uint32_t c = 0; c <= (unknown ? b->candidate_count : 0); c++) {
            struct brute_state next = *state;
            const bool anonymous = unknown && c == b->candidate_count;
            const uint64_t version = !unknown ? op->version : anonymous ? UINT64_MAX : b->candidates[c];
            bool taken = false;
            for (uint32_t t = 0; unknown && !anonymous && t < next.taken_count; t++)
                taken = taken || next.taken[t] == version;
            if (taken)
                continue;
            next.placed |= 1U << i;
            if (unknown && !anonymous)
                next.taken[next.taken_count++] = version;
            if (brute_apply(&next, op, version) && brute_search(b, &next))
                return true;
        }
    }
    return false;
}

static void brute_candidate(struct brute *b, uint64_t version)
{
    bool known = version == 0;
    for (uint32_t i = 0; i < b->count; i++)
        known = known || (brute_owns(&b->ops[i]) && b->ops[i].version == version);
    for (uint32_t i = 0; i < b->candidate_count; i++)
        known = known || b->candidates[i] == version;
    if (!known)
        b->candidates[b->candidate_count++] = version;
}

static bool brute_accepts(const struct history *h)
{
    struct brute b = { .ops = h->ops, .count = h->count };
    for (uint32_t i = 0; i < h->count; i++) {
        const struct linear_op *op = &h->ops[i];
        for (uint32_t j = 0; j < i; j++)
            if (brute_owns(op) && brute_owns(&h->ops[j]) && op->version == h->ops[j].version)
                return false;
        if (brute_owns(op) && op->version == 0)
            return false;
        if (op->outcome != LINEAR_UNKNOWN)
            brute_candidate(&b, op->version);
        brute_candidate(&b, op->expected);
        for (uint32_t p = 0; p < op->part_count; p++)
            brute_candidate(&b, op->parts[p].version);
    }
    return brute_search(&b, &(struct brute_state){ 0 });
}

static struct linear_value random_value(struct prng *prng)
{
    const char text[2] = { (char)('a' + (char)prng_below(prng, 3)), 0 };
    return value(text);
}

static void random_parts(struct prng *prng, struct linear_op *op, uint64_t index)
{
    for (uint32_t key = 0; key < 2; key++)
        if (prng_chance(prng, 1, 2))
            op->parts[op->part_count++] = (struct linear_part){ .kind = (uint8_t)(TXN_IF_EQUAL + prng_below(prng, 2)),
                                                                .key = key,
                                                                .version = prng_below(prng, index + 1) };
    for (uint32_t kind = TXN_THEN_PUT; kind <= TXN_ELSE_PUT; kind += TXN_ELSE_PUT - TXN_THEN_PUT)
        for (uint32_t key = 0; key < 2; key++)
            if (prng_chance(prng, 3, 4))
                op->parts[op->part_count++] = (struct linear_part){ .kind = (uint8_t)(kind + prng_below(prng, 3)),
                                                                    .key = key,
                                                                    .value = random_value(prng) };
}

/* Executes the call on a model at this index and writes down its outcome. */
static void execute(struct brute_state *model, struct linear_op *op, uint64_t index)
{
    const enum linear_outcome outcomes[] = { LINEAR_OK, LINEAR_NOT_FOUND, LINEAR_FAILED };
    for (uint32_t i = 0; i < ARRAY_COUNT(outcomes); i++) {
        struct brute_state next = *model;
        op->outcome = outcomes[i];
        if (op->kind == LINEAR_GET && outcomes[i] == LINEAR_OK) {
            op->version = model->version[op->key];
            op->value = model->value[op->key];
        } else {
            op->version = op->kind == LINEAR_CAS && outcomes[i] == LINEAR_FAILED ? model->version[op->key] : index;
        }
        if ((op->kind == LINEAR_PUT || op->kind == LINEAR_APPEND || op->kind == LINEAR_CAS || op->kind == LINEAR_TXN)
            && outcomes[i] == LINEAR_NOT_FOUND)
            continue;
        if (brute_apply(&next, op, op->version)) {
            if (op->kind == LINEAR_DELETE)
                op->version = 0;
            *model = next;
            return;
        }
    }
    test_fail(__FILE__, __LINE__, "some outcome fits");
}

/* A history of a correct store with a few calls whose outcome nobody learned; then, in half of them, one lie. */
static void random_history(struct prng *prng, struct history *h, uint32_t keys, bool transactions)
{
    struct brute_state model = { 0 };
    uint64_t index = 0;
    h->count = 0;
    const uint32_t count = 3 + (uint32_t)prng_below(prng, 5);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t kinds = keys == 1 ? 5 : transactions ? 6 : 4;
        enum linear_kind kind = (enum linear_kind)prng_below(prng, kinds);
        if (transactions && i == 0)
            kind = LINEAR_TXN;
        const uint64_t point = 10 * (uint64_t)(i + 3);
        struct linear_op *op = add(h, kind, 0, point - prng_below(prng, 20), 0);
        op->returned = point + prng_below(prng, 25);
        op->key = (uint32_t)prng_below(prng, keys);
        if (kind != LINEAR_GET && kind != LINEAR_DELETE)
            op->value = random_value(prng);
        if (kind == LINEAR_CAS)
            op->expected = prng_chance(prng, 1, 2) ? model.version[op->key] : prng_below(prng, index + 1);
        if (kind == LINEAR_TXN) {
            random_parts(prng, op, index);
            if (i == 0) { /* ties both keys into one component */
                op->part_count = 0;
                part(op, TXN_THEN_PUT, 0, 0, "a");
                part(op, TXN_THEN_PUT, 1, 0, "b");
            }
        }
        const bool unknown = prng_chance(prng, 1, 3), happens = !unknown || prng_chance(prng, 1, 2);
        index += 1 + (prng_chance(prng, 1, 3) ? prng_below(prng, 2) : 0);
        if (happens)
            execute(&model, op, index);
        if (unknown) {
            op->outcome = LINEAR_UNKNOWN;
            op->version = 0;
            op->returned = UINT64_MAX;
            if (kind == LINEAR_GET)
                h->count--;
        }
    }
    if (h->count == 0 || prng_chance(prng, 1, 2))
        return;
    struct linear_op *op = &h->ops[prng_below(prng, h->count)];
    switch (prng_below(prng, 4)) {
    case 0:
        op->version = op->version != 0 && op->outcome != LINEAR_UNKNOWN ? prng_below(prng, index + 2) : op->version;
        break;
    case 1: op->value = random_value(prng); break;
    case 2:
        op->invoked += 15;
        op->returned = op->returned == UINT64_MAX ? UINT64_MAX : op->returned + 30;
        break;
    default:
        op->outcome = op->kind == LINEAR_DELETE && op->outcome == LINEAR_OK ? LINEAR_NOT_FOUND : op->outcome;
        op->invoked = op->invoked > 20 ? op->invoked - 20 : 0;
        op->returned = op->returned == UINT64_MAX ? UINT64_MAX : u64_max(op->invoked, op->returned - 20);
        break;
    }
}

static void print_history(const struct history *h, bool expected)
{
    printf("brute force %s:\n", expected ? "accepts" : "refuses");
    for (uint32_t i = 0; i < h->count; i++) {
        const struct linear_op *op = &h->ops[i];
        printf("%u: kind %d key %u [%llu, %lld] outcome %d value %llx expected %llu version %llu\n", i, op->kind,
               op->key, (unsigned long long)op->invoked, (long long)op->returned, op->outcome,
               (unsigned long long)op->value.hash, (unsigned long long)op->expected, (unsigned long long)op->version);
        for (uint32_t p = 0; p < op->part_count; p++)
            printf("   part %d key %u version %llu value %llx\n", op->parts[p].kind, op->parts[p].key,
                   (unsigned long long)op->parts[p].version, (unsigned long long)op->parts[p].value.hash);
    }
}

static void compare(uint32_t keys, bool transactions, uint64_t seed)
{
    struct prng prng;
    prng_seed(&prng, seed);
    uint32_t yes = 0, no = 0;
    for (uint32_t round = 0; round < 40000; round++) {
        struct history h;
        random_history(&prng, &h, keys, transactions);
        const bool expected = brute_accepts(&h);
        if (accepted(&h) != expected)
            print_history(&h, expected);
        EXPECT(accepted(&h) == expected);
        yes += expected;
        no += !expected;
    }
    EXPECT(yes > 8000);
    EXPECT(no > 1000);
}

TEST(agrees_with_brute_force_on_one_key) { compare(1, false, 1); }

TEST(agrees_with_brute_force_on_two_keys) { compare(2, false, 2); }

TEST(agrees_with_brute_force_on_transactions) { compare(2, true, 3); }

TEST(long_history_takes_few_steps)
{
    enum { COUNT = 100000, CLIENTS = 10, KEYS = 5 };
    struct linear_op *ops = calloc(COUNT, sizeof(*ops));
    struct prng prng;
    prng_seed(&prng, 7);
    struct brute_state *model = calloc(KEYS, sizeof(*model));
    EXPECT(ops != NULL && model != NULL);
    for (uint32_t i = 0; i < COUNT; i++) {
        struct linear_op *op = &ops[i];
        op->kind = (enum linear_kind)prng_below(&prng, 5);
        const uint32_t key = (uint32_t)prng_below(&prng, KEYS);
        op->invoked = 10 * (uint64_t)i + 1000 - prng_below(&prng, 10 * CLIENTS / 2);
        op->returned = 10 * (uint64_t)i + 1000 + prng_below(&prng, 10 * CLIENTS / 2);
        op->value = random_value(&prng);
        op->expected = model[key].version[0];
        execute(&model[key], op, i + 1);
        op->key = key;
        if (op->kind != LINEAR_GET && prng_chance(&prng, 1, 2000)) {
            op->outcome = LINEAR_UNKNOWN;
            op->version = 0;
            op->returned = UINT64_MAX;
        }
    }
    const struct linear_report report = linear_check(ops, COUNT, 100000000);
    EXPECT_EQUAL(report.verdict, LINEAR_ACCEPTED);
    EXPECT_EQUAL(report.components, KEYS);
    EXPECT(report.steps < 20 * COUNT);
    free(ops);
    free(model);
}

TEST_MAIN()

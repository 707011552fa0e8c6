/* Lays a history out for the search of linear_search.c: components, events in order of time, and which versions are
 * known to have been written by whom. Contradictions that need no search (a version with two writers) are found. */
#include "linear_search.h"

#include <stdlib.h>

#define HASH_PRIME ((UINT64_C(1) << 61) - 1)
#define HASH_BASE UINT64_C(0x0d2f9b3a4c51e687)

static uint64_t hash_reduce(uint64_t value)
{
    value = (value & HASH_PRIME) + (value >> 61);
    return value >= HASH_PRIME ? value - HASH_PRIME : value;
}

/* a * b modulo 2^61 - 1 in 64-bit words: ISO C has no wider integer. */
static uint64_t hash_multiply(uint64_t a, uint64_t b)
{
    const uint64_t a_high = a >> 31, a_low = a & 0x7fffffff;
    const uint64_t b_high = b >> 31, b_low = b & 0x7fffffff;
    const uint64_t middle = a_low * b_high + a_high * b_low; /* weight 2^31; below 2^62 */
    return hash_reduce(hash_reduce(a_high * b_high * 2) + (middle >> 30) + ((middle & 0x3fffffff) << 31)
                       + hash_reduce(a_low * b_low));
}

struct linear_value linear_value_of(struct slice bytes)
{
    uint64_t hash = 0;
    for (uint32_t i = 0; i < bytes.count; i++)
        hash = hash_reduce(hash_multiply(hash, HASH_BASE) + bytes.bytes[i] + 1);
    return (struct linear_value){ .hash = hash, .bytes = bytes.count };
}

struct linear_value linear_value_append(struct linear_value a, struct linear_value b)
{
    uint64_t power = 1, base = HASH_BASE;
    for (uint32_t bits = b.bytes; bits > 0; bits >>= 1) {
        if (bits & 1)
            power = hash_multiply(power, base);
        base = hash_multiply(base, base);
    }
    return (struct linear_value){ .hash = hash_reduce(hash_multiply(a.hash, power) + b.hash),
                                  .bytes = a.bytes + b.bytes };
}

void *linear_allocate(size_t count, size_t bytes)
{
    void *memory = calloc(count > 0 ? count : 1, bytes);
    ASSERT(memory != NULL);
    return memory;
}

static uint32_t root_of(struct search *s, uint32_t key)
{
    while (s->root[key] != key) {
        s->root[key] = s->root[s->root[key]];
        key = s->root[key];
    }
    return key;
}

/* The key that a call belongs to by: any of its keys, all of one component. */
static uint32_t op_key(const struct linear_op *op)
{
    return op->kind == LINEAR_TXN && op->part_count > 0 ? op->parts[0].key : op->key;
}

static int compare_u64(uint64_t a, uint64_t b) { return a < b ? -1 : a > b; }

static int compare_written(const void *a, const void *b)
{
    const struct written *x = a, *y = b;
    return x->key != y->key ? compare_u64(x->key, y->key) : compare_u64(x->version, y->version);
}

static int compare_mentions(const void *a, const void *b)
{
    const struct mention *x = a, *y = b;
    if (x->key != y->key)
        return compare_u64(x->key, y->key);
    if (x->version != y->version)
        return compare_u64(x->version, y->version);
    if (x->has_value != y->has_value)
        return x->has_value ? 1 : -1;
    return x->value.hash != y->value.hash ? compare_u64(x->value.hash, y->value.hash)
                                          : compare_u64(x->value.bytes, y->value.bytes);
}

/* Ties count as concurrent: invocations come before returns. */
static int compare_events(const void *a, const void *b)
{
    const struct event *x = a, *y = b;
    if (x->time != y->time)
        return compare_u64(x->time, y->time);
    return x->is_return != y->is_return ? (x->is_return ? 1 : -1) : compare_u64(x->op, y->op);
}

struct owner {
    uint64_t version;
    uint32_t op;
    uint32_t component;
};

static int compare_owners(const void *a, const void *b)
{
    const struct owner *x = a, *y = b;
    if (x->version != y->version)
        return compare_u64(x->version, y->version);
    return x->component != y->component ? compare_u64(x->component, y->component) : compare_u64(x->op, y->op);
}

struct sort_op {
    uint32_t component;
    uint64_t invoked;
    uint32_t op;
};

static int compare_sort_ops(const void *a, const void *b)
{
    const struct sort_op *x = a, *y = b;
    if (x->component != y->component)
        return compare_u64(x->component, y->component);
    return x->invoked != y->invoked ? compare_u64(x->invoked, y->invoked) : compare_u64(x->op, y->op);
}

static bool op_constrains(const struct linear_op *op)
{
    return op->outcome != LINEAR_REFUSED && !(op->kind == LINEAR_GET && op->outcome == LINEAR_UNKNOWN);
}

/* Does the reply name a version that this call wrote? */
static bool op_owns_version(const struct linear_op *op)
{
    switch (op->kind) {
    case LINEAR_GET:
    case LINEAR_DELETE: return false;
    case LINEAR_PUT:
    case LINEAR_APPEND:
    case LINEAR_CAS: return op->outcome == LINEAR_OK;
    case LINEAR_TXN: return op->outcome == LINEAR_OK || op->outcome == LINEAR_FAILED;
    }
    return false;
}

static void components_build(struct search *s)
{
    for (uint32_t i = 0; i < s->op_count; i++) {
        s->key_count = u32_max(s->key_count, s->ops[i].key + 1);
        for (uint32_t p = 0; s->ops[i].kind == LINEAR_TXN && p < s->ops[i].part_count; p++)
            s->key_count = u32_max(s->key_count, s->ops[i].parts[p].key + 1);
    }
    s->root = linear_allocate(s->key_count, sizeof(*s->root));
    for (uint32_t key = 0; key < s->key_count; key++)
        s->root[key] = key;
    struct sort_op *sorted = linear_allocate(s->op_count, sizeof(*sorted));
    for (uint32_t i = 0; i < s->op_count; i++) {
        const struct linear_op *op = &s->ops[i];
        for (uint32_t p = 1; op->kind == LINEAR_TXN && op_constrains(op) && p < op->part_count; p++)
            s->root[root_of(s, op->parts[p].key)] = root_of(s, op->parts[0].key);
    }
    for (uint32_t i = 0; i < s->op_count; i++)
        if (op_constrains(&s->ops[i]))
            sorted[s->order_count++] =
                (struct sort_op){ .component = root_of(s, op_key(&s->ops[i])), .invoked = s->ops[i].invoked, .op = i };
    if (s->order_count > 0)
        qsort(sorted, s->order_count, sizeof(*sorted), compare_sort_ops);
    s->order = linear_allocate(s->order_count, sizeof(*s->order));
    for (uint32_t i = 0; i < s->order_count; i++)
        s->order[i] = sorted[i].op;
    free(sorted);
}

/* Collects the versions that calls wrote. Returns a call whose version another one wrote too; LINEAR_NONE: none. */
static uint32_t written_build(struct search *s, struct owner *owners, uint32_t *owner_count)
{
    s->written = linear_allocate((size_t)s->op_count * LINEAR_TXN_PARTS, sizeof(*s->written));
    for (uint32_t i = 0; i < s->order_count; i++) {
        const uint32_t slot = s->order[i];
        const struct linear_op *op = &s->ops[slot];
        if (!op_owns_version(op))
            continue;
        if (op->version == 0 || op->version == VERSION_ANONYMOUS)
            return slot;
        owners[(*owner_count)++] = (struct owner){ .version = op->version, .op = slot };
        if (op->kind != LINEAR_TXN)
            s->written[s->written_count++] = (struct written){ .key = op->key, .version = op->version };
        for (uint32_t p = 0; op->kind == LINEAR_TXN && p < op->part_count; p++) {
            const struct linear_part *part = &op->parts[p];
            if (!linear_part_is_compare(part) && linear_part_is_then(part) == (op->outcome == LINEAR_OK)
                && !linear_part_is_delete(part))
                s->written[s->written_count++] = (struct written){ .key = part->key, .version = op->version };
        }
    }
    if (s->written_count > 0)
        qsort(s->written, s->written_count, sizeof(*s->written), compare_written);
    s->written_begin = linear_allocate((size_t)s->key_count + 1, sizeof(*s->written_begin));
    for (uint32_t key = 0, i = 0; key <= s->key_count; key++) {
        while (i < s->written_count && s->written[i].key < key)
            i++;
        s->written_begin[key] = i;
    }
    if (*owner_count > 0)
        qsort(owners, *owner_count, sizeof(*owners), compare_owners);
    for (uint32_t i = 1; i < *owner_count; i++)
        if (owners[i].version == owners[i - 1].version)
            return owners[i].op;
    return LINEAR_NONE;
}

static bool version_owned(const struct owner *owners, uint32_t count, uint64_t version)
{
    uint32_t low = 0;
    while (low < count) {
        const uint32_t middle = low + (count - low) / 2;
        if (owners[middle].version == version)
            return true;
        if (owners[middle].version < version)
            low = middle + 1;
        else
            count = middle;
    }
    return false;
}

static void mention_add(struct search *s, const struct owner *owners, uint32_t owner_count, struct mention mention)
{
    if (mention.version != 0 && !version_owned(owners, owner_count, mention.version))
        s->mentions[s->mention_count++] = mention;
}

/* Equal versions share a slot, whatever keys they were mentioned for. */
static void mention_slots_assign(struct search *s)
{
    struct owner *versions = linear_allocate(s->mention_count, sizeof(*versions));
    for (uint32_t i = 0; i < s->mention_count; i++)
        versions[i] = (struct owner){ .version = s->mentions[i].version, .op = i };
    if (s->mention_count > 0)
        qsort(versions, s->mention_count, sizeof(*versions), compare_owners);
    uint32_t slot = 0;
    for (uint32_t i = 0; i < s->mention_count; i++) {
        slot += i > 0 && versions[i].version != versions[i - 1].version;
        s->mentions[versions[i].op].slot = slot;
    }
    free(versions);
    s->bound = linear_allocate((size_t)slot + 1, sizeof(*s->bound));
}

/* Collects the versions that somebody spoke of and that no call is known to have written. */
static void mentions_collect(struct search *s, const struct owner *owners, uint32_t owner_count)
{
    s->mentions = linear_allocate((size_t)s->op_count * LINEAR_TXN_PARTS * 2, sizeof(*s->mentions));
    for (uint32_t i = 0; i < s->order_count; i++) {
        const struct linear_op *op = &s->ops[s->order[i]];
        if (op->kind == LINEAR_GET && op->outcome == LINEAR_OK)
            mention_add(
                s, owners, owner_count,
                (struct mention){ .key = op->key, .version = op->version, .has_value = true, .value = op->value });
        if (op->kind == LINEAR_CAS && op->outcome == LINEAR_FAILED)
            mention_add(s, owners, owner_count, (struct mention){ .key = op->key, .version = op->version });
        if (op->kind == LINEAR_CAS)
            mention_add(s, owners, owner_count, (struct mention){ .key = op->key, .version = op->expected });
        for (uint32_t p = 0; op->kind == LINEAR_TXN && p < op->part_count; p++)
            if (linear_part_is_compare(&op->parts[p]))
                mention_add(s, owners, owner_count,
                            (struct mention){ .key = op->parts[p].key, .version = op->parts[p].version });
    }
    if (s->mention_count > 0)
        qsort(s->mentions, s->mention_count, sizeof(*s->mentions), compare_mentions);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->mention_count; i++)
        if (kept == 0 || compare_mentions(&s->mentions[kept - 1], &s->mentions[i]) != 0)
            s->mentions[kept++] = s->mentions[i];
    s->mention_count = kept;
    mention_slots_assign(s);
    s->mention_begin = linear_allocate((size_t)s->key_count + 1, sizeof(*s->mention_begin));
    for (uint32_t key = 0, i = 0; key <= s->key_count; key++) {
        while (i < kept && s->mentions[i].key < key)
            i++;
        s->mention_begin[key] = i;
    }
}

/* The version that the outcome proves the key to have had, or 0. */
static uint64_t version_seen(const struct linear_op *op)
{
    if (op->kind == LINEAR_GET && op->outcome == LINEAR_OK)
        return op->version;
    if (op->kind == LINEAR_CAS && op->outcome == LINEAR_FAILED)
        return op->version;
    return op->kind == LINEAR_CAS && op->outcome == LINEAR_OK ? op->expected : 0;
}

/* One call writes one version, so a version that was seen in two components has two writers. */
static uint32_t mentions_split(struct search *s)
{
    struct owner *seen = linear_allocate(s->order_count, sizeof(*seen));
    uint32_t count = 0, problem = LINEAR_NONE;
    for (uint32_t i = 0; i < s->order_count; i++) {
        const struct linear_op *op = &s->ops[s->order[i]];
        if (version_seen(op) != 0)
            seen[count++] =
                (struct owner){ .version = version_seen(op), .op = s->order[i], .component = root_of(s, op->key) };
    }
    if (count > 0)
        qsort(seen, count, sizeof(*seen), compare_owners);
    for (uint32_t i = 1; i < count && problem == LINEAR_NONE; i++)
        if (seen[i].version == seen[i - 1].version && seen[i].component != seen[i - 1].component)
            problem = seen[i].op;
    free(seen);
    return problem;
}

/* Lays out the calls order[begin..end) of one component. */
static void component_load(struct search *s, uint32_t begin, uint32_t end)
{
    linear_undo(s, 0);
    linear_memo_clear(s);
    s->event_count = 0;
    s->unknown_count = 0;
    s->required_left = 0;
    s->hash_a = s->hash_b = 0;
    for (uint32_t i = begin; i < end; i++) {
        const uint32_t op = s->order[i];
        if (s->ops[op].outcome == LINEAR_UNKNOWN) {
            s->unknowns[s->unknown_count++] = op;
            continue;
        }
        ASSERT(s->ops[op].returned >= s->ops[op].invoked);
        s->required_left++;
        s->events[s->event_count++] = (struct event){ .time = s->ops[op].invoked, .op = op };
        s->events[s->event_count++] = (struct event){ .time = s->ops[op].returned, .op = op, .is_return = true };
    }
    s->required_best = LINEAR_NONE;
    if (s->event_count > 0)
        qsort(s->events, s->event_count, sizeof(*s->events), compare_events);
    const uint32_t ring = s->event_count + 1;
    for (uint32_t i = 0; i < ring; i++) {
        s->events[i].previous = (i + ring - 1) % ring;
        s->events[i].next = (i + 1) % ring;
        if (i < s->event_count)
            (s->events[i].is_return ? s->return_event : s->call_event)[s->events[i].op] = i;
    }
}

static void search_all(struct search *s, struct linear_report *report)
{
    struct owner *owners = linear_allocate(s->op_count, sizeof(*owners));
    uint32_t owner_count = 0;
    components_build(s);
    uint32_t problem = written_build(s, owners, &owner_count);
    if (problem == LINEAR_NONE)
        problem = mentions_split(s);
    if (problem == LINEAR_NONE)
        mentions_collect(s, owners, owner_count);
    free(owners);
    if (problem != LINEAR_NONE) {
        *report = (struct linear_report){ .verdict = LINEAR_VIOLATION, .stuck_op = problem };
        return;
    }
    s->keys = linear_allocate(s->key_count, sizeof(*s->keys));
    s->events = linear_allocate((size_t)s->order_count * 2 + 1, sizeof(*s->events));
    s->call_event = linear_allocate(s->op_count, sizeof(*s->call_event));
    s->return_event = linear_allocate(s->op_count, sizeof(*s->return_event));
    s->unknowns = linear_allocate(s->op_count, sizeof(*s->unknowns));
    s->placed = linear_allocate(s->op_count, sizeof(*s->placed));
    s->nodes = linear_allocate((size_t)s->op_count + 1, sizeof(*s->nodes));
    s->memo_allocated = 256;
    s->memo_mask = s->memo_allocated - 1;
    s->memo = linear_allocate(s->memo_allocated, sizeof(*s->memo));
    for (uint32_t begin = 0, end; begin < s->order_count; begin = end) {
        const uint32_t component = root_of(s, op_key(&s->ops[s->order[begin]]));
        for (end = begin + 1; end < s->order_count; end++)
            if (root_of(s, op_key(&s->ops[s->order[end]])) != component)
                break;
        report->components++;
        component_load(s, begin, end);
        const enum linear_verdict verdict = linear_search(s);
        if (verdict == LINEAR_VIOLATION) {
            report->verdict = LINEAR_VIOLATION;
            report->stuck_op = s->stuck_op;
            return;
        }
        if (verdict == LINEAR_GAVE_UP) {
            /* The steps are spent, but a later component may still hold a cheap contradiction. */
            report->verdict = LINEAR_GAVE_UP;
            s->steps_max += s->order_count;
        }
    }
}

struct linear_report linear_check(const struct linear_op *ops, uint32_t op_count, uint64_t steps_max)
{
    struct linear_report report = { .verdict = LINEAR_ACCEPTED };
    struct search s = { .ops = ops, .op_count = op_count, .steps_max = steps_max };
    search_all(&s, &report);
    report.steps = s.steps;
    free(s.root);
    free(s.order);
    free(s.keys);
    free(s.written);
    free(s.written_begin);
    free(s.mentions);
    free(s.mention_begin);
    free(s.bound);
    free(s.events);
    free(s.call_event);
    free(s.return_event);
    free(s.unknowns);
    free(s.placed);
    free(s.trail);
    free(s.nodes);
    free(s.memo);
    return report;
}

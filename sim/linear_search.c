/* The search behind linear.h. It is not the simulator's main oracle (that is the witness form in check_client.c): it
 * knows nothing of Raft and so cannot share a misunderstanding with it.
 *
 * One component at a time, depth first over configurations (calls placed so far, state of the keys). A configuration
 * that failed once is remembered by a 128-bit hash and not entered again. What keeps the tree narrow,
 * each sound by itself:
 *
 *   - A call that can change nothing, wherever it is placed, is placed as soon as it fits: moving it forward from any
 *     later place changes nobody else's view. Only writes branch.
 *   - Versions grow along a key, so writes of known version are placed in the order of their versions.
 *   - Calls without an outcome are tried last. At its placement such a write takes one of the versions that somebody
 *     mentioned for the key and that no other call wrote, or stays anonymous: larger than all before, never seen. */
#include "linear_search.h"

#include <stdlib.h>
#include <string.h>

static bool value_equal(struct linear_value a, struct linear_value b) { return a.hash == b.hash && a.bytes == b.bytes; }

static uint64_t mix(uint64_t value)
{
    value ^= value >> 32;
    value *= UINT64_C(0xd6e8feb86659fd93);
    value ^= value >> 32;
    value *= UINT64_C(0xd6e8feb86659fd93);
    return value ^ (value >> 32);
}

/* The hash of a configuration is the sum of the hashes of its facts, so that one fact comes or goes in O(1). */
static void hash_toggle(struct search *s, uint64_t kind, uint64_t x, uint64_t y)
{
    s->hash_a ^= mix(x * 3 + kind + mix(y + UINT64_C(0x9e3779b97f4a7c15)));
    s->hash_b ^= mix(y * 5 + kind + mix(x + UINT64_C(0xc2b2ae3d27d4eb4f)));
}

static void hash_toggle_key(struct search *s, uint32_t key)
{
    const struct key_state *state = &s->keys[key];
    hash_toggle(s, 1 + (uint64_t)key * 8, state->version, state->floor);
    hash_toggle(s, 2 + (uint64_t)key * 8, state->value.hash, state->value.bytes);
}

/* True when the configuration is new. */
static bool memo_insert(struct search *s)
{
    if (s->memo_used * 2 > s->memo_mask) {
        const uint32_t old_count = s->memo_mask + 1;
        struct memo_entry *old = s->memo;
        s->memo = linear_allocate((size_t)old_count * 2, sizeof(*s->memo));
        s->memo_mask = old_count * 2 - 1;
        s->memo_allocated = old_count * 2;
        for (uint32_t i = 0; i < old_count; i++) {
            uint32_t slot = (uint32_t)old[i].a & s->memo_mask;
            while (old[i].b != 0 && s->memo[slot].b != 0)
                slot = (slot + 1) & s->memo_mask;
            if (old[i].b != 0)
                s->memo[slot] = old[i];
        }
        free(old);
    }
    const struct memo_entry entry = { .a = s->hash_a, .b = s->hash_b != 0 ? s->hash_b : 1 };
    uint32_t slot = (uint32_t)entry.a & s->memo_mask;
    for (; s->memo[slot].b != 0; slot = (slot + 1) & s->memo_mask)
        if (s->memo[slot].a == entry.a && s->memo[slot].b == entry.b)
            return false;
    s->memo[slot] = entry;
    s->memo_used++;
    return true;
}

void linear_memo_clear(struct search *s)
{
    if (s->memo_used == 0)
        return;
    /* Small components after a large one shall not pay for its table. */
    s->memo_mask = u32_min(s->memo_allocated, 256) - 1;
    memset(s->memo, 0, (s->memo_mask + 1) * sizeof(*s->memo));
    s->memo_used = 0;
}

static void trail_push(struct search *s, enum trail_kind kind, uint32_t slot)
{
    if (s->trail_count == s->trail_max) {
        s->trail_max = s->trail_max * 2 + 64;
        s->trail = realloc(s->trail, s->trail_max * sizeof(*s->trail));
        ASSERT(s->trail != NULL);
    }
    s->trail[s->trail_count].kind = kind;
    s->trail[s->trail_count].slot = slot;
    if (kind == TRAIL_KEY)
        s->trail[s->trail_count].old = s->keys[slot];
    s->trail_count++;
}

static void event_unlink(struct search *s, uint32_t event)
{
    s->events[s->events[event].previous].next = s->events[event].next;
    s->events[s->events[event].next].previous = s->events[event].previous;
}

static void event_relink(struct search *s, uint32_t event)
{
    s->events[s->events[event].previous].next = event;
    s->events[s->events[event].next].previous = event;
}

void linear_undo(struct search *s, uint32_t trail_count)
{
    while (s->trail_count > trail_count) {
        const struct trail *t = &s->trail[--s->trail_count];
        switch (t->kind) {
        case TRAIL_KEY:
            hash_toggle_key(s, t->slot);
            s->keys[t->slot] = t->old;
            hash_toggle_key(s, t->slot);
            break;
        case TRAIL_CALL:
            event_relink(s, s->return_event[t->slot]);
            event_relink(s, s->call_event[t->slot]);
            s->required_left++;
            hash_toggle(s, 3, t->slot, 0);
            break;
        case TRAIL_UNKNOWN:
            s->placed[t->slot] = false;
            hash_toggle(s, 3, t->slot, 0);
            break;
        case TRAIL_BOUND:
            s->bound[t->slot] = false;
            hash_toggle(s, 4, t->slot, 0);
            break;
        }
    }
}

/* The smallest version among the writes of known version that the key still has to see. */
static uint64_t next_written(const struct search *s, uint32_t key)
{
    const uint32_t slot = s->written_begin[key] + s->keys[key].written;
    return slot < s->written_begin[key + 1] ? s->written[slot].version : VERSION_ANONYMOUS;
}

static bool change_add(struct change *changes, uint32_t *count, uint32_t key, bool removes, struct linear_value value)
{
    changes[(*count)++] = (struct change){ .key = key, .removes = removes, .value = value };
    return true;
}

static bool effect_of_txn(const struct search *s, const struct linear_op *op, struct change *changes, uint32_t *count)
{
    bool holds = true;
    for (uint32_t i = 0; i < op->part_count; i++) {
        const struct linear_part *part = &op->parts[i];
        if (linear_part_is_compare(part))
            holds = holds && (s->keys[part->key].version == part->version) == (part->kind == TXN_IF_EQUAL);
    }
    if (op->outcome != LINEAR_UNKNOWN && holds != (op->outcome == LINEAR_OK))
        return false;
    for (uint32_t i = 0; i < op->part_count; i++) {
        const struct linear_part *part = &op->parts[i];
        const struct key_state *state = &s->keys[part->key];
        if (linear_part_is_compare(part) || linear_part_is_then(part) != holds)
            continue;
        if (linear_part_is_delete(part) && state->version == 0)
            continue;
        change_add(changes, count, part->key, linear_part_is_delete(part),
                   linear_part_is_delete(part)   ? (struct linear_value){ 0 }
                   : linear_part_is_append(part) ? linear_value_append(state->value, part->value)
                                                 : part->value);
    }
    return true;
}

/* What the call would do in the present state. False when its outcome contradicts the state. */
static bool effect_of(const struct search *s, const struct linear_op *op, struct change *changes, uint32_t *count)
{
    const struct key_state *state = &s->keys[op->key];
    const bool present = state->version != 0;
    const bool holds = state->version == op->expected;
    *count = 0;
    switch (op->kind) {
    case LINEAR_GET:
        if (op->outcome == LINEAR_NOT_FOUND)
            return !present;
        return present && state->version == op->version && value_equal(state->value, op->value);
    case LINEAR_PUT: return change_add(changes, count, op->key, false, op->value);
    case LINEAR_APPEND: return change_add(changes, count, op->key, false, linear_value_append(state->value, op->value));
    case LINEAR_DELETE:
        if (op->outcome != LINEAR_UNKNOWN && present != (op->outcome == LINEAR_OK))
            return false;
        return !present || change_add(changes, count, op->key, true, (struct linear_value){ 0 });
    case LINEAR_CAS:
        if (op->outcome == LINEAR_FAILED)
            return !holds && state->version == op->version;
        if (op->outcome == LINEAR_OK && !holds)
            return false;
        return !holds || change_add(changes, count, op->key, false, op->value);
    case LINEAR_TXN: return effect_of_txn(s, op, changes, count);
    }
    return false;
}

/* False when a key was read with this version and another value. */
static bool mentions_agree(const struct search *s, const struct change *change, uint64_t version)
{
    for (uint32_t i = s->mention_begin[change->key]; i < s->mention_begin[change->key + 1]; i++) {
        const struct mention *mention = &s->mentions[i];
        if (mention->version == version && mention->has_value
            && (change->removes || !value_equal(mention->value, change->value)))
            return false;
    }
    return true;
}

/* Does the version fit between what each key has seen and what it still must see? known: from the call's reply. */
static bool version_fits(const struct search *s, const struct change *changes, uint32_t count, uint64_t version,
                         bool known)
{
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t next = next_written(s, changes[i].key);
        if (version <= s->keys[changes[i].key].floor)
            return false;
        if (known && !changes[i].removes ? version != next : version >= next)
            return false;
    }
    return true;
}

static void changes_apply(struct search *s, const struct change *changes, uint32_t count, uint64_t version,
                          uint64_t floor, bool known)
{
    for (uint32_t i = 0; i < count; i++) {
        struct key_state *state = &s->keys[changes[i].key];
        trail_push(s, TRAIL_KEY, changes[i].key);
        hash_toggle_key(s, changes[i].key);
        state->version = changes[i].removes ? 0 : version;
        state->floor = floor;
        state->value = changes[i].value;
        state->written += known && !changes[i].removes;
        hash_toggle_key(s, changes[i].key);
    }
}

/* An anonymous write takes the smallest version that is free: everything asked of it later is "smaller than". */
static uint64_t anonymous_floor(const struct search *s, const struct change *changes, uint32_t count)
{
    uint64_t floor = 0;
    for (uint32_t i = 0; i < count; i++)
        floor = u64_max(floor, s->keys[changes[i].key].floor);
    return floor + 1;
}

static void call_remove(struct search *s, uint32_t op)
{
    trail_push(s, TRAIL_CALL, op);
    event_unlink(s, s->call_event[op]);
    event_unlink(s, s->return_event[op]);
    s->required_left--;
    hash_toggle(s, 3, op, 0);
}

/* Places a call with an outcome, if it fits here. */
static bool place_call(struct search *s, uint32_t slot, const struct change *changes, uint32_t count)
{
    const struct linear_op *op = &s->ops[slot];
    const bool known = op->kind != LINEAR_DELETE;
    const uint64_t version = known ? op->version : anonymous_floor(s, changes, count);
    s->steps++;
    if (!version_fits(s, changes, count, version, known))
        return false;
    changes_apply(s, changes, count, version, version, known);
    call_remove(s, slot);
    return true;
}

/* Places a call without an outcome: as its `choice`-th possible version. *last: there are no further choices. */
static bool place_unknown(struct search *s, uint32_t slot, uint32_t choice, bool *last)
{
    struct change changes[LINEAR_TXN_PARTS];
    uint32_t count;
    *last = true;
    s->steps++;
    if (!effect_of(s, &s->ops[slot], changes, &count) || count == 0)
        return false;
    uint32_t mention = LINEAR_NONE;
    for (uint32_t i = 0; i < count && mention == LINEAR_NONE; i++) {
        const uint32_t begin = s->mention_begin[changes[i].key], end = s->mention_begin[changes[i].key + 1];
        if (choice < end - begin)
            mention = begin + choice;
        else
            choice -= end - begin;
    }
    uint64_t version = VERSION_ANONYMOUS, floor = anonymous_floor(s, changes, count);
    if (mention != LINEAR_NONE) {
        *last = false;
        version = floor = s->mentions[mention].version;
        if (s->bound[s->mentions[mention].slot])
            return false;
        for (uint32_t i = 0; i < count; i++)
            if (!mentions_agree(s, &changes[i], version))
                return false;
    }
    if (!version_fits(s, changes, count, floor, false))
        return false;
    if (mention != LINEAR_NONE) {
        s->bound[s->mentions[mention].slot] = true;
        trail_push(s, TRAIL_BOUND, s->mentions[mention].slot);
        hash_toggle(s, 4, s->mentions[mention].slot, 0);
    }
    changes_apply(s, changes, count, version, floor, false);
    trail_push(s, TRAIL_UNKNOWN, slot);
    s->placed[slot] = true;
    hash_toggle(s, 3, slot, 0);
    return true;
}

/* Does the call, with its outcome, change nothing wherever it is placed? A delete in a transaction may hit or miss. */
static bool op_only_reads(const struct linear_op *op)
{
    switch (op->kind) {
    case LINEAR_GET: return true;
    case LINEAR_PUT:
    case LINEAR_APPEND: return false;
    case LINEAR_DELETE: return op->outcome == LINEAR_NOT_FOUND;
    case LINEAR_CAS: return op->outcome == LINEAR_FAILED;
    case LINEAR_TXN:
        for (uint32_t i = 0; i < op->part_count; i++)
            if (!linear_part_is_compare(&op->parts[i])
                && linear_part_is_then(&op->parts[i]) == (op->outcome == LINEAR_OK))
                return false;
        return true;
    }
    return false;
}

/* Places every call that changes nothing and fits. Returns the earliest return still open. */
static uint32_t place_readers(struct search *s)
{
    uint32_t event = s->events[s->event_count].next;
    while (event != s->event_count && !s->events[event].is_return) {
        const uint32_t op = s->events[event].op;
        struct change changes[LINEAR_TXN_PARTS];
        uint32_t count;
        uint32_t next = s->events[event].next;
        s->steps++;
        if (op_only_reads(&s->ops[op]) && effect_of(s, &s->ops[op], changes, &count)) {
            if (next == s->return_event[op])
                next = s->events[next].next;
            call_remove(s, op);
        }
        event = next;
    }
    return event;
}

/* Tries the alternatives of the newest node from its cursor on. True: one fitted and has been placed. */
static bool node_advance(struct search *s, struct node *node)
{
    while (!node->unknowns) {
        const uint32_t event = node->event;
        if (event == s->event_count || s->events[event].is_return) {
            node->unknowns = true;
            break;
        }
        node->event = s->events[event].next;
        struct change changes[LINEAR_TXN_PARTS];
        uint32_t count;
        if (effect_of(s, &s->ops[s->events[event].op], changes, &count)
            && place_call(s, s->events[event].op, changes, count))
            return true;
    }
    /* A call without an outcome may be placed once it has been invoked: before the earliest return still open. */
    uint32_t event = s->events[s->event_count].next;
    while (event != s->event_count && !s->events[event].is_return)
        event = s->events[event].next;
    const uint64_t bound = event == s->event_count ? UINT64_MAX : s->events[event].time;
    while (node->unknown < s->unknown_count && s->ops[s->unknowns[node->unknown]].invoked <= bound) {
        const uint32_t op = s->unknowns[node->unknown];
        const uint32_t choice = node->choice++;
        bool last = true;
        const bool fits = !s->placed[op] && place_unknown(s, op, choice, &last);
        if (last) {
            node->unknown++;
            node->choice = 0;
        }
        if (fits)
            return true;
    }
    return false;
}

/* Enters the present configuration as a new node. False when it was here before. */
static bool node_enter(struct search *s, uint32_t stuck_event)
{
    if (s->required_left < s->required_best) {
        s->required_best = s->required_left;
        s->stuck_op = s->events[stuck_event].op;
    }
    if (!memo_insert(s))
        return false;
    s->nodes[s->node_count++] = (struct node){ .trail = s->trail_count, .event = s->events[s->event_count].next };
    return true;
}

enum linear_verdict linear_search(struct search *s)
{
    s->node_count = 0;
    for (;;) {
        const uint32_t first_return = place_readers(s);
        if (s->required_left == 0)
            return LINEAR_ACCEPTED;
        node_enter(s, first_return);
        for (;;) {
            if (s->node_count == 0)
                return LINEAR_VIOLATION;
            if (s->steps > s->steps_max)
                return LINEAR_GAVE_UP;
            struct node *node = &s->nodes[s->node_count - 1];
            linear_undo(s, node->trail);
            if (node_advance(s, node))
                break;
            s->node_count--;
        }
    }
}

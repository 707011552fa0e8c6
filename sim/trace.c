/* The memory of a trace: decisions, their values, and a hash table from addresses. */
#include "trace.h"

#include <stdlib.h>
#include <string.h>

#include "../core/prng.h"

void trace_clear(struct trace *trace)
{
    struct trace kept = *trace;
    if (kept.table != NULL)
        memset(kept.table, 0, kept.table_size * sizeof kept.table[0]);
    *trace = (struct trace){
        .decisions = kept.decisions,
        .arguments = kept.arguments,
        .table = kept.table,
        .digests = kept.digests,
        .actions = kept.actions,
        .capacity = kept.capacity,
        .argument_capacity = kept.argument_capacity,
        .table_size = kept.table_size,
        .digest_capacity = kept.digest_capacity,
        .action_capacity = kept.action_capacity,
    };
}

void trace_free(struct trace *trace)
{
    free(trace->decisions);
    free(trace->arguments);
    free(trace->table);
    free(trace->digests);
    free(trace->actions);
    *trace = (struct trace){ .lost = false };
}

/* Room for one more. */
static bool reserve(void **items, uint32_t *capacity, uint32_t count, size_t bytes)
{
    if (count < *capacity)
        return true;
    const uint32_t more = *capacity == 0 ? 256 : 2 * *capacity;
    void *grown = realloc(*items, more * bytes);
    if (grown == NULL)
        return false;
    *items = grown;
    *capacity = more;
    return true;
}

static uint64_t address_hash(const struct decision *address)
{
    uint64_t state = ((uint64_t)address->head << 32) ^ ((uint64_t)address->who << 16) ^ ((uint64_t)address->class << 8)
                     ^ address->part;
    state ^= address->ordinal * 0x9e3779b97f4a7c15ULL;
    return prng_mix(&state);
}

static bool address_equal(const struct decision *a, const struct decision *b)
{
    return a->head == b->head && a->who == b->who && a->class == b->class && a->part == b->part
           && a->ordinal == b->ordinal;
}

uint32_t trace_find(const struct trace *trace, const struct decision *address)
{
    if (trace->count == 0)
        return TRACE_NONE;
    uint64_t at = address_hash(address);
    for (;; at++) {
        const uint32_t entry = trace->table[at & (trace->table_size - 1)];
        if (entry == 0)
            return TRACE_NONE;
        if (address_equal(&trace->decisions[entry - 1], address))
            return entry - 1;
    }
}

static void table_put(struct trace *trace, uint32_t index)
{
    uint64_t at = address_hash(&trace->decisions[index]);
    while (trace->table[at & (trace->table_size - 1)] != 0)
        at++;
    trace->table[at & (trace->table_size - 1)] = index + 1;
}

/* At most half full. */
static bool table_reserve(struct trace *trace)
{
    if (2 * (trace->count + 1) <= trace->table_size)
        return true;
    const uint32_t size = trace->table_size == 0 ? 512 : 2 * trace->table_size;
    uint32_t *table = calloc(size, sizeof table[0]);
    if (table == NULL)
        return false;
    free(trace->table);
    trace->table = table;
    trace->table_size = size;
    for (uint32_t i = 0; i < trace->count; i++)
        table_put(trace, i);
    return true;
}

static uint32_t decision_add(struct trace *trace, const struct decision *address)
{
    if (trace->count == TRACE_DECISIONS_MAX
        || !reserve((void **)&trace->decisions, &trace->capacity, trace->count, sizeof trace->decisions[0])
        || !table_reserve(trace)) {
        trace->lost = true;
        return TRACE_NONE;
    }
    trace->decisions[trace->count] = *address;
    trace->decisions[trace->count].arguments = 0;
    table_put(trace, trace->count);
    return trace->count++;
}

bool trace_add(struct trace *trace, const struct decision *address, enum choose_site site, uint32_t repetition,
               uint64_t value)
{
    uint32_t index = trace_find(trace, address);
    if (index == TRACE_NONE)
        index = decision_add(trace, address);
    if (index == TRACE_NONE)
        return false;
    if (!reserve((void **)&trace->arguments, &trace->argument_capacity, trace->argument_count,
                 sizeof trace->arguments[0])) {
        trace->lost = true;
        return false;
    }
    const uint32_t added = trace->argument_count++;
    trace->arguments[added] =
        (struct trace_argument){ .value = value, .site = (uint16_t)site, .repetition = (uint16_t)repetition };
    uint32_t *link = &trace->decisions[index].arguments;
    while (*link != 0)
        link = &trace->arguments[*link - 1].next;
    *link = added + 1;
    return true;
}

void trace_move(struct trace *trace, uint32_t index, uint64_t time_ns)
{
    struct decision *decision = &trace->decisions[index];
    ASSERT(index < trace->count);
    decision->time_ns = decision->ordinal = time_ns;
    memset(trace->table, 0, trace->table_size * sizeof trace->table[0]);
    for (uint32_t i = 0; i < trace->count; i++)
        table_put(trace, i);
}

bool trace_take(struct trace *trace, const struct trace *from, uint32_t index)
{
    const struct decision *decision = &from->decisions[index];
    for (uint32_t at = decision->arguments; at != 0; at = from->arguments[at - 1].next) {
        const struct trace_argument *argument = &from->arguments[at - 1];
        if (!trace_add(trace, decision, (enum choose_site)argument->site, argument->repetition, argument->value))
            return false;
    }
    return true;
}

const struct trace_argument *trace_argument(const struct trace *trace, uint32_t index, enum choose_site site,
                                            uint32_t repetition)
{
    for (uint32_t at = trace->decisions[index].arguments; at != 0; at = trace->arguments[at - 1].next)
        if (trace->arguments[at - 1].site == site && trace->arguments[at - 1].repetition == repetition)
            return &trace->arguments[at - 1];
    return NULL;
}

bool trace_copy(struct trace *to, const struct trace *from)
{
    trace_clear(to);
    to->build = from->build;
    to->swarm = from->swarm;
    to->ending = from->ending;
    memcpy(to->note, from->note, sizeof to->note);
    to->explored = from->explored;
    to->bounds = from->bounds;
    for (uint32_t i = 0; i < from->action_count; i++)
        if (!trace_add_action(to, from->actions[i].text, strlen(from->actions[i].text), from->actions[i].line))
            return false;
    for (uint32_t i = 0; i < from->count; i++)
        if (!trace_take(to, from, i))
            return false;
    return true;
}

bool trace_add_digest(struct trace *trace, uint64_t digest)
{
    if (!reserve((void **)&trace->digests, &trace->digest_capacity, trace->digest_count, sizeof trace->digests[0])) {
        trace->lost = true;
        return false;
    }
    trace->digests[trace->digest_count++] = (uint16_t)(digest >> 48);
    return true;
}

bool trace_add_action(struct trace *trace, const char *text, size_t bytes, uint32_t line)
{
    if (bytes >= TRACE_ACTION_MAX || trace->action_count == TRACE_DECISIONS_MAX
        || !reserve((void **)&trace->actions, &trace->action_capacity, trace->action_count, sizeof trace->actions[0])) {
        trace->lost = true;
        return false;
    }
    struct trace_action *action = &trace->actions[trace->action_count++];
    *action = (struct trace_action){ .line = line };
    memcpy(action->text, text, bytes);
    return true;
}

/* Node states, frames and steps, each once; see explore_table.h. */
#include "explore_table.h"

#include <stdio.h>
#include <stdlib.h>

#include "../core/checksum.h"

enum { INDEX_FIRST = 1 << 12, FAULTS_MAX = 64 };

/* ---- arrays that grow ---- */

static bool array_grow(void *array, uint64_t *capacity, size_t bytes)
{
    void **at = array;
    const uint64_t wanted = *capacity == 0 ? INDEX_FIRST : *capacity * 2;
    void *grown = realloc(*at, wanted * bytes);
    if (grown == NULL)
        return false;
    *at = grown;
    *capacity = wanted;
    return true;
}

static bool array_grow32(void *array, uint32_t *capacity, size_t bytes)
{
    uint64_t wide = *capacity;
    if (wide > UINT32_MAX / 4 || !array_grow(array, &wide, bytes))
        return false;
    *capacity = (uint32_t)wide;
    return true;
}

/* ---- renamings ---- */

/* All permutations of the slots, the identity first. */
static void renamings_fill(struct table *table, bool symmetry)
{
    uint8_t next[EXPLORE_NODES_MAX] = { 0, 1, 2, 3, 4 };
    table->renamings = 0;
    for (;;) {
        memcpy(table->renaming[table->renamings++], next, sizeof next);
        int32_t i = (int32_t)table->nodes - 2;
        while (i >= 0 && next[i] > next[i + 1])
            i--;
        if (i < 0 || !symmetry)
            break;
        int32_t j = (int32_t)table->nodes - 1;
        while (next[j] < next[i])
            j--;
        const uint8_t swapped = next[i];
        next[i] = next[j];
        next[j] = swapped;
        for (int32_t a = i + 1, b = (int32_t)table->nodes - 1; a < b; a++, b--) {
            const uint8_t mirrored = next[a];
            next[a] = next[b];
            next[b] = mirrored;
        }
    }
    for (uint32_t a = 0; a < table->renamings; a++) {
        for (uint32_t b = 0; b < table->renamings; b++) {
            uint8_t both[EXPLORE_NODES_MAX] = { 0, 1, 2, 3, 4 };
            for (uint32_t node = 0; node < table->nodes; node++)
                both[node] = table->renaming[a][table->renaming[b][node]];
            uint32_t found = 0;
            while (memcmp(table->renaming[found], both, sizeof both) != 0)
                found++;
            table->compose[a][b] = (uint8_t)found;
            if (found == 0)
                table->inverse[b] = (uint8_t)a;
        }
    }
}

bool table_init(struct table *table, const struct node_options *options, bool symmetry)
{
    *table = (struct table){
        .nodes = options->nodes, .state_count = 1, .frame_count = 1, .step_count = 1, .state_index_size = INDEX_FIRST
    };
    renamings_fill(table, symmetry && options->nodes <= 4);
    table->frame_index_size = INDEX_FIRST;
    table->step_index_size = INDEX_FIRST;
    table->machine = node_machine_new(options);
    table->state_index = calloc(table->state_index_size, sizeof *table->state_index);
    table->frame_index = calloc(table->frame_index_size, sizeof *table->frame_index);
    table->step_keys = calloc(table->step_index_size, sizeof *table->step_keys);
    table->step_values = calloc(table->step_index_size, sizeof *table->step_values);
    table->faults = calloc(FAULTS_MAX, sizeof *table->faults);
    return table->machine != NULL && table->state_index != NULL && table->frame_index != NULL
           && table->step_keys != NULL && table->step_values != NULL && table->faults != NULL
           && array_grow32(&table->states, &table->state_capacity, sizeof *table->states)
           && array_grow32(&table->frames, &table->frame_capacity, sizeof *table->frames)
           && array_grow32(&table->steps, &table->step_capacity, sizeof *table->steps)
           && array_grow(&table->numbers, &table->number_capacity, sizeof *table->numbers)
           && array_grow(&table->frame_bytes, &table->frame_bytes_capacity, 1);
}

void table_free(struct table *table)
{
    node_machine_free(table->machine);
    free(table->states);
    free(table->state_index);
    free(table->frames);
    free(table->frame_index);
    free(table->frame_bytes);
    free(table->steps);
    free(table->step_keys);
    free(table->step_values);
    free(table->numbers);
    free(table->faults);
}

uint64_t table_bytes(const struct table *table)
{
    return node_machine_bytes(table->machine) + (uint64_t)table->state_capacity * sizeof *table->states
           + (uint64_t)table->state_index_size * 4 + (uint64_t)table->frame_capacity * sizeof *table->frames
           + table->frame_bytes_capacity + (uint64_t)table->step_capacity * sizeof *table->steps
           + table->step_index_size * 12 + table->number_capacity * 4;
}

/* ---- node states ---- */

static uint32_t state_slot(const struct table *table, const struct node_value *state)
{
    const uint32_t mask = table->state_index_size - 1;
    uint32_t slot = (uint32_t)checksum64(state, sizeof *state, 0) & mask;
    while (table->state_index[slot] != 0
           && memcmp(&table->states[table->state_index[slot]].state, state, sizeof *state) != 0)
        slot = (slot + 1) & mask;
    return slot;
}

static bool state_index_grow(struct table *table)
{
    uint32_t *index = calloc((uint64_t)table->state_index_size * 2, sizeof *index);
    if (index == NULL)
        return false;
    free(table->state_index);
    table->state_index = index;
    table->state_index_size *= 2;
    for (uint32_t i = 1; i < table->state_count; i++)
        index[state_slot(table, &table->states[i].state)] = i;
    return true;
}

static uint32_t state_intern(struct table *table, const struct node_outcome *outcome)
{
    uint32_t slot = state_slot(table, &outcome->state);
    if (table->state_index[slot] != 0)
        return table->state_index[slot];
    if (table->state_count == table->state_capacity
        && !array_grow32(&table->states, &table->state_capacity, sizeof *table->states))
        table->failed = true;
    if (table->state_count >= table->state_index_size / 2) {
        if (!state_index_grow(table))
            table->failed = true;
        slot = state_slot(table, &outcome->state);
    }
    if (table->failed)
        return 0;
    struct table_node *node = &table->states[table->state_count];
    *node = (struct table_node){ .state = outcome->state, .view = outcome->view, .images = { table->state_count } };
    table->state_index[slot] = table->state_count;
    return table->state_count++;
}

/* ---- frames ---- */

static uint32_t frame_slot(const struct table *table, struct slice bytes)
{
    const uint32_t mask = table->frame_index_size - 1;
    uint32_t slot = (uint32_t)checksum64(bytes.bytes, bytes.count, 0) & mask;
    for (; table->frame_index[slot] != 0; slot = (slot + 1) & mask) {
        const struct table_frame *frame = &table->frames[table->frame_index[slot]];
        if (frame->bytes == bytes.count && memcmp(table->frame_bytes + frame->offset, bytes.bytes, bytes.count) == 0)
            break;
    }
    return slot;
}

static bool frame_room(struct table *table, uint32_t bytes)
{
    if (table->frame_count == table->frame_capacity
        && !array_grow32(&table->frames, &table->frame_capacity, sizeof *table->frames))
        return false;
    while (table->frame_bytes_used + bytes > table->frame_bytes_capacity) {
        if (!array_grow(&table->frame_bytes, &table->frame_bytes_capacity, 1))
            return false;
    }
    if (table->frame_count < table->frame_index_size / 2)
        return true;
    uint32_t *index = calloc((uint64_t)table->frame_index_size * 2, sizeof *index);
    if (index == NULL)
        return false;
    free(table->frame_index);
    table->frame_index = index;
    table->frame_index_size *= 2;
    for (uint32_t i = 1; i < table->frame_count; i++) {
        index[frame_slot(table, table_frame_bytes(table, i))] = i;
    }
    return true;
}

/* A frame says from whom and to whom it is, so its bytes are all that it is. */
static uint32_t frame_intern(struct table *table, uint32_t from, const struct node_sent *sent)
{
    const struct slice bytes = { .bytes = sent->frame, .count = sent->bytes };
    const uint32_t known = table->frame_index[frame_slot(table, bytes)];
    if (known != 0)
        return known;
    if (!frame_room(table, sent->bytes)) {
        table->failed = true;
        return 0;
    }
    struct table_frame *frame = &table->frames[table->frame_count];
    *frame = (struct table_frame){ .offset = table->frame_bytes_used,
                                   .bytes = sent->bytes,
                                   .from = (uint8_t)from,
                                   .to = (uint8_t)sent->to,
                                   .images = { table->frame_count } };
    memcpy(table->frame_bytes + frame->offset, sent->frame, sent->bytes);
    table->frame_bytes_used += sent->bytes;
    table->frame_index[frame_slot(table, bytes)] = table->frame_count;
    return table->frame_count++;
}

/* ---- steps ---- */

static uint64_t step_slot(const struct table *table, uint32_t state, uint32_t input)
{
    const uint64_t mask = table->step_index_size - 1;
    const uint64_t key = (uint64_t)state << 32 | input;
    uint64_t slot = (key * 0x9e3779b97f4a7c15ULL) >> 20 & mask;
    while (table->step_keys[slot] != 0 && table->step_keys[slot] != key)
        slot = (slot + 1) & mask;
    return slot;
}

static bool step_room(struct table *table)
{
    if (table->step_count == table->step_capacity
        && !array_grow32(&table->steps, &table->step_capacity, sizeof *table->steps))
        return false;
    while (table->number_count + NODE_SENT_MAX + 3 * NODE_REPLIES_MAX > table->number_capacity) {
        if (!array_grow(&table->numbers, &table->number_capacity, sizeof *table->numbers))
            return false;
    }
    if (table->step_count < table->step_index_size / 2)
        return true;
    uint64_t *keys_before = table->step_keys;
    uint32_t *values_before = table->step_values;
    const uint64_t size_before = table->step_index_size;
    uint64_t *keys = calloc(size_before * 2, sizeof *keys);
    uint32_t *values = calloc(size_before * 2, sizeof *values);
    if (keys == NULL || values == NULL) {
        free(keys);
        free(values);
        return false;
    }
    table->step_keys = keys;
    table->step_values = values;
    table->step_index_size = size_before * 2;
    for (uint64_t i = 0; i < size_before; i++) {
        if (keys_before[i] == 0)
            continue;
        const uint64_t slot = step_slot(table, (uint32_t)(keys_before[i] >> 32), (uint32_t)keys_before[i]);
        keys[slot] = keys_before[i];
        values[slot] = values_before[i];
    }
    free(keys_before);
    free(values_before);
    return true;
}

static uint32_t fault_note(struct table *table, const struct node_outcome *outcome)
{
    if (outcome->fault == NULL)
        return 0;
    if (table->fault_count == FAULTS_MAX)
        return FAULTS_MAX;
    struct table_fault *fault = &table->faults[table->fault_count++];
    fault->checker = outcome->fault;
    fault->format = outcome->fault_format;
    memcpy(fault->text, outcome->fault_text, sizeof fault->text);
    return table->fault_count;
}

/* The frames of an outcome, sorted by receiver: what is sent to one keeps its order, so that equal places are images of
 * each other. */
static void step_keep_sent(struct table *table, uint32_t node, const struct node_outcome *outcome)
{
    for (uint32_t i = 0; i < outcome->sent_count; i++) {
        const uint32_t frame = frame_intern(table, node, &outcome->sent[i]);
        table->numbers[table->number_count++] = frame;
    }
}

static uint32_t step_keep(struct table *table, uint32_t node, const struct node_outcome *outcome)
{
    const uint32_t next = state_intern(table, outcome);
    if (table->failed)
        return 0;
    struct table_step *step = &table->steps[table->step_count];
    *step = (struct table_step){ .first = table->number_count,
                                 .next = next,
                                 .fault = fault_note(table, outcome),
                                 .sent = (uint8_t)outcome->sent_count,
                                 .replies = (uint8_t)outcome->reply_count,
                                 .executed = (uint8_t)outcome->executed_count };
    step_keep_sent(table, node, outcome);
    for (uint32_t i = 0; i < outcome->reply_count; i++) {
        table->numbers[table->number_count++] = outcome->replies[i].call | outcome->replies[i].status << 8;
        table->numbers[table->number_count++] = (uint32_t)outcome->replies[i].index;
    }
    for (uint32_t i = 0; i < outcome->executed_count; i++)
        table->numbers[table->number_count++] = outcome->executed[i].index << 8 | outcome->executed[i].call;
    return table->failed ? 0 : table->step_count++;
}

/* request: room for one. */
static struct node_input input_of(const struct table *table, uint32_t input, uint8_t request[NODE_FRAME_BYTES_MAX])
{
    const uint32_t which = input & ((1U << INPUT_KIND_SHIFT) - 1);
    struct node_input fed = { .which = which };
    switch ((enum table_input_kind)(input >> INPUT_KIND_SHIFT)) {
    case TABLE_FRAME:
        fed.kind = NODE_FRAME;
        fed.bytes = table_frame_bytes(table, which);
        break;
    case TABLE_TIMER: fed.kind = NODE_TIMER; break;
    case TABLE_COMPLETE: fed.kind = NODE_COMPLETE; break;
    case TABLE_CRASH: fed.kind = NODE_CRASH; break;
    case TABLE_REQUEST:
        fed.kind = NODE_REQUEST;
        fed.bytes = (struct slice){ .bytes = request,
                                    .count = node_request(table->machine, which,
                                                          which < EXPLORE_CALLS_MAX && which >= table->puts, request) };
        break;
    }
    return fed;
}

void table_show(struct table *table, uint32_t state, uint32_t input, struct explore_show *show)
{
    uint8_t request[NODE_FRAME_BYTES_MAX];
    const struct node_input fed = input_of(table, input, request);
    node_show(table->machine, &table->states[state].state, &table->states[state].view, &fed, show);
}

/* The core runs. 0: no memory. */
static uint32_t step_run(struct table *table, uint32_t state, uint32_t input)
{
    static struct node_outcome outcome;
    uint8_t request[NODE_FRAME_BYTES_MAX];
    const struct node_input fed = input_of(table, input, request);
    if (!step_room(table)) {
        table->failed = true;
        return 0;
    }
    const struct table_node from = table->states[state];
    node_apply(table->machine, &from.state, &from.view, &fed, &outcome);
    table->runs++;
    table->failed |= node_machine_failed(table->machine);
    const uint32_t step = step_keep(table, from.state.node, &outcome);
    if (step == 0)
        return 0;
    const uint64_t slot = step_slot(table, state, input);
    table->step_keys[slot] = (uint64_t)state << 32 | input;
    table->step_values[slot] = step;
    return step;
}

/* ---- images ---- */

static void image_set(struct table *table, uint32_t *image, uint32_t value)
{
    if (*image != 0 && *image != value)
        table->asymmetric = true;
    *image = value;
}

/* The frame to `to` that comes after `before` others to it in the step. */
static uint32_t sent_to(const struct table *table, const struct table_step *step, uint32_t to, uint32_t before)
{
    for (uint32_t i = 0; i < step->sent; i++) {
        const uint32_t frame = table->numbers[step->first + i];
        if (table->frames[frame].to == to && before-- == 0)
            return frame;
    }
    return 0;
}

/* The step that `renaming` makes of `step` is `image`. */
static void step_image(struct table *table, uint32_t step, uint32_t image, uint32_t renaming)
{
    const struct table_step *from = &table->steps[step];
    const struct table_step *to = &table->steps[image];
    uint32_t before[EXPLORE_NODES_MAX] = { 0 };
    image_set(table, &table->states[from->next].images[renaming], to->next);
    table->asymmetric |= from->sent != to->sent || from->replies != to->replies || from->executed != to->executed
                         || (from->fault != 0) != (to->fault != 0);
    for (uint32_t i = 0; i < from->sent; i++) {
        struct table_frame *frame = &table->frames[table->numbers[from->first + i]];
        const uint32_t sent = sent_to(table, to, table->renaming[renaming][frame->to], before[frame->to]++);
        table->asymmetric |= sent == 0;
        if (sent != 0)
            image_set(table, &frame->images[renaming], sent);
    }
    for (uint32_t i = 0; i < 2U * from->replies + from->executed; i++)
        table->asymmetric |= table->numbers[from->first + from->sent + i] != table->numbers[to->first + to->sent + i];
}

static uint32_t input_image(const struct table *table, uint32_t input, uint32_t renaming)
{
    const uint32_t removal = table_input(TABLE_REQUEST, EXPLORE_CALL_REMOVE);
    if (input >> INPUT_KIND_SHIFT == TABLE_FRAME)
        return table->frames[input].images[renaming];
    return input < removal ? input : removal + table->renaming[renaming][input - removal];
}

static uint32_t step_find(struct table *table, uint32_t state, uint32_t input)
{
    const uint64_t slot = step_slot(table, state, input);
    return table->step_keys[slot] != 0 ? table->step_values[slot] : step_run(table, state, input);
}

/* Runs the input, and all its images. */
static uint32_t step_run_all(struct table *table, uint32_t state, uint32_t input)
{
    uint32_t steps[RENAMINGS_MAX];
    const uint32_t renamings = table->renamings;
    ASSERT(renamings > 0); /* the identity */
    for (uint32_t a = 0; a < renamings; a++) {
        const uint32_t image = table->states[state].images[a];
        const uint32_t input_there = input_image(table, input, a);
        table->asymmetric |= image == 0 || input_there == 0;
        if (table->asymmetric)
            return step_find(table, state, input);
        steps[a] = step_find(table, image, input_there);
        if (steps[a] == 0)
            return 0;
    }
    for (uint32_t a = 0; a < renamings; a++) {
        for (uint32_t b = 0; b < renamings; b++)
            step_image(table, steps[a], steps[b], table->compose[b][table->inverse[a]]);
    }
    return steps[0];
}

const struct table_step *table_apply(struct table *table, uint32_t state, uint32_t input)
{
    const uint64_t slot = step_slot(table, state, input);
    if (table->step_keys[slot] != 0)
        return &table->steps[table->step_values[slot]];
    const uint32_t step = step_run_all(table, state, input); /* which may move the steps */
    return &table->steps[step];
}

uint32_t table_begin(struct table *table, uint32_t node)
{
    static struct node_outcome outcome;
    uint32_t states[EXPLORE_NODES_MAX];
    for (uint32_t i = 0; i < table->nodes; i++) {
        node_begin(table->machine, i, &outcome);
        states[i] = state_intern(table, &outcome);
        table->failed |= outcome.sent_count > 0 || outcome.fault != NULL;
    }
    for (uint32_t i = 0; i < table->nodes && !table->failed; i++) {
        for (uint32_t a = 0; a < table->renamings; a++)
            image_set(table, &table->states[states[i]].images[a], states[table->renaming[a][i]]);
    }
    return states[node];
}

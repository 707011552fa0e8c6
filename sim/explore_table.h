/* What has been tried on single nodes: their states, the frames that they sent, and what each input led to.
 *
 * A state of the whole cluster is a few numbers: a state of each node, and the frames under way. A step changes one
 * node. So many more cluster states than node states are visited, and nearly every step of the search was made before,
 * in another company: it is looked up here. The core itself runs once for each pair of node state and input.
 *
 * Symmetry. Nodes differ in nothing but their names, so clusters that become equal when nodes are renamed need one
 * visit. What a renamed node state is cannot be read from its bytes (checksums, chains, slots), and is not: the image
 * of a state is the state that the renamed inputs lead to, from the renamed beginning. Each time the core runs an
 * input, it runs all the images of that input, too, and the outcomes become each other's images. If two ways that lead
 * to the same state led to different images, the core would not treat its nodes alike: table_apply() notices, and says
 * so
 * (`asymmetric`). So the reduction does not rest on an argument about the core, but on that check of every step. */
#ifndef WW_EXPLORE_TABLE_H
#define WW_EXPLORE_TABLE_H

#include "explore_node.h"

enum { RENAMINGS_MAX = 24 }; /* of 4 nodes; larger clusters are explored without */

/* Inputs, by number: a frame is its number in the table, the others have a kind in the high bits. */
#define INPUT_KIND_SHIFT 28
enum table_input_kind { TABLE_FRAME, TABLE_TIMER, TABLE_COMPLETE, TABLE_CRASH, TABLE_REQUEST };
static inline uint32_t table_input(enum table_input_kind kind, uint32_t which)
{
    return (uint32_t)kind << INPUT_KIND_SHIFT | which;
}

struct table_frame {
    uint64_t offset; /* of its bytes */
    uint32_t bytes;
    uint8_t from; /* slots */
    uint8_t to;
    uint8_t zero[2];
    uint32_t images[RENAMINGS_MAX];
};

struct table_node {
    struct node_value state;
    struct node_view view;
    uint32_t images[RENAMINGS_MAX];
};

/* An outcome; its frames, replies and executed entries lie behind each other in `numbers`. */
struct table_step {
    uint64_t first;
    uint32_t next;
    uint32_t fault; /* plus 1; 0: none */
    uint8_t sent;
    uint8_t replies;  /* two numbers each: call | status << 8, index */
    uint8_t executed; /* one number each: index << 8 | call */
    uint8_t zero[5];
};

struct table_fault {
    const char *checker;
    const char *format;
    char text[200];
};

struct table {
    struct node_machine *machine;
    uint32_t nodes;
    uint32_t puts; /* calls below are puts, the others gets */
    uint32_t renamings;
    uint8_t renaming[RENAMINGS_MAX][EXPLORE_NODES_MAX];
    uint8_t inverse[RENAMINGS_MAX];
    uint8_t compose[RENAMINGS_MAX][RENAMINGS_MAX]; /* [a][b]: first b, then a */

    struct table_node *states; /* 0 is none */
    uint32_t state_count;
    uint32_t state_capacity;
    uint32_t *state_index;
    uint32_t state_index_size;

    struct table_frame *frames; /* 0 is none */
    uint32_t frame_count;
    uint32_t frame_capacity;
    uint32_t *frame_index;
    uint32_t frame_index_size;
    uint8_t *frame_bytes;
    uint64_t frame_bytes_used;
    uint64_t frame_bytes_capacity;

    struct table_step *steps; /* 0 is none */
    uint32_t step_count;
    uint32_t step_capacity;
    uint64_t *step_keys; /* by hash of (state, input); 0: free */
    uint32_t *step_values;
    uint64_t step_index_size;
    uint32_t *numbers;
    uint64_t number_count;
    uint64_t number_capacity;

    struct table_fault *faults;
    uint32_t fault_count;
    uint64_t runs; /* of the core */
    bool failed;   /* no memory */
    bool asymmetric;
};

/* symmetry: images are kept. False: no memory. */
bool table_init(struct table *table, const struct node_options *options, bool symmetry);
void table_free(struct table *table);
uint64_t table_bytes(const struct table *table);

/* The state of a node that has just begun its first life. */
uint32_t table_begin(struct table *table, uint32_t node);
/* What the input leads to; the pointer is good until the next call. A fault is noted in the step. */
const struct table_step *table_apply(struct table *table, uint32_t state, uint32_t input);

/* Tells those who look on what the input leads to. */
void table_show(struct table *table, uint32_t state, uint32_t input, struct explore_show *show);

static inline const struct node_view *table_view(const struct table *table, uint32_t state)
{
    return &table->states[state].view;
}
static inline struct slice table_frame_bytes(const struct table *table, uint32_t frame)
{
    return (struct slice){ .bytes = table->frame_bytes + table->frames[frame].offset,
                           .count = table->frames[frame].bytes };
}
static inline const struct node_value *table_state(const struct table *table, uint32_t state)
{
    return &table->states[state].state;
}

#endif

/* A life as one self-contained page for a browser: `raftsim replay --html`. README.md says what it shows.
 *
 * The observer gathers columns: one number per event in each, the differences of what grows, seven bits a byte. What an
 * event holds (a decoded frame, the values of a replica that changed) stands in a stream of its own, named values
 * behind each other, and is decoded when somebody looks at it. sim/html/data.js is the reader; both say version
 * HTML_VERSION.
 *
 * The page is page.html with page.css and the scripts in it, put together by the Makefile, and the data at its mark. */
#ifndef WW_HTML_H
#define WW_HTML_H

#include <stdio.h>

#include "describe.h"
#include "network.h"
#include "observe.h"

enum { HTML_VERSION = 1 };

/* Bytes that grow. */
struct html_bytes {
    uint8_t *bytes;
    size_t count;
    size_t capacity;
};

/* What each event has. Which of A to D means what depends on the kind: html_see() and data.js. */
enum html_column {
    HTML_KIND,  /* enum observed_kind; one byte */
    HTML_WHO,   /* endpoint; one byte */
    HTML_TIME,  /* since the event before */
    HTML_STEP,  /* likewise */
    HTML_CAUSE, /* so many events before this one: the frame that was sent, the operation, the call; 0: none */
    HTML_A,
    HTML_B,
    HTML_C,
    HTML_D,
    HTML_DETAILS_BYTES, /* in the stream of details */
    HTML_STATE_BYTES,   /* in the stream of states */
    HTML_DETAILS,
    HTML_STATES,
    HTML_COLUMNS,
};

/* Texts, each once; by number. */
struct html_texts {
    struct html_bytes bytes; /* each ends with NUL */
    size_t *at;
    uint32_t count;
    uint32_t capacity;
    uint32_t *table; /* 1 + number, open addressing; 0: free */
    uint32_t table_size;
};

/* The values of a replica when it was told last. */
struct html_node {
    uint32_t steps;
    uint32_t count;
    struct field fields[FIELDS_MAX]; /* a TEXT has its number in `a` */
};

struct html {
    struct observer observer;
    bool failed; /* no memory: the page cannot be written */
    struct swarm swarm;
    bool drawn;
    uint32_t count;
    uint64_t time_ns;
    uint64_t step;
    uint32_t started;              /* nodes that have a life here */
    uint32_t arrived;              /* 1 + event: the frame that the next step is fed */
    uint32_t completed;            /* ... the operation */
    uint32_t packets[PACKETS_MAX]; /* 1 + event that sent it */
    uint32_t operations[VOTERS_MAX][64];
    uint32_t calls[ENDPOINTS];
    struct html_bytes columns[HTML_COLUMNS];
    struct html_texts texts;
    struct html_node nodes[VOTERS_MAX];
    struct html_node before; /* the node that has just stepped, as it was */
    struct fields fields;
};

/* NULL when memory runs out. */
struct html *html_new(void);
void html_free(struct html *html);

/* title: one line, what this life is. False: no memory, or the file has an error. */
bool html_write(const struct html *html, const char *title, FILE *to);

/* ---- html_columns.c ---- */

void html_put(struct html *html, enum html_column column, uint64_t value);
void html_put_byte(struct html *html, enum html_column column, uint8_t value);
uint32_t html_text(struct html *html, const char *text);
/* Into a stream of named values. */
void html_put_field(struct html *html, enum html_column column, const struct field *field);
/* The value is gone, or all that follows is everything that there is. */
void html_put_gone(struct html *html, enum html_column column, const char *name);
void html_put_whole(struct html *html, enum html_column column);

/* The template, generated: html/page.html with all that belongs into it; ends with NUL. */
extern const unsigned char html_template[];

#endif

/* A life as text, one line for each event: `raftsim replay --log`. README.md explains the columns. */
#ifndef WW_TRANSCRIPT_H
#define WW_TRANSCRIPT_H

#include <stdio.h>

#include "describe.h"
#include "observe.h"
#include "world.h"

/* First the parameters, if they were drawn. */
struct transcript {
    struct observer observer;
    FILE *file;
    struct fields fields;
};

void transcript_init(struct transcript *transcript, FILE *file);
/* The values that belong into one line: " term=7 prev=6.12". */
void transcript_fields(FILE *file, const struct fields *fields);
/* All of them, one a line. */
void transcript_table(FILE *file, const struct fields *fields);
/* One line per node: where it stands now. */
void transcript_nodes(const struct world *world, FILE *file);

#endif

/* Memory for a replica's region: reserved in one piece, zero, and taken from the kernel only where it is touched.
 *
 * In huge pages where the kernel has them (transparent huge pages, "madvise" or "always"): the tables that lead to a
 * page are shorter, the kernel pins what a write names in one piece, and where page tables are virtual, too, a page
 * that moves costs one entry in place of 512. Where it has none, small ones do. */
#ifndef WW_REGION_H
#define WW_REGION_H

#include <stddef.h>

/* Aligned to REGION_HUGE_BYTES. NULL: there is not so much address space. */
void *region_reserve(size_t bytes);
void region_give_back(void *region, size_t bytes);

#endif

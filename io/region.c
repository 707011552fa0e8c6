/* A replica's memory; see region.h. */
#include "region.h"

#include <stdint.h>
#include <sys/mman.h>

#include "../core/base.h"
#include "../core/replica.h"

void *region_reserve(size_t bytes)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    const size_t spare = REGION_HUGE_BYTES;
    bytes = u64_round_up(bytes, REGION_ALIGNMENT);
    uint8_t *memory = mmap(NULL, bytes + spare, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    const size_t before = (spare - (uintptr_t)memory % spare) % spare;
    if (before > 0)
        munmap(memory, before);
    munmap(memory + before + bytes, spare - before);
    /* EINVAL: the kernel has no huge pages. */
    madvise(memory + before, bytes, MADV_HUGEPAGE);
    return memory + before;
}

void region_give_back(void *region, size_t bytes) { munmap(region, bytes); }

/* The core's devices; see devices.h. */
#include "devices.h"

#include "logger.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *const device_names[DEVICES] = { [DEVICE_WAL] = "wal", [DEVICE_DATA] = "data" };

void devices_init(struct devices *devices, struct backend *backend, const int *fds, const char *path)
{
    *devices = (struct devices){ .backend = backend, .path = path };
    for (uint32_t device = 0; device < DEVICES; device++) {
        ASSERT(fds[device] >= 0);
        devices->fds[device] = fds[device];
    }
}

/* Pages move from one address to the other by their table entries: nothing is copied, found or zeroed, and what they
 * held shows at the other address. The first address is left without memory. */
static bool memory_move(uintptr_t from, uintptr_t to, size_t count)
{
    const int flags = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;
    return mremap((void *)from, count, count, flags, (void *)to) != MAP_FAILED;
}

void devices_give_back(const struct effect *effect)
{
    ASSERT(effect->kind == EFFECT_RELEASE);
    const uintptr_t page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t first = (uintptr_t)effect->bytes.bytes, place = (uintptr_t)effect->place;
    const size_t count = effect->bytes.count;
    const bool whole = first % page_bytes == 0 && place % page_bytes == 0 && count % page_bytes == 0;
    if (place != 0 && whole && memory_move(first, place, count))
        return;
    /* Only whole pages can be given back. */
    const uintptr_t start = (first + page_bytes - 1) / page_bytes * page_bytes;
    const uintptr_t end = (first + count) / page_bytes * page_bytes;
    if (start < end && madvise((void *)start, end - start, MADV_DONTNEED) != 0)
        LOG(LOG_LEVEL_DEBUG, "release-failed", FIELD_TEXT("cause", strerror(errno)));
}

void devices_close(struct devices *devices)
{
    for (uint32_t slot = 0; slot < IO_DISK_MAX; slot++) {
        if (devices->operations[slot].buffer != NULL)
            munmap(devices->operations[slot].buffer, devices->operations[slot].buffer_bytes);
    }
    *devices = (struct devices){ .backend = NULL };
}

static uint32_t devices_free_slot(const struct devices *devices)
{
    for (uint32_t slot = 0; slot < IO_DISK_MAX; slot++) {
        if (!devices->operations[slot].busy)
            return slot;
    }
    UNREACHABLE();
}

static void operation_reserve(struct device_operation *operation, uint32_t count)
{
    if (operation->buffer_bytes >= count)
        return;
    if (operation->buffer != NULL)
        munmap(operation->buffer, operation->buffer_bytes);
    operation->buffer = mmap(NULL, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (operation->buffer == MAP_FAILED)
        core_assert_failed("out of memory for a read of the disk", __FILE__, __LINE__);
    operation->buffer_bytes = count;
}

void devices_submit(struct devices *devices, const struct effect *effect)
{
    ASSERT(effect->kind == EFFECT_WRITE || effect->kind == EFFECT_READ);
    ASSERT(effect->device < DEVICES);
    ASSERT(effect->bytes.count > 0);
    const uint32_t slot = devices_free_slot(devices);
    struct device_operation *operation = &devices->operations[slot];
    operation->busy = true;
    operation->write = effect->kind == EFFECT_WRITE;
    operation->device = effect->device;
    operation->count = effect->bytes.count;
    operation->op_id = effect->op_id;
    operation->offset = effect->offset;
    struct io_request request = {
        .kind = operation->write ? IO_WRITE : IO_READ,
        .fd = devices->fds[effect->device],
        .token = slot,
        .offset = effect->offset,
        .count = effect->bytes.count,
        .bulk = effect->device == DEVICE_DATA,
    };
    if (operation->write) {
        memcpy(&request.bytes, &effect->bytes.bytes, sizeof(request.bytes)); /* the back end only reads it */
    } else {
        operation_reserve(operation, operation->count);
        request.bytes = operation->buffer;
    }
    devices->in_flight++;
    devices->backend->table->submit(devices->backend, &request);
}

uint32_t devices_complete(struct devices *devices, const struct io_event *event, struct input *input)
{
    ASSERT(event->token < IO_DISK_MAX);
    ASSERT(devices->in_flight > 0);
    const uint32_t slot = (uint32_t)event->token;
    const struct device_operation *operation = &devices->operations[slot];
    ASSERT(operation->busy);
    devices->in_flight--;
    enum disk_result result = DISK_OK;
    if (event->result < 0) {
        const bool full = event->result == -ENOSPC || event->result == -EDQUOT || event->result == -EFBIG;
        result = operation->write && full ? DISK_FULL : DISK_ERROR;
        LOG(operation->write ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN, operation->write ? "write-failed" : "read-failed",
            FIELD_TEXT("cause", strerror(-event->result)), FIELD_TEXT("data", devices->path),
            FIELD_TEXT("file", device_names[operation->device]), FIELD_NUMBER("offset", operation->offset),
            FIELD_NUMBER("bytes", operation->count));
    }
    *input = (struct input){ .kind = INPUT_DISK, .result = result, .op_id = operation->op_id };
    if (!operation->write)
        input->bytes = (struct slice){ operation->buffer, operation->count };
    return slot;
}

void devices_release(struct devices *devices, uint32_t slot)
{
    ASSERT(slot < IO_DISK_MAX);
    ASSERT(devices->operations[slot].busy);
    devices->operations[slot].busy = false;
}

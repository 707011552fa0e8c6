/* Choice of the back end and of the sync method. */
#include "backend.h"

#include <errno.h>
#include <string.h>

static const char *const sync_names[] = {
    [SYNC_AUTO] = "auto",           [SYNC_THREAD] = "thread",     [SYNC_DSYNC] = "dsync",
    [SYNC_FDATASYNC] = "fdatasync", [SYNC_ADAPTIVE] = "adaptive",
};

bool io_choice_parse(const char *text, enum io_choice *choice)
{
    if (strcmp(text, "auto") == 0)
        *choice = IO_CHOICE_AUTO;
    else if (strcmp(text, "uring") == 0)
        *choice = IO_CHOICE_URING;
    else if (strcmp(text, "epoll") == 0)
        *choice = IO_CHOICE_EPOLL;
    else
        return false;
    return true;
}

bool sync_method_parse(const char *text, enum sync_method *sync)
{
    for (uint32_t slot = 0; slot < ARRAY_COUNT(sync_names); slot++) {
        if (strcmp(text, sync_names[slot]) == 0) {
            *sync = (enum sync_method)slot;
            return true;
        }
    }
    return false;
}

const char *sync_method_text(enum sync_method sync) { return sync_names[sync]; }

bool sync_method_needs_ring(enum sync_method sync)
{
    return sync == SYNC_DSYNC || sync == SYNC_FDATASYNC || sync == SYNC_ADAPTIVE;
}

static bool setup_was_forbidden(int result) { return result == -EPERM || result == -ENOSYS || result == -EINVAL; }

int backend_open(enum io_choice choice, enum sync_method *sync, struct backend **backend)
{
    bool any = *sync == SYNC_AUTO;
    if (choice != IO_CHOICE_EPOLL) {
        if (any)
            *sync = SYNC_ADAPTIVE;
        int result = backend_uring.open(*sync, backend);
        if (result == 0 || choice == IO_CHOICE_URING || !setup_was_forbidden(result))
            return result;
    }
    if (any)
        *sync = SYNC_THREAD;
    if (sync_method_needs_ring(*sync))
        return -ENOTSUP;
    return backend_epoll.open(*sync, backend);
}

/* The session table: lookup, registration, eviction; see session.h. */
#include "session.h"

#include "page.h"
#include "state.h"

static struct session *session_at(struct replica *replica, uint32_t position)
{
    return (struct session *)(void *)page_write(replica, page_sessions(replica)) + position;
}

static uint64_t session_digest(const struct session *session) { return checksum64(session, sizeof *session, 1); }

const struct session *session_find(const struct replica *replica, uint64_t id)
{
    const struct session *table = (const struct session *)(const void *)page_read(replica, page_sessions(replica));
    const uint32_t count = page_root_const(replica)->session_count;
    uint32_t low = 0;
    uint32_t high = count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (table[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && table[low].id == id ? &table[low] : NULL;
}

static uint64_t session_evict(struct replica *replica)
{
    struct page_root *root = page_root(replica);
    ASSERT(root->session_count > 0);
    uint32_t oldest = 0;
    for (uint32_t i = 1; i < root->session_count; i++)
        if (session_at(replica, i)->used_index < session_at(replica, oldest)->used_index)
            oldest = i;
    const uint64_t id = session_at(replica, oldest)->id;
    root->session_digest -= session_digest(session_at(replica, oldest));
    memmove(session_at(replica, oldest), session_at(replica, oldest + 1),
            (size_t)(root->session_count - oldest - 1) * sizeof(struct session));
    root->session_count--;
    memset(session_at(replica, root->session_count), 0, sizeof(struct session));
    return id;
}

uint64_t session_register(struct replica *replica, uint64_t index)
{
    struct page_root *root = page_root(replica);
    const uint64_t evicted = root->session_count == replica->limits.sessions_max ? session_evict(replica) : 0;
    ASSERT(root->session_count == 0 || session_at(replica, root->session_count - 1)->id < index);
    struct session *session = session_at(replica, root->session_count);
    *session = (struct session){ .id = index, .used_index = index };
    root->session_count++;
    root->session_digest += session_digest(session);
    return evicted;
}

void session_executed(struct replica *replica, uint64_t id, uint64_t sequence, uint64_t index, struct kv_result result)
{
    const struct session *found = session_find(replica, id);
    ASSERT(found != NULL);
    ASSERT(sequence > found->sequence);
    struct session *session = session_at(replica, (uint32_t)(found - session_at(replica, 0)));
    page_root(replica)->session_digest -= session_digest(session);
    session->sequence = sequence;
    session->used_index = index;
    session->version = result.version;
    session->status = (uint32_t)result.status;
    page_root(replica)->session_digest += session_digest(session);
}

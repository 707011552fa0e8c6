/* The session table: lookup, registration, eviction; see session.h. */
#include "session.h"

#include "page.h"
#include "state.h"

static const struct session *session_table(const struct replica *replica)
{
    return (const struct session *)(const void *)page_read(replica, page_sessions(replica));
}

/* `count` of them, to be changed; they lie in one or more pages, and one may lie in two. */
static struct session *session_change(struct replica *replica, uint32_t position, uint32_t count)
{
    ASSERT(count > 0 && position + count <= replica->limits.sessions_max);
    const uint32_t page_bytes = replica->limits.page_bytes;
    const uint32_t sessions = page_sessions(replica);
    const uint32_t first = position * (uint32_t)sizeof(struct session);
    const uint32_t last = first + count * (uint32_t)sizeof(struct session) - 1;
    for (uint32_t page = first / page_bytes + 1; page <= last / page_bytes; page++)
        page_write(replica, sessions + page);
    uint8_t *bytes = page_write(replica, sessions + first / page_bytes) + first % page_bytes;
    return (struct session *)(void *)bytes;
}

static uint64_t session_digest(const struct session *session) { return checksum64(session, sizeof *session, 1); }

const struct session *session_find(const struct replica *replica, uint64_t id)
{
    const struct session *table = session_table(replica);
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
    const struct session *table = session_table(replica);
    ASSERT(root->session_count > 0);
    uint32_t oldest = 0;
    for (uint32_t i = 1; i < root->session_count; i++)
        if (table[i].used_index < table[oldest].used_index)
            oldest = i;
    const uint64_t id = table[oldest].id;
    const uint32_t behind = root->session_count - oldest - 1;
    root->session_digest -= session_digest(&table[oldest]);
    struct session *from = session_change(replica, oldest, behind + 1);
    memmove(from, from + 1, (size_t)behind * sizeof *from);
    memset(from + behind, 0, sizeof *from);
    root->session_count--;
    return id;
}

uint64_t session_register(struct replica *replica, uint64_t index)
{
    struct page_root *root = page_root(replica);
    const uint64_t evicted = root->session_count == replica->limits.sessions_max ? session_evict(replica) : 0;
    ASSERT(root->session_count == 0 || session_table(replica)[root->session_count - 1].id < index);
    struct session *session = session_change(replica, root->session_count, 1);
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
    struct session *session = session_change(replica, (uint32_t)(found - session_table(replica)), 1);
    struct page_root *root = page_root(replica);
    root->session_digest -= session_digest(session);
    session->sequence = sequence;
    session->used_index = index;
    session->version = result.version;
    session->status = (uint32_t)result.status;
    root->session_digest += session_digest(session);
}

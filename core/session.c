#include "session.h"

#include "state.h"

static struct session *session_at(struct replica *replica, uint32_t position)
{
    return (struct session *)region_at(replica, replica->areas.sessions) + position;
}

static uint64_t session_digest(const struct session *session) { return checksum64(session, sizeof *session, 1); }

const struct session *session_find(const struct replica *replica, uint64_t id)
{
    const struct session *table = region_at_const(replica, replica->areas.sessions);
    uint32_t low = 0;
    uint32_t high = replica->sessions.count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (table[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < replica->sessions.count && table[low].id == id ? &table[low] : NULL;
}

static uint64_t session_evict(struct replica *replica)
{
    struct session_table *sessions = &replica->sessions;
    ASSERT(sessions->count > 0);
    uint32_t oldest = 0;
    for (uint32_t i = 1; i < sessions->count; i++)
        if (session_at(replica, i)->used_index < session_at(replica, oldest)->used_index)
            oldest = i;
    const uint64_t id = session_at(replica, oldest)->id;
    sessions->digest -= session_digest(session_at(replica, oldest));
    memmove(session_at(replica, oldest), session_at(replica, oldest + 1),
            (size_t)(sessions->count - oldest - 1) * sizeof(struct session));
    sessions->count--;
    memset(session_at(replica, sessions->count), 0, sizeof(struct session));
    return id;
}

uint64_t session_register(struct replica *replica, uint64_t index)
{
    struct session_table *sessions = &replica->sessions;
    const uint64_t evicted = sessions->count == replica->limits.sessions_max ? session_evict(replica) : 0;
    ASSERT(sessions->count == 0 || session_at(replica, sessions->count - 1)->id < index);
    struct session *session = session_at(replica, sessions->count);
    *session = (struct session){ .id = index, .used_index = index };
    sessions->count++;
    sessions->digest += session_digest(session);
    return evicted;
}

void session_executed(struct replica *replica, uint64_t id, uint64_t sequence, uint64_t index, struct kv_result result)
{
    const struct session *found = session_find(replica, id);
    ASSERT(found != NULL);
    ASSERT(sequence > found->sequence);
    struct session *session = session_at(replica, (uint32_t)(found - session_at(replica, 0)));
    replica->sessions.digest -= session_digest(session);
    session->sequence = sequence;
    session->used_index = index;
    session->version = result.version;
    session->status = (uint32_t)result.status;
    replica->sessions.digest += session_digest(session);
}

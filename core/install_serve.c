/* The peer that a checkpoint is pulled from; see install.h. It changes nothing but the queue of pages to be read. */
#include "output.h"
#include "page.h"
#include "raft.h"

/* Is what the map in memory says the durable checkpoint's, but for what is wanted? */
static bool serve_ready(const struct replica *replica)
{
    const struct checkpoint *own = &replica->superblock.durable.checkpoint;
    const struct install *install = &replica->install;
    if (own->id.index == 0 || !checkpoint_is_idle(replica) || replica->store.state == STORE_LOADING)
        return false;
    if (install->distrusted || diverge_in_doubt(replica))
        return false;
    if (!hash128_equal(own->hash, replica->stored.checkpoint.hash))
        return false;
    /* Once the map was aimed at another checkpoint it is neither, whether somebody answers at present or not. */
    return install->target.id.index == 0 || hash128_equal(install->target.hash, own->hash);
}

/* Are the hashes in this map block known: is neither it wanted nor one above it? */
static bool serve_knows(const struct replica *replica, uint32_t level, uint32_t at)
{
    for (; level <= map_root(&replica->limits); level++) {
        if (map_wanted(replica, level, at))
            return false;
        at /= map_fanout(&replica->limits);
    }
    return true;
}

static bool serve_page_is(const struct replica *replica, uint32_t page, const uint8_t *bytes)
{
    return hash128_equal(map_page_hash(replica, bytes), map_entry_const(replica, 0, page)->hash);
}

static struct message serve_answer(const struct replica *replica, const struct install_asker *to,
                                   enum checkpoint_ask ask)
{
    return (struct message){
        .type = FRAME_CHECKPOINT_RESPONSE,
        .from = replica->config.node_id,
        .to = to->node,
        .instance = replica->superblock.instance,
        .term = replica->superblock.durable.hard.term,
        .checkpoint_response = { .ask = ask, .checkpoint = replica->superblock.durable.checkpoint.hash },
    };
}

static void serve_emit(struct replica *replica, struct output *output, const struct install_asker *to,
                       const struct message *message)
{
    if (to->node != 0)
        output_message(output, &replica->frame, message);
    else
        output_message_client(output, &replica->frame, to->client, message);
}

/* A frame that finds no room is like one that the network lost: it is asked for again. */
static void serve_send(struct replica *replica, struct output *output, const struct install_asker *to,
                       const struct message *message)
{
    if (output_room(output, 1, message_bytes(message)))
        serve_emit(replica, output, to, message);
}

/* It asked for what there is not: a correct peer never does. */
static void serve_refuse(struct output *output, const struct install_asker *to)
{
    if (to->node != 0)
        output_event(output, EVENT_IMPOSSIBLE, to->node, 0);
    else
        output_effect(output,
                      &(struct effect){ .kind = EFFECT_REFUSE, .target = to->client, .verdict = FRAME_BAD_BODY });
}

static void serve_offer(struct replica *replica, struct output *output, const struct install_asker *to, bool leader)
{
    const struct checkpoint *own = &replica->superblock.durable.checkpoint;
    struct message message = serve_answer(replica, to, CHECKPOINT_ASK_OFFER);
    struct checkpoint_response *response = &message.checkpoint_response;
    if (serve_ready(replica)) {
        response->id = own->id;
        response->root_hash = own->root.hash;
        response->leader = leader;
        output_event(output, EVENT_OFFER, to->node, own->id.index);
    } else {
        response->checkpoint = (struct hash128){ .low = 0 };
    }
    serve_send(replica, output, to, &message);
}

void install_offer(struct replica *replica, struct output *output, uint32_t slot)
{
    ASSERT(replica->role == RAFT_LEADER && slot != replica->self);
    if (serve_ready(replica))
        serve_offer(replica, output, &(struct install_asker){ .node = members_id(replica, slot) }, true);
}

bool install_lease_held(const struct replica *replica)
{
    const struct limits *limits = &replica->limits;
    const uint64_t lease_ns = 2 * replica->config.election_timeout_ns;
    if (replica->install.served_ns == 0 || replica->now_ns - replica->install.served_ns >= lease_ns)
        return false;
    return wal_used_bytes(replica) <= (uint64_t)limits->wal_body_blocks * limits->block_bytes / 2
           && wal_used_entries(replica) <= limits->log_entries_max / 2;
}

/* ---- hashes ---- */

static void serve_hashes(struct replica *replica, struct output *output, const struct install_asker *to,
                         const struct checkpoint_request *request)
{
    struct hash128 hashes[PAGE_BYTES_MAX / sizeof(struct map_entry)];
    const struct limits *limits = &replica->limits;
    if (request->level > map_root(limits) || request->at >= map_count(limits, request->level)) {
        serve_refuse(output, to);
        return;
    }
    if (!serve_knows(replica, request->level, request->at))
        return;
    const uint8_t *block = map_block_const(replica, request->level, request->at);
    for (uint32_t at = 0; at < map_fanout(limits); at++)
        memcpy(&hashes[at], block + at * sizeof(struct map_entry) + offsetof(struct map_entry, hash),
               sizeof hashes[at]);
    struct message message = serve_answer(replica, to, CHECKPOINT_ASK_HASHES);
    struct checkpoint_response *response = &message.checkpoint_response;
    response->level = request->level;
    response->at = request->at;
    response->count = map_fanout(limits);
    response->payload =
        (struct slice){ .bytes = (const uint8_t *)hashes, .count = response->count * (uint32_t)sizeof hashes[0] };
    serve_send(replica, output, to, &message);
}

/* ---- pages ---- */

static void serve_drop(struct replica *replica, uint64_t slot)
{
    ASSERT(replica->install.serves[slot].used && replica->install.serves_used > 0);
    replica->install.serves[slot] = (struct install_serve){ .used = false };
    replica->install.serves_used--;
}

/* False: too many wait. */
static bool serve_later(struct replica *replica, const struct install_asker *to, uint32_t first,
                        const struct pieces_question *question)
{
    for (uint32_t slot = 0; slot < INSTALL_SERVES_MAX; slot++) {
        struct install_serve *serve = &replica->install.serves[slot];
        if (serve->used)
            continue;
        *serve = (struct install_serve){ .to = *to, .question = *question, .first = first, .used = true };
        replica->install.serves_used++;
        return true;
    }
    return false;
}

/* What the asker lacks of the page as the checkpoint has it, if it is in memory. Returns its bytes. What memory should
 * have and has not is as good as damaged: 0. */
static uint32_t serve_from_memory(struct replica *replica, const struct pieces_question *question, uint8_t *to)
{
    const uint8_t *bytes = page_raw_const(replica, question->page);
    if (!serve_page_is(replica, question->page, bytes))
        return 0;
    return pieces_encode(question, bytes, replica->limits.page_bytes, to);
}

static struct pieces_question serve_question(const struct checkpoint_request *request, uint32_t at)
{
    struct pieces_question question;
    memcpy(&question, request->pages.bytes + at * sizeof question, sizeof question);
    return question;
}

static bool serve_pages_valid(const struct replica *replica, const struct checkpoint_request *request)
{
    return serve_question(request, request->count - 1).page < replica->limits.pages_max
           && request->count <= message_pages_max(replica->limits.frame_bytes_max, replica->limits.page_bytes);
}

static void serve_pages(struct replica *replica, struct output *output, const struct install_asker *to,
                        const struct checkpoint_request *request)
{
    if (!serve_pages_valid(replica, request)) {
        serve_refuse(output, to);
        return;
    }
    if (!output_room(output, 1,
                     message_checkpoint_bytes(request->count * pieces_bytes_max(replica->limits.page_bytes))))
        return;
    struct message message = serve_answer(replica, to, CHECKPOINT_ASK_PAGES);
    struct checkpoint_response *response = &message.checkpoint_response;
    uint8_t *payload = output->arena + output->arena_used + message_checkpoint_bytes(0);
    uint32_t used = 0;
    response->at = serve_question(request, 0).page;
    for (uint32_t i = 0; i < request->count; i++) {
        const struct pieces_question question = serve_question(request, i);
        const bool known = serve_knows(replica, 0, question.page);
        const bool dirty = checkpoint_page_dirty(replica, question.page);
        if (known && dirty && serve_later(replica, to, response->at, &question))
            continue;
        const uint32_t bytes = known && !dirty ? serve_from_memory(replica, &question, payload + used) : 0;
        response->count++;
        response->page_count += bytes > 0 ? 1 : 0;
        used += bytes;
    }
    if (response->count == 0)
        return;
    response->page_bytes = replica->limits.page_bytes;
    response->payload = (struct slice){ .bytes = payload, .count = used };
    serve_emit(replica, output, to, &message);
}

/* One page of a request; NULL: it is not to be had here. */
static void serve_one(struct replica *replica, struct output *output, const struct install_serve *serve,
                      const uint8_t *bytes)
{
    const uint32_t page_bytes = replica->limits.page_bytes;
    if (!output_room(output, 1, message_checkpoint_bytes(pieces_bytes_max(page_bytes))))
        return;
    struct message message = serve_answer(replica, &serve->to, CHECKPOINT_ASK_PAGES);
    struct checkpoint_response *response = &message.checkpoint_response;
    response->at = serve->first;
    response->count = 1;
    response->page_bytes = page_bytes;
    if (bytes != NULL) {
        uint8_t *payload = output->arena + output->arena_used + message_checkpoint_bytes(0);
        response->page_count = 1;
        response->payload =
            (struct slice){ .bytes = payload, .count = pieces_encode(&serve->question, bytes, page_bytes, payload) };
    }
    serve_emit(replica, output, &serve->to, &message);
}

void install_serve_read(struct replica *replica, struct output *output, const struct input *input)
{
    const uint64_t slot = wal_detail_of(input->op_id);
    ASSERT(slot < INSTALL_SERVES_MAX && replica->install.serves[slot].block != 0);
    struct install_serve *waits = &replica->install.serves[slot];
    const struct install_serve serve = *waits;
    const uint8_t *bytes = input->result == DISK_OK ? input->bytes.bytes : NULL;
    if (!serve_ready(replica) || !serve_knows(replica, 0, serve.question.page)) {
        serve_drop(replica, slot);
        return;
    }
    /* Whatever became of the block meanwhile: what is sent hashes to what the durable checkpoint says. */
    const bool right = bytes != NULL && serve_page_is(replica, serve.question.page, bytes);
    if (!right && serve.tries + 1 < STORE_READ_TRIES) {
        waits->block = 0;
        waits->tries++;
        return;
    }
    serve_drop(replica, slot);
    if (!right && checkpoint_page_dirty(replica, serve.question.page))
        checkpoint_renew(replica);
    serve_one(replica, output, &serve, right ? bytes : NULL);
}

/* Starts the read, or drops what cannot be answered any more. False: the output is full. */
static bool serve_start(struct replica *replica, struct output *output, uint32_t slot)
{
    struct install_serve *serve = &replica->install.serves[slot];
    const uint32_t page = serve->question.page;
    const struct map_entry *entry = map_entry_const(replica, 0, page);
    const uint32_t page_bytes = replica->limits.page_bytes;
    if (!serve_ready(replica) || !serve_knows(replica, 0, page) || entry->block == 0) {
        serve_drop(replica, slot);
        return true;
    }
    if (!output_room(output, 1, 0)) {
        replica->wants_tick = true;
        return false;
    }
    serve->block = entry->block;
    output_effect(output, &(struct effect){
                              .kind = EFFECT_READ,
                              .device = DEVICE_DATA,
                              .op_id = wal_op_id((enum wal_operation)DATA_READ_SERVE, slot),
                              .offset = (uint64_t)entry->block * page_bytes,
                              .bytes = { .bytes = NULL, .count = page_bytes },
                          });
    return true;
}

void install_serve_flush(struct replica *replica, struct output *output)
{
    const struct install_serve *serves = replica->install.serves;
    uint32_t reading = 0;
    if (replica->install.serves_used == 0)
        return;
    for (uint32_t slot = 0; slot < INSTALL_SERVES_MAX; slot++)
        reading += serves[slot].block != 0;
    for (uint32_t slot = 0; slot < INSTALL_SERVES_MAX && reading < INSTALL_SERVE_READS_MAX; slot++) {
        if (!serves[slot].used || serves[slot].block != 0)
            continue;
        if (!serve_start(replica, output, slot))
            return;
        reading += serves[slot].block != 0;
    }
}

/* The asker has a checkpoint in part that nobody else may ever make, when its source is gone: because it was not one of
 * a marker; or because nobody can know that the marker is committed, as long as the asker cannot confirm anything. But
 * all that a checkpoint holds is committed (Raft 7), and so is all before an entry that a log shares with it. */
static void serve_needs_newer(struct replica *replica, struct output *output, struct log_id id)
{
    if (id.index > replica->commit && log_holds(replica, id)) {
        replica->commit = id.index;
        output_event(output, EVENT_COMMIT, id.index, 0);
    }
    if (id.index > replica->superblock.durable.checkpoint.id.index && id.index <= replica->applied
        && store_is_ready(replica) && checkpoint_is_idle(replica))
        checkpoint_renew(replica);
}

void install_request(struct replica *replica, struct output *output, const struct message *message, uint64_t client)
{
    const struct checkpoint_request *request = &message->checkpoint_request;
    const struct install_asker to = { .node = message->from, .client = message->from == 0 ? client : 0 };
    const bool other = !hash128_equal(request->checkpoint, replica->superblock.durable.checkpoint.hash);
    if (request->ask == CHECKPOINT_ASK_OFFER && to.node != 0)
        serve_needs_newer(replica, output, request->id);
    /* Who only asks what there is may be waiting for the next one. */
    if (request->ask != CHECKPOINT_ASK_OFFER)
        replica->install.served_ns = u64_max(replica->now_ns, 1);
    if (request->ask == CHECKPOINT_ASK_OFFER || other || !serve_ready(replica))
        serve_offer(replica, output, &to, false);
    else if (request->ask == CHECKPOINT_ASK_HASHES)
        serve_hashes(replica, output, &to, request);
    else
        serve_pages(replica, output, &to, request);
}

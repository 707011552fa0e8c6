/* Pulling a checkpoint from outside; see saver.h. */
#include "saver.h"

#include "../core/pieces.h"

enum { SAVER_FRAME_BYTES_MAX = 4096 };

static void saver_send(struct saver *saver, struct scene *scene, struct network *network,
                       const struct checkpoint_request *request)
{
    uint8_t frame[SAVER_FRAME_BYTES_MAX];
    const struct message message = { .type = FRAME_CHECKPOINT_REQUEST, .checkpoint_request = *request };
    const uint32_t bytes = message_bytes(&message);
    const struct frame_context context = scene_frame_context(scene);
    ASSERT(bytes <= sizeof frame);
    message_encode(&message, &context, frame);
    network_send(network, scene, ENDPOINT_CLIENT + saver->client, saver->node,
                 (struct slice){ .bytes = frame, .count = bytes });
}

void saver_begin(struct saver *saver, struct scene *scene, struct network *network, uint32_t client, uint32_t node)
{
    *saver = (struct saver){ .state = SAVER_ASKS, .client = client, .node = node };
    saver_send(saver, scene, network, &(struct checkpoint_request){ .ask = CHECKPOINT_ASK_OFFER });
}

/* ---- questions ---- */

static bool entry_is_zero(const struct saver *saver, uint32_t level, uint32_t at)
{
    return hash128_is_zero(saver->hashes[level][at]);
}

static void saver_ask_pages(struct saver *saver, struct scene *scene, struct network *network)
{
    const struct limits *limits = &scene->swarm.limits;
    struct pieces_question questions[SAVER_PAGES_MAX];
    const uint32_t count_max = message_pages_max(limits->frame_bytes_max, limits->page_bytes);
    uint32_t count = 0;
    for (; saver->page_next < limits->pages_max && count < count_max; saver->page_next++)
        if (!entry_is_zero(saver, 0, saver->page_next))
            pieces_ask(&questions[count++], saver->page_next, NULL, limits->page_bytes);
    if (count == 0) {
        saver->state = SAVER_IDLE;
        coverage_fire(&scene->coverage, FAULT_SNAPSHOT_SAVED);
        return;
    }
    saver->state = SAVER_PAGES;
    saver->at = questions[0].page;
    saver->pages_left = count;
    saver_send(saver, scene, network,
               &(struct checkpoint_request){
                   .ask = CHECKPOINT_ASK_PAGES,
                   .checkpoint = saver->target.checkpoint,
                   .count = count,
                   .pages = { .bytes = (const uint8_t *)questions, .count = count * (uint32_t)sizeof questions[0] },
               });
}

/* The hashes in the next map block, at this one or behind it; when all are known, pages. */
static void saver_ask_hashes(struct saver *saver, struct scene *scene, struct network *network)
{
    const struct limits *limits = &scene->swarm.limits;
    saver->state = SAVER_HASHES;
    while (saver->level > 0
           && (saver->at == map_count(limits, saver->level) || entry_is_zero(saver, saver->level, saver->at))) {
        saver->at++;
        if (saver->at < map_count(limits, saver->level))
            continue;
        saver->level--;
        saver->at = 0;
    }
    if (saver->level == 0) {
        saver_ask_pages(saver, scene, network);
        return;
    }
    saver_send(saver, scene, network,
               &(struct checkpoint_request){ .ask = CHECKPOINT_ASK_HASHES,
                                             .checkpoint = saver->target.checkpoint,
                                             .level = saver->level,
                                             .at = saver->at });
}

/* ---- answers ---- */

static void saver_fail(const struct saver *saver, struct scene *scene, const char *what)
{
    check_fail(scene->check, CHECK_CHECKPOINT, saver->node, "gives client %u %s of the checkpoint of entry %llu",
               saver->client, what, (unsigned long long)saver->target.id.index);
}

static void saver_take_offer(struct saver *saver, struct scene *scene, struct network *network,
                             const struct checkpoint_response *offer)
{
    if (saver->state != SAVER_ASKS && hash128_equal(offer->checkpoint, saver->target.checkpoint))
        return;
    saver->state = SAVER_IDLE;
    if (offer->id.index == 0)
        return;
    const uint32_t root = map_root(&scene->swarm.limits);
    ASSERT(root < SAVER_LEVELS_MAX && scene->swarm.limits.pages_max <= SAVER_PAGES_MAX);
    saver->target = *offer;
    /* Below a map block of zeros nothing is asked for, nor is it what an earlier checkpoint had there. */
    memset(saver->hashes, 0, sizeof saver->hashes);
    check_offered(scene->check, saver->node, offer);
    saver->hashes[root][0] = offer->root_hash;
    saver->level = root;
    saver->at = 0;
    saver->page_next = 0;
    saver_ask_hashes(saver, scene, network);
}

static void saver_take_hashes(struct saver *saver, struct scene *scene, struct network *network,
                              const struct checkpoint_response *answer)
{
    const struct limits *limits = &scene->swarm.limits;
    const uint32_t fanout = map_fanout(limits), first = saver->at * fanout;
    struct hash128 hashes[SAVER_PAGES_MAX];
    if (saver->state != SAVER_HASHES || answer->level != saver->level || answer->at != saver->at)
        return;
    ASSERT(fanout <= ARRAY_COUNT(hashes));
    if (answer->count != fanout) {
        saver_fail(saver, scene, "too few hashes");
        return;
    }
    memcpy(hashes, answer->payload.bytes, fanout * sizeof hashes[0]);
    if (!hash128_equal(map_hashes_hash(limits, hashes), saver->hashes[saver->level][saver->at])) {
        saver_fail(saver, scene, "other hashes than those");
        return;
    }
    for (uint32_t child = 0; child < fanout && first + child < map_count(limits, saver->level - 1); child++)
        saver->hashes[saver->level - 1][first + child] = hashes[child];
    saver->at++;
    saver_ask_hashes(saver, scene, network);
}

/* False: one of them is not what it should be. */
static bool saver_take_page(const struct saver *saver, const struct scene *scene, const struct pieces_answer *answer)
{
    const struct limits *limits = &scene->swarm.limits;
    uint8_t page[PAGE_BYTES_MAX] = { 0 };
    if (answer->page >= limits->pages_max)
        return false;
    pieces_patch(answer, limits->page_bytes, page);
    return hash128_equal(map_page_hash_in(limits, scene->swarm.configs[0].cluster_id, page),
                         saver->hashes[0][answer->page]);
}

/* A part of an answer. What the node has lost it does not give: then this was in vain. */
static void saver_take_pages(struct saver *saver, struct scene *scene, struct network *network,
                             const struct checkpoint_response *answer)
{
    struct slice rest = answer->payload;
    if (saver->state != SAVER_PAGES || answer->at != saver->at || answer->count > saver->pages_left)
        return;
    for (uint32_t at = 0; at < answer->page_count; at++) {
        struct pieces_answer page;
        const uint32_t bytes = pieces_decode(rest, answer->page_bytes, &page);
        ASSERT(bytes > 0);
        if (answer->page_bytes != scene->swarm.limits.page_bytes || !saver_take_page(saver, scene, &page)) {
            saver_fail(saver, scene, "another page than that");
            return;
        }
        rest = (struct slice){ .bytes = rest.bytes + bytes, .count = rest.count - bytes };
    }
    saver->pages_left -= answer->count;
    if (answer->page_count < answer->count)
        saver->state = SAVER_IDLE;
    else if (saver->pages_left == 0)
        saver_ask_pages(saver, scene, network);
}

void saver_receive(struct saver *saver, struct scene *scene, struct network *network, struct slice frame)
{
    const struct frame_context context = scene_frame_context(scene);
    struct message message;
    if (saver->state == SAVER_IDLE || message_decode(frame, &context, &message) != FRAME_OK
        || message.type != FRAME_CHECKPOINT_RESPONSE)
        return;
    const struct checkpoint_response *response = &message.checkpoint_response;
    if (response->ask == CHECKPOINT_ASK_OFFER)
        saver_take_offer(saver, scene, network, response);
    else if (saver->state == SAVER_ASKS || !hash128_equal(response->checkpoint, saver->target.checkpoint))
        return; /* of an earlier one */
    else if (response->ask == CHECKPOINT_ASK_HASHES)
        saver_take_hashes(saver, scene, network, response);
    else
        saver_take_pages(saver, scene, network, response);
}

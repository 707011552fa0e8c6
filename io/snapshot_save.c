/* Pulls a checkpoint into a file; see snapshot_save.h. */
#include "snapshot_save.h"

#include "../core/message.h"
#include "../core/replica.h"
#include "clock.h"
#include "endpoint.h"
#include "link.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ASKS_MAX = 2 /* requests for pages in flight: their answers fit what a node keeps for a slow client */ };
#define SILENCE_NS (2 * NS_PER_S) /* then another node is asked */
#define WAIT_NS (50 * NS_PER_MS)  /* between questions for a checkpoint that is not there yet */
#define PROGRESS_NS (200 * NS_PER_MS)

struct save {
    const struct snapshot_save_options *options;
    struct snapshot_save_result *result;
    const struct limits *limits;
    struct client *client;
    struct endpoint endpoints[ENDPOINTS_MAX];
    uint32_t endpoint_count;
    uint32_t endpoint; /* of the link */
    struct link link;
    struct frame_context context;
    struct snapshot_writer writer;
    uint64_t index_min; /* a checkpoint at least as new */
    uint64_t start_ns;
    uint64_t useful_ns; /* when something last came */
    uint64_t printed_ns;
    /* The checkpoint that is being pulled. */
    bool aimed;
    bool moved; /* since the last pass began */
    struct checkpoint_response target;
    struct page_map map;  /* its hashes, as far as known */
    struct hash128 *have; /* by page: of the bytes in the file; zero: none */
    /* Pages asked for. */
    uint32_t asked[ASKS_MAX]; /* first page of each request; its number of pages that no answer has decided yet */
    uint32_t asked_left[ASKS_MAX];
    uint32_t scan_next;
    uint64_t missing; /* pages that the file lacks */
    uint8_t frame[16 * 1024];
};

__attribute__((format(printf, 3, 4))) static bool save_fail(struct save *save, enum client_reason reason,
                                                            const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(save->result->error, sizeof save->result->error, format, arguments);
    va_end(arguments);
    save->result->reason = reason;
    return false;
}

static void save_progress(struct save *save, bool last)
{
    const uint64_t now_ns = clock_now_ns();
    struct snapshot_progress *progress = &save->result->progress;
    progress->elapsed_ns = now_ns - save->start_ns;
    progress->pages_done = progress->pages_all - u64_min(save->missing, progress->pages_all);
    if (save->options->progress == NULL || (!last && now_ns - save->printed_ns < PROGRESS_NS))
        return;
    save->printed_ns = now_ns;
    save->options->progress(progress);
}

/* ---- the wire ---- */

static void save_next_endpoint(struct save *save)
{
    link_close(&save->link);
    save->endpoint = (save->endpoint + 1) % save->endpoint_count;
    memset(save->asked_left, 0, sizeof save->asked_left);
}

static bool save_send(struct save *save, const struct checkpoint_request *request)
{
    const struct message message = { .type = FRAME_CHECKPOINT_REQUEST, .checkpoint_request = *request };
    const uint32_t bytes = message_bytes(&message);
    const uint64_t deadline_ns = clock_now_ns() + SILENCE_NS;
    bool sent;
    ASSERT(bytes <= sizeof save->frame);
    if (save->link.fd < 0 && link_connect(&save->link, &save->endpoints[save->endpoint], deadline_ns) < 0)
        return false;
    message_encode(&message, &save->context, save->frame);
    return link_send(&save->link, (struct slice){ save->frame, bytes }, deadline_ns, &sent) == 0;
}

/* The next answer; false when none comes. */
static bool save_receive(struct save *save, struct checkpoint_response *response)
{
    struct slice frame;
    struct message message;
    if (save->link.fd < 0 || link_receive_frame(&save->link, clock_now_ns() + SILENCE_NS, &frame) < 0)
        return false;
    if (message_decode(frame, &save->context, &message) != FRAME_OK || message.type != FRAME_CHECKPOINT_RESPONSE)
        return false;
    *response = message.checkpoint_response;
    return true;
}

/* An offer, asked for or not. When it is of another checkpoint than the target, that one is gone. */
static void save_take_offer(struct save *save, const struct checkpoint_response *offer)
{
    if (save->aimed && hash128_equal(offer->checkpoint, save->target.checkpoint))
        return;
    save->moved = true;
    save->aimed = offer->id.index >= save->index_min && offer->id.index != 0
                  && hash128_equal(offer->checkpoint, checkpoint_hash(offer->id, offer->root_hash));
    if (save->aimed)
        save->target = *offer;
}

/* The next answer about the target. False: none comes, or the target is gone. */
static bool save_receive_of_target(struct save *save, struct checkpoint_response *response)
{
    if (!save_receive(save, response))
        return false;
    if (response->ask == CHECKPOINT_ASK_OFFER)
        save_take_offer(save, response);
    return !save->moved;
}

/* ---- hashes ---- */

/* Everything below (level, at) is zero in the target. */
static void block_clear(struct save *save, uint32_t level, uint32_t at)
{
    const uint32_t first = at * map_fanout(save->limits);
    const uint32_t end = u32_min(first + map_fanout(save->limits), map_count(save->limits, level - 1));
    for (uint32_t child = first; child < end; child++) {
        struct map_entry *entry = &save->map.levels[level - 1][child];
        if (!map_entry_is_zero(entry) && level > 1)
            block_clear(save, level - 1, child);
        entry->hash = (struct hash128){ .low = 0 };
    }
}

static bool block_ask(struct save *save, uint32_t level, uint32_t at, struct hash128 expected)
{
    struct checkpoint_response response;
    const struct checkpoint_request request = {
        .ask = CHECKPOINT_ASK_HASHES, .checkpoint = save->target.checkpoint, .level = level, .at = at
    };
    const uint32_t fanout = map_fanout(save->limits);
    if (!save_send(save, &request))
        return false;
    do {
        if (!save_receive_of_target(save, &response))
            return false;
    } while (response.ask != CHECKPOINT_ASK_HASHES || response.level != level || response.at != at);
    struct hash128 hashes[PAGE_BYTES_MAX / sizeof(struct map_entry)];
    if (response.count != fanout)
        return false;
    memcpy(hashes, response.payload.bytes, fanout * sizeof hashes[0]);
    if (!hash128_equal(map_hashes_hash(save->limits, hashes), expected))
        return false;
    for (uint32_t child = 0; child < fanout && at * fanout + child < map_count(save->limits, level - 1); child++) {
        struct map_entry *entry = &save->map.levels[level - 1][at * fanout + child];
        if (hash128_is_zero(hashes[child]) && !map_entry_is_zero(entry) && level > 1)
            block_clear(save, level - 1, at * fanout + child);
        entry->hash = hashes[child];
    }
    save->useful_ns = clock_now_ns();
    return true;
}

/* All hashes of the target, from the root down. What an earlier target had in common with it is known already: a map
 * block whose entries hash to what its own entry says. */
static bool save_map(struct save *save)
{
    save->map.levels[save->map.root_level][0].hash = save->target.root_hash;
    for (uint32_t level = save->map.root_level; level >= 1; level--) {
        for (uint32_t at = 0; at < map_count(save->limits, level); at++) {
            const struct hash128 expected = save->map.levels[level][at].hash;
            if (hash128_equal(map_block_hash(save->limits, page_map_block(&save->map, level, at)), expected))
                continue;
            if (hash128_is_zero(expected))
                block_clear(save, level, at);
            else if (!block_ask(save, level, at, expected))
                return false;
            save_progress(save, false);
        }
    }
    return true;
}

/* ---- pages ---- */

static bool page_is_missing(const struct save *save, uint32_t page)
{
    const struct hash128 wanted = save->map.levels[0][page].hash;
    return !hash128_is_zero(wanted) && !hash128_equal(wanted, save->have[page]);
}

/* Counts what is to be pulled, and drops what the target does not have. */
static bool save_begin_pages(struct save *save)
{
    save->missing = 0;
    save->scan_next = 0;
    save->result->progress.pages_all = 0;
    for (uint32_t page = 0; page < save->limits->pages_max; page++) {
        const bool zero = map_entry_is_zero(&save->map.levels[0][page]);
        save->missing += page_is_missing(save, page);
        save->result->progress.pages_all += !zero;
        if (!zero || hash128_is_zero(save->have[page]))
            continue;
        if (!snapshot_drop(&save->writer, page))
            return save_fail(save, CLIENT_NO_SPACE, "%s", save->writer.error);
        save->have[page] = (struct hash128){ .low = 0 };
    }
    return true;
}

static bool pages_ask(struct save *save, uint32_t slot)
{
    struct pieces_question pages[256];
    const uint32_t count_max =
        u32_min(ARRAY_COUNT(pages), message_pages_max(save->context.frame_bytes_max, save->limits->page_bytes));
    uint32_t count = 0;
    for (; save->scan_next < save->limits->pages_max && count < count_max; save->scan_next++) {
        if (page_is_missing(save, save->scan_next))
            pieces_ask(&pages[count++], save->scan_next, NULL, save->limits->page_bytes);
    }
    if (count == 0)
        return true;
    save->asked[slot] = pages[0].page;
    save->asked_left[slot] = count;
    const struct checkpoint_request request = {
        .ask = CHECKPOINT_ASK_PAGES,
        .checkpoint = save->target.checkpoint,
        .count = count,
        .pages = { (const uint8_t *)pages, count * (uint32_t)sizeof pages[0] },
    };
    return save_send(save, &request);
}

/* False: the file cannot be written. */
static bool page_take(struct save *save, const struct pieces_answer *answer)
{
    uint8_t bytes[PAGE_BYTES_MAX] = { 0 };
    const uint32_t page = answer->page;
    if (page >= save->limits->pages_max || !page_is_missing(save, page))
        return true;
    pieces_patch(answer, save->limits->page_bytes, bytes);
    const struct hash128 hash = page_map_hash(&save->map, bytes);
    if (!hash128_equal(hash, save->map.levels[0][page].hash))
        return true;
    if (!snapshot_put(&save->writer, page, hash, bytes))
        return save_fail(save, CLIENT_NO_SPACE, "%s", save->writer.error);
    save->have[page] = hash;
    save->missing--;
    save->result->progress.bytes_pulled += answer->bytes.count;
    save->useful_ns = clock_now_ns();
    return true;
}

static bool pages_take(struct save *save, const struct checkpoint_response *response)
{
    for (uint32_t slot = 0; slot < ASKS_MAX; slot++) {
        if (save->asked_left[slot] == 0 || save->asked[slot] != response->at)
            continue;
        save->asked_left[slot] -= u32_min(save->asked_left[slot], response->count);
        break;
    }
    if (response->page_bytes != save->limits->page_bytes)
        return true;
    struct slice rest = response->payload;
    for (uint32_t at = 0; at < response->page_count; at++) {
        struct pieces_answer answer;
        const uint32_t bytes = pieces_decode(rest, response->page_bytes, &answer);
        if (bytes == 0)
            break; /* never: message_decode() has looked */
        if (!page_take(save, &answer))
            return false;
        rest = (struct slice){ .bytes = rest.bytes + bytes, .count = rest.count - bytes };
    }
    save_progress(save, false);
    return true;
}

/* One pass over what is missing. False: the target moved, the node fell silent, or (then there is an error) the file
 * cannot be written. */
static bool save_pages(struct save *save)
{
    for (;;) {
        uint32_t in_flight = 0;
        for (uint32_t slot = 0; slot < ASKS_MAX; slot++) {
            if (save->asked_left[slot] == 0 && !pages_ask(save, slot))
                return false;
            in_flight += save->asked_left[slot] > 0;
        }
        if (in_flight == 0)
            return save->missing == 0;
        struct checkpoint_response response;
        if (!save_receive_of_target(save, &response))
            return false;
        if (response.ask == CHECKPOINT_ASK_PAGES && hash128_equal(response.checkpoint, save->target.checkpoint)
            && !pages_take(save, &response))
            return false;
    }
}

/* ---- the whole ---- */

/* What is acknowledged by now: a linearizable read of a key that nobody has tells. */
static bool save_learn(struct save *save)
{
    static const uint8_t key = 0;
    const struct client_result read = client_get(save->client, (struct slice){ .bytes = &key, .count = 1 });
    if (read.outcome != CLIENT_OK && read.reason != CLIENT_NOT_FOUND)
        return save_fail(save, read.reason, "%s", client_error_text(save->client));
    save->index_min = read.applied;
    return true;
}

/* The leader, because it holds back its next checkpoint while somebody pulls; and whom its frames are to name. */
static bool save_find(struct save *save)
{
    bool found = false;
    for (uint32_t slot = 0; slot < save->endpoint_count; slot++) {
        struct node_status status;
        if (client_status(save->client, slot, &status).outcome != CLIENT_OK)
            continue;
        save->context.cluster_id = status.cluster_id;
        save->endpoint = slot;
        found = true;
        if (status.role == RAFT_LEADER)
            break;
    }
    return found || save_fail(save, CLIENT_UNREACHABLE, "%s", client_error_text(save->client));
}

static bool save_late(const struct save *save) { return clock_now_ns() - save->useful_ns >= save->options->timeout_ns; }

/* Until a node offers a checkpoint that is new enough. The leader is asked for one as long as there is none. */
static bool save_aim(struct save *save)
{
    uint64_t asked_ns = 0;
    save->aimed = false;
    while (!save_late(save)) {
        const struct checkpoint_request request = { .ask = CHECKPOINT_ASK_OFFER };
        struct checkpoint_response response = { .id = { .index = 0 } };
        bool heard = save_send(save, &request);
        do {
            heard = heard && save_receive(save, &response);
        } while (heard && response.ask != CHECKPOINT_ASK_OFFER);
        if (!heard)
            save_next_endpoint(save);
        else
            save_take_offer(save, &response);
        if (save->aimed)
            return true;
        if (clock_now_ns() - asked_ns >= SILENCE_NS) {
            asked_ns = clock_now_ns();
            (void)client_checkpoint(save->client); /* asked again if it failed */
        }
        nanosleep(&(struct timespec){ .tv_nsec = (long)WAIT_NS }, NULL);
    }
    return save_fail(save, CLIENT_TIMED_OUT, "no node offered a checkpoint behind entry %llu in time",
                     (unsigned long long)save->index_min);
}

static bool save_pull(struct save *save)
{
    while (!save_late(save)) {
        if (!save->aimed && !save_aim(save))
            return false;
        save->moved = false;
        memset(save->asked_left, 0, sizeof save->asked_left);
        if (save_map(save) && save_begin_pages(save) && save_pages(save))
            return true;
        if (save->result->error[0] != '\0')
            return false;
        if (save->moved)
            continue;
        save_next_endpoint(save);
        save->aimed = false;
    }
    return save_fail(save, CLIENT_TIMED_OUT, "no node could give what is missing: %llu pages",
                     (unsigned long long)save->missing);
}

static bool save_finish(struct save *save)
{
    struct snapshot_header *header = &save->result->header;
    *header = (struct snapshot_header){
        .cluster_id = save->context.cluster_id,
        .fingerprint = save->context.fingerprint,
        .page_bytes = save->limits->page_bytes,
        .pages_max = save->limits->pages_max,
        .id = save->target.id,
        .checkpoint = save->target.checkpoint,
    };
    save_progress(save, true);
    return snapshot_finish(&save->writer, header) || save_fail(save, CLIENT_NO_SPACE, "%s", save->writer.error);
}

static bool save_run(struct save *save)
{
    const struct client_options options = {
        .endpoints = save->options->endpoints,
        .cluster_id = save->options->cluster_id,
        .timeout_ns = save->options->timeout_ns,
    };
    const int count = endpoint_list_parse(options.endpoints, save->endpoints);
    const int error = count < 0 ? count : client_open(&options, &save->client);
    if (error < 0)
        return save_fail(save, CLIENT_BAD_REQUEST, "%s: %s", options.endpoints, strerror(-error));
    save->endpoint_count = (uint32_t)count;
    save->have = calloc(save->limits->pages_max, sizeof *save->have);
    if (save->have == NULL)
        return save_fail(save, CLIENT_NO_MEMORY, "no memory");
    if (!save_learn(save) || !save_find(save))
        return false;
    if (!page_map_open(&save->map, save->limits, save->context.cluster_id))
        return save_fail(save, CLIENT_NO_MEMORY, "no memory");
    save->useful_ns = clock_now_ns();
    return save_pull(save) && save_finish(save);
}

/* ---- signals ---- */

/* Who interrupts a save must not find half a file. The name is set while there is one. */
static const char *volatile unfinished;
static const int ends[] = { SIGINT, SIGTERM, SIGHUP };

static void save_interrupted(int signal_number)
{
    if (unfinished != NULL)
        unlink(unfinished);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

/* A signal that somebody else handles, or ignores, is left to them. */
static void signals_take(struct sigaction before[ARRAY_COUNT(ends)])
{
    const struct sigaction taken = { .sa_handler = save_interrupted };
    for (uint32_t at = 0; at < ARRAY_COUNT(ends); at++)
        if (sigaction(ends[at], NULL, &before[at]) == 0 && before[at].sa_handler == SIG_DFL)
            sigaction(ends[at], &taken, NULL);
}

static void signals_give_back(const struct sigaction before[ARRAY_COUNT(ends)])
{
    for (uint32_t at = 0; at < ARRAY_COUNT(ends); at++)
        sigaction(ends[at], &before[at], NULL);
}

/* For the handler the file comes and goes together with its name. */
static bool file_open(struct save *save)
{
    sigset_t all, mask;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &mask);
    const bool created = snapshot_create(&save->writer, save->options->file, save->limits);
    unfinished = created ? save->writer.path_new : NULL;
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    return created || save_fail(save, CLIENT_NO_SPACE, "%s", save->writer.error);
}

static void file_close(struct save *save)
{
    sigset_t all, mask;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &mask);
    snapshot_close(&save->writer);
    unfinished = NULL;
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

bool snapshot_save(const struct snapshot_save_options *options, struct snapshot_save_result *result)
{
    struct save *save = calloc(1, sizeof *save);
    *result = (struct snapshot_save_result){ .reason = CLIENT_NO_MEMORY, .error = "no memory" };
    if (save == NULL)
        return false;
    result->error[0] = '\0';
    save->options = options;
    save->result = result;
    save->limits = &limits_production;
    save->context = (struct frame_context){ .fingerprint = limits_fingerprint(save->limits),
                                            .frame_bytes_max = save->limits->frame_bytes_max };
    save->start_ns = clock_now_ns();
    link_init(&save->link);
    bool saved = false;
    struct sigaction before[ARRAY_COUNT(ends)];
    signals_take(before);
    if (file_open(save))
        saved = save_run(save);
    file_close(save);
    signals_give_back(before);
    link_deinit(&save->link);
    client_close(save->client);
    page_map_close(&save->map);
    free(save->have);
    free(save);
    return saved;
}

/* Fuzzer of every decoder of the wire and of the log: any bytes, with and without a good checksum. What a decoder
 * accepts must lie inside the bytes given, and must mean the same after another round trip.
 *
 * Input: one byte that chooses the decoder and whether the frame is resealed, then the bytes. */
#include "../core/checksum.h"
#include "../core/entry.h"
#include "../core/message.h"
#include "../core/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

_Noreturn void core_assert_failed(const char *expression, const char *file, int line)
{
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, expression);
    abort();
}

static const struct frame_context context = { .cluster_id = 77, .fingerprint = 99, .frame_bytes_max = 1536 };

enum { COPY_BYTES_MAX = 8192 };

static void inside(struct slice whole, struct slice part)
{
    if (part.count == 0)
        return;
    ASSERT(part.bytes >= whole.bytes);
    ASSERT(part.count <= whole.count);
    ASSERT((size_t)(part.bytes - whole.bytes) <= whole.count - part.count);
}

/* What install.c relies on when it walks over numbers, hashes and pages. */
static void fuzz_question(struct slice bytes, const struct checkpoint_request *request)
{
    inside(bytes, request->pages);
    ASSERT(request->pages.count == request->count * sizeof(struct pieces_question));
    ASSERT(request->ask == CHECKPOINT_ASK_PAGES || request->count == 0);
}

/* Whatever the asker has, what came can be put into it, and the same pieces come out again. */
static void fuzz_pages(const struct checkpoint_response *response)
{
    struct slice rest = response->payload;
    for (uint32_t at = 0; at < response->page_count; at++) {
        uint8_t page[PAGE_BYTES_MAX] = { 0 };
        uint8_t again[sizeof(struct pieces_header) + PAGE_BYTES_MAX];
        struct pieces_answer answer;
        struct pieces_answer second;
        struct pieces_question question;
        const uint32_t bytes = pieces_decode(rest, response->page_bytes, &answer);
        ASSERT(bytes > 0 && bytes <= rest.count);
        inside(rest, answer.bytes);
        pieces_patch(&answer, response->page_bytes, page);
        pieces_ask(&question, answer.page, NULL, response->page_bytes);
        const uint32_t used = pieces_encode(&question, page, response->page_bytes, again);
        ASSERT(pieces_decode((struct slice){ .bytes = again, .count = used }, response->page_bytes, &second) == used);
        ASSERT((second.present & ~answer.present) == 0);
        rest = (struct slice){ .bytes = rest.bytes + bytes, .count = rest.count - bytes };
    }
    ASSERT(rest.count == 0);
}

static void fuzz_answer(struct slice bytes, const struct checkpoint_response *response)
{
    inside(bytes, response->payload);
    switch (response->ask) {
    case CHECKPOINT_ASK_OFFER: ASSERT(response->payload.count == 0); return;
    case CHECKPOINT_ASK_HASHES: ASSERT(response->payload.count / sizeof(struct hash128) == response->count); return;
    case CHECKPOINT_ASK_PAGES:
        ASSERT(response->page_count <= response->count);
        fuzz_pages(response);
        return;
    }
    ASSERT(false);
}

static void fuzz_message(struct slice bytes)
{
    struct message message;
    if (message_decode(bytes, &context, &message) != FRAME_OK)
        return;
    ASSERT(message_bytes(&message) == bytes.count);
    uint8_t again[COPY_BYTES_MAX];
    struct message second;
    message_encode(&message, &context, again);
    const struct slice copy = { .bytes = again, .count = bytes.count };
    ASSERT(message_decode(copy, &context, &second) == FRAME_OK);
    ASSERT(second.type == message.type && second.term == message.term);
    if (message.type == FRAME_CHECKPOINT_REQUEST)
        fuzz_question(bytes, &message.checkpoint_request);
    if (message.type == FRAME_CHECKPOINT_RESPONSE)
        fuzz_answer(bytes, &message.checkpoint_response);
    if (message.type != FRAME_APPEND_REQUEST)
        return;
    struct slice rest = message.append_request.entries;
    inside(bytes, rest);
    for (uint32_t i = 0; i < message.append_request.entry_count; i++) {
        struct entry entry;
        const uint32_t used = entry_decode(rest, &entry);
        ASSERT(used > 0 && used <= rest.count);
        rest = (struct slice){ .bytes = rest.bytes + used, .count = rest.count - used };
    }
    ASSERT(rest.count == 0);
}

static void fuzz_txn(struct slice bytes)
{
    uint32_t offset = 0;
    struct txn_clause clause;
    while (offset < bytes.count) {
        const uint32_t before = offset;
        if (!txn_clause_decode(bytes, &offset, &clause))
            return;
        ASSERT(offset > before && offset <= bytes.count);
        ASSERT(txn_clause_bytes(&clause) == offset - before);
        inside(bytes, clause.key);
        inside(bytes, clause.value);
    }
}

static void fuzz_command(struct slice bytes)
{
    struct request request;
    if (!command_decode(bytes, &limits_tiny, &request))
        return;
    inside(bytes, request.key);
    inside(bytes, request.value);
    ASSERT(command_bytes(&request) == bytes.count);
    uint8_t again[COPY_BYTES_MAX];
    command_encode(&request, again);
    ASSERT(memcmp(again, bytes.bytes, bytes.count) == 0);
    if (request.kind == REQUEST_TXN)
        fuzz_txn(request.value);
}

static void fuzz_request(struct slice bytes)
{
    struct request request;
    enum reply_status status = REPLY_OK;
    if (request_decode(bytes, &context, &limits_tiny, &request, &status) != FRAME_OK || status != REPLY_OK)
        return;
    inside(bytes, request.key);
    inside(bytes, request.value);
    ASSERT(request_bytes(&request) == bytes.count);
    uint8_t body[COPY_BYTES_MAX];
    command_encode(&request, body);
    if (request.kind <= REQUEST_TXN)
        ASSERT(
            command_decode((struct slice){ .bytes = body, .count = command_bytes(&request) }, &limits_tiny, &request));
}

static void fuzz_reply(struct slice bytes)
{
    struct reply reply;
    if (reply_decode(bytes, 1536, &reply) != FRAME_OK)
        return;
    inside(bytes, reply.value);
    ASSERT(reply_bytes(&reply) == bytes.count);
}

static void fuzz_entry(struct slice bytes)
{
    struct entry entry;
    const uint32_t used = entry_decode(bytes, &entry);
    if (used == 0)
        return;
    ASSERT(used <= bytes.count && used == entry_bytes(entry.body.count));
    inside(bytes, entry.body);
    uint8_t again[COPY_BYTES_MAX];
    entry_encode(&entry, again);
    fuzz_command(entry.body);
}

/* Makes the length, the checksum and the envelope right, so that the fuzzer reaches what lies behind them. */
static void reseal(uint8_t *frame, uint32_t count, bool client)
{
    struct frame_header header;
    if (count < sizeof header)
        return;
    memcpy(&header, frame, sizeof header);
    header.frame_bytes = count;
    header.version = WIRE_VERSION;
    header.cluster_id = client ? 0 : context.cluster_id;
    header.fingerprint = client ? 0 : context.fingerprint;
    if (client) {
        header.from = 0;
        header.term = 0;
    }
    memcpy(frame, &header, sizeof header);
    header.checksum = checksum64(frame + sizeof header.checksum, count - sizeof header.checksum, 0);
    memcpy(frame, &header, sizeof header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 4096)
        return 0;
    const uint8_t choice = data[0];
    /* Exactly as large as what is decoded: ASan sees a read past the end. */
    uint8_t *copy = malloc(size - 1 > 0 ? size - 1 : 1);
    if (copy == NULL)
        return 0;
    memcpy(copy, data + 1, size - 1);
    const struct slice bytes = { .bytes = copy, .count = (uint32_t)(size - 1) };
    if (choice & 0x80)
        reseal(copy, bytes.count, (choice & 7) == 1 || (choice & 7) == 2);
    switch (choice & 7) {
    case 0: fuzz_message(bytes); break;
    case 1: fuzz_request(bytes); break;
    case 2: fuzz_reply(bytes); break;
    case 3: fuzz_entry(bytes); break;
    case 4: fuzz_command(bytes); break;
    default: fuzz_txn(bytes); break;
    }
    free(copy);
    return 0;
}

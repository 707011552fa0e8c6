/* Fuzzer of recordings: any bytes as a record, as a header, as a trailer, and a whole file whose records are taken from
 * the input, with checksums that hold as often as not.
 *
 * Decoders must be total: no read beyond the bytes, no assertion, and what was decoded encodes to as many bytes. A
 * file must come to an end: same, different or broken.
 *
 * The records of a file that hold are those of a life that was lived, with damages of what no checksum keeps: bytes
 * that are cut, doubled, or of another place. */
#include "../core/recording.h"
#include "../sim/playback.h"

#include "node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

_Noreturn void core_assert_failed(const char *expression, const char *file, int line)
{
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, expression);
    abort();
}

enum { HALF_BYTES = 2 * RECORDING_CHUNK_BYTES, FILE_BYTES = 2 * HALF_BYTES, LIFE = 1 };

static uint8_t *file;     /* of a life */
static uint64_t file_end; /* of its records */
static uint64_t file_digest = RECORDING_DIGEST_START;

static void fed(struct node *node, const struct input *input)
{
    const struct recording_place place = { LIFE, 0, file_end };
    file_end += recording_encode(input, recording_form(node->replica, input), file_digest, &place, file + file_end);
}

static void shown(struct node *node) { file_digest = recording_mix(file_digest, &node->output); }

static void live(void)
{
    const struct replica_config config = node_config(1);
    struct node *node = node_new(&limits_tiny, &config, node_voters(1));
    struct recording_header header = {
        .life = LIFE,
        .half_bytes = HALF_BYTES,
        .digest = RECORDING_DIGEST_START,
        .region_bytes = replica_bytes(&limits_tiny),
        .config = config,
        .limits = limits_tiny,
    };
    file = calloc(1, FILE_BYTES);
    if (file == NULL)
        abort();
    recording_header_encode(&header, file);
    file_end = RECORDING_HEADER_BYTES;
    node->fed = fed;
    node->shown = shown;
    node_start(node);
    node_settle(node);
    for (uint32_t tick = 0; tick < 20; tick++) {
        node_tick(node, 50 * 1000 * 1000);
        node_settle(node);
    }
    node_free(node);
}

static void decode_any(const uint8_t *data, uint32_t size)
{
    const struct recording_place place = { LIFE, 0, 0 };
    struct recorded recorded;
    struct recording_header header;
    struct recording_trailer trailer;
    uint8_t again[8192];
    const uint32_t bytes = recording_decode((struct slice){ data, size }, &place, &recorded);
    if (bytes > size)
        abort();
    if (bytes > 0 && bytes <= sizeof again && recorded.kind <= INPUT_DISK
        && (recording_encode(&recorded.input, recorded.form, recorded.digest, &place, again) != bytes
            || recording_bytes(&recorded.input, recorded.form) != bytes))
        abort();
    memset(&header, 0, sizeof header);
    recording_header_decode((struct slice){ data, size }, &header);
    recording_trailer_decode((struct slice){ data, size }, &header, &trailer);
}

/* Pairs of place and length: the bytes there are replaced by those that stand a little further on. */
static void play_altered(const uint8_t *data, size_t size)
{
    struct playback_source source;
    char error[PLAYBACK_ERROR_BYTES];
    uint8_t *altered = malloc(FILE_BYTES);
    if (altered == NULL)
        abort();
    memcpy(altered, file, FILE_BYTES);
    for (size_t at = 0; at + 4 <= size; at += 4) {
        const uint64_t place =
            RECORDING_HEADER_BYTES + ((uint64_t)data[at] << 8 | data[at + 1]) * 8 % (file_end + 4096);
        const uint64_t count = data[at + 2] * 8ULL, from = place + data[at + 3] * 8ULL;
        memmove(altered + place, altered + from, count);
    }
    playback_image(&source, altered, FILE_BYTES);
    struct playback *playback = playback_open(&source, NULL, error);
    if (playback == NULL)
        abort(); /* its header is as it was */
    while (playback_next(playback) == PLAYBACK_STEP)
        continue;
    playback_close(playback);
    free(altered);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (file == NULL)
        live();
    if (size < 1)
        return 0;
    if (data[0] % 4 != 0) {
        decode_any(data + 1, (uint32_t)size - 1);
        return 0;
    }
    play_altered(data + 1, size - 1);
    return 0;
}

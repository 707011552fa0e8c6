/* What a node's log says when the same thing happens a thousand times: the first time at once, the rest as a count. */
#include <fcntl.h>
#include <unistd.h>

#include "../core/message.h"
#include "../io/clock.h"
#include "../io/node.h"
#include "../io/node_log.h"

#include "directory.h"
#include "node.h"

enum { TEXT_BYTES = 64 * 1024 };

static char text[TEXT_BYTES];
static int error_fd = -1;

/* What goes to standard error goes into a file. */
static void capture_begin(void)
{
    directory_new();
    const int fd = open(in_directory("log"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    EXPECT(fd >= 0);
    error_fd = dup(STDERR_FILENO);
    EXPECT(error_fd >= 0 && dup2(fd, STDERR_FILENO) >= 0);
    close(fd);
}

/* The lines since the last call that contain `part`. */
static uint32_t capture_count(const char *part)
{
    uint32_t lines = 0;
    const int fd = open(in_directory("log"), O_RDONLY | O_CLOEXEC);
    const ssize_t count = pread(fd, text, sizeof text - 1, 0);
    text[count > 0 ? count : 0] = '\0';
    close(fd);
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at, part)) {
        const char *end = strchr(at, '\n');
        EXPECT(end != NULL);
        at = end;
        lines++;
    }
    EXPECT_EQUAL(ftruncate(STDERR_FILENO, 0), 0);
    EXPECT_EQUAL(lseek(STDERR_FILENO, 0, SEEK_SET), 0);
    return lines;
}

static void capture_end(void)
{
    EXPECT(dup2(error_fd, STDERR_FILENO) >= 0);
    close(error_fd);
    directory_remove(directory);
}

static void mended(struct node_log *log, uint32_t count, uint64_t now_ns)
{
    struct event events[100];
    const struct output output = { .events = events, .event_count = count, .event_max = 100 };
    ASSERT(count <= 100);
    for (uint32_t at = 0; at < count; at++)
        events[at] = (struct event){ .kind = EVENT_SCRUB_MENDED, .a = DEVICE_DATA, .b = 4096 * (at + 1) };
    node_log_events(log, &output, now_ns);
}

TEST(blocks_that_are_mended_by_the_thousand_are_a_line_a_second)
{
    struct node_log log = { .ready = true };
    capture_begin();
    mended(&log, 1, 5 * NS_PER_S);
    EXPECT_EQUAL(capture_count("scrub-mended device=data offset=4096\n"), 1);
    for (uint32_t turn = 1; turn < 10; turn++) {
        mended(&log, 100, 5 * NS_PER_S + turn * NS_PER_S / 10);
        node_log_turn(&log, 5 * NS_PER_S + turn * NS_PER_S / 10, false);
    }
    EXPECT_EQUAL(capture_count("scrub-mended"), 0);
    node_log_turn(&log, 6 * NS_PER_S, false);
    EXPECT_EQUAL(capture_count("scrub-mended device=data offset=409600 count=900\n"), 1);
    mended(&log, 3, 6 * NS_PER_S + 1);
    node_log_turn(&log, 6 * NS_PER_S + 2, true);
    EXPECT_EQUAL(capture_count("scrub-mended device=data offset=12288 count=3\n"), 1);
    node_log_turn(&log, 9 * NS_PER_S, false);
    EXPECT_EQUAL(capture_count("scrub-mended"), 0);
    capture_end();
}

/* ---- refusals ---- */

struct scene {
    struct node *node;
    struct node_options options;
    struct node_log log;
    uint8_t frame[512];
};

static void scene_begin(struct scene *scene)
{
    const struct replica_config config = node_config(1);
    scene->node = node_new(&limits_tiny, &config, node_voters(3));
    node_start(scene->node);
    node_settle(scene->node);
    scene->options =
        (struct node_options){ .limits = &scene->node->limits, .config = &scene->node->config, .data_path = "DIR" };
    scene->log = (struct node_log){ .options = &scene->options, .replica = scene->node->replica };
    capture_begin();
}

static void scene_end(struct scene *scene)
{
    capture_end();
    node_free(scene->node);
}

/* Node `from` of another cluster refuses a frame of this one. */
static struct slice refusal(struct scene *scene, uint64_t from, enum frame_verdict reason)
{
    struct frame_context context = node_context(scene->node);
    const struct message message = {
        .type = FRAME_REFUSAL, .from = from, .to = 1, .instance = 5, .refusal = { .reason = reason, .instance = 1001 }
    };
    context.cluster_id = 4711;
    ASSERT(message_bytes(&message) <= sizeof scene->frame);
    message_encode(&message, &context, scene->frame);
    return (struct slice){ scene->frame, message_bytes(&message) };
}

TEST(who_is_of_another_cluster_is_said_once_a_minute_for_each_peer_with_both_ids_and_the_flag)
{
    struct scene scene;
    scene_begin(&scene);
    for (uint64_t ms = 0; ms < 50000; ms += 100)
        for (uint64_t from = 2; from <= 3; from++)
            node_log_refusal(&scene.log, refusal(&scene, from, FRAME_WRONG_CLUSTER), "h:1", (1000 + ms) * NS_PER_MS);
    EXPECT_EQUAL(capture_count("refused-by-peer peer="), 2);
    node_log_refusal(&scene.log, refusal(&scene, 2, FRAME_WRONG_CLUSTER), "h:1", 61 * NS_PER_S);
    EXPECT_EQUAL(
        capture_count("its_cluster=4711 cluster=7 cause=\"wrong cluster id: this directory is new, and was "
                      "made for cluster 7, but node 2 is of cluster 4711: remove DIR and start this node again "
                      "with --rejoin --cluster-id 4711\""),
        1);
    /* The same peer's own frames say nothing new. */
    node_log_refused(&scene.log, FRAME_WRONG_CLUSTER, refusal(&scene, 2, FRAME_WRONG_CLUSTER), "h:1", 62 * NS_PER_S);
    EXPECT_EQUAL(capture_count("refused"), 0);
    scene_end(&scene);
}

TEST(frames_from_any_number_of_strangers_are_no_flood)
{
    struct scene scene;
    scene_begin(&scene);
    for (uint64_t from = 2; from < 1000; from++)
        node_log_refused(&scene.log, FRAME_WRONG_CLUSTER, refusal(&scene, from, FRAME_WRONG_CLUSTER), "h:1", NS_PER_S);
    EXPECT_EQUAL(capture_count("frame-refused"), MEMBERS_MAX);
    scene_end(&scene);
}

TEST(a_node_is_foreign_when_most_others_have_said_so_for_long_enough)
{
    struct scene scene;
    scene_begin(&scene);
    node_log_refusal(&scene.log, refusal(&scene, 2, FRAME_WRONG_CLUSTER), "h:1", NS_PER_S);
    node_log_refusal(&scene.log, refusal(&scene, 2, FRAME_WRONG_CLUSTER), "h:1", 9 * NS_PER_S);
    EXPECT(!node_log_is_foreign(&scene.log, 5 * NS_PER_S)); /* one of two */
    node_log_refusal(&scene.log, refusal(&scene, 3, FRAME_WRONG_CLUSTER), "h:1", 9 * NS_PER_S);
    EXPECT(!node_log_is_foreign(&scene.log, 5 * NS_PER_S)); /* it has not said so for long */
    node_log_refused(&scene.log, FRAME_WRONG_CLUSTER, refusal(&scene, 3, FRAME_WRONG_CLUSTER), "h:1", 20 * NS_PER_S);
    EXPECT(!node_log_is_foreign(&scene.log, 5 * NS_PER_S)); /* that was this node's opinion */
    node_log_refusal(&scene.log, refusal(&scene, 3, FRAME_WRONG_CLUSTER), "h:1", 14 * NS_PER_S);
    EXPECT(node_log_is_foreign(&scene.log, 5 * NS_PER_S));
    scene_end(&scene);
}

TEST_MAIN()

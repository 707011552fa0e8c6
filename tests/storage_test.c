/* Real nodes and what disks do to them: logs that wrap, checkpoints, blocks that rot while a node is down and while it
 * runs, and a snapshot that outlives its cluster. Whatever was acknowledged is read back with the right bytes. */
#include <stdatomic.h>

#include "../core/prng.h"
#include "../core/store.h"
#include "../io/client.h"
#include "process.h"

enum {
    WRITERS = 4,
    VALUE_BYTES_MAX = 3000,
    SAMPLES_MAX = 2000,
    BLOCK = 4096,
    PATIENCE_MS = 30000,
    /* Of a load without an end. A log of 16 MiB holds a checkpoint for who pulls it for half of its length only: from a
     * fast machine nobody would ever have got it. */
    LOAD_PAUSE_MS = 3,
    /* of --wal-size=16M */
    WAL_BLOCKS = 4096,
    WAL_NAMES = 1024, /* behind the superblocks */
    WAL_BODY = WAL_NAMES + 2048,
};

/* ---- load ---- */

/* Key n is written once, with a value that n determines. Each writer has every WRITERS-th number. */
struct load {
    const struct cluster *cluster;
    uint32_t end; /* no number from here on; 0: until told to stop */
    atomic_bool stopping;
    atomic_uint next[WRITERS]; /* all numbers of this writer below it are acknowledged */
    pthread_t threads[WRITERS];
};

struct writer {
    struct load *load;
    uint32_t slot;
};

static uint32_t value_of(uint32_t number, uint8_t value[VALUE_BYTES_MAX])
{
    const uint32_t bytes = 100 + number * 131 % (VALUE_BYTES_MAX - 100);
    for (uint32_t at = 0; at < bytes; at++)
        value[at] = (uint8_t)(number * 7 + at * 13 + (at >> 7));
    return bytes;
}

static struct slice key_of(uint32_t number, char text[16])
{
    snprintf(text, 16, "key%08u", number % 100000000);
    return client_text(text);
}

static void *writer_main(void *argument)
{
    const struct writer writer = *(struct writer *)argument;
    struct load *load = writer.load;
    atomic_uint *next = &load->next[writer.slot];
    free(argument);
    struct client *client = cluster_client(load->cluster, PATIENCE_MS);
    while (!load->stopping && (load->end == 0 || *next < load->end)) {
        char key[16];
        uint8_t value[VALUE_BYTES_MAX];
        const struct slice bytes = { value, value_of(*next, value) };
        const struct client_result result = client_put(client, key_of(*next, key), bytes);
        if (result.outcome != CLIENT_OK) {
            printf("%s: %s: %s\n", key, client_outcome_text(result.outcome), client_error_text(client));
            break;
        }
        *next += WRITERS;
        if (load->end == 0)
            sleep_ms(LOAD_PAUSE_MS);
    }
    client_close(client);
    return NULL;
}

/* Goes on behind what it has written before. */
static void load_start(struct load *load, uint32_t end)
{
    load->end = end;
    load->stopping = false;
    for (uint32_t slot = 0; slot < WRITERS; slot++) {
        struct writer *writer = malloc(sizeof *writer);
        ASSERT(writer != NULL);
        *writer = (struct writer){ .load = load, .slot = slot };
        ASSERT(pthread_create(&load->threads[slot], NULL, writer_main, writer) == 0);
    }
}

static void load_join(struct load *load)
{
    for (uint32_t slot = 0; slot < WRITERS; slot++)
        ASSERT(pthread_join(load->threads[slot], NULL) == 0);
}

static void load_init(struct load *load, const struct cluster *cluster)
{
    *load = (struct load){ .cluster = cluster };
    for (uint32_t slot = 0; slot < WRITERS; slot++)
        load->next[slot] = slot;
}

static uint32_t load_count(const struct load *load)
{
    uint32_t count = 0;
    for (uint32_t slot = 0; slot < WRITERS; slot++)
        count += (load->next[slot] - slot) / WRITERS;
    return count;
}

static void load_run(struct load *load, uint32_t keys)
{
    const uint32_t before = load_count(load);
    load_start(load, before + keys);
    load_join(load);
    EXPECT_EQUAL(load_count(load), before + keys);
}

/* Reads from the whole range of what was acknowledged. */
static void verify(const struct cluster *cluster, const struct load *load)
{
    struct client *client = cluster_client(cluster, PATIENCE_MS);
    const uint32_t stride = load_count(load) / SAMPLES_MAX + 1;
    for (uint32_t slot = 0; slot < WRITERS; slot++) {
        for (uint32_t number = slot; number < load->next[slot]; number += WRITERS * stride) {
            char key[16];
            uint8_t value[VALUE_BYTES_MAX];
            const uint32_t bytes = value_of(number, value);
            const struct client_result result = client_get(client, key_of(number, key));
            if (result.outcome != CLIENT_OK)
                printf("%s: %s: %s\n", key, client_outcome_text(result.outcome), client_error_text(client));
            EXPECT_EQUAL(result.outcome, CLIENT_OK);
            EXPECT_EQUAL(result.value.count, bytes);
            EXPECT(memcmp(result.value.bytes, value, bytes) == 0);
        }
    }
    client_close(client);
}

/* ---- nodes ---- */

static struct node_status status_of(const struct cluster *cluster, uint32_t slot)
{
    struct node_status status = { .node_id = 0 };
    struct client *client = cluster_client(cluster, 500);
    const struct client_result result = client_status(client, slot, &status);
    if (result.outcome != CLIENT_OK)
        status.node_id = 0;
    client_close(client);
    return status;
}

/* Until the node has nothing to repair, votes, and has caught up with where the cluster is now: before that, the loss
 * of another node would be the second of three. */
static void await_whole(const struct cluster *cluster, uint32_t slot)
{
    const uint32_t leader = cluster_leader(cluster, PATIENCE_MS);
    EXPECT(leader < cluster->node_count);
    const uint64_t index = status_of(cluster, leader).commit_index;
    const uint64_t deadline_ns = clock_now_ns() + PATIENCE_MS * NS_PER_MS;
    struct node_status status = { .node_id = 0 };
    bool whole = false;
    while (!whole && clock_now_ns() < deadline_ns) {
        status = status_of(cluster, slot);
        whole = status.node_id != 0 && status.store_state == STORE_READY && status.pages_wanted == 0 && !status.abstains
                && status.applied_index >= index;
        if (!whole)
            sleep_ms(20);
    }
    if (!whole)
        printf("node %u: store state %u, %llu pages wanted, applied %llu, behind %llu%s\n", slot + 1,
               status.store_state, (unsigned long long)status.pages_wanted, (unsigned long long)status.applied_index,
               (unsigned long long)index, status.abstains ? ", abstains" : "");
    EXPECT(whole);
}

static void expect_clean(struct cluster *cluster)
{
    for (uint32_t slot = 0; slot < cluster->node_count; slot++) {
        if (cluster->pid[slot] != 0)
            EXPECT_EQUAL(cluster_kill(cluster, slot, SIGTERM), 0);
        const struct process_result result = RUN("raftd", "inspect", cluster->data[slot]);
        if (result.status != 0)
            printf("inspect of node %u: %s%s\n", slot + 1, result.out, result.error);
        EXPECT_EQUAL(result.status, 0);
        EXPECT(strstr(result.out, "DAMAGED") == NULL && strstr(result.out, "LOST") == NULL);
    }
}

static void begin(struct cluster *cluster, struct load *load)
{
    process_begin();
    cluster_init(cluster, 3);
    cluster->flags[0] = "--wal-size=16M";
    cluster_start_all(cluster);
    EXPECT(cluster_leader(cluster, PATIENCE_MS) < 3);
    load_init(load, cluster);
}

/* ---- rot ---- */

/* Overwrites blocks with what they never held, past the page cache as the node does it. */
static void rot(const struct cluster *cluster, uint32_t slot, const char *name, uint64_t first, uint64_t end,
                uint32_t count, struct prng *prng)
{
    char path[PATH_BYTES + 8];
    static _Alignas(BLOCK) uint8_t noise[BLOCK];
    snprintf(path, sizeof path, "%s/%s", cluster->data[slot], name);
    const int fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
    EXPECT(fd >= 0);
    ASSERT(getrandom(noise, 256, 0) == 256);
    for (uint32_t done = 0; done < count; done++) {
        const uint64_t block = first + prng_below(prng, end - first);
        EXPECT_EQUAL(pwrite(fd, noise, sizeof noise, (off_t)(block * BLOCK)), BLOCK);
    }
    close(fd);
}

/* Where the last block that was ever written ends. */
static uint64_t data_blocks(const struct cluster *cluster, uint32_t slot)
{
    char path[PATH_BYTES + 8];
    snprintf(path, sizeof path, "%s/data", cluster->data[slot]);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    EXPECT(fd >= 0);
    off_t end = 0;
    for (off_t data = lseek(fd, 0, SEEK_DATA); data >= 0; data = lseek(fd, end, SEEK_DATA))
        end = lseek(fd, data, SEEK_HOLE);
    close(fd);
    return (uint64_t)end / BLOCK;
}

static void rot_everywhere(const struct cluster *cluster, uint32_t slot, uint32_t count, struct prng *prng)
{
    rot(cluster, slot, "wal", WAL_BODY, WAL_BLOCKS, count, prng);
    rot(cluster, slot, "wal", WAL_NAMES, WAL_BODY, 1, prng);
    const uint64_t blocks = data_blocks(cluster, slot);
    if (blocks > 2)
        rot(cluster, slot, "data", 1, blocks, count, prng);
}

/* ---- claims ---- */

TEST(a_log_that_wraps_loses_nothing_when_all_nodes_are_killed)
{
    struct cluster cluster;
    struct load load;
    begin(&cluster, &load);
    for (uint32_t round = 0; round < 2; round++) {
        load_run(&load, 8000); /* three times what the ring holds */
        for (uint32_t slot = 0; slot < 3; slot++) {
            await_whole(&cluster, slot);
            const struct node_status status = status_of(&cluster, slot);
            EXPECT(status.first_index > 4000);
            EXPECT(status.checkpoint.index >= status.first_index - 1);
            /* Checkpoint after checkpoint goes into what earlier ones have left. */
            EXPECT(data_blocks(&cluster, slot) < 3 * status.store_bytes_used / BLOCK + 1024);
        }
        for (uint32_t slot = 0; slot < 3; slot++)
            cluster_kill(&cluster, slot, SIGKILL);
        cluster_start_all(&cluster);
        verify(&cluster, &load);
        EXPECT(cluster_agrees(&cluster, PATIENCE_MS));
    }
    expect_clean(&cluster);
    process_end();
}

TEST(a_node_that_was_down_too_long_for_the_log_gets_the_checkpoint)
{
    struct cluster cluster;
    struct load load;
    begin(&cluster, &load);
    load_run(&load, 2000);
    cluster_kill(&cluster, 2, SIGKILL);
    load_run(&load, 8000);
    const uint32_t leader = cluster_leader(&cluster, PATIENCE_MS);
    EXPECT(status_of(&cluster, leader).first_index > 4000);
    load_start(&load, 0);
    cluster_start(&cluster, 2);
    await_whole(&cluster, 2);
    load.stopping = true;
    load_join(&load);
    EXPECT(status_of(&cluster, 2).first_index > 4000);
    EXPECT(cluster_agrees(&cluster, PATIENCE_MS));
    verify(&cluster, &load);
    expect_clean(&cluster);
    process_end();
}

TEST(what_rots_while_a_node_is_down_is_repaired_by_its_peers)
{
    struct cluster cluster;
    struct load load;
    struct prng prng;
    prng_seed(&prng, 11);
    begin(&cluster, &load);
    load_run(&load, 6000);
    for (uint32_t round = 0; round < 6; round++) {
        const uint32_t slot = round % 3;
        cluster_kill(&cluster, slot, SIGKILL);
        rot_everywhere(&cluster, slot, 40, &prng);
        rot(&cluster, slot, "wal", round % 4 * 256, round % 4 * 256 + 1, 1, &prng); /* a superblock copy */
        load_run(&load, 200);
        cluster_start(&cluster, slot);
        await_whole(&cluster, slot);
        EXPECT_EQUAL(cluster_find_dead(&cluster), 3);
    }
    verify(&cluster, &load);
    EXPECT(cluster_agrees(&cluster, PATIENCE_MS));
    expect_clean(&cluster);
    process_end();
}

/* With strict naming: what is acknowledged is named, too, so that rot of the newest batch is never taken for a torn
 * one. */
TEST(what_rots_under_load_is_never_served_and_repaired_in_time)
{
    struct cluster cluster;
    struct load load;
    struct prng prng;
    prng_seed(&prng, 12);
    process_begin();
    cluster_init(&cluster, 3);
    cluster.flags[0] = "--wal-size=16M";
    cluster.flags[1] = "--naming=strict";
    cluster_start_all(&cluster);
    EXPECT(cluster_leader(&cluster, PATIENCE_MS) < 3);
    load_init(&load, &cluster);
    load_start(&load, 0);
    for (uint32_t round = 0; round < 6; round++) {
        const uint32_t slot = round % 3;
        for (uint32_t burst = 0; burst < 10; burst++) {
            rot_everywhere(&cluster, slot, 4, &prng);
            sleep_ms(40);
        }
        cluster_kill(&cluster, slot, SIGKILL);
        sleep_ms(200);
        cluster_start(&cluster, slot);
        await_whole(&cluster, slot);
        EXPECT_EQUAL(cluster_find_dead(&cluster), 3);
    }
    load.stopping = true;
    load_join(&load);
    printf("%u keys written meanwhile\n", load_count(&load));
    EXPECT(load_count(&load) > 1000);
    verify(&cluster, &load);
    EXPECT(cluster_agrees(&cluster, PATIENCE_MS));
    process_end();
}

TEST(a_snapshot_saved_under_load_is_restored_into_a_new_cluster)
{
    struct cluster cluster, restored;
    struct load load, saved;
    char file[PATH_BYTES];
    begin(&cluster, &load);
    load_run(&load, 4000);
    load_start(&load, 0);
    sleep_ms(200);
    load_init(&saved, &restored);
    for (uint32_t slot = 0; slot < WRITERS; slot++)
        saved.next[slot] = atomic_load(&load.next[slot]); /* what is acknowledged now must be in the file */
    snprintf(file, sizeof file, "%s/snapshot", process_root);
    struct process_result result = RUN("raftctl", "--endpoints", cluster.endpoints, "--json", "snapshot", "save", file);
    load.stopping = true;
    load_join(&load);
    if (result.status != 0)
        printf("%s%s\n", result.out, result.error);
    EXPECT_EQUAL(result.status, 0);
    EXPECT(strstr(result.out, "\"outcome\": \"ok\"") != NULL);
    EXPECT(load_count(&load) > load_count(&saved));
    verify(&cluster, &load);
    for (uint32_t slot = 0; slot < 3; slot++)
        cluster_kill(&cluster, slot, SIGKILL);

    cluster_init(&restored, 3);
    restored.flags[0] = "--wal-size=16M";
    for (uint32_t slot = 0; slot < 3; slot++) {
        char id[4];
        snprintf(id, sizeof id, "%u", slot % 8 + 1);
        snprintf(restored.data[slot], PATH_BYTES, "%s/restored%u", process_root, slot + 1);
        result = RUN("raftd", "restore", file, restored.data[slot], "--id", id, "--cluster", restored.members,
                     "--wal-size=16M", slot == 1 ? "--json" : "--unsafe-buffered");
        if (result.status != 0)
            printf("%s%s\n", result.out, result.error);
        EXPECT_EQUAL(result.status, 0);
        EXPECT(strstr(result.out, slot == 1 ? "\"node_id\": 2,\n" : "restored ") != NULL);
    }
    cluster_start_all(&restored);
    verify(&restored, &saved);
    EXPECT(cluster_agrees(&restored, PATIENCE_MS));
    for (uint32_t slot = 0; slot < WRITERS; slot++)
        saved.next[slot] = 100000 + slot;
    load_start(&saved, 100400); /* and it takes new ones */
    load_join(&saved);
    for (uint32_t slot = 0; slot < WRITERS; slot++)
        EXPECT_EQUAL(saved.next[slot], 100400 + slot);
    EXPECT(cluster_agrees(&restored, PATIENCE_MS));
    for (uint32_t slot = 0; slot < 3; slot++)
        EXPECT(!cluster_log_says(&restored, slot, "cluster-differs", 0));
    expect_clean(&restored);
    process_end();
}

TEST_MAIN()

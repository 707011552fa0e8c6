/* Snapshot files and what is restored from them: no byte of a file can change unnoticed, and two nodes restored from
 * one file have equal stores. The pages are made up here; real ones come from real clusters in storage_test.c. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "../core/prng.h"
#include "../io/restore.h"
#include "../io/survey.h"

#include "directory.h"
#include "test.h"

enum { PAGES = 300, CLUSTER = 7, WAL_BYTES = 16 << 20 };

static uint8_t page_bytes[4096];

/* Which pages exist: the first, the last possible, and some between, over several map blocks. */
static uint32_t page_number(uint32_t position)
{
    if (position == PAGES - 1)
        return limits_production.pages_max - 1;
    return position * 97;
}

static const uint8_t *page_content(uint32_t page, uint32_t version)
{
    for (uint32_t at = 0; at < sizeof page_bytes; at++)
        page_bytes[at] = (uint8_t)(page * 31 + at * 7 + version * 101 + (at >> 8));
    return page_bytes;
}

static struct page_map map;

static void put(struct snapshot_writer *writer, uint32_t page, uint32_t version)
{
    const uint8_t *content = page_content(page, version);
    map.levels[0][page].hash = page_map_hash(&map, content);
    EXPECT(snapshot_put(writer, page, map.levels[0][page].hash, content));
}

static void drop(struct snapshot_writer *writer, uint32_t page)
{
    map.levels[0][page].hash = (struct hash128){ .low = 0 };
    EXPECT(snapshot_drop(writer, page));
}

static struct snapshot_header header_of_map(void)
{
    struct snapshot_header header = {
        .cluster_id = CLUSTER,
        .fingerprint = limits_fingerprint(&limits_production),
        .page_bytes = limits_production.page_bytes,
        .pages_max = limits_production.pages_max,
        .id = { .term = 3, .index = 1000 },
    };
    header.checkpoint = checkpoint_hash(header.id, page_map_roll_up(&map));
    return header;
}

/* A file as a save under load writes it: pages come, change, and go again. */
static void file_write(const char *path)
{
    struct snapshot_writer writer;
    EXPECT(page_map_open(&map, &limits_production, CLUSTER));
    EXPECT(snapshot_create(&writer, path, &limits_production));
    for (uint32_t position = 0; position < PAGES; position++)
        put(&writer, page_number(position), 1);
    for (uint32_t position = 0; position < PAGES; position += 3)
        put(&writer, page_number(position), 2);
    for (uint32_t position = 0; position < PAGES; position += 7)
        drop(&writer, page_number(position));
    drop(&writer, page_number(PAGES - 1)); /* the last record itself */
    drop(&writer, page_number(PAGES - 1)); /* one that is not there */
    put(&writer, page_number(7), 3);
    put(&writer, page_number(PAGES - 1), 3);
    struct snapshot_header header = header_of_map();
    EXPECT(snapshot_finish(&writer, &header));
    snapshot_close(&writer);
    page_map_close(&map);
}

static void text_copy(char *to, size_t bytes, const char *from) { snprintf(to, bytes, "%s", from); }

TEST(a_snapshot_file_is_read_back_as_it_was_written)
{
    char path[160];
    directory_new();
    text_copy(path, sizeof path, in_directory("snapshot"));
    file_write(path);
    EXPECT(access(in_directory("snapshot.new"), F_OK) != 0);
    struct snapshot_reader reader;
    EXPECT(snapshot_open(&reader, path, &limits_production));
    EXPECT_EQUAL(reader.header.id.index, 1000);
    uint32_t seen = 0;
    for (uint64_t slot = 0; slot < reader.header.page_count; slot++) {
        uint32_t page;
        const uint8_t *content = snapshot_get(&reader, slot, &page);
        EXPECT(content != NULL);
        const bool last = page == limits_production.pages_max - 1;
        const uint32_t position = last ? PAGES - 1 : page / 97;
        EXPECT_EQUAL(page_number(position), page);
        EXPECT(last || position == 7 || position % 7 != 0);
        const uint32_t version = last || position == 7 ? 3 : position % 3 == 0 ? 2 : 1;
        EXPECT(memcmp(content, page_content(page, version), sizeof page_bytes) == 0);
        seen++;
    }
    EXPECT_EQUAL(seen, PAGES - (PAGES + 6) / 7 + 1);
    snapshot_release(&reader);
    struct snapshot_writer writer;
    EXPECT(!snapshot_create(&writer, path, &limits_production));
    EXPECT(strstr(writer.error, "exists already") != NULL);
    snapshot_close(&writer);
    directory_remove(directory);
}

TEST(an_unfinished_snapshot_leaves_no_file)
{
    struct snapshot_writer writer;
    char path[160];
    directory_new();
    text_copy(path, sizeof path, in_directory("snapshot"));
    EXPECT(page_map_open(&map, &limits_production, CLUSTER));
    EXPECT(snapshot_create(&writer, path, &limits_production));
    put(&writer, 5, 1);
    /* Nobody else may read it, and what somebody else is writing is left alone. */
    struct snapshot_writer other;
    struct stat status;
    EXPECT(stat(in_directory("snapshot.new"), &status) == 0 && (status.st_mode & 0777) == 0600);
    EXPECT(!snapshot_create(&other, path, &limits_production));
    EXPECT(strstr(other.error, "snapshot.new: exists") != NULL);
    snapshot_close(&other);
    EXPECT(access(in_directory("snapshot.new"), F_OK) == 0);
    snapshot_close(&writer);
    EXPECT(access(path, F_OK) != 0);
    EXPECT(access(in_directory("snapshot.new"), F_OK) != 0);
    EXPECT(!snapshot_create(&other, "-", &limits_production));
    snapshot_close(&other);
    /* One whose pages are not those of its checkpoint never gets its name. */
    EXPECT(snapshot_create(&writer, path, &limits_production));
    put(&writer, 5, 1);
    struct snapshot_header header = header_of_map();
    put(&writer, 6, 1);
    EXPECT(!snapshot_finish(&writer, &header));
    EXPECT(strstr(writer.error, "not those of the checkpoint") != NULL);
    snapshot_close(&writer);
    EXPECT(access(path, F_OK) != 0);
    page_map_close(&map);
    directory_remove(directory);
}

static void expect_refused(const char *path)
{
    struct snapshot_reader reader;
    EXPECT(!snapshot_open(&reader, path, &limits_production));
    EXPECT(reader.error[0] != '\0');
    snapshot_release(&reader);
}

static void flip_and_expect_refused(const char *path, int fd, uint64_t offset, uint8_t bit)
{
    uint8_t byte;
    EXPECT_EQUAL(pread(fd, &byte, 1, (off_t)offset), 1);
    const uint8_t other = byte ^ bit;
    EXPECT_EQUAL(pwrite(fd, &other, 1, (off_t)offset), 1);
    expect_refused(path);
    EXPECT_EQUAL(pwrite(fd, &byte, 1, (off_t)offset), 1);
}

TEST(no_byte_of_a_snapshot_file_can_change_unnoticed)
{
    char path[160];
    struct stat status;
    struct snapshot_reader reader;
    const uint64_t heads = sizeof(struct snapshot_header) + sizeof(struct snapshot_record);
    directory_new();
    text_copy(path, sizeof path, in_directory("snapshot"));
    file_write(path);
    EXPECT_EQUAL(stat(path, &status), 0);
    const uint64_t size = (uint64_t)status.st_size;
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    struct prng prng;
    prng_seed(&prng, 1);
    for (uint64_t offset = 0; offset < heads; offset++)
        flip_and_expect_refused(path, fd, offset, (uint8_t)(1u << prng_below(&prng, 8)));
    for (uint32_t trial = 0; trial < 100; trial++)
        flip_and_expect_refused(path, fd, prng_below(&prng, size), (uint8_t)(1u << prng_below(&prng, 8)));
    flip_and_expect_refused(path, fd, size - 1, 1);
    EXPECT(snapshot_open(&reader, path, &limits_production)); /* all was put back */
    snapshot_release(&reader);
    for (uint64_t cut = 1; cut < size; cut *= 3) {
        EXPECT_EQUAL(ftruncate(fd, (off_t)(size - cut)), 0);
        expect_refused(path);
    }
    close(fd);
    directory_remove(directory);
}

static struct restore_options options_for(const char *file, const char *path, uint64_t node_id)
{
    struct restore_options options = {
        .file = file,
        .directory = { .path = path, .wal_bytes = WAL_BYTES, .buffered = true },
        .config = { .node_id = node_id, .election_timeout_ns = 100000000, .heartbeat_interval_ns = 20000000 },
    };
    for (uint32_t slot = 0; slot < 3; slot++)
        options.configuration.members[slot] =
            (struct member){ .id = slot + 1, .roles = MEMBER_VOTER, .address = "127.0.0.1:1" };
    return options;
}

/* The pages of device 1, found through the map from the root that the superblock holds, compared with the file's. */
static uint64_t data_compare(const uint8_t *data, struct page_map *stored, uint32_t level, uint32_t at,
                             const struct map_entry *entry, struct snapshot_reader *reader)
{
    const struct limits *limits = &limits_production;
    if (map_entry_is_zero(entry))
        return 0;
    const uint8_t *block = data + (uint64_t)entry->block * limits->page_bytes;
    EXPECT(entry->block > 0 && entry->block < limits->data_blocks);
    if (level == 0) {
        EXPECT(hash128_equal(entry->hash, page_map_hash(stored, block)));
        EXPECT(hash128_equal(reader->map.levels[0][at].hash, page_map_hash(&reader->map, block)));
        return 1;
    }
    EXPECT_EQUAL(entry->checksum, map_block_checksum_in(limits, stored->cluster_id, block, level, at));
    EXPECT(hash128_equal(entry->hash, map_block_hash(limits, block)));
    uint64_t pages = 0;
    for (uint32_t child = 0; child < map_fanout(limits); child++) {
        struct map_entry below;
        memcpy(&below, block + child * sizeof below, sizeof below);
        pages += data_compare(data, stored, level - 1, at * map_fanout(limits) + child, &below, reader);
    }
    return pages;
}

TEST(restored_nodes_are_members_of_a_new_cluster_with_equal_stores)
{
    char file[160], paths[2][160];
    struct restore_result results[2];
    uint8_t *data[2];
    directory_new();
    text_copy(file, sizeof file, in_directory("snapshot"));
    file_write(file);
    for (uint32_t node = 0; node < 2; node++) {
        text_copy(paths[node], sizeof paths[node], in_directory(node == 0 ? "one" : "two"));
        const struct restore_options options = options_for(file, paths[node], node + 1);
        EXPECT(restore_run(&options, &results[node]));
        char name[200];
        snprintf(name, sizeof name, "%s/data", paths[node]);
        const int fd = open(name, O_RDONLY | O_CLOEXEC);
        data[node] = mmap(NULL, limits_data_bytes(&limits_production), PROT_READ, MAP_SHARED, fd, 0);
        EXPECT(data[node] != MAP_FAILED);
        close(fd);
    }
    EXPECT_EQUAL(results[0].cluster_id, results[1].cluster_id);
    EXPECT(results[0].cluster_id != CLUSTER);
    EXPECT(memcmp(&results[0].checkpoint, &results[1].checkpoint, sizeof results[0].checkpoint) == 0);
    EXPECT_EQUAL(results[0].checkpoint.id.index, 1000);
    const uint64_t used = (uint64_t)(results[0].header.page_count + 64) * limits_production.page_bytes;
    EXPECT(memcmp(data[0], data[1], used) == 0);

    struct snapshot_reader reader;
    EXPECT(snapshot_open(&reader, file, &limits_production));
    EXPECT(page_map_open(&map, &limits_production, results[0].cluster_id));
    const struct checkpoint *checkpoint = &results[0].checkpoint;
    EXPECT(hash128_equal(checkpoint->hash, checkpoint_hash(checkpoint->id, checkpoint->root.hash)));
    EXPECT_EQUAL(data_compare(data[0], &map, map.root_level, 0, &checkpoint->root, &reader), results[0].pages);
    snapshot_release(&reader);
    page_map_close(&map);

    /* A directory like any other from now on. */
    struct datadir datadir;
    struct restore_options options = options_for(file, paths[0], 1);
    EXPECT(datadir_open(&datadir, &options.directory, &options.config, 77));
    EXPECT(!datadir.formatted);
    EXPECT_EQUAL(datadir.cluster_id, results[0].cluster_id);
    datadir_close(&datadir);
    /* And never restored over. */
    EXPECT(!restore_run(&options, &results[0]));
    EXPECT(strstr(results[0].error, "exists already") != NULL);
    for (uint32_t node = 0; node < 2; node++) {
        munmap(data[node], limits_data_bytes(&limits_production));
        directory_remove(paths[node]);
    }
    directory_remove(directory);
}

/* What `raftd inspect` prints, and its verdict. */
static enum survey_verdict inspect(const char *path, bool json, char *text, size_t text_bytes)
{
    fflush(stdout);
    const int before = dup(STDOUT_FILENO), to = open(in_directory("out"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    EXPECT(before >= 0 && to >= 0);
    dup2(to, STDOUT_FILENO);
    const enum survey_verdict verdict = survey_print(&(struct survey_options){ .path = path, .json = json });
    fflush(stdout);
    dup2(before, STDOUT_FILENO);
    const ssize_t count = pread(to, text, text_bytes - 1, 0);
    EXPECT(count >= 0);
    text[count] = '\0';
    close(before);
    close(to);
    return verdict;
}

static void flip_on_device(const char *path, uint64_t block)
{
    char name[200];
    snprintf(name, sizeof name, "%s/data", path);
    const int fd = open(name, O_RDWR | O_CLOEXEC);
    const off_t offset = (off_t)(block * limits_production.page_bytes + 1234);
    uint8_t byte;
    EXPECT_EQUAL(pread(fd, &byte, 1, offset), 1);
    byte ^= 0x10;
    EXPECT_EQUAL(pwrite(fd, &byte, 1, offset), 1);
    close(fd);
}

/* One object, whose brackets match, with a comma between any two things and nowhere else. */
static bool json_is_whole(const char *text)
{
    char open[16];
    uint32_t depth = 0, objects = 0;
    bool begun = false, string = false;
    for (; *text != '\0'; text++) {
        if (string || *text == '"') {
            text += string && *text == '\\';
            string = string ? *text != '"' : true;
            begun = true;
        } else if (*text == '{' || *text == '[') {
            if (depth == sizeof open || (depth == 0 && objects++ > 0))
                return false;
            open[depth++] = *text == '{' ? '}' : ']';
            begun = false;
        } else if (*text == '}' || *text == ']') {
            if (depth == 0 || open[--depth] != *text || (!begun && (text[-1] != '[' || *text != ']')))
                return false;
            begun = true;
        } else if (*text == ',') {
            if (!begun)
                return false;
            begun = false;
        } else if (*text >= '0' && *text <= 'z') {
            begun = true;
        }
    }
    return depth == 0 && objects == 1 && !string;
}

TEST(inspect_says_the_same_in_json)
{
    char file[160], path[160], text[4096], expected[160];
    struct restore_result result;
    directory_new();
    text_copy(file, sizeof file, in_directory("snapshot"));
    text_copy(path, sizeof path, in_directory("node"));
    file_write(file);
    const struct restore_options options = options_for(file, path, 1);
    EXPECT(restore_run(&options, &result));
    EXPECT_EQUAL(inspect(path, true, text, sizeof text), SURVEY_WHOLE);
    EXPECT(json_is_whole(text));
    snprintf(expected, sizeof expected, "\"cluster_id\": \"%llu\",", (unsigned long long)result.cluster_id);
    EXPECT(strstr(text, expected) != NULL);
    EXPECT(strstr(text, "\"checkpoint\": {\"index\": 1000, \"term\": 3,") != NULL);
    snprintf(expected, sizeof expected, "\"data\": {\"damaged\": [], \"pages\": %llu,",
             (unsigned long long)result.pages);
    EXPECT(strstr(text, expected) != NULL);
    EXPECT(strstr(text, "\"verdict\": \"whole\"") != NULL);
    flip_on_device(path, 1);
    EXPECT_EQUAL(inspect(path, true, text, sizeof text), SURVEY_DAMAGED);
    EXPECT(json_is_whole(text));
    EXPECT(strstr(text, "{\"offset\": 4096, \"level\": 0, ") != NULL);
    EXPECT(strstr(text, "\"cause\": \"hash\"}") != NULL);
    EXPECT(strstr(text, "\"verdict\": \"damaged\"") != NULL);
    directory_remove(path);
    directory_remove(directory);
}

TEST(inspect_verifies_the_map_and_every_page)
{
    char file[160], path[160], text[4096], expected[64];
    struct restore_result result;
    directory_new();
    text_copy(file, sizeof file, in_directory("snapshot"));
    text_copy(path, sizeof path, in_directory("node"));
    file_write(file);
    const struct restore_options options = options_for(file, path, 1);
    EXPECT(restore_run(&options, &result));
    EXPECT_EQUAL(inspect(path, false, text, sizeof text), SURVEY_WHOLE);
    EXPECT(strstr(text, "checkpoint: behind entry 1000 of term 3") != NULL);
    EXPECT(strstr(text, "DAMAGED") == NULL);
    const unsigned long long pages = result.pages;
    snprintf(expected, sizeof expected, "data: %llu pages and ", pages);
    EXPECT(strstr(text, expected) != NULL);

    /* A page: the file's first record lies in the first block. */
    struct snapshot_reader reader;
    uint32_t page;
    EXPECT(snapshot_open(&reader, file, &limits_production));
    EXPECT(snapshot_get(&reader, 0, &page) != NULL);
    snapshot_release(&reader);
    flip_on_device(path, 1);
    EXPECT_EQUAL(inspect(path, false, text, sizeof text), SURVEY_DAMAGED);
    snprintf(expected, sizeof expected, "DAMAGED data at 4096: page %u: hash", page);
    EXPECT(strstr(text, expected) != NULL);
    EXPECT(strstr(text, "data: 1 blocks DAMAGED") != NULL);
    flip_on_device(path, 1);
    EXPECT_EQUAL(inspect(path, false, text, sizeof text), SURVEY_WHOLE);

    /* A map block: the pages are followed by those of level 1; the first one would have held the members only. */
    flip_on_device(path, 1 + pages);
    EXPECT_EQUAL(inspect(path, false, text, sizeof text), SURVEY_DAMAGED);
    EXPECT(strstr(text, "map block 1:1 and all below it: checksum") != NULL);
    flip_on_device(path, 1 + pages);
    /* The root. */
    flip_on_device(path, result.checkpoint.root.block);
    EXPECT_EQUAL(inspect(path, false, text, sizeof text), SURVEY_DAMAGED);
    EXPECT(strstr(text, "data: 0 pages and 1 map blocks") != NULL);
    directory_remove(path);
    directory_remove(directory);
}

TEST(a_damaged_file_or_the_old_cluster_id_creates_nothing)
{
    char file[160], path[160];
    struct restore_result result;
    directory_new();
    text_copy(file, sizeof file, in_directory("snapshot"));
    text_copy(path, sizeof path, in_directory("node"));
    file_write(file);
    struct restore_options options = options_for(file, path, 1);
    options.config.cluster_id = CLUSTER;
    EXPECT(!restore_run(&options, &result));
    EXPECT(strstr(result.error, "needs an id of its own") != NULL);
    options.config.cluster_id = 0;
    const int fd = open(file, O_RDWR | O_CLOEXEC);
    EXPECT_EQUAL(pwrite(fd, "rot", 3, 100000), 3);
    close(fd);
    EXPECT(!restore_run(&options, &result));
    EXPECT(strstr(result.error, "damaged at byte") != NULL);
    EXPECT(access(path, F_OK) != 0);
    directory_remove(directory);
}

TEST_MAIN()

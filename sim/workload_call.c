/* Drawing of requests: kinds, keys, values whose bytes name the call, transactions. */
#include "workload_call.h"

#include "../core/checksum.h"
#include "../core/prng.h"

/* What becomes part of a value that a trace notes as a whole. */
static uint64_t draw(struct scene *scene, uint32_t client, uint64_t n)
{
    return choose_draws(&scene->choose) ? choose(&scene->choose, SITE_CALL_DRAW, client, n) : 0;
}

static bool chance(struct scene *scene, uint32_t client, uint32_t rate)
{
    return choose_draws(&scene->choose) && choose_chance(&scene->choose, SITE_CALL_DRAW, client, rate);
}

/* Clauses of a transaction are noted one draw after the other. */
static uint64_t draw_clause(struct scene *scene, uint32_t client, uint64_t n)
{
    return choose(&scene->choose, SITE_CALL_TXN, client, n);
}

/* Keys differ in their last byte and, where limits allow, in length. */
static struct slice workload_key(struct scene *scene, uint8_t *to, uint32_t slot)
{
    const uint32_t room = u32_min(scene->swarm.limits.key_bytes_max, CLIENT_KEY_BYTES_MAX);
    const uint32_t bytes = slot == 0 ? 1 : slot % 5 == 1 ? room : 1 + (room - 1) / (slot + 1);
    memset(to, 'k', bytes);
    to[bytes - 1] = (uint8_t)('a' + slot);
    return (struct slice){ .bytes = to, .count = bytes };
}

/* No two calls write the same bytes, unless they are too few to differ. */
static void workload_fill(uint8_t *to, uint32_t bytes, uint64_t name)
{
    uint64_t state = name + 1;
    for (uint32_t i = 0; i < bytes; i += 8) {
        const uint64_t word = prng_mix(&state);
        memcpy(to + i, &word, u32_min(8, bytes - i));
    }
}

static uint32_t workload_value_bytes(struct scene *scene, uint32_t client)
{
    const struct limits *limits = &scene->swarm.limits;
    const uint32_t most = u32_min(limits->value_bytes_max, CLIENT_VALUE_BYTES_MAX - 1);
    switch (draw(scene, client, 6)) {
    case 0:
    case 1: return (uint32_t)draw(scene, client, u32_min(most, 16) + 1);
    case 2:
    case 3: return (uint32_t)draw(scene, client, most + 1);
    case 4: return u32_min(most, limits->append_bytes_max);
    default: return most;
    }
}

struct txn_draw {
    struct workload *workload;
    struct scene *scene;
    uint32_t client;
    uint32_t bytes;
    uint8_t keys[KEYS_MAX][CLIENT_KEY_BYTES_MAX];
};

static void txn_add(struct txn_draw *txn, enum txn_clause_kind kind, uint32_t key_slot, uint64_t version,
                    uint32_t value_bytes)
{
    uint8_t value[16];
    struct client *client = &txn->workload->clients[txn->client];
    ASSERT(value_bytes <= sizeof value);
    workload_fill(value, value_bytes, ((uint64_t)txn->workload->calls << 8) + txn->bytes);
    const struct txn_clause clause = {
        .kind = kind,
        .key = workload_key(txn->scene, txn->keys[key_slot], key_slot),
        .value = { .bytes = value, .count = value_bytes },
        .version = version,
    };
    ASSERT(txn->bytes + txn_clause_bytes(&clause) <= CLIENT_VALUE_BYTES_MAX);
    txn_clause_encode(&clause, client->value + txn->bytes);
    txn->bytes += txn_clause_bytes(&clause);
}

/* One branch: a run of neighbouring keys, so that none is written twice. */
static void txn_add_branch(struct txn_draw *txn, enum txn_clause_kind put, uint32_t writes)
{
    struct scene *scene = txn->scene;
    const uint32_t first = (uint32_t)draw_clause(scene, txn->client, scene->swarm.key_count);
    const uint32_t value_max = u32_min(scene->swarm.limits.value_bytes_max / 8, 16);
    for (uint32_t i = 0; i < u32_min(writes, scene->swarm.key_count); i++) {
        const enum txn_clause_kind kind = (enum txn_clause_kind)((uint64_t)put + draw_clause(scene, txn->client, 3));
        const bool bare = kind == TXN_THEN_DELETE || kind == TXN_ELSE_DELETE;
        const uint32_t bytes = bare ? 0 : (uint32_t)draw_clause(scene, txn->client, value_max + 1);
        txn_add(txn, kind, (first + i) % scene->swarm.key_count, 0, bytes);
    }
}

static struct slice workload_draw_txn(struct workload *workload, struct scene *scene, uint32_t client_slot)
{
    const struct limits *limits = &scene->swarm.limits;
    const struct client *client = &workload->clients[client_slot];
    struct txn_draw txn = { .workload = workload, .scene = scene, .client = client_slot };
    const uint32_t compares = (uint32_t)draw_clause(scene, client_slot, u32_min(limits->txn_compares_max, 2) + 1);
    for (uint32_t i = 0; i < compares; i++) {
        const uint32_t key_slot = (uint32_t)draw_clause(scene, client_slot, scene->swarm.key_count);
        const bool seen = draw_clause(scene, client_slot, 3) > 0;
        const enum txn_clause_kind kind = draw_clause(scene, client_slot, 3) > 0 ? TXN_IF_EQUAL : TXN_IF_NOT_EQUAL;
        txn_add(&txn, kind, key_slot, seen ? client->versions[key_slot] : 0, 0);
    }
    const uint32_t writes = u32_min(limits->txn_writes_max, 2);
    txn_add_branch(&txn, TXN_THEN_PUT, 1 + (uint32_t)draw_clause(scene, client_slot, writes));
    txn_add_branch(&txn, TXN_ELSE_PUT, (uint32_t)draw_clause(scene, client_slot, writes + 1));
    return (struct slice){ .bytes = workload->clients[client_slot].value, .count = txn.bytes };
}

static enum request_kind workload_draw_write(struct scene *scene, uint32_t client)
{
    if (chance(scene, client, scene->swarm.transactions))
        return REQUEST_TXN;
    switch (draw(scene, client, 8)) {
    case 0:
    case 1:
    case 2: return REQUEST_PUT;
    case 3: return REQUEST_DELETE;
    case 4:
    case 5: return REQUEST_APPEND;
    default: return REQUEST_CAS;
    }
}

static enum request_kind workload_draw_kind(struct workload *workload, struct scene *scene, uint32_t client_slot)
{
    struct client *client = &workload->clients[client_slot];
    const struct swarm *swarm = &scene->swarm;
    if (chance(scene, client_slot, swarm->reads)) {
        const bool stale = chance(scene, client_slot, swarm->stale_reads);
        return stale ? REQUEST_GET_STALE : REQUEST_GET;
    }
    if (chance(scene, client_slot, swarm->transfers))
        return REQUEST_TRANSFER;
    if (chance(scene, client_slot, swarm->register_again))
        client->session = 0;
    return client->session == 0 ? REQUEST_REGISTER : workload_draw_write(scene, client_slot);
}

/* A node, the best one, or one that does not exist. */
static uint64_t workload_draw_target(struct scene *scene, uint32_t client)
{
    const struct swarm *swarm = &scene->swarm;
    const uint64_t ticket = draw(scene, client, 8);
    if (ticket == 7)
        return 5; /* ids are far apart, or small: sometimes it does */
    if (ticket == 6)
        return 0;
    return swarm->configs[draw(scene, client, swarm->node_count)].node_id;
}

static void workload_build(struct workload *workload, struct scene *scene, uint32_t client_slot, enum request_kind kind,
                           uint32_t value_bytes)
{
    struct client *client = &workload->clients[client_slot];
    struct request *request = &client->request;
    const struct slice value = { .bytes = client->value, .count = value_bytes };
    *request = (struct request){ .kind = kind };
    if (kind != REQUEST_REGISTER && kind != REQUEST_TXN && kind != REQUEST_TRANSFER)
        request->key = workload_key(scene, client->key, client->key_slot);
    if (kind == REQUEST_PUT || kind == REQUEST_APPEND || kind == REQUEST_CAS) {
        workload_fill(client->value, value_bytes, (uint64_t)workload->calls << 8);
        request->value = value;
    }
    if (kind == REQUEST_REGISTER || kind == REQUEST_GET || kind == REQUEST_GET_STALE || kind == REQUEST_TRANSFER)
        return;
    request->session = client->session;
    request->sequence = ++client->sequence;
}

/* The kind of the next call; without a session a client has to register, and writes then. */
static enum request_kind workload_choose_kind(struct workload *workload, struct scene *scene, uint32_t client_slot)
{
    struct client *client = &workload->clients[client_slot];
    const enum request_kind tame = client->session == 0 ? REQUEST_REGISTER : REQUEST_PUT;
    const enum request_kind drawn = choose_draws(&scene->choose) ? workload_draw_kind(workload, scene, client_slot) : 0;
    const uint64_t kind = choose_note(&scene->choose, SITE_CALL, drawn, tame);
    const bool writes = kind == REQUEST_PUT || kind == REQUEST_DELETE || kind == REQUEST_APPEND || kind == REQUEST_CAS
                        || kind == REQUEST_TXN;
    if (kind == REQUEST_REGISTER)
        client->session = 0;
    if (kind == REQUEST_GET || kind == REQUEST_GET_STALE || kind == REQUEST_TRANSFER || kind == REQUEST_REGISTER
        || (writes && client->session != 0))
        return (enum request_kind)kind;
    return tame;
}

/* What a linearizable read says on top: that any node may answer, and how old the answer may be. */
static void workload_draw_read(struct scene *scene, uint32_t client_slot, struct request *request)
{
    const struct swarm *swarm = &scene->swarm;
    const bool local = chance(scene, client_slot, swarm->local_reads);
    if (choose_note(&scene->choose, SITE_CALL_LOCAL, local, 0) == 0)
        return;
    request->flags = REQUEST_FLAG_LOCAL;
    const uint64_t age_ns =
        chance(scene, client_slot, swarm->bounded) ? 1 + draw(scene, client_slot, swarm->bound_ns) : 0;
    request->version = choose_note(&scene->choose, SITE_CALL_AGE, age_ns, 0);
}

static uint32_t workload_choose_bytes(struct scene *scene, uint32_t client_slot)
{
    const uint32_t most = u32_min(scene->swarm.limits.value_bytes_max, CLIENT_VALUE_BYTES_MAX - 1);
    const uint32_t drawn = choose_draws(&scene->choose) ? workload_value_bytes(scene, client_slot) : 0;
    return (uint32_t)u64_min(choose_note(&scene->choose, SITE_CALL_BYTES, drawn, u32_min(most, 8)), most);
}

/* 0: the best one. */
static uint64_t workload_choose_target(struct scene *scene, uint32_t client_slot)
{
    const uint64_t drawn = choose_draws(&scene->choose) ? workload_draw_target(scene, client_slot) : 0;
    return choose_note(&scene->choose, SITE_CALL_TO, drawn, 0);
}

static bool workload_too_large(struct scene *scene, uint32_t client_slot)
{
    const bool drawn = chance(scene, client_slot, scene->swarm.malformed);
    return choose_note(&scene->choose, SITE_CALL_TOO_LARGE, drawn, 0) != 0;
}

void workload_draw_request(struct workload *workload, struct scene *scene, uint32_t client_slot)
{
    const struct limits *limits = &scene->swarm.limits;
    struct client *client = &workload->clients[client_slot];
    const enum request_kind kind = workload_choose_kind(workload, scene, client_slot);
    client->key_slot = (uint8_t)choose(&scene->choose, SITE_CALL_KEY, client_slot, scene->swarm.key_count);
    workload_build(workload, scene, client_slot, kind, workload_choose_bytes(scene, client_slot));
    if (kind == REQUEST_GET)
        workload_draw_read(scene, client_slot, &client->request);
    if (kind == REQUEST_TRANSFER)
        client->request.version = workload_choose_target(scene, client_slot);
    if (kind == REQUEST_CAS) {
        const bool blind = choose_draws(&scene->choose) && draw(scene, client_slot, 4) == 0;
        if (choose_note(&scene->choose, SITE_CALL_BLIND, blind, 0) == 0)
            client->request.version = client->versions[client->key_slot];
    }
    if (kind == REQUEST_TXN)
        client->request.value = workload_draw_txn(workload, scene, client_slot);
    if (kind == REQUEST_PUT && workload_too_large(scene, client_slot)) {
        /* One byte over the limit: must be refused whatever the state. */
        workload_fill(client->value, limits->value_bytes_max + 1, (uint64_t)workload->calls << 8);
        client->request.value.count = limits->value_bytes_max + 1;
        coverage_fire(&scene->coverage, FAULT_MALFORMED_REQUEST);
    }
}

void workload_fixed_request(struct workload *workload, struct scene *scene, uint32_t client_slot,
                            enum request_kind kind, uint32_t key_slot)
{
    workload->clients[client_slot].key_slot = (uint8_t)key_slot;
    workload_build(workload, scene, client_slot, kind, u32_min(scene->swarm.limits.value_bytes_max, 8));
}

/* A transaction whose only clause is cut short. */
static uint32_t garbage_txn(struct workload *workload, struct scene *scene, uint32_t client_slot)
{
    uint8_t key[CLIENT_KEY_BYTES_MAX], clauses[sizeof(struct txn_clause_header) + CLIENT_KEY_BYTES_MAX];
    const struct txn_clause clause = { .kind = TXN_THEN_PUT, .key = workload_key(scene, key, 0) };
    txn_clause_encode(&clause, clauses);
    const uint32_t cut =
        1 + (uint32_t)choose(&scene->choose, SITE_GARBAGE_BY, client_slot, txn_clause_bytes(&clause) - 1);
    const struct request request = { .kind = REQUEST_TXN,
                                     .session = 1,
                                     .sequence = 1,
                                     .value = { .bytes = clauses, .count = txn_clause_bytes(&clause) - cut } };
    request_encode(&request, scene->swarm.configs[0].cluster_id, workload->frame);
    return request_bytes(&request);
}

/* A write with a header that says something else. */
static uint32_t garbage_put(struct workload *workload, struct scene *scene, uint32_t client_slot, uint64_t how)
{
    struct request request = { .kind = REQUEST_PUT, .session = 1, .sequence = 1 };
    uint8_t key[CLIENT_KEY_BYTES_MAX];
    request.key = workload_key(scene, key, 0);
    const uint32_t bytes = request_bytes(&request);
    request_encode(&request, scene->swarm.configs[0].cluster_id, workload->frame);
    struct request_header header;
    uint8_t *body = workload->frame + sizeof(struct frame_header);
    memcpy(&header, body, sizeof header);
    switch (how) {
    case 0: header.key_bytes ^= (uint16_t)(1 + choose(&scene->choose, SITE_GARBAGE_BY, client_slot, UINT16_MAX)); break;
    case 1: header.value_bytes = 1 + (uint32_t)choose(&scene->choose, SITE_GARBAGE_BY, client_slot, UINT32_MAX); break;
    case 2:
        header.kind = (uint8_t)(REQUEST_KIND_LAST + 1 + choose(&scene->choose, SITE_GARBAGE_BY, client_slot, 200));
        break;
    default: header.sequence = 0; break;
    }
    memcpy(body, &header, sizeof header);
    const uint64_t checksum = checksum64(workload->frame + sizeof checksum, bytes - sizeof checksum, 0);
    memcpy(workload->frame, &checksum, sizeof checksum);
    return bytes;
}

struct slice workload_draw_garbage(struct workload *workload, struct scene *scene, uint32_t client_slot)
{
    const uint64_t how = choose(&scene->choose, SITE_GARBAGE_HOW, client_slot, 5);
    const uint32_t bytes =
        how == 4 ? garbage_txn(workload, scene, client_slot) : garbage_put(workload, scene, client_slot, how);
    return (struct slice){ .bytes = workload->frame, .count = bytes };
}

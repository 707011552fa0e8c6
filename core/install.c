/* The puller: asks for what its map wants, verifies it, and keeps it; see install.h. */
#include "install.h"

#include "output.h"
#include "page.h"
#include "raft.h"
#include "state.h"

enum {
    SCAN_WORDS = 256,           /* of a set that one step looks at, some times */
    SCANS_MAX = 16,             /* such looks, requests, and empty map blocks in one step */
    SWITCH_BYTES = 64 << 20,    /* pulled pages between two switches: what a crash makes it pull again */
    SWITCH_PAGES_MIN = 4,       /* ... but not so few that the map is written more often than the pages */
    SWITCHES_MIN = 5,           /* ... nor so many that a small store has no switch in the middle */
    TOKENS_NS_MAX = 1000000000, /* a pause earns no more than that */
    BURSTS_PER_SECOND = 64,
    PULL_SECONDS = 20, /* all that differs should be here by then: a peer holds its checkpoint not for ever */
    TIMEOUTS_MAX = 8,  /* of silence, that a request may wait when there is none */
};

static uint64_t install_timeout_ns(const struct replica *replica) { return 2 * replica->config.heartbeat_interval_ns; }

static void install_enter(struct replica *replica, struct output *output, enum install_phase phase)
{
    struct install *install = &replica->install;
    install->phase = phase;
    output_event(output, EVENT_INSTALL, phase, install->source);
}

static void requests_clear(struct install *install) { memset(install->requests, 0, sizeof install->requests); }

static uint32_t requests_in_flight(const struct install *install)
{
    uint32_t count = 0;
    for (uint32_t slot = 0; slot < INSTALL_REQUESTS_MAX; slot++)
        count += install->requests[slot].sent_ns != 0;
    return count;
}

/* Of the sets of peers. Who is no member has none, and is never shunned: maybe it is the only one that this node knows.
 */
static uint32_t source_bit(const struct replica *replica, uint64_t node_id)
{
    const uint32_t slot = members_slot(replica, node_id);
    return slot < MEMBERS_MAX ? 1u << slot : 0;
}

static void install_ask_first(struct replica *replica, struct output *output)
{
    replica->install.asked_ns = 0;
    replica->install.shunned = 0;
    install_enter(replica, output, INSTALL_ASK);
}

/* The source did not answer, and others are asked at once; or it had nothing, and they are at the pace of the time-out.
 */
static void install_ask_others(struct replica *replica, struct output *output, bool at_once)
{
    requests_clear(&replica->install);
    replica->install.asked_ns = at_once ? 0 : replica->now_ns;
    replica->install.shunned |= source_bit(replica, replica->install.source);
    install_enter(replica, output, INSTALL_ASK);
}

static void install_knows(struct install *install, struct log_id id)
{
    if (id.index > install->known.index)
        install->known = id;
}

void install_want(struct replica *replica, struct output *output, uint64_t index_min, struct log_id known)
{
    struct install *install = &replica->install;
    ASSERT(known.index >= index_min);
    install->index_min = u64_max(install->index_min, index_min);
    install_knows(install, known);
    if (install->phase != INSTALL_IDLE)
        return;
    install->asked_vainly = 0;
    install_ask_first(replica, output);
}

bool install_is_idle(const struct replica *replica) { return replica->install.phase == INSTALL_IDLE; }

bool install_is_coming(const struct replica *replica)
{
    return replica->install.phase == INSTALL_PULL || replica->install.phase == INSTALL_SWITCH;
}

bool install_is_awaited(const struct replica *replica) { return requests_in_flight(&replica->install) > 0; }

/* Of what was asked for so much is decided. Returns how much, as far as it was still open. */
static uint32_t request_answered(struct install *install, uint32_t level, uint32_t first, uint32_t count)
{
    for (uint32_t slot = 0; slot < INSTALL_REQUESTS_MAX; slot++) {
        struct install_request *request = &install->requests[slot];
        if (request->sent_ns == 0 || request->level != level || request->first != first)
            continue;
        const uint32_t decided = u32_min(request->left, count);
        request->left -= decided;
        if (request->left == 0)
            *request = (struct install_request){ .sent_ns = 0 };
        return decided;
    }
    return 0;
}

static void scan_restart(struct replica *replica)
{
    struct install *install = &replica->install;
    install->scan_level = install->wanted_blocks > 0 ? map_root(&replica->limits) : 0;
    install->scan_next = 0;
    install->scan_useful = false;
    install->own_taken = false;
}

/* ---- the rate ---- */

/* Bytes a second. Slow, since others serve clients from the same disks meanwhile, but not so slow that a large store is
 * never here before it is another one. */
static uint64_t tokens_rate(const struct replica *replica)
{
    const uint64_t gentle = (uint64_t)replica->limits.install_kib_per_second * 1024;
    return u64_max(gentle, (uint64_t)replica->install.pages_aimed * replica->limits.page_bytes / PULL_SECONDS);
}

static uint64_t tokens_burst(const struct replica *replica)
{
    return u64_max(tokens_rate(replica) / BURSTS_PER_SECOND, replica->limits.frame_bytes_max);
}

/* Pulling must not take the whole disk and the whole wire from those who serve clients meanwhile. */
static bool tokens_take(struct replica *replica, uint32_t bytes)
{
    struct install *install = &replica->install;
    const uint64_t rate = tokens_rate(replica);
    const uint64_t burst = tokens_burst(replica);
    const uint64_t passed_ns = u64_min(replica->now_ns - install->tokens_ns, TOKENS_NS_MAX);
    const uint64_t earned = passed_ns * rate / 1000000000;
    if (earned > 0) {
        install->tokens = u64_min(install->tokens + earned, burst);
        install->tokens_ns = replica->now_ns;
    }
    ASSERT(bytes <= burst);
    if (install->tokens < bytes) {
        install->tokens_due_ns = replica->now_ns + (bytes - install->tokens) * 1000000000 / rate + 1;
        return false;
    }
    install->tokens -= bytes;
    install->tokens_due_ns = 0;
    return true;
}

/* What was taken for whole pages, and came as pieces. */
static void tokens_return(struct replica *replica, uint32_t taken, uint32_t used)
{
    struct install *install = &replica->install;
    if (taken > used)
        install->tokens = u64_min(install->tokens + (taken - used), tokens_burst(replica));
}

/* ---- offers ---- */

/* A leader says that its log no longer holds what follows ours. So it is, unless ours holds that entry: then it holds
 * all before it, too (Raft 3.5, Log Matching), except what is damaged. */
static bool offer_is_needed(const struct replica *replica, struct log_id id)
{
    if (id.index <= replica->applied)
        return false;
    return !log_holds(replica, id) || log_intact(replica) < id.index;
}

/* Older than what is applied, or than what the log begins with: never, or committed entries would be lost. */
static bool offer_helps(const struct replica *replica, const struct checkpoint_response *response)
{
    const struct checkpoint *own = &replica->stored.checkpoint;
    const struct hash128 hash = checkpoint_hash(response->id, response->root_hash);
    if (response->id.index == 0 || !hash128_equal(hash, response->checkpoint))
        return false;
    if (response->id.index < u64_max(replica->install.index_min, own->id.index))
        return false;
    return !store_is_ready(replica) || response->id.index > replica->applied;
}

/* The map may be changed: nothing that is being written depends on it. */
static bool install_may_aim(const struct replica *replica)
{
    return checkpoint_is_idle(replica) && install_runs_used(replica) == 0 && replica->store.state != STORE_LOADING;
}

static void install_aim(struct replica *replica, struct output *output, uint64_t source,
                        const struct checkpoint_response *response)
{
    struct install *install = &replica->install;
    ASSERT(source != replica->config.node_id && replica->store.state != STORE_LOADING);
    if (install->target.id.index != 0 && !hash128_equal(install->target.hash, response->checkpoint))
        output_event(output, EVENT_INSTALL_RETARGET, response->id.index, source);
    install->source = source;
    install->target = (struct checkpoint){
        .id = response->id,
        .hash = response->checkpoint,
        .root = { .hash = response->root_hash },
    };
    install_knows(install, response->id);
    install->heard_ns = replica->now_ns;
    requests_clear(install);
    /* Memory is not any state any more, until store_load() is through. A state that differs from everybody else's goes
     * back, and the log is applied to it again. */
    replica->store.state = STORE_DAMAGED;
    install_apply_again(replica, u64_min(replica->applied, response->id.index));
    install->pages_aimed = 0;
    install_take_root(replica, response->root_hash);
    scan_restart(replica);
    install_enter(replica, output, INSTALL_PULL);
}

static void take_offer(struct replica *replica, struct output *output, const struct message *message)
{
    struct install *install = &replica->install;
    const struct checkpoint_response *response = &message->checkpoint_response;
    const bool pulled_from = install->phase == INSTALL_PULL && message->from == install->source;
    if (install->phase == INSTALL_IDLE) {
        const bool leader =
            response->leader && message->from == replica->leader && message->term == replica->stored.hard.term;
        if (!leader || !offer_is_needed(replica, response->id) || !offer_helps(replica, response))
            return;
        /* If that leader is gone before it is got, an older one does, too: the next leader's log goes on behind it. */
        install_want(replica, output, replica->applied + 1, response->id);
    }
    if (!offer_helps(replica, response)) {
        if (pulled_from)
            install_ask_others(replica, output, false);
        return;
    }
    const bool known = hash128_equal(install->target.hash, response->checkpoint);
    if (install->phase == INSTALL_ASK ? (install->shunned & source_bit(replica, message->from)) == 0
                                      : pulled_from && !known) {
        if (install_may_aim(replica))
            install_aim(replica, output, message->from, response);
    }
}

void install_response(struct replica *replica, struct output *output, const struct message *message)
{
    const struct checkpoint_response *response = &message->checkpoint_response;
    replica->install.bytes_pulled += message_bytes(message);
    /* Raft 3.3. What it holds may be of that term, and the superblock that names it must not be of an earlier one. */
    if (message->term > replica->stored.hard.term)
        election_become_follower(replica, output, message->term, 0);
    if (response->ask == CHECKPOINT_ASK_OFFER) {
        take_offer(replica, output, message);
        return;
    }
    if (replica->install.phase != INSTALL_PULL || !hash128_equal(response->checkpoint, replica->install.target.hash))
        return;
    const bool hashes = response->ask == CHECKPOINT_ASK_HASHES;
    const uint32_t decided =
        request_answered(&replica->install, response->level, response->at, hashes ? 1 : response->count);
    if (hashes) {
        install_take_hashes(replica, response);
        return;
    }
    tokens_return(replica, decided * pieces_bytes_max(replica->limits.page_bytes), response->payload.count);
    install_take_pages(replica, output, response);
}

/* ---- questions ---- */

static struct message install_question(const struct replica *replica, uint64_t to, enum checkpoint_ask ask)
{
    return (struct message){
        .type = FRAME_CHECKPOINT_REQUEST,
        .from = replica->config.node_id,
        .to = to,
        .instance = replica->superblock.instance,
        .term = replica->superblock.durable.hard.term,
        .checkpoint_request = { .ask = ask },
    };
}

/* A leader that leaves does not find itself there, either. */
static bool is_stranger(const struct replica *replica, uint64_t node_id)
{
    return node_id != 0 && node_id != replica->config.node_id && members_slot(replica, node_id) == MEMBERS_MAX;
}

void install_meet(struct replica *replica, uint64_t node_id)
{
    if (!install_is_idle(replica) && is_stranger(replica, node_id))
        replica->install.asker = node_id;
}

/* Whom the configuration in use does not name: it may be of long ago, and all others whom it names be gone. Whoever
 * leads; while no other one is known to, who last asked for a vote. That may be all who are left, and need the vote of
 * this very node, which does not campaign itself before it has read who the members are (members.h). Or it was left
 * behind by this one, which leads alone; it is not asked in vain for ever, since repair.c stops that. 0: nobody. */
static uint64_t install_stranger(const struct replica *replica)
{
    const bool other = replica->leader != 0 && replica->leader != replica->config.node_id;
    const uint64_t node_id = other ? replica->leader : replica->install.asker;
    return is_stranger(replica, node_id) ? node_id : 0;
}

/* The member behind the last one asked; behind the last slot one that is none. 0: nobody. */
static uint64_t source_next(struct replica *replica)
{
    struct install *install = &replica->install;
    const uint32_t others = members_others(replica);
    const uint64_t stranger = install_stranger(replica);
    if (others == 0)
        return stranger;
    do {
        install->asked_slot = (install->asked_slot + 1) % (MEMBERS_MAX + 1);
        if (install->asked_slot == MEMBERS_MAX && stranger != 0)
            return stranger;
    } while (install->asked_slot == MEMBERS_MAX || (others & (1u << install->asked_slot)) == 0);
    return members_id(replica, install->asked_slot);
}

/* There is room for it. */
static void question_send(struct replica *replica, struct output *output, const struct message *message)
{
    replica->install.bytes_pulled += message_bytes(message);
    output_message(output, &replica->frame, message);
}

static void install_satisfied(struct replica *replica, struct output *output)
{
    replica->install.index_min = 0;
    replica->install.known = (struct log_id){ .term = 0 };
    replica->install.target = (struct checkpoint){ .id = { .term = 0 } };
    replica->install.asker = 0;
    install_enter(replica, output, INSTALL_IDLE);
}

/* Did the log bring what a checkpoint was wanted for? */
static bool want_has_lapsed(const struct replica *replica)
{
    return store_is_ready(replica) && replica->applied >= replica->install.index_min;
}

/* The latest checkpoint that is here, in part, or that this node knows of. A peer with none so late makes one
 * (serve_needs_newer()), so that this node needs neither the source of its own nor the next marker, whoever leads. */
static struct log_id install_known(const struct replica *replica)
{
    const struct log_id own = replica->stored.checkpoint.id;
    const struct log_id known = replica->install.known;
    return known.index > own.index ? known : own;
}

/* So many source_next() goes through. */
static uint32_t everybody(const struct replica *replica)
{
    const uint32_t others = members_others(replica);
    return others == 0 ? 1 : bits_count(others) + (install_stranger(replica) != 0 ? 1 : 0);
}

bool install_nobody_left(const struct replica *replica)
{
    return members_alone_for_good(replica) && install_stranger(replica) == 0;
}

/* Has everybody been asked in vain, and is all that is wanted what this disk could not bring when it was last read? */
static bool own_may_be_read_again(const struct replica *replica)
{
    const struct install *install = &replica->install;
    const struct checkpoint *own = &replica->stored.checkpoint;
    if ((install->asked_count < everybody(replica) && !install_nobody_left(replica)) || !install_may_aim(replica))
        return false;
    if (replica->store.state != STORE_DAMAGED || replica->store.map_damaged || install->distrusted)
        return false;
    if ((replica->stored.flags & STORED_PARTIAL) != 0 || install->wanted_blocks > 0
        || install->wanted_pages > STORE_AGAIN_MAX)
        return false;
    return install->target.id.index == 0 || hash128_equal(install->target.hash, own->hash);
}

static void install_commit(struct replica *replica, struct output *output, uint64_t index)
{
    if (replica->commit >= index)
        return;
    replica->commit = index;
    output_event(output, EVENT_COMMIT, index, 0);
}

/* All that is known to be in a checkpoint is committed, and the log holds it. */
static void install_go_back(struct replica *replica, struct output *output)
{
    struct install *install = &replica->install;
    ASSERT(install_may_aim(replica));
    install_commit(replica, output, install->known.index);
    install_back_begin(replica);
    install_enter(replica, output, INSTALL_BACK);
}

static bool install_can_go_back(const struct replica *replica)
{
    return install_may_aim(replica) && install_may_go_back(replica);
}

static void install_back(struct replica *replica, struct output *output)
{
    replica->wants_tick = true;
    if (!install_back_step(replica))
        return;
    install_satisfied(replica, output);
    store_load(replica, output, false);
}

static bool ask_may_act(const struct replica *replica)
{
    return !install_nobody_left(replica) || install_can_go_back(replica) || own_may_be_read_again(replica);
}

static void install_ask(struct replica *replica, struct output *output)
{
    struct install *install = &replica->install;
    if (want_has_lapsed(replica)) {
        install_satisfied(replica, output);
        return;
    }
    const bool due = install->asked_ns == 0 || replica->now_ns - install->asked_ns >= install_timeout_ns(replica);
    if (!due || replica->store.state == STORE_LOADING)
        return;
    const bool vainly = install->asked_vainly >= everybody(replica) || install_nobody_left(replica);
    if (vainly && install_can_go_back(replica)) {
        install_go_back(replica, output);
        return;
    }
    if (own_may_be_read_again(replica)) {
        install->asked_count = 0;
        store_load_again(replica, output);
        return;
    }
    if (install_nobody_left(replica))
        return;
    const uint64_t asked = source_next(replica);
    install->asked_count = (uint8_t)u32_min(install->asked_count + 1u, MEMBERS_MAX);
    install->asked_vainly = u32_min(install->asked_vainly + 1, MEMBERS_MAX);
    install->shunned &= ~source_bit(replica, asked);
    struct message message = install_question(replica, asked, CHECKPOINT_ASK_OFFER);
    message.checkpoint_request.id = install_known(replica);
    install->asked_ns = replica->now_ns;
    if (asked != 0 && output_room(output, 1, message_bytes(&message)))
        question_send(replica, output, &message);
}

static struct install_request *request_free(struct install *install)
{
    for (uint32_t slot = 0; slot < INSTALL_REQUESTS_MAX; slot++)
        if (install->requests[slot].sent_ns == 0)
            return &install->requests[slot];
    return NULL;
}

static bool ask_hashes(struct replica *replica, struct output *output, uint32_t at)
{
    struct install *install = &replica->install;
    struct install_request *request = request_free(install);
    struct message message = install_question(replica, install->source, CHECKPOINT_ASK_HASHES);
    const uint32_t answer_bytes =
        message_checkpoint_bytes(map_fanout(&replica->limits) * (uint32_t)sizeof(struct hash128));
    message.checkpoint_request.checkpoint = install->target.hash;
    message.checkpoint_request.level = install->scan_level;
    message.checkpoint_request.at = at;
    if (request == NULL || !output_room(output, 1, message_bytes(&message)) || !tokens_take(replica, answer_bytes))
        return false;
    *request =
        (struct install_request){ .sent_ns = replica->now_ns, .level = install->scan_level, .first = at, .left = 1 };
    question_send(replica, output, &message);
    return true;
}

/* Pages in one request: no more than one answer holds, nor than one run writes. */
static uint32_t request_pages_max(const struct replica *replica)
{
    return u32_min(message_pages_max(replica->limits.frame_bytes_max, replica->limits.page_bytes),
                   install_run_pages_max(replica));
}

/* Is there room in the runs for all that is asked for and for one more request? Free blocks may lie apart and runs be
 * short: what finds no room then is asked for again. */
static bool runs_have_room(const struct replica *replica)
{
    uint32_t pages = request_pages_max(replica);
    for (uint32_t slot = 0; slot < INSTALL_REQUESTS_MAX; slot++)
        pages += replica->install.requests[slot].left;
    return pages <= install_runs_room(replica);
}

/* Asks for `first` and for what is wanted behind it; then scan_next is behind the last one asked for. */
static bool ask_pages(struct replica *replica, struct output *output, uint32_t first)
{
    struct install *install = &replica->install;
    struct install_request *request = request_free(install);
    struct message message = install_question(replica, install->source, CHECKPOINT_ASK_PAGES);
    const uint32_t pages_max = request_pages_max(replica);
    const uint32_t fixed = message_bytes(&message);
    const uint32_t answer_bytes = message_checkpoint_bytes(pages_max * pieces_bytes_max(replica->limits.page_bytes));
    if (request == NULL || !runs_have_room(replica)
        || !output_room(output, 1, fixed + pages_max * (uint32_t)sizeof(struct pieces_question)))
        return false;
    if (!tokens_take(replica, answer_bytes))
        return false;
    uint8_t *to = output->arena + output->arena_used + fixed;
    uint32_t count = 0;
    for (uint32_t page = first; count < pages_max && page < replica->limits.pages_max;) {
        if (map_wanted(replica, 0, page)) {
            struct pieces_question question;
            pieces_ask(&question, page, page_raw_const(replica, page), replica->limits.page_bytes);
            memcpy(to + count * sizeof question, &question, sizeof question);
            count++;
            install->scan_next = page + 1;
        }
        const uint32_t next = map_next_wanted(replica, 0, page + 1, SCAN_WORDS);
        if (next < replica->limits.pages_max && !map_wanted(replica, 0, next))
            break;
        page = next;
    }
    message.checkpoint_request.checkpoint = install->target.hash;
    message.checkpoint_request.count = count;
    message.checkpoint_request.pages =
        (struct slice){ .bytes = to, .count = count * (uint32_t)sizeof(struct pieces_question) };
    *request = (struct install_request){ .sent_ns = replica->now_ns, .first = first, .left = count };
    question_send(replica, output, &message);
    return true;
}

/* When a request counts as lost: a peer that is slow is not asked twice for the same while it still answers others. */
static uint64_t request_due_ns(const struct replica *replica, const struct install_request *request)
{
    const uint64_t timeout_ns = install_timeout_ns(replica);
    const uint64_t silent_ns = u64_max(request->sent_ns, replica->install.heard_ns) + timeout_ns;
    return u64_min(silent_ns, request->sent_ns + TIMEOUTS_MAX * timeout_ns);
}

static void requests_expire(struct replica *replica, struct output *output)
{
    struct install *install = &replica->install;
    bool expired = false;
    for (uint32_t slot = 0; slot < INSTALL_REQUESTS_MAX; slot++) {
        struct install_request *request = &install->requests[slot];
        if (request->sent_ns == 0 || replica->now_ns < request_due_ns(replica, request))
            continue;
        *request = (struct install_request){ .sent_ns = 0 };
        expired = true;
    }
    if (expired && replica->now_ns - install->heard_ns >= install_timeout_ns(replica))
        install_ask_others(replica, output, true);
}

/* ---- the pass ---- */

static uint32_t switch_pages(const struct replica *replica)
{
    const struct limits *limits = &replica->limits;
    return u32_min(SWITCH_BYTES / limits->page_bytes, u32_max(SWITCH_PAGES_MIN, limits->pages_max / SWITCHES_MIN));
}

/* Is enough here that it should not be pulled again after a restart, and nothing given up for it? */
static bool switch_is_due(const struct replica *replica)
{
    return replica->install.pages_since_switch >= switch_pages(replica)
           && !install_own_holds(replica, replica->install.target.id);
}

/* True: enough was pulled to keep it, or all was. Then what is under way ends first. */
static bool install_switch(struct replica *replica, struct output *output)
{
    struct install *install = &replica->install;
    const bool all = install->wanted_pages == 0;
    if (install->wanted_blocks > 0 || (!all && !switch_is_due(replica)))
        return false;
    if (all)
        requests_clear(install);
    if (requests_in_flight(install) > 0 || install_runs_used(replica) > 0)
        return true;
    /* It is committed: a checkpoint holds committed entries only (Raft 7). */
    if (log_holds(replica, install->target.id))
        install_commit(replica, output, install->target.id.index);
    /* What the superblock names from now on is what the others have. */
    install->distrusted = false;
    checkpoint_adopt(replica, install->target.id, !all);
    install_enter(replica, output, INSTALL_SWITCH);
    return true;
}

/* This level has been gone through. A map block lower down may be asked for when those above it are known. */
static void pass_next_level(struct replica *replica, struct output *output)
{
    struct install *install = &replica->install;
    if (install->scan_level > 1) {
        install->scan_level--;
        install->scan_next = 0;
        return;
    }
    const bool to_pages = install->scan_level == 1 && install->wanted_blocks == 0;
    install->pages_aimed = u32_max(install->pages_aimed, install->wanted_pages);
    const bool useful = install->scan_useful;
    scan_restart(replica);
    if (!useful && !to_pages)
        install_ask_others(replica, output, false);
}

/* Before any page is asked for: takes what memory has, and what came in the last pass when no write was free. False:
 * not now. */
static bool pass_own(struct replica *replica, struct output *output)
{
    struct install *install = &replica->install;
    const uint32_t page = map_next_wanted(replica, 0, install->scan_next, SCAN_WORDS);
    install->scan_next = page;
    if (page == replica->limits.pages_max) {
        install->own_taken = true;
        install->scan_next = 0;
        return true;
    }
    if (!map_wanted(replica, 0, page))
        return true;
    if (install_take_own(replica, output, page) == INSTALL_OWN_LATER)
        return false;
    install->scan_next = page + 1;
    return true;
}

/* One thing that is wanted: asks for it, or sees that nothing is there. False: not now. */
static bool pass_step(struct replica *replica, struct output *output)
{
    struct install *install = &replica->install;
    const uint32_t level = install->scan_level;
    if (level == 0 && !install->own_taken)
        return pass_own(replica, output);
    const uint32_t at = map_next_wanted(replica, level, install->scan_next, SCAN_WORDS);
    install->scan_next = at;
    if (at == map_count(&replica->limits, level)) {
        if (requests_in_flight(install) > 0)
            return false;
        pass_next_level(replica, output);
        return install->phase == INSTALL_PULL;
    }
    if (!map_wanted(replica, level, at))
        return true; /* goes on from there */
    if (level == 0)
        return ask_pages(replica, output, at);
    const bool above_known =
        level == map_root(&replica->limits) || !map_wanted(replica, level + 1, at / map_fanout(&replica->limits));
    if (above_known && map_entry_is_zero(map_entry(replica, level, at)))
        install_take_zeros(replica, level, at);
    else if (above_known && !ask_hashes(replica, output, at))
        return false;
    install->scan_next = at + 1;
    return true;
}

static void install_pull(struct replica *replica, struct output *output)
{
    replica->install.tokens_due_ns = 0;
    for (uint32_t steps = 0; steps < SCANS_MAX; steps++)
        if (install_switch(replica, output) || !pass_step(replica, output))
            return;
    replica->wants_tick = true;
}

/* The superblock names the target. When it is complete the log goes on behind it. */
static void install_switched(struct replica *replica, struct output *output)
{
    struct install *install = &replica->install;
    const struct log_id id = install->target.id;
    if (!checkpoint_is_idle(replica))
        return;
    ASSERT(hash128_equal(replica->superblock.durable.checkpoint.hash, install->target.hash));
    install->pages_since_switch = 0;
    if (install->wanted_pages > 0) {
        scan_restart(replica);
        install->scan_useful = true;
        install_enter(replica, output, INSTALL_PULL);
        return;
    }
    ASSERT(replica->log.last.index >= id.index);
    /* The checkpoint that is named is whole. */
    replica->store.pages_damaged = 0;
    replica->store.map_damaged = false;
    install_commit(replica, output, id.index);
    output_event(output, EVENT_INSTALL_DONE, id.index, install->pages_pulled);
    install->target = (struct checkpoint){ .id = { .term = 0 } };
    if (install->index_min > id.index) {
        install_ask_first(replica, output);
        return;
    }
    install_satisfied(replica, output);
    store_load(replica, output, true);
}

void install_flush(struct replica *replica, struct output *output)
{
    struct install *install = &replica->install;
    install_runs_emit(replica, output);
    if (install->phase == INSTALL_PULL)
        requests_expire(replica, output);
    switch ((enum install_phase)install->phase) {
    case INSTALL_IDLE: return;
    case INSTALL_ASK: install_ask(replica, output); return;
    case INSTALL_PULL: install_pull(replica, output); return;
    case INSTALL_SWITCH: install_switched(replica, output); return;
    case INSTALL_BACK: install_back(replica, output); return;
    }
    UNREACHABLE();
}

uint64_t install_deadline(const struct replica *replica)
{
    const struct install *install = &replica->install;
    uint64_t deadline_ns = UINT64_MAX;
    /* Nothing is asked before what is on the disk has been read: the last completion brings the next step. */
    if (replica->store.state == STORE_LOADING)
        return UINT64_MAX;
    if (install->phase == INSTALL_ASK)
        return ask_may_act(replica) ? install->asked_ns + install_timeout_ns(replica) : UINT64_MAX;
    if (install->phase != INSTALL_PULL)
        return UINT64_MAX;
    for (uint32_t slot = 0; slot < INSTALL_REQUESTS_MAX; slot++)
        if (install->requests[slot].sent_ns != 0)
            deadline_ns = u64_min(deadline_ns, request_due_ns(replica, &install->requests[slot]));
    return install->tokens_due_ns != 0 ? u64_min(deadline_ns, install->tokens_due_ns) : deadline_ns;
}

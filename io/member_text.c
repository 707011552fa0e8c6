/* Words to operations on members; see member_text.h. */
#include "member_text.h"

#include "endpoint.h"
#include "text.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 2, 3))) static bool fail(char error[MEMBER_TEXT_ERROR_BYTES], const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, MEMBER_TEXT_ERROR_BYTES, format, arguments);
    va_end(arguments);
    return false;
}

/* ---- addresses ---- */

static bool is_unspecified(const struct endpoint *endpoint)
{
    if (endpoint->address.ss_family == AF_INET) {
        struct sockaddr_in address;
        memcpy(&address, &endpoint->address, sizeof(address));
        return address.sin_addr.s_addr == htonl(INADDR_ANY);
    }
    struct sockaddr_in6 address;
    memcpy(&address, &endpoint->address, sizeof(address));
    return memcmp(&address.sin6_addr, &in6addr_any, sizeof(in6addr_any)) == 0;
}

/* Of a host that is no number: NULL, or the problem. */
static const char *name_problem(const char *host, size_t bytes)
{
    static const char digits[] = "0123456789.";
    static const char letters[] = "0123456789.-_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    if (host[0] == '[')
        return "between [ and ] must be an IPv6 address";
    if (strspn(host, digits) >= bytes)
        return "that is no IPv4 address";
    return strspn(host, letters) >= bytes ? NULL : "a host is a name or an address, without a scheme or a path";
}

static const char *address_problem(const char *text, struct endpoint *endpoint)
{
    const char *colon = strrchr(text, ':');
    const size_t bytes = colon == NULL ? 0 : (size_t)(colon - text);
    if (strlen(text) >= MEMBER_ADDRESS_BYTES)
        return "an address has at most 63 bytes";
    if (colon == NULL)
        return "the port is missing";
    if (bytes == 0)
        return "the host is missing";
    if (text[0] != '[' && memchr(text, ':', bytes) != NULL && strspn(text, "0123456789abcdefABCDEF:.") >= bytes)
        return "an IPv6 address stands in brackets";
    switch (endpoint_parse_numeric(text, strlen(text), endpoint)) {
    case 0: return is_unspecified(endpoint) ? "nobody finds a node there" : NULL;
    case -EHOSTUNREACH: return name_problem(text, bytes);
    default: break;
    }
    return text[0] == '[' && colon[-1] != ']' ? "the ] of the IPv6 address is missing"
                                              : "the port is a number from 1 to 65535";
}

/* ---- words ---- */

static bool take_id(const char *word, uint64_t *id, char error[MEMBER_TEXT_ERROR_BYTES])
{
    if (text_parse_u64(word, id) && *id != 0 && *id != UINT64_MAX)
        return true;
    return fail(error, "'%.64s' is not the id of a node, a number from 1 to 2^64-2", word);
}

static bool take_place(const char *word, struct member_operation *operation, char error[MEMBER_TEXT_ERROR_BYTES])
{
    struct endpoint endpoint;
    char id[24];
    const char *equals = strchr(word, '=');
    if (equals == NULL)
        return fail(error, "'%.96s' is not ID=HOST:PORT", word);
    snprintf(id, sizeof(id), "%.*s", (int)u64_min((uint64_t)(equals - word), sizeof(id) - 1), word);
    if (!take_id(id, &operation->id, error))
        return false;
    const char *problem = address_problem(equals + 1, &endpoint);
    if (problem != NULL)
        return fail(error, "'%.96s' is not ID=HOST:PORT: %s", word, problem);
    memcpy(operation->address, endpoint.text, sizeof(operation->address));
    return true;
}

static bool take_priority(const char *word, struct member_operation *operation, char error[MEMBER_TEXT_ERROR_BYTES])
{
    uint64_t number = 0;
    if (!text_parse_u64(word, &number) || number > UINT8_MAX)
        return fail(error, "'%.64s' is not a priority, a number from 0 to 255", word);
    operation->priority = (uint8_t)number;
    return true;
}

static bool change_add(struct member_change *change, const struct member_operation *operation, uint64_t succeeds,
                       char error[MEMBER_TEXT_ERROR_BYTES])
{
    if (change->count == MEMBER_OPERATIONS_MAX)
        return fail(error, "more than %d operations at once", (int)MEMBER_OPERATIONS_MAX);
    change->succeeds[change->count] = succeeds;
    change->operations[change->count++] = *operation;
    return true;
}

/* ---- operations ---- */

static bool parse_replace(char *const *words, struct member_change *change, char error[MEMBER_TEXT_ERROR_BYTES])
{
    struct member_operation old = { .kind = MEMBER_REMOVE }, new = { .kind = MEMBER_ADD_LEARNER };
    return take_id(words[0], &old.id, error) && take_place(words[1], &new, error)
           && change_add(change, &new, old.id, error) && change_add(change, &old, 0, error);
}

static const struct {
    const char *name;
    uint32_t words; /* behind it */
    uint8_t kind;   /* enum member_operation_kind; 0: replace */
    const char *usage;
} verbs[] = {
    { "add", 1, MEMBER_ADD_LEARNER, "add ID=HOST:PORT" },
    { "promote", 1, MEMBER_PROMOTE, "promote ID" },
    { "demote", 1, MEMBER_DEMOTE, "demote ID" },
    { "remove", 1, MEMBER_REMOVE, "remove ID" },
    { "replace", 2, 0, "replace OLD NEW=HOST:PORT" },
    { "move", 1, MEMBER_SET_ADDRESS, "move ID=HOST:PORT" },
    { "priority", 2, MEMBER_SET_PRIORITY, "priority ID N" },
};

/* The operation that `words` begin with. How many of them it took; 0 with the problem in `error`. */
static uint32_t parse_one(char *const *words, uint32_t word_count, struct member_change *change,
                          char error[MEMBER_TEXT_ERROR_BYTES])
{
    uint32_t at = 0;
    while (at < ARRAY_COUNT(verbs) && strcmp(words[0], verbs[at].name) != 0)
        at++;
    if (at == ARRAY_COUNT(verbs)) {
        fail(error, "'%.64s' is none of list, add, promote, demote, remove, replace, move, priority and change",
             words[0]);
        return 0;
    }
    if (word_count < 1 + verbs[at].words) {
        fail(error, "usage: %s", verbs[at].usage);
        return 0;
    }
    struct member_operation operation = { .kind = verbs[at].kind };
    const bool placed = verbs[at].kind == MEMBER_ADD_LEARNER || verbs[at].kind == MEMBER_SET_ADDRESS;
    bool taken;
    if (verbs[at].kind == 0)
        taken = parse_replace(words + 1, change, error);
    else
        taken = (placed ? take_place(words[1], &operation, error) : take_id(words[1], &operation.id, error))
                && (verbs[at].kind != MEMBER_SET_PRIORITY || take_priority(words[2], &operation, error))
                && change_add(change, &operation, 0, error);
    return taken ? 1 + verbs[at].words : 0;
}

bool member_text_parse(char *const *words, uint32_t word_count, struct member_change *change,
                       char error[MEMBER_TEXT_ERROR_BYTES])
{
    const bool several = word_count > 0 && strcmp(words[0], "change") == 0;
    *change = (struct member_change){ .count = 0 };
    for (uint32_t at = several; at < word_count;) {
        if (at > 0 && !several)
            return fail(error, "'%.64s': too much; several operations at once are member change ...", words[at]);
        const uint32_t taken = parse_one(words + at, word_count - at, change, error);
        if (taken == 0)
            return false;
        at += taken;
    }
    return change->count > 0 || fail(error, "what is to be changed is missing");
}

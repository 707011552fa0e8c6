/* A node's address as clients know it: "host:port", resolved once.
 *
 * Not a resolver: a name is looked up when it is parsed (which may block, as getaddrinfo() does), and when it was not
 * found then, again each time that it is connected to. Numeric addresses never block. IPv6 hosts stand in brackets:
 * "[::1]:7001". */
#ifndef WW_ENDPOINT_H
#define WW_ENDPOINT_H

#include "../core/base.h"
#include "../core/limits.h"

#include <sys/socket.h>

enum { ENDPOINTS_MAX = 16 };

struct endpoint {
    char text[MEMBER_ADDRESS_BYTES]; /* as given, NUL-terminated */
    struct sockaddr_storage address;
    socklen_t address_bytes; /* 0: no such host, so far */
};

/* text: count bytes, not necessarily NUL-terminated. 0; -EINVAL: not host:port; -EHOSTUNREACH: no such host. */
int endpoint_parse(const char *text, size_t count, struct endpoint *endpoint) __attribute__((warn_unused_result));

/* The same, and never looks up a name: -EHOSTUNREACH when the host is one. */
int endpoint_parse_numeric(const char *text, size_t count, struct endpoint *endpoint)
    __attribute__((warn_unused_result));

/* "a:1,b:2,...". The number of endpoints, 1..ENDPOINTS_MAX; of which some may have no such host, but not all. Negative:
 * as above, -E2BIG: too many; then list[0].text is the part that is wrong. */
int endpoint_list_parse(const char *text, struct endpoint list[ENDPOINTS_MAX]) __attribute__((warn_unused_result));

/* Begins to connect: a non-blocking socket with TCP_NODELAY that turns writable when connected or failed.
 * Negative errno when even that cannot be done. */
int endpoint_connect(struct endpoint *endpoint) __attribute__((warn_unused_result));
/* Of what a connection to it ended with, a negative errno. */
const char *endpoint_error_text(const struct endpoint *endpoint, int error);

#endif

/* Addresses of nodes; see endpoint.h. */
#include "endpoint.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

static bool endpoint_port_valid(const char *port)
{
    uint32_t value = 0;
    for (const char *digit = port; *digit != '\0'; digit++) {
        if (*digit < '0' || *digit > '9' || digit - port >= 5)
            return false;
        value = value * 10 + (uint32_t)(*digit - '0');
    }
    return value >= 1 && value <= UINT16_MAX;
}

static int endpoint_find(const char *text, size_t count, struct endpoint *endpoint, int flags)
{
    memset(endpoint, 0, sizeof(*endpoint));
    if (count == 0 || count >= sizeof(endpoint->text))
        return -EINVAL;
    memcpy(endpoint->text, text, count);

    char host[MEMBER_ADDRESS_BYTES];
    memcpy(host, endpoint->text, sizeof(host));
    char *colon = strrchr(host, ':');
    if (colon == NULL || colon == host || !endpoint_port_valid(colon + 1))
        return -EINVAL;
    *colon = '\0';
    char *name = host;
    if (host[0] == '[') {
        if (colon[-1] != ']')
            return -EINVAL;
        colon[-1] = '\0';
        name = host + 1;
    }

    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | flags };
    struct addrinfo *found = NULL;
    if (getaddrinfo(name, colon + 1, &hints, &found) != 0)
        return -EHOSTUNREACH;
    ASSERT(found != NULL && found->ai_addrlen <= sizeof(endpoint->address));
    memcpy(&endpoint->address, found->ai_addr, found->ai_addrlen);
    endpoint->address_bytes = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

int endpoint_parse(const char *text, size_t count, struct endpoint *endpoint)
{
    return endpoint_find(text, count, endpoint, 0);
}

int endpoint_parse_numeric(const char *text, size_t count, struct endpoint *endpoint)
{
    return endpoint_find(text, count, endpoint, AI_NUMERICHOST);
}

int endpoint_list_parse(const char *text, struct endpoint list[ENDPOINTS_MAX])
{
    int count = 0;
    bool found = false;
    for (const char *part = text;; part++) {
        const size_t bytes = strcspn(part, ",");
        struct endpoint endpoint;
        const int error = count == ENDPOINTS_MAX ? -E2BIG : endpoint_parse(part, bytes, &endpoint);
        if (error < 0 && error != -EHOSTUNREACH) {
            memset(list[0].text, 0, sizeof(list[0].text));
            memcpy(list[0].text, part, bytes < sizeof(list[0].text) ? bytes : sizeof(list[0].text) - 1);
            return error;
        }
        found |= error == 0;
        list[count++] = endpoint;
        part += bytes;
        if (*part == '\0')
            return found ? count : -EHOSTUNREACH;
    }
}

int endpoint_connect(struct endpoint *endpoint)
{
    if (endpoint->address_bytes == 0) {
        const struct endpoint unknown = *endpoint;
        const int error = endpoint_parse(unknown.text, strlen(unknown.text), endpoint);
        if (error < 0)
            return error;
    }
    const int fd = socket(endpoint->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    const int on = 1;
    /* Requests are small and answered one by one: waiting for more bytes would only add delay. */
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0
        && (connect(fd, (const struct sockaddr *)&endpoint->address, endpoint->address_bytes) == 0
            || errno == EINPROGRESS))
        return fd;
    const int error = -errno;
    close(fd);
    return error;
}

const char *endpoint_error_text(const struct endpoint *endpoint, int error)
{
    return endpoint->address_bytes == 0 && error == -EHOSTUNREACH ? "no such host" : strerror(-error);
}

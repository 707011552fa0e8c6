/* One client connection that carries frames: blocking calls with a deadline over a non-blocking socket.
 *
 * It knows how to cut the stream into reply frames and nothing of sessions, retries or leaders (client.h). A link that
 * returned an error is closed; it may be connected again. */
#ifndef WW_LINK_H
#define WW_LINK_H

#include "../core/request.h"
#include "endpoint.h"

struct link {
    int fd; /* -1: closed */
    uint8_t *bytes;
    uint32_t capacity;
    uint32_t filled;   /* bytes received and kept */
    uint32_t consumed; /* of them: the frame handed out last, dropped by the next call */
};

void link_init(struct link *link);
/* Frees the buffer too. */
void link_deinit(struct link *link);
void link_close(struct link *link);

/* Deadlines are times of clock_now_ns(). All return 0 or a negative errno; -ETIMEDOUT when one passes first. */
int link_connect(struct link *link, struct endpoint *endpoint, uint64_t deadline_ns)
    __attribute__((warn_unused_result));
/* *sent: whether any byte left. Without one, the node surely did not see the request. */
int link_send(struct link *link, struct slice frame, uint64_t deadline_ns, bool *sent)
    __attribute__((warn_unused_result));
/* The reply to request_id; others are skipped. reply->value borrows from the link until its next call.
 * -EPROTO: the other side does not speak this protocol; -ECONNRESET: it closed. */
int link_receive(struct link *link, uint64_t request_id, uint64_t deadline_ns, struct reply *reply)
    __attribute__((warn_unused_result));
/* The next whole frame of any kind, not decoded; borrowed in the same way. */
int link_receive_frame(struct link *link, uint64_t deadline_ns, struct slice *frame)
    __attribute__((warn_unused_result));

#endif

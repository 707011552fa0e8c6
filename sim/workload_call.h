/* What clients ask for: builds one request at a time. */
#ifndef WW_WORKLOAD_CALL_H
#define WW_WORKLOAD_CALL_H

#include "workload.h"

/* Draws the client's next request into its buffers; session and sequence included. */
void workload_draw_request(struct workload *workload, struct scene *scene, uint32_t client);
/* A request of this kind on this key, with a short value if any. */
void workload_fixed_request(struct workload *workload, struct scene *scene, uint32_t client, enum request_kind kind,
                            uint32_t key_slot);
/* Encodes a frame that is intact but no request, into the frame buffer. */
struct slice workload_draw_garbage(struct workload *workload, struct scene *scene, uint32_t client);

#endif

/* Why a change of members is refused, with the names of those that it is about: the reply of a leader has only a status
 * (request.h), and what it knew is in the view that the change was meant for. */
#ifndef WW_MEMBERSHIP_REFUSAL_H
#define WW_MEMBERSHIP_REFUSAL_H

#include "client.h"

enum { REFUSAL_BYTES = 512, START_LINE_BYTES = 768 };

/* Could the operations be asked of these members? CONFIGURATION_OK, or the reason in `text`. `now` is not joint. */
enum configuration_verdict refusal_judge(const struct configuration *now, const struct member_operation *operations,
                                         uint32_t count, char text[REFUSAL_BYTES]);

/* REPLY_WOULD_LOSE_QUORUM: the voters behind the change, and when the leader heard from each. */
void refusal_of_quorum(const struct client_node *view, const struct configuration *after, char text[REFUSAL_BYTES]);

/* How a node that waits to be a member is started. */
void start_line_of(const struct configuration *configuration, uint64_t node_id, char text[START_LINE_BYTES]);

#endif

/* What `raftctl member` prints of a change: from which members to which, and who has not been heard from. */
#ifndef WW_MEMBERSHIP_REPORT_H
#define WW_MEMBERSHIP_REPORT_H

#include "membership.h"

#include <stdio.h>

/* "committed as entry 12: voters 1 2 3 -> 2 3 4", and a line end. Of what was done, all of it or the first step. */
void membership_report_change(FILE *file, const struct membership *membership);
/* For each new member that the leader has not heard from yet: how it is started. */
void membership_report_silent(const struct membership_task *task, const struct membership *membership,
                              const struct client_node *leader);

/* Fields of a JSON object, each with ", " before it. */
void membership_report_change_json(const struct membership *membership);
void membership_report_silent_json(const struct membership_task *task, const struct membership *membership,
                                   const struct client_node *leader);

#endif

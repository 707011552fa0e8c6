/* What `raftctl status` and `raftctl member list` print: tables for people, one JSON object for programs. */
#ifndef WW_STATUS_REPORT_H
#define WW_STATUS_REPORT_H

#include "client.h"

struct status_answer {
    bool ok;
    struct client_node node;
    const char *endpoint;
    char error[256]; /* when not ok */
};

void status_report_text(const struct status_answer *answers, uint32_t count);
void status_report_json(const struct status_answer *answers, uint32_t count);

/* The members as a leader sees them. */
void status_report_members(const struct client_node *leader);
/* A JSON array of them. */
void status_report_members_json(const struct client_node *node);
#endif

/* The words of the client library; see client.h. */
#include "client.h"

#include <string.h>

const char *client_outcome_text(enum client_outcome outcome)
{
    switch (outcome) {
    case CLIENT_OK: return "ok";
    case CLIENT_FAILED: return "failed";
    case CLIENT_UNKNOWN: return "unknown";
    }
    UNREACHABLE();
}

const char *client_reason_text(enum client_reason reason)
{
    switch (reason) {
    case CLIENT_DONE: return "done";
    case CLIENT_NOT_FOUND: return "not found";
    case CLIENT_CONDITION_FAILED: return "condition failed";
    case CLIENT_NO_SPACE: return "no space";
    case CLIENT_TOO_LARGE: return "too large";
    case CLIENT_BAD_REQUEST: return "bad request";
    case CLIENT_WRONG_CLUSTER: return "wrong cluster";
    case CLIENT_NOT_A_VOTER: return "not a voter";
    case CLIENT_REFUSED: return "refused";
    case CLIENT_TRANSFER_FAILED: return "not transferred";
    case CLIENT_BUSY: return "busy";
    case CLIENT_LATE: return "too late";
    case CLIENT_NO_LEADER: return "no leader";
    case CLIENT_UNREACHABLE: return "unreachable";
    case CLIENT_TIMED_OUT: return "timed out";
    case CLIENT_SESSION_LOST: return "session lost";
    case CLIENT_NO_MEMORY: return "no memory";
    }
    UNREACHABLE();
}

struct slice client_text(const char *text)
{
    const size_t bytes = strlen(text);
    ASSERT(bytes <= UINT32_MAX);
    return (struct slice){ .bytes = (const uint8_t *)text, .count = (uint32_t)bytes };
}

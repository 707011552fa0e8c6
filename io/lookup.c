/* Names beside the loop; see lookup.h. */
#include "lookup.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum lookup_state { LOOKUP_WORKING, LOOKUP_DONE, LOOKUP_ABANDONED };

struct lookup {
    char text[MEMBER_ADDRESS_BYTES];
    struct endpoint endpoint; /* the thread's while it works */
    int result;
    atomic_int state; /* enum lookup_state; who finds it changed is the one that frees */
};

static void *lookup_main(void *argument)
{
    struct lookup *lookup = argument;
    lookup->result = endpoint_parse(lookup->text, strlen(lookup->text), &lookup->endpoint);
    if (atomic_exchange(&lookup->state, LOOKUP_DONE) == LOOKUP_ABANDONED)
        free(lookup);
    return NULL;
}

struct lookup *lookup_start(const char *text)
{
    pthread_t thread;
    struct lookup *lookup = calloc(1, sizeof(*lookup));
    if (lookup == NULL)
        return NULL;
    ASSERT(strlen(text) < sizeof(lookup->text));
    memcpy(lookup->text, text, strlen(text));
    if (pthread_create(&thread, NULL, lookup_main, lookup) != 0) {
        free(lookup);
        return NULL;
    }
    pthread_setname_np(thread, "lookup");
    pthread_detach(thread);
    return lookup;
}

int lookup_poll(struct lookup *lookup, struct endpoint *endpoint)
{
    ASSERT(lookup != NULL);
    if (atomic_load(&lookup->state) != LOOKUP_DONE)
        return -EAGAIN;
    const int result = lookup->result;
    *endpoint = lookup->endpoint;
    free(lookup);
    return result;
}

void lookup_drop(struct lookup *lookup)
{
    if (lookup != NULL && atomic_exchange(&lookup->state, LOOKUP_ABANDONED) == LOOKUP_DONE)
        free(lookup);
}

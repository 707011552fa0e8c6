/* Changes of members in words and as JSON; see membership_report.h. */
#include "membership_report.h"

#include "membership_refusal.h"
#include "text.h"

#include <string.h>

/* ---- from and to ---- */

/* Growing. */
static uint32_t ids_of(const struct configuration *configuration, uint8_t role, uint64_t ids[MEMBERS_MAX])
{
    uint32_t count = 0;
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++) {
        const struct member *member = &configuration->members[slot];
        uint32_t at = count;
        if ((member->roles & role) == 0)
            continue;
        for (; at > 0 && ids[at - 1] > member->id; at--)
            ids[at] = ids[at - 1];
        ids[at] = member->id;
        count++;
    }
    return count;
}

static void print_ids(FILE *file, const uint64_t ids[MEMBERS_MAX], uint32_t count)
{
    for (uint32_t at = 0; at < count; at++)
        fprintf(file, " %llu", (unsigned long long)ids[at]);
    if (count == 0)
        fputs(" none", file);
}

/* Not a set that was and is empty. */
static void print_set(FILE *file, const struct membership *membership, const char *name, uint8_t role)
{
    uint64_t before[MEMBERS_MAX] = { 0 }, after[MEMBERS_MAX] = { 0 };
    const uint32_t before_count = ids_of(&membership->before, role, before);
    const uint32_t after_count = ids_of(&membership->after, role, after);
    if (before_count + after_count == 0)
        return;
    fputs(name, file);
    print_ids(file, before, before_count);
    if (before_count == after_count && memcmp(before, after, sizeof(before)) == 0)
        return;
    fputs(" ->", file);
    print_ids(file, after, after_count);
}

void membership_report_change(FILE *file, const struct membership *membership)
{
    fprintf(file, "committed as entry %llu: ", (unsigned long long)membership->index);
    print_set(file, membership, "voters", MEMBER_VOTER);
    print_set(file, membership, ", learners", MEMBER_LEARNER);
    for (uint32_t slot = 0; slot < MEMBERS_MAX; slot++) {
        const struct member *before = &membership->before.members[slot];
        const uint32_t kept = configuration_slot(&membership->after, before->id);
        if (kept == MEMBERS_MAX)
            continue;
        const struct member *after = &membership->after.members[kept];
        if (strcmp(before->address, after->address) != 0)
            fprintf(file, ", node %llu from %s to %s", (unsigned long long)after->id, before->address, after->address);
        if (before->priority != after->priority)
            fprintf(file, ", priority of node %llu from %u to %u", (unsigned long long)after->id,
                    (unsigned)before->priority, (unsigned)after->priority);
    }
    fputc('\n', file);
}

static void print_set_json(const struct configuration *configuration, const char *name, uint8_t role)
{
    uint64_t ids[MEMBERS_MAX];
    const uint32_t count = ids_of(configuration, role, ids);
    printf("\"%s\": [", name);
    for (uint32_t at = 0; at < count; at++)
        printf("%s%llu", at > 0 ? ", " : "", (unsigned long long)ids[at]);
    putchar(']');
}

static void print_configuration_json(const struct configuration *configuration, const char *name)
{
    printf(", \"%s\": {", name);
    print_set_json(configuration, "voters", MEMBER_VOTER);
    printf(", ");
    print_set_json(configuration, "learners", MEMBER_LEARNER);
    putchar('}');
}

void membership_report_change_json(const struct membership *membership)
{
    printf(", \"configuration_index\": %llu", (unsigned long long)membership->index);
    print_configuration_json(&membership->before, "from");
    print_configuration_json(&membership->after, "to");
}

/* ---- who has not been heard from ---- */

/* The operation `at` adds somebody from whom nothing has come yet: how it is started. */
static bool is_silent(const struct membership_task *task, uint32_t at, const struct membership *membership,
                      const struct client_node *leader, char start[START_LINE_BYTES])
{
    const struct member_operation *operation = &task->change.operations[at];
    const struct member_status *status = membership_find(leader, operation->id);
    if (operation->kind != MEMBER_ADD_LEARNER || status == NULL || status->heard_age_ns != UINT64_MAX
        || configuration_slot(&membership->after, operation->id) == MEMBERS_MAX)
        return false;
    start_line_of(&membership->after, operation->id, start);
    return true;
}

void membership_report_silent(const struct membership_task *task, const struct membership *membership,
                              const struct client_node *leader)
{
    char start[START_LINE_BYTES];
    for (uint32_t at = 0; at < task->change.count; at++)
        if (is_silent(task, at, membership, leader, start))
            printf("node %llu has not been heard from yet; if it does not run, start it there with:\n  %s\n",
                   (unsigned long long)task->change.operations[at].id, start);
}

void membership_report_silent_json(const struct membership_task *task, const struct membership *membership,
                                   const struct client_node *leader)
{
    char start[START_LINE_BYTES];
    const char *comma = "";
    printf(", \"not_heard\": [");
    for (uint32_t at = 0; at < task->change.count; at++) {
        if (!is_silent(task, at, membership, leader, start))
            continue;
        printf("%s{\"id\": %llu, \"address\": ", comma, (unsigned long long)task->change.operations[at].id);
        text_write_json(stdout, client_text(task->change.operations[at].address));
        printf(", \"start\": ");
        text_write_json(stdout, client_text(start));
        putchar('}');
        comma = ", ";
    }
    putchar(']');
}

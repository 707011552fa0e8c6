/* A trace as text; the grammar is described in ../traces/README.md. */
#include <inttypes.h>
#include <string.h>

#include "knobs.h"
#include "scene.h"
#include "trace.h"

static void print_endpoint(uint32_t endpoint, FILE *file)
{
    if (endpoint < ENDPOINT_CLIENT)
        fprintf(file, "n%" PRIu32, endpoint);
    else
        fprintf(file, "c%" PRIu32, endpoint - ENDPOINT_CLIENT);
}

static void print_who(enum choose_subject subject, uint32_t who, FILE *file)
{
    switch (subject) {
    case SUBJECT_LINK:
    case SUBJECT_FRAME:
        fputc(' ', file);
        print_endpoint(who / ENDPOINTS, file);
        fputc('>', file);
        print_endpoint(who % ENDPOINTS, file);
        return;
    case SUBJECT_ARRIVAL:
    case SUBJECT_STEP:
    case SUBJECT_OPERATION:
    case SUBJECT_LIFE:
    case SUBJECT_TIMER:
    case SUBJECT_NODE: fprintf(file, " n%" PRIu32, who); return;
    case SUBJECT_CALL:
    case SUBJECT_ATTEMPT:
    case SUBJECT_CLIENT: fprintf(file, " c%" PRIu32, who); return;
    case SUBJECT_NONE:
    case SUBJECT_STRIKE:
    case SUBJECT_POWER:
    case SUBJECT_CHANGE: return;
    case SUBJECTS: break;
    }
    UNREACHABLE();
}

/* The members of a set of nodes. */
static void print_set(uint64_t set, FILE *file)
{
    const char *between = "";
    for (uint32_t slot = 0; slot < VOTERS_MAX; slot++)
        if ((set >> slot & 1) != 0) {
            fprintf(file, "%sn%" PRIu32, between, slot);
            between = "+";
        }
}

static void print_value(enum trace_unit unit, uint64_t value, FILE *file)
{
    const char *word = trace_word(unit, unit == UNIT_MEMBER ? value & 15 : value);
    if (unit == UNIT_TIME) {
        time_print(value, file);
    } else if (unit == UNIT_NODE && value > 0 && value <= VOTERS_MAX) {
        fprintf(file, "n%" PRIu64, value - 1);
    } else if (unit == UNIT_SET && value + 1 < 1ULL << VOTERS_MAX) {
        print_set(value + 1, file); /* the choice is a set that is not empty, less one */
    } else if (unit == UNIT_MEMBER && word != NULL) {
        fprintf(file, "%s:n%" PRIu64, word, value >> 4 & 15);
        if (value >> 8 != 0)
            fprintf(file, ":%" PRIu64, value >> 8);
    } else if (word != NULL) {
        fputs(word, file);
    } else {
        fprintf(file, "%" PRIu64, value);
    }
}

/* All values of a site, by repetition; what is not there is tame and shown as "-". */
static void print_values(const struct trace *trace, uint32_t index, enum choose_site site, FILE *file)
{
    uint32_t last = 0;
    for (uint32_t at = trace->decisions[index].arguments; at != 0; at = trace->arguments[at - 1].next)
        if (trace->arguments[at - 1].site == site)
            last = u32_max(last, trace->arguments[at - 1].repetition);
    for (uint32_t i = 0; i <= last; i++) {
        const struct trace_argument *argument = trace_argument(trace, index, site, i);
        fputs(i > 0 ? "," : "", file);
        if (argument != NULL)
            print_value(site_words[site].unit, argument->value, file);
        else
            fputc('-', file);
    }
}

static bool has_site(const struct trace *trace, uint32_t index, enum choose_site site)
{
    for (uint32_t at = trace->decisions[index].arguments; at != 0; at = trace->arguments[at - 1].next)
        if (trace->arguments[at - 1].site == site)
            return true;
    return false;
}

/* Does it have the value 1 and no other? Then its name says enough. */
static bool is_plain_flag(const struct trace *trace, uint32_t index, enum choose_site site)
{
    if (site_words[site].unit != UNIT_FLAG)
        return false;
    for (uint32_t at = trace->decisions[index].arguments; at != 0; at = trace->arguments[at - 1].next) {
        const struct trace_argument *argument = &trace->arguments[at - 1];
        if (argument->site == site && (argument->repetition != 0 || argument->value != 1))
            return false;
    }
    return has_site(trace, index, site);
}

void trace_print_decision(const struct trace *trace, uint32_t index, FILE *file)
{
    const struct decision *decision = &trace->decisions[index];
    const enum choose_site head = (enum choose_site)decision->head;
    const enum choose_subject subject = site_words[head].subject;
    const bool timed = subject == SUBJECT_STRIKE || subject == SUBJECT_CHANGE;
    fputs(subject == SUBJECT_STRIKE ? nemesis_text((enum nemesis_kind)decision->who) : site_words[head].text, file);
    print_who(subject, decision->who, file);
    if (!timed && decision->ordinal != 0) {
        const char *class = trace_class_text(decision->class);
        fprintf(file, " %s#%" PRIu64, class != NULL ? class : "", decision->ordinal);
        if (decision->part != 0)
            fprintf(file, ".%u", (unsigned)decision->part);
    }
    if (has_site(trace, index, head) && site_words[head].unit != UNIT_WHEN && !is_plain_flag(trace, index, head)) {
        fputc(' ', file);
        print_values(trace, index, head, file);
    }
    for (uint32_t site = 0; site < SITES; site++) {
        if (site == head || site_words[site].head != head || !has_site(trace, index, (enum choose_site)site))
            continue;
        fprintf(file, " %s", site_words[site].text);
        if (is_plain_flag(trace, index, (enum choose_site)site))
            continue;
        fputc('=', file);
        print_values(trace, index, (enum choose_site)site, file);
    }
    fputs(" @", file);
    time_print(decision->time_ns, file);
    fputc('\n', file);
}

static void print_digests(const struct trace *trace, FILE *file)
{
    enum { IN_A_LINE = 20 };
    for (uint32_t i = 0; i < trace->digest_count; i++) {
        if (i % IN_A_LINE == 0)
            fprintf(file, "%ssteps %" PRIu32, i > 0 ? "\n" : "", i + 1);
        fprintf(file, " %04x", (unsigned)trace->digests[i]);
    }
    if (trace->digest_count > 0)
        fputc('\n', file);
}

void trace_invariant(const char *format, char to[TRACE_TEXT_MAX])
{
    size_t bytes = 0;
    for (const char *at = format; *at != '\0' && bytes + 1 < TRACE_TEXT_MAX; at++) {
        to[bytes++] = *at == '%' ? '*' : *at;
        if (*at == '%')
            at += 1 + strspn(at + 1, "l");
    }
    to[bytes] = '\0';
}

static void print_decisions(const struct trace *trace, FILE *file, enum trace_style style)
{
    fprintf(file, "seed %" PRIu64 "\n", trace->swarm.seed);
    fprintf(file, "profile %s\n", profile_text(trace->swarm.profile));
    knobs_print(&trace->swarm, file);
    for (uint32_t i = 0; i < trace->count; i++)
        trace_print_decision(trace, i, file);
    if (style == TRACE_WHOLE)
        print_digests(trace, file);
}

static void print_actions(const struct trace *trace, FILE *file)
{
    explore_bounds_write(&trace->bounds, file);
    for (uint32_t i = 0; i < trace->action_count; i++)
        fprintf(file, "%s\n", trace->actions[i].text);
}

void trace_print(const struct trace *trace, FILE *file, enum trace_style style)
{
    const struct trace_ending *ending = &trace->ending;
    fprintf(file, "raftsim-trace %d\n", TRACE_VERSION);
    if (trace->note[0] != '\0')
        fprintf(file, "note %s\n", trace->note);
    if (trace->build != 0)
        fprintf(file, "build %016" PRIx64 "\n", trace->build);
    if (trace->explored)
        print_actions(trace, file);
    else
        print_decisions(trace, file, style);
    if (ending->digested)
        fprintf(file, "end %" PRIu64 " %016" PRIx64 "\n", ending->steps, ending->digest);
    if (ending->outcome[0] != '\0')
        fprintf(file, "outcome %s\n", ending->outcome);
    if (ending->checker[0] != '\0')
        fprintf(file, "checker %s\n", ending->checker);
    if (ending->invariant[0] != '\0')
        fprintf(file, "invariant %s\n", ending->invariant);
    if (ending->text[0] != '\0')
        fprintf(file, "text %s\n", ending->text);
}

/* Change points: which thread, and what falls behind with it. */
#include "pct.h"

#include "observe.h"

struct thread {
    const struct world *world;
    enum thread_kind kind;
    uint32_t of; /* the sender, or the node */
    uint32_t to; /* of a link */
};

/* Is the event one of a thread? */
static bool thread_of(const struct world *world, const struct queue_event *event, struct thread *thread)
{
    *thread = (struct thread){ .world = world, .of = event->who };
    switch ((enum queue_kind)event->kind) {
    case QUEUE_PACKET:
        thread->kind = THREAD_LINK;
        thread->of = world->network.packets[event->slot].from;
        thread->to = event->who;
        return true;
    case QUEUE_DISK: thread->kind = THREAD_DISK; return true;
    case QUEUE_TIMER: thread->kind = THREAD_TIMER; return true;
    case QUEUE_RESTART:
    case QUEUE_CLIENT:
    case QUEUE_NEMESIS:
    case QUEUE_MEND:
    case QUEUE_MEMBERS: return false;
    }
    UNREACHABLE();
}

static bool thread_meant(const struct queue_event *event, const void *context)
{
    const struct thread *thread = context;
    struct thread other;
    return thread_of(thread->world, event, &other) && other.kind == thread->kind && other.of == thread->of
           && other.to == thread->to;
}

static void demote(struct world *world, const struct thread *thread, uint64_t by_ns)
{
    static const enum fault_kind faults[THREAD_KINDS] = { FAULT_LINK_DEMOTED, FAULT_DISK_DEMOTED, FAULT_TIMER_DEMOTED };
    struct scene *scene = &world->scene;
    struct node *node = &world->nodes[thread->of % scene->swarm.node_count];
    coverage_fire(&scene->coverage, faults[thread->kind]);
    if (observed_by(scene) && thread->of < ENDPOINT_CLIENT)
        observe_fault(scene, thread->of, faults[thread->kind]);
    switch (thread->kind) {
    case THREAD_LINK: network_slow_down(&world->network, thread->of, thread->to, by_ns); break;
    case THREAD_DISK: node->disk.least_ns = by_ns; break;
    case THREAD_TIMER:
        node->timer_least_ns = by_ns;
        node->timer_ns += by_ns;
        break;
    case THREAD_KINDS: UNREACHABLE();
    }
    queue_postpone(&scene->queue, thread_meant, thread, by_ns);
}

/* Whom it is about: `drawn`, or whom the trace names. Later ones fall behind earlier ones, mostly. */
static void change(struct world *world, struct thread drawn)
{
    struct scene *scene = &world->scene;
    struct choose *choices = &scene->choose;
    const uint64_t election_ns = scene_election_ns(scene);
    struct thread thread = { .world = world };
    thread.kind =
        (enum thread_kind)u64_min(choose_note(choices, SITE_DEMOTE_WHAT, drawn.kind, THREAD_LINK), THREAD_KINDS - 1);
    const uint32_t ends = thread.kind == THREAD_LINK ? ENDPOINTS : scene->swarm.node_count;
    thread.of = (uint32_t)u64_min(choose_note(choices, SITE_DEMOTE_FROM, drawn.of, 0), ends - 1);
    thread.to = (uint32_t)u64_min(choose_note(choices, SITE_DEMOTE_TO, drawn.to, 0), ENDPOINTS - 1);
    const uint64_t by_ns = choose_octave(choices, SITE_DEMOTE_BY, NEMESIS_DEMOTE, 4 * election_ns, 32 * election_ns);
    demote(world, &thread, by_ns);
}

/* Between the event before and the one that comes next, so that a trace, where it lies in the queue, finds it there.
 * Not between two inputs of one batch: in a trace nothing may lie between them. */
void pct_advance(struct world *world)
{
    struct scene *scene = &world->scene;
    const struct queue_event *next = queue_first(&scene->queue);
    struct thread thread;
    if (scene->healed || world->owing > 0 || !choose_draws(&scene->choose)
        || scene->step < scene->swarm.demote_step[world->demoted] || next->time_ns <= scene->now_ns + 1
        || !thread_of(world, next, &thread))
        return;
    scene->now_ns++;
    world->demoted++;
    choose_subject(&scene->choose, SUBJECT_STRIKE, NEMESIS_DEMOTE, CLASS_NONE);
    choose_note(&scene->choose, SITE_STRIKE, 1, 0);
    change(world, thread);
}

void pct_strike(struct world *world)
{
    const struct thread none = { .kind = THREAD_LINK };
    change(world, none);
}

/* Hooks, signal handlers and the way back. Takes part in no decision. */
#define _DEFAULT_SOURCE
#include "trap.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

enum { TICK_MS = 20, STILLS_MAX = 20, STACK_BYTES = 64 * 1024 };

static struct {
    volatile sig_atomic_t armed;
    jmp_buf back;
    const struct world *world;
    uint32_t still_ticks_max;
    uint64_t step;        /* at the last tick... */
    uint32_t still_ticks; /* ... and how many it has been that */
    uint32_t ticks;       /* of this life */
    struct trap_caught caught;
} trap;

_Noreturn static void trap_spring(const char *checker)
{
    trap.armed = 0;
    trap.caught.checker = checker;
    longjmp(trap.back, 1);
}

void trap_assertion(const char *expression, const char *file)
{
    if (!trap.armed)
        return;
    snprintf(trap.caught.text, sizeof trap.caught.text, "%s: %s", file, expression);
    trap_spring("assertion");
}

static void trap_on_signal(int number)
{
    if (!trap.armed) {
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    snprintf(trap.caught.text, sizeof trap.caught.text, "signal %d", number);
    trap_spring("signal");
}

static void trap_on_tick(int number)
{
    (void)number;
    if (!trap.armed)
        return;
    trap.ticks++;
    trap.still_ticks = trap.step == trap.world->scene.step ? trap.still_ticks + 1 : 0;
    trap.step = trap.world->scene.step;
    if (trap.still_ticks < trap.still_ticks_max && trap.ticks < STILLS_MAX * trap.still_ticks_max)
        return;
    snprintf(trap.caught.text, sizeof trap.caught.text, "no end");
    trap_spring("hang");
}

void trap_signals(uint32_t still_ms)
{
    static const int numbers[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
    static _Alignas(16) uint8_t stack[STACK_BYTES]; /* the other one may be used up */
    const struct itimerval ticks = { .it_interval = { .tv_usec = TICK_MS * 1000 },
                                     .it_value = { .tv_usec = TICK_MS * 1000 } };
    struct sigaction action = { .sa_handler = trap_on_signal, .sa_flags = SA_NODEFER | SA_ONSTACK };
    trap.still_ticks_max = still_ms / TICK_MS;
    sigaltstack(&(stack_t){ .ss_sp = stack, .ss_size = sizeof stack }, NULL);
    for (uint32_t i = 0; i < ARRAY_COUNT(numbers); i++)
        sigaction(numbers[i], &action, NULL);
    action.sa_handler = trap_on_tick;
    action.sa_flags |= SA_RESTART;
    sigaction(SIGVTALRM, &action, NULL);
    setitimer(ITIMER_VIRTUAL, &ticks, NULL);
}

bool trap_live(struct world *world, const struct world_options *options, struct world_result *result,
               struct trap_caught *caught)
{
    if (setjmp(trap.back) != 0) {
        *caught = trap.caught;
        return true;
    }
    trap.world = world;
    trap.ticks = trap.still_ticks = 0;
    trap.armed = 1;
    const bool lived = world_run(world, options, result);
    trap.armed = 0;
    caught->checker = NULL;
    return lived;
}

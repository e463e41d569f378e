#define _GNU_SOURCE
#include "crew.h"

#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "futex.h"
#include "stepper.h"

/* Long, so that whoever was not woken by the protocol is stuck, not late. */
#define LONG_SLICE_NS (30 * 1000000000LL)

void
blame(world *world, const char *kind, const char *format, ...)
{
    uint32_t *counter = strcmp(kind, "stuck") == 0     ? &world->stuck
                        : strcmp(kind, "lost") == 0    ? &world->lost
                        : strcmp(kind, "doubled") == 0 ? &world->doubled
                                                       : &world->wrong;
    ++*counter;
    if (world->scenario->must_show != NULL) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    printf("  %s, point %u: %s: ", world->scenario->name, world->point, kind);
    vprintf(format, arguments);
    printf("\n");
    fflush(stdout);
    va_end(arguments);
}

static void
become_child(world *world)
{
    (void)world;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pn_platform.cpus = 1; /* no spinning: the order of events is the scenario's */
    pn_self()->slice_ns = LONG_SLICE_NS;
}

static void
play(world *world, int index)
{
    actor *me = &world->stage->actors[index];
    become_child(world);
    while (atomic_load(&me->go) == 0) {
        pn_futex_wait(&me->go, 0, PN_FOREVER);
    }
    atomic_store(&me->state, ACTOR_RUNNING);
    world->scenario->cast[index].play(world, me);
    atomic_store(&me->state, ACTOR_FINISHED);
    _exit(0);
}

void
crew_fork(world *world)
{
    for (int i = 0; i < ACTORS; i++) {
        if (world->scenario->cast[i].play == NULL) {
            continue;
        }
        world->pids[i] = fork();
        if (world->pids[i] == 0) {
            play(world, i);
        }
    }
}

/* The director's timer interrupts waitpid. */
static void
reap(pid_t pid)
{
    while (waitpid(pid, NULL, __WALL) != pid) {
    }
}

void
live_and_die(world *world, void (*life)(struct world *))
{
    pid_t pid = fork();
    if (pid == 0) {
        life(world);
        _exit(0);
    }
    reap(pid);
}

static void
end_process(pid_t *pid)
{
    if (*pid > 0) {
        kill(*pid, SIGKILL);
        reap(*pid);
    }
    *pid = 0;
}

void
crew_end(world *world)
{
    for (int i = 0; i < ACTORS; i++) {
        end_process(&world->pids[i]);
    }
    end_process(&world->victim);
}

void
actor_start(world *world, int index)
{
    actor *actor = &world->stage->actors[index];
    atomic_store(&actor->go, 1);
    pn_futex_wake(&actor->go, 1);
}

static void
pause_briefly(void)
{
    struct timespec time = {.tv_nsec = 50000};
    nanosleep(&time, NULL);
}

void
actor_start_asleep(world *world, int index)
{
    actor_start(world, index);
    int64_t until = pn_now() + 10 * 1000000000LL;
    while (atomic_load(&world->stage->actors[index].state) != ACTOR_RUNNING ||
           !is_asleep(world->pids[index])) {
        if (pn_now() > until) {
            blame(world, "wrong", "actor %d does not fall asleep", index);
            return;
        }
        pause_briefly();
    }
}

void
actor_note(actor *actor, uint32_t id)
{
    uint32_t at = atomic_load(&actor->progress);
    if (at < LOG) {
        atomic_store(&actor->log[at], id);
    }
    atomic_store(&actor->progress, at + 1);
}

static uint32_t
all_progress(world *world)
{
    uint32_t sum = 0;
    for (int i = 0; i < ACTORS; i++) {
        sum += atomic_load(&world->stage->actors[i].progress) +
               atomic_load(&world->stage->actors[i].state);
    }
    return sum;
}

bool
crew_wait(world *world, bool (*done)(struct world *), const char *for_what)
{
    uint32_t progress = all_progress(world);
    int64_t since = pn_now();
    while (!done(world)) {
        if (all_progress(world) != progress) {
            progress = all_progress(world);
            since = pn_now();
        }
        if (pn_now() - since > world->patience) {
            char states[ACTORS * 12] = "";
            for (int i = 0; i < ACTORS && world->scenario->cast[i].play != NULL; i++) {
                actor *actor = &world->stage->actors[i];
                sprintf(states + strlen(states), " %u/%u", atomic_load(&actor->state),
                        atomic_load(&actor->progress));
            }
            blame(world, "stuck", "%s; %u in, victim put %u, got %u; actors' state/progress:%s",
                  for_what, world->in_count, world->victim_put, world->victim_got, states);
            return false;
        }
        pause_briefly();
    }
    return true;
}

void
crew_meet_until(world *world, int index, pn_word *word)
{
    actor_start(world, index);
    int64_t until = pn_now() + world->patience;
    int asleep = 0;
    while (atomic_load(&world->stage->actors[index].state) != ACTOR_FINISHED && asleep < 3 &&
           atomic_load(word) == 0 && pn_now() < until) {
        pause_briefly();
        asleep = is_asleep(world->pids[index]) ? asleep + 1 : 0;
    }
}

void
crew_meet(world *world, int index)
{
    pn_word never = 0;
    crew_meet_until(world, index, &never);
}

static bool
finished(world *world, bool before_only)
{
    for (int i = 0; i < ACTORS; i++) {
        const role *role = &world->scenario->cast[i];
        if (role->play != NULL && (role->when == BEFORE || !before_only) &&
            atomic_load(&world->stage->actors[i].state) != ACTOR_FINISHED) {
            return false;
        }
    }
    return true;
}

bool
all_finished(world *world)
{
    return finished(world, false);
}

bool
before_finished(world *world)
{
    return finished(world, true);
}

pid_t
victim_fork(world *world, void (*operation)(struct world *))
{
    stage *stage = world->stage;
    atomic_store(&stage->begun, 0);
    atomic_store(&stage->ended, 0);
    world->victim = fork();
    if (world->victim == 0) {
        become_child(world);
        if (world->scenario->ready != NULL) {
            world->scenario->ready(world);
        }
        atomic_store(&stage->robust_head, pn_self()->head);
        step_me();
        atomic_store(&stage->begun, 1);
        operation(world);
        atomic_store(&stage->ended, 1);
        for (;;) {
            pause();
        }
    }
    return world->victim;
}

void
victim_kill(world *world)
{
    world->died_at = pn_now();
    kill(world->victim, SIGKILL);
    reap(world->victim);
    world->victim = 0;
}

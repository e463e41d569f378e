/* Step-kill: setting an event, and waiting for it. */
#include <stdlib.h>

#include "event.h"
#include "futex.h"
#include "stepkill.h"

static void
build_event(world *world)
{
    if (pn_object_new(world->domain, PN_OBJECT_EVENT, "event", &world->object,
                      &world->generation) != PN_OK) {
        abort();
    }
}

static pn_event
event_of(world *world)
{
    pn_event event = {.pauses_in_vain = 0};
    pn_event_open(&event, world->domain, world->object);
    return event;
}

static void
op_wait(world *world)
{
    pn_event event = event_of(world);
    while (pn_event_wait(&event, 0, PN_FOREVER) == PN_INTERRUPTED) {
    }
}

static void
wait_for_it(world *world, actor *me)
{
    op_wait(world);
    actor_note(me, 1);
}

static void
op_set(world *world)
{
    pn_event event = event_of(world);
    pn_event_set(&event);
}

/* Whoever slept has seen it. */
static void
op_pulse(world *world)
{
    op_set(world);
    pn_event event = event_of(world);
    pn_event_clear(&event);
}

static void
another_clears(world *world)
{
    pn_event event = event_of(world);
    pn_event_clear(&event);
}

static void
they_come_and_it_is_set(world *world, int time)
{
    if (time == 1) {
        for (int i = 0; i < ACTORS; i++) {
            if (world->scenario->cast[i].when == LATER) {
                actor_start_asleep(world, i);
            }
        }
        op_set(world);
    }
}

static void
survive(world *world)
{
    pn_event event = event_of(world);
    if (pn_event_sets(&event) == 0) {
        pn_event_set(&event); /* it was not, before the death */
        world->died_at = pn_now();
    }
    for (int i = 0; i < ACTORS; i++) {
        if (world->scenario->cast[i].play != NULL && world->scenario->cast[i].when != BEFORE) {
            actor_start(world, i);
        }
    }
    if (crew_wait(world, all_finished, "the event was set and somebody sleeps")) {
        world->delay = pn_now() - world->died_at;
        audit_after(world);
    }
}

/* What set() would be without its order to the kernel. */
static void
op_set_alone(world *world)
{
    pn_event event = event_of(world);
    pn_word64 *word = &event.cell->state;
    uint64_t before = atomic_load(word);
    atomic_store(word, (before + (UINT64_C(1) << 32)) | PN_EVENT_SET);
    pn_futex_wake((pn_word *)word, INT32_MAX);
}

const scenario event_scenarios[] = {
    {.name = "event: set, three sleep",
     .build = build_event,
     .operation = op_set,
     .cast = {SLEEPING(wait_for_it, 0, 0), SLEEPING(wait_for_it, 0, 0),
              SLEEPING(wait_for_it, 0, 0)},
     .survive = survive},
    {.name = "event: set and clear, two sleep",
     .build = build_event,
     .operation = op_pulse,
     .cast = {SLEEPING(wait_for_it, 0, 0), SLEEPING(wait_for_it, 0, 0)},
     .survive = survive},
    {.name = "event: set, and another clears",
     .build = build_event,
     .operation = op_set,
     .at_death = another_clears,
     .cast = {SLEEPING(wait_for_it, 0, 0), SLEEPING(wait_for_it, 0, 0)},
     .survive = survive},
    {.name = "event: wait, until it is set",
     .build = build_event,
     .operation = op_wait,
     .sampled = true,
     .on_sleep = they_come_and_it_is_set,
     .cast = {SLEEPING(wait_for_it, 0, 0), LATECOMER(wait_for_it, 0, 0)},
     .survive = survive},
    {.name = "event: broken: set without an order to the kernel",
     .build = build_event,
     .operation = op_set_alone,
     .must_show = "stuck",
     .cast = {SLEEPING(wait_for_it, 0, 0), SLEEPING(wait_for_it, 0, 0)},
     .survive = survive},
    {.name = NULL},
};

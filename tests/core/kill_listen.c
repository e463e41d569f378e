/* Step-kill: who makes an object ready beside listeners, a listener, and the sweep of one who told nobody. */
#include <stdlib.h>

#include "audit.h"
#include "items.h"
#include "many.h"
#include "ring_private.h"
#include "stepkill.h"
#include "sweep.h"

#define NO_NET_NS (600 * INT64_C(1000000000)) /* a slice that no test sees the end of */

/* Wait for the ring, by listening alone. */
static void
listen_to_ring(world *world)
{
    pn_many_item item = {.domain = world->domain, .offset = world->object, .want = PN_FOR_GET};
    pn_many many = {.items = &item, .count = 1};
    pn_self()->slice_ns = NO_NET_NS;
    if (!pn_many_look(&many)) {
        pn_many_begin(&many);
        while (!pn_many_look(&many)) {
            pn_many_sleep(&many, PN_FOREVER);
        }
        pn_many_end(&many);
    }
}

static void
listener(world *world, actor *me)
{
    listen_to_ring(world);
    actor_note(me, 1);
}

static uint32_t
lines_left(world *world)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < PN_LISTENERS; i++) {
        count += atomic_load(&world->domain->listeners[i].owner) != 0;
    }
    return count;
}

static void
survive_listening(world *world)
{
    for (int i = 0; i < ACTORS; i++) {
        if (world->scenario->cast[i].play != NULL) { /* late ones, too, if nobody slept */
            actor_start(world, i);
        }
    }
    if (!crew_wait(world, all_finished, "an item is there and a listener sleeps")) {
        return;
    }
    world->delay = pn_now() - world->died_at;
    audit_after(world);
    if (lines_left(world) != 0) {
        blame(world, "wrong", "%u lines of listeners are left", lines_left(world));
    }
}

static void
build(world *world)
{
    ring_make(world, 0, 0);
}

/* ---- who tells is killed -------------------------------------------------------- */

static void
op_put_and_tell(world *world)
{
    put_one(&world->ring, 1);
}

/* What its janitor does; and if it put nothing, somebody else does. */
static void
sweep_and_see_that_there_is_one(world *world)
{
    pn_sweep(world->domain);
    if (pn_ring_count(&world->ring) == 0) {
        put_one(&world->ring, 1);
    }
    world->died_at = pn_now();
}

static void
op_shut(world *world)
{
    pn_ring_shut(&world->ring, false);
}

static void
sweep_and_see_that_it_is_shut(world *world)
{
    pn_sweep(world->domain);
    if (atomic_load(&world->ring.cell->shut) == 0) {
        pn_ring_shut(&world->ring, false);
    }
    world->died_at = pn_now();
}

/* ---- a listener is killed --------------------------------------------------------- */

static void
come_and_put(world *world, int time)
{
    if (time == 1) {
        actor_start_asleep(world, 0);
        put_one(&world->ring, 1);
    }
}

static void
others_are_told(world *world)
{
    pn_sweep(world->domain);
    put_one(&world->ring, 1); /* perhaps the second */
    world->died_at = pn_now();
}

/* ---- one who told nobody, and the one who sweeps after it is killed, too ------------ */

/* A put as far as its commit. */
static void
commit_and_die(world *world)
{
    parcel parcel;
    parcel_clear(&parcel);
    parcel_add(&parcel, 1);
    pn_batch batch = parcel_batch(&parcel);
    pn_lock_try(&world->ring.cell->tail_lock);
    pn_ring_put_locked(&world->ring, &batch, false);
    pn_lock_release(&world->ring.cell->tail_lock);
}

static void
another_commits_and_dies(world *world)
{
    live_and_die(world, commit_and_die);
}

static void
op_sweep(world *world)
{
    pn_sweep(world->domain);
}

static void
sweep_again(world *world)
{
    pn_sweep(world->domain);
    world->died_at = pn_now();
}

const scenario listen_scenarios[] = {
    {.name = "put, a listener",
     .build = build,
     .operation = op_put_and_tell,
     .sampled = true,
     .cast = {SLEEPING(listener, 0, 0)},
     .at_death = sweep_and_see_that_there_is_one,
     .survive = survive_listening},
    {.name = "put, two listeners and one who comes",
     .build = build,
     .operation = op_put_and_tell,
     .sampled = true,
     .cast = {SLEEPING(listener, 0, 0), SLEEPING(listener, 0, 0), COMING(listener, 0, 0)},
     .at_death = sweep_and_see_that_there_is_one,
     .survive = survive_listening},
    {.name = "shutdown, a listener",
     .build = build,
     .operation = op_shut,
     .sampled = true,
     .cast = {SLEEPING(listener, 0, 0)},
     .at_death = sweep_and_see_that_it_is_shut,
     .survive = survive_listening},
    {.name = "a listener, told while another listens",
     .build = build,
     .operation = listen_to_ring,
     .sampled = true,
     .on_sleep = come_and_put,
     .cast = {LATECOMER(listener, 0, 0), COMING(listener, 0, 0)},
     .at_death = others_are_told,
     .survive = survive_listening},
    {.name = "sweep after one who told nobody",
     .build = build,
     .at_start = another_commits_and_dies,
     .operation = op_sweep,
     .sampled = true,
     .cast = {SLEEPING(listener, 0, 0)},
     .at_death = sweep_again,
     .survive = survive_listening},
    {.name = NULL},
};

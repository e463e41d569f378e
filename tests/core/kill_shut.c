/* Step-kill: shutdown with sleepers on both sides; shutdown beside a put. */
#include "audit.h"
#include "items.h"
#include "stepkill.h"

/* A batch that is larger than the queue may be: sleeps until the queue is shut. */
static void
produce_too_much(world *world, actor *me)
{
    parcel parcel;
    parcel_clear(&parcel);
    for (uint32_t i = 0; i < 3; i++) {
        parcel_add(&parcel, 201 + i);
    }
    pn_batch batch = parcel_batch(&parcel);
    pn_status status;
    do {
        status = pn_ring_put(&world->ring, &batch, PN_FOREVER);
    } while (status == PN_INTERRUPTED);
    atomic_store(&me->status, status);
}

static void
build_small(world *world)
{
    ring_make(world, 2, 0);
}

static void
op_shut(world *world)
{
    pn_ring_shut(&world->ring, world->scenario->b);
}

static void
survive_shut(world *world)
{
    if (atomic_load(&world->ring.cell->shut) == 0) {
        pn_ring_shut(&world->ring, world->scenario->b);
        world->died_at = pn_now();
    }
    if (!crew_wait(world, all_finished, "the shutdown was made and does not wake all")) {
        return;
    }
    world->delay = pn_now() - world->died_at;
    for (int i = 0; i < ACTORS; i++) {
        if (world->scenario->cast[i].play != NULL &&
            atomic_load(&world->stage->actors[i].status) != PN_SHUT_DOWN) {
            blame(world, "wrong", "actor %d was not told of the shutdown", i);
        }
    }
    audit_after(world);
}

/* ---- a put beside a shutdown: what was put must be got -------------------------- */

static void
shut_and_drain(world *world, actor *me)
{
    pn_ring_shut(&world->ring, false);
    consume(world, me);
}

static void
build_for_put(world *world)
{
    ring_make(world, 0, 0);
    world->put_first = 100;
}

static void
another_shuts(world *world)
{
    crew_meet(world, 0);
}

static void
survive_drain(world *world)
{
    if (!crew_wait(world, all_finished, "shutdown and drain do not end")) {
        return;
    }
    world->delay = pn_now() - world->died_at;
    actor *drain = &world->stage->actors[0];
    bool was_put = atomic_load(&world->stage->status) == PN_OK;
    uint32_t got = atomic_load(&drain->progress);
    if (was_put && got == 0) {
        blame(world, "lost", "put returned, and the last consumer was told that all is over");
    }
    if (!was_put && got != 0) {
        blame(world, "doubled", "put was refused, and the item arrived");
    }
    audit_after(world);
}

const scenario shut_scenarios[] = {
    {.name = "shutdown, sleepers on both sides",
     .build = build_small,
     .operation = op_shut,
     .b = false,
     .cast = {SLEEPING(consume, 0, 0), SLEEPING(produce_too_much, 201, 3), SLEEPING(consume, 0, 0),
              SLEEPING(produce_too_much, 201, 3)},
     .survive = survive_shut},
    {.name = "shutdown at once, sleepers on both sides",
     .build = build_small,
     .operation = op_shut,
     .b = true,
     .cast = {SLEEPING(consume, 0, 0), SLEEPING(produce_too_much, 201, 3)},
     .survive = survive_shut},
    {.name = "shutdown, a producer sleeps",
     .build = build_small,
     .operation = op_shut,
     .cast = {SLEEPING(produce_too_much, 201, 3)},
     .survive = survive_shut},
    {.name = "put beside a shutdown (no death)",
     .build = build_for_put,
     .operation = op_put,
     .cast = {LATECOMER(shut_and_drain, 0, 0)},
     .meet = true,
     .at_stop = another_shuts,
     .survive = survive_drain},
    {.name = NULL},
};

/* Step-kill: items that name a shared object. */
#include <stdlib.h>
#include <string.h>

#include "audit.h"
#include "items.h"
#include "slots.h"
#include "stepkill.h"
#include "sweep.h"

static void
build_ring(world *world)
{
    ring_make(world, 0, 0);
    victim_puts(world, 100, 1);
}

static pn_status
put_object(world *world, uint32_t id)
{
    static parcel parcel;
    parcel_clear(&parcel);
    parcel_add_object(&parcel, id, world->object_two);
    pn_batch batch = parcel_batch(&parcel);
    return pn_ring_try_put(&world->ring, &batch);
}

static void
make_object(world *world)
{
    uint32_t generation;
    if (pn_object_new(world->domain, PN_OBJECT_MUTEX, "item", &world->object_two, &generation) !=
        PN_OK) {
        abort();
    }
}

static void
build_for_object(world *world)
{
    build_ring(world);
    make_object(world);
}

static void
build_objects(world *world)
{
    ring_make(world, 0, 0);
    make_object(world);
    put_object(world, 1);
    book(world, 1);
    pn_object_drop(world->domain, world->object_two); /* now only the item names it */
}

/* The victim is the last process that has the object: its item alone keeps it. */
static void
op_put_object(world *world)
{
    atomic_store(&world->stage->status, put_object(world, world->put_first));
    pn_object_drop(world->domain, world->object_two);
}

static void
op_get_object(world *world)
{
    static uint64_t room[64];
    uint32_t id;
    if (get_one(&world->ring, room, sizeof(room), 0, &id) == PN_OK) {
        pn_object_drop(world->domain, item_object((pn_record *)room));
    }
}

static void
let_go_of_object(world *world)
{
    pn_object_drop(world->domain, world->object_two);
    world->object_two = 0;
}

static void
let_go_and_sweep(world *world)
{
    if (world->object_two != 0 && world->scenario->build == build_for_object) {
        let_go_of_object(world);
    }
    world->object_two = 0;
    pn_sweep(world->domain);
    world->died_at = pn_now();
}

/* Actors inherit a reference of all that the director has: give it up first. */
static void
consume_bare(world *world, actor *me)
{
    if (world->scenario->build == build_for_object) {
        pn_object_drop(world->domain, world->object_two);
    }
    consume(world, me);
}

static void
produce_bare(world *world, actor *me)
{
    if (world->scenario->build == build_for_object) {
        pn_object_drop(world->domain, world->object_two);
    }
    produce(world, me);
}

const scenario object_scenarios[] = {
    {.name = "put of an object, a consumer sleeps",
     .build = build_for_object,
     .operation = op_put_object,
     .sampled = true,
     .cast = {SLEEPING(consume_bare, 0, 0), COMING(produce_bare, 301, 2)},
     RING_RULES},
    {.name = "put of an object that nobody else has",
     .build = build_for_object,
     .operation = op_put_object,
     .sampled = true,
     .at_death = let_go_and_sweep,
     .cast = {COMING(consume_bare, 0, 0), COMING(produce_bare, 301, 2)},
     RING_RULES},
    {.name = "get of an object that only the item names",
     .build = build_objects,
     .operation = op_get_object,
     .sampled = true,
     .at_death = let_go_and_sweep,
     .cast = {COMING(consume, 0, 0), COMING(produce, 301, 2)},
     RING_RULES},
    {.name = NULL},
};

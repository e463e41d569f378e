/* Step-kill: taking with a lease, task_done, handing on what the dead had. */
#include <stdlib.h>

#include "items.h"
#include "lease_parts.h"
#include "lease_roles.h"
#include "sweep.h"

/* ---- what is there ------------------------------------------------------------ */

static void
build_three(world *world)
{
    leased_make(world, 0);
    ring_preload(world, 1, 3);
}

/* The same, and there are entries: the director took an item, and did it. */
static void
build_used(world *world)
{
    leased_make(world, 0);
    if (put_one(&world->ring, 900) != PN_OK) {
        abort();
    }
    take_one(world);
    pn_ring_task_done(&world->ring, true);
    ring_preload(world, 1, 3);
}

/* The first of three items is in hand of the director: a victim says that it is done. */
static void
build_held(world *world)
{
    build_three(world);
    take_one(world);
    world->owned = world->flag = true;
}

static void
build_one(world *world)
{
    leased_make(world, 0);
    ring_preload(world, 1, 1);
}

static void
build_object(world *world)
{
    parcel parcel;
    leased_make(world, 0);
    if (pn_object_new(world->domain, PN_OBJECT_MUTEX, "m", &world->block, &world->generation) !=
        PN_OK) {
        abort();
    }
    parcel_clear(&parcel);
    parcel_add_object(&parcel, 1, world->block);
    pn_batch batch = parcel_batch(&parcel);
    if (pn_ring_try_put(&world->ring, &batch) != PN_OK) {
        abort();
    }
    book(world, 1);
    pn_object_drop(world->domain, world->block);
}

/* Two of three items are in the hands of a dead process. */
static void
build_dead(world *world)
{
    leased_make(world, world->scenario->a == LETTERS ? 1 : 0);
    ring_preload(world, 1, 3);
    live_and_die(world, take_two);
}

/* They wait to be redelivered. */
static void
build_orphans(world *world)
{
    build_dead(world);
    pn_sweep(world->domain);
}

/* All that there is is in the hands of a dead process. */
static void
build_dead_two(world *world)
{
    leased_make(world, 0);
    ring_preload(world, 1, 2);
    live_and_die(world, take_two);
}

static void
take_object(world *world)
{
    take_one(world);
}

static void
build_dead_object(world *world)
{
    build_object(world);
    live_and_die(world, take_object);
    pn_sweep(world->domain);
}

/* ---- what the victim does ------------------------------------------------------- */

static void
op_task_done(world *world)
{
    atomic_store(&world->stage->status, pn_ring_task_done(&world->ring, true));
}

static void
op_take_many(world *world)
{
    uint64_t room[64];
    pn_sink sink = {.bytes = (char *)room, .capacity = sizeof(room), .limit = 3};
    atomic_store(&world->stage->status, pn_ring_try_get(&world->ring, &sink));
}

static void
op_sweep(world *world)
{
    pn_sweep(world->domain);
}

static void
op_join(world *world)
{
    pn_status status;
    do {
        status = pn_ring_join(&world->ring, PN_FOREVER);
    } while (status == PN_INTERRUPTED);
}

enum { LARGE = 60 };

static void
build_empty(world *world)
{
    leased_make(world, 0);
    book(world, 900); /* the last one that `ready` puts */
}

/* More leases than a queue keeps memory for: all are ended but the last. */
static void
ready_large(world *world)
{
    for (uint32_t i = 0; i <= LARGE; i++) {
        if (put_bytes(&world->ring, 900, 9000) != PN_OK) {
            abort();
        }
        take_one(world);
    }
    for (uint32_t i = 0; i < LARGE; i++) {
        pn_ring_task_done(&world->ring, true);
    }
}

static pn_lock *
head_lock(world *world)
{
    return &world->ring.cell->head_lock;
}

/* As the director's sweep after the first death, so that the second victim finds what that one had. */
static void
sweep_first(world *world)
{
    if (world->scenario->first != NULL) {
        pn_sweep(world->domain);
    }
}

static void
items_come_and_are_done(world *world, int time)
{
    if (time == 1) {
        take_one(world);
        pn_ring_task_done(&world->ring, true);
        world->flag = true;
    }
}

/* ---- broken on purpose ------------------------------------------------------------- */

/* Ends the lease, and wakes who joins when the lock is free again. */
static void
op_wake_too_late(world *world)
{
    pn_ring *ring = &world->ring;
    uint64_t objects[PN_HANDLES_LIMIT];
    if (pn_head_enter(ring) == PN_OK) {
        pn_leases *leases = &ring->cell->leases;
        pn_lease_end(ring, &leases->busy, leases->busy.first, objects);
        pn_lock_release(&ring->cell->head_lock);
        pn_lease_wake_joiners(ring);
    }
}

/* Makes its leases valid before the take. */
static void
op_take_twice(world *world)
{
    pn_ring *ring = &world->ring;
    const pn_record *record = pn_at(world->domain, atomic_load(&ring->cell->segment[0].block) +
                                                       atomic_load(&ring->cell->head));
    if (pn_head_enter(ring) == PN_OK) {
        pn_lease_take(ring, record, 0); /* 0 was taken: this item is done already */
        pn_lock_release(&ring->cell->head_lock);
    }
    take_one(world);
}

#define LEASE_RULES .survive = lease_survive
#define OTHERS COMING(work, 0, 0), COMING(produce, 301, 2)

const scenario lease_scenarios[] = {
    {.name = "lease: get",
     .build = build_used,
     .operation = take_one,
     .cast = {SLEEPING(join, 0, 0), OTHERS},
     LEASE_RULES},
    {.name = "lease: the first get makes entries",
     .build = build_three,
     .operation = take_one,
     .sampled = true,
     .cast = {SLEEPING(join, 0, 0), OTHERS},
     LEASE_RULES},
    {.name = "lease: get_many",
     .build = build_used,
     .operation = op_take_many,
     .cast = {SLEEPING(join, 0, 0), OTHERS},
     LEASE_RULES},
    {.name = "lease: get of an item with an object",
     .build = build_object,
     .operation = take_one,
     .sampled = true,
     .cast = {SLEEPING(join, 0, 0), OTHERS},
     LEASE_RULES},
    {.name = "lease: task_done, two join",
     .build = build_one,
     .ready = take_one,
     .operation = op_task_done,
     .at_stop = note_done,
     .cast = {SLEEPING(join, 0, 0), SLEEPING(join, 0, 0), OTHERS},
     LEASE_RULES},
    {.name = "lease: task_done of an item with an object",
     .build = build_object,
     .ready = take_one,
     .operation = op_task_done,
     .at_stop = note_done,
     .sampled = true,
     .cast = {SLEEPING(join, 0, 0), OTHERS},
     LEASE_RULES},
    {.name = "lease: the last task_done gives memory back",
     .build = build_empty,
     .ready = ready_large,
     .operation = op_task_done,
     .at_stop = note_done,
     .b = LARGE,
     .sampled = true,
     .cast = {OTHERS},
     LEASE_RULES},
    {.name = "lease: task_done before the get",
     .build = build_used,
     .operation = op_task_done,
     .a = PREPAID,
     .cast = {SLEEPING(join, 0, 0), OTHERS},
     LEASE_RULES},
    {.name = "lease: get of what waits for it",
     .build = build_orphans,
     .operation = take_one,
     .cast = {SLEEPING(join, 0, 0), OTHERS},
     LEASE_RULES},
    {.name = "lease: get of many that wait",
     .build = build_orphans,
     .operation = op_take_many,
     .cast = {SLEEPING(join, 0, 0), OTHERS},
     LEASE_RULES},
    {.name = "lease: get of an object that waits",
     .build = build_dead_object,
     .operation = take_one,
     .sampled = true,
     .cast = {SLEEPING(join, 0, 0), OTHERS},
     LEASE_RULES},
    {.name = "lease: sweep, workers sleep",
     .build = build_dead_two,
     .operation = op_sweep,
     FROM(pn_lease_sweep),
     .sampled = true,
     .cast = {SLEEPING(work, 0, 0), SLEEPING(work, 0, 0), SLEEPING(join, 0, 0),
              COMING(produce, 301, 2)},
     LEASE_RULES},
    {.name = "lease: sweep makes dead letters, one joins",
     .build = build_dead,
     .operation = op_sweep,
     FROM(pn_lease_sweep),
     .sampled = true,
     .a = LETTERS,
     .b = 2,
     .cast = {SLEEPING(join, 0, 0), OTHERS},
     LEASE_RULES},
    {.name = "lease: join, until it sleeps",
     .build = build_one,
     .operation = op_join,
     .on_sleep = items_come_and_are_done,
     .cast = {SLEEPING(join, 0, 0), OTHERS},
     LEASE_RULES},
    {.name = "lease: two deaths: get, then get",
     .build = build_used,
     .dies_with = head_lock,
     .sampled = true,
     .first = take_one,
     .operation = take_one,
     .cast = {SLEEPING(join, 0, 0), OTHERS},
     LEASE_RULES},
    {.name = "lease: two deaths: task_done, then get",
     .build = build_held,
     .dies_with = head_lock,
     .sampled = true,
     .first = op_task_done,
     .operation = take_one,
     .cast = {SLEEPING(join, 0, 0), OTHERS},
     LEASE_RULES},
    {.name = "lease: two deaths: get of what waits, twice",
     .build = build_orphans,
     .dies_with = head_lock,
     .at_death = sweep_first,
     .sampled = true,
     .first = take_one,
     .operation = take_one,
     .cast = {SLEEPING(join, 0, 0), OTHERS},
     LEASE_RULES},
    {.name = "lease: two deaths: sweep, then sweep",
     .build = build_dead_two,
     .dies_with = head_lock,
     FROM(pn_lease_sweep),
     .sampled = true,
     .first = op_sweep,
     .operation = op_sweep,
     .cast = {SLEEPING(work, 0, 0), SLEEPING(join, 0, 0), COMING(produce, 301, 2)},
     LEASE_RULES},
    {.name = "lease: broken: the wake comes too late",
     .build = build_one,
     .ready = take_one,
     .operation = op_wake_too_late,
     .at_stop = note_done,
     .must_show = "stuck",
     .cast = {SLEEPING(join, 0, 0), OTHERS},
     LEASE_RULES},
    {.name = "lease: broken: a lease that is valid too early",
     .build = build_used,
     .operation = op_take_twice,
     .must_show = "doubled",
     .cast = {OTHERS},
     LEASE_RULES},
    {.name = NULL},
};

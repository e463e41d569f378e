/* Step-kill: sweeping after the dead, and sweeping while somebody takes what they put. */
#include <stdlib.h>
#include <time.h>

#include "audit.h"
#include "heap.h"
#include "items.h"
#include "slots.h"
#include "stepkill.h"
#include "sweep.h"
#include "waits.h"

static void
put_buffer(world *world, uint32_t id)
{
    parcel parcel;
    parcel_clear(&parcel);
    if (!parcel_add_buffer(&parcel, world->domain, id, 64)) {
        abort();
    }
    pn_batch batch = parcel_batch(&parcel);
    pn_ring_try_put(&world->ring, &batch);
}

/* A life that leaves something of every kind behind. */
static void
leave_everything(world *world)
{
    uint64_t offset;
    uint32_t generation;
    put_buffer(world, 1);
    put_buffer(world, 2);
    pn_heap_alloc(world->domain, 3 * PN_PAGE, PN_BLOCK_PAYLOAD, world->object, &offset);
    pn_heap_alloc(world->domain, 3 * PN_PAGE, PN_BLOCK_REPORT, 0, &offset);
    pn_object_new(world->domain, PN_OBJECT_MUTEX, "left", &offset, &generation);
    pn_ring_new(world->domain, "left", 0, 0, &offset, &generation);
    pn_wait_begin(world->domain, offset, PN_WAIT_GET);
}

static void
build_dead(world *world)
{
    ring_make(world, 0, 0);
    live_and_die(world, leave_everything);
    book(world, 1);
    book(world, 2);
}

static void
op_sweep(world *world)
{
    pn_sweep(world->domain);
}

/* Takes an item and keeps its buffer until the sweep is over. */
static void
take_and_keep(world *world, actor *me)
{
    static uint64_t room[64];
    uint32_t id;
    pn_status status = get_one(&world->ring, room, sizeof(room), PN_FOREVER, &id);
    const pn_record *record = (const pn_record *)room;
    if (status != PN_OK || !item_has_buffer(record)) {
        if (status == PN_OK) {
            actor_note(me, id);
        }
        return; /* came after the others: they took the buffers */
    }
    atomic_store(&me->log[LOG - 1], 1);
    while (atomic_load(&world->stage->ended) == 0) {
        nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
    }
    uint64_t buffer = item_object(record);
    ACTOR_CHECK(me, pn_object_valid(world->domain, buffer));
    ACTOR_CHECK(me, item_is_whole(world->domain, record));
    pn_object_drop(world->domain, buffer);
    actor_note(me, id);
}

static void
another_takes(world *world)
{
    crew_meet_until(world, 0, &world->stage->actors[0].log[LOG - 1]);
}

const scenario sweep_scenarios[] = {
    {.name = "sweep",
     .build = build_dead,
     .operation = op_sweep,
     FROM(pn_domain_enter),
     .sampled = true,
     .cast = {COMING(consume, 0, 0), COMING(produce, 301, 2)},
     RING_RULES},
    {.name = "sweep, while another takes (no death)",
     .build = build_dead,
     .operation = op_sweep,
     FROM(pn_collect_mark),
     .meet = true,
     .most = 1000,
     .at_stop = another_takes,
     .cast = {COMING(take_and_keep, 0, 1), COMING(consume, 0, 0), COMING(produce, 301, 2)},
     .survive = ring_survive},
    {.name = NULL},
};

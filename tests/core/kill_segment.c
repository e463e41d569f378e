/* Step-kill: a put that needs a new segment, a get that leaves one. */
#include <stdlib.h>

#include "heap.h"
#include "items.h"
#include "stepkill.h"

#define BIG 8000u /* eight of these fill the first segment */

static parcel prepared; /* in the victim: before it is stepped */

static void
put_big(world *world, uint32_t id)
{
    if (put_bytes(&world->ring, id, BIG) != PN_OK) {
        abort();
    }
    book(world, id);
}

static void
build_full_segment(world *world)
{
    ring_make(world, 0, 0);
    for (uint32_t id = 1; id <= 8; id++) {
        put_big(world, id);
    }
    victim_puts(world, 100, 1);
}

static void
prepare_big(world *world)
{
    parcel_clear(&prepared);
    parcel_add_bytes(&prepared, world->put_first, 2000);
}

static void
op_put_prepared(world *world)
{
    pn_batch batch = parcel_batch(&prepared);
    atomic_store(&world->stage->status, pn_ring_try_put(&world->ring, &batch));
}

/* All of the first segment is taken: what comes next is the JUMP, then item 9. */
static void
build_at_jump(world *world)
{
    ring_make(world, 0, 0);
    for (uint32_t id = 1; id <= 9; id++) {
        put_big(world, id);
    }
    for (int i = 0; i < 8; i++) {
        director_get(world);
    }
    world->ring.cell->max_items = 1;
}

/* An empty queue that was long once: as if it had grown. */
static void
build_large_and_empty(world *world)
{
    ring_make(world, 0, 0);
    pn_segment *segment = &world->ring.cell->segment[0];
    uint64_t block, capacity = UINT64_C(4) << 20;
    if (pn_heap_alloc(world->domain, capacity, PN_BLOCK_SEGMENT, world->object, &block) != PN_OK) {
        abort();
    }
    pn_heap_free(world->domain, atomic_load(&segment->block));
    atomic_store(&segment->block, block);
    atomic_store(&segment->capacity, capacity);
    victim_puts(world, 100, 1);
}

/* While the victim stands still another producer needs the same new segment. */
static void
another_grows(world *world)
{
    crew_meet(world, 0);
}

static void
survive_meeting(world *world)
{
    ring_at_stop(world);
    ring_survive(world);
}

static void
produce_big(world *world, actor *me)
{
    if (put_bytes(&world->ring, 201, 2000) == PN_OK) {
        actor_note(me, 201);
    }
}

const scenario segment_scenarios[] = {
    {.name = "put into a new segment",
     .build = build_full_segment,
     .ready = prepare_big,
     .operation = op_put_prepared,
     .cast = {COMING(produce, 301, 2), COMING(consume, 0, 0)},
     RING_RULES},
    {.name = "get that leaves a segment, a producer sleeps",
     .build = build_at_jump,
     .sampled = true,
     .operation = op_get,
     .cast = {SLEEPING(produce, 201, 1), COMING(produce, 301, 2), COMING(consume, 0, 0)},
     RING_RULES},
    {.name = "put that gives a large segment back",
     .build = build_large_and_empty,
     .operation = op_put,
     .cast = {SLEEPING(consume, 0, 0), COMING(produce, 301, 2)},
     RING_RULES},
    {.name = "two producers need a segment (no death)",
     .build = build_full_segment,
     .ready = prepare_big,
     .operation = op_put_prepared,
     .cast = {LATECOMER(produce_big, 201, 1), COMING(produce, 301, 2), COMING(consume, 0, 0)},
     .meet = true,
     .at_stop = another_grows,
     .survive = survive_meeting},
    {.name = NULL},
};

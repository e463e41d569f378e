/* Step-kill: buffers. Made, put by their handle, taken, dropped, given up with their ring, swept. */
#include <stdlib.h>

#include "audit.h"
#include "buffer.h"
#include "items.h"
#include "ring.h"
#include "slots.h"
#include "stepkill.h"
#include "sweep.h"

#define BYTES 64u /* of a page; filling more of it would only be stepped through */

static parcel made; /* an item with a buffer of this process's */

static uint64_t
made_buffer(void)
{
    return item_object((const pn_record *)made.bytes);
}

static void
make(world *world, uint32_t id)
{
    parcel_clear(&made);
    if (!parcel_add_buffer(&made, world->domain, id, BYTES)) {
        abort();
    }
}

static pn_status
put_made(pn_ring *ring)
{
    pn_batch batch = parcel_batch(&made);
    return pn_ring_try_put(ring, &batch);
}

/* ---- what is there ------------------------------------------------------------- */

/* A slab, and a warm block: to make them is a scenario of kill_heap.c. */
static void
build_ring(world *world)
{
    ring_make(world, 0, 0);
    make(world, 1);
    pn_object_drop(world->domain, made_buffer());
    atomic_store(&world->domain->header->last_sweep, pn_now()); /* a sweep is one of its own */
}

static void
build_for_put(world *world)
{
    build_ring(world);
    victim_puts(world, 100, 1);
}

/* Three items, each of which alone has its buffer. */
static void
build_items(world *world)
{
    build_ring(world);
    for (uint32_t id = 1; id <= 3; id++) {
        make(world, id);
        put_made(&world->ring);
        pn_object_drop(world->domain, made_buffer());
        book(world, id);
    }
}

/* One item, whose buffer everybody has as well who was forked from here. */
static void
build_shared_item(world *world)
{
    build_ring(world);
    make(world, 1);
    put_made(&world->ring);
    world->object_two = made_buffer();
}

/* A life that leaves buffers behind in every state in which a death can leave one. */
static void
leave_buffers(world *world)
{
    pn_domain *domain = world->domain;
    make(world, 1);
    put_made(&world->ring);
    pn_object_drop(domain, made_buffer());
    make(world, 2);
    put_made(&world->ring);
    pn_object_count_put(domain, made_buffer()); /* as if it died before a second commit */
    pn_object_drop(domain, made_buffer());
    make(world, 3);
    pn_object_count_put(domain, made_buffer()); /* before the first one, and it has it still */
    make(world, 4);
    uint64_t block = atomic_exchange(&pn_buffer_at(domain, made_buffer())->block, 0);
    atomic_store(&pn_block_at(domain, block)->owner,
                 pn_owner_word(domain->slot, domain->generation)); /* half made */
    make(world, 5);
    pn_heap_free(domain, atomic_load(&pn_buffer_at(domain, made_buffer())->block)); /* half freed */
}

static void
build_dead(world *world)
{
    ring_make(world, 0, 0);
    live_and_die(world, leave_buffers);
    book(world, 1);
    book(world, 2);
}

/* ---- the victim ------------------------------------------------------------------ */

static void
ready_to_put(world *world)
{
    make(world, world->put_first);
}

static void
ready_on_the_way(world *world)
{
    make(world, 1);
    put_made(&world->ring);
}

static pn_ring own_ring;

/* A ring that nobody else has, with two buffers in it that nobody has. */
static void
ready_with_ring(world *world)
{
    uint64_t offset;
    uint32_t generation;
    if (pn_ring_new(world->domain, "own", 0, 0, &offset, &generation) != PN_OK) {
        abort();
    }
    pn_ring_open(&own_ring, world->domain, offset);
    for (uint32_t id = 1; id <= 2; id++) {
        make(world, id);
        put_made(&own_ring);
        pn_object_drop(world->domain, made_buffer());
    }
}

static void
op_make_and_put(world *world)
{
    make(world, world->put_first);
    atomic_store(&world->stage->status, put_made(&world->ring));
    pn_object_drop(world->domain, made_buffer());
}

static void
op_put_made(world *world)
{
    atomic_store(&world->stage->status, put_made(&world->ring));
    pn_object_drop(world->domain, made_buffer());
}

static void
op_get_and_drop(world *world)
{
    static uint64_t room[64];
    uint32_t id;
    if (get_one(&world->ring, room, sizeof(room), 0, &id) == PN_OK) {
        pn_object_drop(world->domain, item_object((pn_record *)room));
    }
}

static void
op_drop(world *world)
{
    pn_object_drop(world->domain, made_buffer());
}

static void
op_drop_ring(world *world)
{
    pn_object_drop(world->domain, own_ring.offset);
}

static void
op_sweep(world *world)
{
    pn_sweep(world->domain);
}

/* Before anybody else comes. */
static void
sweep_at_once(world *world)
{
    pn_sweep(world->domain);
    world->died_at = pn_now();
}

/* ---- a sender and a taker let go at the same time ---------------------------------- */

static void
let_go(world *world)
{
    pn_object_drop(world->domain, world->object_two);
}

static void
drop_once(world *world, actor *me)
{
    (void)me;
    let_go(world);
}

static void
director_lets_go(world *world)
{
    let_go(world);
    world->object_two = 0;
}

static void
another_comes(world *world)
{
    crew_meet(world, 0);
}

/* One of the two has freed it, without any sweep. */
static void
survive_without_sweep(world *world)
{
    if (!crew_wait(world, all_finished, "the other one does not get through")) {
        return;
    }
    if (atomic_load(&world->stage->actors[0].broken)) {
        blame(world, "wrong", "line %u", atomic_load(&world->stage->actors[0].broken));
    }
    pn_domain_enter(world->domain);
    if (pn_slab_next_cell(world->domain, PN_BLOCK_SLAB_SMALL, 0) != 0) {
        blame(world, "wrong", "neither of them freed the buffer");
    }
    pn_domain_leave(world->domain);
    audit_after(world);
}

const scenario buffer_scenarios[] = {
    {.name = "buffer: make, put, drop; a consumer sleeps",
     .build = build_for_put,
     .operation = op_make_and_put,
     .sampled = true,
     .cast = {SLEEPING(consume, 0, 0), COMING(produce, 301, 2)},
     RING_RULES},
    {.name = "buffer: put by its handle, drop",
     .build = build_for_put,
     .ready = ready_to_put,
     .operation = op_put_made,
     .cast = {SLEEPING(consume, 0, 0), COMING(produce, 301, 2)},
     RING_RULES},
    {.name = "buffer: put by its handle, and a sweep",
     .build = build_for_put,
     .ready = ready_to_put,
     .operation = op_put_made,
     .sampled = true,
     .at_death = sweep_at_once,
     .cast = {COMING(consume, 0, 0), COMING(produce, 301, 2)},
     RING_RULES},
    {.name = "buffer: get, and the drop that frees it",
     .build = build_items,
     .operation = op_get_and_drop,
     .sampled = true,
     .at_death = sweep_at_once,
     .cast = {COMING(consume, 0, 0), COMING(produce, 301, 2)},
     RING_RULES},
    {.name = "buffer: the drop that frees it",
     .build = build_ring,
     .ready = ready_to_put,
     .operation = op_drop,
     .sampled = true,
     .cast = {COMING(consume, 0, 0), COMING(produce, 301, 2)},
     RING_RULES},
    {.name = "buffer: its ring is given up",
     .build = build_ring,
     .ready = ready_with_ring,
     .operation = op_drop_ring,
     .sampled = true,
     .cast = {COMING(consume, 0, 0), COMING(produce, 301, 2)},
     RING_RULES},
    {.name = "buffer: sweep of what a death left",
     .build = build_dead,
     .operation = op_sweep,
     FROM(pn_domain_enter),
     .sampled = true,
     .cast = {COMING(consume, 0, 0), COMING(produce, 301, 2)},
     RING_RULES},
    {.name = "buffer: drop, while another takes it (no death)",
     .build = build_ring,
     .ready = ready_on_the_way,
     .operation = op_drop,
     .meet = true,
     .at_stop = another_comes,
     .cast = {COMING(consume_some, 0, 1)},
     .survive = survive_without_sweep},
    {.name = "buffer: get, while its sender drops it (no death)",
     .build = build_shared_item,
     .ready = let_go,
     .at_start = director_lets_go,
     .operation = op_get_and_drop,
     FROM(pn_object_retain),
     .meet = true,
     .at_stop = another_comes,
     .cast = {COMING(drop_once, 0, 0)},
     .survive = survive_without_sweep},
    {.name = NULL},
};

/* Step-kill: the heap, objects, slots, lines of waiters. */
#include <stdlib.h>

#include "audit.h"
#include "heap.h"
#include "items.h"
#include "slots.h"
#include "stepkill.h"
#include "sweep.h"
#include "waits.h"

static uint64_t
alloc_pages(world *world, uint64_t pages)
{
    uint64_t offset;
    if (pn_heap_alloc(world->domain, pages * PN_PAGE, PN_BLOCK_PAYLOAD, 0, &offset) != PN_OK) {
        abort();
    }
    return offset;
}

/* ---- what is there ------------------------------------------------------------- */

static void
build_nothing(world *world)
{
    /* Not now: a sweep is a scenario of its own. */
    atomic_store(&world->domain->header->last_sweep, pn_now());
}

/* Both kinds of slabs are there. */
static void
build_slabs(world *world)
{
    uint64_t ring, mutex;
    uint32_t generation;
    pn_ring_new(world->domain, "", 0, 0, &ring, &generation);
    pn_object_new(world->domain, PN_OBJECT_MUTEX, "", &mutex, &generation);
    pn_object_drop(world->domain, ring);
    pn_object_drop(world->domain, mutex);
    build_nothing(world);
}

/* A free block of `a` pages, between two that are in use. */
static void
build_hole(world *world)
{
    uint64_t before = alloc_pages(world, 1), hole = alloc_pages(world, world->scenario->a);
    alloc_pages(world, 1);
    (void)before;
    pn_heap_free(world->domain, hole);
}

/* Free, used (world.block), free. */
static void
build_neighbours(world *world)
{
    uint64_t before = alloc_pages(world, 3);
    world->block = alloc_pages(world, 2);
    uint64_t after = alloc_pages(world, 4);
    alloc_pages(world, 1);
    pn_heap_free(world->domain, after);
    pn_heap_free(world->domain, before);
    if (world->scenario->b) {
        /* as if: frees are cold */
        atomic_store(&world->domain->header->warm,
                     atomic_load(&world->domain->header->max_bytes) / 8);
    }
}

static void
build_near_table_end(world *world)
{
    alloc_pages(world, 1792);
}

/* Memory is spent, but for free blocks that kept their pages. */
static void
build_spent(world *world)
{
    uint64_t blocks[4];
    for (int i = 0; i < 4; i++) {
        blocks[i] = alloc_pages(world, 16);
        alloc_pages(world, 1);
    }
    for (int i = 0; i < 4; i++) {
        pn_heap_free(world->domain, blocks[i]);
    }
    pn_header *header = world->domain->header;
    atomic_store(&header->max_bytes, atomic_load(&header->committed) + PN_PAGE);
}

static void
build_ring_with_items(world *world)
{
    uint32_t generation;
    ring_make(world, 0, 0);
    pn_object_new(world->domain, PN_OBJECT_MUTEX, "item", &world->object_two, &generation);
    parcel parcel;
    parcel_clear(&parcel);
    parcel_add_object(&parcel, 1, world->object_two);
    parcel_add_buffer(&parcel, world->domain, 2, 64);
    pn_batch batch = parcel_batch(&parcel);
    pn_ring_try_put(&world->ring, &batch);
    const pn_record *first = (const pn_record *)parcel.bytes;
    pn_object_drop(world->domain,
                   item_object((const pn_record *)((const char *)first + pn_record_size(first))));
}

/* The victim is the only one to have it. */
static void
others_let_go(world *world)
{
    pn_object_drop(world->domain, world->object);
    pn_object_drop(world->domain, world->object_two);
    world->object = world->object_two = 0;
}

/* ---- operations ------------------------------------------------------------------ */

static void
op_alloc(world *world)
{
    uint64_t offset;
    atomic_store(&world->stage->status, pn_heap_alloc(world->domain, world->scenario->b * PN_PAGE,
                                                      PN_BLOCK_PAYLOAD, 0, &offset));
}

/* As the guardian does it: in pieces, the last one first. */
static void
op_cool(world *world)
{
    pn_heap_cool(world->domain, INT64_MAX);
}

static void
op_free(world *world)
{
    pn_heap_free(world->domain, world->block);
}

static void
op_alloc_and_free(world *world)
{
    uint64_t offset;
    pn_heap_alloc(world->domain, world->scenario->b * PN_PAGE, PN_BLOCK_PAYLOAD, 0, &offset);
    pn_heap_free(world->domain, offset);
}

static void
op_object(world *world)
{
    uint64_t offset;
    uint32_t generation;
    pn_object_new(world->domain, PN_OBJECT_MUTEX, "mine", &offset, &generation);
    pn_object_attach(world->domain, offset, generation);
    pn_object_drop(world->domain, offset);
    pn_object_drop(world->domain, offset);
}

static void
op_ring(world *world)
{
    uint64_t offset;
    uint32_t generation;
    pn_ring_new(world->domain, "mine", 0, 0, &offset, &generation);
}

static void
op_drop(world *world)
{
    pn_object_drop(world->domain, world->object);
    pn_object_drop(world->domain, world->object_two);
}

static void
op_reserve(world *world)
{
    uint32_t index, generation;
    pn_slot_reserve(world->domain, "a child", 0, &index, &generation);
}

static void
op_reserve_and_claim(world *world)
{
    uint32_t index, generation;
    pn_slot_reserve(world->domain, "a child", 0, &index, &generation);
    pn_slot_claim(world->domain, index, generation);
}

static void
op_wait_line(world *world)
{
    pn_wait_end(pn_wait_begin(world->domain, 4096, PN_WAIT_GET));
}

/* ---- the others --------------------------------------------------------------------- */

/* Uses all of it. */
static void
use_domain(world *world, actor *me)
{
    uint64_t offset, object;
    uint32_t index, generation;
    for (uint64_t pages = 1; pages < 40; pages *= 3) {
        pn_status status =
            pn_heap_alloc(world->domain, pages * PN_PAGE, PN_BLOCK_PAYLOAD, 0, &offset);
        ACTOR_CHECK(me, status == PN_OK || world->scenario->build == build_spent);
        if (status == PN_OK) {
            *(char *)pn_at(world->domain, offset) = 1;
            pn_heap_free(world->domain, offset);
        }
        actor_note(me, 0);
    }
    if (world->scenario->build != build_spent) {
        ACTOR_CHECK(me, pn_object_new(world->domain, PN_OBJECT_LOCK, "theirs", &object,
                                      &generation) == PN_OK);
        pn_object_drop(world->domain, object);
    }
    ACTOR_CHECK(me, pn_slot_reserve(world->domain, "", 0, &index, &generation) == PN_OK);
    pn_slot_set_pid(world->domain, index, generation, (uint32_t)world->pids[0] | 0x10000000u);
    actor_note(me, 0);
}

/* Frees what the director has: then only what the dead left is left. */
static void
free_own_blocks(world *world)
{
    pn_domain *domain = world->domain;
    uint64_t own = pn_owner_word(domain->slot, domain->generation);
    pn_block *block;
    pn_domain_enter(domain);
    for (uint64_t at = pn_heap_next(domain, 0, &block); at != 0;
         at = pn_heap_next(domain, at, &block)) {
        if (pn_block_kind_of(atomic_load(&block->state)) == PN_BLOCK_PAYLOAD &&
            atomic_load(&block->owner) == own) {
            pn_heap_free_locked(domain, at);
        }
    }
    if (world->scenario->b) {
        pn_heap_recount(domain); /* what build_neighbours pretended */
    }
    pn_domain_leave(domain);
}

static void
survive_domain(world *world)
{
    actor_start(world, 0);
    actor_start(world, 1);
    if (!crew_wait(world, all_finished, "the domain cannot be used")) {
        return;
    }
    world->delay = pn_now() - world->died_at;
    for (int i = 0; i < 2; i++) {
        if (atomic_load(&world->stage->actors[i].broken)) {
            blame(world, "wrong", "line %u", atomic_load(&world->stage->actors[i].broken));
        }
    }
    /* A minute passes: who was reserved and never began is given up. */
    for (uint32_t i = 0; i < PN_SLOTS; i++) {
        world->domain->slots[i].reserved_at -= 200 * INT64_C(1000000000);
    }
    crew_end(world);
    pn_sweep(world->domain);
    free_own_blocks(world);
    audit_after(world);
    if (pn_wait_count(world->domain, 4096) != 0) {
        blame(world, "wrong", "the dead are said to wait");
    }
}

#define USED_AFTER                                                                                 \
    .survive = survive_domain, .cast = {COMING(use_domain, 0, 0), COMING(use_domain, 0, 0)}

const scenario heap_scenarios[] = {
    {.name = "heap: alloc of a fresh block",
     .build = build_hole,
     .a = 2,
     .operation = op_alloc,
     .b = 16,
     USED_AFTER},
    {.name = "heap: alloc that splits a block",
     .build = build_hole,
     .a = 64,
     .operation = op_alloc,
     .b = 16,
     USED_AFTER},
    {.name = "heap: alloc that grows the table",
     .build = build_near_table_end,
     .operation = op_alloc,
     .b = 320,
     .sampled = true, /* reads the limits of memory */
     USED_AFTER},
    {.name = "heap: alloc that cools free blocks",
     .build = build_spent,
     .operation = op_alloc,
     .b = 32,
     .sampled = true,
     USED_AFTER},
    {.name = "heap: cooling of idle blocks",
     .build = build_hole,
     .a = 600,
     .operation = op_cool,
     .sampled = true,
     USED_AFTER},
    {.name = "heap: free between free blocks",
     .build = build_neighbours,
     .sampled = true,
     .operation = op_free,
     USED_AFTER},
    {.name = "heap: free that gives the pages back",
     .build = build_neighbours,
     .sampled = true,
     .operation = op_free,
     .b = 1,
     USED_AFTER},
    {.name = "heap: alloc and free",
     .build = build_hole,
     .a = 10,
     .sampled = true,
     .operation = op_alloc_and_free,
     .b = 5,
     USED_AFTER},
    {.name = "heap: two deaths",
     .build = build_hole,
     .a = 64,
     .first = op_alloc_and_free,
     .operation = op_alloc_and_free,
     .b = 5,
     .sampled = true,
     USED_AFTER},
    {.name = "object: new, attach, drop",
     .build = build_slabs,
     .operation = op_object,
     .sampled = true,
     USED_AFTER},
    /* From where the new slab is filled with zeros: a step for each of its bytes. */
    {.name = "object: the first, in a new slab",
     .build = build_nothing,
     .operation = op_object,
     FROM(pn_block_at),
     .sampled = true,
     USED_AFTER},
    {.name = "object: new ring",
     .build = build_slabs,
     .operation = op_ring,
     .sampled = true,
     USED_AFTER},
    {.name = "object: last drop of a ring with items",
     .build = build_ring_with_items,
     .at_start = others_let_go,
     .operation = op_drop,
     .sampled = true,
     USED_AFTER},
    {.name = "slot: reserve", .build = build_nothing, .operation = op_reserve, USED_AFTER},
    {.name = "slot: reserve and claim",
     .build = build_nothing,
     .operation = op_reserve_and_claim,
     .sampled = true,
     USED_AFTER},
    {.name = "wait line", .build = build_nothing, .operation = op_wait_line, USED_AFTER},
    {.name = NULL},
};

/* Step-kill: buffers with a name, and small ones. Made, named, found, their name taken away, swept. */
#include <stdlib.h>

#include "audit.h"
#include "buffer.h"
#include "slots.h"
#include "stepkill.h"
#include "sweep.h"

#define NAME "name"

/* A small one has no block, a large one has. */
static uint64_t
make_named(world *world, uint32_t *generation)
{
    uint64_t offset, bytes = world->scenario->a;
    if (pn_buffer_new(world->domain, bytes, PN_BUFFER_SHARED, &offset, generation) != PN_OK) {
        abort();
    }
    pn_object_set_name(world->domain, offset, NAME);
    return offset;
}

static void
publish(world *world)
{
    uint32_t generation;
    if (pn_buffer_publish(world->domain, make_named(world, &generation)) != PN_OK) {
        abort();
    }
}

/* ---- what is there ------------------------------------------------------------- */

static void
build_ring(world *world)
{
    uint32_t generation;
    ring_make(world, 0, 0);
    pn_object_drop(world->domain, make_named(world, &generation)); /* a slab, a warm block */
    atomic_store(&world->domain->header->last_sweep, pn_now());
}

/* One that its name alone keeps; its maker, the director, lives. */
static void
build_kept(world *world)
{
    build_ring(world);
    world->object_two = make_named(world, &world->generation);
    if (pn_buffer_publish(world->domain, world->object_two) != PN_OK) {
        abort();
    }
    pn_object_drop(world->domain, world->object_two);
}

static void
build_dead(world *world)
{
    build_ring(world);
    live_and_die(world, publish);
}

/* ---- the victim ------------------------------------------------------------------ */

static void
op_name_it(world *world)
{
    uint32_t generation;
    uint64_t offset = make_named(world, &generation);
    pn_buffer_publish(world->domain, offset);
    pn_object_drop(world->domain, offset);
}

static void
op_find_and_unlink(world *world)
{
    uint64_t offset;
    uint32_t generation;
    if (pn_buffer_find(world->domain, NAME, &offset, &generation) == PN_OK) {
        pn_buffer_unlink(world->domain, offset, generation);
        pn_object_drop(world->domain, offset);
    }
}

static void
op_sweep(world *world)
{
    pn_sweep(world->domain);
}

/* ---- afterwards ------------------------------------------------------------------- */

/* A name of the director's is there or not, whole; one of a dead process is not. Then it can be given again. */
static void
judge_name(world *world)
{
    pn_domain *domain = world->domain;
    uint64_t offset;
    uint32_t generation;
    pn_sweep(domain);
    if (world->object_two != 0 && pn_buffer_find(domain, NAME, &offset, &generation) == PN_OK) {
        if (offset != world->object_two || generation != world->generation ||
            pn_buffer_unlink(domain, offset, generation) != PN_OK) {
            blame(world, "wrong", "the name finds another buffer");
        }
        pn_object_drop(domain, offset);
    }
    world->object_two = 0;
    if (pn_buffer_find(domain, NAME, &offset, &generation) != PN_NOTHING) {
        blame(world, "wrong", "the name of a dead process is found");
    }
    offset = make_named(world, &generation);
    if (pn_buffer_publish(domain, offset) != PN_OK ||
        pn_buffer_unlink(domain, offset, generation) != PN_OK) {
        blame(world, "wrong", "the name cannot be given again");
    }
    pn_object_drop(domain, offset);
    world->died_at = pn_now();
}

#define NAMED(title, with_build, with_operation, bytes)                                            \
    {.name = title,                                                                                \
     .build = with_build,                                                                          \
     .operation = with_operation,                                                                  \
     .sampled = true,                                                                              \
     .at_death = judge_name,                                                                       \
     .a = bytes,                                                                                   \
     .cast = {COMING(consume, 0, 0), COMING(produce, 301, 2)},                                     \
     RING_RULES}

const scenario name_scenarios[] = {
    NAMED("name: given to a small one", build_ring, op_name_it, 8),
    NAMED("name: given to a large one", build_ring, op_name_it, 5000),
    NAMED("name: found and taken away, small", build_kept, op_find_and_unlink, 8),
    NAMED("name: found and taken away, large", build_kept, op_find_and_unlink, 5000),
    {.name = "name: sweep of a dead process's",
     .build = build_dead,
     .operation = op_sweep,
     FROM(pn_domain_enter),
     .sampled = true,
     .at_death = judge_name,
     .a = 8,
     .cast = {COMING(consume, 0, 0), COMING(produce, 301, 2)},
     RING_RULES},
    {.name = NULL},
};

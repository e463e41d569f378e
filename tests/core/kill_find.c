/* Step-kill: a program that looks for an object of another one by its name, uses it, and lets go of all. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit.h"
#include "find.h"
#include "items.h"
#include "slots.h"
#include "stepkill.h"
#include "sweep.h"

static pn_domain *visited;
static pn_ring found_ring;

static void
build_ring(world *world)
{
    ring_make(world, 0, 0);
    atomic_store(&world->domain->header->last_sweep, pn_now()); /* a sweep is one of its own */
}

static void
build_for_put(world *world)
{
    build_ring(world);
    victim_puts(world, 100, 1);
}

static void
map_it(world *world)
{
    if (pn_domain_attach(&visited, dup(world->domain->fd)) != PN_OK) {
        abort();
    }
}

/* Hold the ring, by whatever name it has. */
static pn_status
find_ring(world *world)
{
    pn_found *list;
    size_t count;
    pn_status status = pn_find_named(visited, &list, &count);
    for (size_t i = 0; status == PN_OK && i < count; i++) {
        if (list[i].offset == world->ring.offset) {
            status = pn_object_attach(visited, list[i].offset, list[i].generation);
        }
    }
    free(list);
    pn_ring_open(&found_ring, visited, world->ring.offset);
    return status;
}

static void
ready_to_come(world *world)
{
    map_it(world);
}

static void
op_come(world *world)
{
    pn_status status = pn_slot_take(visited, PN_SLOT_VISITOR);
    atomic_store(&world->stage->status, status == PN_OK ? find_ring(world) : status);
}

static void
ready_to_put(world *world)
{
    map_it(world);
    if (pn_slot_take(visited, PN_SLOT_VISITOR) != PN_OK) {
        abort();
    }
}

static void
op_find_and_put(world *world)
{
    pn_status status = find_ring(world);
    atomic_store(&world->stage->status,
                 status == PN_OK ? put_one(&found_ring, world->put_first) : status);
}

static void
ready_to_go(world *world)
{
    ready_to_put(world);
    if (find_ring(world) != PN_OK) {
        abort();
    }
}

/* With the ring in hand: the sweep of its own line gives it back. */
static void
op_go(world *world)
{
    (void)world;
    pn_domain_close(visited);
}

/* A line that was reserved, and whose process died before it took it, is given up in a second: now. */
static void
a_second_passes(world *world)
{
    for (uint32_t i = 0; i < PN_SLOTS; i++) {
        pn_slot *slot = &world->domain->slots[i];
        if (atomic_load(&slot->state) == PN_SLOT_STARTING && atomic_load(&slot->pid) == 0 &&
            (atomic_load(&slot->flags) & PN_SLOT_VISITOR)) {
            slot->reserved_at -= INT64_C(2000000000);
        }
    }
}

/* ---- who stands still while it takes a line --------------------------------------- */

static void
build_nothing(world *world)
{
    (void)world;
}

static void
op_take_line(world *world)
{
    atomic_store(&world->stage->status, pn_slot_take(visited, PN_SLOT_VISITOR));
    atomic_store(&world->stage->actors[1].log[0], visited->slot);
    atomic_store(&world->stage->actors[1].log[1], visited->generation);
}

/* A visitor, too, where the first line that it looks at is the one which has been given up. */
static void
sweep_and_take_line(world *world, actor *me)
{
    uint32_t first = atomic_load(&world->domain->header->next_slot);
    pn_sweep(world->domain);
    atomic_store(&world->domain->header->next_slot, (first + PN_SLOTS - 1) % PN_SLOTS);
    map_it(world);
    ACTOR_CHECK(me, pn_slot_take(visited, PN_SLOT_VISITOR) == PN_OK);
    actor_note(me, visited->slot);
    actor_note(me, visited->generation);
}

static void
another_takes_a_line(world *world)
{
    a_second_passes(world);
    crew_meet(world, 0);
}

static bool
has_line(world *world, pid_t pid, const actor *actor)
{
    uint32_t index = atomic_load(&actor->log[0]);
    if (index >= PN_SLOTS) {
        return false;
    }
    const pn_slot *slot = &world->domain->slots[index];
    return atomic_load(&slot->state) == PN_SLOT_LIVE && atomic_load(&slot->pid) == (uint32_t)pid &&
           atomic_load(&slot->generation) == atomic_load(&actor->log[1]);
}

static void
survive_with_two_lines(world *world)
{
    if (!crew_wait(world, all_finished, "another has a line")) {
        return;
    }
    if (atomic_load(&world->stage->status) != PN_OK) {
        blame(world, "wrong", "no line for who stood still: status %u",
              atomic_load(&world->stage->status));
    }
    if (!has_line(world, world->victim, &world->stage->actors[1]) ||
        !has_line(world, world->pids[0], &world->stage->actors[0])) {
        blame(world, "wrong", "one has no line, or the other's");
    }
    audit_after(world);
}

const scenario find_scenarios[] = {
    {.name = "find: a visitor stands still, its line is given up",
     .build = build_nothing,
     .ready = ready_to_come,
     .operation = op_take_line,
     .sampled = true,
     .meet = true,
     .at_stop = another_takes_a_line,
     .cast = {LATECOMER(sweep_and_take_line, 0, 0)},
     .survive = survive_with_two_lines},
    {.name = "find: a visitor comes; a consumer sleeps",
     .build = build_ring,
     .ready = ready_to_come,
     .operation = op_come,
     .sampled = true,
     .at_death = a_second_passes,
     .cast = {SLEEPING(consume, 0, 0), COMING(produce, 301, 2)},
     RING_RULES},
    {.name = "find: by name, and a put; a consumer sleeps",
     .build = build_for_put,
     .ready = ready_to_put,
     .operation = op_find_and_put,
     .sampled = true,
     .cast = {SLEEPING(consume, 0, 0), COMING(produce, 301, 2)},
     RING_RULES},
    {.name = "find: a visitor goes; a consumer sleeps",
     .build = build_ring,
     .ready = ready_to_go,
     .operation = op_go,
     .sampled = true,
     .cast = {SLEEPING(consume, 0, 0), COMING(produce, 301, 2)},
     RING_RULES},
    {.name = NULL},
};

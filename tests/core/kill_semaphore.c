/* Step-kill: permits taken, given back, waited for, and given back for the dead. */
#include <stdlib.h>

#include "audit.h"
#include "heap.h"
#include "semaphore_parts.h"
#include "slots.h"
#include "stepkill.h"
#include "sweep.h"

/* ---- what is there ------------------------------------------------------------ */

static pn_semaphore
seats(world *world)
{
    pn_semaphore semaphore;
    pn_semaphore_open(&semaphore, world->domain, world->object);
    return semaphore;
}

/* `a` permits; `b` of them are the director's. */
static void
build_seats(world *world)
{
    if (pn_semaphore_new(world->domain, "seats", world->scenario->a, 0, &world->object,
                         &world->generation) != PN_OK) {
        abort();
    }
    pn_semaphore semaphore = seats(world);
    for (uint32_t i = 0; i < world->scenario->b; i++) {
        pn_semaphore_try(&semaphore);
    }
    world->flag = world->scenario->b != 0;
}

static void
take_all(world *world)
{
    pn_semaphore semaphore = seats(world);
    while (pn_semaphore_try(&semaphore) == PN_OK) {
    }
}

/* All are in the hands of a dead process, of which nobody has heard. */
static void
build_dead(world *world)
{
    build_seats(world);
    live_and_die(world, take_all);
    pn_semaphore semaphore = seats(world);
    for (uint32_t slot = 0; slot < PN_SLOTS; slot++) {
        if (held_of(read_line(&semaphore, slot)) != 0) {
            world->puts = atomic_load(&world->domain->slots[slot].pid); /* of the dead one */
        }
    }
}

/* ---- the others ------------------------------------------------------------------ */

static void
sit(world *world, actor *me)
{
    pn_semaphore semaphore = seats(world);
    pn_word in_vain = 0;
    pn_status status = pn_semaphore_try(&semaphore);
    while (status == PN_EMPTY || status == PN_INTERRUPTED || status == PN_BUSY) {
        status = pn_semaphore_wait(&semaphore, PN_FOREVER, &in_vain);
    }
    ACTOR_CHECK(me, status == PN_OK);
    actor_note(me, 1);
    ACTOR_CHECK(me, pn_semaphore_release(&semaphore, true) == PN_OK);
}

static void
waiters_come(world *world)
{
    for (int i = 0; i < ACTORS; i++) {
        if (world->scenario->cast[i].play != NULL && world->scenario->cast[i].when == LATER) {
            actor_start_asleep(world, i);
        }
    }
}

/* ---- what the victim does ----------------------------------------------------------- */

static void
op_take(world *world)
{
    pn_semaphore semaphore = seats(world);
    pn_semaphore_try(&semaphore);
}

static void
op_release(world *world)
{
    pn_semaphore semaphore = seats(world);
    pn_semaphore_release(&semaphore, true);
}

static void
op_wait(world *world)
{
    pn_semaphore semaphore = seats(world);
    pn_word in_vain = 0;
    pn_semaphore_wait(&semaphore, PN_FOREVER, &in_vain);
}

/* What a sweep does for each object. */
static void
op_bury(world *world)
{
    pn_domain *domain = world->domain;
    if (pn_domain_enter(domain) == PN_OK) {
        for (uint32_t slot = 0; slot < PN_SLOTS; slot++) {
            if (atomic_load(&domain->slots[slot].pid) == world->puts) {
                pn_semaphore_bury(domain, world->object, slot, 0, false);
                break;
            }
        }
        pn_domain_leave(domain);
    }
}

static void
op_make(world *world)
{
    uint64_t offset;
    uint32_t generation;
    pn_semaphore_new(world->domain, "seats", 1, 0, &offset, &generation);
}

static void
op_drop(world *world)
{
    pn_object_drop(world->domain, world->object);
}

/* ---- the director --------------------------------------------------------------------- */

static void
director_releases(world *world)
{
    pn_semaphore semaphore = seats(world);
    if (pn_semaphore_release(&semaphore, true) != PN_OK) {
        blame(world, "wrong", "the director cannot release");
    }
}

/* The victim sleeps, others come, then there is a permit: the victim eats the wake. */
static void
others_come_and_one_is_free(world *world, int time)
{
    if (time == 1) {
        waiters_come(world);
        world->flag = false;
        director_releases(world);
    }
}

/* Has a dead process, or the victim, which is about to die, permits? If not, what there is to be taken must come to the
 * others without a sweep. */
static void
note_holders(world *world)
{
    pn_semaphore semaphore = seats(world);
    world->owned = false;
    for (uint32_t slot = 0; slot < PN_SLOTS; slot++) {
        uint32_t pid = atomic_load(&world->domain->slots[slot].pid);
        world->owned |= held_of(read_line(&semaphore, slot)) != 0 &&
                        (pid == (uint32_t)world->victim || pid == world->puts);
    }
}

static void
sweep_if_held(world *world)
{
    if (world->flag) { /* the director's, which the victim did not wait for */
        world->flag = false;
        director_releases(world);
    }
    if (world->owned) {
        pn_sweep(world->domain);
    }
    world->died_at = pn_now();
}

/* The victim had none itself: has it given one back? */
static void
note_release(world *world)
{
    pn_semaphore semaphore = seats(world);
    world->owned = world->scenario->b != 0
                       ? held_of(read_line(&semaphore, world->domain->slot)) == 0
                       : read_word(&semaphore.cell->total) == 1;
}

static void
release_if_it_did_not(world *world)
{
    if (!world->owned) {
        director_releases(world);
        world->died_at = pn_now();
    }
}

static void
sweep_after(world *world)
{
    pn_sweep(world->domain);
    world->died_at = pn_now();
}

static void
sweep_after_the_second(world *world)
{
    if (world->victim_put) {
        sweep_after(world);
    }
    world->victim_put = 1;
}

static void
survive_semaphore(world *world)
{
    for (int i = 0; i < ACTORS; i++) {
        if (world->scenario->cast[i].play != NULL) {
            actor_start(world, i);
        }
    }
    if (!crew_wait(world, all_finished, "there is a permit, and somebody sleeps")) {
        return;
    }
    world->delay = pn_now() - world->died_at;
    for (int i = 0; i < ACTORS; i++) {
        if (atomic_load(&world->stage->actors[i].broken)) {
            blame(world, "wrong", "line %u", atomic_load(&world->stage->actors[i].broken));
        }
    }
    if (world->object != 0) {
        pn_sweep(world->domain);
        pn_semaphore semaphore = seats(world);
        pn_semaphore_counts counts = {0};
        uint32_t most = world->scenario->a ? world->scenario->a : 1; /* a signal makes the first */
        if (pn_semaphore_look(&semaphore, &counts, NULL, 0) != PN_OK) {
            blame(world, "stuck", "the lock inside is held");
        }
        if (counts.free < most || counts.total < most) {
            blame(world, "lost", "%u free of %u, not %u", counts.free, counts.total, most);
        } else if (counts.free > most || counts.total > most) {
            blame(world, "doubled", "%u free of %u, not %u", counts.free, counts.total, most);
        }
    }
    audit_after(world);
}

/* Only the victim has it then. */
static void
director_drops(world *world)
{
    world->object_two = world->object;
    pn_object_drop(world->domain, world->object);
    world->object = 0;
}

static void
forget(world *world)
{
    world->object_two = 0;
}

static pn_lock *
inner(world *world)
{
    return &seats(world).cell->inner;
}

/* ---- broken on purpose ------------------------------------------------------------------ */

static void
op_release_without_wake(world *world)
{
    pn_semaphore semaphore = seats(world);
    uint32_t slot = world->domain->slot;
    pn_semaphore_enter(&semaphore);
    pn_semaphore_write(&semaphore, slot, read_line(&semaphore, slot) - 1);
    atomic_fetch_add(&semaphore.cell->free, 1);
    leave(&semaphore);
}

/* Counts before it writes whose it is, and says that nobody need repair it. */
static void
op_take_without_a_name(world *world)
{
    pn_semaphore semaphore = seats(world);
    atomic_fetch_sub(&semaphore.cell->free, 1);
    atomic_fetch_add(&semaphore.lines[world->domain->slot], 1);
}

/* Gives back what the dead one had, and then writes that it has nothing. */
static void
op_bury_twice(world *world)
{
    pn_semaphore semaphore = seats(world);
    for (uint32_t slot = 0; slot < PN_SLOTS; slot++) {
        uint32_t held = held_of(read_line(&semaphore, slot));
        if (held != 0 && !pn_slot_alive(world->domain, slot)) {
            atomic_fetch_add(&semaphore.cell->free, held);
            atomic_store(&semaphore.lines[slot], 0);
        }
    }
}

#define SEMAPHORE_END .survive = survive_semaphore

const scenario semaphore_scenarios[] = {
    {.name = "semaphore: take",
     .build = build_seats,
     .a = 1,
     .operation = op_take,
     .at_death = sweep_after,
     .cast = {COMING(sit, 0, 0), COMING(sit, 0, 0)},
     SEMAPHORE_END},
    {.name = "semaphore: take after a death in it",
     .build = build_seats,
     .a = 2,
     .first = op_take,
     .dies_with = inner,
     .operation = op_take,
     .sampled = true,
     .at_death = sweep_after,
     .cast = {COMING(sit, 0, 0), COMING(sit, 0, 0)},
     SEMAPHORE_END},
    {.name = "semaphore: release, two sleep",
     .build = build_seats,
     .a = 1,
     .ready = op_take,
     .at_start = waiters_come,
     .operation = op_release,
     .at_stop = note_holders,
     .at_death = sweep_if_held,
     .cast = {LATECOMER(sit, 0, 0), LATECOMER(sit, 0, 0)},
     SEMAPHORE_END},
    {.name = "semaphore: release of the first permit",
     .build = build_seats,
     .sampled = true,
     .operation = op_release,
     .at_stop = note_release,
     .at_death = release_if_it_did_not,
     .cast = {SLEEPING(sit, 0, 0), SLEEPING(sit, 0, 0)},
     SEMAPHORE_END},
    {.name = "semaphore: release of another's",
     .build = build_seats,
     .a = 1,
     .b = 1,
     .sampled = true,
     .operation = op_release,
     .at_stop = note_release,
     .at_death = release_if_it_did_not,
     .cast = {SLEEPING(sit, 0, 0), SLEEPING(sit, 0, 0)},
     SEMAPHORE_END},
    {.name = "semaphore: woken while others wait",
     .build = build_seats,
     .a = 1,
     .b = 1,
     .sampled = true,
     .operation = op_wait,
     .on_sleep = others_come_and_one_is_free,
     .at_stop = note_holders,
     .at_death = sweep_if_held,
     .cast = {LATECOMER(sit, 0, 0), LATECOMER(sit, 0, 0)},
     SEMAPHORE_END},
    {.name = "semaphore: burial of a holder, two sleep",
     .build = build_dead,
     .a = 2,
     .sampled = true,
     .operation = op_bury,
     FROM(pn_semaphore_enter_until),
     .at_stop = note_holders,
     .at_death = sweep_if_held,
     .cast = {SLEEPING(sit, 0, 0), SLEEPING(sit, 0, 0)},
     SEMAPHORE_END},
    {.name = "semaphore: two burials of a holder",
     .build = build_dead,
     .a = 2,
     .first = op_bury,
     .dies_with = inner,
     .operation = op_bury,
     FROM(pn_semaphore_bury),
     .sampled = true,
     .at_death = sweep_after_the_second,
     .cast = {SLEEPING(sit, 0, 0), SLEEPING(sit, 0, 0)},
     SEMAPHORE_END},
    {.name = "semaphore: making one",
     .build = build_seats,
     .a = 1,
     .operation = op_make,
     FROM(pn_heap_alloc_locked),
     .sampled = true,
     SEMAPHORE_END},
    {.name = "semaphore: the end of one",
     .build = build_seats,
     .at_start = director_drops,
     .operation = op_drop,
     .sampled = true,
     .at_death = forget,
     SEMAPHORE_END},
    {.name = "broken: semaphore: release without a wake",
     .build = build_seats,
     .a = 1,
     .ready = op_take,
     .at_start = waiters_come,
     .operation = op_release_without_wake,
     .at_stop = note_holders,
     .at_death = sweep_if_held,
     .must_show = "stuck",
     .cast = {LATECOMER(sit, 0, 0)},
     SEMAPHORE_END},
    {.name = "broken: semaphore: a take that counts first",
     .build = build_seats,
     .a = 1,
     .operation = op_take_without_a_name,
     .at_death = sweep_after,
     .must_show = "stuck",
     .cast = {COMING(sit, 0, 0)},
     SEMAPHORE_END},
    {.name = "broken: semaphore: a burial that counts first",
     .build = build_dead,
     .a = 1,
     .operation = op_bury_twice,
     .at_death = sweep_after,
     .sampled = true,
     .must_show = "doubled",
     .cast = {COMING(sit, 0, 0)},
     SEMAPHORE_END},
    {.name = NULL},
};

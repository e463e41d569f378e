/* Step-kill: robust locks and ledger locks, with waiters and a barger. */
#include <stdlib.h>

#include "audit.h"
#include "slots.h"
#include "stepkill.h"
#include "sweep.h"

/* ---- robust ----------------------------------------------------------------- */

static void
make_lock(world *world, pn_object_type type)
{
    if (pn_object_new(world->domain, type, "lock", &world->object, &world->generation) != PN_OK) {
        abort();
    }
    world->lock = &((pn_lock_cell *)pn_at(world->domain, world->object))->lock;
}

static void
build_lock(world *world)
{
    make_lock(world, PN_OBJECT_MUTEX);
}

static void
build_died(world *world)
{
    build_lock(world);
    atomic_store(&world->lock->word, PN_DIED);
}

static void
build_held(world *world)
{
    build_lock(world);
    if (pn_lock_try(world->lock) != PN_OK) {
        abort();
    }
    world->flag = true; /* the director holds it */
}

static void
take_and_release(world *world, actor *me)
{
    pn_status status = pn_lock_enter(world->lock, pn_slot_owner_alive, world->domain);
    ACTOR_CHECK(me, status == PN_OK || status == PN_OWNER_DIED);
    ACTOR_CHECK(me, pn_lock_mine(world->lock));
    actor_note(me, status);
    pn_lock_release(world->lock);
}

static void
ready_holding(world *world)
{
    if (pn_lock_try(world->lock) != PN_OK) {
        abort();
    }
}

static void
op_enter(world *world)
{
    pn_lock_enter(world->lock, pn_slot_owner_alive, world->domain);
}

static void
op_release(world *world)
{
    pn_lock_release(world->lock);
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

/* The victim sleeps, a second one comes, then the director lets go: the victim eats the wake. */
static void
let_go(world *world, int time)
{
    if (time == 1) {
        waiters_come(world);
        pn_lock_release(world->lock);
        world->flag = false;
    }
}

static void
note_owner(world *world)
{
    uint32_t owner = atomic_load(&world->lock->word) & PN_OWNER;
    world->owned = owner == (uint32_t)world->victim;
}

/* The director takes the lock if it is free, and keeps it until the victim is dead. */
static void
barge(world *world)
{
    note_owner(world);
    world->flag = pn_lock_try(world->lock) == PN_OK;
}

static void
barge_and_leave(world *world)
{
    barge(world);
    if (world->flag) {
        pn_lock_release(world->lock);
        world->flag = false;
    }
}

static void
leave(world *world)
{
    if (world->flag) {
        pn_lock_release(world->lock);
        world->flag = false;
        world->died_at = pn_now();
    }
}

static void
judge(world *world)
{
    if (!crew_wait(world, all_finished, "the lock is free and somebody sleeps")) {
        return;
    }
    world->delay = pn_now() - world->died_at;
    uint32_t told = 0;
    for (int i = 0; i < ACTORS; i++) {
        told += atomic_load(&world->stage->actors[i].log[0]) == PN_OWNER_DIED;
        if (atomic_load(&world->stage->actors[i].broken)) {
            blame(world, "wrong", "line %u", atomic_load(&world->stage->actors[i].broken));
        }
    }
    bool died = world->scenario->build == build_died;
    if (world->owned != (told == 1) && !(died && told == 1)) {
        blame(world, "wrong", "the owner %s, %u were told so", world->owned ? "died" : "lives",
              told);
    }
    if (atomic_load(&world->lock->word) != 0 && atomic_load(&world->lock->word) != PN_WAITERS) {
        blame(world, "wrong", "the word is %x", atomic_load(&world->lock->word));
    }
}

static void
survive_lock(world *world)
{
    for (int i = 0; i < ACTORS; i++) {
        if (world->scenario->cast[i].play != NULL) {
            actor_start(world, i);
        }
    }
    judge(world);
    if (!world->stuck) {
        audit_after(world);
    }
}

/* ---- ledger ------------------------------------------------------------------ */

static void
build_ledger(world *world)
{
    make_lock(world, PN_OBJECT_LOCK);
}

static void
build_ledger_held(world *world)
{
    build_ledger(world);
    pn_ledger_try(world->lock, world->domain->slot);
    world->flag = true;
}

static void
ready_ledger(world *world)
{
    pn_ledger_try(world->lock, world->domain->slot);
}

/* Somebody took it and is dead; nobody has swept yet. */
static void
build_ledger_dead(world *world)
{
    build_ledger(world);
    live_and_die(world, ready_ledger);
    world->owned = true;
}

static void
ledger_take_and_release(world *world, actor *me)
{
    pn_status status;
    do {
        status = pn_ledger_wait(world->lock, world->domain->slot, PN_FOREVER, pn_slot_owner_alive,
                                world->domain);
    } while (status == PN_INTERRUPTED);
    ACTOR_CHECK(me, status == PN_OK || status == PN_OWNER_DIED);
    actor_note(me, status);
    ACTOR_CHECK(me, pn_ledger_release(world->lock) == PN_OK);
}

static void
op_ledger(world *world)
{
    pn_ledger_try(world->lock, world->domain->slot);
    pn_ledger_release(world->lock);
}

static void
op_ledger_wait(world *world)
{
    pn_ledger_wait(world->lock, world->domain->slot, PN_FOREVER, pn_slot_owner_alive,
                   world->domain);
}

static void
op_ledger_release(world *world)
{
    pn_ledger_release(world->lock);
}

static void
op_sweep(world *world)
{
    pn_sweep(world->domain);
}

static void
ledger_let_go(world *world, int time)
{
    if (time == 1) {
        waiters_come(world);
        pn_ledger_release(world->lock);
        world->flag = false;
    }
}

static void
ledger_note_owner(world *world)
{
    uint32_t owner = atomic_load(&world->lock->word) & PN_OWNER;
    world->owned = owner != 0 && !world->flag && owner != (PN_LEDGER | world->domain->slot) &&
                   atomic_load(&world->stage->actors[0].progress) == 0;
}

static void
ledger_barge(world *world)
{
    ledger_note_owner(world);
    world->flag = pn_ledger_try(world->lock, world->domain->slot) == PN_OK;
}

static void
ledger_leave(world *world)
{
    if (world->flag) {
        pn_ledger_release(world->lock);
        world->flag = false;
    }
    pn_sweep(world->domain); /* buries what the victim held */
    world->died_at = pn_now();
}

#define LOCK_END .at_death = leave, .survive = survive_lock
#define LEDGER_END .at_death = ledger_leave, .survive = survive_lock

const scenario lock_scenarios[] = {
    {.name = "lock",
     .build = build_lock,
     .operation = op_enter,
     .at_stop = note_owner,
     .cast = {COMING(take_and_release, 0, 0), COMING(take_and_release, 0, 0)},
     LOCK_END},
    {.name = "lock whose owner died",
     .build = build_died,
     .operation = op_enter,
     .at_stop = note_owner,
     .cast = {COMING(take_and_release, 0, 0), COMING(take_and_release, 0, 0)},
     LOCK_END},
    {.name = "lock, woken while another waits",
     .build = build_held,
     .operation = op_enter,
     .on_sleep = let_go,
     .at_stop = note_owner,
     .cast = {LATECOMER(take_and_release, 0, 0)},
     LOCK_END},
    {.name = "unlock, a waiter",
     .build = build_lock,
     .ready = ready_holding,
     .at_start = waiters_come,
     .operation = op_release,
     .at_stop = note_owner,
     .cast = {LATECOMER(take_and_release, 0, 0)},
     LOCK_END},
    {.name = "unlock, two waiters and a barger",
     .build = build_lock,
     .ready = ready_holding,
     .at_start = waiters_come,
     .operation = op_release,
     .at_stop = barge,
     .cast = {LATECOMER(take_and_release, 0, 0), LATECOMER(take_and_release, 0, 0)},
     LOCK_END},
    {.name = "unlock, a waiter and a barger",
     .build = build_lock,
     .ready = ready_holding,
     .at_start = waiters_come,
     .operation = op_release,
     .at_stop = barge,
     .cast = {LATECOMER(take_and_release, 0, 0)},
     LOCK_END},
    {.name = "unlock, a waiter and a hasty barger",
     .build = build_lock,
     .ready = ready_holding,
     .at_start = waiters_come,
     .operation = op_release,
     .at_stop = barge_and_leave,
     .cast = {LATECOMER(take_and_release, 0, 0)},
     LOCK_END},
    {.name = "ledger lock and release",
     .build = build_ledger,
     .operation = op_ledger,
     .at_stop = ledger_note_owner,
     .cast = {COMING(ledger_take_and_release, 0, 0), COMING(ledger_take_and_release, 0, 0)},
     LEDGER_END},
    {.name = "ledger lock, woken while another waits",
     .build = build_ledger_held,
     .operation = op_ledger_wait,
     .on_sleep = ledger_let_go,
     .at_stop = ledger_note_owner,
     .cast = {LATECOMER(ledger_take_and_release, 0, 0)},
     LEDGER_END},
    {.name = "ledger release, a waiter and a barger",
     .build = build_ledger,
     .ready = ready_ledger,
     .at_start = waiters_come,
     .operation = op_ledger_release,
     .at_stop = ledger_barge,
     .cast = {LATECOMER(ledger_take_and_release, 0, 0)},
     LEDGER_END},
    {.name = "burial of a dead ledger owner, a waiter",
     .build = build_ledger_dead,
     .operation = op_sweep,
     FROM(pn_domain_enter),
     .sampled = true,
     .cast = {SLEEPING(ledger_take_and_release, 0, 0)},
     LEDGER_END},
    {.name = NULL},
};

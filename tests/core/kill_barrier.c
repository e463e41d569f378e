/* Step-kill: arriving at a barrier, ending a round, breaking it, sweeping one that died at it.
 *
 * The law: all that were in one round are told the same. */
#include <stdlib.h>

#include "barrier.h"
#include "futex.h"
#include "stepkill.h"
#include "sweep.h"

static pn_barrier
barrier_of(world *world)
{
    pn_barrier barrier = {.pauses_in_vain = 0};
    pn_barrier_open(&barrier, world->domain, world->object);
    return barrier;
}

static void
build_barrier(world *world)
{
    if (pn_object_new(world->domain, PN_OBJECT_BARRIER, "barrier", &world->object,
                      &world->generation) != PN_OK) {
        abort();
    }
    atomic_store(&barrier_of(world).cell->parties, 3);
}

/* ---- what is done ----------------------------------------------------------------- */

static pn_status
wait_there(world *world, bool has_action)
{
    pn_barrier barrier = barrier_of(world);
    pn_party party;
    pn_status status = pn_barrier_arrive(&barrier, has_action, &party);
    if (status == PN_BUSY && party.must_act) {
        return pn_barrier_acted(&barrier, &party, true);
    }
    while (status == PN_BUSY || status == PN_INTERRUPTED) {
        status = pn_barrier_sleep(&barrier, &party, PN_FOREVER);
    }
    return status;
}

static void
wait_and_tell(world *world, actor *me)
{
    pn_status status = wait_there(world, false);
    atomic_store(&me->status, status);
    actor_note(me, status);
}

static void
op_wait(world *world)
{
    atomic_store(&world->stage->status, wait_there(world, false));
}

static void
op_act(world *world)
{
    atomic_store(&world->stage->status, wait_there(world, true));
}

static void
op_abort(world *world)
{
    pn_barrier barrier = barrier_of(world);
    pn_barrier_abort(&barrier);
}

static void
op_reset(world *world)
{
    pn_barrier barrier = barrier_of(world);
    pn_barrier_reset(&barrier);
}

static void
op_time_out(world *world)
{
    pn_barrier barrier = barrier_of(world);
    pn_party party;
    if (pn_barrier_arrive(&barrier, false, &party) == PN_BUSY &&
        pn_barrier_sleep(&barrier, &party, pn_now()) == PN_TIMEOUT) {
        pn_barrier_give_up(&barrier, &party, PN_BARRIER_TIMED_OUT);
    }
}

static uint64_t dead;

static void
ready_to_bury(world *world)
{
    pn_barrier barrier = barrier_of(world);
    pn_waiter_walk walk = pn_waiters_walk(world->domain, &barrier.cell->waiters);
    pn_waiter *line = pn_waiter_next(&walk);
    dead = line != NULL ? atomic_load(&line->owner) : 0;
}

/* What a sweep does to it. */
static void
op_bury(world *world)
{
    if (dead != 0) {
        pn_barrier_bury(world->domain, world->object, (uint32_t)(dead >> 32) - 1, (uint32_t)dead,
                        false);
    }
}

static void
arrive_and_die(world *world)
{
    pn_barrier barrier = barrier_of(world);
    pn_party party;
    pn_barrier_arrive(&barrier, false, &party);
}

static void
build_dead(world *world)
{
    build_barrier(world);
    live_and_die(world, arrive_and_die);
}

static void
others_come(world *world, int time)
{
    if (time == 1) {
        for (int i = 0; i < ACTORS; i++) {
            if (world->scenario->cast[i].when == LATER) {
                actor_start(world, i);
            }
        }
    }
}

/* ---- judging ------------------------------------------------------------------------ */

static void
compare(world *world)
{
    uint32_t told[2] = {0, 0}; /* passed, broken */
    for (int i = 0; i < ACTORS; i++) {
        if (world->scenario->cast[i].play != NULL) {
            told[atomic_load(&world->stage->actors[i].status) != PN_OK]++;
        }
    }
    if (atomic_load(&world->stage->status) == PN_OK && atomic_load(&world->stage->ended) &&
        world->scenario->b) {
        told[0]++;
    }
    if (told[0] != 0 && told[1] != 0) {
        blame(world, "wrong", "%u passed, and %u were told that it is broken", told[0], told[1]);
    }
}

static void
end_well(world *world)
{
    if (crew_wait(world, all_finished, "the round has ended and somebody sleeps")) {
        world->delay = pn_now() - world->died_at;
        compare(world);
        audit_after(world);
    }
}

/* Is there anything that the living must do, because the victim has not? */
static void
survive(world *world)
{
    pn_barrier barrier = barrier_of(world);
    for (int i = 0; i < ACTORS; i++) {
        if (world->scenario->cast[i].when == LATER) {
            actor_start(world, i);
        }
    }
    uint64_t state = atomic_load(&barrier.cell->state);
    if (state == 0) { /* the round is not over: somebody died in it, or had not come */
        pn_sweep(world->domain);
        if (!pn_barrier_is_broken(&barrier) && pn_barrier_rounds(&barrier) == 0) {
            pn_barrier_abort(&barrier);
        }
        world->died_at = pn_now();
    }
    end_well(world);
}

static pn_lock *
inner_lock(world *world)
{
    return &barrier_of(world).cell->lock;
}

/* ---- broken on purpose ---------------------------------------------------------------- */

/* Tells one that it has passed, and the others that it is broken. */
static void
op_tell_two_ends(world *world)
{
    pn_barrier barrier = barrier_of(world);
    uint64_t end = PN_BARRIER_PASSED;
    pn_waiter_walk walk = pn_waiters_walk(world->domain, &barrier.cell->waiters);
    for (pn_waiter *line; (line = pn_waiter_next(&walk)) != NULL;) {
        atomic_store(&line->note, end << 32);
        end = PN_BARRIER_ABORTED;
    }
    pn_pending_wake(pn_self(), (pn_word *)&barrier.cell->state);
    atomic_store(&barrier.cell->state, PN_BARRIER_BROKEN);
    pn_futex_wake((pn_word *)&barrier.cell->state, INT32_MAX);
}

static void
op_end_without_wake(world *world)
{
    pn_barrier barrier = barrier_of(world);
    atomic_store(&barrier.cell->state, PN_BARRIER_BROKEN);
}

#define TWO SLEEPING(wait_and_tell, 0, 0), SLEEPING(wait_and_tell, 0, 0)

const scenario barrier_scenarios[] = {
    {.name = "barrier: the last one arrives",
     .build = build_barrier,
     .operation = op_wait,
     .sampled = true,
     .b = true,
     .cast = {TWO},
     .survive = survive},
    {.name = "barrier: the last one arrives, and acts",
     .build = build_barrier,
     .operation = op_act,
     .sampled = true,
     .b = true,
     .cast = {TWO},
     .survive = survive},
    {.name = "barrier: the first one waits",
     .build = build_barrier,
     .operation = op_wait,
     .sampled = true,
     .b = true,
     .on_sleep = others_come,
     .cast = {LATECOMER(wait_and_tell, 0, 0), LATECOMER(wait_and_tell, 0, 0)},
     .survive = survive},
    {.name = "barrier: abort, two sleep",
     .build = build_barrier,
     .operation = op_abort,
     .sampled = true,
     .cast = {TWO},
     .survive = survive},
    {.name = "barrier: reset, two sleep",
     .build = build_barrier,
     .operation = op_reset,
     .sampled = true,
     .cast = {TWO},
     .survive = survive},
    {.name = "barrier: one whose time runs out",
     .build = build_barrier,
     .operation = op_time_out,
     .sampled = true,
     .cast = {SLEEPING(wait_and_tell, 0, 0)},
     .survive = survive},
    {.name = "barrier: burial of one that waited",
     .build = build_dead,
     .operation = op_bury,
     .ready = ready_to_bury,
     .sampled = true,
     .cast = {SLEEPING(wait_and_tell, 0, 0)},
     .survive = survive},
    {.name = "barrier: two deaths: burial, then burial",
     .build = build_dead,
     .dies_with = inner_lock,
     .ready = ready_to_bury,
     .first = op_bury,
     .operation = op_bury,
     .sampled = true,
     .cast = {SLEEPING(wait_and_tell, 0, 0)},
     .survive = survive},
    {.name = "barrier: broken: an end without a wake",
     .build = build_barrier,
     .operation = op_end_without_wake,
     .must_show = "stuck",
     .cast = {TWO},
     .survive = survive},
    {.name = "barrier: broken: one is told another end",
     .build = build_barrier,
     .operation = op_tell_two_ends,
     .must_show = "wrong",
     .cast = {TWO},
     .survive = survive},
    {.name = NULL},
};

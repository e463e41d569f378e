#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "barrier.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "futex.h"
#include "heap.h"
#include "patience.h"
#include "slots.h"
#include "waits.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the flags are the lower half");

void
pn_barrier_open(pn_barrier *barrier, pn_domain *domain, uint64_t offset)
{
    barrier->domain = domain;
    barrier->offset = offset;
    barrier->cell = pn_at(domain, offset);
}

/* ---- the state --------------------------------------------------------------------- */

static uint64_t
state_of(pn_barrier *barrier)
{
    return atomic_load(&barrier->cell->state);
}

static uint32_t
round_of(uint64_t state)
{
    return (uint32_t)(state >> 32);
}

static uint64_t
state_for(uint32_t round)
{
    return (uint64_t)round << 32 | (round & 1) << 30;
}

static pn_word *
flags_of(pn_barrier *barrier)
{
    return (pn_word *)&barrier->cell->state;
}

static uint32_t
ticket_of(pn_waiter *line)
{
    return (uint32_t)atomic_load_explicit(&line->ticket, memory_order_relaxed);
}

static bool
is_over(uint64_t state, uint32_t round)
{
    return (state & PN_BARRIER_BROKEN) || round_of(state) != round;
}

static pn_waiter_walk
walk_lines(pn_barrier *barrier)
{
    return pn_waiters_walk(barrier->domain, &barrier->cell->waiters);
}

static uint32_t
count_of(pn_barrier *barrier, uint32_t round)
{
    uint32_t count = 0;
    pn_waiter_walk walk = walk_lines(barrier);
    for (pn_waiter *line; (line = pn_waiter_next(&walk)) != NULL;) {
        count += ticket_of(line) == round;
    }
    return count;
}

/* ---- ending a round, under the lock -------------------------------------------------- */

static void
set_state(pn_barrier *barrier, uint64_t next)
{
    pn_thread *self = pn_self();
    pn_pending_wake(self, flags_of(barrier));
    atomic_store(&barrier->cell->state, next); /* COMMIT */
    pn_futex_wake(flags_of(barrier), INT_MAX);
    atomic_store(&barrier->cell->announced, next);
    pn_pending_clear(self);
}

static void
end_round(pn_barrier *barrier, uint64_t next, pn_barrier_end how, uint32_t pid)
{
    uint32_t round = round_of(state_of(barrier));
    pn_waiter_walk walk = walk_lines(barrier);
    for (pn_waiter *line; (line = pn_waiter_next(&walk)) != NULL;) {
        if (ticket_of(line) == round) {
            atomic_store(&line->note, (uint64_t)how << 32 | pid);
        }
    }
    set_state(barrier, next);
}

static void
break_it(pn_barrier *barrier, pn_barrier_end why, uint32_t pid, const char *name)
{
    pn_barrier_cell *cell = barrier->cell;
    atomic_store(&cell->why, why);
    atomic_store(&cell->pid, pid);
    snprintf(cell->name, sizeof(cell->name), "%s", name);
    end_round(barrier, state_of(barrier) | PN_BARRIER_BROKEN, why, pid);
}

static void
break_it_here(pn_barrier *barrier, pn_barrier_end why)
{
    const pn_domain *domain = barrier->domain;
    const char *name = domain->slot < PN_SLOTS ? domain->slots[domain->slot].name : "";
    break_it(barrier, why, (uint32_t)getpid(), name);
}

static pn_status
entered(pn_barrier *barrier, pn_status status)
{
    pn_barrier_cell *cell = barrier->cell;
    if (status == PN_OWNER_DIED) {
        uint64_t state = state_of(barrier);
        if (atomic_load(&cell->announced) != state) {
            pn_futex_wake(flags_of(barrier), INT_MAX);
            atomic_store(&cell->announced, state);
        }
        status = PN_OK;
    }
    return status;
}

static pn_status
enter(pn_barrier *barrier)
{
    return entered(barrier,
                   pn_lock_enter(&barrier->cell->lock, pn_slot_owner_alive, barrier->domain));
}

static void
leave(pn_barrier *barrier)
{
    pn_lock_release(&barrier->cell->lock);
}

/* ---- one party ------------------------------------------------------------------------- */

/* The round is over: what its line says of the end. */
static pn_status
depart(pn_party *party)
{
    uint64_t note = atomic_load(&party->line->note);
    party->end = (pn_barrier_end)(note >> 32);
    party->pid = (uint32_t)note;
    pn_waiter_leave(party->line);
    party->line = NULL;
    return party->end == PN_BARRIER_PASSED ? PN_OK : PN_BROKEN;
}

static void
pass(pn_barrier *barrier)
{
    end_round(barrier, state_for(round_of(state_of(barrier)) + 1), PN_BARRIER_PASSED, 0);
}

/* With the lock held, and an end of the round that is not there yet. */
static pn_status
get_in_line(pn_barrier *barrier, bool has_action, pn_party *party)
{
    pn_barrier_cell *cell = barrier->cell;
    uint64_t state = state_of(barrier);
    if (state & PN_BARRIER_BROKEN) {
        party->end = (pn_barrier_end)atomic_load(&cell->why);
        party->pid = atomic_load(&cell->pid);
        return PN_BROKEN;
    }
    uint32_t parties = atomic_load(&cell->parties);
    uint32_t before = count_of(barrier, round_of(state));
    party->round = round_of(state);
    if (before >= parties) {
        return PN_BUSY;
    }
    party->line = pn_waiters_take(barrier->domain, &cell->waiters, round_of(state), before);
    if (party->line == NULL) {
        return PN_NO_MEMORY;
    }
    party->index = before;
    party->must_act = before + 1 == parties && has_action;
    if (before + 1 < parties || has_action) {
        return PN_BUSY;
    }
    pass(barrier);
    return depart(party);
}

pn_status
pn_barrier_arrive(pn_barrier *barrier, bool has_action, pn_party *party)
{
    uint64_t chunk = 0;
    *party = (pn_party){.line = NULL};
    for (;;) {
        pn_status status = enter(barrier);
        if (status != PN_OK) {
            if (chunk != 0) {
                pn_heap_free(barrier->domain, chunk);
            }
            return status;
        }
        if (chunk != 0) {
            pn_waiters_link(barrier->domain, &barrier->cell->waiters, chunk);
            chunk = 0;
        }
        status = get_in_line(barrier, has_action, party);
        leave(barrier);
        if (status != PN_NO_MEMORY) {
            return status;
        }
        status = pn_waiters_new_chunk(barrier->domain, barrier->offset, &chunk);
        if (status != PN_OK) {
            return status;
        }
    }
}

/* ---- sleeping ---------------------------------------------------------------------------- */

typedef struct {
    pn_barrier *barrier;
    uint32_t round;
} awaited;

static bool
has_ended(void *context)
{
    awaited *wanted = context;
    return is_over(atomic_load_explicit(&wanted->barrier->cell->state, memory_order_acquire),
                   wanted->round);
}

/* Has one died that waits here? Then its burial breaks the barrier. */
static void
look_for_dead(pn_barrier *barrier)
{
    pn_barrier_cell *cell = barrier->cell;
    pn_waiters_look_for_dead(barrier->domain, &cell->waiters, barrier->offset, UINT64_MAX,
                             &cell->looked, pn_barrier_bury);
}

static pn_status
sleep_until(awaited *wanted, int64_t deadline)
{
    pn_barrier *barrier = wanted->barrier;
    for (;;) {
        uint64_t state = state_of(barrier);
        if (is_over(state, wanted->round)) {
            return PN_OK;
        }
        pn_watch watches[] = {{flags_of(barrier), (uint32_t)state},
                              {flags_of(barrier) + 1, (uint32_t)(state >> 32)}};
        bool passed;
        pn_status status = pn_sleep_slice(watches, 2, deadline, &passed);
        if (passed && !has_ended(wanted)) {
            look_for_dead(barrier);
        }
        if (has_ended(wanted)) {
            return PN_OK;
        }
        if (status != PN_OK) {
            return status;
        }
    }
}

static pn_status
wait_for_end(awaited *wanted, int64_t deadline)
{
    pn_barrier *barrier = wanted->barrier;
    if (has_ended(wanted)) {
        return PN_OK;
    }
    if (deadline != PN_FOREVER && deadline <= pn_now()) {
        return PN_TIMEOUT;
    }
    if (pn_look_again(&barrier->pauses_in_vain, has_ended, wanted)) {
        return PN_OK;
    }
    pn_thread *self = pn_self();
    pn_wait *wait = pn_wait_begin(barrier->domain, barrier->offset, PN_WAIT_BARRIER);
    pn_pending_wake(self, flags_of(barrier)); /* a wake that we ate before we died is passed on */
    pn_status status = sleep_until(wanted, deadline);
    if (status == PN_OK && atomic_load(&barrier->cell->announced) != state_of(barrier)) {
        pn_futex_wake(flags_of(barrier), INT_MAX); /* whoever ended the round may be dead */
    }
    pn_pending_clear(self);
    pn_wait_end(wait);
    return status;
}

pn_status
pn_barrier_sleep(pn_barrier *barrier, pn_party *party, int64_t deadline)
{
    awaited wanted = {barrier, party->round};
    pn_status status = wait_for_end(&wanted, deadline);
    if (status != PN_OK) {
        return status;
    }
    return party->line != NULL ? depart(party) : PN_BUSY;
}

/* ---- ends that are not the last arrival's ------------------------------------------------ */

pn_status
pn_barrier_give_up(pn_barrier *barrier, pn_party *party, pn_barrier_end why)
{
    pn_status status = enter(barrier);
    if (status != PN_OK) {
        return status;
    }
    if (!is_over(state_of(barrier), party->round)) {
        if (why == PN_BARRIER_TIMED_OUT &&
            count_of(barrier, party->round) >= atomic_load(&barrier->cell->parties)) {
            leave(barrier);
            return PN_BUSY;
        }
        break_it_here(barrier, why);
    }
    leave(barrier);
    return depart(party);
}

pn_status
pn_barrier_acted(pn_barrier *barrier, pn_party *party, bool is_well)
{
    pn_status status = enter(barrier);
    if (status != PN_OK) {
        return status;
    }
    if (!is_over(state_of(barrier), party->round)) {
        if (is_well) {
            pass(barrier);
        } else {
            break_it_here(barrier, PN_BARRIER_ACTION);
        }
    }
    leave(barrier);
    return depart(party);
}

pn_status
pn_barrier_abort(pn_barrier *barrier)
{
    pn_status status = enter(barrier);
    if (status == PN_OK) {
        if (!pn_barrier_is_broken(barrier)) {
            break_it_here(barrier, PN_BARRIER_ABORTED);
        }
        leave(barrier);
    }
    return status;
}

pn_status
pn_barrier_reset(pn_barrier *barrier)
{
    pn_status status = enter(barrier);
    if (status == PN_OK) {
        uint64_t state = state_of(barrier);
        if (state & PN_BARRIER_BROKEN) {
            /* Nothing is written to the lines: they say already why it was broken. */
            set_state(barrier, state_for(round_of(state) + 1));
        } else if (count_of(barrier, round_of(state)) > 0) {
            end_round(barrier, state_for(round_of(state) + 1), PN_BARRIER_RESET,
                      (uint32_t)getpid());
        }
        leave(barrier);
    }
    return status;
}

/* ---- looking ------------------------------------------------------------------------------ */

bool
pn_barrier_is_broken(pn_barrier *barrier)
{
    return state_of(barrier) & PN_BARRIER_BROKEN;
}

uint32_t
pn_barrier_waiting(pn_barrier *barrier)
{
    uint64_t state = state_of(barrier);
    return state & PN_BARRIER_BROKEN ? 0 : count_of(barrier, round_of(state));
}

uint32_t
pn_barrier_rounds(pn_barrier *barrier)
{
    return round_of(state_of(barrier));
}

/* ---- after a death ------------------------------------------------------------------------ */

bool
pn_barrier_bury(pn_domain *domain, uint64_t offset, uint32_t slot, uint32_t generation,
                bool awaited)
{
    (void)awaited;
    pn_barrier barrier = {.pauses_in_vain = 0};
    pn_barrier_open(&barrier, domain, offset);
    pn_status status =
        pn_lock_wait(&barrier.cell->lock, pn_now() + PN_BURIAL_NS, pn_slot_owner_alive, domain);
    if (entered(&barrier, status) != PN_OK) {
        return false; /* its holder is stopped, or slow: the next sweep asks again */
    }
    uint64_t dead = pn_waiter_owner(slot, generation);
    pn_waiter_walk walk = walk_lines(&barrier);
    for (pn_waiter *line; (line = pn_waiter_next(&walk)) != NULL;) {
        if (atomic_load(&line->owner) != dead) {
            continue;
        }
        if (!is_over(state_of(&barrier), ticket_of(line))) {
            uint32_t pid = slot < PN_SLOTS ? atomic_load(&domain->slots[slot].pid) : generation;
            break_it(&barrier, PN_BARRIER_DIED, pid,
                     slot < PN_SLOTS ? domain->slots[slot].name : "");
        }
        pn_waiter_leave(line);
    }
    leave(&barrier);
    return true;
}

bool
pn_barrier_names_block(pn_domain *domain, uint64_t offset, uint64_t block)
{
    pn_barrier_cell *cell = pn_at(domain, offset);
    return pn_waiters_name_block(domain, &cell->waiters, block);
}

void
pn_barrier_discard(pn_domain *domain, uint64_t offset, pn_collect_list *named)
{
    (void)named;
    pn_barrier_cell *cell = pn_at(domain, offset);
    pn_waiters_discard(domain, &cell->waiters);
}

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "patience.h"
#include "semaphore_parts.h"
#include "slots.h"
#include "sweep.h"
#include "waits.h"

static bool
may_go(void *context)
{
    pn_semaphore_cell *cell = context;
    return atomic_load_explicit(&cell->free, memory_order_acquire) != 0 ||
           atomic_load_explicit(&cell->inner.word, memory_order_relaxed) & PN_DIED;
}

/* One sleep of the leader; PN_EMPTY: look again. */
static pn_status
sleep_once(pn_semaphore *semaphore, int64_t deadline)
{
    pn_semaphore_cell *cell = semaphore->cell;
    atomic_store(&cell->sleeper, PN_WAITERS);
    uint32_t changes = atomic_load(&cell->changes);
    /* With inner, so that who gives back is either before this look, or finds our mark and changes the other word. */
    pn_status status = pn_semaphore_take(semaphore, deadline);
    if (status != PN_EMPTY) {
        atomic_store_explicit(&cell->sleeper, 0,
                              memory_order_relaxed); /* ours as long as we lead */
        return status;
    }
    pn_watch watches[] = {{&cell->sleeper, PN_WAITERS}, {&cell->changes, changes}};
    bool passed;
    status = pn_sleep_slice(watches, 2, deadline, &passed);
    return status == PN_OK ? PN_EMPTY : status;
}

static pn_status
lead(pn_semaphore *semaphore, int64_t deadline)
{
    pn_lock *lead = &semaphore->cell->lead;
    pn_status status = pn_lock_wait(lead, deadline, pn_slot_owner_alive, semaphore->domain);
    if (status != PN_OK && status != PN_OWNER_DIED) {
        return status;
    }
    do {
        status = sleep_once(semaphore, deadline);
    } while (status == PN_EMPTY);
    pn_lock_release(lead);
    return status;
}

pn_status
pn_semaphore_wait(pn_semaphore *semaphore, int64_t deadline, pn_word *in_vain)
{
    if (pn_look_again(in_vain, may_go, semaphore->cell)) {
        pn_status status = pn_semaphore_take(semaphore, deadline);
        if (status != PN_EMPTY) {
            return status;
        }
    }
    pn_wait *wait = pn_wait_begin(semaphore->domain, semaphore->offset, PN_WAIT_SEMAPHORE);
    pn_status status = lead(semaphore, deadline);
    pn_wait_end(wait);
    if (status == PN_TIMEOUT || status == PN_INTERRUPTED) {
        /* What is missing may be in the hands of the dead, and a leader that is stopped must not hide a permit. */
        pn_sweep_sometimes(semaphore->domain);
        return pn_semaphore_try(semaphore) == PN_OK ? PN_OK : status;
    }
    return status;
}

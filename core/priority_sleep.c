#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <limits.h>

#include "patience.h"
#include "priority_private.h"
#include "ring_private.h"
#include "slots.h"

/* As in ring_sleep.c: followers sleep on the leadership lock, the leader on the queue, so that a wake of it
 * cannot be eaten by a brother that is killed. */
typedef struct {
    pn_priority *queue;
    uint64_t entry; /* of a put; 0: a get */
    pn_sink *sink;
    pn_lock *lead;
    pn_word *sleeper;   /* not_empty, not_full */
    pn_word64 *watched; /* the counter that the other side moves */
    pn_status wanting;  /* PN_EMPTY, PN_FULL */
    pn_wait_kind kind;
} sleep_side;

static pn_status
attempt(sleep_side *side, int64_t deadline)
{
    pn_status status = pn_priority_enter(side->queue, deadline);
    if (status != PN_OK) {
        return status;
    }
    return side->entry != 0 ? pn_priority_put_and_unlock(side->queue, side->entry)
                            : pn_priority_get_and_unlock(side->queue, side->sink);
}

static bool
may_go(void *context)
{
    sleep_side *side = context;
    pn_priority_cell *cell = side->queue->cell;
    if (atomic_load_explicit(&cell->shut, memory_order_relaxed) != 0) {
        return true;
    }
    return side->entry != 0 ? !pn_priority_is_full(side->queue)
                            : pn_priority_count(side->queue) != 0;
}

static pn_status
sleep_once(sleep_side *side, int64_t deadline)
{
    uint32_t seen = (uint32_t)atomic_load_explicit(side->watched, memory_order_acquire);
    /* The exchange is the fence between our mark and the look at the counters, as in commit(). */
    atomic_exchange_explicit(side->sleeper, PN_WAITERS, memory_order_seq_cst);
    pn_fence_after_exchange();
    if (may_go(side)) {
        return PN_OK;
    }
    int64_t slice_end = pn_now() + pn_self()->slice_ns;
    int64_t until = deadline < slice_end ? deadline : slice_end;
    pn_watch watches[] = {{side->sleeper, PN_WAITERS},
                          {(pn_word *)side->watched, seen}, /* its low half: little endian */
                          {&side->queue->cell->shut, 0}};
    int result = pn_futex_wait_any(watches, 3, until);
    if (result == 0 || errno == EAGAIN) {
        return PN_OK;
    }
    return errno == ETIMEDOUT && until == deadline ? PN_TIMEOUT : PN_INTERRUPTED;
}

static pn_status
lead(sleep_side *side, int64_t deadline)
{
    pn_status status = pn_lock_wait(side->lead, deadline, pn_slot_owner_alive, side->queue->domain);
    if (status != PN_OK && status != PN_OWNER_DIED) {
        return status;
    }
    do {
        status = attempt(side, deadline);
        if (status == side->wanting) {
            status = sleep_once(side, deadline);
            if (status != PN_OK) {
                break;
            }
            status = side->wanting;
        }
    } while (status == side->wanting);
    if (status == PN_SHUT_DOWN) {
        /* Whoever shut it may have died, and the kernel wakes only one. */
        pn_futex_wake(&side->queue->cell->shut, INT_MAX);
    }
    pn_lock_release(side->lead);
    return status;
}

static pn_status
wait_side(sleep_side *side, int64_t deadline)
{
    pn_status status = attempt(side, deadline);
    if (status != side->wanting) {
        return status;
    }
    if (pn_look_again(&side->queue->pauses_in_vain, may_go, side)) {
        status = attempt(side, deadline);
        if (status != side->wanting) {
            return status;
        }
    }
    pn_wait *wait = pn_wait_begin(side->queue->domain, side->queue->offset, side->kind);
    status = lead(side, deadline);
    pn_wait_end(wait);
    if (status == PN_TIMEOUT || status == PN_INTERRUPTED) {
        /* One last look: a stopped leader must not hide an item for longer than a slice. */
        pn_status last = side->entry != 0 ? pn_priority_try_put(side->queue, side->entry)
                                          : pn_priority_try_get(side->queue, side->sink);
        if (last != side->wanting && last != PN_BUSY && last != PN_INTERRUPTED) {
            return last;
        }
    }
    return status;
}

pn_status
pn_priority_put(pn_priority *queue, uint64_t entry, int64_t deadline)
{
    pn_priority_cell *cell = queue->cell;
    sleep_side side = {queue,           entry,        NULL,    &cell->lead_put,
                       &cell->not_full, &cell->takes, PN_FULL, PN_WAIT_PUT};
    return wait_side(&side, deadline);
}

pn_status
pn_priority_get(pn_priority *queue, pn_sink *sink, int64_t deadline)
{
    pn_priority_cell *cell = queue->cell;
    sleep_side side = {queue,       0,        sink,       &cell->lead_get, &cell->not_empty,
                       &cell->puts, PN_EMPTY, PN_WAIT_GET};
    return wait_side(&side, deadline);
}

void
pn_priority_shut(pn_priority *queue, bool now)
{
    pn_priority_cell *cell = queue->cell;
    pn_thread *self = pn_self();
    bool locked = false;
    if (!now) {
        /* Between puts, not beside one: who finds it empty and shut goes for good. */
        pn_status status = pn_lock_enter(&cell->lock, pn_slot_owner_alive, queue->domain);
        locked = status == PN_OK || status == PN_OWNER_DIED;
    }
    pn_pending_wake(self, &cell->shut);
    atomic_fetch_or(&cell->shut, PN_SHUT | (now ? PN_SHUT_NOW : 0));
    pn_futex_wake(&cell->shut, INT_MAX);
    pn_pending_clear(self);
    if (locked) {
        pn_lock_release(&cell->lock);
    }
    pn_fence_after_exchange();
    pn_notify(queue->domain, queue->offset, PN_FOR_GET | PN_FOR_PUT);
}

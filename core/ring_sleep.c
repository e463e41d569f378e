#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "ring_private.h"

#include <errno.h>
#include <limits.h>

#include "patience.h"
#include "slots.h"
#include "sweep.h"

static pn_word *
low_half(pn_word64 *word)
{
    /* Little endian: x86-64, aarch64. */
    return (pn_word *)word;
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "futex words are low halves");

/* The two ends sleep alike; an `op` is one attempt under the end's own lock. */
typedef struct {
    pn_ring *ring;
    const pn_batch *batch; /* to be put; NULL: something is to be taken */
    pn_sink *sink;         /* NULL, and no batch: it is only looked for */
    const pn_ring_peer *peer;
    pn_lock *end_lock, *lead;
    pn_word *sleeper;   /* not_empty, not_full */
    pn_word64 *watched; /* the end that the other side moves */
    pn_status wanting;  /* PN_EMPTY, PN_FULL */
    pn_wait_kind kind;
} sleep_side;

static pn_status
attempt_get(sleep_side *side, int64_t deadline)
{
    if (side->sink == NULL) {
        return pn_ring_count(side->ring) != 0 ? PN_OK : PN_EMPTY;
    }
    pn_status status = pn_head_wait(side->ring, deadline);
    return status == PN_OK ? pn_ring_get_and_unlock(side->ring, side->sink) : status;
}

static pn_status
attempt_put(sleep_side *side, int64_t deadline)
{
    bool may_shrink = true;
    for (;;) {
        pn_status status =
            pn_lock_wait(side->end_lock, deadline, pn_slot_owner_alive, side->ring->domain);
        if (status != PN_OK && status != PN_OWNER_DIED) {
            return status;
        }
        status = pn_ring_put_locked(side->ring, side->batch, may_shrink);
        pn_lock_release(side->end_lock);
        if (status == PN_OK) {
            pn_notify(side->ring->domain, side->ring->offset, PN_FOR_GET);
        }
        if (status == PN_NEED_SEGMENT) {
            status = pn_ring_grow_or_stay(side->ring, side->batch, &may_shrink);
        }
        if (status != PN_NEED_SEGMENT) {
            return status;
        }
    }
}

static bool
need_not_wait(const sleep_side *side)
{
    return side->peer != NULL && side->peer->need_not_wait(side->peer->context);
}

static pn_status
attempt(sleep_side *side, int64_t deadline)
{
    /* Before the look at the ring: what was put before the other side ended is found. */
    bool over = need_not_wait(side);
    if (side->batch != NULL) {
        return over ? PN_SHUT_DOWN : attempt_put(side, deadline);
    }
    pn_status status = attempt_get(side, deadline);
    return over && status == PN_EMPTY ? PN_SHUT_DOWN : status;
}

static bool
may_go(void *context)
{
    sleep_side *side = context;
    pn_ring_cell *cell = side->ring->cell;
    if (atomic_load_explicit(&cell->shut, memory_order_relaxed) != 0 || need_not_wait(side)) {
        return true;
    }
    if (side->batch == NULL && side->sink == NULL) {
        return pn_ring_count(side->ring) != 0;
    }
    if (side->sink != NULL) {
        return atomic_load_explicit(&cell->head, memory_order_acquire) !=
                   atomic_load_explicit(&cell->tail, memory_order_acquire) ||
               atomic_load_explicit(&cell->leases.orphans, memory_order_acquire) != 0;
    }
    return pn_ring_within_limits(cell, side->batch);
}

/* One sleep of the leader. */
static pn_status
sleep_once(sleep_side *side, int64_t deadline)
{
    uint32_t seen = (uint32_t)atomic_load_explicit(side->watched, memory_order_acquire);
    /* [sleep check]: the exchange is the fence between our mark and the look at the end. */
    atomic_exchange_explicit(side->sleeper, PN_WAITERS, memory_order_seq_cst);
    pn_fence_after_exchange();
    if (may_go(side)) {
        return PN_OK;
    }
    int64_t slice_end = pn_now() + pn_self()->slice_ns;
    int64_t until = deadline < slice_end ? deadline : slice_end;
    pn_ring_cell *cell = side->ring->cell;
    pn_watch watches[] = {{side->sleeper, PN_WAITERS},
                          {low_half(side->watched), seen},
                          {&cell->shut, 0},
                          {&cell->leases.orphans, 0}};
    int result = pn_futex_wait_any(watches, side->sink != NULL ? 4 : 3, until);
    if (result == 0 || errno == EAGAIN) {
        return PN_OK;
    }
    if (errno == ETIMEDOUT && side->peer != NULL) {
        side->peer->look(side->peer->context);
        if (may_go(side)) {
            return PN_OK;
        }
        errno = ETIMEDOUT;
    }
    if (errno == ETIMEDOUT && side->sink != NULL && cell->leases.kept) {
        pn_sweep_sometimes(
            side->ring->domain); /* what is missing may be in the hands of the dead */
        if (may_go(side)) {
            return PN_OK;
        }
        errno = ETIMEDOUT;
    }
    return errno == ETIMEDOUT && until == deadline ? PN_TIMEOUT : PN_INTERRUPTED;
}

/* Followers sleep on the leadership lock, the leader on the ring: an end has one
 * sleeper at most, and a wake of it cannot be eaten by a brother that is killed. The
 * end's own lock is free meanwhile, so a leader that is stopped stops nobody else. */
static pn_status
lead(sleep_side *side, int64_t deadline)
{
    pn_domain *domain = side->ring->domain;
    pn_status status = pn_lock_wait(side->lead, deadline, pn_slot_owner_alive, domain);
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
    if (status == PN_SHUT_DOWN && side->peer == NULL) {
        /* [shut] whoever shut it may have died, and the kernel wakes only one. */
        pn_futex_wake(&side->ring->cell->shut, INT_MAX);
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
    if (pn_look_again(&side->ring->pauses_in_vain, may_go, side)) {
        status = attempt(side, deadline);
        if (status != side->wanting) {
            return status;
        }
    }
    pn_domain *domain = side->ring->domain;
    pn_wait *wait = pn_wait_begin(domain, side->ring->offset, side->kind);
    status = lead(side, deadline);
    pn_wait_end(wait);
    if (status == PN_TIMEOUT || status == PN_INTERRUPTED) {
        /* One last look: a stopped leader must not hide an item for longer than a slice. */
        pn_status last = side->batch != NULL  ? pn_ring_try_put(side->ring, side->batch)
                         : side->sink != NULL ? pn_ring_try_get(side->ring, side->sink)
                                              : attempt_get(side, deadline);
        if (last != side->wanting && last != PN_BUSY) {
            return last;
        }
    }
    return status;
}

pn_status
pn_ring_put_to(pn_ring *ring, const pn_batch *batch, const pn_ring_peer *peer, int64_t deadline)
{
    pn_ring_cell *cell = ring->cell;
    sleep_side side = {.ring = ring,
                       .batch = batch,
                       .peer = peer,
                       .end_lock = &cell->tail_lock,
                       .lead = &cell->lead_put,
                       .sleeper = &cell->not_full,
                       .watched = &cell->head,
                       .wanting = PN_FULL,
                       .kind = PN_WAIT_PUT};
    return wait_side(&side, deadline);
}

pn_status
pn_ring_put(pn_ring *ring, const pn_batch *batch, int64_t deadline)
{
    return pn_ring_put_to(ring, batch, NULL, deadline);
}

pn_status
pn_ring_get_from(pn_ring *ring, pn_sink *sink, const pn_ring_peer *peer, int64_t deadline)
{
    pn_ring_cell *cell = ring->cell;
    sleep_side side = {.ring = ring,
                       .sink = sink,
                       .peer = peer,
                       .end_lock = &cell->head_lock,
                       .lead = &cell->lead_get,
                       .sleeper = &cell->not_empty,
                       .watched = &cell->tail,
                       .wanting = PN_EMPTY,
                       .kind = PN_WAIT_GET};
    return wait_side(&side, deadline);
}

pn_status
pn_ring_get(pn_ring *ring, pn_sink *sink, int64_t deadline)
{
    return pn_ring_get_from(ring, sink, NULL, deadline);
}

pn_status
pn_ring_peek(pn_ring *ring, const pn_ring_peer *peer, int64_t deadline)
{
    return pn_ring_get_from(ring, NULL, peer, deadline);
}

void
pn_ring_shut(pn_ring *ring, bool now)
{
    pn_ring_cell *cell = ring->cell;
    pn_thread *self = pn_self();
    bool locked = false;
    if (!now) {
        /* Between puts, not beside one: a consumer that finds the queue empty and shut
         * goes for good, so no item may be committed after that. */
        pn_status status = pn_lock_enter(&cell->tail_lock, pn_slot_owner_alive, ring->domain);
        locked = status == PN_OK || status == PN_OWNER_DIED;
    }
    pn_pending_wake(self, &cell->shut);
    atomic_fetch_or(&cell->shut, PN_SHUT | (now ? PN_SHUT_NOW : 0)); /* [shut] */
    pn_futex_wake(&cell->shut, INT_MAX);
    pn_pending_clear(self);
    if (locked) {
        pn_lock_release(&cell->tail_lock);
    }
    pn_fence_after_exchange(); /* after [shut] */
    pn_notify(ring->domain, ring->offset, PN_FOR_ANY);
}

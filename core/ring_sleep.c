#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "ring_private.h"

#include "sweep.h"

/* The two ends wait alike (leader.h); an attempt is made under the end's own lock. */
typedef struct {
    pn_ring *ring;
    const pn_batch *batch; /* to be put; NULL: something is to be taken */
    pn_sink *sink;         /* NULL, and no batch: it is only looked for */
    const pn_ring_peer *peer;
} ring_side;

static pn_status
attempt_get(ring_side *side, int64_t deadline)
{
    if (side->sink == NULL) {
        return pn_ring_count(side->ring) != 0 ? PN_OK : PN_EMPTY;
    }
    pn_status status = pn_head_wait(side->ring, deadline);
    return status == PN_OK ? pn_ring_get_and_unlock(side->ring, side->sink) : status;
}

static pn_status
attempt_put(ring_side *side, int64_t deadline)
{
    bool may_shrink = true;
    for (;;) {
        pn_status status = pn_lock_wait(&side->ring->cell->tail_lock, deadline, pn_slot_owner_alive,
                                        side->ring->domain);
        if (status != PN_OK && status != PN_OWNER_DIED) {
            return status;
        }
        status = pn_ring_put_locked(side->ring, side->batch, may_shrink);
        pn_lock_release(&side->ring->cell->tail_lock);
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
need_not_wait(const ring_side *side)
{
    return side->peer != NULL && side->peer->need_not_wait(side->peer->context);
}

static pn_status
attempt(void *context, int64_t deadline)
{
    ring_side *side = context;
    /* Before the look at the ring: what was put before the other side ended is found. */
    bool over = need_not_wait(side);
    if (side->batch != NULL) {
        return over ? PN_SHUT_DOWN : attempt_put(side, deadline);
    }
    pn_status status = attempt_get(side, deadline);
    return over && status == PN_EMPTY ? PN_SHUT_DOWN : status;
}

static pn_status
attempt_now(void *context)
{
    ring_side *side = context;
    return side->batch != NULL  ? pn_ring_try_put(side->ring, side->batch)
           : side->sink != NULL ? pn_ring_try_get(side->ring, side->sink)
                                : attempt_get(side, 0);
}

static bool
may_go(void *context)
{
    ring_side *side = context;
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

static bool
after_slice(void *context)
{
    ring_side *side = context;
    if (side->peer != NULL) {
        side->peer->look(side->peer->context);
        if (may_go(side)) {
            return true;
        }
    }
    if (side->sink != NULL && side->ring->cell->leases.kept) {
        pn_sweep_sometimes(
            side->ring->domain); /* what is missing may be in the hands of the dead */
        return may_go(side);
    }
    return false;
}

static pn_status
wait_at(ring_side *side, int64_t deadline)
{
    pn_ring *ring = side->ring;
    pn_ring_cell *cell = ring->cell;
    bool puts = side->batch != NULL;
    pn_waiting waiting = {.domain = ring->domain,
                          .offset = ring->offset,
                          .kind = puts ? PN_WAIT_PUT : PN_WAIT_GET,
                          .lead = puts ? &cell->lead_put : &cell->lead_get,
                          .sleeper = puts ? &cell->not_full : &cell->not_empty,
                          .watched = puts ? &cell->head : &cell->tail,
                          .shut = &cell->shut,
                          .orphans = side->sink != NULL ? &cell->leases.orphans : NULL,
                          .in_vain = &ring->pauses_in_vain,
                          .wanting = puts ? PN_FULL : PN_EMPTY,
                          .passes_on_shut = side->peer == NULL,
                          .attempt = attempt,
                          .attempt_now = attempt_now,
                          .may_go = may_go,
                          .after_slice = after_slice,
                          .context = side};
    return pn_wait_to_lead(&waiting, deadline);
}

pn_status
pn_ring_put_to(pn_ring *ring, const pn_batch *batch, const pn_ring_peer *peer, int64_t deadline)
{
    ring_side side = {.ring = ring, .batch = batch, .peer = peer};
    return wait_at(&side, deadline);
}

pn_status
pn_ring_put(pn_ring *ring, const pn_batch *batch, int64_t deadline)
{
    return pn_ring_put_to(ring, batch, NULL, deadline);
}

pn_status
pn_ring_get_from(pn_ring *ring, pn_sink *sink, const pn_ring_peer *peer, int64_t deadline)
{
    ring_side side = {.ring = ring, .sink = sink, .peer = peer};
    return wait_at(&side, deadline);
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
    pn_shut(ring->domain, ring->offset, &cell->tail_lock, &cell->shut, now);
}

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <limits.h>
#include <string.h>

#include "lease_parts.h"
#include "sweep.h"

#define MOST_DELIVERIES 0xffffu

/* ---- this process's own, to find its oldest at once ------------------------------- */

static void
remember(pn_ring *ring, uint64_t entry, uint64_t id, uint32_t tid)
{
    pn_own_leases *own = &ring->own;
    if (own->epoch != pn_leases_of(ring)->epoch) {
        own->epoch = pn_leases_of(ring)->epoch;
        own->count = 0;
        own->more = true;
    }
    if (own->more || own->count == PN_LEASES_OWN) {
        own->more = true;
        return;
    }
    own->lease[own->count++] = (pn_own_lease){.entry = entry, .id = id, .tid = tid};
}

static void
forget(pn_own_leases *own, uint32_t index)
{
    own->count--;
    memmove(&own->lease[index], &own->lease[index + 1],
            (own->count - index) * sizeof(own->lease[0]));
}

/* Has this thread ever taken an item in hand? One that only ends what others took needs no search for its own,
 * which looks at every lease in vain; nor does such a process. */
static _Thread_local bool took_some;

static void
took(pn_ring *ring, uint64_t entry)
{
    const pn_lease *lease = pn_lease_at(ring, entry);
    took_some = true;
    atomic_store_explicit(&ring->domain->took_leases, 1, memory_order_relaxed);
    remember(ring, entry, atomic_load_explicit(&lease->id, memory_order_relaxed), lease->tid);
}

/* Look through the list for ours, oldest first, and remember as many as there is room for. One
 * of the thread `tid` (0: any) if there is one, else the oldest, else 0. */
static uint64_t
search(pn_ring *ring, uint32_t tid)
{
    pn_leases *leases = pn_leases_of(ring);
    pn_own_leases *own = &ring->own;
    uint64_t oldest = 0, found = 0;
    *own = (pn_own_leases){.epoch = leases->epoch};
    for (uint64_t at = leases->busy.first; at != 0 && (found == 0 || !own->more);
         at = pn_lease_at(ring, at)->next) {
        const pn_lease *lease = pn_lease_at(ring, at);
        if (!pn_lease_is(lease, ring->domain->slot, ring->domain->generation)) {
            continue;
        }
        remember(ring, at, atomic_load_explicit(&lease->id, memory_order_relaxed), lease->tid);
        oldest = oldest != 0 ? oldest : at;
        found = found == 0 && (tid == 0 || lease->tid == tid) ? at : found;
    }
    return found != 0 ? found : oldest;
}

/* The oldest lease of this thread, else of this process: threads that work beside each
 * other each end their own, so that what one has in hand is not taken for done. */
static uint64_t
find_own(pn_ring *ring)
{
    pn_own_leases *own = &ring->own;
    uint32_t tid = took_some ? pn_self()->tid : 0;
    uint64_t oldest = 0;
    if (!atomic_load_explicit(&ring->domain->took_leases, memory_order_relaxed)) {
        return 0;
    }
    if (own->epoch != pn_leases_of(ring)->epoch) {
        return search(ring, tid);
    }
    for (uint32_t i = 0; i < own->count;) {
        const pn_lease *lease = pn_lease_at(ring, own->lease[i].entry);
        if (atomic_load_explicit(&lease->id, memory_order_relaxed) != own->lease[i].id ||
            !pn_lease_is(lease, ring->domain->slot, ring->domain->generation)) {
            forget(own, i); /* ended by another process, or it was our parent's before a fork */
            continue;
        }
        if (tid == 0 || own->lease[i].tid == tid) {
            uint64_t entry = own->lease[i].entry;
            forget(own, i);
            return entry;
        }
        oldest = oldest != 0 ? oldest : own->lease[i].entry;
        i++;
    }
    return own->more || own->count == 0 ? search(ring, tid) : oldest;
}

/* ---- get ----------------------------------------------------------------------------- */

bool
pn_lease_is_needed(pn_ring *ring, uint64_t id)
{
    return id >= atomic_load_explicit(&pn_leases_of(ring)->prepaid_to, memory_order_relaxed);
}

bool
pn_lease_take(pn_ring *ring, const pn_record *record, uint64_t id, bool any)
{
    pn_leases *leases = pn_leases_of(ring);
    pn_domain *domain = ring->domain;
    uint64_t size = pn_record_size(record);
    uint64_t offset = pn_lease_pop(ring, size, any);
    if (offset == 0) {
        return false;
    }
    /* Killed anywhere here: the entry is FREE, or void. */
    pn_lease *lease = pn_lease_at(ring, offset);
    memcpy(lease->record, record, size);
    lease->tid = pn_self()->tid;
    lease->reason = PN_LETTER_NONE;
    atomic_store_explicit(&lease->state, pn_lease_state(domain->slot + 1, 1, domain->generation),
                          memory_order_release);
    atomic_store_explicit(&lease->id, id, memory_order_release);
    pn_lease_append(ring, &leases->busy, offset);
    took(ring, offset);
    return true;
}

pn_status
pn_lease_redeliver(pn_ring *ring, pn_sink *sink)
{
    pn_leases *leases = pn_leases_of(ring);
    pn_domain *domain = ring->domain;
    uint64_t count = 0;
    while (count < sink->limit && sink->used < PN_TAKE_BYTES && leases->orphaned.first != 0) {
        uint64_t offset = leases->orphaned.first;
        pn_lease *lease = pn_lease_at(ring, offset);
        const pn_record *record = pn_lease_record(lease);
        uint64_t size = pn_record_size(record);
        if (!pn_sink_reserve(sink, size)) {
            break; /* private memory; it goes on waiting */
        }
        if (record->flags != 0) {
            pn_ring_answer_for(domain, record); /* killed after it: the sweep takes our bits back */
        }
        uint32_t deliveries = pn_lease_deliveries(lease);
        deliveries += deliveries < MOST_DELIVERIES;
        lease->tid = pn_self()->tid;
        atomic_store(&lease->state,
                     pn_lease_state(domain->slot + 1, deliveries, domain->generation)); /* COMMIT */
        memcpy(sink->bytes + sink->used, record, size);
        sink->used += size;
        if (count++ == 0) {
            sink->id = atomic_load_explicit(&lease->id, memory_order_relaxed);
            sink->deliveries = deliveries;
        }
        pn_lease_remove(ring, &leases->orphaned, offset);
        pn_lease_append(ring, &leases->busy, offset);
        took(ring, offset);
    }
    if (leases->orphaned.first == 0) {
        atomic_store(&leases->orphans, 0);
    } else if (count == 0) {
        return PN_NO_MEMORY;
    }
    sink->count += count;
    return count != 0 ? PN_OK : PN_EMPTY;
}

uint64_t
pn_lease_waiting(pn_ring *ring)
{
    return atomic_load_explicit(&pn_leases_of(ring)->orphaned.count, memory_order_relaxed);
}

static bool
visit_list(pn_ring *ring, const pn_lease_list *list, pn_lease_visitor visit, void *context)
{
    for (uint64_t at = list->first; at != 0; at = pn_lease_at(ring, at)->next) {
        if (visit(ring->domain, ring->offset, pn_lease_record(pn_lease_at(ring, at)), context)) {
            return true;
        }
    }
    return false;
}

bool
pn_lease_visit(pn_ring *ring, pn_lease_visitor visit, void *context)
{
    pn_leases *leases = pn_leases_of(ring);
    return atomic_load(&leases->chunks) != 0 &&
           (visit_list(ring, &leases->busy, visit, context) ||
            visit_list(ring, &leases->orphaned, visit, context) ||
            visit_list(ring, &leases->dead, visit, context));
}

/* ---- task_done ---------------------------------------------------------------------------- */

/* After shutdown(immediate=True) only what is in hand is left. */
static bool
was_given_up(pn_ring *ring)
{
    return atomic_load_explicit(&ring->cell->shut, memory_order_acquire) & PN_SHUT_NOW;
}

uint64_t
pn_lease_unfinished(pn_ring *ring)
{
    pn_leases *leases = pn_leases_of(ring);
    uint64_t busy = atomic_load_explicit(&leases->busy.count, memory_order_relaxed);
    if (was_given_up(ring)) {
        return busy;
    }
    uint64_t begun = pn_ring_taken(ring->cell);
    uint64_t prepaid = atomic_load_explicit(&leases->prepaid_to, memory_order_relaxed);
    begun = begun > prepaid ? begun : prepaid;
    return pn_ring_put_count(ring->cell) - begun + busy +
           atomic_load_explicit(&leases->orphaned.count, memory_order_relaxed);
}

void
pn_lease_wake_joiners(pn_ring *ring)
{
    pn_word *done = &pn_leases_of(ring)->done;
    if (atomic_load_explicit(done, memory_order_relaxed) != 0 && pn_lease_unfinished(ring) == 0) {
        atomic_fetch_add(&pn_leases_of(ring)->zeros, 1); /* before the wake */
        atomic_store_explicit(done, 0, memory_order_relaxed);
        pn_futex_wake(done, INT_MAX);
    }
}

uint32_t
pn_lease_end(pn_ring *ring, pn_lease_list *list, uint64_t offset, uint64_t *objects)
{
    pn_lease *lease = pn_lease_at(ring, offset);
    const pn_handles *handles = pn_record_handles(pn_lease_record(lease));
    uint32_t count = handles != NULL ? handles->count : 0;
    if (count > 0) { /* now: after the store the entry may be another's */
        memcpy(objects, handles->offset, count * sizeof(*objects));
    }
    atomic_store_explicit(&lease->id, PN_LEASE_FREE, memory_order_release); /* COMMIT */
    /* With head_lock, so before any walk that no longer finds the names: whoever frees one after that walk
     * has seen this count. Killed before it: `takes` stays behind, and a sweep looks (object.h). */
    for (uint32_t i = 0; i < count; i++) {
        pn_object_count_take(ring->domain, objects[i]);
    }
    pn_lease_remove(ring, list, offset);
    pn_lease_push(ring, offset);
    return count;
}

void
pn_lease_let_go(pn_domain *domain, const uint64_t *objects, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        pn_collect_if_free(domain, objects[i]);
    }
}

/* An item that nobody has taken is done already: it will need no lease. */
static pn_status
prepay(pn_ring *ring)
{
    pn_leases *leases = pn_leases_of(ring);
    if (was_given_up(ring)) {
        return PN_NOTHING;
    }
    uint64_t taken = pn_ring_taken(ring->cell);
    uint64_t prepaid = atomic_load_explicit(&leases->prepaid_to, memory_order_relaxed);
    uint64_t begun = taken > prepaid ? taken : prepaid;
    if (pn_ring_put_count(ring->cell) == begun) {
        return PN_NOTHING;
    }
    atomic_store(&leases->prepaid_to, begun + 1); /* COMMIT */
    return PN_OK;
}

pn_status
pn_ring_task_done(pn_ring *ring, bool wait)
{
    pn_leases *leases = pn_leases_of(ring);
    pn_thread *self = pn_self();
    pn_status status = wait ? pn_head_enter(ring) : pn_head_try(ring);
    if (status != PN_OK) {
        return status;
    }
    uint64_t objects[PN_HANDLES_LIMIT], chunks = 0;
    uint32_t count = 0;
    pn_lease_list *list = &leases->busy;
    uint64_t offset = find_own(ring);
    if (offset == 0) {
        offset = list->first;
    }
    if (offset == 0 && !was_given_up(ring)) {
        list = &leases->orphaned;
        offset = list->first;
    }
    pn_pending_wake(self, &leases->done);
    /* Before the store that ends the lease: a joiner between its look and its sleep sees it. */
    pn_lease_announce(leases);
    if (offset != 0) {
        count = pn_lease_end(ring, list, offset, objects);
    } else {
        status = prepay(ring);
    }
    pn_lease_wake_joiners(ring);
    pn_pending_clear(self);
    if (offset != 0) {
        chunks = pn_lease_detach(ring);
    }
    pn_lock_release(&ring->cell->head_lock);
    pn_fence_after_exchange(); /* after the lock's own compare-and-swap */
    pn_notify(ring->domain, ring->offset, PN_FOR_JOIN);
    pn_lease_free_chunks(ring, chunks);
    pn_lease_let_go(ring->domain, objects, count);
    return status;
}

/* ---- join ------------------------------------------------------------------------------------ */

static pn_status
look_for_end(pn_ring *ring, int64_t deadline)
{
    pn_leases *leases = pn_leases_of(ring);
    pn_status status = pn_head_wait(ring, deadline);
    if (status != PN_OK) {
        return status;
    }
    bool is_over = pn_lease_unfinished(ring) == 0;
    pn_lock_release(&ring->cell->head_lock);
    if (is_over) {
        /* Whoever made it so may have died, and the kernel wakes only one. */
        pn_futex_wake(&leases->done, INT_MAX);
    }
    return is_over ? PN_OK : PN_FULL;
}

uint32_t
pn_ring_join_mark(pn_ring *ring)
{
    pn_leases *leases = pn_leases_of(ring);
    uint32_t zeros = atomic_load(&leases->zeros);
    atomic_exchange(&leases->done, PN_WAITERS);
    pn_fence_after_exchange();
    return zeros;
}

pn_status
pn_ring_join(pn_ring *ring, int64_t deadline)
{
    pn_leases *leases = pn_leases_of(ring);
    pn_word *shut = &ring->cell->shut;
    uint32_t zeros = atomic_load(&leases->zeros);
    for (;;) {
        uint32_t acks = atomic_load(&leases->acks), was_shut = atomic_load(shut);
        atomic_exchange(&leases->done, PN_WAITERS);
        pn_fence_after_exchange();
        /* With the lock, so that whoever is about to end something is either before this look,
         * or finds our mark. */
        pn_status status = look_for_end(ring, deadline);
        if (status != PN_FULL) {
            return status;
        }
        pn_watch watches[] = {{&leases->done, PN_WAITERS}, {&leases->acks, acks}, {shut, was_shut}};
        bool passed;
        status = pn_sleep_slice(watches, 3, deadline, &passed);
        if (atomic_load(&leases->zeros) != zeros) {
            /* As in the standard library, whatever was put after it. Whoever made it so may have been
             * killed before its wake, and the kernel wakes only one. */
            pn_futex_wake(&leases->done, INT_MAX);
            return PN_OK;
        }
        if (atomic_load(shut) != was_shut) {
            pn_futex_wake(shut, INT_MAX); /* [shut] as of a leader: the kernel wakes only one */
        }
        if (passed) {
            /* Some of it may be in the hands of the dead. */
            pn_sweep_sometimes(ring->domain);
        }
        if (status != PN_OK) {
            return status;
        }
    }
}

/* What the files of leases share: entries, lists, sums. All with head_lock held. */
#ifndef PN_LEASE_PARTS_H
#define PN_LEASE_PARTS_H

#include "ring_private.h"

/* Items taken so far. */
static inline uint64_t
pn_ring_taken(pn_ring_cell *cell)
{
    uint64_t head = atomic_load_explicit(&cell->head, memory_order_relaxed);
    return atomic_load_explicit(&valid_mark(cell->head_mark, head)->count, memory_order_relaxed);
}

/* Items put so far; read from outside of tail_lock. */
static inline uint64_t
pn_ring_put_count(pn_ring_cell *cell)
{
    uint64_t count, bytes;
    pn_ring_read_totals(&cell->tail, cell->tail_mark, &count, &bytes);
    return count;
}

static inline pn_leases *
pn_leases_of(pn_ring *ring)
{
    return &ring->cell->leases;
}

static inline pn_lease *
pn_lease_at(pn_ring *ring, uint64_t offset)
{
    return pn_at(ring->domain, offset);
}

static inline const pn_record *
pn_lease_record(const pn_lease *lease)
{
    return (const pn_record *)lease->record;
}

static inline uint64_t
pn_lease_state(uint32_t whose, uint32_t deliveries, uint32_t generation)
{
    return (uint64_t)whose << 48 | (uint64_t)deliveries << 32 | generation;
}

static inline uint32_t
pn_lease_whose(const pn_lease *lease)
{
    return (uint32_t)(atomic_load_explicit(&lease->state, memory_order_relaxed) >> 48);
}

static inline uint32_t
pn_lease_deliveries(const pn_lease *lease)
{
    return atomic_load_explicit(&lease->state, memory_order_relaxed) >> 32 & 0xffff;
}

static inline bool
pn_lease_is(const pn_lease *lease, uint32_t slot, uint32_t generation)
{
    uint64_t state = atomic_load_explicit(&lease->state, memory_order_relaxed);
    return state >> 48 == slot + 1 && (uint32_t)state == generation;
}

/* Before each store that makes `unfinished` smaller. */
static inline void
pn_lease_announce(pn_leases *leases)
{
    uint32_t acks = atomic_load_explicit(&leases->acks, memory_order_relaxed);
    atomic_store_explicit(&leases->acks, acks + 1, memory_order_release);
}

/* --- lease.c --- */
void pn_lease_append(pn_ring *ring, pn_lease_list *list, uint64_t offset);
void pn_lease_remove(pn_ring *ring, pn_lease_list *list, uint64_t offset);
void pn_lease_sort(pn_ring *ring, pn_lease_list *list);
/* A free entry for a record of `bytes`, a larger one too if `any`; 0: none. And back again. */
uint64_t pn_lease_pop(pn_ring *ring, uint64_t bytes, bool any);
void pn_lease_push(pn_ring *ring, uint64_t offset);
/* If no entry is in use and the chunks are many: take them from the ring, all but the oldest. The first of them,
 * which is this process's to free with pn_lease_free_chunks after head_lock is let go; 0: none. */
uint64_t pn_lease_detach(pn_ring *ring);
void pn_lease_free_chunks(pn_ring *ring, uint64_t chunk);

/* --- lease_use.c --- */
/* Free an entry by the one store that ends its lease; its record's objects are counted as taken, and
 * copied to `objects`, to be freed with pn_lease_let_go after head_lock is let go. How many. */
uint32_t pn_lease_end(pn_ring *ring, pn_lease_list *list, uint64_t offset, uint64_t *objects);
void pn_lease_let_go(pn_domain *domain, const uint64_t *objects, uint32_t count);
/* Sums under head_lock. */
uint64_t pn_lease_unfinished(pn_ring *ring);
/* Something became less: wake who joins if nothing is left. `done` is pending. */
void pn_lease_wake_joiners(pn_ring *ring);

#endif

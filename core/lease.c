#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "lease.h"

#include "heap.h"
#include "lease_parts.h"
#include "slots.h"

#define CHUNK_FIRST (UINT64_C(64) << 10)
#define CHUNK_LARGEST (UINT64_C(1) << 20)
#define KEPT_BYTES (UINT64_C(1) << 20) /* of chunks that stay with a queue without leases */

/* The largest holds any record of the ring. */
static const uint32_t sizes[PN_LEASE_SIZES] = {256, 1024, 4096, 17 * 1024};

_Static_assert(PN_RING_INLINE + PN_LEASE_HEAD <= 17 * 1024, "any record fits a lease");

static uint32_t
size_for(uint64_t bytes)
{
    uint32_t size = 0;
    while (bytes + PN_LEASE_HEAD > sizes[size]) {
        size++;
    }
    return size;
}

/* ---- lists: caches ----------------------------------------------------------- */

static void
set_count(pn_lease_list *list, uint64_t count)
{
    atomic_store_explicit(&list->count, count, memory_order_relaxed);
}

static uint64_t
count_of(pn_lease_list *list)
{
    return atomic_load_explicit(&list->count, memory_order_relaxed);
}

void
pn_lease_append(pn_ring *ring, pn_lease_list *list, uint64_t offset)
{
    pn_lease *lease = pn_lease_at(ring, offset);
    lease->next = 0;
    lease->prev = list->last;
    if (list->last != 0) {
        pn_lease_at(ring, list->last)->next = offset;
    } else {
        list->first = offset;
    }
    list->last = offset;
    set_count(list, count_of(list) + 1);
}

void
pn_lease_remove(pn_ring *ring, pn_lease_list *list, uint64_t offset)
{
    pn_lease *lease = pn_lease_at(ring, offset);
    if (lease->prev != 0) {
        pn_lease_at(ring, lease->prev)->next = lease->next;
    } else {
        list->first = lease->next;
    }
    if (lease->next != 0) {
        pn_lease_at(ring, lease->next)->prev = lease->prev;
    } else {
        list->last = lease->prev;
    }
    set_count(list, count_of(list) - 1);
}

static uint64_t
id_at(pn_ring *ring, uint64_t offset)
{
    return atomic_load_explicit(&pn_lease_at(ring, offset)->id, memory_order_relaxed);
}

/* Cut `width` entries off the front of a chain; what follows them. */
static uint64_t
cut(pn_ring *ring, uint64_t from, uint64_t width)
{
    while (from != 0 && --width > 0) {
        from = pn_lease_at(ring, from)->next;
    }
    if (from == 0) {
        return 0;
    }
    uint64_t rest = pn_lease_at(ring, from)->next;
    pn_lease_at(ring, from)->next = 0;
    return rest;
}

/* By id; a merge from below, which needs no memory but the links. */
void
pn_lease_sort(pn_ring *ring, pn_lease_list *list)
{
    uint64_t count = count_of(list);
    for (uint64_t width = 1; width < count; width *= 2) {
        uint64_t rest = list->first, last = 0;
        while (rest != 0) {
            uint64_t a = rest, b = cut(ring, a, width);
            rest = b != 0 ? cut(ring, b, width) : 0;
            while (a != 0 || b != 0) {
                bool from_a = b == 0 || (a != 0 && id_at(ring, a) < id_at(ring, b));
                uint64_t least = from_a ? a : b;
                *(from_a ? &a : &b) = pn_lease_at(ring, least)->next;
                *(last != 0 ? &pn_lease_at(ring, last)->next : &list->first) = least;
                last = least;
            }
        }
        pn_lease_at(ring, last)->next = 0;
    }
    uint64_t before = 0;
    for (uint64_t at = list->first; at != 0; at = pn_lease_at(ring, at)->next) {
        pn_lease_at(ring, at)->prev = before;
        before = at;
    }
    list->last = before;
}

uint64_t
pn_lease_pop(pn_ring *ring, uint64_t bytes)
{
    uint64_t *first = &pn_leases_of(ring)->free[size_for(bytes)];
    uint64_t offset = *first;
    if (offset != 0) {
        *first = pn_lease_at(ring, offset)->next;
    }
    return offset;
}

void
pn_lease_push(pn_ring *ring, uint64_t offset)
{
    pn_lease *lease = pn_lease_at(ring, offset);
    uint64_t *first = &pn_leases_of(ring)->free[lease->size];
    lease->next = *first;
    *first = offset;
}

/* ---- repair -------------------------------------------------------------------- */

static void
file_entry(pn_ring *ring, uint64_t offset, uint64_t taken)
{
    pn_leases *leases = pn_leases_of(ring);
    pn_lease *lease = pn_lease_at(ring, offset);
    uint64_t id = atomic_load_explicit(&lease->id, memory_order_relaxed);
    if (id != PN_LEASE_FREE && id >= taken) {
        /* Void: its taker died before the take. Before anybody else takes that record. */
        atomic_store(&lease->id, PN_LEASE_FREE);
        id = PN_LEASE_FREE;
    }
    if (id == PN_LEASE_FREE) {
        pn_lease_push(ring, offset);
        return;
    }
    uint32_t whose = pn_lease_whose(lease);
    pn_lease_append(ring,
                    whose == 0               ? &leases->orphaned
                    : whose == PN_LEASE_DEAD ? &leases->dead
                                             : &leases->busy,
                    offset);
}

static void
add_bytes(pn_leases *leases, const pn_lease_chunk *chunk)
{
    uint64_t bytes = atomic_load_explicit(&leases->bytes, memory_order_relaxed);
    bytes += PN_LEASE_HEAD + (uint64_t)chunk->count * chunk->size;
    atomic_store_explicit(&leases->bytes, bytes, memory_order_relaxed);
}

/* From nothing but the entries; killed in here, the next one begins anew. */
static void
repair(pn_ring *ring)
{
    pn_leases *leases = pn_leases_of(ring);
    uint64_t taken = pn_ring_taken(ring->cell);
    pn_lease_list *lists[] = {&leases->busy, &leases->orphaned, &leases->dead};
    for (int i = 0; i < 3; i++) {
        lists[i]->first = lists[i]->last = 0;
        set_count(lists[i], 0);
    }
    for (uint32_t i = 0; i < PN_LEASE_SIZES; i++) {
        leases->free[i] = 0;
    }
    atomic_store_explicit(&leases->bytes, 0, memory_order_relaxed);
    leases->epoch++; /* what processes remember of their own may be void */
    for (uint64_t at = atomic_load(&leases->chunks); at != 0;) {
        const pn_lease_chunk *chunk = pn_at(ring->domain, at);
        for (uint32_t i = 0; i < chunk->count; i++) {
            file_entry(ring, at + PN_LEASE_HEAD + (uint64_t)i * chunk->size, taken);
        }
        add_bytes(leases, chunk);
        at = chunk->next;
    }
    for (int i = 0; i < 3; i++) {
        pn_lease_sort(ring, lists[i]);
    }
    /* Who gave entries up stored it before them: this only takes it back. */
    atomic_store(&leases->orphans, count_of(&leases->orphaned) != 0);
}

/* Every way to head_lock leads through here. */
static pn_status
entered(pn_ring *ring, pn_status status)
{
    if (status == PN_OWNER_DIED) {
        if (pn_leases_of(ring)->kept) {
            repair(ring);
        }
        return PN_OK;
    }
    return status;
}

pn_status
pn_head_try(pn_ring *ring)
{
    return entered(ring, pn_lock_try(&ring->cell->head_lock));
}

pn_status
pn_head_wait(pn_ring *ring, int64_t deadline)
{
    return entered(
        ring, pn_lock_wait(&ring->cell->head_lock, deadline, pn_slot_owner_alive, ring->domain));
}

pn_status
pn_head_enter(pn_ring *ring)
{
    return entered(ring, pn_lock_enter(&ring->cell->head_lock, pn_slot_owner_alive, ring->domain));
}

/* ---- chunks ---------------------------------------------------------------------- */

static void
prepare(pn_ring *ring, uint64_t offset, uint64_t bytes, uint32_t size)
{
    pn_lease_chunk *chunk = pn_at(ring->domain, offset);
    chunk->next = 0;
    chunk->size = sizes[size];
    chunk->count = (uint32_t)((bytes - PN_LEASE_HEAD) / sizes[size]);
    for (uint32_t i = 0; i < chunk->count; i++) {
        pn_lease *lease = pn_lease_at(ring, offset + PN_LEASE_HEAD + (uint64_t)i * sizes[size]);
        lease->size = size;
        atomic_store_explicit(&lease->id, PN_LEASE_FREE, memory_order_relaxed);
    }
}

static void
link_chunk(pn_ring *ring, uint64_t offset)
{
    pn_leases *leases = pn_leases_of(ring);
    pn_lease_chunk *chunk = pn_at(ring->domain, offset);
    chunk->next = atomic_load(&leases->chunks);
    /* Before it the block is ours, and the sweep frees it; after it the ring names it. */
    atomic_store(&leases->chunks, offset); /* COMMIT */
    add_bytes(leases, chunk);
    for (uint32_t i = chunk->count; i-- > 0;) {
        pn_lease_push(ring, offset + PN_LEASE_HEAD + (uint64_t)i * chunk->size);
    }
}

pn_status
pn_lease_grow(pn_ring *ring, uint64_t bytes)
{
    pn_leases *leases = pn_leases_of(ring);
    uint32_t size = size_for(bytes);
    /* As much as there is already, in bounds; a hint, read without the lock. */
    uint64_t wanted = CHUNK_FIRST;
    uint64_t had = atomic_load_explicit(&leases->bytes, memory_order_relaxed);
    while (wanted < had && wanted < CHUNK_LARGEST) {
        wanted *= 2;
    }
    uint64_t offset;
    pn_status status = pn_heap_alloc(ring->domain, wanted, PN_BLOCK_SEGMENT, ring->offset, &offset);
    if (status != PN_OK) {
        return status == PN_TOO_BIG ? PN_NO_MEMORY : status;
    }
    prepare(ring, offset, wanted, size);
    status = pn_head_enter(ring);
    if (status != PN_OK) {
        pn_heap_free(ring->domain, offset);
        return status;
    }
    link_chunk(ring, offset);
    pn_lock_release(&ring->cell->head_lock);
    return PN_OK;
}

uint64_t
pn_lease_detach(pn_ring *ring)
{
    pn_leases *leases = pn_leases_of(ring);
    uint64_t chunks = atomic_load(&leases->chunks);
    if (atomic_load_explicit(&leases->bytes, memory_order_relaxed) <= KEPT_BYTES ||
        count_of(&leases->busy) != 0 || count_of(&leases->orphaned) != 0 ||
        count_of(&leases->dead) != 0) {
        return 0;
    }
    for (uint64_t at = chunks; at != 0; at = ((pn_lease_chunk *)pn_at(ring->domain, at))->next) {
        atomic_store(&pn_block_at(ring->domain, at)->owner,
                     pn_owner_word(ring->domain->slot, ring->domain->generation));
    }
    leases->epoch++;
    for (uint32_t i = 0; i < PN_LEASE_SIZES; i++) {
        leases->free[i] = 0;
    }
    atomic_store_explicit(&leases->bytes, 0, memory_order_relaxed);
    atomic_store(&leases->chunks, 0); /* COMMIT: they are ours, and swept if we die */
    return chunks;
}

void
pn_lease_free_chunks(pn_ring *ring, uint64_t chunk)
{
    while (chunk != 0) {
        uint64_t next = ((pn_lease_chunk *)pn_at(ring->domain, chunk))->next;
        pn_heap_free(ring->domain, chunk);
        chunk = next;
    }
}

bool
pn_lease_names_block(pn_domain *domain, uint64_t ring, uint64_t block)
{
    /* Without head_lock: chunks are linked in front, and none is freed without the domain's lock. */
    pn_ring_cell *cell = pn_at(domain, ring);
    for (uint64_t at = atomic_load(&cell->leases.chunks); at != 0;
         at = ((pn_lease_chunk *)pn_at(domain, at))->next) {
        if (at == block) {
            return true;
        }
    }
    return false;
}

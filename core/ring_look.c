#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "ring_private.h"

#include "heap.h"
#include "slots.h"

#define LOOK_NS (20 * 1000000LL) /* how long the sweep waits for a ring's lock */

/* ---- counting --------------------------------------------------------------- */

/* Read the totals at an end from outside its lock, like a seqlock: a valid mark is not
 * written before the position has moved on. */
void
pn_ring_read_totals(pn_word64 *position, pn_mark marks[2], uint64_t *count, uint64_t *bytes)
{
    for (;;) {
        uint64_t at = atomic_load_explicit(position, memory_order_acquire); /* [put commit] */
        pn_mark *mark = valid_mark(marks, at);
        *count = atomic_load_explicit(&mark->count, memory_order_relaxed);
        *bytes = atomic_load_explicit(&mark->bytes, memory_order_relaxed);
        bool whole = atomic_load_explicit(&mark->position, memory_order_relaxed) == at;
        atomic_thread_fence(memory_order_acquire);
        if (whole && atomic_load_explicit(position, memory_order_relaxed) == at) {
            return;
        }
    }
}

static void
outstanding(pn_ring_cell *cell, uint64_t *count, uint64_t *bytes)
{
    uint64_t taken, taken_bytes;
    /* Head first: tail only grows, so the difference is never negative. */
    pn_ring_read_totals(&cell->head, cell->head_mark, &taken, &taken_bytes);
    pn_ring_read_totals(&cell->tail, cell->tail_mark, count, bytes);
    *count -= taken;
    *bytes -= taken_bytes;
}

uint64_t
pn_ring_count(pn_ring *ring)
{
    uint64_t count, bytes;
    outstanding(ring->cell, &count, &bytes);
    return count;
}

uint64_t
pn_ring_bytes(pn_ring *ring)
{
    uint64_t count, bytes;
    outstanding(ring->cell, &count, &bytes);
    return bytes;
}

/* May the batch join `count` items of `bytes`? */
bool
pn_ring_fits(pn_ring_cell *cell, const pn_batch *batch, uint64_t count, uint64_t bytes)
{
    /* An item larger than max_bytes may travel alone. */
    return (cell->max_items == 0 || count + batch->count <= cell->max_items) &&
           (cell->max_bytes == 0 || count == 0 || bytes + batch->weight <= cell->max_bytes);
}

bool
pn_ring_within_limits(pn_ring_cell *cell, const pn_batch *batch)
{
    if (!pn_ring_is_bounded(cell)) {
        return true;
    }
    uint64_t count, bytes;
    outstanding(cell, &count, &bytes);
    return pn_ring_fits(cell, batch, count, bytes);
}

/* ---- making, looking, freeing ----------------------------------------------- */

pn_status
pn_ring_new(pn_domain *domain, const char *name, uint64_t max_items, uint64_t max_bytes,
            uint64_t *offset, uint32_t *generation)
{
    pn_status status = pn_object_new(domain, PN_OBJECT_RING, name, offset, generation);
    if (status != PN_OK) {
        return status;
    }
    uint64_t block;
    status = pn_heap_alloc(domain, PN_RING_FIRST, PN_BLOCK_SEGMENT, *offset, &block);
    if (status != PN_OK) {
        pn_object_drop(domain, *offset);
        return status;
    }
    pn_ring_cell *cell = pn_at(domain, *offset);
    cell->max_items = max_items;
    cell->max_bytes = max_bytes;
    atomic_store(&cell->segment[0].capacity, PN_RING_FIRST);
    atomic_store(&cell->segment[0].block, block);
    return PN_OK;
}

pn_status
pn_ring_new_leased(pn_domain *domain, const char *name, uint64_t max_items, uint64_t max_bytes,
                   uint32_t max_deliveries, uint64_t *offset, uint32_t *generation)
{
    pn_status status = pn_ring_new(domain, name, max_items, max_bytes, offset, generation);
    if (status == PN_OK) {
        pn_ring_cell *cell = pn_at(domain, *offset);
        cell->leases.max_deliveries = max_deliveries;
        cell->leases.kept = 1;
    }
    return status;
}

void
pn_ring_open(pn_ring *ring, pn_domain *domain, uint64_t offset)
{
    *ring = (pn_ring){.domain = domain, .cell = pn_at(domain, offset), .offset = offset};
    ring->put.number = ring->get.number = UINT64_MAX;
}

typedef bool (*record_test)(const pn_record *record, uint64_t wanted);

bool
pn_ring_record_names(const pn_record *record, uint64_t wanted)
{
    const pn_handles *handles = handles_of(record);
    for (uint32_t i = 0; handles != NULL && i < handles->count; i++) {
        if (handles->offset[i] == wanted) {
            return true;
        }
    }
    return false;
}

static bool
record_names_block(const pn_record *record, uint64_t wanted)
{
    const pn_block_ref *ref = block_of(record);
    return ref != NULL && ref->offset == wanted;
}

/* Walk the records that wait in a ring, with both of its locks held. */
static pn_named
walk(pn_domain *domain, uint64_t offset, record_test test, uint64_t wanted)
{
    pn_ring ring;
    pn_ring_open(&ring, domain, offset);
    pn_ring_cell *cell = ring.cell;
    int64_t until = pn_now() + LOOK_NS;
    pn_status status = pn_head_wait(&ring, until);
    if (status != PN_OK) {
        return PN_NAMED_UNKNOWN;
    }
    status = pn_lock_wait(&cell->tail_lock, until, pn_slot_owner_alive, domain);
    if (status != PN_OK && status != PN_OWNER_DIED) {
        pn_lock_release(&cell->head_lock);
        return PN_NAMED_UNKNOWN;
    }
    uint64_t at = atomic_load(&cell->head), tail = atomic_load(&cell->tail);
    pn_named named = PN_NAMED_NO;
    if (cell->leases.kept && test == pn_ring_record_names && pn_lease_names_object(&ring, wanted)) {
        named = PN_NAMED_YES;
    }
    while (at != tail && named == PN_NAMED_NO) {
        if (number_of(at) != ring.get.number) {
            enter_segment(&ring, &ring.get, number_of(at));
        }
        const pn_record *record = (const pn_record *)(ring.get.bytes + (at & ring.get.mask));
        if (record->kind == PN_RECORD_JUMP) {
            at = (uint64_t)record->value << NUMBER_SHIFT;
        } else {
            named = test(record, wanted) ? PN_NAMED_YES : PN_NAMED_NO;
            at += pn_record_size(record);
        }
    }
    pn_lock_release(&cell->tail_lock);
    pn_lock_release(&cell->head_lock);
    return named;
}

bool
pn_ring_any_names_object(pn_domain *domain, uint64_t wanted)
{
    pn_block *block;
    for (uint64_t at = pn_heap_next(domain, 0, &block); at != 0;
         at = pn_heap_next(domain, at, &block)) {
        if (pn_block_kind_of(atomic_load(&block->state)) != PN_BLOCK_SLAB_LARGE) {
            continue;
        }
        pn_slab *slab = pn_at(domain, at);
        for (uint32_t i = 0; i < slab->cells; i++) {
            if (!(atomic_load(&slab->used[i / 64]) >> i % 64 & 1)) {
                continue;
            }
            uint64_t offset = pn_slab_cell(at, slab, i);
            pn_ring_cell *cell = pn_at(domain, offset);
            uint64_t last = atomic_load(&cell->last_handles);
            if (offset == wanted) {
                continue; /* a queue in itself: only who has it could take it out */
            }
            bool never = last == 0 || (number_of(last) == number_of(atomic_load(&cell->head)) &&
                                       atomic_load(&cell->head) >= last && !cell->leases.kept);
            if (!never && walk(domain, offset, pn_ring_record_names, wanted) != PN_NAMED_NO) {
                return true;
            }
        }
    }
    return false;
}

static bool
segment_is_live(pn_ring_cell *cell, uint64_t block)
{
    uint64_t number = number_of(atomic_load(&cell->head));
    uint64_t last = number_of(atomic_load(&cell->tail));
    for (;;) {
        if (atomic_load(&segment_of(cell, number)->block) == block) {
            return true;
        }
        if (number == last) {
            return false;
        }
        number = (number + 1) & NUMBER_MASK;
    }
}

pn_named
pn_ring_names_block(pn_domain *domain, uint64_t ring, uint64_t block)
{
    if (!pn_object_valid(domain, ring)) {
        return PN_NAMED_NO;
    }
    if (segment_is_live(pn_at(domain, ring), block) || pn_lease_names_block(domain, ring, block)) {
        return PN_NAMED_YES;
    }
    return walk(domain, ring, record_names_block, block);
}

void
pn_ring_discard(pn_domain *domain, uint64_t ring)
{
    /* Empty first: if we die before the cell is freed, nobody may walk its freed blocks. */
    pn_ring_cell *cell = pn_at(domain, ring);
    pn_lease_discard(domain, ring);
    atomic_store(&cell->head, atomic_load(&cell->tail));
    atomic_store(&cell->last_handles, 0);
    pn_block *block;
    for (uint64_t at = pn_heap_next(domain, 0, &block); at != 0;
         at = pn_heap_next(domain, at, &block)) {
        uint32_t kind = pn_block_kind_of(atomic_load(&block->state));
        if ((kind == PN_BLOCK_SEGMENT || kind == PN_BLOCK_PAYLOAD) &&
            atomic_load(&block->queue) == ring) {
            pn_heap_free_locked(domain, at);
        }
    }
}

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "ring_private.h"

#include "heap.h"
#include "kind.h"
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

bool
pn_ring_is_ready(pn_domain *domain, uint64_t offset, uint32_t want)
{
    pn_ring_cell *cell = pn_at(domain, offset);
    if (atomic_load_explicit(&cell->shut, memory_order_acquire) != 0) {
        return (want & (PN_FOR_GET | PN_FOR_PUT)) != 0; /* get() and put() will say so */
    }
    uint64_t count, bytes;
    outstanding(cell, &count, &bytes);
    if ((want & PN_FOR_GET) &&
        (count != 0 ||
         (atomic_load_explicit(&cell->leases.orphans, memory_order_acquire) != 0 &&
          atomic_load_explicit(&cell->leases.orphaned.count, memory_order_relaxed) != 0))) {
        return true;
    }
    return (want & PN_FOR_PUT) && (cell->max_items == 0 || count < cell->max_items) &&
           (cell->max_bytes == 0 || count == 0 || bytes < cell->max_bytes);
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
        pn_ring ring;
        pn_ring_open(&ring, domain, *offset);
        status = pn_lease_grow(&ring, PN_RING_INLINE);
        if (status != PN_OK) {
            pn_object_drop(domain, *offset);
        }
    }
    return status;
}

void
pn_ring_open(pn_ring *ring, pn_domain *domain, uint64_t offset)
{
    *ring = (pn_ring){.domain = domain, .cell = pn_at(domain, offset), .offset = offset};
    ring->put.number = ring->get.number = UINT64_MAX;
}

/* From `at` to `tail`: true if the visitor ended it. */
static bool
walk_records(pn_ring *ring, uint64_t at, uint64_t tail, pn_record_visit visit, void *context)
{
    while (at != tail) {
        if (number_of(at) != ring->get.number) {
            enter_segment(ring, &ring->get, number_of(at));
        }
        const pn_record *record = (const pn_record *)(ring->get.bytes + (at & ring->get.mask));
        if (record->kind == PN_RECORD_JUMP) {
            at = (uint64_t)record->value << NUMBER_SHIFT;
            continue;
        }
        if (visit(ring->domain, ring->offset, record, context)) {
            return true;
        }
        at += pn_record_size(record);
    }
    return false;
}

/* With both of its locks; false as pn_ring_walk_all. */
static bool
walk(pn_domain *domain, uint64_t offset, pn_record_visit visit, void *context)
{
    pn_ring ring;
    pn_ring_open(&ring, domain, offset);
    pn_ring_cell *cell = ring.cell;
    int64_t until = pn_now() + LOOK_NS;
    pn_status status = pn_head_wait(&ring, until);
    if (status != PN_OK) {
        return false;
    }
    status = pn_lock_wait(&cell->tail_lock, until, pn_slot_owner_alive, domain);
    if (status != PN_OK && status != PN_OWNER_DIED) {
        pn_lock_release(&cell->head_lock);
        return false;
    }
    bool ended =
        walk_records(&ring, atomic_load(&cell->head), atomic_load(&cell->tail), visit, context) ||
        (cell->leases.kept && pn_lease_visit(&ring, visit, context));
    pn_lock_release(&cell->tail_lock);
    pn_lock_release(&cell->head_lock);
    return !ended;
}

/* Can a record in it name an object? */
static bool
may_name_objects(pn_ring_cell *cell)
{
    uint64_t last = atomic_load(&cell->last_handles), head = atomic_load(&cell->head);
    bool all_taken = number_of(last) == number_of(head) && head >= last;
    return last != 0 && !(all_taken && !cell->leases.kept);
}

bool
pn_ring_walk(pn_domain *domain, uint64_t offset, pn_record_visit visit, void *context)
{
    return !may_name_objects(pn_at(domain, offset)) || walk(domain, offset, visit, context);
}

static bool
walk_cells(pn_domain *domain, pn_block_kind cells, pn_record_visit visit, void *context)
{
    for (uint64_t at = pn_slab_next_cell(domain, cells, 0); at != 0;
         at = pn_slab_next_cell(domain, cells, at)) {
        const pn_kind *kind = pn_kind_of(pn_at(domain, at));
        if (kind->walk != NULL && !kind->walk(domain, at, visit, context)) {
            return false;
        }
    }
    return true;
}

bool
pn_ring_walk_all(pn_domain *domain, pn_record_visit visit, void *context)
{
    return walk_cells(domain, PN_BLOCK_SLAB_LARGE, visit, context) &&
           walk_cells(domain, PN_BLOCK_SLAB_SMALL, visit, context);
}

static bool
names_wanted(pn_domain *domain, uint64_t ring, const pn_record *record, void *context)
{
    uint64_t wanted = *(const uint64_t *)context;
    const pn_handles *handles = pn_record_handles(record);
    (void)domain;
    /* A queue in itself: only who has it could take it out. */
    for (uint32_t i = 0; handles != NULL && ring != wanted && i < handles->count; i++) {
        if (handles->offset[i] == wanted) {
            return true;
        }
    }
    return false;
}

bool
pn_ring_any_names_object(pn_domain *domain, uint64_t wanted)
{
    return !pn_ring_walk_all(domain, names_wanted, &wanted);
}

bool
pn_ring_names_block(pn_domain *domain, uint64_t ring, uint64_t block)
{
    pn_ring_cell *cell = pn_at(domain, ring);
    uint64_t number = number_of(atomic_load(&cell->head));
    uint64_t last = number_of(atomic_load(&cell->tail));
    for (;;) {
        if (atomic_load(&segment_of(cell, number)->block) == block) {
            return true;
        }
        if (number == last) {
            return pn_lease_names_block(domain, ring, block);
        }
        number = (number + 1) & NUMBER_MASK;
    }
}

static bool
give_up(pn_domain *domain, uint64_t ring, const pn_record *record, void *context)
{
    pn_collect_list *named = context;
    const pn_handles *handles = pn_record_handles(record);
    (void)ring;
    pn_record_count_takes(domain, record);
    for (uint32_t i = 0; handles != NULL && i < handles->count; i++) {
        pn_collect_later(named, handles->offset[i]);
    }
    return false;
}

void
pn_ring_discard(pn_domain *domain, uint64_t offset, pn_collect_list *named)
{
    pn_ring ring;
    pn_ring_open(&ring, domain, offset);
    pn_ring_cell *cell = ring.cell;
    uint64_t head = atomic_load(&cell->head), tail = atomic_load(&cell->tail);
    bool may_name = may_name_objects(cell);
    pn_lease_discard(&ring, give_up, named); /* before head: it says which are void */
    /* Empty first: if we die before the cell is freed, nobody may walk its freed blocks, and
     * `takes` of what the records named must not grow while they still name it. */
    atomic_store(&cell->head, tail);
    atomic_store(&cell->last_handles, 0);
    if (may_name) {
        walk_records(&ring, head, tail, give_up, named);
    }
    pn_block *block;
    for (uint64_t at = pn_heap_next(domain, 0, &block); at != 0;
         at = pn_heap_next(domain, at, &block)) {
        if (pn_block_kind_of(atomic_load(&block->state)) == PN_BLOCK_SEGMENT &&
            atomic_load(&block->queue) == offset) {
            pn_heap_free_locked(domain, at);
        }
    }
}

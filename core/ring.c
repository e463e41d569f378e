#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "ring_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "kind.h"
#include "slots.h"

#define BYTE_LIMIT (UINT64_C(1) << 39)    /* then a new segment is begun: no overflow */
#define SEGMENT_LIMIT (UINT64_C(1) << 30) /* bytes; larger ones would waste too much */
#define SHRINK_FROM (UINT64_C(4) << 20)   /* an empty queue gives such a segment back */
#define JUMP_ROOM sizeof(pn_record)       /* always kept for the JUMP */

/* ---- names ---------------------------------------------------------------- */

typedef void (*count_names)(pn_domain *domain, const pn_record *record);

static void
for_each_record(pn_domain *domain, const char *bytes, uint64_t length, count_names count)
{
    for (uint64_t at = 0; at < length;) {
        const pn_record *record = (const pn_record *)(bytes + at);
        count(domain, record);
        at += pn_record_size(record);
    }
}

void
pn_record_count_puts(pn_domain *domain, const pn_record *record)
{
    const pn_handles *handles = pn_record_handles(record);
    for (uint32_t i = 0; handles != NULL && i < handles->count; i++) {
        pn_object_count_put(domain, handles->offset[i]);
    }
}

void
pn_record_count_takes(pn_domain *domain, const pn_record *record)
{
    const pn_handles *handles = pn_record_handles(record);
    for (uint32_t i = 0; handles != NULL && i < handles->count; i++) {
        pn_object_count_take(domain, handles->offset[i]);
    }
}

/* ---- putting -------------------------------------------------------------- */

/* pn_ring_within_limits under tail_lock, where a look at the consumers' end is needed only when what
 * was taken at the last one is not room enough: it takes the line from a CPU that writes it. */
static bool
within_limits_locked(pn_ring *ring, uint64_t tail, const pn_batch *batch)
{
    pn_ring_cell *cell = ring->cell;
    if (!pn_ring_is_bounded(cell)) {
        return true;
    }
    pn_mark *put = valid_mark(cell->tail_mark, tail);
    uint64_t count = atomic_load_explicit(&put->count, memory_order_relaxed);
    uint64_t bytes = atomic_load_explicit(&put->bytes, memory_order_relaxed);
    if (pn_ring_fits(cell, batch, count - ring->taken_seen, bytes - ring->taken_bytes_seen)) {
        return true;
    }
    pn_ring_read_totals(&cell->head, cell->head_mark, &ring->taken_seen, &ring->taken_bytes_seen);
    return pn_ring_fits(cell, batch, count - ring->taken_seen, bytes - ring->taken_bytes_seen);
}

/* Is there no room, or (`may_shrink`) is the queue empty and its segment large? */
static bool
segment_is_wanted(pn_ring *ring, uint64_t tail, uint64_t needed, bool may_shrink)
{
    may_shrink = may_shrink && ring->put.capacity >= SHRINK_FROM;
    uint64_t head = ring->head_seen;
    if (may_shrink) { /* an old look at head never says that the queue is empty */
        head = atomic_load_explicit(&ring->cell->head, memory_order_acquire); /* [take commit] */
    }
    for (int look = 0; look < 2; look++) {
        uint64_t used = number_of(head) == number_of(tail) ? tail - head : tail & BYTE_MASK;
        bool is_empty = used == 0 && number_of(head) == number_of(tail);
        bool too_far = (tail & BYTE_MASK) > BYTE_LIMIT;
        if (used + needed + JUMP_ROOM <= ring->put.capacity && !too_far &&
            !(is_empty && may_shrink)) {
            return false;
        }
        head = atomic_load_explicit(&ring->cell->head, memory_order_acquire); /* [take commit] */
        ring->head_seen = head;
    }
    return true;
}

pn_status
pn_ring_put_locked(pn_ring *ring, const pn_batch *batch, bool may_shrink)
{
    pn_ring_cell *cell = ring->cell;
    if (atomic_load_explicit(&cell->shut, memory_order_relaxed) != 0) {
        return PN_SHUT_DOWN;
    }
    uint64_t tail = atomic_load_explicit(&cell->tail, memory_order_relaxed);
    if (!within_limits_locked(ring, tail, batch)) {
        return PN_FULL;
    }
    if (number_of(tail) != ring->put.number) {
        enter_segment(ring, &ring->put, number_of(tail));
        ring->head_seen = atomic_load_explicit(&cell->head, memory_order_acquire);
    }
    uint64_t at = tail & ring->put.mask;
    uint64_t to_end = ring->put.capacity - at;
    uint64_t pad = batch->length + JUMP_ROOM > to_end ? to_end : 0;
    if (segment_is_wanted(ring, tail, batch->length + pad, may_shrink)) {
        return PN_NEED_SEGMENT;
    }
    if (pad != 0) {
        *(pn_record *)(ring->put.bytes + at) =
            (pn_record){.value = (uint32_t)(pad - sizeof(pn_record)), .kind = PN_RECORD_PAD};
        at = 0;
    }
    memcpy(ring->put.bytes + at, batch->bytes, batch->length);
    uint64_t end = tail + pad + batch->length;
    if (batch->handles) {
        /* Nothing can refuse the put from here on. A death before the commit leaves `puts`
         * ahead for good (object.h). */
        for_each_record(ring->domain, batch->bytes, batch->length, pn_record_count_puts);
        atomic_store_explicit(&cell->last_handles, end, memory_order_relaxed);
    }
    write_mark(cell->tail_mark, tail, end, batch->count, batch->weight);
    pn_commit(&cell->tail, end, &cell->not_empty);
    return PN_OK;
}

/* Begin segment number + 1 in `block`; with tail_lock held. True if it was used. */
static bool
jump(pn_ring *ring, uint64_t block, uint64_t capacity, const pn_batch *batch)
{
    pn_ring_cell *cell = ring->cell;
    uint64_t tail = atomic_load_explicit(&cell->tail, memory_order_relaxed);
    if (number_of(tail) != ring->put.number) {
        enter_segment(ring, &ring->put, number_of(tail));
        ring->head_seen = atomic_load_explicit(&cell->head, memory_order_acquire);
    }
    uint64_t to_end = ring->put.capacity - (tail & ring->put.mask);
    uint64_t pad = batch->length + JUMP_ROOM > to_end ? to_end : 0;
    if (!segment_is_wanted(ring, tail, batch->length + pad, true)) {
        return false; /* somebody else did it meanwhile, or room came */
    }
    uint64_t number = (number_of(tail) + 1) & NUMBER_MASK;
    uint64_t live = (number - number_of(ring->head_seen)) & NUMBER_MASK;
    if (live >= PN_RING_SEGMENTS) {
        return false; /* filled up meanwhile: grow says so */
    }
    pn_segment *next = segment_of(cell, number);
    atomic_store_explicit(&next->block, block, memory_order_relaxed);
    atomic_store_explicit(&next->capacity, capacity, memory_order_relaxed);
    *(pn_record *)(ring->put.bytes + (tail & ring->put.mask)) =
        (pn_record){.value = (uint32_t)number, .kind = PN_RECORD_JUMP};
    write_mark(cell->tail_mark, tail, number << NUMBER_SHIFT, 0, 0);
    pn_commit(&cell->tail, number << NUMBER_SHIFT, &cell->not_empty);
    return true;
}

/* Allocate outside the tail lock (the domain's lock comes before it), then jump. */
static pn_status
grow(pn_ring *ring, const pn_batch *batch)
{
    pn_ring_cell *cell = ring->cell;
    uint64_t tail = atomic_load_explicit(&cell->tail, memory_order_acquire);
    uint64_t head = atomic_load_explicit(&cell->head, memory_order_acquire);
    if (((number_of(tail) + 1 - number_of(head)) & NUMBER_MASK) >= PN_RING_SEGMENTS) {
        /* Each is twice the last, up to 1 GiB. */
        snprintf(ring->domain->limit, sizeof(ring->domain->limit), "%u segments of a queue",
                 PN_RING_SEGMENTS);
        return PN_NO_MEMORY;
    }
    uint64_t capacity = atomic_load(&segment_of(cell, number_of(tail))->capacity) * 2;
    if (head == tail) {
        capacity = PN_RING_FIRST;
    } else if (capacity > SEGMENT_LIMIT) {
        capacity = SEGMENT_LIMIT;
    }
    uint64_t block;
    pn_status status =
        pn_heap_alloc(ring->domain, capacity, PN_BLOCK_SEGMENT, ring->offset, &block);
    if (status != PN_OK) {
        return status == PN_TOO_BIG ? PN_NO_MEMORY : status;
    }
    status = pn_lock_enter(&cell->tail_lock, pn_slot_owner_alive, ring->domain);
    bool used = false;
    if (status == PN_OK || status == PN_OWNER_DIED) {
        used = jump(ring, block, capacity, batch);
        pn_lock_release(&cell->tail_lock);
        status = PN_OK;
    }
    if (!used) {
        pn_heap_free(ring->domain, block);
    }
    return status;
}

/* PN_NEED_SEGMENT: try the put again. To give a large segment back is a wish: when memory
 * has ended, a put that has room stays in it. */
pn_status
pn_ring_grow_or_stay(pn_ring *ring, const pn_batch *batch, bool *may_shrink)
{
    pn_status status = grow(ring, batch);
    if (status == PN_NO_MEMORY && *may_shrink) {
        *may_shrink = false;
        return PN_NEED_SEGMENT;
    }
    return status == PN_OK ? PN_NEED_SEGMENT : status;
}

pn_status
pn_ring_try_put(pn_ring *ring, const pn_batch *batch)
{
    bool may_shrink = true;
    for (;;) {
        pn_status status = pn_lock_try(&ring->cell->tail_lock);
        if (status != PN_OK && status != PN_OWNER_DIED) {
            return status;
        }
        status = pn_ring_put_locked(ring, batch, may_shrink);
        pn_lock_release(&ring->cell->tail_lock);
        if (status == PN_OK) {
            pn_notify(ring->domain, ring->offset, PN_FOR_GET);
        }
        if (status == PN_NEED_SEGMENT) {
            status = pn_ring_grow_or_stay(ring, batch, &may_shrink);
        }
        if (status != PN_NEED_SEGMENT) {
            return status;
        }
    }
}

/* ---- taking ---------------------------------------------------------------- */

bool
pn_sink_reserve(pn_sink *sink, uint64_t more)
{
    if (sink->used + more <= sink->capacity) {
        return true;
    }
    uint64_t capacity = (sink->used + more) * 2;
    char *larger = sink->on_heap ? realloc(sink->bytes, capacity) : malloc(capacity);
    if (larger == NULL) {
        return false;
    }
    if (!sink->on_heap) {
        memcpy(larger, sink->bytes, sink->used);
    }
    sink->bytes = larger;
    sink->capacity = capacity;
    sink->on_heap = true;
    return true;
}

/* Before the take: from here on this process answers for what the record names, so
 * that there is no instant at which neither the ring nor a process does. A reference
 * of its own for each object, so that no other thread gives up the bit meanwhile; whoever
 * decodes the record drops it. */
void
pn_ring_answer_for(pn_domain *domain, const pn_record *record)
{
    const pn_handles *handles = pn_record_handles(record);
    for (uint32_t i = 0; handles != NULL && i < handles->count; i++) {
        pn_object_retain(domain, handles->offset[i]);
        const pn_kind *kind = pn_kind_of(pn_at(domain, handles->offset[i]));
        if (kind->arrives != NULL) {
            kind->arrives(domain, handles->offset[i], domain->slot);
        }
    }
}

/* Tail changes with each put, so a look at it takes the line from the CPU of a producer that
 * runs meanwhile, and makes him fetch it again: consumers look when they must. */
static uint64_t
last_look(pn_ring *ring)
{
    return atomic_load_explicit(&ring->tail_seen, memory_order_relaxed);
}

static uint64_t
look_at_tail(pn_ring *ring)
{
    uint64_t tail =
        atomic_load_explicit(&ring->cell->tail, memory_order_acquire); /* [put commit] */
    atomic_store_explicit(&ring->tail_seen, tail, memory_order_relaxed);
    return tail;
}

/* Did the last look see something behind `head`, in its segment? */
static bool
has_seen(pn_ring *ring, uint64_t head)
{
    uint64_t seen = last_look(ring);
    return number_of(seen) == number_of(head) && seen > head;
}

/* With head_lock held; leaves it held. `*freed` is a segment's block to be freed after. */
static pn_status
get_locked(pn_ring *ring, pn_sink *sink, uint64_t *freed)
{
    pn_ring_cell *cell = ring->cell;
    /* Before tail: nothing is put after it. acquire, pairs with [shut] */
    uint32_t shut = atomic_load_explicit(&cell->shut, memory_order_acquire);
    if (shut & PN_SHUT_NOW) {
        return PN_SHUT_DOWN;
    }
    bool leased = cell->leases.kept;
    if (leased && atomic_load_explicit(&cell->leases.orphans, memory_order_relaxed) != 0) {
        pn_status again = pn_lease_redeliver(ring, sink);
        if (again != PN_EMPTY) {
            return again;
        }
    }
    uint64_t head = atomic_load_explicit(&cell->head, memory_order_relaxed);
    if (number_of(head) != ring->get.number) {
        enter_segment(ring, &ring->get, number_of(head));
    }
    uint64_t tail = has_seen(ring, head) ? last_look(ring) : look_at_tail(ring);
    uint64_t at = head, count = 0, bytes = 0, before = sink->used, bare_end = before;
    uint64_t taken = leased ? valid_mark(cell->head_mark, head)->count : 0;
    bool has_names = false;
    while (count < sink->limit && sink->used < PN_TAKE_BYTES) {
        if (at == tail) {
            tail = look_at_tail(ring);
            if (at == tail) {
                break;
            }
        }
        const pn_record *record = (const pn_record *)(ring->get.bytes + (at & ring->get.mask));
        uint64_t size = pn_record_size(record);
        if (record->kind == PN_RECORD_JUMP) {
            if (count != 0) {
                break; /* a jump is a take of its own */
            }
            uint64_t block = atomic_load(&segment_of(cell, number_of(head))->block);
            atomic_store(&pn_block_at(ring->domain, block)->owner,
                         pn_owner_word(ring->domain->slot, ring->domain->generation));
            uint64_t next = (uint64_t)record->value << NUMBER_SHIFT;
            write_mark(cell->head_mark, head, next, 0, 0);
            pn_commit(&cell->head, next, &cell->not_full);
            *freed = block;
            return PN_INTERRUPTED; /* once more, in the next segment */
        }
        if (record->kind != PN_RECORD_PAD) {
            if (!pn_sink_reserve(sink, size)) {
                if (count == 0) {
                    return PN_NO_MEMORY; /* private memory; the record stays */
                }
                break;
            }
            bool bare = !leased || !pn_lease_is_needed(ring, taken + count);
            if (!bare && !pn_lease_take(ring, record, taken + count, sink->any_lease)) {
                if (count == 0) {
                    sink->needs = size;
                    return PN_NEED_LEASES;
                }
                break;
            }
            if (record->flags != 0) {
                pn_ring_answer_for(ring->domain, record);
                has_names = true;
            }
            memcpy(sink->bytes + sink->used, record, size);
            sink->used += size;
            bare_end = bare ? sink->used : bare_end;
            count++;
            bytes += pn_record_weight(record);
        }
        at += size;
    }
    if (count == 0) {
        return shut != 0 ? PN_SHUT_DOWN : PN_EMPTY;
    }
    write_mark(cell->head_mark, head, at, count, bytes);
    pn_commit(&cell->head, at, &cell->not_full);
    if (has_names) { /* a death before it: `takes` stays behind for good (object.h) */
        /* A record that has a lease is named by that: the ack counts. */
        for_each_record(ring->domain, sink->bytes + before, bare_end - before,
                        pn_record_count_takes);
    }
    sink->count += count;
    sink->id = taken;
    sink->deliveries = 1;
    return PN_OK;
}

pn_status
pn_ring_get_and_unlock(pn_ring *ring, pn_sink *sink)
{
    for (;;) {
        uint64_t freed = 0;
        pn_status status = get_locked(ring, sink, &freed);
        pn_lock_release(&ring->cell->head_lock);
        if (status == PN_OK) {
            pn_notify(ring->domain, ring->offset, PN_FOR_PUT);
        }
        if (freed != 0) {
            pn_heap_free(ring->domain, freed);
        } else if (status == PN_NEED_LEASES) {
            status = pn_lease_grow(ring, sink->needs);
            if (status == PN_NO_MEMORY && !sink->any_lease) {
                sink->any_lease = true; /* its ack is what gives memory back */
            } else if (status != PN_OK) {
                return status;
            }
        } else {
            return status;
        }
        status = pn_head_enter(ring);
        if (status != PN_OK) {
            return status;
        }
    }
}

pn_status
pn_ring_try_get(pn_ring *ring, pn_sink *sink)
{
    pn_ring_cell *cell = ring->cell;
    uint32_t shut =
        atomic_load_explicit(&cell->shut, memory_order_acquire); /* before tail: [shut] */
    uint64_t head = atomic_load_explicit(&cell->head, memory_order_relaxed);
    if (!has_seen(ring, head) && head == atomic_load_explicit(&cell->tail, memory_order_acquire) &&
        atomic_load_explicit(&cell->leases.orphans, memory_order_relaxed) == 0) {
        return shut != 0 ? PN_SHUT_DOWN : PN_EMPTY;
    }
    pn_status status = pn_head_try(ring);
    return status == PN_OK ? pn_ring_get_and_unlock(ring, sink) : status;
}

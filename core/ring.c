#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "ring.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "futex.h"
#include "heap.h"
#include "slots.h"
#include "sweep.h"

#define NUMBER_SHIFT 40
#define NUMBER_MASK UINT64_C(0xffffff)
#define BYTE_MASK ((UINT64_C(1) << NUMBER_SHIFT) - 1)
#define BYTE_LIMIT (UINT64_C(1) << 39)    /* then a new segment is begun: no overflow */
#define SEGMENT_LIMIT (UINT64_C(1) << 30) /* bytes; larger ones would waste too much */
#define SHRINK_FROM (UINT64_C(4) << 20)   /* an empty queue gives such a segment back */
#define JUMP_ROOM sizeof(pn_record)       /* always kept for the JUMP */
#define WAIT_PAUSES 20
#define WAIT_YIELDS 10
#define WAIT_PROBE 8             /* where pausing was in vain, every 8th wait tries it again */
#define LOOK_NS (20 * 1000000LL) /* how long the sweep waits for a ring's lock */

static uint64_t
number_of(uint64_t position)
{
    return position >> NUMBER_SHIFT;
}

static pn_word *
low_half(pn_word64 *word)
{
    /* Little endian: x86-64, aarch64. */
    return (pn_word *)word;
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "futex words are low halves");

static pn_segment *
segment_of(pn_ring_cell *cell, uint64_t number)
{
    return &cell->segment[number % PN_RING_SEGMENTS];
}

/* Follow a position into its segment. */
static void
enter_segment(pn_ring *ring, pn_ring_end *end, uint64_t number)
{
    pn_segment *segment = segment_of(ring->cell, number);
    end->bytes = pn_at(ring->domain, atomic_load_explicit(&segment->block, memory_order_relaxed));
    end->capacity = atomic_load_explicit(&segment->capacity, memory_order_relaxed);
    end->mask = end->capacity - 1;
    end->number = number;
}

/* ---- marks: counts that need no repair ----------------------------------- */

static pn_mark *
valid_mark(pn_mark marks[2], uint64_t position)
{
    return &marks[atomic_load_explicit(&marks[0].position, memory_order_relaxed) != position];
}

/* Under the lock of that end: prepare the other mark for the commit to `position`. */
static void
write_mark(pn_mark marks[2], uint64_t now, uint64_t position, uint64_t count, uint64_t bytes)
{
    pn_mark *old = valid_mark(marks, now);
    pn_mark *new = old == &marks[0] ? &marks[1] : &marks[0];
    /* relaxed: [put commit] and [take commit] publish it; until then nobody looks at it */
    atomic_store_explicit(&new->position, position, memory_order_relaxed);
    atomic_store_explicit(&new->count,
                          atomic_load_explicit(&old->count, memory_order_relaxed) + count,
                          memory_order_relaxed);
    atomic_store_explicit(&new->bytes,
                          atomic_load_explicit(&old->bytes, memory_order_relaxed) + bytes,
                          memory_order_relaxed);
}

/* Read the totals at an end from outside its lock, like a seqlock: a valid mark is not
 * written before the position has moved on. */
static void
read_totals(pn_word64 *position, pn_mark marks[2], uint64_t *count, uint64_t *bytes)
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
    read_totals(&cell->head, cell->head_mark, &taken, &taken_bytes);
    read_totals(&cell->tail, cell->tail_mark, count, bytes);
    *count -= taken;
    *bytes -= taken_bytes;
}

uint64_t
pn_ring_taken(pn_ring_cell *cell)
{
    uint64_t head = atomic_load_explicit(&cell->head, memory_order_relaxed);
    return atomic_load_explicit(&valid_mark(cell->head_mark, head)->count, memory_order_relaxed);
}

uint64_t
pn_ring_put_count(pn_ring_cell *cell)
{
    uint64_t count, bytes;
    read_totals(&cell->tail, cell->tail_mark, &count, &bytes);
    return count;
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

static bool
is_bounded(pn_ring_cell *cell)
{
    return cell->max_items != 0 || cell->max_bytes != 0;
}

/* May the batch join `count` items of `bytes`? */
static bool
fits(pn_ring_cell *cell, const pn_batch *batch, uint64_t count, uint64_t bytes)
{
    /* An item larger than max_bytes may travel alone. */
    return (cell->max_items == 0 || count + batch->count <= cell->max_items) &&
           (cell->max_bytes == 0 || count == 0 || bytes + batch->weight <= cell->max_bytes);
}

static bool
within_limits(pn_ring_cell *cell, const pn_batch *batch)
{
    if (!is_bounded(cell)) {
        return true;
    }
    uint64_t count, bytes;
    outstanding(cell, &count, &bytes);
    return fits(cell, batch, count, bytes);
}

/* The same under tail_lock, where a look at the consumers' end is needed only when what
 * was taken at the last one is not room enough: it takes the line from a CPU that writes it. */
static bool
within_limits_locked(pn_ring *ring, uint64_t tail, const pn_batch *batch)
{
    pn_ring_cell *cell = ring->cell;
    if (!is_bounded(cell)) {
        return true;
    }
    pn_mark *put = valid_mark(cell->tail_mark, tail);
    uint64_t count = atomic_load_explicit(&put->count, memory_order_relaxed);
    uint64_t bytes = atomic_load_explicit(&put->bytes, memory_order_relaxed);
    if (fits(cell, batch, count - ring->taken_seen, bytes - ring->taken_bytes_seen)) {
        return true;
    }
    read_totals(&cell->head, cell->head_mark, &ring->taken_seen, &ring->taken_bytes_seen);
    return fits(cell, batch, count - ring->taken_seen, bytes - ring->taken_bytes_seen);
}

/* ---- putting -------------------------------------------------------------- */

/* Wake the leader that sleeps on `word`, if there is one. The caller has aimed
 * list_op_pending at the word, before the store that the leader waits for. */
void
pn_wake_leader(pn_word *word)
{
    if (atomic_load_explicit(word, memory_order_relaxed) != 0) {
        atomic_store_explicit(word, 0, memory_order_relaxed);
        pn_futex_wake(word, 1);
    }
}

/* The one commit of both ends: publishes what was written, then wakes. */
static void
commit(pn_word64 *end, uint64_t position, pn_word *sleeper)
{
    pn_thread *self = pn_self();
    pn_pending_wake(self, sleeper);
    /* [put commit] / [take commit], pairs with the acquire loads of tail and head; an
     * exchange, because it is also the full fence between our store and the look at
     * the sleeper's word ([sleep check] has the same fence between its own two). */
    atomic_exchange_explicit(end, position, memory_order_seq_cst);
    pn_fence_after_exchange();
    pn_wake_leader(sleeper);
    pn_pending_clear(self);
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

/* With tail_lock held; leaves it held. */
static pn_status
put_locked(pn_ring *ring, const pn_batch *batch, bool may_shrink)
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
        atomic_store_explicit(&cell->last_handles, end, memory_order_relaxed);
    }
    write_mark(cell->tail_mark, tail, end, batch->count, batch->weight);
    commit(&cell->tail, end, &cell->not_empty);
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
    commit(&cell->tail, number << NUMBER_SHIFT, &cell->not_empty);
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
static pn_status
grow_or_stay(pn_ring *ring, const pn_batch *batch, bool *may_shrink)
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
        status = put_locked(ring, batch, may_shrink);
        pn_lock_release(&ring->cell->tail_lock);
        if (status == PN_NEED_SEGMENT) {
            status = grow_or_stay(ring, batch, &may_shrink);
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

static const pn_block_ref *
block_of(const pn_record *record)
{
    if (!(record->flags & PN_RECORD_BLOCK)) {
        return NULL;
    }
    const pn_handles *handles = pn_record_handles(record);
    const char *at = (const char *)(record + 1);
    if (handles != NULL) {
        at += sizeof(*handles) + handles->count * sizeof(uint64_t);
    }
    return (const pn_block_ref *)at;
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
    }
    const pn_block_ref *ref = block_of(record);
    if (ref != NULL) {
        atomic_store(&pn_block_at(domain, ref->offset)->owner, /* [answer] */
                     pn_owner_word(domain->slot, domain->generation));
    }
}

static uint64_t
weight_of(const pn_record *record)
{
    const pn_block_ref *ref = block_of(record);
    return pn_record_size(record) + (ref != NULL ? ref->length : 0);
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
    uint64_t at = head, count = 0, bytes = 0, taken = leased ? pn_ring_taken(cell) : 0;
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
            commit(&cell->head, next, &cell->not_full);
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
            if (leased && !pn_lease_take(ring, record, taken + count)) {
                if (count == 0) {
                    sink->needs = size;
                    return PN_NEED_LEASES;
                }
                break;
            }
            if (record->flags != 0) {
                pn_ring_answer_for(ring->domain, record);
            }
            memcpy(sink->bytes + sink->used, record, size);
            sink->used += size;
            count++;
            bytes += weight_of(record);
        }
        at += size;
    }
    if (count == 0) {
        return shut != 0 ? PN_SHUT_DOWN : PN_EMPTY;
    }
    write_mark(cell->head_mark, head, at, count, bytes);
    commit(&cell->head, at, &cell->not_full);
    sink->count += count;
    sink->id = taken;
    sink->deliveries = 1;
    return PN_OK;
}

static pn_status
get_and_unlock(pn_ring *ring, pn_sink *sink)
{
    for (;;) {
        uint64_t freed = 0;
        pn_status status = get_locked(ring, sink, &freed);
        pn_lock_release(&ring->cell->head_lock);
        if (freed != 0) {
            pn_heap_free(ring->domain, freed);
        } else if (status == PN_NEED_LEASES) {
            status = pn_lease_grow(ring, sink->needs); /* the domain's lock comes before ours */
            if (status != PN_OK) {
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
    return status == PN_OK ? get_and_unlock(ring, sink) : status;
}

/* ---- sleeping -------------------------------------------------------------- */

/* The two ends sleep alike; an `op` is one attempt under the end's own lock. */
typedef struct {
    pn_ring *ring;
    const pn_batch *batch;
    pn_sink *sink;
    pn_lock *end_lock, *lead;
    pn_word *sleeper;   /* not_empty, not_full */
    pn_word64 *watched; /* the end that the other side moves */
    pn_status wanting;  /* PN_EMPTY, PN_FULL */
    pn_wait_kind kind;
} sleep_side;

static pn_status
attempt(sleep_side *side, int64_t deadline)
{
    bool may_shrink = true;
    if (side->sink != NULL) {
        pn_status status = pn_head_wait(side->ring, deadline);
        return status == PN_OK ? get_and_unlock(side->ring, side->sink) : status;
    }
    for (;;) {
        pn_status status =
            pn_lock_wait(side->end_lock, deadline, pn_slot_owner_alive, side->ring->domain);
        if (status != PN_OK && status != PN_OWNER_DIED) {
            return status;
        }
        status = put_locked(side->ring, side->batch, may_shrink);
        pn_lock_release(side->end_lock);
        if (status == PN_NEED_SEGMENT) {
            status = grow_or_stay(side->ring, side->batch, &may_shrink);
        }
        if (status != PN_NEED_SEGMENT) {
            return status;
        }
    }
}

static bool
may_go(sleep_side *side)
{
    pn_ring_cell *cell = side->ring->cell;
    if (atomic_load_explicit(&cell->shut, memory_order_relaxed) != 0) {
        return true;
    }
    if (side->sink != NULL) {
        return atomic_load_explicit(&cell->head, memory_order_acquire) !=
                   atomic_load_explicit(&cell->tail, memory_order_acquire) ||
               atomic_load_explicit(&cell->leases.orphans, memory_order_acquire) != 0;
    }
    return within_limits(cell, side->batch);
}

/* A wake costs 5 to 65 us: look for a moment before sleeping. Pausing is the fastest
 * while the other side runs on another CPU; where it shares ours, only giving the CPU away
 * helps. Which it is shows by what helped before. */
static bool
look_again(sleep_side *side)
{
    pn_word *in_vain = &side->ring->pauses_in_vain;
    uint32_t before = atomic_load_explicit(in_vain, memory_order_relaxed);
    bool pausing = pn_platform.cpus > 1 && before % WAIT_PROBE == 0;
    for (int i = 0; pausing && i < WAIT_PAUSES; i++) {
        if (may_go(side)) {
            atomic_store_explicit(in_vain, 0, memory_order_relaxed);
            return true;
        }
        pn_cpu_relax();
    }
    atomic_store_explicit(in_vain, before + 1, memory_order_relaxed);
    for (int i = 0; i < WAIT_YIELDS; i++) {
        if (may_go(side)) {
            return true;
        }
        sched_yield();
    }
    return false;
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
    if (errno == ETIMEDOUT && side->sink != NULL && cell->leases.kept) {
        pn_sweep_sometimes(side->ring->domain); /* what is missing may be in the hands of the dead */
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
    if (status == PN_SHUT_DOWN) {
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
    if (look_again(side)) {
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
        pn_status last = side->sink ? pn_ring_try_get(side->ring, side->sink)
                                    : pn_ring_try_put(side->ring, side->batch);
        if (last != side->wanting && last != PN_BUSY) {
            return last;
        }
    }
    return status;
}

pn_status
pn_ring_put(pn_ring *ring, const pn_batch *batch, int64_t deadline)
{
    pn_ring_cell *cell = ring->cell;
    sleep_side side = {
        ring,        batch,   NULL,       &cell->tail_lock, &cell->lead_put, &cell->not_full,
        &cell->head, PN_FULL, PN_WAIT_PUT};
    return wait_side(&side, deadline);
}

pn_status
pn_ring_get(pn_ring *ring, pn_sink *sink, int64_t deadline)
{
    pn_ring_cell *cell = ring->cell;
    sleep_side side = {
        ring,        NULL,     sink,       &cell->head_lock, &cell->lead_get, &cell->not_empty,
        &cell->tail, PN_EMPTY, PN_WAIT_GET};
    return wait_side(&side, deadline);
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
pn_record_names(const pn_record *record, uint64_t wanted)
{
    const pn_handles *handles = pn_record_handles(record);
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
    if (cell->leases.kept && test == pn_record_names && pn_lease_names_object(&ring, wanted)) {
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
            if (!never && walk(domain, offset, pn_record_names, wanted) != PN_NAMED_NO) {
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

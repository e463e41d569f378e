/* What the files of the queue share: ring.c puts and takes, ring_sleep.c waits, ring_look.c
 * counts, walks and frees. */
#ifndef PN_RING_PRIVATE_H
#define PN_RING_PRIVATE_H

#include "leader.h"
#include "ring.h"

#define NUMBER_SHIFT 40
#define NUMBER_MASK UINT64_C(0xffffff)
#define BYTE_MASK ((UINT64_C(1) << NUMBER_SHIFT) - 1)

static inline uint64_t
number_of(uint64_t position)
{
    return position >> NUMBER_SHIFT;
}

static inline pn_segment *
segment_of(pn_ring_cell *cell, uint64_t number)
{
    return &cell->segment[number % PN_RING_SEGMENTS];
}

/* Follow a position into its segment. */
static inline void
enter_segment(pn_ring *ring, pn_ring_end *end, uint64_t number)
{
    pn_segment *segment = segment_of(ring->cell, number);
    end->bytes = pn_at(ring->domain, atomic_load_explicit(&segment->block, memory_order_relaxed));
    end->capacity = atomic_load_explicit(&segment->capacity, memory_order_relaxed);
    end->mask = end->capacity - 1;
    end->number = number;
}

/* ---- marks: counts that need no repair ----------------------------------- */

static inline pn_mark *
valid_mark(pn_mark marks[2], uint64_t position)
{
    return &marks[atomic_load_explicit(&marks[0].position, memory_order_relaxed) != position];
}

/* Under the lock of that end: prepare the other mark for the commit to `position`. */
static inline void
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

/* Read the totals at an end from outside its lock. */
void pn_ring_read_totals(pn_word64 *position, pn_mark marks[2], uint64_t *count, uint64_t *bytes);
/* May the batch join what waits just now? */
bool pn_ring_within_limits(pn_ring_cell *cell, const pn_batch *batch);
/* May it join `count` items of `bytes`? */
bool pn_ring_fits(pn_ring_cell *cell, const pn_batch *batch, uint64_t count, uint64_t bytes);
static inline bool
pn_ring_is_bounded(pn_ring_cell *cell)
{
    return cell->max_items != 0 || cell->max_bytes != 0;
}

/* Room for so much more; false: no private memory. */
bool pn_sink_reserve(pn_sink *sink, uint64_t more);
/* Before the take: from here on this process answers for what the record names. */
void pn_ring_answer_for(pn_domain *domain, const pn_record *record);

/* With tail_lock held; leaves it held. */
pn_status pn_ring_put_locked(pn_ring *ring, const pn_batch *batch, bool may_shrink);
/* After PN_NEED_SEGMENT, with no lock held: PN_NEED_SEGMENT says try the put again. */
pn_status pn_ring_grow_or_stay(pn_ring *ring, const pn_batch *batch, bool *may_shrink);
/* With head_lock held; lets it go. */
pn_status pn_ring_get_and_unlock(pn_ring *ring, pn_sink *sink);

#endif

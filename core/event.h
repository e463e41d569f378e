/* The event: a flag that threads wait for.
 *
 * One 8-byte word, changed by compare-and-swap; no lock, so a signal handler may set it too.
 *
 *   state   sets (32 bits, high) | SET (bit 31) | ASLEEP (bit 30) | 0
 *
 *   set()    sets + 1 and SET in one store [COMMIT], then wakes all if ASLEEP was there
 *   clear()  drops SET
 *   wait()   true if SET is there, or if `sets` has grown since it was called: who slept while
 *            the event was set and cleared again has seen it
 *
 * ASLEEP: somebody may sleep, and whoever sets the event owes a wake to all. It is dropped after that wake and only
 * while SET is there, since nobody goes to sleep then.
 *
 * A futex is 32 bits: who sleeps watches both halves, so that a set() with a clear() behind it is not taken for nothing
 * by one who is just about to sleep. The lower half's low 30 bits are 0, so that list_op_pending may name it:
 * if whoever sets it is killed between the store and the wake, the kernel wakes one. That may be one who came after a
 * clear() and waits for the next set(). So `told` says of which number of sets all were woken, and everybody who is
 * woken, for something or for nothing, wakes all and stores it if it is not the present one. A wake that one ate before he
 * was killed is handed on by the kernel in the same way.
 */
#ifndef PN_EVENT_H
#define PN_EVENT_H

#include "object.h"

#define PN_EVENT_SET 0x80000000u
#define PN_EVENT_ASLEEP 0x40000000u

typedef struct {
    pn_object object;
    pn_word64 state;
    pn_word told;
} pn_event_cell;

/* This process's view. Private memory. */
typedef struct {
    pn_domain *domain;
    pn_event_cell *cell;
    uint64_t offset;
    pn_word pauses_in_vain; /* patience.h */
} pn_event;

static inline void
pn_event_open(pn_event *event, pn_domain *domain, uint64_t offset)
{
    event->domain = domain;
    event->offset = offset;
    event->cell = pn_at(domain, offset);
}

static inline bool
pn_event_is_set(pn_event *event)
{
    return atomic_load_explicit(&event->cell->state, memory_order_acquire) & PN_EVENT_SET;
}

/* How often it was set, modulo 2^32. */
static inline uint32_t
pn_event_sets(pn_event *event)
{
    return (uint32_t)(atomic_load_explicit(&event->cell->state, memory_order_acquire) >> 32);
}

/* kind.h: is it set? */
bool pn_event_is_ready(pn_domain *domain, uint64_t offset, uint32_t want);
void pn_event_set(pn_event *event);
void pn_event_clear(pn_event *event);
/* Sleep until it is set, or has been since pn_event_sets() said `since`: PN_OK, PN_TIMEOUT, PN_INTERRUPTED (call
 * again with the same `since`). */
pn_status pn_event_wait(pn_event *event, uint32_t since, int64_t deadline);

#endif

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "event.h"

#include <limits.h>

#include "futex.h"
#include "listen.h"
#include "patience.h"
#include "slots.h"
#include "waits.h"

#define ONE_SET (UINT64_C(1) << 32)

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the flags are the lower half");

static pn_word *
flags_of(pn_event *event)
{
    return (pn_word *)&event->cell->state;
}

static pn_word *
sets_of(pn_event *event)
{
    return flags_of(event) + 1;
}

static uint32_t
sets_in(uint64_t state)
{
    return (uint32_t)(state >> 32);
}

/* The caller has aimed list_op_pending at the word. */
static void
wake_all(pn_event *event, uint64_t state)
{
    pn_futex_wake(flags_of(event), INT_MAX);
    atomic_store(&event->cell->told, sets_in(state));
}

/* Whoever set it last may be dead, or stopped, and have woken nobody yet. */
static void
help(pn_event *event)
{
    uint64_t state = atomic_load(&event->cell->state);
    if (atomic_load(&event->cell->told) != sets_in(state)) {
        wake_all(event, state);
    }
}

void
pn_event_set(pn_event *event)
{
    pn_thread *self = pn_self();
    pn_word64 *word = &event->cell->state;
    uint64_t seen = atomic_load_explicit(word, memory_order_relaxed), wanted;
    pn_pending_wake(self, flags_of(event));
    do {
        if (seen & PN_EVENT_SET) {
            wanted = seen; /* whoever set it may have been stopped before its wake */
            break;
        }
        wanted = (seen + ONE_SET) | PN_EVENT_SET;
    } while (!atomic_compare_exchange_weak(word, &seen, wanted)); /* COMMIT */
    if (wanted & PN_EVENT_ASLEEP) {
        wake_all(event, wanted);
        atomic_compare_exchange_strong(word, &wanted, wanted & ~(uint64_t)PN_EVENT_ASLEEP);
    } else {
        atomic_store(&event->cell->told, sets_in(wanted));
    }
    pn_pending_clear(self);
    pn_fence_after_exchange();
    pn_notify(event->domain, event->offset, PN_FOR_GET);
}

bool
pn_event_is_ready(pn_domain *domain, uint64_t offset, uint32_t want)
{
    (void)want;
    pn_event_cell *cell = pn_at(domain, offset);
    return atomic_load_explicit(&cell->state, memory_order_acquire) & PN_EVENT_SET;
}

void
pn_event_clear(pn_event *event)
{
    /* 64 bits: the sets must be those of the flag that is dropped. */
    atomic_fetch_and(&event->cell->state, ~(uint64_t)PN_EVENT_SET);
}

typedef struct {
    pn_event *event;
    uint32_t since;
} awaited;

static bool
has_come(void *context)
{
    awaited *wanted = context;
    uint64_t state = atomic_load_explicit(&wanted->event->cell->state, memory_order_acquire);
    return (state & PN_EVENT_SET) || sets_in(state) != wanted->since;
}

static pn_status
sleep_until(awaited *wanted, int64_t deadline)
{
    pn_event *event = wanted->event;
    pn_word64 *word = &event->cell->state;
    for (;;) {
        uint64_t state = atomic_load(word);
        if (has_come(wanted)) {
            return PN_OK;
        }
        if (!(state & PN_EVENT_ASLEEP) &&
            !atomic_compare_exchange_strong(word, &state, state | PN_EVENT_ASLEEP)) {
            continue;
        }
        pn_watch watches[] = {{flags_of(event), (uint32_t)(state | PN_EVENT_ASLEEP)},
                              {sets_of(event), sets_in(state)}};
        bool passed;
        pn_status status = pn_sleep_slice(watches, 2, deadline, &passed);
        help(event);
        if (has_come(wanted)) {
            return PN_OK;
        }
        if (status != PN_OK) {
            return status;
        }
    }
}

pn_status
pn_event_wait(pn_event *event, uint32_t since, int64_t deadline)
{
    awaited wanted = {event, since};
    if (has_come(&wanted)) {
        return PN_OK;
    }
    if (deadline != PN_FOREVER && deadline <= pn_now()) {
        return PN_TIMEOUT;
    }
    if (pn_look_again(&event->pauses_in_vain, has_come, &wanted)) {
        return PN_OK;
    }
    pn_thread *self = pn_self();
    pn_wait *wait = pn_wait_begin(event->domain, event->offset, PN_WAIT_EVENT);
    pn_pending_wake(self, flags_of(event)); /* a wake that we ate before we died is passed on */
    pn_status status = sleep_until(&wanted, deadline);
    pn_pending_clear(self);
    pn_wait_end(wait);
    return status;
}

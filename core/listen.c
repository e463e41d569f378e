#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "listen.h"

#include <errno.h>
#include <signal.h>

#include "futex.h"
#include "kind.h"
#include "slots.h"

#define TICKET 16u /* one more than all bits of a hint */
#define BITS (TICKET - 1)

/* ---- the table --------------------------------------------------------------------- */

/* Where the window of an object begins. Cells are 256 bytes or more apart. */
uint32_t
pn_listen_window(uint64_t offset)
{
    uint32_t windows = PN_LISTENERS / PN_LISTEN_WINDOW;
    return (uint32_t)((offset >> 8) * UINT64_C(0x9e3779b97f4a7c15) >> 32) % windows *
           PN_LISTEN_WINDOW;
}

static bool
is_inside(uint32_t line, uint32_t window)
{
    return line - window < PN_LISTEN_WINDOW;
}

/* Take a free line of [first, first + count). */
static uint32_t
claim(pn_domain *domain, uint32_t first, uint32_t count)
{
    if (domain->slot < PN_SLOTS &&
        !(atomic_load_explicit(&domain->slots[domain->slot].flags, memory_order_relaxed) &
          PN_SLOT_LISTENS)) {
        /* First: the sweep of a process without it does not look for lines. */
        atomic_fetch_or(&domain->slots[domain->slot].flags, PN_SLOT_LISTENS);
    }
    uint64_t me = (uint64_t)(domain->slot + 1) << 32 | pn_self()->tid;
    for (uint32_t i = first; i < first + count; i++) {
        pn_listener *line = &domain->listeners[i];
        uint64_t nobody = 0;
        if (atomic_load_explicit(&line->owner, memory_order_relaxed) == 0 &&
            atomic_compare_exchange_strong(&line->owner, &nobody, me)) {
            return i;
        }
    }
    return PN_NO_LINE;
}

static void
free_line(pn_listener *line)
{
    atomic_store_explicit(&line->object, 0, memory_order_relaxed);
    atomic_store_explicit(&line->owner, 0, memory_order_release);
}

/* Lines of processes that found the process table full have no slot to be swept by: when lines run short, those are
 * freed whose thread is gone. */
static bool
reclaim(pn_domain *domain)
{
    bool any = false;
    for (uint32_t i = 0; i < PN_LISTENERS; i++) {
        pn_listener *line = &domain->listeners[i];
        uint64_t owner = atomic_load(&line->owner);
        if (owner >> 32 == PN_SLOTS + 1 && kill((pid_t)(uint32_t)owner, 0) != 0 && errno == ESRCH) {
            free_line(line);
            any = true;
        }
    }
    return any;
}

static uint32_t
claim_anywhere(pn_domain *domain)
{
    /* Threads begin at different places, for they look at the same time. */
    uint32_t first = pn_self()->tid % PN_LISTENERS;
    uint32_t line = claim(domain, first, PN_LISTENERS - first);
    if (line == PN_NO_LINE) {
        line = claim(domain, 0, first);
    }
    if (line == PN_NO_LINE && reclaim(domain)) {
        line = claim(domain, 0, PN_LISTENERS);
    }
    return line;
}

/* ---- listening --------------------------------------------------------------------- */

uint32_t
pn_seat_take(pn_domain *domain)
{
    uint32_t line = claim_anywhere(domain);
    if (line != PN_NO_LINE) {
        atomic_store(&domain->listeners[line].word, 0);
    }
    return line;
}

uint32_t
pn_listen_begin(pn_domain *domain, uint64_t offset, uint32_t want, uint32_t seat)
{
    uint32_t window = pn_listen_window(offset);
    uint32_t index = claim(domain, window, PN_LISTEN_WINDOW);
    uint32_t bits = want;
    if (index == PN_NO_LINE) {
        index = claim_anywhere(domain);
        if (index == PN_NO_LINE) {
            return PN_NO_LINE;
        }
        bits |= is_inside(index, window) ? 0 : PN_LISTEN_WIDE;
    }
    pn_listener *line = &domain->listeners[index];
    atomic_store_explicit(&line->want, want, memory_order_relaxed);
    atomic_store_explicit(&line->seat, seat, memory_order_relaxed);
    atomic_store_explicit(&line->heard, 0, memory_order_relaxed);
    atomic_store_explicit(&line->object, offset, memory_order_release);
    /* [listen]: after the line, before the caller's look at the object. */
    pn_object *object = pn_at(domain, offset);
    uint32_t seen = atomic_load_explicit(&object->listened, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(&object->listened, &seen,
                                         (seen + TICKET) | (seen & BITS) | bits)) {
    }
    pn_fence_after_exchange();
    return index;
}

void
pn_listen_end(pn_domain *domain, uint32_t line)
{
    if (line != PN_NO_LINE) {
        free_line(&domain->listeners[line]);
    }
}

/* ---- committing --------------------------------------------------------------------- */

/* The same as for a ring's leader: the word is cleared first, and should this thread die before the
 * wake, the kernel does it. */
static void
wake_seat(pn_thread *self, pn_word *word)
{
    if (atomic_load_explicit(word, memory_order_relaxed) == 0) {
        return;
    }
    pn_pending_wake(self, word);
    atomic_store_explicit(word, 0, memory_order_relaxed);
    pn_futex_wake(word, 1);
    pn_pending_clear(self);
}

void
pn_listen_wake(pn_domain *domain, uint64_t offset, uint32_t want)
{
    pn_object *object = pn_at(domain, offset);
    pn_thread *self = pn_self();
    uint32_t window = pn_listen_window(offset);
    uint32_t hint = atomic_load_explicit(&object->listened, memory_order_acquire); /* [listen] */
    bool wide = hint & PN_LISTEN_WIDE;
    uint32_t found = 0, first = wide ? 0 : window,
             end = wide ? PN_LISTENERS : window + PN_LISTEN_WINDOW;
    for (uint32_t i = first; i < end; i++) {
        pn_listener *line = &domain->listeners[i];
        if (atomic_load_explicit(&line->object, memory_order_acquire) != offset) {
            continue;
        }
        /* It may end meanwhile, and the line be another's: that one is woken for nothing. */
        uint32_t wanted = atomic_load_explicit(&line->want, memory_order_relaxed);
        uint32_t seat = atomic_load_explicit(&line->seat, memory_order_relaxed);
        found |= wanted | (is_inside(i, window) ? 0 : PN_LISTEN_WIDE);
        if ((wanted & want) != 0) {
            atomic_fetch_add(&line->heard, 1);
            pn_fence_after_exchange(); /* before the look at the word */
            if (seat < PN_LISTENERS) {
                wake_seat(self, &domain->listeners[seat].word);
            }
        }
    }
    if ((hint & BITS & ~found) != 0) {
        /* Unless somebody began to listen since: then the ticket is another one. */
        atomic_compare_exchange_strong(&object->listened, &hint,
                                       (hint & ~BITS) | (hint & found & BITS));
    }
}

void
pn_listen_sweep(pn_domain *domain, uint32_t slot)
{
    if (!(atomic_load(&domain->slots[slot].flags) & PN_SLOT_LISTENS)) {
        return;
    }
    for (uint32_t i = 0; i < PN_LISTENERS; i++) {
        pn_listener *line = &domain->listeners[i];
        if (atomic_load_explicit(&line->owner, memory_order_relaxed) >> 32 == (uint64_t)slot + 1) {
            free_line(line);
        }
    }
}

/* ---- what there is to hear ------------------------------------------------------------- */

bool
pn_can_listen(pn_domain *domain, uint64_t offset, uint32_t want)
{
    const pn_kind *kind = pn_kind_of(pn_at(domain, offset));
    return kind->is_ready != NULL && (kind->wants & want) == want;
}

bool
pn_is_ready(pn_domain *domain, uint64_t offset, uint32_t want)
{
    const pn_kind *kind = pn_kind_of(pn_at(domain, offset));
    return kind->is_ready != NULL && kind->is_ready(domain, offset, want);
}

void
pn_listen_mend(pn_domain *domain, uint64_t offset)
{
    const pn_kind *kind = pn_kind_of(pn_at(domain, offset));
    if (kind->mend != NULL) {
        kind->mend(domain, offset);
    }
}

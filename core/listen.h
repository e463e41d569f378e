/* Listeners: who wants to hear that an object may have become ready, without being first in any queue of sleepers.
 *
 * wait() over unlike objects and the doorbells (bell.h) cannot sleep on an object's own words, which have one sleeper
 * each. They write themselves into a table of the domain instead, one line for each object, and sleep on a word
 * of their own in one more line, their *seat*:
 *
 *   owner    (slot + 1) << 32 | tid; 0: the line is free         the listener; the sweep of its process
 *   object   offset; 0: not listening (yet, any more)            the listener; written last, cleared first
 *   want     PN_FOR_* bits                                       the listener, before `object`
 *   seat     index of the line whose `word` is to be woken       the listener, before `object`
 *   word     PN_WAITERS: asleep, or about to be; else 0          the listener; whoever wakes it
 *   heard    how often something was committed                   whoever commits
 *
 * An object's line stands in a window of the table that its offset chooses, or, if that is full, anywhere.
 * pn_object.listened is the hint that makes a commit cost one load as long as nobody listens:
 *
 *   PN_FOR_* bits, PN_LISTEN_WIDE (look outside the window, too) | ticket << 4
 *
 * A listener writes its line, then sets the bits and a new ticket, then looks at the object, then sleeps. Who commits
 * stores, then reads the hint, then the lines. Both have a full fence in the middle, so one of the two sees the
 * other. Bits that no line stands for are taken away by whoever notices, if the ticket is still the one read before the
 * lines. So nothing needs repair after a death: a sweep frees the lines of the dead, and the hint follows.
 *
 * Killed between a commit and its pn_notify: the sweep of the dead notifies all that is listened to (at once, if it had a
 * janitor); else the listener finds out at the end of its slice, when it looks at its objects anyway.
 */
#ifndef PN_LISTEN_H
#define PN_LISTEN_H

#include "object.h"

enum {
    PN_FOR_GET = 1,  /* an item is there; the lock can be had; the event is set */
    PN_FOR_PUT = 2,  /* there is room */
    PN_FOR_JOIN = 4, /* nothing is unfinished */
    PN_FOR_ANY = PN_FOR_GET | PN_FOR_PUT | PN_FOR_JOIN,
    PN_LISTEN_WIDE = 8,
    PN_FOR_CALLER =
        16 /* only in questions: for the calling thread, which may have the lock already */
};

#define PN_LISTENERS 4096u
#define PN_LISTEN_WINDOW 32u

typedef struct pn_listener {
    pn_word64 owner;
    pn_word64 object;
    pn_word want;
    pn_word seat;
    pn_word word;
    pn_word heard;
} pn_listener;

_Static_assert(sizeof(pn_listener) == 32, "listener layout is shared between processes");

#define PN_NO_LINE UINT32_MAX

/* --- for those who commit -------------------------------------------------------- */

/* Wake the listeners of the object that want any of `want`. */
void pn_listen_wake(pn_domain *domain, uint64_t offset, uint32_t want);

/* After a commit that may have made the object ready, with a full fence in between (a sequentially consistent
 * exchange or compare-and-swap, and pn_fence_after_exchange): one load if nobody listens. Under no inner lock,
 * if that can be: waking takes a microsecond or two for each listener. */
static inline void
pn_notify(pn_domain *domain, uint64_t offset, uint32_t want)
{
    pn_object *object = pn_at(domain, offset);
    if (__builtin_expect(
            (atomic_load_explicit(&object->listened, memory_order_relaxed) & want) != 0, 0)) {
        pn_listen_wake(domain, offset, want);
    }
}

/* --- for listeners ----------------------------------------------------------------- */

/* Can it be waited for so at all? */
bool pn_can_listen(pn_domain *domain, uint64_t offset, uint32_t want);
/* Is it ready, for anybody, or with PN_FOR_CALLER for the calling thread? */
bool pn_is_ready(pn_domain *domain, uint64_t offset, uint32_t want);
/* Where something can be missing because its owner died and nobody noticed: look for that. May read /proc. */
void pn_listen_mend(pn_domain *domain, uint64_t offset);

/* A line that listens to nothing, for its word; PN_NO_LINE: the table is full. */
uint32_t pn_seat_take(pn_domain *domain);
/* Listen to an object; PN_NO_LINE: the table is full, so look at it often. */
uint32_t pn_listen_begin(pn_domain *domain, uint64_t offset, uint32_t want, uint32_t seat);
void pn_listen_end(pn_domain *domain, uint32_t line);

/* The first line of an object's window. */
uint32_t pn_listen_window(uint64_t offset);

/* --- for the sweep, under the domain's lock -------------------------------------------- */

void pn_listen_sweep(pn_domain *domain, uint32_t slot);

#endif

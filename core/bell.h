/* Doorbells: descriptors that are readable while one of some objects is ready, for select, poll, epoll and event loops.
 *
 * A bell is an eventfd(2) of this process. One C thread of the process listens (listen.h) to the objects of all bells that
 * are armed, and rings or clears them; it starts with the first bell, ends a second after the last one, needs no
 * interpreter, takes no signal, and is away while the process forks, as the janitor is (children.h).
 *
 * A bell may ring for what somebody else takes first, as with any descriptor that processes share: whoever is woken
 * tries without blocking. It is cleared as soon as this process notices that the object is not ready: by its
 * own get() or acquire() (pn_bell_settle), or by the thread, within 50 ms.
 *
 * With `edge` it rings once for each time that something was committed, and at the end of each slice, whether the object is
 * ready or not: for those who know better what they need, as a put() that needs room for much.
 *
 * After a fork the child has no bells: the descriptors are closed there, and made anew when they are asked for.
 */
#ifndef PN_BELL_H
#define PN_BELL_H

#include "listen.h"
#include "slots.h"
#include "waits.h"

typedef struct {
    pn_domain *domain;
    uint64_t offset;
    uint32_t want;
    /* under the mutex of bell_parts.h, while armed */
    uint32_t line;
    uint32_t heard;
    pn_wait *wait;
} pn_bell_item;

/* All under the mutex of bell_parts.h but the items' first three. */
typedef struct pn_bell {
    struct pn_bell *next;
    int fd; /* -1: none yet, or none since a fork */
    bool edge, armed, rung;
    bool
        seated; /* it counts as a user of the seats of its domains: from the first time that it is armed */
    size_t count;
    pn_bell_item items[];
} pn_bell;

/* Not armed, without a descriptor. NULL: no memory. The caller fills in the items' domain, offset and want, and holds
 * the objects until pn_bell_drop. */
pn_bell *pn_bell_new(size_t count, bool edge);
/* Disarm and free it. */
void pn_bell_drop(pn_bell *bell);
/* Listen from now on, cleared at first; rings at once if it is ready. `waits`: somebody waits for that, so the table of
 * waits shows it until it is disarmed. Its descriptor, or -1 with errno. */
int pn_bell_arm(pn_bell *bell, bool waits);
/* Listen no more; the descriptor stays, and is not readable. */
void pn_bell_disarm(pn_bell *bell);
/* Clear it unless it is ready (edge: clear it). */
void pn_bell_clear(pn_bell *bell);

/* This process has taken from the object, or found that it is not ready: its bells are cleared if so. */
void pn_bell_settle_slow(pn_domain *domain, uint64_t offset);
static inline void
pn_bell_settle(pn_domain *domain, uint64_t offset)
{
    if (__builtin_expect(atomic_load_explicit(&domain->bells, memory_order_relaxed) != 0, 0)) {
        pn_bell_settle_slow(domain, offset);
    }
}

/* Around forks of those who count threads, as pn_janitor_pause and _resume, which call them. */
void pn_bells_pause(void);
void pn_bells_resume(void);
/* Is the thread running? `*ended`: the tid of one that the kernel may not have forgotten yet, or 0. */
bool pn_bells_running(int *ended);

#endif
